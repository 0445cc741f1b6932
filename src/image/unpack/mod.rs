//! Images that are packed, or come through a pipe.

mod archives;
mod held;
mod members;
mod reader;
mod source;
mod unnamed;
mod xz_index;
mod zstd_frames;

pub use held::{Demanded, Fits};
pub use source::{Feed, Packing, Source, Stream, is_pipe};
pub use unnamed::unpacked;
