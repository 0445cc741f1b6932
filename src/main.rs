//! The `remaster` program: reads the command line and ends with the status it gives.

use std::process::ExitCode;

fn main() -> ExitCode {
    remaster::cli::main()
}
