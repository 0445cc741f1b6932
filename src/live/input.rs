//! Secrets and keys that come from outside of files: standard input, which is there once, prompts, and who gets keys
//! from elsewhere.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use rustix::io::Errno;

use crate::bounded;
use crate::error::{Error, Result};
use crate::recipe::called;

/// Bytes of a secret's file that are read.
const LARGEST: u64 = 1 << 16;

/// Text that must not be shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for what needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Asks the user for a secret; the argument is what for.
type Prompt<'a> = dyn FnMut(&str) -> io::Result<String> + 'a;

/// Speaks to servers, to the ssh-agent and to the user, for keys that are not given themselves.
pub trait KeyFetcher {
    /// What a server gives at an address of https.
    fn fetch(&mut self, url: &str) -> Result<Vec<u8>>;
    /// What the ssh-agent has, as lines of `authorized_keys`.
    fn agent(&mut self) -> Result<Vec<u8>>;
    /// Shows keys that came over the network, a line each.
    fn show(&mut self, keys: &[String]);
    /// Has the user say that they are the right ones. `flags` say the same on a command line.
    fn confirm(&mut self, keys: &[String], flags: &str) -> Result<()>;
}

/// Where a run takes what is not in files.
pub struct Input<'a> {
    stdin: Box<dyn Read + 'a>,
    prompt: Box<Prompt<'a>>,
    fetcher: Option<Box<dyn KeyFetcher + 'a>>,
    /// What standard input was used for.
    taken: Option<String>,
    /// Whether standard input is typed on a terminal.
    is_typed: bool,
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Input").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl<'a> Input<'a> {
    /// Takes from standard input and asks through `prompt`.
    pub fn new(stdin: impl Read + 'a, prompt: impl FnMut(&str) -> io::Result<String> + 'a) -> Self {
        Self {
            stdin: Box::new(stdin),
            prompt: Box::new(prompt),
            fetcher: None,
            taken: None,
            is_typed: false,
        }
    }

    /// Takes nothing and asks nobody: no standard input, no terminal.
    pub fn none() -> Self {
        Self::new(io::empty(), |_| Err(io::ErrorKind::Unsupported.into()))
    }

    /// The same, with somebody who gets keys from elsewhere.
    #[must_use]
    pub fn with(self, fetcher: impl KeyFetcher + 'a) -> Self {
        Self { fetcher: Some(Box::new(fetcher)), ..self }
    }

    /// The same where standard input may be typed: secrets are then asked for, and not shown.
    #[must_use]
    pub fn typed(self, is_typed: bool) -> Self {
        Self { is_typed, ..self }
    }

    /// Who gets keys from elsewhere, if somebody does.
    pub(super) fn fetcher(&mut self) -> Option<&mut (dyn KeyFetcher + 'a)> {
        self.fetcher.as_deref_mut()
    }

    /// Standard input for keys, if one of the arguments is `-`.
    pub(crate) fn for_keys(&mut self, given: &[String]) -> Result<&mut dyn Read> {
        if given.iter().any(|key| key == "-") {
            self.take(&called("key"))?;
        }
        Ok(&mut *self.stdin)
    }

    /// The first line of a file, or of standard input for `-`; `name` is what was asked for.
    pub(crate) fn secret_of(&mut self, name: &str, path: &Path) -> Result<Secret> {
        let doing = format!("read the file of {}, {}", called(name), path.display());
        let text = if path == Path::new("-") {
            self.take(&called(name))?;
            if self.is_typed {
                return self.prompt(&format!("secret for {}", called(name)), &called(name), name);
            }
            bounded::read_from(&mut *self.stdin, LARGEST, &doing)?
        } else {
            bounded::read(path, LARGEST, &doing)?
        };
        bounded::text(first_line(text)).map(Secret::new).map_err(|is| is.error(&doing))
    }

    /// What the user types for the setting of a place, which `instead` would give without asking.
    pub(super) fn prompt(&mut self, what: &str, place: &str, instead: &str) -> Result<Secret> {
        let typed = (self.prompt)(what).map(Secret::new);
        typed.map_err(|fault| match Untyped::of(&fault) {
            Some(why) => Error::Usage {
                what: why.told(place),
                hint: format!("give {} FILE", called(instead)).into(),
            },
            None => unasked(what, fault),
        })
    }

    fn take(&mut self, what: &str) -> Result<()> {
        match self.taken.replace(what.to_owned()) {
            None => Ok(()),
            Some(before) => Err(Error::Usage {
                what: format!("{before} and {what} both want standard input"),
                hint: "give one of them a file".into(),
            }),
        }
    }
}

/// Why nothing was typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Untyped {
    /// There is no terminal to ask on.
    NoTerminal,
    /// The user ended the input (Ctrl-D).
    Ended,
}

impl Untyped {
    /// Tells by what a prompt answered.
    pub(crate) fn of(fault: &io::Error) -> Option<Self> {
        if fault.kind() == io::ErrorKind::UnexpectedEof {
            return Some(Self::Ended);
        }
        // What the terminal of a process without one, and what is not a terminal, answers (tty(4)).
        let none = [Errno::NXIO, Errno::NOENT, Errno::NOTTY, Errno::NODEV, Errno::IO];
        let found = Errno::from_io_error(fault)?;
        none.contains(&found).then_some(Self::NoTerminal)
    }

    fn told(self, place: &str) -> String {
        match self {
            Self::NoTerminal => format!("{place} asks on a terminal, and there is none"),
            Self::Ended => format!("{place}: nothing was typed"),
        }
    }
}

/// The error of a prompt. Control-C arrives as `Interrupted`, not as a signal.
pub(crate) fn unasked(what: &str, fault: io::Error) -> Error {
    match fault.kind() {
        io::ErrorKind::Interrupted => Error::Interrupted,
        _ => Error::io(format!("ask for the {what}"))(fault),
    }
}

/// The bytes of a file that `--name` names; a longer file than any secret is refused.
pub(super) fn read_capped(name: &str, path: &Path) -> Result<Vec<u8>> {
    let doing = format!("read the file of {}, {}", called(name), path.display());
    bounded::read(path, LARGEST, &doing)
}

/// The bytes up to the end of the first line.
fn first_line(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    bytes.truncate(end);
    while bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &'static str) -> Input<'static> {
        Input::new(text.as_bytes(), |what| Ok(format!("typed {what}")))
    }

    #[test]
    fn a_secret_is_the_first_line_and_is_not_shown() {
        let mut input = input("top secret\r\nrest\n");
        let secret = input.secret_of("root-password-file", Path::new("-")).unwrap();
        assert_eq!(secret.reveal(), "top secret");
        assert!(!format!("{secret:?} {input:?}").contains("top"));
        assert_eq!(input.prompt("word", "--a", "b").unwrap().reveal(), "typed word");
    }

    #[test]
    fn standard_input_serves_once() {
        let mut input = input("a\n");
        input.for_keys(&["-".into()]).unwrap();
        let fault = input.secret_of("wifi-password-file", Path::new("-")).unwrap_err().to_string();
        assert_eq!(fault, "--key and --wifi-password-file both want standard input");
    }
}
