//! A boot config that starts NixOS: where it is, and its entries.

use crate::error::{Error, Result};
use crate::formats::boot_config::{Entry, Syntax};
use crate::units::ByteRange;

/// Where a boot config is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConfigLocation {
    /// In a file of the volume.
    Volume,
    /// In a file of the FAT filesystem at these bytes.
    Esp(ByteRange),
}

/// A boot config with at least one entry that starts NixOS.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is.
    pub place: ConfigLocation,
    /// The path there.
    pub path: String,
    /// Its language.
    pub syntax: Syntax,
    /// Its text.
    pub text: String,
    /// The entries that start NixOS.
    pub entries: Vec<Entry>,
}

impl Config {
    /// Reads a config; none if it starts no NixOS.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it is not text, or starts NixOS in a way that is not known.
    pub fn parse(place: ConfigLocation, path: &str, bytes: Vec<u8>) -> Result<Option<Self>> {
        let starts_nixos = bytes.windows(5).any(|window| window == b"init=");
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) if starts_nixos => {
                return Err(Error::unsupported(path, "a boot menu in UTF-8", "other bytes"));
            }
            Err(_) => return Ok(None),
        };
        if !starts_nixos {
            return Ok(None);
        }
        let Some(syntax) = Syntax::recognize(&text) else { return unknown(path, &text) };
        let entries = syntax.entries(&text);
        if entries.is_empty() {
            return unknown(path, &text);
        }
        no_entry_without_initrd(path, &entries)?;
        Ok(Some(Self { place, path: path.to_owned(), syntax, text, entries }))
    }
}

/// A text that sets `init=` to a store path in a way that is not read would boot without the edits.
fn unknown(path: &str, text: &str) -> Result<Option<Config>> {
    if !text.contains("init=/nix/store/") {
        return Ok(None);
    }
    Err(Error::unsupported(
        format!("the boot config {path}"),
        "entries with a `linux` and an `initrd` line, or isolinux labels",
        "`init=/nix/store/…` outside of such an entry",
    ))
}

fn no_entry_without_initrd(path: &str, entries: &[Entry]) -> Result<()> {
    match entries.iter().find(|entry| entry.initrds.is_empty()) {
        None => Ok(()),
        Some(entry) => Err(Error::unsupported(
            format!("the entry {:?} of {path}", entry.title.join(" > ")),
            "an initrd",
            "none",
        )),
    }
}
