//! Writes an image to a file that appears whole or not at all.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, OFlags, RenameFlags};

pub use super::fill::CopyMethod;
use super::fill::{Fill, fill, fill_and_sync};
pub use super::naming::{StagedFile, publish};
pub use super::temp_file::FileAccess;
use super::temp_file::{TempFile, flags, rename};
use crate::access;
use crate::error::{Advice, Error, Result};
use crate::image::{ImageFile, ReadAt};
use crate::output::Outgoing;
use crate::place;
use crate::progress::{Progress, Silent};

/// What to do with a file that already exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OverwritePolicy {
    /// Keep it, and write nothing.
    Refuse,
    /// Replace it, all at once.
    Replace,
}

/// A place for an image, checked before any work is done.
#[derive(Clone, Debug)]
pub struct Output {
    path: PathBuf,
    folder: PathBuf,
    existing: OverwritePolicy,
    synced: bool,
}

impl Output {
    /// Checks that `path` can take an image made from `base`. A link there gives way itself, what it leads to stays.
    pub fn new(path: &Path, base: &ImageFile, existing: OverwritePolicy) -> Result<Self> {
        Self::check_base(path, base)?;
        Self::of_image(path, existing)
    }

    /// Checks that `path` is not the base itself.
    pub fn check_base(path: &Path, base: &ImageFile) -> Result<()> {
        if !fs::metadata(path).is_ok_and(|found| base.is(&found)) {
            return Ok(());
        }
        Err(Error::Usage {
            what: format!("{} is the base itself, which is never changed", path.display()),
            hint: Advice::OtherOutput,
        })
    }

    /// A place for an image, or for a tar archive that is packed as its base. What writes it checks the ending.
    pub fn of_image(path: &Path, existing: OverwritePolicy) -> Result<Self> {
        if !is_packed_tar(path) {
            place::check_name(path, None)?;
        }
        Self::checked(path, existing, "an image is written to a file")
    }

    /// A place for bytes that are not an image.
    pub fn of_bytes(path: &Path, existing: OverwritePolicy) -> Result<Self> {
        place::check_name(path, None)?;
        Self::checked(path, existing, "what is written there is a file")
    }

    fn checked(path: &Path, existing: OverwritePolicy, goes: &str) -> Result<Self> {
        place::check_file(path)?;
        let here = fs::symlink_metadata(path);
        let is_link = here.is_ok_and(|found| found.is_symlink());
        // What a link leads to is not touched: the link itself gives way. Below /dev nothing does.
        let found =
            fs::metadata(path).ok().filter(|_| !is_link || place::check_place(path).is_err());
        if let Some(other) = found.as_ref().filter(|found| !found.is_file()) {
            return Err(not_regular(path, other, goes));
        }
        place::check_place(path)?;
        if (is_link || found.is_some()) && existing == OverwritePolicy::Refuse {
            return Err(taken(path));
        }
        Self::at(path, existing)
    }

    fn at(path: &Path, existing: OverwritePolicy) -> Result<Self> {
        place::check_place(path)?;
        let (path, folder) = (path.to_owned(), place::folder_of(path));
        check_open(&folder).map_err(Error::io(format!("write into {}", folder.display())))?;
        Ok(Self { path, folder, existing, synced: true })
    }

    /// The same without waiting for the disk: a power cut soon afterwards can leave an empty or broken file under the name.
    #[must_use]
    pub fn without_sync(self) -> Self {
        Self { synced: false, ..self }
    }

    /// Whether a file has its name only after it is on the disk.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the image. On any error, on Ctrl-C and on a crash nothing stands under the path, or what
    /// stood there before.
    pub fn write(
        &self,
        outgoing: Outgoing<'_, &ImageFile>,
        progress: &dyn Progress,
    ) -> Result<CopyMethod> {
        let (staged, how) = self.stage_image(outgoing, progress)?;
        publish(vec![staged])?;
        Ok(how)
    }

    /// Writes the image to a file without a name, and waits for the disk where asked to.
    pub fn stage_image(
        &self,
        outgoing: Outgoing<'_, &ImageFile>,
        progress: &dyn Progress,
    ) -> Result<(StagedFile, CopyMethod)> {
        place::check_name(&self.path, None)?;
        progress.begin("write", outgoing.image().size());
        let fill = if self.synced { fill_and_sync } else { fill };
        let (draft, how) = self.draft_of(outgoing, fill, progress)?;
        progress.end();
        self.sync(&draft.file).map_err(|fault| self.not_written(fault))?;
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        Ok((self.staged(draft), how))
    }

    /// The same without waiting for the disk: `publish_all` syncs many files together.
    pub(crate) fn stage_image_unsynced(
        &self,
        outgoing: Outgoing<'_, &ImageFile>,
        progress: &dyn Progress,
    ) -> Result<StagedFile> {
        self.draft_of(outgoing, fill, progress).map(|(draft, _)| self.staged(draft))
    }

    /// A file without a name that has all bytes of an image.
    fn draft_of(
        &self,
        outgoing: Outgoing<'_, &ImageFile>,
        fill: Fill,
        progress: &dyn Progress,
    ) -> Result<(TempFile, CopyMethod)> {
        let image = outgoing.image();
        let draft = self.draft(outgoing.readers())?;
        draft.file.set_len(image.size()).map_err(|fault| self.not_written(fault))?;
        let how = fill(&draft.file, image, progress)
            .map_err(|fault| fault.unwrap_or_else(|fault| self.not_written(fault)))?;
        image.check_unchanged()?;
        Ok((draft, how))
    }

    /// A file for these readers that is written by `write`, and has no name yet.
    pub fn stage_with(
        &self,
        readers: FileAccess,
        write: impl FnOnce(&File) -> Result<()>,
    ) -> Result<StagedFile> {
        let draft = self.draft(readers)?;
        write(&draft.file)?;
        Ok(self.staged(draft))
    }

    /// Writes bytes that are not an image, for these readers.
    pub fn write_bytes(&self, bytes: &[u8], readers: FileAccess) -> Result<()> {
        publish(vec![self.stage_bytes(bytes, readers)?])
    }

    /// Bytes that are not an image, for these readers, in a file that has no name yet.
    pub fn stage_bytes(&self, bytes: &[u8], readers: FileAccess) -> Result<StagedFile> {
        place::check_name(&self.path, None)?;
        let draft = self.draft(readers)?;
        draft.file.write_all_at(bytes, 0).map_err(|fault| self.not_written(fault))?;
        Ok(self.staged(draft))
    }

    fn staged(&self, draft: TempFile) -> StagedFile {
        StagedFile { output: self.clone(), draft }
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is done with a file that already exists.
    pub(super) fn existing(&self) -> OverwritePolicy {
        self.existing
    }

    /// The error where the operating system refuses.
    pub(super) fn not_written(&self, fault: io::Error) -> Error {
        match fault.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.path),
            _ => Error::io(format!("write {}", self.path.display()))(fault),
        }
    }

    /// A file without a name, for this place.
    pub(super) fn draft(&self, readers: FileAccess) -> Result<TempFile> {
        if self.synced {
            open_to_sync(&self.folder)?;
        }
        TempFile::open(&self.folder, readers)
    }

    /// Brings a file to the disk, where that is waited for.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        if self.synced { file.sync_all() } else { Ok(()) }
    }

    /// Gives the finished file its name.
    pub(super) fn publish(&self, mut draft: TempFile) -> io::Result<()> {
        if draft.name.is_none() && self.existing == OverwritePolicy::Refuse {
            draft.link(&self.path)?;
        } else {
            let name = draft.named(&self.folder)?;
            let flags = match self.existing {
                OverwritePolicy::Refuse => RenameFlags::NOREPLACE,
                OverwritePolicy::Replace => RenameFlags::empty(),
            };
            rename(&name, &self.path, flags)?;
            draft.name = None;
        }
        Ok(())
    }
}

/// Whether new names can be made in a folder: better known before the work, and in a dry run, than after.
fn check_open(folder: &Path) -> io::Result<()> {
    fs::metadata(folder)?;
    let (wanted, as_now) = (Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    Ok(rustix::fs::accessat(rustix::fs::CWD, folder, wanted, as_now)?)
}

/// Opens a folder whose names are to be brought to the disk, before anything is written there.
///
/// # Errors
/// One that may be written to and not read cannot be opened for that (fsync(2)).
pub(super) fn open_to_sync(folder: &Path) -> Result<File> {
    let doing =
        format!("open the folder {}, to bring to the disk what is written there", folder.display());
    File::open(folder).map_err(Error::io(doing))
}

/// Makes the name of something durable that is in its place already.
pub(super) fn sync_folder(folder: &Path, named: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    let named = named.display();
    let doing = format!("make sure that {named}, which is written, outlives a power cut");
    synced.map_err(Error::io(doing))
}

/// Puts an image under another path: a clone where the filesystem can, else a copy. Never one more name of the
/// user's file, which an edit in place would change in both.
pub fn copy(image: Outgoing<'_, &ImageFile>, path: &Path) -> Result<()> {
    let output = Output::at(path, OverwritePolicy::Replace)?;
    publish(vec![output.stage_image_unsynced(image, &Silent)?])
}

/// Writes bytes to a file that appears whole or not at all.
pub fn write_bytes(path: &Path, bytes: &[u8], existing: OverwritePolicy) -> Result<()> {
    Output::of_bytes(path, existing)?.write_bytes(bytes, FileAccess::Usual)
}

/// Closes a folder to everyone but its owner.
pub fn keep_folder_from_others(path: &Path) -> Result<()> {
    access::close_folder(path)
}

/// Whether nobody but its owner looks into a folder.
pub fn is_kept_from_others(path: &Path) -> Result<bool> {
    let about = fs::metadata(path).map_err(Error::io(format!("look at {}", path.display())))?;
    Ok(access::is_closed(&about))
}

/// Whether others may not read a file: what is made of it is kept from others, too.
pub fn is_closed_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| access::is_closed_to_others(&about))
}

/// Whether a name is that of a packed tar archive.
fn is_packed_tar(path: &Path) -> bool {
    let below = path.file_stem().map(Path::new).and_then(Path::extension);
    let is_short = |end: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(end));
    below.is_some_and(|end| end.eq_ignore_ascii_case("tar"))
        || ["tbz2", "tgz", "txz", "tzst"].iter().any(|end| is_short(end))
}

/// Closes a file that stays to everyone but its owner; false if a link stands there.
pub fn keep_from_others(path: &Path) -> Result<bool> {
    let doing = || format!("close {} to others", path.display());
    let mut options = File::options();
    match options.read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path) {
        Err(fault) if fault.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Ok(false)
        }
        opened => {
            let file = opened.map_err(Error::io(doing()))?;
            access::close(&file, &path.display().to_string()).map(|()| true)
        }
    }
}

fn not_regular(path: &Path, found: &fs::Metadata, goes: &str) -> Error {
    let is = if found.is_dir() { "is a folder" } else { "is not a regular file" };
    Error::Usage { what: format!("{} {is}, and {goes}", path.display()), hint: Advice::FileOrPipe }
}

/// The error for an output that already exists.
pub fn taken(path: &Path) -> Error {
    Error::Usage {
        what: format!("{} already exists", path.display()),
        hint: Advice::OtherPathOrReplace,
    }
}
