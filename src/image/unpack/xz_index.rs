//! How large an xz file is unpacked, by the index at its end (The .xz File Format 1.2.1, §4).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::units::in_memory;

/// Bytes of the stream footer (§2.1.2).
const FOOTER: u64 = 12;
/// An index larger than this is not read; the size is then unknown, which costs only the estimate.
const LARGEST: u64 = 16 << 20;

/// Unpacked bytes of the last stream; none if the index cannot be read.
pub(super) fn unpacked_size(file: &File) -> Option<u64> {
    let end = file.metadata().ok()?.len();
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
    let index = read(file, footer_at.checked_sub(size)?, size).ok()?;
    sum_of(&index)
}

fn read(file: &File, at: u64, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; in_memory(size)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Adds up the unpacked sizes of all blocks.
fn sum_of(index: &[u8]) -> Option<u64> {
    let (0, mut rest) = index.split_first().map(|(first, rest)| (*first, rest))? else {
        return None;
    };
    let count = number(&mut rest)?;
    let mut sum: u64 = 0;
    for _ in 0..count {
        let _packed = number(&mut rest)?;
        sum = sum.checked_add(number(&mut rest)?)?;
    }
    Some(sum)
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
