//! Whether an image that is decided on is the one that is there, but for what the two tell of themselves.

use crate::error::Result;
use crate::formats::newc::Member;
use crate::image::ReadAt;
use crate::live::ANNOUNCED_DIGEST;
use crate::stamp::base_image::BaseImage;
use crate::stamp::planned_image::PlannedImage;
use crate::stamp::previous::menus_alike;

impl<B: ReadAt + Clone> BaseImage<B> {
    /// Whether nothing that a live system or its menus have would change. Manifests, and the digest of what was asked for,
    /// are of the recipe and not of what it makes.
    ///
    /// # Errors
    /// The operating system's, and what the surveys say.
    pub fn is_as_in(&self, made: &PlannedImage) -> Result<bool> {
        let Some(stamped) = self.injected() else { return Ok(false) };
        let image = self.original().clone().with(made.plan.patches.clone(), made.plan.size)?;
        let new = BaseImage::open(image)?;
        let Some(other) = new.injected() else { return Ok(false) };
        let facts = self.injected_facts()?.map(|facts| facts.with_records(false, false));
        let new_facts = new.injected_facts()?.map(|facts| facts.with_records(false, false));
        Ok(facts == new_facts
            && told_apart(&stamped.root).eq(told_apart(&other.root))
            && menus_alike(self, &new))
    }
}

/// The files of the live system that are not about the recipe.
fn told_apart(root: &[Member]) -> impl Iterator<Item = &Member> {
    root.iter().filter(|member| member.path != ANNOUNCED_DIGEST)
}
