//! Files with secrets that everybody on this machine may read: they are taken, with a note.

use std::collections::BTreeSet;
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
    let own = recipe.machine.iter().flat_map(|machine| files(&machine.own()));
    // A file may be named twice.
    let mut seen = BTreeSet::new();
    let all = files(recipe).into_iter().chain(own);
    let open = all.filter(|(_, path)| is_open(path) && seen.insert(path.clone()));
    open.map(|(place, path)| warning(&place, &path)).collect()
}

/// The files with secrets that a recipe names, and where it names each.
fn files(recipe: &Recipe) -> Vec<(String, PathBuf)> {
    let given: [(&str, Vec<PathBuf>); 5] = [
        ("host-key", recipe.host_key.iter().map(PathBuf::from).collect()),
        ("host-key-seed", recipe.host_key_seed.iter().cloned().collect()),
        ("root-password-file", recipe.root_password_file.iter().cloned().collect()),
        ("nixos-password-file", recipe.nixos_password_file.iter().cloned().collect()),
        ("wifi-password-file", recipe.wifi_password_file.clone()),
    ];
    let of_setting = |(name, paths): (&str, Vec<PathBuf>)| {
        let placed = |(index, path)| (recipe.place(name, index), path);
        paths.into_iter().enumerate().map(placed).collect::<Vec<_>>()
    };
    given.into_iter().flat_map(of_setting).collect()
}

/// The line for the file of a setting that may name a private key or a public one.
pub fn note_on_key(name: &'static str, path: &Path) -> Option<String> {
    let is_private = || {
        let text = bounded::read_text(path, LARGEST_KEY, "read a key");
        text.is_ok_and(|text| keys::private_format(text.as_bytes()).is_some())
    };
    (is_open(path) && is_private()).then(|| warning(&called(name), path))
}

/// Pipes and open descriptors, as a shell makes them of `<(…)`, are nobody else's.
fn is_open(path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & OTHERS_READ != 0)
}

fn warning(place: &str, path: &Path) -> String {
    let path = path.display();
    format!(
        "everybody on this machine may read {path}, the file of {place}: close it with `chmod go= {path}`"
    )
}
