//! What a live system has for consoles and languages, told by its store: keymaps, fonts, locales.

use std::collections::BTreeSet;
use std::io::Read;

use backhand::{BackhandError, FilesystemReader, InnerNode, SquashfsFileReader};

use super::squashfs::opened;
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::units::ByteRange;

/// Files, folders and links of a store that are looked through: official installers have some 100,000, which takes half
/// a second and 50 MiB.
const MOST: u32 = 600_000;

/// Bytes of a locale archive in which its names stand.
const HEAD: u64 = 1 << 20;

/// What an archive of locales starts with (glibc, `locale/locarchive.h`).
const ARCHIVE: u32 = 0xde02_0109;

/// What a live system has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Console {
    /// Names as `loadkeys` takes them.
    pub keymaps: BTreeSet<String>,
    /// Names of files that `setfont` takes, with what stands behind a dot.
    pub fonts: BTreeSet<String>,
    /// Names in archives, as `en_US.utf8`.
    pub locales: BTreeSet<String>,
    /// Whether an archive of locales is not understood, so that more may be there.
    pub unread_locales: bool,
}

impl Console {
    /// Looks through a store, a squashfs that stands in an image.
    ///
    /// # Errors
    /// A store that cannot be read, or has very many files.
    pub fn read<I: ReadAt>(image: &I, store: ByteRange) -> Result<Self> {
        let mut start = [0; 8];
        image.read_exact_at(&mut start, store.start())?;
        let [magic @ .., a, b, c, d] = start;
        let inodes = u32::from_le_bytes([a, b, c, d]);
        if magic != *b"hsqs" {
            return Err(Error::malformed("the store", store.start(), "other bytes", "a squashfs"));
        }
        if inodes > MOST {
            return Err(Error::unsupported(
                "the store",
                format!("up to {MOST} files"),
                inodes.to_string(),
            ));
        }
        opened(image, store, Self::seen)
    }

    fn seen(store: &FilesystemReader<'_>) -> std::result::Result<Self, BackhandError> {
        let mut console = Self::default();
        for node in store.files() {
            let path = node.fullpath.to_string_lossy();
            match &node.inner {
                InnerNode::File(file) if path.ends_with("/locale/locale-archive") => {
                    match names(&head(store, file)?) {
                        Some(names) => console.locales.extend(names),
                        None => console.unread_locales = true,
                    }
                }
                InnerNode::File(_) | InnerNode::Symlink(_) => console.add(&path),
                _ => {}
            }
        }
        Ok(console)
    }

    /// Takes a file by its path.
    fn add(&mut self, path: &str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        if path.contains("/keymaps/") {
            let stem = name.split_once(".map").or_else(|| name.split_once(".kmap"));
            self.keymaps.extend(stem.map(|(stem, _)| stem.to_owned()));
        } else if path.contains("/consolefonts/") {
            self.fonts.insert(name.to_owned());
        }
    }
}

fn head(
    store: &FilesystemReader<'_>,
    file: &SquashfsFileReader,
) -> std::result::Result<Vec<u8>, BackhandError> {
    let mut head = Vec::new();
    store.file(file).reader().take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// The names in the start of an archive of locales: its header tells where their texts are. `None` of what is none.
fn names(head: &[u8]) -> Option<Vec<String>> {
    let number = |index: usize| {
        let bytes = head.chunks_exact(4).nth(index)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    if number(0)? != ARCHIVE {
        return None;
    }
    let (start, used) = (usize::try_from(number(5)?).ok()?, usize::try_from(number(6)?).ok()?);
    let texts = head.get(start..start.checked_add(used)?)?;
    let texts = texts.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    Some(texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::u64_len;

    #[test]
    fn names_come_from_the_paths_of_files() {
        let mut console = Console::default();
        for path in [
            "/a-kbd-2.6.4/share/keymaps/i386/qwertz/de-latin1.map.gz",
            "/a-kbd-2.6.4/share/keymaps/i386/include/qwerty-layout.inc",
            "/a-kbd-2.6.4/share/keymaps/pine/en.map",
            "/a-kbd-2.6.4/share/consolefonts/Lat2-Terminus16.psfu.gz",
            "/a-kbd-2.6.4/share/other/x.map.gz",
        ] {
            console.add(path);
        }
        assert_eq!(console.keymaps.iter().collect::<Vec<_>>(), ["de-latin1", "en"]);
        assert_eq!(console.fonts.iter().collect::<Vec<_>>(), ["Lat2-Terminus16.psfu.gz"]);
    }

    #[test]
    fn names_of_locales_stand_where_the_header_says() {
        let header = [ARCHIVE, 0, 56, 2, 7, 56, 22, 100_u32];
        let mut archive: Vec<u8> = header.iter().flat_map(|number| number.to_le_bytes()).collect();
        archive.resize(56, 0);
        archive.extend(b"en_US.utf8\0de_DE.utf8\0rest");
        assert_eq!(names(&archive).unwrap(), ["en_US.utf8", "de_DE.utf8"]);
        assert!(names(&archive[..70]).is_none() && names(b"").is_none());
        archive[0] = 0;
        assert!(names(&archive).is_none());
    }

    #[test]
    fn what_is_not_a_store_or_has_very_many_files_is_not_read() {
        let of = |bytes: Vec<u8>| {
            Console::read(&bytes, ByteRange::up_to(u64_len(&bytes))).unwrap_err().to_string()
        };
        assert!(of(vec![0; 4096]).contains("expected a squashfs"));
        let many = [b"hsqs".to_vec(), u32::MAX.to_le_bytes().to_vec(), vec![0; 4096]].concat();
        assert!(of(many).ends_with("looked for up to 600000 files, found 4294967295"));
    }

    #[test]
    fn a_store_has_so_many_files_at_most() {
        for (inodes, is_over) in [(MOST, false), (MOST + 1, true)] {
            let mut store = [&b"hsqs"[..], &inodes.to_le_bytes()].concat();
            store.resize(4096, 0);
            let fault = Console::read(&store, ByteRange::up_to(4096)).unwrap_err().to_string();
            assert_eq!(fault.contains("looked for up to 600000 files"), is_over, "{fault}");
        }
    }
}
