//! Boot menus: their entries, and where in the text each word stands that an edit changes.

pub mod grub;
pub mod isolinux;
pub mod script;

use std::ops::Range;

use crate::formats::credential;
pub(crate) use script::passes_over;
pub use script::{EntryBudget, IncludedFile, Root, RootChange, Script, UnreadCommand};

/// What a loader puts in front of the kernel's arguments.
const BOOT_IMAGE: &str = "BOOT_IMAGE=";

/// A word of a boot config and its place in the text, in bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Word {
    /// What the loader reads, without quotes.
    pub text: String,
    /// Where it stands.
    pub at: Range<usize>,
}

impl Word {
    /// Bytes of its text.
    fn size(&self) -> usize {
        self.text.len()
    }

    /// Whether it stands in the text as the loader reads it, without quotes.
    fn is_plain(&self) -> bool {
        self.at.len() == self.text.len()
    }

    /// Words that follow each other as one, with single blanks between them.
    fn joined(words: &[Self]) -> Option<Self> {
        let (first, last) = (words.first()?, words.last()?);
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        Some(Self { text: texts.join(" "), at: first.at.start..last.at.end })
    }
}

/// A menu entry that starts NixOS: one with `init=` on its kernel line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Titles from the outermost menu down to the entry.
    pub title: Vec<String>,
    /// Where the entry's own title stands, with its quotes.
    pub title_at: Option<Range<usize>>,
    /// The name by which isolinux starts it.
    pub label: Option<Word>,
    /// The kernel.
    pub kernel: Word,
    /// The kernel's arguments.
    pub arguments: Vec<Word>,
    /// The initrds, in the order they are unpacked. Empty where the entry has none.
    pub initrds: Vec<Word>,
}

impl Entry {
    /// The texts of its arguments.
    pub fn words(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.arguments.iter().map(|word| word.text.as_str())
    }

    /// The `init=` argument.
    pub fn init(&self) -> Option<&str> {
        self.arguments.iter().find_map(|word| word.text.strip_prefix("init="))
    }

    /// Titles down to the entry as one text.
    pub fn path(&self) -> String {
        self.title.join(" > ")
    }
}

/// What a boot config says for all its entries. Words have the value as text and stand where all of the
/// setting does: `timeout=10` in GRUB, `100` in isolinux.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// How long the menu waits.
    pub timeout: Vec<Word>,
    /// What it starts then.
    pub default: Vec<Word>,
    /// The serial ports it talks at: the words behind `serial`.
    pub serial: Vec<Word>,
    /// Directives of isolinux that overrule those above.
    pub overruling: Vec<Word>,
    /// Ends of GRUB's submenus that choose their terminals again.
    pub terminals: Vec<usize>,
}

impl Settings {
    fn words(&self) -> impl Iterator<Item = &Word> {
        [&self.timeout, &self.default, &self.serial, &self.overruling].into_iter().flatten()
    }
}

/// A change of a text: what stands `at` these bytes becomes `new`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The bytes that go; none for an insertion.
    pub at: Range<usize>,
    /// What comes.
    pub new: String,
}

impl Change {
    /// Puts something in.
    pub fn insert(at: usize, new: impl Into<String>) -> Self {
        Self { at: at..at, new: new.into() }
    }

    /// Replaces something.
    pub fn replace(at: Range<usize>, new: impl Into<String>) -> Self {
        Self { at, new: new.into() }
    }
}

/// The text with changes that do not overlap; of two at one place the first one comes first. Everything
/// else stays byte for byte. None if they overlap or lie outside.
pub fn changed(text: &str, mut changes: Vec<Change>) -> Option<String> {
    changes.sort_by_key(|change| (change.at.start, change.at.end));
    let (mut new, mut done) = (String::new(), 0);
    for change in changes {
        new.push_str(text.get(done..change.at.start)?);
        new.push_str(&change.new);
        done = change.at.end;
    }
    new.push_str(text.get(done..)?);
    Some(new)
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
    /// The language of a boot menu. The name decides if loaders look for it, else the first words of the lines. None if the
    /// text is not a boot menu.
    pub fn recognize(path: &str, text: &str) -> Option<Self> {
        let first_words = || text.lines().filter_map(|line| line.split_whitespace().next());
        let is_grub = || first_words().any(|word| word == "menuentry" || word == "submenu");
        let is_isolinux = || first_words().any(|word| word.eq_ignore_ascii_case("label"));
        let by_words = || is_isolinux().then_some(Self::Isolinux);
        Self::of_name(path).or_else(|| if is_grub() { Some(Self::Grub) } else { by_words() })
    }

    /// The language of a file that loaders look for by its name.
    pub fn of_name(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "grub.cfg" | "loopback.cfg" => Some(Self::Grub),
            "isolinux.cfg" | "syslinux.cfg" | "extlinux.conf" => Some(Self::Isolinux),
            _ => None,
        }
    }

    /// Reads a text.
    pub fn read(self, text: &str, budget: &mut EntryBudget) -> Script {
        let mut script = match self {
            Self::Grub => grub::read(text, budget),
            Self::Isolinux => isolinux::read(text, budget),
        };
        if !script.settings.words().all(|word| budget.take_word(word.size())) {
            script.overflow(script::Limit::Entries);
        }
        script
    }

    /// The entries of a text that start NixOS.
    pub fn entries(self, text: &str) -> Vec<Entry> {
        let all = self.read(text, &mut EntryBudget::default()).entries;
        all.into_iter().filter(|entry| entry.init().is_some()).collect()
    }

    /// What a text says for all its entries.
    pub fn settings(self, text: &str) -> Settings {
        self.read(text, &mut EntryBudget::default()).settings
    }

    /// All words of a text that are not titles.
    pub fn words(self, text: &str) -> Vec<Word> {
        self.read(text, &mut EntryBudget::default()).words
    }

    /// A kernel argument as it is written, if it can be: the kernel gets `key=a b` as one argument with
    /// quotes around it (Linux `lib/cmdline.c`, `next_arg`), and GRUB writes backslashes before quotes and
    /// backslashes (GRUB `grub-core/lib/cmdline.c`), which the kernel does not take away.
    pub fn argument(self, text: &str) -> Option<String> {
        let shown = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        if !shown || text.is_empty() || text.contains(['"', '\'', '\\']) {
            return None;
        }
        Some(match self {
            Self::Grub => grub::quoted(text),
            Self::Isolinux if text.contains(' ') => format!("\"{text}\""),
            Self::Isolinux => text.to_owned(),
        })
    }

    /// Bytes of the command line that the kernel gets from an entry, with what the loader adds and the
    /// byte that ends it. Variables of GRUB count as they are written. What an INITRD line names stands behind all of it in
    /// isolinux, where nobody reads it any more, and a line that is too long loses it first (`com32/lib/syslinux/load_linux.c`,
    /// which takes one byte less than the kernel).
    pub fn command_line(self, entry: &Entry) -> usize {
        let quotes = |word: &Word| if word.text.contains(' ') { 2 } else { 0 };
        let length = |word: &Word| word.text.len().saturating_add(quotes(word)).saturating_add(1);
        let arguments =
            entry.arguments.iter().fold(0, |sum: usize, word| sum.saturating_add(length(word)));
        let image = BOOT_IMAGE.len().saturating_add(entry.kernel.text.len()).saturating_add(1);
        let sum = image.saturating_add(arguments);
        match self {
            Self::Grub => sum,
            Self::Isolinux => sum.saturating_add(1),
        }
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

/// The change that puts `more` initrds behind the last one of an entry; none if it has no initrd.
pub fn with_initrds(syntax: Syntax, entry: &Entry, more: &[String]) -> Option<Change> {
    let last = entry.initrds.last()?;
    let (separator, device) = (syntax.separator(), device(&last.text));
    let added: Vec<String> = more.iter().map(|path| format!("{separator}{device}{path}")).collect();
    Some(Change::insert(last.at.end, added.concat()))
}

/// A kernel argument for the user to read: passwords and what credentials hold are left out, but for keys.
pub(crate) fn redacted(argument: &str) -> String {
    if let Some(shown) = credential::redacted(argument) {
        return shown;
    }
    match argument.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("passw") => format!("{name}=…"),
        _ => argument.to_owned(),
    }
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

    #[test]
    fn changes_are_made_in_order_and_leave_the_rest() {
        let changes = vec![
            Change::replace(4..5, "X"),
            Change::insert(2, "a"),
            Change::insert(2, "b"),
            Change::replace(5..6, ""),
        ];
        assert_eq!(changed("0123456", changes).unwrap(), "01ab23X6");
        let overlapping = vec![Change::replace(1..3, ""), Change::replace(2..4, "")];
        assert_eq!(changed("0123456", overlapping), None);
        assert_eq!(changed("0", vec![Change::insert(2, "")]), None);
    }

    #[test]
    fn an_argument_is_written_so_that_the_loader_reads_it_or_not_at_all() {
        for text in ["quiet", "a=b", "a=$b", "a=b;c", "a={x}", "a=b c", "a=#", "a=*&|<>~!`", "é"] {
            let menus = [
                (Syntax::Grub, "menuentry x {\n linux /k init=/i @\n initrd /r\n}\n"),
                (Syntax::Isolinux, "LABEL x\nLINUX /k\nAPPEND init=/i @\nINITRD /r\n"),
            ];
            for (syntax, menu) in menus {
                let Some(written) = syntax.argument(text) else {
                    assert_eq!(text, "é");
                    continue;
                };
                let found = syntax.entries(&menu.replace('@', &written));
                let words: Vec<&str> = found[0].arguments.iter().map(|w| w.text.as_str()).collect();
                assert_eq!(words, ["init=/i", text], "{syntax:?}");
                assert_eq!(found[0].initrds.len(), 1);
            }
        }
        for text in ["", "a'b", "a\"b", "a\\b", "a\nb", "a\tb", "\0"] {
            assert_eq!(
                (Syntax::Grub.argument(text), Syntax::Isolinux.argument(text)),
                (None, None)
            );
        }
    }

    #[test]
    fn a_command_line_is_as_long_as_the_kernel_gets_it() {
        let grub = "menuentry x {\n linux /boot/k init=/i 'a=b c'\n initrd /r\n}\n";
        let found = Syntax::Grub.entries(grub);
        let line = "BOOT_IMAGE=/boot/k init=/i \"a=b c\"";
        assert_eq!(Syntax::Grub.command_line(&found[0]), line.len() + 1);
        let isolinux = "LABEL x\nLINUX /boot/k\nAPPEND init=/i \"a=b c\"\nINITRD /r,/s\n";
        let found = Syntax::Isolinux.entries(isolinux);
        let line = "BOOT_IMAGE=/boot/k init=/i \"a=b c\"";
        assert_eq!(Syntax::Isolinux.command_line(&found[0]), line.len() + 2);
    }
}
