//! An image as the block device that `hadris-iso` reads from.

use hadris_storage::sync::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};

use crate::error::Error;
use crate::image::{ReadAt, past_64_bits};
use crate::units::LOGICAL_BLOCK;

/// Reads an image in logical blocks; a last part of a block is not reachable.
#[derive(Debug)]
pub struct Blocks<'a, I>(pub &'a I);

impl<I> hadris_io::ErrorType for Blocks<'_, I> {
    type Error = Error;
}

impl<I: ReadAt> BlockDevice for Blocks<'_, I> {
    fn block_size(&self) -> BlockSize {
        const { BlockSize::new(2048).expect("2048 is a power of two") }
    }

    fn block_count(&self) -> u64 {
        self.0.size().div_euclid(LOGICAL_BLOCK)
    }

    fn read_blocks(
        &mut self,
        first: BlockIndex,
        buf: &mut [u8],
    ) -> Result<(), hadris_io::Error<Error>> {
        let at = first.get().checked_mul(LOGICAL_BLOCK).ok_or_else(|| past_64_bits(first.get()));
        let read = at.and_then(|at| self.0.read_exact_at(buf, at));
        read.map_err(|fault| hadris_io::Error::device(fault, "image"))
    }
}
