//! The files that flags and arguments name. Another thing than they ask for is called by its name before a command runs;
//! so is what would be written over what is read, or over what else is written. What settings of a recipe ask for is a
//! table of the library, as recipe files have them, too.

use std::ffi::OsStr;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use remaster::error::{Advice, Error};
use remaster::live::named_files;
use remaster::named_file::{self, Kind, Rule, path_of};
use remaster::run_files::RunFiles;

use super::{makings, not_a_path, usage};
use crate::cli::shell::shell_quote;

/// What an argument asks for.
struct Row {
    /// The commands, or none for all others.
    of: &'static [&'static str],
    ids: &'static [&'static str],
    rule: Rule,
}

/// What a text may be taken for by its first bytes.
const TEXT: &[Kind] = &[Kind::Pipe, Kind::Text, Kind::Unknown];

const RECIPE: Rule = Rule {
    wanted: "a recipe",
    takes: TEXT,
    hint: || "give a recipe file in TOML: `remaster recipe schema` lists its keys".into(),
};

/// The arguments that name a file to read and are not settings of a recipe. A row for a command stands in front of one for all.
const ROWS: &[Row] = &[
    Row {
        of: &["try"],
        ids: &["key"],
        rule: Rule {
            wanted: "a private key",
            takes: &[Kind::Pipe, Kind::PrivateKey, Kind::Unknown],
            hint: || {
                "give the private key, as ~/.ssh/id_ed25519, whose public half is in the image"
                    .into()
            },
        },
    },
    Row { of: &["check"], ids: &["file"], rule: RECIPE },
    Row { of: &[], ids: &["recipe"], rule: RECIPE },
    Row {
        of: &[],
        ids: &["users"],
        rule: Rule {
            wanted: "a users file",
            takes: TEXT,
            hint: || {
                "give a users file, as users.toml: `remaster stamp --help` shows its form".into()
            },
        },
    },
    Row {
        of: &[],
        ids: &["sha256_file"],
        rule: Rule {
            wanted: "a list of checksums",
            takes: TEXT,
            hint: || "give the file that is published beside the image, as nixos.iso.sha256".into(),
        },
    },
    Row {
        of: &["find", "ssh"],
        ids: &["known_hosts"],
        rule: Rule {
            wanted: "a known_hosts file",
            takes: TEXT,
            hint: || {
                "give the file that was written beside the image, as custom.iso.known_hosts".into()
            },
        },
    },
    Row {
        of: &["verify"],
        ids: &["manifest"],
        rule: Rule {
            wanted: "a manifest",
            takes: TEXT,
            hint: || "give the file that `--manifest FILE` wrote when the image was made".into(),
        },
    },
    Row {
        of: &["verify"],
        ids: &["allowed_signers"],
        rule: Rule {
            wanted: "a list of allowed signers",
            takes: TEXT,
            hint: || {
                "give a file with lines as `alice@example.org ssh-ed25519 AAAA…`, as `ssh-keygen -Y verify -f` takes it".into()
            },
        },
    },
    Row {
        of: &[],
        ids: &["ca_file"],
        rule: Rule {
            wanted: "a file with certificates",
            takes: TEXT,
            hint: || {
                "give certificates in PEM, as /etc/ssl/certs/ca-certificates.crt has them".into()
            },
        },
    },
    Row {
        of: &[],
        ids: &["patch"],
        rule: Rule {
            wanted: "a patch",
            takes: &[
                Kind::Patch,
                Kind::Empty,
                Kind::Image,
                Kind::Squashfs,
                Kind::Archive,
                Kind::PrivateKey,
                Kind::PublicKey,
                Kind::Program,
                Kind::Script,
                Kind::Text,
                Kind::Other,
                Kind::Unknown,
            ],
            hint: || "give the file that `--as patch` wrote".into(),
        },
    },
];

/// What names an image, or a folder with one: the command itself says what is wrong with one.
const IMAGES: [&str; 6] = ["base", "image", "against", "before", "after", "devices"];

/// What names a file or folder to write to, in all commands where no row says that it is read.
const WRITTEN: [&str; 9] = [
    "output",
    "known_hosts",
    "manifest",
    "provenance",
    "sbom",
    "failures",
    "screenshot",
    "dir",
    "folder",
];

/// What is done with the file that an argument names.
enum Use {
    Read,
    /// Made, or put in the place of what is there.
    Write,
    /// Written to where it is.
    Overwrite,
    /// Read, and changed where it is.
    Change,
}

/// Arguments that name a folder of this program, which holds no files of the user.
const OWN: [&str; 1] = ["cache"];

/// What is done with the file of an argument; none for one that names no file, or more than a path.
fn use_of(command: &str, id: &str) -> Option<Use> {
    match (command, id) {
        ("edit", "image") => Some(Use::Change),
        ("flash" | "format", "devices") | (_, "to_file") => Some(Use::Overwrite),
        ("try", "serial") => Some(Use::Write),
        (_, "remove_key") | ("verify", "medium") => Some(Use::Read),
        _ if IMAGES.contains(&id) || rule(command, id).is_some() => Some(Use::Read),
        _ => WRITTEN.contains(&id).then_some(Use::Write),
    }
}

/// Whether an argument asks for an image to read, and not for what `apply` makes one of.
fn reads_image(command: &str, id: &str) -> bool {
    match id {
        "medium" => true,
        "devices" => command == "reset",
        _ => command != "apply" && IMAGES.contains(&id),
    }
}

/// Whether the file of an argument is an output, of which nothing is read.
pub(super) fn is_written(command: &str, id: &str) -> bool {
    OWN.contains(&id) || matches!(use_of(command, id), Some(Use::Write | Use::Overwrite))
}

/// The files that the arguments of a command name. A command adds what it finds in them, and what it writes beside them.
pub(super) fn of_run(command: &Command, matches: &ArgMatches) -> Result<RunFiles, Error> {
    let mut files = RunFiles::default();
    for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
        let id = arg.get_id().as_str();
        let Some(used) = use_of(command.get_name(), id) else { continue };
        for word in matches.try_get_raw(id).ok().flatten().into_iter().flatten() {
            take_down(&mut files, arg, &used, word).map_err(|fault| advised(command, fault))?;
        }
    }
    Ok(files)
}

/// Points at the way to write over what is read, where there is one.
fn advised(command: &Command, fault: Error) -> Error {
    match fault {
        Error::Usage { what, .. } if command.get_name() == "reset" => usage(
            what,
            "give another path to -o, or --in-place in its place to change the image itself".into(),
        ),
        other => other,
    }
}

fn take_down(files: &mut RunFiles, arg: &Arg, used: &Use, word: &OsStr) -> Result<(), Error> {
    let name = format!("{} {}", called(arg), shell_quote(Path::new(word)));
    match used {
        Use::Read => match path_of(word) {
            Some(path) => files.read(&name, &path),
            None => Ok(()),
        },
        Use::Write if arg.get_id() == "output" && word == "-" => {
            files.change(&name, Path::new("/dev/stdout"))
        }
        Use::Write => files.write(&name, Path::new(word)),
        Use::Overwrite | Use::Change => files.change(&name, Path::new(word)),
    }
}

/// An argument as messages call it: `--output`, or `BASE`.
fn called(arg: &Arg) -> String {
    let value = || arg.get_value_names().unwrap_or_default().first().map(ToString::to_string);
    let long = arg.get_long().map(|long| format!("--{long}"));
    long.or_else(value).unwrap_or_else(|| arg.get_id().to_string())
}

/// Whether a file is to be taken as it is, whatever is in it.
fn is_any(matches: &ArgMatches) -> bool {
    matches.try_get_one("any").ok().flatten().is_some_and(|is_any: &bool| *is_any)
}

/// Refuses what is surely not what its argument asks for, and what cannot be opened.
pub(super) fn check(command: &Command, matches: &ArgMatches) -> Result<(), Error> {
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let given = matches.try_get_raw(id).ok().flatten();
        if reads_image(command.get_name(), id) {
            let mut words = given.clone().into_iter().flatten().filter_map(OsStr::to_str);
            words.clone().try_for_each(|word| makings::check(word, is_any(matches)))?;
            let has_names = command.get_arguments().any(|arg| arg.get_id() == "offline");
            words.try_for_each(|word| not_a_path::check_image(has_names, word))?;
        }
        if id == "devices" && ["flash", "format"].contains(&command.get_name()) {
            given.clone().into_iter().flatten().try_for_each(|word| no_disk(matches, word))?;
        }
        let Some(rule) = rule(command.get_name(), id) else { continue };
        for word in given.into_iter().flatten() {
            // The command opens a path that is not UTF-8: another spelling would name another file.
            if let Some(word) = word.to_str() {
                judge(rule, (command, arg), word)?;
            }
        }
    }
    Ok(())
}

/// Refuses a file where a disk is meant, and says what it is. Nothing is said of writing to it: it would be lost.
fn no_disk(matches: &ArgMatches, word: &OsStr) -> Result<(), Error> {
    let is_target =
        matches.try_get_one("file").ok().flatten().is_some_and(|is_file: &bool| *is_file);
    let name = named_file::name_of_file(Path::new(word)).ok().flatten().filter(|_| !is_target);
    match name {
        Some(name) => Err(Error::Unsafe {
            target: word.to_string_lossy().into_owned(),
            reason: format!("it is {name}, not a block device"),
            hint: Advice::WhichDisk,
        }),
        None => Ok(()),
    }
}

fn rule(command: &str, id: &str) -> Option<&'static Rule> {
    let is_of =
        |row: &&Row| row.of.is_empty() && !is_output(command, id) || row.of.contains(&command);
    let own = ROWS.iter().filter(is_of).find(|row| row.ids.contains(&id)).map(|row| &row.rule);
    own.or_else(|| named_files::rule_of(id))
}

/// What is written in all commands but those that have a row of their own.
fn is_output(command: &str, id: &str) -> bool {
    ["manifest", "known_hosts"].contains(&id) && command != "verify"
}

fn judge(rule: &Rule, (command, arg): (&Command, &Arg), word: &str) -> Result<(), Error> {
    match rule.judge(word.as_ref()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) if word.is_empty() => {
            Err(usage(format!("{} needs a value", called(arg)), (rule.hint)()))
        }
        Ok(Some(what)) => Err(usage(what, (rule.hint)())),
        // A word for --key may be the key itself.
        Err(_) if arg.get_id() == "key" && command.get_name() != "try" => Ok(()),
        Err(refused) => {
            let content = content_typed(arg.get_id().as_str(), word);
            let is_missing = refused.kind() == std::io::ErrorKind::NotFound;
            if let Some(hint) = content.filter(|_| is_missing) {
                // A password or a secret is not shown.
                let is_secret = arg.get_id() == "host_key_seed" || hint.contains("password");
                let shown = if is_secret { String::new() } else { format!(": {word}") };
                let what = format!("{}{shown}: no file is called so", called(arg));
                return Err(usage(what, hint.to_owned()));
            }
            if let Some(meant) = not_a_path::explain(word) {
                return Err(meant);
            }
            Err(Error::io(format!("open {word}, which should be {}", rule.wanted))(refused))
        }
    }
}

/// Flags of which people type what should be in the file, and what to do.
const CONTENTS: &[(&str, &str)] = &[
    (
        "root_password_file",
        "give the path of a file that holds the password, or --root-password-prompt: others can read the command line",
    ),
    (
        "nixos_password_file",
        "give the path of a file that holds the password, or --nixos-password-prompt: others can read the command line",
    ),
    (
        "wifi_password_file",
        "give the path of a file that holds the password, or --wifi-password-prompt: others can read the command line",
    ),
    (
        "host_key_seed",
        "give the path of a file that holds the secret; `head -c 32 /dev/urandom > FILE` makes one",
    ),
    (
        "unit",
        "give the path of a unit file; a unit that NixOS has is started by `--karg systemd.wants=NAME.service`",
    ),
    ("bin", "give the path of a static program; packages are not installed into the image"),
    ("script", "give the path of a file with the script, whose first line is `#!/bin/sh`"),
    ("run", "give the path of a file with the script, whose first line is `#!/bin/sh`"),
];

/// What to do where a word is surely not a path, but what should be in the file; none for what may be a path.
fn content_typed(id: &str, word: &str) -> Option<&'static str> {
    let is_path = word.contains(['/', '.']) && !word.contains(' ');
    CONTENTS.iter().find(|(of, _)| *of == id && !is_path).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::super::dash::is_path;
    use super::*;

    /// What has more in it than a path, and is read by the library.
    const ELSEWHERE: [&str; 1] = ["recipe_file"];

    #[test]
    fn every_argument_that_names_a_file_has_a_row() {
        let mut program = crate::cli::program(crate::cli::help::Length::Long);
        program.build();
        let (mut missing, mut seen) = (Vec::new(), 0);
        let below = program.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in [&program].into_iter().chain(program.get_subcommands()).chain(below) {
            let name = command.get_name();
            for arg in command.get_arguments().filter(|arg| is_path(arg)) {
                let id = arg.get_id().as_str();
                seen += 1;
                let has_row = use_of(name, id).is_some();
                if !has_row && !OWN.contains(&id) && !ELSEWHERE.contains(&id) {
                    missing.push(format!("{name} {id}"));
                }
            }
        }
        assert!(seen > 50 && missing.is_empty(), "{seen}: {missing:?}");
    }
}
