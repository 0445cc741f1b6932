//! Effects: the only modules that write. They know pieces of an image and nothing of formats.

pub mod directory;
pub mod file;
mod fill;
pub mod in_place;
pub(crate) mod naming;
mod outgoing;
mod privacy;
mod reserve;
pub mod stream;
mod temp_file;

pub use outgoing::Outgoing;
pub use privacy::Privacy;
