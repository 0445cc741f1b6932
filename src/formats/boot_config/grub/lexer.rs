//! The words of a GRUB 2 script, and what stands between them (GRUB manual 2.12, "Quoting").

use super::super::Word;

/// A part of a script.
#[derive(Debug, PartialEq)]
pub(super) enum Token {
    /// A word, without its quotes.
    Word(Word),
    /// A newline or semicolon.
    End,
    /// An opening brace.
    Open,
    /// A closing brace.
    Close,
}

/// Takes a script apart.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the next part begins.
    pub(super) at: usize,
    /// What was found that GRUB may take apart otherwise. After an error it goes on at the next line, whatever that
    /// line is a part of.
    pub(super) odd: Option<&'static str>,
}

const SPLIT: &str = "a word that goes on in the next line";
const OPERATOR: &str = "`|`, `&`, `<` or `>` outside of quotes";

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, odd: None }
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
                    if "|&<>".contains(next) {
                        self.odd = Some(OPERATOR);
                    }
                    self.bump();
                    text.push(next);
                }
            }
        }
        if self.text.get(start..self.at).is_some_and(|word| word.contains(['\r', '\n'])) {
            self.odd = Some(SPLIT);
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

    /// A backslash keeps the next character.
    fn escaped(&mut self, text: &mut String) {
        self.bump();
        text.extend(self.bump());
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

/// Whether GRUB puts a variable into a word, as it stands in the text: what is in single quotes or behind a backslash stays.
pub(super) fn has_variable(word: &str) -> bool {
    let (mut in_single, mut in_double) = (false, false);
    let mut chars = word.chars();
    while let Some(next) = chars.next() {
        match next {
            '\'' if !in_double => in_single = !in_single,
            _ if in_single => {}
            '"' => in_double = !in_double,
            '\\' => drop(chars.next()),
            '$' => return true,
            _ => {}
        }
    }
    false
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
