//! The folder for temporary files.

use std::path::{Path, PathBuf};

use crate::environment;

/// On a disk, as `/tmp` is often kept in memory and images are large.
const ON_DISK: &str = "/var/tmp";

/// The folder that `TMPDIR` names, else one on a disk, else `/tmp`.
pub fn folder() -> PathBuf {
    let named = environment::path("TMPDIR");
    let default = || if Path::new(ON_DISK).is_dir() { ON_DISK } else { "/tmp" };
    named.unwrap_or_else(|| default().into())
}

/// What is done there, for messages: it names `TMPDIR`, where that is what names the folder.
pub fn doing() -> String {
    let folder = folder();
    let whence = environment::path("TMPDIR").map(|_| ", which TMPDIR names");
    format!("write temporary files into {}{}", folder.display(), whence.unwrap_or_default())
}
