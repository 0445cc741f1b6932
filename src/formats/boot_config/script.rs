//! The result of reading a boot config: entries, includes, and the first command that may start NixOS unread.

use super::{Entry, Settings, Word};

/// Bytes that the entries and settings of all menus of an image may take, 2 KiB for each of them counted; official ones take
/// some 250 KB.
pub const LARGEST_ENTRIES: usize = 8 << 20;

/// What an entry takes beside its words, and a word beside its bytes.
const ENTRY: usize = 2048;
const WORD: usize = 96;

/// Where `init=` is understood, and where it was found.
pub(crate) const STRAY_INIT: (&str, &str) = (
    "entries with a `linux` and an `initrd` line, or isolinux labels",
    "`init=/nix/store/…` outside of such an entry",
);

/// What is understood of what an initrd starts.
pub(crate) const STARTED_BY_INITRD: &str = "arguments with which the initrd starts what is put in";

/// Arguments with which an initrd does not start what is put in: another program or unit is started, or our unit is not, or
/// there is no initrd (Linux `init/main.c`, `drivers/firmware/efi/libstub`; systemd(1), systemd-debug-generator(8)). Words that
/// the kernel does not know become the environment of PID 1.
const PASSING_OVER: [&str; 9] = [
    "rdinit=",
    "noinitrd",
    "rd.systemd.unit=",
    "rd.rescue",
    "rd.emergency",
    "rd.systemd.mask=remaster",
    "SYSTEMD_UNIT_PATH=",
    "SYSTEMD_IN_INITRD=",
    "SYSTEMD_PROC_CMDLINE=",
];

/// What systemd takes out of the words of the kernel's command line (`src/basic/proc-cmdline.c`).
const QUOTING: [char; 3] = ['"', '\'', '\\'];

/// What is left of [`LARGEST_ENTRIES`]. Menus within menus have long names: a megabyte of them names gigabytes.
#[derive(Debug)]
pub struct EntryBudget(usize);

impl Default for EntryBudget {
    fn default() -> Self {
        Self(LARGEST_ENTRIES)
    }
}

impl EntryBudget {
    /// Takes what something needs with texts of these lengths; false if there is not so much left.
    pub(super) fn take(&mut self, texts: impl IntoIterator<Item = usize>) -> bool {
        let own = self.0.checked_sub(ENTRY);
        let left = texts
            .into_iter()
            .try_fold(own, |left, length| Some(left?.checked_sub(WORD)?.checked_sub(length)));
        let left = left.flatten();
        self.0 = left.unwrap_or(0);
        left.is_some()
    }

    /// The same for a word that stands in no entry.
    pub(super) fn take_word(&mut self, length: usize) -> bool {
        let left = self.0.checked_sub(WORD).and_then(|left| left.checked_sub(length));
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// What a config says.
#[derive(Debug, Default)]
pub struct Script {
    /// The entries that load a kernel.
    pub entries: Vec<Entry>,
    /// What it says for all its entries.
    pub settings: Settings,
    /// All words that are not titles.
    pub words: Vec<Word>,
    /// The programs that entries start instead of a kernel, each with the titles down to its entry.
    pub chained: Vec<(Vec<String>, Word)>,
    /// The files that it runs or shows as menus.
    pub included: Vec<IncludedFile>,
    /// The commands that choose `root`, but for those of entries that start other systems.
    pub roots: Vec<RootChange>,
    /// The first thing that may start NixOS, and that is not read as an entry.
    pub unread: Option<UnreadCommand>,
}

/// A file of which a config says that it is a menu, or a part of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IncludedFile {
    /// Titles down to the entry.
    pub title: Vec<String>,
    /// The command, as `source`.
    pub command: String,
    /// The path, as it is written.
    pub file: String,
}

/// A command of GRUB that chooses `root`, the device of paths that name none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RootChange {
    /// Titles down to the entry, or to the menu.
    pub title: Vec<String>,
    /// The command, without quotes.
    pub command: String,
    /// What it chooses.
    pub root: Root,
}

/// Which device becomes `root`: the first one with a filesystem that has this, or another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Root {
    /// A file of this path.
    WithFile(String),
    /// This label.
    WithLabel(String),
    /// This id, as `search --fs-uuid` has it.
    WithUuid(String),
    /// A device by its name, or what only GRUB knows.
    Other,
}

/// What may start NixOS, and is not an entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnreadCommand {
    /// Titles down to the entry that it is in.
    pub title: Vec<String>,
    /// What is understood in its place.
    pub looked_for: String,
    /// What it is.
    pub found: String,
}

impl Script {
    /// Notes what is odd; the first one counts. Titles are long, so they are asked for only then.
    pub(super) fn note(
        &mut self,
        title: impl FnOnce() -> Vec<String>,
        looked_for: &str,
        found: impl Into<String>,
    ) {
        self.unread.get_or_insert_with(|| UnreadCommand {
            title: title(),
            looked_for: looked_for.to_owned(),
            found: found.into(),
        });
    }

    /// Notes `init=` outside of entries.
    pub(super) fn note_init(&mut self) {
        let (looked_for, found) = STRAY_INIT;
        self.note(Vec::new, looked_for, found);
    }

    /// Takes an entry. One that the kernel gets `init=` from is one whose `init=` is read.
    pub(super) fn take(&mut self, entry: Entry) {
        let named = entry.arguments.iter().find(|word| names_init(&word.text));
        if let Some(word) = named.filter(|_| entry.init().is_none()) {
            let title = || entry.title.clone();
            self.note(title, "`init=` at the beginning of an argument", format!("`{}`", word.text));
        }
        let may_start = entry.init().is_some() || !entry.initrds.is_empty();
        let passing = entry.words().find(|word| passes_over(word));
        let passing = passing.or_else(|| option_of_init(&entry));
        if let Some(word) = passing.filter(|_| may_start) {
            let title = || entry.title.clone();
            self.note(title, STARTED_BY_INITRD, format!("`{word}`"));
        }
        self.entries.push(entry);
    }

    /// Notes that a limit was hit. This replaces any earlier one, as the rest was not read.
    pub(super) fn overflow(&mut self, limit: Limit) {
        let (looked_for, found) = match limit {
            Limit::Entries => {
                let largest = LARGEST_ENTRIES >> 20;
                (
                    format!("menus whose entries and settings take at most {largest} MiB"),
                    "larger ones",
                )
            }
            Limit::Depth(most) => (format!("at most {most} braces within each other"), "more"),
        };
        self.unread = Some(UnreadCommand { title: Vec::new(), looked_for, found: found.into() });
    }
}

/// What is understood of texts.
const PLAIN: &str = "a text without control characters";

/// The first byte of a text that a loader may take for the end of a line, or not at all: a carriage return within a
/// line, or one that `is_odd`.
pub(super) fn odd_byte(text: &str, is_odd: impl Fn(u8) -> bool) -> Option<(&'static str, String)> {
    let mut pairs = text.bytes().zip(text.bytes().skip(1).chain([0]));
    let odd = |&(byte, next): &(u8, u8)| is_odd(byte) || (byte == b'\r' && next != b'\n');
    pairs.find(odd).map(|(byte, _)| (PLAIN, format!("the byte {byte:#04x}")))
}

/// A limit that a config goes beyond.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// [`LARGEST_ENTRIES`].
    Entries,
    /// This many braces within each other.
    Depth(usize),
}

/// Whether a word names the program that NixOS starts with: `init=`, also within other text, but not `rdinit=`.
pub(super) fn names_init(text: &str) -> bool {
    names(text, "init=")
}

/// Whether an initrd does not start what is put in if the kernel gets this argument.
pub(crate) fn passes_over(text: &str) -> bool {
    let is_one = |text: &str| PASSING_OVER.iter().any(|argument| names(text, argument));
    is_one(text) || text.contains(QUOTING) && is_one(&text.replace(QUOTING, ""))
}

/// An option behind `--`: the kernel gives it to PID 1, and systemd takes the unit that it starts from there, too.
fn option_of_init(entry: &Entry) -> Option<&str> {
    entry.words().skip_while(|word| *word != "--").skip(1).find(|word| word.starts_with('-'))
}

/// Whether a text has an argument as a word of its own.
fn names(text: &str, argument: &str) -> bool {
    let part_of_a_word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    text.match_indices(argument).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let behind = text.get(at..).and_then(|rest| rest.strip_prefix(argument)?.chars().next());
        let goes_on =
            !argument.ends_with('=') && behind.is_some_and(|c| c != '.' && part_of_a_word(c));
        !before.is_some_and(part_of_a_word) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Script {
        /// The unread command behind the titles down to it, and the files that the script leads to.
        pub(in super::super) fn unread_and_included(self) -> String {
            let odd = self.unread.map(|odd| [odd.title.join(" > "), odd.found].join(": "));
            let included =
                self.included.into_iter().map(|file| format!("{} {}", file.command, file.file));
            odd.into_iter().chain(included).collect::<Vec<_>>().join(", ")
        }
    }

    #[test]
    fn init_is_a_word_of_its_own() {
        for (text, named) in [
            ("init=/nix/store/x", true),
            ("a=init=/x", true),
            ("console=x init=/x", true),
            ("rdinit=/x", false),
            ("rdinit=/x init=/y", true),
            ("x.init=/x", false),
            ("init", false),
        ] {
            assert_eq!(names_init(text), named, "{text}");
        }
    }

    #[test]
    fn arguments_that_pass_over_the_initrd_are_words_of_their_own() {
        for (text, passes) in [
            ("rdinit=/x", true),
            ("quiet rdinit=/x", true),
            ("noinitrd", true),
            ("noinitrd=1", true),
            ("rd.systemd.unit=x.target", true),
            ("rd.systemd.mask=remaster.service", true),
            ("rd.systemd.mask=other.service", false),
            ("rd.systemd.mask='remaster.service'", true),
            ("'rd.systemd.mask=remaster.service'", true),
            ("rd.systemd.ma\"s\"k=remaster", true),
            ("rd.systemd.\\unit=x", true),
            ("quiet 'rdinit=/x'", true),
            ("SYSTEMD_UNIT_PATH=/etc/systemd/system", true),
            ("SYSTEMD_IN_INITRD=0", true),
            ("SYSTEMD_PROC_CMDLINE=quiet", true),
            ("OTHER_SYSTEMD_UNIT_PATH=/x", false),
            ("systemd.unit=rescue.target", false),
            ("noinitrds", false),
            ("xrdinit=/x", false),
            ("init=/x", false),
        ] {
            assert_eq!(passes_over(text), passes, "{text}");
        }
    }

    #[test]
    fn the_budget_is_taken_until_there_is_none() {
        let mut budget = EntryBudget::default();
        let taken = (0..LARGEST_ENTRIES).take_while(|_| budget.take([7, 6])).count();
        assert_eq!(taken, LARGEST_ENTRIES / (2048 + 96 + 96 + 13));
        assert!(!budget.take([]), "what is smaller fits no more either");
    }

    #[test]
    fn settings_take_of_the_budget_too() {
        let most = LARGEST_ENTRIES / (WORD + 1);
        for (settings, is_read) in [(most, true), (most + 1, false)] {
            let text = "set timeout=1\n".repeat(settings);
            let script =
                crate::formats::boot_config::Syntax::Grub.read(&text, &mut EntryBudget::default());
            assert_eq!(script.unread.is_none(), is_read, "{settings}: {:?}", script.unread);
        }
    }
}
