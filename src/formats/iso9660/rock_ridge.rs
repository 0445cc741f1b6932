//! System Use Entries (SUSP 1.12 §4) that Rock Ridge (RRIP 1.12 §4.1) puts into Directory Records.

use crate::formats::both_endian::Both32;
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of a name in one entry (NM, RRIP 1.12 §4.1.4).
pub const LONGEST_NAME: u64 = 250;

/// What new records copy from the base's own, so that a reader sees one style.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Bytes before the first entry of a System Use field (SP, SUSP 1.12 §5.3).
    pub skipped: u8,
    /// Bytes of a PX entry: 36 in RRIP 1.09 and 1.10, 44 in 1.12 (§4.1.1).
    pub px_length: u8,
    /// A TF entry, as it stands (§4.1.6).
    pub tf: Vec<u8>,
    /// Links of a directory without subdirectories: 2, or 1 where the base counts none (xorriso).
    pub links: u32,
}

/// The entries of a System Use field: signature and whole bytes.
pub fn entries(system_use: &[u8], skipped: u8) -> Vec<([u8; 2], &[u8])> {
    let mut found = Vec::new();
    let mut rest = system_use.get(usize::from(skipped)..).unwrap_or_default();
    while let Some(&[a, b, length, _]) = rest.first_chunk::<4>() {
        let Some((entry, after)) = rest.split_at_checked(usize::from(length).max(4)) else { break };
        if [a, b] == *b"ST" || a == 0 {
            break;
        }
        found.push(([a, b], entry));
        rest = after;
    }
    found
}

impl Style {
    /// Reads the style off the System Use field of the root's own record.
    pub fn of_root(system_use: &[u8]) -> Self {
        let mut style = Self { px_length: 36, links: 2, ..Self::default() };
        for (signature, entry) in entries(system_use, 0) {
            match (&signature, entry) {
                (b"SP", [_, _, _, _, 0xbe, 0xef, skipped, ..]) => style.skipped = *skipped,
                (b"PX", _) => style.read_px(entry),
                (b"TF", _) => style.tf = entry.to_vec(),
                _ => {}
            }
        }
        style
    }

    fn read_px(&mut self, entry: &[u8]) {
        if entry.len() == 44 {
            self.px_length = 44;
        }
        let links = entry.get(12..20).and_then(|field| Both32::read_from_bytes(field).ok()?.get());
        self.links = links.map_or(2, |links| links.min(2));
    }

    /// The System Use field of a new record. `name` is empty for the records of the directory itself
    /// and its parent. None if a name is too long for one entry.
    pub fn system_use(&self, name: &str, mode: u32, links: u32, serial: u32) -> Option<Vec<u8>> {
        let mut field = vec![0; usize::from(self.skipped)];
        field.extend([b'P', b'X', self.px_length, 1]);
        for number in [mode, links, 0, 0] {
            field.extend(Both32::new(number).as_bytes());
        }
        if self.px_length == 44 {
            field.extend(Both32::new(serial).as_bytes());
        }
        field.extend(&self.tf);
        if !name.is_empty() {
            let length = u8::try_from(name.len().checked_add(5)?).ok()?;
            field.extend([b'N', b'M', length, 1, 0]);
            field.extend(name.as_bytes());
        }
        Some(field)
    }
}

/// One directory more below the one that this record is of: counts it in the links of PX.
pub fn count_a_link(system_use: &mut [u8], skipped: u8) {
    let Some(field) = px(system_use, skipped, 12) else { return };
    let links = number(*field).filter(|links| *links >= 2);
    if let Some(more) = links.and_then(|links| links.checked_add(1)) {
        *field = both(more);
    }
}

/// Lets only the owner read the file that this record is of; false if it has no PX entry.
pub fn close_to_others(system_use: &mut [u8], skipped: u8) -> bool {
    const KIND: u32 = 0o170_000;
    const OWNER_READS: u32 = 0o400;
    let Some(field) = px(system_use, skipped, 4) else { return false };
    let Some(mode) = number(*field) else { return false };
    *field = both(mode & KIND | OWNER_READS);
    true
}

/// A number of the PX entry, at a byte of it.
fn px(system_use: &mut [u8], skipped: u8, byte: usize) -> Option<&mut [u8; 8]> {
    let at = position(system_use, skipped, *b"PX")?;
    system_use.get_mut(at..)?.get_mut(byte..)?.first_chunk_mut()
}

fn number(field: [u8; 8]) -> Option<u32> {
    Both32::read_from_bytes(&field).ok()?.get()
}

fn both(number: u32) -> [u8; 8] {
    let mut field = [0; 8];
    field.copy_from_slice(Both32::new(number).as_bytes());
    field
}

fn position(system_use: &[u8], skipped: u8, wanted: [u8; 2]) -> Option<usize> {
    let mut at = usize::from(skipped);
    for (signature, entry) in entries(system_use, skipped) {
        if signature == wanted {
            return Some(at);
        }
        at = at.checked_add(entry.len())?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::usize_of;

    #[test]
    fn new_entries_follow_the_style_of_the_root() {
        let root = [
            b"SP\x07\x01\xbe\xef\x00".to_vec(),
            [b"PX\x2c\x01".as_slice(), &[0; 40]].concat(),
            b"TF\x0c\x01\x02ABCDEFG".to_vec(),
        ]
        .concat();
        let field = Style::of_root(&root).system_use("remaster", 0o040_555, 2, 7).unwrap();
        let names: Vec<[u8; 2]> = entries(&field, 0).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [*b"PX", *b"TF", *b"NM"]);
        assert_eq!(field.len(), 44 + 12 + 13);
    }

    #[test]
    fn links_are_counted_only_where_the_base_counts_them() {
        for (before, after) in [(2, 3), (1, 1)] {
            let mut field =
                Style { px_length: 36, ..Style::default() }.system_use("", 0, before, 0).unwrap();
            count_a_link(&mut field, 0);
            assert_eq!(
                field,
                Style { px_length: 36, ..Style::default() }.system_use("", 0, after, 0).unwrap()
            );
        }
    }

    #[test]
    fn new_folders_have_as_many_links_as_the_root_counts() {
        for (counted, links) in [(1, 1), (2, 2), (9, 2)] {
            let style = Style { px_length: 36, ..Style::default() };
            let root = style.system_use("", 0o040_555, counted, 0).unwrap();
            assert_eq!(Style::of_root(&root).links, links, "{counted}");
        }
    }

    #[test]
    fn a_record_is_closed_to_others_where_it_has_a_mode() {
        let style = Style { px_length: 36, skipped: 3, ..Style::default() };
        let mut field = style.system_use("initrd", 0o100_555, 1, 0).unwrap();
        assert!(close_to_others(&mut field, 3));
        assert_eq!(field, style.system_use("initrd", 0o100_400, 1, 0).unwrap());
        assert!(!close_to_others(&mut field[3 + 36..], 0));
        assert!(!close_to_others(&mut [], 0));
    }

    #[test]
    fn a_name_of_250_bytes_fits_and_one_more_does_not() {
        let style = Style { px_length: 36, ..Style::default() };
        let field = |length: u64| style.system_use(&"x".repeat(usize_of(length)), 0, 1, 0);
        let longest = field(LONGEST_NAME).unwrap();
        assert_eq!(longest[36..41], [b'N', b'M', 255, 1, 0]);
        assert_eq!(field(LONGEST_NAME + 1), None);
    }

    #[test]
    fn an_entry_of_length_zero_ends_the_walk() {
        assert!(entries(&[b'N', b'M', 0, 1, 0, 0], 0).len() <= 1);
    }
}
