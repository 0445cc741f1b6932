//! A public key as it stands in `authorized_keys`.

use super::fault::LineError;
use super::judge::Judged;
use super::line::Fields;
use super::options::Options;

/// A line of `authorized_keys` that sshd reads, of a key that is strong enough.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive] // made by parsing only, so `data` and `fingerprint` agree
pub struct AuthorizedKey {
    /// What stands in front of the type, byte for byte.
    pub options: Option<String>,
    /// The type as written, as in `ssh-ed25519` or `ssh-rsa-cert-v01@openssh.com`.
    pub algorithm: String,
    /// The base64 text, byte for byte.
    pub data: String,
    /// What stands behind the data; may be empty.
    pub comment: String,
    /// `SHA256:…` as `ssh-keygen -l` shows it; of a certificate, that of the key it is for.
    pub fingerprint: String,
    /// Length of the modulus, of RSA keys only.
    pub bits: Option<usize>,
    /// Whether this is an OpenSSH certificate, not a plain key.
    pub certificate: bool,
}

impl AuthorizedKey {
    /// Gives the line to write, without line end: its parts, one blank between them.
    pub fn line(&self) -> String {
        let parts =
            [self.options.as_deref().unwrap_or(""), &self.algorithm, &self.data, &self.comment];
        let present: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        present.join(" ")
    }

    /// Reads one line that is neither blank nor a comment.
    pub(super) fn parse(line: &str) -> Result<(Self, Option<Options>), LineError> {
        let fields = Fields::parse(line)?;
        let options = fields.options.map(Options::parse).transpose()?;
        let judged = Judged::from_fields(&fields)?;
        Ok((Self::from_fields(&fields, judged), options))
    }

    fn from_fields(fields: &Fields<'_>, judged: Judged) -> Self {
        Self {
            options: fields.options.map(str::to_owned),
            algorithm: fields.name.to_owned(),
            data: fields.data.to_owned(),
            comment: fields.comment.to_owned(),
            fingerprint: judged.fingerprint,
            bits: judged.bits,
            certificate: fields.name != fields.kind.plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::samples;

    fn rewritten(line: &str) -> String {
        AuthorizedKey::parse(line).unwrap().0.line()
    }

    #[test]
    fn a_canonical_line_comes_back_byte_for_byte() {
        let bare = samples::ED25519.strip_suffix(" ed25519@test").unwrap();
        let lines = [
            bare.to_owned(),
            samples::ED25519.to_owned(),
            format!("{bare} two  words\tand # a sign"),
            format!(r#"from="10.0.0.0/8",command="echo \"a  b\"" {bare} é"#),
            samples::P256_CERTIFICATE.to_owned(),
        ];
        for line in lines {
            assert_eq!(rewritten(&line), line);
        }
    }

    #[test]
    fn blanks_between_the_parts_become_one() {
        let spread = format!("\t no-pty \t {} \t ", samples::ED25519.replace(' ', " \t "));
        assert_eq!(rewritten(&spread), format!("no-pty {}", samples::ED25519));
    }

    #[test]
    fn the_parts_are_kept_apart() {
        let (key, options) =
            AuthorizedKey::parse(&format!("no-pty {}", samples::RSA_2048)).unwrap();
        assert_eq!(key.options.as_deref(), Some("no-pty"));
        assert_eq!(
            (key.algorithm.as_str(), key.bits, key.certificate),
            ("ssh-rsa", Some(2048), false)
        );
        assert_eq!(key.comment, "rsab2048@test");
        assert_eq!(options.unwrap().names, ["no-pty"]);
        assert!(AuthorizedKey::parse(samples::P256_CERTIFICATE).unwrap().0.certificate);
    }
}
