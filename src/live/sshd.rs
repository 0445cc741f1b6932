//! sshd without passwords, although NixOS's `sshd_config` is a link into the store.

use crate::recipe::Recipe;
use crate::recipe::edits::{self, Edits};

/// Our settings, and behind them NixOS's own: the first value wins (`sshd_config(5)`), and what
/// `Include` does not find is left out, so that keys let in and passwords do not in any case.
const CONFIG: &str = "\
# Put there by remaster: keys let in, passwords do not. The first value of a setting wins.
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Include /etc/static/ssh/sshd_config
";

/// Where it stands, beside the link that activation makes.
pub(super) const CONFIG_PATH: &str = "etc/ssh/remaster_sshd_config";

/// Turns the link to our file whenever sshd is about to start: activation, which makes the link again,
/// ran before that, at boot and later. If it fails, sshd does not start (`systemd.service(5)`,
/// `ExecStartPre=`).
const DROP_IN: &str = "\
[Service]
ExecStartPre=/bin/sh -c 'PATH=/run/current-system/sw/bin:$$PATH; exec ln -sfn remaster_sshd_config /etc/ssh/sshd_config'
";

/// Whatever starts an sshd that reads that file: the service, and the templates of sockets, which start one per
/// connection. Those behind the second are made by `systemd-ssh-generator(8)` and start without the service.
const UNITS: [&str; 5] = [
    "sshd.service",
    "sshd@.service",
    "sshd-vsock@.service",
    "sshd-unix-local@.service",
    "sshd-unix-export@.service",
];

/// The paths of the drop-ins.
pub(super) fn drop_ins() -> Vec<String> {
    UNITS.iter().map(|unit| format!("{}/{unit}.d/remaster.conf", edits::UNITS)).collect()
}

/// Whether passwords let in over ssh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sshd {
    key_only: bool,
}

impl Sshd {
    /// By key only, if a key is given and nothing else was said.
    pub(super) fn gather(recipe: &Recipe) -> Self {
        let passwords = recipe.ssh_passwords.unwrap_or(!recipe.names_key());
        Self { key_only: !passwords }
    }

    /// Puts our settings in front of NixOS's.
    pub(super) fn apply(self, edits: &mut Edits) {
        if !self.key_only {
            return;
        }
        edits.root.file(CONFIG_PATH, 0o644, CONFIG);
        for unit in UNITS {
            edits.root.unit(&format!("{unit}.d/remaster.conf"), DROP_IN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(recipe: &Recipe) -> Edits {
        let mut edits = Edits::default();
        Sshd::gather(recipe).apply(&mut edits);
        edits
    }

    #[test]
    fn a_key_shuts_passwords_out_unless_they_are_kept() {
        let key = Recipe { key: vec!["k".into()], ..Recipe::default() };
        let kept = Recipe { ssh_passwords: Some(true), ..key.clone() };
        let asked = Recipe { ssh_passwords: Some(false), ..Recipe::default() };
        let config = "etc/ssh/remaster_sshd_config";
        assert!(edits(&key).root.get(config).is_some());
        assert!(edits(&asked).root.get(config).is_some());
        assert_eq!(edits(&kept).root.members().count(), 0);
        assert_eq!(edits(&Recipe::default()).root.members().count(), 0);
    }

    #[test]
    fn every_sshd_of_nixos_and_of_systemd_turns_the_link_before_it_starts() {
        let edits = edits(&Recipe { key: vec!["k".into()], ..Recipe::default() });
        for unit in ["sshd", "sshd@", "sshd-vsock@", "sshd-unix-local@", "sshd-unix-export@"] {
            let path = format!("etc/systemd/system.control/{unit}.service.d/remaster.conf");
            assert!(edits.root.get(&path).is_some(), "{path}");
        }
    }

    #[test]
    fn ours_come_before_the_ones_of_nixos_and_the_link_leads_to_them() {
        let (ours, theirs) = CONFIG.split_once("Include").unwrap();
        assert!(ours.contains("\nPasswordAuthentication no\n") && theirs.contains("/etc/static/"));
        assert!(DROP_IN.contains(CONFIG_PATH.rsplit('/').next().unwrap()));
    }
}
