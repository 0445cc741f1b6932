//! Signals that ask the program to stop: long operations stop at the next chunk, so that files and media are left as they
//! should be.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use remaster::error::{Error, Result};
use remaster::{leftovers, stop, threads};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};

use super::{diagnostics, echo};

/// Signals, and the status that shells tell of a program that one has ended: 128 and its number.
const SIGNALS: [(i32, u8); 3] = [(SIGHUP, 129), (SIGINT, 130), (SIGTERM, 143)];

/// The same signal within this time is not a second wish: a terminal that closes sends SIGHUP twice.
const SAME_WISH: Duration = Duration::from_secs(1);

static ASKED: AtomicBool = AtomicBool::new(false);

/// The status for the signal that came first; 0 before any.
static STATUS: AtomicU8 = AtomicU8::new(0);

/// Whether the first signal asks to stop. Before, it ends the program.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Whether the program waits for input that may never come: then the first signal ends it.
static WAITING: AtomicBool = AtomicBool::new(false);

/// From now on the first signal asks to stop, and the second stops at once.
pub(crate) fn watch() -> Result<()> {
    listen()?;
    stop::when(is_asked);
    WATCHED.store(true, Ordering::Relaxed);
    Ok(())
}

/// From now on a signal that ends the program tidies up first.
pub(crate) fn listen() -> Result<()> {
    static LISTENING: Mutex<bool> = Mutex::new(false);
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    if !*listening {
        let ignored = ignored();
        let wanted = SIGNALS.iter().map(|(signal, _)| signal).filter(|one| !ignored(**one));
        let mut signals = Signals::new(wanted).map_err(Error::io("watch for signals"))?;
        let mut first = None;
        threads::start_alone(move || {
            signals.forever().for_each(|signal| came(signal, &mut first));
        })?;
    }
    *listening = true;
    Ok(())
}

/// Which signals the program was started to ignore, as by nohup(1) and in the background of a script: they stay ignored.
fn ignored() -> impl Fn(i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    move |signal| {
        let number = u32::try_from(signal).ok().and_then(|signal| signal.checked_sub(1));
        number.and_then(|number| 1_u64.checked_shl(number)).is_some_and(|bit| mask & bit != 0)
    }
}

/// What a signal does. This is a thread of its own, and not what the kernel calls.
fn came(signal: i32, first: &mut Option<(i32, Instant)>) {
    if !WATCHED.load(Ordering::Relaxed) || WAITING.load(Ordering::Relaxed) {
        end(signal);
    }
    match first {
        None => {
            *first = Some((signal, Instant::now()));
            STATUS.store(status(signal), Ordering::Relaxed);
            ASKED.store(true, Ordering::Relaxed);
        }
        Some((same, at)) if *same == signal && at.elapsed() < SAME_WISH => {}
        Some(_) => end(signal),
    }
}

/// Ends the program at once, and leaves neither a terminal that shows nothing nor files that are not finished.
fn end(signal: i32) -> ! {
    echo::show_again();
    leftovers::remove_all();
    low_level::exit(status(signal).into())
}

fn status(signal: i32) -> u8 {
    SIGNALS.iter().find(|(own, _)| *own == signal).map_or(1, |(_, status)| *status)
}

/// Waits for what may never come, as from a pipe: the first signal ends the program at once.
pub(crate) fn while_waiting<T>(wait: impl FnOnce() -> T) -> T {
    let before = WAITING.swap(true, Ordering::Relaxed);
    let came = wait();
    WAITING.store(before, Ordering::Relaxed);
    came
}

/// From now on a file that grows over a limit of the shell (`ulimit -f`) is an error of that file. By default the
/// signal for it ends the program, which then says nothing and clears nothing up.
pub(crate) fn outlive_file_limits() -> Result<()> {
    let told = flag::register(Signal::XFSZ.as_raw(), Arc::default());
    told.map(drop).map_err(Error::io("watch for signals"))
}

/// The exit status of a program that ends with an error. After a signal it is 128 and the number of that signal.
pub(crate) fn exit_code(fault: &Error) -> u8 {
    match (fault.plain(), STATUS.load(Ordering::Relaxed)) {
        (Error::Interrupted, status) if status > 0 => status,
        _ => diagnostics::exit_code(fault),
    }
}

/// Whether the user wants to stop.
pub(crate) fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
