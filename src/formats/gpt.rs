//! GUID Partition Tables (UEFI 2.10 §5.3) as isohybrid images have them: any number of entries, a
//! first partition from block 0 on. `gpt_disk_types` keeps every byte of them; `gpt` would shorten
//! the array.

use bytemuck::{bytes_of, from_bytes_mut, pod_read_unaligned};
use gpt_disk_types::{
    BlockSize, Crc32, GptHeader, GptPartitionEntry, GptPartitionEntryArray, LbaLe,
};

use crate::checked;
use crate::formats::Malformed;
use crate::units::{ByteRange, LOGICAL_BLOCK, u64_len, usize_of};

const WHAT: &str = "GPT Header";

/// The most an entry array may take: 1 MiB, 128 times what UEFI asks for at least.
pub const LARGEST_ARRAY: u64 = 1 << 20;

/// Whether a block begins as a header does, sound or not.
pub(crate) fn is_header(block: &[u8]) -> bool {
    block.starts_with(b"EFI PART")
}

/// The Disk GUID of a header, sound or not.
pub(crate) fn guid_in(block: &[u8]) -> Option<&[u8]> {
    block.get(56..72).filter(|_| is_header(block))
}

/// A header with its partition entry array.
#[derive(Clone)]
pub struct Gpt {
    header: GptHeader,
    array: Vec<u8>,
    block: u64,
}

impl std::fmt::Debug for Gpt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpt").field("header", &self.header.to_string()).finish_non_exhaustive()
    }
}

/// A header whose checksum is right, without its array.
#[derive(Clone, Copy, Debug)]
pub struct Header(GptHeader);

impl Header {
    /// Reads a header block; none if there is no GPT signature.
    pub fn parse(block: &[u8]) -> Option<Result<Self, Malformed>> {
        let fixed = block.get(..size_of::<GptHeader>())?;
        let header: GptHeader = pod_read_unaligned(fixed);
        if !header.is_signature_valid() {
            return None;
        }
        // The checksum is of as many bytes as the header says.
        let size = header.header_size.to_u32();
        if size > 92 {
            let found = format!("a header of {size} bytes");
            return Some(Err(Malformed::new(WHAT, 12, found, "one of 92 bytes").but_sound()));
        }
        let (found, expected) = (header.header_crc32, header.calculate_header_crc32());
        if found != expected {
            let fault = Malformed::new(WHAT, 16, format!("CRC {found}"), format!("{expected}"));
            return Some(Err(fault));
        }
        let size_of_entry = header.size_of_partition_entry.to_u32();
        if size_of_entry != 128 {
            let found = format!("entries of {size_of_entry} bytes");
            let fault = Malformed::new(WHAT, 84, found, "entries of 128 bytes");
            // UEFI 2.10 §5.3.2: 128 times a power of 2.
            let is_sound = size_of_entry.is_multiple_of(128) && size_of_entry.is_power_of_two();
            return Some(Err(if is_sound { fault.but_sound() } else { fault }));
        }
        Some(Ok(Self(header)))
    }

    /// Bytes of the partition entry array.
    pub(crate) fn array_size(self) -> u64 {
        u64::from(self.0.number_of_partition_entries.to_u32()).saturating_mul(128)
    }

    /// Block where the array starts.
    pub(crate) fn array_lba(self) -> u64 {
        self.0.partition_entry_lba.to_u64()
    }

    /// Block of the other header.
    pub(crate) fn alternate_lba(self) -> u64 {
        self.0.alternate_lba.to_u64()
    }

    /// Block that this header says it stands in.
    pub fn my_lba(self) -> u64 {
        self.0.my_lba.to_u64()
    }

    /// Joins the header with its array, after checking the array's checksum. `block` is in bytes.
    pub(crate) fn with_array(self, array: Vec<u8>, block: u64) -> Result<Gpt, Malformed> {
        let mut gpt = Gpt { header: self.0, array, block };
        let found = gpt.array_crc().ok_or_else(|| Malformed::short(WHAT, &[], 128))?;
        let expected = gpt.header.partition_entry_array_crc32;
        if found == expected {
            return Ok(gpt);
        }
        Err(Malformed::new(
            "Partition Entry Array",
            0,
            format!("CRC {found}"),
            format!("{expected}"),
        ))
    }
}

/// A partition of the table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Partition {
    /// Number, counted from 1.
    pub number: usize,
    /// First and last block.
    pub blocks: (u64, u64),
    /// Its type.
    pub type_guid: String,
    /// Its name.
    pub name: String,
}

impl Gpt {
    fn array_crc(&mut self) -> Option<Crc32> {
        let layout = self.header.get_partition_entry_array_layout().ok()?;
        let block = BlockSize::new(u32::try_from(self.block).ok()?)?;
        self.array.resize(self.array.len().checked_next_multiple_of(usize_of(self.block))?, 0);
        Some(GptPartitionEntryArray::new(layout, block, &mut self.array).ok()?.calculate_crc32())
    }

    /// Bytes of a block as this table counts them.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Blocks that the array takes.
    pub(crate) fn array_blocks(&self) -> u64 {
        u64_len(&self.array).div_ceil(self.block)
    }

    /// The disk's GUID.
    pub fn disk_guid(&self) -> String {
        let guid = self.header.disk_guid;
        guid.to_string()
    }

    /// Block that the table says it stands in, and the one where its array starts.
    pub fn places(&self) -> (u64, u64) {
        (self.header.my_lba.to_u64(), self.header.partition_entry_lba.to_u64())
    }

    /// How many entries the array has.
    pub fn entries(&self) -> u32 {
        self.header.number_of_partition_entries.to_u32()
    }

    /// First and last block that partitions may use.
    pub fn usable(&self) -> (u64, u64) {
        (self.header.first_usable_lba.to_u64(), self.header.last_usable_lba.to_u64())
    }

    /// The block of the backup's header, and the last block that partitions may use.
    pub fn ends(&self) -> (u64, u64) {
        (self.header.alternate_lba.to_u64(), self.usable().1)
    }

    /// The last block that partitions may use where the backup's entries stand right behind it, and its header behind
    /// those, as every program writes them (UEFI 2.10 §5.3.1). None where the backup stands too far in front for that.
    pub fn last_before_backup(&self) -> Option<u64> {
        self.ends().0.checked_sub(self.array_blocks())?.checked_sub(1)
    }

    /// The partitions in use.
    pub fn partitions(&self) -> Vec<Partition> {
        let entries = (1..).zip(self.array.chunks_exact(128));
        let read =
            entries.map(|(number, entry)| (number, pod_read_unaligned::<GptPartitionEntry>(entry)));
        read.filter(|(_, entry)| entry.is_used()).map(partition).collect()
    }

    /// The byte where a partition starts, and the one behind it.
    pub fn bytes(&self, part: &Partition) -> crate::error::Result<(u64, u64)> {
        const WHAT: &str = "the bytes of a GPT partition";
        let (first, last) = part.blocks;
        let end = checked::product(checked::sum(last, 1, WHAT)?, self.block, WHAT)?;
        Ok((checked::product(first, self.block, WHAT)?, end))
    }

    /// Whether both tables say the same, each of its own place.
    pub(crate) fn mirrors(&self, backup: &Self) -> bool {
        let place = |gpt: &Self| {
            let header = &gpt.header;
            (header.disk_guid, header.first_usable_lba, header.last_usable_lba)
        };
        self.array == backup.array
            && place(self) == place(backup)
            && self.header.my_lba == backup.header.alternate_lba
            && self.header.alternate_lba == backup.header.my_lba
    }

    /// The table for an image of `size` bytes: the backup in its last blocks, the partition that
    /// reached to the old end reaching to the new one. None if `size` has no room for it.
    pub fn grown(&self, size: u64) -> Option<GrownTable> {
        let last = size.checked_div(self.block)?.checked_sub(1)?;
        let backup_array = last.checked_sub(self.array_blocks())?;
        let mut new = self.clone();
        new.header.alternate_lba = lba(last);
        new.header.last_usable_lba = lba(backup_array.checked_sub(1)?);
        new.stretch(self.usable().1, backup_array.checked_sub(1)?)?;
        new.header.partition_entry_array_crc32 = new.array_crc()?;
        new.header.update_header_crc32();
        let mut backup = new.header;
        backup.my_lba = lba(last);
        backup.alternate_lba = new.header.my_lba;
        backup.partition_entry_lba = lba(backup_array);
        backup.update_header_crc32();
        Some(GrownTable { table: new, backup })
    }

    /// Gives the partition that starts at byte `from` another place. None where its blocks do not fit.
    /// Checksums are those of [`Self::grown`].
    pub fn move_partition(&mut self, from: u64, to: ByteRange) -> Option<()> {
        for bytes in self.array.chunks_exact_mut(128) {
            let entry: &mut GptPartitionEntry = from_bytes_mut(bytes);
            let start = entry.starting_lba.to_u64().checked_mul(self.block);
            if entry.is_used() && start == Some(from) {
                let whole =
                    to.start().is_multiple_of(self.block) && to.end().is_multiple_of(self.block);
                let end = to.end().checked_div(self.block).filter(|_| whole)?;
                entry.starting_lba = lba(to.start().checked_div(self.block)?);
                entry.ending_lba = lba(end.checked_sub(1)?);
            }
        }
        Some(())
    }

    /// Moves the end of the partition that reaches `old_end`, or the block before it, along to `new_end`.
    /// One from block 0 on shows the volume: it reaches to the last whole logical block, as xorriso makes it,
    /// wherever it ends.
    fn stretch(&mut self, old_end: u64, new_end: u64) -> Option<()> {
        let logical = LOGICAL_BLOCK.checked_div(self.block)?.max(1);
        let whole = new_end.checked_add(1)?.checked_div(logical)?.checked_mul(logical)?;
        for bytes in self.array.chunks_exact_mut(128) {
            let entry: &mut GptPartitionEntry = from_bytes_mut(bytes);
            if entry.is_used() && entry.starting_lba.to_u64() == 0 {
                entry.ending_lba = lba(whole.checked_sub(1)?);
                continue;
            }
            let end = entry.ending_lba.to_u64();
            let missing = old_end.checked_sub(end).filter(|missing| *missing <= 1);
            if let Some(missing) = missing.filter(|_| entry.is_used()) {
                entry.ending_lba = lba(new_end.checked_sub(missing)?);
            }
        }
        Some(())
    }
}

fn lba(block: u64) -> LbaLe {
    LbaLe::from_u64(block)
}

fn partition((number, entry): (usize, GptPartitionEntry)) -> Partition {
    let (type_guid, name) = (entry.partition_type_guid, entry.name);
    Partition {
        number,
        blocks: (entry.starting_lba.to_u64(), entry.ending_lba.to_u64()),
        type_guid: type_guid.0.to_string(),
        name: name.chars().collect(),
    }
}

/// A table for a longer image, primary and backup.
#[derive(Clone, Debug)]
pub struct GrownTable {
    table: Gpt,
    backup: GptHeader,
}

impl GrownTable {
    /// The blocks to write: byte offset, bytes and what they are.
    pub fn blocks(&self) -> Option<[(u64, Vec<u8>, &'static str); 4]> {
        let Gpt { header, array, block } = &self.table;
        let at = |lba: LbaLe| lba.to_u64().checked_mul(*block);
        let whole = |header: &GptHeader| {
            let mut bytes = bytes_of(header).to_vec();
            bytes.resize(usize_of(*block), 0);
            bytes
        };
        Some([
            (at(header.my_lba)?, whole(header), "primary GPT Header"),
            (at(header.partition_entry_lba)?, array.clone(), "primary Partition Entry Array"),
            (at(self.backup.partition_entry_lba)?, array.clone(), "backup Partition Entry Array"),
            (at(self.backup.my_lba)?, whole(&self.backup), "backup GPT Header"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> GptHeader {
        let mut header = GptHeader { my_lba: lba(1), ..GptHeader::default() };
        header.number_of_partition_entries.set(4);
        header.partition_entry_lba = lba(2);
        header.first_usable_lba = lba(34);
        header
    }

    /// A table of four entries that are not in use for a disk of 100 blocks, and its backup.
    fn tables() -> (Gpt, Gpt) {
        let gpt = Gpt { header: header(), array: vec![0; 512], block: 512 };
        let GrownTable { table, backup } = gpt.grown(100 * 512).unwrap();
        let backup = Gpt { header: backup, ..table.clone() };
        (table, backup)
    }

    #[test]
    fn a_backup_mirrors_its_table_only_if_all_of_it_does() {
        type Change = fn(&mut Gpt);
        let (table, backup) = tables();
        assert!(table.mirrors(&backup) && backup.mirrors(&table));
        let changes: [(&str, Change); 6] = [
            ("an entry", |gpt| gpt.array[9] ^= 1),
            ("the GUID", |gpt| {
                gpt.header.disk_guid =
                    gpt_disk_types::guid!("01234567-89ab-cdef-0123-456789abcdef");
            }),
            ("the first usable block", |gpt| gpt.header.first_usable_lba = lba(35)),
            ("the last usable block", |gpt| gpt.header.last_usable_lba = lba(35)),
            ("its place", |gpt| gpt.header.my_lba = lba(98)),
            ("the place of the table", |gpt| gpt.header.alternate_lba = lba(2)),
        ];
        for (what, change) in changes {
            let mut other = backup.clone();
            change(&mut other);
            assert!(!table.mirrors(&other), "{what}");
        }
    }

    /// The blocks of a partition once its table, whose last usable block was 60, is for a disk of 101 blocks.
    fn moved(first: u64, last: u64) -> (u64, u64) {
        let mut array = vec![0; 512];
        let entry: &mut GptPartitionEntry = from_bytes_mut(&mut array[..128]);
        entry.partition_type_guid = gpt_disk_types::GptPartitionType::BASIC_DATA;
        (entry.starting_lba, entry.ending_lba) = (lba(first), lba(last));
        let mut header = header();
        header.last_usable_lba = lba(60);
        let gpt = Gpt { header, array, block: 512 };
        let grown = gpt.grown(101 * 512).unwrap();
        grown.table.partitions()[0].blocks
    }

    #[test]
    fn a_partition_that_reaches_the_end_or_shows_the_volume_grows() {
        for (before, after) in [
            ((40, 60), (40, 98)),
            ((40, 59), (40, 97)),
            ((40, 58), (40, 58)),
            // Whole blocks of 2048 bytes.
            ((0, 30), (0, 95)),
            ((0, 60), (0, 95)),
        ] {
            assert_eq!(moved(before.0, before.1), after, "{before:?}");
        }
    }

    #[test]
    fn an_array_is_taken_only_with_its_checksum() {
        let (table, _) = tables();
        let join = |array| Header(table.header).with_array(array, 512);
        assert_eq!(join(vec![0; 512]).unwrap().usable(), (34, 97));
        assert!(join(vec![1; 512]).is_err());
    }
    #[test]
    fn the_last_usable_block_stands_right_before_the_entries_of_the_backup() {
        for (entries, block, backup, last) in [
            (128, 512, 99, Some(66)),
            (4, 512, 99, Some(97)),
            (128, 4096, 99, Some(94)),
            (4, 4096, 99, Some(97)),
            (128, 512, 33, Some(0)),
            (128, 512, 32, None),
            (128, 512, 0, None),
        ] {
            let mut header = header();
            header.number_of_partition_entries.set(entries);
            header.alternate_lba = lba(backup);
            let gpt = Gpt { header, array: vec![0; usize_of(u64::from(entries) * 128)], block };
            assert_eq!(gpt.last_before_backup(), last, "{entries} {block} {backup}");
        }
        let (table, _) = tables();
        assert_eq!(table.last_before_backup(), Some(table.usable().1));
    }
}
