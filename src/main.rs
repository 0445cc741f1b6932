//! The `remaster` program: reads the command line and ends with the status it gives.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
