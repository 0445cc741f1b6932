//! `-` for standard input or output: the arguments that take it are listed here, and all others refuse it.

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches};
use remaster::error::Error;

use super::typed::Typed;
use super::{files, usage};

/// What takes `-`: a command, and the argument as the parser calls it.
const TAKING: &[(&str, &[&str])] = &[
    (
        "remaster",
        &["output", "key", "root_password_file", "nixos_password_file", "wifi_password_file"],
    ),
    ("flash", &["image", "key", "root_password_file", "nixos_password_file", "wifi_password_file"]),
    ("edit", &["key", "root_password_file", "nixos_password_file", "wifi_password_file"]),
    ("netboot", &["key", "root_password_file", "nixos_password_file", "wifi_password_file"]),
    ("apply", &["output"]),
    ("reset", &["output"]),
];

/// Refuses `-` where a path is meant.
pub(super) fn check(typed: &Typed<'_>, matches: &ArgMatches) -> Result<(), Error> {
    let command = typed.command.get_name();
    for arg in typed.command.get_arguments().filter(|arg| is_path(arg)) {
        let id = arg.get_id().as_str();
        let mut given = matches.try_get_raw(id).ok().flatten().into_iter().flatten();
        if !takes(command, id) && given.any(|word| word == "-") {
            return Err(refused(typed, arg));
        }
    }
    Ok(())
}

/// The same of a line that the parser does not understand: what is given by its place.
pub(super) fn check_words(typed: &Typed<'_>) -> Option<Error> {
    let command = typed.command.get_name();
    typed.plain_words().find(|(_, word)| *word == "-")?;
    let mut places = typed.command.get_arguments().filter(|arg| arg.is_positional());
    let first = places.next().filter(|arg| is_path(arg) && !takes(command, arg.get_id().as_str()));
    first.map(|arg| refused(typed, arg))
}

fn takes(command: &str, id: &str) -> bool {
    TAKING.iter().any(|(of, ids)| *of == command && ids.contains(&id))
}

/// Whether an argument names a file or a folder, as the parser has it.
pub(super) fn is_path(arg: &Arg) -> bool {
    let is_path = arg.get_value_parser().type_id() == ValueParser::path_buf().type_id();
    let names = arg.get_value_names().unwrap_or_default();
    let names_one = |name: &str| {
        ["FILE", "KEY", "SRC"].iter().any(|word| name.contains(word))
            && !["KEYMAP", "KEY=[OLD=]NEW"].contains(&name)
    };
    is_path || arg.get_action().takes_values() && names.iter().any(|name| names_one(name))
}

fn refused(typed: &Typed<'_>, arg: &Arg) -> Error {
    let (name, id) = (typed.name(), arg.get_id().as_str());
    let flag = arg.get_long().map(|long| format!(" for --{long}")).unwrap_or_default();
    if files::is_written(typed.command.get_name(), id) {
        let what = format!("`{name}` does not write to standard output{flag}");
        return usage(what, "give a path; `./-` is one of that name".to_owned());
    }
    let hint = match id {
        "base" | "devices" | "image" | "medium" | "before" | "after" | "against" => {
            "save it to a file first; `remaster flash -` writes what comes by a pipe"
        }
        _ => "save it to a file first, and give its path",
    };
    usage(format!("`{name}` does not read standard input{flag}"), hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_dash_says_so_and_is_listed() {
        let mut program = crate::cli::program(crate::cli::help::Length::Long);
        program.build();
        let (mut wrong, mut seen) = (Vec::new(), 0);
        for command in [&program].into_iter().chain(program.get_subcommands()) {
            let name = command.get_name();
            for arg in command.get_arguments().filter(|arg| is_path(arg)) {
                let id = arg.get_id().as_str();
                let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
                let says = help.unwrap_or_default().contains("`-`");
                // The users of a batch share the flags of one image, and nobody is asked for them.
                if says != takes(name, id) && name != "stamp" {
                    wrong.push(format!("{name} {id}: {says}"));
                }
                seen += 1;
            }
        }
        let ids = TAKING.iter().flat_map(|(of, ids)| ids.iter().map(move |id| (*of, *id)));
        for (of, id) in ids {
            let all = [&program].into_iter().chain(program.get_subcommands());
            let mut of = all.filter(|command| command.get_name() == of);
            let is_there = of.any(|command| command.get_arguments().any(|arg| arg.get_id() == id));
            assert!(is_there, "{id}");
        }
        assert!(seen > 50 && wrong.is_empty(), "{seen}: {wrong:?}");
    }
}
