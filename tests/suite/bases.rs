//! Bases that are odd but sound are stamped whole, and those that are wrong are refused as `inspect` calls them.

use remaster::iso::survey::Survey;
use remaster::live::Facts;

use crate::support::{Folder, SD, TINY, WAYS, bases, edits, key, stamp, survey};

/// Where the partition records of a Master Boot Record stand.
const TABLE: usize = 446;

fn both(number: u32) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

/// Replaces every place of some bytes; there must be as many as said.
fn replace(image: &mut [u8], old: &[u8], new: &[u8], count: usize) {
    assert_eq!(old.len(), new.len());
    let at: Vec<usize> =
        (0..image.len() - old.len()).filter(|at| image[*at..].starts_with(old)).collect();
    assert_eq!(at.len(), count, "{}", old.escape_ascii());
    for at in at {
        image[at..at + new.len()].copy_from_slice(new);
    }
}

/// Where a file is, as its Directory Records have it.
fn place(survey: &Survey, path: &str) -> Vec<u8> {
    let at = survey.tree().file(path).unwrap().extents[0];
    let number = |bytes: u64| both(u32::try_from(bytes).unwrap());
    [number(at.start() / 2048), number(at.size())].concat()
}

/// An image of which one path has the bytes of another, in both hierarchies.
fn one_file_two_paths(base: &[u8], path: &str, same_as: &str) -> Vec<u8> {
    let (found, mut image) = (survey(base), base.to_vec());
    let trees = found.trees.len();
    replace(&mut image, &place(&found, path), &place(&found, same_as), trees);
    image
}

fn ends(image: &[u8]) -> (Vec<(String, u64)>, u64) {
    let found = survey(image);
    let nodes = found.trees.iter().flat_map(|tree| tree.nodes.values());
    let last = nodes.flat_map(|node| &node.extents).map(|at| at.end()).max().unwrap();
    let partitions = found.partitions.of_the_volume().unwrap().into_iter();
    (partitions.map(|(name, at)| (name, at.end())).collect(), last)
}

#[test]
fn a_partition_that_shows_the_volume_shows_all_of_it_whatever_stood_behind_its_end() {
    for (name, base) in bases() {
        for more in [0, 2048, 150 << 11, 10 << 20, (10 << 20) + 512] {
            for way in WAYS {
                let base = [base, &vec![0xff; more]].concat();
                let (partitions, last) = ends(&stamp(&base, &edits(1, way)));
                assert_eq!(partitions.len(), if name == "tiny-aarch64" { 0 } else { 2 });
                for (partition, end) in partitions {
                    assert!(end >= last, "{name} and {more}: {partition} {end} {last}");
                }
            }
        }
    }
}

#[test]
fn names_that_begin_like_ours_do_no_harm() {
    let mut base = TINY.to_vec();
    replace(&mut base, b".boot.cat", b"remaster2", 1);
    let wide = |name: &str| -> Vec<u8> { name.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    replace(&mut base, &wide(".boot.cat"), &wide("remaster2"), 1);
    for way in WAYS {
        let stamped = stamp(&base, &edits(1, way));
        let found = survey(&stamped);
        assert!(found.trees.iter().all(|tree| tree.file("/remaster2").is_some()));
    }
}

#[test]
fn every_path_of_a_changed_file_has_the_new_contents() {
    let (menu, other) = ("/EFI/BOOT/grub.cfg", "/boot/grub/loopback.cfg");
    let found = survey(&TINY);
    let initrds: Vec<&String> = found.triplets.iter().map(|one| &one.initrds[0]).collect();
    for way in WAYS {
        let two_menus = one_file_two_paths(&TINY, other, menu);
        let two_initrds = one_file_two_paths(&TINY, initrds[0], initrds[1]);
        for (base, paths) in
            [(two_menus, [menu, other]), (two_initrds, [initrds[0].as_str(), initrds[1]])]
        {
            let stamped = survey(&stamp(&base, &edits(1, way)));
            for tree in &stamped.trees {
                let [one, two] = paths.map(|path| &tree.file(path).unwrap().extents);
                assert_eq!(one, two, "{paths:?} in the {:?} hierarchy", tree.hierarchy);
            }
            let now = &stamped.tree().file(paths[0]).unwrap().extents;
            let was = &survey(&base).tree().file(paths[0]).unwrap().extents.clone();
            let changes = paths[0] == menu && way == WAYS[0] || paths[0] != menu && way == WAYS[1];
            assert_eq!(now != was, changes, "{paths:?}");
        }
    }
}

/// Images whose structures do not agree, each with what `inspect` says of it.
fn wrong() -> Vec<(Vec<u8>, &'static [&'static str])> {
    let mut catalog = TINY.to_vec();
    let start = TABLE + 16 + 8;
    catalog[start] ^= 4;
    let mut backup = TINY.to_vec();
    backup.truncate(TINY.len() - 2048);
    backup.extend([0; 2048]);
    let mut short = TINY.to_vec();
    short[TABLE + 12..TABLE + 16].copy_from_slice(&100_u32.to_le_bytes());
    vec![
        (catalog, &["UEFI boot image: boot catalog at byte 0x", ", partition at 0x"]),
        (backup, &["backup GPT: no backup GPT Header in block "]),
        (
            short,
            &["partition of the volume: MBR partition 1 ends at byte 0xc800, the last file at"],
        ),
    ]
}

#[test]
fn a_base_that_inspect_calls_wrong_is_stamped_by_no_command() {
    let commands: &[&[&str]] = &[
        &["base.iso", "--key", "key.pub", "-o", "out"],
        &["base.iso", "--key", "key.pub", "-n"],
        &["base.iso", "--key", "key.pub", "--merge-initrd", "-o", "out"],
        &["base.iso", "--key", "key.pub", "--as", "patch", "-o", "out"],
        &["base.iso", "--timeout", "3", "-o", "out"],
        &["flash", "base.iso", "--key", "key.pub", "out", "--file"],
        &["edit", "--in-place", "base.iso", "--key", "key.pub"],
    ];
    for (base, said) in wrong() {
        let folder = Folder::with_base(&base);
        folder.write("key.pub", key(1).as_bytes());
        let shown = folder.run(&["inspect", "base.iso"]);
        assert_eq!(shown.status, 3, "{}", shown.err);
        assert!(shown.text().contains(&format!("WRONG {}", said[0])), "{}", shown.text());
        for command in commands {
            let ended = folder.run(command);
            assert_eq!(ended.status, 4, "{command:?}: {}", ended.err);
            assert!(ended.err.starts_with("error: base.iso is wrong: "), "{}", ended.err);
            for words in said {
                assert!(ended.err.contains(words), "{command:?}: {}", ended.err);
            }
            assert!(!ended.err.contains("download it again"), "{}", ended.err);
            assert!(folder.read("base.iso") == base && !folder.at("out").exists(), "{command:?}");
        }
    }
}

#[test]
fn a_release_in_the_making_is_the_one_it_leads_to() {
    for (release, found) in [
        ("26.11pre12345.abc", (26, 11)),
        ("25.11.12484.b6018f87da91", (25, 11)),
        ("26.05beta5.d", (26, 5)),
        ("24.11", (24, 11)),
        ("pre.11", (0, 11)),
        ("", (0, 0)),
    ] {
        assert_eq!(Facts::from_release(release, None).release, found, "{release}");
    }
}

/// Every hint names a way out that is one: none blames a sound image, or names a flag that is refused there.
#[test]
fn hints_fit_the_cause() {
    let folder = Folder::with_base(&TINY);
    folder.write("sd.img", &SD);
    folder.write("key.pub", key(1).as_bytes());
    std::fs::create_dir_all(folder.at("over/root")).unwrap();
    let noise: Vec<u8> = (0..2_000_000_u32).flat_map(|n| (n ^ n << 7).to_le_bytes()).collect();
    folder.write("over/root/blob", &noise);
    let full = folder.run(&["sd.img", "--key", "key.pub", "--overlay", "over", "-o", "out"]);
    full.refused(4, "no room in sd.img: the root filesystem of the image");
    assert!(!full.err.contains("--merge-initrd"), "{}", full.err);
    for word in ["#x", "x=${y}"] {
        let ended =
            folder.run(&["netboot", "base.iso", "--key", "key.pub", "--karg", word, "-o", "out"]);
        ended.refused(2, "cannot be written in an iPXE script");
        assert!(ended.err.contains(word) && !ended.err.contains("official"), "{}", ended.err);
    }
    let mut blocks = TINY.to_vec();
    let at = 16 * 2048 + 128;
    blocks[at..at + 4].copy_from_slice(&[0, 4, 4, 0]);
    let mut latin = TINY.to_vec();
    let menu = survey(&TINY).tree().file("/EFI/BOOT/grub.cfg").unwrap().extents[0];
    latin[usize::try_from(menu.start()).unwrap() + 5] = 0xe9;
    for (base, said) in [(blocks, "logical blocks of 1024 bytes"), (latin, "a boot menu in UTF-8")]
    {
        folder.write("odd.iso", &base);
        let ended = folder.run(&["odd.iso", "--key", "key.pub", "-o", "out"]);
        ended.refused(4, said);
        assert!(!ended.err.contains("download it again"), "{}", ended.err);
    }
}

#[test]
fn a_file_without_certificates_is_refused_before_anybody_is_asked() {
    let folder = Folder::new();
    folder.write("list.pem", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    folder.write("text.pem", b"no certificate at all\n");
    for file in ["list.pem", "text.pem"] {
        let line =
            "base fetch nixos-25.11-minimal --mirror https://127.0.0.1:9 --cache . --ca-file";
        let mut words: Vec<&str> = line.split(' ').collect();
        words.push(file);
        folder.run(&words).refused(2, "holds no certificate");
    }
}

#[test]
fn a_variable_that_is_not_text_is_named_and_not_passed_over() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new();
    let words = ["base", "fetch", "nixos-25.11-minimal", "--cache", ".", "--timeout", "3"];
    let value = OsStr::from_bytes(b"http://127.0.0.1:1/\xff");
    for (name, set) in [
        ("REMASTER_MIRROR", &[][..]),
        ("https_proxy", &[]),
        ("ALL_PROXY", &[]),
        ("no_proxy", &[("https_proxy", "http://127.0.0.1:1")]),
        ("NO_PROXY", &[("all_proxy", "http://127.0.0.1:1")]),
    ] {
        let mut command = folder.program(&words);
        for other in
            ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"]
        {
            command.env_remove(other);
        }
        command.envs(set.iter().copied()).env(name, value);
        let ended = crate::support::Ended::from(command.output().unwrap());
        ended.refused(2, &format!("the environment variable {name} is not text in UTF-8"));
    }
}

#[test]
fn an_address_in_the_environment_that_is_none_is_called_by_the_name_of_the_variable() {
    let folder = Folder::new();
    let words = ["base", "fetch", "nixos-25.11-minimal", "--cache", ".", "--timeout", "3"];
    let no_proxy = "is not an address of a proxy that can be used";
    let no_server = "\"foo\" is not an address of a web server";
    for (name, value, told) in [
        ("https_proxy", "http://127.0.0.1:99999", no_proxy),
        ("HTTPS_PROXY", "http://127.0.0.1:9x", no_proxy),
        ("all_proxy", "127.0.0.1:", no_proxy),
        ("https_proxy", "foo:bar", no_proxy),
        ("REMASTER_MIRROR", "foo", no_server),
    ] {
        let mut command = folder.program(&words);
        for other in
            ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"]
        {
            command.env_remove(other);
        }
        let ended = crate::support::Ended::from(command.env(name, value).output().unwrap());
        ended.refused(2, name);
        assert!(ended.err.contains(told), "{name}={value}: {}", ended.err);
    }
    let given = folder.run(&[&words[..], &["--mirror", "foo"]].concat());
    given.refused(2, &format!("--mirror: {no_server}"));
}

#[test]
fn nothing_is_made_to_remove_what_is_not_there() {
    let folder = Folder::new();
    let line = ["base", "remove", "nixos-25.11-minimal", "--cache", "none/cache"];
    folder.run(&line).refused(2, "nixos-25.11-minimal is not in none/cache");
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn what_a_damaged_record_leaves_in_the_cache_is_named() {
    let folder = Folder::new();
    let (record, image) =
        ("nixos-25.11-minimal.json", "nixos-minimal-25.11.1.abc-x86_64-linux.iso");
    let remove = ["base", "remove", "nixos-25.11-minimal", "--cache", "."];
    for damaged in ["{\"name\": \"nixos-25.11-min", "{}", ""] {
        folder.write(record, damaged.as_bytes());
        folder.write(image, b"image");
        folder.write("nixos-minimal-25.05.1.abc-x86_64-linux.iso", b"of another base");
        let ended = folder.run(&remove);
        assert_eq!(ended.status, 0, "{}", ended.err);
        let notes: Vec<&str> = ended.err.lines().filter(|line| line.contains("note: ")).collect();
        assert!(
            notes.len() == 1 && notes[0].contains(&format!("{image}, which stays")),
            "{notes:?}"
        );
        assert!(folder.names().contains(&image.to_owned()));
    }
    std::fs::remove_file(folder.at(image)).unwrap();
    // A folder is not called an image of another size, and the record stays as long as it is there.
    std::fs::create_dir(folder.at("other.iso")).unwrap();
    let text = r#"{"name":"nixos-25.11-minimal","version":"1","url":"https://x/y","sha256":"00","size":1000,"file":"other.iso"}"#;
    folder.write(record, text.as_bytes());
    for command in ["path", "remove", "verify"] {
        let line = ["base", command, "nixos-25.11-minimal", "--cache", "."];
        folder.run(&line).refused(2, "other.iso in the cache is a folder, not an image");
        assert_eq!(folder.read(record), text.as_bytes());
    }
    std::fs::remove_dir(folder.at("other.iso")).unwrap();
    folder.run(&remove).done();
}

#[test]
fn a_store_with_very_many_files_is_not_called_one_that_cannot_be_read() {
    let folder = Folder::new();
    let mut image = TINY.to_vec();
    let at = usize::try_from(
        survey(&TINY).tree().file("/nix-store.squashfs").unwrap().extents[0].start(),
    );
    let at = at.unwrap();
    image[at..at + 8].copy_from_slice(&[*b"hsqs", 700_000_u32.to_le_bytes()].concat());
    folder.write("many.iso", &image);
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    let ended = folder.run(&["many.iso", "--key", "key.pub", "--keymap", "de", "-o", "out"]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    let told = "not looked up in the base, whose store is not looked through (";
    assert!(ended.err.contains(told) && ended.err.contains("found 700000)"), "{}", ended.err);
}

#[test]
fn a_disk_is_looked_for_before_a_base_is_fetched() {
    let folder = Folder::new();
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    for more in [&["--key", "key.pub"][..], &[]] {
        let words = [&["flash", "nixos-25.11-minimal", "/dev/nosuch"], more].concat();
        let said = folder.run(&words).err;
        assert!(said.starts_with("error: /dev/nosuch: no such device"), "{said}");
    }
}
