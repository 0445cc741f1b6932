//! Files that were put into an image before, for an edit that adds to them.

use super::files::Files;
use super::host_key;
use super::host_key_pair::HostKey;
use crate::error::{Advice, Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::recipe::edits::Edits;

/// Where files are that the networks of a recipe make.
const OF_NETWORKS: [&str; 9] = [
    "etc/remaster/network",
    "etc/remaster/wifi",
    "etc/remaster/address",
    "etc/remaster/dhcpcd",
    "etc/NetworkManager/system-connections/remaster-",
    "etc/NetworkManager/conf.d/remaster-",
    "etc/modprobe.d/remaster-wifi",
    "etc/systemd/system.control/remaster-wifi",
    "etc/systemd/system.control/remaster-address",
];

/// Files and host keys of an image. Neither is shown.
pub struct Carried {
    members: Vec<Member>,
    host_keys: Vec<HostKey>,
    private: bool,
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Carried({} files)", self.members.len())
    }
}

impl Carried {
    /// Takes files as they are, and host keys out of them. `private`: the image that they are from is.
    ///
    /// # Errors
    /// A host key that cannot be read.
    pub fn from_members(members: Vec<Member>, private: bool) -> Result<Self> {
        let (keys, members): (Vec<Member>, Vec<Member>) =
            members.into_iter().partition(|member| is_host_key(&member.path));
        Ok(Self { members, host_keys: host_key::carried(&keys)?, private })
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

/// Whether a file is one that the networks of a recipe make.
pub fn is_of_networks(path: &str) -> bool {
    OF_NETWORKS.iter().any(|start| path.starts_with(start))
        || path.ends_with(".wants/remaster-address.service")
        || path.ends_with(".wants/remaster-wifi-rules.service")
        || path.ends_with("/dhcpcd.service.d/remaster.conf")
}
