//! A disk with one empty FAT32 partition: which bytes of it are not zeros (Microsoft FAT specification 1.03, and the
//! partition table of a BIOS).

use crate::checked;
use crate::error::Result;
use crate::units::align_up;

/// What is computed.
const ROOT: &str = "the place of the root folder";
const HEAD: &str = "the first head of the partition";
const SECTOR: &str = "the first sector of the partition";

/// Where the partition begins, and what its data are aligned at.
const ALIGNED: u64 = 1 << 20;
/// Bytes of a disk from which on its clusters are larger, by the table of the specification, and their bytes then.
const CLUSTERS: [(u64, u64); 5] =
    [(0, 512), (260 << 20, 4096), (8 << 30, 8192), (16 << 30, 16 << 10), (32 << 30, 32 << 10)];
/// Fewer clusters are not FAT32, whatever else is said; the specification keeps away from that number.
const FEWEST: u64 = 65_525 + 16;
/// Sectors before the first FAT, at least.
const RESERVED: u64 = 32;
/// Sectors: of information, and of the copies of the boot sector and of it.
const INFO: u64 = 1;
const BOOT_COPY: u64 = 6;
const INFO_COPY: u64 = 7;
/// Waits for the next disk to be tried: `int 18h; hlt; jmp`.
const NO_SYSTEM: [u8; 5] = [0xCD, 0x18, 0xF4, 0xEB, 0xFD];
/// Sectors of a track and heads, as everybody has them who has none.
const TRACK: u64 = 63;
const HEADS: u64 = 255;

/// The name of a FAT filesystem.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Label([u8; 11]);

impl Label {
    /// What stands where there is no name.
    const NONE: Self = Self(*b"NO NAME    ");

    /// Reads 1 to 11 letters, digits and signs; letters are made capitals. None if it is not a name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || " !#$%&'()-@^_`{}~".contains(c);
        let text = text.trim_end().to_ascii_uppercase();
        if !(1..=11).contains(&text.len()) || text.starts_with(' ') || !text.chars().all(is_allowed)
        {
            return None;
        }
        format!("{text:<11}").as_bytes().try_into().ok().map(Self)
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(String::from_utf8_lossy(&self.0).trim_end())
    }
}

/// A disk with one empty FAT32 partition.
#[derive(Clone, Debug)]
pub(crate) struct Blank {
    block: u64,
    /// Blocks before the partition, and of it.
    start: u32,
    sectors: u32,
    /// Blocks of a cluster, before the first FAT, and of one FAT.
    cluster: u8,
    reserved: u16,
    fat: u32,
    /// Clusters but that of the root folder.
    free: u32,
    label: Option<Label>,
    id: u32,
}

impl Blank {
    /// Of a disk of `size` bytes in blocks of `block`; none if that is too small or too large for it. `id` is the number of
    /// disk and filesystem.
    pub(crate) fn new(size: u64, block: u64, label: Option<Label>, id: u32) -> Option<Self> {
        let aligned = ALIGNED.checked_div(block)?;
        let blocks = size.checked_div(block)?;
        u32::try_from(blocks).ok()?;
        let sectors = blocks.checked_sub(aligned)?;
        let bytes = CLUSTERS.iter().rev().find(|(from, _)| size >= *from)?.1.max(block);
        let cluster = bytes.checked_div(block)?;
        // As if all were clusters, and the two entries that stand for none.
        let entries = sectors.checked_div(cluster)?.checked_add(2)?;
        let fat = entries.checked_mul(4)?.div_ceil(block);
        let fats = fat.checked_mul(2)?;
        let head = align_up(fats.checked_add(RESERVED)?, aligned)?;
        let clusters = sectors.checked_sub(head)?.checked_div(cluster)?;
        Some(Self {
            block,
            start: aligned.try_into().ok()?,
            sectors: sectors.try_into().ok()?,
            cluster: cluster.try_into().ok()?,
            reserved: head.checked_sub(fats)?.try_into().ok()?,
            fat: fat.try_into().ok()?,
            free: clusters.checked_sub(1).filter(|free| *free >= FEWEST)?.try_into().ok()?,
            label,
            id,
        })
    }

    /// Where what is empty begins: the end of the root folder.
    pub(crate) fn end(&self) -> Result<u64> {
        let end = checked::sum(self.at_fat(2)?, self.cluster.into(), ROOT)?;
        checked::product(end, self.block, ROOT)
    }

    /// Where the partition begins.
    pub(crate) fn start(&self) -> Result<u64> {
        self.sector(0)
    }

    /// Where a sector of the partition begins.
    fn sector(&self, number: u64) -> Result<u64> {
        const WHAT: &str = "a sector of the partition";
        checked::product(checked::sum(self.start.into(), number, WHAT)?, self.block, WHAT)
    }

    /// The bytes that are not zeros, and their places, in order.
    pub(crate) fn parts(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        let (boot, info) = (self.boot_sector()?, self.information()?);
        let mut parts = vec![
            (0, self.boot_record()?),
            (self.sector(0)?, boot.clone()),
            (self.sector(INFO)?, info.clone()),
            (self.sector(BOOT_COPY)?, boot),
            (self.sector(INFO_COPY)?, info),
        ];
        // The media byte, the end of chains, and the root folder, which is one cluster.
        let fat = [0x0FFF_FFF8, 0x0FFF_FFFF, 0x0FFF_FFFF].map(u32::to_le_bytes).concat();
        let at = |number| checked::product(self.at_fat(number)?, self.block, ROOT);
        parts.extend([(at(0)?, fat.clone()), (at(1)?, fat)]);
        // What has this attribute is the name of the filesystem.
        let root = at(2)?;
        parts.extend(self.label.map(|label| (root, [&label.0[..], &[0x08]].concat())));
        Ok(parts)
    }

    /// The block where a FAT begins; behind the last one comes the root folder.
    fn at_fat(&self, number: u64) -> Result<u64> {
        let before = checked::sum(self.start.into(), self.reserved.into(), ROOT)?;
        checked::sum(before, checked::product(self.fat.into(), number, ROOT)?, ROOT)
    }

    /// The first sector of the disk: one partition.
    fn boot_record(&self) -> Result<Vec<u8>> {
        // Cylinder 0, as no block has less than 512 bytes.
        let track = u64::from(self.start).div_euclid(TRACK);
        let (head, sector) = (track.rem_euclid(HEADS), u64::from(self.start).rem_euclid(TRACK));
        let first = [number(head, HEAD)?, number(checked::sum(sector, 1, SECTOR)?, SECTOR)?, 0];
        placed(&[
            (0, &NO_SYSTEM),
            (440, &self.id.to_le_bytes()),
            (447, &first),
            // FAT32 by LBA, and an end behind what cylinders can say.
            (450, &[0x0C, 0xFE, 0xFF, 0xFF]),
            (454, &self.start.to_le_bytes()),
            (458, &self.sectors.to_le_bytes()),
        ])
    }

    fn boot_sector(&self) -> Result<Vec<u8>> {
        let block: u16 = number(self.block, "the bytes of a block")?;
        let geometry = [63_u16, 255].map(u16::to_le_bytes).concat();
        placed(&[
            (0, b"\xEB\x58\x90MSWIN4.1"),
            (11, &block.to_le_bytes()),
            (13, &[self.cluster]),
            (14, &self.reserved.to_le_bytes()),
            (16, &[2]),
            (21, &[0xF8]),
            (24, &geometry),
            (28, &self.start.to_le_bytes()),
            (32, &self.sectors.to_le_bytes()),
            (36, &self.fat.to_le_bytes()),
            // The cluster of the root folder, and the sectors of what stands beside.
            (44, &[2, 0, 0, 0, 1, 0, 6, 0]),
            (64, &[0x80, 0, 0x29]),
            (67, &self.id.to_le_bytes()),
            (71, &self.label.unwrap_or(Label::NONE).0),
            (82, b"FAT32   "),
            (90, &NO_SYSTEM),
        ])
    }

    /// The information sector: all clusters are free but that of the root folder.
    fn information(&self) -> Result<Vec<u8>> {
        placed(&[(0, b"RRaA"), (484, b"rrAa"), (488, &self.free.to_le_bytes()), (492, &[3])])
    }
}

/// A sector with these bytes at these places, and the signature that all of them have.
fn placed(parts: &[(usize, &[u8])]) -> Result<Vec<u8>> {
    const WHAT: &str = "a field of a sector";
    let mut sector = vec![0; 512];
    for (at, bytes) in parts.iter().chain(&[(510, &[0x55, 0xAA][..])]) {
        let end = checked::sum(*at, bytes.len(), WHAT)?;
        checked::part_mut(&mut sector, *at..end, WHAT)?.copy_from_slice(bytes);
    }
    Ok(sector)
}

/// A number that must fit into its field.
fn number<N: TryFrom<u64>>(value: u64, what: &str) -> Result<N> {
    checked::present(N::try_from(value).ok(), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_eleven_signs_at_most_and_capitals() {
        let read = |text: &str| Label::parse(text).map(|label| label.to_string());
        for (text, expected) in [
            ("data", Some("DATA")),
            ("MY STICK 1", Some("MY STICK 1")),
            ("12345678901", Some("12345678901")),
            ("123456789012", None),
            ("", None),
            (" a", None),
            ("a/b", None),
            ("a.b", None),
            ("né", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text:?}");
        }
    }

    /// From the least to the largest disk, everything lies in it and has a cluster size that is allowed.
    #[test]
    fn disks_of_all_sizes_have_clusters_of_fat32() {
        const MIB: u64 = 1 << 20;
        for block in [512, 1024, 2048, 4096] {
            let largest = block << 32;
            for size in [
                36 * MIB,
                64 * MIB,
                259 * MIB,
                260 * MIB,
                261 * MIB,
                8 << 30,
                16 << 30,
                31 << 30,
                32_015_679_488,
                1 << 40,
                largest - block,
                largest,
            ] {
                let is_small = block > 512 && size <= 260 * MIB;
                let Some(blank) = Blank::new(size, block, None, 1) else {
                    assert!(is_small || size == largest, "{size} {block}");
                    continue;
                };
                let end = blank.end().unwrap();
                assert!(end <= size && end % block == 0, "{size} {block}");
                assert!(blank.free >= 65_541, "{size} {block}");
                let data = blank.at_fat(2).unwrap() * block;
                assert_eq!(data % ALIGNED, 0, "{size} {block}");
                let held = u64::from(blank.free + 3) * 4;
                assert!(held <= u64::from(blank.fat) * block, "{size} {block}");
                assert!(u64::from(blank.cluster) * block <= 32 << 10, "{size} {block}");
                let parts = blank.parts().unwrap();
                assert!(parts.windows(2).all(|pair| pair[0].0 < pair[1].0), "{size} {block}");
            }
        }
        assert!(Blank::new(34 * MIB, 512, None, 1).is_none());
        assert!(Blank::new(0, 512, None, 1).is_none());
        assert!(Blank::new(64 * MIB, 0, None, 1).is_none());
    }
}
