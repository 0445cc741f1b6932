//! What was put into an image: keys, files, secrets and settings.

use super::{AttachedFile, File, HostKey, Injected, Key, Setting};
use crate::boot::config::Config;
use crate::formats::boot_config::Entry;
use crate::formats::credential::keys_on;
use crate::formats::newc::{Kind, Member};
use crate::image::check::Check;
use crate::iso::injected::Stamped;
use crate::keys::{self, AuthorizedKey};
use crate::live;

/// Paths of `authorized_keys` files in a payload, and whom they let in.
const KEY_FILES: [(&str, &str); 2] =
    [("root", "root/.ssh/authorized_keys"), ("nixos", "home/nixos/.ssh/authorized_keys")];

/// Folder and ends of the names of host keys' public halves.
const HOST_KEYS: (&str, &str) = ("etc/ssh/ssh_host_", "_key.pub");

/// The host keys among files of the live system's root.
pub fn host_keys(root: &[Member]) -> Vec<HostKey> {
    let named = |member: &&Member| {
        member.path.starts_with(HOST_KEYS.0) && member.path.ends_with(HOST_KEYS.1)
    };
    let texts = root.iter().filter(named).filter_map(|member| match &member.kind {
        Kind::File(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    });
    let read = texts.filter_map(|text| ssh_key::PublicKey::from_openssh(text).ok());
    let shown = read.filter_map(|mut key| {
        key.set_comment("");
        Some(HostKey {
            algorithm: key.algorithm().to_string(),
            fingerprint: key.fingerprint(ssh_key::HashAlg::Sha256).to_string(),
            public: key.to_openssh().ok()?.trim_end().to_owned(),
        })
    });
    shown.collect()
}

/// The keys that are there for logins, each once for each user: those among files of the live system's root, and those that command lines carry, by the paths
/// of their files.
pub fn keys(root: &[Member], carried: &[(String, Vec<u8>)]) -> Vec<Key> {
    let text = |path: &str| root.iter().find(|member| member.path == path);
    let found = KEY_FILES.iter().flat_map(|(user, path)| {
        let texts = match text(path).map(|member| &member.kind) {
            Some(Kind::File(text)) => vec![text],
            _ => carried.iter().filter(|(name, _)| name == path).map(|(_, text)| text).collect(),
        };
        texts.into_iter().filter_map(|text| keys::parse(path, text).ok()).flat_map(|found| {
            found.keys.judged().map(|(key, why)| of_line(user, key, why)).collect::<Vec<_>>()
        })
    });
    let mut all: Vec<Key> = Vec::new();
    for key in found {
        match all.iter_mut().find(|other| is_same(other, &key)) {
            // Several lines may have one key. The first that lets in tells of it.
            Some(other) if other.shut_out.is_some() && key.shut_out.is_none() => *other = key,
            Some(_) => {}
            None => all.push(key),
        }
    }
    all
}

fn of_line(user: &'static str, key: &AuthorizedKey, why: Option<&str>) -> Key {
    Key {
        user,
        algorithm: key.algorithm.clone(),
        fingerprint: key.fingerprint.clone(),
        comment: key.comment.clone(),
        shut_out: why.map(str::to_owned),
    }
}

fn is_same(one: &Key, other: &Key) -> bool {
    let of = |key: &Key| (key.user, key.algorithm.clone(), key.fingerprint.clone());
    of(one) == of(other)
}

/// What was put in, also by keys that the command lines carry.
pub(super) fn injected_of(
    stamped: &Stamped,
    secrets: Vec<String>,
    carried: &[(String, Vec<u8>)],
    way: &'static str,
    base_label: String,
) -> Injected {
    let files = stamped.root.iter().map(|member| File {
        path: format!("/{}", member.path),
        kind: match member.kind {
            Kind::Directory => "directory",
            Kind::File(_) => "file",
            Kind::Symlink(_) => "symlink",
        },
        mode: format!("{:04o}", member.mode),
        owner: member.owner,
        size: member.size(),
    });
    Injected {
        way,
        base_label,
        base_size: stamped.undo.base_size,
        signed_by: None,
        block_digests: false,
        keys: keys(&stamped.root, carried),
        host_keys: host_keys(&stamped.root),
        secrets,
        settings: settings(stamped),
        files: files.collect(),
        attached: stamped
            .attached
            .iter()
            .map(|(path, at)| AttachedFile { path: path.clone(), size: at.size() })
            .collect(),
    }
}

fn settings(stamped: &Stamped) -> Vec<Setting> {
    let root: Vec<&Member> = stamped.root.iter().collect();
    let found = live::settings(&root).into_iter();
    found.map(|(name, value)| Setting { name, value }).collect()
}

/// The way of an image in whose live system nothing was put.
pub(super) fn without_archives(carried: &[(String, Vec<u8>)]) -> &'static str {
    if carried.is_empty() { "menus" } else { "credential" }
}

/// The keys that a command line carries, by the paths of their files.
fn carried(entry: &Entry) -> Vec<(String, Vec<u8>)> {
    keys_on(entry.words())
}

/// Whether all command lines carry the same keys; none where none does.
pub(super) fn carried_alike(configs: &[Config]) -> Option<Check> {
    let all =
        || configs.iter().flat_map(|config| config.entries.iter().map(move |it| (config, it)));
    let keys = all().map(|(_, entry)| carried(entry)).find(|keys| !keys.is_empty())?;
    let other = all().find(|(_, entry)| carried(entry) != keys);
    let detail = match other {
        None => format!("{} entries carry the same ones", all().count()),
        Some((config, entry)) => {
            format!("the entry {:?} of {} has other ones, or none", entry.path(), config.path)
        }
    };
    Some(Check { name: "keys on command lines", ok: other.is_none(), detail })
}

/// The `authorized_keys` that the command line of every entry carries.
pub(super) fn credentials(configs: &[Config]) -> Vec<(String, Vec<u8>)> {
    let mut entries = configs.iter().flat_map(|config| &config.entries).map(carried);
    let first = entries.next().unwrap_or_default();
    if entries.all(|other| other == first) { first } else { Vec::new() }
}
