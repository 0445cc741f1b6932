//! Menus that would start NixOS without the edits: refused by name, never stamped.

use std::fs;
use std::ops::Range;
use std::sync::LazyLock;

use remaster::Error;
use remaster::iso::survey::Survey;

use crate::support::{AARCH64, Folder, SYSTEMD, TINY, key, survey};

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

pub(crate) const BIOS: &str = "/isolinux/isolinux.cfg";
const UEFI: &str = "/boot/efi.img";
pub(crate) const GRUB: &str = "/EFI/BOOT/grub.cfg";

/// A base, files of it, a word there and another one, and how the error begins: empty if the base is taken.
type Row =
    (&'static LazyLock<Vec<u8>>, &'static [&'static str], &'static str, &'static str, &'static str);

const ROWS: [Row; 12] = [
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
        "GRUB    CFG",
        "GRUB    CFX",
        "the UEFI boot image: looked for a grub.cfg with NixOS entries",
    ),
    (
        &AARCH64,
        &[UEFI],
        "GRUB    CFG",
        "GRUB    CFX",
        "the UEFI boot image: looked for a grub.cfg with NixOS entries",
    ),
    (
        &AARCH64,
        &[UEFI],
        "init=",
        "jnit=",
        "/EFI/BOOT/grub.cfg: looked for arguments that are known, found `${isoboot}` and no `init=`",
    ),
    (
        &TINY,
        &[BIOS],
        "LABEL",
        "LAPEL",
        "the boot config /isolinux/isolinux.cfg: looked for labels whose kernel isolinux starts by itself, found `LINUX`",
    ),
    (&TINY, &[UEFI], "menuentry", "menuemtry", "found the command `menuemtry`"),
    (&TINY, &[GRUB], "  linux ", "  linus ", "/EFI/BOOT/grub.cfg: looked for entries"),
    (
        &TINY,
        &[GRUB],
        "  initrd ",
        "  inittd ",
        "/EFI/BOOT/grub.cfg: looked for commands of which it is known what they start, found the command `inittd`",
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

#[test]
fn a_menu_that_would_start_nixos_without_the_key_is_refused() {
    for (base, files, old, new, words) in ROWS {
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
    for word in ["init=", "jnit="] {
        let mut image =
            if word == "init=" { TINY.clone() } else { with(&TINY, &[GRUB], "init=", word) };
        let at = file(&TINY, GRUB).start;
        image[at] = 0xff;
        let told = Survey::read(&image.as_slice()).unwrap_err().to_string();
        assert!(told.contains("/EFI/BOOT/grub.cfg: looked for a boot menu in UTF-8"), "{told}");
    }
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

/// The image with another text in place of a menu, in every place that has it. Blanks fill up a shorter text.
pub(crate) fn rewritten(base: &[u8], path: &str, change: impl Fn(&str) -> String) -> Vec<u8> {
    let old = &base[file(base, path)];
    let mut new = change(str::from_utf8(old).unwrap()).into_bytes();
    assert!(new.len() <= old.len() && new != old, "{path}: {} in {}", new.len(), old.len());
    new.resize(old.len(), b'\n');
    let mut image = base.to_vec();
    let places = base.windows(old.len()).enumerate().filter(|(_, part)| *part == old);
    places.for_each(|(at, _)| image[at..at + old.len()].copy_from_slice(&new));
    image
}

/// Lines of the tiny menus that start nothing, which gives room.
const ROOM: [&str; 3] = [
    "  # Fallback to UEFI console for boot, efifb sometimes has difficulties.\n",
    "MENU LABEL Memtest86+\n",
    "MENU BACKGROUND /isolinux/background.png\n",
];

/// Words of the first entry of a menu and what stands in their place, and what is said of it: nothing if that is read.
type Variant = (&'static str, &'static str, &'static str);

const GRUB_VARIANTS: [Variant; 61] = [
    ("  linux ", "  ! linux ", ""),
    ("initrd /", "initrd ($root)/", ""),
    (
        "linux /",
        "linux (loop)/",
        "looked for a kernel and initrds of the volume, found (loop)/boot",
    ),
    ("menuentry", "if true; then menuentry", ""),
    ("menuentry", "function f { true; }\nf\nset timeout=3\nmenuentry", ""),
    ("  linux ", "  if true; then linux ", "found a `linux` line within `if`, `while` or `for`"),
    ("  linux ", "  while true; do linux ", "found a `linux` line within `if`, `while` or `for`"),
    (
        "  initrd ",
        "  if true; then initrd ",
        "found an `initrd` line within `if`, `while` or `for`",
    ),
    ("  initrd ", "  initrd /x\n  initrd ", "found a second `initrd` line"),
    ("  initrd ", "  if true; then initrd /boot/x; fi\n  initrd ", "found an `initrd` line within"),
    ("  linux ", "  linux /boot/bzImage init=/x\n  linux ", "found a second `linux` line"),
    (
        "  linux ",
        "  initrd /x\n  linux ",
        "found an `initrd` line without a `linux` line before it",
    ),
    ("  linux ", "  L=linux; $L ", "found `init=/nix/store/…` outside of such an entry"),
    ("init=/nix", "$x", "found `${isoboot}` and no `init=`"),
    ("  linux ", "  if $x; then true; fi\n  linux ", "found `$x`, which a variable names"),
    ("  linux ", "  start_it\n  linux ", "found the command `start_it`"),
    ("  linux ", "  source /EFI/first.inc\n  linux ", "found `source /EFI/first.inc`"),
    ("  linux ", "  . ($root)/first.cfg\n  linux ", "found `. ($root)/first.cfg`"),
    ("menuentry", "configfile $prefix/x.cfg\nmenuentry", "found `configfile $prefix/x.cfg`"),
    ("menuentry", "configfile /EFI/BOOT/grub.cfg\nmenuentry", ""),
    (
        "menuentry",
        "search --set=root --label OTHER\nmenuentry",
        "found `search --set=root --label OTHER`",
    ),
    (
        "  linux ",
        "  search --set --fs-uuid 1234-5678\n  linux ",
        "found `search --set --fs-uuid 1234-5678`",
    ),
    (
        "  linux ",
        "  search --set=root --file /no/file\n  linux ",
        "found `search --set=root --file /no/file`",
    ),
    ("  linux ", "  set root=(hd1)\n  linux ", "found `set root=(hd1)`"),
    ("menuentry", "search --set=root --file /version.txt\nmenuentry", ""),
    ("menuentry", "search --set=drive --label OTHER\nmenuentry", ""),
    ("  linux ", "  chainloader $x\n  linux ", "found `chainloader $x`"),
    ("  linux ", "  chainloader ", "found `init=/nix/store/…` outside of such an entry"),
    ("set timeout", "set a=init=/nix/store\nset timeout", "found `init=/nix/store/…` outside"),
    ("init=", "a=init=", "found `a=init=/nix/store/"),
    ("  linux ", "  true \"\n\"\n  linux ", "found a word that goes on in the next line"),
    ("  linux ", "  fi true \\\n  linux ", "found a word that goes on in the next line"),
    ("  linux ", "  true & x\n  linux ", "found `|`, `&`, `<` or `>` outside of quotes"),
    ("  linux ", "  true \0\n  linux ", "found the byte 0x00"),
    ("  linux ", "  lin\rux ", "found the byte 0x0d"),
    ("menuentry", "echo init=/nix/store/x\nmenuentry", ""),
    ("menuentry", "function eval { true; }\neval x\nmenuentry", "found the command `eval`"),
    (
        "menuentry",
        "configfile (loop)/EFI/BOOT/grub.cfg\nmenuentry",
        "found `configfile (loop)/EFI/BOOT/grub.cfg`",
    ),
    ("  linux ", "  chainloader /x in${i}=y\n  linux ", "found `chainloader … in${i}=y`"),
    ("menuentry '", "menuentry --class x --id y '", ""),
    ("'  --class", "' $x --class", "found `menuentry $x`"),
    ("init=", "rdinit=/x init=", "found `rdinit=/x`"),
    ("init=", "\"a rdinit=/x\" init=", "found `a rdinit=/x`"),
    ("init=", "noinitrd init=", "found `noinitrd`"),
    ("init=", "rd.systemd.unit=x init=", "found `rd.systemd.unit=x`"),
    ("init=", "rd.systemd.mask=remaster.service init=", "found `rd.systemd.mask=remaster.service`"),
    ("set timeout", "set a=rdinit=/x\nset timeout", "found `a=rdinit=/x`"),
    ("set timeout", "set a=rdin\nset timeout", ""),
    ("init=", "${a}it=/x init=", "found `${a}it=/x`, a variable"),
    ("init=", "'a=$b' init=", ""),
    ("set timeout", "load_env --file /x\nset timeout", "found `load_env --file /x`"),
    ("set timeout", "set isoboot=x\nset timeout", "found `set isoboot=x`"),
    ("init=", "\"rd.systemd.mask='remaster.service'\" init=", "found `rd.systemd.mask='remaster"),
    ("init=", "SYSTEMD_UNIT_PATH=/x init=", "found `SYSTEMD_UNIT_PATH=/x`"),
    ("set timeout", "set check_signatures=enforce\nset timeout", "found `set check_signatures="),
    ("  initrd ", "  chainloader /x\n  initrd ", "found `chainloader /x` beside a `linux` line"),
    ("  initrd ", "  boot\n  initrd ", "found an `initrd` line behind `boot`"),
    ("  initrd ", "  return\n  initrd ", "found an `initrd` line behind `return`"),
    (
        "  initrd ",
        "  f\n  initrd /x\n}\nfunction f {\n linux /m\n}\nmenuentry y {\n linux /k init=/x\n initrd ",
        "found the function `f`, which loads or ends something",
    ),
    ("menuentry 'NixOS 25.11 ", "menuentry 'NixOS $5 ", ""),
    ("menuentry 'NixOS 25.11 ", "menuentry 'NixOS '$5' ", "found `menuentry NixOS $5 "),
];

const ISOLINUX_VARIANTS: [Variant; 33] = [
    ("LINUX ", "KERNEL ", ""),
    ("LABEL boot\n", "INCLUDE first.inc\nLABEL boot\n", "found `INCLUDE first.inc`"),
    ("LABEL boot\n", "MENU INCLUDE /x.cfg\nLABEL boot\n", "found `MENU INCLUDE /x.cfg`"),
    ("LABEL boot\n", "INCLUDE isolinux.cfg\nLABEL boot\n", ""),
    ("LINUX ", "COM32 linux.c32\nAPPEND ", "found the module linux.c32"),
    ("LINUX ", "COM32 linux.c32 ", "found the module linux.c32"),
    ("LINUX ", "KERNEL /isolinux/mboot.c32 ", "found the module /isolinux/mboot.c32"),
    ("LINUX ", "CONFIG other.cfg\nLINUX ", "found `CONFIG other.cfg`"),
    ("UI vesamenu.c32", "UI vesamenu.c32 other.cfg", "found `vesamenu.c32 other.cfg`"),
    (
        "DEFAULT boot",
        "DEFAULT /boot/x init=/x",
        "found `init=/nix/store/…` outside of such an entry",
    ),
    ("APPEND ", "APPEND initrd=/boot/x ", "looked for initrds in one place"),
    ("LABEL boot\n", "APPEND init=/x\nLABEL boot\n", "found `init=/nix/store/…` outside"),
    ("APPEND ", "APPEND a=", "found `a=init=/nix/store/"),
    ("APPEND ", "APPEND x.initrd=/x ", "looked for initrds in one place"),
    ("APPEND ", "MENU SEPARATOR\nAPPEND ", "found `init=/nix/store/…` outside"),
    ("LABEL boot\n", "LABEL\u{1}boot\n", "found the byte 0x01"),
    ("LINUX ", "LINUX \r", "found the byte 0x0d"),
    ("LABEL boot\n", "INITRD /x\nLABEL boot\n", "found `INITRD` outside of one"),
    ("INITRD ", "INIT\"RD\" /x\nINITRD ", ""),
    ("LABEL boot\n", "#APPEND init=/x\nLABEL boot\n", ""),
    ("APPEND ", "APPEND rdinit=/x ", "found `rdinit=/x`"),
    ("APPEND ", "APPEND noinitrd ", "found `noinitrd`"),
    ("/bzImage\n", "/bzImage rdinit=/x\n", "found `rdinit=/x` behind the path of the kernel"),
    ("/initrd\n", "/initrd rdinit=/x\n", "found `rdinit=/x` behind the path of the initrd"),
    ("DEFAULT boot", "DEFAULT boot\nONTIMEOUT boot rdinit=/x", "found `ONTIMEOUT boot rdinit=/x`"),
    ("DEFAULT boot", "DEFAULT boot\nONERROR boot rdinit=/x", "found `ONERROR boot rdinit=/x`"),
    ("DEFAULT boot", "DEFAULT boot\nMENU HIDDENKEY F1 boot x", "found `MENU HIDDENKEY … boot x`"),
    ("DEFAULT boot", "DEFAULT boot rdinit=/x", "found `DEFAULT boot rdinit=/x`"),
    ("DEFAULT boot", "DEFAULT .config /x.txt", "found `DEFAULT .config /x.txt`"),
    ("UI vesamenu.c32", "UI .config /x.txt", "found `UI .config /x.txt`"),
    ("LINUX ", "LINUX .config ", "found `LINUX .config`"),
    ("APPEND ", "APPEND rd.systemd.mask='remaster.service' ", "found `rd.systemd.mask='remaster"),
    ("APPEND ", "APPEND SYSTEMD_UNIT_PATH=/x ", "found `SYSTEMD_UNIT_PATH=/x`"),
];

#[test]
fn a_menu_that_may_start_nixos_otherwise_is_read_or_refused_by_every_command() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    let commands = [
        "base.iso --key key.pub --karg quiet-marker -o out",
        "edit --in-place base.iso --karg quiet-marker",
        "netboot base.iso --key key.pub -o out",
        "inspect base.iso",
    ];
    let rows = GRUB_VARIANTS.iter().map(|row| (GRUB, row));
    for (path, (old, new, words)) in rows.chain(ISOLINUX_VARIANTS.iter().map(|row| (BIOS, row))) {
        let base = rewritten(&TINY, path, |text| {
            let text = text.replacen(old, new, 1);
            ROOM.iter().fold(text, |text, line| text.replace(line, ""))
        });
        for command in commands {
            folder.write("base.iso", &base);
            let ended = folder.run(&command.split(' ').collect::<Vec<_>>());
            let what = format!("{old:?} -> {new:?}: {command}: {}", ended.err);
            let out = folder.at("out");
            let is_there = out.exists();
            if out.is_dir() { fs::remove_dir_all(out) } else { fs::remove_file(out) }.ok();
            if words.is_empty() {
                assert_eq!(ended.status, 0, "{what}");
                continue;
            }
            assert_eq!(ended.status, 4, "{what}");
            assert!(ended.err.contains(path) && ended.err.contains(words), "{what}");
            assert!(!is_there && folder.read("base.iso") == base, "{what}");
        }
    }
}
