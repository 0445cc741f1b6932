//! Every way a write can go wrong is seen, placed and explained.

use std::sync::atomic::{AtomicU64, Ordering};

use remaster::error::{Advice, Error, Result};
use remaster::flash::{
    self, Cause, Delta, Image, Medium, Options, Probe, Readable, Report, Verify,
};
use remaster::image::ReadAt;
use remaster::image::file_type;
use remaster::image::patched::{Patch, PatchedImage};
use remaster::progress::{Progress, Silent};
use remaster::target::System;
use remaster::units::ByteRange;

use crate::stick::{SURVIVORS, Stick};

const MIB: u64 = 1 << 20;

/// What is written last of all.
const FIRST_BLOCK: u64 = 4096;

/// Bytes without zeros runs or repetition.
pub(crate) fn noise(size: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    };
    let mut bytes: Vec<u8> = (0..=size / 8).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(size as usize);
    bytes
}

/// An ISO as far as delta looks at it.
fn iso(size: u64, seed: u64) -> Vec<u8> {
    let mut image = noise(size, seed);
    image[0x8000..0x8006].copy_from_slice(b"\x01CD001");
    image[0x8000 + 40..0x8000 + 72].copy_from_slice(b"nixos-minimal-25.11-x86_64      ");
    image[0x8000 + 813..0x8000 + 830].copy_from_slice(b"1980010100000000\0");
    image
}

/// Whether a disk is marked as half written, and nothing firmware would start is in its first block.
pub(crate) fn is_half_written(disk: &[u8]) -> bool {
    let named = file_type::check_finished(disk, "x")
        .is_err_and(|fault| fault.to_string().contains("half written") && fault.advice().is_some());
    named && disk[16..4096].iter().all(|&byte| byte == 0)
}

/// Everything is written, as most of what is written here is noise.
pub(crate) fn plain() -> Options {
    Options { nonce: 7, any: true, ..Options::default() }
}

pub(crate) fn write_with(stick: &Stick, image: &[u8], options: &Options) -> Result<Report> {
    let media: [(&dyn Medium, &dyn Progress); 1] = [(stick, &Silent)];
    let mut results = flash::write(Image::Whole(&image), &media, options)?;
    results.pop().unwrap()
}

fn causes(report: &Report) -> Vec<Cause> {
    report.differences.iter().map(|difference| difference.cause).collect()
}

#[test]
fn sizes_that_are_a_multiple_of_nothing_arrive_with_a_tail_of_zeros() {
    for size in [1, 511, 512, 4095, 4097, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB + 12_345] {
        for block in [512, 4096] {
            let mut stick = Stick::new(16 * MIB);
            stick.block = block;
            let image = noise(size, 3);
            let report = write_with(&stick, &image, &plain()).unwrap();
            assert!(report.is_whole, "{size} {block}: {:?}", report.differences);
            let found = stick.contents();
            assert!(found[..size as usize] == image, "{size} {block}");
            let padded = size.next_multiple_of(block) as usize;
            assert!(found[size as usize..padded].iter().all(|&byte| byte == 0), "{size} {block}");
        }
    }
}

#[test]
fn short_writes_continue() {
    for most in [512, 4096, 4096 + 512, 100 * 512 + 7] {
        let mut stick = Stick::new(8 * MIB);
        stick.shortest = Some(most);
        let image = noise(3 * MIB + 77, 5);
        assert!(write_with(&stick, &image, &plain()).unwrap().is_whole);
        assert!(stick.contents()[..image.len()] == image);
    }
}

#[test]
fn a_write_that_stops_is_an_error_and_leaves_no_first_block() {
    let image = noise(14 * MIB + 99, 5);
    let whole = Stick::new(16 * MIB);
    let before = Stick::new(16 * MIB).contents();
    write_with(&whole, &image, &plain()).unwrap();
    for writes in (0..100).step_by(3) {
        let stick = Stick::new(16 * MIB);
        stick.writes_left.store(writes, Ordering::SeqCst);
        let result = write_with(&stick, &image, &plain());
        let found = stick.contents();
        match result {
            Ok(report) => {
                assert!(report.is_whole);
                assert!(found == whole.contents());
                assert!(writes > 6);
                return;
            }
            Err(fault) => {
                assert!(matches!(fault, Error::Io { .. } | Error::Medium { .. }), "{fault:?}");
                let untouched = found == before;
                let is_complete = found == whole.contents();
                let is_marked = is_half_written(&found);
                assert!(is_marked || untouched || is_complete, "after {writes} writes");
            }
        }
    }
    panic!("never came to the end");
}

#[test]
fn a_block_that_cannot_be_written_is_placed() {
    let mut stick = Stick::new(16 * MIB);
    stick.unwritable = 5 * MIB + 12_288..5 * MIB + 12_800;
    let fault = write_with(&stick, &noise(9 * MIB, 3), &plain()).unwrap_err();
    assert!(fault.to_string().contains("at byte 0x503000"), "{fault}");
    assert!(fault.to_string().contains("the medium does not take it"), "{fault}");
    assert!(is_half_written(&stick.contents()));
}

#[test]
fn old_tables_at_the_end_of_the_disk_are_cleared() {
    let stick = Stick::new(16 * MIB);
    write_with(&stick, &noise(MIB, 1), &plain()).unwrap();
    assert!(stick.contents()[15 << 20..].iter().all(|&byte| byte == 0));
}

#[test]
fn zeros_that_the_end_of_the_disk_does_not_take_are_found_by_every_way_to_write() {
    let (old, new) = (iso(3 * MIB, 1), iso(3 * MIB, 2));
    for (delta, verify, is_whole) in [
        (Delta::Never, Verify::Full, false),
        (Delta::Never, Verify::Quick, false),
        (Delta::Always, Verify::Full, false),
        (Delta::Always, Verify::Quick, false),
        (Delta::Always, Verify::Off, true),
    ] {
        let mut bytes = old.clone();
        bytes.extend(noise(13 * MIB, 3));
        let mut stick = Stick::holding(bytes);
        stick.deaf = 15 * MIB + 4096..15 * MIB + 8192;
        let options = Options { delta, verify, ..plain() };
        let report = write_with(&stick, &new, &options).unwrap();
        assert_eq!(report.is_whole, is_whole, "{delta:?} {verify:?}");
        assert_eq!(is_half_written(&stick.contents()), !is_whole, "{delta:?} {verify:?}");
        let found: Vec<ByteRange> = report.differences.iter().map(|found| found.at).collect();
        let expected = ByteRange::new(15 * MIB + 4096, 4096).unwrap();
        assert_eq!(found.first(), Some(&expected).filter(|_| !is_whole), "{delta:?} {verify:?}");
    }
}

#[test]
fn a_thousand_flipped_bits_are_all_found_and_placed() {
    let size = 12 * MIB + 345;
    let mut stick = Stick::new(16 * MIB);
    let random = noise(8000, 99);
    let mut flips: Vec<(u64, u8)> = random
        .chunks(8)
        .map(|eight| u64::from_le_bytes(eight.try_into().unwrap()))
        .map(|number| (MIB + number % (size - MIB), (number >> 60) as u8 & 7))
        .collect();
    flips.sort_unstable();
    flips.dedup_by_key(|flip| flip.0);
    stick.flips.clone_from(&flips);
    let report = write_with(&stick, &noise(size, 11), &plain()).unwrap();
    assert!(!report.is_whole);
    let mut expected: Vec<u64> = flips.iter().map(|flip| flip.0).collect();
    expected.sort_unstable();
    let found: Vec<u64> = report
        .differences
        .iter()
        .flat_map(|difference| difference.at.start()..difference.at.end())
        .collect();
    assert!(found == expected);
    assert!(causes(&report).iter().all(|cause| matches!(cause, Cause::Flipped { .. })));
    // A stick that differs does not boot.
    assert!(is_half_written(&stick.contents()));
}

/// Sticks that have far less than they claim, and than the image has: one that takes addresses modulo what it has, and one
/// that forgets what it has no room for.
#[test]
fn a_stick_that_is_far_smaller_than_the_image_is_found_without_a_probe() {
    let image = iso(20 * MIB, 5);
    for real in [MIB, 2 * MIB, 5 * MIB, 19 * MIB] {
        for wraps in [true, false] {
            let mut stick = Stick::new(32 * MIB);
            if wraps {
                stick.wraps_at = real;
            } else {
                stick.deaf = real..32 * MIB;
            }
            let what = format!("{real} wraps: {wraps}");
            let report = write_with(&stick, &image, &plain()).unwrap();
            assert!(!report.is_whole && !report.differences.is_empty(), "{what}");
            let first = report.differences.iter().map(|found| found.at.start()).min().unwrap();
            // The last mebibyte lies where the first one comes last of all: only the cleared end of the disk tells.
            let is_hidden = wraps && real == 19 * MIB;
            assert_eq!(first <= real.max(MIB), !is_hidden, "{what}: {first:#x}");
            let is_wrapped = |cause: &Cause| matches!(cause, Cause::Wrapped { .. });
            let is_named = causes(&report).iter().any(is_wrapped);
            // Of a medium that wraps more than sixteen times no distance is frequent enough to be named.
            assert_eq!(
                is_named,
                wraps && (2 * MIB..=5 * MIB).contains(&real),
                "{what}: {:?}",
                causes(&report)
            );
        }
    }
}

#[test]
fn a_flip_in_the_first_block_is_also_found() {
    let mut stick = Stick::new(16 * MIB);
    stick.flips = vec![(100, 3), (70_000, 1)];
    let report = write_with(&stick, &noise(3 * MIB, 2), &plain()).unwrap();
    let at: Vec<u64> = report.differences.iter().map(|difference| difference.at.start()).collect();
    assert_eq!(at, [100, 70_000]);
}

#[test]
fn a_stick_that_wraps_is_explained() {
    let mut stick = Stick::new(16 * MIB);
    stick.wraps_at = 8 * MIB;
    let report = write_with(&stick, &noise(12 * MIB, 2), &plain()).unwrap();
    // The second mebibyte to the fourth hold what was written 8 MiB later.
    let wrapped = report.differences.iter().find(|d| matches!(d.cause, Cause::Wrapped { .. }));
    let wrapped = wrapped.unwrap();
    assert_eq!(wrapped.cause, Cause::Wrapped { from: wrapped.at.start() + 8 * MIB });
    assert_eq!(wrapped.at, ByteRange::between(MIB, 4 * MIB).unwrap());
}

#[test]
fn a_block_that_is_there_twice_does_not_make_a_medium_that_wraps() {
    let stick = Stick::new(64 * MIB);
    let image = noise(12 * MIB, 2);
    write_with(&stick, &image, &plain()).unwrap();
    stick.bytes.lock().unwrap().copy_within(9 << 20..(9 << 20) + 4096, 4 << 20);
    let report = flash::verify(&stick, &image, &Silent).unwrap();
    assert_eq!(causes(&report), [Cause::Copied { from: 9 * MIB }]);
}

/// Asks to stop after the third mark.
struct Stopped(AtomicU64);

impl Progress for Stopped {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn end(&self) {}
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 3
    }
}

#[test]
fn an_interrupted_probe_says_what_it_could_not_put_back() {
    for (writes, words) in [(3, "interrupted, but "), (u64::MAX, "interrupted")] {
        let stick = Stick::new(16 * MIB);
        stick.writes_left.store(writes, Ordering::SeqCst);
        let (image, options) = (noise(MIB, 1), Options { probe: Probe::Always, ..plain() });
        let stopped = Stopped(AtomicU64::new(0));
        let media: [(&dyn Medium, &dyn Progress); 1] = [(&stick, &stopped)];
        let mut results = flash::write(Image::Whole(&image), &media, &options).unwrap();
        let fault = results.pop().unwrap().unwrap_err();
        assert!(matches!(fault.plain(), Error::Interrupted), "{fault:?}");
        assert!(fault.to_string().starts_with(words), "{fault}");
        assert_eq!(fault.to_string().contains("could not be put back"), writes == 3, "{fault}");
        assert_eq!(stick.marks.load(Ordering::SeqCst) > 0, writes == 3);
    }
}

#[test]
fn a_write_that_went_to_the_wrong_place_is_explained() {
    let mut stick = Stick::new(16 * MIB);
    let strays = ByteRange::between(9 * MIB, 9 * MIB + 0x1E000).unwrap();
    stick.strays = (strays.start()..strays.end(), 4 * MIB);
    let report = write_with(&stick, &noise(12 * MIB, 2), &plain()).unwrap();
    let there = ByteRange::new(5 * MIB, strays.size()).unwrap();
    let found: Vec<_> = report.differences.iter().map(|found| (found.at, found.cause)).collect();
    let from = strays.start();
    assert_eq!(found, [(there, Cause::Misdirected { from }), (strays, Cause::Other)]);
}

#[test]
fn data_that_was_not_written_is_distinguished_from_zeros_and_noise() {
    let image = noise(8 * MIB, 2);
    let mut stick = Stick::new(16 * MIB);
    stick.deaf = 2 * MIB..2 * MIB + 65_536;
    let report = write_with(&stick, &image, &plain()).unwrap();
    assert_eq!(causes(&report), [Cause::Other]);
    assert_eq!(report.differences[0].at, ByteRange::between(2 * MIB, 2 * MIB + 65_536).unwrap());

    let mut stick = Stick::new(16 * MIB);
    stick.deaf = 2 * MIB..2 * MIB + 65_536;
    stick.bytes.lock().unwrap().fill(0);
    assert_eq!(causes(&write_with(&stick, &image, &plain()).unwrap()), [Cause::Zeros]);
    stick.bytes.lock().unwrap().fill(0xFF);
    assert_eq!(causes(&write_with(&stick, &image, &plain()).unwrap()), [Cause::Ones]);

    let mut stick = Stick::new(16 * MIB);
    stick.noisy = 3 * MIB..3 * MIB + 4096;
    assert_eq!(causes(&write_with(&stick, &image, &plain()).unwrap()), [Cause::Unstable]);

    let mut stick = Stick::new(16 * MIB);
    stick.unreadable = 3 * MIB + 8192..3 * MIB + 12_288;
    let report = write_with(&stick, &image, &plain()).unwrap();
    assert_eq!(causes(&report), [Cause::Unreadable]);
    assert_eq!(report.differences[0].at.start(), 3 * MIB + 8192);
}

#[test]
fn an_image_larger_than_the_stick_is_refused() {
    let stick = Stick::new(4 * MIB);
    let fault = write_with(&stick, &noise(4 * MIB + 1, 1), &plain()).unwrap_err();
    assert!(matches!(fault, Error::Unsafe { .. }), "{fault:?}");
    assert!(fault.to_string().contains("too small"), "{fault}");
}

#[test]
fn the_probe_finds_fakes_and_puts_everything_back() {
    let sound = Stick::new(64 * MIB);
    let before = sound.contents();
    let options = Options { probe: Probe::Always, ..plain() };
    let image = noise(3 * MIB, 1);
    assert!(write_with(&sound, &image, &options).unwrap().probe_time.is_some());
    assert!(sound.contents()[3 << 20..63 << 20] == before[3 << 20..63 << 20]);

    for real in [8 * MIB, 12 * MIB, 37 * MIB] {
        let mut stick = Stick::new(64 * MIB);
        stick.wraps_at = real;
        let before = stick.contents();
        let fault = write_with(&stick, &image, &options).unwrap_err();
        assert!(matches!(fault, Error::Unsafe { .. }), "{fault}");
        assert!(fault.to_string().contains("fake"), "{fault}");
        assert!(stick.contents() == before, "{fault}");
    }
    let mut stick = Stick::new(64 * MIB);
    stick.deaf = 32 * MIB..64 * MIB;
    let fault = write_with(&stick, &image, &options).unwrap_err();
    assert!(fault.to_string().contains("does not stay"), "{fault}");
}

/// A cache hides what a fake loses from the probe, until the image has filled it.
#[test]
fn a_fake_with_a_cache_is_found_when_the_image_is_larger_than_the_cache() {
    let options = Options { probe: Probe::Always, ..plain() };
    let fake = || {
        let mut stick = Stick::new(64 * MIB);
        stick.wraps_at = 8 * MIB;
        stick.remembers.0 = 4 << 20;
        stick
    };
    for verify in [Verify::Full, Verify::Off] {
        let stick = fake();
        let options = Options { verify, ..options.clone() };
        let fault = write_with(&stick, &noise(6 * MIB, 1), &options).unwrap_err();
        assert!(fault.to_string().contains("it is a fake"), "{fault}");
        assert!(matches!(fault, Error::Unsafe { .. }), "{fault:?}");
        assert!(is_half_written(&stick.contents()));
    }
    // The limit that `flash --help` tells of.
    assert!(write_with(&fake(), &noise(MIB, 1), &options).unwrap().is_whole);
}

/// What a delta writes, or clears, lies over what it found to be right before.
#[test]
fn a_fake_that_holds_the_base_is_found_when_only_what_differs_is_written() {
    // The last mebibyte of the stick lies over the last one of the base.
    let base = iso(5 * MIB, 8);
    let larger = [base.clone(), noise(7 * MIB, 9)].concat();
    for (image, probe) in [
        (&larger, Probe::Never),
        (&base, Probe::Never),
        (&larger, Probe::Always),
        (&base, Probe::Always),
    ] {
        let mut stick = Stick::new(24 * MIB);
        stick.wraps_at = 19 * MIB;
        write_with(&stick, &base, &Options { verify: Verify::Off, ..plain() }).unwrap();
        assert!(stick.contents()[..base.len()] == base);
        let told = write_with(&stick, image, &Options { probe, ..plain() });
        match (told, probe) {
            (Ok(report), Probe::Never) => assert!(report.is_delta && !report.is_whole),
            (Err(fault), Probe::Always) => assert!(fault.to_string().contains("a fake"), "{fault}"),
            (told, _) => panic!("{probe:?}: {told:?}"),
        }
    }
    // The marks of the probe are gone from a sound one, in the image and behind it, also where nothing differs.
    let stick = Stick::new(24 * MIB);
    write_with(&stick, &base, &plain()).unwrap();
    let before = stick.contents();
    let report = write_with(&stick, &base, &Options { probe: Probe::Always, ..plain() }).unwrap();
    assert!(report.is_delta && report.is_whole && report.probe_time.is_some());
    assert!(stick.contents() == before);
}

#[test]
fn a_stick_with_the_same_base_gets_only_what_differs() {
    let stick = Stick::new(32 * MIB);
    let base = iso(20 * MIB + 5, 8);
    write_with(&stick, &base, &plain()).unwrap();
    stick.written.store(0, Ordering::SeqCst);
    let patch = Patch::bytes(9 * MIB + 17, *b"ssh-ed25519 AAAA", "key").unwrap();
    let changed = vec![patch.at];
    let stamped = PatchedImage::whole(&base).with(vec![patch], 20 * MIB + 5).unwrap();
    let media: [(&dyn Medium, &dyn Progress); 1] = [(&stick, &Silent)];
    let report = flash::write(Image::Whole(&stamped), &media, &plain()).unwrap().pop().unwrap();
    let report = report.unwrap();
    assert!(report.is_delta && report.is_whole);
    // The block that differs; the first block and that of the volume descriptors, twice.
    assert_eq!(report.written, 5 * 4096);
    assert_eq!(stick.written.load(Ordering::SeqCst), 5 * 4096);
    assert_eq!(&stick.contents()[9 * MIB as usize + 17..][..16], b"ssh-ed25519 AAAA");

    // Quick: nothing else is even read.
    let quick = Options {
        verify: Verify::Quick,
        changed: changed.clone(),
        suspects: Some(changed),
        ..plain()
    };
    let report = flash::write(Image::Whole(&base), &media, &quick).unwrap().pop().unwrap().unwrap();
    assert!(report.is_delta && report.is_whole);
    assert_eq!(report.written, 5 * 4096);
    assert!(report.compared < 3 * MIB, "{}", report.compared);
    assert!(stick.contents()[..base.len()] == base);

    // An image of the same name and date that is another one is not taken for the base.
    let mut other = iso(20 * MIB + 5, 31);
    other[..MIB as usize].copy_from_slice(&base[..MIB as usize]);
    write_with(&stick, &other, &Options { delta: Delta::Never, ..plain() }).unwrap();
    let report = flash::write(Image::Whole(&base), &media, &quick).unwrap().pop().unwrap().unwrap();
    assert!(report.is_delta && report.is_whole && report.written > 18 * MIB);
    assert!(stick.contents()[..base.len()] == base);

    // And then nothing is written.
    stick.written.store(0, Ordering::SeqCst);
    let report = write_with(&stick, &base, &plain()).unwrap();
    assert!(report.is_whole);
    assert_eq!(stick.written.load(Ordering::SeqCst), 0);
}

#[test]
fn an_interrupted_delta_has_no_first_block() {
    let base = iso(8 * MIB, 8);
    let mut other = base.clone();
    for at in (MIB as usize..8 * MIB as usize).step_by(1 << 19) {
        other[at] ^= 0xFF;
    }
    for writes in (0..).step_by(3) {
        let stick = Stick::new(16 * MIB);
        write_with(&stick, &base, &plain()).unwrap();
        stick.writes_left.store(writes, Ordering::SeqCst);
        let options = Options { delta: Delta::Always, ..plain() };
        let result = write_with(&stick, &other, &options);
        let found = stick.contents();
        let found = &found[..base.len()];
        if result.is_ok() {
            assert!(found == other);
            assert!(writes > 10);
            break;
        }
        let is_marked = is_half_written(found);
        assert!(is_marked || found == base || found == other, "after {writes} writes");
        // Firmware that looks for El Torito finds a volume only when all of it is there.
        let is_volume = &found[0x8001..0x8006] == b"CD001";
        let is_whole = |image: &[u8]| found[4096..] == image[4096..];
        assert!(!is_volume || is_whole(&base) || is_whole(&other), "after {writes} writes");
    }
}

/// Writes an image over another one until power goes, after any number of writes and whatever a cache lost.
/// What starts with a first block is all there behind it.
fn cut(old: &[u8], new: &[u8], options: &Options) {
    let first = FIRST_BLOCK as usize;
    // What is cleared before anything else an old image may lack: the head, or its volume descriptors.
    let cleared = if options.delta == Delta::Always { 0x9000 } else { MIB as usize };
    let written = Stick::new(4 * MIB);
    write_with(&written, old, &plain()).unwrap();
    for writes in 0.. {
        let stick = Stick::holding(written.contents()).cached();
        stick.writes_left.store(writes, Ordering::SeqCst);
        let result = write_with(&stick, new, options);
        if result.is_ok() {
            assert!(writes > 3, "only {writes} writes");
            assert!(stick.contents()[..new.len()] == *new);
            assert_eq!(stick.unflushed(), 0, "told to be done too early");
            return;
        }
        for survives in SURVIVORS {
            let found = stick.lose_power(survives);
            let starts = |image: &[u8]| found[..first] == image[..first];
            let is_new = found[first..new.len()] == new[first..];
            let is_old = found[cleared..old.len()] == old[cleared..];
            let is_sound = (!starts(new) || is_new) || (starts(old) && is_old);
            assert!(is_sound, "a new first block after {writes} writes");
            assert!(!starts(old) || is_old || is_new, "an old first block after {writes} writes");
        }
    }
}

#[test]
fn a_cache_that_loses_writes_leaves_no_first_block_of_half_an_image() {
    let size = 2 * MIB + 512;
    let old = iso(size, 8);
    let mut new = iso(size, 10);
    let whole = Options { delta: Delta::Never, ..plain() };
    cut(&old, &new, &whole);
    cut(&old, &new, &Options { verify: Verify::Off, ..whole });
    new.copy_from_slice(&old);
    for at in (0..size as usize).step_by(1 << 18) {
        new[at] ^= 0xFF;
    }
    cut(&old, &new, &Options { delta: Delta::Always, ..plain() });
    cut(&old, &new, &Options { delta: Delta::Always, verify: Verify::Off, ..plain() });
}

/// A cache answers with what it was given: only behind a flush is what the medium holds read back.
#[test]
fn what_a_cache_hides_from_reading_is_found() {
    let (old, new) = (iso(2 * MIB, 8), iso(2 * MIB, 10));
    for delta in [Delta::Never, Delta::Always] {
        let mut stick = Stick::new(4 * MIB);
        write_with(&stick, &old, &plain()).unwrap();
        let lost = MIB + 8192;
        stick.deaf = lost..lost + 512;
        let stick = stick.cached();
        let report = write_with(&stick, &new, &Options { delta, ..plain() }).unwrap();
        assert!(!report.is_whole && report.differences[0].at.start() == lost, "{delta:?}");
        assert!(is_half_written(&stick.contents()), "{delta:?}");
    }
}

#[test]
fn several_sticks_are_written_from_one_read_and_fail_alone() {
    let image = noise(9 * MIB + 1, 4);
    let (one, mut two, three) = (Stick::new(16 * MIB), Stick::new(16 * MIB), Stick::new(16 * MIB));
    two.flips = vec![(5 * MIB, 0)];
    three.writes_left.store(5, Ordering::SeqCst);
    let media: [(&dyn Medium, &dyn Progress); 3] =
        [(&one, &Silent), (&two, &Silent), (&three, &Silent)];
    let results = flash::write(Image::Whole(&image), &media, &plain()).unwrap();
    assert!(results[0].as_ref().unwrap().is_whole);
    assert_eq!(causes(results[1].as_ref().unwrap()), [Cause::Flipped { bits: 1 }]);
    let fault = results[2].as_ref().unwrap_err();
    assert!(matches!(fault, Error::Io { .. } | Error::Medium { .. }), "{fault:?}");
    assert!(one.contents()[..image.len()] == image);
}

#[test]
fn a_written_stick_is_verified_later() {
    let image = noise(9 * MIB + 1, 4);
    let stick = Stick::new(16 * MIB);
    write_with(&stick, &image, &plain()).unwrap();
    assert!(flash::verify(&stick, &image, &Silent).unwrap().is_whole);
    stick.bytes.lock().unwrap()[7 << 20] ^= 16;
    let report = flash::verify(&stick, &image, &Silent).unwrap();
    assert_eq!(causes(&report), [Cause::Flipped { bits: 1 }]);
    assert!(matches!(report.error("/dev/stick"), Some(Error::Differs { .. })));
}

#[test]
fn a_medium_is_read_as_an_image_at_any_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("medium");
    let bytes = noise(3 * MIB + 777, 6);
    std::fs::write(&path, &bytes).unwrap();
    let medium = Readable::open(&path, &System::default()).unwrap();
    assert_eq!(ReadAt::size(&medium), 3 * MIB + 777);
    for (at, size) in [(0, 1), (511, 2), (MIB - 3, 2 * MIB as usize), (3 * MIB + 776, 1), (5, 0)] {
        let mut found = vec![0; size];
        medium.read_exact_at(&mut found, at).unwrap();
        assert!(found == bytes[at as usize..][..size], "{at} {size}");
    }
    assert!(medium.read_exact_at(&mut [0; 2], 3 * MIB + 776).is_err());
    assert!(medium.read_exact_at(&mut [0; 2], u64::MAX).is_err());
}

#[test]
fn an_iso_is_not_written_to_blocks_that_linux_cannot_read_it_from() {
    for (block, any, is_taken) in [(512, false, true), (4096, false, false), (4096, true, true)] {
        let mut stick = Stick::new(16 * MIB);
        stick.block = block;
        let before = stick.contents();
        let result = write_with(&stick, &iso(3 * MIB, 5), &Options { any, ..plain() });
        assert_eq!(result.is_ok(), is_taken, "{block}");
        let Err(fault) = result else { continue };
        assert!(fault.to_string().contains("Linux cannot read an ISO from them"), "{fault}");
        assert_eq!(fault.advice(), Some(&Advice::BlocksOf(512)));
        assert!(matches!(fault, Error::Unsafe { .. }) && stick.contents() == before, "{fault}");
    }
    // Nor is a table that counts other blocks.
    let mut table = noise(3 * MIB, 5);
    table[446..510].fill(0);
    table[446 + 4] = 0x83;
    table[446 + 8..446 + 16].copy_from_slice(&[0, 8, 0, 0, 0, 4, 0, 0]);
    table[510..512].copy_from_slice(b"\x55\xAA");
    for (block, any, is_taken) in [(512, false, true), (4096, false, false), (4096, true, true)] {
        let mut stick = Stick::new(16 * MIB);
        stick.block = block;
        let result = write_with(&stick, &table, &Options { any, ..plain() });
        assert_eq!(result.is_ok(), is_taken, "{block}");
        let Err(fault) = result else { continue };
        assert!(fault.to_string().contains("counts blocks of 512"), "{fault}");
    }
    // What has neither volume nor table is not bound to the size of blocks.
    let mut stick = Stick::new(16 * MIB);
    stick.block = 4096;
    let mut boot_record = noise(3 * MIB, 5);
    boot_record[446..510].fill(0);
    boot_record[510..512].copy_from_slice(b"\x55\xAA");
    let options = Options { any: false, ..plain() };
    assert!(write_with(&stick, &boot_record, &options).unwrap().is_whole);
}
