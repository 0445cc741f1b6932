//! One medium that is written to, and the image that it gets.

use super::examine::Examined;
use super::expected::Reopen;
use super::medium::Medium;
use super::options::Options;
use super::report::Report;
use crate::image::ReadAt;
use crate::progress::Progress;
use crate::units::ByteRange;

/// One medium and what it hears.
pub(super) struct Writer<'a> {
    pub(super) medium: &'a dyn Medium,
    pub(super) progress: &'a dyn Progress,
    pub(super) options: &'a Options,
    pub(super) examined: &'a Examined,
    pub(super) image: ReadBack<'a>,
    pub(super) report: Report,
}

/// Where the image can be read again.
#[derive(Clone, Copy)]
pub(super) enum ReadBack<'a> {
    Whole(&'a dyn ReadAt),
    Stream(&'a Reopen<'a>),
}

/// What was written but for the first mebibyte and a backup GPT, and is to be read back.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    /// Bytes of the image, where the image has them.
    pub(super) ranges: &'a [ByteRange],
    /// Bytes of the medium that were cleared.
    pub(super) zeros: &'a [ByteRange],
}
