//! Unpacks an image into a file without a name, which is gone with the program.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::source::{Feed, Source, Stream};
use crate::error::{Error, Result};
use crate::image::ImageFile;
use crate::progress::Progress;
use crate::units::{human, in_memory, len_of};

/// Bytes that are unpacked at once.
const CHUNK: u64 = 1 << 20;

/// Opens an image; if it is packed, it is unpacked first, into a file without a name in `folder`.
///
/// Images are read at many places, some of them twice, and unpacking can only go from front to back: so it is
/// done once. A file without a name needs no tidying up, whatever ends the program.
///
/// # Errors
/// What cannot be opened or unpacked; a folder that has no room for it.
pub fn open(path: &Path, folder: &Path, progress: &dyn Progress) -> Result<ImageFile> {
    let packed = ImageFile::open(path)?;
    match Source::open(path)? {
        Source::Plain(_) => Ok(packed),
        Source::Stream(stream) => {
            let (file, size) = unpack(path, stream, folder, progress)?;
            Ok(packed.unpacked_to(file, size))
        }
    }
}

fn unpack(
    path: &Path,
    mut stream: Stream,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<(File, u64)> {
    let doing = || format!("unpack {} into {}", path.display(), folder.display());
    let mut file = tempfile::tempfile_in(folder).map_err(Error::io(doing()))?;
    let known = stream.size();
    if let Some(needed) = known {
        check_room(&file, needed).map_err(Error::io(doing()))?;
    }
    progress.begin("Unpacking", known.unwrap_or(0));
    let mut buffer = vec![0; in_memory(CHUNK)];
    let mut size: u64 = 0;
    loop {
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let count = stream.fill(&mut buffer)?;
        let chunk = buffer.get(..count).unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        file.write_all(chunk).map_err(Error::io(doing()))?;
        size = size.saturating_add(len_of(chunk));
        progress.advance(len_of(chunk));
    }
    progress.end();
    Ok((file, size))
}

/// Better at once than after minutes.
fn check_room(file: &File, needed: u64) -> io::Result<()> {
    let about = rustix::fs::fstatvfs(file)?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if needed <= free {
        return Ok(());
    }
    let what = format!("{} are needed, {} are free", human(needed), human(free));
    Err(io::Error::new(io::ErrorKind::StorageFull, what))
}
