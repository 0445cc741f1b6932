//! How large Zstandard data is unpacked, by the headers of its frames (RFC 8878 §3.1).

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The first bytes of a frame with data.
const DATA: u32 = 0xFD2F_B528;

/// The first bytes of a frame that decoders skip, but for the lowest four bits (§3.1.2).
const SKIPPED: u32 = 0x184D_2A50;

/// The longest header of a frame (§3.1.1.1).
const LONGEST_HEADER: usize = 18;

/// Block headers that are read at most: data in smaller blocks than usual has an unknown size.
const MOST_BLOCKS: u64 = 1 << 20;

/// Whether data starts with a frame of either kind.
pub(super) fn starts(bytes: &[u8]) -> bool {
    let magic = bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    magic.is_some_and(|magic| magic == DATA || magic & !0xF == SKIPPED)
}

/// Unpacked bytes of all frames; none if a frame does not tell, or is not sound.
pub(super) fn unpacked_size(file: &File) -> Option<u64> {
    size_within(file, MOST_BLOCKS)
}

/// The same, if it takes the headers of so many blocks at most.
fn size_within(file: &File, most: u64) -> Option<u64> {
    let end = file.metadata().ok()?.len();
    let mut left = most;
    let (mut at, mut sum) = (0, 0_u64);
    while at < end {
        let (next, size) = frame(file, at, &mut left)?;
        (at, sum) = (next, sum.checked_add(size)?);
    }
    (at == end && sum > 0).then_some(sum)
}

/// Where a frame ends, and the unpacked bytes it tells.
fn frame(file: &File, at: u64, left: &mut u64) -> Option<(u64, u64)> {
    let mut header = [0; LONGEST_HEADER];
    let count = file.read_at(&mut header, at).ok()?;
    let header = header.get(..count)?;
    let magic = u32::from_le_bytes(*header.first_chunk()?);
    if magic & !0xF == SKIPPED {
        let size = u32::from_le_bytes(header.get(4..8)?.try_into().ok()?);
        return Some((at.checked_add(8)?.checked_add(size.into())?, 0));
    }
    let size = zstd::zstd_safe::get_frame_content_size(header).ok().flatten()?;
    let descriptor = *header.get(4).filter(|_| magic == DATA)?;
    let mut next = at.checked_add(header_size(descriptor))?;
    loop {
        *left = left.checked_sub(1)?;
        let (size, is_last) = block(file, next)?;
        next = next.checked_add(size)?;
        if is_last {
            break;
        }
    }
    let checksum = if descriptor & 4 == 0 { 0 } else { 4 };
    Some((next.checked_add(checksum)?, size))
}

/// Bytes of a frame's header, its first four included (§3.1.1.1.1).
fn header_size(descriptor: u8) -> u64 {
    let is_single_segment = descriptor & 0x20 != 0;
    let window = u64::from(!is_single_segment);
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
    let content = match descriptor >> 6 {
        0 if is_single_segment => 1,
        0 => 0,
        1 => 2,
        2 => 4,
        _ => 8,
    };
    [4, 1, window, dictionary, content].iter().sum()
}

/// Packed bytes of a block with its header, and whether it is the last one of its frame (§3.1.1.2).
fn block(file: &File, at: u64) -> Option<(u64, bool)> {
    let mut header = [0; 4];
    file.read_exact_at(header.first_chunk_mut::<3>()?, at).ok()?;
    let number = u32::from_le_bytes(header);
    let size = match number >> 1 & 3 {
        1 => 1,
        0 | 2 => u64::from(number >> 3),
        _ => return None,
    };
    Some((size.checked_add(3)?, number & 1 == 1))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A frame of `0123` in one block, after a header with this descriptor and these fields, as RFC 8878 §3.1.1 has it.
    fn frame(descriptor: u8, fields: &[u8]) -> Vec<u8> {
        let block = [4 << 3 | 1, 0, 0];
        [&DATA.to_le_bytes()[..], &[descriptor], fields, &block, b"0123"].concat()
    }

    fn size_of(bytes: &[u8]) -> Option<u64> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        unpacked_size(&file)
    }

    #[test]
    fn headers_are_read_up_to_the_longest() {
        const WINDOW: u8 = 0x38;
        let content = [4, 0, 0, 0, 0, 0, 0, 0];
        let longest = [&[WINDOW, 1, 2, 3, 4][..], &content].concat();
        let dictionary = [&[WINDOW, 1][..], &content].concat();
        let rows: [(u8, &[u8], Option<u64>); 6] = [
            (0b1100_0011, &longest, Some(4)),
            (0b1100_0001, &dictionary, Some(4)),
            (0b1110_0000, &content, Some(4)),
            (0b1010_0000, &[4, 0, 0, 0], Some(4)),
            (0b0010_0000, &[4], Some(4)),
            // It does not tell.
            (0b0000_0000, &[WINDOW], None),
        ];
        for (descriptor, fields, size) in rows {
            let bytes = frame(descriptor, fields);
            assert_eq!(size_of(&bytes), size, "{descriptor:b}");
            let checked = [&frame(descriptor | 4, fields)[..], &[0; 4]].concat();
            assert_eq!(size_of(&checked), size, "{descriptor:b} with a checksum");
            assert_eq!(
                size_of(&bytes.repeat(3)),
                size.map(|size| size * 3),
                "{descriptor:b} thrice"
            );
            assert_eq!(size_of(&bytes[..bytes.len() - 8]), None, "{descriptor:b} cut off");
        }
        let header = frame(0b1100_0011, &longest).len() - 7;
        assert_eq!(header, LONGEST_HEADER);
    }

    #[test]
    fn frames_that_are_skipped_count_for_nothing() {
        let skipped = [&(SKIPPED | 0xF).to_le_bytes()[..], &[3, 0, 0, 0, 1, 2, 3]].concat();
        assert!(starts(&skipped) && starts(&frame(0, &[])) && !starts(b"other"));
        let data = frame(0b0010_0000, &[4]);
        assert_eq!(size_of(&[&skipped[..], &data, &skipped].concat()), Some(4));
        assert_eq!(size_of(&skipped), None);
        assert_eq!(size_of(&[&data[..], b"other bytes"].concat()), None);
    }

    #[test]
    fn so_many_blocks_are_looked_at() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&frame(0b0010_0000, &[4]).repeat(5)).unwrap();
        for (most, size) in [(4, None), (5, Some(20))] {
            assert_eq!(size_within(&file, most), size);
        }
    }
}
