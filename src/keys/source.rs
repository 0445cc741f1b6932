//! Decides what an argument names, then reads that much of it that keys can be.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::fault::{KeyError, SourceSpan, shown};
use super::kind::Kind;
use super::line::{Fields, is_skipped};
use super::refuse;
use super::text::LIMIT;

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

impl Source {
    /// Decides from the argument, `number` counting arguments from 1. An existing file wins over a key.
    pub fn parse(argument: &str, number: usize) -> Result<Self, KeyError> {
        if argument == "-" {
            return Ok(Self::StandardInput);
        }
        if let Some(found) = refuse::private_key(argument.as_bytes()) {
            let at = SourceSpan { source: literal_name(number), line: found.line };
            return Err(KeyError::PrivateKey { at, format: found.what, public: None });
        }
        match fs::metadata(argument) {
            Ok(found) if found.is_dir() => Err(KeyError::Directory { name: shown(argument) }),
            Ok(_) => Ok(Self::File(PathBuf::from(argument))),
            Err(error) if is_no_file(&error) => Self::literal(argument, number),
            Err(source) => Err(KeyError::Io { name: shown(argument), source }),
        }
    }

    /// What messages call it.
    pub fn name(&self, number: usize) -> String {
        match self {
            Self::StandardInput => "standard input".to_owned(),
            Self::File(path) => shown(&path.to_string_lossy()),
            Self::Literal(_) => literal_name(number),
        }
    }

    fn literal(argument: &str, number: usize) -> Result<Self, KeyError> {
        if reads_as_key(argument) {
            return Ok(Self::Literal(argument.to_owned()));
        }
        let tilde = argument.starts_with('~');
        Err(KeyError::Neither { argument: shown_argument(argument, number), tilde })
    }
}

/// Reads a source, but never more than one byte over the limit.
pub(super) fn read<R: Read>(source: &Source, name: &str, stdin: R) -> Result<Vec<u8>, KeyError> {
    let bytes = match source {
        Source::Literal(text) => Ok(text.clone().into_bytes()),
        Source::StandardInput => capped(stdin),
        Source::File(path) => File::open(path).and_then(capped),
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

fn literal_name(number: usize) -> String {
    format!("key argument {number}")
}

/// Shows a mistyped path, but not what may be the body of a private key.
fn shown_argument(argument: &str, number: usize) -> String {
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let secret = argument.split(|c| !base64(c)).any(|word| word.len() >= 40);
    if secret || argument.len() > 255 || argument.contains(char::is_control) {
        format!("key argument {number} ({} characters)", argument.chars().count())
    } else {
        format!("'{argument}'")
    }
}
