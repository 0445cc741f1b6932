//! Unpacks an image into a file without a name, which is gone with the program.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::source::{Feed, Source, Stream};
use crate::checked;
use crate::error::{Error, Result};
use crate::image::ImageFile;
use crate::image::file_type::{self, FileType};
use crate::progress::Progress;
use crate::units::{format_bytes, u64_len, usize_of};

/// Bytes that are unpacked at once.
const CHUNK: u64 = 1 << 20;

/// The image that is packed in a file, unpacked into a file without a name in `folder`; the image itself if it is
/// not packed.
///
/// Images are read at many places, some of them twice, and unpacking can only go from front to back: so it is
/// done once. A file without a name needs no tidying up, whatever ends the program.
///
/// # Errors
/// What cannot be unpacked; a folder that has no room for it.
pub fn unpacked(image: ImageFile, folder: &Path, progress: &dyn Progress) -> Result<ImageFile> {
    let path = image.path().to_owned();
    match Source::of_file(image, None)? {
        Source::Plain(image) => Ok(image),
        Source::Stream(mut stream) => {
            check(&mut stream)?;
            let (file, size) = unpack(&path, &mut stream, folder, progress)?;
            stream.check_unchanged()?;
            let packed = checked::present(stream.into_packed(), "the file that was unpacked")?;
            Ok(packed.unpacked_to(file, size))
        }
    }
}

/// What comes out is not an image: better told now than after gigabytes. Tar archives are taken by some commands.
fn check(stream: &mut Stream) -> Result<()> {
    let head = stream.head()?;
    if file_type::is_tar(head) {
        return Ok(());
    }
    let found = FileType::recognize(head).disk(&stream.name());
    found.map(drop).map_err(|fault| stream.at_fault(fault))
}

fn unpack(
    path: &Path,
    stream: &mut Stream,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<(File, u64)> {
    let doing = || format!("unpack {} into {}", path.display(), folder.display());
    let mut file = tempfile::tempfile_in(folder).map_err(Error::io(doing()))?;
    let known = stream.size();
    if let Some(needed) = known {
        check_room(&file, needed).map_err(Error::io(doing()))?;
    }
    progress.begin("unpack", known.unwrap_or(0));
    let mut buffer = vec![0; usize_of(CHUNK)];
    let mut size: u64 = 0;
    loop {
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let count = stream.fill(&mut buffer)?;
        let chunk = checked::part(&buffer, ..count, "what was unpacked")?;
        if chunk.is_empty() {
            break;
        }
        file.write_all(chunk).map_err(Error::io(doing()))?;
        size = checked::sum(size, u64_len(chunk), "the size of the image")?;
        progress.advance(u64_len(chunk));
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
    let what = format!("{} are needed, {} are free", format_bytes(needed), format_bytes(free));
    Err(io::Error::new(io::ErrorKind::StorageFull, what))
}
