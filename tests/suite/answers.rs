//! `inspect` answers first who may log in, what is set and what is secret; what is put in says the same when it is done.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::netboot::kexec;
use crate::support::{Folder, SD, SYSTEMD, TINY, key};

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("sd.img", &SD);
    folder.write("systemd.iso", &SYSTEMD);
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

/// What keeps people out who have a key: flags for it, and how it is told.
const OBSTACLES: [(&[&str], &str); 12] = [
    (
        &["--karg", "systemd.mask=sshd.service"],
        "nobody, as the kernel argument `systemd.mask=sshd.service` keeps",
    ),
    (
        &["--karg", "systemd.unit=emergency.target"],
        "nobody, as the kernel argument `systemd.unit=emergency.target` starts emergency.target, and that no sshd",
    ),
    (
        &["--karg", "systemd.unit=rescue.target"],
        "nobody, as the kernel argument `systemd.unit=rescue.target`",
    ),
    (
        &["--karg", "emergency"],
        "nobody, as the kernel argument `emergency` starts emergency.target",
    ),
    (&["--karg", "rescue"], "nobody, as the kernel argument `rescue`"),
    (&["--karg", "single"], "nobody, as the kernel argument `single` starts rescue.target"),
    (&["--karg", "1"], "nobody, as the kernel argument `1` starts rescue.target"),
    (
        &["--unit", "sshd.service"],
        "only if /etc/systemd/system.control/sshd.service starts sshd: it stands in place of the sshd.service of NixOS",
    ),
    (
        &["--file", "empty:/etc/systemd/system.control/sshd.service"],
        "nobody, as /etc/systemd/system.control/sshd.service masks sshd.service",
    ),
    (&["--file", "empty:/etc/nologin"], "root alone, as /etc/nologin keeps out everybody but root"),
    (&["--overlay", "tree"], "root alone, as /etc/nologin keeps out everybody but root"),
    (&["--karg", "systemd.mask=other.service"], ""),
];

#[test]
fn what_keeps_the_holders_of_keys_out_is_said_instead_of_success() {
    let folder = folder();
    folder.write("tiny-systemd.iso", &SYSTEMD);
    folder.write(
        "sshd.service",
        b"[Service]\nExecStart=/bin/sh\n[Install]\nWantedBy=multi-user.target\n",
    );
    folder.write("empty", b"");
    std::fs::create_dir_all(folder.at("tree/etc")).unwrap();
    folder.write("tree/etc/nologin", b"");
    folder.run(&["base.iso", "--key", "key.pub", "-o", "a.iso"]).done();
    let stamped = folder.read("a.iso");
    let commands: [(&[&str], &str); 6] = [
        (&["base.iso", "--key", "key.pub", "-f", "-o", "out.iso"], "out.iso"),
        (&["tiny-systemd.iso", "--key", "key.pub", "-f", "-o", "out.iso"], "out.iso"),
        (&["sd.img", "--key", "key.pub", "-f", "-o", "out.img"], "out.img"),
        (&["edit", "--in-place", "e.iso"], "e.iso"),
        (&["netboot", "base.iso", "--key", "key.pub", "-f", "-o", "nb"], "nb"),
        (&["kexec.tar", "--key", "key.pub", "-f", "-o", "out.tar"], "out.tar"),
    ];
    for (flags, words) in OBSTACLES {
        for (command, image) in commands {
            folder.write("e.iso", &stamped);
            let made = folder.run(&[command, flags].concat());
            assert_eq!(made.status, 0, "{command:?} {flags:?}: {}", made.err);
            let shown = folder.run(&["inspect", image]).done();
            let both = "ssh login: root and nixos with ";
            let may_be = words.is_empty() || words.starts_with("only if");
            assert_eq!(shown.contains(both), may_be, "{command:?} {flags:?}: {shown}");
            let is_nobody = words.starts_with("nobody");
            assert_eq!(
                shown.contains("key that lets nobody in: "),
                is_nobody,
                "{flags:?}: {shown}"
            );
            let accepts = made.err.contains("accepts the key for root and nixos");
            assert!(!accepts || words.is_empty(), "{command:?} {flags:?}: {}", made.err);
            for told in [&made.err, &shown].into_iter().filter(|_| !words.is_empty()) {
                assert!(
                    told.contains(&format!("ssh login: {words}")),
                    "{command:?} {flags:?}: {told}"
                );
            }
        }
    }
    // An entry is left that lets in.
    let some = ["--entry", "copytoram", "--karg", "systemd.unit=rescue.target"];
    let made =
        folder.run(&[&["base.iso", "--key", "key.pub", "-f", "-o", "out.iso"][..], &some].concat());
    assert!(made.err.contains("accepts the key for root and nixos"), "{}", made.err);
    let shown = folder.run(&["inspect", "out.iso"]).done();
    assert!(shown.contains("ssh login: root and nixos with "), "{shown}");
}

/// What keeps people out in some entries or in all: flags for it, and how it is told.
const IN_ENTRIES: [(&[&str], &str); 4] = [
    (
        &["--entry", "Installer", "--karg", "systemd.mask=sshd.service"],
        "nobody, as the kernel argument `systemd.mask=sshd.service` keeps",
    ),
    (
        &["--entry", "Copy ISO", "--default-entry", "Copy ISO", "--karg", "rescue"],
        "nobody with the entry \"Options > Copy ISO",
    ),
    (&["--default-entry", "Copy ISO", "--entry", "Rotate", "--karg", "rescue"], ""),
    (&["--entry", "Copy ISO", "--karg", "rescue"], ""),
];

#[test]
fn what_is_said_before_is_what_is_found_in_the_menus() {
    let folder = folder();
    folder.write("tiny-systemd.iso", &SYSTEMD);
    folder.write("users.csv", b"name,key\nbox,key.pub\n");
    folder.run(&["base.iso", "--key", "key.pub", "-o", "a.iso"]).done();
    let stamped = folder.read("a.iso");
    // A menu that keeps sshd off by itself, in letters that take as many bytes.
    folder.write("own.iso", &replaced(&folder.read("base.iso"), b"loglevel=4", b"emergency "));
    let commands: [(&[&str], &str); 5] = [
        (&["base.iso", "--key", "key.pub", "-f", "-o", "out.iso"], "out.iso"),
        (&["tiny-systemd.iso", "--key", "key.pub", "-f", "-o", "out.iso"], "out.iso"),
        (&["edit", "--in-place", "e.iso"], "e.iso"),
        (&["flash", "base.iso", "--to-file", "f.iso", "--key", "key.pub"], "f.iso"),
        (&["stamp", "base.iso", "users.csv", "--skip-existing", "-o", "out"], "out/box.iso"),
    ];
    let netboot: &[&str] = &["netboot", "base.iso", "--key", "key.pub", "-f", "-o", "nb"];
    let both = "ssh login: root and nixos with ";
    let told = |command: &[&str], image: &str, words: &str| {
        folder.write("e.iso", &stamped);
        let _ = (fs::remove_dir_all(folder.at("out")), fs::remove_file(folder.at("f.iso")));
        let made = folder.run(command);
        assert_eq!(made.status, 0, "{command:?}: {}", made.err);
        let shown = folder.run(&["inspect", image]).done();
        let is_nobody = words.starts_with("nobody, ");
        assert_eq!(shown.contains(both), !is_nobody, "{command:?}: {shown}");
        let accepts = made.err.contains("accepts the key for root and nixos");
        assert!(!accepts || words.is_empty(), "{command:?}: {}", made.err);
        let batch = words.replacen("nobody", "nobody can log in over ssh", 1);
        for (text, words) in [
            (&shown, format!("ssh login: {words}")),
            (&made.err, if command[0] == "stamp" { batch } else { format!("ssh login: {words}") }),
        ] {
            let is_said = words.ends_with(": ") || words.is_empty() || text.contains(&words);
            assert!(is_said, "{command:?}: {words}: {text}");
            let said = text.contains("ssh login: nobody") || text.contains("nobody can log in");
            assert_eq!(said, words.contains("nobody"), "{command:?}: {text}");
        }
    };
    for (flags, words) in IN_ENTRIES {
        for (command, image) in commands {
            told(&[command, flags].concat(), image, words);
        }
    }
    let [(all, words), (by_itself, _), ..] = IN_ENTRIES;
    told(&[netboot, all].concat(), "nb", words);
    told(&[netboot, by_itself].concat(), "nb", "nobody, as the kernel argument `rescue`");
    // What the base had counts, too: in its menus and in its scripts.
    let words = "nobody, as the kernel argument `emergency`";
    told(&["own.iso", "--key", "key.pub", "-f", "-o", "out.iso"], "out.iso", words);
    told(&["netboot", "own.iso", "--key", "key.pub", "-f", "-o", "nb"], "nb", words);
    folder.run(&["netboot", "own.iso", "-f", "-o", "own"]).done();
    told(&["netboot", "own", "--key", "key.pub", "-f", "-o", "nb"], "nb", words);
    folder.write("own.tar", &replaced(&folder.read("kexec.tar"), b"'loglevel=4'", b"'emergency' "));
    told(&["own.tar", "--key", "key.pub", "-f", "-o", "out.tar"], "out.tar", words);
    told(&["netboot", "own.tar", "--key", "key.pub", "-f", "-o", "nb"], "nb", words);
}

/// Bytes with as many others in their place.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = |bytes: &[u8]| bytes.windows(old.len()).position(|part| part == old);
    while let Some(at) = at(&bytes) {
        bytes[at..at + old.len()].copy_from_slice(new);
    }
    bytes
}

#[test]
fn a_password_that_is_locked_is_no_login() {
    let folder = folder();
    fs::create_dir_all(folder.at("over/etc")).unwrap();
    let hash = format!("$6$saltsalt${}", "x".repeat(86));
    for (shadow, logins) in [
        ("root:!:1::::::\nnixos:*:1::::::\n".to_owned(), "nobody"),
        (format!("root:!{hash}:1::::::\nnixos:x:1::::::\n"), "nobody"),
        (format!("alice:{hash}:1::::::\n"), "nobody"),
        (format!("root:{hash}:1::::::\nnixos:!:1::::::\n"), "root with a password"),
    ] {
        folder.write("over/etc/shadow", shadow.as_bytes());
        fs::set_permissions(folder.at("over/etc/shadow"), fs::Permissions::from_mode(0o600))
            .unwrap();
        let made = folder.run(&["base.iso", "-f", "-o", "a.iso", "--overlay", "over"]);
        let text = folder.run(&["inspect", "a.iso"]).done();
        assert!(text.contains(&format!("ssh login: {logins}")), "{shadow}: {text}");
        assert_eq!(made.err.contains("ssh login: nobody"), logins == "nobody", "{}", made.err);
        assert!(text.contains("file: /etc/shadow\n") && !text.contains("alice-"), "{text}");
        folder.run(&["edit", "--in-place", "a.iso", "--hostname", "box"]).done();
        let text = folder.run(&["inspect", "a.iso"]).done();
        assert!(text.contains(&format!("ssh login: {logins}")), "{shadow}: {text}");
    }
}

/// Files that are called as those of settings are, and that no setting makes.
const NAMED_LIKE_OURS: [&str; 9] = [
    "etc/profiles/per-user/root/bin/ls",
    "etc/NetworkManager/dispatcher.d/remaster-evil",
    "etc/NetworkManager/conf.d/remaster-other.conf",
    "etc/remaster/evil",
    "etc/remaster/settings.sh",
    "etc/ssh/ssh_host_foo_key.pub",
    "etc/ssh/remaster_other",
    "etc/systemd/system.control/remaster-backdoor.service",
    "etc/modprobe.d/remaster-own.conf",
];

#[test]
fn only_what_a_setting_wrote_is_told_by_its_name() {
    let folder = folder();
    for path in NAMED_LIKE_OURS {
        let path = format!("over/{path}");
        fs::create_dir_all(folder.at(&path).parent().unwrap()).unwrap();
        folder.write(&path, b"[Service]\nExecStart=/bin/sh -c id\n");
    }
    let want = folder.at("over/etc/systemd/system.control/multi-user.target.wants");
    fs::create_dir_all(&want).unwrap();
    std::os::unix::fs::symlink(
        "../remaster-backdoor.service",
        want.join("remaster-backdoor.service"),
    )
    .unwrap();
    for base in ["base.iso", "sd.img"] {
        let given = ["-f", "-o", "a.iso", "--key", "key.pub", "--dns", "9.9.9.9"];
        let made = folder.run(&[&[base, "--overlay", "over"], &given[..]].concat());
        let text = folder.run(&["inspect", "a.iso"]).done();
        let again = folder.run(&[&["a.iso"], &given[..2], &["b.iso"], &given[3..]].concat());
        let link = "etc/systemd/system.control/multi-user.target.wants/remaster-backdoor.service";
        for path in NAMED_LIKE_OURS.iter().chain([&link]) {
            for told in [&made.err, &text] {
                assert!(told.contains(&format!("file: /{path}\n")), "{base} {path}: {told}");
            }
            let gone = format!("file /{path} is not given again: it is taken out");
            assert!(again.err.contains(&gone), "{base} {path}: {}", again.err);
        }
    }
}

#[test]
fn files_of_settings_are_told_by_their_settings_alone() {
    let folder = folder();
    folder.write("psk", b"secretpass\n");
    folder.write("seed", &(0..64).collect::<Vec<u8>>());
    folder.write("run.sh", b"#!/bin/sh\ntrue\n");
    folder.write("store.squashfs", include_bytes!("../golden/inputs/store.squashfs"));
    folder.write(
        "m.toml",
        b"[[machine]]\nmac = '52:54:00:12:34:56'\nhostname = 'one'\naddress = '10.0.0.9/24'\nhost-key = 'generate'\n[[machine]]\ndmi-serial = 'B'\nhostname = 'two'\n",
    );
    let rows = [
        "--hostname box --timezone UTC --keymap de --announce --greeting",
        "--key key.pub --host-key generate --host-key generate:rsa --ssh-passwords=false",
        "--address 10.0.0.5/24 --address eno1=10.1.0.5/24 --mtu eno2=1400 --dns 9.9.9.9",
        "--bond bond0:eno1,eno2 --address bond0.20=10.1.0.5/24",
        "--wifi a --wifi b --wifi-password-file psk --wifi-open --wifi-country DE --address wifi=10.2.0.5/24",
        "--nixos-password-file psk --serial ttyS0 --serial ttyS1",
        "--recipe m.toml --key key.pub --announce",
        "--recipe m.toml --announce --hostname all --host-key generate",
    ];
    for row in rows {
        for base in ["base.iso", "systemd.iso", "sd.img"] {
            let given: Vec<&str> = row.split(' ').collect();
            let made = folder.run(&[&[base, "-f", "-o", "a.iso"], &given[..]].concat());
            assert_eq!(made.status, 0, "{base} {row}: {}", made.err);
            let text = folder.run(&["inspect", "a.iso"]).done();
            assert!(!text.contains("\nfile: "), "{base} {row}: {text}");
        }
    }
    for row in ["--run run.sh --script run.sh", "--store store.squashfs --path"] {
        let given: Vec<&str> = row.split(' ').collect();
        folder.run(&[&["base.iso", "-f", "-o", "a.iso"], &given[..]].concat()).done();
        let text = folder.run(&["inspect", "a.iso"]).done();
        let files: Vec<&str> = text.lines().filter(|line| line.starts_with("file: ")).collect();
        let expected: &[&str] = if row.contains("script") {
            &["file: /opt/remaster/bin/run.sh", "file: /opt/remaster/run/run.sh"]
        } else {
            &[]
        };
        assert_eq!(files, expected, "{row}");
    }
}

#[test]
fn what_of_stamping_is_set_is_told_by_inspect() {
    let folder = folder();
    folder.write("store.squashfs", include_bytes!("../golden/inputs/store.squashfs"));
    for (given, told) in [
        ("--karg only=1", "set: karg only=1\n"),
        (
            "--karg only=1 --entry nomodeset",
            "set: karg only=1 in 2 of 54 entries (boot-nomodeset, …)\n",
        ),
        ("--karg-delete loglevel=4", "set: karg-delete loglevel=4\n"),
        ("--store store.squashfs --path", "set: path true\n"),
        ("--hostname box --merge-initrd", "set: merge-initrd true\n"),
    ] {
        let words: Vec<&str> = given.split(' ').collect();
        folder.run(&[&["base.iso", "-f", "-o", "a.iso"], &words[..]].concat()).done();
        let text = folder.run(&["inspect", "a.iso"]).done();
        assert!(text.contains(told), "{given}: {text}");
        let others = ["path true", "merge-initrd"].iter().filter(|other| !told.contains(**other));
        others.for_each(|other| assert!(!text.contains(other), "{given}: {text}"));
    }
}

#[test]
fn no_login_follows_an_image_that_lets_nobody_in() {
    let folder = folder();
    folder.write("d", b"");
    let commands: [&[&str]; 5] = [
        &["base.iso", "-f", "-o", "a.iso"],
        &["sd.img", "-f", "-o", "a.img"],
        &["netboot", "base.iso", "-f", "-o", "nb"],
        &["flash", "base.iso", "--to-file", "d"],
        &["edit", "--in-place", "a.iso"],
    ];
    for (key, logs_in) in [(&[][..], false), (&["--key", "key.pub"], true)] {
        for command in commands {
            let made = folder.run(&[command, &["--host-key", "generate"], key].concat());
            assert_eq!(made.status, 0, "{command:?}: {}", made.err);
            assert_eq!(made.err.contains("once booted: "), logs_in, "{command:?}: {}", made.err);
        }
    }
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

/// What two images have, and the lines by which `diff` tells it on one screen.
const DIFFER: &[(&[&str], &[&str], &[&str])] = &[
    (
        &["--key", "key.pub"],
        &["--key", "other.pub"],
        &["ssh login:\n  - root and nixos with ssh-ed25519 SHA256:", "\n  + root and nixos with "],
    ),
    (
        &["--key", "key.pub"],
        &["--hostname", "h"],
        &["\n  - root and nixos with ", "nobody may log in to b\n"],
    ),
    (
        &["--hostname", "one", "--karg", "a=b"],
        &["--hostname", "two", "--karg", "c=d", "--timezone", "UTC"],
        &[
            "ssh login: the same\n",
            "\n  ~ hostname: one -> two\n",
            "\n  ~ karg: a=b -> c=d\n",
            "\n  + timezone UTC\n",
        ],
    ),
    (
        &["--karg", "only=1", "--entry", "boot-nomodeset"],
        &["--hostname", "h"],
        &["\n  - karg only=1 in 2 of 54 entries ("],
    ),
    (
        &["--wifi", "net", "--wifi-password-file", "password"],
        &["--hostname", "h"],
        &["\n  - wifi net (WPA2)\n", "secrets:\n  - /etc/"],
    ),
    (
        &["--wifi", "net", "--wifi-password-file", "password"],
        &["--wifi", "net", "--wifi-password-file", "word"],
        &["settings: the same\n", "secrets:\n  ~ /etc/", ": another one\n"],
    ),
    (
        &["--karg", "my.passwd=correct"],
        &["--karg", "my.passwd=battery"],
        &["settings: the same\n", "secrets:\n  ~ karg my.passwd=…: another one\n"],
    ),
    (
        &["--hostname", "h"],
        &["--root-password-file", "password", "--ssh-passwords"],
        &["\n  + root with a password\n", "\n  + /etc/shadow\n", "nobody may log in to a\n"],
    ),
    // The name stands in front of every title: the entries are the same.
    (
        &["--name", "Alpha"],
        &["--name", "Beta"],
        &["  ~ name: Alpha -> Beta\n", "different: 5 files on the volume, "],
    ),
    (
        &["--hostname", "h"],
        &["--hostname", "h", "--name", "Beta"],
        &["  + name Beta\n", "checks: all ok in both\n"],
    ),
];

#[test]
fn a_diff_answers_first_on_one_screen() {
    let folder = folder();
    folder.write("other.pub", key(2).as_bytes());
    folder.write("password", b"correct horse\n");
    folder.write("word", b"battery staple\n");
    for (before, after, lines) in DIFFER {
        for (name, flags) in [("a", before), ("b", after)] {
            folder.run(&[&["base.iso", "-f", "-o", name], &flags[..]].concat()).done();
        }
        let [text, json] = [&["diff", "a", "b"][..], &["diff", "a", "b", "--json"]].map(|line| {
            let ended = folder.run(line);
            assert_eq!(ended.status, 1, "{before:?}, {after:?}: {}", ended.err);
            ended.text().to_owned()
        });
        assert!(text.starts_with("release: NixOS ") && text.lines().count() <= 24, "{text}");
        for line in *lines {
            assert!(text.contains(line), "{before:?}, {after:?}: {line:?}: {text}");
        }
        let own = folder.run(&["diff", "b"]).text().to_owned();
        assert!(!own.contains("log in to b"), "{own}");
        let same = |what: &str| text.contains(&format!("\n{what}: the same\n"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for (what, list) in [("settings", &json["settings"]), ("ssh login", &json["keys"])] {
            let none = serde_json::json!({ "removed": [], "added": [] });
            assert!(*list != none || same(what) || what == "ssh login", "{what}: {text}");
            assert!(*list == none || !same(what), "{what}: {text}");
        }
        assert_eq!(json["secrets"] == serde_json::json!([]), same("secrets"), "{text}");
        for secret in ["correct", "battery"] {
            assert!(!text.contains(secret) && !json.to_string().contains(secret), "{text}");
        }
    }
}

#[test]
fn images_of_two_names_have_the_same_entries() {
    let folder = folder();
    for base in ["base.iso", "systemd.iso", "sd.img"] {
        for name in ["Alpha", "Beta"] {
            folder.run(&[base, "--key", "key.pub", "--name", name, "-f", "-o", name]).done();
        }
        let ended = folder.run(&["diff", "--json", "Alpha", "Beta"]);
        let json: serde_json::Value = serde_json::from_slice(&ended.out).unwrap();
        assert_eq!(json["menus"], serde_json::json!([]), "{base}");
        assert_eq!(json["settings"]["added"][0]["value"], "Beta", "{base}");
    }
}
