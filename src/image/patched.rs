//! An image that is not written yet: a base with patches laid over it, readable as if it were.

use std::sync::Arc;

use bytes::Bytes;

use crate::checked;
use crate::error::{Error, Result};
use crate::image::{ImageFile, ReadAt, past_64_bits, truncated};
use crate::units::{ByteRange, u64_len, usize_of};

/// Where the bytes of a patch or piece come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// These bytes. Parts of them share their memory.
    Bytes(Bytes),
    /// The bytes of the base from this one on.
    Base(u64),
    /// The bytes of another file from this one on: read when they are wanted, never held whole.
    File(Arc<ImageFile>, u64),
    /// Zeros.
    Zeros,
}

#[cfg(feature = "netboot")]
impl Source {
    /// Whether both give the same bytes, as far as that is known without reading.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(one), Self::Bytes(two)) => one == two,
            (Self::Base(one), Self::Base(two)) => one == two,
            (Self::File(one, at), Self::File(two, there)) => Arc::ptr_eq(one, two) && at == there,
            (Self::Zeros, Self::Zeros) => true,
            _ => false,
        }
    }
}

/// New contents for a run of bytes of the image.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The bytes of the finished image that change.
    pub at: ByteRange,
    /// Their new contents.
    pub from: Source,
    /// What the change is for, as in `Volume Space Size`.
    pub why: String,
}

impl Patch {
    /// Puts `bytes` at byte `at`.
    pub fn bytes(at: u64, bytes: impl Into<Vec<u8>>, why: impl Into<String>) -> Result<Self> {
        let (bytes, why) = (Bytes::from(bytes.into()), why.into());
        let at = checked::range(at, u64_len(&bytes), &why)?;
        Ok(Self { at, from: Source::Bytes(bytes), why })
    }

    /// Whether an image has these bytes there. What does not come from memory is not read.
    pub(crate) fn shows_in(&self, image: &impl ReadAt) -> bool {
        match &self.from {
            Source::Bytes(bytes) => image
                .read_range("the image", self.at, u64_len(bytes))
                .is_ok_and(|read| read.as_slice() == &**bytes),
            // Its digest is in the manifest.
            Source::File(..) | Source::Base(_) | Source::Zeros => true,
        }
    }
}

/// A run of the finished image that comes from one place.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The bytes of the finished image.
    pub at: ByteRange,
    /// Where they come from.
    pub from: Source,
}

impl Piece {
    /// The part of this piece that lies in `range`, if there is one.
    fn cut(&self, range: ByteRange) -> Option<Result<Self>> {
        let at = self.at.common(range)?;
        Some(self.part(at).map(|from| Self { at, from }))
    }

    /// Where the bytes `at`, which are among those of this piece, come from.
    fn part(&self, at: ByteRange) -> Result<Source> {
        const WHAT: &str = "a part of a piece";
        let skipped = checked::difference(at.start(), self.at.start(), WHAT)?;
        Ok(match &self.from {
            Source::Zeros => Source::Zeros,
            Source::Base(start) => Source::Base(checked::sum(*start, skipped, WHAT)?),
            Source::File(file, start) => {
                Source::File(Arc::clone(file), checked::sum(*start, skipped, WHAT)?)
            }
            Source::Bytes(bytes) => {
                let rest = checked::part(bytes, usize_of(skipped).., WHAT)?;
                Source::Bytes(bytes.slice_ref(checked::part(rest, ..usize_of(at.size()), WHAT)?))
            }
        })
    }

    /// Whether these bytes stand at the same place in the base.
    pub fn stays(&self) -> bool {
        matches!(self.from, Source::Base(start) if start == self.at.start())
    }
}

/// A base with patches laid over it; reads as the finished image.
#[derive(Clone, Debug)]
pub struct PatchedImage<B> {
    base: B,
    /// Cover the image from 0 to its size without gap or overlap.
    pieces: Vec<Piece>,
    size: u64,
}

impl<B: ReadAt> PatchedImage<B> {
    /// The base as it is.
    pub fn whole(base: B) -> Self {
        let size = base.size();
        let piece = Piece { at: ByteRange::up_to(size), from: Source::Base(0) };
        Self { base, pieces: vec![piece], size }
    }

    /// Bytes of the finished image, in order and without gap. `Source::Base` counts in the base.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether it reads as its base.
    pub fn is_base(&self) -> bool {
        self.size == self.base.size() && self.pieces.iter().all(Piece::stays)
    }

    /// What lies below all patches.
    pub fn base(&self) -> &B {
        &self.base
    }

    /// Lays `patches` over this image and makes it `size` bytes long. What no patch covers stays, or
    /// is zero where nothing was. `Source::Base` of a patch counts in *this* image.
    ///
    /// # Errors
    /// Patches that overlap, or lie outside of the image or of what they copy.
    pub fn with(self, mut patches: Vec<Patch>, size: u64) -> Result<Self> {
        patches.sort_by_key(|patch| patch.at);
        let mut pieces = Vec::new();
        let mut done = 0;
        let mut last = "the image";
        for patch in &patches {
            let gap = ByteRange::between(done, patch.at.start())
                .filter(|_| patch.at.end() <= size)
                .ok_or_else(|| conflict(patch, last, size))?;
            pieces.extend(self.copied(gap)?);
            pieces.extend(self.resolved(patch)?);
            done = patch.at.end();
            last = &patch.why;
        }
        pieces.extend(self.copied(checked::between(done, size, "what no patch covers")?)?);
        Ok(Self { base: self.base, pieces, size })
    }

    /// The pieces of `range`, zeros where this image has ended.
    fn copied(&self, range: ByteRange) -> Result<Vec<Piece>> {
        let mut found = self.parts(range)?;
        let behind = ByteRange::between(range.start().max(self.size), range.end());
        if let Some(at) = behind.filter(|at| !at.is_empty()) {
            found.push(Piece { at, from: Source::Zeros });
        }
        Ok(found)
    }

    /// The parts of pieces that lie in `range`.
    fn parts(&self, range: ByteRange) -> Result<Vec<Piece>> {
        let first = self.pieces.partition_point(|piece| piece.at.end() <= range.start());
        let rest = self.pieces.iter().skip(first);
        let overlapping = rest.take_while(|piece| piece.at.start() < range.end());
        overlapping.filter_map(|piece| piece.cut(range)).collect()
    }

    /// Whether these bytes come from one place, in order and without anything between them. Nothing is read.
    #[cfg(feature = "netboot")]
    pub(crate) fn comes_from(&self, range: ByteRange, from: &Source) -> Result<bool> {
        let whole = Piece { at: range, from: from.clone() };
        for piece in self.parts(range)?.iter().filter(|piece| !piece.at.is_empty()) {
            if !whole.part(piece.at)?.is(&piece.from) {
                return Ok(false);
            }
        }
        Ok(range.end() <= self.size)
    }

    /// A patch as pieces that count in the base.
    fn resolved(&self, patch: &Patch) -> Result<Vec<Piece>> {
        let Source::Base(start) = patch.from else {
            return Ok(vec![Piece { at: patch.at, from: patch.from.clone() }]);
        };
        let wanted = ByteRange::new(start, patch.at.size())
            .filter(|range| range.end() <= self.size)
            .ok_or_else(|| truncated(&patch.why, patch.at, self.size))?;
        let moved = |piece: Piece| {
            let skipped = checked::difference(piece.at.start(), start, &patch.why)?;
            let at = checked::sum(patch.at.start(), skipped, &patch.why)?;
            let at = checked::range(at, piece.at.size(), &patch.why)?;
            Ok(Piece { at, from: piece.from })
        };
        self.copied(wanted)?.into_iter().map(moved).collect()
    }

    fn read_piece(&self, piece: &Piece, buf: &mut [u8]) -> Result<()> {
        match &piece.from {
            Source::Zeros => buf.fill(0),
            Source::Base(start) => self.base.read_exact_at(buf, *start)?,
            Source::File(file, start) => file.read_exact_at(buf, *start)?,
            Source::Bytes(bytes) => bytes.as_ref().read_exact_at(buf, 0)?,
        }
        Ok(())
    }
}

fn conflict(patch: &Patch, last: &str, size: u64) -> Error {
    let expected = format!("a place after {last} and before the end at {size:#x}");
    Error::malformed(
        patch.why.clone(),
        patch.at.start(),
        format!("a patch of {}", patch.at),
        expected,
    )
}

impl<B: ReadAt> ReadAt for PatchedImage<B> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        let range = ByteRange::new(at, u64_len(buf)).ok_or_else(|| past_64_bits(at))?;
        if range.end() > self.size {
            return Err(truncated("the image", range, self.size));
        }
        let mut rest = buf;
        for piece in self.parts(range)? {
            let parts = rest.split_at_mut_checked(usize_of(piece.at.size()));
            let (head, tail) = checked::present(parts, "the place of a piece")?;
            self.read_piece(&piece, head)?;
            rest = tail;
        }
        // Pieces cover the image without a gap, so nothing may be left.
        if rest.is_empty() { Ok(()) } else { Err(Error::bug(format!("no piece at {range}"))) }
    }

    /// The base, and every other file that bytes come from.
    fn check_unchanged(&self) -> Result<()> {
        self.base.check_unchanged()?;
        self.pieces.iter().try_for_each(|piece| match &piece.from {
            Source::File(file, _) => file.check_unchanged(),
            Source::Bytes(_) | Source::Base(_) | Source::Zeros => Ok(()),
        })
    }

    fn is_closed(&self) -> bool {
        self.base.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow, obvious way.
    fn patched(base: &[u8], patches: &[Patch], size: usize) -> Vec<u8> {
        let mut image = base.to_vec();
        image.resize(size, 0);
        for patch in patches {
            let at = usize_of(patch.at.start())..usize_of(patch.at.end());
            let new = match &patch.from {
                Source::Bytes(bytes) => bytes.to_vec(),
                Source::Base(start) => base[usize_of(*start)..][..at.len()].to_vec(),
                Source::File(file, start) => {
                    let range = ByteRange::new(*start, patch.at.size()).unwrap();
                    file.read_range("test", range, 1 << 20).unwrap()
                }
                Source::Zeros => vec![0; at.len()],
            };
            image[at].copy_from_slice(&new);
        }
        image
    }

    /// A file of 256 bytes that differ, without a name.
    fn file_of_bytes() -> Arc<ImageFile> {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..=255).collect();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        Arc::new(ImageFile::opened(file, "test").unwrap())
    }

    fn patch(kind: u8, start: u64, len: u64, from: u64, fill: u8) -> Patch {
        let at = ByteRange::new(start, len).unwrap();
        let from = match kind {
            0 => Source::Bytes(vec![fill; usize_of(len)].into()),
            1 => Source::Base(from),
            2 => Source::File(file_of_bytes(), from),
            _ => Source::Zeros,
        };
        Patch { at, from, why: "test".into() }
    }

    proptest! {
        #[test]
        fn reads_like_the_patched_bytes_also_over_itself(
            base in proptest::collection::vec(any::<u8>(), 300),
            first in (0..4_u8, 0..200_u64, 1..50_u64, 0..200_u64, any::<u8>()),
            second in (0..4_u8, 250..350_u64, 1..50_u64, 0..200_u64, any::<u8>()),
            third in (0..4_u8, 0..300_u64, 1..50_u64, 0..200_u64, any::<u8>()),
            (start, len) in (0..450_u64, 0..450_u64),
        ) {
            let once = vec![
                patch(first.0, first.1, first.2, first.3, first.4),
                patch(second.0, second.1, second.2, second.3, second.4),
            ];
            let twice = vec![patch(third.0, third.1, third.2, third.3, third.4)];
            let middle = patched(&base, &once, 400);
            let expected = patched(&middle, &twice, 420);
            let image = PatchedImage::whole(base).with(once, 400).unwrap().with(twice, 420).unwrap();
            let mut found = vec![0; usize_of(len)];
            let read = image.read_exact_at(&mut found, start);
            match expected.get(usize_of(start)..usize_of(start.saturating_add(len))) {
                Some(bytes) => prop_assert_eq!(found.as_slice(), bytes),
                None => prop_assert!(read.is_err()),
            }
            let joined: u64 = image.pieces().iter().map(|piece| piece.at.size()).sum();
            prop_assert_eq!(joined, 420);
        }
    }

    #[test]
    fn patches_that_overlap_or_lie_outside_are_refused() {
        let over = vec![patch(0, 10, 10, 0, 1), patch(0, 15, 10, 0, 2)];
        assert!(PatchedImage::whole(vec![0; 100]).with(over, 100).is_err());
        assert!(PatchedImage::whole(vec![0; 100]).with(vec![patch(0, 95, 10, 0, 1)], 100).is_err());
        assert!(PatchedImage::whole(vec![0; 100]).with(vec![patch(1, 0, 10, 95, 1)], 100).is_err());
    }
}
