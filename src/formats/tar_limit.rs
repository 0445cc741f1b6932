//! Keeps the extension entries of a tar archive small (POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format"): the reader of
//! archives takes each of them into memory whole, whatever size it states.

use std::io::{self, Read, Seek, SeekFrom};

use tar::{Header, PaxExtensions};

use crate::checked;
use crate::error::Error;
use crate::units::{DISK_BLOCK, align_up, u64_of, usize_of};

/// Bytes of a long name or of an extended header: a path of Linux has 4,096 at the most.
const LARGEST: u64 = 64 << 10;

/// Bytes of a header.
const BLOCK: usize = 512;

/// Where a sparse file says that another block of its map follows: in its header, and in such a block.
const MORE_IN_HEADER: usize = 482;
const MORE_IN_BLOCK: usize = 504;

/// Where the headers of an archive stand: behind the contents of the entry before.
#[derive(Debug, Default)]
struct Walk {
    /// The size of the next file, if an extended header states it.
    size: Option<u64>,
    /// Bytes of a sparse file, whose map goes on first.
    behind_map: Option<u64>,
    /// Whether the contents that follow are an extended header.
    is_extended: bool,
}

impl Walk {
    /// Takes a block that stands where a header can: how many bytes of contents follow it, padding included.
    fn header(&mut self, block: &[u8; BLOCK]) -> io::Result<u64> {
        self.is_extended = false;
        if let Some(size) = self.behind_map.take() {
            return Ok(self.map_or_contents(size, block.get(MORE_IN_BLOCK)));
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(0);
        }
        let header = Header::from_byte_slice(block);
        let kind = header.entry_type();
        self.is_extended = kind.is_pax_local_extensions();
        let is_extension = self.is_extended
            || kind.is_pax_global_extensions()
            || kind.is_gnu_longname()
            || kind.is_gnu_longlink();
        let stated = header.entry_size()?;
        if is_extension {
            return if stated <= LARGEST { padded(stated) } else { Err(too_large(stated)) };
        }
        let size = padded(self.size.take().unwrap_or(stated))?;
        let more = block.get(MORE_IN_HEADER).filter(|_| kind.is_gnu_sparse());
        Ok(self.map_or_contents(size, more))
    }

    /// The contents of a file, or none as long as the map of a sparse one goes on.
    fn map_or_contents(&mut self, size: u64, more: Option<&u8>) -> u64 {
        if more == Some(&1) {
            self.behind_map = Some(size);
            return 0;
        }
        size
    }

    /// Takes the contents of an extended header.
    fn extended(&mut self, contents: &[u8]) {
        let size = PaxExtensions::new(contents).flatten().find(|one| one.key() == Ok("size"));
        self.size = size.and_then(|one| one.value().ok()?.parse().ok()).or(self.size);
    }
}

fn padded(size: u64) -> io::Result<u64> {
    align_up(size, DISK_BLOCK).ok_or_else(|| beyond_all(size))
}

fn beyond_all(size: u64) -> io::Error {
    let found = format!("a file of {size} bytes");
    Error::unsupported("the tar archive", "files that a disk can hold", found).into()
}

fn too_large(size: u64) -> io::Error {
    let expected = format!("names and extended headers of at most {LARGEST} bytes");
    Error::unsupported("the tar archive", expected, format!("one of {size} bytes")).into()
}

/// An archive that comes once.
#[derive(Debug)]
pub(crate) struct Limited<R> {
    inner: R,
    walk: Walk,
    block: [u8; BLOCK],
    /// What of the block is still to be handed on.
    at: usize,
    end: usize,
    /// Bytes until the next header.
    left: u64,
    seen: Vec<u8>,
}

impl<R: Read> Limited<R> {
    pub(crate) fn new(inner: R) -> Self {
        let walk = Walk::default();
        Self { inner, walk, block: [0; BLOCK], at: 0, end: 0, left: 0, seen: Vec::new() }
    }

    fn contents(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize_of(self.left));
        let part = checked::part_mut(buffer, ..most, "a buffer")?;
        let read = self.inner.read(part)?;
        self.left = checked::difference(self.left, u64_of(read), "what is left of a file")?;
        if self.walk.is_extended {
            self.seen.extend_from_slice(checked::part(part, ..read, "what was read")?);
            if self.left == 0 {
                self.walk.extended(&std::mem::take(&mut self.seen));
            }
        }
        Ok(read)
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end {
            if self.left > 0 {
                return self.contents(buffer);
            }
            (self.at, self.end) = (0, fill(&mut self.inner, &mut self.block)?);
            if self.end == BLOCK {
                self.left = self.walk.header(&self.block)?;
            }
        }
        let mut waiting = checked::part(&self.block, self.at..self.end, "a header")?;
        let read = waiting.read(buffer)?;
        self.at = checked::sum(self.at, read, "a place in a header")?;
        Ok(read)
    }
}

/// As much of a block as there is.
fn fill(reader: &mut impl Read, block: &mut [u8; BLOCK]) -> io::Result<usize> {
    let mut end: usize = 0;
    while let Some(rest) = block.get_mut(end..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => end = checked::sum(end, read, "a place in a header")?,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(end)
}

/// Refuses an archive with a large extension entry. The reader stands at its start afterwards.
///
/// # Errors
/// Those of the reader, and [`Error::Unsupported`] as one of [`io`].
pub(crate) fn check<R: Read + Seek>(mut reader: R) -> io::Result<()> {
    let mut walk = Walk::default();
    let mut block = [0; BLOCK];
    reader.seek(SeekFrom::Start(0))?;
    while fill(&mut reader, &mut block)? == BLOCK && block.iter().any(|byte| *byte != 0) {
        let size = walk.header(&block)?;
        if walk.is_extended {
            let mut contents = Vec::new();
            reader.by_ref().take(size).read_to_end(&mut contents)?;
            walk.extended(&contents);
        } else {
            let ahead = i64::try_from(size).map_err(|_| beyond_all(size))?;
            reader.seek(SeekFrom::Current(ahead))?;
        }
    }
    reader.seek(SeekFrom::Start(0)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: tar::EntryType, size: u64) -> Vec<u8> {
        let mut header = Header::new_ustar();
        header.set_path("x").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn filled(mut bytes: Vec<u8>, contents: &[u8]) -> Vec<u8> {
        bytes.extend_from_slice(contents);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    /// What both ways of reading say of an archive, which the first hands on unchanged.
    fn judged(archive: &[u8]) -> [Result<(), String>; 2] {
        let mut read = Vec::new();
        let streamed = Limited::new(archive).read_to_end(&mut read);
        let streamed = streamed.map(|_| assert!(read == archive)).map_err(|why| why.to_string());
        [streamed, check(io::Cursor::new(archive)).map_err(|why| why.to_string())]
    }

    #[test]
    fn a_long_name_is_taken_up_to_the_limit() {
        for kind in [b'L', b'K', b'x', b'g'].map(tar::EntryType::new) {
            let name = |size: u64| {
                let long = filled(header(kind, size), &vec![b'n'; usize_of(size)]);
                [long, filled(header(tar::EntryType::Regular, 3), b"abc")].concat()
            };
            assert_eq!(judged(&name(LARGEST)), [Ok(()), Ok(())]);
            for told in judged(&name(LARGEST + 1)) {
                assert!(told.unwrap_err().contains("one of 65537 bytes"));
            }
        }
    }

    #[test]
    fn contents_that_look_like_a_header_are_not_taken_for_one() {
        let inside = header(tar::EntryType::new(b'L'), 1 << 40);
        let plain = filled(header(tar::EntryType::Regular, 512), &inside);
        assert_eq!(judged(&plain), [Ok(()), Ok(())]);
        // The size of a large file stands in the extended header alone.
        let stated = filled(header(tar::EntryType::new(b'x'), 12), b"12 size=512\n");
        let large = filled(header(tar::EntryType::Regular, 0), &inside);
        assert_eq!(judged(&[stated, large].concat()), [Ok(()), Ok(())]);
    }

    #[test]
    fn the_map_of_a_sparse_file_goes_on_behind_its_header() {
        let mut sparse = header(tar::EntryType::GNUSparse, 512);
        sparse[MORE_IN_HEADER] = 1;
        let mut map = vec![0; BLOCK];
        map[156] = b'L';
        let inside = header(tar::EntryType::new(b'L'), 1 << 40);
        assert_eq!(judged(&[sparse, map, inside].concat()), [Ok(()), Ok(())]);
    }
}
