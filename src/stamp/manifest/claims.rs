//! What a manifest says that can be seen in an image without reading all of it.

use std::collections::{BTreeMap, BTreeSet};

use super::found::Found;
use super::{
    BaseFacts, File, Key, Manifest, content_id, files_of, keys_of, keys_of_folder, recipe_id,
};
use crate::boot::hook_check::MadeBy;
use crate::image::ReadAt;
use crate::image::digest::Digest;
use crate::iso::injected::Stamped;
use crate::recipe::edits::Edits;
use crate::stamp::key_files::KeyFiles;

/// Something that is not as the manifest says.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What, as `the files`.
    pub what: &'static str,
    /// What was found.
    pub found: String,
}

/// The first of what a manifest says that does not hold for what was put into an `image`; `base` is its base.
pub fn first_fault<I: ReadAt>(
    of: &Found,
    (image, stamped): (&I, &Stamped),
    base: BaseFacts,
) -> Option<Fault> {
    let manifest = &of.manifest;
    let mut edits = Edits::default();
    stamped.root.iter().cloned().for_each(|member| edits.root.put(member));
    let fault = |what, found| Some(Fault { what, found });
    if let Some(found) = first_other_file(&files_of(&edits), &manifest.files) {
        return fault("the files", found);
    }
    let (recipe, content) = (manifest.recipe_id, manifest.content_id);
    let attached = stamped.attached.iter().map(|(path, at)| (path.as_str(), *at));
    let files = KeyFiles::of_root(stamped.root.iter()).with_attached(image, attached);
    let facts = BaseFacts { sha256: manifest.base.sha256, ..base };
    let same = [
        ("the size", stamped.undo.stamped_size == manifest.size),
        ("the base", facts == manifest.base),
        ("the keys", are_keys_of(&manifest.keys, &files, (&edits, of.made_by()))),
        ("whether it is private", !(edits.is_private() && manifest.private == Some(false))),
        ("the recipe id", is_id_of(manifest, recipe, manifest.inputs, recipe_id)),
        ("the content id", is_id_of(manifest, content, Some(manifest.edits), content_id)),
    ];
    let (what, _) = same.into_iter().find(|(_, same)| !same)?;
    fault(what, "something else".into())
}

/// Whether the keys of a manifest are those of all files, or those that earlier versions listed. Their order says nothing.
fn are_keys_of(listed: &[Key], files: &KeyFiles, (edits, made_by): (&Edits, MadeBy)) -> bool {
    let is_same = |found: &[Key]| {
        found.iter().collect::<BTreeSet<_>>() == listed.iter().collect::<BTreeSet<_>>()
    };
    is_same(&keys_of(files)) || (made_by == MadeBy::Other && is_same(&keys_of_folder(edits)))
}

/// The first path that the one list has otherwise than the other, or not at all.
fn first_other_file(found: &[File], listed: &[File]) -> Option<String> {
    let by_path = |files: &'_ [File]| -> BTreeMap<String, File> {
        files.iter().map(|file| (file.path.clone(), file.clone())).collect()
    };
    let (there, said) = (by_path(found), by_path(listed));
    for (path, file) in &there {
        match said.get(path) {
            None => return Some(format!("{path}, which the manifest does not list")),
            Some(one) if one != file => {
                return Some(format!("{path} with {}, not {}", facts(file, one), facts(one, file)));
            }
            Some(_) => {}
        }
    }
    let lost = said.keys().find(|path| !there.contains_key(*path));
    lost.map(|path| format!("no {path}, which the manifest lists")).or_else(|| {
        (found != listed).then(|| "a path more than once, or paths in another order".to_owned())
    })
}

/// The facts of a file that another one does not share.
fn facts(file: &File, other: &File) -> String {
    let sha256 = file
        .sha256
        .as_deref()
        .map_or_else(|| "no SHA-256".to_owned(), |sha256| format!("the SHA-256 {sha256}"));
    let all = [
        (file.kind != other.kind, format!("the kind {}", file.kind)),
        (file.mode != other.mode, format!("the mode {}", file.mode)),
        (file.owner != other.owner, format!("the owner {}:{}", file.owner.0, file.owner.1)),
        (file.sha256 != other.sha256, sha256),
    ];
    let differing = all.into_iter().filter(|(differs, _)| *differs).map(|(_, text)| text);
    differing.collect::<Vec<_>>().join(" and ")
}

/// Whether an id is that of the base and something else, if there is one.
fn is_id_of(
    manifest: &Manifest,
    id: Option<Digest>,
    of: Option<Digest>,
    made: fn(Digest, Digest) -> Digest,
) -> bool {
    let Some(id) = id else { return true };
    let parts = manifest.base.sha256.zip(of);
    parts.is_some_and(|(base, other)| made(base, other) == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: (&str, &str) = (
        "SHA256:1uqzuOdbyFeGfqasY9nRY+8/Mx7SntDs+5goOEaGR6c",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAim24y7KzKx9zq5jeWee7v47ILBaQjjZEmkGa1XUEWu a\n",
    );
    const OWN: (&str, &str) = (
        "SHA256:JqycIL5vDeVh3snkdyeTb7URR47PuX9FeeP7SEb+GQE",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf6xKe8VejdUN5agcko3glA4q1r8KhfjAkRGkOUiBuo a\n",
    );
    const OF_ALL: &str = "etc/ssh/authorized_keys.d/root";

    /// Whether a manifest may list keys of root, by their prints, for an image with files.
    fn may(files: &[(&str, &str)], made_by: MadeBy, listed: &[&str]) -> bool {
        let mut edits = Edits::default();
        for (path, text) in files {
            edits.root.file(path, 0o444, *text);
        }
        let key = |print: &&str| Key { user: "root".into(), fingerprint: (*print).to_owned() };
        let listed: Vec<Key> = listed.iter().map(key).collect();
        are_keys_of(&listed, &KeyFiles::of_edits(&edits), (&edits, made_by))
    }

    #[test]
    fn keys_of_machines_may_be_listed_in_any_order() {
        let own = format!("etc/remaster/machines/one/{OF_ALL}");
        let files = [(OF_ALL, COMMON.1), (own.as_str(), OWN.1)];
        for made_by in [MadeBy::ThisVersion, MadeBy::Other] {
            assert!(may(&files, made_by, &[COMMON.0, OWN.0]));
            assert!(may(&files, made_by, &[OWN.0, COMMON.0]));
            assert!(!may(&files, made_by, &[COMMON.0]));
        }
    }

    #[test]
    fn only_another_version_may_leave_out_what_earlier_ones_did_not_list() {
        let with_rubbish = format!("{}rubbish\n", OWN.1);
        let in_home = [(OF_ALL, COMMON.1), ("root/.ssh/authorized_keys", OWN.1)];
        let beside_rubbish = [
            (OF_ALL, with_rubbish.as_str()),
            ("etc/remaster/machines/one/etc/ssh/authorized_keys.d/root", COMMON.1),
        ];
        for files in [in_home, beside_rubbish] {
            assert!(may(&files, MadeBy::Other, &[COMMON.0]), "{files:?}");
            assert!(!may(&files, MadeBy::ThisVersion, &[COMMON.0]), "{files:?}");
            assert!(may(&files, MadeBy::ThisVersion, &[COMMON.0, OWN.0]), "{files:?}");
            assert!(!may(&files, MadeBy::Other, &[OWN.0]), "{files:?}");
        }
    }
}
