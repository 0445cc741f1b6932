//! Holds an image that comes once to a SHA-256, which may be that of its bytes as they come, or unpacked.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::image::digest::Digest;

/// What is demanded of an image that comes once.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedDigest {
    /// The SHA-256.
    pub sha256: Digest,
    /// That of the packed bytes, if they were read before, and it is another one.
    pub packed: Option<Digest>,
}

/// Which bytes have the SHA-256 that is demanded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DigestMatch {
    /// Those that came.
    Packed,
    /// The unpacked ones.
    Image,
}

/// A running sum that a reader adds to.
type Sum = Arc<Mutex<Sha256>>;

/// Adds all that is read to a sum.
pub(super) struct HashingReader<R> {
    input: R,
    sum: Sum,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buf)?;
        let read =
            buf.get(..count).ok_or_else(|| io::Error::other("more was read than asked for"))?;
        self.sum.lock().unwrap_or_else(PoisonError::into_inner).update(read);
        Ok(count)
    }
}

/// The sums of an image while it comes.
pub(super) struct DigestCheck {
    expected: Digest,
    packed: Packed,
    image: Sha256,
}

/// The SHA-256 of the bytes as they come.
enum Packed {
    /// Nothing is packed, or nothing is known of it.
    None,
    Known(Digest),
    /// What was read so far, and the rest, which a decoder need not read.
    Summing(Sum, Box<dyn Read + Send>),
}

impl DigestCheck {
    /// Of a file, whose packed bytes were read before.
    pub(super) fn new(expected: ExpectedDigest) -> Self {
        let packed = expected.packed.map_or(Packed::None, Packed::Known);
        Self { expected: expected.sha256, packed, image: Sha256::new() }
    }

    /// Of what comes by a pipe: the reader to unpack. `rest` reads on where `input` ends.
    pub(super) fn of_pipe<R: Read>(
        expected: ExpectedDigest,
        input: R,
        rest: impl Read + Send + 'static,
    ) -> (HashingReader<R>, Self) {
        let sum = Sum::default();
        let rest = HashingReader { input: rest, sum: Arc::clone(&sum) };
        let packed = Packed::Summing(Arc::clone(&sum), Box::new(rest));
        (HashingReader { input, sum }, Self { packed, ..Self::new(expected) })
    }

    /// Adds unpacked bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.image.update(bytes);
    }

    /// Which bytes fit, now that all of them came. `name` is what errors call the image.
    pub(super) fn finish(self, name: &str) -> Result<DigestMatch> {
        let image = Digest(self.image.finalize().into());
        if image == self.expected {
            return Ok(DigestMatch::Image);
        }
        let packed = self.packed.finish(name)?;
        if packed == Some(self.expected) {
            return Ok(DigestMatch::Packed);
        }
        let other = packed.filter(|packed| *packed != image);
        let found = match other {
            Some(packed) => format!("{packed} packed and {image} unpacked"),
            None => image.to_string(),
        };
        Err(Error::Checksum {
            what: name.to_owned(),
            found,
            expected: self.expected.to_string(),
            hint: "download it again, or give the SHA-256 that is published for it".into(),
        })
    }
}

impl Packed {
    fn finish(self, name: &str) -> Result<Option<Digest>> {
        let (sum, mut rest) = match self {
            Self::None => return Ok(None),
            Self::Known(digest) => return Ok(Some(digest)),
            Self::Summing(sum, rest) => (sum, rest),
        };
        io::copy(&mut rest, &mut io::sink()).map_err(Error::io(format!("read {name}")))?;
        let sum = sum.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Some(Digest(sum.finalize().into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results for packed bytes, of which a decoder reads `read`, and for unpacked ones.
    fn check(
        packed: &'static [u8],
        read: usize,
        image: &[u8],
        sha256: Digest,
    ) -> Result<DigestMatch> {
        let expected = ExpectedDigest { sha256, packed: None };
        let (first, rest) = packed.split_at(read);
        let (mut reader, mut check) = DigestCheck::of_pipe(expected, first, rest);
        io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read"))?;
        check.add(image);
        check.finish("x")
    }

    #[test]
    fn either_bytes_fit_and_the_report_says_which() {
        let packed = b"packed, and a signature behind";
        let rows = [
            (DigestMatch::Packed, Digest::of_bytes(packed)),
            (DigestMatch::Image, Digest::of_bytes(b"i")),
        ];
        for (fits, digest) in rows {
            for read in [0, 6, packed.len()] {
                assert_eq!(check(packed, read, b"i", digest).ok(), Some(fits), "{read}");
            }
        }
        let other = check(packed, 6, b"i", Digest::of_bytes(b"other"));
        let said =
            other.err().map(|fault| (matches!(fault, Error::Checksum { .. }), fault.to_string()));
        let both = format!("{} packed and", Digest::of_bytes(packed));
        assert!(
            said.as_ref().is_some_and(|(differs, said)| *differs && said.contains(&both)),
            "{said:?}"
        );
    }

    #[test]
    fn a_packed_file_that_was_read_before_is_held_by_what_is_in_it() {
        let (image, packed) = (Digest::of_bytes(b"i"), Digest::of_bytes(b"p"));
        let mut check = DigestCheck::new(ExpectedDigest { sha256: image, packed: Some(packed) });
        check.add(b"i");
        assert_eq!(check.finish("x").ok(), Some(DigestMatch::Image));
    }
}
