//! Our folder on a volume: below the root, or below the first directory that has room for one
//! record more, so that no directory has to move.

use crate::recipe::edits::ID;

/// Its name.
pub const NAME: &str = "remaster";

/// Names of the files in it.
const PAYLOAD: &str = "payload.img";
const UNDO: &str = "undo.bin";
const ATTACHED: &str = "files";

/// The record that tells what an image is.
pub(crate) const MANIFEST: &str = "manifest.json";

/// A signature of that record.
pub const SIGNATURE: &str = "manifest.sig";

/// Where the folder is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folder {
    path: String,
}

impl Folder {
    /// The folder below a directory.
    pub fn below(parent: &str) -> Self {
        Self { path: format!("{}/{NAME}", parent.trim_end_matches('/')) }
    }

    /// The folder that stamping left, by the paths of the files of a volume.
    pub fn find<'a>(mut files: impl Iterator<Item = &'a str>) -> Option<Self> {
        let ours = |path: &str| {
            path.strip_suffix(UNDO).is_some_and(|path| path.ends_with(&format!("/{NAME}/")))
        };
        let path = files.find(|path| ours(path))?;
        path.rsplit_once('/').map(|(path, _)| Self { path: path.to_owned() })
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether a path is its own, or that of something in it.
    pub fn holds(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// The archive with what goes into the live system's root.
    pub fn payload(&self) -> String {
        self.file(PAYLOAD)
    }

    /// The squashfs of a number that was attached, counted from 1, with the id of its bytes: another image of
    /// the same base has one of that number, too, and a live system must not take that one for its own.
    pub fn attached(&self, number: usize, id: &str) -> String {
        self.file(&format!("{ATTACHED}{number}-{id}.img"))
    }

    /// The id in the path of a squashfs. Earlier versions named it without one.
    pub(crate) fn id_in(path: &str) -> Option<&str> {
        let (_, id) = path.strip_suffix(".img")?.rsplit_once('-')?;
        (id.len() == ID).then_some(id)
    }

    /// The squashfs files that stamping left in this folder, by their numbers: of the paths of the files of
    /// a volume.
    pub(crate) fn all_attached<'a>(&self, files: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let here: Vec<&str> = files.filter(|path| self.holds(path)).collect();
        let found =
            (1..).map(|number| here.iter().find(|path| self.is_attached(path, number)).copied());
        found.map_while(|found| found).collect()
    }

    /// Whether a path is that of the squashfs of a number. Earlier versions named it without an id.
    fn is_attached(&self, path: &str, number: usize) -> bool {
        let start = self.file(&format!("{ATTACHED}{number}"));
        let id = path.strip_prefix(&start).and_then(|rest| rest.strip_suffix(".img"));
        let is_id = |id: &str| id.len() == ID && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        id.is_some_and(|id| id.is_empty() || id.strip_prefix('-').is_some_and(is_id))
    }

    /// The record of the bytes that were overwritten.
    pub fn undo(&self) -> String {
        self.file(UNDO)
    }
}

/// The directories of a volume in the order in which they may take the folder: the root, then the
/// others by depth and name.
pub fn candidates<'a>(directories: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut paths: Vec<&str> = directories.collect();
    paths.sort_by_key(|path| (path.matches('/').count(), path.len() > 1, *path));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_is_known_by_number_with_and_without_an_id() {
        let folder = Folder::below("/boot");
        let id = "0123456789abcdef";
        assert_eq!(folder.attached(1, id), "/boot/remaster/files1-0123456789abcdef.img");
        let is = |path: &str| folder.is_attached(&format!("/boot/remaster/{path}"), 1);
        assert!(is("files1.img") && is("files1-0123456789abcdef.img"));
        assert_eq!(Folder::id_in("/a-b/files1-0123456789abcdef.img"), Some("0123456789abcdef"));
        assert_eq!(Folder::id_in("/a-b/files1.img"), None);
        for path in ["files12.img", "files2.img", "files1-.img", "files1-0123.img", "files1x.img"] {
            assert!(!is(path), "{path}");
        }
    }
}
