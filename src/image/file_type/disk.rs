//! What has the structure of a disk: volumes, partition tables, filesystems.

use super::extent::{self, End, Part};
use super::is_at;
use super::kind::{Filesystem, Kind, is_ext};
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::units::{beyond, usize_of};

/// Where the Volume Descriptor Set stands (ECMA-119 §6.7.1), and of UDF the Volume Recognition Sequence (§2/8.3.1 of
/// ECMA-167).
const VOLUME: usize = 0x8000;

/// Filesystems, and what stands in the place of one, by their magic numbers: what an image is that is nothing else, and
/// what it has as a partition.
const FILESYSTEMS: &[(usize, &[u8], Filesystem)] = &[
    (0, b"hsqs", Filesystem("a squashfs filesystem", "squashfs")),
    (0, b"XFSB", Filesystem("an xfs filesystem", "xfs")),
    (3, b"NTFS    ", Filesystem("an NTFS filesystem", "NTFS")),
    (3, b"EXFAT   ", Filesystem("an exFAT filesystem", "exFAT")),
    (54, b"FAT", Filesystem("a FAT filesystem", "FAT")),
    (82, b"FAT32", Filesystem("a FAT filesystem", "FAT")),
    (1024, b"\x10\x20\xF5\xF2", Filesystem("an f2fs filesystem", "f2fs")),
    (1024, b"\xE2\xE1\xF5\xE0", Filesystem("an EROFS filesystem", "EROFS")),
    (1024, b"H+\0\x04", Filesystem("an HFS+ filesystem", "HFS+")),
    (1024, b"HX\0\x05", Filesystem("an HFS+ filesystem", "HFS+")),
    (0x1_0040, b"_BHRfS_M", Filesystem("a btrfs filesystem", "btrfs")),
    (0, b"LUKS\xBA\xBE", Filesystem("an encrypted disk (LUKS)", "LUKS")),
    (512, b"LABELONE", Filesystem("a physical volume of LVM", "LVM")),
];

const EXT4: Filesystem = Filesystem("an ext4 filesystem", "ext4");

/// Bytes of a partition that are looked at: the superblock of btrfs is the last one.
const SUPERBLOCKS: u64 = 68 << 10;

/// A disk image as far as its first bytes tell.
#[derive(Clone, Debug)]
pub struct DiskImage {
    /// What it is.
    pub kind: Kind,
    /// Whether it has a partition table, which firmware looks for on a stick.
    pub has_table: bool,
    /// Bytes of the blocks that its MBR or GPT counts.
    pub table_block: Option<u64>,
    /// What reaches how far.
    ends: Vec<End>,
    /// The tables by name, and what was found in the partitions, each once.
    holds: Vec<&'static str>,
    /// The partitions.
    parts: Vec<Part>,
    /// Where the backup GPT ends, if there is a GPT.
    backup_end: Option<u64>,
}

impl DiskImage {
    /// The disk image that begins with these bytes; none if nothing in them is the structure of a disk.
    pub(super) fn find(head: &[u8]) -> Option<Self> {
        let tables = extent::tables(head);
        let has_table = !tables.is_empty() || is_apple_map(head);
        let is_bootable = is_at(head, 510, b"\x55\xAA");
        let kind = match volume(head) {
            Some(kind) => kind,
            None if has_table => Kind::Partitioned,
            None => match filesystem(head) {
                Some(found) => Kind::Filesystem(found),
                None if is_bootable => Kind::BootRecord,
                None => return None,
            },
        };
        Some(Self {
            kind,
            has_table,
            table_block: tables.block(),
            ends: extent::ends(head, kind, &tables),
            holds: if is_apple_map(head) { vec!["Apple Partition Map"] } else { tables.names() },
            backup_end: tables.backup_end,
            parts: tables.partitions,
        })
    }

    /// Adds what is in the partitions, which begin anywhere in the image. What cannot be read is left out.
    pub(super) fn look_into<I: ReadAt + ?Sized>(mut self, image: &I) -> Self {
        for part in &mut self.parts {
            let size = beyond(image.size(), part.start).min(SUPERBLOCKS);
            let mut start = vec![0; usize_of(size)];
            let read = image.read_exact_at(&mut start, part.start);
            let Some(Filesystem(_, word)) = read.ok().and_then(|()| filesystem(&start)) else {
                continue;
            };
            part.is_linux |= word == EXT4.1;
            if !self.holds.contains(&word) {
                self.holds.push(word);
            }
        }
        self
    }

    /// Whether it has a partition for Linux, by type or by contents.
    pub(super) fn has_linux(&self) -> bool {
        self.parts.iter().any(|part| part.is_linux)
    }

    /// In words, with an article: `a disk image (MBR, FAT, ext4)`.
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Iso => "an ISO 9660 image".to_owned(),
            Kind::Udf => "a UDF image".to_owned(),
            Kind::Partitioned => format!("a disk image ({})", self.holds.join(", ")),
            Kind::Filesystem(Filesystem(name, _)) => name.to_owned(),
            Kind::BootRecord => "a disk image with a boot record only".to_owned(),
        }
    }

    /// The byte that everything in it ends before, as far as its first bytes tell.
    pub(crate) fn end(&self) -> Option<u64> {
        self.ends.iter().map(|end| end.at).chain(self.backup_end).max()
    }

    /// Whether an image of `size` bytes holds everything that its first bytes tell of.
    ///
    /// # Errors
    /// [`Error::Truncated`], about an image that is called `name`.
    pub(crate) fn check_whole(&self, name: &str, size: u64) -> Result<()> {
        let furthest = self.ends.iter().max_by_key(|end| end.at).filter(|end| end.at > size);
        let Some(End { at, told }) = furthest else { return Ok(()) };
        Err(Error::Truncated {
            name: name.to_owned(),
            has: size,
            needs: *at,
            end: told.clone(),
            hint: "download or copy it again, and compare its SHA-256 with the published one"
                .into(),
        })
    }

    /// What is worth telling of an image of `size` bytes before it is written to a disk.
    pub fn notes(&self, size: Option<u64>) -> Vec<String> {
        let mut notes = Vec::new();
        if matches!(self.kind, Kind::Iso | Kind::Udf) && !self.has_table {
            notes.push("the image has no partition table (it is not a hybrid image): not all firmware starts it from a stick".to_owned());
        }
        notes.extend(size.and_then(|size| self.lost_backup(size)));
        notes
    }

    /// That an image of `size` bytes lacks the backup GPT: cut behind the last partition, it is whole all the same.
    pub(crate) fn lost_backup(&self, size: u64) -> Option<String> {
        let end = self.backup_end.filter(|end| *end > size)?;
        Some(format!(
            "the image has no backup GPT: it has {size} bytes, the backup would end at {end}; all partitions are there"
        ))
    }
}

fn volume(head: &[u8]) -> Option<Kind> {
    let is = |mark: &[u8]| is_at(head, VOLUME.saturating_add(1), mark);
    if is(b"CD001") {
        return Some(Kind::Iso);
    }
    (is(b"BEA01") || is(b"NSR02") || is(b"NSR03")).then_some(Kind::Udf)
}

fn filesystem(head: &[u8]) -> Option<Filesystem> {
    let known = FILESYSTEMS.iter().find(|(at, magic, _)| is_at(head, *at, magic));
    known.map(|(.., found)| *found).or_else(|| is_ext(head).then_some(EXT4))
}

/// A Driver Descriptor Map with an Apple Partition Map behind it.
fn is_apple_map(head: &[u8]) -> bool {
    is_at(head, 0, b"ER") && [512, 2048].iter().any(|at| is_at(head, *at, b"PM\0\0"))
}
