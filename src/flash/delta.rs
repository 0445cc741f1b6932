//! Writes only the blocks of a medium that differ from the image.

use std::time::Instant;

use super::Verify;
use super::buffer::{BUFFER, aligned};
use super::meant::{Meant, UNIT, steps};
use super::medium::{Medium, failed, flush, read_full, write_all};
use super::verify::compare;
use super::write::{Ends, FIRST_BLOCK, Placed, Writer};
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::units::{ByteRange, align_up, in_memory, len_of};

/// The Primary Volume Descriptor (ECMA-119 §8.4).
const DESCRIPTOR: std::ops::Range<usize> = 0x8000..0x8800;
/// Its Volume Identifier (BP 41-72) and Volume Creation Date and Time (BP 814-830): what all
/// stamped copies of one base have in common.
const IDENTITY: [std::ops::Range<usize>; 2] = [40..72, 813..830];
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
    bytes.get(DESCRIPTOR).filter(|descriptor| descriptor.starts_with(b"\x01CD001"))
}

/// Finds what differs, takes the first block away, writes what differs, and puts the first block
/// back. What is equal has been read from the medium, so only what was written is read back.
pub(super) fn update(writer: &mut Writer<'_>, image: &dyn ReadAt, ends: &Ends) -> Result<()> {
    let start = Instant::now();
    let size = image.size();
    check_fits(writer.medium, size)?;
    writer.report.size = size;
    writer.report.is_delta = true;
    let rest = ByteRange::between(ends.used.min(size), size);
    let ranges = match (&writer.options.suspects, writer.options.verify) {
        (Some(suspects), Verify::Quick) => {
            let mut ranges = writer.quick_ranges(rest);
            ranges.extend(suspects.iter().filter_map(|range| widened(*range)?.common(rest?)));
            joined(ranges)
        }
        _ => rest.into_iter().collect(),
    };
    let total = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.size()));
    writer.progress.begin("compare", total);
    let mut bad = differing(writer, Meant::Whole(image), &ranges)?;
    writer.progress.end();
    writer.report.compared = total;
    let head = Placed { at: 0, bytes: ends.bytes() };
    let head_ranges: Vec<ByteRange> = ByteRange::new(0, ends.used).into_iter().collect();
    let bad_head = differing(writer, Meant::Whole(&head), &head_ranges)?;
    let bad_tail = match &ends.tail {
        Some(tail) => {
            let placed = Placed { at: tail.at, bytes: &tail.bytes };
            let range: Vec<ByteRange> =
                ByteRange::new(tail.at, len_of(&tail.bytes)).into_iter().collect();
            !differing(writer, Meant::Whole(&placed), &range)?.is_empty()
        }
        None => false,
    };
    writer.report.write_time = start.elapsed();
    if bad.is_empty() && bad_head.is_empty() && !bad_tail {
        writer.report.is_whole = true;
        return Ok(());
    }
    bad = joined(bad);
    write_changes(writer, image, ends, &bad, &bad_head, bad_tail)?;
    writer.report.write_time = start.elapsed();
    Ok(())
}

fn check_fits(medium: &dyn Medium, size: u64) -> Result<()> {
    let needs = align_up(size, medium.block()).unwrap_or(size);
    match medium.size().filter(|has| needs > *has) {
        Some(has) => {
            Err(crate::device::Refusal::TooSmall { has, needs }.error(&medium.name()))
        }
        None => Ok(()),
    }
}

/// The units of `ranges` that differ, also those that cannot be read: writing may heal them.
fn differing(writer: &Writer<'_>, meant: Meant<'_>, ranges: &[ByteRange]) -> Result<Vec<ByteRange>> {
    compare(writer.medium, meant, ranges, writer.progress).map(|findings| findings.ranges())
}

fn write_changes(
    writer: &mut Writer<'_>,
    image: &dyn ReadAt,
    ends: &Ends,
    bad: &[ByteRange],
    bad_head: &[ByteRange],
    bad_tail: bool,
) -> Result<()> {
    let total = bad.iter().fold(0_u64, |sum, range| sum.saturating_add(range.size()));
    writer.progress.begin("write", total);
    invalidate(writer, ends)?;
    let mut buf = aligned(BUFFER)?;
    for range in bad.iter().flat_map(|range| steps(Some(*range), BUFFER)) {
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
    if bad_tail || ends.tail.is_some() {
        writer.write_tail(ends)?;
    }
    let size = writer.report.size;
    let doing = format!("cut {}", writer.medium.name());
    writer.medium.cut(size).map_err(Error::io(doing))?;
    flush(writer.medium)?;
    writer.progress.end();
    let checked: &[ByteRange] = if writer.options.verify == Verify::Off { &[] } else { bad };
    writer.check_and_restore(Meant::Whole(image), checked, ends, bad_head)
}

/// Takes away the first block and the backup GPT, so that an interrupted update does not boot.
fn invalidate(writer: &mut Writer<'_>, ends: &Ends) -> Result<()> {
    let zeros = aligned(FIRST_BLOCK)?;
    let first = in_memory(FIRST_BLOCK.min(ends.used));
    writer.put(zeros.get(..first).unwrap_or_default(), 0)?;
    if let Some(tail) = &ends.tail {
        let block = in_memory(writer.medium.block());
        let last = tail.at.saturating_add(len_of(&tail.bytes)).saturating_sub(writer.medium.block());
        write_all(writer.medium, zeros.get(..block).unwrap_or_default(), last)?;
    }
    flush(writer.medium)
}

fn widened(range: ByteRange) -> Option<ByteRange> {
    let start = range.start().checked_div(UNIT)?.checked_mul(UNIT)?;
    ByteRange::between(start, align_up(range.end(), UNIT)?)
}

/// In order, neighbours and overlaps made one.
fn joined(mut ranges: Vec<ByteRange>) -> Vec<ByteRange> {
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
