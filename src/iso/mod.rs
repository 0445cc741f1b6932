//! ISO images: their structures, what changes in them, and proof of it.

pub mod attached;
pub mod checks;
pub(crate) mod differs;
pub mod injected;
pub mod loaded;
pub mod plan;
pub mod survey;
pub mod verify;
pub mod verify_boot_image;
