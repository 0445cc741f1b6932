//! Where the journal of an edit in place lies, and whether the file there is trusted: anybody who may write into the
//! folder can put something there.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::{Advice, Error, Result};
use crate::place;
use crate::units::u64_of;

/// The user who may do everything.
const ROOT: u32 = 0;

/// Permission bits by which others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// Where the journal of an edit in place of an image is, while that goes on or if it was interrupted. It lies beside
/// the file itself, also where a link leads to that.
pub fn path_beside(image: &Path) -> PathBuf {
    let image = fs::canonicalize(image).unwrap_or_else(|_| image.to_owned());
    let mut name = OsString::from(".");
    name.push(image.file_name().unwrap_or_default());
    name.push(".remaster-journal");
    image.with_file_name(name)
}

/// Half of an edit is neither the old image nor the new one.
///
/// # Errors
/// Something is where the journal of an edit would be.
pub(crate) fn none_beside(image: &Path) -> Result<()> {
    let journal = path_beside(image);
    match fs::symlink_metadata(&journal) {
        Err(fault) if is_absent(&fault) => return Ok(()),
        found => {
            let found = found.map_err(Error::io(format!("look at {}", journal.display())))?;
            check(&journal, &found, image)?;
        }
    }
    Err(Error::Usage {
        what: format!("an edit of {} was interrupted", image.display()),
        hint: Advice::FinishEdit,
    })
}

/// Opens the journal of an edit that is to be finished, if there is one. Does not wait, whatever is there.
///
/// # Errors
/// Something else lies there, or a file that somebody else may have made.
pub fn open(image: &Path) -> Result<Option<File>> {
    let journal = path_beside(image);
    let doing = || Error::io(format!("open {}", journal.display()));
    match fs::symlink_metadata(&journal) {
        Err(fault) if is_absent(&fault) => return Ok(None),
        found => check(&journal, &found.map_err(doing())?, image)?,
    }
    // By now a link may lie there, or a FIFO, which waits for its other end.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(&journal).map_err(doing())?;
    // What is open now may be another file than the one that was looked at.
    check(&journal, &file.metadata().map_err(doing())?, image)?;
    Ok(Some(file))
}

/// The image may be no file, or in no folder; or its journal would have a name that is too long to be there.
fn is_absent(fault: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(fault.kind(), NotFound | NotADirectory | InvalidFilename)
}

/// Checks that a journal can lie beside an image.
///
/// # Errors
/// The filesystem takes no name that is so long.
pub(crate) fn check_name(image: &Path) -> Result<()> {
    let journal = path_beside(image);
    let bytes = journal.file_name().unwrap_or_default().len();
    let most = place::longest_name(&journal);
    if u64_of(bytes) <= most {
        return Ok(());
    }
    let name = image.file_name().unwrap_or_default().display();
    Err(Error::Usage {
        what: format!(
            "{name} has too long a name to be edited in place: the journal of the edit would have a name of {bytes} bytes, and the filesystem takes at most {most}"
        ),
        hint: "rename the image, or write another one".into(),
    })
}

/// A journal is obeyed if it is a file of whoever owns the image, of root or of this user, and nobody else writes
/// to it.
fn check(journal: &Path, found: &Metadata, image: &Path) -> Result<()> {
    let about = fs::metadata(image).map_err(Error::io(format!("open {}", image.display())))?;
    let owners = [about.uid(), rustix::process::geteuid().as_raw(), ROOT];
    let kind = found.file_type();
    let wrong = if kind.is_symlink() {
        Some("a symbolic link".to_owned())
    } else if !kind.is_file() {
        Some(if kind.is_fifo() { "a FIFO" } else { "not a regular file" }.to_owned())
    } else if !owners.contains(&found.uid()) {
        Some(format!("a file of user {}, who owns neither the image nor this process", found.uid()))
    } else if found.mode() & OTHERS_WRITE != 0 {
        Some(format!("a file that others may write to (mode {:04o})", found.mode() & 0o7777))
    } else {
        None
    };
    let Some(wrong) = wrong else { return Ok(()) };
    Err(Error::Usage {
        what: format!(
            "{} is where the journal of an interrupted edit would be, and is {wrong}",
            journal.display()
        ),
        hint:
            "find out who made it, and remove it; if an edit was interrupted, make the image again"
                .into(),
    })
}
