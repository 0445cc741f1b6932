//! Bytes as hexadecimal digits.

use std::fmt::Write as _;

/// Two digits a byte, in small letters.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // into a string, which cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_two_digits() {
        assert_eq!(digits(&[0, 0x0a, 0xff]), "000aff");
        assert_eq!(digits(&[]), "");
    }
}
