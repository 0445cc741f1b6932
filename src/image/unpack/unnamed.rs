//! Unpacks an image into a file without a name, which is gone with the program.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::source::{Feed, Source, Stream};
use crate::checked;
use crate::error::{Advice, Error, Result};
use crate::image::ImageFile;
use crate::image::file_type::{self, FileType};
use crate::progress::Progress;
use crate::units::{format_bytes, u64_len, usize_of};

/// Bytes that are unpacked at once.
const CHUNK: u64 = 1 << 20;

/// Bytes that a packed file may unpack to.
const LARGEST: u64 = 64 << 30;

/// Bytes that may come behind the end of the last volume, partition or backup GPT of a packed image: some MiB of zeros could
/// fill a disk otherwise. Padding takes some MiB. A card that was packed whole may have more free space behind its last MBR
/// partition. It is refused, and can be given unpacked.
const MOST_BEHIND: u64 = 1 << 30;

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
            let limit = SizeLimit::of_stream(&mut stream)?;
            let (file, size) = unpack(&path, &mut stream, &limit, folder, progress)?;
            stream.check_unchanged()?;
            let packed = checked::present(stream.into_packed(), "the file that was unpacked")?;
            Ok(packed.unpacked_to(file, size))
        }
    }
}

/// How much may come out of a file.
struct SizeLimit {
    most: u64,
    /// What that is, in a sentence.
    description: String,
}

impl SizeLimit {
    /// Reads the head and refuses what is not an image, before gigabytes are unpacked. Tar archives pass, as some commands
    /// take them.
    fn of_stream(stream: &mut Stream) -> Result<Self> {
        let head = stream.head()?;
        if file_type::is_tar(head) {
            return Ok(Self::for_image_end(None));
        }
        let found = FileType::recognize(head).disk(&stream.name());
        found.map(|disk| Self::for_image_end(disk.end())).map_err(|fault| stream.at_fault(fault))
    }

    /// The limit of an image that says where it ends.
    fn for_image_end(end: Option<u64>) -> Self {
        let behind = end.and_then(|end| Some((end, end.checked_add(MOST_BEHIND)?)));
        match behind.filter(|(_, most)| *most < LARGEST) {
            Some((end, most)) => {
                let more = format_bytes(MOST_BEHIND);
                Self {
                    most,
                    description: format!("at most {more} behind byte {end}, where it ends"),
                }
            }
            None => {
                Self { most: LARGEST, description: format!("at most {}", format_bytes(LARGEST)) }
            }
        }
    }

    /// Refuses a file that more comes out of.
    fn check(&self, size: u64, stream: &Stream) -> Result<()> {
        if size <= self.most {
            return Ok(());
        }
        let fault = Error::unsupported(stream.name(), &self.description, "more");
        Err(match stream.packing().unpacker() {
            Some(unpacker) => fault.with_hint(Advice::Unpack(unpacker)),
            None => fault,
        })
    }
}

fn unpack(
    path: &Path,
    stream: &mut Stream,
    limit: &SizeLimit,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<(File, u64)> {
    let doing = || format!("unpack {} into {}", path.display(), folder.display());
    let mut file = tempfile::tempfile_in(folder).map_err(Error::io(doing()))?;
    let known = stream.size();
    if let Some(needed) = known {
        limit.check(needed, stream)?;
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
        size = checked::sum(size, u64_len(chunk), "the size of the image")?;
        limit.check(size, stream)?;
        file.write_all(chunk).map_err(Error::io(doing()))?;
        progress.advance(u64_len(chunk));
    }
    progress.end();
    Ok((file, size))
}

/// Refuses a folder without room at once, and not after minutes.
fn check_room(file: &File, needed: u64) -> io::Result<()> {
    let about = rustix::fs::fstatvfs(file)?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if needed <= free {
        return Ok(());
    }
    let what = format!("{} are needed, {} are free", format_bytes(needed), format_bytes(free));
    Err(io::Error::new(io::ErrorKind::StorageFull, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_may_come_behind_what_an_image_says_is_its_end() {
        for (end, most) in [
            (None, LARGEST),
            (Some(0), MOST_BEHIND),
            (Some(1 << 20), (1 << 20) + MOST_BEHIND),
            (Some(LARGEST), LARGEST),
            (Some(u64::MAX), LARGEST),
        ] {
            assert_eq!(SizeLimit::for_image_end(end).most, most, "{end:?}");
        }
    }

    #[test]
    fn more_than_there_is_room_for_is_refused_as_soon_as_that_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.img");
        // A superblock of squashfs, which has 4096 bytes.
        let mut image = [&b"hsqs"[..], &[0; 36], &4096_u64.to_le_bytes(), &[0; 8]].concat();
        image.resize(10_000, 7);
        for (packed, is_known) in [
            (zstd::encode_all(image.as_slice(), 1).unwrap(), false),
            (zstd::bulk::compress(&image, 1).unwrap(), true),
        ] {
            std::fs::write(&path, packed).unwrap();
            let open = || match Source::open(&path).unwrap() {
                Source::Stream(stream) => stream,
                Source::Plain(_) => unreachable!("it is packed"),
            };
            let mut stream = open();
            let description = SizeLimit::of_stream(&mut stream).unwrap().description;
            assert_eq!(description, "at most 1.0 GiB behind byte 4096, where it ends");
            assert_eq!(stream.size().is_some(), is_known);
            let silent = crate::progress::Silent;
            let limit = |most: u64| SizeLimit { most, description: "some".into() };
            let fits = unpack(&path, &mut open(), &limit(10_000), folder.path(), &silent);
            assert_eq!(fits.unwrap().1, 10_000);
            let fault = unpack(&path, &mut open(), &limit(9_999), folder.path(), &silent);
            let fault = fault.unwrap_err();
            assert!(matches!(fault.advice(), Some(Advice::Unpack("unzstd"))), "{fault}");
            assert!(fault.to_string().ends_with("looked for some, found more"), "{fault}");
        }
    }
}
