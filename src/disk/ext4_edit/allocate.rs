//! Blocks and inodes that are free, taken and given back.

use super::{Ext4Editor, Run, blocks_of, no_room};
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::ext4::{bitmap, superblock};
use crate::image::ReadAt;
use crate::units::u64_len;

impl<I: ReadAt> Ext4Editor<'_, I> {
    /// Takes blocks that are free and zero: in one run if there is one, else in several. They begin in the
    /// group where some were taken last.
    pub(super) fn take_blocks(&mut self, count: u64) -> Result<Vec<Run>> {
        let groups = self.superblock.groups();
        let order: Vec<u64> = (self.group..groups).chain(0..self.group).collect();
        let mut pieces: Vec<Run> = Vec::new();
        for group in order.iter().filter(|_| count > 0) {
            let runs = self.usable(*group, count)?;
            if let Some(run) = runs.iter().find(|(_, length)| *length == count) {
                self.mark(*run)?;
                self.group = *group;
                return Ok(vec![*run]);
            }
            pieces.extend(runs);
        }
        self.take_pieces(&pieces, count)
    }

    /// Takes as many blocks of these runs, the first ones.
    fn take_pieces(&mut self, pieces: &[Run], count: u64) -> Result<Vec<Run>> {
        let mut found = Vec::new();
        let mut left = count;
        for (start, length) in pieces {
            let length = left.min(*length);
            if length > 0 {
                found.push((*start, length));
            }
            left = checked::difference(left, length, "blocks that are still wanted")?;
        }
        if left > 0 {
            let bytes = |blocks| checked::product(blocks, self.block_size(), "the bytes of blocks");
            let free = checked::difference(count, left, "blocks that are free")?;
            let what = "in blocks that are free and zero";
            return Err(no_room(what, bytes(count)?, bytes(free)?));
        }
        found.iter().try_for_each(|run| self.mark(*run))?;
        Ok(found)
    }

    /// Runs of free blocks full of zeros. Stops at the first run of the wanted length, cuts it to that, and puts it last.
    fn usable(&mut self, group: u64, wanted: u64) -> Result<Vec<Run>> {
        if self.seen().descriptor(group)?.free_blocks() == 0 {
            return Ok(Vec::new());
        }
        let bitmap = self.seen().block_bitmap(group)?;
        let (first, count) = self.base.group_blocks(group)?;
        let mut runs: Vec<Run> = Vec::new();
        // The block behind the last run.
        let mut end = None;
        for bit in (0..count).filter(|bit| !bitmap::is_set(&bitmap, *bit)) {
            let block = checked::sum(first, bit, "a block of a group")?;
            if !self.is_zero(block)? {
                continue;
            }
            match runs.last_mut().filter(|_| end == Some(block)) {
                Some((_, length)) => *length = checked::sum(*length, 1, "a run of blocks")?,
                None => runs.push((block, 1)),
            }
            end = Some(checked::sum(block, 1, "the end of a run of blocks")?);
            if runs.last().is_some_and(|(_, length)| *length == wanted) {
                break;
            }
        }
        Ok(runs)
    }

    /// Whether a free block is zero in the base, and was not given back.
    fn is_zero(&mut self, block: u64) -> Result<bool> {
        if self.stale.contains(&block) {
            return Ok(false);
        }
        let zero = self.base.block(block)?.iter().all(|byte| *byte == 0);
        if !zero {
            self.stale.insert(block);
        }
        Ok(zero)
    }

    /// Marks a run within one group as in use.
    fn mark(&mut self, run: Run) -> Result<()> {
        let blocks = blocks_of(&[run])?;
        self.taken.extend(&blocks);
        self.change_blocks(&blocks, true)
    }

    /// Gives blocks back. Nothing else gets them, as their bytes stay.
    pub(super) fn give_blocks(&mut self, blocks: &[u64]) -> Result<()> {
        self.stale.extend(blocks);
        self.change_blocks(blocks, false)
    }

    fn change_blocks(&mut self, blocks: &[u64], use_them: bool) -> Result<()> {
        let mut rest = blocks;
        while let Some(first) = rest.first() {
            let group = self.group_of(*first)?;
            let (start, count) = self.base.group_blocks(group)?;
            let end = checked::sum(start, count, "the end of a group")?;
            let own = rest.iter().take_while(|block| (start..end).contains(*block)).count();
            // The first one is in its own group, so that this comes to an end.
            checked::difference(own, 1, "the blocks of a group")?;
            let parts = rest.split_at_checked(own);
            let (own, others) = checked::present(parts, "the blocks of a group")?;
            self.change_in_group(group, own, use_them)?;
            rest = others;
        }
        Ok(())
    }

    fn group_of(&self, block: u64) -> Result<u64> {
        // Refuses blocks past the end.
        self.base.place(block)?;
        let first = self.superblock.first_data_block();
        let index = checked::difference(block, first, "a block of a group")?;
        let group = index.checked_div(self.superblock.blocks_per_group());
        checked::present(group, "the size of a group")
    }

    fn change_in_group(&mut self, group: u64, blocks: &[u64], use_them: bool) -> Result<()> {
        let (start, count) = self.base.group_blocks(group)?;
        let mut bitmap = self.seen().block_bitmap(group)?;
        for block in blocks {
            let bit = checked::difference(*block, start, "a block of a group")?;
            if bitmap::is_set(&bitmap, bit) == use_them {
                let both = ["a block in use", "a free block"];
                let [found, expected] = if use_them { both } else { [both[1], both[0]] };
                let at = self.base.place(*block)?.start();
                return Err(Error::malformed("ext4 block bitmap", at, found, expected));
            }
            if use_them {
                bitmap::set(&mut bitmap, bit)?;
            } else {
                bitmap::clear(&mut bitmap, bit)?;
            }
        }
        let mut descriptor = self.seen().descriptor(group)?;
        let free = bitmap::free(&bitmap, count);
        let (was, inodes) = (descriptor.free_blocks(), self.superblock.free_inodes());
        let sum = self.superblock.free_blocks().checked_add(free);
        let sum = sum.and_then(|sum| sum.checked_sub(was));
        self.superblock.set_free(sum.ok_or_else(|| self.counts())?, inodes)?;
        descriptor.set_free_blocks(free)?;
        descriptor.sign_block_bitmap(&bitmap, &self.superblock);
        self.blocks.write(descriptor.block_bitmap(), bitmap)?;
        self.write_descriptor(group, &descriptor)
    }

    fn counts(&self) -> Error {
        let at = [self.base.window().start(), superblock::AT].into_iter().sum();
        let expected = "as much as all groups have";
        Error::malformed("ext4 superblock", at, "less free than its groups", expected)
    }

    /// Takes a free inode, in a group or behind it.
    pub(super) fn take_inode(&mut self, group: u64, directory: bool) -> Result<u64> {
        let groups = self.superblock.groups();
        let order: Vec<u64> = (group..groups).chain(0..group.min(groups)).collect();
        for group in order {
            if self.seen().descriptor(group)?.free_inodes() == 0 {
                continue;
            }
            let bitmap = self.seen().inode_bitmap(group)?;
            // Inodes are counted from 1.
            let per_group = self.superblock.inodes_per_group();
            let before = checked::product(group, per_group, "the inodes of groups")?;
            let first = checked::sum(before, 1, "the first inode of a group")?;
            let free = |(bit, number): &(u64, u64)| {
                !bitmap::is_set(&bitmap, *bit) && *number >= self.superblock.first_inode()
            };
            if let Some((bit, number)) = (0..per_group).zip(first..).find(free) {
                self.change_inode(group, bit, (true, directory))?;
                return Ok(number);
            }
        }
        Err(Error::NoRoom {
            what: "the inode tables of the image's root filesystem".into(),
            needed: self.superblock.inode_size(),
            free: 0,
        })
    }

    /// Gives the inode of a file back.
    pub(super) fn give_inode(&mut self, number: u64) -> Result<()> {
        let (group, bit) = self.base.inode_group(number)?;
        self.change_inode(group, bit, (false, false))?;
        let (block, at) = self.base.inode_place(number)?;
        let zeros = vec![0; crate::units::usize_of(self.superblock.inode_size())];
        self.write_part(block, at, &zeros)
    }

    fn change_inode(
        &mut self,
        group: u64,
        bit: u64,
        (used, directory): (bool, bool),
    ) -> Result<()> {
        let mut bitmap = self.seen().inode_bitmap(group)?;
        if bitmap::is_set(&bitmap, bit) == used {
            let at = self.base.window().start();
            let (is, expected) =
                if used { ("in use", "a free one") } else { ("free", "one in use") };
            let found = format!("inode {bit} of group {group} {is}");
            return Err(Error::malformed("ext4 inode bitmap", at, found, expected));
        }
        let mut descriptor = self.seen().descriptor(group)?;
        let per_group = self.superblock.inodes_per_group();
        let (free, blocks) = (self.superblock.free_inodes(), self.superblock.free_blocks());
        let sum = if used {
            bitmap::set(&mut bitmap, bit)?;
            let from = checked::difference(per_group, bit, "an inode of a group")?;
            let behind = checked::difference(from, 1, "an inode of a group")?;
            descriptor.set_unused_inodes(descriptor.unused_inodes().min(behind))?;
            free.checked_sub(1)
        } else {
            bitmap::clear(&mut bitmap, bit)?;
            free.checked_add(1)
        };
        self.superblock.set_free(blocks, sum.ok_or_else(|| self.counts())?)?;
        descriptor.set_free_inodes(bitmap::free(&bitmap, per_group))?;
        if directory {
            let more = checked::sum(descriptor.directories(), 1, "the folders of a group")?;
            descriptor.set_directories(more)?;
        }
        descriptor.sign_inode_bitmap(&bitmap, &self.superblock);
        debug_assert_eq!(u64_len(&bitmap), self.block_size());
        self.blocks.write(descriptor.inode_bitmap(), bitmap)?;
        self.write_descriptor(group, &descriptor)
    }
}
