//! A tar archive as an overlay, packed or not: modes and the numbers of owners as they are there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use tar::{Archive, Entry, EntryType};

use super::arg_ref::ArgRef;
use super::folder::{refuse_setuid, refuse_xattr, special};
use super::overlay_tree::{Content, Item, OverlayTree, What, below_root, shown};
use crate::error::{Error, Result};
use crate::formats::compression::{Compression, LARGEST_WINDOW_LOG, xz_decoder};
use crate::formats::tar_limit;
use crate::image::file_type::is_tar;
use crate::stop::{self, UntilStopped};
use crate::units::{format_bytes, u64_of};

/// Bytes that a packed archive may unpack to.
const LARGEST: u64 = 64 << 30;

/// Bytes of a header (POSIX.1 pax, "ustar Interchange Format").
const HEADER: usize = 512;

const SPOIL: &str = "give a tar archive, plain or packed by gzip, xz or zstd";

/// Lays everything in an archive.
pub(super) fn add(asked: ArgRef<'_>, path: &Path, overlay: &mut OverlayTree) -> Result<()> {
    let name = path.display().to_string();
    let file = Arc::new(unpacked(asked, path)?);
    let read =
        |fault: io::Error| asked.fault(format!("{name} is a damaged tar archive: {fault}"), SPOIL);
    let size = file.metadata().map_err(Error::io(format!("read {name}")))?.len();
    tar_limit::check(&*file).map_err(read)?;
    let mut archive = Archive::new(&*file);
    for entry in archive.entries_with_seek().map_err(read)? {
        stop::check()?;
        let mut entry = entry.map_err(read)?;
        check_extensions(asked, &mut entry).map_err(|fault| match fault {
            ExtensionFault::Damaged(fault) => read(fault),
            ExtensionFault::Refused(fault) => fault,
        })?;
        let end = entry.raw_file_position().checked_add(entry.size());
        if end.is_none_or(|end| end > size) {
            let what = format!("{name} ends within a file of {} bytes", entry.size());
            return Err(asked.fault(what, SPOIL));
        }
        one(asked, &entry, &file, overlay)?;
    }
    Ok(())
}

/// The archive as it is without packing, in a file without a name if it was packed.
fn unpacked(asked: ArgRef<'_>, path: &Path) -> Result<File> {
    let doing = || format!("read {}", path.display());
    let mut file = File::open(path).map_err(Error::io(doing()))?;
    let mut head = Vec::new();
    (&file).take(u64_of(HEADER)).read_to_end(&mut head).map_err(Error::io(doing()))?;
    file.seek(SeekFrom::Start(0)).map_err(Error::io(doing()))?;
    if is_archive(&head) {
        return Ok(file);
    }
    let packing =
        Compression::recognize(&head).ok().filter(|packing| *packing != Compression::None);
    let packing = packing.ok_or_else(|| no_tar(asked, path))?;
    let mut spool = super::squashfs::unnamed_file()?;
    let is_whole = decoder(packing, BufReader::new(UntilStopped(&file)))
        .and_then(|decoder| copy_up_to(LARGEST, decoder, &mut spool));
    if !is_whole.map_err(Error::io(format!("unpack {}", path.display())))? {
        let what = format!("{} unpacks to more than {}", path.display(), format_bytes(LARGEST));
        return Err(asked.fault(what, "make an archive of less"));
    }
    let mut head = Vec::new();
    spool.seek(SeekFrom::Start(0)).map_err(Error::io(doing()))?;
    (&spool).take(u64_of(HEADER)).read_to_end(&mut head).map_err(Error::io(doing()))?;
    spool.seek(SeekFrom::Start(0)).map_err(Error::io(doing()))?;
    if !is_archive(&head) {
        return Err(no_tar(asked, path));
    }
    Ok(spool)
}

/// Copies `most` bytes at most, and tells whether that was all there is.
fn copy_up_to(most: u64, from: impl Read, to: &mut impl Write) -> io::Result<bool> {
    let mut from = UntilStopped(from).take(most);
    io::copy(&mut from, to)?;
    Ok(io::copy(&mut from.into_inner().take(1), &mut io::sink())? == 0)
}

/// The kernel's decoders end with the first stream; archives may have several.
fn decoder<'a>(packing: Compression, from: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Compression::Xz => {
            let decoder = xz_decoder(liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, decoder))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(from)?;
            decoder.window_log_max(LARGEST_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        _ => return Err(io::Error::other("this packing is not known for archives")),
    })
}

/// Whether a file that begins so is a tar archive. An empty one is all zeros.
fn is_archive(head: &[u8]) -> bool {
    is_tar(head) || head.len() == HEADER && head.iter().all(|byte| *byte == 0)
}

fn no_tar(asked: ArgRef<'_>, path: &Path) -> Error {
    asked.fault(format!("{} is neither a folder nor a tar archive", path.display()), SPOIL)
}

/// Why an entry with extensions cannot be taken.
enum ExtensionFault {
    Damaged(io::Error),
    Refused(Error),
}

/// Refuses sparse files, whose size in the header is not that of their bytes in the archive, and attributes.
fn check_extensions(
    asked: ArgRef<'_>,
    entry: &mut Entry<'_, &File>,
) -> std::result::Result<(), ExtensionFault> {
    let mut name = shown(OsStr::from_bytes(&entry.path_bytes()));
    let mut is_sparse = entry.header().entry_type() == EntryType::GNUSparse;
    let mut xattrs = Vec::new();
    let extensions = entry.pax_extensions().map_err(ExtensionFault::Damaged)?;
    for extension in extensions.into_iter().flatten() {
        let extension = extension.map_err(ExtensionFault::Damaged)?;
        let key = String::from_utf8_lossy(extension.key_bytes()).into_owned();
        is_sparse |= key.starts_with("GNU.sparse.");
        // The name in the header is one of GNU tar's own then.
        if key == "GNU.sparse.name" {
            name = shown(OsStr::from_bytes(extension.value_bytes()));
        }
        let prefixes = ["SCHILY.xattr.", "LIBARCHIVE.xattr.", "SCHILY.acl."];
        let found = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix));
        xattrs.extend(found.map(str::to_owned));
    }
    if is_sparse {
        let what = format!("{name} is a sparse file");
        let fault = asked.fault(what, "make the archive without --sparse");
        return Err(ExtensionFault::Refused(fault));
    }
    let mut xattrs = xattrs.iter();
    xattrs.try_for_each(|xattr| refuse_xattr(asked, &name, xattr)).map_err(ExtensionFault::Refused)
}

fn one(
    asked: ArgRef<'_>,
    entry: &Entry<'_, &File>,
    file: &Arc<File>,
    overlay: &mut OverlayTree,
) -> Result<()> {
    let bytes = entry.path_bytes();
    let name = shown(OsStr::from_bytes(&bytes));
    let place = below_root(OsStr::from_bytes(&bytes)).map_err(|fault| {
        let hint = if fault.leads_out {
            "make the archive from within the folder, as `tar -C FOLDER -c .`"
        } else {
            "give it another name, and make the archive again"
        };
        asked.fault(format!("the member {name} has {}", fault.has), hint)
    })?;
    let kind = entry.header().entry_type();
    if place.is_empty() || kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    let what = what(asked, entry, file, overlay)?;
    let header = entry.header();
    let number = |found: io::Result<u64>| found.ok().and_then(|found| u32::try_from(found).ok());
    let owner = number(header.uid()).zip(number(header.gid()));
    let mode = header.mode().ok();
    let Some((mode, owner)) = mode.zip(owner) else {
        return Err(asked.fault(format!("{name} has no sound mode and owner"), SPOIL));
    };
    let bits = match &what {
        What::Folder => 0o3777,
        What::Link(_) => 0,
        What::File(_) => {
            refuse_setuid(asked, &name, mode)?;
            0o1777
        }
    };
    let mode = if bits == 0 { 0o777 } else { mode & bits };
    overlay.put(asked, &place, Item { mode, owner, what, by: (asked.name, asked.index) })
}

fn what(
    asked: ArgRef<'_>,
    entry: &Entry<'_, &File>,
    file: &Arc<File>,
    overlay: &OverlayTree,
) -> Result<What> {
    let name = shown(OsStr::from_bytes(&entry.path_bytes()));
    let found = match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {
            let at = entry.raw_file_position();
            return Ok(What::File(Content::Part(Arc::clone(file), at, entry.size())));
        }
        EntryType::Directory => return Ok(What::Folder),
        EntryType::Symlink => {
            let to = entry.link_name_bytes().unwrap_or_default();
            let to = std::str::from_utf8(&to).ok().filter(|to| !to.is_empty());
            return to.map(|to| What::Link(to.to_owned())).ok_or_else(|| {
                asked.fault(
                    format!("{name} points to a name that is not UTF-8"),
                    "let it point elsewhere",
                )
            });
        }
        EntryType::Link => return linked(asked, entry, &name, overlay),
        EntryType::Char => "a character device",
        EntryType::Block => "a block device",
        EntryType::Fifo => "a FIFO",
        _ => "of a kind that is not known",
    };
    Err(special(asked, &name, found))
}

/// A hard link becomes a copy of the file before it that it names.
fn linked(
    asked: ArgRef<'_>,
    entry: &Entry<'_, &File>,
    name: &str,
    overlay: &OverlayTree,
) -> Result<What> {
    let to = entry.link_name_bytes().unwrap_or_default();
    let place = below_root(OsStr::from_bytes(&to)).unwrap_or_default();
    match overlay.get(&place).map(|item| &item.what) {
        Some(What::File(content)) => Ok(What::File(content.clone())),
        _ => {
            let to = shown(OsStr::from_bytes(&to));
            let what = format!(
                "{name} is a hard link to {to}, which is not a file of the archive before it"
            );
            Err(asked.fault(what, "make the archive again with both files"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_unpacks_to_so_much_at_most() {
        for (most, is_whole) in [(4, true), (3, false)] {
            let mut copied = Vec::new();
            assert_eq!(copy_up_to(most, &b"1234"[..], &mut copied).unwrap(), is_whole);
            assert_eq!(u64_of(copied.len()), most);
        }
    }
}
