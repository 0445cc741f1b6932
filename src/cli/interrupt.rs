//! Control-C: stops long operations at the next chunk, so that files and media are left as they should be.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use remaster::error::{Error, Result};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::diagnostics;

/// Signals, and the status that shells tell of a program that one has ended: 128 and its number.
const SIGNALS: [(i32, u8); 3] = [(SIGHUP, 129), (SIGINT, 130), (SIGTERM, 143)];

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The status for the signal that came last; 0 before any.
static STATUS: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Whether the program waits for input that may never come: then the first signal ends it.
static WAITING: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the first signal asks to stop, and the second stops at once.
pub(crate) fn watch() -> Result<()> {
    static WATCHED: Mutex<bool> = Mutex::new(false);
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    // What is registered twice takes the first signal for the second.
    if !*watched {
        register()?;
    }
    *watched = true;
    Ok(())
}

/// Waits for what may never come, as from a pipe, before anything is made that would have to be tidied up: the first
/// signal ends the program at once.
pub(crate) fn while_waiting<T>(wait: impl FnOnce() -> T) -> T {
    let waiting = WAITING.get_or_init(Arc::default);
    waiting.store(true, Ordering::Relaxed);
    let came = wait();
    waiting.store(false, Ordering::Relaxed);
    came
}

fn register() -> Result<()> {
    let waiting = WAITING.get_or_init(Arc::default);
    let (asked, last) = (ASKED.get_or_init(Arc::default), STATUS.get_or_init(Arc::default));
    for (signal, status) in SIGNALS {
        flag::register_conditional_shutdown(signal, status.into(), Arc::clone(waiting))
            .and_then(|_| {
                flag::register_conditional_shutdown(signal, status.into(), Arc::clone(asked))
            })
            .and_then(|_| flag::register_usize(signal, Arc::clone(last), status.into()))
            .and_then(|_| flag::register(signal, Arc::clone(asked)))
            .map_err(Error::io("watch for signals"))?;
    }
    Ok(())
}

/// From now on a file that grows over a limit of the shell (`ulimit -f`) is an error of that file. By default the
/// signal for it ends the program, which then says nothing and clears nothing up.
pub(crate) fn outlive_file_limits() -> Result<()> {
    let told = flag::register(Signal::XFSZ.as_raw(), Arc::default());
    told.map(drop).map_err(Error::io("watch for signals"))
}

/// The exit status of a program that ends with an error. After a signal it is 128 and the number of that signal.
pub(crate) fn exit_code(fault: &Error) -> u8 {
    let last = STATUS.get().map_or(0, |last| last.load(Ordering::Relaxed));
    match (fault, u8::try_from(last)) {
        (Error::Interrupted, Ok(status)) if status > 0 => status,
        _ => diagnostics::exit_code(fault),
    }
}

/// Whether the user wants to stop.
pub(crate) fn is_asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}
