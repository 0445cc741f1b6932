//! A window of an image that a filesystem driver may write to: the changes stay in memory.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use crate::checked;
use crate::error::Result;
use crate::image::ReadAt;
use crate::image::patched::Patch;
use crate::image::window::seek;
use crate::units::{ByteRange, u64_of, usize_of};

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

    fn size(&self) -> Result<u64> {
        checked::round_down(self.window.size(), BLOCK, "the size of a window")
    }

    /// The byte of the image at the byte `at` of the window.
    fn in_image(&self, at: u64) -> Result<u64> {
        checked::sum(self.window.start(), at, "a place in a window")
    }

    fn original(&self, block: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize_of(BLOCK)];
        self.image.read_exact_at(&mut bytes, self.in_image(block)?)?;
        Ok(bytes)
    }

    /// The block at the position, and the part of it that a call for `wanted` bytes may touch: none behind the end.
    fn step(&self, wanted: usize) -> Result<(u64, Range<usize>)> {
        let block = checked::round_down(self.position, BLOCK, "the block of a position")?;
        let within = checked::difference(self.position, block, "the place in a block")?;
        let room = checked::difference(BLOCK, within, "the rest of a block")?;
        let left = self.size()?.checked_sub(self.position).map_or(0, |left| left.min(room));
        let length = wanted.min(usize_of(left));
        let within = usize_of(within);
        Ok((block, within..checked::sum(within, length, "the end in a block")?))
    }

    fn advance(&mut self, length: usize) -> Result<usize> {
        self.position = checked::sum(self.position, u64_of(length), "the position in a window")?;
        Ok(length)
    }

    /// The blocks that are not what they were, as patches of the image.
    pub fn patches(&self, why: &str) -> Result<Vec<Patch>> {
        let mut patches = Vec::new();
        for (block, bytes) in &self.written {
            if self.original(*block)? != *bytes {
                patches.push(Patch::bytes(self.in_image(*block)?, bytes.clone(), why)?);
            }
        }
        Ok(patches)
    }
}

impl<I: ReadAt> Read for Scratch<'_, I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (block, place) = self.step(buf.len())?;
        let buf = checked::part_mut(buf, ..place.len(), "room to read")?;
        match self.written.get(&block) {
            Some(bytes) => buf.copy_from_slice(checked::part(bytes, place, "a written block")?),
            None => self.image.read_exact_at(buf, self.in_image(self.position)?)?,
        }
        Ok(self.advance(buf.len())?)
    }
}

impl<I: ReadAt> Write for Scratch<'_, I> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (block, place) = self.step(buf.len())?;
        if place.is_empty() {
            return Ok(0);
        }
        let new = checked::part(buf, ..place.len(), "what is to be written")?;
        if !self.written.contains_key(&block) {
            let original = self.original(block)?;
            self.written.insert(block, original);
        }
        let bytes = checked::present(self.written.get_mut(&block), "a written block")?;
        checked::part_mut(bytes, place, "a written block")?.copy_from_slice(new);
        Ok(self.advance(new.len())?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<I: ReadAt> Seek for Scratch<'_, I> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek(self.position, self.size()?, to)?;
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
