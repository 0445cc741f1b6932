//! Words behind the value of a flag, where only one is taken: they belong to that flag.

use std::net::IpAddr;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction};
use remaster::error::Error;
use remaster::find;

use super::role::{Kind, ROLES, is_disk_name};
use super::typed::Typed;
use super::usage;

/// Flags of texts in which blanks are usual.
const TEXTS: &[&str] = &["default_entry", "entry", "name", "wifi"];

/// Flags of names that have no blanks, and what stands in such names where others have one.
const NAMES: &[(&str, char)] =
    &[("hostname", '-'), ("host_key_name", '-'), ("label", '-'), ("timezone", '_')];

/// Flags of addresses.
const ADDRESSES: &[&str] = &["address", "gateway", "dns", "network"];

/// Flags of public keys.
const KEYS: &[&str] = &["key", "remove_key"];

/// Flags of which one value has two parts, and what stands between these.
const PAIRS: &[(&str, char)] =
    &[("address", '='), ("gateway", '='), ("mtu", '='), ("bond", ':'), ("recipe_file", ':')];

/// How words behind a value are meant.
enum Meaning {
    /// Each with the flag in front.
    Repeated,
    /// One text with blanks.
    Text,
    /// The second part of the value.
    Pair(char),
    /// A name with this in place of the blank.
    Name(char),
    /// Not at all.
    Nothing,
}

/// A flag, its value, and the words behind that.
struct Group<'a> {
    name: &'a str,
    /// The place of the value.
    value: usize,
    words: usize,
    meaning: Meaning,
}

/// What is meant by a line that the parser refuses.
pub(super) fn explain(typed: &Typed<'_>) -> Option<Error> {
    meant(typed, &groups(typed))
}

/// The same of one that it understands: it takes such words for disks, networks and files.
pub(super) fn check(typed: &Typed<'_>) -> Option<Error> {
    // Behind the old name of a flag the places of disks are those of files.
    if typed.command.get_name() == "flash" && typed.has(&["file"]) {
        return None;
    }
    let groups = groups(typed);
    // What is only one word too many may be what the command asks for.
    let takes_disks = typed.command.get_arguments().any(|arg| arg.get_id() == "devices");
    let is_there = |group: &Group<'_>| {
        let mut words = typed.words.iter().skip(group.value.saturating_add(1)).take(group.words);
        words.any(|word| word.contains('/') || Path::new(word).exists())
    };
    let is_sure = |group: &Group<'_>| {
        !matches!(group.meaning, Meaning::Nothing) || takes_disks && !is_there(group)
    };
    if groups.iter().all(is_sure) { meant(typed, &groups) } else { None }
}

fn groups<'a>(typed: &Typed<'a>) -> Vec<Group<'a>> {
    let mut found: Vec<Group<'a>> = Vec::new();
    for (place, word) in typed.plain_words() {
        let Some((name, flag, value)) = typed.behind_value(place) else { continue };
        if !belongs(typed, flag, value_of(typed, value), word) {
            continue;
        }
        match found.last_mut().filter(|group| group.value == value) {
            Some(group) if group.value.saturating_add(group.words).saturating_add(1) == place => {
                group.words = group.words.saturating_add(1);
            }
            None if value.saturating_add(1) == place => {
                let meaning = meaning(typed, flag, value_of(typed, value), word);
                found.push(Group { name, value, words: 1, meaning });
            }
            _ => {}
        }
    }
    found
}

fn value_of<'a>(typed: &Typed<'a>, place: usize) -> &'a str {
    let word = typed.words.get(place).map_or("", String::as_str);
    let joined = word.split_once('=').filter(|_| word.starts_with('-'));
    joined.map_or(word, |(_, value)| value)
}

/// Whether a word may be a value of a flag, and is nothing that stands by itself.
fn belongs(typed: &Typed<'_>, flag: &Arg, value: &str, word: &str) -> bool {
    let id = flag.get_id().as_str();
    let kind = Kind::recognize(word);
    match id {
        "known_hosts" => is_known_hosts(Path::new(word)),
        "to_file" => kind != Some(Kind::Disk),
        _ if ADDRESSES.contains(&id) => has_address(word),
        _ if KEYS.contains(&id) && kind == Some(Kind::Key) => true,
        _ if takes_networks(typed) && has_address(word) => false,
        _ if typed.command.get_arguments().any(Arg::is_trailing_var_arg_set) => false,
        _ if is_half_a_path(flag, value, word) => true,
        _ => kind.is_none() && !is_disk_name(Path::new(word)),
    }
}

/// Whether a value and a word are a path that the shell has split: of a file that is there, or of one to be written, of which
/// only the second half has an ending.
fn is_half_a_path(flag: &Arg, value: &str, word: &str) -> bool {
    let has_ending = |text: &str| Path::new(text).extension().is_some();
    let is_new = |text: &str| !Path::new(text).exists();
    let is_output = flag.get_id() == "output" && is_new(value) && is_new(word);
    Path::new(&format!("{value} {word}")).exists()
        || is_output && !has_ending(value) && has_ending(word)
}

/// Whether a file holds host keys of machines.
pub(crate) fn is_known_hosts(path: &Path) -> bool {
    path.is_file() && find::read(path).is_ok_and(|known| !known.is_empty())
}

fn takes_networks(typed: &Typed<'_>) -> bool {
    typed.command.get_arguments().any(|arg| arg.get_id() == "networks")
}

/// Whether a word is an address, also with an interface in front or the length of a prefix behind.
fn has_address(word: &str) -> bool {
    let behind = word.rsplit('=').next().unwrap_or_default();
    behind.split('/').next().unwrap_or_default().parse::<IpAddr>().is_ok()
}

fn meaning(typed: &Typed<'_>, flag: &Arg, value: &str, word: &str) -> Meaning {
    let id = flag.get_id().as_str();
    let pair = PAIRS.iter().find(|(of, between)| {
        let is_second = match *of {
            "recipe_file" => word.starts_with('/'),
            "bond" => !word.contains(':'),
            "mtu" => word.parse::<u32>().is_ok() && value.parse::<u32>().is_err(),
            _ => has_address(word) && !has_address(value),
        };
        *of == id && is_second && !value.contains(*between)
    });
    // The label of a FAT filesystem may have blanks.
    let of_fat = id == "label" && typed.command.get_name() == "format";
    if let Some((_, between)) = NAMES.iter().find(|(of, _)| *of == id && !of_fat) {
        return Meaning::Name(*between);
    }
    match pair {
        Some((_, between)) => Meaning::Pair(*between),
        None if of_fat || TEXTS.contains(&id) || is_half_a_path(flag, value, word) => Meaning::Text,
        None if matches!(flag.get_action(), ArgAction::Append) => Meaning::Repeated,
        None => Meaning::Nothing,
    }
}

/// The error with the line that is meant, if the parser takes that, and nothing in it is surely at a wrong place.
fn meant(typed: &Typed<'_>, groups: &[Group<'_>]) -> Option<Error> {
    let first = groups.first()?;
    let words = rearranged(typed, groups);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // What else is missing is said when this is right.
    let refusal = typed.refusal(&words);
    if refusal.is_some_and(|refused| !lacks_flags_only(&refused)) || !is_in_order(typed, groups) {
        return None;
    }
    let line = typed.proposal(words);
    let meant = line.map(|line| format!(": did you mean `{line}`?")).unwrap_or_default();
    let (name, word) = (first.name, typed.words.get(first.value.checked_add(1)?)?);
    let what = format!("{name} takes one value, and `{word}` stands behind that");
    let hint = match first.meaning {
        Meaning::Repeated => format!("give {name} once for each{meant}"),
        Meaning::Text => format!("a value with a blank stands in quotes{meant}"),
        Meaning::Pair(between) => format!("`{between}` joins the two parts of its value{meant}"),
        Meaning::Name(_) => format!("such a name has no blank{meant}"),
        Meaning::Nothing => format!("leave `{word}` out"),
    };
    Some(usage(what, hint))
}

/// Whether a line would be understood with more flags.
fn lacks_flags_only(refused: &clap::Error) -> bool {
    let Some(ContextValue::Strings(missing)) = refused.get(ContextKind::InvalidArg) else {
        return false;
    };
    refused.kind() == ErrorKind::MissingRequiredArgument
        && missing.iter().all(|one| one.starts_with('-'))
}

/// The line with every word where it belongs.
fn rearranged(typed: &Typed<'_>, groups: &[Group<'_>]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut all = typed.words.iter().enumerate();
    while let Some((place, word)) = all.next() {
        words.push(word.clone());
        let Some(group) = groups.iter().find(|group| group.value == place) else { continue };
        for (_, behind) in all.by_ref().take(group.words) {
            match (&group.meaning, words.last_mut()) {
                (Meaning::Repeated, _) => words.extend([group.name.to_owned(), behind.clone()]),
                (Meaning::Text, Some(last)) => last.extend([" ", behind]),
                (Meaning::Pair(between) | Meaning::Name(between), Some(last)) => {
                    last.extend([between.to_string().as_str(), behind]);
                }
                _ => {}
            }
        }
    }
    words
}

/// Whether the words that are left are, one after another, not surely another thing than the command asks for.
fn is_in_order(typed: &Typed<'_>, groups: &[Group<'_>]) -> bool {
    let is_moved = |place: usize| {
        groups
            .iter()
            .any(|group| place > group.value && place <= group.value.saturating_add(group.words))
    };
    let mut left = typed.plain_words().filter(|(place, _)| !is_moved(*place));
    let mut places = typed.command.get_arguments().filter(|arg| arg.is_positional());
    places.all(|arg| {
        let Some((_, word)) = left.next() else { return true };
        // What is reset is an image, or a disk with one.
        let is_any = typed.command.get_name() == "reset";
        let role = ROLES.iter().find(|(id, _)| arg.get_id() == *id && !is_any);
        let role = role.map(|(_, role)| *role);
        role.is_none() || Kind::recognize(word).is_none_or(|kind| Some(kind) == role)
    })
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// A line of each command that has flags which may be given more than once.
    const LINES: &[&str] = &[
        "b.iso -o new",
        "flash b.iso",
        "stamp b.iso u.toml -o new",
        "edit --in-place b.iso",
        "netboot b.iso -o new",
        "reset b.iso -o new",
        "format /dev/sdc",
        "find --known-hosts k",
        "ssh",
    ];

    /// Two values of a flag, where any two words do not do.
    const VALUES: &[(&str, [&str; 2])] = &[
        ("address", ["10.0.0.1/24", "10.0.0.2/24"]),
        ("gateway", ["10.0.0.1", "fe80::1"]),
        ("dns", ["1.1.1.1", "8.8.8.8"]),
        ("network", ["10.0.0.0/24", "10.0.1.0/24"]),
        ("mtu", ["eth0=1500", "eth1=1400"]),
        ("bond", ["bond0:eno1", "bond1:eno2"]),
        ("recipe_file", ["a:/etc/a", "b:/etc/b"]),
        ("key", ["k.pub", "l.pub"]),
        ("remove_key", ["k.pub", "l.pub"]),
        ("known_hosts", ["KNOWN", "KNOWN"]),
    ];

    fn values(id: &str, known: &str) -> [String; 2] {
        let own = VALUES.iter().find(|(of, _)| *of == id).map_or(["one", "two"], |(_, own)| *own);
        own.map(|word| word.replace("KNOWN", known))
    }

    #[test]
    fn every_flag_that_may_be_given_more_than_once_is_so_in_what_is_proposed() {
        let folder = tempfile::tempdir().unwrap();
        let known = folder.path().join("hk").display().to_string();
        let key = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        std::fs::write(&known, format!("box ssh-ed25519 {key}\n")).unwrap();
        let mut program = crate::cli::program(crate::cli::help::Length::Long);
        program.build();
        let all: Vec<&Command> = [&program].into_iter().chain(program.get_subcommands()).collect();
        let mut seen = 0;
        for command in all {
            let of =
                |arg: &&Arg| matches!(arg.get_action(), ArgAction::Append) && !arg.is_positional();
            for arg in command.get_arguments().filter(of) {
                let name = command.get_name();
                let fits = |line: &&&str| {
                    line.split(' ').next() == Some(name)
                        || name == "remaster" && line.starts_with("b.")
                };
                let line = LINES.iter().find(fits).unwrap_or_else(|| panic!("no line: {name}"));
                let [one, two] = values(arg.get_id().as_str(), &known);
                let flag = format!("--{}", arg.get_long().unwrap());
                let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
                words.extend([flag.clone(), one.clone(), two.clone()]);
                if name == "ssh" {
                    words.push("box".to_owned());
                }
                let typed = Typed::new(&program, &words);
                let told = check(&typed).unwrap_or_else(|| panic!("{words:?}"));
                let hint = told.advice().and_then(|advice| advice.words()).unwrap();
                let twice = format!("{flag} {one} {flag} {two}");
                let quoted = format!("{flag} '{one} {two}'");
                let is_text = TEXTS.contains(&arg.get_id().as_str());
                let wanted = if is_text { quoted } else { twice };
                assert!(hint.contains("did you mean `") && hint.contains(&wanted), "{hint}");
                seen += 1;
            }
        }
        assert!(seen > 80, "{seen}");
    }
}
