//! Splits a line of `authorized_keys` the way sshd does (sshd(8), `AUTHORIZED_KEYS FILE FORMAT`).

use super::fault::{LineError, shown_type};
use super::kind::Kind;

const BLANKS: [char; 2] = [' ', '\t'];

/// The parts of a line, as they stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) options: Option<&'a str>,
    pub(super) kind: &'static Kind,
    /// The type as written: plain or certificate.
    pub(super) name: &'a str,
    pub(super) data: &'a str,
    /// Empty if there is none; blanks inside are kept.
    pub(super) comment: &'a str,
}

impl<'a> Fields<'a> {
    /// Splits a line that is neither blank nor a comment.
    pub(super) fn parse(line: &'a str) -> Result<Self, LineError> {
        let line = line.trim_matches(BLANKS);
        if let Some(fields) = key(None, line) {
            return fields;
        }
        let end = end_of_options(line)?;
        let (options, rest) = line.split_at(end);
        key(Some(options), rest.trim_start_matches(BLANKS)).unwrap_or_else(|| Err(no_key_in(line)))
    }
}

/// Says whether nothing of this line is read, so that it is counted only.
pub(super) fn is_skipped(line: &str) -> bool {
    let line = line.trim_start_matches(BLANKS);
    line.is_empty() || line.starts_with('#')
}

/// Reads `type base64 comment`, or `None` if the text does not start with a type.
fn key<'a>(options: Option<&'a str>, text: &'a str) -> Option<Result<Fields<'a>, LineError>> {
    let (name, rest) = word(text);
    let kind = Kind::named(name)?;
    let (data, comment) = word(rest);
    if data.is_empty() {
        let problem = format!("found {name} alone, expected base64 data behind it");
        return Some(Err(LineError::malformed(
            problem,
            "put the whole line in one pair of quotes",
        )));
    }
    Some(Ok(Fields { options, kind, name, data, comment }))
}

/// Cuts off the first word and the blanks behind it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(BLANKS).unwrap_or((text, ""));
    (word, rest.trim_start_matches(BLANKS))
}

/// Finds the first blank outside quotes.
///
/// Like sshd this takes `\"` for no quote even outside of quotes, and `\\` for two characters.
fn end_of_options(line: &str) -> Result<usize, LineError> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' if escaped => {}
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return Ok(at),
            _ => {}
        }
        escaped = c == '\\';
    }
    if quoted {
        let problem = "found options with an opening quote only, expected a closing one";
        return Err(LineError::malformed(problem, "close the quote in front of the key type"));
    }
    Ok(line.len())
}

fn no_key_in(line: &str) -> LineError {
    let (first, rest) = word(line);
    if is_number(first) && rest.split(BLANKS).take(2).filter(|w| is_number(w)).count() == 2 {
        let problem = "found a key of SSH version 1, expected one of version 2";
        return LineError::weak(problem, "make a new key: ssh-keygen -t ed25519");
    }
    let problem = format!(
        "found {}, expected a key type such as ssh-ed25519, or options in front of one",
        shown_type(first)
    );
    LineError::malformed(problem, "copy the line of the .pub file as it is")
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> (Option<&str>, &str, &str, &str) {
        let fields = Fields::parse(line).unwrap();
        (fields.options, fields.name, fields.data, fields.comment)
    }

    #[test]
    fn a_line_splits_where_sshd_splits_it() {
        let rows = [
            ("ssh-ed25519 AAAA", (None, "AAAA", "")),
            ("ssh-ed25519 AAAA me@here", (None, "AAAA", "me@here")),
            ("  \t ssh-ed25519 \t AAAA  \t two  words \t", (None, "AAAA", "two  words")),
            ("ssh-ed25519\tAAAA\tme", (None, "AAAA", "me")),
            ("no-pty ssh-ed25519 AAAA me", (Some("no-pty"), "AAAA", "me")),
            ("no-pty\t\tssh-ed25519 AAAA", (Some("no-pty"), "AAAA", "")),
            (
                r#"command="ls -l ssh-ed25519 BBBB",no-pty ssh-ed25519 AAAA # no comment sign"#,
                (Some(r#"command="ls -l ssh-ed25519 BBBB",no-pty"#), "AAAA", "# no comment sign"),
            ),
            (
                r#"command="echo \"a b\"" ssh-ed25519 AAAA"#,
                (Some(r#"command="echo \"a b\"""#), "AAAA", ""),
            ),
            (
                "environment=\"A=b\tc\",from=\"10.0.0.0/8,*.lan\" ssh-ed25519 AAAA",
                (Some("environment=\"A=b\tc\",from=\"10.0.0.0/8,*.lan\""), "AAAA", ""),
            ),
        ];
        for (line, (options, data, comment)) in rows {
            assert_eq!(parts(line), (options, "ssh-ed25519", data, comment), "{line}");
        }
    }

    #[test]
    fn a_certificate_type_is_known_and_kept_as_written() {
        let fields = Fields::parse("ssh-rsa-cert-v01@openssh.com AAAA").unwrap();
        assert_eq!((fields.name, fields.kind.plain), ("ssh-rsa-cert-v01@openssh.com", "ssh-rsa"));
    }

    #[test]
    fn a_line_without_a_key_says_what_was_found() {
        let rows = [
            ("ssh-foo AAAA", "found ssh-foo, expected a key type"),
            ("rsa-sha2-512 AAAA", "found rsa-sha2-512, expected"),
            ("SSH-ED25519 AAAA", "found a word of 11 characters, expected"),
            ("c2VjcmV0c2VjcmV0", "found a word of 16 characters, expected"),
            ("command=ls -l ssh-ed25519 AAAA", "found a word of 10 characters, expected"),
            ("ssh-ed25519", "found ssh-ed25519 alone, expected base64"),
            ("no-pty ssh-ed25519  ", "found ssh-ed25519 alone, expected base64"),
            ("command=\"ls ssh-ed25519 AAAA", "opening quote only, expected a closing one"),
            (r#"command="a b\\" ssh-ed25519 AAAA"#, "opening quote only"), // `\\"` closes nothing in sshd
            ("1024 35 1234567 me", "SSH version 1, expected one of version 2"),
            ("1024 35", "found a word of 4 characters"),
        ];
        for (line, expected) in rows {
            let found = format!("{:?}", Fields::parse(line).unwrap_err());
            assert!(found.contains(expected), "{line}: {found}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_nothing_else() {
        for line in ["", " \t", "# ssh-ed25519 AAAA", "\t #"] {
            assert!(is_skipped(line), "{line:?}");
        }
        assert!(!is_skipped("ssh-ed25519 AAAA #"));
    }
}
