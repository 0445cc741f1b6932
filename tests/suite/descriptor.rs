//! A patch with its descriptor, of which `remaster apply` makes the image alone; addresses are in `tests/fetch`.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::{Folder, TINY, key};

const FILE: &str = "out/a.remaster.descriptor.json";

/// A batch of one user with a descriptor, and the image that it must give.
fn stamped(more: &[&str]) -> (Folder, Vec<u8>) {
    let folder = Folder::with_base(&TINY);
    folder.write("u.toml", format!("[[user]]\nname = 'a'\nkey = '{}'\n", key(1)).as_bytes());
    let words = ["stamp", "base.iso", "u.toml", "--as", "patch", "--descriptor", "-o", "out"];
    folder.run(&[&words, more].concat()).done();
    folder.run(&["base.iso", "--key", &key(1), "-o", "wanted.iso"]).done();
    let wanted = folder.read("wanted.iso");
    (folder, wanted)
}

impl Folder {
    /// Changes the descriptor, and gives it back after the check.
    fn changed(&self, change: impl FnOnce(&mut Value), check: impl FnOnce(&Self)) {
        let before = self.read(FILE);
        let mut value = serde_json::from_slice(&before).unwrap();
        change(&mut value);
        self.write(FILE, value.to_string().as_bytes());
        check(self);
        assert!(!self.at("a.iso").exists());
        self.write(FILE, &before);
    }

    fn applies(&self, words: &[&str], wanted: &[u8]) {
        self.run(&[&["apply"], words, &["-o", "a.iso"]].concat()).done();
        assert!(self.read("a.iso") == wanted, "{words:?}");
        fs::remove_file(self.at("a.iso")).unwrap();
    }

    fn refuses(&self, status: i32, words: &str) {
        self.run(&["apply", FILE, "-q", "-o", "a.iso"]).refused(status, words);
    }
}

#[test]
fn the_image_is_made_of_a_descriptor_and_the_base_from_anywhere() {
    let (folder, wanted) = stamped(&[]);
    folder.refuses(2, "the descriptor has no address of its base");
    folder.applies(&["base.iso", FILE], &wanted);
    folder.applies(&["wanted.iso", FILE], &wanted);
    let cached = json!({ "name": "nixos-25.11-minimal", "version": "25.11.1", "url": "https://127.0.0.1:1/x",
        "sha256": serde_json::from_slice::<Value>(&folder.read(FILE)).unwrap()["base"]["sha256"],
        "size": TINY.len(), "file": "x.iso" });
    fs::create_dir(folder.at("c")).unwrap();
    folder.write("c/x.iso", &TINY);
    folder.write("c/nixos-25.11-minimal.json", cached.to_string().as_bytes());
    let batch = ["--as", "patch", "--descriptor", "-o", "named", "--cache", "c"];
    folder.run(&[&["stamp", "nixos-25.11-minimal", "u.toml"], &batch[..]].concat()).done();
    let named = "named/a.remaster.descriptor.json";
    let told: Value = serde_json::from_slice(&folder.read(named)).unwrap();
    assert_eq!(told["base"]["name"], "nixos-25.11-minimal");
    assert_eq!(told["base"]["url"], "https://127.0.0.1:1/x");
    folder.applies(&[named, "--cache", "c", "--offline"], &wanted);
    let there = folder.run(&["apply", named, "--cache", "d", "--offline", "-o", "a.iso"]);
    there.refused(2, "--offline forbids fetching https://127.0.0.1:1/x");
    let zeros = "0".repeat(64);
    let other = ["apply", named, "--cache", "c", "--sha256", &zeros, "-qo", "a.iso"];
    folder.run(&other).refused(3, "is not the base that was meant");
    folder.write("out/base.iso", &TINY);
    folder.applies(&[FILE], &wanted);
    let mut other = TINY.to_vec();
    other[40_000] ^= 1;
    folder.write("out/base.iso", &other);
    folder.refuses(3, "is not the base that was meant");
}

#[test]
fn a_descriptor_that_tells_something_else_makes_nothing() {
    let (folder, _) = stamped(&[]);
    folder.write("out/base.iso", &TINY);
    let zeros = "0".repeat(64);
    let set = |above: &'static str, name: &'static str, to: Value| {
        move |it: &mut Value| if above.is_empty() { it[name] = to } else { it[above][name] = to }
    };
    for (above, name, to, status, words) in [
        ("patch", "sha256", json!(zeros), 3, "a.remaster has the SHA-256"),
        ("patch", "size", json!(1), 3, "(1 bytes)"),
        ("patch", "file", json!("../out/a.remaster"), 4, "it has a slash"),
        ("patch", "file", json!("b.remaster"), 1, "which the descriptor names"),
        ("base", "sha256", json!(zeros), 4, "as its patch has"),
        ("base", "url", json!("http://127.0.0.1/x"), 4, "expected one that starts with https://"),
        ("", "content_id", json!(zeros), 3, "the content id differs"),
        ("", "recipe_id", json!(zeros), 3, "the recipe id differs"),
        ("", "descriptor", json!(2), 4, "looked for version 1, found version 2"),
        ("", "run", json!("sh"), 4, "unknown field `run`"),
    ] {
        folder.changed(set(above, name, to), |folder| folder.refuses(status, words));
    }
    folder.write("a.iso", b"here");
    folder.refuses(2, "already exists");
    fs::remove_file(folder.at("a.iso")).unwrap();
    for (name, words) in [("a.remaster", "is not a file"), ("base.iso", "is not a file")] {
        let path = folder.at(&format!("out/{name}"));
        fs::rename(&path, folder.at(name)).unwrap();
        symlink(folder.at(name), &path).unwrap();
        folder.refuses(2, words);
        fs::rename(folder.at(name), &path).unwrap();
    }
    folder.write(FILE, "{".repeat(70_000).as_bytes());
    folder.refuses(2, "it has more than 64.0 KiB");
}

#[test]
fn descriptors_are_of_patches_and_tell_addresses_that_can_be_used() {
    let (folder, _) = stamped(&["--base-url", "https://example.org/b.iso"]);
    assert!(folder.run(&["apply", "base.iso", FILE, "-o", "b.iso"]).status == 0);
    let told: Value = serde_json::from_slice(&folder.read(FILE)).unwrap();
    assert_eq!(told["base"]["url"], "https://example.org/b.iso");
    let stamp = |more: &[&str]| {
        folder.run(&[&["stamp", "base.iso", "u.toml", "--descriptor", "-o", "x"], more].concat())
    };
    stamp(&[]).refused(2, "--descriptor is about patch files");
    stamp(&["--as", "oci"]).refused(2, "--descriptor is about patch files");
    let of = |url| stamp(&["--as", "patch", "--base-url", url]);
    of("http://example.org/b.iso").refused(2, "a descriptor cannot describe this base");
    of("https://example.org/b.iso.zst").refused(2, "--base-url names a packed file");
    of("b.iso").refused(2, "is not an address of a web server");
    assert!(!folder.at("x").exists());
}

#[test]
fn the_error_for_one_word_without_a_descriptor_says_what_is_missing() {
    let (folder, _) = stamped(&[]);
    for (word, words) in [
        ("base.iso", "give the patch after its base"),
        (
            "out/a.remaster",
            "give its descriptor, which names the base: out/a.remaster.descriptor.json",
        ),
        ("out", "give --name NAME"),
    ] {
        folder.run(&["apply", word, "-o", "a.iso"]).refused(2, words);
    }
}
