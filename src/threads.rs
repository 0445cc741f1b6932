//! Threads that are waited for. A system that gives no more of them is an error, and not a fault of this program.

use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use crate::error::{Error, Result};

/// Starts a thread of a scope.
///
/// # Errors
/// [`Error::NoThread`].
pub fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).map_err(|source| Error::NoThread { source })
}

/// Starts a thread that borrows nothing.
///
/// # Errors
/// [`Error::NoThread`].
pub fn start_alone<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    Builder::new().spawn(work).map_err(|source| Error::NoThread { source })
}

/// What a thread made; its panic goes on in this one.
pub fn end<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
