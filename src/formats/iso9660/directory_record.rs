//! Directory Records (§9.1) and how they are packed into the extent of a directory (§6.8.1).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checked;
use crate::formats::Malformed;
use crate::formats::both_endian::{Both16, Both32};
use crate::units::{LOGICAL_BLOCK, u64_of, usize_of};

const WHAT: &str = "Directory Record";

/// Bit of the File Flags that says Directory (§9.1.6).
pub(crate) const DIRECTORY: u8 = 0x02;

/// Bit of the File Flags that says Associated File: one that belongs to another of the same name (§9.1.6).
pub(crate) const ASSOCIATED: u8 = 0x04;

/// Bit of the File Flags that says that another record of the file follows (§9.1.6).
pub const MULTI_EXTENT: u8 = 0x80;

/// The fixed part of a Directory Record, byte for byte.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// BP 1, bytes in the record (§9.1.1).
    pub length: u8,
    /// BP 2 (§9.1.2).
    pub extended_attribute_record_length: u8,
    /// BP 3-10, first logical block (§9.1.3).
    pub location_of_extent: Both32,
    /// BP 11-18, bytes of the file section (§9.1.4).
    pub data_length: Both32,
    /// BP 19-25 (§9.1.5).
    pub recording_date_and_time: [u8; 7],
    /// BP 26 (§9.1.6).
    pub file_flags: u8,
    /// BP 27 (§9.1.7).
    pub file_unit_size: u8,
    /// BP 28 (§9.1.8).
    pub interleave_gap_size: u8,
    /// BP 29-32 (§9.1.9).
    pub volume_sequence_number: Both16,
    /// BP 33, bytes in the file identifier (§9.1.10).
    pub file_identifier_length: u8,
}

const HEADER: usize = size_of::<Header>();
const _: () = assert!(HEADER == 33);

/// A whole Directory Record: the bytes as they stand, whatever they hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    bytes: Vec<u8>,
}

impl Record {
    /// A record of an extent with this identifier and System Use field (§9.1.13).
    ///
    /// None if it would be longer than a record can be (255 bytes).
    pub fn new(header: Header, identifier: &[u8], system_use: &[u8]) -> Option<Self> {
        let mut bytes = vec![0; HEADER];
        bytes.extend(identifier);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes.extend(system_use);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        let length = u8::try_from(bytes.len()).ok()?;
        let file_identifier_length = u8::try_from(identifier.len()).ok()?;
        let header = Header { length, file_identifier_length, ..header };
        bytes.get_mut(..HEADER)?.copy_from_slice(header.as_bytes());
        Some(Self { bytes })
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let record = Self { bytes: bytes.to_vec() };
        let Some(header) = record.header() else {
            return Err(Malformed::short(WHAT, bytes, HEADER));
        };
        if record.identifier().is_none() {
            let found = format!("an identifier of {} bytes", header.file_identifier_length);
            return Err(Malformed::new(WHAT, 32, found, format!("one within {}", bytes.len())));
        }
        Ok(record)
    }

    /// The record as it is recorded.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The fixed part.
    pub fn header(&self) -> Option<Header> {
        Header::read_from_prefix(&self.bytes).ok().map(|(header, _)| header)
    }

    /// Changes the fixed part.
    pub(crate) fn set_header(&mut self, header: Header) -> crate::error::Result<()> {
        let place = checked::part_mut(&mut self.bytes, ..HEADER, "the fixed part of a record")?;
        place.copy_from_slice(header.as_bytes());
        Ok(())
    }

    /// The file identifier (§9.1.11): `[0]` for the directory itself, `[1]` for its parent.
    pub fn identifier(&self) -> Option<&[u8]> {
        let length = usize::from(self.header()?.file_identifier_length);
        self.bytes.get(HEADER..HEADER.checked_add(length)?)
    }

    /// Whether this is the record of the directory itself or of its parent (§6.8.2.2).
    pub fn is_dot(&self) -> bool {
        matches!(self.identifier(), Some([0 | 1]))
    }

    /// Where the System Use field starts in the record (§9.1.13).
    pub(crate) fn system_use_start(&self) -> usize {
        let identifier = self.identifier().map_or(0, <[u8]>::len);
        HEADER.saturating_add(identifier).next_multiple_of(2)
    }

    /// The System Use field; empty where the record has none.
    pub fn system_use(&self) -> &[u8] {
        self.bytes.get(self.system_use_start()..).unwrap_or_default()
    }

    /// The same, to be changed in place.
    pub(crate) fn system_use_mut(&mut self) -> &mut [u8] {
        let start = self.system_use_start();
        self.bytes.get_mut(start..).unwrap_or_default()
    }
}

/// The records in the extent of a directory, in the order of the extent.
pub fn unpack(extent: &[u8]) -> Result<Vec<Record>, Malformed> {
    Ok(located(extent)?.into_iter().map(|(_, record)| record).collect())
}

/// The same, each with where it starts in the extent.
pub fn located(extent: &[u8]) -> Result<Vec<(usize, Record)>, Malformed> {
    let mut records = Vec::new();
    let mut at = 0_usize;
    while let Some(&length) = extent.get(at) {
        if length == 0 {
            // The rest of the block is filling (§6.8.1.1).
            at = at.saturating_add(1).next_multiple_of(usize_of(LOGICAL_BLOCK));
            continue;
        }
        let end = at.saturating_add(usize::from(length));
        let place = u64_of(at);
        let bytes = extent.get(at..end).ok_or_else(|| {
            Malformed::new(WHAT, place, format!("length {length}"), "one within the extent")
        })?;
        let record = Record::parse(bytes)
            .map_err(|fault| Malformed { at: place.saturating_add(fault.at), ..fault })?;
        records.push((at, record));
        at = end;
    }
    Ok(records)
}

/// The extent of a directory with these records: none crosses a block (§6.8.1.1).
pub fn pack(records: &[Record]) -> Vec<u8> {
    let block = usize_of(LOGICAL_BLOCK);
    let mut extent = Vec::new();
    for record in records {
        let used = extent.len().rem_euclid(block);
        if [used, record.as_bytes().len()].into_iter().sum::<usize>() > block {
            extent.resize(extent.len().next_multiple_of(block), 0);
        }
        extent.extend(record.as_bytes());
    }
    extent.resize(extent.len().next_multiple_of(block), 0);
    extent
}

/// Puts `new` where its identifier belongs among `records` (§9.3).
pub fn insert(records: &mut Vec<Record>, new: Record) {
    let after = |record: &Record| !record.is_dot() && record.identifier() > new.identifier();
    let at = records.iter().position(after).unwrap_or(records.len());
    records.insert(at, new);
}

/// The fixed part of the record of an extent that is one contiguous run.
pub fn header(location: u32, size: u32, dates: [u8; 7], file_flags: u8) -> Header {
    Header {
        length: 0,
        extended_attribute_record_length: 0,
        location_of_extent: Both32::new(location),
        data_length: Both32::new(size),
        recording_date_and_time: dates,
        file_flags,
        file_unit_size: 0,
        interleave_gap_size: 0,
        volume_sequence_number: Both16::new(1),
        file_identifier_length: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(identifier: &[u8], system_use: usize) -> Record {
        let fixed = header(20, 10, [0; 7], 0);
        Record::new(fixed, identifier, &vec![b'x'; system_use]).unwrap()
    }

    #[test]
    fn records_survive_packing_and_do_not_cross_blocks() {
        let records: Vec<Record> = (0..40_u8).map(|n| record(&[b'A', n], 120)).collect();
        let extent = pack(&records);
        assert_eq!(extent.len(), 4 * 2048);
        assert_eq!(unpack(&extent).unwrap(), records);
    }

    #[test]
    fn a_new_record_stands_in_order_behind_the_dots() {
        let mut records =
            vec![record(&[0], 0), record(&[1], 0), record(b"BOOT", 0), record(b"VERSION.TXT;1", 0)];
        insert(&mut records, record(b"REMASTER", 0));
        let names: Vec<&[u8]> = records.iter().filter_map(Record::identifier).collect();
        assert_eq!(names, [&[0][..], &[1], b"BOOT", b"REMASTER", b"VERSION.TXT;1"]);
    }

    #[test]
    fn a_record_past_the_extent_is_an_error() {
        let mut extent = pack(&[record(b"A", 0)]);
        extent[0] = 255;
        extent.truncate(100);
        assert!(unpack(&extent).is_err());
    }

    #[test]
    fn a_record_that_would_be_too_long_is_not_made() {
        let fixed = header(20, 0, [0; 7], 0);
        assert!(Record::new(fixed, &[b'A'; 200], &[0; 100]).is_none());
    }
}
