//! Values in TOML that are not written as TOML has them: text without quotes, words for true and false, numbers with a unit.

use serde_json::{Value, json};
use toml::de::DeTable;

use super::Recipe;

/// A key, and what stands behind its `=`.
struct Line<'a> {
    key: &'a str,
    value: &'a str,
}

/// Keys of users and machines alone, all of which are text.
const KEYS_OF_TABLES: [&str; 6] =
    ["name", "menu-name", "mac", "dmi-serial", "dmi-product", "dmi-uuid"];

/// Settings whose values hold no blank and no comma.
const WORDS: [&str; 6] = ["karg", "karg-delete", "dns", "address", "gateway", "mtu"];

/// What is wrong with the value on a line, and what to write; none for a line that TOML takes, or that has no known key.
pub(super) fn explain(line: &str) -> Option<(String, String)> {
    let line = Line::parse(line)?;
    let takes = |value: Value| line.takes(&value);
    let (what, written) = if takes(json!(true)) {
        ("it wants true or false, without quotes and in small letters", truth(line.value))
    } else if takes(json!(1)) {
        ("it wants a whole number", number(line.value))
    } else if takes(json!(["a"])) {
        ("text needs quotes in TOML", Some(line.list()))
    } else {
        ("text needs quotes in TOML", Some(quoted(line.value)))
    };
    let key = line.key;
    let hint = match written {
        Some(value) => format!("write `{key} = {value}`"),
        None if takes(json!(true)) => format!("write `{key} = true` or `{key} = false`"),
        None => format!("write digits alone, as `{key} = 5`"),
    };
    Some((what.to_owned(), hint))
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (key, value) = line.split_once('=')?;
        let (key, value) = (key.trim(), value.split(" #").next()?.trim());
        let is_written = value.starts_with(['"', '\'', '[', '{']);
        let is_toml = DeTable::parse(&format!("a = {value}")).is_ok();
        (!is_written && !is_toml && !value.is_empty()).then_some(Self { key, value })
    }

    /// Whether a value of this type is taken behind the key.
    fn takes(&self, value: &Value) -> bool {
        let object = json!({ self.key: value });
        KEYS_OF_TABLES.iter().all(|key| *key != self.key)
            && serde_json::from_value::<Recipe>(object).is_ok()
    }

    /// The values of a list: one, or several words where none has a blank.
    fn list(&self) -> String {
        let is_of_words = WORDS.contains(&self.key);
        let parts = self.value.split(|c: char| is_of_words && (c == ',' || c.is_whitespace()));
        let parts: Vec<String> = parts.filter(|part| !part.is_empty()).map(quoted).collect();
        match parts.as_slice() {
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        }
    }
}

/// Text in double quotes. Word processors make others of them.
fn quoted(value: &str) -> String {
    let is_quote = |c: char| ('\u{2018}'..='\u{201f}').contains(&c) || "'\"`".contains(c);
    format!("\"{}\"", value.trim_matches(is_quote))
}

fn truth(value: &str) -> Option<String> {
    match value.to_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some("true".to_owned()),
        "false" | "no" | "off" | "n" => Some("false".to_owned()),
        _ => None,
    }
}

/// The number in front of the letters of a unit, where there is one.
fn number(value: &str) -> Option<String> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    digits.parse::<u32>().ok().map(|number| number.to_string())
}
