//! What a squashfs holds: paths, modes and owners, and the bytes of the files that are asked for. The `backhand` crate
//! reads it.

use std::io::{BufReader, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use backhand::{BackhandError, FilesystemReader, InnerNode, Node};

use crate::error::{Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::image::window::Window;
use crate::units::ByteRange;

/// The files, folders and links of a squashfs that stands in an image; files come empty.
///
/// # Errors
/// A squashfs that cannot be read.
pub fn members<I: ReadAt>(image: &I, at: ByteRange) -> Result<Vec<Member>> {
    opened(image, at, |found| Ok(found.files().filter_map(member).collect()))
}

/// Those of a squashfs whose paths are `wanted`, files with their bytes up to a limit.
///
/// # Errors
/// A squashfs that cannot be read.
pub fn files<I: ReadAt>(
    image: &I,
    at: ByteRange,
    limit: u64,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Member>> {
    opened(image, at, |found| {
        let mut all = Vec::new();
        for node in found.files() {
            let Some(mut member) = member(node).filter(|member| wanted(&member.path)) else {
                continue;
            };
            if let (Kind::File(bytes), InnerNode::File(file)) = (&mut member.kind, &node.inner) {
                found.file(file).reader().take(limit).read_to_end(bytes)?;
            }
            all.push(member);
        }
        Ok(all)
    })
}

/// What `of` makes of a squashfs that stands in an image.
pub(super) fn opened<I: ReadAt, T>(
    image: &I,
    at: ByteRange,
    of: impl FnOnce(&FilesystemReader<'_>) -> std::result::Result<T, BackhandError>,
) -> Result<T> {
    open(image, at, of).map_err(|fault| match fault {
        Unreadable::Reader(
            BackhandError::UnsupportedCompression(_)
            | BackhandError::UnsupportedInode
            | BackhandError::UnsupportedSquashfsVersion(..),
        ) => Error::unsupported("the squashfs", "one that can be read", fault.to_string()),
        Unreadable::Reader(BackhandError::StdIo(fault)) => not_read(fault, at),
        _ => damaged(&fault, at),
    })
}

/// What the system says of the file, if it cannot be read; else what the bytes are.
fn not_read(fault: std::io::Error, at: ByteRange) -> Error {
    match fault.downcast::<Error>() {
        Ok(of_system @ Error::Io { .. }) => of_system,
        Ok(other) => damaged(&other, at),
        Err(fault) => damaged(&fault, at),
    }
}

fn damaged(fault: &dyn std::error::Error, at: ByteRange) -> Error {
    Error::malformed("the squashfs", at.start(), fault.to_string(), "a whole one")
}

/// Why a squashfs cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// What the crate that reads it says.
    #[error(transparent)]
    Reader(#[from] BackhandError),
    /// Numbers of a hostile squashfs that do not fit, which make that crate panic.
    #[error("numbers that contradict each other")]
    Contradiction,
}

/// As [`opened`], but leaves the wording of the error to the caller.
pub(crate) fn open<I: ReadAt, T>(
    image: &I,
    at: ByteRange,
    of: impl FnOnce(&FilesystemReader<'_>) -> std::result::Result<T, BackhandError>,
) -> std::result::Result<T, Unreadable> {
    let read = |window: Window<'_, I>| of(&FilesystemReader::from_reader(BufReader::new(window))?);
    match catch_unwind(AssertUnwindSafe(|| read(Window::new(image, at)))) {
        Ok(read) => Ok(read?),
        Err(_) => Err(Unreadable::Contradiction),
    }
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
