//! Inodes (`inodes.rst`, `struct ext4_inode`).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::superblock::{Checksums, Superblock};
use super::{crc32c, halves, joined, long, words};
use crate::checked;
use crate::error::Result;
use crate::formats::Malformed;
use crate::units::{u64_len, usize_of};

/// The inode of the root directory.
pub(crate) const ROOT: u64 = 2;

/// Bytes of `i_block`, in which short links stand.
pub(crate) const INLINE: usize = 60;

const FORMAT: u16 = 0xf000;
const DIRECTORY: u16 = 0x4000;
const REGULAR: u16 = 0x8000;
const SYMLINK: u16 = 0xa000;

/// Flags: hashed directory, made of extents, data in the inode.
const INDEX: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const INLINE_DATA: u32 = 0x1000_0000;

/// Links from which on the links of a directory are no longer counted.
const MOST_LINKS: u16 = 65_000;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    mode: U16,
    uid: U16,
    size_lo: U32,
    atime: U32,
    ctime: U32,
    mtime: U32,
    dtime: U32,
    gid: U16,
    links_count: U16,
    blocks_lo: U32,
    flags: U32,
    version: U32,
    block: [u8; INLINE],
    generation: U32,
    file_acl_lo: U32,
    size_high: U32,
    obso_faddr: U32,
    blocks_high: U16,
    file_acl_high: U16,
    uid_high: U16,
    gid_high: U16,
    checksum_lo: U16,
    reserved: U16,
}

const _: () = assert!(size_of::<Record>() == 128);

/// Where fields of the second part stand in it.
const EXTRA_ISIZE: usize = 0;
const CHECKSUM_HI: usize = 2;
const CRTIME: usize = 16;

/// What an inode is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A device, FIFO or socket.
    Special,
}

impl Kind {
    /// The kind as directory entries have it (`EXT4_FT_…`).
    pub fn file_type(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::Symlink => 7,
            Self::Special => 0,
        }
    }

    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Directory => "a folder",
            Self::Symlink => "a symbolic link",
            Self::Special => "a device, FIFO or socket",
        }
    }
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Inode {
    number: u64,
    record: Record,
    /// What stands behind the first 128 bytes.
    rest: Vec<u8>,
}

impl Inode {
    /// Reads inode `number`, and checks its checksum.
    pub fn parse(bytes: &[u8], number: u64, superblock: &Superblock) -> Result<Self, Malformed> {
        let (record, rest) = Record::read_from_prefix(bytes)
            .map_err(|_| Malformed::short("ext4 inode", bytes, size_of::<Record>()))?;
        let found = Self { number, record, rest: rest.to_vec() };
        match found.own_checksum(superblock) {
            Some(own) if !found.has(own) => Err(Malformed::new(
                format!("ext4 inode {number}"),
                0x7c,
                format!("a checksum of {own:#x}"),
                "the one it carries",
            )),
            _ => Ok(found),
        }
    }

    /// A new inode: empty, with one link, made when the filesystem was written to last.
    pub fn new(
        number: u64,
        kind: Kind,
        mode: u32,
        owner: (u32, u32),
        superblock: &Superblock,
    ) -> Result<Self> {
        let mut record = Record::new_zeroed();
        let time = superblock.written();
        for field in [&mut record.atime, &mut record.ctime, &mut record.mtime] {
            field.set(time);
        }
        record.links_count.set(1);
        let size = usize_of(superblock.inode_size());
        let mut rest = vec![0; checked::difference(size, size_of::<Record>(), "an inode")?];
        let extra = superblock.extra_inode_size();
        // Small inodes have neither.
        if extra > 0 {
            put(&mut rest, EXTRA_ISIZE, &extra.to_le_bytes())?;
        }
        if extra >= 20 {
            put(&mut rest, CRTIME, &time.to_le_bytes())?;
        }
        let format = match kind {
            Kind::Directory => DIRECTORY,
            Kind::Symlink => SYMLINK,
            Kind::File | Kind::Special => REGULAR,
        };
        record.mode.set(format);
        let mut found = Self { number, record, rest };
        found.set_access(mode, owner);
        Ok(found)
    }

    /// The bytes as they stand on disk, with their checksum.
    pub(crate) fn to_bytes(&self, superblock: &Superblock) -> Vec<u8> {
        let mut found = self.clone();
        if let Some(checksum) = self.own_checksum(superblock) {
            let (low, high) = halves(checksum);
            found.record.checksum_lo.set(low);
            if let Some(place) = found.high_checksum() {
                *place = high.to_le_bytes();
            }
        }
        [found.record.as_bytes(), &found.rest].concat()
    }

    fn has_high_checksum(&self) -> bool {
        self.half(EXTRA_ISIZE) >= 4
    }

    /// The upper half of the checksum, if the inode has one.
    fn high_checksum(&mut self) -> Option<&mut [u8; 2]> {
        let has = self.has_high_checksum();
        self.rest.get_mut(CHECKSUM_HI..)?.first_chunk_mut().filter(|_| has)
    }

    fn half(&self, at: usize) -> u16 {
        let bytes = self.rest.get(at..).and_then(|rest| rest.first_chunk::<2>());
        bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    fn has(&self, checksum: u32) -> bool {
        let (low, high) = halves(checksum);
        let high_fits = !self.has_high_checksum() || self.half(CHECKSUM_HI) == high;
        self.record.checksum_lo.get() == low && high_fits
    }

    fn own_checksum(&self, superblock: &Superblock) -> Option<u32> {
        let seed = self.seed(superblock)?;
        let mut plain = self.clone();
        plain.record.checksum_lo.set(0);
        if let Some(place) = plain.high_checksum() {
            *place = [0, 0];
        }
        Some(crc32c(crc32c(seed, plain.record.as_bytes()), &plain.rest))
    }

    /// The seed of checksums of everything that is this inode's; none if there are no such checksums.
    pub fn seed(&self, superblock: &Superblock) -> Option<u32> {
        let Checksums::Metadata(seed) = superblock.checksums() else { return None };
        let number = u32::try_from(self.number).unwrap_or(u32::MAX);
        let seed = crc32c(seed, &number.to_le_bytes());
        Some(crc32c(seed, self.record.generation.as_bytes()))
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.record.mode.get() & FORMAT {
            DIRECTORY => Kind::Directory,
            REGULAR => Kind::File,
            SYMLINK => Kind::Symlink,
            _ => Kind::Special,
        }
    }

    /// Permission bits.
    pub fn mode(&self) -> u32 {
        (self.record.mode.get() & !FORMAT).into()
    }

    /// Owner and group.
    pub fn owner(&self) -> (u32, u32) {
        let record = &self.record;
        (
            joined(record.uid.get(), record.uid_high.get()),
            joined(record.gid.get(), record.gid_high.get()),
        )
    }

    /// Sets permission bits, owner and group.
    pub(crate) fn set_access(&mut self, mode: u32, owner: (u32, u32)) {
        let record = &mut self.record;
        let (bits, _) = halves(mode & 0o7777);
        record.mode.set(record.mode.get() & FORMAT | bits);
        let (user, group) = (halves(owner.0), halves(owner.1));
        record.uid.set(user.0);
        record.uid_high.set(user.1);
        record.gid.set(group.0);
        record.gid_high.set(group.1);
    }

    /// Bytes of its contents.
    pub fn size(&self) -> u64 {
        long(self.record.size_lo.get(), self.record.size_high.get())
    }

    /// Sets how many bytes there are, and how many blocks of the filesystem hold them and what leads to
    /// them.
    pub fn set_size(&mut self, size: u64, blocks: u64, superblock: &Superblock) -> Result<()> {
        let (low, high) = words(size);
        self.record.size_lo.set(low);
        self.record.size_high.set(high);
        // In units of 512 bytes, 48 bits of them.
        let sectors = superblock.block().div_euclid(512);
        let sectors = checked::product(blocks, sectors, "the sectors of a file")?;
        let (low, high) = words(sectors);
        self.record.blocks_lo.set(low);
        self.record.blocks_high.set(halves(high).0);
        Ok(())
    }

    /// Links to it.
    pub fn links(&self) -> u16 {
        self.record.links_count.get()
    }

    /// Sets how many links lead to it.
    pub(crate) fn set_links(&mut self, links: u16) {
        self.record.links_count.set(links);
    }

    /// Counts a link from a new subdirectory; none where there is no number for it.
    pub(crate) fn add_subdirectory(&mut self, superblock: &Superblock) -> Option<()> {
        let links = match self.links() {
            1 if superblock.has_dir_nlink() => 1,
            links => match links.checked_add(1).filter(|more| *more < MOST_LINKS) {
                Some(more) => more,
                None if superblock.has_dir_nlink() => 1,
                None => return None,
            },
        };
        self.set_links(links);
        Some(())
    }

    /// Whether extents lead to its blocks.
    pub(crate) fn has_extents(&self) -> bool {
        self.record.flags.get() & EXTENTS != 0
    }

    /// Whether it is a directory whose blocks are sorted by hashes.
    pub(crate) fn is_hashed(&self) -> bool {
        self.record.flags.get() & INDEX != 0
    }

    /// From now on it is a plain list.
    pub(crate) fn set_plain(&mut self) {
        self.record.flags.set(self.record.flags.get() & !INDEX);
    }

    /// Whether it has data or attributes where this library does not look.
    pub fn is_odd(&self) -> bool {
        let record = &self.record;
        record.flags.get() & INLINE_DATA != 0
            || record.file_acl_lo.get() != 0
            || record.file_acl_high.get() != 0
    }

    /// The path of a link that stands in the inode itself.
    pub(crate) fn short_link(&self) -> Option<&[u8]> {
        let is_short = self.kind() == Kind::Symlink && !self.has_extents();
        let size = usize::try_from(self.size()).ok().filter(|size| *size < INLINE && is_short)?;
        self.record.block.get(..size)
    }

    /// Puts the path of a link into the inode itself, if it is short enough.
    pub(crate) fn set_short_link(&mut self, to: &[u8], superblock: &Superblock) -> Result<bool> {
        if to.len() >= INLINE {
            return Ok(false);
        }
        self.record.block = [0; INLINE];
        put(&mut self.record.block, 0, to)?;
        self.set_size(u64_len(to), 0, superblock)?;
        Ok(true)
    }

    /// Whether it has no blocks at all, as devices and short links.
    pub(crate) fn has_no_blocks(&self) -> bool {
        self.kind() == Kind::Special || self.short_link().is_some()
    }

    /// The root of its extent tree.
    pub(crate) fn extent_root(&self) -> &[u8; INLINE] {
        &self.record.block
    }

    /// Sets the root of its extent tree.
    pub(crate) fn set_extent_root(&mut self, root: [u8; INLINE]) {
        self.record.block = root;
        self.record.flags.set(self.record.flags.get() | EXTENTS);
    }
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) -> Result<()> {
    let rest = checked::part_mut(bytes, at.., "a field of an inode")?;
    checked::part_mut(rest, ..new.len(), "a field of an inode")?.copy_from_slice(new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A superblock with inodes of 128 bytes and these features that older kernels may read.
    fn superblock(features: u32) -> Superblock {
        let mut bytes = [0; 1024];
        bytes[0x38..0x3a].copy_from_slice(&0xef53_u16.to_le_bytes());
        bytes[0x58..0x5a].copy_from_slice(&128_u16.to_le_bytes());
        bytes[0x64..0x68].copy_from_slice(&features.to_le_bytes());
        Superblock::parse(&bytes).unwrap()
    }

    #[test]
    fn subdirectories_are_counted_up_to_64999_links() {
        const DIR_NLINK: u32 = 0x20;
        for (features, before, after) in [
            (DIR_NLINK, 2, Some(3)),
            (DIR_NLINK, 64_998, Some(64_999)),
            (DIR_NLINK, 64_999, Some(1)),
            (DIR_NLINK, u16::MAX, Some(1)),
            (DIR_NLINK, 1, Some(1)),
            (0, 64_998, Some(64_999)),
            (0, 64_999, None),
            (0, 1, Some(2)),
        ] {
            let superblock = superblock(features);
            let mut folder = Inode::new(9, Kind::Directory, 0o755, (0, 0), &superblock).unwrap();
            folder.set_links(before);
            let is_counted = folder.add_subdirectory(&superblock).is_some();
            let links = is_counted.then(|| folder.links());
            assert_eq!(links, after, "{before} links, features {features:#x}");
        }
    }
}
