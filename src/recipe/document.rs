//! Recipe files: TOML (1.0), whose keys are the names of flags.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::list::NOTHING;
use super::{Machine, OF_FILES, Recipe, called, unquoted};
use crate::bounded;
use crate::error::{Advice, Error, KeyOf, Result};
use crate::nearest::typo;

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
    parse(&name, &text)?.below_folder(folder)
}

/// The JSON Schema of recipe files.
pub fn schema() -> Result<String> {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Recipe));
    let text = schema.map_err(|fault| Error::bug(format!("the schema is JSON: {fault}")))?;
    Ok(text + "\n")
}

/// Reads the text of a recipe that messages call `name`.
fn parse(name: &str, text: &str) -> Result<Recipe> {
    let positions = Positions::new(text);
    let at = &|span: Range<usize>| format!("{name}:{}", positions.of(span.start));
    let place = |refused: &toml::de::Error| refused.span().map_or_else(|| name.to_owned(), at);
    let table = DeTable::parse(text).map_err(|refused| match other_form(text) {
        Some("Nix") => fault(
            name,
            "it is Nix, not TOML",
            "a recipe is TOML, as `hostname = \"box\"`; an installer of your own in Nix is built with `nix build`",
        ),
        Some(form) => fault(name, format!("it is {form}, not TOML"), Advice::RecipeForm),
        None => broken(&place(&refused), text, &refused, Advice::RecipeForm),
    })?;
    if let Some(user) = table.get_ref().get("user").filter(|user| user.get_ref().is_array()) {
        return Err(fault(&at(user.span()), "it is a users file, not a recipe", Advice::IsUsers));
    }
    known_keys(table.get_ref(), at)?;
    let mut recipe: Recipe = toml::from_str(text).map_err(|refused| {
        let start = refused.span().map_or(0, |span| span.start);
        let key = table.get_ref().iter().find(|(_, value)| value.span().contains(&start));
        let key = key.map(|(key, _)| format!("{}: ", key.get_ref())).unwrap_or_default();
        mistyped(&place(&refused), &key, refused.message())
    })?;
    recipe.places = places(table.get_ref(), at);
    let machines = table.get_ref().get("machine").and_then(|value| value.get_ref().as_array());
    for (machine, value) in recipe.machine.iter_mut().zip(machines.into_iter().flatten()) {
        let own = value.get_ref().as_table();
        machine.places = own.map(|own| places(own, at)).unwrap_or_default();
    }
    Ok(recipe)
}

/// Refuses keys that no recipe, or no machine in one, has.
fn known_keys(table: &DeTable<'_>, at: &impl Fn(Range<usize>) -> String) -> Result<()> {
    let other = |table: &DeTable<'_>, names: &[String]| {
        let is_known = |key: &str| names.iter().any(|name| name == key);
        let other = table.keys().find(|key| !is_known(key.get_ref()));
        other.map(|key| (at(key.span()), key.get_ref().to_string()))
    };
    let all = Recipe::keys();
    if let Some((place, key)) = other(table, &all) {
        let section = table.get(key.as_str()).and_then(|value| value.get_ref().as_table());
        return Err(match section {
            Some(section) => sectioned(&place, &key, section, &all),
            None => unknown(&place, &key, &all, KeyOf::Recipe),
        });
    }
    let machines = table.get("machine").and_then(|value| value.get_ref().as_array());
    let mut machines =
        machines.into_iter().flatten().filter_map(|value| value.get_ref().as_table());
    let own = Machine::KEYS.map(str::to_owned);
    match machines.find_map(|machine| other(machine, &own)) {
        None => Ok(()),
        Some((place, key)) if all.contains(&key) && key != "machine" => {
            let what = format!("a [[machine]] table does not take `{key}`");
            let hint = format!(
                "put `{key}` above all [[machine]] tables, for all machines; a table takes {}",
                Machine::KEYS.join(", ")
            );
            Err(fault(&place, what, hint))
        }
        Some((place, key)) => Err(unknown(&place, &key, &own, KeyOf::Recipe)),
    }
}

/// A table that no recipe has.
fn sectioned(place: &str, name: &str, section: &DeTable<'_>, names: &[String]) -> Error {
    let mut keys = section.keys().map(|key| key.get_ref().as_ref());
    let known = keys.find(|key: &&str| names.iter().any(|name| name == key));
    let hint = match known {
        Some(key) => format!("write `{key} = …` at the top of the file, without a section"),
        None => "put its keys at the top of the file, without a section".to_owned(),
    };
    fault(place, format!("a recipe has no sections, and `[{}]` is one", cut(name)), hint)
}

/// What is shown of a key that is not known.
fn cut(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// Whether a text begins as a module of Nix does, and is not JSON.
fn is_nix(first: &str, text: &str) -> bool {
    let is_function = first.starts_with('{') && text.contains("}:");
    first.starts_with("{ ") && first.contains('=') || first.starts_with("{ pkgs") || is_function
}

/// What another text is that is not TOML, by how it begins.
pub(super) fn other_form(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let is_word =
        |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let is_json = first.starts_with('{') && {
        let inner = text.split_once('{').map(|(_, inner)| inner.trim_start());
        inner.is_some_and(|inner| inner.starts_with(['"', '}']))
    };
    let is_yaml = first
        .split_once(':')
        .is_some_and(|(key, rest)| is_word(key) && (rest.is_empty() || rest.starts_with(' ')));
    match first {
        _ if is_json => Some("JSON"),
        _ if is_nix(first, text) => Some("Nix"),
        _ if first.starts_with('{') => Some("JSON or Nix"),
        _ if first == "---" || first.starts_with("- ") => Some("YAML"),
        _ => is_yaml.then_some("YAML"),
    }
}

/// A value of another type than its key has, in the words of those who write it. `told` is what the reader says.
pub(super) fn mistyped(place: &str, key: &str, told: &str) -> Error {
    let told = told.split(" at line ").next().unwrap_or_default();
    let told = told.split('\n').next().unwrap_or_default();
    if told == NOTHING {
        return fault(place, format!("{key}it {NOTHING}"), "give a value, or leave it out");
    }
    let types = told.strip_prefix("invalid type: ").or(told.strip_prefix("invalid value: "));
    let (found, wanted) =
        types.and_then(|types| types.split_once(", expected ")).unwrap_or_default();
    let found = match found.split([' ', '`']).next().unwrap_or_default() {
        "string" => "text",
        "integer" => "this number",
        "floating" => "a number with a point",
        "boolean" => "true or false",
        "sequence" => "a list",
        "null" | "Option" | "unit" => "nothing",
        _ => "a table or a date",
    };
    let what = match wanted {
        "a sequence" => {
            return fault(place, format!("{key}wants a list of tables"), "write `[[machine]]`");
        }
        "u32" => format!("wants a whole number from 0 on, not {found}"),
        "a boolean" => format!("wants true or false without quotes, not {found}"),
        "a string or an array of strings" => format!("wants text or a list of texts, not {found}"),
        "a string" | "path string" => format!("wants text, not {found}"),
        _ if told.starts_with("wanted string or table") => "wants a word in quotes".to_owned(),
        _ => {
            match told.strip_prefix("unknown variant ").and_then(|t| t.split_once(", expected ")) {
                Some((found, wanted)) => format!("wants {wanted}, not {found}"),
                None => told.to_owned(),
            }
        }
    };
    fault(place, format!("{key}{what}"), Advice::RecipeForm)
}

/// Where the values stand, and each element of arrays, with the key behind.
fn places(
    table: &DeTable<'_>,
    at: impl Fn(Range<usize>) -> String,
) -> BTreeMap<String, Vec<String>> {
    let of_value = |key: &str, value: &toml::Spanned<DeValue<'_>>| {
        let place = |span| format!("{}: {key}", at(span));
        match value.get_ref() {
            DeValue::Array(elements) => {
                elements.iter().map(|element| place(element.span())).collect()
            }
            _ => vec![place(value.span())],
        }
    };
    let of_pair = |(key, value): (&toml::Spanned<_>, _)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.to_string(), of_value(key, value))
    };
    table.iter().map(of_pair).collect()
}

/// What the TOML of a text is refused for, by what users of TOML know.
pub(super) fn broken(
    place: &str,
    text: &str,
    refused: &toml::de::Error,
    form: impl Into<Advice>,
) -> Error {
    let what = refused.message().replace('\n', "; ");
    let before = text.bytes().take(refused.span().map_or(0, |span| span.start));
    let number = before.filter(|byte| *byte == b'\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    if what.starts_with("duplicate key") {
        return twice(place, text, number, line);
    }
    match unquoted::explain(line) {
        Some((what, hint)) => fault(place, what, hint),
        None if what.starts_with("string values must be quoted") => {
            fault(place, "text needs quotes in TOML", "put it in double quotes")
        }
        None => fault(place, what, form),
    }
}

/// A key that is there twice: on this line, and on one above it in the same table.
fn twice(place: &str, text: &str, number: usize, line: &str) -> Error {
    let key_of = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let key = key_of(line);
    let above: Vec<&str> = text.lines().take(number).collect();
    let of_table = above.iter().rev().take_while(|line| !line.trim_start().starts_with('['));
    let first = of_table.enumerate().find(|(_, line)| key_of(line) == key);
    let first = first.and_then(|(back, _)| number.checked_sub(back));
    let first = first.map(|line| format!(", first on line {line}")).unwrap_or_default();
    fault(place, format!("`{}` is there twice{first}", cut(&key)), "leave one of them out")
}

/// Finds the line and the column of a byte, both from 1, columns in characters. A place near the end takes no longer than one
/// near the start.
pub(super) struct Positions<'a> {
    text: &'a [u8],
    /// Those of each [`STRIDE`]th byte.
    known: Vec<(usize, usize)>,
}

/// Bytes between two places that are known.
const STRIDE: usize = 256;

impl<'a> Positions<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let text = text.as_bytes();
        let mut at = (1, 1);
        let step = |chunk: &[u8]| {
            let before = at;
            at = chunk.iter().copied().fold(at, behind);
            before
        };
        Self { text, known: text.chunks(STRIDE).map(step).collect() }
    }

    /// That of a byte, as `line:column`.
    pub(super) fn of(&self, byte: usize) -> String {
        let byte = byte.min(self.text.len());
        // The end of a text of whole strides is one that is not known by itself.
        let number = (byte / STRIDE).min(self.known.len().saturating_sub(1));
        let known = self.known.get(number).copied().unwrap_or((1, 1));
        let rest = self.text.get(number.saturating_mul(STRIDE)..byte).unwrap_or_default();
        let (line, column) = rest.iter().copied().fold(known, behind);
        format!("{line}:{column}")
    }
}

/// Line and column behind a byte that has these.
fn behind((line, column): (usize, usize), byte: u8) -> (usize, usize) {
    match byte {
        b'\n' => (line.saturating_add(1), 1),
        // Further bytes of a character (RFC 3629).
        0x80..0xC0 => (line, column),
        _ => (line, column.saturating_add(1)),
    }
}

/// Flags that no recipe has. They say which base it must be, where output goes and what is reported, and change no byte of
/// an image. A recipe is for many images, which would all be written to one place.
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

pub(super) fn unknown(place: &str, key: &str, names: &[String], of: KeyOf) -> Error {
    if OF_COMMANDS.contains(&key) {
        let what = format!("`{key}` is for the command line: it changes nothing in an image");
        return fault(place, what, format!("give {} to the command", called(key)));
    }
    if OF_FILES.contains(&key) {
        let what = format!("`{key}` is for the recipe of one image for several machines");
        return fault(place, what, Advice::RecipeOfOneImage);
    }
    let all = names.iter().map(String::as_str);
    let close = typo(key, all).map(Box::from);
    let shown = cut(key);
    let what = format!("unknown key `{shown}`");
    if let Some(small) = in_small_letters(key, names) {
        return fault(place, what, format!("write `{small}`, in small letters"));
    }
    fault(place, what, Advice::UnknownKey { key: shown.into(), close, of })
}

/// The key that is meant by one with capital letters.
pub(super) fn in_small_letters<'a>(key: &str, names: &'a [String]) -> Option<&'a str> {
    let small = key.to_lowercase().replace(['_', ' '], "-");
    let mut names = names.iter().filter(|name| **name == small);
    names.next().filter(|_| key.chars().any(char::is_uppercase)).map(String::as_str)
}

pub(super) fn fault(place: &str, what: impl std::fmt::Display, hint: impl Into<Advice>) -> Error {
    Error::Recipe { what: format!("{place}: {what}"), hint: hint.into() }
}
