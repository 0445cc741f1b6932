//! Addresses and sizes: logical blocks of a volume, byte ranges of an image.

use std::fmt;

const _: () = assert!(usize::BITS == 64, "sizes of images are kept in usize and u64 alike");

/// Bytes in a logical block of a volume (ECMA-119 §6.2.2; the only size installers use).
pub(crate) const LOGICAL_BLOCK: u64 = 2048;

/// Bytes in a block of a disk as boot code and partition tables count them (UEFI 2.10 §5.3).
pub(crate) const DISK_BLOCK: u64 = 512;

/// Turns a length in memory into a length in an image.
#[expect(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
pub const fn u64_len(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

/// Turns a count in memory into a count in an image.
#[expect(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
pub(crate) const fn u64_of(count: usize) -> u64 {
    count as u64
}

/// Turns a length in an image into a length in memory.
#[expect(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits, asserted above")]
pub const fn usize_of(bytes: u64) -> usize {
    bytes as usize
}

/// The number of a logical block of the volume (ECMA-119 §6.2.2).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub(crate) struct Lbn(pub u32);

impl Lbn {
    /// The byte of the image where the block starts.
    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.0).saturating_mul(LOGICAL_BLOCK)
    }

    /// The block that starts at byte `at`; none if no block does.
    pub(crate) fn at_byte(at: u64) -> Option<Self> {
        if !at.is_multiple_of(LOGICAL_BLOCK) {
            return None;
        }
        u32::try_from(at.checked_div(LOGICAL_BLOCK)?).ok().map(Self)
    }
}

/// Bytes of an image, half-open.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// `len` bytes from `start` on; none if the end does not fit in 64 bits.
    pub fn new(start: u64, len: u64) -> Option<Self> {
        Some(Self { start, end: start.checked_add(len)? })
    }

    /// The first `end` bytes.
    pub(crate) const fn up_to(end: u64) -> Self {
        Self { start: 0, end }
    }

    /// From `start` up to but not with `end`; none if they are the wrong way round.
    pub fn between(start: u64, end: u64) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// The first byte.
    pub fn start(self) -> u64 {
        self.start
    }

    /// The byte after the last one.
    pub fn end(self) -> u64 {
        self.end
    }

    /// How many bytes there are.
    #[expect(clippy::arithmetic_side_effects, reason = "start <= end in every ByteRange")]
    pub fn size(self) -> u64 {
        self.end - self.start
    }

    /// Whether there are no bytes in it.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The same, up to at least `end`.
    #[must_use]
    pub(crate) fn grown_to(self, end: u64) -> Self {
        Self { start: self.start, end: self.end.max(end) }
    }

    /// Its pieces, cut at the multiples of `step`.
    pub fn steps(self, step: u64) -> impl Iterator<Item = Self> {
        let mut next = self.start;
        std::iter::from_fn(move || {
            // Without a multiple that fits, all of the rest is one piece.
            let boundary = next.checked_add(1).and_then(|next| align_up(next, step));
            let end = boundary.map_or(self.end, |boundary| boundary.min(self.end));
            let piece = Self::between(next, end).filter(|piece| !piece.is_empty())?;
            next = piece.end;
            Some(piece)
        })
    }

    /// What both ranges hold; none if that is nothing.
    pub(crate) fn common(self, other: Self) -> Option<Self> {
        let found = Self::between(self.start.max(other.start), self.end.min(other.end))?;
        (!found.is_empty()).then_some(found)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// The next multiple of `unit` at or after `value`; none if it does not fit or `unit` is 0.
pub(crate) fn align_up(value: u64, unit: u64) -> Option<u64> {
    value.checked_next_multiple_of(unit)
}

/// How far a value is beyond a limit; 0 where it is not.
pub fn beyond(value: u64, limit: u64) -> u64 {
    value.saturating_sub(limit)
}

/// A number of bytes as people read it, in powers of 1024.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes).saturating_mul(10).div_euclid(1024);
    let mut unit = "KiB";
    for next in UNITS.into_iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths = tenths.div_euclid(1024);
        unit = next;
    }
    format!("{}.{} {unit}", tenths.div_euclid(10), tenths.rem_euclid(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_wrap() {
        assert_eq!(ByteRange::new(u64::MAX, 1), None);
        assert_eq!(ByteRange::between(2, 1), None);
        assert_eq!(ByteRange::new(u64::MAX, 0).map(ByteRange::size), Some(0));
    }

    #[test]
    fn common_part_of_ranges() {
        let range = |start, end| ByteRange::between(start, end).unwrap();
        assert_eq!(range(0, 10).common(range(5, 20)), Some(range(5, 10)));
        assert_eq!(range(0, 10).common(range(10, 20)), None);
    }

    #[test]
    fn steps_end_at_multiples_and_leave_nothing_out() {
        let steps = |start, end, step| -> Vec<(u64, u64)> {
            let range = ByteRange::between(start, end).unwrap();
            range.steps(step).map(|piece| (piece.start(), piece.end())).collect()
        };
        assert_eq!(steps(5, 25, 10), [(5, 10), (10, 20), (20, 25)]);
        assert_eq!(steps(0, 20, 10), [(0, 10), (10, 20)]);
        assert_eq!(steps(5, 5, 10), []);
        let last = u64::MAX - 1;
        assert_eq!(steps(last - 1, u64::MAX, 4), [(last - 1, u64::MAX)]);
        assert_eq!(steps(5, 25, 0), [(5, 25)]);
    }

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_265_942_528, "1.1 GiB"),
        ] {
            assert_eq!(format_bytes(bytes), text);
        }
    }

    #[test]
    fn only_block_starts_have_a_number() {
        assert_eq!(Lbn::at_byte(4096), Some(Lbn(2)));
        assert_eq!(Lbn::at_byte(4097), None);
        assert_eq!(Lbn::at_byte(u64::MAX - 2047), None);
    }
}
