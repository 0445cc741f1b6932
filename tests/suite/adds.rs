//! An edit adds: what was put in before stays, byte for byte as if both had been asked for at once, or is refused by name.

use std::fs;

use ssh_key::LineEnding;

use crate::support::{Ended, Folder, SD, SYSTEMD, TINY, key, pair};

const HASH: &str = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

/// What an ISO has before. Everything that a recipe can say and that is not chance is here, with its neighbours.
const BEFORE: [&str; 40] = [
    "--key a.pub",
    "--key a.pub --key b.pub",
    "--hostname box",
    "--timezone Europe/Berlin --keymap de",
    "--greeting",
    "--announce --host-key host",
    "--key a.pub --greeting=false",
    "--key a.pub --ssh-passwords",
    "--ssh-passwords=false",
    "--host-key host",
    "--host-key host --hostname box --key a.pub",
    "--root-password-hash HASH",
    "--nixos-password-hash HASH",
    "--address 10.0.0.5/24 --gateway 10.0.0.1 --dns 9.9.9.9",
    "--address eno1=10.1.0.5/24 --mtu eno1=1400",
    "--bond bond0:eno1,eno2",
    "--wifi Home --wifi-password-file psk --address wifi=10.2.0.5/24",
    "--wifi Open --wifi-open --wifi-country DE",
    "--overlay overlay",
    "--file a.pub:/etc/ssh/authorized_keys.d/root:444 --hostname box",
    "--file script:/opt/h:700:root",
    "--script script",
    "--unit my.service --enable --run script",
    "--karg debug --karg a=b",
    "--karg x --entry boot-copytoram --entry boot-copytoram-latest_kernel",
    "--default-entry NixOS~25.11~Installer~(Linux~LTS)~(Copy~ISO~files~to~RAM)",
    "--karg-delete loglevel=4",
    "--karg-replace loglevel=7",
    "--serial ttyS0,115200",
    "--serial ttyS4,115200",
    "--karg console=tty0 --karg console=ttyS0,115200",
    "--karg console=tty0 --karg console=ttyS0,1234",
    "--serial ttyS1,9600 --serial hvc0 --serial ttyS0,115200",
    "--timeout 0",
    "--timeout 3 --name Box",
    "--label MYLABEL --key a.pub",
    "--hostname box --merge-initrd",
    "--key a.pub --inject credential",
    "--key a.pub --manifest-digests",
    "--key a.pub --hostname box --overlay overlay --timeout 4 --name n",
];

/// What is added. Every line of the table before meets the first of these, and one of the others by turns.
const ADDED: [&str; 6] = [
    "--key c.pub",
    "--locale C.UTF-8",
    "--karg more=1",
    "--run another",
    "--default-entry copytoram",
    "--file script:/opt/another",
];

fn folder(base: &[u8]) -> Folder {
    let folder = Folder::with_base(base);
    for (number, name) in (1..).zip(["a.pub", "b.pub", "c.pub"]) {
        folder.write(name, format!("{} {name}@x\n", key(number).trim_end()).as_bytes());
    }
    folder.write("host", pair(7).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("psk", b"secretpass\n");
    folder.write("script", b"#!/bin/sh\ntrue\n");
    folder.write("another", b"#!/bin/sh\nfalse\n");
    folder.write(
        "my.service",
        b"[Service]\nExecStart=/bin/sh -c true\n[Install]\nWantedBy=multi-user.target\n",
    );
    fs::create_dir_all(folder.at("overlay/etc")).unwrap();
    folder.write("overlay/etc/motd", b"hello");
    folder.write("overlay/secret", b"x");
    folder
}

/// A `~` stands for a blank in a word.
fn run(folder: &Folder, line: &str) -> Ended {
    let word = |word: &str| if word == "HASH" { HASH.to_owned() } else { word.replace('~', " ") };
    let words: Vec<String> = line.split_whitespace().map(word).collect();
    folder.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Stamps twice at once, and one after the other by an edit.
fn both(folder: &Folder, before: &str, added: &str) -> (Vec<u8>, Vec<u8>) {
    run(folder, &format!("base.iso -q -f -o at-once {before} {added}")).quietly();
    run(folder, &format!("base.iso -q -f -o edited {before}")).quietly();
    run(folder, &format!("edit -q --in-place edited {added}")).quietly();
    let read = |name| fs::read(folder.at(name)).unwrap();
    (read("at-once"), read("edited"))
}

fn assert_adds(folder: &Folder, before: &str, added: &str) {
    let (at_once, edited) = both(folder, before, added);
    assert!(
        at_once == edited,
        "{before}, then {added}: {}",
        folder.run(&["diff", "at-once", "edited"]).text()
    );
}

#[test]
fn what_was_put_in_before_stays_byte_for_byte() {
    let folder = folder(&TINY);
    let others = ADDED.iter().skip(1).cycle();
    for (before, added) in BEFORE.iter().zip(others) {
        // Keys in a file of the user's stay there, and --key makes that file, too: both at once are refused.
        if before.contains("authorized_keys") {
            assert_adds(&folder, before, added);
            continue;
        }
        // A way that carries keys alone takes nothing else, and a value that there is once is not given twice.
        if !before.contains("--inject") && !before.contains("--default-entry") {
            assert_adds(&folder, before, added);
        }
        assert_adds(&folder, before, ADDED[0]);
    }
}

/// What raw images refuse: their two entries share a label, and they have no volume.
const NOT_RAW: &[&str] = &["--entry", "--default-entry", "--label", "--merge-initrd"];

#[test]
fn the_same_holds_for_other_kinds_of_images() {
    let of_systemd: &[&str] = &["25.11"];
    for (base, refused) in [(&*SYSTEMD, of_systemd), (&*SD, NOT_RAW)] {
        let folder = folder(base);
        let mut others =
            ["--key c.pub", "--karg more=1", "--file script:/opt/another"].iter().cycle();
        for before in BEFORE {
            let stamped = run(&folder, &format!("base.iso -q -f -o at-once {before}"));
            let is_refused = refused.iter().any(|word| before.contains(word));
            assert_eq!(stamped.status != 0, is_refused, "{before}: {}", stamped.err);
            let added = match others.next() {
                _ if is_refused => continue,
                _ if before.contains("--inject") => "--key c.pub",
                Some(added) if !before.contains("authorized_keys") => added,
                _ => "--karg more=1",
            };
            assert_adds(&folder, before, added);
        }
    }
}

/// An image with all that an edit is to meet.
fn stamped(before: &str) -> Folder {
    let folder = folder(&TINY);
    run(&folder, &format!("base.iso -q -o image {before}")).quietly();
    folder
}

fn edit(folder: &Folder, added: &str) -> Ended {
    run(folder, &format!("edit --in-place image {added}"))
}

#[test]
fn what_cannot_be_kept_is_refused_by_name_and_the_image_stays() {
    let rows = [
        ("--wifi Home --wifi-password-file psk", "--address 10.0.0.5/24", "wifi Home"),
        ("--wifi Home --wifi-password-file psk", "--wifi Other --wifi-open", "wifi Home"),
        ("--overlay overlay", "--file script:/etc/motd/x", "/etc/motd"),
    ];
    for (before, added, named) in rows {
        let folder = stamped(before);
        let old = fs::read(folder.at("image")).unwrap();
        let ended = edit(&folder, added);
        assert_eq!(ended.status, 2, "{before}, then {added}: {}", ended.err);
        assert!(ended.err.contains(named) && ended.err.contains("--replace"), "{}", ended.err);
        assert!(fs::read(folder.at("image")).unwrap() == old, "{before}, then {added}");
    }
    let folder = stamped("--wifi Home --wifi-password-file psk");
    edit(&folder, "--wifi Home --wifi Other --wifi-password-file psk --wifi-open").done();
}

#[test]
fn a_value_that_there_is_once_is_changed() {
    let folder = stamped("--hostname old --key a.pub --host-key host");
    folder.write("other", pair(8).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("motd", b"new");
    let ended = edit(&folder, "--hostname new --host-key other --file motd:/etc/motd");
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert!(ended.err.contains("host-key SHA256:"), "{}", ended.err);
    let shown = folder.run(&["inspect", "image"]).done();
    assert!(shown.contains("new") && !shown.contains("old"), "{shown}");
}

#[test]
fn consoles_that_came_as_kernel_arguments_are_called_that() {
    let folder = stamped("--karg console=tty0 --karg console=ttyS0,115200");
    let shown = folder.run(&["inspect", "image"]).done();
    assert!(shown.contains("karg console=ttyS0,115200") && !shown.contains("serial"), "{shown}");
}

#[test]
fn keys_are_taken_out_by_fingerprint_comment_or_file() {
    let print = key_print("a.pub");
    for given in ["a.pub", "key 1 a.pub@x", print.as_str()] {
        let folder = stamped("--key a.pub --key b.pub --hostname box");
        edit(&folder, &format!("--remove-key {}", given.replace(' ', "~"))).done();
        folder
            .run(&["base.iso", "-q", "--key", "b.pub", "--hostname", "box", "-o", "expected"])
            .quietly();
        let read = |name| fs::read(folder.at(name)).unwrap();
        assert!(read("image") == read("expected"), "{given}");
    }
    let folder = stamped("--key a.pub");
    edit(&folder, "--remove-key c.pub").refused(2, "give one of these: SHA256:");
    edit(&folder, "--remove-key a.pub").refused(2, "nothing would be left");
    edit(&folder, "--remove-key a.pub --hostname x").refused(2, "nobody could log in");
    edit(&folder, "--remove-key a.pub --key c.pub").done();
    edit(&folder, "--no-key").refused(2, "");
    edit(&folder, "--no-key --hostname box").done();
}

#[test]
fn a_file_without_the_key_to_take_out_is_named_with_what_it_is() {
    let folder = stamped("--key a.pub --key b.pub");
    folder.write("empty", b"");
    folder.write("text", b"hello there\n");
    fs::create_dir(folder.at("folder")).unwrap();
    for (given, told) in [
        ("empty", "empty: found no key"),
        ("text", "text line 1"),
        ("folder", "folder is a folder"),
        ("host", "a private key"),
        ("missing", "does not let in the key \"missing\""),
    ] {
        edit(&folder, &format!("--remove-key {given}")).refused(2, told);
    }
}

fn key_print(name: &str) -> String {
    let folder = folder(&TINY);
    let text = fs::read_to_string(folder.at(name)).unwrap();
    let key = ssh_key::PublicKey::from_openssh(&text).unwrap();
    key.fingerprint(ssh_key::HashAlg::Sha256).to_string()
}

#[test]
fn replacing_is_stamping_anew() {
    let folder = stamped("--key a.pub --hostname box --timeout 4");
    edit(&folder, "--replace --key b.pub").done();
    folder.run(&["base.iso", "-q", "--key", "b.pub", "-o", "expected"]).quietly();
    let read = |name| fs::read(folder.at(name)).unwrap();
    assert!(read("image") == read("expected"));
    edit(&folder, "--replace --remove-key b.pub").refused(2, "--remove-key");
}

#[test]
fn a_signature_that_goes_is_told() {
    let folder = folder(&TINY);
    folder.run(&["base.iso", "-q", "--key", "a.pub", "--sign", "host", "-o", "image"]).quietly();
    let ended = edit(&folder, "--hostname box");
    assert!(ended.status == 0 && ended.err.contains("was signed"), "{}", ended.err);
    let ended = edit(&folder, "--hostname other --sign host");
    assert!(ended.status == 0 && !ended.err.contains("was signed"), "{}", ended.err);
}
