//! A stamped image: made of a base, surveyed again and found right, with its manifest inside. There is no other way to one.

use std::io::Write;
use std::ops::Deref;
use std::path::Path;

use crate::error::{Error, Result};
use crate::formats::patch_file::PatchFile;
use crate::image::digest::Digest;
use crate::image::patched::PatchedImage;
use crate::image::{ImageFile, ReadAt};
use crate::live::Customization;
use crate::output::file::{Output, OverwritePolicy};
use crate::output::{Outgoing, stream};
use crate::progress::{Progress, Silent};
use crate::recipe::edits::Edits;
use crate::stamp::base_image::BaseImage;
use crate::stamp::patch;
use crate::stamp::planned_image::{ManifestOptions, PlannedImage};
use crate::units::ByteRange;

/// An image that can be written. Nothing is written yet: its bytes are those of the base with changes over them.
#[derive(Debug)]
pub struct StampedImage<B> {
    planned: PlannedImage,
    original: PatchedImage<B>,
    image: PatchedImage<B>,
}

impl<B: ReadAt + Clone> BaseImage<B> {
    /// Makes an image with what a recipe asks for.
    ///
    /// # Errors
    /// Those of [`Self::plan`] and of [`PlannedImage::stamp`].
    pub fn customize(
        &self,
        customization: &Customization,
        options: &ManifestOptions,
    ) -> Result<StampedImage<B>> {
        self.stamp(customization.edits(&self.facts())?, options)
    }

    /// The same with edits that are known.
    ///
    /// # Errors
    /// The same.
    pub fn stamp(&self, edits: Edits, options: &ManifestOptions) -> Result<StampedImage<B>> {
        self.plan(edits, options)?.stamp(self)
    }
}

impl PlannedImage {
    /// Lays the changes over the base that they were planned for, and verifies the result.
    ///
    /// # Errors
    /// [`crate::Error::Bug`] if an edit does not show, something else differs, or the way back does not lead to the base:
    /// nothing must be written then. [`crate::Error::Changed`] if that is because somebody writes to the base.
    pub fn stamp<B: ReadAt + Clone>(self, base: &BaseImage<B>) -> Result<StampedImage<B>> {
        let original = base.original().clone();
        let image = original.clone().with(self.plan.patches.clone(), self.plan.size)?;
        image.if_unchanged(base.check(&image, &self.edits))?;
        Ok(StampedImage { planned: self, original, image })
    }
}

impl<B: ReadAt> StampedImage<B> {
    /// Its bytes.
    pub fn image(&self) -> &PatchedImage<B> {
        &self.image
    }

    /// The same for a way out.
    pub fn outgoing(&self) -> Outgoing<'_, B> {
        Outgoing::new(&self.image, self.is_private())
    }

    /// The original, which the changes lie over.
    pub fn original(&self) -> &PatchedImage<B> {
        &self.original
    }

    /// The patch that makes this image of the original, whose SHA-256 is given.
    ///
    /// # Errors
    /// More new bytes than a patch may have.
    pub fn patch(&self, original: Digest) -> Result<PatchFile> {
        let plan = &self.planned.plan;
        patch::make(&self.original, plan.patches.clone(), plan.size, original)
    }

    /// Writes all bytes of the image, front to back.
    ///
    /// # Errors
    /// The operating system's.
    pub fn write_to(&self, to: impl Write) -> Result<()> {
        stream::write(self.outgoing(), to, &Silent)
    }

    /// Whether `other` has the bytes of this image, and no more. What cannot be read of it has others.
    ///
    /// # Errors
    /// The operating system's about the original; [`Error::Interrupted`].
    pub fn is_same_as(&self, other: &impl ReadAt, progress: &dyn Progress) -> Result<bool> {
        const CHUNK: u64 = 1 << 20;
        let plan = &self.planned.plan;
        // What was put over the original differs first.
        if other.size() != plan.size || !plan.patches.iter().all(|patch| patch.shows_in(other)) {
            return Ok(false);
        }
        for part in ByteRange::up_to(plan.size).steps(CHUNK) {
            if progress.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let expected = self.image.read_range("the image", part, CHUNK)?;
            let found = other.read_range("the image that is there", part, CHUNK);
            if !found.is_ok_and(|found| found == expected) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl StampedImage<&ImageFile> {
    /// Writes the image to a file, which appears whole or not at all. One with secrets is for its owner alone.
    ///
    /// # Errors
    /// The operating system's; a path that is the base itself or below /dev.
    pub fn write_to_file(&self, path: &Path, existing: OverwritePolicy) -> Result<()> {
        Output::new(path, self.original.base(), existing)?.write(self.outgoing(), &Silent).map(drop)
    }
}

/// Gives access to the plan that it was made from.
impl<B> Deref for StampedImage<B> {
    type Target = PlannedImage;

    fn deref(&self) -> &PlannedImage {
        &self.planned
    }
}
