//! What is laid, what is refused, and what is only told.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Cursor;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use backhand::{FilesystemReader, FilesystemWriter, NodeHeader};
use rustix::fs::{FileType, Mode, XattrFlags};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::formats::elf::tests::program;
use crate::image::ReadAt;
use crate::recipe::Xattrs;
use crate::recipe::edits::NIXOS;

const STORE: &str = "0123456789abcdfghijklmnpqrsvwxyz-tool-1.0";

/// What a test asks for.
type Change = Box<dyn FnOnce(&mut Recipe)>;

/// Files to name in recipes, gone after the test.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, mode: u32, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A folder with one file in it, to be an overlay.
    fn overlay(&self, path: &str, mode: u32, bytes: impl AsRef<[u8]>) -> Recipe {
        self.write(&format!("top/{path}"), mode, bytes);
        let top = self.at("top");
        recipe(|recipe| recipe.overlay = vec![top])
    }

    /// An archive of members, to be an overlay.
    fn archive(&self, members: &[(&[u8], EntryType, u32, &str)]) -> Recipe {
        let path = self.write("overlay.tar", 0o644, archive(members));
        recipe(|recipe| recipe.overlay = vec![path])
    }
}

fn recipe(change: impl FnOnce(&mut Recipe)) -> Recipe {
    let mut recipe = Recipe::default();
    change(&mut recipe);
    recipe
}

/// An archive whose members are links to, or have the bytes of, their last part.
fn archive(members: &[(&[u8], EntryType, u32, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, mode, text) in members {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(1234);
        header.set_gid(5678);
        let is_file = *kind == EntryType::Regular;
        if !is_file {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        let bytes = if is_file { text.as_bytes() } else { &[] };
        header.set_size(bytes.len().try_into().unwrap());
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn squashfs(paths: &[&str]) -> Vec<u8> {
    let mut writer = FilesystemWriter::default();
    let header = NodeHeader::new(0o755, 0, 0, 0);
    for path in paths {
        let (folder, _) = path.rsplit_once('/').unwrap();
        writer.push_dir_all(folder, header).unwrap();
        writer.push_file(&b"tool"[..], path, header).unwrap();
    }
    let mut bytes = Cursor::new(Vec::new());
    writer.write(&mut bytes).unwrap();
    bytes.into_inner()
}

fn facts() -> Facts {
    Facts { release: (25, 11), architecture: Some("x86_64"), room: None }
}

fn edits(recipe: &Recipe) -> Result<(Edits, Vec<String>)> {
    let files = Files::gather(recipe)?.unwrap();
    let mut edits = Edits::default();
    files.apply(&facts(), &BTreeSet::new(), &mut edits)?;
    Ok((edits, files.notes().to_vec()))
}

fn refused(recipe: &Recipe) -> String {
    match edits(recipe) {
        Ok((edits, notes)) => panic!("taken: {:?} {notes:?}", edits.root),
        Err(fault) => {
            format!("{fault} ({})", fault.advice().and_then(crate::error::Advice::words).unwrap())
        }
    }
}

fn listing(edits: &Edits) -> Vec<String> {
    let line = |member: &Member| {
        let what = match &member.kind {
            Kind::Directory => "/".to_owned(),
            Kind::File(bytes) => format!("={}", String::from_utf8_lossy(bytes)),
            Kind::Symlink(to) => format!("->{to}"),
        };
        format!("{}{what} {:o} {}:{}", member.path, member.mode, member.owner.0, member.owner.1)
    };
    edits.root.members().map(line).collect()
}

/// Made up here, so that no scanner takes this file for a leak.
fn private_key() -> String {
    format!("-----BEGIN OPENSSH {0} KEY-----\nAAAA\n-----END OPENSSH {0} KEY-----\n", "PRIVATE")
}

#[test]
fn a_folder_keeps_its_modes_and_gets_owners_by_rule() {
    let bench = Bench::new();
    let recipe = bench.overlay("srv/a", 0o640, "a");
    bench.write("top/home/nixos/.config/b", 0o600, "b");
    bench.write("top/root/c", 0o644, "c");
    fs::set_permissions(bench.at("top/root"), fs::Permissions::from_mode(0o775)).unwrap();
    fs::set_permissions(bench.at("top/srv"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("/run/current-system/sw/bin/bash", bench.at("top/srv/shell")).unwrap();
    let (edits, notes) = edits(&recipe).unwrap();
    let found = listing(&edits);
    for line in [
        "srv/ 750 0:0",
        "srv/a=a 640 0:0",
        "srv/shell->/run/current-system/sw/bin/bash 777 0:0",
        "home/nixos/ 700 1000:100",
        "home/nixos/.config/b=b 600 1000:100",
        "root/ 700 0:0",
        "root/c=c 644 0:0",
    ] {
        assert!(found.contains(&line.to_owned()), "{line}: {found:#?}");
    }
    assert_eq!(notes, Vec::<String>::new());
    assert!(!edits.private && edits.attached.is_empty());
}

#[test]
fn an_archive_keeps_modes_and_numbers_of_owners_however_it_is_packed() {
    let plain = archive(&[
        (b"./", EntryType::Directory, 0o700, ""),
        (b"./proc/", EntryType::Directory, 0o555, ""),
        (b"./srv/", EntryType::Directory, 0o711, ""),
        (b"./srv/a", EntryType::Regular, 0o640, "bytes"),
        (b"srv/b", EntryType::Link, 0o640, "./srv/a"),
        (b"srv/c", EntryType::Symlink, 0, "/etc/static"),
    ]);
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &plain).unwrap();
        encoder.finish().unwrap()
    };
    let mut xz = Vec::new();
    let encoder = liblzma::read::XzEncoder::new(plain.as_slice(), 1);
    std::io::copy(&mut { encoder }, &mut xz).unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for bytes in [plain, gzip, xz, zstd] {
        let bench = Bench::new();
        let path = bench.write("files", 0o644, bytes);
        let (edits, _) = edits(&recipe(|recipe| recipe.overlay = vec![path])).unwrap();
        let expected = [
            "srv/ 711 1234:5678",
            "srv/a=bytes 640 1234:5678",
            "srv/b=bytes 640 1234:5678",
            "srv/c->/etc/static 777 1234:5678",
        ];
        assert_eq!(listing(&edits), expected);
    }
}

#[test]
fn programs_units_and_runs_are_put_where_the_live_system_finds_them() {
    let bench = Bench::new();
    let script = bench.write("auto-install", 0o600, "#!/usr/bin/env bash\n");
    let tool = bench.write("tool", 0o600, program(62, &[1]));
    let run = bench.write("first.sh", 0o600, "#!/bin/sh\n");
    let service = bench.write("a.service", 0o600, "[Service]\nExecStart=/opt/remaster/bin/tool\n");
    let timer =
        bench.write("a.timer", 0o600, "[Timer]\nOnBootSec=1\n[Install]\nWantedBy=timers.target\n");
    let template = bench.write(
        "b@.service",
        0o600,
        "[Install]\nRequiredBy=x.target\nAlias=c.service\nDefaultInstance=i\n",
    );
    let recipe = recipe(|recipe| {
        recipe.script = vec![script];
        recipe.bin = vec![tool];
        recipe.run = vec![run];
        recipe.unit = vec![service, timer, template];
        recipe.enable = Some(true);
        recipe.file = vec![format!("{}:/srv/x:0604:nixos", bench.at("first.sh").display())];
    });
    let (edits, notes) = edits(&recipe).unwrap();
    let found = listing(&edits);
    let control = "etc/systemd/system.control";
    for line in [
        "opt/remaster/bin/auto-install=#!/usr/bin/env bash\n 755 0:0".to_owned(),
        "etc/profiles/per-user/root/bin->/opt/remaster/bin 777 0:0".to_owned(),
        "etc/profiles/per-user/nixos/bin->/opt/remaster/bin 777 0:0".to_owned(),
        "opt/remaster/run/first.sh=#!/bin/sh\n 755 0:0".to_owned(),
        format!(
            "{control}/multi-user.target.wants/remaster-run-first.service->../remaster-run-first.service 777 0:0"
        ),
        format!("{control}/timers.target.wants/a.timer->../a.timer 777 0:0"),
        format!("{control}/x.target.requires/b@i.service->../b@.service 777 0:0"),
        format!("{control}/c.service->b@.service 777 0:0"),
        "srv/x=#!/bin/sh\n 604 1000:100".to_owned(),
    ] {
        assert!(found.contains(&line), "{line}: {found:#?}");
    }
    assert!(edits.root.get("opt/remaster/bin/tool").is_some());
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn a_path_leads_through_up_to_40_links() {
    let mut laid = OverlayTree::default();
    let mut put = |path: &str, what| {
        laid.put_own(
            path,
            overlay_tree::Item { mode: 0o777, owner: (0, 0), what, by: ("overlay", 0) },
        );
    };
    put("srv/0", overlay_tree::What::Folder);
    for number in 1..=41 {
        put(&format!("srv/{number}"), overlay_tree::What::Link(format!("{}", number - 1)));
    }
    assert_eq!(laid.real("srv/40/x").as_deref(), Some("srv/0/x"));
    assert_eq!(laid.real("srv/41/x"), None);
}

#[test]
fn a_large_overlay_becomes_a_squashfs_the_same_each_time() {
    let bench = Bench::new();
    let recipe = bench.overlay("srv/large", 0o640, vec![7; 16 << 20]);
    let (fits, _) = edits(&recipe).unwrap();
    assert!(fits.attached.is_empty() && fits.root.get("srv/large").is_some());
    bench.write("top/home/nixos/b", 0o600, "b");
    let image = |recipe: &Recipe| {
        let (edits, _) = edits(recipe).unwrap();
        assert_eq!(listing(&edits), Vec::<String>::new());
        assert_eq!(edits.attached.len(), 1);
        assert_eq!(edits.attached[0].purpose, Purpose::Overlay);
        let bytes = &edits.attached[0].bytes;
        let all = crate::units::ByteRange::new(0, bytes.size()).unwrap();
        bytes.read_range("test", all, 1 << 20).unwrap()
    };
    let first = image(&recipe);
    assert!(first == image(&recipe));
    let read = FilesystemReader::from_reader(Cursor::new(first)).unwrap();
    let found: Vec<String> = read
        .files()
        .map(|node| {
            let NodeHeader { permissions, uid, gid, mtime } = node.header;
            format!("{} {permissions:o} {uid}:{gid} {mtime}", node.fullpath.display())
        })
        .collect();
    let nixos = format!("/home/nixos/b 600 {}:{} 0", NIXOS.0, NIXOS.1);
    assert!(
        found.contains(&"/srv/large 640 0:0 0".to_owned()) && found.contains(&nixos),
        "{found:?}"
    );
}

#[test]
fn stores_are_taken_as_they_are() {
    let bench = Bench::new();
    for place in ["nix/store/", ""] {
        let bytes = squashfs(&[&format!("{place}{STORE}/bin/tool")]);
        let store = bench.write("a.squashfs", 0o600, &bytes);
        let recipe = recipe(|recipe| (recipe.store, recipe.path) = (vec![store], Some(true)));
        let (edits, notes) = edits(&recipe).unwrap();
        assert_eq!(edits.attached[0].purpose, Purpose::Store { on_path: true });
        assert_eq!(edits.attached[0].bytes.size(), u64::try_from(bytes.len()).unwrap());
        assert!(edits.root.get("etc/profiles/per-user/nixos/bin").is_some());
        assert!(edits.root.get("etc/remaster/store.sh").is_none());
        assert!(notes.len() == 1 && notes[0].contains("has no nix-path-registration"), "{notes:?}");
    }
}

#[test]
fn nix_learns_of_a_store_that_has_the_list_of_its_paths() {
    let bench = Bench::new();
    let bytes = squashfs(&[&format!("{STORE}/bin/tool"), "/nix-path-registration"]);
    let store = bench.write("a.squashfs", 0o600, &bytes);
    let (edits, notes) = edits(&recipe(|recipe| recipe.store = vec![store])).unwrap();
    assert_eq!(notes, Vec::<String>::new());
    let wanted = "etc/systemd/system.control/sysinit.target.wants/remaster-store.service";
    assert!(edits.root.get(wanted).is_some() && edits.root.get("etc/remaster/store.sh").is_some());
}

#[test]
fn secrets_that_are_meant_make_the_image_private() {
    let bench = Bench::new();
    let host_key = bench.overlay("etc/ssh/ssh_host_ed25519_key", 0o600, private_key());
    assert!(edits(&host_key).unwrap().0.private);
    let bench = Bench::new();
    let mut key = bench.overlay("root/id", 0o600, private_key());
    key.allow_secrets = Some(true);
    assert!(edits(&key).unwrap().0.private);
    let bench = Bench::new();
    assert!(edits(&bench.overlay("root/.netrc", 0o600, "")).unwrap().0.private);
}

#[test]
fn what_is_odd_but_works_is_reported() {
    let rows: [(&str, u32, &str, &str); 4] = [
        ("srv/a", 0o755, "echo", "/srv/a is executable, but neither a script"),
        ("srv/a", 0o755, "#!/bin/sh\r\n", "/srv/a cannot run: its first line ends in CR LF"),
        ("srv/tls.key", 0o644, "x", "/srv/tls.key looks like a secret, and everybody can read it"),
        ("srv/password.txt", 0o644, "x", "/srv/password.txt looks like a secret"),
    ];
    for (path, mode, text, note) in rows {
        let bench = Bench::new();
        let (_, notes) = edits(&bench.overlay(path, mode, text)).unwrap();
        assert!(notes.len() == 1 && notes[0].contains(note), "{notes:?}");
    }
    let bench = Bench::new();
    let unit = bench.write(
        "a.service",
        0o600,
        "[Service]\nExecStart=/usr/bin/x\n[Install]\nWantedBy=a.target\n",
    );
    let (_, notes) = edits(&recipe(|recipe| recipe.unit = vec![unit])).unwrap();
    assert!(notes[0].contains("/usr/bin/x, which NixOS does not have"), "{notes:?}");
    assert!(notes[1].contains("not started at boot"), "{notes:?}");
}

#[test]
fn a_folder_in_the_place_of_a_link_of_nixos_is_reported() {
    let bench = Bench::new();
    let (_, notes) = edits(&bench.overlay("etc/tmpfiles.d/a.conf", 0o644, "")).unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].starts_with("/etc/tmpfiles.d is one link into the store on NixOS"),
        "{notes:?}"
    );
    let (_, notes) =
        edits(&bench.archive(&[(b"etc/modprobe.d/a", EntryType::Regular, 0o644, "")])).unwrap();
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn overlays_that_would_be_lost_or_break_something_are_refused_by_name() {
    let rows: [(&str, u32, &str, &str); 16] = [
        (
            "etc/ssh/sshd_config",
            0o644,
            "",
            "/etc/ssh/sshd_config: NixOS puts its own in this place",
        ),
        ("etc/hostname", 0o644, "", "(give the name to --hostname)"),
        ("nix/store/x", 0o644, "", "(give a squashfs of them to --store)"),
        ("etc/systemd/system/a.service", 0o644, "", "would leave no units (give units to --unit"),
        ("run/a", 0o644, "", "/run/a: something is mounted there"),
        ("proc/a", 0o644, "", "/proc/a: something is mounted there"),
        ("etc/pam.d/su", 0o644, "", "/etc/pam.d/su: NixOS puts its own"),
        ("opt/remaster/a", 0o644, "", "/opt/remaster/a: this folder is remaster's"),
        ("srv/su", 0o4755, "", "is setuid or setgid (mode 4755) (take the bit off"),
        (
            "srv/key",
            0o644,
            "KEY",
            "/srv/key is a private key (OpenSSH) that others could read (mode 0644) (leave it out; if it is meant to be there, give it the mode 600, and --allow-secrets)",
        ),
        (
            "srv/key",
            0o600,
            "KEY",
            "/srv/key is a private key (OpenSSH) (leave it out, or give --allow-secrets",
        ),
        (
            "etc/ssh/ssh_host_rsa_key",
            0o640,
            "KEY",
            "/etc/ssh/ssh_host_rsa_key is a private key (OpenSSH) that others could read",
        ),
        (
            "etc/shadow",
            0o644,
            "",
            "/etc/shadow holds secrets, and others could read it (mode 0644)",
        ),
        (
            "etc/NetworkManager/system-connections/a.nmconnection",
            0o644,
            "",
            "a.nmconnection holds secrets",
        ),
        ("srv/a\nb", 0o644, "", "srv/a\\nb has a control character in its name"),
        ("bin/sh", 0o755, "#!/x\n", "/bin/sh: NixOS puts its own"),
    ];
    for (path, mode, text, expected) in rows {
        let bench = Bench::new();
        let text = if text == "KEY" { private_key() } else { text.to_owned() };
        let found = refused(&bench.overlay(path, mode, text));
        assert!(found.starts_with("--overlay: ") && found.contains(expected), "{found}");
        assert!(!found.contains("AAAA"), "{found}");
    }
}

/// What somebody does with a file between a look at its folder and the reading.
type Swap = (&'static str, fn(&Bench, &Path));

const SWAPS: [Swap; 6] = [
    ("a link to another file", |bench, path| {
        symlink(bench.write("secret", 0o600, "SECRET1234"), bench.at("new")).unwrap();
        fs::rename(bench.at("new"), path).unwrap();
    }),
    ("a link to the same file", |bench, path| {
        fs::rename(path, bench.at("moved")).unwrap();
        symlink(bench.at("moved"), path).unwrap();
    }),
    ("a FIFO", |_, path| {
        fs::remove_file(path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    }),
    ("another file", |bench, path| {
        fs::rename(bench.write("b", 0o644, "other12345"), path).unwrap();
    }),
    ("a longer one", |_, path| fs::write(path, "harmless1011").unwrap()),
    ("a shorter one", |_, path| fs::write(path, "harm").unwrap()),
];

#[test]
fn a_file_that_is_another_one_when_it_is_read_is_refused() {
    for (what, swap) in SWAPS {
        for by_name in [false, true] {
            let bench = Bench::new();
            let path = bench.write("top/zz", 0o644, "harmless10");
            let mut recipe = Recipe::default();
            if by_name {
                recipe.file = vec![format!("{}:/srv/zz", path.display())];
            } else {
                recipe.overlay = vec![bench.at("top")];
            }
            let (mut overlay, mut findings) = (OverlayTree::default(), Findings::default());
            overlays(&recipe, &mut overlay).unwrap();
            programs::gather(&recipe, &mut overlay, &mut findings).unwrap();
            overlay.finish().unwrap();
            swap(&bench, &path);
            // A link that the user names is followed: it is the same file.
            if by_name && what == "a link to the same file" {
                overlay.members().unwrap();
                continue;
            }
            for fault in [overlay.members().unwrap_err(), packed(&overlay).unwrap_err()] {
                assert!(matches!(fault, Error::Changed { .. }), "{what} {by_name}: {fault:?}");
            }
        }
    }
}

#[test]
fn what_no_overlay_can_hold_is_refused_by_name() {
    let bench = Bench::new();
    let recipe = bench.overlay("srv/a", 0o644, "");
    let fifo = bench.at("top/srv/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from(0o644), 0).unwrap();
    assert!(refused(&recipe).contains("srv/pipe is a FIFO"));
    fs::remove_file(fifo).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(bench.at("top/srv/socket")).unwrap();
    assert!(refused(&recipe).contains("srv/socket is a socket"));
    drop(socket);
    fs::remove_file(bench.at("top/srv/socket")).unwrap();
    let odd = bench.at("top").join(OsStr::from_bytes(b"srv/\xff"));
    fs::write(&odd, "").unwrap();
    assert!(refused(&recipe).contains("srv/\\xff has a name that is not UTF-8"));
    fs::remove_file(odd).unwrap();
    let set = rustix::fs::setxattr(bench.at("top/srv/a"), "user.mine", b"1", XattrFlags::empty());
    if set.is_ok() {
        assert!(refused(&recipe).contains("srv/a has the extended attribute user.mine"));
        let mut dropped = recipe;
        dropped.xattrs = Some(Xattrs::Drop);
        assert!(edits(&dropped).is_ok());
    }
}

#[test]
fn archives_that_lead_outside_or_lie_are_refused_by_name() {
    use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
    type Members<'a> = &'a [(&'a [u8], EntryType, u32, &'a str)];
    let rows: [(Members<'_>, &str); 12] = [
        (&[(b"../a", Regular, 0o644, "")], "the member ../a has `..` in its name"),
        (&[(b"srv/../../a", Regular, 0o644, "")], "srv/../../a has `..` in its name"),
        (&[(b"/etc/a", Regular, 0o644, "")], "the member /etc/a has an absolute name"),
        (
            &[(b"l", Symlink, 0o777, "/etc"), (b"l/a", Regular, 0o644, "")],
            "/l/a lies below /l, which is not a folder here",
        ),
        (
            &[(b"l/a", Regular, 0o644, ""), (b"l", Symlink, 0o777, "/etc")],
            "/l is a folder with files here, and something else",
        ),
        (
            &[(b"l", Regular, 0o644, ""), (b"l", Directory, 0o755, "")],
            "/l is a folder here, and something else",
        ),
        (
            &[(b"a", Link, 0o644, "../../etc/shadow")],
            "a is a hard link to ../../etc/shadow, which is not a file of the archive",
        ),
        (&[(b"a", Char, 0o644, "")], "a is a character device"),
        (&[(b"a", Block, 0o644, "")], "a is a block device"),
        (&[(b"a", Fifo, 0o644, "")], "a is a FIFO"),
        (&[(b"a", Regular, 0o2755, "")], "a is setuid or setgid (mode 2755)"),
        (&[(b"a\xff", Regular, 0o644, "")], "the member a\\xff has a name that is not UTF-8"),
    ];
    for (members, expected) in rows {
        let bench = Bench::new();
        let found = refused(&bench.archive(members));
        assert!(found.starts_with("--overlay: ") && found.contains(expected), "{found}");
    }
    let bench = Bench::new();
    let whole = archive(&[(b"a", Regular, 0o644, &"x".repeat(3000))]);
    for (bytes, expected) in [
        (&whole[..1024], "ends within a file of 3000 bytes"),
        (b"no archive".as_slice(), "is neither a folder nor a tar archive"),
        (b"", "is neither a folder nor a tar archive"),
    ] {
        let path = bench.write("cut.tar", 0o644, bytes);
        let found = refused(&recipe(|recipe| recipe.overlay = vec![path]));
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn attributes_in_an_archive_are_refused_or_dropped() {
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions([("SCHILY.xattr.security.capability", b"x".as_slice())]).unwrap();
    let mut header = Header::new_gnu();
    header.set_path("ping").unwrap();
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &[][..]).unwrap();
    let bench = Bench::new();
    let path = bench.write("a.tar", 0o644, builder.into_inner().unwrap());
    let mut recipe = recipe(|recipe| recipe.overlay = vec![path]);
    assert!(refused(&recipe).contains("ping has the extended attribute security.capability"));
    recipe.xattrs = Some(Xattrs::Drop);
    assert!(edits(&recipe).is_ok());
}

#[test]
fn bad_files_scripts_and_programs_are_refused_by_name() {
    let bench = Bench::new();
    let at = |name: &str| bench.at(name).display().to_string();
    bench.write("a", 0o644, "x");
    bench.write("key", 0o644, private_key());
    let file = |text: String| -> Change { Box::new(|recipe| recipe.file = vec![text]) };
    let script = |name: &str, text: &str| -> Change {
        let path = bench.write(name, 0o755, text);
        Box::new(|recipe| recipe.script = vec![path])
    };
    let bin = |bytes: Vec<u8>| -> Change {
        let path = bench.write("tool", 0o755, bytes);
        Box::new(|recipe| recipe.bin = vec![path])
    };
    let twice = bench.write("one/first.sh", 0o755, "#!/bin/sh\n");
    let other = bench.write("two/first.py", 0o755, "#!/bin/sh\n");
    let dynamic = program(62, &[1, 3]);
    let rows: Vec<(Change, &str)> = vec![
        (file(at("a")), "has no path in the live system that begins with `/` (write SRC:DST"),
        (file(format!("{}:/srv/", at("a"))), "/srv/ is a folder, not the path of a file"),
        (file(format!("{}:/srv/../a", at("a"))), "/srv/../a has `..` in its name"),
        (file(format!("{}:/srv/a:888", at("a"))), "888 is not a mode (write it in octal digits"),
        (
            file(format!("{}:/srv/a:644:alice", at("a"))),
            "alice is not an owner that an installer has",
        ),
        (file(format!("{}:/etc/hostname", at("a"))), "/etc/hostname: NixOS puts its own"),
        (file(format!("{}:/srv/a:600", at("key"))), "--file: /srv/a is a private key"),
        (file(format!("{}:/srv/a", bench.0.path().display())), "is a folder, not a file"),
        (
            file("/proc/self/status:/srv/a".into()),
            "/proc/self/status: the system does not tell how many bytes it has (copy it to a file",
        ),
        (script("s1", "echo\n"), "s1 does not start with `#!`"),
        (script("s2", "#!/bin/sh\r\necho\r\n"), "s2 has lines that end in CR LF"),
        (script("s3", "#!/bin/bash\n"), "s3 wants /bin/bash, which NixOS does not have"),
        (script("s 4", "#!/bin/sh\n"), "has no name that can be typed as a command"),
        (script("s5", "\u{7f}ELF"), "s5 is a program and no script (give it to --bin)"),
        (bin(b"#!/bin/sh\n".to_vec()), "tool is not a program: found other magic bytes"),
        (Box::new(|recipe| recipe.run = vec![twice, other]), "--run: first.py is given twice"),
        (Box::new(|recipe| recipe.enable = Some(true)), "--enable: has no effect without --unit"),
        (Box::new(|recipe| recipe.path = Some(true)), "--path: has no effect without --store"),
        (
            Box::new(|recipe| recipe.xattrs = Some(Xattrs::Drop)),
            "--xattrs: has no effect without --overlay",
        ),
    ];
    for (change, expected) in rows {
        let found = refused(&recipe(change));
        assert!(found.contains(expected), "{found}");
    }
    for (bytes, expected) in [
        (dynamic, "wants a loader and libraries, which NixOS has elsewhere"),
        (program(183, &[1]), "tool is for aarch64, the image is for x86_64"),
        (program(40, &[1]), "tool is for another machine, the image is for x86_64"),
    ] {
        let found = refused(&recipe(bin(bytes)));
        assert!(found.starts_with("--bin: ") && found.contains(expected), "{found}");
    }
}

#[test]
fn bad_units_are_refused_by_name() {
    let rows = [
        ("a.sh", "", "has no name of a unit"),
        ("a.service", "hello\n", "a.service:1 is neither a section"),
        ("a.service", "[Service]\r\nExecStart=/bin/sh\r\n", "lines that end in CR LF"),
        (
            "a.service",
            "[Service]\nExecStart=tool\n",
            "a.service runs tool, which is not an absolute path",
        ),
        (
            "a.service",
            "[Service]\nExecStart=/bin/sh\n",
            "a.service has no [Install] section that says what starts it",
        ),
        (
            "a@.service",
            "[Install]\nWantedBy=a.target\n",
            "a@.service is a template, and has no DefaultInstance=",
        ),
        (
            "a.service",
            "[Install]\nWantedBy=../../x\n",
            "a.service has ../../x in its [Install] section",
        ),
    ];
    for (name, text, expected) in rows {
        let bench = Bench::new();
        let path = bench.write(name, 0o644, text);
        let found = refused(&recipe(|recipe| {
            (recipe.unit, recipe.enable) = (vec![path], Some(true));
        }));
        assert!(found.starts_with("--unit: ") && found.contains(expected), "{found}");
    }
}

#[test]
fn bad_stores_are_refused_by_name() {
    let whole = squashfs(&[&format!("{STORE}/bin/tool")]);
    let rows = [
        (b"hello".to_vec(), "is not a squashfs"),
        (whole[..200].to_vec(), "is cut off"),
        (
            squashfs(&["usr/bin/tool"]),
            "has no store paths, neither at its top nor below /nix/store",
        ),
    ];
    for (bytes, expected) in rows {
        let bench = Bench::new();
        let path = bench.write("a.squashfs", 0o644, bytes);
        let found = refused(&recipe(|recipe| recipe.store = vec![path]));
        assert!(found.starts_with("--store: ") && found.contains(expected), "{found}");
    }
}

#[test]
fn a_file_that_another_setting_makes_too_is_refused() {
    let bench = Bench::new();
    // In the archive of the live system's files, and in a squashfs.
    for size in [0, (16 << 20) + 1] {
        let recipe = bench.overlay("root/.ssh/authorized_keys", 0o600, vec![b'\n'; size]);
        let files = Files::gather(&recipe).unwrap().unwrap();
        let mut edits = Edits::authorize("key\n", crate::recipe::edits::InjectMethod::default());
        let fault = files.apply(&facts(), &BTreeSet::new(), &mut edits).unwrap_err().to_string();
        assert!(fault.starts_with("/root/.ssh/authorized_keys is among the files"), "{fault}");
    }
}

/// The key files that sshd reads on every installer, and the folders above them.
const KEY_FILES: [&str; 6] = [
    "root/.ssh/authorized_keys",
    "root/.ssh/authorized_keys2",
    "home/nixos/.ssh/authorized_keys",
    "home/nixos/.ssh/authorized_keys2",
    "etc/ssh/authorized_keys.d/root",
    "etc/ssh/authorized_keys.d/nixos",
];

/// An archive of key files and all folders above them, with one mode and owner.
fn with_keys(bench: &Bench, mode: u32, owner: (u64, u64)) -> Recipe {
    let mut builder = Builder::new(Vec::new());
    let mut put = |path: &str, kind: EntryType, mode: u32| {
        let mut header = Header::new_gnu();
        header.set_path(path).unwrap();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_size(if kind == EntryType::Regular { 2 } else { 0 });
        header.set_cksum();
        let bytes: &[u8] = if kind == EntryType::Regular { b"k\n" } else { b"" };
        builder.append(&header, bytes).unwrap();
    };
    for path in KEY_FILES {
        for (at, _) in path.match_indices('/') {
            put(&path[..at], EntryType::Directory, mode | 0o111);
        }
        put(path, EntryType::Regular, mode);
    }
    let path = bench.write("keys.tar", 0o644, builder.into_inner().unwrap());
    recipe(|recipe| recipe.overlay = vec![path])
}

/// What is wrong in sshd's eyes with what stands on the way to a key file.
fn complaints(edits: &Edits, path: &str) -> Vec<String> {
    let (uid, home) = match path {
        _ if path.starts_with("home/nixos/") => (NIXOS.0, "home/nixos"),
        _ if path.starts_with("root/") => (0, "root"),
        _ => (if path.ends_with("nixos") { NIXOS.0 } else { 0 }, ""),
    };
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    let all = above.filter(|path| path.len() >= home.len()).chain([path]);
    let members = all.map(|path| edits.root.get(path).unwrap_or_else(|| panic!("no {path}")));
    let wrong = members.filter(|member| {
        let read = if member.kind == Kind::Directory { 0o1 } else { 0o4 };
        let shift = if member.owner.0 == uid { 6 } else { 0 };
        let can_read = uid == 0 || member.mode >> shift & read != 0;
        member.mode & 0o022 != 0 || ![0, uid].contains(&member.owner.0) || !can_read
    });
    wrong.map(|m| format!("{} {:o} {}:{}", m.path, m.mode, m.owner.0, m.owner.1)).collect()
}

#[test]
fn key_files_get_what_sshd_takes_whatever_they_come_with() {
    let owners = [(0, 0), (1000, 100), (1000, 1000), (1234, 5678)];
    for mode in [0o666, 0o664, 0o644, 0o600, 0o400, 0o640, 0o604] {
        for owner in owners {
            let bench = Bench::new();
            let recipe = with_keys(&bench, mode, owner);
            let (edits, notes) = edits(&recipe).unwrap();
            let mut raw = Edits::default();
            let room = Facts { room: Some(1 << 20), ..facts() };
            Files::gather(&recipe)
                .unwrap()
                .unwrap()
                .apply(&room, &BTreeSet::new(), &mut raw)
                .unwrap();
            assert_eq!(raw.root, edits.root);
            for path in KEY_FILES {
                assert_eq!(complaints(&edits, path), Vec::<String>::new(), "{mode:o} {owner:?}");
                let told = notes.iter().any(|note| note.contains(&format!("not take /{path};")));
                let kept = edits.root.get(path).unwrap();
                let kept = (kept.mode, u64::from(kept.owner.0)) == (mode, owner.0);
                assert!(told || kept, "{mode:o} {owner:?} {path}: {notes:?}");
            }
        }
    }
    let bench = Bench::new();
    let (_, notes) = edits(&with_keys(&bench, 0o666, (1000, 1000))).unwrap();
    let note = "sshd would not take /root/.ssh/authorized_keys; changed: /root/.ssh/authorized_keys from 0666 1000:1000 to 0600 0:0, /root from 0777 1000:1000 to 0700 0:0, /root/.ssh from 0777 1000:1000 to 0700 0:0";
    assert_eq!(notes.iter().filter(|line| *line == note).count(), 1, "{notes:#?}");
    let bench = Bench::new();
    let (_, notes) = edits(&with_keys(&bench, 0o644, (0, 0))).unwrap();
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn key_files_of_folders_and_of_single_files_get_what_sshd_takes() {
    for path in KEY_FILES {
        let bench = Bench::new();
        let recipe = bench.overlay(path, 0o664, "k\n");
        let folder = bench.at("top").join(path);
        let folder = folder.parent().unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        let (found, notes) = edits(&recipe).unwrap();
        assert_eq!((complaints(&found, path), notes.len()), (vec![], 1), "{notes:?}");
        let source = bench.write("key", 0o644, "k\n");
        for (end, told) in [("", 0), (":0666", 1), (":0600:1234:5", 1), (":0640:nixos", 1)] {
            let file = format!("{}:/{path}{end}", source.display());
            let (found, notes) = edits(&recipe_of(file)).unwrap();
            assert_eq!(complaints(&found, path), Vec::<String>::new(), "{end}");
            let fits = end == ":0640:nixos" && path.contains("nixos");
            assert_eq!(notes.len(), if fits { 0 } else { told }, "{path}{end}: {notes:?}");
        }
    }
}

fn recipe_of(file: String) -> Recipe {
    recipe(|recipe| recipe.file = vec![file])
}

#[test]
fn key_files_of_other_users_and_behind_links() {
    let bench = Bench::new();
    let (found, notes) =
        edits(&bench.overlay("home/alice/.ssh/authorized_keys", 0o666, "")).unwrap();
    assert_eq!(found.root.get("home/alice/.ssh/authorized_keys").unwrap().mode, 0o644);
    assert_eq!(notes.len(), 1);
    let bench = Bench::new();
    let (found, notes) =
        edits(&bench.overlay("etc/ssh/authorized_keys.d/alice", 0o600, "")).unwrap();
    assert_eq!(found.root.get("etc/ssh/authorized_keys.d/alice").unwrap().mode, 0o444);
    assert_eq!(notes.len(), 1);
    for (mode, refused_too) in [(0o644, false), (0o664, true)] {
        let bench = Bench::new();
        let recipe = bench.overlay("srv/keys", mode, "");
        bench.write("top/root/.ssh/config", 0o600, "");
        symlink("../../srv/./keys", bench.at("top/root/.ssh/authorized_keys")).unwrap();
        match edits(&recipe) {
            Ok((_, notes)) => assert!(!refused_too && notes.is_empty(), "{notes:?}"),
            Err(fault) => {
                let fault = fault.to_string();
                assert!(refused_too && fault.contains("/srv/keys (0664 0:0)"), "{fault}");
            }
        }
    }
    let bench = Bench::new();
    let recipe = bench.overlay("root/.ssh/config", 0o600, "");
    symlink("authorized_keys", bench.at("top/root/.ssh/authorized_keys")).unwrap();
    assert!(edits(&recipe).is_ok());
}
