//! Flags that are nearly what was typed. One of another meaning, or the opposite, is worse than none.

use clap::Command;
use remaster::nearest::typo;

/// The flag that is meant: one with that word in its name, if it is the only one, or the one that was mistyped.
pub(super) fn closest_flag<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let has_word = |name: &&str| name.split('-').any(|part| part == word);
    let mut with_word = names.iter().copied().filter(has_word);
    match (with_word.next(), with_word.next()) {
        (Some(only), None) => Some(only),
        _ => typo(word, names.iter().copied()),
    }
}

/// What is said of a flag that asks for what is done anyway, or declines what nobody asked for.
pub(super) fn declined(command: &Command, word: &str) -> Option<String> {
    let is_switch = |name: &str| {
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let mut switches = shown.filter(|arg| !arg.get_action().takes_values());
        switches.any(|arg| arg.get_long() == Some(name))
    };
    if is_switch(&format!("no-{word}")) {
        return Some(format!(
            "leave it out: that is so without a flag, and `--no-{word}` changes it"
        ));
    }
    let asked = word.strip_prefix("no-").filter(|asked| is_switch(asked))?;
    Some(format!("leave it out: that is so without `--{asked}`"))
}
