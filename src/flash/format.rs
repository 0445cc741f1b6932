//! Makes a medium an ordinary stick again: one FAT32 partition over all of it.
//!
//! ```text
//! mark, zeros at both ends -> filesystem -> read back -> first block
//! ```

use std::time::Instant;

use super::buffer::HEAD;
use super::examine::Examined;
use super::expected::Expected;
use super::layout::Layout;
use super::medium::{Medium, flush};
use super::options::Options;
use super::report::Report;
use super::writer::{ReadBack, Writer, Written};
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::fat32::{Blank, Label};
use crate::image::ReadAt;
use crate::image::patched::{Patch, PatchedImage};
use crate::progress::Progress;
use crate::units::{ByteRange, format_bytes, usize_of};

/// What is put on a medium.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Bytes of the medium.
    pub size: u64,
    /// Bytes of a sector of it.
    pub sector: u64,
    /// Name of the filesystem.
    pub label: Option<Label>,
    /// Number of medium and filesystem, different for every run.
    pub id: u32,
}

/// Puts an empty filesystem on a medium and reads it back. Of what was there before, tables and signatures at both ends are
/// gone, and the files are not to be found any more.
///
/// # Errors
/// A medium that is too small or too large, before anything is written; the medium's. Bytes that are read back otherwise are
/// in the report.
pub fn format(medium: &dyn Medium, what: Format, progress: &dyn Progress) -> Result<Report> {
    let start = Instant::now();
    let Format { size, sector, label, id } = what;
    let blank = Blank::new(size, sector, label, id).ok_or_else(|| refused(medium, what))?;
    if progress.is_cancelled() {
        return Err(Error::Interrupted);
    }
    let zeros = Zeros { size };
    let parts = blank.parts()?.into_iter();
    let patches = parts.map(|(at, bytes)| Patch::bytes(at, bytes, "an empty filesystem"));
    let image = PatchedImage::whole(&zeros).with(patches.collect::<Result<Vec<Patch>>>()?, size)?;
    let mut head = vec![0; usize_of(HEAD)];
    image.read_exact_at(&mut head, 0)?;
    let layout = Layout::new(&head, Some(size), medium, true)?;
    let options = &Options { exact: true, ..Options::default() };
    let report = Report { size, is_direct: medium.is_direct(), ..Report::default() };
    let (image, examined) = (&image, &Examined::default());
    let mut writer =
        Writer { medium, progress, options, examined, image: ReadBack::Whole(image), report };
    writer.clear_ends()?;
    let written = checked::between(blank.start()?, blank.end()?, "the empty filesystem")?;
    let written = checked::whole_blocks(written, medium.block(), "the empty filesystem")?;
    progress.begin("write", written.size());
    writer.put_blocks(image, &[written])?;
    progress.end();
    medium.cut(size).map_err(Error::io(format!("cut {}", medium.name())))?;
    flush(medium)?;
    writer.report.write_time = start.elapsed();
    let ranges = [Some(written), end(size, written)?].into_iter().flatten();
    let ranges: Vec<ByteRange> = ranges.collect();
    let written = Written { ranges: &ranges, zeros: &[] };
    writer.check_and_close(Expected::Whole(image), written, &layout, &[])?;
    Ok(writer.report)
}

/// The end of a medium that was cleared, behind what was written.
fn end(size: u64, written: ByteRange) -> Result<Option<ByteRange>> {
    let start = checked::difference(size, HEAD.min(size), "the end of the medium")?;
    Ok(ByteRange::between(start.max(written.end()), size).filter(|end| !end.is_empty()))
}

fn refused(medium: &dyn Medium, Format { size, sector, .. }: Format) -> Error {
    let is_large = size >> 32 >= sector;
    let size = format_bytes(size);
    let (reason, hint) = if is_large {
        let reason = format!("too large for an MBR: it has {size} in sectors of {sector} bytes");
        (reason, "make a GPT with another program, as `sfdisk` or `parted`")
    } else {
        // 65,541 clusters of one sector, with the FATs and the mebibyte in front of them.
        let least = if sector > 512 { "260 MiB" } else { "36 MiB" };
        (
            format!("too small for FAT32: it has {size}, and {least} are needed"),
            match medium.size() {
                Some(_) => "take a larger stick",
                None => "make the file larger first, as with `truncate -s 64M FILE`",
            },
        )
    };
    Error::Unsafe { target: medium.name(), reason, hint: hint.into() }
}

/// As many zeros as a medium has bytes.
struct Zeros {
    size: u64,
}

impl ReadAt for Zeros {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], _: u64) -> Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
}
