//! The partition tables of a hybrid image: MBR, GPT with its backup, and Apple's map.

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::apple_map;
use crate::formats::gpt::{Gpt, Header, LARGEST_ARRAY};
use crate::formats::isohybrid::Mbr;
use crate::image::ReadAt;
use crate::units::{ByteRange, DISK_BLOCK};

/// Sizes of blocks that disks have and tables are written for.
const BLOCK_SIZES: [u64; 2] = [DISK_BLOCK, 4096];

/// The blocks of the primary GPT's header and of its entries (UEFI 2.10 §5.3.1).
const PLACES: (u64, u64) = (1, 2);

/// What partitions an image has. An aarch64 installer has none.
#[derive(Clone, Debug)]
pub struct Partitions {
    /// The partition table of the Master Boot Record.
    pub mbr: Option<Mbr>,
    /// The GUID Partition Table.
    pub gpt: Option<Gpt>,
    /// The partitions of Apple's map, by their numbers.
    pub apple: Vec<(usize, ByteRange)>,
    /// What is wrong with the backup table, if anything. On a stick that is longer than the image the
    /// backup may have been moved.
    pub backup_fault: Option<String>,
}

impl Partitions {
    /// Reads the tables. Those that are there must be sound, apart from the backup.
    pub fn read(image: &impl ReadAt) -> Result<Self> {
        let first = block(image, 0, DISK_BLOCK)?;
        let mbr = Mbr::parse(&first);
        let apple = apple(image, &first)?;
        for size in BLOCK_SIZES {
            let Some((header, gpt)) = table(image, 1, size)? else { continue };
            check_addresses(&gpt)?;
            let backup_fault = backup_fault(image, &gpt, header.alternate_lba());
            return Ok(Self { mbr, gpt: Some(gpt), apple, backup_fault });
        }
        Ok(Self { mbr, gpt: None, apple, backup_fault: None })
    }

    /// The bytes of all partitions of all tables.
    pub fn ranges(&self) -> Result<Vec<ByteRange>> {
        Ok(self.named()?.into_iter().map(|(_, at)| at).collect())
    }

    /// The same, each with what it is called in messages, as `MBR partition 1`.
    pub fn named(&self) -> Result<Vec<(String, ByteRange)>> {
        let mut found = Vec::new();
        for (number, record) in self.mbr.iter().flat_map(Mbr::used) {
            let at = checked::range(record.start(), record.size(), "an MBR partition")?;
            found.push((format!("MBR partition {number}"), at));
        }
        if let Some(gpt) = &self.gpt {
            for part in gpt.partitions() {
                let (start, end) = gpt.bytes(&part)?;
                // One that ends before it starts has no bytes.
                if let Some(at) = ByteRange::between(start, end) {
                    found.push((format!("GPT partition {}", part.number), at));
                }
            }
        }
        let apple = self.apple.iter();
        found.extend(apple.map(|(number, at)| (format!("Apple partition {number}"), *at)));
        Ok(found)
    }

    /// The first byte behind all partitions, and behind the backup of the GPT if that is sound and ends by byte `last`.
    pub fn end(&self, last: u64) -> Result<u64> {
        let backup = self.gpt.as_ref().filter(|_| self.backup_fault.is_none()).and_then(|gpt| {
            let end = gpt.ends().0.checked_add(1)?.checked_mul(gpt.block())?;
            Some(end).filter(|end| *end <= last)
        });
        let ends = self.ranges()?.into_iter().map(ByteRange::end);
        Ok(ends.chain(backup).max().unwrap_or_default())
    }

    /// The partitions that show the volume: all that begin where the image does.
    pub fn of_the_volume(&self) -> Result<Vec<(String, ByteRange)>> {
        let mut found = self.named()?;
        found.retain(|(_, at)| at.start() == 0);
        Ok(found)
    }

    /// What is wrong with the GPT as firmware reads it, if anything, where all is known of the first `size` bytes but
    /// for the header, which a stick has otherwise than its image: it must lead to what is known, and to nothing else
    /// than in the base, whose partitions are `below`.
    pub fn stray(&self, below: &Self, size: u64) -> Result<Option<String>> {
        // Without one, firmware and kernel take a backup at the end of the medium, whoever wrote it.
        let Some(gpt) = &self.gpt else {
            return Ok(below.gpt.as_ref().map(|_| "no header in block 1".to_owned()));
        };
        let (own, array) = gpt.places();
        if (own, array) != PLACES {
            return Ok(Some(format!("a header of block {own} with entries at block {array}")));
        }
        let table = |gpt: &Gpt| (gpt.block(), gpt.entries(), gpt.usable().0);
        if let Some(below) = below.gpt.as_ref().filter(|below| table(below) != table(gpt)) {
            let (found, base) = (table(gpt), table(below));
            return Ok(Some(format!("(block, entries, first usable) {found:?}, not {base:?}")));
        }
        // The base's own ends, or those of a table that was made for a longer image or medium.
        let is_of_base = below.gpt.as_ref().is_some_and(|below| below.ends() == gpt.ends());
        let (backup, last) = gpt.ends();
        if !is_of_base && Some(last) != gpt.last_before_backup() {
            return Ok(Some(format!("last usable block {last}, with a backup at block {backup}")));
        }
        for part in gpt.partitions() {
            let (start, end) = gpt.bytes(&part)?;
            if start.max(end) > size {
                let number = part.number;
                return Ok(Some(format!("partition {number} from {start:#x} to {end:#x}")));
            }
        }
        Ok(None)
    }

    /// Whether the image has no partition table.
    pub fn is_empty(&self) -> bool {
        self.mbr.is_none() && self.gpt.is_none()
    }
}

/// Addresses of partitions are sums and products that fit from here on.
fn check_addresses(gpt: &Gpt) -> Result<()> {
    for part in gpt.partitions() {
        let (first, last) = part.blocks;
        let end = first.max(last).checked_add(1).and_then(|next| next.checked_mul(gpt.block()));
        if end.is_none() {
            let what = format!("partition {} of the GPT", part.number);
            let found = format!("blocks {first} to {last}");
            let expected = "blocks whose bytes 64 bits can number";
            return Err(Error::malformed(what, gpt.block(), found, expected));
        }
    }
    Ok(())
}

fn block(image: &impl ReadAt, number: u64, size: u64) -> Result<Vec<u8>> {
    let range =
        number.checked_mul(size).and_then(|at| ByteRange::new(at, size)).ok_or_else(|| {
            Error::malformed("GPT Header", 0, format!("block {number}"), "a block of the image")
        })?;
    image.read_range("the partition table", range, size)
}

/// The partitions of Apple's map.
fn apple(image: &impl ReadAt, first: &[u8]) -> Result<Vec<(usize, ByteRange)>> {
    let Some(size) = apple_map::block_size(first) else { return Ok(Vec::new()) };
    apple_map::partitions(size, |number| block(image, number, size))
}

/// The table whose header is in a block, or `None` without a header.
fn table(image: &impl ReadAt, number: u64, size: u64) -> Result<Option<(Header, Gpt)>> {
    let bytes = block(image, number, size)?;
    let at = checked::product(number, size, "a block that was read")?;
    let Some(header) = Header::parse(&bytes) else { return Ok(None) };
    let header = header.map_err(|fault| fault.in_image(at))?;
    let array_at =
        header.array_lba().checked_mul(size).and_then(|at| ByteRange::new(at, header.array_size()));
    let range = array_at.ok_or_else(|| {
        Error::malformed(
            "GPT Header",
            at,
            format!("an array at block {}", header.array_lba()),
            "one in the image",
        )
    })?;
    let array = image.read_range("Partition Entry Array", range, LARGEST_ARRAY)?;
    let gpt = header.with_array(array, size).map_err(|fault| fault.in_image(range.start()))?;
    Ok(Some((header, gpt)))
}

fn backup_fault(image: &impl ReadAt, primary: &Gpt, at: u64) -> Option<String> {
    match table(image, at, primary.block()) {
        Ok(Some((_, backup))) if primary.mirrors(&backup) => None,
        Ok(Some(_)) => Some("the backup GPT says something else than the primary one".into()),
        Ok(None) => Some(format!("no backup GPT Header in block {at}")),
        Err(fault) => Some(format!("the backup GPT: {fault}")),
    }
}
