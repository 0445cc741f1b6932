//! The host keys that a recipe names, there before the first boot, so that a client knows the machine.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use ssh_key::private::Ed25519Keypair;

use super::host_key_pair::{HostKey, Kind, failed, finished, generate, random, read, taken_over};
use super::input::Secret;
use super::seed::Seed;
use crate::error::{Error, Result};
use crate::formats::newc::{self, Member};
use crate::hex;
use crate::recipe::Recipe;
use crate::recipe::edits::Edits;

/// The host keys of one machine, and the name by which clients know it.
#[derive(Clone, Debug)]
pub struct HostKeys {
    /// One per kind at most.
    pub keys: Vec<HostKey>,
    /// What `HostKeyAlias` (`ssh_config(5)`) names, so that no address needs to be known beforehand: the
    /// host name, or `nixos-` and eight digits of the first key's hash.
    pub alias: String,
}

/// A host key that a recipe names.
#[derive(Clone, Debug)]
enum RequestedHostKey {
    Given(HostKey),
    /// Another one each time.
    Random(Kind),
}

impl RequestedHostKey {
    fn kind(&self) -> Kind {
        match self {
            Self::Given(key) => key.kind,
            Self::Random(kind) => *kind,
        }
    }
}

/// The host keys that a recipe asks for, before the random ones are made.
#[derive(Clone, Debug)]
pub(super) struct RequestedHostKeys {
    keys: Vec<RequestedHostKey>,
    hostname: Option<String>,
}

impl RequestedHostKeys {
    /// Whether one of them is to be random.
    pub(super) fn has_random_key(&self) -> bool {
        self.keys.iter().any(|key| matches!(key, RequestedHostKey::Random(_)))
    }

    /// Reads or derives the host keys that a recipe names; none if it names none.
    pub(super) fn gather(recipe: &Recipe, seed: Option<&Seed>) -> Result<Option<Self>> {
        if seed.is_some() && !wants_salt(recipe) && !recipe.generates_host_key() {
            let hint = if recipe.names_host_key() {
                "leave it out: the host keys are given as files".to_owned()
            } else {
                format!("add {}", generate())
            };
            return Err(recipe.fault("host-key-seed", 0, "nothing is derived from it", hint));
        }
        if recipe.host_key.is_empty() {
            return Ok(None);
        }
        let mut keys: Vec<RequestedHostKey> = Vec::new();
        for (index, given) in recipe.host_key.iter().enumerate() {
            let key = host_key(recipe, index, given, seed)?;
            if keys.iter().any(|other| other.kind() == key.kind()) {
                let what = format!("a second {} key; sshd has one of a kind", key.kind().name());
                let hint = "give one ed25519 and one rsa key at most";
                return Err(recipe.fault("host-key", index, what, hint));
            }
            keys.push(key);
        }
        Ok(Some(Self { keys, hostname: recipe.hostname.clone() }))
    }

    /// What a recipe names, behind the keys of other kinds that an image has already.
    pub(super) fn over(named: Option<Self>, recipe: &Recipe, before: &[HostKey]) -> Option<Self> {
        let now = named.map(|named| named.keys).unwrap_or_default();
        let is_asked = |key: &&HostKey| now.iter().any(|other| other.kind() == key.kind);
        let before =
            before.iter().filter(|key| !is_asked(key)).cloned().map(RequestedHostKey::Given);
        let keys: Vec<RequestedHostKey> = before.chain(now.iter().cloned()).collect();
        (!keys.is_empty()).then(|| Self { keys, hostname: recipe.hostname.clone() })
    }

    /// Makes the random keys, or takes them from the files of an image that was made before.
    pub(super) fn complete(&self, before: &[Member]) -> Result<HostKeys> {
        let complete = |wanted: &RequestedHostKey| match wanted {
            RequestedHostKey::Given(key) => Ok(key.clone()),
            RequestedHostKey::Random(kind) => match taken_over(*kind, before) {
                Some(key) => Ok(key),
                None => random(*kind).map_err(|fault| failed(&fault)),
            },
        };
        Ok(self.with_alias(self.keys.iter().map(complete).collect::<Result<_>>()?))
    }

    /// The same with words for the random keys.
    pub(super) fn in_words(&self) -> HostKeys {
        let word = |wanted: &RequestedHostKey| match wanted {
            RequestedHostKey::Given(key) => key.clone(),
            RequestedHostKey::Random(kind) => HostKey {
                kind: *kind,
                private: Secret::new(""),
                // This is hashed into the recipe's id: other words change all ids.
                public: format!("{} by chance", kind.name()),
                fingerprint: String::new(),
                is_random: true,
            },
        };
        self.with_alias(self.keys.iter().map(word).collect())
    }

    fn with_alias(&self, keys: Vec<HostKey>) -> HostKeys {
        let alias = alias(self.hostname.as_deref(), &keys);
        HostKeys { keys, alias }
    }
}

/// The host keys among the files of an image, the one first that its names are made of.
pub(super) fn carried(members: &[Member]) -> Result<Vec<HostKey>> {
    let mut keys = Vec::new();
    for member in members.iter().filter(|member| member.path.ends_with("_key")) {
        let kind = [Kind::Ed25519, Kind::Rsa].into_iter().find(|kind| kind.path() == member.path);
        let key = kind.and_then(|kind| taken_over(kind, members));
        let key = key.ok_or_else(|| {
            Error::unsupported(
                format!("/{}", member.path),
                "a host key of its kind",
                "something else",
            )
        })?;
        let is_named_by = members.iter().any(|member| match &member.kind {
            newc::Kind::File(text) => {
                let name = alias(None, std::slice::from_ref(&key));
                member.path.ends_with("_key.pub") && text.ends_with(format!(" {name}\n").as_bytes())
            }
            _ => false,
        });
        keys.push((!is_named_by, HostKey { is_random: false, ..key }));
    }
    keys.sort_by_key(|(is_later, _)| *is_later);
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

impl HostKeys {
    /// Puts them where NixOS keeps its own, which it then does not make (`sshd.nix`: only a missing or
    /// empty file is generated).
    pub(super) fn apply(&self, edits: &mut Edits) {
        for key in &self.keys {
            let path = key.kind.path();
            edits.root.file(&path, 0o600, key.private.reveal());
            let public = format!("{} {}\n", key.public, self.alias);
            edits.root.file(&format!("{path}.pub"), 0o644, public);
        }
    }

    /// The ending of a `known_hosts` file that is written beside its image.
    pub const ENDING: &str = ".known_hosts";

    /// The `known_hosts` file of an image that has no other place for it.
    pub fn file_beside(image: &Path) -> PathBuf {
        let mut name = image.as_os_str().to_owned();
        name.push(Self::ENDING);
        name.into()
    }

    /// What an image that goes to a disk is called: a name that no other keys have.
    pub fn own_name(&self) -> PathBuf {
        alias(None, &self.keys).into()
    }

    /// The text of a `known_hosts` file (`sshd(8)`, `SSH_KNOWN_HOSTS FILE FORMAT`).
    /// Whether a text is such a file of this machine, with whatever keys, or of one with a name made of its keys.
    pub(crate) fn is_known_hosts(&self, text: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(text) else { return false };
        let lines: Option<Vec<_>> = text.lines().map(|line| line.split_once(' ')).collect();
        let Some(lines) = lines.filter(|lines| !lines.is_empty()) else { return false };
        let made = lines.first().map(|(_, first)| alias_of(first)).unwrap_or_default();
        lines.iter().all(|(name, key)| {
            let is_named = *name == self.alias || *name == made;
            is_named && ssh_key::PublicKey::from_openssh(key).is_ok()
        })
    }

    /// The lines of `known_hosts` by which clients know the machine.
    pub fn known_hosts(&self) -> String {
        let mut text = String::new();
        for key in &self.keys {
            let _ = writeln!(text, "{} {}", self.alias, key.public);
        }
        text
    }
}

/// Whether a password is hashed, whose salt is derived.
fn wants_salt(recipe: &Recipe) -> bool {
    let given = recipe.set_names();
    given.iter().any(|name| name.ends_with("-password-file") || name.ends_with("-password-prompt"))
}

fn host_key(
    recipe: &Recipe,
    index: usize,
    given: &str,
    seed: Option<&Seed>,
) -> Result<RequestedHostKey> {
    match given {
        "generate" | "generate:ed25519" => match seed {
            Some(seed) => {
                let pair = Ed25519Keypair::from_seed(&seed.derive(&Kind::Ed25519.path()));
                finished(Kind::Ed25519, pair.into(), false)
                    .map(RequestedHostKey::Given)
                    .map_err(|fault| failed(&fault))
            }
            None => Ok(RequestedHostKey::Random(Kind::Ed25519)),
        },
        "generate:rsa" if seed.is_some() => Err(recipe.fault(
            "host-key",
            index,
            "rsa keys cannot be derived from a seed",
            "generate an ed25519 key, or give a file with an rsa key",
        )),
        "generate:rsa" => Ok(RequestedHostKey::Random(Kind::Rsa)),
        other if other.starts_with("generate:") => Err(recipe.fault(
            "host-key",
            index,
            format!("{other:?} is not a kind of key that can be generated"),
            "generate, generate:ed25519 or generate:rsa",
        )),
        path => read(recipe, index, Path::new(path)).map(RequestedHostKey::Given),
    }
}

fn alias(hostname: Option<&str>, keys: &[HostKey]) -> String {
    let plain = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
    };
    if let Some(name) = hostname.filter(plain) {
        return name.to_owned();
    }
    let first = keys.first().map(|key| key.public.as_str()).unwrap_or_default();
    alias_of(first)
}

/// The name that is made of a first key.
fn alias_of(first: &str) -> String {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(first));
    format!("nixos-{}", hex::digits(&[a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::private::{EcdsaKeypair, RsaKeypair};
    use ssh_key::rand_core::OsRng;
    use ssh_key::{HashAlg, LineEnding, PrivateKey};
    use std::fs;

    /// What `ssh-keygen -N` makes, without its armour.
    const ENCRYPTED: &str = "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCjnz1WM0\n\
        1988K6YpUVBYV9AAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAILKuakUSCxBRWlO6\n\
        A39+sZdIDCv36nzuw6zuxJXh1OlrAAAAkFUCdpiwNuTTKScljqYzCNBCOw2VVIPxF64yds\n\
        7yYOzFzgHWsPeuqj6DwXO9WSJ3csfWOowtnOuNcxpqYaeXnwtNxZWucO0fV5HAeq1iq68N\n\
        ZULktpMjbAysAg+Bfq81nYJbxNj1dae9yhnHYPkktK0UzhGex8epWmKVdcsVgwUan7vi8B\n\
        PDeGAxv5Kj4iC54w==";

    /// Of 1024 bits, made by ssh-keygen.
    const SHORT_RSA: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAlwAAAAdzc2gtcn\n\
        NhAAAAAwEAAQAAAIEAnqo6ivnLGzsIGrlCI2gvfYV+CdZjBONLiyLc+rG0ZPpXfE3ySoC1\n\
        qMuC55GTv/MbJKLEhXVFbgKZBHJxGkEeb6JCCQl5BpoXF2PIY99MlMC9KDgoorMwzx57QK\n\
        q1jMggysIhZ+PVu6UnqqbIMIN1mvAErKgsMwC48kmdyrYOA7MAAAH4cxeiL3MXoi8AAAAH\n\
        c3NoLXJzYQAAAIEAnqo6ivnLGzsIGrlCI2gvfYV+CdZjBONLiyLc+rG0ZPpXfE3ySoC1qM\n\
        uC55GTv/MbJKLEhXVFbgKZBHJxGkEeb6JCCQl5BpoXF2PIY99MlMC9KDgoorMwzx57QKq1\n\
        jMggysIhZ+PVu6UnqqbIMIN1mvAErKgsMwC48kmdyrYOA7MAAAADAQABAAAAgDS4O1uSRH\n\
        p30umORPue0qjSgl6ibaRiIefJXcOu6FHlHMyg2bEHs1SyynxHUuCk1pAFxWbS4I79Lfrc\n\
        S9h9aq8HO/lNzGasGYqtMCqVRhP69pOZzxRzo/QrMzBz/kRp32p7S8UolXEfNyS2Jl6210\n\
        PAULILpKjeHSIjefHsV64BAAAAQAfy9X12u/Vo8hdNYaHlr9GqYJ+9ExuwxzihH25P/3+i\n\
        PNNPe2e42EJbhio9Vh8pO00tpTyuQ2P6iy3f/j1g4+sAAABBAMoZ2hHI6x0KELHTqctmpe\n\
        h4Rs4u5sBjm0Q8SqXiakIcYKvyw5G1iQXDXqMeU1IuB5PKzIXtXsjLXTGX0bPkVXEAAABB\n\
        AMj62IQhGeI+mqX6d21ssJKMj/aj+35FTgIJN2Rkn4MmmMv/nL7oyHsuFC5rW9CHByOOfc\n\
        1VuUm6CnWNtxnACWMAAAAAAQID";

    fn gathered(given: &[&str], seed: Option<&[u8]>) -> Result<HostKeys> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        let host_key_seed = seed.map(|seed| {
            fs::write(&path, seed).unwrap();
            path
        });
        let host_key = given.iter().map(ToString::to_string).collect();
        let recipe = Recipe { host_key, host_key_seed, ..Recipe::default() };
        let seed = Seed::gather(&recipe)?;
        RequestedHostKeys::gather(&recipe, seed.as_ref())?.unwrap().complete(&[])
    }

    fn file(folder: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn refused(bytes: impl AsRef<[u8]>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "key", bytes);
        let fault = gathered(&[path.to_str().unwrap()], None).unwrap_err();
        assert!(matches!(fault, Error::Recipe { .. }), "{fault}");
        fault.to_string()
    }

    fn pem(key: impl Into<PrivateKey>) -> String {
        key.into().to_openssh(LineEnding::LF).unwrap().to_string()
    }

    #[test]
    fn a_file_keeps_its_key_and_its_kind_decides_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]));
        let path = file(&folder, "key", pem(key.clone()));
        let found = gathered(&[path.to_str().unwrap()], None).unwrap();
        let mut edits = Edits::default();
        found.apply(&mut edits);
        let placed = edits.root.get("etc/ssh/ssh_host_ed25519_key").unwrap();
        assert_eq!(placed.mode, 0o600);
        assert!(edits.root.get("etc/ssh/ssh_host_ed25519_key.pub").unwrap().mode == 0o644);
        assert!(edits.is_private());
        assert_eq!(found.keys[0].fingerprint, key.fingerprint(HashAlg::Sha256).to_string());
        let known: ssh_key::known_hosts::Entry = found.known_hosts().trim().parse().unwrap();
        assert_eq!(known.public_key().key_data(), key.public_key().key_data());
        assert!(found.alias.starts_with("nixos-") && found.alias.len() == 14);
        assert!(!format!("{found:?}").contains("PRIVATE"));
    }

    #[test]
    fn an_rsa_key_is_checked_and_taken() {
        // A pair of this size takes a second or so to make.
        let pair = RsaKeypair::random(&mut OsRng, 2048).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "key", pem(PrivateKey::from(pair.clone())));
        let found = gathered(&[path.to_str().unwrap()], None).unwrap();
        let mut edits = Edits::default();
        found.apply(&mut edits);
        assert!(edits.root.get("etc/ssh/ssh_host_rsa_key").is_some());
        let key = edits.root.get("etc/ssh/ssh_host_rsa_key").unwrap().clone();
        let again = taken_over(Kind::Rsa, std::slice::from_ref(&key)).unwrap();
        assert!(newc::Kind::File(again.private.reveal().into()) == key.kind);
        assert!(taken_over(Kind::Ed25519, &[key]).is_none());
        let (begin, end) = ("BEGIN OPENSSH PRIVATE KEY", "END OPENSSH PRIVATE KEY");
        let short = format!("-----{begin}-----\n{SHORT_RSA}\n-----{end}-----\n");
        assert!(refused(short).contains("an rsa key of less than 2048 bits"));
        let mut broken = pair;
        broken.private.p = broken.private.q.clone();
        assert!(refused(pem(PrivateKey::from(broken))).contains("halves that do not belong"));
    }

    #[test]
    fn a_seed_gives_the_same_key_and_without_one_keys_are_random() {
        let seed: Vec<u8> = (1..=40).collect();
        let one = gathered(&["generate"], Some(&seed)).unwrap();
        let again = gathered(&["generate:ed25519"], Some(&seed)).unwrap();
        assert_eq!(one.known_hosts(), again.known_hosts());
        assert_eq!(one.keys[0].private, again.keys[0].private);
        let random = || gathered(&["generate"], None).unwrap().known_hosts();
        assert_ne!(random(), random());
    }

    #[test]
    fn what_cannot_be_a_host_key_is_refused() {
        let pair = Ed25519Keypair::from_seed(&[1; 32]);
        let key = PrivateKey::from(pair);
        assert!(refused(key.public_key().to_openssh().unwrap()).contains("is a public key"));
        let label = ["OPENSSH PRIVATE ", "KEY-----"].concat();
        let encrypted = format!("-----BEGIN {label}\n{ENCRYPTED}\n-----END {label}\n");
        assert!(refused(encrypted).contains("is encrypted"));
        let pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
        assert!(refused(pkcs1).contains("not in OpenSSH's form"));
        assert!(refused("hello").contains("is not a private key"));
        let ecdsa = EcdsaKeypair::random(&mut OsRng, ssh_key::EcdsaCurve::NistP256).unwrap();
        assert!(
            refused(
                pem(PrivateKey::try_from(ssh_key::private::KeypairData::Ecdsa(ecdsa)).unwrap())
            )
            .contains("ecdsa-sha2-nistp256")
        );
        let fault = gathered(&["generate:dsa"], None).unwrap_err().to_string();
        assert!(fault.contains("\"generate:dsa\" is not a kind of key"), "{fault}");
        let fault = gathered(&["generate", "generate:ed25519"], None).unwrap_err().to_string();
        assert!(fault.contains("a second ed25519 key"), "{fault}");
        let seed: Vec<u8> = (1..=40).collect();
        let fault = gathered(&["generate:rsa"], Some(&seed)).unwrap_err().to_string();
        assert!(fault.contains("rsa keys cannot be derived"), "{fault}");
    }
}
