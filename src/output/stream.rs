//! Writes an image to a pipe.

use std::io::Write;

use crate::checked;
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::output::Outgoing;
use crate::progress::Progress;
use crate::units::usize_of;

/// Bytes that are read at once. They are still in the processor's cache when they are written: reading and writing
/// 1.2 GB through a pipe took 0.31 s of a processor by 128 KiB, and 0.41 s by 1 MiB.
const CHUNK: u64 = 128 << 10;

/// Writes the whole image, front to back.
pub fn write<B: ReadAt>(
    outgoing: Outgoing<'_, B>,
    mut to: impl Write,
    progress: &dyn Progress,
) -> Result<()> {
    let image = outgoing.image();
    progress.begin("write", image.size());
    let mut buffer = vec![0; usize_of(CHUNK)];
    for step in checked::between(0, image.size(), "the image")?.steps(CHUNK) {
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let length = usize_of(step.size());
        let chunk = checked::part_mut(&mut buffer, ..length, "room for a piece")?;
        image.read_exact_at(chunk, step.start())?;
        to.write_all(chunk).map_err(Error::io("write to standard output"))?;
        progress.advance(step.size());
    }
    progress.end();
    image.check_unchanged()?;
    to.flush().map_err(Error::io("write to standard output"))
}
