//! A base that is known by its address and SHA-256, and is kept by that: it never stands for one of the catalogue.

use std::fs;
use std::path::PathBuf;

use super::cache::Cache;
use super::download::{LARGEST, Part};
use super::fetch::hash_of;
use super::fetch_options::FetchOptions;
use super::http::Client;
use super::release::Release;
use super::url::Url;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// A base that somebody tells of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// Its address, of https.
    pub url: Url,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
}

impl Known {
    /// Where it is kept.
    fn path(&self, cache: &Cache, ending: &str) -> PathBuf {
        cache.folder().join(format!("{}{ending}", self.sha256))
    }

    /// Its file in the cache, if that has its SHA-256.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn kept(&self, cache: &Cache, progress: &dyn Progress) -> Result<Option<PathBuf>> {
        let path = self.path(cache, ".iso");
        let is_whole = fs::metadata(&path).is_ok_and(|about| about.len() == self.size);
        Ok((is_whole && hash_of(&path, progress)? == self.sha256).then_some(path))
    }

    /// Fetches it into the cache. What is broken off is continued the next time.
    ///
    /// # Errors
    /// [`Error::Network`], also for an address that is not of https, and [`Error::Checksum`] for another file.
    pub fn fetch(
        &self,
        cache: &Cache,
        origin: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<PathBuf> {
        if self.url.scheme() != "https" {
            return Err(Error::Network {
                url: self.url.to_string(),
                reason: "http is not protected against changes on the way".into(),
                hint: "fetch it yourself, and give the file as the base".into(),
            });
        }
        let client = Client::new(origin)?;
        let _lock = cache.lock_name(&self.sha256)?;
        let (image, sha256) = (self.url.clone(), self.sha256.clone());
        let release = Release { version: String::new(), image, sha256 };
        let part = Part {
            path: self.path(cache, ".part"),
            note: self.path(cache, ".part.json"),
            release: &release,
            most: self.size.min(LARGEST),
        };
        part.complete(&client, progress)?;
        let path = self.path(cache, ".iso");
        fs::rename(&part.path, &path).map_err(Error::io(format!("write {}", path.display())))?;
        // It is of no use any more, and there may be none.
        let _ = fs::remove_file(&part.note);
        Ok(path)
    }
}
