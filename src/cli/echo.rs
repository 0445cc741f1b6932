//! A terminal that does not show what is typed, until it shows it again.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal, and what it was like before.
static HIDDEN: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// From now on a terminal shows no more than the end of a line.
pub(super) fn hide(terminal: &File) -> io::Result<()> {
    let before = tcgetattr(terminal)?;
    let mut now = before.clone();
    now.local_modes.remove(LocalModes::ECHO);
    now.local_modes.insert(LocalModes::ECHONL);
    // Before it is changed: a signal can come between.
    keep(Some((terminal.try_clone()?, before)));
    Ok(tcsetattr(terminal, OptionalActions::Now, &now)?)
}

/// Shows what is typed, if it was hidden.
pub(super) fn show_again() {
    if let Some((terminal, before)) = keep(None) {
        // A terminal that is closed takes nothing.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
    }
}

fn keep(hidden: Option<(File, Termios)>) -> Option<(File, Termios)> {
    std::mem::replace(&mut *HIDDEN.lock().unwrap_or_else(PoisonError::into_inner), hidden)
}
