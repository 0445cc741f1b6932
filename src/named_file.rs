//! What a file really is that an argument or a setting names, by its first bytes, and whether that is what is asked for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::formats::patch_file::PatchFile;
use crate::image::file_type::{FileType, HEAD, is_tar, is_unwritten};
use crate::image::unpack::Packing;
use crate::keys;

/// What a file is, as far as an argument must know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A directory.
    Folder,
    /// What can be read once.
    Pipe,
    /// A file without a byte.
    Empty,
    /// An ISO or disk image.
    Image,
    /// A squashfs.
    Squashfs,
    /// A tar archive, or packed data.
    Archive,
    /// A patch file.
    Patch,
    /// A private key, of ssh or another program.
    PrivateKey,
    /// A public ssh key.
    PublicKey,
    /// An ELF program.
    Program,
    /// A text that begins with `#!`.
    Script,
    /// What a server sends in place of a file, or what tells of one: a web page, a torrent, a pointer of Git LFS.
    Page,
    /// Any other text.
    Text,
    /// Bytes that have a name, as a picture.
    Other,
    /// Bytes that have none.
    Unknown,
}

/// What an argument or a setting asks for. What it takes, and is wrong all the same, is reported by what reads it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it asks for, as `a squashfs`.
    pub wanted: &'static str,
    /// What it takes.
    pub takes: &'static [Kind],
    /// What to do where a file is something else.
    pub hint: fn() -> String,
}

/// Values in place of a path.
const NO_PATHS: [&str; 3] = ["-", "generate", "agent"];

/// What stands in front of what is not a path.
const PREFIXES: [&str; 3] = ["generate:", "env:", "fd:"];

/// The file that a value is read from; none for one that no file is read for.
pub fn path_of(word: &OsStr) -> Option<PathBuf> {
    if word == "-" {
        return Some("/dev/stdin".into());
    }
    if let Some(number) = word.to_str().and_then(|word| word.strip_prefix("fd:")) {
        return Some(Path::new("/dev/fd").join(number));
    }
    is_path(word).then(|| word.into())
}

fn is_path(word: &OsStr) -> bool {
    let bytes = word.as_encoded_bytes();
    let has_prefix = PREFIXES.iter().any(|prefix| bytes.starts_with(prefix.as_bytes()));
    !NO_PATHS.iter().any(|known| *known == word) && !has_prefix
}

impl Rule {
    /// What the file of a path is, and what is asked for, if it is not that.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn judge(&self, word: &OsStr) -> io::Result<Option<String>> {
        if word.is_empty() {
            return Ok(Some(format!("it is empty, not {}", self.wanted)));
        }
        if !is_path(word) {
            let is_text = word.to_str().is_some();
            return Ok((!is_text).then(|| format!("{} is not UTF-8", word.display())));
        }
        let found = recognize(Path::new(word))?;
        let other = found.filter(|(kind, _)| !self.takes.contains(kind));
        let word = word.display();
        Ok(other.map(|(_, name)| format!("{word} is {name}, not {}", self.wanted)))
    }
}

/// What a regular file is; none where there is no such file.
///
/// # Errors
/// A file that cannot be read.
pub fn name_of_file(path: &Path) -> io::Result<Option<String>> {
    if !path.is_file() {
        return Ok(None);
    }
    let found = recognize(path)?;
    Ok(found.map(|(kind, name)| match kind {
        Kind::Empty => "an empty file".to_owned(),
        Kind::Archive => "packed data".to_owned(),
        Kind::Unknown => "a file".to_owned(),
        _ => name,
    }))
}

/// What a regular file is that an image would be lost on: neither an image, nor the beginning of one, nor blank.
///
/// # Errors
/// A file that cannot be read.
pub fn name_of_kept(path: &Path) -> io::Result<Option<String>> {
    if !path.is_file() || matches!(recognize(path)?, Some((Kind::Image | Kind::Empty, _))) {
        return Ok(None);
    }
    if is_unwritten(&head_of(path)?) { Ok(None) } else { name_of_file(path) }
}

/// What there is at a path, and its name; none for a device.
fn recognize(path: &Path) -> io::Result<Option<(Kind, String)>> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Ok(Some((Kind::Folder, "a folder".into())));
    }
    if about.file_type().is_socket() {
        return Ok(Some((Kind::Other, "a socket".into())));
    }
    if about.file_type().is_fifo() {
        return Ok(Some((Kind::Pipe, "a FIFO".into())));
    }
    if !about.is_file() {
        return Ok(None);
    }
    head_of(path).map(|head| Some(of_bytes(&head)))
}

fn head_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn of_bytes(head: &[u8]) -> (Kind, String) {
    let named = |kind: Kind, name: &str| (kind, name.to_owned());
    if head.is_empty() {
        return named(Kind::Empty, "empty");
    }
    if let Some(format) = keys::private_format(head) {
        return (Kind::PrivateKey, format!("a private key ({format})"));
    }
    if keys::is_public(head) {
        return named(Kind::PublicKey, "a public key");
    }
    if PatchFile::is_in(head) {
        return named(Kind::Patch, "a patch");
    }
    if is_tar(head) || Packing::recognize(head) != Packing::Plain {
        return named(Kind::Archive, "packed");
    }
    of_type(head, &FileType::recognize(head))
}

fn of_type(head: &[u8], file: &FileType) -> (Kind, String) {
    let other = match file {
        FileType::Disk(disk) if head.starts_with(b"hsqs") => {
            return (Kind::Squashfs, disk.name());
        }
        FileType::Disk(disk) => return (Kind::Image, disk.name()),
        FileType::Other(other) => other.is(),
    };
    let name = other.strip_prefix("is ").unwrap_or(&other).to_owned();
    let kind = match name.as_str() {
        _ if name.starts_with("not ") => Kind::Unknown,
        "a program (ELF)" => Kind::Program,
        "a script" => Kind::Script,
        "a web page" | "a torrent" | "a pointer of Git LFS" => Kind::Page,
        _ if std::str::from_utf8(head).is_ok() => Kind::Text,
        _ => Kind::Other,
    };
    (kind, name)
}
