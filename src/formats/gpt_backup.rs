//! Moves the backup GPT to the real end of the disk (UEFI 2.10 §5.3.2).
//!
//! The `gpt` crate would shrink the 248 entries of a hybrid ISO to 128 and so change which bytes
//! are in use; here every byte of the array stays, and only addresses and checksums change.

use bytemuck::{bytes_of, pod_read_unaligned};
use gpt_disk_types::{GptHeader, Lba, LbaLe};

use crate::checked;
use crate::error::{Error, Result};
use crate::units::{ByteRange, u64_len, usize_of};

/// Bytes of the header that are in use; the rest of its block is zero.
const HEADER: usize = 92;

/// A backup GPT for the end of the disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MovedBackup {
    /// The byte of the disk where its entries begin.
    pub at: u64,
    /// Its entries and its header, up to the end of the disk.
    pub bytes: Vec<u8>,
    /// The first byte of the disk that may hold it: behind the last usable block, where the backup of
    /// the image itself begins.
    pub first: u64,
    /// The byte behind the header of the image's own backup.
    pub own_end: u64,
}

/// Points the primary GPT in `head` (the first bytes of the image) to a backup at the end of a disk
/// of `disk` bytes, and gives that backup. None if the image has no GPT for blocks of this size, or
/// if its backup already stands there.
///
/// # Errors
/// A GPT whose checksums are wrong, or that reaches past `head`.
pub fn move_backup(head: &mut [u8], disk: u64, block: u64) -> Result<Option<MovedBackup>> {
    let Some(header) = header_in(head, block) else { return Ok(None) };
    let last = disk.checked_div(block).and_then(|blocks| blocks.checked_sub(1));
    let Some(last) = last.filter(|last| *last != header.alternate_lba.to_u64()) else {
        return Ok(None);
    };
    if header.calculate_header_crc32() != header.header_crc32 {
        let at = block;
        return Err(Error::malformed(
            "GPT header checksum",
            at,
            "a wrong one",
            "that of the header",
        ));
    }
    let entries = entries_in(head, &header, block)?;
    let array_blocks = u64_len(&entries).div_ceil(block);
    let backup_array = last.checked_sub(array_blocks).filter(|lba| *lba > 1);
    let Some(backup_array) = backup_array else { return Ok(None) };

    let mut primary = header;
    primary.alternate_lba = lba(last);
    primary.last_usable_lba = lba(checked::difference(backup_array, 1, "the last usable block")?);
    primary.update_header_crc32();
    let mut backup = primary;
    backup.my_lba = lba(last);
    backup.alternate_lba = header.my_lba;
    backup.partition_entry_lba = lba(backup_array);
    backup.update_header_crc32();

    put(head, usize_of(block), bytes_of(&primary))?;
    let array_size = checked::product(array_blocks, block, "the entries of the backup GPT")?;
    let mut bytes = vec![0; usize_of(array_size)];
    put(&mut bytes, 0, &entries)?;
    bytes.extend_from_slice(bytes_of(&backup));
    let size = checked::sum(array_size, block, "the backup GPT")?;
    bytes.resize(usize_of(size), 0);
    let used = header.last_usable_lba.to_u64().max(header.first_usable_lba.to_u64());
    let array = header.partition_entry_lba.to_u64();
    let array = checked::sum(array, array_blocks, "the end of the primary GPT")?;
    Ok(Some(MovedBackup {
        at: checked::product(backup_array, block, "the place of the backup GPT")?,
        bytes,
        first: behind(used.max(array), block)?,
        own_end: behind(header.alternate_lba.to_u64(), block)?,
    }))
}

/// The byte behind a block that the header names.
fn behind(lba: u64, block: u64) -> Result<u64> {
    let end = lba.checked_add(1).and_then(|next| next.checked_mul(block));
    end.ok_or_else(|| {
        let found = format!("the block {lba:#x}");
        Error::malformed("GPT header", block, found, "blocks whose bytes 64 bits can number")
    })
}

fn lba(number: u64) -> LbaLe {
    Lba(number).into()
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) -> Result<()> {
    let rest = checked::part_mut(into, at.., "the place of a GPT")?;
    checked::part_mut(rest, ..bytes.len(), "the place of a GPT")?.copy_from_slice(bytes);
    Ok(())
}

/// The primary header, if the bytes look like one.
fn header_in(head: &[u8], block: u64) -> Option<GptHeader> {
    let bytes = head.get(usize_of(block)..)?.get(..HEADER)?;
    let header: GptHeader = pod_read_unaligned(bytes);
    (header.is_signature_valid() && header.my_lba.to_u64() == 1).then_some(header)
}

/// The partition entry array of the primary GPT, after its checksum is found right.
fn entries_in(head: &[u8], header: &GptHeader, block: u64) -> Result<Vec<u8>> {
    let count = u64::from(header.number_of_partition_entries.to_u32());
    let size = u64::from(header.size_of_partition_entry.to_u32()).checked_mul(count);
    let at = header.partition_entry_lba.to_u64().checked_mul(block);
    let range = at.zip(size).and_then(|(at, size)| ByteRange::new(at, size));
    let bytes =
        range.and_then(|range| head.get(usize_of(range.start())..)?.get(..usize_of(range.size())));
    let Some(bytes) = bytes else {
        let (at, found) = (block, format!("{count} entries outside of the first mebibyte"));
        return Err(Error::malformed("GPT header", at, found, "an array behind the header"));
    };
    let sum = crc32(bytes);
    let stated = header.partition_entry_array_crc32.0.to_u32();
    if sum != stated {
        let at = range.map_or(block, ByteRange::start);
        let (found, expected) = (format!("{sum:#010x}"), format!("{stated:#010x}"));
        return Err(Error::malformed("GPT partition entry array checksum", at, found, expected));
    }
    Ok(bytes.to_vec())
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GPT of 248 entries as xorriso makes it, with its backup at `last`.
    fn hybrid(last: u64) -> Vec<u8> {
        let mut head = vec![0; 1 << 20];
        for (at, byte) in head[1024..1024 + 248 * 128].iter_mut().enumerate() {
            *byte = u8::try_from(at % 251).unwrap();
        }
        let mut header = GptHeader {
            my_lba: lba(1),
            alternate_lba: lba(last),
            partition_entry_lba: lba(2),
            partition_entry_array_crc32: gpt_disk_types::Crc32(gpt_disk_types::U32Le(
                crc32(&head[1024..1024 + 248 * 128]).to_le_bytes(),
            )),
            ..GptHeader::default()
        };
        header.number_of_partition_entries.set(248);
        header.update_header_crc32();
        put(&mut head, 512, bytes_of(&header)).unwrap();
        head
    }

    #[test]
    fn the_backup_goes_to_the_last_block_with_every_entry() {
        let mut head = hybrid(1000);
        let tail = move_backup(&mut head, 512 * 100_000, 512).unwrap().unwrap();
        assert_eq!(tail.at, 512 * (100_000 - 63));
        assert_eq!(tail.bytes.len(), 63 * 512);
        assert_eq!(tail.bytes[..248 * 128], head[1024..1024 + 248 * 128]);
        let backup: GptHeader = pod_read_unaligned(&tail.bytes[62 * 512..][..HEADER]);
        let primary = header_in(&head, 512).unwrap();
        for header in [backup, primary] {
            assert_eq!(header.calculate_header_crc32(), header.header_crc32);
        }
        assert_eq!(backup.alternate_lba.to_u64(), 1);
        assert_eq!(primary.alternate_lba.to_u64(), 99_999);
    }

    #[test]
    fn a_backup_at_the_end_stays() {
        let mut head = hybrid(99_999);
        let before = head.clone();
        assert_eq!(move_backup(&mut head, 512 * 100_000, 512).unwrap(), None);
        assert_eq!(head, before);
    }

    #[test]
    fn no_gpt_or_one_for_other_blocks_is_left_alone() {
        assert_eq!(move_backup(&mut vec![0; 1 << 20], 1 << 30, 512).unwrap(), None);
        assert_eq!(move_backup(&mut hybrid(1000), 1 << 30, 4096).unwrap(), None);
        assert_eq!(move_backup(&mut [], 1 << 30, 512).unwrap(), None);
        assert_eq!(move_backup(&mut hybrid(1000)[..600], 1 << 30, 512).ok().flatten(), None);
    }

    #[test]
    fn wrong_checksums_are_named_and_placed() {
        let mut head = hybrid(1000);
        head[1024] ^= 1;
        let fault = move_backup(&mut head, 512 * 100_000, 512).unwrap_err();
        assert!(fault.to_string().contains("array checksum at byte 0x400"), "{fault}");
        let mut head = hybrid(1000);
        head[512 + 60] ^= 1;
        let fault = move_backup(&mut head, 512 * 100_000, 512).unwrap_err();
        assert!(fault.to_string().contains("header checksum at byte 0x200"), "{fault}");
    }
}
