//! The patch file: an image as its difference from a base that is known by size and SHA-256.
//!
//! ```text
//! 17  "remaster patch 1\n"
//!  8  bytes of the base
//! 32  SHA-256 of the base
//!  8  bytes of the image
//!  4  number of runs
//!  8  bytes of all literals
//!     one Zstandard frame (RFC 8878) of
//!       17  for each run: kind (1: 0 literal, 1 base, 2 zeros), bytes (8), first byte in the base (8)
//!           the literals, one after the other
//! 32  SHA-256 of everything before
//! ```
//! Runs follow each other from the first byte of the image to the last. Numbers have the least
//! significant byte first; a first byte in the base is 0 where the run does not come from there.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::is_lack_of_memory;
use crate::formats::{Malformed, Says};
use crate::units::{ByteRange, u64_len, usize_of};

const WHAT: &str = "patch file";
const FAMILY: &[u8] = b"remaster patch ";
const MAGIC: &[u8; 17] = b"remaster patch 1\n";
const RUN: u64 = 17;
const SHORTEST: usize = MAGIC.len() + DIGEST;
const DIGEST: usize = 32;

/// The most bytes that are not in the base: what a patch may take in memory, once it is read.
pub const LARGEST_LITERALS: u64 = 256 << 20;

/// The most runs: stamping makes some hundred.
pub const MOST_RUNS: u32 = 1 << 20;

/// The largest patch file: literals that do not compress, and their runs.
pub const LARGEST: u64 = LARGEST_LITERALS + (32 << 20);

/// Fast, and some percent from the smallest.
const LEVEL: i32 = 9;

/// Where the bytes of a run come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PatchSource {
    /// The patch itself.
    Literal(Bytes),
    /// The base, from this byte on.
    Base(u64),
    /// Zeros.
    Zeros,
}

/// Bytes of the image that come from one place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Run {
    /// How many.
    pub size: u64,
    /// Where they come from.
    pub from: PatchSource,
}

/// An image as its difference from a base.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PatchFile {
    /// Bytes of the base.
    pub base_size: u64,
    /// SHA-256 of the base.
    pub base_sha256: [u8; 32],
    /// Bytes of the image.
    pub size: u64,
    /// The image, from front to back.
    pub runs: Vec<Run>,
}

/// The numbers that stand before the frame.
#[derive(Clone, Copy)]
struct Head {
    base_size: u64,
    base_sha256: [u8; 32],
    size: u64,
    runs: u32,
    literals: u64,
}

impl PatchFile {
    /// Whether a file that starts so is a patch, of this version or another.
    pub fn is_in(start: &[u8]) -> bool {
        start.starts_with(FAMILY)
    }

    /// The file's bytes; none if it has more literals or runs than a reader would take.
    pub fn pack(&self) -> Option<Vec<u8>> {
        let runs = u32::try_from(self.runs.len()).ok().filter(|runs| *runs <= MOST_RUNS)?;
        let literals = || {
            self.runs.iter().filter_map(|run| match &run.from {
                PatchSource::Literal(bytes) => Some(bytes),
                PatchSource::Base(_) | PatchSource::Zeros => None,
            })
        };
        let size = literals().try_fold(0, |sum: u64, bytes| sum.checked_add(u64_len(bytes)))?;
        if size > LARGEST_LITERALS {
            return None;
        }
        let mut body = Vec::new();
        for Run { size, from } in &self.runs {
            let (kind, start) = match from {
                PatchSource::Literal(_) => (0, 0),
                PatchSource::Base(start) => (1, *start),
                PatchSource::Zeros => (2, 0),
            };
            body.push(kind);
            body.extend(size.to_le_bytes());
            body.extend(start.to_le_bytes());
        }
        literals().for_each(|bytes| body.extend_from_slice(bytes));
        let mut file = MAGIC.to_vec();
        file.extend(self.base_size.to_le_bytes());
        file.extend(self.base_sha256);
        file.extend(self.size.to_le_bytes());
        file.extend(runs.to_le_bytes());
        file.extend(size.to_le_bytes());
        file.append(&mut zstd::bulk::compress(&body, LEVEL).ok()?);
        let digest = Sha256::digest(&file);
        file.extend(digest);
        Some(file)
    }

    /// Reads a file and checks all of it, before anything is unpacked.
    ///
    /// # Errors
    /// A file that is none of these, of another version, cut off, or changed anywhere.
    pub fn parse(file: &[u8]) -> Result<Self, Malformed> {
        let whole = file.len().checked_sub(DIGEST).and_then(|end| file.split_at_checked(end));
        let (all, digest) = whole.ok_or_else(|| Malformed::short(WHAT, file, SHORTEST))?;
        check_version(all)?;
        if Sha256::digest(all).as_slice() != digest {
            let found = "contents of another SHA-256 than stated";
            return Err(Malformed::new(WHAT, u64_len(all), found, "an unchanged file"));
        }
        let (head, frame) = head(all).ok_or_else(|| Malformed::short(WHAT, all, 109))?;
        let body = unpacked(&head, frame)?;
        runs(head, &Bytes::from(body))
            .ok_or_else(|| fault("runs that do not make up the image", "runs from end to end"))
    }
}

fn fault(found: impl Into<String>, expected: &str) -> Malformed {
    Malformed::new(WHAT, u64_len(MAGIC), found, expected)
}

fn check_version(file: &[u8]) -> Result<(), Malformed> {
    if file.starts_with(MAGIC) {
        return Ok(());
    }
    Err(Malformed::version(WHAT, file, FAMILY, MAGIC))
}

fn head(file: &[u8]) -> Option<(Head, &[u8])> {
    let rest = file.get(MAGIC.len()..)?;
    let (base_size, rest) = rest.split_first_chunk::<8>()?;
    let (base_sha256, rest) = rest.split_first_chunk::<32>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (runs, rest) = rest.split_first_chunk::<4>()?;
    let (literals, frame) = rest.split_first_chunk::<8>()?;
    let head = Head {
        base_size: u64::from_le_bytes(*base_size),
        base_sha256: *base_sha256,
        size: u64::from_le_bytes(*size),
        runs: u32::from_le_bytes(*runs),
        literals: u64::from_le_bytes(*literals),
    };
    Some((head, frame))
}

/// The runs and literals. They may only take as much memory as the head says, and that is bounded: they are unpacked in
/// one go, without a window beside them.
fn unpacked(head: &Head, frame: &[u8]) -> Result<Vec<u8>, Malformed> {
    if head.runs > MOST_RUNS || head.literals > LARGEST_LITERALS {
        let found = format!("{} runs, {} bytes of literals", head.runs, head.literals);
        return Err(fault(found, "at most 2^20 runs and 256 MiB"));
    }
    let frame_size = zstd::zstd_safe::find_frame_compressed_size(frame).ok();
    if frame_size != Some(frame.len()) {
        let found = match frame_size {
            Some(size) => format!("a frame of {size} bytes in {}", frame.len()),
            None => "no whole frame".to_owned(),
        };
        return Err(fault(found, "one Zstandard frame"));
    }
    // Both are bounded.
    let size =
        usize_of([u64::from(head.runs).saturating_mul(RUN), head.literals].into_iter().sum());
    let wrong = |why: std::io::Error| {
        let is_room = is_lack_of_memory(&why);
        let fault = fault(why.to_string(), "a frame of the size in the header");
        if is_room { Malformed { says: Says::NoMemory, ..fault } } else { fault }
    };
    let mut body = Vec::new();
    body.try_reserve_exact(size).map_err(|why| wrong(why.into()))?;
    let mut decoder = zstd::bulk::Decompressor::new().map_err(wrong)?;
    decoder.decompress_to_buffer(frame, &mut body).map_err(wrong)?;
    if body.len() != size {
        let found = format!("{} bytes unpacked", body.len());
        return Err(fault(found, "those of the header"));
    }
    Ok(body)
}

/// The patch, if its runs make up the image and lie within the base. Literals stay where they were unpacked.
fn runs(head: Head, body: &Bytes) -> Option<PatchFile> {
    let places = usize_of(u64::from(head.runs).checked_mul(RUN)?);
    let (places, mut literals) = body.split_at_checked(places)?;
    let mut runs = Vec::new();
    let mut done = 0_u64;
    for place in places.chunks_exact(usize_of(RUN)) {
        let ([kind], rest) = place.split_first_chunk::<1>()?;
        let (size, start) = rest.split_first_chunk::<8>()?;
        let size = u64::from_le_bytes(*size);
        let start = u64::from_le_bytes(*start.first_chunk::<8>()?);
        done = done.checked_add(size)?;
        let from = match kind {
            0 => {
                let (own, after) = literals.split_at_checked(usize_of(size))?;
                literals = after;
                PatchSource::Literal(body.slice_ref(own))
            }
            1 if ByteRange::new(start, size)?.end() <= head.base_size => PatchSource::Base(start),
            2 => PatchSource::Zeros,
            _ => return None,
        };
        if size == 0 || (*kind != 1 && start != 0) {
            return None;
        }
        runs.push(Run { size, from });
    }
    let Head { base_size, base_sha256, size, .. } = head;
    let whole = done == size && literals.is_empty();
    whole.then_some(PatchFile { base_size, base_sha256, size, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(bytes: &[u8]) -> Run {
        Run { size: u64_len(bytes), from: PatchSource::Literal(Bytes::copy_from_slice(bytes)) }
    }

    fn sample() -> PatchFile {
        let text = b"some bytes that are new, and more of them: aaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let runs = vec![
            Run { size: 100, from: PatchSource::Base(0) },
            literal(text),
            Run { size: 40, from: PatchSource::Base(20) },
            Run { size: 1 << 40, from: PatchSource::Zeros },
            literal(b"end"),
        ];
        let size = runs.iter().map(|run| run.size).sum();
        PatchFile { base_size: 120, base_sha256: [9; 32], size, runs }
    }

    /// The file with a right checksum, whatever else was done to it.
    fn summed(mut file: Vec<u8>) -> Vec<u8> {
        file.truncate(file.len().saturating_sub(DIGEST));
        let digest = Sha256::digest(&file);
        file.extend(digest);
        file
    }

    #[test]
    fn what_is_packed_is_read_again() {
        assert_eq!(PatchFile::parse(&sample().pack().unwrap()), Ok(sample()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let file = sample().pack().unwrap();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut broken = file.clone();
                broken[at] ^= 1 << bit;
                assert!(PatchFile::parse(&broken).is_err(), "byte {at}, bit {bit}");
            }
            assert!(PatchFile::parse(&file[..at]).is_err(), "cut at {at}");
        }
        assert!(PatchFile::parse(&[file.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn other_files_and_versions_are_reported() {
        let told = |file: &[u8]| PatchFile::parse(file).unwrap_err().found;
        assert!(told(&[7; 200]).contains("magic bytes"));
        let mut file = sample().pack().unwrap();
        file[15] = b'2';
        assert!(told(&summed(file)).contains("version"));
        assert!(PatchFile::parse(b"").is_err());
    }

    #[test]
    fn hostile_files_with_right_checksums_are_refused() {
        let broken = |change: &dyn Fn(&mut PatchFile)| {
            let mut patch = sample();
            change(&mut patch);
            PatchFile::parse(&patch.pack().unwrap())
        };
        assert!(broken(&|patch| patch.size += 1).is_err());
        assert!(broken(&|patch| patch.base_size = 99).is_err());
        assert!(broken(&|patch| patch.runs[2].from = PatchSource::Base(81)).is_err());
        assert!(broken(&|patch| patch.runs[2].from = PatchSource::Base(u64::MAX)).is_err());
        assert!(broken(&|patch| patch.runs[1].size -= 1).is_err());
        assert!(broken(&|patch| patch.runs[3].size = u64::MAX).is_err());
        assert!(
            broken(&|patch| patch.runs.push(Run { size: 0, from: PatchSource::Zeros })).is_err()
        );
        assert!(broken(&|patch| patch.runs.clear()).is_err());
    }

    #[test]
    fn numbers_that_would_fill_the_memory_are_refused() {
        // The number of runs, then the bytes of literals.
        for (at, number) in [(65, &[255; 4][..]), (69, &[255; 8]), (69, &[0, 0, 0, 16, 0, 0, 0, 0])]
        {
            let mut file = sample().pack().unwrap();
            file[at..at + number.len()].copy_from_slice(number);
            assert!(PatchFile::parse(&summed(file)).is_err(), "{at}");
        }
        // A frame that unpacks to far more than the head says is left at that.
        let file = sample().pack().unwrap();
        let bomb = zstd::bulk::compress(&vec![0; 300 << 20], 1).unwrap();
        let file = [&file[..77], &bomb, &[0; 32]].concat();
        assert!(PatchFile::parse(&summed(file)).is_err());
    }

    #[test]
    fn literals_stay_where_they_were_unpacked() {
        let patch = PatchFile::parse(&sample().pack().unwrap()).unwrap();
        let literals = patch.runs.iter().filter_map(|run| match &run.from {
            PatchSource::Literal(bytes) => Some(bytes.as_ptr_range()),
            _ => None,
        });
        let places: Vec<_> = literals.collect();
        assert_eq!(places[0].end, places[1].start);
    }

    #[test]
    fn nothing_stands_behind_the_frame() {
        let file = sample().pack().unwrap();
        let (start, _) = file.split_at(file.len() - DIGEST);
        let more = [start, b"more", &[0; 32]].concat();
        assert!(PatchFile::parse(&summed(more)).is_err());
    }
}
