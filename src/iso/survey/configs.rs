//! Boot configs that start NixOS, on the volume and in the UEFI boot image.

use crate::boot::config::{Config, Place};
use crate::error::Result;
use crate::image::ReadAt;
use crate::image::window::Scratch;
use crate::iso::survey::boot_catalog::{BootEntry, Platform};
use crate::iso::survey::esp::Esp;
use crate::iso::survey::tree::Tree;
use crate::units::ByteRange;

/// Bytes of a boot config; official ones have under 40 KB.
const LARGEST: u64 = 1 << 20;

/// All boot configs of an image.
pub fn all<I: ReadAt>(image: &I, tree: &Tree, boot: &[BootEntry]) -> Result<Vec<Config>> {
    let mut found = on_volume(image, tree)?;
    for entry in boot.iter().filter(|entry| entry.platform == Platform::Uefi) {
        found.extend(on_esp(image, entry.image)?);
    }
    Ok(found)
}

/// Paths and bytes of all other files that may be configs of a boot loader.
pub fn others<I: ReadAt>(
    image: &I,
    tree: &Tree,
    boot: &[BootEntry],
    configs: &[Config],
) -> Result<Vec<(String, Vec<u8>)>> {
    let known = |path: &str, place: &Place| {
        configs.iter().any(|config| config.path == path && config.place == *place)
    };
    let mut found = Vec::new();
    for (path, node) in tree.files().filter(|(path, node)| is_config(path, node.size())) {
        let Some(extent) = node.extents.first().filter(|_| !known(path, &Place::Volume)) else {
            continue;
        };
        found.push((path.to_owned(), image.read_range(path, *extent, LARGEST)?));
    }
    for entry in boot.iter().filter(|entry| entry.platform == Platform::Uefi) {
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
        found.extend(Config::parse(Place::Volume, path, bytes)?);
    }
    Ok(found)
}

fn on_esp<I: ReadAt>(image: &I, at: ByteRange) -> Result<Vec<Config>> {
    let mut scratch = Scratch::new(image, at);
    let esp = Esp::open(&mut scratch)?;
    let mut found = Vec::new();
    for file in esp.files()?.iter().filter(|file| is_config(&file.path, file.size)) {
        let bytes = esp.read(&file.path, LARGEST)?;
        found.extend(Config::parse(Place::Esp(at), &file.path, bytes)?);
    }
    Ok(found)
}
