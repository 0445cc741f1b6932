//! The folder for temporary files.

use std::env;
use std::path::{Path, PathBuf};

/// On a disk, as `/tmp` is often kept in memory and images are large.
const ON_DISK: &str = "/var/tmp";

/// The folder that `TMPDIR` names, else one on a disk, else `/tmp`.
pub fn folder() -> PathBuf {
    let named = env::var_os("TMPDIR").filter(|name| !name.is_empty());
    let default = || if Path::new(ON_DISK).is_dir() { ON_DISK } else { "/tmp" };
    named.map_or_else(|| default().into(), PathBuf::from)
}

/// What is done there, for messages: it names `TMPDIR`, where that is what names the folder.
pub fn doing() -> String {
    let folder = folder();
    let whence =
        env::var_os("TMPDIR").filter(|name| !name.is_empty()).map(|_| ", which TMPDIR names");
    format!("write temporary files into {}{}", folder.display(), whence.unwrap_or_default())
}
