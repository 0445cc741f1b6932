//! What is not there, cannot be read, or cannot be asked for: the message says which of these, and of what.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use ssh_key::LineEnding;

use crate::support::{Ended, Folder, TINY, key, pair};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("k", pair(1).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'ann'\nkey = 'key.pub'\n");
    folder
}

#[test]
fn what_is_not_a_layout_and_a_name_that_a_layout_lacks_are_different_errors() {
    let folder = folder();
    std::fs::create_dir(folder.at("empty")).unwrap();
    folder.run(&words("stamp base.iso users.toml --as oci -o layout")).done();
    for (given, status, told, hint) in [
        ("base.iso --name ann", 4, "base.iso is not an OCI image layout", "--as oci"),
        ("empty --name ann", 4, "empty is not an OCI image layout: it has no index", "--as oci"),
        ("missing --name ann", 1, "cannot open missing", "check the path"),
        ("layout --name bob", 2, "layout has no image \"bob\"", "--name that it has: ann"),
    ] {
        let ended = folder.run(&words(&format!("apply {given} -o out")));
        let is_told = ended.err.contains(told) && ended.err.contains(hint);
        assert!(ended.status == status && is_told, "{given}: {}", ended.err);
        assert!(!folder.at("out").exists(), "{given}");
    }
}

#[test]
fn a_cache_that_cannot_be_looked_into_is_not_one_of_damaged_bases() {
    let folder = folder();
    for more in [&[][..], &["--json"]] {
        let mut program = folder.program(&["base", "list"]);
        program.args(more).env("XDG_CACHE_HOME", folder.at("key.pub"));
        let ended = Ended::from(program.output().unwrap());
        assert!(ended.status == 1 && ended.out.is_empty(), "{}", ended.err);
        assert!(ended.err.contains("cannot look into the cache of bases, "), "{}", ended.err);
        assert!(!ended.err.contains("damaged"), "{}", ended.err);
    }
}

#[test]
fn a_base_that_is_not_in_the_cache_is_to_be_fetched_but_not_to_be_removed() {
    let folder = folder();
    for (command, hint) in [
        ("show", "fetch it with `remaster base fetch nixos-25.11-minimal`"),
        ("path", "fetch it with `remaster base fetch nixos-25.11-minimal`"),
        ("verify", "fetch it with `remaster base fetch nixos-25.11-minimal`"),
        ("remove", "hint: `remaster base list` shows which bases are there"),
    ] {
        let line = format!("base {command} nixos-25.11-minimal --cache cache");
        folder.run(&words(&line)).refused(2, hint);
    }
}

#[test]
fn a_key_to_remove_whose_file_does_not_exist_is_reported_as_a_file() {
    let folder = folder();
    folder.run(&words("base.iso --key key.pub -o a.iso")).quietly();
    for (given, told) in [
        ("nofile.pub", "there is no file nofile.pub, and"),
        ("./nofile", "there is no file ./nofile, and"),
        ("somebody", "the image does not let in the key \"somebody\""),
    ] {
        let line = format!("edit --in-place a.iso --remove-key {given}");
        folder.run(&words(&line)).refused(2, told);
    }
}

#[test]
fn a_signature_that_is_missing_empty_or_none_is_named() {
    let folder = folder();
    let made = folder.run(&words(
        "base.iso --key key.pub --sign k --manifest-digests --manifest m.json -o a.iso",
    ));
    assert_eq!(made.status, 0, "{}", made.err);
    folder.write("signers", format!("me {}", key(1)).as_bytes());
    let verify = words("verify a.iso --manifest m.json --allowed-signers signers");
    assert_eq!(folder.run(&verify).status, 0);
    for (signature, told) in [
        (&b""[..], "m.json.sig is empty, not a signature"),
        (b"\n", "m.json.sig is empty, not a signature"),
        (b"hello\n", "m.json.sig: the signature is not one of this manifest"),
    ] {
        folder.write("m.json.sig", signature);
        let ended = folder.run(&verify);
        assert!(ended.status == 3 && ended.err.contains(told), "{}", ended.err);
        assert!(!ended.err.contains("NUL") && ended.err.contains("hint: "), "{}", ended.err);
    }
    std::fs::remove_file(folder.at("m.json.sig")).unwrap();
    let ended = folder.run(&verify);
    assert!(ended.status == 3 && ended.err.contains("there is no m.json.sig"), "{}", ended.err);
}

#[test]
fn what_cannot_be_read_is_not_said_to_be_secret() {
    let folder = folder();
    folder.run(&words("base.iso --key key.pub -o a.iso")).quietly();
    let mut image = folder.read("a.iso");
    let at = image.windows(13).position(|part| part == b"\"manifest\": 3").unwrap();
    image[at] = b'x';
    folder.write("a.iso", &image);
    let ended = folder.run(&words("flash a.iso --to-file out"));
    assert_eq!(ended.status, 0, "{}", ended.err);
    let told = format!("{}{}", ended.err, ended.text());
    assert!(told.contains("cannot be read, and may be secret"), "{told}");
    assert!(!told.contains("it holds secrets"), "{told}");
    assert_eq!(folder.at("out").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

/// The same command without a terminal of its own (setsid(1)).
fn without_terminal(program: &Command) -> Command {
    let mut all = Command::new("setsid");
    all.arg("--wait").arg(program.get_program()).args(program.get_args());
    all.current_dir(program.get_current_dir().unwrap()).stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => all.env(name, value),
            None => all.env_remove(name),
        };
    }
    all
}

/// Lines that ask for something, and what is said where there is no terminal.
const ASKING: &[(&str, &str, &str)] = &[
    (
        "base.iso --root-password-prompt -o out",
        "--root-password-prompt asks on",
        "--root-password-file FILE",
    ),
    (
        "base.iso --nixos-password-prompt -o out",
        "--nixos-password-prompt asks",
        "--nixos-password-file",
    ),
    (
        "base.iso --key key.pub --wifi a --wifi-password-prompt -o out",
        "--wifi-password-prompt asks",
        "--wifi-password-file FILE",
    ),
    ("base.iso --recipe r.toml -o out", "r.toml:1:", "--root-password-file FILE"),
    (
        "netboot base.iso --root-password-prompt -o out",
        "--root-password-prompt asks",
        "--root-password-file",
    ),
    (
        "edit --in-place a.iso --root-password-prompt",
        "--root-password-prompt asks",
        "--root-password-file",
    ),
    (
        "flash base.iso --root-password-prompt --to-file out",
        "--root-password-prompt asks",
        "--root-password-file",
    ),
    (
        "base.iso --key key.pub --sign locked -o out",
        "locked has a passphrase, and there is no terminal",
        ".pub of a key",
    ),
    (
        "stamp base.iso users.toml --sign locked -o out",
        "locked has a passphrase, and there is no",
        ".pub of a key",
    ),
    (
        "stamp base.iso users.toml --root-password-prompt -o out",
        "a batch reads no standard input and asks nobody",
        "--root-password-file",
    ),
];

#[test]
fn without_a_terminal_the_flag_that_asks_is_named_and_what_to_give_instead() {
    let folder = folder();
    folder.run(&words("base.iso --key key.pub -o a.iso")).quietly();
    folder.write("r.toml", b"root-password-prompt = true\n");
    let made = Command::new("ssh-keygen")
        .args(["-qt", "ed25519", "-N", "secret", "-f"])
        .arg(folder.at("locked"))
        .status();
    assert!(made.unwrap().success());
    for (line, told, hint) in ASKING {
        let ended = Ended::from(without_terminal(&folder.program(&words(line))).output().unwrap());
        assert_eq!(ended.status, 2, "{line}: {}", ended.err);
        let (error, advice) = ended.err.split_once("\nhint: ").unwrap_or_default();
        assert!(error.contains(told) && advice.contains(hint), "{line}: {}", ended.err);
        assert!(!folder.at("out").exists(), "{line}");
    }
}
