//! OCI image layouts that somebody changed: what a blob is called by is what it is, or it is not used.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Folder, TINY, key};

/// A layout `o` of one user, `alice`.
fn layout() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("users.csv", format!("name,key\nalice,{}\n", key(1)).as_bytes());
    folder.run(&["stamp", "base.iso", "users.csv", "--as", "oci", "-o", "o"]).done();
    folder
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(folder: &Folder, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    folder.at(&format!("o/blobs/sha256/{digest}"))
}

/// The manifest of the image, its base and its patch.
fn blobs(folder: &Folder) -> [PathBuf; 3] {
    let manifest = blob(folder, &json(folder.at("o/index.json"))["manifests"][0]);
    let layers = &json(manifest.clone())["layers"];
    [manifest, blob(folder, &layers[0]), blob(folder, &layers[1])]
}

fn flip(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &PathBuf) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
}

fn lead_away(path: &PathBuf) {
    fs::rename(path, path.with_extension("away")).unwrap();
    symlink(path.with_extension("away"), path).unwrap();
}

const APPLY: [&str; 6] = ["apply", "o", "--name", "alice", "-o", "alice.iso"];

#[test]
fn a_blob_that_is_not_what_it_is_called_by_is_not_used() {
    type Damage = fn(&PathBuf);
    let table: [(usize, Damage, i32, &str); 6] = [
        (0, flip, 3, "has the SHA-256"),
        (0, lead_away, 1, "Too many levels of symbolic links"),
        (1, flip, 3, "is not the base that was meant"),
        (1, cut, 3, "is not the base that was meant"),
        (2, flip, 3, "has the SHA-256"),
        (2, lead_away, 1, "Too many levels of symbolic links"),
    ];
    for (which, damage, status, words) in table {
        let folder = layout();
        damage(&blobs(&folder)[which]);
        folder.run(&APPLY).refused(status, words);
        assert!(!folder.at("alice.iso").exists());
    }
    let folder = layout();
    folder.run(&APPLY).done();
}

#[test]
fn a_base_that_was_changed_or_led_away_is_put_in_anew() {
    for damage in [flip, lead_away] {
        let folder = layout();
        let [_, base, _] = blobs(&folder);
        damage(&base);
        folder.run(&["stamp", "base.iso", "users.csv", "--as", "oci", "-o", "o", "-f"]).done();
        assert!(fs::read(&base).unwrap() == *TINY && !base.is_symlink());
        folder.run(&APPLY).done();
    }
}
