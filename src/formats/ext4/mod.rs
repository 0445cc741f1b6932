//! ext4 (Linux `Documentation/filesystems/ext4/`, `fs/ext4/ext4.h`): records, bitmaps and checksums.
//! Numbers have the least significant byte first.

pub mod bitmap;
pub mod directory;
pub mod extent;
pub mod group;
pub mod inode;
pub mod superblock;

use crc::{CRC_16_MODBUS, CRC_32_ISCSI, Crc};

static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
static CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);

/// CRC-32C as ext4 has it: what one call gives is the next one's seed, and nothing is inverted.
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let mut digest = CRC32C.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    !digest.finalize()
}

/// CRC-16 of several parts, as group descriptors had it before `metadata_csum`.
fn crc16(parts: &[&[u8]]) -> u16 {
    let mut digest = CRC16.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// The two halves of a number.
fn halves(number: u32) -> (u16, u16) {
    let [a, b, c, d] = number.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

/// A number of two halves.
fn joined(low: u16, high: u16) -> u32 {
    let ([a, b], [c, d]) = (low.to_le_bytes(), high.to_le_bytes());
    u32::from_le_bytes([a, b, c, d])
}

/// The two words of a number.
fn words(number: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// A number of two words.
fn long(low: u32, high: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (low.to_le_bytes(), high.to_le_bytes());
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_catalogue_and_can_be_chained() {
        // The check values of both algorithms in the CRC catalogue (reveng.sourceforge.io).
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(crc16(&[b"1234", b"56789"]), 0x4b37);
        assert_eq!(crc32c(crc32c(7, b"1234"), b"56789"), crc32c(7, b"123456789"));
    }

    #[test]
    fn numbers_are_put_together_from_what_they_were_taken_apart_into() {
        let (low, high) = halves(0x1234_5678);
        assert_eq!((low, high, joined(low, high)), (0x5678, 0x1234, 0x1234_5678));
        let (low, high) = words(0x1_0000_0002);
        assert_eq!((low, high, long(low, high)), (2, 1, 0x1_0000_0002));
    }
}
