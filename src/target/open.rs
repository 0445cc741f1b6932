//! A disk or file that is open for overwriting and proved to be the one that was meant.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::disk::{DeviceNumber, Disk, Use};
use super::holder;
use super::policy::{Candidate, ImagePlace, Refusal, refusals};
use super::sys;
use super::system::System;
use super::udisks;
use crate::access;
use crate::error::{Advice, Error, Result};
use crate::leftovers::Leftover;
use crate::lock;
use crate::place;

/// How often udisks2 is asked to eject a disk, and the time between: right after a write udev has it open for a moment.
const EJECT_TRIES: u32 = 4;
const EJECT_PAUSE: Duration = Duration::from_millis(500);

/// Alignment that direct I/O on file systems asks for at most.
const FILE_BLOCK: u64 = 4096;

/// Permissions of new files before the umask.
const USUAL_MODE: u32 = 0o666;

/// How bytes reach the medium.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WriteMode {
    /// Past the page cache.
    Direct,
    /// Through the page cache, because the file system or device cannot do better.
    Cached,
}

/// Who opened the target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OpenedBy {
    /// This program, by the user's own permission.
    Permission,
    /// udisks2, by what polkit allows.
    Udisks,
}

impl OpenedBy {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Udisks => "udisks2",
        }
    }
}

/// An open disk or file. Only [`Candidate::open`] and [`Target::file`] make one.
#[derive(Debug)]
pub struct Target {
    file: File,
    path: PathBuf,
    disk: Option<Disk>,
    mode: WriteMode,
    opened_by: OpenedBy,
    block: u64,
    /// Permissions of a file that everyone may know.
    usual: u32,
    /// Whether something was written to it.
    touched: AtomicBool,
    /// How many places keep what a test wrote there.
    marked: AtomicUsize,
    /// Whether it is a file that was made when it was opened.
    is_new: bool,
    /// Removes that file if the program ends in the middle.
    #[expect(dead_code, reason = "it does what it is for when it is dropped")]
    unfinished: Option<Leftover>,
}

impl Candidate {
    /// Opens the disk for itself alone, and compares the open disk with the one that was judged.
    ///
    /// # Errors
    /// The disk is busy, has been replaced, or something now speaks against it.
    pub fn open(&self, system: &System) -> Result<Target> {
        let disk = self.disk();
        let shown = disk.path.display().to_string();
        let (file, mode, opened_by) = open_disk(disk)?;
        let about = file.metadata().map_err(Error::io(format!("look at {shown}")))?;
        if !about.file_type().is_block_device() {
            return Err(Refusal::NotABlockDevice.error(&shown));
        }
        let number = DeviceNumber::from_raw(about.rdev());
        let now = system.by_number(number, &shown)?;
        let now = self.confirmed(now, sys::disk_sequence(&file).ok())?;
        Ok(Target {
            file,
            path: disk.path.clone(),
            block: now.logical_block,
            disk: Some(now),
            mode,
            opened_by,
            usual: 0,
            touched: AtomicBool::new(false),
            marked: AtomicUsize::new(0),
            is_new: false,
            unfinished: None,
        })
    }

    /// The disk that is open, if it is the one that was judged and nothing speaks against it now, either. Its sequence
    /// number is that of the open disk, where the kernel tells it.
    ///
    /// # Errors
    /// Another disk stands there, or something now speaks against it.
    pub fn confirmed(&self, now: Disk, sequence: Option<u64>) -> Result<Disk> {
        let shown = self.disk().path.display().to_string();
        if now.size == 0 {
            return Err(Refusal::NoMedium.error(&shown));
        }
        if let Some(what) = difference(self.disk(), &now, sequence) {
            return Err(Refusal::Replaced { what }.error(&shown));
        }
        if let Some(against) = refusals(&now, self.demands()).first() {
            return Err(against.error(&shown));
        }
        Ok(now)
    }
}

/// What tells the disk that is open from the one that was judged.
fn difference(judged: &Disk, open: &Disk, sequence: Option<u64>) -> Option<String> {
    let sequence = sequence.or(open.sequence);
    let differs = |what: &str, found: String, expected: String| {
        (found != expected).then(|| format!("{what}: found {found}, expected {expected}"))
    };
    let plain = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let counted = |count: Option<u64>| count.map_or("none".to_owned(), |count| count.to_string());
    differs("number", open.number.to_string(), judged.number.to_string())
        .or_else(|| {
            differs("serial", plain(open.serial.as_deref()), plain(judged.serial.as_deref()))
        })
        .or_else(|| differs("model", open.model.clone(), judged.model.clone()))
        .or_else(|| differs("size", open.size.to_string(), judged.size.to_string()))
        .or_else(|| differs("disk sequence number", counted(sequence), counted(judged.sequence)))
}

/// Opens a disk for itself alone; where the user may not, udisks2 does it.
fn open_disk(disk: &Disk) -> Result<(File, WriteMode, OpenedBy)> {
    let (path, devices) = (&disk.path, &disk.family);
    let shown = path.display().to_string();
    // EBUSY where the disk or a part of it is mounted or held; until it is closed, nobody can mount it (open(2)).
    let fault = match open_alone(path, OFlags::EXCL) {
        Ok((file, mode)) => return Ok((file, mode, OpenedBy::Permission)),
        Err(fault) => fault,
    };
    match Errno::from_io_error(&fault) {
        Some(Errno::BUSY) => {
            let by = holder::find(Path::new("/proc"), devices);
            Err(Refusal::Busy { by }.error(&shown))
        }
        Some(Errno::ROFS) => Err(Refusal::ReadOnly { transport: disk.transport }.error(&shown)),
        Some(Errno::NOMEDIUM) => Err(Refusal::NoMedium.error(&shown)),
        Some(Errno::NOENT | Errno::NXIO | Errno::NODEV) => Err(Refusal::Gone.error(&shown)),
        Some(Errno::ACCESS | Errno::PERM) => {
            let doing = format!("open {shown} for writing");
            let (file, mode) = open_by_udisks(path, OFlags::RDWR | OFlags::EXCL, doing)?;
            Ok((file, mode, OpenedBy::Udisks))
        }
        _ => Err(Error::io(format!("open {shown} for writing"))(fault)),
    }
}

/// Opens a disk for reading, as udisks2 allows it to a user who has no permission.
///
/// # Errors
/// Who refuses and why.
pub fn open_for_reading(path: &Path) -> Result<(File, WriteMode)> {
    let doing = format!("open {}", path.display());
    open_by_udisks(path, OFlags::RDONLY, doing)
}

/// Opens a disk past the cache if that is possible.
fn open_by_udisks(path: &Path, access: OFlags, doing: String) -> Result<(File, WriteMode)> {
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = udisks::open(path, flags | OFlags::DIRECT).or_else(|refused| match refused {
        // As without udisks2: some devices cannot be opened past the cache.
        udisks::Refused::Failed(_) => udisks::open(path, flags),
        _ => Err(refused),
    });
    let file = opened.map_err(|refused| denied(doing.clone(), &refused))?;
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|fault| Error::io(doing)(fault.into()))?;
    let mode = if flags.contains(OFlags::DIRECT) { WriteMode::Direct } else { WriteMode::Cached };
    Ok((file, mode))
}

fn denied(doing: String, refused: &udisks::Refused) -> Error {
    Error::Denied { doing, reason: refused.reason(), hint: refused.hint().into() }
}

/// Opens past the cache if that is possible.
fn open_alone(path: &Path, more: OFlags) -> io::Result<(File, WriteMode)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    match rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty()) {
        Ok(file) => Ok((file.into(), WriteMode::Direct)),
        // No `O_DIRECT` there, as on some filesystems (open(2)).
        Err(Errno::INVAL) => {
            let file = rustix::fs::open(path, flags, Mode::empty())?;
            Ok((file.into(), WriteMode::Cached))
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Makes a file for its owner alone, if none is there; whether it did.
fn make_file(path: &Path) -> io::Result<bool> {
    let made = File::options().write(true).create_new(true).mode(access::OWNER).open(path);
    match made {
        // Whatever the umask.
        Ok(file) => {
            let set = file.set_permissions(Permissions::from_mode(access::OWNER));
            // What it is for may need no mode: `Target::keep_from_others` looks.
            set.or_else(access::unless_modeless).map(|()| true).inspect_err(|_| {
                // Nothing can be done about a file that does not go away.
                let _ = std::fs::remove_file(path);
            })
        }
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// The error about a file that another program writes to or edits.
fn busy(shown: &str) -> Error {
    Error::Usage {
        what: format!("{shown} is being written by another program"),
        hint: "wait until that is done, or write to another file".into(),
    }
}

/// What new files are closed to. Asking by `umask(2)` would change it for a moment.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let told = digits.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok());
    told.unwrap_or_else(umask_without_proc)
}

/// The same by the system call: what other threads make meanwhile is closed to all others.
fn umask_without_proc() -> u32 {
    let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(mask);
    mask.bits()
}

impl Target {
    /// Opens a regular file to write an image to, or makes one for its owner alone.
    ///
    /// # Errors
    /// Something that is not a regular file, a link, or an image that is read from it.
    pub fn file(path: &Path, images: &[ImagePlace]) -> Result<Self> {
        let shown = path.display().to_string();
        let refuse = |reason: &str, hint: Advice| Error::Unsafe {
            target: shown.clone(),
            reason: reason.to_owned(),
            hint,
        };
        let not_regular = || refuse("not a regular file", Advice::WriteToDisk);
        if path.exists() && !path.is_file() {
            return Err(not_regular());
        }
        place::check(path)?;
        if path.is_symlink() {
            return Err(refuse(
                "a symbolic link",
                "give the path of the file itself, or remove the link".into(),
            ));
        }
        let opening = || Error::io(format!("open {shown} for writing"));
        let is_new = make_file(path).map_err(opening())?;
        let unfinished = is_new.then(|| Leftover::path(path));
        let undo = |_: &Error| {
            if is_new {
                // Nothing can be done about a file that does not go away.
                let _ = std::fs::remove_file(path);
            }
        };
        let opened = open_alone(path, OFlags::NOFOLLOW).map_err(opening());
        let (file, mode) = opened.inspect_err(undo)?;
        let about = file.metadata().map_err(Error::io(format!("look at {shown}")))?;
        if !about.is_file() {
            return Err(not_regular());
        }
        let id = Some((about.dev(), about.ino()));
        lock::take(&file, path, || busy(&shown))?;
        // Another program may have removed it meanwhile.
        if std::fs::symlink_metadata(path).ok().map(|named| (named.dev(), named.ino())) != id {
            return Err(busy(&shown));
        }
        if images.iter().any(|image| image.id == id) {
            return Err(refuse("the image itself", "write to another file".into()));
        }
        let usual = if is_new { USUAL_MODE & !umask() } else { about.mode() & 0o7777 };
        Ok(Self {
            file,
            path: path.to_owned(),
            disk: None,
            mode,
            opened_by: OpenedBy::Permission,
            block: FILE_BLOCK,
            usual,
            touched: AtomicBool::new(false),
            marked: AtomicUsize::new(0),
            is_new,
            unfinished,
        })
    }

    /// Closes a file to everyone but its owner; disks have the modes that the system gives them.
    pub fn keep_from_others(&self) -> Result<()> {
        if self.disk.is_some() {
            return Ok(());
        }
        access::close(&self.file, &self.path.display().to_string())
    }

    /// Gives a file the mode that it had before, or that new files have.
    pub fn open_to_others(&self) -> Result<()> {
        let mode = self.usual;
        let doing = || format!("give {} the mode {mode:04o}", self.path.display());
        let about = self.file.metadata().map_err(Error::io(doing()))?;
        if self.disk.is_some() || about.mode() & 0o7777 == mode {
            return Ok(());
        }
        let set = self.file.set_permissions(Permissions::from_mode(mode));
        set.or_else(access::unless_modeless).map_err(Error::io(doing()))
    }

    /// A file once more, for reading by the page cache.
    ///
    /// # Errors
    /// Another file has its path by now.
    pub fn reopened(&self) -> Result<File> {
        let doing = || format!("read {} again", self.path.display());
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(&self.path);
        let file = file.map_err(Error::io(doing()))?;
        let found = file.metadata().map_err(Error::io(doing()))?;
        if self.is_own(&found).map_err(Error::io(doing()))? {
            return Ok(file);
        }
        Err(Error::Unsafe {
            target: self.path.display().to_string(),
            reason: "another file has its place by now".into(),
            hint: "find out what put it there, then write the image again".into(),
        })
    }

    /// Whether this is the open file.
    fn is_own(&self, found: &Metadata) -> io::Result<bool> {
        let own = self.file.metadata()?;
        Ok((found.dev(), found.ino()) == (own.dev(), own.ino()))
    }

    /// Removes a file that was made when it was opened, and did not get what it was made for; whether it did. Disks stay,
    /// and so do files that existed, and whatever has the name of the file by now.
    pub fn discard(&self) -> Result<bool> {
        let doing = || format!("remove {}", self.path.display());
        let named = std::fs::symlink_metadata(&self.path).ok();
        let is_own = named.map(|named| self.is_own(&named)).transpose();
        if !self.is_new || is_own.map_err(Error::io(doing()))? != Some(true) {
            return Ok(false);
        }
        std::fs::remove_file(&self.path).map_err(Error::io(doing())).map(|()| true)
    }

    /// Says that something is written to it.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Says that it is as it was.
    pub(crate) fn untouch(&self) {
        self.touched.store(false, Ordering::Relaxed);
    }

    /// Says that so many places keep what a test wrote there.
    pub(crate) fn mark(&self, places: usize) {
        self.marked.store(places, Ordering::Relaxed);
    }

    /// How many places keep what a test wrote there.
    pub fn marked_places(&self) -> usize {
        self.marked.load(Ordering::Relaxed)
    }

    /// Whether something was written to it.
    pub fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// The open file.
    pub(crate) fn handle(&self) -> &File {
        &self.file
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk; none if it is a file.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// Its bytes, and those of a sector. A file has the sectors that sticks have.
    ///
    /// # Errors
    /// The system's.
    pub fn bytes(&self) -> Result<(u64, u64)> {
        if let Some(disk) = &self.disk {
            return Ok((disk.size, disk.logical_block));
        }
        let about = self.file.metadata();
        let about = about.map_err(Error::io(format!("look at {}", self.path.display())))?;
        Ok((about.len(), 512))
    }

    /// How bytes reach the medium.
    pub fn mode(&self) -> WriteMode {
        self.mode
    }

    /// Who opened it.
    pub fn opened_by(&self) -> OpenedBy {
        self.opened_by
    }

    /// What addresses and lengths must be multiples of.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Whether the disk is not there any more, or another has come in its place.
    pub fn is_gone(&self) -> bool {
        let Some(disk) = &self.disk else { return false };
        let sysfs = PathBuf::from(format!("/sys/dev/block/{}", disk.number));
        let sequence = std::fs::read_to_string(sysfs.join("diskseq")).ok();
        let size = std::fs::read_to_string(sysfs.join("size")).ok();
        let is_same = sequence.and_then(|text| text.trim().parse().ok()) == disk.sequence;
        !is_same || size.is_none_or(|size| size.trim() == "0")
    }

    /// Forgets what the kernel keeps of it, so that the next read asks the medium.
    pub(crate) fn forget_cache(&self) -> io::Result<()> {
        if self.disk.is_some() {
            return sys::flush_buffers(&self.file).or_else(unless_unsupported);
        }
        Ok(rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?)
    }

    /// Makes the kernel look for partitions; false if the disk cannot have any.
    pub(crate) fn reread_partitions(&self) -> io::Result<bool> {
        match sys::reread_partitions(&self.file) {
            Ok(()) => Ok(true),
            Err(fault) => unless_unsupported(fault).map(|()| false),
        }
    }

    /// Brings what was written to the medium and closes it.
    pub fn close(self) -> io::Result<()> {
        self.file.sync_all()?;
        sys::close(self.file)
    }

    /// Closes it and puts the medium out, or switches the drive off; false if nobody can.
    pub fn eject(self) -> io::Result<bool> {
        let done = sys::eject(&self.file);
        let done = done.or_else(|fault| unless_unsupported(fault).map(|()| false))?;
        sys::close(self.file)?;
        Ok(done || eject_by_udisks(&self.path))
    }
}

/// udisks2 does it only for a disk that nobody has open, and whatever looks at a disk that was just written (udev) has it open for a
/// moment: so it is asked again.
fn eject_by_udisks(path: &Path) -> bool {
    for number in 0..EJECT_TRIES {
        if number > 0 {
            thread::sleep(EJECT_PAUSE);
        }
        match udisks::eject(path) {
            Ok(()) => return true,
            Err(udisks::Refused::Failed(_)) => {}
            Err(_) => return false,
        }
    }
    false
}

fn unless_unsupported(fault: io::Error) -> io::Result<()> {
    match Errno::from_io_error(&fault) {
        // Some of the calls need CAP_SYS_ADMIN; direct reads do not go through the cache anyway.
        Some(Errno::INVAL | Errno::NOTTY | Errno::OPNOTSUPP | Errno::ACCESS | Errno::PERM) => {
            Ok(())
        }
        _ => Err(fault),
    }
}

/// Unmounts all file systems of a disk, the innermost first; where the user may not, udisks2 does it.
///
/// # Errors
/// The system's, as when a program still has a file open there.
pub fn unmount(disk: &Disk) -> Result<()> {
    let mut mounts: Vec<(&str, &PathBuf)> = disk
        .uses
        .iter()
        .filter_map(|user| match user {
            Use::Mounted { device, at } => Some((device.as_str(), at)),
            _ => None,
        })
        .collect();
    mounts.sort_by_key(|(_, at)| std::cmp::Reverse(at.components().count()));
    mounts.into_iter().try_for_each(|(device, at)| {
        let doing = format!("unmount {}", at.display());
        match rustix::mount::unmount(at, rustix::mount::UnmountFlags::empty()) {
            Err(Errno::ACCESS | Errno::PERM) => {
                udisks::unmount(Path::new(device)).map_err(|refused| denied(doing, &refused))
            }
            done => unless_unmounted(done).map_err(|fault| Error::io(doing)(fault.into())),
        }
    })
}

/// That nothing is mounted there any more is what was wanted (umount(2), EINVAL): somebody else was quicker.
fn unless_unmounted(done: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match done {
        Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_unmounted_is_unmounted() {
        let rows =
            [(Errno::INVAL, true), (Errno::NOENT, true), (Errno::BUSY, false), (Errno::IO, false)];
        for (fault, is_done) in rows {
            assert_eq!(unless_unmounted(Err(fault)).is_ok(), is_done, "{fault}");
        }
    }
}
