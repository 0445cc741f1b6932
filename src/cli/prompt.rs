//! Asks the user for a line or for a secret. The terminal does not show a secret. It shows again what is typed afterwards,
//! also after a signal.

use std::fs::File;
use std::io::{self, BufRead};

use super::{echo, interrupt};

/// Asks for a secret; `what` says what for.
pub(crate) fn secret(what: &str) -> io::Result<String> {
    let ask = || rpassword::prompt_password(format!("{what}: "));
    let Ok(terminal) = File::open("/dev/tty") else { return ask() };
    interrupt::listen().map_err(io::Error::other)?;
    echo::hide(&terminal)?;
    let answer = interrupt::while_waiting(ask);
    echo::show_again();
    answer
}

/// A line that is typed. Bytes that are not text answer no question.
pub(crate) fn line(mut from: impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.read_until(b'\n', &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
