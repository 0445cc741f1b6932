//! The command line.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use remaster::error::Error;

mod devices;
mod flash;
mod interrupt;
mod meter;
mod verify;

/// Put an ssh key into a stock NixOS installer ISO, and write it to sticks
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    Flash(flash::Args),
    Devices(devices::Args),
    Verify(verify::Args),
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Flash(args) => flash::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            report(&fault);
            ExitCode::from(fault.exit_code())
        }
    }
}

fn report(fault: &Error) {
    let mut err = std::io::stderr().lock();
    // There is nowhere left to tell that telling failed.
    let _ = writeln!(err, "error: {fault}");
    let mut cause = std::error::Error::source(fault);
    while let Some(inner) = cause {
        let _ = writeln!(err, "cause: {inner}");
        cause = inner.source();
    }
    if let Some(hint) = fault.hint() {
        let _ = writeln!(err, "hint: {hint}");
    }
}
