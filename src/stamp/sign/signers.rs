//! Who may sign: the file of `ssh-keygen -Y verify -f` (ssh-keygen(1), "ALLOWED SIGNERS").
//!
//! A line is `PRINCIPALS [OPTIONS] TYPE KEY [COMMENT]`. Of the options, `namespaces` counts here; lines
//! with `cert-authority`, `valid-after` or `valid-before` let nobody in, as neither certificates nor a
//! clock are looked at.

use ssh_key::PublicKey;

use super::NAMESPACE;
use crate::error::{Error, Result};

/// The principals of the line that lets a key sign manifests.
///
/// # Errors
/// [`Error::Signature`] if no line does, with the lines that were not understood.
pub fn principals(text: &str, key: &PublicKey) -> Result<String> {
    let mut skipped = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match allowed(line) {
            Some((principals, found)) if found.key_data() == key.key_data() => {
                return Ok(principals);
            }
            Some(_) => {}
            None => skipped.push(number.to_string()),
        }
    }
    let mut what = format!(
        "the manifest is signed by {}, which is not one of the allowed signers",
        key.fingerprint(ssh_key::HashAlg::Sha256)
    );
    if !skipped.is_empty() {
        what = format!("{what} (lines that cannot be used: {})", skipped.join(", "));
    }
    let hint = "if you trust that key, add a line with it to the file, as `alice@example.org ssh-ed25519 AAAA…`";
    Err(Error::Signature { what, hint: hint.into() })
}

/// The principals and the key of a line; none if it lets nobody sign manifests.
fn allowed(line: &str) -> Option<(String, PublicKey)> {
    let mut words = words(line)?;
    let principals = words.next()?.trim_matches('"').to_owned();
    let mut word = words.next()?;
    if !is_type(word) {
        if !option_list(word)?.iter().all(|option| may_sign(option)) {
            return None;
        }
        word = words.next()?;
    }
    let key = PublicKey::from_openssh(&format!("{word} {}", words.next()?)).ok()?;
    Some((principals, key))
}

fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
}

/// Whether an option allows our namespace.
fn may_sign(option: &str) -> bool {
    let Some((name, value)) = option.split_once('=') else { return false };
    let patterns = value.trim_matches('"');
    name.eq_ignore_ascii_case("namespaces") && matches(patterns, NAMESPACE)
}

/// Whether a list of patterns takes a text: `*` and `?` stand for others, `!` denies (`ssh_config(5)`,
/// PATTERNS).
fn matches(patterns: &str, text: &str) -> bool {
    let mut taken = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(denied) if glob(denied.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => taken |= glob(pattern.as_bytes(), text.as_bytes()),
        }
    }
    taken
}

/// Whether one pattern takes a text. Of several `*`, only the last one that was met can have to take more: patterns come
/// from outside, and trying all of them would take for ever.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // What stands behind the last `*`, and the text that it has not taken.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (rest.split_first(), left.split_first()) {
            (Some((b'*', behind)), _) => {
                star = Some((behind, left));
                rest = behind;
            }
            (Some((one, behind)), Some((other, after))) if *one == b'?' || one == other => {
                (rest, left) = (behind, after);
            }
            (None, None) => return true,
            _ => {
                let Some((behind, [_, less @ ..])) = star else { return false };
                star = Some((behind, less));
                (rest, left) = (behind, less);
            }
        }
    }
}

/// The words of a line; blanks in double quotes part none. None if a quote is not closed.
fn words(line: &str) -> Option<impl Iterator<Item = &str>> {
    split(line, |c| c == ' ' || c == '\t')
}

fn option_list(word: &str) -> Option<Vec<&str>> {
    split(word, |c| c == ',').map(Iterator::collect)
}

fn split(text: &str, apart: fn(char) -> bool) -> Option<impl Iterator<Item = &str>> {
    let mut quoted = false;
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        quoted ^= c == '"';
        if !quoted && apart(c) {
            parts.push(text.get(start..at)?);
            start = at.saturating_add(1);
        }
    }
    parts.push(text.get(start..)?);
    (!quoted).then(|| parts.into_iter().filter(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAl85n2WKjh7IlsRKJ6hYPR8AWPFWuRJhzKtg3w";

    fn found(line: &str) -> Option<String> {
        principals(&format!("# c\n\n{line}\n"), &PublicKey::from_openssh(KEY).unwrap()).ok()
    }

    #[test]
    fn lines_let_their_keys_sign() {
        assert_eq!(found(&format!("a@b,c@* {KEY} some comment")).unwrap(), "a@b,c@*");
        assert_eq!(found(&format!("a namespaces=\"git,manifest@*\" {KEY}")).unwrap(), "a");
        assert_eq!(found(&format!("\"a b\" {KEY}")).unwrap(), "a b");
    }

    #[test]
    fn others_do_not() {
        for line in [
            KEY.to_owned(),
            format!("a namespaces=\"git\" {KEY}"),
            format!("a namespaces=\"*,!manifest@*\" {KEY}"),
            format!("a cert-authority {KEY}"),
            format!("a namespaces=\"*\",valid-before=\"20200101\" {KEY}"),
            format!("a namespaces=\"* {KEY}"),
            "a ssh-ed25519 AAAA".to_owned(),
        ] {
            assert_eq!(found(&line), None, "{line}");
        }
    }

    #[test]
    fn patterns_take_what_ssh_takes() {
        for (pattern, text, taken) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a", "", false),
            ("?", "", false),
            ("?", "*", true),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxa", false),
            ("a*b?c*", "ab1c", true),
            ("a*b?c*", "abb1cc", true),
            ("a*b?c*", "abc", false),
            ("**?", "a", true),
            ("manifest@*", "manifest@remaster", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), taken, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_answered_at_once() {
        let stars = "*".repeat(60);
        assert!(!matches(&format!("{stars}x"), NAMESPACE));
        assert!(!matches(&format!("{}x", "*a".repeat(5000)), &"a".repeat(10_000)));
        assert!(matches(&format!("x,{stars}"), NAMESPACE));
        assert_eq!(found(&format!("a namespaces=\"{stars}x\" {KEY}")), None);
    }
}
