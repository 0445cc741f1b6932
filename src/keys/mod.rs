//! Public ssh keys: taken from arguments, checked, and written as sshd reads them.
//!
//! Nothing here prints. Files are read by `source` only; the rest works on bytes. What sshd does is taken from
//! OpenSSH 9.5 to 10.x, which the releases we serve carry: a line sshd would silently skip is refused here,
//! because on the machine it would show as a login that fails.

mod blob;
mod expiry;
mod fault;
mod forced;
mod judge;
mod key;
mod kind;
mod line;
mod logins;
mod note;
mod options;
mod refuse;
mod remote;
#[cfg(test)]
mod samples;
mod set;
mod source;
mod text;
mod values;
mod verdict;

use std::collections::BTreeMap;
use std::io::Read;

pub use fault::{KeyError, SourceSpan};
pub(crate) use judge::{RSA_LEAST, short_rsa};
pub use key::AuthorizedKey;
pub use logins::{KEY_FILES, KeyFile, Login, Logins, USERS, user_of};
pub use note::Note;
pub use remote::RemoteKeys;
pub use set::KeySet;
pub use source::{ArgumentPlace, Source, is_for_shell, is_path};

use crate::units::u64_of;

use expiry::Moment;
use options::Options;
use verdict::Verdict;

/// Bytes that are read of a key file: one more than the limit, so that a longer file shows.
pub const MOST_READ: u64 = u64_of(text::LIMIT) + 1;

/// Keys and what is worth telling about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// At least one.
    pub keys: KeySet,
    /// In the order of the lines.
    pub notes: Vec<Note>,
}

/// What was fetched for arguments that send elsewhere, by their place among the arguments: its name and its text.
pub type Fetched = BTreeMap<usize, (String, Vec<u8>)>;

/// Takes the keys all arguments name; see [`Source`] for what an argument can be. At least one must let its
/// holder in to a shell.
pub fn gather<R: Read>(arguments: &[String], stdin: R) -> Result<Gathered, KeyError> {
    gather_with(arguments, |_| None, &Fetched::new(), stdin)
}

/// The same where texts were fetched for some of the arguments. `place` tells where one stands in a recipe file, by its
/// index.
pub fn gather_with<R: Read>(
    arguments: &[String],
    place: impl Fn(usize) -> Option<String>,
    fetched: &Fetched,
    mut stdin: R,
) -> Result<Gathered, KeyError> {
    let now = Moment::now();
    let mut gathered = Gathered::default();
    let mut sources = Vec::new();
    for (index, (number, argument)) in (1..).zip(arguments).enumerate() {
        if let Some((name, bytes)) = fetched.get(&number) {
            gathered.add(name, bytes, now)?;
            continue;
        }
        let place = place(index).map_or(ArgumentPlace::Number(number), ArgumentPlace::Recipe);
        let source = Source::parse(argument, &place)?;
        if source == Source::StandardInput && sources.contains(&source) {
            return Err(KeyError::StandardInputTwice);
        }
        let name = source.name(&place);
        let bytes = source::read(&source, &name, &mut stdin)?;
        gathered.add(&name, &bytes, now).map_err(|fault| with_public(fault, &source))?;
        sources.push(source);
    }
    gathered.or_no_key("the key arguments")?.or_nobody()
}

/// The keys that one argument names, also those that let nobody in, and what it is. Nothing is read from standard input.
pub fn of_argument(argument: &str) -> Result<(Source, Gathered), KeyError> {
    let place = ArgumentPlace::Number(1);
    let source = Source::parse(argument, &place)?;
    let name = source.name(&place);
    let bytes = source::read(&source, &name, std::io::empty())?;
    let found = parse(&name, &bytes).map_err(|fault| with_public(fault, &source))?;
    Ok((source, found))
}

/// The format of the private key that a file is, if it is one: text whose lines begin as such keys do.
/// Programs and documents that speak of keys are none.
pub fn private_format(bytes: &[u8]) -> Option<&'static str> {
    refuse::private_file(bytes)
}

/// Whether a text begins as lines of `authorized_keys` do, options apart. A recipe may begin with `ssh-passwords =`.
pub fn is_public(text: &[u8]) -> bool {
    let rest = text.iter().position(|byte| b" \t=".contains(byte)).and_then(|at| text.get(at..));
    let is_setting = rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="));
    !is_setting
        && ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
            .iter()
            .any(|start| text.starts_with(start.as_bytes()))
}

/// Takes the keys of an `authorized_keys` text, called `name` in messages, also keys that let nobody in.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Gathered, KeyError> {
    let mut gathered = Gathered::default();
    gathered.add(name, bytes, Moment::now())?;
    gathered.or_no_key(name)
}

impl Gathered {
    /// Adds the keys of one source. There must be at least one.
    fn add(&mut self, name: &str, bytes: &[u8], now: Moment) -> Result<(), KeyError> {
        let lines = text::lines(name, bytes)?;
        if lines.is_empty() {
            return Err(KeyError::NoKey { source_name: name.to_owned() });
        }
        lines.into_iter().try_for_each(|(at, line)| self.add_line(at, line, now))
    }

    fn add_line(&mut self, at: SourceSpan, line: &str, now: Moment) -> Result<(), KeyError> {
        let (key, options) = AuthorizedKey::parse(line).map_err(|flaw| flaw.at(&at))?;
        let verdict = Verdict::of(&key, options.as_ref(), now);
        let notes = notes_on(&at, &key, options, now);
        match self.keys.add(at, key, verdict) {
            Some(dropped @ Note::Duplicate { .. }) => self.notes.push(dropped),
            kept => self.notes.extend(notes.into_iter().chain(kept)),
        }
        Ok(())
    }

    /// Refuses keys that let nobody in.
    fn or_nobody(self) -> Result<Self, KeyError> {
        if self.keys.letting_in() > 0 {
            return Ok(self);
        }
        let why = self.notes.iter().filter(|note| note.shuts_out());
        Err(KeyError::Nobody { why: why.map(ToString::to_string).collect() })
    }

    fn or_no_key(self, name: &str) -> Result<Self, KeyError> {
        if self.keys.is_empty() {
            return Err(KeyError::NoKey { source_name: name.to_owned() });
        }
        Ok(self)
    }
}

fn notes_on(
    at: &SourceSpan,
    key: &AuthorizedKey,
    options: Option<Options>,
    now: Moment,
) -> Vec<Note> {
    let at = || at.clone();
    let authority = options.as_ref().is_some_and(Options::is_authority);
    let short = key.bits.filter(|bits| *bits < 3072);
    let why = options.as_ref().and_then(|options| options.shuts_out(now));
    let notes = [
        short.map(|bits| Note::ShortRsa { at: at(), bits }),
        options.map(|options| Note::Options { at: at(), names: options.names }),
        why.map(|why| Note::NoShell { at: at(), why }),
        key.certificate.then(|| Note::Certificate { at: at() }),
        (authority && !key.certificate).then(|| Note::CertAuthority { at: at() }),
    ];
    notes.into_iter().flatten().collect()
}

/// Completes the fault with the file the user meant, if it lies beside the one named.
fn with_public(fault: KeyError, source: &Source) -> KeyError {
    match (fault, source) {
        (KeyError::PrivateKey { at, format, .. }, Source::File(path)) => {
            KeyError::PrivateKey { at, format, public: source::public_beside(path) }
        }
        (fault, _) => fault,
    }
}

#[cfg(test)]
mod tests;
