//! A medium that is only read: for comparing what was written earlier.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, Mode, OFlags};
use rustix::io::Errno;

use super::Medium;
use crate::device::System;
use crate::error::{Error, Result};

/// Alignment that direct reads of file systems ask for at most.
const FILE_BLOCK: u64 = 4096;

/// A disk or file opened for reading past the cache.
#[derive(Debug)]
pub struct Readable {
    file: File,
    path: PathBuf,
    size: Option<u64>,
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
        let is_file = path.metadata().map_err(Error::io(format!("open {shown}")))?.is_file();
        let (size, block) = if is_file {
            (None, FILE_BLOCK)
        } else {
            let disk = system.find(path)?;
            (Some(disk.size), disk.logical_block)
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let (file, is_direct) = match rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty())
        {
            Err(Errno::INVAL) => (rustix::fs::open(path, flags, Mode::empty()), false),
            other => (other, true),
        };
        let file: File =
            file.map_err(|fault| Error::io(format!("open {shown}"))(fault.into()))?.into();
        if !is_direct {
            // What the cache holds says nothing about the medium.
            file.sync_all().map_err(Error::io(format!("sync {shown}")))?;
            let dropped = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
            dropped.map_err(|fault| Error::io(format!("read {shown} anew"))(fault.into()))?;
        }
        Ok(Self { file, path: path.to_owned(), size, block, is_direct })
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
