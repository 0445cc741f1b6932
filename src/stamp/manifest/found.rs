//! The manifest that stands in an image.

use super::{LARGEST, Manifest, VERSION, parse};
use crate::boot::folder::{Folder, MANIFEST, SIGNATURE};
use crate::boot::hook_check::MadeBy;
use crate::disk::injected;
use crate::disk::plan::record_path;
use crate::disk::survey::DiskSurvey;
use crate::error::Result;
use crate::image::ReadAt;
use crate::iso::survey::tree::Tree;
use crate::stamp::base_image::Surveyed;
use crate::units::ByteRange;

/// A manifest as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it says.
    pub manifest: Manifest,
    /// Its bytes, which a signature is for.
    pub text: Vec<u8>,
    /// The signature beside it.
    pub signature: Option<Vec<u8>>,
    /// Where both stand in the image.
    pub own: Vec<ByteRange>,
}

impl Found {
    /// What made the image, as far as the manifest tells.
    pub(crate) fn made_by(&self) -> MadeBy {
        let Manifest { manifest, tool, .. } = &self.manifest;
        // Development versions called themselves 0.1.0 with manifests of earlier forms.
        if *manifest == VERSION && tool.version == env!("CARGO_PKG_VERSION") {
            return MadeBy::ThisVersion;
        }
        MadeBy::Other
    }
}

/// Reads the manifest of an image; `None` if it has none.
///
/// # Errors
/// What the surveys say, and a manifest that cannot be read.
pub fn of_image<I: ReadAt>(image: &I) -> Result<Option<Found>> {
    read(image, &Surveyed::read(image)?)
}

/// The same of an image that was looked at.
///
/// # Errors
/// A manifest that cannot be read.
pub fn read<I: ReadAt>(image: &I, surveyed: &Surveyed) -> Result<Option<Found>> {
    match surveyed {
        Surveyed::Iso(survey) => on_volume(image, survey.tree()),
        Surveyed::Disk(raw) => in_root(image, raw),
    }
}

/// The same of an ISO, in our folder.
pub(crate) fn on_volume<I: ReadAt>(image: &I, tree: &Tree) -> Result<Option<Found>> {
    let Some(folder) = Folder::find(tree.paths()) else { return Ok(None) };
    let place =
        |name: &str| tree.file(&folder.file(name)).and_then(|node| node.extents.first()).copied();
    place(MANIFEST).map(|at| found(image, at, place(SIGNATURE))).transpose()
}

/// The same of a disk image, in its root filesystem.
pub(crate) fn in_root<I: ReadAt>(image: &I, raw: &DiskSurvey) -> Result<Option<Found>> {
    let fs = raw.filesystem(image)?;
    let place = |name: &str| injected::place_of(&fs, &record_path(name));
    let Some(at) = place(MANIFEST)? else { return Ok(None) };
    found(image, at, place(SIGNATURE)?).map(Some)
}

fn found<I: ReadAt>(image: &I, at: ByteRange, signed_at: Option<ByteRange>) -> Result<Found> {
    let text = image.read_range("the manifest", at, LARGEST)?;
    let signature = signed_at.map(|at| image.read_range("the manifest's signature", at, 1 << 16));
    Ok(Found {
        manifest: parse(&text, at.start())?,
        text,
        signature: signature.transpose()?,
        own: [Some(at), signed_at].into_iter().flatten().collect(),
    })
}
