//! Stamping a stamped image is stamping its base.

use std::fs;

use crate::support::{
    Ended, Folder, SD, SYSTEMD, TINY, WAYS, assert_same, bases, bytes, edits, key, pair, stamp,
};
use remaster::iso::injected::IsoBase;
use ssh_key::HashAlg;

#[test]
fn the_last_stamp_is_all_that_counts() {
    for (name, base) in bases() {
        for way in WAYS {
            let expected = stamp(base, &edits(2, way));
            assert_same(name, &stamp(&expected, &edits(2, way)), &expected);
            for before in WAYS {
                let once = stamp(base, &edits(1, before));
                let what = format!("{name}, {before:?} then {way:?}");
                assert!(once != expected, "{what}: both keys give the same image");
                assert_same(&what, &stamp(&once, &edits(2, way)), &expected);
            }
        }
    }
}

#[test]
fn below_a_stamped_image_lies_the_base() {
    for (name, base) in bases() {
        for way in WAYS {
            let stamped = stamp(base, &edits(1, way));
            let below = IsoBase::open(stamped.as_slice()).unwrap();
            assert!(below.stamped.is_some());
            assert_same(name, &bytes(&below.image), base);
        }
    }
}

#[test]
fn a_stock_image_is_its_own_base() {
    for (name, base) in bases() {
        let found = IsoBase::open(base).unwrap();
        assert!(found.stamped.is_none());
        assert_same(name, &bytes(&found.image), base);
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    for (name, base) in bases() {
        for way in WAYS {
            assert_same(name, &stamp(base, &edits(1, way)), &stamp(base, &edits(1, way)));
        }
    }
}

/// What an image holds that is stamped again below, and what a recipe says of it.
const BEFORE: [&str; 12] = [
    "--key",
    "old.pub",
    "--host-key",
    "host",
    "--hostname",
    "box",
    "--timezone",
    "UTC",
    "--root-password-hash",
    HASH,
    "--karg",
    "one=1",
];

const HASH: &str = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

/// Every command that stamps over a stamped image, and what its output is.
const COMMANDS: [&[&str]; 9] = [
    &["stamped", "-n"],
    &["stamped", "-o", "out"],
    &["stamped", "--as", "patch", "-o", "out"],
    &["edit", "--in-place", "stamped", "--replace"],
    &["edit", "--in-place", "stamped", "--replace", "-n"],
    &["flash", "stamped", "--file", "out"],
    &["stamp", "stamped", "users.toml", "-o", "out"],
    &["netboot", "stamped", "-o", "out"],
    &["netboot", "tree", "-o", "out"],
];

/// A folder with an image that is stamped, and what starts over the network, if it is an ISO.
fn stamped(base: &[u8], iso: bool, more: &[&str]) -> Folder {
    let folder = Folder::with_base(base);
    folder.write("old.pub", key(1).as_bytes());
    folder.write("new.pub", key(2).as_bytes());
    folder.write("note", b"hello");
    folder.write("store.squashfs", include_bytes!("../golden/inputs/store.squashfs"));
    folder.write("again.toml", b"file = 'note:/srv/note'");
    folder.write("host", pair(7).to_openssh(ssh_key::LineEnding::LF).unwrap().as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'a'\n");
    let out = ["base.iso", "-q", "--file", "note:/srv/note", "-o", "stamped"];
    let out = if more.contains(&"--inject") {
        vec!["base.iso", "-q", "-o", "stamped"]
    } else {
        out.to_vec()
    };
    folder.run(&[&out[..], more].concat()).quietly();
    if iso {
        folder.run(&["netboot", "stamped", "-q", "-o", "tree"]).quietly();
    }
    folder
}

/// The commands that there are for a kind of base.
fn commands(iso: bool) -> impl Iterator<Item = &'static &'static [&'static str]> {
    COMMANDS.iter().filter(move |command| iso || !["stamp", "netboot"].contains(&command[0]))
}

fn said(ended: &Ended) -> String {
    assert_eq!(ended.status, 0, "{}", ended.err);
    format!("{}{}", ended.err, ended.text())
}

#[test]
fn what_goes_when_an_image_is_stamped_again_is_reported_by_every_command() {
    let [old, host] = [1, 7].map(|number| pair(number).fingerprint(HashAlg::Sha256).to_string());
    let (old, host) = (format!("key {old} key 1"), format!("host-key {host}"));
    let all = [&old, &host, "timezone UTC", "root-password", "karg one=1", "file /srv/note"];
    for (base, iso) in [(&TINY, true), (&SD, false)] {
        for command in commands(iso) {
            let folder = stamped(base, iso, &BEFORE);
            let now = ["--key", "new.pub", "--hostname", "other"];
            let text = said(&folder.run(&[command, &now[..]].concat()));
            for what in all {
                // Command lines of what starts over the network are not put back.
                let kept = command.contains(&"tree") && what.starts_with("karg");
                let line = format!("{what} is not given again: it is taken out");
                assert_eq!(text.contains(&line), !kept, "{command:?}: {what}: {text}");
            }
            assert!(!text.contains("note: hostname"), "{command:?}: {text}");
            let folder = stamped(base, iso, &BEFORE);
            let again = ["--recipe", "again.toml"];
            let text = said(&folder.run(&[command, &BEFORE[..], &again].concat()));
            assert!(!text.contains("not given again"), "{command:?}: {text}");
        }
    }
}

#[test]
fn a_login_that_opens_is_named_by_every_command() {
    const OPENS: &str = "ssh login of root with a password opens: sshd took keys only";
    for (base, iso) in [(&TINY, true), (&SD, false)] {
        for command in commands(iso) {
            for (more, opens) in [(&[][..], true), (&["--ssh-passwords=false"], false)] {
                let folder = stamped(base, iso, &BEFORE);
                let now = ["--no-key", "--root-password-hash", HASH];
                let text = said(&folder.run(&[command, &now[..], more].concat()));
                assert_eq!(text.contains(OPENS), opens, "{command:?} {more:?}: {text}");
            }
        }
        let folder = stamped(base, false, &BEFORE);
        let edited = folder.run(&["edit", "--in-place", "stamped", "--ssh-passwords"]);
        assert!(said(&edited).contains(OPENS), "{}", edited.err);
    }
}

#[test]
fn the_way_and_the_entries_of_arguments_that_go_are_named_by_every_command() {
    let same = ["--key", "old.pub", "--store", "store.squashfs", "--karg", "only=1"];
    let before = [&same[..], &["--path", "--merge-initrd"]].concat();
    for command in commands(true).filter(|command| command[0] != "netboot") {
        let folder = stamped(&TINY, false, &before);
        let text = said(&folder.run(&[command, &same[..], &["--entry", "nomodeset"]].concat()));
        for what in ["path true", "merge-initrd true", "karg only=1 in 52 of 54 entries ("] {
            let mut lines = text.lines();
            let line = |line: &str| {
                line.contains(what) && line.contains("is not given again: it is taken out")
            };
            assert!(lines.any(line), "{command:?}: {what}: {text}");
        }
        let folder = stamped(&TINY, false, &before);
        let text = said(&folder.run(&[command, &before[..], &["--recipe", "again.toml"]].concat()));
        assert!(!text.contains("not given again"), "{command:?}: {text}");
    }
}

#[test]
fn no_command_leaves_an_image_without_a_key_unless_that_is_meant() {
    let print = pair(1).fingerprint(HashAlg::Sha256).to_string();
    let credential = ["--inject", "credential", "--key", "old.pub"];
    for (base, iso, before) in [
        (&TINY, true, &BEFORE[..]),
        (&TINY, true, &credential),
        (&SYSTEMD, true, &BEFORE[..2]),
        (&SD, false, &BEFORE),
        (&SD, false, &credential),
    ] {
        let folder = stamped(base, iso, before);
        let (names, image) = (folder.names(), folder.read("stamped"));
        // A credential is on a command line, where it stays in what starts over the network.
        let is_left =
            |command: &&&[&str]| !(before.contains(&"credential") && command.contains(&"tree"));
        for command in commands(iso).filter(is_left) {
            let ended = folder.run(&[command, &["--hostname", "other"][..]].concat());
            let batch = command[0] == "stamp";
            assert_eq!(ended.status, if batch { 11 } else { 2 }, "{command:?}: {}", ended.err);
            assert!(
                ended.err.contains(&format!(
                    "key {print} key 1 is taken out, and no other key is put in"
                )),
                "{}",
                ended.err
            );
            assert!(ended.err.contains("--no-key"), "{}", ended.err);
            if batch {
                fs::remove_dir(folder.at("out")).unwrap();
            }
            assert_eq!(folder.names(), names, "{command:?}");
            assert_same("untouched", &folder.read("stamped"), &image);
        }
        for command in commands(iso).filter(is_left) {
            let folder = stamped(base, iso, before);
            let meant = ["--hostname", "other", "--no-key"];
            let text = said(&folder.run(&[command, &meant[..]].concat()));
            assert!(
                text.contains(&format!("key {print} key 1 is not given again")),
                "{command:?}: {text}"
            );
            let both = ["--no-key", "--recipe", "r.toml"];
            folder.write("r.toml", b"key = 'new.pub'\n");
            folder.run(&[command, &both[..]].concat()).refused(2, "a key, and --no-key");
        }
    }
}

#[test]
fn a_key_in_an_overlay_counts_also_where_that_is_too_large_for_an_initrd() {
    for size in [1_000, 17_000_000] {
        let folder = stamped(&TINY, false, &BEFORE);
        fs::create_dir_all(folder.at("files/root/.ssh")).unwrap();
        folder.write("files/root/.ssh/authorized_keys", key(3).as_bytes());
        // Bytes that do not get smaller are not needed: the size before packing counts.
        folder.write("files/large", &vec![7; size]);
        let overlay = ["stamped", "--overlay", "files", "-o", "overlaid"];
        let text = said(&folder.run(&overlay));
        assert!(text.contains("hostname box is not given again"), "{text}");
        let bare = ["overlaid", "--hostname", "box", "-o", "bare"];
        folder.run(&bare).refused(2, "is taken out, and no other key is put in");
        said(&folder.run(&[&bare[..], &["--overlay", "files"]].concat()));
    }
}

#[test]
fn an_edit_tells_of_a_known_hosts_file_that_is_out_of_date() {
    let folder = stamped(&TINY, false, &BEFORE);
    assert!(folder.at("stamped.known_hosts").exists());
    let ended = folder.run(&["edit", "--in-place", "stamped", "--replace", "--key", "old.pub"]);
    assert!(
        ended.err.contains(
            "stamped.known_hosts was there before and does not belong to what was written now"
        ),
        "{}",
        ended.err
    );
}

#[test]
fn below_an_image_on_a_longer_stick_lies_the_base() {
    for (name, base) in bases() {
        let stamped = stamp(base, &edits(1, WAYS[0]));
        let longer = [stamped.as_slice(), &[0; 4096]].concat();
        let below = IsoBase::open(longer.as_slice()).unwrap();
        assert_same(name, &bytes(&below.image), base);
    }
}

#[test]
fn a_signature_and_digests_that_go_are_reported_by_every_way() {
    const SIGNED: &str = "the manifest was signed: without --sign it is not any more";
    const DIGESTS: &str =
        "the manifest had digests of the image: without --manifest-digests it has none";
    let ways: [(&str, &[&str]); 7] = [
        ("signed.iso --hostname box -o out.iso", &[SIGNED, DIGESTS]),
        ("signed.iso --hostname box -n", &[SIGNED, DIGESTS]),
        ("edit --in-place signed.iso --replace --hostname box", &[SIGNED, DIGESTS]),
        ("edit --in-place signed.iso --hostname box", &[SIGNED]),
        ("edit --in-place signed.iso --hostname box -n", &[SIGNED]),
        ("stamp signed.iso users.csv -o out", &[SIGNED, DIGESTS]),
        ("flash signed.iso --hostname box --to-file out.img", &[SIGNED, DIGESTS]),
    ];
    for base in [&*TINY, &*SD] {
        let folder = Folder::with_base(base);
        folder.write("signer", pair(2).to_openssh(ssh_key::LineEnding::LF).unwrap().as_bytes());
        folder.write("users.csv", b"name,hostname\na,box\n");
        let made =
            ["base.iso", "-q", "--hostname", "old", "--sign", "signer", "--manifest-digests"];
        folder.run(&[&made[..], &["-o", "original.iso"]].concat()).done();
        for (way, lines) in ways {
            if way.starts_with("stamp") && *base == **SD {
                continue;
            }
            let _ = fs::remove_file(folder.at("out.iso"));
            fs::copy(folder.at("original.iso"), folder.at("signed.iso")).unwrap();
            let words: Vec<&str> = way.split(' ').collect();
            let ended = folder.run(&words);
            let told = format!("{}{}", ended.err, ended.text());
            assert_eq!(ended.status, 0, "{way}: {told}");
            for line in [SIGNED, DIGESTS] {
                let is_told = told.contains(line);
                assert_eq!(is_told, lines.contains(&line), "{way}: {line}: {told}");
            }
        }
        let again = [&made[..], &["-f", "-o", "again.iso"]].concat();
        let again: Vec<&str> = again
            .into_iter()
            .map(|word| if word == "base.iso" { "original.iso" } else { word })
            .collect();
        assert!(!folder.run(&again).err.contains("the manifest"), "nothing goes");
    }
    let folder = Folder::with_base(&TINY);
    folder.write("signer", pair(2).to_openssh(ssh_key::LineEnding::LF).unwrap().as_bytes());
    folder.write("users.csv", b"name,hostname\na,box\n");
    folder.run(&["base.iso", "-q", "--hostname", "box", "--sign", "signer", "-o", "s.iso"]).done();
    let ended = folder.run(&["stamp", "s.iso", "users.csv", "--json", "-o", "out"]);
    assert!(
        ended.text().contains(
            "\"taken_out\":[{\"entries\":null,\"name\":\"sign\",\"security\":null,\"value\":\"\"}]"
        ),
        "{}",
        ended.text()
    );
}

/// What keeps what was put into an image, and makes another one of it.
const KEEPING: [&[&str]; 3] = [
    &["edit", "--in-place", "stamped", "--hostname", "new"],
    &["edit", "--in-place", "stamped", "--hostname", "new", "-n"],
    &["netboot", "stamped", "-o", "out"],
];

#[test]
fn no_command_makes_anything_of_a_damaged_base() {
    const MORE: [&[&str]; 3] = [
        &["reset", "stamped", "-o", "out"],
        &["stamp", "stamped", "users.toml", "--as", "oci", "-o", "out", "--key", "new.pub"],
        &["packed.zst", "--key", "new.pub", "-o", "out"],
    ];
    let with_key = |command: &[&'static str]| [command, &["--key", "new.pub"]].concat();
    for (base, iso, at) in [(&*TINY, true, 700_000), (&*SD, false, 6_500_000)] {
        let digests = ["--manifest-digests", "--key", "old.pub"];
        let folder = stamped(base, iso, &digests);
        let mut image = folder.read("stamped");
        image[at] ^= 1;
        folder.write("stamped", &image);
        folder.write("packed.zst", &zstd::encode_all(image.as_slice(), 1).unwrap());
        let names = folder.names();
        let over = commands(iso).filter(|command| command[1] != "tree");
        let all = over.map(|command| with_key(command));
        let all = all.chain(KEEPING.iter().chain(&MORE).map(|command| command.to_vec()));
        for command in all.filter(|it| iso || !["stamp", "netboot"].contains(&it[0])) {
            let name = if command[0] == "packed.zst" { "packed.zst (unpacked)" } else { "stamped" };
            let words = format!("the base below {name} has the SHA-256 ");
            folder.run(&command).err_says(3, &words);
            assert_eq!(folder.names(), names, "{command:?}");
            assert_same("untouched", &folder.read("stamped"), &image);
        }
    }
}

#[test]
fn what_was_put_in_is_not_kept_if_it_is_damaged() {
    let folder = stamped(&TINY, true, &["--key", "old.pub", "--store", "store.squashfs"]);
    let whole = folder.read("stamped");
    let store = folder.read("store.squashfs");
    let key_text = key(1);
    let damages: [(&[u8], &str); 3] = [
        (b"hello", "stamped is not as its manifest says: the files: /srv/note with "),
        (key_text.as_bytes(), "stamped is not as its manifest says: the files: "),
        (&store[..96], ".img has other bytes than those that were put in"),
    ];
    for (what, words) in damages {
        let mut image = whole.clone();
        let at = image.windows(what.len()).position(|bytes| bytes == what).unwrap();
        image[at] ^= 1;
        folder.write("stamped", &image);
        for command in KEEPING {
            folder.run(command).err_says(3, words);
            assert!(!folder.at("out").exists(), "{command:?}");
            assert_same("untouched", &folder.read("stamped"), &image);
        }
        let anew = ["--key", "new.pub", "-f", "-o", "anew"];
        said(&folder.run(&[&["stamped"], &anew[..]].concat()));
    }
}

#[test]
fn a_file_beside_an_image_is_replaced_only_if_it_holds_host_keys_alone() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    let ways: [&[&str]; 4] = [
        &["edit", "--in-place", "x"],
        &["flash", "base.iso", "--to-file", "x"],
        &["base.iso", "-o", "x", "-q"],
        &["netboot", "base.iso", "-o", "x", "-q"],
    ];
    for way in ways {
        let run = || {
            let _ = fs::remove_file(folder.at("x"));
            let _ = fs::remove_dir_all(folder.at("x"));
            if way[0] == "edit" {
                fs::copy(folder.at("base.iso"), folder.at("x")).unwrap();
            }
            folder.run(&[way, &["--key", "key.pub", "--host-key", "generate"]].concat())
        };
        folder.write("x.known_hosts", b"my notes\n");
        run().err_says(2, "error: x.known_hosts already exists");
        assert_eq!(folder.read("x.known_hosts"), b"my notes\n", "{way:?}");
        fs::remove_file(folder.at("x.known_hosts")).unwrap();
        said(&run());
        let first = folder.read("x.known_hosts");
        if ["edit", "flash"].contains(&way[0]) {
            said(&run());
            assert!(folder.read("x.known_hosts") != first, "{way:?}");
        }
        fs::remove_file(folder.at("x.known_hosts")).unwrap();
    }
}

#[test]
fn the_time_of_an_image_stays_or_is_named() {
    let folder = stamped(&TINY, false, &["--key", "old.pub"]);
    let run = |epoch: Option<&str>, words: &[&str]| {
        let mut command = folder.program(words);
        command.env_remove("SOURCE_DATE_EPOCH").envs(epoch.map(|at| ("SOURCE_DATE_EPOCH", at)));
        Ended::from(command.output().unwrap())
    };
    let says = |name: &str, epoch: u8| {
        let (image, line) = (folder.read(name), format!("\"source_date_epoch\": {epoch}"));
        image.windows(line.len()).any(|bytes| bytes == line.as_bytes())
    };
    run(Some("1"), &["base.iso", "--key", "old.pub", "-o", "e.iso"]).done();
    run(None, &["edit", "--in-place", "e.iso", "--hostname", "x"]).done();
    assert!(says("e.iso", 1));
    let both = ["base.iso", "--key", "old.pub", "--hostname", "x", "-o", "both.iso"];
    run(Some("1"), &both).done();
    assert_same("made at once", &folder.read("e.iso"), &folder.read("both.iso"));
    run(Some("2"), &["edit", "--in-place", "e.iso", "--hostname", "x"]).done();
    assert!(says("e.iso", 2));
    for form in ["image", "patch"] {
        let batch =
            ["stamp", "base.iso", "users.toml", "--key", "old.pub", "--as", form, "-o", form];
        run(Some("1"), &batch).done();
        run(Some("1"), &[&batch[..], &["--resume"]].concat()).done();
        let other = run(Some("2"), &[&batch[..], &["--resume"]].concat());
        other.err_says(11, "of another SOURCE_DATE_EPOCH (1, now 2)");
        let none = run(None, &[&batch[..], &["--resume"]].concat());
        none.err_says(11, "of another SOURCE_DATE_EPOCH (1, now none)");
        let replaced = run(Some("2"), &[&batch[..], &["--skip-existing"]].concat());
        assert!(replaced.err.contains("1 made, 0 kept"), "{}", replaced.err);
    }
    assert!(says("image/a.iso", 2));
}
