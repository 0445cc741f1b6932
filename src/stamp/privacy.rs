//! Whether an image holds what others must not know, as its manifest says. Every way out of an image asks here.

use crate::boot::folder::Folder;
use crate::disk::injected;
use crate::disk::survey::{DiskSurvey, may_be_ours};
use crate::error::{Error, Result};
use crate::formats::iso9660::Hierarchy;
use crate::formats::newc::Member;
use crate::formats::reset_mark::ResetMark;
use crate::image::ReadAt;
use crate::image::file_type::{self, BaseKind};
use crate::iso::injected::Stamped;
use crate::iso::survey::squashfs;
use crate::iso::survey::tree::Tree;
pub use crate::output::Privacy;
use crate::recipe::edits;
use crate::stamp::manifest::found::{self, Found};
use crate::units::ByteRange;

/// Whether whoever reads the image learns what others must not know. What was put in and cannot be read counts
/// as that.
///
/// # Errors
/// The operating system's.
pub fn of_image<I: ReadAt>(image: &I) -> Result<bool> {
    known_of(image).map(Privacy::is_private)
}

/// What is known of that.
///
/// # Errors
/// The operating system's.
pub fn known_of<I: ReadAt>(image: &I) -> Result<Privacy> {
    if is_being_reset(image) {
        return Ok(Privacy::Unknown);
    }
    match put_in(image) {
        Ok(None) => Ok(Privacy::Public),
        Ok(Some((stamped, found))) => Ok(is_private(image, &stamped, found).into()),
        Err(Error::Unsupported { .. } | Error::Malformed { .. }) => Ok(Privacy::Unknown),
        Err(fault) => Err(fault),
    }
}

/// As the manifest says; what version 1 and 2 do not say is looked up.
fn is_private<I: ReadAt>(image: &I, stamped: &Stamped, found: Option<Found>) -> bool {
    let said = found.and_then(|found| found.manifest.private);
    said.unwrap_or_else(|| !secrets(image, &stamped.root, &stamped.attached).is_empty())
}

/// What was put into an image; `None` where nothing was, and in what cannot be an image of ours.
///
/// # Errors
/// Why a disk or volume that may be ours is not understood, and the operating system's.
fn put_in<I: ReadAt>(image: &I) -> Result<Option<(Stamped, Option<Found>)>> {
    match file_type::base_kind(image) {
        Ok(BaseKind::Disk) => on_disk(image),
        Ok(BaseKind::Iso) => on_volume(image, &Tree::read(image, Hierarchy::Primary)?),
        // A truncated ISO may still have a tree.
        Err(_) => {
            Tree::read(image, Hierarchy::Primary).map_or(Ok(None), |tree| on_volume(image, &tree))
        }
    }
}

fn on_disk<I: ReadAt>(image: &I) -> Result<Option<(Stamped, Option<Found>)>> {
    let raw = match DiskSurvey::read(image) {
        Ok(raw) => raw,
        Err(fault) => return if may_be_ours(image)? { Err(fault) } else { Ok(None) },
    };
    let Some(stamped) = injected::stamped(image, &raw)? else { return Ok(None) };
    Ok(Some((stamped, found::in_root(image, &raw)?)))
}

fn on_volume<I: ReadAt>(image: &I, tree: &Tree) -> Result<Option<(Stamped, Option<Found>)>> {
    if Folder::find(tree.paths()).is_none() {
        return Ok(None);
    }
    let Some(stamped) = Stamped::find(image, tree)? else { return Ok(None) };
    Ok(Some((stamped, found::on_volume(image, tree)?)))
}

fn is_being_reset<I: ReadAt>(image: &I) -> bool {
    let mut start = [0; 16];
    image.read_exact_at(&mut start, 0).is_ok() && ResetMark::is_in(&start)
}

/// The paths of files that others must not read in the live system, of its root and of the squashfs files `attached` to it.
/// One that cannot be read stands for what is in it, by its path.
pub fn secrets<I: ReadAt>(
    image: &I,
    root: &[Member],
    attached: &[(String, ByteRange)],
) -> Vec<String> {
    let mut members = root.to_vec();
    let mut unread = Vec::new();
    for (path, at) in attached {
        match squashfs::members(image, *at) {
            Ok(found) => members.extend(found),
            Err(_) => unread.push(path.clone()),
        }
    }
    let known = edits::secrets(&members).into_iter().map(|found| format!("/{}", found.path));
    known.chain(unread).collect()
}
