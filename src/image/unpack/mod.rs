//! Images that are packed, or come through a pipe.

mod archives;
mod digest_check;
mod members;
mod reader;
mod source;
mod stoppable;
mod unnamed;
mod xz_index;
mod zstd_frames;

pub use digest_check::{DigestMatch, ExpectedDigest};
pub(crate) use source::Restart;
pub use source::{Feed, Packing, Source, Stream, is_pipe};
pub use stoppable::Stop;
pub use unnamed::unpacked;
