//! Recipe files: TOML (1.0), whose keys are the names of flags.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{OF_FILES, Recipe, called};
use crate::bounded;
use crate::error::{Advice, Error, Result};

/// Bytes of a recipe file.
const LARGEST: u64 = 1 << 20;

/// Reads a recipe file. Relative paths in it are relative to its folder.
///
/// # Errors
/// [`Error::Recipe`] with line and column of what is not TOML, not a known key, or of another type.
pub fn read(path: &Path) -> Result<Recipe> {
    let name = path.display().to_string();
    let text = bounded::read_text(path, LARGEST, &format!("read the recipe {name}"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(parse(&name, &text)?.below_folder(folder))
}

/// The JSON Schema of recipe files.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Recipe);
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// Reads the text of a recipe that messages call `name`.
fn parse(name: &str, text: &str) -> Result<Recipe> {
    let at = &|span: Range<usize>| format!("{name}:{}", position(text, span.start));
    let told = |refused: toml::de::Error| {
        let place = refused.span().map_or_else(|| name.to_owned(), at);
        broken(&place, text, &refused, Advice::RecipeForm)
    };
    let table = DeTable::parse(text).map_err(told)?;
    let names = Recipe::keys();
    for key in table.get_ref().keys() {
        if !names.iter().any(|name| name == key.get_ref().as_ref()) {
            return Err(unknown(&at(key.span()), key.get_ref(), &names));
        }
    }
    let mut recipe: Recipe = toml::from_str(text).map_err(told)?;
    recipe.places = places(table.get_ref(), at);
    let machines = table.get_ref().get("machine").and_then(|value| value.get_ref().as_array());
    for (machine, value) in recipe.machine.iter_mut().zip(machines.into_iter().flatten()) {
        let own = value.get_ref().as_table();
        machine.places = own.map(|own| places(own, at)).unwrap_or_default();
    }
    Ok(recipe)
}

/// Where the values stand, and each element of arrays.
fn places(
    table: &DeTable<'_>,
    at: impl Fn(Range<usize>) -> String,
) -> BTreeMap<String, Vec<String>> {
    let of_value = |value: &toml::Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::Array(elements) => elements.iter().map(|element| at(element.span())).collect(),
        _ => vec![at(value.span())],
    };
    table.iter().map(|(key, value)| (key.get_ref().to_string(), of_value(value))).collect()
}

/// What the TOML of a text is refused for, by what users of TOML know.
pub(super) fn broken(
    place: &str,
    text: &str,
    refused: &toml::de::Error,
    form: impl Into<Advice>,
) -> Error {
    let what = refused.message().replace('\n', "; ");
    if !what.starts_with("string values must be quoted") {
        return fault(place, what, form);
    }
    let before = text.bytes().take(refused.span().map_or(0, |span| span.start));
    let number = before.filter(|byte| *byte == b'\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    let hint = match line.split_once('=') {
        Some((key, value)) => format!("write `{} = \"{}\"`", key.trim(), value.trim()),
        None => "put it in double quotes".to_owned(),
    };
    fault(place, "text needs quotes in TOML", hint)
}

/// Line and column, both from 1, columns in characters.
pub(super) fn position(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let last = before.rsplit('\n').next().unwrap_or_default();
    format!("{line}:{}", last.chars().count().saturating_add(1))
}

/// Flags that no recipe has: they say which base it must be, and what is written where and told of it, and change no
/// byte of an image. A recipe is for many images, which would all be written to one place.
pub const OF_COMMANDS: [&str; 12] = [
    "sha256",
    "sha256-file",
    "as",
    "known-hosts",
    "manifest",
    "provenance",
    "sbom",
    "builder-id",
    "build-type",
    "output",
    "force",
    "offline",
];

pub(super) fn unknown(place: &str, key: &str, names: &[String]) -> Error {
    if OF_COMMANDS.contains(&key) {
        let what = format!("`{key}` is for the command line: it changes nothing in an image");
        return fault(place, what, format!("give {} to the command", called(key)));
    }
    if OF_FILES.contains(&key) {
        let what = format!("`{key}` is for the recipe of one image for several machines");
        return fault(place, what, Advice::RecipeOfOneImage);
    }
    let close = names.iter().map(|name| (strsim::damerau_levenshtein(key, name), name));
    let close = close.min().filter(|(distance, name)| *distance <= 3 && *distance < name.len());
    let hint = match close {
        Some((_, name)) => format!("did you mean `{name}`?").into(),
        None => Advice::RecipeKeys,
    };
    let shown: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
    fault(place, format!("unknown key `{shown}`"), hint)
}

pub(super) fn fault(place: &str, what: impl std::fmt::Display, hint: impl Into<Advice>) -> Error {
    Error::Recipe { what: format!("{place}: {what}"), hint: hint.into() }
}
