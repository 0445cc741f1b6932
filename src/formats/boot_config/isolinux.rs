//! isolinux.cfg: the commands of SYSLINUX 6 (`doc/syslinux.txt`, `doc/menu.txt`), case-insensitive.

use std::ops::Range;

use super::{Entry, Settings, Word};

/// The entries of a config that load a kernel.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut walk = Walk::default();
    for line in lines(text) {
        walk.take(&line);
    }
    walk.end_label();
    walk.found
}

/// What a config says for all its entries. Of several the last one counts.
pub fn settings(text: &str) -> Settings {
    let mut found = Settings::default();
    for line in lines(text) {
        let place = match line.command.as_str() {
            "timeout" => &mut found.timeout,
            "default" => &mut found.default,
            "serial" => &mut found.serial,
            "ontimeout" | "totaltimeout" => &mut found.overruling,
            _ => continue,
        };
        place.extend(line.whole());
    }
    found
}

/// The words of all lines that are not titles.
pub(crate) fn words_of(text: &str) -> Vec<Word> {
    lines(text).filter(|line| line.command != "menu").flat_map(|line| line.words).collect()
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

fn lines(text: &str) -> impl Iterator<Item = Line> {
    let mut at = 0_usize;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at = at.saturating_add(line.len());
        let mut words = words(line, start).into_iter();
        let command = words.next()?.text.to_ascii_lowercase();
        Some(Line { command, words: words.collect() })
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

#[derive(Default)]
struct Walk {
    menus: Vec<String>,
    label: Option<Label>,
    found: Vec<Entry>,
}

#[derive(Default)]
struct Label {
    title: String,
    title_at: Option<Range<usize>>,
    name: Option<Word>,
    kernel: Option<Word>,
    arguments: Vec<Word>,
    initrds: Vec<Word>,
}

impl Walk {
    fn take(&mut self, line: &Line) {
        match line.command.as_str() {
            "label" => {
                self.end_label();
                let (title, name) = (joined(&line.words), line.whole());
                self.label = Some(Label { title, name, ..Label::default() });
            }
            "menu" => self.menu(&line.words),
            "kernel" | "linux" => self.in_label(|label| label.kernel = line.words.first().cloned()),
            "append" => self.in_label(|label| label.arguments.clone_from(&line.words)),
            "initrd" => self.in_label(|label| {
                label.initrds = line.words.first().map(split_at_commas).unwrap_or_default();
            }),
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
            _ => {}
        }
    }

    fn end_label(&mut self) {
        let Some(label) = self.label.take() else { return };
        let Some(kernel) = label.kernel else { return };
        let mut title = self.menus.clone();
        title.push(label.title);
        let initrds =
            if label.initrds.is_empty() { from_arguments(&label.arguments) } else { label.initrds };
        self.found.push(Entry {
            title,
            title_at: label.title_at,
            label: label.name,
            kernel,
            arguments: label.arguments,
            initrds,
        });
    }
}

/// The menus' `^` marks a hot key and is not shown.
fn joined(words: &[Word]) -> String {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    texts.join(" ").replace('^', "")
}

/// The older way to name initrds: `APPEND initrd=a,b`.
fn from_arguments(arguments: &[Word]) -> Vec<Word> {
    const KEY: &str = "initrd=";
    let found = arguments.iter().find(|word| word.text.starts_with(KEY));
    let value = found.and_then(|word| {
        let text = word.text.strip_prefix(KEY)?.to_owned();
        Some(Word { text, at: word.at.start.checked_add(KEY.len())?..word.at.end })
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
    use super::super::{Syntax, changed, with_initrds};
    use super::*;

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
}
