//! Digests that were computed before, by path, size, times of change and inode: a cache that is used only
//! when asked, as a file can be changed and look the same.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Digest;
use crate::bounded;
use crate::file_state::FileState;

/// Bytes of a record; they are some hundreds.
const LARGEST: u64 = 1 << 16;

/// Files of digests.
#[derive(Clone, Debug)]
pub struct DigestCache {
    folder: PathBuf,
}

/// What a digest was computed of.
#[derive(Deserialize, Eq, PartialEq, Serialize)]
struct DigestKey {
    path: PathBuf,
    #[serde(flatten)]
    state: FileState,
}

#[derive(Deserialize, Serialize)]
struct Record {
    of: DigestKey,
    sha256: String,
}

impl DigestKey {
    fn new(path: &Path, about: &Metadata) -> Self {
        Self { path: path.to_owned(), state: FileState::new(about) }
    }
}

impl DigestCache {
    /// Keeps them in a folder, which is made when it is needed.
    pub fn within(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The digest of a file that looks as it did; none if there is any doubt.
    pub fn get(&self, path: &Path) -> Option<Digest> {
        let path = fs::canonicalize(path).ok()?;
        let of = DigestKey::new(&path, &fs::metadata(&path).ok()?);
        let text = bounded::read(&self.file(&path), LARGEST, "read a digest").ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        (record.of == of).then_some(())?;
        record.sha256.parse().ok()
    }

    /// Keeps the digest of a file that looked like `before` when it was read. As in any cache, a digest that cannot be
    /// kept is dropped, and so is that of a file that changed meanwhile.
    pub fn put(&self, path: &Path, before: &Metadata, digest: Digest) {
        let Ok(path) = fs::canonicalize(path) else { return };
        let Ok(now) = fs::metadata(&path) else { return };
        let of = DigestKey::new(&path, before);
        if of != DigestKey::new(&path, &now) {
            return;
        }
        let record = Record { of, sha256: digest.to_string() };
        let Ok(text) = serde_json::to_vec(&record) else { return };
        // What cannot be written is computed again.
        let _ = fs::create_dir_all(&self.folder).and_then(|()| {
            let draft = self.folder.join(format!(".{}", std::process::id()));
            fs::write(&draft, text)?;
            fs::rename(&draft, self.file(&path))
        });
    }

    fn file(&self, path: &Path) -> PathBuf {
        let name = Sha256::digest(path.as_os_str().as_encoded_bytes());
        self.folder.join(Digest(name.into()).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DigestCache::within(folder.path().join("digests"));
        let path = folder.path().join("a.iso");
        fs::write(&path, "one").unwrap();
        let (about, digest) = (fs::metadata(&path).unwrap(), Digest([7; 32]));
        assert_eq!(cache.get(&path), None);
        cache.put(&path, &about, digest);
        assert_eq!(cache.get(&path), Some(digest));
        fs::write(&path, "four").unwrap();
        assert_eq!(cache.get(&path), None);
        cache.put(&path, &about, digest);
        assert_eq!(cache.get(&path), None, "it changed while it was read");
    }

    #[test]
    fn other_bytes_of_the_old_size_and_time_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DigestCache::within(folder.path().join("digests"));
        let path = folder.path().join("a.iso");
        fs::write(&path, "one").unwrap();
        let about = fs::metadata(&path).unwrap();
        cache.put(&path, &about, Digest([7; 32]));
        // A tick of the filesystem's clock.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&path, "two").unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(about.modified().unwrap()))
            .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), about.modified().unwrap());
        assert_eq!(cache.get(&path), None);
    }
}
