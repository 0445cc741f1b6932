//! Digests of an image's blocks, by which it can be verified later without its base. The manifest's own
//! bytes count as zeros, and so does what moving the backup GPT to the end of a larger disk changes
//! (UEFI 2.10 §5.3.2): the tables are checked against each other instead.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use crate::checked;
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::image::digest::Digest;
use crate::image::partitions::Partitions;
use crate::image::patched::PatchedImage;
use crate::progress::Progress;
use crate::threads;
use crate::units::{ByteRange, usize_of};

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
    #[serde(deserialize_with = "digests")]
    pub sha256: Vec<String>,
}

/// Digests alone: a shorter text would take many times its bytes.
fn digests<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let digests = Vec::<Digest>::deserialize(from)?;
    Ok(digests.iter().map(Digest::to_string).collect())
}

/// What does not count in an image of `size` bytes: `own` bytes of the manifest, the header of the
/// primary GPT, and the room of the backup.
///
/// # Errors
/// [`Error::Malformed`] where the backup would be larger than the image: all of it would count for nothing.
pub fn masked(own: Vec<ByteRange>, partitions: &Partitions, size: u64) -> Result<Vec<ByteRange>> {
    let mut masked = own;
    if let Some(gpt) = &partitions.gpt {
        let block = gpt.block();
        let blocks = checked::sum(gpt.array_blocks(), 1, "the backup GPT")?;
        let room = checked::product(blocks, block, "the backup GPT")?;
        let start = size.checked_sub(room).ok_or_else(|| {
            let expected = format!("less than the image, which has {size}");
            Error::malformed("GPT header", block, format!("a table of {room} bytes"), expected)
        })?;
        masked.push(checked::range(block, block, "the GPT header")?);
        masked.push(checked::between(start, size, "the backup GPT")?);
    }
    Ok(masked)
}

impl Blocks {
    /// Those of a base, and the base's own digest, in one pass.
    pub fn compute(base: &impl ReadAt, progress: &dyn Progress) -> Result<(Self, Digest)> {
        progress.begin("hash", base.size());
        let mut whole = Sha256::new();
        let mut sha256 = Vec::new();
        for at in ByteRange::up_to(base.size()).steps(BLOCK) {
            if progress.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let bytes = base.read_range("the base", at, BLOCK)?;
            let digest = std::thread::scope(|scope| -> Result<String> {
                let block = threads::start(scope, || digest(&bytes))?;
                whole.update(&bytes);
                Ok(threads::end(block))
            })?;
            sha256.push(digest);
            progress.advance(at.size());
        }
        progress.end();
        base.check_unchanged()?;
        Ok((Self { size: BLOCK, sha256 }, Digest(whole.finalize().into())))
    }

    /// Those of an image over the base that these are of: only what differs is read.
    pub fn over<B: ReadAt>(&self, image: &PatchedImage<B>, masked: &[ByteRange]) -> Result<Self> {
        let changed = self.changed(image, masked)?;
        let mut sha256 = Vec::new();
        for (number, at) in ByteRange::up_to(image.size()).steps(self.size).enumerate() {
            match self.sha256.get(number).filter(|_| !changed.contains(&at.start())) {
                Some(known) => sha256.push(known.clone()),
                None => sha256.push(digest(&read_masked(image, at, masked)?)),
            }
        }
        Ok(Self { size: self.size, sha256 })
    }

    /// The first bytes of the blocks that are not as in the base, or not all of them there.
    fn changed<B: ReadAt>(
        &self,
        image: &PatchedImage<B>,
        masked: &[ByteRange],
    ) -> Result<BTreeSet<u64>> {
        let moved = image.pieces().iter().filter(|piece| !piece.stays()).map(|piece| piece.at);
        let (before, now) = (image.base().size(), image.size());
        let last = checked::round_down(before.min(now), self.size, "the last block of the base")?;
        let behind = checked::between(last, now, "what is behind the base")?;
        let behind = Some(behind).filter(|_| before != now);
        let all = moved.chain(masked.iter().copied()).chain(behind);
        let parts = all.flat_map(|range| range.steps(self.size));
        parts.map(|part| checked::round_down(part.start(), self.size, "a block")).collect()
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
        if !are_all(self.sha256.len(), self.size, size) {
            let found = format!("{} digests of {} bytes each", self.sha256.len(), self.size);
            return Err(Error::malformed(
                "the manifest",
                0,
                found,
                format!("those of {size} bytes"),
            ));
        }
        progress.begin("verify", size);
        for (at, expected) in ByteRange::up_to(size).steps(self.size).zip(&self.sha256) {
            if progress.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let found = digest(&read_masked(image, at, masked)?);
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

/// Whether so many digests are those of all blocks of an image of `size` bytes.
fn are_all(digests: usize, block: u64, size: u64) -> bool {
    let is_block = block > 0 && block <= 64 << 20;
    is_block && digests <= MOST_BLOCKS && u64::try_from(digests) == Ok(size.div_ceil(block))
}

fn digest(bytes: &[u8]) -> String {
    Digest::of_bytes(bytes).to_string()
}

/// The bytes of a block, zeros where they are masked.
fn read_masked(image: &impl ReadAt, at: ByteRange, masked: &[ByteRange]) -> Result<Vec<u8>> {
    let mut bytes = image.read_range("a block", at, at.size())?;
    for hidden in masked.iter().filter_map(|hidden| hidden.common(at)) {
        let start = checked::difference(hidden.start(), at.start(), "what is masked")?;
        let rest = checked::part_mut(&mut bytes, usize_of(start).., "what is masked")?;
        checked::part_mut(rest, ..usize_of(hidden.size()), "what is masked")?.fill(0);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_a_digest_for_each_block_and_so_many_at_most() {
        let of_bytes = |digests: usize| are_all(digests, 1, u64::try_from(digests).unwrap());
        assert!(of_bytes(MOST_BLOCKS) && !of_bytes(MOST_BLOCKS + 1));
        for (digests, block, size, right) in [
            (2, 4, 8, true),
            (2, 4, 9, false),
            (3, 4, 9, true),
            (3, 4, 8, false),
            (1, 64 << 20, 1, true),
            (1, (64 << 20) + 1, 1, false),
            (1, 0, 1, false),
        ] {
            assert_eq!(are_all(digests, block, size), right, "{digests} of {block}");
        }
    }
}
