//! Stamped images that were damaged where only a boot would notice: `inspect` says that what was put in is not loaded.

use std::ops::Range;
use std::sync::LazyLock;

use crate::support::{AARCH64, Folder, SD, SYSTEMD, TINY, key, survey};

/// The bytes of a file of the volume whose path ends so.
fn file(image: &[u8], path: &str) -> Range<usize> {
    let tree = survey(image);
    let (_, node) = tree.tree().files().find(|(name, _)| name.ends_with(path)).unwrap();
    let at = node.extents[0];
    at.start().try_into().unwrap()..at.end().try_into().unwrap()
}

/// Puts other bytes of the same length in the place of the first so many in a part.
fn swap(part: &mut [u8], old: &str, new: &str, most: usize) {
    assert_eq!(old.len(), new.len());
    let places = part.windows(old.len()).enumerate().filter(|(_, at)| *at == old.as_bytes());
    let places: Vec<usize> = places.map(|(at, _)| at).take(most).collect();
    assert!(!places.is_empty(), "no {old}");
    for at in places {
        part[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
}

const PAYLOAD: &str = " /remaster/payload.img";

fn in_menu(image: &mut [u8], old: &str, new: &str, most: usize) {
    let at = file(image, "/EFI/BOOT/grub.cfg");
    swap(&mut image[at], old, new, most);
}

fn zeros(image: &mut [u8], path: &str) {
    let at = file(image, path);
    image[at].fill(0);
}

fn in_payload(image: &mut [u8], old: &str, new: &str) {
    let at = file(image, "/payload.img");
    swap(&mut image[at], old, new, 1);
}

/// Gives a member of the payload another mode, in its header: eight hexadecimal digits behind the mark and the inode.
fn to_mode(image: &mut [u8], path: &str, mode: u32) {
    let at = file(image, "/payload.img");
    let name = format!("remaster/root/{path}\0");
    let payload = &mut image[at];
    let named = payload.windows(name.len()).position(|part| part == name.as_bytes()).unwrap();
    payload[named - 110 + 14..named - 110 + 22].copy_from_slice(format!("{mode:08X}").as_bytes());
}

/// What the image is called, how it is stamped, what is done to it, and what is said then.
type Row = (&'static LazyLock<Vec<u8>>, &'static str, fn(&mut Vec<u8>), &'static str);

const ROWS: [Row; 19] = [
    (&TINY, "", |_| {}, ""),
    (&TINY, "--merge-initrd", |_| {}, ""),
    (&SYSTEMD, "--label nixos-other", |_| {}, ""),
    (&AARCH64, "--inject credential", |_| {}, ""),
    (
        &TINY,
        "",
        |image| {
            let [one, two] = ["/hook1.img", "/hook2.img"].map(|path| file(image, path));
            image[one].fill(0);
            image[two].fill(0);
        },
        "/remaster/hook1.img, which is the hook of /boot/nix/store/",
    ),
    (
        &SYSTEMD,
        "",
        |image| {
            let at = file(image, "/hook1.img");
            swap(&mut image[at], "remaster.service", "remaster.servic3", 1);
        },
        ", lacks etc/systemd/system.control/remaster.service, or has another version of it",
    ),
    (
        &TINY,
        "",
        |image| in_menu(image, PAYLOAD, " /remaster/hook1.img  ", usize::MAX),
        "loads /boot/nix/store/",
    ),
    (
        &TINY,
        "",
        |image| in_menu(image, PAYLOAD, &" ".repeat(PAYLOAD.len()), 1),
        "/remaster/hook1.img, not its initrd with a hook and the payload behind it",
    ),
    (
        &TINY,
        "",
        |image| in_menu(image, "/remaster/hook1.img", "/remaster/hook2.img", 1),
        "/remaster/hook2.img, which is the hook of /boot/nix/store/",
    ),
    (
        &TINY,
        "",
        |image| {
            let at = file(image, "/payload.img");
            swap(&mut image[at], "remaster/hook.sh", "remaster/hook.no", 1);
        },
        "/remaster/payload.img lacks remaster/hook.sh, or has another version of it",
    ),
    (
        &SYSTEMD,
        "",
        |image| {
            let at = file(image, "/payload.img");
            swap(&mut image[at], "copy \"$1\"", "cope \"$1\"", 1);
        },
        "/remaster/payload.img lacks remaster/hook.sh, or has another version of it",
    ),
    (
        &TINY,
        "--merge-initrd",
        |image| {
            let at = file(image, "/initrd");
            let end = at.end - file(image, "/payload.img").len();
            image[end - 512..at.end].fill(0);
        },
        "/initrd, behind the initrd of the base, has something else than the payload",
    ),
    (
        &TINY,
        "--merge-initrd",
        |image| {
            let at = file(image, "/initrd");
            let own = TINY[file(&TINY, "/initrd")].len().next_multiple_of(512);
            let end = at.end - file(image, "/payload.img").len();
            image[at.start + own..end].fill(0);
        },
        "/initrd, behind the initrd of the base, has an /init that does not call the hook",
    ),
    (
        &TINY,
        "",
        |image| in_payload(image, "for at in", "for at ln"),
        "/remaster/payload.img lacks remaster/hook.sh, or has another version of it",
    ),
    (
        &SYSTEMD,
        "--store store.squashfs",
        |image| in_payload(image, "\ngive_back\n", "\ngive_bakk\n"),
        "/remaster/payload.img lacks remaster/hook.sh, or has another version of it",
    ),
    (
        &TINY,
        "",
        |image| {
            let at = file(image, "/hook1.img");
            swap(&mut image[at], "set -- \"", "sat -- \"", 1);
        },
        "has an /init that does not call the hook",
    ),
    (&TINY, "", |image| in_menu(image, " init=/nix", " init=/nux", 1), " has init=/nux"),
    (
        &SYSTEMD,
        "--store store.squashfs",
        |image| {
            let tree = survey(image);
            let (_, node) =
                tree.tree().files().find(|(name, _)| name.contains("/files1-")).unwrap();
            let at = usize::try_from(node.extents[0].start()).unwrap();
            image[at + 100] ^= 1;
        },
        ".img has other bytes than those that were put in",
    ),
    (
        &AARCH64,
        "--inject credential",
        |image| in_menu(image, "systemd.set_credential", "systemd.set_credentiel", 1),
        "has other ones, or none",
    ),
];

#[test]
fn an_image_of_which_an_entry_does_not_load_what_was_put_in_is_wrong() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    folder.write("store.squashfs", include_bytes!("../golden/inputs/store.squashfs"));
    for (base, how, damage, words) in ROWS {
        folder.write("base.iso", base);
        let line = format!("base.iso --key key.pub -o s.iso {how}");
        folder.run(&line.split_whitespace().collect::<Vec<_>>()).done();
        let mut image = folder.read("s.iso");
        damage(&mut image);
        folder.write("s.iso", &image);
        for flags in [&["inspect", "s.iso"][..], &["inspect", "s.iso", "--all"]] {
            let ended = folder.run(flags);
            let said = ended.text();
            let check = if how.contains("credential") {
                "keys on command lines"
            } else {
                "what was put in"
            };
            if words.is_empty() {
                assert_eq!(ended.status, 0, "{how}: {}", ended.err);
                let named = flags.len() < 3 || said.contains(&format!("ok    {check}: "));
                assert!(named && !said.contains("WRONG"), "{how}: {said}");
                continue;
            }
            assert_eq!(ended.status, 3, "{words}: {said}");
            let wrong = said.lines().find(|line| line.starts_with("WRONG"));
            let wrong = wrong.unwrap_or_else(|| panic!("{words}: {said}"));
            assert!(wrong.contains(check) && wrong.contains(words), "{words}: {wrong}");
            assert!(ended.err.contains(check) && ended.err.contains(words), "{}", ended.err);
        }
        std::fs::remove_file(folder.at("s.iso")).unwrap();
    }
}

/// What is done to the payload or the manifest of an image, and what is said then.
type Claimed = (fn(&mut [u8]), &'static str);

const CLAIMED: [Claimed; 9] = [
    (
        |image| in_payload(image, "PasswordAuth", "PasswordAurh"),
        "/etc/ssh/remaster_sshd_config with the SHA-256 ",
    ),
    (
        |image| in_payload(image, "ExecStartPre", "ExecStartPro"),
        "service.d/remaster.conf with the SHA-256 ",
    ),
    (
        |image| in_payload(image, "authorized_keys.d/root", "authorized_keys.d/roof"),
        "/etc/ssh/authorized_keys.d/roof, which the manifest does not list",
    ),
    (
        |image| in_payload(image, "ssh-ed25519 A", "ssh-ed25519 B"),
        "/etc/ssh/authorized_keys.d/nixos with the SHA-256 ",
    ),
    (
        |image| to_mode(image, "etc/ssh/authorized_keys.d/root", 0o100_666),
        "/etc/ssh/authorized_keys.d/root with the mode 666, not the mode 444",
    ),
    (
        |image| to_mode(image, "root/.ssh", 0o040_777),
        "/root/.ssh with the mode 777, not the mode 700",
    ),
    (|image| to_mode(image, "etc/ssh", 0o120_777), "/etc/ssh with the kind symlink"),
    (|image| zeros(image, "/manifest.json"), "the manifest"),
    (
        |image| {
            let at = file(image, "/manifest.json");
            swap(&mut image[at], "SHA256:", "SHA257:", 1);
        },
        "the keys: something else",
    ),
];

#[test]
fn what_was_put_in_is_what_the_manifest_says() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    for base in [&TINY, &SYSTEMD] {
        folder.write("base.iso", base);
        folder.run(&["base.iso", "--key", "key.pub", "-f", "-o", "s.iso"]).done();
        let right = folder.read("s.iso");
        assert!(folder.run(&["inspect", "s.iso", "--all"]).text().contains("ok    manifest: "));
        for (damage, words) in CLAIMED {
            let mut image = right.clone();
            damage(&mut image);
            folder.write("s.iso", &image);
            for flags in [&["inspect", "s.iso"][..], &["inspect", "s.iso", "--all"]] {
                let ended = folder.run(flags);
                let said = ended.text();
                assert_eq!(ended.status, 3, "{words}: {said}");
                let wrong = said.lines().find(|line| line.starts_with("WRONG manifest: "));
                let wrong = wrong.unwrap_or_else(|| panic!("{words}: {said}"));
                assert!(wrong.contains(words), "{words}: {wrong}");
            }
        }
    }
}

#[test]
fn what_was_put_into_a_disk_image_is_what_its_manifest_says() {
    let folder = Folder::new();
    folder.write("key.pub", key(1).as_bytes());
    folder.write("base.img", &SD);
    folder.run(&["base.img", "--key", "key.pub", "-o", "s.img"]).done();
    let right = folder.read("s.img");
    assert!(folder.run(&["inspect", "s.img", "--all"]).text().contains("ok    manifest: "));
    for (old, new, words) in [
        (
            "PasswordAuth",
            "PasswordAurh",
            "manifest differs at byte 0x0: found the files: /etc/ssh/remaster_sshd_config",
        ),
        ("\"SHA256:", "\"SHA257:", "found the keys: something else"),
        ("\"manifest\": 3", "\"manifest\"; 3", "the manifest"),
    ] {
        let mut image = right.clone();
        swap(&mut image, old, new, 1);
        folder.write("s.img", &image);
        let ended = folder.run(&["inspect", "s.img"]);
        assert!(ended.status != 0 && ended.err.contains(words), "{words}: {}", ended.err);
    }
}
