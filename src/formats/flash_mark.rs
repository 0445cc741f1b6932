//! What stands in a disk's first block until all of an image is on the disk and verified.
//!
//! ```text
//!   0  16  "remaster flash 1"
//! ```
//! All else is zero: no boot signature, no GPT. Without the mark such a disk looks like one that was never written.

/// What the block begins with.
const MAGIC: &[u8; 16] = b"remaster flash 1";
/// What the marks of all versions begin with.
const FAMILY: &[u8] = b"remaster flash ";

/// Whether a disk that starts so is half written, by whatever version of this program.
pub fn is_in(start: &[u8]) -> bool {
    start.starts_with(FAMILY)
}

/// Makes `block` the first one of a half written disk. What is shorter than a mark gets none.
pub fn put(block: &mut [u8]) {
    block.fill(0);
    if let Some(start) = block.first_chunk_mut() {
        *start = *MAGIC;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_and_nothing_that_boots() {
        let mut block = vec![0xFF; 4096];
        put(&mut block);
        assert!(is_in(&block) && block[MAGIC.len()..].iter().all(|byte| *byte == 0));
        block[FAMILY.len()] = b'2';
        assert!(is_in(&block), "a later version");
        for short in 0..MAGIC.len() {
            let mut block = vec![0xFF; short];
            put(&mut block);
            assert!(!is_in(&block) && block.iter().all(|byte| *byte == 0), "{short}");
        }
    }
}
