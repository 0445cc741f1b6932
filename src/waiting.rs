//! Whether the user wants to stop, and files that may have to be waited for: the other end of a FIFO may never come.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Says whether the user wants to stop.
static ASKED: OnceLock<fn() -> bool> = OnceLock::new();

/// How long nothing may come before the user is asked again.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// From now on what waits ends when `asked` says so. The first caller counts.
pub fn when(asked: fn() -> bool) {
    // Another one asks the same user.
    let _ = ASKED.set(asked);
}

/// Whether the user wants to stop.
pub(crate) fn is_over() -> bool {
    ASKED.get().is_some_and(|asked| asked())
}

/// What a read ends with when the user wants to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Stopped;

/// A file that is read as its bytes come, until the user wants to stop.
#[derive(Debug)]
pub struct WaitingFile(File);

/// Opens a file to be read. What stands there may be a FIFO, too.
///
/// # Errors
/// What the system says, and a socket, of which it says that there is no such device.
pub fn open(path: &Path) -> io::Result<WaitingFile> {
    // Otherwise a FIFO is waited for here, where nobody can stop it (fifo(7)).
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path);
    let is_socket = || fs::metadata(path).is_ok_and(|about| about.file_type().is_socket());
    file.map(WaitingFile).map_err(|fault| {
        if is_socket() {
            return io::Error::new(io::ErrorKind::InvalidInput, "it is a socket, not a file");
        }
        fault
    })
}

impl Read for WaitingFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if is_over() {
                return Err(io::Error::other(Stopped));
            }
            let mut here = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut here, Some(&GLANCE)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(fault) => return Err(fault.into()),
            }
            match self.0.read(buf) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_fifo_is_read_to_the_end_of_its_writer_and_waited_for_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let modes = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, modes, 0).unwrap();
        let mut reader = open(&path).unwrap();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(250));
            let mut file = File::options().write(true).open(path).unwrap();
            file.write_all(b"ab").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(250));
            file.write_all(b"c").unwrap();
        });
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        writer.join().unwrap();
        assert_eq!(text, "abc");
    }
}
