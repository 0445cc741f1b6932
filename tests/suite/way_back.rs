//! The small form of an image and the ways back: patch files, reset, edits in place, and what differs.

use remaster::digest::Digest;
use remaster::progress::Silent;

use crate::support::{Folder, WAYS, bases, edits, key, stamp};

/// Stamps `base.iso` by the program to `name`.
fn stamped(folder: &Folder, number: u8, name: &str) {
    folder.run(&["base.iso", "--key", &key(number), "-o", name]).done();
}

#[test]
fn a_patch_makes_the_very_image_and_takes_no_other_base() {
    for (name, base) in bases() {
        let folder = Folder::with_base(base);
        stamped(&folder, 1, "a.iso");
        folder.run(&["base.iso", "--key", &key(1), "--as", "patch", "-o", "a.remaster"]).done();
        assert!(folder.read("a.remaster").len() < 300_000, "{name}");
        folder.run(&["apply", "base.iso", "a.remaster", "-o", "b.iso"]).done();
        assert!(folder.read("a.iso") == folder.read("b.iso"), "{name}");
        let mut other = base.to_vec();
        other[40_000] ^= 1;
        folder.write("other.iso", &other);
        folder
            .run(&["apply", "other.iso", "a.remaster", "-o", "c.iso"])
            .refused(3, "is not the base that was meant");
        assert!(!folder.at("c.iso").exists());
        // The base below a stamped image serves as well as the base.
        stamped(&folder, 2, "two.iso");
        folder.run(&["apply", "two.iso", "a.remaster", "-o", "d.iso"]).done();
        assert!(folder.read("a.iso") == folder.read("d.iso"), "{name}");
    }
}

#[test]
fn a_patch_with_a_flipped_byte_is_refused() {
    let folder = Folder::with_base(bases()[0].1);
    folder.run(&["base.iso", "--key", &key(1), "--as", "patch", "-o", "a.remaster"]).done();
    let patch = folder.read("a.remaster");
    for at in (0..patch.len()).step_by(patch.len() / 40) {
        let mut broken = patch.clone();
        broken[at] ^= 0x10;
        folder.write("broken", &broken);
        folder.run(&["apply", "base.iso", "broken", "-o", "b.iso"]).refused(4, "");
        assert!(!folder.at("b.iso").exists(), "byte {at}");
    }
}

#[test]
fn reset_gives_the_base_both_ways_and_in_place() {
    for (name, base) in bases() {
        for way in WAYS {
            let folder = Folder::with_base(base);
            folder.write("a.iso", &stamp(base, &edits(1, way)));
            folder.run(&["reset", "a.iso", "-o", "b.iso"]).done();
            assert!(folder.read("b.iso") == base, "{name} {way:?}");
            folder
                .write("a.iso.zst", &zstd::encode_all(folder.read("a.iso").as_slice(), 1).unwrap());
            folder.run(&["reset", "a.iso.zst", "-o", "packed.iso"]).done();
            assert!(folder.read("packed.iso") == base, "{name} {way:?} packed");
            folder.run(&["reset", "--in-place", "a.iso"]).done();
            assert!(folder.read("a.iso") == base, "{name} {way:?} in place");
            folder.run(&["reset", "a.iso", "-o", "c.iso"]).refused(2, "nothing was put into");
        }
    }
}

#[test]
fn a_reset_to_another_digest_writes_nothing() {
    let folder = Folder::with_base(bases()[0].1);
    stamped(&folder, 1, "a.iso");
    let before = folder.read("a.iso");
    let zeros = "0".repeat(64);
    folder.run(&["reset", "--in-place", "--sha256", &zeros, "a.iso"]).refused(3, "that was meant");
    folder.run(&["reset", "a.iso", "--sha256", &zeros, "-o", "b.iso"]).refused(3, "that was meant");
    assert!(folder.read("a.iso") == before && !folder.at("b.iso").exists());
}

#[test]
fn an_edit_in_place_is_the_image_made_anew() {
    for (name, base) in bases() {
        let folder = Folder::with_base(base);
        stamped(&folder, 1, "a.iso");
        stamped(&folder, 2, "b.iso");
        folder.run(&["edit", "--in-place", "a.iso", "--key", &key(2)]).done();
        assert!(folder.read("a.iso") == folder.read("b.iso"), "{name}");
        folder.run(&["edit", "--in-place", "base.iso", "--key", &key(2)]).done();
        assert!(folder.read("base.iso") == folder.read("b.iso"), "{name}: a stock image");
    }
}

#[test]
fn a_base_is_what_its_digest_says_or_nothing_is_written() {
    let folder = Folder::with_base(bases()[0].1);
    let digest = Digest::of(&bases()[0].1, &Silent).unwrap().to_string();
    let stamp = |more: &[&str]| {
        folder.run(&[&["base.iso", "--key", &key(1), "-f", "-o", "a.iso"], more].concat())
    };
    stamp(&["--sha256", &digest]).done();
    folder.write("sums", format!("{digest}  base.iso\n").as_bytes());
    stamp(&["--sha256-file", "sums"]).done();
    std::fs::remove_file(folder.at("a.iso")).unwrap();
    stamp(&["--sha256", &digest.replace(char::is_numeric, "0")]).refused(3, &digest);
    folder.write("sums", format!("{digest}  other.iso\n").as_bytes());
    stamp(&["--sha256-file", "sums"]).refused(2, "it is for other.iso");
    assert!(!folder.at("a.iso").exists());
}

#[test]
fn a_diff_tells_menus_files_and_what_was_put_in_but_no_secret() {
    let folder = Folder::with_base(bases()[0].1);
    let hash = format!("$6$saltsalt${}", "a".repeat(86));
    let more = ["--karg", "live.nixos.passwd=hunter2", "--root-password-hash", &hash];
    folder.run(&[&["base.iso", "--key", &key(1), "-o", "a.iso"], more.as_slice()].concat()).done();
    stamped(&folder, 2, "b.iso");
    for other in ["base.iso", "b.iso"] {
        let text = folder.run(&["diff", other, "a.iso"]).done();
        assert!(text.contains("grub.cfg") && text.contains("SHA256:"), "{text}");
        assert!(text.contains("live.nixos.passwd=…") && text.contains("/etc/shadow"), "{text}");
        let json = folder.run(&["diff", other, "a.iso", "--json"]).done();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(
            json["bytes"].as_u64().unwrap() > 0 && !json["menus"].as_array().unwrap().is_empty()
        );
        for said in [text, json.to_string()] {
            assert!(!said.contains("hunter2") && !said.contains("saltsalt"), "{said}");
        }
    }
    let same = folder.run(&["diff", "a.iso", "a.iso"]).done();
    assert!(same.contains("the same, byte for byte"), "{same}");
}
