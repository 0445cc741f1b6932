//! Decides whether the key in a line is sound and strong enough to be let in.

use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};

use super::blob;
use super::fault::{LineError, shown_type};
use super::kind::DSA;
use super::line::Fields;

/// Modulus below which RSA is refused.
pub(crate) const RSA_LEAST: usize = 2048;

/// Modulus above which sshd cannot read an RSA key (`SSHBUF_MAX_BIGNUM`).
const RSA_MOST: usize = 16384;

const NEW_KEY: &str = "make a new key: ssh-keygen -t ed25519";
const COPY: &str = "copy the line of the .pub file once more, whole and on one line";

/// What is known of a key that may be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// `SHA256:…`; of a certificate, that of the key it is for, as ssh-keygen shows it.
    pub(super) fingerprint: String,
    /// Length of the modulus of an RSA key.
    pub(super) bits: Option<usize>,
}

impl Judged {
    /// Checks type, encoding and strength.
    pub(super) fn from_fields(fields: &Fields<'_>) -> Result<Self, LineError> {
        if fields.kind.plain == DSA {
            return Err(dsa());
        }
        let key = PublicKey::from_bytes(&plain_blob(fields)?).map_err(|_| broken(fields))?;
        let bits = match key.key_data() {
            KeyData::Rsa(rsa) => Some(allowed(bits_in(rsa.n.as_bytes()))?),
            KeyData::Ecdsa(point) => uncompressed(point.as_sec1_bytes(), fields)?,
            KeyData::SkEcdsaSha2NistP256(key) => uncompressed(key.ec_point().as_bytes(), fields)?,
            _ => None,
        };
        Ok(Self { fingerprint: key.fingerprint(HashAlg::Sha256).to_string(), bits })
    }
}

/// Decodes the data and makes sure that they hold what the line says.
fn plain_blob(fields: &Fields<'_>) -> Result<Vec<u8>, LineError> {
    let blob = blob::base64(fields.data).ok_or_else(|| bad_base64(fields.data))?;
    let name = blob::type_of(&blob).ok_or_else(|| broken(fields))?;
    if name != fields.name {
        let problem = format!("found data of {}, expected {}", shown_type(name), fields.name);
        return Err(LineError::malformed(problem, COPY));
    }
    if name == fields.kind.plain {
        return Ok(blob);
    }
    blob::certified_key(fields.kind, &blob).ok_or_else(|| broken(fields))
}

/// sshd takes only points written with both coordinates.
fn uncompressed(point: &[u8], fields: &Fields<'_>) -> Result<Option<usize>, LineError> {
    if point.first() == Some(&4) { Ok(None) } else { Err(broken(fields)) }
}

/// The bits of an RSA key that is too short to be let in, or to sign anything.
pub(crate) fn short_rsa(key: &PublicKey) -> Option<usize> {
    match key.key_data() {
        KeyData::Rsa(rsa) => Some(bits_in(rsa.n.as_bytes())).filter(|bits| *bits < RSA_LEAST),
        _ => None,
    }
}

/// Counts the bits of a positive number, most significant byte first.
fn bits_in(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    let digits = number.get(zeros..).unwrap_or_default();
    let unused = digits.first().map_or(0, |b| b.leading_zeros());
    digits
        .iter()
        .map(|_| 8_usize)
        .sum::<usize>()
        .saturating_sub(usize::try_from(unused).unwrap_or(8))
}

fn allowed(bits: usize) -> Result<usize, LineError> {
    let limit = match bits {
        ..RSA_LEAST => format!("at least {RSA_LEAST}"),
        RSA_LEAST..=RSA_MOST => return Ok(bits),
        _ => format!("at most {RSA_MOST}, the most sshd reads"),
    };
    Err(LineError::weak(format!("found an RSA key of {bits} bits, expected {limit}"), NEW_KEY))
}

fn dsa() -> LineError {
    let problem = "found a DSA key, which sshd no longer takes, expected ed25519, ECDSA or RSA";
    LineError::weak(problem, NEW_KEY)
}

fn bad_base64(data: &str) -> LineError {
    let count = data.chars().count();
    LineError::malformed(format!("found {count} characters that are not base64 of a key"), COPY)
}

fn broken(fields: &Fields<'_>) -> LineError {
    LineError::malformed(format!("the key is cut off or damaged, expected {}", fields.name), COPY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::samples;

    const P256: &str = "ecdsa-sha2-nistp256";

    fn judge(line: &str) -> Result<Judged, String> {
        Judged::from_fields(&Fields::parse(line).unwrap()).map_err(|flaw| format!("{flaw:?}"))
    }

    #[test]
    fn sound_keys_have_the_fingerprint_ssh_keygen_shows() {
        for (line, fingerprint) in samples::FINGERPRINTS {
            assert_eq!(judge(line).unwrap().fingerprint, fingerprint, "{line}");
        }
    }

    #[test]
    fn only_rsa_keys_have_bits() {
        let rows = [
            (samples::RSA_2048, Some(2048)),
            (samples::RSA_3072, Some(3072)),
            (samples::RSA_2048_CERTIFICATE, Some(2048)),
            (samples::ED25519, None),
            (samples::P256, None),
        ];
        for (line, bits) in rows {
            assert_eq!(judge(line).unwrap().bits, bits, "{line}");
        }
    }

    #[test]
    fn bits_are_counted_without_leading_zeros() {
        for (number, bits) in [
            (&[][..], 0),
            (&[0], 0),
            (&[1], 1),
            (&[0, 0x80], 8),
            (&[0, 1, 0], 9),
            (&[0x7f, 0xff], 15),
        ] {
            assert_eq!(bits_in(number), bits, "{number:?}");
        }
    }

    #[test]
    fn lengths_of_rsa_are_allowed_up_to_what_sshd_reads() {
        for (bits, fine) in [(2047, false), (2048, true), (16384, true), (16385, false)] {
            assert_eq!(allowed(bits).is_ok(), fine, "{bits}");
        }
    }

    #[test]
    fn security_keys_pass_plain_and_certified() {
        for line in [
            samples::sk_ed25519(),
            samples::sk_p256(),
            samples::certificate(
                "sk-ssh-ed25519-cert-v01@openssh.com",
                &samples::SK_ED25519_FIELDS,
            ),
            samples::certificate(
                "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
                &samples::sk_p256_fields(),
            ),
        ] {
            let fingerprint = judge(&line).unwrap().fingerprint;
            assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");
        }
    }

    #[test]
    fn weak_and_broken_keys_are_refused_with_what_was_found() {
        let [_, data] = *samples::ED25519.split(' ').take(2).collect::<Vec<_>>() else { panic!() };
        let rows = [
            (samples::RSA_1024.to_owned(), "RSA key of 1024 bits, expected at least 2048"),
            (samples::RSA_1024_CERTIFICATE.to_owned(), "RSA key of 1024 bits"),
            (samples::DSA.to_owned(), "found a DSA key"),
            (samples::DSA.replace("ssh-dss", "ssh-dss-cert-v01@openssh.com"), "found a DSA key"),
            (format!("ssh-rsa {data}"), "found data of ssh-ed25519, expected ssh-rsa"),
            (
                format!("ssh-ed25519-cert-v01@openssh.com {data}"),
                "found data of ssh-ed25519, expected ssh-ed25519-cert-v01@openssh.com",
            ),
            (format!("ssh-ed25519 {}", &data[..40]), "cut off or damaged, expected ssh-ed25519"),
            (format!("ssh-ed25519 {data}AAAA"), "cut off or damaged"),
            (format!("ssh-ed25519 {}", &data[..41]), "41 characters that are not base64"),
            ("ssh-ed25519 AAAA".to_owned(), "cut off or damaged"),
            ("ssh-ed25519 !!!!".to_owned(), "4 characters that are not base64"),
            (samples::compressed_p256(), "cut off or damaged"),
            (samples::P256_CERTIFICATE.replace("= ecdsa", "=AAAA ecdsa"), "not base64"),
            (
                samples::certificate(&format!("{P256}-cert-v01@openssh.com"), &["nistp256"]),
                "cut off or damaged",
            ),
            (samples::ED25519_CERTIFICATE.replace("2wA== ", "2wAAA "), "cut off or damaged"),
            (samples::plain(P256, &["nistp384"]), "cut off or damaged"),
            (samples::P256_CERTIFICATE[..401].to_owned(), "cut off or damaged, expected ecdsa"),
        ];
        for (line, expected) in rows {
            let found = judge(&line).unwrap_err();
            assert!(found.contains(expected), "{line}: {found}");
        }
    }
}
