//! Places of the live system where files of the user's would be lost or break it (nixpkgs
//! `nixos/modules/system/etc/setup-etc.pl`, `stage-2-init.sh`, `users-groups.nix`).

use crate::boot::hook::ROOT;
use crate::recipe::{Phrase, setting};

/// Why something cannot be put in a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) why: &'static str,
    pub(super) hint: Phrase,
}

const MOUNTED: &str = "something is mounted there at boot, so it would not be seen";
const LINKED: &str = "NixOS puts its own in this place when it starts, so this would be lost";
const UNITS: &str =
    "this is one link into the store on NixOS, and a folder in its place would leave no units";
const CHANGE_LATER: Phrase =
    Phrase("leave it out, and change it by a {} script once the system is up", &[setting!(run)]);
const LEAVE_OUT: Phrase = Phrase("leave it out", &[]);

const SHORTER: Phrase = Phrase("give it a shorter one", &[]);

/// Places below which nothing can be: path, why, hint.
const FOLDERS: [(&str, &str, Phrase); 22] = [
    ("proc", MOUNTED, LEAVE_OUT),
    ("sys", MOUNTED, LEAVE_OUT),
    ("dev", MOUNTED, LEAVE_OUT),
    ("run", MOUNTED, Phrase("make it by a {} or {} script", &[setting!(unit), setting!(run)])),
    ("iso", MOUNTED, LEAVE_OUT),
    (
        "nix/store",
        "store paths are not files to be laid over others",
        Phrase("give a squashfs of them to {}", &[setting!(store)]),
    ),
    ("nix/.ro-store", MOUNTED, LEAVE_OUT),
    ("nix/.rw-store", MOUNTED, LEAVE_OUT),
    ("nix/.remaster-store", MOUNTED, LEAVE_OUT),
    ("etc/static", LINKED, LEAVE_OUT),
    (
        "etc/systemd/system",
        UNITS,
        Phrase(
            "give units to {}, and drop-ins below /etc/systemd/system.control",
            &[setting!(unit)],
        ),
    ),
    (
        "etc/systemd/user",
        UNITS,
        Phrase(
            "put units of users below /root/.config/systemd/user or /home/nixos/.config/systemd/user",
            &[],
        ),
    ),
    ("etc/pam.d", LINKED, CHANGE_LATER),
    ("etc/pam", LINKED, CHANGE_LATER),
    (
        "etc/udev",
        LINKED,
        Phrase("put rules into /run/udev/rules.d by a {} script", &[setting!(run)]),
    ),
    ("etc/dbus-1", LINKED, CHANGE_LATER),
    ("etc/terminfo", LINKED, CHANGE_LATER),
    ("etc/kbd", LINKED, Phrase("see {} and {}", &[setting!(keymap), setting!(console_font)])),
    ("etc/zoneinfo", LINKED, Phrase("see {}", &[setting!(timezone)])),
    ("etc/fonts", LINKED, CHANGE_LATER),
    ("etc/ssl/certs", LINKED, CHANGE_LATER),
    (
        "opt/remaster",
        "this folder is remaster's",
        Phrase("choose another one, or see {} and {}", &[setting!(script), setting!(bin)]),
    ),
];

/// Files that NixOS's activation replaces on every installer: path, hint.
const FILES: [(&str, Phrase); 34] = [
    (
        "etc/ssh/sshd_config",
        Phrase("see {} and {}", &[setting!(ssh_passwords), setting!(host_key)]),
    ),
    ("etc/ssh/ssh_config", Phrase("put it into /root/.ssh/config", &[])),
    ("etc/ssh/moduli", LEAVE_OUT),
    ("etc/ssh/ssh_known_hosts", Phrase("put them into /root/.ssh/known_hosts", &[])),
    ("etc/hostname", Phrase("give the name to {}", &[setting!(hostname)])),
    ("etc/locale.conf", Phrase("give the locale to {}", &[setting!(locale)])),
    ("etc/vconsole.conf", Phrase("give the keymap to {}", &[setting!(keymap)])),
    ("etc/issue", Phrase("put a file into /etc/issue.d", &[])),
    ("etc/profile", Phrase("put it into /etc/profile.local, which the profile reads", &[])),
    ("etc/bashrc", Phrase("put it into /etc/bashrc.local, which it reads", &[])),
    ("etc/set-environment", CHANGE_LATER),
    ("etc/hosts", CHANGE_LATER),
    ("etc/host.conf", CHANGE_LATER),
    ("etc/nsswitch.conf", CHANGE_LATER),
    ("etc/os-release", CHANGE_LATER),
    ("etc/lsb-release", CHANGE_LATER),
    ("etc/fstab", Phrase("mount by a {} of the kind .mount", &[setting!(unit)])),
    ("etc/inputrc", CHANGE_LATER),
    ("etc/shells", CHANGE_LATER),
    ("etc/services", CHANGE_LATER),
    ("etc/protocols", CHANGE_LATER),
    ("etc/rpc", CHANGE_LATER),
    ("etc/netgroup", CHANGE_LATER),
    ("etc/login.defs", CHANGE_LATER),
    ("etc/sudoers", CHANGE_LATER),
    ("etc/nix/nix.conf", Phrase("put it into /root/.config/nix/nix.conf", &[])),
    ("etc/nix/registry.json", Phrase("put it into /root/.config/nix/registry.json", &[])),
    (
        "etc/NetworkManager/NetworkManager.conf",
        Phrase("put a file into /etc/NetworkManager/conf.d", &[]),
    ),
    ("etc/systemd/system.conf", Phrase("put a file into /etc/systemd/system.conf.d", &[])),
    ("etc/systemd/journald.conf", Phrase("put a file into /etc/systemd/journald.conf.d", &[])),
    ("etc/systemd/logind.conf", Phrase("put a file into /etc/systemd/logind.conf.d", &[])),
    ("etc/systemd/sleep.conf", Phrase("put a file into /etc/systemd/sleep.conf.d", &[])),
    ("bin/sh", LEAVE_OUT),
    ("usr/bin/env", LEAVE_OUT),
];

/// Folders that are one link into the store on NixOS, which makes none where a folder is: path, what to do instead.
const LINKED_FOLDERS: [(&str, Phrase); 3] = [
    (
        "etc/tmpfiles.d",
        Phrase(
            "put rules into /run/tmpfiles.d by a {} script, and call systemd-tmpfiles",
            &[setting!(run)],
        ),
    ),
    (
        "etc/systemd/nspawn",
        Phrase(
            "put containers' settings into /run/systemd/nspawn by a {} script",
            &[setting!(run)],
        ),
    ),
    ("etc/X11/xkb", CHANGE_LATER),
];

/// Folders that the live system has whatever is laid over it: they keep their own modes and owners,
/// because sshd refuses keys below folders that a group may write to.
const NIXOS_FOLDERS: [&str; 15] = [
    "bin",
    "etc",
    "etc/ssh",
    "etc/ssh/authorized_keys.d",
    "home",
    "home/nixos",
    "home/nixos/.ssh",
    "nix",
    "root",
    "root/.ssh",
    "tmp",
    "usr",
    "usr/bin",
    "var",
    "var/tmp",
];

/// Bytes of a name, and of a path, that Linux takes (`NAME_MAX`, and `PATH_MAX` without its end, of `limits.h`). What a
/// link leads to is a path, too.
const LONGEST: (usize, usize) = (255, 4095);

/// Why what a link leads to cannot be made; `to` is that.
pub(super) fn refusal_of_target(to: &str) -> Option<Refusal> {
    let (_, whole) = LONGEST;
    if to.len() > whole {
        return Some(Refusal {
            why: "the path that a link leads to has 4095 bytes at most",
            hint: SHORTER,
        });
    }
    let hint = Phrase("let it lead elsewhere", &[]);
    to.contains('\0').then_some(Refusal { why: "what the link leads to has a NUL in it", hint })
}

/// Why something cannot be in a place; `path` has no leading slash. All lies below a folder of our own at first, whose
/// name and slash count.
pub(super) fn refusal(path: &str, is_folder: bool) -> Option<Refusal> {
    let (name, whole) = LONGEST;
    if ROOT.len().saturating_add(path.len()) >= whole {
        let why = "a path has 4081 bytes at most, as the initrd has it below remaster/root first";
        return Some(Refusal { why, hint: SHORTER });
    }
    if path.split('/').any(|part| part.len() > name) {
        return Some(Refusal { why: "a name has 255 bytes at most", hint: SHORTER });
    }
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let found = FOLDERS.iter().find(|(at, ..)| below(at) || !is_folder && path == *at);
    if let Some((_, why, hint)) = found {
        return Some(Refusal { why, hint: *hint });
    }
    let found = FILES.iter().find(|(file, _)| path == *file);
    found.map(|(_, hint)| Refusal { why: LINKED, hint: *hint })
}

/// A note on a folder; `path` has no leading slash.
pub(super) fn note(path: &str) -> Option<String> {
    let (_, hint) = LINKED_FOLDERS.iter().find(|(at, _)| path == *at)?;
    Some(format!(
        "/{path} is one link into the store on NixOS: a folder takes its place, and hides all that NixOS has there; {hint}"
    ))
}

/// Whether a folder is one that must not be made: archives of whole systems have empty ones.
pub(super) fn is_passed_over(path: &str) -> bool {
    FOLDERS.iter().any(|(at, ..)| path == *at)
}

/// Whether a folder is the live system's own.
pub(super) fn is_nixos_folder(path: &str) -> bool {
    NIXOS_FOLDERS.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_that_linux_does_not_take_are_refused() {
        let names = |count: usize| vec!["a".repeat(254); count].join("/");
        for (path, is_refused) in [
            ("a".repeat(255), false),
            ("a".repeat(256), true),
            (format!("srv/{}", "a".repeat(256)), true),
            // 15 names, their slashes and `remaster/root/` have 3839 bytes.
            (format!("{}/b/{}", names(15), "a".repeat(254)), false),
            (format!("{}/bb/{}", names(15), "a".repeat(254)), true),
        ] {
            assert_eq!(refusal(&path, false).is_some(), is_refused, "{}", path.len());
        }
        for (to, is_refused) in [
            ("a".repeat(4095), false),
            ("a".repeat(4096), true),
            ("a".repeat(60_000), true),
            ("a\0b".to_owned(), true),
        ] {
            let refused = refusal_of_target(&to).is_some();
            assert_eq!(refused, is_refused, "{}", to.len());
        }
    }
}
