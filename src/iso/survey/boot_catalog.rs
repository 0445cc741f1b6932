//! What firmware would start: the entries of the El Torito boot catalog (El Torito 1.0 §2).

use std::fmt::Display;

use hadris_fs::MountOptions;
use hadris_iso::Namespace;
use hadris_iso::sync::IsoFs;

use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::iso::survey::block_device::Blocks;
use crate::iso::survey::tree::{Tree, refused};
use crate::units::{ByteRange, DISK_BLOCK, Lbn, usize_of};

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
pub struct ElToritoEntry {
    /// What firmware it is for.
    pub platform: Platform,
    /// The bytes of the boot image: of the file that starts there, if there is one.
    pub image: ByteRange,
    /// The path of that file.
    pub path: Option<String>,
    /// Where the entry itself stands: 32 bytes.
    pub entry: ByteRange,
    /// Blocks of 512 bytes that firmware is to load, as the entry says.
    pub sector_count: u16,
    /// Whether the boot image is a FAT filesystem. UEFI firmware looks into every one, whatever it is said to be for (EDK II,
    /// `PartitionDxe/ElTorito.c`).
    pub is_fat: bool,
}

impl ElToritoEntry {
    /// Whether UEFI firmware looks for a loader in the boot image.
    pub fn is_esp(&self) -> bool {
        self.platform == Platform::Uefi || self.is_fat
    }
}

/// Bytes of an entry (El Torito 1.0 §2).
const ENTRY: u64 = 32;

/// The bootable entries of the catalog, in order. Empty without a catalog.
pub fn catalog<I: ReadAt>(image: &I, tree: &Tree) -> Result<Vec<ElToritoEntry>> {
    let fault = |kind, found: &dyn Display| {
        refused("El Torito boot catalog", 0, (kind, found), "a sound one")
    };
    let mounted = IsoFs::mount_namespace(Blocks(image), MountOptions::new(), Namespace::Primary);
    let mut volume = mounted.map_err(|found| fault(found.kind(), &found))?;
    let mut buffer = [0; CATALOG];
    let Some(catalog) =
        volume.boot_catalog(&mut buffer).map_err(|found| fault(found.kind(), &found))?
    else {
        return Ok(Vec::new());
    };
    let bootable = catalog.entries().filter(hadris_iso::CatalogEntry::is_bootable);
    let placed = places(&catalog).into_iter().zip(bootable);
    placed.map(|(at, entry)| boot_entry(at, &entry, tree, image)).collect()
}

/// Where the bootable entries of a catalog stand: the default entry, then those of the sections, each
/// behind its header (El Torito 1.0 §2.2 to §2.5).
fn places(catalog: &hadris_iso::BootCatalog<'_>) -> Vec<ByteRange> {
    let start = Lbn(catalog.block()).bytes();
    let entries = (0_u64..).zip(catalog.as_bytes().chunks_exact(usize_of(ENTRY))).skip(1);
    // Headers start with 0x90 or 0x91, extensions with 0x44, what does not boot with 0.
    let bootable = entries.filter(|(_, entry)| entry.first() == Some(&0x88));
    let place = |number: u64| ByteRange::new(start.checked_add(number.checked_mul(ENTRY)?)?, ENTRY);
    bootable.filter_map(|(number, _)| place(number)).collect()
}

fn boot_entry<I: ReadAt>(
    at: ByteRange,
    entry: &hadris_iso::CatalogEntry,
    tree: &Tree,
    volume: &I,
) -> Result<ElToritoEntry> {
    let start = Lbn(entry.load_block()).bytes();
    let file = tree.file_at(start);
    // The catalog counts at most 65535 blocks; the file knows better.
    let counted = u64::from(entry.sector_count()).saturating_mul(DISK_BLOCK);
    let length = file.map_or(counted, |(_, node)| node.size());
    let image = ByteRange::new(start, length).filter(|range| range.end() <= volume.size());
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
    let path = file.map(|(path, _)| path.to_owned());
    let is_fat = is_fat(volume, image)?;
    let sector_count = entry.sector_count();
    Ok(ElToritoEntry { platform, image, path, entry: at, sector_count, is_fat })
}

/// Whether a boot image begins as a FAT filesystem does (Microsoft FAT Specification 1.03, §3.1: `BS_jmpBoot`, `BPB_BytsPerSec`,
/// `BPB_SecPerClus`, `BPB_NumFATs`).
fn is_fat<I: ReadAt>(volume: &I, image: ByteRange) -> Result<bool> {
    let Some(at) = ByteRange::new(image.start(), image.size().min(DISK_BLOCK)) else {
        return Ok(false);
    };
    let sector = volume.read_range("El Torito boot image", at, DISK_BLOCK)?;
    let [0xeb | 0xe9, _, _, _, _, _, _, _, _, _, _, low, high, cluster, _, _, fats, ..] =
        sector.as_slice()
    else {
        return Ok(false);
    };
    let bytes = u16::from_le_bytes([*low, *high]);
    let is_signed = sector.ends_with(&[0x55, 0xaa]);
    let is_sound = bytes.is_power_of_two() && bytes >= 128 && cluster.is_power_of_two();
    Ok(is_signed && is_sound && matches!(fats, 1 | 2))
}

/// Bytes of a boot image for BIOS in which its name is looked for; isolinux has under 50 KB.
const BIOS_HEAD: u64 = 1 << 20;

/// Refuses a boot image for BIOS that is not isolinux, which has its own name in its messages: the menu is then read by nobody.
pub(crate) fn check_bios<I: ReadAt>(volume: &I, boot: &[ElToritoEntry]) -> Result<()> {
    for entry in boot.iter().filter(|entry| entry.platform == Platform::Bios) {
        let size = entry.image.size().min(BIOS_HEAD);
        let at = ByteRange::new(entry.image.start(), size).unwrap_or(entry.image);
        let loader = volume.read_range("El Torito boot image", at, BIOS_HEAD)?;
        let is_named = loader.windows(8).any(|part| part.eq_ignore_ascii_case(b"isolinux"));
        if entry.is_fat || !is_named {
            let path = entry.path.as_deref().unwrap_or("a boot image outside of all files");
            let found = if entry.is_fat { "a FAT filesystem" } else { "another loader" };
            return Err(Error::unsupported(
                "what a BIOS starts",
                "isolinux, which reads the menu that is edited",
                format!("{found}: {path}"),
            ));
        }
    }
    Ok(())
}
