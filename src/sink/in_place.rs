//! Rewrites the parts of an image file that change, safe against being killed at any point.
//!
//! Everything new goes into a journal beside the image first. Once the journal has its name, the image
//! counts as the new one: whoever finds a journal finishes what it says (again). Before that, the image
//! is untouched.
//!
//! ```text
//! 19  "remaster journal 1\n"
//!  8  bytes of the image before
//!  8  bytes of the image afterwards
//!     runs: first byte (8), how many (8), those bytes; the last run has no bytes
//! 32  SHA-256 of everything before
//! ```
//! Numbers have the least significant byte first.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

use crate::compose::Composed;
use crate::error::{Error, Result};
use crate::image::{ImageFile, ReadAt, journal_of};
use crate::progress::Progress;
use crate::sink::file::{Draft, Existing, Output};
use crate::units::{in_memory, len_of};

const MAGIC: &[u8; 19] = b"remaster journal 1\n";

/// Bytes that are compared at once: the runs of a journal are made of these.
const BLOCK: u64 = 4096;

/// Bytes that are read at once.
const CHUNK: u64 = 1 << 20;

/// What an edit in place did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rewritten {
    /// Bytes that differed and were written.
    pub bytes: u64,
}

/// Makes the file of `path` this image, which may be made from that very file.
///
/// # Errors
/// The operating system's; the file is then the old image or, by [`recover`], the new one.
pub fn rewrite(
    path: &Path,
    image: &Composed<&ImageFile>,
    progress: &dyn Progress,
) -> Result<Rewritten> {
    let path = fs::canonicalize(path).map_err(Error::io(format!("open {}", path.display())))?;
    let doing = || format!("edit {} in place", path.display());
    let file = File::options().read(true).write(true).open(&path).map_err(Error::io(doing()))?;
    lock(&file, &path)?;
    let journal = Output::of_bytes(&journal_of(&path), Existing::Refuse)?;
    let draft = journal.draft()?;
    let bytes = record(&draft, &file, image, progress)?;
    if bytes == 0 && file.metadata().map_err(Error::io(doing()))?.len() == image.size() {
        return Ok(Rewritten { bytes });
    }
    if progress.is_cancelled() {
        return Err(Error::Interrupted);
    }
    journal.name(draft)?;
    finish(&path, &file)?;
    Ok(Rewritten { bytes })
}

/// Finishes an edit in place that was interrupted; tells whether there was one.
///
/// # Errors
/// A journal that is broken or belongs to another image.
pub fn recover(path: &Path) -> Result<bool> {
    let path = fs::canonicalize(path).map_err(Error::io(format!("open {}", path.display())))?;
    if !journal_of(&path).exists() {
        return Ok(false);
    }
    let doing = || format!("finish the edit of {}", path.display());
    let file = File::options().read(true).write(true).open(&path).map_err(Error::io(doing()))?;
    lock(&file, &path)?;
    finish(&path, &file)?;
    Ok(true)
}

fn lock(file: &File, path: &Path) -> Result<()> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|_| Error::Usage {
        what: format!("{} is being edited by another program", path.display()),
        hint: "wait until that is done",
    })
}

/// Writes everything that is new to the journal; how many bytes that is.
fn record(
    draft: &Draft,
    old: &File,
    image: &Composed<&ImageFile>,
    progress: &dyn Progress,
) -> Result<u64> {
    // What is put in may be secret.
    let own = fs::Permissions::from_mode(0o600);
    draft.file().set_permissions(own).map_err(Error::io("write the journal of an edit"))?;
    let mut journal = Summed { to: BufWriter::new(draft.file()), sum: Sha256::new() };
    let written = |source: io::Error| Error::io("write the journal of an edit")(source);
    let old_size = old.metadata().map_err(written)?.len();
    journal.write_all(MAGIC).map_err(written)?;
    journal.write_all(&old_size.to_le_bytes()).map_err(written)?;
    journal.write_all(&image.size().to_le_bytes()).map_err(written)?;
    progress.begin("Comparing", image.size());
    let mut bytes = 0_u64;
    for piece in image.pieces() {
        if piece.stays() {
            progress.advance(piece.at.size());
            continue;
        }
        let mut at = piece.at.start();
        while at < piece.at.end() {
            let size = piece.at.end().saturating_sub(at).min(CHUNK);
            bytes = bytes.saturating_add(record_chunk(&mut journal, old, image, (at, size))?);
            at = at.saturating_add(size);
            progress.advance(size);
        }
    }
    progress.end();
    journal.run(0, &[]).map_err(written)?;
    let sum = journal.sum.clone().finalize();
    journal.to.write_all(&sum).and_then(|()| journal.to.flush()).map_err(written)?;
    draft.file().sync_all().map_err(written)?;
    Ok(bytes)
}

/// Puts those blocks of a chunk into the journal that differ from what stands there.
fn record_chunk(
    journal: &mut Summed<'_>,
    old: &File,
    image: &Composed<&ImageFile>,
    (at, size): (u64, u64),
) -> Result<u64> {
    let mut new = vec![0; in_memory(size)];
    image.read_exact_at(&mut new, at)?;
    let mut there = vec![0; new.len()];
    let known = filled(old, &mut there, at).map_err(Error::io("read what is edited"))?;
    there.truncate(known);
    let mut bytes = 0_u64;
    let mut place = at;
    for (number, block) in new.chunks(in_memory(BLOCK)).enumerate() {
        if there.chunks(in_memory(BLOCK)).nth(number) != Some(block) {
            journal.run(place, block).map_err(Error::io("write the journal of an edit"))?;
            bytes = bytes.saturating_add(len_of(block));
        }
        place = place.saturating_add(len_of(block));
    }
    Ok(bytes)
}

/// Reads as much as there is.
fn filled(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0_usize;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let read =
            file.read_at(rest, at.saturating_add(u64::try_from(done).unwrap_or(u64::MAX)))?;
        if read == 0 {
            break;
        }
        done = done.saturating_add(read);
    }
    Ok(done)
}

/// Does what the journal says, from wherever an earlier run stopped, and removes it.
fn finish(path: &Path, file: &File) -> Result<()> {
    let journal = journal_of(path);
    let doing = || format!("finish the edit of {}", path.display());
    let source = File::open(&journal).map_err(Error::io(doing()))?;
    let size = source.metadata().map_err(Error::io(doing()))?.len();
    let (old_size, new_size) = checked(&source, size, &journal)?;
    let now = file.metadata().map_err(Error::io(doing()))?.len();
    if now != old_size && now != new_size {
        return Err(broken(
            &journal,
            &format!("an image of {old_size} bytes"),
            &format!("{now} bytes"),
        ));
    }
    apply(&source, size, file).map_err(Error::io(doing()))?;
    file.set_len(new_size).and_then(|()| file.sync_all()).map_err(Error::io(doing()))?;
    fs::remove_file(&journal).map_err(Error::io(doing()))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(doing()))
}

fn broken(journal: &Path, looked_for: &str, found: &str) -> Error {
    Error::unsupported(format!("the journal {}", journal.display()), looked_for, found)
}

/// The sizes of both images, if the journal is whole. Nothing of one is used that is not.
fn checked(source: &File, size: u64, journal: &Path) -> Result<(u64, u64)> {
    let fault = || broken(journal, "a whole journal of an edit in place", "something else");
    let head = MAGIC.len().saturating_add(16);
    let body = size.checked_sub(32).filter(|body| *body >= len_of(MAGIC).saturating_add(32));
    let body = body.ok_or_else(fault)?;
    let mut start = vec![0; head];
    source.read_exact_at(&mut start, 0).map_err(Error::io("read the journal"))?;
    let mut sum = Sha256::new();
    let mut reader = BufReader::with_capacity(in_memory(CHUNK), source).take(body);
    let mut chunk = vec![0; in_memory(CHUNK)];
    loop {
        let read = reader.read(&mut chunk).map_err(Error::io("read the journal"))?;
        if read == 0 {
            break;
        }
        sum.update(chunk.get(..read).unwrap_or_default());
    }
    let mut told = [0; 32];
    source.read_exact_at(&mut told, body).map_err(Error::io("read the journal"))?;
    if sum.finalize().as_slice() != told {
        return Err(fault());
    }
    let numbers = start.strip_prefix(MAGIC.as_slice()).ok_or_else(fault)?;
    let (old, rest) = numbers.split_first_chunk::<8>().ok_or_else(fault)?;
    let new = rest.first_chunk::<8>().ok_or_else(fault)?;
    Ok((u64::from_le_bytes(*old), u64::from_le_bytes(*new)))
}

/// Writes the runs of a journal that was checked.
fn apply(source: &File, size: u64, file: &File) -> io::Result<()> {
    let mut at = len_of(MAGIC).saturating_add(16);
    while at < size {
        let mut head = [0; 16];
        source.read_exact_at(&mut head, at)?;
        at = at.saturating_add(16);
        let (start, length) = head.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let (start, length) = (number(start), number(length));
        if length == 0 {
            break;
        }
        if length > CHUNK {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; in_memory(length)];
        source.read_exact_at(&mut bytes, at)?;
        file.write_all_at(&bytes, start)?;
        at = at.saturating_add(length);
    }
    Ok(())
}

/// Writes, and knows the digest of all that was written.
struct Summed<'a> {
    to: BufWriter<&'a File>,
    sum: Sha256,
}

impl Summed<'_> {
    fn run(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all(&at.to_le_bytes())?;
        self.write_all(&len_of(bytes).to_le_bytes())?;
        self.write_all(bytes)
    }
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(bytes)?;
        self.sum.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
