//! Whether a line of `authorized_keys` lets somebody in to a shell, by itself and beside later lines of the same key.

use super::expiry::Moment;
use super::key::AuthorizedKey;
use super::options::Options;

/// Whom a line lets in.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// Why it lets nobody in to a shell, if it does not.
    pub(super) shut_out: Option<String>,
    /// Whether its options allow every login with the key, so that sshd looks at no later line of it.
    allows_all: bool,
    /// Whether it is for logins with certificates, which no line of a plain key is.
    is_of_certificates: bool,
}

impl Verdict {
    pub(super) fn of(key: &AuthorizedKey, options: Option<&Options>, now: Moment) -> Self {
        let why = options.and_then(|options| options.shuts_out(now));
        let certificate = key.certificate.then(|| "a certificate is not a key".to_owned());
        Self {
            shut_out: why.or(certificate),
            allows_all: options.is_none_or(|options| options.allow_all(now)),
            is_of_certificates: key.certificate || options.is_some_and(Options::is_authority),
        }
    }

    /// Why nobody gets a shell by any later line of the key, if that is so.
    pub(super) fn of_all_logins(&self) -> Option<&str> {
        self.shut_out.as_deref().filter(|_| self.allows_all && !self.is_of_certificates)
    }

    /// Whether a login with the key itself may come as far as this line, and would get a shell by it.
    pub(super) fn is_login(&self) -> bool {
        self.shut_out.is_none() && !self.is_of_certificates
    }
}
