//! What a file looks like from outside. While that is the same, its contents were not changed by usual means.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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

    /// Its bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Refuses an open file that does not look like this any more.
    ///
    /// # Errors
    /// [`Error::Changed`].
    pub(crate) fn check(&self, file: &File, path: &Path) -> Result<()> {
        let now = file.metadata().map_err(Error::io(format!("look at {}", path.display())))?;
        if self.has_same_contents(&Self::new(&now)) {
            return Ok(());
        }
        Err(Error::Changed { what: path.display().to_string() })
    }

    /// Whether it is the same file with the same contents. Linking a file or changing its mode changes the status time, but
    /// not the contents.
    pub(crate) fn has_same_contents(&self, other: &Self) -> bool {
        let contents = |state: &Self| (state.size, state.changed, state.inode);
        contents(self) == contents(other)
    }
}
