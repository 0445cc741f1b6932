//! New files in an ext4 filesystem: blocks of it that change, in memory. Only blocks that are free and
//! zero are taken, and what was a file before is left where it is, so that the filesystem can be had back
//! byte for byte from the few blocks of metadata that change.

mod allocate;
mod blocks;
mod tree;

use std::collections::BTreeSet;

use crate::checked;
use crate::disk::ext4::Filesystem;
use crate::error::{Error, Result};
use crate::formats::ext4::group::Descriptor;
use crate::formats::ext4::inode::Inode;
use crate::formats::ext4::superblock::{self, Superblock};
use crate::image::ReadAt;
use crate::image::patched::Patch;
use crate::units::{ByteRange, u64_len, usize_of};

use blocks::Blocks;

/// Blocks that follow each other: the first one, and how many.
type Run = (u64, u64);

/// A filesystem with changes.
#[derive(Debug)]
pub struct Ext4Editor<'a, I> {
    base: Filesystem<&'a I>,
    blocks: Blocks<'a, I>,
    superblock: Superblock,
    /// Blocks that were free.
    taken: BTreeSet<u64>,
    /// Free blocks that are not zero.
    stale: BTreeSet<u64>,
    /// The group in which blocks were taken last.
    group: u64,
}

impl<'a, I: ReadAt> Ext4Editor<'a, I> {
    /// Begins to change a filesystem.
    pub fn new(image: &'a I, base: &Filesystem<&'a I>) -> Self {
        let superblock = base.superblock().clone();
        Self {
            blocks: Blocks::new(image, base.window().start(), superblock.block()),
            base: base.clone(),
            superblock,
            taken: BTreeSet::new(),
            stale: BTreeSet::new(),
            group: 0,
        }
    }

    /// The filesystem with its changes.
    fn seen(&self) -> Filesystem<&Blocks<'a, I>> {
        self.base.seen_through(&self.blocks)
    }

    fn block_size(&self) -> u64 {
        self.superblock.block()
    }

    /// Gives a part of a block new contents.
    fn write_part(&mut self, block: u64, at: usize, new: &[u8]) -> Result<()> {
        let mut bytes = self.seen().block(block)?;
        let rest = checked::part_mut(&mut bytes, at.., "a part of a block")?;
        checked::part_mut(rest, ..new.len(), "a part of a block")?.copy_from_slice(new);
        self.blocks.write(block, bytes)?;
        Ok(())
    }

    fn write_descriptor(&mut self, group: u64, descriptor: &Descriptor) -> Result<()> {
        let (block, at) = self.base.descriptor_place(group)?;
        self.write_part(block, at, &descriptor.to_bytes(&self.superblock))
    }

    fn write_inode(&mut self, inode: &Inode) -> Result<()> {
        let (block, at) = self.base.inode_place(inode.number())?;
        self.write_part(block, at, &inode.to_bytes(&self.superblock))
    }

    /// All changes as patches of the image, without those of `apart`: blocks whose bytes are given by
    /// somebody else. Blocks that were free come first.
    pub fn patches(mut self, apart: &BTreeSet<u64>) -> Result<Changes> {
        // Blocks have 1 KiB or more.
        let block = superblock::AT.div_euclid(self.block_size());
        let at = superblock::AT.rem_euclid(self.block_size());
        let bytes = self.superblock.to_bytes();
        self.write_part(block, usize_of(at), &bytes)?;
        let mut changes = Changes::default();
        for (block, bytes) in self.blocks.changed().filter(|(block, _)| !apart.contains(block)) {
            let at = self.base.place(block)?;
            if self.taken.contains(&block) {
                push(&mut changes.new, at, bytes);
            } else if self.base.block(block)? != bytes {
                push(&mut changes.metadata, at, bytes);
            }
        }
        Ok(changes)
    }
}

/// What changes in an image.
#[derive(Debug, Default)]
pub struct Changes {
    /// In blocks that were free, and zero.
    pub new: Vec<(ByteRange, Vec<u8>)>,
    /// In blocks that were in use.
    pub metadata: Vec<(ByteRange, Vec<u8>)>,
}

impl Changes {
    /// As patches.
    pub(crate) fn into_patches(self) -> Result<Vec<Patch>> {
        let all = [(self.new, "files"), (self.metadata, "ext4 metadata")];
        let mut patches = Vec::new();
        for (ranges, why) in all {
            for (at, bytes) in ranges {
                patches.push(Patch::bytes(at.start(), bytes, why)?);
            }
        }
        Ok(patches)
    }
}

/// Joins what follows each other.
fn push(found: &mut Vec<(ByteRange, Vec<u8>)>, at: ByteRange, bytes: &[u8]) {
    if let Some((last, joined)) = found.last_mut()
        && last.end() == at.start()
    {
        *last = last.grown_to(at.end());
        joined.extend(bytes);
        return;
    }
    found.push((at, bytes.to_vec()));
}

/// The filesystem has no more blocks for this.
fn no_room(what: &str, needed: u64, free: u64) -> Error {
    Error::NoRoom { what: format!("the root filesystem of the image, {what}"), needed, free }
}

/// Blocks for so many bytes.
fn blocks_for(bytes: &[u8], block: u64) -> u64 {
    u64_len(bytes).div_ceil(block)
}

/// The blocks of runs, in their order.
fn blocks_of(runs: &[Run]) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for (start, length) in runs {
        found.extend(*start..checked::sum(*start, *length, "a run of blocks")?);
    }
    Ok(found)
}
