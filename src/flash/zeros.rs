//! As many zeros as anybody asks for: what a medium is meant to hold where nothing of an image is.

use crate::error::Result;
use crate::image::ReadAt;

/// They have no end.
pub(super) struct Zeros;

impl ReadAt for Zeros {
    fn size(&self) -> u64 {
        0
    }

    fn read_exact_at(&self, buf: &mut [u8], _: u64) -> Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
}
