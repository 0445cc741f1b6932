//! Block and inode bitmaps (`fs/ext4/bitmap.c`): one bit for each, the least significant one first.

use crate::checked;
use crate::error::Result;
use crate::units::usize_of;

/// Whether a bit is set; bits past the end are.
pub(crate) fn is_set(bitmap: &[u8], bit: u64) -> bool {
    let Some((byte, mask)) = place(bit) else { return true };
    bitmap.get(byte).is_none_or(|byte| byte & mask != 0)
}

/// Sets a bit.
pub fn set(bitmap: &mut [u8], bit: u64) -> Result<()> {
    let (byte, mask) = in_byte(bitmap, bit)?;
    *byte |= mask;
    Ok(())
}

/// Clears a bit.
pub fn clear(bitmap: &mut [u8], bit: u64) -> Result<()> {
    let (byte, mask) = in_byte(bitmap, bit)?;
    *byte &= !mask;
    Ok(())
}

/// The byte with a bit, and the bit in it.
fn in_byte(bitmap: &mut [u8], bit: u64) -> Result<(&mut u8, u8)> {
    let place = place(bit);
    let found = place.and_then(|(byte, mask)| Some((bitmap.get_mut(byte)?, mask)));
    checked::present(found, "the bit of a bitmap")
}

/// How many of the first `bits` are not set.
pub fn free(bitmap: &[u8], bits: u64) -> u64 {
    (0..bits).map(|bit| u64::from(!is_set(bitmap, bit))).sum()
}

/// A bitmap of a block of `size` bytes in which only bits from `bits` on are set: those that stand for
/// nothing.
pub fn padded(size: u64, bits: u64) -> Result<Vec<u8>> {
    let mut bitmap = vec![0; usize_of(size)];
    let all = checked::product(size, 8, "the bits of a bitmap")?;
    (bits..all).try_for_each(|bit| set(&mut bitmap, bit))?;
    Ok(bitmap)
}

fn place(bit: u64) -> Option<(usize, u8)> {
    let shift = u32::try_from(bit.checked_rem(8)?).ok()?;
    Some((usize_of(bit.checked_div(8)?), 1_u8.checked_shl(shift)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_cleared_and_counted() {
        let mut bitmap = padded(4, 20).unwrap();
        assert_eq!(bitmap, [0, 0, 0xf0, 0xff]);
        set(&mut bitmap, 9).unwrap();
        assert!(set(&mut bitmap, 1000).is_err());
        assert_eq!(
            (is_set(&bitmap, 9), is_set(&bitmap, 8), is_set(&bitmap, 1000)),
            (true, false, true)
        );
        assert_eq!(free(&bitmap, 20), 19);
        clear(&mut bitmap, 9).unwrap();
        assert_eq!(free(&bitmap, 20), 20);
    }
}
