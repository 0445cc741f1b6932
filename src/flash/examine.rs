//! Whether an image is one, and all of it: before the first byte is written where that can be known then, before the
//! first block in any case.

use super::medium::Medium;
use super::source::Image;
use crate::error::{Advice, Error, Result};
use crate::image::file_type::{self, DiskImage, FileType, Kind};
use crate::image::unpack::Packing;
use crate::target::Refusal;
use crate::units::LOGICAL_BLOCK;

/// What the first bytes of an image told.
#[derive(Debug, Default)]
pub struct Examined {
    name: String,
    /// None if anything is to be written.
    disk: Option<DiskImage>,
    /// What is worth telling before anything is written.
    pub notes: Vec<String>,
}

/// Looks at the beginning of an image, which stays to be read, and of one that can be read anywhere at its size.
/// With `any`, nothing is refused.
///
/// # Errors
/// [`Error::NotAnImage`] and [`Error::Truncated`] about an image that is called `name`; what cannot be read.
pub fn examine(image: &mut Image<'_>, name: &str, any: bool) -> Result<Examined> {
    if any {
        return Ok(Examined::default());
    }
    let (head, size) = match image {
        Image::Whole(image) => (file_type::head(*image)?, Some(image.size())),
        Image::Stream(stream) => (stream.head()?.to_vec(), None),
    };
    let name = if name.is_empty() { file_type::UNNAMED } else { name };
    let is_unpacked = matches!(image, Image::Stream(stream) if stream.packing() != Packing::Plain);
    let of_image = |fault: Error| if is_unpacked { fault.of_unpacked() } else { fault };
    let disk = FileType::recognize(&head).disk(name);
    let disk = disk.map_err(|fault| with_hint(of_image(fault)))?;
    let notes = disk.notes(size);
    let examined = Examined { name: name.to_owned(), disk: Some(disk), notes };
    size.map_or(Ok(()), |size| examined.check_whole(size))?;
    Ok(examined)
}

impl Examined {
    /// Whether `size` bytes are all of the image.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub(super) fn check_whole(&self, size: u64) -> Result<()> {
        let checked = self.disk.as_ref().map(|disk| disk.check_whole(&self.name, size));
        checked.unwrap_or(Ok(())).map_err(with_hint)
    }

    /// Whether what is in the image can be read from a medium.
    ///
    /// # Errors
    /// [`Refusal::LargeBlocks`], [`Refusal::OtherBlocks`].
    pub(super) fn check_blocks(&self, medium: &dyn Medium) -> Result<()> {
        let Some(disk) = self.disk.as_ref().filter(|_| medium.size().is_some()) else {
            return Ok(());
        };
        let block = medium.block();
        let refusal = match (disk.kind, disk.table_block) {
            (Kind::Iso, _) if block > LOGICAL_BLOCK => Refusal::LargeBlocks { block },
            // The volume of a hybrid is found without its tables.
            (Kind::Iso, _) => return Ok(()),
            (_, Some(counted)) if counted != block => Refusal::OtherBlocks { block, counted },
            _ => return Ok(()),
        };
        Err(refusal.error(&medium.name()))
    }

    /// What an image that comes once was found to lack at its end.
    pub(super) fn lacks(&self, size: u64) -> Option<String> {
        self.disk.as_ref()?.lost_backup(size)
    }
}

fn with_hint(mut fault: Error) -> Error {
    if let Error::NotAnImage { hint, .. } | Error::Truncated { hint, .. } = &mut fault {
        *hint = Advice::OrWriteUnseen(Box::new(hint.clone()));
    }
    fault
}
