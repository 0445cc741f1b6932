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

#[test]
fn images_of_others_in_a_layout_stay_and_other_versions_are_refused() {
    let folder = layout();
    let mut index = json(folder.at("o/index.json"));
    let foreign = serde_json::json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{}", "0".repeat(64)), "size": 7, "platform": { "os": "linux" } });
    index["manifests"].as_array_mut().unwrap().push(foreign.clone());
    index["annotations"] = serde_json::json!({ "a": "b" });
    folder.write("o/index.json", index.to_string().as_bytes());
    folder.write("bob.csv", format!("name,key\nbob,{}\n", key(2)).as_bytes());
    let stamp = || folder.run(&["stamp", "base.iso", "bob.csv", "--as", "oci", "-o", "o"]);
    stamp().done();
    let now = json(folder.at("o/index.json"));
    assert_eq!(now["manifests"].as_array().unwrap().len(), 3);
    assert!(now["manifests"].as_array().unwrap().contains(&foreign));
    assert_eq!(now["annotations"], index["annotations"]);
    for (file, text, words) in [
        ("index.json", r#"{"schemaVersion":3,"manifests":[]}"#, "schemaVersion 2"),
        ("index.json", r#"{"schemaVersion":2,"manifests":{}}"#, "a list of manifests"),
        ("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, "imageLayoutVersion 1.0.0"),
    ] {
        let path = format!("o/{file}");
        let before = fs::read(folder.at(&path)).unwrap();
        folder.write(&path, text.as_bytes());
        stamp().refused(4, words);
        assert_eq!(fs::read_to_string(folder.at(&path)).unwrap(), text);
        folder.write(&path, &before);
    }
}

#[test]
fn two_runs_into_one_layout_at_once_lose_nothing() {
    let folder = Folder::with_base(&TINY);
    let users: Vec<String> = (0..16).map(|user| format!("user{user},{}\n", key(user))).collect();
    folder.write("users.csv", format!("name,key\n{}", users.concat()).as_bytes());
    std::thread::scope(|scope| {
        for shard in ["1/2", "2/2"] {
            let line = ["stamp", "base.iso", "users.csv", "--as", "oci", "-o", "o", "--shard"];
            let words = [&line[..], &[shard]].concat();
            let folder = &folder;
            scope.spawn(move || folder.run(&words).done());
        }
    });
    let all = json(folder.at("o/index.json"))["manifests"].as_array().unwrap().len();
    assert_eq!(all, 16);
}

#[test]
fn a_damaged_entry_of_an_index_is_named() {
    let folder = layout();
    let index = String::from_utf8(folder.read("o/index.json")).unwrap();
    folder.write("o/index.json", index.replace("\"size\"", "\"syze\"").as_bytes());
    let ended = folder.run(&["apply", "o", "--name", "alice", "-o", "x.iso"]);
    ended.refused(4, "the entry of \"alice\" in o/index.json");
}

#[test]
fn an_entry_without_a_sha256_keeps_nobody_from_the_others() {
    let folder = layout();
    let mut index = json(folder.at("o/index.json"));
    let other = serde_json::json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha512:{}", "0".repeat(128)), "size": 7,
        "annotations": { "org.opencontainers.image.ref.name": "other" } });
    index["manifests"].as_array_mut().unwrap().push(other.clone());
    folder.write("o/index.json", index.to_string().as_bytes());
    folder.run(&APPLY).done();
    folder
        .run(&["apply", "o", "--name", "other", "-o", "x.iso"])
        .refused(4, "the entry of \"other\" in o/index.json");
    let stamp = |name: &str| {
        folder.write("one.csv", format!("name,key\n{name},{}\n", key(2)).as_bytes());
        folder.run(&["stamp", "base.iso", "one.csv", "--as", "oci", "-o", "o", "--skip-existing"])
    };
    stamp("bob").done();
    let ended = stamp("other");
    assert!(ended.status != 0 && ended.err.contains("the entry of \"other\""), "{}", ended.err);
    let now = json(folder.at("o/index.json"));
    assert!(now["manifests"].as_array().unwrap().contains(&other), "{now}");
}

#[test]
fn an_index_that_is_too_large_is_refused_by_every_command() {
    let folder = layout();
    folder.write("users.csv", format!("name,key\nbob,{}\n", key(2)).as_bytes());
    let index = fs::File::options().write(true).open(folder.at("o/index.json")).unwrap();
    index.set_len((64 << 20) + 1).unwrap();
    for words in [
        &APPLY[..],
        &["stamp", "base.iso", "users.csv", "--as", "oci", "-o", "o"],
        &["stamp", "base.iso", "users.csv", "--as", "oci", "-o", "o", "--resume"],
        &["stamp", "base.iso", "users.csv", "--as", "oci", "-o", "o", "--skip-existing"],
    ] {
        let ended = folder.run(words);
        assert!(ended.status != 0, "{words:?}");
        assert!(ended.err.contains("o/index.json") && ended.err.contains("64"), "{}", ended.err);
    }
}
