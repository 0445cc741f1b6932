//! Tells the user what went wrong, why, and what to do.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use remaster::error::Error;

/// Says it and gives the exit status.
pub(super) fn fault(fault: &Error) -> ExitCode {
    let mut text = format!("error: {fault}\n");
    let mut source = fault.source();
    while let Some(cause) = source {
        let _ = writeln!(text, "cause: {cause}");
        source = cause.source();
    }
    if let Some(hint) = fault.hint() {
        let _ = writeln!(text, "hint: {hint}");
    }
    say(&text);
    ExitCode::from(fault.exit_code())
}

/// Writes to standard error. If nobody listens there, nothing can be done about it.
pub(super) fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether somebody watches: standard error is a terminal, and quiet was not asked for.
pub(super) fn watched(quiet: bool) -> bool {
    !quiet && io::stderr().is_terminal()
}

/// Writes a report to standard output. A closed pipe is the reader's choice.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::io("write to standard output")),
    }
}
