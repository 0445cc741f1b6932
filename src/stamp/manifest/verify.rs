//! Compares an image with its manifest.

use super::claims::{Fault, first_fault};
use super::found::Found;
use super::{BaseFacts, blocks};
use crate::error::{Advice, Error, Result};
use crate::image::ReadAt;
use crate::progress::Progress;
use crate::stamp::base_image::{BaseImage, Surveyed};

/// Compares an image, or a medium that begins with it, with its manifest: what it says of base, keys,
/// files and privacy, and every block.
///
/// # Errors
/// [`Error::Differs`] at the first thing that differs, [`Error::Usage`] if there are no digests of blocks.
pub fn verify<I: ReadAt>(image: &I, found: &Found, progress: &dyn Progress) -> Result<()> {
    image.if_unchanged(compare(image, found, progress))
}

fn compare<I: ReadAt>(image: &I, found: &Found, progress: &dyn Progress) -> Result<()> {
    let manifest = &found.manifest;
    let base = BaseImage::open(image)?;
    claims(&base, found)?;
    let Some(blocks) = &manifest.blocks else {
        return Err(Error::Usage {
            what: "the manifest has no digests of the image's blocks".into(),
            hint: Advice::CompareOrDigests,
        });
    };
    let surveyed = Surveyed::read(image)?;
    let partitions = surveyed.partitions();
    if let Some(fault) = partitions.backup_fault.clone() {
        return Err(differs("the backup GPT", manifest.size, fault, "the primary one's mirror"));
    }
    if let Some(found) = partitions.stray(base.partitions(), manifest.size)? {
        return Err(differs("the GPT", 0, found, "what leads to the image's own bytes"));
    }
    let masked = blocks::masked(found.own.clone(), partitions, manifest.size)?;
    blocks.check(image, manifest.size, &masked, progress)
}

/// What the manifest says can be seen in the image.
fn claims<I: ReadAt>(base: &BaseImage<&I>, own: &Found) -> Result<()> {
    let Some(stamped) = base.injected() else {
        return Err(differs("the image", 0, "a base with nothing put in", "a stamped image"));
    };
    match first_fault(own, (base.original().base(), stamped), BaseFacts::gather(base)?) {
        None => Ok(()),
        Some(Fault { what, found }) => Err(differs(what, 0, found, "what the manifest says")),
    }
}

fn differs(what: &str, at: u64, found: impl Into<String>, expected: &str) -> Error {
    let (found, expected) = (found.into(), expected.to_owned());
    Error::Differs { what: what.to_owned(), at, found, expected }
}
