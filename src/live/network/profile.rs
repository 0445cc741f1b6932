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

/// Fixed addresses. The family that has none gets no address by DHCP, as on installers without
/// `NetworkManager`; IPv6 still takes what routers announce.
pub(super) fn fixed(number: u32, fixed: &Fixed) -> String {
    let mut text = format!(
        "[connection]\nid=remaster-address-{number}\nuuid=5b0c6f0e-2a53-5d1c-9c56-{number:012x}\ntype=ethernet\nautoconnect-priority=100\n"
    );
    match &fixed.link {
        Link::First => text.push_str("\n[ethernet]\n"),
        Link::Name(name) => {
            let _ = writeln!(text, "interface-name={name}\n\n[ethernet]");
        }
        Link::Mac(_) => {
            let _ = writeln!(text, "\n[ethernet]\nmac-address={}", fixed.link);
        }
    }
    family(&mut text, fixed, ("ipv4", "disabled"), IpAddr::is_ipv4);
    family(&mut text, fixed, ("ipv6", "auto"), IpAddr::is_ipv6);
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
