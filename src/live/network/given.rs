//! Addresses and interfaces as users write them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::recipe::setting;

/// What is wrong with a value, and what to do instead.
pub(super) type Fault = (String, String);

/// An interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Link {
    /// The first wired one that has a link.
    First,
    /// By name, as `enp3s0`.
    Name(String),
    /// By hardware address, as `52:54:00:12:34:56`.
    Mac([u8; 6]),
    /// The first wireless one, whichever network it joins.
    Wifi,
}

impl Link {
    /// Of a VLAN, as `eno1.20`: what it is on, and its number.
    pub(super) fn vlan(&self) -> Option<(&str, &str)> {
        match self {
            Self::Name(name) => name.rsplit_once('.'),
            Self::First | Self::Mac(_) | Self::Wifi => None,
        }
    }

    /// The name that it has, or that what a VLAN is on has.
    pub(super) fn below(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(self.vlan().map_or(name, |(below, _)| below)),
            Self::First | Self::Mac(_) | Self::Wifi => None,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => formatter.write_str("*"),
            Self::Wifi => formatter.write_str("wifi"),
            Self::Name(name) => formatter.write_str(name),
            Self::Mac([a, b, c, d, e, f]) => {
                write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
            }
        }
    }
}

impl Link {
    /// The same for people.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::First => "the first wired interface".to_owned(),
            Self::Wifi => "the wireless interface".to_owned(),
            Self::Name(_) | Self::Mac(_) => self.to_string(),
        }
    }
}

/// What to do where two of the values given exclude each other.
pub(super) const ONCE: &str = "give it once";
pub(super) const ONE: &str = "give one";
pub(super) const TO_ONE: &str = "give it to one";
pub(super) const OF_EACH: &str = "give one of each, IPv4 and IPv6";

/// Whether that is what to do.
pub(super) fn is_one_too_many(hint: &str) -> bool {
    [ONCE, ONE, TO_ONE, OF_EACH].contains(&hint)
}

/// An address and the length of its network's prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Subnet {
    pub(super) address: IpAddr,
    prefix: u8,
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl Subnet {
    /// Whether a router is a neighbour: in the network and another one, or link-local for IPv6.
    pub(super) fn reaches(self, router: IpAddr) -> bool {
        let same_network = match (self.address, router) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = mask_v4(self.prefix);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = mask_v6(self.prefix);
                own.to_bits() & mask == other.to_bits() & mask || other.is_unicast_link_local()
            }
            _ => false,
        };
        same_network && router != self.address
    }

    /// Whether it is one address alone, as hosts of servers give them: any router of its family may be on the
    /// same link.
    pub(super) fn is_alone_for(self, router: IpAddr) -> bool {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        let same_family = self.address.is_ipv4() == router.is_ipv4();
        self.prefix == most && same_family && router != self.address
    }

    /// The network and its other end, if a router has the address of one of them.
    pub(super) fn end_at(self, router: IpAddr) -> bool {
        self.reaches(router) && !Self { address: router, ..self }.is_of_a_host()
    }

    /// Whether the address can be a machine's: not that of its network, nor its broadcast address.
    fn is_of_a_host(self) -> bool {
        match self.address {
            IpAddr::V4(address) => {
                let (bits, mask) = (address.to_bits(), mask_v4(self.prefix));
                self.prefix > 30 || (bits & !mask != 0 && bits & !mask != !mask)
            }
            IpAddr::V6(address) => {
                self.prefix > 126 || address.to_bits() & !mask_v6(self.prefix) != 0
            }
        }
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or_default()
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or_default()
}

pub(super) fn fault<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, Fault> {
    Err((what.into(), hint.into()))
}

/// The length of the prefix that a mask of IPv4 has.
fn prefix_of_mask(text: &str) -> Option<u32> {
    let mask = text.parse::<Ipv4Addr>().ok()?.to_bits();
    let ones = mask.leading_ones();
    (ones > 0 && mask.count_ones() == ones).then_some(ones)
}

/// Reads `[IFACE|MAC=]ADDRESS/PREFIX`.
pub(super) fn address(text: &str) -> Result<(Link, Subnet), Fault> {
    let (link, text) = of_link(text)?;
    let Some((address, prefix)) = text.split_once('/').filter(|_| behind_colon(text).is_none())
    else {
        machine(text)?;
        let wide = if text.contains(':') { 64 } else { 24 };
        return fault(
            format!("{text:?} has no prefix length"),
            format!("give it as `{text}/{wide}`"),
        );
    };
    let address = machine(address)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let Some(prefix) = prefix.parse().ok().filter(|prefix| digits && (1..=most).contains(prefix))
    else {
        let hint = match prefix_of_mask(prefix) {
            Some(length) => format!("give the length of this mask: `{address}/{length}`"),
            None => format!("give a number from 1 to {most}, as in `192.168.1.50/24`"),
        };
        return fault(format!("{prefix:?} is not a length of a prefix"), hint);
    };
    let subnet = Subnet { address, prefix };
    if !subnet.is_of_a_host() {
        return fault(
            format!("{subnet} is the address of a network, or its broadcast address"),
            "give the machine's own address",
        );
    }
    Ok((link.unwrap_or(Link::First), subnet))
}

/// Reads `[IFACE|MAC=]ADDRESS`.
pub(super) fn gateway(text: &str) -> Result<(Option<Link>, IpAddr), Fault> {
    let (link, text) = of_link(text)?;
    if let Some((bare, _)) = text.split_once('/') {
        return fault(format!("{text:?} has a prefix"), format!("give `{bare}` alone"));
    }
    Ok((link, machine(text)?))
}

/// The fewest bytes in a packet with which the kernel has IPv6 (RFC 8200, 5), and the most.
const MTU: std::ops::RangeInclusive<u32> = 1280..=65_535;

/// Reads `[IFACE|MAC=]BYTES`.
pub(super) fn mtu(text: &str) -> Result<(Link, u32), Fault> {
    let (link, text) = of_link(text)?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(bytes) = text.parse().ok().filter(|bytes| digits && MTU.contains(bytes)) else {
        let hint = match text.split_once(':').filter(|(link, _)| interface(link).is_ok()) {
            Some((link, rest)) => format!("give it as `{link}={rest}`"),
            None => format!("give {} to {} bytes, as `9000`", MTU.start(), MTU.end()),
        };
        return fault(format!("{text:?} is not a size of packets"), hint);
    };
    Ok((link.unwrap_or(Link::First), bytes))
}

/// Reads the address of a name server.
pub(super) fn name_server(text: &str) -> Result<IpAddr, Fault> {
    machine(text)
}

/// Refuses what came before.
pub(super) fn once(before: &mut BTreeSet<IpAddr>, address: IpAddr) -> Result<IpAddr, Fault> {
    if !before.insert(address) {
        return fault(format!("{address} is given twice"), ONCE);
    }
    Ok(address)
}

/// What is meant by an interface and an address with a colon between.
fn behind_colon(text: &str) -> Option<String> {
    let (link, rest) = text.split_once(':')?;
    let address = rest.split('/').next().unwrap_or_default();
    let is_whole = text.split('/').next().unwrap_or_default().parse::<IpAddr>().is_ok();
    let is_pair = !is_whole && address.parse::<IpAddr>().is_ok() && interface(link).is_ok();
    is_pair.then(|| format!("{link}={rest}"))
}

/// The address of one machine.
fn machine(text: &str) -> Result<IpAddr, Fault> {
    let Ok(address) = text.parse::<IpAddr>() else {
        if let Some(meant) = behind_colon(text) {
            return fault(
                format!("{text:?} is not an address"),
                format!("`=` stands behind an interface: give it as `{meant}`"),
            );
        }
        return fault(
            format!("{text:?} is not an address"),
            "give IPv4 or IPv6, as `192.168.1.1` or `2001:db8::1`",
        );
    };
    let unfit = match address {
        IpAddr::V4(address) => of_no_machine_v4(address),
        IpAddr::V6(address) => of_no_machine_v6(address),
    };
    match unfit {
        Some(kind) => fault(format!("{address} is {kind}"), "give the address of one machine"),
        None => Ok(address),
    }
}

fn of_no_machine_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        _ if address.octets().first() == Some(&0) => Some("not an address that a machine can have"),
        _ if address.is_loopback() => Some("the loopback address"),
        _ if address.is_multicast() => Some("a multicast address"),
        Ipv4Addr::BROADCAST => Some("the broadcast address"),
        _ => None,
    }
}

fn of_no_machine_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address {
        Ipv6Addr::UNSPECIFIED => Some("not an address that a machine can have"),
        Ipv6Addr::LOCALHOST => Some("the loopback address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ => None,
    }
}

/// Takes the interface off the front.
fn of_link(text: &str) -> Result<(Option<Link>, &str), Fault> {
    match text.split_once('=') {
        Some((link, rest)) if link.contains(':') => Ok((Some(Link::Mac(mac(link)?)), rest)),
        // As the kernel and dracut have it.
        Some(("ip", rest)) => fault(
            "`ip` is an argument of the kernel, and would be the name of an interface here",
            format!("give `{rest}` alone; an interface that is called so goes by its MAC address"),
        ),
        Some(("wifi", rest)) => Ok((Some(Link::Wifi), rest)),
        Some((link, rest)) => Ok((Some(Link::Name(interface(link)?)), rest)),
        None => Ok((None, text)),
    }
}

/// Whether a word is a MAC address.
pub(super) fn is_mac(text: &str) -> bool {
    mac(text).is_ok()
}

fn mac(text: &str) -> Result<[u8; 6], Fault> {
    let byte = |pair: &str| {
        let digits = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        u8::from_str_radix(pair, 16).ok().filter(|_| digits)
    };
    let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
    let Some(bytes) = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()) else {
        return fault(
            format!("{text:?} is not a MAC address"),
            "give six pairs of hexadecimal digits, as `52:54:00:12:34:56`",
        );
    };
    if bytes.first().is_some_and(|first| first & 1 == 1) || bytes == [0; 6] {
        return fault(
            format!("{text} is not the MAC address of one interface"),
            "give the interface's own, as `ip link` shows it",
        );
    }
    Ok(bytes)
}

/// What an interface is that no hardware brings, by the name that everybody gives it.
fn made(name: &str) -> Option<&'static str> {
    const KINDS: [(&str, &str); 7] = [
        ("br", "a bridge"),
        ("team", "a team"),
        ("vlan", "a VLAN"),
        ("vxlan", "a VXLAN"),
        ("wg", "a WireGuard interface"),
        ("tun", "a tunnel"),
        ("tap", "a tunnel"),
    ];
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    KINDS.iter().find(|(kind, _)| *kind == stem).map(|(_, what)| *what)
}

/// The number of a VLAN (IEEE 802.1Q-2022, 9.6).
fn is_vlan_id(text: &str) -> bool {
    let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.parse().is_ok_and(|id: u16| (1..=4094).contains(&id))
}

/// The way for what no flag makes.
pub(super) fn by_profile(name: &str) -> String {
    format!(
        "give NetworkManager a profile that makes it (installers from 25.11 on): `{} {name}.nmconnection:/etc/NetworkManager/system-connections/{name}.nmconnection:0600`",
        setting!(file)
    )
}

/// The name of a wired interface, in the letters that udev gives, or of a VLAN on one.
pub(super) fn interface(name: &str) -> Result<String, Fault> {
    let hint = "give a name as `ip link` shows it, as `enp3s0`, or a MAC address";
    let known = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty()
        || name.len() > 15
        || !name.chars().all(known)
        || name.starts_with(['.', '-'])
    {
        return fault(format!("{name:?} is not a name of an interface"), hint);
    }
    if name.starts_with("wl") {
        return fault(
            format!("{name:?} is a wireless interface"),
            "name it `wifi`: the first wireless interface, whichever network it joins",
        );
    }
    if let Some((below, id)) = name.rsplit_once('.') {
        if !is_vlan_id(id) {
            return fault(
                format!("{name:?} is a VLAN, and {id:?} is not a number of one"),
                "give the interface that it is on and a number from 1 to 4094, as `eno1.20`",
            );
        }
        if below.contains('.') {
            return fault(format!("{name:?} is a VLAN in a VLAN"), by_profile(name));
        }
        interface(below)?;
        return Ok(name.to_owned());
    }
    if let Some(kind) = made(name) {
        return fault(
            format!("{name:?} is {kind}, which an address alone does not make"),
            by_profile(name),
        );
    }
    if name == "lo" {
        return fault("lo is the loopback interface", hint);
    }
    Ok(name.to_owned())
}
