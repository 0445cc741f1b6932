//! Files with secrets that everybody on this machine may read: they are taken, with a note.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::recipe::{Recipe, called};

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
