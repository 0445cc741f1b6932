//! Boot configs and stage 1: what a kernel is started with, and what runs before the system.

pub mod command_lines;
pub mod config;
mod credential_clash;
pub(crate) mod entry_args;
pub mod folder;
pub mod hook;
pub mod hook_check;
mod initrd;
pub mod kernel_args;
pub mod menu;
pub(crate) mod release;
pub mod scripted;
pub mod stage_one;
