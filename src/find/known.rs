//! The keys that are looked for: a `known_hosts` file, as stamping leaves it.

use std::path::{Path, PathBuf};

use ssh_key::{HashAlg, PublicKey};

use crate::bounded;
use crate::error::{Error, Result};

/// Bytes of a `known_hosts` file.
const LARGEST: u64 = 1 << 20;

/// A machine that is looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// Its name in the file: what `HostKeyAlias` has to be.
    pub alias: String,
    /// Its other names there.
    pub others: Vec<String>,
    /// As `ssh-ed25519`.
    pub algorithm: String,
    /// The key in base64.
    pub key: String,
    /// As `SHA256:…`.
    pub fingerprint: String,
    /// The file.
    pub file: PathBuf,
}

/// Reads a `known_hosts` file (`sshd(8)`, "`SSH_KNOWN_HOSTS` FILE FORMAT").
///
/// # Errors
/// [`Error::Usage`] if it holds no key, or one that is hashed, marked or not understood.
pub fn read(path: &Path) -> Result<Vec<Known>> {
    let text = bounded::read_text(path, LARGEST, &format!("read {}", path.display()))?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let found: Result<Vec<Known>> = keys
        .map(|(number, line)| {
            let known = parse(line).map(|known| Known { file: path.to_owned(), ..known });
            known.map_err(|what| refused(format!("{}:{number}: {what}", path.display())))
        })
        .collect();
    match found {
        Ok(keys) if keys.is_empty() => Err(refused(format!("{} holds no key", path.display()))),
        found => found,
    }
}

fn refused(what: String) -> Error {
    Error::Usage { what, hint: "give the known_hosts file that was written with the image".into() }
}

fn parse(line: &str) -> Result<Known, &'static str> {
    if line.starts_with('@') {
        return Err("a marked line; only plain host keys can be looked for");
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(names), Some(algorithm), Some(key)) = (words.next(), words.next(), words.next())
    else {
        return Err("not a line of name, kind and key");
    };
    let (alias, others) = names.split_once(',').unwrap_or((names, ""));
    if !is_name(alias) {
        return Err("a hashed name or a pattern, which no ssh command can be given");
    }
    let others = others.split(',').filter(|name| is_name(name)).map(str::to_owned).collect();
    let read = PublicKey::from_openssh(&format!("{algorithm} {key}"));
    let fingerprint = read.map_err(|_| "no public key")?.fingerprint(HashAlg::Sha256).to_string();
    let (alias, algorithm, key) = (alias.into(), algorithm.into(), key.into());
    Ok(Known { alias, others, algorithm, key, fingerprint, file: PathBuf::new() })
}

/// Whether an ssh command can be given a name.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

impl Known {
    /// All names of the machine, the first of the line first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.alias].into_iter().chain(&self.others).map(String::as_str)
    }

    /// The same by one of its names.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self { alias: name.to_owned(), others: Vec::new(), ..self }
    }

    /// The kind as `ssh-keyscan -t` calls it.
    pub(super) fn scan_type(&self) -> &str {
        match self.algorithm.as_str() {
            "ssh-ed25519" => "ed25519",
            "ssh-rsa" => "rsa",
            "ssh-dss" => "dsa",
            other if other.starts_with("ecdsa-") => "ecdsa",
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILDcVoZvDpnM8g9hkw4HWKXb/SANTrhFLqRj9GjXpXp";

    #[test]
    fn reads_what_stamping_writes_and_refuses_the_rest() {
        let found = parse(&format!("nixos-1,b {KEY} comment"));
        let Ok(found) = found else { panic!("{found:?}") };
        assert_eq!((found.alias.as_str(), found.scan_type()), ("nixos-1", "ed25519"));
        assert_eq!(found.names().collect::<Vec<_>>(), ["nixos-1", "b"]);
        for (bad, why) in [
            ("", "not a line"),
            ("a", "not a line"),
            ("a ssh-ed25519", "not a line"),
            ("|1|x= k v", "hashed"),
            ("@revoked a b c", "marked"),
            ("@cert-authority * ssh-ed25519 AAAA", "marked"),
            ("-oX ssh-ed25519 AAAA", "pattern"),
            ("* ssh-ed25519 AAAA", "pattern"),
            ("!a ssh-ed25519 AAAA", "pattern"),
            ("nixos-? ssh-ed25519 AAAA", "pattern"),
            (",a ssh-ed25519 AAAA", "pattern"),
            ("a ssh-ed25519 AA", "no public key"),
            ("a 1024 35 1234567", "no public key"),
        ] {
            let told = parse(bad).unwrap_err();
            assert!(told.contains(why), "{bad}: {told}");
        }
        // Names that no ssh command can be given do not hide the others.
        for (names, all) in [
            ("box,*.lan,|1|x=", vec!["box"]),
            ("[192.0.2.1]:2222", Vec::new()),
            ("192.0.2.1,[box]:22,fe80::1", vec!["192.0.2.1", "fe80::1"]),
        ] {
            let found = parse(&format!("{names} {KEY}"));
            let found = found.as_ref().map(|found| found.names().collect::<Vec<_>>());
            assert_eq!(found.unwrap_or_default(), all, "{names}");
        }
    }
}
