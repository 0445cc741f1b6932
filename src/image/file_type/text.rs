//! What a text is that was given as an image: most often a page that says that the image is elsewhere.

use super::magic::{ANY, Other};
use crate::error::Advice;

/// Bytes that tell what a text is.
const LOOKED_AT: usize = 4096;

/// Characters of a SHA-256, the shortest digest that lists of published images have.
const SHA256: usize = 64;

const WEB_PAGE: Other = Other::named(
    "a web page",
    "look at it in a browser: the server sent a page instead of the image; download the image by its direct link",
);

/// How a text begins, in lower case.
const BEGINNINGS: &[(&str, Other)] = &[
    ("<!doctype html", WEB_PAGE),
    ("<html", WEB_PAGE),
    ("<head", WEB_PAGE),
    ("<body", WEB_PAGE),
    ("<script", WEB_PAGE),
    ("<title", WEB_PAGE),
    ("<", Other::named("an XML document", ANY)),
    ("#!", Other::named("a script", ANY)),
    ("ssh-", KEY),
    ("ecdsa-sha2-", KEY),
    ("sk-ssh-", KEY),
    ("sk-ecdsa-", KEY),
    ("-----begin pgp sig", SIGNATURE),
    ("-----begin ssh sig", SIGNATURE),
    ("-----begin openssh private key", PRIVATE_KEY),
    ("-----begin private key", PRIVATE_KEY),
    ("-----begin encrypted private key", PRIVATE_KEY),
    ("-----begin rsa private key", PRIVATE_KEY),
    ("-----begin ec private key", PRIVATE_KEY),
    ("-----begin dsa private key", PRIVATE_KEY),
    ("putty-user-key-file", PRIVATE_KEY),
    ("-----begin certificate", Other::named("a certificate", ANY)),
    ("-----begin", Other::named("a key or certificate", ANY)),
    (
        "version https://git-lfs",
        Other::named("a pointer of Git LFS", "fetch the file itself with `git lfs pull`"),
    ),
];

const PRIVATE_KEY: Other = Other::named("a private key", ANY);
const KEY: Other = Other::with("an ssh key", Advice::KeyAsKey);
const SIGNATURE: Other = Other::named("a signature", "give the image that it signs");

/// What a file of text is; none if it is not text.
pub(super) fn find(head: &[u8]) -> Option<Other> {
    let text = text(head)?;
    let lower = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let is_page = lower.starts_with("<?xml") && lower.contains("<html");
    if is_page {
        return Some(WEB_PAGE);
    }
    let known = BEGINNINGS.iter().find(|(beginning, _)| lower.starts_with(beginning));
    Some(match known {
        Some((_, other)) => other.clone(),
        None if is_checksums(&lower) => Other::with("a list of checksums", Advice::ImageOfList),
        None if is_json(&lower) => Other::named("a JSON document", ANY),
        None => Other::named("a text file", ANY),
    })
}

/// The beginning, if all of it can be read as text.
fn text(head: &[u8]) -> Option<&str> {
    let start = head.get(..LOOKED_AT).unwrap_or(head);
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character that is cut at the end of what is looked at.
        Err(fault) if fault.error_len().is_none() => {
            std::str::from_utf8(start.get(..fault.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_plain = |c: char| !c.is_control() || "\t\n\r\u{c}\u{1b}".contains(c);
    (!text.is_empty() && text.chars().all(is_plain)).then_some(text)
}

/// As `sha256sum` writes them, or with `--tag`.
fn is_checksums(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_digest = first.len() >= SHA256 && first.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest || ["sha256 (", "sha512 ("].iter().any(|tag| text.starts_with(tag))
}

/// An object, or a list of values; a table of a TOML document begins with a bracket, too.
fn is_json(text: &str) -> bool {
    let follows = |bracket: char, any_of: &str| {
        let rest = text.strip_prefix(bracket).map(str::trim_start);
        rest.and_then(|rest| rest.chars().next()).is_some_and(|next| any_of.contains(next))
    };
    follows('{', "\"}") || follows('[', "{\"]-0123456789")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &[u8]) -> Option<String> {
        find(text).map(|other| other.is())
    }

    #[test]
    fn a_text_is_one_whose_last_character_is_cut_off_and_not_one_with_other_bytes() {
        let cut = format!("{}\u{e9}", "x".repeat(LOOKED_AT - 1));
        assert_eq!(name(cut.as_bytes()).as_deref(), Some("is a text file"));
        assert_eq!(name(b"text \xff and more"), None);
        assert_eq!(name(b"text \0 and more"), None);
    }

    #[test]
    fn lists_of_checksums_are_known_in_both_forms() {
        let digest = "0123456789abcdef".repeat(4);
        for (text, is_list) in [
            (format!("{digest}  nixos.iso\n"), true),
            (format!("{digest}{digest} *nixos.iso\n"), true),
            (format!("SHA256 (nixos.iso) = {digest}\n"), true),
            (format!("{}  nixos.iso\n", &digest[1..]), false),
            (format!("{}g  nixos.iso\n", &digest[1..]), false),
        ] {
            let found = name(text.as_bytes()).unwrap();
            assert_eq!(found == "is a list of checksums", is_list, "{text}: {found}");
        }
    }
}
