//! Fills a new file with the bytes of an image, as cheaply as the filesystem can: cloned, copied by the kernel, or written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::checked;
use crate::error::Error;
use crate::image::patched::{PatchedImage, Piece, Source};
use crate::image::{ImageFile, ReadAt};
use crate::progress::Progress;
use crate::threads;
use crate::units::{ByteRange, u64_of, usize_of};

/// Bytes that the kernel is asked to copy at once: small enough for progress and Ctrl-C.
const KERNEL_CHUNK: usize = 16 << 20;

/// Bytes that are read and written at once where the kernel does not copy.
const CHUNK: u64 = 1 << 20;

/// Time between two rounds of bringing bytes to the disk.
const SYNC_INTERVAL: Duration = Duration::from_millis(5);

/// How the base's bytes got into the new file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CopyMethod {
    /// They are shared with the base (FICLONE, `ioctl_ficlone(2)`).
    Cloned,
    /// The kernel copied them (`copy_file_range(2)`).
    Copied,
}

/// A fault of the operating system, or one that already says what it is.
pub(super) type Fault = std::result::Result<Error, io::Error>;

/// A way to fill a new file with the bytes of an image.
pub(super) type Fill =
    fn(&File, &PatchedImage<&ImageFile>, &dyn Progress) -> std::result::Result<CopyMethod, Fault>;

fn refused(fault: impl Into<io::Error>) -> Fault {
    Err(fault.into())
}

/// Fills the file while another thread brings to the disk what was written, so that little is left
/// to wait for at the end. A fault of that thread counts: the kernel tells each fault only once.
pub(super) fn fill_and_sync(
    file: &File,
    image: &PatchedImage<&ImageFile>,
    progress: &dyn Progress,
) -> std::result::Result<CopyMethod, Fault> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let syncing = threads::start(scope, || -> io::Result<()> {
            while !done.load(Ordering::Relaxed) {
                file.sync_data()?;
                thread::sleep(SYNC_INTERVAL);
            }
            Ok(())
        })
        .map_err(Ok)?;
        let how = fill(file, image, progress);
        done.store(true, Ordering::Relaxed);
        threads::end(syncing).map_err(refused).and(how)
    })
}

pub(super) fn fill(
    file: &File,
    image: &PatchedImage<&ImageFile>,
    progress: &dyn Progress,
) -> std::result::Result<CopyMethod, Fault> {
    let base = image.base().file();
    // A clone gains nothing if no byte of it stays where it is.
    let cloned =
        image.pieces().iter().any(Piece::stays) && rustix::fs::ioctl_ficlone(file, base).is_ok();
    if cloned {
        file.set_len(image.size()).map_err(refused)?;
    }
    for piece in image.pieces() {
        // A new file is zero all over, and so is what a clone has behind the base.
        let is_fresh = !cloned || piece.at.start() >= image.base().size();
        let is_zero = is_fresh && matches!(piece.from, Source::Zeros);
        if is_zero || (cloned && piece.stays()) {
            progress.advance(piece.at.size());
        } else {
            write_piece(file, image, piece, progress)?;
        }
    }
    Ok(if cloned { CopyMethod::Cloned } else { CopyMethod::Copied })
}

fn write_piece(
    file: &File,
    image: &PatchedImage<&ImageFile>,
    piece: &Piece,
    progress: &dyn Progress,
) -> std::result::Result<(), Fault> {
    let left = match &piece.from {
        Source::Base(from) => copy_in_kernel(image.base().file(), *from, file, piece.at, progress)?,
        Source::File(other, from) => copy_in_kernel(other.file(), *from, file, piece.at, progress)?,
        Source::Bytes(_) | Source::Zeros => piece.at,
    };
    let mut buffer = vec![0; usize_of(CHUNK.min(left.size()))];
    for step in left.steps(CHUNK) {
        check_cancelled(progress)?;
        let chunk = checked::part_mut(&mut buffer, ..usize_of(step.size()), "room for a piece");
        let chunk = chunk.map_err(Ok)?;
        image.read_exact_at(chunk, step.start()).map_err(Ok)?;
        file.write_all_at(chunk, step.start()).map_err(refused)?;
        progress.advance(step.size());
    }
    Ok(())
}

fn check_cancelled(progress: &dyn Progress) -> std::result::Result<(), Fault> {
    if progress.is_cancelled() { Err(Ok(Error::Interrupted)) } else { Ok(()) }
}

/// Copies as much as the kernel copies, and says what it left to the caller.
fn copy_in_kernel(
    base: &File,
    from: u64,
    to: &File,
    at: ByteRange,
    progress: &dyn Progress,
) -> std::result::Result<ByteRange, Fault> {
    let (mut source, mut target) = (from, at.start());
    loop {
        let left = checked::between(target, at.end(), "what is still to be copied").map_err(Ok)?;
        if left.is_empty() {
            return Ok(left);
        }
        check_cancelled(progress)?;
        let size = usize_of(left.size()).min(KERNEL_CHUNK);
        let copied =
            rustix::fs::copy_file_range(base, Some(&mut source), to, Some(&mut target), size);
        match copied {
            Ok(0) => return Ok(left),
            Ok(bytes) => progress.advance(u64_of(bytes)),
            // What no other way of copying gets around; everything else, as EXDEV, ENOSYS or EINVAL, is about this
            // way (copy_file_range(2)).
            Err(fault @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::FBIG)) => {
                return Err(refused(io::Error::from(fault)));
            }
            Err(_) => return Ok(left),
        }
    }
}
