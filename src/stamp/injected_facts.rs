//! What was put into an image before, and what of it is not given again when it is stamped again: that goes, and
//! messages call it as a recipe does. Nothing secret.

use std::collections::BTreeMap;
use std::fmt;

use crate::boot::config::Config;
use crate::boot::entry_args::added_ports;
use crate::boot::folder::{MANIFEST, SIGNATURE};
use crate::boot::kernel_args;
use crate::boot::menu::Started;
use crate::disk::injected;
use crate::error::{Advice, Error, Result};
use crate::formats::boot_config::{Entry, Syntax, redacted};
use crate::formats::credential::keys_of;
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::iso::injected::IsoBase;
use crate::iso::survey::squashfs;
use crate::keys;
use crate::live;
use crate::recipe::edits::{Boot, Edits};
use crate::recipe::{DIGESTS, OF_RECORDS, SIGN};
use crate::stamp::base_image::BaseImage;
use crate::stamp::manifest::{Manifest, found};
use crate::units::ByteRange;

/// The name of a public key among facts.
const KEY: &str = "key";

/// The name of a host key among facts.
const HOST_KEY: &str = "host-key";

/// Whether sshd takes passwords, and whether consoles show how to log in: facts only where it is not as usual.
const SSH_PASSWORDS: &str = "ssh-passwords";
const GREETING: &str = "greeting";

/// Whether the live system tells of itself.
const ANNOUNCE: &str = "announce";

/// The name of a squashfs among facts, whether it is on a volume or in an initrd.
const ATTACHED: &str = "overlay or store";

/// The names of passwords among facts.
const PASSWORDS: [&str; 2] = ["root-password", "nixos-password"];

/// The name of a serial port among facts.
const SERIAL: &str = "serial";

/// Facts that an image has once: another value is given in place of the one before, by whoever gives one.
const ONCE: [&str; 13] = [
    "hostname",
    "timezone",
    "keymap",
    "locale",
    "console-font",
    ANNOUNCE,
    "root-password",
    "nixos-password",
    SERIAL,
    "timeout",
    "default-entry",
    "label",
    "name",
];

/// Where files of settings are that go by the names of their settings.
const OF_SETTINGS: [&str; 7] = [
    "etc/remaster/",
    "etc/ssh/authorized_keys.d/",
    "etc/ssh/ssh_host_",
    "etc/shadow",
    "etc/localtime",
    "opt/remaster/when-online",
    "etc/profiles/per-user/",
];

/// Folders in which files of settings stand beside others, and have our name.
const AMONG_OTHERS: [&str; 5] = [
    "etc/systemd/system.control/",
    "etc/NetworkManager/",
    "etc/ssh/",
    "etc/issue.d/",
    "etc/modprobe.d/",
];

/// Something that was put in, as `hostname` and `box`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fact {
    /// As a recipe names it, or what it is: `file`.
    pub name: String,
    /// As a recipe has it, or a fingerprint, or a path; empty for what is secret or has many forms.
    pub value: String,
}

impl Fact {
    /// Whether it is about the manifest, and so about nothing that a live system has.
    pub fn is_of_records(&self) -> bool {
        OF_RECORDS.contains(&self.name.as_str())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.value.is_empty() { "" } else { " " };
        write!(formatter, "{}{blank}{}", self.name, self.value)
    }
}

/// All that was put into an image, or is to be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InjectedFacts {
    /// Facts, and the comments of keys.
    all: BTreeMap<Fact, String>,
    /// Values of the facts of serial ports, as they follow each other: the kernel talks at the last of a kind.
    ports: Vec<String>,
    /// Those of the manifest.
    records: Vec<Fact>,
    /// Whether one of the keys lets somebody in to a shell.
    has_login_key: bool,
}

impl InjectedFacts {
    /// What was put into an ISO; none if nothing was.
    pub(crate) fn from_iso<B: ReadAt>(base: &IsoBase<B>) -> Option<Self> {
        let (stamped, now) = (base.stamped.as_ref()?, base.now.as_ref()?);
        let arguments = arguments(&now.configs);
        let mut found =
            Self::from_tree(base.image.base(), &stamped.root, &stamped.attached, arguments);
        let label = now.volume.identifier();
        if label != base.survey.volume.identifier() {
            found.add("label", label);
        }
        found.add_menus(&base.survey.configs, &now.configs);
        Some(found)
    }

    /// What was put into a raw image; none if nothing was.
    pub(crate) fn from_disk<B: ReadAt>(base: &injected::DiskBase<B>) -> Option<Self> {
        let (stamped, now) = (base.stamped.as_ref()?, base.now.as_ref()?);
        let menu = std::slice::from_ref;
        let mut found = Self::from_started(&stamped.root, arguments(menu(&now.config)));
        found.add_menus(menu(&base.raw.config), menu(&now.config));
        Some(found)
    }

    /// What was put into a live system: into its root, squashfs files beside that, and keys among the kernel's arguments.
    pub(crate) fn from_tree<'a, I: ReadAt>(
        image: &I,
        root: &'a [Member],
        attached: &[(String, ByteRange)],
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut found = Self::from_started(root, arguments);
        for (_, at) in attached {
            found.add_attached(image, *at);
        }
        found
    }

    /// The same without squashfs files.
    fn from_started<'a>(
        root: impl IntoIterator<Item = &'a Member>,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let root: Vec<&Member> = root.into_iter().collect();
        let mut found = Self::default();
        for member in &root {
            found.add_member(member);
        }
        arguments.into_iter().for_each(|text| found.add_keys_of(text));
        for (name, value) in live::settings(&root) {
            found.add(&name, value);
        }
        if !root.is_empty() {
            found.add_unusual(SSH_PASSWORDS, !live::takes_keys_only(&root));
            found.add_unusual(GREETING, live::greets(&root));
        }
        found
    }

    /// What is to be put in.
    pub fn from_edits(edits: &Edits) -> Self {
        let asked = edits.boot.add.iter().map(|asked| asked.value.as_str());
        let keys = edits.boot.credentials.iter().map(|one| one.argument.as_str());
        let mut found = Self::from_started(edits.root.members(), asked.chain(keys));
        for bytes in edits.attached.iter().map(|attached| &*attached.bytes) {
            if let Some(all) = ByteRange::new(0, bytes.size()) {
                found.add_attached(bytes, all);
            }
        }
        let Boot {
            delete,
            replace,
            add,
            entries: _,
            serial,
            timeout,
            default_entry,
            label,
            name,
            credentials: _,
        } = &edits.boot;
        for argument in add {
            found.add("karg", redacted(&argument.value));
        }
        for argument in delete {
            found.add("karg-delete", redacted(&argument.value));
        }
        for replacement in replace.iter().map(|asked| &asked.value) {
            let with = |value: &str| redacted(&format!("{}={value}", replacement.key));
            found.add("karg", redacted(&replacement.argument()));
            let old = replacement.old.as_deref();
            found.add("karg-delete", old.map_or_else(|| replacement.key.clone(), with));
        }
        for port in serial {
            found.add(SERIAL, port.asked());
        }
        let once = [
            ("timeout", timeout.map(|seconds| seconds.to_string())),
            ("default-entry", default_entry.as_ref().map(|entry| entry.value.clone())),
            ("label", label.as_ref().map(|label| label.value.clone())),
            ("name", name.clone()),
        ];
        for (name, value) in once {
            if let Some(value) = value {
                found.add(name, value);
            }
        }
        found
    }

    /// The same of an image with a manifest.
    #[must_use]
    pub(crate) fn with_records(self, signed: bool, digested: bool) -> Self {
        let found = [(SIGN, signed), (DIGESTS, digested)].into_iter().filter(|(_, has)| *has);
        let fact = |(name, _): (&str, bool)| Fact { name: name.to_owned(), value: String::new() };
        Self { records: found.map(fact).collect(), ..self }
    }

    /// Everything but what is about the manifest, by name and value; serial ports in their order.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.in_order().into_iter().map(|(fact, _)| fact)
    }

    /// The same, where keys have their comments behind their fingerprints.
    pub fn with_comments(&self) -> Vec<Fact> {
        self.in_order().into_iter().map(with_comment).collect()
    }

    fn in_order(&self) -> Vec<(&Fact, &String)> {
        let place = |fact: &Fact| self.ports.iter().position(|port| *port == fact.value);
        let place = |fact: &Fact| if fact.name == SERIAL { place(fact) } else { None };
        let mut all: Vec<_> = self.all.iter().collect();
        all.sort_by(|(one, _), (other, _)| {
            one.name.cmp(&other.name).then_with(|| place(one).cmp(&place(other)))
        });
        all
    }

    /// Whether somebody can log in over ssh: by a key, or by a password that is not empty, as sshd refuses empty ones.
    pub fn lets_in(&self) -> bool {
        let has_password = PASSWORDS.iter().any(|name| self.has_named(name));
        self.has_login_key || (has_password && self.is_on(SSH_PASSWORDS))
    }

    /// Why nobody can, if [`Self::lets_in`] is false.
    pub fn why_nobody(&self) -> &'static str {
        if self.has_named(KEY) {
            "as no key that is put in lets anybody in"
        } else if PASSWORDS.iter().any(|name| self.has_named(name)) {
            "as sshd takes keys only, and no key is put in"
        } else {
            "as neither a key nor a password is put in"
        }
    }

    /// Who can log in over ssh by a password.
    pub fn users_with_passwords(&self) -> Vec<&'static str> {
        let has = |name: &&str| self.is_on(SSH_PASSWORDS) && self.has_named(name);
        let users = PASSWORDS.into_iter().filter(has);
        users.filter_map(|name| name.strip_suffix("-password")).collect()
    }

    /// Adds whether something is on, if that differs from what it is without being said.
    fn add_unusual(&mut self, name: &str, is_on: bool) {
        if is_on != self.default_of(name) {
            self.add(name, is_on.to_string());
        }
    }

    /// Whether something is on that need not be said.
    fn is_on(&self, name: &str) -> bool {
        let said = self.all.keys().find(|fact| fact.name == name);
        said.map_or_else(|| self.default_of(name), |fact| fact.value == "true")
    }

    /// What is so if nothing is said: keys shut passwords out, and consoles show how to log in by key or host key.
    fn default_of(&self, name: &str) -> bool {
        match name {
            SSH_PASSWORDS => !self.has_named(KEY),
            _ => self.has_named(KEY) || self.has_named(HOST_KEY),
        }
    }

    fn add(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if name == SERIAL && !self.ports.contains(&value) {
            self.ports.push(value.clone());
        }
        self.all.insert(Fact { name: name.to_owned(), value }, String::new());
    }

    /// A squashfs. Of the keys in it nobody knows more than where they are.
    fn add_attached<I: ReadAt>(&mut self, image: &I, at: ByteRange) {
        self.add(ATTACHED, format!("of {} bytes", at.size()));
        // What cannot be read lets in nobody.
        for member in squashfs::members(image, at).unwrap_or_default() {
            if is_key_file(&member.path) && matches!(member.kind, Kind::File(_)) {
                self.add(KEY, format!("in /{}", member.path));
                self.has_login_key = true;
            }
        }
    }

    fn add_member(&mut self, member: &Member) {
        let path = member.path.as_str();
        match &member.kind {
            Kind::File(text) if is_key_file(path) => {
                self.add_keys(text);
            }
            Kind::File(text) if is_host_key(path) => {
                self.add_host_key(text);
            }
            Kind::File(text) if path == "etc/shadow" => self.add_passwords(text),
            Kind::File(_) | Kind::Symlink(_) if !is_of_settings(path) => {
                self.add("file", format!("/{path}"));
            }
            _ => {}
        }
    }

    fn add_keys(&mut self, text: &[u8]) {
        let Ok(found) = keys::parse("authorized_keys", text) else { return };
        self.has_login_key |= found.keys.letting_in() > 0;
        for key in found.keys.keys() {
            let fact = Fact { name: KEY.to_owned(), value: key.fingerprint.clone() };
            self.all.insert(fact, key.comment.clone());
        }
    }

    /// The keys that a kernel argument carries.
    fn add_keys_of(&mut self, argument: &str) {
        for (_, text) in keys_of(argument) {
            self.add_keys(&text);
        }
    }

    fn add_host_key(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        if let Ok(key) = ssh_key::PublicKey::from_openssh(&text) {
            self.add(HOST_KEY, key.fingerprint(ssh_key::HashAlg::Sha256).to_string());
        }
    }

    fn add_passwords(&mut self, text: &[u8]) {
        for line in String::from_utf8_lossy(text).lines() {
            let mut fields = line.split(':');
            if let (Some(user), Some(hash)) = (fields.next(), fields.next())
                && !hash.is_empty()
            {
                self.add(&format!("{user}-password"), "");
            }
        }
    }

    fn add_menus(&mut self, old: &[Config], new: &[Config]) {
        for port in ports(old, new) {
            self.add(SERIAL, port);
        }
        for (old, new) in old.iter().zip(new) {
            self.add_menu(old, new);
        }
        self.add_arguments(old, new);
    }

    /// What a menu does by itself, and what stands in front of its titles.
    fn add_menu(&mut self, old: &Config, new: &Config) {
        let (before, after) = (Started::from_config(old), Started::from_config(new));
        if before.timeout != after.timeout {
            self.add_first("timeout", seconds(new.syntax, after.timeout.as_deref()));
        }
        if before.default != after.default {
            self.add_first("default-entry", after.default.unwrap_or_default());
        }
        if titles(old) != titles(new) {
            self.add_first("name", in_front(old, new));
        }
    }

    /// What the first menu says of something that all of them say in forms of their own.
    fn add_first(&mut self, name: &str, value: impl Into<String>) {
        if !self.has_named(name) {
            self.add(name, value);
        }
    }

    /// Kernel arguments that came and went. Those of keys, of the label and of the console are named as such.
    fn add_arguments(&mut self, old: &[Config], new: &[Config]) {
        let (serial, label) = (self.has_named(SERIAL), self.has_named("label"));
        let is_named = |text: &str| {
            (label && text.starts_with("root=LABEL="))
                || (serial && text.starts_with("console="))
                || !keys_of(text).is_empty()
        };
        for (old, new) in entries(old).zip(entries(new)) {
            for text in only(new, old).filter(|text| !is_named(text)) {
                self.add("karg", redacted(text));
            }
            for text in only(old, new).filter(|text| !is_named(text)) {
                self.add("karg-delete", redacted(text));
            }
        }
    }

    fn has_named(&self, name: &str) -> bool {
        self.all.keys().any(|fact| fact.name == name)
    }

    /// Whether a fact is among these, or what takes its place.
    fn covers(&self, fact: &Fact) -> bool {
        if ONCE.contains(&fact.name.as_str()) {
            return self.has_named(&fact.name);
        }
        if [SSH_PASSWORDS, GREETING].contains(&fact.name.as_str()) {
            return self.has_named(&fact.name) || self.is_on(&fact.name).to_string() == fact.value;
        }
        // An argument is taken out with its value, or named without.
        let key = fact.value.split('=').next().unwrap_or_default();
        let taken_out = Fact { value: key.to_owned(), ..fact.clone() };
        self.all.contains_key(fact)
            || (fact.name == "karg-delete" && self.all.contains_key(&taken_out))
    }

    /// What of this is not among what is given now, with the comments of keys.
    ///
    /// # Errors
    /// [`Error::Usage`] if this lets in the holder of a key, what is given now nobody, and that is not `meant`.
    pub fn not_in(&self, now: &Self, meant: bool) -> Result<Vec<Fact>> {
        let gone = self.all.iter().filter(|(fact, _)| !now.covers(fact));
        let gone: Vec<Fact> = gone.map(with_comment).collect();
        let key = gone.iter().find(|fact| fact.name == KEY);
        match key.filter(|_| !meant && !now.has_named(KEY)) {
            None => Ok(gone),
            Some(key) => Err(Error::Usage {
                what: format!(
                    "{key} is taken out, and no other key is put in: nobody could log in by key"
                ),
                hint: Advice::KeyAgain,
            }),
        }
    }
}

impl<B: ReadAt> BaseImage<B> {
    /// What was put in before, by the names of recipes; `None` if nothing was.
    pub fn injected_facts(&self) -> Option<InjectedFacts> {
        let (found, told) = match (self.iso(), self.disk()) {
            (Some(iso), _) => {
                let found = InjectedFacts::from_iso(iso)?;
                (found, found::on_volume(iso.image.base(), iso.now.as_ref()?.tree()))
            }
            (None, Some(disk)) => {
                let found = InjectedFacts::from_disk(disk)?;
                (found, found::in_root(disk.image.base(), disk.now.as_ref()?))
            }
            (None, None) => return None,
        };
        // A manifest that cannot be read is what `inspect` and `verify` tell of.
        let Some(told) = told.ok().flatten() else { return Some(found) };
        Some(found.with_records(told.signature.is_some(), told.manifest.blocks.is_some()))
    }
}

/// A fact with the comment of a key.
fn with_comment((fact, comment): (&Fact, &String)) -> Fact {
    let value = format!("{} {comment}", fact.value);
    Fact { name: fact.name.clone(), value: value.trim_end().to_owned() }
}

/// What of an earlier stamping edits do not give again; nothing if there was none.
///
/// # Errors
/// As [`InjectedFacts::not_in`].
pub fn removed(before: Option<&InjectedFacts>, edits: &Edits, meant: bool) -> Result<Vec<Fact>> {
    let Some(before) = before else { return Ok(Vec::new()) };
    let mut gone = before.not_in(&InjectedFacts::from_edits(edits), meant)?;
    gone.extend(before.records.iter().filter(|fact| loses(edits, fact)).cloned());
    Ok(gone)
}

/// Whether the manifest of edits, if they have one, lacks what another one had.
fn loses(edits: &Edits, fact: &Fact) -> bool {
    let Some(text) = edits.records.get(MANIFEST) else { return false };
    let manifest: Option<Manifest> = serde_json::from_slice(text).ok();
    match fact.name.as_str() {
        SIGN => !edits.records.contains_key(SIGNATURE),
        _ => manifest.is_none_or(|manifest| manifest.blocks.is_none()),
    }
}

/// Whether a host key is among what goes: clients know the machine by it.
pub fn has_host_key(gone: &[Fact]) -> bool {
    gone.iter().any(|fact| fact.name == HOST_KEY)
}

/// Whether a fact is of a setting that is on or off, and so is not the same any more where the other is asked for.
pub fn is_switch(fact: &Fact) -> bool {
    [ANNOUNCE, SSH_PASSWORDS, GREETING].contains(&fact.name.as_str())
}

/// Whether sshd looks for keys there.
fn is_key_file(path: &str) -> bool {
    path.starts_with("etc/ssh/authorized_keys.d/") || path.ends_with("/.ssh/authorized_keys")
}

/// Whether this is the public half of a host key.
fn is_host_key(path: &str) -> bool {
    path.strip_prefix("etc/ssh/ssh_host_").is_some_and(|name| name.ends_with("_key.pub"))
}

fn is_of_settings(path: &str) -> bool {
    OF_SETTINGS.iter().any(|start| path.starts_with(start))
        || path.contains(".wants/")
        || AMONG_OTHERS.iter().any(|start| path.starts_with(start) && path.contains("/remaster"))
}

/// How long a menu waits, in seconds. isolinux counts tenths (SYSLINUX doc/syslinux.txt, "TIMEOUT").
fn seconds(syntax: Syntax, waits: Option<&str>) -> String {
    let waits = waits.unwrap_or_default();
    match (syntax, waits.parse::<u32>()) {
        (Syntax::Isolinux, Ok(tenths)) => (tenths / 10).to_string(),
        _ => waits.to_owned(),
    }
}

/// What stands in front of the titles and did not before.
fn in_front(old: &Config, new: &Config) -> String {
    let pairs = titles(old).into_iter().zip(titles(new));
    let front = |(old, new): (&Vec<String>, &Vec<String>)| {
        let (old, new) = (old.concat(), new.concat());
        let front = new.strip_suffix(&old)?;
        Some(front.strip_suffix(": ").unwrap_or(front).trim().to_owned())
    };
    pairs.filter_map(front).find(|front| !front.is_empty()).unwrap_or_default()
}

fn entries(configs: &[Config]) -> impl Iterator<Item = &Entry> {
    configs.iter().flat_map(|config| &config.entries)
}

/// The serial ports that were put in, of the first entry that has some. Other consoles were kernel arguments: those that
/// are not serial ports, and those at which GRUB would talk and does not.
fn ports(old: &[Config], new: &[Config]) -> Vec<String> {
    let mut all = entries(old).zip(entries(new)).map(|(old, new)| added_ports(old, new));
    let found = all.find(|found| !found.is_empty()).unwrap_or_default();
    let Some(ports) = found.iter().map(|port| kernel_args::port(port)).collect::<Option<Vec<_>>>()
    else {
        return Vec::new();
    };
    let is_known = ports.iter().any(|port| port.unit.is_some());
    let serial = |config| Started::from_config(config).serial;
    let mut grub = old.iter().zip(new).filter(|(_, new)| new.syntax == Syntax::Grub).peekable();
    let is_silent = grub.peek().is_some() && grub.all(|(old, new)| serial(old) == serial(new));
    if is_known && is_silent { Vec::new() } else { found }
}

/// The kernel's arguments of all entries.
fn arguments(configs: &[Config]) -> impl Iterator<Item = &str> {
    entries(configs).flat_map(Entry::words)
}

fn titles(config: &Config) -> Vec<&Vec<String>> {
    config.entries.iter().map(|entry| &entry.title).collect()
}

/// The arguments of one entry that the other has not.
fn only<'a>(one: &'a Entry, other: &'a Entry) -> impl Iterator<Item = &'a str> {
    let words = one.arguments.iter().map(|word| word.text.as_str());
    words.filter(|text| !other.arguments.iter().any(|word| word.text == *text))
}
