//! Partition tables of an image that grew: sizes, checksums, and the backup GPT at the new end.

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use crate::checked;
use crate::error::{Advice, Error, Result};
use crate::formats::gpt::Gpt;
use crate::formats::iso9660::volume_descriptor::VolumeDescriptor;
use crate::formats::isohybrid::{HybridSize, Mbr, TABLE_AT};
use crate::image::ReadAt;
use crate::image::partitions::Partitions;
use crate::image::patched::Patch;
use crate::units::{ByteRange, DISK_BLOCK, LOGICAL_BLOCK};

/// The size of the finished image: room for the backup GPT behind `data_end`, then whole cylinders as
/// xorriso makes them. Without partitions, whole logical blocks.
pub fn image_size(partitions: &Partitions, data_end: u64) -> Result<u64> {
    if partitions.is_empty() {
        return checked::round_up(data_end, LOGICAL_BLOCK, "the size of the image");
    }
    let mut needed = data_end;
    if let Some(gpt) = &partitions.gpt {
        let blocks = checked::sum(gpt.array_blocks(), 1, "the backup GPT")?;
        let backup = checked::product(blocks, gpt.block(), "the backup GPT")?;
        needed = checked::sum(needed, backup, "the size of the image")?;
    }
    Ok(hybrid_size(needed)?.image)
}

fn hybrid_size(needed: u64) -> Result<HybridSize> {
    checked::present(HybridSize::holding(needed), "a size in whole cylinders")
}

/// A volume can grow only where nothing lies behind it: `xorriso -append_partition` puts a partition there.
pub(crate) fn check_behind(partitions: &Partitions, volume_size: u64) -> Result<()> {
    match places(partitions)?.find(|(_, start)| *start >= volume_size) {
        None => Ok(()),
        Some((name, start)) => Err(Error::unsupported(
            "the partitions, as the volume must grow",
            format!("none behind the volume, which ends at byte {volume_size:#x}"),
            format!("{name} from byte {start:#x} on"),
        )
        .with_hint(format!(
            "give the ISO itself, not a copy of a stick to which {name} was added; or delete that partition"
        ))),
    }
}

/// No partition but one from the image's start on may show a volume: `xorriso -partition_offset` makes a
/// second tree of the same files there, which the kernel may mount instead.
pub(crate) fn check_volumes(image: &impl ReadAt, partitions: &Partitions) -> Result<()> {
    for (name, start) in places(partitions)?.filter(|(_, start)| *start != 0) {
        let at =
            start.checked_add(16 * LOGICAL_BLOCK).and_then(|at| ByteRange::new(at, LOGICAL_BLOCK));
        let Some(at) = at.filter(|at| at.end() <= image.size()) else { continue };
        let block = image.read_range("the partitions", at, LOGICAL_BLOCK)?;
        if VolumeDescriptor::parse(&block).is_ok() {
            return Err(Error::unsupported(
                "the partitions",
                "none with a volume of its own",
                format!("{name} from byte {start:#x} on, with one"),
            ));
        }
    }
    Ok(())
}

/// What partitions there are, and the bytes where they start.
fn places(partitions: &Partitions) -> Result<impl Iterator<Item = (String, u64)>> {
    Ok(partitions.named()?.into_iter().map(|(name, at)| (name, at.start())))
}

/// The tables where a partition is moved. Nothing else of them changes yet.
pub fn moved(partitions: &Partitions, from: ByteRange, to: ByteRange) -> Result<Partitions> {
    if let Some((number, _)) = partitions.apple.iter().find(|(_, at)| at.start() == from.start()) {
        return Err(Error::unsupported(
            "the UEFI boot image, which must move to have more room",
            "no partition of it in Apple's map",
            format!("Apple partition {number}"),
        )
        .with_hint(Advice::MergeInitrd));
    }
    let mut new = partitions.clone();
    let block = new.gpt.as_ref().map_or(DISK_BLOCK, Gpt::block).max(LOGICAL_BLOCK);
    let end = checked::round_up(to.end(), block, "the end of a partition")?;
    let to = checked::between(to.start(), end, "a partition")?;
    if let Some(gpt) = &mut new.gpt {
        let moved = gpt.move_partition(from.start(), to);
        checked::present(moved, "a place in whole blocks for a GPT partition")?;
    }
    for record in new.mbr.iter_mut().flat_map(|mbr| &mut mbr.partitions) {
        if record.start() == from.start() && record.size_in_lba.get() != 0 {
            record.place(to).ok_or_else(|| Error::NoRoom {
                what: "an MBR partition record".into(),
                needed: to.end(),
                // It counts its blocks with 32 bits (UEFI 2.10 §5.2.1).
                free: DISK_BLOCK << 32,
            })?;
        }
    }
    Ok(new)
}

/// The changes for an image that grows from `old` to `new` bytes.
pub fn patches(partitions: &Partitions, old: u64, new: u64) -> Result<Vec<Patch>> {
    let mut patches = Vec::new();
    if let Some(mbr) = &partitions.mbr {
        let grown = grown(*mbr, old, new)?;
        patches.push(Patch::bytes(TABLE_AT, grown.as_bytes().to_vec(), "Master Boot Record")?);
    }
    if let Some(gpt) = &partitions.gpt {
        let grown = gpt.grown(new).and_then(|grown| grown.blocks());
        for (at, bytes, why) in checked::present(grown, "room for the backup GPT")? {
            patches.push(Patch::bytes(at, bytes, why)?);
        }
    }
    Ok(patches)
}

/// The partition that covers the whole image grows with it, wherever it ends: xorriso leaves padding
/// behind it when it makes a volume again, and a stick is longer than its image. The others stay.
fn grown(mut mbr: Mbr, old: u64, new: u64) -> Result<Mbr> {
    let size = hybrid_size(new)?;
    let old_blocks = old.div_ceil(DISK_BLOCK);
    for record in mbr.partitions.iter_mut().filter(|record| record.size_in_lba.get() != 0) {
        let start = u64::from(record.starting_lba.get());
        let length = u64::from(record.size_in_lba.get());
        let end = checked::sum(start, length, "the end of an MBR partition")?;
        // xorriso lets it end with the last whole cylinder, up to three blocks before the image.
        let reaches_the_end = old_blocks.checked_sub(end).is_some_and(|behind| behind < 4);
        if start <= 1 || reaches_the_end && record.os_type == 0 {
            let blocks = checked::difference(size.blocks, start, "the size of a partition")?;
            record.size_in_lba = U32::new(u32::try_from(blocks).unwrap_or(u32::MAX));
            record.ending_chs = size.ending_chs;
        }
    }
    Ok(mbr)
}
