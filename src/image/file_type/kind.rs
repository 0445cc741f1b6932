//! What kind of disk image a file can be.

use super::{is_at, number};

/// A filesystem: with its article, and as one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Filesystem(pub(super) &'static str, pub(super) &'static str);

/// The magic number of ext2, ext3 and ext4, and where it stands.
const EXT: (usize, &[u8]) = (1080, b"\x53\xEF");

/// What kind of disk image it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// An ISO 9660 volume, with partition tables or without.
    Iso,
    /// A UDF volume.
    Udf,
    /// A disk with a partition table.
    Partitioned,
    /// A filesystem without any table around it.
    Filesystem(Filesystem),
    /// A disk with nothing but a boot record.
    BootRecord,
}

/// Two bytes alone are found by chance; revision and block size must be ones that there are.
pub(super) fn is_ext(head: &[u8]) -> bool {
    let small = |at, most| number(head, at, 4).is_some_and(|found| found <= most);
    is_at(head, EXT.0, EXT.1) && small(1024 + 76, 1) && small(1024 + 24, 6)
}
