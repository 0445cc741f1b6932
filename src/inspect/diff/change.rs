//! What became of something between two images, and how much of them is read at once.

use serde::Serialize;

/// Bytes that are compared at once.
pub(super) const CHUNK: u64 = 1 << 20;

/// What became of something between two images.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// What it is about, as `volume.size` or a path.
    pub what: String,
    /// In the first image; null if it is not there.
    pub before: Option<String>,
    /// In the second image; null if it is not there.
    pub after: Option<String>,
}
