//! Signing through ssh-agent (draft-ietf-sshm-ssh-agent §3.6): the private key stays there.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};

use super::{NAMESPACE, Sign, refused, usage};
use crate::error::{Error, Result};
use crate::recipe::setting;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// RSA keys sign with SHA-512 (RFC 8332).
const RSA_SHA2_512: u32 = 4;

/// Bytes of an answer.
const LARGEST: u32 = 1 << 16;

/// Time that an agent gets, in which it may ask its user.
const TIMEOUT: Duration = Duration::from_mins(2);

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
            what: format!("{} names a public key, and there is no ssh-agent", setting!(sign)),
            hint: "start ssh-agent and add the key, or give the private key".into(),
        })?;
        Ok(Self { public, socket: socket.to_owned() })
    }

    fn signature(&self, message: &[u8]) -> Result<Signature> {
        let doing = || format!("ask ssh-agent at {}", self.socket.display());
        let blob = self
            .public
            .to_bytes()
            .map_err(|fault| refused(&format!("the key of {}", setting!(sign)), &fault))?;
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

    fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    fn sign_plain(&self, message: &[u8]) -> Result<Signature> {
        self.signature(message)
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
    usage(format!("ssh-agent did not sign: {what} is not loaded, or its user refused"))
}

/// The public keys that the agent at the socket has, as lines of `authorized_keys`, like `ssh-add -L`.
///
/// # Errors
/// No agent, or one that answers strangely. No keys are an empty text.
pub fn identities(socket: Option<&Path>) -> Result<Vec<u8>> {
    let socket = socket.filter(|socket| !socket.as_os_str().is_empty());
    let socket = socket.ok_or_else(|| Error::Usage {
        what: "there is no ssh-agent: SSH_AUTH_SOCK is not set".into(),
        hint: "start ssh-agent and add a key, or give the .pub file".into(),
    })?;
    let doing = || format!("ask ssh-agent at {}", socket.display());
    let answer = ask(socket, &[0, 0, 0, 1, REQUEST_IDENTITIES]).map_err(Error::io(doing()))?;
    lines(&answer).ok_or_else(|| {
        Error::io(doing())(std::io::Error::new(std::io::ErrorKind::InvalidData, "no list of keys"))
    })
}

/// The keys of an answer, a line each; none if it has another form.
fn lines(answer: &[u8]) -> Option<Vec<u8>> {
    let (&IDENTITIES_ANSWER, rest) = answer.split_first()? else { return None };
    let (count, mut rest) = number(rest)?;
    let mut text = String::new();
    for _ in 0..count {
        let (blob, behind) = string(rest)?;
        let (comment, behind) = string(behind)?;
        rest = behind;
        let kind = String::from_utf8_lossy(string(blob)?.0).into_owned();
        let comment = String::from_utf8_lossy(comment).replace(char::is_control, " ");
        text.extend([&kind, " ", &Base64::encode_string(blob), " ", comment.trim(), "\n"]);
    }
    Some(text.into_bytes())
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
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
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    answer(stream)
}

/// The answer that comes, without its length in front.
fn answer(mut stream: impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length).min(LARGEST);
    let mut answer = Vec::new();
    stream.take(length.into()).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_an_answer_are_lines_and_what_is_cut_is_refused() {
        let string = |text: &[u8]| {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            [&length[..], text].concat()
        };
        let blob = [string(b"ssh-ed25519"), string(&[7; 32])].concat();
        let key = [string(&blob), string(b"me\nat home")].concat();
        let answer = [&[IDENTITIES_ANSWER, 0, 0, 0, 2][..], &key, &key].concat();
        let text = String::from_utf8(lines(&answer).unwrap()).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBw")
                && text.contains(" me at home\n")
        );
        assert_eq!(lines(&[IDENTITIES_ANSWER, 0, 0, 0, 0]).unwrap(), b"");
        for cut in 0..answer.len() {
            assert!(lines(&answer[..cut]).is_none(), "{cut}");
        }
        assert!(lines(&[5]).is_none());
    }

    #[test]
    fn an_answer_of_an_agent_is_read_up_to_its_limit() {
        for length in [LARGEST, LARGEST + 1] {
            let head = length.to_be_bytes();
            let stream = head.as_slice().chain(std::io::repeat(b'x'));
            assert_eq!(answer(stream).unwrap().len(), 1 << 16);
        }
    }
}
