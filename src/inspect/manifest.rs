//! Whether what was put into an image is what its manifest says.

use crate::boot::hook_check::MadeBy;
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::image::check::Check;
use crate::iso::injected::Stamped;
use crate::stamp::manifest::BaseFacts;
use crate::stamp::manifest::claims::{self, Fault};
use crate::stamp::manifest::found::Found;

/// The manifest of an image that something was put into.
pub(super) enum OwnManifest {
    Readable(Box<Found>),
    /// Why it is not.
    Unreadable(String),
}

impl OwnManifest {
    /// Takes what was found in an image.
    ///
    /// # Errors
    /// The image cannot be read.
    pub(super) fn from_found(found: Result<Option<Found>>) -> Result<Self> {
        match found {
            Ok(Some(found)) => Ok(Self::Readable(found.into())),
            Ok(None) => Ok(Self::Unreadable("the image has none".to_owned())),
            Err(fault @ (Error::Malformed { .. } | Error::Unsupported { .. })) => {
                Ok(Self::Unreadable(fault.to_string()))
            }
            Err(fault) => Err(fault),
        }
    }

    /// What made the image.
    pub(super) fn made_by(&self) -> MadeBy {
        match self {
            Self::Readable(found) => found.made_by(),
            Self::Unreadable(_) => MadeBy::Other,
        }
    }

    /// The check of what was put into `image`; `base` is the image below.
    pub(super) fn check<I: ReadAt>(
        &self,
        (image, stamped): (&I, &Stamped),
        base: BaseFacts,
    ) -> Check {
        let fault = match self {
            Self::Unreadable(fault) => Some(fault.clone()),
            Self::Readable(found) => claims::first_fault(found, (image, stamped), base)
                .map(|Fault { what, found }| format!("{what}: {found}")),
        };
        let files = stamped.root.len();
        let right = || format!("{files} files and folders, the keys and the base are as it says");
        Check { name: "manifest", ok: fault.is_none(), detail: fault.unwrap_or_else(right) }
    }
}
