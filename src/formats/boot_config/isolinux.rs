//! isolinux.cfg: the commands of SYSLINUX 6 (`doc/syslinux.txt`, `doc/menu.txt`), case-insensitive.

use std::ops::Range;

use super::script::{EntryBudget, IncludedFile, Limit, Script, names_init, odd_byte};
use super::{Entry, Word};

/// Modules that start nothing, or another system of the same machine. `ifcpu` and the like start what their words say.
const HARMLESS: &str = "cat chain cpuid dir disk dmitest hdt kbdmap ls meminfo pcitest poweroff pwd
    reboot sysdump vesainfo";

/// Modules that show menus: of this config, or of the files that they are given.
const MENUS: [&str; 3] = ["config", "menu", "vesamenu"];

/// The end of the names of modules.
const MODULE: &str = ".c32";

/// What a menu module calls the config that it is started by.
const OWN: &str = "~";

/// The argument that names initrds, as the older way does.
const INITRD: &str = "initrd=";

/// What is understood of labels.
const LABELS: &str = "labels whose kernel isolinux starts by itself";

/// What is understood of commands that start something as if it were typed: the words behind a label go to the kernel.
const COMMANDS: &str = "a label alone, or a module";

/// What is understood of the words that a kernel gets.
const ARGUMENTS: &str = "arguments in an APPEND line alone";

/// Bytes of a line, its end among them, that isolinux reads as one (`com32/elflink/ldlinux/readconfig.c`, `MAX_LINE`).
const LONGEST_LINE: usize = 4095;

/// Commands that say what a label loads.
const LOADS: &str = "boot bss comboot com32 config fdimage initrd kernel linux localboot pxe";

/// Other commands whose words may start something. What the rest says is shown, or not read at all.
const STARTERS: &str = "append default include menu onerror ontimeout ui";

/// The commands behind `MENU` among them.
const MENU_STARTERS: &str = "hiddenkey include onerror";

/// Whether a name is in a list.
fn is_one_of(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|known| known.eq_ignore_ascii_case(name))
}

/// Reads a config.
pub fn read(text: &str, budget: &mut EntryBudget) -> Script {
    let mut walk = Walk::new(budget);
    if let Some((looked_for, found)) = odd_byte(text, is_control) {
        walk.note(looked_for, found);
    }
    if text.split_inclusive('\n').any(|line| line.len() > LONGEST_LINE) {
        walk.note(&format!("lines of at most {LONGEST_LINE} bytes"), "a longer one");
    }
    for line in lines(text) {
        if walk.is_full {
            break;
        }
        walk.setting(&line);
        walk.take(&line);
        if line.command != "menu" {
            walk.script.words.extend(line.words);
        }
    }
    walk.end()
}

/// A line: its command in lower case and the words behind it.
struct Line {
    command: String,
    words: Vec<Word>,
}

/// Whether isolinux takes a byte for a blank, and other programs for something else.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n')
}

impl Line {
    /// What stands behind the command, as one word.
    fn whole(&self) -> Option<Word> {
        Word::joined(&self.words)
    }
}

/// The lines but those of help texts, `TEXT HELP` to `ENDTEXT`.
fn lines(text: &str) -> impl Iterator<Item = Line> {
    let mut at = 0_usize;
    let mut in_text = false;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at = at.saturating_add(line.len());
        let mut plain = words(line, start, false).into_iter();
        let first = plain.next()?;
        let command = first.text.to_ascii_lowercase();
        let is_help = in_text || command == "text";
        in_text = is_help && command != "endtext";
        let words = match command.as_str() {
            "append" => words(line.get(first.at.end.checked_sub(start)?..)?, first.at.end, true),
            _ => plain.collect(),
        };
        (!is_help).then_some(Line { command, words })
    })
}

/// The words of a line. In a line for the kernel, quotes hold words together (Linux `lib/cmdline.c`, `next_arg`);
/// isolinux itself knows none.
fn words(line: &str, start: usize, is_for_kernel: bool) -> Vec<Word> {
    let mut found = Vec::new();
    let mut from: Option<usize> = None;
    let mut quoted = false;
    for (at, c) in line.char_indices().chain([(line.len(), '\n')]) {
        quoted = (quoted != (is_for_kernel && c == '"')) && c != '\n';
        match (c.is_ascii_whitespace() && !quoted, from) {
            (false, None) => from = Some(at),
            (true, Some(first)) => {
                found.extend(word(line, first..at, start, is_for_kernel));
                from = None;
            }
            _ => {}
        }
    }
    found
}

fn word(line: &str, at: Range<usize>, start: usize, is_for_kernel: bool) -> Option<Word> {
    let text = line.get(at.clone())?;
    let text = if is_for_kernel { text.replace('"', "") } else { text.to_owned() };
    Some(Word { text, at: at.start.checked_add(start)?..at.end.checked_add(start)? })
}

/// What the walk over the lines of a config knows so far.
struct Walk<'r> {
    budget: &'r mut EntryBudget,
    /// Whether there was not room enough.
    is_full: bool,
    menus: Vec<String>,
    label: Option<Label>,
    script: Script,
}

#[derive(Clone, Default)]
struct Label {
    title: String,
    title_at: Option<Range<usize>>,
    name: Option<Word>,
    kernel: Option<Word>,
    /// Whether the kernel is a module of isolinux.
    is_module: bool,
    arguments: Vec<Word>,
    initrds: Vec<Word>,
    /// What stands behind the kernel and the initrds in their lines, which isolinux gives the kernel too.
    behind: [Vec<Word>; 2],
}

impl<'r> Walk<'r> {
    fn new(budget: &'r mut EntryBudget) -> Self {
        Self { budget, is_full: false, menus: Vec::new(), label: None, script: Script::default() }
    }

    /// Takes what a line says for all labels. Of several the last one counts.
    fn setting(&mut self, line: &Line) {
        let settings = &mut self.script.settings;
        let place = match line.command.as_str() {
            "timeout" => &mut settings.timeout,
            "default" => &mut settings.default,
            "serial" => &mut settings.serial,
            "ontimeout" | "totaltimeout" => &mut settings.overruling,
            _ => return,
        };
        place.extend(line.whole());
    }

    fn take(&mut self, line: &Line) {
        let command = line.command.as_str();
        let is_argument = command == "append" && self.label.is_some();
        let is_title = command == "menu"
            && !line.words.first().is_some_and(|word| is_one_of(MENU_STARTERS, &word.text));
        let may_start = (is_one_of(STARTERS, command) || is_one_of(LOADS, command))
            && !is_argument
            && !is_title;
        if may_start && line.words.iter().any(|word| names_init(&word.text)) {
            self.script.note_init();
        }
        match command {
            "label" => {
                self.end_label();
                let (title, name) = (joined(&line.words), line.whole());
                self.label = Some(Label { title, name, ..Label::default() });
            }
            "menu" => self.menu(&line.words),
            "include" => {
                self.end_label();
                self.include("INCLUDE", line.words.first());
            }
            "ui" | "default" | "ontimeout" | "onerror" => self.command_line(command, &line.words),
            "append" => self.in_label(|label| label.arguments.clone_from(&line.words)),
            _ => self.loads(command, &line.words),
        }
    }

    /// Takes what a label loads. Outside of one it may be a part of another file's label, which includes this one.
    fn loads(&mut self, command: &str, words: &[Word]) {
        let is_load = is_one_of(LOADS, command);
        let (first, rest) =
            words.split_first().map_or((None, words), |(word, rest)| (Some(word), rest));
        if is_load && self.label.is_none() {
            let found = format!("`{}` outside of one", command.to_ascii_uppercase());
            return self.note(LABELS, found);
        }
        if let Some(specifier) = first.filter(|word| is_load && is_specifier(word)) {
            self.note(LABELS, format!("`{} {}`", command.to_ascii_uppercase(), specifier.text));
        }
        match command {
            "kernel" | "linux" | "com32" => self.in_label(|label| {
                let module = command == "kernel" && first.is_some_and(is_module);
                label.is_module = module || command == "com32";
                label.kernel = first.cloned();
                label.behind[0] = rest.to_vec();
            }),
            "initrd" => self.in_label(|label| {
                label.initrds = first.map(split_at_commas).unwrap_or_default();
                label.behind[1] = rest.to_vec();
            }),
            "config" => self.include("CONFIG", first),
            _ if is_load => self.in_label(|label| label.kernel = None),
            _ => {}
        }
    }

    /// Takes what is started as if it were typed.
    fn command_line(&mut self, command: &str, words: &[Word]) {
        let Some((first, rest)) = words.split_first() else { return };
        if is_module(first) {
            return self.module(first, rest);
        }
        if is_specifier(first) || !rest.is_empty() {
            self.note(COMMANDS, format!("`{} {}`", command.to_ascii_uppercase(), joined(words)));
        }
    }

    fn in_label(&mut self, change: impl FnOnce(&mut Label)) {
        if let Some(label) = &mut self.label {
            change(label);
        }
    }

    fn menu(&mut self, words: &[Word]) {
        let Some((kind, rest)) = words.split_first() else { return };
        match kind.text.to_ascii_lowercase().as_str() {
            "label" => self.in_label(|label| {
                label.title = joined(rest);
                label.title_at = Word::joined(rest).map(|word| word.at);
            }),
            "separator" => self.end_label(),
            "hiddenkey" => self.command_line("menu hiddenkey …", without_key(rest)),
            "onerror" => self.command_line("menu onerror", rest),
            "begin" => {
                self.end_label();
                self.menus.push(joined(rest));
            }
            "end" => {
                self.end_label();
                self.menus.pop();
            }
            "include" => self.include("MENU INCLUDE", rest.first()),
            _ => {}
        }
    }

    /// Takes a file that is read as a part of the menu, or in its place.
    fn include(&mut self, command: &str, file: Option<&Word>) {
        let title = self.title_with(file.into_iter());
        let file = file.map(|word| word.text.clone()).unwrap_or_default();
        let command = command.to_owned();
        self.script.included.extend(title.map(|title| IncludedFile { title, command, file }));
    }

    /// Takes a module with its arguments.
    fn module(&mut self, module: &Word, arguments: &[Word]) {
        let name = module.text.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let name = name.strip_suffix(MODULE).unwrap_or(&name);
        if MENUS.contains(&name) {
            let files = arguments.iter().filter(|word| word.text != OWN);
            files.for_each(|file| self.include(&module.text, Some(file)));
        } else if !is_one_of(HARMLESS, name) {
            self.note(LABELS, format!("the module {}", module.text));
        }
        if arguments.iter().any(|word| names_init(&word.text)) {
            self.script.note_init();
        }
    }

    /// Notes what is odd about the line that is read.
    fn note(&mut self, looked_for: &str, found: impl Into<String>) {
        let (menus, label) = (&self.menus, &self.label);
        self.script.note(|| titles(menus, label.as_ref()), looked_for, found);
    }

    /// The titles of the menus and the label that are open, if the budget has enough left for them and for these words.
    fn title_with<'a>(&mut self, words: impl Iterator<Item = &'a Word>) -> Option<Vec<String>> {
        let label = self.label.iter().map(|label| label.title.len());
        let titles_of = self.menus.iter().map(String::len).chain(label);
        self.is_full |= !self.budget.take(titles_of.chain(words.map(Word::size)));
        (!self.is_full).then(|| titles(&self.menus, self.label.as_ref()))
    }

    fn end_label(&mut self) {
        let Some(label) = self.label.clone() else { return };
        match &label.kernel {
            Some(module) if label.is_module => {
                self.module(module, &[label.behind[0].as_slice(), &label.arguments].concat());
            }
            Some(kernel) => self.entry(kernel, &label),
            None if label.arguments.iter().any(|word| names_init(&word.text)) => {
                self.script.note_init();
            }
            None => {}
        }
        self.label = None;
    }

    fn entry(&mut self, kernel: &Word, label: &Label) {
        let words = label.arguments.iter().chain(&label.initrds).chain([kernel]);
        let Some(title) = self.title_with(words) else { return };
        let odd = odd_initrd(kernel, label);
        let behind = behind(label);
        let initrds = match label.initrds.as_slice() {
            [] => from_arguments(&label.arguments),
            own => own.to_vec(),
        };
        let entry = Entry {
            title,
            title_at: label.title_at.clone(),
            label: label.name.clone(),
            kernel: kernel.clone(),
            arguments: label.arguments.clone(),
            initrds,
        };
        if let Some(odd) = odd.filter(|_| entry.init().is_some()) {
            self.script.note(|| entry.title.clone(), "initrds in one place", odd);
        }
        let may_start = entry.init().is_some() || !entry.initrds.is_empty();
        if let Some(behind) = behind.filter(|_| may_start) {
            self.script.note(|| entry.title.clone(), ARGUMENTS, behind);
        }
        self.script.take(entry);
    }

    fn end(mut self) -> Script {
        self.end_label();
        if self.is_full {
            self.script.overflow(Limit::Entries);
        }
        self.script
    }
}

/// What is odd about where a label names its initrds: isolinux takes the first `initrd=` that it finds anywhere.
fn odd_initrd(kernel: &Word, label: &Label) -> Option<String> {
    let words = [kernel].into_iter().chain(&label.arguments).chain(label.behind.iter().flatten());
    let mut named = words.filter(|word| word.text.contains(INITRD));
    let first = named.next()?;
    if named.next().is_some() || !label.initrds.is_empty() {
        return Some("more than one INITRD or `initrd=`".to_owned());
    }
    let is_read = first.text.rfind(INITRD) == Some(0) && first.is_plain();
    (!is_read || !label.arguments.contains(first)).then(|| format!("`{}`", first.text))
}

/// What stands behind the kernel or the initrds of a label in their lines.
fn behind(label: &Label) -> Option<String> {
    let places = ["kernel", "initrd"].into_iter().zip(&label.behind);
    let (place, words) = places.into_iter().find(|(_, words)| !words.is_empty())?;
    Some(format!("`{}` behind the path of the {place}", joined(words)))
}

/// The titles of the menus and the label that are open.
fn titles(menus: &[String], label: Option<&Label>) -> Vec<String> {
    menus.iter().chain(label.map(|label| &label.title)).cloned().collect()
}

/// What stands behind the key of `MENU HIDDENKEY`.
fn without_key(words: &[Word]) -> &[Word] {
    words.split_first().map_or(words, |(_, command)| command)
}

/// Whether a file is a module of isolinux, by its name.
fn is_module(file: &Word) -> bool {
    file.text.to_ascii_lowercase().ends_with(MODULE)
}

/// Whether a word says how isolinux is to start the next one, as `.config` and `.com32` do (`com32/elflink/ldlinux/execute.c`).
fn is_specifier(word: &Word) -> bool {
    word.text.strip_prefix('.').is_some_and(|kind| is_one_of(LOADS, kind))
}

/// The menus' `^` marks a hot key and is not shown.
fn joined(words: &[Word]) -> String {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    texts.join(" ").replace('^', "")
}

/// The older way to name initrds: `APPEND initrd=a,b`.
fn from_arguments(arguments: &[Word]) -> Vec<Word> {
    let found = arguments.iter().find(|word| word.text.starts_with(INITRD));
    let value = found.and_then(|word| {
        let text = word.text.strip_prefix(INITRD)?.to_owned();
        Some(Word { text, at: word.at.start.checked_add(INITRD.len())?..word.at.end })
    });
    value.as_ref().map(split_at_commas).unwrap_or_default()
}

fn split_at_commas(list: &Word) -> Vec<Word> {
    let mut at = list.at.start;
    let mut found = Vec::new();
    for part in list.text.split(',') {
        let end = at.saturating_add(part.len());
        found.push(Word { text: part.to_owned(), at: at..end });
        at = end.saturating_add(1);
    }
    found.retain(|word| !word.text.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Syntax, changed, with_initrds};
    use super::*;

    fn entries(text: &str) -> Vec<Entry> {
        read(text, &mut EntryBudget::default()).entries
    }

    fn settings(text: &str) -> Settings {
        read(text, &mut EntryBudget::default()).settings
    }

    const MENU: &str = "SERIAL 0 115200\nUI vesamenu.c32\nDEFAULT boot\n\n\
        LABEL boot\nMENU LABEL NixOS ^Installer\nLINUX /boot/bzImage\nAPPEND init=/nix/store/s/init root=LABEL=x \nINITRD /boot/initrd\n\n\
        MENU BEGIN Options\nMENU BEGIN Copy ISO files to RAM\n\
        label boot-copytoram\r\n  kernel /boot/bzImage\r\n  append initrd=/boot/a,/boot/b init=/nix/store/s/init copytoram\r\n\
        MENU END\nMENU END\n\
        LABEL memtest\nMENU LABEL Memtest86+\nLINUX /boot/memtest.bin\nAPPEND \n";

    #[test]
    fn entries_are_found_with_their_menus() {
        let found = Syntax::Isolinux.entries(MENU);
        let titles: Vec<String> = found.iter().map(|entry| entry.title.join(" > ")).collect();
        assert_eq!(titles, ["NixOS Installer", "Options > Copy ISO files to RAM > boot-copytoram"]);
        assert_eq!(found[1].kernel.text, "/boot/bzImage");
        assert_eq!(entries(MENU).len(), 3);
    }

    #[test]
    fn initrds_are_added_behind_the_last_one() {
        let found = Syntax::Isolinux.entries(MENU);
        let more = ["/remaster/a".into()];
        let change = |entry| with_initrds(Syntax::Isolinux, entry, &more);
        let changes = found.iter().filter_map(change).collect();
        let new = changed(MENU, changes).unwrap();
        assert!(new.contains("INITRD /boot/initrd,/remaster/a\n"));
        assert!(new.contains("initrd=/boot/a,/boot/b,/remaster/a init="));
    }

    #[test]
    fn settings_and_labels_stand_where_they_are_said_to() {
        let found = settings(MENU);
        assert_eq!(&MENU[found.serial[0].at.clone()], "0 115200");
        assert_eq!((found.default[0].text.as_str(), found.timeout.len()), ("boot", 0));
        let found = entries(MENU);
        assert_eq!(&MENU[found[0].title_at.clone().unwrap()], "NixOS ^Installer");
        assert_eq!(found[1].title_at, None);
        assert_eq!(&MENU[found[1].label.clone().unwrap().at], "boot-copytoram");
        let late = settings("LABEL x\nKERNEL y\nTimeout 5\nONTIMEOUT z\n");
        assert_eq!((late.timeout[0].text.as_str(), late.overruling.len()), ("5", 1));
    }

    #[test]
    fn quotes_hold_an_argument_together() {
        let text = "LABEL x\nLINUX /k\nAPPEND init=/i \"a=b c\" d=\"e f\" g\nINITRD /r\n";
        let found = entries(text);
        let words: Vec<&str> = found[0].arguments.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words, ["init=/i", "a=b c", "d=e f", "g"]);
        assert_eq!(entries("LABEL x\nLINUX /k\nAPPEND init=\"/i x\nINITRD /r")[0].initrds.len(), 1);
    }

    /// What is odd about a config, with the titles down to it, and the files that it leads to.
    fn told(text: &str) -> String {
        read(text, &mut EntryBudget::default()).unread_and_included()
    }

    const STRAY: &str = ": `init=/nix/store/…` outside of such an entry";
    const TWICE: &str = "x: more than one INITRD or `initrd=`";

    /// Configs, and what the reader says of them.
    const CONFIGS: &[(&str, &str)] = &[
        ("LABEL x\nLINUX /k\nAPPEND init=/i\nINITRD /r", ""),
        ("LABEL x\nLINUX /k\nLINUX /k2\nAPPEND init=/i\nINITRD /r\nINITRD /s", ""),
        ("LABEL x\nKERNEL /k\nAPPEND initrd=/r,/s init=/i", ""),
        ("LABEL x\nKERNEL /k\nAPPEND initrd=/r init=/i initrd=/s", TWICE),
        ("LABEL x\nKERNEL /k\nAPPEND initrd=/r init=/i\nINITRD /s", TWICE),
        ("LABEL x\nKERNEL /k\nAPPEND initrd=/r\nINITRD /s", ""),
        ("LABEL x\nLINUX /k init=/i\nINITRD /r", STRAY),
        ("APPEND init=/i\nLABEL x\nLINUX /k\nINITRD /r", STRAY),
        ("LABEL x\nAPPEND init=/i\nINITRD /r", STRAY),
        ("DEFAULT /k init=/i initrd=/r", STRAY),
        ("ONTIMEOUT /k init=/i initrd=/r", STRAY),
        ("LABEL x\nLINUX /k\nPXE pxelinux.0\nAPPEND init=/i", STRAY),
        ("LABEL x\nCOM32 linux.c32\nAPPEND /k init=/i", "x: the module linux.c32"),
        ("LABEL x\nkernel /a/Linux.C32\nappend /k", "x: the module /a/Linux.C32"),
        ("DEFAULT mboot.c32", ": the module mboot.c32"),
        ("LABEL x\nCOM32 reboot.c32", ""),
        ("LABEL x\nCOM32 chain.c32\nAPPEND hd0 1", ""),
        ("LABEL x\nCOM32 ifcpu64.c32\nAPPEND /k init=/i -- b", "x: the module ifcpu64.c32"),
        ("LABEL x\nCOM32 ifcpu64.c32\nAPPEND 64 -- b rdinit=/x", "x: the module ifcpu64.c32"),
        ("UI vesamenu.c32\nLABEL x\nLINUX /k", ""),
        ("UI vesamenu.c32 a.cfg", "vesamenu.c32 a.cfg"),
        ("LABEL x\nKERNEL menu.c32\nAPPEND ~ a.cfg", "menu.c32 a.cfg"),
        ("LABEL x\nCONFIG a.cfg", "CONFIG a.cfg"),
        ("Include a.cfg", "INCLUDE a.cfg"),
        ("MENU INCLUDE a.cfg b", "MENU INCLUDE a.cfg"),
        ("LABEL x\nTEXT HELP\ninit=/i\nINCLUDE a\nENDTEXT\nLINUX /k", ""),
        ("LABEL init=\nMENU LABEL init=/i\nLINUX /k", ""),
        ("LABEL x\nLINUX /k\nAPPEND \"quiet init=/i\"\nINITRD /r", "x: `quiet init=/i`"),
        ("LABEL x\nLINUX /k\nAPPEND a=init=/i\nINITRD /r", "x: `a=init=/i`"),
        ("LABEL x\nLINUX /k\nAPPEND init=/i a=\"b initrd=/s c\"\nINITRD /r", TWICE),
        ("LABEL x\nLINUX /k\nAPPEND init=/i x.initrd=/s\nINITRD /r", TWICE),
        ("LABEL x\nLINUX /k initrd=/s\nAPPEND init=/i\nINITRD /r", TWICE),
        ("LABEL x\nLINUX /k\nAPPEND init=/i\nINITRD /r initrd=/s", TWICE),
        ("LABEL x\nLINUX /k\nAPPEND init=/i x.initrd=/s", "x: `x.initrd=/s`"),
        ("LABEL x\nLINUX /k\nAPPEND init=/i \"initrd=/s\"", "x: `initrd=/s`"),
        ("LABEL x\nLINUX /k initrd=/s\nAPPEND init=/i", "x: `initrd=/s`"),
        ("LABEL x\nLINUX /k\nAPPEND init=/i initrd=/r,initrd=/s", "x: `initrd=/r,initrd=/s`"),
        ("LABEL x\nLINUX /k\nMENU SEPARATOR\nAPPEND init=/i", STRAY),
        ("LABEL x\nLINUX /k\nMENU SEPARATOR\nINITRD /r", ": `INITRD` outside of one"),
        ("LABEL x\nLINUX /k\nINCLUDE a.cfg\nINITRD /r", ": `INITRD` outside of one, INCLUDE a.cfg"),
        ("kernel /k\nLABEL x", ": `KERNEL` outside of one"),
        ("TEX\"\"T HELP\nLABEL x\nAPPEND init=/i\nENDTEXT", STRAY),
        ("TEXT\u{a0}HELP\nLABEL x\nAPPEND init=/i\nENDTEXT", STRAY),
        ("TEXT\" HELP\"\nLABEL x\nAPPEND init=/i\nENDTEXT", STRAY),
        ("LABEL\u{1}x", ": the byte 0x01"),
        ("LABEL\u{7f}x", ": the byte 0x7f"),
        ("LABEL x\0", ": the byte 0x00"),
        ("LABEL x\rLINUX /k", ": the byte 0x0d"),
        ("MENU HIDDENKEY F1 /k init=/i initrd=/r", STRAY),
        ("MENU HIDDENKEY F1 linux.c32 /k", ": the module linux.c32"),
        ("MENU HIDDENKEY F1 b rdinit=/x", ": `MENU HIDDENKEY … b rdinit=/x`"),
        ("MENU HIDDENKEY F1 b", ""),
        ("MENU ONERROR b x", ": `MENU ONERROR b x`"),
        ("ONERROR b x", ": `ONERROR b x`"),
        ("ONTIMEOUT b rdinit=/x", ": `ONTIMEOUT b rdinit=/x`"),
        ("DEFAULT b quiet", ": `DEFAULT b quiet`"),
        ("DEFAULT b", ""),
        ("UI vesamenu other.cfg", ": `UI vesamenu other.cfg`"),
        ("DEFAULT .config /other.txt", ": `DEFAULT .config /other.txt`"),
        ("ONTIMEOUT .com32 linux /k", ": `ONTIMEOUT .com32 linux /k`"),
        ("UI .config", ": `UI .config`"),
        ("LABEL x\nLINUX .config /o.txt", "x: `LINUX .config`"),
        ("LABEL x\nKERNEL .COM32 linux", "x: `KERNEL .COM32`"),
        ("LABEL x\nBOOT .config /o.txt", "x: `BOOT .config`"),
        ("LABEL x\nLINUX ../nixos/k\nAPPEND init=/i\nINITRD ../nixos/r", ""),
        (
            "LABEL x\nLINUX /k a b\nAPPEND init=/i\nINITRD /r",
            "x: `a b` behind the path of the kernel",
        ),
        (
            "LABEL x\nLINUX /k\nAPPEND init=/i\nINITRD /r quiet",
            "x: `quiet` behind the path of the initrd",
        ),
        ("LABEL x\nLINUX /k quiet", ""),
        ("LABEL x\nKERNEL menu.c32 a.cfg", "menu.c32 a.cfg"),
        ("# APPEND init=/i\n#APPEND init=/i\nSAY init=/nix/store/x\nOTHER init=/i", ""),
    ];

    #[test]
    fn what_may_start_nixos_and_is_not_an_entry_is_odd() {
        for (text, expected) in CONFIGS {
            assert_eq!(told(text), *expected, "{text}");
        }
    }

    #[test]
    fn lines_are_as_long_as_isolinux_reads_them() {
        for (length, expected) in [(4094, ""), (4095, ": a longer one")] {
            assert_eq!(told(&("x".repeat(length) + "\nLABEL x\n")), expected);
        }
    }

    #[test]
    fn menus_within_menus_take_no_more_than_they_may() {
        let label = "LABEL a\nLINUX /k\nAPPEND init=/i\nINITRD /r\n";
        let deep =
            |menus: usize, labels: usize| "MENU BEGIN a\n".repeat(menus) + &label.repeat(labels);
        assert_eq!(read(&deep(40, 36), &mut EntryBudget::default()).entries.len(), 36);
        for text in [deep(6000, 6000), deep(1, 20_000)] {
            let script = read(&text, &mut EntryBudget::default());
            assert_eq!(script.unread.unwrap().found, "larger ones");
        }
        let odd = "MENU BEGIN a\n".repeat(30_000) + &"UI linux.c32\n".repeat(30_000);
        let script = read(&odd, &mut EntryBudget::default());
        assert_eq!(script.unread.unwrap().title.len(), 30_000);
    }
}
