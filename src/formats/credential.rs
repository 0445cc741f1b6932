//! systemd credentials on a kernel's command line: `systemd.set_credential=` and `systemd.set_credential_binary=`
//! (systemd(1), "Kernel Command Line"). Those that bring ssh keys are `tmpfiles.extra` and `ssh.authorized_keys.root`
//! (systemd.system-credentials(7)), the former in lines of tmpfiles.d(5).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64ct::{Base64, Encoding};

/// The option whose value is in base64.
const OPTION: &str = "systemd.set_credential_binary=";
/// The keys of both options. systemd takes `-` and `_` in them as the same (`proc_cmdline_key_streq`).
const TEXT: &str = "systemd.set_credential";
const BINARY: &str = "systemd.set_credential_binary";
const TMPFILES: &str = "tmpfiles.extra";
const SSHD: &str = "ssh.authorized_keys.root";
const FILE: &str = ".ssh/authorized_keys";

/// A home that keys go to, with the numbers of its user and group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Home {
    /// As `/root`.
    pub path: &'static str,
    /// User and group.
    pub owner: (u32, u32),
}

/// The argument that has systemd-tmpfiles make the `authorized_keys` of homes, of systemd 254 and later.
pub(crate) fn by_tmpfiles(homes: &[Home], keys: &str) -> String {
    let keys = Base64::encode_string(keys.as_bytes());
    let mut lines = String::new();
    for Home { path, owner: (uid, gid) } in homes {
        // `:` leaves what is there as it is, `~` takes contents in base64, `-` may fail.
        for folder in [(*path).to_owned(), format!("{path}/.ssh")] {
            let _ = writeln!(lines, "d- {folder} :0700 :{uid} :{gid}");
        }
        let _ = writeln!(lines, "f~ {path}/{FILE} :0600 :{uid} :{gid} - {keys}");
    }
    format!("{OPTION}{TMPFILES}:{}", Base64::encode_string(lines.as_bytes()))
}

/// The argument that NixOS's sshd takes root's keys from, from 25.05 on.
pub(crate) fn by_sshd(keys: &str) -> String {
    format!("{OPTION}{SSHD}:{}", Base64::encode_string(keys.as_bytes()))
}

/// An argument that sets a credential.
struct Setting<'a> {
    is_binary: bool,
    name: &'a str,
    value: &'a str,
}

impl<'a> Setting<'a> {
    fn parse(argument: &'a str) -> Option<Self> {
        let (key, rest) = argument.split_once('=')?;
        let is_binary = match key.replace('-', "_").as_str() {
            TEXT => false,
            BINARY => true,
            _ => return None,
        };
        // The kernel takes quotes around values.
        let (name, value) = rest.trim_start_matches('"').split_once(':')?;
        Some(Self { is_binary, name, value })
    }
}

/// The name of the credential that an argument sets. Of several arguments with one name systemd takes the first
/// (`proc_cmdline_callback` in `src/core/import-creds.c`).
pub(crate) fn name_of(argument: &str) -> Option<&str> {
    Setting::parse(argument).map(|setting| setting.name)
}

/// An argument for the user to read, if it sets a credential: its value may be a secret, but for keys.
pub(crate) fn redacted(argument: &str) -> Option<String> {
    let value = Setting::parse(argument).filter(|_| keys_of(argument).is_empty())?.value;
    argument.strip_suffix(value).map(|front| format!("{front}…"))
}

/// The `authorized_keys` that the arguments of a command line bring, the first credential of each name alone.
pub(crate) fn keys_on<'a>(arguments: impl Iterator<Item = &'a str>) -> Vec<(String, Vec<u8>)> {
    let mut names = BTreeSet::new();
    let first = arguments.filter(|text| name_of(text).is_some_and(|name| names.insert(name)));
    first.flat_map(keys_of).collect()
}

/// The `authorized_keys` that an argument brings: their paths without the first slash, and their bytes.
pub(crate) fn keys_of(argument: &str) -> Vec<(String, Vec<u8>)> {
    let Some(Setting { is_binary: true, name, value }) = Setting::parse(argument) else {
        return Vec::new();
    };
    let Ok(bytes) = Base64::decode_vec(value) else { return Vec::new() };
    match name {
        SSHD => vec![(format!("root/{FILE}"), bytes)],
        TMPFILES => String::from_utf8_lossy(&bytes).lines().filter_map(key_file).collect(),
        _ => Vec::new(),
    }
}

fn key_file(line: &str) -> Option<(String, Vec<u8>)> {
    let mut words = line.split_whitespace();
    let path = words.next().filter(|kind| *kind == "f~").and_then(|_| words.next())?;
    let path = path.strip_prefix('/').filter(|path| path.ends_with(FILE))?;
    Some((path.to_owned(), Base64::decode_vec(words.last()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_be_read_back_from_an_argument() {
        let homes = [
            Home { path: "/root", owner: (0, 0) },
            Home { path: "/home/nixos", owner: (1000, 100) },
        ];
        let keys = "ssh-ed25519 AAAA a b\nssh-rsa BBBB\n";
        let found = keys_of(&by_tmpfiles(&homes, keys));
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["root/.ssh/authorized_keys", "home/nixos/.ssh/authorized_keys"]);
        assert!(found.iter().all(|(_, bytes)| bytes == keys.as_bytes()));
        assert_eq!(keys_of(&by_sshd(keys))[0].1, keys.as_bytes());
        for other in [
            "quiet",
            "systemd.set_credential_binary=x",
            "systemd.set_credential_binary=tmpfiles.extra:%",
        ] {
            assert_eq!(keys_of(other), []);
        }
    }

    #[test]
    fn of_two_credentials_with_one_name_the_first_counts() {
        let home = [Home { path: "/root", owner: (0, 0) }];
        let (a, b) = (by_tmpfiles(&home, "a\n"), by_tmpfiles(&home, "b\n"));
        let found = |words: &[&str]| keys_on(words.iter().copied());
        assert_eq!(found(&["quiet", &a, &b]), keys_of(&a));
        assert_eq!(found(&["systemd.set_credential=tmpfiles.extra:x", &b]), []);
        assert_eq!(found(&[&a, &by_sshd("b\n")]).len(), 2);
    }

    #[test]
    fn the_value_of_a_credential_is_shown_if_it_is_keys() {
        let rows = [
            ("systemd.set_credential=a:x:y", Some("systemd.set_credential=a:…")),
            ("systemd.set_credential_binary=a:eA==", Some("systemd.set_credential_binary=a:…")),
            ("quiet", None),
            (&by_sshd("a\n"), None),
        ];
        for (argument, shown) in rows {
            assert_eq!(redacted(argument).as_deref(), shown, "{argument}");
        }
    }

    #[test]
    fn the_name_is_that_which_systemd_reads() {
        let rows = [
            ("systemd.set_credential=a.b:x:y", Some("a.b")),
            ("systemd.set_credential_binary=a:eA==", Some("a")),
            ("systemd.set-credential-binary=a:eA==", Some("a")),
            ("systemd.set_credential=\"a:x y\"", Some("a")),
            ("systemd.set_credential=a", None),
            ("systemd.set_credentials=a:x", None),
            ("rd.systemd.set_credential=a:x", None),
            ("quiet", None),
        ];
        for (argument, name) in rows {
            assert_eq!(name_of(argument), name, "{argument}");
        }
    }
}
