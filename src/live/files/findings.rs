//! What was found in the files of a recipe that matters beside the files themselves.

use crate::formats::elf::Program;

/// What the files need beside themselves, and what is worth telling.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) notes: Vec<String>,
    pub(super) private: bool,
    /// Programs, by the flag that named them.
    pub(super) programs: Vec<(&'static str, usize, String, Program)>,
}
