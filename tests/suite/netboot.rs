//! Network boots and tar archives for kexec, made by the program.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::PermissionsExt;

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use remaster::formats::newc::{self, Kind, Member, Next};
use remaster::iso::survey::nixos::initrd_place;
use remaster::units::usize_of;

use crate::support::{AARCH64, Folder, SYSTEMD, TINY, assert_same, key, survey};

/// The members of the archives behind the first `skip` bytes of an initrd.
pub(crate) fn behind(initrd: &[u8], skip: usize) -> Vec<Member> {
    let mut found = Vec::new();
    let each = |member: Member| {
        found.push(member);
        Next::Continue
    };
    // Archives begin at multiples of 4.
    newc::read(&initrd[skip.next_multiple_of(4)..], u32::MAX, |_| true, each).unwrap();
    found
}

/// The bytes of the base's first initrd.
pub(crate) fn base_initrd(base: &[u8]) -> Vec<u8> {
    let survey = survey(base);
    let initrd = &survey.configs[0].entries[0].initrds[0].text;
    let at = initrd_place(survey.tree(), &initrd.replace("//", "/")).unwrap();
    base[usize_of(at.start())..usize_of(at.end())].to_vec()
}

fn text(members: &[Member], path: impl Fn(&str) -> bool) -> &str {
    let found: Vec<&Member> = members.iter().filter(|member| path(&member.path)).collect();
    let [Member { kind: Kind::File(bytes), .. }] = found.as_slice() else { panic!("{found:?}") };
    std::str::from_utf8(bytes).unwrap()
}

fn folder(base: &[u8]) -> Folder {
    let folder = Folder::with_base(base);
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    folder
}

#[test]
fn a_network_boot_needs_no_medium() {
    for (base, kernel, table, lines) in [
        (
            &*TINY,
            "bzImage",
            "-initrd-fsinfo-",
            "/iso\ntmpfs\ntmpfs\nmode=0755\n/nix/.ro-store\n../nix-store.squashfs\nsquashfs\nloop\n",
        ),
        (&*AARCH64, "Image", "-initrd-fsinfo-", "/\ntmpfs\ntmpfs\nmode=0755\n/iso\ntmpfs\n"),
        (
            &*SYSTEMD,
            "bzImage",
            "-initrd-fstab",
            "tmpfs /iso tmpfs mode=0755,x-initrd.mount 0 0\n../nix-store.squashfs /nix/.ro-store squashfs x-initrd.mount,loop 0 0\n",
        ),
    ] {
        let folder = folder(base);
        folder.run(&["netboot", "base.iso", "--key", "key.pub", "-o", "out"]).quietly();
        let mut names: Vec<_> = fs::read_dir(folder.at("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [kernel, "initrd", "netboot.ipxe"]);
        let initrd = folder.read("out/initrd");
        let old = base_initrd(base);
        assert_same("the base's initrd", &initrd[..old.len()], &old);
        let members = behind(&initrd, old.len());
        assert!(
            text(&members, |path| path == "nix-store.squashfs")
                .contains("placeholder for nix-store.squashfs")
        );
        assert!(text(&members, |path| path.contains(table)).contains(lines), "{members:?}");
        assert_eq!(
            text(&members, |path| path == "remaster/root/root/.ssh/authorized_keys"),
            format!("{}\n", key(1))
        );
        let script = String::from_utf8(folder.read("out/netboot.ipxe")).unwrap();
        let line = script.lines().find(|line| line.starts_with("kernel ")).unwrap();
        assert!(
            line.starts_with(&format!("kernel {kernel} init=/nix/store/"))
                && line.ends_with(" ${cmdline}"),
            "{line}"
        );
        assert!(
            line.contains("/init initrd=initrd ")
                && !line.contains("LABEL")
                && !line.contains("isoboot"),
            "{line}"
        );
        folder.run(&["netboot", "base.iso", "--key", "key.pub", "-o", "again"]).quietly();
        assert_same("once more", &folder.read("again/initrd"), &initrd);
    }
}

#[test]
fn what_was_stamped_before_stays_or_is_replaced() {
    let folder = folder(&TINY);
    for flags in [&[][..], &["--merge-initrd"]] {
        folder
            .run(&[&["base.iso", "--key", "key.pub", "-f", "-o", "custom.iso"], flags].concat())
            .quietly();
        for (name, arguments) in [
            ("direct", &["netboot", "base.iso", "--key", "key.pub", "-f", "-o"][..]),
            ("stamped", &["netboot", "custom.iso", "-f", "-o"]),
        ] {
            folder.run(&[arguments, &[name]].concat()).quietly();
        }
        assert_same("stamped", &folder.read("stamped/initrd"), &folder.read("direct/initrd"));
        assert_same(
            "stamped",
            &folder.read("stamped/netboot.ipxe"),
            &folder.read("direct/netboot.ipxe"),
        );
    }
    let other = key(2);
    folder.run(&["netboot", "-q", "custom.iso", "--key", &other, "-o", "other"]).quietly();
    folder.run(&["netboot", "base.iso", "--key", &other, "-o", "expected"]).quietly();
    assert_same("replaced", &folder.read("other/initrd"), &folder.read("expected/initrd"));
    // a folder made before is as good as an image
    folder.run(&["netboot", "-q", "direct", "--key", &other, "-o", "from-folder"]).quietly();
    assert_same(
        "from a folder",
        &folder.read("from-folder/initrd"),
        &folder.read("expected/initrd"),
    );
    folder.run(&["netboot", "direct", "-o", "copied"]).quietly();
    for name in ["bzImage", "initrd", "netboot.ipxe"] {
        assert_same(
            name,
            &folder.read(&format!("copied/{name}")),
            &folder.read(&format!("direct/{name}")),
        );
    }
}

#[test]
fn a_stamped_image_starts_the_entry_that_its_menus_start() {
    for base in [&TINY[..], &crate::support::SYSTEMD] {
        let folder = folder(base);
        let put = ["base.iso", "--key", "key.pub", "--default-entry", "nomodeset", "-o", "n.iso"];
        let more = ["--karg", "only=1", "--entry", "No modesetting"];
        folder.run(&[&put[..], &more].concat()).done();
        folder.run(&["netboot", "n.iso", "-o", "out"]).done();
        let script = String::from_utf8(folder.read("out/netboot.ipxe")).unwrap();
        let line = script.lines().find(|line| line.starts_with("kernel ")).unwrap();
        assert!(line.contains(" nomodeset ") && line.contains(" only=1 "), "{line}");
    }
}

#[test]
fn the_entry_and_its_arguments_can_be_chosen() {
    let folder = folder(&TINY);
    let line = |flags: &[&str]| {
        folder.run(&[&["netboot", "base.iso", "-f", "-o", "out"], flags].concat()).done();
        let script = String::from_utf8(folder.read("out/netboot.ipxe")).unwrap();
        script.lines().find(|line| line.starts_with("kernel ")).unwrap().to_owned()
    };
    let first = line(&[]);
    assert!(first.contains("linux-6.12.58"), "{first}");
    let second = line(&["--default-entry", "linux latest"]);
    assert!(second.contains("linux-6.17.8"), "{second}");
    let changed = line(&[
        "--karg",
        "quiet",
        "--karg-delete",
        "nohibernate",
        "--karg-replace",
        "loglevel=7",
        "--serial",
        "ttyS0",
    ]);
    assert!(changed.contains(" loglevel=7 ") && !changed.contains("nohibernate"), "{changed}");
    assert!(
        changed.ends_with(" quiet console=tty0 console=ttyS0,115200n8 ${cmdline}"),
        "{changed}"
    );
    folder
        .run(&["netboot", "base.iso", "-f", "-o", "out", "--karg-delete", "nothing"])
        .refused(2, "the entry that is started does not have the argument nothing");
    folder
        .run(&["netboot", "base.iso", "-f", "-o", "out", "--default-entry", "nobody"])
        .refused(2, "is called");
    folder
        .run(&["netboot", "base.iso", "-f", "-o", "out", "--karg", "a=${net0/ip}"])
        .refused(2, "iPXE");
    folder
        .run(&["netboot", "base.iso", "-f", "-o", "out", "--karg", "copytoram"])
        .refused(2, "\"copytoram\" is about a medium");
    folder
        .run(&["netboot", "base.iso", "-f", "-o", "out", "--timeout", "3"])
        .refused(2, "--timeout changes menus");
    folder.write("r.toml", b"timeout = 3\n");
    let told = folder.run(&["netboot", "base.iso", "-f", "-o", "out", "--recipe", "r.toml"]);
    assert!(told.status == 0 && told.err.contains("note: timeout changes menus"), "{}", told.err);
}

#[test]
fn a_folder_appears_whole_and_takes_nothing_away() {
    let folder = folder(&TINY);
    let run = |flags: &[&str]| {
        folder.run(&[&["netboot", "base.iso", "--key", "key.pub", "-o", "out"], flags].concat())
    };
    fs::create_dir(folder.at("out")).unwrap();
    run(&[]).quietly();
    run(&[]).refused(2, "out already exists");
    let first = folder.read("out/initrd");
    run(&["--force", "--hostname", "other"]).done();
    assert_ne!(folder.read("out/initrd"), first);
    folder.write("out/precious", b"1");
    run(&["--force"]).refused(2, "precious in it, which would be lost");
    assert_eq!(folder.read("out/precious"), b"1");
    folder.write("file", b"1");
    folder
        .run(&["netboot", "base.iso", "-o", "file"])
        .refused(2, "file already exists, and is not a folder");
    assert_eq!(folder.names(), ["base.iso", "file", "key.pub", "out"]);
}

#[test]
fn secrets_are_for_their_owner() {
    let folder = folder(&TINY);
    folder
        .run(&["netboot", "base.iso", "--key", "key.pub", "--host-key", "generate", "-o", "out/"])
        .done();
    let mode = |path: &str| fs::metadata(folder.at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("out/initrd"), mode("out/bzImage")), (0o600, 0o644));
    assert!(String::from_utf8(folder.read("out.known_hosts")).unwrap().contains("ssh-ed25519"));
    folder.run(&["netboot", "out", "-o", "copy"]).quietly();
    assert_eq!(mode("copy/initrd"), 0o600);
    folder.write("a.tar.gz", &packed(&kexec(&folder.read("out/initrd"))));
    folder
        .run(&["a.tar.gz", "--key", "key.pub", "--host-key", "generate", "-o", "b.tar.gz"])
        .done();
    assert_eq!(mode("b.tar.gz"), 0o600);
}

pub(crate) const RUN: &str = "#!/bin/sh\ninit=\"/nix/store/0-nixos-system-nixos-installer-25.11.1.rig/init\"\nkernelParams=\"'loglevel=4' nohibernate\"\nkexec --command-line 'init=$init $kernelParams'\n";

/// A tar archive as GNU tar makes it, with what nixos-images puts there.
pub(crate) fn kexec(initrd: &[u8]) -> Vec<u8> {
    let mut kernel = vec![0; 0x300];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode: u32, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_mtime(1_700_000_001);
        header.set_uid(1234);
        header.set_gid(77);
        header.set_size(bytes.len().try_into().unwrap());
        archive.append_data(&mut header, path, bytes).unwrap();
    };
    add("kexec/bzImage", 0o444, &kernel);
    add("kexec/initrd", 0o644, initrd);
    add("kexec/run", 0o755, RUN.as_bytes());
    add("kexec/ip", 0o555, &[7; 3000]);
    let mut bytes = archive.into_inner().unwrap();
    bytes.resize(bytes.len().next_multiple_of(10_240), 0);
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) type Entry = (Vec<u8>, u32, u64, u64, u64, Vec<u8>);

/// Path, mode, owner, group, time and bytes of every file.
pub(crate) fn entries(tar: &[u8]) -> Vec<Entry> {
    let mut archive = tar::Archive::new(Cursor::new(tar));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let header = entry.header();
        (
            entry.path_bytes().into_owned(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.mtime().unwrap(),
            bytes,
        )
    });
    entries.collect()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut tar).unwrap();
    tar
}

#[test]
fn a_kexec_tarball_takes_the_same_edits_and_keeps_everything_else() {
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    let initrd = folder.read("stock/initrd");
    let old = kexec(&initrd);
    folder.write("kexec.tar.gz", &packed(&old));
    folder.run(&["kexec.tar.gz", "--key", "key.pub", "-o", "custom.tar.gz"]).quietly();
    folder
        .run(&["kexec.tar.gz", "--key", "key.pub", "-o", "custom.tar.xz"])
        .refused(2, "custom.tar.xz has the ending of xz, and the output is packed by gzip");
    let custom = folder.read("custom.tar.gz");
    assert_eq!(custom[4..8], [0; 4], "a time in the gzip header");
    let new = unpacked(&custom);
    assert_eq!(new.len() % 10_240, 0);
    let (before, after) = (entries(&old), entries(&new));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        let is_initrd = before.0.ends_with(b"/initrd");
        assert_eq!(
            (&before.0, before.1, before.2, before.3, before.4),
            (&after.0, after.1, after.2, after.3, after.4)
        );
        assert!(is_initrd || before.5 == after.5, "{}", String::from_utf8_lossy(&before.0));
    }
    let grown = &after[1].5;
    assert_same("what was there", &grown[..initrd.len()], &initrd);
    let members = behind(grown, initrd.len());
    assert_eq!(
        text(&members, |path| path == "remaster/root/root/.ssh/authorized_keys"),
        format!("{}\n", key(1))
    );
    assert!(text(&members, |path| path == "init").contains("/remaster/hook.sh"));
    // the same as the initrd of an installer with the same key
    folder.run(&["netboot", "base.iso", "--key", "key.pub", "-o", "direct"]).quietly();
    assert_same("initrd", grown, &folder.read("direct/initrd"));

    folder.run(&["custom.tar.gz", "-q", "--key", &key(2), "-o", "again.tar.gz"]).quietly();
    folder.run(&["kexec.tar.gz", "--key", &key(2), "-o", "other.tar.gz"]).quietly();
    assert_same("stamped again", &folder.read("again.tar.gz"), &folder.read("other.tar.gz"));
    folder.run(&["netboot", "custom.tar.gz", "-o", "served"]).quietly();
    assert_same("served", &folder.read("served/initrd"), grown);
    let script = String::from_utf8(folder.read("served/netboot.ipxe")).unwrap();
    assert!(
        script.contains("rig/init initrd=initrd loglevel=4 nohibernate ${cmdline}\n"),
        "{script}"
    );
}

#[test]
fn arguments_of_a_tarball_are_changed_in_its_script() {
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    folder.write("kexec.tar", &kexec(&folder.read("stock/initrd")));
    folder
        .run(&["kexec.tar", "--karg", "quiet", "--karg-replace", "loglevel=7", "-o", "custom.tar"])
        .done();
    let run = &entries(&folder.read("custom.tar"))[2].5;
    assert_eq!(
        std::str::from_utf8(run).unwrap(),
        RUN.replace("'loglevel=4' nohibernate", "loglevel=7 nohibernate quiet")
    );
    folder
        .run(&["kexec.tar", "--karg", "a=$b", "-o", "x.tar"])
        .refused(2, "cannot be written in run");
    folder.run(&["kexec.tar", "--karg-delete", "b", "-o", "x.tar"]).refused(2, "no entry has");
    folder
        .run(&["kexec.tar", "--key", "key.pub", "--as", "patch", "-o", "x.tar"])
        .refused(2, "only images take --as patch");
}

#[test]
fn other_archives_and_broken_ones_are_refused() {
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    let whole = kexec(&folder.read("stock/initrd"));
    let mut none = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    none.append_data(&mut header, "a", &b"1"[..]).unwrap();
    folder.write("other.tar", &none.into_inner().unwrap());
    folder
        .run(&["other.tar", "--key", "key.pub", "-o", "x.tar"])
        .refused(4, "one kernel, bzImage or Image");
    folder.run(&["netboot", "other.tar", "-o", "x"]).refused(4, "one kernel");
    // within files, and behind the last one, without the zeros that end an archive
    let end = (whole.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(512);
    for length in [600, 2000, end - 600, end] {
        folder.write("cut.tar", &whole[..length]);
        let ended = folder.run(&["cut.tar", "--key", "key.pub", "-o", "x.tar"]);
        assert_eq!(ended.status, 4, "{length}: {}", ended.err);
    }
    for at in (0..4096).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        folder.write("damaged.tar", &damaged);
        let ended = folder.run(&["damaged.tar", "--key", "key.pub", "-f", "-o", "x.tar"]);
        assert!([0, 4].contains(&ended.status), "{at}: {}", ended.err);
    }
}

/// What only menus, volumes and manifests have, as flags and in a recipe.
const OF_IMAGES: [(&str, &[&str], &str); 7] = [
    ("timeout", &["--timeout", "3"], "timeout = 3"),
    ("label", &["--label", "X"], "label = 'X'"),
    ("name", &["--name", "q"], "name = 'q'"),
    ("merge-initrd", &["--merge-initrd"], "merge-initrd = true"),
    ("default-entry", &["--default-entry", "nosuch"], "default-entry = 'nosuch'"),
    ("manifest-digests", &["--manifest-digests"], "manifest-digests = true"),
    ("sign", &["--sign", "key.pub"], "sign = 'key.pub'"),
];

#[test]
fn what_is_of_images_is_refused_or_noted_where_none_is_made() {
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "nb"]).quietly();
    folder.write("kexec.tar", &kexec(&folder.read("nb/initrd")));
    let ways: [&[&str]; 5] = [
        &["netboot", "nb", "-f", "-o", "out"],
        &["netboot", "kexec.tar", "-f", "-o", "out"],
        &["kexec.tar", "-f", "-o", "out.tar"],
        &["kexec.tar", "-n"],
        &["netboot", "base.iso", "-f", "-o", "out"],
    ];
    for way in ways {
        for (name, flags, setting) in OF_IMAGES {
            // An ISO has menus to choose from.
            if way.contains(&"base.iso") && name == "default-entry" {
                continue;
            }
            let ended = folder.run(&[way, &["--hostname", "box"], flags].concat());
            ended.refused(2, &format!("--{name}"));
            folder.write("r.toml", format!("hostname = 'box'\n{setting}\n").as_bytes());
            let ended = folder.run(&[way, &["--recipe", "r.toml"]].concat());
            let told = format!("{}{}", ended.err, ended.text());
            assert!(ended.status == 0 && told.contains("set: hostname box\n"), "{way:?}: {told}");
            let is_noted = told.lines().any(|line| line.starts_with(&format!("note: {name} ")));
            assert!(is_noted && !told.contains(&format!("set: {name}")), "{way:?}: {told}");
            folder.write("r.toml", format!("{setting}\n").as_bytes());
            let ended = folder.run(&[way, &["--recipe", "r.toml"]].concat());
            let has_none = ended.err.contains("nothing to put in");
            // A recipe that is for manifests alone asks nothing of an image either.
            let is_record = ["manifest-digests", "sign"].contains(&name);
            let is_made = way.contains(&"netboot") && !is_record;
            assert_eq!((ended.status, has_none), if is_made { (0, false) } else { (2, true) });
        }
    }
}

#[test]
fn arguments_are_for_the_entry_that_is_started() {
    let folder = folder(&TINY);
    let line = |name: &str| {
        let script = String::from_utf8(folder.read(&format!("{name}/netboot.ipxe"))).unwrap();
        script.lines().find(|line| line.starts_with("kernel ")).unwrap().to_owned()
    };
    let entry = ["netboot", "base.iso", "--karg", "one", "--entry", "Copy ISO", "-o"];
    folder.run(&[&entry[..], &["first"]].concat()).refused(
        2,
        "--entry: \"Copy ISO\" is not the entry that is started, \"NixOS 25.11 Installer",
    );
    folder.run(&[&entry[..], &["chosen", "--default-entry", "Copy ISO"]].concat()).done();
    assert!(line("chosen").contains(" one "), "{}", line("chosen"));
    folder
        .run(&["netboot", "base.iso", "--karg-delete", "fbcon=rotate:3", "-o", "x"])
        .refused(2, "the entry that is started does not have the argument fbcon=rotate:3");
    folder
        .run(&["netboot", "base.iso", "--karg", "one", "--entry", "Windows", "-o", "x"])
        .refused(2, "no entry of any menu is called \"Windows\"");
    folder
        .run(&["netboot", "base.iso", "--karg-replace", "findiso=x", "-o", "x"])
        .refused(2, "is about a medium");
    folder.run(&["netboot", "base.iso", "-o", "nb"]).quietly();
    folder
        .run(&["netboot", "nb", "--karg", "one", "--entry", "run", "-o", "x"])
        .refused(2, "is called \"run\"");
    folder.run(&["netboot", "nb", "--karg", "one", "--entry", "netboot", "-o", "y"]).done();
    assert!(line("y").contains(" one "), "{}", line("y"));
}

/// A tar archive of these entries: their kinds, paths and contents.
fn archive(entries: &[(tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (kind, path, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(bytes.len().try_into().unwrap());
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("stock").unwrap();
        }
        archive.append_data(&mut header, path, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

#[test]
fn tarballs_that_start_something_else_than_what_is_edited_are_refused() {
    use tar::EntryType;
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    let (initrd, kernel) = (folder.read("stock/initrd"), folder.read("stock/bzImage"));
    let file = EntryType::Regular;
    let run = RUN.replace("kexec --command", "kexec --initrd=\"$SCRIPT_DIR/initrd\" --command");
    let sound = [
        (EntryType::Directory, "kexec/", &b""[..]),
        (EntryType::Directory, "kexec", b""),
        (file, "kexec/bzImage", &kernel),
        (file, "kexec/initrd", &initrd),
        (file, "kexec/run", run.as_bytes()),
    ];
    let stamp = |entries: &[(EntryType, &str, &[u8])]| {
        folder.write("x.tar", &archive(entries));
        folder.run(&["x.tar", "--key", "key.pub", "-f", "-o", "y.tar"])
    };
    stamp(&sound).quietly();
    let rows: [(EntryType, &str, &str, &str); 6] = [
        (EntryType::Link, "kexec/initrd", "", "each path once, found kexec/initrd twice"),
        (EntryType::Symlink, "./kexec//initrd", "", "each path once"),
        (EntryType::Directory, "kexec/initrd", "", "each path once"),
        (file, "kexec/run", "#!/bin/sh\n", "each path once, found kexec/run twice"),
        (file, "other/start", &run, "a script in the folder of kexec/initrd"),
        (file, "kexec/more", "#!/bin/sh\nkexec --initrd=./stock\n", "as the only initrd"),
    ];
    for (kind, path, text, words) in rows {
        let mut entries = sound.to_vec();
        entries.push((kind, path, text.as_bytes()));
        stamp(&entries).refused(4, words);
    }
    for (old, new, words) in [
        ("/initrd\"", "/stock.img\"", "initrd, beside it, as the only initrd that it loads"),
        ("--initrd=\"$SCRIPT_DIR/initrd", "--initr=\"$SCRIPT_DIR/stock", "as the only initrd"),
        (
            "kexec --initrd",
            "kernelParams=\"$kernelParams rdinit=/bin/sh\"\nkexec --initrd",
            "looked for init and kernelParams set once, found `kernelParams=",
        ),
        (
            "nohibernate",
            "$more",
            "looked for init and kernelParams as quoted text without variables",
        ),
        ("nohibernate", "rdinit=/bin/sh", "found `rdinit=/bin/sh`"),
    ] {
        let other = run.replace(old, new);
        let mut entries = sound.to_vec();
        entries[4].2 = other.as_bytes();
        stamp(&entries).refused(4, words);
    }
}

#[test]
fn a_script_with_odd_quotes_is_taken_where_its_arguments_stay() {
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    let odd = RUN.replace("nohibernate\"", "'a='\\''b'\"");
    assert_ne!(odd, RUN);
    let (initrd, kernel) = (folder.read("stock/initrd"), folder.read("stock/bzImage"));
    let file = tar::EntryType::Regular;
    let tar = archive(&[
        (file, "kexec/bzImage", &kernel),
        (file, "kexec/initrd", &initrd),
        (file, "kexec/run", odd.as_bytes()),
    ]);
    folder.write("x.tar", &tar);
    folder.run(&["x.tar", "--key", "key.pub", "-o", "y.tar"]).quietly();
    let made = folder.read("y.tar");
    assert!(made.windows(odd.len()).any(|part| part == odd.as_bytes()));
    let words =
        "run: looked for kernel arguments that the shell hands on as they stand, found `\\`";
    for flags in [
        &["x.tar", "--karg", "quiet", "-o", "z.tar"][..],
        &["x.tar", "--key", "key.pub", "--inject", "credential", "-o", "z.tar"],
        &["netboot", "x.tar", "--key", "key.pub", "-o", "z"],
    ] {
        folder.run(flags).err_says(4, words);
        assert!(!folder.at("z.tar").exists() && !folder.at("z").exists());
    }
}

#[test]
fn what_a_folder_hands_to_its_kernel_stays_or_is_refused_by_name() {
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "nb"]).quietly();
    let old = String::from_utf8(folder.read("nb/netboot.ipxe")).unwrap();
    let line = old.lines().find(|line| line.starts_with("kernel ")).unwrap().to_owned();
    let made = |new: &str| {
        folder.write("nb/netboot.ipxe", old.replace(&line, new).as_bytes());
        folder.run(&["netboot", "nb", "--key", "key.pub", "-f", "-o", "out"])
    };
    for new in [
        line.replace(" loglevel", " \\\n  loglevel"),
        line.replace(" loglevel", " \\\r\n  loglevel"),
        line.replace("kernel ", "  :again kernel --name x -t 5 --autofree "),
        format!("{line} || goto again"),
    ] {
        assert_ne!(new, line);
        made(&new).quietly();
        let script = String::from_utf8(folder.read("out/netboot.ipxe")).unwrap();
        let found = script.lines().find(|line| line.starts_with("kernel "));
        assert_eq!(found, Some(line.as_str()), "{new}");
    }
    for (new, words) in [
        (line.replace(" ${cmdline}", " a=${b} ${cmdline}"), "found `a=${b}`"),
        (format!("iseq ${{arch}} arm64 && {line}"), "found `iseq ${arch} arm64 && kernel "),
        (format!("{line}\nimgargs bzImage init=/x rdinit=/y"), "found `imgargs bzImage init=/x"),
        (line.replace("kernel ", "kernel --args x "), "found `--args`"),
        (line.replace("loglevel", "log\\\nlevel"), "in whole words"),
        (format!("set cmdline rdinit=/x\n{line}"), "found `set cmdline rdinit=/x`"),
        (
            format!("{line}\n{}", line.replace("init=/", "init=/x/")),
            "found a second one with init=",
        ),
    ] {
        made(&new).refused(4, words);
    }
}

#[test]
fn an_extended_header_with_a_size_is_named() {
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    let old = kexec(&folder.read("stock/initrd"));
    let at = old.windows(12).position(|bytes| bytes == b"kexec/initrd").unwrap();
    let size = entries(&old)[1].5.len();
    let record = (1..99).find_map(|length| {
        let record = format!("{length} size={size}\n");
        (record.len() == length).then_some(record)
    });
    let extended = archive(&[(tar::EntryType::XHeader, "x", record.unwrap().as_bytes())]);
    let whole = [&old[..at], &extended[..1024], &old[at..]].concat();
    folder.write("x.tar", &whole);
    folder
        .run(&["x.tar", "--key", "key.pub", "-o", "y.tar"])
        .refused(4, "an extended header that states it");
}

#[test]
fn what_is_added_to_a_command_line_again_stands_there_once() {
    let folder = folder(&TINY);
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    folder.write("a.tar", &kexec(&folder.read("stock/initrd")));
    let more = ["--key", "key.pub", "--karg", "foo", "--karg", "foo", "--serial", "ttyS0", "-f"];
    for (from, to) in [("a.tar", "b.tar"), ("b.tar", "c.tar")] {
        folder.run(&[&[from][..], &more, &["-q", "-o", to]].concat()).done();
    }
    assert_same("stamped again", &folder.read("c.tar"), &folder.read("b.tar"));
    let run = entries(&folder.read("b.tar"))[2].5.clone();
    assert_eq!(String::from_utf8(run).unwrap().matches("foo").count(), 1);
    folder.run(&[&["base.iso"][..], &more, &["-o", "x.iso"]].concat()).done();
    for config in survey(&folder.read("x.iso")).configs {
        for entry in config.entries {
            let count = entry.words().filter(|word| *word == "foo").count();
            assert!(count < 2, "{}", entry.path());
        }
    }
}

#[test]
fn a_default_by_its_number_is_started_only_where_it_is_known() {
    let folder = Folder::with_base(&TINY);
    for (number, known) in [("0 ", true), ("1 ", false), ("00", false), ("$x", false)] {
        let (mut bytes, new) = (TINY.to_vec(), format!("set default={number}"));
        let at = |bytes: &[u8]| bytes.windows(14).position(|part| part == b"set timeout=10");
        while let Some(at) = at(&bytes) {
            bytes[at..at + 14].copy_from_slice(new.as_bytes());
        }
        folder.write("base.iso", &bytes);
        let ended = folder.run(&["netboot", "base.iso", "-f", "-o", "nb"]);
        if known {
            assert!(ended.status == 0 && ended.err.contains("entry: NixOS"), "{}", ended.err);
            continue;
        }
        ended.refused(4, "a default by its title or label, or the number 0");
        let named = ["netboot", "base.iso", "-f", "-o", "nb", "--default-entry", "Copy ISO"];
        let ended = folder.run(&named);
        assert!(ended.status == 0 && ended.err.contains("Copy ISO"), "{number}: {}", ended.err);
    }
}
