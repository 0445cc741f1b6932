//! Reserves disk space for an edit in place, so that a full disk is noticed before anything changes.

use std::fs::File;
use std::io;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::checked;
use crate::units::ByteRange;

/// Reserves room for the ranges of a file, which lie in order; its size stays. A filesystem that reserves none is asked whether
/// it has enough free bytes for what lies behind the end. One that copies on write may still run out of room for blocks that
/// change.
pub(super) fn reserve(file: &File, ranges: &[ByteRange]) -> io::Result<()> {
    check_limit(ranges)?;
    for range in ranges {
        let taken =
            rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, range.start(), range.size());
        match taken {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return check_free(file, ranges),
            taken => taken?,
        }
    }
    Ok(())
}

/// The limit of the shell (`ulimit -f`) holds for writes, and not for room that is taken (setrlimit(2), `RLIMIT_FSIZE`).
fn check_limit(ranges: &[ByteRange]) -> io::Result<()> {
    let end = ranges.iter().map(|range| range.end()).max();
    match (end, getrlimit(Resource::Fsize).current) {
        (Some(end), Some(limit)) if end > limit => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}

fn check_free(file: &File, ranges: &[ByteRange]) -> io::Result<()> {
    let size = file.metadata()?.len();
    let about = rustix::fs::fstatvfs(file)?;
    let free = checked::product(about.f_bavail, about.f_frsize, "the free bytes of a filesystem")?;
    let behind =
        ranges.iter().filter_map(|range| ByteRange::between(range.start().max(size), range.end()));
    let needed = behind.map(ByteRange::size).sum::<u64>();
    if needed > free { Err(Errno::NOSPC.into()) } else { Ok(()) }
}

/// Adds a range to others, of which the last one may grow by it.
pub(super) fn add(ranges: &mut Vec<ByteRange>, next: ByteRange) {
    match ranges.last_mut() {
        Some(last) if last.end() == next.start() => *last = last.grown_to(next.end()),
        _ => ranges.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_that_takes_no_room_ahead_is_asked_for_what_lies_behind_the_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let range = |start, end| ByteRange::between(start, end).unwrap();
        check_free(&file, &[range(0, 1 << 40), range(1 << 40, (1 << 40) + 1)]).unwrap();
        let fault = check_free(&file, &[range(0, 1 << 60)]).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn the_size_of_a_file_stays_while_room_is_taken() {
        let file = tempfile::tempfile().unwrap();
        let mut ranges = Vec::new();
        for at in [0, 4096, 12_288] {
            add(&mut ranges, ByteRange::new(at, 4096).unwrap());
        }
        assert_eq!(ranges.len(), 2);
        reserve(&file, &ranges).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}
