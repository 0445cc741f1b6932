//! The checks of a raw image: whether its structures agree.

use crate::disk::survey::DiskSurvey;
use crate::image::check::{Check, backup_gpt};

/// All checks.
pub fn of(raw: &DiskSurvey) -> Vec<Check> {
    let mut checks = vec![Check {
        name: "root filesystem",
        ok: raw.root.end() <= raw.size,
        detail: format!("{} of {} bytes in the image", raw.root, raw.size),
    }];
    checks.extend(backup_gpt(&raw.partitions));
    checks
}
