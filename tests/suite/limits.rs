//! What small inputs that unpack to much are allowed to take, and files that never end: each bound is met, and said.

use std::io::{Cursor, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use remaster::Error;
use remaster::boot::stage_one;
use remaster::disk::survey::DiskSurvey;
use remaster::formats::ext4::extent::{self, Node};
use remaster::formats::iso9660::path_table::{self, PathTableRecord};
use remaster::formats::newc;
use remaster::image::ReadAt as _;
use remaster::image::digest::Digest;
use remaster::image::scratch::Scratch;
use remaster::iso::survey::Survey;
use remaster::iso::survey::esp::Esp;
use remaster::live::{Customization, Input};
use remaster::recipe::Recipe;
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::planned_image::ManifestOptions;
use remaster::units::ByteRange;

use crate::raw::customization;
use crate::sound::with_header;
use crate::support::{Folder, SD, TINY, key};

/// A Zstandard frame (RFC 8878) of raw bytes and runs of one byte.
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    pub(crate) fn new() -> Self {
        // Magic number; no content size, a window of 128 KiB.
        Self(vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38])
    }

    fn block(&mut self, kind: u32, size: u64, bytes: &[u8]) {
        let header = u32::try_from(size).unwrap() << 3 | kind << 1;
        self.0.extend(&header.to_le_bytes()[..3]);
        self.0.extend(bytes);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.block(0, u64::try_from(bytes.len()).unwrap(), bytes);
    }

    pub(crate) fn run(&mut self, byte: u8, mut size: u64) {
        while size > 0 {
            let some = size.min(128 << 10);
            self.block(1, some, &[byte]);
            size -= some;
        }
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
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

pub(crate) fn named(name: &str, size: u32) -> Vec<u8> {
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
        (scripts(), true, "scripts and shells of more than 33554432 bytes in all"),
        (name(), false, "a name of 3221225472 bytes"),
        (zeros(), true, "more than 8.0 GiB unpacked"),
    ] {
        assert!(initrd.len() < 2 << 20);
        let all = ByteRange::new(0, u64::try_from(initrd.len()).unwrap()).unwrap();
        let fault = stage_one::inspect(&initrd.as_slice(), &[("initrd", all)]).unwrap_err();
        assert_eq!(matches!(fault, Error::Unsupported { .. }), is_sound, "{fault}");
        assert_eq!(matches!(fault, Error::Malformed { .. }), !is_sound, "{fault}");
        assert!(fault.to_string().contains(words), "{words}: {fault}");
    }
}

/// A FAT filesystem with a folder in a folder, so many times.
fn nested(levels: usize) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    fatfs::format_volume(Cursor::new(&mut bytes), fatfs::FormatVolumeOptions::new()).unwrap();
    let volume = fatfs::FileSystem::new(Cursor::new(&mut bytes), fatfs::FsOptions::new()).unwrap();
    let path = |depth: usize| vec!["D"; depth].join("/");
    for depth in 1..=levels {
        volume.root_dir().create_dir(&path(depth)).unwrap();
    }
    volume.unmount().unwrap();
    bytes
}

fn listed(image: &[u8]) -> remaster::Result<usize> {
    let all = ByteRange::new(0, u64::try_from(image.len()).unwrap()).unwrap();
    Ok(Esp::open(&mut Scratch::new(&image, all))?.files()?.len())
}

#[test]
fn folders_of_a_boot_image_are_looked_into_up_to_a_depth() {
    assert_eq!(listed(&nested(8)).unwrap(), 0);
    let fault = listed(&nested(9)).unwrap_err();
    assert!(matches!(fault, Error::Unsupported { .. }), "{fault}");
    assert!(fault.to_string().contains("over 8 levels of folders"), "{fault}");
}

#[test]
fn a_partition_table_is_read_up_to_a_size() {
    for (entries, words) in [(8192, "Partition Entry Array"), (8193, "1048704")] {
        let mut image = with_header(80, entries);
        image.resize(3 << 20, 0);
        let fault = Survey::read(&image.as_slice()).unwrap_err().to_string();
        let is_over = entries > 8192;
        assert!(fault.contains(words) && fault.contains("CRC") != is_over, "{fault}");
    }
}

/// What a recipe is refused for, if it is.
fn fault_of(change: impl FnOnce(&mut Recipe)) -> Option<String> {
    let mut recipe = Recipe::default();
    change(&mut recipe);
    let nobody = |_: &str| Err(std::io::ErrorKind::Unsupported.into());
    let customization = Customization::gather(&recipe, &mut Input::new(std::io::empty(), nobody));
    customization.err().map(|fault| fault.to_string())
}

#[test]
fn settings_are_taken_up_to_their_limits() {
    type Put = fn(&mut Recipe, String);
    let text = |length: usize| "x".repeat(length);
    let settings: [(usize, Put); 4] = [
        (32, |recipe, text| recipe.label = Some(text)),
        (40, |recipe, text| recipe.name = Some(text)),
        (32, |recipe, text| {
            recipe.wifi = vec![text];
            recipe.wifi_open = Some(true);
        }),
        (384, |recipe, text| {
            let salt = "$6$rounds=5000$saltsalt$";
            recipe.root_password_hash = Some(format!("{salt}{}", &text[salt.len()..]));
        }),
    ];
    for (most, put) in settings {
        let over = fault_of(|recipe| put(recipe, text(most + 1)));
        assert!(over.is_some(), "{most}");
        // A made-up hash of that length is refused as another kind of wrong.
        let fits = fault_of(|recipe| put(recipe, text(most)));
        assert!(fits != over && (fits.is_none() || most == 384), "{most}: {fits:?}, {over:?}");
    }
    assert_eq!(fault_of(|recipe| recipe.timeout = Some(3599)), None);
    assert!(fault_of(|recipe| recipe.timeout = Some(3600)).unwrap().contains("3600 seconds"));
}

fn extent_tree(levels: usize) -> bool {
    let levels = u16::try_from(levels).unwrap().to_le_bytes();
    let header = [0x0A, 0xF3, 0, 0, 4, 0, levels[0], levels[1], 0, 0, 0, 0];
    extent::node(&header).is_ok()
}

/// What is longer by one is one block that nobody wrote to.
fn extent_length(blocks: usize) -> bool {
    let length = u16::try_from(blocks).unwrap().to_le_bytes();
    let header = [0x0A, 0xF3, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0];
    let leaf = [0, 0, 0, 0, length[0], length[1], 0, 0, 9, 0, 0, 0];
    match extent::node(&[header, leaf].concat()).unwrap() {
        Node::Leaf(found) => found[0].written && u64_of(blocks) == found[0].blocks,
        Node::Index(..) => false,
    }
}

fn u64_of(size: usize) -> u64 {
    u64::try_from(size).unwrap()
}

fn overlay(levels: usize) -> bool {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.at(&vec!["d"; levels].join("/"))).unwrap();
    fault_of(|recipe| recipe.overlay = vec![folder.path().to_owned()]).is_none()
}

fn interfaces(count: usize) -> bool {
    let sizes = |recipe: &mut Recipe| recipe.mtu = listed_as("ethN=1400", count);
    fault_of(sizes).is_none()
}

fn listed_as(form: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| form.replace('N', &number.to_string())).collect()
}

/// Lists of settings that take no more time for each than short ones.
#[test]
fn long_lists_are_judged_at_once() {
    type Put = fn(&mut Recipe);
    const MANY: usize = 60_000;
    let rows: [(Put, &str); 7] = [
        (|recipe| recipe.karg = listed_as("aN", MANY), "together have 408890 bytes"),
        (|recipe| recipe.karg_delete = listed_as("aN", MANY), ""),
        (|recipe| recipe.dns = listed_as("2001:db8::N", 9999), ""),
        (|recipe| recipe.mtu = listed_as("eN=1400", MANY), "more than 4096 interfaces"),
        (|recipe| recipe.bond = listed_as("bN:eN,fN", MANY), "more than 4096 interfaces"),
        (
            |recipe| recipe.bond = vec![format!("b:{}", listed_as("eN", MANY).join(","))],
            "more than 4096 interfaces",
        ),
        (
            |recipe| {
                recipe.wifi = listed_as("wN", MANY);
                recipe.wifi_open = Some(true);
            },
            "",
        ),
    ];
    for (number, (put, words)) in rows.into_iter().enumerate() {
        let begun = std::time::Instant::now();
        let told = fault_of(put);
        assert!(told.as_deref().unwrap_or_default().contains(words), "{number}: {told:?}");
        assert!(told.is_none() == words.is_empty(), "{number}: {told:?}");
        assert!(begun.elapsed().as_secs() < 30, "{number}: {:?}", begun.elapsed());
    }
}

/// Whether one more directory gets a number.
fn path_table(directories: usize) -> bool {
    let record = |location: usize, identifier: Vec<u8>| PathTableRecord {
        location: u32::try_from(location).unwrap(),
        parent: 1,
        identifier,
    };
    let others = (2..=directories).map(|n| record(n, format!("{n:08}").into_bytes()));
    let mut table: Vec<_> = std::iter::once(record(1, vec![0])).chain(others).collect();
    path_table::insert(&mut table, 1, b"~", 0).is_ok()
}

/// A frame of these bytes that wants a window of 2^`log` bytes.
fn windowed(bytes: &[u8], log: usize) -> Vec<u8> {
    let mut frame = Frame::new();
    *frame.0.last_mut().unwrap() = u8::try_from((log - 10) << 3).unwrap();
    frame.raw(bytes);
    frame.end()
}

fn window(log: usize) -> bool {
    let initrd = windowed(&newc::write(&[]).unwrap(), log);
    let all = ByteRange::new(0, u64_of(initrd.len())).unwrap();
    stage_one::files_with(&initrd.as_slice(), &[("initrd", all)], |_| true).is_ok()
}

/// An archive of so many empty files.
fn members(files: usize) -> bool {
    let folder = Folder::new();
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..files {
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("f{number}")).unwrap();
        header.set_size(0);
        header.set_cksum();
        archive.append(&header, std::io::empty()).unwrap();
    }
    folder.write("many.tar", &archive.into_inner().unwrap());
    !folder.run(&["inspect", "many.tar"]).err.contains("at most 10000 files")
}

/// A layout whose manifest has so many bytes, most of which say nothing.
fn manifest(bytes: usize) -> bool {
    let folder = Folder::with_base(&TINY);
    folder.write("users.csv", format!("name,key\nalice,{}\n", key(1)).as_bytes());
    folder.run(&["stamp", "base.iso", "users.csv", "--as", "oci", "-o", "o"]).done();
    let index = String::from_utf8(folder.read("o/index.json")).unwrap();
    let entry: serde_json::Value = serde_json::from_str(&index).unwrap();
    let digest = entry["manifests"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let size = &entry["manifests"][0]["size"];
    let mut manifest = folder.read(&format!("o/blobs/sha256/{digest}"));
    manifest.resize(bytes, b' ');
    let new = Digest::of_bytes(&manifest).to_string();
    folder.write(&format!("o/blobs/sha256/{new}"), &manifest);
    let index = index.replace(digest, &new);
    let index = index.replace(&format!("\"size\":{size}"), &format!("\"size\":{bytes}"));
    folder.write("o/index.json", index.as_bytes());
    folder.run(&["apply", "o", "--name", "alice", "-o", "alice.iso"]).status == 0
}

fn range(bytes: usize) -> bool {
    let all = ByteRange::new(0, u64_of(bytes)).unwrap();
    TINY.as_slice().read_range("a range", all, 4096).is_ok()
}

/// Whether a file in a boot image of one megabyte is read with this bound.
fn file_in_fat(bytes: usize) -> bool {
    let mut image = nested(0);
    let volume = fatfs::FileSystem::new(Cursor::new(&mut image), fatfs::FsOptions::new()).unwrap();
    volume.root_dir().create_file("F").unwrap().write_all(&vec![1; bytes]).unwrap();
    volume.unmount().unwrap();
    let all = ByteRange::new(0, u64_of(image.len())).unwrap();
    let image = image.as_slice();
    Esp::open(&mut Scratch::new(&image, all)).unwrap().read("/F", 4096).is_ok()
}

/// Whether a file in a disk image, so large, is read with this bound.
fn file_in_ext4(bytes: usize) -> bool {
    let folder = Folder::new();
    folder.write("large", &vec![1; bytes]);
    let file = format!("{}:/large", folder.at("large").display());
    let wanted = customization(|recipe| recipe.file = vec![file]);
    let image = BaseImage::open(SD.as_slice()).unwrap();
    let image = image.customize(&wanted, &ManifestOptions::default()).unwrap();
    let survey = DiskSurvey::read(image.image()).unwrap();
    let fs = survey.filesystem(image.image()).unwrap();
    fs.file("/large", 4096).is_ok_and(|found| found.unwrap().len() == bytes)
}

#[test]
fn what_is_as_large_as_a_bound_is_taken_and_one_more_is_not() {
    type Taken = fn(usize) -> bool;
    let bounds: [(&str, usize, Taken); 11] = [
        ("interfaces", 4096, interfaces),
        ("levels of an extent tree", 5, extent_tree),
        ("blocks of an extent", 32_768, extent_length),
        ("levels of an overlay", 128, overlay),
        ("directories of a path table", 65_534, path_table),
        ("the window of an initrd", 27, window),
        ("files of an archive", 10_000, members),
        ("bytes of a manifest in a layout", 4 << 20, manifest),
        ("bytes of a range that is read", 4096, range),
        ("bytes of a file in a boot image", 4096, file_in_fat),
        ("bytes of a file in a disk image", 4096, file_in_ext4),
    ];
    for (what, most, is_taken) in bounds {
        assert!(is_taken(most), "{most} {what} are refused");
        assert!(!is_taken(most + 1), "more than {most} {what} are taken");
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

/// What a user of a batch has from a file.
const OF_USERS: [&str; 3] = [
    r#"{"name":"a","key":"GIVEN"}"#,
    r#"{"name":"a","key":"key.pub","root-password-file":"GIVEN"}"#,
    r#"{"name":"a","key":"key.pub","host-key":"GIVEN"}"#,
];

/// All ways in which a command takes a file, with `given` in its place, in a folder that has what they want.
fn lines_with(folder: &Folder, given: &str) -> Vec<String> {
    folder.write("key.pub", key(1).as_bytes());
    folder.run(&["base.iso", "--key", "key.pub", "-o", "s.iso"]).done();
    let mut lines: Vec<_> = FILES.iter().map(|line| line.replace("ENDLESS", given)).collect();
    for (number, text) in OF_USERS.iter().enumerate() {
        folder.write(&format!("{number}.jsonl"), text.replace("GIVEN", given).as_bytes());
        lines.push(format!("stamp base.iso {number}.jsonl -o out"));
    }
    lines
}

fn begun(folder: &Folder, line: &str) -> std::process::Child {
    let mut command = folder.program(&line.split(' ').collect::<Vec<_>>());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn what_has_no_bytes_in_the_place_of_a_file_is_refused_by_every_command() {
    for (given, is) in [("socket.pub", "socket"), ("folder.pub", "folder")] {
        let folder = Folder::with_base(&TINY);
        let _socket =
            (given == "socket.pub").then(|| UnixListener::bind(folder.at(given)).unwrap());
        if given == "folder.pub" {
            std::fs::create_dir(folder.at(given)).unwrap();
        }
        for line in lines_with(&folder, given) {
            let ended = begun(&folder, &line).wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            // A user of a batch fails alone, and a wrong image ends with 4.
            assert!(matches!(ended.status.code(), Some(2..=4 | 11)), "{line}: {told}");
            let is_said = told.contains(is) && told.contains(given);
            // Nothing is looked into before what is asked for is understood.
            let is_else = ["is not signed", "no name of a unit", "has nothing in it"];
            assert!(is_said || is_else.iter().any(|other| told.contains(other)), "{line}: {told}");
            assert!(!told.contains("os error"), "{line}: {told}");
        }
    }
}

/// What comes through a FIFO may be all there is, as `<(...)` of a shell: it is waited for, and a user who is tired of
/// it can stop it.
#[test]
fn a_fifo_without_a_writer_is_refused_or_waited_for_until_the_user_stops() {
    let folder = Folder::with_base(&TINY);
    assert!(Command::new("mkfifo").arg(folder.at("fifo")).status().unwrap().success());
    let runs: Vec<_> =
        lines_with(&folder, "fifo").into_iter().map(|line| (begun(&folder, &line), line)).collect();
    let mut stopped = 0;
    std::thread::sleep(Duration::from_secs(4));
    for (mut child, line) in runs {
        let waits = child.try_wait().unwrap().is_none();
        if waits {
            stopped += 1;
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        }
        let since = Instant::now();
        while child.try_wait().unwrap().is_none() && since.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let is_over = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(is_over, "{line} cannot be stopped: {told}");
        let status = ended.status.code();
        if waits {
            assert!(matches!(status, Some(130) | None), "{line}: {status:?}: {told}");
        } else {
            assert!(matches!(status, Some(2..=4 | 11)), "{line}: {status:?}: {told}");
        }
    }
    assert!(stopped > 10, "{stopped}");
    let shell = format!(
        "{} base.iso --key <(cat key.pub) --root-password-file <(sleep 1; echo secret) -o shell.iso",
        env!("CARGO_BIN_EXE_remaster")
    );
    let made = Command::new("bash").args(["-c", &shell]).current_dir(folder.path()).output();
    assert!(made.unwrap().status.success() && folder.at("shell.iso").is_file());
}

/// What there is too little memory for is not damaged: with more of it, each of these works.
#[test]
fn a_lack_of_memory_is_not_called_a_damaged_image() {
    let folder = Folder::with_base(&TINY);
    let mut packer = liblzma::write::XzEncoder::new(Vec::new(), 9);
    std::io::Write::write_all(&mut packer, &TINY).unwrap();
    folder.write("base.iso.xz", &packer.finish().unwrap());
    let program = env!("CARGO_BIN_EXE_remaster");
    let mut lacks = 0;
    for room in [45_000, 60_000, 75_000, 90_000, 105_000] {
        for line in ["inspect base.iso.xz", "flash base.iso.xz --to-file out --force"] {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &format!("ulimit -v {room}; exec {program} {line}")]);
            let ended = shell.current_dir(folder.path()).output().unwrap();
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(!told.contains("sound data") && !told.contains("-u`, or"), "{room}: {told}");
            lacks += usize::from(told.contains("get the memory to unpack base.iso.xz"));
        }
    }
    assert!(lacks > 0);
}

#[test]
fn a_name_in_an_archive_that_would_fill_the_memory_is_refused() {
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    let bomb = [header.as_bytes().as_slice(), &vec![b'x'; 1 << 17]].concat();
    folder.write("bomb.tar", &bomb);
    folder.write("bomb.tar.zst", &zstd::encode_all(bomb.as_slice(), 1).unwrap());
    for words in [
        &["flash", "bomb.tar.zst", "--to-file", "out"][..],
        &["base.iso", "--overlay", "bomb.tar", "-o", "out"],
        &["bomb.tar", "--key", "key.pub", "-o", "out.tar"],
    ] {
        let ended = folder.run(words);
        assert!(ended.status > 0 && ended.err.contains("of at most 65536 bytes"), "{}", ended.err);
        assert!(!folder.at("out").exists());
    }
}

/// Kibibytes of address space for what says that it takes up to 256 MiB: the program and its threads are in it.
const ROOM: &str = "450000";

/// A patch of the base that has so many new bytes, all of them zeros.
fn patch_of_zeros(base: &[u8], new: u64) -> Vec<u8> {
    let run = [&[0][..], &new.to_le_bytes(), &[0; 8]].concat();
    let mut frame = Vec::new();
    let body = run.as_slice().chain(std::io::repeat(0).take(new));
    zstd::stream::copy_encode(body, &mut frame, 1).unwrap();
    let head = [
        &b"remaster patch 1\n"[..],
        &u64_of(base.len()).to_le_bytes(),
        &Digest::of_bytes(base).0,
        &new.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &new.to_le_bytes(),
        &frame,
    ];
    let file = head.concat();
    let sum = Digest::of_bytes(&file).0;
    [file.as_slice(), &sum].concat()
}

/// The base in which a file of the volume has this text, which stands behind everything else.
fn with_text(base: &[u8], path: &str, text: &str) -> Vec<u8> {
    let mut image = base.to_vec();
    image.resize(image.len().next_multiple_of(2048), 0);
    let block = u32::try_from(image.len() / 2048).unwrap();
    let size = u32::try_from(text.len()).unwrap();
    for tree in &Survey::read(&base).unwrap().trees {
        let record = usize::try_from(tree.file(path).unwrap().record).unwrap();
        // Location and length of the extent, in both orders (ECMA-119 §9.1.3, §9.1.4).
        for (at, number) in [(2, block), (10, size)] {
            image[record + at..][..4].copy_from_slice(&number.to_le_bytes());
            image[record + at + 4..][..4].copy_from_slice(&number.to_be_bytes());
        }
    }
    image.extend(text.as_bytes());
    image.resize(image.len().next_multiple_of(2048), 0);
    image
}

#[test]
fn small_files_that_unpack_to_much_take_what_their_limits_say() {
    let folder = Folder::with_base(&TINY);
    folder.write("zeros.patch", &patch_of_zeros(&TINY, 256 << 20));
    folder.write("key.pub", key(1).as_bytes());
    let (labels, entries) =
        ("LABEL\nLINUX k\nAPPEND init=/i\nINITRD i\n", "linux k init=/i\ninitrd i\n");
    let menus = [
        ("deep.iso", "/EFI/BOOT/grub.cfg", "submenu a {\n".repeat(6000) + &entries.repeat(6000)),
        (
            "deep-bios.iso",
            "/isolinux/isolinux.cfg",
            "MENU BEGIN\n".repeat(6000) + &labels.repeat(6000),
        ),
        (
            "long.iso",
            "/EFI/BOOT/grub.cfg",
            format!("submenu {} {{\n{}", "x".repeat(400_000), entries.repeat(20_000)),
        ),
    ];
    for (name, path, text) in menus {
        folder.write(name, &with_text(&TINY, path, &text));
    }
    let program = env!("CARGO_BIN_EXE_remaster");
    for (line, status, words) in [
        ("apply base.iso zeros.patch -o out.iso", 0, "wrote out.iso"),
        ("flash base.iso --patch zeros.patch --to-file out.img", 4, "begins with zeros only"),
        ("inspect deep.iso", 4, "/EFI/BOOT/grub.cfg: looked for at most 64 braces"),
        ("inspect deep-bios.iso", 4, "/isolinux/isolinux.cfg: looked for menus whose entries and"),
        ("inspect long.iso", 4, "/EFI/BOOT/grub.cfg: looked for menus whose entries and"),
        ("deep.iso --key key.pub -o out", 4, "looked for at most 64 braces within each other"),
        ("netboot deep-bios.iso --key key.pub -o out", 4, "looked for menus whose entries and"),
    ] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {ROOM}; exec timeout 120 {program} {line}")]);
        let ended = shell.current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(status), "{line}: {told}");
        assert!(told.contains(words), "{line}: {told}");
    }
}
