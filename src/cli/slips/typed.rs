//! A command line as it was typed: which of its words are flags, values of flags, or neither.

use std::path::Path;

use clap::{Arg, Command};

use crate::cli::shell::shell_quote;

/// The words behind the name of the program.
pub(super) struct Typed<'a> {
    pub(super) program: &'a Command,
    pub(super) words: &'a [String],
    /// Places of those that are neither flags nor values of flags, nor commands.
    pub(super) plain: Vec<usize>,
    /// The command, and the words that name it; for the form without a command the program.
    pub(super) command: &'a Command,
    pub(super) path: Vec<&'a str>,
}

impl<'a> Typed<'a> {
    pub(super) fn new(program: &'a Command, words: &'a [String]) -> Self {
        let (plain, path) = (Vec::new(), Vec::new());
        let mut found = Self { program, words, plain, command: program, path };
        let mut words = words.iter().enumerate();
        let mut only_plain = false;
        while let Some((place, word)) = words.next() {
            if !only_plain && word == "--" {
                only_plain = true;
            } else if !only_plain && word.starts_with('-') && word != "-" {
                if found.flag(word).is_some_and(takes_the_next) {
                    words.next();
                }
            } else {
                found.take(place, word);
                // What stands behind is another program's, as of `ssh`.
                if found.takes_the_rest() {
                    break;
                }
            }
        }
        found
    }

    /// Whether the command gives all words from here on to another program.
    fn takes_the_rest(&self) -> bool {
        let mut all = self.command.get_arguments();
        !self.plain.is_empty() && all.any(Arg::is_trailing_var_arg_set)
    }

    fn take(&mut self, place: usize, word: &'a str) {
        match self.command.find_subcommand(word).filter(|_| self.plain.is_empty()) {
            Some(below) => {
                self.command = below;
                self.path.push(below.get_name());
            }
            None => self.plain.push(place),
        }
    }

    /// The flag of the command that a word is, if its value may stand in the next word.
    pub(super) fn flag(&self, word: &str) -> Option<&'a Arg> {
        if let Some(long) = word.strip_prefix("--") {
            return flag_of(self.command, long);
        }
        let mut letters = word.strip_prefix('-')?.chars();
        let (letter, rest) = (letters.next()?, letters.next());
        let mut all = self.command.get_arguments();
        all.find(|arg| arg.get_short() == Some(letter) && rest.is_none())
    }

    /// The flag whose value a word is taken for, or behind which it stands.
    pub(super) fn before(&self, place: usize) -> Option<(&'a str, &'a Arg)> {
        let word = self.words.get(place.checked_sub(1)?)?;
        Some((word, self.flag(word)?))
    }

    /// Whether one of these flags is typed.
    pub(super) fn has(&self, ids: &[&str]) -> bool {
        let name = |word: &'a String| word.split('=').next().unwrap_or_default();
        let flags = self.words.iter().filter_map(|word| self.flag(name(word)));
        flags.into_iter().any(|flag| ids.contains(&flag.get_id().as_str()))
    }

    pub(super) fn plain_words(&self) -> impl Iterator<Item = (usize, &'a str)> + '_ {
        self.plain.iter().filter_map(|place| Some((*place, self.words.get(*place)?.as_str())))
    }

    /// The flag behind whose value a word stands, with nothing but plain words between, as it was typed; and the place of
    /// that value.
    pub(super) fn behind_value(&self, place: usize) -> Option<(&'a str, &'a Arg, usize)> {
        let mut value = place.checked_sub(1)?;
        while self.plain.contains(&value) {
            value = value.checked_sub(1)?;
        }
        let word = self.words.get(value)?;
        if let Some((name, _)) = word.split_once('=').filter(|(name, _)| name.starts_with('-')) {
            return Some((name, self.flag(name)?, value));
        }
        let (name, flag) = self.before(value).filter(|(_, flag)| takes_the_next(flag))?;
        Some((name, flag, value))
    }

    /// A command line of these words, as it is typed in a shell; none if the parser would refuse it: nothing is proposed
    /// that cannot be run.
    pub(super) fn proposal<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
        let words: Vec<&str> = words.into_iter().collect();
        self.refusal(&words).is_none().then(|| line(words))
    }

    /// What the parser has against a command line of these words.
    pub(super) fn refusal(&self, words: &[&str]) -> Option<clap::Error> {
        let all = ["remaster"].into_iter().chain(words.iter().copied());
        let parsed = self.program.clone().try_get_matches_from(all);
        // Who asks for a help text is answered with it.
        parsed.err().filter(clap::Error::use_stderr)
    }

    /// What asks whether that is meant; without a proposal, what leads on.
    pub(super) fn did_you_mean<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> String {
        self.proposal(words)
            .map_or_else(|| self.see_help(), |line| format!("did you mean `{line}`?"))
    }

    /// Where it stands what the command takes.
    pub(super) fn see_help(&self) -> String {
        let name = self.name();
        format!("`{} -h` shows what it takes", name.trim_end_matches(" help"))
    }

    /// What the command is called in messages.
    pub(super) fn name(&self) -> String {
        let mut name = "remaster".to_owned();
        for word in &self.path {
            name.extend([" ", word]);
        }
        name
    }
}

/// The flag of a command by its long name, or an alias of that.
pub(super) fn flag_of<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    let is_called = |arg: &&Arg| {
        arg.get_long() == Some(long)
            || arg.get_all_aliases().is_some_and(|names| names.contains(&long))
    };
    command.get_arguments().find(is_called)
}

/// Whether its value may stand in the next word.
pub(super) fn takes_the_next(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

/// A command line, as it is typed in a shell.
fn line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = "remaster".to_owned();
    for word in words {
        // Those in capitals stand for what is to be given.
        let word = shell_quote(Path::new(word));
        text.extend([" ", &word]);
    }
    text
}
