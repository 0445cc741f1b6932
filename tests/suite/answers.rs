//! `inspect` answers first who may log in, what is set and what is secret; what is put in says the same when it is done.

use crate::netboot::kexec;
use crate::support::{Folder, SD, TINY, key};

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("sd.img", &SD);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    folder.write("kexec.tar", &kexec(&folder.read("stock/initrd")));
    folder
}

/// What an image has of settings: a flag for each, and how it is told.
const SET: &[(&[&str], &str)] = &[
    (&["--hostname", "box"], "set: hostname box"),
    (&["--timezone", "Europe/Berlin"], "set: timezone Europe/Berlin"),
    (&["--address", "192.0.2.1/24"], "set: address 192.0.2.1/24"),
];

#[test]
fn every_kind_of_image_fits_on_one_screen() {
    let folder = folder();
    let flags: Vec<&str> = SET.iter().flat_map(|(flags, _)| flags.iter().copied()).collect();
    let put = [&["--key", "key.pub"], &flags[..]].concat();
    let made: &[(&[&str], &str)] = &[
        (&["base.iso", "-o", "a.iso"], "a.iso"),
        (&["sd.img", "-o", "a.img"], "a.img"),
        (&["kexec.tar", "-o", "a.tar"], "a.tar"),
        (&["netboot", "base.iso", "-o", "nb"], "nb"),
    ];
    for (words, image) in made {
        let summary = folder.run(&[words, &put[..]].concat());
        assert_eq!(summary.status, 0, "{image}: {}", summary.err);
        let text = folder.run(&["inspect", image]).done();
        assert!(text.starts_with("NixOS ") && text.lines().count() <= 24, "{image}: {text}");
        assert!(text.contains("ssh login: ") && text.contains("SHA256:"), "{image}: {text}");
        for (_, words) in SET {
            assert!(text.contains(words), "{image}: {words}: {text}");
            assert!(summary.err.contains(words), "{image}: {words}: {}", summary.err);
        }
    }
    let all = folder.run(&["inspect", "--all", "a.iso"]).done();
    assert!(all.contains("\nmenu ") && all.contains("MBR partition"), "{all}");
    folder.run(&["inspect", "--json", "nb"]).refused(2, "only images take --json");
}

#[test]
fn an_image_that_nobody_can_enter_over_ssh_says_so() {
    let folder = folder();
    let nobody = "ssh login: nobody";
    folder.write("password", b"correct horse\n");
    let password = ["--root-password-file", "password"];
    for (flags, is_closed) in [(&["--hostname", "box"][..], true), (&password, false)] {
        let made = folder.run(&[&["base.iso", "-f", "-o", "a.iso"], flags].concat());
        assert_eq!(made.err.contains(nobody), is_closed, "{}", made.err);
        let text = folder.run(&["inspect", "a.iso"]).done();
        assert_eq!(text.contains(nobody), is_closed, "{text}");
    }
    let stock = folder.run(&["inspect", "base.iso"]).done();
    assert!(stock.contains("nothing was put in") && !stock.contains(nobody), "{stock}");
}

#[test]
fn keys_that_let_nobody_in_are_shown_apart_with_their_reasons() {
    let folder = folder();
    let [alice, bob, carol] = [1, 2, 3].map(|number| format!("{}\n", key(number).trim_end()));
    let lines = format!("command=\"ls\" {alice}{alice}expiry-time=\"20200101\" {bob}{carol}");
    folder.write("several", lines.as_bytes());
    let made: &[(&[&str], &str)] =
        &[(&["base.iso", "-o", "a.iso"], "a.iso"), (&["netboot", "base.iso", "-o", "nb"], "nb")];
    for (words, image) in made {
        folder.run(&[words, &["--key", "several"][..]].concat()).done();
        let text = folder.run(&["inspect", image]).done();
        let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("ssh login: root and nixos with ssh-ed25519 SHA256:"), 1, "{text}");
        assert_eq!(count("ssh login: "), 1, "{text}");
        // The same key with other options is a line of its own.
        assert_eq!(count("key that lets nobody in: "), 3, "{text}");
        for why in ["(command= runs ls instead of a shell)", "(expiry-time= lets nobody in since"] {
            assert!(text.contains(why), "{image}: {why}: {text}");
        }
    }
    let json = folder.run(&["inspect", "--json", "a.iso"]).done();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let keys = json["injected"]["keys"].as_array().unwrap();
    let shut_out = keys.iter().filter(|key| !key["shut_out"].is_null()).count();
    assert_eq!((keys.len(), shut_out), (8, 6), "{keys:?}");
    let summary = folder.run(&["base.iso", "-f", "-o", "a.iso", "--key", "several"]).err;
    assert!(summary.contains("accepts the key for root"), "{summary}");
    folder.write("forced", format!("command=\"ls\" {alice}{alice}").as_bytes());
    for command in [&["base.iso", "-f", "-o", "b.iso"][..], &["netboot", "base.iso", "-o", "b"]] {
        let refused = folder.run(&[command, &["--key", "forced"]].concat());
        refused.refused(2, "none of the keys gives a shell");
    }
}

#[test]
fn an_open_network_is_no_secret_and_one_with_a_password_is() {
    let folder = folder();
    folder.write("psk", b"secretpass\n");
    let rows: [(&[&str], bool); 3] = [
        (&["--wifi", "home", "--wifi-open"], false),
        (&["--wifi", "home", "--wifi-password-file", "psk"], true),
        (&["--wifi", "a", "--wifi", "b", "--wifi-password-file", "psk", "--wifi-open"], true),
    ];
    for (given, is_secret) in rows {
        for base in ["base.iso", "sd.img"] {
            let made = folder.run(&[&[base, "-f", "-o", "made"], given].concat());
            assert_eq!(made.err.contains("secret"), is_secret, "{base} {given:?}: {}", made.err);
            let shown = folder.run(&["inspect", "made"]).done();
            assert_eq!(shown.contains("secret: "), is_secret, "{base} {given:?}: {shown}");
            let dry = folder.run(&[&[base, "-n"], given].concat()).done();
            assert_eq!(dry.contains("secret"), is_secret, "{base} {given:?}: {dry}");
        }
    }
}
