//! A secret that other secrets are derived from, so that they are the same each time.

use std::fmt;
use std::path::Path;

use hkdf::Hkdf;
use sha2::Sha256;

use crate::error::Result;
use crate::recipe::Recipe;

use super::input::read_capped;

/// Bytes that a seed has at least.
const SHORTEST: usize = 32;

/// Different bytes among them at least; random ones have about 30.
const DIFFERENT: usize = 12;

/// The salt of HKDF: says whose derivation this is, and which version of it.
const SALT: &[u8] = b"remaster host key seed 1";

/// The bytes of a seed's file.
#[derive(Clone)]
pub(super) struct Seed(Vec<u8>);

impl fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seed(…)")
    }
}

impl Seed {
    /// Reads the seed that a recipe names, if it does.
    pub(super) fn gather(recipe: &Recipe) -> Result<Option<Self>> {
        recipe.host_key_seed.as_deref().map(|path| Self::read(recipe, path)).transpose()
    }

    fn read(recipe: &Recipe, path: &Path) -> Result<Self> {
        let bytes = read_capped("host-key-seed", path)?;
        let mut different = bytes.clone();
        different.sort_unstable();
        different.dedup();
        let found = match (bytes.len(), different.len()) {
            (length, _) if length < SHORTEST => format!("has {length} bytes, {SHORTEST} needed"),
            (_, few) if few < DIFFERENT => format!("has {few} different bytes, which is no secret"),
            _ => return Ok(Self(bytes)),
        };
        let hint = "make one: head -c 32 /dev/urandom > FILE";
        Err(recipe.fault("host-key-seed", 0, format!("{} {found}", path.display()), hint))
    }

    /// Bytes for one purpose: HKDF-SHA256 (RFC 5869) of all bytes of the file, with the salt
    /// `remaster host key seed 1` and the purpose as info.
    pub(super) fn derive<const N: usize>(&self, purpose: &str) -> [u8; N] {
        let mut derived = [0; N];
        // It refuses more than 255 hashes' worth only, which `N` never is here.
        let done =
            Hkdf::<Sha256>::new(Some(SALT), &self.0).expand(purpose.as_bytes(), &mut derived);
        debug_assert!(done.is_ok(), "{N} bytes are too many");
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(bytes: &[u8]) -> Result<Seed> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        std::fs::write(&path, bytes).unwrap();
        let recipe = Recipe { host_key_seed: Some(path), ..Recipe::default() };
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
    fn refuses_what_can_be_guessed() {
        assert!(seed(&[7; 31]).unwrap_err().to_string().contains("31 bytes, 32 needed"));
        assert!(seed(&[7; 64]).unwrap_err().to_string().contains("1 different bytes"));
    }
}
