//! Words that are the paths of files only once a shell replaced something in them, or on another machine: one rule for all
//! that are read, and all that are made.

use std::path::Path;

use clap::{Arg, ArgMatches};
use remaster::error::Error;
use remaster::keys::is_for_shell;

use super::typed::Typed;
use super::{dash, files, usage};
use crate::cli::shell::shell_quote;

/// Arguments whose values may be keys and words for keys: what reads them says the same of them.
const KEYS: [&str; 2] = ["key", "remove_key"];

/// Refuses a path that a shell was to replace.
pub(super) fn check(typed: &Typed<'_>, matches: &ArgMatches) -> Result<(), Error> {
    for arg in typed.command.get_arguments().filter(|arg| dash::is_path(arg)) {
        let id = arg.get_id().as_str();
        let is_made = files::is_written(typed.command.get_name(), id);
        let raw = matches.try_get_raw(id).ok().flatten();
        let words = raw.into_iter().flatten().map(|word| word.to_string_lossy());
        if let Some(meant) = words.into_iter().find_map(|word| elsewhere(arg, &word, is_made)) {
            return Err(meant);
        }
        if KEYS.contains(&id) && typed.path != ["try"] {
            continue;
        }
        let given = matches.try_get_raw(id).ok().flatten();
        for word in given.into_iter().flatten() {
            let word = word.to_string_lossy();
            // SRC:DST, and DST begins with a slash.
            let path = word.split_once(":/").map_or(word.as_ref(), |(path, _)| path);
            if let Some(meant) = explain(path) {
                return Err(meant);
            }
        }
    }
    Ok(())
}

/// What is said of a URL of a file, and of a place on another machine where a file is to be made.
fn elsewhere(arg: &Arg, word: &str, is_made: bool) -> Option<Error> {
    if let Some(path) = word.strip_prefix("file://").filter(|path| path.starts_with('/')) {
        let path = shell_quote(Path::new(path));
        return Some(usage(format!("{word} is a URL, not a path"), format!("give `{path}`")));
    }
    let host = word.split_once(':').map(|(host, _)| host);
    let host = host.filter(|host| host.contains('@') && !host.contains('/'));
    let is_url = word.contains("://");
    if !is_made || !is_url && host.is_none() || Path::new(word).exists() {
        return None;
    }
    let what = format!("{word} is on another machine, and files are made on this one");
    let hint = match host.filter(|_| !is_url && arg.get_id() == "output") {
        Some(host) => format!("`-o - | ssh {host} 'cat > FILE'` writes an image there"),
        None => "give a path here, and copy the file when it is made".to_owned(),
    };
    Some(usage(what, hint))
}

/// What is said of such a path. One that is there is meant as it is, but a folder `~` may be of an earlier slip.
pub(super) fn explain(path: &str) -> Option<Error> {
    let is_home = ["~/", "$HOME/", "${HOME}/"].iter().any(|start| path.starts_with(start));
    let is_there = Path::new(path).exists();
    if path == "~" || is_home || is_for_shell(path) && !is_there {
        let what = format!("{path} begins with what a shell replaces, and no shell did");
        let hint = format!(
            "write the path in full, or without quotes at the start of a word; `./{path}` is one of that name"
        );
        return Some(usage(what, hint));
    }
    (path.contains('*') && !is_there).then(|| {
        let what = format!("{path} has `*`, for which a shell puts in names, and no shell did");
        let hint = "no name fits it, or it stands in quotes: write the path in full";
        usage(what, hint.to_owned())
    })
}
