//! Files, folders and links put into a filesystem, in place of what stood there.

use super::{Ext4Editor, Run, blocks_for, blocks_of, no_room};
use crate::checked;
use crate::disk::ext4::Map;
use crate::error::{Error, Result};
use crate::formats::ext4::directory::{self, Block, Target};
use crate::formats::ext4::extent::{self, Extent};
use crate::formats::ext4::inode::{Inode, Kind, ROOT};
use crate::formats::newc::{self, Member};
use crate::image::ReadAt;
use crate::units::{u64_len, u64_of, usize_of};

impl<I: ReadAt> Ext4Editor<'_, I> {
    /// Puts something in, and tells which blocks have its bytes. The folder it goes into must be there. A
    /// file or link takes the place of one; a folder that is there gets mode and owner.
    ///
    /// # Errors
    /// [`Error::NoRoom`], and [`Error::Unsupported`] where the place is a folder that should be a file, the
    /// other way round, or below a link.
    pub fn put(&mut self, member: &Member) -> Result<Vec<Run>> {
        let (above, name) = member.path.rsplit_once('/').unwrap_or(("", &member.path));
        let parent = self.folder(above, &member.path)?;
        if name.len() > directory::LONGEST_NAME {
            let found = format!("{} bytes", name.len());
            return Err(Error::unsupported(
                format!("/{}", member.path),
                "255 bytes of name",
                found,
            ));
        }
        let there = self.seen().find(&parent, name.as_bytes())?;
        let there = there.map(|number| self.seen().inode(number)).transpose()?;
        let is_folder = |inode: &Inode| inode.kind() == Kind::Directory;
        match (&member.kind, there) {
            (newc::Kind::Directory, None) => self.make_folder(parent, name, member),
            (newc::Kind::Directory, Some(mut there)) if is_folder(&there) => {
                there.set_access(member.mode, member.owner);
                self.write_inode(&there)?;
                Ok(Vec::new())
            }
            (newc::Kind::File(_) | newc::Kind::Symlink(_), None) => {
                self.make_file(parent, name, member, None)
            }
            (newc::Kind::File(_) | newc::Kind::Symlink(_), Some(there)) if !is_folder(&there) => {
                self.make_file(parent, name, member, Some(there))
            }
            (kind, Some(there)) => {
                let wanted = match kind {
                    newc::Kind::Directory => "a folder or nothing",
                    _ => "a file, a link or nothing",
                };
                let what = format!("/{} in the image", member.path);
                Err(Error::unsupported(what, wanted, there.kind().name()))
            }
        }
    }

    /// The folder something goes into; no link is followed.
    fn folder(&self, path: &str, member: &str) -> Result<Inode> {
        let mut inode = self.seen().inode(ROOT)?;
        let mut so_far = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            so_far.push('/');
            so_far.push_str(name);
            let found = self.seen().find(&inode, name.as_bytes())?;
            let found = found.map(|number| self.seen().inode(number)).transpose()?;
            inode = match found {
                Some(found) if found.kind() == Kind::Directory => found,
                other => {
                    let what = format!("{so_far} in the image, for /{member}");
                    let found = other.map_or("nothing", |inode| inode.kind().name());
                    return Err(Error::unsupported(what, "a folder", found));
                }
            };
        }
        Ok(inode)
    }

    fn make_folder(&mut self, mut parent: Inode, name: &str, member: &Member) -> Result<Vec<Run>> {
        let (group, _) = self.base.inode_group(parent.number())?;
        let number = self.take_inode(group, true)?;
        let mut inode =
            Inode::new(number, Kind::Directory, member.mode, member.owner, &self.superblock)?;
        inode.set_links(2);
        let runs = self.take_blocks(1)?;
        let seed = inode.seed(&self.superblock);
        let block = directory::first(self.block_size(), number, parent.number(), seed)?;
        self.fill(&runs, &block)?;
        self.set_map(&mut inode, &runs, self.block_size())?;
        self.write_inode(&inode)?;
        parent
            .add_subdirectory(&self.superblock)
            .ok_or_else(|| no_room("in the links of a folder", 1, 0))?;
        self.write_inode(&parent)?;
        self.link(parent, name, &inode)?;
        Ok(runs)
    }

    fn make_file(
        &mut self,
        parent: Inode,
        name: &str,
        member: &Member,
        there: Option<Inode>,
    ) -> Result<Vec<Run>> {
        let (kind, bytes) = match &member.kind {
            newc::Kind::Symlink(to) => (Kind::Symlink, to.as_bytes()),
            newc::Kind::File(bytes) => (Kind::File, bytes.as_slice()),
            newc::Kind::Directory => return Err(Error::bug("a folder is to be made a file")),
        };
        if kind == Kind::Symlink && u64_len(bytes) >= self.block_size() {
            let found = format!("{} bytes", bytes.len());
            return Err(Error::unsupported(format!("the link /{}", member.path), "a path", found));
        }
        let (group, _) = self.base.inode_group(parent.number())?;
        let number = self.take_inode(group, false)?;
        let mut inode = Inode::new(number, kind, member.mode, member.owner, &self.superblock)?;
        let mut runs = Vec::new();
        if kind != Kind::Symlink || !inode.set_short_link(bytes, &self.superblock)? {
            runs = self.take_blocks(blocks_for(bytes, self.block_size()))?;
            self.fill(&runs, bytes)?;
            self.set_map(&mut inode, &runs, u64_len(bytes))?;
        }
        self.write_inode(&inode)?;
        match there {
            None => self.link(parent, name, &inode)?,
            Some(old) => {
                self.link_anew(&parent, name, &inode)?;
                self.unlink(old)?;
            }
        }
        Ok(runs)
    }

    /// Writes bytes into blocks.
    fn fill(&mut self, runs: &[Run], bytes: &[u8]) -> Result<()> {
        let mut parts = bytes.chunks(usize_of(self.block_size()));
        for block in blocks_of(runs)? {
            let part = checked::present(parts.next(), "bytes for a block")?;
            self.blocks.write(block, part.to_vec())?;
        }
        match parts.next() {
            None => Ok(()),
            Some(_) => Err(Error::bug("there are more bytes than blocks for them")),
        }
    }

    /// Makes a new file of these blocks.
    fn set_map(&mut self, inode: &mut Inode, runs: &[Run], size: u64) -> Result<()> {
        let mut logical = 0;
        let mut extents = Vec::new();
        for (start, blocks) in runs {
            extents.push(Extent { logical, start: *start, blocks: *blocks, written: true });
            logical = checked::sum(logical, *blocks, "the blocks of a file")?;
        }
        self.write_map(inode, Map { extents, nodes: Vec::new() }, size)
    }

    /// Has these extents lead to the bytes of a file, through a node if they are many.
    fn write_map(&mut self, inode: &mut Inode, map: Map, size: u64) -> Result<()> {
        let extents =
            checked::present(extent::joined_up(&map.extents), "extents that can be joined")?;
        let mut map = Map { extents, ..map };
        let root = extent::root(&map.extents).filter(|_| map.nodes.is_empty());
        let root = if let Some(root) = root {
            root
        } else {
            if map.nodes.is_empty() {
                map.nodes.extend(self.take_blocks(1)?.iter().map(|(start, _)| *start));
            }
            let [node] = map.nodes.as_slice() else {
                let what = format!("the extents of ext4 inode {}", inode.number());
                let found = format!("{} nodes", map.nodes.len());
                return Err(Error::unsupported(what, "one node at the most", found));
            };
            let seed = inode.seed(&self.superblock);
            let leaf = extent::leaf(&map.extents, self.block_size(), seed);
            let bytes = |number: usize| checked::product(u64_of(number), 12, "a node of extents");
            let needed = bytes(map.extents.len())?;
            let room = bytes(extent::in_block(self.block_size()))?;
            let what = "in a node of extents, as what is free is in many pieces";
            let leaf = leaf.ok_or_else(|| no_room(what, needed, room))?;
            self.blocks.write(*node, leaf)?;
            checked::present(extent::root_above(*node), "the number of a block")?
        };
        inode.set_extent_root(root);
        inode.set_size(size, map.blocks()?, &self.superblock)?;
        Ok(())
    }

    /// Puts a name into a directory, which becomes a plain list.
    fn link(&mut self, mut parent: Inode, name: &str, inode: &Inode) -> Result<()> {
        if parent.is_hashed() {
            self.make_plain(&mut parent)?;
        }
        let to = target(inode);
        if self.in_directory(&parent, |block| block.insert(name.as_bytes(), to))? {
            return Ok(());
        }
        let mut map = self.seen().map(&parent)?;
        let logical = parent.size().div_ceil(self.block_size());
        let runs = self.take_blocks(1)?;
        let (start, _) = *checked::present(runs.first(), "a block that was taken")?;
        let seed = parent.seed(&self.superblock);
        let mut bytes = directory::empty(self.block_size(), seed)?;
        let at = self.base.place(start)?.start();
        let took = Block { bytes: &mut bytes, at, seed }.insert(name.as_bytes(), to)?;
        checked::present(took.then_some(()), "room in an empty directory")?;
        self.blocks.write(start, bytes)?;
        map.extents.push(Extent { logical, start, blocks: 1, written: true });
        let blocks = checked::sum(logical, 1, "the blocks of a directory")?;
        let size = checked::product(blocks, self.block_size(), "the size of a directory")?;
        self.write_map(&mut parent, map, size)?;
        self.write_inode(&parent)
    }

    /// Has a name lead to another inode.
    fn link_anew(&mut self, parent: &Inode, name: &str, inode: &Inode) -> Result<()> {
        let to = target(inode);
        let took = self.in_directory(parent, |block| block.replace(name.as_bytes(), to))?;
        checked::present(took.then_some(()), "the name that was found in a directory")
    }

    /// Tries a change on each block of a directory until one takes it.
    fn in_directory(
        &mut self,
        inode: &Inode,
        change: impl Fn(&mut Block<'_>) -> Result<bool>,
    ) -> Result<bool> {
        let seed = inode.seed(&self.superblock);
        for (_, number) in self.seen().directory_blocks(inode)? {
            let old = self.seen().block(number)?;
            let at = self.base.place(number)?.start();
            let mut new = old.clone();
            if change(&mut Block { bytes: &mut new, at, seed })? {
                if !directory::is_intact(&old, seed) {
                    let found = "a wrong checksum";
                    return Err(Error::malformed("ext4 directory", at, found, "that of the block"));
                }
                self.blocks.write(number, new)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the hash index of a directory away: the kernel reads it as a list then, and e2fsck may index
    /// it again.
    fn make_plain(&mut self, inode: &mut Inode) -> Result<()> {
        let seed = inode.seed(&self.superblock);
        for (number, block) in self.seen().directory_blocks(inode)? {
            let at = self.base.place(block)?.start();
            let mut bytes = self.seen().block(block)?;
            Block { bytes: &mut bytes, at, seed }.make_plain(number)?;
            self.blocks.write(block, bytes)?;
        }
        inode.set_plain();
        self.write_inode(inode)
    }

    /// Takes a link of a file away, and the file with the last one.
    fn unlink(&mut self, mut inode: Inode) -> Result<()> {
        if inode.links() > 1 {
            inode.set_links(checked::difference(inode.links(), 1, "the links of a file")?);
            return self.write_inode(&inode);
        }
        if inode.is_odd() {
            let what = format!("the ext4 inode {}, which is to be replaced", inode.number());
            return Err(Error::unsupported(what, "no attributes outside of it", "a block of them"));
        }
        let map = self.seen().map(&inode)?;
        let runs: Vec<Run> =
            map.extents.iter().map(|extent| (extent.start, extent.blocks)).collect();
        let blocks = [blocks_of(&runs)?, map.nodes].concat();
        self.give_blocks(&blocks)?;
        self.give_inode(inode.number())
    }
}

/// What the name of an inode leads to.
fn target(inode: &Inode) -> Target {
    Target { inode: inode.number(), file_type: inode.kind().file_type() }
}
