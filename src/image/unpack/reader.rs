//! What unpacks, as it is read.

use std::io::Read;

/// Compressed bytes that are read at once.
pub(super) const INPUT: usize = 1 << 18;

/// The unpacked bytes, as they come.
pub(super) type Reader = Box<dyn Read + Send>;
