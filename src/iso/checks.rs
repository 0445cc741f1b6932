//! The checks of an ISO: whether its structures agree.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::formats::iso9660::volume_descriptor::VolumeDescriptor;
use crate::image::check::{Check, backup_gpt};
use crate::iso::survey::Survey;
use crate::iso::survey::boot_catalog::Platform;
use crate::iso::survey::tree::Tree;
use crate::units::ByteRange;

/// All checks.
///
/// # Errors
/// Faults of this program.
pub fn check_survey(survey: &Survey) -> Result<Vec<Check>> {
    let mut checks = vec![volume_size(survey), hierarchies(survey)];
    checks.extend(second_descriptors(survey));
    checks.extend(backup_gpt(&survey.partitions));
    checks.extend(volume_partitions(survey)?);
    checks.extend(esp_partition(survey));
    Ok(checks)
}

/// Whether the volume is in the image. A stick is longer than what was written to it.
fn volume_size(survey: &Survey) -> Check {
    Check {
        name: "volume size",
        ok: survey.volume.size() <= survey.size,
        detail: format!("{} bytes of {} in the image", survey.volume.size(), survey.size),
    }
}

/// Whether both hierarchies hold the same bytes.
fn hierarchies(survey: &Survey) -> Check {
    let bytes = |tree: &Tree| {
        let mut found: Vec<Vec<ByteRange>> =
            tree.files().map(|(_, node)| node.extents.clone()).collect();
        found.sort();
        found
    };
    let (first, own) = (survey.tree(), bytes(survey.tree()));
    let other = survey.trees.iter().find(|tree| bytes(tree) != own);
    let detail = match other {
        None => format!("{} hierarchies, {} files", survey.trees.len(), own.len()),
        Some(other) => alone(first, other).or_else(|| alone(other, first)).unwrap_or_else(|| {
            format!("{} names of files and {}", own.len(), other.files().count())
        }),
    };
    Check { name: "hierarchies", ok: other.is_none(), detail }
}

/// A file of a hierarchy whose bytes are those of no file of another one.
fn alone(tree: &Tree, other: &Tree) -> Option<String> {
    let there: BTreeSet<&[ByteRange]> =
        other.files().map(|(_, node)| node.extents.as_slice()).collect();
    let (path, _) = tree.files().find(|(_, node)| !there.contains(node.extents.as_slice()))?;
    Some(format!("only the {:?} one has {path}", tree.hierarchy))
}

/// Whether a second set of descriptors, if there is one, leads to the same files.
fn second_descriptors(survey: &Survey) -> Option<Check> {
    let leads = |value: &VolumeDescriptor| {
        let tables = (value.type_l_path_table.get(), value.type_m_path_table.get());
        (value.root.location_of_extent.get(), value.path_table_size.get(), tables)
    };
    let second = &survey.volume.second;
    let at = second.first()?.at.start();
    let first = survey.volume.hierarchies().map(|(_, found)| leads(&found.value));
    let ok = first.eq(second.iter().map(|found| leads(&found.value)));
    let says = if ok { "the same files" } else { "other files: of an earlier session" };
    Some(Check { name: "second descriptors", ok, detail: format!("at byte {at:#x}, {says}") })
}

/// Whether every partition that shows the volume reaches behind the last file: the kernel reads no farther.
fn volume_partitions(survey: &Survey) -> Result<Option<Check>> {
    let nodes = survey.trees.iter().flat_map(|tree| tree.nodes.values());
    let last = nodes
        .flat_map(|node| &node.extents)
        .filter(|at| !at.is_empty())
        .map(|at| at.end())
        .max()
        .unwrap_or_default();
    let partitions = survey.partitions.of_the_volume()?;
    let shortest = partitions.into_iter().min_by_key(|(_, at)| at.end());
    Ok(shortest.map(|(name, at)| {
        let detail = format!("{name} ends at byte {:#x}, the last file at {last:#x}", at.end());
        Check { name: "partition of the volume", ok: at.end() >= last, detail }
    }))
}

/// Whether partition and boot catalog start the same UEFI boot image.
fn esp_partition(survey: &Survey) -> Option<Check> {
    let entry = survey.boot.iter().find(|entry| entry.platform == Platform::Uefi)?;
    let mbr = survey.partitions.mbr.as_ref()?;
    let (_, record) = mbr.used().find(|(_, record)| record.os_type == 0xef)?;
    let start = record.start();
    let detail =
        format!("boot catalog at byte {:#x}, partition at {start:#x}", entry.image.start());
    Some(Check { name: "UEFI boot image", ok: start == entry.image.start(), detail })
}
