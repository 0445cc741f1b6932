//! What was put into an image before, and what of it is not given again when it is stamped again: that goes, and
//! messages call it as a recipe does. Nothing secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::boot::command_lines::CommandLines;
use crate::boot::config::Config;
use crate::boot::entry_args::{added_ports, is_selected};
use crate::boot::folder::{Folder, MANIFEST, SIGNATURE};
use crate::boot::kernel_args;
use crate::boot::menu::{Started, default_place, meant};
use crate::disk::injected;
use crate::error::{Advice, Error, Result};
use crate::formats::boot_config::{Entry, Syntax, redacted};
use crate::formats::credential::keys_of;
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::iso::attached;
use crate::iso::injected::IsoBase;
use crate::iso::survey::Survey;
use crate::keys::{KEY_FILES, Login, Logins};
use crate::live;
use crate::progress::Silent;
use crate::recipe::edits::{Boot, Edits, InjectMethod, Purpose, Spanned};
use crate::recipe::{DIGESTS, OF_RECORDS, SIGN};
use crate::stamp::base_image::BaseImage;
use crate::stamp::key_files::KeyFiles;
use crate::stamp::login_obstacles::LoginObstacles;
use crate::stamp::manifest::{Manifest, found};
use crate::units::ByteRange;

/// The name of a public key among facts.
const KEY: &str = "key";

/// The name of a key that is given again with other options or for other users, among what goes.
const KEY_AGAIN: &str = "key given again";

/// The name of what of key files is not understood, among facts.
const KEY_FILE: &str = "not understood";

/// The name of a file among facts.
const FILE: &str = "file";

/// The name of a host key among facts.
const HOST_KEY: &str = "host-key";

/// Whether sshd takes passwords, and whether consoles show how to log in: facts only where it is not as usual.
const SSH_PASSWORDS: &str = "ssh-passwords";
const GREETING: &str = "greeting";

/// Whether the live system tells of itself.
const ANNOUNCE: &str = "announce";

/// The name of a squashfs among facts, whether it is on a volume or in an initrd.
const ATTACHED: &str = "overlay or store";

/// The name of a login that a password was good for, among what goes.
const SSH_LOGIN: &str = "ssh login";

/// The names of passwords among facts.
const PASSWORDS: [&str; 2] = ["root-password", "nixos-password"];

/// Whether the programs of stores are on the PATH, and whether loaders with menus of their own get what is put in.
const PATH: &str = "path";
const MERGE_INITRD: &str = "merge-initrd";

/// The name of a wireless network among facts.
const WIFI: &str = "wifi";

/// Kernel arguments that came and that went, among facts.
const KARG: &str = "karg";
const KARG_DELETE: &str = "karg-delete";

/// The name of a serial port among facts.
const SERIAL: &str = "serial";

/// Facts that an image has once: another value is given in place of the one before, by whoever gives one.
const ONCE: [&str; 12] = [
    "hostname",
    "timezone",
    "keymap",
    "locale",
    "console-font",
    ANNOUNCE,
    "root-password",
    "nixos-password",
    "timeout",
    "default-entry",
    "label",
    "name",
];

/// Something that was put in, as `hostname` and `box`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Fact {
    /// As a recipe names it, or what it is: `file`.
    pub name: String,
    /// As a recipe has it, or a fingerprint, or a path; empty for what is secret or has many forms.
    pub value: String,
    /// The entries of the menus in which that is so; none if it is in all, or is not about menus.
    pub entries: Option<SomeEntries>,
    /// What opens a wireless network: `WPA2`, `WPA3` or `open`; none for anything else.
    pub security: Option<&'static str>,
}

impl Fact {
    fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), entries: None, security: None }
    }

    /// A setting as it is read back.
    fn of_setting(name: &str, told: &str) -> Self {
        let (value, security) = if name == WIFI { live::wifi_parts(told) } else { (told, None) };
        Self { security, ..Self::new(name, value) }
    }

    /// Whether it is neither of a key nor of a file, which have lines of their own.
    pub fn is_of_setting(&self) -> bool {
        ![KEY, KEY_FILE, HOST_KEY, FILE].contains(&self.name.as_str())
    }

    /// Whether the key itself does not go, but its options do, or some of its users.
    pub fn is_given_again(&self) -> bool {
        self.name == KEY_AGAIN
    }

    /// Whether it is about the manifest, and so about nothing that a live system has.
    pub fn is_of_records(&self) -> bool {
        OF_RECORDS.contains(&self.name.as_str())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.value.is_empty() { "" } else { " " };
        let name = if self.is_given_again() { KEY } else { &self.name };
        write!(formatter, "{name}{blank}{}", self.value)?;
        if let Some(entries) = &self.entries {
            write!(formatter, " {entries}")?;
        }
        self.security.map_or(Ok(()), |security| write!(formatter, " ({security})"))
    }
}

/// Some of the entries of the menus.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct SomeEntries {
    /// How many.
    pub count: usize,
    /// How many there are.
    pub of: usize,
    /// Their labels or titles, each once.
    pub names: BTreeSet<String>,
}

impl fmt::Display for SomeEntries {
    /// With the shortest of their names.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, of, names } = self;
        let shortest = names.iter().min_by_key(|name| name.len()).map_or("", String::as_str);
        let others = if names.len() > 1 { ", …" } else { "" };
        write!(formatter, "in {count} of {of} entries ({shortest}{others})")
    }
}

/// An argument that came or went, and in which entries of the menus.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Argument {
    text: String,
    entries: BTreeSet<usize>,
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
    /// The facts of arguments of an image, with their entries.
    arguments: BTreeMap<Fact, Argument>,
    /// The entries of the menus of the base.
    entries: Vec<Entry>,
    /// The entries that arguments are asked for; all if empty.
    chosen: Vec<Spanned<String>>,
    /// Whether one of the keys lets somebody in to a shell.
    has_login_key: bool,
    /// Whether files or arguments are there as a recipe makes them for keys, and for host keys.
    has_keys: bool,
    has_host_keys: bool,
    /// What is on in the live system, said or not.
    is_key_only: bool,
    greets: bool,
    /// What keeps people out although they have a key or a password.
    obstacles: LoginObstacles,
}

impl InjectedFacts {
    /// What was put into an ISO; none if nothing was.
    pub(crate) fn from_iso<B: ReadAt>(base: &IsoBase<B>) -> Option<Self> {
        let (stamped, now) = (base.stamped.as_ref()?, base.now.as_ref()?);
        let lines = CommandLines::of_menus(&now.configs);
        let mut found =
            Self::from_tree(base.image.base(), &stamped.root, &stamped.attached, &lines)
                .with_path(stamped.on_path);
        if is_merged(base, &base.survey, now) {
            found.add(MERGE_INITRD, "true");
        }
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
        let keys = KeyFiles::of_root(stamped.root.iter());
        let lines = CommandLines::of_menus(menu(&now.config));
        let mut found = Self::from_parts(stamped.root.iter(), keys, &lines);
        found.add_menus(menu(&base.raw.config), menu(&now.config));
        Some(found)
    }

    /// What was put into a live system: into its root, squashfs files beside that, and keys among the kernel's arguments.
    pub(crate) fn from_tree<I: ReadAt>(
        image: &I,
        root: &[Member],
        attached: &[(String, ByteRange)],
        lines: &CommandLines,
    ) -> Self {
        let places = attached.iter().map(|(path, at)| (path.as_str(), *at));
        let keys = KeyFiles::of_root(root.iter()).with_attached(image, places);
        let mut found = Self::from_parts(root.iter(), keys, lines);
        for (path, at) in attached {
            let id = Folder::id_in(path).map_or_else(|| id_at(image, path, *at), str::to_owned);
            found.add(ATTACHED, id);
        }
        found
    }

    /// The same of a live system that has the programs of stores on its PATH, or not.
    #[must_use]
    pub(crate) fn with_path(mut self, on_path: bool) -> Self {
        if on_path {
            self.add(PATH, "true");
        }
        self
    }

    /// The same for a kernel that starts without menus, to which it is all one how an image brought it there.
    #[must_use]
    pub fn without_menus(mut self) -> Self {
        self.all.retain(|fact, _| fact.name != MERGE_INITRD);
        self
    }

    /// The same without what squashfs files are known by.
    fn from_parts<'a>(
        root: impl Iterator<Item = &'a Member> + Clone,
        keys: KeyFiles,
        lines: &CommandLines,
    ) -> Self {
        let words = lines.all().iter().flatten();
        let carried: Vec<_> = words.flat_map(|word| keys_of(word)).collect();
        let root: Vec<&Member> = root.collect();
        let mut found = Self {
            has_keys: !carried.is_empty() || has_keys(&root),
            has_host_keys: root.iter().any(|member| is_private_host_key(&member.path)),
            is_key_only: live::takes_keys_only(&root),
            greets: live::greets(&root),
            obstacles: keys.obstacles().with_lines(lines),
            ..Self::default()
        };
        let written = live::written(&root);
        for member in &root {
            found.add_member(member, &written);
        }
        for (user, _) in live::users_with_passwords(&root) {
            found.add(&format!("{user}-password"), "");
        }
        let mut logins = keys.with_carried(&carried).logins();
        found.obstacles.mark(&mut logins);
        found.add_logins(&logins);
        for (name, told) in live::settings(&root) {
            found.add_fact(Fact::of_setting(&name, &told));
        }
        if !root.is_empty() {
            found.add_unusual(SSH_PASSWORDS);
            found.add_unusual(GREETING);
        }
        found
    }

    /// What is to be put in, where kernels are to start with these command lines.
    pub fn from_edits(edits: &Edits, lines: &CommandLines) -> Self {
        let files = KeyFiles::of_edits(edits);
        let mut found = Self::from_parts(edits.root.members(), files, lines);
        for attached in &edits.attached {
            found.add(ATTACHED, &*attached.id);
            if attached.purpose == (Purpose::Store { on_path: true }) {
                found.add(PATH, "true");
            }
        }
        if edits.way == InjectMethod::MergeInitrd {
            found.add(MERGE_INITRD, "true");
        }
        found.chosen.clone_from(&edits.boot.entries);
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
            found.add(KARG, redacted(&argument.value));
        }
        for argument in delete {
            found.add(KARG_DELETE, redacted(&argument.value));
        }
        for replacement in replace.iter().map(|asked| &asked.value) {
            let with = |value: &str| redacted(&format!("{}={value}", replacement.key));
            found.add(KARG, redacted(&replacement.argument()));
            let old = replacement.old.as_deref();
            found.add(KARG_DELETE, old.map_or_else(|| replacement.key.clone(), with));
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
        let fact = |(name, _): (&str, bool)| Fact::new(name, "");
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

    /// Whether somebody can log in over ssh, as far as the keys are understood: by a key, or by a password that is not
    /// empty, as sshd refuses empty ones.
    pub fn lets_in(&self) -> bool {
        self.has_login_key || !self.users_with_passwords().is_empty()
    }

    /// What keeps out everybody but root, who can log in.
    pub fn why_root_alone(&self) -> Option<&str> {
        self.obstacles.but_root().filter(|_| self.lets_in())
    }

    /// Why nobody can log in with an entry that starts by itself, where others let people in.
    pub fn why_not_by_itself(&self) -> Option<String> {
        let (entry, why) = self.obstacles.by_itself().filter(|_| self.lets_in())?;
        Some(format!("with the entry {entry:?} that starts by itself, as {why}"))
    }

    /// What must be so for anybody to log in who has a key or a password, and is not known.
    pub fn depends_on(&self) -> Option<&str> {
        self.obstacles.own_unit().filter(|_| self.lets_in())
    }

    /// Who of `root` and `nixos` can log in with a key that is given to both; none if nobody can, or that is not known.
    pub fn let_in_by_key(&self) -> Option<&'static str> {
        if self.obstacles.by_itself().is_some() || self.obstacles.own_unit().is_some() {
            return None;
        }
        let is_out = |user| self.obstacles.of(user).is_some();
        match (is_out("root"), is_out("nixos")) {
            (true, _) => None,
            (false, true) => Some("root"),
            (false, false) => Some("root and nixos"),
        }
    }

    /// What keeps people out although they have a key or a password.
    pub(crate) fn obstacles(&self) -> &LoginObstacles {
        &self.obstacles
    }

    /// What is not understood of the files with keys, a line each.
    pub fn not_understood(&self) -> impl Iterator<Item = &str> {
        let notes = self.all.keys().filter(|fact| fact.name == KEY_FILE);
        notes.map(|fact| fact.value.as_str())
    }

    /// What is to be noted of who can log in over ssh: nobody, root alone, or only if something is so.
    pub fn login_notes(&self) -> Vec<String> {
        if !self.lets_in() {
            return vec![format!("nobody can log in over ssh, {}", self.why_nobody())];
        }
        let alone = |why| format!("root alone can log in over ssh, as {why}");
        let nobody = |why| format!("nobody can log in over ssh {why}");
        let depends = |what| format!("people can log in over ssh only if {what}");
        let notes = self.why_root_alone().map(alone).into_iter();
        let notes = notes.chain(self.why_not_by_itself().map(nobody));
        notes.chain(self.depends_on().map(depends)).collect()
    }

    /// Why nobody can log in, or how far that is known, if [`Self::lets_in`] is false.
    pub fn why_nobody(&self) -> String {
        if let Some(why) = self.obstacles.everybody() {
            return format!("as {why}");
        }
        let why = if self.has_named(KEY_FILE) {
            "as far as the keys are understood"
        } else if self.has_named(KEY) {
            "as no key that is put in lets anybody in"
        } else if PASSWORDS.iter().any(|name| self.has_named(name)) {
            "as sshd takes keys only, and no key is put in"
        } else {
            "as neither a key nor a password is put in"
        };
        why.to_owned()
    }

    /// Who can log in over ssh by a password.
    pub fn users_with_passwords(&self) -> Vec<&'static str> {
        let has = |name: &&str| !self.is_key_only && self.has_named(name);
        let users = PASSWORDS.into_iter().filter(has);
        let users = users.filter_map(|name| name.strip_suffix("-password"));
        users.filter(|user| self.obstacles.of(user).is_none()).collect()
    }

    /// Adds whether something is on, if that differs from what it is without being said.
    fn add_unusual(&mut self, name: &str) {
        if self.is_on(name) != self.default_of(name) {
            self.add(name, self.is_on(name).to_string());
        }
    }

    /// Whether something is on that need not be said.
    fn is_on(&self, name: &str) -> bool {
        if name == SSH_PASSWORDS { !self.is_key_only } else { self.greets }
    }

    /// What is so if nothing is said: keys shut passwords out, and consoles show how to log in by key or host key.
    fn default_of(&self, name: &str) -> bool {
        if name == SSH_PASSWORDS { !self.has_keys } else { self.has_keys || self.has_host_keys }
    }

    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.add_fact(Fact::new(name, value));
    }

    fn add_fact(&mut self, fact: Fact) {
        if fact.name == SERIAL && !self.ports.contains(&fact.value) {
            self.ports.push(fact.value.clone());
        }
        self.all.insert(fact, String::new());
    }

    /// A file is a fact, unless it is among those that settings of a recipe wrote: then the setting is.
    fn add_member(&mut self, member: &Member, written: &BTreeSet<String>) {
        let path = member.path.as_str();
        match &member.kind {
            Kind::Directory => {}
            Kind::File(text) if is_host_key(path) && self.add_host_key(text) => {}
            // Files of keys that a recipe makes show as the keys.
            _ if self.has_keys && KEY_FILES.iter().any(|file| file.path == path) => {}
            Kind::File(_) | Kind::Symlink(_) if written.contains(path) => {}
            Kind::File(_) | Kind::Symlink(_) => self.add(FILE, format!("/{path}")),
        }
    }

    /// Each key with its options, and for whom it is if not for all. Restrictions are a part of it: without them it lets
    /// in more.
    fn add_logins(&mut self, logins: &Logins) {
        self.has_login_key |= logins.all.iter().any(|login| login.shut_out.is_none());
        for note in &logins.notes {
            self.add(KEY_FILE, note);
        }
        let mut users: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for login in &logins.all {
            users.entry(line_of(login)).or_default().insert(login.user);
        }
        for login in &logins.all {
            let users =
                users.get(&line_of(login)).into_iter().flatten().copied().collect::<Vec<_>>();
            let value = shown_key(&login.key.fingerprint, &users, login.key.options.as_deref());
            let fact = Fact::new(KEY, value);
            self.all.entry(fact).or_insert_with(|| login.key.comment.clone());
        }
    }

    /// Adds a public host key, if it is one.
    fn add_host_key(&mut self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        let Ok(key) = ssh_key::PublicKey::from_openssh(&text) else { return false };
        self.add(HOST_KEY, key.fingerprint(ssh_key::HashAlg::Sha256).to_string());
        true
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
            let at = default_place(new);
            let path = at.and_then(|at| old.entries.get(at)).map(Entry::path);
            // Of entries with one title it means the first.
            let path = path.filter(|path| meant(&old.entries, path) == at);
            let called = path.or(after.default).unwrap_or_default();
            self.add_first("default-entry", called);
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
        let mut found: BTreeMap<(&str, String), BTreeSet<usize>> = BTreeMap::new();
        for (number, (old, new)) in entries(old).zip(entries(new)).enumerate() {
            let came = only(new, old).map(|text| (KARG, text));
            let went = only(old, new).map(|text| (KARG_DELETE, text));
            for (name, text) in came.chain(went).filter(|(_, text)| !is_named(text)) {
                found.entry((name, redacted(text))).or_default().insert(number);
            }
        }
        self.entries = entries(old).cloned().collect();
        for ((name, text), all) in found {
            // An entry that has it, or has not, whatever was asked for does not count.
            let is_so = |entry: &Entry| entry.words().any(|word| redacted(word) == text);
            let is_elsewhere = entries(new).any(|entry| is_so(entry) != (name == KARG));
            let entries = is_elsewhere.then(|| self.some_entries(&all));
            let fact = Fact { entries, ..Fact::new(name, &*text) };
            self.add_fact(fact.clone());
            self.arguments.insert(fact, Argument { text, entries: all });
        }
    }

    /// Entries by their numbers.
    fn some_entries(&self, numbers: &BTreeSet<usize>) -> SomeEntries {
        let called = |number: &usize| {
            let entry = self.entries.get(*number)?;
            Some(entry.label.as_ref().map_or_else(|| entry.path(), |label| label.text.clone()))
        };
        let names = numbers.iter().filter_map(called).collect();
        SomeEntries { count: numbers.len(), of: self.entries.len(), names }
    }

    /// An argument of this without the entries for which it is given again; none if it is for all of them.
    fn lost(&self, fact: &Fact, now: &Self) -> Option<Fact> {
        let Some(argument) = self.arguments.get(fact) else { return Some(fact.clone()) };
        let bare = Fact::new(&fact.name, &*argument.text);
        if !now.covers(&bare) {
            return Some(fact.clone());
        }
        let boot = Boot { entries: now.chosen.clone(), ..Boot::default() };
        let is_lost = |number: &&usize| {
            self.entries.get(**number).is_some_and(|entry| !is_selected(entry, &boot))
        };
        let lost: BTreeSet<usize> = argument.entries.iter().filter(is_lost).copied().collect();
        (!lost.is_empty()).then(|| Fact { entries: Some(self.some_entries(&lost)), ..bare })
    }

    fn has_named(&self, name: &str) -> bool {
        self.all.keys().any(|fact| fact.name == name)
    }

    /// Whether a fact is among these, or what takes its place.
    fn covers(&self, fact: &Fact) -> bool {
        if ONCE.contains(&fact.name.as_str()) {
            return self.has_named(&fact.name);
        }
        // `not_in` compares ports, of which there may be several.
        if fact.name == SERIAL {
            return true;
        }
        if [SSH_PASSWORDS, GREETING].contains(&fact.name.as_str()) {
            return self.has_named(&fact.name) || self.is_on(&fact.name).to_string() == fact.value;
        }
        // The key or the file that is not understood is a fact, too.
        if fact.name == KEY_FILE {
            return true;
        }
        // An argument is taken out with its value, or named without.
        let key = fact.value.split('=').next().unwrap_or_default();
        let taken_out = Fact::new(&fact.name, key);
        self.all.contains_key(fact)
            || (fact.name == KARG_DELETE && self.all.contains_key(&taken_out))
    }

    /// The serial ports that go. Other ports take the place of as many.
    fn ports_not_in(&self, now: &Self) -> impl Iterator<Item = Fact> {
        let name = |port: &String| port.split(',').next().map(str::to_owned);
        let is_in = |port: &String, all: &[String]| all.iter().any(|one| name(one) == name(port));
        let new = now.ports.iter().filter(|port| !is_in(port, &self.ports)).count();
        let gone = self.ports.iter().filter(|port| !is_in(port, &now.ports)).skip(new);
        let fact = |port: &String| Fact::new(SERIAL, port);
        gone.map(fact).collect::<Vec<_>>().into_iter()
    }

    /// What was so without being said, and is not so now although nobody says that either; and passwords that were good
    /// for ssh.
    fn unsaid_not_in<'a>(&'a self, now: &'a Self) -> impl Iterator<Item = Fact> + 'a {
        let goes = |name: &&str| {
            let expected = now.default_of(name);
            !self.has_named(name)
                && !now.has_named(name)
                && self.is_on(name) == expected
                && now.is_on(name) != expected
        };
        let switches = [SSH_PASSWORDS, GREETING].into_iter().filter(goes);
        let switches = switches.map(|name| (name, self.is_on(name).to_string()));
        let still = now.users_with_passwords();
        let users = self.users_with_passwords().into_iter().filter(move |user| {
            !still.contains(user) && now.has_named(&format!("{user}-password"))
        });
        let logins = users.map(|user| (SSH_LOGIN, format!("of {user} with a password")));
        let fact = |(name, value): (&str, String)| Fact::new(name, value);
        switches.chain(logins).map(fact)
    }

    /// What of this is not among what is given now, with the comments of keys.
    ///
    /// # Errors
    /// [`Error::Usage`] if this lets in the holder of a key, what is given now nobody, and that is not `meant`.
    pub fn not_in(&self, now: &Self, meant: bool) -> Result<Vec<Fact>> {
        let prints = now.all.keys().filter(|fact| fact.name == KEY).map(print_of);
        let prints: BTreeSet<&str> = prints.collect();
        let named = |(fact, comment): (Fact, &String)| {
            let is_again = fact.name == KEY && prints.contains(print_of(&fact));
            let name = if is_again { KEY_AGAIN } else { &fact.name }.to_owned();
            Fact { name, ..with_comment((&fact, comment)) }
        };
        let lost = |(fact, comment)| {
            let is_there = !self.arguments.contains_key(fact) && now.covers(fact);
            if is_there { None } else { Some((self.lost(fact, now)?, comment)) }
        };
        let gone = self.all.iter().filter_map(lost);
        let mut gone: Vec<Fact> = gone.map(named).collect();
        gone.extend(self.ports_not_in(now));
        gone.extend(self.unsaid_not_in(now));
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
    ///
    /// # Errors
    /// The operating system's. Of a manifest that is damaged `inspect` and `verify` tell.
    pub fn injected_facts(&self) -> Result<Option<InjectedFacts>> {
        let (found, told) = match (self.iso(), self.disk()) {
            (Some(iso), _) => {
                let now = iso.now.as_ref();
                let told = now.map(|now| found::on_volume(iso.image.base(), now.tree()));
                (InjectedFacts::from_iso(iso), told)
            }
            (None, Some(disk)) => {
                let now = disk.now.as_ref();
                let told = now.map(|now| found::in_root(disk.image.base(), now));
                (InjectedFacts::from_disk(disk), told)
            }
            (None, None) => return Ok(None),
        };
        let (Some(found), Some(told)) = (found, told) else { return Ok(None) };
        match told {
            Ok(Some(told)) => {
                let has_blocks = told.manifest.blocks.is_some();
                Ok(Some(found.with_records(told.signature.is_some(), has_blocks)))
            }
            Ok(None) | Err(Error::Malformed { .. } | Error::Unsupported { .. }) => Ok(Some(found)),
            Err(fault) => Err(fault),
        }
    }
}

/// A fact with the comment of a key, behind its fingerprint.
fn with_comment((fact, comment): (&Fact, &String)) -> Fact {
    if fact.name != KEY || comment.is_empty() {
        return fact.clone();
    }
    let (print, rest) = fact.value.split_once(' ').unwrap_or((&fact.value, ""));
    let value = format!("{print} {comment} {rest}");
    Fact::new(&fact.name, value.trim_end())
}

/// A line apart from whom it lets in: the base64 text of its key, and its options.
fn line_of(login: &Login) -> (&str, Option<&str>) {
    (&login.key.data, login.key.options.as_deref())
}

/// The fingerprint of a key that is a fact.
fn print_of(fact: &Fact) -> &str {
    fact.value.split(' ').next().unwrap_or_default()
}

/// A key as a fact: whom it lets in if that is not everyone, and its options.
fn shown_key(print: &str, users: &[&str], options: Option<&str>) -> String {
    let alone = match users {
        [user] => format!(" for {user} alone"),
        _ => String::new(),
    };
    let options = options.map(|options| format!(" with {options}")).unwrap_or_default();
    format!("{print}{alone}{options}")
}

/// Whether all files of keys are there and alike, as a recipe makes them, or some of a machine of several.
fn has_keys(root: &[&Member]) -> bool {
    let at = |path: &str| root.iter().find(|member| member.path == path).map(|found| &found.kind);
    let [first, others @ ..] = KEY_FILES.map(|file| at(file.path));
    let are_alike = matches!(first, Some(Kind::File(_))) && others.iter().all(|it| *it == first);
    let of_machine = |member: &&Member| {
        let path = live::on_some_machine(&member.path);
        path != member.path && KEY_FILES.iter().any(|file| file.path == path)
    };
    are_alike || root.iter().any(of_machine)
}

/// Whether this is a host key, also one of a machine of several.
fn is_private_host_key(path: &str) -> bool {
    let path = live::on_some_machine(path);
    live::is_host_key(path) && path.strip_suffix(".pub").is_none()
}

/// What a squashfs is known by that has no id in its name: that of its bytes, or else its size.
fn id_at<I: ReadAt>(image: &I, path: &str, at: ByteRange) -> String {
    attached::id(image, path, at, &Silent).unwrap_or_else(|_| format!("of {} bytes", at.size()))
}

/// What of an earlier stamping edits do not give again; nothing if there was none.
///
/// # Errors
/// As [`InjectedFacts::not_in`].
pub fn removed(
    before: Option<&InjectedFacts>,
    (edits, given): (&Edits, &InjectedFacts),
    meant: bool,
) -> Result<Vec<Fact>> {
    let Some(before) = before else { return Ok(Vec::new()) };
    let mut gone = before.not_in(given, meant)?;
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

/// Whether a password that was good for ssh is among it.
pub fn is_ssh_login(fact: &Fact) -> bool {
    fact.name == SSH_LOGIN
}

/// Whether a host key is among what goes: clients know the machine by it.
pub fn has_host_key(gone: &[Fact]) -> bool {
    gone.iter().any(|fact| fact.name == HOST_KEY)
}

/// Whether a fact is of a setting that is on or off, and so is not the same any more where the other is asked for.
pub fn is_switch(fact: &Fact) -> bool {
    [ANNOUNCE, SSH_PASSWORDS, GREETING, MERGE_INITRD, PATH].contains(&fact.name.as_str())
}

/// A line for each login with a password that sshd takes now and did not take before; none where nothing was put in.
pub fn opened(before: Option<&InjectedFacts>, given: &InjectedFacts) -> Vec<String> {
    if !before.is_some_and(|before| before.is_key_only) {
        return Vec::new();
    }
    let line = |user| format!("{SSH_LOGIN} of {user} with a password opens: sshd took keys only");
    given.users_with_passwords().into_iter().map(line).collect()
}

/// Whether this is the public half of a host key.
fn is_host_key(path: &str) -> bool {
    path.strip_prefix("etc/ssh/ssh_host_").is_some_and(|name| name.ends_with("_key.pub"))
}

/// Whether archives are in an ISO, and no menu names one.
fn is_merged<B: ReadAt>(base: &IsoBase<B>, old: &Survey, new: &Survey) -> bool {
    let initrds = |survey: &Survey| -> usize {
        entries(&survey.configs).map(|entry| entry.initrds.len()).sum()
    };
    base.stamped.as_ref().is_some_and(|stamped| !stamped.root.is_empty())
        && initrds(old) == initrds(new)
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

fn titles(config: &Config) -> Vec<&Vec<String>> {
    config.entries.iter().map(|entry| &entry.title).collect()
}

/// The arguments of one entry that the other has not.
fn only<'a>(one: &'a Entry, other: &'a Entry) -> impl Iterator<Item = &'a str> {
    let words = one.arguments.iter().map(|word| word.text.as_str());
    words.filter(|text| !other.arguments.iter().any(|word| word.text == *text))
}
