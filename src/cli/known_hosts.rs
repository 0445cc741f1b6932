//! What a client needs to know a machine by its host keys: a file, and the ssh command that uses it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use remaster::error::{Advice, Error, Result};
use remaster::live::{Customization, HostKeys};
use remaster::output::file::{FileAccess, Output, OverwritePolicy, StagedFile};
use remaster::recipe::Recipe;
use remaster::run_files::RunFiles;
use remaster::stamp::injected_facts::InjectedFacts;
use serde_json::{Value, json};

use super::destination::of_flag;
use super::{earlier, events, printer};
use crate::cli::shell::shell_quote;

/// The public halves of the host keys of one image, and the file for them.
#[derive(Clone)]
pub(super) struct KnownHosts {
    /// Those of all machines that the image is for.
    all: Vec<HostKeys>,
    /// None if there is no place for one.
    file: Option<Output>,
    /// Whether somebody can log in over ssh to what these keys are of.
    lets_in: bool,
}

impl KnownHosts {
    /// Those of the customization, for the file that is wanted, which is among the files of the run, or one beside the
    /// image. Nothing is written yet.
    ///
    /// # Errors
    /// A file is wanted, and there is nothing to write to it.
    pub(super) fn new(
        customization: &Customization,
        wanted: Option<&Path>,
        beside: Option<&Path>,
        files: &mut RunFiles,
        place: impl FnOnce(&Path) -> Result<Output>,
    ) -> Result<Option<Self>> {
        let all: Vec<HostKeys> = customization.all_host_keys().cloned().collect();
        if all.is_empty() {
            return if wanted.is_some() { Err(none_put_in()) } else { Ok(None) };
        }
        let own = beside.filter(|_| wanted.is_none()).map(HostKeys::file_beside);
        if let Some(path) = &own {
            files.write(&format!("the host keys' file {}", shell_quote(path)), path)?;
        }
        let file = wanted.map(Path::to_owned).or(own);
        let file = file.map(|path| place(&path)).transpose();
        let file = file.map_err(|fault| of_wanted(wanted, fault))?;
        Ok(Some(Self { all, file, lets_in: true }))
    }

    /// Refuses a run that would tell nobody of host keys that it makes.
    pub(super) fn check_told(&self, recipe: &Recipe) -> Result<()> {
        if self.file.is_some() { Ok(()) } else { check_told(recipe) }
    }

    /// The same for an image into which this is put, which may let nobody in.
    #[must_use]
    pub(super) fn of_given(self, given: &InjectedFacts) -> Self {
        Self { lets_in: given.lets_in(), ..self }
    }

    /// Refuses a place for the file that is taken, before a base is fetched.
    pub(super) fn check_free(
        customization: &Customization,
        wanted: Option<&Path>,
        beside: Option<&Path>,
        place: impl FnOnce(&Path) -> Result<Output>,
    ) -> Result<()> {
        if customization.all_host_keys().next().is_none() {
            return if wanted.is_some() { Err(none_put_in()) } else { Ok(()) };
        }
        let own = || beside.map(HostKeys::file_beside);
        let path = wanted.map(Path::to_owned).or_else(own);
        let free = path.map_or(Ok(()), |path| place(&path).map(drop));
        free.map_err(|fault| of_wanted(wanted, fault))
    }

    /// The file, for everyone to read, without its name yet.
    pub(super) fn stage(&self) -> Result<Option<StagedFile>> {
        self.file.as_ref().map(|file| stage(file, &self.text())).transpose()
    }

    /// What a dry run tells of the file.
    pub(super) fn dry_run(&self) -> String {
        self.path().map(|path| format!("would write {}\n", shell_quote(path))).unwrap_or_default()
    }

    /// Where the file is written.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(Output::path)
    }

    /// The text of the file.
    fn text(&self) -> String {
        self.all.iter().map(HostKeys::known_hosts).collect()
    }

    /// What the ready command calls the machine.
    fn alias(&self) -> &str {
        match self.all.as_slice() {
            [one] => &one.alias,
            _ => "NAME",
        }
    }

    /// Fingerprints, and the ready command where somebody can log in; without a file, the lines for one.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        for keys in &self.all {
            let whose =
                if self.all.len() > 1 { format!(" of {}", keys.alias) } else { String::new() };
            for key in &keys.keys {
                let _ = writeln!(text, "host key{whose}: {key}");
            }
        }
        let path = self.file.as_ref().map_or(Path::new("known_hosts"), Output::path);
        let _ = match &self.file {
            Some(_) => writeln!(text, "wrote {}", shell_quote(path)),
            None => write!(text, "put into a file known_hosts:\n{}", self.text()),
        };
        if !self.lets_in {
            return text;
        }
        let (alias, shown) = (self.alias(), shell_quote(path));
        let _ = writeln!(text, "once booted: remaster ssh {alias} --known-hosts {shown}");
        let _ = writeln!(text, "or: {}", command(path, alias, "ADDRESS"));
        text
    }

    /// How the booted machine is found and logged in to, from any folder.
    pub(super) fn next(&self) -> Option<String> {
        let path = self.file.as_ref().filter(|_| self.lets_in)?.path();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (alias, path) = (self.alias(), shell_quote(&path));
        Some(format!("`remaster ssh {alias} --known-hosts {path}` finds it and logs in"))
    }

    /// The same for programs.
    pub(super) fn emit(&self) {
        for mut key in self.all.iter().flat_map(facts) {
            if let Some(key) = key.as_object_mut() {
                key.insert("file".into(), json!(self.path()));
            }
            printer::event(events::HOST_KEY, key);
        }
    }
}

/// Refuses host keys that are made and would be told nowhere, as nothing is printed.
pub(super) fn check_told(recipe: &Recipe) -> Result<()> {
    let is_made = |key: &String| key.starts_with("generate");
    if !printer::is_quiet() || !recipe.host_key.iter().any(is_made) {
        return Ok(());
    }
    Err(Error::Usage {
        what: "a host key is generated, and its public half would be told nowhere: -q keeps it from being printed, and no file takes it".into(),
        hint: "give --known-hosts FILE, or leave out -q".into(),
    })
}

/// Names the flag of a file that it was given to.
fn of_wanted(wanted: Option<&Path>, fault: Error) -> Error {
    if wanted.is_some() { of_flag("--known-hosts")(fault) } else { fault }
}

/// The place of a `known_hosts` file of what is changed where it is. A file that was not `named` is about that alone, and
/// is replaced with it if it holds nothing but host keys; one that was may be about others.
pub(super) fn place(path: &Path, named: bool) -> Result<Output> {
    let is_own = !named && earlier::text(path, earlier::is_known_hosts).is_some();
    let existing = if is_own { OverwritePolicy::Replace } else { OverwritePolicy::Refuse };
    Output::of_bytes(path, existing).map_err(|mut fault| {
        if let Error::Usage { hint: hint @ Advice::OtherPathOrReplace, .. } = &mut fault {
            *hint = "move the file away, or give another path to --known-hosts".into();
        }
        fault
    })
}

/// The text of a `known_hosts` file, for everyone to read, in a file that has no name yet.
pub(super) fn stage(file: &Output, text: &str) -> Result<StagedFile> {
    file.stage_bytes(text.as_bytes(), FileAccess::Everyone)
}

/// The host keys of one image, for programs.
pub(super) fn facts(keys: &HostKeys) -> Vec<Value> {
    let facts = keys.keys.iter().map(|key| {
        json!({ "alias": keys.alias, "algorithm": key.algorithm(),
            "fingerprint": key.fingerprint, "public": key.public })
    });
    facts.collect()
}

/// The error of every command that gets a place to write the public halves of host keys, and puts in none.
pub(super) fn none_put_in() -> Error {
    Error::Usage {
        what: "--known-hosts without a host key: none is put in".into(),
        hint: "add --host-key generate, or leave --known-hosts out".into(),
    }
}

/// How to log in at an address, knowing the machine by its alias and nothing else.
pub(super) fn command(known_hosts: &Path, alias: &str, address: &str) -> String {
    let option = shell_quote(Path::new(&known_hosts_option(known_hosts)));
    let to = shell_quote(Path::new(&format!("root@{address}")));
    format!("ssh -o {option} -o HostKeyAlias={alias} {to}")
}

/// The same as lines of an `ssh_config` file.
pub(super) fn config(known_hosts: &Path, alias: &str, address: &str, port: u16) -> String {
    let file = std::path::absolute(known_hosts).unwrap_or_else(|_| known_hosts.to_owned());
    let file = config_value(&file);
    let Some(file) = file.to_str() else {
        let file = shell_quote(known_hosts);
        return format!("# {alias}: ssh cannot be given {file} here, as its name is not UTF-8\n");
    };
    // It has tokens, too: the zone of an address would be one.
    let address = address.replace('%', "%%");
    format!(
        "Host {alias}\n  HostName {address}\n  Port {port}\n  User root\n  HostKeyAlias {alias}\n  UserKnownHostsFile {file}\n"
    )
}

/// A path as a value of ssh, which splits it at blanks and knows tokens in it (`UserKnownHostsFile` of `ssh_config(5)`).
fn config_value(path: &Path) -> OsString {
    let mut value = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        value.extend(if *byte == b'%' { &b"%%"[..] } else { std::slice::from_ref(byte) });
    }
    let value = OsString::from_vec(value);
    if !value.as_bytes().contains(&b' ') {
        return value;
    }
    [OsStr::new("\""), &value, OsStr::new("\"")].into_iter().collect()
}

/// The option that names the file, byte for byte.
pub(super) fn known_hosts_option(path: &Path) -> OsString {
    [OsStr::new("UserKnownHostsFile="), &config_value(path)].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_survives_shell_and_ssh() {
        assert_eq!(
            command(Path::new("a.known_hosts"), "n", "::1"),
            "ssh -o UserKnownHostsFile=a.known_hosts -o HostKeyAlias=n root@::1"
        );
        assert_eq!(
            command(Path::new("a b%.x"), "n", "h"),
            "ssh -o 'UserKnownHostsFile=\"a b%%.x\"' -o HostKeyAlias=n root@h"
        );
        let odd = Path::new(OsStr::from_bytes(b"d\xff/a b%"));
        let told = r#"ssh -o $'UserKnownHostsFile="d\377/a b%%"' -o HostKeyAlias=n root@h"#;
        assert_eq!(command(odd, "n", "h"), told);
        assert!(config(odd, "n", "h", 22).starts_with("# n: ssh cannot be given $'d\\377/"));
        assert!(command(Path::new("a"), "n", "fe80::1%eth0").ends_with(" root@fe80::1%eth0"));
        assert!(command(Path::new("a"), "n", "fe80::1%$(x)").ends_with(" 'root@fe80::1%$(x)'"));
        assert!(config(Path::new("a"), "n", "fe80::1%eth0", 22).contains("fe80::1%%eth0\n"));
    }
}
