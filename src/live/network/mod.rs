//! Fixed addresses and name servers of the live system.
//!
//! `NetworkManager` gets profiles (nm-settings-keyfile(5)); all installers have it from 25.11 on, the
//! graphical ones always had. Elsewhere dhcpcd runs, and a unit of ours sets the addresses and keeps
//! dhcpcd off those interfaces. Before 25.11 the image has both, and the unit looks which one is there.

mod given;
mod profile;

use std::fmt::Write as _;
use std::net::IpAddr;

use super::facts::Facts;
use crate::error::Result;
use crate::formats::newc::Member;
use crate::recipe::Recipe;
use crate::recipe::edits::Edits;

use given::{Link, Subnet};

/// The first release whose minimal installer has `NetworkManager` (nixpkgs, `profiles/installation-device.nix`).
const NETWORK_MANAGER: (u32, u32) = (25, 11);
/// What the unit reads, and what tells later what was asked for: `LINK address A/PREFIX` and the like.
pub(super) const NETWORK: &str = "etc/remaster/network";
/// Where `NetworkManager` looks for profiles that are files.
const PROFILES: &str = "etc/NetworkManager/system-connections";

/// Whether all systems of an image have `NetworkManager`.
pub(super) fn has_network_manager(facts: &Facts) -> bool {
    facts.is_from(NETWORK_MANAGER)
}

/// Puts a profile in. `NetworkManager` reads none that others than root could read.
pub(super) fn put_profile(edits: &mut Edits, name: &str, text: String) {
    edits.root.put(Member::directory(PROFILES, 0o700));
    edits.root.file(&format!("{PROFILES}/remaster-{name}.nmconnection"), 0o600, text);
}

/// An interface with what it gets.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fixed {
    link: Link,
    addresses: Vec<Subnet>,
    gateways: Vec<IpAddr>,
}

/// What of it was asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Network {
    fixed: Vec<Fixed>,
    dns: Vec<IpAddr>,
}

impl Network {
    /// Takes what a recipe says, and refuses what cannot be.
    pub(super) fn gather(recipe: &Recipe) -> Result<Self> {
        let mut network = Self::default();
        for (index, text) in recipe.address.iter().enumerate() {
            let added = given::address(text).and_then(|(link, subnet)| network.add(link, subnet));
            added.map_err(|(what, hint)| recipe.fault("address", index, what, hint))?;
        }
        for (index, text) in recipe.gateway.iter().enumerate() {
            let added = given::gateway(text)
                .and_then(|(link, router)| network.route(link.as_ref(), router));
            added.map_err(|(what, hint)| recipe.fault("gateway", index, what, hint))?;
        }
        for (index, text) in recipe.dns.iter().enumerate() {
            let server = given::name_server(text);
            let server = server.and_then(|server| given::once(&network.dns, server));
            let server = server.map_err(|(what, hint)| recipe.fault("dns", index, what, hint))?;
            network.dns.push(server);
        }
        Ok(network)
    }

    fn add(&mut self, link: Link, subnet: Subnet) -> Result<(), given::Fault> {
        let all: Vec<IpAddr> = self
            .fixed
            .iter()
            .flat_map(|fixed| fixed.addresses.iter().map(|subnet| subnet.address))
            .collect();
        given::once(&all, subnet.address)?;
        match self.fixed.iter_mut().find(|fixed| fixed.link == link) {
            Some(fixed) => fixed.addresses.push(subnet),
            None => {
                self.fixed.push(Fixed { link, addresses: vec![subnet], gateways: Vec::new() });
            }
        }
        Ok(())
    }

    /// Gives a router to the interface that is named, or else to the first that reaches it, or else to the first
    /// with an address alone, from which a router outside is reached by a route of its own.
    fn route(&mut self, link: Option<&Link>, router: IpAddr) -> Result<(), given::Fault> {
        let with = |is_fit: fn(Subnet, IpAddr) -> bool| {
            self.fixed.iter().position(|fixed| {
                link.is_none_or(|link| *link == fixed.link)
                    && fixed.addresses.iter().any(|subnet| is_fit(*subnet, router))
            })
        };
        let at = with(Subnet::reaches).or_else(|| with(Subnet::is_alone_for));
        let Some(fixed) = at.and_then(|at| self.fixed.get_mut(at)) else {
            return Err(self.unreachable(link, router));
        };
        if fixed.gateways.iter().any(|other| other.is_ipv4() == router.is_ipv4()) {
            let what = format!("{router} is a second router of one interface");
            return Err((what, "give one of each, IPv4 and IPv6".into()));
        }
        fixed.gateways.push(router);
        Ok(())
    }

    fn unreachable(&self, link: Option<&Link>, router: IpAddr) -> given::Fault {
        let of_link = self.fixed.iter().filter(|fixed| link.is_none_or(|link| *link == fixed.link));
        let subnets: Vec<String> =
            of_link.flat_map(|fixed| fixed.addresses.iter().map(Subnet::to_string)).collect();
        if subnets.is_empty() {
            let what = match link {
                Some(link) => format!("{router} is for {link}, which gets no address"),
                None => format!("{router} without an address"),
            };
            return (what, "give an --address as well, or leave both to DHCP".into());
        }
        let what = format!("{router} is not in reach of {}", subnets.join(", "));
        (what, "give a router in the subnet of the address, or another prefix".into())
    }

    /// Puts it in.
    pub(super) fn apply(&self, facts: &Facts, edits: &mut Edits) {
        if self.fixed.is_empty() && self.dns.is_empty() {
            return;
        }
        edits.root.file(NETWORK, 0o644, self.lines());
        self.put_profiles(edits);
        if has_network_manager(facts) {
            return;
        }
        let root = &mut edits.root;
        root.file("etc/remaster/address.sh", 0o644, include_str!("../scripts/address.sh"));
        root.unit("remaster-address.service", include_str!("../scripts/address.service"));
        root.want("remaster-address.service", "multi-user.target");
        root.file("etc/remaster/dhcpcd.sh", 0o644, include_str!("../scripts/dhcpcd.sh"));
        root.unit("dhcpcd.service.d/remaster.conf", include_str!("../scripts/dhcpcd.conf"));
    }

    fn put_profiles(&self, edits: &mut Edits) {
        for (number, fixed) in (1..).zip(&self.fixed) {
            put_profile(edits, &format!("address-{number}"), profile::fixed(number, fixed));
        }
        if self.fixed.iter().any(|fixed| fixed.link == Link::First) {
            put_profile(edits, "dhcp", profile::DHCP.to_owned());
        }
        if !self.dns.is_empty() {
            let text = profile::name_servers(&self.dns);
            edits.root.file("etc/NetworkManager/conf.d/remaster-dns.conf", 0o644, text);
        }
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for Fixed { link, addresses, gateways } in &self.fixed {
            for subnet in addresses {
                let _ = writeln!(text, "{link} address {subnet}");
            }
            for router in gateways {
                let _ = writeln!(text, "{link} gateway {router}");
            }
        }
        for server in &self.dns {
            let _ = writeln!(text, "- dns {server}");
        }
        text
    }
}

#[cfg(test)]
mod tests;
