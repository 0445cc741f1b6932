//! Stamped images that were damaged where only a boot would notice: `inspect` says that what was put in is not loaded.

use std::ops::Range;
use std::sync::LazyLock;

use crate::support::{AARCH64, Folder, SYSTEMD, TINY, key, survey};

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

/// What the image is called, how it is stamped, what is done to it, and what is said then.
type Row = (&'static LazyLock<Vec<u8>>, &'static str, fn(&mut Vec<u8>), &'static str);

const ROWS: [Row; 14] = [
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
        "has no etc/systemd/system.control/remaster.service as it should be",
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
        "/remaster/payload.img has no remaster/hook.sh as it should be",
    ),
    (
        &SYSTEMD,
        "",
        |image| {
            let at = file(image, "/payload.img");
            swap(&mut image[at], "copy \"$1\"", "cope \"$1\"", 1);
        },
        "/remaster/payload.img has no remaster/hook.sh as it should be",
    ),
    (
        &TINY,
        "--merge-initrd",
        |image| {
            let at = file(image, "/initrd");
            let end = at.end - file(image, "/payload.img").len();
            image[end - 512..at.end].fill(0);
        },
        "something else than the payload behind the initrd of the base",
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
        "no stage 1 of that initrd which calls the hook behind the initrd of the base",
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
