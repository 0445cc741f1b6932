//! The first SIGINT or SIGTERM ends every stage: each row would take minutes, or for ever, without it.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Folder, TINY, key, of_whole_volume, with_files};

/// By then every row is in the stage that it is about.
const HEAD_START: Duration = Duration::from_secs(2);

/// A second, and more for a machine that has much to do: all rows run at a time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Commands, by the stage that never ends. `SERVER` accepts and says nothing; `fifo` is open and says nothing; `large`
/// is followed by a tebibyte of zeros, `packed` by 90 gibibytes of them. Machines say nothing, and look-ups hang.
const STAGES: [(&str, &str); 27] = [
    ("output to a pipe that nobody reads", "base.iso --key key.pub -o -"),
    ("a patch of it", "base.iso --key key.pub --file noise:/x --as patch -o -"),
    ("a reset into it", "reset s.iso -o -"),
    ("a patch that is applied into it", "apply base.iso p -o -"),
    ("input from a pipe that says nothing", "flash fifo --to-file out"),
    ("input that says nothing", "flash - --to-file out"),
    ("half of an image from it", "flash - --to-file out"),
    ("half of a packed image from it", "flash - --to-file out"),
    ("a key from it", "base.iso --key - -o out"),
    ("a key from such a pipe", "base.iso --key fifo -o out"),
    ("a signing key from it", "base.iso --key key.pub --sign fifo -o out"),
    ("a signing key of an edit", "edit --in-place s.iso --hostname x --sign fifo"),
    ("a signing key of a batch", "stamp base.iso users.csv --sign fifo -o batch"),
    ("a digest that is demanded", "flash large --sha256 DIGEST --to-file out"),
    ("a download", "base fetch nixos-25.11-minimal --mirror http://SERVER --cache cache"),
    ("keys from a server", "base.iso --key https://SERVER/keys -o out"),
    ("looking for a machine", "find --known-hosts known 127.0.0.0/24"),
    ("unpacking", "inspect packed"),
    ("unpacking what is written", "flash packed --to-file out"),
    ("a batch", "stamp base.iso users.csv -o batch"),
    ("a machine that is tried", "try base.iso"),
    ("a look-up for a download", "base fetch nixos-25.11-minimal --cache cache"),
    ("many files of an overlay", "base.iso --key key.pub --overlay many.tar -o out"),
    ("a squashfs that is made", "base.iso --key key.pub --file large:/srv/x -o out"),
    ("a comparison", "diff large other"),
    ("initrds that unpack to much", "initrds.iso --key key.pub -o out"),
    ("a look-up for keys", "base.iso --key https://example.org/keys -o out"),
];

/// What rows make beside that which all have.
const MADE: [&str; 4] = ["pids", "many.tar", "other", "initrds.iso"];

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("noise", &noise());
    folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "p"]).done();
    std::fs::create_dir(folder.at("cache")).unwrap();
    folder.run(&["base.iso", "--key", "key.pub", "-o", "s.iso"]).done();
    let known = key(1).split(' ').take(2).collect::<Vec<_>>().join(" ");
    folder.write("known", format!("nixos-1 {known}\n").as_bytes());
    folder.write("large", &TINY);
    File::options().write(true).open(folder.at("large")).unwrap().set_len(1 << 40).unwrap();
    for name in ["ssh-keyscan", "ssh", "qemu-system-x86_64"] {
        folder.write(name, b"#!/bin/sh\necho $$ >>pids\nexec sleep 600\n");
        let program = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.at(name), program).unwrap();
    }
    hanging(&folder);
    folder.write("packed", &PACKED);
    folder.write("users.csv", users().as_bytes());
    std::fs::create_dir(folder.at("batch")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.at("fifo")).status().unwrap().success());
    folder
}

/// The tiny image and zeros behind it, packed so that they are few: a stream of 46 MiB of them, 2000 times. Its MBR has a
/// partition of 60 GiB.
static PACKED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut image = TINY.clone();
    image[0x1EE..0x1FE].fill(0);
    image[0x1F2] = 0x83;
    image[0x1F6..0x1FA].copy_from_slice(&2048_u32.to_le_bytes());
    image[0x1FA..0x1FE].copy_from_slice(&(60_u32 << 21).to_le_bytes());
    [packed(&image), ZEROS.repeat(2000)].concat()
});

/// A stream of 46 MiB of zeros.
static ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| packed(&vec![0; 46 << 20]));

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// Makes a library in which no look-up ever ends.
fn hanging(folder: &Folder) {
    folder.write("hang.c", b"int pause(void); int getaddrinfo(void) { for (;;) pause(); }\n");
    let mut compiler = Command::new("cc");
    compiler.args(["-w", "-shared", "-fPIC", "-o", "hang.so", "hang.c"]);
    assert!(compiler.current_dir(folder.path()).status().unwrap().success());
}

/// More of them than can be served in a minute.
fn users() -> String {
    let rows = (0..3000).map(|number| format!("user-{number},{}\n", key(1).trim()));
    rows.fold("name,key\n".to_owned(), |all, row| all + &row)
}

/// An archive of empty files, which takes long for its number.
fn many_files() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let mut archive = Vec::new();
    for number in 0..280_000 {
        header.set_path(format!("d/{number:07}")).unwrap();
        header.set_mode(0o644);
        header.set_size(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// Bytes that do not pack.
fn noise() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..1 << 19).map(|_| next()).collect()
}

/// Waits for the end; none if it does not come in time.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// What is wrong with a row, if anything is.
fn wrong(folder: &Folder, server: &str, stage: &str, line: &str, signal: i32) -> Option<String> {
    let line = line.replace("SERVER", server).replace("DIGEST", &"0".repeat(64));
    let mut command = folder.mortal_program(&line.split(' ').collect::<Vec<_>>());
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if stage.starts_with("a look-up") {
        command.env("LD_PRELOAD", folder.at("hang.so"));
    }
    match stage {
        "many files of an overlay" => folder.write("many.tar", &many_files()),
        "initrds that unpack to much" => {
            folder.write(
                "initrds.iso",
                &of_whole_volume(with_files(&TINY, "/initrd", &ZEROS.repeat(170))),
            );
        }
        "a comparison" => std::fs::hard_link(folder.at("large"), folder.at("other")).unwrap(),
        _ => {}
    }
    let mut child = command.spawn().unwrap();
    let half = match stage {
        "half of an image from it" => &TINY[..TINY.len() / 2],
        "half of a packed image from it" => &PACKED[..PACKED.len() / 2],
        _ => &[],
    };
    // It says nothing after that, and stays open.
    let mut input = child.stdin.take().unwrap();
    let feeding = thread::spawn(move || input.write_all(half).map(|()| input));
    // A writer that is there keeps a pipe open.
    let fifo = File::options().read(true).write(true).open(folder.at("fifo")).unwrap();
    thread::sleep(HEAD_START);
    if let Some(status) = child.try_wait().unwrap() {
        let told = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
        return Some(format!("{stage}: over before the signal: {status}: {told}"));
    }
    let number = format!("-{signal}");
    assert!(
        Command::new("kill").args([&number, &child.id().to_string()]).status().unwrap().success()
    );
    let status = ended(&mut child);
    drop((fifo, feeding.join()));
    match status {
        None => Some(format!("{stage}: signal {signal} does not end it")),
        Some(status) if status.signal() == Some(signal) || status.code() == Some(128 + signal) => {
            None
        }
        Some(status) => Some(format!("{stage}: signal {signal} ends it with {status}")),
    }
}

#[test]
fn the_first_signal_ends_every_stage() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let rows = STAGES.iter().enumerate();
    let found = thread::scope(|scope| {
        let rows = rows.map(|(number, (stage, line))| {
            let address = &address;
            let signal = if number % 2 == 0 { 2 } else { 15 };
            scope.spawn(move || {
                let folder = folder();
                let before = folder.names();
                let fault = wrong(&folder, address, stage, line, signal);
                let left = folder.names();
                let is_ours = |name: &&String| MADE.contains(&name.as_str());
                let left: Vec<&String> =
                    left.iter().filter(|name| !before.contains(name) && !is_ours(name)).collect();
                fault.or((!left.is_empty()).then(|| format!("{stage}: leaves {left:?}")))
            })
        });
        let running: Vec<_> = rows.collect();
        running.into_iter().filter_map(|row| row.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(found.is_empty(), "{found:#?}");
}

/// Starts the program in a folder, where its temporary files go, too, and gives it time.
fn started(folder: &Folder, line: &str) -> Child {
    let mut command = folder.mortal_program(&line.split(' ').collect::<Vec<_>>());
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("TMPDIR", folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    thread::sleep(HEAD_START);
    child
}

fn send(signal: &str, to: u32) -> bool {
    let kill = Command::new("kill").args([signal, &to.to_string()]).stderr(Stdio::null()).status();
    kill.unwrap().success()
}

/// Waits until the program has started QEMU, or has its image open.
fn await_start(folder: &Folder, child: &Child, is_try: bool) {
    let has_image = || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.id()));
        let mut links = open.into_iter().flatten().flatten().flat_map(|fd| fd.path().read_link());
        links.any(|link| link.ends_with("large"))
    };
    for _ in 0..600 {
        if if is_try { folder.at("pids").exists() } else { has_image() } {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Whether a process with this word on its command line ends soon.
fn goes(pid: &str, word: &str) -> bool {
    (0..50).any(|_| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
        let is_gone = !line.is_ok_and(|line| line.contains(word));
        if !is_gone {
            thread::sleep(Duration::from_millis(100));
        }
        is_gone
    })
}

#[test]
fn a_second_signal_tidies_up_too() {
    for (first, second) in [("-HUP", "-HUP"), ("-INT", "-TERM"), ("-TERM", "-HUP")] {
        for line in ["try base.iso", "flash large --to-file out --sha256 DIGEST"] {
            let folder = folder();
            let before = folder.names();
            let line = line.replace("DIGEST", &"0".repeat(64));
            let mut child = started(&folder, &line);
            await_start(&folder, &child, line.starts_with("try"));
            assert!(send(first, child.id()), "{line}");
            send(second, child.id());
            assert!(ended(&mut child).is_some(), "{line}: {first} {second}");
            let pids = std::fs::read_to_string(folder.at("pids")).unwrap_or_default();
            for pid in pids.lines().filter(|_| line.starts_with("try")) {
                assert!(goes(pid, "sleep"), "{first} {second}: QEMU stays");
            }
            let left: Vec<String> = folder.names().into_iter().filter(|it| it != "pids").collect();
            assert_eq!(before, left, "{line}: {first} {second}");
            std::fs::remove_file(folder.at("pids")).ok();
        }
    }
}

#[test]
fn signals_that_are_ignored_from_the_start_stay_ignored() {
    let folder = folder();
    let mut command = Command::new("env");
    command.args(["--default-signal=TERM", "--ignore-signal=HUP,INT"]);
    command.args([env!("CARGO_BIN_EXE_remaster"), "flash", "-", "--to-file", "out"]);
    command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&TINY[..TINY.len() / 2]).unwrap();
    thread::sleep(HEAD_START);
    for signal in ["-HUP", "-INT"] {
        assert!(send(signal, child.id()));
        thread::sleep(Duration::from_secs(1));
        assert_eq!(child.try_wait().unwrap(), None, "{signal}");
    }
    input.write_all(&TINY[TINY.len() / 2..]).unwrap();
    drop(input);
    assert_eq!(ended(&mut child).unwrap().code(), Some(0));
    assert!(folder.read("out") == *TINY);
}
