//! No command writes over what it reads, and none writes two things to one path: every flag that names an output, and every
//! file that is written beside one, is given every input and every other output.
//!
//! The flags that name files come from `--help`: a new one fails here until it is in a row.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use remaster::image::digest::Digest;
use ssh_key::LineEnding;

use crate::flags::{commands, help};
use crate::netboot::kexec;
use crate::support::{Ended, Folder, TINY, key, pair};

/// A way in which a command is run.
struct Way {
    /// The command as `--help` has it.
    command: &'static str,
    /// A command line that works.
    words: &'static str,
    /// More that names files, and is read only after the files were compared.
    unread: &'static str,
    /// The flags of it that name outputs.
    outputs: &'static [&'static str],
    /// What is written without a name of its own, where the outputs have the names of the command line.
    beside: &'static [&'static str],
    /// What is read beside the files of the command line.
    reads: &'static [&'static str],
    /// Whether it needs a machine to be done.
    is_partly: bool,
}

const fn way(command: &'static str, words: &'static str) -> Way {
    Way { command, words, unread: "", outputs: &[], beside: &[], reads: &[], is_partly: false }
}

impl Way {
    const fn writes(
        self,
        outputs: &'static [&'static str],
        beside: &'static [&'static str],
    ) -> Self {
        Self { outputs, beside, ..self }
    }

    const fn reads(self, unread: &'static str, reads: &'static [&'static str]) -> Self {
        Self { unread, reads, ..self }
    }

    const fn partly(self) -> Self {
        Self { is_partly: true, ..self }
    }

    /// The words, with `EDITS` as what is put in.
    fn words(&self) -> Vec<String> {
        let edits = if self.command == "flash" {
            EDITS.replace("--file", "--root-file")
        } else {
            EDITS.into()
        };
        let all = self.words.replace("EDITS", &edits).replace("SOME", SOME);
        all.split(' ').map(str::to_owned).collect()
    }

    fn more(&self) -> Vec<String> {
        let all = self.unread.replace("UNREAD", UNREAD);
        all.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// The files that are read, of all the words that are neither flags nor written.
    fn inputs(&self, folder: &Folder) -> Vec<String> {
        let words = [self.words(), self.more()].concat();
        let mut found: Vec<String> = self.reads.iter().map(|name| (*name).to_owned()).collect();
        let mut is_output = false;
        for word in &words {
            let file = word.split(":/").next().unwrap();
            if !word.starts_with('-') && !is_output && folder.at(file).exists() {
                found.push(file.to_owned());
            }
            is_output = self.outputs.iter().any(|flag| word == flag);
        }
        found
    }

    /// The words with another value of an output.
    fn with(&self, outputs: &[&str], value: &str) -> Vec<String> {
        let mut words = self.words();
        for flag in outputs {
            let at = words.iter().position(|word| word == flag).unwrap();
            value.clone_into(&mut words[at + 1]);
        }
        [words, self.more()].concat()
    }
}

/// What is put in, from files of all kinds.
const EDITS: &str = "--key key.pub --host-key host --recipe r.toml --overlay ov --file word:/etc/word --script run.sh --run run2.sh --unit x.service --nixos-password-file word2 --wifi home --wifi-password-file psk";

/// The same where a command is run otherwise.
const SOME: &str = "--key key.pub --host-key host --recipe r.toml";

/// What is put in, too, of files that are not made for real here.
const UNREAD: &str = "--host-key-seed seed --bin program --store s.squashfs";

/// What the recipe names, and what is in a folder.
const NAMED: &[&str] = &["secret", "other.pub", "ov/etc/inside"];

/// The same without the folder.
const FEW: &[&str] = &["secret", "other.pub"];

const FEW_USERS: &[&str] = &["secret", "user.pub", "team/b.pub"];

const USERS: &[&str] = &["secret", "ov/etc/inside", "user.pub", "team/b.pub"];

/// What is made of a user, and beside that.
const IMAGES: &[&str] = &[
    "out/u.iso",
    "out/u.iso.known_hosts",
    "out/u.iso.manifest.json",
    "out/u.iso.manifest.json.sig",
    "out/u.iso.provenance.json",
    "out/u.iso.sbom.json",
];

const WAYS: &[Way] = &[
    way("BASE", "base.iso EDITS --sign signer --sha256-file sums --known-hosts kh --manifest m --provenance p --sbom s -f --output out")
        .writes(&["--output", "--known-hosts", "--manifest", "--provenance", "--sbom"], &["m.sig"])
        .reads("UNREAD", NAMED),
    way("BASE", "base.iso SOME -f --output out")
        .writes(&["--output"], &["out.known_hosts"])
        .reads("", FEW),
    way("BASE", "base.iso SOME --as patch --known-hosts kh -f --output out")
        .writes(&["--output", "--known-hosts"], &[])
        .reads("", FEW),
    way("BASE", "kexec.tar SOME --known-hosts kh -f --output out")
        .writes(&["--output", "--known-hosts"], &[])
        .reads("", FEW),
    way("stamp", "stamp base.iso users.toml EDITS --sign signer --sha256-file sums --manifest --provenance --sbom --failures fail -f --output out")
        .writes(&["--output", "--failures"], IMAGES)
        .reads("UNREAD", USERS),
    way("stamp", "stamp base.iso users.toml SOME --as patch --descriptor --known-hosts kh --failures fail -f --output out")
        .writes(&["--output", "--known-hosts", "--failures"], &["out/u.remaster", "out/u.remaster.descriptor.json"])
        .reads("", FEW_USERS),
    way("stamp", "stamp base.iso users.toml SOME --as oci --known-hosts kh --failures fail -f --output out")
        .writes(&["--output", "--known-hosts", "--failures"], &["out/index.json", "out/oci-layout"])
        .reads("", FEW_USERS),
    way("netboot", "netboot base.iso EDITS --sha256-file sums --known-hosts kh -f --output out")
        .writes(&["--output", "--known-hosts"], &["out/bzImage", "out/initrd", "out/netboot.ipxe"])
        .reads("UNREAD", NAMED),
    way("netboot", "netboot nb SOME -f --output out")
        .writes(&["--output"], &["out/bzImage", "out/initrd", "out/netboot.ipxe", "out.known_hosts"])
        .reads("", FEW),
    way("flash", "flash base.iso EDITS --sha256-file sums --known-hosts kh --to-file out --force")
        .writes(&["--to-file", "--known-hosts"], &[])
        .reads("UNREAD", NAMED),
    way("flash", "flash base.iso SOME --to-file out --force")
        .writes(&["--to-file"], &["out.known_hosts"])
        .reads("", FEW),
    way("flash", "flash listed.iso --to-file out --force").writes(&["--to-file"], &[]).reads("", &["listed.iso.sha256"]),
    way("flash", "flash base.iso --patch p.remaster --to-file out --force").writes(&["--to-file"], &[]),
    way("edit", "edit --in-place copy.iso EDITS --sign signer --known-hosts kh")
        .writes(&["--known-hosts"], &[])
        .reads("UNREAD --remove-key gone.pub", NAMED),
    way("edit", "edit --in-place copy.iso SOME")
        .writes(&[], &["copy.iso.known_hosts"])
        .reads("", FEW),
    way("apply", "apply base.iso p.remaster --sha256-file sums -f --output out").writes(&["--output"], &[]),
    way("apply", "apply made/u.remaster.descriptor.json -f --output out")
        .writes(&["--output"], &[])
        .reads("", &["made/u.remaster", "made/base.iso"]),
    way("apply", "apply layout --name u -f --output out")
        .writes(&["--output"], &[])
        .reads("", &["layout/index.json"]),
    way("reset", "reset keyed.iso -f --output out").writes(&["--output"], &[]),
    way("try", "try keyed.iso --key host --serial out --screenshot shot")
        .writes(&["--serial", "--screenshot"], &[])
        .partly(),
];

/// Flags that name an output of a command that reads no file.
const ALONE: [(&str, &str); 2] = [("demo", "--dir"), ("format", "--to-file")];

/// Flags that name a file to read, of commands that write none.
const READ_ALONE: [(&str, &str); 8] = [
    ("verify", "--manifest"),
    ("verify", "--allowed-signers"),
    ("verify", "--sha256-file"),
    ("inspect", "--sha256-file"),
    ("diff", "--sha256-file"),
    ("find", "--known-hosts"),
    ("ssh", "--known-hosts"),
    ("base fetch", "--ca-file"),
];

/// Flags whose values have such a name and are not files, the folder of the cache, and what the recipe of the rows has.
const NO_FILES: [&str; 4] = ["--cache", "--keymap", "--karg-replace", "--root-password-file"];

/// A folder with everything that the commands read.
fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    let list = format!("{}  base.iso\n", Digest::of_bytes(&TINY));
    let private = |number: u8| pair(number).to_openssh(LineEnding::LF).unwrap();
    for below in ["ov/etc", "team", "names"] {
        fs::create_dir_all(folder.at(below)).unwrap();
    }
    for (name, bytes) in [
        ("listed.iso", &TINY[..]),
        ("copy.iso", &TINY),
        ("key.pub", key(1).as_bytes()),
        ("other.pub", key(2).as_bytes()),
        ("user.pub", key(4).as_bytes()),
        ("team/b.pub", key(5).as_bytes()),
        ("gone.pub", key(6).as_bytes()),
        ("host", private(7).as_bytes()),
        ("signer", private(8).as_bytes()),
        ("word", b"hello\n"),
        ("word2", b"hello there\n"),
        ("psk", b"pskpskpskpsk\n"),
        ("secret", b"a secret word\n"),
        ("ov/etc/inside", b"inside\n"),
        ("run.sh", b"#!/bin/sh\ntrue\n"),
        ("run2.sh", b"#!/bin/sh\ntrue\n"),
        ("x.service", b"[Service]\nExecStart=/bin/sh -c true\n"),
        ("seed", &[7; 40]),
        ("program", b"\x7fELF\x02\x01\x01 and more"),
        ("s.squashfs", b"hsqs and no more"),
        ("r.toml", b"root-password-file = 'secret'\n[[machine]]\nmac = '52:54:00:12:34:56'\nkey = 'other.pub'\n"),
        ("sums", list.as_bytes()),
        ("listed.iso.sha256", list.replace("base", "listed").as_bytes()),
        ("users.toml", b"[[user]]\nname = 'u'\nkey = ['user.pub', 'team']\n[[user]]\nname = 'w'\nkeymap = 'de'\n"),
    ] {
        folder.write(name, bytes);
    }
    let run = |line: &str| folder.run(&line.split(' ').collect::<Vec<_>>()).done();
    run("base.iso --key key.pub -q -o keyed.iso");
    run("base.iso --key key.pub --as patch -q -o p.remaster");
    run("stamp base.iso users.toml --as patch --descriptor -q -o made");
    run("stamp base.iso users.toml --as oci -q -o layout");
    run("netboot base.iso -q -o nb");
    folder.write("made/base.iso", &TINY);
    folder.write("kexec.tar", &kexec(&folder.read("nb/initrd")));
    folder
}

/// A batch has no machines.
fn without_machines(folder: &Folder) {
    folder.write("r.toml", b"root-password-file = 'secret'\n");
}

/// All files: what they are, and when they were written.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            found.extend(state(&path));
        }
        found.insert(path, (about.ino(), about.modified().unwrap()));
    }
    found
}

/// What the files among these hold.
fn contents(folder: &Folder, files: &[String]) -> Vec<Vec<u8>> {
    let files = files.iter().filter(|file| folder.at(file).is_file());
    files.map(|file| folder.read(file)).collect()
}

/// Runs what is to be refused, by an error that names these.
fn refuses(folder: &Folder, words: &[String], named: &[&str]) {
    let before = state(folder.path());
    let ended = run(folder, words);
    let line = words.join(" ");
    let is_told = |told: &&str| ended.err.contains(told);
    let is_right = ["name the same file", "which is read"].iter().any(is_told);
    assert!(ended.status == 2 && is_right, "{line}\n{}: {}", ended.status, ended.err);
    for word in named {
        assert!(ended.err.contains(word), "{line}\n{word}: {}", ended.err);
    }
    assert!(state(folder.path()) == before, "{line}: {}", ended.err);
}

fn run(folder: &Folder, words: &[String]) -> Ended {
    folder.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The folder for a way.
fn folder_for(way: &Way) -> Folder {
    let folder = folder();
    if way.command == "stamp" {
        without_machines(&folder);
    }
    // The folder of an output may be there already.
    if way.beside.iter().any(|beside| beside.starts_with("out/")) {
        fs::create_dir(folder.at("out")).unwrap();
    }
    folder
}

/// The names of a file: its own, another spelling, a link, a second name.
fn names(folder: &Folder, file: &str) -> Vec<String> {
    let path = folder.at(file);
    // What is read as a part of a folder is known by its place: another name of it may go.
    let is_part = ["ov/", "layout/"].iter().any(|folder| file.starts_with(folder));
    let link = |kind: &str| format!("names/{kind}-{}", file.replace('/', "-"));
    let mut names = vec![file.to_owned(), format!("./names/../{file}")];
    if !is_part {
        symlink(&path, folder.at(&link("soft"))).unwrap();
        names.push(link("soft"));
    }
    if !is_part && path.is_file() {
        fs::hard_link(&path, folder.at(&link("hard"))).unwrap();
        names.push(link("hard"));
    }
    names
}

/// What a message calls a file: it, or the folder that it is read with.
fn shown(file: &str) -> &str {
    match file.split_once('/') {
        Some((folder @ ("ov" | "layout"), _)) => folder,
        _ => file,
    }
}

#[test]
fn no_output_is_an_input() {
    for way in WAYS {
        let folder = folder_for(way);
        let inputs = way.inputs(&folder);
        assert!(!inputs.is_empty(), "{}", way.words);
        let before = contents(&folder, &inputs);
        let mut turn = 0;
        for input in &inputs {
            let names = names(&folder, input);
            for flag in way.outputs {
                // Each of the names at some of the flags.
                turn += 1;
                let name = &names[turn % names.len()];
                refuses(&folder, &way.with(&[flag], name), &[flag, name, shown(input)]);
            }
            // What has no flag is known when the rest is read.
            let is_read = !way.more().contains(input) && shown(input) == input;
            for beside in way.beside.iter().filter(|_| is_read) {
                let (from, to) = (folder.at(input), folder.at(beside));
                if from.is_file() && turn % 2 == 0 {
                    fs::hard_link(&from, &to).unwrap();
                } else {
                    symlink(&from, &to).unwrap();
                }
                refuses(&folder, &way.words(), &[beside, input]);
                fs::remove_file(&to).unwrap();
            }
        }
        assert!(contents(&folder, &inputs) == before, "{}", way.words);
    }
}

#[test]
fn no_two_outputs_have_one_path() {
    for way in WAYS {
        let folder = folder_for(way);
        for (at, flag) in way.outputs.iter().enumerate() {
            for other in &way.outputs[at + 1..] {
                let mut words = way.with(&[flag, other], "both");
                refuses(&folder, &words, &[flag, other, "both"]);
                let place = words.iter().position(|word| word == flag).unwrap();
                "./names/../both".clone_into(&mut words[place + 1]);
                refuses(&folder, &words, &[flag, other]);
            }
            // What stands beside an output follows its name.
            let follows = |beside: &str| match *flag {
                "--output" | "--to-file" => beside.starts_with("out"),
                "--manifest" => beside == "m.sig",
                _ => false,
            };
            for beside in way.beside.iter().filter(|beside| !follows(beside)) {
                let mut words = way.with(&[flag], beside);
                words.truncate(way.words().len());
                refuses(&folder, &words, &[flag, beside]);
            }
        }
        // The same command line is done with paths of their own.
        if !way.is_partly {
            let ended = run(&folder, &way.words());
            assert_eq!(ended.status, 0, "{}\n{}", way.words().join(" "), ended.err);
        }
    }
}

#[test]
fn no_file_of_a_user_is_the_file_of_another() {
    let folder = folder();
    let names = ["u", "u.manifest.json", "u.known_hosts"];
    for other in &names[1..] {
        let users = format!("[[user]]\nname = 'u'\n[[user]]\nname = '{other}'\n");
        folder.write("users.toml", users.as_bytes());
        let before = state(folder.path());
        let line = "stamp base.iso users.toml --key key.pub --host-key generate --manifest --name-template {name} -f -o out";
        folder.run(&line.split(' ').collect::<Vec<_>>()).refused(2, "name the same file");
        assert!(state(folder.path()) == before, "{other}");
    }
}

#[test]
fn a_name_with_the_recipe_id_is_not_that_of_the_base() {
    let folder = folder();
    let line = "stamp base.iso users.toml --name-template {id} -f -o out";
    folder.run(&line.split(' ').collect::<Vec<_>>()).done();
    let made = fs::read_dir(folder.at("out")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&made).unwrap();
    let base = made.to_str().unwrap();
    let words = line.replace("base.iso", base);
    let ended = folder.run(&words.split(' ').collect::<Vec<_>>());
    assert!(ended.status == 11 && ended.err.contains("name the same file"), "{}", ended.err);
    assert!(fs::read(&made).unwrap() == bytes);
}

#[test]
fn a_signature_in_the_way_is_reported_before_the_image_is_written() {
    let folder = folder();
    folder.write("m.sig", b"precious");
    let line = "base.iso --key key.pub --sign signer --manifest m -o out";
    folder.run(&line.split(' ').collect::<Vec<_>>()).refused(2, "m.sig already exists");
    assert!(!folder.at("out").exists() && !folder.at("m").exists());
}

#[test]
fn standard_input_and_output_are_also_files() {
    let folder = folder();
    let shell = |line: &str| {
        let program = env!("CARGO_BIN_EXE_remaster");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("{program} {line}")]).current_dir(folder.path());
        Ended::from(shell.output().unwrap())
    };
    let before = state(folder.path());
    for line in [
        "base.iso --key - --manifest key.pub -f -o out < key.pub",
        "flash - --to-file copy.iso < copy.iso",
        "base.iso --key key.pub -o - >> base.iso",
        "base.iso --key key.pub -o out -f --root-password-file fd:3 --manifest secret 3< secret",
    ] {
        shell(line).refused(2, "name the same file");
        assert!(state(folder.path()) == before, "{line}");
    }
    shell("base.iso --key - -o - < key.pub > out").done();
    assert!(folder.read("out") == folder.read("keyed.iso"));
}

#[test]
fn every_flag_that_names_a_file_has_a_row() {
    let words = ["FILE", "FOLDER", "DIR", "PNG", "KEY", "SRC", "TAR", "PATH"];
    let mut missing = Vec::new();
    for command in commands() {
        let ways: Vec<&Way> = WAYS.iter().filter(|way| way.command == command).collect();
        for line in help(&command).lines().map(str::trim_start) {
            let Some((_, flag)) = line.split_once("--").filter(|_| line.starts_with('-')) else {
                continue;
            };
            let Some((name, value)) = flag.split_once(" <") else { continue };
            let flag = format!("--{name}");
            let names_a_file = words.iter().any(|word| value.contains(word));
            let is_in_words = |way: &&&Way| [way.words(), way.more()].concat().contains(&flag);
            let row = (command.as_str(), flag.as_str());
            let is_alone = ALONE.contains(&row) || READ_ALONE.contains(&row);
            if names_a_file
                && !is_alone
                && !NO_FILES.contains(&flag.as_str())
                && !ways.iter().any(|way| is_in_words(&way))
            {
                missing.push(format!("{command} {flag}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
