//! The one error of the library: what went wrong and where, and apart from that what to do.
//!
//! What a program says of it, in its own words, and which status it ends with, is the program's: `src/cli/diagnostics.rs`.

use std::io;
use std::iter;
use std::panic::Location;
use std::path::{Path, PathBuf};

use crate::keys::KeyError;
use crate::waiting::Stopped;

pub use crate::advice::{Advice, KeyOf, Material};

/// What every stage of the library answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image could not be read, planned, composed or written. It is exhaustive, so that no program can forget to
/// give one its exit status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes that break the format they claim to be in.
    #[error("{what} at byte {at:#x}: found {found}, expected {expected}")]
    Malformed {
        /// The structure, by its specification's name.
        what: String,
        /// The byte of the image where the fault is.
        at: u64,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: String,
        /// What to do instead: what was read says it, as it has it from where it was made.
        instead: Option<Advice>,
    },
    /// A file that is not a disk image.
    #[error("{name} {is}")]
    NotAnImage {
        /// The file.
        name: String,
        /// What it is instead: `is a web page, not a disk image`.
        is: String,
        /// What to do instead.
        hint: Advice,
    },
    /// An image that ends before it should.
    #[error("{name} is truncated: it has {has} bytes, {end} {needs}")]
    Truncated {
        /// The image.
        name: String,
        /// Bytes it has.
        has: u64,
        /// Bytes it should have.
        needs: u64,
        /// What tells that: `its volume descriptor says`.
        end: String,
        /// What to do instead.
        hint: Advice,
    },
    /// A sound image that this library does not understand well enough to change.
    #[error("{what}: looked for {looked_for}, found {found}")]
    Unsupported {
        /// The part of the image.
        what: String,
        /// What would have been understood.
        looked_for: String,
        /// What is there.
        found: String,
        /// What to do instead, where that is known.
        instead: Option<Advice>,
    },
    /// A base whose structures do not agree, as `remaster inspect` tells.
    #[error("{image} is wrong: {found}")]
    Unsound {
        /// The base.
        image: String,
        /// What was looked at, and what was found.
        found: String,
    },
    /// A structure of fixed size that the edits do not fit in.
    #[error("no room in {what}: {needed} bytes needed, {free} free")]
    NoRoom {
        /// The structure that is full.
        what: String,
        /// Bytes the edits take.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// A UEFI boot image that the menus do not fit in.
    #[error("no room in {what}: {needed} bytes needed, {free} free")]
    FullEsp {
        /// Which one, and for what.
        what: String,
        /// Bytes the menus take.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// Bytes that are not what they were meant to be.
    #[error("{what} differs at byte {at:#x}: found {found}, expected {expected}")]
    Differs {
        /// What was compared.
        what: String,
        /// The first byte that differs.
        at: u64,
        /// What was found.
        found: String,
        /// What was meant.
        expected: String,
    },
    /// A manifest that is not that of the image, or is not signed by one of the allowed signers.
    #[error("{what}")]
    Signature {
        /// What is wrong with the manifest or its signature, or that there is none.
        what: String,
        /// What to do instead.
        hint: Advice,
    },
    /// A medium that was not written from the image that it is compared with.
    #[error("{medium} {is}; it was not written from {image}, which is {wanted}")]
    OtherImage {
        /// The medium.
        medium: String,
        /// What it holds: `holds another image: …`, `is blank: …`.
        is: String,
        /// The image that it is compared with.
        image: String,
        /// What that is.
        wanted: String,
    },
    /// A medium that cannot hold the image that it is compared with.
    #[error("{medium} is too small for {image}: it has {has} bytes, the image {needs}")]
    Smaller {
        /// The medium.
        medium: String,
        /// Its bytes.
        has: u64,
        /// The image.
        image: String,
        /// Its bytes.
        needs: u64,
    },
    /// A base that is not the one that was meant.
    #[error("{name} is not the base that was meant: found {found}, expected {expected}")]
    WrongBase {
        /// The path of the base.
        name: String,
        /// Its size or SHA-256.
        found: String,
        /// What was meant.
        expected: String,
        /// What to do instead, where what was read says that.
        instead: Option<Advice>,
    },
    /// A file was written to while it was read, so what was found in it may be wrong.
    #[error(
        "{what} changed while it was read: it is another file, or its size or times are not what they were"
    )]
    Changed {
        /// The file.
        what: String,
    },
    /// Something the user asked for that is refused before anything is done.
    #[error("{what}")]
    Usage {
        /// What is refused and why.
        what: String,
        /// What to do instead.
        hint: Advice,
    },
    /// Something in a recipe or a command line that is refused before anything is done.
    #[error("{what}")]
    Recipe {
        /// Where it stands, and what is refused and why.
        what: String,
        /// What to do instead.
        hint: Advice,
    },
    /// A target that it is not safe to write to.
    #[error("{target}: {reason}")]
    Unsafe {
        /// The device or file.
        target: String,
        /// Why it is refused.
        reason: String,
        /// What to do instead.
        hint: Advice,
    },
    /// What was looked for is not there.
    #[error("{what}")]
    NotFound {
        /// What was looked for, and where.
        what: String,
        /// What to do instead.
        hint: Advice,
    },
    /// The operating system refused.
    #[error("cannot {doing}")]
    Io {
        /// The call, as `open /tmp/x`.
        doing: String,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// An edit in place was interrupted. The file is not an image until the edit is finished.
    #[error("{} is half edited", image.display())]
    HalfEdited {
        /// The image.
        image: PathBuf,
        /// The answer of the operating system.
        #[source]
        source: io::Error,
    },
    /// The system starts no more threads.
    #[error("cannot start a thread")]
    NoThread {
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// The user may not do it.
    #[error("cannot {doing}: {reason}")]
    Denied {
        /// The call, as `open /dev/sdc for writing`.
        doing: String,
        /// Who refuses, and in which words.
        reason: String,
        /// What to do instead.
        hint: Advice,
    },
    /// A medium that does not take what is written to it.
    #[error("cannot {doing}: {reason}")]
    Medium {
        /// The call, as `write /dev/sdc at byte 0x1000`.
        doing: String,
        /// What is wrong with the medium.
        reason: String,
        /// What to do instead.
        hint: Advice,
    },
    /// A server, or the way to it, that failed.
    #[error("cannot fetch {url}: {reason}")]
    Network {
        /// What was asked for.
        url: String,
        /// What came of it.
        reason: String,
        /// What to do about it.
        hint: Advice,
    },
    /// A file that is not the one that was published.
    #[error("{what} has the SHA-256 {found}, not {expected}")]
    Checksum {
        /// The file or URL.
        what: String,
        /// The hash it has, in hexadecimal.
        found: String,
        /// The hash it was published with.
        expected: String,
        /// What to do about it.
        hint: Advice,
    },
    /// Keys that were fetched, and are not those that were expected.
    #[error("{what}")]
    OtherKeys {
        /// Which one is there, or is not, and where.
        what: String,
    },
    /// A key that is refused.
    #[error(transparent)]
    Key(KeyError),
    /// Users of a batch that did not get what they should.
    #[error("{failed} of {users} users failed{}", not_done(*undone))]
    Users {
        /// How many.
        failed: usize,
        /// Of how many.
        users: usize,
        /// How many are not done, as the first that failed ended it.
        undone: usize,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The user was asked, and did not agree.
    #[error("{what}: nothing was written")]
    Declined {
        /// What was answered.
        what: String,
    },
    /// Any other error, and what is true in spite of it. [`Error::plain`] gives the error itself.
    #[error("{fault}, but {also}")]
    But {
        /// The error.
        fault: Box<Error>,
        /// What is true in spite of it, as `A is written`.
        also: String,
    },
    /// A fault of this program: nobody else can mend it.
    #[error("bug in remaster: {what} ({at}), please report it")]
    Bug {
        /// What must always be so and is not.
        what: String,
        /// The line of the source that found it.
        at: &'static Location<'static>,
    },
}

impl Error {
    /// An [`Error::Malformed`].
    pub fn malformed(
        what: impl Into<String>,
        at: u64,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let (what, found, expected) = (what.into(), found.into(), expected.into());
        Self::Malformed { what, at, found, expected, instead: None }
    }

    /// An [`Error::Unsupported`].
    pub fn unsupported(
        what: impl Into<String>,
        looked_for: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            what: what.into(),
            looked_for: looked_for.into(),
            found: found.into(),
            instead: None,
        }
    }

    /// An [`Error::WrongBase`].
    pub fn wrong_base(
        name: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let (name, found, expected) = (name.into(), found.into(), expected.into());
        Self::WrongBase { name, found, expected, instead: None }
    }

    /// An [`Error::Unsupported`] of a file in a form of our own, which a newer version made.
    pub(crate) fn newer(
        what: impl Into<String>,
        looked_for: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::unsupported(what, looked_for, found).with_hint(Advice::NewerProgram)
    }

    /// What a reader of [`std::io`] says of bytes: those that it does not take although they may be sound are
    /// [`Error::Unsupported`], others [`Error::Malformed`].
    pub fn unreadable(
        what: impl Into<String>,
        at: u64,
        fault: &io::Error,
        expected: impl Into<String>,
    ) -> Self {
        if is_lack_of_memory(fault) {
            return Self::io(format!("get the memory to read {}", what.into()))(
                io::ErrorKind::OutOfMemory.into(),
            );
        }
        let refused = match fault.kind() {
            io::ErrorKind::Unsupported => {
                Self::unsupported(what, expected, format!("{fault}, at byte {at:#x}"))
            }
            _ => Self::malformed(what, at, fault.to_string(), expected),
        };
        Self::own_in(fault).unwrap_or(refused)
    }

    /// An [`Error::Bug`] that the caller found.
    #[track_caller]
    pub fn bug(what: impl Into<String>) -> Self {
        Self::Bug { what: what.into(), at: Location::caller() }
    }

    /// Says what to do instead, of an [`Error::Malformed`] or [`Error::Unsupported`].
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Advice>) -> Self {
        if let Self::Malformed { instead, .. } | Self::Unsupported { instead, .. } = &mut self {
            *instead = Some(hint.into());
        }
        self
    }

    /// Says what was being done when the operating system refused. An [`Error::Bug`], [`Error::Interrupted`] or
    /// [`Error::Changed`] that came through an interface of [`std::io`] stays one: the system did not refuse anything.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::own_in(&source).unwrap_or(Self::Io { doing, source })
    }

    /// A path below /dev where nothing is plugged in.
    pub(crate) fn no_device(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.trim_start_matches('r').strip_prefix("disk").unwrap_or_default();
        let hint = if number.starts_with(|c: char| c.is_ascii_digit()) {
            Advice::PathOfDevice(name.into_owned().into())
        } else {
            Advice::PlugIn
        };
        Self::NotFound { what: format!("{}: no such device", path.display()), hint }
    }

    /// The [`Error::Bug`], [`Error::Interrupted`] or [`Error::Changed`] that came through an interface of [`std::io`], if it is one.
    pub(crate) fn own_in(fault: &io::Error) -> Option<Self> {
        let inner = fault.get_ref()?;
        if inner.is::<Stopped>() {
            return Some(Self::Interrupted);
        }
        match inner.downcast_ref()? {
            Self::Bug { what, at } => Some(Self::Bug { what: what.clone(), at }),
            Self::Interrupted => Some(Self::Interrupted),
            Self::Changed { what } => Some(Self::Changed { what: what.clone() }),
            _ => None,
        }
    }

    /// Says which image it is about, where the image is at fault.
    #[must_use]
    pub fn with_path(self, name: impl std::fmt::Display) -> Self {
        self.in_file(Material::Image, name)
    }

    /// Says which file it is about, where that is at fault, and what to do by what kind of file it is.
    #[must_use]
    pub fn in_file(self, material: Material, name: impl std::fmt::Display) -> Self {
        self.advised(material).named(name)
    }

    /// The same of a file that the error names already.
    #[must_use]
    pub fn advised(mut self, material: Material) -> Self {
        match &mut self {
            Self::Malformed { instead: instead @ None, .. }
            | Self::WrongBase { instead: instead @ None, .. } => {
                *instead = Some(Advice::GetAgain(material));
            }
            Self::Unsupported { instead: instead @ None, .. } => {
                *instead = Some(Advice::OtherOne(material));
            }
            _ => {}
        }
        self
    }

    /// The same of what came out of a packed file.
    #[must_use]
    pub(crate) fn of_unpacked(mut self) -> Self {
        if let Self::NotAnImage { hint: hint @ Advice::Unpack(_), .. } = &mut self {
            *hint = "it is packed twice: unpack it once, and give what comes out".into();
        }
        self
    }

    fn named(mut self, name: impl std::fmt::Display) -> Self {
        if let Self::Malformed { what, .. }
        | Self::Unsupported { what, .. }
        | Self::NoRoom { what, .. }
        | Self::FullEsp { what, .. } = &mut self
        {
            *what = format!("{name}: {what}");
        }
        if let Self::NotAnImage { name: whose, .. } | Self::Truncated { name: whose, .. } =
            &mut self
        {
            *whose = name.to_string();
        }
        if let Self::Unsound { image, .. } = &mut self {
            *image = name.to_string();
        }
        self
    }

    /// Adds what is true in spite of the error, as `A is written`.
    #[must_use]
    pub fn but(mut self, also: impl std::fmt::Display) -> Self {
        let (Self::Io { doing: told, .. }
        | Self::Usage { what: told, .. }
        | Self::Unsafe { reason: told, .. }
        | Self::Medium { reason: told, .. }
        | Self::Bug { what: told, .. }) = &mut self
        else {
            return Self::But { fault: Box::new(self), also: also.to_string() };
        };
        *told = format!("{told}, but {also}");
        self
    }

    /// The error itself, without what is true in spite of it.
    pub fn plain(&self) -> &Self {
        match self {
            Self::But { fault, .. } => fault.plain(),
            plain => plain,
        }
    }

    /// What to do instead, where that depends on the place of the error. Else its kind says it.
    pub fn advice(&self) -> Option<&Advice> {
        match self.plain() {
            Self::Malformed { instead, .. }
            | Self::Unsupported { instead, .. }
            | Self::WrongBase { instead, .. } => instead.as_ref(),
            Self::Usage { hint, .. }
            | Self::NotFound { hint, .. }
            | Self::Medium { hint, .. }
            | Self::Network { hint, .. }
            | Self::Checksum { hint, .. }
            | Self::Signature { hint, .. }
            | Self::Unsafe { hint, .. }
            | Self::Recipe { hint, .. }
            | Self::Denied { hint, .. }
            | Self::NotAnImage { hint, .. }
            | Self::Truncated { hint, .. } => Some(hint),
            _ => None,
        }
    }
}

impl From<KeyError> for Error {
    fn from(fault: KeyError) -> Self {
        let own = match &fault {
            KeyError::Io { source, .. } => Self::own_in(source),
            _ => None,
        };
        own.unwrap_or(Self::Key(fault))
    }
}

/// For what reads or writes by an interface of [`std::io`].
impl From<Error> for io::Error {
    fn from(fault: Error) -> Self {
        Self::other(fault)
    }
}

fn not_done(undone: usize) -> String {
    if undone == 0 { String::new() } else { format!(", and {undone} are not done") }
}

/// Whether memory ran out. zstd and liblzma say so only in the text of their errors.
pub(crate) fn is_lack_of_memory(fault: &io::Error) -> bool {
    const TEXTS: [&str; 2] = ["Allocation error : not enough memory", "can't allocate memory"];
    fault.kind() == io::ErrorKind::OutOfMemory || TEXTS.iter().any(|text| is_said_by(fault, text))
}

/// Whether this is the whole text of an error or of one that caused it: a part of it may come from outside.
pub(crate) fn is_said_by(fault: &io::Error, text: &str) -> bool {
    let first: &(dyn std::error::Error + 'static) = fault;
    iter::successors(Some(first), |fault| fault.source()).any(|fault| fault.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_memory_is_the_whole_text_of_an_error() {
        let of = |text: &str| is_lack_of_memory(&io::Error::other(text.to_owned()));
        assert!(of("Allocation error : not enough memory"));
        assert!(is_lack_of_memory(&liblzma::stream::Error::Mem.into()));
        assert!(is_lack_of_memory(&io::Error::other(io::Error::from(liblzma::stream::Error::Mem))));
        assert!(!of("a member `can't allocate memory` has no end"));
        assert!(!of("`Allocation error : not enough memory`"));
    }
}
