//! What bytes mean: slices in, records out, and back. No I/O, no policy.

pub mod apple_map;
pub mod boot_config;
pub mod both_endian;
pub mod compression;
pub mod credential;
#[cfg(feature = "records")]
pub mod csv;
pub mod elf;
pub mod ext4;
pub mod fat;
pub mod fat32;
pub mod fat_chains;
pub mod flash_mark;
pub mod gpt;
pub mod gpt_backup;
pub mod iso9660;
pub mod isohybrid;
#[cfg(feature = "records")]
pub mod json;
pub(crate) mod kernel_decoders;
pub mod newc;
pub mod patch_file;
pub mod pe;
pub mod reset_mark;
pub(crate) mod tar_limit;
pub mod undo;
pub mod unit_file;

use crate::error::Error;
use crate::units::u64_len;

/// A fault in a structure, or what is not supported of a sound one, placed relative to the slice it was read from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Malformed {
    /// The structure, by its specification's name.
    pub what: String,
    /// Where in the slice.
    pub at: u64,
    /// What stands there.
    pub found: String,
    /// What should stand there.
    pub expected: String,
    /// What that says of the file.
    pub(crate) says: Says,
}

/// What a fault says of the file that it is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Says {
    /// It is damaged.
    Damaged,
    /// The format allows it, so the file is sound.
    Sound,
    /// A newer version of this program made it.
    Newer,
    /// Nothing: there was not enough memory to read it.
    NoMemory,
}

impl Malformed {
    /// A fault at byte `at` of the slice.
    pub fn new(
        what: impl Into<String>,
        at: u64,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let (what, found, expected) = (what.into(), found.into(), expected.into());
        Self { what, at, found, expected, says: Says::Damaged }
    }

    /// The same, where the format allows what stands there, and only this program does not take it.
    #[must_use]
    pub(crate) fn but_sound(self) -> Self {
        Self { says: Says::Sound, ..self }
    }

    /// The fault of a file in a form of our own that begins with `magic` and the number of its version, which is another one.
    pub(crate) fn version(what: &str, file: &[u8], family: &[u8], magic: &[u8]) -> Self {
        let number = file.strip_prefix(family).and_then(|rest| rest.first());
        let known = magic.strip_prefix(family).and_then(|rest| rest.first());
        let expected = format!("`{}`", String::from_utf8_lossy(magic).trim_end());
        let fault = |found: &str| Self::new(what, 0, found, expected);
        match number.filter(|number| number.is_ascii_digit()) {
            Some(_) if number > known => Self { says: Says::Newer, ..fault("a later version") },
            _ => fault("other magic bytes"),
        }
    }

    /// A structure of which `bytes` are all there is.
    pub fn short(what: &str, bytes: &[u8], needed: usize) -> Self {
        Self::new(what, u64_len(bytes), format!("{} bytes", bytes.len()), format!("{needed}"))
    }

    /// The fault in an image where the slice starts at byte `start`.
    pub fn in_image(self, start: u64) -> Error {
        let at = start.saturating_add(self.at);
        let place = format!("{} at byte {at:#x}", self.what);
        match self.says {
            Says::Damaged => Error::malformed(self.what, at, self.found, self.expected),
            Says::Sound => Error::unsupported(place, self.expected, self.found),
            Says::Newer => Error::newer(self.what, self.expected, self.found),
            Says::NoMemory => Error::io(format!("get the memory to read {}", self.what))(
                std::io::ErrorKind::OutOfMemory.into(),
            ),
        }
    }
}
