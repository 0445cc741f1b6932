//! The small form of an image and the ways back: patch files, reset, edits in place, and what differs.

use std::collections::BTreeSet;

use remaster::formats::patch_file::PatchFile;
use remaster::image::digest::Digest;
use remaster::progress::Silent;
use remaster::units::u64_len;

use crate::support::{Ended, Folder, WAYS, assert_same, bases, edits, key, stamp};

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
        let piped = folder.run(&["apply", "base.iso", "a.remaster", "-o", "-"]);
        assert!(piped.status == 0 && folder.read("a.iso") == piped.out, "{name}: {}", piped.err);
        // The base below a stamped image serves as well as the base.
        stamped(&folder, 2, "two.iso");
        folder.run(&["apply", "two.iso", "a.remaster", "-o", "d.iso"]).done();
        assert!(folder.read("a.iso") == folder.read("d.iso"), "{name}");
    }
}

#[test]
fn a_patch_of_a_stamped_base_is_for_the_base_below() {
    for (name, base) in bases() {
        let folder = Folder::with_base(base);
        stamped(&folder, 1, "one.iso");
        let patch = |base: &str, out: &str| {
            folder.run(&[base, "--key", &key(2), "--as", "patch", "-o", out]).done();
            folder.read(out)
        };
        assert!(patch("base.iso", "a") == patch("one.iso", "b"), "{name}");
        folder
            .write("users.jsonl", format!("{{\"name\":\"u\",\"key\":\"{}\"}}", key(2)).as_bytes());
        for form in ["patch", "oci", "image"] {
            let batch = |base: &str, out: &str| {
                folder
                    .run(&["stamp", base, "users.jsonl", "--as", form, "-q", "-o", out])
                    .quietly();
            };
            batch("base.iso", &format!("{form}-a"));
            batch("one.iso", &format!("{form}-b"));
            let files = if form == "oci" { "index.json" } else { "u.remaster" };
            let files = if form == "image" { "u.iso" } else { files };
            let [a, b] = ["a", "b"].map(|end| folder.read(&format!("{form}-{end}/{files}")));
            assert!(a == b, "{name} {form}");
        }
        folder.run(&["apply", "oci-b", "--name", "u", "-o", "u.iso"]).done();
        assert!(folder.read("u.iso") == folder.read("image-a/u.iso"), "{name}");
    }
}

#[test]
fn a_patch_with_any_flipped_byte_is_refused() {
    let folder = Folder::with_base(bases()[0].1);
    folder.run(&["base.iso", "--key", &key(1), "--as", "patch", "-o", "a.remaster"]).done();
    let patch = folder.read("a.remaster");
    assert!(patch.len() < 100_000);
    for at in 0..patch.len() {
        let mut broken = patch.clone();
        broken[at] ^= 0x10;
        assert!(PatchFile::parse(&broken).is_err(), "byte {at}");
        assert!(PatchFile::parse(&patch[..at]).is_err(), "cut at {at}");
    }
    for at in (0..patch.len()).step_by(patch.len() / 10) {
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
    folder
        .run(&["reset", "--in-place", "--sha256", &zeros, "a.iso"])
        .refused(3, "the base below a.iso has the SHA-256");
    folder
        .run(&["reset", "a.iso", "--sha256", &zeros, "-o", "b.iso"])
        .refused(3, "the base below a.iso has the SHA-256");
    assert!(folder.read("a.iso") == before && !folder.at("b.iso").exists());
}

#[test]
fn an_edit_in_place_is_the_image_made_anew() {
    for (name, base) in bases() {
        let folder = Folder::with_base(base);
        stamped(&folder, 1, "a.iso");
        stamped(&folder, 2, "b.iso");
        folder.run(&["edit", "--in-place", "a.iso", "--replace", "--key", &key(2)]).done();
        assert!(folder.read("a.iso") == folder.read("b.iso"), "{name}");
        folder.run(&["edit", "--in-place", "base.iso", "--key", &key(2)]).done();
        assert!(folder.read("base.iso") == folder.read("b.iso"), "{name}: a stock image");
    }
}

#[test]
fn a_base_is_what_its_digest_says_or_nothing_is_written() {
    let folder = Folder::with_base(bases()[0].1);
    let digest = Digest::compute(&bases()[0].1, &Silent).unwrap().to_string();
    let stamp = |more: &[&str]| {
        folder.run(&[&["base.iso", "--key", &key(1), "-f", "-o", "a.iso"], more].concat())
    };
    stamp(&["--sha256", &digest]).done();
    folder.write("sums", format!("{digest}  base.iso\n").as_bytes());
    stamp(&["--sha256-file", "sums"]).done();
    // How the base was given changes no byte of the image. What is known of it is told beside the image.
    let made = |more: &[&str]| {
        stamp(&[&["--provenance", "p.json"], more].concat()).done();
        let told: serde_json::Value = serde_json::from_slice(&folder.read("p.json")).unwrap();
        let base = &told["predicate"]["buildDefinition"]["resolvedDependencies"][0];
        (folder.read("a.iso"), base["digest"]["sha256"] == digest.as_str())
    };
    let (image, is_told) = made(&[]);
    assert!(!is_told);
    for how in [["--sha256", &digest], ["--sha256-file", "sums"]] {
        let (other, is_told) = made(&how);
        assert_same("the image", &other, &image);
        assert!(is_told);
    }
    // Not that of a file that is not the base itself.
    let file = Digest::of_bytes(&folder.read("a.iso")).to_string();
    folder
        .run(&[
            "a.iso",
            "--key",
            &key(2),
            "--sha256",
            &file,
            "--manifest",
            "m.json",
            "-f",
            "-o",
            "b.iso",
        ])
        .done();
    assert!(!String::from_utf8(folder.read("m.json")).unwrap().contains(&file));
    folder.write("base.iso.zst", &zstd::encode_all(bases()[0].1, 1).unwrap());
    let packed = Digest::of_bytes(&folder.read("base.iso.zst")).to_string();
    folder
        .run(&[
            "base.iso.zst",
            "--key",
            &key(2),
            "--sha256",
            &packed,
            "--manifest",
            "m.json",
            "-f",
            "-o",
            "b.iso",
        ])
        .done();
    assert!(!String::from_utf8(folder.read("m.json")).unwrap().contains(&packed));
    std::fs::remove_file(folder.at("a.iso")).unwrap();
    stamp(&["--sha256", &digest.replace(char::is_numeric, "0")]).refused(3, &digest);
    folder.write("sums", format!("{digest}  other.iso\n").as_bytes());
    stamp(&["--sha256-file", "sums"]).refused(2, "it is for other.iso");
    assert!(!folder.at("a.iso").exists());
}

#[test]
fn a_digest_is_remembered_only_when_that_is_asked_for() {
    let folder = Folder::with_base(bases()[0].1);
    let digest = Digest::of_bytes(bases()[0].1).to_string();
    let run = |more: &[&str]| {
        let words = ["base.iso", "--key", &key(1), "-f", "-o", "a.iso", "--sha256", &digest];
        let mut program = folder.program(&[&words, more].concat());
        Ended::from(program.env("XDG_CACHE_HOME", folder.at("cache")).output().unwrap())
    };
    let digests = folder.at("cache/remaster/digests");
    run(&[]).done();
    assert!(!digests.exists());
    run(&["--cache-digest"]).done();
    assert!(digests.exists());
    run(&["--cache-digest"]).done();
    // The same path, size, time and inode: the time of change of status tells.
    let file = std::fs::File::options().write(true).open(folder.at("base.iso")).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"x", u64_len(bases()[0].1) - 1).unwrap();
    file.set_modified(time).unwrap();
    run(&[]).refused(3, "is not the base that was meant");
    run(&["--cache-digest"]).refused(3, "is not the base that was meant");
}

/// What is said of images that differ.
fn differs(folder: &Folder, images: &[&str]) -> String {
    let ended = folder.run(&[&["diff"], images].concat());
    assert!(ended.status == 1 && ended.err.is_empty(), "{images:?}: {}", ended.err);
    ended.text().to_owned()
}

#[test]
fn an_image_is_compared_with_its_own_base() {
    let folder = Folder::with_base(bases()[0].1);
    folder.run(&["base.iso", "--key", &key(1), "-o", "a.iso"]).done();
    let own = differs(&folder, &["a.iso", "--json"]);
    assert_eq!(own, differs(&folder, &["base.iso", "a.iso", "--json"]));
    let text = differs(&folder, &["a.iso"]);
    assert!(text.starts_with("release: ") && text.contains("--all shows them"), "{text}");
    folder.run(&["diff", "base.iso"]).refused(2, "there is nothing to compare it with");
}

#[test]
fn a_diff_tells_hierarchies_records_and_all_menus() {
    let folder = Folder::with_base(bases()[0].1);
    let more = ["--merge-initrd", "--karg", "a=b", "--timeout", "7"];
    folder.run(&[&["base.iso", "--key", &key(1), "-o", "a.iso"], more.as_slice()].concat()).done();
    let text = differs(&folder, &["base.iso", "a.iso", "--all"]);
    for words in [
        "as Joliet has them:",
        "directory records:",
        "primary:/remaster/payload.img",
        "joliet:/remaster/payload.img",
        "esp:/EFI/BOOT/grub.cfg timeout: ",
        "  + a=b\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = differs(&folder, &["base.iso", "a.iso", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let list = |name: &str| json[name].as_array().unwrap().clone();
    let menus: BTreeSet<String> =
        list("menus").iter().map(|entry| entry["menu"].as_str().unwrap().to_owned()).collect();
    let all =
        ["esp:/EFI/BOOT/grub.cfg", "volume:/EFI/BOOT/grub.cfg", "volume:/isolinux/isolinux.cfg"];
    assert_eq!(menus, all.map(str::to_owned).into());
    let changed = |name: &str| list(name).iter().filter(|one| !one["before"].is_null()).count();
    // Two initrds, two menus and the UEFI boot image, each under two names.
    assert_eq!((changed("files"), changed("joliet")), (5, 5));
    let initrds = list("records")
        .into_iter()
        .filter(|one| one["what"].as_str().unwrap().ends_with("/initrd"));
    assert_eq!(initrds.count(), 4);
    folder
        .run(&["base.iso", "--key", &key(1), "--karg", "a=b", "--karg", "c=d", "-o", "b.iso"])
        .done();
    folder
        .run(&["base.iso", "--key", &key(1), "--karg", "c=d", "--karg", "a=b", "-o", "c.iso"])
        .done();
    let text = differs(&folder, &["b.iso", "c.iso", "--all"]);
    assert!(text.contains("the same words in another order"), "{text}");
}

#[test]
fn a_diff_tells_menus_files_and_what_was_put_in_but_no_secret() {
    let folder = Folder::with_base(bases()[0].1);
    let hash = format!("$6$saltsalt${}", "a".repeat(86));
    let more = ["--karg", "live.nixos.passwd=hunter2", "--root-password-hash", &hash];
    folder.run(&[&["base.iso", "--key", &key(1), "-o", "a.iso"], more.as_slice()].concat()).done();
    stamped(&folder, 2, "b.iso");
    for other in ["base.iso", "b.iso"] {
        let text = differs(&folder, &[other, "a.iso", "--all"]);
        assert!(text.contains("grub.cfg") && text.contains("SHA256:"), "{text}");
        assert!(text.contains("live.nixos.passwd=…") && text.contains("/etc/shadow"), "{text}");
        let json = differs(&folder, &[other, "a.iso", "--json"]);
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

#[test]
fn a_reset_holds_the_base_to_what_its_manifest_says_and_says_what_it_cannot_prove() {
    const UNPROVEN: &str = "compare this SHA-256 with the published one";
    for (name, base) in bases() {
        let digest = Digest::of_bytes(base).to_string();
        let rows: [(&[&str], &[&str], &str, &str); 4] = [
            (&[], &[], UNPROVEN, "head"),
            (&[], &["--sha256", &digest], ", as required", "demanded"),
            (&["--sha256", &digest], &[], UNPROVEN, "head"),
            (&["--manifest-digests"], &[], ", as its manifest says", "manifest"),
        ];
        for (stamping, resetting, words, known_by) in rows {
            let folder = Folder::with_base(base);
            let stamp = ["base.iso", "--key", &key(1), "-o", "a.iso"];
            folder.run(&[&stamp[..], stamping].concat()).done();
            let reset = [&["reset", "a.iso", "-f", "-o", "out"], resetting].concat();
            let ended = folder.run(&reset);
            let what = format!("{name}, {stamping:?}, {resetting:?}: {}", ended.err);
            assert!(ended.status == 0 && ended.err.contains(words), "{what}");
            assert!(ended.err.contains(&digest) && folder.read("out") == base, "{what}");
            let told = folder.run(&[&reset[..], &["--json"]].concat()).done();
            assert!(told.contains(&format!("\"known_by\":\"{known_by}\"")), "{what}: {told}");
            // A byte of the base that is in no structure.
            let mut other = folder.read("a.iso");
            let at = base.len() - 3000;
            other[at] ^= 1;
            folder.write("a.iso", &other);
            let ended = folder.run(&reset);
            let is_unseen = known_by == "head" && at >= 1 << 20;
            assert_eq!(ended.status, if is_unseen { 0 } else { 3 }, "{}", ended.err);
            if !is_unseen {
                let in_place = ["reset", "--in-place", "a.iso"];
                folder
                    .run(&[&in_place[..], resetting].concat())
                    .refused(3, "the base below a.iso has");
                assert!(folder.read("a.iso") == other, "{what}");
            }
        }
    }
}
