//! What has the structure of a disk: volumes, partition tables, bare filesystems.

use super::extent::{self, End};
use super::{is_at, number};
use crate::error::{Error, Result};

/// Where the Volume Descriptor Set stands (ECMA-119 §6.7.1), and of UDF the Volume Recognition Sequence (§2/8.3.1 of
/// ECMA-167).
const VOLUME: usize = 0x8000;

/// Filesystems that images without any partition table may hold, by their magic numbers.
const FILESYSTEMS: &[(usize, &[u8], &str)] = &[
    (0, b"hsqs", "a squashfs filesystem"),
    (0, b"XFSB", "an xfs filesystem"),
    (3, b"NTFS    ", "an NTFS filesystem"),
    (3, b"EXFAT   ", "an exFAT filesystem"),
    (54, b"FAT", "a FAT filesystem"),
    (82, b"FAT32", "a FAT filesystem"),
    (1024, b"\x10\x20\xF5\xF2", "an f2fs filesystem"),
    (1024, b"\xE2\xE1\xF5\xE0", "an EROFS filesystem"),
    (1024, b"H+\0\x04", "an HFS+ filesystem"),
    (1024, b"HX\0\x05", "an HFS+ filesystem"),
    (0x1_0040, b"_BHRfS_M", "a btrfs filesystem"),
    (0, b"LUKS\xBA\xBE", "an encrypted disk (LUKS)"),
    (512, b"LABELONE", "a physical volume of LVM"),
];

/// The magic number of ext2, ext3 and ext4, and where it stands.
const EXT: (usize, &[u8]) = (1080, b"\x53\xEF");

/// What kind of disk image it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// An ISO 9660 volume, with partition tables or without.
    Iso,
    /// A UDF volume.
    Udf,
    /// A disk with a partition table.
    Partitioned,
    /// A filesystem without any table around it, by name.
    Filesystem(&'static str),
    /// A disk with nothing but a boot record.
    BootRecord,
}

/// A disk image as far as its first bytes tell.
#[derive(Clone, Debug)]
pub struct DiskImage {
    /// What it is.
    pub kind: Kind,
    /// Whether it has a partition table, which firmware looks for on a stick.
    pub has_table: bool,
    /// What reaches how far.
    ends: Vec<End>,
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
                Some(name) => Kind::Filesystem(name),
                None if is_bootable => Kind::BootRecord,
                None => return None,
            },
        };
        let backup_end = tables.backup_end;
        Some(Self { kind, has_table, ends: extent::ends(head, kind, tables), backup_end })
    }

    /// In words, with an article.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Iso => "an ISO 9660 image",
            Kind::Udf => "a UDF image",
            Kind::Partitioned => "a disk image with a partition table",
            Kind::Filesystem(name) => name,
            Kind::BootRecord => "a disk image with a boot record only",
        }
    }

    /// Whether an image of `size` bytes holds everything that its first bytes tell of.
    ///
    /// # Errors
    /// [`Error::Truncated`], about an image that is called `name`.
    pub fn check_whole(&self, name: &str, size: u64) -> Result<()> {
        let furthest = self.ends.iter().max_by_key(|end| end.at).filter(|end| end.at > size);
        let Some(End { at, told }) = furthest else { return Ok(()) };
        Err(Error::Truncated {
            name: name.to_owned(),
            has: size,
            needs: *at,
            end: told.clone(),
            hint: "download or copy it again, and compare its SHA-256 with the published one"
                .to_owned(),
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
    pub fn lost_backup(&self, size: u64) -> Option<String> {
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

fn filesystem(head: &[u8]) -> Option<&'static str> {
    let known = FILESYSTEMS.iter().find(|(at, magic, _)| is_at(head, *at, magic));
    known.map(|(.., name)| *name).or_else(|| is_ext(head).then_some("an ext4 filesystem"))
}

/// Two bytes alone are found by chance; revision and block size must be ones that there are.
pub(super) fn is_ext(head: &[u8]) -> bool {
    let small = |at, most| number(head, at, 4).is_some_and(|found| found <= most);
    is_at(head, EXT.0, EXT.1) && small(1024 + 76, 1) && small(1024 + 24, 6)
}

/// A Driver Descriptor Map with an Apple Partition Map behind it.
fn is_apple_map(head: &[u8]) -> bool {
    is_at(head, 0, b"ER") && [512, 2048].iter().any(|at| is_at(head, *at, b"PM\0\0"))
}
