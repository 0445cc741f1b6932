//! Reads from what may say nothing for long, such as a pipe, and asks meanwhile whether the user wants to stop.

use std::fs::File;
use std::io::{self, Read};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::Error;

/// Whether the user wants to stop.
pub type Stop = fn() -> bool;

/// Time between two questions.
const INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A pipe that is read until the user wants to stop.
pub(super) struct Stoppable {
    pub(super) pipe: File,
    pub(super) stop: Stop,
}

impl Read for Stoppable {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !(self.stop)() {
            match poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&INTERVAL)) {
                Ok(0) | Err(Errno::INTR) => {}
                // The end of a pipe and what is wrong with it are read, too.
                Ok(_) => return self.pipe.read(buf),
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(io::Error::other(Error::Interrupted))
    }
}
