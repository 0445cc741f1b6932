//! What the format allows and the program does not take is refused as that, and never to be downloaded again.

use remaster::boot::stage_one;
use remaster::disk::survey::DiskSurvey;
use remaster::formats::newc::{self, Member};
use remaster::inspect::Report;
use remaster::iso::survey::Survey;
use remaster::recipe::edits::InjectMethod;
use remaster::units::ByteRange;
use remaster::{Advice, Error};

use crate::support::{TINY, edits, survey, try_stamp};

const BLOCK: usize = 2048;

/// Where the GPT header is.
const HEADER: usize = 512;

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

fn start_of(at: ByteRange) -> usize {
    usize::try_from(at.start()).unwrap()
}

/// The GPT header with a number in it, and the checksum that fits.
pub(crate) fn with_header(at: usize, number: u32) -> Vec<u8> {
    let mut image = TINY.clone();
    put(&mut image, HEADER + at, &number.to_le_bytes());
    put(&mut image, HEADER + 16, &[0; 4]);
    let size = u32::from_le_bytes(image[HEADER + 12..][..4].try_into().unwrap());
    let size = usize::try_from(size).unwrap();
    let new = sum(&image[HEADER..][..size]);
    put(&mut image, HEADER + 16, &new);
    image
}

fn dirty() -> Vec<u8> {
    let mut image = TINY.clone();
    let survey = survey(&image);
    let fat =
        survey.boot.iter().find(|entry| image[start_of(entry.image) + 54..].starts_with(b"FAT1"));
    // Microsoft FAT specification 1.03, BS_Reserved1; Linux fs/fat/inode.c, FAT_STATE_DIRTY.
    image[start_of(fat.unwrap().image) + 37] |= 1;
    image
}

/// A directory record without Rock Ridge.
fn record(name: &[u8], block: u32) -> Vec<u8> {
    let mut record = vec![0; 33];
    record[0] = u8::try_from((33 + name.len()).next_multiple_of(2)).unwrap();
    for (at, number) in [(2, block), (10, 2048)] {
        record[at..at + 4].copy_from_slice(&number.to_le_bytes());
        record[at + 4..at + 8].copy_from_slice(&number.to_be_bytes());
    }
    (record[25], record[28], record[31], record[32]) = (2, 1, 1, u8::try_from(name.len()).unwrap());
    record.extend(name);
    record.resize(usize::from(record[0]), 0);
    record
}

/// The directory `/EFI` is a chain of as many levels as are asked for; the last holds the one of a number.
fn chain(levels: u32, last: Option<u32>) -> Vec<u8> {
    let mut image = TINY.clone();
    image.resize(image.len().next_multiple_of(BLOCK), 0);
    let first = u32::try_from(image.len() / BLOCK).unwrap();
    let old = start_of(survey(&image).tree().get("/EFI").unwrap().extents[0]) / BLOCK;
    let old = u32::try_from(old).unwrap().to_le_bytes();
    let root = start_of(survey(&image).tree().get("/").unwrap().extents[0]);
    let at = image[root..][..BLOCK].windows(4).position(|bytes| bytes == old).unwrap();
    put(&mut image, root + at, &first.to_le_bytes());
    put(&mut image, root + at + 4, &first.to_be_bytes());
    for level in 0..levels {
        let own = first + level;
        let below = if level + 1 < levels { Some(own + 1) } else { last.map(|last| first + last) };
        let mut block = [record(&[0], own), record(&[1], own)].concat();
        block.extend(below.map(|below| record(b"D", below)).unwrap_or_default());
        block.resize(BLOCK, 0);
        image.extend(block);
    }
    let volume = u32::try_from(image.len() / BLOCK).unwrap();
    for at in (16..20).filter(|at| [1, 2].contains(&TINY[at * BLOCK])) {
        put(&mut image, at * BLOCK + 80, &volume.to_le_bytes());
        put(&mut image, at * BLOCK + 84, &volume.to_be_bytes());
    }
    image
}

#[test]
fn what_is_sound_and_not_supported_is_called_that() {
    for (image, words) in [
        (with_header(84, 256), "entries of 256 bytes"),
        (with_header(12, 512), "a header of 512 bytes"),
        (dirty(), "one that is marked dirty"),
        (chain(70, None), "at most 64 levels of directories"),
    ] {
        let fault = Survey::read(&image.as_slice()).unwrap_err();
        assert!(matches!(fault, Error::Unsupported { .. }), "{fault}");
        assert!(fault.to_string().contains(words), "{words}: {fault}");
    }
}

#[test]
fn what_breaks_the_format_is_called_that() {
    for (image, words) in
        [(with_header(84, 100), "entries of 100 bytes"), (chain(3, Some(1)), "a loop")]
    {
        let fault = Survey::read(&image.as_slice()).unwrap_err();
        assert!(matches!(fault, Error::Malformed { .. }), "{fault}");
        assert!(fault.to_string().contains(words), "{words}: {fault}");
    }
}

/// The CRC-32 of UEFI.
fn sum(bytes: &[u8]) -> [u8; 4] {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes).to_le_bytes()
}

#[test]
fn a_backup_gpt_that_is_whole_and_says_something_else_is_reported() {
    let mut image = TINY.clone();
    let number = |image: &[u8], at: usize| {
        usize::try_from(u32::from_le_bytes(image[at..at + 4].try_into().unwrap())).unwrap()
    };
    let header = number(&image, HEADER + 32) * 512;
    let array = number(&image, header + 72) * 512;
    let size = number(&image, header + 80) * 128;
    // The name of the first partition (UEFI 2.10 5.3.3).
    image[array + 56] ^= 1;
    let new = sum(&image[array..array + size]);
    put(&mut image, header + 88, &new);
    put(&mut image, header + 16, &[0; 4]);
    let new = sum(&image[header..header + 92]);
    put(&mut image, header + 16, &new);
    let fault = survey(&image).partitions.backup_fault.unwrap();
    assert_eq!(fault, "the backup GPT says something else than the primary one");
    assert_eq!(survey(&TINY).partitions.backup_fault, None);
}

#[test]
fn an_older_ext4_is_not_broken() {
    let old = include_bytes!("../tiny/tiny-sd-old.img.zst");
    let mut image = zstd::decode_all(&old[..]).unwrap();
    let root = start_of(DiskSurvey::read(&image.as_slice()).unwrap().root);
    put(&mut image, root + 1024 + 0x4c, &[0]);
    let fault = DiskSurvey::read(&image.as_slice()).unwrap_err();
    assert!(matches!(fault, Error::Unsupported { .. }), "{fault}");
    assert!(fault.to_string().contains("found revision 0"), "{fault}");
}

#[test]
fn an_ext4_that_was_not_unmounted_is_not_taken() {
    let old = include_bytes!("../tiny/tiny-sd-old.img.zst");
    // s_state: 1 is clean, 2 has errors. s_last_orphan: a file that is to be removed.
    for (at, new) in [(0x3A, 0), (0x3A, 2), (0xE8, 11)] {
        let mut image = zstd::decode_all(&old[..]).unwrap();
        let root = start_of(DiskSurvey::read(&image.as_slice()).unwrap().root);
        put(&mut image, root + 1024 + at, &[new]);
        let fault = DiskSurvey::read(&image.as_slice()).unwrap_err();
        assert!(fault.to_string().contains("cleanly unmounted"), "{fault}");
    }
}

#[test]
fn an_ext4_that_counts_wrong_is_a_wrong_image() {
    let old = include_bytes!("../tiny/tiny-sd-old.img.zst");
    let mut image = zstd::decode_all(&old[..]).unwrap();
    let root = start_of(DiskSurvey::read(&image.as_slice()).unwrap().root);
    // s_free_blocks_count_lo
    put(&mut image, root + 1024 + 12, &83_890_886_u32.to_le_bytes());
    let fault = try_stamp(&image, &edits(1, InjectMethod::ExtraInitrd)).unwrap_err();
    assert!(matches!(fault, Error::Malformed { .. }), "{fault}");
    assert!(fault.to_string().contains("found 83890886 free blocks"), "{fault}");
    let wrong = |image: &[u8]| {
        let checks = Report::read(&image).unwrap().checks;
        checks.into_iter().find(|check| !check.ok).map(|check| (check.name, check.detail))
    };
    let (name, detail) = wrong(&image).unwrap();
    assert!(name == "free blocks" && detail.contains("found 83890886"), "{name}: {detail}");
    assert_eq!(wrong(&zstd::decode_all(&old[..]).unwrap()), None);
}

/// What a systemd stage 1 with a link `/bin` and these files in the folder behind it is taken for.
fn stage_one_of(programs: &[&str]) -> remaster::Result<stage_one::Contents> {
    let folder = "nix/store/2-initrd-bin-env/bin";
    let mut members = vec![
        Member::symlink("bin", format!("/{folder}")),
        Member::symlink("init", "/nix/store/3-systemd/lib/systemd/systemd"),
        Member::directory(folder, 0o755),
    ];
    members.extend(programs.iter().map(|name| Member::symlink(format!("{folder}/{name}"), "x")));
    let initrd = newc::write(&members).unwrap();
    let all = ByteRange::new(0, u64::try_from(initrd.len()).unwrap()).unwrap();
    stage_one::inspect(&initrd.as_slice(), &[("/boot/initrd", all)])
}

#[test]
fn a_stage_1_without_a_shell_is_refused_by_name() {
    assert!(stage_one_of(&["bash", "cat"]).is_ok());
    let fault = stage_one_of(&["cat", "less"]).unwrap_err();
    let words = "found none in /nix/store/2-initrd-bin-env/bin";
    assert!(
        matches!(fault, Error::Unsupported { .. }) && fault.to_string().contains(words),
        "{fault}"
    );
    assert_eq!(fault.advice(), Some(&Advice::ShellOrCredential));
}
