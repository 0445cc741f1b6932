//! A file that is being written and has no name of its own yet.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::access;
use crate::error::{Error, Result};
use crate::leftovers::Leftover;

/// Permission bits of a new file before the umask.
const USUAL_MODE: u32 = 0o666;

/// Who may read a new file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileAccess {
    /// Whom the umask lets.
    Usual,
    /// Its owner, whatever the umask.
    Owner,
    /// Its owner, where the filesystem keeps modes: it holds no secret.
    OwnerIfPossible,
    /// Everyone, whatever the umask.
    Everyone,
}

impl FileAccess {
    /// Those of a file that holds what others must not know, or does not.
    pub fn new(private: bool) -> Self {
        if private { Self::Owner } else { Self::Usual }
    }

    /// Permission bits that the file gets for certain.
    fn certain(self) -> Option<u32> {
        match self {
            Self::Usual => None,
            Self::Owner | Self::OwnerIfPossible => Some(access::OWNER),
            Self::Everyone => Some(0o644),
        }
    }
}

/// A file that is being written and has no name of its own yet, or one that goes away with it.
#[derive(Debug)]
pub(super) struct TempFile {
    pub(super) file: File,
    pub(super) name: Option<PathBuf>,
    /// Removes the name if the program ends at once.
    leftover: Option<Leftover>,
}

impl TempFile {
    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Opens a file without a name in the folder; with one where the filesystem has no `O_TMPFILE`, or where no name can be
    /// given later.
    pub(super) fn open(folder: &Path, readers: FileAccess) -> Result<Self> {
        let draft = Self::open_with(folder, readers)?;
        let new = || format!("a new file in {}", folder.display());
        match readers.certain() {
            _ if readers == FileAccess::Owner => access::close(&draft.file, &new())?,
            Some(mode) => {
                let set = draft.file.set_permissions(fs::Permissions::from_mode(mode));
                let doing = || format!("give {} the mode {mode:04o}", new());
                set.or_else(access::unless_modeless).map_err(Error::io(doing()))?;
            }
            None => {}
        }
        Ok(draft)
    }

    fn open_with(folder: &Path, readers: FileAccess) -> Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).mode(readers.certain().unwrap_or(USUAL_MODE));
        let unnamed = options.custom_flags(flags(OFlags::TMPFILE)).open(folder);
        match unnamed {
            Ok(file) if own_path(&file).exists() => Ok(Self { file, name: None, leftover: None }),
            Ok(_) => Self::open_named(folder, readers),
            Err(fault) if matches!(fault.raw_os_error(), Some(95 | 21 | 2 | 22)) => {
                Self::open_named(folder, readers)
            }
            Err(fault) => Err(Error::io(format!("write into {}", folder.display()))(fault)),
        }
    }

    fn open_named(folder: &Path, readers: FileAccess) -> Result<Self> {
        let name = free_name(folder);
        let mut options = File::options();
        let mode = readers.certain().unwrap_or(USUAL_MODE);
        options.read(true).write(true).create_new(true).mode(mode);
        let file = options.open(&name);
        let file = file.map_err(Error::io(format!("write into {}", folder.display())))?;
        let leftover = Some(Leftover::path(&name));
        Ok(Self { file, name: Some(name), leftover })
    }

    /// Gives the file a path that must be free.
    pub(super) fn link(&self, path: &Path) -> io::Result<()> {
        let own = own_path(&self.file);
        rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
    }

    /// The name of the file, a passing one if it had none.
    pub(super) fn named(&mut self, folder: &Path) -> io::Result<PathBuf> {
        if self.name.is_none() {
            let name = free_name(folder);
            self.link(&name)?;
            self.leftover = Some(Leftover::path(&name));
            self.name = Some(name);
        }
        self.name.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing can be done about a file that does not go away.
            let _ = fs::remove_file(name);
        }
    }
}

/// The path by which a file without a name gets one (open(2), `O_TMPFILE`). It is not there in a container without /proc.
fn own_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

pub(super) fn flags(flags: OFlags) -> i32 {
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

/// The process that gave a name by [`free_name`].
pub(super) fn maker(name: &str) -> Option<Pid> {
    let (pid, number) = name.strip_prefix(".remaster.")?.split_once('.')?;
    number.parse::<u32>().ok()?;
    Pid::from_raw(pid.parse().ok()?)
}

/// Two files or folders get each other's name. Some filesystems do not do that at once: there the second is away for a moment.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => exchange_in_turn(one, other),
        result => result.map_err(io::Error::from),
    }
}

fn exchange_in_turn(one: &Path, other: &Path) -> io::Result<()> {
    // Not a name that is swept: for a moment nothing else has these bytes.
    let mut aside = free_name(one.parent().unwrap_or(Path::new("."))).into_os_string();
    aside.push(".old");
    let aside = PathBuf::from(aside);
    fs::rename(other, &aside)?;
    if let Err(fault) = fs::rename(one, other) {
        fs::rename(&aside, other)?;
        return Err(fault);
    }
    fs::rename(&aside, one)
}

/// Some filesystems know no flags of renameat2(2): they get the plain call, after a look.
pub(super) fn rename(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, flags) {
        Err(Errno::INVAL) if flags.contains(RenameFlags::NOREPLACE) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        result => result.map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_names_are_not_exchanged_at_once_they_are_in_turn_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        for path in [&one, &other] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("was"), path.to_str().unwrap()).unwrap();
        }
        let was = |path: &Path| fs::read_to_string(path.join("was")).unwrap();
        exchange_in_turn(&one, &other).unwrap();
        assert_eq!((Path::new(&was(&one)), Path::new(&was(&other))), (&*other, &*one));
        fs::remove_dir_all(&one).unwrap();
        exchange_in_turn(&one, &other).unwrap_err();
        assert_eq!(Path::new(&was(&other)), one);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
