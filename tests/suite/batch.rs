//! One base, many users: each gets what it would get alone, whatever happens to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use remaster::formats::patch_file::PatchFile;
use remaster::image::digest::Digest;
use remaster::image::patched::PatchedImage;
use remaster::stamp::oci::Layout;
use remaster::stamp::patch;
use serde_json::Value;

use crate::support::{
    Ended, Folder, SYSTEMD, TINY, assert_same, bases, bytes, in_namespace, key, pair,
};

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// A folder with a base, four keys, and the users in all three forms; dave has one more key and another
/// way in.
fn folder(base: &[u8]) -> Folder {
    let folder = Folder::with_base(base);
    fs::create_dir(folder.at("keys")).unwrap();
    let (mut toml, mut jsonl) = (String::new(), String::new());
    let mut csv = "name,key,merge-initrd\n".to_owned();
    for (number, name) in (1..).zip(NAMES) {
        folder.write(&format!("keys/{name}.pub"), format!("{}\n", key(number)).as_bytes());
        let dave = name == "dave";
        let keys = if dave { "['keys/dave.pub', 'keys']" } else { &format!("'keys/{name}.pub'") };
        let _ = write!(toml, "[[user]]\nname = '{name}'\nkey = {keys}\nmerge-initrd = {dave}\n");
        let line = format!("{{\"name\":\"{name}\",\"key\":{keys},\"merge-initrd\":{dave}}}\n")
            .replace('\'', "\"");
        jsonl.push_str(&line);
        let keys = keys.replace(['[', ']', '\''], "").replace(',', ";");
        let _ = writeln!(csv, "{name},{keys},{dave}");
    }
    folder.write("users.toml", toml.as_bytes());
    folder.write("users.csv", csv.as_bytes());
    folder.write("users.jsonl", jsonl.as_bytes());
    folder
}

fn lines(ended: &Ended) -> Vec<Value> {
    let mut found: Vec<Value> =
        ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    found.sort_by_key(|line| line["name"].as_str().unwrap().to_owned());
    found
}

/// The image of a user, made alone.
fn alone(folder: &Folder, name: &str) -> Vec<u8> {
    let out = format!("alone-{name}.iso");
    let own = format!("keys/{name}.pub");
    let mut arguments = vec!["base.iso", "--manifest-digests", "-q", "-o", &out, "--key", &own];
    if name == "dave" {
        let all = ["keys/alice.pub", "keys/bob.pub", "keys/carol.pub", "keys/dave.pub"];
        arguments.extend(all.iter().flat_map(|key| ["--key", key]));
        arguments.push("--merge-initrd");
    }
    folder.run(&arguments).quietly();
    folder.read(&out)
}

fn stamp<'a>(users: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["stamp", "base.iso", users, "--manifest-digests", "-q", "-o", out], more].concat()
}

#[test]
fn each_gets_what_it_would_get_alone_in_every_form() {
    for (which, base) in bases() {
        let folder = folder(base);
        let expected: Vec<Vec<u8>> = NAMES.iter().map(|name| alone(&folder, name)).collect();
        for users in ["users.toml", "users.csv", "users.jsonl"] {
            folder.run(&stamp(users, users.split('.').next_back().unwrap(), &[])).quietly();
        }
        folder.run(&stamp("users.toml", "p", &["--as", "patch", "-j", "1"])).quietly();
        folder.run(&stamp("users.toml", "o", &["--as", "oci", "-j", "3"])).quietly();
        let layout = Layout::at(&folder.at("o")).unwrap();
        for (name, expected) in NAMES.iter().zip(&expected) {
            for out in ["toml", "csv", "jsonl"] {
                let what = format!("{which}, {out}, {name}");
                assert_same(&what, &folder.read(&format!("{out}/{name}.iso")), expected);
            }
            let parts = layout.parts(name).unwrap();
            assert_same("base blob", &fs::read(parts.base).unwrap(), base);
            for file in [folder.at(&format!("p/{name}.remaster")), parts.patch] {
                let patch = PatchFile::parse(&fs::read(file).unwrap()).unwrap();
                let whole = PatchedImage::whole(base);
                let applied = patch::apply(&patch, whole, Digest::of_bytes(base), "base").unwrap();
                assert_same(
                    &format!("{which}, patch of {name}"),
                    &bytes(applied.image()),
                    expected,
                );
            }
        }
    }
}

#[test]
fn what_is_in_an_image_does_not_depend_on_the_command_or_on_how_the_base_is_given() {
    let folder = folder(&TINY);
    let sha256 = Digest::of_bytes(&TINY).to_string();
    folder.write("alice.jsonl", b"{\"name\":\"alice\",\"key\":\"keys/alice.pub\"}\n");
    fs::write(folder.at("base.iso.xz"), packed(&TINY)).unwrap();
    let key = ["--key", "keys/alice.pub", "-q"];
    for digests in [&[][..], &["--manifest-digests"]] {
        let made = |name: &str, start: &[&str]| {
            folder.run(&[start, &key, digests].concat()).quietly();
            folder.read(name)
        };
        let expected = made("a.iso", &["base.iso", "-f", "-o", "a.iso"]);
        let demanded = made("b.iso", &["base.iso", "-f", "--sha256", &sha256, "-o", "b.iso"]);
        assert_same("with its digest demanded", &demanded, &expected);
        let unpacked = made("c.iso", &["base.iso.xz", "-f", "-o", "c.iso"]);
        assert_same("packed", &unpacked, &expected);
        let again = made("d.iso", &["b.iso", "-f", "-o", "d.iso"]);
        assert_same("stamped before", &again, &expected);
        let batch = ["stamp", "base.iso", "alice.jsonl", "-q", "-o", "out"];
        folder.run(&[&batch[..], &["-f"], digests].concat()).quietly();
        assert_same("in a batch", &folder.read("out/alice.iso"), &expected);
        // And it is known for what it is.
        let ended = folder.run(&[&batch[..], &["--resume", "--json"], digests].concat());
        assert_eq!(lines(&ended)[0]["kept"], true, "{}", ended.err);
    }
    let ended = folder.run(&["stamp", "base.iso", "alice.jsonl", "-o", "out", "--resume"]);
    let why = "it is of the same recipe, but was made with --manifest-digests";
    assert!(ended.status == 11 && ended.err.contains(why), "{}", ended.err);
    let ended = folder.run(&["flash", "base.iso", "--key", "keys/alice.pub", "--to-file", "f.iso"]);
    ended.done();
    folder.run(&[&["base.iso", "-f", "-o", "a.iso"][..], &key].concat()).quietly();
    assert_same("flashed", &folder.read("f.iso"), &folder.read("a.iso"));
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn json_tells_what_was_made_and_ids_tell_contents() {
    let folder = folder(&TINY);
    let first = lines(&folder.run(&stamp("users.toml", "a", &["--json", "-j", "4"])));
    let again = lines(&folder.run(&stamp("users.csv", "b", &["--json", "-j", "1"])));
    let ids: BTreeSet<&str> =
        first.iter().map(|line| line["recipe_id"].as_str().unwrap()).collect();
    assert_eq!((first.len(), ids.len()), (4, 4));
    for (one, other) in first.iter().zip(&again) {
        let bytes = folder.read(one["path"].as_str().unwrap());
        assert_eq!(one["sha256"], Digest::of_bytes(&bytes).to_string());
        assert_eq!(one["size"], bytes.len());
        assert!(["0644", "0664"].contains(&one["mode"].as_str().unwrap()), "{one}");
        let base = &one["base"];
        assert_eq!((&base["name"], &base["url"]), (&"base.iso".into(), &Value::Null));
        assert_eq!(base["sha256"], Digest::of_bytes(&TINY).to_string());
        assert!(base["release"].as_str().unwrap().starts_with("25.11"), "{base}");
        let manifest = String::from_utf8_lossy(&bytes);
        for id in ["recipe_id", "content_id", "sha256"] {
            assert_eq!(one[id], other[id], "{id}");
            assert!(id == "sha256" || manifest.contains(&format!("\"{id}\": {}", one[id])));
        }
    }
    let named = stamp("users.toml", "c", &["--name-template", "{index}-{id}.img"]);
    folder.run(&named).quietly();
    let id = first[0]["recipe_id"].as_str().unwrap();
    assert!(folder.at(&format!("c/1-{id}.img")).exists());
    folder.write("base.iso", &SYSTEMD);
    let others = lines(&folder.run(&stamp("users.toml", "d", &["--json", "--no-image-sha256"])));
    assert!(others.iter().all(|line| !ids.contains(line["recipe_id"].as_str().unwrap())));
    assert!(others.iter().all(|line| line["sha256"].is_null()));
}

#[test]
fn a_bad_user_is_reported_and_stops_nobody_else() {
    let folder = folder(&TINY);
    let good = String::from_utf8(folder.read("users.toml")).unwrap();
    let bad = "[[user]]\nname = 'x'\nkey = 'nobody.pub'\n\
        [[user]]\nname = '../alice'\nkey = 'keys/bob.pub'\n\
        [[user]]\nname = 'ALICE'\nkey = 'keys/bob.pub'\n\
        [[user]]\nname = 'y'\nkye = 'keys/bob.pub'\n\
        [[user]]\nname = 'z'\nkey = '-'\n\
        [[user]]\nkey = 'keys/bob.pub'\n";
    folder.write("bad.toml", format!("{good}{bad}").as_bytes());
    let told = ["-j", "1", "--failures", "failed.jsonl"];
    let ended = folder.run(&stamp("bad.toml", "out", &told));
    assert_eq!(ended.status, 11, "{}", ended.err);
    let failed = String::from_utf8(folder.read("failed.jsonl")).unwrap();
    let failed: Vec<Value> =
        failed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(failed.len(), 6);
    assert!(failed.iter().any(|line| line["name"] == "x" && line["status"] == 2), "{failed:?}");
    for line in &failed {
        let said = |field: &str| ended.err.contains(line[field].as_str().unwrap());
        assert!(said("error") && said("hint") && said("place"), "{line}");
    }
    for words in [
        "bad.toml:17:1: x: bad.toml:19:7: key: 'nobody.pub' is neither",
        "bad.toml:20:1: ../alice: \"../alice.iso\" is not a name for a file here",
        "bad.toml:23:1: ALICE: \"ALICE.iso\" differs from \"alice.iso\" (bad.toml:1:1) only in case, and so a filesystem",
        "bad.toml:28:7: unknown key `kye`",
        "bad.toml:31:7: key: a batch reads no standard input",
        "bad.toml:32:1: a user without `name`",
        "error: 6 of 10 users failed",
    ] {
        assert!(ended.err.contains(words), "no {words:?} in {}", ended.err);
    }
    let mut made: Vec<_> = fs::read_dir(folder.at("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    made.sort();
    assert_eq!(made, ["alice.iso", "bob.iso", "carol.iso", "dave.iso"]);
    let before = folder.names();
    assert!(!before.contains(&"alice.iso".to_owned()), "{before:?}");

    folder.write("first.toml", format!("{bad}{good}").as_bytes());
    let ended = folder.run(&stamp("first.toml", "fast", &["-j", "1", "--fail-fast"]));
    assert_eq!(ended.status, 11, "{}", ended.err);
    assert_eq!(fs::read_dir(folder.at("fast")).unwrap().count(), 0);
    let told = "error: 1 of 10 users failed, and 9 are not done";
    assert!(ended.err.contains(told), "{}", ended.err);
    let more = ["-j", "1", "--fail-fast", "--json"];
    let ended = folder.run(&stamp("first.toml", "fast", &more));
    let told = ended.text();
    assert!(told.lines().any(|line| line == r#"{"not_done":9}"#), "{told}");
}

#[test]
fn what_is_written_beside_the_files_is_named_once() {
    let folder = folder(&TINY);
    let told = |more: &[&'static str], out: &'static str| {
        let line = [&["stamp", "base.iso", "users.csv", "-o", out], more].concat();
        let ended = folder.run(&line);
        assert_eq!(ended.status, 0, "{}", ended.err);
        ended.err.lines().find(|line| line.starts_with("wrote beside")).map(str::to_owned)
    };
    assert_eq!(told(&[], "plain"), None);
    let all = ["--host-key", "generate", "--manifest", "--sbom", "--provenance"];
    let expected = "wrote beside each: .known_hosts, .manifest.json, .provenance.json, .sbom.json";
    assert_eq!(told(&all, "all").as_deref(), Some(expected));
    for ending in expected.split(": ").nth(1).unwrap().split(", ") {
        assert!(folder.at(&format!("all/alice.iso{ending}")).exists(), "{ending}");
    }
    let patch = ["--as", "patch", "--descriptor"];
    assert_eq!(told(&patch, "patch").as_deref(), Some("wrote beside each: .descriptor.json"));
    assert_eq!(told(&["--as", "oci", "--host-key", "generate"], "oci"), None);
}

#[test]
fn what_is_written_beside_files_that_stay_is_named_too() {
    let folder = folder(&TINY);
    let run = |form: &'static str, more: &[&'static str]| {
        let line = ["stamp", "base.iso", "users.csv", "--as", form, "-o", form];
        let ended = folder.run(&[&line[..], more].concat());
        assert_eq!(ended.status, 0, "{}", ended.err);
        let told = ended.err.lines().filter(|line| line.starts_with("wrote beside "));
        told.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(run("image", &[]), [""; 0]);
    for flag in ["--resume", "--skip-existing"] {
        assert_eq!(run("image", &[flag]), [""; 0], "{flag}");
    }
    let told = run("image", &["--resume", "--manifest", "--sbom"]);
    assert_eq!(told, ["wrote beside each: .manifest.json, .sbom.json"]);
    assert_eq!(run("image", &["--resume", "--manifest", "--sbom"]), [""; 0], "all are there");
    fs::remove_file(folder.at("image/alice.iso.sbom.json")).unwrap();
    let told = run("image", &["--resume", "--manifest", "--sbom", "--provenance"]);
    assert_eq!(told, ["wrote beside each: .provenance.json", "wrote beside some: .sbom.json (1)"]);
    assert_eq!(run("patch", &[]), [""; 0]);
    let told = run("patch", &["--skip-existing", "--descriptor"]);
    assert_eq!(told, ["wrote beside each: .descriptor.json"]);
    // One is made, and the other stays.
    fs::remove_file(folder.at("image/alice.iso")).unwrap();
    let ended =
        folder.run(&["stamp", "base.iso", "users.csv", "-o", "image", "--resume", "--manifest"]);
    assert!(ended.err.contains("1 made, 3 kept"), "{}", ended.err);
    assert!(!ended.err.contains("manifest.json"), "{}", ended.err);
}

#[test]
fn without_digests_an_image_of_another_recipe_is_also_recognised() {
    let folder = folder(&TINY);
    let batch = |more: &[&'static str]| {
        folder.run(&[&["stamp", "base.iso", "users.csv", "-o", "out"], more].concat())
    };
    batch(&[]).done();
    let ended = batch(&["--resume", "--hostname", "other"]);
    let told =
        "out/bob.iso already exists and cannot be kept: it was made of another base or recipe";
    assert!(ended.status == 11 && ended.err.contains(told), "{}", ended.err);
    batch(&["--resume"]).done();
}

#[test]
fn what_is_there_stays_by_its_contents_and_not_by_its_name() {
    let folder = folder(&TINY);
    let expected = alone(&folder, "alice");
    fs::create_dir(folder.at("out")).unwrap();
    folder.write("out/alice.iso", &expected);
    folder.write("out/bob.iso", &expected);
    let counts = |ended: &Ended| {
        let lines = lines(ended);
        let kept = lines.iter().filter(|line| line["kept"] == true).count();
        (ended.status, lines.iter().filter(|line| line["kept"] == false).count(), kept)
    };
    let more = |flag| folder.run(&stamp("users.toml", "out", &["--json", flag]));
    let resumed = more("--resume");
    assert_eq!(counts(&resumed), (11, 2, 1), "{}", resumed.err);
    assert!(
        resumed.err.contains(
            "out/bob.iso already exists and cannot be kept: it was made of another base or recipe"
        ),
        "{}",
        resumed.err
    );
    assert_same("kept", &folder.read("out/bob.iso"), &expected);
    assert_eq!(counts(&more("--skip-existing")), (0, 1, 3));
    assert_same("made", &folder.read("out/bob.iso"), &alone(&folder, "bob"));
    let plain = folder.run(&stamp("users.toml", "out", &["--json"]));
    assert_eq!(counts(&plain), (11, 0, 0));
    assert_eq!(counts(&more("--force")), (0, 4, 0));
    for form in ["patch", "oci"] {
        let run = |flags: &[&'static str]| {
            folder.run(&stamp("users.toml", form, &[&["--json", "--as", form], flags].concat()))
        };
        assert_eq!(counts(&run(&[])), (0, 4, 0), "{form}");
        assert_eq!(counts(&run(&["--resume"])), (0, 0, 4), "{form}");
        assert_eq!(counts(&run(&[])), (11, 0, 0), "{form}");
    }
}

/// All files of a folder, by name, those of a folder of an OCI layout as well.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Keys and salts by chance.
const CHANCE: [&str; 4] = ["--host-key", "generate", "--root-password-file", "password"];

#[test]
fn an_image_of_the_same_recipe_stays_with_its_random_keys_and_salts() {
    for form in ["image", "patch", "oci"] {
        let folder = folder(&TINY);
        folder.write("password", b"correct horse\n");
        folder.write("other", b"correct house\n");
        let all = format!("{form}.known_hosts");
        let run = |more: &[&str]| {
            let known: &[&str] = if form == "oci" { &["--known-hosts", &all] } else { &[] };
            let fixed = ["--as", form, "--json", "--manifest-digests"];
            let command =
                [&["stamp", "base.iso", "users.toml", "-q", "-o", form], &fixed[..], known, more];
            folder.run(&command.concat())
        };
        let kept = |ended: &Ended, count: usize| {
            assert_eq!(ended.status, 0, "{form}: {}", ended.err);
            let lines = lines(ended);
            assert_eq!(lines.iter().filter(|line| line["kept"] == true).count(), count, "{form}");
            lines
        };
        let first = kept(&run(&CHANCE), 0);
        let files = contents(&folder.at(form));
        for flag in ["--resume", "--skip-existing"] {
            let again = kept(&run(&[&CHANCE[..], &[flag]].concat()), NAMES.len());
            assert!(contents(&folder.at(form)) == files, "{form}, {flag}");
            assert_eq!(
                again.iter().map(Line::without_kept).collect::<Vec<_>>(),
                first.iter().map(Line::without_kept).collect::<Vec<_>>(),
                "{form}, {flag}"
            );
        }
        if form != "oci" {
            let is_known =
                |path: &&PathBuf| path.extension().is_some_and(|end| end == "known_hosts");
            let known = files.keys().find(is_known).unwrap();
            fs::remove_file(known).unwrap();
            kept(&run(&[&CHANCE[..], &["--resume"]].concat()), NAMES.len());
            assert!(contents(&folder.at(form)) == files, "{form}: a file beside comes back");
        }
        for (changed, why, same_id) in [
            (
                ["--host-key", "generate", "--root-password-file", "other"],
                "a password or other secret is another one",
                true,
            ),
            (["--host-key", "generate", "--hostname", "box"], "another base or recipe", false),
        ] {
            let refused = run(&[&changed[..], &["--resume"]].concat());
            assert_eq!(refused.status, 11, "{form}: {}", refused.err);
            assert!(refused.err.contains(why), "{form}: {}", refused.err);
            let made = kept(&run(&[&changed[..], &["--skip-existing"]].concat()), 0);
            assert_eq!(made[0]["recipe_id"] == first[0]["recipe_id"], same_id, "{form}");
            assert_ne!(made[0]["content_id"], first[0]["content_id"], "{form}");
            assert_ne!(host_keys(&made), host_keys(&first), "{form}");
            kept(&run(&[&changed[..], &["--resume"]].concat()), NAMES.len());
            kept(&run(&[&CHANCE[..], &["--skip-existing"]].concat()), 0);
        }
    }
}

#[test]
fn what_has_changed_since_does_not_stay() {
    let folder = folder(&TINY);
    folder.write("password", b"correct horse\n");
    let run = |more: &[&'static str]| {
        folder.run(&stamp("users.toml", "out", &[&CHANCE[..], &["--json"], more].concat()))
    };
    assert_eq!(run(&[]).status, 0);
    let image = folder.read("out/bob.iso");
    let at = image.windows(9).position(|word| word == b"ssh root@").unwrap();
    let flipped = |at: usize| [&image[..at], &[image[at] ^ 1], &image[at + 1..]].concat();
    // A byte of the base, which no stamping wrote.
    let of_base =
        folder.read("base.iso").windows(64).position(|bytes| bytes == &image[300_000..300_064]);
    assert!(of_base.is_some());
    for damaged in
        [flipped(at), flipped(300_000), image[..image.len() - 2048].to_vec(), b"hello".to_vec()]
    {
        folder.write("out/bob.iso", &damaged);
        let ended = run(&["--resume"]);
        assert_eq!(ended.status, 11, "{}", ended.err);
        assert!(
            ended.err.contains("out/bob.iso already exists and cannot be kept: "),
            "{}",
            ended.err
        );
        assert!(folder.read("out/bob.iso") == damaged);
        let lines = lines(&run(&["--skip-existing"]));
        assert_eq!(lines.iter().filter(|line| line["kept"] == true).count(), 3);
        assert_eq!(run(&["--resume"]).status, 0);
    }
    // What cannot be told is not said to be somebody else's.
    folder.write("out/.bob.iso.remaster-journal", b"");
    for how in ["--resume", "--skip-existing"] {
        let ended = run(&[how]);
        assert_eq!(ended.status, 11, "{how}: {}", ended.err);
        assert!(ended.err.contains("an edit of out/bob.iso was interrupted"), "{}", ended.err);
    }
    fs::remove_file(folder.at("out/.bob.iso.remaster-journal")).unwrap();
    fs::rename(folder.at("out/bob.iso"), folder.at("elsewhere.iso")).unwrap();
    std::os::unix::fs::symlink("../elsewhere.iso", folder.at("out/bob.iso")).unwrap();
    let ended = run(&["--resume"]);
    assert!(ended.err.contains("cannot be kept: it is a symbolic link"), "{}", ended.err);
}

/// A line without what tells one run from another.
trait Line {
    fn without_kept(&self) -> Value;
}

impl Line for Value {
    fn without_kept(&self) -> Value {
        let mut line = self.clone();
        line["kept"] = Value::Null;
        line
    }
}

/// The public halves of the host keys of each line, by name of the user.
fn host_keys(lines: &[Value]) -> BTreeMap<String, String> {
    let key = |line: &Value| line["host_keys"][0]["public"].as_str().unwrap().to_owned();
    lines.iter().map(|line| (line["name"].as_str().unwrap().to_owned(), key(line))).collect()
}

#[test]
fn a_seed_gives_every_user_other_keys_and_the_same_as_alone() {
    let folder = folder(&TINY);
    folder.write("seed", &(0..40).collect::<Vec<u8>>());
    folder.write("password", b"correct horse\n");
    let seeded = ["--host-key", "generate", "--host-key-seed", "seed"];
    let seeded = [&seeded[..], &["--root-password-file", "password"]].concat();
    let all = lines(&folder.run(&stamp("users.toml", "out", &[&seeded[..], &["--json"]].concat())));
    let keys = host_keys(&all);
    let different: BTreeSet<&String> = keys.values().collect();
    assert_eq!((keys.len(), different.len()), (NAMES.len(), NAMES.len()), "{keys:?}");
    for line in &all {
        let (name, path) = (line["name"].as_str().unwrap(), line["path"].as_str().unwrap());
        let report: Value =
            serde_json::from_slice(&folder.run(&["inspect", "--json", path]).quietly()).unwrap();
        let told = &line["host_keys"][0];
        assert_eq!(told["fingerprint"], report["injected"]["host_keys"][0]["fingerprint"]);
        let known = String::from_utf8(folder.read(&format!("out/{name}.iso.known_hosts"))).unwrap();
        assert_eq!(line["known_hosts"], format!("out/{name}.iso.known_hosts"));
        let (alias, public) = (told["alias"].as_str().unwrap(), told["public"].as_str().unwrap());
        assert_eq!(known, format!("{alias} {public}\n"));
    }
    let own = ["--key", "keys/bob.pub", "--merge-initrd=false", "--host-key-name", "bob"];
    let out = ["base.iso", "--manifest-digests", "-q", "-o", "bob.iso"];
    folder.run(&[&out[..], &own, &seeded].concat()).quietly();
    assert_same("alone", &folder.read("out/bob.iso"), &folder.read("bob.iso"));
    assert_eq!(folder.read("out/bob.iso.known_hosts"), folder.read("bob.iso.known_hosts"));
    // One key in all images but for what is derived: neither hash nor key is in two of them.
    let shadow = |name: &str| {
        let image = String::from_utf8_lossy(&folder.read(&format!("out/{name}.iso"))).into_owned();
        let at = image.find("root:$y$").unwrap();
        image[at..].split(':').nth(1).unwrap().to_owned()
    };
    let hashes: BTreeSet<String> = NAMES.iter().map(|name| shadow(name)).collect();
    assert_eq!(hashes.len(), NAMES.len(), "{hashes:?}");
}

#[test]
fn a_seed_may_stand_in_an_environment_variable() {
    let folder = folder(&TINY);
    let seed = "correct horse battery staple 0123456789";
    folder.write("seed", seed.as_bytes());
    folder.write("r.toml", b"host-key = 'generate'\nhost-key-seed = 'env:STAMP_SEED'\n");
    let out = |name: &'static str| ["base.iso", "--key", "keys/bob.pub", "-q", "-o", name];
    let by_file = ["--host-key", "generate", "--host-key-seed", "seed"];
    folder.run(&[&out("file.iso")[..], &by_file].concat()).quietly();
    let arguments = [&out("variable.iso")[..], &["--recipe", "r.toml"]].concat();
    folder.run(&arguments).refused(2, "there is no environment variable STAMP_SEED");
    let ended = folder.program(&arguments).env("STAMP_SEED", seed).output().unwrap();
    Ended::from(ended).quietly();
    assert_same("by a variable", &folder.read("variable.iso"), &folder.read("file.iso"));
}

#[test]
fn one_name_for_several_users_is_refused_where_keys_are_derived_for_it() {
    let folder = folder(&TINY);
    folder.write("seed", &(0..40).collect::<Vec<u8>>());
    folder.write("u.toml", b"[[user]]\nname = 'a'\n[[user]]\nname = 'a'\n");
    let seeded = ["--host-key", "generate", "--host-key-seed", "seed", "-j", "1"];
    let template = ["--name-template", "{index}.iso"];
    let ended = folder.run(&stamp("u.toml", "o", &[&seeded[..], &template].concat()));
    assert_eq!(ended.status, 11, "{}", ended.err);
    assert!(ended.err.contains("u.toml:3:1: a: \"a\" is the name of another user, too, and one --host-key-seed gives both the same keys (u.toml:1:1)"), "{}", ended.err);
    folder.write("u.toml", b"[[user]]\nname = 'a'\n[[user]]\nname = 'A'\n");
    let ended = folder.run(&stamp("u.toml", "q", &[&seeded[..], &template].concat()));
    let words =
        "A: \"A\" differs from \"a\" (u.toml:1:1) only in case, and so ssh takes both for one host";
    assert!(ended.status == 11 && ended.err.contains(words), "{}", ended.err);
    let named = stamp("u.toml", "p", &[&seeded[..], &["--host-key-name", "x"]].concat());
    folder.run(&named).refused(2, "--host-key-name: a batch derives the keys of each user");
    folder.write("v.toml", b"[[user]]\nname = 'a'\nhost-key-name = 'x'\n");
    let ended = folder.run(&stamp("v.toml", "q", &seeded));
    assert_eq!(ended.status, 11);
    assert!(ended.err.contains("v.toml:3:17: host-key-name: a batch derives"), "{}", ended.err);
}

#[test]
fn known_hosts_of_a_batch_stand_beside_each_file_or_in_one() {
    let folder = folder(&TINY);
    let generate = ["--host-key", "generate", "--json"];
    for (form, ending) in [("image", "iso"), ("patch", "remaster")] {
        let made = lines(&folder.run(&stamp(
            "users.toml",
            form,
            &[&generate[..], &["--as", form]].concat(),
        )));
        for (name, key) in host_keys(&made) {
            let known = folder.read(&format!("{form}/{name}.{ending}.known_hosts"));
            assert!(String::from_utf8(known).unwrap().contains(&key), "{form}, {name}");
        }
    }
    for form in ["image", "patch", "oci"] {
        let (out, all) = (format!("one-{form}"), format!("{form}.known_hosts"));
        let more = [&generate[..], &["--as", form, "--known-hosts", &all]].concat();
        let run = folder.run(&stamp("users.toml", &out, &more));
        assert!(!run.err.contains("several machines"), "{}", run.err);
        let known = String::from_utf8(folder.read(&all)).unwrap();
        assert_eq!(known.lines().count(), NAMES.len(), "{known}");
        assert!(host_keys(&lines(&run)).values().all(|key| known.contains(key)), "{form}");
        assert!(!folder.at(&format!("{out}/alice.iso.known_hosts")).exists());
        folder.run(&stamp("users.toml", "x", &more)).refused(2, "already exists");
    }
    let one = [&generate[..], &["--hostname", "box", "--known-hosts", "boxes"]].concat();
    let arguments: Vec<&str> =
        stamp("users.toml", "boxes.d", &one).into_iter().filter(|word| *word != "-q").collect();
    let run = folder.run(&arguments);
    assert!(run.err.contains("several machines of the name box"), "{}", run.err);
    let oci =
        ["stamp", "base.iso", "users.toml", "--as", "oci", "-o", "z", "--host-key", "generate"];
    let run = folder.run(&oci);
    assert!(run.err.contains("in the images only: give --known-hosts FILE"), "{}", run.err);
}

#[test]
fn records_stand_beside_each_file() {
    let folder = folder(&TINY);
    let private = pair(5).to_openssh(ssh_key::LineEnding::LF).unwrap();
    folder.write("signer", private.as_bytes());
    folder.write("allowed", format!("me {}\n", key(5)).as_bytes());
    let fingerprint = pair(5).fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let all = ["--manifest", "--provenance", "--sbom", "--sign", "signer"];
    for form in ["image", "patch"] {
        let run = |more: &[&'static str]| {
            let more = [&all[..], &["--json", "--as", form], more].concat();
            lines(&folder.run(&stamp("users.toml", form, &more)))
        };
        for line in run(&[]) {
            let path = line["path"].as_str().unwrap();
            let digest = Digest::of_bytes(&folder.read(path)).to_string();
            let json = |ending: &str| -> Value {
                serde_json::from_slice(&folder.read(&format!("{path}{ending}"))).unwrap()
            };
            assert_eq!(json(".manifest.json")["recipe_id"], line["recipe_id"]);
            assert_eq!(json(".manifest.json")["content_id"], line["content_id"]);
            let envelope = json(".provenance.json");
            assert_eq!(envelope["signatures"][0]["keyid"], fingerprint);
            let payload = Base64::decode_vec(envelope["payload"].as_str().unwrap()).unwrap();
            let statement: Value = serde_json::from_slice(&payload).unwrap();
            let subject = &statement["subject"][0];
            assert_eq!(subject["digest"]["sha256"], digest);
            assert!(path.ends_with(subject["name"].as_str().unwrap()));
            assert_eq!(json(".sbom.json")["metadata"]["component"]["hashes"][0]["content"], digest);
            if form == "image" {
                let beside = format!("{path}.manifest.json");
                let words = ["verify", path, "--manifest", &beside, "--allowed-signers", "allowed"];
                let ended = folder.run(&words);
                assert!(ended.text().contains("signed by me"), "{}", ended.err);
            }
        }
        assert_eq!(fs::read_dir(folder.at(form)).unwrap().count(), 4 * 5);
        let ending = if form == "image" { "iso" } else { "remaster" };
        let one = format!("{form}/bob.{ending}.sbom.json");
        let before = folder.read(&one);
        fs::remove_file(folder.at(&one)).unwrap();
        assert!(run(&["--resume"]).iter().all(|line| line["kept"] == true));
        assert_same(&one, &folder.read(&one), &before);
    }
    let oci = ["--as", "oci", "--manifest"];
    folder.run(&stamp("users.toml", "o", &oci)).refused(2, "nothing is written beside");
}

#[test]
fn shards_are_parts_of_the_whole() {
    let folder = folder(&TINY);
    for shard in ["1/3", "2/3", "3/3"] {
        folder.run(&stamp("users.toml", "out", &["--as", "patch", "--shard", shard])).quietly();
    }
    assert_eq!(fs::read_dir(folder.at("out")).unwrap().count(), 4);
    folder.run(&stamp("users.toml", "x", &["--shard", "4/3"])).refused(2, "as in 1/8");
    // Whether a flag has an effect is judged by all users of the file.
    let mut users = "name,key,host-key\nann,keys/bob.pub,generate\n".to_owned();
    (0..5).for_each(|number| writeln!(users, "u{number},keys/bob.pub,").unwrap());
    folder.write("one.csv", users.as_bytes());
    let lines = ["1/2", "2/2"].map(|shard| {
        let more = ["--as", "patch", "--shard", shard, "-f", "--known-hosts", "known"];
        folder.run(&stamp("one.csv", "one", &more)).done();
        String::from_utf8(folder.read("known")).unwrap().lines().count()
    });
    assert_eq!(lines.iter().sum::<usize>(), 1, "{lines:?}");
}

#[test]
fn wrong_calls_are_refused() {
    let folder = folder(&TINY);
    for (more, words) in [
        (&["--name-template", "same.iso"][..], "does not tell users apart"),
        (&["--name-template", "{nam}.iso"], "does not tell users apart"),
        (&["--format", "toml", "--jobs", "0"], "jobs"),
    ] {
        folder.run(&stamp("users.toml", "out", more)).refused(2, words);
    }
    folder.write("users", b"name,key\n");
    folder.run(&stamp("users", "out", &[])).refused(2, "does not say which form");
    folder
        .run(&stamp("keys/alice.pub", "out", &["--format", "toml"]))
        .refused(2, "not a users file");
    assert!(!folder.at("out").exists());
}

#[test]
fn a_flag_that_users_overrule_is_reported_or_refused() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("other.pub", key(2).as_bytes());
    let users = |text: &str| folder.write("users.csv", text.as_bytes());
    let run = |flags: &[&str]| {
        folder.run(&[&["stamp", "base.iso", "users.csv", "-f", "-o", "out"][..], flags].concat())
    };
    users("name,key,karg\nann,key.pub,\nbob,key.pub,q\n");
    run(&["--key", "other.pub"]).refused(2, "--key has no effect: every user has key of its own");
    run(&["--no-key", "--karg", "a"]).refused(2, "a key, and --no-key");
    assert!(!folder.at("out").exists());
    let ended = run(&["--karg", "zz=1"]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert!(ended.err.contains("note: --karg is not for 1 of 2 users"), "{}", ended.err);
    let kargs = |name: &str| folder.run(&["inspect", "--kargs", name]).done();
    assert!(kargs("out/ann.iso").contains("zz=1") && !kargs("out/bob.iso").contains("zz=1"));
    users("name,karg\nann,x\nbob,q\n");
    run(&["--key", "other.pub"]).quietly();
    // Another way to give the same overrules, too.
    folder.write("word", b"a long password\n");
    folder.write("own", b"a long password\n");
    let hash = "$6$aaaaaaaa$qFmFHxbQmmtXzyBY0s9v7Oicd2z4XSIecDlB5KiA2/jctKu9YterLp8wwnSqxqcxeoxqOmSuNp2xS0ktL3nh/1";
    for (column, value, flags) in [
        ("root-password-hash", hash, &["--root-password-file", "word"][..]),
        ("root-password-file", "own", &["--root-password-hash", hash]),
        ("nixos-password-hash", hash, &["--nixos-password-file", "word"]),
        ("wifi-password-file", "own", &["--wifi", "H", "--wifi-open"]),
    ] {
        let flag = *flags.iter().rev().find(|flag| flag.starts_with("--")).unwrap();
        users(&format!("name,key,{column}\nann,key.pub,{value}\n"));
        let told = format!("{flag} has no effect: every user has {} of its own, or", &flag[2..]);
        run(flags).refused(2, &told);
        users(&format!("name,key,{column}\nann,key.pub,{value}\nbob,key.pub,\n"));
        let ended = run(flags);
        assert_eq!(ended.status, 0, "{}", ended.err);
        let told = format!("note: {flag} is not for 1 of 2 users");
        assert!(ended.err.contains(&told), "{}", ended.err);
    }
}

#[test]
fn a_file_beside_an_image_that_was_not_written_gives_way_where_a_batch_goes_on() {
    let folder = folder(&TINY);
    let batch =
        ["stamp", "base.iso", "users.toml", "--host-key", "generate", "--manifest", "-o", "out"];
    folder.run(&batch).done();
    fs::remove_file(folder.at("out/bob.iso")).unwrap();
    let kept = folder.read("out/alice.iso.known_hosts");
    folder.run(&[&batch[..], &["--resume"]].concat()).done();
    let known = String::from_utf8(folder.read("out/bob.iso.known_hosts")).unwrap();
    let inside = folder.run(&["inspect", "out/bob.iso", "--json"]).done();
    let key = known.split(' ').nth(2).unwrap().trim();
    let blob = ssh_key::PublicKey::from_openssh(&format!("ssh-ed25519 {key}")).unwrap();
    assert!(inside.contains(&blob.fingerprint(ssh_key::HashAlg::Sha256).to_string()), "{inside}");
    assert_eq!(kept, folder.read("out/alice.iso.known_hosts"));
}

#[test]
fn what_is_wrong_with_the_folder_ends_a_batch_once() {
    let folder = folder(&TINY);
    for setup in ["mount -t tmpfs -o ro tmpfs fs", "mount -t tmpfs -o size=8k tmpfs fs"] {
        let _ = fs::create_dir(folder.at("fs"));
        let script = format!(
            "{setup}; status=0; $0 stamp base.iso users.toml -j 1 -o fs 2>&1 || status=$?; echo $status"
        );
        let Some(output) = in_namespace(&folder, &script) else { return };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with("\n1\n"), "{setup}: {text}");
        assert_eq!(text.matches("cause: ").count(), 1, "{setup}: {text}");
    }
}

#[test]
fn what_is_no_folder_is_said_before_a_batch_begins() {
    let folder = folder(&TINY);
    folder.write("file", b"mine");
    std::os::unix::fs::symlink("nowhere", folder.at("link")).unwrap();
    for place in ["file", "link"] {
        let ended = folder.run(&["stamp", "base.iso", "users.toml", "-o", place]);
        ended.err_says(2, &format!("{place} already exists, and is not a folder"));
    }
}

/// What stands beside a file of a batch: the form, the flags for it, and the ending.
const BESIDE: [(&str, &[&str], &str); 6] = [
    ("image", &["--manifest"], ".manifest.json"),
    ("image", &["--manifest", "--sign", "signer"], ".manifest.json.sig"),
    ("image", &["--provenance"], ".provenance.json"),
    ("image", &["--sbom"], ".sbom.json"),
    ("image", &["--host-key", "generate"], ".known_hosts"),
    ("patch", &["--descriptor"], ".descriptor.json"),
];

#[test]
fn a_batch_that_goes_on_replaces_records_and_no_file_of_somebody_else() {
    let folder = folder(&TINY);
    folder.write("signer", pair(1).to_openssh(ssh_key::LineEnding::LF).unwrap().as_bytes());
    fs::set_permissions(folder.at("signer"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    for (number, (form, flags, ending)) in BESIDE.into_iter().enumerate() {
        let out = format!("out{number}");
        let end = if form == "image" { "iso" } else { "remaster" };
        let of = |name: &str| format!("{out}/{name}.{end}");
        let run = |more: &[&str]| {
            let line = ["stamp", "base.iso", "users.csv", "--as", form, "-o", &out];
            folder.run(&[&line[..], flags, more].concat())
        };
        run(&[]).done();
        let (alice, bob) = (of("alice") + ending, of("bob") + ending);
        let made = folder.read(&alice);
        // Of a run that was killed there is a record without its file.
        fs::remove_file(folder.at(&of("alice"))).unwrap();
        for foreign in [b"mine\n".to_vec(), b"{\"tool\":{\"name\":\"other\"}}".to_vec(), Vec::new()]
        {
            folder.write(&alice, &foreign);
            let ended = run(&["--resume"]);
            let told = format!("{alice} already exists, and is not what a batch writes there");
            assert!(ended.status == 11 && ended.err.contains(&told), "{ending}: {}", ended.err);
            assert_eq!(folder.read(&alice), foreign, "{ending}");
            assert!(!folder.at(&of("alice")).exists(), "{ending}");
        }
        folder.write(&alice, &folder.read(&bob));
        run(&["--resume"]).done();
        let now = folder.read(&alice);
        // A host key is another one.
        assert!(now == made || (ending == ".known_hosts" && now != folder.read(&bob)), "{ending}");
    }
}

#[test]
fn only_a_file_of_an_earlier_run_is_written_again() {
    let folder = folder(&TINY);
    let run = |users: &'static str, more: &[&'static str]| {
        let generate = ["--host-key", "generate", "--known-hosts", "all", "--failures", "failed"];
        folder.run(&stamp(users, "out", &[&generate[..], more].concat()))
    };
    let foreign = "github.com ssh-ed25519 AAAAmine\n";
    for (name, text) in [("all", foreign), ("all", "# mine\n"), ("failed", "my notes\n")] {
        folder.write(name, text.as_bytes());
        for more in ["--resume", "--skip-existing"] {
            run("users.toml", &[more]).refused(2, &format!("{name} already exists"));
            assert_eq!(folder.read(name), text.as_bytes());
            assert!(!folder.at("out").exists(), "{name} {more}");
        }
        fs::remove_file(folder.at(name)).unwrap();
    }
    let long = "{\"name\":\"a\",\"place\":\"u:1\",\"error\":\"e\",\"status\":2}\n";
    folder.write("failed", long.repeat((64 << 20) / long.len() + 1).as_bytes());
    run("users.toml", &["--resume"]).refused(2, "failed already exists");
    fs::remove_file(folder.at("failed")).unwrap();
    run("users.toml", &[]).done();
    let text = || String::from_utf8(folder.read("all")).unwrap();
    let all = text();
    assert_eq!(all.lines().count(), NAMES.len());
    // One user of them: what is known of the others stays, as their images do.
    folder.write("one.toml", b"[[user]]\nname = 'alice'\nkey = 'keys/alice.pub'\nmerge-initrd = false\n[[user]]\nname = 'other'\nkey = 'none.pub'\n");
    for more in ["--resume", "--skip-existing"] {
        assert_eq!(run("users.toml", &[more]).status, 0);
        assert_eq!(text(), all, "{more}");
        assert_eq!(run("one.toml", &[more]).status, 11);
        let now = text();
        assert!(all.lines().all(|line| now.lines().any(|other| other == line)), "{more}: {now}");
    }
    let named = |user: &str| format!("\"name\":\"{user}\"");
    assert!(String::from_utf8(folder.read("failed")).unwrap().contains(&named("other")));
}
