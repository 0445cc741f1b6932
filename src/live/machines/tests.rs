//! What varies from machine to machine, and what is refused.

use super::*;
use crate::live::{Customization, settings};
use crate::recipe;

const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAl85n2WKjh7IlsRKJ6hYPR8AWPFWuRJhzKtg3w",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE+5Wy/UBd5kJPTO3nAClw9lVkZDBYd9XHVgHRsTaoRP",
];

/// What is made of a recipe of this text, in a folder with scripts `all.sh` and `one.sh` and a seed.
fn customization(text: &str) -> Result<Customization> {
    let guard = tempfile::tempdir().unwrap();
    let folder = guard.path();
    for name in ["all.sh", "one.sh"] {
        std::fs::write(folder.join(name), "#!/bin/sh\n").unwrap();
    }
    std::fs::write(folder.join("seed"), (0..40).collect::<Vec<u8>>()).unwrap();
    let path = folder.join("r.toml");
    std::fs::write(&path, text.replace("KEY0", KEYS[0]).replace("KEY1", KEYS[1])).unwrap();
    Customization::from_recipe(&recipe::read(&path)?)
}

fn edits(text: &str, release: (u32, u32)) -> Result<Edits> {
    customization(text)?.edits(&Facts { release, architecture: None, room: None })
}

fn text(edits: &Edits, path: &str) -> String {
    let member = edits.root.get(path).unwrap_or_else(|| panic!("no {path}"));
    let Kind::File(bytes) = &member.kind else { panic!("{path} is not a file") };
    String::from_utf8(bytes.clone()).unwrap()
}

const TWO: &str = "\
key = 'KEY0'\nhostname = 'spare'\nrun = 'all.sh'\n\
[[machine]]\nmac = ['52-54-00-00-00-0A', '52:54:00:00:00:0b']\nhostname = 'one'\naddress = '10.0.0.1/24'\nkey = 'KEY1'\nrun = 'one.sh'\n\
[[machine]]\ndmi-serial = 'ABC 1'\nhostname = 'two'\nhost-key = 'generate'\n";

#[test]
fn each_machine_tells_its_own_fingerprints() {
    let edits = edits(&format!("announce = true\n{TWO}"), (25, 5)).unwrap();
    let told = |number: usize| text(&edits, &format!("{FOLDER}/{number}/etc/remaster/announce"));
    assert_eq!((told(0).as_str(), told(1).as_str()), ("", ""));
    assert!(told(2).starts_with("SHA256:"), "{}", told(2));
    assert_eq!(text(&edits, "etc/remaster/announce"), "");
}

#[test]
fn what_varies_stands_by_for_each_machine_and_the_common_part_is_in_place() {
    let edits = edits(TWO, (25, 5)).unwrap();
    assert_eq!(text(&edits, "etc/remaster/settings"), "hostname=spare\n");
    let of = |number: usize, path: &str| text(&edits, &format!("{FOLDER}/{number}/{path}"));
    let names = [0, 1, 2].map(|number| of(number, "etc/remaster/settings"));
    assert_eq!(names, ["hostname=spare\n", "hostname=one\n", "hostname=two\n"]);
    assert_eq!(of(1, "etc/remaster/network"), "* address 10.0.0.1/24\n");
    assert!(edits.root.get("etc/remaster/network").is_none());
    assert!(of(1, "root/.ssh/authorized_keys").starts_with(KEYS[1]));
    assert!(of(2, "root/.ssh/authorized_keys").starts_with(KEYS[0]));
    assert_eq!(
        text(&edits, &format!("{FOLDER}/list")),
        "1 mac 52:54:00:00:00:0a\n1 mac 52:54:00:00:00:0b\n2 dmi-serial ABC 1\n"
    );
    let paths = text(&edits, &format!("{FOLDER}/paths"));
    assert!(paths.contains("etc/ssh/ssh_host_ed25519_key\n") && !paths.contains(UNITS), "{paths}");
    // What the address of one machine takes is there for all, and waits for the file that not all have.
    for unit in ["remaster-address.service", "remaster-address.service.d/machine.conf"] {
        assert!(edits.root.get(&format!("{UNITS}/{unit}")).is_some(), "{unit}");
    }
    assert!(edits.is_private(), "the host key of one machine is a secret");
}

#[test]
fn a_rack_without_secrets_is_not_private() {
    let text = "key = 'KEY0'\n[[machine]]\nmac = '52:54:00:00:00:0a'\naddress = '10.0.0.1/24'\nkey = 'KEY1'\n";
    for release in [(25, 5), (25, 11)] {
        assert!(!edits(text, release).unwrap().is_private(), "{release:?}");
    }
}

#[test]
fn each_machine_runs_its_own_and_the_others_what_is_for_all() {
    let edits = edits(TWO, (25, 11)).unwrap();
    let unit = |name: &str| text(&edits, &format!("{UNITS}/remaster-run-{name}.service"));
    assert!(unit("all").contains("ConditionPathExists=!/run/remaster/machine/1\n"));
    assert!(!unit("all").contains("machine/2"));
    assert!(unit("one").contains("ConditionPathExists=|/run/remaster/machine/1\n"));
}

#[test]
fn machines_are_reported_as_a_recipe_names_them() {
    let edits = edits(TWO, (25, 11)).unwrap();
    let root: Vec<&Member> = edits.root.members().collect();
    let told: Vec<String> =
        settings(&root).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    assert_eq!(told[0], "hostname spare");
    let start = "machine mac=52:54:00:00:00:0a mac=52:54:00:00:00:0b hostname=one address=10.0.0.1/24 key=SHA256:";
    assert!(told[1].starts_with(start) && told[1].ends_with(" run=one"), "{told:?}");
    assert!(told[2].starts_with("machine dmi-serial=ABC 1 hostname=two "), "{told:?}");
    assert!(told[2].contains(" host-key=SHA256:"), "{told:?}");
}

#[test]
fn a_seed_gives_each_machine_its_own_host_key_and_the_same_each_time() {
    let text = "key = 'KEY0'\nhost-key-seed = 'seed'\n[[machine]]\nmac = '52:54:00:00:00:0a'\nhost-key = 'generate'\n[[machine]]\nmac = '52:54:00:00:00:0b'\nhost-key = 'generate'\n";
    let keys = || {
        let customization = customization(text).unwrap();
        let keys = customization.all_host_keys().map(|found| found.keys[0].fingerprint.clone());
        keys.collect::<Vec<_>>()
    };
    let found = keys();
    assert!(found.len() == 2 && found[0] != found[1]);
    assert_eq!(keys(), found);
}

#[test]
fn machines_that_cannot_be_told_apart_or_get_nothing_are_refused_with_their_place() {
    let mac = "mac = '52:54:00:00:00:0a'\n";
    let table = |text: &str| format!("key = 'KEY0'\n[[machine]]\n{text}");
    let twice = format!("{mac}hostname = 'a'\n[[machine]]\n{mac}hostname = 'b'\n");
    let named = format!("{mac}hostname = 'a'\n[[machine]]\ndmi-serial = 'X1'\nhostname = 'a'\n");
    for (text, place, what) in [
        (table("hostname = 'a'\n"), "2:1: machine", "does not say which machine"),
        (table(mac), "2:1: machine", "gets nothing of its own"),
        (table("mac = '52:54'\nhostname = 'a'\n"), "2:1: machine", "not the MAC address"),
        (
            table("mac = 'ff:ff:ff:ff:ff:ff'\nhostname = 'a'\n"),
            "2:1: machine",
            "not the MAC address",
        ),
        (table("dmi-serial = 'Default string'\nhostname = 'a'\n"), "2:1: machine", "many machines"),
        (table("dmi-serial = ' x'\nhostname = 'a'\n"), "2:1: machine", "not a DMI serial"),
        (table(&twice), "5:1: machine", "another machine has the mac 52:54:00:00:00:0a"),
        (table(&named), "7:12: hostname", "another machine is called a"),
        (table(&format!("{mac}hostname = 'a.b'\n")), "4:12: hostname", "a name with a domain"),
        (table(&format!("{mac}address = 'wifi=10.0.0.1/8'\n")), "4:11: address", "the same on all"),
        (table(&format!("{mac}key = '-'\n")), "4:7: key", "not for one machine"),
        (table(&format!("{mac}key = 'gh:alice'\n")), "4:7: key", "not for one machine"),
        (table("hostnam = 'a'\n"), "3:1", "unknown key `hostnam`"),
        (
            format!("inject = 'credential'\n{}", table(&format!("{mac}hostname = 'a'\n"))),
            "3:1: machine",
            "does not work with",
        ),
        (
            format!("reproducible = true\n{}", table(&format!("{mac}host-key = 'generate'\n"))),
            "3:1: machine",
            "would be random",
        ),
        (
            format!(
                "file = 'seed:/etc/remaster/network'\n{}",
                table(&format!("{mac}address = '10.0.0.1/8'\n"))
            ),
            "",
            "/etc/remaster/network",
        ),
    ] {
        let fault = edits(&text, (25, 11)).unwrap_err();
        let shown = fault.to_string();
        assert!(shown.contains(&format!("{place}: ")) || place.is_empty(), "{place} in {shown}");
        assert!(shown.contains(what), "{what} in {shown}");
        assert!(matches!(fault, crate::error::Error::Recipe { .. }), "{fault:?}");
    }
}
