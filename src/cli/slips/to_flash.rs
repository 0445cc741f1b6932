//! A command line that makes an image and names a disk, as one of `flash`: with the flags that `flash` has, by the names that
//! they have there.

use clap::{Arg, Command};

use super::typed::{Typed, flag_of, takes_the_next};

/// A flag as it was typed.
struct Given<'a> {
    flag: &'a Arg,
    name: String,
    /// The value, where it is part of the same word.
    value: Option<String>,
}

/// A command line of `flash`.
#[derive(Default)]
struct Meant {
    words: Vec<String>,
    /// Flags that `flash` does not have, as they were typed.
    left_out: Vec<String>,
}

/// The hint that names the command line of `flash` for this one, without the word at `skipped`; `disk` stands last, and not
/// behind --output.
pub(super) fn hint(typed: &Typed<'_>, skipped: Option<usize>, disk: Option<&str>) -> String {
    let Meant { mut words, left_out } = meant(typed, skipped, disk);
    words.extend(disk.map(str::to_owned));
    let line = typed.proposal(["flash"].into_iter().chain(words.iter().map(String::as_str)));
    let Some(line) = line else { return "`remaster flash -h` shows what it takes".to_owned() };
    if left_out.is_empty() {
        return format!("did you mean `{line}`?");
    }
    format!("did you mean `{line}`? `remaster flash` does not have {}", left_out.join(", "))
}

fn meant(typed: &Typed<'_>, skipped: Option<usize>, disk: Option<&str>) -> Meant {
    let mut meant = Meant::default();
    let mut only_plain = false;
    let mut words = typed.words.iter().enumerate();
    while let Some((place, word)) = words.next() {
        only_plain |= word == "--";
        let given = if only_plain { None } else { given(typed.command, word) };
        match given {
            _ if skipped == Some(place) => {}
            None => meant.words.push(word.clone()),
            Some(all) => {
                for one in all {
                    let takes = one.value.is_none() && takes_the_next(one.flag);
                    let next = if takes { words.next() } else { None };
                    let next = next.map(|(_, word)| word.as_str());
                    meant.take(typed.command, &one, next, disk);
                }
            }
        }
    }
    meant
}

impl Meant {
    /// Takes a flag, and its value where that is the next word.
    fn take(
        &mut self,
        program: &Command,
        given: &Given<'_>,
        next: Option<&str>,
        disk: Option<&str>,
    ) {
        let value = given.value.as_deref().or(next);
        if given.flag.get_id() == "output" && disk.is_some() && value == disk {
            return;
        }
        let flash = program.find_subcommand("flash");
        let same = |own: &&Arg| own.get_id() == given.flag.get_id();
        let own = flash.and_then(|flash| flash.get_arguments().find(same));
        let name = match own.and_then(Arg::get_long) {
            // There it is about files.
            _ if given.flag.get_id() == "force" => return self.left_out.push(given.name.clone()),
            _ if given.flag.is_global_set() => given.name.clone(),
            None => return self.left_out.push(given.name.clone()),
            Some(long) if given.flag.get_long() == Some(long) => given.name.clone(),
            Some(long) => format!("--{long}"),
        };
        match (&given.value, next) {
            (Some(value), _) if name.starts_with("--") => {
                self.words.push(format!("{name}={value}"));
            }
            (value, next) => {
                self.words.push(name);
                self.words.extend(value.clone().or(next.map(str::to_owned)));
            }
        }
    }
}

/// The flags that a word is; none where it is not one, or not known.
fn given<'a>(command: &'a Command, word: &str) -> Option<Vec<Given<'a>>> {
    if let Some(long) = word.strip_prefix("--") {
        let (long, value) = long.split_once('=').map_or((long, None), |(l, v)| (l, Some(v)));
        let (flag, name) = (flag_of(command, long)?, format!("--{long}"));
        return Some(vec![Given { flag, name, value: value.map(str::to_owned) }]);
    }
    let mut letters = word.strip_prefix('-').filter(|letters| !letters.is_empty())?.chars();
    let mut all = Vec::new();
    while let Some(letter) = letters.next() {
        let flag = command.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
        let rest = letters.as_str();
        let has_value = takes_the_next(flag) && !rest.is_empty();
        let value = has_value.then(|| rest.trim_start_matches('=').to_owned());
        all.push(Given { flag, name: format!("-{letter}"), value });
        if has_value {
            break;
        }
    }
    Some(all)
}
