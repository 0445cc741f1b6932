//! What the live system tells every link by IPv6 multicast, so that it is found without a scan: its name, and the
//! fingerprints of its host keys, or of what recipe it is. Nothing of it is secret.

use std::fmt::Write as _;

use super::host_key::HostKeys;
use crate::hex;
use crate::recipe::edits::Edits;
use crate::recipe::{Recipe, setting};

/// The fingerprints that are announced, one a line: of several machines, each has its own.
const PRINTS: &str = "etc/remaster/announce";

/// The digest of the recipe, which is announced where there are none.
pub(crate) const DIGEST: &str = "etc/remaster/recipe-digest";

/// What announces it, and the setting that asks for it.
pub(super) const SCRIPT: &str = "etc/remaster/announce.sh";

/// The files beside the unit.
pub(super) const FILES: [&str; 3] = [PRINTS, DIGEST, SCRIPT];

/// The unit that starts it.
pub(super) const NAME: &str = "remaster-announce.service";

/// Whether it is announced.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Announce {
    wanted: bool,
}

impl Announce {
    /// Nothing is announced that nobody asked for.
    pub(super) fn gather(recipe: &Recipe) -> Self {
        Self { wanted: recipe.announce == Some(true) }
    }

    /// A note for an image with or without host keys.
    pub(super) fn note(self, has_host_key: bool) -> Option<String> {
        (self.wanted && !has_host_key).then(|| {
            let flag = setting!(host_key);
            format!("what the machine announces is ignored without a host key: {flag} makes one")
        })
    }

    /// Puts in what tells it, and the fingerprints.
    pub(super) fn apply(self, keys: Option<&HostKeys>, edits: &mut Edits) {
        if !self.wanted {
            return;
        }
        let mut prints = String::new();
        for key in keys.iter().flat_map(|keys| &keys.keys).filter(|key| !key.fingerprint.is_empty())
        {
            let _ = writeln!(prints, "{}", key.fingerprint);
        }
        let root = &mut edits.root;
        root.file(PRINTS, 0o644, prints);
        root.file(DIGEST, 0o644, "");
        root.file(SCRIPT, 0o644, include_str!("scripts/announce.sh"));
        root.unit(NAME, include_str!("scripts/announce.service"));
        root.want(NAME, "multi-user.target");
    }

    /// Puts in the digest of the recipe, which is known last: it is that of the edits without it.
    pub(super) fn put_digest(self, inputs: &[u8; 32], edits: &mut Edits) {
        if !self.wanted {
            return;
        }
        edits.root.file(DIGEST, 0o644, hex::digits(inputs) + "\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::newc::Kind;
    use crate::live::{Customization, Facts};

    fn edits(recipe: &Recipe) -> Edits {
        let facts = Facts { release: (25, 11), architecture: None, room: None };
        Customization::from_recipe(recipe).unwrap().edits(&facts).unwrap()
    }

    fn text(edits: &Edits, path: &str) -> String {
        match &edits.root.get(path).unwrap().kind {
            Kind::File(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn recipe(announce: bool, host_keys: &[&str]) -> Recipe {
        let host_key = host_keys.iter().map(|&kind| kind.to_owned()).collect();
        let hostname = Some("box".into());
        Recipe { announce: Some(announce), host_key, hostname, ..Recipe::default() }
    }

    #[test]
    fn fingerprints_or_the_digest_of_the_recipe_are_reported_and_nothing_without_being_asked() {
        let known = edits(&recipe(true, &["generate"]));
        let print = text(&known, PRINTS);
        assert!(print.starts_with("SHA256:") && print.len() == 51, "{print:?}");
        let unknown = edits(&recipe(true, &[]));
        assert_eq!(text(&unknown, PRINTS), "");
        let digest = text(&unknown, DIGEST);
        assert_eq!(digest.trim_end().len(), 64, "{digest:?}");
        // It is the same each time, also where keys are random.
        let again = edits(&recipe(true, &["generate"]));
        assert_eq!(text(&known, DIGEST), text(&again, DIGEST));
        assert_ne!(text(&known, PRINTS), text(&again, PRINTS));
        let silent = edits(&recipe(false, &["generate"]));
        assert!(silent.root.members().all(|member| !member.path.contains("announce")));
    }
}
