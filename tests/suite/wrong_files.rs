//! Every flag and argument that names a file, given another thing than it asks for: the message names the file and what
//! it really is, and says what to give. That each has a row is a test beside `slips::files`, by the parser's own list.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ssh_key::LineEnding;

use crate::support::{Ended, Folder, TINY, key, pair, skipped};
use crate::wrong::packed;

/// A command line in which the file is `GIVEN`, and the names of what it takes.
type Row = (&'static str, &'static [&'static str]);

/// What is read is the file of a flag or an argument.
const ROWS: &[Row] = &[
    ("base.iso --key GIVEN -o out", &["public"]),
    ("base.iso --key key.pub --recipe GIVEN -o out", &[]),
    ("base.iso --key key.pub --sign GIVEN -o out", &["private"]),
    ("base.iso --key key.pub --host-key GIVEN -o out", &["private"]),
    (
        "base.iso --key key.pub --host-key generate --host-key-seed GIVEN -o out",
        &["private", "png", "page.iso", "page.pub", "text"],
    ),
    ("base.iso --key key.pub --root-password-file GIVEN -o out", &["text"]),
    ("base.iso --key key.pub --nixos-password-file GIVEN -o out", &["text"]),
    ("base.iso --key key.pub --wifi a --wifi-password-file GIVEN -o out", &["text"]),
    ("base.iso --key key.pub --overlay GIVEN -o out", &["folder"]),
    (
        "base.iso --key key.pub --file GIVEN:/a -o out",
        &["empty", "image", "public", "png", "page.iso", "page.pub", "text"],
    ),
    ("base.iso --key key.pub --script GIVEN -o out", &[]),
    ("base.iso --key key.pub --bin GIVEN -o out", &[]),
    ("base.iso --key key.pub --unit GIVEN -o out", &[]),
    ("base.iso --key key.pub --run GIVEN -o out", &[]),
    ("base.iso --key key.pub --store GIVEN -o out", &[]),
    ("base.iso --key key.pub --sha256-file GIVEN -o out", &[]),
    ("stamp base.iso GIVEN -o outd", &[]),
    ("find --known-hosts GIVEN 127.0.0.1/32", &[]),
    ("ssh nixos --known-hosts GIVEN", &[]),
    ("verify signed.iso --manifest GIVEN", &[]),
    ("verify signed.iso --allowed-signers GIVEN", &[]),
    ("verify signed.iso --against GIVEN", &[]),
    ("diff base.iso GIVEN", &["image"]),
    ("diff GIVEN base.iso", &["image"]),
    ("apply base.iso GIVEN -o out", &[]),
    ("flash base.iso --patch GIVEN --to-file out", &[]),
    ("recipe check GIVEN", &[]),
    ("base fetch nixos-25.11-minimal --mirror http://127.0.0.1:1 --cache c --ca-file GIVEN", &[]),
    ("try base.iso --key GIVEN", &["private"]),
    ("GIVEN --key key.pub -o out", &["image"]),
    ("stamp GIVEN users.toml -o outd", &["image"]),
    ("flash GIVEN --to-file out", &["image"]),
    ("edit --in-place GIVEN --key key.pub", &["image"]),
    ("edit --recover GIVEN", &["image"]),
    ("netboot GIVEN --key key.pub -o outd", &["image"]),
    ("inspect GIVEN", &["image"]),
    ("verify GIVEN", &[]),
    ("reset GIVEN -o out", &[]),
    ("apply GIVEN p.remaster -o out", &["image"]),
];

/// What is given, and the words of which one is said of it.
const GIVEN: [(&str, &[&str]); 10] = [
    ("folder", &["is a folder", "the folder folder"]),
    ("empty", &["is empty"]),
    (
        "image",
        &[
            "is an ISO 9660 image",
            "is an image",
            "holds another image",
            "has no manifest",
            "nothing was put into",
        ],
    ),
    ("private", &["private key"]),
    ("public", &["a public key", "an ssh key"]),
    ("png", &["is a picture (png)"]),
    ("page.iso", &["is a web page"]),
    ("page.pub", &["is a web page"]),
    (
        "text",
        &[
            "is a text file",
            "text:1",
            "text line 1",
            "does not start with `#!`",
            "has no name of a unit",
            "no SHA-256 in it",
            "has a name that does not say",
            "is not a manifest",
            "holds no certificate",
            "is not one of the allowed",
        ],
    ),
    ("missing.x", &["No such file", "neither an existing file", "neither a command nor a file"]),
];

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    let pem = pair(7).to_openssh(LineEnding::LF).unwrap();
    fs::create_dir_all(folder.at("folder/etc")).unwrap();
    folder.write("folder/etc/hello", b"hello\n");
    folder.write("empty", b"");
    folder.write("image", &TINY);
    folder.write("private", pem.as_bytes());
    folder.write("public", key(1).as_bytes());
    folder.write("png", &[&b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR"[..], &[0; 200]].concat());
    for name in ["page.iso", "page.pub"] {
        folder.write(name, b"<!DOCTYPE html>\n<html><title>404</title></html>\n");
    }
    folder.write("text", b"hello there, this is a text of some length\n");
    folder.write("key.pub", key(1).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'a'\nkey = 'key.pub'\n");
    folder
        .run(&[
            "base.iso",
            "--key",
            "key.pub",
            "--sign",
            "private",
            "--manifest-digests",
            "-o",
            "signed.iso",
        ])
        .done();
    folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "p.remaster"]).done();
    folder
}

fn run(folder: &Folder, line: &str, given: &str) -> Ended {
    let line = line.replace("GIVEN", given);
    let words: Vec<&str> = line.split(' ').collect();
    // Nothing boots and nothing is fetched: the PATH has no QEMU, and no server listens.
    let mut program = folder.program(&words);
    Ended::from(program.env_remove("SSH_AUTH_SOCK").env("PATH", "").output().unwrap())
}

#[test]
fn what_a_file_really_is_is_said_by_every_flag_and_argument() {
    let made = folder();
    let mut wrong = Vec::new();
    for (line, takes) in ROWS {
        for (given, words) in GIVEN {
            let is_edit = line.starts_with("edit");
            if is_edit {
                made.write("image", &TINY);
            }
            let ended = run(&made, line, given);
            for output in ["out", "out.known_hosts"] {
                let _ = fs::remove_file(made.at(output));
            }
            let _ = fs::remove_dir_all(made.at("outd"));
            if takes.contains(&given) {
                // QEMU is not there.
                if ended.status != 0 && !line.starts_with("try") {
                    wrong.push(format!("{line}, {given}: status {}: {}", ended.status, ended.err));
                }
                continue;
            }
            let error =
                ended.err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
            let names = error.contains(given) || error.contains("/a is a private key");
            let says = words.iter().any(|word| ended.err.contains(word));
            let hints = ended.err.contains("\nhint: ");
            // A sound image that the command has no use for may be a difference.
            if !([1, 2, 4].contains(&ended.status)
                || ended.status == 3 && (given == "image" || line.contains("signers")))
                || !names
                || !says
                || !hints
            {
                let public = *line == ROWS[2].0
                    && given == "public"
                    && ended.err.contains("--sign names a public key");
                if !public {
                    wrong.push(format!("{line}, {given}: status {}: {}", ended.status, ended.err));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a recipe has beside the setting, the setting, and the names of what it takes.
const SETTINGS: &[(&str, &str, &[&str])] = &[
    ("", "key", &["public"]),
    ("", "sign", &["private"]),
    ("", "host-key", &["private"]),
    ("host-key = 'generate'", "host-key-seed", &["private", "png", "page.iso", "page.pub", "text"]),
    ("", "root-password-file", &["text"]),
    ("", "nixos-password-file", &["text"]),
    ("wifi = 'a'", "wifi-password-file", &["text"]),
    ("", "overlay", &["folder"]),
    ("", "script", &[]),
    ("", "bin", &[]),
    ("", "unit", &[]),
    ("", "run", &[]),
    ("", "store", &[]),
];

/// A command line, and a file that it reads, around the setting.
const WAYS: [(&str, &str, &str); 3] = [
    ("base.iso --recipe r.toml -o out", "r.toml", ""),
    ("stamp base.iso r.toml -o outd", "r.toml", "[[user]]\nname = 'ann'\n"),
    (
        "base.iso --recipe r.toml -o out",
        "r.toml",
        "key = 'key.pub'\n[[machine]]\nmac = '52:54:00:12:34:56'\n",
    ),
];

#[test]
fn what_a_file_really_is_is_said_of_every_setting_of_a_recipe_a_user_and_a_machine() {
    let made = folder();
    let mut wrong = Vec::new();
    for (line, file, head) in WAYS {
        let of_machine = head.contains("machine");
        for (beside, name, takes) in SETTINGS {
            let is_shared = *name == "sign" && line.starts_with("stamp");
            if is_shared || of_machine && !["key", "host-key", "run"].contains(name) {
                continue;
            }
            let key = if *name == "key" || of_machine { "" } else { "key = 'key.pub'" };
            for (given, words) in GIVEN {
                let text = format!("{head}{key}\n{beside}\n{name} = '{given}'\n");
                made.write(file, text.as_bytes());
                let ended = run(&made, line, "");
                let _ = fs::remove_file(made.at("out"));
                let _ = fs::remove_file(made.at("out.known_hosts"));
                let _ = fs::remove_dir_all(made.at("outd"));
                let what = format!("{line}, {text}: status {}: {}", ended.status, ended.err);
                if takes.contains(&given) {
                    wrong.extend((ended.status != 0).then_some(what));
                    continue;
                }
                let error = ended.err.lines().find(|line| line.starts_with("error: "));
                let cause = ended.err.lines().find(|line| line.starts_with("cause: "));
                let error = format!("{} {}", error.unwrap_or_default(), cause.unwrap_or_default());
                let is_public = given == "public" && error.contains("names a public key");
                let says = words.iter().any(|word| error.contains(word)) || is_public;
                // A batch says so of its users, and ends as one of which some failed. What reads keys names the line.
                let is_said = [1, 2, 11].contains(&ended.status)
                    && error.contains(given)
                    && says
                    && (error.contains("r.toml:") || is_public || *name == "key")
                    && ended.err.contains("\nhint: ");
                if !is_said {
                    wrong.push(what);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What each setting takes; every path in a file is relative to that file, and what is empty is called that.
#[test]
fn a_path_in_a_file_is_never_one_of_the_folder_where_the_command_runs() {
    let made = folder();
    fs::create_dir(made.at("rc")).unwrap();
    made.write("agent", key(3).as_bytes());
    made.write("rc/key.pub", key(1).as_bytes());
    let mut wrong = Vec::new();
    for (line, file, head) in WAYS {
        let (line, file) = (line.replace(file, "rc/r.toml"), format!("rc/{file}"));
        let of_machine = head.contains("machine");
        for (beside, name, _) in SETTINGS {
            let is_shared = *name == "sign" && line.starts_with("stamp");
            if is_shared || of_machine && !["key", "host-key", "run"].contains(name) {
                continue;
            }
            let alone = *name == "key" || of_machine;
            let key = if alone { "" } else { "key = 'key.pub'" };
            let mut rows = vec![("public", "rc/public"), ("", "is empty, not")];
            if *name == "key" {
                let of_batch = if of_machine { "agent is not for one" } else { "agent" };
                rows.extend([("agent", of_batch), ("ssh-ed25519 AAAA", "cut off or damaged")]);
                rows.extend([
                    ("~/k.pub", "write the path in full"),
                    ("gh:a b", "this cannot be a user name"),
                ]);
            }
            for (given, words) in rows {
                let text = format!("{head}{key}\n{beside}\n{name} = '{given}'\n");
                made.write(&file, text.as_bytes());
                let ended = run(&made, &line, "");
                let is_said = [1, 2, 11].contains(&ended.status) && ended.err.contains(words);
                let has_place = given == "agent" || ended.err.contains("rc/r.toml:");
                if !is_said || !has_place {
                    wrong.push(format!("{text}: status {}: {}", ended.status, ended.err));
                }
                let _ = fs::remove_file(made.at("out"));
                let _ = fs::remove_file(made.at("out.known_hosts"));
                let _ = fs::remove_dir_all(made.at("outd"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_user_without_a_name_has_a_place_and_an_empty_recipe_is_named() {
    let made = folder();
    for (text, place) in [
        ("u.toml", "[[user]]\nname = ''\nkey = 'key.pub'\n", "u.toml:2:8: name: it is empty"),
        ("u.csv", "name,key\n\"\",key.pub\n", "u.csv:2: a user without `name`"),
        ("u.jsonl", "{\"name\": \"\"}\n", "u.jsonl:1: name: it is empty"),
    ]
    .map(|(name, text, words)| {
        made.write(name, text.as_bytes());
        (name, words)
    }) {
        let ended = made.run(&["stamp", "base.iso", text, "-o", "outd"]);
        assert!(ended.status == 11 && ended.err.contains(place), "{}", ended.err);
    }
    made.write("r.toml", b"# nothing\n");
    for line in [
        "recipe check r.toml",
        "recipe check /dev/null",
        "base.iso --recipe r.toml -o out",
        "flash base.iso --recipe r.toml --to-file out",
        "netboot base.iso --recipe r.toml -o outn",
        "edit --in-place image --recipe r.toml",
    ] {
        let ended = run(&made, line, "");
        let named = line.split(' ').find(|word| word.contains(".toml") || word.contains("null"));
        let words = format!("{} asks for nothing to put in", named.unwrap());
        ended.refused(2, &words);
        assert!(ended.err.contains("\nhint: see `remaster recipe schema`"), "{}", ended.err);
    }
}

/// A command line, the file `GIVEN` of which it reads, and what is said of that one with a mark in front.
const TEXTS: &[(&str, &str, &str)] = &[
    ("base.iso --recipe GIVEN -o out", "recipe.toml", ""),
    ("recipe check GIVEN", "recipe.toml", ""),
    ("stamp base.iso GIVEN -o outd", "users.toml", ""),
    ("stamp base.iso GIVEN -o outd", "users.csv", ""),
    ("stamp base.iso GIVEN -o outd", "users.jsonl", ""),
    ("base.iso --key GIVEN -o out", "key.pub", ""),
    ("base.iso --key key.pub --root-password-file GIVEN -o out", "password", ""),
    ("base.iso --key key.pub --nixos-password-file GIVEN -o out", "password", ""),
    ("base.iso --key key.pub --wifi a --wifi-password-file GIVEN -o out", "password", ""),
    ("base.iso --key key.pub --host-key GIVEN -o out", "private", ""),
    ("base.iso --key key.pub --sign GIVEN -o out", "private", ""),
    ("base.iso --key key.pub --unit GIVEN -o out", "a.service", ""),
    ("base.iso --key key.pub --script GIVEN -o out", "script", "a byte order mark in front of"),
    ("base.iso --key key.pub --run GIVEN -o out", "script", "a byte order mark in front of"),
    ("base.iso --key key.pub --sha256-file GIVEN -o out", "sums", ""),
    ("verify signed.iso --manifest GIVEN", "signed.json", ""),
    ("verify signed.iso --allowed-signers GIVEN", "signers", ""),
    ("ssh nothing.test --known-hosts GIVEN", "known", "nothing.test"),
];

#[test]
fn a_text_with_a_mark_is_taken_and_one_of_another_encoding_is_named_by_it() {
    let made = folder();
    let signed = "base.iso --key key.pub --sign private --manifest-digests --manifest signed.json";
    let signed = format!("{signed} -o signed.iso --force");
    made.run(&signed.split(' ').collect::<Vec<_>>()).done();
    let public = pair(7).public_key().to_openssh().unwrap();
    let sums = format!("{}  base.iso\n", remaster::image::digest::Digest::of_bytes(&TINY));
    for (name, text) in [
        ("recipe.toml", "key = 'key.pub'\n".to_owned()),
        ("users.csv", "name,key\nann,key.pub\n".to_owned()),
        ("users.jsonl", "{\"name\": \"ann\", \"key\": \"key.pub\"}\n".to_owned()),
        ("password", "correct horse\n".to_owned()),
        ("a.service", "[Service]\nExecStart=/bin/sh\n".to_owned()),
        ("script", "#!/bin/sh\n".to_owned()),
        ("sums", sums),
        ("signers", format!("ann {public}\n")),
        ("known", format!("machine {}", key(1))),
    ] {
        made.write(name, text.as_bytes());
    }
    let mut wrong = Vec::new();
    for (line, file, words) in TEXTS {
        let text = made.read(file);
        let utf16: Vec<u8> = text.iter().flat_map(|byte| [*byte, 0]).collect();
        let not_utf8 = if words.contains("mark") { "does not start" } else { "not UTF-8" };
        for (bytes, said) in [
            ([&b"\xEF\xBB\xBF"[..], &text].concat(), *words),
            ([&b"\xFF\xFE"[..], &utf16].concat(), "not UTF-8"),
            ([&b"# \xE9\n"[..], &text].concat(), not_utf8),
        ] {
            let given =
                format!("given{}", file.strip_prefix(file.split('.').next().unwrap()).unwrap());
            made.write(&given, &bytes);
            let ended = run(&made, line, &given);
            // What stands in front of a key in PEM is no part of it (RFC 7468, section 2).
            let is_pem = said == not_utf8 && line.contains("--host-key");
            let is_right = match said {
                _ if is_pem && bytes.starts_with(b"#") => ended.status == 0,
                "" => ended.status == 0,
                "not UTF-8" => {
                    ended.status == 2
                        && ended.err.contains("not UTF-8")
                        && ended.err.contains("\nhint: save the file as UTF-8; in PowerShell")
                }
                _ => ended.status != 0 && ended.err.contains(said),
            };
            if !is_right {
                let begin = bytes.get(..3);
                wrong.push(format!("{line}, {file} {begin:x?}: {}: {}", ended.status, ended.err));
            }
            let _ = fs::remove_file(made.at("out"));
            let _ = fs::remove_file(made.at("out.known_hosts"));
            let _ = fs::remove_dir_all(made.at("outd"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nobody, who owns nothing.
const NOBODY: u32 = 65534;

/// Runs lines in a folder as nobody, who may write there.
fn as_nobody(folder: &Folder) -> impl Fn(&str) -> Ended {
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.at("program");
    fs::copy(env!("CARGO_BIN_EXE_remaster"), &program).unwrap();
    move |line| {
        let mut command = Command::new(&program);
        command.args(line.split(' ')).current_dir(folder.path()).stdin(Stdio::null());
        command.env_clear().env("HOME", folder.path()).uid(NOBODY).gid(NOBODY);
        Ended::from(command.output().unwrap())
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can become nobody");
        return;
    }
    let folder = folder();
    folder.write("closed", b"closed\n");
    fs::set_permissions(folder.at("closed"), fs::Permissions::from_mode(0o600)).unwrap();
    let run = as_nobody(&folder);
    for (line, _) in ROWS.iter().filter(|(line, _)| !line.starts_with("edit --in-place")) {
        let line = line.replace("GIVEN", "closed");
        let ended = run(&line);
        let is_told = ended.err.contains("closed") && ended.err.contains("ermission");
        assert!(ended.status == 1 || ended.status == 2, "{line}: {}: {}", ended.status, ended.err);
        assert!(is_told && ended.err.contains("hint: "), "{line}: {}", ended.err);
    }
}

/// Command lines that have threads at work.
const THREADED: [&str; 8] = [
    "base.iso --key key.pub -o o1",
    "base.iso.gz --key key.pub -o o2",
    "base.iso.xz --key key.pub -o o3",
    "stamp base.iso users.toml -o o4",
    "stamp base.iso users.toml -o o5 --jobs 99999",
    "flash base.iso --to-file o6",
    "flash base.iso.xz --to-file o7",
    "netboot base.iso --key key.pub -o o8",
];

#[test]
fn a_system_without_threads_is_reported_and_one_user_gets_one_thread() {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can become nobody");
        return;
    }
    let folder = folder();
    for how in ["gz", "xz"] {
        folder.write(&format!("base.iso.{how}"), &packed(&TINY, how));
    }
    let run = as_nobody(&folder);
    let limited = |line: &str| {
        let mut limited = Command::new("prlimit");
        limited.args(["--nproc=1", "./program"]).args(line.split(' '));
        limited.current_dir(folder.path()).stdin(Stdio::null());
        Ended::from(limited.uid(NOBODY).gid(NOBODY).output().unwrap())
    };
    for line in THREADED {
        let told = "error: cannot start a thread\ncause: Resource temporarily unavailable";
        let ended = limited(line);
        assert!(ended.status == 1 && ended.err.contains(told), "{line}: {}", ended.err);
        assert!(ended.err.contains("\nhint: raise `ulimit -u`"), "{line}: {}", ended.err);
        run(line).done();
    }
}

/// Commands that read a disk, which is `disk`, and who may let in to it.
const OF_DISKS: [(&str, &str); 4] = [
    ("inspect disk", "no permission"),
    ("diff base.iso disk", "no permission"),
    ("reset disk --in-place", "no permission"),
    ("verify disk --against base.iso", "udisks2"),
];

#[test]
fn a_disk_that_may_not_be_read_is_named_with_who_may() {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can make the node of a disk, and become nobody");
        return;
    }
    let folder = folder();
    let disks = fs::read_dir("/sys/block").unwrap();
    let disk = disks.map(|disk| disk.unwrap().path()).find(|disk| disk.join("device").exists());
    let Some(disk) = disk else {
        skipped("the machine has no disk");
        return;
    };
    let numbers = fs::read_to_string(disk.join("dev")).unwrap();
    let (major, minor) = numbers.trim().split_once(':').unwrap();
    let mut mknod = Command::new("mknod");
    mknod.args(["-m", "600"]).arg(folder.at("disk")).args(["b", major, minor]);
    assert!(mknod.status().unwrap().success());
    let run = as_nobody(&folder);
    for (line, told) in OF_DISKS {
        let ended = run(line);
        assert_eq!(ended.status, 1, "{line}: {}", ended.err);
        let is_told = ended.err.contains("cannot open disk: ") && ended.err.contains(told);
        assert!(is_told && ended.err.contains("hint: run it as root: `sudo /"), "{}", ended.err);
    }
}

#[test]
fn what_comes_through_a_fifo_is_judged_as_a_file_is_and_nothing_hangs() {
    let folder = folder();
    for (line, _) in ROWS {
        let fifo = folder.at("fifo");
        let _ = fs::remove_file(&fifo);
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        // It ends with the text; without a reader, it is ended below.
        let mut writer = Command::new("sh");
        writer.args(["-c", "echo 'hello there, this is a text' > fifo"]).current_dir(folder.path());
        let mut writer = writer.stderr(Stdio::null()).spawn().unwrap();
        let words = line.replace("GIVEN", "fifo");
        let words: Vec<&str> = words.split(' ').collect();
        let mut program = folder.program(&words);
        program.stdout(Stdio::null()).stderr(Stdio::piped()).env_remove("SSH_AUTH_SOCK");
        let mut child = program.env("PATH", "").spawn().unwrap();
        let end = Instant::now() + Duration::from_mins(1);
        while child.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let is_over = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        let _ = writer.kill();
        let _ = writer.wait();
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(is_over, "{line}: {err}");
        // The image, which lets no key in, is told of before the key.
        let is_named = ended.status.success()
            || ["fifo", "/a"].iter().any(|word| err.contains(word))
            || line.starts_with("try");
        assert!(is_named, "{line}: {err}");
        for output in ["out", "out.known_hosts"] {
            let _ = fs::remove_file(folder.at(output));
        }
        let _ = fs::remove_dir_all(folder.at("outd"));
    }
}
