//! What firmware would start: the entries of the El Torito boot catalog (El Torito 1.0 §2).

use hadris_fs::MountOptions;
use hadris_iso::Namespace;
use hadris_iso::sync::IsoFs;

use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::survey::block_device::Blocks;
use crate::survey::tree::Tree;
use crate::units::{ByteRange, DISK_BLOCK, Lbn};

/// Bytes of a boot catalog that are looked at: 63 entries.
const CATALOG: usize = 2048;

/// The firmware that an entry is for (El Torito 1.0 §2.1; 0xEF by UEFI 2.10 §13.3.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Platform {
    /// PC BIOS.
    Bios,
    /// UEFI.
    Uefi,
    /// Any other number.
    Other(u8),
}

/// A bootable entry.
#[derive(Clone, Debug)]
pub struct BootEntry {
    /// What firmware it is for.
    pub platform: Platform,
    /// The bytes of the boot image: of the file that starts there, if there is one.
    pub image: ByteRange,
    /// The path of that file.
    pub path: Option<String>,
}

/// The bootable entries of the catalog, in order. Empty without a catalog.
pub fn catalog<I: ReadAt>(image: &I, tree: &Tree) -> Result<Vec<BootEntry>> {
    let fault = |fault: String| Error::malformed("El Torito boot catalog", 0, fault, "a sound one");
    let mounted = IsoFs::mount_namespace(Blocks(image), MountOptions::new(), Namespace::Primary);
    let mut volume = mounted.map_err(|found| fault(found.to_string()))?;
    let mut buffer = [0; CATALOG];
    let Some(catalog) =
        volume.boot_catalog(&mut buffer).map_err(|found| fault(found.to_string()))?
    else {
        return Ok(Vec::new());
    };
    let bootable = catalog.entries().filter(hadris_iso::CatalogEntry::is_bootable);
    bootable.map(|entry| boot_entry(&entry, tree, image.size())).collect()
}

fn boot_entry(entry: &hadris_iso::CatalogEntry, tree: &Tree, size: u64) -> Result<BootEntry> {
    let start = Lbn(entry.load_block()).bytes();
    let file = tree.file_at(start);
    // The catalog counts at most 65535 blocks; the file knows better.
    let counted = u64::from(entry.sector_count()).saturating_mul(DISK_BLOCK);
    let length = file.map_or(counted, |(_, node)| node.size());
    let image = ByteRange::new(start, length).filter(|range| range.end() <= size);
    let image = image.ok_or_else(|| {
        Error::malformed(
            "El Torito boot image",
            start,
            format!("{length} bytes"),
            "an image within the volume",
        )
    })?;
    let platform = match entry.platform() {
        hadris_iso::Platform::X86 => Platform::Bios,
        hadris_iso::Platform::Efi => Platform::Uefi,
        other => Platform::Other(other.id()),
    };
    Ok(BootEntry { platform, image, path: file.map(|(path, _)| path.to_owned()) })
}
