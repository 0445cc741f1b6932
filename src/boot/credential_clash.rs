//! Refuses systemd credentials on a kernel's command line that systemd would not take: the second of one name, and all of
//! them beside an argument that turns them off.

use crate::error::{Advice, Error, Result};
use crate::formats::boot_config::Entry;
use crate::formats::credential;
use crate::recipe::{IN_IMAGE, setting};

/// What sets a credential.
pub(super) enum SetBy {
    /// The entry has it by itself.
    Entry,
    /// A request, at this place of the recipe.
    Place(String),
    /// It carries the keys, which an image may have had before.
    Keys,
}

/// An argument that sets a credential.
pub(super) struct Setter<'a> {
    argument: &'a str,
    name: &'a str,
    who: SetBy,
}

impl<'a> Setter<'a> {
    pub(super) fn new(argument: &'a str, who: SetBy) -> Option<Self> {
        let name = credential::name_of(argument)?;
        Some(Self { argument, name, who })
    }

    fn shown(&self, entry: &Entry) -> String {
        match &self.who {
            SetBy::Entry => format!("the entry {:?}", entry.path()),
            SetBy::Place(place) => place.clone(),
            SetBy::Keys => "the keys on the kernel's command line".to_owned(),
        }
    }
}

/// Refuses a second credential of one name, of which systemd takes the first alone. What an entry has by itself stays.
pub(super) fn check_credentials(setters: &[Setter<'_>], entry: &Entry) -> Result<()> {
    for (number, second) in setters.iter().enumerate() {
        let clashes = |first: &&Setter<'_>| {
            let is_asked = !matches!((&first.who, &second.who), (SetBy::Entry, SetBy::Entry));
            first.name == second.name && first.argument != second.argument && is_asked
        };
        if let Some(first) = setters.iter().take(number).find(clashes) {
            return Err(one_credential(first, second, entry));
        }
    }
    Ok(())
}

/// What has systemd take no credentials of the kernel's command line (systemd(1)), with and without `rd.` before it.
const IMPORT: &str = "systemd.import_credentials=";
const OFF: [&str; 6] = ["0", "no", "n", "false", "f", "off"];

/// Refuses keys that are a credential beside an argument that has systemd take none.
pub(super) fn check_imported(words: &[&str], entry: &Entry) -> Result<()> {
    let is_off = |word: &&&str| {
        let word = word.replace('-', "_").to_ascii_lowercase();
        let value = word.strip_prefix("rd.").unwrap_or(&word).strip_prefix(IMPORT);
        value.is_some_and(|value| OFF.contains(&value.trim_matches('"')))
    };
    let Some(word) = words.iter().find(is_off) else { return Ok(()) };
    let hint = format!(
        "leave it out, or give {} {word} if the image has it, or {} archive: keys come in files then",
        setting!(karg_delete),
        setting!(inject)
    );
    let what = format!(
        "{word} in the entry {:?}: systemd takes no credentials then, and the keys are one",
        entry.path()
    );
    Err(Error::Recipe { what, hint: hint.into() })
}

/// The error for two credentials of one name.
fn one_credential(first: &Setter<'_>, second: &Setter<'_>, entry: &Entry) -> Error {
    let what = format!(
        "{} and {}: both set the credential {}, and systemd takes only the first of one name",
        first.shown(entry),
        second.shown(entry),
        second.name
    );
    let in_files = format!("give {} archive: keys come in files then", setting!(inject));
    let delete = |own: &Setter<'_>| format!("give {} {}", setting!(karg_delete), own.argument);
    let is_in_image = |place: &String| place.starts_with(IN_IMAGE);
    let hint = match (&first.who, &second.who) {
        (SetBy::Place(place), SetBy::Keys) if is_in_image(place) => in_files.into(),
        (SetBy::Place(place), SetBy::Keys) => format!("leave {place} out, or {in_files}").into(),
        (SetBy::Entry, SetBy::Keys) => format!("{} with it, or {in_files}", delete(first)).into(),
        (SetBy::Place(place), SetBy::Entry) => {
            format!("leave {place} out, or {} with it", delete(second)).into()
        }
        (SetBy::Entry, SetBy::Place(place)) => {
            format!("leave {place} out, or {} with it", delete(first)).into()
        }
        (SetBy::Place(one), SetBy::Place(other)) if is_in_image(one) || is_in_image(other) => {
            Advice::OneOrReplaceAll
        }
        _ => "leave out one of them".into(),
    };
    Error::Recipe { what, hint }
}
