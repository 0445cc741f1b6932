//! Bytes as hexadecimal digits.

use std::fmt::Write as _;

/// Two digits a byte, in small letters.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // into a string, which cannot fail
        text
    })
}

/// The bytes of such digits; none if they are something else.
pub(crate) fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_two_digits() {
        assert_eq!(digits(&[0, 0x0a, 0xff]), "000aff");
        assert_eq!(digits(&[]), "");
        assert_eq!(bytes("000aff"), Some(vec![0, 0x0a, 0xff]));
        for text in ["zz", "+f", "abc", "0 "] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
