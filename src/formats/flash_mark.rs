//! What stands in a disk's first block until all of an image is on the disk and verified.
//!
//! ```text
//!   0  16  "remaster flash 1"
//! ```
//! All else is zero: no boot signature, no GPT. Without the mark such a disk looks like one that was never written.

use crate::checked;
use crate::error::Result;

/// What the block begins with.
const MAGIC: &[u8; 16] = b"remaster flash 1";
/// What the marks of all versions begin with.
const FAMILY: &[u8] = b"remaster flash ";

/// Whether a disk that starts so is half written, by whatever version of this program.
pub fn is_in(start: &[u8]) -> bool {
    start.starts_with(FAMILY)
}

/// Makes `block` the first one of a half written disk.
///
/// # Errors
/// A block that has no room for the mark, which is a fault of this program.
pub fn put(block: &mut [u8]) -> Result<()> {
    block.fill(0);
    checked::part_mut(block, ..MAGIC.len(), "room for the mark")?.copy_from_slice(MAGIC);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_mark_is_known_and_nothing_that_boots() {
        let mut block = vec![0xFF; 4096];
        put(&mut block).unwrap();
        assert!(is_in(&block) && block[MAGIC.len()..].iter().all(|byte| *byte == 0));
        block[FAMILY.len()] = b'2';
        assert!(is_in(&block), "a later version");
        for short in 0..MAGIC.len() {
            assert!(matches!(put(&mut vec![0xFF; short]), Err(Error::Bug { .. })), "{short}");
        }
    }
}
