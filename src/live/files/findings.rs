//! What was found in the files of a recipe: notes, secrets, programs.

use crate::formats::elf::Program;

/// A program that a setting names.
#[derive(Debug)]
pub(super) struct FoundProgram {
    /// The setting.
    pub(super) name: &'static str,
    /// Which of its values names the program.
    pub(super) index: usize,
    pub(super) path: String,
    pub(super) program: Program,
}

/// Collected while files are read, for notes and for checks against the base.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) notes: Vec<String>,
    /// Whether a file holds a secret.
    pub(super) private: bool,
    pub(super) programs: Vec<FoundProgram>,
}
