//! Whether the user wants to stop, for loops over what many files or records there are and that are handed no progress.

use std::io::{self, Read};
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// Says whether the user wants to stop.
static ASKED: OnceLock<fn() -> bool> = OnceLock::new();

/// From now on these loops end when `asked` says so. The first caller counts.
pub fn when(asked: fn() -> bool) {
    // Another one asks the same user.
    let _ = ASKED.set(asked);
}

/// An error as soon as the user wants to stop.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn check() -> Result<()> {
    if ASKED.get().is_some_and(|asked| asked()) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Reads until the user wants to stop.
#[derive(Debug)]
pub struct UntilStopped<R>(pub R);

impl<R: Read> Read for UntilStopped<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        check()?;
        self.0.read(buf)
    }
}
