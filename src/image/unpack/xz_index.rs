//! How large an xz file is unpacked, by the index at its end (The .xz File Format 1.2.1, §4).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crc::{CRC_32_ISO_HDLC, Crc};

use crate::units::usize_of;

/// Bytes of the stream footer (§2.1.2).
const FOOTER: u64 = 12;
/// An index larger than this is not read; the size is then unknown, which costs only the estimate.
const LARGEST: u64 = 16 << 20;

/// What an index is summed up by (§1.4).
const SUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Bytes of the stream header (§2.1.1).
const HEADER: u64 = 12;
/// Words of padding behind a stream that are looked at.
const MOST_PADDING: usize = 1 << 16;
/// Streams that are looked at; files of more have an unknown size.
const MOST_STREAMS: usize = 1 << 16;

/// Unpacked bytes of all streams; none if an index cannot be read.
pub(super) fn unpacked_size(file: &File) -> Option<u64> {
    let mut end = file.metadata().ok()?.len();
    let mut sum: u64 = 0;
    for _ in 0..MOST_STREAMS {
        end = before_padding(file, end)?;
        let (start, size) = stream(file, end)?;
        (end, sum) = (start, sum.checked_add(size)?);
        if end == 0 {
            return Some(sum);
        }
    }
    None
}

/// Where a stream ends, before the zeros that may follow it, four at a time (§2.2).
fn before_padding(file: &File, mut end: u64) -> Option<u64> {
    let mut word = [0; 4];
    for _ in 0..MOST_PADDING {
        let before = end.checked_sub(4)?;
        file.read_exact_at(&mut word, before).ok()?;
        if word != [0; 4] {
            return Some(end);
        }
        end = before;
    }
    None
}

/// Where the stream that ends at `end` starts, and its unpacked bytes.
fn stream(file: &File, end: u64) -> Option<(u64, u64)> {
    let footer_at = end.checked_sub(FOOTER)?;
    let footer = read(file, footer_at, FOOTER).ok()?;
    if footer.get(10..)? != b"YZ" {
        return None;
    }
    let stored = u32::from_le_bytes(footer.get(4..8)?.try_into().ok()?);
    let size = u64::from(stored).checked_add(1)?.checked_mul(4)?;
    if size > LARGEST {
        return None;
    }
    let index_at = footer_at.checked_sub(size)?;
    let index = read(file, index_at, size).ok()?;
    // The decoder tells what is wrong with a damaged index; its numbers would only mislead.
    let (records, sum) = index.split_last_chunk()?;
    if SUM.checksum(records) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (packed, unpacked) = sums_of(records)?;
    Some((index_at.checked_sub(packed)?.checked_sub(HEADER)?, unpacked))
}

fn read(file: &File, at: u64, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize_of(size)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Adds up the packed sizes of all blocks, each with its padding, and the unpacked ones (§4.3).
fn sums_of(index: &[u8]) -> Option<(u64, u64)> {
    let (0, mut rest) = index.split_first().map(|(first, rest)| (*first, rest))? else {
        return None;
    };
    let count = number(&mut rest)?;
    let (mut packed, mut unpacked) = (0_u64, 0_u64);
    for _ in 0..count {
        packed = packed.checked_add(number(&mut rest)?.checked_next_multiple_of(4)?)?;
        unpacked = unpacked.checked_add(number(&mut rest)?)?;
    }
    Some((packed, unpacked))
}

/// A number of variable length, seven bits to the byte (§1.2).
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size that is known of a file of these bytes.
    fn size_of(bytes: &[u8]) -> Option<u64> {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        unpacked_size(&file)
    }

    /// A stream whose index has so many words, its own sum among them; most of them are not looked into.
    #[expect(clippy::arithmetic_side_effects, reason = "of numbers that are known")]
    fn stream(words: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize_of(HEADER + words * 4 - 4)];
        let sum = SUM.checksum(&bytes[usize_of(HEADER)..]);
        let stored = u32::try_from(words - 1).unwrap();
        bytes.extend([sum, 0, stored].map(u32::to_le_bytes).concat());
        bytes.extend(b"\0\0YZ");
        bytes
    }

    #[test]
    fn what_is_looked_at_for_a_size_has_limits() {
        let one = stream(2);
        for (over, size) in [(0, Some(0)), (1, None)] {
            assert_eq!(size_of(&one.repeat(MOST_STREAMS + over)), size, "{over} streams more");
            let padding = vec![0; 4 * (MOST_PADDING - 1 + over)];
            assert_eq!(size_of(&[&one[..], &padding].concat()), size, "{over} words more");
            let words = LARGEST / 4 + u64::try_from(over).unwrap();
            assert_eq!(size_of(&stream(words)), size, "an index with {over} words more");
        }
    }
}
