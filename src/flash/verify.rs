//! Reads a medium back past the cache and compares it with what was meant.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use xxhash_rust::xxh3::xxh3_64;

use super::buffer::{BUFFER, Lease, Pool, aligned};
use super::expected::Expected;
use super::medium::{Medium, failed, read_full};
use super::ranges::total;
use crate::checked;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::threads;
use crate::units::{ByteRange, u64_len, usize_of};

/// Units that are looked at closely; of the rest only the place is reported.
pub(super) const CLOSE: usize = 1 << 16;
/// Buffers on their way from the medium to the comparison.
const BUFFERS: usize = 3;

/// A block that was found different.
pub(super) struct Bad {
    pub(super) at: ByteRange,
    /// Digest of what was read the first time; none if nothing could be read.
    pub(super) found: Option<u64>,
}

/// What a comparison found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) bad: Vec<Bad>,
    /// Those after [`CLOSE`] others.
    pub(super) rest: Vec<ByteRange>,
}

impl Findings {
    fn add(&mut self, bad: Bad) {
        if self.bad.len() < CLOSE {
            self.bad.push(bad);
            return;
        }
        match self.rest.last_mut() {
            Some(last) if last.end() == bad.at.start() => {
                *last = last.grown_to(bad.at.end());
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

/// What was read of a range.
type Answer = (ByteRange, Result<usize>, Lease);

/// Compares `ranges` of the medium with what is meant. Reading and comparing overlap.
pub(super) fn compare(
    medium: &dyn Medium,
    meant: Expected<'_>,
    ranges: &[ByteRange],
    progress: &dyn Progress,
) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut compared = 0;
    let mut scratch = aligned(BUFFER)?;
    let pool = Pool::new(BUFFERS)?;
    std::thread::scope(|scope| {
        let (sender, answers) = sync_channel(BUFFERS);
        threads::start(scope, move || read_ahead(medium, ranges, &pool, &sender))?;
        take_answers(medium, meant, &answers, &mut |range, found| {
            if progress.is_cancelled() {
                return Err(Error::Interrupted);
            }
            match found {
                Some(found) => {
                    for at in meant.bad_units(found, range.start(), &mut scratch)? {
                        let from = checked::difference(at.start(), range.start(), "a unit")?;
                        let rest = checked::part(found, usize_of(from).., "a unit")?;
                        let piece = checked::part(rest, ..usize_of(at.size()), "a unit")?;
                        findings.add(Bad { at, found: Some(meant.digest(piece)?) });
                    }
                }
                None => findings.add(Bad { at: range, found: None }),
            }
            compared = checked::sum(compared, range.size(), "what was compared")?;
            progress.advance(range.size());
            Ok(())
        })
    })?;
    // The thread that reads must not end early without a word.
    match total(ranges)? {
        wanted if wanted == compared => Ok(findings),
        wanted => Err(Error::bug(format!("{compared} bytes were compared, not {wanted}"))),
    }
}

fn read_ahead(medium: &dyn Medium, ranges: &[ByteRange], pool: &Pool, to: &SyncSender<Answer>) {
    for range in ranges.iter().flat_map(|range| range.steps(BUFFER)) {
        let Ok(mut lease) = pool.take() else { return };
        let answer = lease.bytes_mut().and_then(|buf| read_range(medium, range, buf));
        if to.send((range, answer, lease)).is_err() {
            return;
        }
    }
}

/// Reads the blocks that hold `range`, which starts at a block.
pub(super) fn read_range(medium: &dyn Medium, range: ByteRange, buf: &mut [u8]) -> Result<usize> {
    let size = checked::round_up(range.size(), medium.block(), "the end of a block")?;
    let buf = checked::part_mut(buf, ..usize_of(size), "room for blocks")?;
    read_full(medium, "read back", buf, range.start())
}

type Take<'a> = dyn FnMut(ByteRange, Option<&[u8]>) -> Result<()> + 'a;

fn take_answers(
    medium: &dyn Medium,
    meant: Expected<'_>,
    answers: &Receiver<Answer>,
    take: &mut Take<'_>,
) -> Result<()> {
    let mut small = aligned(BUFFER)?;
    for (range, answer, lease) in answers {
        match answer {
            Ok(count) => {
                take_found(range, checked::part(lease.bytes()?, ..count, "what was read")?, take)?;
            }
            Err(Error::Io { source, .. }) if medium.is_gone() => {
                return Err(failed(medium, "read back", range.start(), source));
            }
            // Find out which part of it cannot be read.
            Err(Error::Io { .. }) => {
                for unit in range.steps(meant.unit()) {
                    match read_range(medium, unit, &mut small) {
                        Ok(count) => {
                            let found = checked::part(&small, ..count, "what was read")?;
                            take_found(unit, found, take)?;
                        }
                        Err(Error::Io { .. }) => take(unit, None)?,
                        Err(fault) => return Err(fault),
                    }
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Passes on what was read of `range`; what is missing at the end could not be read.
fn take_found(range: ByteRange, found: &[u8], take: &mut Take<'_>) -> Result<()> {
    let wanted = usize_of(range.size());
    let found = found.get(..wanted).unwrap_or(found);
    let read = checked::range(range.start(), u64_len(found), "what was read")?;
    if !read.is_empty() {
        take(read, Some(found))?;
    }
    let missing = checked::between(read.end(), range.end(), "what could not be read")?;
    if missing.is_empty() { Ok(()) } else { take(missing, None) }
}

/// A digest for places where the unit does not matter.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_the_first_differences_neighbours_are_reported_as_one_range() {
        let block = |number: u64| ByteRange::new(number << 12, 1 << 12).unwrap();
        let mut findings = Findings::default();
        let numbers = (0..).take(CLOSE).chain([100_000, 100_001, 100_003, 100_004, 100_005]);
        for number in numbers {
            findings.add(Bad { at: block(number), found: None });
        }
        let found = findings.ranges();
        let rest = [block(100_000).grown_to(100_002 << 12), block(100_003).grown_to(100_006 << 12)];
        assert_eq!(found[CLOSE..], rest);
        assert_eq!((found[0], found.len()), (block(0), CLOSE + rest.len()));
    }
}
