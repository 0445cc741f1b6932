//! Path Tables (§6.9, §9.4): every directory of a hierarchy, in two byte orders.

use crate::formats::Malformed;
use crate::units::u64_len;

const WHAT: &str = "Path Table Record";
const TABLE: &str = "Path Table";

/// Directories that a number of 16 bits can tell apart. One of them must be left.
const MOST: &str = "fewer than 65535, so that one more has a number";

/// The byte order of a path table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathTableType {
    /// Numbers with the least significant byte first (§8.4.14).
    L,
    /// Numbers with the most significant byte first (§8.4.16).
    M,
}

/// A Path Table Record (§9.4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathTableRecord {
    /// First logical block of the directory (§9.4.3).
    pub location: u32,
    /// Number of the parent directory, the root being 1 (§9.4.4).
    pub parent: u16,
    /// The directory's identifier (§9.4.5).
    pub identifier: Vec<u8>,
}

/// The records of a path table.
pub fn unpack(table: &[u8], order: PathTableType) -> Result<Vec<PathTableRecord>, Malformed> {
    let mut records = Vec::new();
    let mut rest = table;
    while !rest.is_empty() {
        let (record, after) = first(rest, order).ok_or_else(|| {
            let at = u64_len(table).saturating_sub(u64_len(rest));
            Malformed::new(WHAT, at, "a record past the table's end", "a whole one")
        })?;
        records.push(record);
        rest = after;
    }
    Ok(records)
}

fn first(table: &[u8], order: PathTableType) -> Option<(PathTableRecord, &[u8])> {
    let (fixed, rest) = table.split_first_chunk::<8>()?;
    let &[length, _, a, b, c, d, e, f] = fixed;
    let (location, parent) = match order {
        PathTableType::L => (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f])),
        PathTableType::M => (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, f])),
    };
    let length = usize::from(length);
    let identifier = rest.get(..length)?.to_vec();
    let rest = rest.get(length.next_multiple_of(2)..)?;
    (length > 0).then_some((PathTableRecord { location, parent, identifier }, rest))
}

/// A path table with these records.
pub fn pack(records: &[PathTableRecord], order: PathTableType) -> Option<Vec<u8>> {
    let mut table = Vec::new();
    for record in records {
        table.push(u8::try_from(record.identifier.len()).ok()?);
        table.push(0);
        match order {
            PathTableType::L => {
                table.extend(record.location.to_le_bytes());
                table.extend(record.parent.to_le_bytes());
            }
            PathTableType::M => {
                table.extend(record.location.to_be_bytes());
                table.extend(record.parent.to_be_bytes());
            }
        }
        table.extend(&record.identifier);
        table.resize(table.len().next_multiple_of(2), 0);
    }
    Some(table)
}

/// Puts a directory below the one at block `parent`, in order (§6.9.1), and renumbers the parents
/// behind it.
///
/// # Errors
/// No directory is at that block, or no number is left for the new one.
pub fn insert(
    records: &mut Vec<PathTableRecord>,
    parent: u32,
    identifier: &[u8],
    location: u32,
) -> Result<(), Malformed> {
    let parent = records.iter().position(|record| record.location == parent).ok_or_else(|| {
        let expected = format!("one of the directory at block {parent}");
        Malformed::new(TABLE, 0, "no record", expected)
    })?;
    let count = records.len();
    let number_of = |index: usize| {
        let number = index.checked_add(1).and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| {
            Malformed::new(TABLE, 0, format!("{count} directories"), MOST).but_sound()
        })
    };
    let parent = number_of(parent)?;
    let before = |record: &PathTableRecord| {
        (record.parent, record.identifier.as_slice()) < (parent, identifier)
    };
    let siblings = records.iter().skip(1).take_while(|record| before(record)).count();
    let at = usize::from(number_of(siblings)?);
    let number = number_of(at)?;
    number_of(count)?;
    for record in records.iter_mut().filter(|record| record.parent >= number) {
        record.parent = number_of(usize::from(record.parent))?;
    }
    records.insert(at, PathTableRecord { location, parent, identifier: identifier.to_vec() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(location: u32, parent: u16, identifier: &[u8]) -> PathTableRecord {
        PathTableRecord { location, parent, identifier: identifier.to_vec() }
    }

    fn tree() -> Vec<PathTableRecord> {
        vec![
            record(20, 1, &[0]),
            record(21, 1, b"BOOT"),
            record(22, 1, b"ISOLINUX"),
            record(23, 1, b"VERSIONS"),
            record(24, 2, b"GRUB"),
            record(25, 4, b"A"),
        ]
    }

    #[test]
    fn both_orders_hold_the_same_records() {
        for order in [PathTableType::L, PathTableType::M] {
            let table = pack(&tree(), order).unwrap();
            assert_eq!(unpack(&table, order).unwrap(), tree());
        }
    }

    #[test]
    fn parents_behind_a_new_directory_are_renumbered() {
        let mut records = tree();
        insert(&mut records, 20, b"REMASTER", 99).unwrap();
        assert_eq!(records[3], record(99, 1, b"REMASTER"));
        assert_eq!(records[4], record(23, 1, b"VERSIONS"));
        assert_eq!(records[5], record(24, 2, b"GRUB"));
        assert_eq!(records[6], record(25, 5, b"A"));
    }

    #[test]
    fn a_directory_can_stand_below_another_than_the_root() {
        let mut records = tree();
        insert(&mut records, 22, b"REMASTER", 99).unwrap();
        assert_eq!(records[5], record(99, 3, b"REMASTER"));
        assert_eq!(records[6], record(25, 4, b"A"));
        assert!(insert(&mut records, 77, b"REMASTER", 99).is_err());
    }

    #[test]
    fn a_cut_table_is_an_error() {
        let table = pack(&tree(), PathTableType::L).unwrap();
        assert!(unpack(&table[..table.len() - 3], PathTableType::L).is_err());
        assert!(unpack(&[0; 8], PathTableType::L).is_err());
    }
}
