//! Signed statements: the envelope of DSSE 1.0 (secure-systems-lab/dsse), which verifiers of in-toto and SLSA read.
//!
//! Ed25519 signatures are the 64 bytes of RFC 8032. ECDSA signatures are in DER (RFC 3279 §2.2.3), over the hash that
//! belongs to the curve (RFC 5656 §6.2.1). RSA signatures are PKCS #1 v1.5 with SHA-512, as ssh-agent makes them.

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use ssh_key::Algorithm;

use super::Sign;
use crate::error::{Error, Result};
use crate::recipe::setting;

/// What the envelope holds (in-toto attestation framework, Envelope v1).
const TYPE: &str = "application/vnd.in-toto+json";

/// Whether a key can sign statements.
///
/// # Errors
/// [`Error::Usage`] for a security key, which signs for ssh only.
pub fn check(signer: &dyn Sign) -> Result<()> {
    let algorithm = signer.algorithm();
    if matches!(algorithm, Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. }) {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!(
            "provenance is signed by ed25519, ecdsa and rsa keys, and the key of {} is {algorithm}",
            setting!(sign)
        ),
        hint: "sign with another key, or write no provenance".into(),
    })
}

/// A statement in an envelope, signed.
///
/// # Errors
/// A key that does not sign.
pub fn envelope(statement: &[u8], signer: &dyn Sign) -> Result<Value> {
    check(signer)?;
    let signature = signer.sign_plain(&encoding(statement))?;
    let bytes = match signer.algorithm() {
        Algorithm::Ecdsa { .. } => in_der(signature.as_bytes()).ok_or_else(|| Error::Usage {
            what: format!("a signature by the key of {} is not two numbers", setting!(sign)),
            hint: "sign with another key".into(),
        })?,
        _ => signature.as_bytes().to_vec(),
    };
    Ok(json!({
        "payloadType": TYPE,
        "payload": Base64::encode_string(statement),
        "signatures": [{ "keyid": signer.fingerprint(), "sig": Base64::encode_string(&bytes) }],
    }))
}

/// What is signed: the Pre-Authentication Encoding of the specification.
fn encoding(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {TYPE} {} ", TYPE.len(), payload.len()).into_bytes();
    bytes.extend(payload);
    bytes
}

/// Two numbers of ssh (RFC 4251 §5, `mpint`) as a sequence of DER, which has the same bytes for a number.
fn in_der(numbers: &[u8]) -> Option<Vec<u8>> {
    let (one, rest) = mpint(numbers)?;
    let (other, rest) = mpint(rest)?;
    if !rest.is_empty() {
        return None;
    }
    // INTEGER and SEQUENCE (X.690 §8.3, §8.9).
    let both = [tagged(0x02, one)?, tagged(0x02, other)?].concat();
    tagged(0x30, &both)
}

fn mpint(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// A value of DER with its tag and length; none for one of more than 255 bytes, which no signature here has.
fn tagged(tag: u8, value: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(value.len()).ok()?;
    // From 128 on, a length has a byte in front that counts its bytes (X.690 §8.1.3.5).
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    Some([&head, value].concat())
}

#[cfg(test)]
mod tests {
    use ssh_key::Signature;

    use super::*;

    #[test]
    fn what_is_signed_is_that_of_the_specification() {
        // The form of `protocol.md`: "DSSEv1 29 http://example.com/HelloWorld 11 hello world".
        assert_eq!(
            encoding(b"hello world"),
            b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
        );
    }

    /// A key of some kind, which signs nothing.
    #[derive(Debug)]
    struct Kind(Algorithm);

    impl Sign for Kind {
        fn fingerprint(&self) -> String {
            String::new()
        }
        fn algorithm(&self) -> Algorithm {
            self.0.clone()
        }
        fn sign(&self, _: &[u8]) -> Result<String> {
            Ok(String::new())
        }
        fn sign_plain(&self, _: &[u8]) -> Result<Signature> {
            Err(Error::bug("it signs nothing"))
        }
    }

    #[test]
    fn a_key_that_signs_for_ssh_only_is_refused_by_name() {
        let of = |name: &str| check(&Kind(name.parse().unwrap()));
        for name in ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "rsa-sha2-512"] {
            of(name).unwrap();
        }
        for name in ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"] {
            assert!(of(name).unwrap_err().to_string().ends_with(name));
        }
    }

    #[test]
    fn two_numbers_are_a_sequence() {
        let of = |length: u8| [&[0, 0, 0, length][..], &vec![1; length.into()]].concat();
        let both = |length| [of(length), of(1)].concat();
        assert_eq!(in_der(&both(2)).unwrap(), [0x30, 7, 2, 2, 1, 1, 2, 1, 1]);
        assert_eq!(in_der(&both(0x80)).unwrap()[..6], [0x30, 0x81, 0x86, 2, 0x81, 0x80]);
        for cut in 0..both(2).len() {
            assert_eq!(in_der(&both(2)[..cut]), None, "{cut}");
        }
        assert_eq!(in_der(&[both(2), vec![0]].concat()), None);
    }
}
