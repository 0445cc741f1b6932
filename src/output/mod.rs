//! Effects: the only modules that write. They know pieces of an image and nothing of formats.

pub mod directory;
pub mod file;
pub mod in_place;
mod outgoing;
pub mod stream;

pub use outgoing::Outgoing;
