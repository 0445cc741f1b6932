//! Fixed addresses and name servers of the live system.
//!
//! `NetworkManager` gets profiles (nm-settings-keyfile(5)); all installers have it from 25.11 on, the
//! graphical ones always had. Elsewhere dhcpcd runs, and a unit of ours sets the addresses and keeps
//! dhcpcd off those interfaces. Before 25.11 the image has both, and the unit looks which one is there.

mod bond;
mod given;
mod profile;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::facts::Facts;
use crate::error::{Advice, Error, Result};
use crate::formats::newc::Member;
use crate::recipe::edits::Edits;
use crate::recipe::{IN_IMAGE, Recipe, setting};
use crate::stop;

use bond::Bond;
use given::{Link, Subnet};

/// The first release whose minimal installer has `NetworkManager` (nixpkgs, `profiles/installation-device.nix`).
const NETWORK_MANAGER: (u32, u32) = (25, 11);
/// The size of packets on wired networks (IEEE 802.3).
const USUAL_MTU: u32 = 1500;
/// Interfaces that get settings of their own, with members of bonds: more than there are VLANs on one (IEEE 802.1Q).
const MOST_INTERFACES: usize = 4096;
/// What the unit reads, and what tells later what was asked for: `LINK address A/PREFIX` and the like.
pub(super) const NETWORK: &str = "etc/remaster/network";
/// Where `NetworkManager` looks for profiles that are files.
const PROFILES: &str = "etc/NetworkManager/system-connections";

/// What tells it of name servers.
const NAME_SERVERS: &str = "etc/NetworkManager/conf.d/remaster-dns.conf";

/// Whether all systems of an image have `NetworkManager`.
pub(super) fn has_network_manager(facts: &Facts) -> bool {
    facts.is_from(NETWORK_MANAGER)
}

/// Puts a profile in. `NetworkManager` reads none that others than root could read.
pub(super) fn put_profile(edits: &mut Edits, name: &str, text: String) {
    edits.root.put(Member::directory(PROFILES, 0o700));
    edits.root.file(&profile_path(name), 0o600, text);
}

/// Where it stands.
pub(super) fn profile_path(name: &str) -> String {
    format!("{PROFILES}/remaster-{name}.nmconnection")
}

/// The paths of the profiles that go with lines of [`NETWORK`], and whether a line is one of ours at all.
pub(super) fn profiles(lines: &str) -> (Vec<String>, bool) {
    let (mut links, mut paths, mut has_any) = (BTreeSet::new(), Vec::new(), false);
    for line in lines.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(link), Some(name), Some(value)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        has_any = true;
        if link == "-" {
            paths.push(NAME_SERVERS.to_owned());
            continue;
        }
        if links.insert(link) {
            paths.push(profile_path(&format!("address-{}", links.len())));
        }
        let members = value.split(':').next().filter(|_| name == "bond");
        let members = members.map_or(0, |members| members.split(',').count());
        let port = |port| profile_path(&format!("address-{}-{port}", links.len()));
        paths.extend((1..=members).map(port));
    }
    paths.extend(links.contains(&"*").then(|| profile_path("dhcp")));
    (paths, has_any)
}

/// An interface with what it gets.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fixed {
    link: Link,
    /// What it is made of.
    bond: Option<Bond>,
    mtu: Option<u32>,
    /// By DHCP if there are none.
    addresses: Vec<Subnet>,
    gateways: Vec<IpAddr>,
}

impl Fixed {
    fn new(link: Link) -> Self {
        Self { link, bond: None, mtu: None, addresses: Vec::new(), gateways: Vec::new() }
    }

    /// The order in which interfaces are made: VLANs may be on bonds.
    fn order(&self) -> u8 {
        match (&self.bond, self.link.vlan()) {
            (Some(_), _) => 0,
            (None, None) => 1,
            (None, Some(_)) => 2,
        }
    }
}

/// The error for what is wrong with the element `index`. Where that and one of the image are one too many, it names both.
fn told(recipe: &Recipe, name: &str, index: usize, (what, hint): given::Fault) -> Error {
    let place = recipe.place(name, index);
    let is_in_image =
        |index| recipe.place_in_file(name, index).is_some_and(|place| place.starts_with(IN_IMAGE));
    let (_, values) =
        recipe.values().into_iter().find(|(other, _)| other == name).unwrap_or_default();
    let there: Vec<&str> = (0..index)
        .filter(|index| is_in_image(*index))
        .filter_map(|index| values.get(index).map(String::as_str))
        .collect();
    if !given::is_one_too_many(&hint) || is_in_image(index) || there.is_empty() {
        return recipe.fault(name, index, what, hint);
    }
    let own = values.get(index).map_or("", String::as_str);
    let what = format!("{IN_IMAGE}: {name} {}, and {place} {own}: {what}", there.join(", "));
    Error::Recipe { what, hint: Advice::OneOrReplaceAll }
}

/// Hands each element of a list to `take`, until the user wants to stop.
fn each(
    recipe: &Recipe,
    name: &str,
    list: &[String],
    mut take: impl FnMut(&str) -> Result<(), given::Fault>,
) -> Result<()> {
    for (index, text) in list.iter().enumerate() {
        stop::check()?;
        take(text).map_err(|fault| told(recipe, name, index, fault))?;
    }
    Ok(())
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
        let (mut addresses, mut servers) = (BTreeSet::new(), BTreeSet::new());
        each(recipe, "bond", &recipe.bond, |text| {
            bond::bond(text).and_then(|(name, bond)| network.join(name, bond))
        })?;
        each(recipe, "address", &recipe.address, |text| {
            let (link, subnet) = given::address(text)?;
            given::once(&mut addresses, subnet.address)?;
            network.interface(link)?.addresses.push(subnet);
            Ok(())
        })?;
        each(recipe, "gateway", &recipe.gateway, |text| {
            given::gateway(text).and_then(|(link, router)| network.route(link.as_ref(), router))
        })?;
        each(recipe, "mtu", &recipe.mtu, |text| {
            given::mtu(text).and_then(|(link, bytes)| network.size(link, bytes))
        })?;
        network.fixed.sort_by_key(Fixed::order);
        network.check_sizes().map_err(|(what, hint)| recipe.fault("mtu", 0, what, hint))?;
        if let Some(name) = network.names_wifi(recipe) {
            let wifi = setting!(wifi);
            let what = format!("for the wireless interface, and there is no {wifi}");
            return Err(recipe.fault(name, 0, what, format!("give the network's name to {wifi}")));
        }
        each(recipe, "dns", &recipe.dns, |text| {
            let server = given::once(&mut servers, given::name_server(text)?)?;
            network.dns.push(server);
            Ok(())
        })?;
        Ok(network)
    }

    /// What of the recipe is for the wireless interface, although no network is to be joined.
    fn names_wifi(&self, recipe: &Recipe) -> Option<&'static str> {
        let fixed = self.wifi().filter(|_| recipe.wifi.is_empty())?;
        Some(if fixed.addresses.is_empty() { "mtu" } else { "address" })
    }

    /// What the wireless interface gets, if it gets something.
    fn wifi(&self) -> Option<&Fixed> {
        self.fixed.iter().find(|fixed| fixed.link == Link::Wifi)
    }

    /// The bond that has a member.
    fn bond_of(&self, name: &str) -> Option<&Link> {
        let has = |bond: &Bond| bond.members.iter().any(|member| member == name);
        let fixed = self.fixed.iter().find(|fixed| fixed.bond.as_ref().is_some_and(has));
        fixed.map(|fixed| &fixed.link)
    }

    fn is_bond(&self, name: &str) -> bool {
        let link = Link::Name(name.to_owned());
        self.fixed.iter().any(|fixed| fixed.bond.is_some() && fixed.link == link)
    }

    /// Makes a bond of interfaces that are in no other one.
    fn join(&mut self, name: String, bond: Bond) -> Result<(), given::Fault> {
        self.check_room(bond.members.len())?;
        let is_taken = |one: &&String| self.bond_of(one).is_some() || self.is_bond(one);
        if let Some(taken) = bond.members.iter().chain([&name]).find(is_taken) {
            return given::fault(format!("{taken} is given to two bonds"), given::TO_ONE);
        }
        let link = Link::Name(name);
        self.fixed.push(Fixed { bond: Some(bond), ..Fixed::new(link) });
        Ok(())
    }

    /// The interface of a link, which must be one that can have settings of its own.
    fn interface(&mut self, link: Link) -> Result<&mut Fixed, given::Fault> {
        if let Some(name) = link.below() {
            if let Some(bond) = self.bond_of(name) {
                let what = format!("{name} is in {bond}, and has no settings of its own");
                return given::fault(what, format!("give them to {bond}"));
            }
            let is_called_one = name.trim_end_matches(|c: char| c.is_ascii_digit()) == "bond";
            if is_called_one && !self.is_bond(name) {
                let bond = setting!(bond);
                let what = format!("{name} is a bond, and no {bond} lists its members");
                return given::fault(
                    what,
                    format!("give its members, as `{bond} {name}:eno1,eno2`"),
                );
            }
        }
        let at = self.fixed.iter().position(|fixed| fixed.link == link);
        if at.is_none() {
            self.check_room(0)?;
        }
        let at = at.unwrap_or_else(|| {
            self.fixed.push(Fixed::new(link));
            self.fixed.len().saturating_sub(1)
        });
        match self.fixed.get_mut(at) {
            Some(fixed) => Ok(fixed),
            None => given::fault("no room for an interface", "give fewer"),
        }
    }

    /// Refuses one interface more, with members, where there are as many as are compared with each other.
    fn check_room(&self, members: usize) -> Result<(), given::Fault> {
        let bonded = self.fixed.iter().filter_map(|fixed| fixed.bond.as_ref());
        let bonded = bonded.map(|bond| bond.members.len());
        let all = bonded.chain([self.fixed.len(), members, 1]).sum::<usize>();
        if all <= MOST_INTERFACES {
            return Ok(());
        }
        given::fault(format!("more than {MOST_INTERFACES} interfaces"), "give fewer")
    }

    fn size(&mut self, link: Link, bytes: u32) -> Result<(), given::Fault> {
        let fixed = self.interface(link)?;
        if fixed.mtu.is_some() {
            return given::fault(
                format!("a second size for {}", fixed.link.in_words()),
                given::ONE,
            );
        }
        fixed.mtu = Some(bytes);
        Ok(())
    }

    /// Refuses VLANs whose packets are larger than those of what they are on: the kernel does, too.
    fn check_sizes(&self) -> Result<(), given::Fault> {
        for fixed in &self.fixed {
            let (Some((below, _)), Some(bytes)) = (fixed.link.vlan(), fixed.mtu) else { continue };
            let below = Link::Name(below.to_owned());
            let found = self.fixed.iter().find(|fixed| fixed.link == below);
            let most = found.and_then(|fixed| fixed.mtu).unwrap_or(USUAL_MTU);
            if bytes > most {
                let what =
                    format!("{} bytes of {} do not fit into {most} of {below}", bytes, fixed.link);
                return given::fault(
                    what,
                    format!("give `{} {below}={bytes}` with it", setting!(mtu)),
                );
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
        let found = at.and_then(|at| self.fixed.get(at));
        if found.is_some_and(|fixed| fixed.addresses.iter().any(|subnet| subnet.end_at(router))) {
            let what = format!("{router} is the address of a network, or its broadcast address");
            return Err((what, "give the address of the router".into()));
        }
        let Some(fixed) = at.and_then(|at| self.fixed.get_mut(at)) else {
            return Err(self.unreachable(link, router));
        };
        if fixed.gateways.iter().any(|other| other.is_ipv4() == router.is_ipv4()) {
            let what = format!("{router} is a second router of one interface");
            return Err((what, given::OF_EACH.into()));
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
            let hint = format!("give an {} as well, or leave both to DHCP", setting!(address));
            return (what, hint);
        }
        let mut own = self.fixed.iter().flat_map(|fixed| &fixed.addresses);
        if own.clone().any(|subnet| subnet.address == router) {
            let what = format!("{router} is the machine's own address, not that of a router");
            return (what, "give the address of the router".into());
        }
        if own.all(|subnet| subnet.address.is_ipv4() != router.is_ipv4()) {
            let (family, other) =
                if router.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            let what =
                format!("{router} is of {family}, and the machine's addresses are of {other}");
            let hint =
                format!("give an {} of {family} as well, or leave it out", setting!(address));
            return (what, hint);
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
        // What VLANs are on.
        let vlans = self.fixed.iter().filter_map(|fixed| fixed.link.vlan());
        let below: BTreeSet<&str> = vlans.map(|(below, _)| below).collect();
        for (number, fixed) in (1..).zip(&self.fixed).filter(|(_, fixed)| fixed.link != Link::Wifi)
        {
            let bears_vlan =
                matches!(&fixed.link, Link::Name(name) if below.contains(name.as_str()));
            let text = profile::fixed(number, fixed, bears_vlan);
            put_profile(edits, &format!("address-{number}"), text);
            let members = fixed.bond.iter().flat_map(|bond| &bond.members);
            for (port, member) in (1..).zip(members) {
                let text = profile::port((number, port), member, &fixed.link);
                put_profile(edits, &format!("address-{number}-{port}"), text);
            }
        }
        if self.fixed.iter().any(|fixed| fixed.link == Link::First) {
            put_profile(edits, "dhcp", profile::DHCP.to_owned());
        }
        if !self.dns.is_empty() {
            let text = profile::name_servers(&self.dns);
            edits.root.file(NAME_SERVERS, 0o644, text);
        }
    }

    /// The sections of a profile for wireless networks: what the interface gets, or DHCP.
    pub(super) fn of_wifi(&self) -> (Option<u32>, String) {
        let fixed = self.wifi();
        let sections = profile::families(fixed.unwrap_or(&Fixed::new(Link::Wifi)), false);
        (fixed.and_then(|fixed| fixed.mtu), sections)
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for Fixed { link, bond, mtu, addresses, gateways } in &self.fixed {
            if let Some(bond) = bond {
                let _ = writeln!(text, "{link} bond {bond}");
            }
            if let Some(bytes) = mtu {
                let _ = writeln!(text, "{link} mtu {bytes}");
            }
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
