//! Patches: an image made small by the base that it comes from, and made whole again over that base.

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::patch_file::{LARGEST_LITERALS, MOST_RUNS, PatchFile, PatchSource, Run};
use crate::image::digest::Digest;
use crate::image::patched::{Patch, PatchedImage, Piece, Source};
use crate::image::{ReadAt, past_64_bits};
use crate::output::Outgoing;
use crate::stamp::base_image::{BaseImage, Original};
use crate::stamp::privacy;
use crate::units::{ByteRange, u64_of};

/// The patch that makes an image from a base, whose digest is given, by these changes of it. The same
/// image over the same base gives the same patch, however the base was composed.
///
/// # Errors
/// An image with more new bytes than a patch may have; changes that do not fit.
pub fn make<B: ReadAt>(
    base: &B,
    changes: Vec<Patch>,
    size: u64,
    sha256: Digest,
) -> Result<PatchFile> {
    let image = &PatchedImage::whole(base).with(changes, size)?;
    let new = image.pieces().iter().map(|piece| match &piece.from {
        Source::Bytes(_) | Source::File(..) => piece.at.size(),
        Source::Base(_) | Source::Zeros => 0,
    });
    let new = new.into_iter().try_fold(0, |sum, size| checked::sum(sum, size, "new bytes"))?;
    if new > LARGEST_LITERALS {
        let looked_for = format!("one with at most {LARGEST_LITERALS} bytes that are new");
        let found = format!("one with {new}");
        return Err(Error::unsupported("the image, for a patch file", looked_for, found)
            .with_hint("write the image itself"));
    }
    let mut runs = Vec::new();
    for piece in image.pieces().iter().filter(|piece| !piece.at.is_empty()) {
        add(&mut runs, origin(image, piece)?, piece.at.size())?;
    }
    image.check_unchanged()?;
    Ok(PatchFile { base_size: base.size(), base_sha256: sha256.0, size, runs })
}

/// Where a patch takes the bytes of a piece from.
fn origin<B: ReadAt>(image: &PatchedImage<B>, piece: &Piece) -> Result<PatchSource> {
    Ok(match &piece.from {
        Source::Bytes(bytes) => PatchSource::Literal(bytes.clone()),
        Source::File(..) => {
            let bytes = image.read_range("the composed image", piece.at, LARGEST_LITERALS)?;
            PatchSource::Literal(bytes.into())
        }
        Source::Base(start) => PatchSource::Base(*start),
        Source::Zeros => PatchSource::Zeros,
    })
}

/// The file's bytes.
///
/// # Errors
/// More runs than a patch may have.
pub fn pack(patch: &PatchFile) -> Result<Vec<u8>> {
    if u64_of(patch.runs.len()) > u64::from(MOST_RUNS) {
        let looked_for = format!("one of at most {MOST_RUNS} pieces");
        let found = format!("one of {} pieces", patch.runs.len());
        return Err(Error::unsupported("the image, for a patch file", looked_for, found)
            .with_hint("write the image itself"));
    }
    checked::present(patch.pack(), "a patch file")
}

/// Adds bytes to the last run, if they go on with it.
fn add(runs: &mut Vec<Run>, from: PatchSource, size: u64) -> Result<()> {
    if let Some(last) = runs.last_mut() {
        let joined = match (&last.from, &from) {
            (PatchSource::Literal(old), PatchSource::Literal(new)) => {
                Some(PatchSource::Literal([old.as_ref(), new].concat().into()))
            }
            (PatchSource::Base(start), PatchSource::Base(next)) => {
                (start.checked_add(last.size) == Some(*next)).then_some(PatchSource::Base(*start))
            }
            (PatchSource::Zeros, PatchSource::Zeros) => Some(PatchSource::Zeros),
            _ => None,
        };
        if let Some(from) = joined {
            last.size = checked::sum(last.size, size, "the size of a run")?;
            last.from = from;
            return Ok(());
        }
    }
    runs.push(Run { size, from });
    Ok(())
}

/// The image that an opened file or disk must be for a patch: if it was stamped, the base below, else itself. Patches
/// are for bases that were not stamped.
///
/// # Errors
/// [`Error::WrongBase`] if neither has the size of the patch's base, and why what lies below cannot be read.
pub fn base_in<B: ReadAt + Clone>(
    image: B,
    patch: &PatchFile,
    name: &str,
) -> Result<PatchedImage<B>> {
    let size = image.size();
    let fits = |image: &PatchedImage<B>| image.size() == patch.base_size;
    let whole = PatchedImage::whole(image.clone());
    let below = match Original::below(image.clone()) {
        // What has the size of the base may be the base, whatever it looks like.
        Err(_) if fits(&whole) => None,
        below => below?.map(Original::into_image),
    };
    let found = below.filter(fits).or_else(|| Some(whole).filter(fits));
    if let Some(base) = found.or_else(|| without_rest(image, patch.base_size)) {
        return Ok(base);
    }
    Err(Error::wrong_base(name.to_owned(), format!("{size} bytes"), described(patch)))
}

/// An image of this size, without what stands behind it in its file.
fn without_rest<B: ReadAt + Clone>(image: B, size: u64) -> Option<PatchedImage<B>> {
    let base = BaseImage::open(image.clone()).ok()?;
    let ends_there = base.injected().is_none() && base.size() == size;
    ends_there.then(|| PatchedImage::whole(image).with(Vec::new(), size))?.ok()
}

fn described(patch: &PatchFile) -> String {
    format!("{} bytes of SHA-256 {}", patch.base_size, Digest(patch.base_sha256))
}

/// The image that a patch makes of its base.
#[derive(Debug)]
pub struct Applied<B> {
    image: PatchedImage<B>,
    private: bool,
}

impl<B: ReadAt> Applied<B> {
    /// Its bytes.
    pub fn image(&self) -> &PatchedImage<B> {
        &self.image
    }

    /// The same for a way out.
    pub fn outgoing(&self) -> Outgoing<'_, B> {
        Outgoing::new(&self.image, self.private)
    }
}

/// Lays a patch over its base, whose digest is given.
///
/// # Errors
/// [`Error::WrongBase`] if it is another base.
pub fn apply<B: ReadAt>(
    patch: &PatchFile,
    base: PatchedImage<B>,
    digest: Digest,
    name: &str,
) -> Result<Applied<B>> {
    if base.size() != patch.base_size || digest.0 != patch.base_sha256 {
        return Err(Error::wrong_base(
            name.to_owned(),
            format!("{} bytes of SHA-256 {digest}", base.size()),
            described(patch),
        ));
    }
    let mut at = 0;
    let mut patches = Vec::new();
    for run in &patch.runs {
        let range = ByteRange::new(at, run.size).ok_or_else(|| past_64_bits(at))?;
        let from = match &run.from {
            PatchSource::Literal(bytes) => Source::Bytes(bytes.clone()),
            PatchSource::Base(start) => Source::Base(*start),
            PatchSource::Zeros => Source::Zeros,
        };
        patches.push(Patch { at: range, from, why: "patch file".into() });
        at = range.end();
    }
    let image = base.with(patches, patch.size)?;
    let private = privacy::of_image(&image)?;
    Ok(Applied { image, private })
}
