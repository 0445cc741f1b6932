//! What stands in a disk's first block while a stamped image on it is being reset: how to go on.
//!
//! ```text
//!   0  16  "remaster reset 1"
//!  16   8  bytes of the base
//!  24   8  bytes of the stamped image
//!  32   8  first byte of the undo record; 0 once nothing more of it is needed
//!  40   8  bytes of the undo record
//!  48  32  SHA-256 of the base
//!  80   4  bytes of the base's first block as raw deflate (RFC 1951)
//! 1024     those bytes
//! 4064  32  SHA-256 of everything before
//! ```
//! Numbers have the least significant byte first. All else is zero: no boot signature, no GPT.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

use crate::formats::Malformed;
use crate::units::{ByteRange, u64_len, usize_of};

/// Bytes of a mark, and of the block that it stands for.
pub const SIZE: u64 = 4096;

const MAGIC: &[u8; 16] = b"remaster reset 1";
/// What the marks of all versions begin with.
const FAMILY: &[u8] = b"remaster reset ";
/// Behind the boot signature (UEFI 2.10 §5.2.1) and the GPT header of disks with blocks of 512 bytes.
const PACKED: usize = 1024;
const DIGEST: usize = 4096 - 32;

/// A reset that is not over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResetMark {
    /// Bytes of the base.
    pub base_size: u64,
    /// Bytes of the stamped image.
    pub stamped_size: u64,
    /// Where the undo record is; none once everything but the first block is the base's.
    pub undo: Option<ByteRange>,
    /// SHA-256 of the base.
    pub base_sha256: [u8; 32],
    /// The base's first [`SIZE`] bytes.
    pub first: Vec<u8>,
}

impl ResetMark {
    /// Whether a disk that starts so is being reset, by whatever version of this program.
    pub fn is_in(start: &[u8]) -> bool {
        start.starts_with(FAMILY)
    }

    /// The mark as it stands on a disk; none if the first block cannot be packed so small. Official images
    /// need some 700 bytes of the 3,040 there are.
    pub fn pack(&self) -> Option<Vec<u8>> {
        let mut packing = DeflateEncoder::new(Vec::new(), Compression::best());
        packing.write_all(&self.first).ok()?;
        let packed = packing.finish().ok()?;
        let undo = self.undo.map_or((0, 0), |at| (at.start(), at.size()));
        let mut mark = MAGIC.to_vec();
        for number in [self.base_size, self.stamped_size, undo.0, undo.1] {
            mark.extend(number.to_le_bytes());
        }
        mark.extend(self.base_sha256);
        mark.extend(u32::try_from(packed.len()).ok()?.to_le_bytes());
        mark.resize(PACKED, 0);
        mark.extend(packed);
        if mark.len() > DIGEST {
            return None;
        }
        mark.resize(DIGEST, 0);
        let digest = Sha256::digest(&mark);
        mark.extend(digest);
        Some(mark)
    }

    /// Reads and checks a mark, which takes up all of `block`.
    ///
    /// # Errors
    /// Bytes that are not a whole mark.
    pub fn parse(block: &[u8]) -> Result<Self, Malformed> {
        let fault = |found: &str| Malformed::new("reset mark", 0, found, "a whole reset mark");
        let Some((body, digest)) = block.split_at_checked(DIGEST) else {
            return Err(fault("too few bytes"));
        };
        if !body.starts_with(MAGIC) {
            return Err(Malformed::version("reset mark", body, FAMILY, MAGIC));
        }
        if Sha256::digest(body).as_slice() != digest {
            return Err(fault("contents of another SHA-256 than stated"));
        }
        read(body).ok_or_else(|| fault("numbers that contradict each other"))
    }
}

fn read(body: &[u8]) -> Option<ResetMark> {
    let rest = body.get(MAGIC.len()..)?;
    let (base_size, rest) = rest.split_first_chunk::<8>()?;
    let (stamped_size, rest) = rest.split_first_chunk::<8>()?;
    let (start, rest) = rest.split_first_chunk::<8>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (base_sha256, rest) = rest.split_first_chunk::<32>()?;
    let packed = usize_of(u64::from(u32::from_le_bytes(*rest.first_chunk::<4>()?)));
    let undo = ByteRange::new(u64::from_le_bytes(*start), u64::from_le_bytes(*size))?;
    let mut first = Vec::new();
    let packed = body.get(PACKED..)?.get(..packed)?;
    DeflateDecoder::new(packed).take(SIZE).read_to_end(&mut first).ok()?;
    let mark = ResetMark {
        base_size: u64::from_le_bytes(*base_size),
        stamped_size: u64::from_le_bytes(*stamped_size),
        undo: Some(undo).filter(|undo| !undo.is_empty()),
        base_sha256: *base_sha256,
        first,
    };
    let behind =
        undo.is_empty() || (undo.start() >= mark.base_size && undo.end() <= mark.stamped_size);
    (u64_len(&mark.first) == SIZE && behind && mark.base_size >= SIZE).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Says;

    fn mark() -> ResetMark {
        ResetMark {
            base_size: 1 << 20,
            stamped_size: 2 << 20,
            undo: ByteRange::new(1_100_000, 5_000),
            base_sha256: [9; 32],
            first: (0..4096_u32).map(|at| if at < 700 { at.to_le_bytes()[0] } else { 0 }).collect(),
        }
    }

    #[test]
    fn a_mark_survives_and_is_nothing_that_boots() {
        for undo in [mark().undo, None] {
            let packed = ResetMark { undo, ..mark() }.pack().unwrap();
            assert_eq!(packed.len(), 4096);
            assert_eq!(ResetMark::parse(&packed), Ok(ResetMark { undo, ..mark() }));
            assert!(packed[510..1024].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let packed = mark().pack().unwrap();
        for at in 0..packed.len() {
            let mut broken = packed.clone();
            broken[at] ^= 1;
            assert!(ResetMark::parse(&broken).is_err(), "{at}");
        }
        assert!(ResetMark::parse(&packed[..4095]).is_err());
    }

    #[test]
    fn a_mark_of_a_later_version_is_called_that() {
        let mut later = mark().pack().unwrap();
        later[FAMILY.len()] = b'2';
        assert!(ResetMark::is_in(&later));
        assert_eq!(ResetMark::parse(&later).unwrap_err().says, Says::Newer);
        later[FAMILY.len()] = b'0';
        assert_eq!(ResetMark::parse(&later).unwrap_err().says, Says::Damaged);
    }

    #[test]
    fn a_mark_whose_numbers_do_not_fit_is_refused() {
        let undo = |start, size| ResetMark { undo: ByteRange::new(start, size), ..mark() };
        for (what, mark, fits) in [
            ("right behind the base", undo(1 << 20, 5_000), true),
            ("begins in the base", undo((1 << 20) - 1, 5_000), false),
            ("up to the end", undo((2 << 20) - 5_000, 5_000), true),
            ("ends behind the image", undo((2 << 20) - 5_000, 5_001), false),
            ("begins behind the image", undo(3 << 20, 1), false),
            ("a base of one block", ResetMark { base_size: 4096, ..mark() }, true),
            ("a smaller base", ResetMark { base_size: 4095, ..mark() }, false),
            ("too short a first block", ResetMark { first: vec![7; 4095], ..mark() }, false),
        ] {
            let parsed = ResetMark::parse(&mark.pack().unwrap());
            assert!(parsed.ok() == fits.then_some(mark), "{what}");
        }
    }

    #[test]
    fn a_block_that_cannot_be_packed_has_no_mark() {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        });
        let first = noise.take(4096).collect();
        assert_eq!(ResetMark { first, ..mark() }.pack(), None);
    }
}
