//! The summary of a stamping names everything that was asked for with its value, and no secret: every field of a recipe.

use std::collections::BTreeSet;

use remaster::recipe::Recipe;
use ssh_key::LineEnding;

use crate::netboot::kexec;
use crate::support::{Ended, Folder, SD, TINY, key, pair};

const HASH: &str = "$6$saltsalt$6HmnG.ehEMzgYMK0TCxOBULoMaNQNXyzFOT2qYch1YHPdYIj3P.88UVgCUtiy.ZlNcL02CwzdM1b.zOdo6qf30";

/// A field, what is given on the command line, and the line that tells of it.
type Row = (&'static str, &'static [&'static str], &'static str);

const ROWS: &[Row] = &[
    ("key", &[], "key: ssh-ed25519 SHA256:"),
    ("ssh-passwords", &["--ssh-passwords"], "set: ssh-passwords true"),
    ("host-key", &["--host-key", "host"], "host key: ssh-ed25519 SHA256:"),
    (
        "host-key-seed",
        &["--host-key", "generate", "--host-key-seed", "seed"],
        "set: host-key-seed\n",
    ),
    (
        "host-key-name",
        &["--host-key", "generate", "--host-key-seed", "seed", "--host-key-name", "box"],
        "set: host-key-name box",
    ),
    ("root-password-file", &["--root-password-file", "word"], "set: root-password\n"),
    ("root-password-hash", &["--root-password-hash", HASH], "set: root-password\n"),
    ("nixos-password-file", &["--nixos-password-file", "word"], "set: nixos-password\n"),
    ("nixos-password-hash", &["--nixos-password-hash", HASH], "set: nixos-password\n"),
    ("hostname", &["--hostname", "box"], "set: hostname box"),
    ("timezone", &["--timezone", "Europe/Berlin"], "set: timezone Europe/Berlin"),
    ("keymap", &["--keymap", "de"], "set: keymap de"),
    ("locale", &["--locale", "de_DE.UTF-8"], "set: locale de_DE.UTF-8"),
    ("console-font", &["--console-font", "ter-v16n"], "set: console-font ter-v16n"),
    ("greeting", &["--greeting=false"], "set: greeting false"),
    ("announce", &["--host-key", "host", "--announce"], "set: announce true"),
    ("address", &["--address", "10.0.0.2/8"], "set: address 10.0.0.2/8"),
    ("gateway", &["--address", "10.0.0.2/8", "--gateway", "10.0.0.1"], "set: gateway 10.0.0.1"),
    ("bond", &["--bond", "bond0:eno1,eno2"], "set: bond bond0:eno1,eno2"),
    ("mtu", &["--mtu", "1400"], "set: mtu 1400"),
    ("dns", &["--dns", "10.0.0.1"], "set: dns 10.0.0.1"),
    ("wifi", &["--wifi", "home", "--wifi-open"], "set: wifi home"),
    (
        "wifi-password-file",
        &["--wifi", "home", "--wifi-password-file", "word"],
        "set: wifi-password-file\n",
    ),
    ("wifi-open", &["--wifi", "home", "--wifi-open"], "set: wifi-open true"),
    (
        "wifi-wpa3",
        &["--wifi", "home", "--wifi-password-file", "word", "--wifi-wpa3"],
        "set: wifi-wpa3 true",
    ),
    (
        "wifi-country",
        &["--wifi", "home", "--wifi-open", "--wifi-country", "DE"],
        "set: wifi-country DE",
    ),
    ("overlay", &["--overlay", "files"], "file: /etc/hello"),
    ("xattrs", &["--overlay", "files", "--xattrs", "drop"], "set: xattrs drop"),
    ("file", &["--file", "word:/etc/word"], "file: /etc/word"),
    ("script", &["--script", "run.sh"], "file: /opt/remaster/bin/run.sh"),
    ("bin", &["--bin", "program"], "file: /opt/remaster/bin/program"),
    ("unit", &["--unit", "x.service"], "file: /etc/systemd/system.control/x.service"),
    ("enable", &["--unit", "x.service", "--enable"], "set: enable true"),
    ("run", &["--run", "run.sh"], "file: /opt/remaster/run/run.sh"),
    ("allow-secrets", &["--file", "word:/etc/word", "--allow-secrets"], "set: allow-secrets true"),
    ("karg", &["--karg", "quiet"], "set: karg quiet"),
    ("karg-delete", &["--karg-delete", "loglevel=4"], "set: karg-delete loglevel=4"),
    ("karg-replace", &["--karg-replace", "loglevel=7"], "set: karg loglevel=7"),
    ("entry", &["--karg", "quiet", "--entry", "copytoram"], "set: entry copytoram"),
    ("serial", &["--serial", "ttyS0,115200"], "set: serial ttyS0,115200"),
    ("timeout", &["--timeout", "7"], "set: timeout 7"),
    ("default-entry", &["--default-entry", "copytoram"], "set: default-entry copytoram"),
    ("label", &["--label", "OTHER"], "set: label OTHER"),
    ("name", &["--name", "rack"], "set: name rack"),
    ("merge-initrd", &["--merge-initrd"], "set: merge-initrd true"),
    ("inject", &["--inject", "archive"], "set: inject archive"),
    ("reproducible", &["--reproducible"], "set: reproducible true"),
    ("manifest-digests", &["--recipe", "digests.toml"], "manifest: digests of all blocks"),
    ("sign", &["--recipe", "sign.toml"], "manifest: signed "),
];

/// Fields that these runs cannot give, and where they are shown.
const OTHERS: [(&str, &str); 7] = [
    ("expect-fingerprint", "is about keys that are fetched; `live::elsewhere` shows these"),
    (
        "root-password-prompt",
        "needs a terminal; it becomes the root-password that the row of the file shows",
    ),
    ("nixos-password-prompt", "as root-password-prompt"),
    ("wifi-password-prompt", "needs a terminal"),
    ("store", "needs a squashfs: `composed` has one"),
    ("path", "needs a store"),
    ("machine", "has lines of its own: `hosts`"),
];

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("host", pair(7).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("seed", b"a seed of more than thirty-two bytes, all of them secret\n");
    folder.write("word", b"correct horse battery\n");
    folder.write("run.sh", b"#!/bin/sh\ntrue\n");
    folder.write(
        "x.service",
        b"[Service]\nExecStart=/bin/sh -c true\n[Install]\nWantedBy=multi-user.target\n",
    );
    folder.write("digests.toml", b"manifest-digests = true\n");
    folder.write("sign.toml", b"sign = 'host'\n");
    folder.write("program", &program());
    std::fs::create_dir_all(folder.at("files/etc")).unwrap();
    folder.write("files/etc/hello", b"hello\n");
    folder
}

/// The least that is a static program: a header of ELF for this processor.
fn program() -> Vec<u8> {
    let mut bytes = vec![0; 120];
    bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
    bytes[20] = 1;
    bytes[32] = 64;
    bytes[52] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = 1;
    bytes
}

fn stamped(given: &[&str]) -> Ended {
    folder().run(&[&["base.iso", "--key", "key.pub", "-o", "out.iso"], given].concat())
}

#[test]
fn every_field_is_reported_with_its_value() {
    let mut wrong = Vec::new();
    for (field, given, line) in ROWS {
        let ended = stamped(given);
        if ended.status != 0 || !ended.err.contains(line) {
            wrong.push(format!("{field}: {line:?} is not in:\n{}", ended.err));
        }
        if *field != "key" && stamped(&["--hostname", "z"]).err.contains(line) {
            wrong.push(format!("{field}: {line:?} is shown without it"));
        }
        for secret in ["correct horse", "a seed of", "$6$", "BEGIN"] {
            assert!(!ended.err.contains(secret), "{field}: {}", ended.err);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Fields that `inspect` does not name, or shows in another form, and why.
const UNTOLD: [(&str, &str); 12] = [
    ("host-key-seed", "the host key is shown, and not what it was derived from"),
    ("host-key-name", "as host-key-seed"),
    ("wifi-password-file", "the network is shown, and its file as a secret"),
    ("wifi-open", "as wifi-password-file"),
    ("wifi-wpa3", "as wifi-password-file"),
    ("xattrs", "says what is not put in"),
    ("enable", "the unit is shown"),
    ("allow-secrets", "allows what is shown as a file"),
    ("entry", "the argument is shown, and the entries with --all"),
    ("default-entry", "shown with the whole path of the entry"),
    ("inject", "where the same keys are"),
    ("reproducible", "refuses, and changes nothing"),
];

/// Fields that raw images refuse: their two entries share a label, and they have no volume. The program is for
/// another processor.
const NOT_RAW: [&str; 5] = ["bin", "entry", "default-entry", "label", "merge-initrd"];

#[test]
fn an_image_tells_what_was_set_and_the_same_again_takes_nothing_out() {
    let mut wrong = Vec::new();
    for (base, name) in [(&TINY, "iso"), (&SD, "raw")] {
        let folder = folder();
        folder.write("base.iso", base);
        for (field, given, line) in ROWS {
            let arguments = |image, more: &[&'static str]| {
                [&[image, "--key", "key.pub", "-f", "-o", "out.iso"], *given, more].concat()
            };
            let is_refused = folder.run(&arguments("base.iso", &[])).status != 0;
            if is_refused != (name == "raw" && NOT_RAW.contains(field)) {
                wrong.push(format!("{name}: {field}: refused: {is_refused}"));
            }
            if is_refused {
                continue;
            }
            let shown = folder.run(&["inspect", "out.iso"]).done();
            std::fs::rename(folder.at("out.iso"), folder.at("before.iso")).unwrap();
            let again = folder.run(&arguments("before.iso", &[])).err;
            let is_told = UNTOLD.iter().all(|(untold, _)| untold != field);
            let is_told_alike = ["set: ", "manifest: "].iter().any(|start| line.starts_with(start));
            if is_told_alike && shown.contains(line) != is_told {
                wrong.push(format!("{name}: {line:?} is not in:\n{shown}"));
            }
            if again.contains("is taken out") {
                wrong.push(format!("{name}: {field}: {again}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_field_has_a_row() {
    let rows = ROWS.iter().map(|row| row.0).chain(OTHERS.map(|row| row.0));
    let rows: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(rows, Recipe::keys().into_iter().collect());
}

/// The lines that say what is put in.
fn told(text: &str) -> Vec<&str> {
    let starts = [
        "key: ",
        "set: ",
        "file: ",
        "ssh login: ",
        "host key: ",
        "manifest: ",
        "and ",
        "on the kernel",
    ];
    text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).collect()
}

#[test]
fn a_dry_run_tells_what_the_run_tells() {
    let folder = folder();
    folder.write("sd.img", &SD);
    folder.run(&["netboot", "base.iso", "-q", "-o", "nb"]).done();
    folder.write("kexec.tar", &kexec(&folder.read("nb/initrd")));
    folder.write("machine.toml", b"[[machine]]\nmac = '52:54:00:12:34:56'\nhostname = 'm1'\n");
    let more: [&[&str]; 2] = [&["--recipe", "machine.toml"], &["--inject", "credential"]];
    let rows = || ROWS.iter().map(|row| row.1).chain(more);
    let mut wrong = Vec::new();
    for base in ["base.iso", "sd.img", "kexec.tar"] {
        for keys in [&["--key", "key.pub"][..], &["--hostname", "z"]] {
            for given in rows() {
                let has_own_name = keys[0] == "--hostname" && given.contains(&"--hostname");
                let arguments = [&[base], keys, given].concat();
                let ended = folder.run(&[&arguments[..], &["-f", "-o", "out"]].concat());
                if ended.status != 0 || has_own_name {
                    continue;
                }
                let dry = folder.run(&[&arguments[..], &["-n", "-f", "-o", "out"]].concat()).done();
                let is_random = given.contains(&"generate") && !given.contains(&"--host-key-seed");
                let (mut real, mut dry) = (told(&ended.err), told(&dry));
                real.sort_unstable();
                dry.sort_unstable();
                if real != dry && !is_random {
                    wrong.push(format!("{arguments:?}:\n{real:#?}\n{dry:#?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let records = ["--manifest", "m.json", "--provenance", "p.json", "--sign", "host"];
    let keys = ["base.iso", "--host-key", "host", "-n", "-o", "other.iso"];
    let text = folder.run(&[&keys[..], &records].concat()).done();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("would write ")).collect();
    let files = ["m.json", "m.json.sig", "p.json", "other.iso.known_hosts"];
    assert_eq!(lines, files.map(|file| format!("would write {file}")));
    let text = folder.run(&["kexec.tar", "--host-key", "host", "-n", "-o", "other.tar"]).done();
    for words in ["host key: ssh-ed25519 SHA256:", "mode 0600", "would write other.tar.known_hosts"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}
