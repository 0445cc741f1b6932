//! What a long operation tells its caller, and how the caller stops it.

/// Listens to a long operation.
pub trait Progress: Sync {
    /// A stage begins that will handle `total` bytes.
    fn begin(&self, stage: &'static str, total: u64);
    /// So many bytes are left to handle in stages behind this one.
    fn follow(&self, _bytes: u64) {}
    /// `bytes` more are done.
    fn advance(&self, bytes: u64);
    /// The stage is over.
    fn end(&self);
    /// Whether the operation should stop as soon as it can.
    fn is_cancelled(&self) -> bool;
}

/// Nobody listens.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &'static str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn is_cancelled(&self) -> bool {
        false
    }
}
