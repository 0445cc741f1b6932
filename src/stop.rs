//! Whether the user wants to stop, for loops over what many files or records there are and that are handed no progress.

use std::io::{self, Read};

use crate::error::{Error, Result};
use crate::waiting;
pub use crate::waiting::when;

/// An error as soon as the user wants to stop.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn check() -> Result<()> {
    if waiting::is_over() { Err(Error::Interrupted) } else { Ok(()) }
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
