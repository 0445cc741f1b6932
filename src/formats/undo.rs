//! The undo record of a stamped image: the base's bytes that were overwritten, so that the base can be
//! had back byte for byte.
//!
//! ```text
//! 16  "remaster undo 1\n"
//!  8  bytes of the base
//!  8  bytes of the stamped image
//! 32  SHA-256 of the stamped image's bytes in all ranges behind the system area, in order
//!  4  number of ranges
//! 12  for each range: first byte (8), bytes (4)
//!     for each range: the base's bytes
//! 32  SHA-256 of everything before
//! ```
//! Numbers have the least significant byte first.

use sha2::{Digest, Sha256};

use crate::formats::Malformed;
use crate::units::{ByteRange, u64_len, usize_of};

const MAGIC: &[u8; 16] = b"remaster undo 1\n";
const FAMILY: &[u8] = b"remaster undo ";
const COUNT: u64 = 16 + 8 + 8 + 32;
const HEADER: u64 = COUNT + 4;
const PLACE: u64 = 8 + 4;
const DIGEST: u64 = 32;
/// Ranges of a record: each takes memory beside its bytes. Genuine ones have some hundreds.
const MOST_RANGES: usize = 1 << 17;
const SYSTEM_AREA: u64 = 16 * 2048;

/// What an undo record says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Undo {
    /// Bytes of the base.
    pub base_size: u64,
    /// Bytes of the stamped image.
    pub stamped_size: u64,
    /// SHA-256 of the stamped image's bytes in those of the ranges that [`is_digested`] holds for.
    pub stamped_digest: [u8; 32],
    /// The base's bytes, by their first byte, in order.
    pub ranges: Vec<(ByteRange, Vec<u8>)>,
}

/// Whether a range counts for the digest. The system area (ECMA-119 §6.2.1) does not: whoever writes the
/// image to a disk may move the backup GPT to its end, and says so there.
pub fn is_digested(range: ByteRange) -> bool {
    range.start() >= SYSTEM_AREA
}

/// Bytes of a record of these ranges; none past 64 bits.
pub fn size(ranges: &[ByteRange]) -> Option<u64> {
    ranges.iter().try_fold(HEADER.checked_add(DIGEST)?, |sum, range| {
        sum.checked_add(PLACE)?.checked_add(range.size())
    })
}

impl Undo {
    /// The record as it stands in an image; none if there are too many or too large ranges.
    pub fn pack(&self) -> Option<Vec<u8>> {
        if self.ranges.len() > MOST_RANGES {
            return None;
        }
        let mut record = MAGIC.to_vec();
        record.extend(self.base_size.to_le_bytes());
        record.extend(self.stamped_size.to_le_bytes());
        record.extend(self.stamped_digest);
        record.extend(u32::try_from(self.ranges.len()).ok()?.to_le_bytes());
        for (at, bytes) in &self.ranges {
            record.extend(at.start().to_le_bytes());
            record.extend(u32::try_from(bytes.len()).ok()?.to_le_bytes());
        }
        record.extend(self.ranges.iter().flat_map(|(_, bytes)| bytes));
        let digest = Sha256::digest(&record);
        record.extend(digest);
        Some(record)
    }

    /// Reads a record and checks it.
    pub fn parse(record: &[u8]) -> Result<Self, Malformed> {
        let whole =
            record.len().checked_sub(usize_of(DIGEST)).and_then(|end| record.split_at_checked(end));
        let (body, digest) = whole.ok_or_else(|| fault(record, "its end", "a whole record"))?;
        if !body.starts_with(MAGIC) {
            return Err(Malformed::version("undo record", body, FAMILY, MAGIC));
        }
        if Sha256::digest(body).as_slice() != digest {
            return Err(fault(
                body,
                "contents of another SHA-256 than stated",
                "an unchanged record",
            ));
        }
        let count = body.get(usize_of(COUNT)..).and_then(<[u8]>::first_chunk);
        let count = count.map_or(0, |count| u32::from_le_bytes(*count));
        if usize_of(u64::from(count)) > MOST_RANGES {
            let expected = format!("at most {MOST_RANGES}");
            return Err(Malformed::new("undo record", HEADER, format!("{count} ranges"), expected));
        }
        read(body).ok_or_else(|| fault(body, "ranges that end past the record", "ranges within it"))
    }
}

fn fault(record: &[u8], found: &str, expected: &str) -> Malformed {
    Malformed::new("undo record", u64_len(record), found, expected)
}

fn read(body: &[u8]) -> Option<Undo> {
    let rest = body.get(MAGIC.len()..)?;
    let (base_size, rest) = rest.split_first_chunk::<8>()?;
    let (stamped_size, rest) = rest.split_first_chunk::<8>()?;
    let (stamped_digest, rest) = rest.split_first_chunk::<32>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let places = usize_of(u64::from(u32::from_le_bytes(*count)).checked_mul(PLACE)?);
    let (places, mut bytes) = rest.split_at_checked(places)?;
    let mut ranges: Vec<(ByteRange, Vec<u8>)> = Vec::new();
    for place in places.chunks_exact(usize_of(PLACE)) {
        let (start, length) = place.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(*length.first_chunk::<4>()?);
        let at = ByteRange::new(u64::from_le_bytes(*start), u64::from(length))?;
        let (own, after) = bytes.split_at_checked(usize_of(at.size()))?;
        if ranges.last().is_some_and(|(last, _)| at.start() < last.end()) {
            return None;
        }
        ranges.push((at, own.to_vec()));
        bytes = after;
    }
    let base_size = u64::from_le_bytes(*base_size);
    let within = ranges.last().is_none_or(|(last, _)| last.end() <= base_size);
    (bytes.is_empty() && within).then_some(Undo {
        base_size,
        stamped_size: u64::from_le_bytes(*stamped_size),
        stamped_digest: *stamped_digest,
        ranges,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_so_many_ranges_at_most() {
        let of = |count: usize| Undo {
            ranges: vec![(ByteRange::new(0, 0).unwrap(), Vec::new()); count],
            ..undo()
        };
        let most = of(MOST_RANGES);
        assert_eq!(Undo::parse(&most.pack().unwrap()).unwrap(), most);
        assert_eq!(of(MOST_RANGES + 1).pack(), None);
        let mut record = most.pack().unwrap();
        let body = record.len() - usize_of(DIGEST);
        record.truncate(body);
        record[usize_of(COUNT)] += 1;
        record.extend(Sha256::digest(record.clone()));
        let told = Undo::parse(&record).unwrap_err();
        assert_eq!(told.found, "131073 ranges");
    }

    fn undo() -> Undo {
        let range =
            |start, bytes: &[u8]| (ByteRange::new(start, u64_len(bytes)).unwrap(), bytes.to_vec());
        Undo {
            base_size: 5000,
            stamped_size: 9000,
            stamped_digest: [7; 32],
            ranges: vec![range(0, b"abc"), range(2048, b"defgh")],
        }
    }

    #[test]
    fn a_record_survives_and_has_the_predicted_size() {
        let packed = undo().pack().unwrap();
        let places: Vec<ByteRange> = undo().ranges.iter().map(|(at, _)| *at).collect();
        assert_eq!(size(&places), Some(u64_len(&packed)));
        assert_eq!(Undo::parse(&packed), Ok(undo()));
    }

    #[test]
    fn a_record_of_another_kind_is_refused_with_its_digest_right() {
        let mut record = undo().pack().unwrap();
        let body = record.len() - 32;
        record[MAGIC.len() - 2] += 1;
        let digest = Sha256::digest(&record[..body]);
        record[body..].copy_from_slice(&digest);
        let fault = Undo::parse(&record).unwrap_err();
        assert!(format!("{fault:?}").contains("a later version"), "{fault:?}");
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let packed = undo().pack().unwrap();
        for at in 0..packed.len() {
            let mut broken = packed.clone();
            broken[at] ^= 1;
            assert!(Undo::parse(&broken).is_err(), "{at}");
            assert!(Undo::parse(&packed[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn the_first_descriptor_counts_for_the_digest_and_the_system_area_does_not() {
        let range = |start| ByteRange::new(start, 2048).unwrap();
        assert!(is_digested(range(16 * 2048)) && !is_digested(range(15 * 2048)));
    }

    #[test]
    fn ranges_that_overlap_or_go_back_are_refused() {
        for start in [0, 1, 2] {
            let mut record = undo();
            record.ranges[1].0 = ByteRange::new(start, 5).unwrap();
            assert!(Undo::parse(&record.pack().unwrap()).is_err(), "{start}");
        }
        let mut record = undo();
        record.ranges[1].0 = ByteRange::new(3, 5).unwrap();
        assert_eq!(Undo::parse(&record.pack().unwrap()), Ok(record));
    }
}
