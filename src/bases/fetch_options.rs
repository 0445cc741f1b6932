//! The options of fetching a base: server, certificates and patience.

use std::path::PathBuf;
use std::time::Duration;

/// Where bases come from, and how servers are spoken to.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Another server than the project's own, as `https://mirror.example/nixos`.
    pub mirror: Option<String>,
    /// Certificates in PEM to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a server may say nothing.
    pub timeout: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { mirror: None, ca_file: None, timeout: Duration::from_mins(1) }
    }
}
