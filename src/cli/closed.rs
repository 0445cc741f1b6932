//! Standard streams that were closed when the program began (`>&-`).
//!
//! Rust opens /dev/null in their place before `main`, so that what is written there is gone without an error. A user's own
//! /dev/null looks the same then, so it has to be seen before.

#![expect(
    unsafe_code,
    reason = "what runs before `main` is named to the linker; it asks the kernel and does nothing else"
)]

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};

static INPUT: AtomicBool = AtomicBool::new(false);
static OUTPUT: AtomicBool = AtomicBool::new(false);

/// Among the functions that the loader calls first, in turn.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look;

extern "C" fn look() {
    INPUT.store(is_closed(0), Ordering::Relaxed);
    OUTPUT.store(is_closed(1), Ordering::Relaxed);
}

fn is_closed(descriptor: i32) -> bool {
    // SAFETY: the kernel is asked about a number, which nobody opens or closes meanwhile: there is one thread.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    fcntl_getfd(descriptor) == Err(Errno::BADF)
}

/// What every command that writes to standard output asks first.
pub(crate) fn output() -> io::Result<()> {
    open(&OUTPUT)
}

/// What every command that reads standard input asks first.
pub(crate) fn input() -> io::Result<()> {
    open(&INPUT)
}

fn open(closed: &AtomicBool) -> io::Result<()> {
    if closed.load(Ordering::Relaxed) { Err(io::Error::other("it is closed")) } else { Ok(()) }
}
