//! Disk images (SD cards): their structures, what changes in them, and proof of it.

pub mod checks;
pub mod ext4;
pub mod ext4_edit;
pub mod injected;
pub mod plan;
pub mod survey;
pub mod verify;
