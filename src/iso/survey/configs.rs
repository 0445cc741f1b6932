//! Boot configs that start NixOS, on the volume and in the UEFI boot image.

use crate::error::{Error, Result};
use crate::formats::boot_config::{Entry, Syntax};
use crate::image::ReadAt;
use crate::image::window::Scratch;
use crate::iso::survey::Survey;
use crate::iso::survey::boot_catalog::{BootEntry, Platform};
use crate::iso::survey::esp::Esp;
use crate::iso::survey::tree::Tree;
use crate::units::ByteRange;

/// Bytes of a boot config; official ones have under 40 KB.
const LARGEST: u64 = 1 << 20;

/// Where a boot config is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// In a file of the volume.
    Volume,
    /// In a file of the FAT filesystem at these bytes.
    Esp(ByteRange),
}

/// A boot config with at least one entry that starts NixOS.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is.
    pub place: Place,
    /// The path there.
    pub path: String,
    /// Its language.
    pub syntax: Syntax,
    /// Its text.
    pub text: String,
    /// The entries that start NixOS.
    pub entries: Vec<Entry>,
}

/// All boot configs of an image.
pub fn all<I: ReadAt>(image: &I, tree: &Tree, boot: &[BootEntry]) -> Result<Vec<Config>> {
    let mut found = on_volume(image, tree)?;
    for entry in boot.iter().filter(|entry| entry.platform == Platform::Uefi) {
        found.extend(on_esp(image, entry.image)?);
    }
    Ok(found)
}

/// Paths and bytes of all other files that may be configs of a boot loader.
pub fn others<I: ReadAt>(image: &I, survey: &Survey) -> Result<Vec<(String, Vec<u8>)>> {
    let known = |path: &str, place: &Place| {
        survey.configs.iter().any(|config| config.path == path && config.place == *place)
    };
    let mut found = Vec::new();
    for (path, node) in survey.tree().files().filter(|(path, node)| is_config(path, node.size())) {
        let Some(extent) = node.extents.first().filter(|_| !known(path, &Place::Volume)) else {
            continue;
        };
        found.push((path.to_owned(), image.read_range(path, *extent, LARGEST)?));
    }
    for entry in survey.boot.iter().filter(|entry| entry.platform == Platform::Uefi) {
        let mut scratch = Scratch::new(image, entry.image);
        let esp = Esp::open(&mut scratch)?;
        for file in esp.files()?.iter().filter(|file| is_config(&file.path, file.size)) {
            if !known(&file.path, &Place::Esp(entry.image)) {
                found.push((file.path.clone(), esp.read(&file.path, LARGEST)?));
            }
        }
    }
    Ok(found)
}

fn is_config(path: &str, size: u64) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("cfg" | "conf")) && size <= LARGEST
}

fn on_volume<I: ReadAt>(image: &I, tree: &Tree) -> Result<Vec<Config>> {
    let mut found = Vec::new();
    for (path, node) in tree.files().filter(|(path, node)| is_config(path, node.size())) {
        let [extent] = node.extents.as_slice() else { continue };
        let bytes = image.read_range(path, *extent, LARGEST)?;
        found.extend(config(Place::Volume, path, bytes, extent.start())?);
    }
    Ok(found)
}

fn on_esp<I: ReadAt>(image: &I, at: ByteRange) -> Result<Vec<Config>> {
    let mut scratch = Scratch::new(image, at);
    let esp = Esp::open(&mut scratch)?;
    let mut found = Vec::new();
    for file in esp.files()?.iter().filter(|file| is_config(&file.path, file.size)) {
        let bytes = esp.read(&file.path, LARGEST)?;
        found.extend(config(Place::Esp(at), &file.path, bytes, at.start())?);
    }
    Ok(found)
}

/// Reads a config; none if it starts no NixOS.
pub(crate) fn config(place: Place, path: &str, bytes: Vec<u8>, at: u64) -> Result<Option<Config>> {
    let starts_nixos = bytes.windows(5).any(|window| window == b"init=");
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) if starts_nixos => {
            return Err(Error::malformed(path, at, "bytes that are no UTF-8", "a boot menu"));
        }
        Err(_) => return Ok(None),
    };
    if !starts_nixos {
        return Ok(None);
    }
    let Some(syntax) = Syntax::of(&text) else { return unknown(path, &text) };
    let entries = syntax.entries(&text);
    if entries.is_empty() {
        return unknown(path, &text);
    }
    no_entry_without_initrd(path, &entries)?;
    Ok(Some(Config { place, path: path.to_owned(), syntax, text, entries }))
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
