//! `remaster recipe`: checks a recipe file without a base, and describes its form.

use std::path::PathBuf;

use remaster::error::Result;
use remaster::recipe;

use super::{report, stamp};

/// Check a recipe file, or show what one can say
#[derive(Debug, clap::Args)]
pub(super) struct Args {
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

pub(super) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Schema => report::print(&recipe::schema()),
        Command::Check { file } => {
            let wishes = stamp::gather(&recipe::read(file)?)?;
            stamp::tell(&wishes);
            report::print(&format!("{}: sound\n", file.display()))
        }
    }
}
