//! Boot menus: their entries, and where in the text each word stands that an edit changes.

pub mod grub;
pub mod isolinux;

use std::ops::Range;

/// A word of a boot config and its place in the text, in bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// What the loader reads, without quotes.
    pub text: String,
    /// Where it stands.
    pub at: Range<usize>,
}

/// A menu entry that starts NixOS: one with `init=` on its kernel line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Titles from the outermost menu down to the entry.
    pub title: Vec<String>,
    /// The kernel.
    pub kernel: Word,
    /// The kernel's arguments.
    pub arguments: Vec<Word>,
    /// The initrds, in the order they are unpacked. Empty where the entry has none.
    pub initrds: Vec<Word>,
}

impl Entry {
    /// The `init=` argument.
    pub fn init(&self) -> Option<&str> {
        self.arguments.iter().find_map(|word| word.text.strip_prefix("init="))
    }
}

/// The language of a boot config.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Syntax {
    /// GRUB 2 script.
    Grub,
    /// SYSLINUX, ISOLINUX, EXTLINUX.
    Isolinux,
}

impl Syntax {
    /// Tells by the words that start lines; none for a text that is no boot menu.
    pub fn of(text: &str) -> Option<Self> {
        let first_words = || text.lines().filter_map(|line| line.split_whitespace().next());
        if first_words().any(|word| word == "menuentry" || word == "submenu") {
            return Some(Self::Grub);
        }
        if first_words().any(|word| word.eq_ignore_ascii_case("label")) {
            return Some(Self::Isolinux);
        }
        None
    }

    /// The entries of a text that start NixOS.
    pub fn entries(self, text: &str) -> Vec<Entry> {
        let all = match self {
            Self::Grub => grub::entries(text),
            Self::Isolinux => isolinux::entries(text),
        };
        all.into_iter().filter(|entry| entry.init().is_some()).collect()
    }

    /// What stands between two initrds.
    pub fn separator(self) -> &'static str {
        match self {
            Self::Grub => " ",
            Self::Isolinux => ",",
        }
    }
}

/// A path in a menu as a path on the volume: no device before it, no doubled slash.
pub fn volume_path(word: &str) -> String {
    let path =
        word.split_once(')').filter(|_| word.starts_with('(')).map_or(word, |(_, path)| path);
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

/// The device that a path in a menu names before it, as `($root)`.
pub fn device(word: &str) -> &str {
    let end = word.find(')').filter(|_| word.starts_with('('));
    end.and_then(|end| word.get(..=end)).unwrap_or_default()
}

/// The text with `more` initrds behind the last one of every entry. `entries` are of this text.
pub fn with_initrds(
    text: &str,
    syntax: Syntax,
    entries: &[Entry],
    more: impl Fn(&Entry) -> Vec<String>,
) -> String {
    let mut places: Vec<(usize, String)> =
        entries.iter().filter_map(|entry| addition(syntax, entry, &more)).collect();
    places.sort();
    let mut new = String::new();
    let mut done = 0;
    for (at, added) in places {
        new.push_str(text.get(done..at).unwrap_or_default());
        new.push_str(&added);
        done = at;
    }
    new.push_str(text.get(done..).unwrap_or_default());
    new
}

fn addition(
    syntax: Syntax,
    entry: &Entry,
    more: &impl Fn(&Entry) -> Vec<String>,
) -> Option<(usize, String)> {
    let last = entry.initrds.last()?;
    let added: Vec<String> = more(entry)
        .iter()
        .map(|path| format!("{}{}{path}", syntax.separator(), device(&last.text)))
        .collect();
    Some((last.at.end, added.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_devices_and_doubled_slashes() {
        for (word, path) in [
            ("/boot//nix/store/x/initrd", "/boot/nix/store/x/initrd"),
            ("($root)/boot/initrd", "/boot/initrd"),
            ("(hd0,gpt2)/a", "/a"),
            ("boot/./initrd", "/boot/initrd"),
        ] {
            assert_eq!(volume_path(word), path);
        }
        assert_eq!(device("($root)/boot/initrd"), "($root)");
        assert_eq!(device("/boot/initrd"), "");
    }
}
