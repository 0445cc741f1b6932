//! The backup GPT on media of every size from that of the image on, read by the `gpt` crate.

use std::io::Cursor;

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use remaster::error::{Advice, Error, Result};
use remaster::flash::{self, Delta, Image, Medium, Options, Source, Stream};
use remaster::progress::{Progress, Silent};

use crate::stick::Stick;
use crate::writing::{is_half_written, noise, plain, write_with};

const BLOCK: usize = 512;

/// An image of `blocks` blocks with one partition and as many entries as asked for; its backup GPT ends
/// `behind` blocks before its end, and nothing of it is zero.
fn image(blocks: usize, entries: u32, behind: usize) -> Vec<u8> {
    let mut bytes = noise((blocks * BLOCK) as u64, 77);
    let array = (entries as usize * 128).div_ceil(BLOCK);
    let mut table = vec![0; array * BLOCK];
    table[..16].copy_from_slice(&[0xA2; 16]);
    table[16..32].copy_from_slice(&[0x17; 16]);
    let (first, alternate) = (2 + array, blocks - 1 - behind);
    let last = alternate - array - 1;
    table[32..40].copy_from_slice(&(first as u64).to_le_bytes());
    table[40..48].copy_from_slice(&(last as u64).to_le_bytes());
    let used = &table[..entries as usize * 128];
    let header = |own: usize, other: usize, at: usize| {
        let mut header = vec![0; BLOCK];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..16].copy_from_slice(&[0, 0, 1, 0, 92, 0, 0, 0]);
        for (place, lba) in [(24, own), (32, other), (40, first), (48, last), (72, at)] {
            header[place..place + 8].copy_from_slice(&(lba as u64).to_le_bytes());
        }
        header[56..72].copy_from_slice(&[0x5C; 16]);
        header[80..84].copy_from_slice(&entries.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        header[88..92].copy_from_slice(&crc32(used).to_le_bytes());
        let sum = crc32(&header[..92]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header
    };
    bytes[BLOCK..2 * BLOCK].copy_from_slice(&header(1, alternate, 2));
    bytes[2 * BLOCK..first * BLOCK].copy_from_slice(&table);
    bytes[(last + 1) * BLOCK..alternate * BLOCK].copy_from_slice(&table);
    let backup = header(alternate, 1, last + 1);
    bytes[alternate * BLOCK..(alternate + 1) * BLOCK].copy_from_slice(&backup);
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// Both tables of a disk are sound, and one says what the other does.
fn is_sound(disk: &[u8]) -> bool {
    let reader = GptConfig::new().writable(false).logical_block_size(LogicalBlockSize::Lb512);
    let disk_copy = Cursor::new(disk.to_vec());
    let Ok(found) = reader.open_from_device(disk_copy) else { return false };
    let (Ok(one), Ok(other)) = (found.primary_header(), found.backup_header()) else {
        return false;
    };
    let last = (disk.len() / BLOCK - 1) as u64;
    one.backup_lba == last && other.current_lba == last && one.crc32_parts == other.crc32_parts
}

/// The image packed, so that it comes once and does not know its size.
fn packed(image: &[u8]) -> (tempfile::TempDir, Stream) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    std::fs::write(&path, zstd::encode_all(image, 1).unwrap()).unwrap();
    let Source::Stream(stream) = Source::open(&path).unwrap() else { unreachable!() };
    (folder, stream)
}

fn write_whole(stick: &Stick, image: &[u8]) -> Result<flash::Report> {
    write_with(stick, image, &plain())
}

fn write_packed(stick: &Stick, image: &[u8]) -> Result<flash::Report> {
    let (_folder, stream) = packed(image);
    let media: [(&dyn Medium, &dyn Progress); 1] = [(stick, &Silent)];
    flash::write(Image::Stream(stream), &media, &plain())?.pop().unwrap()
}

#[test]
fn a_medium_hardly_larger_than_the_image_gets_a_sound_backup() {
    // Below a mebibyte, around one, and more than two.
    for blocks in [300, 2048 + 40, 4999] {
        for entries in [128, 248] {
            let image = image(blocks, entries, 0);
            for more in [0, 1, 8, 31, 33, 62, 63, 64, 3000] {
                for is_stream in [false, true] {
                    let what =
                        format!("{blocks} blocks, {entries} entries, {more} more, {is_stream}");
                    let stick = Stick::new(((blocks + more) * BLOCK) as u64);
                    let write = if is_stream { write_packed } else { write_whole };
                    let report = write(&stick, &image).unwrap();
                    assert!(report.is_whole, "{what}: {:?}", report.differences);
                    assert_eq!(report.backup_at.is_some(), more > 0, "{what}");
                    let found = stick.contents();
                    assert!(is_sound(&found), "{what}");
                    let own = (entries as usize * 128).div_ceil(BLOCK) + 1;
                    let end = (blocks - own) * BLOCK;
                    assert!(found[2 * BLOCK..end] == image[2 * BLOCK..end], "{what}");
                    assert!(flash::verify(&stick, &image, &Silent).unwrap().is_whole, "{what}");
                    let places = [end - 1, found.len() - 1, found.len() - own * BLOCK];
                    for at in places {
                        stick.bytes.lock().unwrap()[at] ^= 1;
                        let report = flash::verify(&stick, &image, &Silent).unwrap();
                        assert_eq!(report.differences.len(), 1, "{what}: byte {at}");
                        assert_eq!(report.differences[0].at.start(), at as u64, "{what}");
                        stick.bytes.lock().unwrap()[at] ^= 1;
                    }
                }
            }
        }
    }
}

#[test]
fn a_backup_that_does_not_stay_is_reported_and_leaves_no_first_block() {
    let image = image(4999, 248, 0);
    for delta in [Delta::Never, Delta::Always] {
        let mut stick = Stick::new((4999 + 3000) * BLOCK as u64);
        let last = stick.claimed - BLOCK as u64;
        stick.deaf = last..stick.claimed;
        let report = write_with(&stick, &image, &Options { delta, ..plain() }).unwrap();
        assert!(!report.is_whole && report.differences[0].at.start() >= last, "{delta:?}");
        assert!(stick.contents()[..BLOCK] != image[..BLOCK], "{delta:?}");
    }
}

#[test]
fn a_delta_over_a_tight_medium_writes_what_was_meant() {
    let image = image(4999, 248, 0);
    for more in [0, 1, 40, 63, 64] {
        let stick = Stick::new(((4999 + more) * BLOCK) as u64);
        write_with(&stick, &image, &plain()).unwrap();
        let mut other = image.clone();
        other[2_000_000] ^= 1;
        let options = Options { delta: Delta::Always, ..plain() };
        let report = write_with(&stick, &other, &options).unwrap();
        assert!(report.is_whole && report.is_delta, "{more}: {:?}", report.differences);
        assert!(report.written < 100_000, "{more}: {}", report.written);
        assert!(is_sound(&stick.contents()), "{more}");
        assert!(flash::verify(&stick, &other, &Silent).unwrap().is_whole, "{more}");
        assert!(write_with(&stick, &other, &options).unwrap().written == 0, "{more}");
    }
}

#[test]
fn no_backup_overwrites_what_an_image_holds() {
    // Ten blocks behind the image's own backup.
    let image = image(5000, 248, 10);
    for (more, fits) in [(1, false), (62, false), (63, true)] {
        let size = ((5000 + more) * BLOCK) as u64;
        let stick = Stick::new(size);
        let result = write_with(&stick, &image, &plain());
        if fits {
            assert!(result.unwrap().is_whole);
            assert!(stick.contents()[2 * BLOCK..5000 * BLOCK] == image[2 * BLOCK..]);
            continue;
        }
        let fault = result.unwrap_err();
        assert!(matches!(fault, Error::Unsafe { .. }), "{fault:?}");
        assert!(fault.to_string().contains("backup GPT behind it"), "{fault}");
        assert_eq!(fault.advice(), Some(&Advice::LargerOrExact));
        assert!(stick.contents() == Stick::new(size).contents(), "something was written");
        let exact = Options { exact: true, ..plain() };
        assert!(write_with(&stick, &image, &exact).unwrap().is_whole);
        assert!(stick.contents()[..image.len()] == image);
        assert!(flash::verify(&stick, &image, &Silent).unwrap().is_whole);
    }
    // What its GPT does not know of is seen when it comes.
    let stick = Stick::new((5001 * BLOCK) as u64);
    let fault = write_packed(&stick, &image).unwrap_err();
    assert!(matches!(fault, Error::Unsafe { .. }), "{fault:?}");
    assert!(is_half_written(&stick.contents()));
}

#[test]
fn an_image_larger_than_the_medium_and_one_without_room_for_its_table_are_different_errors() {
    let image = image(5000, 128, 0);
    let fault = write_with(&Stick::new((4999 * BLOCK) as u64), &image, &plain()).unwrap_err();
    assert!(fault.to_string().contains("the image needs 2560000"), "{fault}");
}

#[test]
fn an_image_that_is_cut_behind_its_last_partition_is_whole_and_before_its_end_is_not() {
    let image = image(5000, 128, 0);
    let options = Options { nonce: 7, ..Options::default() };
    let without_backup = &image[..(5000 - 33) * BLOCK];
    let stick = Stick::new(6000 * BLOCK as u64);
    assert!(write_with(&stick, without_backup, &options).unwrap().is_whole);
    assert!(is_sound(&stick.contents()));
    let examined = flash::examine(&mut Image::Whole(&without_backup), "x", false).unwrap();
    assert!(examined.notes[0].contains("no backup GPT"), "{:?}", examined.notes);
    for missing in [34, 35, 1000, 4900] {
        let cut = &image[..(5000 - missing) * BLOCK];
        let stick = Stick::new(6000 * BLOCK as u64);
        let before = stick.contents();
        let fault = write_with(&stick, cut, &options).unwrap_err();
        assert!(fault.to_string().contains("partition 1 of its GPT ends at 2543104"), "{fault}");
        assert!(fault.to_string().starts_with("the image is truncated"), "{fault}");
        assert!(stick.contents() == before, "{missing}");
    }
}

#[test]
fn what_comes_once_and_is_cut_leaves_no_first_block_and_says_what_it_lacks() {
    let image = image(5000, 128, 0);
    let write = |image: &[u8]| {
        let (_folder, stream) = packed(image);
        let stick = Stick::new(6000 * BLOCK as u64);
        let media: [(&dyn Medium, &dyn Progress); 1] = [(&stick, &Silent)];
        let options = Options { nonce: 7, ..Options::default() };
        let result = flash::write(Image::Stream(stream), &media, &options).unwrap().pop().unwrap();
        (result, stick.contents())
    };
    let (result, found) = write(&image[..4000 * BLOCK]);
    assert!(result.unwrap_err().to_string().contains("is truncated: it has 2048000 bytes"));
    assert!(is_half_written(&found));
    let (result, found) = write(&image[..(5000 - 33) * BLOCK]);
    let report = result.unwrap();
    assert!(report.is_whole && report.note.unwrap().contains("no backup GPT"));
    assert!(is_sound(&found));
    assert_eq!(write(&image).0.unwrap().note, None);
}
