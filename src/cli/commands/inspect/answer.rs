//! What is asked first of an image: its release, who may log in, what is set, what is secret, whether it is sound.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use remaster::image::ImageFile;
use remaster::inspect::{Check, HostKey, Injected, Key, Report, host_keys, keys};
use remaster::netboot::tree::Tree;
use remaster::recipe::Recipe;
use remaster::stamp::injected_facts::InjectedFacts;
use remaster::units::format_bytes;

use crate::cli::summary::{MAX_SHOWN, settings_shown};

/// The answers about an image, on one screen.
pub(super) struct Answer {
    /// The release, and for what.
    release: String,
    /// What the image is and how it starts, a line each.
    shape: Vec<String>,
    /// What was put in, if something was.
    given: Option<InjectedFacts>,
    /// What is said where nothing was put in.
    nothing: Option<&'static str>,
    /// All kernel arguments, where nothing records which of them were put in.
    arguments: Vec<String>,
    /// Who may log in with which key.
    keys: Vec<String>,
    /// Keys that let nobody in, and why.
    shut_out: Vec<String>,
    host_keys: Vec<String>,
    /// What the manifest has beyond the usual.
    manifest: Vec<String>,
    secrets: Vec<String>,
    checks: Vec<Check>,
}

impl Answer {
    pub(super) fn of_report(report: &Report, given: Option<InjectedFacts>) -> Self {
        let injected = report.injected.as_ref();
        let host_keys = injected.into_iter().flat_map(|found| &found.host_keys);
        Self {
            release: release(&report.release, report.architecture.as_deref()),
            shape: shape(report),
            nothing: given.is_none().then_some("nothing was put in: a stock image"),
            given,
            arguments: Vec::new(),
            keys: injected.map(|found| logins(&found.keys)).unwrap_or_default(),
            shut_out: injected.map(|found| shut_out(&found.keys)).unwrap_or_default(),
            host_keys: host_keys.map(shown).collect(),
            manifest: injected.map(manifest).unwrap_or_default(),
            secrets: injected.map(|found| found.secrets.clone()).unwrap_or_default(),
            checks: report.checks.clone(),
        }
    }

    /// The answers about a netboot folder or a kexec tarball. Nothing in it records which kernel arguments were put in.
    pub(super) fn of_tree(tree: &Tree<&ImageFile>) -> Self {
        let (given, is_alone) = (tree.injected_facts(), tree.is_initrd_alone());
        let is_given = !is_alone || given.facts().next().is_some();
        let lines = tree.arguments_shown().into_iter();
        let found = keys((tree.image(), tree.root()), tree.attached(), &tree.carried(), &given);
        let line = |(script, words): (&str, Vec<String>)| {
            let words = if words.is_empty() { "none".to_owned() } else { words.join(" ") };
            format!("{words} ({script})")
        };
        Self {
            release: release(tree.release(), tree.architecture()),
            shape: vec!["kernel and initrd, for netboot or kexec".to_owned()],
            keys: logins(&found),
            shut_out: shut_out(&found),
            host_keys: host_keys(tree.root()).iter().map(shown).collect(),
            manifest: Vec::new(),
            secrets: tree.secrets(),
            given: is_given.then_some(given),
            nothing: is_alone.then_some("nothing was put into the initrd"),
            arguments: lines.map(line).collect(),
            checks: Vec::new(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.release);
        for line in &self.shape {
            let _ = writeln!(text, "  {line}");
        }
        put_few(&mut text, "ssh login", &self.logins());
        put_few(&mut text, "key that lets nobody in", &self.shut_out);
        if let Some(given) = &self.given {
            text.push_str(&settings_shown(given, &Recipe::default()));
        }
        if let Some(nothing) = self.nothing {
            let _ = writeln!(text, "{nothing}");
        }
        put_few(&mut text, "all kernel arguments", &self.arguments);
        put_few(&mut text, "host key", &self.host_keys);
        put_few(&mut text, "secret", &self.secrets);
        put_few(&mut text, "manifest", &self.manifest);
        self.put_checks(&mut text);
        text
    }

    /// Who may log in over ssh: the users of each key, and those with a password.
    fn logins(&self) -> Vec<String> {
        let users = self.given.as_ref().map(InjectedFacts::users_with_passwords);
        let users = users.filter(|users| !users.is_empty());
        let by_password = users.map(|users| format!("{} with a password", users.join(" and ")));
        self.keys.iter().cloned().chain(by_password).collect()
    }

    fn put_checks(&self, text: &mut String) {
        let (right, wrong): (Vec<&Check>, Vec<&Check>) =
            self.checks.iter().partition(|check| check.ok);
        for check in wrong {
            let _ = writeln!(text, "WRONG {}: {}", check.name, check.detail);
        }
        if !right.is_empty() {
            let _ = writeln!(text, "checks: {} ok", right.len());
        }
    }
}

pub(in crate::cli::commands) fn release(release: &str, architecture: Option<&str>) -> String {
    format!("NixOS {release} for {}", architecture.unwrap_or("an unknown architecture"))
}

/// What people call firmware and media: the short ones are abbreviations.
pub(super) fn name(known: &str) -> String {
    if known.len() <= 4 && known != "disk" { known.to_uppercase() } else { known.to_owned() }
}

fn shape(report: &Report) -> Vec<String> {
    let label = match (&report.volume, &report.root) {
        (Some(volume), _) => format!("ISO {:?}", volume.identifier),
        (None, Some(root)) => format!("raw image, root {:?}", root.label),
        (None, None) => "image".to_owned(),
    };
    let all = |of: fn(&remaster::inspect::BootPath) -> &'static str| -> String {
        let found: BTreeSet<&str> = report.boot_paths.iter().map(of).collect();
        found.into_iter().map(name).collect::<Vec<_>>().join(" and ")
    };
    let boots = format!("boots by {} from {}", all(|path| path.firmware), all(|path| path.medium));
    let mut lines = vec![format!("{label}, {}, {boots}", format_bytes(report.size))];
    let programs = &report.uefi_programs;
    let is_unsigned =
        programs.iter().all(|found| found.signatures.is_empty() && found.fault.is_none());
    if !programs.is_empty() && is_unsigned {
        lines.push("Secure Boot must be off: nothing is signed".to_owned());
    }
    lines
}

pub(in crate::cli::commands) fn shown(key: &HostKey) -> String {
    format!("{} {}", key.algorithm, key.fingerprint)
}

/// Each key once that lets in, with those that it lets in.
pub(in crate::cli::commands) fn logins(keys: &[Key]) -> Vec<String> {
    let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut order = Vec::new();
    for key in keys.iter().filter(|key| key.shut_out.is_none()) {
        let shown = shown_key(key);
        let of_key = users.entry(shown.clone()).or_default();
        if of_key.is_empty() {
            order.push(shown);
        }
        of_key.push(key.user);
    }
    let line = |key: String| Some(format!("{} with {key}", users.get(&key)?.join(" and ")));
    order.into_iter().filter_map(line).collect()
}

/// Each key once that lets nobody in, and why. Who of several is kept out has a line of its own.
pub(in crate::cli::commands) fn shut_out(keys: &[Key]) -> Vec<String> {
    let shown = |key: &Key| Some(format!("{} ({})", shown_key(key), key.shut_out.as_ref()?));
    let let_in = keys.iter().filter(|key| key.shut_out.is_none()).map(shown_key);
    let let_in: BTreeSet<String> = let_in.collect();
    let others = keys.iter().filter(|key| !let_in.contains(&shown_key(key)));
    let mut found: Vec<String> = others.filter_map(shown).collect();
    let mut seen = BTreeSet::new();
    found.retain(|line| seen.insert(line.clone()));
    found
}

/// A key with its comment and its options.
pub(super) fn shown_key(key: &Key) -> String {
    let shown = format!("{} {} {}", key.algorithm, key.fingerprint, key.comment);
    let options = key.options.as_ref().map(|options| format!(" with {options}"));
    format!("{}{}", shown.trim_end(), options.unwrap_or_default())
}

/// What the manifest has beyond the usual, a line each.
pub(super) fn manifest(found: &Injected) -> Vec<String> {
    let signed = found.signed_by.as_ref().map(|print| {
        format!(
            "signed by {print}, not verified here: `remaster verify --allowed-signers FILE` does that"
        )
    });
    let digests = "digests of all blocks: `remaster verify` reads them".to_owned();
    signed.into_iter().chain(found.block_digests.then_some(digests)).collect()
}

/// Lines of one kind. Only the first few are shown.
fn put_few(text: &mut String, what: &str, all: &[String]) {
    for line in all.iter().take(MAX_SHOWN) {
        let _ = writeln!(text, "{what}: {line}");
    }
    if let Some(more) = all.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more");
    }
}
