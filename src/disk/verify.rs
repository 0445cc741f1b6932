//! Surveys a composed raw image again, before anything of it is written.

use crate::disk::ext4::Filesystem;
use crate::disk::injected::{member, stamped, without};
use crate::disk::plan::{boot, record_path};
use crate::disk::survey::DiskSurvey;
use crate::error::Result;
use crate::image::ReadAt;
use crate::image::patched::PatchedImage;
use crate::iso::differs::differs;
use crate::iso::verify::boot_lines;
use crate::recipe::edits::Edits;
use crate::units::u64_len;

/// Checks that `image`, made from a base, shows the edits, counts what is free, and leads back to the base.
///
/// # Errors
/// [`crate::Error::Bug`] if not: a fault of this program, and nothing must be written.
pub fn check<B: ReadAt>(
    image: &PatchedImage<B>,
    base: (&PatchedImage<B>, &DiskSurvey),
    edits: &Edits,
) -> Result<()> {
    let (below, old) = base;
    let raw = DiskSurvey::read(image)?;
    let fs = raw.filesystem(image)?;
    boot_lines(
        std::slice::from_ref(&old.config),
        std::slice::from_ref(&raw.config),
        "",
        &boot(edits),
    )?;
    for wanted in edits.root.members() {
        let found = fs.lookup(&wanted.path)?;
        let found = found.map(|inode| member(&fs, &wanted.path, &inode)).transpose()?;
        if found.as_ref() != Some(wanted) {
            return Err(differs(&wanted.path, raw.root.start(), "something else", "the edits"));
        }
    }
    for (name, bytes) in &edits.records {
        if fs.file(&record_path(name), u64_len(bytes))?.as_ref() != Some(bytes) {
            return Err(differs(name, raw.root.start(), "something else", "the record"));
        }
    }
    counts(&fs)?;
    way_back(image, below, &raw)
}

/// The superblock counts as much free as the groups, whose own counts were compared with their bitmaps.
fn counts<I: ReadAt>(fs: &Filesystem<I>) -> Result<()> {
    let (blocks, inodes) = fs.free()?;
    let counted = (fs.superblock().free_blocks(), fs.superblock().free_inodes());
    if (blocks, inodes) == counted {
        return Ok(());
    }
    Err(differs(
        "free blocks and inodes",
        fs.window().start(),
        format!("{blocks}, {inodes}"),
        format!("{counted:?}"),
    ))
}

/// What the undo record leads to is the base, wherever the image is not.
fn way_back<B: ReadAt>(
    image: &PatchedImage<B>,
    base: &PatchedImage<B>,
    raw: &DiskSurvey,
) -> Result<()> {
    let found = stamped(image, raw)?;
    let found = found.ok_or_else(|| differs("the undo record", 0, "none", "one"))?;
    let back = without(PatchedImage::whole(image), raw, &found.undo)?;
    for piece in image.pieces().iter().filter(|piece| !piece.stays()) {
        let size = piece.at.size();
        let (was, is) = (
            base.read_range("the base", piece.at, size)?,
            back.read_range("the way back", piece.at, size)?,
        );
        if was != is {
            let start = piece.at.start();
            return Err(differs("the way back", start, "other bytes", "those of the base"));
        }
    }
    Ok(())
}
