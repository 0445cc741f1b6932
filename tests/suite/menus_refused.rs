//! Menus that would start NixOS without the edits: refused by name, never stamped.

use std::ops::Range;

use remaster::Error;
use remaster::iso::survey::Survey;

use crate::support::{AARCH64, SYSTEMD, TINY, survey};

/// The bytes of a file of the volume.
fn file(image: &[u8], path: &str) -> Range<usize> {
    let at = survey(image).tree().file(path).unwrap().extents[0];
    at.start().try_into().unwrap()..at.end().try_into().unwrap()
}

/// The image with other words in files of it.
fn with(base: &[u8], files: &[&str], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut image = base.to_vec();
    for path in files {
        let part = &mut image[file(base, path)];
        let places = part.windows(old.len()).enumerate();
        let places = places.filter(|(_, word)| *word == old.as_bytes()).map(|(at, _)| at);
        let places: Vec<usize> = places.collect();
        assert!(!places.is_empty(), "{path} has no {old}");
        for at in places {
            part[at..at + new.len()].copy_from_slice(new.as_bytes());
        }
    }
    image
}

const BIOS: &str = "/isolinux/isolinux.cfg";
const UEFI: &str = "/boot/efi.img";
const GRUB: &str = "/EFI/BOOT/grub.cfg";

/// A base, files of it, a word there and another one, and how the error begins: empty if the base is taken.
type Row = (&'static [u8], &'static [&'static str], &'static str, &'static str, &'static str);

#[test]
fn a_menu_that_would_start_nixos_without_the_key_is_refused() {
    let rows: &[Row] = &[
        (
            &TINY,
            &[BIOS],
            "init=",
            "jnit=",
            "the volume, which BIOS can boot: looked for an isolinux.cfg with NixOS entries",
        ),
        (&SYSTEMD, &[BIOS], "init=", "jnit=", "the volume, which BIOS can boot"),
        (
            &TINY,
            &[UEFI],
            "init=",
            "jnit=",
            "the UEFI boot image: looked for a grub.cfg with NixOS entries",
        ),
        (
            &AARCH64,
            &[UEFI],
            "init=",
            "jnit=",
            "the UEFI boot image: looked for a grub.cfg with NixOS entries",
        ),
        (
            &TINY,
            &[BIOS],
            "LABEL",
            "LAPEL",
            "the boot config /isolinux/isolinux.cfg: looked for entries",
        ),
        (&TINY, &[UEFI], "menuentry", "menuemtry", ""),
        (&TINY, &[GRUB], "  linux ", "  linus ", "/EFI/BOOT/grub.cfg: looked for entries"),
        (
            &TINY,
            &[GRUB],
            "  initrd ",
            "  inittd ",
            "/EFI/BOOT/grub.cfg: looked for an initrd, found none",
        ),
        (
            &TINY,
            &[BIOS],
            "INITRD ",
            "INITTD ",
            "/isolinux/isolinux.cfg: looked for an initrd, found none",
        ),
        (&TINY, &[GRUB], "timeout", "tim\u{e9}ou", ""),
        (&TINY, &[BIOS], "Installer", "Install\u{e9}", ""),
    ];
    for (base, files, old, new, words) in rows {
        let image = with(base, files, old, new);
        match Survey::read(&image.as_slice()) {
            Ok(_) => assert!(words.is_empty(), "{old} -> {new} in {files:?} is taken"),
            Err(fault) => {
                assert!(matches!(fault, Error::Unsupported { .. }), "{fault}");
                let told = fault.to_string();
                assert!(!words.is_empty() && told.contains(words), "{old} -> {new}: {told}");
            }
        }
    }
}

#[test]
fn a_menu_that_is_not_text_is_refused() {
    let mut image = TINY.clone();
    let at = file(&image, GRUB).start;
    image[at] = 0xff;
    let told = Survey::read(&image.as_slice()).unwrap_err().to_string();
    assert!(told.contains("/EFI/BOOT/grub.cfg: looked for a boot menu in UTF-8"), "{told}");
}

#[test]
fn a_root_that_is_not_the_one_of_the_volume_descriptor_is_refused() {
    // The root's record stands at byte 156 of a volume descriptor, its bytes at byte 10 of that (§8.4.18, §9.1).
    for (descriptor, kind) in [(16 * 2048, 1), (18 * 2048, 2)] {
        let mut image = TINY.clone();
        assert_eq!(image[descriptor], kind);
        let at = descriptor + 166;
        image[at..at + 4].copy_from_slice(&4096_u32.to_le_bytes());
        image[at + 4..at + 8].copy_from_slice(&4096_u32.to_be_bytes());
        let told = Survey::read(&image.as_slice()).map(drop).unwrap_err().to_string();
        assert!(
            told.starts_with("Volume Descriptor at byte")
                && told.contains("as its own record says"),
            "{told}"
        );
    }
}
