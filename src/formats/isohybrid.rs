//! The Master Boot Record of a hybrid image (UEFI 2.10 §5.2.1) and the disk geometry that isohybrid
//! boot code and xorriso count in.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::units::{ByteRange, DISK_BLOCK, LOGICAL_BLOCK, align_up};

/// Where the partition records stand in the first block.
pub(crate) const TABLE_AT: u64 = 446;

/// A partition record (UEFI 2.10 table 5-2).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct PartitionRecord {
    /// 0x80 if BIOS may boot it.
    pub boot_indicator: u8,
    /// First block as head, sector, cylinder.
    pub starting_chs: [u8; 3],
    /// The type, 0 for the image as a whole.
    pub os_type: u8,
    /// Last block as head, sector, cylinder.
    pub ending_chs: [u8; 3],
    /// First block.
    pub starting_lba: U32,
    /// Blocks.
    pub size_in_lba: U32,
}

/// Heads, sector and cylinder that say nothing, as xorriso writes them: what counts are the blocks.
const NO_CHS: [u8; 3] = [0xfe, 0xff, 0xff];

/// Bytes of so many blocks: 32 bits and 9 bits, so nothing is cut.
fn bytes(blocks: U32) -> u64 {
    u64::from(blocks.get()).saturating_mul(DISK_BLOCK)
}

impl PartitionRecord {
    /// The byte of the image where the partition starts.
    pub fn start(&self) -> u64 {
        bytes(self.starting_lba)
    }

    /// Bytes of the partition.
    pub fn size(&self) -> u64 {
        bytes(self.size_in_lba)
    }

    /// Gives the partition another place. None if it has no whole blocks, or more than 32 bits count.
    pub fn place(&mut self, at: ByteRange) -> Option<()> {
        let blocks = |bytes: u64| {
            let whole = bytes.is_multiple_of(DISK_BLOCK);
            let blocks = bytes.checked_div(DISK_BLOCK).filter(|_| whole)?;
            u32::try_from(blocks).ok().map(U32::new)
        };
        self.starting_lba = blocks(at.start())?;
        self.size_in_lba = blocks(at.size())?;
        self.starting_chs = NO_CHS;
        self.ending_chs = NO_CHS;
        Some(())
    }
}

/// The partition table and signature of a Master Boot Record.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Mbr {
    /// The four records, unused ones all zero.
    pub partitions: [PartitionRecord; 4],
    signature: [u8; 2],
}

const _: () = assert!(size_of::<Mbr>() == 66);

impl Mbr {
    /// The table in the first block of an image; none without the signature or without partitions.
    pub fn parse(block: &[u8]) -> Option<Self> {
        let table = block.get(446..512)?;
        let mbr = Self::read_from_bytes(table).ok()?;
        (mbr.signature == [0x55, 0xaa] && mbr.used().next().is_some()).then_some(mbr)
    }

    /// The records in use, with their number counted from 1.
    pub fn used(&self) -> impl Iterator<Item = (usize, &PartitionRecord)> {
        (1..).zip(&self.partitions).filter(|(_, record)| record.size_in_lba.get() != 0)
    }
}

/// The heads and sectors that cylinders are counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Geometry {
    /// Heads of a cylinder.
    pub heads: u64,
    /// Sectors of a head.
    pub sectors: u64,
}

impl Geometry {
    /// As xorriso chooses it for an image of `size` bytes: 64 heads of 32 sectors; more heads where
    /// that gives over 1,024 cylinders; past 255 of them 63 sectors, with heads that make whole
    /// logical blocks where they can. None where no geometry reaches (8,422 MB).
    pub(crate) fn for_size(size: u64) -> Option<Self> {
        let heads_of =
            |sectors: u64| size.div_ceil(DISK_BLOCK.saturating_mul(sectors).saturating_mul(1024));
        let narrow = heads_of(32).max(64);
        if narrow <= 255 {
            return Some(Self { heads: narrow, sectors: 32 });
        }
        let wide = heads_of(63);
        let heads = wide.checked_next_multiple_of(4)?.min(255);
        (wide <= 255).then_some(Self { heads, sectors: 63 })
    }

    /// Bytes in a cylinder.
    pub(crate) fn cylinder(self) -> u64 {
        self.heads.saturating_mul(self.sectors).saturating_mul(DISK_BLOCK)
    }

    fn chs(self, lba: u64) -> Option<[u8; 3]> {
        let head = u8::try_from(lba.checked_div(self.sectors)?.checked_rem(self.heads)?).ok()?;
        let sector = u8::try_from(lba.checked_rem(self.sectors)?.checked_add(1)?).ok()?;
        let cylinder = lba.checked_div(self.heads.checked_mul(self.sectors)?)?;
        let cylinder = u16::try_from(cylinder).ok().filter(|cylinder| *cylinder < 1024)?;
        let [high, low] = cylinder.to_be_bytes();
        Some([head, sector | high.checked_shl(6)?, low])
    }
}

/// The size of a hybrid image, and of the partition that stands for all of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HybridSize {
    /// Bytes of the image: whole logical blocks.
    pub image: u64,
    /// Blocks of the partition: whole cylinders where a geometry reaches.
    pub blocks: u64,
    /// The last block as head, sector, cylinder.
    pub ending_chs: [u8; 3],
}

impl HybridSize {
    /// For at least `size` bytes. None past 64 bits.
    pub(crate) fn holding(size: u64) -> Option<Self> {
        let Some(geometry) = Geometry::for_size(size) else {
            let image = align_up(size, LOGICAL_BLOCK)?;
            return Some(Self {
                image,
                blocks: image.checked_div(DISK_BLOCK)?,
                ending_chs: [0xff; 3],
            });
        };
        let partition = align_up(size, geometry.cylinder())?;
        let blocks = partition.checked_div(DISK_BLOCK)?;
        let ending_chs = geometry.chs(blocks.checked_sub(1)?)?;
        Some(Self { image: align_up(partition, LOGICAL_BLOCK)?, blocks, ending_chs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What xorriso 1.5.4 wrote for images of these sizes: bytes, blocks and end of partition 1.
    #[test]
    fn cylinders_are_those_of_xorriso() {
        for (image, blocks, ending_chs) in [
            (947_912_704, 0x1c_4000, [0x3f, 0xe0, 0x87]),
            (1_157_627_904, 0x22_8000, [0x44, 0xe0, 0xff]),
            (1_367_670_784, 0x28_c280, [0x51, 0xe0, 0xf9]),
            (2_626_306_048, 0x4e_4520, [0x9c, 0xe0, 0xfc]),
            (4_304_627_712, 0x80_49b4, [0x83, 0xff, 0xf2]),
            (4_619_704_320, 0x89_ad8c, [0x8b, 0xff, 0xfe]),
            (8_398_012_416, 0xfa_47bd, [0xfe, 0xff, 0xfc]),
            (9_440_778_240, 0x119_5b6c, [0xff, 0xff, 0xff]),
        ] {
            let expected = HybridSize { image, blocks, ending_chs };
            let data = image.min(blocks * 512) - 1500;
            assert_eq!(HybridSize::holding(data), Some(expected), "{image}");
        }
    }

    #[test]
    fn a_block_without_partitions_is_not_a_table() {
        let mut block = [0; 512];
        block[510] = 0x55;
        block[511] = 0xaa;
        assert_eq!(Mbr::parse(&block), None);
        block[446 + 12] = 1;
        assert_eq!(Mbr::parse(&block).unwrap().used().count(), 1);
        assert_eq!(Mbr::parse(&block[..100]), None);
    }
}
