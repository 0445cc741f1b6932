//! Finds machines on the local network by their host keys. OpenSSH's `ssh-keyscan` does the talking.

mod address;
mod announcement;
mod known;
mod network;
mod scan;

pub use address::Address;
pub use announcement::{Joined, Listener};
pub use known::{Known, read};
pub use network::{Network, own};
pub use scan::{Asking, Found, UnknownAddresses};
