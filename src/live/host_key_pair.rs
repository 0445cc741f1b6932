//! One host key: generated, or read from a file or an image; checked, and in the form in which it is placed.

use std::fmt;
use std::path::Path;

use rsa::{BigUint, RsaPrivateKey};
use ssh_key::private::{Ed25519Keypair, RsaKeypair};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, Mpint, PrivateKey};

use super::input::{Secret, read_capped};
use crate::bounded::{self, NotText};
use crate::error::{Error, Result};
use crate::formats::newc::{self, Member};
use crate::recipe::{Recipe, setting};

/// Bits of a generated RSA key, as `ssh-keygen` chooses them.
const RSA_BITS: usize = 3072;

/// Bits that an RSA key has at least, as for keys that are let in.
const FEWEST_RSA_BITS: u32 = 2048;

/// What is signed to prove that both halves of a key belong together.
const PROBE: &str = "remaster";

/// A kind of host key that NixOS's sshd uses (`services.openssh.hostKeys`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Ed25519,
    Rsa,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        }
    }

    /// Where NixOS keeps it, below the root.
    pub(super) fn path(self) -> String {
        format!("etc/ssh/ssh_host_{}_key", self.name())
    }
}

/// A host key; its private half is not shown.
#[derive(Clone, Debug)]
pub struct HostKey {
    pub(super) kind: Kind,
    pub(super) private: Secret,
    /// As `ssh-ed25519 AAAA…`, without comment.
    pub public: String,
    /// As `SHA256:…`.
    pub fingerprint: String,
    /// Whether it is random, so that it will be another one next time.
    pub is_random: bool,
}

impl HostKey {
    /// The name of its kind as OpenSSH's tools show it.
    pub fn algorithm(&self) -> &str {
        self.public.split(' ').next().unwrap_or_default()
    }
}

/// The key of an image that was made before, if it has one of this kind.
pub(super) fn taken_over(kind: Kind, before: &[Member]) -> Option<HostKey> {
    let found = before.iter().find(|member| member.path == kind.path())?;
    let newc::Kind::File(bytes) = &found.kind else { return None };
    let key = PrivateKey::from_openssh(bytes).ok()?;
    let is_kind = match key.algorithm() {
        Algorithm::Ed25519 => kind == Kind::Ed25519,
        Algorithm::Rsa { .. } => kind == Kind::Rsa,
        _ => false,
    };
    if key.is_encrypted() || !is_kind || !is_pair(&key) {
        return None;
    }
    finished(kind, key, true).ok()
}

pub(super) fn random(kind: Kind) -> ssh_key::Result<HostKey> {
    let key: PrivateKey = match kind {
        Kind::Ed25519 => Ed25519Keypair::random(&mut OsRng).into(),
        Kind::Rsa => RsaKeypair::random(&mut OsRng, RSA_BITS)?.into(),
    };
    finished(kind, key, true)
}

pub(super) fn failed(fault: &ssh_key::Error) -> Error {
    Error::io("generate a host key")(std::io::Error::other(fault.to_string()))
}

/// What has a key made.
pub(super) fn generate() -> String {
    format!("{}=generate", setting!(host_key))
}

/// Reads a private key; its kind decides where it goes.
pub(super) fn read(recipe: &Recipe, index: usize, path: &Path) -> Result<HostKey> {
    let refused = |what: &str, hint: &str| {
        recipe.fault("host-key", index, format!("{} {what}", path.display()), hint.to_owned())
    };
    let bytes = read_capped("host-key", path)?;
    let bytes = bounded::without_mark(&bytes);
    let key = PrivateKey::from_openssh(bytes).map_err(|_| not_openssh(bytes, &refused))?;
    if key.is_encrypted() {
        let hint = format!(
            "sshd cannot ask for a passphrase: take it off with ssh-keygen -p, or use {}",
            generate()
        );
        return Err(refused("is encrypted", &hint));
    }
    let instead = format!("use {}", generate());
    let kind = match key.algorithm() {
        Algorithm::Ed25519 => Kind::Ed25519,
        Algorithm::Rsa { .. } => Kind::Rsa,
        other => {
            let what = format!("is a key of kind {other}, which NixOS's sshd does not look for");
            return Err(refused(&what, "give an ed25519 or rsa key"));
        }
    };
    let bits = key.public_key().key_data().rsa().and_then(|rsa| rsa.n.as_positive_bytes());
    let bits = bits.and_then(|bytes| u32::try_from(bytes.len()).ok()?.checked_mul(8));
    if bits.is_some_and(|bits| bits < FEWEST_RSA_BITS) {
        return Err(refused("is an rsa key of less than 2048 bits", &instead));
    }
    if !is_pair(&key) {
        return Err(refused("has halves that do not belong together", &instead));
    }
    finished(kind, key, false).map_err(|_| refused("cannot be written again", &instead))
}

/// Whether both halves of a key belong together.
fn is_pair(key: &PrivateKey) -> bool {
    let number = |number: &Mpint| number.as_positive_bytes().map(BigUint::from_bytes_be);
    if let Some(pair) = key.key_data().rsa() {
        let (public, private) = (&pair.public, &pair.private);
        let all = [&public.n, &public.e, &private.d, &private.p, &private.q].map(number);
        let [Some(n), Some(e), Some(d), Some(p), Some(q)] = all else { return false };
        return RsaPrivateKey::from_components(n, e, d, vec![p, q])
            .is_ok_and(|key| key.validate().is_ok());
    }
    let proof = key.sign(PROBE, HashAlg::Sha512, PROBE.as_bytes());
    proof.is_ok_and(|proof| key.public_key().verify(PROBE, PROBE.as_bytes(), &proof).is_ok())
}

/// Says what a file is that is not a private key in OpenSSH's form; shows nothing of it.
fn not_openssh(bytes: &[u8], refused: &dyn Fn(&str, &str) -> Error) -> Error {
    let text = match bounded::text(bytes.to_vec()) {
        Ok(text) => text,
        Err(is) => {
            return refused(&format!("is not a private key that can be read: {is}"), NotText::HINT);
        }
    };
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") {
        return refused("is a public key", "give the private one, without .pub");
    }
    if text.contains("PRIVATE KEY-----") && !text.contains("BEGIN OPENSSH") {
        let hint = "convert it: ssh-keygen -p -N '' -f COPY-OF-IT";
        return refused("is a private key, but not in OpenSSH's form", hint);
    }
    refused(
        "is not a private key that can be read",
        "make one: ssh-keygen -t ed25519 -N '' -f FILE",
    )
}

/// The key in the form in which it is placed, without its comment.
pub(super) fn finished(
    kind: Kind,
    mut key: PrivateKey,
    is_random: bool,
) -> ssh_key::Result<HostKey> {
    key.set_comment("");
    let private = Secret::new(key.to_openssh(LineEnding::LF)?.as_str());
    let public = key.public_key().to_openssh()?.trim_end().to_owned();
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    Ok(HostKey { kind, private, public, fingerprint, is_random })
}

impl fmt::Display for HostKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.algorithm(), self.fingerprint)
    }
}
