//! What was found in the files of a recipe: notes, secrets, programs.

use crate::formats::elf::Program;

/// What was found in the files of a recipe.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) notes: Vec<String>,
    pub(super) private: bool,
    /// Programs, by the flag that named them.
    pub(super) programs: Vec<(&'static str, usize, String, Program)>,
}
