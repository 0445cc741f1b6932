//! Composed images that are wrong in one thing: verify, the last stage before anything is written, tells each.

use std::ops::Range;
use std::sync::Arc;

use remaster::Error;
use remaster::formats::both_endian::Both32;
use remaster::formats::undo::Undo;
use remaster::image::patched::{Patch, PatchedImage};
use remaster::image::{ImageFile, ReadAt};
use remaster::iso;
use remaster::iso::injected::IsoBase;
use remaster::iso::survey::Survey;
use remaster::netboot::tree::Tree;
use remaster::netboot::verify::{ComposedArchive, ComposedNetboot};
use remaster::netboot::{archive, installer};
use remaster::recipe::edits::{Attached, Edits, InjectMethod, Purpose, Spanned};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::planned_image::ManifestOptions;
use remaster::stamp::stamped_image::StampedImage;
use remaster::{disk, live};

use crate::boot_image::full;
use crate::netboot::{base_initrd, kexec};
use crate::raw::{OLD, customization};
use crate::support::{Folder, SD, SYSTEMD, TINY, bytes, edits, key, survey};

/// What is planned for a base.
struct Planned<'a> {
    base: IsoBase<&'a [u8]>,
    stamped: StampedImage<&'a [u8]>,
}

impl<'a> Planned<'a> {
    fn of(base: &'a [u8], edits: Edits) -> Self {
        let stamped = BaseImage::open(base).unwrap();
        let stamped = stamped.stamp(edits, &ManifestOptions::default()).unwrap();
        Self { base: IsoBase::open(base).unwrap(), stamped }
    }

    /// What verify says of an image over a base.
    fn checked(&self, image: &PatchedImage<&[u8]>, base: &Survey) -> String {
        let initrds = self.base.survey.initrds(&self.base.image).unwrap();
        said(iso::verify::check(image, base, &initrds, self.stamped.edits()))
    }

    /// What verify says of the image with other bytes.
    fn told(&self, wrong: Wrong) -> String {
        let stamped = &self.stamped;
        let mut image = bytes(stamped.image());
        wrong(&mut image);
        let image = patched(stamped.image(), &image);
        self.checked(&image, &self.base.survey)
    }
}

/// The image with these bytes, still over its base.
fn patched<'a>(image: &PatchedImage<&'a [u8]>, new: &[u8]) -> PatchedImage<&'a [u8]> {
    let old = bytes(image);
    let blocks = old.chunks(512).zip(new.chunks(512)).zip((0..).step_by(512));
    let other = blocks.filter(|((was, is), _)| was != is);
    let patches: Vec<Patch> =
        other.map(|((_, is), at)| Patch::bytes(at, is, "wrong").unwrap()).collect();
    assert!(!patches.is_empty(), "nothing is wrong");
    image.clone().with(patches, new.len().try_into().unwrap()).unwrap()
}

/// The words of a fault of this program, and nothing else than that.
fn said(checked: remaster::Result<()>) -> String {
    match checked {
        Err(fault @ Error::Bug { .. }) => fault.to_string(),
        other => format!("{other:?}"),
    }
}

type Wrong = fn(&mut Vec<u8>);

type Other = fn(&mut Survey);

/// The bytes of a file.
fn file(image: &[u8], path: &str) -> Range<usize> {
    let tree = survey(image);
    let (_, node) = tree.tree().files().find(|(name, _)| name.contains(path)).unwrap();
    let at = node.extents[0];
    at.start().try_into().unwrap()..at.end().try_into().unwrap()
}

/// Puts other bytes where `old` stands first within a part.
fn swap(part: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let at = part.windows(old.len()).position(|bytes| bytes == old);
    let at = at.unwrap_or_else(|| panic!("no {}", String::from_utf8_lossy(old)));
    part[at..at + new.len()].copy_from_slice(new);
}

fn swap_in(image: &mut [u8], path: &str, old: &str, new: &str) {
    let at = file(image, path);
    swap(&mut image[at], old.as_bytes(), new.as_bytes());
}

/// Where the record of a file in the primary hierarchy is.
fn record(image: &[u8], path: &str) -> usize {
    let tree = survey(image);
    let (_, node) = tree.tree().files().find(|(name, _)| name.contains(path)).unwrap();
    node.record.try_into().unwrap()
}

/// Changes the records of a file in all hierarchies.
fn records(image: &mut [u8], path: &str, change: fn(&mut [u8])) {
    let trees = survey(image).trees;
    for tree in trees {
        let (_, node) = tree.files().find(|(name, _)| name.contains(path)).unwrap();
        change(&mut image[usize::try_from(node.record).unwrap()..]);
    }
}

/// Adds to a number that is recorded in both byte orders (ECMA-119 §7.3.3).
fn add(both: &mut [u8], more: i32) {
    let old = u32::from_le_bytes(both[..4].try_into().unwrap());
    assert_eq!(both[4..8], old.to_be_bytes());
    let new = old.checked_add_signed(more).unwrap();
    both[..4].copy_from_slice(&new.to_le_bytes());
    both[4..8].copy_from_slice(&new.to_be_bytes());
}

const MENU: &str = "/EFI/BOOT/grub.cfg";

#[test]
fn an_iso_that_is_wrong_in_one_thing_is_reported() {
    let planned = Planned::of(&TINY, edits(1, InjectMethod::ExtraInitrd));
    let table: &[(&str, Wrong)] = &[
        ("found none, expected one", |image| {
            let at = record(image, "/remaster/undo.bin");
            swap(&mut image[at..], b"undo.bin", b"undo.bix");
        }),
        ("Volume Space Size at byte 0x8000", |image| add(&mut image[0x8050..], -1)),
        ("Volume Space Size at byte 0x9000", |image| add(&mut image[0x9050..], -1)),
        ("backup GPT", |image| {
            let header = image.len() - 512;
            image[header + 8] ^= 1;
        }),
        ("partition of the volume", |image| {
            image[446 + 12..446 + 16].copy_from_slice(&[9, 0, 0, 0]);
        }),
        ("boot configs", |image| swap_in(image, MENU, "${isoboot} init=/", "no-isoboot xnit=/")),
        ("the entry ", |image| {
            let (hook, payload) = ("/remaster/hook1.img", "/remaster/payload.img");
            let (old, new) = (format!("{hook} {payload}"), format!("{payload} {hook}"));
            swap_in(image, MENU, &old, &new);
        }),
        ("the command line of", |image| swap_in(image, MENU, "loglevel=4", "loglevel=5")),
        ("the title of", |image| swap_in(image, MENU, "(Linux LTS)", "(Linux lts)")),
        ("the settings of", |image| swap_in(image, MENU, "timeout=10", "timeout=11")),
        ("the label", |image| image[0x9028..0x902a].copy_from_slice(b"\0X")),
        ("/version.txt in the Primary hierarchy", |image| {
            records(image, "/version.txt", |record| add(&mut record[2..], 1));
        }),
        ("the payload at", |image| {
            swap_in(image, "/remaster/payload.img", "ssh-ed25519", "ssh-ed25510");
        }),
        ("/remaster/manifest.json", |image| swap_in(image, "/remaster/manifest.json", "{", "[")),
        ("/remaster/hook1.img, which is the hook of /boot", |image| {
            let at = file(image, "/remaster/hook1.img").start;
            image[at] = 7;
        }),
    ];
    for (words, wrong) in table {
        let found = planned.told(*wrong);
        assert!(found.contains(words), "{words}: {found}");
    }
}

/// What is looked at with the base: here it is the base that is another one.
#[test]
fn an_iso_that_does_not_fit_its_base_is_reported() {
    let planned = Planned::of(&TINY, edits(1, InjectMethod::ExtraInitrd));
    let table: [(&str, Other); 4] = [
        ("the directory tree", |base| {
            base.trees[0].nodes.remove("/version.txt").unwrap();
        }),
        ("the boot catalog", |base| drop(base.boot.pop())),
        ("the boot catalog", |base| base.boot[0].path = None),
        ("boot configs", |base| drop(base.configs.pop())),
    ];
    for (words, other) in table {
        let mut base = planned.base.survey.clone();
        other(&mut base);
        let found = planned.checked(planned.stamped.image(), &base);
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn second_descriptors_that_lead_to_other_files_are_reported() {
    let mut image = survey(&TINY);
    image.volume.second = image.volume.hierarchies().map(|(_, found)| found.clone()).collect();
    let check = |image: &Survey| {
        let checks = iso::checks::check_survey(image).unwrap();
        let check = checks.into_iter().find(|check| check.name == "second descriptors").unwrap();
        (check.ok, check.detail)
    };
    let (ok, detail) = check(&image);
    assert!(ok && detail.ends_with(", the same files"), "{detail}");
    let size = &mut image.volume.second[0].value.path_table_size;
    *size = Both32::new(size.get().unwrap() + 1);
    let (ok, detail) = check(&image);
    assert!(!ok && detail.ends_with(", other files: of an earlier session"), "{detail}");
}

#[test]
fn an_iso_with_other_files_beside_it_is_reported() {
    let folder = Folder::new();
    folder.write("files.img", &[5; 3000]);
    let bytes = Arc::new(ImageFile::open(&folder.at("files.img")).unwrap());
    let mut wanted = edits(1, InjectMethod::ExtraInitrd);
    wanted.attached.push(Attached::new(Purpose::Overlay, bytes).unwrap());
    let planned = Planned::of(&TINY, wanted);
    let table: &[(&str, Wrong)] = &[
        ("other bytes, expected those of the file", |image| {
            let at = file(image, "/remaster/files1-");
            image[at.start] ^= 1;
        }),
        ("other bytes, expected those of the file", |image| {
            let at = file(image, "/remaster/files1-");
            image[at.end - 1] ^= 1;
        }),
        ("found 2999, expected 3000", |image| {
            records(image, "/remaster/files1-", |record| add(&mut record[10..], -1));
        }),
        ("the name of a squashfs", |image| {
            let at = record(image, "/remaster/files1-");
            let name = image[at..].windows(7).position(|bytes| bytes == b"files1-").unwrap();
            let digit = &mut image[at + name + 7];
            *digit = if *digit == b'0' { b'1' } else { b'0' };
        }),
        ("squashfs files", |image| {
            let at = record(image, "/remaster/files1-");
            swap(&mut image[at..], b"files1-", b"files2-");
        }),
    ];
    for (words, wrong) in table {
        let found = planned.told(*wrong);
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn a_wrong_initrd_that_was_appended_to_is_reported() {
    let planned = Planned::of(&TINY, edits(1, InjectMethod::MergeInitrd));
    let table: &[(&str, Wrong)] = &[
        ("behind the initrd of the base, has something else than the payload", |image| {
            let at = file(image, "/initrd");
            swap(&mut image[at], b"ssh-ed25519", b"ssh-ed25510");
        }),
        ("behind the initrd of the base, is not a readable archive: ", |image| {
            let at = file(image, "/initrd");
            let end = TINY[file(&TINY, "/initrd")].len().next_multiple_of(512);
            image[at.start + end] = 7;
        }),
    ];
    for (words, wrong) in table {
        let found = planned.told(*wrong);
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn a_wrong_copy_of_the_uefi_boot_image_is_reported() {
    let base = full(&TINY);
    let planned = Planned::of(&base, edits(1, InjectMethod::ExtraInitrd));
    let found = planned.told(|image| {
        let at = file(image, "/boot/efi.img");
        swap(&mut image[at], &[7; 512], &[8; 512]);
    });
    assert!(found.contains("the UEFI boot image"), "{found}");
    let mut other = planned.base.survey.clone();
    other.partitions.gpt = None;
    let found = planned.checked(planned.stamped.image(), &other);
    assert!(found.contains("2 partitions of it"), "{found}");
}

#[test]
fn an_iso_with_another_label_where_one_still_looks_for_the_old_one_is_reported() {
    let mut wanted = edits(1, InjectMethod::ExtraInitrd);
    let value = "nixos-minimal-26.05-x86_6X".to_owned();
    let label = survey(&SYSTEMD).volume.identifier();
    assert_eq!(label.len(), value.len());
    wanted.boot.label = Some(remaster::recipe::edits::Spanned { value, place: "--label".into() });
    let planned = Planned::of(&SYSTEMD, wanted);
    let other: [Wrong; 2] = [
        |image| {
            let at = file(image, "/remaster/hook1.img");
            swap(&mut image[at], b"x86_6X", b"x86_64");
        },
        // Neither the old one nor the new one.
        |image| {
            let at = file(image, "/remaster/hook1.img");
            swap(&mut image[at], b"x86_6X", b"x86_6Y");
        },
    ];
    for wrong in other {
        let found = planned.told(wrong);
        assert!(found.contains("the initrds at"), "{found}");
    }
}

#[test]
fn an_entry_without_the_keys_that_all_are_to_have_is_reported() {
    let wanted = customization(|recipe| recipe.inject = Some(remaster::recipe::Inject::Credential));
    let base = IsoBase::open(TINY.as_slice()).unwrap();
    let wanted = wanted.edits(&live::Facts::from_survey(&base.survey)).unwrap();
    let planned = Planned::of(&TINY, wanted);
    let found = planned.told(|image| {
        swap_in(image, MENU, "systemd.set_credential_binary=", "systemd.set_credential_binarX=");
    });
    assert!(found.contains("an entry of") && found.contains("no keys"), "{found}");
}

#[test]
fn a_raw_image_that_is_wrong_in_one_thing_is_reported() {
    const SUPERBLOCK: usize = (1 << 20) + 1024;
    let table: &[(&str, Wrong)] = &[
        ("the command line of", |image| {
            let at = image.windows(9).rposition(|bytes| bytes == b"loglevel=").unwrap();
            image[at + 9] = b'7';
        }),
        ("expected the edits", |image| swap(image, key(1).as_bytes(), key(2).as_bytes())),
        ("expected the record", |image| swap(image, b"\"recipe_id\"", b"\"recipe_ix\"")),
        ("free blocks and inodes", |image| image[SUPERBLOCK + 0x0c] ^= 1),
        ("free blocks and inodes", |image| image[SUPERBLOCK + 0x10] ^= 1),
        ("the way back", |image| {
            let at = image.windows(16).position(|bytes| bytes == b"remaster undo 1\n").unwrap();
            let ends = at + 101..image.len();
            let end = ends.into_iter().find(|end| Undo::parse(&image[at..*end]).is_ok()).unwrap();
            let mut undo = Undo::parse(&image[at..end]).unwrap();
            undo.ranges.last_mut().unwrap().1[0] ^= 1;
            image[at..end].copy_from_slice(&undo.pack().unwrap());
        }),
    ];
    let wanted = customization(|recipe| recipe.karg = vec!["quiet".into()]);
    for (base, sums) in [(&*SD, true), (&*OLD, false)] {
        let stamped = BaseImage::open(base.as_slice()).unwrap();
        let stamped = stamped.customize(&wanted, &ManifestOptions::default()).unwrap();
        let base = disk::injected::DiskBase::open(base.as_slice()).unwrap();
        let image = stamped.image();
        let check = |image: &PatchedImage<&[u8]>| {
            disk::verify::check(image, (&base.image, &base.raw), stamped.edits())
        };
        for (words, wrong) in table {
            let mut other = bytes(image);
            wrong(&mut other);
            let found = check(&patched(image, &other));
            // The checksum of the superblock comes first, where there is one.
            let is_early = sums && words.starts_with("free");
            let found = if is_early { found.unwrap_err().to_string() } else { said(found) };
            let words = if is_early { "superblock" } else { words };
            assert!(found.contains(words), "{words}: {found}");
        }
    }
}

/// Turns the bits of one byte of an image.
fn flip<B: ReadAt + Clone>(image: &mut PatchedImage<B>, at: u64) {
    let mut byte = [0];
    image.read_exact_at(&mut byte, at).unwrap();
    let patch = Patch::bytes(at, [!byte[0]].as_slice(), "wrong").unwrap();
    *image = image.clone().with(vec![patch], image.size()).unwrap();
}

/// The first byte behind some text.
fn behind<B: ReadAt>(image: &PatchedImage<B>, text: &str) -> u64 {
    let all = bytes(image);
    let found = all.windows(text.len()).position(|part| part == text.as_bytes()).unwrap();
    (found + text.len()).try_into().unwrap()
}

type WrongNetboot = fn(&mut ComposedNetboot<&'static [u8]>);

const NETBOOTS: &[(&str, WrongNetboot)] = &[
    ("the kernel at byte 0x0: found other bytes", |made| flip(&mut made.kernel, 7)),
    ("the kernel at byte", |made| {
        let longer = made.kernel.size() + 1;
        made.kernel = made.kernel.clone().with(Vec::new(), longer).unwrap();
    }),
    ("the base's initrd", |made| flip(&mut made.initrd, 0)),
    ("nix-store.squashfs at byte", |made| {
        let at = behind(&made.initrd, "placeholder for nix-store.squashfs");
        flip(&mut made.initrd, at - 1);
    }),
    ("found another head", |made| {
        let at = behind(&made.initrd, "nix-store.squashfs\0");
        flip(&mut made.initrd, at - 2);
    }),
    ("remaster/files1.img", |made| {
        let at = made.expected.archives.files[1].at;
        flip(&mut made.initrd, at);
    }),
    ("a seam", |made| flip(&mut made.initrd, made.expected.archives.seams[1].start())),
    ("an archive", |made| flip(&mut made.initrd, made.expected.archives.whole[0].start())),
    ("-initrd-fsinfo-", |made| {
        let at = behind(&made.initrd, "mode=0755");
        flip(&mut made.initrd, at - 1);
    }),
    ("the live system's root", |made| {
        let at = behind(&made.initrd, "ssh-ed25519 ");
        flip(&mut made.initrd, at);
    }),
    ("the live system's root", |made| drop(made.expected.root.pop())),
    ("the mark of the initrd", |made| {
        let at = behind(&made.initrd, "remaster/base\0");
        let digits = Patch::bytes(at.next_multiple_of(4), *b"00000000000000000512", "wrong");
        let size = made.initrd.size();
        made.initrd = made.initrd.clone().with(vec![digits.unwrap()], size).unwrap();
    }),
    ("the initrd at byte", |made| {
        let longer = made.initrd.size() + 512;
        made.initrd = made.initrd.clone().with(Vec::new(), longer).unwrap();
    }),
    ("netboot.ipxe", |made| made.script = made.script.replace("loglevel=4", "loglevel=5")),
    ("netboot.ipxe", |made| made.script = made.script.replace(" initrd=initrd", "")),
    ("netboot.ipxe", |made| made.script = made.script.replace("\ninitrd initrd\n", "\n")),
    ("netboot.ipxe", |made| {
        made.script = made.script.replace("kernel bzImage", "kernel Image");
    }),
];

#[test]
fn a_network_boot_that_is_wrong_in_one_thing_is_reported() {
    let base = BaseImage::open(TINY.as_slice()).unwrap();
    let folder = Folder::new();
    folder.write("files.img", &[5; 3000]);
    let attached = Arc::new(ImageFile::open(&folder.at("files.img")).unwrap());
    let mut wanted = edits(1, InjectMethod::ExtraInitrd);
    wanted.attached.push(Attached::new(Purpose::Overlay, attached).unwrap());
    let compose = || installer::compose(&base, Some(&wanted)).unwrap();
    compose().verify().unwrap();
    for (number, (words, wrong)) in NETBOOTS.iter().enumerate() {
        let mut made = compose();
        wrong(&mut made);
        let found = said(made.verify().map(drop));
        assert!(found.contains(words), "{number}: {words}: {found}");
    }
}

#[test]
fn a_kexec_archive_that_is_wrong_in_one_thing_is_reported() {
    type Wrong = fn(&mut ComposedArchive<&ImageFile>);
    let folder = Folder::new();
    folder.write("kexec.tar", &kexec(&base_initrd(&TINY)));
    let file = ImageFile::open(&folder.at("kexec.tar")).unwrap();
    let mut wanted = edits(1, InjectMethod::ExtraInitrd);
    wanted.boot.add = vec![Spanned { value: "quiet".into(), place: "--karg".into() }];
    let compose = || Tree::of_archive(&file).unwrap().compose_archive(&wanted).unwrap();
    compose().verify().unwrap();
    let table: &[(&str, Wrong)] = &[
        // The first header, whose checksum is wrong then.
        ("the archive at byte", |made| flip(&mut made.image, 0)),
        ("kexec/bzImage", |made| flip(&mut made.image, made.before[0].at.start())),
        ("kexec/ip", |made| {
            let at = archive::members(&made.image).unwrap()[3].at;
            flip(&mut made.image, at.end() - 1);
        }),
        ("kexec/run", |made| {
            let at = behind(&made.image, "loglevel=4");
            flip(&mut made.image, at - 1);
        }),
        ("kexec/run", |made| made.scripts[0].1.push('x')),
        ("the live system's root", |made| {
            let at = behind(&made.image, "ssh-ed25519 ");
            flip(&mut made.image, at);
        }),
        ("the base's initrd", |made| {
            let at = behind(&made.image, "kexec/initrd");
            flip(&mut made.image, at.next_multiple_of(512));
        }),
        ("the archive at byte", |made| drop(made.before.pop())),
    ];
    for (number, (words, wrong)) in table.iter().enumerate() {
        let mut made = compose();
        wrong(&mut made);
        let found = said(made.verify().map(drop));
        assert!(found.contains(words), "{number}: {words}: {found}");
    }
}
