//! The commands, one file each, named as the command (`try` is a word of Rust).

pub(crate) mod apply;
pub(crate) mod base;
pub(crate) mod completions;
pub(crate) mod customize;
pub(crate) mod demo;
mod described;
pub(crate) mod devices;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod find;
pub(crate) mod flash;
pub(crate) mod format;
pub(crate) mod inspect;
pub(crate) mod manual;
pub(crate) mod netboot;
pub(crate) mod recipe;
pub(crate) mod reset;
pub(crate) mod ssh;
pub(crate) mod stamp;
pub(crate) mod try_image;
pub(crate) mod verify;
