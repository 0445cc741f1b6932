//! Blocks of a filesystem that change, laid over an image.

use std::collections::BTreeMap;

use crate::checked;
use crate::error::Result;
use crate::image::{ReadAt, past_64_bits};
use crate::units::{ByteRange, beyond, u64_len, usize_of};

/// An image with other contents for some blocks of a filesystem in it; reads as if they were written.
#[derive(Debug)]
pub(super) struct Blocks<'a, I> {
    image: &'a I,
    /// Where block 0 is.
    start: u64,
    /// Bytes of a block.
    size: u64,
    changed: BTreeMap<u64, Vec<u8>>,
}

impl<'a, I: ReadAt> Blocks<'a, I> {
    pub(super) fn new(image: &'a I, start: u64, size: u64) -> Self {
        Self { image, start, size, changed: BTreeMap::new() }
    }

    /// Gives a block new contents.
    pub(super) fn write(&mut self, block: u64, mut bytes: Vec<u8>) -> Result<()> {
        checked::difference(self.size, u64_len(&bytes), "the bytes of a block")?;
        bytes.resize(usize_of(self.size), 0);
        self.changed.insert(block, bytes);
        Ok(())
    }

    /// The blocks that changed, in their order.
    pub(super) fn changed(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.changed.iter().map(|(block, bytes)| (*block, bytes.as_slice()))
    }

    /// Lays the part of a changed block that lies in `range` over the bytes there.
    fn lay(&self, block: u64, bytes: &[u8], range: ByteRange, buf: &mut [u8]) -> Result<()> {
        const WHAT: &str = "a changed block";
        let at = checked::sum(checked::product(block, self.size, WHAT)?, self.start, WHAT)?;
        let whole = checked::range(at, u64_len(bytes), WHAT)?;
        let Some(common) = whole.common(range) else { return Ok(()) };
        let from = usize_of(checked::difference(common.start(), at, WHAT)?);
        let to = usize_of(checked::difference(common.start(), range.start(), WHAT)?);
        let length = usize_of(common.size());
        let new = checked::part(checked::part(bytes, from.., WHAT)?, ..length, WHAT)?;
        let place = checked::part_mut(checked::part_mut(buf, to.., WHAT)?, ..length, WHAT)?;
        place.copy_from_slice(new);
        Ok(())
    }
}

impl<I: ReadAt> ReadAt for Blocks<'_, I> {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        self.image.read_exact_at(buf, at)?;
        let range = ByteRange::new(at, u64_len(buf)).ok_or_else(|| past_64_bits(at))?;
        // The block that a byte is in; what is before the filesystem counts as its first one.
        let number = |byte: u64| {
            let within = beyond(byte, self.start);
            checked::present(within.checked_div(self.size), "the size of a block")
        };
        for (block, bytes) in self.changed.range(number(range.start())?..=number(range.end())?) {
            self.lay(*block, bytes, range, buf)?;
        }
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        self.image.check_unchanged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_blocks_are_read_and_all_others_are_as_they_were() {
        let image: Vec<u8> = (0..=255).collect();
        let mut blocks = Blocks::new(&image, 10, 16);
        blocks.write(1, vec![1, 2, 3]).unwrap();
        for (at, length) in [(0, 256), (20, 10), (26, 1), (27, 20), (41, 3), (42, 9)] {
            let mut expected = image.clone();
            expected[26..42].fill(0);
            expected[26..29].copy_from_slice(&[1, 2, 3]);
            let mut found = vec![0; length];
            blocks.read_exact_at(&mut found, at).unwrap();
            assert_eq!(found, expected[usize_of(at)..][..length]);
        }
    }
}
