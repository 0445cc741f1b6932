//! Digests that were computed before, by path, size, times of change and inode: a cache that is used only
//! when asked, as a file can be changed and look the same.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Digest;
use crate::bounded;
use crate::error::{Error, Result};
use crate::file_state::FileState;
use crate::image::{ImageFile, ReadAt};

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
    /// None for a disk (its times do not follow its contents), an unpacked image, or a path that is gone.
    fn new(image: &ImageFile) -> Option<Self> {
        let path = fs::canonicalize(image.path()).ok()?;
        Some(Self { path, state: image.state()?.clone() })
    }
}

impl DigestCache {
    /// Keeps them in a folder, which is made when it is needed.
    pub fn within(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The digest of a file that looks as it did; none if there is any doubt.
    pub fn get(&self, image: &ImageFile) -> Option<Digest> {
        let of = DigestKey::new(image)?;
        let text = bounded::read_beside(&self.file(&of.path), LARGEST, "read a digest").ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        (record.of == of).then_some(())?;
        record.sha256.parse().ok()
    }

    /// Keeps the digest, unless the file changed since it was opened.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn put(&self, image: &ImageFile, digest: Digest) -> Result<()> {
        let of = DigestKey::new(image).filter(|_| image.check_unchanged().is_ok());
        let Some(of) = of else { return Ok(()) };
        let file = self.file(&of.path);
        let record = Record { of, sha256: digest.to_string() };
        let text = serde_json::to_vec(&record).map_err(io::Error::from);
        let written = text.and_then(|text| {
            fs::create_dir_all(&self.folder)?;
            let mut builder = tempfile::Builder::new();
            // As every other file: the usual 0600 would keep a shared cache from being shared.
            builder.permissions(fs::Permissions::from_mode(0o644));
            let mut draft = builder.tempfile_in(&self.folder)?;
            draft.write_all(&text)?;
            draft.persist(file).map(drop).map_err(|fault| fault.error)
        });
        written.map_err(Error::io(format!("keep a SHA-256 in {}", self.folder.display())))
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
        let open = || ImageFile::open(&path).unwrap();
        let (image, digest) = (open(), Digest([7; 32]));
        assert_eq!(cache.get(&image), None);
        cache.put(&image, digest).unwrap();
        assert_eq!(cache.get(&open()), Some(digest));
        fs::write(&path, "four").unwrap();
        assert_eq!(cache.get(&open()), None);
        cache.put(&image, digest).unwrap();
        assert_eq!(cache.get(&open()), None, "it changed while it was read");
    }

    #[test]
    fn what_others_laid_into_the_folder_is_neither_written_through_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DigestCache::within(folder.path().join("digests"));
        let [path, victim] = ["a.iso", "victim"].map(|name| folder.path().join(name));
        fs::write(&path, "one").unwrap();
        fs::write(&victim, "mine").unwrap();
        let image = ImageFile::open(&path).unwrap();
        let record = cache.file(&DigestKey::new(&image).unwrap().path);
        fs::create_dir(&cache.folder).unwrap();
        let draft = cache.folder.join(format!(".{}", std::process::id()));
        for place in [&draft, &record] {
            std::os::unix::fs::symlink(&victim, place).unwrap();
        }
        cache.put(&image, Digest([7; 32])).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert_eq!(cache.get(&image), Some(Digest([7; 32])));
        fs::remove_file(&record).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &record, fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert_eq!(cache.get(&image), None);
    }

    #[test]
    fn other_bytes_of_the_old_size_and_time_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DigestCache::within(folder.path().join("digests"));
        let path = folder.path().join("a.iso");
        fs::write(&path, "one").unwrap();
        let about = fs::metadata(&path).unwrap();
        cache.put(&ImageFile::open(&path).unwrap(), Digest([7; 32])).unwrap();
        // A tick of the filesystem's clock.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&path, "two").unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(about.modified().unwrap()))
            .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), about.modified().unwrap());
        assert_eq!(cache.get(&ImageFile::open(&path).unwrap()), None);
    }
}
