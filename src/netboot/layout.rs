//! An initrd put together: archives of the base, large files of which nothing is held in memory, and archives
//! of ours, each from a multiple of 512 on (the kernel wants 4: Linux `init/initramfs.c`) and behind a
//! [`SEAM`](newc::SEAM).

use std::sync::Arc;

use crate::boot::hook;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::newc;
use crate::image::patched::{Patch, PatchedImage, Source};
use crate::image::{ImageFile, ReadAt};
use crate::units::{ByteRange, DISK_BLOCK, u64_len};

/// Bytes of a seam.
const SEAM: u64 = u64_len(&[0; newc::SEAM]);

/// Bytes that tell whether an archive starts behind one.
const START: u64 = u64_len(&[0; newc::START]);

/// Bytes that stand somewhere else, in pieces that follow each other.
#[derive(Clone, Debug)]
pub struct Part(Vec<(Source, u64)>);

impl Part {
    /// Bytes of the base.
    pub fn base(extents: &[ByteRange]) -> Self {
        Self(extents.iter().map(|at| (Source::Base(at.start()), at.size())).collect())
    }

    /// A whole file.
    pub fn file(file: &Arc<ImageFile>) -> Self {
        Self(vec![(Source::File(Arc::clone(file), 0), file.size())])
    }

    /// Where each run comes from, and its size.
    pub(crate) fn pieces(&self) -> &[(Source, u64)] {
        &self.0
    }

    pub(crate) fn size(&self) -> Result<u64> {
        let add = |sum, (_, size): &(Source, u64)| checked::sum(sum, *size, "the bytes of a part");
        self.0.iter().try_fold(0, add)
    }
}

/// A file in an archive of ours that is not held in memory.
#[derive(Clone, Debug)]
pub struct LargeFile {
    /// Its path.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// Where its bytes start.
    pub at: u64,
    /// Where they come from.
    pub from: Part,
}

/// Where archives of ours are.
#[derive(Clone, Debug, Default)]
pub struct Archives {
    /// Where the seam of each is, and the first bytes behind it.
    pub seams: Vec<ByteRange>,
    /// Those that are small enough to be read again, whole.
    pub whole: Vec<ByteRange>,
    /// The large files in the others.
    pub files: Vec<LargeFile>,
}

/// Bytes one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    patches: Vec<Patch>,
    end: u64,
    archives: Archives,
}

impl Layout {
    /// A part alone.
    pub fn from_part(part: &Part, why: &str) -> Result<Self> {
        let mut layout = Self::default();
        layout.put(part, why)?;
        Ok(layout)
    }

    /// Where archives were put.
    pub fn archives(&self) -> &Archives {
        &self.archives
    }

    /// Where the next bytes would go.
    pub fn end(&self) -> u64 {
        self.end
    }

    fn push(&mut self, from: Source, size: u64, why: &str) -> Result<()> {
        let at = checked::range(self.end, size, why)?;
        self.end = at.end();
        if !at.is_empty() {
            self.patches.push(Patch { at, from, why: why.to_owned() });
        }
        Ok(())
    }

    /// Zeros up to a multiple of a unit.
    pub(crate) fn fill_up(&mut self, unit: u64) -> Result<()> {
        const WHY: &str = "zeros between archives";
        let end = checked::round_up(self.end, unit, WHY)?;
        self.push(Source::Zeros, checked::difference(end, self.end, WHY)?, WHY)
    }

    /// A part as it is.
    pub fn put(&mut self, part: &Part, why: &str) -> Result<()> {
        part.0.iter().try_for_each(|(from, size)| self.push(from.clone(), *size, why))
    }

    /// An archive that [`newc::write`] made, from a multiple of 512 on.
    pub fn archive(&mut self, bytes: Vec<u8>, why: &str) -> Result<()> {
        self.seam()?;
        let size = u64_len(&bytes);
        self.archives.whole.push(checked::range(self.end, size, why)?);
        self.push(Source::Bytes(bytes.into()), size, why)
    }

    /// Moves to where the seam of an archive may start, which is to be put there next.
    fn seam(&mut self) -> Result<()> {
        self.fill_up(DISK_BLOCK)?;
        let start = checked::range(self.end, START, "the start of an archive")?;
        self.archives.seams.push(start);
        Ok(())
    }

    /// Bytes right behind what is there.
    pub fn raw(&mut self, bytes: Vec<u8>, why: &str) -> Result<()> {
        let size = u64_len(&bytes);
        self.push(Source::Bytes(bytes.into()), size, why)
    }

    /// All of another layout, right behind what is there.
    pub fn append(&mut self, other: Self) -> Result<()> {
        let start = self.end;
        for Patch { at, from, why } in other.patches {
            self.push(from, at.size(), &why)?;
        }
        self.archives.seams.extend(moved(&other.archives.seams, start)?);
        self.archives.whole.extend(moved(&other.archives.whole, start)?);
        for file in other.archives.files {
            let at = checked::sum(start, file.at, "the place of a file")?;
            self.archives.files.push(LargeFile { at, ..file });
        }
        Ok(())
    }

    /// An archive with one file.
    pub fn file(&mut self, path: &str, part: &Part, why: &str) -> Result<()> {
        self.seam()?;
        self.push(Source::Zeros, SEAM, "zeros in front of an archive")?;
        self.member(path, 0o444, part, why)?;
        self.trailer()
    }

    /// An archive with the squashfs files that a hook looks for, in their order.
    pub fn attached(&mut self, parts: &[Part]) -> Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        let first = hook::in_initrd(1);
        let folder = first.rsplit_once('/').map(|(folder, _)| folder.trim_start_matches('/'));
        let folder = checked::present(folder, "the folder of what is attached")?;
        let folder = newc::Member::directory(folder, 0o755);
        let folder = newc::write(&[folder]).map_err(Error::io("make an archive"))?;
        self.archive(folder, "a folder")?;
        for (number, part) in (1..).zip(parts) {
            let path = hook::in_initrd(number);
            // What is in it may be for root only; its users are root.
            self.member(path.trim_start_matches('/'), 0o400, part, &path)?;
        }
        self.trailer()
    }

    fn member(&mut self, path: &str, mode: u32, part: &Part, why: &str) -> Result<()> {
        let size = part.size()?;
        let head = newc::head(path, mode, size).map_err(|_| Error::NoRoom {
            what: format!("one file of an initrd, for {why}"),
            needed: size,
            free: u64::from(u32::MAX),
        })?;
        let size = u64_len(&head);
        self.push(Source::Bytes(head.into()), size, why)?;
        let file = LargeFile { path: path.to_owned(), mode, at: self.end, from: part.clone() };
        self.archives.files.push(file);
        self.put(part, why)?;
        self.fill_up(4)
    }

    fn trailer(&mut self) -> Result<()> {
        let trailer = newc::end().map_err(Error::io("make an archive"))?;
        let size = u64_len(&trailer);
        self.push(Source::Bytes(trailer.into()), size, "the end of an archive")?;
        self.fill_up(DISK_BLOCK)
    }

    /// All of it over the image that [`Part::base`] counts in.
    pub fn compose<B: ReadAt>(self, image: PatchedImage<B>) -> Result<PatchedImage<B>> {
        image.with(self.patches, self.end)
    }
}

/// Places that count from another start.
fn moved(places: &[ByteRange], by: u64) -> Result<Vec<ByteRange>> {
    const WHAT: &str = "the place of an archive";
    let moved =
        |at: &ByteRange| checked::range(checked::sum(by, at.start(), WHAT)?, at.size(), WHAT);
    places.iter().map(moved).collect()
}
