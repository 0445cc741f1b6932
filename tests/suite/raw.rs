//! Raw images: files and arguments in the ext4 root, seen by another reader of ext4; the way back; damage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use ext4_view::Ext4;
use remaster::Error;
use remaster::disk::survey::DiskSurvey;
use remaster::inspect::Report;
use remaster::live::{Customization, Input};
use remaster::recipe::{Inject, Recipe};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::planned_image::ManifestOptions;

use crate::support::{Folder, SD, assert_same, bytes, key};

/// Without checksums, so that damage gets further.
pub(crate) static OLD: LazyLock<Vec<u8>> =
    LazyLock::new(|| zstd::decode_all(&include_bytes!("../tiny/tiny-sd-old.img.zst")[..]).unwrap());

/// With blocks of 4 KiB in sixteen groups, of which the first is nearly full.
static GROUPS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    zstd::decode_all(&include_bytes!("../tiny/tiny-sd-groups.img.zst")[..]).unwrap()
});

/// Where the root filesystem begins.
const ROOT_AT: usize = 1 << 20;

pub(crate) fn customization(change: impl FnOnce(&mut Recipe)) -> Customization {
    let mut recipe = Recipe::default();
    recipe.key = vec![key(1)];
    change(&mut recipe);
    let nobody = |_: &str| Err(std::io::ErrorKind::Unsupported.into());
    Customization::gather(&recipe, &mut Input::new(std::io::empty(), nobody)).unwrap()
}

fn try_stamp(base: &[u8], customization: &Customization) -> remaster::Result<Vec<u8>> {
    let image = BaseImage::open(base)?.customize(customization, &ManifestOptions::default())?;
    Ok(bytes(image.image()))
}

fn below(image: &[u8]) -> Vec<u8> {
    bytes(BaseImage::open(image).unwrap().original())
}

/// The root filesystem, as another program reads it.
fn seen(image: &[u8]) -> Ext4 {
    Ext4::load(Box::new(image[ROOT_AT..].to_vec())).unwrap()
}

#[test]
fn entries_that_start_the_same_kernel_and_system_are_one() {
    let report = Report::read(&SD.as_slice()).unwrap();
    assert_eq!((report.menus[0].entries.len(), report.triplets.len()), (2, 1));
}

#[test]
fn keys_and_arguments_are_there_for_another_reader_of_ext4() {
    let wanted = customization(|recipe| {
        recipe.hostname = Some("box".into());
        recipe.timezone = Some("Europe/Berlin".into());
        recipe.karg = vec!["quiet".into()];
        recipe.karg_delete = vec!["loglevel=4".into()];
    });
    for base in [&*SD, &*OLD, &*GROUPS] {
        let image = try_stamp(base, &wanted).unwrap();
        assert_eq!(image.len(), base.len());
        let fs = seen(&image);
        let line = key(1) + "\n";
        for (path, mode, owner) in [
            ("/root/.ssh/authorized_keys", 0o600, 0),
            ("/home/nixos/.ssh/authorized_keys", 0o600, 1000),
            ("/etc/ssh/authorized_keys.d/root", 0o444, 0),
        ] {
            assert_eq!(fs.read_to_string(path).unwrap(), line, "{path}");
            let about = fs.metadata(path).unwrap();
            assert_eq!((about.mode() & 0o7777, about.uid()), (mode, owner), "{path}");
        }
        let zone = fs.read_link("/etc/localtime").unwrap();
        assert_eq!(zone.to_str().unwrap(), "/etc/zoneinfo/Europe/Berlin");
        let (old, new) = (seen(base), fs.read_to_string("/boot/extlinux/extlinux.conf").unwrap());
        let old = old.read_to_string("/boot/extlinux/extlinux.conf").unwrap();
        assert_eq!(new, old.replace(" loglevel=4", " quiet"));
        assert_eq!(new.matches(" quiet\n").count(), 2);
        assert!(fs.read_to_string("/nix-path-registration").unwrap().starts_with("placeholder"));
    }
}

/// Which blocks of the root filesystem are in use, by its bitmaps: read here by the words of `blockgroup.rst` alone.
fn blocks_in_use(image: &[u8]) -> (usize, Vec<bool>) {
    let root = &image[ROOT_AT..];
    let number = |at: usize| {
        usize::try_from(u32::from_le_bytes(root[at..at + 4].try_into().unwrap())).unwrap()
    };
    let of_superblock = |at: usize| number(1024 + at);
    let (blocks, first) = (of_superblock(4), of_superblock(0x14));
    let (block, in_group) = (1024 << of_superblock(0x18), of_superblock(0x20));
    let is_long = of_superblock(0x60) & 0x80 != 0;
    let descriptor = if is_long { of_superblock(0xfe) & 0xffff } else { 32 };
    let mut used = vec![true; blocks];
    for (group, part) in used[first..].chunks_mut(in_group).enumerate() {
        let bitmap = number((first + 1) * block + group * descriptor) * block;
        for (at, used) in part.iter_mut().enumerate() {
            *used = root[bitmap + at / 8] >> (at % 8) & 1 == 1;
        }
    }
    (block, used)
}

#[test]
fn what_is_new_stands_in_blocks_that_were_free_and_are_in_use() {
    let folder = Folder::new();
    let large: Vec<u8> = (0..25_000).flat_map(|at: u32| at.to_le_bytes()).collect();
    folder.write("large", &large.repeat(5));
    let file = format!("{}:/large", folder.at("large").display());
    let wanted = customization(|recipe| recipe.file = vec![file]);
    for base in [&*SD, &*OLD, &*GROUPS] {
        let image = try_stamp(base, &wanted).unwrap();
        assert_eq!(seen(&image).read("/large").unwrap(), large.repeat(5));
        let (block, before) = blocks_in_use(base);
        let (_, after) = blocks_in_use(&image);
        let line = key(1);
        let places = image.windows(line.len()).enumerate();
        let places = places.filter(|(_, bytes)| *bytes == line.as_bytes()).map(|(at, _)| at);
        let blocks: Vec<usize> = places.map(|at| (at - ROOT_AT) / block).collect();
        assert!(blocks.len() >= 3, "{blocks:?}");
        for number in blocks {
            assert!(!before[number] && after[number], "block {number}");
        }
        assert!(before.iter().zip(&after).all(|(before, after)| !before || *after));
    }
}

#[test]
fn the_base_is_below_and_stamping_again_starts_from_it() {
    for base in [&*SD, &*OLD, &*GROUPS] {
        let once =
            try_stamp(base, &customization(|recipe| recipe.hostname = Some("a".into()))).unwrap();
        assert_same("the way back", &below(&once), base);
        let again = try_stamp(&once, &customization(|_| {})).unwrap();
        assert_same("stamped again", &again, &try_stamp(base, &customization(|_| {})).unwrap());
        // On a disk that is longer than the image.
        let mut disk = once.clone();
        disk.resize(once.len() + 4096, 7);
        assert_same("from a disk", &below(&disk), base);
    }
}

#[test]
fn a_report_tells_what_a_raw_image_is_and_what_was_put_in() {
    let report = Report::read(&SD.as_slice()).unwrap();
    assert!(report.injected.is_none() && report.volume.is_none() && report.is_sound());
    assert_eq!(report.release, "25.11.20251126.abcdef");
    assert_eq!(report.architecture.as_deref(), Some("aarch64"));
    let stamped =
        try_stamp(&SD, &customization(|recipe| recipe.hostname = Some("box".into()))).unwrap();
    let report = Report::read(&stamped.as_slice()).unwrap();
    let root = report.root.unwrap();
    assert_eq!((root.partition, root.label.as_str(), root.filesystem), (2, "NIXOS_SD", "ext4"));
    let injected = report.injected.unwrap();
    assert_eq!((injected.way, injected.keys.len()), ("root", 2));
    assert!(injected.settings.iter().any(|setting| setting.value == "box"));
    assert!(injected.files.iter().any(|file| file.path == "/root/.ssh/authorized_keys"));
}

#[test]
fn what_is_for_isos_is_refused_with_a_hint() {
    let cases = [
        ("--merge-initrd", customization(|recipe| recipe.merge_initrd = Some(true))),
        ("--label", customization(|recipe| recipe.label = Some("other".into()))),
    ];
    for (name, wanted) in cases {
        let fault = try_stamp(&SD, &wanted).unwrap_err();
        assert!(fault.to_string().starts_with(name), "{fault}");
        assert!(matches!(fault, Error::Usage { .. }) && fault.advice().is_some(), "{fault}");
    }
}

#[test]
fn keys_on_the_command_line_leave_the_root_alone_but_for_the_menu() {
    let image =
        try_stamp(&SD, &customization(|recipe| recipe.inject = Some(Inject::Credential))).unwrap();
    let fs = seen(&image);
    let menu = fs.read_to_string("/boot/extlinux/extlinux.conf").unwrap();
    assert_eq!(menu.matches("systemd.set_credential_binary=").count(), 2);
    assert!(!fs.exists("/root").unwrap() && !fs.exists("/etc").unwrap());
    let injected = Report::read(&image.as_slice()).unwrap().injected.unwrap();
    assert_eq!((injected.way, injected.keys.is_empty()), ("credential", false));
}

#[test]
fn the_program_stamps_a_packed_image_and_takes_it_back() {
    let folder = Folder::new();
    folder.write("sd.img.zst", include_bytes!("../tiny/tiny-sd.img.zst"));
    folder.write("key.pub", key(1).as_bytes());
    folder.run(&["sd.img.zst", "--key", "key.pub", "-o", "custom.img"]).done();
    assert_same(
        "packed",
        &folder.read("custom.img"),
        &try_stamp(&SD, &customization(|_| {})).unwrap(),
    );
    folder.run(&["reset", "custom.img", "-o", "base.img"]).done();
    assert_same("reset", &folder.read("base.img"), &SD);
}

/// Nothing that stands in an image makes a panic, and what is stamped has a way back.
#[test]
fn damage_is_refused_or_does_no_harm() {
    let wanted = customization(|recipe| recipe.karg = vec!["quiet".into()]);
    let most = if std::env::var_os("REMASTER_TEST_ALL").is_some() { usize::MAX } else { 120 };
    let mut refused = [0, 0];
    for (base, refused) in [&*SD, &*OLD].into_iter().zip(&mut refused) {
        // Blocks that are not contents of files.
        let counts = |block: usize| {
            let bytes = &base[block * 1024..][..1024];
            !bytes.windows(11).any(|text| text == b"placeholder")
        };
        let places: Vec<usize> =
            (0..base.len()).filter(|at| base[*at] != 0 && counts(at / 1024)).collect();
        let mut tried = 0;
        for at in places.iter().copied().step_by((places.len() / most).max(1)) {
            for new in [base[at] ^ 0xff, base[at] ^ 1] {
                let mut image = base.clone();
                image[at] = new;
                tried += 1;
                let run = || (Report::read(&image.as_slice()).is_ok(), try_stamp(&image, &wanted));
                let found = catch_unwind(AssertUnwindSafe(run));
                match found.unwrap_or_else(|_| panic!("byte {at:#x} as {new:#x}")) {
                    (_, Ok(stamped)) => assert_same(&format!("{at:#x}"), &below(&stamped), &image),
                    (_, Err(Error::Io { .. } | Error::Interrupted)) => panic!("{at:#x}"),
                    (_, Err(_)) => *refused += 1,
                }
            }
        }
        assert!(tried > 200, "{tried}");
    }
    // Both see some of it, checksums see more.
    assert!(refused[1] > 0 && refused[0] >= refused[1], "{refused:?}");
}

#[test]
fn an_image_that_is_cut_off_is_refused() {
    for length in (0..SD.len()).step_by(99_991) {
        assert!(try_stamp(&SD[..length], &customization(|_| {})).is_err(), "{length}");
    }
}

#[test]
fn an_image_with_secrets_stays_private_when_its_filesystem_cannot_be_read() {
    let folder = Folder::new();
    folder.write("sd.img", &OLD);
    let line = "sd.img --host-key generate -o card.img";
    folder.run(&line.split(' ').collect::<Vec<_>>()).done();
    let mut card = folder.read("card.img");
    // `needs_recovery`, as after a power cut (Linux, Documentation/filesystems/ext4/super.rst).
    let root = DiskSurvey::read(&card.as_slice()).unwrap().root.start();
    card[usize::try_from(root).unwrap() + 1024 + 0x60] |= 4;
    folder.write("card.img", &card);
    folder.run(&["flash", "card.img", "--to-file", "out"]).done();
    let mode = std::fs::metadata(folder.at("out")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}
