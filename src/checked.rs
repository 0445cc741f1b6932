//! Parts, sums and ranges that are right unless this program has a bug. If one is not, that is an [`Error::Bug`], and
//! nothing is left out in silence.
//!
//! What is wrong because of the user, the image or the system has an error of its own; none of it belongs here.

use std::fmt::{Debug, Display};
use std::slice::SliceIndex;

use crate::error::{Error, Result};
use crate::units::{ByteRange, align_up};

/// The part of `items` that must be there.
#[track_caller]
pub(crate) fn part<'a, T, I>(items: &'a [T], at: I, what: &str) -> Result<&'a [T]>
where
    I: SliceIndex<[T], Output = [T]> + Clone + Debug,
{
    let (shown, length) = (at.clone(), items.len());
    match items.get(at) {
        Some(part) => Ok(part),
        None => Err(outside(&shown, length, what)),
    }
}

/// The part of `items` that must be there, to change it.
#[track_caller]
pub(crate) fn part_mut<'a, T, I>(items: &'a mut [T], at: I, what: &str) -> Result<&'a mut [T]>
where
    I: SliceIndex<[T], Output = [T]> + Clone + Debug,
{
    let (shown, length) = (at.clone(), items.len());
    match items.get_mut(at) {
        Some(part) => Ok(part),
        None => Err(outside(&shown, length, what)),
    }
}

#[track_caller]
fn outside(at: &dyn Debug, length: usize, what: &str) -> Error {
    Error::bug(format!("{what}: {at:?} is not within {length}"))
}

/// What must be there.
#[track_caller]
pub(crate) fn present<T>(value: Option<T>, what: &str) -> Result<T> {
    match value {
        Some(value) => Ok(value),
        None => Err(Error::bug(format!("{what} is missing"))),
    }
}

/// A number of an address or a length.
pub(crate) trait Number: Copy + Display {
    fn plus(self, other: Self) -> Option<Self>;
    fn minus(self, other: Self) -> Option<Self>;
    fn times(self, other: Self) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Number for $number {
            fn plus(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }

            fn minus(self, other: Self) -> Option<Self> {
                self.checked_sub(other)
            }

            fn times(self, other: Self) -> Option<Self> {
                self.checked_mul(other)
            }
        }
    )*};
}

numbers!(u16, u32, u64, usize);

/// A sum that must fit.
#[track_caller]
pub(crate) fn sum<N: Number>(one: N, other: N, what: &str) -> Result<N> {
    match one.plus(other) {
        Some(sum) => Ok(sum),
        None => Err(Error::bug(format!("{what}: {one} + {other} does not fit"))),
    }
}

/// A difference that must not be negative.
#[track_caller]
pub(crate) fn difference<N: Number>(one: N, other: N, what: &str) -> Result<N> {
    match one.minus(other) {
        Some(difference) => Ok(difference),
        None => Err(Error::bug(format!("{what}: {one} is less than {other}"))),
    }
}

/// A product that must fit.
#[track_caller]
pub(crate) fn product<N: Number>(one: N, other: N, what: &str) -> Result<N> {
    match one.times(other) {
        Some(product) => Ok(product),
        None => Err(Error::bug(format!("{what}: {one} * {other} does not fit"))),
    }
}

/// The next multiple of `unit` at or after `value`, which must fit.
#[track_caller]
pub(crate) fn round_up(value: u64, unit: u64, what: &str) -> Result<u64> {
    match align_up(value, unit) {
        Some(multiple) => Ok(multiple),
        None => Err(Error::bug(format!("{what}: no multiple of {unit} at or after {value}"))),
    }
}

/// The last multiple of `unit` at or before `value`.
#[track_caller]
pub(crate) fn round_down(value: u64, unit: u64, what: &str) -> Result<u64> {
    match value.checked_rem(unit) {
        Some(rest) => difference(value, rest, what),
        None => Err(Error::bug(format!("{what}: a multiple of 0"))),
    }
}

/// `length` bytes from `start` on, whose end must fit.
#[track_caller]
pub(crate) fn range(start: u64, length: u64, what: &str) -> Result<ByteRange> {
    match ByteRange::new(start, length) {
        Some(range) => Ok(range),
        None => Err(Error::bug(format!("{what}: {length} bytes from {start:#x} on do not fit"))),
    }
}

/// From `start` up to but not with `end`, which must not be less.
#[track_caller]
pub(crate) fn between(start: u64, end: u64, what: &str) -> Result<ByteRange> {
    match ByteRange::between(start, end) {
        Some(range) => Ok(range),
        None => Err(Error::bug(format!("{what}: the end {end:#x} is before {start:#x}"))),
    }
}

/// The whole blocks that hold `range`.
#[track_caller]
pub(crate) fn whole_blocks(range: ByteRange, block: u64, what: &str) -> Result<ByteRange> {
    let start = round_down(range.start(), block, what)?;
    between(start, round_up(range.end(), block, what)?, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_is_given() {
        assert_eq!(part(&[1, 2, 3], 1.., "a part").unwrap(), [2, 3]);
        assert_eq!(part_mut(&mut [1, 2, 3], ..2, "a part").unwrap(), [1, 2]);
        assert_eq!(present(Some(1), "a value").unwrap(), 1);
        assert_eq!(sum(1_u32, 2, "a sum").unwrap(), 3);
        assert_eq!(difference(3_usize, 2, "a difference").unwrap(), 1);
        assert_eq!(product(3_u64, 2, "a product").unwrap(), 6);
        assert_eq!(round_up(5, 4, "an end").unwrap(), 8);
        assert_eq!(round_down(5, 4, "a start").unwrap(), 4);
        assert_eq!(range(1, 2, "a range").unwrap().end(), 3);
        let range = between(1, 6, "a range").unwrap();
        assert_eq!(whole_blocks(range, 4, "blocks").unwrap(), between(0, 8, "blocks").unwrap());
    }

    #[test]
    fn what_comes_through_std_io_stays_what_it_is() {
        let bug: std::io::Error = present(None::<()>, "the block").unwrap_err().into();
        let fault = Error::io("write a file")(bug);
        assert!(matches!(fault, Error::Bug { .. }), "{fault}");
        let signal: std::io::Error = Error::Interrupted.into();
        assert!(matches!(Error::io("write a file")(signal), Error::Interrupted));
        let refused = std::io::Error::other("refused");
        assert!(matches!(Error::io("write a file")(refused), Error::Io { .. }));
    }

    #[test]
    fn what_is_wrong_is_a_bug_that_names_its_place() {
        let faults = [
            (part(&[0], 1..3, "the block").err(), "the block: 1..3 is not within 1"),
            (part_mut(&mut [0], ..2, "the block").err(), "the block: ..2 is not within 1"),
            (present(None::<()>, "the block").err(), "the block is missing"),
            (sum(u32::MAX, 1, "the end").err(), "the end: 4294967295 + 1 does not fit"),
            (difference(1_u64, 2, "the rest").err(), "the rest: 1 is less than 2"),
            (product(u32::MAX, 2, "the size").err(), "the size: 4294967295 * 2 does not fit"),
            (round_up(1, 0, "the end").err(), "the end: no multiple of 0 at or after 1"),
            (round_down(1, 0, "the start").err(), "the start: a multiple of 0"),
            (range(u64::MAX, 1, "all").err(), "all: 1 bytes from 0xffffffffffffffff on do not fit"),
            (between(2, 1, "all").err(), "all: the end 0x1 is before 0x2"),
        ];
        for (fault, expected) in faults {
            let fault = fault.unwrap();
            let text = fault.to_string();
            let start = format!("bug in remaster: {expected} (src/checked.rs:");
            assert!(text.starts_with(&start), "{text}");
            assert!(text.ends_with("), please report it"), "{text}");
            assert!(matches!(fault, Error::Bug { .. }), "{fault}");
        }
    }
}
