//! Host keys and passwords: where they go, and that they are shown nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use ssh_key::{HashAlg, LineEnding};

use crate::support::{Ended, Folder, TINY, assert_same, key, pair};

const PASSWORD: &str = "correct horse";
const HASH: &str = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

/// A folder with the tiny image, a key, a host key, a seed and a password.
fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("host", pair(7).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("seed", &(0..40).collect::<Vec<u8>>());
    folder.write("password", format!("{PASSWORD}\n").as_bytes());
    folder
}

fn mode(folder: &Folder, name: &str) -> u32 {
    fs::metadata(folder.at(name)).unwrap().permissions().mode() & 0o777
}

/// The program under a umask.
fn run_under(folder: &Folder, umask: &str, arguments: &[&str]) -> Ended {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask \"$0\"; exec \"$@\"", umask, env!("CARGO_BIN_EXE_remaster")]);
    Ended::from(command.args(arguments).current_dir(folder.path()).output().unwrap())
}

#[test]
fn images_with_secrets_are_for_their_owner_alone() {
    let folder = folder();
    let secret = ["base.iso", "--host-key", "host", "-f", "-o", "a.iso"];
    for umask in ["000", "022", "277"] {
        folder.write("a.iso", b"old");
        fs::set_permissions(folder.at("a.iso"), fs::Permissions::from_mode(0o644)).unwrap();
        let ended = run_under(&folder, umask, &secret);
        assert_eq!(ended.status, 0, "{}", ended.err);
        assert_eq!((mode(&folder, "a.iso"), mode(&folder, "a.iso.known_hosts")), (0o600, 0o644));
    }
    let hash = ["base.iso", "--root-password-hash", HASH, "-o", "b.iso"];
    assert_eq!(run_under(&folder, "022", &hash).status, 0);
    assert_eq!(mode(&folder, "b.iso"), 0o600);
    assert_eq!(
        run_under(&folder, "022", &["base.iso", "--key", "key.pub", "-o", "c.iso"]).status,
        0
    );
    assert_eq!(mode(&folder, "c.iso"), 0o644);
    let flash = ["flash", "base.iso", "--host-key", "host", "--file", "d.img"];
    folder.write("d.img", b"");
    run_under(&folder, "022", &flash);
    assert_eq!(mode(&folder, "d.img"), 0o600);
}

#[test]
fn the_client_gets_what_it_needs() {
    let folder = folder();
    let print = pair(7).fingerprint(HashAlg::Sha256).to_string();
    let ended = folder.run(&["base.iso", "--host-key", "host", "--key", "key.pub", "-o", "a.iso"]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    let known = String::from_utf8(folder.read("a.iso.known_hosts")).unwrap();
    let (alias, rest) = known.split_once(' ').unwrap();
    assert!(pair(7).public_key().to_openssh().unwrap().starts_with(rest.trim()));
    assert!(ended.err.contains(&print), "{}", ended.err);
    let command =
        format!("ssh -o UserKnownHostsFile=a.iso.known_hosts -o HostKeyAlias={alias} root@ADDRESS");
    assert!(ended.err.contains(&command), "{}", ended.err);
    // A pipe has no place for a file, but it may be given one.
    let ended = folder.run(&["base.iso", "--host-key", "host", "-o", "-"]);
    assert!(ended.err.contains(&known) && ended.err.contains(&print), "{}", ended.err);
    folder
        .run(&["base.iso", "--host-key", "host", "-q", "-o", "-", "--known-hosts", "k"])
        .quietly();
    assert_eq!(folder.read("k"), known.as_bytes());
    let ended =
        folder.run(&["base.iso", "--host-key", "host", "-q", "-o", "b.iso", "--known-hosts", "k"]);
    ended.refused(2, "k already exists");
    folder
        .run(&["base.iso", "--key", "key.pub", "-o", "b.iso", "--known-hosts", "n"])
        .refused(2, "without a host key");
    assert!(!folder.names().contains(&"b.iso".to_owned()));
}

/// Every command that puts something in, with an output.
const COMMANDS: [&[&str]; 8] = [
    &["base.iso", "-n"],
    &["base.iso", "-o", "out"],
    &["base.iso", "--as", "patch", "-o", "out"],
    &["edit", "--in-place", "copy.iso"],
    &["flash", "base.iso", "--file", "out"],
    &["netboot", "base.iso", "-o", "out"],
    &["stamp", "base.iso", "users.toml", "-o", "out"],
    &["stamp", "base.iso", "users.toml", "--as", "oci", "-o", "out"],
];

#[test]
fn known_hosts_is_refused_by_every_command_that_puts_no_host_key_in() {
    let folder = folder();
    folder.write("copy.iso", &TINY);
    folder.write("users.toml", b"[[user]]\nname = 'a'\nhostname = 'a'\n");
    let before = folder.names();
    for command in COMMANDS {
        for more in [&["--known-hosts", "k"][..], &["--known-hosts", "k", "--key", "key.pub"]] {
            let ended = folder.run(&[command, more].concat());
            ended.refused(2, "--known-hosts without a host key");
        }
        assert_eq!(folder.names(), before, "{command:?}");
    }
    assert_same("copy.iso", &folder.read("copy.iso"), &TINY);
    folder.run(&["edit", "--recover", "copy.iso", "--key", "key.pub"]).refused(2, "nothing else");
}

#[test]
fn known_hosts_is_written_by_every_command_that_puts_a_host_key_in() {
    let host = pair(7).public_key().key_data().clone();
    for command in COMMANDS.iter().filter(|command| **command != ["base.iso", "-n"]) {
        let folder = folder();
        folder.write("copy.iso", &TINY);
        folder.write("users.toml", b"[[user]]\nname = 'a'\nkey = 'key.pub'\n");
        let flags = ["--host-key", "host", "--known-hosts", "k"];
        let ended = folder.run(&[command, &flags[..]].concat());
        assert_eq!(ended.status, 0, "{command:?}: {}", ended.err);
        let text = String::from_utf8(folder.read("k")).unwrap();
        let known: ssh_key::known_hosts::Entry = text.trim().parse().unwrap();
        assert_eq!(known.public_key().key_data(), &host, "{command:?}");
        let again = folder.run(&[command, &flags[..], &["--greeting=false"]].concat());
        assert_eq!(again.status, 2, "{command:?}: {}", again.err);
        assert!(again.err.contains(" already"), "{command:?}: {}", again.err);
        assert_eq!(folder.read("k"), text.as_bytes(), "{command:?}");
    }
}

#[test]
fn an_edit_renews_the_known_hosts_file_beside_the_image() {
    let folder = folder();
    folder.run(&["base.iso", "--host-key", "generate", "-q", "-o", "a.iso"]).quietly();
    let before = folder.read("a.iso.known_hosts");
    folder.run(&["edit", "--in-place", "a.iso", "--host-key", "host", "-q"]).quietly();
    let after = String::from_utf8(folder.read("a.iso.known_hosts")).unwrap();
    assert!(after.as_bytes() != before);
    let host = pair(7).public_key().to_openssh().unwrap();
    assert!(host.starts_with(after.split_once(' ').unwrap().1.trim()), "{after}");
    assert_eq!(mode(&folder, "a.iso.known_hosts"), 0o644);
}

#[test]
fn a_seed_makes_images_reproducible() {
    let folder = folder();
    let flags =
        ["--host-key", "generate", "--host-key-seed", "seed", "--root-password-file", "password"];
    for name in ["a.iso", "b.iso"] {
        folder.run(&[&["base.iso", "-q", "-o", name], &flags[..]].concat()).quietly();
    }
    assert_same("seeded", &folder.read("a.iso"), &folder.read("b.iso"));
    let known = |name: &str| folder.read(&format!("{name}.known_hosts"));
    assert_eq!(known("a.iso"), known("b.iso"));
    let random = ["base.iso", "-q", "--host-key", "generate", "-f", "-o", "c.iso"];
    folder.run(&random).quietly();
    let first = known("c.iso");
    folder.run(&random).quietly();
    assert_ne!(known("c.iso"), first);
}

#[test]
fn inspect_tells_of_secrets_and_shows_none() {
    let folder = folder();
    folder
        .run(&["base.iso", "-q", "--host-key", "host", "--root-password-hash", HASH, "-o", "a.iso"])
        .quietly();
    let report: Value =
        serde_json::from_slice(&folder.run(&["inspect", "--json", "a.iso"]).quietly()).unwrap();
    let injected = &report["injected"];
    let print = pair(7).fingerprint(HashAlg::Sha256).to_string();
    assert_eq!(injected["host_keys"][0]["fingerprint"], print);
    assert_eq!(
        injected["secrets"],
        serde_json::json!(["/etc/shadow", "/etc/ssh/ssh_host_ed25519_key"])
    );
    let text = folder.run(&["inspect", "a.iso"]).quietly();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(&format!("host key: ssh-ed25519 {print}")));
    assert!(text.contains("secret: /etc/shadow\n"), "{text}");
}

/// What must be in no output: the password, its hash, and the middle of every private key.
fn secrets(folder: &Folder) -> Vec<String> {
    let mut found =
        vec![PASSWORD.to_owned(), HASH.to_owned(), "$y$j9T$".to_owned(), "PRIVATE KEY".to_owned()];
    let host = String::from_utf8(folder.read("host")).unwrap();
    found.extend(host.lines().skip(3).take(2).map(str::to_owned));
    found
}

#[test]
fn nothing_that_is_said_holds_a_secret() {
    let folder = folder();
    let both =
        ["--host-key", "host", "--host-key-seed", "seed", "--root-password-file", "password"];
    let hash = ["--nixos-password-hash", HASH];
    folder.write(
        "r.toml",
        format!("host-key = ['host', 'host']\nroot-password-hash = '{HASH}'\nnixos-password-hash = '{HASH}:'\n").as_bytes(),
    );
    let stamp = [&["base.iso"], &both[..], &hash].concat();
    let mut ended = vec![
        folder.run(&[&stamp[..], &["-n"]].concat()),
        folder.run(&[&stamp[..], &["-o", "a.iso"]].concat()),
        folder.run(&[&stamp[..], &["-o", "a.iso"]].concat()),
        folder.run(&["inspect", "a.iso"]),
        folder.run(&["inspect", "a.iso", "--json"]),
        folder.run(&["recipe", "check", "r.toml"]),
        folder.run(&["base.iso", "--recipe", "r.toml", "-n"]),
        folder.run(&["base.iso", "--root-password-hash", &HASH[3..], "-n"]),
        folder.run(&["base.iso", "--host-key", "password", "-n"]),
        folder.run(&["base.iso", "--key", "host", "-n"]),
        folder.run(&["base.iso", "--host-key", "host", "--host-key", "host", "-n"]),
    ];
    folder.write("d.img", b"");
    let flash = [&["flash"], &stamp[..], &["--json", "--file", "d.img"]].concat();
    ended.push(folder.run(&flash));
    assert_eq!(
        ended.iter().map(|one| one.status).collect::<Vec<_>>(),
        [0, 0, 2, 0, 0, 2, 2, 2, 2, 2, 2, 0]
    );
    assert!(ended[11].text().contains("\"event\":\"host_key\""));
    for (number, one) in ended.iter().enumerate() {
        let said = format!("{}{}", one.text(), one.err);
        for secret in secrets(&folder) {
            assert!(!said.contains(&secret), "run {number} says {secret:?}: {said}");
        }
    }
    let image = String::from_utf8_lossy(&folder.read("a.iso")).into_owned();
    assert!(!image.contains(PASSWORD) && image.contains(HASH) && image.contains("root:$y$"));
}

#[test]
fn bad_recipes_are_reported_where_and_why() {
    let folder = folder();
    folder.write("public.pub", key(1).as_bytes());
    folder.write("short", b"0123456789");
    folder.write("zeros", &[0; 64]);
    folder.write("empty", b"\n");
    folder.write("tab", b"a\tb\n");
    folder.write("long", &[b'x'; 600]);
    for (text, said) in [
        ("host-key = 'public.pub'", "1:12: host-key: "),
        ("host-key = ['host',\n 'host']", "2:2: host-key: a second ed25519 key"),
        ("host-key = 'generate:dsa'", "1:12: host-key: \"generate:dsa\" is not a kind"),
        ("host-key = 'short'", "is a text file, not a private key"),
        ("host-key = 'missing'", "cannot open missing, which should be a private key"),
        (
            "host-key = ['generate:rsa']\nhost-key-seed = 'seed'",
            "1:13: host-key: rsa keys cannot be derived",
        ),
        ("host-key = 'generate'\nhost-key-seed = 'short'", "2:17: host-key-seed: "),
        ("host-key = 'generate'\nhost-key-seed = 'zeros'", "1 different bytes"),
        ("host-key-seed = 'seed'", "1:17: host-key-seed: nothing is derived from it"),
        ("root-password-file = 'empty'", "1:22: root-password-file: is empty"),
        ("root-password-file = 'tab'", "1:22: root-password-file: has a control character"),
        ("root-password-file = 'long'", "1:22: root-password-file: has more than 511 bytes"),
        ("nixos-password-hash = ''", "1:23: nixos-password-hash: is empty"),
        ("nixos-password-hash = 'x'", "1:23: nixos-password-hash: is not a hash of a method"),
        (
            "nixos-password-hash = '$6$a$b'",
            "1:23: nixos-password-hash: is a hash that is cut short",
        ),
        ("nixos-password-hash = 'a:b'", "1:23: nixos-password-hash: has characters"),
        (
            "root-password-file = 'password'\nroot-password-hash = '$6$a$b'",
            "2:22: root-password-hash: the password of root is given in several ways",
        ),
    ] {
        folder.write("r.toml", text.as_bytes());
        let ended = folder.run(&["recipe", "check", "r.toml"]);
        let status = if said.starts_with("cannot") { 1 } else { 2 };
        ended.refused(status, said);
        assert!(ended.err.contains("hint: "), "{}", ended.err);
    }
}

/// Flags without their hyphens, and their values.
type Flags = &'static [(&'static str, &'static str)];

/// What a recipe file says, what is said over it, and what the program says of both; without words: done, with what
/// the recipe file asks for.
const OVER: [(&str, Flags, &str); 10] = [
    ("root-password-file = 'password'", &[("root-password-prompt", "false")], ""),
    ("nixos-password-file = 'password'", &[("nixos-password-prompt", "false")], ""),
    ("wifi = 'Home'\nwifi-password-file = 'password'", &[("wifi-password-prompt", "false")], ""),
    ("wifi = 'Home'\nwifi-password-file = 'password'", &[("wifi-open", "false")], ""),
    ("karg = 'x'\nentry = 'Serial'", &[("hostname", "box")], ""),
    (
        "wifi = 'Home'\nwifi-password-file = 'password'",
        &[("wifi", "Cafe")],
        "wifi: \"Cafe\" without a password",
    ),
    ("wifi = 'Home'\nwifi-open = true", &[("wifi", "Cafe")], "wifi: \"Cafe\" without a password"),
    ("entry = 'Serial'", &[("karg", "x")], "r.toml:2:9: entry: is for the kernel arguments"),
    ("karg = 'x'", &[("entry", "Serial")], "entry: is for the kernel arguments beside it"),
    (
        "karg-delete = 'loglevel=4'",
        &[("karg", "x"), ("entry", "Serial")],
        "r.toml:2:15: karg-delete stands elsewhere",
    ),
];

#[test]
fn what_one_layer_says_of_its_own_it_says_of_no_other() {
    let folder = folder();
    for (below, above, told) in OVER {
        folder.write("r.toml", format!("key = 'key.pub'\n{below}\n").as_bytes());
        let flags: Vec<String> =
            above.iter().map(|(name, value)| format!("--{name}={value}")).collect();
        let mut line = vec!["base.iso", "--recipe", "r.toml", "-f", "-o", "a.iso"];
        line.extend(flags.iter().map(String::as_str));
        let (names, values): (Vec<&str>, Vec<&str>) = above.iter().copied().unzip();
        let users = format!("name,{}\nann,{}\n", names.join(","), values.join(","));
        folder.write("users.csv", users.as_bytes());
        let batch = ["stamp", "base.iso", "users.csv", "--recipe", "r.toml", "-f", "-o", "out"];
        let (one, of_users) = (folder.run(&line), folder.run(&batch));
        if told.is_empty() {
            one.done();
            of_users.done();
            for image in ["a.iso", "out/ann.iso"] {
                let shown = folder.run(&["inspect", image]).done();
                let asked = below.split([' ', '-']).next().unwrap();
                assert!(shown.contains(&format!("set: {asked}")), "{below}: {shown}");
            }
            continue;
        }
        one.refused(2, told);
        assert!(of_users.status != 0 && of_users.err.contains(told), "{below}: {}", of_users.err);
    }
}

#[test]
fn find_refuses_what_it_cannot_look_for() {
    let folder = folder();
    folder.write("known", format!("nixos-1 {}\n", key(1)).as_bytes());
    folder.write("hashed", format!("|1|a=|b= {}\n", key(1)).as_bytes());
    folder.write("none", b"# nothing\n");
    for (file, network, said) in [
        ("known", "10.0.0.0/8", "too large"),
        ("known", "fe80::/64", "not an IPv4 network"),
        ("hashed", "127.0.0.1", "hashed:1: a hashed name"),
        ("none", "127.0.0.1", "none holds no key"),
    ] {
        folder.run(&["find", "--known-hosts", file, network]).refused(2, said);
    }
}

#[test]
fn one_image_for_several_machines_tells_of_each_and_is_as_private_as_they_are() {
    let folder = folder();
    let rack = "[[machine]]\nmac = '52:54:00:00:00:0a'\nhostname = 'one'\nhost-key = 'host'\nkey = 'key.pub'\n";
    folder.write("rack.toml", rack.as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'a'\n");
    let ended = folder.run(&["base.iso", "--recipe", "rack.toml", "-o", "rack.iso"]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert_eq!(mode(&folder, "rack.iso"), 0o600);
    let print = pair(7).fingerprint(HashAlg::Sha256).to_string();
    let told = format!(
        "machine mac=52:54:00:00:00:0a hostname=one key={} host-key={print}",
        pair(1).fingerprint(HashAlg::Sha256)
    );
    for shown in [&ended.err, &folder.run(&["inspect", "rack.iso"]).done()] {
        assert!(shown.contains(&format!("set: {told}\n")) && !shown.contains("nobody"), "{shown}");
    }
    assert!(
        String::from_utf8(folder.read("rack.iso.known_hosts"))
            .unwrap()
            .starts_with("one ssh-ed25519 ")
    );
    let again = ["base.iso", "--recipe", "rack.toml", "-o", "again.iso", "--manifest", "m.json"];
    assert_eq!(folder.run(&again).status, 0);
    let manifest: Value = serde_json::from_slice(&folder.read("m.json")).unwrap();
    assert_eq!(manifest["private"], true);
    let users: Vec<&str> = manifest["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["user"].as_str().unwrap())
        .collect();
    assert_eq!(users, ["nixos", "root"]);
    // Whoever takes the machine's key out is told, and asked.
    let edit = ["edit", "--in-place", "rack.iso", "--hostname", "x"];
    folder.run(&edit).refused(2, "the image is for several machines");
    folder.run(&[&edit[..], &["--replace"]].concat()).refused(2, "no other key is put in");
    folder
        .run(&["stamp", "base.iso", "users.toml", "--recipe", "rack.toml", "-o", "out"])
        .refused(2, "rack.toml:1:1: machine: a batch makes");
}

#[test]
fn host_keys_that_are_made_are_told_somewhere() {
    let folder = folder();
    folder.write("users.toml", b"[[user]]\nname = 'a'\n");
    let told = "its public half would be told nowhere";
    let key = ["--key", "key.pub", "--host-key", "generate", "-q"];
    let run = |way: &[&str], more: &[&str]| folder.run(&[way, &key[..], more].concat());
    let oci = ["stamp", "base.iso", "users.toml", "--as", "oci", "-o", "oci"];
    for way in [&["base.iso", "-o", "-"][..], &["base.iso", "--as", "patch", "-o", "-"], &oci] {
        run(way, &[]).refused(2, told);
        assert_eq!(run(way, &["--known-hosts", "k"]).status, 0, "{way:?}");
        fs::remove_file(folder.at("k")).unwrap();
    }
    fs::remove_dir_all(folder.at("oci")).unwrap();
    assert_eq!(run(&oci, &["--json"]).status, 0);
    // What is given has a public half elsewhere.
    folder.run(&["base.iso", "--host-key", "host", "-q", "-o", "-"]).quietly();
}

#[test]
fn what_is_expected_of_fetched_keys_goes_with_them() {
    let folder = folder();
    let print = pair(1).fingerprint(HashAlg::Sha256).to_string();
    let recipe = format!("key = 'gh:nobody'\nexpect-fingerprint = '{print}'\n");
    folder.write("r.toml", recipe.as_bytes());
    folder.run(&["base.iso", "--recipe", "r.toml", "--key", "key.pub", "-o", "a.iso"]).done();
    folder.write("users.toml", b"[[user]]\nname = 'a'\nkey = 'key.pub'\n");
    folder.run(&["stamp", "base.iso", "users.toml", "--recipe", "r.toml", "-o", "out"]).done();
    // It stays for keys that are fetched, and what stands beside a key is of that.
    let beside = ["--key", "key.pub", "--expect-fingerprint", &print, "-o", "b.iso"];
    folder.run(&[&["base.iso"], &beside[..]].concat()).refused(2, "no key is fetched");
}

#[test]
fn events_tell_what_is_put_in_and_that_nobody_can_log_in() {
    let folder = folder();
    let print = pair(1).fingerprint(HashAlg::Sha256).to_string();
    let hash = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";
    let masked = ["--karg", "systemd.mask=sshd.service", "--root-password-hash", hash];
    let line = ["flash", "base.iso", "--key", "key.pub", "--host-key", "host", "--hostname", "box"];
    let out = ["--to-file", "f.iso", "--json"];
    let ended = folder.run(&[&line[..], &masked, &out].concat());
    assert_eq!(ended.status, 0, "{}", ended.err);
    let events: Vec<Value> =
        ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["event"] == name).collect()
    };
    let put_in = |name: &str| -> Vec<&str> {
        let of = of("put_in").into_iter().filter(|event| event["name"] == name);
        of.map(|event| event["value"].as_str().unwrap()).collect()
    };
    assert!(put_in("key").iter().any(|key| key.starts_with(&print)), "{}", ended.text());
    assert_eq!(put_in("hostname"), ["box"]);
    assert_eq!(put_in("root-password"), [""]);
    assert!(!ended.text().contains(hash));
    let why = "nobody can log in over ssh, as the kernel argument `systemd.mask=sshd.service`";
    assert!(of("note").iter().any(|note| note["note"].as_str().unwrap().starts_with(why)));
    assert_eq!(of("host_key")[0]["file"], "f.iso.known_hosts");
}
