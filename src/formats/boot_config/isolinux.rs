//! isolinux.cfg: the commands of SYSLINUX 6 (`doc/syslinux.txt`, `doc/menu.txt`), case-insensitive.

use std::ops::Range;

use super::script::{Lead, Limit, Room, Script, names_init};
use super::{Entry, Word};

/// Modules that start nothing, a label, or another system of the same machine.
const HARMLESS: &str =
    "cat chain cpuid dir disk dmitest ethersel hdt ifcpu ifcpu64 ifplop kbdmap ls meminfo
    pcitest poweroff pwd reboot sysdump vesainfo";

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

/// Reads a config.
pub fn read(text: &str, room: &mut Room) -> Script {
    let mut walk = Walk::new(room);
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
        let mut words = words(line, start).into_iter();
        let command = words.next()?.text.to_ascii_lowercase();
        let is_help = in_text || command == "text";
        in_text = is_help && command != "endtext";
        (!is_help).then(|| Line { command, words: words.collect() })
    })
}

/// The words of a line. Double quotes hold words together, as the kernel does it (Linux
/// `lib/cmdline.c`, `next_arg`).
fn words(line: &str, start: usize) -> Vec<Word> {
    let mut found = Vec::new();
    let mut from: Option<usize> = None;
    let mut quoted = false;
    for (at, c) in line.char_indices().chain([(line.len(), '\n')]) {
        quoted = (quoted != (c == '"')) && c != '\n';
        match (c.is_whitespace() && !quoted, from) {
            (false, None) => from = Some(at),
            (true, Some(first)) => {
                found.extend(word(line, first..at, start));
                from = None;
            }
            _ => {}
        }
    }
    found
}

fn word(line: &str, at: Range<usize>, start: usize) -> Option<Word> {
    let text = line.get(at.clone())?.replace('"', "");
    Some(Word { text, at: at.start.checked_add(start)?..at.end.checked_add(start)? })
}

/// What the walk over the lines of a config knows so far.
struct Walk<'r> {
    room: &'r mut Room,
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
}

impl<'r> Walk<'r> {
    fn new(room: &'r mut Room) -> Self {
        Self { room, is_full: false, menus: Vec::new(), label: None, script: Script::default() }
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
        let is_argument = line.command == "append" && self.label.is_some();
        let is_title = matches!(line.command.as_str(), "label" | "menu");
        if !is_argument && !is_title && line.words.iter().any(|word| names_init(&word.text)) {
            self.script.note_init();
        }
        let first = line.words.first();
        match line.command.as_str() {
            "label" => {
                self.end_label();
                let (title, name) = (joined(&line.words), line.whole());
                self.label = Some(Label { title, name, ..Label::default() });
            }
            "menu" => self.menu(&line.words),
            "kernel" | "linux" | "com32" => self.in_label(|label| {
                label.kernel = first.cloned();
                let module = line.command == "kernel" && first.is_some_and(is_module);
                label.is_module = module || line.command == "com32";
            }),
            "boot" | "bss" | "pxe" | "fdimage" | "comboot" | "localboot" => {
                self.in_label(|label| label.kernel = None);
            }
            "append" => self.in_label(|label| label.arguments.clone_from(&line.words)),
            "initrd" => self.in_label(|label| {
                label.initrds = first.map(split_at_commas).unwrap_or_default();
            }),
            "include" => self.lead("INCLUDE", first),
            "config" => self.lead("CONFIG", first),
            "ui" | "default" | "ontimeout" | "onerror" => match line.words.split_first() {
                Some((module, arguments)) if is_module(module) => self.module(module, arguments),
                _ => {}
            },
            _ => {}
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
            "begin" => {
                self.end_label();
                self.menus.push(joined(rest));
            }
            "end" => {
                self.end_label();
                self.menus.pop();
            }
            "include" => self.lead("MENU INCLUDE", rest.first()),
            _ => {}
        }
    }

    /// Takes a file that is read as a part of the menu, or in its place.
    fn lead(&mut self, command: &str, file: Option<&Word>) {
        let title = self.title_with(file.into_iter());
        let file = file.map(|word| word.text.clone()).unwrap_or_default();
        let command = command.to_owned();
        self.script.leads.extend(title.map(|title| Lead { title, command, file }));
    }

    /// Takes a module with its arguments.
    fn module(&mut self, module: &Word, arguments: &[Word]) {
        let name = module.text.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let name = name.strip_suffix(MODULE).unwrap_or(&name);
        if MENUS.contains(&name) {
            let files = arguments.iter().filter(|word| word.text != OWN);
            files.for_each(|file| self.lead(&module.text, Some(file)));
        } else if !HARMLESS.split_whitespace().any(|known| known == name) {
            let title = self.title();
            self.script.note(title, LABELS, format!("the module {}", module.text));
        }
        if arguments.iter().any(|word| names_init(&word.text)) {
            self.script.note_init();
        }
    }

    /// The titles of the menus and the label that are open.
    fn title(&self) -> Vec<String> {
        let label = self.label.iter().map(|label| &label.title);
        self.menus.iter().chain(label).cloned().collect()
    }

    /// The same, if there is room for it and for these words.
    fn title_with<'a>(&mut self, words: impl Iterator<Item = &'a Word>) -> Option<Vec<String>> {
        let label = self.label.iter().map(|label| label.title.len());
        let titles = self.menus.iter().map(String::len).chain(label);
        self.is_full |= !self.room.take(titles.chain(words.map(Word::size)));
        (!self.is_full).then(|| self.title())
    }

    fn end_label(&mut self) {
        let Some(label) = self.label.clone() else { return };
        match &label.kernel {
            Some(module) if label.is_module => self.module(module, &label.arguments),
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
        let named = label.arguments.iter().filter(|word| word.text.starts_with(INITRD)).count();
        let is_twice = named > 1 || (named == 1 && !label.initrds.is_empty());
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
        if is_twice && entry.init().is_some() {
            let found = "INITRD and `initrd=`, or several of the latter".to_owned();
            self.script.note(entry.title.clone(), "initrds in one place", found);
        }
        self.script.entries.push(entry);
    }

    fn end(mut self) -> Script {
        self.end_label();
        if self.is_full {
            self.script.overflow(Limit::Room);
        }
        self.script
    }
}

/// Whether a file is a module of isolinux, by its name.
fn is_module(file: &Word) -> bool {
    file.text.to_ascii_lowercase().ends_with(MODULE)
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
        read(text, &mut Room::default()).entries
    }

    fn settings(text: &str) -> Settings {
        read(text, &mut Room::default()).settings
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

    /// What is odd about a config, with the titles down to it, and where it leads.
    fn told(text: &str) -> String {
        let script = read(text, &mut Room::default());
        let odd = script.oddity.map(|odd| [odd.title.join(" > "), odd.found].join(": "));
        let leads = script.leads.into_iter().map(|lead| format!("{} {}", lead.command, lead.file));
        odd.into_iter().chain(leads).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_may_start_nixos_and_is_not_an_entry_is_odd() {
        let stray = ": `init=/nix/store/…` outside of such an entry";
        let twice = "x: INITRD and `initrd=`, or several of the latter";
        for (text, expected) in [
            ("LABEL x\nLINUX /k\nAPPEND init=/i\nINITRD /r", ""),
            ("LABEL x\nLINUX /k\nLINUX /k2\nAPPEND init=/i\nINITRD /r\nINITRD /s", ""),
            ("LABEL x\nKERNEL /k\nAPPEND initrd=/r,/s init=/i", ""),
            ("LABEL x\nKERNEL /k\nAPPEND initrd=/r init=/i initrd=/s", twice),
            ("LABEL x\nKERNEL /k\nAPPEND initrd=/r init=/i\nINITRD /s", twice),
            ("LABEL x\nKERNEL /k\nAPPEND initrd=/r\nINITRD /s", ""),
            ("LABEL x\nLINUX /k init=/i\nINITRD /r", stray),
            ("APPEND init=/i\nLABEL x\nLINUX /k\nINITRD /r", stray),
            ("LABEL x\nAPPEND init=/i\nINITRD /r", stray),
            ("DEFAULT /k init=/i initrd=/r", stray),
            ("ONTIMEOUT /k init=/i initrd=/r", stray),
            ("LABEL x\nLINUX /k\nPXE pxelinux.0\nAPPEND init=/i", stray),
            ("LABEL x\nCOM32 linux.c32\nAPPEND /k init=/i", "x: the module linux.c32"),
            ("LABEL x\nkernel /a/Linux.C32\nappend /k", "x: the module /a/Linux.C32"),
            ("DEFAULT mboot.c32", ": the module mboot.c32"),
            ("LABEL x\nCOM32 reboot.c32", ""),
            ("LABEL x\nCOM32 chain.c32\nAPPEND hd0 1", ""),
            ("LABEL x\nCOM32 ifcpu64.c32\nAPPEND /k init=/i -- b", stray),
            ("UI vesamenu.c32\nLABEL x\nLINUX /k", ""),
            ("UI vesamenu.c32 a.cfg", "vesamenu.c32 a.cfg"),
            ("LABEL x\nKERNEL menu.c32\nAPPEND ~ a.cfg", "menu.c32 a.cfg"),
            ("LABEL x\nCONFIG a.cfg", "CONFIG a.cfg"),
            ("Include a.cfg", "INCLUDE a.cfg"),
            ("MENU INCLUDE a.cfg b", "MENU INCLUDE a.cfg"),
            ("LABEL x\nTEXT HELP\ninit=/i\nINCLUDE a\nENDTEXT\nLINUX /k", ""),
            ("LABEL init=\nMENU LABEL init=/i\nLINUX /k", ""),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn menus_within_menus_take_no_more_than_they_may() {
        let label = "LABEL a\nLINUX /k\nAPPEND init=/i\nINITRD /r\n";
        let deep =
            |menus: usize, labels: usize| "MENU BEGIN a\n".repeat(menus) + &label.repeat(labels);
        assert_eq!(read(&deep(40, 36), &mut Room::default()).entries.len(), 36);
        for text in [deep(6000, 6000), deep(1, 20_000)] {
            let script = read(&text, &mut Room::default());
            assert_eq!(script.oddity.unwrap().found, "larger ones");
        }
    }
}
