//! Bases that were fetched: one per name, each with a record of what it is and where it comes from.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, CatalogEntry};
use crate::bounded;
use crate::environment;
use crate::error::{Advice, Error, Result};
use crate::file_state::FileState;
use crate::lock;
use crate::place;
use crate::progress::Progress;
use crate::units::format_bytes;

/// Bytes of a record; they are some hundreds.
const LARGEST: u64 = 1 << 16;

/// Ending of the file that tells how an image looked when its SHA-256 was computed last.
const CHECKED: &str = ".checked.json";

/// A folder of fetched bases.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// What is known of a fetched base; stands beside it as `NAME.json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    /// The name of the base.
    pub name: String,
    /// Its version, as `25.11.12484.b6018f87da91`.
    pub version: String,
    /// Where it was fetched from.
    pub url: String,
    /// Its SHA-256 in hexadecimal, as it was published and found.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// The name of its file in the cache.
    pub file: String,
}

/// What was removed of a base.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Removed {
    /// Whether there was anything.
    pub any: bool,
    /// Images that may be its own, and that no sound record names.
    pub left: Vec<PathBuf>,
}

/// What is known of an image since its SHA-256 was computed last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LastCheck {
    /// It looks as it did then.
    Same,
    /// It looks otherwise.
    Changed,
    /// Nothing: no record of it can be read.
    Unknown,
}

/// Keeps others from fetching the same base.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Cache {
    /// The cache in `folder`, or the user's: `remaster/bases` in `$XDG_CACHE_HOME` or `~/.cache` (XDG Base
    /// Directory Specification 0.8).
    pub fn at(folder: Option<&Path>) -> Result<Self> {
        if let Some(folder) = folder {
            return Ok(Self { folder: folder.to_owned() });
        }
        let absolute = |name| environment::path(name).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".cache"));
        let all = absolute("XDG_CACHE_HOME").or_else(home).ok_or_else(|| Error::Usage {
            what: "neither XDG_CACHE_HOME nor HOME says where bases are kept".to_owned(),
            hint: Advice::NameCache,
        })?;
        Ok(Self { folder: all.join("remaster/bases") })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Refuses a folder that cannot be looked into. One that does not exist yet has no bases.
    pub fn check_folder(&self) -> Result<()> {
        match fs::read_dir(&self.folder) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
                let doing = format!("look into the cache of bases, {}", self.folder.display());
                Err(Error::io(doing)(fault))
            }
            _ => Ok(()),
        }
    }

    /// A path in the cache that belongs to a base.
    pub(super) fn path(&self, base: &CatalogEntry, ending: &str) -> PathBuf {
        self.folder.join(base.name() + ending)
    }

    /// The record of a base and the path of its image; none if it was not fetched.
    ///
    /// # Errors
    /// A record that cannot be read, or an image that is not the one it tells of.
    pub fn find(&self, base: &CatalogEntry) -> Result<Option<(Record, PathBuf)>> {
        let path = self.path(base, ".json");
        let Some(record) = read_json::<Record>(&path)? else { return Ok(None) };
        let is_plain = !record.file.contains('/') && !record.file.starts_with('.');
        if !is_plain || record.name != base.name() {
            let found = format!("{:?} in {:?}", record.name, record.file);
            return Err(damaged(&path, &found, &base.name()));
        }
        let image = self.folder.join(&record.file);
        self.check_place(&record.file)?;
        match fs::metadata(&image) {
            Ok(found) if !found.is_file() => {
                Err(damaged(&image, "what is not a file", "the image that its record names"))
            }
            Ok(found) if found.len() == record.size => Ok(Some((record, image))),
            Ok(found) => {
                let found = format!("{} bytes", found.len());
                Err(damaged(&image, &found, &format!("{} bytes", record.size)))
            }
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                Err(damaged(&image, "no such file", "the image that its record names"))
            }
            Err(fault) => Err(Error::io(format!("look at {}", image.display()))(fault)),
        }
    }

    /// The same, of an image that has its SHA-256: it was computed when it was fetched, and is computed again if the
    /// file looks different since.
    ///
    /// # Errors
    /// Those of [`Cache::find`], and [`Error::Checksum`] for an image that is not the published one.
    pub fn sound(
        &self,
        base: &CatalogEntry,
        progress: &dyn Progress,
    ) -> Result<Option<(Record, PathBuf)>> {
        let Some((record, image)) = self.find(base)? else { return Ok(None) };
        if self.check_of(base, &image) != LastCheck::Same {
            self.verify(base, &record, &image, progress)?;
        }
        Ok(Some((record, image)))
    }

    /// Whether an image looks as it did when its SHA-256 was computed.
    pub fn check_of(&self, base: &CatalogEntry, image: &Path) -> LastCheck {
        let Ok(Some(kept)) = read_json::<FileState>(&self.path(base, CHECKED)) else {
            return LastCheck::Unknown;
        };
        match fs::metadata(image) {
            Ok(about) if kept == FileState::new(&about) => LastCheck::Same,
            _ => LastCheck::Changed,
        }
    }

    /// Computes the SHA-256 of an image, compares it with the published one, and remembers how the file looks.
    ///
    /// # Errors
    /// [`Error::Checksum`] if they differ.
    pub fn verify(
        &self,
        base: &CatalogEntry,
        record: &Record,
        image: &Path,
        progress: &dyn Progress,
    ) -> Result<()> {
        let state = state_of(image)?;
        record.check(image, progress)?;
        // In a cache that cannot be written to, it is computed each time.
        let _ = write_json(&self.path(base, CHECKED), &state);
        Ok(())
    }

    /// Refuses a folder that stands where an image belongs: it would not be replaced, nor removed.
    pub(super) fn check_place(&self, file: &str) -> Result<()> {
        let path = self.folder.join(file);
        if fs::symlink_metadata(&path).is_ok_and(|about| about.is_dir()) {
            return Err(Error::Usage {
                what: format!("{} in the cache is a folder, not an image", path.display()),
                hint: "move it away".into(),
            });
        }
        Ok(())
    }

    /// The file that the record of a base names; none without a record. An error if a record is there and names none.
    fn named(&self, base: &CatalogEntry) -> Result<Option<String>> {
        let path = self.path(base, ".json");
        let Some(record) = read_json::<Record>(&path)? else { return Ok(None) };
        if record.file.contains('/') || record.file.starts_with('.') {
            return Err(damaged(&path, &format!("{:?}", record.file), "the name of a file"));
        }
        Ok(Some(record.file))
    }

    /// Images in the folder that have the name of one of this base, but for `known`.
    fn images(&self, base: &CatalogEntry, known: Option<&str>) -> Result<Vec<PathBuf>> {
        let catalog = Catalog::built_in()?;
        let doing = || format!("look into the cache of bases, {}", self.folder.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Error::io(doing()))? {
            let name = entry.map_err(Error::io(doing()))?.file_name();
            let name = name.to_str().filter(|name| known != Some(*name));
            found.extend(
                name.filter(|name| catalog.version(base, name).is_some())
                    .map(|name| self.folder.join(name)),
            );
        }
        found.sort();
        Ok(found)
    }

    /// Removes a base and what was begun of it. Without a sound record nothing tells which image is its own: what may be
    /// it is left.
    pub fn remove(&self, base: &CatalogEntry) -> Result<Removed> {
        let own = [".json", CHECKED, ".part", ".part.json"].map(|ending| self.path(base, ending));
        // Nothing is locked, or made for that, where nothing is there.
        let is_there = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
        if !own.iter().any(is_there) {
            return Ok(Removed { any: false, left: Vec::new() });
        }
        let _lock = self.lock(base)?;
        let [json, checked, part, part_json] = own;
        let named = self.named(base);
        let left = if named.is_err() { self.images(base, None)? } else { Vec::new() };
        let named = named.ok().flatten();
        named.iter().try_for_each(|file| self.check_place(file))?;
        let image = named.map(|file| self.folder.join(file));
        // The record first: what is left when this is broken off is only a file that nothing names.
        let all = [Some(json), image, Some(checked), Some(part), Some(part_json)];
        let mut any = false;
        for path in all.into_iter().flatten() {
            any |= remove(&path)?;
        }
        Ok(Removed { any, left })
    }

    /// Keeps a base that was fetched to `part`; what was kept under its name before goes. Gives its path, and what is left
    /// that may be of before, as a damaged record does not tell.
    pub(super) fn keep(
        &self,
        base: &CatalogEntry,
        part: &Path,
        record: &Record,
    ) -> Result<(PathBuf, Vec<PathBuf>)> {
        let before = self.named(base);
        let image = self.folder.join(&record.file);
        fs::rename(part, &image).map_err(Error::io(format!("write {}", image.display())))?;
        write_json(&self.path(base, ".json"), record)?;
        write_json(&self.path(base, CHECKED), &state_of(&image)?)?;
        remove(&self.path(base, ".part.json"))?;
        let left = match before {
            Err(_) => self.images(base, Some(&record.file))?,
            Ok(Some(old)) if old != record.file => {
                remove(&self.folder.join(old))?;
                Vec::new()
            }
            Ok(_) => Vec::new(),
        };
        Ok((image, left))
    }

    /// Makes the folder and sees to it that nobody else fetches the same base.
    pub(super) fn lock(&self, base: &CatalogEntry) -> Result<Lock> {
        self.lock_name(&base.name())
    }

    /// The same of what is called so in the cache.
    pub(super) fn lock_name(&self, name: &str) -> Result<Lock> {
        let shown = self.folder.display();
        place::check_outside_devices(&self.folder)?;
        fs::create_dir_all(&self.folder).map_err(Error::io(format!("make the folder {shown}")))?;
        let path = self.folder.join(format!("{name}.lock"));
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        // A FIFO would wait for its other end (fifo(7)).
        let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path);
        if fs::metadata(&path).is_ok_and(|found| found.file_type().is_fifo()) {
            return Err(bounded::fifo(&path));
        }
        let file = file.map_err(Error::io(format!("lock {}", path.display())))?;
        lock::take(&file, &path, || Error::Usage {
            what: format!("another remaster is fetching {name}"),
            hint: "wait until it is done".into(),
        })?;
        Ok(Lock { _file: file })
    }
}

fn state_of(image: &Path) -> Result<FileState> {
    let about = fs::metadata(image).map_err(Error::io(format!("look at {}", image.display())))?;
    Ok(FileState::new(&about))
}

fn damaged(path: &Path, found: &str, expected: &str) -> Error {
    let what = format!("{} in the cache: found {found}, expected {expected}", path.display());
    Error::Usage { what, hint: Advice::FetchAgain }
}

fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(fault) => Err(Error::io(format!("remove {}", path.display()))(fault)),
    }
}

/// A small JSON file; none if there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let doing = || format!("read {}", path.display());
    // A FIFO would wait for its other end (fifo(7)).
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(Error::io(doing()))?,
    };
    if file.metadata().is_ok_and(|found| found.file_type().is_fifo()) {
        return Err(damaged(path, "a FIFO", "a record"));
    }
    let text = bounded::read_from(file, LARGEST, &doing()).map_err(|fault| match fault {
        Error::Usage { .. } => {
            damaged(path, &format!("more than {}", format_bytes(LARGEST)), "a record")
        }
        other => other,
    })?;
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|fault| damaged(path, &fault.to_string(), "a record"))
}

/// Writes a small JSON file, which appears whole or not at all.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let doing = || format!("write {}", path.display());
    let text =
        serde_json::to_vec_pretty(value).map_err(|fault| Error::io(doing())(fault.into()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // As every other file: the usual 0600 would keep a shared cache from being shared.
    builder.permissions(fs::Permissions::from_mode(0o644));
    let written = builder.tempfile_in(folder).and_then(|mut file| {
        io::Write::write_all(&mut file, &text)?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|fault| fault.error)
    });
    written.map_err(Error::io(doing()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let read = |size: u64| {
            let text = "7".to_owned() + &" ".repeat(usize::try_from(size).unwrap() - 1);
            fs::write(&path, text).unwrap();
            read_json::<u32>(&path).map_err(|fault| fault.to_string())
        };
        assert_eq!(read(LARGEST), Ok(Some(7)));
        assert!(read(LARGEST + 1).unwrap_err().contains("found more than 64.0 KiB"));
    }
}
