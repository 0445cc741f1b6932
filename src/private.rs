//! Whether an image holds what others must not know, as the bytes in it tell. Every way out of an image asks here
//! and nowhere else.

use crate::boot::folder::Folder;
use crate::disk::injected;
use crate::disk::survey::Raw;
use crate::error::{Error, Result};
use crate::formats::iso9660::Hierarchy;
use crate::formats::reset_mark::ResetMark;
use crate::image::ReadAt;
use crate::image::file_type::{self, BaseKind};
use crate::iso::injected::Stamped;
use crate::iso::survey::squashfs;
use crate::iso::survey::tree::Tree;
use crate::recipe::edits;

/// Whether whoever reads the image learns what others must not know. What was put in and cannot be read counts
/// as that.
///
/// # Errors
/// The operating system's.
pub fn of_image<I: ReadAt>(image: &I) -> Result<bool> {
    match found(image) {
        Ok(stamped) => Ok(stamped.is_some_and(|stamped| !secrets(image, &stamped).is_empty())),
        Err(Error::Unsupported { .. } | Error::Malformed { .. }) => Ok(true),
        Err(fault) => Err(fault),
    }
}

/// What was put into an image; none where nothing was, and in what is no image of ours at all.
fn found<I: ReadAt>(image: &I) -> Result<Option<Stamped>> {
    if is_being_reset(image) {
        return Err(Error::unsupported(
            "this image",
            "a whole one",
            "one whose reset was interrupted",
        ));
    }
    if matches!(file_type::base_kind(image), Ok(BaseKind::Disk)) {
        return Raw::of(image).map_or(Ok(None), |raw| injected::stamped(image, &raw));
    }
    match Tree::of(image, Hierarchy::Primary) {
        Ok(tree) if Folder::find(tree.paths()).is_some() => Stamped::of(image, &tree),
        _ => Ok(None),
    }
}

fn is_being_reset<I: ReadAt>(image: &I) -> bool {
    let mut start = [0; 16];
    image.read_exact_at(&mut start, 0).is_ok() && ResetMark::is_in(&start)
}

/// The paths of files that others must not read in the live system. A squashfs that cannot be read stands for what
/// is in it, by its path on the volume.
pub fn secrets<I: ReadAt>(image: &I, stamped: &Stamped) -> Vec<String> {
    let mut members = stamped.root.clone();
    let mut unread = Vec::new();
    for (path, at) in &stamped.attached {
        match squashfs::members(image, *at) {
            Ok(found) => members.extend(found),
            Err(_) => unread.push(path.clone()),
        }
    }
    let known = edits::secrets(&members).into_iter().map(|found| format!("/{}", found.path));
    known.chain(unread).collect()
}
