//! Where new bytes go: behind the base, in whole logical blocks.

use crate::checked;
use crate::error::{Error, Result};
use crate::units::{ByteRange, LOGICAL_BLOCK, Lbn};

/// The end of an image that grows.
#[derive(Clone, Copy, Debug)]
pub struct Allocator {
    end: u64,
}

impl Allocator {
    /// Starts behind the last byte of the base.
    pub fn behind(base_size: u64) -> Result<Self> {
        Ok(Self { end: checked::round_up(base_size, LOGICAL_BLOCK, "the end of the base")? })
    }

    /// Leaves blocks out up to a multiple of `unit` bytes.
    pub(crate) fn align(&mut self, unit: u64) -> Result<()> {
        self.end = checked::round_up(self.end, unit.max(LOGICAL_BLOCK), "the end of the image")?;
        Ok(())
    }

    /// Takes room for `bytes`, from the start of a block on.
    ///
    /// # Errors
    /// [`Error::NoRoom`] where the volume would have more blocks than 32 bits can number.
    pub fn take(&mut self, bytes: u64) -> Result<ByteRange> {
        let range = checked::range(self.end, bytes, "the end of the image")?;
        self.end = checked::round_up(range.end(), LOGICAL_BLOCK, "the end of the image")?;
        block_at(self.end)?;
        Ok(range)
    }

    /// Where the next bytes would go.
    pub fn end(self) -> u64 {
        self.end
    }
}

/// Bytes of a volume whose blocks 32 bits can number.
const MOST: u64 = LOGICAL_BLOCK << 32;

/// The error for a volume that would have so many bytes.
pub fn too_large(needed: u64) -> Error {
    Error::NoRoom { what: "a volume of 2^32 logical blocks".into(), needed, free: MOST }
}

/// The number of the block that a range starts with.
///
/// # Errors
/// [`Error::NoRoom`] where 32 bits cannot number it.
pub fn location(range: ByteRange) -> Result<u32> {
    block_at(range.start()).map(|block| block.0)
}

fn block_at(at: u64) -> Result<Lbn> {
    match Lbn::at_byte(at) {
        Some(block) => Ok(block),
        None if at >= MOST => Err(too_large(at)),
        None => Err(Error::bug(format!("byte {at:#x} is not the start of a block"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_is_too_large_says_how_large_it_would_be() {
        let mut fits = Allocator::behind(MOST - 2 * LOGICAL_BLOCK).unwrap();
        assert!(fits.take(LOGICAL_BLOCK).is_ok());
        assert!(matches!(fits.take(LOGICAL_BLOCK), Err(Error::NoRoom { .. })));
        let mut tail = Allocator::behind(MOST - LOGICAL_BLOCK - 1).unwrap();
        let fault = tail.take(LOGICAL_BLOCK + 1).unwrap_err().to_string();
        let expected = "no room in a volume of 2^32 logical blocks: 8796093024256 bytes needed, 8796093022208 free";
        assert_eq!(fault, expected);
    }

    #[test]
    fn a_place_that_is_not_the_start_of_a_block_is_a_bug() {
        let fault = location(ByteRange::between(1, 2).unwrap()).unwrap_err();
        assert!(matches!(fault, Error::Bug { .. }), "{fault}");
    }
}
