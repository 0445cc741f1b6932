//! Files, folders and links to be laid over a root: no two in one place, none outside, nothing below
//! anything but folders.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::arg_ref::ArgRef;
use super::places;
use crate::checked;
use crate::error::{Error, Result};
use crate::file_state::FileState;
use crate::formats::newc::{Kind, Member};
use crate::recipe::called;
use crate::recipe::edits::{NIXOS, folder};
use crate::stop;
use crate::units::{format_bytes, u64_len, u64_of, usize_of};

/// Links that one path may lead through (Linux `include/linux/namei.h`, `MAXSYMLINKS`).
const MOST_LINKS: u8 = 40;

/// Where the bytes of a file are until they are wanted.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Here.
    Bytes(Arc<[u8]>),
    /// In a file of its own.
    Path(Box<ListedFile>),
    /// In an archive, from a byte on, so many.
    Part(Arc<File>, u64, u64),
}

impl Content {
    /// How many.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64_len(bytes),
            Self::Path(listed) => listed.state.size(),
            Self::Part(_, _, size) => *size,
        }
    }

    /// The bytes, exactly as many as there were when the file was found.
    pub(super) fn open(&self) -> ContentReader {
        let content = self.clone();
        ContentReader { left: self.size(), done: 0, content, file: None, is_over: false }
    }

    /// The first bytes.
    pub(super) fn head(&self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open().take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A file as it was when it was found.
#[derive(Clone, Debug)]
pub(super) struct ListedFile {
    path: PathBuf,
    state: FileState,
    /// How it is opened: what has its name by now may be a link, or a FIFO, which waits for its other end.
    flags: OFlags,
}

impl ListedFile {
    /// A file that the user names, also through a link.
    pub(super) fn named(path: &Path, about: &Metadata) -> Self {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        Self { path: path.to_owned(), state: FileState::new(about), flags }
    }

    /// A file that was found in a folder: none of its links are followed.
    pub(super) fn found(path: &Path, about: &Metadata) -> Self {
        let named = Self::named(path, about);
        Self { flags: named.flags | OFlags::NOFOLLOW, ..named }
    }

    /// Opens that very file.
    fn open(&self) -> io::Result<File> {
        let flags = self.flags.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(&self.path);
        let file = file.map_err(|fault| match Errno::from_io_error(&fault) {
            // A link, a socket.
            Some(Errno::LOOP | Errno::NXIO) => {
                Error::Changed { what: self.path.display().to_string() }.into()
            }
            _ => fault,
        })?;
        self.state.check(&file, &self.path)?;
        Ok(file)
    }

    /// Why a file ends before the size that it had.
    fn ended_early(&self, file: &File) -> io::Error {
        self.state.check(file, &self.path).map_or_else(io::Error::from, |()| untold())
    }

    /// Refuses a file that changed while it was read, or of which the system told another size than it has.
    fn check_end(&self, mut file: &File) -> io::Result<()> {
        self.state.check(file, &self.path)?;
        match file.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(untold()),
        }
    }
}

/// The error for a file as those of /proc and /sys, which look empty or have fewer bytes than they claim.
fn untold() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, UNTOLD)
}

/// What is wrong with such a file.
pub(super) const UNTOLD: &str = "the system does not tell how many bytes it has";

/// Reads contents; a file that is not what it was is an error. A file is open while it is read only.
#[derive(Debug)]
pub(super) struct ContentReader {
    content: Content,
    file: Option<File>,
    done: u64,
    left: u64,
    is_over: bool,
}

impl ContentReader {
    /// Looks once at a file that was read to its end.
    fn end(&mut self) -> io::Result<()> {
        let file = self.file.take();
        match &self.content {
            Content::Path(listed) if !self.is_over => {
                self.is_over = true;
                listed.check_end(&file.map_or_else(|| listed.open(), Ok)?)
            }
            _ => Ok(()),
        }
    }
}

impl Read for ContentReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        stop::check()?;
        let length = buf.len().min(usize_of(self.left));
        if buf.is_empty() {
            return Ok(0);
        }
        if length == 0 {
            return self.end().map(|()| 0);
        }
        let buf = checked::part_mut(buf, ..length, "room to read")?;
        let read = match &self.content {
            Content::Bytes(bytes) => {
                checked::part(bytes, usize_of(self.done).., "the rest of a file")?.read(buf)?
            }
            Content::Part(file, at, _) => {
                file.read_at(buf, checked::sum(*at, self.done, "a place in a file")?)?
            }
            Content::Path(listed) => {
                let file = self.file.take().map_or_else(|| listed.open(), Ok)?;
                let file = self.file.insert(file);
                match file.read(buf)? {
                    0 => return Err(listed.ended_early(file)),
                    read => read,
                }
            }
        };
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive became shorter"));
        }
        self.done = checked::sum(self.done, u64_of(read), "what was read")?;
        self.left = checked::difference(self.left, u64_of(read), "what is left to read")?;
        Ok(read)
    }
}

/// What something is.
#[derive(Clone, Debug)]
pub(super) enum What {
    Folder,
    Link(String),
    File(Content),
}

/// A file, folder or link of an overlay.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) what: What,
    /// The flag and the number of its value that brought it.
    pub(super) by: (&'static str, usize),
}

/// Bytes of memory that the names of an overlay and what its links lead to may take: they are held several times.
const LARGEST: usize = 32 << 20;

/// Everything, by paths without a leading slash.
#[derive(Debug, Default)]
pub(super) struct OverlayTree {
    items: BTreeMap<String, Item>,
    /// Bytes of memory that the items take.
    held: usize,
    /// How often something was put in, also where something else stood.
    laid: usize,
}

impl OverlayTree {
    /// Adds an item. It replaces an earlier one of the same argument, as archives may have a name twice.
    pub(super) fn put(&mut self, asked: ArgRef<'_>, path: &str, item: Item) -> Result<()> {
        let refusal = places::refusal(path, matches!(item.what, What::Folder));
        let of_target = || match &item.what {
            What::Link(to) => places::refusal_of_target(to),
            _ => None,
        };
        if let Some(refusal) = refusal.or_else(of_target) {
            return Err(asked.fault(format!("/{path}: {}", refusal.why), refusal.hint.to_string()));
        }
        if places::is_passed_over(path) {
            return Ok(());
        }
        self.laid = self.laid.saturating_add(1);
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        for parent in above {
            if self.items.get(parent).is_some_and(|found| !matches!(found.what, What::Folder)) {
                let what = format!("/{path} lies below /{parent}, which is not a folder here");
                return Err(asked
                    .fault(what, "nothing is put in through a link: name the place it points to"));
            }
        }
        let is_folder = matches!(item.what, What::Folder);
        if !is_folder && self.below(path) {
            let what = format!("/{path} is a folder with files here, and something else as well");
            return Err(asked.fault(what, "give one of them another name"));
        }
        let there = self.items.get(path);
        if is_folder && there.is_some_and(|found| !matches!(found.what, What::Folder)) {
            let what = format!("/{path} is a folder here, and something else as well");
            return Err(asked.fault(what, "give one of them another name"));
        }
        if !is_folder && there.is_some_and(|found| found.by != item.by) {
            self.check_free(asked, path)?;
        }
        self.hold(path, &item, || asked.place())?;
        self.items.insert(path.to_owned(), item);
        Ok(())
    }

    /// Counts an item, which `place` brings.
    fn hold(&mut self, path: &str, item: &Item, place: impl FnOnce() -> String) -> Result<()> {
        let target = if let What::Link(to) = &item.what { to.len() } else { 0 };
        let listed = match &item.what {
            What::File(Content::Path(listed)) => {
                size_of::<ListedFile>().saturating_add(listed.path.as_os_str().len())
            }
            _ => 0,
        };
        let own = size_of::<(String, Item)>().saturating_add(path.len()).saturating_add(target);
        let own = own.saturating_add(listed);
        self.held = self.held.saturating_add(own);
        if self.held <= LARGEST {
            return Ok(());
        }
        let most = format_bytes(u64_of(LARGEST));
        Err(Error::Recipe {
            what: format!("{}: the names of its files and folders take more than {most}", place()),
            hint: "give fewer files, or names that are shorter: an archive within is one file"
                .into(),
        })
    }

    /// Refuses a place in which something is that another argument brought.
    pub(super) fn check_free(&self, asked: ArgRef<'_>, path: &str) -> Result<()> {
        let Some((name, index)) = self.get(path).map(|item| item.by) else { return Ok(()) };
        let other = ArgRef { name, index, ..asked };
        let what = format!(
            "/{path} comes from {}, and from {} {}, too",
            asked.value(),
            other.place(),
            other.value()
        );
        Err(asked.fault(what, "leave out one of them, or give one of them another path"))
    }

    /// Lays something of our own, in a place of our own.
    pub(super) fn put_own(&mut self, path: &str, item: Item) {
        self.items.insert(path.to_owned(), item);
    }

    fn below(&self, path: &str) -> bool {
        let start = format!("{path}/");
        self.items.range(start.clone()..).next().is_some_and(|(found, _)| found.starts_with(&start))
    }

    /// Makes the folders above everything, and gives those that NixOS has itself their own modes.
    pub(super) fn finish(&mut self) -> Result<()> {
        let mut missing: BTreeMap<String, Item> = BTreeMap::new();
        let items = mem::take(&mut self.items);
        for path in items.keys() {
            stop::check()?;
            let above = path.rmatch_indices('/').filter_map(|(at, _)| path.get(..at));
            // All above one that is made is made, and all above one that is there has its own turn.
            let is_new = |path: &&str| !missing.contains_key(*path) && !items.contains_key(*path);
            let new: Vec<&str> = above.take_while(is_new).collect();
            for path in new {
                let Member { mode, owner, .. } = folder(path);
                let item = Item { mode, owner, what: What::Folder, by: ("overlay", 0) };
                self.hold(path, &item, || called("overlay"))?;
                missing.insert(path.to_owned(), item);
            }
        }
        self.items = items;
        self.items.append(&mut missing);
        for (path, item) in &mut self.items {
            if matches!(item.what, What::Folder) && places::is_nixos_folder(path) {
                let own = folder(path);
                (item.mode, item.owner) = (own.mode, own.owner);
            }
        }
        Ok(())
    }

    /// Gives something another mode and owner.
    pub(super) fn set(&mut self, path: &str, mode: u32, owner: (u32, u32)) {
        if let Some(item) = self.items.get_mut(path) {
            (item.mode, item.owner) = (mode, owner);
        }
    }

    /// The path that a path leads to by the links laid here; none if they go round in circles.
    pub(super) fn real(&self, path: &str) -> Option<String> {
        let mut rest: Vec<&str> = path.rsplit('/').collect();
        let mut found: Vec<&str> = Vec::new();
        let mut links = 0..MOST_LINKS;
        while let Some(name) = rest.pop() {
            match name {
                "" | "." => continue,
                ".." => drop(found.pop()),
                _ => found.push(name),
            }
            let Some(What::Link(to)) = self.items.get(&found.join("/")).map(|item| &item.what)
            else {
                continue;
            };
            links.next()?;
            if to.starts_with('/') {
                found.clear();
            } else {
                found.pop();
            }
            rest.extend(to.rsplit('/'));
        }
        Some(found.join("/"))
    }

    pub(super) fn laid(&self) -> usize {
        self.laid
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Item> {
        self.items.get(path)
    }

    /// Everything, parents first.
    pub(super) fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.items.iter().map(|(path, item)| (path.as_str(), item))
    }

    /// Bytes of memory that the names take.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Bytes of all files.
    pub(super) fn size(&self) -> u64 {
        let sizes = self.items.values().map(|item| match &item.what {
            What::File(content) => content.size(),
            _ => 0,
        });
        sizes.sum()
    }

    /// Everything with its bytes.
    pub(super) fn members(&self) -> Result<Vec<Member>> {
        let read = |path: &str, content: &Content| -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let read = content.open().read_to_end(&mut bytes);
            read.map_err(Error::io(format!("read the file for /{path}")))?;
            Ok(bytes)
        };
        let mut found = Vec::new();
        for (path, item) in self.items() {
            stop::check()?;
            let bytes = match &item.what {
                What::File(content) => read(path, content)?,
                _ => Vec::new(),
            };
            found.push(member(path, item, bytes));
        }
        Ok(found)
    }

    /// Everything without its bytes.
    pub(super) fn listed(&self) -> Vec<Member> {
        self.items().map(|(path, item)| member(path, item, Vec::new())).collect()
    }
}

fn member(path: &str, item: &Item, bytes: Vec<u8>) -> Member {
    let kind = match &item.what {
        What::Folder => Kind::Directory,
        What::Link(to) => Kind::Symlink(to.clone()),
        What::File(_) => Kind::File(bytes),
    };
    Member { path: path.to_owned(), mode: item.mode, owner: item.owner, kind }
}

/// The owner by rule: `nixos` below its home, root elsewhere.
pub(super) fn owner_of(path: &str) -> (u32, u32) {
    if path == "home/nixos" || path.starts_with("home/nixos/") { NIXOS } else { (0, 0) }
}

/// A name as messages show it: what is not text is escaped.
pub(super) fn shown(name: &OsStr) -> String {
    name.as_encoded_bytes().escape_ascii().to_string()
}

/// What is wrong with a name, and what mends that.
pub(super) struct NameFault {
    /// What it has.
    pub(super) has: &'static str,
    /// Whether it leads out of the folder that the archive was made of.
    pub(super) leads_out: bool,
}

/// A path below the root from a name; empty for the root itself.
pub(super) fn below_root(name: &OsStr) -> Result<String, NameFault> {
    let of_word = |has| NameFault { has, leads_out: false };
    let of_place = |has| NameFault { has, leads_out: true };
    let mut path = String::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(word) => {
                let word = word.to_str().ok_or(of_word("a name that is not UTF-8"))?;
                if word.chars().any(char::is_control) {
                    return Err(of_word("a control character in its name"));
                }
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(word);
            }
            Component::CurDir => {}
            Component::ParentDir => {
                return Err(of_place("`..` in its name, which may lead out of the root"));
            }
            Component::RootDir | Component::Prefix(_) => return Err(of_place("an absolute name")),
        }
    }
    Ok(path)
}
