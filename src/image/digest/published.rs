//! Digests as they are published beside images: `sha256sum`'s lines, BSD's, or the digits alone.

use super::Digest;

/// Bytes of such a file.
pub const LARGEST: u64 = 1 << 20;

/// The digest that a list has for the file `name`; a list with one digest only may call it otherwise.
///
/// # Errors
/// What was looked for and found, in words.
pub fn find_digest(list: &str, name: &str) -> Result<Digest, String> {
    let lines: Vec<(Digest, Option<&str>)> = list.lines().filter_map(line).collect();
    let named: Vec<&(Digest, Option<&str>)> =
        lines.iter().filter(|(_, of)| of.is_some_and(|of| file_name(of) == name)).collect();
    match (named.as_slice(), lines.as_slice()) {
        ([(digest, _)], _) | ([], [(digest, None)]) => Ok(*digest),
        ([(first, _), rest @ ..], _) if rest.iter().all(|(digest, _)| digest == first) => {
            Ok(*first)
        }
        ([], []) => Err("no SHA-256 in it".to_owned()),
        ([], [(_, Some(other))]) => Err(format!("it is for {other}, not for {name}")),
        ([], _) => Err(format!("none of its {} digests is for {name}", lines.len())),
        _ => Err(format!("it has different digests for {name}")),
    }
}

/// The digest of a list, for what has no name: it must be the only one.
///
/// # Errors
/// What was found, in words.
pub fn only(list: &str) -> Result<Digest, String> {
    let lines: Vec<Digest> = list.lines().filter_map(line).map(|(digest, _)| digest).collect();
    match lines.as_slice() {
        [] => Err("no SHA-256 in it".to_owned()),
        [first, rest @ ..] if rest.iter().all(|digest| digest == first) => Ok(*first),
        all => Err(format!("it has {} digests, and what comes by a pipe has no name", all.len())),
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `HEX`, `HEX  NAME`, `HEX *NAME` or `SHA256 (NAME) = HEX`.
fn line(line: &str) -> Option<(Digest, Option<&str>)> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("SHA256 (") {
        let (name, digits) = rest.rsplit_once(") = ")?;
        return Some((digits.parse().ok()?, Some(name)));
    }
    match line.split_once([' ', '\t']) {
        None => Some((line.parse().ok()?, None)),
        Some((digits, name)) => {
            let name = name.trim_start();
            Some((digits.parse().ok()?, Some(name.strip_prefix('*').unwrap_or(name))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read_and_the_name_decides() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let found = |list: &str| find_digest(list, "x.iso").map(|digest| digest.to_string());
        for list in [
            format!("{a}\n"),
            format!("{a}  x.iso\n"),
            format!("{a} *x.iso"),
            format!("SHA256 (x.iso) = {a}\n"),
            format!("{b}  y.iso\n{a}  ./out/x.iso\n"),
            format!("# a comment\n\n{a}  x.iso\n{a}  x.iso\n"),
        ] {
            assert_eq!(found(&list), Ok(a.clone()), "{list}");
        }
        for list in [
            String::new(),
            "no digest".to_owned(),
            format!("{a}  y.iso\n"),
            format!("{a}  y.iso\n{b}  z.iso"),
            format!("{a}  x.iso\n{b}  x.iso"),
            format!("{a}\n{b}\n"),
        ] {
            assert!(found(&list).is_err(), "{list}");
        }
    }
}
