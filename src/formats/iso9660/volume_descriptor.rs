//! Primary and Supplementary Volume Descriptors (§8.4, §8.5): the fields an edit changes.

use zerocopy::big_endian::U32 as U32Be;
use zerocopy::little_endian::U32 as U32Le;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::formats::Malformed;
use crate::formats::both_endian::{Both16, Both32};
use crate::formats::iso9660::directory_record::Header;

const WHAT: &str = "Volume Descriptor";

/// The first logical block of the Volume Descriptor Set (§6.7.1).
pub(crate) const FIRST: u32 = 16;

/// Volume Descriptor Type of a Primary Volume Descriptor (§8.4.1).
pub(crate) const PRIMARY: u8 = 1;

/// Volume Descriptor Type of a Supplementary Volume Descriptor (§8.5.1).
pub(crate) const SUPPLEMENTARY: u8 = 2;

/// Volume Descriptor Type of the Set Terminator (§8.3.1).
pub(crate) const TERMINATOR: u8 = 255;

/// A Primary or Supplementary Volume Descriptor, byte for byte.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VolumeDescriptor {
    /// BP 1: what kind of descriptor this is.
    pub volume_descriptor_type: u8,
    /// BP 2-6, always `CD001` (§8.4.2).
    pub standard_identifier: [u8; 5],
    /// BP 7: 1; 2 in an Enhanced Volume Descriptor of ISO 9660:1999 (§8.4.3).
    pub volume_descriptor_version: u8,
    /// BP 8: flags of a Supplementary Volume Descriptor (§8.5.3).
    pub volume_flags: u8,
    /// BP 9-40 (§8.4.5).
    pub system_identifier: [u8; 32],
    /// BP 41-72: the label; xorriso writes lower case too (§8.4.6).
    pub volume_identifier: [u8; 32],
    unused_73: [u8; 8],
    /// BP 81-88, logical blocks of the volume (§8.4.8).
    pub volume_space_size: Both32,
    /// BP 89-120: the character set of a Supplementary Volume Descriptor (§8.5.6).
    pub escape_sequences: [u8; 32],
    /// BP 121-124 (§8.4.10).
    pub volume_set_size: Both16,
    /// BP 125-128 (§8.4.11).
    pub volume_sequence_number: Both16,
    /// BP 129-132, bytes in a logical block (§8.4.12).
    pub logical_block_size: Both16,
    /// BP 133-140, bytes of a path table (§8.4.13).
    pub path_table_size: Both32,
    /// BP 141-144: logical block of the type L path table (§8.4.14).
    pub type_l_path_table: U32Le,
    /// BP 145-148: another copy, or 0 (§8.4.15).
    pub optional_type_l_path_table: U32Le,
    /// BP 149-152: logical block of the type M path table (§8.4.16).
    pub type_m_path_table: U32Be,
    /// BP 153-156: another copy, or 0 (§8.4.17).
    pub optional_type_m_path_table: U32Be,
    /// BP 157-189: Directory Record of the root (§8.4.18).
    pub root: Header,
    root_identifier: u8,
    /// BP 191-318 (§8.4.19).
    pub volume_set_identifier: [u8; 128],
    /// BP 319-446 (§8.4.20).
    pub publisher_identifier: [u8; 128],
    /// BP 447-574 (§8.4.21).
    pub data_preparer_identifier: [u8; 128],
    /// BP 575-702 (§8.4.22).
    pub application_identifier: [u8; 128],
    unread_703: [u8; 128],
    /// BP 831-847: 16 digits and a time zone (§8.4.27, §8.4.26.1).
    pub modification_date_and_time: [u8; 17],
    rest: [u8; 1201],
}

const _: () = assert!(size_of::<VolumeDescriptor>() == 2048);

impl VolumeDescriptor {
    /// Reads a block of the Volume Descriptor Set.
    pub fn parse(block: &[u8]) -> Result<Self, Malformed> {
        let Ok(descriptor) = Self::read_from_bytes(block) else {
            return Err(Malformed::short(WHAT, block, size_of::<Self>()));
        };
        if &descriptor.standard_identifier != b"CD001" {
            let found = descriptor.standard_identifier.escape_ascii().to_string();
            return Err(Malformed::new(WHAT, 1, format!("identifier {found}"), "CD001"));
        }
        Ok(descriptor)
    }

    /// Whether the escape sequences name UCS-2 of level 1, 2 or 3 (Joliet specification §3).
    pub(crate) fn is_joliet(&self) -> bool {
        self.volume_descriptor_type == SUPPLEMENTARY
            && [b"%/@", b"%/C", b"%/E"]
                .iter()
                .any(|known| self.escape_sequences.starts_with(*known))
    }
}

/// An identifier as text, without the blanks that fill its field.
pub fn text(field: &[u8]) -> String {
    let mut text = field;
    while let [rest @ .., b' ' | 0] = text {
        text = rest;
    }
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_without_cd001_is_named_and_placed() {
        let fault = VolumeDescriptor::parse(&[0; 2048]).unwrap_err();
        assert_eq!((fault.at, fault.expected.as_str()), (1, "CD001"));
        assert!(VolumeDescriptor::parse(&[0; 100]).is_err());
    }

    #[test]
    fn text_loses_its_filling_only() {
        assert_eq!(text(b"nixos minimal   "), "nixos minimal");
        assert_eq!(text(b"    "), "");
    }
}
