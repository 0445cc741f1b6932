//! Images that are packed, or come through a pipe.

mod members;
mod source;
mod unnamed;
mod xz_index;
mod zstd_frames;

pub use source::{Feed, Packing, Source, Stream};
pub use unnamed::unpacked;
