//! grub.cfg: the words of a GRUB 2 script (GRUB manual 2.12, "Quoting", "Reserved words") and the menu
//! entries among them.

use super::{Entry, Settings, Word};

/// Commands that load a kernel, an initrd; the `efi` and `16` ones are of patched or older GRUBs.
const KERNEL: [&str; 3] = ["linux", "linuxefi", "linux16"];
const INITRD: [&str; 3] = ["initrd", "initrdefi", "initrd16"];

/// The entries of a script that load a kernel.
pub fn entries(text: &str) -> Vec<Entry> {
    walked(text).found
}

/// The programs that entries start instead of a kernel, each with the titles down to its entry.
pub(crate) fn chained(text: &str) -> Vec<(Vec<String>, Word)> {
    walked(text).chained
}

/// What a script sets outside of its menu entries.
pub fn settings(text: &str) -> Settings {
    walked(text).settings
}

/// The words of all commands, without the titles of menus.
pub fn words(text: &str) -> Vec<Word> {
    walked(text).words
}

fn walked(text: &str) -> Walk {
    let mut walk = Walk::default();
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        walk.take(token, lexer.at);
    }
    walk.end_command();
    walk.end_entry();
    walk
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

#[derive(Debug, PartialEq)]
enum Token {
    Word(Word),
    /// A newline or semicolon.
    End,
    Open,
    Close,
}

/// What the walk over the commands of a script knows so far.
#[derive(Default)]
struct Walk {
    command: Vec<Word>,
    /// One for each open brace.
    open: Vec<Block>,
    current: Option<Entry>,
    found: Vec<Entry>,
    chained: Vec<(Vec<String>, Word)>,
    settings: Settings,
    words: Vec<Word>,
}

/// What an open brace opens.
#[derive(Default)]
struct Block {
    title: Option<Word>,
    is_submenu: bool,
    /// Whether it chooses terminals itself.
    has_terminals: bool,
}

impl Walk {
    /// Takes a token that ends before byte `end`.
    fn take(&mut self, token: Token, end: usize) {
        match token {
            Token::Word(word) => self.command.push(word),
            Token::End => self.end_command(),
            Token::Open => {
                let mut command = std::mem::take(&mut self.command).into_iter();
                let first = command.next().map(|word| word.text).unwrap_or_default();
                let is_menu = matches!(first.as_str(), "menuentry" | "submenu" | "hiddenentry");
                let title = command.next().filter(|_| is_menu);
                self.open.push(Block {
                    title,
                    is_submenu: first == "submenu",
                    has_terminals: false,
                });
            }
            Token::Close => {
                self.end_command();
                self.end_entry();
                if self.open.pop().is_some_and(|block| block.is_submenu && block.has_terminals) {
                    self.settings.terminals.push(end.saturating_sub(1));
                }
            }
        }
    }

    fn end_command(&mut self) {
        let command = std::mem::take(&mut self.command);
        let Some((first, rest)) = command.split_first() else { return };
        self.words.extend(command.iter().cloned());
        self.setting(&command);
        if first.text == "chainloader" {
            self.chained.extend(rest.first().map(|word| (self.title(), word.clone())));
        } else if KERNEL.contains(&first.text.as_str()) {
            self.end_entry();
            self.current = self.entry(rest);
        } else if INITRD.contains(&first.text.as_str())
            && let Some(entry) = &mut self.current
        {
            entry.initrds = rest.to_vec();
        }
    }

    /// Notes a command that sets something for a menu, and not for one entry.
    fn setting(&mut self, command: &[Word]) {
        if !self.open.iter().all(|block| block.is_submenu) {
            return;
        }
        // Behind `then`, `else` and the like.
        let at = |name: &str| command.iter().position(|word| word.text == name);
        let terminal = command
            .iter()
            .any(|word| matches!(word.text.as_str(), "terminal_output" | "terminal_input"));
        match self.open.last_mut() {
            Some(submenu) => submenu.has_terminals |= terminal,
            None => {
                self.settings.timeout.extend(assigned(command, "timeout="));
                self.settings.default.extend(assigned(command, "default="));
                let rest = at("serial").and_then(|at| command.get(at.saturating_add(1)..));
                self.settings.serial.extend(rest.and_then(Word::joined));
            }
        }
    }

    fn entry(&self, words: &[Word]) -> Option<Entry> {
        let (kernel, arguments) = words.split_first()?;
        let mut titles = self.open.iter().filter_map(|block| block.title.as_ref());
        Some(Entry {
            title: self.title(),
            title_at: titles.next_back().map(|title| title.at.clone()),
            label: None,
            kernel: kernel.clone(),
            arguments: arguments.to_vec(),
            initrds: Vec::new(),
        })
    }

    /// The titles of the menus and the entry that are open.
    fn title(&self) -> Vec<String> {
        let titles = self.open.iter().filter_map(|block| block.title.as_ref());
        titles.map(|title| title.text.clone()).collect()
    }

    fn end_entry(&mut self) {
        self.found.extend(self.current.take());
    }
}

/// The value that a command gives a variable.
fn assigned(command: &[Word], name: &str) -> Option<Word> {
    let place = command.iter().position(|word| word.text.starts_with(name))?;
    let before = place.checked_sub(1).and_then(|before| command.get(before));
    let sets = before.is_none_or(|word| matches!(word.text.as_str(), "set" | "then" | "else"));
    let word = command.get(place).filter(|_| sets)?;
    Some(Word { text: word.text.strip_prefix(name)?.to_owned(), at: word.at.clone() })
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at = self.at.saturating_add(next.len_utf8());
        Some(next)
    }

    fn skip_blanks_and_comments(&mut self) {
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\r' => {
                    self.bump();
                }
                '\\' if self.text.get(self.at..).is_some_and(|rest| rest.starts_with("\\\n")) => {
                    self.bump();
                    self.bump();
                }
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.bump();
                    }
                }
                _ => break,
            }
        }
    }

    fn word(&mut self) -> Word {
        let start = self.at;
        let mut text = String::new();
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\r' | '\n' | ';' | '{' | '}' => break,
                '\'' => self.quoted(&mut text),
                '"' => self.double_quoted(&mut text),
                '\\' => self.escaped(&mut text),
                '$' => self.variable(&mut text),
                _ => {
                    self.bump();
                    text.push(next);
                }
            }
        }
        Word { text, at: start..self.at }
    }

    fn quoted(&mut self, text: &mut String) {
        self.bump();
        while let Some(next) = self.bump().filter(|c| *c != '\'') {
            text.push(next);
        }
    }

    fn double_quoted(&mut self, text: &mut String) {
        self.bump();
        while let Some(next) = self.bump().filter(|c| *c != '"') {
            match next {
                '\\' => text.extend(self.bump()),
                _ => text.push(next),
            }
        }
    }

    /// A backslash keeps the next character; before a newline it joins the lines.
    fn escaped(&mut self, text: &mut String) {
        self.bump();
        text.extend(self.bump().filter(|c| *c != '\n'));
    }

    /// `${name}` is part of a word, braces and all. It stays as it is written.
    fn variable(&mut self, text: &mut String) {
        text.extend(self.bump());
        if self.peek() != Some('{') {
            return;
        }
        while let Some(next) = self.bump() {
            text.push(next);
            if matches!(next, '}' | '\n') {
                break;
            }
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks_and_comments();
        let single = match self.peek()? {
            '\n' | ';' => Token::End,
            '{' => Token::Open,
            '}' => Token::Close,
            _ => return Some(Token::Word(self.word())),
        };
        self.bump();
        Some(single)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Syntax, changed, with_initrds};
    use super::*;

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
    fn quotes_and_joined_lines_are_read_as_grub_does() {
        let text = "menuentry x {\n linux /k \\\n  init='/a b' \"quiet\\\"\"\n initrd /i\n}\n";
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
}
