//! The block that is written last of all, and the mark that stands there until then.

use memmap2::MmapMut;

use super::buffer::aligned;
use crate::error::Result;
use crate::formats::flash_mark;

/// What is written last of all: boot code, partition table and GPT header.
pub(super) const FIRST_BLOCK: u64 = 4096;

/// The first `size` bytes of a half written disk.
pub(super) fn marked(size: u64) -> Result<MmapMut> {
    let mut head = aligned(size)?;
    flash_mark::put(&mut head)?;
    Ok(head)
}
