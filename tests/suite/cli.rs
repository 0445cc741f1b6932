//! The program as a user meets it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use remaster::image::digest::Digest;
use remaster::progress::Silent;
use remaster::recipe::edits::InjectMethod;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use ssh_key::LineEnding;

use crate::support::{Ended, Folder, TINY, assert_same, bases, edits, key, pair, stamp};

const STAMP: [&str; 5] = ["base.iso", "--key", "key.pub", "-o", "custom.iso"];

/// A folder with the tiny image and a public key.
fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    folder
}

#[test]
fn a_file_a_pipe_and_a_replaced_file_get_the_same_bytes() {
    let expected = stamp(&TINY, &edits(1, InjectMethod::ExtraInitrd));
    let folder = folder();
    assert!(folder.run(&STAMP).quietly().is_empty());
    assert_same("file", &folder.read("custom.iso"), &expected);
    let piped = folder.run(&["base.iso", "--key", "key.pub", "-o", "-"]).quietly();
    assert_same("pipe", &piped, &expected);
    folder.write("old.iso", &vec![7; expected.len() + 5000]);
    folder.run(&["base.iso", "--key", "key.pub", "-o", "old.iso", "--force"]).quietly();
    assert_same("replaced file", &folder.read("old.iso"), &expected);
    assert_same("base", &folder.read("base.iso"), &TINY);
    assert_eq!(folder.names(), ["base.iso", "custom.iso", "key.pub", "old.iso"]);
}

#[test]
fn every_shape_is_stamped_either_way() {
    for (name, base) in bases() {
        let folder = Folder::with_base(base);
        let key = key(1);
        folder.run(&["base.iso", "--key", &key, "-o", "extra.iso"]).quietly();
        folder.run(&["base.iso", "--key", &key, "-o", "merged.iso", "--merge-initrd"]).quietly();
        for (file, way) in
            [("extra.iso", InjectMethod::ExtraInitrd), ("merged.iso", InjectMethod::MergeInitrd)]
        {
            assert_same(
                &format!("{name}, {way:?}"),
                &folder.read(file),
                &stamp(base, &edits(1, way)),
            );
        }
        let again = folder.run(&["merged.iso", "--key", &key, "-o", "again.iso"]);
        assert!(again.err.contains("note: merge-initrd true is not given again"), "{}", again.err);
        assert_same(name, &folder.read("again.iso"), &folder.read("extra.iso"));
    }
}

#[test]
fn a_file_that_is_there_is_kept() {
    let folder = folder();
    folder.write("custom.iso", b"precious");
    folder.run(&STAMP).refused(2, "custom.iso already exists");
    assert_eq!(folder.read("custom.iso"), b"precious");
    assert_eq!(folder.names(), ["base.iso", "custom.iso", "key.pub"]);
}

#[test]
fn the_base_is_never_the_output() {
    let folder = folder();
    symlink("base.iso", folder.at("link.iso")).unwrap();
    fs::hard_link(folder.at("base.iso"), folder.at("hard.iso")).unwrap();
    fs::create_dir(folder.at("sub")).unwrap();
    let before = folder.names();
    for output in ["base.iso", "./sub/../base.iso", "link.iso", "hard.iso"] {
        for force in [&[][..], &["--force"]] {
            let arguments = [&["base.iso", "--key", "key.pub", "-o", output], force].concat();
            let told = format!("--output {output} and BASE base.iso name the same file");
            folder.run(&arguments).refused(2, &told);
        }
    }
    folder
        .run(&["link.iso", "--key", "key.pub", "-o", "base.iso", "--force"])
        .refused(2, "name the same file");
    assert_same("base", &folder.read("base.iso"), &TINY);
    assert_eq!(folder.names(), before);
}

#[test]
fn only_regular_files_are_replaced() {
    let folder = folder();
    fs::create_dir(folder.at("sub")).unwrap();
    make_fifo(&folder, "fifo");
    for output in ["sub", "fifo", "/dev/null"] {
        for force in [&[][..], &["--force"]] {
            let arguments = [&["base.iso", "--key", "key.pub", "-o", output], force].concat();
            folder.run(&arguments).refused(2, "and an image is written to a file");
        }
    }
    assert_eq!(folder.names(), ["base.iso", "fifo", "key.pub", "sub"]);
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let folder = folder();
    for output in [&[][..], &["-o", "custom.iso"], &["-o", "-"]] {
        let arguments = [&["base.iso", "--key", "key.pub", "-n"], output].concat();
        let ended = folder.run(&arguments);
        let told = String::from_utf8(ended.quietly()).unwrap();
        for words in
            ["NixOS 25.11", "SHA256:", "18 entries of /EFI/BOOT/grub.cfg", "1048576 -> 2097152"]
        {
            assert!(told.contains(words), "{words} in {told}");
        }
        assert_eq!(folder.names(), ["base.iso", "key.pub"]);
    }
    folder.write("custom.iso", b"precious");
    folder.run(&[&STAMP[..], &["-n"]].concat()).refused(2, "already exists");
}

#[test]
fn keys_come_from_files_standard_input_and_arguments() {
    let folder = folder();
    folder.write("authorized_keys", format!("# two\n{}\n\n{}\n", key(2), key(3)).as_bytes());
    let literal = key(5);
    let keys = ["--key", "key.pub", "--key", "authorized_keys", "--key", "-", "--key", &literal];
    let mut child = folder
        .program(&[&["base.iso", "-o", "custom.iso"], &keys[..]].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", key(4)).unwrap();
    assert!(child.wait().unwrap().success());
    let report = inspect(&folder, "custom.iso");
    let found = report["injected"]["keys"].as_array().unwrap();
    for user in ["root", "nixos"] {
        let of_user = found.iter().filter(|found| found["user"] == user);
        let fingerprints: Vec<&str> =
            of_user.map(|found| found["fingerprint"].as_str().unwrap()).collect();
        let expected: Vec<String> = [1, 2, 3, 4, 5]
            .map(|number| pair(number).fingerprint(ssh_key::HashAlg::Sha256).to_string())
            .to_vec();
        assert_eq!(fingerprints, expected, "{user}");
    }
}

/// Bodies of private keys, none of which may be seen again.
fn private_keys() -> Vec<(&'static str, String)> {
    let body = "MHcCAQEEIEy5rNoTaKeYjUsTsOmEtExTfOrTheTeStQ0ZxY8b3mXoAoGCCqGSM49\nAwEHoUQDQgAEq1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8l9z0x1c2v3b4n5m6\n";
    let armour = |label: &str| {
        format!("-----BEGIN {label}PRIVATE KEY-----\n{body}-----END {label}PRIVATE KEY-----\n")
    };
    let putty = format!(
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: mine\nPublic-Lines: 2\n{body}Private-Lines: 1\n{body}Private-MAC: 00\n"
    );
    vec![
        ("OpenSSH", pair(1).to_openssh(LineEnding::LF).unwrap().to_string()),
        ("PEM", armour("EC ")),
        ("PKCS#8", armour("")),
        ("encrypted PKCS#8", armour("ENCRYPTED ")),
        ("PuTTY", putty),
    ]
}

#[test]
fn a_private_key_is_refused_and_nothing_of_it_is_shown() {
    let folder = folder();
    for (format, private) in private_keys() {
        folder.write("id", private.as_bytes());
        let ended = folder.run(&["base.iso", "--key", "id", "-o", "custom.iso"]);
        check_secret_kept(&ended, format, &private);
        folder.write("both", format!("{}\n{private}", key(2)).as_bytes());
        let ended = folder.run(&["base.iso", "--key", "both", "-o", "custom.iso"]);
        check_secret_kept(&ended, format, &private);
    }
    assert_eq!(folder.names(), ["base.iso", "both", "id", "key.pub"]);
}

/// It begins with dashes, which must not make it an unknown flag that is quoted in a message.
#[test]
fn a_private_key_given_literally_is_refused_and_nothing_of_it_is_shown() {
    let folder = folder();
    for (format, private) in private_keys() {
        let ended = folder.run(&["base.iso", "--key", &private, "-o", "custom.iso"]);
        check_secret_kept(&ended, format, &private);
    }
    assert_eq!(folder.names(), ["base.iso", "key.pub"]);
}

fn check_secret_kept(ended: &Ended, format: &str, private: &str) {
    let secrets = private.lines().filter(|line| line.len() > 24 && !line.contains(['-', ':']));
    for secret in secrets {
        assert!(!ended.err.contains(&secret[..12]), "{format}: {}", ended.err);
    }
    ended.refused(2, "private key");
    assert!(ended.err.contains(".pub"), "{format}: {}", ended.err);
}

#[test]
fn bad_keys_are_named_by_file_and_line() {
    let folder = folder();
    folder.write("keys", format!("# one\n{}\nssh-ed25519 AAAA broken\n", key(1)).as_bytes());
    let ended = folder.run(&["base.iso", "--key", "keys", "-o", "custom.iso"]);
    ended.refused(2, "keys");
    assert!(ended.err.contains("line 3"), "{}", ended.err);
    folder.run(&["base.iso", "--key", "missing.pub", "-o", "custom.iso"]).refused(2, "missing.pub");
    folder.write("none", b"# nothing\n");
    folder.run(&["base.iso", "--key", "none", "-o", "custom.iso"]).refused(2, "none");
    assert_eq!(folder.names(), ["base.iso", "key.pub", "keys", "none"]);
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = folder();
    for arguments in [
        &[][..],
        &["base.iso"],
        &["base.iso", "--key", "key.pub"],
        &["base.iso", "-o", "custom.iso"],
        &["--key", "key.pub", "-o", "custom.iso"],
        &["base.iso", "--key", "key.pub", "-o", "custom.iso", "--nonsense"],
        &["inspect"],
    ] {
        let ended = folder.run(arguments);
        assert_eq!(ended.status, 2, "{arguments:?}: {}", ended.err);
    }
    assert_eq!(folder.names(), ["base.iso", "key.pub"]);
}

#[test]
fn a_refusal_of_the_operating_system_ends_with_1() {
    let folder = folder();
    let into = |output: &str| folder.run(&["base.iso", "--key", "key.pub", "-o", output]);
    into("/proc/custom.iso").refused(1, "/proc");
    folder.run(&["none.iso", "--key", "key.pub", "-o", "custom.iso"]).refused(1, "none.iso");
    folder.run(&["inspect", "none.iso"]).refused(1, "none.iso");
    assert_eq!(folder.names(), ["base.iso", "key.pub"]);
}

#[test]
fn what_is_not_an_installer_ends_with_4() {
    let folder = folder();
    folder.write("empty.iso", b"");
    folder.write("text.iso", "no image at all\n".repeat(5000).as_bytes());
    folder.write("zeros.iso", &vec![0; 1 << 20]);
    folder.write("stock.iso", &without_marker());
    let before = folder.names();
    for base in ["empty.iso", "text.iso", "zeros.iso", "stock.iso"] {
        folder.run(&[base, "--key", "key.pub", "-o", "custom.iso"]).refused(4, "");
        folder.run(&["inspect", base]).refused(4, "");
    }
    folder.run(&["inspect", "stock.iso"]).refused(4, "/EFI/nixos-installer-image");
    assert_eq!(folder.names(), before);
}

#[test]
fn a_fifo_beside_what_is_read_is_named_and_not_waited_for() {
    let folder = folder();
    let records = ["--manifest", "m", "-o", "custom.iso"];
    folder.run(&[&["base.iso", "--key", "key.pub"][..], &records].concat()).done();
    folder.write("signers", format!("me {}", key(1)).as_bytes());
    fs::create_dir(folder.at("cache")).unwrap();
    let lock = "cache/nixos-25.11-minimal.lock";
    for (fifo, line) in [
        ("m.sig", "verify custom.iso --manifest m --allowed-signers signers"),
        (lock, "base fetch nixos-25.11-minimal --cache cache"),
    ] {
        if !folder.at(fifo).exists() {
            make_fifo(&folder, fifo);
        }
        let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
        ended.refused(2, &format!("{fifo} is a FIFO, not a file"));
    }
}

/// A sound volume whose marker of an installer has another name in all hierarchies.
fn without_marker() -> Vec<u8> {
    let renamed = |name: &str| -> (Vec<u8>, Vec<u8>) {
        let wide = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        (name.as_bytes().to_vec(), wide)
    };
    let (old, new) = (renamed("nixos-installer-image"), renamed("other-installer-image"));
    let image = replaced(&TINY, &old.0, &new.0);
    replaced(&image, &old.1, &new.1)
}

fn replaced(image: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    while let Some(at) = image.windows(old.len()).position(|window| window == old) {
        image[at..at + new.len()].copy_from_slice(new);
    }
    image
}

#[test]
fn what_is_not_a_file_is_refused_at_once() {
    let folder = folder();
    fs::create_dir(folder.at("sub")).unwrap();
    make_fifo(&folder, "fifo");
    let _socket = UnixListener::bind(folder.at("socket")).unwrap();
    for (base, kind) in [
        ("sub", "a folder"),
        ("fifo", "a FIFO"),
        ("socket", "a socket"),
        ("/dev/zero", "character"),
    ] {
        folder.run(&[base, "--key", "key.pub", "-o", "custom.iso"]).refused(2, kind);
        // A folder may have files for netboot in it.
        let (status, words) = if base == "sub" { (4, "one kernel") } else { (2, kind) };
        folder.run(&["inspect", base]).refused(status, words);
    }
    assert_eq!(folder.names(), ["base.iso", "fifo", "key.pub", "socket", "sub"]);
}

fn make_fifo(folder: &Folder, name: &str) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, folder.at(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn structures_that_disagree_end_an_inspection_with_3() {
    let mut image = TINY.clone();
    let last = image.len() - 512;
    image[last] ^= 0xff;
    let folder = Folder::with_base(&image);
    let ended = folder.run(&["inspect", "base.iso"]);
    assert_eq!(ended.status, 3, "{}", ended.err);
    assert!(ended.text().contains("WRONG backup GPT"), "{}", ended.text());
}

#[test]
fn a_reader_that_goes_away_ends_with_1() {
    let folder = folder();
    let mut child = piping(&folder);
    drop(child.stdout.take());
    assert_eq!(Ended::from(child.wait_with_output().unwrap()).status, 1);
}

#[test]
fn a_signal_ends_a_pipe_as_it_ends_any_program() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        ends_by(signal);
    }
}

/// A shell tells it as the status 128 and the number of the signal.
fn ends_by(signal: Signal) {
    let folder = folder();
    let mut child = piping(&folder);
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    kill_process(Pid::from_child(&child), signal).unwrap();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()));
    assert!(rest.len() < TINY.len() + 4096, "{} bytes came after Ctrl-C", rest.len());
}

fn piping(folder: &Folder) -> Child {
    let mut command = folder.mortal_program(&["base.iso", "--key", "key.pub", "-o", "-"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn the_help_lists_every_status() {
    let folder = Folder::new();
    let help = String::from_utf8(folder.run(&["--help"]).quietly()).unwrap();
    let (_, statuses) = help.split_once("Exit status:").unwrap();
    for status in ["0", "1", "2", "3", "4", "5", "11", "70", "130"] {
        let listed =
            statuses.lines().any(|line| line.trim_start().starts_with(&format!("{status} ")));
        assert!(listed, "{status} in {statuses}");
    }
    for command in ["inspect", "demo"] {
        assert!(help.contains(command), "{command}");
        folder.run(&[command, "--help"]).quietly();
    }
}

#[test]
fn a_base_in_the_cache_is_shown_in_words_and_as_json() {
    let folder = Folder::new();
    let cache = folder.at("cache");
    std::fs::create_dir(&cache).unwrap();
    folder.write("cache/nixos.iso", b"a base");
    let sha256 = Digest::compute(&b"a base".to_vec(), &Silent).unwrap().to_string();
    let record = serde_json::json!({
        "name": "nixos-25.11-minimal", "version": "25.11.1.abc", "url": "https://x/nixos.iso",
        "sha256": sha256, "size": 6, "file": "nixos.iso",
    });
    folder.write("cache/nixos-25.11-minimal.json", record.to_string().as_bytes());
    let show = ["base", "show", "nixos-25.11-minimal", "--cache", "cache"];
    let ended = folder.run(&show);
    let words = ended.text();
    assert!(words.starts_with("nixos-25.11-minimal: NixOS 25.11.1.abc, 6 bytes"), "{words}");
    let json: Value =
        serde_json::from_str(folder.run(&[&show[..], &["--json"]].concat()).text()).unwrap();
    assert_eq!(json["record"], record);
}

#[test]
fn a_public_key_elsewhere_below_etc_ssh_is_not_a_host_key() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    let file = "key.pub:/etc/ssh/other_key.pub";
    folder.run(&["base.iso", "--key", "key.pub", "--file", file, "-o", "out"]).done();
    let json: Value =
        serde_json::from_str(folder.run(&["inspect", "--json", "out"]).text()).unwrap();
    assert_eq!(json["injected"]["host_keys"], serde_json::json!([]));
}

#[test]
fn the_long_help_has_what_the_short_one_leaves_out() {
    let folder = Folder::new();
    let text = |line: &[&str]| folder.run(line).done();
    for (line, is_long) in
        [(&["flash", "-h"][..], false), (&["flash", "--help"], true), (&["help", "flash"], true)]
    {
        assert_eq!(text(line).contains("--no-delta"), is_long, "{line:?}");
        // The long one has headings, the short one a list.
        assert_eq!(text(line).contains("\nWriting:"), is_long, "{line:?}");
    }
}

#[test]
fn json_is_as_its_schema_says() {
    let folder = Folder::new();
    let schema: Value =
        serde_json::from_slice(&folder.run(&["inspect", "--json-schema"]).quietly()).unwrap();
    for (name, base) in bases() {
        folder.write("stock.iso", base);
        folder.write("extra.iso", &stamp(base, &edits(1, InjectMethod::ExtraInitrd)));
        folder.write("merged.iso", &stamp(base, &edits(1, InjectMethod::MergeInitrd)));
        for image in ["stock.iso", "extra.iso", "merged.iso"] {
            let report = inspect(&folder, image);
            check(&schema, &schema, &report, &format!("{name}, {image}: "));
            let way = report["injected"]["way"].as_str();
            let expected = image.strip_suffix(".iso").filter(|way| *way != "stock");
            assert_eq!(way, expected.map(|way| format!("{way}-initrd")).as_deref());
        }
    }
}

fn inspect(folder: &Folder, image: &str) -> Value {
    serde_json::from_slice(&folder.run(&["inspect", image, "--json"]).quietly()).unwrap()
}

/// Checks a value against as much of JSON Schema as ours uses; what it does not know fails.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    for (word, wanted) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "title" | "description" | "$defs" => {}
            "$ref" => {
                let path = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(path).unwrap(), value, at);
            }
            "type" => assert!(has_type(wanted, value), "{at} {value} is no {wanted}"),
            "const" => assert_eq!(value, wanted, "{at}"),
            "enum" => assert!(wanted.as_array().unwrap().contains(value), "{at} {value}"),
            "minimum" => assert!(value.as_u64() >= wanted.as_u64(), "{at} {value}"),
            "minItems" => assert!(length(value) >= wanted.as_u64(), "{at} {value}"),
            "maxItems" => assert!(length(value) <= wanted.as_u64(), "{at} {value}"),
            "pattern" => check_pattern(wanted.as_str().unwrap(), value, at),
            "items" => value
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|item| check(root, wanted, item, at)),
            "required" => check_required(wanted, value, at),
            "additionalProperties" => assert_eq!(wanted, false, "{at}"),
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    let known = wanted
                        .get(name)
                        .unwrap_or_else(|| panic!("{at} {name} is not in the schema"));
                    check(root, known, value, &format!("{at}/{name}"));
                }
            }
            other => panic!("{at} unknown word {other}"),
        }
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_array().map(|items| items.len().try_into().unwrap())
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64(),
        other => panic!("unknown type {other}"),
    };
    wanted.as_array().map_or_else(|| is(wanted), |names| names.iter().any(is))
}

fn check_required(wanted: &Value, value: &Value, at: &str) {
    let Some(object) = value.as_object() else { return };
    for name in wanted.as_array().unwrap() {
        assert!(object.contains_key(name.as_str().unwrap()), "{at} lacks {name}");
    }
}

fn check_pattern(pattern: &str, value: &Value, at: &str) {
    // A pattern is about texts only (JSON Schema Validation 6.3.3).
    let Some(text) = value.as_str() else { return };
    let fits = match pattern {
        "^/" => text.starts_with('/'),
        "^SHA256:" => text.starts_with("SHA256:"),
        "^[0-7]{4}$" => text.len() == 4 && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)),
        other => panic!("unknown pattern {other}"),
    };
    assert!(fits, "{at} {text} is not {pattern}");
}

#[test]
fn the_demo_leaves_a_stamped_image_and_no_private_key() {
    let folder = Folder::new();
    let told = String::from_utf8(folder.run(&["demo", "--dir", "demo"]).quietly()).unwrap();
    let read = |name: &str| folder.read(&format!("demo/{name}"));
    let public = String::from_utf8(read("id_ed25519.pub")).unwrap();
    let public = ssh_key::PublicKey::from_openssh(&public).unwrap();
    assert_same("base", &read("base.iso"), &TINY);
    folder.run(&["demo/base.iso", "--key", "demo/id_ed25519.pub", "-o", "same.iso"]).quietly();
    assert_same("stamped image", &read("custom.iso"), &folder.read("same.iso"));
    let fingerprint = public.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    assert!(told.contains(&fingerprint), "{told}");
    let mut left: Vec<_> =
        fs::read_dir(folder.at("demo")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["base.iso", "custom.iso", "id_ed25519.pub"]);
    folder.run(&["demo", "--dir", "demo"]).refused(2, "not empty");
}

/// What would have no effect, and how it is refused.
const NO_EFFECT: [(&str, &str); 21] = [
    (
        "base.iso --file word:/etc/a --file key.pub:/etc/a -o x",
        "--file: /etc/a comes from key.pub:/etc/a, and from --file word:/etc/a, too",
    ),
    (
        "base.iso --overlay over --file word:/etc/a -o x",
        "--file: /etc/a comes from word:/etc/a, and from --overlay over, too",
    ),
    (
        "base.iso --overlay over --unit x.service -o x",
        "--unit: /etc/systemd/system.control/x.service comes from x.service, and from --overlay over, too",
    ),
    (
        "base.iso --unit x.service --file word:/etc/systemd/system.control/x.service -o x",
        "and from --file word:/etc/systemd/system.control/x.service, too",
    ),
    (
        "base.iso --host-key host --host-key-seed seed -o x",
        "--host-key-seed: nothing is derived from it",
    ),
    (
        "base.iso --hostname q --allow-secrets -o x",
        "--allow-secrets: has no effect without --overlay or --file",
    ),
    ("base.iso --hostname q --known-hosts x -o y", "--known-hosts without a host key"),
    (
        "edit --in-place two.iso --remove-key key.pub --known-hosts x",
        "--known-hosts without a host key",
    ),
    ("edit --in-place two.iso --hostname q --known-hosts x", "--known-hosts without a host key"),
    (
        "edit --in-place two.iso --no-key --known-hosts x --hostname q",
        "--known-hosts without a host key",
    ),
    ("edit --in-place two.iso --remove-key key.pub --key key.pub", ", which is taken out"),
    (
        "edit --in-place two.iso --remove-key key.pub --recipe own.toml",
        "own.toml:1:8: key: SHA256:",
    ),
    (
        "edit --in-place none.iso --remove-key alice",
        "no key was put into the image: there is none to take out",
    ),
    (
        "edit --in-place two.iso --replace",
        "--replace takes everything out, and nothing is given to put in",
    ),
    ("edit --in-place two.iso --replace --known-hosts x", "--known-hosts without a host key"),
    ("edit --in-place base.iso --known-hosts x", "--known-hosts without a host key"),
    ("edit --in-place two.iso --manifest-digests", "--manifest-digests alone does nothing"),
    ("base.iso --key key.pub -o - --no-sync -n", "--no-sync is about a file"),
    ("edit --in-place none.iso --no-key", "--no-key would take out nothing"),
    ("edit --in-place none.iso --no-key --hostname q", "--no-key would take out nothing"),
    ("edit --in-place base.iso --no-key --hostname q", "--no-key would take out nothing"),
];

#[test]
fn what_would_have_no_effect_is_refused_and_changes_nothing() {
    let folder = folder();
    folder.write("other.pub", key(2).as_bytes());
    folder.write("host", pair(7).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("seed", &(0..64).collect::<Vec<u8>>());
    folder.write("own.toml", b"key = ['key.pub']\n");
    folder.write("word", b"hello\n");
    folder.write("x.service", b"[Service]\nExecStart=/bin/sh -c true\n");
    std::fs::create_dir_all(folder.at("over/etc/systemd/system.control")).unwrap();
    folder.write("over/etc/a", b"a\n");
    folder.write("over/etc/systemd/system.control/x.service", b"[Service]\nExecStart=/bin/sh\n");
    let run = |line: &str| folder.run(&line.split(' ').collect::<Vec<_>>());
    run("base.iso -q --key key.pub --key other.pub -o two.iso").done();
    run("base.iso -q --hostname box -o none.iso").done();
    let before = folder.names();
    for (line, words) in NO_EFFECT {
        let images = ["two.iso", "none.iso", "base.iso"].map(|name| folder.read(name));
        let ended = run(line);
        assert!(ended.status == 2 && ended.err.contains(words), "{line}: {}", ended.err);
        assert_eq!(folder.names(), before, "{line}");
        let now = ["two.iso", "none.iso", "base.iso"].map(|name| folder.read(name));
        assert!(now == images, "{line}");
    }
    run("base.iso -q --key key.pub --host-key host -o known.iso").done();
    run("edit --in-place known.iso --hostname q --known-hosts here").done();
    assert!(String::from_utf8(folder.read("here")).unwrap().starts_with("q ssh-ed25519 "));
}
