//! An image to write: one that can be read again, or one that comes once.

use crate::image::ReadAt;
use crate::image::unpack::Stream;

/// An image to write.
#[expect(missing_debug_implementations, reason = "an image that can be read has no text form")]
pub enum Image<'a> {
    /// One that can be read anywhere, and again.
    Whole(&'a dyn ReadAt),
    /// One that comes once.
    Stream(Stream),
}
