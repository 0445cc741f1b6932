//! Console passwords: hashed here, so that no image ever holds one.

use std::path::PathBuf;

use ssh_key::rand_core::{OsRng, RngCore};
use yescrypt::{PasswordHasher, PasswordVerifier, Yescrypt};

use super::input::{Input, Secret};
use super::seed::Seed;
use crate::error::{Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::recipe::Recipe;
use crate::recipe::edits::Edits;

/// Users that can have one. Lines of others would be lost: NixOS's activation keeps those of users it
/// knows and adds what is missing (`update-users-groups.pl`).
const USERS: [&str; 2] = ["root", "nixos"];

/// What libxcrypt of all releases takes (`crypt(5)`; NixOS builds it with strong methods only).
const METHODS: [&str; 7] = ["$y$", "$gy$", "$7$", "$6$", "$2b$", "$2y$", "$2a$"];

/// Where hashes stand.
pub(super) const SHADOW: &str = "etc/shadow";

/// What stands behind a hash: no password gets too old.
const AGE: &str = ":1::::::";

/// Bytes of a password that `crypt(5)` takes at most.
const LONGEST: usize = 511;

/// Bytes of a line of `/etc/shadow` that are left to the hash.
const LONGEST_HASH: usize = 384;

/// What `/etc/shadow` has for the users; an empty hash is what stock images have.
#[derive(Clone, Debug)]
pub(super) struct Passwords([Option<Secret>; 2]);

/// What a recipe says of a user's password.
#[derive(Clone, Debug)]
enum RequestedPassword {
    Hash(Secret),
    /// To be hashed with a random salt.
    Plain(Secret),
}

/// The passwords that a recipe asks for, before random salts are made.
#[derive(Clone, Debug)]
pub(super) struct RequestedPasswords([Option<RequestedPassword>; 2]);

/// The ways to give the password of one user.
struct PasswordOptions<'a> {
    user: &'a str,
    file: Option<&'a PathBuf>,
    prompt: bool,
    hash: Option<&'a str>,
}

impl RequestedPasswords {
    /// Reads, asks for, and with a seed hashes the passwords that a recipe wants; none if it wants none.
    pub(super) fn gather(
        recipe: &Recipe,
        input: &mut Input<'_>,
        seed: Option<&Seed>,
    ) -> Result<Option<Self>> {
        let root = PasswordOptions {
            user: "root",
            file: recipe.root_password_file.as_ref(),
            prompt: recipe.root_password_prompt == Some(true),
            hash: recipe.root_password_hash.as_deref(),
        };
        let nixos = PasswordOptions {
            user: "nixos",
            file: recipe.nixos_password_file.as_ref(),
            prompt: recipe.nixos_password_prompt == Some(true),
            hash: recipe.nixos_password_hash.as_deref(),
        };
        let found = [root.word(recipe, input, seed)?, nixos.word(recipe, input, seed)?];
        Ok(found.iter().any(Option::is_some).then_some(Self(found)))
    }

    /// The hashes. The salt of an image that was made before is taken over where its password is this one.
    pub(super) fn complete(&self, before: &[Member]) -> Result<Passwords> {
        let complete = |(user, word): (&str, &Option<RequestedPassword>)| match word {
            None => Ok(None),
            Some(RequestedPassword::Hash(hash)) => Ok(Some(hash.clone())),
            Some(RequestedPassword::Plain(password)) => {
                match taken_over(user, password.reveal(), before) {
                    Some(hash) => Ok(Some(hash)),
                    None => hashed(password.reveal(), &random_salt()).map(Some),
                }
            }
        };
        let [root, nixos] = &self.0;
        Ok(Passwords([complete(("root", root))?, complete(("nixos", nixos))?]))
    }

    /// Whether one of them gets a random salt.
    pub(super) fn has_random_salt(&self) -> bool {
        self.0.iter().any(|word| matches!(word, Some(RequestedPassword::Plain(_))))
    }

    /// The same with a word for each password that gets a random salt.
    pub(super) fn in_words(&self) -> Passwords {
        Passwords(self.0.each_ref().map(|word| match word {
            None => None,
            Some(RequestedPassword::Hash(hash)) => Some(hash.clone()),
            // This is hashed into the recipe's id: other words change all ids.
            Some(RequestedPassword::Plain(_)) => Some(Secret::new("by chance")),
        }))
    }
}

/// The hash that an image has which was made before, if it is one of this password.
fn taken_over(user: &str, password: &str, before: &[Member]) -> Option<Secret> {
    let shadow = before.iter().find(|member| member.path == SHADOW)?;
    let Kind::File(text) = &shadow.kind else { return None };
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':'))?;
    let hash = line.split(':').next()?;
    let verified = Yescrypt::default().verify_password(password.as_bytes(), hash);
    verified.is_ok().then(|| Secret::new(hash))
}

/// The users whose passwords are good for something, with the hashes: by the same judgement as of a recipe's. What locks
/// a password is not a hash.
pub(crate) fn users(root: &[&Member]) -> Vec<(&'static str, String)> {
    let shadow = root.iter().find(|member| member.path == SHADOW);
    let Some(Kind::File(bytes)) = shadow.map(|member| &member.kind) else { return Vec::new() };
    let text = String::from_utf8_lossy(bytes);
    let hash = |user: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':'))?;
        line.split(':').next().filter(|hash| checked_hash(hash).is_ok()).map(str::to_owned)
    };
    USERS.into_iter().filter_map(|user| Some((user, hash(user)?))).collect()
}

/// Whether this is what [`Passwords::apply`] writes.
pub(super) fn is_as_written(text: &str) -> bool {
    let is_line = |(line, user): (&str, &str)| {
        let rest = line.strip_prefix(user).and_then(|rest| rest.strip_prefix(':'));
        let hash = rest.and_then(|rest| rest.strip_suffix(AGE));
        hash.is_some_and(|hash| hash.is_empty() || checked_hash(hash).is_ok())
    };
    text.lines().count() == USERS.len() && text.lines().zip(USERS).all(is_line)
}

/// Random, so that two images with one password do not look alike.
fn random_salt() -> [u8; 16] {
    let mut salt = [0; 16];
    OsRng.fill_bytes(&mut salt);
    salt
}

impl Passwords {
    /// Puts both users' lines in (`shadow(5)`), as activation would write them.
    pub(super) fn apply(&self, edits: &mut Edits) {
        let mut text = String::new();
        for (user, hash) in USERS.iter().zip(&self.0) {
            let hash = hash.as_ref().map(Secret::reveal).unwrap_or_default();
            text.extend([user, ":", hash, AGE, "\n"]);
        }
        edits.root.file(SHADOW, 0o640, text);
    }
}

impl PasswordOptions<'_> {
    fn word(
        &self,
        recipe: &Recipe,
        input: &mut Input<'_>,
        seed: Option<&Seed>,
    ) -> Result<Option<RequestedPassword>> {
        let name = |way: &str| format!("{}-password-{way}", self.user);
        let given = [self.file.is_some(), self.prompt, self.hash.is_some()];
        if given.iter().filter(|given| **given).count() > 1 {
            let what = format!("the password of {} is given in several ways", self.user);
            let way = if self.hash.is_some() { "hash" } else { "prompt" };
            return Err(recipe.fault(&name(way), 0, what, "give one of file, prompt and hash"));
        }
        if let Some(hash) = self.hash {
            return checked_hash(hash)
                .map(|hash| Some(RequestedPassword::Hash(hash)))
                .map_err(|(what, hint)| recipe.fault(&name("hash"), 0, what, hint));
        }
        let (way, password) = match self.file {
            Some(path) => ("file", input.secret_of(&name("file"), path)?),
            None if self.prompt => ("prompt", self.ask_twice(recipe, input)?),
            None => return Ok(None),
        };
        check_password(password.reveal())
            .map_err(|what| recipe.fault(&name(way), 0, what, "give another password"))?;
        match seed {
            Some(seed) => hashed(password.reveal(), &self.salt(seed))
                .map(|hash| Some(RequestedPassword::Hash(hash))),
            None => Ok(Some(RequestedPassword::Plain(password))),
        }
    }

    /// What the user types, twice the same.
    fn ask_twice(&self, recipe: &Recipe, input: &mut Input<'_>) -> Result<Secret> {
        let what = format!("console password of {}", self.user);
        let name = format!("{}-password-prompt", self.user);
        let (place, file) = (recipe.place(&name, 0), format!("{}-password-file", self.user));
        let first = input.prompt(&what, &place, &file)?;
        if input.prompt(&format!("{what}, again"), &place, &file)? == first {
            return Ok(first);
        }
        Err(recipe.fault(&name, 0, "two different passwords were typed", "type it again"))
    }

    /// Derived, so that the same inputs give the same bytes; only images of the same seed and name then tell whether
    /// they share a password.
    fn salt(&self, seed: &Seed) -> [u8; 16] {
        seed.derive(&format!("salt of the console password of {}", self.user))
    }
}

fn check_password(password: &str) -> Result<(), String> {
    match password {
        "" => Err("is empty, as on a stock image".to_owned()),
        long if long.len() > LONGEST => Err(format!("has more than {LONGEST} bytes")),
        odd if odd.chars().any(char::is_control) => {
            Err("has a control character, which no console can take".to_owned())
        }
        _ => Ok(()),
    }
}

/// As `crypt(5)` writes it: yescrypt, the default of Debian and NixOS, with its usual cost.
fn hashed(password: &str, salt: &[u8]) -> Result<Secret> {
    let hash = Yescrypt::default().hash_password_with_salt(password.as_bytes(), salt);
    let hash = hash
        .map_err(|fault| Error::io("hash a password")(std::io::Error::other(fault.to_string())))?;
    Ok(Secret::new(hash.as_str()))
}

/// A hash that `crypt(5)` may have written. Nothing of it is shown.
fn checked_hash(hash: &str) -> Result<Secret, (&'static str, &'static str)> {
    const MAKE: &str = "make one with mkpasswd, or give the password to -file or -prompt";
    let plain = |byte: u8| byte.is_ascii_graphic() && !b":;*!\\".contains(&byte);
    if hash.is_empty() {
        return Err(("is empty, which lets in without a password", MAKE));
    }
    if hash.len() > LONGEST_HASH {
        return Err(("is longer than any hash", MAKE));
    }
    if !hash.bytes().all(plain) {
        return Err(("has characters that no hash has", MAKE));
    }
    if hash.starts_with("$1$") || hash.starts_with("$5$") || !hash.starts_with('$') {
        return Err((
            "is not a hash of a method that NixOS takes",
            "use yescrypt ($y$), sha512crypt ($6$), scrypt ($7$) or bcrypt ($2b$)",
        ));
    }
    let Some(method) = METHODS.iter().find(|method| hash.starts_with(**method)) else {
        return Err((
            "is not a hash of a method that NixOS takes",
            "use yescrypt ($y$), sha512crypt ($6$), scrypt ($7$) or bcrypt ($2b$)",
        ));
    };
    let fields: Vec<&str> = hash.split('$').skip(2).collect();
    let digest = fields.last().map_or(0, |digest| digest.len());
    let complete = match *method {
        "$6$" => digest == 86 && (2..=3).contains(&fields.len()),
        "$y$" | "$gy$" => digest == 43 && fields.len() == 3,
        "$7$" => digest == 43 && fields.len() == 2,
        _ => digest == 53 && fields.len() == 2,
    };
    if complete { Ok(Secret::new(hash)) } else { Err(("is a hash that is cut short", MAKE)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_up_to_511_bytes() {
        assert!(check_password(&"x".repeat(511)).is_ok());
        assert!(check_password(&"x".repeat(512)).unwrap_err().contains("511"));
    }

    const SHA512: &str = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

    fn gathered(recipe: &Recipe, typed: &[&str]) -> Result<Option<Passwords>> {
        let mut typed = typed.iter();
        let prompt = |_: &str| Ok((*typed.next().unwrap()).to_owned());
        let mut input = Input::new("from stdin\nrest".as_bytes(), prompt);
        let seed = Seed::gather(recipe)?;
        let named = RequestedPasswords::gather(recipe, &mut input, seed.as_ref())?;
        named.map(|named| named.complete(&[])).transpose()
    }

    fn shadow(passwords: &Passwords) -> String {
        let mut edits = Edits::default();
        passwords.apply(&mut edits);
        let member = edits.root.get("etc/shadow").unwrap().clone();
        assert_eq!(member.mode, 0o640);
        assert!(edits.is_private());
        let Kind::File(bytes) = member.kind else { panic!() };
        String::from_utf8(bytes.clone()).unwrap()
    }

    #[test]
    fn a_password_becomes_a_hash_that_verifies_and_the_other_user_stays_as_he_was() {
        let recipe = Recipe { root_password_file: Some("-".into()), ..Recipe::default() };
        let text = shadow(&gathered(&recipe, &[]).unwrap().unwrap());
        let (root, nixos) = text.split_once('\n').unwrap();
        assert_eq!(nixos, "nixos::1::::::\n");
        let hash = root.strip_prefix("root:").unwrap().strip_suffix(":1::::::").unwrap();
        assert!(hash.starts_with("$y$j9T$") && !text.contains("stdin"));
        Yescrypt::default().verify_password(b"from stdin", hash).unwrap();
        assert_ne!(text, shadow(&gathered(&recipe, &[]).unwrap().unwrap()), "the salt is random");
        assert!(checked_hash(hash).is_ok());
    }

    #[test]
    fn a_seed_makes_it_reproducible_and_users_differ() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        std::fs::write(&path, (0..32).collect::<Vec<u8>>()).unwrap();
        let prompt = Some(true);
        let recipe = Recipe {
            root_password_prompt: prompt,
            nixos_password_prompt: prompt,
            host_key_seed: Some(path),
            ..Recipe::default()
        };
        let once = || shadow(&gathered(&recipe, &["a", "a", "a", "a"]).unwrap().unwrap());
        assert_eq!(once(), once());
        let hashes: Vec<String> =
            once().lines().map(|line| line.split(':').nth(1).unwrap().to_owned()).collect();
        assert_ne!(hashes[0], hashes[1]);
    }

    #[test]
    fn hashes_are_checked() {
        assert!(checked_hash(SHA512).is_ok());
        let rounds = SHA512.replace("$6$", "$6$rounds=5000$");
        assert!(checked_hash(&rounds).is_ok());
        for (bad, text) in [
            ("", "is empty"),
            ("hunter2", "not a hash of a method"),
            ("$1$abc$def", "not a hash of a method"),
            ("$9$abc$def", "not a hash of a method"),
            ("$6$abc$def", "cut short"),
            ("$6$a:b$def", "characters"),
            ("$6$a\nb$def", "characters"),
            ("!$6$a", "characters"),
        ] {
            let recipe = Recipe { root_password_hash: Some(bad.into()), ..Recipe::default() };
            let fault = gathered(&recipe, &[]).unwrap_err().to_string();
            assert!(fault.contains(text), "{bad:?}: {fault}");
            assert!(fault.starts_with("--root-password-hash: "));
            assert!(bad.is_empty() || !fault.contains(bad), "{fault}");
        }
    }

    #[test]
    fn passwords_are_checked() {
        let recipe = Recipe { nixos_password_prompt: Some(true), ..Recipe::default() };
        for (typed, text) in
            [(["", ""], "is empty"), (["a", "b"], "two different"), (["a\tb", "a\tb"], "control")]
        {
            let fault = gathered(&recipe, &typed).unwrap_err().to_string();
            assert!(
                fault.starts_with("--nixos-password-prompt: ") && fault.contains(text),
                "{fault}"
            );
        }
        let both = Recipe { nixos_password_hash: Some(SHA512.into()), ..recipe };
        assert!(gathered(&both, &[]).unwrap_err().to_string().contains("several ways"));
    }
}
