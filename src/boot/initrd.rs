//! The parts of an initrd: archives, compressed or not, one behind the other (Linux `init/initramfs.c`).

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::compression::Compression;
use crate::formats::kernel_decoders;
use crate::formats::newc::{self, Member, Next};
use crate::image::ReadAt;
use crate::image::window::Window;
use crate::stop::{self, UntilStopped};
use crate::units::{ByteRange, format_bytes};

/// Bytes of a file that are kept; stage 1 scripts have about 25 KB.
const LARGEST_SCRIPT: u32 = 1 << 20;

/// Bytes that the initrds of an image may be unpacked to; genuine ones take under 300 MB, with a store in them 2 GB.
const MOST_UNPACKED: u64 = 8 << 30;

/// What is left of [`MOST_UNPACKED`], for all that unpack at the same time.
#[derive(Debug)]
pub(crate) struct UnpackBudget {
    left: AtomicU64,
    /// Held by the one that unpacks with a large window.
    large: Mutex<()>,
}

impl Default for UnpackBudget {
    fn default() -> Self {
        Self { left: AtomicU64::new(MOST_UNPACKED), large: Mutex::default() }
    }
}

impl UnpackBudget {
    fn take(&self, bytes: usize) -> io::Result<()> {
        let less = |left: u64| left.checked_sub(u64::try_from(bytes).ok()?);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(drop).map_err(|_| {
            let what = format!("more than {} unpacked", format_bytes(MOST_UNPACKED));
            io::Error::new(io::ErrorKind::Unsupported, what)
        })
    }
}

/// A part of an initrd.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Where it starts in the image.
    place: u64,
    pub(super) compression: Compression,
    /// Whether its window is so large that it is unpacked while no other such part is.
    is_large: bool,
}

/// Reads an initrd part by part.
pub(super) struct PartReader<'a, I> {
    path: &'a str,
    at: ByteRange,
    stream: BufReader<Window<'a, I>>,
    /// Whether the part before was a plain archive.
    is_behind_plain: bool,
}

impl<'a, I: ReadAt> PartReader<'a, I> {
    /// A reader of the initrd `path`, which is at `at` in the image.
    pub(super) fn new(image: &'a I, path: &'a str, at: ByteRange) -> Self {
        let stream = BufReader::with_capacity(128 << 10, Window::new(image, at));
        Self { path, at, stream, is_behind_plain: false }
    }

    /// Moves to the next part; none at the end.
    pub(super) fn next_part(&mut self) -> Result<Option<Part>> {
        let start = skip_zeros(&mut self.stream)
            .map_err(|fault| unreadable(self.path, self.at.start(), &fault))?;
        let Some(start) = start else { return Ok(None) };
        let place = checked::sum(self.at.start(), start, "a part of an initrd")?;
        // What is buffered may end within the bytes that tell the kind.
        let sought = self.stream.seek(SeekFrom::Start(start));
        sought.map_err(|fault| unreadable(self.path, place, &fault))?;
        let (compression, is_large) = self.compression(place)?;
        let is_plain = compression == Compression::None;
        if (is_plain || self.is_behind_plain) && !start.is_multiple_of(4) {
            return Err(self.out_of_place(place, start, compression));
        }
        self.is_behind_plain = is_plain;
        Ok(Some(Part { place, compression, is_large }))
    }

    /// The kernel finds plain archives, and what stands behind one, at multiples of 4, and stops elsewhere (Linux
    /// `init/initramfs.c`, `unpack_to_rootfs` and `do_reset`).
    fn out_of_place(&self, place: u64, start: u64, compression: Compression) -> Error {
        let found = format!("one that is {} at byte {start} of the initrd", compression.name());
        Error::unsupported(
            format!("the initrd {} at byte {place:#x}", self.path),
            "parts where the kernel finds them: plain archives, and what is behind one, at multiples of 4",
            found,
        )
        .with_hint("fill up what stands in front of it with zeros to a multiple of 4: the kernel unpacks nothing behind this place")
    }

    fn compression(&mut self, place: u64) -> Result<(Compression, bool)> {
        let (path, head) = (self.path, self.stream.fill_buf());
        let head = head.map_err(|fault| unreadable(path, place, &fault))?;
        let found = kernel_decoders::recognize(head);
        found.map(|found| (found, found.has_large_window(head))).map_err(|refused| {
            let fault = Error::unsupported(
                format!("the initrd {path} at byte {place:#x}"),
                "a newc archive, plain or in gzip, zstd, xz, lzma, bzip2 or lz4",
                refused.found,
            );
            if refused.hint.is_empty() { fault } else { fault.with_hint(refused.hint) }
        })
    }

    /// Hands the members of a part to `each`, those files whole that are `wanted`. It is read to its end, unless `each` stops:
    /// the kernel runs nothing that stands behind a fault.
    pub(super) fn unpack(
        &mut self,
        part: Part,
        wanted: impl Fn(&str) -> bool,
        each: impl FnMut(Member) -> Next,
        budget: &UnpackBudget,
    ) -> Result<()> {
        let stream = &mut self.stream;
        let alone = part.is_large.then(|| budget.large.lock());
        let unpacked = match part.compression {
            Compression::None => newc::read_one(UntilStopped(stream), LARGEST_SCRIPT, wanted, each),
            packed => packed.decoder(stream).and_then(|stream| {
                let stream = BufReader::new(Bounded { stream, budget });
                newc::read(stream, LARGEST_SCRIPT, wanted, each)
            }),
        };
        drop(alone);
        unpacked.map_err(|fault| unreadable(self.path, part.place, &fault))
    }
}

fn unreadable(path: &str, at: u64, fault: &io::Error) -> Error {
    Error::unreadable(format!("the initrd {path}"), at, fault, "archives that can be unpacked")
}

/// A stream of which no more than a budget is read: a few kilobytes can be unpacked to terabytes.
struct Bounded<'a, R> {
    stream: R,
    budget: &'a UnpackBudget,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        stop::check()?;
        let count = self.stream.read(buf)?;
        self.budget.take(count)?;
        Ok(count)
    }
}

/// Moves to the next byte that is not zero and says where it is; none at the end.
fn skip_zeros<I: ReadAt>(stream: &mut BufReader<Window<'_, I>>) -> io::Result<Option<u64>> {
    loop {
        stop::check()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_unpack_share_one_budget() {
        let budget = UnpackBudget::default();
        let half = usize::try_from(MOST_UNPACKED / 2).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| budget.take(half).unwrap());
            }
        });
        let fault = budget.take(1).unwrap_err().to_string();
        assert_eq!(fault, "more than 8.0 GiB unpacked");
    }
}
