//! Images that are cut off or damaged: an error or a sound result, never a panic, a hang or half an output.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestRng, TestRunner};
use remaster::Error;
use remaster::inspect::Report;
use remaster::iso::injected::IsoBase;
use remaster::iso::survey::Survey;
use remaster::iso::survey::tree::Kind;
use remaster::recipe::edits::{Edits, InjectMethod};
use remaster::units::{ByteRange, usize_of};

use crate::support::{Folder, TINY, WAYS, assert_same, bases, bytes, edits, key, stamp, try_stamp};

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Every case if `REMASTER_TEST_ALL` is set, which takes a quarter of an hour; else every so many.
fn sparser(step: usize) -> usize {
    if std::env::var_os("REMASTER_TEST_ALL").is_some() { 1 } else { step }
}

/// What becomes of an image with all that the library does to it.
#[derive(Debug)]
enum Outcome {
    Refused,
    Stamped,
    Wrong(String),
}

/// Inspects and stamps. Where that works, taking the stamp off again must give the image back.
fn outcome(image: &[u8], edits: &Edits) -> Outcome {
    let inspected = Report::read(&image).map(|_| ());
    let stamped = try_stamp(image, edits);
    for fault in [inspected.as_ref().err(), stamped.as_ref().err()].into_iter().flatten() {
        // Nobody interrupts: the library says so where a thread of its own panicked.
        if let Error::Interrupted | Error::Io { .. } | Error::Differs { .. } = fault {
            return Outcome::Wrong(format!("{fault:?}"));
        }
    }
    let Ok(stamped) = stamped else { return Outcome::Refused };
    match IsoBase::open(stamped.as_slice()) {
        Err(fault) => Outcome::Wrong(format!("the stamped image: {fault}")),
        Ok(below) if bytes(&below.image) == image => Outcome::Stamped,
        Ok(_) => Outcome::Wrong("another base below the stamped image".into()),
    }
}

/// A damaged image: what was done, and the bytes.
type Case = (String, Vec<u8>);

/// Tries all cases on all cores. Gives how many were refused and how many stamped.
fn try_all(cases: impl Iterator<Item = Case> + Send, edits: &Edits) -> (usize, usize) {
    let cases = std::sync::Mutex::new(cases.fuse());
    let (refused, stamped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let wrong = thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            loop {
                let Some((what, image)) = cases.lock().unwrap().next() else { return wrong };
                match watched(&what, image, edits) {
                    Outcome::Refused => refused.fetch_add(1, Ordering::Relaxed),
                    Outcome::Stamped => stamped.fetch_add(1, Ordering::Relaxed),
                    Outcome::Wrong(how) => {
                        wrong.push(format!("{what}: {how}"));
                        0
                    }
                };
            }
        };
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<String>>()
    });
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    (refused.into_inner(), stamped.into_inner())
}

/// The outcome of a case; wrong if it panics or does not end.
fn watched(what: &str, image: Vec<u8>, edits: &Edits) -> Outcome {
    let (tell, told) = mpsc::channel();
    let edits = edits.clone();
    thread::Builder::new()
        .name(what.to_owned())
        .spawn(move || {
            let found = catch_unwind(AssertUnwindSafe(|| outcome(&image, &edits)));
            let _ = tell.send(found.unwrap_or_else(|_| Outcome::Wrong("a panic".into())));
        })
        .unwrap();
    told.recv_timeout(PATIENCE).unwrap_or_else(|_| Outcome::Wrong("a hang".into()))
}

#[test]
fn an_image_that_is_cut_off_anywhere_is_refused() {
    let edits = edits(1, InjectMethod::ExtraInitrd);
    for (name, base) in bases() {
        let cut = |length: usize| (format!("{name} cut at {length:#x}"), base[..length].to_vec());
        let (_, stamped) = try_all((0..base.len()).step_by(512).map(cut), &edits);
        assert_eq!(stamped, 0, "{name}");
        let odd = (1..base.len()).step_by(49_999).map(cut);
        assert_eq!(try_all(odd, &edits).1, 0, "{name}");
    }
}

/// The volume claims to be as long as what is left, so that what lies behind the end is missed later.
#[test]
fn an_image_that_hides_where_it_is_cut_off_does_no_harm() {
    let base = TINY.as_slice();
    let cut = |blocks: usize| {
        let mut image = base[..blocks * 2048].to_vec();
        for descriptor in [16, 18] {
            let size = u32::try_from(blocks).unwrap();
            let at = descriptor * 2048 + 80;
            assert_eq!(&base[at..at + 4], &u32::to_le_bytes(512), "no Volume Space Size");
            image[at..at + 4].copy_from_slice(&size.to_le_bytes());
            image[at + 4..at + 8].copy_from_slice(&size.to_be_bytes());
        }
        (format!("cut behind block {blocks}"), image)
    };
    let (refused, stamped) =
        try_all((20..512).step_by(sparser(7)).map(cut), &edits(1, InjectMethod::ExtraInitrd));
    assert!(refused > 20, "{refused} refused, {stamped} stamped");
}

/// The bytes of an image that are read to understand it: name, place, and how far apart to damage them.
fn structures(image: &[u8]) -> Vec<(String, ByteRange, usize)> {
    let survey = Survey::read(&image).unwrap();
    let range = |start: u64, end: u64| ByteRange::between(start, end.min(survey.size)).unwrap();
    let mut found = vec![
        ("partition records".to_owned(), range(440, 512), 1),
        ("GPT Header".to_owned(), range(512, 512 + 92), 1),
        ("Partition Entry Array".to_owned(), range(1024, 1024 + 4 * 128), 3),
    ];
    for (number, block) in (16_u64..20).enumerate() {
        let at = block * 2048;
        found.push((format!("Volume Descriptor {number}"), range(at, at + 192), 1));
        found.push((format!("rest of Volume Descriptor {number}"), range(at + 192, at + 2048), 61));
    }
    for at in path_tables(image) {
        found.push((format!("path table at {at:#x}"), range(at, at + 512), 5));
    }
    for tree in &survey.trees {
        let directories = tree.nodes.iter().filter(|(_, node)| node.kind == Kind::Directory);
        for (path, node) in directories {
            let step = if path == "/" { 1 } else { 11 };
            let name = format!("{:?} directory {path}", tree.hierarchy);
            found.push((name, used(image, node.extents[0]), step));
        }
    }
    found.extend(boot_structures(image, &survey));
    found
}

/// Where the tables of both orders and both hierarchies start (ECMA-119 §8.4.14 to §8.4.17).
fn path_tables(image: &[u8]) -> BTreeSet<u64> {
    let number = |at: usize| <[u8; 4]>::try_from(&image[at..at + 4]).unwrap();
    let blocks = [16, 18].into_iter().flat_map(|descriptor: usize| {
        let at = descriptor * 2048;
        [u32::from_le_bytes(number(at + 140)), u32::from_be_bytes(number(at + 148))]
    });
    blocks.map(|block| u64::from(block) * 2048).collect()
}

/// A range without the zeros at its end, but for some.
fn used(image: &[u8], at: ByteRange) -> ByteRange {
    let slice = &image[usize_of(at.start())..usize_of(at.end())];
    let length = slice.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let length = (length + 16).min(slice.len());
    ByteRange::new(at.start(), u64::try_from(length).unwrap()).unwrap()
}

fn boot_structures(image: &[u8], survey: &Survey) -> Vec<(String, ByteRange, usize)> {
    let mut found = Vec::new();
    for (path, node) in survey.tree().files() {
        let Some(at) = node.extents.first().copied() else { continue };
        let step = match path.rsplit('/').next().unwrap() {
            ".boot.cat" | "boot.catalog" => 1,
            "grub.cfg" | "isolinux.cfg" => 41,
            "initrd" => 3,
            "version.txt" => 5,
            _ => continue,
        };
        found.push((path.to_owned(), used(image, at), step));
    }
    for entry in &survey.boot {
        let at = entry.image;
        if entry.path.as_deref() == Some("/boot/efi.img") {
            let part = |start, length| ByteRange::new(at.start() + start, length).unwrap();
            found.push(("FAT boot sector".to_owned(), part(0, 96), 1));
            found.extend(fat_blocks(image, at));
        }
    }
    found
}

/// Blocks of the FAT behind the boot sector that are not empty: tables, folders, the menu.
fn fat_blocks(image: &[u8], at: ByteRange) -> Vec<(String, ByteRange, usize)> {
    let blocks = (at.start() + 512..at.end()).step_by(512);
    let ranges = blocks.map(|start| used(image, ByteRange::new(start, 512).unwrap()));
    let filled = ranges.filter(|range| range.size() > 16);
    filled.map(|range| (format!("FAT block at {:#x}", range.start()), range, 23)).collect()
}

/// Each byte of interest changed in a way that depends on its place.
fn flips(image: &[u8]) -> Vec<(String, usize, u8)> {
    let mut found = Vec::new();
    for (what, range, step) in structures(image) {
        for at in (usize_of(range.start())..usize_of(range.end())).step_by(step) {
            let old = image[at];
            let new = [old ^ 0x01, !old, old ^ 0x80, 0, 0xff, old.wrapping_add(1)][at % 6];
            if new != old {
                found.push((format!("{what}: byte {at:#x} {old:#04x} -> {new:#04x}"), at, new));
            }
        }
    }
    found
}

fn flip_all(base: &[u8], way: InjectMethod, part: usize) {
    let flips = flips(base);
    let cases = flips.into_iter().step_by(part).map(|(what, at, new)| {
        let mut image = base.to_vec();
        image[at] = new;
        (what, image)
    });
    let (refused, stamped) = try_all(cases, &edits(1, way));
    assert!(refused > 50 && stamped > 50, "{refused} refused, {stamped} stamped");
}

#[test]
fn a_flipped_byte_in_a_scripted_installer_does_no_harm() {
    flip_all(&TINY, InjectMethod::ExtraInitrd, sparser(5));
}

#[test]
fn a_flipped_byte_in_other_shapes_does_no_harm() {
    for (_, base) in bases().into_iter().skip(1) {
        flip_all(base, InjectMethod::MergeInitrd, sparser(11));
    }
}

#[test]
fn a_flipped_byte_in_a_stamped_image_does_no_harm() {
    let stamped = stamp(&TINY, &edits(2, InjectMethod::ExtraInitrd));
    let survey = Survey::read(&stamped.as_slice()).unwrap();
    let ours = survey.tree().files().filter(|(path, _)| path.starts_with("/remaster/"));
    let places: Vec<usize> = ours
        .flat_map(|(_, node)| node.extents.clone())
        .flat_map(|at| (usize_of(at.start())..usize_of(at.end())).step_by(sparser(211)))
        .collect();
    assert!(places.len() > 50, "{}", places.len());
    let cases = places.into_iter().map(|at| {
        let mut image = stamped.clone();
        image[at] ^= if at % 2 == 0 { 0xff } else { 0x01 };
        (format!("byte {at:#x} flipped"), image)
    });
    for (what, image) in cases {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            try_stamp(&image, &edits(1, InjectMethod::ExtraInitrd))
        }));
        let interrupted = matches!(ended, Err(_) | Ok(Err(Error::Interrupted)));
        assert!(!interrupted, "{what}");
    }
}

/// Runs of bytes written over an image: where, and what.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, Vec<u8>)>> {
    let run = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..64),
        (any::<u8>(), 1..4096_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), run), 1..12)
}

/// Damage where it hurts: at the start of a structure, or some bytes into it.
fn damaged(
    base: &[u8],
    places: &[(String, ByteRange, usize)],
    runs: &[(prop::sample::Index, Vec<u8>)],
) -> Vec<u8> {
    let mut image = base.to_vec();
    for (index, run) in runs {
        let (_, range, _) = &places[index.index(places.len())];
        let within = index.index(usize_of(range.size()).max(1));
        let start = usize_of(range.start()) + within;
        let end = (start + run.len()).min(image.len());
        image[start..end].copy_from_slice(&run[..end - start]);
    }
    image
}

#[test]
fn damage_at_random_does_no_harm() {
    let config = Config {
        cases: if sparser(2) == 1 { 2000 } else { 60 },
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    };
    for (name, base) in bases() {
        let places = structures(base);
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner = TestRunner::new_with_rng(config.clone(), random);
        let way = WAYS[name.len() % 2];
        let result = runner.run(&damage(), |runs| {
            match watched(name, damaged(base, &places, &runs), &edits(1, way)) {
                Outcome::Wrong(how) => Err(TestCaseError::fail(how)),
                _ => Ok(()),
            }
        });
        result.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}

/// The program itself: its status, and that it leaves nothing when it fails.
#[test]
fn the_program_writes_nothing_of_an_image_it_refuses() {
    let folder = Folder::new();
    let key = key(1);
    let cut = (0..TINY.len()).step_by(150_001).map(|length| TINY[..length].to_vec());
    let flipped = flips(&TINY).into_iter().step_by(sparser(199)).map(|(_, at, new)| {
        let mut image = TINY.clone();
        image[at] = new;
        image
    });
    for image in cut.chain(flipped) {
        folder.write("base.iso", &image);
        let ended = folder.run(&["base.iso", "--key", &key, "-o", "custom.iso"]);
        match ended.status {
            0 => std::fs::remove_file(folder.at("custom.iso")).unwrap(),
            4 => ended.refused(4, ""),
            other => panic!("status {other}: {}", ended.err),
        }
        assert_eq!(folder.names(), ["base.iso"]);
        assert_same("base", &folder.read("base.iso"), &image);
    }
}
