//! `remaster man DIR`: what man(1) knows of the program, made of the command line itself.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use remaster::error::{Error, Result};
use remaster::output::file::{OverwritePolicy, write_bytes};
use remaster::place;

use crate::cli::shell::shell_quote;
use crate::cli::{help, printer};

/// Write the manual pages into a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Pages {
    /// Folder to write to, such as `~/.local/share/man/man1`; it is made if it does not exist, with those above it
    folder: PathBuf,
}

/// Lines that are not broken, at the left, so that those of 80 columns fit a terminal; and the end of them.
const AS_TYPED: &str = ".nf\n.in 0n\n";
const AS_USUAL: &str = ".fi\n.in\n";

/// The name of the program.
pub(super) const NAME: &str = "remaster";

pub(crate) fn pages(args: &Pages, mut command: Command) -> Result<()> {
    command.build();
    place::check_new_folders(&args.folder)?;
    fs::create_dir_all(&args.folder)
        .map_err(Error::io(format!("make the folder {}", args.folder.display())))?;
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
        .source(concat!("remaster ", env!("CARGO_PKG_VERSION")))
        .render(&mut text)
        .map_err(Error::io("make a manual page"))?;
    let text =
        String::from_utf8_lossy(&text).replace(".SH EXTRA\n", &format!(".SH NOTES\n{AS_TYPED}"));
    let text = format!("{text}{AS_USUAL}{}", behind(name, all));
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
    let mut text = format!(".SH EXAMPLES\n{AS_TYPED}");
    for example in examples {
        let _ = writeln!(text, "{}", roff(example));
    }
    text.extend([AS_USUAL, ".SH \"EXIT STATUS\"\n"]);
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
