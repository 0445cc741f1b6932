//! Why given keys are refused, where, and what to do instead.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A line of a file, of standard input or of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpan {
    /// What was read, as the user knows it: a file name, `standard input`, `key argument 2`.
    pub source: String,
    /// Counted from 1, comments and blank lines included.
    pub line: usize,
}

impl fmt::Display for SourceSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.source, self.line)
    }
}

/// Why keys were not taken.
///
/// No message holds more of what was read than a key type, an option with a short plain value, or a length: the wrong
/// file may well be a private key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Somebody is about to publish their secret.
    #[error("{at}: found a private key ({format}), expected a public one")]
    PrivateKey {
        /// Where it starts.
        at: SourceSpan,
        /// As in `OpenSSH` or `PuTTY`.
        format: &'static str,
        /// The `.pub` file lying beside it.
        public: Option<PathBuf>,
    },
    /// A public key, or something in armour, that sshd does not read.
    #[error("{at}: found {found}, expected an OpenSSH public key")]
    ForeignFormat {
        /// Where it starts.
        at: SourceSpan,
        /// The format, with its article.
        found: &'static str,
        /// How to convert it.
        hint: &'static str,
    },
    /// A line sshd would silently skip, or that cannot be written safely.
    #[error("{at}: {problem}")]
    Malformed {
        /// The line.
        at: SourceSpan,
        /// What was found and what was expected.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// A sound key that is too weak, or that sshd no longer takes.
    #[error("{at}: {problem}")]
    Weak {
        /// The line.
        at: SourceSpan,
        /// What was found and what was expected.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// More than keys can be.
    #[error("{source_name}: found more than {limit} bytes, expected a file of public keys")]
    TooLarge {
        /// What was read.
        source_name: String,
        /// The limit that was passed.
        limit: usize,
    },
    /// Nothing but comments and blank lines.
    #[error("{source_name}: found no key, expected at least one")]
    NoKey {
        /// What was read.
        source_name: String,
    },
    /// No key lets anybody in to a shell: over ssh, nobody would reach the machine.
    #[error("none of the keys gives a shell: {}", why.join("; "))]
    Nobody {
        /// Why, for each line.
        why: Vec<String>,
    },
    /// `-` given twice: the second would find nothing.
    #[error("standard input (-) is named twice, expected once")]
    StandardInputTwice,
    /// An argument that is nothing we can use.
    #[error("{argument} is neither an existing file nor a public key")]
    Neither {
        /// The argument, or its size where it might be a secret.
        argument: String,
        /// Whether it begins with what a shell has a folder for: `~` or `$HOME`.
        is_for_shell: bool,
        /// Whether it stands in a file, which no shell reads.
        is_in_file: bool,
    },
    /// A name or address by which no keys can be fetched.
    #[error("{argument}: {problem}")]
    Unnamed {
        /// As given.
        argument: String,
        /// What is wrong with it.
        problem: String,
        /// What to do, where that is known.
        hint: Option<String>,
    },
    /// An argument without a character.
    #[error("{at}: it is empty, not a public key")]
    Empty {
        /// Where it stands.
        at: String,
    },
    /// A directory where a file was expected.
    #[error("{name} is a folder, not a file of public keys")]
    Directory {
        /// As given.
        name: String,
    },
    /// The operating system refused.
    #[error("cannot read {name}")]
    Io {
        /// As given.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl KeyError {
    /// What the user should do about it, as an imperative phrase.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::PrivateKey { public: Some(path), .. } => {
                return Some(format!("give {} instead", shown(&path.to_string_lossy())));
            }
            Self::PrivateKey { format: "PuTTY", .. } => {
                "give the public key: `puttygen FILE.ppk -O public-openssh -o FILE.pub` writes it"
            }
            Self::PrivateKey { .. } => {
                "give the public key, usually the file ending in .pub: `ssh-keygen -y -f FILE > FILE.pub` writes it"
            }
            Self::ForeignFormat { hint, .. }
            | Self::Malformed { hint, .. }
            | Self::Weak { hint, .. } => hint,
            Self::TooLarge { .. } => "check the file name: a .pub file has a few hundred bytes",
            Self::NoKey { .. } | Self::Empty { .. } => {
                "give a .pub file, an authorized_keys file or a key itself"
            }
            Self::Nobody { .. } => {
                "give the plain key, as id_ed25519.pub, without these options, alone or in front of them"
            }
            Self::StandardInputTwice => "give - once, with all keys, one per line",
            Self::Neither { is_for_shell: true, is_in_file: true, .. } => {
                "write the path in full: `~` and `$HOME` are for a shell, and have no meaning in a file"
            }
            Self::Neither { is_for_shell: true, .. } => {
                "write the path in full, or `~` without quotes at the start of a word: the shell expands it only there"
            }
            Self::Neither { argument, is_in_file: true, .. } if argument.contains(',') => {
                "several keys are a list: `;` stands between them in CSV, and each has quotes of its own in TOML and JSON"
            }
            Self::Neither { .. } => {
                "check the path, or put the whole line of the key in one pair of quotes"
            }
            Self::Unnamed { hint: Some(hint), .. } => hint,
            Self::Unnamed { .. } => {
                "give gh:USER (GitHub), gl:USER (GitLab), an https:// address, or a file"
            }
            Self::Directory { .. } => "name the .pub file in it",
            Self::Io { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// What is wrong with a line, told by code that does not know where the line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineError {
    weak: bool,
    problem: String,
    hint: &'static str,
}

impl LineError {
    pub(super) fn malformed(problem: impl Into<String>, hint: &'static str) -> Self {
        Self { weak: false, problem: problem.into(), hint }
    }

    pub(super) fn weak(problem: impl Into<String>, hint: &'static str) -> Self {
        Self { weak: true, problem: problem.into(), hint }
    }

    pub(super) fn at(self, at: &SourceSpan) -> KeyError {
        let Self { weak, problem, hint } = self;
        let at = at.clone();
        if weak {
            KeyError::Weak { at, problem, hint }
        } else {
            KeyError::Malformed { at, problem, hint }
        }
    }
}

/// Shows a file name without letting it speak to the terminal.
pub(super) fn shown(name: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    name.chars().map(escaped).collect()
}

/// Shows a word only if it cannot be base64: the names we know have a `-`, base64 has none.
///
/// Whatever stands where a key type is expected may be the body of a private key.
pub(super) fn shown_type(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-@._".contains(&b);
    if word.len() <= 64 && word.contains('-') && word.bytes().all(plain) {
        word.to_owned()
    } else {
        match word.chars().count() {
            1 => "a word of 1 character".to_owned(),
            count => format!("a word of {count} characters"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_file_and_line() {
        let at = SourceSpan { source: "keys.pub".to_owned(), line: 3 };
        assert_eq!(at.to_string(), "keys.pub line 3");
    }

    #[test]
    fn a_file_name_cannot_speak_to_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\né"), "a\\u{1b}[2Jb\\né");
    }

    #[test]
    fn only_words_that_cannot_be_base64_are_shown() {
        assert_eq!(shown_type("ssh-foo@example.com"), "ssh-foo@example.com");
        for secret in ["MIIEpAIBAAKCAQEA", "abcdef", "Ssh-Foo", &"a-".repeat(40)] {
            let shown = shown_type(secret);
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
