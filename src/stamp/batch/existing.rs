//! The image that stands under the name of one to be made: its recipe, and its random keys and salts.

use std::io::ErrorKind;
use std::path::Path;

use crate::bounded;
use crate::error::{Advice, Error, Result};
use crate::formats::newc::Member;
use crate::formats::patch_file::{LARGEST, PatchFile};
use crate::image::digest::Digest;
use crate::image::{ImageFile, ReadAt};
use crate::recipe::setting;
use crate::stamp::base_image::BaseImage;
use crate::stamp::manifest::found::{self, Found};
use crate::stamp::manifest::{BaseFacts, Manifest};
use crate::stamp::patch;
use crate::stamp::planned_image::MadeBefore;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpectedImage<'a> {
    /// The recipe id.
    pub(super) recipe_id: Digest,
    /// The digest of what was asked for.
    pub(super) inputs: Digest,
    /// The base, without its digest.
    pub(super) base: &'a BaseFacts,
    /// Whether digests go into the manifest.
    pub(super) digests: bool,
    /// `SOURCE_DATE_EPOCH` now.
    pub(super) epoch: Option<u64>,
}

/// A stamped image.
#[derive(Debug)]
pub(super) struct ExistingImage {
    /// Files of the live system's root.
    pub(super) root: Vec<Member>,
    found: Found,
}

impl ExistingImage {
    /// The image of a file; none if it is not one that was stamped.
    ///
    /// # Errors
    /// A file that cannot be read, or that is half edited: what it is cannot be told.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        known(path, ImageFile::open(path).and_then(|image| Self::read(&image)))
    }

    /// The image that a patch file makes of the base, whose digest is given; none if it makes none.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn open_patch(
        path: &Path,
        base: &BaseImage<&ImageFile>,
        sha256: Digest,
    ) -> Result<Option<Self>> {
        let doing = format!("read {}", path.display());
        known(
            path,
            bounded::read_beside(path, LARGEST, &doing).and_then(|bytes| {
                let Ok(patch) = PatchFile::parse(&bytes) else { return Ok(None) };
                let below = base.original().clone();
                Self::read(patch::apply(&patch, below, sha256, "the base")?.image())
            }),
        )
    }

    fn read<I: ReadAt>(image: &I) -> Result<Option<Self>> {
        let base = BaseImage::open(image)?;
        let Some(injected) = base.injected() else { return Ok(None) };
        let found = found::of_image(image)?;
        Ok(found.map(|found| Self { root: injected.root.clone(), found }))
    }

    /// Whether it was made of this recipe. One that does not tell its base's digest tells the base by its beginning.
    pub(super) fn matches(&self, expected: &ExpectedImage<'_>) -> bool {
        let Manifest { recipe_id, inputs, base, .. } = &self.found.manifest;
        match recipe_id {
            Some(id) => *id == expected.recipe_id,
            None => *inputs == Some(expected.inputs) && base == expected.base,
        }
    }

    /// Whether it says the time that the image to be made would say.
    pub(super) fn is_of_time(&self, expected: &ExpectedImage<'_>) -> bool {
        self.found.manifest.source_date_epoch == expected.epoch
    }

    /// What it has that no recipe says.
    pub(super) fn made_before(&self) -> MadeBefore {
        MadeBefore {
            version: self.found.manifest.tool.version.clone(),
            epoch: self.found.manifest.source_date_epoch,
            signature: self.found.signature.clone(),
        }
    }

    /// Why it is not what would be made.
    pub(super) fn difference(
        &self,
        expected: &ExpectedImage<'_>,
        signed_by: Option<&str>,
    ) -> String {
        let found = &self.found.manifest;
        match &found.inputs {
            None => format!("remaster {} made it, and did not record of what", found.tool.version),
            Some(_) if !self.matches(expected) => match &found.recipe_id {
                Some(other) => {
                    let id = expected.recipe_id;
                    format!("it was made of another base or recipe (recipe id {other}, now {id})")
                }
                None => "it was made of another base or recipe".to_owned(),
            },
            Some(_) if !self.is_of_time(expected) => {
                let told = |epoch: Option<u64>| epoch.map_or("none".to_owned(), |at| at.to_string());
                let (then, now) = (told(found.source_date_epoch), told(expected.epoch));
                format!("it is of the same recipe, but of another SOURCE_DATE_EPOCH ({then}, now {now})")
            }
            Some(_) if found.signed_by.as_deref() != signed_by => {
                "it is of the same recipe, but not signed by the same key".to_owned()
            }
            Some(_) if found.blocks.is_some() != expected.digests => {
                let with = if expected.digests { "without" } else { "with" };
                format!("it is of the same recipe, but was made {with} {}", setting!(manifest_digests))
            }
            Some(_) if found.recipe_id.is_some() != expected.digests => format!(
                "it is of the same recipe, but remaster {} recorded the base's digest in it",
                found.tool.version
            ),
            Some(_) => "it is of the same recipe, but a password or other secret is another one, or its bytes have changed since".to_owned(),
        }
    }
}

/// What was found, or nothing where something else stands: what the system does not let be read is neither.
fn known(path: &Path, found: Result<Option<ExistingImage>>) -> Result<Option<ExistingImage>> {
    let is_unknown = |fault: &Error| match fault {
        Error::Io { source, .. } => source.kind() != ErrorKind::NotFound && !path.is_symlink(),
        Error::Usage { hint, .. } => matches!(hint, Advice::FinishEdit),
        Error::Denied { .. } | Error::Interrupted => true,
        _ => false,
    };
    match found {
        Err(fault) if is_unknown(&fault) => Err(fault),
        found => Ok(found.unwrap_or_default()),
    }
}
