//! Puts the base back onto a disk that holds a stamped image of it, safe against being killed at any point.
//!
//! ```text
//! mark -> no volume descriptor -> changed blocks, zeros behind the base, backup GPT -> volume descriptor
//!      -> read back -> mark without undo record -> zeros over the undo record -> first block
//! ```
//! The mark in the first block says how to go on, so until the end the disk is not an image that boots; the
//! bytes that go back come from the undo record, which lies behind the base and goes last.

use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::buffer::{BUFFER, HEAD, aligned};
use super::delta::DESCRIPTOR;
use super::examine::Examined;
use super::expected::Expected;
use super::first_block::FIRST_BLOCK;
use super::layout::Layout;
use super::medium::{Medium, failed, flush, read_full};
use super::options::Options;
use super::ranges::{joined, total, without};
use super::report::Report;
use super::writer::{ReadBack, Writer, Written};
use super::zeros::Zeros;
use crate::checked;
use crate::error::{Advice, Error, Result};
use crate::formats::gpt;
use crate::formats::reset_mark::{self, ResetMark};
use crate::image::ReadAt;
use crate::image::digest::Digest;
use crate::progress::Progress;
use crate::units::{ByteRange, u64_len, usize_of};

const _: () =
    assert!(reset_mark::SIZE == FIRST_BLOCK, "a mark takes up the block that is written last");

/// A base to put back onto the disk that it is read from.
#[expect(missing_debug_implementations, reason = "an image that can be read has no text form")]
#[derive(Clone, Copy)]
pub struct Restore<'a> {
    /// The base. What of it is in [`Self::changed`] must not come from the disk.
    pub base: &'a dyn ReadAt,
    /// Its SHA-256.
    pub sha256: Digest,
    /// The bytes of the base that do not come from the disk.
    pub changed: &'a [ByteRange],
    /// Bytes of the stamped image.
    pub stamped_size: u64,
    /// Where the undo record is, if it is still needed.
    pub undo: Option<ByteRange>,
}

/// Makes the disk hold the base, and nothing of the stamped image behind it. `exact` leaves the backup GPT
/// where the base has it.
///
/// # Errors
/// The medium's. After an error the disk holds a mark, by which this can be done again, or was not written
/// to. Bytes that are read back otherwise are in the report.
pub fn put_back(
    medium: &dyn Medium,
    what: Restore<'_>,
    exact: bool,
    progress: &dyn Progress,
) -> Result<Report> {
    let start = Instant::now();
    let size = what.base.size();
    let mut head = vec![0; usize_of(size.min(HEAD))];
    what.base.read_exact_at(&mut head, 0)?;
    let layout = Layout::new(&head, Some(size), medium, exact)?;
    check_undo(medium, &what)?;
    head.truncate(usize_of(FIRST_BLOCK));
    let mark = mark(&what, &head)?;
    let (first, last) = (packed(&mark)?, packed(&ResetMark { undo: None, ..mark })?);
    let options = Options { exact, ..Options::default() };
    let report =
        Report { size, is_direct: medium.is_direct(), is_delta: true, ..Report::default() };
    let image = ReadBack::Whole(what.base);
    let examined = &Examined::default();
    let writer = Writer { medium, progress, options: &options, examined, image, report };
    let mut back = Restoring { writer, what, layout: &layout, first: &head };
    back.mark(&first)?;
    back.take_descriptor()?;
    back.take_backup()?;
    back.write_changed()?;
    back.wipe_behind()?;
    back.writer.write_tail(&layout)?;
    flush(medium)?;
    back.write_base(back.descriptor_blocks()?.as_slice())?;
    flush(medium)?;
    back.writer.report.write_time = start.elapsed();
    back.check()?;
    if back.writer.report.differences.is_empty() {
        // The base is all there: a reset that is interrupted from here on needs no undo record.
        back.mark(&last)?;
        back.wipe(what.undo.as_slice())?;
        flush(medium)?;
        let written = Written { ranges: &[], zeros: &[] };
        back.writer.check_and_close(Expected::Whole(what.base), written, &layout, &[])?;
    }
    back.writer.report.verify_time =
        Some(start.elapsed().saturating_sub(back.writer.report.write_time));
    Ok(back.writer.report)
}

fn mark(what: &Restore<'_>, first: &[u8]) -> Result<ResetMark> {
    if u64_len(first) < FIRST_BLOCK {
        return Err(Error::malformed("the base", 0, "less than a block", "an ISO"));
    }
    Ok(ResetMark {
        base_size: what.base.size(),
        stamped_size: what.stamped_size,
        undo: what.undo,
        base_sha256: what.sha256.0,
        first: first.to_vec(),
    })
}

/// The block that the base ends in is written before the undo record may go.
fn check_undo(medium: &dyn Medium, what: &Restore<'_>) -> Result<()> {
    let end = checked::round_up(what.base.size(), medium.block(), "the end of the base")?;
    match what.undo.filter(|undo| undo.start() < end) {
        None => Ok(()),
        Some(undo) => {
            let looked_for = format!("one behind the base, which ends at {end:#x}");
            let found = format!("one at {:#x}", undo.start());
            Err(Error::unsupported("the undo record", looked_for, found))
        }
    }
}

fn packed(mark: &ResetMark) -> Result<Vec<u8>> {
    mark.pack().ok_or_else(|| {
        let found = "one whose boot code leaves no room for a mark";
        Error::unsupported("the first block", "one that can be packed", found)
            .with_hint(Advice::FlashBase)
    })
}

struct Restoring<'a> {
    writer: Writer<'a>,
    what: Restore<'a>,
    layout: &'a Layout,
    /// The base's first block.
    first: &'a [u8],
}

impl Restoring<'_> {
    /// Makes the disk one that is being reset.
    fn mark(&mut self, mark: &[u8]) -> Result<()> {
        self.writer.put_copy(mark, 0)?;
        flush(self.writer.medium)
    }

    /// The Primary Volume Descriptor, if all of it comes from the undo record.
    fn descriptor(&self) -> Result<Option<ByteRange>> {
        let at = checked::between(DESCRIPTOR.start, DESCRIPTOR.end, "the volume descriptor")?;
        let changed = joined(self.what.changed.to_vec());
        Ok(changed.iter().any(|range| range.common(at) == Some(at)).then_some(at))
    }

    fn descriptor_blocks(&self) -> Result<Option<ByteRange>> {
        self.descriptor()?.map(|at| self.whole_blocks(at)).transpose()
    }

    /// Takes the volume descriptor away, which firmware would follow to El Torito's boot catalog. Its block
    /// may hold more than comes back from the undo record.
    fn take_descriptor(&mut self) -> Result<()> {
        let Some(at) = self.descriptor()? else { return Ok(()) };
        let blocks = self.whole_blocks(at)?;
        let mut bytes = aligned(blocks.size())?;
        read(self.writer.medium, &mut bytes, blocks.start())?;
        let from = checked::difference(at.start(), blocks.start(), "the volume descriptor")?;
        let rest = checked::part_mut(&mut bytes, usize_of(from).., "the volume descriptor")?;
        checked::part_mut(rest, ..usize_of(at.size()), "the volume descriptor")?.fill(0);
        self.writer.put(&bytes, blocks.start())?;
        flush(self.writer.medium)
    }

    /// Takes the header of a backup GPT away, which firmware would believe (UEFI 2.10 §5.3.2).
    fn take_backup(&mut self) -> Result<()> {
        let medium = self.writer.medium;
        let last = medium.size().and_then(|size| size.checked_sub(medium.block()));
        let Some(last) = last.filter(|last| *last >= self.what.base.size()) else {
            return Ok(());
        };
        let mut header = aligned(medium.block())?;
        read(medium, &mut header, last)?;
        if gpt::is_header(&header) {
            self.wipe(&[checked::range(last, medium.block(), "the backup GPT")?])?;
        }
        flush(medium)
    }

    fn write_changed(&mut self) -> Result<()> {
        let ranges = self.changed()?;
        self.writer.progress.begin("write", total(&ranges)?);
        let rest = match self.descriptor_blocks()? {
            Some(last) => without(&ranges, last),
            None => ranges,
        };
        self.write_base(&rest)?;
        self.writer.progress.end();
        Ok(())
    }

    /// Writes whole blocks of the base.
    fn write_base(&mut self, ranges: &[ByteRange]) -> Result<()> {
        self.writer.put_blocks(self.what.base, ranges)
    }

    /// What has to be written of the base behind its first block, in whole blocks, and the block that it ends
    /// in.
    fn changed(&self) -> Result<Vec<ByteRange>> {
        let size = self.what.base.size();
        let last = checked::difference(size, 1, "the last byte of the base")?;
        let last = checked::between(last, size, "the last byte of the base")?;
        let behind = checked::between(FIRST_BLOCK, u64::MAX, "what is behind the first block")?;
        let all = self.what.changed.iter().copied().chain([last]);
        let within = |range| Ok(self.whole_blocks(range)?.common(behind));
        let found: Result<_> = all.filter_map(|range| within(range).transpose()).collect();
        found.map(joined)
    }

    fn whole_blocks(&self, range: ByteRange) -> Result<ByteRange> {
        checked::whole_blocks(range, self.writer.medium.block(), "blocks of the medium")
    }

    /// Writes zeros over all that was added behind the base, but for the undo record.
    fn wipe_behind(&mut self) -> Result<()> {
        let ranges = self.behind()?;
        self.writer.progress.begin("wipe", total(&ranges)?);
        self.wipe(&ranges)?;
        self.writer.progress.end();
        Ok(())
    }

    /// Whole blocks behind the base that are to be zeros before the undo record is.
    fn behind(&self) -> Result<Vec<ByteRange>> {
        let medium = self.writer.medium;
        let round_up = |size| checked::round_up(size, medium.block(), "the end of an image");
        let start = round_up(self.what.base.size())?;
        let end = round_up(self.what.stamped_size)?;
        let end = medium.size().map_or(end, |size| size.min(end));
        let behind = checked::between(start, end.max(start), "what is behind the base")?;
        let undo = self.what.undo.map(|undo| self.whole_blocks(undo)).transpose()?;
        let tail = self.layout.tail().map(|tail| tail.range()).transpose()?;
        let holes = undo.into_iter().chain(tail);
        Ok(holes.fold(vec![behind], |ranges, hole| without(&ranges, hole)))
    }

    fn wipe(&mut self, ranges: &[ByteRange]) -> Result<()> {
        let zeros = aligned(BUFFER)?;
        let whole: Vec<ByteRange> =
            ranges.iter().map(|range| self.whole_blocks(*range)).collect::<Result<_>>()?;
        for range in whole.iter().flat_map(|range| range.steps(BUFFER)) {
            self.stop_if_asked()?;
            let zeros = checked::part(&zeros, ..usize_of(range.size()), "zeros")?;
            self.writer.put(zeros, range.start())?;
            self.writer.progress.advance(range.size());
        }
        Ok(())
    }

    fn stop_if_asked(&self) -> Result<()> {
        if self.writer.progress.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Reads back all of the base but its first block, which is not there yet, and what was wiped.
    fn check(&mut self) -> Result<()> {
        let (changed, behind) = (self.changed()?, self.behind()?);
        let base = checked::between(0, self.what.base.size(), "the base")?;
        let changed: Vec<ByteRange> =
            changed.iter().filter_map(|range| range.common(base)).collect();
        self.writer.check(Expected::Whole(self.what.base), &changed)?;
        self.writer.check(Expected::Whole(&Zeros), &behind)?;
        if !self.writer.report.differences.is_empty() {
            return Ok(());
        }
        let found = self.digest()?;
        if found == self.what.sha256 {
            return Ok(());
        }
        let medium = self.writer.medium;
        Err(Error::Differs {
            what: medium.name(),
            at: 0,
            found: format!("SHA-256 {found}"),
            expected: self.what.sha256.to_string(),
        })
    }

    /// SHA-256 of the base as it reads from the medium, past the cache.
    fn digest(&mut self) -> Result<Digest> {
        let medium = self.writer.medium;
        let size = self.what.base.size();
        let mut sum = Sha256::new_with_prefix(self.first);
        let mut buf = aligned(BUFFER)?;
        self.writer.progress.begin("verify", size);
        let behind = checked::between(u64_len(self.first), size, "what is behind the first block")?;
        for range in behind.steps(BUFFER) {
            self.stop_if_asked()?;
            let wanted = checked::round_up(range.size(), medium.block(), "the end of a block")?;
            let place = checked::part_mut(&mut buf, ..usize_of(wanted), "room for blocks")?;
            read(medium, place, range.start())?;
            sum.update(checked::part(place, ..usize_of(range.size()), "bytes of the base")?);
            self.writer.progress.advance(range.size());
        }
        self.writer.progress.end();
        let compared = &mut self.writer.report.compared;
        *compared = checked::sum(*compared, size, "what was compared")?;
        Ok(Digest(sum.finalize().into()))
    }
}

/// Reads as many bytes as there must be.
fn read(medium: &dyn Medium, into: &mut [u8], at: u64) -> Result<()> {
    if read_full(medium, "read", into, at)? == into.len() {
        return Ok(());
    }
    Err(failed(medium, "read", at, std::io::ErrorKind::UnexpectedEof.into()))
}
