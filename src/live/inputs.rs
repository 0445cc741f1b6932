//! The digest of what was asked for: the same recipe gives the same digest, also where keys and salts are random.
//!
//! The recipe id is made of the digest, so others see it, and it must not help to guess a secret. Contents that others
//! must not read are left out, or mixed with the seed where there is one. Words stand for random keys and salts. The hash
//! of a password goes in as it was given.

use sha2::{Digest as _, Sha256};

use super::seed::Seed;
use crate::error::Result;
use crate::formats::newc::{Kind, Member};
use crate::hex;
use crate::recipe::edits::{self, Attached, Boot, Edits, InjectMethod, Purpose};
use crate::units::u64_len;

/// The file that has given hashes and the words for others: salted, so that nobody guesses by them.
const SHADOW: &str = "etc/shadow";

/// The digest of edits in which words stand for random keys and salts: SHA-256 of `remaster inputs 1\n` and of each item in
/// order, with its length in 8 bytes before it, the least significant first.
pub(super) fn digest(edits: &Edits, seed: Option<&Seed>) -> Result<[u8; 32]> {
    let mut items = Items(Sha256::new_with_prefix(b"remaster inputs 1\n"));
    items.put(match edits.way {
        InjectMethod::ExtraInitrd => "extra initrd",
        InjectMethod::MergeInitrd => "merged initrd",
        InjectMethod::Credential => "credential",
        InjectMethod::Menus => "menus",
    });
    let secrets: Vec<&str> =
        edits::secrets(edits.root.members()).iter().map(|found| found.path.as_str()).collect();
    for member in edits.root.members() {
        items.member(member, secrets.contains(&member.path.as_str()), seed);
    }
    for attached in &edits.attached {
        items.attached(attached)?;
    }
    items.boot(&edits.boot);
    Ok(items.0.finalize().into())
}

struct Items(Sha256);

impl Items {
    fn put(&mut self, item: impl AsRef<[u8]>) {
        let bytes = item.as_ref();
        self.0.update(u64_len(bytes).to_le_bytes());
        self.0.update(bytes);
    }

    fn member(&mut self, member: &Member, is_secret: bool, seed: Option<&Seed>) {
        let (user, group) = member.owner;
        self.put(&member.path);
        self.put(format!("{:o} {user} {group}", member.mode));
        match (&member.kind, seed) {
            (Kind::Directory, _) => self.put("directory"),
            (Kind::Symlink(to), _) => self.put(format!("symlink {to}")),
            (Kind::File(bytes), _) if !is_secret || member.path == SHADOW => self.put(bytes),
            (Kind::File(bytes), Some(seed)) => self.put(mixed(bytes, seed)),
            (Kind::File(_), None) => self.put("secret"),
        }
    }

    fn attached(&mut self, attached: &Attached) -> Result<()> {
        self.put(match attached.purpose {
            Purpose::Overlay => "overlay",
            Purpose::Store { on_path: true } => "store on the path",
            Purpose::Store { on_path: false } => "store",
        });
        self.put(attached.bytes.digest()?);
        Ok(())
    }

    /// Everything but where it was asked for.
    fn boot(&mut self, boot: &Boot) {
        let Boot { delete, replace, add, entries, serial, .. } = boot;
        let Boot { timeout, default_entry, label, name, credentials, .. } = boot;
        self.list("delete", delete.iter().map(|asked| asked.value.clone()));
        self.list("replace", replace.iter().map(|asked| format!("{:?}", asked.value)));
        self.list("add", add.iter().map(|asked| asked.value.clone()));
        self.list("entries", entries.iter().map(|asked| asked.value.clone()));
        self.list("serial", serial.iter().map(|serial| format!("{serial:?}")));
        self.list("timeout", timeout.iter().map(u16::to_string));
        self.list("default entry", default_entry.iter().map(|asked| asked.value.clone()));
        self.list("label", label.iter().map(|asked| asked.value.clone()));
        self.list("name", name.iter().cloned());
        self.list("credentials", credentials.iter().map(|one| one.argument.clone()));
    }

    fn list(&mut self, what: &str, found: impl Iterator<Item = String>) {
        let found: Vec<String> = found.collect();
        self.put(format!("{what} {}", found.len()));
        for item in found {
            self.put(item);
        }
    }
}

/// Tells secrets apart, but only for somebody who has the seed.
fn mixed(secret: &[u8], seed: &Seed) -> [u8; 32] {
    let digest = hex::digits(&Sha256::digest(secret));
    seed.derive(&format!("secret of a recipe id {digest}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use crate::live::{CustomizationTemplate, Facts, Input};
    use crate::recipe::Recipe;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAl85n2WKjh7IlsRKJ6hYPR8AWPFWuRJhzKtg3w";
    const HASH: &str = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

    fn gathered(recipe: &Recipe, typed: &str) -> CustomizationTemplate {
        let typed = |_: &str| Ok(typed.to_owned());
        CustomizationTemplate::gather(recipe, &mut Input::new(std::io::empty(), typed)).unwrap()
    }

    fn facts() -> Facts {
        Facts { release: (25, 11), architecture: None, room: None }
    }

    /// The digest of a recipe, with what is typed for every password.
    fn inputs(recipe: &Recipe, typed: &str) -> [u8; 32] {
        gathered(recipe, typed).inputs(&facts()).unwrap()
    }

    fn recipe(change: impl FnOnce(&mut Recipe)) -> Recipe {
        let mut recipe = Recipe { key: vec![KEY.into()], ..Recipe::default() };
        change(&mut recipe);
        recipe
    }

    fn file(folder: &Path, name: &str, text: &str) -> String {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    #[test]
    fn whatever_is_asked_for_gives_another_digest_and_the_same_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|text| file(folder.path(), text, text));
        let changes: [&dyn Fn(&mut Recipe); 19] = [
            &|_| {},
            &|recipe| {
                recipe.key.clear();
                recipe.greeting = Some(true);
            },
            &|recipe| recipe.ssh_passwords = Some(true),
            &|recipe| recipe.host_key = vec!["generate".into()],
            &|recipe| recipe.host_key = vec!["generate:rsa".into()],
            &|recipe| recipe.root_password_hash = Some(HASH.into()),
            &|recipe| recipe.nixos_password_hash = Some(HASH.into()),
            &|recipe| recipe.root_password_hash = Some(HASH.replace("qFm", "qFn")),
            &|recipe| recipe.root_password_prompt = Some(true),
            &|recipe| recipe.hostname = Some("box".into()),
            &|recipe| recipe.hostname = Some("fox".into()),
            &|recipe| recipe.file = vec![format!("{one}:/srv/a")],
            &|recipe| recipe.file = vec![format!("{two}:/srv/a")],
            &|recipe| recipe.file = vec![format!("{one}:/srv/a:0600")],
            &|recipe| recipe.karg = vec!["one".into()],
            &|recipe| recipe.karg_delete = vec!["one".into()],
            &|recipe| recipe.timeout = Some(3),
            &|recipe| recipe.label = Some("label".into()),
            &|recipe| recipe.merge_initrd = Some(true),
        ];
        let all: BTreeSet<[u8; 32]> =
            changes.iter().map(|change| inputs(&recipe(*change), "word")).collect();
        let again: BTreeSet<[u8; 32]> =
            changes.iter().map(|change| inputs(&recipe(*change), "word")).collect();
        assert_eq!((all.len(), &all), (changes.len(), &again));
    }

    #[test]
    fn no_secret_can_be_guessed_by_it_but_with_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|text| file(folder.path(), text, text));
        let seed = folder.path().join("seed");
        fs::write(&seed, (0..40).collect::<Vec<u8>>()).unwrap();
        for seeded in [false, true] {
            let of = |change: &dyn Fn(&mut Recipe), typed: &str| {
                let recipe = recipe(|recipe| {
                    if seeded {
                        recipe.host_key = vec!["generate".into()];
                        recipe.host_key_seed = Some(seed.clone());
                    }
                    change(recipe);
                });
                inputs(&recipe, typed)
            };
            let password = |recipe: &mut Recipe| recipe.root_password_prompt = Some(true);
            assert_eq!(of(&password, "first word") != of(&password, "second word"), seeded);
            let wifi = |recipe: &mut Recipe| {
                recipe.wifi = vec!["net".into()];
                recipe.wifi_password_prompt = Some(true);
            };
            assert_eq!(of(&wifi, "first word") != of(&wifi, "second word"), seeded);
            let private =
                |recipe: &mut Recipe, from: &str| recipe.file = vec![format!("{from}:/srv/a:0600")];
            let first = of(&|recipe| private(recipe, &one), "");
            assert_eq!(first != of(&|recipe| private(recipe, &two), ""), seeded);
        }
    }

    #[test]
    fn random_keys_and_salts_are_taken_over_where_they_fit() {
        let recipe = recipe(|recipe| {
            recipe.host_key = vec!["generate".into()];
            recipe.root_password_prompt = Some(true);
        });
        let root = |typed: &str, before: &[_]| {
            let customization = gathered(&recipe, typed).complete(before).unwrap();
            let edits = customization.edits(&facts()).unwrap();
            edits.root.members().cloned().collect::<Vec<_>>()
        };
        let first = root("word", &[]);
        assert!(first != root("word", &[]));
        assert!(first == root("word", &first));
        let other = root("other word", &first);
        let of = |root: &[crate::formats::newc::Member], path: &str| {
            root.iter().find(|member| member.path == path).unwrap().clone()
        };
        let host_key = "etc/ssh/ssh_host_ed25519_key";
        assert!(of(&other, host_key) == of(&first, host_key));
        assert!(of(&other, super::SHADOW) != of(&first, super::SHADOW));
    }
}
