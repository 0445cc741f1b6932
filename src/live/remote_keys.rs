//! Keys that come from servers and agents: fetched, and taken only as the user says.

use std::collections::BTreeSet;

use super::input::Input;
use crate::error::{Error, Result};
use crate::keys::{self, AuthorizedKey, Fetched, RemoteKeys};
use crate::recipe::{Recipe, setting};

/// A key that came over the network.
struct FetchedKey {
    from: String,
    key: AuthorizedKey,
}

impl FetchedKey {
    fn shown(&self) -> String {
        let Self { from, key } = self;
        let line = format!("{from}: {} {} {}", key.algorithm, key.fingerprint, key.comment);
        line.trim_end().to_owned()
    }
}

/// The texts of all keys that are elsewhere.
pub(super) fn fetch(recipe: &Recipe, input: &mut Input<'_>) -> Result<Fetched> {
    let mut fetched = Fetched::new();
    let mut came = Vec::new();
    for (index, given) in recipe.key.iter().enumerate() {
        let Some(source) = source(recipe, index, given)? else { continue };
        let Some(fetcher) = input.fetcher() else {
            return Err(recipe.fault("key", index, NOBODY, "give a file with the keys"));
        };
        if recipe.reproducible == Some(true) && recipe.expect_fingerprint.is_empty() {
            let what =
                format!("may be other keys the next time, and {} is given", setting!(reproducible));
            let hint = format!("give {}, or a file", setting!(expect_fingerprint));
            return Err(recipe.fault("key", index, what, hint));
        }
        let name = source.name().to_owned();
        let bytes = match &source {
            RemoteKeys::Agent => fetcher.agent()?,
            RemoteKeys::Server(url) => fetcher.fetch(url)?,
        };
        let found = keys::parse(&name, &bytes)?;
        if source != RemoteKeys::Agent {
            let keys = found.keys.keys().cloned();
            came.extend(keys.map(|key| FetchedKey { from: name.clone(), key }));
        }
        fetched.insert(index.saturating_add(1), (name, bytes));
    }
    judge(recipe, &came, input)?;
    Ok(fetched)
}

/// Where the key `index` of a recipe is fetched from, if it is fetched.
///
/// # Errors
/// A name that no user has, an address that is not of https.
pub(crate) fn source(recipe: &Recipe, index: usize, given: &str) -> Result<Option<RemoteKeys>> {
    let is_in_file = recipe.place_in_file("key", index).is_some();
    RemoteKeys::parse(given, is_in_file).map_err(|refused| {
        let hint = refused.hint().unwrap_or_default();
        recipe.fault("key", index, refused, hint)
    })
}

/// What is said where nothing is fetched.
const NOBODY: &str = "is not fetched here: a batch fetches no keys and asks nobody";

/// Takes keys that are expected, or that the user confirms.
fn judge(recipe: &Recipe, came: &[FetchedKey], input: &mut Input<'_>) -> Result<()> {
    let expected = &recipe.expect_fingerprint;
    if let Some(at) = expected.iter().position(|text| !is_fingerprint(text)) {
        let what =
            format!("{:?} is not a fingerprint", expected.get(at).map_or("", String::as_str));
        let hint = "give it as `ssh-keygen -lf` shows it: SHA256: and 43 characters";
        return Err(recipe.fault("expect-fingerprint", at, what, hint));
    }
    let (Some(fetcher), false) = (input.fetcher(), came.is_empty()) else {
        if expected.is_empty() {
            return Ok(());
        }
        let what = "no key is fetched";
        return Err(recipe.fault(
            "expect-fingerprint",
            0,
            what,
            format!("leave it out, or give {} gh:USER", setting!(key)),
        ));
    };
    let shown: Vec<String> = came.iter().map(FetchedKey::shown).collect();
    if expected.is_empty() {
        let all: BTreeSet<&str> = came.iter().map(|came| came.key.fingerprint.as_str()).collect();
        let flags = all.iter().map(|one| format!("{} {one}", setting!(expect_fingerprint)));
        return fetcher.confirm(&shown, &flags.collect::<Vec<_>>().join(" "));
    }
    fetcher.show(&shown);
    if let Some(odd) = came.iter().find(|came| !expected.contains(&came.key.fingerprint)) {
        return Err(Error::OtherKeys {
            what: format!("{} has a key that is not expected: {}", odd.from, odd.key.fingerprint),
        });
    }
    let is_missing = |one: &&String| !came.iter().any(|came| came.key.fingerprint == **one);
    match expected.iter().find(is_missing) {
        None => Ok(()),
        Some(one) => Err(Error::OtherKeys {
            what: format!("the key {one} is expected, and was not among those that were fetched"),
        }),
    }
}

/// SHA-256 in base64 without padding, as OpenSSH shows it.
fn is_fingerprint(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    let digits = text.strip_prefix("SHA256:");
    digits.is_some_and(|digits| digits.len() == 43 && digits.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::input::KeyFetcher;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE+5Wy/UBd5kJPTO3nAClw9lVkZDBYd9XHVgHRsTaoRP a@b\n";

    /// Gives one text for everything, and notes what it is asked.
    struct Stub {
        text: &'static str,
        agrees: bool,
        asked: Vec<String>,
    }

    impl KeyFetcher for &mut Stub {
        fn fetch(&mut self, url: &str) -> Result<Vec<u8>> {
            self.asked.push(format!("fetch {url}"));
            Ok(self.text.into())
        }
        fn agent(&mut self) -> Result<Vec<u8>> {
            self.asked.push("agent".into());
            Ok(self.text.into())
        }
        fn show(&mut self, keys: &[String]) {
            self.asked.push(format!("show {}", keys.len()));
        }
        fn confirm(&mut self, keys: &[String], flags: &str) -> Result<()> {
            self.asked.push(format!("confirm {} {flags}", keys.len()));
            if self.agrees { Ok(()) } else { Err(Error::Declined { what: "no".into() }) }
        }
    }

    fn run(change: impl FnOnce(&mut Recipe), agrees: bool) -> (Result<Fetched>, Vec<String>) {
        let mut recipe = Recipe { key: vec!["gh:alice".into()], ..Recipe::default() };
        change(&mut recipe);
        let mut stub = Stub { text: KEY, agrees, asked: Vec::new() };
        let mut input = Input::new(std::io::empty(), |_| unreachable!()).with(&mut stub);
        let done = fetch(&recipe, &mut input);
        drop(input);
        (done, stub.asked)
    }

    fn fingerprint() -> String {
        let found = keys::parse("x", KEY.as_bytes()).unwrap();
        found.keys.keys().next().unwrap().fingerprint.clone()
    }

    #[test]
    fn keys_of_servers_are_confirmed_and_those_of_the_agent_are_not() {
        let (done, asked) = run(|_| (), true);
        assert_eq!(done.unwrap()[&1], ("https://github.com/alice.keys".into(), KEY.into()));
        let flags = format!("confirm 1 --expect-fingerprint {}", fingerprint());
        assert_eq!(asked, ["fetch https://github.com/alice.keys", &flags]);
        assert!(matches!(run(|_| (), false).0, Err(Error::Declined { .. })));
        let (done, asked) = run(|recipe| recipe.key = vec!["agent".into()], false);
        assert_eq!((done.unwrap()[&1].0.as_str(), asked), ("ssh-agent", vec!["agent".to_owned()]));
    }

    #[test]
    fn expected_keys_are_taken_without_a_question_and_no_others() {
        let (done, asked) = run(|recipe| recipe.expect_fingerprint = vec![fingerprint()], false);
        assert!(done.is_ok() && asked.last().unwrap() == "show 1", "{asked:?}");
        let other = || format!("SHA256:{}", "a".repeat(43));
        let (done, _) = run(|recipe| recipe.expect_fingerprint = vec![other()], false);
        let fault = done.unwrap_err();
        assert!(fault.to_string().contains("has a key that is not expected: SHA256:"), "{fault}");
        assert!(matches!(fault, Error::OtherKeys { .. }), "{fault}");
        let both = |recipe: &mut Recipe| recipe.expect_fingerprint = vec![fingerprint(), other()];
        let fault = run(both, false).0.unwrap_err().to_string();
        assert!(
            fault.ends_with("is expected, and was not among those that were fetched"),
            "{fault}"
        );
    }

    #[test]
    fn what_cannot_be_done_is_reported() {
        let fault = |change: fn(&mut Recipe)| run(change, true).0.unwrap_err().to_string();
        let odd = fault(|recipe| recipe.expect_fingerprint = vec!["MD5:aa".into()]);
        assert_eq!(odd, "--expect-fingerprint: \"MD5:aa\" is not a fingerprint");
        let none = fault(|recipe| {
            recipe.key = vec![KEY.into()];
            recipe.expect_fingerprint = vec![fingerprint()];
        });
        assert_eq!(none, "--expect-fingerprint: no key is fetched");
        let chance = fault(|recipe| recipe.reproducible = Some(true));
        assert!(chance.starts_with("--key: may be other keys the next time"), "{chance}");
        let recipe = Recipe { key: vec!["gh:alice".into()], ..Recipe::default() };
        let mut alone = Input::new(std::io::empty(), |_| unreachable!());
        let fault = fetch(&recipe, &mut alone).unwrap_err().to_string();
        assert_eq!(fault, "--key: is not fetched here: a batch fetches no keys and asks nobody");
    }
}
