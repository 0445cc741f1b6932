//! The chains of clusters of a FAT filesystem, and the records of its folders (Microsoft FAT specification 1.03, "FAT Data
//! Structure", "FAT Directory Structure"): what must hold before anything follows them.

use crate::formats::Malformed;
use crate::formats::fat::{Kind, Layout};
use crate::units::usize_of;

const WHAT: &str = "a File Allocation Table";

/// The number of the first cluster.
const FIRST: u32 = 2;

/// Bytes of a record of a folder.
pub const RECORD: usize = 32;

/// What begins a record that is the last one, or is not used.
const LAST: u8 = 0;
const UNUSED: u8 = 0xe5;

/// Bits of a record's attributes: the label of the volume, which a part of a long name has, too; a folder.
const LABEL: u8 = 0x08;
const FOLDER: u8 = 0x10;

/// The names of the two records that stand for a folder itself and for the one above it.
const DOTS: [&[u8; 11]; 2] = [b".          ", b"..         "];

/// The next cluster of each; every one is the next of one other at most, and no chain is a circle.
#[derive(Clone, Debug)]
pub struct Chains {
    next: Vec<Option<u32>>,
    /// Which clusters something leads to.
    is_led_to: Vec<bool>,
}

impl Chains {
    /// Reads a FAT.
    ///
    /// # Errors
    /// A cluster whose next one does not exist or is the next of another one, and chains without a beginning.
    pub fn parse(layout: &Layout, fat: &[u8]) -> Result<Self, Malformed> {
        let count = usize_of(layout.clusters());
        let mut chains = Self { next: Vec::new(), is_led_to: vec![false; count] };
        for number in (FIRST..).take(count) {
            let entry = Entry::read(layout.kind(), fat, number).ok_or_else(|| {
                Malformed::new(WHAT, 0, "a short one", format!("{count} entries"))
            })?;
            if let Entry::Next(next) = entry {
                chains.lead_to(next, &format!("cluster {number}"))?;
            }
            chains.next.push(entry.next());
        }
        chains.refuse_circles(layout.kind(), fat)?;
        Ok(chains)
    }

    /// Takes down that something leads to a cluster.
    ///
    /// # Errors
    /// A cluster that does not exist, or that something else leads to.
    pub fn lead_to(&mut self, cluster: u32, what: &str) -> Result<(), Malformed> {
        let count = self.is_led_to.len();
        let index = cluster.checked_sub(FIRST).map(|index| usize_of(index.into()));
        let led_to = index.and_then(|index| self.is_led_to.get_mut(index)).ok_or_else(|| {
            let found = format!("{what} leads to cluster {cluster}");
            Malformed::new(WHAT, 0, found, format!("one of the {count} clusters from {FIRST} on"))
        })?;
        if std::mem::replace(led_to, true) {
            let found = format!("{what} leads to cluster {cluster}, as something else does");
            return Err(Malformed::new(WHAT, 0, found, "chains that do not meet"));
        }
        Ok(())
    }

    /// The clusters of a chain from one on.
    pub fn from(&self, cluster: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(cluster), |cluster| {
            let index = cluster.checked_sub(FIRST)?;
            *self.next.get(usize_of(index.into()))?
        })
    }

    /// Every cluster is the next of one other at most, so what no beginning leads to is a circle.
    fn refuse_circles(&self, kind: Kind, fat: &[u8]) -> Result<(), Malformed> {
        let is_used = |number| !matches!(Entry::read(kind, fat, number), Some(Entry::Free) | None);
        let numbered = || (FIRST..).zip(&self.is_led_to);
        let used = numbered().filter(|(number, _)| is_used(*number)).count();
        let begins = numbered().filter(|(number, led_to)| is_used(*number) && !**led_to);
        let reached: usize = begins.map(|(number, _)| self.from(number).count()).sum();
        if reached == used {
            return Ok(());
        }
        Err(Malformed::new(WHAT, 0, "a chain that leads back to itself", "chains that end"))
    }
}

/// What a FAT has for a cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Entry {
    Free,
    /// The cluster that follows.
    Next(u32),
    /// The last one of a chain, or one that is bad.
    End,
}

impl Entry {
    fn next(self) -> Option<u32> {
        match self {
            Self::Next(next) => Some(next),
            Self::Free | Self::End => None,
        }
    }

    fn read(kind: Kind, fat: &[u8], number: u32) -> Option<Self> {
        let number = usize_of(number.into());
        let (value, last) = match kind {
            Kind::Fat12 => {
                let at = number.checked_add(number / 2)?;
                let pair = u16::from_le_bytes(*fat.get(at..)?.first_chunk()?);
                let value = if number.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 };
                (u32::from(value), 0xff7)
            }
            Kind::Fat16 => {
                let bytes = fat.get(number.checked_mul(2)?..)?.first_chunk()?;
                (u32::from(u16::from_le_bytes(*bytes)), 0xfff7)
            }
            Kind::Fat32 => {
                let bytes = fat.get(number.checked_mul(4)?..)?.first_chunk()?;
                (u32::from_le_bytes(*bytes) & 0x0fff_ffff, 0x0fff_fff7)
            }
        };
        Some(match value {
            0 => Self::Free,
            next if next < last => Self::Next(next),
            _ => Self::End,
        })
    }
}

/// A file or folder of a folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record {
    /// Its first cluster; 0 for an empty file.
    pub cluster: u32,
    /// Whether it is a folder.
    pub is_folder: bool,
}

impl Record {
    /// The files and folders that the records of a folder name, up to the last one. The folder itself, the one above it, the
    /// label and long names are left out.
    pub fn all(kind: Kind, bytes: &[u8]) -> impl Iterator<Item = Self> {
        let records = bytes.as_chunks::<RECORD>().0.iter();
        let records = records.take_while(|record| record.first() != Some(&LAST));
        records.filter_map(move |record| Self::read(kind, record))
    }

    fn read(kind: Kind, record: &[u8; RECORD]) -> Option<Self> {
        let attributes = record.get(11)?;
        let is_dot = DOTS.iter().any(|dot| record.starts_with(*dot));
        if record.first() == Some(&UNUSED) || attributes & LABEL != 0 || is_dot {
            return None;
        }
        let part = |at: usize| Some(u16::from_le_bytes(*record.get(at..)?.first_chunk()?));
        let high = if kind == Kind::Fat32 { part(20)? } else { 0 };
        let cluster = u32::from(high) << 16 | u32::from(part(26)?);
        Some(Self { cluster, is_folder: attributes & FOLDER != 0 })
    }
}

impl Layout {
    /// The byte of a cluster, from the first byte of the filesystem.
    pub fn place_of(&self, cluster: u32) -> Option<u64> {
        let index = u64::from(cluster.checked_sub(FIRST)?);
        index.checked_mul(self.cluster())?.checked_add(self.head_size()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::u64_of;

    /// A FAT of 16 bits for clusters 2 on.
    fn fat(entries: &[u16]) -> Vec<u8> {
        [0xfff8, 0xffff].iter().chain(entries).flat_map(|entry| entry.to_le_bytes()).collect()
    }

    fn chains(entries: &[u16]) -> Result<Chains, String> {
        let clusters = u64_of(entries.len());
        let layout = Layout::sample(Kind::Fat16, clusters);
        Chains::parse(&layout, &fat(entries)).map_err(|fault| fault.found)
    }

    #[test]
    fn chains_end_and_do_not_meet() {
        let mut sound = chains(&[3, 5, 0, 0xffff, 0xfff7]).unwrap();
        assert_eq!(sound.from(2).collect::<Vec<_>>(), [2, 3, 5]);
        assert!(sound.lead_to(2, "a").is_ok() && sound.lead_to(2, "b").is_err());
        for cluster in [0, 1, 7] {
            assert!(sound.lead_to(cluster, "a").is_err(), "{cluster}");
        }
        for (entries, found) in [
            (&[1, 0][..], "cluster 2 leads to cluster 1"),
            (&[4, 0], "cluster 2 leads to cluster 4"),
            (&[4, 4, 0xffff], "cluster 3 leads to cluster 4, as something else does"),
            (&[2], "a chain that leads back to itself"),
            (&[0, 4, 3], "a chain that leads back to itself"),
        ] {
            assert_eq!(chains(entries).unwrap_err(), found);
        }
    }

    #[test]
    fn entries_of_all_widths_are_read() {
        let fat = [0xf8, 0xff, 0xff, 0x03, 0x40, 0x00, 0xff, 0x7f, 0xff];
        let read = |number| Entry::read(Kind::Fat12, &fat, number).unwrap();
        assert_eq!((read(2), read(3)), (Entry::Next(3), Entry::Next(4)));
        assert_eq!((read(4), read(5)), (Entry::End, Entry::End));
        assert_eq!(Entry::read(Kind::Fat12, &fat, 6), None);
        let wide = [0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0xf0, 0xf8, 0xff, 0xff, 0x0f];
        let read = |number| Entry::read(Kind::Fat32, &wide, number);
        assert_eq!((read(2), read(3), read(4)), (Some(Entry::Next(5)), Some(Entry::End), None));
    }

    #[test]
    fn records_name_files_and_folders_and_nothing_else() {
        let record = |name: &[u8; 11], attributes: u8, high: u16, low: u16| {
            let mut bytes = [0; RECORD];
            bytes[..11].copy_from_slice(name);
            bytes[11] = attributes;
            bytes[20..22].copy_from_slice(&high.to_le_bytes());
            bytes[26..28].copy_from_slice(&low.to_le_bytes());
            bytes
        };
        let records = [
            record(b"LABEL      ", 0x08, 0, 0),
            record(b".          ", 0x10, 0, 9),
            record(b"..         ", 0x10, 0, 9),
            record(b"A\0l\0o\0n\0g\0 ", 0x0f, 0, 9),
            record(b"\xe5ONE    TXT", 0, 0, 9),
            record(b"EFI        ", 0x10, 1, 3),
            record(b"FILE    TXT", 0x20, 0, 4),
            [0; RECORD],
            record(b"BEHIND  TXT", 0x20, 0, 5),
        ];
        let bytes = records.concat();
        let found = |kind| -> Vec<(u32, bool)> {
            Record::all(kind, &bytes).map(|record| (record.cluster, record.is_folder)).collect()
        };
        assert_eq!(found(Kind::Fat16), [(3, true), (4, false)]);
        assert_eq!(found(Kind::Fat32), [(65539, true), (4, false)]);
    }
}
