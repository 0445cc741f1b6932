//! Profiles of `NetworkManager` (nm-settings-keyfile(5)) and its name servers (`NetworkManager.conf(5)`).

use std::fmt::Write as _;
use std::net::IpAddr;

use super::Fixed;
use super::given::Link;

/// DHCP on every wired interface that no other profile is for. `NetworkManager` makes none of its own
/// once there is a profile for any interface.
pub(super) const DHCP: &str = "\
[connection]
id=remaster-dhcp
uuid=5b0c6f0e-2a53-5d1c-9c55-72656d617374
type=ethernet
autoconnect-priority=-100
multi-connect=3

[ipv4]
method=auto

[ipv6]
method=auto
";

/// What one interface gets; `bears_vlan` says whether a VLAN is on it.
pub(super) fn fixed(number: u32, fixed: &Fixed, bears_vlan: bool) -> String {
    let kind = match (&fixed.bond, fixed.link.vlan()) {
        (Some(_), _) => "bond",
        (None, Some(_)) => "vlan",
        (None, None) => "ethernet",
    };
    let mut text = format!(
        "[connection]\nid=remaster-address-{number}\nuuid=5b0c6f0e-2a53-5d1c-9c56-{number:012x}\ntype={kind}\nautoconnect-priority=100\n"
    );
    if let Link::Name(name) = &fixed.link {
        let _ = writeln!(text, "interface-name={name}");
    }
    if let Some(bond) = &fixed.bond {
        text.push_str("\n[bond]\n");
        for (name, value) in &bond.options {
            let _ = writeln!(text, "{name}={value}");
        }
    }
    if let Some((below, id)) = fixed.link.vlan() {
        let _ = write!(text, "\n[vlan]\nid={id}\nparent={below}\n");
    }
    if kind == "ethernet" || fixed.mtu.is_some() {
        text.push_str("\n[ethernet]\n");
    }
    if let Link::Mac(_) = &fixed.link {
        let _ = writeln!(text, "mac-address={}", fixed.link);
    }
    if let Some(bytes) = fixed.mtu {
        let _ = writeln!(text, "mtu={bytes}");
    }
    // A bond that finds nobody who gives it an address would go, and its VLANs with it.
    text + &families(fixed, fixed.bond.is_some() && bears_vlan)
}

/// A member of a bond, before any other profile of the interface.
pub(super) fn port((number, port): (u32, u32), name: &str, bond: &Link) -> String {
    format!(
        "[connection]\nid=remaster-address-{number}-{port}\nuuid=5b0c6f0e-2a53-5d1c-9c58-{number:06x}{port:06x}\ntype=ethernet\nautoconnect-priority=200\ninterface-name={name}\nmaster={bond}\nslave-type=bond\n\n[ethernet]\n"
    )
}

/// The sections of both families. If only one family has an address, the other one does not use DHCP, as on installers
/// without `NetworkManager`; IPv6 still takes what routers announce. Without any address both use DHCP, or are left out.
pub(super) fn families(fixed: &Fixed, or_none: bool) -> String {
    let mut text = String::new();
    let otherwise = match (fixed.addresses.is_empty(), or_none) {
        (false, _) => ("disabled", "auto"),
        (true, false) => ("auto", "auto"),
        (true, true) => ("disabled", "disabled"),
    };
    family(&mut text, fixed, ("ipv4", otherwise.0), IpAddr::is_ipv4);
    family(&mut text, fixed, ("ipv6", otherwise.1), IpAddr::is_ipv6);
    text
}

/// One family's section; `otherwise` is its method without an address.
fn family(
    text: &mut String,
    fixed: &Fixed,
    (section, otherwise): (&str, &str),
    is_of: fn(&IpAddr) -> bool,
) {
    let router = fixed.gateways.iter().find(|router| is_of(router));
    // Behind an address alone, a router gets a route to itself (nm-settings-keyfile(5), "address").
    let alone = router.filter(|router| !fixed.addresses.iter().any(|one| one.reaches(**router)));
    let addresses = fixed.addresses.iter().filter(|subnet| is_of(&subnet.address));
    let addresses: Vec<String> = addresses
        .map(|subnet| match alone.filter(|router| subnet.is_alone_for(**router)) {
            Some(router) => format!("{subnet},{router}"),
            None => subnet.to_string(),
        })
        .collect();
    let method = if addresses.is_empty() { otherwise } else { "manual" };
    let _ = writeln!(text, "\n[{section}]\nmethod={method}");
    for (number, address) in (1..).zip(&addresses) {
        let _ = writeln!(text, "address{number}={address}");
    }
    if let Some(router) = router.filter(|_| alone.is_none()) {
        let _ = writeln!(text, "gateway={router}");
    }
}

/// Name servers for all names, whatever DHCP tells.
pub(super) fn name_servers(servers: &[IpAddr]) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    format!("[global-dns-domain-*]\nservers={}\n", servers.join(","))
}
