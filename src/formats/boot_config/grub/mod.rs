//! grub.cfg: a GRUB 2 script (GRUB manual 2.12, "Writing full configuration files directly") and the menu entries in it.

mod commands;
mod lexer;
mod root;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use super::script::{
    EntryBudget, IncludedFile, Limit, Root, RootChange, STARTED_BY_INITRD, Script, names_init,
    odd_byte, passes_over,
};
use super::{Entry, Word, device};
use commands::{
    ECHO, IN_TEXT, INITRD, KERNEL, READERS, is_end, is_harmless, is_starter, title_word,
};
use lexer::{Lexer, Token};
use variables::{asks_for_signatures, fills_arguments, is_known};

/// What is understood of the commands that load an entry.
const LOADS: &str = "one `linux` and one `initrd` line, which GRUB always runs";

/// What is understood of the other commands.
const COMMANDS: &str = "commands of which it is known what they start";

/// What is understood of programs. A kernel is one, and takes its initrds and `init=` as arguments.
const PROGRAMS: &str = "programs that are named, without arguments of a kernel";

/// What is understood of the words that a kernel and its initrds are loaded with.
const ARGUMENTS: &str = "arguments that are known";

/// What is understood of the variable that is among them.
const VARIABLES: &str = "`isoboot` and `iso_path` as nixpkgs sets them";

/// What is understood of files: those that are put in have no signatures beside them.
const UNSIGNED: &str = "a GRUB that loads files without signatures";

/// What is understood of lines.
const LINES: &str = "commands that each stand in one line";

/// Braces within each other; official scripts have three.
const DEEPEST: usize = 64;

/// Reads a script.
pub fn read(text: &str, budget: &mut EntryBudget) -> Script {
    let mut walk = Walk::new(text, budget);
    if let Some((looked_for, found)) = odd_byte(text, |byte| byte == 0) {
        walk.note(looked_for, found);
    }
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next().filter(|_| walk.beyond.is_none()) {
        if let Some(found) = lexer.odd.take() {
            walk.note(LINES, found);
        }
        walk.take(token, lexer.at);
    }
    walk.end()
}

/// A text as one word. It must have no single quote in it.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./,:=+@%-".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{text}'") }
}

/// How `default` names an entry: its titles with `>` between them (GRUB manual 2.12, "default"). None for
/// titles that it would read as something else.
pub(crate) fn default_of(title: &[String]) -> Option<String> {
    let is_path = |part: &String| {
        !part.is_empty()
            && !part
                .starts_with(|c: char| c.is_ascii_digit() || c.is_whitespace() || "+-".contains(c))
            && !part.contains(['$', '\'', '\\', '\n'])
    };
    let parts: Vec<String> = title.iter().map(|part| part.replace('>', ">>")).collect();
    title.iter().all(is_path).then(|| parts.join(">"))
}

/// What the walk over the commands of a script knows so far.
struct Walk<'r> {
    text: &'r str,
    budget: &'r mut EntryBudget,
    /// The limit that it goes beyond.
    beyond: Option<Limit>,
    command: Vec<Word>,
    /// What stands in no brace.
    outside: Block,
    /// One for each open brace.
    open: Vec<Block>,
    script: Script,
    /// Names of functions.
    functions: BTreeSet<String>,
    /// Those that load or end something, or call others.
    loading: BTreeSet<String>,
    /// The functions that entries of NixOS call, each with the titles down to the first one.
    called: BTreeMap<String, Vec<String>>,
    /// Commands that are not known, each with the titles down to the first place that has it.
    unknown: BTreeMap<String, Vec<String>>,
}

/// What an open brace opens.
#[derive(Default)]
struct Block {
    title: Option<Word>,
    is_submenu: bool,
    /// The name of a function.
    function: Option<String>,
    /// Whether it is only a part of what it stands in.
    is_group: bool,
    /// Whether it stands in an entry or a function, or is one.
    is_within: bool,
    /// Whether it chooses terminals itself.
    has_terminals: bool,
    /// How many `if`, `while` and the like are open.
    conditions: usize,
    entry: Option<Entry>,
    /// Whether it loads what may be NixOS.
    loads: bool,
    /// What is odd about that.
    odd: Option<String>,
    /// What it starts beside a kernel.
    other: Option<String>,
    /// The command that ends it.
    ended: Option<String>,
    /// The functions that it calls.
    calls: BTreeSet<String>,
    /// Whether an entry in it has `init=`.
    has_init: bool,
    /// The commands in it that choose `root`.
    roots: Vec<RootChange>,
}

impl Block {
    /// Notes what is odd about what it loads; the first one counts.
    fn note(&mut self, found: impl Into<String>) {
        self.odd.get_or_insert_with(|| found.into());
    }
}

impl<'r> Walk<'r> {
    fn new(text: &'r str, budget: &'r mut EntryBudget) -> Self {
        Self {
            text,
            budget,
            beyond: None,
            command: Vec::new(),
            outside: Block::default(),
            open: Vec::new(),
            script: Script::default(),
            functions: BTreeSet::new(),
            loading: BTreeSet::new(),
            called: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }

    /// Takes a token that ends before byte `end`.
    fn take(&mut self, token: Token, end: usize) {
        match token {
            Token::Word(word) => self.command.push(word),
            Token::End => self.end_command(),
            Token::Open => self.open(),
            Token::Close => {
                self.end_command();
                self.end_block();
                if self.open.pop().is_some_and(|block| block.is_submenu && block.has_terminals) {
                    self.script.settings.terminals.push(end.saturating_sub(1));
                }
            }
        }
    }

    fn open(&mut self) {
        let command = std::mem::take(&mut self.command);
        let mut words = self.unreserved(&command).iter();
        let first = words.next().map(|word| word.text.as_str()).unwrap_or_default();
        let mut block = Block { is_within: true, ..Block::default() };
        let title = title_word(words.as_slice()).cloned();
        let is_menu = matches!(first, "menuentry" | "hiddenentry" | "submenu");
        if let Some(odd) = words.as_slice().iter().find(|word| is_menu && self.may_be_in_text(word))
        {
            self.note(COMMANDS, format!("`{first} {}`", odd.text));
        }
        match first {
            "menuentry" | "hiddenentry" => block.title = title,
            "submenu" => {
                block.title = title;
                block.is_submenu = true;
                block.is_within = self.block().is_within;
            }
            "function" => {
                block.function = words.next().map(|word| word.text.clone());
                self.functions.extend(block.function.clone());
            }
            _ => {
                block.is_group = first.is_empty();
                self.command = command;
                self.end_command();
            }
        }
        if self.open.len() >= DEEPEST {
            self.beyond = Some(Limit::Depth(DEEPEST));
        }
        self.open.push(block);
    }

    /// The block that commands are in.
    fn block(&mut self) -> &mut Block {
        self.open.last_mut().unwrap_or(&mut self.outside)
    }

    /// The block that commands are in, and those that it is only a part of.
    fn parts(&mut self) -> impl Iterator<Item = &mut Block> {
        let mut ends = false;
        let blocks = self.open.iter_mut().rev().chain([&mut self.outside]);
        blocks.take_while(move |block| !std::mem::replace(&mut ends, !block.is_group))
    }

    /// Whether GRUB puts a variable into a word.
    fn expands(&self, word: &Word) -> bool {
        self.text.get(word.at.clone()).is_none_or(lexer::has_variable)
    }

    /// Whether a path has more variables than the one of its device.
    fn is_variable_path(&self, word: &Word) -> bool {
        let path = word.text.strip_prefix(device(&word.text));
        path.is_some_and(|path| path.contains('$')) && self.expands(word)
    }

    /// Whether a word of a menu entry is [`IN_TEXT`], or a variable that may expand to it.
    fn may_be_in_text(&self, word: &Word) -> bool {
        word.text.starts_with(IN_TEXT) || self.expands(word)
    }

    /// A command without the reserved words before it, which open and close conditions (GRUB manual 2.12, "Reserved words").
    fn unreserved<'w>(&mut self, mut words: &'w [Word]) -> &'w [Word] {
        let conditions = &mut self.block().conditions;
        while let [first, rest @ ..] = words
            && first.is_plain()
        {
            match first.text.as_str() {
                "if" | "while" | "until" => *conditions = conditions.saturating_add(1),
                "fi" | "done" => *conditions = conditions.saturating_sub(1),
                "then" | "elif" | "else" | "do" | "!" => {}
                "for" => {
                    *conditions = conditions.saturating_add(1);
                    self.root(words, root::chosen_by(words));
                    self.variables(words);
                    return &[];
                }
                _ => break,
            }
            words = rest;
        }
        words
    }

    fn end_command(&mut self) {
        let command = std::mem::take(&mut self.command);
        let words = self.unreserved(&command);
        if let Some((first, rest)) = words.split_first() {
            self.setting(words);
            self.root(words, root::chosen_by(words));
            self.variables(words);
            self.run(first, rest);
        }
        self.script.words.extend(command);
    }

    fn run(&mut self, first: &Word, rest: &[Word]) {
        let name = first.text.as_str();
        if KERNEL.contains(&name) {
            return self.kernel(rest);
        }
        let mut words = [first].into_iter().chain(rest).filter(|_| name != ECHO);
        if words.clone().any(|word| names_init(&word.text)) {
            self.script.note_init();
        }
        // A variable may bring it into an entry.
        if let Some(word) = words.find(|word| passes_over(&word.text)) {
            self.note(STARTED_BY_INITRD, format!("`{}`", word.text));
        }
        match name {
            name if INITRD.contains(&name) => self.initrd(rest),
            "chainloader" => self.chain(rest),
            name if READERS.contains(&name) => self.include(name, rest),
            "fwsetup" if rest.iter().any(|word| word.text.ends_with("-is-supported")) => {}
            name if is_end(name) => self.ends(name),
            name if is_assignment(name) || is_harmless(name) => {}
            name if self.expands(first) => {
                self.note(COMMANDS, format!("`{name}`, which a variable names"));
            }
            name => self.calls(first, name),
        }
    }

    /// Takes a command that is not known: a function, or anything.
    fn calls(&mut self, first: &Word, name: &str) {
        self.loads_in_function();
        self.parts().for_each(|block| block.calls.extend([name.to_owned()]));
        if !self.unknown.contains_key(name) {
            let title = self.title_with(std::slice::from_ref(first));
            self.unknown.extend(title.map(|title| (name.to_owned(), title)));
        }
    }

    /// Takes a command behind which an entry is not run any more.
    fn ends(&mut self, name: &str) {
        self.loads_in_function();
        // A submenu may return: it is shown empty.
        if !self.block().is_within && name != "return" {
            self.note(COMMANDS, format!("`{name}` outside of an entry"));
        }
        for block in self.parts().filter(|block| block.ended.is_none()) {
            block.ended = Some(name.to_owned());
        }
    }

    /// Takes a command that starts something beside a kernel.
    fn starts_other(&mut self, command: &str, words: &[Word]) {
        self.loads_in_function();
        let text = || [command, " ", &Word::joined(words).unwrap_or_default().text].concat();
        for block in self.parts().filter(|block| block.other.is_none()) {
            block.other = Some(text());
        }
    }

    /// Notes that the function that commands are in, if they are in one, loads or ends something.
    fn loads_in_function(&mut self) {
        let function = self.parts().find_map(|block| block.function.clone());
        self.loading.extend(function);
    }

    /// Notes a command that gives entries of NixOS arguments which are not read, or keeps GRUB from loading what is put in.
    fn variables(&mut self, words: &[Word]) {
        let judged = [(fills_arguments(words), VARIABLES), (asks_for_signatures(words), UNSIGNED)];
        for (is_odd, looked_for) in judged {
            if is_odd {
                let found = Word::joined(words).unwrap_or_default().text;
                self.note(looked_for, format!("`{found}`"));
            }
        }
    }

    fn kernel(&mut self, words: &[Word]) {
        let Some((kernel, arguments)) = words.split_first() else { return };
        self.loads_in_function();
        if self.block().is_group {
            self.parts().for_each(|block| block.note("a `linux` line within braces of its own"));
        }
        let is_second = self.block().entry.is_some();
        self.end_entry();
        let title_word = self.open.iter().rev().find_map(|block| block.title.as_ref());
        let title_at = title_word.map(|title| title.at.clone());
        let Some(title) = self.title_with(words) else { return };
        let block = self.block();
        match block.conditions {
            0 if is_second => block.note("a second `linux` line"),
            0 => {}
            _ => block.note("a `linux` line within `if`, `while` or `for`"),
        }
        if let Some(end) = &block.ended {
            block.note(format!("a `linux` line behind `{end}`"));
        }
        let has_init = arguments.iter().any(|word| names_init(&word.text));
        block.loads |= has_init;
        block.has_init |= has_init;
        block.entry = Some(Entry {
            title,
            title_at,
            label: None,
            kernel: kernel.clone(),
            arguments: arguments.to_vec(),
            initrds: Vec::new(),
        });
    }

    fn initrd(&mut self, words: &[Word]) {
        if !self.budget.take(words.iter().map(Word::size)) {
            self.beyond = Some(Limit::Entries);
        }
        self.loads_in_function();
        let block = self.block();
        block.loads = true;
        let odd = match &mut block.entry {
            _ if block.conditions > 0 => Some("an `initrd` line within `if`, `while` or `for`"),
            None => Some("an `initrd` line without a `linux` line before it"),
            Some(entry) if !entry.initrds.is_empty() => Some("a second `initrd` line"),
            Some(entry) => {
                entry.initrds = words.to_vec();
                None
            }
        };
        if let Some(odd) = odd {
            block.note(odd);
        }
        if let Some(end) = &block.ended {
            block.note(format!("an `initrd` line behind `{end}`"));
        }
    }

    fn chain(&mut self, words: &[Word]) {
        self.starts_other("chainloader", words);
        let mut words = words.iter().skip_while(|word| word.text.starts_with("--"));
        let Some(program) = words.next() else { return };
        let may_start = |word: &&Word| self.expands(word) || word.text.contains("init");
        if self.is_variable_path(program) {
            self.note(PROGRAMS, format!("`chainloader {}`", program.text));
        } else if let Some(argument) = words.find(may_start) {
            self.note(PROGRAMS, format!("`chainloader … {}`", argument.text));
        }
        let title = self.title_with(std::slice::from_ref(program));
        self.script.chained.extend(title.map(|title| (title, program.clone())));
    }

    fn include(&mut self, command: &str, words: &[Word]) {
        self.starts_other(command, words);
        let file = words.iter().find(|word| !word.text.starts_with("--"));
        let file = file.map(|word| word.text.as_str()).unwrap_or_default();
        let title = self.title_with(words);
        let file_of =
            |title| IncludedFile { title, command: command.to_owned(), file: file.to_owned() };
        self.script.included.extend(title.map(file_of));
    }

    /// Notes a command that chooses `root`.
    fn root(&mut self, words: &[Word], root: Option<Root>) {
        let Some(root) = root else { return };
        let Some(title) = self.title_with(words) else { return };
        let command = Word::joined(words).map(|word| word.text).unwrap_or_default();
        self.block().roots.push(RootChange { title, command, root });
    }

    /// Notes a command that sets something for a menu, and not for one entry.
    fn setting(&mut self, words: &[Word]) {
        if self.block().is_within {
            return;
        }
        let name = words.first().map(|word| word.text.as_str()).unwrap_or_default();
        if let Some(submenu) = self.open.last_mut() {
            submenu.has_terminals |= matches!(name, "terminal_output" | "terminal_input");
            return;
        }
        let settings = &mut self.script.settings;
        settings.timeout.extend(assigned(words, "timeout="));
        settings.default.extend(assigned(words, "default="));
        if let [_, rest @ ..] = words
            && name == "serial"
        {
            settings.serial.extend(Word::joined(rest));
        }
    }

    /// Notes what is odd about the command or the line that is read.
    fn note(&mut self, looked_for: &str, found: impl Into<String>) {
        let open = &self.open;
        self.script.note(|| titles(open), looked_for, found);
    }

    /// The titles of the menus and the entry that are open.
    fn title(&self) -> Vec<String> {
        titles(&self.open)
    }

    /// The same, if the budget has enough left for it and for these words.
    fn title_with(&mut self, words: &[Word]) -> Option<Vec<String>> {
        let titles = self.open.iter().map(|block| block.title.as_ref().map_or(0, Word::size));
        if !self.budget.take(titles.chain(words.iter().map(Word::size))) {
            self.beyond = Some(Limit::Entries);
            return None;
        }
        Some(self.title())
    }

    /// Takes the entry of the block as it is now.
    fn end_entry(&mut self) {
        let Some(entry) = self.block().entry.take() else { return };
        // Without an initrd it is not NixOS.
        if let Some(found) = self.unread_in(&entry).filter(|_| !entry.initrds.is_empty()) {
            self.script.note(|| entry.title.clone(), ARGUMENTS, found);
        }
        self.script.take(entry);
    }

    /// The word of an entry that only GRUB knows.
    fn unread_in(&self, entry: &Entry) -> Option<String> {
        let mut paths = entry.initrds.iter().chain(std::iter::once(&entry.kernel));
        let has_init = entry.words().any(names_init);
        let is_odd = |word: &&Word| self.expands(word) && !(has_init && is_known(&word.text));
        let odd = entry.arguments.iter().find(is_odd);
        let odd = odd.or_else(|| paths.find(|word| self.is_variable_path(word)))?;
        let and = if has_init { ", a variable" } else { " and no `init=`" };
        Some(format!("`{}`{and}", odd.text))
    }

    /// Takes what is in a block that ends, before its title is gone.
    fn end_block(&mut self) {
        self.end_entry();
        let block = self.block();
        // An entry of another system may be on another device.
        if block.title.is_none() || block.is_submenu || block.has_init {
            let roots = std::mem::take(&mut block.roots);
            self.script.roots.extend(roots);
        }
        let block = self.block();
        let (odd, other) = (block.odd.take(), block.other.take());
        let other = || Some(format!("`{}` beside a `linux` line", other?));
        if let Some(odd) = odd.or_else(other).filter(|_| block.loads) {
            self.note(LOADS, odd);
        }
        self.end_calls();
    }

    /// Takes the functions that a block calls which loads NixOS.
    fn end_calls(&mut self) {
        let block = self.block();
        let calls = std::mem::take(&mut block.calls);
        for name in calls.into_iter().filter(|_| block.loads).collect::<Vec<_>>() {
            if !self.called.contains_key(&name) {
                let title = self.title_with(&[]);
                self.called.extend(title.map(|title| (name, title)));
            }
        }
    }

    fn end(mut self) -> Script {
        self.end_command();
        self.end_block();
        while self.open.pop().is_some() {
            self.end_block();
        }
        let mut unknown = self.unknown.into_iter();
        if let Some((name, title)) =
            unknown.find(|(name, _)| !self.functions.contains(name) || is_starter(name))
        {
            self.script.note(|| title, COMMANDS, format!("the command `{name}`"));
        }
        let mut called = self.called.into_iter();
        if let Some((name, title)) = called.find(|(name, _)| self.loading.contains(name)) {
            let found = format!("the function `{name}`, which loads or ends something");
            self.script.note(|| title, LOADS, found);
        }
        if let Some(limit) = self.beyond {
            self.script.overflow(limit);
        }
        self.script
    }
}

/// The titles of the menus and the entry that are open.
fn titles(open: &[Block]) -> Vec<String> {
    open.iter().filter_map(|block| block.title.as_ref()).map(|title| title.text.clone()).collect()
}

/// Whether a command sets a variable.
fn is_assignment(name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.split_once('=').is_some_and(|(name, _)| !name.is_empty() && name.chars().all(part))
}

/// The value that a command gives a variable, by `name=` or `set name=`.
fn assigned(words: &[Word], name: &str) -> Option<Word> {
    let word = match words {
        [set, word, ..] if set.text == "set" => word,
        [word, ..] => word,
        [] => return None,
    };
    Some(Word { text: word.text.strip_prefix(name)?.to_owned(), at: word.at.clone() })
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

    const MENU: &str = r#"
set timeout=10 # a comment { with braces
if [ ${iso_path} ] ; then
  set isoboot="findiso=${iso_path}"
fi
menuentry 'NixOS 25.11 Installer (Linux LTS)'  --class installer {
  terminal_output console
  linux /boot//nix/store/a/bzImage ${isoboot} init=/nix/store/s/init  root=LABEL=x  loglevel=4
  initrd /boot//nix/store/a/initrd
}
submenu "Options" --class submenu {
submenu "Serial console=ttyS0,115200n8" --class serial {
menuentry 'one line' { linux ($root)/boot/k init=/nix/store/s/init ; initrd ($root)/boot/ucode ($root)/boot/i; }
submenu "" {return}
}
}
menuentry 'Firmware Setup' --class settings {
  fwsetup
}
menuentry 'memtest' { linux16 /memtest }
"#;

    #[test]
    fn entries_are_found_with_their_menus() {
        let found = Syntax::Grub.entries(MENU);
        let titles: Vec<String> = found.iter().map(|entry| entry.title.join(" > ")).collect();
        assert_eq!(
            titles,
            [
                "NixOS 25.11 Installer (Linux LTS)",
                "Options > Serial console=ttyS0,115200n8 > one line"
            ]
        );
        assert_eq!(found[0].init(), Some("/nix/store/s/init"));
        assert_eq!(found[0].initrds[0].text, "/boot//nix/store/a/initrd");
        assert_eq!(found[1].initrds.len(), 2);
        assert_eq!(entries(MENU).len(), 3);
    }

    #[test]
    fn initrds_are_added_behind_the_last_one_with_its_device() {
        let found = Syntax::Grub.entries(MENU);
        let more = ["/remaster/a".into(), "/remaster/b".into()];
        let change = |entry| with_initrds(Syntax::Grub, entry, &more);
        let changes = found.iter().filter_map(change).collect();
        let new = changed(MENU, changes).unwrap();
        assert!(new.contains("  initrd /boot//nix/store/a/initrd /remaster/a /remaster/b\n"));
        assert!(new.contains(
            "initrd ($root)/boot/ucode ($root)/boot/i ($root)/remaster/a ($root)/remaster/b; }"
        ));
        assert_eq!(
            new.len(),
            MENU.len() + 2 * " /remaster/a /remaster/b".len() + 2 * "($root)".len()
        );
    }

    #[test]
    fn quotes_are_read_as_grub_does() {
        let text = "menuentry x {\n linux /k init='/a b' \"quiet\\\"\"\n initrd /i\n}\n";
        let found = entries(text);
        let words: Vec<&str> = found[0].arguments.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words, ["init=/a b", "quiet\""]);
        assert_eq!(found[0].initrds[0].text, "/i");
    }

    #[test]
    fn crlf_and_a_missing_last_newline_are_harmless() {
        let text = "menuentry 'x' {\r\n linux /k init=/i\r\n initrd /r\r\n}";
        assert_eq!(entries(text)[0].initrds[0].text, "/r");
        assert_eq!(
            entries("menuentry 'x' {\n linux /k init=/i\n initrd /r")[0].initrds[0].text,
            "/r"
        );
    }

    #[test]
    fn settings_are_those_outside_of_entries() {
        let text = "set timeout=10 # x\nif a; then set default='A > B>>C' ;fi\nif serial; then set with_serial=yes ;fi\n\
            serial --unit=0 --speed=9600\nsubmenu S {\n if b; then\n  terminal_output gfxterm\n fi\n menuentry x { terminal_output console\n set timeout=3\n }\n}\n\
            submenu T { menuentry y { terminal_output console\n } }\n";
        let found = settings(text);
        let shown = |words: &[Word]| -> Vec<(String, String)> {
            words.iter().map(|word| (word.text.clone(), text[word.at.clone()].to_owned())).collect()
        };
        assert_eq!(shown(&found.timeout), [("10".into(), "timeout=10".into())]);
        assert_eq!(shown(&found.default), [("A > B>>C".into(), "default='A > B>>C'".into())]);
        assert_eq!(found.serial.len(), 1);
        assert_eq!(found.serial[0].text, "--unit=0 --speed=9600");
        assert_eq!(found.terminals, [text.find("}\nsubmenu T").unwrap()]);
    }

    #[test]
    fn titles_are_no_options() {
        for (words, title) in [
            ("'T' --class a", "T"),
            ("--class a --id=b --unrestricted T", "T"),
            ("--id --unrestricted --hotkey t T", "T"),
            ("-- --id", "--id"),
            ("--other T", "--other"),
        ] {
            let text = format!("menuentry {words} {{\nlinux /k init=/i\ninitrd /r\n}}\n");
            assert_eq!(entries(&text)[0].title, [title], "{words}");
        }
    }

    #[test]
    fn titles_stand_where_they_are_said_to() {
        let found = entries(MENU);
        let at = found[1].title_at.clone().unwrap();
        assert_eq!(&MENU[at], "'one line'");
        assert_eq!(
            default_of(&found[1].title).unwrap(),
            "Options>Serial console=ttyS0,115200n8>one line"
        );
        assert_eq!(default_of(&["a>b".into(), "c".into()]).unwrap(), "a>>b>c");
        for odd in ["1st", "", "it's", "$x", "-1"] {
            assert_eq!(default_of(&[odd.into()]), None);
        }
    }

    /// What is odd about a script, with the titles down to it, and the files that it leads to.
    fn told(text: &str) -> String {
        read(text, &mut EntryBudget::default()).unread_and_included()
    }

    const WITHIN: &str = "x: a `linux` line within `if`, `while` or `for`";
    const STRAY: &str = ": `init=/nix/store/…` outside of such an entry";
    const SPLIT: &str = "x: a word that goes on in the next line";
    const OPERATOR: &str = "x: `|`, `&`, `<` or `>` outside of quotes";

    /// What stands in an entry, and what the reader says of it.
    const BODIES: &[(&str, &str)] = &[
        ("linux /k init=/i; initrd /r", ""),
        ("linux /k init=/i\n initrd /r /s", ""),
        ("! linux /k init=/i\n initrd /r", ""),
        ("if true; then linux /k init=/i\n initrd /r; fi", WITHIN),
        ("if linux /k init=/i\n then initrd /r; fi", WITHIN),
        ("while true; do linux /k init=/i\n initrd /r; done", WITHIN),
        ("for a in b; do linux /k init=/i; done; initrd /r", WITHIN),
        ("if true; then echo b; fi; linux /k init=/i; initrd /r", ""),
        (
            "linux /k init=/i; if true; then initrd /r; else initrd /s; fi",
            "x: an `initrd` line within `if`, `while` or `for`",
        ),
        ("linux /k init=/i; initrd /r; initrd /s", "x: a second `initrd` line"),
        ("linux /k init=/i; initrd /r; linux /k init=/i; initrd /r", "x: a second `linux` line"),
        ("linux /k; linux /k init=/i; initrd /r", "x: a second `linux` line"),
        ("initrd /r; linux /k init=/i", "x: an `initrd` line without a `linux` line before it"),
        (
            "linux /k init=/i; { initrd /r; }",
            "x: an `initrd` line without a `linux` line before it",
        ),
        ("L=linux; $L /k quiet; initrd /r", "x: `$L`, which a variable names"),
        ("L=linux; \"$L\" /k init=/i", STRAY),
        ("set a=init=/i; linux /k $a; initrd /r", STRAY),
        ("linux /k $a; initrd /r", "x: `$a` and no `init=`"),
        ("linux /k $a", ""),
        ("linux /k init=/i -- -unit=x; initrd /r", "x: `-unit=x`"),
        ("linux /k init=/i -u -- x; initrd /r", ""),
        ("linux /k init=/i ${isoboot} $isoboot; initrd ($root)/r", ""),
        ("linux /k init=/i $a; initrd /r", "x: `$a`, a variable"),
        ("linux /k init=/i \"a ${isoboot}\"; initrd /r", "x: `a ${isoboot}`, a variable"),
        ("linux /k init=/i${isoboot}; initrd /r", "x: `init=/i${isoboot}`, a variable"),
        ("linux /k init=/i 'a=$b' c\\$; initrd /r", ""),
        ("linux /k init=/i; initrd /r /$r", "x: `/$r`, a variable"),
        ("linux /$k init=/i; initrd /r", "x: `/$k`, a variable"),
        ("set isoboot=\"findiso=${iso_path}\"", ""),
        ("set isoboot=rd", "x: `set isoboot=rd`"),
        ("isoboot=rd", "x: `isoboot=rd`"),
        ("set iso_path=x", "x: `set iso_path=x`"),
        ("read isoboot", "x: `read isoboot`"),
        ("regexp --set=1:isoboot x y", "x: `regexp --set=1:isoboot x y`"),
        ("for isoboot in a b; do true; done", "x: `for isoboot in a b`"),
        ("load_env --file /env", "x: `load_env --file /env`"),
        ("load_env --file /env isoboot", "x: `load_env --file /env isoboot`"),
        ("load_env --file /env saved_entry", ""),
        ("set check_signatures=enforce", "x: `set check_signatures=enforce`"),
        ("set check_signatures=$x", "x: `set check_signatures=$x`"),
        ("set check_signatures=no", ""),
        ("trust /key", "x: `trust /key`"),
        (
            "linux /k init=/i; initrd /r; chainloader /x",
            "x: `chainloader /x` beside a `linux` line",
        ),
        (
            "chainloader /x; linux /k init=/i; initrd /r",
            "x: `chainloader /x` beside a `linux` line",
        ),
        (
            "linux /k init=/i; initrd /r; { chainloader /x; }",
            "x: `chainloader /x` beside a `linux` line",
        ),
        (
            "linux /k init=/i; initrd /r; source /a.inc",
            "x: `source /a.inc` beside a `linux` line, source /a.inc",
        ),
        ("linux /k init=/i; boot; initrd /r", "x: an `initrd` line behind `boot`"),
        ("return; linux /k init=/i; initrd /r", "x: a `linux` line behind `return`"),
        ("linux /k init=/i; { halt; }; initrd /r", "x: an `initrd` line behind `halt`"),
        ("linux /k init=/i; if a; then exit; fi; initrd /r", "x: an `initrd` line behind `exit`"),
        ("linux /k init=/i; initrd /r; boot", ""),
        (
            "linux /k init=/i; initrd /r; { linux /l; }",
            "x: a `linux` line within braces of its own",
        ),
        (
            "{ linux /k init=/i; initrd /r; }; linux /l",
            "x: a `linux` line within braces of its own",
        ),
        ("linux /k init=/i; initrd /r; f", ""),
        (
            "function g { linux /l\n}\nlinux /k init=/i; initrd /r; g",
            "x: the function `g`, which loads or ends something",
        ),
        (
            "linux /k init=/i; initrd /r; g; }\nfunction g { { return; }\n",
            "x: the function `g`, which loads or ends something",
        ),
        (
            "function g { f\n}\nlinux /k init=/i; initrd /r; g",
            "x: the function `g`, which loads or ends something",
        ),
        ("function g { linux /l\n}\ng", ""),
        ("halt", ""),
        ("}\nboot\nmenuentry y {", ": `boot` outside of an entry"),
        ("}\nsubmenu '' {return", ""),
        ("menuentry 'a $y' { true; }", ""),
        ("menuentry a\\$y { true; }", ""),
        ("menuentry 'a'$y { true; }", "x: `menuentry a$y`"),
        ("linux ($root)/memtest", ""),
        ("if true; then linux /memtest; else linux16 /memtest; fi", ""),
        ("multiboot /xen; module /k init=/i; module /r", STRAY),
        ("multiboot /xen", "x: the command `multiboot`"),
        ("chainloader ($root)/EFI/x.efi", ""),
        ("chainloader --force /x.efi", ""),
        ("chainloader $x", "x: `chainloader $x`"),
        ("chainloader /k init=/i", STRAY),
        ("chainloader /k in${i}=/i", "x: `chainloader … in${i}=/i`"),
        ("chainloader /k initrd=\\\\r", "x: `chainloader … initrd=\\r`"),
        ("chainloader /k quiet", ""),
        ("linux /k \"quiet init=/i\"; initrd /r", "x: `quiet init=/i`"),
        ("linux /k a=init=/i; initrd /r", "x: `a=init=/i`"),
        ("linux /k \"quiet init=/i\" init=/i; initrd /r", ""),
        ("true \"\n\"", SPLIT),
        ("true '\n'", SPLIT),
        ("true ${\n}", SPLIT),
        ("linux /k \\\n init=/i; initrd /r", SPLIT),
        ("linux /k \\\r\n init=/i; initrd /r", SPLIT),
        ("fi true \\\nlinux /k $i", SPLIT),
        ("true & \\", OPERATOR),
        ("a&&b", OPERATOR),
        ("echo 'a > b' a\\|b \"<\"", ""),
        ("true \0 b", ": the byte 0x00"),
        ("lin\rux /k", ": the byte 0x0d"),
        ("linux /k init=/i\r\n initrd /r\r", ""),
        ("# linux /k init=/i '", ""),
        ("echo init=/i", ""),
        ("echo init=/i; set a=init=/i", STRAY),
        ("f; g", "x: the command `g`"),
        ("eval 'linux /k'", "x: the command `eval`"),
        ("source /a.inc", "source /a.inc"),
        (". /a.inc", ". /a.inc"),
        ("if true; then configfile ($root)/a.inc; fi", "configfile ($root)/a.inc"),
        ("normal", "normal "),
        ("menuentry y --source 'linux /k'", "x: the command `menuentry`"),
        ("submenu y --source 'linux /k' { true; }", "x: `submenu --source`"),
        ("menuentry y --source=x { true; }", "x: `menuentry --source=x`"),
        ("menuentry y $y { true; }", "x: `menuentry $y`"),
        ("menuentry \"$y\" { true; }", "x: `menuentry $y`"),
        ("menuentry \"a $y\" { true; }", "x: `menuentry a $y`"),
        ("function eval { true; }\neval linux", "x: the command `eval`"),
        ("function menuentry { true; }\nmenuentry y", "x: the command `menuentry`"),
        ("function multiboot { true; }\nmultiboot /k", "x: the command `multiboot`"),
        ("function load_video { true; }\nload_video", ""),
        ("'if' true; fi; linux /k init=/i; initrd /r", "x: the command `if`"),
    ];

    #[test]
    fn what_may_start_nixos_and_is_not_an_entry_is_odd() {
        for (body, expected) in BODIES {
            let text = format!("function f {{ true\n}}\nmenuentry x {{\n {body}\n}}\n");
            assert_eq!(told(&text), *expected, "{body}");
        }
    }

    #[test]
    fn entries_within_conditions_are_read_with_their_titles() {
        let text = "if [ a ]; then menuentry one { linux /k init=/i\n initrd /r\n }\nfi\n\
            if true; then\n submenu s {\n menuentry two { linux /k init=/i\n initrd /r\n }\n }\nfi\n";
        let titles: Vec<String> = entries(text).iter().map(Entry::path).collect();
        assert_eq!(
            (titles.as_slice(), told(text).as_str()),
            (&["one".into(), "s > two".into()][..], "")
        );
    }

    #[test]
    fn menus_within_menus_take_no_more_than_they_may() {
        let entry = "linux /k init=/i\ninitrd /r\n";
        let deep =
            |menus: usize, entries: usize| "submenu a {\n".repeat(menus) + &entry.repeat(entries);
        assert_eq!(read(&deep(40, 36), &mut EntryBudget::default()).entries.len(), 36);
        let larger = "menus whose entries and settings take at most 8 MiB";
        let deeper = "at most 64 braces within each other";
        let odd = |command: &str| {
            format!(
                "menuentry {} {{\n{}",
                "x".repeat(500_000),
                format!("{command}\n").repeat(50_000)
            )
        };
        let long = format!("menuentry {} {{\n{}}}", "x".repeat(50_000), entry.repeat(200));
        for (text, expected) in [
            (deep(64, 1), None),
            (deep(65, 1), Some(deeper)),
            ("{".repeat(400_000) + &entry.repeat(20_000), Some(deeper)),
            (deep(1, 20_000), Some(larger)),
            (long, Some(larger)),
            (odd("$x"), Some(COMMANDS)),
            (odd("linux /k init=/i; linux /k"), Some(larger)),
        ] {
            let odd = read(&text, &mut EntryBudget::default()).unread;
            assert_eq!(odd.map(|odd| odd.looked_for).as_deref(), expected);
        }
    }
}
