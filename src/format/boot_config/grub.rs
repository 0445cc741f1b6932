//! grub.cfg: the words of a GRUB 2 script (GRUB manual 2.12, "Quoting", "Reserved words") and the menu
//! entries among them.

use super::{Entry, Word};

/// Commands that load a kernel, an initrd; the `efi` and `16` ones are of patched or older GRUBs.
const KERNEL: [&str; 3] = ["linux", "linuxefi", "linux16"];
const INITRD: [&str; 3] = ["initrd", "initrdefi", "initrd16"];

/// The entries of a script that load a kernel.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut walk = Walk::default();
    for token in Lexer::new(text) {
        walk.take(token);
    }
    walk.end_command();
    walk.end_entry();
    walk.found
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
    /// One for each open brace: the title of the menu it opens, if it opens one.
    titles: Vec<Option<String>>,
    current: Option<Entry>,
    found: Vec<Entry>,
}

impl Walk {
    fn take(&mut self, token: Token) {
        match token {
            Token::Word(word) => self.command.push(word),
            Token::End => self.end_command(),
            Token::Open => {
                let opens_menu = self.command.first().is_some_and(|w| {
                    matches!(w.text.as_str(), "menuentry" | "submenu" | "hiddenentry")
                });
                let title =
                    self.command.get(1).filter(|_| opens_menu).map(|word| word.text.clone());
                self.titles.push(title);
                self.command.clear();
            }
            Token::Close => {
                self.end_command();
                self.end_entry();
                self.titles.pop();
            }
        }
    }

    fn end_command(&mut self) {
        let command = std::mem::take(&mut self.command);
        let Some((first, rest)) = command.split_first() else { return };
        if KERNEL.contains(&first.text.as_str()) {
            self.end_entry();
            self.current = self.entry(rest);
        } else if INITRD.contains(&first.text.as_str())
            && let Some(entry) = &mut self.current
        {
            entry.initrds = rest.to_vec();
        }
    }

    fn entry(&self, words: &[Word]) -> Option<Entry> {
        let (kernel, arguments) = words.split_first()?;
        Some(Entry {
            title: self.titles.iter().flatten().cloned().collect(),
            kernel: kernel.clone(),
            arguments: arguments.to_vec(),
            initrds: Vec::new(),
        })
    }

    fn end_entry(&mut self) {
        self.found.extend(self.current.take());
    }
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
    use super::super::{Syntax, with_initrds};
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
        let new = with_initrds(MENU, Syntax::Grub, &found, |_| {
            vec!["/remaster/a".into(), "/remaster/b".into()]
        });
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
}
