//! Signing through ssh-agent (draft-ietf-sshm-ssh-agent §3.6): the private key stays there.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};

use super::{NAMESPACE, Sign, refused, usage};
use crate::error::{Error, Result};

const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// RSA keys sign with SHA-512 (RFC 8332).
const RSA_SHA2_512: u32 = 4;

/// Bytes of an answer.
const LARGEST: u32 = 1 << 16;

/// Time that an agent gets, in which it may ask its user.
const PATIENCE: Duration = Duration::from_mins(2);

/// A key that an agent has.
#[derive(Debug)]
pub(super) struct Agent {
    public: PublicKey,
    socket: PathBuf,
}

impl Agent {
    /// The agent at the socket, for this key.
    pub(super) fn with(public: PublicKey, socket: Option<&Path>) -> Result<Self> {
        let socket = socket.filter(|socket| !socket.as_os_str().is_empty());
        let socket = socket.ok_or_else(|| Error::Usage {
            what: "--sign names a public key, and there is no ssh-agent".into(),
            hint: "start ssh-agent and add the key, or give the private key",
        })?;
        Ok(Self { public, socket: socket.to_owned() })
    }

    fn signature(&self, message: &[u8]) -> Result<Signature> {
        let doing = || format!("ask ssh-agent at {}", self.socket.display());
        let blob = self.public.to_bytes().map_err(|fault| refused("the key of --sign", &fault))?;
        let request =
            request(&self.public, &blob, message).ok_or_else(|| none_from_agent("room"))?;
        let answer = ask(&self.socket, &request).map_err(Error::io(doing()))?;
        let Some((&SIGN_RESPONSE, body)) = answer.split_first() else {
            return Err(none_from_agent("the key"));
        };
        let signature = body.get(4..).unwrap_or_default();
        Signature::try_from(signature).map_err(|fault| refused("ssh-agent's answer", &fault))
    }
}

impl Sign for Agent {
    fn fingerprint(&self) -> String {
        self.public.fingerprint(HashAlg::Sha256).to_string()
    }

    fn is_reproducible(&self) -> bool {
        self.public.algorithm() == Algorithm::Ed25519
    }

    fn sign(&self, message: &[u8]) -> Result<String> {
        let fault = |fault: ssh_key::Error| refused("ssh-agent's signature", &fault);
        let data = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, message).map_err(fault)?;
        let signature = self.signature(&data)?;
        let key = self.public.key_data().clone();
        let signed = SshSig::new(key, NAMESPACE, HashAlg::Sha512, signature).map_err(fault)?;
        signed.to_pem(LineEnding::LF).map_err(fault)
    }
}

fn none_from_agent(what: &str) -> Error {
    usage(format!("ssh-agent does not sign: it does not have {what}, or its user said no"))
}

/// A request with its length in front; none past 32 bits.
fn request(public: &PublicKey, blob: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let flags = if matches!(public.algorithm(), Algorithm::Rsa { .. }) { RSA_SHA2_512 } else { 0 };
    let mut body = vec![SIGN_REQUEST];
    for part in [blob, message] {
        body.extend(u32::try_from(part.len()).ok()?.to_be_bytes());
        body.extend(part);
    }
    body.extend(flags.to_be_bytes());
    let mut request = u32::try_from(body.len()).ok()?.to_be_bytes().to_vec();
    request.append(&mut body);
    Some(request)
}

fn ask(socket: &Path, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length).min(LARGEST);
    let mut answer = Vec::new();
    stream.take(length.into()).read_to_end(&mut answer)?;
    Ok(answer)
}
