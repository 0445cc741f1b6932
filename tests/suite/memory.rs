//! What memory an input takes: small ones that would take gigabytes take no more than sound ones.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use remaster::image::digest::Digest;

use crate::support::{Folder, TINY, key};

/// Kibibytes that a run may have in memory.
const MOST: u64 = 256 << 10;

const LOGICAL: usize = 2048;

fn both(number: usize) -> [u8; 8] {
    let number = u32::try_from(number).unwrap();
    let mut both = [0; 8];
    both[..4].copy_from_slice(&number.to_le_bytes());
    both[4..].copy_from_slice(&number.to_be_bytes());
    both
}

/// A Directory Record, with its System Use fields.
fn record(name: &[u8], (block, size): (usize, usize), flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut body = [&both(block)[..], &both(size), &[0; 7], &[flags, 0, 0, 1, 0, 0, 1]].concat();
    body.push(u8::try_from(name.len()).unwrap());
    body.extend_from_slice(name);
    body.resize(body.len() + (33 + name.len()) % 2, 0);
    body.extend_from_slice(fields);
    body.resize(body.len() + body.len() % 2, 0);
    [&[u8::try_from(body.len() + 2).unwrap(), 0][..], &body].concat()
}

/// Records in blocks, none over the end of one.
fn packed(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        if LOGICAL - bytes.len() % LOGICAL < record.len() {
            bytes.resize(bytes.len().next_multiple_of(LOGICAL), 0);
        }
        bytes.extend_from_slice(record);
    }
    bytes.resize(bytes.len().next_multiple_of(LOGICAL), 0);
    bytes
}

/// The `PX` and `NM` fields of Rock Ridge.
fn fields(mode: usize, name: &[u8]) -> Vec<u8> {
    let mut all = [b"PX\x24\x01".as_slice(), &both(mode), &both(1), &both(0), &both(0)].concat();
    if !name.is_empty() {
        all.extend_from_slice(&[b'N', b'M', u8::try_from(name.len() + 5).unwrap(), 1, 0]);
        all.extend_from_slice(name);
    }
    all
}

/// An ISO of folders with long names within each other, and many empty files in the last.
fn deep(folders: usize, files: usize) -> Vec<u8> {
    let (own, directory) = (fields(0o40555, b""), 2);
    let first = [b"SP\x07\x01\xbe\xef\0".as_slice(), &own, b"ER\x12\x01\x0a\0\0\x01RRIP_1991A"];
    let dots = |at: usize, above: usize, fields: &[u8]| {
        let dot = |name, block| record(name, (block, LOGICAL), directory, fields);
        vec![dot(b"\0", at), record(b"\x01", (above, LOGICAL), directory, &own)]
    };
    let leaf = 20 + folders;
    let mut last = dots(leaf, leaf - 1, &own);
    for number in 0..files {
        let name = format!("{number:08}");
        last.push(record(name.as_bytes(), (0, 0), 0, &fields(0o100_444, name.as_bytes())));
    }
    let size = packed(&last).len();
    last[0] = record(b"\0", (leaf, size), directory, &own);
    let mut image = vec![0; 20 * LOGICAL];
    for number in 0..folders {
        let at = 20 + number;
        let long = fields(0o40555, &[b'x'; 150]);
        let size = if number + 1 == folders { size } else { LOGICAL };
        let mut all = dots(at, at.saturating_sub(1).max(20), if number == 0 { b"" } else { &own });
        if number == 0 {
            all[0] = record(b"\0", (at, LOGICAL), directory, &first.concat());
        }
        all.push(record(format!("D{number:05}").as_bytes(), (at + 1, size), directory, &long));
        image.extend(packed(&all));
    }
    image.extend(packed(&last));
    let blocks = image.len() / LOGICAL;
    let volume = &mut image[16 * LOGICAL..17 * LOGICAL];
    volume[..7].copy_from_slice(b"\x01CD001\x01");
    volume[40..72].copy_from_slice(format!("{:32}", "DEEP").as_bytes());
    volume[80..88].copy_from_slice(&both(blocks));
    volume[120..132].copy_from_slice(b"\x01\0\0\x01\x01\0\0\x01\0\x08\x08\0");
    volume[132..140].copy_from_slice(&both(10));
    volume[156..190].copy_from_slice(&record(b"\0", (20, LOGICAL), directory, b"")[..34]);
    volume[881] = 1;
    image[17 * LOGICAL..17 * LOGICAL + 7].copy_from_slice(b"\xffCD001\x01");
    image
}

/// A packed archive of empty files below folders.
fn archive(above: &str, files: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    for number in 0..files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        archive.append_data(&mut header, format!("{above}/{number:07}"), &b""[..]).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// An OCI image layout with this index.
fn layout(folder: &Folder, name: &str, index: &str) {
    std::fs::create_dir_all(folder.at(&format!("{name}/blobs/sha256"))).unwrap();
    folder.write(&format!("{name}/oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#);
    folder.write(&format!("{name}/index.json"), index.as_bytes());
}

fn index(manifests: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{manifests}]}}"#)
}

fn zeros(count: usize) -> String {
    format!("[{}0]", "0,".repeat(count - 1))
}

/// Makes the inputs. Each is small for what it would take.
fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("deep.iso", &deep(60, 60_000));
    folder.write("deep.tar.zst", &archive(&["x".repeat(250).as_str(); 15].join("/"), 30_000));
    let apart = archive(&vec!["a"; 1900].join("/"), 1);
    folder.write("levels.tar.zst", &apart);
    folder.write("many.tar.zst", &archive("d", 250_000));
    layout(&folder, "numbers", &index(zeros(10_000_000).trim_matches(['[', ']'])));
    layout(&folder, "objects", &index(&vec!["{}"; 5_000_000].join(",")));
    layout(&folder, "entry", &index(&format!(r#"{{"a":{}}}"#, zeros(10_000_000))));
    layout(&folder, "long", "");
    let long = folder.at("long/index.json");
    std::fs::File::options().write(true).open(long).unwrap().set_len(65 << 20).unwrap();
    layout(&folder, "marker", &index(""));
    folder.write("marker/oci-layout", zeros(1 << 20).as_bytes());
    let manifest = zeros((2 << 20) - 1);
    let digest = Digest::of_bytes(manifest.as_bytes());
    let named = r#""annotations":{"org.opencontainers.image.ref.name":"x"}"#;
    let size = manifest.len();
    let entry = format!(r#"{{"digest":"sha256:{digest}","size":{size},{named}}}"#);
    layout(&folder, "manifest", &index(&entry));
    folder.write(&format!("manifest/blobs/sha256/{digest}"), manifest.as_bytes());
    folder.write("u.jsonl", format!(r#"{{"name":"a","key":{}}}"#, zeros(10_000_000)).as_bytes());
    let list = zeros(10_000_000);
    folder.write("u.toml", format!("[[user]]\nname=\"a\"\nkey={list}\n").as_bytes());
    let pairs =
        (0..300_000).map(|number| format!(r#""k{number}":0,"#)).collect::<Vec<_>>().concat();
    folder.write("pairs.jsonl", format!(r#"{{{pairs}"name":"a"}}"#).as_bytes());
    let key = key(1);
    let many = |user: &str, count: usize| -> String {
        let user = user.replace("KEY", key.trim());
        (0..count).map(|number| user.replace("NUMBER", &number.to_string())).collect()
    };
    folder.write("sound.csv", ("name,key\n".to_owned() + &many("NUMBER,KEY\n", 30_000)).as_bytes());
    folder.write("many.csv", ("name\n".to_owned() + &many("NUMBER\n", 500_000)).as_bytes());
    folder.write("many.jsonl", many("{\"name\":\"NUMBER\"}\n", 500_000).as_bytes());
    folder.write("many.toml", many("[[user]]\nname='NUMBER'\n", 60_000).as_bytes());
    folder.write("keys.csv", ("name,key\na,".to_owned() + &"k;".repeat(3_000_000)).as_bytes());
    let list = zeros(300_000);
    folder.write("lists.toml", format!("[[user]]\nname=\"a\"\nkey={list}\n").as_bytes());
    folder
}

/// Command lines, their status, and what they say.
const ROWS: [(&str, i32, &str); 18] = [
    ("inspect deep.iso", 4, "the directory tree: looked for names of 48.0 MiB at most"),
    ("base.iso --key key.pub --overlay deep.tar.zst -o out", 2, "take more than 32.0 MiB"),
    ("base.iso --key key.pub --overlay levels.tar.zst -o out", 0, ""),
    ("base.iso --key key.pub --overlay many.tar.zst -f -o out", 0, ""),
    ("apply numbers --name x -o out", 4, "a manifest that is not an object"),
    ("apply objects --name x -o out", 4, "more values than memory is set aside for"),
    ("apply entry --name x -o out", 4, "more values than memory is set aside for"),
    ("apply long --name x -o out", 4, "67108864 at the most"),
    ("apply marker --name x -o out", 4, "65536 at the most"),
    ("apply manifest --name x -o out", 4, "more values than memory is set aside for"),
    ("stamp base.iso u.jsonl -o batch", 11, "more values than memory is set aside for"),
    ("stamp base.iso pairs.jsonl -o batch", 11, "more values than memory is set aside for"),
    ("stamp base.iso sound.csv --shard 1/1000000000 -o batch", 0, ""),
    (
        "stamp base.iso many.csv -o batch",
        2,
        "it takes more than 160.0 MiB of memory up to its user ",
    ),
    (
        "stamp base.iso many.jsonl -o batch",
        2,
        "it takes more than 160.0 MiB of memory up to its user ",
    ),
    (
        "stamp base.iso many.toml -o batch",
        2,
        "it takes more than 160.0 MiB of memory up to its user ",
    ),
    (
        "stamp base.iso keys.csv -o batch",
        2,
        "of memory up to its user 1\nhint: give the user fewer",
    ),
    ("stamp base.iso u.toml -o batch", 2, "more values than TOML is read with"),
];

/// Runs a command; what it says, its status, and the most kibibytes that it had in memory. The kernel keeps the most, so
/// that what is missed is what is taken in the last milliseconds.
fn measured(folder: &Folder, line: &str) -> (String, Option<i32>, u64) {
    let mut command: Command = folder.program(&line.split(' ').collect::<Vec<_>>());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let ended = thread::spawn(move || child.wait_with_output().unwrap());
    let mut most = 0;
    while !ended.is_finished() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let held = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let held = held.map(|held| held.trim_end_matches("kB").trim().parse().unwrap());
        most = most.max(held.unwrap_or(0));
        thread::sleep(Duration::from_millis(2));
    }
    let ended = ended.join().unwrap();
    (String::from_utf8_lossy(&ended.stderr).into_owned(), ended.status.code(), most)
}

#[test]
fn no_input_takes_more_memory_than_is_set_aside() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (line, status, words) in ROWS {
        let (said, ended, most) = measured(&folder, line);
        if ended != Some(status) || !said.contains(words) || most > MOST {
            wrong.push(format!("{line}: {ended:?}, {most} KiB: {said:.600}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is taken for small is small: places are looked up, not counted from the start each time.
    let begun = std::time::Instant::now();
    let (said, ended, most) = measured(&folder, "stamp base.iso lists.toml -o batch");
    assert!(ended == Some(11) && said.contains("lists.toml:3:6: key: "), "{ended:?}: {said}");
    assert!(most <= MOST && begun.elapsed().as_secs() < 20, "{most} KiB, {:?}", begun.elapsed());
}
