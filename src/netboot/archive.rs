//! tar archives in which some files change and everything else stays byte for byte: owners, modes, times and order. The
//! headers are read by the `tar` crate.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Read};

use tar::EntryType;

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::tar_limit;
use crate::image::scratch::Scratch;
use crate::image::{ReadAt, file_type};
use crate::netboot::layout::{Layout, Part};
use crate::units::{ByteRange, DISK_BLOCK, align_up};

/// Files of an archive: those for kexec have under ten.
const MOST_MEMBERS: usize = 10_000;

/// Archives are filled up to this (GNU tar manual, "The Blocking Factor of an Archive").
const RECORD: u64 = 10_240;

/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// A regular file of an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its path.
    pub path: String,
    /// Its bytes.
    pub at: ByteRange,
    /// Its header.
    header: ByteRange,
    /// Whether an extended header states its size.
    extended: bool,
}

impl Member {
    /// The path of its folder, as it is unpacked.
    pub(super) fn folder(&self) -> String {
        let path = unpacked_path(&self.path);
        path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&self.path, |(_, name)| name)
    }
}

/// Whether bytes are a tar archive.
pub fn is_tar<I: ReadAt>(image: &I) -> bool {
    file_type::head(image).is_ok_and(|head| file_type::is_tar(&head))
}

/// A path without what `tar` does not look at.
fn unpacked_path(path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

/// The paths of an archive so far. What comes again under a path is what is there once all is unpacked, but for folders.
#[derive(Default)]
struct Seen(BTreeMap<String, bool>);

impl Seen {
    fn add(&mut self, path: &str, kind: EntryType) -> Result<()> {
        let both_folders = self.0.insert(unpacked_path(path), kind.is_dir());
        if both_folders.is_none_or(|before| before && kind.is_dir()) {
            return Ok(());
        }
        Err(Error::unsupported("the tar archive", "each path once", format!("{path} twice"))
            .with_hint("pack it again, with each file once"))
    }
}

/// The regular files of an archive.
pub fn members<I: ReadAt>(image: &I) -> Result<Vec<Member>> {
    entries(image).map(|(files, _)| files)
}

/// The regular files of an archive, and the paths of its links.
///
/// # Errors
/// An archive that is broken, or has a path twice.
pub(super) fn entries<I: ReadAt>(image: &I) -> Result<(Vec<Member>, Vec<String>)> {
    let window = ByteRange::up_to(image.size());
    tar_limit::check(Scratch::new(image, window)).map_err(|fault| broken(0, &fault))?;
    let mut archive = tar::Archive::new(Scratch::new(image, window));
    let (mut found, mut links, mut seen) = (Vec::new(), Vec::new(), Seen::default());
    let mut end = 0;
    let entries = archive.entries_with_seek().map_err(|fault| broken(0, &fault))?;
    for (number, entry) in entries.enumerate() {
        let last = found.last().map_or(0, |member: &Member| member.at.end());
        let mut entry = entry.map_err(|fault| broken(last, &fault))?;
        if number >= MOST_MEMBERS {
            let expected = format!("at most {MOST_MEMBERS} files");
            return Err(Error::unsupported("the tar archive", expected, "more"));
        }
        let after = entry.raw_file_position().checked_add(entry.size());
        let after = after.and_then(|after| align_up(after, DISK_BLOCK));
        end = after.ok_or_else(|| broken(last, &"a file that ends behind the archive"))?;
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        seen.add(&path, kind)?;
        if kind.is_hard_link() || kind.is_symlink() {
            links.push(path);
            continue;
        }
        if !kind.is_file() {
            continue;
        }
        let at = ByteRange::new(entry.raw_file_position(), entry.size());
        let header = ByteRange::new(entry.raw_header_position(), DISK_BLOCK);
        let (Some(at), Some(header)) = (at.filter(|at| at.end() <= image.size()), header) else {
            return Err(broken(last, &"a file that ends behind the archive"));
        };
        let extended = states_size(&mut entry).map_err(|fault| broken(last, &fault))?;
        found.push(Member { path, at, header, extended });
    }
    check_end(image, end)?;
    Ok((found, links))
}

/// Whether an extended header states the size of a file, which counts before that in its own header.
fn states_size<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<bool> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(false) };
    let mut is_stated = false;
    for extension in extensions {
        is_stated |= extension?.key() == Ok("size");
    }
    Ok(is_stated)
}

/// An archive ends with zeros; one that does not was cut.
fn check_end<I: ReadAt>(image: &I, end: u64) -> Result<()> {
    let mut block = [1; 512];
    let whole = image.read_exact_at(&mut block, end).is_ok() && block == [0; 512];
    if whole { Ok(()) } else { Err(broken(end, &"no end of the archive")) }
}

fn broken(at: u64, fault: &impl Display) -> Error {
    Error::malformed(
        "the tar archive",
        at,
        fault.to_string(),
        "headers and files that belong together",
    )
}

/// The archive with other contents of some files, in a layout over itself. If those are `private`, others cannot
/// read the files that are unpacked.
pub fn with<I: ReadAt>(
    image: &I,
    mut replaced: Vec<(Member, Layout)>,
    private: bool,
) -> Result<Layout> {
    replaced.sort_by_key(|(member, _)| member.header);
    let mut new = Layout::default();
    let mut done = 0;
    for (member, contents) in replaced {
        let why = format!("{} of the archive", member.path);
        let kept = ByteRange::between(done, member.header.start());
        let kept = kept.ok_or_else(|| broken(member.header.start(), &"a file within another"))?;
        new.put(&Part::base(&[kept]), &why)?;
        new.raw(header(image, &member, contents.end(), private)?, &why)?;
        new.append(contents)?;
        new.fill_up(DISK_BLOCK)?;
        done = checked::round_up(member.at.end(), DISK_BLOCK, "the end of a file")?;
    }
    let rest = ByteRange::between(done, image.size());
    let rest = rest.ok_or_else(|| broken(done, &"no end of the archive"))?;
    new.put(&Part::base(&[rest]), "the rest of the archive")?;
    if image.size().is_multiple_of(RECORD) {
        new.fill_up(RECORD)?;
    }
    Ok(new)
}

/// A header with another size, and without permissions for others if it is `private`.
fn header<I: ReadAt>(image: &I, member: &Member, size: u64, private: bool) -> Result<Vec<u8>> {
    if member.extended {
        return Err(Error::unsupported(
            format!("{} in the archive", member.path),
            "its size in its own header",
            "an extended header that states it",
        )
        .with_hint("pack it again with `tar -H gnu`"));
    }
    let mut bytes = image.read_range("a tar header", member.header, DISK_BLOCK)?;
    let header = checked::part(&bytes, ..size_of::<tar::Header>(), "a tar header")?;
    let mut header = tar::Header::from_byte_slice(header).clone();
    header.set_size(size);
    if private {
        let mode = header.mode().map_err(|fault| broken(member.header.start(), &fault))?;
        header.set_mode(mode & !OTHERS);
    }
    header.set_cksum();
    bytes.copy_from_slice(header.as_bytes());
    Ok(bytes)
}
