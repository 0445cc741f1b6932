//! Fetches a base: which release, which hash, the image, all of one folder; then keeps it.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::cache::{Cache, Record};
use super::catalog::{Catalog, CatalogEntry};
use super::download::{FETCH_AGAIN, LARGEST, Part, hash};
use super::fetch_options::FetchOptions;
use super::http::Client;
use super::release::Release;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// A base that is in the cache.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What it is.
    pub record: Record,
    /// Its file.
    pub path: PathBuf,
    /// Whether it was there already.
    pub was_there: bool,
    /// Images that may be of before: the record that told was damaged.
    pub left: Vec<PathBuf>,
}

/// Fetches the newest release of a base into the cache, unless it is there and sound.
///
/// # Errors
/// [`Error::Network`], and [`Error::Checksum`] for an image that is not the published one. A file that is not
/// whole stays beside the others as `NAME.part`, to be continued; nothing takes it for a base.
pub fn fetch(
    cache: &Cache,
    base: &CatalogEntry,
    origin: &FetchOptions,
    progress: &dyn Progress,
) -> Result<Fetched> {
    let client = Client::new(origin)?;
    let catalog = Catalog::built_in()?;
    let _lock = cache.lock(base)?;
    let release = Release::newest(&client, &catalog, base, origin)?;
    if let Some(found) = kept(cache, base, &release, progress)? {
        return Ok(found);
    }
    let part = Part {
        path: cache.path(base, ".part"),
        note: cache.path(base, ".part.json"),
        release: &release,
        most: LARGEST,
    };
    let file = catalog.image(base, &release.version);
    cache.check_place(&file)?;
    let size = part.complete(&client, progress)?;
    let record = Record {
        name: base.name(),
        file,
        version: release.version.clone(),
        url: release.image.to_string(),
        sha256: release.sha256.clone(),
        size,
    };
    let (path, left) = cache.keep(base, &part.path, &record)?;
    Ok(Fetched { record, path, was_there: false, left })
}

/// What is in the cache, if it is this release to the byte.
fn kept(
    cache: &Cache,
    base: &CatalogEntry,
    release: &Release,
    progress: &dyn Progress,
) -> Result<Option<Fetched>> {
    // A damaged record is a reason to fetch, not to stop.
    let Some((record, path)) = cache.find(base).ok().flatten() else { return Ok(None) };
    if record.sha256 != release.sha256 {
        return Ok(None);
    }
    match cache.verify(base, &record, &path, progress) {
        Ok(()) => {}
        Err(Error::Checksum { .. }) => return Ok(None),
        Err(fault) => return Err(fault),
    }
    Ok(Some(Fetched { record, path, was_there: true, left: Vec::new() }))
}

impl Record {
    /// Reads the image and compares its SHA-256 with the published one.
    ///
    /// # Errors
    /// [`Error::Checksum`] if they differ.
    pub fn check(&self, image: &Path, progress: &dyn Progress) -> Result<()> {
        let found = hash_of(image, progress)?;
        if found == self.sha256 {
            return Ok(());
        }
        let what = image.display().to_string();
        Err(Error::Checksum {
            what,
            found,
            expected: self.sha256.clone(),
            hint: FETCH_AGAIN.into(),
        })
    }
}

/// The SHA-256 of a file in hexadecimal.
pub(super) fn hash_of(path: &Path, progress: &dyn Progress) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(format!("open {}", path.display())))?;
    hash(&mut file, path, progress).map(|(hash, _)| hash)
}
