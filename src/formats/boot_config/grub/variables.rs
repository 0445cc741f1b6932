//! The variables of GRUB that entries of NixOS are loaded with, and the commands that may set one.

use super::super::Word;
use super::is_assignment;

/// Commands whose words are texts, paths or conditions, and that set no variable.
const OTHERS: [&str; 8] =
    ["[", "test", "echo", "export", "authenticate", "password", "password_pbkdf2", "chainloader"];

/// Variables that the one line of nixpkgs sets, and a GRUB that starts this ISO as a file. Nothing else may.
const OWN: [&str; 2] = ["isoboot", "iso_path"];
const OF_NIXPKGS: &str = "isoboot=findiso=${iso_path}";

/// With a value of `enforce` or 1 GRUB loads no file without a signature beside it (`grub-core/commands/pgp.c`).
const SIGNATURES: &str = "check_signatures";

/// Whether an argument is the variable that may be among those of NixOS.
pub(super) fn is_known(argument: &str) -> bool {
    matches!(argument, "${isoboot}" | "$isoboot")
}

/// Whether a command may set a variable that the arguments of NixOS have.
pub(super) fn fills_arguments(words: &[Word]) -> bool {
    let is_own = matches!(words, [set, word] if set.text == "set" && word.text == OF_NIXPKGS);
    !is_own && OWN.iter().any(|name| sets(words, name))
}

/// Whether with a command GRUB may ask for signatures.
pub(super) fn asks_for_signatures(words: &[Word]) -> bool {
    let given = words.iter().find_map(|word| word.text.strip_prefix(SIGNATURES)?.strip_prefix('='));
    let is_off = given.is_some_and(|value| !value.starts_with(['1', 'e', '$']));
    let is_key = words.first().is_some_and(|word| word.text == "trust");
    is_key || (!is_off && sets(words, SIGNATURES))
}

/// Whether a command may set this variable.
pub(super) fn sets(words: &[Word], name: &str) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    match first.text.as_str() {
        "set" => rest.first().is_some_and(|word| is_set(word, name)),
        "for" => rest.first().is_some_and(|word| may_be(&word.text, name)),
        "load_env" => loads(rest, name),
        command if is_assignment(command) => is_set(first, name),
        command if OTHERS.contains(&command) => false,
        _ => rest.iter().any(|word| is_named_by(word, name)),
    }
}

/// Whether `name=value` sets it, or what only a variable tells.
fn is_set(word: &Word, name: &str) -> bool {
    word.text.split_once('=').is_some_and(|(set, _)| may_be(set, name))
}

/// Whether a text is this name, or what only a variable tells.
pub(super) fn may_be(text: &str, name: &str) -> bool {
    text == name || text.contains('$')
}

/// Whether a word is the name, or an option with it.
fn is_named_by(word: &Word, name: &str) -> bool {
    let text = word.text.as_str();
    let is_last = text.strip_suffix(name).is_some_and(|rest| rest.ends_with(':'));
    text == name || is_last || (text.starts_with('-') && text.ends_with(name))
}

/// Whether `load_env` sets it: without names it sets all that its file has (`grub-core/commands/loadenv.c`).
fn loads(words: &[Word], name: &str) -> bool {
    let mut words = words.iter().map(|word| word.text.as_str());
    let mut names = Vec::new();
    while let Some(word) = words.next() {
        match word.strip_prefix('-').map(|option| option.trim_start_matches('-')) {
            Some("f" | "file") => drop(words.next()),
            Some(_) => {}
            None => names.push(word),
        }
    }
    names.is_empty() || names.iter().any(|named| may_be(named, name))
}
