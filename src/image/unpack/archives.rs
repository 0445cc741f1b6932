//! The one image in an archive: zip, and tar behind any packing.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zip::CompressionMethod;
use zip::result::ZipError;

use super::reader::{INPUT, Reader};
use crate::error::{Advice, Error, Material, Result};
use crate::few::Few;
use crate::formats::tar_limit;
use crate::threads;

fn zip_fault(name: &str, found: impl fmt::Display) -> Error {
    let what = format!("zip archive {name}");
    Error::unsupported(what, "exactly one image in it", found.to_string())
        .with_hint("unpack it with `unzip FILE` or `7z x FILE`, and give the image in it")
}

/// The fault of an archive that cannot be opened: one that is broken does not come out of another program either.
fn unopened(name: &str, fault: ZipError) -> Error {
    let what = || format!("zip archive {name}");
    match fault {
        ZipError::Io(fault) => Error::io(format!("read {}", what()))(fault),
        ZipError::InvalidArchive(found) => {
            let expected = "a list of its files at its end";
            Error::malformed(what(), 0, found.into_owned(), expected).advised(Material::Image)
        }
        other => zip_fault(name, other),
    }
}

/// Refuses a file that is sound and that only other programs unpack.
fn check_method(name: &str, method: CompressionMethod, is_encrypted: bool) -> Result<()> {
    let refused = |looked_for: &str, found: String| {
        let hint = "unpack it with `7z x FILE`, and give the image in it";
        Err(Error::unsupported(format!("zip archive {name}"), looked_for, found).with_hint(hint))
    };
    match method {
        _ if is_encrypted => refused("a file without a password", "an encrypted one".to_owned()),
        CompressionMethod::Stored | CompressionMethod::Deflated => Ok(()),
        // It has names for those alone that it is built with.
        #[expect(deprecated, reason = "nothing else tells the number")]
        CompressionMethod::Unsupported(number) => refused(DEFLATE, known_method(number)),
        other => refused(DEFLATE, other.to_string()),
    }
}

/// What is unpacked of zip archives.
const DEFLATE: &str = "a file that is stored or packed by deflate";

/// A method of compression by name (APPNOTE.TXT 6.3.10, 4.4.5).
fn known_method(number: u16) -> String {
    let name = match number {
        9 => "deflate64",
        12 => "bzip2",
        14 => "lzma",
        93 => "zstd",
        95 => "xz",
        98 => "ppmd",
        _ => return format!("one packed by method {number}"),
    };
    format!("one packed by {name}")
}

/// The one file of an archive that lies on disk, by its central directory.
pub(super) fn zip_file(name: &str, file: File) -> Result<(Option<u64>, Reader)> {
    let mut archive = zip::ZipArchive::new(file).map_err(|fault| unopened(name, fault))?;
    let shown = |at: usize| match archive.name_for_index(at) {
        Some(Ok(inside)) => inside.into_owned(),
        _ => format!("file {} of the archive, whose name cannot be read", at.saturating_add(1)),
    };
    let all: Vec<(usize, String)> = (0..archive.len())
        .map(|at| (at, shown(at)))
        .filter(|(_, inside)| !inside.ends_with('/') && !is_side_file(inside))
        .collect();
    let images: Vec<_> = all.iter().filter(|(_, inside)| is_image_name(inside)).collect();
    let at = match (all.as_slice(), images.as_slice()) {
        ([(at, _)], _) | (_, [(at, _)]) => *at,
        _ => {
            let names: Few = all.iter().map(|(_, inside)| inside).collect();
            return Err(zip_fault(name, format!("{} files: {names}", all.len())));
        }
    };
    let entry = archive.by_index_raw(at).map_err(|fault| unopened(name, fault))?;
    check_method(name, entry.compression(), entry.encrypted())?;
    let size = entry.size();
    drop(entry);
    Ok((
        Some(size),
        through_pipe(move |sink| {
            let mut entry = archive.by_index(at).map_err(io::Error::other)?;
            io::copy(&mut entry, sink).map(drop)
        })?,
    ))
}

/// The first file of an archive that comes through a pipe; a second one is a fault.
pub(super) fn zip_stream(mut input: impl Read + Send + 'static) -> Result<Reader> {
    through_pipe(move |sink| {
        let mut found = false;
        while let Some(mut entry) =
            zip::read::read_zipfile_from_stream(&mut input).map_err(io::Error::other)?
        {
            if entry.is_dir() || entry.name().is_ok_and(|name| is_side_file(&name)) {
                continue;
            }
            if std::mem::replace(&mut found, true) {
                let name = entry.name().unwrap_or_default();
                let found = format!("a second file: {name}");
                return Err(zip_fault("that comes by a pipe", found).into());
            }
            check_method("that comes by a pipe", entry.compression(), entry.encrypted())?;
            io::copy(&mut entry, sink)?;
        }
        Ok(())
    })
}

/// What macOS puts beside files: resource forks and the looks of folders.
fn is_side_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("__MACOSX/") || name.starts_with("._") || name == ".DS_Store"
}

fn is_image_name(name: &str) -> bool {
    let path = Path::new(name);
    let is = |wanted: &str| path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case(wanted));
    ["iso", "img", "raw"].into_iter().any(is)
}

/// Runs `produce` on a thread of its own and gives what it writes. Its fault comes last.
fn through_pipe(
    produce: impl FnOnce(&mut io::BufWriter<io::PipeWriter>) -> io::Result<()> + Send + 'static,
) -> Result<Reader> {
    let (reader, writer) = io::pipe().map_err(Error::io("make a pipe"))?;
    let thread = threads::start_alone(move || {
        let mut sink = io::BufWriter::with_capacity(INPUT, writer);
        produce(&mut sink)?;
        io::Write::flush(&mut sink)
    })?;
    Ok(Box::new(Piped { reader, thread: Some(thread) }))
}

struct Piped {
    reader: io::PipeReader,
    thread: Option<std::thread::JoinHandle<io::Result<()>>>,
}

impl Read for Piped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buf)?;
        let at_end = count == 0 && !buf.is_empty();
        if let Some(thread) = self.thread.take_if(|_| at_end) {
            thread.join().map_err(|_| io::Error::other("the unpacking thread broke"))??;
        }
        Ok(count)
    }
}

/// Bytes of a header (POSIX.1-2017 pax, "ustar Interchange Format").
const HEADER: usize = 512;

/// Bytes of the image, if an archive that begins with `head` has it as its first file.
pub(super) fn tar_size(head: &[u8]) -> Option<u64> {
    let header = tar::Header::from_byte_slice(head.get(..HEADER)?);
    let is_file = header.entry_type().is_file();
    let path = header.path().ok()?;
    if is_file && is_image_name(path.to_str()?) { header.size().ok() } else { None }
}

/// The one image in a tar archive, told by its name; a second one is a fault.
pub(super) fn tar_stream(input: Reader) -> Result<Reader> {
    through_pipe(move |sink| {
        let mut archive = tar::Archive::new(tar_limit::Limited::new(input));
        let (mut found, mut others, mut link) = (None::<String>, Few::default(), None);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.display().to_string();
            let kind = entry.header().entry_type();
            if (kind.is_symlink() || kind.is_hard_link()) && is_image_name(&name) {
                link.get_or_insert(name);
                continue;
            }
            if !entry.header().entry_type().is_file() || is_side_file(&name) {
                continue;
            }
            if !is_image_name(&name) {
                others.add(&name);
                continue;
            }
            if let Some(first) = found.replace(name.clone()) {
                return Err(no_image(&format!("two: {first} and {name}")));
            }
            io::copy(&mut entry, sink)?;
        }
        match found {
            Some(_) => Ok(()),
            None if link.is_some() => Err(link_alone(&link.unwrap_or_default())),
            None if others.is_empty() => Err(no_image("no file")),
            None => Err(no_image(&others.to_string())),
        }
    })
}

/// The fault of an archive that has the name of an image and not its bytes.
fn link_alone(name: &str) -> io::Error {
    let looked_for = "exactly one image in it, a .iso, .img or .raw file";
    Error::unsupported("tar archive", looked_for, format!("a link alone: {name}"))
        .with_hint("pack it again with the files themselves: `tar -h` follows symbolic links")
        .into()
}

fn no_image(found: &str) -> io::Error {
    let looked_for = "exactly one image in it, a .iso, .img or .raw file";
    Error::unsupported("tar archive", looked_for, found).with_hint(Advice::ImageOfArchive).into()
}
