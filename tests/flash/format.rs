//! A stick is an ordinary one again, or says that it is half written.

use std::io::{Cursor, Read, Write};
use std::sync::atomic::Ordering;

use remaster::error::Result;
use remaster::flash::{self, Format, Report};
use remaster::formats::fat32::Label;
use remaster::progress::Silent;

use crate::stick::Stick;
use crate::writing::is_half_written;

const MIB: u64 = 1 << 20;

fn format(stick: &Stick, label: Option<&str>) -> Result<Report> {
    let label = label.map(|label| Label::parse(label).unwrap());
    let what = Format { size: stick.claimed, sector: stick.block, label, id: 0x1234_5678 };
    flash::format(stick, what, &Silent)
}

#[test]
fn a_formatted_stick_takes_files_and_nothing_of_the_old_ends_is_there() {
    for (size, block) in [(36 * MIB, 512), (64 * MIB + 512, 512), (300 * MIB, 4096)] {
        let mut stick = Stick::holding(vec![0xA5; size as usize]);
        stick.block = block;
        let report = format(&stick, Some("data")).unwrap();
        assert!(report.is_whole && report.verify_time.is_some(), "{:?}", report.differences);
        assert!(report.written < 6 * MIB, "{} written", report.written);
        let mut disk = stick.contents();
        let end = disk.len() - (1 << 20);
        assert!(disk[512..1 << 20].iter().chain(&disk[end..]).all(|&byte| byte == 0));
        let entry = &disk[446..462];
        assert_eq!(entry[4], 0x0C);
        let number = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().unwrap());
        assert_eq!(u64::from(number(8)) * block, MIB);
        assert_eq!(u64::from(number(8) + number(12)) * block, size / block * block);
        let part = Cursor::new(&mut disk[1 << 20..]);
        let filesystem = fatfs::FileSystem::new(part, fatfs::FsOptions::new()).unwrap();
        assert_eq!(filesystem.fat_type(), fatfs::FatType::Fat32);
        assert_eq!(filesystem.read_volume_label_from_root_dir().unwrap().as_deref(), Some("DATA"));
        let folder = filesystem.root_dir();
        assert_eq!(folder.iter().count(), 0);
        folder.create_file("a.txt").unwrap().write_all(&vec![7; 100_000]).unwrap();
        let mut read = Vec::new();
        folder.open_file("a.txt").unwrap().read_to_end(&mut read).unwrap();
        assert!(read == vec![7; 100_000]);
    }
}

#[test]
fn a_format_that_stops_leaves_a_stick_that_is_called_half_written() {
    let before = vec![0xA5; 40 << 20];
    let whole = Stick::holding(before.clone());
    format(&whole, None).unwrap();
    for writes in 0.. {
        let stick = Stick::holding(before.clone());
        stick.writes_left.store(writes, Ordering::SeqCst);
        let ended = format(&stick, None);
        let found = stick.contents();
        if ended.is_ok() {
            assert!(found == whole.contents() && writes > 3);
            return;
        }
        assert!(found == before || is_half_written(&found) || found == whole.contents());
    }
}

#[test]
fn a_stick_that_is_too_small_is_not_touched_and_one_that_loses_bytes_is_reported() {
    let small = Stick::holding(vec![0xA5; 20 << 20]);
    let fault = format(&small, None).unwrap_err();
    assert!(fault.to_string().contains("too small for FAT32"), "{fault}");
    assert!(small.contents() == vec![0xA5; 20 << 20]);
    let mut deaf = Stick::holding(vec![0xA5; 40 << 20]);
    deaf.deaf = 39 * MIB..40 * MIB;
    let report = format(&deaf, None).unwrap();
    assert!(report.error("/dev/stick").is_some() && is_half_written(&deaf.contents()));
}
