//! What memory an input takes: small ones that would take gigabytes take no more than sound ones.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use remaster::image::digest::Digest;

use crate::limits::{Frame, named};
use crate::support::{Folder, TINY, key, of_whole_volume, with_files};

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
    stamped(&folder);
    let list = zeros(300_000);
    folder.write("lists.toml", format!("[[user]]\nname=\"a\"\nkey={list}\n").as_bytes());
    folder
}

/// Makes images and what is beside them whose parts are large.
fn stamped(folder: &Folder) {
    let manifest = ["--manifest-digests", "--manifest", "m.json"];
    let line = [&["base.iso", "--key", "key.pub", "-o", "s.iso"], &manifest[..]].concat();
    folder.run(&line).done();
    let image = folder.read("s.iso");
    let mut manifest: serde_json::Value = serde_json::from_slice(&folder.read("m.json")).unwrap();
    let file = r#"{"path":"","kind":"","mode":"","owner":[0,0],"sha256":null},"#;
    let mut with = |field: &str, empty: &str, list: &str, count: usize| {
        let was = manifest[field].take();
        manifest[field] = serde_json::from_str(empty).unwrap();
        let text = serde_json::to_string(&manifest).unwrap();
        manifest[field] = was;
        let list = list.repeat(count);
        text.replace("\"LIST\"", list.trim_end_matches(','))
    };
    let blocks = with("blocks", r#"{"size":4194304,"sha256":["LIST"]}"#, "\"\",", 10_000_000);
    let files = with("files", r#"["LIST"]"#, file, (32 << 20) / file.len() - 100);
    folder.write("blocks.json", blocks.as_bytes());
    folder.write("files.json", files.as_bytes());
    folder.write("blocks.iso", &with_files(&image, "/manifest.json", blocks.as_bytes()));
    let member = |number: usize| named(&format!("remaster/root/{number:06}"), 0);
    let payload = [vec![0; 512], (0..500_000).flat_map(member).collect()].concat();
    let payload = [payload, named("TRAILER!!!", 0)].concat();
    folder.write("payload.iso", &with_files(&image, "/payload.img", &payload));
    let mut frame = Frame::new();
    frame.raw(&named("x", 200 << 20));
    frame.run(0, 200 << 20);
    // A Window_Descriptor of 128 MiB.
    let mut frame = frame.end();
    frame[5] = 17 << 3;
    folder.write("windows.iso", &of_whole_volume(with_files(&TINY, "/initrd", &frame)));
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(600 << 20);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let check = liblzma::stream::Check::Crc32;
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, check).unwrap();
    let mut packer = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    std::io::Write::write_all(&mut packer, &TINY).unwrap();
    std::io::Write::write_all(&mut packer, &vec![0; 700 << 20]).unwrap();
    folder.write("dictionary.iso.xz", &packer.finish().unwrap());
}

/// Command lines, their status, and what they say.
const ROWS: [(&str, i32, &str); 25] = [
    ("inspect windows.iso", 4, "the initrd"),
    ("inspect dictionary.iso.xz", 2, "a dictionary of more than 128 MiB"),
    ("verify base.iso --manifest blocks.json", 2, "the 64 hexadecimal digits of a SHA-256"),
    ("verify base.iso --manifest files.json", 3, ""),
    ("inspect blocks.iso", 3, ""),
    ("inspect payload.iso", 4, "looked for at most 80000 files"),
    ("edit --in-place payload.iso --hostname x", 4, "looked for at most 80000 files"),
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
