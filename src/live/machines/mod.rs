//! Several machines that one image is for. Which one it is, is known at boot only: the files that are not the same for
//! all stand by, and a unit of ours puts those of the machine in their place, before anything reads them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::announce::Announce;
use super::facts::Facts;
use super::host_key::{HostKeys, RequestedHostKeys};
use super::network::Network;
use super::remote_keys;
use super::seed::Seed;
use super::system::System;
use crate::error::Result;
use crate::formats::newc::{Kind, Member};
use crate::keys::{self, Gathered, KeySet};
use crate::recipe::edits::{Edits, Root, UNITS};
use crate::recipe::{Machine, Recipe};

/// Where the files stand by.
pub(super) const FOLDER: &str = "etc/remaster/machines";
/// The sections of units of ours whose files some machines may not have.
const MAY_LACK: [(&str, &str); 2] = [
    (
        "remaster-settings.service",
        "[Service]\nEnvironmentFile=\nEnvironmentFile=-/etc/remaster/settings\n",
    ),
    ("remaster-address.service", "[Unit]\nConditionPathExists=/etc/remaster/network\n"),
];
/// Serial numbers that makers leave in many machines.
const OF_MANY: [&str; 8] = [
    "0",
    "none",
    "default string",
    "not specified",
    "not applicable",
    "system serial number",
    "to be filled by o.e.m.",
    "0123456789",
];
const GIVE_MAC: &str = "give `mac`, as `ip link` shows it";

/// The paths of what these sections are in.
pub(super) fn drop_ins() -> impl Iterator<Item = String> {
    MAY_LACK.iter().map(|(unit, _)| format!("{UNITS}/{unit}.d/machine.conf"))
}

/// What differs from machine to machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) keys: &'a KeySet,
    pub(super) system: &'a System,
    pub(super) network: &'a Network,
    pub(super) host_keys: Option<&'a HostKeys>,
    pub(super) announce: Announce,
}

impl Part<'_> {
    fn root(&self, facts: &Facts) -> Root {
        let mut edits = Edits::default();
        if !self.keys.is_empty() {
            edits = Edits::authorize(&self.keys.to_text(), edits.way);
        }
        self.system.apply(&mut edits);
        self.network.apply(facts, &mut edits);
        if let Some(keys) = self.host_keys {
            keys.apply(&mut edits);
        }
        self.announce.apply(self.host_keys, &mut edits);
        edits.root
    }
}

/// Where a file of a payload is on the machine that gets it.
pub fn on_some_machine(path: &str) -> &str {
    let own = path.strip_prefix(FOLDER).and_then(|own| own.strip_prefix('/')?.split_once('/'));
    own.map_or(path, |(_, path)| path)
}

/// Whether a file of a payload is for machines of several.
pub fn is_of_machines(path: &str) -> bool {
    path.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

/// A machine, with what its table says over what all get.
#[derive(Debug)]
struct MachineEdits {
    /// By what it is known, as `mac 52:54:00:12:34:56`.
    marks: Vec<String>,
    keys: Gathered,
    system: System,
    network: Network,
    /// Those of its own.
    requested: Option<RequestedHostKeys>,
    host_keys: Option<HostKeys>,
}

/// All machines that a recipe names.
#[derive(Debug, Default)]
pub(super) struct Machines(Vec<MachineEdits>);

impl Machines {
    /// Reads what a recipe says of machines, and refuses what could not be told apart at boot.
    pub(super) fn gather(recipe: &Recipe, keys: &Gathered, seed: Option<&Seed>) -> Result<Self> {
        let mut all: Vec<MachineEdits> = Vec::new();
        for (index, machine) in recipe.machine.iter().enumerate() {
            let marks = marks(recipe, index, machine)?;
            if machine.own().set_names().is_empty() {
                let hint = "give it a hostname, address, host-key, key or run, or leave it out";
                return Err(recipe.fault("machine", index, "gets nothing of its own", hint));
            }
            let shared = |mark: &&String| all.iter().any(|other| other.marks.contains(mark));
            if let Some(mark) = marks.iter().find(shared) {
                let what = format!("another machine has the {mark}, too");
                return Err(recipe.fault("machine", index, what, "give it to one of them"));
            }
            let others = recipe.machine.iter().take(index);
            if let Some(name) = &machine.hostname
                && others.into_iter().any(|other| other.hostname.as_ref() == Some(name))
            {
                let what = format!("another machine is called {name}, too");
                return Err(machine.own().fault("hostname", 0, what, "give it another name"));
            }
            all.push(MachineEdits::gather(recipe, machine, marks, keys, seed)?);
        }
        Ok(Self(all))
    }

    /// Makes the random host keys.
    pub(super) fn complete(&mut self) -> Result<()> {
        for one in &mut self.0 {
            one.host_keys = one.requested.as_ref().map(|keys| keys.complete(&[])).transpose()?;
        }
        Ok(())
    }

    /// Whether one of them gets a random host key.
    pub(super) fn have_random_keys(&self) -> bool {
        self.0
            .iter()
            .any(|one| one.requested.as_ref().is_some_and(RequestedHostKeys::has_random_key))
    }

    /// The host keys of those that have their own.
    pub(super) fn host_keys(&self) -> impl Iterator<Item = &HostKeys> {
        self.0.iter().filter_map(|one| one.host_keys.as_ref())
    }

    /// Notes on their keys.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|one| one.keys.notes.iter().map(ToString::to_string))
    }

    /// Puts it in, and gives the paths that are some machine's, which nothing else may make. With `in_words`, words stand
    /// for random host keys.
    pub(super) fn apply(
        &self,
        common: Part<'_>,
        in_words: bool,
        facts: &Facts,
        edits: &mut Edits,
    ) -> BTreeSet<String> {
        if self.0.is_empty() {
            return BTreeSet::new();
        }
        let mut roots = vec![common.root(facts)];
        for one in &self.0 {
            let words =
                one.requested.as_ref().filter(|_| in_words).map(RequestedHostKeys::in_words);
            let own = words.as_ref().or(one.host_keys.as_ref());
            let host_keys = own.or(common.host_keys);
            let keys = &one.keys.keys;
            let (system, network) = (&one.system, &one.network);
            let announce = common.announce;
            roots.push(Part { keys, system, network, host_keys, announce }.root(facts));
        }
        let paths = varying(&roots);
        merge_roots(&roots, &paths, &mut edits.root);
        self.put_unit(&paths, &mut edits.root);
        paths
    }

    fn put_unit(&self, paths: &BTreeSet<String>, root: &mut Root) {
        let mut list = String::new();
        for (number, one) in (1_usize..).zip(&self.0) {
            for mark in &one.marks {
                let _ = writeln!(list, "{number} {mark}");
            }
        }
        let paths: String = paths.iter().flat_map(|path| [path, "\n"]).collect();
        root.file(&format!("{FOLDER}/list"), 0o644, list);
        root.file(&format!("{FOLDER}/paths"), 0o644, paths);
        root.file("etc/remaster/machine.sh", 0o644, include_str!("../scripts/machine.sh"));
        root.unit("remaster-machine.service", include_str!("../scripts/machine.service"));
        root.want("remaster-machine.service", "sysinit.target");
        for (unit, text) in MAY_LACK {
            if root.get(&format!("{UNITS}/{unit}")).is_some() {
                root.unit(&format!("{unit}.d/machine.conf"), text);
            }
        }
    }
}

impl MachineEdits {
    fn gather(
        recipe: &Recipe,
        machine: &Machine,
        marks: Vec<String>,
        keys: &Gathered,
        seed: Option<&Seed>,
    ) -> Result<Self> {
        let own = machine.own();
        refuse_wireless(&own)?;
        let all = own.clone().over(recipe.clone())?;
        let seed = seed.zip(marks.first()).map(|(seed, mark)| seed.for_machine(mark));
        Ok(Self {
            keys: if own.key.is_empty() { keys.clone() } else { own_keys(&own)? },
            system: System::gather(&all)?,
            network: Network::gather(&all)?,
            requested: if own.host_key.is_empty() {
                None
            } else {
                RequestedHostKeys::gather(&own, seed.as_ref())?
            },
            host_keys: None,
            marks,
        })
    }
}

/// The keys of one machine, which nobody is asked for.
fn own_keys(own: &Recipe) -> Result<Gathered> {
    for (index, given) in own.key.iter().enumerate() {
        if given == "-" || remote_keys::source(own, index, given)?.is_some() {
            let what = format!("{given} is not for one machine of several");
            return Err(own.fault("key", index, what, "give a file with the keys, or the key"));
        }
    }
    super::gather_keys(own, &keys::Fetched::new(), std::io::empty())
}

fn refuse_wireless(own: &Recipe) -> Result<()> {
    for (name, values) in [("address", &own.address), ("gateway", &own.gateway), ("mtu", &own.mtu)]
    {
        if let Some(index) = values.iter().position(|value| value.starts_with("wifi=")) {
            let what = "the wireless interface gets the same on all machines";
            return Err(own.fault(name, index, what, "give it outside of [[machine]]"));
        }
    }
    Ok(())
}

/// By what a machine is known.
fn marks(recipe: &Recipe, index: usize, machine: &Machine) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for text in &machine.mac {
        let mac = mac(text).ok_or_else(|| {
            let what = format!("{text:?} is not the MAC address of one interface");
            recipe.fault("machine", index, what, "give it as `52:54:00:12:34:56`")
        })?;
        found.push(format!("mac {mac}"));
    }
    for text in &machine.dmi_serial {
        if OF_MANY.contains(&text.to_ascii_lowercase().as_str()) {
            let what = format!("many machines have the serial {text:?}");
            return Err(recipe.fault("machine", index, what, GIVE_MAC));
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if text.trim() != text || !(1..=64).contains(&text.len()) || !text.bytes().all(is_plain) {
            let what = format!("{text:?} is not a DMI serial");
            let hint = "give it as `cat /sys/class/dmi/id/product_serial` shows it";
            return Err(recipe.fault("machine", index, what, hint));
        }
        found.push(format!("dmi-serial {text}"));
    }
    if found.is_empty() {
        let hint =
            "give `mac` or `dmi-serial`; what all machines get stands outside of [[machine]]";
        return Err(recipe.fault("machine", index, "does not say which machine", hint));
    }
    let mut seen = BTreeSet::new();
    found.retain(|mark| seen.insert(mark.clone()));
    Ok(found)
}

/// A MAC address as Linux shows it; not one of a group of interfaces, nor of none.
fn mac(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase().replace('-', ":");
    let bytes: Vec<&str> = text.split(':').collect();
    let is_byte = |byte: &&str| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit());
    let first = u8::from_str_radix(bytes.first().filter(|byte| is_byte(byte))?, 16).ok()?;
    let is_one = bytes.len() == 6 && bytes.iter().all(is_byte) && first & 1 == 0;
    (is_one && text != "00:00:00:00:00:00").then_some(text)
}

/// Whether a file is there for all machines. What starts units is settled before anybody knows which machine it is.
fn is_for_all(member: &Member) -> bool {
    !matches!(member.kind, Kind::File(_))
        || member.path.starts_with(UNITS)
        || member.path.strip_suffix(".sh").is_some()
}

/// The paths of files that are not the same on all machines.
fn varying(roots: &[Root]) -> BTreeSet<String> {
    let all = roots.iter().flat_map(Root::members).filter(|member| !is_for_all(member));
    let differs =
        |member: &&Member| roots.iter().any(|root| root.get(&member.path) != Some(*member));
    all.filter(differs).map(|member| member.path.clone()).collect()
}

/// Merges the roots: what some machine has goes to all of them, and what varies goes below the numbers of machines.
fn merge_roots(roots: &[Root], paths: &BTreeSet<String>, to: &mut Root) {
    for (number, root) in roots.iter().enumerate() {
        for member in root.members() {
            if paths.contains(&member.path) {
                let path = format!("{FOLDER}/{number}/{}", member.path);
                to.put(Member { path, ..member.clone() });
            } else if to.get(&member.path).is_none() {
                to.put(member.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
