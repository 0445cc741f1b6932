//! Proof: does the composed image show the edits, and nothing else?

pub mod image;
pub mod raw;
