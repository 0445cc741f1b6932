//! Who may sign: the file of `ssh-keygen -Y verify -f` (ssh-keygen(1), "ALLOWED SIGNERS").
//!
//! A line is `PRINCIPALS [OPTIONS] TYPE KEY [COMMENT]`. Of the options, `namespaces` counts here; lines
//! with `cert-authority`, `valid-after` or `valid-before` let nobody in, as neither certificates nor a
//! clock are looked at.

use ssh_key::PublicKey;

use super::NAMESPACE;
use crate::error::{Error, Result};

/// What a line does for a key.
enum Line {
    /// It lets these principals sign by it.
    Allows(String),
    /// It has the key, but one of its options excludes this signature.
    Excludes(Excluded),
    /// It is about another key.
    Other,
    /// It is not understood.
    Unreadable,
}

/// Why a line with a key does not count.
enum Excluded {
    /// By the option that limits what signatures are for.
    Namespaces(String),
    /// By an option with a date.
    Date(String),
    /// By `cert-authority`.
    Authority,
    /// By an option that is not known.
    Unknown(String),
}

impl Excluded {
    /// Why an option excludes its line; none where it does not.
    fn by(option: &str) -> Option<Self> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "namespaces" => {
                let patterns = value.trim_matches('"');
                (!matches(patterns, NAMESPACE)).then(|| Self::Namespaces(patterns.to_owned()))
            }
            "valid-before" | "valid-after" => Some(Self::Date(name)),
            "cert-authority" => Some(Self::Authority),
            _ => Some(Self::Unknown(name)),
        }
    }

    /// What is said of line `number`, and what to do.
    fn told(&self, number: usize) -> (String, String) {
        match self {
            Self::Namespaces(patterns) => (
                format!(
                    "line {number} has it for the namespaces {patterns:?} alone, and manifests are of {NAMESPACE}"
                ),
                format!(
                    "if you trust that key for images, add {NAMESPACE} to `namespaces` in line {number}"
                ),
            ),
            Self::Date(option) => (
                format!(
                    "line {number} has it with `{option}`, and lines with dates do not count, as no clock is looked at"
                ),
                format!(
                    "if you trust that key today, give a file in which line {number} has no `{option}`"
                ),
            ),
            Self::Authority => (
                format!(
                    "line {number} has it with `cert-authority`, for certificates alone, and none is looked at"
                ),
                format!(
                    "if you trust that key itself, add a line with it and without `cert-authority`; line {number} may stay"
                ),
            ),
            Self::Unknown(option) => (
                format!("line {number} has it with `{option}`, an option that is not known"),
                format!(
                    "if you trust that key, give a file in which line {number} has no `{option}`"
                ),
            ),
        }
    }
}

/// The principals of the line that lets a key sign manifests.
///
/// # Errors
/// [`Error::Signature`] if no line does, with the lines that have the key, or were not understood.
pub fn principals(text: &str, key: &PublicKey) -> Result<String> {
    let (mut excluded, mut unreadable) = (Vec::new(), Vec::new());
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match read(line, key) {
            Line::Allows(principals) => return Ok(principals),
            Line::Excludes(why) => excluded.push(why.told(number)),
            Line::Other => {}
            Line::Unreadable => unreadable.push(number.to_string()),
        }
    }
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256);
    let signed = format!("the manifest is signed by {fingerprint}");
    if let Some((_, hint)) = excluded.first() {
        let all: Vec<&str> = excluded.iter().map(|(why, _)| why.as_str()).collect();
        let what = format!("{signed}, which no line lets sign: {}", all.join("; "));
        return Err(Error::Signature { what, hint: hint.clone().into() });
    }
    let mut what = format!("{signed}, which is not one of the allowed signers");
    if !unreadable.is_empty() {
        what = format!("{what} (lines that cannot be read: {})", unreadable.join(", "));
    }
    let hint = "if you trust that key, add a line with it to the file, as `alice@example.org ssh-ed25519 AAAA…`";
    Err(Error::Signature { what, hint: hint.into() })
}

/// What a line does for a key that signed a manifest.
fn read(line: &str, key: &PublicKey) -> Line {
    let Some((principals, options, found)) = parsed(line) else { return Line::Unreadable };
    if found.key_data() != key.key_data() {
        return Line::Other;
    }
    match options.iter().find_map(|option| Excluded::by(option)) {
        Some(why) => Line::Excludes(why),
        None => Line::Allows(principals),
    }
}

/// The principals, the options and the key of a line.
fn parsed(line: &str) -> Option<(String, Vec<&str>, PublicKey)> {
    let mut words = words(line)?;
    let principals = words.next()?.trim_matches('"').to_owned();
    let mut word = words.next()?;
    let mut options = Vec::new();
    if !is_type(word) {
        options = option_list(word)?;
        word = words.next()?;
    }
    let key = PublicKey::from_openssh(&format!("{word} {}", words.next()?)).ok()?;
    Some((principals, options, key))
}

fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
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
    fn a_line_with_the_key_that_does_not_count_is_named_with_its_option() {
        for (options, words, hint) in [
            (
                "namespaces=\"git,file\"",
                "namespaces \"git,file\" alone",
                "add manifest@remaster to",
            ),
            ("valid-before=\"20200101\"", "with `valid-before`", "line 2 has no `valid-before`"),
            ("Valid-After=\"29990101\"", "with `valid-after`", "line 2 has no `valid-after`"),
            ("namespaces=\"*\",valid-before=\"1\"", "with `valid-before`", "line 2 has no"),
            (
                "cert-authority",
                "with `cert-authority`, for certificates alone",
                "and without `cert-",
            ),
            ("something", "with `something`, an option that is not known", "line 2 has no `some"),
        ] {
            let text = format!("x y z\na {options} {KEY}\n");
            let found = principals(&text, &PublicKey::from_openssh(KEY).unwrap());
            let Err(Error::Signature { what, hint: told }) = found else { panic!("{options}") };
            let told = format!("{told:?}");
            assert!(what.contains(words) && what.contains("line 2 has it"), "{what}");
            assert!(told.contains(hint) && !told.contains("AAAA"), "{told}");
        }
        let other = principals("x y z\n", &PublicKey::from_openssh(KEY).unwrap());
        let Err(Error::Signature { what, .. }) = other else { panic!() };
        assert!(what.ends_with("not one of the allowed signers (lines that cannot be read: 1)"));
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
