//! Files that are too large for an initrd: on the volume, with their bytes, and gone again.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use remaster::image::ImageFile;
use remaster::image::digest::Digest;
use remaster::iso::injected::IsoBase;
use remaster::recipe::edits::{Attached, Edits, InjectMethod, Purpose};

use crate::support::{
    Folder, TINY, WAYS, assert_same, bases, bytes, edits, stamp, survey, try_stamp,
};

/// A file without a name.
fn attached(purpose: Purpose, bytes: &[u8]) -> Attached {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Attached::new(purpose, Arc::new(ImageFile::opened(file, "made up").unwrap())).unwrap()
}

fn with_files(way: InjectMethod) -> (Edits, [Vec<u8>; 2]) {
    let contents = [vec![7; 5000], (0..=255).cycle().take(70_001).collect()];
    let mut edits = edits(1, way);
    edits.attached = vec![
        attached(Purpose::Overlay, &contents[0]),
        attached(Purpose::Store { on_path: true }, &contents[1]),
    ];
    (edits, contents)
}

#[test]
fn attached_files_are_on_the_volume_in_both_hierarchies() {
    for (name, base) in bases() {
        for way in WAYS {
            let (edits, contents) = with_files(way);
            let image = stamp(base, &edits);
            for tree in &survey(&image).trees {
                for (number, expected) in (1..).zip(&contents) {
                    let id = &Digest::of_bytes(expected).to_string()[..16];
                    let path = format!("/remaster/files{number}-{id}.img");
                    let node = tree.file(&path).unwrap_or_else(|| panic!("{name}: {path}"));
                    let at = node.extents[0];
                    let (start, end) =
                        (at.start().try_into().unwrap(), at.end().try_into().unwrap());
                    let found: &[u8] = image.get(start..end).unwrap();
                    assert_same(&format!("{name} {path}"), found, expected);
                }
            }
        }
    }
}

#[test]
fn the_base_below_is_the_base_and_stamping_again_leaves_nothing_of_them() {
    for (name, base) in bases() {
        for way in WAYS {
            let image = stamp(base, &with_files(way).0);
            let below = IsoBase::open(image.as_slice()).unwrap();
            assert_eq!(below.stamped.as_ref().unwrap().attached.len(), 2);
            assert_same(name, &bytes(&below.image), base);
            let plain = edits(2, way);
            assert_same(name, &stamp(&image, &plain), &stamp(base, &plain));
        }
    }
}

#[test]
fn a_file_over_4_gib_is_refused_by_name() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 32).unwrap();
    let mut edits = edits(1, InjectMethod::ExtraInitrd);
    let bytes = Arc::new(ImageFile::opened(file, "large.squashfs").unwrap());
    let id = "0123456789abcdef".into();
    edits.attached = vec![Attached { purpose: Purpose::Overlay, bytes, id }];
    let fault = try_stamp(&TINY, &edits).unwrap_err().to_string();
    assert!(fault.contains("one extent of the volume, for large.squashfs"), "{fault}");
}

/// A folder with a base and an overlay of this many bytes that do not compress.
fn with_overlay(size: u32) -> Folder {
    let folder = Folder::with_base(&TINY);
    fs::create_dir_all(folder.at("top/srv")).unwrap();
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let bytes: Vec<u8> = (0..size).map(|_| next()).collect();
    folder.write("top/srv/noise", &bytes);
    folder
}

#[test]
fn a_dry_run_shows_sizes_and_inspect_shows_the_files() {
    let folder = with_overlay(17 << 20);
    let run = |more: &[&str]| {
        let mut arguments = vec!["base.iso", "--overlay", "top"];
        arguments.extend(more);
        folder.run(&arguments).quietly()
    };
    let shown = String::from_utf8(run(&["-n", "-q"])).unwrap();
    assert!(shown.contains("would add /remaster/files1-"), "{shown}");
    run(&["-q", "-o", "a.iso"]);
    run(&["-q", "-o", "b.iso"]);
    assert_same("stamped twice", &folder.read("a.iso"), &folder.read("b.iso"));
    let shown = String::from_utf8(folder.run(&["inspect", "--all", "a.iso"]).quietly()).unwrap();
    assert!(shown.contains("on the volume: 17.") && shown.contains("/remaster/files1-"), "{shown}");
    let json = folder.run(&["inspect", "--json", "a.iso"]).quietly();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let path = json["injected"]["attached"][0]["path"].as_str().unwrap();
    assert!(path.starts_with("/remaster/files1-") && path.len() == 37, "{path}");
    assert!(json["injected"]["attached"][0]["size"].as_u64().unwrap() > 17 << 20);
}

#[test]
fn bad_files_end_the_program_with_status_2_and_nothing_is_written() {
    let folder = with_overlay(10);
    fs::create_dir_all(folder.at("top/etc")).unwrap();
    folder.write("top/etc/hostname", b"name");
    folder.write("bad.toml", b"overlay = [\"top\"]\n");
    let ended = folder.run(&["base.iso", "--recipe", "bad.toml", "-o", "out.iso"]);
    ended.refused(2, "bad.toml:1:");
    ended.refused(2, "overlay: /etc/hostname: NixOS puts its own in this place");
    assert!(!folder.names().contains(&"out.iso".to_owned()));
}

/// A tar archive with one member of these bytes, whose header is changed; behind these extensions.
fn archive(extensions: &[(&str, &[u8])], change: fn(&mut tar::Header)) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    if !extensions.is_empty() {
        archive.append_pax_extensions(extensions.iter().copied()).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(4);
    header.set_path("etc/one").unwrap();
    change(&mut header);
    header.set_cksum();
    archive.append(&header, &b"text"[..]).unwrap();
    archive.into_inner().unwrap()
}

/// A file of 1 MiB whose last four bytes alone are in the archive.
fn is_sparse(header: &mut tar::Header) {
    header.set_entry_type(tar::EntryType::GNUSparse);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.sparse[0].offset.copy_from_slice(b"00003777774\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000004\0");
    gnu.realsize.copy_from_slice(b"00004000000\0");
}

fn is_named(header: &mut tar::Header, name: &[u8]) {
    let field = &mut header.as_gnu_mut().unwrap().name;
    field.fill(0);
    field[..name.len()].copy_from_slice(name);
}

#[test]
fn what_is_wrong_with_a_member_of_an_archive_is_told_with_what_mends_it() {
    let folder = Folder::new();
    folder.write("base.iso", &TINY);
    let within = "make the archive from within the folder";
    let rename = "give it another name, and make the archive again";
    let sparse = "make the archive without --sparse";
    let pax = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.name", b"etc/other")];
    for (bytes, what, hint) in [
        (archive(&[], is_sparse), "etc/one is a sparse file", sparse),
        (archive(&pax, |_| {}), "etc/other is a sparse file", sparse),
        (archive(&pax[..1], |_| {}), "etc/one is a sparse file", sparse),
        (archive(&[], |it| is_named(it, b"etc/a\nb")), "has a control character in", rename),
        (archive(&[], |it| is_named(it, b"etc/a\xffb")), "has a name that is not UTF-8", rename),
        (archive(&[], |it| is_named(it, b"../etc")), "has `..` in its name", within),
        (archive(&[], |it| is_named(it, b"/etc/one")), "has an absolute name", within),
        (
            archive(&[], |it| it.set_size(4096)),
            "ends within a file of 4096 bytes",
            "give a tar archive",
        ),
    ] {
        folder.write("top.tar", &bytes);
        let ended = folder.run(&["base.iso", "--overlay", "top.tar", "-o", "out.iso"]);
        let is_told = ended.err.contains(what) && ended.err.contains(hint);
        assert!(ended.status != 0 && is_told, "{what}: {}", ended.err);
        assert!(!folder.at("out.iso").exists());
    }
}
