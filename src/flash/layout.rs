//! What a medium is meant to hold: one description, by which it is written, compared and verified.
//!
//! ```text
//! | head: first mebibyte, its GPT changed | plain: bytes of the image | tail: backup GPT |
//! ```
//! The image has a backup GPT of its own at its end. On a medium that is hardly larger than the image
//! the moved one lies over it, so the image ends where the tail begins.

use memmap2::MmapMut;

use super::buffer::{HEAD, aligned};
use super::medium::Medium;
use crate::checked;
use crate::error::Result;
use crate::formats::gpt_backup::{MovedBackup, move_backup};
use crate::image::ReadAt;
use crate::target::Refusal;
use crate::units::{ByteRange, beyond, u64_len, usize_of};

/// Where everything on a medium comes from.
pub(super) struct Layout {
    head: MmapMut,
    /// Bytes of the head that are in use, a multiple of the block size.
    used: u64,
    tail: Option<BackupTail>,
    /// The medium, for errors.
    medium: String,
    block: u64,
}

/// The end of the disk.
struct BackupTail {
    /// Where [`Self::bytes`] begin: at the backup GPT, or before it where the last bytes of the image
    /// share a chunk with it.
    at: u64,
    bytes: Vec<u8>,
    moved: MovedBackup,
}

impl Layout {
    /// Of an image that begins with `head` (a mebibyte, or all of it), and has `size` bytes as far as
    /// that is known. With `exact`, its backup GPT stays where it is.
    ///
    /// # Errors
    /// A GPT with wrong checksums; a medium where its backup would lie over what the image holds.
    pub(super) fn new(
        head: &[u8],
        size: Option<u64>,
        medium: &dyn Medium,
        exact: bool,
    ) -> Result<Self> {
        let mut held = aligned(HEAD)?;
        checked::part_mut(&mut held, ..head.len(), "the head of an image")?.copy_from_slice(head);
        let used =
            checked::round_up(u64_len(head), medium.block(), "the end of the head")?.min(HEAD);
        let moved = match medium.size().filter(|_| !exact) {
            Some(disk) => {
                let place = checked::part_mut(&mut held, ..usize_of(used), "the head in use")?;
                move_backup(place, disk, medium.block())?
            }
            None => None,
        };
        let used = moved.as_ref().map_or(used, |moved| used.min(moved.at));
        let tail =
            moved.map(|moved| BackupTail { at: moved.at, bytes: moved.bytes.clone(), moved });
        let layout = Self { head: held, used, tail, medium: medium.name(), block: medium.block() };
        // An image of unknown size ends where its own backup does, until more of it comes.
        let own_end = layout.tail.as_ref().map_or(0, |tail| tail.moved.own_end);
        layout.check_room(size.unwrap_or(own_end))?;
        Ok(layout)
    }

    /// The first mebibyte, as far as it is in use, in whole blocks.
    pub(super) fn head(&self) -> Result<&[u8]> {
        checked::part(&self.head, ..usize_of(self.used), "the head in use")
    }

    /// The same without what is behind an image of `size` bytes.
    pub(super) fn head_of(&self, size: u64) -> Result<&[u8]> {
        checked::part(&self.head, ..usize_of(self.used.min(size)), "the head of the image")
    }

    /// What is simply bytes of the image, which has `size` bytes.
    pub(super) fn plain(&self, size: u64) -> Option<ByteRange> {
        let end = self.tail.as_ref().map_or(size, |tail| size.min(tail.at));
        ByteRange::between(self.used, end).filter(|plain| !plain.is_empty())
    }

    /// The end of the disk, if something belongs there.
    pub(super) fn tail(&self) -> Option<Placed<'_>> {
        self.tail.as_ref().map(|tail| Placed { at: tail.at, bytes: &tail.bytes })
    }

    /// Where the backup GPT goes, if it moves.
    pub(super) fn backup_at(&self) -> Option<u64> {
        self.tail.as_ref().map(|tail| tail.moved.at)
    }

    /// Takes `bytes` of the image at `at`, a multiple of [`HEAD`], into the tail if the tail begins
    /// among them. Answers how many of them are plain.
    ///
    /// # Errors
    /// The image goes on behind its own backup GPT, and the moved one would lie over that.
    pub(super) fn take(&mut self, at: u64, bytes: &[u8]) -> Result<u64> {
        let end = checked::sum(at, u64_len(bytes), "the end of a chunk")?;
        self.check_room(end)?;
        let Some(tail) = self.tail.as_mut().filter(|tail| tail.moved.at < end) else {
            return Ok(u64_len(bytes));
        };
        if tail.moved.at > at {
            let before =
                usize_of(checked::difference(tail.moved.at, at, "what is before the tail")?);
            let before = checked::part(bytes, ..before, "what is before the tail")?;
            tail.bytes = [before, &tail.moved.bytes].concat();
            tail.at = at;
        }
        Ok(0)
    }

    /// Whether the tail lies over nothing but the backup GPT of an image that has `end` bytes or more.
    fn check_room(&self, end: u64) -> Result<()> {
        let Some(BackupTail { moved, .. }) = &self.tail else { return Ok(()) };
        let behind = checked::round_up(end, self.block, "the end of the image")?;
        let first = if end > moved.own_end { behind.max(moved.first) } else { moved.first };
        if moved.at >= first {
            return Ok(());
        }
        let size = u64_len(&moved.bytes);
        let has = checked::sum(moved.at, size, "the end of the backup GPT")?;
        let refusal = if behind > has {
            Refusal::TooSmall { has, needs: behind }
        } else {
            Refusal::NoRoomForTable { has, needs: checked::sum(first, size, "the backup GPT")? }
        };
        Err(refusal.error(&self.medium))
    }
}

/// Bytes that stand at an address of the medium.
pub(super) struct Placed<'a> {
    pub(super) at: u64,
    pub(super) bytes: &'a [u8],
}

impl Placed<'_> {
    /// Where they stand.
    pub(super) fn range(&self) -> Result<ByteRange> {
        checked::range(self.at, u64_len(self.bytes), "bytes of the medium")
    }
}

impl ReadAt for Placed<'_> {
    fn size(&self) -> u64 {
        self.at.saturating_add(u64_len(self.bytes))
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        // Nobody reads below the bytes, except a search through everything.
        let zeros = usize_of(beyond(self.at, at)).min(buf.len());
        let (before, inside) = buf.split_at_mut(zeros);
        before.fill(0);
        self.bytes.read_exact_at(inside, beyond(at, self.at).min(u64_len(self.bytes)))
    }

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
}
