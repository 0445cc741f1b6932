//! Keys on the kernel's command line, as systemd credentials (systemd.system-credentials(7)), for a
//! stage 1 that is not understood. Everybody on the machine can read them there, and there is room for
//! few.

use crate::error::{Error, Result};
use crate::formats::credential::{Home, by_sshd, by_tmpfiles};
use crate::keys::KeySet;
use crate::recipe::edits::{Credential, NIXOS};
use crate::recipe::{Inject, OF_MENUS, Phrase, Recipe, setting};

use super::facts::Facts;

/// What can be asked for together with it, beside what goes into menus.
const POSSIBLE: [&str; 2] = ["key", "inject"];

/// What is reported whenever it is asked for.
pub(super) const LIMITS: Phrase = Phrase(
    "{} credential: keys go onto the kernel's command line, where everybody on the machine can read them; only what fits on 2,048 bytes, root before nixos, nothing but keys, and sshd's own settings stay",
    &[setting!(inject)],
);

/// The first release whose systemd knows `systemd.set_credential_binary=` (254).
const SINCE: (u32, u32) = (23, 11);

/// The first release whose sshd takes root's keys from a credential of its own.
const SSHD_SINCE: (u32, u32) = (25, 5);

/// Whether keys are to go onto the command line; refuses what cannot go there.
pub(super) fn gather(recipe: &Recipe) -> Result<bool> {
    if recipe.inject != Some(Inject::Credential) {
        return Ok(false);
    }
    if let Some(name) = impossible(recipe) {
        return Err(recipe.fault(
            &name,
            0,
            format!(
                "does not work with {} credential, which brings short keys and nothing else",
                setting!(inject)
            ),
            format!(
                "leave out {name}, or {}; with it there may be {}",
                setting!(inject),
                [&POSSIBLE[..], &OF_MENUS].concat().join(", ")
            ),
        ));
    }
    if recipe.has_ports_alike() {
        let what =
            format!("two ports of one kind do not work with {} credential", setting!(inject));
        return Err(recipe.fault(
            "serial",
            1,
            what,
            "give one of each kind, as `ttyS0` and `hvc0`",
        ));
    }
    if recipe.key.is_empty() {
        return Err(recipe.fault(
            "inject",
            0,
            "no keys to put on the kernel's command line",
            format!("give {} with it", setting!(key)),
        ));
    }
    Ok(true)
}

/// The first of what is asked for that cannot come with keys on the command line.
fn impossible(recipe: &Recipe) -> Option<String> {
    let is_possible = |name: &String| [&POSSIBLE[..], &OF_MENUS].concat().contains(&name.as_str());
    recipe.edits().into_iter().find(|name| !is_possible(name))
}

/// Refuses edits that need files, for an image that has its keys on the command line.
///
/// # Errors
/// [`Error::Recipe`] for what wants keys in files.
pub(crate) fn check_beside(recipe: &Recipe) -> Result<()> {
    let port = recipe.has_ports_alike().then(|| "serial".to_owned());
    let Some(name) = impossible(recipe).or(port) else { return Ok(()) };
    let what = "the image has its keys on the kernel's command line, and nothing but short keys and settings of menus comes with them";
    let hint = format!("give {}=archive: the keys move into files", setting!(inject));
    Err(recipe.fault(&name, 0, what, hint))
}

/// The arguments that could carry keys, the best first.
pub(super) fn arguments(keys: &KeySet, facts: &Facts) -> Result<Vec<Credential>> {
    if !facts.is_from(SINCE) {
        let (year, month) = facts.release;
        return Err(Error::unsupported(
            "credentials on the kernel's command line",
            "NixOS 23.11 or later, by version.txt",
            format!("{year}.{month:02}"),
        ));
    }
    let text = keys.to_text();
    let root = Home { path: "/root", owner: (0, 0) };
    let nixos = Home { path: "/home/nixos", owner: NIXOS };
    let candidate =
        |argument: String, what: &str| Credential { argument, does: format!("keys for {what}") };
    let mut found = vec![
        candidate(by_tmpfiles(&[root, nixos], &text), "root and nixos by tmpfiles.extra"),
        candidate(by_tmpfiles(&[root], &text), "root only by tmpfiles.extra"),
    ];
    if facts.is_from(SSHD_SINCE) {
        found.push(candidate(by_sshd(&text), "root only by ssh.authorized_keys.root"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut Recipe)) -> String {
        let inject = Some(Inject::Credential);
        let mut recipe = Recipe { inject, key: vec!["k".into()], ..Recipe::default() };
        change(&mut recipe);
        gather(&recipe).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_a_key_is_refused_by_name() {
        let text = fault(|recipe| recipe.hostname = Some("x".into()));
        assert!(text.contains("--hostname: does not work with --inject credential"), "{text}");
        assert!(fault(|recipe| recipe.label = Some("x".into())).contains("--label: does not work"));
        assert!(
            fault(|recipe| recipe.merge_initrd = Some(true))
                .contains("--merge-initrd: does not work")
        );
        assert!(fault(|recipe| recipe.key = Vec::new()).contains("--inject: no keys"));
    }

    #[test]
    fn what_can_be_done_depends_on_the_release() {
        let facts = |release| Facts { release, architecture: None, room: None };
        let keys = KeySet::default();
        assert_eq!(arguments(&keys, &facts((24, 11))).unwrap().len(), 2);
        assert_eq!(arguments(&keys, &facts((25, 5))).unwrap().len(), 3);
        let text = arguments(&keys, &facts((23, 5))).unwrap_err().to_string();
        assert!(text.contains("23.11 or later") && text.ends_with("found 23.05"), "{text}");
    }
}
