//! Every command says what a file is that is not an image, or not all of one; nothing is made of it.

use std::io::Write;
use std::process::Stdio;
use std::sync::LazyLock;

use crate::support::{Ended, Folder, SYSTEMD, TINY, key};

static SD: LazyLock<Vec<u8>> =
    LazyLock::new(|| zstd::decode_all(&include_bytes!("../tiny/tiny-sd.img.zst")[..]).unwrap());

/// Bytes at the start of a file that is much longer.
fn starting(with: &[u8]) -> Vec<u8> {
    let mut bytes = with.to_vec();
    bytes.extend((0..80_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()));
    bytes
}

fn at(place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = starting(b"begins like nothing that is known: ");
    file[place..place + bytes.len()].copy_from_slice(bytes);
    file
}

/// What is given, and what is said of it. What begins like a packed image is one, so it is not in this table.
fn others() -> Vec<(Vec<u8>, &'static str)> {
    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END";
    let mut pe = starting(b"MZ");
    pe[0x80..0x84].copy_from_slice(b"PE\0\0");
    vec![
        (b"".to_vec(), "is empty"),
        (vec![0; 1 << 20], "is blank"),
        (starting(b"\x01\x02\x03"), "is not a disk image: no known kind begins like this"),
        (b"\r\n<!DOCTYPE HTML>\n<html><body>302 Found".repeat(9), "is a web page"),
        (b"\xEF\xBB\xBF<html>".to_vec(), "is a web page"),
        (b"<?xml version='1.0'?>\n<html xmlns='x'>".to_vec(), "is a web page"),
        (b"<?xml version='1.0'?><metalink>".to_vec(), "is an XML document"),
        (b"no image\n".repeat(20_000), "is a text file"),
        (format!("na\u{ef}ve {}", "\u{20ac}".repeat(3000)).into_bytes(), "is a text file"),
        (b"[[user]]\nname = \"a\"\n".to_vec(), "is a text file"),
        (b"{\"error\": \"not found\"}".to_vec(), "is a JSON document"),
        (b"[ {\"a\": 1} ]".to_vec(), "is a JSON document"),
        (b"#!/bin/sh\nexit\n".to_vec(), "is a script"),
        (key(1).into_bytes(), "is an ssh key"),
        (private.into(), "is a private key"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n".to_vec(), "is a certificate"),
        (b"-----BEGIN PGP SIGNATURE-----\n".to_vec(), "is a signature"),
        ([&b"0123456789abcdef".repeat(4)[..], b"  nixos.iso\n"].concat(), "is a list of checksums"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "is a pointer of Git LFS"),
        (b"# Disk DescriptorFile\nversion=1\n".to_vec(), "is the description of a VMware disk"),
        (starting(b"remaster patch 1\n"), "is a remaster patch"),
        (at(0, b"remaster reset 1"), "holds an image whose reset was interrupted"),
        (at(0, b"remaster flash 1"), "is half written: writing it was interrupted"),
        (starting(b"7z\xBC\xAF\x27\x1C\0\x04"), "is a 7z archive"),
        (starting(b"Rar!\x1A\x07\x01\0"), "is a rar archive"),
        (starting(b"!<arch>\ndebian-binary   "), "is a Debian package"),
        (starting(b"\xED\xAB\xEE\xDB\x03\0"), "is an RPM package"),
        (starting(b"07070100000000"), "is a cpio archive"),
        (starting(b"MSWIM\0\0\0"), "is a Windows image (wim)"),
        (starting(b"\x02\x21\x4C\x18"), "is lz4 data"),
        (starting(b"\x5D\0\0\x80\0"), "is lzma data"),
        (starting(b"LZIP\x01"), "is lzip data"),
        (starting(b"QFI\xFB\0\0\0\x03"), "is a qcow2 image"),
        (starting(b"KDMV\x01"), "is a VMware disk (vmdk)"),
        (starting(b"conectix\0\0\0\x02"), "is a virtual disk (vhd)"),
        (starting(b"vhdxfile"), "is a virtual disk (vhdx)"),
        (at(0x40, b"\x7F\x10\xDA\xBE"), "is a VirtualBox disk (vdi)"),
        (starting(b"\x3A\xFF\x26\xED\x01\0"), "is an Android sparse image"),
        (starting(b"\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\x02"), "is a dump of a CD"),
        (starting(b"%PDF-1.7\n"), "is a PDF document"),
        (starting(b"\x89PNG\r\n\x1A\n"), "is a picture (png)"),
        (starting(b"\x7FELF\x02\x01\x01"), "is a program (ELF)"),
        (pe, "is a program for Windows or UEFI"),
        (
            [&vec![0; 510][..], b"\x55\xAA", &[0; 0x202 - 512][..], b"HdrS", &[7; 9000][..]]
                .concat(),
            "is a Linux kernel",
        ),
        (starting(b"d8:announce35:udp://"), "is a torrent"),
    ]
}

fn cut(image: &[u8], to: usize) -> Vec<u8> {
    image[..to].to_vec()
}

/// Images that end early, and what is said of them.
fn truncated() -> Vec<(Vec<u8>, &'static str)> {
    let ext4 = SD[1 << 20..].to_vec();
    vec![
        (cut(&TINY, TINY.len() * 3 / 4), "its volume descriptor says"),
        (cut(&TINY, 0x8400), "its volume descriptor"),
        (cut(&TINY, 20_000), "ends at"),
        (cut(&SYSTEMD, SYSTEMD.len() / 2), "its volume descriptor says"),
        (cut(&SD, 3_000_000), "partition 2 of its MBR ends at"),
        (cut(&SD, SD.len() - 512), "partition 2 of its MBR ends at"),
        (cut(&ext4, ext4.len() - 4096), "its superblock says"),
    ]
}

/// How a file may come.
pub(crate) const PACKINGS: [&str; 5] = ["plain", "gz", "xz", "zst", "zip"];

pub(crate) fn packed(bytes: &[u8], how: &str) -> Vec<u8> {
    match how {
        "gz" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zst" => zstd::encode_all(bytes, 1).unwrap(),
        "zip" => {
            let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            writer.start_file("image.iso", zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap().into_inner()
        }
        _ => bytes.to_vec(),
    }
}

fn given(bytes: &[u8]) -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("given", bytes);
    folder.write("key.pub", key(1).as_bytes());
    folder.write(
        "users.toml",
        format!("[[user]]\nname = \"a\"\nkey = [\"{}\"]\n", key(2)).as_bytes(),
    );
    folder
}

/// Ended with status 4, and an error that names the file, says these words, and what to do; nothing was made.
fn refuses(what: &str, folder: &Folder, ended: &Ended, words: &str) {
    let err = &ended.err;
    let error = err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert_eq!(ended.status, 4, "{what}: {err}");
    assert!(error.contains(words), "{what}: {words}: {err}");
    assert!(err.contains("\nhint: "), "{what}: {err}");
    let made = folder.names().into_iter().filter(|name| name.starts_with("out"));
    assert_eq!(made.collect::<Vec<_>>(), Vec::<String>::new(), "{what}");
}

/// The image comes through a pipe.
pub(crate) fn piped(folder: &Folder, bytes: &[u8], arguments: &[&str]) -> Ended {
    let mut child = folder.program(arguments);
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // What is refused by its first bytes is not read to its end.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    Ended::from(child.wait_with_output().unwrap())
}

#[test]
fn what_is_not_an_image_is_not_written_to_a_target_by_any_way() {
    for (bytes, words) in others() {
        for how in PACKINGS {
            let folder = given(&packed(&bytes, how));
            let what = format!("{words}, {how}");
            let ended = folder.run(&["flash", "given", "out", "--file"]);
            refuses(&what, &folder, &ended, words);
            assert!(ended.err.contains("given"), "{what}: {}", ended.err);
            let ended = piped(&folder, &folder.read("given"), &["flash", "-", "out", "--file"]);
            refuses(&format!("{what}, pipe"), &folder, &ended, words);
            assert!(ended.err.contains("standard input"), "{what}: {}", ended.err);
        }
    }
}

#[test]
fn what_is_truncated_is_refused_before_the_first_byte_or_leaves_the_first_block_out() {
    for (bytes, words) in truncated() {
        let (truncated, has) = ("is truncated: it has ", format!("it has {} bytes", bytes.len()));
        let folder = given(&bytes);
        let ended = folder.run(&["flash", "given", "out", "--file"]);
        refuses(words, &folder, &ended, truncated);
        assert!(ended.err.contains(words) && ended.err.contains(&has), "{words}: {}", ended.err);
        for how in PACKINGS {
            let folder = given(&packed(&bytes, how));
            let stream = folder.read("given");
            let runs: [&dyn Fn() -> Ended; 2] =
                [&|| piped(&folder, &stream, &["flash", "-", "target", "--file"]), &|| {
                    folder.run(&["flash", "given", "target", "--file"])
                }];
            for run in &runs[..if how == "plain" { 1 } else { 2 }] {
                run();
                assert!(!folder.names().contains(&"target".into()), "{words}, {how}: a new file");
                folder.write("target", &[0; 3]);
                let ended = run();
                refuses(&format!("{words}, {how}"), &folder, &ended, truncated);
                assert!(ended.err.contains(words) && ended.err.contains(&has), "{}", ended.err);
                let target = folder.read("target");
                assert!(target.starts_with(b"remaster flash 1"), "{words}, {how}");
                assert!(target[16..4096].iter().all(|byte| *byte == 0), "{words}, {how}");
                std::fs::remove_file(folder.at("target")).unwrap();
            }
        }
    }
}

#[test]
fn every_command_says_the_same_of_a_file_that_is_not_an_image_or_not_all_of_one() {
    let commands: &[&[&str]] = &[
        &["given", "--key", "key.pub", "-o", "out"],
        &["given", "--key", "key.pub", "-n"],
        &["flash", "given", "--key", "key.pub", "out", "--file"],
        &["stamp", "given", "users.toml", "-o", "out"],
        &["inspect", "given"],
        &["verify", "given"],
        &["verify", "base.iso", "--against", "given"],
        &["diff", "given", "base.iso"],
        &["diff", "base.iso", "given"],
        &["edit", "--in-place", "given", "--key", "key.pub"],
        &["reset", "given", "-o", "out"],
        &["apply", "given", "patch", "-o", "out"],
        &["flash", "given", "--patch", "patch", "out", "--file"],
        &["netboot", "given", "-o", "out"],
    ];
    let patch = Folder::with_base(&TINY);
    patch.write("key.pub", key(1).as_bytes());
    patch.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "patch"]).done();
    let rows = others().into_iter().chain(truncated());
    for (bytes, words) in rows {
        let folder = given(&bytes);
        folder.write("patch", &patch.read("patch"));
        for command in commands {
            // It says itself how it goes on.
            if command[0] == "reset" && words.contains("reset was interrupted") {
                continue;
            }
            let what = format!("{words}: {command:?}");
            let ended = folder.run(command);
            refuses(&what, &folder, &ended, words);
            assert!(ended.err.starts_with("error: given "), "{what}: {}", ended.err);
            assert!(ended.out.is_empty(), "{what}");
            assert!(folder.read("given") == bytes, "{what}: it was changed");
        }
    }
}

#[test]
fn a_disk_that_is_half_written_or_half_reset_is_called_that_where_it_is_compared_with_an_image() {
    let halves = ["is half written", "whose reset was interrupted"];
    for (bytes, words) in others() {
        if halves.iter().any(|half| words.contains(half)) {
            let folder = given(&bytes);
            let ended = folder.run(&["verify", "given", "--against", "base.iso"]);
            refuses(words, &folder, &ended, words);
            assert!(ended.err.contains("hint: "), "{words}: {}", ended.err);
        }
    }
}

#[test]
fn what_comes_out_of_a_packed_base_is_named_and_said_to_be_unpacked() {
    let page = b"<!DOCTYPE html>\n<html>".repeat(50);
    for how in &PACKINGS[1..] {
        for (bytes, words) in [(&page, "is a web page"), (&cut(&SD, 3_000_000), "is truncated")] {
            let folder = given(&packed(bytes, how));
            for command in [
                &["given", "--key", "key.pub", "-o", "out"][..],
                &["inspect", "given"],
                &["netboot", "given", "-o", "out"],
                &["reset", "given", "-o", "out"],
                &["flash", "given", "out", "--file"],
            ] {
                if command[0] == "flash" && words == "is truncated" {
                    continue;
                }
                let ended = folder.run(command);
                refuses(how, &folder, &ended, &format!("given (unpacked) {words}"));
            }
        }
    }
}

/// Commands that read or change an image as it lies there, and so take none that is packed.
const PLAIN: [(&str, &str); 7] = [
    ("verify given", "verify"),
    ("verify given --against base.iso", "verify"),
    ("edit --in-place given --key key.pub", "edit --in-place"),
    ("edit --recover given", "edit --recover"),
    ("reset --in-place given", "reset --in-place"),
    ("ssh given", "ssh"),
    ("try given", "try"),
];

#[test]
fn a_packed_image_where_a_plain_one_is_needed_is_called_packed_and_the_command_that_unpacks_it_is_named()
 {
    let unpackers = ["gunzip -k", "unxz -k", "unzstd", "unzip"];
    for (how, unpacker) in PACKINGS[1..].iter().zip(unpackers) {
        let folder = given(&packed(&TINY, how));
        let before = folder.read("given");
        for (command, name) in PLAIN {
            let ended = folder.run(&command.split(' ').collect::<Vec<_>>());
            let needs = format!("and `remaster {name}` needs a plain image");
            refuses(&format!("{how}: {command}"), &folder, &ended, &needs);
            assert!(ended.err.contains("error: given is packed ("), "{}", ended.err);
            let hint = format!("hint: unpack it with `{unpacker} given`");
            assert!(ended.err.contains(&hint), "{hint}: {}", ended.err);
            assert!(folder.read("given") == before, "{command}");
        }
    }
}

#[test]
fn only_what_was_unpacked_and_is_packed_still_is_called_packed_twice() {
    let commands: [&[&str]; 5] = [
        &["given", "--key", "key.pub", "-o", "out"],
        &["inspect", "given"],
        &["netboot", "given", "-o", "out"],
        &["reset", "given", "-o", "out"],
        &["flash", "given", "out", "--file"],
    ];
    for how in &PACKINGS[1..] {
        let folder = given(&packed(&packed(&TINY, how), "gz"));
        for command in commands {
            let ended = folder.run(command);
            refuses(how, &folder, &ended, "given (unpacked) is ");
            assert!(ended.err.contains("hint: it is packed twice"), "{how}: {}", ended.err);
        }
        let ended = piped(&folder, &folder.read("given"), &["flash", "-", "out", "--file"]);
        assert!(ended.err.contains("hint: it is packed twice"), "{how}: {}", ended.err);
    }
}

/// Files that remaster wrote, changed; what reads them, and what is said: status, words of the error, of the hint.
const OWN: &[(&str, &str, i32, &str, &str)] = &[
    ("newer.patch", "apply base.iso GIVEN -o out", 4, "GIVEN: ", "a newer version of remaster"),
    ("newer.patch", "flash base.iso --patch GIVEN --to-file out", 4, "GIVEN: ", "a newer version"),
    ("cut.patch", "apply base.iso GIVEN -o out", 4, "GIVEN: ", "get the patch again"),
    ("cut.patch", "flash base.iso --patch GIVEN --to-file out", 4, "GIVEN: ", "the patch again"),
    ("packed.patch", "apply base.iso GIVEN -o out", 4, "gzip data", "unpack it with `gunzip -k"),
    ("newer.json", "verify digests.iso --manifest GIVEN", 4, "GIVEN: ", "a newer version"),
    ("newer.iso", "verify GIVEN", 4, "GIVEN: ", "a newer version"),
    ("newer.iso", "reset GIVEN -o out", 4, "GIVEN: ", "a newer version"),
    ("newer.iso", "edit --in-place GIVEN --key other.pub", 4, "GIVEN: ", "a newer version"),
    ("newer.descriptor", "apply GIVEN -o out", 4, "GIVEN: ", "a newer version"),
    ("bad.descriptor", "apply GIVEN -o out", 4, "GIVEN", "--as patch --descriptor"),
    ("layout", "apply GIVEN --name ann -o out", 4, "GIVEN/index.json", "get the layout again"),
    ("nb/initrd", "inspect GIVEN", 4, "as initrds are", "the folder with it and its kernel"),
    ("m.json", "verify c.iso --manifest GIVEN", 3, "GIVEN was not written for c.iso", "the image"),
    ("m.json", "verify base.iso --manifest GIVEN", 3, "was not written for base.iso", "the image"),
];

/// The first of these bytes that is found, replaced.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|part| part == old).unwrap();
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

fn own_forms() -> Folder {
    let folder = given(&TINY);
    folder.write("other.pub", key(2).as_bytes());
    folder.write("u.toml", b"[[user]]\nname = 'ann'\nkey = 'key.pub'\n");
    for made in [
        "base.iso --key key.pub -o c.iso",
        "base.iso --key key.pub --as patch -o p",
        "base.iso --key key.pub --manifest-digests --manifest m.json -o digests.iso",
        "stamp base.iso u.toml --as oci -o layout",
        "stamp base.iso u.toml --as patch --descriptor -o patches",
        "netboot base.iso --key key.pub -o nb",
    ] {
        let ended = folder.run(&made.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.status, 0, "{made}: {}", ended.err);
    }
    let (patch, manifest) = (folder.read("p"), br#""manifest": 3"#);
    let newer = |name: &str| replaced(&folder.read(name), manifest, br#""manifest": 4"#);
    folder.write("newer.patch", &replaced(&patch, b"patch 1", b"patch 2"));
    folder.write("cut.patch", &patch[..patch.len() - 100]);
    folder.write("packed.patch", &packed(&patch, "gz"));
    folder.write("newer.json", &newer("m.json"));
    folder.write("newer.iso", &newer("c.iso"));
    let descriptor = folder.read("patches/ann.remaster.descriptor.json");
    let (old, new) = (br#""descriptor": 1"#, br#""descriptor": 2"#);
    folder.write("newer.descriptor", &replaced(&descriptor, old, new));
    folder.write("bad.descriptor", b"{\"descriptor\": 1}");
    folder.write("layout/index.json", b"x");
    folder
}

#[test]
fn what_is_not_an_image_is_not_answered_with_the_advice_for_one() {
    let folder = own_forms();
    for (file, line, status, error, hint) in OWN {
        let line = line.replace("GIVEN", file);
        let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
        let (told, advice) = ended.err.split_once("\nhint: ").unwrap_or_default();
        assert_eq!(ended.status, *status, "{line}: {}", ended.err);
        let error = error.replace("GIVEN", file);
        assert!(told.contains(&error) && advice.contains(hint), "{line}: {hint}: {}", ended.err);
        let is_of_image = ["official NixOS", "the image with the published"];
        assert!(!is_of_image.iter().any(|words| advice.contains(words)), "{line}: {advice}");
        assert!(!folder.at("out").exists(), "{line}");
    }
}

#[test]
fn with_any_everything_is_written_as_it_is() {
    for (bytes, words) in others().into_iter().chain(truncated()).filter(|row| !row.0.is_empty()) {
        let folder = given(&bytes);
        folder.run(&["flash", "given", "out", "--file", "--any"]).done();
        assert!(folder.read("out") == bytes, "{words}");
        folder.run(&["verify", "out", "--against", "given", "--any"]).done();
    }
}

#[test]
fn images_of_every_kind_are_taken() {
    let boot_record = at(510, b"\x55\xAA");
    let mut boot_record = boot_record;
    boot_record[446..510].fill(0);
    let mut udf = starting(b"");
    udf[0x8001..0x8006].copy_from_slice(b"BEA01");
    let ext4 = SD[1 << 20..].to_vec();
    let long = [TINY.as_slice(), &[7; 5000]].concat();
    for (what, bytes) in [
        ("ISO", TINY.to_vec()),
        ("raw", SD.to_vec()),
        ("ext4", ext4),
        ("boot record", boot_record),
        ("udf", udf),
        ("longer than it says", long),
        ("squashfs", [b"hsqs".as_slice(), &[0; 36], &9000_u64.to_le_bytes(), &[5; 9000]].concat()),
    ] {
        for how in PACKINGS {
            let folder = given(&packed(&bytes, how));
            folder.run(&["flash", "given", "out", "--file"]).done();
            assert!(folder.read("out") == bytes, "{what}, {how}");
        }
    }
}

#[test]
fn sound_archives_that_are_not_unpacked_are_not_called_damaged() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    let zip = packed(&TINY, "zip");
    // The method of compression and the flags, in the header of the file and in the list at the end.
    let with = |at_local: usize, at_central: usize, value: u8| {
        let mut zip = zip.clone();
        let central = zip.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
        zip[at_local] = value;
        zip[central + at_central] = value;
        zip
    };
    let rows: [(Vec<u8>, &str, &str); 5] = [
        (with(8, 10, 14), "packed by deflate, found one packed by lzma", "7z x FILE"),
        (with(8, 10, 9), "found one packed by deflate64", "7z x FILE"),
        (with(8, 10, 77), "found one packed by method 77", "7z x FILE"),
        (with(6, 8, 1), "a file without a password, found an encrypted one", "7z x FILE"),
        (zip[..zip.len() - 30].to_vec(), "a list of its files at its end", "download it again"),
    ];
    for (bytes, words, hint) in rows {
        folder.write("x.zip", &bytes);
        let ended = folder.run(&["x.zip", "--key", "key.pub", "-o", "y.iso"]);
        ended.refused(4, words);
        assert!(ended.err.contains(hint), "{}", ended.err);
    }
}

#[test]
fn a_damaged_index_of_xz_is_not_called_too_much() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    let sound = packed(&TINY, "xz");
    // The index of one block has 12 bytes, and the footer behind it as many.
    let index = sound.len() - 12 - 12;
    for at in index..sound.len() - 12 {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x7f;
        folder.write("x.iso.xz", &bytes);
        let ended = folder.run(&["x.iso.xz", "--key", "key.pub", "-f", "-o", "y.iso"]);
        ended.refused(4, "sound data");
    }
}

#[test]
fn a_tar_archive_of_links_says_so() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "x.iso", "/elsewhere/x.iso").unwrap();
    let bytes = archive.into_inner().unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &bytes).unwrap();
    folder.write("x.tar.gz", &encoder.finish().unwrap());
    folder
        .run(&["flash", "x.tar.gz", "--to-file", "y.iso"])
        .refused(4, "found a link alone: x.iso");
}

/// Names of files in a zip archive, which all have the bytes of an image, and what is said if none of them is taken.
const ZIP_NAMES: [(&[&str], &str); 10] = [
    (&["image.iso"], ""),
    (&["folder/", "folder/IMAGE.ISO"], ""),
    (&["image"], ""),
    (&["../../image.iso"], ""),
    (&["image.iso", "readme.txt"], ""),
    (&["__MACOSX/._image.iso", "image.iso"], ""),
    (&["folder/.DS_Store", "folder/image.img"], ""),
    (&["one.iso", "two.iso"], "2 files: one.iso, two.iso"),
    (&["one", "two"], "2 files: one, two"),
    (&["folder/"], "0 files"),
];

#[test]
fn the_one_image_of_a_zip_archive_is_found_by_its_name() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    let options = zip::write::SimpleFileOptions::default();
    for (names, words) in ZIP_NAMES {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in names {
            if name.ends_with('/') {
                writer.add_directory(*name, options).unwrap();
                continue;
            }
            writer.start_file(*name, options).unwrap();
            writer.write_all(&TINY).unwrap();
        }
        folder.write("x.zip", &writer.finish().unwrap().into_inner());
        let ended = folder.run(&["x.zip", "--key", "key.pub", "-f", "-o", "y.iso"]);
        if words.is_empty() {
            assert_eq!(ended.status, 0, "{names:?}: {}", ended.err);
        } else {
            assert!(ended.status != 0 && ended.err.contains(words), "{names:?}: {}", ended.err);
        }
    }
}

/// Of 1024 bits, made by ssh-keygen.
const SHORT_RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDCMUa4Imdvag5e/l1Y2tg8Se26sU4Jg6rlanQR6l67wnvocS4hIfl9RpJHRM/W/53P2UKRl4h7yiMmLHm0+UfLANXSGuVZbqzoMVblbFrZCpP+4zW98bilcEjp7xhSiJBi8gBqgfO6BE6F9FDQZMCr5PXyymDYICJ3BJdVqhicSw== short";

#[test]
fn a_short_rsa_key_is_refused_by_every_command_that_takes_keys() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("short.pub", SHORT_RSA.as_bytes());
    folder.write("both.pub", format!("{}\n{SHORT_RSA}\n", key(1)).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'u'\nkey = 'short.pub'\n");
    folder.run(&["base.iso", "--key", "key.pub", "-o", "e.iso"]).done();
    folder.run(&["netboot", "base.iso", "-o", "nb"]).done();
    folder.write("kexec.tar", &crate::netboot::kexec(&folder.read("nb/initrd")));
    for words in [
        "base.iso --key short.pub -o out",
        "base.iso --key both.pub -o out",
        "base.iso --key short.pub --as patch -o out",
        "base.iso --key short.pub --dry-run",
        "edit --in-place e.iso --key short.pub",
        "flash base.iso --key short.pub --to-file out",
        "netboot base.iso --key short.pub -o out",
        "netboot nb --key short.pub -o out",
        "kexec.tar --key short.pub -o out",
        "stamp base.iso users.toml -o out",
    ] {
        let before = folder.read("e.iso");
        let ended = folder.run(&words.split(' ').collect::<Vec<_>>());
        assert_ne!(ended.status, 0, "{words}: {}", ended.err);
        let told = "an RSA key of 1024 bits, expected at least 2048";
        assert!(ended.err.contains(told), "{words}: {}", ended.err);
        assert!(folder.read("e.iso") == before, "{words}");
        assert!(!folder.at("out").is_file(), "{words}");
    }
}
