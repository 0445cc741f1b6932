//! A flag in front of the command that it is for.

use clap::{Arg, Command};
use remaster::error::Error;

use super::typed::{Typed, flag_of, takes_the_next};
use super::{unknown_flag, usage};

/// What is said of flags in front of a command; none where there are none.
pub(super) fn explain(program: &Command, words: &[String]) -> Option<Error> {
    let (command, start, end) = place_of_command(program, words)?;
    let (flags, rest) = words.split_at(start);
    let (path, behind) = rest.split_at_checked(end.checked_sub(start)?)?;
    let meant: Vec<String> = [path, flags, behind].concat();
    let typed = Typed::new(program, &meant);
    let mut names = flags.iter().filter(|word| word.starts_with('-'));
    if let Some(other) = names.clone().find(|word| find(command, word).is_none()) {
        return Some(unknown_flag(program, &typed, other));
    }
    let what = format!(
        "`{}` stands in front of the command, and must stand behind it",
        name_of(names.next()?)
    );
    Some(usage(what, typed.did_you_mean(meant.iter().map(String::as_str))))
}

/// The command behind the flags that the words begin with, where it begins, and where it ends.
fn place_of_command<'a>(
    program: &'a Command,
    words: &[String],
) -> Option<(&'a Command, usize, usize)> {
    let below = |word: &String| program.find_subcommand(word);
    words.first().filter(|word| word.starts_with('-') && word.len() > 1)?;
    // Only a command knows which of its flags take a value.
    let mut commands = words.iter().filter_map(below);
    commands.find_map(|command| {
        let start = behind_flags(program, command, words)?;
        let mut found = words.get(start).and_then(below)?;
        if found.get_name() != command.get_name() {
            return None;
        }
        let mut end = start.checked_add(1)?;
        while let Some(next) = words.get(end).and_then(|word| found.find_subcommand(word)) {
            (found, end) = (next, end.checked_add(1)?);
        }
        Some((found, start, end))
    })
}

/// The place of the first word that is neither a flag nor the value of one.
fn behind_flags(program: &Command, command: &Command, words: &[String]) -> Option<usize> {
    let mut all = words.iter().enumerate();
    while let Some((place, word)) = all.next() {
        if !word.starts_with('-') || word == "-" || word == "--" {
            return Some(place);
        }
        let flag = find(command, word).or_else(|| find(program, word));
        let is_alone = name_of(word) == word && (word.len() == 2 || word.starts_with("--"));
        if is_alone && flag.is_some_and(takes_the_next) {
            all.next();
        }
    }
    None
}

/// The flag that a word is, as a command has it.
fn find<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    match name_of(word).strip_prefix("--") {
        Some(long) => flag_of(command, long),
        None => {
            let letter = word.chars().nth(1)?;
            command.get_arguments().find(|arg| arg.get_short() == Some(letter))
        }
    }
}

fn name_of(word: &str) -> &str {
    word.split('=').next().unwrap_or(word)
}
