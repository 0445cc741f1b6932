//! Whether the squashfs files of a stamped image are the ones that were put in: their names say what bytes they have.

use sha2::{Digest as _, Sha256};

use crate::boot::folder::Folder;
use crate::error::Result;
use crate::image::ReadAt;
use crate::recipe::edits::id_of;
use crate::units::{ByteRange, beyond};

/// Bytes that are read at once.
const CHUNK: u64 = 1 << 20;

/// The paths of those whose bytes are not those that their names say.
///
/// # Errors
/// The image cannot be read.
pub fn changed<I: ReadAt>(image: &I, attached: &[(String, ByteRange)]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, at) in attached {
        if let Some(named) = Folder::id_in(path)
            && id(image, path, *at)? != named
        {
            found.push(path.clone());
        }
    }
    Ok(found)
}

/// The id of a squashfs, by its bytes.
pub fn id<I: ReadAt>(image: &I, path: &str, at: ByteRange) -> Result<String> {
    sha256(image, path, at).map(id_of)
}

fn sha256<I: ReadAt>(image: &I, path: &str, at: ByteRange) -> Result<[u8; 32]> {
    let mut sum = Sha256::new();
    let mut start = at.start();
    while start < at.end() {
        let part = crate::checked::range(start, beyond(at.end(), start).min(CHUNK), path)?;
        sum.update(image.read_range(path, part, CHUNK)?);
        start = part.end();
    }
    Ok(sum.finalize().into())
}
