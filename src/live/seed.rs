//! A secret that other secrets are derived from, so that they are the same each time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hkdf::Hkdf;
use sha2::Sha256;

use crate::environment;
use crate::error::Result;
use crate::recipe::{Recipe, of_descriptor, of_environment, setting};

use super::input::read_capped;

/// Bytes that a seed has at least.
const SHORTEST: usize = 32;

/// Different bytes among them at least; random ones have about 30.
const DIFFERENT: usize = 12;

/// The salt of HKDF: says whose derivation this is, and which version of it.
const SALT: &[u8] = b"remaster host key seed 1";

/// The bytes of a seed's file or variable, and for which user or machine secrets are derived from it.
#[derive(Clone)]
pub(super) struct Seed {
    bytes: Vec<u8>,
    name: Option<String>,
}

impl fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seed(…)")
    }
}

/// What descriptors gave: a pipe gives it once, and a batch asks for each user.
static READ: Mutex<BTreeMap<u32, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// The bytes that an open file descriptor gives.
fn of_open(recipe: &Recipe, number: &str) -> Result<Vec<u8>> {
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = number.parse::<u32>().ok().filter(|number| digits && *number > 2) else {
        let what = format!("fd:{number} is not a descriptor for a seed");
        return Err(recipe.fault(
            "host-key-seed",
            0,
            what,
            "give one from 3 on, as `fd:3` with `3< FILE`",
        ));
    };
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = read.get(&number) {
        return Ok(bytes.clone());
    }
    let path = format!("/proc/self/fd/{number}");
    let bytes = read_capped("host-key-seed", Path::new(&path))?;
    read.insert(number, bytes.clone());
    Ok(bytes)
}

impl Seed {
    /// Reads the seed that a recipe names, if it does.
    pub(super) fn gather(recipe: &Recipe) -> Result<Option<Self>> {
        let name = recipe.host_key_name.as_deref();
        match (recipe.host_key_seed.as_deref(), name) {
            (Some(path), name) if name != Some("") => Self::read(recipe, path).map(Some),
            (Some(_), _) => Err(recipe.fault("host-key-name", 0, "is empty", "give a name")),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(recipe.fault(
                "host-key-name",
                0,
                format!("has no effect without {}", setting!(host_key_seed)),
                format!("give a {}, too", setting!(host_key_seed)),
            )),
        }
    }

    fn read(recipe: &Recipe, path: &Path) -> Result<Self> {
        let bytes = match of_environment(path) {
            Some(name) => environment::bytes(name).map(OsString::into_vec).ok_or_else(|| {
                let what = format!("there is no environment variable {name}");
                recipe.fault("host-key-seed", 0, what, "set it, or give a file")
            })?,
            None => match of_descriptor(path) {
                Some(number) => of_open(recipe, number)?,
                None => read_capped("host-key-seed", path)?,
            },
        };
        let mut different = bytes.clone();
        different.sort_unstable();
        different.dedup();
        let found = match (bytes.len(), different.len()) {
            (length, _) if length < SHORTEST => format!("has {length} bytes, {SHORTEST} needed"),
            (_, few) if few < DIFFERENT => {
                format!("has {few} different bytes, which is not a secret")
            }
            _ => return Ok(Self { bytes, name: recipe.host_key_name.clone() }),
        };
        let hint = "make one: head -c 32 /dev/urandom > FILE";
        Err(recipe.fault("host-key-seed", 0, format!("{} {found}", path.display()), hint))
    }

    /// The same for one machine of several that have one image, by what it is known.
    pub(super) fn for_machine(&self, mark: &str) -> Self {
        let name = format!("{}\0{mark}", self.name.as_deref().unwrap_or_default());
        Self { bytes: self.bytes.clone(), name: Some(name) }
    }

    /// Bytes for one purpose: HKDF-SHA256 (RFC 5869) of all bytes of the file, with the salt
    /// `remaster host key seed 1`, and as info the purpose and, if there is a name, a zero byte and the name.
    /// No purpose has a zero byte, so no two pairs of purpose and name are alike.
    pub(super) fn derive<const N: usize>(&self, purpose: &str) -> [u8; N] {
        const { assert!(N <= 255 * 32, "HKDF-SHA256 gives up to 255 hashes (RFC 5869, 2.3)") };
        let mut derived = [0; N];
        let name = self.name.as_deref();
        let info = [purpose, name.map_or("", |_| "\0"), name.unwrap_or_default()].concat();
        // It refuses what is longer than that, and nothing else.
        let _ = Hkdf::<Sha256>::new(Some(SALT), &self.bytes).expand(info.as_bytes(), &mut derived);
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(bytes: &[u8]) -> Result<Seed> {
        named(bytes, None)
    }

    fn named(bytes: &[u8], name: Option<&str>) -> Result<Seed> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        std::fs::write(&path, bytes).unwrap();
        let host_key_name = name.map(str::to_owned);
        let recipe = Recipe { host_key_seed: Some(path), host_key_name, ..Recipe::default() };
        Seed::gather(&recipe).map(Option::unwrap)
    }

    #[test]
    fn derives_the_same_for_the_same_purpose_only() {
        let bytes: Vec<u8> = (0..32).collect();
        let one = seed(&bytes).unwrap();
        assert_eq!(one.derive::<32>("a"), seed(&bytes).unwrap().derive::<32>("a"));
        assert_ne!(one.derive::<32>("a"), one.derive::<32>("b"));
        assert_ne!(one.derive::<32>("a"), seed(&[&bytes[..], &[32]].concat()).unwrap().derive("a"));
        assert!(!format!("{one:?}").contains('1'));
    }

    #[test]
    fn derives_other_bytes_for_each_name_and_the_old_ones_for_none() {
        let bytes: Vec<u8> = (0..32).collect();
        let of = |name| named(&bytes, name).unwrap().derive::<32>("a");
        assert_eq!(of(Some("x")), of(Some("x")));
        assert_ne!(of(Some("x")), of(Some("y")));
        assert_ne!(of(Some("x")), of(None));
        // As `openssl kdf` says: all versions made the first of this seed.
        assert!(of(None).starts_with(&[0x57, 0x98, 0xfa, 0x3c, 0xbd, 0x75, 0xca, 0x6c]));
        assert!(of(Some("x")).starts_with(&[0xc4, 0xb9, 0x41, 0xd6, 0xd5, 0x55, 0x7b, 0xac]));
    }

    #[test]
    fn a_descriptor_gives_its_bytes_again_and_anything_else_is_refused() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let bytes: Vec<u8> = (0..32).collect();
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
        drop(writer);
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let of = |text: String| {
            let recipe = Recipe { host_key_seed: Some(text.into()), ..Recipe::default() };
            Seed::gather(&recipe).map(Option::unwrap)
        };
        for _ in 0..2 {
            let found = of(format!("fd:{number}")).unwrap();
            assert_eq!(found.derive::<32>("a"), seed(&bytes).unwrap().derive::<32>("a"));
        }
        for odd in ["fd:", "fd:0", "fd:x", "fd:-1", "fd:+3"] {
            let fault = of(odd.into()).unwrap_err().to_string();
            assert_eq!(fault, format!("--host-key-seed: {odd} is not a descriptor for a seed"));
        }
        assert!(of("fd:999999".into()).unwrap_err().to_string().contains("/proc/self/fd/999999"));
    }

    #[test]
    fn a_name_wants_a_seed_and_letters() {
        let recipe = Recipe { host_key_name: Some("x".into()), ..Recipe::default() };
        let fault = Seed::gather(&recipe).unwrap_err().to_string();
        assert_eq!(fault, "--host-key-name: has no effect without --host-key-seed");
        let bytes: Vec<u8> = (0..32).collect();
        assert!(named(&bytes, Some("")).unwrap_err().to_string().contains("is empty"));
    }

    #[test]
    fn refuses_what_can_be_guessed() {
        assert!(seed(&[7; 31]).unwrap_err().to_string().contains("31 bytes, 32 needed"));
        assert!(seed(&[7; 64]).unwrap_err().to_string().contains("1 different bytes"));
    }
}
