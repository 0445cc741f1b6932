//! Closes files and folders to others, and looks whether they are: some filesystems keep no modes (vfat, ntfs-3g).

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Result};

/// Permission bits of a file that only its owner may read.
pub(crate) const OWNER: u32 = 0o600;

/// The same of a folder.
const OWNER_FOLDER: u32 = 0o700;

/// Permission bits of everyone else.
const OTHERS: u32 = 0o077;

/// The permission of all others to read.
const READ_BY_OTHERS: u32 = 0o004;

/// Closes a file, which messages call `name`, to everyone but its owner.
///
/// # Errors
/// The operating system's, and [`Error::Usage`] where others can read it all the same.
pub(crate) fn close(file: &File, name: &str) -> Result<()> {
    let set = file.set_permissions(Permissions::from_mode(OWNER));
    check(set, file.metadata(), name)
}

/// The same of a folder.
///
/// # Errors
/// Those of [`close`].
pub(crate) fn close_folder(path: &Path) -> Result<()> {
    let set = fs::set_permissions(path, Permissions::from_mode(OWNER_FOLDER));
    check(set, fs::metadata(path), &path.display().to_string())
}

/// Whether nobody but its owner reads a file or looks into a folder.
pub(crate) fn is_closed(about: &Metadata) -> bool {
    about.permissions().mode() & OTHERS == 0
}

/// Whether others than owner and group are kept from reading a file. A device's mode says nothing of what is on it.
pub(crate) fn is_closed_to_others(about: &Metadata) -> bool {
    about.is_file() && about.permissions().mode() & READ_BY_OTHERS == 0
}

/// What a filesystem that sets no modes says of it does not count, where no secret depends on it. Others ignore the call.
///
/// # Errors
/// Every other fault.
pub(crate) fn unless_modeless(fault: io::Error) -> io::Result<()> {
    match Errno::from_io_error(&fault) {
        Some(Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
        _ => Err(fault),
    }
}

fn check(set: io::Result<()>, about: io::Result<Metadata>, name: &str) -> Result<()> {
    let doing = || format!("close {name} to others");
    let about = about.map_err(Error::io(doing()))?;
    if is_closed(&about) {
        return Ok(());
    }
    set.or_else(unless_modeless).map_err(Error::io(doing()))?;
    Err(open_to_others(name, about.permissions().mode() & 0o777))
}

fn open_to_others(name: &str, mode: u32) -> Error {
    Error::Usage {
        what: format!(
            "others could read {name}, which may hold a secret: its filesystem gives it mode {mode:04o}"
        ),
        hint: "write to another folder, on a filesystem that keeps modes, such as ext4".into(),
    }
}
