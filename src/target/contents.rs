//! What a disk holds, by a look at its first blocks, for systems where udev has not looked.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;

/// The Primary Volume Descriptor of an ISO 9660 volume (ECMA-119 §6.7.1).
const DESCRIPTOR: u64 = 0x8000;
/// Its Volume Identifier, BP 41-72.
const LABEL: std::ops::Range<usize> = 40..72;

/// What is on the disk; none if nothing is known or it may not be read.
pub(super) fn look(path: &Path, block: u64) -> Option<String> {
    let file = File::open(path).ok()?;
    let found: Vec<String> = [volume(&file), table(path, block)].into_iter().flatten().collect();
    if found.is_empty() { boot_record(&file) } else { Some(found.join(", ")) }
}

fn volume(file: &File) -> Option<String> {
    let mut descriptor = [0; 2048];
    file.read_exact_at(&mut descriptor, DESCRIPTOR).ok()?;
    let label = descriptor.get(LABEL).filter(|_| descriptor.starts_with(b"\x01CD001"))?;
    Some(format!("iso9660 \"{}\"", String::from_utf8_lossy(label).trim_end()))
}

/// The names of the partitions of a GPT; the header only where none has a name.
fn table(path: &Path, block: u64) -> Option<String> {
    let size = match block {
        512 => LogicalBlockSize::Lb512,
        4096 => LogicalBlockSize::Lb4096,
        _ => return None,
    };
    let disk = GptConfig::new().writable(false).logical_block_size(size).open(path).ok()?;
    let parts = disk.partitions().values().map(|part| part.name.as_str());
    let names: Vec<&str> = parts.filter(|name| !name.is_empty()).collect();
    let count = disk.partitions().len();
    let listed = names.join(", ");
    Some(if listed.is_empty() {
        format!("gpt of {count}")
    } else {
        format!("gpt of {count} ({listed})")
    })
}

fn boot_record(file: &File) -> Option<String> {
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, 0).ok()?;
    match sector.get(510..)? {
        [0x55, 0xAA] => Some("boot record".to_owned()),
        _ => None,
    }
}
