//! The address of a machine: IPv4, or IPv6 link-local with its interface.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address that ssh takes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Address {
    /// One that is looked for by a scan.
    V4(Ipv4Addr),
    /// One of IPv6 that is of a link alone: it means nothing without the interface that leads there (RFC 4007).
    OnLink {
        /// As `fe80::1`.
        address: Ipv6Addr,
        /// The name of an interface of this machine: the zone, as `eth0`.
        interface: String,
    },
}

impl Address {
    /// Whether others than ssh take it as well: URLs have no place for a zone that programs agree on.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::V4(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(formatter),
            Self::OnLink { address, interface } => write!(formatter, "{address}%{interface}"),
        }
    }
}
