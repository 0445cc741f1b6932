//! What may be written: an image, and whether others must not know it. Who makes one has decided both.

use crate::image::ReadAt;
use crate::image::patched::PatchedImage;
use crate::output::Privacy;
use crate::output::file::FileAccess;

/// An image on its way out. Only this library makes one, so that nothing is written that was not verified or whose
/// privacy nobody asked for.
#[derive(Debug)]
pub struct Outgoing<'a, B> {
    image: &'a PatchedImage<B>,
    privacy: Privacy,
}

impl<'a, B: ReadAt> Outgoing<'a, B> {
    /// One that holds secrets, or is made of a file that others may not read, is for its owner.
    pub(crate) fn new(image: &'a PatchedImage<B>, private: bool) -> Self {
        Self { image, privacy: Privacy::from(private).of_closed(image.is_closed()) }
    }

    /// What everyone may know, as it is published.
    pub(crate) fn published(image: &'a PatchedImage<B>) -> Self {
        Self { image, privacy: Privacy::Public }
    }

    /// Its bytes.
    pub fn image(&self) -> &'a PatchedImage<B> {
        self.image
    }

    /// Who may read it, and why.
    pub fn privacy(&self) -> Privacy {
        self.privacy
    }

    /// Who may read a file with it.
    pub fn readers(&self) -> FileAccess {
        FileAccess::new(self.privacy.is_private())
    }
}

impl<B> Clone for Outgoing<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Outgoing<'_, B> {}
