//! Rewrites the parts of an image file that change, safe against being killed at any point.
//!
//! Everything old and new goes into a journal beside the image first. Once the journal has its name, the
//! image counts as the new one: whoever finds a journal finishes what it says (again). Before that, the
//! image is untouched.
//!
//! ```text
//! 19  "remaster journal 1\n"
//!  8  bytes of the image before
//!  8  bytes of the image afterwards
//!     runs: first byte (8), bytes there (8), of those before the old end (8), the old ones, the new
//!     ones; the last run has no bytes
//! 32  SHA-256 of everything before
//! ```
//! Numbers have the least significant byte first.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::access;
use crate::checked;
use crate::error::{Error, Result};
use crate::image::journal;
use crate::image::patched::PatchedImage;
use crate::image::{self, ImageFile, ReadAt};
use crate::lock;
use crate::output::Outgoing;
use crate::output::file::{FileAccess, Output, OverwritePolicy, sync_folder};
use crate::output::reserve;
use crate::output::temp_file::TempFile;
use crate::progress::Progress;
use crate::units::{ByteRange, u64_len, u64_of, usize_of};

const MAGIC: &[u8; 19] = b"remaster journal 1\n";
/// Bytes before the first run.
const HEAD: u64 = u64_len(MAGIC) + 16;
/// Bytes before the bytes of a run.
const RUN_HEAD: u64 = 24;

/// Bytes that are compared at once: the runs of a journal are made of these.
const BLOCK: u64 = 4096;

/// Bytes that a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// Bytes that are read at once, and at the most in a run.
const CHUNK: u64 = 1 << 20;

/// An edit that was interrupted, and is finished.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecoveredEdit {
    /// Bytes of the image before.
    pub old_size: u64,
    /// Bytes of the image now.
    pub new_size: u64,
    /// Bytes that the edit changes.
    pub bytes: u64,
}

/// An image file that nobody else edits, until this is dropped.
#[derive(Debug)]
pub struct InPlaceEdit {
    file: File,
    path: PathBuf,
}

impl InPlaceEdit {
    /// Takes an image for an edit, before anything of it is read.
    ///
    /// # Errors
    /// Another program edits it.
    pub fn take(path: &Path) -> Result<Self> {
        let doing = || format!("open {}", path.display());
        let kind = image::about(path)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(image::not_an_image(path, kind));
        }
        let real = fs::canonicalize(path).map_err(Error::io(doing()))?;
        let file =
            File::options().read(true).write(true).open(&real).map_err(Error::io(doing()))?;
        lock::take(&file, path, || Error::Usage {
            what: format!("{} is being edited by another program", path.display()),
            hint: "wait until that is done".into(),
        })?;
        journal::check_name(&real)?;
        Ok(Self { file, path: real })
    }

    /// The path of the file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes an edit that was interrupted; tells what it was, if there was one.
    ///
    /// # Errors
    /// A journal that somebody else may have made, that is broken or belongs to another image.
    pub fn recover(&self) -> Result<Option<RecoveredEdit>> {
        journal::open(&self.path)?.map(|source| self.finish(&source)).transpose()
    }

    /// Refuses a folder that takes no journal.
    ///
    /// # Errors
    /// That, and a journal that is there.
    pub fn check_place(&self) -> Result<()> {
        Output::of_bytes(&journal::path_beside(&self.path), OverwritePolicy::Refuse).map(drop)
    }

    /// Closes the file to everyone but its owner.
    ///
    /// # Errors
    /// The operating system's.
    pub fn keep_from_others(&self) -> Result<()> {
        access::close(&self.file, &self.path.display().to_string())
    }

    /// Makes the file this image, which may be made from that very file; how many bytes differed and
    /// were written, or `None` if it was this image already.
    ///
    /// # Errors
    /// The operating system's; the file is then the old image or, by [`InPlaceEdit::recover`], the new one, which
    /// [`Error::HalfEdited`] says.
    pub fn rewrite(
        &self,
        outgoing: Outgoing<'_, &ImageFile>,
        progress: &dyn Progress,
    ) -> Result<Option<u64>> {
        let image = outgoing.image();
        let place = Output::of_bytes(&journal::path_beside(&self.path), OverwritePolicy::Refuse)?;
        let is_private = outgoing.privacy().holds_secrets();
        let readers = if is_private { FileAccess::Owner } else { FileAccess::OwnerIfPossible };
        let draft = place.draft(readers)?;
        let bytes = self.record(&draft, image, progress)?;
        image.check_unchanged()?;
        if bytes == 0 && self.size()? == image.size() {
            if outgoing.privacy().holds_secrets() {
                self.keep_from_others()?;
            }
            return Ok(None);
        }
        if progress.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let written = draft.file().try_clone();
        let written = written.map_err(Error::io("open the journal of an edit"))?;
        self.reserve(&written)?;
        // Before the first byte of a secret is in it, and only if there is room for the edit.
        let closed =
            if outgoing.privacy().holds_secrets() { self.keep_from_others() } else { Ok(()) };
        let published = || place.publish(draft).map_err(|fault| place.not_written(fault));
        let begun = closed.and_then(|()| published()).and_then(|()| self.begin(&place));
        begun.inspect_err(|_| self.give_back_room())?;
        self.finish(&written)?;
        Ok(Some(bytes))
    }

    /// Brings the name of the journal to the disk: from then on the edit counts. Where that fails, it does not.
    fn begin(&self, journal: &Output) -> Result<()> {
        sync_folder(journal.folder(), journal.path()).map_err(|fault| {
            let removed = fs::remove_file(journal.path());
            removed.map_or_else(|left| self.half_edited(left), |()| fault)
        })
    }

    /// Reserves room for all that a journal changes, so that a full disk leaves the image as it is.
    fn reserve(&self, journal: &File) -> Result<()> {
        let doing =
            || format!("make room for the edit of {}, which is as it was", self.path.display());
        let size = journal.metadata().map_err(Error::io(doing()))?.len();
        let mut ranges = Vec::new();
        let found = each(journal, size, |run| {
            let at = checked::range(run.at, u64_len(&run.new), "bytes that change")?;
            reserve::add(&mut ranges, at);
            Ok(())
        });
        found.and_then(|()| reserve::reserve(&self.file, &ranges)).map_err(|fault| {
            self.give_back_room();
            Error::io(doing())(fault)
        })
    }

    /// Gives back room that was taken behind the end. Where that fails, it is lost until the image grows.
    fn give_back_room(&self) {
        let _ = self.size().map(|size| self.file.set_len(size));
    }

    /// The error of an edit that is begun and cannot be finished.
    fn half_edited(&self, source: io::Error) -> Error {
        match Error::own_in(&source) {
            Some(bug) => bug,
            None => Error::HalfEdited { image: self.path.clone(), source },
        }
    }

    fn size(&self) -> Result<u64> {
        let about = self.file.metadata();
        about.map(|about| about.len()).map_err(Error::io(format!("read {}", self.path.display())))
    }

    /// Writes everything that changes to the journal; how many bytes that is.
    fn record(
        &self,
        draft: &TempFile,
        image: &PatchedImage<&ImageFile>,
        progress: &dyn Progress,
    ) -> Result<u64> {
        let written = |fault: io::Error| Error::io("write the journal of an edit")(fault);
        let mut journal = HashingWriter { to: BufWriter::new(draft.file()), sum: Sha256::new() };
        journal.write_all(MAGIC).map_err(written)?;
        journal.write_all(&self.size()?.to_le_bytes()).map_err(written)?;
        journal.write_all(&image.size().to_le_bytes()).map_err(written)?;
        progress.begin("compare", image.size());
        let mut bytes = 0_u64;
        for piece in image.pieces() {
            for step in piece.at.steps(CHUNK).filter(|_| !piece.stays()) {
                let more = self.record_chunk(&mut journal, image, step)?;
                bytes = checked::sum(bytes, more, "the bytes that an edit changes")?;
            }
            progress.advance(piece.at.size());
        }
        progress.end();
        journal.run(0, &[], &[]).map_err(written)?;
        let sum = journal.sum.clone().finalize();
        journal.to.write_all(&sum).and_then(|()| journal.to.flush()).map_err(written)?;
        draft.file().sync_all().map_err(written)?;
        Ok(bytes)
    }

    /// Puts those blocks of a chunk into the journal that differ from what stands there.
    fn record_chunk(
        &self,
        journal: &mut HashingWriter<'_>,
        image: &PatchedImage<&ImageFile>,
        at: ByteRange,
    ) -> Result<u64> {
        let mut new = vec![0; usize_of(at.size())];
        image.read_exact_at(&mut new, at.start())?;
        let old =
            there(&self.file, at.start(), new.len()).map_err(Error::io("read what is edited"))?;
        let mut bytes = 0_u64;
        let mut place = at.start();
        // Behind the old end there is nothing.
        let old_blocks = old.chunks(usize_of(BLOCK)).chain(std::iter::repeat(&[][..]));
        for (block, before) in new.chunks(usize_of(BLOCK)).zip(old_blocks) {
            if before != block {
                let run = journal.run(place, before, block);
                run.map_err(Error::io("write the journal of an edit"))?;
                bytes = checked::sum(bytes, u64_len(block), "the bytes that an edit changes")?;
            }
            place = checked::sum(place, u64_len(block), "the place of a block")?;
        }
        Ok(bytes)
    }

    /// Does what the journal says, from wherever an earlier run stopped, and removes it. The file has
    /// its larger size all the while, so that it is never seen with another one than the old or the new.
    fn finish(&self, source: &File) -> Result<RecoveredEdit> {
        let journal = &journal::path_beside(&self.path);
        let half_edited = |fault| self.half_edited(fault);
        let size = source.metadata().map_err(half_edited)?.len();
        let done = self.checked(journal, source, size)?;
        let whole = done.old_size.max(done.new_size);
        self.file.set_len(whole).map_err(half_edited)?;
        let written = each(source, size, |run| self.file.write_all_at(&run.new, run.at));
        let written = written.and_then(|()| self.file.sync_all());
        let written = written.and_then(|()| self.file.set_len(done.new_size));
        written.and_then(|()| self.file.sync_all()).map_err(half_edited)?;
        // The last step: up to here the journal is what an interrupted edit is finished by.
        fs::remove_file(journal).map_err(half_edited)?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        sync_folder(folder, &self.path).map(|()| done)
    }

    /// What a journal does, if it is whole, for this image, and does nothing else than an edit does: nothing of one
    /// is used that is not. Every sector is as it was before or as it shall be, and what was before is only left out
    /// behind the old end.
    fn checked(&self, journal: &Path, source: &File, size: u64) -> Result<RecoveredEdit> {
        let (old_size, new_size) = whole(source, size, journal)?;
        let now = self.size()?;
        if now != old_size && now != new_size {
            let found = format!("{now} bytes");
            return Err(broken(journal, &format!("an image of {old_size} bytes"), &found));
        }
        let mut done = RecoveredEdit { old_size, new_size, bytes: 0 };
        let mut end = 0_u64;
        each(source, size, |run| {
            let there = there(&self.file, run.at, run.new.len())?;
            let fits = run.at >= end && run.fits(&done);
            let run_end = run.end().filter(|_| fits).ok_or(io::ErrorKind::InvalidData)?;
            if !belongs(&there, run)? {
                return Err(io::ErrorKind::InvalidData.into());
            }
            end = run_end;
            let bytes = u64_len(&run.new);
            done.bytes = checked::sum(done.bytes, bytes, "the bytes that an edit changes")?;
            Ok(())
        })
        .map_err(|fault| match fault.kind() {
            io::ErrorKind::InvalidData => {
                broken(journal, "the image that it was written for", "another one")
            }
            _ => self.half_edited(fault),
        })?;
        Ok(done)
    }
}

/// As much as there is of the bytes from `at` on.
fn there(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0_usize;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let read = file.read_at(rest, checked::sum(at, u64_of(done), "the place to read")?)?;
        if read == 0 {
            break;
        }
        done = checked::sum(done, read, "what was read")?;
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Whether each sector is as it was before or as it shall be. What was behind the old end does not count.
fn belongs(now: &[u8], run: &Run) -> Result<bool> {
    let before_end = |at: usize| at.min(run.old.len());
    for sector in checked::range(run.at, u64_len(now), "what is there of a run")?.steps(SECTOR) {
        let start = usize_of(checked::difference(sector.start(), run.at, "a sector of a run")?);
        let end = usize_of(checked::difference(sector.end(), run.at, "a sector of a run")?);
        let now = checked::part(now, start..end, "a sector of a run")?;
        let old = checked::part(&run.old, before_end(start)..before_end(end), "a sector before")?;
        let new = checked::part(&run.new, start..end, "a sector afterwards")?;
        if !now.starts_with(old) && new != now {
            return Ok(false);
        }
    }
    Ok(true)
}

fn broken(journal: &Path, looked_for: &str, found: &str) -> Error {
    Error::unsupported(format!("the journal {}", journal.display()), looked_for, found)
        .with_hint("nothing is changed; make the image again, and remove the journal")
}

/// Bytes that the journal of an edit between images of these sizes has at the most: all of both, and what stands in
/// front of every run; none if there are no images of such sizes.
fn largest(old_size: u64, new_size: u64) -> Option<u64> {
    let both = old_size.checked_add(new_size)?;
    let runs = both.div_euclid(BLOCK).checked_add(CHUNK)?;
    both.checked_add(runs.checked_mul(RUN_HEAD)?)
}

/// The sizes of both images, if the journal is whole and no larger than an edit of those makes it.
fn whole(source: &File, size: u64, journal: &Path) -> Result<(u64, u64)> {
    let fault = || broken(journal, "a whole journal of an edit in place", "something else");
    let reading = |fault: io::Error| Error::io("read the journal of an edit")(fault);
    let body = size.checked_sub(32).filter(|body| *body >= HEAD + RUN_HEAD);
    let body = body.ok_or_else(fault)?;
    let (old, new) = sizes(source).map_err(reading)?.ok_or_else(fault)?;
    // All bytes that come behind the old end are in it.
    let is_larger = largest(old, new).is_none_or(|largest| size > largest);
    if is_larger || new.checked_sub(old).is_some_and(|more| more > size) {
        return Err(broken(journal, "a journal of these images", &format!("{size} bytes")));
    }
    let mut sum = Sha256::new();
    let mut from = source;
    from.seek(SeekFrom::Start(0)).map_err(reading)?;
    let mut reader = BufReader::new(from).take(body);
    let mut chunk = vec![0; usize_of(CHUNK)];
    loop {
        let read = reader.read(&mut chunk).map_err(reading)?;
        if read == 0 {
            break;
        }
        sum.update(checked::part(&chunk, ..read, "what was read")?);
    }
    let mut told = [0; 32];
    source.read_exact_at(&mut told, body).map_err(reading)?;
    if sum.finalize().as_slice() != told {
        return Err(fault());
    }
    Ok((old, new))
}

/// The sizes that a journal begins with; none if it is not a journal.
fn sizes(source: &File) -> io::Result<Option<(u64, u64)>> {
    let mut start = vec![0; usize_of(HEAD)];
    source.read_exact_at(&mut start, 0)?;
    let numbers = start.strip_prefix(MAGIC.as_slice());
    let both = numbers.and_then(|numbers| {
        let (old, rest) = numbers.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*old), u64::from_le_bytes(*rest.first_chunk::<8>()?)))
    });
    Ok(both)
}

/// Bytes that change.
struct Run {
    at: u64,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Run {
    fn end(&self) -> Option<u64> {
        self.at.checked_add(u64_len(&self.new))
    }

    /// Whether it lies in the new image, and says of all bytes before the old end what they were.
    fn fits(&self, edit: &RecoveredEdit) -> bool {
        // A run behind the old end has nothing before it.
        let before = edit.old_size.checked_sub(self.at);
        let before = before.map_or(0, |before| before.min(u64_len(&self.new)));
        self.end().is_some_and(|end| end <= edit.new_size) && u64_len(&self.old) == before
    }
}

/// Hands every run of a journal that was checked to `act`.
fn each(source: &File, size: u64, mut act: impl FnMut(&Run) -> io::Result<()>) -> io::Result<()> {
    let mut at = HEAD;
    while at < size {
        let mut head = [[0; 8]; 3];
        for number in &mut head {
            source.read_exact_at(number, at)?;
            at = checked::sum(at, 8, "the place of a number")?;
        }
        let [place, length, before] = head.map(u64::from_le_bytes);
        if length == 0 {
            break;
        }
        if length > CHUNK || before > length {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut run =
            Run { at: place, old: vec![0; usize_of(before)], new: vec![0; usize_of(length)] };
        source.read_exact_at(&mut run.old, at)?;
        at = checked::sum(at, before, "the place of what is new")?;
        source.read_exact_at(&mut run.new, at)?;
        at = checked::sum(at, length, "the place of the next run")?;
        act(&run)?;
    }
    Ok(())
}

/// Writes, and knows the digest of all that was written.
struct HashingWriter<'a> {
    to: BufWriter<&'a File>,
    sum: Sha256,
}

impl HashingWriter<'_> {
    fn run(&mut self, at: u64, old: &[u8], new: &[u8]) -> io::Result<()> {
        self.write_all(&at.to_le_bytes())?;
        self.write_all(&u64_len(new).to_le_bytes())?;
        self.write_all(&u64_len(old).to_le_bytes())?;
        self.write_all(old)?;
        self.write_all(new)
    }
}

impl Write for HashingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(bytes)?;
        self.sum.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::patched::Patch;
    use crate::progress::Silent;

    /// An image file of `old` and what becomes of it, with a journal that was not begun with.
    fn interrupted(folder: &Path) -> (PathBuf, Vec<u8>, Vec<u8>) {
        let path = folder.join("a.iso");
        let old: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        fs::write(&path, &old).unwrap();
        let file = ImageFile::open(&path).unwrap();
        let patches = [(100, 700), (9_000, 40), (20_000, 3_000)]
            .map(|(at, size)| Patch::bytes(at, vec![0xee; size], "test").unwrap());
        let image = PatchedImage::whole(&file).with(patches.to_vec(), 23_000).unwrap();
        let mut new = vec![0; 23_000];
        image.read_exact_at(&mut new, 0).unwrap();
        let edited = InPlaceEdit::take(&path).unwrap();
        let place =
            Output::of_bytes(&journal::path_beside(&path), OverwritePolicy::Refuse).unwrap();
        let draft = place.draft(FileAccess::Owner).unwrap();
        edited.record(&draft, &image, &Silent).unwrap();
        place.publish(draft).unwrap();
        (path, old, new)
    }

    #[test]
    fn whatever_was_written_of_it_an_edit_is_finished() {
        for sectors in 0..=46 {
            let folder = tempfile::tempdir().unwrap();
            let (path, mut now, new) = interrupted(folder.path());
            assert!(ImageFile::open(&path).is_err(), "half of an edit is not an image");
            if sectors > 0 {
                now.resize(new.len(), 0);
            }
            let done = (sectors * 512).min(new.len());
            now[..done].copy_from_slice(&new[..done]);
            fs::write(&path, &now).unwrap();
            assert!(InPlaceEdit::take(&path).unwrap().recover().unwrap().is_some());
            assert_eq!(fs::read(&path).unwrap(), new, "{sectors} sectors");
            assert!(!journal::path_beside(&path).exists());
            assert_eq!(InPlaceEdit::take(&path).unwrap().recover().unwrap(), None);
        }
    }

    #[test]
    fn a_journal_changes_no_other_image_and_a_broken_one_none() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old, _) = interrupted(folder.path());
        let other = vec![7; old.len()];
        fs::write(&path, &other).unwrap();
        assert!(InPlaceEdit::take(&path).unwrap().recover().is_err());
        assert_eq!(fs::read(&path).unwrap(), other);
        fs::write(&path, &old).unwrap();
        let journal = fs::read(journal::path_beside(&path)).unwrap();
        for at in (0..journal.len()).step_by(97) {
            let mut broken = journal.clone();
            broken[at] ^= 1;
            fs::write(journal::path_beside(&path), &broken).unwrap();
            assert!(InPlaceEdit::take(&path).unwrap().recover().is_err(), "byte {at}");
            assert_eq!(fs::read(&path).unwrap(), old);
        }
    }

    #[test]
    fn a_journal_changes_no_image_of_another_size() {
        for other in [0, 19_999, 20_001, 22_999, 23_001] {
            let folder = tempfile::tempdir().unwrap();
            let (path, mut now, _) = interrupted(folder.path());
            now.resize(other, 0);
            fs::write(&path, &now).unwrap();
            let fault = InPlaceEdit::take(&path).unwrap().recover().unwrap_err().to_string();
            assert!(fault.contains("an image of 20000 bytes"), "{other}: {fault}");
            assert!(fs::read(&path).unwrap() == now, "{other}");
        }
    }

    #[test]
    fn two_do_not_edit_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.iso");
        fs::write(&path, "x").unwrap();
        let first = InPlaceEdit::take(&path).unwrap();
        assert!(InPlaceEdit::take(&path).is_err());
        drop(first);
        assert!(InPlaceEdit::take(&path).is_ok());
    }
}
