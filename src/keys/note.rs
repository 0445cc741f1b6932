//! What is worth telling about keys that were taken.

use std::fmt;

use super::fault::SourceSpan;

/// A remark on a key that was taken nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// RSA of 2048 to 3071 bits: works, but below today's advice (NIST SP 800-57, 128 bits).
    ShortRsa {
        /// The line.
        at: SourceSpan,
        /// Length of the modulus.
        bits: usize,
    },
    /// The line restricts or extends what the key may do; kept as it is.
    Options {
        /// The line.
        at: SourceSpan,
        /// Names in the order given; those that take a value end in `=`.
        names: Vec<String>,
    },
    /// The line is a certificate, with which sshd lets nobody in.
    ///
    /// For a login with a plain key sshd reads only lines of that very type; for a login with a certificate
    /// it looks for the CA's *plain* key marked `cert-authority`. No login matches a certificate line
    /// (`auth_check_authkey_line` and `sshkey_equal` in OpenSSH).
    Certificate {
        /// The line.
        at: SourceSpan,
    },
    /// The options of the line let nobody in to a shell.
    NoShell {
        /// The line.
        at: SourceSpan,
        /// What the option does, as `command= runs echo instead of a shell`.
        why: String,
    },
    /// The key lets in who holds a certificate signed by it, not who holds the key.
    CertAuthority {
        /// The line.
        at: SourceSpan,
    },
    /// The same key with the same options came before; this line was dropped, its comment too.
    Duplicate {
        /// The line dropped.
        at: SourceSpan,
        /// The line kept.
        first: SourceSpan,
    },
    /// The same key came before, and its options allow every login, and no shell.
    Behind {
        /// The later line.
        at: SourceSpan,
        /// The line that sshd uses.
        first: SourceSpan,
        /// What that does, as `command= runs echo instead of a shell`.
        why: String,
    },
    /// The same key with other options came before; both lines are kept.
    OtherOptions {
        /// The later line.
        at: SourceSpan,
        /// The first line with this key, which sshd tries first.
        first: SourceSpan,
    },
}

impl Note {
    /// Whether it says that the line lets nobody in to a shell.
    pub(super) fn shuts_out(&self) -> bool {
        matches!(self, Self::Certificate { .. } | Self::NoShell { .. } | Self::Behind { .. })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortRsa { at, bits } => {
                write!(f, "{at}: RSA key of {bits} bits, 3072 or more are advised")
            }
            Self::Options { at, names } => write!(f, "{at}: options kept: {}", names.join(", ")),
            Self::Certificate { at } => write!(
                f,
                "{at}: sshd lets nobody in by a certificate listed here, only by a plain key \
                 or by the plain key of a CA after `cert-authority`"
            ),
            Self::NoShell { at, why } => write!(f, "{at}: {why}"),
            Self::CertAuthority { at } => {
                write!(f, "{at}: lets in by certificates this key signed, not by the key itself")
            }
            Self::Duplicate { at, first } => write!(f, "{at}: same key as {first}, dropped"),
            Self::Behind { at, first, why } => write!(
                f,
                "{at}: same key as {first} with other options; sshd uses the first whose options \
                 allow the login: {why}"
            ),
            Self::OtherOptions { at, first } => write!(
                f,
                "{at}: same key as {first} with other options; both kept, sshd uses the first \
                 whose options allow the login"
            ),
        }
    }
}
