//! Finds machines on the local network by their host keys. OpenSSH's `ssh-keyscan` does the talking.

mod known;
mod network;
mod scan;

pub use known::{Known, read};
pub use network::{Network, own};
pub use scan::{Asking, Found, Missed};
