//! What a client needs to know a machine by its host keys: a file, and the ssh command that uses it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use remaster::customize::{HostKeys, Wishes};
use remaster::error::{Error, Result};
use serde_json::json;

use super::meter::{EVENTS, emit};
use super::stamp::typed;

/// The public halves of the host keys of one image, and the file for them.
pub(super) struct KnownHosts {
    keys: HostKeys,
    /// None if there is no place for one.
    file: Option<PathBuf>,
    replace: bool,
}

impl KnownHosts {
    /// Those of the wishes, for the file that is wanted, or one beside the image. Nothing is written yet.
    pub(super) fn of(
        wishes: &Wishes,
        wanted: Option<&Path>,
        beside: Option<&Path>,
        replace: bool,
    ) -> Result<Option<Self>> {
        let Some(keys) = wishes.host_keys.clone() else {
            return match wanted {
                Some(_) => Err(Error::Usage {
                    what: "--known-hosts without a host key".into(),
                    hint: "add --host-key generate",
                }),
                None => Ok(None),
            };
        };
        let beside = beside.map(|image| {
            let mut name = image.as_os_str().to_owned();
            name.push(".known_hosts");
            PathBuf::from(name)
        });
        let file = wanted.map(Path::to_owned).or(beside);
        if let Some(path) = file.as_ref().filter(|path| !replace && path.exists()) {
            return Err(exists(path));
        }
        Ok(Some(Self { keys, file, replace }))
    }

    /// Writes the file, for everyone to read.
    pub(super) fn write(&self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let doing = || format!("write {}", path.display());
        if self.replace && path.is_file() {
            fs::remove_file(path).map_err(Error::io(doing()))?;
        }
        let made = File::create_new(path).and_then(|mut file| {
            file.write_all(self.keys.known_hosts().as_bytes())?;
            file.set_permissions(fs::Permissions::from_mode(0o644))
        });
        made.map_err(|fault| match fault.kind() {
            ErrorKind::AlreadyExists => exists(path),
            _ => Error::io(doing())(fault),
        })
    }

    /// Fingerprints and the ready command; without a file, the lines for one.
    pub(super) fn told(&self) -> String {
        let mut text = String::new();
        for key in &self.keys.keys {
            let _ = writeln!(text, "host key: {key}");
        }
        let path = self.file.as_deref().unwrap_or(Path::new("known_hosts"));
        let _ = match &self.file {
            Some(_) => writeln!(text, "wrote {}", typed(path)),
            None => write!(text, "put into a file known_hosts:\n{}", self.keys.known_hosts()),
        };
        let command = command(path, &self.keys.alias, "ADDRESS");
        let _ = writeln!(text, "then, whatever its address is: {command}");
        text
    }

    /// The same for programs.
    pub(super) fn emit(&self) {
        for key in &self.keys.keys {
            emit(&json!({
                "v": EVENTS, "event": "host_key", "alias": self.keys.alias,
                "algorithm": key.algorithm(), "fingerprint": key.fingerprint, "public": key.public,
            }));
        }
    }
}

fn exists(path: &Path) -> Error {
    Error::Usage {
        what: format!("{} is there already", path.display()),
        hint: "give another path to --known-hosts, or --force to replace the file",
    }
}

/// How to log in at an address, knowing the machine by its alias and nothing else.
pub(super) fn command(known_hosts: &Path, alias: &str, address: &str) -> String {
    // ssh splits the value at blanks and knows tokens in it (ssh_config(5), UserKnownHostsFile).
    let shown = known_hosts.display().to_string().replace('%', "%%");
    let value = if shown.contains(' ') { format!("\"{shown}\"") } else { shown };
    let option = typed(Path::new(&format!("UserKnownHostsFile={value}")));
    format!("ssh -o {option} -o HostKeyAlias={alias} root@{address}")
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
    }
}
