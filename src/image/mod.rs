//! How bytes come in: reading at an offset, from files that may be truncated or hostile.

pub mod check;
pub mod digest;
pub mod file_type;
pub mod journal;
pub mod partitions;
pub mod patched;
pub mod scratch;
pub mod space;
pub mod unpack;
pub mod window;

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::access;
use crate::error::{Advice, Error, Result};
use crate::file_state::FileState;
use crate::progress::Silent;
use crate::units::{ByteRange, u64_len, usize_of};

/// Bytes that can be read at any offset, by several threads at once.
pub trait ReadAt: Sync {
    /// Bytes there are.
    fn size(&self) -> u64;

    /// Fills `buf` from byte `at` on; past the end is an error.
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()>;

    /// Refuses bytes that changed since they were opened, as somebody may write to the file. Call it after the last read,
    /// before the result is published or shown.
    ///
    /// # Errors
    /// [`Error::Changed`] if it does not.
    fn check_unchanged(&self) -> Result<()>;

    /// Whether the bytes come out of a file that others may not read: what is made of them is kept from others, too.
    fn is_closed(&self) -> bool {
        false
    }

    /// Returns `found` if the bytes did not change while it was read. A fault found in changing bytes is not the image's
    /// either.
    ///
    /// # Errors
    /// [`Error::Changed`], else that of `found`.
    fn if_unchanged<T>(&self, found: Result<T>) -> Result<T>
    where
        Self: Sized,
    {
        self.check_unchanged().and(found)
    }

    /// The bytes of `range` in memory. `limit` bounds what a hostile number may ask for.
    fn read_range(&self, what: &str, range: ByteRange, limit: u64) -> Result<Vec<u8>> {
        if range.end() > self.size() {
            return Err(truncated(what, range, self.size()));
        }
        if range.size() > limit {
            let found = format!("{} bytes", range.size());
            return Err(Error::unsupported(what, format!("at most {limit} bytes"), found));
        }
        let mut bytes = vec![0; usize_of(range.size())];
        self.read_exact_at(&mut bytes, range.start())?;
        Ok(bytes)
    }
}

/// The error for bytes that should be there and are not.
pub fn truncated(what: &str, range: ByteRange, size: u64) -> Error {
    let expected = format!("{} bytes up to {:#x}", range.size(), range.end());
    Error::malformed(what, range.start(), format!("the end of the image at {size:#x}"), expected)
}

/// The error for bytes that would end past what can be addressed.
pub(crate) fn past_64_bits(at: u64) -> Error {
    Error::malformed("bytes", at, "an end past 64 bits", "one within")
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        (**self).read_exact_at(buf, at)
    }

    fn check_unchanged(&self) -> Result<()> {
        (**self).check_unchanged()
    }

    fn is_closed(&self) -> bool {
        (**self).is_closed()
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        u64_len(self)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        let range = ByteRange::new(at, u64_len(buf)).ok_or_else(|| past_64_bits(at))?;
        match self.get(usize_of(range.start())..usize_of(range.end())) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => return Err(truncated("bytes", range, self.size())),
        }
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        u64_len(self)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        self.as_slice().read_exact_at(buf, at)
    }

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
}

/// An image in a regular file or on a block device, opened for reading only.
#[derive(Debug)]
pub struct ImageFile {
    file: File,
    path: PathBuf,
    size: u64,
    /// What the file looked like when it was opened; none of a disk, whose times tell nothing.
    state: Option<FileState>,
    /// Device and inode of what stands at the path.
    identity: (u64, u64),
    /// SHA-256 of all of it, if that was computed already.
    sha256: OnceLock<[u8; 32]>,
    /// Whether these are bytes that came out of the file at the path.
    is_unpacked: bool,
    /// Whether others may not read the file at the path.
    is_closed: bool,
}

impl ImageFile {
    /// Opens a file or block device. Anything else (a folder, a FIFO) is refused by name.
    pub fn open(path: &Path) -> Result<Self> {
        let about = about(path)?;
        let kind = about.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(not_an_image(path, kind));
        }
        journal::none_beside(path)?;
        let file = File::open(path).map_err(|fault| not_opened(path, kind, fault))?;
        // Another file may have the path by now.
        let about = file.metadata().map_err(Error::io(format!("look at {}", path.display())))?;
        let kind = about.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(not_an_image(path, kind));
        }
        let size = if kind.is_file() { about.len() } else { device_size(&file, path)? };
        let is_closed = access::is_closed_to_others(&about);
        Ok(Self { size, is_closed, ..Self::from_metadata(file, path.to_owned(), &about) })
    }

    /// Builds it from an open file and its metadata.
    fn from_metadata(file: File, path: PathBuf, about: &Metadata) -> Self {
        Self {
            file,
            path,
            size: about.len(),
            state: about.is_file().then(|| FileState::new(about)),
            identity: (about.dev(), about.ino()),
            sha256: OnceLock::new(),
            is_unpacked: false,
            is_closed: false,
        }
    }

    /// The image that was packed in this file, now in `unpacked`, which has no name of its own, so that nobody else
    /// writes to it.
    #[must_use]
    pub fn unpacked_to(self, unpacked: File, size: u64) -> Self {
        let (state, sha256) = (None, OnceLock::new());
        Self { file: unpacked, size, state, sha256, is_unpacked: true, ..self }
    }

    /// The same with the SHA-256 of all of it, which was computed already.
    #[must_use]
    pub fn of_sha256(self, sha256: Option<[u8; 32]>) -> Self {
        Self { sha256: sha256.map(OnceLock::from).unwrap_or_default(), ..self }
    }

    /// SHA-256 of all of it, if that was computed already.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256.get().copied()
    }

    /// SHA-256 of all of it, which is read for that once.
    pub fn digest(&self) -> Result<[u8; 32]> {
        if let Some(known) = self.sha256() {
            return Ok(known);
        }
        let whole = ByteRange::up_to(self.size);
        let sum = digest::of_range(self, "a file to put in", whole, &Silent)?;
        self.check_unchanged()?;
        Ok(*self.sha256.get_or_init(|| sum))
    }

    /// Whether a file is the one at the path: if the image is packed, the packed one.
    pub fn is(&self, other: &Metadata) -> bool {
        self.identity == (other.dev(), other.ino())
    }

    /// A file that is open already, as one without a name is. `name` is what messages call it.
    pub fn opened(file: File, name: impl Into<PathBuf>) -> Result<Self> {
        let path = name.into();
        let about = file.metadata().map_err(Error::io(format!("look at {}", path.display())))?;
        Ok(Self::from_metadata(file, path, &about))
    }

    /// What the file looked like when it was opened; none of a disk.
    pub(crate) fn state(&self) -> Option<&FileState> {
        self.state.as_ref()
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        let how = if self.is_unpacked { " (unpacked)" } else { "" };
        format!("{}{how}", self.path.display())
    }

    /// Names this image in the error. If the file changed while it was read, that is the error.
    #[must_use]
    pub fn at_fault(&self, fault: Error) -> Error {
        let fault = self.check_unchanged().err().unwrap_or(fault).with_path(self.name());
        if self.is_unpacked { fault.of_unpacked() } else { fault }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What stands at the path of an image. A URL differs from a file that is not there.
pub(crate) fn about(path: &Path) -> Result<Metadata> {
    path.metadata().map_err(|fault| match path.to_str() {
        Some(url) if fault.kind() == io::ErrorKind::NotFound && url.contains("://") => {
            Error::Usage {
                what: format!("{url} is a URL, and images are read from files"),
                hint: Advice::FetchImage,
            }
        }
        _ if fault.kind() == io::ErrorKind::NotFound && path.starts_with("/dev") => {
            Error::no_device(path)
        }
        _ => Error::io(format!("open {}", path.display()))(fault),
    })
}

/// Of a disk that the user may not read, the message names who lets in to disks, not the permissions of files.
fn not_opened(path: &Path, kind: std::fs::FileType, fault: io::Error) -> Error {
    let doing = format!("open {}", path.display());
    if fault.kind() == io::ErrorKind::PermissionDenied && kind.is_block_device() {
        let (reason, hint) = ("no permission".to_owned(), crate::rights::as_root().into());
        return Error::Denied { doing, reason, hint };
    }
    Error::io(doing)(fault)
}

fn device_size(mut file: &File, path: &Path) -> Result<u64> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::End(0)).map_err(Error::io(format!("find the size of {}", path.display())))
}

/// The error for what is neither a regular file nor a disk.
pub(crate) fn not_an_image(path: &Path, kind: std::fs::FileType) -> Error {
    let hint =
        if kind.is_dir() { Advice::FileNotFolder } else { "give the path of an ISO file".into() };
    Error::Usage {
        what: format!("{} is {}, not an image", path.display(), name_of_kind(kind)),
        hint,
    }
}

/// What something with a path is, if it is not a file.
pub fn name_of_kind(kind: std::fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() {
        "a block device"
    } else {
        "a character device"
    }
}

impl ReadAt for ImageFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<()> {
        self.file.read_exact_at(buf, at).map_err(|fault| match fault.kind() {
            io::ErrorKind::UnexpectedEof => Error::malformed(
                self.path.display().to_string(),
                at,
                "the end of the file",
                format!("{} bytes", buf.len()),
            ),
            _ => Error::io(format!("read {} at byte {at:#x}", self.path.display()))(fault),
        })
    }

    fn check_unchanged(&self) -> Result<()> {
        match &self.state {
            Some(state) => state.check(&self.file, &self.path),
            None => Ok(()),
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed
    }
}
