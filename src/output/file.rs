//! Writes an image to a file that appears whole or not at all.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, RenameFlags};

pub use super::fill::CopyMethod;
use super::fill::{fill, filled};
pub use super::temp_file::FileAccess;
use super::temp_file::{TempFile, flags, rename};
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
#[derive(Debug)]
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
        fs::metadata(&folder).map_err(Error::io(format!("write into {}", folder.display())))?;
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
        place::check_name(&self.path, None)?;
        let image = outgoing.image();
        let draft = self.draft(outgoing.readers())?;
        let doing = || format!("write {}", self.path.display());
        draft.file.set_len(image.size()).map_err(Error::io(doing()))?;
        progress.begin("write", image.size());
        let fill = if self.synced { filled } else { fill };
        let how = fill(&draft.file, image, progress)
            .map_err(|fault| fault.unwrap_or_else(|fault| Error::io(doing())(fault)))?;
        image.check_unchanged()?;
        progress.end();
        self.sync(&draft.file).map_err(Error::io(doing()))?;
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        self.name(draft)?;
        Ok(how)
    }

    /// Writes what is packed on the way, for these readers.
    pub fn write_packed(
        &self,
        readers: FileAccess,
        pack: impl FnOnce(&File) -> Result<()>,
    ) -> Result<()> {
        let draft = self.draft(readers)?;
        pack(&draft.file)?;
        let doing = || format!("write {}", self.path.display());
        self.sync(&draft.file).map_err(Error::io(doing()))?;
        self.name(draft)
    }

    /// An image that is written and has no name yet.
    pub fn ready(
        self,
        outgoing: Outgoing<'_, &ImageFile>,
        progress: &dyn Progress,
    ) -> Result<Ready> {
        let image = outgoing.image();
        let draft = self.draft(outgoing.readers())?;
        let doing = || format!("write {}", self.path.display());
        draft.file.set_len(image.size()).map_err(Error::io(doing()))?;
        fill(&draft.file, image, progress)
            .map_err(|fault| fault.unwrap_or_else(|fault| Error::io(doing())(fault)))?;
        image.check_unchanged()?;
        Ok(Ready { output: self, draft })
    }

    /// Writes bytes that are not an image, for these readers.
    pub fn write_bytes(&self, bytes: &[u8], readers: FileAccess) -> Result<()> {
        place::check_name(&self.path, None)?;
        let draft = self.draft(readers)?;
        let written = draft.file.write_all_at(bytes, 0).and_then(|()| self.sync(&draft.file));
        written.map_err(Error::io(format!("write {}", self.path.display())))?;
        self.name(draft)
    }

    /// The same of bytes.
    pub(crate) fn ready_bytes(self, bytes: &[u8], readers: FileAccess) -> Result<Ready> {
        let draft = self.draft(readers)?;
        let written = draft.file.write_all_at(bytes, 0);
        written.map_err(Error::io(format!("write {}", self.path.display())))?;
        Ok(Ready { output: self, draft })
    }

    fn published(&self, fault: io::Error) -> Error {
        match fault.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.path),
            _ => Error::io(format!("write {}", self.path.display()))(fault),
        }
    }

    /// A file without a name, for this place.
    pub(super) fn draft(&self, readers: FileAccess) -> Result<TempFile> {
        TempFile::open(&self.folder, readers)
    }

    /// Gives a file that is on the disk its name, durably.
    pub(super) fn name(&self, draft: TempFile) -> Result<()> {
        self.publish(draft).map_err(|fault| self.published(fault))?;
        self.sync_folder()
    }

    /// Brings a file to the disk, where that is waited for.
    fn sync(&self, file: &File) -> io::Result<()> {
        if self.synced { file.sync_all() } else { Ok(()) }
    }

    /// Makes the name durable, where that is waited for.
    fn sync_folder(&self) -> Result<()> {
        if !self.synced {
            return Ok(());
        }
        sync_folder(&self.folder, &self.path)
    }

    /// Gives the finished file its name.
    fn publish(&self, mut draft: TempFile) -> io::Result<()> {
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

/// Makes the name of something durable that is in its place already.
pub(super) fn sync_folder(folder: &Path, named: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    let named = named.display();
    let doing = format!("make sure that {named}, which is written, outlives a power cut");
    synced.map_err(Error::io(doing))
}

/// A finished file that waits for its name.
#[derive(Debug)]
pub struct Ready {
    output: Output,
    draft: TempFile,
}

/// Files that are synced one by one; more are synced with their filesystem. Each fsync(2) waits for the disk once, and
/// syncfs(2) once for all, but also for what others have written.
const MAX_SYNCED_ALONE: usize = 4;

/// Gives finished files of one folder their names, after all of them are on the disk. Says of each
/// whether it has its name.
pub fn publish(ready: Vec<Ready>) -> Vec<Result<()>> {
    let synced = synced(&ready);
    let mut folder = None;
    let mut done: Vec<Result<()>> = ready
        .into_iter()
        .zip(synced)
        .map(|(Ready { output, draft }, synced)| {
            synced?;
            output.publish(draft).map_err(|fault| output.published(fault))?;
            folder = Some(output);
            Ok(())
        })
        .collect();
    if let (Some(Err(fault)), Some(last)) =
        (folder.map(|output| output.sync_folder()), done.last_mut())
    {
        *last = Err(fault);
    }
    done
}

/// Brings files to the disk, where that is waited for.
fn synced(ready: &[Ready]) -> Vec<Result<()>> {
    let doing = |one: &Ready| Error::io(format!("write {}", one.output.path.display()));
    let waiting = ready.iter().filter(|one| one.output.synced).count();
    match ready.first() {
        Some(first) if waiting > MAX_SYNCED_ALONE => {
            let all = rustix::fs::syncfs(&first.draft.file);
            ready.iter().map(|one| all.map_err(|fault| doing(one)(fault.into()))).collect()
        }
        _ => ready.iter().map(|one| one.output.sync(&one.draft.file).map_err(doing(one))).collect(),
    }
}

/// Puts an image under another path: a clone where the filesystem can, else a copy. Never one more name of the
/// user's file, which an edit in place would change in both.
pub fn copy(image: Outgoing<'_, &ImageFile>, path: &Path) -> Result<()> {
    let output = Output::at(path, OverwritePolicy::Replace)?;
    publish(vec![output.ready(image, &Silent)?]).into_iter().collect()
}

/// Writes bytes to a file that appears whole or not at all.
pub fn write_bytes(path: &Path, bytes: &[u8], existing: OverwritePolicy) -> Result<()> {
    let ready = Output::of_bytes(path, existing)?.ready_bytes(bytes, FileAccess::Usual)?;
    publish(vec![ready]).into_iter().collect()
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
            let only = fs::Permissions::from_mode(0o600);
            file.set_permissions(only).map_err(Error::io(doing()))?;
            Ok(true)
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
