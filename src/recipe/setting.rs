//! How a setting of a recipe is called where no recipe file gives it.

use std::fmt;
use std::sync::{PoisonError, RwLock};

/// The name of a field of [`Recipe`](super::Recipe), as the grammar of recipes has it: a key `wifi-open` in a file is
/// `--wifi-open` elsewhere. Messages make it of the field by [`setting!`], so that it is the field's name at all times, or
/// the other name that the program has for it ([`call_settings`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Setting(pub(crate) &'static str);

impl fmt::Display for Setting {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&called(&self.0.replace('_', "-")))
    }
}

/// Names that the program has for settings, and that are not their keys.
static OTHER_NAMES: RwLock<OtherNames> = RwLock::new(OtherNames(Vec::new()));

/// Pairs of a key of recipes, and the name that a program has for it, without hyphens in front.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OtherNames(pub Vec<(String, String)>);

impl OtherNames {
    /// What a key of recipes is called outside of them.
    pub fn called(&self, key: &str) -> String {
        let own = self.0.iter().find(|(of, _)| of == key);
        format!("--{}", own.map_or(key, |(_, name)| name))
    }
}

/// From now on messages use these names for settings. A setting that a file gives keeps its key.
pub fn call_settings(names: OtherNames) {
    *OTHER_NAMES.write().unwrap_or_else(PoisonError::into_inner) = names;
}

/// What a key of recipes is called outside of them.
pub fn called(key: &str) -> String {
    OTHER_NAMES.read().unwrap_or_else(PoisonError::into_inner).called(key)
}

/// The [`Setting`] of a field. A name without a field does not compile.
macro_rules! setting {
    ($field:ident) => {{
        const _: fn(&$crate::recipe::Recipe) = |recipe| {
            let _ = &recipe.$field;
        };
        $crate::recipe::Setting(stringify!($field))
    }};
}

pub(crate) use setting;

/// A text in which each `{}` stands for the next of the settings: for tables, which are constants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Phrase(pub(crate) &'static str, pub(crate) &'static [Setting]);

impl fmt::Display for Phrase {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut settings = self.1.iter();
        self.0.split("{}").try_for_each(|part| {
            to.write_str(part)?;
            settings.next().map_or(Ok(()), |setting| write!(to, "{setting}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::OtherNames;

    #[test]
    fn another_name_holds_for_its_key_alone() {
        let names = OtherNames(vec![("file".into(), "root-file".into())]);
        let called = ["file", "wifi-password-file", "root-file"].map(|key| names.called(key));
        assert_eq!(called, ["--root-file", "--wifi-password-file", "--root-file"]);
    }

    #[test]
    fn a_setting_is_called_as_its_field() {
        assert_eq!(setting!(wifi_open).to_string(), "--wifi-open");
        let phrase = super::Phrase("give it to {}, not to {}.", &[setting!(bin), setting!(run)]);
        assert_eq!(phrase.to_string(), "give it to --bin, not to --run.");
    }
}
