//! What a squashfs holds: paths, modes and owners, without the bytes of files. The `backhand` crate reads it.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use backhand::{BackhandError, FilesystemReader, InnerNode, Node};

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::units::{ByteRange, beyond, u64_len, usize_of};

/// The files, folders and links of a squashfs that stands in an image; files come empty.
///
/// # Errors
/// A squashfs that cannot be read.
pub fn members<I: ReadAt>(image: &I, at: ByteRange) -> Result<Vec<Member>> {
    opened(image, at, |found| Ok(found.files().filter_map(member).collect()))
}

/// What `of` makes of a squashfs that stands in an image.
pub(super) fn opened<I: ReadAt, T>(
    image: &I,
    at: ByteRange,
    of: impl FnOnce(&FilesystemReader<'_>) -> std::result::Result<T, BackhandError>,
) -> Result<T> {
    let read = |window: Window<'_, I>| of(&FilesystemReader::from_reader(BufReader::new(window))?);
    let broken = |found: String| Error::malformed("the squashfs", at.start(), found, "a whole one");
    // Numbers of a hostile squashfs that do not fit make the crate panic.
    match catch_unwind(AssertUnwindSafe(|| read(Window { image, at, position: 0 }))) {
        Ok(read) => read.map_err(|fault| match fault {
            BackhandError::UnsupportedCompression(_)
            | BackhandError::UnsupportedInode
            | BackhandError::UnsupportedSquashfsVersion(..) => {
                Error::unsupported("the squashfs", "one that can be read", fault.to_string())
            }
            _ => broken(fault.to_string()),
        }),
        Err(_) => Err(broken("numbers that contradict each other".into())),
    }
}

/// The same of a squashfs in memory.
pub fn members_of(bytes: &Vec<u8>) -> Result<Vec<Member>> {
    members(bytes, ByteRange::up_to(u64_len(bytes)))
}

/// A file, folder or link; none of the root and of what is neither.
fn member<T: std::fmt::Debug>(node: &Node<T>) -> Option<Member> {
    let path = node.fullpath.to_string_lossy().trim_start_matches('/').to_owned();
    let kind = match &node.inner {
        _ if path.is_empty() => return None,
        InnerNode::Dir(_) => Kind::Directory,
        InnerNode::File(_) => Kind::File(Vec::new()),
        InnerNode::Symlink(to) => Kind::Symlink(to.link.to_string_lossy().into_owned()),
        _ => return None,
    };
    let owner = (node.header.uid, node.header.gid);
    Some(Member { path, mode: u32::from(node.header.permissions), owner, kind })
}

/// Bytes of an image as a file.
struct Window<'a, I> {
    image: &'a I,
    at: ByteRange,
    position: u64,
}

impl<I: ReadAt> Read for Window<'_, I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = beyond(self.at.size(), self.position).min(u64_len(buf));
        if left == 0 {
            return Ok(0);
        }
        let buf = checked::part_mut(buf, ..usize_of(left), "room to read")?;
        let place = checked::sum(self.at.start(), self.position, "a place in a squashfs")?;
        self.image.read_exact_at(buf, place)?;
        self.position = checked::sum(self.position, left, "a place in a squashfs")?;
        Ok(buf.len())
    }
}

impl<I: ReadAt> Seek for Window<'_, I> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.at.size().checked_add_signed(by),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
