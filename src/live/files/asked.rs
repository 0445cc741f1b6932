//! What was asked for, and what was found of it, for messages.

use crate::error::{Advice, Error};
use crate::formats::elf::Program;
use crate::recipe::Recipe;

/// What was asked for, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArgRef<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) name: &'static str,
    pub(super) index: usize,
}

impl ArgRef<'_> {
    /// What was given.
    pub(super) fn value(&self) -> String {
        let all = self.recipe.values().into_iter().find(|(name, _)| name == self.name);
        let values = all.map(|(_, values)| values).unwrap_or_default();
        values.into_iter().nth(self.index).unwrap_or_default()
    }

    /// Where it stands.
    pub(super) fn place(&self) -> String {
        self.recipe.place(self.name, self.index)
    }

    /// Says what is wrong with it.
    pub(super) fn fault(&self, what: impl std::fmt::Display, hint: impl Into<Advice>) -> Error {
        self.recipe.fault(self.name, self.index, what, hint)
    }
}

/// What the files need beside themselves, and what is worth telling.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) notes: Vec<String>,
    pub(super) private: bool,
    /// Programs, by the flag that named them.
    pub(super) programs: Vec<(&'static str, usize, String, Program)>,
}
