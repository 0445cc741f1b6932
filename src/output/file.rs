//! Writes an image to a file that appears whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags};

use crate::checked;
use crate::error::{Advice, Error, Result};
use crate::image::patched::{PatchedImage, Piece, Source};
use crate::image::{ImageFile, ReadAt};
use crate::output::Outgoing;
use crate::place;
use crate::progress::{Progress, Silent};
use crate::units::{ByteRange, in_memory, u64_of};

/// Bytes that the kernel is asked to copy at once: small enough for progress and Ctrl-C.
const KERNEL_CHUNK: usize = 16 << 20;

/// Bytes that are read and written at once where the kernel does not copy.
const CHUNK: u64 = 1 << 20;

/// Time between two rounds of bringing bytes to the disk.
const BREATH: Duration = Duration::from_millis(5);

/// Permission bits of a new file before the umask.
const USUAL_MODE: u32 = 0o666;

/// What to do with a file that already exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OverwritePolicy {
    /// Keep it, and write nothing.
    Refuse,
    /// Replace it, all at once.
    Replace,
}

/// Who may read a new file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readers {
    /// Whom the umask lets.
    Usual,
    /// Its owner, whatever the umask.
    Owner,
    /// Everyone, whatever the umask.
    Everyone,
}

impl Readers {
    /// Those of a file that holds what others must not know, or does not.
    pub fn of(private: bool) -> Self {
        if private { Self::Owner } else { Self::Usual }
    }

    /// Permission bits that the file gets for certain.
    fn certain(self) -> Option<u32> {
        match self {
            Self::Usual => None,
            Self::Owner => Some(0o600),
            Self::Everyone => Some(0o644),
        }
    }
}

/// How the base's bytes got into the new file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CopyMethod {
    /// They are shared with the base (FICLONE, `ioctl_ficlone(2)`).
    Cloned,
    /// The kernel copied them (`copy_file_range(2)`).
    Copied,
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
        if fs::metadata(path).is_ok_and(|found| base.is(&found)) {
            return Err(Error::Usage {
                what: format!("{} is the base itself, which is never changed", path.display()),
                hint: Advice::OtherOutput,
            });
        }
        Self::of_bytes(path, existing)
    }

    /// A place for bytes that are not an image.
    pub fn of_bytes(path: &Path, existing: OverwritePolicy) -> Result<Self> {
        let here = fs::symlink_metadata(path);
        let is_link = here.is_ok_and(|found| found.is_symlink());
        // What a link leads to is not touched: the link itself gives way. Below /dev nothing does.
        let found = fs::metadata(path).ok().filter(|_| !is_link || place::check(path).is_err());
        if let Some(other) = found.as_ref().filter(|found| !found.is_file()) {
            return Err(not_regular(path, other));
        }
        place::check(path)?;
        if (is_link || found.is_some()) && existing == OverwritePolicy::Refuse {
            return Err(taken(path));
        }
        Self::at(path, existing)
    }

    fn at(path: &Path, existing: OverwritePolicy) -> Result<Self> {
        place::check(path)?;
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
        let image = outgoing.image();
        let draft = self.draft(outgoing.readers())?;
        let doing = || format!("write {}", self.path.display());
        draft.file.set_len(image.size()).map_err(Error::io(doing()))?;
        progress.begin("Writing", image.size());
        let fill = if self.synced { filled } else { fill };
        let how = fill(&draft.file, image, progress)
            .map_err(|fault| fault.unwrap_or_else(|fault| Error::io(doing())(fault)))?;
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
        readers: Readers,
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
        Ok(Ready { output: self, draft })
    }

    /// Writes bytes that are not an image, for these readers.
    pub fn write_bytes(&self, bytes: &[u8], readers: Readers) -> Result<()> {
        let draft = self.draft(readers)?;
        let written = draft.file.write_all_at(bytes, 0).and_then(|()| self.sync(&draft.file));
        written.map_err(Error::io(format!("write {}", self.path.display())))?;
        self.name(draft)
    }

    /// The same of bytes.
    pub(crate) fn ready_bytes(self, bytes: &[u8], readers: Readers) -> Result<Ready> {
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
    pub(super) fn draft(&self, readers: Readers) -> Result<Draft> {
        Draft::open(&self.folder, readers)
    }

    /// Gives a file that is on the disk its name, durably.
    pub(super) fn name(&self, draft: Draft) -> Result<()> {
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
    fn publish(&self, mut draft: Draft) -> io::Result<()> {
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
    draft: Draft,
}

/// Files that are synced one by one; more are synced with their filesystem.
const FEW: usize = 4;

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
        Some(first) if waiting > FEW => {
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
    let ready = Output::of_bytes(path, existing)?.ready_bytes(bytes, Readers::Usual)?;
    publish(vec![ready]).into_iter().collect()
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

/// Some filesystems know no flags of renameat2(2): they get the plain call, after a look.
pub(super) fn rename(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, flags) {
        Err(rustix::io::Errno::INVAL) if flags.contains(RenameFlags::NOREPLACE) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        result => result.map_err(io::Error::from),
    }
}

fn not_regular(path: &Path, found: &fs::Metadata) -> Error {
    let is = if found.is_dir() { "is a folder" } else { "is not a regular file" };
    Error::Usage {
        what: format!("{} {is}, and an image is written to a file", path.display()),
        hint: Advice::FileOrPipe,
    }
}

/// The error for an output that already exists.
pub fn taken(path: &Path) -> Error {
    Error::Usage {
        what: format!("{} already exists", path.display()),
        hint: Advice::OtherPathOrReplace,
    }
}

/// A file that is being written and has no name of its own yet, or one that goes away with it.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    name: Option<PathBuf>,
}

impl Draft {
    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Opens a file without a name in the folder; with one where the filesystem has no `O_TMPFILE`.
    fn open(folder: &Path, readers: Readers) -> Result<Self> {
        let draft = Self::open_with(folder, readers)?;
        if let Some(mode) = readers.certain() {
            let doing = || format!("give a new file in {} the mode {mode:04o}", folder.display());
            let mode = fs::Permissions::from_mode(mode);
            draft.file.set_permissions(mode).map_err(Error::io(doing()))?;
        }
        Ok(draft)
    }

    fn open_with(folder: &Path, readers: Readers) -> Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).mode(readers.certain().unwrap_or(USUAL_MODE));
        let unnamed = options.custom_flags(flags(OFlags::TMPFILE)).open(folder);
        match unnamed {
            Ok(file) => Ok(Self { file, name: None }),
            Err(fault) if matches!(fault.raw_os_error(), Some(95 | 21 | 2 | 22)) => {
                Self::open_named(folder, readers)
            }
            Err(fault) => Err(Error::io(format!("write into {}", folder.display()))(fault)),
        }
    }

    fn open_named(folder: &Path, readers: Readers) -> Result<Self> {
        let name = free_name(folder);
        let mut options = File::options();
        let mode = readers.certain().unwrap_or(USUAL_MODE);
        options.read(true).write(true).create_new(true).mode(mode);
        let file = options.open(&name);
        let file = file.map_err(Error::io(format!("write into {}", folder.display())))?;
        Ok(Self { file, name: Some(name) })
    }

    /// Gives the file a path that must be free.
    fn link(&self, path: &Path) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
    }

    /// The name of the file, a passing one if it had none.
    fn named(&mut self, folder: &Path) -> io::Result<PathBuf> {
        if self.name.is_none() {
            let name = free_name(folder);
            self.link(&name)?;
            self.name = Some(name);
        }
        self.name.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing can be done about a file that does not go away.
            let _ = fs::remove_file(name);
        }
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Numbers that names were tried with: threads do not try the same.
static TRIED: AtomicU32 = AtomicU32::new(0);

pub(super) fn free_name(folder: &Path) -> PathBuf {
    let name = |number: u32| {
        folder.join(OsString::from(format!(".remaster.{}.{number}", std::process::id())))
    };
    (0..u32::MAX)
        .map(|_| name(TRIED.fetch_add(1, Ordering::Relaxed)))
        .find(|path| fs::symlink_metadata(path).is_err())
        .unwrap_or_else(|| name(0))
}

/// A fault of the operating system, or one that already says what it is.
type Fault = std::result::Result<Error, io::Error>;

fn refused(fault: impl Into<io::Error>) -> Fault {
    Err(fault.into())
}

/// Fills the file while another thread brings to the disk what was written, so that little is left
/// to wait for at the end. A fault of that thread counts: the kernel tells each fault only once.
fn filled(
    file: &File,
    image: &PatchedImage<&ImageFile>,
    progress: &dyn Progress,
) -> std::result::Result<CopyMethod, Fault> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let syncing = scope.spawn(|| -> io::Result<()> {
            while !done.load(Ordering::Relaxed) {
                file.sync_data()?;
                thread::sleep(BREATH);
            }
            Ok(())
        });
        let how = fill(file, image, progress);
        done.store(true, Ordering::Relaxed);
        let synced = syncing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        synced.map_err(refused).and(how)
    })
}

fn fill(
    file: &File,
    image: &PatchedImage<&ImageFile>,
    progress: &dyn Progress,
) -> std::result::Result<CopyMethod, Fault> {
    let base = image.base().file();
    // Nothing is gained by a clone of which no byte stays where it is.
    let cloned =
        image.pieces().iter().any(Piece::stays) && rustix::fs::ioctl_ficlone(file, base).is_ok();
    if cloned {
        file.set_len(image.size()).map_err(refused)?;
    }
    for piece in image.pieces() {
        // A new file is zero all over, and so is what a clone has behind the base.
        let is_fresh = !cloned || piece.at.start() >= image.base().size();
        let is_zero = is_fresh && matches!(piece.from, Source::Zeros);
        if is_zero || (cloned && piece.stays()) {
            progress.advance(piece.at.size());
        } else {
            write_piece(file, image, piece, progress)?;
        }
    }
    Ok(if cloned { CopyMethod::Cloned } else { CopyMethod::Copied })
}

fn write_piece(
    file: &File,
    image: &PatchedImage<&ImageFile>,
    piece: &Piece,
    progress: &dyn Progress,
) -> std::result::Result<(), Fault> {
    let left = match &piece.from {
        Source::Base(from) => copy_in_kernel(image.base().file(), *from, file, piece.at, progress)?,
        Source::File(other, from) => copy_in_kernel(other.file(), *from, file, piece.at, progress)?,
        Source::Bytes(_) | Source::Zeros => piece.at,
    };
    let mut buffer = vec![0; in_memory(CHUNK.min(left.size()))];
    for step in left.steps(CHUNK) {
        check_cancelled(progress)?;
        let chunk = checked::part_mut(&mut buffer, ..in_memory(step.size()), "room for a piece");
        let chunk = chunk.map_err(Ok)?;
        image.read_exact_at(chunk, step.start()).map_err(Ok)?;
        file.write_all_at(chunk, step.start()).map_err(refused)?;
        progress.advance(step.size());
    }
    Ok(())
}

fn check_cancelled(progress: &dyn Progress) -> std::result::Result<(), Fault> {
    if progress.is_cancelled() { Err(Ok(Error::Interrupted)) } else { Ok(()) }
}

/// Copies as much as the kernel copies, and says what it left to the caller.
fn copy_in_kernel(
    base: &File,
    from: u64,
    to: &File,
    at: ByteRange,
    progress: &dyn Progress,
) -> std::result::Result<ByteRange, Fault> {
    let (mut source, mut target) = (from, at.start());
    loop {
        let left = checked::between(target, at.end(), "what is still to be copied").map_err(Ok)?;
        if left.is_empty() {
            return Ok(left);
        }
        check_cancelled(progress)?;
        let size = in_memory(left.size()).min(KERNEL_CHUNK);
        let copied =
            rustix::fs::copy_file_range(base, Some(&mut source), to, Some(&mut target), size);
        match copied {
            Ok(0) => return Ok(left),
            Ok(bytes) => progress.advance(u64_of(bytes)),
            Err(
                rustix::io::Errno::NOSPC
                | rustix::io::Errno::DQUOT
                | rustix::io::Errno::IO
                | rustix::io::Errno::FBIG,
            ) => {
                return Err(refused(io::Error::last_os_error()));
            }
            Err(_) => return Ok(left),
        }
    }
}
