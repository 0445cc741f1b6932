//! Whether bytes differ because a filesystem was mounted since it was written: such marks are not a sign of a bad medium.

/// Bytes of a sector of FAT and of ext4's addresses.
const SECTOR: usize = 512;

/// Where FAT12 and FAT16 say that they are mounted, and their name (Microsoft `fatgen103`, BPB; Linux `fs/fat`, state).
const FAT16: (usize, usize) = (0x25, 0x36);

/// The same of FAT32.
const FAT32: (usize, usize) = (0x41, 0x52);

/// The bits of that byte: not unmounted, and not checked.
const FAT_BITS: u8 = 3;

/// Fields of ext4's superblock that a mount changes: times, count, state (Linux `Documentation/filesystems/ext4/super.rst`).
const EXT4: [std::ops::Range<usize>; 2] = [0x2C..0x36, 0x3A..0x3C];

/// Where ext4's magic number stands in its superblock.
const EXT4_MAGIC: (usize, [u8; 2]) = (0x38, [0x53, 0xEF]);

/// Whether the bytes of a unit from `start` to `end` differ as those of a mounted filesystem.
pub(super) fn is_mark(start: usize, end: usize, found: &[u8], expected: &[u8]) -> bool {
    let Some(sector) = start.checked_div(SECTOR).and_then(|number| number.checked_mul(SECTOR))
    else {
        return false;
    };
    let within = |at: usize| at.checked_sub(sector);
    let (Some(from), Some(till)) = (within(start), within(end)) else { return false };
    let part =
        |bytes: &[u8]| -> Option<[u8; SECTOR]> { bytes.get(sector..)?.first_chunk().copied() };
    let (Some(found), Some(expected)) = (part(found), part(expected)) else { return false };
    is_fat_mark(from, till, &found, &expected) || is_ext4_mark(from, till, &expected)
}

fn is_fat_mark(from: usize, till: usize, found: &[u8], expected: &[u8]) -> bool {
    let has =
        |at: usize, bytes: &[u8]| expected.get(at..).is_some_and(|rest| rest.starts_with(bytes));
    let is_fat = |(state, name): (usize, usize)| {
        let changed = found.get(state).zip(expected.get(state)).map(|(one, other)| one ^ other);
        has(name, b"FAT")
            && from == state
            && till.checked_sub(state) == Some(1)
            && changed.is_some_and(|bits| bits & !FAT_BITS == 0)
    };
    has(510, &[0x55, 0xAA]) && (is_fat(FAT16) || is_fat(FAT32))
}

fn is_ext4_mark(from: usize, till: usize, expected: &[u8]) -> bool {
    let (at, magic) = EXT4_MAGIC;
    let is_ext4 = expected.get(at..).is_some_and(|rest| rest.starts_with(&magic));
    is_ext4 && EXT4.iter().any(|field| field.start <= from && till <= field.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unit of two sectors, the second one with these bytes in it.
    fn unit(bytes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut sector = vec![0; SECTOR];
        for (at, bytes) in bytes {
            sector.splice(*at..at.saturating_add(bytes.len()), bytes.iter().copied());
        }
        [vec![0; SECTOR], sector].concat()
    }

    #[test]
    fn marks_of_a_mount_are_distinguished_from_flipped_bits() {
        let fat16 = unit(&[(0x36, b"FAT12   "), (510, &[0x55, 0xAA])]);
        let fat32 = unit(&[(0x52, b"FAT32   "), (510, &[0x55, 0xAA])]);
        let ext4 = unit(&[(0x38, &[0x53, 0xEF])]);
        let rows: [(&str, &[u8], usize, u8, bool); 9] = [
            ("FAT12, not unmounted", &fat16, 0x25, 1, true),
            ("FAT12, not checked", &fat16, 0x25, 2, true),
            ("FAT12, another bit", &fat16, 0x25, 0x10, false),
            ("FAT12, the next byte", &fat16, 0x26, 1, false),
            ("FAT32, not unmounted", &fat32, 0x41, 1, true),
            ("FAT32, FAT12's byte", &fat32, 0x25, 1, false),
            ("ext4, time of the last mount", &ext4, 0x2C, 1, true),
            ("ext4, number of blocks", &ext4, 0x04, 1, false),
            ("no filesystem", &unit(&[]), 0x25, 1, false),
        ];
        for (what, expected, at, bits, is) in rows {
            let start = SECTOR.saturating_add(at);
            let mut found = expected.to_vec();
            found[start] ^= bits;
            let end = start.saturating_add(1);
            assert_eq!(is_mark(start, end, &found, expected), is, "{what}");
        }
    }
}
