//! Power cuts, as far as the order of system calls shows: what gets a name is on the disk before, and the name is
//! afterwards. Killing the program cannot show that.

use std::collections::BTreeSet;
use std::process::Command;

use crate::netboot::kexec;
use crate::support::{Folder, TINY, key};

/// System calls that write to a file, bring it to the disk, and give or take a name.
const CALLS: &str = "pwrite64,write,copy_file_range,ftruncate,ioctl,fsync,syncfs,linkat,rename,renameat2,unlink,unlinkat";

/// What was called, in its order.
#[derive(Debug, PartialEq)]
enum Call {
    Write(String),
    Sync(String),
    SyncAll,
    Name(String, String),
    Remove(String),
}

/// Runs the program below strace.
fn calls(folder: &Folder, arguments: &[&str]) -> Vec<Call> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-qq", "-e", "signal=none", "-s", "0", "-o", "log"]);
    strace.arg(format!("-etrace={CALLS}")).arg(env!("CARGO_BIN_EXE_remaster")).args(arguments);
    let ended = strace.current_dir(folder.path()).output();
    let ended = ended.unwrap_or_else(|fault| panic!("strace is needed: {fault}"));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let log = String::from_utf8(folder.read("log")).unwrap();
    log.lines().filter_map(|line| call(line, folder)).collect()
}

/// A line of strace about the folder, as `12 fsync(3</tmp/x/#7 (deleted)>) = 0`.
fn call(line: &str, folder: &Folder) -> Option<Call> {
    let (name, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    let failed = line.contains(" = -1 ");
    let ours = folder.path().to_str().unwrap();
    // A file without a name is known by its number.
    let opened = |number: usize| -> Option<String> {
        let path = rest.split(&['<', '>'][..]).nth(2 * number + 1)?.strip_suffix(" (deleted)");
        let path = path.or_else(|| rest.split(&['<', '>'][..]).nth(2 * number + 1))?;
        path.starts_with(ours).then(|| path.to_owned())
    };
    let named = |number: usize| -> Option<String> {
        let path = rest.split('"').nth(2 * number + 1)?;
        Some(folder.path().join(path).to_str().unwrap().replace("/./", "/"))
    };
    match name {
        _ if failed => None,
        "pwrite64" | "write" | "ftruncate" | "ioctl" => opened(0).map(Call::Write),
        "copy_file_range" => opened(1).map(Call::Write),
        "fsync" => opened(0).map(Call::Sync),
        "syncfs" => Some(Call::SyncAll),
        "linkat" | "rename" | "renameat2" => Some(Call::Name(named(0)?, named(1)?)),
        "unlink" | "unlinkat" => named(0).map(Call::Remove),
        _ => None,
    }
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').unwrap().0.to_owned()
}

/// Nothing gets a name before it is on the disk, and every name is on the disk in the end. Gives the names.
fn check(calls: &[Call]) -> Vec<String> {
    let (mut dirty, mut folders, mut names) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for call in calls {
        match call {
            Call::Write(path) => drop(dirty.insert(path)),
            Call::Sync(path) => {
                dirty.remove(path);
                folders.remove(path);
            }
            Call::SyncAll => dirty.clear(),
            Call::Name(_, to) => {
                assert!(dirty.is_empty(), "{to} gets its name before {dirty:?} are on the disk");
                folders.insert(parent(to));
                names.push(to.rsplit('/').next().unwrap().to_owned());
            }
            Call::Remove(path) => {
                assert!(dirty.is_empty(), "{path} goes before {dirty:?} are on the disk");
                folders.insert(parent(path));
            }
        }
    }
    assert!(dirty.is_empty() && folders.is_empty(), "not on the disk: {dirty:?} {folders:?}");
    names
}

fn prepared() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    let users: Vec<String> =
        (1..=6).map(|number| format!("user{number},{}\n", key(number))).collect();
    folder.write("few.csv", format!("name,key\n{}", users[..2].concat()).as_bytes());
    folder.write("many.csv", format!("name,key\n{}", users.concat()).as_bytes());
    folder
}

#[test]
fn what_gets_a_name_is_on_the_disk_and_so_is_its_name() {
    let folder = prepared();
    let key = ["--key", "key.pub"];
    folder.run(&["netboot", "base.iso", "-o", "stock", "--key", "key.pub"]).done();
    folder.write("kexec.tar", &kexec(&folder.read("stock/initrd")));
    let table: &[(&[&str], &str)] = &[
        (
            &["base.iso", "-o", "custom.iso", "--host-key", "generate", "--known-hosts", "known"],
            "custom.iso known",
        ),
        (&["base.iso", "-o", "custom.iso", "-f"], "custom.iso"),
        (&["base.iso", "-o", "custom.patch", "--as", "patch"], "custom.patch"),
        (&["netboot", "base.iso", "-o", "boot"], "boot"),
        // One at a time: what another worker still writes has nothing to do with a name.
        (&["stamp", "base.iso", "few.csv", "-o", "few", "-j", "1"], "user1.iso user2.iso"),
        (&["stamp", "base.iso", "many.csv", "-o", "many", "-j", "1"], "user1.iso user6.iso"),
        (&["stamp", "base.iso", "few.csv", "-o", "oci", "--as", "oci", "-j", "1"], "index.json"),
        (&["kexec.tar", "-o", "custom.tar"], "custom.tar"),
        (&["reset", "custom.iso", "-o", "again.iso"], "again.iso"),
    ];
    for (arguments, expected) in table {
        let is_batch = matches!(arguments[0], "stamp" | "reset");
        let arguments = [*arguments, if is_batch { &[][..] } else { &key[..] }].concat();
        let calls = calls(&folder, &arguments);
        let names = check(&calls);
        for name in expected.split(' ') {
            assert!(names.iter().any(|found| found == name), "{arguments:?}: {name} in {names:?}");
        }
    }
}

#[test]
fn an_image_is_edited_in_place_only_behind_a_journal_that_is_on_the_disk() {
    let folder = prepared();
    let calls = calls(&folder, &["edit", "--in-place", "base.iso", "--key", "key.pub"]);
    check(&calls);
    let place = |wanted: &dyn Fn(&Call) -> bool| calls.iter().position(wanted).unwrap();
    let journal = place(&|call| matches!(call, Call::Name(..)));
    let on_disk = journal + 1;
    assert_eq!(calls[on_disk], Call::Sync(folder.path().to_str().unwrap().to_owned()));
    let is_image = |call: &Call| matches!(call, Call::Write(path) if path.ends_with("/base.iso"));
    assert!(place(&is_image) > on_disk, "the image is written before its journal: {calls:?}");
    let removed = place(&|call| matches!(call, Call::Remove(_)));
    assert!(calls[removed..].iter().all(|call| !is_image(call)), "{calls:?}");
}

/// Nothing is brought to the disk where that is not waited for, and everything is where it is.
#[test]
fn without_sync_nothing_waits_for_the_disk() {
    let folder = Folder::with_base(&TINY);
    folder.write(
        "users.jsonl",
        format!("{{\"name\": \"a\", \"key\": [\"{}\"]}}\n", key(1)).as_bytes(),
    );
    let key = key(1);
    let stamped = ["base.iso", "--key", &key, "-f", "-o"];
    folder.run(&[&stamped[..], &["p", "--as", "patch"]].concat()).done();
    folder.run(&[&stamped[..], &["keyed.iso"]].concat()).done();
    let host_key = ["--host-key", "generate"];
    let beside = ["--manifest", "m", "--provenance", "v", "--sbom", "s", "--known-hosts", "k"];
    let all = ["--known-hosts", "k", "--failures", "f"];
    let commands: [&[&str]; 9] = [
        &[&stamped[..], &["out"]].concat(),
        &[&stamped[..], &["out"], &host_key, &beside].concat(),
        &[&["stamp", "base.iso", "users.jsonl", "-f", "-o", "many"], &host_key[..], &all].concat(),
        &["netboot", "base.iso", "-f", "-o", "boot", "--key", &key, "--host-key", "generate"],
        &["reset", "keyed.iso", "-f", "-o", "out"],
        &[&stamped[..], &["out", "--as", "patch"]].concat(),
        &["apply", "base.iso", "p", "-f", "-o", "out"],
        &["stamp", "base.iso", "users.jsonl", "-f", "-o", "many", "--descriptor", "--as", "patch"],
        &["stamp", "base.iso", "users.jsonl", "-f", "-o", "many", "--manifest"],
    ];
    for command in commands {
        let synced = |call: &Call| matches!(call, Call::Sync(_) | Call::SyncAll);
        let plain = calls(&folder, command);
        assert!(plain.iter().any(synced), "{command:?}: {plain:?}");
        let quick = calls(&folder, &[command, &["--no-sync"]].concat());
        assert!(!quick.iter().any(synced), "{command:?}: {quick:?}");
        assert!(quick.iter().any(|call| matches!(call, Call::Name(..))), "{command:?}: {quick:?}");
    }
}
