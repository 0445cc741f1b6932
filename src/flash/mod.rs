//! Writes an image to media and proves that it is there.
//!
//! ```text
//! image -> feed -> write (or delta) -> verify -> close
//! ```
//! One thread reads and unpacks the image, one per medium writes it; three buffers of four mebibytes
//! go round between them. After that every medium is read back past the cache.

mod buffer;
mod delta;
mod examine;
mod feed;
mod layout;
mod meant;
mod medium;
mod mounted;
mod probe;
mod put_back;
mod ranges;
mod readable;
mod verify;
mod write;

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

pub use crate::image::unpack::{Demanded, Feed, Fits, Packing, Source, Stream, is_pipe};
pub use examine::{Examined, examine};
pub use medium::{Medium, is_half_written};
pub use put_back::{PutBack, put_back};
pub use readable::Readable;
pub use verify::{Cause, Difference};

use crate::checked;
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::progress::Progress;
use crate::target::Target;
use crate::units::ByteRange;
use layout::{Layout, Placed};
use meant::Meant;
use write::{Origin, Writer};

/// An image to write.
#[expect(missing_debug_implementations, reason = "an image that can be read has no text form")]
pub enum Image<'a> {
    /// One that can be read anywhere, and again.
    Whole(&'a dyn ReadAt),
    /// One that comes once.
    Stream(Stream),
}

/// How much of the medium is read back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verify {
    /// Everything that was written.
    #[default]
    Full,
    /// The start, the end, and [`Options::changed`].
    Quick,
    /// Nothing.
    Off,
}

/// Whether only what differs is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Delta {
    /// If the medium holds an image of the same base.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

/// How an image is written.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How much is read back.
    pub verify: Verify,
    /// Whether only what differs is written.
    pub delta: Delta,
    /// Whether the size that the medium claims is put to the test first.
    pub probe: bool,
    /// Whether the backup GPT stays where it is in the image.
    pub exact: bool,
    /// Whether an image is written that is truncated, or no disk image as far as can be told.
    pub any: bool,
    /// What errors call the image.
    pub name: String,
    /// Something different for every run, for the marks of the probe.
    pub nonce: u64,
    /// Bytes of the image as far as they are known, for progress.
    pub size_hint: Option<u64>,
    /// The bytes of the image that do not come from its base.
    pub changed: Vec<ByteRange>,
    /// Which bytes have the SHA-256 that is demanded of the image, if that is known before.
    pub fits: Option<Fits>,
    /// Where the medium may differ from the base, if that is known: with [`Verify::Quick`] a delta
    /// looks only there and at [`Self::changed`].
    pub suspects: Option<Vec<ByteRange>>,
}

/// What was done to one medium.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Bytes of the image.
    pub size: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Bytes that were read back or compared.
    pub compared: u64,
    /// Whether only what differed was written.
    pub is_delta: bool,
    /// Whether writes passed the page cache.
    pub is_direct: bool,
    /// Where the backup GPT went, if it had to move.
    pub backup_at: Option<u64>,
    /// How long the probe took.
    pub probe_time: Option<Duration>,
    /// How long writing took.
    pub write_time: Duration,
    /// How long reading back took.
    pub verify_time: Option<Duration>,
    /// All bytes that are wrong, in order. Then the medium has no first block and does not boot.
    pub differences: Vec<Difference>,
    /// Whether all of the image is on the medium, as far as that was asked to be checked.
    pub is_whole: bool,
    /// What the image lacks, where that is known only at its end.
    pub note: Option<String>,
    /// Which bytes have the SHA-256 that was demanded.
    pub fits: Option<Fits>,
}

impl Report {
    /// Whether most of what differs is other data, and nothing that differs is explained by the medium.
    pub fn is_other_data(&self) -> bool {
        let is_fault = |cause: Cause| {
            matches!(cause, Cause::Wrapped { .. } | Cause::Unstable | Cause::Unreadable)
        };
        let bytes = |is: &dyn Fn(Cause) -> bool| {
            let found = self.differences.iter().filter(|found| is(found.cause));
            found.fold(0_u64, |sum, found| sum.saturating_add(found.at.size()))
        };
        let (other, all) = (bytes(&|cause| cause == Cause::Other), bytes(&|_| true));
        bytes(&is_fault) == 0 && other >= all.saturating_sub(other) && all > 0
    }

    /// The error for a medium that does not hold what was meant.
    pub fn error(&self, medium: &str) -> Option<Error> {
        let first = self.differences.first()?;
        let bad = self.differences.iter().fold(0_u64, |sum, d| sum.saturating_add(d.at.size()));
        Some(Error::Differs {
            what: medium.to_owned(),
            at: first.at.start(),
            found: first.cause.explained(),
            expected: format!(
                "the image ({} different places, {bad} bytes in all)",
                self.differences.len()
            ),
        })
    }
}

/// Writes `image` to all `media` at once and reads it back. Each has its own progress and result.
///
/// # Errors
/// An image that cannot be read, or that [`examine`] refuses. What goes wrong with a medium is in its own result.
pub fn write(
    mut image: Image<'_>,
    media: &[(&dyn Medium, &dyn Progress)],
    options: &Options,
) -> Result<Vec<Result<Report>>> {
    let examined = &examine(&mut image, &options.name, options.any)?;
    let again = match &image {
        Image::Stream(stream) => stream.restart(),
        Image::Whole(_) => None,
    };
    let again = move || again.as_deref().map(open_again);
    let origin = match &image {
        Image::Whole(image) => Origin::Whole(*image),
        Image::Stream(_) => Origin::Stream(&again),
    };
    std::thread::scope(|scope| {
        let mut listeners = Vec::new();
        let mut threads = Vec::new();
        for &(medium, progress) in media {
            let (tell, hear) = sync_channel(feed::BUFFERS);
            listeners.push(tell);
            let report =
                Report { is_direct: medium.is_direct(), fits: options.fits, ..Report::default() };
            let writer = Writer { medium, progress, options, examined, image: origin, report };
            threads.push(scope.spawn(move || writer.run(hear)));
        }
        let read = feed::read(image, listeners);
        let results = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| broken()));
        let results: Vec<Result<Report>> = results.collect();
        read.map(|()| results)
    })
}

fn open_again(path: &Path) -> Result<Stream> {
    match Source::open(path)? {
        Source::Stream(stream) => stream.without_archive(),
        Source::Plain(image) => {
            let found = format!("{} bytes", image.size());
            Err(Error::malformed("the image", 0, found, "the compressed file it was before"))
        }
    }
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
    // until the disk is plugged in again, and that is told.
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
    let start = std::time::Instant::now();
    let mut report =
        Report { size: image.size(), is_direct: medium.is_direct(), ..Report::default() };
    let mut head = vec![0; crate::units::in_memory(image.size().min(buffer::HEAD))];
    image.read_exact_at(&mut head, 0)?;
    let layout = written_as(medium, &head, image.size())?;
    let first = Placed { at: 0, bytes: layout.head_of(image.size())? };
    progress.begin("verify", image.size());
    let mut check = |meant: Meant<'_>, range: Option<ByteRange>| -> Result<()> {
        let findings = verify::compare(medium, meant, range.as_slice(), progress)?;
        let compared = ranges::total(range.as_slice())?;
        report.compared = checked::sum(report.compared, compared, "what was compared")?;
        if !findings.is_empty() {
            report.differences.extend(verify::diagnose(medium, meant, &findings)?);
        }
        Ok(())
    };
    check(Meant::Whole(&first), Some(first.range()?))?;
    check(Meant::Whole(image), layout.plain(image.size()))?;
    if let Some(tail) = layout.tail() {
        check(Meant::Whole(&tail), Some(tail.range()?))?;
    }
    report.backup_at = layout.backup_at();
    progress.end();
    verify::only_few_are_flipped(&mut report.differences);
    report.is_whole = report.differences.is_empty();
    report.verify_time = Some(start.elapsed());
    Ok(report)
}

/// How an image that begins with `head` was written to a medium: with its backup GPT moved, if the
/// header on the medium says so (the field Alternate LBA), and else as it is.
fn written_as(medium: &dyn Medium, head: &[u8], size: u64) -> Result<Layout> {
    let exact = || Layout::of(head, Some(size), medium, true);
    let moved = match Layout::of(head, Some(size), medium, false) {
        Err(Error::Unsafe { .. }) => return exact(),
        moved => moved?,
    };
    let mut first = buffer::aligned(buffer::HEAD)?;
    let block = crate::units::in_memory(medium.block());
    let count = medium::read_full(medium, "read", &mut first, 0)?;
    // A head that ends before it has no such field.
    let field = |bytes: &[u8]| Some(bytes.get(block..)?.get(32..40)?.to_vec());
    let found = checked::part(&first, ..count, "what was read")?;
    if field(found) == field(moved.head()?) { Ok(moved) } else { exact() }
}
