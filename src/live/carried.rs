//! Files that were put into an image before, for an edit that adds to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::{Files, RUN, service_name};
use super::host_key;
use super::host_key_pair::HostKey;
use crate::error::{Advice, Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::recipe::edits::{Edits, UNITS};
use crate::recipe::{Recipe, setting};

/// Files and host keys of an image. Neither is shown.
pub struct Carried {
    members: Vec<Member>,
    host_keys: Vec<HostKey>,
    private: bool,
    /// The paths of links that started units which are given again, or started no more.
    left_out: Vec<String>,
    notes: Vec<String>,
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Carried({} files)", self.members.len())
    }
}

impl Carried {
    /// Takes files as they are, and host keys out of them. `private`: the image that they are from is. What belongs to
    /// something that is `asked` for again is left out.
    ///
    /// # Errors
    /// A host key that cannot be read, and what says something of what is asked for now.
    pub fn from_members(members: Vec<Member>, private: bool, asked: &Recipe) -> Result<Self> {
        check_runs(&members, asked)?;
        let (keys, members): (Vec<Member>, Vec<Member>) =
            members.into_iter().partition(|member| is_host_key(&member.path));
        let host_keys = host_key::carried(&keys)?;
        let mut carried =
            Self { members, host_keys, private, left_out: Vec::new(), notes: Vec::new() };
        for (index, path) in asked.unit.iter().enumerate() {
            carried.give_unit_again(asked, index, name_of(path))?;
        }
        if asked.unit.is_empty() && asked.enable == Some(false) {
            carried.enabled_units().iter().for_each(|unit| carried.disable(unit));
        }
        Ok(carried)
    }

    /// Takes the links of a unit that is given again. What is given says whether it starts.
    fn give_unit_again(&mut self, asked: &Recipe, index: usize, unit: &str) -> Result<()> {
        if !self.members.iter().any(|member| is_link_of(member, unit)) {
            return Ok(());
        }
        let enable = setting!(enable);
        match asked.enable {
            Some(true) => self.leave_out_links(unit),
            Some(false) => self.disable(unit),
            None => {
                let what = format!("{unit} was enabled before, and {enable} is not given now");
                let hint = format!("give {enable}, or {enable}=false to have it enabled no longer");
                return Err(asked.fault("unit", index, what, hint));
            }
        }
        Ok(())
    }

    /// The user's units that start by links. Ours start whatever is said of the user's.
    fn enabled_units(&self) -> BTreeSet<String> {
        let units = self.members.iter().filter_map(|member| {
            member.path.strip_prefix(UNITS)?.strip_prefix('/').filter(|name| !name.contains('/'))
        });
        let is_enabled = |unit: &&str| {
            !unit.starts_with("remaster-")
                && self.members.iter().any(|member| is_link_of(member, unit))
        };
        units.filter(is_enabled).map(str::to_owned).collect()
    }

    /// Has a unit started no more, and tells so.
    fn disable(&mut self, unit: &str) {
        self.notes.push(format!("{unit} was enabled before and is not any more"));
        self.leave_out_links(unit);
    }

    /// The links that start a unit belong to it.
    fn leave_out_links(&mut self, unit: &str) {
        let links = self.members.iter().filter(|member| is_link_of(member, unit));
        let links: Vec<String> = links.map(|member| member.path.clone()).collect();
        self.members.retain(|member| !is_link_of(member, unit));
        for path in &links {
            self.leave_out_folder(path);
        }
        self.left_out.extend(links);
    }

    /// The folder of a link was made for it, and goes with the last one.
    fn leave_out_folder(&mut self, link: &str) {
        let Some((folder, _)) = link.rsplit_once('/').filter(|(folder, _)| *folder != UNITS) else {
            return;
        };
        let is_in = |member: &Member| {
            member.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        };
        if !self.members.iter().any(is_in) {
            self.members.retain(|member| member.path != folder);
        }
    }

    /// The paths of what belonged to something that is asked for again.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// What is worth telling, a line each.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The host keys, which are not among the files.
    pub(super) fn host_keys(&self) -> &[HostKey] {
        &self.host_keys
    }

    /// Whether there is something for stage 1 to put in.
    pub fn is_empty(&self) -> bool {
        self.host_keys.is_empty()
            && self.members.iter().all(|member| member.kind == Kind::Directory)
    }

    /// Puts the files in where nothing else is. What is asked for now wins over what was put in before.
    pub(super) fn apply(&self, files: Option<&Files>, edits: &mut Edits) -> Result<()> {
        edits.private |= self.private;
        for member in &self.members {
            check_above(member, edits)?;
            let Some(there) = edits.root.get(&member.path) else {
                edits.root.put(member.clone());
                continue;
            };
            if there.kind == Kind::Directory && member.kind == Kind::Directory {
                let mode = there.mode & member.mode;
                edits.root.put(Member { mode, ..member.clone() });
            } else if *there != *member && !files.is_some_and(|files| files.have(&member.path)) {
                return Err(refused(&member.path, "another setting makes it, too"));
            }
        }
        Ok(())
    }
}

/// A program of before is run on all machines. Which ones run it beside programs of some machines can be said of both
/// together only.
fn check_runs(before: &[Member], asked: &Recipe) -> Result<()> {
    let all = asked.with_all_runs();
    let names = before.iter().filter_map(|member| member.path.strip_prefix(RUN)?.strip_prefix('/'));
    for name in names {
        if asked.run.iter().any(|path| name_of(path) == name) {
            continue;
        }
        let has_its_unit = |path: &&PathBuf| {
            name_of(path) != name && service_name(name_of(path)) == service_name(name)
        };
        if let Some(other) = all.run.iter().find(has_its_unit) {
            let why = format!("{} would take its unit {}", name_of(other), service_name(name));
            return Err(refused(&format!("{RUN}/{name}"), &why));
        }
        if let Some(machine) = asked.machine.iter().find(|machine| !machine.run.is_empty()) {
            let what = format!(
                "{name} runs on all machines since it was put in before, also on those that name what they run"
            );
            return Err(machine.own().fault("run", 0, what, Advice::AgainOrReplaceAll));
        }
    }
    Ok(())
}

/// Whether a link starts a unit, or is another name of it.
fn is_link_of(member: &Member, unit: &str) -> bool {
    match &member.kind {
        Kind::Symlink(to) => {
            member.path.starts_with(UNITS) && to.strip_prefix("../").unwrap_or(to) == unit
        }
        _ => false,
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Nothing lies below a file or link.
fn check_above(member: &Member, edits: &Edits) -> Result<()> {
    let mut above = member.path.match_indices('/').filter_map(|(at, _)| member.path.get(..at));
    let is_in_the_way =
        |path: &&str| edits.root.get(path).is_some_and(|there| there.kind != Kind::Directory);
    match above.find(is_in_the_way) {
        Some(path) => Err(refused(&member.path, &format!("/{path} is not a folder now"))),
        None => Ok(()),
    }
}

fn refused(path: &str, why: &str) -> Error {
    Error::Recipe {
        what: format!("/{path} was put in before, and {why}"),
        hint: Advice::OneOrReplaceAll,
    }
}

/// Whether one of the files of a host key is there.
pub fn is_host_key(path: &str) -> bool {
    path.strip_prefix("etc/ssh/ssh_host_")
        .is_some_and(|name| name.ends_with("_key") || name.ends_with("_key.pub"))
}
