//! A medium that is only read: for comparing what was written earlier.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, Mode, OFlags};
use rustix::io::Errno;

use super::buffer::{BUFFER, aligned};
use super::medium::{Medium, failed, read_full};
use crate::checked;
use crate::error::{Error, Result};
use crate::file_state::FileState;
use crate::image::ReadAt;
use crate::image::journal;
use crate::image::name_of_kind;
use crate::target::{System, WriteMode, open_for_reading};
use crate::units::{ByteRange, u64_len, usize_of};

/// Alignment that direct reads of file systems ask for at most.
const FILE_BLOCK: u64 = 4096;

/// A disk or file opened for reading past the cache.
#[derive(Debug)]
pub struct Readable {
    file: File,
    path: PathBuf,
    /// What a file looked like when it was opened; none of a disk.
    state: Option<FileState>,
    size: Option<u64>,
    length: u64,
    block: u64,
    is_direct: bool,
}

impl Readable {
    /// Opens a whole disk or a regular file.
    ///
    /// # Errors
    /// What cannot be opened, and anything else.
    pub fn open(path: &Path, system: &System) -> Result<Self> {
        let shown = path.display();
        let kind = path.metadata().map_err(Error::io(format!("open {shown}")))?.file_type();
        let is_file = kind.is_file();
        if !is_file && !kind.is_block_device() {
            return Err(Error::Usage {
                what: format!("{shown} is {}, neither a disk nor a file", name_of_kind(kind)),
                hint: "give what the image was written to".into(),
            });
        }
        if is_file {
            journal::none_beside(path)?;
        }
        let (size, block) = if is_file {
            (None, FILE_BLOCK)
        } else {
            let disk = system.find(path)?;
            (Some(disk.size), disk.logical_block)
        };
        let (file, is_direct) = match open_plainly(path) {
            Err(Errno::ACCESS | Errno::PERM) if !is_file => {
                let (file, mode) = open_for_reading(path)?;
                (file, mode == WriteMode::Direct)
            }
            opened => opened.map_err(|fault| Error::io(format!("open {shown}"))(fault.into()))?,
        };
        if !is_direct {
            // What the cache holds says nothing about the medium.
            file.sync_all().map_err(Error::io(format!("sync {shown}")))?;
            let dropped = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
            dropped.map_err(|fault| Error::io(format!("read {shown} again"))(fault.into()))?;
        }
        let about = file.metadata().map_err(Error::io(format!("look at {shown}")))?;
        let state = is_file.then(|| FileState::new(&about));
        let length = size.unwrap_or(about.len());
        Ok(Self { file, path: path.to_owned(), state, size, length, block, is_direct })
    }
}

/// Opens it, and says whether reads pass the cache.
fn open_plainly(path: &Path) -> rustix::io::Result<(File, bool)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty()) {
        Err(Errno::INVAL) => Ok((rustix::fs::open(path, flags, Mode::empty())?.into(), false)),
        opened => Ok((opened?.into(), true)),
    }
}

impl Medium for Readable {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn size(&self) -> Option<u64> {
        self.size
    }

    fn block(&self) -> u64 {
        self.block
    }

    fn is_direct(&self) -> bool {
        self.is_direct
    }

    fn length(&self) -> io::Result<Option<u64>> {
        Ok(self.size.is_none().then_some(self.length))
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn is_gone(&self) -> bool {
        false
    }
}

/// What is on the medium as an image, to survey it. Reads need no alignment.
impl ReadAt for Readable {
    fn size(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        let wanted = ByteRange::new(at, u64_len(buf)).filter(|wanted| wanted.end() <= self.length);
        let wanted = wanted.ok_or_else(|| {
            let found = format!("the end at {:#x}", self.length);
            Error::malformed(self.name(), at, found, format!("{} bytes", buf.len()))
        })?;
        let mut block = aligned(BUFFER)?;
        let mut rest = buf;
        for part in wanted.steps(BUFFER) {
            let whole = checked::whole_blocks(part, self.block, "blocks to read")?;
            let start = whole.start();
            let skipped = checked::difference(part.start(), start, "what is read before")?;
            let skipped = usize_of(skipped);
            let size = usize_of(whole.size());
            let read = checked::part_mut(&mut block, ..size, "room for blocks")?;
            let count = read_full(self, "read", read, start)?;
            let (head, tail) = rest.split_at_mut(usize_of(part.size()));
            let end = checked::sum(skipped, head.len(), "the end of what is read")?;
            let found = block.get(..count).and_then(|block| block.get(skipped..end));
            let gone = || failed(self, "read", start, io::ErrorKind::UnexpectedEof.into());
            head.copy_from_slice(found.ok_or_else(gone)?);
            rest = tail;
        }
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        match &self.state {
            Some(state) => state.check(&self.file, &self.path),
            None => Ok(()),
        }
    }
}
