//! Writes only the blocks of a medium that differ from the image.

use std::time::Instant;

use super::Verify;
use super::buffer::{BUFFER, aligned};
use super::layout::{Layout, Placed};
use super::meant::{Meant, UNIT, steps};
use super::medium::{Medium, failed, flush, read_full, write_all};
use super::verify::{Findings, compare};
use super::write::{FIRST_BLOCK, Writer, sum};
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::units::{ByteRange, align_up, in_memory, len_of};

/// The Primary Volume Descriptor (ECMA-119 §6.7.1, §8.4); behind it is the Boot Record of El Torito.
pub(super) const DESCRIPTOR: std::ops::Range<u64> = 0x8000..0x8800;
/// Its Volume Identifier (BP 41-72) and Volume Creation Date and Time (BP 814-830): what all
/// stamped copies of one base have in common.
const IDENTITY: [std::ops::Range<usize>; 2] = [40..72, 813..830];
/// Units that are compared to tell whether the rest is the same base.
const SAMPLES: u64 = 128;
/// The GUID of the disk in a GPT header of 512-byte blocks, for images without a volume.
const DISK_GUID: std::ops::Range<usize> = 568..584;

/// Whether the medium holds an image of the same base already.
pub(super) fn holds_same_base(medium: &dyn Medium, head: &[u8]) -> Result<bool> {
    let mut buf = aligned(1 << 16)?;
    let found = read_full(medium, &mut buf, 0).map_err(|f| failed(medium, "read", 0, f))?;
    let found = buf.get(..found).unwrap_or_default();
    Ok(match (descriptor(found), descriptor(head)) {
        (Some(found), Some(meant)) => {
            IDENTITY.iter().all(|field| found.get(field.clone()) == meant.get(field.clone()))
        }
        (None, None) => {
            let guid = |bytes: &[u8]| {
                let guid = bytes.get(DISK_GUID)?.to_vec();
                (bytes.get(512..520)? == b"EFI PART").then_some(guid)
            };
            guid(found).is_some() && guid(found) == guid(head)
        }
        _ => false,
    })
}

fn descriptor(bytes: &[u8]) -> Option<&[u8]> {
    let at = in_memory(DESCRIPTOR.start)..in_memory(DESCRIPTOR.end);
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
}

/// Finds what differs, takes the first block away, writes what differs, and puts the first block
/// back. What is equal has been read from the medium, so only what was written is read back.
pub(super) fn update(writer: &mut Writer<'_>, image: &dyn ReadAt, layout: &Layout) -> Result<()> {
    let start = Instant::now();
    let size = image.size();
    check_fits(writer.medium, size)?;
    writer.report.size = size;
    writer.report.is_delta = true;
    let changes = find(writer, image, layout)?;
    writer.report.write_time = start.elapsed();
    if changes.rest.is_empty() && changes.head.is_empty() && !changes.tail {
        writer.report.is_whole = true;
        return Ok(());
    }
    write_changes(writer, image, layout, &changes)?;
    writer.report.write_time = start.elapsed();
    let checked: &[ByteRange] =
        if writer.options.verify == Verify::Off { &[] } else { &changes.rest };
    let taken = descriptors(layout).into_iter();
    let head = joined(taken.chain(changes.head.iter().copied()).collect());
    writer.check_and_close(Meant::Whole(image), checked, layout, &head)
}

/// Compares what has to be compared.
fn find(writer: &mut Writer<'_>, image: &dyn ReadAt, layout: &Layout) -> Result<Changes> {
    let rest = layout.plain(image.size());
    let placed = Placed { at: 0, bytes: layout.head_of(image.size()) };
    let head = differing(writer, Meant::Whole(&placed), placed.range().as_slice())?;
    let ranges = match (rest, &writer.options.suspects, writer.options.verify) {
        (Some(rest), Some(suspects), Verify::Quick) => {
            let known = suspects.iter().chain(&writer.options.changed);
            let known: Vec<ByteRange> = known.filter_map(|range| widened(*range)).collect();
            if is_same_base(writer, image, (&head, rest), &known)? {
                joined(known.iter().filter_map(|range| range.common(rest)).collect())
            } else {
                vec![rest]
            }
        }
        _ => rest.into_iter().collect(),
    };
    writer.progress.begin("compare", sum(&ranges));
    let bad = differing(writer, Meant::Whole(image), &ranges)?;
    let tail = match layout.tail() {
        Some(tail) => !differing(writer, Meant::Whole(&tail), tail.range().as_slice())?.is_empty(),
        None => false,
    };
    writer.progress.end();
    writer.report.compared = sum(&ranges).saturating_add(len_of(placed.bytes));
    let block = writer.medium.block();
    // The last block of the image is written whole.
    let whole = |range: ByteRange| ByteRange::between(range.start(), align_up(range.end(), block)?);
    let head = head.into_iter().filter_map(whole).collect();
    Ok(Changes { rest: joined(bad), head: joined(head), tail })
}

/// Whether the medium holds the base of the image but for the `known` places. Images of one release
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
    let samples: Vec<ByteRange> = samples(rest).filter(|range| !is_known(range)).collect();
    Ok(differing(writer, Meant::Whole(image), &samples)?.is_empty())
}

/// Units spread evenly over `range`.
fn samples(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    let step = range.size().div_ceil(SAMPLES).max(UNIT);
    (0..SAMPLES).filter_map(move |number| {
        let at = range.start().checked_add(step.checked_mul(number)?)?;
        ByteRange::new(at.checked_div(UNIT)?.checked_mul(UNIT)?, UNIT)?.common(range)
    })
}

fn check_fits(medium: &dyn Medium, size: u64) -> Result<()> {
    let needs = align_up(size, medium.block()).unwrap_or(size);
    match medium.size().filter(|has| needs > *has) {
        Some(has) => Err(crate::target::Refusal::TooSmall { has, needs }.error(&medium.name())),
        None => Ok(()),
    }
}

/// The units of `ranges` that differ, also those that cannot be read: writing may heal them.
fn differing(
    writer: &Writer<'_>,
    meant: Meant<'_>,
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
    writer.progress.begin("write", sum(&changes.rest));
    invalidate(writer, layout)?;
    let mut buf = aligned(BUFFER)?;
    for range in changes.rest.iter().flat_map(|range| steps(Some(*range), BUFFER)) {
        let used = in_memory(range.size());
        let padded = in_memory(align_up(range.size(), writer.medium.block()).unwrap_or(BUFFER));
        image.read_exact_at(buf.get_mut(..used).unwrap_or_default(), range.start())?;
        buf.get_mut(used..padded).unwrap_or_default().fill(0);
        writer.put(buf.get(..padded).unwrap_or_default(), range.start())?;
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

/// Takes away what firmware looks for, so that an interrupted update does not boot: the first block,
/// the volume descriptors, by which some find an El Torito catalog on a stick, too, and the backup GPT.
fn invalidate(writer: &mut Writer<'_>, layout: &Layout) -> Result<()> {
    let zeros = aligned(FIRST_BLOCK)?;
    let first = layout.head().len().min(zeros.len());
    writer.put(zeros.get(..first).unwrap_or_default(), 0)?;
    if let Some(at) = descriptors(layout) {
        writer.put(&zeros, at.start())?;
    }
    if let Some(tail) = layout.tail() {
        let block = in_memory(writer.medium.block());
        let last = tail.size().saturating_sub(writer.medium.block());
        write_all(writer.medium, zeros.get(..block).unwrap_or_default(), last)?;
    }
    flush(writer.medium)
}

/// The first two volume descriptors of an image that has any.
fn descriptors(layout: &Layout) -> Option<ByteRange> {
    descriptor(layout.head())?;
    let at = ByteRange::new(DESCRIPTOR.start, FIRST_BLOCK)?;
    (at.end() <= len_of(layout.head())).then_some(at)
}

fn widened(range: ByteRange) -> Option<ByteRange> {
    let start = range.start().checked_div(UNIT)?.checked_mul(UNIT)?;
    ByteRange::between(start, align_up(range.end(), UNIT)?)
}

/// In order, neighbours and overlaps made one.
pub(super) fn joined(mut ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    ranges.sort_unstable();
    let mut found: Vec<ByteRange> = Vec::new();
    for range in ranges {
        match found.last_mut() {
            Some(last) if last.end() >= range.start() => {
                let end = last.end().max(range.end());
                *last = ByteRange::between(last.start(), end).unwrap_or(*last);
            }
            _ => found.push(range),
        }
    }
    found
}
