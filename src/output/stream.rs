//! Writes an image to a pipe.

use std::io::Write;

use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::image::patched::Composed;
use crate::progress::Progress;
use crate::units::{in_memory, len_of};

/// Bytes that are read at once.
const CHUNK: u64 = 1 << 20;

/// Writes the whole image, front to back.
pub fn write<B: ReadAt>(
    image: &Composed<B>,
    mut to: impl Write,
    progress: &dyn Progress,
) -> Result<()> {
    progress.begin("Writing", image.size());
    let mut buffer = vec![0; in_memory(CHUNK)];
    let mut at = 0;
    while at < image.size() {
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let length = in_memory(image.size().saturating_sub(at).min(CHUNK));
        let Some(chunk) = buffer.get_mut(..length) else { break };
        image.read_exact_at(chunk, at)?;
        to.write_all(chunk).map_err(Error::io("write to standard output"))?;
        at = at.saturating_add(len_of(chunk));
        progress.advance(len_of(chunk));
    }
    progress.end();
    to.flush().map_err(Error::io("write to standard output"))
}
