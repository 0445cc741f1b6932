//! Signatures by ssh keys: sshsig (OpenSSH `PROTOCOL.sshsig`), as `ssh-keygen -Y sign` makes them, and those of DSSE.

pub mod agent;
pub mod dsse;
pub mod signers;

use std::fmt::Debug;
use std::io;
use std::path::Path;

use ssh_key::{
    Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, Signature, SigningKey, SshSig,
};

use crate::bounded;
use crate::error::{Error, Result};
use crate::keys::{RSA_LEAST, short_rsa};
use crate::live::{Untyped, unasked};
use crate::recipe::setting;

/// What our signatures are for: they hold for nothing else (`ssh-keygen -n`).
pub const NAMESPACE: &str = "manifest@remaster";

/// Bytes of a key's file.
const LARGEST_KEY: u64 = 1 << 16;

/// Something that signs.
pub trait Sign: Debug + Send + Sync {
    /// The key's fingerprint, as `SHA256:…`.
    fn fingerprint(&self) -> String;

    /// The kind of key.
    fn algorithm(&self) -> Algorithm;

    /// Whether its signature of a message is the same each time (RFC 8032; others may take a random number).
    fn is_reproducible(&self) -> bool {
        self.algorithm() == Algorithm::Ed25519
    }

    /// An armored signature of the message, in [`NAMESPACE`].
    fn sign(&self, message: &[u8]) -> Result<String>;

    /// A signature of the message itself, as the ssh protocol has it.
    fn sign_plain(&self, message: &[u8]) -> Result<Signature>;
}

/// A private key from a file.
#[derive(Debug)]
struct FileKey(PrivateKey);

impl Sign for FileKey {
    fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<String> {
        let signed = self.0.sign(NAMESPACE, HashAlg::Sha512, message);
        let armored = signed.and_then(|signature| signature.to_pem(LineEnding::LF));
        armored.map_err(|fault| refused(&no_signature(), &fault))
    }

    fn sign_plain(&self, message: &[u8]) -> Result<Signature> {
        signed(&self.0, message).map_err(|()| usage(no_signature()))
    }
}

fn no_signature() -> String {
    format!("the key of {} does not sign", setting!(sign))
}

/// What a key makes of a message.
fn signed<K: SigningKey>(key: &K, message: &[u8]) -> std::result::Result<Signature, ()> {
    key.try_sign(message).map_err(drop)
}

/// The signer that `path` names: a private key, whose passphrase `ask` asks for, or the `.pub` of a key that
/// the ssh-agent at `socket` has.
///
/// # Errors
/// A file that is neither, RSA private keys (an agent signs with those), a wrong passphrase.
pub fn signer(
    path: &Path,
    socket: Option<&Path>,
    ask: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Box<dyn Sign>> {
    let name = path.display();
    let doing = format!("read the key of {}, {name}", setting!(sign));
    let text = bounded::read_text(path, LARGEST_KEY, &doing)?;
    if let Ok(public) = PublicKey::from_openssh(text.trim()) {
        return Ok(Box::new(agent::Agent::with(public, socket)?));
    }
    let key = PrivateKey::from_openssh(&text)
        .map_err(|_| usage(format!("{name} is not a private key in OpenSSH's form")))?;
    let key = if key.is_encrypted() {
        let words = ask(&format!("passphrase of {name}")).map_err(|fault| {
            let what = match Untyped::of(&fault) {
                Some(Untyped::NoTerminal) => "and there is no terminal to ask on",
                Some(Untyped::Ended) => "and none was typed",
                None => return unasked(&format!("passphrase of {name}"), fault),
            };
            Error::Usage {
                what: format!("{name} has a passphrase, {what}"),
                hint: "give a key without one, or the .pub of a key that ssh-agent has".into(),
            }
        })?;
        key.decrypt(words).map_err(|_| usage(format!("{name}: the passphrase is wrong")))?
    } else {
        key
    };
    let key = FileKey(key);
    key.sign(b"")?;
    Ok(Box::new(key))
}

fn usage(what: String) -> Error {
    Error::Usage {
        what,
        hint: "give an ed25519 or ecdsa private key, or the .pub of a key that ssh-agent has"
            .into(),
    }
}

fn refused(what: &str, fault: &ssh_key::Error) -> Error {
    usage(format!("{what}: {fault}"))
}

/// Reads an armored signature, with anything behind it.
///
/// # Errors
/// [`Error::Signature`]: whatever is not a signature does not prove anything.
pub fn parse(armored: &[u8]) -> Result<SshSig> {
    let text = String::from_utf8_lossy(armored);
    let text = text.trim_end_matches(['\n', '\r', '\0']);
    if !text.trim_start().starts_with(BEGINNING) {
        return Err(broken(&format!("it does not begin with `{BEGINNING}`")));
    }
    SshSig::from_pem(format!("{text}\n")).map_err(|fault| broken(&fault.to_string()))
}

/// Whether this is the signature of some manifest.
pub(crate) fn is_of_manifest(armored: &[u8]) -> bool {
    parse(armored).is_ok_and(|signature| signature.namespace() == NAMESPACE)
}

/// Checks a signature of a message; the key that made it.
///
/// # Errors
/// [`Error::Signature`] for another message, namespace or a broken signature.
pub fn check(message: &[u8], armored: &[u8]) -> Result<PublicKey> {
    let signature = parse(armored)?;
    let key = PublicKey::from(signature.public_key().clone());
    check_length(&key)?;
    key.verify(NAMESPACE, message, &signature).map_err(|fault| broken(&fault.to_string()))?;
    Ok(key)
}

/// Refuses an RSA key that is too short to prove anything: without that, it would look like a manifest that was changed.
fn check_length(key: &PublicKey) -> Result<()> {
    let Some(bits) = short_rsa(key) else { return Ok(()) };
    Err(Error::Signature {
        what: format!(
            "the RSA key that signed the manifest has {bits} bits, expected at least {RSA_LEAST}"
        ),
        hint: "ask the maker of the image to sign with an ed25519 key".into(),
    })
}

/// How an armored signature begins (PROTOCOL.sshsig).
const BEGINNING: &str = "-----BEGIN SSH SIGNATURE-----";

fn broken(found: &str) -> Error {
    Error::Signature {
        what: format!("the signature is not one of this manifest in the namespace {NAMESPACE}: {found}"),
        hint: "get the manifest and its signature again from the maker of the image: one of them was changed".into(),
    }
}
