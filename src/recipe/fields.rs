//! What goes through every field of a recipe: what is asked for, one over the other, and where each stands.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::setting::{called, setting};
use super::{Inject, Machine, Recipe, Xattrs, edits};
use crate::error::{Advice, Error, Result};
use crate::keys::{self, RemoteKeys};

/// What is asked for, in one line.
trait Shown {
    fn shown(&self) -> String;

    /// The same by its bytes: a path can have such as are not text.
    fn raw(&self) -> OsString {
        self.shown().into()
    }

    /// Whether it is what holds where nothing is given: a switch that is off.
    fn is_off(&self) -> bool {
        false
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }

    fn is_off(&self) -> bool {
        !self
    }
}

impl Shown for u32 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for PathBuf {
    fn shown(&self) -> String {
        self.display().to_string()
    }

    fn raw(&self) -> OsString {
        self.clone().into()
    }
}

impl Shown for Inject {
    fn shown(&self) -> String {
        let name = match self {
            Self::Archive => "archive",
            Self::Credential => "credential",
        };
        name.to_owned()
    }

    fn is_off(&self) -> bool {
        *self == Self::Archive
    }
}

impl Shown for Xattrs {
    fn shown(&self) -> String {
        let name = match self {
            Self::Refuse => "refuse",
            Self::Drop => "drop",
        };
        name.to_owned()
    }
}

/// What a machine gets is said of what is put in.
impl Shown for Machine {
    fn shown(&self) -> String {
        String::new()
    }
}

/// Whether something was asked for.
trait IsSet: Sized {
    /// What was asked for, an element each.
    fn values(&self) -> Vec<String>;

    /// The same by its bytes.
    fn raw_values(&self) -> Vec<OsString>;

    fn is_given(&self) -> bool;

    /// Whether it is given, and off.
    fn is_off(&self) -> bool;

    /// This, or else what stands below it.
    fn or_below(self, below: Self) -> Self {
        if self.is_given() { self } else { below }
    }

    /// The same, where lists are joined: what stands below comes first.
    fn onto(self, below: Self) -> Self;

    /// How many elements of a list there are.
    fn count(&self) -> usize;
}

impl<T: Shown> IsSet for Option<T> {
    fn values(&self) -> Vec<String> {
        self.iter().map(Shown::shown).collect()
    }

    fn raw_values(&self) -> Vec<OsString> {
        self.iter().map(Shown::raw).collect()
    }

    fn is_given(&self) -> bool {
        self.is_some()
    }

    fn is_off(&self) -> bool {
        self.as_ref().is_some_and(Shown::is_off)
    }

    fn onto(self, below: Self) -> Self {
        self.or_below(below)
    }

    fn count(&self) -> usize {
        0
    }
}

impl<T: Shown> IsSet for Vec<T> {
    fn values(&self) -> Vec<String> {
        self.iter().map(Shown::shown).collect()
    }

    fn raw_values(&self) -> Vec<OsString> {
        self.iter().map(Shown::raw).collect()
    }

    fn is_given(&self) -> bool {
        !self.is_empty()
    }

    fn is_off(&self) -> bool {
        false
    }

    fn onto(self, mut below: Self) -> Self {
        below.extend(self);
        below
    }

    fn count(&self) -> usize {
        self.len()
    }
}

/// The place of what was put in before.
pub(crate) const IN_IMAGE: &str = "in the image";

/// What goes through every field: a struct literal, so that none can be forgotten.
macro_rules! every_field {
    ($($field:ident)*) => {
        /// Everything of this one, and of `below` what this one says nothing of. Lists are not joined.
        pub(super) fn beside(self, below: Self) -> Self {
            let mut places = below.places;
            places.retain(|name, _| !self.is_set(name));
            places.extend(self.places);
            Self { $($field: self.$field.or_below(below.$field),)* places }
        }

        /// Everything of this one and of `below`, which was put in before. Lists are joined, those of `below` first.
        #[must_use]
        pub fn onto(self, mut below: Self) -> Self {
            below.forget_alternatives_to(&self);
            let mut places = self.places;
            let counts = [$((stringify!($field), below.$field.count())),*];
            for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                let name = name.replace('_', "-");
                let own = places.remove(&name).unwrap_or_else(|| vec![String::new()]);
                let before = std::iter::repeat_n(format!("{IN_IMAGE}: {name}"), count);
                places.insert(name, before.chain(own).collect());
            }
            Self { $($field: self.$field.onto(below.$field),)* places }
        }

        /// The same without what was asked for under some names.
        #[must_use]
        pub fn without(self, names: &[&str]) -> Self {
            let goes = |field: &str| names.contains(&field.replace('_', "-").as_str());
            let mut places = self.places;
            places.retain(|name, _| !names.contains(&name.as_str()));
            Self {
                $($field: if goes(stringify!($field)) { Default::default() } else { self.$field },)*
                places,
            }
        }

        /// The names and values of all fields, an element of a list each.
        pub(crate) fn values(&self) -> Vec<(String, Vec<String>)> {
            let all = [$((stringify!($field), self.$field.values())),*];
            all.into_iter().map(|(name, values)| (name.replace('_', "-"), values)).collect()
        }

        /// The same by their bytes, for what opens the files that they name.
        pub(crate) fn raw_values(&self) -> Vec<(String, Vec<OsString>)> {
            let all = [$((stringify!($field), self.$field.raw_values())),*];
            all.into_iter().map(|(name, values)| (name.replace('_', "-"), values)).collect()
        }

        /// The names and values of what was asked for, an element of a list each; of secrets the names alone.
        pub fn told(&self) -> Vec<(String, String)> {
            let of_field = |(name, values): (String, Vec<String>)| {
                let hidden = is_secret(&name);
                let told = |value| (name.clone(), if hidden { String::new() } else { value });
                values.into_iter().map(told).collect::<Vec<_>>()
            };
            self.values().into_iter().flat_map(of_field).collect()
        }

        /// The names of all fields.
        fn all() -> Vec<String> {
            [$(stringify!($field)),*].map(|name| name.replace('_', "-")).to_vec()
        }

        /// The names of the switches that are given as off, which they are also where nobody gives them.
        pub fn switched_off(&self) -> Vec<String> {
            let all = [$((stringify!($field), self.$field.is_off())),*];
            let off = all.iter().filter(|(_, is_off)| *is_off);
            let mut names: Vec<String> = off.map(|(name, _)| name.replace('_', "-")).collect();
            names.retain(|name| {
                !ON_BY_THEMSELVES.contains(&name.as_str()) && !tells_only(name)
            });
            names
        }

        /// The names of what was asked for.
        pub fn set_names(&self) -> Vec<String> {
            let all = [$((stringify!($field), self.$field.is_given())),*];
            all.iter().filter(|(_, given)| *given).map(|(name, _)| name.replace('_', "-")).collect()
        }
    };
}

/// Whether lists have the same elements.
pub(crate) fn same(one: &[String], other: &[String]) -> bool {
    let sorted = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
    sorted(one) == sorted(other)
}

/// What holds or names a secret. Values of these are not reported.
const OF_SECRETS: [&str; 9] = [
    "host-key",
    "host-key-seed",
    "root-password-file",
    "root-password-prompt",
    "root-password-hash",
    "nixos-password-file",
    "nixos-password-prompt",
    "nixos-password-hash",
    "wifi-password-file",
];

/// What is reported as keys, files, arguments and machines.
const SHOWN_AS_FACTS: [&str; 12] = [
    "key",
    "overlay",
    "file",
    "script",
    "bin",
    "unit",
    "run",
    "store",
    "karg",
    "karg-delete",
    "karg-replace",
    "machine",
];

/// Whether values of a name are not reported.
fn is_secret(name: &str) -> bool {
    OF_SECRETS.contains(&name)
}

/// Whether what is asked for under a name is reported by another name: as keys, files and arguments, as a password
/// whatever it was given by, or as what a manifest has.
pub fn is_shown_as_fact(name: &str) -> bool {
    let is_named = SHOWN_AS_FACTS.contains(&name) || OF_RECORDS.contains(&name);
    is_named || (is_secret(name) && !SECRETS_BY_NAME.contains(&name))
}

/// Secrets that are reported by their names.
const SECRETS_BY_NAME: [&str; 2] = ["host-key-seed", "wifi-password-file"];

/// What is of networks.
const OF_NETWORKS: [&str; 11] = [
    "address",
    "gateway",
    "bond",
    "mtu",
    "dns",
    "wifi",
    "wifi-password-file",
    "wifi-password-prompt",
    "wifi-open",
    "wifi-wpa3",
    "wifi-country",
];

/// What the entries are chosen for that a recipe names.
const OF_ENTRIES: [&str; 3] = ["karg", "karg-delete", "karg-replace"];

/// What only changes what an image tells of itself. The flags of these names are those of the commands that make images.
pub const OF_RECORDS: [&str; 2] = [DIGESTS, SIGN];

/// The names of what is asked for of a manifest.
pub(crate) const DIGESTS: &str = "manifest-digests";
pub(crate) const SIGN: &str = "sign";

/// What only menus and volumes have.
pub const OF_VOLUMES: [&str; 4] = ["timeout", "label", "name", "merge-initrd"];

/// What only menus have to choose from.
pub const OF_CHOICES: [&str; 1] = ["default-entry"];

/// What recipe files have and the command line has not.
pub(crate) const OF_FILES: [&str; 1] = ["machine"];

/// Switches that are on where a key is given and nothing is said of them. To have them off is an edit.
const ON_BY_THEMSELVES: [&str; 2] = ["ssh-passwords", "greeting"];

/// What only judges what is asked for under other names.
const JUDGING: [&str; 2] = ["reproducible", "expect-fingerprint"];

/// Whether what is asked for under a name changes nothing in a live system.
fn tells_only(name: &str) -> bool {
    OF_RECORDS.contains(&name) || JUDGING.contains(&name)
}

/// The name of the environment variable that stands in a file's place, if one does: `env:NAME`.
pub(crate) fn of_environment(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix("env:")
}

/// The number of the file descriptor that stands in a file's place, if one does: `fd:N`.
pub(crate) fn of_descriptor(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix("fd:")
}

/// What only changes menus and the kernel's arguments. `label` is not among it: a systemd stage 1 has it in its fstab.
pub(crate) const OF_MENUS: [&str; 8] =
    ["karg", "karg-delete", "karg-replace", "entry", "serial", "timeout", "default-entry", "name"];

impl Recipe {
    every_field! {
        key expect_fingerprint ssh_passwords host_key host_key_seed host_key_name
        root_password_file root_password_prompt root_password_hash
        nixos_password_file nixos_password_prompt nixos_password_hash
        hostname timezone keymap locale console_font greeting announce
        address gateway bond mtu dns
        wifi wifi_password_file wifi_password_prompt wifi_open wifi_wpa3 wifi_country
        overlay xattrs file script bin unit enable run store path allow_secrets
        karg karg_delete karg_replace entry serial timeout default_entry label name merge_initrd inject
        reproducible manifest_digests sign machine
    }

    /// Everything of this one, and of `below` what this one says nothing of. Lists are not joined, and what says
    /// something of something else says it of its own recipe alone.
    ///
    /// # Errors
    /// [`Error::Recipe`] for what would say something of what the other recipe asks for.
    pub fn over(self, mut below: Self) -> Result<Self, Error> {
        self.refuse_entries_of_another(&below)?;
        self.refuse_networks_of_another(&below)?;
        below.forget_alternatives_to(&self);
        Ok(self.beside(below))
    }

    /// Entries are chosen for the kernel arguments beside them.
    fn refuse_entries_of_another(&self, below: &Self) -> Result<(), Error> {
        let chosen = if self.entry.is_empty() { &below.entry } else { &self.entry };
        let own = OF_ENTRIES.into_iter().find(|name| self.is_set(name));
        let kept = OF_ENTRIES.into_iter().find(|name| below.is_set(name) && !self.is_set(name));
        let (entries, place) = match (own, kept) {
            (Some(name), _) if !same(&self.entry, chosen) => (below, self.place(name, 0)),
            (_, Some(name)) if !same(&below.entry, chosen) => (self, below.place(name, 0)),
            _ => return Ok(()),
        };
        let what = format!("is for the kernel arguments beside it, and {place} stands elsewhere");
        let hint = format!("give {} and the arguments together, in one place", setting!(entry));
        Err(entries.fault("entry", 0, what, hint))
    }

    /// Passwords, and whether there are some, are those of the networks beside them. They go with these networks; of
    /// what keeps a network safer nothing goes by itself.
    fn refuse_networks_of_another(&self, below: &Self) -> Result<(), Error> {
        if !self.has_other_networks(below) || self.wifi_wpa3.is_some() {
            return Ok(());
        }
        match below.wifi_wpa3 {
            Some(true) => {
                let place = self.place("wifi", 0);
                let what = format!("is for the networks beside it, and {place} gives others");
                let wpa3 = setting!(wifi_wpa3);
                let hint = format!("give {wpa3} with them if they have WPA3, else {wpa3}=false");
                Err(below.fault("wifi-wpa3", 0, what, hint))
            }
            _ => Ok(()),
        }
    }

    /// Whether networks are given in the place of others.
    fn has_other_networks(&self, below: &Self) -> bool {
        !self.wifi.is_empty() && !below.wifi.is_empty()
    }

    /// Whether something of networks was asked for.
    pub fn sets_networks(&self) -> bool {
        self.edits().iter().any(|name| OF_NETWORKS.contains(&name.as_str()))
    }

    /// Whether something goes into stage 1, which must be understood then.
    pub fn touches_stage_one(&self) -> bool {
        let of_menus = |name: &String| OF_MENUS.contains(&name.as_str());
        let are_of_menus = self.edits().iter().all(of_menus) && !self.has_ports_alike();
        self.inject != Some(Inject::Credential) && !are_of_menus
    }

    /// Whether two serial ports are of one kind, as `ttyS0` and `ttyS1`. The kernel talks at one of them only.
    pub(crate) fn has_ports_alike(&self) -> bool {
        let ports = self.serial.iter().filter_map(|text| text.split(',').next());
        let kinds: BTreeSet<&str> = ports.map(edits::kind_of_port).collect();
        kinds.len() < self.serial.len()
    }

    /// The names of what was asked for that puts something in. A switch that is off does not, and what only tells of the
    /// image does not either.
    pub fn edits(&self) -> Vec<String> {
        let off = self.switched_off();
        let mut names = self.set_names();
        names.retain(|name| !off.contains(name) && !tells_only(name));
        names
    }

    /// The error for switches that are off where nothing of theirs is in the image, and nothing else is asked for.
    pub fn switches_nothing_off(&self) -> Error {
        let off = self.switched_off();
        let mut all = self.values().into_iter();
        let (name, value) = all.find(|(name, _)| off.contains(name)).unwrap_or_default();
        let what = format!("{} would change nothing in the image", value.concat());
        self.fault(&name, 0, what, "leave it out, or give what to put in, too")
    }

    /// Whether something was asked for under a name.
    pub fn is_set(&self, name: &str) -> bool {
        self.set_names().iter().any(|given| given == name)
    }

    /// Whether keys are given that are not fetched: what is expected of those that are fetched goes with them.
    fn gives_other_keys(&self) -> bool {
        let is_fetched = |key: &String| !matches!(RemoteKeys::parse(key, false), Ok(None));
        !self.key.is_empty() && !self.key.iter().any(is_fetched)
    }

    /// Of ways to give one secret, one is enough: what stands above wins. Not to ask for it is not a way to give it.
    fn forget_alternatives_to(&mut self, above: &Self) {
        let is_on = |switch: Option<bool>| switch == Some(true);
        if above.root_password_file.is_some()
            || is_on(above.root_password_prompt)
            || above.root_password_hash.is_some()
        {
            (self.root_password_file, self.root_password_prompt, self.root_password_hash) =
                (None, None, None);
        }
        if above.nixos_password_file.is_some()
            || is_on(above.nixos_password_prompt)
            || above.nixos_password_hash.is_some()
        {
            (self.nixos_password_file, self.nixos_password_prompt, self.nixos_password_hash) =
                (None, None, None);
        }
        if above.gives_other_keys() {
            self.expect_fingerprint = Vec::new();
        }
        if !above.wifi_password_file.is_empty()
            || is_on(above.wifi_password_prompt)
            || is_on(above.wifi_open)
            || above.has_other_networks(self)
        {
            (self.wifi_password_file, self.wifi_password_prompt, self.wifi_open) =
                (Vec::new(), None, None);
        }
    }

    /// The names of everything that a recipe file can have, in their order.
    pub fn keys() -> Vec<String> {
        Self::names().into_iter().chain(OF_FILES.map(str::to_owned)).collect()
    }

    /// The names of everything that can be asked for on the command line, in their order.
    pub fn names() -> Vec<String> {
        let mut names = Self::all();
        names.retain(|name| !OF_FILES.contains(&name.as_str()));
        names
    }

    /// Says what is wrong with the element `index` of what was asked for under `name`, and where that stands.
    pub fn fault(
        &self,
        name: &str,
        index: usize,
        what: impl std::fmt::Display,
        hint: impl Into<Advice>,
    ) -> Error {
        let place = self.place(name, index);
        let is_in_file =
            self.place_in_file(name, index).is_some_and(|at| !at.starts_with(IN_IMAGE));
        let hint = match hint.into() {
            Advice::Words(words) if is_in_file => self.by_keys(&words).into(),
            hint => hint,
        };
        Error::Recipe { what: format!("{place}: {what}"), hint }
    }

    /// Words with the keys of files for the names that settings have outside of them. Commands between backticks stay, and
    /// flags that were given.
    fn by_keys(&self, words: &str) -> String {
        let mut keys = Self::keys();
        // What recipes call `name` has another name in users files.
        keys.retain(|key| {
            key != "name" && (!self.is_set(key) || self.place_in_file(key, 0).is_some())
        });
        let mut parts = words.split("--");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end =
                part.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(part.len());
            let (word, rest) = part.split_at_checked(end).unwrap_or((part, ""));
            let flag = format!("--{word}");
            let key = keys.iter().find(|key| called(key) == flag);
            let is_alone = text.ends_with('`') && rest.starts_with('`');
            let is_code = text.matches('`').count() % 2 == 1 && !is_alone;
            let shown = match key.filter(|_| !is_code) {
                Some(key) if is_alone => format!("{key}{rest}"),
                Some(key) => match rest.strip_prefix('=') {
                    Some(rest) => as_toml(key, rest),
                    None => format!("`{key}`{rest}"),
                },
                None => flag + rest,
            };
            text.push_str(&shown);
        }
        text
    }

    /// Where the element `index` of what was asked for under `name` stands: `r.toml:3:8: karg` or `--karg`.
    pub fn place(&self, name: &str, index: usize) -> String {
        self.place_in_file(name, index).unwrap_or_else(|| called(name))
    }

    /// The same of what stands in a recipe file; none of what is given by a flag.
    pub(crate) fn place_in_file(&self, name: &str, index: usize) -> Option<String> {
        let places = self.places.get(name)?;
        let place = places.get(index).or_else(|| places.last())?;
        Some(place.clone()).filter(|place| !place.is_empty())
    }

    /// The same with relative paths taken from `folder` on.
    ///
    /// # Errors
    /// `-` for what is not read from standard input, and a folder whose name is not UTF-8 for a setting that is text.
    pub(super) fn below_folder(mut self, folder: &Path) -> Result<Self> {
        self.check_dashes()?;
        let joined = |path: &mut PathBuf| {
            if is_plain(path) {
                *path = folder.join(&*path);
            }
        };
        let single = [
            &mut self.host_key_seed,
            &mut self.root_password_file,
            &mut self.nixos_password_file,
            &mut self.sign,
        ];
        single.into_iter().flatten().for_each(joined);
        let lists = [
            &mut self.wifi_password_file,
            &mut self.overlay,
            &mut self.script,
            &mut self.bin,
            &mut self.unit,
            &mut self.run,
            &mut self.store,
        ];
        lists.into_iter().flatten().for_each(joined);
        self.file = self.texts_below(folder, "file", &self.file, |name| !name.is_empty())?;
        let is_path = |name: &str| !name.is_empty() && !name.starts_with("generate");
        self.host_key = self.texts_below(folder, "host-key", &self.host_key, is_path)?;
        self.key = self.texts_below(folder, "key", &self.key, keys::is_path)?;
        for machine in &mut self.machine {
            machine.with_paths(|own| own.below_folder(folder))?;
        }
        Ok(self)
    }

    /// The texts of a setting; those that are paths are taken from `folder` on.
    fn texts_below(
        &self,
        folder: &Path,
        setting: &str,
        texts: &[String],
        is_path: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>> {
        let below = |(index, text): (usize, &String)| {
            if !is_path(text) || Path::new(text).is_absolute() {
                return Ok(text.clone());
            }
            folder.join(text).into_os_string().into_string().map_err(|path| {
                let what = format!("{}: the name of the folder is not UTF-8", path.display());
                self.fault(setting, index, what, "rename the folder, or give a path from / on")
            })
        };
        texts.iter().enumerate().map(below).collect()
    }

    /// Refuses `-` for files that nobody writes to standard input.
    fn check_dashes(&self) -> Result<()> {
        let single = [("host-key-seed", &self.host_key_seed), ("sign", &self.sign)];
        let single = single.map(|(name, path)| (name, path.as_slice()));
        let lists = [
            ("overlay", self.overlay.as_slice()),
            ("script", &self.script),
            ("bin", &self.bin),
            ("unit", &self.unit),
            ("run", &self.run),
            ("store", &self.store),
        ];
        let is_dash = |path: &PathBuf| path.as_os_str() == "-";
        let paths = single
            .into_iter()
            .chain(lists)
            .find_map(|(name, paths)| paths.iter().position(is_dash).map(|index| (name, index)));
        let texts = [("file", &self.file), ("host-key", &self.host_key)];
        let mut texts = texts.into_iter().filter_map(|(name, texts)| {
            let is_dash = |text: &String| text == "-" || text.starts_with("-:");
            texts.iter().position(is_dash).map(|index| (name, index))
        });
        let Some((name, index)) = paths.or_else(|| texts.next()) else { return Ok(()) };
        let hint = "save it to a file first, and give its path; `./-` is a file of that name";
        Err(self.fault(name, index, "standard input is not read for it", hint))
    }
}

/// A key as a file has it, with the value that stands behind `=` in the words of a flag.
fn as_toml(key: &str, rest: &str) -> String {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    let (value, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    match value {
        "true" | "false" => format!("`{key} = {value}`{rest}"),
        _ => format!("`{key} = \"{value}\"`{rest}"),
    }
}

/// Whether a path is one of a file, and not `-`, nor one that the shell or systemd opened.
fn is_plain(path: &Path) -> bool {
    let is_word = path.as_os_str().is_empty() || path.as_os_str() == "-";
    !is_word && of_environment(path).or(of_descriptor(path)).is_none()
}
