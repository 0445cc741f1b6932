//! Menus with other arguments, titles, defaults and labels, by the program, read anew line by line here.

use remaster::formats::newc::{self, Kind, Next};
use remaster::image::ReadAt;
use remaster::recipe::edits::InjectMethod;

use crate::netboot::kexec;
use crate::support::{AARCH64, Folder, SD, SYSTEMD, TINY, bases, edits, key, stamp, survey};

/// What the program makes of a base with these flags and a key.
fn made(base: &[u8], flags: &[&str]) -> (Vec<u8>, String) {
    let folder = Folder::with_base(base);
    let key = key(1);
    let arguments = [&["base.iso", "--key", &key, "-o", "out.iso"], flags].concat();
    let ended = folder.run(&arguments);
    assert_eq!(ended.status, 0, "{flags:?}: {}", ended.err);
    (folder.read("out.iso"), ended.err)
}

fn refused(base: &[u8], flags: &[&str], status: i32, words: &str) {
    let folder = Folder::with_base(base);
    let key = key(1);
    let ended = folder.run(&[&["base.iso", "--key", &key, "-o", "out.iso"], flags].concat());
    ended.refused(status, words);
    assert_eq!(folder.names(), ["base.iso"]);
}

/// The texts of all menus: path and text.
fn texts(image: &[u8]) -> Vec<(String, String)> {
    survey(image).configs.into_iter().map(|config| (config.path, config.text)).collect()
}

/// The kernel lines of a menu that start NixOS.
fn kernel_lines(text: &str) -> Vec<&str> {
    let is_kernel = |line: &&str| {
        let first = line.split_whitespace().next();
        matches!(first, Some("linux" | "APPEND")) && line.contains(" init=/nix/store/")
    };
    text.lines().filter(is_kernel).collect()
}

fn all_lines(image: &[u8]) -> Vec<String> {
    let lines: Vec<String> = texts(image)
        .iter()
        .flat_map(|(_, text)| kernel_lines(text).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(lines.len() >= 18);
    lines
}

fn file(image: &[u8], path: &str) -> Vec<u8> {
    let survey = survey(image);
    let at = survey.tree().file(path).unwrap().extents[0];
    image.read_range(path, at, u64::MAX).unwrap()
}

#[test]
fn every_entry_of_every_menu_gets_the_arguments() {
    for (name, base) in bases() {
        for way in [&[][..], &["--merge-initrd"]] {
            let flags = [
                "--karg",
                "a=b;c",
                "--karg",
                "dyndbg=\"file x +p\"",
                "--karg-delete",
                "loglevel=4",
            ];
            let (image, _) = made(base, &[&flags, way].concat());
            for line in all_lines(&image) {
                assert!(line.contains("a=b;c"), "{name}: {line}");
                let quoted = ["'dyndbg=file x +p'", "\"dyndbg=file x +p\""];
                assert!(quoted.iter().any(|quoted| line.contains(quoted)), "{name}: {line}");
                assert!(!line.contains("loglevel=4"), "{name}: {line}");
                assert!(
                    !line.trim_start().starts_with("linux") || line.contains("'a=b;c'"),
                    "{line}"
                );
            }
            // Undone before the next stamping: nothing is there twice, and the same inputs give the same bytes.
            assert!(made(&image, &[&flags, way].concat()).0 == image, "{name}");
        }
    }
}

#[test]
fn only_the_lines_that_were_meant_change() {
    let flags = [
        "--merge-initrd",
        "--karg",
        "x=1",
        "--karg-replace",
        "lsm=landlock,yama,bpf=bpf",
        "--entry",
        "Copy ISO",
    ];
    let (image, _) = made(&TINY, &flags);
    for ((path, old), (_, new)) in texts(&TINY).iter().zip(&texts(&image)) {
        let mut changed = 0;
        for (old, new) in old.lines().zip(new.lines()) {
            if old.split_whitespace().any(|word| word == "copytoram") && old.contains("init=") {
                let expected = old.trim_end().replace("lsm=landlock,yama,bpf", "lsm=bpf") + " x=1";
                assert_eq!(new.trim_end(), expected, "{path}");
                changed += 1;
            } else {
                assert_eq!(old, new, "{path}");
            }
        }
        assert_eq!(changed, 2, "{path}");
        assert_eq!(old.lines().count(), new.lines().count(), "{path}");
    }
}

#[test]
fn what_no_entry_has_is_named() {
    for (flags, status, words) in [
        (&["--karg-delete", "quiet"][..], 2, "--karg-delete: no entry has the argument quiet"),
        (&["--karg-delete", "loglevel"], 2, "no entry has the argument loglevel"),
        (&["--karg-replace", "loglevel=3=5"], 2, "no entry has the argument loglevel=3"),
        (
            &["--karg", "x", "--entry", "Windows"],
            2,
            "--entry: no entry of any menu is called \"Windows\"",
        ),
        (&["--default-entry", "Windows"], 2, "--default-entry: no entry of /"),
        (&["--karg", "init=/bin/sh"], 2, "--karg: init= stays as it is"),
        (&["--label", "x y"], 2, "--label: \"x y\" has ' ' in it"),
        (
            &["--inject", "credential", "--hostname", "x"],
            2,
            "--hostname: does not work with --inject",
        ),
    ] {
        refused(&TINY, flags, status, words);
    }
    let long = format!("x={}", "y".repeat(1900));
    refused(&TINY, &["--karg", &long], 2, "the command line of the entry \"NixOS 25.11 Installer");
    refused(&TINY, &["--karg", &long, "--entry", "Serial"], 2, "\"Options > Serial console");
    let folder = Folder::with_base(&TINY);
    folder.write("r.toml", b"karg = [\n  'quiet',\n  'root=x',\n]\n");
    let ended = folder.run(&["base.iso", "--recipe", "r.toml", "-o", "out.iso"]);
    ended.refused(2, "r.toml:3:3: karg: root= stays as it is");
}

#[test]
fn a_line_of_2048_bytes_fits_and_one_more_does_not() {
    let longest = |image: &[u8]| {
        let lines = texts(image);
        let lengths = lines.iter().flat_map(|(_, text)| {
            let kernel = |line: &str| {
                line.trim()
                    .strip_prefix("linux ")
                    .map(|rest| rest.split_whitespace().collect::<Vec<_>>().join(" "))
            };
            let linux =
                text.lines().filter_map(kernel).map(|line| line.len() + "BOOT_IMAGE=".len() + 1);
            let paths = text
                .lines()
                .filter_map(|line| line.strip_prefix("LINUX "))
                .filter(|path| path.contains("store"));
            let path = paths.map(str::len).max().unwrap_or_default();
            let append = text
                .lines()
                .filter_map(|line| line.strip_prefix("APPEND "))
                .filter(|line| line.contains("init="));
            let append =
                append.map(move |line| line.trim().len() + "BOOT_IMAGE= ".len() + path + 2);
            linux.chain(append).collect::<Vec<_>>()
        });
        lengths.max().unwrap()
    };
    let (image, _) = made(&TINY, &["--karg", "x=y"]);
    let room = 2048 - longest(&image);
    let fits = format!("x=y{}", "y".repeat(room));
    let (image, _) = made(&TINY, &["--karg", &fits]);
    assert_eq!(longest(&image), 2048);
    refused(&TINY, &["--karg", &(fits + "y")], 2, "--karg: the command line");
}

#[test]
fn a_menu_without_the_entries_that_are_asked_for_is_named() {
    let note = "note: --entry: /EFI/BOOT/grub.cfg has no entry called \"boot-nomodeset\": its entries stay as they are\n";
    for (entry, is_noted) in [("boot-nomodeset", true), ("No modesetting", false)] {
        let (_, told) = made(&TINY, &["--karg", "x", "--entry", entry]);
        assert_eq!(told.contains(note), is_noted, "{told}");
    }
}

#[test]
fn u_boot_takes_a_line_of_1023_bytes_and_no_variables() {
    let folder = Folder::with_base(&SD);
    let append = || {
        let json = folder.run(&["inspect", "--json", "out.img"]).done();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let words = json["menus"][0]["entries"][0]["arguments"].as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().len() + 1).sum::<usize>() - 1
    };
    let run = |karg: &str| folder.run(&["base.iso", "--karg", karg, "-f", "-o", "out.img"]);
    run("x=y").done();
    let fits = format!("x=y{}", "y".repeat(1023 - append()));
    run(&fits).done();
    assert_eq!(append(), 1023);
    run(&(fits + "y")).refused(2, "would have 1025 bytes, and U-Boot takes at most 1024");
    for karg in ["x=${serial#}", "x=$(y)"] {
        run(karg).refused(2, "cannot be written in /boot/extlinux/extlinux.conf: U-Boot puts");
    }
    run("x=$y").done();
}

#[test]
fn menus_wait_start_and_talk_as_they_are_asked_to() {
    let flags = [
        "--serial",
        "ttyS1,9600",
        "--timeout",
        "0",
        "--default-entry",
        "copytoram",
        "--name",
        "lab 7",
    ];
    let (image, _) = made(&TINY, &flags);
    for (path, text) in texts(&image) {
        let count = |line: &str| text.lines().filter(|found| *found == line).count();
        if path.ends_with("grub.cfg") {
            assert_eq!((count("set timeout=0"), text.matches("timeout=").count()), (1, 1));
            let title = "set default='Options>Copy ISO files to RAM>lab 7: NixOS 25.11 Installer (Linux LTS) (Copy ISO files to RAM)'";
            assert_eq!(count(title), 1, "{text}");
            assert!(text.ends_with("serial --unit=1 --speed=9600 --word=8 --parity=no --stop=1\nterminal_input --append serial\nterminal_output --append serial\n"));
            assert_eq!(text.matches("menuentry 'lab 7: NixOS").count(), 18);
        } else {
            assert!(text.starts_with("SERIAL 1 9600\nTIMEOUT 1\n"), "{text}");
            assert_eq!(count("DEFAULT boot-copytoram"), 1);
            assert_eq!(text.matches("MENU LABEL lab 7: NixOS").count(), 18);
            assert_eq!(count("MENU LABEL Memtest86+"), 1);
        }
        assert!(
            kernel_lines(&text)
                .iter()
                .all(|line| line.trim_end().ends_with(" console=tty0 console=ttyS1,9600n8"))
        );
    }
    let (image, _) = made(&AARCH64, &["--serial", "ttyAMA0", "--timeout", "3599"]);
    for (_, text) in texts(&image) {
        assert!(text.starts_with("set timeout=3599\n") && !text.contains("serial --unit"));
        assert!(
            kernel_lines(&text)
                .iter()
                .all(|line| line.trim_end().ends_with("console=ttyAMA0,115200n8"))
        );
    }
}

/// The labels at their bytes (ECMA-119 §8.4.6; Joliet: UCS-2).
fn labels(image: &[u8]) -> (String, String) {
    let field = |block: usize| &image[block * 2048 + 40..][..32];
    let units: Vec<u16> =
        field(18).chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    (String::from_utf8(field(16).to_vec()).unwrap(), String::from_utf16(&units).unwrap())
}

#[test]
fn a_new_label_is_everywhere_and_the_old_one_nowhere() {
    for flags in
        [&["--label", "lab-installer_2"][..], &["--label", "lab-installer_2", "--merge-initrd"]]
    {
        let (image, _) = made(&TINY, flags);
        assert_eq!(labels(&image).0, format!("{:32}", "lab-installer_2"));
        assert_eq!(labels(&image).1, format!("{:16}", "lab-installer_2"));
        for line in all_lines(&image) {
            assert!(
                line.contains(" root=LABEL=lab-installer_2 ") && !line.contains("nixos-minimal")
            );
        }
        let (image, _) = made(&SYSTEMD, flags);
        assert_eq!(labels(&image).0.trim_end(), "lab-installer_2");
        let path = if flags.len() == 2 {
            "/remaster/hook1.img".to_owned()
        } else {
            survey(&SYSTEMD).triplets[0].initrds[0].clone()
        };
        let archive = file(&image, &path);
        let start = archive.windows(6).position(|part| part == b"070701").unwrap();
        let mut tables = Vec::new();
        newc::read(
            &archive[start..],
            u32::MAX,
            |_| true,
            |member| {
                if let (true, Kind::File(bytes)) =
                    (member.path.ends_with("-initrd-fstab"), &member.kind)
                {
                    tables.push(String::from_utf8(bytes.clone()).unwrap());
                }
                Next::Continue
            },
        )
        .unwrap();
        let [table] = &tables[..] else { panic!("{tables:?}") };
        let iso = "/dev/disk/by-label/lab-installer_2 /iso auto x-initrd.mount 0 0\n";
        assert!(table.starts_with(iso) && table.lines().count() == 2, "{table}");
    }
    let long = "a2345678901234567890123456789012";
    let (image, _) = made(&TINY, &["--label", long]);
    assert_eq!(labels(&image), (long.to_owned(), long[..16].to_owned()));
    // Taken off again with everything else.
    assert!(
        stamp(&image, &edits(1, InjectMethod::ExtraInitrd))
            == stamp(&TINY, &edits(1, InjectMethod::ExtraInitrd))
    );
}

#[test]
fn an_argument_that_only_some_entries_have_is_changed_there() {
    let count = |image: &[u8], word: &str| {
        all_lines(image).iter().filter(|line| line.split(' ').any(|arg| arg == word)).count()
    };
    let before = count(&TINY, "copytoram");
    assert!(before > 0 && before < all_lines(&TINY).len());
    let (image, _) = made(&TINY, &["--karg-delete", "copytoram"]);
    assert_eq!(count(&image, "copytoram"), 0);
    let (image, _) = made(&TINY, &["--karg-replace", "fbcon=rotate:3=rotate:0"]);
    assert_eq!((count(&image, "fbcon=rotate:3"), count(&image, "fbcon=rotate:0")), (0, before));
    refused(&TINY, &["--karg-delete", "nowhere"], 2, "nowhere");
}

#[test]
fn keys_go_onto_the_command_line_only_when_asked_and_only_if_they_fit() {
    let (image, said) = made(&TINY, &["--inject", "credential"]);
    assert!(said.contains("everybody on the machine can read them"), "{said}");
    let argument = " systemd.set_credential_binary=tmpfiles.extra:";
    assert!(all_lines(&image).iter().all(|line| line.contains(argument)));
    let survey = survey(&image);
    let names: Vec<&str> = survey
        .tree()
        .files()
        .map(|(path, _)| path)
        .filter(|path| path.contains("remaster"))
        .collect();
    assert_eq!(names, ["/remaster/manifest.json", "/remaster/undo.bin"]);
    let seen = |image: &[u8]| {
        let folder = Folder::with_base(image);
        String::from_utf8(folder.run(&["inspect", "--all", "base.iso"]).quietly()).unwrap()
    };
    assert!(seen(&image).contains("put in as a credential"));
    assert!(seen(&image).contains("key for nixos: ssh-ed25519"));
    let keys: Vec<String> = (1..9).map(key).collect();
    let many = |count: usize| -> Vec<&str> {
        let flags = keys.iter().take(count).flat_map(|key| ["--key", key.as_str()]);
        flags.chain(["--inject", "credential"]).collect()
    };
    let (image, _) = made(&TINY, &many(5));
    assert!(seen(&image).contains("key for root: ") && !seen(&image).contains("key for nixos: "));
    let long = format!("x={}", "x".repeat(1200));
    let flags = [many(5), vec!["--karg", &long, "-q"]].concat();
    refused(&TINY, &flags, 2, "the command line of the entry");
}

/// The base with initrds that hold nothing that is known.
fn with_unknown_stage_one(base: &[u8]) -> Vec<u8> {
    let mut image = base.to_vec();
    for triplet in survey(base).triplets {
        let path = triplet.initrds.last().unwrap();
        let at = survey(base).tree().file(path).unwrap().extents[0];
        let at = usize::try_from(at.start()).unwrap()..usize::try_from(at.end()).unwrap();
        image[at].fill(b'?');
    }
    image
}

#[test]
fn what_only_changes_menus_puts_nothing_in_and_needs_no_stage_1() {
    for (name, base) in bases() {
        let base = with_unknown_stage_one(base);
        let folder = Folder::with_base(&base);
        let key = key(1);
        let refused = folder.run(&["base.iso", "--key", &key, "-o", "key.iso"]);
        refused.refused(4, "the initrd");
        let flags = ["--karg", "quiet", "--serial", "ttyS0,115200", "--timeout", "3"];
        let more = ["--default-entry", "copytoram", "--name", "bench", "-o", "out.iso"];
        folder.run(&[&["base.iso"][..], &flags, &more].concat()).done();
        let image = folder.read("out.iso");
        assert!(all_lines(&image).iter().all(|line| line.contains(" quiet")), "{name}");
        let names: Vec<String> = survey(&image)
            .tree()
            .paths()
            .filter(|path| path.contains("remaster"))
            .map(str::to_owned)
            .collect();
        assert_eq!(names, ["/remaster/manifest.json", "/remaster/undo.bin"], "{name}");
        let initrds = |image: &[u8]| -> Vec<_> {
            survey(image).triplets.into_iter().map(|found| found.initrds).collect()
        };
        assert_eq!(initrds(&image), initrds(&base), "{name}");
        let seen = folder.run(&["inspect", "--all", "out.iso"]).done();
        assert!(seen.contains("put in as changes of menus alone"), "{seen}");
        folder.run(&["edit", "--in-place", "out.iso", "--replace", "--karg", "debug"]).done();
        assert!(all_lines(&folder.read("out.iso")).iter().all(|line| !line.contains(" quiet")));
        folder.run(&["reset", "out.iso", "-o", "back.iso"]).done();
        assert!(folder.read("back.iso") == base, "{name}");
    }
}

#[test]
fn command_lines_are_shown_each_once() {
    let (image, _) = made(&TINY, &["--karg", "quiet"]);
    let folder = Folder::with_base(&image);
    let seen =
        String::from_utf8(folder.run(&["inspect", "--kargs", "base.iso"]).quietly()).unwrap();
    let lines: Vec<&str> = seen.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 18, "{seen}");
    assert!(
        lines.iter().all(|line| line.starts_with("init=/nix/store/") && line.ends_with(" quiet"))
    );
    assert_eq!(seen.lines().filter(|line| line.starts_with("# ")).count(), 54);
}

/// What kernel arguments are changed in, and how. All start with `loglevel=4`.
const STARTED: [(&str, &[&str]); 4] = [
    ("an ISO", &["base.iso", "-o", "out"]),
    ("a raw image", &["sd.img", "-o", "out"]),
    ("a folder", &["netboot", "nb", "-o", "out"]),
    ("a tar archive", &["kexec.tar", "-o", "out"]),
];

/// Requests that are about one argument, and how both are named.
const PAIRS: [(&[&str], &str); 8] = [
    (
        &["--karg-delete", "loglevel=4", "--karg-replace", "loglevel=5"],
        "--karg-delete loglevel=4 and --karg-replace loglevel=5: both change the kernel argument loglevel=4",
    ),
    (
        &["--karg-replace", "loglevel=7", "--karg-replace", "loglevel=3"],
        "--karg-replace loglevel=7 and --karg-replace loglevel=3",
    ),
    (
        &["--karg-replace", "loglevel=4=7", "--karg-replace", "loglevel=4=3"],
        "--karg-replace loglevel=4=7 and --karg-replace loglevel=4=3",
    ),
    (
        &["--karg-replace", "loglevel=7", "--karg-replace", "loglevel=7=3"],
        "--karg-replace loglevel=7 and --karg-replace loglevel=7=3",
    ),
    (&["--karg", "x", "--karg-delete", "x"], "--karg x and --karg-delete x"),
    (
        &["--karg", "x=1", "--karg-replace", "x=2"],
        "--karg x=1 and --karg-replace x=2: both change the kernel argument x=1",
    ),
    (
        &["--karg", "loglevel=4", "--karg-delete", "loglevel=4"],
        "--karg loglevel=4 and --karg-delete loglevel=4",
    ),
    (
        &["--recipe", "r.toml", "--karg-replace", "loglevel=5"],
        "r.toml:1:15: karg-delete loglevel=4 and --karg-replace loglevel=5",
    ),
];

fn with_all_started() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("sd.img", &SD);
    folder.run(&["netboot", "base.iso", "-q", "-o", "nb"]).done();
    folder.write("kexec.tar", &kexec(&folder.read("nb/initrd")));
    folder.write("r.toml", b"karg-delete = 'loglevel=4'\n");
    folder
}

/// The command lines of what was made.
fn made_lines(folder: &Folder, what: &str) -> String {
    match what {
        "a folder" => String::from_utf8(folder.read("out/netboot.ipxe")).unwrap(),
        "a tar archive" => {
            let text = String::from_utf8_lossy(&folder.read("out")).into_owned();
            let line = text.lines().find_map(|line| line.strip_prefix("kernelParams="));
            line.unwrap().replace('"', " ")
        }
        _ => folder.run(&["inspect", "--kargs", "out"]).done(),
    }
}

#[test]
fn two_changes_of_one_argument_are_refused_and_both_are_named() {
    let folder = with_all_started();
    let before = folder.names();
    for (what, command) in STARTED {
        for (flags, both) in PAIRS {
            let ended = folder.run(&[command, flags].concat());
            assert!(ended.status == 2 && ended.err.contains(both), "{what}: {both}: {}", ended.err);
            assert!(ended.err.contains("hint: leave out one of them\n"), "{what}: {}", ended.err);
            assert_eq!(folder.names(), before, "{what}: {both}");
        }
    }
    for flags in [
        &["--serial", "ttyS0", "--karg-replace", "console=ttyS0,115200n8=tty1"][..],
        &["--serial", "ttyS0", "--karg-delete", "console=ttyS0,115200n8"],
    ] {
        let ended = folder.run(&[&["base.iso", "-o", "out"], flags].concat());
        ended.refused(2, "--serial ttyS0,115200 and --karg-");
    }
}

#[test]
fn every_argument_that_is_reported_as_set_exists() {
    for (what, command) in STARTED {
        for (flags, there, gone) in [
            (
                &["--karg", "x=1", "--karg-replace", "loglevel=7"][..],
                &["x=1", "loglevel=7"][..],
                "loglevel=4",
            ),
            (
                &["--karg-delete", "loglevel=4", "--karg", "loglevel=9"],
                &["loglevel=9"],
                "loglevel=4",
            ),
            (&["--karg", "x=1", "--karg", "x=2"], &["x=1", "x=2"], "x=3"),
        ] {
            let folder = with_all_started();
            let ended = folder.run(&[command, flags].concat());
            assert_eq!(ended.status, 0, "{what}: {flags:?}: {}", ended.err);
            let lines = made_lines(&folder, what);
            for argument in there {
                assert!(ended.err.contains(&format!("set: karg {argument}\n")), "{}", ended.err);
                assert!(lines.contains(&format!(" {argument}")), "{what}: {argument}: {lines}");
            }
            assert!(!lines.contains(&format!(" {gone} ")), "{what}: {gone}");
        }
        // What is not refused is done.
        for (flags, _) in PAIRS {
            let folder = with_all_started();
            let ended = folder.run(&[command, flags].concat());
            for argument in ended.err.lines().filter_map(|line| line.strip_prefix("set: karg ")) {
                let lines = made_lines(&folder, what);
                assert!(lines.contains(&format!(" {argument}")), "{what}: {argument}: {lines}");
            }
        }
    }
}

#[test]
fn an_edit_changes_arguments_as_the_image_has_them() {
    for (before, added, both) in [
        (
            &["--karg-delete", "loglevel=4"][..],
            &["--karg-replace", "loglevel=5"][..],
            "karg-delete loglevel=4 and --karg-replace loglevel=5: both change the kernel argument loglevel=4",
        ),
        (
            &["--karg-delete", "loglevel=4"],
            &["--karg", "loglevel=4"],
            "karg-delete loglevel=4 and --karg loglevel=4",
        ),
        (
            &["--karg-replace", "loglevel=7"],
            &["--karg-replace", "loglevel=5"],
            "karg-replace loglevel=7 and --karg-replace loglevel=5: both change the kernel argument loglevel=7",
        ),
        (&["--karg", "x"], &["--karg-delete", "x"], "karg x and --karg-delete x"),
    ] {
        for base in ["base.iso", "sd.img"] {
            let folder = with_all_started();
            folder.run(&[&[base, "-q", "-o", "out"], before].concat()).done();
            let image = folder.read("out");
            let ended = folder.run(&[&["edit", "--in-place", "out"], added].concat());
            ended.refused(2, &format!("in the image: {both}"));
            assert!(ended.err.contains("give --replace"), "{}", ended.err);
            assert!(folder.read("out") == image, "{both}");
        }
    }
}
