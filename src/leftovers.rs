//! What is not to outlive the program: files and folders that are not finished, and processes. They go by themselves when they
//! are dropped; this is for a program that ends at once and drops nothing.

use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

/// What is left over, by numbers that are given once.
static LEFT: Mutex<BTreeMap<u64, Kind>> = Mutex::new(BTreeMap::new());

static NEXT: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
enum Kind {
    /// A file or folder, and which one has the path: another one may have it by then.
    Path(PathBuf, Option<(u64, u64)>),
    Process(Pid),
}

/// Something that goes if the program ends while this lives.
#[derive(Debug)]
#[must_use = "what is dropped stays"]
pub struct Leftover(u64);

impl Leftover {
    /// What stands at a path now.
    pub fn path(path: &Path) -> Self {
        Self::new(Kind::Path(path.to_owned(), number(path)))
    }

    /// A process of this one that nobody has waited for.
    pub fn process(process: Pid) -> Self {
        Self::new(Kind::Process(process))
    }

    fn new(kind: Kind) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        all().insert(number, kind);
        Self(number)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        all().remove(&self.0);
    }
}

/// Ends and removes all that is left over. Threads that register more wait until the program has ended.
pub fn remove_all() {
    let left = all();
    // The last ones first: a process stands behind the folder that it works in.
    for kind in left.values().rev() {
        match kind {
            Kind::Process(process) => drop(kill_process(*process, Signal::KILL)),
            Kind::Path(path, known) if number(path) == *known => remove(path),
            Kind::Path(..) => {}
        }
    }
    mem::forget(left);
}

fn remove(path: &Path) {
    // Nothing can be done about what does not go.
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
}

fn all() -> MutexGuard<'static, BTreeMap<u64, Kind>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which file or folder stands at a path.
fn number(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
