//! UEFI boot images without a free cluster, which must be replaced by a larger copy; and those whose clusters lead nowhere.

use std::io::{Cursor, Seek, SeekFrom, Write};

use remaster::image::ReadAt;
use remaster::inspect::Report;
use remaster::iso::injected::IsoBase;
use remaster::iso::survey::boot_catalog::Platform;
use remaster::recipe::edits::InjectMethod;
use remaster::units::ByteRange;

use crate::support::{AARCH64, Folder, TINY, assert_same, bytes, edits, key, stamp, survey};

/// Where the boot image of an image is, by its boot catalog.
fn place(image: &[u8]) -> ByteRange {
    let boot = survey(image).boot;
    boot.iter().find(|entry| entry.platform == Platform::Uefi).unwrap().image
}

fn slice(at: ByteRange) -> std::ops::Range<usize> {
    at.start().try_into().unwrap()..at.end().try_into().unwrap()
}

/// A base with a boot image that is full to the last cluster, the menu's too.
pub(crate) fn full(base: &[u8]) -> Vec<u8> {
    let mut image = base.to_vec();
    let at = slice(place(base));
    let mut esp = Cursor::new(image[at.clone()].to_vec());
    {
        let volume = fatfs::FileSystem::new(&mut esp, fatfs::FsOptions::new()).unwrap();
        let mut menu = volume.root_dir().open_file("EFI/BOOT/grub.cfg").unwrap();
        let end = menu.seek(SeekFrom::End(0)).unwrap();
        let missing = end.next_multiple_of(volume.cluster_size().into()) - end;
        menu.write_all(&vec![b'\n'; missing.try_into().unwrap()]).unwrap();
        menu.flush().unwrap();
        let free = volume.stats().unwrap().free_clusters() * volume.cluster_size();
        let mut filler = volume.root_dir().create_file("filler").unwrap();
        filler.write_all(&vec![7; free.try_into().unwrap()]).unwrap();
        filler.flush().unwrap();
        assert_eq!(volume.stats().unwrap().free_clusters(), 0);
    }
    image[at].copy_from_slice(esp.get_ref());
    image
}

#[test]
fn a_full_boot_image_gets_a_larger_copy_and_all_that_names_it_names_that() {
    for base in [&*TINY, &*AARCH64] {
        let base = full(base);
        let stamped = stamp(&base, &edits(1, InjectMethod::ExtraInitrd));
        let (was, is) = (place(&base), place(&stamped));
        assert!(is.start() >= base.len().try_into().unwrap() && is.size() > was.size());
        assert_same("the old one", &stamped[slice(was)], &base[slice(was)]);
        let facts = survey(&stamped);
        let named = facts.tree().file("/boot/efi.img").unwrap();
        assert_eq!(named.extents, [is]);
        let partitions = facts
            .partitions
            .ranges()
            .unwrap()
            .into_iter()
            .filter(|range| range.start() == is.start());
        let expected = if survey(&base).partitions.is_empty() { 0 } else { 2 };
        assert_eq!(partitions.count(), expected);
        assert!(
            facts.partitions.ranges().unwrap().iter().all(|range| range.start() != was.start())
        );
        let below = IsoBase::open(stamped.as_slice()).unwrap();
        assert_same("the base below", &bytes(&below.image), &base);
        assert_eq!(below.image.size(), base.size());
    }
}

#[test]
fn a_full_boot_image_stays_where_no_menu_changes() {
    let base = full(&TINY);
    let stamped = stamp(&base, &edits(1, InjectMethod::MergeInitrd));
    assert_eq!(place(&stamped), place(&base));
}

#[test]
fn a_signed_program_in_the_boot_image_is_shown_with_its_signer() {
    let mut image = TINY.clone();
    let at = slice(place(&image));
    let mut esp = Cursor::new(image[at.clone()].to_vec());
    {
        let volume = fatfs::FileSystem::new(&mut esp, fatfs::FsOptions::new()).unwrap();
        let mut file = volume.root_dir().create_file("EFI/BOOT/signed.efi").unwrap();
        file.write_all(include_bytes!("../tiny/signed.efi")).unwrap();
        file.flush().unwrap();
    }
    image[at].copy_from_slice(esp.get_ref());
    let report = Report::read(&image.as_slice()).unwrap();
    let found = report.uefi_programs.iter().find(|found| found.path.ends_with("signed.efi"));
    assert_eq!(found.unwrap().signatures[0].signer, "remaster test signer");
}

/// The first bytes of the FATs of the tiny boot image, which has 12 bits for a cluster.
fn fats(esp: &[u8]) -> [usize; 2] {
    let number = |at: usize| usize::from(u16::from_le_bytes([esp[at], esp[at + 1]]));
    let first = number(14) * 512;
    [first, first + number(22) * 512]
}

/// Makes `next` follow a cluster, in both FATs.
fn lead(esp: &mut [u8], cluster: usize, next: u16) {
    for fat in fats(esp) {
        let at = fat + cluster * 3 / 2;
        let pair = u16::from_le_bytes([esp[at], esp[at + 1]]);
        let pair = match cluster % 2 {
            0 => pair & 0xf000 | next,
            _ => pair & 0x000f | next << 4,
        };
        esp[at..at + 2].copy_from_slice(&pair.to_le_bytes());
    }
}

/// Where the record of a name is, and its first cluster.
fn record(esp: &[u8], name: &[u8; 11]) -> (usize, u16) {
    let at = (0..esp.len()).step_by(32).find(|at| esp[*at..].starts_with(name)).unwrap();
    (at, u16::from_le_bytes([esp[at + 26], esp[at + 27]]))
}

fn set_first(esp: &mut [u8], name: &[u8; 11], cluster: u16) {
    let (at, _) = record(esp, name);
    esp[at + 26..at + 28].copy_from_slice(&cluster.to_le_bytes());
}

const EFI: &[u8; 11] = b"EFI        ";
const BOOT: &[u8; 11] = b"BOOT       ";
const MENU: &[u8; 11] = b"GRUB    CFG";

/// What is wrong, the change that makes it so, and words of the message.
type Wrong = (&'static str, fn(&mut [u8]), &'static str);

const WRONG: [Wrong; 9] = [
    ("a chain to cluster 1", |esp| lead(esp, record(esp, EFI).1.into(), 1), "cluster 1"),
    ("a chain behind the end", |esp| lead(esp, record(esp, EFI).1.into(), 0xfef), "cluster 4079"),
    (
        "a folder without an end",
        |esp| {
            let cluster = record(esp, EFI).1;
            lead(esp, cluster.into(), cluster);
        },
        "leads back to itself",
    ),
    (
        "two chains that meet",
        |esp| lead(esp, record(esp, EFI).1.into(), record(esp, BOOT).1),
        "as something else does",
    ),
    ("a folder at cluster 0", |esp| set_first(esp, EFI, 0), "cluster 0"),
    ("a folder at cluster 1", |esp| set_first(esp, EFI, 1), "cluster 1"),
    ("a file at cluster 1", |esp| set_first(esp, MENU, 1), "cluster 1"),
    (
        "a folder in itself",
        |esp| set_first(esp, BOOT, record(esp, EFI).1),
        "as something else does",
    ),
    (
        "FATs larger than 32 bits of sectors",
        |esp| {
            esp[16] = 255;
            esp[22..24].copy_from_slice(&[0; 2]);
            esp[36..40].copy_from_slice(&[255; 4]);
        },
        "sizes that fit together",
    ),
];

/// What reads a boot image.
const READ_BY: [&str; 6] = [
    "inspect base.iso",
    "base.iso --key key.pub -o out",
    "edit --in-place base.iso --key key.pub",
    "flash base.iso --key key.pub --to-file out",
    "stamp base.iso users.toml -o out",
    "netboot base.iso --key key.pub -o out",
];

#[test]
fn clusters_that_lead_nowhere_are_a_wrong_image() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'a'\nkey = 'key.pub'\n");
    folder.write("sound.iso", &TINY);
    let place = slice(place(&TINY));
    for (what, change, told) in WRONG {
        let mut image = TINY.clone();
        change(&mut image[place.clone()]);
        folder.write("base.iso", &image);
        for line in READ_BY {
            let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
            assert_eq!(ended.status, 4, "{line}: {what}: {}", ended.err);
            assert!(ended.err.contains(told), "{line}: {what}: {}", ended.err);
            assert!(
                !ended.err.contains("panicked") && !folder.at("out").exists(),
                "{line}: {what}"
            );
        }
        for line in [["diff", "base.iso", "sound.iso"], ["diff", "sound.iso", "base.iso"]] {
            let ended = folder.run(&line);
            assert_eq!(ended.status, 1, "{what}: {}", ended.err);
            let out = String::from_utf8(ended.out).unwrap();
            assert!(out.starts_with("base.iso: ") && out.contains(told), "{what}: {out}");
            assert!(out.contains("\nso only bytes are compared"), "{what}: {out}");
        }
    }
}
