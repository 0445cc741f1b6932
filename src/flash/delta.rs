//! Writes only the blocks of a medium that differ from the image.

use std::time::Instant;

use super::buffer::{BUFFER, aligned};
use super::expected::{Expected, UNIT};
use super::first_block::{FIRST_BLOCK, marked};
use super::layout::{Layout, Placed};
use super::medium::{Medium, beyond_image, flush, read_full, write_all};
use super::options::Verify;
use super::probe::Marked;
use super::ranges::{joined, total};
use super::verify::{Findings, compare};
use super::writer::{Writer, Written};
use super::zeros::Zeros;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::gpt;
use crate::image::ReadAt;
use crate::units::{ByteRange, u64_len, usize_of};

/// The Primary Volume Descriptor (ECMA-119 §6.7.1, §8.4); behind it is the Boot Record of El Torito.
pub(super) const DESCRIPTOR: std::ops::Range<u64> = 0x8000..0x8800;
/// Its Volume Identifier (BP 41-72) and Volume Creation Date and Time (BP 814-830): what all
/// stamped copies of one base have in common.
const IDENTITY: [std::ops::Range<usize>; 2] = [40..72, 813..830];
/// Units that are compared to tell whether the rest is the same base.
const SAMPLES: u64 = 128;

/// Whether the medium holds an image of the same base already.
pub(super) fn holds_same_base(medium: &dyn Medium, head: &[u8]) -> Result<bool> {
    let mut buf = aligned(1 << 16)?;
    let found = read_full(medium, "read", &mut buf, 0)?;
    let found = checked::part(&buf, ..found, "what was read")?;
    Ok(match (descriptor(found), descriptor(head)) {
        (Some(found), Some(meant)) => {
            IDENTITY.iter().all(|field| found.get(field.clone()) == meant.get(field.clone()))
        }
        (None, None) => {
            // For images without a volume, in blocks of 512 bytes.
            let guid = |bytes| gpt::guid_in(<[u8]>::get(bytes, 512..)?);
            guid(found).is_some() && guid(found) == guid(head)
        }
        _ => false,
    })
}

fn descriptor(bytes: &[u8]) -> Option<&[u8]> {
    let at = usize_of(DESCRIPTOR.start)..usize_of(DESCRIPTOR.end);
    bytes.get(at).filter(|descriptor| descriptor.starts_with(b"\x01CD001"))
}

/// What has to be written.
struct Changes {
    /// After the first mebibyte.
    rest: Vec<ByteRange>,
    /// Within it.
    head: Vec<ByteRange>,
    /// Whether the backup GPT is not there.
    tail: bool,
    /// Bytes of a disk that are to be zeros, as if all of it were written, and are not.
    cleared: Vec<ByteRange>,
    /// How far a file goes on behind the image.
    beyond: u64,
}

impl Changes {
    /// Whether not even the length has to change.
    fn is_empty(&self) -> bool {
        let has_bytes = !self.rest.is_empty() || !self.head.is_empty() || !self.cleared.is_empty();
        !has_bytes && !self.tail && self.beyond == 0
    }
}

/// Finds what differs, takes the first block away, writes what differs, and puts the first block
/// back. What was equal is read again behind that: a medium that wraps loses it by what is written elsewhere.
/// The marks of a probe go before the comparison, except behind the image.
pub(super) fn update(
    writer: &mut Writer<'_>,
    image: &dyn ReadAt,
    layout: &Layout,
    marked: Option<Marked>,
) -> Result<()> {
    let start = Instant::now();
    let size = image.size();
    let behind = writer.behind(size, layout)?;
    let marked = marked.map(|marked| marked.keep(writer.medium, behind)).transpose()?;
    writer.report.size = size;
    writer.report.is_delta = true;
    let changes = find(writer, image, layout)?;
    writer.report.write_time = start.elapsed();
    writer.report.cut_off = changes.beyond;
    let is_same = changes.is_empty();
    if !is_same {
        write_changes(writer, image, layout, &changes)?;
        writer.report.write_time = start.elapsed();
    }
    if let Some(marked) = marked {
        marked.settle(writer.medium, behind)?;
    }
    if is_same {
        image.check_unchanged()?;
        writer.report.is_whole = true;
        return Ok(());
    }
    let (ranges, zeros) = match writer.options.verify {
        Verify::Full => {
            // What was read before counts no more.
            writer.report.compared = 0;
            (writer.verified_ranges(layout.plain(size))?, writer.cleared(size, layout)?)
        }
        Verify::Quick | Verify::Off => (changes.rest, changes.cleared),
    };
    let written = Written { ranges: &ranges, zeros: &zeros };
    let taken = descriptors(layout)?.into_iter();
    let head = joined(taken.chain(changes.head.iter().copied()).collect());
    writer.check_and_close(Expected::Whole(image), written, layout, &head)
}

/// Compares what has to be compared.
fn find(writer: &mut Writer<'_>, image: &dyn ReadAt, layout: &Layout) -> Result<Changes> {
    let rest = layout.plain(image.size());
    let placed = Placed { at: 0, bytes: layout.head_of(image.size())? };
    let head = differing(writer, Expected::Whole(&placed), &[placed.range()?])?;
    let ranges = match (rest, &writer.options.suspects, writer.options.verify) {
        (Some(rest), Some(suspects), Verify::Quick) => {
            let known = suspects.iter().chain(&writer.options.changed);
            let widened = |range: &ByteRange| checked::whole_blocks(*range, UNIT, "a known place");
            let known: Vec<ByteRange> = known.map(widened).collect::<Result<_>>()?;
            if is_same_base(writer, image, (&head, rest), &known)? {
                writer.report.is_sampled = true;
                joined(known.iter().filter_map(|range| range.common(rest)).collect())
            } else {
                vec![rest]
            }
        }
        _ => rest.into_iter().collect(),
    };
    writer.progress.begin("compare", total(&ranges)?);
    let bad = differing(writer, Expected::Whole(image), &ranges)?;
    let tail = match layout.tail() {
        Some(tail) => !differing(writer, Expected::Whole(&tail), &[tail.range()?])?.is_empty(),
        None => false,
    };
    let cleared = writer.cleared(image.size(), layout)?;
    let cleared = differing(writer, Expected::Whole(&Zeros), &cleared)?;
    writer.progress.end();
    writer.report.compared =
        checked::sum(total(&ranges)?, u64_len(placed.bytes), "what was compared")?;
    let block = writer.medium.block();
    // The last block of the image is written whole.
    let whole = |range| checked::whole_blocks(range, block, "a change in the head");
    let head = head.into_iter().map(whole).collect::<Result<_>>()?;
    let beyond = beyond_image(writer.medium, image.size())?;
    Ok(Changes { rest: joined(bad), head: joined(head), tail, cleared: joined(cleared), beyond })
}

/// Whether the medium holds the base of the image, except at the `known` places. Images of one release
/// share name and date; what tells them apart is where their files lie, and the files.
fn is_same_base(
    writer: &Writer<'_>,
    image: &dyn ReadAt,
    (head, rest): (&[ByteRange], ByteRange),
    known: &[ByteRange],
) -> Result<bool> {
    let is_known = |range: &ByteRange| {
        range.end() <= FIRST_BLOCK || known.iter().any(|place| place.common(*range).is_some())
    };
    if !head.iter().all(is_known) {
        return Ok(false);
    }
    let mut samples = samples(rest)?;
    samples.retain(|range| !is_known(range));
    Ok(differing(writer, Expected::Whole(image), &samples)?.is_empty())
}

/// Units spread evenly over `range`.
fn samples(range: ByteRange) -> Result<Vec<ByteRange>> {
    let step = range.size().div_ceil(SAMPLES).max(UNIT);
    let sample = |number| {
        let at =
            checked::sum(range.start(), checked::product(step, number, "a sample")?, "a sample")?;
        let start = checked::round_down(at, UNIT, "a sample")?;
        // The last ones may lie behind the end.
        Ok(checked::range(start, UNIT, "a sample")?.common(range))
    };
    (0..SAMPLES).filter_map(|number| sample(number).transpose()).collect()
}

/// Refuses an image that is larger than the medium.
pub(super) fn check_fits(medium: &dyn Medium, size: u64) -> Result<()> {
    let needs = checked::round_up(size, medium.block(), "the end of the image")?;
    match medium.size().filter(|has| needs > *has) {
        Some(has) => Err(crate::target::Refusal::TooSmall { has, needs }.error(&medium.name())),
        None => Ok(()),
    }
}

/// The units of `ranges` that differ, also those that cannot be read: writing may heal them.
fn differing(
    writer: &Writer<'_>,
    meant: Expected<'_>,
    ranges: &[ByteRange],
) -> Result<Vec<ByteRange>> {
    compare(writer.medium, meant, ranges, writer.progress).map(Findings::ranges)
}

fn write_changes(
    writer: &mut Writer<'_>,
    image: &dyn ReadAt,
    layout: &Layout,
    changes: &Changes,
) -> Result<()> {
    writer.progress.begin("write", total(&changes.rest)?);
    invalidate(writer, layout, &changes.cleared)?;
    let mut buf = aligned(BUFFER)?;
    for range in changes.rest.iter().flat_map(|range| range.steps(BUFFER)) {
        let used = usize_of(range.size());
        let padded = checked::round_up(range.size(), writer.medium.block(), "the end of a change")?;
        let padded = checked::part_mut(&mut buf, ..usize_of(padded), "a change")?;
        image.read_exact_at(checked::part_mut(padded, ..used, "a change")?, range.start())?;
        checked::part_mut(padded, used.., "the rest of a block")?.fill(0);
        writer.put(padded, range.start())?;
        writer.progress.advance(range.size());
        if writer.progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
    }
    writer.write_tail(layout)?;
    let size = writer.report.size;
    let doing = format!("cut {}", writer.medium.name());
    writer.medium.cut(size).map_err(Error::io(doing))?;
    flush(writer.medium)?;
    writer.progress.end();
    Ok(())
}

/// Takes away what firmware looks for, so that an interrupted update does not boot: the first block, which gets the
/// mark of a half written disk; the volume descriptors, as some firmware follows them to an El Torito catalog on a stick
/// as well; and the backup GPT, with what else is to be `cleared`.
fn invalidate(writer: &mut Writer<'_>, layout: &Layout, cleared: &[ByteRange]) -> Result<()> {
    let zeros = aligned(FIRST_BLOCK)?;
    writer.put(&marked(u64_len(layout.head()?).min(FIRST_BLOCK))?, 0)?;
    if let Some(at) = descriptors(layout)? {
        writer.put(&zeros, at.start())?;
    }
    if let Some(tail) = layout.tail() {
        let block = usize_of(writer.medium.block());
        let last = checked::difference(tail.size(), writer.medium.block(), "the last block")?;
        write_all(writer.medium, checked::part(&zeros, ..block, "zeros")?, last)?;
    }
    for range in cleared.iter().flat_map(|range| range.steps(FIRST_BLOCK)) {
        writer.put(checked::part(&zeros, ..usize_of(range.size()), "zeros")?, range.start())?;
    }
    flush(writer.medium)
}

/// The first two volume descriptors of an image that has any.
fn descriptors(layout: &Layout) -> Result<Option<ByteRange>> {
    let head = layout.head()?;
    if descriptor(head).is_none() {
        return Ok(None);
    }
    let at = checked::range(DESCRIPTOR.start, FIRST_BLOCK, "the volume descriptors")?;
    Ok((at.end() <= u64_len(head)).then_some(at))
}
