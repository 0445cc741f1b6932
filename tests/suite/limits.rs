//! What small inputs that unpack to much are allowed to take, and files that never end: each bound is met, and said.

use remaster::Error;
use remaster::boot::stage_one;
use remaster::units::ByteRange;

use crate::support::{Folder, TINY, key};

/// A Zstandard frame (RFC 8878) of raw bytes and runs of one byte.
struct Frame(Vec<u8>);

impl Frame {
    fn new() -> Self {
        // Magic number; no content size, a window of 128 KiB.
        Self(vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38])
    }

    fn block(&mut self, kind: u32, size: u64, bytes: &[u8]) {
        let header = u32::try_from(size).unwrap() << 3 | kind << 1;
        self.0.extend(&header.to_le_bytes()[..3]);
        self.0.extend(bytes);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.block(0, u64::try_from(bytes.len()).unwrap(), bytes);
    }

    fn run(&mut self, byte: u8, mut size: u64) {
        while size > 0 {
            let some = size.min(128 << 10);
            self.block(1, some, &[byte]);
            size -= some;
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([1, 0, 0]);
        self.0
    }
}

/// A newc header with its name.
fn head(name: &str, size: u32, name_length: u32) -> Vec<u8> {
    let mut record = format!(
        "070701{0:08x}{1:08x}{0:08x}{0:08x}{0:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_length:08x}{0:08x}{name}\0",
        0, 0o100_644
    )
    .into_bytes();
    record.resize(record.len().next_multiple_of(4), 0);
    record
}

fn named(name: &str, size: u32) -> Vec<u8> {
    head(name, size, u32::try_from(name.len() + 1).unwrap())
}

fn scripts() -> Vec<u8> {
    let mut frame = Frame::new();
    for number in 0..4000 {
        frame.raw(&named(&format!("a/{number:05}-stage-1-init.sh"), 1 << 20));
        frame.run(b'#', 1 << 20);
    }
    frame.end()
}

fn name() -> Vec<u8> {
    let mut frame = Frame::new();
    frame.raw(&head("x", 0, 3 << 30)[..110]);
    frame.run(b'x', 3 << 30);
    frame.end()
}

fn zeros() -> Vec<u8> {
    let mut frame = Frame::new();
    for number in 0..10 {
        frame.raw(&named(&format!("f{number}"), 0xFFFF_FFFC));
        frame.run(0, 0xFFFF_FFFC);
    }
    frame.end()
}

#[test]
fn an_initrd_that_unpacks_to_much_is_refused_by_what_it_is() {
    for (initrd, is_sound, words) in [
        (scripts(), true, "scripts of more than 33554432 bytes in all"),
        (name(), false, "a name of 3221225472 bytes"),
        (zeros(), true, "more than 8.0 GiB unpacked"),
    ] {
        assert!(initrd.len() < 2 << 20);
        let all = ByteRange::new(0, u64::try_from(initrd.len()).unwrap()).unwrap();
        let fault = stage_one::of(&initrd.as_slice(), &[("initrd", all)]).unwrap_err();
        assert_eq!(matches!(fault, Error::Unsupported { .. }), is_sound, "{fault}");
        assert_eq!(matches!(fault, Error::Malformed { .. }), !is_sound, "{fault}");
        assert!(fault.to_string().contains(words), "{words}: {fault}");
    }
}

/// Every way in which a command takes a file: `ENDLESS` stands in its place.
const FILES: [&str; 33] = [
    "base.iso --key ENDLESS -o out",
    "base.iso --recipe ENDLESS -o out",
    "base.iso --key key.pub --host-key ENDLESS -o out",
    "base.iso --key key.pub --host-key generate --host-key-seed ENDLESS -o out",
    "base.iso --key key.pub --root-password-file ENDLESS -o out",
    "base.iso --key key.pub --wifi x --wifi-password-file ENDLESS -o out",
    "base.iso --key key.pub --overlay ENDLESS -o out",
    "base.iso --key key.pub --file ENDLESS:/x -o out",
    "base.iso --key key.pub --script ENDLESS -o out",
    "base.iso --key key.pub --bin ENDLESS -o out",
    "base.iso --key key.pub --unit ENDLESS -o out",
    "base.iso --key key.pub --run ENDLESS -o out",
    "base.iso --key key.pub --store ENDLESS -o out",
    "base.iso --key key.pub --sha256-file ENDLESS -o out",
    "base.iso --key key.pub --manifest-digests --sign ENDLESS -o out",
    "base fetch nixos-25.11-minimal --mirror http://127.0.0.1:9 --cache . --ca-file ENDLESS",
    "ENDLESS --key key.pub -o out",
    "stamp base.iso ENDLESS --format toml -o out",
    "stamp base.iso ENDLESS --format csv -o out",
    "stamp base.iso ENDLESS --format jsonl -o out",
    "verify s.iso --allowed-signers ENDLESS",
    "verify s.iso --manifest ENDLESS",
    "verify s.iso --against ENDLESS",
    "verify ENDLESS",
    "apply base.iso ENDLESS -o out",
    "flash base.iso --patch ENDLESS --to-file out",
    "flash base.iso --sha256-file ENDLESS --to-file out",
    "find --known-hosts ENDLESS 127.0.0.1/32",
    "inspect ENDLESS",
    "diff base.iso ENDLESS",
    "edit --in-place ENDLESS --key key.pub",
    "reset ENDLESS -o out",
    "recipe check ENDLESS",
];

/// Kibibytes of address space: a users file may have half a gibibyte, which is read before it is judged.
const SPACE: &str = "3000000";

#[test]
fn a_file_that_never_ends_is_refused_by_every_command() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.run(&["base.iso", "--key", "key.pub", "-o", "s.iso"]).done();
    let before = folder.names();
    let program = env!("CARGO_BIN_EXE_remaster");
    for line in FILES {
        let line = line.replace("ENDLESS", "/dev/zero");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {SPACE}; exec timeout 120 {program} {line}")]);
        let ended = shell.current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        let status = ended.status.code();
        assert!(matches!(status, Some(2..=5)), "{line}: {status:?}: {told}");
        assert!(told.contains("error: ") && !told.contains("out of memory"), "{line}: {told}");
        assert!(!told.contains("has no flag"), "{line}: {told}");
        let left = folder.names().into_iter().filter(|name| !name.contains(".lock"));
        assert!(left.eq(before.iter().cloned()), "{line}: {:?}", folder.names());
    }
}
