//! Standard streams that are closed (`>&-`, `<&-`, `2>&-`): what goes to a closed one is an error, of every command.

use crate::support::{Ended, Folder, TINY, key};

/// A command line as a shell has it.
fn shell(folder: &Folder, line: &str) -> Ended {
    let line = line.replacen("remaster", env!("CARGO_BIN_EXE_remaster"), 1);
    let mut shell = std::process::Command::new("sh");
    Ended::from(shell.args(["-c", &line]).current_dir(folder.path()).output().unwrap())
}

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("r.toml", format!("key = '{}'\n", key(1)).as_bytes());
    folder.run(&["base.iso", "--key", "key.pub", "-o", "s.iso"]).done();
    folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "p"]).done();
    folder
}

/// Every command that writes to standard output.
const WRITE: [&str; 18] = [
    "base.iso --key key.pub -o -",
    "base.iso --key key.pub --as patch -o -",
    "base.iso --key key.pub --dry-run",
    "apply base.iso p -o -",
    "reset s.iso -o -",
    "inspect base.iso",
    "inspect base.iso --json",
    "diff base.iso s.iso",
    "verify s.iso --against s.iso",
    "devices",
    "devices --json",
    "recipe check r.toml",
    "recipe schema",
    "base list",
    "completions bash",
    "--help",
    "flash --help",
    "--version",
];

#[test]
fn what_goes_to_a_closed_standard_output_is_an_error() {
    let folder = folder();
    let before = folder.names();
    for line in WRITE {
        let ended = shell(&folder, &format!("remaster {line} >&-"));
        assert_eq!(ended.status, 1, "{line}: {}", ended.err);
        let told = "error: cannot write to standard output\ncause: it is closed\n";
        assert!(ended.err.ends_with(told), "{line}: {}", ended.err);
        // A user's own /dev/null takes everything, however it is opened.
        for null in [">/dev/null", "1<>/dev/null"] {
            let ended = shell(&folder, &format!("remaster {line} {null}"));
            assert!(!ended.err.contains("closed"), "{line} {null}: {}", ended.err);
        }
        assert_eq!(folder.names(), before, "{line}");
    }
}

#[test]
fn a_file_is_written_whatever_is_closed() {
    let folder = folder();
    for closed in [">&-", "<&-", "2>&-", "<&- 2>&-"] {
        let line = format!("remaster base.iso --key key.pub --force -o o.iso {closed}");
        shell(&folder, &line).done();
        assert!(folder.read("o.iso") == folder.read("s.iso"), "{closed}");
        std::fs::remove_file(folder.at("o.iso")).unwrap();
    }
}

#[test]
fn what_comes_from_a_closed_standard_input_is_an_error() {
    let folder = folder();
    for line in [
        "base.iso --key - -o o.iso",
        "base.iso --key key.pub --root-password-file - -o o.iso",
        "flash - --to-file o.img",
    ] {
        let ended = shell(&folder, &format!("remaster {line} <&-"));
        assert!(ended.err.contains("it is closed"), "{line}: {}", ended.err);
        assert!(
            ended.status != 0 && folder.names().iter().all(|name| !name.starts_with("o.")),
            "{line}"
        );
    }
}

/// Nobody reads the messages, and the status tells all the same.
#[test]
fn a_closed_standard_error_changes_no_status() {
    let folder = folder();
    for (line, status) in [
        ("base.iso --key key.pub -o -", 0),
        ("inspect base.iso", 0),
        ("inspect nothing.iso", 1),
        ("--no-such-flag", 2),
        ("verify base.iso --against s.iso", 3),
    ] {
        let ended = shell(&folder, &format!("remaster {line} 2>&-"));
        assert_eq!(ended.status, status, "{line}");
    }
}

/// What a command does, the work of which is done, and what it writes to standard output.
const DONE: [(&str, &str); 11] = [
    ("stamp base.iso u.toml -o out --json", "out/ann.iso"),
    ("flash base.iso --to-file out --json", "out"),
    ("reset s.iso -o out --json", "out"),
    ("verify s.iso --against s.iso --json", ""),
    ("inspect base.iso --json", ""),
    ("diff base.iso s.iso --json", ""),
    ("devices --json", ""),
    ("--help", ""),
    ("flash -h", ""),
    ("help stamp", ""),
    ("--version", ""),
];

/// The work is done, and a program that reads what comes of it is told that it did not get all.
#[test]
fn what_does_not_reach_standard_output_is_said_at_the_end() {
    let folder = folder();
    folder.write("u.toml", b"[[user]]\nname = 'ann'\nkey = 'key.pub'\n");
    for (line, made) in DONE {
        for (to, cause) in [(">/dev/full", "No space left"), (">&-", "it is closed")] {
            let ended = shell(&folder, &format!("remaster {line} {to}"));
            let told = format!("error: cannot write to standard output\ncause: {cause}");
            assert!(ended.status == 1 && ended.err.contains(&told), "{line}: {}", ended.err);
            assert_eq!(ended.err.matches("error: ").count(), 1, "{line}: {}", ended.err);
            assert!(made.is_empty() || folder.at(made).exists(), "{line}");
            let _ = std::fs::remove_dir_all(folder.at("out"));
            let _ = std::fs::remove_file(folder.at("out"));
        }
        let ended = shell(&folder, &format!("remaster {line} | true"));
        assert!(!ended.err.contains("standard output"), "{line}: {}", ended.err);
        let _ = std::fs::remove_dir_all(folder.at("out"));
        let _ = std::fs::remove_file(folder.at("out"));
    }
}
