//! Filesystems that keep no modes: what holds secrets is not written there, and the rest is.

use std::process::Command;

use crate::netboot::kexec;
use crate::support::{Ended, Folder, TINY, key};

/// Commands with a secret, of which none is written to `out`.
const SECRET: [&str; 10] = [
    "base.iso --key key.pub --host-key generate -o out",
    "base.iso --key key.pub --host-key generate --as patch -o out",
    "kexec.tar --key key.pub --host-key generate -o out",
    "apply base.iso secret -o out",
    "netboot base.iso --key key.pub --host-key generate -o out",
    "edit --in-place s.iso --host-key generate",
    "flash base.iso --key key.pub --host-key generate --to-file out",
    "flash base.iso.zst --to-file out",
    "stamp base.iso users.toml --host-key generate -o out",
    "stamp base.iso users.toml --host-key generate --as oci -o out",
];

/// The same without one.
const PUBLIC: [&str; 7] = [
    "base.iso --key key.pub -o out",
    "kexec.tar --key key.pub -o out",
    "apply base.iso p -o out",
    "netboot base.iso --key key.pub -o out",
    "edit --in-place s.iso --hostname box",
    "flash base.iso --key key.pub --to-file out",
    "stamp base.iso users.toml -o out",
];

/// What vfat and ntfs-3g do: all files have one mode, and calls for another one succeed and do nothing.
const MODELESS: &[u8] = b"#include <sys/syscall.h>\n#include <sys/types.h>\n#include <unistd.h>\n\
    int fchmod(int fd, mode_t mode) { return syscall(SYS_fchmod, fd, 0755); }\n\
    int chmod(const char *path, mode_t mode) { return syscall(SYS_fchmodat, -100, path, 0755); }\n";

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'u'\nkey = 'key.pub'\n");
    let key = ["base.iso", "--key", "key.pub", "-o"];
    folder.run(&[&key[..], &["s.iso"]].concat()).quietly();
    folder.run(&[&key[..], &["p", "--as", "patch"]].concat()).quietly();
    let secret = ["secret", "--as", "patch", "--host-key", "generate"];
    folder.run(&[&key[..], &secret].concat()).done();
    std::fs::remove_file(folder.at("secret.known_hosts")).unwrap();
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    folder.write("kexec.tar", &kexec(&folder.read("stock/initrd")));
    folder.write("base.iso.zst", &zstd::encode_all(TINY.as_slice(), 1).unwrap());
    folder.write("modeless.c", MODELESS);
    let mut compiler = Command::new("cc");
    compiler.args(["-w", "-shared", "-fPIC", "-o", "modeless.so", "modeless.c"]);
    assert!(compiler.current_dir(folder.path()).status().unwrap().success());
    folder
}

fn run(folder: &Folder, line: &str) -> Ended {
    let mut command = folder.program(&line.split(' ').collect::<Vec<_>>());
    command.env("LD_PRELOAD", folder.at("modeless.so"));
    Ended::from(command.output().unwrap())
}

/// Names below a folder.
fn names(folder: &Folder) -> Vec<String> {
    let found = Command::new("find").current_dir(folder.path()).output().unwrap();
    let mut names: Vec<String> =
        String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn where_modes_are_not_kept_nothing_is_written_that_is_secret() {
    let folder = folder();
    let (before, image) = (names(&folder), folder.read("s.iso"));
    for line in SECRET {
        let ended = run(&folder, line);
        let is_refused = ended.status == if line.starts_with("stamp") { 11 } else { 2 };
        assert!(is_refused && ended.err.contains("others could read"), "{line}: {}", ended.err);
        assert!(ended.err.contains("on a filesystem that keeps modes"), "{line}: {}", ended.err);
        // The folder of a batch and what all users share stay.
        if line.starts_with("stamp") {
            std::fs::remove_dir_all(folder.at("out")).unwrap();
        }
        assert_eq!(before, names(&folder), "{line}");
        assert!(image == folder.read("s.iso"), "{line}");
    }
}

#[test]
fn where_modes_are_not_kept_what_is_not_secret_is_written() {
    let folder = folder();
    for line in PUBLIC {
        let ended = run(&folder, line);
        assert_eq!(ended.status, 0, "{line}: {}", ended.err);
        assert!(!ended.err.contains("mode 0600"), "{line}: {}", ended.err);
        let out = folder.at("out");
        let _ = std::fs::remove_file(&out).or_else(|_| std::fs::remove_dir_all(&out));
    }
}
