//! Finds media that claim more than they have: marks at spread addresses, read back past the cache.

use std::collections::HashMap;

use super::buffer::aligned;
use super::medium::{Medium, flush, read_full, write_all};
use super::verify::digest;
use crate::checked;
use crate::error::{Advice, Error, Result};
use crate::progress::Progress;
use crate::units::{ByteRange, format_bytes, u64_of, usize_of};

/// Bytes of a mark; the largest block of any disk.
const MARK: u64 = 4096;
/// Wraps at multiples of this are found...
const GRAIN: u64 = 1 << 20;
/// ... or, on large media, at multiples of so great a part of them.
const GRAINS: u64 = 4096;

/// What a place held, and what was put there.
struct Spot {
    at: u64,
    original: Vec<u8>,
    mark: Vec<u8>,
}

/// Places that did not get back what they held: how many, and why the first one did not.
struct Lost {
    count: usize,
    fault: Error,
}

/// The marks on a medium, each where it was put.
#[derive(Default)]
pub(super) struct Marked {
    spots: Vec<Spot>,
}

/// Writes marks and reads them back. They stay, to be looked for again by [`Marked::settle`]: a fake may have held all of
/// them in a cache.
///
/// # Errors
/// A medium that does not hold what it claims, by [`Error::Unsafe`]. It gets back what it had.
pub(super) fn probe(medium: &dyn Medium, nonce: u64, progress: &dyn Progress) -> Result<Marked> {
    let Some(size) = medium.size().filter(|size| size.div_euclid(MARK) >= 4) else {
        return Ok(Marked::default());
    };
    let places = places(size)?;
    let marks = u64_of(places.len());
    progress.begin("probe", checked::product(marks, MARK, "the marks of the probe")?);
    let mut spots = Vec::new();
    for at in places {
        let original = read(medium, at)?;
        spots.push(Spot { at, original, mark: mark(nonce, at) });
    }
    let marked = mark_all(medium, &spots, progress).and_then(|()| flush(medium));
    let found = marked.and_then(|()| read_marks(medium, &spots));
    let against = found.map(|found| verdict(&spots, &found, size));
    progress.end();
    let marked = Marked { spots };
    match against {
        Ok(None) => Ok(marked),
        Ok(Some(reason)) => Err(marked.put_back(medium, refused(medium, reason))),
        Err(fault) => Err(marked.put_back(medium, fault)),
    }
}

impl Marked {
    /// Puts back what was there outside of a part of the medium: that is not written again.
    ///
    /// # Errors
    /// The medium's.
    pub(super) fn keep(self, medium: &dyn Medium, part: Option<ByteRange>) -> Result<Self> {
        let (kept, others) = self.spots.into_iter().partition(|spot| is_in(spot, part));
        let others = Self { spots: others };
        others.restore(medium).map_err(|lost| lost.fault.but(others.lost(medium, lost.count)))?;
        Ok(Self { spots: kept })
    }

    /// Looks again for the marks in a part of the medium, when so much was written elsewhere that a cache has let them go,
    /// and puts back what was there.
    ///
    /// # Errors
    /// A medium that has lost one, by [`Error::Unsafe`].
    pub(super) fn settle(mut self, medium: &dyn Medium, part: Option<ByteRange>) -> Result<()> {
        self.spots.retain(|spot| is_in(spot, part));
        let found = read_marks(medium, &self.spots)?;
        let mut pairs = self.spots.iter().zip(&found);
        let lost = pairs.find(|(spot, found)| found.as_ref() != Some(&spot.mark));
        let Some((spot, _)) = lost else {
            return self
                .restore(medium)
                .map_err(|lost| lost.fault.but(self.lost(medium, lost.count)));
        };
        let size = format_bytes(medium.size().unwrap_or(0));
        let at = format_bytes(spot.at);
        let reason = format!(
            "it claims {size}, but what was written at {at} is lost since the image was written: it is a fake"
        );
        // What is written to such a place would lie over something else.
        Err(refused(medium, reason))
    }

    /// Puts back what was there after a fault, which says also how much could not be put back.
    fn put_back(&self, medium: &dyn Medium, fault: Error) -> Error {
        match self.restore(medium) {
            Ok(()) => {
                medium.taken_back();
                fault
            }
            Err(lost) => fault.but(self.lost(medium, lost.count)),
        }
    }

    fn lost(&self, medium: &dyn Medium, count: usize) -> String {
        medium.keeps_marks(count);
        format!("{count} of {} places that were tested could not be put back", self.spots.len())
    }

    /// Puts back as much as goes.
    fn restore(&self, medium: &dyn Medium) -> Result<(), Box<Lost>> {
        let put = |spot: &Spot| write(medium, &spot.original, spot.at).err();
        let faults: Vec<Error> = self.spots.iter().rev().filter_map(put).collect();
        let count = faults.len();
        match faults.into_iter().next() {
            Some(fault) => Err(Box::new(Lost { count, fault })),
            None if self.spots.is_empty() => Ok(()),
            None => {
                flush(medium).map_err(|fault| Box::new(Lost { count: self.spots.len(), fault }))
            }
        }
    }
}

fn is_in(spot: &Spot, part: Option<ByteRange>) -> bool {
    let place = checked::range(spot.at, MARK, "a mark").ok();
    part.zip(place).is_some_and(|(part, place)| part.common(place) == Some(place))
}

fn refused(medium: &dyn Medium, reason: String) -> Error {
    Error::Unsafe { target: medium.name(), reason, hint: Advice::SkipProbe }
}

/// Where the marks go. A medium that wraps at some size shows it only if two marks lie that far
/// apart, so they make a sparse ruler: close together at first, then far apart, and every multiple of
/// the grain is the distance of two of them. Fakes wrap at multiples of a mebibyte, most at powers
/// of two, which are there besides.
fn places(size: u64) -> Result<Vec<u64>> {
    let last = checked::round_down(size, MARK, "the end of the medium")?;
    let last = checked::difference(last, MARK, "the last mark")?;
    let grain = size.div_euclid(GRAINS).max(GRAIN).next_power_of_two();
    let count = checked::sum(size.div_euclid(grain).isqrt(), 1, "the marks of the probe")?;
    // What does not fit in 64 bits lies behind the end of the medium, too.
    let near = (0..count).filter_map(|n| n.checked_mul(grain));
    let far = (1..=count).filter_map(|n| n.checked_mul(count)?.checked_mul(grain));
    let powers = (0..64).filter_map(|n| 1_u64.checked_shl(n)).filter(|at| *at >= MARK);
    let mut found: Vec<u64> =
        near.chain(far).chain(powers).filter(|at| *at < last).chain([last]).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn mark(nonce: u64, at: u64) -> Vec<u8> {
    let mut state = nonce ^ at.rotate_left(17);
    let mut bytes = Vec::with_capacity(usize_of(MARK));
    while bytes.len() < usize_of(MARK) {
        state = digest(&state.to_le_bytes());
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn read(medium: &dyn Medium, at: u64) -> Result<Vec<u8>> {
    let mut buf = aligned(MARK)?;
    let count = read_full(medium, "probe", &mut buf, at)?;
    Ok(checked::part(&buf, ..count, "what was read")?.to_vec())
}

fn write(medium: &dyn Medium, bytes: &[u8], at: u64) -> Result<()> {
    let mut buf = aligned(MARK)?;
    let buf = checked::part_mut(&mut buf, ..bytes.len(), "the place of a mark")?;
    buf.copy_from_slice(bytes);
    write_all(medium, buf, at)
}

fn mark_all(medium: &dyn Medium, spots: &[Spot], progress: &dyn Progress) -> Result<()> {
    spots.iter().try_for_each(|spot| {
        write(medium, &spot.mark, spot.at)?;
        progress.advance(MARK);
        if progress.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    })
}

fn read_marks(medium: &dyn Medium, spots: &[Spot]) -> Result<Vec<Option<Vec<u8>>>> {
    let found = spots.iter().map(|spot| match read(medium, spot.at) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Io { .. }) if !medium.is_gone() => Ok(None),
        Err(fault) => Err(fault),
    });
    found.collect()
}

/// What is wrong with the medium; none if every mark is where it was put.
fn verdict(spots: &[Spot], found: &[Option<Vec<u8>>], size: u64) -> Option<String> {
    let by_mark: HashMap<&[u8], u64> =
        spots.iter().map(|spot| (spot.mark.as_slice(), spot.at)).collect();
    let pairs = || spots.iter().zip(found);
    let bad = |(spot, found): &(&Spot, &Option<Vec<u8>>)| found.as_ref() != Some(&spot.mark);
    let first_bad = pairs().find(bad)?.0.at;
    let claims = format!("it claims {}", format_bytes(size));
    let wrap = pairs()
        .filter_map(|(spot, found)| by_mark.get(found.as_deref()?)?.checked_sub(spot.at))
        .filter(|distance| *distance > 0)
        .reduce(common_divisor);
    if let Some(distance) = wrap {
        return Some(format!(
            "{claims}, but writes past about {} come back at the start: it is a fake",
            format_bytes(distance)
        ));
    }
    let good = pairs().filter(|pair| !bad(pair)).map(|(spot, _)| spot.at).max();
    Some(match good {
        None => format!("{claims}, but nothing that is written stays: it is worn out or a fake"),
        Some(last) if last < first_bad => format!(
            "{claims}, but what is written at {} and after does not stay: it is a fake or worn out",
            format_bytes(first_bad)
        ),
        Some(_) => format!("what is written at byte {first_bad:#x} does not stay: it is worn out"),
    })
}

fn common_divisor(one: u64, other: u64) -> u64 {
    let (mut one, mut other) = (one, other);
    while let Some(rest) = one.checked_rem(other) {
        (one, other) = (other, rest);
    }
    one
}
