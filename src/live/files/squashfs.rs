//! squashfs images: made of a large overlay, and taken as they are where they hold store paths. The
//! `backhand` crate reads and writes them.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Component, Path};

use backhand::compression::{CompressionOptions, Compressor, Zstd};
use backhand::{FilesystemCompressor, FilesystemReader, FilesystemWriter, InnerNode, NodeHeader};

use super::arg_ref::ArgRef;
use super::overlay_tree::{OverlayTree, What};
use crate::error::{Error, Result};
use crate::image::{ImageFile, ReadAt};
use crate::iso::survey::squashfs;
use crate::recipe::{edits, setting};
use crate::stop;
use crate::temporary;
use crate::units::{ByteRange, u64_len};

/// The first bytes of an image with the least significant byte first.
const MAGIC: &[u8; 4] = b"hsqs";

/// Bytes of a superblock up to and with the size of the image, `bytes_used`.
const HEADER: usize = 48;

/// Fast, and half as large as without.
const LEVEL: u32 = 3;

/// A file without a name, which is gone with the program.
pub(super) fn unnamed_file() -> Result<File> {
    tempfile::tempfile_in(temporary::folder()).map_err(Error::io(temporary::doing()))
}

/// A squashfs of everything: the same for the same files, without a clock.
pub(super) fn pack(overlay: &OverlayTree) -> Result<ImageFile> {
    let file = unnamed_file()?;
    let written = write(overlay, &file);
    // The crate keeps what was wrong in errors of its own.
    written.map_err(|fault| match stop::check() {
        Err(stopped) => stopped,
        Ok(()) => Error::io("make a squashfs of the overlay")(as_io(fault)),
    })?;
    ImageFile::opened(file, "the squashfs of the overlay")
}

/// The error of the system, where it is one.
fn as_io(fault: backhand::BackhandError) -> io::Error {
    match fault {
        backhand::BackhandError::StdIo(fault) => fault,
        other => io::Error::other(other),
    }
}

/// A file that is written until the user wants to stop.
struct Stoppable<'a>(&'a File);

impl Write for Stoppable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stop::check()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Stoppable<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

fn write(overlay: &OverlayTree, file: &File) -> Result<(), backhand::BackhandError> {
    let mut writer = FilesystemWriter::default();
    let options = CompressionOptions::Zstd(Zstd { compression_level: LEVEL });
    writer.set_compressor(FilesystemCompressor::new(Compressor::Zstd, Some(options))?);
    writer.set_time(0);
    writer.set_root_mode(0o755);
    for (path, item) in overlay.items() {
        stop::check().map_err(std::io::Error::from)?;
        let [low, high, ..] = (item.mode & 0o7777).to_le_bytes();
        let mode = u16::from_le_bytes([low, high]);
        let header = NodeHeader::new(mode, item.owner.0, item.owner.1, 0);
        match &item.what {
            What::Folder => writer.push_dir(path, header)?,
            What::Link(to) => writer.push_symlink(to, path, header)?,
            What::File(content) => writer.push_file(content.open(), path, header)?,
        }
    }
    let mut out = BufWriter::new(Stoppable(file));
    writer.write(&mut out)?;
    out.flush()?;
    Ok(())
}

/// What stands beside the store paths of a squashfs, for `nix-store --load-db` (nixpkgs, `make-squashfs.nix`).
const REGISTRATION: &str = "/nix-path-registration";

/// What is proposed where a file is not such a squashfs.
const STORE_HINT: &str = "give one as nixpkgs' make-squashfs.nix or `mksquashfs $(nix-store -qR …)` make it, with zstd, xz or gzip";

/// A squashfs of store paths, and whether it has a list of them that Nix can be told.
pub(super) fn store(
    asked: ArgRef<'_>,
    path: &Path,
    on_path: bool,
    notes: &mut Vec<String>,
) -> Result<(ImageFile, bool)> {
    let shown = path.display();
    let image = ImageFile::open(path)?;
    check_header(asked, path, &image)?;
    let all = ByteRange::up_to(image.size());
    let found = squashfs::open(&image, all, |found| Ok(StorePaths::read(found)));
    let found = found
        .map_err(|fault| asked.fault(format!("{shown} cannot be read: {fault}"), STORE_HINT))?;
    if !found.has_paths {
        let what = format!("{shown} has no store paths, neither at its top nor below /nix/store");
        return Err(asked.fault(what, STORE_HINT));
    }
    notes.extend(found.notes(on_path).map(|note| format!("{shown} has {note}")));
    Ok((image, found.is_registered))
}

/// Refuses what is not a squashfs, not all of one, or too large for a file on the volume.
fn check_header(asked: ArgRef<'_>, path: &Path, image: &ImageFile) -> Result<()> {
    let (shown, there) = (path.display(), image.size());
    let other = || asked.fault(format!("{shown} is not a squashfs"), STORE_HINT);
    let mut header = [0; HEADER];
    if there < u64_len(&header) {
        return Err(other());
    }
    image.read_exact_at(&mut header, 0)?;
    let size = header.strip_prefix(MAGIC).and_then(|rest| rest.last_chunk::<8>());
    let used = u64::from_le_bytes(*size.ok_or_else(other)?);
    if used > there {
        let what = format!("{shown} is cut off: {used} bytes by its header, {there} there");
        return Err(asked.fault(what, "copy it again"));
    }
    if u32::try_from(there).is_err() {
        let what =
            format!("{shown} has {there} bytes, and a file on the volume has fewer than 4 GiB");
        return Err(asked.fault(what, "split it into several"));
    }
    Ok(())
}

/// The facts of a squashfs of store paths that checks and notes need.
struct StorePaths {
    has_paths: bool,
    are_all_of_root: bool,
    has_programs: bool,
    is_registered: bool,
}

impl StorePaths {
    fn read(found: &FilesystemReader<'_>) -> Self {
        let is_path =
            |node: &&backhand::Node<_>| store_path(&node.fullpath).is_some_and(|rest| rest == 0);
        let is_bin = |path: &Path| path.ends_with("bin") && store_path(path) == Some(1);
        let is_program = |node: &backhand::Node<_>| {
            !matches!(node.inner, InnerNode::Dir(_)) && node.fullpath.parent().is_some_and(is_bin)
                || matches!(node.inner, InnerNode::Symlink(_)) && is_bin(&node.fullpath)
        };
        Self {
            has_paths: found.files().any(|node| is_path(&node)),
            are_all_of_root: found.files().filter(is_path).all(|node| node.header.uid == 0),
            has_programs: found.files().any(is_program),
            is_registered: found.files().any(|node| node.fullpath == Path::new(REGISTRATION)),
        }
    }

    /// Notes for the user, to follow a name and `has`.
    fn notes(&self, on_path: bool) -> impl Iterator<Item = String> {
        let owner = (!self.are_all_of_root)
            .then(|| "store paths that are not root's: make it with -all-root".into());
        let programs = (on_path && !self.has_programs)
            .then(|| format!("no programs that {} could put on the PATH", setting!(path)));
        let registration = (!self.is_registered).then(|| {
            "no nix-path-registration: its programs run, and Nix does not know its paths".into()
        });
        owner.into_iter().chain(programs).chain(registration)
    }
}

/// Whether a squashfs has files that others must not read.
pub(super) fn holds_secrets(image: &ImageFile) -> Result<bool> {
    let Some(all) = ByteRange::new(0, image.size()) else { return Ok(true) };
    Ok(!edits::secrets(&squashfs::members(image, all)?).is_empty())
}

/// How many names a path is below a store path; none outside of store paths.
fn store_path(path: &Path) -> Option<usize> {
    let names: Vec<&str> = path
        .components()
        .filter(|component| matches!(component, Component::Normal(_)))
        .filter_map(|component| component.as_os_str().to_str())
        .collect();
    let names = names.strip_prefix(&["nix", "store"]).unwrap_or(&names);
    let (first, rest) = names.split_first()?;
    is_store_name(first).then_some(rest.len())
}

/// Whether a name is that of a store path: 32 digits of base 32, a dash, a name.
fn is_store_name(name: &str) -> bool {
    let Some((hash, rest)) = name.split_at_checked(32) else { return false };
    hash.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        && rest.strip_prefix('-').is_some_and(|rest| !rest.is_empty())
}
