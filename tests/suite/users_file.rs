//! Users files in all their forms: text means the same in each, and no blank of it is lost in silence.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use remaster::recipe::Recipe;
use remaster::recipe::users::{self, Format};

use crate::support::{Folder, TINY, key};

/// Every key that takes text: text that it takes, what must stand beside it, and whether it takes a blank at an end, too.
const TEXTS: &[(&str, &str, &str, bool)] = &[
    ("key", "key.pub", "", false),
    ("host-key", "generate", "", false),
    ("root-password-file", "password", "", false),
    ("root-password-hash", HASH, "", false),
    ("nixos-password-file", "password", "", false),
    ("nixos-password-hash", HASH, "", false),
    ("hostname", "box", "", false),
    ("timezone", "Europe/Berlin", "", false),
    ("keymap", "de", "", false),
    ("locale", "C.UTF-8", "", false),
    ("console-font", "ter-v16n", "", false),
    ("address", "10.0.0.2/24", "", false),
    ("gateway", "10.0.0.1", "address = '10.0.0.2/24'", false),
    ("bond", "bond0:eno1,eno2", "", false),
    ("mtu", "9000", "address = '10.0.0.2/24'", false),
    ("dns", "1.1.1.1", "", false),
    ("wifi", "net", "wifi-open = true", true),
    ("wifi-password-file", "password", "wifi = 'net'", false),
    ("wifi-country", "DE", "wifi = 'net'\nwifi-open = true", false),
    ("overlay", "folder", "", false),
    ("xattrs", "drop", "overlay = 'folder'", false),
    ("file", "motd:/srv/a", "", true),
    ("script", "run.sh", "", false),
    ("run", "run.sh", "", false),
    ("unit", "a.service", "", false),
    ("karg", "a=b", "", true),
    ("karg-delete", "nohibernate", "", false),
    ("karg-replace", "loglevel=7", "", true),
    ("entry", "Installer", "karg = 'a'", true),
    ("serial", "ttyS0", "", false),
    ("default-entry", "Installer", "", true),
    ("label", "LAB", "", false),
    ("menu-name", "Lab", "", false),
    ("inject", "archive", "", false),
];

/// Keys that take a number or a truth value, that no batch takes, and that name a file that is no text. A blank more names
/// another file, which is not there.
const OTHERS: [&str; 20] = [
    "expect-fingerprint",
    "ssh-passwords",
    "host-key-seed",
    "host-key-name",
    "root-password-prompt",
    "nixos-password-prompt",
    "greeting",
    "announce",
    "wifi-password-prompt",
    "wifi-open",
    "wifi-wpa3",
    "bin",
    "enable",
    "store",
    "path",
    "allow-secrets",
    "timeout",
    "merge-initrd",
    "reproducible",
    "manifest-digests",
];

/// A hash as `mkpasswd -m sha512crypt` writes it.
const HASH: &str = "$6$aaaaaaaa$qFmFHxbQmmtXzyBY0s9v7Oicd2z4XSIecDlB5KiA2/jctKu9YterLp8wwnSqxqcxeoxqOmSuNp2xS0ktL3nh/1";

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    folder.write("password", b"correct horse\n");
    folder.write("motd", b"hello\n");
    folder.write("run.sh", b"#!/bin/sh\ntrue\n");
    folder.write("a.service", b"[Service]\nExecStart=/run/current-system/sw/bin/true\n");
    fs::create_dir(folder.at("folder")).unwrap();
    folder.write("folder/a", b"a\n");
    folder
}

/// The keys with which a user fails who has one of them, with these around its text.
fn failing(folder: &Folder, around: (&str, &str)) -> BTreeSet<String> {
    let mut users = String::new();
    for (name, text, beside, _) in TEXTS {
        let text = format!("{}{text}{}", around.0, around.1);
        let _ = writeln!(users, "[[user]]\nname = '{name}'\n{name} = '{text}'\n{beside}");
        if *name != "key" {
            users.push_str("key = 'key.pub'\n");
        }
    }
    folder.write("users.toml", users.as_bytes());
    let line = "stamp base.iso users.toml --as patch -f -o out --failures failed";
    let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
    assert!([0, 11].contains(&ended.status), "{}", ended.err);
    let failed = String::from_utf8(folder.read("failed")).unwrap();
    let lines = failed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| named(&line["name"], &line["error"])).collect()
}

/// The user that failed. One that cannot be read has no name: the error names the key.
fn named(name: &serde_json::Value, error: &serde_json::Value) -> String {
    match name.as_str() {
        Some("") | None => error.as_str().unwrap().split(": ").nth(1).unwrap().to_owned(),
        Some(name) => name.to_owned(),
    }
}

#[test]
fn every_key_that_takes_text_refuses_a_blank_at_an_end_or_is_known_to_take_it() {
    let known = TEXTS.iter().map(|(name, ..)| *name).chain(OTHERS).chain(["sign"]);
    let all: BTreeSet<String> = known.map(str::to_owned).collect();
    let names = Recipe::names();
    assert_eq!(all, names.iter().map(|name| users::key_of(name).to_owned()).collect());
    let folder = folder();
    assert_eq!(failing(&folder, ("", "")), BTreeSet::new());
    let refusing = TEXTS.iter().filter(|(.., keeps)| !keeps).map(|(name, ..)| (*name).to_owned());
    let refusing: BTreeSet<String> = refusing.collect();
    let (before, behind) = (failing(&folder, (" ", "")), failing(&folder, ("", " ")));
    assert_eq!(before.intersection(&behind).cloned().collect::<BTreeSet<_>>(), refusing);
}

#[test]
fn what_gives_nothing_is_refused_by_its_place_for_every_key() {
    let folder = folder();
    let fault = |name: &str, format, text: String| {
        folder.write(name, text.as_bytes());
        let read = users::read(&folder.at(name), format, ';').unwrap().remove(0);
        read.map(|user| format!("{:?}", user.recipe)).map_err(|fault| fault.to_string())
    };
    for setting in Recipe::names() {
        let key = users::key_of(&setting);
        let toml = format!("[[user]]\nname = 'u'\n{key} = []\n");
        let toml = fault("u.toml", Format::Toml, toml).unwrap_err();
        assert!(toml.contains(&format!("u.toml:3:{}: {key}: ", key.len() + 4)), "{toml}");
        for (value, is_list) in [("null", false), ("[]", true)] {
            let json =
                fault("u.jsonl", Format::Jsonl, format!("{{\"name\":\"u\",\"{key}\":{value}}}"));
            let json = json.unwrap_err();
            assert!(json.contains(&format!("u.jsonl:1: {key}: ")), "{key} {value}: {json}");
            assert!(is_list || json.contains("it gives nothing"), "{key}: {json}");
        }
        folder.write("r.toml", format!("{setting} = []\n").as_bytes());
        let recipe = remaster::recipe::read(&folder.at("r.toml")).unwrap_err().to_string();
        assert!(
            recipe.contains(&format!("r.toml:1:{}: {setting}: ", setting.len() + 4)),
            "{recipe}"
        );
        // In CSV, text without elements is text for keys that take one text.
        for cell in [";", "; ;"] {
            let csv = fault("u.csv", Format::Csv, format!("name,{key}\nu,{cell}\n"));
            let told = format!("u.csv:2, column 2: {key}: it gives nothing");
            let is_told = csv.as_ref().is_err_and(|csv| csv.contains(&told));
            let is_list = toml.contains("gives nothing");
            // A blank is an element of what takes blanks, which CSV refuses.
            assert_eq!(
                is_told || (is_list && cell != ";" && csv.is_err()),
                is_list,
                "{key}: {csv:?}"
            );
        }
    }
    for line in ["mac = []", "key = []", "run = []", "hostname = []"] {
        folder.write(
            "r.toml",
            format!("[[machine]]\nmac = 'x'\n{line}\n").replace("mac = 'x'\nmac", "mac").as_bytes(),
        );
        let ended = folder.run(&["base.iso", "--recipe", "r.toml", "-n"]);
        ended.refused(2, "r.toml:");
    }
    folder.write("r.toml", b"machine = []\n");
    folder
        .run(&["base.iso", "--recipe", "r.toml", "-n"])
        .refused(2, "r.toml:1:11: machine: it gives");
}

/// What a key of a user is in a file of CSV, if the user can be read.
fn in_csv(folder: &Folder, name: &str, cell: &str) -> Option<Vec<String>> {
    folder.write("users.csv", format!("name,{name}\nu,{cell}\n").as_bytes());
    let found = users::read(&folder.at("users.csv"), Format::Csv, ';').unwrap().remove(0).ok()?;
    let told = found.recipe.told().into_iter();
    let own = told.filter(|(setting, _)| users::key_of(setting) == name);
    let place = format!("{}/", folder.path().display());
    Some(own.map(|(_, value)| value.replace(&place, "")).collect())
}

#[test]
fn no_blank_in_a_cell_of_csv_is_lost_that_a_key_takes() {
    let folder = folder();
    for (name, text, _, keeps) in TEXTS {
        // Whether the key takes it is not judged yet, and a comma would want quotes.
        let text = text.replace(',', " ");
        let sound = in_csv(&folder, name, &text);
        assert!(sound.is_some(), "{name}");
        let (quoted, bare) = (format!("\"{text}  \""), format!("{text} "));
        let (quoted, bare) = (in_csv(&folder, name, &quoted), in_csv(&folder, name, &bare));
        if *keeps {
            assert_eq!((quoted, bare), (Some(vec![format!("{text}  ")]), None), "{name}");
        } else {
            assert_eq!((&quoted, &bare), (&sound, &sound), "{name}");
        }
    }
}

/// A network whose name has blanks around it, in every form: the same image.
#[test]
fn a_network_with_blanks_around_its_name_is_joined_as_it_is_called() {
    let folder = folder();
    for (file, text) in [
        ("u.toml", "[[user]]\nname = 'u'\nkey = 'key.pub'\nwifi = '  my net '\nwifi-open = true\n"),
        (
            "u.jsonl",
            "{\"name\":\"u\",\"key\":\"key.pub\",\"wifi\":\"  my net \",\"wifi-open\":true}\n",
        ),
        ("u.csv", "name,key,wifi,wifi-open\nu, key.pub ,\"  my net \", true\n"),
    ] {
        folder.write(file, text.as_bytes());
        folder
            .run(&["stamp", "base.iso", file, "-q", "-o", file.split('.').nth(1).unwrap()])
            .quietly();
    }
    let made = ["toml", "jsonl", "csv"].map(|out| folder.read(&format!("{out}/u.iso")));
    assert!(made[0] == made[1] && made[1] == made[2]);
    let told = folder.run(&["inspect", "csv/u.iso"]).done();
    assert!(told.contains("  my net "), "{told}");
}
