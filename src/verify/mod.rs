//! Proof: does the composed image show the edits, and nothing else?

mod boot_image;
pub mod image;
pub mod raw;
