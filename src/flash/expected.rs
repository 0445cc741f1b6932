//! What a medium is meant to hold, in a form that it can be compared with.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use super::buffer::{BUFFER, HEAD};
use crate::checked;
use crate::error::Result;
use crate::image::ReadAt;
use crate::image::unpack::{Feed, Stream};
use crate::units::{ByteRange, u64_len, u64_of, usize_of};

/// Bytes that are found equal or different together at first.
pub(super) const UNIT: u64 = 4096;
/// Digests that are kept of a stream; when there are more, pairs become one.
const DIGESTS: usize = 1 << 21;

/// An image to compare with.
#[derive(Clone, Copy)]
pub(super) enum Expected<'a> {
    /// Read once more.
    Whole(&'a dyn ReadAt),
    /// Known by its digests, and perhaps unpacked once more.
    Digests(&'a Digests, &'a Reopen<'a>),
}

/// Unpacks a stream once more.
pub(super) type Reopen<'a> = dyn Fn() -> Option<Result<Stream>> + Sync + 'a;

impl Expected<'_> {
    /// Bytes of the blocks that [`Self::bad_units`] tells apart.
    pub(super) fn unit(&self) -> u64 {
        match self {
            Self::Whole(_) => UNIT,
            Self::Digests(digests, _) => digests.unit,
        }
    }

    /// The bytes of the image.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Whole(image) => Some(image.size()),
            Self::Digests(digests, _) => u64_of(digests.list.len()).checked_mul(digests.unit),
        }
    }

    /// The units of `found`, read from byte `at` (a multiple of all units) on, that differ.
    pub(super) fn bad_units(
        &self,
        found: &[u8],
        at: u64,
        scratch: &mut [u8],
    ) -> Result<Vec<ByteRange>> {
        let scratch = checked::part_mut(scratch, ..found.len(), "room to compare")?;
        if let Self::Whole(image) = self {
            image.read_exact_at(scratch, at)?;
            if scratch == found {
                return Ok(Vec::new());
            }
        }
        let unit = usize_of(self.unit());
        let mut bad = Vec::new();
        let mut start = at;
        for (number, piece) in found.chunks(unit).enumerate() {
            let is_same = match self {
                Self::Whole(_) => scratch.chunks(unit).nth(number) == Some(piece),
                Self::Digests(digests, _) => digests.at(start) == Some(digests.digest_unit(piece)?),
            };
            let range = checked::range(start, u64_len(piece), "a unit")?;
            if !is_same {
                bad.push(range);
            }
            start = range.end();
        }
        Ok(bad)
    }

    /// Refuses an image that changed since it was opened, which says nothing of the medium. One that came once was looked
    /// at when it ended.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        match self {
            Self::Whole(image) => image.check_unchanged(),
            Self::Digests(..) => Ok(()),
        }
    }

    pub(super) fn digest(&self, piece: &[u8]) -> Result<u64> {
        match self {
            Self::Whole(_) => Ok(xxh3_64(piece)),
            Self::Digests(digests, _) => digests.digest_unit(piece),
        }
    }

    /// Where in the image the wanted units stand, for those that do.
    pub(super) fn places(&self, wanted: &mut HashMap<u64, Option<u64>>) -> Result<()> {
        match self {
            Self::Digests(digests, _) => {
                let mut at: u64 = 0;
                for digest in &digests.list {
                    if let Some(place) = wanted.get_mut(digest) {
                        place.get_or_insert(at);
                    }
                    at = checked::sum(at, digests.unit, "the place of a digest")?;
                }
            }
            Self::Whole(image) => {
                let mut buf = vec![0; usize_of(BUFFER)];
                for range in checked::range(0, image.size(), "the image")?.steps(BUFFER) {
                    let size = usize_of(range.size());
                    let buf = checked::part_mut(&mut buf, ..size, "room for a piece")?;
                    image.read_exact_at(buf, range.start())?;
                    let mut at = range.start();
                    for piece in buf.chunks(usize_of(UNIT)) {
                        if let Some(place) = wanted.get_mut(&xxh3_64(piece)) {
                            place.get_or_insert(at);
                        }
                        at = checked::sum(at, UNIT, "the place of a unit")?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives the meant bytes of `ranges`, which are in order; none of a stream that is over.
    pub(super) fn each(
        &self,
        ranges: &[ByteRange],
        mut take: impl FnMut(ByteRange, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut stream = match self {
            Self::Whole(image) => {
                for &range in ranges {
                    let mut bytes = vec![0; usize_of(range.size())];
                    image.read_exact_at(&mut bytes, range.start())?;
                    take(range, Some(&bytes))?;
                }
                return Ok(());
            }
            Self::Digests(_, again) => match again() {
                Some(stream) if !ranges.is_empty() => stream?,
                _ => return ranges.iter().try_for_each(|&range| take(range, None)),
            },
        };
        let mut done: u64 = 0;
        let mut skipped = vec![0; usize_of(UNIT)];
        for &range in ranges {
            while done < range.start() {
                let left = checked::difference(range.start(), done, "what is skipped")?;
                let step = left.min(UNIT);
                let place = checked::part_mut(&mut skipped, ..usize_of(step), "a skipped piece")?;
                stream.fill(place)?;
                done = checked::sum(done, step, "what is skipped")?;
            }
            let mut bytes = vec![0; usize_of(range.size())];
            stream.fill(&mut bytes)?;
            done = range.end();
            take(range, Some(&bytes))?;
        }
        Ok(())
    }
}

/// Short digests of all blocks of a stream. They find faults, not forgers.
#[derive(Debug)]
pub(super) struct Digests {
    unit: u64,
    list: Vec<u64>,
    limit: usize,
}

impl Default for Digests {
    fn default() -> Self {
        Self { unit: UNIT, list: Vec::new(), limit: DIGESTS }
    }
}

impl Digests {
    /// Adds bytes that follow; all but the last time a multiple of [`HEAD`].
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(usize_of(self.unit)) {
            let digest = self.digest_unit(piece)?;
            self.list.push(digest);
        }
        if self.list.len() >= self.limit && self.unit < HEAD {
            self.list = self.list.chunks(2).map(joined).collect();
            self.unit = checked::product(self.unit, 2, "the unit of digests")?;
        }
        Ok(())
    }

    fn at(&self, at: u64) -> Option<u64> {
        self.list.get(usize_of(at.checked_div(self.unit)?)).copied()
    }

    /// The digest of one unit, however many pairs have become one.
    fn digest_unit(&self, piece: &[u8]) -> Result<u64> {
        let mut level: Vec<u64> = piece.chunks(usize_of(UNIT)).map(xxh3_64).collect();
        let mut unit = UNIT;
        while unit < self.unit {
            level = level.chunks(2).map(joined).collect();
            unit = checked::product(unit, 2, "the unit of digests")?;
        }
        checked::present(level.first().copied(), "the digest of a piece")
    }
}

fn joined(pair: &[u64]) -> u64 {
    let bytes: Vec<u8> = pair.iter().flat_map(|digest| digest.to_le_bytes()).collect();
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_became_one_still_find_every_fault() {
        let image: Vec<u8> = (0..(5 << 20) + 12_345_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
            .collect();
        let mut digests = Digests { limit: 256, ..Digests::default() };
        image.chunks(1 << 20).for_each(|chunk| digests.add(chunk).unwrap());
        assert!(digests.unit > UNIT);
        let unit = digests.unit;
        let nothing = || None;
        let meant = Expected::Digests(&digests, &nothing);
        for bad_at in [0, 4095, 1 << 20, (5 << 20) + 12_344] {
            let mut found = image.clone();
            found[bad_at] ^= 4;
            let mut bad = Vec::new();
            for (chunk, at) in found.chunks(1 << 20).zip((0..).step_by(1 << 20)) {
                bad.extend(meant.bad_units(chunk, at, &mut vec![0; 1 << 20]).unwrap());
            }
            assert_eq!(bad.len(), 1);
            let wrong = usize_of(bad[0].start())..usize_of(bad[0].end());
            assert!(wrong.contains(&bad_at));
            assert!(bad[0].start().is_multiple_of(unit));
        }
    }
}
