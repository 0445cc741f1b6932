//! Directory Records, Path Tables and the Volume Descriptor of one hierarchy: files that move, and a
//! new directory below the root.

use std::collections::BTreeMap;

use zerocopy::IntoBytes;

use crate::compose::Patch;
use crate::error::{Error, Result};
use crate::format::both_endian::Both32;
use crate::format::iso9660::Hierarchy;
use crate::format::iso9660::directory_record::{self, DIRECTORY, Header, Record};
use crate::format::iso9660::path_table::{self, PathTableRecord, PathTableType};
use crate::format::iso9660::rock_ridge::{self, Style};
use crate::format::iso9660::volume_descriptor::VolumeDescriptor;
use crate::image::ReadAt;
use crate::plan::space::{Tail, location, too_large};
use crate::survey::located::Located;
use crate::survey::tree::{Kind, Node, Tree};
use crate::units::{ByteRange, LOGICAL_BLOCK, Lbn, in_memory, len_of};

/// Bytes of a directory or a path table; those of installers have under 100 KB.
const LARGEST: u64 = 16 << 20;

/// The directory that everything new is in.
pub const FOLDER: &str = "remaster";

/// Rock Ridge modes of what is new, as `mkisofs -r` gives them.
const DIRECTORY_MODE: u32 = 0o040_555;
const FILE_MODE: u32 = 0o100_444;

/// A new file of [`FOLDER`].
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its name: lower-case letters, digits, one dot.
    pub name: String,
    /// Its bytes.
    pub at: ByteRange,
}

/// A hierarchy that is being changed.
#[derive(Debug)]
pub struct Edited<'a, I> {
    image: &'a I,
    tree: &'a Tree,
    at: ByteRange,
    descriptor: VolumeDescriptor,
    style: Style,
    dates: [u8; 7],
    /// Extents of directories that change in place, by their first byte.
    directories: BTreeMap<u64, (ByteRange, Vec<u8>)>,
    root: Vec<Record>,
    tables: [Table; 2],
    folder: ByteRange,
}

/// A path table that is being changed.
#[derive(Clone, Debug)]
struct Table {
    order: PathTableType,
    at: ByteRange,
    records: Vec<PathTableRecord>,
    room: ByteRange,
}

impl<I> Clone for Edited<'_, I> {
    fn clone(&self) -> Self {
        Self {
            image: self.image,
            tree: self.tree,
            at: self.at,
            descriptor: self.descriptor.clone(),
            style: self.style.clone(),
            dates: self.dates,
            directories: self.directories.clone(),
            root: self.root.clone(),
            tables: self.tables.clone(),
            folder: self.folder,
        }
    }
}

impl<'a, I: ReadAt> Edited<'a, I> {
    /// Reads what a new directory and moved files will change, and takes room for what is new. The
    /// directories come before their files, as libarchive wants it.
    pub fn new(
        image: &'a I,
        tree: &'a Tree,
        found: &Located<VolumeDescriptor>,
        files: &[NewFile],
        tail: &mut Tail,
    ) -> Result<Self> {
        let root_at = extent(tree, "/")?;
        let root = records(image, "/", root_at)?;
        let first = root.first().and_then(|dot| Some((dot, dot.header()?)));
        let (dot, header) = first.ok_or_else(|| broken("/", root_at.start()))?;
        let style = Style::of_root(dot.system_use());
        let dates = header.recording_date_and_time;
        let descriptor = found.value.clone();
        let tables = tables(image, &descriptor, tree.hierarchy, tail)?;
        let nowhere = ByteRange::new(0, 0).ok_or_else(too_large)?;
        let mut edited = Self {
            image,
            tree,
            at: found.at,
            descriptor,
            style,
            dates,
            directories: BTreeMap::new(),
            root,
            tables,
            folder: nowhere,
        };
        // The room a directory takes does not depend on where its files are.
        edited.folder = tail.take(len_of(&edited.folder_extent(files)?))?;
        Ok(edited)
    }

    /// Lets the record of a file point to new bytes.
    pub fn point(&mut self, path: &str, old: &Node, to: ByteRange) -> Result<()> {
        let node = self.counterpart(path, old)?;
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let at = self.directory_of(node, parent)?;
        let (range, bytes) = self.directories.get_mut(&at).ok_or_else(|| broken(path, at))?;
        let offset = in_memory(node.record.saturating_sub(range.start()));
        let size = size_of::<Header>();
        let place = bytes
            .get_mut(offset..offset.saturating_add(size))
            .ok_or_else(|| broken(path, node.record))?;
        let mut header = <Header as zerocopy::FromBytes>::read_from_bytes(place)
            .map_err(|_| broken(path, node.record))?;
        header.location_of_extent = Both32::new(location(to)?);
        header.data_length = Both32::new(u32::try_from(to.size()).map_err(|_| too_large())?);
        place.copy_from_slice(header.as_bytes());
        Ok(())
    }

    /// The node that stands for a file of the primary hierarchy in this one: by its path, or, as Joliet
    /// cuts long names, by its bytes.
    fn counterpart(&self, path: &str, old: &Node) -> Result<&'a Node> {
        if let Some(node) = self.tree.file(path).filter(|node| node.extents == old.extents) {
            return Ok(node);
        }
        let mut same = self
            .tree
            .files()
            .filter(|(_, node)| !node.extents.is_empty() && node.extents == old.extents);
        match (same.next(), same.next()) {
            (Some((_, node)), None) => Ok(node),
            (found, _) => Err(Error::unsupported(
                format!("{path} in the {:?} hierarchy", self.tree.hierarchy),
                "one file with its bytes",
                if found.is_some() { "several under other names" } else { "none" },
            )),
        }
    }

    /// Makes sure that the directory which holds the record of `node` is among those that change.
    fn directory_of(&mut self, node: &Node, parent: &str) -> Result<u64> {
        let holds = |candidate: &&Node| {
            candidate.kind == Kind::Directory
                && candidate
                    .extents
                    .iter()
                    .any(|at| at.start() <= node.record && node.record < at.end())
        };
        let found = self.tree.nodes.values().find(holds).and_then(|dir| dir.extents.first());
        let at = *found.ok_or_else(|| broken(parent, node.record))?;
        if !self.directories.contains_key(&at.start()) {
            let bytes = self.image.read_range(parent, at, LARGEST)?;
            self.directories.insert(at.start(), (at, bytes));
        }
        Ok(at.start())
    }

    /// The extent of the new directory.
    fn folder_extent(&self, files: &[NewFile]) -> Result<Vec<u8>> {
        let own = self.folder_record(&[0], "", &self.folder)?;
        let root = self.root_header()?;
        let up =
            Record::new(root, &[1], &self.system_use("", DIRECTORY_MODE, self.style.links, 0)?)
                .ok_or_else(too_large)?;
        let mut records = vec![own, up];
        for file in files {
            directory_record::insert(&mut records, self.file_record(file)?);
        }
        Ok(directory_record::pack(&records))
    }

    /// A record that stands for the new directory, under one of its names.
    fn folder_record(&self, identifier: &[u8], name: &str, at: &ByteRange) -> Result<Record> {
        let header = self.header(*at, DIRECTORY)?;
        let system_use = self.system_use(name, DIRECTORY_MODE, self.style.links, location(*at)?)?;
        Record::new(header, identifier, &system_use).ok_or_else(too_large)
    }

    fn file_record(&self, file: &NewFile) -> Result<Record> {
        let identifier = self.tree.hierarchy.file_identifier(&file.name);
        let system_use = self.system_use(&file.name, FILE_MODE, 1, location(file.at)?)?;
        Record::new(self.header(file.at, 0)?, &identifier, &system_use).ok_or_else(too_large)
    }

    fn header(&self, at: ByteRange, file_flags: u8) -> Result<Header> {
        directory_record::header(location(at)?, at.size(), self.dates, file_flags)
            .ok_or_else(too_large)
    }

    /// The fixed part of records for the root.
    fn root_header(&self) -> Result<Header> {
        let header = self.root.first().and_then(Record::header);
        header.ok_or_else(|| broken("/", self.at.start()))
    }

    /// The System Use field of a new record: only the primary hierarchy has any.
    fn system_use(&self, name: &str, mode: u32, links: u32, serial: u32) -> Result<Vec<u8>> {
        match self.tree.hierarchy {
            // Serials of xorriso count from 1; these, of block numbers, keep clear of them.
            Hierarchy::Primary => {
                self.style.system_use(name, mode, links, serial | 1 << 31).ok_or_else(too_large)
            }
            Hierarchy::Joliet => Ok(Vec::new()),
        }
    }

    /// All changes of the hierarchy. `volume_size` is that of the finished volume, in bytes.
    pub fn patches(
        mut self,
        files: &[NewFile],
        moved_root: Option<ByteRange>,
        volume_size: u64,
    ) -> Result<Vec<Patch>> {
        let mut patches = Vec::new();
        self.insert_folder(moved_root, &mut patches)?;
        patches.push(patch(self.folder, self.folder_extent(files)?, "the directory /remaster")?);
        self.table_patches(&mut patches)?;
        for (at, bytes) in std::mem::take(&mut self.directories).into_values() {
            patches.push(patch(at, bytes, "Directory Records")?);
        }
        let blocks =
            volume_size.checked_div(LOGICAL_BLOCK).and_then(|blocks| u32::try_from(blocks).ok());
        self.descriptor.volume_space_size = Both32::new(blocks.ok_or_else(too_large)?);
        patches.push(patch(self.at, self.descriptor.as_bytes().to_vec(), "Volume Descriptor")?);
        Ok(patches)
    }

    /// The root's records with the new directory among them.
    fn root_with_folder(&self) -> Result<Vec<Record>> {
        let mut root = self.current_root()?;
        let identifier = self.tree.hierarchy.directory_identifier(FOLDER);
        for dot in root.iter_mut().take_while(|record| record.is_dot()) {
            rock_ridge::count_a_link(dot.system_use_mut(), self.style.skipped);
        }
        directory_record::insert(&mut root, self.folder_record(&identifier, FOLDER, &self.folder)?);
        Ok(root)
    }

    /// The root's records as they are by now: files of the root may have been pointed elsewhere.
    fn current_root(&self) -> Result<Vec<Record>> {
        let at = extent(self.tree, "/")?;
        match self.directories.get(&at.start()) {
            Some((_, bytes)) => {
                directory_record::unpack(bytes).map_err(|fault| fault.in_image(at.start()))
            }
            None => Ok(self.root.clone()),
        }
    }

    /// Bytes that the root will need behind the base, continuation areas included; 0 if it fits where
    /// it is.
    pub fn root_room(&self) -> Result<u64> {
        let root = self.root_with_folder()?;
        let extent = directory_record::pack(&root);
        if len_of(&extent) <= extent_size(self.tree)? {
            return Ok(0);
        }
        let areas = root.iter().filter(|record| self.continuation(record).is_some()).count();
        let areas = u64::try_from(areas).unwrap_or_default().saturating_mul(LOGICAL_BLOCK);
        Ok(len_of(&extent).saturating_add(areas))
    }

    fn continuation(&self, record: &Record) -> Option<rock_ridge::Continuation> {
        let skipped = if record.is_dot() { 0 } else { self.style.skipped };
        rock_ridge::continuation(record.system_use(), skipped)
    }

    fn insert_folder(
        &mut self,
        moved_root: Option<ByteRange>,
        patches: &mut Vec<Patch>,
    ) -> Result<()> {
        let at = extent(self.tree, "/")?;
        let root = self.root_with_folder()?;
        let Some(room) = moved_root else {
            let mut bytes = directory_record::pack(&root);
            bytes.resize(in_memory(at.size()), 0);
            self.directories.insert(at.start(), (at, bytes));
            return Ok(());
        };
        self.move_root(root, at, room, patches)
    }

    /// Puts the root somewhere else: its own records, those of its subdirectories that point up, the
    /// path tables and the descriptor follow.
    fn move_root(
        &mut self,
        mut root: Vec<Record>,
        old: ByteRange,
        room: ByteRange,
        patches: &mut Vec<Patch>,
    ) -> Result<()> {
        self.directories.remove(&old.start());
        let size = len_of(&directory_record::pack(&root));
        let new = ByteRange::new(room.start(), size).ok_or_else(too_large)?;
        self.move_continuations(&mut root, new.end(), patches)?;
        for dot in root.iter_mut().take_while(|record| record.is_dot()) {
            repoint(dot, new)?;
        }
        patches.push(patch(new, directory_record::pack(&root), "the root directory")?);
        self.point_up(old, new)?;
        for table in &mut self.tables {
            let first = table.records.first_mut().ok_or_else(|| broken("/", table.at.start()))?;
            first.location = location(new)?;
        }
        self.descriptor.root.location_of_extent = Both32::new(location(new)?);
        self.descriptor.root.data_length =
            Both32::new(u32::try_from(size).map_err(|_| too_large())?);
        // What stands for the root in the new directory is made from this.
        self.root = root;
        Ok(())
    }

    /// Copies the continuation areas of moved records behind them: libarchive refuses areas that lie
    /// before the directory.
    fn move_continuations(
        &self,
        root: &mut [Record],
        from: u64,
        patches: &mut Vec<Patch>,
    ) -> Result<()> {
        let mut next = from;
        for record in root {
            let Some(old) = self.continuation(record) else { continue };
            let at = Lbn(old.block).bytes().saturating_add(u64::from(old.offset));
            let range = ByteRange::new(at, u64::from(old.length)).ok_or_else(too_large)?;
            let bytes = self.image.read_range("a continuation area", range, LOGICAL_BLOCK)?;
            let block = Lbn::at_byte(next).ok_or_else(too_large)?.0;
            let to = rock_ridge::Continuation { block, offset: 0, length: old.length };
            let skipped = if record.is_dot() { 0 } else { self.style.skipped };
            rock_ridge::set_continuation(record.system_use_mut(), skipped, to);
            let place = ByteRange::new(next, len_of(&bytes)).ok_or_else(too_large)?;
            patches.push(patch(place, bytes, "a continuation area")?);
            next = next.saturating_add(LOGICAL_BLOCK);
        }
        Ok(())
    }

    /// Subdirectories whose `..` points to the old root point to the new one. (libisofs lets the `..` of
    /// Joliet directories point to themselves; those stay.)
    fn point_up(&mut self, old: ByteRange, new: ByteRange) -> Result<()> {
        let tree = self.tree;
        let below_root = |path: &str| path.len() > 1 && path.rfind('/') == Some(0);
        let children = tree
            .nodes
            .iter()
            .filter(|(path, node)| node.kind == Kind::Directory && below_root(path));
        for (path, child) in children {
            let at = *child.extents.first().ok_or_else(|| broken(path, child.record))?;
            let bytes = match self.directories.remove(&at.start()) {
                Some((_, bytes)) => bytes,
                None => self.image.read_range(path, at, LARGEST)?,
            };
            let mut records =
                directory_record::unpack(&bytes).map_err(|fault| fault.in_image(at.start()))?;
            let up = records.get_mut(1).filter(|up| points_to(up, old));
            up.map_or(Ok(()), |up| repoint(up, new))?;
            let mut packed = directory_record::pack(&records);
            packed.resize(in_memory(at.size()), 0);
            self.directories.insert(at.start(), (at, packed));
        }
        Ok(())
    }

    fn table_patches(&mut self, patches: &mut Vec<Patch>) -> Result<()> {
        let identifier = self.tree.hierarchy.directory_identifier(FOLDER);
        let at = location(self.folder)?;
        for table in &mut self.tables {
            path_table::insert_below_root(&mut table.records, &identifier, at)
                .ok_or_else(too_large)?;
            let bytes = path_table::pack(&table.records, table.order).ok_or_else(too_large)?;
            let size = u32::try_from(bytes.len()).map_err(|_| too_large())?;
            self.descriptor.path_table_size = Both32::new(size);
            let new = location(table.room)?;
            match table.order {
                PathTableType::L => self.descriptor.type_l_path_table.set(new),
                PathTableType::M => self.descriptor.type_m_path_table.set(new),
            }
            patches.push(patch(table.room, bytes, "Path Table")?);
        }
        // Optional copies are not kept up: none is better than a wrong one (§8.4.15, §8.4.17).
        self.descriptor.optional_type_l_path_table.set(0);
        self.descriptor.optional_type_m_path_table.set(0);
        Ok(())
    }
}

fn broken(path: &str, at: u64) -> Error {
    Error::malformed(
        format!("the Directory Records of {path}"),
        at,
        "a record that is not where it should be",
        "one in its directory",
    )
}

fn patch(at: ByteRange, bytes: Vec<u8>, why: &str) -> Result<Patch> {
    let patch = Patch::bytes(at.start(), bytes, why).ok_or_else(too_large)?;
    if patch.at.size() == at.size() { Ok(patch) } else { Err(broken(why, at.start())) }
}

fn extent(tree: &Tree, path: &str) -> Result<ByteRange> {
    let found = tree.get(path).and_then(|node| node.extents.first());
    found.copied().ok_or_else(|| broken(path, 0))
}

fn extent_size(tree: &Tree) -> Result<u64> {
    extent(tree, "/").map(ByteRange::size)
}

fn records<I: ReadAt>(image: &I, path: &str, at: ByteRange) -> Result<Vec<Record>> {
    let bytes = image.read_range(path, at, LARGEST)?;
    directory_record::unpack(&bytes).map_err(|fault| fault.in_image(at.start()))
}

fn points_to(record: &Record, at: ByteRange) -> bool {
    let found = record.header().and_then(|header| header.location_of_extent.get());
    found.is_some() && found == Lbn::at_byte(at.start()).map(|block| block.0)
}

fn repoint(record: &mut Record, to: ByteRange) -> Result<()> {
    let mut header = record.header().ok_or_else(too_large)?;
    header.location_of_extent = Both32::new(location(to)?);
    header.data_length = Both32::new(u32::try_from(to.size()).map_err(|_| too_large())?);
    record.set_header(header);
    Ok(())
}

/// The path tables of a descriptor, with room for one directory more: where they are, or behind the
/// base if their last block is full.
fn tables<I: ReadAt>(
    image: &I,
    descriptor: &VolumeDescriptor,
    hierarchy: Hierarchy,
    tail: &mut Tail,
) -> Result<[Table; 2]> {
    let size = descriptor.path_table_size.get().map(u64::from);
    let size = size.ok_or_else(|| {
        Error::malformed("Path Table Size", 132, "two records that differ", "one number")
    })?;
    let added = hierarchy.directory_identifier(FOLDER).len().next_multiple_of(2).saturating_add(8);
    let grown = size.saturating_add(u64::try_from(added).unwrap_or_default());
    let mut table = |order, block: u32| -> Result<Table> {
        let at = ByteRange::new(Lbn(block).bytes(), size).ok_or_else(too_large)?;
        let bytes = image.read_range("Path Table", at, LARGEST)?;
        let records =
            path_table::unpack(&bytes, order).map_err(|fault| fault.in_image(at.start()))?;
        let fits = grown.div_ceil(LOGICAL_BLOCK) == size.div_ceil(LOGICAL_BLOCK);
        let room = if fits {
            ByteRange::new(at.start(), grown).ok_or_else(too_large)?
        } else {
            tail.take(grown)?
        };
        Ok(Table { order, at, records, room })
    };
    Ok([
        table(PathTableType::L, descriptor.type_l_path_table.get())?,
        table(PathTableType::M, descriptor.type_m_path_table.get())?,
    ])
}
