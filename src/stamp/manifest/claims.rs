//! What a manifest says that can be seen in an image without reading all of it.

use std::collections::BTreeMap;

use super::{BaseFacts, File, Manifest, content_id, files_of, keys_of, keys_of_folder, recipe_id};
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
    manifest: &Manifest,
    (image, stamped): (&I, &Stamped),
    base: BaseFacts,
) -> Option<Fault> {
    let mut edits = Edits::default();
    stamped.root.iter().cloned().for_each(|member| edits.root.put(member));
    let fault = |what, found| Some(Fault { what, found });
    if let Some(found) = first_other_file(&files_of(&edits), &manifest.files) {
        return fault("the files", found);
    }
    let (recipe, content) = (manifest.recipe_id, manifest.content_id);
    let facts = BaseFacts { sha256: manifest.base.sha256, ..base };
    let same = [
        ("the size", stamped.undo.stamped_size == manifest.size),
        ("the base", facts == manifest.base),
        ("the keys", are_keys_of(manifest, (image, stamped), &edits)),
        ("whether it is private", !(edits.is_private() && manifest.private == Some(false))),
        ("the recipe id", is_id_of(manifest, recipe, manifest.inputs, recipe_id)),
        ("the content id", is_id_of(manifest, content, Some(manifest.edits), content_id)),
    ];
    let (what, _) = same.into_iter().find(|(_, same)| !same)?;
    fault(what, "something else".into())
}

/// Whether the keys are those of all files, or those that earlier versions listed.
fn are_keys_of<I: ReadAt>(
    manifest: &Manifest,
    (image, stamped): (&I, &Stamped),
    edits: &Edits,
) -> bool {
    let attached = stamped.attached.iter().map(|(path, at)| (path.as_str(), *at));
    let files = KeyFiles::of_root(stamped.root.iter()).with_attached(image, attached);
    manifest.keys == keys_of(&files) || manifest.keys == keys_of_folder(edits)
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
    let sha256 = file.sha256.as_deref().unwrap_or("not told");
    let all = [
        (file.kind != other.kind, format!("the kind {}", file.kind)),
        (file.mode != other.mode, format!("the mode {}", file.mode)),
        (file.owner != other.owner, format!("the owner {}:{}", file.owner.0, file.owner.1)),
        (file.sha256 != other.sha256, format!("the SHA-256 {sha256}")),
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
