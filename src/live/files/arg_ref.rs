//! A value of the recipe that names files, for errors that say which one.

use crate::error::{Advice, Error};
use crate::recipe::Recipe;

/// One value of a setting.
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
