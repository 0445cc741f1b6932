//! What a disk or partition holds, by a look at its first blocks, for systems where udev has not looked.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::formats::flash_mark;
use crate::formats::gpt::{Gpt, Header, LARGEST_ARRAY};
use crate::formats::reset_mark::ResetMark;
use crate::threads;
use crate::units::usize_of;

/// Bytes that are looked at: up to the first uberblock of ZFS, behind the 128 KiB before it.
const HEAD: u64 = 132 << 10;

/// Time for one look. A medium that is broken answers after minutes, or never.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is said of a disk that says nothing in time.
const SILENT: &str = "does not answer";

/// What is said of a disk that the user may not read.
const CLOSED: &str = "not readable without root";

/// A place, the magic number that stands there, what it is of as `blkid` calls it, and where its label is (0 bytes: nowhere).
type Row = (usize, &'static [u8], &'static str, (usize, usize));

/// By the headers of Linux, `LUKS2` On-Disk Format 1.1, `label.h` of LVM, and `uberblock_impl.h` of ZFS.
const KNOWN: [Row; 17] = [
    (0x8001, b"CD001", "iso9660", (0x8000 + 40, 32)),
    (0, b"LUKS\xBA\xBE", "crypto_LUKS", (24, 48)),
    (0x18, b"LABELONE", "LVM2_member", (0, 0)),
    (0x218, b"LABELONE", "LVM2_member", (0, 0)),
    (0x200, b"LABELONE", "LVM2_member", (0, 0)),
    (0x1000, b"\xFC\x4E\x2B\xA9", "linux_raid_member", (0x1000 + 32, 32)),
    (0, b"\xFC\x4E\x2B\xA9", "linux_raid_member", (32, 32)),
    (0, b"XFSB", "xfs", (108, 12)),
    (3, b"NTFS    ", "ntfs", (0, 0)),
    (3, b"EXFAT   ", "exfat", (0, 0)),
    (82, b"FAT32", "vfat", (71, 11)),
    (54, b"FAT", "vfat", (43, 11)),
    (0x1_0040, b"_BHRfS_M", "btrfs", (0x1_0000 + 0x12B, 256)),
    (0x438, b"\x53\xEF", "ext4", (0x478, 16)),
    (4086, b"SWAPSPACE2", "swap", (1024 + 28, 16)),
    (0x2_0000, b"\x0C\xB1\xBA\0\0\0\0\0", "zfs_member", (0, 0)),
    (0x2_0000, b"\0\0\0\0\0\xBA\xB1\x0C", "zfs_member", (0, 0)),
];

/// What is on the disk; none if nothing is known. A disk that does not answer holds up nobody.
pub(super) fn look(path: &Path, block: u64) -> Option<String> {
    let node = path.to_owned();
    within(TIMEOUT, move || look_at(&node, block))
}

fn within(
    patience: Duration,
    look: impl FnOnce() -> Option<String> + Send + 'static,
) -> Option<String> {
    let (tell, hear) = mpsc::channel();
    // It is left behind if it hangs: nothing else ends a read that the kernel waits for.
    if let Err(fault) = threads::start_alone(move || tell.send(look())) {
        return Some(format!("not readable: {fault}"));
    }
    match hear.recv_timeout(patience) {
        Ok(found) => found,
        Err(mpsc::RecvTimeoutError::Timeout) => Some(SILENT.to_owned()),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
    }
}

fn look_at(path: &PathBuf, block: u64) -> Option<String> {
    // Whatever has taken the node's place is not waited for, and becomes no controlling terminal (open(2)).
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let head = rustix::fs::open(path, flags, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|file| read(&File::from(file)));
    match head {
        Ok(head) => describe(&head, block),
        Err(fault) if fault.kind() == io::ErrorKind::PermissionDenied => Some(closed(&fault)),
        Err(_) => None,
    }
}

/// Root may be kept from a disk, too: in a container, or by a security module.
fn closed(fault: &io::Error) -> String {
    if rustix::process::geteuid().is_root() {
        format!("not readable: {fault}")
    } else {
        CLOSED.to_owned()
    }
}

fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head).map(|_| head)
}

/// What begins with these bytes, on a disk with blocks of `block` bytes.
fn describe(head: &[u8], block: u64) -> Option<String> {
    if flash_mark::is_in(head) {
        return Some("a half written image".to_owned());
    }
    if ResetMark::is_in(head) {
        return Some("an image whose reset was interrupted".to_owned());
    }
    let known = KNOWN
        .iter()
        .find(|(at, magic, ..)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    let known = known.map(|(_, _, name, label)| match label_at(head, *label) {
        Some(label) => format!("{name} \"{label}\""),
        None => (*name).to_owned(),
    });
    let found: Vec<String> = known.into_iter().chain(table(head, block)).collect();
    if found.is_empty() { boot_record(head) } else { Some(found.join(", ")) }
}

fn label_at(head: &[u8], (at, size): (usize, usize)) -> Option<String> {
    let bytes = head.get(at..)?.get(..size)?;
    let text = bytes.split(|byte| *byte == 0).next()?;
    let label = String::from_utf8_lossy(text).trim_end().to_owned();
    // What FAT has where there is none.
    Some(label).filter(|label| !label.is_empty() && label != "NO NAME")
}

/// The names of the partitions of a GPT; their number only where none has a name.
fn table(head: &[u8], block: u64) -> Option<String> {
    let part = |from: u64, size: u64| {
        let from = usize_of(from);
        head.get(from..from.checked_add(usize_of(size))?)
    };
    let header = Header::parse(part(block, block)?)?.ok()?;
    let size = Some(header.array_size()).filter(|size| *size <= LARGEST_ARRAY)?;
    let array = part(header.array_lba().checked_mul(block)?, size)?;
    let gpt: Gpt = header.with_array(array.to_vec(), block).ok()?;
    let parts = gpt.partitions();
    let names: Vec<&str> =
        parts.iter().map(|part| part.name.as_str()).filter(|name| !name.is_empty()).collect();
    let (count, listed) = (parts.len(), names.join(", "));
    Some(if listed.is_empty() {
        format!("gpt of {count}")
    } else {
        format!("gpt of {count} ({listed})")
    })
}

fn boot_record(head: &[u8]) -> Option<String> {
    (head.get(510..512)? == [0x55, 0xAA]).then(|| "boot record".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes and their places.
    type Parts<'a> = &'a [(usize, &'a [u8])];

    /// A disk with these bytes at these places.
    fn disk(parts: Parts<'_>) -> Vec<u8> {
        let mut disk = vec![0; usize_of(HEAD)];
        for (at, bytes) in parts {
            disk.splice(*at..at.saturating_add(bytes.len()), bytes.iter().copied());
        }
        disk
    }

    #[test]
    fn everything_that_is_known_is_called_by_its_name_and_label() {
        for (at, magic, name, (label_at, size)) in KNOWN {
            assert_eq!(describe(&disk(&[(at, magic)]), 512).as_deref(), Some(name));
            if size > 0 {
                let found = describe(&disk(&[(at, magic), (label_at, b"DATA  \0")]), 512);
                assert_eq!(found, Some(format!("{name} \"DATA\"")));
            }
            // Cut before it, nothing is reported.
            assert_eq!(
                describe(disk(&[(at, magic)]).get(..at).unwrap_or_default(), 512),
                None,
                "{name}"
            );
        }
        let rows: [(Parts<'_>, Option<&str>); 5] = [
            (&[], None),
            (&[(0, b"remaster flash 1")], Some("a half written image")),
            (&[(0, b"remaster reset 2")], Some("an image whose reset was interrupted")),
            (&[(510, b"\x55\xAA")], Some("boot record")),
            (&[(82, b"FAT32"), (71, b"NO NAME    ")], Some("vfat")),
        ];
        for (parts, expected) in rows {
            assert_eq!(describe(&disk(parts), 512).as_deref(), expected);
        }
    }

    #[test]
    fn a_table_that_claims_more_entries_than_there_can_be_is_not_read() {
        let mut header = vec![0; 92];
        header.splice(..8, *b"EFI PART");
        header.splice(80..88, [0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0, 0, 0]);
        assert_eq!(describe(&disk(&[(512, &header)]), 512), None);
    }

    #[test]
    fn a_disk_that_says_nothing_holds_up_nobody() {
        let (_keep, wait) = mpsc::channel::<()>();
        let hangs = move || wait.recv().ok().map(|()| String::new());
        assert_eq!(within(Duration::from_millis(20), hangs).as_deref(), Some(SILENT));
        let found = || Some("vfat".to_owned());
        assert_eq!(within(TIMEOUT, found).as_deref(), Some("vfat"));
    }
}
