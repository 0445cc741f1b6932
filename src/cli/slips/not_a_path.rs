//! Words that are not the paths of files, where files are asked for: names of bases, URLs, references of Nix.

use std::path::Path;

use remaster::bases::name_of;
use remaster::error::Error;

use super::usage;
use crate::cli::shell::shell_quote;

/// How references of Nix begin that are not paths.
const FLAKES: [&str; 7] = [".#", "nixpkgs#", "github:", "gitlab:", "git+", "path:", "flake:"];

/// What is said of a word that is not the path of a file: a URL, or a reference of Nix.
pub(super) fn explain(word: &str) -> Option<Error> {
    if Path::new(word).exists() {
        return None;
    }
    let name = shell_quote(Path::new(word));
    if word.contains("://") {
        let hint = format!("fetch it first, as with `curl -fLO {name}`, and give the file");
        return Some(usage(format!("{word} is a URL, not the path of a file"), hint));
    }
    if FLAKES.iter().any(|start| word.starts_with(start)) {
        let hint =
            format!("build it first, as with `nix build {name}`, and give the file in result");
        return Some(usage(format!("{word} is a flake reference, not the path of a file"), hint));
    }
    None
}

/// Refuses a reference of Nix where an image is asked for, and the name of a base in commands that take no names.
pub(super) fn check_image(has_names: bool, word: &str) -> Result<(), Error> {
    // What reads an image says what to do about a URL.
    if let Some(meant) = explain(word).filter(|_| !word.contains("://")) {
        return Err(meant);
    }
    match name_of(Path::new(word)).filter(|_| !has_names) {
        Some(name) => {
            let hint = format!(
                "`remaster base path {name}` prints the path of its file, after `remaster base fetch {name}`"
            );
            Err(usage(format!("{name} is the name of a base, and a file is asked for"), hint))
        }
        None => Ok(()),
    }
}
