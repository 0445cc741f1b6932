//! Installers with made-up files beside what is theirs, as xorriso makes them: we, xorriso and isoinfo read the same in
//! them, before and after stamping. Wants xorriso and isoinfo.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use remaster::iso::survey::tree::{Kind, Tree};
use remaster::recipe::edits::InjectMethod;

use crate::hostile_bases::unified_kernel;
use crate::support::{Folder, TINY, edits, stamp, survey, try_stamp};

/// Runs a program, which must be there.
fn run(folder: &Folder, program: &str, arguments: &[&str]) -> String {
    let ended = Command::new(program).args(arguments).current_dir(folder.path()).output();
    let ended = ended.unwrap_or_else(|fault| panic!("{program} is needed: {fault}"));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

/// Paths and contents of made-up files. xorriso leaves longer paths out of the Joliet hierarchy.
fn files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let name = prop_oneof![
        "[a-z]{1,12}",
        "[A-Z]{1,8}[.][A-Z]{1,3}",
        "[a-zA-Z0-9_.+-]{1,60}x",
        "[äöü]{1,20}"
    ];
    let path =
        proptest::collection::vec(name, 1..6).prop_map(|names| format!("made/{}", names.join("/")));
    let path = path.prop_filter("too long for Joliet", |path| path.chars().count() < 110);
    let bytes = proptest::collection::vec(any::<u8>(), 0..5000);
    proptest::collection::btree_map(path, bytes, 1..60)
}

/// The files of an image, with what is in them.
fn read(image: &[u8], tree: &Tree) -> BTreeMap<String, Vec<u8>> {
    let bytes = |node: &remaster::iso::survey::tree::Node| {
        let extents = node.extents.iter();
        let part = |at: &remaster::units::ByteRange| {
            image[usize::try_from(at.start()).unwrap()..usize::try_from(at.end()).unwrap()].to_vec()
        };
        extents.flat_map(part).collect()
    };
    tree.files().map(|(path, node)| (path.to_owned(), bytes(node))).collect()
}

/// An installer with the files of the tiny one and these.
fn installer(folder: &Folder, more: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let survey = survey(&TINY);
    let mut list = String::new();
    for (path, bytes) in read(&TINY, survey.tree()) {
        // xorriso makes the catalog itself.
        if path == "/.boot.cat" || more.contains_key(&path[1..]) {
            continue;
        }
        let name = format!("f{}", list.len());
        folder.write(&name, &bytes);
        writeln!(list, "{path}={name}").unwrap();
    }
    for (path, bytes) in more {
        let name = format!("f{}", list.len());
        folder.write(&name, bytes);
        writeln!(list, "{path}={name}").unwrap();
    }
    folder.write("list", list.as_bytes());
    folder.write("mbr", &TINY[..432]);
    let bios = "-eltorito-boot isolinux/isolinux.bin -eltorito-catalog .boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table -isohybrid-mbr mbr";
    let efi = "-eltorito-alt-boot -e boot/efi.img -no-emul-boot -isohybrid-gpt-basdat";
    let own = "-as mkisofs -quiet -iso-level 3 -volid nixos-minimal-25.11-x86_64 -graft-points -full-iso9660-filenames -joliet";
    let words = format!("{own} {bios} {efi} -r -path-list list -output made.iso");
    let words: Vec<&str> = words.split(' ').collect();
    run(folder, "xorriso", &words);
    folder.read("made.iso")
}

/// What others read in an image: every file by xorriso, the list by isoinfo.
fn compare(folder: &Folder, what: &str, image: &[u8]) {
    folder.write("x.iso", image);
    let (tree, out) = (survey(image), folder.at("out"));
    let own = read(image, tree.tree());
    let arguments = "-osirrox on -indev x.iso -extract / out";
    run(folder, "xorriso", &arguments.split(' ').collect::<Vec<_>>());
    for (path, bytes) in &own {
        let theirs = fs::read(out.join(path.trim_start_matches('/')));
        assert!(
            theirs.unwrap_or_else(|fault| panic!("{what}: {path}: {fault}")) == *bytes,
            "{what}: {path}"
        );
    }
    let found = Command::new("find").arg(&out).args(["-type", "f"]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.lines().count(), own.len(), "{what}: {found}");
    run(folder, "chmod", &["-R", "u+w", "out"]);
    fs::remove_dir_all(out).unwrap();
    let listed = run(folder, "isoinfo", &["-R", "-f", "-i", "x.iso"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    let nodes = &tree.tree().nodes;
    let mut ours: Vec<&str> =
        nodes.keys().map(String::as_str).filter(|path| *path != "/").collect();
    listed.sort_unstable();
    ours.sort_unstable();
    assert_eq!(listed, ours, "{what}");
    // The other hierarchy has as many files, whatever their names are cut to.
    let joliet = run(folder, "isoinfo", &["-J", "-f", "-i", "x.iso"]);
    let other = tree.trees.iter().map(|tree| tree.nodes.len()).collect::<Vec<_>>();
    assert_eq!(joliet.lines().count() + 1, *other.last().unwrap(), "{what}");
    let links = nodes.values().filter(|node| node.kind == Kind::Other).count();
    assert_eq!(links, 0, "{what}");
}

#[test]
fn made_up_installers_read_alike_before_and_after() {
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    for number in 0..4 {
        let files = files().new_tree(&mut runner).unwrap().current();
        // A file and a folder have one name: not a tree.
        let is_folder =
            |path: &String| files.keys().any(|other| other.starts_with(&format!("{path}/")));
        let files = files.iter().filter(|(path, _)| !is_folder(path));
        let files: BTreeMap<String, Vec<u8>> =
            files.map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        let folder = Folder::new();
        let base = installer(&folder, &files);
        let found = read(&base, survey(&base).tree());
        for (path, bytes) in &files {
            assert!(found.get(&format!("/{path}")) == Some(bytes), "image {number}: {path}");
        }
        compare(&folder, "before", &base);
        for way in [InjectMethod::ExtraInitrd, InjectMethod::MergeInitrd] {
            let stamped = stamp(&base, &edits(1, way));
            compare(&folder, "after", &stamped);
            let after = read(&stamped, survey(&stamped).tree());
            let kept = found.iter().filter(|(path, _)| path.starts_with("/made/"));
            for (path, bytes) in kept {
                assert!(after.get(path) == Some(bytes), "image {number}, {way:?}: {path}");
            }
        }
    }
}

#[test]
fn a_file_that_one_hierarchy_lacks_is_named() {
    let folder = Folder::new();
    let path = format!("made/{}", ["long-name-of-a-folder"; 10].join("/"));
    let base = installer(&folder, &BTreeMap::from([(path.clone(), b"x".to_vec())]));
    let fault = try_stamp(&base, &edits(1, InjectMethod::ExtraInitrd)).unwrap_err().to_string();
    let words = format!("is wrong: hierarchies: only the Primary one has /{path}");
    assert!(fault.contains(&words), "{fault}");
}

/// A menu of another system.
const UBUNTU: &str = "search --no-floppy --fs-uuid --set=root 1234-ABCD\nmenuentry 'Ubuntu' {\n linux /vmlinuz\n initrd /initrd.img\n}\n";

/// A file with the first word of an entry of isolinux.
const SURROUND: &str = "nodes = [\n {\n  label = convolver\n  config = {\n   filename = hrir.wav\n";

/// An entry of systemd-boot whose kernel is not on the volume.
const ENTRY: &str = "title NixOS\nlinux /EFI/nixos/k.efi\ninitrd /EFI/nixos/i.efi\noptions init=/nix/store/x/init\n";

/// A menu with paths that begin in its folder.
const EXTLINUX: &str =
    "LABEL x\nLINUX ../nixos/k\nINITRD ../nixos/i\nAPPEND init=/nix/store/x/init\n";

/// Files that no loader of the image reads.
const UNREAD: [(&str, &[u8]); 8] = [
    ("root/dotfiles/surround.conf", SURROUND.as_bytes()),
    ("repo/grub/grub.cfg", UBUNTU.as_bytes()),
    ("repo/loader/nixos.conf", ENTRY.as_bytes()),
    ("repo/extlinux/extlinux.conf", EXTLINUX.as_bytes()),
    ("repo/isolinux/isolinux.cfg", b"LABEL x\nCOM32 linux.c32\n"),
    ("latin.conf", b"name=caf\xe9\nrdinit=/x\n"),
    ("tftpboot/pxelinux.cfg/default.cfg", b"LABEL x\nINCLUDE pxelinux.cfg/extra.cfg\n"),
    ("polybar.conf", b"label = x\nui z y\n"),
];

/// The same files where loaders look, and what is said of them.
const READ: [(&[(&str, &str)], &str); 7] = [
    (&[("boot/surround.conf", SURROUND)], "/boot/surround.conf"),
    (&[("EFI/debian/grub.cfg", UBUNTU)], "/EFI/debian/grub.cfg"),
    (&[("loader/entries/nixos.conf", ENTRY)], "/loader/entries/nixos.conf"),
    (&[("extlinux/extlinux.conf", EXTLINUX)], "/extlinux/extlinux.conf"),
    (&[("repo/a.cfg", "linux KERNEL init=/nix/store/x/init\ninitrd INITRD\n")], "/repo/a.cfg"),
    (&[("repo/a.conf", "label x\nkernel KERNEL\nui a b\nappend initrd=INITRD\n")], "/repo/a.conf"),
    (
        &[
            ("boot/m.cfg", "menuentry x {\n configfile /repo/menu.cfg\n}\n"),
            ("repo/menu.cfg", UBUNTU),
        ],
        "/repo/menu.cfg",
    ),
];

#[test]
fn files_that_no_loader_reads_are_left_alone_and_others_are_judged() {
    let folder = Folder::new();
    folder.write("key.pub", crate::support::key(1).as_bytes());
    let told = |files: BTreeMap<String, Vec<u8>>| {
        folder.write("base.iso", &installer(&folder, &files));
        folder.run(&["base.iso", "--key", "key.pub", "-f", "-o", "out"])
    };
    let owned = |(path, bytes): (&str, &[u8])| (path.to_owned(), bytes.to_vec());
    let program = ("install/nixos.efi", &unified_kernel()[..]);
    let unread = UNREAD.into_iter().chain([program]);
    told(unread.map(owned).collect()).done();
    let one = survey(&TINY).triplets[0].clone();
    for (files, words) in READ {
        let bytes =
            |text: &str| text.replace("KERNEL", &one.kernel).replace("INITRD", &one.initrds[0]);
        let files = files.iter().map(|(path, text)| (path.to_string(), bytes(text).into_bytes()));
        let ended = told(files.collect());
        assert!(ended.status == 4 && ended.err.contains(words), "{words}: {}", ended.err);
        assert!(ended.err.contains("off the image, if nothing needs it"), "{}", ended.err);
    }
    let program = ("EFI/Linux/nixos.efi", &unified_kernel()[..]);
    told([owned(program)].into()).refused(4, "/EFI/Linux/nixos.efi, a kernel, its initrd");
}

#[test]
fn an_installer_without_a_label_of_its_own_is_taken() {
    let folder = Folder::new();
    let mut files = BTreeMap::new();
    files.insert("version.txt".to_owned(), Vec::new());
    folder.write("base.iso", &installer(&folder, &files));
    folder.write("key.pub", crate::support::key(1).as_bytes());
    let told = folder.run(&["base.iso", "--key", "key.pub", "-o", "out"]).err;
    assert!(told.contains("NixOS of an unknown release accepts the key"), "{told}");
}
