//! Digests of an image's blocks, by which it can be verified later without its base. The manifest's own
//! bytes count as zeros, and so does what moving the backup GPT to the end of a larger disk changes
//! (UEFI 2.10 §5.3.2): the tables are checked against each other instead.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::image::digest::Digest;
use crate::image::partitions::Partitions;
use crate::image::patched::Composed;
use crate::progress::Progress;
use crate::units::{ByteRange, in_memory};

/// Bytes of a block.
pub const BLOCK: u64 = 4 << 20;

/// Blocks of the largest image that is read: 2^32 logical blocks.
const MOST_BLOCKS: usize = 1 << 21;

/// The digests of all blocks, in order. The last block may be shorter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Blocks {
    /// Bytes of a block.
    pub size: u64,
    /// SHA-256 of each block.
    pub sha256: Vec<String>,
}

/// What does not count in an image of `size` bytes: `own` bytes of the manifest, the header of the
/// primary GPT, and the room of the backup.
pub fn masked(own: Vec<ByteRange>, partitions: &Partitions, size: u64) -> Vec<ByteRange> {
    let mut masked = own;
    if let Some(gpt) = &partitions.gpt {
        let block = gpt.block();
        let room = gpt.array_blocks().saturating_add(1).saturating_mul(block);
        masked.extend(ByteRange::new(block, block));
        masked.extend(ByteRange::between(size.saturating_sub(room), size));
    }
    masked
}

impl Blocks {
    /// Those of a base, and the base's own digest, in one pass.
    pub fn of(base: &impl ReadAt, progress: &dyn Progress) -> Result<(Self, Digest)> {
        progress.begin("Hashing the base", base.size());
        let mut whole = Sha256::new();
        let mut sha256 = Vec::new();
        for at in ranges(base.size(), BLOCK) {
            if progress.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let bytes = base.read_range("the base", at, BLOCK)?;
            let digest = std::thread::scope(|scope| {
                let block = scope.spawn(|| hex(&bytes));
                whole.update(&bytes);
                block.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            sha256.push(digest);
            progress.advance(at.size());
        }
        progress.end();
        Ok((Self { size: BLOCK, sha256 }, Digest(whole.finalize().into())))
    }

    /// Those of an image over the base that these are of: only what differs is read.
    pub fn over<B: ReadAt>(&self, image: &Composed<B>, masked: &[ByteRange]) -> Result<Self> {
        let changed = self.changed(image, masked);
        let mut sha256 = Vec::new();
        for (number, at) in ranges(image.size(), self.size).enumerate() {
            match self.sha256.get(number).filter(|_| !changed.contains(&at.start())) {
                Some(known) => sha256.push(known.clone()),
                None => sha256.push(hex(&read_masked(image, at, masked)?)),
            }
        }
        Ok(Self { size: self.size, sha256 })
    }

    /// The first bytes of the blocks that are not as in the base, or not all of them there.
    fn changed<B: ReadAt>(&self, image: &Composed<B>, masked: &[ByteRange]) -> BTreeSet<u64> {
        let moved = image.pieces().iter().filter(|piece| !piece.stays()).map(|piece| piece.at);
        let end = ByteRange::between(image.base().size().min(image.size()), image.size());
        let mut changed = BTreeSet::new();
        for range in moved.chain(masked.iter().copied()).chain(end) {
            let first = range.start().checked_div(self.size).unwrap_or_default();
            let last = range.end().saturating_sub(1).checked_div(self.size).unwrap_or_default();
            changed.extend((first..=last).map(|number| number.saturating_mul(self.size)));
        }
        changed
    }

    /// Compares an image of `size` bytes, or a medium that begins with it.
    ///
    /// # Errors
    /// [`Error::Differs`] at the first block that differs.
    pub fn check(
        &self,
        image: &impl ReadAt,
        size: u64,
        masked: &[ByteRange],
        progress: &dyn Progress,
    ) -> Result<()> {
        let wanted = size.checked_div(self.size).filter(|_| self.size <= 64 << 20);
        let right =
            wanted.map(|_| size.div_ceil(self.size)) == u64::try_from(self.sha256.len()).ok();
        if !right || self.sha256.len() > MOST_BLOCKS {
            let found = format!("{} digests of {} bytes each", self.sha256.len(), self.size);
            return Err(Error::malformed(
                "the manifest",
                0,
                found,
                format!("those of {size} bytes"),
            ));
        }
        progress.begin("Verifying", size);
        for (at, expected) in ranges(size, self.size).zip(&self.sha256) {
            if progress.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let found = hex(&read_masked(image, at, masked)?);
            if found != *expected {
                return Err(Error::Differs {
                    what: format!("the block {at}"),
                    at: at.start(),
                    found: format!("SHA-256 {found}"),
                    expected: format!("{expected}, as the manifest says"),
                });
            }
            progress.advance(at.size());
        }
        progress.end();
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    Digest(Sha256::digest(bytes).into()).to_string()
}

fn ranges(size: u64, block: u64) -> impl Iterator<Item = ByteRange> {
    let starts = (0..size.checked_div(block).map_or(0, |_| size.div_ceil(block)))
        .map(move |number| number.saturating_mul(block));
    starts.filter_map(move |start| ByteRange::between(start, start.saturating_add(block).min(size)))
}

/// The bytes of a block, zeros where they are masked.
fn read_masked(image: &impl ReadAt, at: ByteRange, masked: &[ByteRange]) -> Result<Vec<u8>> {
    let mut bytes = image.read_range("a block", at, at.size())?;
    for hidden in masked.iter().filter_map(|hidden| hidden.common(at)) {
        let start = in_memory(hidden.start().saturating_sub(at.start()));
        let end = start.saturating_add(in_memory(hidden.size()));
        if let Some(hidden) = bytes.get_mut(start..end) {
            hidden.fill(0);
        }
    }
    Ok(bytes)
}
