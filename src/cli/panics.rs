//! What a panic ends with: the message and the status of a bug, as every other broken rule of the program. A panic that is
//! caught, of a crate that reads a hostile file, says nothing.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use remaster::error::Error;

use super::{diagnostics, printer};

/// Where the last panic was.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// Runs the program. With `RUST_BACKTRACE` set, panics show their calls, too.
pub(super) fn caught(program: impl FnOnce() -> ExitCode) -> ExitCode {
    let shown = panic::take_hook();
    let is_shown = remaster::environment::bytes("RUST_BACKTRACE").is_some_and(|value| value != "0");
    panic::set_hook(Box::new(move |info| {
        note(info);
        if is_shown {
            shown(info);
        }
    }));
    let ended = panic::catch_unwind(AssertUnwindSafe(program));
    drop(panic::take_hook());
    match ended {
        Ok(status) => status,
        Err(payload) => {
            printer::write_error(&text(&*payload));
            ExitCode::from(diagnostics::exit_code(&Error::bug("")))
        }
    }
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
}

/// The message, with the words and the hint of [`Error::Bug`].
fn text(payload: &(dyn Any + Send)) -> String {
    let words = payload.downcast_ref::<&str>().map(ToString::to_string);
    let words = words.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    let hint = diagnostics::hint(&Error::bug("")).unwrap_or_default();
    format!("error: bug in remaster: {words} ({place}), please report it\nhint: {hint}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_as_a_bug() {
        let status = caught(|| std::thread::scope(|_| panic!("a rule is broken")));
        assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::from(70)));
        let told = text(&String::from("a rule is broken"));
        assert!(told.starts_with("error: bug in remaster: a rule is broken (src/cli/panics.rs:"));
        assert!(told.contains("\nhint: add the command"), "{told}");
        let status = caught(|| ExitCode::from(3));
        assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::from(3)));
    }
}
