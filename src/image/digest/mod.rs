//! The SHA-256 of a whole image, as it is published beside it.

pub mod published;
pub mod remembered;

use std::fmt;
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::hex;
use crate::image::ReadAt;
use crate::progress::Progress;
use crate::stop;
use crate::threads;
use crate::units::{ByteRange, usize_of};

/// Bytes that are read at once.
const CHUNK: u64 = 1 << 20;

/// Bytes of a part of an image that are read at once.
const PIECE: u64 = 1 << 20;

/// Chunks that may wait to be summed.
const AHEAD: usize = 4;

/// A SHA-256 (FIPS 180-4); its text form is 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// That of bytes in memory.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads the whole image; the next bytes are read while those before are summed.
    pub fn compute(image: &impl ReadAt, progress: &dyn Progress) -> Result<Self> {
        progress.begin("hash", image.size());
        let (sender, chunks) = mpsc::sync_channel::<Vec<u8>>(AHEAD);
        let sum: Result<_> = thread::scope(|scope| {
            let summing = threads::start(scope, move || {
                let mut sum = Sha256::new();
                for chunk in chunks {
                    sum.update(chunk);
                }
                sum.finalize()
            })?;
            let read = send(image, &sender, progress);
            drop(sender);
            let sum = threads::end(summing);
            read.map(|()| sum)
        });
        let sum = image.if_unchanged(sum)?;
        progress.end();
        Ok(Self(sum.into()))
    }
}

/// Reads the image from front to back.
fn send(
    image: &impl ReadAt,
    to: &mpsc::SyncSender<Vec<u8>>,
    progress: &dyn Progress,
) -> Result<()> {
    for step in ByteRange::up_to(image.size()).steps(CHUNK) {
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let mut chunk = vec![0; usize_of(step.size())];
        image.read_exact_at(&mut chunk, step.start())?;
        if to.send(chunk).is_err() {
            // The thread that hashes panicked, which is reported where it is joined.
            break;
        }
        progress.advance(step.size());
    }
    Ok(())
}

/// SHA-256 of a part of an image, which messages call `what`. It is read piece by piece, until the user wants to stop.
pub(crate) fn of_range<I: ReadAt + ?Sized>(
    image: &I,
    what: &str,
    at: ByteRange,
    progress: &dyn Progress,
) -> Result<[u8; 32]> {
    let mut sum = Sha256::new();
    progress.begin("hash", at.size());
    for step in at.steps(PIECE) {
        stop::check()?;
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        sum.update(image.read_range(what, step, PIECE)?);
        progress.advance(step.size());
    }
    progress.end();
    Ok(sum.finalize().into())
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::digits(&self.0))
    }
}

/// The text is not a SHA-256.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected the 64 hexadecimal digits of a SHA-256")]
pub struct NoDigest;

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(NoDigest)?;
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte: u8, digit| byte.wrapping_shl(4) | digit))
            .collect();
        bytes.try_into().map(Self).map_err(|_| NoDigest)
    }
}

impl TryFrom<String> for Digest {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<Self, NoDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

fn digit(c: char) -> Option<u8> {
    u8::try_from(c.to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn it_is_what_others_compute() {
        // FIPS 180-4, example of two blocks' standard: SHA-256("abc").
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::compute(&b"abc".to_vec(), &Silent).unwrap().to_string(), abc);
        assert_eq!(abc.parse::<Digest>().unwrap().to_string(), abc);
        assert_eq!(abc.to_uppercase().parse::<Digest>().unwrap().to_string(), abc);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "ba78", &"g".repeat(64), &"0".repeat(65), &"é".repeat(32)] {
            assert_eq!(text.parse::<Digest>(), Err(NoDigest));
        }
    }
}
