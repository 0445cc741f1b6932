//! Decides what an argument names, then reads that much of it that keys can be.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::fault::{KeyError, SourceSpan, shown};
use super::kind::Kind;
use super::line::{Fields, is_skipped};
use super::refuse;
use super::remote::RemoteKeys;
use super::text::LIMIT;
use crate::waiting;

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `-`.
    StandardInput,
    /// A file or anything else that can be read, such as a pipe.
    File(PathBuf),
    /// The argument is the key, or several on lines.
    Literal(String),
}

/// Where an argument stands that names keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentPlace {
    /// Among the arguments that name keys, counted from 1.
    Number(usize),
    /// In a recipe file, as messages name it: `r.toml:3:8: key`.
    Recipe(String),
}

impl fmt::Display for ArgumentPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "key argument {number}"),
            Self::Recipe(place) => f.write_str(place),
        }
    }
}

impl ArgumentPlace {
    /// What stands there, with the place in front of it where that is not the command line.
    fn shown(&self, text: &str) -> String {
        match self {
            Self::Number(_) => text.to_owned(),
            Self::Recipe(place) => format!("{place}: {text}"),
        }
    }

    /// Shows a mistyped path, but not what may be the body of a private key.
    fn shown_argument(&self, argument: &str) -> String {
        let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        let secret = argument.split(|c| !base64(c)).any(|word| word.len() >= 40);
        if secret || argument.len() > 255 || argument.contains(char::is_control) {
            format!("{self} ({} characters)", argument.chars().count())
        } else {
            self.shown(&format!("'{argument}'"))
        }
    }
}

impl Source {
    /// Decides from the argument. An existing file wins over a key, but not of what stands in a file: a path in one has
    /// its folder in front.
    pub fn parse(argument: &str, place: &ArgumentPlace) -> Result<Self, KeyError> {
        if argument == "-" {
            return Ok(Self::StandardInput);
        }
        if argument.is_empty() {
            return Err(KeyError::Empty { at: place.to_string() });
        }
        if let Some(found) = refuse::private_key(argument.as_bytes()) {
            let at = SourceSpan { source: place.to_string(), line: found.line };
            return Err(KeyError::PrivateKey { at, format: found.what, public: None });
        }
        if matches!(place, ArgumentPlace::Recipe(_)) && reads_as_key(argument) {
            return Ok(Self::Literal(argument.to_owned()));
        }
        match fs::metadata(argument) {
            Ok(found) if found.is_dir() => {
                Err(KeyError::Directory { name: place.shown(&shown(argument)) })
            }
            Ok(_) => Ok(Self::File(PathBuf::from(argument))),
            Err(error) if is_no_file(&error) => Self::literal(argument, place),
            Err(source) => Err(KeyError::Io { name: shown(argument), source }),
        }
    }

    /// What messages call it.
    pub fn name(&self, place: &ArgumentPlace) -> String {
        match self {
            Self::StandardInput => "standard input".to_owned(),
            Self::File(path) => shown(&path.to_string_lossy()),
            Self::Literal(_) => place.to_string(),
        }
    }

    fn literal(argument: &str, place: &ArgumentPlace) -> Result<Self, KeyError> {
        if reads_as_key(argument) {
            return Ok(Self::Literal(argument.to_owned()));
        }
        // A path in a file has the folder of that file in front.
        let is_in_file = matches!(place, ArgumentPlace::Recipe(_));
        let is_for_shell =
            is_for_shell(argument) || is_in_file && argument.split('/').any(is_for_shell);
        Err(KeyError::Neither {
            argument: place.shown_argument(argument),
            is_for_shell,
            is_in_file,
        })
    }
}

/// Whether a path begins with what a shell has a folder for.
pub fn is_for_shell(path: &str) -> bool {
    ["~", "$HOME", "${HOME}"].iter().any(|start| path.starts_with(start))
}

/// Whether an argument that stands in a file names another file: it is neither a key nor a word for keys that are
/// elsewhere. Nothing is looked for.
pub fn is_path(argument: &str) -> bool {
    let is_word = argument.is_empty() || argument == "-" || RemoteKeys::is_word(argument);
    let is_secret = || refuse::private_key(argument.as_bytes()).is_some();
    !is_word && !reads_as_key(argument) && !is_secret()
}

/// Reads a source, but never more than one byte over the limit.
pub(super) fn read<R: Read>(source: &Source, name: &str, stdin: R) -> Result<Vec<u8>, KeyError> {
    let bytes = match source {
        Source::Literal(text) => Ok(text.clone().into_bytes()),
        Source::StandardInput => capped(stdin),
        Source::File(path) => waiting::open(path).and_then(capped),
    };
    bytes.map_err(|source| KeyError::Io { name: name.to_owned(), source })
}

/// Finds the public key ssh-keygen wrote beside a private one.
pub(super) fn public_beside(path: &Path) -> Option<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    Some(PathBuf::from(name)).filter(|public| public.is_file())
}

/// Sizes are not asked for: those of pipes and devices say nothing.
fn capped(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(LIMIT).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says whether the error means that the argument is not a path at all, and not that we may not look.
fn is_no_file(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | InvalidInput)
}

/// Says whether some line is a key, even a bad one, so that the message is about the key.
fn reads_as_key(argument: &str) -> bool {
    let starts_like_key = |line: &str| {
        let first = line.split([' ', '\t']).next().unwrap_or(line);
        Kind::named(first).is_some() || Fields::parse(line).is_ok()
    };
    let mut lines = argument.lines().map(|line| line.trim_matches(['\u{feff}', ' ', '\t', '\r']));
    refuse::foreign(argument.as_bytes()).is_some()
        || lines.any(|line| !is_skipped(line) && starts_like_key(line))
}
