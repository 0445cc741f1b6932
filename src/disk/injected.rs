//! A raw image as a base to edit: what was stamped before is taken off again.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::boot::folder::{Folder, MANIFEST};
use crate::checked;
use crate::disk::ext4::Filesystem;
use crate::disk::plan::{record_path, undo_path};
use crate::disk::survey::DiskSurvey;
use crate::error::{Error, Result};
use crate::formats::ext4::bitmap;
use crate::formats::ext4::inode::{Inode, Kind};
use crate::formats::gpt_backup::move_backup;
use crate::formats::newc::{self, Member};
use crate::formats::undo::Undo;
use crate::image::file_type::HEAD;
use crate::image::patched::{Patch, PatchedImage, Source};
use crate::image::{ReadAt, past_64_bits};
use crate::iso::injected::{Stamped, has_stamped_bytes};
use crate::units::{ByteRange, DISK_BLOCK, usize_of};

/// Bytes of an undo record or manifest that are read.
const LARGEST: u64 = 32 << 20;

/// A raw image.
#[derive(Debug)]
pub struct DiskBase<B> {
    /// The base, which reads as it was before any stamping.
    pub image: PatchedImage<B>,
    /// Its facts.
    pub raw: DiskSurvey,
    /// What was there before.
    pub stamped: Option<Stamped>,
    /// The facts of the image with that.
    pub now: Option<DiskSurvey>,
}

impl<B: ReadAt> DiskBase<B> {
    /// Surveys an image and, if it was stamped before, the base below.
    pub fn open(image: B) -> Result<Self> {
        let whole = PatchedImage::whole(image);
        let raw = DiskSurvey::read(&whole)?;
        let Some(stamped) = stamped(&whole, &raw)? else {
            let end = raw.partitions.end(whole.size())?;
            let has_no_end = raw.partitions.backup_fault.is_some() || end == 0;
            if has_no_end || end >= whole.size() {
                return Ok(Self { image: whole, raw, stamped: None, now: None });
            }
            let image = whole.with(Vec::new(), end)?;
            let raw = DiskSurvey::read(&image)?;
            return Ok(Self { image, raw, stamped: None, now: None });
        };
        let image = without(whole, &raw, &stamped.undo)?;
        let below = DiskSurvey::read(&image)?;
        Ok(Self { image, raw: below, stamped: Some(stamped), now: Some(raw) })
    }
}

/// What was put into an image; none if nothing was.
pub fn stamped<I: ReadAt>(image: &I, raw: &DiskSurvey) -> Result<Option<Stamped>> {
    let fs = raw.filesystem(image)?;
    let Some(record) = fs.file(&undo_path(), LARGEST)? else { return Ok(None) };
    let undo = Undo::parse(&record).map_err(|fault| fault.in_image(raw.root.start()))?;
    check_stamp_intact(image, &undo)?;
    let root = members(&fs)?;
    let (folder, attached) = (Folder::below("/boot"), Vec::new());
    Ok(Some(Stamped { folder, undo, undo_at: None, root, attached, on_path: false }))
}

/// An image that something else has written to since cannot be undone.
fn check_stamp_intact<I: ReadAt>(image: &I, undo: &Undo) -> Result<()> {
    if has_stamped_bytes(image, undo)? {
        return Ok(());
    }
    Err(Error::unsupported(
        "this raw image, which was stamped before",
        "the filesystem that stamping left",
        "another one: it was booted or written to since",
    )
    .with_hint("make or get this image again: what was put in cannot be taken out of this one"))
}

/// What the manifest in a filesystem lists.
#[derive(Deserialize)]
struct Listed {
    files: Vec<ListedFile>,
}

#[derive(Deserialize)]
struct ListedFile {
    path: String,
}

/// The files that were put in.
fn members<I: ReadAt>(fs: &Filesystem<I>) -> Result<Vec<Member>> {
    let Some(text) = fs.file(&record_path(MANIFEST), LARGEST)? else { return Ok(Vec::new()) };
    let at = fs.window().start();
    let listed: Listed = serde_json::from_slice(&text)
        .map_err(|fault| Error::malformed("the manifest", at, fault.to_string(), "a manifest"))?;
    let mut found = Vec::new();
    // The same bytes can be listed any number of times.
    let mut left = fs.window().size();
    for file in listed.files {
        let inode = fs.lookup(&file.path)?;
        let inode = inode.ok_or_else(|| {
            let found = format!("no {}", file.path);
            Error::malformed("the manifest", at, found, "files that are there")
        })?;
        left = left.checked_sub(inode.size()).ok_or_else(|| {
            let found = "files of more bytes in all";
            let expected = format!("those of a filesystem of {} bytes", fs.window().size());
            Error::malformed("the manifest", at, found, expected)
        })?;
        found.push(member(fs, file.path.trim_start_matches('/'), &inode)?);
    }
    Ok(found)
}

/// A file, folder or link as it stands in a filesystem.
pub fn member<I: ReadAt>(fs: &Filesystem<I>, path: &str, inode: &Inode) -> Result<Member> {
    let kind = match inode.kind() {
        Kind::Directory => newc::Kind::Directory,
        Kind::File => newc::Kind::File(fs.read(inode, fs.window().size())?),
        Kind::Symlink => {
            let to = fs.read(inode, fs.superblock().block())?;
            newc::Kind::Symlink(String::from_utf8_lossy(&to).into_owned())
        }
        Kind::Special => {
            return Err(Error::unsupported(format!("/{path}"), "a file", inode.kind().name()));
        }
    };
    Ok(Member { path: path.to_owned(), mode: inode.mode(), owner: inode.owner(), kind })
}

/// The base below a stamped image: the metadata of the record, and zeros in all blocks that are in use now
/// and were free then.
pub fn without<B: ReadAt>(
    image: PatchedImage<B>,
    raw: &DiskSurvey,
    undo: &Undo,
) -> Result<PatchedImage<B>> {
    let size = undo.base_size;
    if size != undo.stamped_size || size > raw.size || size < raw.root.end() {
        let found = format!("a base of {size} bytes");
        let expected = format!("one of the {} bytes there are, or fewer", raw.size);
        return Err(Error::malformed("undo record", raw.root.start(), found, expected));
    }
    let patch =
        |(at, bytes): &(ByteRange, Vec<u8>)| Patch::bytes(at.start(), bytes.clone(), "undo record");
    let metadata: Vec<Patch> = undo.ranges.iter().map(patch).collect::<Result<_>>()?;
    let taken = {
        let below = PatchedImage::whole(&image).with(metadata.clone(), size)?;
        taken(&raw.filesystem(&image)?, &raw.filesystem(&below)?)?
    };
    let zeros = taken.into_iter().map(|at| Patch { at, from: Source::Zeros, why: "undo".into() });
    let header = own_header(&image, size)?;
    image.with(metadata.into_iter().chain(zeros).chain(header).collect(), size)
}

/// The primary GPT header of an image of `size` bytes, where flashing it made that point to a backup at the end of a
/// larger disk. Its own backup is still there. The survey says what is wrong with a table.
fn own_header<B: ReadAt>(image: &PatchedImage<B>, size: u64) -> Result<Option<Patch>> {
    let mut head = image.read_range("the GPT", ByteRange::up_to(size.min(HEAD)), HEAD)?;
    if !matches!(move_backup(&mut head, size, DISK_BLOCK), Ok(Some(_))) {
        return Ok(None);
    }
    let at = checked::range(DISK_BLOCK, DISK_BLOCK, "the GPT header")?;
    let header = checked::part(&head, usize_of(at.start())..usize_of(at.end()), "the GPT header")?;
    Patch::bytes(at.start(), header.to_vec(), "GPT header").map(Some)
}

/// Where blocks are that are in use in one filesystem and free in the other.
fn taken<A: ReadAt, B: ReadAt>(
    now: &Filesystem<A>,
    before: &Filesystem<B>,
) -> Result<BTreeSet<ByteRange>> {
    let mut found = BTreeSet::new();
    for group in 0..now.superblock().groups().min(before.superblock().groups()) {
        let (first, count) = now.group_blocks(group)?;
        let (now_used, was_used) = (now.block_bitmap(group)?, before.block_bitmap(group)?);
        for bit in (0..count)
            .filter(|bit| bitmap::is_set(&now_used, *bit) && !bitmap::is_set(&was_used, *bit))
        {
            found.insert(now.place(checked::sum(first, bit, "a block of a group")?)?);
        }
    }
    Ok(found)
}

/// The bytes that a file of an image stands in, if it is there in one piece.
pub fn place_of<I: ReadAt>(fs: &Filesystem<I>, path: &str) -> Result<Option<ByteRange>> {
    let Some(inode) = fs.lookup(path)? else { return Ok(None) };
    let map = fs.map(&inode)?;
    let [extent] = map.extents.as_slice() else { return Ok(None) };
    let at = fs.place(extent.start)?.start();
    ByteRange::new(at, inode.size()).ok_or_else(|| past_64_bits(at)).map(Some)
}
