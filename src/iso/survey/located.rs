//! A fact and the bytes of the image it was read from.

use crate::units::ByteRange;

/// A fact that keeps its address, so that a plan never has to search.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The bytes of the image.
    pub at: ByteRange,
    /// What they say.
    pub value: T,
}
