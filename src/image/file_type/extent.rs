//! How far an image reaches by what its first bytes tell: volume descriptor, partition tables, superblock.

use super::kind::{Kind, is_ext};
use super::{is_at, number, part};
use crate::formats::both_endian::{Both16, Both32};
use crate::formats::gpt::{Gpt, Header, LARGEST_ARRAY};
use crate::formats::isohybrid::{Mbr, PartitionRecord};
use crate::units::{ByteRange, DISK_BLOCK};
use zerocopy::FromBytes;

/// The Primary Volume Descriptor (ECMA-119 §6.7.1).
const DESCRIPTOR: usize = 0x8000;
/// Sizes of blocks that a GPT is written for.
const BLOCK_SIZES: [u64; 2] = [DISK_BLOCK, 4096];
/// Blocks before a partition that stands for the whole volume: xorriso's `-partition_offset 16` leaves 64.
const VOLUME_STARTS_BY: u64 = 64;
/// The type of the one partition of an MBR that only protects a GPT.
const PROTECTIVE: u8 = 0xEE;
/// The types of partitions for Linux.
const LINUX_MBR: u8 = 0x83;
const LINUX_GPT: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// A byte of the image that something reaches up to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct End {
    pub(super) at: u64,
    /// What stands before the number in a sentence.
    pub(super) told: String,
}

/// A partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Part {
    /// Its first byte.
    pub(super) start: u64,
    /// The byte behind it.
    end: u64,
    /// Which it is, as `partition 2 of its MBR`.
    name: String,
    /// Whether it is for Linux.
    pub(super) is_linux: bool,
}

/// The partitions of both tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) partitions: Vec<Part>,
    /// Whether there is one of each.
    has_mbr: bool,
    has_gpt: bool,
    /// Bytes of the blocks that the GPT counts.
    gpt_block: Option<u64>,
    /// The byte behind the backup GPT.
    pub(super) backup_end: Option<u64>,
}

impl Tables {
    pub(super) fn is_empty(&self) -> bool {
        !self.has_mbr && !self.has_gpt
    }

    /// Bytes of the blocks that they count. An MBR does not say it: images are made for blocks of 512.
    pub(super) fn block(&self) -> Option<u64> {
        self.gpt_block.or(self.has_mbr.then_some(DISK_BLOCK))
    }

    /// The tables by name. An MBR that only protects a GPT is none.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let is_there =
            |name| if name == "GPT" { self.has_gpt } else { self.has_mbr && !self.has_gpt };
        ["MBR", "GPT"].into_iter().filter(|name| is_there(*name)).collect()
    }
}

/// Reads both tables as far as they are sound.
pub(super) fn tables(head: &[u8]) -> Tables {
    let mut tables = Tables::default();
    if let Some((header, gpt)) = BLOCK_SIZES.into_iter().find_map(|size| gpt(head, size)) {
        let block = gpt.block();
        let behind = |lba: u64| lba.checked_add(1)?.checked_mul(block);
        tables.has_gpt = true;
        tables.gpt_block = Some(block);
        tables.backup_end = behind(header.alternate_lba());
        // A place that 64 bits cannot number is not sound.
        let parts = gpt.partitions().into_iter().filter_map(|found| {
            let (first, last) = found.blocks;
            Some(Part {
                start: first.checked_mul(block)?,
                end: behind(last)?,
                name: format!("partition {} of its GPT", found.number),
                is_linux: found.type_guid.eq_ignore_ascii_case(LINUX_GPT),
            })
        });
        tables.partitions.extend(parts);
    }
    for (number, record) in mbr(head).iter().flat_map(Mbr::used) {
        tables.has_mbr = true;
        if record.os_type != PROTECTIVE {
            let end = [record.start(), record.size()].into_iter().sum();
            let name = format!("partition {number} of its MBR");
            let (start, is_linux) = (record.start(), record.os_type == LINUX_MBR);
            tables.partitions.push(Part { start, end, name, is_linux });
        }
    }
    tables
}

/// The MBR, unless the code of a boot sector is there instead: then the first bytes of the records are not those of a
/// table.
fn mbr(head: &[u8]) -> Option<Mbr> {
    let is_sound = |record: &PartitionRecord| matches!(record.boot_indicator, 0 | 0x80);
    Mbr::parse(head).filter(|mbr| mbr.partitions.iter().all(is_sound))
}

fn gpt(head: &[u8], block: u64) -> Option<(Header, Gpt)> {
    let header = Header::parse(part(head, ByteRange::new(block, block)?)?)?.ok()?;
    let array = header.array_lba().checked_mul(block)?;
    let array = ByteRange::new(array, header.array_size()).filter(|at| at.size() <= LARGEST_ARRAY);
    let gpt = header.with_array(part(head, array?)?.to_vec(), block).ok()?;
    Some((header, gpt))
}

/// Everything that reaches somewhere. A partition that stands for a whole volume may be rounded up to cylinders: its
/// descriptor says how far the volume reaches.
pub(super) fn ends(head: &[u8], kind: Kind, tables: &Tables) -> Vec<End> {
    let volume = match kind {
        Kind::Iso => iso(head),
        Kind::Udf | Kind::Partitioned | Kind::BootRecord => None,
        Kind::Filesystem(_) => filesystem(head),
    };
    let stands_for_volume = |start: u64| {
        volume.is_some() && kind == Kind::Iso && start <= VOLUME_STARTS_BY * DISK_BLOCK
    };
    let parts = tables.partitions.iter().filter(|part| !stands_for_volume(part.start));
    let mut ends: Vec<End> =
        parts.map(|part| End { at: part.end, told: format!("{} ends at", part.name) }).collect();
    let told = match kind {
        Kind::Iso => "its volume descriptor says",
        _ => "its superblock says",
    };
    ends.extend(volume.map(|at| End { at, told: told.to_owned() }));
    ends
}

/// Volume Space Size (§8.4.8) in logical blocks (§8.4.12).
fn iso(head: &[u8]) -> Option<u64> {
    let field = |at: usize| head.get(DESCRIPTOR.checked_add(at)?..);
    let blocks = Both32::read_from_prefix(field(80)?).ok()?.0.get()?;
    let block = Both16::read_from_prefix(field(128)?).ok()?.0.get()?;
    u64::from(blocks).checked_mul(block.into())
}

/// By the superblock or boot sector of a bare filesystem.
fn filesystem(head: &[u8]) -> Option<u64> {
    let little = |at, size| number(head, at, size);
    let big = |at: usize, size: usize| {
        let bytes = head.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_shl(8) | u64::from(*byte)))
    };
    if is_ext(head) {
        let (low, high) = (little(1024 + 4, 4)?, little(1024 + 0x150, 4)?);
        let has_high = little(1024 + 0x60, 4)? & 0x80 != 0;
        let blocks = if has_high { high.checked_shl(32)? | low } else { low };
        return blocks.checked_mul(1024_u64.checked_shl(little(1024 + 24, 4)?.try_into().ok()?)?);
    }
    if is_at(head, 0, b"hsqs") {
        return little(40, 8);
    }
    if is_at(head, 0, b"XFSB") {
        return big(4, 4)?.checked_mul(big(8, 8)?);
    }
    if is_at(head, 0x1_0040, b"_BHRfS_M") {
        return little(0x1_0000 + 0xC9 + 8, 8);
    }
    boot_sector(head)
}

/// FAT, exFAT and NTFS: sectors, and how large they are.
fn boot_sector(head: &[u8]) -> Option<u64> {
    let little = |at, size| number(head, at, size);
    if is_at(head, 3, b"EXFAT   ") {
        return little(72, 8)?.checked_mul(1_u64.checked_shl(little(108, 1)?.try_into().ok()?)?);
    }
    let sector = little(11, 2).filter(|size| [512, 1024, 2048, 4096].contains(size))?;
    if is_at(head, 3, b"NTFS    ") {
        return little(40, 8)?.checked_mul(sector);
    }
    if !is_at(head, 54, b"FAT") && !is_at(head, 82, b"FAT32") {
        return None;
    }
    let sectors = match little(19, 2)? {
        0 => little(32, 4)?,
        sectors => sectors,
    };
    sectors.checked_mul(sector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mbr_that_protects_a_gpt_is_not_a_table_of_its_own() {
        for (has_mbr, has_gpt, names) in [
            (false, false, [].as_slice()),
            (true, false, &["MBR"]),
            (true, true, &["GPT"]),
            (false, true, &["GPT"]),
        ] {
            let tables = Tables { has_mbr, has_gpt, ..Tables::default() };
            assert_eq!(tables.names(), names);
            assert_eq!(tables.is_empty(), names.is_empty());
        }
    }
}
