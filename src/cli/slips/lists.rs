//! Several values in one word, for a flag that is given once for each.

use std::net::IpAddr;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches};
use remaster::error::Error;

use super::typed::Typed;
use super::{role::Kind, usage};

/// Flags whose values hold no comma and no blank, but in the names of files that exist, and in keys.
const LISTS: &[&str] = &[
    "address", "bin", "dns", "gateway", "key", "mtu", "overlay", "recipe", "run", "script",
    "store", "unit",
];

/// What is meant by such a word.
pub(super) fn explain(typed: &Typed<'_>, matches: &ArgMatches) -> Option<Error> {
    let is_list = |arg: &&Arg| {
        LISTS.contains(&arg.get_id().as_str()) && matches!(arg.get_action(), ArgAction::Append)
    };
    typed.command.get_arguments().filter(is_list).find_map(|arg| {
        let given = matches.try_get_raw(arg.get_id().as_str()).ok().flatten()?;
        given.filter_map(|word| word.to_str()).find_map(|word| refused(typed, arg, word))
    })
}

fn refused(typed: &Typed<'_>, arg: &Arg, word: &str) -> Option<Error> {
    let parts = parts(word)?;
    let flag = format!("--{}", arg.get_long()?);
    let mut words: Vec<&str> = Vec::new();
    for (place, other) in typed.words.iter().enumerate() {
        let is_joined =
            other.strip_prefix(&flag).and_then(|rest| rest.strip_prefix('=')) == Some(word);
        let is_value =
            other == word && typed.before(place).is_some_and(|(_, before)| before == arg);
        if is_value {
            words.pop();
        }
        if is_value || is_joined {
            words.extend(parts.iter().flat_map(|part| [flag.as_str(), part]));
        } else {
            words.push(other);
        }
    }
    let what = format!("`{word}` is {} values in one word", parts.len());
    let hint = format!("give {flag} once for each: {}", typed.did_you_mean(words));
    Some(usage(what, hint))
}

/// The values in a word, if it is not one.
fn parts(word: &str) -> Option<Vec<&str>> {
    if Path::new(word).exists() {
        return None;
    }
    let parts: Vec<&str> =
        word.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty()).collect();
    (parts.len() > 1 && parts.iter().all(|part| is_value(part))).then_some(parts)
}

/// Whether a part is surely a value by itself: a file, keys by the name of a user, an address.
fn is_value(part: &str) -> bool {
    let address = part.rsplit('=').next().unwrap_or_default().split('/').next().unwrap_or_default();
    Path::new(part).is_file()
        || Path::new(part).is_dir()
        || ["gh:", "gl:", "https://"].iter().any(|start| part.starts_with(start))
        || Kind::recognize(part) == Some(Kind::Key)
        || address.parse::<IpAddr>().is_ok()
}
