//! The files that a run reads and writes, known before anything is written: no file is both, and none is written twice.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Device and inode.
type Id = (u64, u64);

/// The files that a run reads, changes and writes, each with what names it, as `--output a.iso`.
///
/// Only regular files and folders count: what is written to a device or a pipe takes nothing away that is read later.
#[derive(Debug, Default)]
pub struct RunFiles {
    /// What is read or changed where it is.
    kept: HashMap<Id, String>,
    /// Folders that are read with all that is in them, by their real paths.
    folders: HashMap<PathBuf, String>,
    /// What is made or replaced, by its path without links in it.
    made: BTreeMap<PathBuf, String>,
    /// What stands there now.
    given_way: HashMap<Id, String>,
}

impl RunFiles {
    /// Takes down what is read; of a folder everything in it.
    ///
    /// # Errors
    /// It is also written.
    pub fn read(&mut self, name: &str, path: &Path) -> Result<()> {
        let Some(about) = about(path) else { return Ok(()) };
        if let Some(other) = self.given_way.get(&id(&about)) {
            return Err(same(other, name));
        }
        if about.is_dir()
            && let Ok(real) = fs::canonicalize(path)
        {
            let mut below =
                self.made.range(real.clone()..).take_while(|(at, _)| at.starts_with(&real));
            if let Some((_, inside)) = below.find(|(at, _)| fs::symlink_metadata(at).is_ok()) {
                return Err(within(inside, name));
            }
            self.folders.entry(real).or_insert_with(|| name.to_owned());
        }
        self.kept.entry(id(&about)).or_insert_with(|| name.to_owned());
        Ok(())
    }

    /// Takes down what is made or replaced.
    ///
    /// # Errors
    /// It is read or written already.
    pub fn write(&mut self, name: &str, path: &Path) -> Result<()> {
        let real = without_links(path);
        if let Some(other) = self.made.get(&real) {
            return Err(same(name, other));
        }
        if let Some(found) = about(path) {
            if let Some(other) = self.kept.get(&id(&found)) {
                return Err(same(name, other));
            }
            if let Some(folder) = real.ancestors().find_map(|above| self.folders.get(above)) {
                return Err(within(name, folder));
            }
            self.given_way.entry(id(&found)).or_insert_with(|| name.to_owned());
        }
        self.made.insert(real, name.to_owned());
        Ok(())
    }

    /// Takes down what is changed where it is: all names of that file are in the way of others.
    ///
    /// # Errors
    /// It is read or written already.
    pub fn change(&mut self, name: &str, path: &Path) -> Result<()> {
        let found = about(path).map(|found| id(&found));
        if let Some(other) = found.and_then(|found| self.given_way.get(&found)) {
            return Err(same(name, other));
        }
        self.write(name, path)?;
        self.kept.extend(found.map(|found| (found, name.to_owned())));
        Ok(())
    }
}

/// What is known of a file or folder.
fn about(path: &Path) -> Option<Metadata> {
    fs::metadata(path).ok().filter(|found| found.is_file() || found.is_dir())
}

fn id(about: &Metadata) -> Id {
    (about.dev(), about.ino())
}

/// The path of what is made: what stands under the last name gives way itself, and the folders above it may not be there yet.
fn without_links(path: &Path) -> PathBuf {
    let real = |path: &Path| fs::canonicalize(path).ok();
    if path.file_name().is_none() {
        return real(path).unwrap_or_else(|| path.to_owned());
    }
    let found = path.ancestors().skip(1).find_map(|above| {
        let here = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        Some(real(here)?.join(path.strip_prefix(above).ok()?))
    });
    found.unwrap_or_else(|| path.to_owned())
}

fn same(one: &str, other: &str) -> Error {
    Error::Usage {
        what: format!("{one} and {other} name the same file"),
        hint: "give each file that is written a path of its own".into(),
    }
}

fn within(written: &str, folder: &str) -> Error {
    Error::Usage {
        what: format!("{written} is in {folder}, which is read"),
        hint: "give each file that is written a path of its own".into(),
    }
}
