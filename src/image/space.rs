//! Where new bytes go: behind the base, in whole logical blocks.

use crate::error::{Error, Result};
use crate::units::{ByteRange, LOGICAL_BLOCK, Lbn, align_up};

/// The end of an image that grows.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    end: u64,
}

impl Tail {
    /// Starts behind the last byte of the base.
    pub fn behind(base_size: u64) -> Result<Self> {
        Ok(Self { end: align_up(base_size, LOGICAL_BLOCK).ok_or_else(too_large)? })
    }

    /// Leaves blocks out up to a multiple of `unit` bytes.
    pub fn align(&mut self, unit: u64) -> Result<()> {
        self.end = align_up(self.end, unit.max(LOGICAL_BLOCK)).ok_or_else(too_large)?;
        Ok(())
    }

    /// Takes room for `bytes`, from the start of a block on.
    pub fn take(&mut self, bytes: u64) -> Result<ByteRange> {
        let range = ByteRange::new(self.end, bytes).ok_or_else(too_large)?;
        self.end = align_up(range.end(), LOGICAL_BLOCK).ok_or_else(too_large)?;
        Lbn::at_byte(self.end).ok_or_else(too_large)?;
        Ok(range)
    }

    /// Where the next bytes would go.
    pub fn end(self) -> u64 {
        self.end
    }
}

/// The image would have blocks that 32 bits cannot number.
pub fn too_large() -> Error {
    Error::NoRoom { what: "a volume of 2^32 logical blocks".into(), needed: u64::MAX, free: 0 }
}

/// The number of the block that a range starts with.
pub fn location(range: ByteRange) -> Result<u32> {
    Lbn::at_byte(range.start()).map(|block| block.0).ok_or_else(too_large)
}
