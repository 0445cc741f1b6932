//! Volumes of CD-ROM: the records that an edit changes. Clauses are of ECMA-119, 2nd edition
//! (December 1987); reading the trees is the work of `hadris-iso`.

pub mod directory_record;
pub mod path_table;
pub mod rock_ridge;
pub mod volume_descriptor;

/// How names are written in one of the hierarchies of a volume.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hierarchy {
    /// The Primary Volume Descriptor's: d-characters, with Rock Ridge beside them.
    Primary,
    /// A Supplementary Volume Descriptor's: UCS-2 (Joliet specification §3).
    Joliet,
}

impl Hierarchy {
    /// A plain lower-case ASCII name as the identifier of a directory in this hierarchy (§7.6).
    pub(crate) fn directory_identifier(self, name: &str) -> Vec<u8> {
        match self {
            Self::Primary => name.to_ascii_uppercase().into_bytes(),
            Self::Joliet => name.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    /// A plain lower-case ASCII name as the identifier of a file in this hierarchy, with version 1 or
    /// without (§7.5).
    pub(crate) fn file_identifier(self, name: &str, versioned: bool) -> Vec<u8> {
        let version = if versioned { ";1" } else { "" };
        self.directory_identifier(&format!("{name}{version}"))
    }
}
