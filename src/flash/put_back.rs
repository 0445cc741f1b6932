//! Puts the base back onto a disk that holds a stamped image of it, safe against being killed at any point.
//!
//! ```text
//! mark -> no volume descriptor -> changed blocks, zeros behind the base, backup GPT -> volume descriptor
//!      -> read back -> mark without undo record -> zeros over the undo record -> first block
//! ```
//! The mark in the first block says how to go on, so until the end the disk is no image that boots; the
//! bytes that go back come from the undo record, which lies behind the base and goes last.

use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::buffer::{BUFFER, HEAD, aligned};
use super::delta::{DESCRIPTOR, joined};
use super::layout::Layout;
use super::meant::{Meant, steps};
use super::medium::{Medium, failed, flush, read_full};
use super::write::{FIRST_BLOCK, Origin, Writer};
use super::{Examined, Options, Report};
use crate::error::{Error, Result};
use crate::formats::reset_mark::{self, ResetMark};
use crate::image::ReadAt;
use crate::image::digest::Digest;
use crate::progress::Progress;
use crate::units::{ByteRange, align_up, in_memory, len_of};

const _: () =
    assert!(reset_mark::SIZE == FIRST_BLOCK, "a mark takes up the block that is written last");

/// A base to put back onto the disk that it is read from.
#[expect(missing_debug_implementations, reason = "an image that can be read has no text form")]
#[derive(Clone, Copy)]
pub struct PutBack<'a> {
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
    what: PutBack<'_>,
    exact: bool,
    progress: &dyn Progress,
) -> Result<Report> {
    let start = Instant::now();
    let size = what.base.size();
    let mut head = vec![0; in_memory(size.min(HEAD))];
    what.base.read_exact_at(&mut head, 0)?;
    let layout = Layout::of(&head, Some(size), medium, exact)?;
    check_undo(medium, &what)?;
    head.truncate(in_memory(FIRST_BLOCK));
    let mark = mark(&what, &head)?;
    let (first, last) = (packed(&mark)?, packed(&ResetMark { undo: None, ..mark })?);
    let options = Options { exact, ..Options::default() };
    let report =
        Report { size, is_direct: medium.is_direct(), is_delta: true, ..Report::default() };
    let image = Origin::Whole(what.base);
    let examined = &Examined::default();
    let writer = Writer { medium, progress, options: &options, examined, image, report };
    let mut back = Back { writer, what, layout: &layout, first: &head };
    back.mark(&first)?;
    back.take_descriptor()?;
    back.take_backup()?;
    back.write_changed()?;
    back.wipe_behind()?;
    back.writer.write_tail(&layout)?;
    flush(medium)?;
    back.write_base(back.descriptor_blocks().as_slice())?;
    flush(medium)?;
    back.writer.report.write_time = start.elapsed();
    back.check()?;
    if back.writer.report.differences.is_empty() {
        back.mark(&last)?;
        back.wipe(what.undo.as_slice())?;
        flush(medium)?;
        back.writer.check_and_close(Meant::Whole(what.base), &[], &layout, &[])?;
    }
    back.writer.report.verify_time =
        Some(start.elapsed().saturating_sub(back.writer.report.write_time));
    Ok(back.writer.report)
}

fn mark(what: &PutBack<'_>, first: &[u8]) -> Result<ResetMark> {
    if len_of(first) < FIRST_BLOCK {
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
fn check_undo(medium: &dyn Medium, what: &PutBack<'_>) -> Result<()> {
    let end = align_up(what.base.size(), medium.block()).unwrap_or(u64::MAX);
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
            .hinting("write the base with `remaster flash`, which does not need the stick's own")
    })
}

struct Back<'a> {
    writer: Writer<'a>,
    what: PutBack<'a>,
    layout: &'a Layout,
    /// The base's first block.
    first: &'a [u8],
}

impl Back<'_> {
    /// Makes the disk one that is being reset.
    fn mark(&mut self, mark: &[u8]) -> Result<()> {
        self.writer.put_copy(mark, 0)?;
        flush(self.writer.medium)
    }

    /// The Primary Volume Descriptor, if all of it comes from the undo record.
    fn descriptor(&self) -> Option<ByteRange> {
        let at = ByteRange::between(DESCRIPTOR.start, DESCRIPTOR.end)?;
        let changed = joined(self.what.changed.to_vec());
        changed.iter().any(|range| range.common(at) == Some(at)).then_some(at)
    }

    fn descriptor_blocks(&self) -> Option<ByteRange> {
        self.whole_blocks(self.descriptor()?)
    }

    /// Takes the volume descriptor away, which firmware would follow to El Torito's boot catalog. Its block
    /// may hold more than comes back from the undo record.
    fn take_descriptor(&mut self) -> Result<()> {
        let (Some(at), Some(blocks)) = (self.descriptor(), self.descriptor_blocks()) else {
            return Ok(());
        };
        let mut bytes = aligned(blocks.size())?;
        read(self.writer.medium, &mut bytes, blocks.start())?;
        let from = in_memory(at.start().saturating_sub(blocks.start()));
        let descriptor =
            bytes.get_mut(from..).and_then(|rest| rest.get_mut(..in_memory(at.size())));
        descriptor.unwrap_or_default().fill(0);
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
        let block =
            ByteRange::new(last, medium.block()).filter(|_| header.starts_with(b"EFI PART"));
        self.wipe(block.as_slice())?;
        flush(medium)
    }

    fn write_changed(&mut self) -> Result<()> {
        let ranges = self.changed();
        self.writer.progress.begin("write", super::write::sum(&ranges));
        let rest = match self.descriptor_blocks() {
            Some(last) => without(&ranges, last),
            None => ranges,
        };
        self.write_base(&rest)?;
        self.writer.progress.end();
        Ok(())
    }

    /// Writes whole blocks of the base.
    fn write_base(&mut self, ranges: &[ByteRange]) -> Result<()> {
        let mut buf = aligned(BUFFER)?;
        for range in ranges.iter().flat_map(|range| steps(Some(*range), BUFFER)) {
            self.stop_if_asked()?;
            let used = self.what.base.size().min(range.end()).saturating_sub(range.start());
            let bytes = buf.get_mut(..in_memory(range.size())).unwrap_or_default();
            bytes.fill(0);
            let read = bytes.get_mut(..in_memory(used)).unwrap_or_default();
            self.what.base.read_exact_at(read, range.start())?;
            self.writer
                .put(buf.get(..in_memory(range.size())).unwrap_or_default(), range.start())?;
            self.writer.progress.advance(range.size());
        }
        Ok(())
    }

    /// What has to be written of the base behind its first block, in whole blocks, and the block that it ends
    /// in.
    fn changed(&self) -> Vec<ByteRange> {
        let size = self.what.base.size();
        let end = ByteRange::between(size.saturating_sub(1), size);
        let from = ByteRange::between(FIRST_BLOCK, u64::MAX);
        let all = self.what.changed.iter().copied().chain(end);
        let within = |range: ByteRange| self.whole_blocks(range)?.common(from?);
        joined(all.filter_map(within).collect())
    }

    fn whole_blocks(&self, range: ByteRange) -> Option<ByteRange> {
        let block = self.writer.medium.block();
        let start = range.start().checked_div(block)?.checked_mul(block)?;
        ByteRange::between(start, align_up(range.end(), block)?)
    }

    /// Writes zeros over all that was added behind the base, but for the undo record.
    fn wipe_behind(&mut self) -> Result<()> {
        let ranges = self.behind();
        self.writer.progress.begin("wipe", super::write::sum(&ranges));
        self.wipe(&ranges)?;
        self.writer.progress.end();
        Ok(())
    }

    /// Whole blocks behind the base that are to be zeros before the undo record is.
    fn behind(&self) -> Vec<ByteRange> {
        let medium = self.writer.medium;
        let start = align_up(self.what.base.size(), medium.block()).unwrap_or(u64::MAX);
        let end = align_up(self.what.stamped_size, medium.block()).unwrap_or(u64::MAX);
        let end = medium.size().map_or(end, |size| size.min(end));
        let behind = ByteRange::between(start, end.max(start)).into_iter().collect();
        let undo = self.what.undo.and_then(|undo| self.whole_blocks(undo));
        let tail = self.layout.tail().and_then(|tail| tail.range());
        undo.into_iter().chain(tail).fold(behind, |ranges, hole| without(&ranges, hole))
    }

    fn wipe(&mut self, ranges: &[ByteRange]) -> Result<()> {
        let zeros = aligned(BUFFER)?;
        let whole: Vec<ByteRange> =
            ranges.iter().filter_map(|range| self.whole_blocks(*range)).collect();
        for range in whole.iter().flat_map(|range| steps(Some(*range), BUFFER)) {
            self.stop_if_asked()?;
            self.writer
                .put(zeros.get(..in_memory(range.size())).unwrap_or_default(), range.start())?;
            self.writer.progress.advance(range.size());
        }
        Ok(())
    }

    fn stop_if_asked(&self) -> Result<()> {
        if self.writer.progress.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Reads back all of the base but its first block, which is not there yet, and what was wiped.
    fn check(&mut self) -> Result<()> {
        let (changed, behind) = (self.changed(), self.behind());
        let size = self.what.base.size();
        let part = |range: &ByteRange| range.common(ByteRange::between(0, size)?);
        let changed: Vec<ByteRange> = changed.iter().filter_map(part).collect();
        self.writer.check(Meant::Whole(self.what.base), &changed)?;
        self.writer.check(Meant::Whole(&Zeros), &behind)?;
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
        for range in steps(ByteRange::between(len_of(self.first), size), BUFFER) {
            self.stop_if_asked()?;
            let wanted = align_up(range.size(), medium.block()).unwrap_or(BUFFER);
            let place = buf.get_mut(..in_memory(wanted)).unwrap_or_default();
            let at = range.start();
            read(medium, place, at)?;
            sum.update(buf.get(..in_memory(range.size())).unwrap_or_default());
            self.writer.progress.advance(range.size());
        }
        self.writer.progress.end();
        self.writer.report.compared = self.writer.report.compared.saturating_add(size);
        Ok(Digest(sum.finalize().into()))
    }
}

/// Reads as many bytes as there must be.
fn read(medium: &dyn Medium, into: &mut [u8], at: u64) -> Result<()> {
    let short = || std::io::ErrorKind::UnexpectedEof.into();
    let count = read_full(medium, into, at);
    let whole = count.and_then(|count| if count == into.len() { Ok(()) } else { Err(short()) });
    whole.map_err(|fault| failed(medium, "read", at, fault))
}

/// The ranges without the hole.
fn without(ranges: &[ByteRange], hole: ByteRange) -> Vec<ByteRange> {
    let parts = |range: &ByteRange| {
        let before = ByteRange::between(range.start(), range.end().min(hole.start()));
        let after = ByteRange::between(range.start().max(hole.end()), range.end());
        [before, after].into_iter().flatten().filter(|part| !part.is_empty())
    };
    ranges.iter().flat_map(parts).collect()
}

/// As many zeros as anybody asks for.
struct Zeros;

impl ReadAt for Zeros {
    fn size(&self) -> u64 {
        0
    }

    fn read_exact_at(&self, buf: &mut [u8], _: u64) -> Result<()> {
        buf.fill(0);
        Ok(())
    }
}
