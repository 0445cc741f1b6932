//! A range of an image, read as a file of its own.

use std::io::{self, Read, Seek, SeekFrom};

use crate::checked;
use crate::image::ReadAt;
use crate::units::{ByteRange, beyond, u64_len, usize_of};

/// Reads from the start of the range to its end.
#[derive(Debug)]
pub struct Window<'a, I> {
    image: &'a I,
    at: ByteRange,
    position: u64,
}

impl<'a, I: ReadAt> Window<'a, I> {
    /// A window on the bytes `at` of an image.
    pub fn new(image: &'a I, at: ByteRange) -> Self {
        Self { image, at, position: 0 }
    }

    /// The same, read from a byte of the window on.
    #[must_use]
    pub fn read_from(self, position: u64) -> Self {
        Self { position, ..self }
    }
}

impl<I: ReadAt> Read for Window<'_, I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = beyond(self.at.size(), self.position).min(u64_len(buf));
        if left == 0 {
            return Ok(0);
        }
        let buf = checked::part_mut(buf, ..usize_of(left), "room to read")?;
        let at = checked::sum(self.at.start(), self.position, "a place in a window")?;
        self.image.read_exact_at(buf, at)?;
        self.position = checked::sum(self.position, left, "a place in a window")?;
        Ok(buf.len())
    }
}

impl<I> Seek for Window<'_, I> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek(self.position, self.at.size(), to)?;
        Ok(self.position)
    }
}

/// The position after a seek in a file of `size` bytes. It may be behind the end, as of any file.
pub(super) fn seek(position: u64, size: u64, to: SeekFrom) -> io::Result<u64> {
    let position = match to {
        SeekFrom::Start(at) => Some(at),
        SeekFrom::End(by) => size.checked_add_signed(by),
        SeekFrom::Current(by) => position.checked_add_signed(by),
    };
    Ok(position.ok_or(io::ErrorKind::InvalidInput)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_its_range_does() {
        let image: Vec<u8> = (0..100).collect();
        let at = ByteRange::between(10, 20).unwrap();
        let mut bytes = Vec::new();
        Window::new(&image, at).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, (10..20).collect::<Vec<u8>>());
        let mut window = Window::new(&image, at).read_from(8);
        assert_eq!(window.read(&mut [0; 8]).unwrap(), 2);
        assert_eq!(window.seek(SeekFrom::End(-1)).unwrap(), 9);
        assert_eq!(window.seek(SeekFrom::Current(5)).unwrap(), 14);
        assert_eq!(window.read(&mut [0; 8]).unwrap(), 0);
        assert!(window.seek(SeekFrom::Current(-15)).is_err());
    }
}
