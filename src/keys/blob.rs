//! Takes apart the binary form of a public key or certificate (RFC 4251 §5, PROTOCOL.certkeys).

use super::kind::Kind;

/// Strings and numbers of a certificate behind the public key: serial, type, key id, principals, valid
/// after, valid before, critical options, extensions, reserved, signature key, signature.
const CERTIFICATE_TAIL: [Part; 11] = [
    Part::Bytes(8),
    Part::Bytes(4),
    Part::String,
    Part::String,
    Part::Bytes(8),
    Part::Bytes(8),
    Part::String,
    Part::String,
    Part::String,
    Part::String,
    Part::String,
];

#[derive(Clone, Copy, Debug)]
enum Part {
    String,
    Bytes(usize),
}

/// Decodes base64 as strictly as sshd: padded, and with unused bits zero.
///
/// So one key has one text, and equal keys have equal texts.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    let padding = text.len().checked_sub(body.len()).filter(|n| *n <= 2)?;
    let filled = text.replace('=', "A");
    if body.contains('=') || !filled.len().is_multiple_of(4) {
        return None;
    }
    let groups = filled.as_bytes().chunks(4).map(group).collect::<Option<Vec<_>>>()?;
    let mut bytes = groups.concat();
    let unused = bytes.split_off(bytes.len().checked_sub(padding)?);
    unused.iter().all(|b| *b == 0).then_some(bytes)
}

/// Decodes four characters to three bytes.
fn group(characters: &[u8]) -> Option<[u8; 3]> {
    let sextets = characters.iter().map(|c| sextet(*c).map(u32::from));
    let word = sextets.reduce(|high, low| Some(high? << 6 | low?))??;
    let [_, bytes @ ..] = word.to_be_bytes();
    Some(bytes)
}

fn sextet(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => character.checked_sub(b'A'),
        b'a'..=b'z' => character.checked_sub(b'a')?.checked_add(26),
        b'0'..=b'9' => character.checked_sub(b'0')?.checked_add(52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Reads the type a blob itself names.
pub(super) fn type_of(blob: &[u8]) -> Option<&str> {
    str::from_utf8(Reader(blob).string()?).ok()
}

/// Makes the blob of the plain key a certificate is for, or `None` if the certificate is not whole.
///
/// `ssh_key::Certificate` 0.6.7 cannot be used: it refuses the end of validity that ssh-keygen writes if
/// none is asked for (all bits set).
pub(super) fn certified_key(kind: &Kind, blob: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(blob);
    let _type = reader.string()?;
    let _nonce = reader.string()?;
    let key = reader.strings(kind.fields)?;
    CERTIFICATE_TAIL.iter().try_for_each(|part| reader.part(*part).map(drop))?;
    let name = [prefix(kind.plain)?.as_slice(), kind.plain.as_bytes()].concat();
    reader.0.is_empty().then(|| [name.as_slice(), key].concat())
}

/// The length in front of a string (RFC 4251 §5).
fn prefix(string: &str) -> Option<[u8; 4]> {
    Some(u32::try_from(string.len()).ok()?.to_be_bytes())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn part(&mut self, part: Part) -> Option<&'a [u8]> {
        match part {
            Part::String => self.string(),
            Part::Bytes(count) => self.bytes(count),
        }
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        self.bytes(usize::try_from(u32::from_be_bytes(*length)).ok()?)
    }

    /// Reads `count` strings and gives them with their lengths.
    fn strings(&mut self, count: usize) -> Option<&'a [u8]> {
        let whole = self.0;
        (0..count).try_for_each(|_| self.string().map(drop))?;
        whole.get(..whole.len().checked_sub(self.0.len())?)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_strictly_as_sshd_reads_it() {
        let rows: [(&str, Option<&[u8]>); 14] = [
            ("", Some(b"")),
            ("AAEC", Some(&[0, 1, 2])),
            ("+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("/w==", Some(&[0xff])),
            ("//8=", Some(&[0xff, 0xff])),
            ("//9=", None), // unused bits set
            ("/x==", None),
            ("//8", None), // padding missing
            ("AAEC=", None),
            ("A===", None),
            ("==", None),
            ("AA=A", None),
            ("AA-_", None), // the alphabet for addresses
            ("AAé", None),
        ];
        for (text, bytes) in rows {
            assert_eq!(base64(text).as_deref(), bytes, "{text}");
        }
    }

    #[test]
    fn a_blob_cut_off_anywhere_has_no_type() {
        let blob = b"\0\0\0\x03abc";
        assert_eq!(type_of(blob), Some("abc"));
        for end in 0..blob.len() {
            assert_eq!(type_of(&blob[..end]), None, "{end}");
        }
        assert_eq!(type_of(b"\xff\xff\xff\xffabc"), None);
    }
}
