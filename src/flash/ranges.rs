//! Ranges of bytes taken together: how many bytes, joined, and without a hole.

use crate::checked;
use crate::error::Result;
use crate::units::ByteRange;

/// Bytes of all ranges together.
pub(super) fn total(ranges: &[ByteRange]) -> Result<u64> {
    let add = |sum, range: &ByteRange| checked::sum(sum, range.size(), "the bytes of ranges");
    ranges.iter().try_fold(0, add)
}

/// In order, neighbours and overlaps made one.
pub(super) fn joined(mut ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    ranges.sort_unstable();
    let mut found: Vec<ByteRange> = Vec::new();
    for range in ranges {
        match found.last_mut() {
            Some(last) if last.end() >= range.start() => *last = last.grown_to(range.end()),
            _ => found.push(range),
        }
    }
    found
}

/// The ranges without the hole.
pub(super) fn without(ranges: &[ByteRange], hole: ByteRange) -> Vec<ByteRange> {
    let parts = |range: &ByteRange| {
        let before = ByteRange::between(range.start(), range.end().min(hole.start()));
        let after = ByteRange::between(range.start().max(hole.end()), range.end());
        [before, after].into_iter().flatten().filter(|part| !part.is_empty())
    };
    ranges.iter().flat_map(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ranges: &[(u64, u64)]) -> Vec<ByteRange> {
        ranges.iter().map(|&(start, end)| ByteRange::between(start, end).unwrap()).collect()
    }

    #[test]
    fn neighbours_and_overlaps_become_one() {
        let found = joined(ranges(&[(8, 9), (0, 2), (2, 4), (3, 6), (3, 4)]));
        assert_eq!(found, ranges(&[(0, 6), (8, 9)]));
        assert_eq!(total(&found).unwrap(), 7);
    }

    #[test]
    fn a_hole_leaves_what_is_before_and_behind_it() {
        let hole = ByteRange::between(4, 6).unwrap();
        let found = without(&ranges(&[(0, 5), (5, 6), (4, 9), (0, 9), (7, 8)]), hole);
        assert_eq!(found, ranges(&[(0, 4), (6, 9), (0, 4), (6, 9), (7, 8)]));
    }
}
