//! A window of an image that a filesystem driver may write to: the changes stay in memory.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::image::patched::Patch;
use crate::units::{ByteRange, in_memory, len_of};

/// Bytes that are kept together when one of them changes.
const BLOCK: u64 = 512;

/// Reads through to the image, except for the blocks that were written.
#[derive(Debug)]
pub struct Scratch<'a, I> {
    image: &'a I,
    window: ByteRange,
    position: u64,
    written: BTreeMap<u64, Vec<u8>>,
}

impl<'a, I: ReadAt> Scratch<'a, I> {
    /// A window on `window` of the image. Its last bytes that fill no block of 512 are left out.
    pub fn new(image: &'a I, window: ByteRange) -> Self {
        Self { image, window, position: 0, written: BTreeMap::new() }
    }

    /// The bytes of the image that the window is on.
    pub fn window(&self) -> ByteRange {
        self.window
    }

    fn size(&self) -> u64 {
        self.window.size().saturating_sub(self.window.size().checked_rem(BLOCK).unwrap_or_default())
    }

    /// Where in which block the position is.
    fn place(&self) -> (u64, u64) {
        let within = self.position.checked_rem(BLOCK).unwrap_or_default();
        (self.position.saturating_sub(within), within)
    }

    fn original(&self, block: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; in_memory(BLOCK)];
        self.image.read_exact_at(&mut bytes, self.window.start().saturating_add(block))?;
        Ok(bytes)
    }

    /// The part of the block at the position that a call for `wanted` bytes may touch.
    fn step(&self, wanted: usize) -> usize {
        let (_, within) = self.place();
        let left = self.size().saturating_sub(self.position).min(BLOCK.saturating_sub(within));
        wanted.min(in_memory(left))
    }

    /// The blocks that are not what they were, as patches of the image.
    pub fn patches(&self, why: &str) -> Result<Vec<Patch>> {
        let mut patches = Vec::new();
        for (block, bytes) in &self.written {
            if self.original(*block)? != *bytes {
                let at = self.window.start().saturating_add(*block);
                patches.extend(Patch::bytes(at, bytes.clone(), why));
            }
        }
        Ok(patches)
    }
}

fn refused(fault: Error) -> io::Error {
    io::Error::other(fault)
}

impl<I: ReadAt> Read for Scratch<'_, I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (block, within) = self.place();
        let length = self.step(buf.len());
        let Some(buf) = buf.get_mut(..length) else { return Ok(0) };
        let range = in_memory(within)..in_memory(within).saturating_add(length);
        match self.written.get(&block).and_then(|bytes| bytes.get(range)) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => {
                let at = self.window.start().saturating_add(self.position);
                self.image.read_exact_at(buf, at).map_err(refused)?;
            }
        }
        self.position = self.position.saturating_add(len_of(buf));
        Ok(length)
    }
}

impl<I: ReadAt> Write for Scratch<'_, I> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (block, within) = self.place();
        let length = self.step(buf.len());
        if !self.written.contains_key(&block) && length > 0 {
            let bytes = self.original(block).map_err(refused)?;
            self.written.insert(block, bytes);
        }
        let range = in_memory(within)..in_memory(within).saturating_add(length);
        let place = self.written.get_mut(&block).and_then(|bytes| bytes.get_mut(range));
        if let (Some(place), Some(new)) = (place, buf.get(..length)) {
            place.copy_from_slice(new);
        }
        self.position = self.position.saturating_add(u64::try_from(length).unwrap_or_default());
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<I: ReadAt> Seek for Scratch<'_, I> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_back_and_become_patches_and_nothing_else_does() {
        let image = vec![7; 4096];
        let window = ByteRange::between(1024, 3500).unwrap();
        let mut scratch = Scratch::new(&image, window);
        assert_eq!(scratch.seek(SeekFrom::End(0)).unwrap(), 2048);
        assert_eq!(scratch.write(b"x").unwrap(), 0);
        scratch.seek(SeekFrom::Start(510)).unwrap();
        scratch.write_all(b"abcd").unwrap();
        scratch.seek(SeekFrom::Start(1536)).unwrap();
        scratch.write_all(&[7; 10]).unwrap();
        scratch.seek(SeekFrom::Start(509)).unwrap();
        let mut found = [0; 6];
        scratch.read_exact(&mut found).unwrap();
        assert_eq!(&found, b"\x07abcd\x07");
        let patches = scratch.patches("test").unwrap();
        let places: Vec<u64> = patches.iter().map(|patch| patch.at.start()).collect();
        assert_eq!(places, [1024, 1536]);
    }
}
