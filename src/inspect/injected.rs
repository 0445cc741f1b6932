//! What was put into an image: keys, files, secrets and settings.

use super::{AttachedFile, File, HostKey, Injected, Key, Setting};
use crate::boot::config::Config;
use crate::formats::boot_config::Entry;
use crate::formats::credential::keys_on;
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::image::check::Check;
use crate::iso::injected::Stamped;
use crate::keys::{Login, USERS};
use crate::live;
use crate::stamp::injected_facts::{Fact, InjectedFacts};
use crate::stamp::key_files::KeyFiles;
use crate::stamp::privacy::secrets;
use crate::units::ByteRange;

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

/// The keys for logins on every machine that the image is for, each line once for each user. They are in files of the live
/// system's root, in squashfs files beside it, and on command lines: those are `carried`, with the paths of their files. The
/// facts tell whom something keeps out all the same.
pub fn keys<'a, I: ReadAt>(
    (image, root): (&I, &[Member]),
    attached: impl IntoIterator<Item = (&'a str, ByteRange)>,
    carried: &[(String, Vec<u8>)],
    facts: &InjectedFacts,
) -> Vec<Key> {
    let is_common = |member: &&Member| !live::is_of_machines(&member.path);
    let files = KeyFiles::of_root(root.iter().filter(is_common)).with_attached(image, attached);
    let mut logins = files.with_carried(carried).logins();
    facts.obstacles().mark(&mut logins);
    USERS.iter().flat_map(|user| logins.of(user).map(of_login).collect::<Vec<_>>()).collect()
}

fn of_login(login: &Login) -> Key {
    Key {
        user: login.user,
        algorithm: login.key.algorithm.clone(),
        fingerprint: login.key.fingerprint.clone(),
        comment: login.key.comment.clone(),
        options: login.key.options.clone(),
        shut_out: login.shut_out.clone(),
    }
}

/// What was put in, also by keys that the command lines carry.
pub(super) fn injected_of<I: ReadAt>(
    (image, stamped): (&I, &Stamped),
    facts: &InjectedFacts,
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
    let attached = stamped.attached.iter().map(|(path, at)| (path.as_str(), *at));
    Injected {
        way,
        base_label,
        base_size: stamped.undo.base_size,
        signed_by: None,
        block_digests: false,
        keys: keys((image, &stamped.root), attached, carried, facts),
        host_keys: host_keys(&stamped.root),
        secrets: secrets(image, &stamped.root, &stamped.attached),
        settings: settings(facts),
        notes: notes(facts),
        files: files.collect(),
        attached: stamped
            .attached
            .iter()
            .map(|(path, at)| AttachedFile { path: path.clone(), size: at.size() })
            .collect(),
    }
}

/// What is not known for certain of who can log in, a line each.
fn notes(facts: &InjectedFacts) -> Vec<String> {
    let not_understood = facts.not_understood().map(|note| format!("not understood: {note}"));
    let nobody = facts.why_not_by_itself().map(|why| format!("ssh login: nobody {why}"));
    let depends = facts.depends_on().map(|what| format!("ssh login: only if {what}"));
    not_understood.chain(nobody).chain(depends).collect()
}

/// What there is beside keys and files, as a plain `inspect` tells it.
fn settings(facts: &InjectedFacts) -> Vec<Setting> {
    let of = |fact: &Fact| {
        let Fact { name, value, entries, security } = fact.clone();
        Setting { name, value, entries, security }
    };
    facts.facts().filter(|fact| fact.is_of_setting()).map(of).collect()
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
