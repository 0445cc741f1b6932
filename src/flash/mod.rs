//! Writes an image to media and proves that it is there.
//!
//! ```text
//! image -> feed -> write (or delta) -> verify -> close
//! ```
//! One thread reads and unpacks the image, one per medium writes it; three buffers of four mebibytes
//! go round between them. After that every medium is read back past the cache.

mod buffer;
mod delta;
mod diagnosis;
mod examine;
mod expected;
mod feed;
mod first_block;
mod format;
mod layout;
mod medium;
mod mounted;
mod options;
mod probe;
mod ranges;
mod readable;
mod report;
mod restore;
mod source;
mod verify;
mod write;
mod writer;
mod zeros;

use std::sync::mpsc::sync_channel;

pub use crate::image::unpack::{
    DigestMatch, ExpectedDigest, Feed, Packing, Source, Stream, is_pipe,
};
pub use diagnosis::{Cause, Difference};
pub use examine::{Examined, examine};
pub use format::{Format, format};
pub use medium::{Medium, is_half_written};
pub use options::{Delta, Options, Probe, Verify};
pub use readable::Readable;
pub use report::Report;
pub use restore::{Restore, put_back};
pub use source::Image;

use crate::checked;
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::image::unpack::Restart;
use crate::progress::Progress;
use crate::target::Target;
use crate::threads;
use crate::units::ByteRange;
use expected::Expected;
use layout::{Layout, Placed};
use writer::{ReadBack, Writer};

/// Writes `image` to all `media` at once and reads it back. Each has its own progress and result.
///
/// # Errors
/// An image that cannot be read, or that [`examine`] refuses. What goes wrong with a medium is in its own result.
pub fn write(
    mut image: Image<'_>,
    media: &[(&dyn Medium, &dyn Progress)],
    options: &Options,
) -> Result<Vec<Result<Report>>> {
    options.delta.check(matches!(image, Image::Whole(_)))?;
    let examined = &examine(&mut image, &options.name, options.any)?;
    let again = match &image {
        Image::Stream(stream) => stream.restart(),
        Image::Whole(_) => None,
    };
    let again = move || again.as_ref().map(Restart::open);
    let origin = match &image {
        Image::Whole(image) => ReadBack::Whole(*image),
        Image::Stream(_) => ReadBack::Stream(&again),
    };
    std::thread::scope(|scope| {
        let mut listeners = Vec::new();
        let mut running = Vec::new();
        for &(medium, progress) in media {
            let (tell, hear) = sync_channel(feed::BUFFERS);
            listeners.push(tell);
            let report =
                Report { is_direct: medium.is_direct(), fits: options.fits, ..Report::default() };
            let writer = Writer { medium, progress, options, examined, image: origin, report };
            // Those that wait already hear of no image, and write nothing.
            running.push(threads::start(scope, move || writer.run(hear))?);
        }
        let read = feed::read(image, listeners);
        let results = running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| broken()));
        let results: Vec<Result<Report>> = results.collect();
        read.map(|()| results)
    })
}

fn broken() -> Result<Report> {
    Err(Error::bug("the writing thread panicked"))
}

/// What is done with a disk when it is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Finish {
    /// Whether the kernel has seen the new partitions.
    pub partitions_seen: bool,
    /// Whether the medium has been put out.
    pub ejected: bool,
}

/// Makes the kernel see the new partitions and puts the medium out.
///
/// # Errors
/// The system's, if it refuses; nothing is left out silently.
pub fn finish(target: Target, eject: bool) -> Result<Finish> {
    let name = target.path().display().to_string();
    if target.disk().is_none() {
        target.close().map_err(Error::io(format!("close {name}")))?;
        return Ok(Finish { partitions_seen: false, ejected: false });
    }
    // Something that looks at every new disk may be quicker; then the old partitions stay known
    // until the disk is plugged in again, and that is reported.
    let partitions_seen = match target.reread_partitions() {
        Err(fault) if fault.kind() == std::io::ErrorKind::ResourceBusy => false,
        seen => seen.map_err(Error::io(format!("make the kernel see the partitions of {name}")))?,
    };
    let ejected = match target.disk().filter(|disk| eject && disk.is_portable()) {
        Some(_) => target.eject().map_err(Error::io(format!("eject {name}")))?,
        None => {
            target.close().map_err(Error::io(format!("close {name}")))?;
            false
        }
    };
    Ok(Finish { partitions_seen, ejected })
}

/// Compares a medium with the image that was written to it. A GPT whose backup was moved to the end
/// of the medium counts as equal.
///
/// # Errors
/// A medium or image that cannot be read; differences are in the report.
pub fn verify(medium: &dyn Medium, image: &dyn ReadAt, progress: &dyn Progress) -> Result<Report> {
    (&image).if_unchanged(compared(medium, image, progress))
}

fn compared(medium: &dyn Medium, image: &dyn ReadAt, progress: &dyn Progress) -> Result<Report> {
    let start = std::time::Instant::now();
    let mut report =
        Report { size: image.size(), is_direct: medium.is_direct(), ..Report::default() };
    let mut head = vec![0; crate::units::usize_of(image.size().min(buffer::HEAD))];
    image.read_exact_at(&mut head, 0)?;
    let layout = written_as(medium, &head, image.size())?;
    let first = Placed { at: 0, bytes: layout.head_of(image.size())? };
    progress.begin("verify", image.size());
    let mut check = |meant: Expected<'_>, range: Option<ByteRange>| -> Result<()> {
        let findings = verify::compare(medium, meant, range.as_slice(), progress)?;
        let compared = ranges::total(range.as_slice())?;
        report.compared = checked::sum(report.compared, compared, "what was compared")?;
        if !findings.is_empty() {
            report.differences.extend(diagnosis::diagnose(medium, meant, &findings)?);
        }
        Ok(())
    };
    check(Expected::Whole(&first), Some(first.range()?))?;
    check(Expected::Whole(image), layout.plain(image.size()))?;
    if let Some(tail) = layout.tail() {
        check(Expected::Whole(&tail), Some(tail.range()?))?;
    }
    report.backup_at = layout.backup_at();
    report.beyond = medium::beyond_image(medium, image.size())?;
    progress.end();
    diagnosis::only_few_are_flipped(&mut report.differences);
    report.is_whole = report.differences.is_empty();
    report.verify_time = Some(start.elapsed());
    Ok(report)
}

/// How an image that begins with `head` was written to a medium: with its backup GPT moved, if the
/// header on the medium says so (the field Alternate LBA), and else as it is.
fn written_as(medium: &dyn Medium, head: &[u8], size: u64) -> Result<Layout> {
    let exact = || Layout::new(head, Some(size), medium, true);
    let moved = match Layout::new(head, Some(size), medium, false) {
        Err(Error::Unsafe { .. }) => return exact(),
        moved => moved?,
    };
    let mut first = buffer::aligned(buffer::HEAD)?;
    let block = crate::units::usize_of(medium.block());
    let count = medium::read_full(medium, "read", &mut first, 0)?;
    // A head that ends before it has no such field.
    let field = |bytes: &[u8]| Some(bytes.get(block..)?.get(32..40)?.to_vec());
    let found = checked::part(&first, ..count, "what was read")?;
    if field(found) == field(moved.head()?) { Ok(moved) } else { exact() }
}
