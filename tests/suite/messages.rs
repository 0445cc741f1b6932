//! How loud every command is: `-q` says nothing, without it the summary is plain lines, also where no terminal is, and
//! nothing from outside reaches a terminal as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ssh_key::LineEnding;

use crate::support::{Folder, TINY, key, pair};

/// Commands that make something, each into `out`.
const MAKING: &[&[&str]] = &[
    &["t.iso", "--key", "key.pub", "-o", "out"],
    &["t.iso", "--key", "key.pub", "--as", "patch", "-o", "out"],
    &["apply", "t.iso", "p.remaster", "-o", "out"],
    &["reset", "s.iso", "-o", "out"],
    &["edit", "--in-place", "s.iso", "--key", "key.pub"],
    &["netboot", "t.iso", "--key", "key.pub", "-o", "out"],
    &["stamp", "t.iso", "users.toml", "-o", "out"],
    &["flash", "s.iso", "--file", "out"],
    &["verify", "s.iso", "--against", "s.iso"],
    &["verify", "d.iso"],
];

/// Characters that a terminal would obey, and that change the direction of text.
const HARMFUL: &str = "\u{1b}[31m\u{7}\u{9b}2J\u{202e}";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("t.iso", &TINY);
    folder.write("users.toml", b"[[user]]\nname = \"ann\"\nkey = [\"key.pub\"]\n");
    folder.write("key.pub", key(1).as_bytes());
    folder.run(&["t.iso", "--key", "key.pub", "-o", "s.iso"]).quietly();
    folder.run(&["t.iso", "--key", "key.pub", "--manifest-digests", "-o", "d.iso"]).quietly();
    folder.run(&["t.iso", "--key", "key.pub", "--as", "patch", "-o", "p.remaster"]).quietly();
    folder
}

#[test]
fn a_command_that_makes_something_says_so_and_is_silent_when_asked() {
    for command in MAKING {
        let folder = folder();
        let ended = folder.run(command);
        let said = format!("{}{}", ended.err, ended.text());
        assert!(ended.status == 0 && !said.is_empty(), "{command:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{command:?}: colours without a terminal: {said}");
        for quiet in ["-q", "--quiet"] {
            let folder = self::folder();
            let ended = folder.run(&[command, &[quiet][..]].concat());
            let said = (ended.status, ended.err.as_str(), ended.text());
            assert_eq!(said, (0, "", ""), "{command:?} {quiet}");
        }
    }
}

#[test]
fn an_error_is_said_in_any_case_and_coloured_when_asked() {
    let folder = folder();
    let command = ["t.iso", "--key", "missing.pub", "-o", "out"];
    for loud in ["-q", "-v", "--color=never"] {
        let err = folder.run(&[&command[..], &[loud]].concat()).err;
        assert!(err.starts_with("error: "), "{loud}: {err}");
    }
    let err = folder.run(&[&command[..], &["--color", "always"]].concat()).err;
    assert!(err.starts_with("\u{1b}[1;31merror:\u{1b}[0m "), "{err:?}");
}

#[test]
fn more_is_said_when_asked() {
    let less = folder().run(MAKING[0]).err;
    let more = folder().run(&[MAKING[0], &["-v"]].concat()).err;
    assert!(more.ends_with(&less) && more.contains("add /remaster/payload.img"), "{more}");
    let both = folder().run(&[MAKING[0], &["-v", "-q"]].concat());
    assert_eq!(both.status, 2, "{}", both.err);
}

/// Sources of text from outside, each with what a terminal would obey.
fn outside(folder: &Folder) {
    let mut image = TINY.clone();
    let label = image[0x8028..0x8048].iter().rposition(|byte| *byte != b' ').unwrap();
    image[0x8028 + label..0x8028 + label + 4].copy_from_slice(b"\x1b[2J");
    folder.write("label.iso", &image);
    for (name, path, link) in [
        ("names.tar", "a\u{202e}b".to_owned(), "plain".to_owned()),
        ("links.tar", "link".to_owned(), format!("to{HARMFUL}")),
    ] {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        archive.append_link(&mut header, path, link).unwrap();
        folder.write(name, &archive.into_inner().unwrap());
    }
    folder.write("comment.pub", format!("{} me\u{202e}you\n", key(1).trim()).as_bytes());
    let escaped = "evil\\u001b[31m\\u0007\\u009b2J\\u202e";
    folder.write("evil.toml", format!("key = 'key.pub'\nkarg = \"a={escaped}\"\n").as_bytes());
    folder.write("unknown.toml", format!("\"{escaped}\" = 1\n").as_bytes());
    let user = format!("[[user]]\nname = \"{escaped}\"\nkey = \"{escaped}\"\n");
    folder.write("evil-users.toml", user.as_bytes());
    folder.write("evil.csv", format!("name,key\nevil{HARMFUL},evil{HARMFUL}\n").as_bytes());
    let user = format!("{{\"name\":\"{escaped}\",\"{escaped}\":\"{escaped}\"}}\n");
    folder.write("evil.jsonl", user.as_bytes());
    fs::create_dir_all(folder.at("layout")).unwrap();
    let named = format!("{{\"org.opencontainers.image.ref.name\":\"{escaped}\"}}");
    let entry =
        format!("{{\"digest\":\"sha256:{}\",\"size\":1,\"annotations\":{named}}}", "0".repeat(64));
    let index = format!("{{\"schemaVersion\":2,\"manifests\":[{entry}]}}");
    folder.write("layout/index.json", index.as_bytes());
    folder.write("unknown.json", format!("{{\"{escaped}\":\"{escaped}\"}}").as_bytes());
    folder.write("evil.json", format!("{{\"schema\":\"{escaped}\"}}").as_bytes());
}

#[test]
fn nothing_from_outside_reaches_a_terminal_as_it_is() {
    let folder = folder();
    let evil = format!("evil{HARMFUL}");
    let file = format!("{evil}.iso");
    folder.write(&file, &TINY);
    folder.write(&format!("{evil}.txt"), b"not an image");
    let title = format!("title{HARMFUL}");
    let titled = [file.as_str(), "--key", "key.pub", "-o", "e.iso", "--karg", &title];
    let commands: &[&[&str]] = &[
        &[&file, "--key", "key.pub", "-o", &evil],
        &[&format!("{evil}.txt"), "--key", "key.pub", "-o", "no"],
        &["inspect", &file],
        &["inspect", &file, "--json"],
        &["inspect", &format!("{evil}.txt")],
        &["verify", &format!("{evil}.txt")],
        &["diff", &file, &format!("{evil}.txt")],
        &["t.iso", "--key", &format!("{evil}.pub"), "-o", "no"],
        &["flash", &file, "--file", &evil],
        &["recipe", "check", &format!("{evil}.txt")],
        &["base", "show", &evil],
        &titled,
        &["inspect", "label.iso"],
        &["label.iso", "--key", "key.pub", "-o", "no"],
        &["t.iso", "--key", "key.pub", "--overlay", "names.tar", "-f", "-o", "e.iso"],
        &["inspect", "--all", "e.iso"],
        &["t.iso", "--key", "key.pub", "--overlay", "links.tar", "-f", "-o", "e.iso"],
        &["inspect", "--all", "e.iso"],
        &["diff", "--all", "t.iso", "e.iso"],
        &["t.iso", "--key", "comment.pub", "-f", "-o", "e.iso"],
        &["inspect", "e.iso"],
        &["t.iso", "--recipe", "evil.toml", "-f", "-o", "e.iso"],
        &["inspect", "e.iso"],
        &["recipe", "check", "unknown.toml"],
        &["stamp", "t.iso", "evil-users.toml", "-o", "batch"],
        &["stamp", "t.iso", "evil.csv", "-o", "batch"],
        &["stamp", "t.iso", "evil.jsonl", "-o", "batch"],
        &["apply", "layout", "--name", "x", "-o", "no"],
        &["verify", "d.iso", "--manifest", "evil.json"],
        &["verify", "d.iso", "--manifest", "unknown.json"],
        &["verify", "d.iso", "--allowed-signers", "evil.csv"],
        &["find", "--known-hosts", "evil.csv", "127.0.0.1/32"],
        &["t.iso", "--sha256-file", "evil.csv", "--key", "key.pub", "-o", "no"],
    ];
    outside(&folder);
    for command in commands {
        let ended = folder.run(command);
        let said = format!("{}{}", ended.err, ended.text());
        let harmful =
            said.chars().find(|c| *c != '\n' && HARMFUL.contains(*c) && !c.is_ascii_graphic());
        assert_eq!(harmful, None, "{command:?}: {said:?}");
    }
}

#[test]
fn a_secret_that_everybody_may_read_is_reported() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("word", b"a long password\n");
    for (mode, is_told) in [(0o644, true), (0o640, false), (0o600, false)] {
        fs::set_permissions(folder.at("word"), fs::Permissions::from_mode(mode)).unwrap();
        let given = ["--key", "key.pub", "--root-password-file", "word", "-f", "-o", "out"];
        let ended = folder.run(&[&["base.iso"], &given[..]].concat());
        let told = "everybody on this machine may read word, the file of --root-password-file";
        assert_eq!(ended.err.contains(told), is_told, "{mode:o}: {}", ended.err);
        assert_eq!(ended.status, 0, "{}", ended.err);
        // It is named where it was given.
        folder.write("r.toml", b"root-password-file = 'word'\n");
        let ended = folder.run(&["base.iso", "--recipe", "r.toml", "-f", "-o", "out"]);
        let told = "may read word, the file of r.toml:1:22: root-password-file: close it";
        assert_eq!(ended.err.contains(told), is_told, "{mode:o}: {}", ended.err);
        folder
            .write("u.toml", b"[[user]]\nname = 'a'\nkey = 'key.pub'\nroot-password-file = 'word'");
        let ended = folder.run(&["stamp", "base.iso", "u.toml", "-f", "-o", "all"]);
        let told = "a: everybody on this machine may read word, the file of u.toml:4:22: root-";
        assert_eq!(ended.err.contains(told), is_told, "{mode:o}: {}", ended.err);
    }
}

#[test]
fn a_signing_key_that_everybody_may_read_is_reported_and_a_public_one_is_not() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("signer", pair(7).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("signer.pub", key(7).as_bytes());
    folder.write("sign.toml", b"sign = 'signer'\n");
    let told = "everybody on this machine may read signer, the file of ";
    for (mode, given, is_told) in [
        (0o644, ["--sign", "signer"], true),
        (0o644, ["--recipe", "sign.toml"], true),
        (0o600, ["--sign", "signer"], false),
        (0o644, ["--sign", "signer.pub"], false),
    ] {
        fs::set_permissions(folder.at("signer"), fs::Permissions::from_mode(mode)).unwrap();
        let put = ["base.iso", "--key", "key.pub", "-f", "-o", "out"];
        let ended = folder.run(&[&put[..], &given].concat());
        assert_eq!(ended.err.contains(told), is_told, "{mode:o} {given:?}: {}", ended.err);
    }
}

#[test]
fn a_batch_tells_of_images_that_let_nobody_in() {
    let folder = Folder::with_base(&TINY);
    let users = format!(
        "[[user]]\nname = \"ann\"\nhostname = \"x\"\n[[user]]\nname = \"bob\"\nkey = \"{}\"\n",
        key(1)
    );
    folder.write("users.toml", users.as_bytes());
    let ended = folder.run(&["stamp", "base.iso", "users.toml", "-o", "out"]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert!(ended.err.contains("note: ann: nobody can log in over ssh"), "{}", ended.err);
    // Of several the first by name is named, whatever their order.
    let more = format!("{users}[[user]]\nname = \"zoe\"\nhostname = \"z\"\n");
    folder.write("more.toml", more.as_bytes());
    let more = folder.run(&["stamp", "base.iso", "more.toml", "-o", "more", "--jobs", "1"]);
    assert!(more.err.contains("note: ann and 1 more: nobody can log in"), "{}", more.err);
    assert!(!ended.err.contains("bob"), "{}", ended.err);
}
