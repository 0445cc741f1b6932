//! `verify --against`: another image is called that, and a damaged one never is.

use std::sync::LazyLock;

use remaster::image::ReadAt;
use remaster::stamp::identity::{self, Verdict};

use crate::support::{AARCH64, Ended, Folder, SYSTEMD, TINY, key};

static SD: LazyLock<Vec<u8>> =
    LazyLock::new(|| zstd::decode_all(&include_bytes!("../tiny/tiny-sd.img.zst")[..]).unwrap());

/// What would be blamed on the medium.
const BLAME: [&str; 6] = ["cell", "link", "cable", "dying", "never written", "flipped"];

/// Each image by name: the bases, and what two users get of them.
fn images() -> Vec<(String, Vec<u8>)> {
    let bases: [(&str, &[u8]); 4] =
        [("tiny", &TINY), ("systemd", &SYSTEMD), ("aarch64", &AARCH64), ("sd", &SD)];
    let mut images = Vec::new();
    for (name, base) in bases {
        images.push((name.to_owned(), base.to_vec()));
        for number in [1, 2] {
            let folder = Folder::with_base(base);
            folder.run(&["base.iso", "--key", &key(number), "-o", "out"]).done();
            images.push((format!("{name} for {number}"), folder.read("out")));
        }
        if ["tiny", "sd"].contains(&name) {
            let folder = Folder::with_base(base);
            folder.run(&["base.iso", "--key", &key(1), "--hostname", "x", "-o", "out"]).done();
            images.push((format!("{name} with a name"), folder.read("out")));
        }
    }
    images
}

/// Media with no image on them.
fn others() -> Vec<(String, Vec<u8>, &'static str)> {
    let mut disk = vec![0; 8 << 20];
    disk[446..462].copy_from_slice(&[0x80, 1, 1, 0, 0x0C, 9, 9, 9, 0, 8, 0, 0, 0, 0x30, 0, 0]);
    disk[510..512].copy_from_slice(b"\x55\xAA");
    let mut fat = vec![0; 8 << 20];
    fat[..3].copy_from_slice(b"\xEB\x3C\x90");
    fat[54..62].copy_from_slice(b"FAT16   ");
    fat[510..512].copy_from_slice(b"\x55\xAA");
    let noise: Vec<u8> =
        (1..2_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    vec![
        ("blank".into(), vec![0; 8 << 20], "is blank"),
        ("disk".into(), disk, "holds another image: a disk image (MBR)"),
        ("fat".into(), fat, "holds another image: a FAT filesystem"),
        ("page".into(), b"<!DOCTYPE html>\n<html>\n".repeat(400_000), "is a web page"),
        ("noise".into(), noise, "is not a disk image"),
    ]
}

/// A stick is longer than what was written to it.
fn stick(image: &[u8]) -> Vec<u8> {
    let mut stick = image.to_vec();
    stick.resize(8 << 20, 0xA5);
    stick
}

fn verify(medium: &[u8], image: &[u8], json: bool) -> Ended {
    let folder = Folder::new();
    folder.write("stick", medium);
    folder.write("image", image);
    let arguments = ["verify", "stick", "--against", "image", "--json"];
    folder.run(&arguments[..if json { 5 } else { 4 }])
}

fn is_another(what: &str, ended: &Ended, words: &str) {
    let said = format!("{}{}", ended.err, ended.text());
    assert_eq!(ended.status, 3, "{what}: {said}");
    assert!(ended.err.contains(&format!("error: stick {words}")), "{what}: {words}: {said}");
    assert!(ended.err.contains("; it was not written from image, which is "), "{what}: {said}");
    assert!(!BLAME.iter().any(|word| said.contains(word)), "{what}: {said}");
    assert!(!said.contains("\"difference\""), "{what}: {said}");
}

#[test]
fn every_other_image_is_called_by_what_it_says_that_it_is() {
    let images = images();
    for (name, image) in &images {
        for (on_it, medium) in &images {
            let what = format!("{on_it}, against {name}");
            let ended = verify(&stick(medium), image, false);
            if on_it == name {
                assert_eq!(ended.status, 0, "{what}: {}", ended.err);
                continue;
            }
            is_another(&what, &ended, "holds another image: NixOS ");
            let stamped = on_it.contains(' ');
            assert_eq!(ended.err.contains(", stamped for SHA256:"), stamped || name.contains(' '));
        }
        for (on_it, medium, words) in others() {
            let what = format!("{on_it}, against {name}");
            is_another(&what, &verify(&medium, image, false), words);
            is_another(&what, &verify(&medium, image, true), words);
        }
    }
}

#[test]
fn foreign_volumes_are_called_by_label_and_application() {
    let mut foreign = vec![7; 1 << 20];
    foreign[..0x8000].fill(0);
    foreign[0x8000..0x8800].copy_from_slice(&TINY[0x8000..0x8800]);
    foreign[0x8000 + 40..][..32].copy_from_slice(b"Debian 12                       ");
    foreign[0x8000 + 574..][..8].copy_from_slice(b"XORRISO ");
    let ended = verify(&stick(&foreign), &TINY, false);
    is_another(
        "foreign",
        &ended,
        "holds another image: an ISO 9660 volume \"Debian 12\" by XORRISO",
    );
    let ended = verify(&stick(&TINY), &foreign, false);
    assert!(ended.err.contains("which is an ISO 9660 volume \"Debian 12\""), "{}", ended.err);
}

/// Damage of a stick that was written from the image, by what is done to it.
fn damaged(image: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let whole = stick(image);
    let mut add = |what: String, change: &dyn Fn(&mut Vec<u8>)| {
        let mut medium = whole.clone();
        change(&mut medium);
        // What is made zero may have been that.
        if medium[..image.len()] != *image {
            found.push((what, medium));
        }
    };
    let text = |words: &[u8]| image.windows(words.len()).position(|found| found == words);
    let mut places = vec![0, 450, 511, 513, 600, 0x8001, 0x8028, 0x8052, 0x8400, 0x9000, 0x9028];
    places.extend(text(b"\"manifest\"").map(|at| at + 30));
    places.extend(text(b"\"edits\"").map(|at| at + 15));
    places.extend(text(b"SHA256:").map(|at| at + 15));
    places.extend((0..image.len()).step_by(image.len() / 12));
    for at in places {
        add(format!("a bit of byte {at:#x}"), &|medium| medium[at] ^= 1);
    }
    add("two bits of the descriptor".into(), &|medium| {
        medium[0x8000 + 45] ^= 0x20;
        medium[0x8000 + 820] ^= 1;
    });
    add("two bits of the table".into(), &|medium| {
        medium[446 + 4] ^= 1;
        medium[446 + 8] ^= 1;
    });
    add("a sector of the descriptor".into(), &|medium| {
        medium[0x8028..0x8200].iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
    });
    add("a doubled block".into(), &|medium| {
        medium.copy_within(0xA_0000..0xA_1000, 0x9_0000);
    });
    add("the first block".into(), &|medium| medium[..4096].fill(0));
    add("the descriptors".into(), &|medium| medium[0x8000..0x9000].fill(0));
    add("a burst in the descriptors".into(), &|medium| {
        medium[0x8002..0x8018].iter_mut().for_each(|byte| *byte ^= 0x5A);
    });
    add("half of it".into(), &|medium| medium[image.len() / 2..].fill(0));
    add("the start".into(), &|medium| medium[..200_000].fill(0));
    add("wrapped".into(), &|medium| {
        let half = (image.len() / 2).next_multiple_of(1 << 16);
        medium.copy_within(0..image.len() - half, half);
    });
    found
}

#[test]
fn a_damaged_copy_is_never_called_another_image() {
    let images =
        images().into_iter().filter(|(name, _)| !name.contains("with") && !name.contains('2'));
    for (name, image) in images {
        for (what, medium) in damaged(&image) {
            let what = format!("{name}, {what}");
            let ended = verify(&medium, &image, false);
            let said = format!("{}{}", ended.err, ended.text());
            assert!(!said.contains("not written from"), "{what}: {said}");
            assert_eq!(ended.status, 3, "{what}: {said}");
            // A file does not.
            assert!(!said.contains("wraps around"), "{what}: {said}");
            if what.contains("a bit of") {
                assert!(said.contains("1 flipped bit"), "{what}: {said}");
            }
        }
    }
}

#[test]
fn a_stick_that_a_desktop_mounted_is_called_changed_and_not_broken() {
    // The byte of FAT12 and FAT16 that says "mounted", in the boot image of the ISO.
    let fat = TINY.windows(5).position(|bytes| bytes == b"FAT12" || bytes == b"FAT16").unwrap();
    let mounted = fat - 0x36 + 0x25;
    let mut medium = stick(&TINY);
    medium[mounted] ^= 1;
    for other in [None, Some(0x9_0000_usize)] {
        if let Some(at) = other {
            medium[at] ^= 1;
        }
        let ended = verify(&medium, &TINY, false);
        let said = format!("{}{}", ended.err, ended.text());
        assert!(ended.status == 3 && said.contains("a system mounted it"), "{said}");
        assert!(BLAME.iter().all(|word| !said.contains(word)), "{said}");
    }
}

#[test]
fn a_few_bytes_that_differ_beside_other_data_are_not_flipped_bits() {
    let mut medium = stick(&TINY);
    medium[0x9_0000] ^= 1;
    let other: Vec<u8> =
        (0..5000_u32).flat_map(|n| n.wrapping_mul(77_777_777).to_be_bytes()).collect();
    medium[0xA_0000..][..20_000].copy_from_slice(&other);
    let ended = verify(&medium, &TINY, false);
    let said = format!("{}{}", ended.err, ended.text());
    assert!(ended.status == 3 && said.contains("changed since"), "{said}");
    assert!(!said.contains("flipped"), "{said}");
}

#[test]
fn a_medium_that_is_smaller_than_the_image_is_called_that() {
    let noise = vec![7; 100_000];
    for image in [&*TINY, &*SD, &noise] {
        let ended = verify(&image[..image.len() * 3 / 4], image, false);
        let words = format!("stick is too small for image: it has {} bytes", image.len() * 3 / 4);
        ended.refused(3, &words);
        assert!(!BLAME.iter().any(|word| ended.err.contains(word)), "{}", ended.err);
    }
}

#[test]
fn the_contents_of_a_medium_are_also_reported_without_an_image_to_compare_with() {
    for (name, medium, words) in others() {
        let folder = Folder::new();
        folder.write("stick", &medium);
        let ended = folder.run(&["verify", "stick"]);
        assert_eq!(ended.status, 4, "{name}: {}", ended.err);
        let words = words.trim_start_matches("holds another image: ");
        assert!(ended.err.contains("error: stick") && ended.err.contains(words), "{}", ended.err);
    }
}

#[test]
fn a_medium_that_cannot_be_read_says_nothing() {
    struct Broken;
    impl ReadAt for Broken {
        fn size(&self) -> u64 {
            8 << 20
        }
        fn read_exact_at(&self, _: &mut [u8], _: u64) -> remaster::Result<()> {
            Err(remaster::Error::io("read")(std::io::Error::from_raw_os_error(5)))
        }
        fn check_unchanged(&self) -> remaster::Result<()> {
            Ok(())
        }
    }
    assert_eq!(identity::compare(&Broken, &*TINY).unwrap(), Verdict::Same);
}
