//! The files and directories of one hierarchy, each with its record and its bytes. The records are
//! read by `hadris-iso`; what it does not check (extents past the end, directory loops) is checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;

use hadris_fs::sync::FileSystem;
use hadris_fs::{DirCursor, DirEntry, Extent, FileType, MountOptions, NodeId};
use hadris_io::ErrorKind;
use hadris_iso::sync::IsoFs;
use hadris_iso::{CacheOptions, Namespace};

use crate::error::{Error, Result};
use crate::formats::iso9660::Hierarchy;
use crate::image::{ReadAt, past_64_bits, truncated};
use crate::iso::survey::block_device::Blocks;
use crate::iso::survey::directory;
use crate::stop;
use crate::units::{ByteRange, format_bytes, u64_of};

/// Bytes of memory that the nodes of a hierarchy take: installers have some hundreds of files.
const LARGEST: usize = 48 << 20;

/// More levels than any installer has.
const DEEPEST: usize = 64;

/// Extents of one file: 4 GiB each.
const MOST_EXTENTS: usize = 256;

/// Bytes of a path in a symbolic link that Linux follows.
const PATH_MAX: usize = 4096;

/// What a node is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, and what it says.
    Link(String),
    /// Anything else, also a link that cannot be read.
    Other,
}

/// A file or directory.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// First byte of its Directory Record: a directory's own `.` record.
    pub record: u64,
    /// Its bytes, in order: one extent unless the file is over 4 GiB.
    pub extents: Vec<ByteRange>,
}

impl Node {
    /// Bytes of all its extents.
    pub fn size(&self) -> u64 {
        self.extents.iter().map(|extent| extent.size()).sum()
    }

    /// Bytes of memory that it takes with its path.
    fn held(&self, path: &str) -> usize {
        let target = if let Kind::Link(to) = &self.kind { to.len() } else { 0 };
        let parts = [size_of::<(String, Self)>(), path.len(), target, size_of_val(&*self.extents)];
        parts.iter().fold(0, |sum: usize, part| sum.saturating_add(*part))
    }
}

/// A hierarchy: nodes by absolute path, the root being `/`.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Which hierarchy.
    pub hierarchy: Hierarchy,
    /// Its nodes.
    pub nodes: BTreeMap<String, Node>,
}

type Mounted<'a, I> = IsoFs<Blocks<'a, I>>;

impl Tree {
    /// Reads a hierarchy; the primary one with Rock Ridge names.
    pub fn read<I: ReadAt>(image: &I, hierarchy: Hierarchy) -> Result<Self> {
        let namespace = match hierarchy {
            Hierarchy::Primary => Namespace::RockRidge,
            Hierarchy::Joliet => Namespace::Joliet,
        };
        let mounted = IsoFs::mount_namespace(Blocks(image), MountOptions::new(), namespace);
        let mut volume = match mounted {
            Ok(volume) => volume.with_cache(CacheOptions::new().with_blocks(64).with_records(256)),
            Err(fault) if hierarchy == Hierarchy::Primary => return Err(no_rock_ridge(&fault)),
            Err(fault) => {
                let what = "the Joliet hierarchy";
                return Err(refused(what, 0, (fault.kind(), &fault), "a sound one"));
            }
        };
        let mut walk = Walk { image, seen: BTreeSet::new(), nodes: BTreeMap::new(), held: 0 };
        let root = volume.root();
        walk.directory(&mut volume, "/", root, 0)?;
        Ok(Self { hierarchy, nodes: walk.nodes })
    }

    /// The node of a path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The file of a path.
    pub fn file(&self, path: &str) -> Option<&Node> {
        self.get(path).filter(|node| node.kind == Kind::File)
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.kind == Kind::File)
            .map(|(path, node)| (path.as_str(), node))
    }

    /// The paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files().map(|(path, _)| path)
    }

    /// The paths of all directories, the root among them.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        let found = self.nodes.iter().filter(|(_, node)| node.kind == Kind::Directory);
        found.map(|(path, _)| path.as_str())
    }

    /// The file whose first extent starts at a byte.
    pub(crate) fn file_at(&self, start: u64) -> Option<(&str, &Node)> {
        let starts =
            |node: &Node| node.extents.first().is_some_and(|extent| extent.start() == start);
        self.files().find(|(_, node)| starts(node))
    }
}

fn no_rock_ridge(fault: &impl std::fmt::Display) -> Error {
    Error::unsupported("the primary hierarchy", "Rock Ridge names", fault.to_string())
}

fn unreadable(path: &str, at: u64, fault: &hadris_io::Error<Error>) -> Error {
    let what = format!("the Directory Records of {path}");
    refused(what, at, (fault.kind(), fault), "sound ones")
}

/// What `hadris-iso` refuses of a structure.
pub(super) fn refused(
    what: impl Into<String>,
    at: u64,
    (kind, fault): (ErrorKind, &dyn Display),
    expected: &str,
) -> Error {
    let kind = match kind {
        ErrorKind::Unsupported | ErrorKind::LimitExceeded => io::ErrorKind::Unsupported,
        _ => io::ErrorKind::InvalidData,
    };
    Error::unreadable(what, at, &io::Error::new(kind, fault.to_string()), expected)
}

struct Walk<'a, I> {
    image: &'a I,
    seen: BTreeSet<u64>,
    nodes: BTreeMap<String, Node>,
    /// Bytes of memory that the nodes take.
    held: usize,
}

impl<I: ReadAt> Walk<'_, I> {
    fn directory(
        &mut self,
        volume: &mut Mounted<'_, I>,
        path: &str,
        id: NodeId,
        depth: usize,
    ) -> Result<()> {
        if !self.seen.insert(id.get()) {
            let what = format!("the directory {path}");
            return Err(Error::malformed(what, id.get(), "a loop", "a tree"));
        }
        if depth > DEEPEST {
            let expected = format!("at most {DEEPEST} levels of directories");
            return Err(Error::unsupported("the directory tree", expected, path));
        }
        self.node(volume, path, id, Kind::Directory)?;
        let mut cursor = DirCursor::START;
        while let Some(entry) =
            volume.readdir(id, cursor).map_err(|fault| unreadable(path, id.get(), &fault))?
        {
            cursor = entry.next_cursor();
            self.entry(volume, path, &entry, depth)?;
        }
        self.check_records(path)
    }

    /// Whether a directory has no other records than those that were listed.
    fn check_records(&self, path: &str) -> Result<()> {
        let extents = self.nodes.get(path).map(|node| node.extents.as_slice());
        let [at] = extents.unwrap_or_default() else {
            let what = format!("the directory {path}");
            return Err(Error::unsupported(what, "one extent", "none or several"));
        };
        let start = format!("{}/", path.trim_end_matches('/'));
        let below = self.nodes.range(start.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&start));
        let own = below.filter(|(path, _)| {
            path.strip_prefix(&start).is_some_and(|name| !name.is_empty() && !name.contains('/'))
        });
        let first = |node: &Node| node.extents.first().map(|extent| extent.start());
        let listed: Vec<Option<u64>> = own.map(|(_, node)| first(node)).collect();
        directory::check(path, &directory::records(self.image, path, *at)?, &listed)
    }

    fn entry(
        &mut self,
        volume: &mut Mounted<'_, I>,
        parent: &str,
        entry: &DirEntry,
        depth: usize,
    ) -> Result<()> {
        stop::check()?;
        let name = String::from_utf8_lossy(entry.name().as_bytes()).into_owned();
        directory::check_name(parent, &name)?;
        let path = format!("{}/{name}", parent.trim_end_matches('/'));
        match entry.file_type() {
            FileType::Dir => self.directory(volume, &path, entry.node(), depth.saturating_add(1)),
            FileType::File => {
                // What cannot be read of a record may be its name.
                volume
                    .stat(entry.node())
                    .map_err(|fault| unreadable(parent, entry.node().get(), &fault))?;
                self.node(volume, &path, entry.node(), Kind::File)
            }
            FileType::Symlink => {
                let mut target = [0; PATH_MAX];
                let target = volume.readlink(entry.node(), &mut target);
                let text = target.ok().and_then(|target| std::str::from_utf8(target).ok());
                let kind = text.map_or(Kind::Other, |text| Kind::Link(text.to_owned()));
                self.node(volume, &path, entry.node(), kind)
            }
            _ => self.node(volume, &path, entry.node(), Kind::Other),
        }
    }

    fn node(
        &mut self,
        volume: &mut Mounted<'_, I>,
        path: &str,
        id: NodeId,
        kind: Kind,
    ) -> Result<()> {
        let extents = match kind {
            Kind::Link(_) | Kind::Other => Vec::new(),
            Kind::Directory | Kind::File => self.extents(volume, path, id)?,
        };
        let node = Node { kind, record: id.get(), extents };
        self.held = self.held.saturating_add(node.held(path));
        if self.held > LARGEST {
            let expected = format!("names of {} at most", format_bytes(u64_of(LARGEST)));
            return Err(Error::unsupported("the directory tree", expected, "more"));
        }
        if self.nodes.insert(path.to_owned(), node).is_some() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            return Err(directory::twice(if parent.is_empty() { "/" } else { parent }, name));
        }
        Ok(())
    }

    fn extents(
        &self,
        volume: &mut Mounted<'_, I>,
        path: &str,
        id: NodeId,
    ) -> Result<Vec<ByteRange>> {
        // One more tells that there are more.
        let mut found = [Extent::new(0, 0); MOST_EXTENTS + 1];
        let count = volume
            .extents(id, 0, &mut found)
            .map_err(|fault| unreadable(path, id.get(), &fault))?;
        check_extents(path, count)?;
        let ranges = found.iter().take(count).map(|extent| {
            let range = ByteRange::new(extent.offset(), extent.len());
            let range = range.ok_or_else(|| past_64_bits(extent.offset()))?;
            let size = self.image.size();
            if range.end() <= size { Ok(range) } else { Err(truncated(path, range, size)) }
        });
        ranges.collect()
    }
}

fn check_extents(path: &str, count: usize) -> Result<()> {
    if count <= MOST_EXTENTS {
        return Ok(());
    }
    Err(Error::unsupported(path, format!("at most {MOST_EXTENTS} extents"), "more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_so_many_extents_at_most() {
        assert!(check_extents("/x", MOST_EXTENTS).is_ok());
        let fault = check_extents("/x", MOST_EXTENTS + 1).unwrap_err().to_string();
        assert!(fault.contains("at most 256 extents"), "{fault}");
    }
}
