//! Files with secrets that everybody on this machine may read: they are taken, with a note.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::keys;
use crate::recipe::{Recipe, called};

/// More bytes than a private key has.
const LARGEST_KEY: u64 = 1 << 16;

/// Whether others than the owner and the group may read.
const OTHERS_READ: u32 = 0o004;

/// A line for each file.
pub(super) fn notes(recipe: &Recipe) -> Vec<String> {
    let machines = recipe.machine.iter().flat_map(|machine| &machine.host_key);
    let host_keys = recipe.host_key.iter().chain(machines).map(PathBuf::from);
    let one =
        |name, path: &Option<PathBuf>| path.iter().map(move |path| (name, path.clone())).collect();
    let given: [Vec<(&str, PathBuf)>; 5] = [
        host_keys.map(|path| ("host-key", path)).collect(),
        one("host-key-seed", &recipe.host_key_seed),
        one("root-password-file", &recipe.root_password_file),
        one("nixos-password-file", &recipe.nixos_password_file),
        recipe.wifi_password_file.iter().map(|path| ("wifi-password-file", path.clone())).collect(),
    ];
    let mut notes: Vec<String> =
        given.iter().flatten().filter(|(_, path)| is_open(path)).map(warning).collect();
    // A file may be named twice.
    notes.dedup();
    notes
}

/// The line for the file of a setting that may name a private key or a public one.
pub fn note_on_key(name: &'static str, path: &Path) -> Option<String> {
    let is_private = || {
        let text = bounded::read_text(path, LARGEST_KEY, "read a key");
        text.is_ok_and(|text| keys::private_format(text.as_bytes()).is_some())
    };
    (is_open(path) && is_private()).then(|| warning(&(name, path.to_owned())))
}

/// Pipes and open descriptors, as a shell makes them of `<(…)`, are nobody else's.
fn is_open(path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & OTHERS_READ != 0)
}

fn warning((name, path): &(&str, PathBuf)) -> String {
    let path = path.display();
    format!(
        "everybody on this machine may read {path}, the file of {}: close it with `chmod go= {path}`",
        called(name)
    )
}
