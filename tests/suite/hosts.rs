//! What `find` makes of answers that somebody else wrote: no other machine, and no line of their choosing.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Ended, Folder, TINY, key};

/// The public half of a key, without its comment.
fn host_key(number: u8) -> String {
    key(number).split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// What `find` does where `ssh-keyscan` says this of every address.
fn find(answer: &str, more: &[&str]) -> Ended {
    let folder = Folder::new();
    folder.write("known", format!("nixos-1 {}\n", host_key(1)).as_bytes());
    folder.write("answer", answer.as_bytes());
    folder.write("ssh-keyscan", b"#!/bin/sh\nexec cat answer\n");
    let program = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.at("ssh-keyscan"), program).unwrap();
    let path = std::env::var("PATH").unwrap();
    let arguments = [&["find", "--known-hosts", "known", "127.0.0.7/32"], more].concat();
    let mut command = folder.program(&arguments);
    command.env("PATH", format!("{}:{path}", folder.path().display()));
    Ended::from(command.output().unwrap())
}

#[test]
fn a_hostile_answer_adds_no_host() {
    let (own, other) = (host_key(1), host_key(2));
    for answer in [
        // Another machine's address, names, patterns and marks in place of the one that was asked.
        format!("127.0.0.8 {own}\n"),
        format!("github.com,127.0.0.7 {own}\n"),
        format!("* {own}\n"),
        format!("@cert-authority 127.0.0.7 {own}\n"),
        format!("@revoked * {own}\n127.0.0.8,127.0.0.7 {own}\n"),
        format!("# 127.0.0.7 {own}\n"),
        format!("|1|x=|y= {own}\n"),
        format!("127.0.0.7\u{b}x {own}\n"),
        // Another key, or the known one by another name.
        format!("127.0.0.7 {other}\n"),
        format!("127.0.0.7 {}\n", own.replace("ssh-ed25519 ", "ssh-rsa ")),
        format!("127.0.0.7 {own}=\n"),
        format!("127.0.0.7\n{own}\n"),
        "127.0.0.7\n".repeat(6000),
        "\0".repeat(60_000),
        String::new(),
    ] {
        for more in [&[][..], &["--json"], &["--ssh-config"]] {
            let ended = find(&answer, more);
            let shown: String = answer.chars().take(80).collect();
            assert_eq!(ended.status, 1, "{shown:?}: {} {}", ended.text(), ended.err);
            let is_empty = ended.out.is_empty() || ended.text().contains(r#""machines":[]"#);
            assert!(is_empty, "{shown:?}: {}", ended.text());
            assert!(!ended.err.contains("announces"), "{shown:?}: {}", ended.err);
        }
    }
}

#[test]
fn a_machine_is_reported_with_what_was_known_of_it() {
    let own = host_key(1);
    // The known key among other lines, with a comment that looks like more of them.
    let answer = format!(
        "127.0.0.7 {}\n127.0.0.7 {own} \u{1b}[2K\r* {own}\n[127.0.0.7]:22 {own}\nevil {own}\n",
        host_key(2)
    );
    for (more, hosts) in [(&[][..], 1), (&["--json"], 1), (&["--ssh-config"], 1)] {
        let ended = find(&answer, more);
        assert!(!ended.err.contains("announces"), "{}", ended.err);
        let told = ended.done();
        assert_eq!(
            told.matches("root@127.0.0.7")
                .count()
                .max(told.matches("HostName 127.0.0.7").count())
                .min(1),
            hosts,
            "{told}"
        );
        assert!(!told.contains(['\u{1b}', '*']) && !told.contains("evil"), "{told}");
        assert!(!told.contains(host_key(2).split(' ').next_back().unwrap()), "{told}");
    }
    let config = find(&answer, &["--ssh-config"]).done();
    assert_eq!(
        config.lines().filter(|line| line.starts_with("Host ")).collect::<Vec<_>>(),
        ["Host nixos-1"]
    );
}

#[test]
fn a_machine_is_known_by_each_name_of_its_line() {
    let folder = Folder::new();
    folder.write("known", format!("a,b {}\n", host_key(1)).as_bytes());
    let line = ["ssh", "c", "--known-hosts", "known"];
    folder.run(&line).refused(2, "one of the names there: a, b");
    folder.write("answer", format!("127.0.0.7 {}\n", host_key(1)).as_bytes());
    for (name, text) in [("ssh-keyscan", "exec cat answer"), ("ssh", "echo \"$@\"")] {
        folder.write(name, format!("#!/bin/sh\n{text}\n").as_bytes());
        let program = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.at(name), program).unwrap();
    }
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    for name in ["a", "b"] {
        let line = ["ssh", name, "--known-hosts", "known", "--network", "127.0.0.7/32"];
        let told = Ended::from(folder.program(&line).env("PATH", &path).output().unwrap()).done();
        assert!(told.contains(&format!("HostKeyAlias={name} ")), "{told}");
    }
}

#[test]
fn what_ssh_says_to_do_of_an_image_without_a_host_key_can_be_done() {
    for put_in in ["", "--hostname box", "--key key.pub", "--root-password-file pw --ssh-passwords"]
    {
        let folder = Folder::with_base(&TINY);
        folder.write("key.pub", key(1).as_bytes());
        folder.write("pw", b"secretpass\n");
        let image = if put_in.is_empty() {
            "base.iso"
        } else {
            let words = format!("base.iso -q -o image.iso {put_in}");
            folder.run(&words.split(' ').collect::<Vec<_>>()).quietly();
            "image.iso"
        };
        let base = folder.read("base.iso");
        let ended = folder.run(&["ssh", image]);
        assert!(ended.status == 2 && ended.err.contains("has no host key"), "{}", ended.err);
        let advised = ended.err.split('`').nth(1).unwrap();
        let advised = advised.replace("KEY.pub", "key.pub").replace("FILE", "made.iso");
        let words: Vec<&str> = advised.split(' ').skip(1).collect();
        let followed = folder.run(&words);
        assert_eq!(followed.status, 0, "{advised}: {}", followed.err);
        assert!(followed.err.contains("accepts the key"), "{advised}: {}", followed.err);
        assert!(folder.read("base.iso") == base, "{advised}: the base is changed");
    }
}
