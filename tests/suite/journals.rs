//! What lies where the journal of an edit in place would be: obeyed only if it is one, of somebody who may say what
//! becomes of the image.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::support::{Ended, Folder, TINY, key};

const IMAGE: &str = "a.iso";
const JOURNAL: &str = ".a.iso.remaster-journal";

/// Every command that reads an image or changes one in place; none of them may take half of an edit for one.
const COMMANDS: [&[&str]; 14] = [
    &["edit", "--recover", IMAGE],
    &["edit", "--in-place", IMAGE, "--key", "key.pub"],
    &["edit", "--in-place", IMAGE, "--key", "key.pub", "-n"],
    &["reset", "--in-place", IMAGE],
    &["reset", IMAGE, "-o", "x"],
    &["inspect", IMAGE],
    &["verify", IMAGE, "--against", "base.iso"],
    &["verify", "base.iso", "--against", IMAGE],
    &["diff", "base.iso", IMAGE],
    &["apply", IMAGE, "a.remaster", "-o", "x"],
    &["netboot", IMAGE, "-o", "x"],
    &["stamp", IMAGE, "users.toml", "-o", "x"],
    &["flash", IMAGE, "x", "--file"],
    &[IMAGE, "--key", "key.pub", "-o", "x"],
];

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", format!("{}\n", key(2)).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'u'\nkey = 'key.pub'\n");
    folder.run(&["base.iso", "--key", &key(1), "-o", IMAGE]).quietly();
    folder.run(&["base.iso", "--key", &key(1), "--as", "patch", "-o", "a.remaster"]).quietly();
    folder
}

/// Runs the program, which must end by itself.
fn run(folder: &Folder, arguments: &[&str]) -> Ended {
    let mut command = folder.program(arguments);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child: Child = child.spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_mins(2) {
            child.kill().unwrap();
            panic!("{arguments:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ended::from(child.wait_with_output().unwrap())
}

/// A run of a journal: where, what was there, what shall be there.
pub(crate) type Run<'a> = (u64, &'a [u8], &'a [u8]);

/// A journal with its digest.
pub(crate) fn journal(old: u64, new: u64, runs: &[Run<'_>]) -> Vec<u8> {
    let mut bytes = b"remaster journal 1\n".to_vec();
    let number = |bytes: &mut Vec<u8>, value: u64| bytes.write_all(&value.to_le_bytes()).unwrap();
    number(&mut bytes, old);
    number(&mut bytes, new);
    for (at, old, new) in runs.iter().copied().chain([(0, &[][..], &[][..])]) {
        number(&mut bytes, at);
        number(&mut bytes, new.len().try_into().unwrap());
        number(&mut bytes, old.len().try_into().unwrap());
        bytes.extend([old, new].concat());
    }
    let sum = Sha256::digest(&bytes);
    [bytes.as_slice(), sum.as_slice()].concat()
}

/// A journal that changes the first sector of an image, as an edit leaves it.
fn sound(image: &[u8]) -> Vec<u8> {
    let size = image.len().try_into().unwrap();
    journal(size, size, &[(0, &image[..512], &[0xee; 512])])
}

/// Puts something where the journal would be.
type Put<'a> = &'a dyn Fn(&Folder);

/// Puts a journal there as an edit does.
fn put(folder: &Folder, bytes: &[u8]) {
    folder.write(JOURNAL, bytes);
    fs::set_permissions(folder.at(JOURNAL), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn what_somebody_else_may_have_put_there_is_obeyed_by_no_command() {
    let mode = |folder: &Folder, mode: u32| {
        fs::set_permissions(folder.at(JOURNAL), fs::Permissions::from_mode(mode)).unwrap();
    };
    let cases: [(&str, Put<'_>); 5] = [
        ("a FIFO", &|folder| {
            let made = Command::new("mkfifo").arg(folder.at(JOURNAL)).status().unwrap();
            assert!(made.success());
        }),
        ("not a regular file", &|folder| fs::create_dir(folder.at(JOURNAL)).unwrap()),
        ("a symbolic link", &|folder| {
            folder.write("journal", &sound(&folder.read(IMAGE)));
            symlink("journal", folder.at(JOURNAL)).unwrap();
        }),
        ("others may write to (mode 0622)", &|folder| {
            folder.write(JOURNAL, &sound(&folder.read(IMAGE)));
            mode(folder, 0o622);
        }),
        ("user 65534, who owns neither", &|folder| {
            folder.write(JOURNAL, &sound(&folder.read(IMAGE)));
            mode(folder, 0o644);
            // Only root gives files away.
            if chown(folder.at(JOURNAL), Some(65534), None).is_err() {
                fs::remove_file(folder.at(JOURNAL)).unwrap();
            }
        }),
    ];
    for (what, put) in cases {
        let folder = folder();
        let image = folder.read(IMAGE);
        put(&folder);
        if fs::symlink_metadata(folder.at(JOURNAL)).is_err() {
            continue;
        }
        for command in COMMANDS {
            let ended = run(&folder, command);
            assert_eq!(ended.status, 2, "{what}: {command:?}: {}", ended.err);
            assert!(ended.err.contains(what), "{what}: {command:?}: {}", ended.err);
            assert!(ended.err.contains(JOURNAL), "{what}: {command:?}: {}", ended.err);
            assert!(folder.read(IMAGE) == image, "{what}: {command:?} changed the image");
        }
    }
}

#[test]
fn a_journal_does_nothing_that_an_edit_does_not() {
    let folder = folder();
    let image = folder.read(IMAGE);
    let size: u64 = image.len().try_into().unwrap();
    let new = [0xee; 1024];
    let other = [7; 512];
    let cases: [(&str, Vec<u8>); 9] = [
        ("a run without what was there", journal(size, size, &[(0, &[], &new[..512])])),
        ("half of what was there", journal(size, size, &[(0, &image[..100], &new[..512])])),
        (
            "a sector that is neither",
            journal(size, size, &[(0, &image[..512], &new[..512]), (512, &other, &new[..512])]),
        ),
        ("a run behind the new end", journal(size, size, &[(size, &[], &new[..512])])),
        ("a run over the old end", journal(size, size + 512, &[(size - 512, &[], &new)])),
        (
            "runs that overlap",
            journal(
                size,
                size,
                &[(0, &image[..512], &new[..512]), (256, &image[256..768], &new[..512])],
            ),
        ),
        ("an image that grows by nothing", journal(size, size << 20, &[])),
        ("another image", journal(size + 512, size + 1024, &[(0, &image[..512], &new[..512])])),
        ("no journal", b"no journal".to_vec()),
    ];
    for (what, bytes) in cases {
        put(&folder, &bytes);
        for command in [COMMANDS[0], COMMANDS[1], COMMANDS[3]] {
            let ended = run(&folder, command);
            assert_eq!(ended.status, 4, "{what}: {command:?}: {}", ended.err);
            assert!(folder.read(IMAGE) == image, "{what}: {command:?} changed the image");
        }
    }
}

#[test]
fn a_sound_journal_is_finished_and_told_and_read_by_nobody_before() {
    for (command, told) in [(0, true), (1, true), (3, true), (2, false)] {
        let folder = folder();
        let image = folder.read(IMAGE);
        let end = image.len() - 512;
        // Zeros become zeros: the image is sound afterwards.
        let size = image.len().try_into().unwrap();
        let bytes = journal(size, size, &[(size - 512, &image[end..], &image[end..])]);
        put(&folder, &bytes);
        symlink(IMAGE, folder.at("link.iso")).unwrap();
        for reading in ["inspect a.iso", "inspect link.iso", "verify a.iso --against base.iso"] {
            let words: Vec<&str> = reading.split(' ').collect();
            run(&folder, &words).refused(2, "was interrupted");
        }
        let ended = run(&folder, COMMANDS[command]);
        let said = ended.err.contains("finished an edit of")
            && ended.err.contains("512 B changed")
            && ended.err.contains(&format!("size {size} -> {size} bytes"));
        assert_eq!((ended.status == 0, said), (told, told), "{}", ended.err);
        assert_eq!(folder.at(JOURNAL).exists(), !told);
    }
    let folder = folder();
    let ended = run(&folder, COMMANDS[0]);
    assert!(ended.status == 0 && ended.err.contains("no edit of"), "{}", ended.err);
}

#[test]
fn an_image_whose_journal_would_have_too_long_a_name_is_read_and_not_edited_in_place() {
    let folder = folder();
    let long = format!("{}.iso", "a".repeat(240));
    fs::rename(folder.at(IMAGE), folder.at(&long)).unwrap();
    let image = folder.read(&long);
    for command in COMMANDS {
        let words = command.iter().map(|word| if *word == IMAGE { &*long } else { *word });
        let ended = folder.run(&words.collect::<Vec<_>>());
        let is_edit = ended.err.contains("has too long a name to be edited in place");
        let in_place = matches!(command, ["edit", ..] | ["reset", "--in-place", ..]);
        assert_eq!(is_edit, in_place, "{command:?}: {}", ended.err);
        assert!(ended.err.contains(&long) || !in_place, "{command:?}: {}", ended.err);
        assert!(!ended.err.contains("File name too long"), "{command:?}: {}", ended.err);
        assert!(image == folder.read(&long), "{command:?}");
        let _ = fs::remove_file(folder.at("x")).or_else(|_| fs::remove_dir_all(folder.at("x")));
    }
}
