//! Names files beside an output that are still about what was there before, because nothing wrote them again.

use std::path::{Path, PathBuf};

use super::printer;
use super::shell::shell_quote;

/// How the names of files end that are written beside an image or a patch.
pub(super) const ENDINGS: [&str; 6] = [
    ".known_hosts",
    ".manifest.json",
    ".manifest.json.sig",
    ".provenance.json",
    ".sbom.json",
    ".descriptor.json",
];

/// The path of what is written beside an output.
pub(super) fn beside(output: &Path, ending: &str) -> PathBuf {
    let mut path = output.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// What is beside an output, or the signature beside one of these files, and is not among them.
pub(super) fn found(output: &Path, written: &[PathBuf]) -> Vec<PathBuf> {
    let own = ENDINGS.iter().map(|ending| beside(output, ending));
    let signatures = written.iter().map(|path| beside(path, ".sig"));
    let mut found: Vec<PathBuf> = own.chain(signatures).collect();
    found.retain(|path| path.exists() && !written.contains(path));
    found.sort();
    found.dedup();
    found
}

/// Says what is stale. It is not removed: it may be somebody's only copy.
pub(super) fn tell(output: &Path, written: &[PathBuf]) {
    for path in &found(output, written) {
        note(path);
    }
}

/// Says that one file is stale.
pub(super) fn note(path: &Path) {
    printer::note(&format!(
        "{} was there before and does not belong to what was written now: remove it",
        shell_quote(path)
    ));
}

/// The same beside an output that may be the very image that these are about: its bytes came from elsewhere.
pub(super) fn tell_perhaps(output: &Path, written: &[PathBuf]) {
    for path in &found(output, written) {
        let shown = shell_quote(path);
        printer::note(&format!(
            "{shown} was there before and may be of an earlier image: remove it if it is"
        ));
    }
}
