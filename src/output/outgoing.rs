//! What may be written: an image, and whether others must not know it. Who makes one has decided both.

use crate::image::ReadAt;
use crate::image::patched::PatchedImage;
use crate::output::file::FileAccess;

/// An image on its way out. Only this library makes one, so that nothing is written that was not verified or whose
/// privacy nobody asked for.
#[derive(Debug)]
pub struct Outgoing<'a, B> {
    image: &'a PatchedImage<B>,
    private: bool,
}

impl<'a, B: ReadAt> Outgoing<'a, B> {
    pub(crate) fn new(image: &'a PatchedImage<B>, private: bool) -> Self {
        Self { image, private }
    }

    /// Its bytes.
    pub fn image(&self) -> &'a PatchedImage<B> {
        self.image
    }

    /// Whether it holds what others must not know.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Who may read a file with it.
    pub fn readers(&self) -> FileAccess {
        FileAccess::new(self.private)
    }
}

impl<B> Clone for Outgoing<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Outgoing<'_, B> {}
