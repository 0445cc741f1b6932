//! Where to look: IPv4 networks, small ones.

use std::fmt;
use std::net::Ipv4Addr;

use if_addrs::IfAddr;

use crate::error::{Error, Result};

/// The shortest prefix that may be asked for: 4,096 addresses.
const SHORTEST: u8 = 20;

/// The shortest prefix around an own address: 1,024 addresses.
const SHORTEST_OWN: u8 = 22;

/// A network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: u32,
    prefix: u8,
}

impl Network {
    /// Reads `192.168.1.0/24`, or a single address.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is none, or has more than 4,096 addresses.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |why: &str| Error::Usage {
            what: format!("{text:?} {why}"),
            hint: "give a network as 192.168.1.0/24, of 4,096 addresses (/20) at most".into(),
        };
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| refused("is not an IPv4 network"))?;
        let prefix: u8 = prefix.parse().map_err(|_| refused("is not an IPv4 network"))?;
        match prefix {
            SHORTEST..=32 => Ok(Self { address: address.to_bits(), prefix }),
            0..SHORTEST => Err(refused("is too large to ask every address")),
            _ => Err(refused("is not an IPv4 network")),
        }
    }

    /// Its addresses, without those of network and broadcast.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let below = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        let (first, last) = (self.address & !below, self.address | below);
        let ends = below > 1;
        (first..=last)
            .filter(move |address| !ends || (*address != first && *address != last))
            .map(Ipv4Addr::from_bits)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        write!(formatter, "{}/{}", Ipv4Addr::from_bits(self.address & !below), self.prefix)
    }
}

/// The networks of this machine's interfaces: private and link-local ones only, so that strangers are
/// not asked, and of large ones the 1,024 addresses around its own.
pub fn own() -> Result<Vec<Network>> {
    let all = if_addrs::get_if_addrs().map_err(Error::io("list network interfaces"))?;
    Ok(local(all.into_iter().filter_map(|interface| match interface.addr {
        IfAddr::V4(address) => Some((address.ip, address.prefixlen)),
        IfAddr::V6(_) => None,
    })))
}

/// The networks of those addresses that are private, each once.
fn local(addresses: impl Iterator<Item = (Ipv4Addr, u8)>) -> Vec<Network> {
    let mut found: Vec<Network> = Vec::new();
    for (address, prefix) in addresses.filter(|(address, _)| is_local(*address)) {
        let prefix = prefix.clamp(SHORTEST_OWN, 32);
        let network = Network { address: address.to_bits(), prefix };
        if !found.iter().any(|other| other.to_string() == network.to_string()) {
            found.push(network);
        }
    }
    found
}

/// RFC 1918, RFC 3927 and RFC 6598.
fn is_local(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    address.is_private() || address.is_link_local() || shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        Network::parse(text).unwrap().hosts().map(|host| host.to_string()).collect()
    }

    #[test]
    fn a_network_has_its_hosts() {
        assert_eq!(hosts("10.0.0.5/30"), ["10.0.0.5", "10.0.0.6"]);
        assert_eq!(hosts("10.0.0.5/31"), ["10.0.0.4", "10.0.0.5"]);
        assert_eq!(hosts("10.0.0.5"), ["10.0.0.5"]);
        assert_eq!(hosts("255.255.255.255/32"), ["255.255.255.255"]);
        assert_eq!(hosts("10.0.0.5/20").len(), 4094);
        assert_eq!(Network::parse("10.0.3.5/24").unwrap().to_string(), "10.0.3.0/24");
    }

    #[test]
    fn networks_of_this_machine_are_the_local_ones_each_once() {
        let addresses = [
            ([127, 0, 0, 1], 8),
            ([10, 0, 3, 5], 24),
            ([10, 0, 3, 6], 24),
            ([10, 0, 4, 6], 24),
            ([192, 0, 2, 7], 24),
            ([172, 16, 1, 2], 12),
        ];
        let found = local(addresses.into_iter().map(|(address, prefix)| (address.into(), prefix)));
        let found: Vec<String> = found.iter().map(Network::to_string).collect();
        assert_eq!(found, ["10.0.3.0/24", "10.0.4.0/24", "172.16.0.0/22"]);
    }

    #[test]
    fn what_is_not_a_small_network_is_refused() {
        for (bad, text) in [
            ("10.0.0.0/19", "too large"),
            ("0.0.0.0/0", "too large"),
            ("10.0.0.0/33", "not an IPv4"),
            ("10.0.0/24", "not an IPv4"),
            ("fe80::/64", "not an IPv4"),
            ("", "not an IPv4"),
        ] {
            assert!(Network::parse(bad).unwrap_err().to_string().contains(text), "{bad}");
        }
        assert!(
            is_local(Ipv4Addr::new(100, 127, 0, 1)) && !is_local(Ipv4Addr::new(100, 128, 0, 1))
        );
        assert!(!is_local(Ipv4Addr::LOCALHOST));
    }
}
