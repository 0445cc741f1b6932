//! Recognises what must never be taken for public keys: private ones above all.

/// Something recognised in the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<T> {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) what: T,
}

/// A format of public keys that is not OpenSSH's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) name: &'static str,
    pub(super) hint: &'static str,
}

/// Base64 of `openssh-key-v1`, with which every unarmoured OpenSSH private key starts.
const OPENSSH_BODY: &str = "b3BlbnNzaC1rZXktdjE";

/// Words that stand in private key files only, and the format they give away.
const MARKS: [(&str, &str); 10] = [
    ("PuTTY-User-Key-File-", "PuTTY"),
    ("Private-Lines:", "PuTTY"),
    ("Private-MAC:", "PuTTY"),
    ("Private-Hash:", "PuTTY"),
    ("SSH PRIVATE KEY FILE FORMAT", "SSH version 1"),
    (OPENSSH_BODY, "OpenSSH"),
    ("-----BEGIN OPENSSH", "OpenSSH"),
    ("-----END OPENSSH", "OpenSSH"),
    ("DEK-Info:", "PEM"),
    ("Proc-Type:", "PEM"),
];

/// Labels of armour, the more special first.
const LABELS: [(&str, &str); 8] = [
    ("OPENSSH", "OpenSSH"),
    ("SSH2", "SSH2"),
    ("ENCRYPTED", "encrypted PKCS#8"),
    ("RSA ", "PEM, RSA"),
    ("DSA ", "PEM, DSA"),
    ("EC ", "PEM, EC"),
    ("PGP", "PGP"),
    ("", "PKCS#8"),
];

const FOREIGN: [(&str, Foreign); 4] = [
    (
        "BEGIN SSH2 PUBLIC KEY",
        Foreign {
            name: "an SSH2 public key",
            hint: "convert it: ssh-keygen -i -f FILE > FILE.pub",
        },
    ),
    (
        "BEGIN RSA PUBLIC KEY",
        Foreign {
            name: "a PEM public key",
            hint: "convert it: ssh-keygen -i -m PEM -f FILE > FILE.pub",
        },
    ),
    (
        "BEGIN PUBLIC KEY",
        Foreign {
            name: "a PKCS#8 public key",
            hint: "convert it: ssh-keygen -i -m PKCS8 -f FILE > FILE.pub",
        },
    ),
    (
        "BEGIN ",
        Foreign {
            name: "a block between `-----BEGIN` and `-----END`",
            hint: "give a key as ssh-keygen writes it to .pub",
        },
    ),
];

/// Finds the first line that belongs to a private key, in whatever text encoding.
pub(super) fn private_key(bytes: &[u8]) -> Option<Found<&'static str>> {
    find(bytes, private_format)
}

/// What the lines of private key files begin with, that no other files have at the start of a line.
const OPENINGS: [&str; 4] = ["-----BEGIN ", "---- BEGIN ", "PuTTY-User-Key-File-", OPENSSH_BODY];

/// The format of a file that is a private key, in whatever text encoding.
pub(super) fn private_file(bytes: &[u8]) -> Option<&'static str> {
    let start = bytes.get(..bytes.len().min(256)).unwrap_or_default();
    let is_utf16 = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
    if start.contains(&0) && !is_utf16 && !start.starts_with(b"SSH PRIVATE KEY FILE FORMAT") {
        return None;
    }
    let found = find(bytes, |line| {
        let opening = line.trim_start_matches(['\u{feff}', '\u{fffd}', ' ', '\t']);
        let opens = OPENINGS.iter().any(|mark| opening.starts_with(mark))
            || opening.starts_with("SSH PRIVATE KEY FILE FORMAT");
        private_format(line).filter(|_| opens)
    });
    found.map(|found| found.what)
}

/// Finds the first line that opens an armour of another format.
pub(super) fn foreign(bytes: &[u8]) -> Option<Found<&'static Foreign>> {
    find(bytes, |line| {
        let opening = line.trim_start_matches(['\u{feff}', ' ', '\t']);
        let foreign = FOREIGN.iter().find(|(mark, _)| opening.contains(mark));
        foreign.filter(|_| opening.starts_with("---")).map(|(_, format)| format)
    })
}

fn find<T>(bytes: &[u8], matches: impl Fn(&str) -> Option<T>) -> Option<Found<T>> {
    // Without NULs, UTF-16 (what PowerShell's `>` writes) reads like ASCII.
    let bytes: Vec<u8> = bytes.iter().copied().filter(|b| *b != 0).collect();
    let text = String::from_utf8_lossy(&bytes);
    (1..).zip(text.split('\n')).find_map(|(line, t)| Some(Found { line, what: matches(t)? }))
}

fn private_format(line: &str) -> Option<&'static str> {
    if let Some((_, format)) = MARKS.iter().find(|(mark, _)| line.contains(mark)) {
        return Some(format);
    }
    if !is_private_armour(line) {
        return None;
    }
    LABELS.iter().find(|(label, _)| line.contains(label)).map(|(_, format)| *format)
}

/// Also says yes to armour that was cut at either end when it was marked and copied.
fn is_private_armour(line: &str) -> bool {
    let opens = line.contains("BEGIN") || line.contains("END") || line.contains("--");
    let cut_behind = line.contains("-----BEGIN") && line.contains("PRIV");
    let cut_in_front = line.contains("ATE KEY--");
    opens && line.contains("PRIVATE KEY") || cut_behind || cut_in_front
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made up here, so that no scanner takes this file for a leak.
    fn armour(label: &str) -> String {
        format!("-----BEGIN {label}PRIVATE KEY-----\nc2VjcmV0\n-----END {label}PRIVATE KEY-----\n")
    }

    fn format_of(text: &str) -> Option<(usize, &'static str)> {
        private_key(text.as_bytes()).map(|found| (found.line, found.what))
    }

    #[test]
    fn every_private_armour_is_recognised_and_named() {
        let rows = [
            ("OPENSSH ", "OpenSSH"),
            ("RSA ", "PEM, RSA"),
            ("DSA ", "PEM, DSA"),
            ("EC ", "PEM, EC"),
            ("", "PKCS#8"),
            ("ENCRYPTED ", "encrypted PKCS#8"),
            ("SSH2 ENCRYPTED ", "SSH2"),
            ("ANY OTHER ", "PKCS#8"),
        ];
        for (label, format) in rows {
            assert_eq!(format_of(&armour(label)), Some((1, format)), "{label}");
        }
    }

    #[test]
    fn a_private_key_is_recognised_however_it_was_pasted() {
        let key = armour("OPENSSH ");
        let utf16: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(private_key(&[b"\xff\xfe", utf16.as_slice()].concat()).is_some());
        let rows = [
            (format!("\u{feff}{key}"), 1),
            (format!("  \t{key}"), 1),
            (format!("\r\n\r\n{}", key.replace('\n', "\r\n")), 3),
            (key.replace('\n', "\r"), 1),
            (key.replace('\n', " "), 1),
            (format!("ssh-ed25519 AAAA me\n# mine:\n{key}"), 3),
            (key.replace("-----", "\u{2014}"), 1),
        ];
        for (text, line) in rows {
            assert_eq!(format_of(&text).map(|found| found.0), Some(line), "{text:?}");
        }
    }

    #[test]
    fn files_are_private_keys_by_how_their_lines_begin() {
        let key = armour("OPENSSH ");
        let utf16: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let with_mark = [b"\xff\xfe", utf16.as_slice()].concat();
        let rows = [
            (key.clone().into_bytes(), true),
            (with_mark, true),
            (format!("chain\r\n{}", key.replace('\n', "\r\n")).into_bytes(), true),
            (b"PuTTY-User-Key-File-3: ssh-ed25519\n".to_vec(), true),
            (format!("grep -q '{}' file\n", key.lines().next().unwrap()).into_bytes(), false),
            ([b"\x7fELF\0\0\n", key.as_bytes()].concat(), false),
            (b"-----BEGIN CERTIFICATE-----\n".to_vec(), false),
        ];
        for (bytes, expected) in rows {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert_eq!(private_file(&bytes).is_some(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_part_of_a_private_key_is_enough() {
        for text in [
            "-----BEGIN OPENSSH",
            "-----BEGIN RSA PRIV",
            "BEGIN EC PRIVATE KEY",
            "RIVATE KEY-----",
            "c2VjcmV0\n-----END OPENSSH PRI",
            "PRIVATE KEY-----\nc2VjcmV0",
            "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU",
            "DEK-Info: AES-128-CBC,00",
        ] {
            assert!(format_of(text).is_some(), "{text}");
        }
    }

    #[test]
    fn putty_and_version_1_files_are_also_private() {
        for (text, format) in [
            ("PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\n", "PuTTY"),
            ("Private-Lines: 1", "PuTTY"),
            ("SSH PRIVATE KEY FILE FORMAT 1.1\n", "SSH version 1"),
        ] {
            assert_eq!(format_of(text), Some((1, format)), "{text}");
        }
    }

    #[test]
    fn public_keys_and_talk_about_private_ones_are_not_private() {
        for text in [
            "ssh-ed25519 AAAA my private key",
            "# the PRIVATE KEY is on the token\nssh-ed25519 AAAA",
            "ssh-rsa AAAAPRIVBEGINEND me",
            "-----BEGIN PUBLIC KEY-----",
        ] {
            assert_eq!(format_of(text), None, "{text}");
        }
    }

    #[test]
    fn other_public_formats_come_with_the_command_that_converts_them() {
        let rows = [
            ("---- BEGIN SSH2 PUBLIC KEY ----", 1, "ssh-keygen -i -f FILE > FILE.pub"),
            ("\u{feff}---- BEGIN SSH2 PUBLIC KEY ----\r\n", 1, "ssh-keygen -i -f FILE > FILE.pub"),
            ("\n -----BEGIN PUBLIC KEY-----", 2, "-m PKCS8"),
            ("-----BEGIN RSA PUBLIC KEY-----", 1, "-m PEM"),
            ("-----BEGIN CERTIFICATE-----", 1, ".pub"),
        ];
        for (text, line, hint) in rows {
            let found = foreign(text.as_bytes()).unwrap();
            assert_eq!(found.line, line, "{text}");
            assert!(found.what.hint.contains(hint), "{text}");
        }
        assert_eq!(foreign(b"ssh-ed25519 AAAA -----BEGIN PUBLIC KEY-----"), None);
    }
}
