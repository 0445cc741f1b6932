//! The index of an OCI image layout (image-spec v1.1, `image-index.md`), held as the texts of its entries: values would
//! take many times as much memory.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::error::{Error, Material, Result};
use crate::formats::json::{Bounded, Room};
use crate::units::format_bytes;

/// Images that a batch puts into one layout: the index of so many, each with the longest name, is one that is read again.
pub(crate) const MOST_IMAGES: usize = 200_000;

/// Bytes of an index, which has some 300 for each image.
pub(super) const LARGEST: u64 = 64 << 20;

/// Bytes of memory that the entries of an index take, of which each has its text and its name twice at most.
const LARGEST_HELD: usize = 96 << 20;

/// Bytes of memory for one entry, and for all that is not one.
const LARGEST_ENTRY: usize = 1 << 20;

/// Bytes of memory that an entry takes beside its text and its name.
const OF_ENTRY: usize = 96;

const MEDIA_TYPE: &str = "application/vnd.oci.image.index.v1+json";

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An entry: its name, and the JSON of all of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Listed {
    pub(super) name: Option<String>,
    json: String,
}

impl Listed {
    /// The entry of this image, whose descriptor has no name yet.
    pub(super) fn new(name: &str, mut descriptor: Value) -> Self {
        if let Some(found) = descriptor.as_object_mut() {
            found.insert("annotations".into(), json!({ REF_NAME: name }));
        }
        Self::of(&descriptor)
    }

    fn of(descriptor: &Value) -> Self {
        let name = || descriptor.get("annotations")?.get(REF_NAME)?.as_str();
        Self { name: name().map(str::to_owned), json: descriptor.to_string() }
    }

    /// What it says.
    pub(super) fn descriptor(&self) -> Value {
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    fn held(&self) -> usize {
        let name = self.name.as_ref().map_or(0, String::len);
        name.saturating_add(self.json.len()).saturating_add(OF_ENTRY)
    }
}

/// An index: its entries, and all else that it says.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) manifests: Vec<Listed>,
    rest: Map<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        let rest = [("schemaVersion", Value::from(2)), ("mediaType", Value::from(MEDIA_TYPE))];
        let rest = rest.map(|(key, value)| (key.to_owned(), value));
        Self { manifests: Vec::new(), rest: Map::from_iter(rest) }
    }
}

impl Index {
    /// Reads one.
    pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        let what = || path.display().to_string();
        let mut from = serde_json::Deserializer::from_slice(text);
        let read = from.deserialize_map(IndexVisitor).and_then(|found| from.end().map(|()| found));
        let (manifests, rest) = read.map_err(|fault| {
            Error::malformed(what(), 0, fault.to_string(), "JSON of an OCI layout")
                .advised(Material::Layout)
        })?;
        let version = rest.get("schemaVersion").cloned().unwrap_or(Value::Null);
        match manifests {
            Some(manifests) if version == 2 => Ok(Self { manifests, rest }),
            _ => {
                let found = format!("schemaVersion {version}, or no such list");
                Err(Error::unsupported(what(), "schemaVersion 2 and a list of manifests", found))
            }
        }
    }

    /// The text, which is not longer than what can be read again.
    pub(super) fn text(&self, path: &Path) -> Result<String> {
        let entries: Vec<&str> = self.manifests.iter().map(|entry| entry.json.as_str()).collect();
        let rest = Value::Object(self.rest.clone()).to_string();
        let rest = rest.strip_prefix('{').unwrap_or(&rest);
        let text = format!("{{\"manifests\":[{}],{rest}", entries.join(","));
        let held = self.manifests.iter().map(Listed::held).fold(0, usize::saturating_add);
        if held <= LARGEST_HELD && u64::try_from(text.len()).is_ok_and(|length| length <= LARGEST) {
            return Ok(text);
        }
        let what = format!("{} would have more than {}", path.display(), format_bytes(LARGEST));
        Err(Error::Usage { what, hint: "put some of the images into another folder".into() })
    }
}

struct IndexVisitor;

impl<'de> Visitor<'de> for IndexVisitor {
    type Value = (Option<Vec<Listed>>, Map<String, Value>);

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let (mut manifests, mut rest) = (None, Map::new());
        let mut room = Room(LARGEST_ENTRY);
        while let Some(key) = from.next_key::<String>()? {
            if key == "manifests" {
                manifests = Some(from.next_value_seed(Entries)?);
                continue;
            }
            room.take(key.len())?;
            rest.insert(key, from.next_value_seed(Bounded(&mut room))?);
        }
        Ok((manifests, rest))
    }
}

struct Entries;

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = Vec<Listed>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<Listed>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list of manifests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let (mut entries, mut room) = (Vec::new(), Room(LARGEST_HELD));
        while let Some(found) = from.next_element_seed(Bounded(&mut Room(LARGEST_ENTRY)))? {
            if !found.is_object() {
                return Err(A::Error::custom("a manifest that is not an object"));
            }
            let entry = Listed::of(&found);
            room.take(entry.held())?;
            entries.push(entry);
        }
        Ok(entries)
    }
}
