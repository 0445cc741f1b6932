//! What a file looks like from outside. While that is the same, its contents were not changed by usual means.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// Size, times and inode of a file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct FileState {
    size: u64,
    /// When contents were changed last: seconds, nanoseconds.
    changed: (i64, i64),
    /// What nobody can set back: when contents were changed, or times were set.
    status: (i64, i64),
    /// Device and number.
    inode: (u64, u64),
}

impl FileState {
    /// Of the metadata of a file.
    pub(crate) fn new(about: &Metadata) -> Self {
        Self {
            size: about.len(),
            changed: (about.mtime(), about.mtime_nsec()),
            status: (about.ctime(), about.ctime_nsec()),
            inode: (about.dev(), about.ino()),
        }
    }
}
