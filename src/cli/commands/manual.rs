//! `remaster completions SHELL` and `remaster man DIR`: what shells and man(1) know of the program, made of the
//! command line itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use remaster::error::{Error, Result};
use remaster::output::file::{OverwritePolicy, write_bytes};
use remaster::place;

use crate::cli::printer;

/// Print what a shell completes of this program's command line
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// Shell, as in `remaster completions bash > ~/.local/share/bash-completion/completions/remaster`
    shell: Shell,
}

/// Write a manual page of each command into a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Pages {
    /// Folder to write to, as `~/.local/share/man/man1`; it is made if it does not exist
    folder: PathBuf,
}

/// The name of the program.
const NAME: &str = "remaster";

pub(crate) fn completions(args: &Completions, mut program: Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, NAME, &mut text);
    printer::print_own(&String::from_utf8_lossy(&text))
}

pub(crate) fn pages(args: &Pages, mut command: Command) -> Result<()> {
    command.build();
    place::check(&args.folder)?;
    let doing = format!("make the folder {}", args.folder.display());
    match fs::create_dir(&args.folder) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(Error::io(doing))?,
    }
    page(&command, &args.folder)
}

/// The page of a command, and those of the commands below it.
fn page(command: &Command, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(NAME);
    let mut text = Vec::new();
    Man::new(command.clone())
        .title(name)
        .render(&mut text)
        .map_err(Error::io("make a manual page"))?;
    write_bytes(&folder.join(format!("{name}.1")), &text, OverwritePolicy::Replace)?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    below.into_iter().try_for_each(|below| page(below, folder))
}
