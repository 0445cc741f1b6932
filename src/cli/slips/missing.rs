//! Arguments that a command needs and did not get, and words where a command of a command is expected.

use std::net::IpAddr;
use std::path::Path;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use remaster::bases::{Catalog, name_of};
use remaster::error::{Advice, Error};
use remaster::nearest::typo;

use super::repeated::is_known_hosts;
use super::role::Kind;
use super::table::{BELOW, COMMANDS};
use super::typed::{Typed, takes_the_next};
use super::{bases, usage};
use crate::cli::shell::shell_quote;
use crate::cli::{diagnostics, help};

/// Arguments whose lack has an answer of its own: the command, the argument as the parser calls it, the answer.
const ANSWERS: &[(&str, &str, &str)] = &[
    (
        "remaster edit",
        "--in-place",
        "it changes the image itself, and --in-place says that this is meant; to keep that image, copy it first",
    ),
    (
        "remaster reset",
        "--output",
        "give the file to write with `-o FILE`, or --in-place to change the image itself",
    ),
    (
        "remaster find",
        "--known-hosts",
        "give what was written beside the image: `--known-hosts IMAGE.known_hosts`",
    ),
];

/// What is said of arguments that are missing.
pub(super) fn explain(
    program: &Command,
    typed: &Typed<'_>,
    refused: &clap::Error,
) -> Option<Error> {
    let Some(ContextValue::Strings(missing)) = refused.get(ContextKind::InvalidArg) else {
        return None;
    };
    if let Some(flag) = dependent(program, typed) {
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        let hint = format!("give that, too, or leave {flag} out");
        return Some(usage(format!("{flag} is for use with {}", listed(&missing)), hint));
    }
    if let Some(other) = no_base(typed) {
        return Some(other);
    }
    let name = typed.name();
    // What is given by its place is missed first: it stands first in the line, too.
    let (flags, plain): (Vec<_>, Vec<_>) = missing.iter().partition(|one| one.starts_with('-'));
    let all: Vec<&str> = plain.iter().chain(&flags).map(|one| one.as_str()).collect();
    if let Some(hint) = known_hosts(typed) {
        return Some(usage(format!("`{name}` needs {}", listed(&all)), hint));
    }
    let own = ANSWERS
        .iter()
        .find(|(command, flag, _)| *command == name && all.iter().all(|one| one.starts_with(flag)));
    let hint = own.map_or_else(|| example(typed), |(_, _, answer)| (*answer).to_owned());
    Some(usage(format!("`{name}` needs {}", listed(&all)), hint))
}

/// The line of `find` with the file of host keys that is given, or that is beside an image that is.
fn known_hosts(typed: &Typed<'_>) -> Option<String> {
    let (place, word) = typed.plain_words().next().filter(|_| typed.path == ["find"])?;
    let beside = format!("{word}.known_hosts");
    let file = [word, &beside].into_iter().find(|file| is_known_hosts(Path::new(file)))?;
    let mut words: Vec<&str> = typed.words.iter().map(String::as_str).collect();
    words.splice(place..=place, ["--known-hosts", file]);
    typed.proposal(words).map(|line| format!("did you mean `{line}`?"))
}

/// A file that is surely not a base, where a base stands alone.
fn no_base(typed: &Typed<'_>) -> Option<Error> {
    let (_, word) = typed.plain_words().next().filter(|_| typed.path.is_empty())?;
    no_file(word).or_else(|| list(word)).or_else(|| not_there(word))
}

/// A path where nothing is, and that is not the name of a base.
fn not_there(word: &str) -> Option<Error> {
    let path = Path::new(word);
    let hint = match word {
        "/?" | "/h" | "/help" => "`remaster -h` lists the commands",
        _ => "check the path; `remaster base list` lists the names of bases",
    };
    let is_base = path.exists() || name_of(path).is_some();
    let what = format!("cannot open {}: no such file", shell_quote(path));
    (!is_base).then(|| usage(what, hint.to_owned()))
}

/// A list by its ending, where a base stands alone.
fn list(word: &str) -> Option<Error> {
    let (what, hint) = match Path::new(word).extension()?.to_str()? {
        "toml" | "csv" | "jsonl" | "ndjson" => (
            "a users file or a recipe",
            format!(
                "`remaster stamp BASE {word} -o DIR` takes users, `remaster BASE --recipe {word} -o FILE` a recipe"
            ),
        ),
        "json" => (
            "a record, as of a manifest",
            format!("`remaster verify IMAGE --manifest {word}` compares an image with it"),
        ),
        _ => return None,
    };
    Some(usage(format!("{word} is {what}, not an image"), hint))
}

/// A word that is not the path of a file, where a base stands alone.
fn no_file(word: &str) -> Option<Error> {
    let name = shell_quote(Path::new(word));
    let host = word.rsplit('@').next().unwrap_or_default();
    let is_host = word.contains('@') || host.parse::<IpAddr>().is_ok();
    let (what, hint) = if is_host && !Path::new(word).exists() {
        (
            "an address, not an image",
            "`remaster ssh IMAGE` finds the machine that booted an image, and logs in".to_owned(),
        )
    } else if word.contains("://") {
        ("a URL, not an image", diagnostics::words(&Advice::FetchImage).into_owned())
    } else if Kind::recognize(word) == Some(Kind::Disk) {
        (
            "a disk, not an image",
            format!(
                "`remaster flash IMAGE {name}` writes to it, `remaster inspect {name}` shows what is on it"
            ),
        )
    } else {
        return None;
    };
    Some(usage(format!("{word} is {what}"), hint))
}

/// The flag without which nothing would be missing: it is the one that asks for what is. The parser does not say which.
fn dependent<'a>(program: &Command, typed: &Typed<'a>) -> Option<&'a str> {
    let is_enough = |place: usize, has_value: bool| {
        let is_of_flag =
            |other: usize| other == place || has_value && other.checked_sub(1) == Some(place);
        let left = typed.words.iter().enumerate().filter(|(other, _)| !is_of_flag(*other));
        let left = left.map(|(_, word)| word.as_str());
        let again = program.clone().try_get_matches_from(["remaster"].into_iter().chain(left));
        !again.is_err_and(|fault| fault.kind() == ErrorKind::MissingRequiredArgument)
    };
    let mut words = typed.words.iter().enumerate();
    words.find_map(|(place, word)| {
        let name = word.split('=').next().filter(|name| name.starts_with('-'))?;
        let has_value = takes_the_next(typed.flag(name)?) && !word.contains('=');
        is_enough(place, has_value).then_some(name)
    })
}

/// A whole line of the command, as its help has it; of an image what is typed, with the output behind it.
fn example(typed: &Typed<'_>) -> String {
    if typed.path.is_empty() && typed.plain_words().next().is_some() && !typed.has(&["output"]) {
        // An image alone lacks what is to be put in, too.
        let key = if typed.words.len() == 1 { &["--key", "KEY.pub"][..] } else { &[] };
        let words = typed.words.iter().map(String::as_str).chain(key.iter().copied());
        if let Some(line) = typed.proposal(words.chain(["-o", "FILE"])) {
            return format!("complete it as `{line}`");
        }
    }
    let page = typed.path.first().and_then(|name| help::page_of(name));
    let examples = page.map_or(&[][..], |page| page.examples);
    let name = typed.name();
    let fits = examples.iter().find(|example| example.starts_with(&format!("{name} ")));
    match fits {
        Some(example) => format!("as in `{example}`; `{name} -h` says more"),
        None => typed.see_help(),
    }
}

fn listed(all: &[&str]) -> String {
    match all.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "more".to_owned(),
    }
}

/// What is said of a word where a command of a command is expected, as in `remaster base nixos-25.11-minimal`.
pub(super) fn command_below(typed: &Typed<'_>, word: &str) -> Error {
    let name = typed.name();
    let names = || typed.command.get_subcommands().map(Command::get_name);
    let table = if typed.path == ["help"] { COMMANDS } else { BELOW };
    let known = table.iter().filter(|(words, _)| words.contains(&word));
    let mut known = known.flat_map(|(_, commands)| commands.iter().copied());
    let known = known.find(|below| typed.command.find_subcommand(below).is_some());
    let meant = match known.or_else(|| typo(word, names())) {
        Some(close) => with(typed, word, &[close]),
        None => named_below(typed, word),
    };
    let all: Vec<&str> = names().filter(|below| *below != "help").collect();
    if all.is_empty() {
        let what = format!("`{word}` is one word more than `{name}` takes");
        return usage(what, format!("leave `{word}` out"));
    }
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("its commands are {}", all.join(", ")),
    };
    let name = name.trim_end_matches(" help");
    usage(format!("`{word}` is not a command of `{name}`"), hint)
}

/// The line of the command that works with what a word names: a recipe that is there, or a base.
fn named_below(typed: &Typed<'_>, word: &str) -> Option<String> {
    let is_file = || Path::new(word).is_file();
    let is_base = || Catalog::built_in().is_ok_and(|catalog| catalog.find(word).is_some());
    match typed.path.as_slice() {
        ["recipe"] if is_file() || Kind::recognize(word) == Some(Kind::List) => {
            with(typed, word, &["check", word])
        }
        ["base"] => match bases::meant(word) {
            Some(name) => with(typed, word, &["fetch", &name]),
            None if is_base() => with(typed, word, &["fetch", word]),
            None => None,
        },
        _ => None,
    }
}

/// The line with other words in the place of one; none if it cannot be run.
fn with(typed: &Typed<'_>, word: &str, others: &[&str]) -> Option<String> {
    let (before, rest) = match typed.words.iter().position(|other| other == word) {
        Some(place) => typed.words.split_at(place),
        None => (typed.words, &[][..]),
    };
    let behind = rest.iter().skip(1).map(String::as_str);
    typed.proposal(before.iter().map(String::as_str).chain(others.iter().copied()).chain(behind))
}
