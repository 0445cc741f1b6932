//! Says why bytes of a medium differ from what was meant, as far as that can be told from them.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde::Serialize;

use super::buffer::{BUFFER, aligned};
use super::expected::Expected;
use super::medium::Medium;
use super::mounted;
use super::verify::{CLOSE, Findings, read_range};
use crate::checked;
use crate::error::{Error, Result};
use crate::units::{ByteRange, u64_len, u64_of, usize_of};

/// What the kernel writes at least.
const SECTOR: usize = 512;
/// Differing bytes of a unit up to which each is named alone.
const MAX_NAMED_ALONE: usize = 64;

/// Copied bytes from which on a medium may be taken for one that wraps around.
const MIN_WRAPPED: u64 = 1 << 16;

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
    /// The data of another address, which is not at that one: a write went to the wrong place.
    Misdirected {
        /// The address whose data is here.
        from: u64,
    },
    /// The data of another address, which is at that one as well; why is not known.
    Copied {
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
    /// A system mounted a filesystem of the image since it was written.
    Mounted,
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
            Self::Misdirected { from } => format!(
                "the data of byte {from:#x}, which is not there: a write went to the wrong place, by controller or link"
            ),
            Self::Copied { from } => {
                format!(
                    "the data of byte {from:#x}, which is there as well: written or copied to both places"
                )
            }
            Self::Flipped { bits: 1 } => {
                "1 flipped bit: bad memory cell, link or host memory".to_owned()
            }
            Self::Flipped { bits } => {
                format!("{bits} flipped bits: bad memory cells, link or host memory")
            }
            Self::Burst => "a burst of wrong bytes: link or controller".to_owned(),
            Self::Unstable => "reads differently each time: cable, port or dying medium".to_owned(),
            Self::Unreadable => "cannot be read: dying medium".to_owned(),
            Self::Mounted => {
                "changed since it was written: a system mounted it; flashing it again mends that"
                    .to_owned()
            }
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

impl Difference {
    /// How far its data is from where it belongs, if that is there as well.
    fn distance(&self) -> Option<u64> {
        match self.cause {
            Cause::Copied { from } => Some(from.abs_diff(self.at.start())).filter(|far| *far > 0),
            _ => None,
        }
    }

    /// Takes a copy for what a medium of so many bytes makes of the image, if the distance fits.
    fn wrap(&mut self, size: u64) {
        let fits = self.distance().is_some_and(|far| far.is_multiple_of(size));
        if let (Cause::Copied { from }, true) = (self.cause, fits) {
            self.cause = Cause::Wrapped { from };
        }
    }
}

/// Looks closely at what a comparison found.
pub(super) fn diagnose(
    medium: &dyn Medium,
    meant: Expected<'_>,
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
        let count = match read_range(medium, at, &mut buf) {
            Ok(count) => count.min(usize_of(at.size())),
            Err(Error::Io { .. }) => 0,
            Err(fault) => return Err(fault),
        };
        let second = checked::part(&buf, ..count, "what was read")?;
        if second.is_empty() || meant.digest(second)? != first {
            found.push(Difference { at, cause: Cause::Unstable });
            return Ok(());
        }
        let before = found.len();
        if let Some(place) = of_unit(at, second, expected, &mut found)? {
            unknown.push((place, first));
        }
        if found.len() == before {
            // What is meant changed meanwhile. It must not count as right.
            found.push(Difference { at, cause: Cause::Unstable });
        }
        Ok(())
    })?;
    let starts: HashSet<u64> = ranges.iter().map(|range| range.start()).collect();
    find_elsewhere(meant, &unknown, &starts, &mut found)?;
    if let Some(size) = real_size(medium, meant, &found) {
        for found in &mut found {
            found.wrap(size);
        }
    }
    found.extend(findings.rest.iter().map(|&at| Difference { at, cause: Cause::Other }));
    Ok(merged(found))
}

/// Adds what is wrong with one unit. Answers the place in `to` of what may be data of elsewhere.
fn of_unit(
    at: ByteRange,
    found: &[u8],
    expected: Option<&[u8]>,
    to: &mut Vec<Difference>,
) -> Result<Option<usize>> {
    if let Some(expected) = expected {
        let runs = differing_runs(found, expected);
        let bytes: usize = runs.iter().map(ExactSizeIterator::len).sum();
        // What was erased or never written reads so; bytes that flipped do not.
        let is_flat = is_all(found, 0) || is_all(found, 0xFF);
        if bytes <= MAX_NAMED_ALONE && !is_flat {
            for run in runs {
                to.push(few(at, run, found, expected)?);
            }
            return Ok(None);
        }
        let all = runs.first().map_or(0, |run| run.start)..runs.last().map_or(0, |run| run.end);
        if all.len() <= SECTOR && !is_flat {
            to.push(Difference { at: part(at, all)?, cause: Cause::Burst });
            return Ok(None);
        }
    }
    let mut all_flat = true;
    for (number, sector) in found.chunks(SECTOR).enumerate() {
        let from = checked::product(number, SECTOR, "a sector")?;
        let place = from..checked::sum(from, sector.len(), "a sector")?;
        let meant = expected.and_then(|expected| expected.get(place.clone()));
        if meant == Some(sector) {
            continue;
        }
        let cause = flat(sector).unwrap_or(Cause::Other);
        all_flat &= cause != Cause::Other;
        to.push(Difference { at: part(at, place)?, cause });
    }
    if all_flat {
        return Ok(None);
    }
    // The unit as a whole: it may be found elsewhere in the image.
    while to.last().is_some_and(|last| last.at.start() >= at.start()) {
        to.pop();
    }
    let place = to.len();
    to.push(Difference { at, cause: Cause::Other });
    Ok(Some(place))
}

/// Where a medium holds other data or was mounted, a few bytes that differ elsewhere are not a sign of a fault either.
pub(super) fn only_few_are_flipped(found: &mut [Difference]) {
    let has = |cause: Cause| found.iter().any(|difference| difference.cause == cause);
    let common = match () {
        () if has(Cause::Mounted) => Cause::Mounted,
        () if has(Cause::Other) => Cause::Other,
        () => return,
    };
    for difference in found {
        if let Cause::Flipped { .. } | Cause::Burst | Cause::Other = difference.cause {
            difference.cause = common;
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

/// The bytes of the medium that `at` of a unit are.
fn part(unit: ByteRange, at: Range<usize>) -> Result<ByteRange> {
    let start = checked::sum(unit.start(), u64_of(at.start), "a part of a unit")?;
    let end = checked::sum(unit.start(), u64_of(at.end), "a part of a unit")?;
    checked::between(start, end.min(unit.end()), "a part of a unit")
}

/// Runs of bytes that differ.
fn differing_runs(found: &[u8], expected: &[u8]) -> Vec<Range<usize>> {
    let pairs = (1..).zip(found.iter().zip(expected)).enumerate();
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (place, (end, _)) in pairs.filter(|(_, (_, (one, other)))| one != other) {
        match runs.last_mut() {
            Some(last) if last.end == place => last.end = end,
            _ => runs.push(place..end),
        }
    }
    runs
}

fn few(unit: ByteRange, run: Range<usize>, found: &[u8], expected: &[u8]) -> Result<Difference> {
    let is_mark = mounted::is_mark(run.start, run.end, found, expected);
    let found = checked::part(found, run.clone(), "what was found")?;
    let expected = checked::part(expected, run.clone(), "what was expected")?;
    let bits: u32 = found.iter().zip(expected).map(|(one, other)| (one ^ other).count_ones()).sum();
    // Random bytes differ in half of their bits; single flips do not.
    let many = checked::product(u64_len(found), 2, "half of the bits")?;
    let cause = match () {
        () if is_mark => Cause::Mounted,
        () if found.len() > 2 && u64::from(bits) > many => Cause::Burst,
        () => Cause::Flipped { bits },
    };
    Ok(Difference { at: part(unit, run)?, cause })
}

fn sum<'a>(mut bytes: impl Iterator<Item = &'a u64>) -> Option<u64> {
    bytes.try_fold(0_u64, |sum, more| sum.checked_add(*more))
}

/// The bytes that a disk has in truth, if its copies show that it wraps around: all that lies so far apart is one place
/// then, so half of the image beyond that is wrong, or of what of it is looked at closely. A few copies show nothing, and a
/// file does not wrap.
fn real_size(medium: &dyn Medium, meant: Expected<'_>, found: &[Difference]) -> Option<u64> {
    let claimed = medium.size()?;
    let mut counts: HashMap<u64, u64> = HashMap::new();
    for (far, bytes) in found.iter().filter_map(|found| Some((found.distance()?, found.at.size())))
    {
        let sum = counts.entry(far).or_default();
        *sum = sum.checked_add(bytes)?;
    }
    let all = sum(counts.values())?;
    // Of a medium that wraps several times, the nearest ones lie its size apart. Chance makes few of one distance.
    let is_often = |bytes: u64| bytes.checked_mul(16).is_some_and(|most| most >= all);
    let often = counts.iter().filter(|(_, bytes)| is_often(**bytes));
    let size = often.map(|(far, _)| *far).min().filter(|size| *size < claimed)?;
    let fits = counts.iter().filter(|(far, _)| far.is_multiple_of(size));
    let wrapped = sum(fits.map(|(_, bytes)| bytes))?;
    let close = u64_of(CLOSE).checked_mul(meant.unit())?;
    let meant = meant.size()?.checked_sub(size)?.min(close);
    (wrapped >= MIN_WRAPPED && wrapped.checked_mul(2)? >= meant).then_some(size)
}

/// Changes the cause of those units whose content belongs elsewhere in the image. A medium that wraps gives it there
/// as well; a write that went to the wrong place left what was there, which is then among the `bad` units.
fn find_elsewhere(
    meant: Expected<'_>,
    unknown: &[(usize, u64)],
    bad: &HashSet<u64>,
    found: &mut [Difference],
) -> Result<()> {
    if unknown.is_empty() {
        return Ok(());
    }
    let mut wanted: HashMap<u64, Option<u64>> =
        unknown.iter().map(|(_, digest)| (*digest, None)).collect();
    meant.places(&mut wanted)?;
    for (place, digest) in unknown {
        let from = wanted.get(digest).copied().flatten();
        if let Some(from) = from {
            let difference = checked::present(found.get_mut(*place), "what is to be explained")?;
            let is_lost = bad.contains(&from);
            difference.cause =
                if is_lost { Cause::Misdirected { from } } else { Cause::Copied { from } };
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
                last.at = last.at.grown_to(next.at.end());
            }
            _ => joined.push(next),
        }
    }
    joined
}

fn continues(last: Difference, next: Difference) -> bool {
    match (last.cause, next.cause) {
        (Cause::Flipped { .. } | Cause::Burst, _) => false,
        (Cause::Wrapped { from: one }, Cause::Wrapped { from: other })
        | (Cause::Copied { from: one }, Cause::Copied { from: other })
        | (Cause::Misdirected { from: one }, Cause::Misdirected { from: other }) => {
            one.wrapping_sub(last.at.start()) == other.wrapping_sub(next.at.start())
        }
        (one, other) => one == other,
    }
}
