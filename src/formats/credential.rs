//! systemd credentials on a kernel's command line that bring ssh keys: `systemd.set_credential_binary=`
//! (systemd(1), "Kernel Command Line"), `tmpfiles.extra` and `ssh.authorized_keys.root`
//! (systemd.system-credentials(7)), and the lines of tmpfiles.d(5).

use std::fmt::Write as _;

use base64ct::{Base64, Encoding};

const OPTION: &str = "systemd.set_credential_binary=";
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

/// The `authorized_keys` that an argument brings: their paths without the first slash, and their bytes.
pub(crate) fn keys_of(argument: &str) -> Vec<(String, Vec<u8>)> {
    let Some((name, value)) = argument.strip_prefix(OPTION).and_then(|rest| rest.split_once(':'))
    else {
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
}
