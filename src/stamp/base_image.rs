//! What an image can be made from: an installer ISO, or a raw image with a root filesystem of its own; and the original
//! below one that was stamped.

use crate::disk;
use crate::disk::injected;
use crate::error::Result;
use crate::image::digest::Digest;
use crate::image::file_type::{self, BaseKind};
use crate::image::patched::Composed;
use crate::image::{ImageFile, ReadAt};
use crate::iso;
use crate::iso::injected::{Base, Below, Stamped};
use crate::live::{Facts, Wishes};
use crate::stamp::manifest::{self, About, Made};
use crate::stamp::replaced::Given;

/// An image as a base to edit, told by its content.
#[derive(Debug)]
pub enum Basis<B> {
    /// An ISO 9660 volume.
    Iso(Box<Base<B>>),
    /// A disk with partitions.
    Raw(Box<injected::Base<B>>),
}

impl<B: ReadAt> Basis<B> {
    /// Surveys an image and, if it was stamped before, the base below.
    pub fn of(image: B) -> Result<Self> {
        match file_type::base_kind(&image)? {
            BaseKind::Iso => Base::of(image).map(Box::new).map(Self::Iso),
            BaseKind::Disk => injected::Base::of(image).map(Box::new).map(Self::Raw),
        }
    }

    /// The base, which reads as it was before any stamping.
    pub fn image(&self) -> &Composed<B> {
        match self {
            Self::Iso(base) => &base.image,
            Self::Raw(base) => &base.image,
        }
    }

    /// The same, without its facts.
    pub fn into_image(self) -> Composed<B> {
        match self {
            Self::Iso(base) => base.image,
            Self::Raw(base) => base.image,
        }
    }

    /// What was put in before.
    pub fn stamped(&self) -> Option<&Stamped> {
        match self {
            Self::Iso(base) => base.stamped.as_ref(),
            Self::Raw(base) => base.stamped.as_ref(),
        }
    }

    /// Its release.
    pub fn release(&self) -> &str {
        match self {
            Self::Iso(base) => &base.survey.release,
            Self::Raw(base) => &base.raw.release,
        }
    }

    /// The label of its volume, or of its root filesystem.
    pub fn label(&self) -> String {
        match self {
            Self::Iso(base) => base.survey.volume.identifier(),
            Self::Raw(base) => base.raw.label.clone(),
        }
    }

    /// What was put in before, by names; none if nothing was.
    pub fn given_before(&self) -> Option<Given> {
        match self {
            Self::Iso(base) => Given::in_iso(base),
            Self::Raw(base) => Given::in_raw(base),
        }
    }

    /// Decides what to change for these wishes.
    pub fn plan(&self, wishes: &Wishes, about: &About) -> Result<Made> {
        match self {
            Self::Iso(base) => {
                let touched = wishes.touch_stage_one();
                let initrds = if touched { base.survey.initrds(&base.image)? } else { Vec::new() };
                let edits = wishes.edits(&Facts::of(&base.survey))?;
                manifest::plan(base, &initrds, edits, about)
            }
            Self::Raw(base) => {
                let edits = wishes.edits(&Facts::of_raw(&base.raw))?;
                manifest::plan_raw(base, edits, about)
            }
        }
    }

    /// The finished image, which was surveyed again.
    pub fn compose(self, made: &Made) -> Result<Composed<B>>
    where
        B: Clone,
    {
        let (patches, size) = (made.plan.patches.clone(), made.plan.size);
        match self {
            Self::Iso(base) => {
                let image = base.image.with(patches, size)?;
                iso::verify::check(&image, &base.survey, &made.edits)?;
                Ok(image)
            }
            Self::Raw(base) => {
                let image = base.image.clone().with(patches, size)?;
                disk::verify::check(&image, (&base.image, &base.raw), &made.edits)?;
                Ok(image)
            }
        }
    }
}

impl Basis<&ImageFile> {
    /// SHA-256 of the base, if that of the file is known and it is the base.
    pub fn known_sha256(&self) -> Option<[u8; 32]> {
        self.image().base().sha256().filter(|_| self.stamped().is_none())
    }
}

/// The base below a stamped image.
#[derive(Debug)]
pub enum Original<B> {
    /// That of an ISO, also on a disk whose reset was interrupted.
    Iso(Below<B>),
    /// That of a raw image.
    Raw(Composed<B>),
}

impl<B: ReadAt> Original<B> {
    /// Finds the base below; none if nothing was put into the image.
    ///
    /// # Errors
    /// What the surveys say; a reset that cannot be gone on with.
    pub fn below(image: B) -> Result<Option<Self>> {
        // A disk whose reset was interrupted is no image of any kind, but there is one below.
        if !matches!(file_type::base_kind(&image), Ok(BaseKind::Disk)) {
            return Ok(Below::of(image)?.map(Self::Iso));
        }
        let base = injected::Base::of(image)?;
        Ok(base.stamped.is_some().then_some(Self::Raw(base.image)))
    }

    /// The base.
    pub fn image(&self) -> &Composed<B> {
        match self {
            Self::Iso(below) => &below.image,
            Self::Raw(image) => image,
        }
    }

    /// The same, without what is known of it.
    pub fn into_image(self) -> Composed<B> {
        match self {
            Self::Iso(below) => below.image,
            Self::Raw(image) => image,
        }
    }

    /// Its SHA-256, as a reset that was interrupted found it.
    pub fn sha256(&self) -> Option<Digest> {
        match self {
            Self::Iso(below) => below.sha256.map(Digest),
            Self::Raw(_) => None,
        }
    }
}
