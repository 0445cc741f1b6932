//! `remaster recipe`: checks a recipe file without a base, and describes its form.

use std::path::PathBuf;

use remaster::error::Result;
use remaster::recipe;

use crate::cli::{edit_args, printer};

/// Check a recipe file, or print the schema
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read a recipe and every file that it names, and say what is wrong
    Check {
        /// Recipe file
        file: PathBuf,
    },
    /// Print the JSON Schema of recipe files
    Schema,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Schema => printer::print_own(&recipe::schema()?),
        Command::Check { file } => {
            let recipe = recipe::read(file)?;
            if recipe.edits().is_empty() {
                return Err(edit_args::asks_for_nothing(file));
            }
            let customization = edit_args::gather(&recipe)?;
            edit_args::tell(&customization);
            printer::tell(&format!("{}: sound\n", file.display()))
        }
    }
}
