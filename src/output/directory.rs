//! Writes files into a folder that appears whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::test_kill_process;

use super::file::{OverwritePolicy, open_to_sync, sync_folder};
use super::temp_file::{exchange, free_name, maker};
use crate::error::{Advice, Error, Result};
use crate::leftovers::Leftover;
use crate::lock;
use crate::place;

/// A folder that is being filled and has a passing name; it goes away with this unless it is published.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
    target: PathBuf,
    existing: OverwritePolicy,
    /// What a folder that gives way may have in it.
    names: Vec<String>,
    synced: bool,
    done: bool,
    /// Keeps others from sweeping it, also those that do not see this process.
    #[expect(dead_code, reason = "it does what it is for while it is open")]
    lock: File,
    /// Removes it if the program ends at once.
    #[expect(dead_code, reason = "it does what it is for when it is dropped")]
    leftover: Leftover,
}

impl TempDir {
    /// Makes a folder for a place. What is there is looked at before any work is done: only an empty folder
    /// gives way, and, with [`OverwritePolicy::Replace`], one that has no other files than `names`. One that is not
    /// `synced` can be empty or broken after a power cut soon afterwards.
    pub fn new(
        target: &Path,
        existing: OverwritePolicy,
        names: &[&str],
        synced: bool,
    ) -> Result<Self> {
        check(target, existing, names)?;
        let parent = place::folder_of(target);
        place::make_folders_above(target)?;
        let path = free_name(&parent);
        if synced {
            open_to_sync(&parent)?;
        }
        sweep(&parent, names);
        fs::create_dir(&path).map_err(Error::io(format!("write into {}", parent.display())))?;
        let lock = File::open(&path).map_err(Error::io(format!("open {}", path.display())))?;
        lock::take(&lock, &path, || Error::bug("a new folder is locked"))?;
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let (target, leftover) = (target.to_owned(), Leftover::path(&path));
        Ok(Self { path, target, existing, names, synced, done: false, lock, leftover })
    }

    /// Where files are to be written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder its name; its files are on the disk.
    pub fn publish(mut self) -> Result<()> {
        let doing = || Error::io(format!("write {}", self.target.display()));
        if self.synced {
            let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
            synced.map_err(doing())?;
        }
        // An empty folder gives way to a plain rename(2), and nothing else does.
        match fs::rename(&self.path, &self.target) {
            Err(fault) if !is_taken(&fault) => return Err(doing()(fault)),
            Err(_) if self.existing == OverwritePolicy::Refuse => return Err(taken(&self.target)),
            Err(_) => {
                let exchange = || exchange(&self.path, &self.target);
                exchange().map_err(doing())?;
                // What was there before has the passing name now. Others may have written into it meanwhile.
                let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
                if let Err(fault) = check_contents(&self.path, &self.target, self.existing, &names)
                {
                    exchange().map_err(doing())?;
                    return Err(fault);
                }
                fs::remove_dir_all(&self.path).map_err(doing())?;
            }
            Ok(()) => {}
        }
        self.done = true;
        if !self.synced {
            return Ok(());
        }
        sync_folder(&place::folder_of(&self.target), &self.target)
    }
}

/// Removes what runs that were killed have left in a folder: folders of our names that no process holds, whose maker is
/// gone, and that have no other files than such as `names`. What does not go is left.
fn sweep(folder: &Path, names: &[&str]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(maker);
        let is_dead = |maker| test_kill_process(maker) == Err(Errno::SRCH);
        if maker.is_some_and(is_dead) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // Nothing can be done about a folder that does not go away.
            let _ = remove_dead(&entry.path(), names);
        }
    }
}

/// Removes a folder that no process holds, with files of these names.
fn remove_dead(path: &Path, names: &[&str]) -> Result<()> {
    let doing = || Error::io(format!("remove {}", path.display()));
    let held = File::open(path).map_err(doing())?;
    lock::take(&held, path, || doing()(io::ErrorKind::WouldBlock.into()))?;
    check_contents(path, path, OverwritePolicy::Replace, names)?;
    for entry in fs::read_dir(path).map_err(doing())?.flatten() {
        fs::remove_file(entry.path()).map_err(doing())?;
    }
    fs::remove_dir(path).map_err(doing())
}

/// Whether a folder was not renamed because of what stands in its place.
fn is_taken(fault: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(fault.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory)
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.done {
            // Nothing can be done about a folder that does not go away.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn taken(target: &Path) -> Error {
    Error::Usage {
        what: format!("{} already exists", target.display()),
        hint: Advice::OtherOutputOrReplace,
    }
}

fn not_a_folder(target: &Path) -> Error {
    Error::Usage {
        what: format!("{} already exists, and is not a folder", target.display()),
        hint: Advice::OtherOutput,
    }
}

/// Checks that what stands in the place of a folder that is filled, if anything does, is a folder.
///
/// # Errors
/// Something else, such as a link that leads nowhere.
#[cfg(feature = "records")]
pub fn check_folder(target: &Path) -> Result<()> {
    // With a slash behind it, the path of a file leads nowhere.
    let plain: PathBuf = target.components().collect();
    if fs::symlink_metadata(plain).is_ok() && !target.is_dir() {
        return Err(not_a_folder(target));
    }
    Ok(())
}

/// Whether a folder of files of these names can be put in a place; nothing is written.
///
/// # Errors
/// What is there would be lost, or is not a folder.
pub fn check(target: &Path, existing: OverwritePolicy, names: &[&str]) -> Result<()> {
    place::check_new_folders(target)?;
    check_contents(target, target, existing, names)
}

/// The same of what stands at `path`, which messages call `target`.
fn check_contents(
    path: &Path,
    target: &Path,
    existing: OverwritePolicy,
    names: &[&str],
) -> Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        // A link gives way itself: what it leads to is not lost.
        return if existing == OverwritePolicy::Replace { Ok(()) } else { Err(taken(target)) };
    }
    let found: Vec<OsString> = match fs::read_dir(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_a_folder(target));
        }
        found => found
            .and_then(|found| found.map(|entry| Ok(entry?.file_name())).collect())
            .map_err(Error::io(format!("look into {}", target.display())))?,
    };
    let other = found.iter().find(|name| !names.iter().any(|known| *known == name.as_os_str()));
    match (other, existing) {
        _ if found.is_empty() => Ok(()),
        (_, OverwritePolicy::Refuse) => Err(taken(target)),
        (Some(name), OverwritePolicy::Replace) => Err(Error::Usage {
            what: format!("{} has {} in it, which would be lost", target.display(), name.display()),
            hint: Advice::OtherOutput,
        }),
        (None, OverwritePolicy::Replace) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that no process has: the kernel gives none so large (`PID_MAX_LIMIT`).
    const DEAD: &str = "4194305";

    #[test]
    fn what_a_killed_run_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let own = std::process::id().to_string();
        for (name, file, goes) in [
            (format!(".remaster.{DEAD}.0"), Some("kernel"), true),
            (format!(".remaster.{DEAD}.1"), None, true),
            (format!(".remaster.{DEAD}.2"), Some("precious"), false),
            (format!(".remaster.{DEAD}.0.old"), Some("kernel"), false),
            (format!(".remaster.{own}.77"), Some("kernel"), false),
            ("made.1.2".to_owned(), Some("kernel"), false),
        ] {
            let path = folder.path().join(&name);
            fs::create_dir(&path).unwrap();
            if let Some(file) = file {
                fs::write(path.join(file), "x").unwrap();
            }
            let target = folder.path().join("target");
            drop(TempDir::new(&target, OverwritePolicy::Replace, &["kernel"], false).unwrap());
            assert_eq!(path.exists(), !goes, "{name}");
        }
        // One that somebody holds whose number is not seen here.
        let path = folder.path().join(format!(".remaster.{DEAD}.3"));
        fs::create_dir(&path).unwrap();
        let held = File::open(&path).unwrap();
        lock::take(&held, &path, || Error::Interrupted).unwrap();
        sweep(folder.path(), &["kernel"]);
        assert!(path.exists());
        drop(held);
        sweep(folder.path(), &["kernel"]);
        assert!(!path.exists());
    }

    #[test]
    fn what_others_put_into_the_folder_meanwhile_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("made");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("kernel"), "old").unwrap();
        let draft = || TempDir::new(&target, OverwritePolicy::Replace, &["kernel"], true).unwrap();
        let mut drafts = [draft(), draft()].into_iter();
        fs::write(target.join("precious"), "mine").unwrap();
        let told = drafts.next().unwrap().publish().unwrap_err().to_string();
        assert!(told.contains("has precious in it, which would be lost"), "{told}");
        assert_eq!(fs::read_to_string(target.join("precious")).unwrap(), "mine");
        fs::remove_file(target.join("precious")).unwrap();
        drafts.next().unwrap().publish().unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
