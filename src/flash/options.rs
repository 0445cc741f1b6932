//! The options of writing: verify, delta, probe, and what is known of the image.

use crate::error::{Advice, Error, Result};
use crate::image::unpack::DigestMatch;
use crate::units::ByteRange;

/// How much of the medium is read back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verify {
    /// Everything that was written.
    #[default]
    Full,
    /// The start, the end, and [`Options::changed`].
    Quick,
    /// Nothing.
    Off,
}

/// Whether only what differs is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Delta {
    /// If the medium holds an image of the same base.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

impl Delta {
    /// Refuses to compare with a medium what cannot be read twice: an image that comes packed or through a pipe.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(self, is_whole: bool) -> Result<()> {
        if is_whole || self != Self::Always {
            return Ok(());
        }
        Err(Error::Usage {
            what: "what comes packed or through a pipe is written whole: it cannot be compared with what is there".into(),
            hint: Advice::WholeOrUnpacked,
        })
    }
}

/// Of which media the size that they claim is put to the test.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Probe {
    /// Of none.
    #[default]
    Never,
    /// Of those that are removable or attached by USB, each by itself.
    Portable,
    /// Of all.
    Always,
}

/// How an image is written.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How much is read back.
    pub verify: Verify,
    /// Whether only what differs is written.
    pub delta: Delta,
    /// Of which media the size that they claim is put to the test first.
    pub probe: Probe,
    /// Whether the backup GPT stays where it is in the image.
    pub exact: bool,
    /// Whether an image is written that is truncated, or no disk image as far as can be told.
    pub any: bool,
    /// What errors call the image.
    pub name: String,
    /// Something different for every run, for the marks of the probe.
    pub nonce: u64,
    /// Bytes of the image as far as they are known, for progress.
    pub size_hint: Option<u64>,
    /// The bytes of the image that do not come from its base.
    pub changed: Vec<ByteRange>,
    /// Which bytes have the SHA-256 that is demanded of the image, if that is known before.
    pub fits: Option<DigestMatch>,
    /// Where the medium may differ from the base, if that is known: with [`Verify::Quick`] a delta
    /// looks only there and at [`Self::changed`].
    pub suspects: Option<Vec<ByteRange>>,
}
