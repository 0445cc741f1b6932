//! The key types sshd reads in an `authorized_keys` line.

/// A key algorithm in its two forms, plain and certified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Type of the plain key.
    pub(super) plain: &'static str,
    /// Type of the certificate (PROTOCOL.certkeys).
    pub(super) certificate: &'static str,
    /// Strings that make up the public key behind the type, in the plain blob and in the certificate.
    pub(super) fields: usize,
}

/// Refused for its strength, but known so that it is refused by name.
pub(super) const DSA: &str = "ssh-dss";

const KINDS: [Kind; 8] = [
    kind("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", 1),
    kind("ssh-rsa", "ssh-rsa-cert-v01@openssh.com", 2),
    kind("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256-cert-v01@openssh.com", 2),
    kind("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384-cert-v01@openssh.com", 2),
    kind("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521-cert-v01@openssh.com", 2),
    kind("sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com", 2),
    kind("sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", 3),
    kind(DSA, "ssh-dss-cert-v01@openssh.com", 4),
];

const fn kind(plain: &'static str, certificate: &'static str, fields: usize) -> Kind {
    Kind { plain, certificate, fields }
}

impl Kind {
    /// Finds the kind a word names; sshd compares with case.
    pub(super) fn named(word: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.plain == word || kind.certificate == word)
    }
}
