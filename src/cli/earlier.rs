//! Files of an earlier run that another run may write again, as it loses nothing by that: they hold only what such runs
//! write.

use std::collections::BTreeSet;
use std::path::Path;

use remaster::bounded;
use serde_json::Value;

/// Bytes of such a file that are read: the lines of a hundred thousand machines.
const LARGEST: u64 = 64 << 20;

/// The text of a file that holds only what `is_own` takes; none of another one, or where there is no file.
pub(super) fn text(path: &Path, is_own: fn(&str) -> bool) -> Option<String> {
    let text = path.is_file().then(|| bounded::read_text(path, LARGEST, "read it").ok())?;
    text.filter(|text| is_own(text))
}

/// Whether a text is that of a `known_hosts` file with nothing but lines of a name and a key.
pub(super) fn is_known_hosts(text: &str) -> bool {
    text.lines().all(|line| name(line).is_some())
}

/// The name of a line of one name and one key.
fn name(line: &str) -> Option<&str> {
    let (name, key) = line.split_once(' ')?;
    let is_plain = !name.is_empty() && !name.contains(['#', '@', '|', ',', '*', '?', '!']);
    let is_key = key.split(' ').count() == 2 && ssh_key::PublicKey::from_openssh(key).is_ok();
    (is_plain && is_key).then_some(name)
}

/// Whether a text is that of a file of users that failed.
pub(super) fn is_failures(text: &str) -> bool {
    let is_own = |line: &str| {
        let read = serde_json::from_str::<Value>(line);
        read.is_ok_and(|user| {
            ["name", "place", "error", "status"].iter().all(|key| user.get(key).is_some())
        })
    };
    text.lines().all(is_own)
}

/// The lines of a new `known_hosts` file, and behind them those of the old one that are of other machines. And the names
/// of which another key goes.
pub(super) fn joined<'a>(old: &'a str, new: &str) -> (String, BTreeSet<&'a str>) {
    let now: BTreeSet<&str> = new.lines().collect();
    let names: BTreeSet<&str> = new.lines().filter_map(name).collect();
    let (mut text, mut gone) = (new.to_owned(), BTreeSet::new());
    for line in old.lines().filter(|line| !now.contains(line)) {
        match name(line).filter(|name| names.contains(name)) {
            Some(name) => {
                gone.insert(name);
            }
            None => text.extend([line, "\n"]),
        }
    }
    (text, gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAim24y7KzKx9zq5jeWee7v47ILBaQjjZEmkGa1XUEWu";
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf6xKe8VejdUN5agcko3glA4q1r8KhfjAkRGkOUiBuo";

    #[test]
    fn only_plain_lines_are_of_an_earlier_run() {
        assert!(is_known_hosts("") && is_known_hosts(&format!("a {KEY}\nb {OTHER}\n")));
        for line in [
            format!("a,b {KEY}"),
            format!("# a {KEY}"),
            format!("@revoked a {KEY}"),
            format!("a {KEY} comment"),
            "a ssh-ed25519 AAAA".to_owned(),
            String::new() + "\n",
        ] {
            assert!(!is_known_hosts(&format!("a {KEY}\n{line}\n")), "{line}");
        }
        let failed =
            "{\"name\":\"a\",\"place\":\"u:1\",\"error\":\"e\",\"hint\":null,\"status\":2}\n";
        assert!(is_failures("") && is_failures(failed));
        assert!(!is_failures("my notes\n") && !is_failures("{\"name\":\"a\"}\n"));
    }

    #[test]
    fn lines_of_other_machines_stay() {
        let old = format!("a {KEY}\nb {KEY}\nc {KEY}\n");
        let (text, gone) = joined(&old, &format!("b {OTHER}\nc {KEY}\n"));
        assert_eq!(text, format!("b {OTHER}\nc {KEY}\na {KEY}\n"));
        assert_eq!(gone, BTreeSet::from(["b"]));
    }
}
