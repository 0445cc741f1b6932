//! The parts of an initrd: archives, compressed or not, one behind the other (Linux `init/initramfs.c`).

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::compression::{Compression, zstd_frame_end};
use crate::formats::newc::{self, Member, Next};
use crate::image::ReadAt;
use crate::image::window::Window;
use crate::units::{ByteRange, format_bytes};

/// Bytes of a file that are kept; stage 1 scripts have about 25 KB.
const LARGEST_SCRIPT: u32 = 1 << 20;

/// Bytes that the initrds of one menu entry may be unpacked to; genuine ones take under 300 MB, with a store in them 2 GB.
pub(super) const MOST_UNPACKED: u64 = 8 << 30;

/// A part of an initrd.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Where it starts in the initrd.
    start: u64,
    /// Where it starts in the image.
    place: u64,
    pub(super) compression: Compression,
}

/// Reads an initrd part by part.
pub(super) struct PartReader<'a, I> {
    image: &'a I,
    path: &'a str,
    at: ByteRange,
    stream: BufReader<Window<'a, I>>,
}

impl<'a, I: ReadAt> PartReader<'a, I> {
    /// A reader of the initrd `path`, which is at `at` in the image.
    pub(super) fn new(image: &'a I, path: &'a str, at: ByteRange) -> Self {
        let stream = BufReader::with_capacity(128 << 10, Window::new(image, at));
        Self { image, path, at, stream }
    }

    /// Moves to the next part; none at the end.
    pub(super) fn next_part(&mut self) -> Result<Option<Part>> {
        let start = skip_zeros(&mut self.stream)
            .map_err(|fault| unreadable(self.path, self.at.start(), &fault))?;
        let Some(start) = start else { return Ok(None) };
        let place = checked::sum(self.at.start(), start, "a part of an initrd")?;
        let compression = self.compression(place)?;
        Ok(Some(Part { start, place, compression }))
    }

    fn compression(&mut self, place: u64) -> Result<Compression> {
        let (path, head) = (self.path, self.stream.fill_buf());
        let head = head.map_err(|fault| unreadable(path, place, &fault))?;
        Compression::recognize(head).map_err(|found| {
            Error::unsupported(
                format!("the initrd {path} at byte {place:#x}"),
                "a newc archive, plain or in gzip, zstd, xz, lzma, bzip2 or lz4",
                found,
            )
        })
    }

    /// Hands the members of a part to `each`, those files whole that are `wanted`.
    pub(super) fn unpack(
        &mut self,
        part: Part,
        wanted: impl Fn(&str) -> bool,
        each: impl FnMut(Member) -> Next,
        budget: &mut u64,
    ) -> Result<()> {
        let stream = &mut self.stream;
        let unpacked = match part.compression {
            Compression::None => newc::read_one(stream, LARGEST_SCRIPT, wanted, each),
            packed => packed.decoder(stream).and_then(|stream| {
                newc::read(Bounded { stream, budget }, LARGEST_SCRIPT, wanted, each)
            }),
        };
        unpacked.map_err(|fault| unreadable(self.path, part.place, &fault))
    }

    /// Moves back to the start of a part.
    pub(super) fn back_to(&mut self, part: Part) -> Result<()> {
        let moved = self.stream.seek(SeekFrom::Start(part.start)).map(drop);
        moved.map_err(|fault| unreadable(self.path, part.place, &fault))
    }

    /// Whether nothing but zeros follows a part, where that can be told without decoding.
    pub(super) fn is_last(&self, part: Part) -> bool {
        let window = Window::new(self.image, self.at).read_from(part.start);
        let mut stream = BufReader::with_capacity(4096, window);
        let skip = |stream: &mut BufReader<Window<'_, I>>, by: u64| {
            stream.seek_relative(i64::try_from(by).map_err(|_| io::ErrorKind::InvalidData)?)
        };
        let end = match part.compression {
            Compression::Zstd => {
                zstd_frame_end(&mut stream, skip).and_then(|length| part.start.checked_add(length))
            }
            _ => None,
        };
        let Some(end) = end else { return false };
        stream.seek(SeekFrom::Start(end)).is_ok() && matches!(skip_zeros(&mut stream), Ok(None))
    }
}

fn unreadable(path: &str, at: u64, fault: &io::Error) -> Error {
    Error::unreadable(format!("the initrd {path}"), at, fault, "archives that can be unpacked")
}

/// A stream of which no more than a budget is read: a few kilobytes can be unpacked to terabytes.
struct Bounded<'a, R> {
    stream: R,
    budget: &'a mut u64,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buf)?;
        let left = u64::try_from(count).ok().and_then(|count| self.budget.checked_sub(count));
        *self.budget = left.ok_or_else(|| {
            let what = format!("more than {} unpacked", format_bytes(MOST_UNPACKED));
            io::Error::new(io::ErrorKind::Unsupported, what)
        })?;
        Ok(count)
    }
}

/// Moves to the next byte that is not zero and says where it is; none at the end.
fn skip_zeros<I: ReadAt>(stream: &mut BufReader<Window<'_, I>>) -> io::Result<Option<u64>> {
    loop {
        let buffer = stream.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        match buffer.iter().position(|byte| *byte != 0) {
            Some(zeros) => {
                stream.consume(zeros);
                return stream.stream_position().map(Some);
            }
            None => {
                let zeros = buffer.len();
                stream.consume(zeros);
            }
        }
    }
}
