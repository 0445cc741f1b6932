//! Block and inode bitmaps (`fs/ext4/bitmap.c`): one bit for each, the least significant one first.

use crate::units::in_memory;

/// Whether a bit is set; bits past the end are.
pub fn is_set(bitmap: &[u8], bit: u64) -> bool {
    let Some((byte, mask)) = place(bit) else { return true };
    bitmap.get(byte).is_none_or(|byte| byte & mask != 0)
}

/// Sets a bit.
pub fn set(bitmap: &mut [u8], bit: u64) {
    if let Some((byte, mask)) = place(bit)
        && let Some(byte) = bitmap.get_mut(byte)
    {
        *byte |= mask;
    }
}

/// Clears a bit.
pub fn clear(bitmap: &mut [u8], bit: u64) {
    if let Some((byte, mask)) = place(bit)
        && let Some(byte) = bitmap.get_mut(byte)
    {
        *byte &= !mask;
    }
}

/// How many of the first `bits` are not set.
pub fn free(bitmap: &[u8], bits: u64) -> u64 {
    (0..bits).fold(0, |sum: u64, bit| sum.saturating_add(u64::from(!is_set(bitmap, bit))))
}

/// A bitmap of a block of `size` bytes in which only bits from `bits` on are set: those that stand for
/// nothing.
pub fn padded(size: u64, bits: u64) -> Vec<u8> {
    let mut bitmap = vec![0; in_memory(size)];
    (bits..size.saturating_mul(8)).for_each(|bit| set(&mut bitmap, bit));
    bitmap
}

fn place(bit: u64) -> Option<(usize, u8)> {
    let shift = u32::try_from(bit.checked_rem(8)?).ok()?;
    Some((in_memory(bit.checked_div(8)?), 1_u8.checked_shl(shift)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_cleared_and_counted() {
        let mut bitmap = padded(4, 20);
        assert_eq!(bitmap, [0, 0, 0xf0, 0xff]);
        set(&mut bitmap, 9);
        set(&mut bitmap, 1000);
        assert_eq!(
            (is_set(&bitmap, 9), is_set(&bitmap, 8), is_set(&bitmap, 1000)),
            (true, false, true)
        );
        assert_eq!(free(&bitmap, 20), 19);
        clear(&mut bitmap, 9);
        assert_eq!(free(&bitmap, 20), 20);
    }
}
