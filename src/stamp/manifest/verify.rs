//! Compares an image with its manifest.

use super::found::Found;
use super::{BaseFacts, Manifest, blocks, content_id, files_of, keys_of, recipe_id};
use crate::error::{Advice, Error, Result};
use crate::image::ReadAt;
use crate::image::digest::Digest;
use crate::progress::Progress;
use crate::recipe::edits::Edits;
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
    claims(&base, manifest)?;
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
fn claims<I: ReadAt>(base: &BaseImage<&I>, manifest: &Manifest) -> Result<()> {
    let Some(stamped) = base.injected() else {
        return Err(differs("the image", 0, "a base with nothing put in", "a stamped image"));
    };
    let mut edits = Edits::default();
    stamped.root.iter().cloned().for_each(|member| edits.root.put(member));
    let facts = BaseFacts { sha256: None, ..manifest.base.clone() };
    let same = [
        ("the size", stamped.undo.stamped_size == manifest.size),
        ("the base", BaseFacts::gather(base)? == facts),
        ("the keys", keys_of(&edits) == manifest.keys),
        ("the files", files_of(&edits) == manifest.files),
        ("whether it is private", !(edits.is_private() && manifest.private == Some(false))),
        (
            "the recipe id",
            is_id_of(manifest, manifest.recipe_id.as_ref(), manifest.inputs.as_ref(), recipe_id),
        ),
        (
            "the content id",
            is_id_of(manifest, manifest.content_id.as_ref(), Some(&manifest.edits), content_id),
        ),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((what, _)) => Err(differs(what, 0, "something else", "what the manifest says")),
    }
}

/// Whether an id is that of the base and something else, if there is one.
fn is_id_of(
    manifest: &Manifest,
    id: Option<&String>,
    of: Option<&String>,
    made: fn(Digest, Digest) -> Digest,
) -> bool {
    let Some(id) = id else { return true };
    let digest = |text: Option<&String>| text?.parse::<Digest>().ok();
    let parts = digest(manifest.base.sha256.as_ref()).zip(digest(of));
    parts.is_some_and(|(base, other)| made(base, other).to_string() == *id)
}

fn differs(what: &str, at: u64, found: impl Into<String>, expected: &str) -> Error {
    let (found, expected) = (found.into(), expected.to_owned());
    Error::Differs { what: what.to_owned(), at, found, expected }
}
