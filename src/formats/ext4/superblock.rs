//! The superblock (`super.rst`, `struct ext4_super_block`): what a filesystem has, and whether this
//! library may write to it.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{crc32c, long, words};
use crate::checked;
use crate::error::Result;
use crate::formats::Malformed;

/// Where it stands in the filesystem.
pub(crate) const AT: u64 = 1024;

/// Its bytes.
pub const SIZE: u64 = 1024;

const MAGIC: u16 = 0xef53;
const CLEAN: u16 = 1;

/// Features that are understood, of each kind. Those that only say what may be in files that are not
/// touched are among them; those that change what a writer has to do are not.
const COMPAT: [(u32, &str); 8] = [
    (0x1, "dir_prealloc"),
    (0x4, "has_journal"),
    (0x8, "ext_attr"),
    (0x10, "resize_inode"),
    (0x20, "dir_index"),
    (0x200, "sparse_super2"),
    (0x400, "fast_commit"),
    (0x1000, "orphan_file"),
];
const INCOMPAT: [(u32, &str); 5] = [
    (0x2, "filetype"),
    (EXTENTS, "extent"),
    (INCOMPAT_64BIT, "64bit"),
    (0x200, "flex_bg"),
    (CSUM_SEED, "metadata_csum_seed"),
];
const RO_COMPAT: [(u32, &str); 7] = [
    (SPARSE_SUPER, "sparse_super"),
    (0x2, "large_file"),
    (0x8, "huge_file"),
    (GDT_CSUM, "uninit_bg"),
    (DIR_NLINK, "dir_nlink"),
    (0x40, "extra_isize"),
    (METADATA_CSUM, "metadata_csum"),
];
/// Names for those that are not, as `dumpe2fs` has them.
const REFUSED: [(usize, u32, &str); 17] = [
    (0, 0x2, "imagic_inodes"),
    (0, 0x800, "stable_inodes"),
    (1, 0x1, "compression"),
    (1, 0x4, "needs_recovery"),
    (1, 0x8, "journal_dev"),
    (1, 0x10, "meta_bg"),
    (1, 0x100, "mmp"),
    (1, 0x400, "ea_inode"),
    (1, 0x4000, "large_dir"),
    (1, 0x8000, "inline_data"),
    (1, 0x1_0000, "encrypt"),
    (1, 0x2_0000, "casefold"),
    (2, 0x100, "quota"),
    (2, 0x200, "bigalloc"),
    (2, 0x2000, "project"),
    (2, 0x8000, "verity"),
    (2, 0x1_0000, "orphan_present"),
];
const SPARSE_SUPER2: u32 = 0x200;
const EXTENTS: u32 = 0x40;
const INCOMPAT_64BIT: u32 = 0x80;
const CSUM_SEED: u32 = 0x2000;
const SPARSE_SUPER: u32 = 0x1;
const GDT_CSUM: u32 = 0x10;
const DIR_NLINK: u32 = 0x20;
const METADATA_CSUM: u32 = 0x400;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    inodes_count: U32,
    blocks_count_lo: U32,
    r_blocks_count_lo: U32,
    free_blocks_count_lo: U32,
    free_inodes_count: U32,
    first_data_block: U32,
    log_block_size: U32,
    log_cluster_size: U32,
    blocks_per_group: U32,
    clusters_per_group: U32,
    inodes_per_group: U32,
    mtime: U32,
    wtime: U32,
    mounts: [U16; 2],
    magic: U16,
    state: U16,
    errors: [U16; 2],
    checks: [U32; 3],
    rev_level: U32,
    reserved_owners: [U16; 2],
    first_ino: U32,
    inode_size: U16,
    block_group_nr: U16,
    features: [U32; 3],
    uuid: [u8; 16],
    volume_name: [u8; 16],
    last_mounted: [u8; 64],
    algorithms: U32,
    prealloc: [u8; 2],
    reserved_gdt_blocks: U16,
    journal_uuid: [u8; 16],
    journal_inum: U32,
    journal_dev: U32,
    last_orphan: U32,
    hash_seed: [u8; 16],
    def_hash_version: u8,
    jnl_backup_type: u8,
    desc_size: U16,
    default_mount_opts: U32,
    first_meta_bg: U32,
    mkfs_time: U32,
    jnl_blocks: [u8; 68],
    blocks_count_hi: U32,
    r_blocks_count_hi: U32,
    free_blocks_count_hi: U32,
    min_extra_isize: U16,
    want_extra_isize: U16,
    various: [u8; 20],
    log_groups_per_flex: u8,
    checksum_type: u8,
    more: [u8; 214],
    backup_bgs: [U32; 2],
    encryption: [u8; 28],
    checksum_seed: U32,
    rest: [u8; 392],
    checksum: U32,
}

const _: () = assert!(size_of::<Record>() == 1024);

/// How structures are checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Checksums {
    /// Not at all.
    None,
    /// CRC-16 of group descriptors.
    Descriptors,
    /// CRC-32C of everything, from this seed on.
    Metadata(u32),
}

/// A superblock.
#[derive(Clone, Debug)]
pub struct Superblock(Record);

impl Superblock {
    /// Whether there is one at all.
    pub fn is_there(bytes: &[u8]) -> bool {
        Record::read_from_prefix(bytes).is_ok_and(|(record, _)| record.magic.get() == MAGIC)
    }

    /// Reads one, without judging its features and numbers.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (record, _) = Record::read_from_prefix(bytes)
            .map_err(|_| Malformed::short("ext4 superblock", bytes, 1024))?;
        let found = Self(record);
        let fault = |at, found: String, expected: &str| {
            Err(Malformed::new("ext4 superblock", at, found, expected))
        };
        if record.magic.get() != MAGIC {
            return fault(0x38, format!("{:#x}", record.magic.get()), "the magic 0xef53");
        }
        if let Checksums::Metadata(_) = found.checksums()
            && found.own_checksum() != record.checksum.get()
        {
            let own = format!("a checksum of {:#x}", found.own_checksum());
            return fault(0x3fc, own, &format!("{:#x}", record.checksum.get()));
        }
        Ok(found)
    }

    /// Checks that the numbers fit each other, as features that are understood want it.
    pub fn check(&self) -> Result<(), Malformed> {
        self.first_fault().map_or(Ok(()), |(at, expected)| {
            Err(Malformed::new("ext4 superblock", at, "another number", expected))
        })
    }

    /// The first number that cannot be, and what it should be.
    fn first_fault(&self) -> Option<(u64, &'static str)> {
        let record = &self.0;
        let (block, bits) = (self.block(), self.block().saturating_mul(8));
        let per_group = u64::from(record.blocks_per_group.get());
        let inodes = u64::from(record.inodes_per_group.get());
        let inode_size = u64::from(record.inode_size.get());
        let data = u64::from(record.first_data_block.get());
        let faults = [
            (record.log_block_size.get() > 6, 0x18, "blocks of at most 64 KiB"),
            (
                per_group < 256 || per_group > bits,
                0x20,
                "256 blocks per group to 8 per byte of a block",
            ),
            (per_group.checked_rem(8) != Some(0), 0x20, "a multiple of 8 blocks per group"),
            (inodes == 0 || inodes > bits, 0x28, "1 inode per group to 8 per byte of a block"),
            (inodes.checked_rem(8) != Some(0), 0x28, "a multiple of 8 inodes per group"),
            (
                !inode_size.is_power_of_two() || inode_size < 128 || inode_size > block,
                0x58,
                "an inode size of 128, or a larger power of 2 up to a block",
            ),
            (
                data != u64::from(block == 1024),
                0x14,
                "data from block 0 on, or 1 in blocks of 1 KiB",
            ),
            (self.blocks() <= data, 0x4, "more blocks"),
            (![0, 32, 64].contains(&self.0.desc_size.get()), 0xfe, "descriptors of 32 or 64 bytes"),
            (
                u64::from(record.inodes_count.get()) != self.groups().saturating_mul(inodes),
                0,
                "as many inodes as all groups have",
            ),
        ];
        faults.iter().find(|(wrong, _, _)| *wrong).map(|(_, at, expected)| (*at, *expected))
    }

    /// Why nothing may be written to this filesystem, in words that end a sentence with "found"; none if
    /// it may.
    pub fn refusal(&self) -> Option<String> {
        let unknown = self.unknown_features();
        if !unknown.is_empty() {
            return Some(format!("the features {}", unknown.join(", ")));
        }
        let record = &self.0;
        if record.rev_level.get() != 1 {
            return Some(format!("revision {}", record.rev_level.get()));
        }
        let features = record.features.map(U32::get);
        let [_, incompat, _] = features;
        if incompat & EXTENTS == 0 {
            return Some("no extents".into());
        }
        if self.block() > 4096 {
            return Some(format!("blocks of {} bytes", self.block()));
        }
        if record.state.get() != CLEAN || record.last_orphan.get() != 0 {
            return Some("one that was not unmounted, or has faults".into());
        }
        None
    }

    fn unknown_features(&self) -> Vec<String> {
        let known = [&COMPAT[..], &INCOMPAT[..], &RO_COMPAT[..]];
        let mut found = Vec::new();
        for (kind, (bits, known)) in self.0.features.iter().zip(known).enumerate() {
            let known = known.iter().fold(0, |sum, (bit, _)| sum | bit);
            let unknown = bits.get() & !known;
            for bit in (0..32).filter_map(|shift| 1_u32.checked_shl(shift)) {
                if unknown & bit != 0 {
                    let name = REFUSED.iter().find(|(of, known, _)| *of == kind && *known == bit);
                    let names = ["compat", "incompat", "ro_compat"];
                    let number = || format!("{} {bit:#x}", names.get(kind).unwrap_or(&""));
                    found.push(name.map_or_else(number, |(_, _, name)| (*name).to_owned()));
                }
            }
        }
        found
    }

    /// The names of its features that are understood.
    pub fn features(&self) -> Vec<&'static str> {
        let known = [&COMPAT[..], &INCOMPAT[..], &RO_COMPAT[..]];
        let sets = self.0.features.iter().zip(known);
        sets.flat_map(|(bits, known)| {
            known.iter().filter(|(bit, _)| bits.get() & bit != 0).map(|(_, name)| *name)
        })
        .collect()
    }

    fn has(&self, kind: usize, bit: u32) -> bool {
        self.0.features.get(kind).is_some_and(|features| features.get() & bit != 0)
    }

    /// Bytes in a block.
    pub fn block(&self) -> u64 {
        1024_u64.checked_shl(self.0.log_block_size.get()).unwrap_or(1 << 16)
    }

    /// Blocks of the filesystem.
    pub fn blocks(&self) -> u64 {
        let high = if self.has(1, INCOMPAT_64BIT) { self.0.blocks_count_hi.get() } else { 0 };
        long(self.0.blocks_count_lo.get(), high)
    }

    /// Blocks that are free.
    pub fn free_blocks(&self) -> u64 {
        let high = if self.has(1, INCOMPAT_64BIT) { self.0.free_blocks_count_hi.get() } else { 0 };
        long(self.0.free_blocks_count_lo.get(), high)
    }

    /// Inodes that are free.
    pub(crate) fn free_inodes(&self) -> u64 {
        self.0.free_inodes_count.get().into()
    }

    /// Sets what is free.
    pub(crate) fn set_free(&mut self, blocks: u64, inodes: u64) -> Result<()> {
        let (low, high) = words(blocks);
        self.0.free_blocks_count_lo.set(low);
        if self.has(1, INCOMPAT_64BIT) {
            self.0.free_blocks_count_hi.set(high);
        }
        let inodes = checked::present(u32::try_from(inodes).ok(), "a count of 32 bits")?;
        self.0.free_inodes_count.set(inodes);
        Ok(())
    }

    /// The block in which group 0 begins.
    pub(crate) fn first_data_block(&self) -> u64 {
        self.0.first_data_block.get().into()
    }

    /// Blocks of every group but the last.
    pub(crate) fn blocks_per_group(&self) -> u64 {
        self.0.blocks_per_group.get().into()
    }

    /// Inodes of every group.
    pub(crate) fn inodes_per_group(&self) -> u64 {
        self.0.inodes_per_group.get().into()
    }

    /// Inodes there are.
    pub fn inodes(&self) -> u64 {
        self.0.inodes_count.get().into()
    }

    /// The first inode that is not reserved.
    pub(crate) fn first_inode(&self) -> u64 {
        self.0.first_ino.get().into()
    }

    /// Bytes of an inode.
    pub(crate) fn inode_size(&self) -> u64 {
        self.0.inode_size.get().into()
    }

    /// Bytes of an inode's fields behind the first 128 that new ones are to have.
    pub(crate) fn extra_inode_size(&self) -> u16 {
        let room = self.0.inode_size.get().saturating_sub(128);
        let wanted = self.0.want_extra_isize.get();
        // 32 bytes are all that are known: up to `i_projid`.
        if (4..=room).contains(&wanted) && wanted.is_multiple_of(4) { wanted } else { room.min(32) }
    }

    /// Groups there are.
    pub(crate) fn groups(&self) -> u64 {
        let blocks = self.blocks().saturating_sub(self.first_data_block());
        blocks.checked_add(self.blocks_per_group()).map_or(0, |sum| {
            sum.saturating_sub(1).checked_div(self.blocks_per_group()).unwrap_or_default()
        })
    }

    /// Bytes of a group descriptor.
    pub(crate) fn descriptor_size(&self) -> u64 {
        if self.has(1, INCOMPAT_64BIT) && self.0.desc_size.get() == 64 { 64 } else { 32 }
    }

    /// Blocks of all group descriptors.
    pub(crate) fn descriptor_blocks(&self) -> u64 {
        self.groups().saturating_mul(self.descriptor_size()).div_ceil(self.block())
    }

    /// Blocks that stand behind the descriptors for more of them.
    pub(crate) fn reserved_descriptor_blocks(&self) -> u64 {
        self.0.reserved_gdt_blocks.get().into()
    }

    /// Whether a group begins with a copy of superblock and descriptors (`ext4_bg_has_super`).
    pub(crate) fn has_copy(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.has(0, SPARSE_SUPER2) {
            return self.0.backup_bgs.iter().any(|backup| u64::from(backup.get()) == group);
        }
        let power = |base: u64| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        group == 1 || !self.has(2, SPARSE_SUPER) || [3, 5, 7].into_iter().any(power)
    }

    /// How structures are checked.
    pub fn checksums(&self) -> Checksums {
        if self.has(2, METADATA_CSUM) {
            let own = self.has(1, CSUM_SEED).then(|| self.0.checksum_seed.get());
            Checksums::Metadata(own.unwrap_or_else(|| crc32c(!0, &self.0.uuid)))
        } else if self.has(2, GDT_CSUM) {
            Checksums::Descriptors
        } else {
            Checksums::None
        }
    }

    /// Whether directories may have more than 65,000 links, which then count as 1.
    pub(crate) fn has_dir_nlink(&self) -> bool {
        self.has(2, DIR_NLINK)
    }

    /// The UUID.
    pub fn uuid(&self) -> &[u8; 16] {
        &self.0.uuid
    }

    /// The label.
    pub fn label(&self) -> String {
        let bytes = self.0.volume_name.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// When it was written to last, in seconds since 1970: the time that new files get.
    pub fn written(&self) -> u32 {
        self.0.wtime.get()
    }

    fn own_checksum(&self) -> u32 {
        let bytes: &[u8; 1024] = zerocopy::transmute_ref!(&self.0);
        let (summed, _) = bytes.split_at(0x3fc);
        crc32c(!0, summed)
    }

    /// The bytes as they stand on disk, with their checksum.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut found = self.clone();
        if let Checksums::Metadata(_) = self.checksums() {
            let checksum = found.own_checksum();
            found.0.checksum.set(checksum);
        }
        found.0.as_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_long_only_where_blocks_have_64_bits() {
        for (incompat, size, expected) in
            [(0, 0, 32), (0, 64, 32), (INCOMPAT_64BIT, 64, 64), (INCOMPAT_64BIT, 32, 32)]
        {
            let mut record = Record::read_from_bytes(&[0; 1024]).unwrap();
            record.features = [U32::new(0), U32::new(incompat), U32::new(0)];
            record.desc_size = U16::new(size);
            assert_eq!(Superblock(record).descriptor_size(), expected, "{incompat:#x} {size}");
        }
    }

    #[test]
    fn new_inodes_have_as_many_fields_as_asked_for_if_they_have_room() {
        for (size, wanted, expected) in [
            (256, 32, 32),
            (256, 28, 28),
            (256, 4, 4),
            (256, 0, 32),
            (256, 30, 32),
            (160, 32, 32),
            (160, 36, 32),
            (144, 32, 16),
            (128, 32, 0),
        ] {
            let mut record = Record::read_from_bytes(&[0; 1024]).unwrap();
            (record.inode_size, record.want_extra_isize) = (U16::new(size), U16::new(wanted));
            assert_eq!(Superblock(record).extra_inode_size(), expected, "{size} {wanted}");
        }
    }

    #[test]
    fn copies_stand_where_the_features_say() {
        let rows: [(u32, u32, &[u64]); 4] = [
            (0, SPARSE_SUPER, &[0, 1, 3, 5, 7, 9, 25, 27, 49]),
            (0, 0, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25, 26, 27, 48, 49, 50]),
            (SPARSE_SUPER2, 0, &[0, 4, 50]),
            (SPARSE_SUPER2, SPARSE_SUPER, &[0, 4, 50]),
        ];
        for (compat, ro_compat, groups) in rows {
            let mut record = Record::read_from_bytes(&[0; 1024]).unwrap();
            record.features = [U32::new(compat), U32::new(0), U32::new(ro_compat)];
            record.backup_bgs = [U32::new(4), U32::new(50)];
            let superblock = Superblock(record);
            let all = (0..=10).chain(25..=27).chain(48..=50);
            let found: Vec<u64> = all.filter(|group| superblock.has_copy(*group)).collect();
            assert_eq!(found, groups, "{compat:#x} {ro_compat:#x}");
        }
    }
}
