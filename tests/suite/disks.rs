//! What `flash` and `verify` say of disks, which loop devices stand for, and of files, is so.

use std::process::Command;

use crate::support::{Ended, Folder, SD, TINY, key, skipped};

/// A loop device over `disk` of a folder, gone at the end.
struct Loop(String);

impl Loop {
    /// None where there are no loop devices, or they are for root alone.
    fn over(folder: &Folder, options: &[&str]) -> Option<Self> {
        let mut command = Command::new("losetup");
        let command = command.args(["-f", "--show"]).args(options).arg("disk");
        let made = command.current_dir(folder.path()).output().ok();
        let Some(made) = made.filter(|made| made.status.success()) else {
            skipped("loop devices cannot be set up here");
            return None;
        };
        Some(Self(String::from_utf8(made.stdout).unwrap().trim().to_owned()))
    }

    /// Runs a command line in which DISK is the device, without a question.
    fn run(&self, folder: &Folder, line: &str) -> Ended {
        let yes = format!("{} --yes --allow-fixed --expect-size {SIZE}", self.0);
        run(folder, &line.replace("ONTO", &yes).replace("DISK", &self.0))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

fn run(folder: &Folder, line: &str) -> Ended {
    folder.run(&line.split_whitespace().collect::<Vec<_>>())
}

const SIZE: usize = 64 << 20;

/// One with both kinds of images, and an empty disk.
fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("sd.img", &SD);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("packed", &zstd::encode_all(&TINY[..], 1).unwrap());
    folder.write("disk", &vec![0; SIZE]);
    folder
}

fn followed(bytes: &[u8]) -> Vec<u8> {
    [bytes, b"SECRET wifi psk\n"].concat()
}

#[test]
fn a_file_is_the_image_also_where_it_went_on_behind_it() {
    let folder = folder();
    run(&folder, "base.iso --key key.pub -o keyed.iso").done();
    let rows = [
        ("flash base.iso --to-file out", "base.iso"),
        ("flash base.iso --to-file out --json", "base.iso"),
        ("flash base.iso --to-file out --no-verify", "base.iso"),
        ("flash base.iso --to-file out --no-delta", "base.iso"),
        ("flash base.iso --key key.pub --to-file out", "keyed.iso"),
        ("flash sd.img --to-file out --delta", "sd.img"),
    ];
    for (line, image) in rows {
        let image = folder.read(image);
        folder.write("out", &followed(&image));
        let said = run(&folder, line).done();
        assert!(folder.read("out") == image, "{line}: {said}");
        let (text, json) = ("cut off: 16 bytes behind the image", "\"cut_off\":16");
        let is_told = said.contains(text) || said.contains(json);
        assert_eq!(is_told, !line.contains("--no-delta"), "{line}: {said}");
    }
}

#[test]
fn a_file_that_goes_on_behind_the_image_is_told_where_it_is_compared() {
    let folder = folder();
    folder.write("longer", &followed(&TINY));
    let told = "note: longer goes on for 16 bytes behind the image, which were not compared\n";
    let ended = run(&folder, "verify longer --against base.iso");
    assert_eq!((ended.status, ended.err.as_str()), (0, told));
    let ended = run(&folder, "verify longer --against base.iso --json");
    assert!(ended.text().contains("\"note\":\"longer goes on for 16 bytes"), "{}", ended.text());
    run(&folder, "verify base.iso --against base.iso").quietly();
}

#[test]
fn what_cannot_be_compared_is_not_written_by_delta() {
    let folder = folder();
    std::fs::copy(folder.at("base.iso"), folder.at("out")).unwrap();
    for line in ["flash packed --to-file out --delta", "flash - --to-file out --delta"] {
        run(&folder, line).refused(2, "what comes packed or through a pipe is written whole");
        assert!(folder.read("out") == *TINY, "{line}");
    }
    run(&folder, "flash packed --to-file out").done();
}

#[test]
fn what_a_failed_run_leaves_is_told_to_people_and_programs() {
    let wrong = "0".repeat(64);
    let rows = [
        (None, "out was not written to its end and is removed"),
        (Some([0; 3].as_slice()), "out is half written now: flash it again"),
    ];
    for (old, told) in rows {
        for json in ["", "--json"] {
            let folder = folder();
            if let Some(old) = old {
                folder.write("out", old);
            }
            let ended =
                run(&folder, &format!("flash packed --to-file out --sha256 {wrong} {json}"));
            ended.err_says(3, "has the SHA-256");
            assert!(ended.err.contains(&format!("note: {told}\n")), "{}", ended.err);
            assert!(!ended.err.contains("marked as"), "{}", ended.err);
            let event = format!("\"note\":\"{told}\"");
            assert_eq!(ended.text().contains(&event), !json.is_empty(), "{}", ended.text());
        }
    }
}

#[test]
fn an_image_whose_table_counts_other_blocks_than_the_disk_is_refused() {
    let folder = folder();
    let Some(disk) = Loop::over(&folder, &["-b", "4096"]) else { return };
    for (image, words) in [
        (
            "sd.img",
            "its blocks have 4096 bytes, and the partition table of the image counts blocks of 512",
        ),
        ("base.iso", "Linux cannot read an ISO from them"),
    ] {
        let ended = disk.run(&folder, &format!("flash {image} ONTO"));
        ended.err_says(5, words);
        assert!(ended.err.contains("hint: take a stick with blocks of 512 bytes"), "{}", ended.err);
        assert!(folder.read("disk").iter().all(|byte| *byte == 0), "{image}");
        disk.run(&folder, &format!("flash {image} ONTO --any --no-delta")).done();
        Command::new("blkdiscard").args(["-f", "-z", &disk.0]).status().unwrap();
    }
}

#[test]
fn a_read_only_disk_is_told_what_fits_its_kind() {
    let folder = folder();
    let Some(disk) = Loop::over(&folder, &["-r"]) else { return };
    let ended = disk.run(&folder, "flash base.iso ONTO");
    ended.err_says(5, "read-only");
    assert!(ended.err.contains("hint: set the loop device up again"), "{}", ended.err);
}

#[test]
fn a_quick_delta_says_what_it_compared() {
    let folder = folder();
    let Some(disk) = Loop::over(&folder, &[]) else { return };
    let line = "flash sd.img --key key.pub ONTO --delta";
    disk.run(&folder, line).done();
    for (how, words, all) in
        [("", "the rest read and verified", true), ("--verify=quick", " compared\n", false)]
    {
        let said = disk.run(&folder, &format!("{line} {how}")).done();
        assert!(said.contains(", 0 B written in ") && said.contains(words), "{how}: {said}");
        assert_eq!(said.contains("the rest read and verified"), all, "{how}: {said}");
        assert_eq!(said.contains("samples of the rest"), !all, "{how}: {said}");
    }
}

#[test]
fn a_disk_is_the_same_whether_all_of_it_was_written_or_what_differs() {
    for (first, then) in [("", "--exact"), ("--exact", ""), ("", "")] {
        let disks = ["--delta", "--no-delta"].map(|way| {
            let folder = folder();
            let disk = Loop::over(&folder, &[])?;
            folder.write("noise", &vec![0xA5; SIZE]);
            disk.run(&folder, "flash noise ONTO --any --no-delta").done();
            disk.run(&folder, &format!("flash base.iso ONTO --no-delta {first}")).done();
            disk.run(&folder, &format!("flash base.iso ONTO {way} {then}")).done();
            drop(disk);
            Some(folder.read("disk"))
        });
        let [Some(delta), Some(whole)] = disks else { return };
        let at = delta.iter().zip(&whole).position(|(one, other)| one != other);
        assert!(delta == whole, "{first:?}, then {then:?}: differ at {at:x?}");
    }
}
