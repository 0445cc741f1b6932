//! Locks of open files (flock(2)), which the kernel takes away with the process: one that is killed keeps nobody out.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Locks a file, or fails at once if another program has it.
///
/// # Errors
/// `taken` in that case, and the operating system's.
pub(crate) fn take(file: &File, path: &Path, taken: impl FnOnce() -> Error) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(taken()),
        locked => told(locked, path),
    }
}

/// Takes a file as soon as no other program has it.
///
/// # Errors
/// The operating system's.
#[cfg(feature = "records")]
pub(crate) fn wait(file: &File, path: &Path) -> Result<()> {
    told(flock(file, FlockOperation::LockExclusive), path)
}

fn told(locked: rustix::io::Result<()>, path: &Path) -> Result<()> {
    match locked {
        // A filesystem without locks: nobody can be kept out.
        Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        locked => {
            locked.map_err(|fault| Error::io(format!("lock {}", path.display()))(fault.into()))
        }
    }
}
