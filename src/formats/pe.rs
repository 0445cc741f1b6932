//! UEFI programs (Microsoft PE Format) and by whom they say to be signed (Windows Authenticode Portable Executable Signature
//! Format 1.0). Read by the `authenticode` crate; nothing of it is trusted.

use authenticode::{
    AttributeCertificateIterator, AuthenticodeSignature, PeTrait, authenticode_digest,
};
use cms::signed_data::SignerIdentifier;
use object::FileKind;
use object::read::coff::SectionTable;
use object::read::pe::{PeFile32, PeFile64};
use sha2_010::{Digest, Sha256};

/// Signatures of one program that are read; loaders have one or two.
const MOST_SIGNATURES: usize = 16;

/// The `commonName` of a subject (X.520).
const COMMON_NAME: &str = "2.5.4.3";

/// Whether a signature is for the program that it is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Covers {
    /// Its digest is that of the program.
    Program,
    /// Its digest is another one: the program was changed since.
    Other,
    /// Its digest is none of SHA-256, or the program has no sound headers.
    Unknown,
}

/// A signature in a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signature {
    /// The subject of the signer's certificate: its common name, else all of it (RFC 4514); empty if the
    /// certificate is not there.
    pub signer: String,
    /// Whether its digest is that of the program. The signature over the digest is not checked.
    pub covers: Covers,
}

/// The signatures of a program; none if the bytes are not a PE program. The error says what is broken.
pub fn signatures(program: &[u8]) -> Result<Option<Vec<Signature>>, String> {
    let broken = |fault: object::Error| fault.to_string();
    match FileKind::parse(program) {
        Ok(FileKind::Pe32) => found(&PeFile32::parse(program).map_err(broken)?).map(Some),
        Ok(FileKind::Pe64) => found(&PeFile64::parse(program).map_err(broken)?).map(Some),
        _ => Ok(None),
    }
}

/// Whether a program that begins like this is a kernel and an initrd in one (UAPI.5, "Unified Kernel Image").
pub fn is_unified_kernel(head: &[u8]) -> bool {
    let is_kernel =
        |sections: SectionTable<'_>| sections.iter().any(|section| section.raw_name() == b".linux");
    let wide = || PeFile64::parse(head).map(|program| program.section_table());
    let narrow = |_| PeFile32::parse(head).map(|program| program.section_table());
    wide().or_else(narrow).is_ok_and(is_kernel)
}

fn found(program: &dyn PeTrait) -> Result<Vec<Signature>, String> {
    let table = AttributeCertificateIterator::new(program).map_err(|fault| fault.to_string())?;
    let mut own = None;
    let mut signatures = Vec::new();
    for certificate in table.into_iter().flatten().take(MOST_SIGNATURES) {
        let certificate = certificate.map_err(|fault| fault.to_string())?;
        let signature =
            certificate.get_authenticode_signature().map_err(|fault| fault.to_string())?;
        let own = own.get_or_insert_with(|| digest(program));
        signatures.push(Signature {
            signer: signer(&signature),
            covers: covers(&signature, own.as_deref()),
        });
    }
    Ok(signatures)
}

fn covers(signature: &AuthenticodeSignature, own: Option<&[u8]>) -> Covers {
    match own {
        Some(own) if signature.digest().len() == own.len() => {
            if signature.digest() == own {
                Covers::Program
            } else {
                Covers::Other
            }
        }
        _ => Covers::Unknown,
    }
}

/// The program's own digest; none if its sections are not within it, or lie over each other so that
/// digesting them all would take for ever.
fn digest(program: &dyn PeTrait) -> Option<Vec<u8>> {
    let size = program.data().len();
    let mut sum = 0_usize;
    for number in 1..=program.num_sections() {
        sum = sum.checked_add(program.section_data_range(number).ok()?.len())?;
    }
    let mut digest = Sha256::new();
    if sum > size || authenticode_digest(program, &mut digest).is_err() {
        return None;
    }
    Some(digest.finalize().to_vec())
}

fn signer(signature: &AuthenticodeSignature) -> String {
    let SignerIdentifier::IssuerAndSerialNumber(wanted) = &signature.signer_info().sid else {
        return String::new();
    };
    let certificate = signature.certificates().find(|certificate| {
        let certificate = &certificate.tbs_certificate;
        certificate.issuer == wanted.issuer && certificate.serial_number == wanted.serial_number
    });
    let Some(subject) = certificate.map(|certificate| &certificate.tbs_certificate.subject) else {
        return String::new();
    };
    let names = subject.0.iter().flat_map(|part| part.0.iter());
    let mut common = names.filter(|name| name.oid.to_string() == COMMON_NAME);
    let common = common.find_map(|name| std::str::from_utf8(name.value.value()).ok());
    let shown = common.map_or_else(|| subject.to_string(), str::to_owned);
    // Whoever signs chooses the name: it must not paint the terminal.
    shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signed with sbsign by a test certificate; see `tests/tiny/signed.sh`.
    const SIGNED: &[u8] = include_bytes!("../../tests/tiny/signed.efi");

    #[test]
    fn a_signer_is_named_and_a_change_is_seen() {
        let expected =
            |covers| Ok(Some(vec![Signature { signer: "remaster test signer".into(), covers }]));
        assert_eq!(signatures(SIGNED), expected(Covers::Program));
        let mut changed = SIGNED.to_vec();
        // a byte of the first section
        changed[0x400] ^= 1;
        assert_eq!(signatures(&changed), expected(Covers::Other));
    }

    #[test]
    fn what_is_not_a_program_has_no_signatures() {
        for bytes in [&b""[..], b"MZ", b"#!/bin/sh\n", &[0; 4096]] {
            assert_eq!(signatures(bytes), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn hostile_programs_never_panic() {
        for length in 0..SIGNED.len() {
            let _ = signatures(&SIGNED[..length]);
        }
        for at in 0..SIGNED.len() {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = SIGNED.to_vec();
                damaged[at] = value;
                let _ = signatures(&damaged);
            }
        }
    }

    /// The program with its certificate so many times.
    #[expect(clippy::arithmetic_side_effects, reason = "of a program that is known")]
    fn signed(times: usize) -> Vec<u8> {
        let number = |at: usize| u32::from_le_bytes(*SIGNED[at..].first_chunk().unwrap());
        // "Optional Header Data Directories": the fifth one of PE32+ gives the place of the certificates and their bytes.
        let table = usize::try_from(number(0x3C)).unwrap() + 24 + 112 + 4 * 8;
        let (at, size) = (number(table), number(table + 4));
        let (before, certificate) = SIGNED.split_at(usize::try_from(at).unwrap());
        let mut program = [before, &certificate.repeat(times)].concat();
        let size = size * u32::try_from(times).unwrap();
        program[table + 4..][..4].copy_from_slice(&size.to_le_bytes());
        program
    }

    #[test]
    fn so_many_signatures_are_read() {
        for (times, read) in [(1, 1), (MOST_SIGNATURES, 16), (MOST_SIGNATURES + 1, 16)] {
            assert_eq!(signatures(&signed(times)).unwrap().unwrap().len(), read);
        }
    }
}
