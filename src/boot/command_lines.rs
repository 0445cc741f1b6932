//! The kernel's command lines of an image: all of them, and those that start where nobody chooses an entry.

use crate::boot::config::Config;
use crate::boot::menu;
use crate::error::Result;
use crate::formats::boot_config::Entry;
use crate::recipe::edits::Boot;

/// The arguments that kernels start with. What an image does is judged by these alone, before it is made and after.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandLines {
    all: Vec<Vec<String>>,
    /// Those of the entries that menus start by themselves, with their names.
    by_itself: Vec<(String, Vec<String>)>,
}

impl CommandLines {
    /// Those of menus as they are.
    pub(crate) fn of_menus(configs: &[Config]) -> Self {
        let entries = configs.iter().flat_map(|config| &config.entries);
        let by_itself = configs.iter().filter_map(menu::by_itself);
        Self {
            all: entries.map(words).collect(),
            by_itself: by_itself.map(|entry| (entry.path(), words(entry))).collect(),
        }
    }

    /// Those of menus of a base as `boot` makes them.
    ///
    /// # Errors
    /// As [`menu::texts`].
    pub(crate) fn of_changed(configs: &[Config], old_label: &str, boot: &Boot) -> Result<Self> {
        let texts = menu::texts(configs, old_label, boot, |_| Ok(Vec::new()))?.texts;
        let changed = configs.iter().zip(texts).map(|(config, text)| config.with_text(text));
        Ok(Self::of_menus(&changed.collect::<Vec<_>>()))
    }

    /// Those of which no menu tells.
    pub fn of_lines(lines: impl IntoIterator<Item = Vec<String>>) -> Self {
        Self { all: lines.into_iter().collect(), by_itself: Vec::new() }
    }

    /// Those of scripts that start a kernel.
    pub(crate) fn of_entries<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        Self::of_lines(entries.into_iter().map(words))
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Vec<String>] {
        &self.all
    }

    /// Those that start where nobody chooses an entry, as far as menus tell, with the names of their entries.
    pub(crate) fn by_itself(&self) -> &[(String, Vec<String>)] {
        &self.by_itself
    }
}

fn words(entry: &Entry) -> Vec<String> {
    entry.words().map(str::to_owned).collect()
}
