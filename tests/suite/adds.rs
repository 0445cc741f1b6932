//! An edit adds: what was put in before stays, byte for byte as if both had been asked for at once, or is refused by name.

use std::collections::BTreeSet;
use std::fs;

use ssh_key::LineEnding;

use crate::menus_refused::{BIOS, GRUB, rewritten};
use crate::support::{AARCH64, Ended, Folder, SD, SYSTEMD, TINY, key, pair};

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
    let service = folder.read("my.service");
    folder.write("your.service", &service);
    let odd = String::from_utf8(service.clone()).unwrap();
    let odd = odd.replace("WantedBy=", "Alias=other.service\nRequiredBy=");
    folder.write("odd.service", odd.as_bytes());
    fs::create_dir(folder.at("elsewhere")).unwrap();
    folder.write("elsewhere/odd.service", &service);
    folder.write("script.py", b"#!/bin/sh\ntrue\n");
    let machine = |name: &str, own: &str| {
        let text = format!("[[machine]]\nmac = '52:54:00:12:34:56'\n{own}\n");
        folder.write(name, text.as_bytes());
    };
    machine("runs-script.toml", "run = 'script'");
    machine("runs-another.toml", "run = 'another'");
    machine("named.toml", "hostname = 'one'\naddress = '10.0.0.9/24'\nkey = 'b.pub'");
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
        ("--run script", "--run script.py", "script.py would take its unit"),
        ("--karg x", "--karg y --entry boot-copytoram", "of all entries were changed before"),
        (
            "--karg x --entry boot-copytoram-latest_kernel",
            "--karg y",
            "1 of 54 entries (boot-copytoram-latest_kernel)",
        ),
        ("--run script", "--recipe runs-another.toml", "runs-another.toml:3:7: run: script runs"),
        (
            NETWORKED,
            "--gateway 10.0.0.254",
            "in the image: gateway 10.0.0.1, and --gateway 10.0.0.254: 10.0.0.254 is a second",
        ),
        (
            NETWORKED,
            "--mtu 1500",
            "in the image: mtu 9000, and --mtu 1500: a second size for the first wired interface",
        ),
        (NETWORKED, "--address 10.0.0.2/16", "in the image: address 10.0.0.2/24, and --address"),
        ("--bond bond0:eno1,eno2", "--bond bond1:eno2,eno3", "in the image: bond bond0:eno1,eno2"),
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

const NETWORKED: &str = "--address 10.0.0.2/24 --gateway 10.0.0.1 --dns 1.1.1.1 --mtu 9000";

/// What says something of something else, in each position: arguments of some entries, units that are started or not,
/// programs of all machines or of some.
const QUALIFIED: [&str; 17] = [
    "--hostname box --key a.pub",
    "--karg one",
    "--karg two --entry boot-copytoram --entry boot-copytoram-latest_kernel",
    "--karg three --entry NixOS",
    "--karg-delete loglevel=4",
    "--karg-replace loglevel=7 --entry boot-copytoram --entry boot-copytoram-latest_kernel",
    "--unit my.service",
    "--unit my.service --enable",
    "--unit your.service",
    "--unit your.service --enable",
    "--run script",
    "--run another",
    "--run script --run another",
    "--recipe runs-script.toml",
    "--recipe runs-another.toml",
    "--recipe runs-another.toml --run script",
    "--recipe named.toml",
];

/// The entries that the kernel arguments of a line are for; none if it has no arguments.
fn entries_of(line: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let entries = words.windows(2).filter(|pair| pair[0] == "--entry").map(|pair| pair[1]);
    // All entries have this in their titles.
    let some = entries.filter(|entry| *entry != "NixOS").collect();
    line.contains("--karg").then_some(some)
}

/// The programs that a line runs on all machines.
fn runs(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let found = words.windows(2).filter(|pair| pair[0] == "--run").map(|pair| pair[1]);
    found.collect::<BTreeSet<&str>>().into_iter().collect()
}

/// What an edit must be refused with that cannot be had by asking for both.
fn told_of_both(before: &str, added: &str) -> Option<&'static str> {
    if before.contains("--recipe") {
        return Some("for several machines");
    }
    if let (Some(then), Some(now)) = (entries_of(before), entries_of(added))
        && then != now
    {
        return Some("were changed before");
    }
    let again = runs(added);
    if added.contains("--recipe runs") {
        return runs(before).into_iter().find(|run| !again.contains(run)).map(|run| match run {
            "script" => "script runs on all machines",
            _ => "another runs on all machines",
        });
    }
    let is_started = before.contains("--enable") && !added.contains("--enable");
    let again = ["my.service", "your.service"].into_iter();
    let mut again = again.filter(|unit| before.contains(unit) && added.contains(unit));
    again.next().filter(|_| is_started).map(|_| "was enabled before")
}

/// The same at once. What is given again is given once; of units that are started and units that are not, no line says
/// both at once.
fn at_once(before: &str, added: &str) -> Option<String> {
    if before == added {
        return Some(before.to_owned());
    }
    let unit = |line: &str| line.contains("--unit");
    if unit(before) && unit(added) {
        let same = before.split_whitespace().nth(1) == added.split_whitespace().nth(1);
        let alike = before.contains("--enable") == added.contains("--enable");
        return match (same, alike) {
            (true, _) => Some(added.to_owned()),
            (false, true) => Some(format!("{before} {}", added.replace("--enable", ""))),
            (false, false) => None,
        };
    }
    // All entries are chosen without it, and entries are chosen once.
    let mut before = before.replace(" --entry NixOS", "");
    if added.contains("--entry") {
        before = before.split(" --entry").next().unwrap().to_owned();
    }
    let rest = runs(added).iter().fold(before.clone(), |rest, run| {
        let words = format!("--run {run}");
        rest.replace(&words, "")
    });
    Some(format!("{rest} {added}"))
}

/// What is wrong with an image that was stamped with the one and edited with the other.
fn wrong_of(folder: &Folder, before: &str, added: &str) -> Option<String> {
    let old = folder.read("before");
    folder.write("image", &old);
    let ended = edit(folder, added);
    if let Some(told) = told_of_both(before, added) {
        let is_refused = ended.status == 2 && ended.err.contains(told);
        let stays = folder.read("image") == old;
        return (!is_refused || !stays).then(|| format!("not {told:?}: {}", ended.err));
    }
    if ended.status != 0 {
        return Some(ended.err);
    }
    let Some(both) = at_once(before, added) else {
        let shown = folder.run(&["diff", "--all", "base.iso", "image"]).text().to_owned();
        let unit = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
        let is_started = |line: &str| shown.contains(&format!("wants/{}", unit(line)));
        let mut lines = [before, added].into_iter();
        return lines.find(|line| is_started(line) != line.contains("--enable")).map(str::to_owned);
    };
    run(folder, &format!("base.iso -q -f -o at-once {both}")).done();
    let same = folder.read("image") == folder.read("at-once");
    (!same).then(|| folder.run(&["diff", "at-once", "image"]).text().to_owned())
}

#[test]
fn what_says_something_of_something_else_says_it_of_its_own_side_alone() {
    let folder = folder(&TINY);
    let mut faults = Vec::new();
    for before in QUALIFIED {
        run(&folder, &format!("base.iso -q -f -o before {before}")).done();
        for added in QUALIFIED {
            let wrong = wrong_of(&folder, before, added);
            faults.extend(wrong.map(|wrong| format!("{before}, then {added}: {wrong}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_value_that_exists_once_is_changed() {
    let folder = stamped("--hostname old --key a.pub --host-key host");
    folder.write("other", pair(8).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("motd", b"new");
    let ended = edit(&folder, "--hostname new --host-key other --file motd:/etc/motd");
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert!(ended.err.contains("host-key SHA256:"), "{}", ended.err);
    let shown = folder.run(&["inspect", "image"]).done();
    assert!(shown.contains("new") && !shown.contains("old"), "{shown}");
}

/// What was put in before, what is given in its place, and what has the same.
const CHANGED: [(&str, &str, &str); 20] = [
    (
        "--key a.pub --root-password-hash HASH",
        "--no-key",
        "--root-password-hash HASH --ssh-passwords=false --greeting",
    ),
    (
        "--key a.pub --root-password-hash HASH --ssh-passwords",
        "--no-key",
        "--root-password-hash HASH --greeting",
    ),
    ("--key a.pub --host-key host", "--no-key", "--host-key host --ssh-passwords=false"),
    (
        "--key a.pub --greeting=false --ssh-passwords=false",
        "--no-key --hostname box",
        "--hostname box --ssh-passwords=false",
    ),
    ("--key a.pub", "--no-key --host-key host", "--host-key host --ssh-passwords=false"),
    (
        NETWORKED,
        "--dns 1.1.1.1 --dns 8.8.8.8",
        "--dns 1.1.1.1 --dns 8.8.8.8 --address 10.0.0.2/24 --gateway 10.0.0.1 --mtu 9000",
    ),
    ("--announce", "--announce=false --hostname box", "--hostname box"),
    ("--hostname box", "--announce=false --hostname box", "--hostname box"),
    ("--key a.pub --ssh-passwords", "--ssh-passwords=false", "--key a.pub"),
    ("--hostname box --ssh-passwords=false", "--ssh-passwords", "--hostname box"),
    ("--key a.pub --greeting=false", "--greeting", "--key a.pub"),
    ("--hostname box --greeting", "--greeting=false", "--hostname box"),
    ("--serial ttyS0,115200", "--serial ttyS0,9600", "--serial ttyS0,9600"),
    (
        "--serial ttyS1,9600 --serial hvc0 --serial ttyS0",
        "--serial ttyS2 --serial ttyS1",
        "--serial ttyS1 --serial hvc0 --serial ttyS0 --serial ttyS2",
    ),
    ("--unit my.service --enable", "--unit my.service --enable=false", "--unit my.service"),
    ("--unit my.service", "--unit my.service --enable", "--unit my.service --enable"),
    ("--unit odd.service --enable", "--unit odd.service --enable=false", "--unit odd.service"),
    (
        "--unit odd.service --enable --run script",
        "--unit elsewhere/odd.service --enable",
        "--unit elsewhere/odd.service --enable --run script",
    ),
    (
        "--run script --run another",
        "--recipe runs-another.toml --run script --run another",
        "--recipe runs-another.toml --run script --run another",
    ),
    (
        "--root-password-hash HASH",
        "--root-password-prompt=false --hostname box",
        "--root-password-hash HASH --hostname box",
    ),
];

#[test]
fn what_is_given_again_takes_the_place_of_what_was_there_with_all_that_belonged_to_it() {
    let folder = folder(&TINY);
    for (before, added, same) in CHANGED {
        run(&folder, &format!("base.iso -q -f -o image {before}")).done();
        edit(&folder, added).done();
        run(&folder, &format!("base.iso -q -f -o same {same}")).done();
        assert!(
            folder.read("image") == folder.read("same"),
            "{before}, then {added}: {}",
            folder.run(&["diff", "same", "image"]).text()
        );
    }
}

#[test]
fn a_unit_that_is_not_started_any_more_is_reported() {
    let folder = stamped("--unit odd.service --enable");
    let told = edit(&folder, "--unit odd.service --enable=false").err;
    for words in
        ["odd.service was enabled before and is not any more", "other.service is taken out"]
    {
        assert!(told.contains(words), "{told}");
    }
}

/// Switches that are off, and what an image has of which they take something out, if there is such a thing.
const OFF: [(&str, Option<&str>); 12] = [
    ("--enable=false", Some("--unit odd.service --enable")),
    ("--announce=false", Some("--announce --host-key host")),
    ("--merge-initrd=false", Some("--merge-initrd")),
    ("--inject=archive", Some("--inject=credential")),
    ("--path=false", None),
    ("--allow-secrets=false", None),
    ("--wifi-open=false", None),
    ("--wifi-wpa3=false", None),
    ("--wifi-password-prompt=false", None),
    ("--root-password-prompt=false", None),
    ("--nixos-password-prompt=false", None),
    ("--enable=false --path=false", None),
];

#[test]
fn a_switch_that_is_off_takes_out_what_was_on_or_is_refused() {
    for (off, on) in OFF {
        let folder = stamped("--key a.pub --unit my.service");
        let before = folder.read("image");
        edit(&folder, off).refused(2, "would change nothing in the image");
        assert!(folder.read("image") == before, "{off}");
        run(&folder, &format!("edit --in-place base.iso {off}")).refused(2, "nothing in the image");
        for command in ["base.iso -o made", "netboot base.iso -o made", "base.iso -n"] {
            // Without a volume there are no initrds of it to change.
            let is_of_volumes = command.starts_with("netboot") && off.contains("initrd");
            let told =
                if is_of_volumes { "changes menus or a volume" } else { "nothing to put in" };
            run(&folder, &format!("{command} {off}")).refused(2, told);
        }
        edit(&folder, &format!("--hostname box {off}")).done();
        let Some(on) = on else { continue };
        run(&folder, &format!("base.iso -q -f -o image --key a.pub {on}")).done();
        let told = edit(&folder, off).err;
        assert!(told.contains("changed image"), "{off}: {told}");
        let plain = on.replace("--enable", "");
        let plain = if on.starts_with("--unit") { plain } else { String::new() };
        let host = if on.contains("host-key") { "--host-key host" } else { "" };
        run(&folder, &format!("base.iso -q -f -o same --key a.pub {plain} {host}")).done();
        assert!(
            folder.read("image") == folder.read("same"),
            "{off}: {}",
            folder.run(&["diff", "same", "image"]).text()
        );
        edit(&folder, off).refused(2, "would change nothing in the image");
    }
}

#[test]
fn an_edit_that_changes_no_byte_says_so() {
    const STAMPED: &str = "--key a.pub --hostname box";
    for (stamped_with, given) in [
        (STAMPED, "--key a.pub"),
        (STAMPED, "--hostname box"),
        (STAMPED, "--hostname box --path=false"),
        ("--key a.pub --host-key generate", "--key a.pub"),
        ("--key a.pub --host-key generate", "--known-hosts known"),
        ("--key a.pub --host-key generate --announce", "--key a.pub --known-hosts known"),
        ("--key a.pub --root-password-file psk", "--key a.pub"),
        ("--hostname box --karg foo=1", "--karg foo=1"),
        ("--key a.pub --host-key host --sign host", "--known-hosts known"),
        ("--key a.pub --sign host", "--key a.pub"),
        (NETWORKED, "--dns 1.1.1.1"),
        (NETWORKED, NETWORKED),
    ] {
        let folder = folder(&TINY);
        run(&folder, &format!("base.iso -q -o image {stamped_with}")).done();
        let before = folder.read("image");
        let dry = edit(&folder, &format!("{given} -n")).done();
        let is_change = |line: &str| line.starts_with("would ") && !line.contains("known");
        assert!(dry.contains("is as it was") && !dry.lines().any(is_change), "{given}: {dry}");
        let told = edit(&folder, given).err;
        assert!(
            told.contains("image is as it was: what is asked for is in it already"),
            "{given}: {told}"
        );
        assert!(!told.contains("changed") && folder.read("image") == before, "{given}: {told}");
        assert!(!told.contains("was signed"), "{given}: {told}");
        assert_eq!(folder.at("known").exists(), given.contains("known"), "{given}: {told}");
    }
}

#[test]
fn an_image_with_bytes_behind_it_is_not_cut_in_place() {
    for base in [&*TINY, &*SD] {
        let folder = folder(base);
        run(&folder, "base.iso -q -o image --key a.pub").done();
        folder.write("image", &[&folder.read("image"), &b"important notes\n"[..]].concat());
        let before = folder.read("image");
        for line in ["edit --in-place image --hostname x", "reset --in-place image"] {
            run(&folder, line).err_says(2, "image has 16 bytes behind the image that it holds");
            assert!(folder.read("image") == before, "{line}");
        }
        let shown = run(&folder, "inspect image");
        assert!(shown.err.contains("16 bytes stand behind the image"), "{}", shown.err);
        folder.write("image", &before[..before.len() - 16]);
        run(&folder, "edit --in-place image --hostname x").done();
        run(&folder, "reset --in-place image").done();
        assert!(folder.read("image") == folder.read("base.iso"));
    }
}

#[test]
fn bytes_behind_an_image_are_left_out_of_what_is_made_of_it() {
    const BEHIND: &str = "bytes stand behind the image, which ends at byte";
    const LINES: [(&str, &str); 3] = [
        ("base.iso -f -o out", "out"),
        ("flash base.iso --to-file flashed", "flashed"),
        ("stamp base.iso users.csv -f -o batch", "batch/ada.iso"),
    ];
    for base in [&*TINY, &*AARCH64, &*SD] {
        let folder = folder(base);
        folder.write("users.csv", b"name\nada\n");
        // A batch is one of ISOs.
        let lines = if base == &*SD { &LINES[..2] } else { &LINES };
        let made = || {
            lines.iter().map(|(line, out)| {
                let told = run(&folder, &format!("{line} --key a.pub")).err;
                assert!(folder.at(out).exists(), "{line}: {told}");
                (folder.read(out), told)
            })
        };
        let clean: Vec<_> = made().collect();
        let behind = [&vec![0; 3 << 20], &b"SECRET-BEFORE"[..], &vec![0; 5000]].concat();
        folder.write("base.iso", &[base, &behind[..]].concat());
        for ((clean, before), (cut, told)) in clean.into_iter().zip(made()) {
            assert!(clean == cut, "{} {}: {told}", clean.len(), cut.len());
            assert!(told.contains(BEHIND) && !before.contains(BEHIND), "{told}");
        }
        let shown = run(&folder, "inspect base.iso").err;
        assert!(shown.contains(BEHIND), "{shown}");
        run(&folder, "edit --in-place base.iso --hostname x")
            .err_says(2, "bytes behind the image that it holds");
    }
}

#[test]
fn what_holds_by_itself_makes_no_image() {
    let folder = folder(&TINY);
    for given in ["--greeting=false", "--ssh-passwords", "--merge-initrd"] {
        for command in ["base.iso -o made", "edit --in-place base.iso"] {
            run(&folder, &format!("{command} {given}")).refused(2, "nothing to put in");
        }
    }
}

#[test]
fn keys_of_the_image_are_named_by_their_lines() {
    let folder = stamped("--key a.pub --key b.pub");
    for (name, line) in [("a.pub", 1), ("b.pub", 2)] {
        let renamed = String::from_utf8(folder.read(name)).unwrap().replace("@x", "@elsewhere");
        folder.write("again.pub", renamed.as_bytes());
        let told = edit(&folder, "--key again.pub").err;
        let expected =
            format!("again.pub line 1: same key as in the image: key line {line}, dropped");
        assert!(told.contains(&expected), "{told}");
    }
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
    edit(&folder, "--remove-key a.pub --hostname x")
        .refused(2, "or --no-key in place of --remove-key, to take out all keys");
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

#[test]
fn a_key_to_take_out_that_the_image_does_not_let_in_is_named_with_the_file_that_holds_it() {
    let folder = stamped("--key a.pub --hostname box");
    let read = |name: &str| fs::read_to_string(folder.at(name)).unwrap();
    let (a, b, c) = (key_print("a.pub"), key_print("b.pub"), key_print("c.pub"));
    folder.write("bc", (read("b.pub") + &read("c.pub")).as_bytes());
    folder.write("ab.pub", (read("a.pub") + &read("b.pub")).as_bytes());
    // A file of this name is meant, although a key has it for a comment.
    folder.write("key 1 a.pub@x", read("b.pub").as_bytes());
    let absolute = folder.at("b.pub").display().to_string();
    let before = folder.read("image");
    for (given, told) in [
        ("b.pub", format!("b.pub holds {b}, which the image does not let in")),
        ("./b.pub", format!("./b.pub holds {b}, which")),
        (&absolute, format!("{absolute} holds {b}, which")),
        ("bc", format!("bc holds {b}, {c}, which")),
        ("ab.pub", format!("ab.pub holds {b}, which")),
        ("key 1 a.pub@x", format!("key 1 a.pub@x holds {b}, which")),
        (read("b.pub").trim(), format!("the image does not let in the key {b}")),
        ("", "key argument 1: it is empty".to_owned()),
        ("nosuch.pub", "there is no file nosuch.pub".to_owned()),
    ] {
        let ended = folder.run(&["edit", "--in-place", "image", "--remove-key", given]);
        ended.refused(2, &told);
        let hint =
            if given.is_empty() { "hint: " } else { &format!("hint: give one of these: {a}") };
        assert!(ended.err.contains(hint), "{given}: {}", ended.err);
        assert!(folder.read("image") == before, "{given}");
    }
    // Twice is once.
    edit(&folder, "--remove-key a.pub --remove-key a.pub --key b.pub").done();
}

fn key_print(name: &str) -> String {
    let folder = folder(&TINY);
    let text = fs::read_to_string(folder.at(name)).unwrap();
    let key = ssh_key::PublicKey::from_openssh(&text).unwrap();
    key.fingerprint(ssh_key::HashAlg::Sha256).to_string()
}

#[test]
fn keys_on_the_command_line_stay_there_as_long_as_nothing_else_comes() {
    let stays = "the image has its keys on the kernel's command line";
    for added in ["--hostname foo", "--serial ttyS0 --serial ttyS1", "--file script:/opt/x"] {
        let folder = stamped("--key a.pub --inject credential");
        edit(&folder, added).refused(2, stays);
        edit(&folder, added).refused(2, "give --inject=archive: the keys move into files");
        edit(&folder, &format!("{added} --inject archive")).done();
        edit(&folder, &format!("{added} --inject archive --no-key")).done();
    }
    for gone in ["--no-key", "--remove-key a.pub@x"] {
        let folder = stamped("--key a.pub --inject credential");
        edit(&folder, gone).refused(2, "");
    }
    for added in ["--karg foo=1", "--hostname foo"] {
        let folder = stamped("--key a.pub --inject credential");
        edit(&folder, &format!("--no-key {added}")).done();
        folder
            .run(
                &[&["base.iso", "-o", "expected"], &*added.split(' ').collect::<Vec<_>>()].concat(),
            )
            .done();
        assert!(folder.read("image") == folder.read("expected"), "{added}");
    }
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
fn a_signature_that_goes_is_reported() {
    let folder = folder(&TINY);
    folder.run(&["base.iso", "-q", "--key", "a.pub", "--sign", "host", "-o", "image"]).quietly();
    let ended = edit(&folder, "--hostname box");
    assert!(ended.status == 0 && ended.err.contains("was signed"), "{}", ended.err);
    let ended = edit(&folder, "--hostname other --sign host");
    assert!(ended.status == 0 && !ended.err.contains("was signed"), "{}", ended.err);
}

#[test]
fn the_file_of_host_keys_that_an_image_has_is_made_anew_by_an_edit() {
    let folder = Folder::new();
    folder.write("base.iso", &TINY);
    folder.run(&["base.iso", "--key", &key(1), "--host-key", "generate", "-o", "v.iso"]).done();
    folder.run(&["edit", "--in-place", "v.iso", "--known-hosts", "new"]).quietly();
    assert_eq!(folder.read("new"), folder.read("v.iso.known_hosts"));
}

#[test]
fn large_overlays_are_known_by_their_bytes_and_not_by_their_size() {
    let folder = folder(&TINY);
    for (name, byte) in [("one", 7), ("other", 8)] {
        fs::create_dir_all(folder.at(name)).unwrap();
        folder.write(&format!("{name}/{name}"), &vec![byte; 17_000_000]);
    }
    run(&folder, "base.iso -q -o image --overlay one").quietly();
    let before = folder.read("image");
    edit(&folder, "--overlay other").refused(2, "overlay or store ");
    assert!(folder.read("image") == before);
    let again = run(&folder, "image -o again --overlay other").err;
    assert!(again.contains("is not given again: it is taken out"), "{again}");
    let same = run(&folder, "image -o same --overlay one").err;
    assert!(!same.contains("is not given again"), "{same}");
}

#[test]
fn what_says_something_of_networks_is_refused_where_the_image_has_them_and_none_is_given() {
    let folder = stamped("--wifi Home --wifi-password-file psk --wifi-wpa3");
    let before = folder.read("image");
    for asked in ["--wifi-wpa3=false", "--wifi-country DE", "--hostname x --wifi-open=false"] {
        edit(&folder, asked).refused(2, "is for the networks that are given with it");
        assert!(folder.read("image") == before, "{asked}");
    }
    for other in ["--wifi-password-file psk", "--wifi-open"] {
        let ended = edit(&folder, &format!("--wifi Home {other}"));
        ended.err_says(2, "wifi Home (WPA3) was put in before, and cannot be kept");
        assert!(folder.read("image") == before, "{other}");
    }
    edit(&folder, "--wifi Home --wifi-password-file psk --wifi-wpa3 --wifi-country DE").done();
    let shown = run(&folder, "inspect image").done();
    assert!(shown.contains("set: wifi Home (WPA3)\n"), "{shown}");
    let again = run(&folder, "image -o again --wifi Home --wifi-open").err;
    assert!(again.contains("wifi Home (WPA3) is not given again: it is taken out"), "{again}");
}

#[test]
fn a_profile_of_the_users_stays_whatever_its_name() {
    let profile = "/etc/NetworkManager/system-connections/remaster-own.nmconnection";
    let folder = stamped(&format!("--file psk:{profile}:0600 --dns 9.9.9.9"));
    edit(&folder, "--dns 1.1.1.1").done();
    let all = run(&folder, "inspect --all image").done();
    assert!(all.contains(profile), "{all}");
}

#[test]
fn arguments_of_some_entries_stay_however_the_entries_were_called() {
    for before in [
        "--karg x --entry LTS",
        "--karg-delete loglevel=4 --entry copytoram",
        "--karg-replace loglevel=4=6 --entry copytoram",
    ] {
        let folder = stamped(before);
        let kargs = |folder: &Folder| run(folder, "inspect --kargs image").done();
        let old = kargs(&folder);
        edit(&folder, "--hostname box").done();
        assert_eq!(kargs(&folder), old, "{before}");
    }
}

#[test]
fn of_serial_ports_those_that_go_are_named() {
    let folder = stamped("--serial ttyS0,115200 --serial ttyS1,115200");
    let again = |serial: &str| run(&folder, &format!("image -f -o again {serial}")).err;
    let told = "serial ttyS0,115200 is not given again: it is taken out";
    assert!(again("--serial ttyS1,115200").contains(told));
    assert!(!again("--serial ttyS0 --serial ttyS1").contains("not given again"));
    assert!(!again("--serial ttyS0 --serial ttyS2").contains("not given again"));
}

/// What the tiny menus say behind titles of entries in submenus, and official ones do not.
const OPTIONS: [&str; 8] = [
    "Copy ISO files to RAM",
    "No modesetting",
    "Debug console output",
    "Disable display-manager",
    "Rotate framebuffer Clockwise",
    "Rotate framebuffer Upside-Down",
    "Rotate framebuffer Counter-Clockwise",
    "Serial console=ttyS0,115200n8",
];

/// An image with the titles of official ones of 25.05 and later: entries of submenus are called as those outside.
fn as_of_25_05(base: &[u8]) -> Vec<u8> {
    let plain = |text: &str| {
        OPTIONS.iter().fold(text.to_owned(), |text, option| {
            let text = text.replace(&format!(" ({option})'"), "'");
            text.replace(&format!(" ({option})\n"), "\n")
        })
    };
    let image = rewritten(base, GRUB, plain);
    rewritten(&image, BIOS, plain)
}

/// The same with an entry that has an argument twice, as those of isolinux up to 24.11.
fn as_of_24_11(base: &[u8]) -> Vec<u8> {
    let twice =
        |text: &str| text.replace(" debug\n", " loglevel=7\n").replace("MENU LABEL Mem", "#");
    rewritten(&as_of_25_05(base), BIOS, twice)
}

/// A raw image whose entries have one title.
fn of_one_title() -> Vec<u8> {
    let mut image = SD.clone();
    let (old, new) = (b"LABEL NixOS - 1-default\n", b"LABEL NixOS - default\n\n\n");
    let places = image.windows(old.len()).enumerate().filter(|(_, part)| part == old);
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        image[at..at + old.len()].copy_from_slice(new);
    }
    image
}

/// All forms in which something is asked for of menus.
const OF_MENUS: [&str; 22] = [
    "--default-entry nixos-1",
    "--karg x --entry nixos-1",
    "--default-entry copytoram",
    "--default-entry Copy~ISO --name Lab",
    "--default-entry Options~>~Debug",
    "--default-entry Options>Debug",
    "--default-entry nomodeset --timeout 4",
    "--default-entry serial --serial ttyS0,9600",
    "--default-entry latest",
    "--default-entry boot-debug",
    "--name Lab",
    "--karg-replace loglevel=4=7",
    "--karg-replace loglevel=4=7 --entry latest",
    "--karg-replace loglevel=4=7 --karg x=1 --karg-delete nohibernate",
    "--karg-replace loglevel=4=7 --karg-replace fbcon=rotate:1=rotate:0",
    "--karg-replace loglevel=4=\"a=b\"",
    "--karg-replace fbcon=rotate:1=rotate:0 --default-entry Clockwise",
    "--karg x --entry debug",
    "--karg x --entry Copy~ISO --default-entry copytoram",
    "--karg-delete lsm=landlock,yama,bpf",
    "--serial ttyS1,9600 --karg-replace loglevel=4=7",
    "--merge-initrd --default-entry debug",
];

/// The line of `inspect` that names the default.
fn default_shown(folder: &Folder, image: &str) -> String {
    let shown = run(folder, &format!("inspect {image}")).done();
    let lines = shown.lines().filter_map(|line| line.strip_prefix("set: default-entry "));
    lines.collect()
}

#[test]
fn what_was_asked_for_of_menus_is_said_again_by_an_edit_whatever_the_menus() {
    let bases = [as_of_25_05(&TINY), as_of_24_11(&TINY), of_one_title()];
    for (number, base) in bases.iter().enumerate() {
        let folder = folder(base);
        let mut taken = 0;
        // The second base has other arguments.
        for asked in OF_MENUS.into_iter().filter(|asked| number != 1 || asked.contains("replace")) {
            let what = format!("{number}: {asked}");
            let made = run(&folder, &format!("base.iso -q -f -o image {asked} --key a.pub"));
            if made.status != 0 {
                let is_of_base = ["no entry", "several times", "merge-initrd"];
                assert!(
                    is_of_base.iter().any(|why| made.err.contains(why)),
                    "{what}: {}",
                    made.err
                );
                continue;
            }
            taken += 1;
            let menus = || run(&folder, "inspect --kargs image").done();
            let (before, default) = (menus(), default_shown(&folder, "image"));
            let told = edit(&folder, "--hostname box");
            assert_eq!(told.status, 0, "{what}: {}", told.err);
            assert_eq!(
                (menus(), default_shown(&folder, "image")),
                (before, default.clone()),
                "{what}"
            );
            if !default.is_empty() {
                let again = ["base.iso", "-q", "-f", "-o", "image", "--default-entry", &default];
                folder.run(&again).done();
                assert_eq!(default_shown(&folder, "image"), default, "{what}");
            }
        }
        assert!(taken >= [18, 5, 3][number], "{number}: {taken}");
    }
}
