//! What a file is, told by its first bytes: a disk image, and how far it should reach, or something else by name.
//!
//! Every command asks here about what it takes for an image, so that all of them name the same thing in the same
//! words. What has the structure of a disk counts as one, whatever else it may be: hybrid images are several things
//! at once.

mod disk;
mod extent;
mod kind;
mod magic;
mod text;

pub use disk::DiskImage;
pub use kind::{Filesystem, Kind};
pub use magic::Other;

use crate::error::{Error, Result};
use crate::image::ReadAt;
use crate::units::{ByteRange, usize_of};

/// Bytes of the start that are looked at: superblocks stand up to 64 KiB in, the longest GPT that is in use ends
/// before that.
pub const HEAD: u64 = 128 << 10;

/// What errors call an image that has no name of its own.
pub const UNNAMED: &str = "the image";

/// What a file is.
#[derive(Clone, Debug)]
pub enum FileType {
    /// A disk image.
    Disk(DiskImage),
    /// Something else.
    Other(Other),
}

impl FileType {
    /// Tells by the first [`HEAD`] bytes, or all there are if there are fewer.
    pub fn recognize(head: &[u8]) -> Self {
        if let Some(other) = magic::not_whole(head) {
            return Self::Other(other);
        }
        match DiskImage::find(head) {
            Some(disk) => Self::Disk(disk),
            None => Self::Other(
                magic::find(head)
                    .or_else(|| text::find(head))
                    .unwrap_or_else(|| magic::unknown(head)),
            ),
        }
    }

    /// Reads as much of an image as it takes to tell, and what is in its partitions.
    pub fn read<I: ReadAt + ?Sized>(image: &I) -> Result<Self> {
        Ok(match Self::recognize(&head(image)?) {
            Self::Disk(disk) => Self::Disk(disk.look_into(image)),
            other @ Self::Other(_) => other,
        })
    }

    /// The disk image.
    ///
    /// # Errors
    /// [`Error::NotAnImage`] for anything else, which is called `name`.
    pub fn disk(self, name: &str) -> Result<DiskImage> {
        match self {
            Self::Disk(disk) => Ok(disk),
            Self::Other(other) => Err(Error::NotAnImage {
                name: name.to_owned(),
                is: other.is_no_disk(),
                hint: other.hint,
            }),
        }
    }
}

/// Whether a file that begins so is a tar archive, which some commands take as well as an image.
pub fn is_tar(head: &[u8]) -> bool {
    is_at(head, magic::TAR.0, magic::TAR.1)
}

/// Whether a file that begins so has nothing in it that somebody keeps: zeros, or what this program did not come to the end
/// with.
pub fn is_unwritten(head: &[u8]) -> bool {
    head.iter().all(|byte| *byte == 0) || magic::unfinished(head).is_some()
}

/// Whether a file that begins so is an initrd, or the first part of one.
pub(crate) fn is_initrd(head: &[u8]) -> bool {
    head.starts_with(b"070701")
}

/// The first [`HEAD`] bytes of an image, or all of it if that is less.
pub fn head<I: ReadAt + ?Sized>(image: &I) -> Result<Vec<u8>> {
    let size = image.size().min(HEAD);
    let mut bytes = vec![0; usize_of(size)];
    image.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The disk image that this is, which is all there.
///
/// # Errors
/// [`Error::NotAnImage`] and [`Error::Truncated`], about [`UNNAMED`].
pub fn whole<I: ReadAt + ?Sized>(image: &I) -> Result<DiskImage> {
    let disk = FileType::read(image)?.disk(UNNAMED)?;
    disk.check_whole(UNNAMED, image.size())?;
    Ok(disk)
}

/// Refuses a disk called `name` that is half written or half reset: nothing else can be said of it.
///
/// # Errors
/// [`Error::NotAnImage`].
pub fn check_finished<I: ReadAt + ?Sized>(image: &I, name: &str) -> Result<()> {
    match magic::unfinished(&head(image)?) {
        Some(other) => FileType::Other(other).disk(name).map(drop),
        None => Ok(()),
    }
}

/// The kinds of images that NixOS is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BaseKind {
    /// An ISO 9660 volume, with partition tables or without.
    Iso,
    /// A disk with a partition for Linux.
    Disk,
}

/// Which of them an image is, all of which is there. What has a volume is an ISO, whatever its partitions are.
///
/// # Errors
/// [`Error::NotAnImage`] for what is neither, also if it is a disk image, and [`Error::Truncated`]; about [`UNNAMED`].
pub(crate) fn base_kind<I: ReadAt + ?Sized>(image: &I) -> Result<BaseKind> {
    let disk = whole(image)?;
    match disk.kind {
        Kind::Iso => Ok(BaseKind::Iso),
        Kind::Partitioned if disk.has_linux() => Ok(BaseKind::Disk),
        _ => Err(no_base(&disk, "an ISO or a disk image with a partition for Linux")),
    }
}

/// Refuses what is not an ISO.
///
/// # Errors
/// As [`base_kind`].
pub(crate) fn check_iso<I: ReadAt + ?Sized>(image: &I) -> Result<()> {
    let disk = whole(image)?;
    if disk.kind == Kind::Iso { Ok(()) } else { Err(no_base(&disk, "an ISO")) }
}

fn no_base(disk: &DiskImage, wanted: &str) -> Error {
    Error::NotAnImage {
        name: UNNAMED.to_owned(),
        is: format!("is {}, not {wanted}", disk.name()),
        hint: "give an official NixOS installer ISO, or an image for SD cards, of 23.11 or later"
            .into(),
    }
}

/// The number of `size` bytes at `at`, the least significant first.
fn number(head: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = head.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |sum: u64, byte| sum.wrapping_shl(8) | u64::from(*byte)))
}

fn is_at(head: &[u8], at: usize, bytes: &[u8]) -> bool {
    head.get(at..).is_some_and(|rest| rest.starts_with(bytes))
}

fn part(head: &[u8], range: ByteRange) -> Option<&[u8]> {
    head.get(usize_of(range.start())..usize_of(range.end()))
}
