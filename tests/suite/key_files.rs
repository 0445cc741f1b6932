//! Who may log in: a key in each file that sshd reads, however it gets there, is told of by the summary, the manifest and
//! `inspect` alike. `try` decides by what `inspect` has.

use remaster::image::ImageFile;
use remaster::keys::{KEY_FILES, KeyFile};
use remaster::stamp::manifest::found;
use serde_json::Value;
use ssh_key::HashAlg;

use crate::support::{Ended, Folder, SD, TINY, key, pair};

fn folder(base: &[u8]) -> Folder {
    let folder = Folder::with_base(base);
    for (number, name) in [(1, "a.pub"), (2, "b.pub")] {
        folder.write(name, format!("{} {name}\n", key(number)).as_bytes());
    }
    folder
}

fn print(number: u8) -> String {
    pair(number).fingerprint(HashAlg::Sha256).to_string()
}

/// The users and fingerprints of the keys that a manifest lists.
fn listed(folder: &Folder, image: &str) -> Vec<(String, String)> {
    let file = ImageFile::open(&folder.at(image)).unwrap();
    let manifest = found::of_image(&&file).unwrap().unwrap().manifest;
    manifest.keys.into_iter().map(|key| (key.user, key.fingerprint)).collect()
}

fn json(folder: &Folder, image: &str) -> Value {
    serde_json::from_str(&folder.run(&["inspect", "--json", image]).done()).unwrap()
}

/// The users, fingerprints and options of the keys that `inspect --json` has.
fn reported(folder: &Folder, image: &str) -> Vec<(String, String, Option<String>)> {
    let report = json(folder, image);
    let keys = report["injected"]["keys"].as_array().unwrap().clone();
    let text = |key: &Value, name: &str| key[name].as_str().map(str::to_owned);
    let of = |key: &Value| {
        (text(key, "user").unwrap(), text(key, "fingerprint").unwrap(), text(key, "options"))
    };
    keys.iter().map(of).collect()
}

fn said(ended: &Ended) -> String {
    assert_eq!(ended.status, 0, "{}", ended.err);
    format!("{}{}", ended.err, ended.text())
}

fn assert_told(folder: &Folder, user: &str, summary: &str, place: &str) {
    let print = print(1);
    assert!(summary.contains(&format!("key: {print} ")), "{place}: {summary}");
    assert!(summary.contains(&format!(" for {user} alone\n")), "{place}: {summary}");
    let unasked = ["ssh login: nobody", "set: greeting", "set: ssh-passwords"];
    for line in unasked {
        assert!(!summary.contains(line), "{place}: {summary}");
    }
    assert_eq!(listed(folder, "image"), [(user.to_owned(), print.clone())], "{place}");
    assert_eq!(reported(folder, "image"), [(user.to_owned(), print.clone(), None)], "{place}");
    let shown = folder.run(&["inspect", "image"]).done();
    let login = format!("ssh login: {user} with ssh-ed25519 {print} ");
    assert!(shown.contains(&login) && !shown.contains("WRONG"), "{place}: {shown}");
    assert!(unasked.iter().all(|line| !shown.contains(line)), "{place}: {shown}");
}

#[test]
fn a_key_at_each_place_is_told_of_by_all_that_tell_of_keys() {
    for KeyFile { path, user, .. } in KEY_FILES {
        for base in [&TINY, &SD] {
            let folder = folder(base);
            let owner = if path.starts_with("home") { "0600:1000:100" } else { "0444" };
            let file = format!("a.pub:/{path}:{owner}");
            let made = folder.run(&["base.iso", "--file", &file, "-o", "image"]);
            let summary = said(&made);
            assert!(summary.contains(&format!("file: /{path}\n")), "{summary}");
            assert_told(&folder, user, &summary, path);
        }
    }
}

#[test]
fn a_key_in_an_overlay_of_any_size_is_told_of_by_all_that_tell_of_keys() {
    for size in [1_000, 17_000_000] {
        let folder = folder(&TINY);
        std::fs::create_dir_all(folder.at("lay/root/.ssh")).unwrap();
        folder.write("lay/root/.ssh/authorized_keys", &folder.read("a.pub"));
        folder.write("lay/large", &vec![7; size]);
        let made = folder.run(&["base.iso", "--overlay", "lay", "-o", "image"]);
        assert_told(&folder, "root", &said(&made), &size.to_string());
    }
}

/// Options with which sshd skips a line, or lets nobody in by it, and what is said. More of them, with what a real sshd
/// did, are in `src/keys/values.rs`.
const SHUT: [(&str, &str); 9] = [
    ("permitopen=\"localhost\"", "found permitopen=\"localhost\" without a port"),
    ("permitopen=\"h:99999\"", "found permitopen=\"h:99999\" whose port is neither"),
    ("permitlisten=\"-x\"", "found permitlisten=\"-x\" whose port is neither"),
    ("tunnel=\"abc\"", "found tunnel=\"abc\" that is neither a number of a device nor any"),
    ("environment=\"1 X\"", "found environment=\"…\" that is not NAME=VALUE"),
    ("from=\"10.0.0.1/8\"", "found from=\"10.0.0.1/8\" with an address that has bits behind"),
    ("from=\"\"", "found from=\"\" with an empty part"),
    ("no-pty,FROM=\"!*\"", "found from=\"!*\" whose ! is for everybody"),
    ("from=\"*.lan\"", "found from=\"*.lan\" that matches no address"),
];

#[test]
fn a_key_that_lets_nobody_in_for_the_value_of_an_option_is_refused_with_the_value() {
    let folder = folder(&TINY);
    for (options, told) in SHUT {
        folder.write("shut.pub", format!("{options} {}\n", key(1)).as_bytes());
        let ended = folder.run(&["base.iso", "--key", "shut.pub", "-o", "image"]);
        ended.refused(2, &format!("shut.pub line 1: {told}"));
    }
    assert!(!folder.names().contains(&"image".to_owned()));
}

#[test]
fn a_line_that_is_not_understood_takes_no_key_with_it_and_is_told_of() {
    let folder = folder(&TINY);
    let text = format!("# mine\nssh-dss AAAA b\n{} a.pub\n", key(1));
    folder.write("keys", text.as_bytes());
    let given = ["--file", "keys:/root/.ssh/authorized_keys:0600"];
    let told = "not understood: /root/.ssh/authorized_keys line 2: found a DSA key";
    let summary = said(&folder.run(&[&["base.iso", "-o", "image"], &given[..]].concat()));
    assert!(summary.contains(told) && summary.contains(&print(1)), "{summary}");
    let shown = folder.run(&["inspect", "image"]).done();
    assert!(shown.contains(told) && shown.contains("ssh login: root with "), "{shown}");
    assert!(folder.run(&["inspect", "--all", "image"]).done().contains(told));
    let report = json(&folder, "image")["injected"].clone();
    assert!(report["notes"][0].as_str().unwrap().starts_with(told), "{report}");
    assert_eq!(report["settings"], Value::Array(Vec::new()));
    // Where no line is understood, it is not sure that nobody can log in.
    folder.write("keys", b"ssh-dss AAAA b\n");
    let summary = said(&folder.run(&[&["base.iso", "-o", "other"], &given[..]].concat()));
    let nobody = "ssh login: nobody, as far as the keys are understood\n";
    assert!(summary.contains(nobody), "{summary}");
    assert!(folder.run(&["inspect", "other"]).done().contains(nobody));
    folder.write(
        "users.jsonl",
        b"{\"name\":\"ann\",\"file\":[\"keys:/root/.ssh/authorized_keys:0600\"]}\n",
    );
    let ended = folder.run(&["stamp", "base.iso", "users.jsonl", "-o", "out"]);
    let nobody = "note: ann: nobody can log in over ssh, as far as the keys are understood\n";
    for told in [nobody, "note: ann: not understood: /root/.ssh/authorized_keys line 1: found a"] {
        assert!(ended.err.contains(told), "{}", ended.err);
    }
    // Comments are no reason to refuse an edit.
    folder.write("keys", text.as_bytes());
    let all = KEY_FILES.map(|file| format!("keys:/{}:0444", file.path));
    let all: Vec<&str> = all.iter().flat_map(|file| ["--file", file]).collect();
    folder.run(&[&["base.iso", "-q", "-o", "all"], &all[..]].concat()).quietly();
    folder.run(&["edit", "--in-place", "all", "--hostname", "box"]).done();
    assert_eq!(reported(&folder, "all").len(), 2);
}

#[test]
fn the_options_of_a_key_are_shown_and_go_only_with_a_word() {
    let folder = folder(&TINY);
    let limited = format!("from=\"10.0.0.1\",restrict,pty {} limited\n", key(1));
    folder.write("limited.pub", limited.as_bytes());
    let made = folder.run(&["base.iso", "--key", "limited.pub", "-o", "image"]);
    let with = "with from=\"10.0.0.1\",restrict,pty";
    assert!(said(&made).contains(&format!(" limited {with}\n")));
    assert!(folder.run(&["inspect", "image"]).done().contains(&format!("limited {with}\n")));
    let options = Some("from=\"10.0.0.1\",restrict,pty".to_owned());
    let users = ["root", "nixos"].map(|user| (user.to_owned(), print(1), options.clone()));
    assert_eq!(reported(&folder, "image"), users);
    let again = said(&folder.run(&["image", "--key", "a.pub", "-o", "again"]));
    let otherwise = "is given again with other options, or for other users\n";
    assert!(
        again.contains(&format!("key {} key 1 limited {with} {otherwise}", print(1))),
        "{again}"
    );
    assert!(!again.contains("taken out"), "{again}");
    let back = said(&folder.run(&["again", "--key", "limited.pub", "-o", "back"]));
    assert!(back.contains(&format!("key {} key 1 a.pub {otherwise}", print(1))), "{back}");
    let same = said(&folder.run(&["image", "--key", "limited.pub", "-o", "same"]));
    assert!(!same.contains("given again"), "{same}");
    let other = said(&folder.run(&["image", "--key", "b.pub", "-o", "other"]));
    let told = format!("key {} key 1 limited {with} is not given again: it is taken out", print(1));
    assert!(other.contains(&told), "{other}");
}

#[test]
fn all_forms_of_inspect_tell_the_same_settings() {
    let folder = folder(&TINY);
    let hash = "$6$saltsalt$6HmnG.ehEMzgYMK0TCxOBULoMaNQNXyzFOT2qYch1YHPdYIj3P.88UVgCUtiy.ZlNcL02CwzdM1b.zOdo6qf30";
    let given = ["--key", "a.pub", "--ssh-passwords", "--root-password-hash", hash, "--karg", "x"];
    let more = ["--timeout", "5", "--label", "BOX", "--wifi", "Home", "--wifi-open"];
    folder.run(&[&["base.iso", "-q", "-o", "image"], &given[..], &more].concat()).quietly();
    let plain = folder.run(&["inspect", "image"]).done();
    let all = folder.run(&["inspect", "--all", "image"]).done();
    let report = json(&folder, "image");
    let settings = report["injected"]["settings"].as_array().unwrap();
    let set: Vec<&str> = plain.lines().filter_map(|line| line.strip_prefix("set: ")).collect();
    let told = settings.iter().map(|one| {
        let [name, value] = ["name", "value"].map(|part| one[part].as_str().unwrap());
        assert!(all.contains(&format!("  {name}: {value}")), "{name}: {all}");
        let security = one["security"].as_str().map(|security| format!(" ({security})"));
        format!("{name} {value}{}", security.unwrap_or_default()).trim_end().to_owned()
    });
    assert_eq!(told.collect::<Vec<_>>(), set);
    for expected in [
        "ssh-passwords true",
        "root-password",
        "karg x",
        "timeout 5",
        "label BOX",
        "wifi Home (open)",
    ] {
        assert!(set.contains(&expected), "{expected}: {set:?}");
    }
}

#[test]
fn what_was_so_without_being_said_goes_only_with_a_word() {
    let folder = folder(&TINY);
    let hash = "$6$saltsalt$6HmnG.ehEMzgYMK0TCxOBULoMaNQNXyzFOT2qYch1YHPdYIj3P.88UVgCUtiy.ZlNcL02CwzdM1b.zOdo6qf30";
    folder.run(&["base.iso", "-q", "--key", "a.pub", "-o", "keyed"]).quietly();
    let carried = folder.run(&["keyed", "--key", "a.pub", "--inject", "credential", "-o", "c"]);
    for what in ["ssh-passwords false", "greeting true"] {
        let told = format!("{what} is not given again: it is taken out");
        assert!(said(&carried).contains(&told), "{}", said(&carried));
    }
    let word = ["base.iso", "-q", "--root-password-hash", hash, "--ssh-passwords", "-o", "word"];
    folder.run(&word).quietly();
    let again = ["word", "--root-password-hash", hash, "--key", "a.pub", "-o", "again"];
    let told = "ssh login of root with a password is not given again: it is taken out";
    assert!(said(&folder.run(&again)).contains(told));
    let edited = said(&folder.run(&["edit", "--in-place", "word", "--key", "a.pub"]));
    assert!(edited.contains("ssh login of root with a password is taken out"), "{edited}");
}

#[test]
fn a_host_key_beside_a_key_file_of_the_users_is_put_in() {
    let folder = folder(&TINY);
    let host = pair(7).to_openssh(ssh_key::LineEnding::LF).unwrap();
    folder.write("host", host.as_bytes());
    let file = "a.pub:/etc/ssh/authorized_keys.d/root:444";
    folder.run(&["base.iso", "-q", "--file", file, "-o", "image"]).quietly();
    folder.run(&["edit", "--in-place", "image", "--host-key", "host"]).done();
}
