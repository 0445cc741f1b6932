//! What the files of a batch are called: one folder, no way out of it, no name twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::error::{Advice, Error, Result};
use crate::image::digest::Digest;
use crate::place;
use crate::recipe::setting;

/// Bytes of a file's name on all usual filesystems.
const LONGEST: usize = 255;

/// A template of names: `{name}`, `{index}` (from 1, as in the users file) and `{id}` (the recipe id)
/// stand for what they say.
#[derive(Clone, Debug)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Name,
    Index,
    Id,
}

impl Template {
    /// Reads a template, which is called `place` where it was given.
    ///
    /// # Errors
    /// [`Error::Usage`] for unknown words in braces, and for a template that names all files alike.
    pub fn parse(place: &str, text: &str) -> Result<Self> {
        place::check_name(Path::new(text), None)?;
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (word, after) = after.split_once('}').ok_or_else(|| bad_template(place, text))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match word {
                "name" => Part::Name,
                "index" => Part::Index,
                "id" => Part::Id,
                _ => return Err(bad_template(place, text)),
            });
            rest = after;
        }
        let varies = !parts.is_empty();
        parts.push(Part::Text(rest.to_owned()));
        if varies && !rest.contains('}') { Ok(Self(parts)) } else { Err(bad_template(place, text)) }
    }

    /// Whether the recipe id is in the names, which is known only when all that a user's recipe names is read.
    pub(super) fn has_id(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Id))
    }

    /// The name of a user's file.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is empty, hidden, too long, or that could lead elsewhere.
    pub fn file_name(&self, name: &str, index: usize, id: Digest) -> Result<String> {
        let words = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Name => name.to_owned(),
            Part::Index => index.to_string(),
            Part::Id => id.to_string(),
        });
        let found: String = words.collect();
        match flaw(name).or_else(|| flaw(&found)) {
            None => Ok(found),
            Some(flaw) => Err(Error::Usage {
                what: format!("{found:?} is not a name for a file here: {flaw}"),
                hint: Advice::OtherUserName,
            }),
        }
    }
}

fn bad_template(place: &str, text: &str) -> Error {
    Error::Usage {
        what: format!("{place} {text:?} does not tell users apart"),
        hint: "use {name}, {index} or {id}, as in '{name}.iso'".into(),
    }
}

/// Why a name is not one for a file in a folder, and in no other.
pub(in crate::stamp) fn flaw(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.contains(['/', '\\']) {
        return Some("it has a slash");
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Some("it has characters that cannot be seen");
    }
    if name.starts_with(['.', '-']) {
        return Some("it starts with a dot or a hyphen");
    }
    (name.len() > LONGEST).then_some("it has more than 255 bytes")
}

/// Characters that change the direction of text or take no room (Unicode 15, General Category Cf, those in
/// use).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The names that are given away, each with the place of its user.
#[derive(Debug)]
pub struct TakenNames {
    /// By the name without case: the name itself, and the place.
    names: Mutex<BTreeMap<String, (String, String)>>,
    /// What two users of one name share.
    shared: String,
    /// What two users share whose names differ only in case.
    alike: String,
    hint: Advice,
}

impl TakenNames {
    /// Names of files.
    pub fn files() -> Self {
        let hint = Advice::TellUsersApart;
        Self {
            names: Mutex::default(),
            shared: "is the name of another user's file, too".to_owned(),
            alike: "a filesystem that knows no case has one file for both".to_owned(),
            hint,
        }
    }

    /// Names that keys are derived for.
    pub fn keys() -> Self {
        let seed = setting!(host_key_seed);
        let shared =
            format!("is the name of another user, too, and one {seed} gives both the same keys");
        let alike = "ssh takes both for one host".to_owned();
        let hint = "give one of them another name".into();
        Self { names: Mutex::default(), shared, alike, hint }
    }

    /// Gives a name away.
    ///
    /// # Errors
    /// [`Error::Usage`] if another user has it, also in other case: filesystems of others know none.
    pub fn take(&self, name: &str, place: &str) -> Result<()> {
        let mut taken = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let folded = name.to_lowercase();
        if let Some((other, at)) = taken.get(&folded) {
            let what = if other == name {
                format!("{name:?} {} ({at})", self.shared)
            } else {
                format!(
                    "{name:?} differs from {other:?} ({at}) only in case, and so {}",
                    self.alike
                )
            };
            return Err(Error::Usage { what, hint: self.hint.clone() });
        }
        taken.insert(folded, (name.to_owned(), place.to_owned()));
        Ok(())
    }
}

/// A part of all users: the `number`-th (from 1) of `of`, by a hash of the name, so that a user stays where
/// it is when others come and go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shard {
    number: u64,
    of: u64,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, of)| {
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        let right = numbers.filter(|shard| shard.number >= 1 && shard.number <= shard.of);
        right.ok_or_else(|| "expected as in 1/8: the first of eight".to_owned())
    }
}

impl Shard {
    /// Whether this is the first part.
    pub fn is_first(self) -> bool {
        self.number == 1
    }

    /// Whether a user is in this part: the first 8 bytes of the name's SHA-256, as a number with the most
    /// significant byte first, modulo the number of parts.
    pub fn has(self, name: &str) -> bool {
        let digest = Sha256::digest(name.as_bytes());
        let number = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        number.checked_rem(self.of) == self.number.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Digest = Digest([0xab; 32]);

    fn named(template: &str, name: &str) -> Result<String> {
        Template::parse("template", template)?.file_name(name, 7, ID)
    }

    #[test]
    fn templates_name_files() {
        assert_eq!(named("{name}.iso", "alice").unwrap(), "alice.iso");
        assert_eq!(named("{index}-{name}", "Ä b").unwrap(), "7-Ä b");
        assert!(named("{id}", "a").unwrap().starts_with("abab"));
    }

    #[test]
    fn templates_that_do_not_are_refused() {
        for template in ["", "x.iso", "{nam}", "{name", "name}", "{name}}"] {
            assert!(Template::parse("template", template).is_err(), "{template}");
        }
        assert!(named("../{name}", "a").is_err());
        assert!(named("/{name}", "a").is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_or_hide_are_refused() {
        let long = "x".repeat(256);
        for name in [
            "",
            "..",
            ".",
            "a/b",
            "../a",
            "/etc/passwd",
            "a\\b",
            "a\nb",
            "a\0",
            ".a",
            "-a",
            "a\u{202e}b",
            &long,
        ] {
            assert!(named("{name}.iso", name).is_err(), "{name:?}");
        }
        assert!(named("x-{name}", "..").is_err());
    }

    #[test]
    fn a_name_is_given_once() {
        let taken = TakenNames::files();
        taken.take("a.iso", "u:1").unwrap();
        let fault = taken.take("A.iso", "u:2").unwrap_err().to_string();
        assert!(fault.contains("(u:1)"), "{fault}");
        assert!(taken.take("a.iso", "u:3").unwrap_err().to_string().contains("(u:1)"));
    }

    #[test]
    fn every_user_is_in_one_shard() {
        for name in ["a", "b", "alice", "é", ""] {
            let shards = (1..=5).filter(|number| Shard { number: *number, of: 5 }.has(name));
            assert_eq!(shards.count(), 1, "{name}");
        }
        // `printf alice | sha256sum` begins with 2bd806c97f0e00af, which is 7 modulo 10.
        assert!("8/10".parse::<Shard>().unwrap().has("alice"));
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "-1/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
