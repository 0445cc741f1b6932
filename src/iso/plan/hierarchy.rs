//! Directory Records, Path Tables and the Volume Descriptor of one hierarchy: files that move, and a
//! new directory below the root.

use std::collections::BTreeMap;

use zerocopy::IntoBytes;

use crate::boot::folder;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::both_endian::Both32;
use crate::formats::iso9660::Hierarchy;
use crate::formats::iso9660::directory_record::{self, DIRECTORY, Header, Record};
use crate::formats::iso9660::path_table::{self, PathTableRecord, PathTableType};
use crate::formats::iso9660::rock_ridge::{self, Style};
use crate::formats::iso9660::volume_descriptor::VolumeDescriptor;
use crate::image::ReadAt;
use crate::image::patched::Patch;
use crate::image::space::{Allocator, location, too_large};
use crate::iso::survey::directory::{LARGEST, records};
use crate::iso::survey::located::Located;
use crate::iso::survey::tree::{Kind, Node, Tree};
use crate::iso::survey::volume::SESSION;
use crate::units::{ByteRange, LOGICAL_BLOCK, Lbn, u64_len, usize_of};

/// Rock Ridge modes of what is new, as `mkisofs -r` gives them.
const DIRECTORY_MODE: u32 = 0o040_555;
const FILE_MODE: u32 = 0o100_444;
const PRIVATE_FILE_MODE: u32 = 0o100_400;

/// A new file of the folder.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its name: lower-case letters, digits, one dot.
    pub name: String,
    /// Its bytes.
    pub at: ByteRange,
    /// Whether users of the live system other than root are kept from reading it.
    pub private: bool,
}

/// A hierarchy that is being changed.
#[derive(Debug)]
pub struct DirectoryEditor<'a, I> {
    image: &'a I,
    tree: &'a Tree,
    at: ByteRange,
    /// Where the same descriptor stands once more.
    second: Option<ByteRange>,
    descriptor: VolumeDescriptor,
    style: Style,
    dates: [u8; 7],
    versioned: bool,
    /// Extents of directories that change in place, by their first byte.
    directories: BTreeMap<u64, (ByteRange, Vec<u8>)>,
    parent_at: ByteRange,
    parent: Vec<Record>,
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

impl<I> Clone for DirectoryEditor<'_, I> {
    fn clone(&self) -> Self {
        Self {
            image: self.image,
            tree: self.tree,
            at: self.at,
            second: self.second,
            descriptor: self.descriptor.clone(),
            style: self.style.clone(),
            dates: self.dates,
            versioned: self.versioned,
            directories: self.directories.clone(),
            parent_at: self.parent_at,
            parent: self.parent.clone(),
            tables: self.tables.clone(),
            folder: self.folder,
        }
    }
}

impl<'a, I: ReadAt> DirectoryEditor<'a, I> {
    /// Reads what a new directory below `parent` and moved files will change. `second` is where a copy of
    /// the descriptor stands.
    pub fn open(
        image: &'a I,
        tree: &'a Tree,
        found: &Located<VolumeDescriptor>,
        second: Option<ByteRange>,
        parent: &str,
    ) -> Result<Self> {
        let root = records(image, "/", extent(tree, "/")?)?;
        let first = root.first().and_then(|dot| Some((dot, dot.header()?)));
        let (dot, header) = first.ok_or_else(|| broken("/", found.at.start()))?;
        let parent_at = extent(tree, parent)?;
        Ok(Self {
            image,
            tree,
            at: found.at,
            second,
            style: Style::of_root(dot.system_use()),
            dates: header.recording_date_and_time,
            versioned: versioned(&root),
            directories: BTreeMap::new(),
            parent_at,
            parent: records(image, parent, parent_at)?,
            tables: tables(image, &found.value)?,
            descriptor: found.value.clone(),
            folder: ByteRange::up_to(0),
        })
    }

    /// Bytes of the parent with one record more, and bytes it has where it is.
    pub fn size_and_room(&self) -> Result<(u64, u64)> {
        let size = u64_len(&directory_record::pack(&self.parent_with_folder()?));
        Ok((size, self.parent_at.size()))
    }

    /// Takes room for what is new. Directories come before their files, as libarchive wants it, and do
    /// not depend in size on where those are.
    pub(crate) fn reserve(&mut self, files: &[NewFile], tail: &mut Allocator) -> Result<()> {
        for table in &mut self.tables {
            let more = record_size(self.tree.hierarchy)?;
            let grown = checked::sum(table.at.size(), more, "the size of a path table")?;
            let stays = grown.div_ceil(LOGICAL_BLOCK) == table.at.size().div_ceil(LOGICAL_BLOCK);
            let here = checked::range(table.at.start(), grown, "a path table");
            table.room = if stays { here? } else { tail.take(grown)? };
        }
        self.folder = tail.take(u64_len(&self.folder_extent(files)?))?;
        Ok(())
    }

    /// Gives the volume another label, as xorriso writes it: filled with blanks, in Joliet cut to 16
    /// characters (§8.4.6; Joliet specification §4).
    pub(crate) fn relabel(&mut self, label: &str) -> Result<()> {
        let field = self.descriptor.volume_identifier.len();
        let bytes: Vec<u8> = match self.tree.hierarchy {
            Hierarchy::Primary => {
                label.bytes().chain(std::iter::repeat(b' ')).take(field).collect()
            }
            Hierarchy::Joliet => {
                let units = label.encode_utf16().chain(std::iter::repeat(0x20));
                units.flat_map(u16::to_be_bytes).take(field).collect()
            }
        };
        self.descriptor.volume_identifier =
            checked::present(bytes.try_into().ok(), "a label of the field's size")?;
        Ok(())
    }

    /// Lets every record of a file point to new bytes, which may be for root only: several paths may have
    /// the same bytes (hard links, files given twice to xorriso), and Joliet cuts long names.
    pub(crate) fn point(
        &mut self,
        path: &str,
        old: &Node,
        to: ByteRange,
        private: bool,
    ) -> Result<()> {
        let from = old.extents.first().copied().ok_or_else(|| broken(path, old.record))?;
        let private = private && self.tree.hierarchy == Hierarchy::Primary;
        let new = Pointed { from, to, private };
        let directories = self.tree.nodes.iter().filter(|(_, node)| node.kind == Kind::Directory);
        let mut pointed = 0_usize;
        for (parent, node) in directories {
            for at in &node.extents {
                let more = self.point_in(parent, *at, &new)?;
                pointed = checked::sum(pointed, more, "the records of a file")?;
            }
        }
        if pointed > 0 {
            return Ok(());
        }
        let what = format!("{path} in the {:?} hierarchy", self.tree.hierarchy);
        Err(Error::unsupported(what, "a file with its bytes", "none"))
    }

    /// The same in one directory. Says how many records of the file it has.
    fn point_in(&mut self, parent: &str, at: ByteRange, new: &Pointed) -> Result<usize> {
        let mut bytes = match self.directories.get(&at.start()) {
            Some((_, bytes)) => bytes.clone(),
            None => self.image.read_range(parent, at, LARGEST)?,
        };
        let records = directory_record::located(&bytes);
        let mut pointed = 0_usize;
        for (offset, mut record) in records.map_err(|fault| fault.in_image(at.start()))? {
            if !new.concerns(&record) {
                continue;
            }
            new.change(&mut record, parent, self.style.skipped)?;
            let rest = checked::part_mut(&mut bytes, offset.., "the place of a record")?;
            let there = checked::part_mut(rest, ..record.as_bytes().len(), "a record's place")?;
            there.copy_from_slice(record.as_bytes());
            pointed = checked::sum(pointed, 1, "the records of a file")?;
        }
        if pointed > 0 {
            self.directories.insert(at.start(), (at, bytes));
        }
        Ok(pointed)
    }

    /// The extent of the new directory.
    fn folder_extent(&self, files: &[NewFile]) -> Result<Vec<u8>> {
        let own = self.folder_record(&[0], "", &self.folder)?;
        let parent = self.parent_header()?;
        let system_use = self.system_use("", DIRECTORY_MODE, self.style.links, 0)?;
        let up = record(parent, &[1], &system_use)?;
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
        record(header, identifier, &system_use)
    }

    fn file_record(&self, file: &NewFile) -> Result<Record> {
        let identifier = self.tree.hierarchy.file_identifier(&file.name, self.versioned);
        let mode = if file.private { PRIVATE_FILE_MODE } else { FILE_MODE };
        let system_use = self.system_use(&file.name, mode, 1, location(file.at)?)?;
        record(self.header(file.at, 0)?, &identifier, &system_use)
    }

    fn header(&self, at: ByteRange, file_flags: u8) -> Result<Header> {
        let size = extent_size("what is new", at.size())?;
        Ok(directory_record::header(location(at)?, size, self.dates, file_flags))
    }

    /// The fixed part of records for the parent.
    fn parent_header(&self) -> Result<Header> {
        let header = self.parent.first().and_then(Record::header);
        header.ok_or_else(|| broken("/", self.at.start()))
    }

    /// The System Use field of a new record: only the primary hierarchy has any.
    fn system_use(&self, name: &str, mode: u32, links: u32, serial: u32) -> Result<Vec<u8>> {
        match self.tree.hierarchy {
            // Serials of xorriso count from 1; these, of block numbers, keep clear of them.
            Hierarchy::Primary => {
                let field = self.style.system_use(name, mode, links, serial | 1 << 31);
                field.ok_or_else(|| Error::NoRoom {
                    what: format!("a name of Rock Ridge, for {name}"),
                    needed: u64_len(name.as_bytes()),
                    free: rock_ridge::LONGEST_NAME,
                })
            }
            Hierarchy::Joliet => Ok(Vec::new()),
        }
    }

    /// All changes of the hierarchy. `volume_size` is that of the finished volume, in bytes.
    pub fn patches(mut self, files: &[NewFile], volume_size: u64) -> Result<Vec<Patch>> {
        let mut patches = Vec::new();
        self.insert_folder()?;
        patches.push(patch(self.folder, self.folder_extent(files)?, "the directory /remaster")?);
        self.table_patches(&mut patches)?;
        for (at, bytes) in std::mem::take(&mut self.directories).into_values() {
            patches.push(patch(at, bytes, "Directory Records")?);
        }
        let blocks = u32::try_from(volume_size.div_euclid(LOGICAL_BLOCK));
        let blocks = blocks.map_err(|_| too_large(volume_size))?;
        for (at, before) in [(self.at, 0)].into_iter().chain(self.second.map(|at| (at, SESSION))) {
            let own = checked::difference(blocks, before, "the size of a session")?;
            self.descriptor.volume_space_size = Both32::new(own);
            patches.push(patch(at, self.descriptor.as_bytes().to_vec(), "Volume Descriptor")?);
        }
        Ok(patches)
    }

    /// The parent's records with the new directory among them.
    fn parent_with_folder(&self) -> Result<Vec<Record>> {
        let mut records = self.current_parent()?;
        let identifier = self.tree.hierarchy.directory_identifier(folder::NAME);
        for dot in records.iter_mut().take(1) {
            rock_ridge::count_a_link(dot.system_use_mut(), self.style.skipped);
        }
        directory_record::insert(
            &mut records,
            self.folder_record(&identifier, folder::NAME, &self.folder)?,
        );
        Ok(records)
    }

    /// The parent's records as they are by now: its files may have been pointed elsewhere.
    fn current_parent(&self) -> Result<Vec<Record>> {
        let at = self.parent_at;
        match self.directories.get(&at.start()) {
            Some((_, bytes)) => {
                directory_record::unpack(bytes).map_err(|fault| fault.in_image(at.start()))
            }
            None => Ok(self.parent.clone()),
        }
    }

    fn insert_folder(&mut self) -> Result<()> {
        let at = self.parent_at;
        let mut bytes = directory_record::pack(&self.parent_with_folder()?);
        bytes.resize(usize_of(at.size()), 0);
        self.directories.insert(at.start(), (at, bytes));
        Ok(())
    }

    fn table_patches(&mut self, patches: &mut Vec<Patch>) -> Result<()> {
        let identifier = self.tree.hierarchy.directory_identifier(folder::NAME);
        let at = location(self.folder)?;
        let parent = location(self.parent_at)?;
        for table in &mut self.tables {
            let place = table.at;
            let inserted = path_table::insert(&mut table.records, parent, &identifier, at);
            inserted.map_err(|fault| fault.in_image(place.start()))?;
            let packed = path_table::pack(&table.records, table.order);
            let bytes = checked::present(packed, "a path table")?;
            let size = extent_size("a path table", u64_len(&bytes))?;
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

/// New bytes of a file, and whether they are for root only.
struct Pointed {
    from: ByteRange,
    to: ByteRange,
    private: bool,
}

impl Pointed {
    /// Whether a record is that of the file.
    fn concerns(&self, record: &Record) -> bool {
        let Some(header) = record.header() else { return false };
        let block = header.location_of_extent.get().map(|block| Lbn(block).bytes());
        let size = header.data_length.get().map(u64::from);
        header.file_flags & DIRECTORY == 0
            && (block, size) == (Some(self.from.start()), Some(self.from.size()))
    }

    fn change(&self, record: &mut Record, parent: &str, skipped: u8) -> Result<()> {
        let header = record.header().ok_or_else(|| broken(parent, self.from.start()))?;
        let size = extent_size(&format!("a file in {parent}"), self.to.size())?;
        let location_of_extent = Both32::new(location(self.to)?);
        let data_length = Both32::new(size);
        record.set_header(Header { location_of_extent, data_length, ..header })?;
        if !self.private || rock_ridge::close_to_others(record.system_use_mut(), skipped) {
            return Ok(());
        }
        let what = format!("a record in {parent}, which is to hold secrets");
        Err(Error::unsupported(what, "a mode (Rock Ridge PX)", "none"))
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
    let patch = Patch::bytes(at.start(), bytes, why)?;
    if patch.at.size() == at.size() { Ok(patch) } else { Err(broken(why, at.start())) }
}

fn extent(tree: &Tree, path: &str) -> Result<ByteRange> {
    let found = tree.get(path).and_then(|node| node.extents.first());
    found.copied().ok_or_else(|| broken(path, 0))
}

/// Bytes of the new directory's Path Table Record.
fn record_size(hierarchy: Hierarchy) -> Result<u64> {
    let identifier = hierarchy.directory_identifier(folder::NAME);
    checked::sum(u64_len(&identifier).next_multiple_of(2), 8, "a path table record")
}

/// A record of these parts.
///
/// # Errors
/// [`Error::NoRoom`] if it would be longer than a record can be.
fn record(header: Header, identifier: &[u8], system_use: &[u8]) -> Result<Record> {
    let parts = [u64_len(header.as_bytes()), u64_len(identifier), u64_len(system_use)];
    Record::new(header, identifier, system_use).ok_or_else(|| Error::NoRoom {
        what: "a Directory Record".into(),
        needed: parts.into_iter().sum(),
        free: u64::from(u8::MAX),
    })
}

/// The size of an extent, which holds up to 4 GiB (ECMA-119 §9.1.4).
///
/// # Errors
/// [`Error::NoRoom`] for more.
pub(crate) fn extent_size(name: &str, size: u64) -> Result<u32> {
    u32::try_from(size).map_err(|_| Error::NoRoom {
        what: format!("one extent of the volume, for {name}"),
        needed: size,
        free: u64::from(u32::MAX),
    })
}

/// Whether files of the root carry a version number, as in `VERSION.TXT;1` (§7.5.1): xorriso leaves it
/// out of Joliet names.
fn versioned(root: &[Record]) -> bool {
    let is_file =
        |record: &&Record| record.header().is_some_and(|header| header.file_flags & DIRECTORY == 0);
    let identifier = root.iter().filter(is_file).find_map(Record::identifier);
    identifier.is_none_or(|identifier| identifier.ends_with(b"1") && identifier.contains(&b';'))
}

/// The path tables of a descriptor.
fn tables<I: ReadAt>(image: &I, descriptor: &VolumeDescriptor) -> Result<[Table; 2]> {
    let size = descriptor.path_table_size.get().map(u64::from);
    let size = size.ok_or_else(|| {
        Error::malformed("Path Table Size", 132, "two records that differ", "one number")
    })?;
    let table = |order, block: u32| -> Result<Table> {
        let at = checked::range(Lbn(block).bytes(), size, "a path table")?;
        let bytes = image.read_range("Path Table", at, LARGEST)?;
        let records =
            path_table::unpack(&bytes, order).map_err(|fault| fault.in_image(at.start()))?;
        Ok(Table { order, at, records, room: at })
    };
    Ok([
        table(PathTableType::L, descriptor.type_l_path_table.get())?,
        table(PathTableType::M, descriptor.type_m_path_table.get())?,
    ])
}
