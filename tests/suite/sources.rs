//! How an image comes that is written to a stick, and by which SHA-256 it is held.

use std::io::Write;
use std::process::{Command, Stdio};

use remaster::image::digest::Digest;

use crate::support::{Ended, Folder, TINY, key};
use crate::wrong::{PACKINGS, packed, piped};

/// Ways in which the file `given` comes.
const COMES: [&str; 4] = ["given", "-", "fifo", "/dev/stdin"];

/// Flashes `given` to the file `out`.
fn flash(folder: &Folder, comes: &str, more: &[&str]) -> Ended {
    let bytes = folder.read("given");
    let arguments = [&["flash", comes, "--to-file", "out"], more].concat();
    match comes {
        "given" => folder.run(&arguments),
        "fifo" => by_fifo(folder, &bytes, &arguments),
        _ => piped(folder, &bytes, &arguments),
    }
}

fn by_fifo(folder: &Folder, bytes: &[u8], arguments: &[&str]) -> Ended {
    let made = Command::new("mkfifo").arg(folder.at("fifo")).status().unwrap();
    assert!(made.success());
    let mut child = folder.program(arguments);
    let child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let mut fifo = std::fs::File::options().write(true).open(folder.at("fifo")).unwrap();
    // What is refused is not read to its end.
    let _ = fifo.write_all(bytes);
    drop(fifo);
    Ended::from(child.wait_with_output().unwrap())
}

fn given(bytes: &[u8]) -> Folder {
    let folder = Folder::new();
    folder.write("given", bytes);
    folder
}

#[test]
fn an_image_is_held_to_a_digest_however_it_comes_packed_or_not() {
    for how in PACKINGS {
        let given_bytes = packed(&TINY, how);
        let (image, as_given) = (Digest::of_bytes(&TINY), Digest::of_bytes(&given_bytes));
        let other = Digest::of_bytes(b"other");
        for comes in COMES {
            let by_flag = |digest: Digest, as_file: bool| {
                let folder = given(&given_bytes);
                folder.write("sums", format!("{digest}  given\n").as_bytes());
                let digest = digest.to_string();
                let flag = if as_file { ["--sha256-file", "sums"] } else { ["--sha256", &digest] };
                let ended = flash(&folder, comes, &flag);
                (folder, ended)
            };
            for as_file in [false, true] {
                let what = format!("{how}, {comes}, {as_file}");
                for (digest, words) in [(image, "of the image"), (as_given, "of the packed bytes")]
                {
                    let words = if how == "plain" { "of the image" } else { words };
                    let (folder, ended) = by_flag(digest, as_file);
                    let said = ended.text().to_owned() + &ended.err;
                    assert!(ended.status == 0, "{what}: {said}");
                    assert!(said.contains(&format!("SHA-256 verified, {words}")), "{what}: {said}");
                    assert!(folder.read("out") == *TINY, "{what}");
                }
                let (folder, ended) = by_flag(other, as_file);
                assert_eq!(ended.status, 3, "{what}: {}", ended.err);
                for digest in [as_given, other] {
                    assert!(ended.err.contains(&digest.to_string()), "{what}: {}", ended.err);
                }
                assert!(!folder.names().contains(&"out".into()), "{what}: {}", ended.err);
            }
        }
    }
}

#[test]
fn a_packed_file_has_its_own_digest_and_an_archive_is_called_one() {
    let digest = Digest::of_bytes(&packed(&TINY, "xz")).to_string();
    let folder = given(&packed(&TINY, "xz"));
    folder.write("sums", format!("{digest}  given\n").as_bytes());
    folder.run(&["verify", "given", "--sha256", &digest]).done();
    folder.run(&["verify", "given", "--sha256-file", "sums"]).done();
    let other = Digest::of_bytes(b"other").to_string();
    folder.run(&["verify", "given", "--sha256", &other]).refused(3, &other);
    folder.run(&["verify", "given"]).refused(4, "is packed (xz)");
    folder.write("given", &packed(&tar(&[("bzImage", b"k"), ("initrd", b"i")]), "gz"));
    for line in ["verify", "edit --in-place", "reset --in-place", "try", "ssh"] {
        let words: Vec<&str> = line.split(' ').chain(["given"]).collect();
        let key = if line.starts_with("edit") { &["--hostname", "x"][..] } else { &[] };
        let ended = folder.run(&[&words, key].concat());
        assert!(
            ended.err.contains("given is a tar archive, packed (gzip)"),
            "{line}: {}",
            ended.err
        );
        assert!(ended.err.contains("`remaster inspect FILE`"), "{line}: {}", ended.err);
    }
}

#[test]
fn nothing_is_put_into_what_comes_through_a_pipe() {
    for comes in ["-", "/dev/stdin"] {
        for more in [&["--hostname", "x"][..], &["--patch", "p"]] {
            let folder = given(&TINY);
            folder.run(&["given", "--hostname", "x", "--as", "patch", "-o", "p"]).done();
            let ended = flash(&folder, comes, more);
            assert!(ended.status == 2 && ended.err.contains("through a pipe"), "{}", ended.err);
        }
    }
}

#[test]
fn a_digest_that_stands_beside_the_image_is_used_and_said() {
    for how in PACKINGS {
        let bytes = packed(&TINY, how);
        let (image, as_given) = (Digest::of_bytes(&TINY), Digest::of_bytes(&bytes));
        let ended = |list: String, more: &[&str]| {
            let folder = given(&bytes);
            folder.write("given.sha256", list.as_bytes());
            flash(&folder, "given", more)
        };
        for digest in [image, as_given] {
            let ended = ended(format!("{digest}  given\n"), &[]);
            assert_eq!(ended.status, 0, "{how}: {}", ended.err);
            assert!(ended.err.contains("the SHA-256 in given.sha256"), "{how}: {}", ended.err);
        }
        let other = Digest::of_bytes(b"other");
        let wrong = ended(format!("{other}\n"), &[]);
        assert!(
            wrong.status == 3 && wrong.err.contains(&other.to_string()),
            "{how}: {}",
            wrong.err
        );
        // One that is given wins, and a list for something else is told, and no reason to stop.
        let given = ended(format!("{other}\n"), &["--sha256", &image.to_string()]);
        assert!(given.status == 0 && !given.err.contains("given.sha256"), "{how}: {}", given.err);
        let list = ended(format!("{other}  another.iso\n"), &[]);
        assert_eq!(list.status, 0, "{how}: {}", list.err);
        assert!(list.err.contains("given.sha256, beside the image"), "{how}: {}", list.err);
    }
}

#[test]
fn a_list_of_digests_may_name_what_is_packed_in_the_file() {
    let folder = Folder::new();
    folder.write("x.iso.zst", &packed(&TINY, "zst"));
    folder.write("sums", format!("{}  x.iso\n", Digest::of_bytes(&TINY)).as_bytes());
    folder.run(&["flash", "x.iso.zst", "--sha256-file", "sums", "--to-file", "out"]).done();
}

#[test]
fn a_url_is_to_be_fetched_first() {
    let folder = Folder::with_base(&TINY);
    let url = "https://example.org/nixos.iso";
    for command in [
        &["flash", url, "--to-file", "out"][..],
        &["flash", url, "--sha256", &"0".repeat(64), "--to-file", "out"],
        &["inspect", url],
        &["verify", "base.iso", "--against", url],
        &[url, "--key", &key(1), "-o", "out"],
    ] {
        let ended = folder.run(command);
        ended.refused(2, &format!("{url} is a URL"));
        assert!(ended.err.contains("hint: fetch it first"), "{command:?}: {}", ended.err);
    }
}

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a [u8])];

/// A tar archive of these files.
fn tar(files: Files<'_>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len()).unwrap());
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn the_one_image_of_a_packed_tar_archive_is_written_and_another_archive_is_refused() {
    let image = TINY.as_slice();
    let rows: [(Files<'_>, &str); 6] = [
        (&[("a.img", image)], ""),
        (&[("a/README", b"read me"), ("a/a.iso", image), ("a/a.iso.sha256", b"x")], ""),
        (&[("._a.img", b"side file"), ("a.raw", image)], ""),
        (&[("a.img", image), ("b.img", image)], "found two: a.img and b.img"),
        (&[("bzImage", b"k"), ("initrd", b"i")], "found bzImage, initrd"),
        (&[("._a", b"side file")], "found no file"),
    ];
    for (files, refused) in rows {
        let archive = tar(files);
        for how in ["gz", "xz", "zst"] {
            for comes in ["given", "-"] {
                let folder = given(&packed(&archive, how));
                let ended = flash(&folder, comes, &[]);
                let what = format!("{}, {how}, {comes}: {}", files[0].0, ended.err);
                if refused.is_empty() {
                    assert!(ended.status == 0 && folder.read("out") == image, "{what}");
                } else {
                    assert!(ended.status == 4 && ended.err.contains(refused), "{what}");
                    assert!(ended.err.contains("hint: unpack it with `tar"), "{what}");
                    assert!(ended.err.contains("`remaster inspect FILE`"), "{what}");
                }
            }
        }
    }
}

#[test]
fn the_file_of_host_keys_is_written_beside_a_file_and_named() {
    let folder = Folder::with_base(&TINY);
    let words =
        ["flash", "base.iso", "--key", &key(1), "--host-key", "generate", "--to-file", "out"];
    let said = folder.run(&words).err;
    assert!(said.contains("wrote out.known_hosts"), "{said}");
    let first = folder.read("out.known_hosts");
    assert!(String::from_utf8_lossy(&first).contains("ssh-ed25519 "));
    folder.run(&words).done();
    assert!(folder.read("out.known_hosts") != first, "it is about the image that was written last");
}
