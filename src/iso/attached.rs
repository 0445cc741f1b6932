//! Whether the squashfs files of a stamped image are the ones that were put in: their names say what bytes they have.

use crate::boot::folder::Folder;
use crate::error::Result;
use crate::image::{ReadAt, digest};
use crate::progress::Progress;
use crate::recipe::edits::id_of;
use crate::units::ByteRange;

/// The paths of those whose bytes are not those that their names say.
///
/// # Errors
/// The image cannot be read.
pub fn changed<I: ReadAt>(
    image: &I,
    attached: &[(String, ByteRange)],
    progress: &dyn Progress,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, at) in attached {
        if let Some(named) = Folder::id_in(path)
            && id(image, path, *at, progress)? != named
        {
            found.push(path.clone());
        }
    }
    Ok(found)
}

/// The id of a squashfs, by its bytes.
pub fn id<I: ReadAt>(
    image: &I,
    path: &str,
    at: ByteRange,
    progress: &dyn Progress,
) -> Result<String> {
    digest::of_range(image, path, at, progress).map(id_of)
}
