//! The checks of a raw image: whether its structures agree.

use crate::disk::ext4::Filesystem;
use crate::disk::survey::DiskSurvey;
use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::image::check::{Check, backup_gpt};

/// All checks.
pub fn check_survey(raw: &DiskSurvey) -> Vec<Check> {
    let mut checks = vec![Check {
        name: "root filesystem",
        ok: raw.root.end() <= raw.size,
        detail: format!("{} of {} bytes in the image", raw.root, raw.size),
    }];
    checks.extend(backup_gpt(&raw.partitions));
    checks
}

/// Whether the superblock of the root counts as its groups do. It reads the bitmaps of all of them.
///
/// # Errors
/// They cannot be read.
pub fn counts<I: ReadAt>(root: &Filesystem<I>) -> Result<Check> {
    let counted = match root.check_free() {
        Err(fault @ Error::Io { .. }) => return Err(fault),
        counted => counted.map_err(|fault| fault.to_string()),
    };
    let free = (root.superblock().free_blocks(), root.superblock().free_inodes());
    Ok(Check {
        name: "free blocks",
        ok: counted.is_ok(),
        detail: counted.err().unwrap_or_else(|| {
            format!("{} blocks and {} inodes, as the groups have", free.0, free.1)
        }),
    })
}
