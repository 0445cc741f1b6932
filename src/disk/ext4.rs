//! An ext4 filesystem on a window of an image, read only.

use std::collections::BTreeSet;

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::Malformed;
use crate::formats::ext4::bitmap;
use crate::formats::ext4::directory::{self, Entry};
use crate::formats::ext4::extent::{self, Extent, Node};
use crate::formats::ext4::group::Descriptor;
use crate::formats::ext4::inode::{Inode, Kind, ROOT};
use crate::formats::ext4::superblock::{self, Superblock};
use crate::image::{ReadAt, past_64_bits};
use crate::units::{ByteRange, u64_len, u64_of, usize_of};

/// Blocks of extent trees of one file that are looked into.
const MOST_NODES: usize = 4096;

/// Bytes of a directory that are looked into.
const LARGEST_DIRECTORY: u64 = 256 << 20;

/// Where a file's bytes are, and what leads to them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Map {
    /// In the order of the file.
    pub extents: Vec<Extent>,
    /// Blocks of the extent tree below the inode.
    pub nodes: Vec<u64>,
}

impl Map {
    /// Blocks that hold the file and lead to it.
    pub fn blocks(&self) -> Result<u64> {
        let add = |sum, extent: &Extent| checked::sum(sum, extent.blocks, "the blocks of a file");
        self.extents.iter().try_fold(u64_of(self.nodes.len()), add)
    }
}

/// A filesystem.
#[derive(Clone, Debug)]
pub struct Filesystem<I> {
    image: I,
    window: ByteRange,
    superblock: Superblock,
}

impl<I: ReadAt> Filesystem<I> {
    /// Whether there is one in a window of an image.
    pub fn is_there(image: &I, window: ByteRange) -> Result<bool> {
        let Some(at) = superblock_at(window) else { return Ok(false) };
        let bytes = image.read_range("ext4 superblock", at, superblock::SIZE)?;
        Ok(Superblock::is_there(&bytes))
    }

    /// Reads the superblock. A filesystem that must not be written to is refused.
    pub fn open(image: I, window: ByteRange) -> Result<Self> {
        let at = superblock_at(window).ok_or_else(|| past_64_bits(window.start()))?;
        let bytes = image.read_range("ext4 superblock", at, superblock::SIZE)?;
        let superblock = Superblock::parse(&bytes).map_err(|fault| fault.in_image(at.start()))?;
        if let Some(found) = superblock.refusal() {
            let what = "the ext4 filesystem".to_owned();
            let looked_for = "one with extents, blocks of 1 to 4 KiB, cleanly unmounted, and no other features than its maker's usual ones";
            return Err(Error::unsupported(what, looked_for, found));
        }
        superblock.check().map_err(|fault| fault.in_image(at.start()))?;
        let size = superblock.blocks().checked_mul(superblock.block());
        if size.is_none_or(|size| size > window.size()) {
            let found = format!("{} blocks of {} bytes", superblock.blocks(), superblock.block());
            let expected = format!("at most the {} bytes of the partition", window.size());
            return Err(Error::malformed("ext4 superblock", at.start(), found, expected));
        }
        Ok(Self { image, window, superblock })
    }

    /// The same filesystem, read through something that lies over it.
    pub(crate) fn seen_through<J>(&self, image: J) -> Filesystem<J> {
        Filesystem { image, window: self.window, superblock: self.superblock.clone() }
    }

    /// The superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The bytes of the image that the filesystem is on.
    pub fn window(&self) -> ByteRange {
        self.window
    }

    /// The bytes of the image that are a block.
    pub fn place(&self, block: u64) -> Result<ByteRange> {
        let size = self.superblock.block();
        let start = block.checked_mul(size).and_then(|at| at.checked_add(self.window.start()));
        let range = start.and_then(|start| ByteRange::new(start, size));
        range.filter(|_| block < self.superblock.blocks()).ok_or_else(|| {
            let expected = format!("one of the {} blocks", self.superblock.blocks());
            self.fault("a pointer", 0, format!("block {block}"), expected)
        })
    }

    /// The bytes of a block.
    pub fn block(&self, block: u64) -> Result<Vec<u8>> {
        self.image.read_range("an ext4 block", self.place(block)?, self.superblock.block())
    }

    fn fault(&self, what: &str, block: u64, found: String, expected: impl Into<String>) -> Error {
        Error::malformed(format!("ext4, {what}"), self.shown(block), found, expected)
    }

    fn in_block(&self, block: u64) -> impl Fn(Malformed) -> Error {
        let at = self.shown(block);
        move |fault| fault.in_image(at)
    }

    /// The byte of a block in messages; that of the filesystem for a number that no block has.
    fn shown(&self, block: u64) -> u64 {
        let at = block.checked_mul(self.superblock.block());
        let at = at.and_then(|at| at.checked_add(self.window.start()));
        at.unwrap_or(self.window.start())
    }

    /// The block with the descriptor of a group, and where in it.
    pub(crate) fn descriptor_place(&self, group: u64) -> Result<(u64, usize)> {
        let superblock = &self.superblock;
        if group >= superblock.groups() {
            let expected = format!("one of the {} groups", superblock.groups());
            return Err(self.fault("a pointer", 0, format!("group {group}"), expected));
        }
        let at = checked::product(group, superblock.descriptor_size(), "a group descriptor")?;
        // Blocks have 1 KiB or more.
        let (number, within) =
            (at.div_euclid(superblock.block()), at.rem_euclid(superblock.block()));
        let first = checked::sum(superblock.first_data_block(), 1, "the group descriptors")?;
        Ok((checked::sum(first, number, "a group descriptor")?, usize_of(within)))
    }

    /// The descriptor of a group.
    pub fn descriptor(&self, group: u64) -> Result<Descriptor> {
        let (block, at) = self.descriptor_place(group)?;
        let bytes = self.block(block)?;
        let bytes = checked::part(&bytes, at.., "a group descriptor")?;
        Descriptor::parse(bytes, group, &self.superblock).map_err(self.in_block(block))
    }

    /// The first block of a group, and how many there are.
    pub(crate) fn group_blocks(&self, group: u64) -> Result<(u64, u64)> {
        const WHAT: &str = "the blocks of a group";
        let superblock = &self.superblock;
        let per_group = superblock.blocks_per_group();
        let before = checked::product(group, per_group, WHAT)?;
        let first = checked::sum(superblock.first_data_block(), before, WHAT)?;
        let left = checked::difference(superblock.blocks(), first, WHAT)?;
        Ok((first, left.min(per_group)))
    }

    /// The block bitmap of a group, made again if it was never written (`ext4_init_block_bitmap`). One that
    /// its descriptor does not know is refused.
    pub(crate) fn block_bitmap(&self, group: u64) -> Result<Vec<u8>> {
        let superblock = &self.superblock;
        let descriptor = self.descriptor(group)?;
        let (first, count) = self.group_blocks(group)?;
        let at = descriptor.block_bitmap();
        let new = descriptor.has_no_block_bitmap(superblock);
        let bitmap = if new { self.first_bitmap(group, &descriptor)? } else { self.block(at)? };
        let free = bitmap::free(&bitmap, count);
        let known = new || descriptor.knows_block_bitmap(&bitmap, superblock);
        if known && free == descriptor.free_blocks() {
            return Ok(bitmap);
        }
        let found = format!("{free} free blocks from {first} on");
        let expected = format!("{}, and the right checksum", descriptor.free_blocks());
        Err(self.fault(&format!("block bitmap of group {group}"), at, found, expected))
    }

    fn first_bitmap(&self, group: u64, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let superblock = &self.superblock;
        let (first, count) = self.group_blocks(group)?;
        let mut bitmap = bitmap::padded(superblock.block(), count)?;
        if superblock.has_copy(group) {
            let parts =
                [superblock.descriptor_blocks(), superblock.reserved_descriptor_blocks(), 1];
            let add = |sum, blocks| checked::sum(sum, blocks, "what a group begins with");
            let blocks = parts.into_iter().try_fold(0, add)?;
            (0..blocks.min(count)).try_for_each(|bit| bitmap::set(&mut bitmap, bit))?;
        }
        let (inodes, size) = (superblock.inodes_per_group(), superblock.inode_size());
        let table = checked::product(inodes, size, "an inode table")?;
        let table = table.div_ceil(superblock.block());
        let own = [
            (descriptor.block_bitmap(), 1),
            (descriptor.inode_bitmap(), 1),
            (descriptor.inode_table(), table),
        ];
        for (start, blocks) in own {
            let end = start.checked_add(blocks).ok_or_else(|| {
                let found = format!("block {start}");
                self.fault("a group descriptor", 0, found, "a block of the filesystem")
            })?;
            // They may lie in other groups, too.
            for bit in (start..end).filter_map(|block| block.checked_sub(first)) {
                if bit < count {
                    bitmap::set(&mut bitmap, bit)?;
                }
            }
        }
        Ok(bitmap)
    }

    /// The inode bitmap of a group, made again if it was never written.
    pub(crate) fn inode_bitmap(&self, group: u64) -> Result<Vec<u8>> {
        let superblock = &self.superblock;
        let descriptor = self.descriptor(group)?;
        let count = superblock.inodes_per_group();
        let at = descriptor.inode_bitmap();
        let new = descriptor.has_no_inode_bitmap(superblock);
        let bitmap = if new { bitmap::padded(superblock.block(), count)? } else { self.block(at)? };
        let free = bitmap::free(&bitmap, count);
        let known = new || descriptor.knows_inode_bitmap(&bitmap, superblock);
        if known && free == descriptor.free_inodes() {
            return Ok(bitmap);
        }
        let expected = format!("{}, and the right checksum", descriptor.free_inodes());
        Err(self.fault(
            &format!("inode bitmap of group {group}"),
            at,
            format!("{free} free inodes"),
            expected,
        ))
    }

    /// Free blocks and inodes, as the bitmaps of all groups have them.
    pub fn free(&self) -> Result<(u64, u64)> {
        let superblock = &self.superblock;
        let (mut blocks, mut inodes) = (0, 0);
        for group in 0..superblock.groups() {
            let (_, count) = self.group_blocks(group)?;
            let free = bitmap::free(&self.block_bitmap(group)?, count);
            blocks = checked::sum(blocks, free, "free blocks")?;
            let free = bitmap::free(&self.inode_bitmap(group)?, superblock.inodes_per_group());
            inodes = checked::sum(inodes, free, "free inodes")?;
        }
        Ok((blocks, inodes))
    }

    /// Refuses a filesystem whose superblock counts otherwise: what is put in would be counted from there on.
    pub fn check_free(&self) -> Result<()> {
        let free = self.free()?;
        let told = (self.superblock.free_blocks(), self.superblock.free_inodes());
        if free == told {
            return Ok(());
        }
        let found = format!("{} free blocks and {} free inodes", told.0, told.1);
        let expected = format!("{} and {}, as its groups have", free.0, free.1);
        Err(Error::malformed("ext4 superblock", self.window.start(), found, expected))
    }

    /// The group of an inode, and its place in the group's table.
    pub(crate) fn inode_group(&self, number: u64) -> Result<(u64, u64)> {
        let index = number.checked_sub(1).filter(|_| number <= self.superblock.inodes());
        let per_group = self.superblock.inodes_per_group();
        let place = index
            .and_then(|index| Some((index.checked_div(per_group)?, index.checked_rem(per_group)?)));
        place.ok_or_else(|| {
            let expected = format!("one of the {} inodes", self.superblock.inodes());
            self.fault("a pointer", 0, format!("inode {number}"), expected)
        })
    }

    /// The block with an inode, and where in it.
    pub(crate) fn inode_place(&self, number: u64) -> Result<(u64, usize)> {
        let (group, index) = self.inode_group(number)?;
        let at = checked::product(index, self.superblock.inode_size(), "an inode of a table")?;
        let size = self.superblock.block();
        let first = self.descriptor(group)?.inode_table();
        let block = first.checked_add(at.div_euclid(size)).ok_or_else(|| {
            let found = format!("an inode table at block {first}");
            self.fault("a group descriptor", 0, found, "a block of the filesystem")
        })?;
        Ok((block, usize_of(at.rem_euclid(size))))
    }

    /// An inode.
    pub fn inode(&self, number: u64) -> Result<Inode> {
        let (block, at) = self.inode_place(number)?;
        let bytes = self.block(block)?;
        let size = usize_of(self.superblock.inode_size());
        let bytes = checked::part(checked::part(&bytes, at.., "an inode")?, ..size, "an inode")?;
        Inode::parse(bytes, number, &self.superblock).map_err(self.in_block(block))
    }

    /// Where a file's bytes are.
    pub fn map(&self, inode: &Inode) -> Result<Map> {
        let mut map = Map::default();
        if inode.has_no_blocks() {
            return Ok(map);
        }
        if !inode.has_extents() {
            let what = format!("the ext4 inode {}", inode.number());
            return Err(Error::unsupported(what, "extents", "another kind of file"));
        }
        let root = inode.extent_root().as_slice();
        let (block, _) = self.inode_place(inode.number())?;
        let node = extent::node(root).map_err(self.in_block(block))?;
        let mut seen = BTreeSet::new();
        self.walk(inode, node, &mut map, &mut seen)?;
        let mut end = 0;
        for extent in &map.extents {
            let last = extent.start.checked_add(extent.blocks);
            let sound = extent.logical >= end
                && extent.blocks > 0
                && last.is_some_and(|last| last <= self.superblock.blocks());
            if !sound {
                let found = format!("{extent:?} of inode {}", inode.number());
                return Err(self.fault("extents", block, found, "extents in order, within"));
            }
            end = checked::sum(extent.logical, extent.blocks, "the end of an extent")?;
        }
        Ok(map)
    }

    fn walk(
        &self,
        inode: &Inode,
        node: Node,
        map: &mut Map,
        seen: &mut BTreeSet<u64>,
    ) -> Result<()> {
        let (blocks, depth) = match node {
            Node::Leaf(extents) => {
                map.extents.extend(extents);
                return Ok(());
            }
            Node::Index(blocks, depth) => (blocks, depth),
        };
        for block in blocks {
            let bytes = self.block(block)?;
            let intact =
                extent::is_intact(&bytes, self.superblock.block(), inode.seed(&self.superblock));
            let below = extent::node(&bytes).map_err(self.in_block(block))?;
            let own_depth = match &below {
                Node::Leaf(_) => 0,
                Node::Index(_, depth) => depth.saturating_add(1),
            };
            if !intact || own_depth != depth || !take_node(seen, block) {
                let found = format!("a node of inode {} that cannot be", inode.number());
                return Err(self.fault("extent tree", block, found, "an intact one, once"));
            }
            map.nodes.push(block);
            self.walk(inode, below, map, seen)?;
        }
        Ok(())
    }

    /// The bytes of a file, `limit` at the most. Holes read as zeros.
    pub fn read(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>> {
        if let Some(link) = inode.short_link() {
            return Ok(link.to_vec());
        }
        let size = inode.size();
        if size > limit {
            let what = format!("the ext4 inode {}", inode.number());
            return Err(Error::unsupported(
                what,
                format!("at most {limit} bytes"),
                size.to_string(),
            ));
        }
        let mut bytes = vec![0; usize_of(size)];
        let block = self.superblock.block();
        for extent in self.map(inode)?.extents.iter().filter(|extent| extent.written) {
            let start = checked::product(extent.logical, block, "the place of an extent")?;
            // Blocks behind the end of a file hold nothing of it.
            let Some(rest) = bytes.get_mut(usize_of(start)..) else { continue };
            let length = checked::product(extent.blocks, block, "the size of an extent")?;
            let length = length.min(u64_len(rest));
            let place = checked::part_mut(rest, ..usize_of(length), "the place of an extent")?;
            let at = extent.start.checked_mul(block);
            let at = at.and_then(|at| at.checked_add(self.window.start()));
            self.image.read_exact_at(place, at.ok_or_else(|| past_64_bits(u64::MAX))?)?;
        }
        Ok(bytes)
    }

    /// Blocks of a directory, by their numbers in it.
    pub(crate) fn directory_blocks(&self, inode: &Inode) -> Result<Vec<(u64, u64)>> {
        let count = inode.size().div_ceil(self.superblock.block());
        let what = || format!("the ext4 inode {}", inode.number());
        let found = || format!("{} of {} bytes", inode.kind().name(), inode.size());
        if inode.kind() != Kind::Directory || inode.is_odd() {
            return Err(Error::unsupported(what(), "a plain folder", found()));
        }
        if inode.size() > LARGEST_DIRECTORY {
            let most = format!("a folder of at most {LARGEST_DIRECTORY} bytes");
            return Err(Error::unsupported(what(), most, found()));
        }
        let mut found = Vec::new();
        for extent in self.map(inode)?.extents {
            let end = checked::sum(extent.start, extent.blocks, "the end of an extent")?;
            let blocks = (extent.logical..count).zip(extent.start..end);
            found.extend(blocks);
        }
        Ok(found)
    }

    /// The names in a directory that are in use.
    pub fn names(&self, inode: &Inode) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        for (_, block) in self.directory_blocks(inode)? {
            let entries = directory::entries(&self.block(block)?).map_err(self.in_block(block))?;
            found.extend(entries.into_iter().filter(|entry| entry.inode != 0));
        }
        Ok(found)
    }

    /// The inode that a name in a directory leads to.
    pub fn find(&self, inode: &Inode, name: &[u8]) -> Result<Option<u64>> {
        for (_, block) in self.directory_blocks(inode)? {
            let entries = directory::entries(&self.block(block)?).map_err(self.in_block(block))?;
            let found = entries.iter().find(|entry| entry.inode != 0 && entry.name == name);
            if let Some(entry) = found {
                return Ok(Some(entry.inode));
            }
        }
        Ok(None)
    }

    /// What stands under a path; no link is followed.
    pub fn lookup(&self, path: &str) -> Result<Option<Inode>> {
        let mut inode = self.inode(ROOT)?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if inode.kind() != Kind::Directory {
                return Ok(None);
            }
            let Some(number) = self.find(&inode, name.as_bytes())? else { return Ok(None) };
            inode = self.inode(number)?;
        }
        Ok(Some(inode))
    }

    /// The bytes of a regular file; none if there is no such file.
    pub fn file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let found = self.lookup(path)?.filter(|inode| inode.kind() == Kind::File);
        found.map(|inode| self.read(&inode, limit)).transpose()
    }
}

fn superblock_at(window: ByteRange) -> Option<ByteRange> {
    let at = ByteRange::new(window.start().checked_add(superblock::AT)?, superblock::SIZE)?;
    (at.end() <= window.end()).then_some(at)
}

/// Whether a block of an extent tree may be looked into: each once, and not too many.
fn take_node(seen: &mut BTreeSet<u64>, block: u64) -> bool {
    seen.insert(block) && seen.len() <= MOST_NODES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::ext4::inode;
    use crate::units::u64_len;

    /// Where the root filesystem of the small image begins.
    const ROOT_AT: u64 = 1 << 20;

    fn filesystem() -> Filesystem<Vec<u8>> {
        let packed = include_bytes!("../../tests/tiny/tiny-sd.img.zst");
        let image = zstd::decode_all(&packed[..]).unwrap();
        let window = ByteRange::between(ROOT_AT, u64_len(&image)).unwrap();
        Filesystem::open(image, window).unwrap()
    }

    fn made(filesystem: &Filesystem<Vec<u8>>, kind: Kind) -> Inode {
        Inode::new(20, kind, 0o644, (0, 0), filesystem.superblock()).unwrap()
    }

    #[test]
    fn a_link_in_its_inode_has_no_blocks_and_a_file_without_extents_is_not_supported() {
        let filesystem = filesystem();
        let mut link = made(&filesystem, Kind::Symlink);
        assert!(link.set_short_link(b"/etc", filesystem.superblock()).unwrap());
        assert_eq!(filesystem.map(&link).unwrap(), Map::default());
        let file = made(&filesystem, Kind::File);
        let fault = filesystem.map(&file).unwrap_err().to_string();
        assert!(fault.contains("another kind of file"), "{fault}");
    }

    #[test]
    fn extents_that_are_empty_or_lead_out_of_the_filesystem_are_wrong() {
        let filesystem = filesystem();
        let menu = filesystem.lookup("boot/extlinux/extlinux.conf").unwrap().unwrap();
        assert_eq!(filesystem.map(&menu).unwrap().extents.len(), 1);
        // Of the first extent: its length, and its block.
        for (at, bytes) in [(16, &[0, 0][..]), (20, &[255; 4])] {
            let mut root: [u8; inode::INLINE] = *menu.extent_root();
            root[at..at + bytes.len()].copy_from_slice(bytes);
            let mut wrong = menu.clone();
            wrong.set_extent_root(root);
            let fault = filesystem.map(&wrong).unwrap_err().to_string();
            assert!(fault.contains("extents in order, within"), "{at}: {fault}");
        }
    }

    #[test]
    fn folders_and_extent_trees_are_looked_into_up_to_a_size() {
        let filesystem = filesystem();
        let root = filesystem.inode(2).unwrap();
        for (over, is_refused) in [(0, false), (1, true)] {
            let mut root = root.clone();
            root.set_size(LARGEST_DIRECTORY + over, 1, filesystem.superblock()).unwrap();
            let fault = filesystem.directory_blocks(&root).err().map(|fault| fault.to_string());
            assert_eq!(fault.is_some(), is_refused, "{fault:?}");
            assert!(fault.is_none_or(|fault| fault.contains("at most 268435456 bytes")));
        }
        let mut seen = BTreeSet::new();
        assert!((0..4096).all(|block| take_node(&mut seen, block)));
        assert!(!take_node(&mut seen, 4096) && !take_node(&mut seen, 0));
    }
}
