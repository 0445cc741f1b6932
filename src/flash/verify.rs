//! Reads a medium back past the cache, compares it with what was meant, and says why it differs.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::buffer::{BUFFER, Lease, Pool, aligned};
use super::meant::{Meant, steps};
use super::medium::{Medium, failed, read_full};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::units::{ByteRange, align_up, in_memory, len_of};

/// Units that are looked at closely; of the rest only the place is told.
const CLOSE: usize = 1 << 16;
/// What the kernel writes at least.
const SECTOR: usize = 512;
/// Differing bytes of a unit up to which each is told by itself.
const FEW: usize = 64;
/// Buffers on their way from the medium to the comparison.
const BUFFERS: usize = 3;

/// Why bytes of a medium are not what they were meant to be, as far as can be told from them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum Cause {
    /// All zeros: never written, or beyond what is there.
    Zeros,
    /// All ones, as erased flash memory reads.
    Ones,
    /// The data of another address: the medium is smaller than it claims.
    Wrapped {
        /// The address whose data is here.
        from: u64,
    },
    /// A few bits.
    Flipped {
        /// How many.
        bits: u32,
    },
    /// A short run of bytes.
    Burst,
    /// Not the same twice: link or memory.
    Unstable,
    /// The medium does not give it back.
    Unreadable,
    /// Other data, most likely what was there before.
    Other,
}

impl Cause {
    /// What that most likely means, for people.
    pub fn explained(self) -> String {
        match self {
            Self::Zeros => "zeros: never written, or beyond the real end of the medium".to_owned(),
            Self::Ones => "ones, as erased flash memory: never written".to_owned(),
            Self::Wrapped { from } => format!(
                "the data of byte {from:#x}: the medium wraps around, it is smaller than it claims"
            ),
            Self::Flipped { bits: 1 } => {
                "1 flipped bit: bad memory cell, link or host memory".to_owned()
            }
            Self::Flipped { bits } => {
                format!("{bits} flipped bits: bad memory cells, link or host memory")
            }
            Self::Burst => "a burst of wrong bytes: link or controller".to_owned(),
            Self::Unstable => "reads differently each time: cable, port or dying medium".to_owned(),
            Self::Unreadable => "cannot be read: dying medium".to_owned(),
            Self::Other => "other data: never written, or changed since it was".to_owned(),
        }
    }
}

/// A run of bytes that are wrong for one reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The bytes of the medium.
    pub at: ByteRange,
    /// The likely cause.
    pub cause: Cause,
}

/// A block that was found different.
struct Bad {
    at: ByteRange,
    /// Digest of what was read the first time; none if nothing could be read.
    found: Option<u64>,
}

/// What a comparison found.
#[derive(Default)]
pub(super) struct Findings {
    bad: Vec<Bad>,
    /// Those after [`CLOSE`] others.
    rest: Vec<ByteRange>,
}

impl Findings {
    fn add(&mut self, bad: Bad) {
        if self.bad.len() < CLOSE {
            self.bad.push(bad);
            return;
        }
        match self.rest.last_mut() {
            Some(last) if last.end() == bad.at.start() => {
                *last = ByteRange::between(last.start(), bad.at.end()).unwrap_or(*last);
            }
            _ => self.rest.push(bad.at),
        }
    }

    /// All that differs, in order.
    pub(super) fn ranges(self) -> Vec<ByteRange> {
        self.bad.into_iter().map(|bad| bad.at).chain(self.rest).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bad.is_empty()
    }
}

type Answer = (ByteRange, std::io::Result<usize>, Lease);

/// Compares `ranges` of the medium with what is meant. Reading and comparing overlap.
pub(super) fn compare(
    medium: &dyn Medium,
    meant: Meant<'_>,
    ranges: &[ByteRange],
    progress: &dyn Progress,
) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut scratch = aligned(BUFFER)?;
    let pool = Pool::new(BUFFERS)?;
    std::thread::scope(|scope| {
        let (sender, answers) = sync_channel(BUFFERS);
        scope.spawn(move || read_ahead(medium, ranges, &pool, &sender));
        take_answers(medium, meant, &answers, &mut |range, found| {
            if progress.is_cancelled() {
                return Err(Error::Interrupted);
            }
            match found {
                Some(found) => {
                    for at in meant.bad_units(found, range.start(), &mut scratch)? {
                        let from = in_memory(at.start().saturating_sub(range.start()));
                        let piece = found.get(from..).and_then(|f| f.get(..in_memory(at.size())));
                        findings.add(Bad { at, found: piece.map(|piece| meant.digest(piece)) });
                    }
                }
                None => findings.add(Bad { at: range, found: None }),
            }
            progress.advance(range.size());
            Ok(())
        })
    })?;
    Ok(findings)
}

fn read_ahead(medium: &dyn Medium, ranges: &[ByteRange], pool: &Pool, to: &SyncSender<Answer>) {
    for range in ranges.iter().flat_map(|range| steps(Some(*range), BUFFER)) {
        let Ok(mut lease) = pool.take() else { return };
        let answer = read_range(medium, range, &mut lease);
        if to.send((range, answer, lease)).is_err() {
            return;
        }
    }
}

/// Reads the blocks that hold `range`, which starts at a block.
fn read_range(medium: &dyn Medium, range: ByteRange, buf: &mut [u8]) -> std::io::Result<usize> {
    let size = align_up(range.size(), medium.block()).unwrap_or(range.size());
    let buf = buf.get_mut(..in_memory(size)).unwrap_or_default();
    read_full(medium, buf, range.start())
}

type Take<'a> = dyn FnMut(ByteRange, Option<&[u8]>) -> Result<()> + 'a;

fn take_answers(
    medium: &dyn Medium,
    meant: Meant<'_>,
    answers: &Receiver<Answer>,
    take: &mut Take<'_>,
) -> Result<()> {
    let mut small = aligned(BUFFER)?;
    for (range, answer, lease) in answers {
        match answer {
            Ok(count) => take_found(range, lease.get(..count).unwrap_or_default(), take)?,
            Err(fault) if medium.is_gone() => {
                return Err(failed(medium, "read back", range.start(), fault));
            }
            // Find out which part of it cannot be read.
            Err(_) => {
                for unit in steps(Some(range), meant.unit()) {
                    match read_range(medium, unit, &mut small) {
                        Ok(count) => {
                            take_found(unit, small.get(..count).unwrap_or_default(), take)?;
                        }
                        Err(_) => take(unit, None)?,
                    }
                }
            }
        }
    }
    Ok(())
}

/// Passes on what was read of `range`; what is missing at the end could not be read.
fn take_found(range: ByteRange, found: &[u8], take: &mut Take<'_>) -> Result<()> {
    let wanted = in_memory(range.size());
    let found = found.get(..wanted).unwrap_or(found);
    let end = range.start().saturating_add(len_of(found));
    if let Some(read) = ByteRange::between(range.start(), end).filter(|read| !read.is_empty()) {
        take(read, Some(found))?;
    }
    match ByteRange::between(end, range.end()).filter(|missing| !missing.is_empty()) {
        Some(missing) => take(missing, None),
        None => Ok(()),
    }
}

/// Looks closely at what a comparison found.
pub(super) fn diagnose(
    medium: &dyn Medium,
    meant: Meant<'_>,
    findings: &Findings,
) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    let mut unknown: Vec<(usize, u64)> = Vec::new();
    let mut bad = findings.bad.iter();
    let ranges: Vec<ByteRange> = findings.bad.iter().map(|bad| bad.at).collect();
    let mut buf = aligned(BUFFER)?;
    meant.each(&ranges, |at, expected| {
        let Some(first) = bad.next().and_then(|bad| bad.found) else {
            found.push(Difference { at, cause: Cause::Unreadable });
            return Ok(());
        };
        let Ok(count) = read_range(medium, at, &mut buf) else {
            found.push(Difference { at, cause: Cause::Unstable });
            return Ok(());
        };
        let second = buf.get(..count.min(in_memory(at.size()))).unwrap_or_default();
        if meant.digest(second) != first {
            found.push(Difference { at, cause: Cause::Unstable });
            return Ok(());
        }
        let whole = of_unit(at, second, expected, &mut found);
        if let Some(place) = whole {
            unknown.push((place, first));
        }
        Ok(())
    })?;
    find_wraps(meant, &unknown, &mut found)?;
    found.extend(findings.rest.iter().map(|&at| Difference { at, cause: Cause::Other }));
    Ok(merged(found))
}

/// Adds what is wrong with one unit. Answers the place in `to` of what may be data of elsewhere.
fn of_unit(
    at: ByteRange,
    found: &[u8],
    expected: Option<&[u8]>,
    to: &mut Vec<Difference>,
) -> Option<usize> {
    if let Some(expected) = expected {
        let runs = differing_runs(found, expected);
        let bytes: usize = runs.iter().map(|(start, end)| end.saturating_sub(*start)).sum();
        let is_flat = is_all(found, 0) || is_all(found, 0xFF);
        if bytes <= FEW && !is_flat {
            to.extend(runs.iter().filter_map(|&run| few(at, run, found, expected)));
            return None;
        }
        let first = runs.first().map_or(0, |run| run.0);
        let last = runs.last().map_or(0, |run| run.1);
        if last.saturating_sub(first) <= SECTOR && !is_flat {
            let cause = Cause::Burst;
            to.extend(part(at, first, last).map(|at| Difference { at, cause }));
            return None;
        }
    }
    let mut all_flat = true;
    for (number, sector) in found.chunks(SECTOR).enumerate() {
        let from = number.saturating_mul(SECTOR);
        let till = from.saturating_add(sector.len());
        let meant = expected.and_then(|expected| expected.get(from..till));
        if meant == Some(sector) {
            continue;
        }
        let cause = flat(sector).unwrap_or(Cause::Other);
        all_flat &= cause != Cause::Other;
        to.extend(part(at, from, till).map(|at| Difference { at, cause }));
    }
    if all_flat {
        return None;
    }
    // The unit as a whole: it may be found elsewhere in the image.
    while to.last().is_some_and(|last| last.at.start() >= at.start()) {
        to.pop();
    }
    to.push(Difference { at, cause: Cause::Other });
    Some(to.len().saturating_sub(1))
}

/// Where a medium holds other data, a few bytes that differ elsewhere are no sign of a fault either.
pub(super) fn only_few_are_flipped(found: &mut [Difference]) {
    if !found.iter().any(|difference| difference.cause == Cause::Other) {
        return;
    }
    for difference in found {
        if let Cause::Flipped { .. } | Cause::Burst = difference.cause {
            difference.cause = Cause::Other;
        }
    }
}

fn flat(bytes: &[u8]) -> Option<Cause> {
    if is_all(bytes, 0) {
        return Some(Cause::Zeros);
    }
    is_all(bytes, 0xFF).then_some(Cause::Ones)
}

fn is_all(bytes: &[u8], value: u8) -> bool {
    bytes.iter().all(|&byte| byte == value)
}

fn part(unit: ByteRange, start: usize, end: usize) -> Option<ByteRange> {
    let start = unit.start().checked_add(u64::try_from(start).ok()?)?;
    let end = unit.start().checked_add(u64::try_from(end).ok()?)?;
    ByteRange::between(start, end.min(unit.end()))
}

/// Runs of bytes that differ, half-open.
fn differing_runs(found: &[u8], expected: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (place, (one, other)) in found.iter().zip(expected).enumerate() {
        if one == other {
            continue;
        }
        let end = place.saturating_add(1);
        match runs.last_mut() {
            Some(last) if last.1 == place => last.1 = end,
            _ => runs.push((place, end)),
        }
    }
    runs
}

fn few(
    unit: ByteRange,
    (start, end): (usize, usize),
    found: &[u8],
    expected: &[u8],
) -> Option<Difference> {
    let pairs = found.get(start..end)?.iter().zip(expected.get(start..end)?);
    let bits = pairs.map(|(one, other)| (one ^ other).count_ones()).sum();
    let bytes = u32::try_from(end.saturating_sub(start)).ok()?;
    // Random bytes differ in half of their bits; single flips do not.
    let cause = if bytes > 2 && bits > bytes.saturating_mul(2) {
        Cause::Burst
    } else {
        Cause::Flipped { bits }
    };
    Some(Difference { at: part(unit, start, end)?, cause })
}

/// Changes the cause of those units whose content belongs elsewhere in the image.
fn find_wraps(meant: Meant<'_>, unknown: &[(usize, u64)], found: &mut [Difference]) -> Result<()> {
    if unknown.is_empty() {
        return Ok(());
    }
    let mut wanted: HashMap<u64, Option<u64>> =
        unknown.iter().map(|(_, digest)| (*digest, None)).collect();
    meant.places(&mut wanted)?;
    for (place, digest) in unknown {
        let from = wanted.get(digest).copied().flatten();
        if let (Some(from), Some(difference)) = (from, found.get_mut(*place)) {
            difference.cause = Cause::Wrapped { from };
        }
    }
    Ok(())
}

/// Joins neighbours that are wrong for the same reason.
fn merged(mut found: Vec<Difference>) -> Vec<Difference> {
    found.sort_by_key(|difference| difference.at);
    let mut joined: Vec<Difference> = Vec::new();
    for next in found {
        match joined.last_mut() {
            Some(last) if last.at.end() == next.at.start() && continues(*last, next) => {
                last.at = ByteRange::between(last.at.start(), next.at.end()).unwrap_or(last.at);
            }
            _ => joined.push(next),
        }
    }
    joined
}

fn continues(last: Difference, next: Difference) -> bool {
    match (last.cause, next.cause) {
        (Cause::Flipped { .. } | Cause::Burst, _) => false,
        (Cause::Wrapped { from: one }, Cause::Wrapped { from: other }) => {
            one.wrapping_sub(last.at.start()) == other.wrapping_sub(next.at.start())
        }
        (one, other) => one == other,
    }
}

/// A digest for places where the unit does not matter.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}
