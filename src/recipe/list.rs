//! Lists in a recipe file: one string, or an array of them.

use std::fmt;
use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Deserialize as _;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::Machine;

/// What is said of a value that gives nothing: it would read as one that is not given, and what holds without it is
/// another thing than nothing.
pub(super) const NOTHING: &str = "gives nothing";

struct Strings;

impl<'de> Visitor<'de> for Strings {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or an array of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(text) = list.next_element()? {
            found.push(text);
        }
        given(found)
    }
}

/// Refuses a list without an element.
fn given<T, E: serde::de::Error>(list: Vec<T>) -> Result<Vec<T>, E> {
    if list.is_empty() { Err(E::custom(NOTHING)) } else { Ok(list) }
}

pub(super) fn strings<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_any(Strings)
}

pub(super) fn paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    Ok(strings(from)?.into_iter().map(PathBuf::from).collect())
}

pub(super) fn machines<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Machine>, D::Error> {
    given(Vec::deserialize(from)?)
}

pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
    })
}
