//! Keymaps, zones, names of bases and disks complete in each shell, which is run. A shell that is not installed is
//! skipped, which is said; `tests/rig/setup.sh` installs them.
//!
//! Stand-ins: `localectl`, which asks systemd, and the folder of disks, which no test touches.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::{Folder, skipped};

/// What is typed, and what it becomes.
const ROWS: [(&str, &str); 20] = [
    ("remaster base.iso --kno", "--known-hosts"),
    ("remaster --key k.pub base.iso --out", "--output"),
    ("remaster base.iso --timezone Europe/Berl", "Europe/Berlin"),
    ("remaster base.iso --color nev", "never"),
    ("remaster inspect base.i", "base.iso"),
    ("remaster inspect --json 'my fo", "my folder"),
    ("remaster --keymap de-la", "de-latin1-only"),
    ("remaster flash --keymap de-la", "de-latin1-only"),
    ("remaster stamp --timezone Europe/Berl", "Europe/Berlin"),
    ("remaster flash nixos-25.11-minimal-aa", "nixos-25.11-minimal-aarch64"),
    ("remaster netboot nixos-25.11-minimal-aa", "nixos-25.11-minimal-aarch64"),
    ("remaster base fetch nixos-25.11-minimal-aa", "nixos-25.11-minimal-aarch64"),
    ("remaster base show nixos-25.11-minimal-aa", "nixos-25.11-minimal-aarch64"),
    ("remaster verify x --against nixos-25.11-minimal-aa", "nixos-25.11-minimal-aarch64"),
    ("remaster format DISKS/usb-only", "DISKS/usb-only_Stick"),
    ("remaster verify DISKS/usb-only", "DISKS/usb-only_Stick"),
    ("remaster inspect DISKS/usb-only", "DISKS/usb-only_Stick"),
    ("remaster diff DISKS/usb-only", "DISKS/usb-only_Stick"),
    ("remaster inspect nixos-25.11-minimal-aa", "nixos-25.11-minimal-aarch64"),
    ("remaster reset DISKS/usb-only", "DISKS/usb-only_Stick"),
];

/// What only bash is asked: readline makes three words of a flag with its value.
const OF_BASH: [(&str, &str); 2] = [
    ("remaster base.iso --timezone=Europe/Berl", "Europe/Berlin"),
    ("remaster base.iso --key my", "my\\ folder"),
];

/// Types into bash at a terminal, and ends when there is what it becomes.
const BASH: &str = r#"
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
def until(text):
    said = b""
    while text.encode() not in said:
        said += os.read(terminal, 4096)
    return said.decode(errors="replace")
os.write(terminal, b"PS1=; source ./completions; echo REA''DY\n")
until("READY")
os.write(terminal, sys.argv[1].encode() + b"\t")
print(until(sys.argv[2]))
"#;

const FISH: &str = "source ./completions; complete -C $argv[1]";

/// Types into a shell at a terminal. What is typed is echoed, but not what it becomes.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PROMPT= RPROMPT=; autoload -Uz compinit; compinit -u -D; source ./completions; print REA""DY'
zpty -r z out '*READY*'
zpty -n -w z "$1"$'\t'
zpty -r z out "*${2##*/}*"
print -r -- $out
"#;

fn folder(shell: &str) -> Folder {
    let folder = Folder::new();
    fs::create_dir_all(folder.at("bin")).unwrap();
    fs::create_dir_all(folder.at("disks")).unwrap();
    folder.write(
        "bin/localectl",
        b"#!/bin/sh\n[ \"$1\" = list-keymaps ] && printf 'de-latin1-only\\nus\\n'\n",
    );
    fs::set_permissions(folder.at("bin/localectl"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(folder.at("my folder")).unwrap();
    folder.write("base.iso", b"");
    folder.write("disks/usb-only_Stick", b"");
    folder.write("disks/usb-only_Stick-part1", b"");
    let text = String::from_utf8(folder.run(&["completions", shell]).quietly()).unwrap();
    let disks = folder.at("disks").display().to_string();
    assert!(text.contains("/dev/disk/by-id"), "{shell}");
    folder.write("completions", text.replace("/dev/disk/by-id", &disks).as_bytes());
    folder
}

fn is_installed(shell: &str) -> bool {
    let there = Command::new(shell).arg("--version").stdout(Stdio::null()).status();
    if there.is_err() {
        skipped(&format!("{shell} is not installed"));
    }
    there.is_ok()
}

/// What a shell makes of a line.
fn completed(folder: &Folder, shell: &str, line: &str, becomes: &str) -> String {
    let mut words = vec!["20", if shell == "bash" { "python3" } else { shell }];
    match shell {
        "zsh" => words.extend(["-f", "-c", ZSH, "zsh", line, becomes]),
        "fish" => words.extend(["--no-config", "-c", FISH, line]),
        _ => words.extend(["-c", BASH, line, becomes]),
    }
    let mut command = Command::new("timeout");
    command.args(words).current_dir(folder.path()).stdin(Stdio::null()).env("HOME", folder.path());
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", folder.at("bin").display())).env("TERM", "dumb");
    let ended = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr))
}

fn check(shell: &str) {
    if !is_installed(shell) {
        return;
    }
    let folder = folder(shell);
    let disks = folder.at("disks").display().to_string();
    let of_bash: &[_] = if shell == "bash" { &OF_BASH } else { &[] };
    for &(line, becomes) in ROWS.iter().chain(of_bash) {
        let (line, becomes) = (line.replace("DISKS", &disks), becomes.replace("DISKS", &disks));
        let said = completed(&folder, shell, &line, &becomes);
        let word = if shell == "fish" { &becomes } else { becomes.rsplit('/').next().unwrap() };
        assert!(said.contains(word), "{shell}: {line}: {said}");
        assert!(shell != "bash" || !said.contains("-part1"), "{shell}: {line}: {said}");
    }
}

#[test]
fn no_shell_proposes_a_flag_that_help_hides() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = String::from_utf8(Folder::new().run(&["completions", shell]).quietly()).unwrap();
        assert!(text.contains("to-file"), "{shell}");
        // The old name of `--to-file`, and that of `base verify`. Other commands have a `--file` to put in.
        assert!(!text.contains("was called before") && !text.contains("older name"), "{shell}");
        assert!(!text.contains("remaster-hides-this") && !text.contains("--check"), "{shell}");
        // A switch takes `=false` alone, and no word of its own.
        assert!(!text.contains("true false") && !text.contains("false\\t"), "{shell}");
        for opts in text.lines().filter(|line| line.contains("opts=")) {
            let has = |flag: &str| opts.split([' ', '"']).any(|word| word == flag);
            assert!(!has("--file") || !has("--label") || has("--overlay"), "{shell}: {opts}");
        }
    }
}

#[test]
fn bash_completes_what_exists() {
    check("bash");
}

#[test]
fn zsh_completes_what_exists() {
    check("zsh");
}

#[test]
fn fish_completes_what_exists() {
    check("fish");
}
