//! Refuses directories of which two readers may see different files. A boot loader takes the first record of a name, and
//! shows records that others hide.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::formats::iso9660::directory_record::{
    self, ASSOCIATED, DIRECTORY, Header, MULTI_EXTENT, Record,
};
use crate::image::ReadAt;
use crate::units::{ByteRange, Lbn};

/// Bytes of a directory; those of installers have under 100 KB.
pub(crate) const LARGEST: u64 = 16 << 20;

/// The records of a directory, in their order.
pub(crate) fn records<I: ReadAt>(image: &I, path: &str, at: ByteRange) -> Result<Vec<Record>> {
    let bytes = image.read_range(path, at, LARGEST)?;
    directory_record::unpack(&bytes).map_err(|fault| fault.in_image(at.start()))
}

/// Refuses records that are there twice or hidden, or that a reader of names takes for other bytes than their own. `listed`
/// are the files and directories that it found, each with its first byte.
pub(super) fn check(path: &str, records: &[Record], listed: &[Option<u64>]) -> Result<()> {
    let starts: BTreeSet<Option<u64>> = listed.iter().copied().collect();
    let mut names = BTreeSet::new();
    let mut goes_on = false;
    for record in records.iter().filter(|record| !record.is_dot()) {
        let Some(header) = record.header() else { continue };
        let name = record.identifier();
        if header.file_flags & ASSOCIATED != 0 {
            return Err(refused(path, &format!("the associated file {}", shown(name))));
        }
        if !goes_on && !names.insert(name) {
            return Err(twice(path, &shown(name)));
        }
        if !goes_on && !is_listed(&header, &starts) {
            return Err(refused(path, &format!("{} with the bytes of another file", shown(name))));
        }
        goes_on = header.file_flags & MULTI_EXTENT != 0;
    }
    if names.len() == listed.len() {
        return Ok(());
    }
    let found = format!("{} records, of which {} are shown", names.len(), listed.len());
    Err(refused(path, &found))
}

/// Whether the bytes of a file are those that were listed, by where they start. Hard links and extended attributes can
/// lead elsewhere (RRIP 1.12 §4.1.1, ECMA-119 §9.1.2), and boot loaders know neither.
fn is_listed(header: &Header, listed: &BTreeSet<Option<u64>>) -> bool {
    let has_bytes = header.file_flags & DIRECTORY == 0 && header.data_length.get() != Some(0);
    let start = header.location_of_extent.get().map(|block| Lbn(block).bytes());
    !has_bytes || (start.is_some() && listed.contains(&start))
}

/// The refusal of two files of one name.
pub(super) fn twice(path: &str, name: &str) -> Error {
    refused(path, &format!("{name} twice"))
}

/// Refuses a name that is not one part of a path.
pub(super) fn check_name(path: &str, name: &str) -> Result<()> {
    let is_part = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if is_part { Ok(()) } else { Err(refused(path, &format!("the name {name:?}"))) }
}

fn refused(path: &str, found: &str) -> Error {
    let what = format!("the directory {path} of the volume");
    Error::unsupported(what, "files and directories that all boot loaders see alike", found)
}

fn shown(identifier: Option<&[u8]>) -> String {
    let name = identifier.unwrap_or_default();
    String::from_utf8_lossy(name).replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::iso9660::directory_record::header;

    #[test]
    fn a_directory_has_each_name_once_and_hides_none() {
        let record = |name: &[u8], flags| Record::new(header(20, 1, [0; 7], flags), name, &[]);
        let told = |records: &[(&[u8], u8)], listed: &[Option<u64>]| {
            let records = records.iter().map(|(name, flags)| record(name, *flags).unwrap());
            let checked = check("/x", &records.collect::<Vec<_>>(), listed);
            checked.map_or_else(|fault| fault.to_string(), |()| String::new())
        };
        let own = Some(20 * 2048);
        assert_eq!(told(&[(&[0], 2), (&[1], 2), (b"A", 0), (b"B", 2)], &[own, None]), "");
        // A file of two extents has two records.
        assert_eq!(told(&[(b"A", MULTI_EXTENT), (b"A", 0), (b"B", 0)], &[own, own]), "");
        assert!(told(&[(b"A", 0), (b"A", 0)], &[own, own]).ends_with("found A twice"));
        let third = [(&b"A"[..], MULTI_EXTENT), (b"A", 0), (b"A", 0)];
        assert!(told(&third, &[own, own]).ends_with("found A twice"));
        assert!(told(&[(b"A", ASSOCIATED)], &[own]).ends_with("found the associated file A"));
        assert!(told(&[(b"A", 0), (b"B", 0)], &[own]).ends_with("2 records, of which 1 are shown"));
        assert!(told(&[(b"A", 0)], &[Some(0)]).ends_with("A with the bytes of another file"));
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        for (name, is_one) in
            [("a", true), ("...", true), ("a/b", false), ("", false), ("..", false), ("a\0", false)]
        {
            assert_eq!(check_name("/", name).is_ok(), is_one, "{name:?}");
        }
    }
}
