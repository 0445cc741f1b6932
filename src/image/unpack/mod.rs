//! Images that are packed, or come through a pipe.

mod source;
mod unnamed;
mod xz_index;

pub use source::{Feed, Packing, Source, Stream};
pub use unnamed::unpacked;
