//! Apple partition maps (Inside Macintosh: Devices, "The Partition Map"), as xorriso makes them beside a GPT.

use crate::units::ByteRange;

/// Entries that are read; xorriso makes a handful.
const MOST: u64 = 64;

/// The block size that the first block of a disk with a map gives; none if it has no map.
pub(crate) fn block_size(first: &[u8]) -> Option<u64> {
    let size = first.strip_prefix(b"ER")?.first_chunk().copied().map(u16::from_be_bytes)?;
    (size >= 512 && size.is_power_of_two()).then(|| size.into())
}

/// The partitions of a map, by their numbers. `block` gives the bytes of a block of the map.
pub fn partitions<E>(
    size: u64,
    mut block: impl FnMut(u64) -> Result<Vec<u8>, E>,
) -> Result<Vec<(usize, ByteRange)>, E> {
    let mut found = Vec::new();
    for number in 1..=MOST {
        let entry = block(number)?;
        let Some((entries, at)) = entry_of(&entry, size) else { break };
        found.extend(at.filter(|_| !is_map(&entry)));
        if number >= entries {
            break;
        }
    }
    Ok((1..).zip(found).collect())
}

/// How many entries there are, and the bytes of the partition of one.
fn entry_of(entry: &[u8], size: u64) -> Option<(u64, Option<ByteRange>)> {
    let rest = entry.strip_prefix(b"PM")?;
    let number =
        |at: usize| rest.get(at..)?.first_chunk().copied().map(u32::from_be_bytes).map(u64::from);
    let at = ByteRange::new(number(6)?.checked_mul(size)?, number(10)?.checked_mul(size)?);
    Some((number(2)?, at))
}

/// Whether an entry stands for the map itself.
fn is_map(entry: &[u8]) -> bool {
    entry.get(48..).is_some_and(|kind| kind.starts_with(b"Apple_partition_map"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as xorriso writes it.
    fn entry(count: u32, start: u32, blocks: u32, kind: &str) -> Vec<u8> {
        let numbers = [count, start, blocks].map(u32::to_be_bytes).concat();
        let mut bytes = [b"PM\0\0".as_slice(), &numbers].concat();
        bytes.resize(48, 0);
        bytes.extend(kind.bytes());
        bytes.resize(2048, 0);
        bytes
    }

    #[test]
    fn the_partitions_of_a_map_are_found_without_the_map_itself() {
        assert_eq!(block_size(b"ER\x08\0\0\0\x90\x90"), Some(2048));
        assert_eq!(block_size(b"\x33\xed\x90\x90"), None);
        let blocks = [entry(2, 1, 2, "Apple_partition_map"), entry(2, 0xfe6, 0x600, "Apple_HFS")];
        let read = |number: u64| -> Result<Vec<u8>, ()> {
            Ok(blocks[usize::try_from(number).unwrap() - 1].clone())
        };
        let at = ByteRange::new(0xfe6 * 2048, 0x600 * 2048).unwrap();
        assert_eq!(partitions(2048, read), Ok(vec![(1, at)]));
    }

    #[test]
    fn so_many_entries_of_a_map_are_read() {
        for (entries, read) in [(63, 63), (64, 64), (65, 64)] {
            let block = |_| -> Result<Vec<u8>, ()> { Ok(entry(entries, 9, 1, "Apple_HFS")) };
            assert_eq!(partitions(2048, block).unwrap().len(), read);
        }
    }
}
