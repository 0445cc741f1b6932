//! `remaster completions SHELL` and `remaster man DIR`: what shells and man(1) know of the program, made of the
//! command line itself.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use remaster::error::{Error, Result};

use super::{Cli, report};

/// Print what a shell completes of this program's command line
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// Shell, as in `remaster completions bash > ~/.local/share/bash-completion/completions/remaster`
    shell: Shell,
}

/// Write a manual page of each command into a folder
#[derive(Debug, clap::Args)]
pub(super) struct Pages {
    /// Folder that is there, as `~/.local/share/man/man1`
    folder: PathBuf,
}

/// The name of the program.
const NAME: &str = "remaster";

pub(super) fn completions(args: &Completions) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut text);
    report::print(&String::from_utf8_lossy(&text))
}

pub(super) fn pages(args: &Pages) -> Result<()> {
    let doing = format!("write manual pages into {}", args.folder.display());
    clap_mangen::generate_to(Cli::command().name(NAME), &args.folder).map_err(Error::io(doing))
}
