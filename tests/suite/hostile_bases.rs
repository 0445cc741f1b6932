//! Bases of which a boot loader and a careless reader would see different files, or whose initrd is damaged behind what
//! tells its kind: refused by name by every command, and nothing is written.

use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use remaster::formats::iso9660::directory_record::{Record, pack, unpack};
use remaster::formats::newc::{self, Member};
use remaster::units::ByteRange;

use crate::support::{AARCH64, Folder, SYSTEMD, TINY, key, survey};
use remaster::iso::survey::Survey;

fn range(at: ByteRange) -> Range<usize> {
    at.start().try_into().unwrap()..at.end().try_into().unwrap()
}

/// The image with other records in a directory, in both hierarchies.
fn records(base: &[u8], path: &str, change: fn(&mut Vec<Record>)) -> Vec<u8> {
    let mut image = base.to_vec();
    for tree in &survey(base).trees {
        let at = range(tree.get(path).unwrap().extents[0]);
        let mut all = unpack(&base[at.clone()]).unwrap();
        change(&mut all);
        let extent = pack(&all);
        assert_eq!(extent.len(), at.len(), "{path} has no room");
        image[at].copy_from_slice(&extent);
    }
    image
}

/// The record of the menu.
fn menu(records: &[Record]) -> usize {
    let is_menu = |record: &Record| {
        let name = record.identifier().unwrap().to_ascii_lowercase();
        let name: Vec<u8> = name.into_iter().filter(|byte| *byte != 0).collect();
        name.starts_with(b"grub.cfg")
    };
    records.iter().position(is_menu).unwrap()
}

/// Other bytes in the place of some of the same length in a file, once.
fn swapped(base: &[u8], path: &str, old: &[u8], new: &[u8]) -> Vec<u8> {
    let file = range(survey(base).tree().file(path).unwrap().extents[0]);
    let at = base[file.clone()].windows(old.len()).position(|part| part == old).unwrap();
    let mut image = base.to_vec();
    image[file.start + at..][..new.len()].copy_from_slice(new);
    image
}

fn file(base: &[u8], path: &str) -> Vec<u8> {
    base[range(survey(base).tree().file(path).unwrap().extents[0])].to_vec()
}

/// The image with other bytes from a place in a file on.
fn replaced(base: &[u8], path: &str, at: usize, new: &[u8]) -> Vec<u8> {
    let start = range(survey(base).tree().file(path).unwrap().extents[0]).start + at;
    let mut image = base.to_vec();
    image[start..start + new.len()].copy_from_slice(new);
    image
}

/// The headers of a program for UEFI that is a kernel with an initrd (UAPI.5): one section, `.linux`.
pub(crate) fn unified_kernel() -> Vec<u8> {
    let parts: [(&[u8], usize); 7] = [
        (b"MZ", 0x3c),
        (&[64], 4),
        (b"PE\0\0\x64\x86\x01", 20),
        (&[240], 4),
        (b"\x0b\x02", 108),
        (&[16], 132),
        (b".linux", 40),
    ];
    let part = |(bytes, size): (&[u8], usize)| [bytes, &vec![0; size - bytes.len()]].concat();
    parts.into_iter().flat_map(part).collect()
}

/// Writes the size into every directory record of a file.
fn set_size(image: &mut [u8], survey: &Survey, extents: &[ByteRange], size: u32) {
    let nodes = survey.trees.iter().flat_map(|tree| tree.nodes.values());
    for node in nodes.filter(|node| node.extents == extents) {
        let at = usize::try_from(node.record).unwrap() + 10;
        image[at..at + 4].copy_from_slice(&size.to_le_bytes());
        image[at + 4..at + 8].copy_from_slice(&size.to_be_bytes());
    }
}

/// The image with the last bytes of its initrds lost, in the records that say their sizes.
fn cut(base: &[u8]) -> Vec<u8> {
    let survey = survey(base);
    let mut image = base.to_vec();
    for path in survey.triplets.iter().flat_map(|found| &found.initrds) {
        let extents = &survey.tree().file(path).unwrap().extents;
        let size = u32::try_from(extents[0].size()).unwrap() - 3;
        set_size(&mut image, &survey, extents, size);
    }
    image
}

/// A base, what is done to it, and how the error says it.
type Row = (&'static LazyLock<Vec<u8>>, fn(&[u8]) -> Vec<u8>, &'static str);

const MENUS: &str = "/EFI/BOOT";

/// The image with bytes behind those of its initrds, which begin so many bytes behind a multiple of 4.
fn grown(base: &[u8], odd: usize, bytes: &[u8]) -> Vec<u8> {
    let survey = survey(base);
    let mut image = base.to_vec();
    for path in survey.triplets.iter().flat_map(|found| &found.initrds) {
        let extents = &survey.tree().file(path).unwrap().extents;
        let old = range(extents[0]);
        let start = old.end.next_multiple_of(4) + odd;
        let end = start + bytes.len();
        assert!(end <= old.end.next_multiple_of(2048), "no room behind {path}");
        image[old.end..start].fill(0);
        image[start..end].copy_from_slice(bytes);
        let size = u32::try_from(end - old.start).unwrap();
        set_size(&mut image, &survey, extents, size);
    }
    image
}

/// A small archive without what our own have in front and behind.
fn archive(members: &[Member]) -> Vec<u8> {
    let whole = newc::write(members).unwrap();
    // With the zero behind the name of the trailer.
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 2;
    whole[newc::SEAM..end.next_multiple_of(4)].to_vec()
}

fn extra() -> Vec<u8> {
    archive(&[Member::file("etc/extra", 0o644, "hello\n")])
}

fn script(path: &str) -> Member {
    Member::file(path, 0o755, "#!/bin/sh\n")
}

fn gzip(comment: &str) -> Vec<u8> {
    let mut header = flate2::GzBuilder::new();
    if !comment.is_empty() {
        header = header.comment(comment);
    }
    let mut encoder = header.write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&extra()).unwrap();
    encoder.finish().unwrap()
}

fn xz(check: liblzma::stream::Check) -> Vec<u8> {
    let stream = liblzma::stream::Stream::new_easy_encoder(1, check).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(&extra()).unwrap();
    encoder.finish().unwrap()
}

type Change = fn(&[u8]) -> Vec<u8>;

/// What the kernel unpacks behind an initrd, and so do we.
const SOUND: [Change; 4] = [
    |base| grown(base, 0, &extra()),
    |base| grown(base, 1, &gzip("")),
    |base| grown(base, 2, &xz(liblzma::stream::Check::Crc32)),
    |base| grown(base, 0, &[extra(), gzip("")].concat()),
];

#[test]
fn an_initrd_with_more_behind_it_is_taken() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    for change in SOUND {
        folder.write("base.iso", &change(&TINY));
        folder.run(&["base.iso", "--key", "key.pub", "-f", "-o", "out"]).done();
        folder.run(&["inspect", "out"]).done();
    }
}

const ROWS: [Row; 26] = [
    (
        &TINY,
        |base| {
            records(base, MENUS, |all| {
                let at = menu(all);
                all.insert(at, all[at].clone());
            })
        },
        "the directory /EFI/BOOT of the volume: looked for files and directories that all boot loaders see alike",
    ),
    (
        &SYSTEMD,
        |base| {
            records(base, MENUS, |all| {
                let at = menu(all);
                all.insert(at + 1, all[at].clone());
            })
        },
        "that all boot loaders see alike",
    ),
    (
        &AARCH64,
        |base| {
            records(base, MENUS, |all| {
                let at = menu(all);
                let hidden = flagged(&all[at], 25, 4);
                all.insert(at, hidden);
            })
        },
        "found the associated file",
    ),
    (
        &TINY,
        // One block of extended attributes before the file (ECMA-119 §9.1.2), which GRUB passes over.
        |base| {
            records(base, MENUS, |all| {
                let at = menu(all);
                all[at] = flagged(&all[at], 1, 1);
            })
        },
        "with the bytes of another file",
    ),
    (
        &TINY,
        |base| swapped(base, "/boot/efi.img", b"BOOTX64 EFI", b"GRUB    CFG"),
        "the FAT filesystem of the UEFI boot image (list folders): looked for a sound one, found two files with the name",
    ),
    (
        &SYSTEMD,
        |base| replaced(base, "/EFI/BOOT/BOOTX64.EFI", 0, &unified_kernel()),
        "found /EFI/BOOT/BOOTX64.EFI, a kernel, its initrd and its arguments in one file",
    ),
    (
        &SYSTEMD,
        |base| {
            let loader = file(base, "/EFI/BOOT/BOOTX64.EFI");
            let image = file(base, "/boot/efi.img");
            let at = image.windows(loader.len()).position(|part| part == loader).unwrap();
            replaced(base, "/boot/efi.img", at, &unified_kernel())
        },
        "the UEFI boot image: looked for boot loaders, and kernels without an initrd in them, found /EFI/BOOT/BOOTX64.EFI",
    ),
    (
        &SYSTEMD,
        |base| {
            let kernel = survey(base).triplets[0].kernel.clone();
            replaced(base, &kernel, 0, &unified_kernel())
        },
        "/bzImage, a kernel, its initrd and its arguments in one file",
    ),
    (
        &TINY,
        |base| swapped(base, "/boot/efi.img", b"BOOTX64 EFI", b"BOOTX64 EFX"),
        "the UEFI boot image: looked for a loader, as /EFI/BOOT/BOOTX64.EFI, found none",
    ),
    (
        &TINY,
        // The boot image for BIOS becomes the one for UEFI (El Torito 1.0 §2.2, bytes 8 to 11).
        |base| {
            let survey = survey(base);
            let [bios, uefi] = survey.boot.as_slice() else { panic!("{:?}", survey.boot) };
            let block = u32::try_from(uefi.image.start() / 2048).unwrap();
            let at = usize::try_from(bios.entry.start()).unwrap() + 8;
            let mut image = base.to_vec();
            image[at..at + 4].copy_from_slice(&block.to_le_bytes());
            image
        },
        "what a BIOS starts: looked for isolinux, which reads the menu that is edited, found a FAT filesystem: /boot/efi.img",
    ),
    (
        &TINY,
        |base| {
            let loader = file(base, "/isolinux/isolinux.bin");
            let other = String::from_utf8_lossy(&loader[64..]).replace("isolinux", "eltorito");
            replaced(base, "/isolinux/isolinux.bin", 64, other.as_bytes())
        },
        "found another loader: /isolinux/isolinux.bin",
    ),
    (&TINY, cut, "the initrd "),
    (&SYSTEMD, cut, "the initrd "),
    (&AARCH64, cut, "the initrd "),
    (
        &TINY,
        |base| grown(base, 1, &extra()),
        "plain archives, and what is behind one, at multiples of 4",
    ),
    (
        &SYSTEMD,
        |base| grown(base, 3, &extra()),
        "plain archives, and what is behind one, at multiples of 4",
    ),
    (
        &TINY,
        |base| grown(base, 0, &[extra(), vec![0], gzip("")].concat()),
        "found one that is gzip at byte 1",
    ),
    (&TINY, |base| grown(base, 0, &gzip("comment")), "found a gzip header with a comment"),
    (
        &TINY,
        |base| grown(base, 0, &xz(liblzma::stream::Check::Crc64)),
        "found xz with the check CRC64, and the kernel knows CRC32 alone",
    ),
    (
        &TINY,
        |base| grown(base, 0, &[&b"070702"[..], &extra()[6..]].concat()),
        "found an archive with checksums, 070702",
    ),
    (&TINY, |base| grown(base, 0, b"\x89LZO\0\r\n"), "found lzop"),
    (&SYSTEMD, |base| grown(base, 0, &archive(&[script("etc/../init")])), "which leads elsewhere"),
    (
        &SYSTEMD,
        |base| grown(base, 0, &archive(&[Member::symlink("x", "/"), script("x/init")])),
        "found x/init, below the symbolic link x",
    ),
    (
        &SYSTEMD,
        |base| {
            let folder = "etc/systemd/system.control/remaster.service";
            grown(base, 0, &archive(&[Member::directory(folder, 0o755)]))
        },
        "found etc/systemd/system.control/remaster.service, where something goes that is put in",
    ),
    (
        &SYSTEMD,
        |base| grown(base, 0, &archive(&[Member::directory("remaster/hook.sh", 0o755)])),
        "found remaster/hook.sh, where something goes that is put in",
    ),
    (
        &TINY,
        |base| grown(base, 0, &archive(&[script("remaster")])),
        "found remaster, where something goes that is put in",
    ),
];

/// A record with a bit set in one of its bytes.
fn flagged(record: &Record, byte: usize, bit: u8) -> Record {
    let mut bytes = record.as_bytes().to_vec();
    bytes[byte] |= bit;
    let mut extent = vec![0; 2048];
    extent[..bytes.len()].copy_from_slice(&bytes);
    unpack(&extent).unwrap().remove(0)
}

#[test]
fn a_base_that_boot_loaders_read_otherwise_is_refused_by_every_command() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    let commands = [
        "base.iso --key key.pub -o out",
        "base.iso --key key.pub --merge-initrd -o out",
        "edit --in-place base.iso --key key.pub",
        "netboot base.iso --key key.pub -o out",
        "inspect base.iso",
    ];
    for (number, (base, change, words)) in ROWS.into_iter().enumerate() {
        let base = change(base);
        for command in commands {
            folder.write("base.iso", &base);
            let ended = folder.run(&command.split(' ').collect::<Vec<_>>());
            let out = folder.at("out");
            let is_there = out.exists();
            if out.is_dir() { fs::remove_dir_all(out) } else { fs::remove_file(out) }.ok();
            let what = format!("row {number}: {command}: {}", ended.err);
            let wanted = if command.starts_with("inspect") { &[3, 4][..] } else { &[4] };
            assert!(wanted.contains(&ended.status), "{}: {what}", ended.status);
            assert!(ended.err.contains(words), "{what}");
            assert!(!is_there && folder.read("base.iso") == base, "{what}");
        }
    }
}

#[test]
fn an_initrd_that_is_not_known_is_a_failed_check() {
    // `inspect` shows what else there is.
    let folder = Folder::with_base(&swapped_initrd());
    let ended = folder.run(&["inspect", "base.iso", "--all"]);
    assert_eq!(ended.status, 3, "{}", ended.err);
    let wrong = ended.text().lines().find(|line| line.starts_with("WRONG initrds: "));
    assert!(wrong.is_some_and(|line| line.contains("the initrd ")), "{}", ended.text());
}

/// A base whose initrds begin with bytes of nothing known.
fn swapped_initrd() -> Vec<u8> {
    let survey = survey(&TINY);
    let mut image = TINY.clone();
    for path in survey.triplets.iter().flat_map(|found| &found.initrds) {
        let at = range(survey.tree().file(path).unwrap().extents[0]);
        image[at.start..at.start + 4].copy_from_slice(b"none");
    }
    image
}

#[test]
fn a_second_menu_that_u_boot_finds_is_not_put_into_a_disk_image() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    folder.write("base.img", &crate::support::SD);
    folder.write("x", b"x");
    for path in ["/boot.scr", "/boot/boot.scr", "/extlinux/extlinux.conf"] {
        let file = format!("x:{path}");
        let ended = folder.run(&["base.img", "--key", "key.pub", "--file", &file, "-o", "out.img"]);
        assert!(ended.status == 4 && ended.err.contains(path), "{path}: {}", ended.err);
        assert!(!folder.at("out.img").exists(), "{path}");
    }
}

#[test]
fn a_boot_image_that_is_said_to_be_for_other_firmware_gets_the_key_too() {
    let survey = survey(&TINY);
    let uefi = survey.boot.last().unwrap();
    let mut base = TINY.clone();
    // The header of the section has the number (El Torito 1.0 §2.3): 1 is PowerPC.
    let header = usize::try_from(uefi.entry.start()).unwrap() - 32;
    assert_eq!(base[header + 1], 0xef);
    base[header + 1] = 1;
    let folder = Folder::with_base(&base);
    folder.write("key.pub", key(1).as_bytes());
    let ended = folder.run(&["base.iso", "--key", "key.pub", "-o", "out.iso"]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert!(ended.err.contains("3 menus changed"), "{}", ended.err);
}
