//! Group descriptors (`group_descr.rst`, `struct ext4_group_desc`).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::superblock::{Checksums, Superblock};
use super::{crc16, crc32c, halves, joined, long};
use crate::checked;
use crate::error::Result;
use crate::formats::Malformed;
use crate::units::usize_of;

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;

/// Where the checksum stands.
const CHECKSUM_AT: usize = 0x1e;
/// Bytes of a descriptor without the upper halves of numbers.
const SHORT: usize = 32;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    block_bitmap_lo: U32,
    inode_bitmap_lo: U32,
    inode_table_lo: U32,
    free_blocks_lo: U16,
    free_inodes_lo: U16,
    used_dirs_lo: U16,
    flags: U16,
    exclude_bitmap_lo: U32,
    block_bitmap_csum_lo: U16,
    inode_bitmap_csum_lo: U16,
    itable_unused_lo: U16,
    checksum: U16,
    block_bitmap_hi: U32,
    inode_bitmap_hi: U32,
    inode_table_hi: U32,
    free_blocks_hi: U16,
    free_inodes_hi: U16,
    used_dirs_hi: U16,
    itable_unused_hi: U16,
    exclude_bitmap_hi: U32,
    block_bitmap_csum_hi: U16,
    inode_bitmap_csum_hi: U16,
    reserved: U32,
}

const _: () = assert!(size_of::<Record>() == 64);

/// The descriptor of a group.
#[derive(Clone, Debug)]
pub struct Descriptor {
    number: u64,
    record: Record,
    size: usize,
}

impl Descriptor {
    /// Reads the descriptor of group `number`, and checks its checksum.
    pub fn parse(bytes: &[u8], number: u64, superblock: &Superblock) -> Result<Self, Malformed> {
        let size = usize_of(superblock.descriptor_size());
        let mut whole = [0; 64];
        let there = bytes.get(..size).zip(whole.get_mut(..size));
        let (from, to) =
            there.ok_or_else(|| Malformed::short("ext4 group descriptor", bytes, size))?;
        to.copy_from_slice(from);
        let record = Record::read_from_bytes(&whole)
            .map_err(|_| Malformed::short("ext4 group descriptor", bytes, size))?;
        let found = Self { number, record, size };
        let checksum = found.own_checksum(superblock);
        if let Some(checksum) = checksum.filter(|checksum| *checksum != record.checksum.get()) {
            return Err(Malformed::new(
                format!("ext4 descriptor of group {number}"),
                0x1e,
                format!("a checksum of {checksum:#x}"),
                format!("{:#x}", record.checksum.get()),
            ));
        }
        Ok(found)
    }

    /// The bytes as they stand on disk, with their checksum.
    pub(crate) fn to_bytes(&self, superblock: &Superblock) -> Vec<u8> {
        let mut record = self.record;
        if let Some(checksum) = self.own_checksum(superblock) {
            record.checksum.set(checksum);
        }
        let bytes: &[u8; 64] = zerocopy::transmute_ref!(&record);
        self.own(bytes).to_vec()
    }

    /// Those bytes of a record that this descriptor has.
    fn own<'a>(&self, bytes: &'a [u8; 64]) -> &'a [u8] {
        let (short, _) = bytes.split_at(SHORT);
        if self.size == SHORT { short } else { bytes }
    }

    fn own_checksum(&self, superblock: &Superblock) -> Option<u16> {
        let bytes: &[u8; 64] = zerocopy::transmute_ref!(&self.record);
        let (before, _) = bytes.split_at(CHECKSUM_AT);
        let (_, behind) = self.own(bytes).split_at(SHORT);
        let number = u32::try_from(self.number).unwrap_or(u32::MAX).to_le_bytes();
        match superblock.checksums() {
            Checksums::None => None,
            Checksums::Descriptors => Some(crc16(&[superblock.uuid(), &number, before, behind])),
            Checksums::Metadata(seed) => {
                let sum = [before, &[0, 0], behind]
                    .iter()
                    .fold(crc32c(seed, &number), |sum, part| crc32c(sum, part));
                Some(halves(sum).0)
            }
        }
    }

    /// The block with the block bitmap.
    pub(crate) fn block_bitmap(&self) -> u64 {
        long(self.record.block_bitmap_lo.get(), self.record.block_bitmap_hi.get())
    }

    /// The block with the inode bitmap.
    pub(crate) fn inode_bitmap(&self) -> u64 {
        long(self.record.inode_bitmap_lo.get(), self.record.inode_bitmap_hi.get())
    }

    /// The first block of the inode table.
    pub(crate) fn inode_table(&self) -> u64 {
        long(self.record.inode_table_lo.get(), self.record.inode_table_hi.get())
    }

    /// Blocks of the group that are free.
    pub fn free_blocks(&self) -> u64 {
        joined(self.record.free_blocks_lo.get(), self.record.free_blocks_hi.get()).into()
    }

    /// Inodes of the group that are free.
    pub(crate) fn free_inodes(&self) -> u64 {
        joined(self.record.free_inodes_lo.get(), self.record.free_inodes_hi.get()).into()
    }

    /// Inodes at the end of the table that were never used.
    pub(crate) fn unused_inodes(&self) -> u64 {
        joined(self.record.itable_unused_lo.get(), self.record.itable_unused_hi.get()).into()
    }

    /// Directories of the group.
    pub fn directories(&self) -> u64 {
        joined(self.record.used_dirs_lo.get(), self.record.used_dirs_hi.get()).into()
    }

    /// Sets how many blocks are free; their bitmap is in use from now on.
    pub(crate) fn set_free_blocks(&mut self, blocks: u64) -> Result<()> {
        let (low, high) = counted(blocks)?;
        self.record.free_blocks_lo.set(low);
        self.record.free_blocks_hi.set(self.high(high));
        self.record.flags.set(self.record.flags.get() & !BLOCK_UNINIT);
        Ok(())
    }

    /// Sets how many inodes are free; their bitmap is in use from now on.
    pub(crate) fn set_free_inodes(&mut self, inodes: u64) -> Result<()> {
        let (low, high) = counted(inodes)?;
        self.record.free_inodes_lo.set(low);
        self.record.free_inodes_hi.set(self.high(high));
        self.record.flags.set(self.record.flags.get() & !INODE_UNINIT);
        Ok(())
    }

    /// Sets how many inodes at the end were never used.
    pub(crate) fn set_unused_inodes(&mut self, inodes: u64) -> Result<()> {
        let (low, high) = counted(inodes)?;
        self.record.itable_unused_lo.set(low);
        self.record.itable_unused_hi.set(self.high(high));
        Ok(())
    }

    /// Sets how many directories there are.
    pub(crate) fn set_directories(&mut self, directories: u64) -> Result<()> {
        let (low, high) = counted(directories)?;
        self.record.used_dirs_lo.set(low);
        self.record.used_dirs_hi.set(self.high(high));
        Ok(())
    }

    /// Whether the block bitmap was never written: only what the group itself needs is in use.
    pub(crate) fn has_no_block_bitmap(&self, superblock: &Superblock) -> bool {
        superblock.checksums() != Checksums::None && self.record.flags.get() & BLOCK_UNINIT != 0
    }

    /// Whether the inode bitmap was never written: no inode is in use.
    pub(crate) fn has_no_inode_bitmap(&self, superblock: &Superblock) -> bool {
        superblock.checksums() != Checksums::None && self.record.flags.get() & INODE_UNINIT != 0
    }

    /// Whether a block bitmap is the one that the descriptor knows.
    pub(crate) fn knows_block_bitmap(&self, bitmap: &[u8], superblock: &Superblock) -> bool {
        let bits = superblock.blocks_per_group();
        let own = (self.record.block_bitmap_csum_lo.get(), self.record.block_bitmap_csum_hi.get());
        checksum(bitmap, bits, superblock).is_none_or(|sum| self.same(sum, own))
    }

    /// Whether an inode bitmap is the one that the descriptor knows.
    pub(crate) fn knows_inode_bitmap(&self, bitmap: &[u8], superblock: &Superblock) -> bool {
        let bits = superblock.inodes_per_group();
        let own = (self.record.inode_bitmap_csum_lo.get(), self.record.inode_bitmap_csum_hi.get());
        checksum(bitmap, bits, superblock).is_none_or(|sum| self.same(sum, own))
    }

    /// Takes the checksum of a new block bitmap.
    pub(crate) fn sign_block_bitmap(&mut self, bitmap: &[u8], superblock: &Superblock) {
        if let Some((low, high)) = checksum(bitmap, superblock.blocks_per_group(), superblock) {
            self.record.block_bitmap_csum_lo.set(low);
            self.record.block_bitmap_csum_hi.set(self.high(high));
        }
    }

    /// Takes the checksum of a new inode bitmap.
    pub(crate) fn sign_inode_bitmap(&mut self, bitmap: &[u8], superblock: &Superblock) {
        if let Some((low, high)) = checksum(bitmap, superblock.inodes_per_group(), superblock) {
            self.record.inode_bitmap_csum_lo.set(low);
            self.record.inode_bitmap_csum_hi.set(self.high(high));
        }
    }

    /// The upper half of a field, which short descriptors have not.
    fn high(&self, half: u16) -> u16 {
        if self.size == 64 { half } else { 0 }
    }

    fn same(&self, (low, high): (u16, u16), own: (u16, u16)) -> bool {
        (low, self.high(high)) == own
    }
}

fn counted(number: u64) -> Result<(u16, u16)> {
    Ok(halves(checked::present(u32::try_from(number).ok(), "a count of 32 bits")?))
}

/// The checksum of a bitmap of so many bits, if bitmaps have one.
fn checksum(bitmap: &[u8], bits: u64, superblock: &Superblock) -> Option<(u16, u16)> {
    let Checksums::Metadata(seed) = superblock.checksums() else { return None };
    let bytes = bitmap.get(..usize_of(bits.div_euclid(8))).unwrap_or(bitmap);
    Some(halves(crc32c(seed, bytes)))
}
