//! Where an image goes: what can be done with a medium, and doing it completely.

use std::io;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use super::buffer::aligned;
use super::first_block::FIRST_BLOCK;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::flash_mark;
use crate::target::{Disk, Target, WriteMode};
use crate::units::{beyond, u64_len, u64_of, usize_of};

/// The verb of a write.
const WRITE: &str = "write";

/// Bytes of the pieces in which a fault is looked for.
const PIECE: u64 = 4096;

/// A disk, or something that stands for one in a test.
pub trait Medium: Sync {
    /// What the user calls it.
    fn name(&self) -> String;
    /// Its bytes; none if it grows as needed.
    fn size(&self) -> Option<u64>;
    /// What addresses and lengths must be multiples of.
    fn block(&self) -> u64;
    /// Whether writes pass the page cache.
    fn is_direct(&self) -> bool;
    /// Writes some of `bytes` and says how many.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;
    /// Reads some bytes and says how many; 0 at the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Returns when all that was written is on the medium, and forgets what was cached.
    fn flush(&self) -> io::Result<()>;
    /// Cuts a file to `size`; nothing for a disk.
    fn cut(&self, size: u64) -> io::Result<()>;
    /// The bytes of a file as it is now; none of a disk, whose size stays.
    fn length(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
    /// Hears that all that was written to it is taken back.
    fn taken_back(&self) {}
    /// Hears that so many places keep the marks of the probe, and what they held is lost.
    fn keeps_marks(&self, _places: usize) {}
    /// Whether it is removable or attached by USB.
    fn is_portable(&self) -> bool {
        false
    }
    /// Whether the medium is not there any more.
    fn is_gone(&self) -> bool;
}

impl Medium for Target {
    fn name(&self) -> String {
        self.path().display().to_string()
    }

    fn size(&self) -> Option<u64> {
        self.disk().map(|disk| disk.size)
    }

    fn block(&self) -> u64 {
        Self::block(self)
    }

    fn is_direct(&self) -> bool {
        self.mode() == WriteMode::Direct
    }

    fn is_portable(&self) -> bool {
        self.disk().is_some_and(Disk::is_portable)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.touch();
        self.handle().write_at(bytes, at)
    }

    fn length(&self) -> io::Result<Option<u64>> {
        if self.disk().is_some() { Ok(None) } else { Ok(Some(self.handle().metadata()?.len())) }
    }

    fn taken_back(&self) {
        self.untouch();
    }

    fn keeps_marks(&self, places: usize) {
        self.mark(places);
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.handle().read_at(buf, at)
    }

    fn flush(&self) -> io::Result<()> {
        self.handle().sync_all()?;
        self.forget_cache()
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        if self.disk().is_some() {
            return Ok(());
        }
        self.touch();
        self.handle().set_len(size)
    }

    fn is_gone(&self) -> bool {
        Self::is_gone(self)
    }
}

/// The error of a failed access, which says so if the medium was pulled out.
pub(super) fn failed(medium: &dyn Medium, verb: &str, at: u64, fault: io::Error) -> Error {
    let name = medium.name();
    if medium.is_gone() {
        return Error::io(format!("{verb} {name} at byte {at:#x}: it has been pulled out"))(fault);
    }
    let doing = format!("{verb} {name} at byte {at:#x}");
    if verb == WRITE && medium.size().is_some() {
        not_taken(doing, fault)
    } else {
        Error::io(doing)(fault)
    }
}

/// The error of a disk that does not take what is written. The kernel's words are about filesystems.
fn not_taken(doing: String, fault: io::Error) -> Error {
    let (reason, hint) = match Errno::from_io_error(&fault) {
        Some(Errno::NOSPC) => (
            "the medium ends there, before the size that it claims",
            "take another stick: this one has less room than it says",
        ),
        Some(Errno::IO | Errno::REMOTEIO | Errno::NODATA | Errno::ILSEQ) => (
            "the medium does not take it",
            "try another port or cable, then another stick: this one is worn out, or has less room than it says",
        ),
        _ => return Error::io(doing)(fault),
    };
    Error::Medium { doing, reason: format!("{reason} ({fault})"), hint: hint.into() }
}

/// Writes all of `bytes`, which lie in an aligned buffer. After a short write it goes on at the
/// last block boundary, since direct I/O can start nowhere else.
pub(super) fn write_all(medium: &dyn Medium, bytes: &[u8], at: u64) -> Result<()> {
    let (mut rest, mut from) = (bytes, at);
    while !rest.is_empty() {
        match medium.write_at(rest, from) {
            Ok(count) => {
                let count = u64_of(count);
                let whole = checked::round_down(count, medium.block(), "what was written")?;
                let step = if count == u64_len(rest) { count } else { whole };
                if step == 0 {
                    let fault = io::Error::from(io::ErrorKind::WriteZero);
                    return Err(failed(medium, WRITE, from, fault));
                }
                rest = checked::part(rest, usize_of(step).., "what is still to be written")?;
                from = checked::sum(from, step, "the place of what is still to be written")?;
            }
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => {
                let at = first_bad(medium, rest, from);
                return Err(failed(medium, WRITE, at, fault));
            }
        }
    }
    Ok(())
}

/// Where in `bytes` a write fails: of one that takes many blocks the kernel does not say it.
fn first_bad(medium: &dyn Medium, bytes: &[u8], at: u64) -> u64 {
    if medium.is_gone() {
        return at;
    }
    let mut at = at;
    for piece in bytes.chunks(usize_of(medium.block().max(PIECE))) {
        match medium.write_at(piece, at) {
            Ok(count) if count == piece.len() => match at.checked_add(u64_len(piece)) {
                Some(next) => at = next,
                None => return at,
            },
            _ => return at,
        }
    }
    at
}

/// Reads until `buf` is full or the medium ends, and says how much there is.
///
/// # Errors
/// What [`failed`] makes of the medium's. If that happens inside of a medium that can be read in part, it is not the
/// end: so the error still has the medium's in it.
pub(super) fn read_full(medium: &dyn Medium, verb: &str, buf: &mut [u8], at: u64) -> Result<usize> {
    let mut done = 0_usize;
    while done < buf.len() {
        let from = checked::sum(at, u64_of(done), "the place to read")?;
        let rest = checked::part_mut(buf, done.., "room to read")?;
        match medium.read_at(rest, from) {
            Ok(0) => break,
            Ok(count) => {
                done = checked::sum(
                    done,
                    checked::part(rest, ..count, "what was read")?.len(),
                    "what was read",
                )?;
                // A file may end inside of a block; what follows can only be its end.
                if !u64_of(count).is_multiple_of(medium.block()) {
                    break;
                }
            }
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(failed(medium, verb, at, fault)),
        }
    }
    Ok(done)
}

/// How far a file goes on behind an image of `size` bytes; nothing of a disk, which goes on behind every image.
pub(super) fn beyond_image(medium: &dyn Medium, size: u64) -> Result<u64> {
    let length = medium.length().map_err(Error::io(format!("look at {}", medium.name())))?;
    Ok(length.map_or(0, |length| beyond(length, size)))
}

/// Flushes, and says what failed.
pub(super) fn flush(medium: &dyn Medium) -> Result<()> {
    let doing = || format!("bring what was written onto {}", medium.name());
    medium.flush().map_err(|fault| {
        if medium.is_gone() {
            return Error::io(format!("{}: it has been pulled out", doing()))(fault);
        }
        if medium.size().is_some() { not_taken(doing(), fault) } else { Error::io(doing())(fault) }
    })
}

/// Whether a medium has the mark of a half written disk; none if that cannot be read.
pub fn is_half_written(medium: &dyn Medium) -> Option<bool> {
    let mut block = aligned(FIRST_BLOCK).ok()?;
    let count = read_full(medium, "read", &mut block, 0).ok()?;
    block.get(..count).map(flash_mark::is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_to_a_disk_names_the_medium_and_other_errors_stay_as_they_are() {
        let rows = [
            (Errno::NOSPC, "the medium ends there"),
            (Errno::IO, "the medium does not take it"),
            (Errno::REMOTEIO, "the medium does not take it"),
            (Errno::NODEV, "cannot write"),
        ];
        for (fault, words) in rows {
            let told = not_taken("write /dev/x".into(), fault.into());
            assert!(told.to_string().contains(words), "{told}");
            let hint = told.advice().and_then(crate::error::Advice::words).unwrap_or_default();
            assert!(!hint.contains("filesystem"), "{fault}: {hint}");
            assert_eq!(
                (matches!(told, Error::Medium { .. }), hint.contains("another stick")),
                (fault != Errno::NODEV, fault != Errno::NODEV)
            );
        }
    }
}
