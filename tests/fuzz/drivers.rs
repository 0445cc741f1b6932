//! What is done with made-up bytes, a function per reader: the same for the fuzzer and for the tests that replay its corpus.
//! Each may refuse the bytes. None may panic, find a fault of the program, or read back otherwise what it wrote.

use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use remaster::boot::config::{Config, ConfigLocation};
use remaster::boot::{menu, stage_one};
use remaster::disk::ext4::Filesystem;
use remaster::disk::survey::DiskSurvey;
use remaster::formats::boot_config::{Syntax, with_initrds};
use remaster::formats::ext4::{directory, extent};
use remaster::formats::gpt_backup;
use remaster::formats::iso9660::Hierarchy;
use remaster::formats::iso9660::directory_record::{self, Record};
use remaster::formats::iso9660::path_table::{self, PathTableType};
use remaster::formats::iso9660::rock_ridge::{self, Style};
use remaster::formats::newc::{self, Kind, Next};
use remaster::formats::patch_file::PatchFile;
use remaster::formats::pe;
use remaster::formats::reset_mark::ResetMark;
use remaster::formats::undo::Undo;
use remaster::formats::unit_file::UnitFile;
use remaster::image::ReadAt;
use remaster::image::digest::Digest;
use remaster::image::partitions::Partitions;
use remaster::image::patched::PatchedImage;
use remaster::image::scratch::Scratch;
use remaster::inspect::Report;
use remaster::iso::survey::Survey;
use remaster::iso::survey::boot_catalog;
use remaster::iso::survey::esp::Esp;
use remaster::iso::survey::tree::Tree;
use remaster::live::{Facts, Input};
use remaster::recipe::edits::{Boot, Edits, InjectMethod, Serial, Spanned};
use remaster::recipe::{Recipe, read as read_recipe, users};
use remaster::stamp::manifest::found::{self, Found};
use remaster::stamp::manifest::{self, blocks::Blocks};
use remaster::stamp::{patch, sign};
use remaster::units::ByteRange;
use remaster::{BaseImage, Customization, Error, ManifestOptions, Silent};
use sha2::{Digest as _, Sha256};

/// A reader: its name, inputs that it takes, and what is done with an input.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    pub(crate) run: fn(&[u8]),
}

/// All of them.
pub(crate) const TARGETS: [Target; 16] = [
    Target { name: "image", seeds: image_seeds, run: image },
    Target { name: "initrd", seeds: initrd_seeds, run: initrd },
    Target { name: "patch", seeds: patch_seeds, run: patch_file },
    Target { name: "records", seeds: record_seeds, run: records },
    Target { name: "el-torito", seeds: el_torito_seeds, run: el_torito },
    Target { name: "partitions", seeds: partition_seeds, run: partitions },
    Target { name: "fat", seeds: fat_seeds, run: fat },
    Target { name: "grub", seeds: grub_seeds, run: menu_text },
    Target { name: "isolinux", seeds: isolinux_seeds, run: menu_text },
    Target { name: "ext4", seeds: ext4_seeds, run: ext4 },
    Target { name: "pe", seeds: pe_seeds, run: pe_program },
    Target { name: "manifest", seeds: manifest_seeds, run: manifest_text },
    Target { name: "sshsig", seeds: sshsig_seeds, run: sshsig },
    Target { name: "recipe", seeds: recipe_seeds, run: recipe },
    Target { name: "users", seeds: users_seeds, run: users_file },
    Target { name: "marks", seeds: mark_seeds, run: marks },
];

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me";

/// What is signed.
const MESSAGE: &[u8] = b"remaster\n";

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    zstd::decode_all(bytes).unwrap()
}

static TINY: LazyLock<Vec<u8>> = LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny.iso.zst")));
static SYSTEMD: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny-systemd.iso.zst")));
static AARCH64: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny-aarch64.iso.zst")));
static SD: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny-sd.img.zst")));
/// Without checksums in its filesystem.
static SD_OLD: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny-sd-old.img.zst")));
static STAMPED: LazyLock<Vec<u8>> = LazyLock::new(|| stamped(&TINY));
static STAMPED_SD: LazyLock<Vec<u8>> = LazyLock::new(|| stamped(&SD));
static SURVEY: LazyLock<Survey> = LazyLock::new(|| Survey::read(&*TINY).unwrap());
static ESP: LazyLock<ByteRange> = LazyLock::new(|| {
    let is_esp = |path: &Option<String>| path.as_deref() == Some("/boot/efi.img");
    SURVEY.boot.iter().find(|entry| is_esp(&entry.path)).unwrap().image
});

fn stamped(base: &[u8]) -> Vec<u8> {
    let blocks = Blocks::compute(&base, &Silent).unwrap();
    let options = ManifestOptions {
        blocks: Some(blocks.0),
        sha256: Some(blocks.1),
        ..ManifestOptions::default()
    };
    let image = BaseImage::open(base).unwrap().stamp(edits(false), &options).unwrap();
    bytes_of(image.image())
}

fn bytes_of<B: ReadAt>(image: &PatchedImage<B>) -> Vec<u8> {
    let mut bytes = vec![0; size(image.size())];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

fn long(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap()
}

/// A key for root, by one way or the other.
fn edits(merged: bool) -> Edits {
    let way = if merged { InjectMethod::MergeInitrd } else { InjectMethod::ExtraInitrd };
    Edits::authorize(&format!("{KEY}\n"), way)
}

/// What came of bytes: nothing where they are refused, and never a fault of the program or of the system.
fn taken<T>(what: Result<T, Error>) -> Option<T> {
    match what {
        Ok(taken) => Some(taken),
        Err(fault @ (Error::Bug { .. } | Error::Interrupted | Error::Io { .. })) => {
            panic!("{fault:?}")
        }
        Err(fault) => {
            // What is said is made up as well.
            let _ = fault.to_string();
            None
        }
    }
}

/// Changes of an image, so that the fuzzer has few bytes to think about: a place (3 bytes) among the blocks of 512
/// bytes that are not empty, a number of bytes, and the bytes.
fn changed(base: &[u8], mut data: &[u8]) -> Vec<u8> {
    let mut image = base.to_vec();
    let used: Vec<usize> = (0..base.len() / 512)
        .filter(|block| base[block * 512..][..512].iter().any(|byte| *byte != 0))
        .collect();
    while let Some(([a, b, c, count], rest)) = data.split_first_chunk::<4>() {
        let place = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let (new, behind) = rest.split_at(usize::from(*count).min(rest.len()));
        let start = used[place / 512 % used.len()] * 512 + place % 512;
        let end = (start + new.len()).min(image.len());
        image[start..end].copy_from_slice(&new[..end - start]);
        data = behind;
    }
    image
}

/// A change for [`changed`] that changes nothing, at a place of an image.
fn no_change(base: &[u8], at: usize) -> Vec<u8> {
    let used = (0..at / 512)
        .filter(|block| base[block * 512..][..512].iter().any(|byte| *byte != 0))
        .count();
    let place = u32::try_from(used * 512 + at % 512).unwrap().to_be_bytes();
    let new = &base[at..base.len().min(at + 16)];
    [&place[1..], &[16], new].concat()
}

/// Makes the checksums of a GPT right, so that what they cover is looked at.
fn mend_gpt(image: &mut [u8]) {
    const HEADER: usize = 512;
    if image.get(HEADER..HEADER + 8) != Some(b"EFI PART") {
        return;
    }
    let number = |image: &[u8], at: usize| {
        size(u64::from(u32::from_le_bytes(image[HEADER + at..][..4].try_into().unwrap())))
    };
    let crc = crc32;
    let array = (number(image, 72).saturating_mul(512), number(image, 80).saturating_mul(128));
    let sum = array.0.checked_add(array.1).and_then(|end| image.get(array.0..end)).map(crc);
    if let Some(sum) = sum {
        image[HEADER + 88..][..4].copy_from_slice(&sum.to_le_bytes());
    }
    image[HEADER + 16..][..4].fill(0);
    let length = number(image, 12);
    if let Some(sum) = image.get(HEADER..HEADER.saturating_add(length)).map(crc) {
        image[HEADER + 16..][..4].copy_from_slice(&sum.to_le_bytes());
    }
}

/// CRC-32 (ISO-HDLC), bit by bit: the fuzzer needs no crate for it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
    let sum = bytes
        .iter()
        .fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)));
    !sum
}

/// The image that the first byte names.
fn base_of(first: u8) -> &'static [u8] {
    let bases: [&LazyLock<Vec<u8>>; 7] =
        [&TINY, &SYSTEMD, &AARCH64, &SD, &STAMPED, &STAMPED_SD, &SD_OLD];
    bases[usize::from(first) % bases.len()]
}

/// All that is done with an image: looked at, stamped, and made its base again.
fn image(data: &[u8]) {
    let Some(([first, how], rest)) = data.split_first_chunk::<2>() else { return };
    let mut image = changed(base_of(*first), rest);
    if how & 1 == 0 {
        mend_gpt(&mut image);
    }
    taken(Report::read(&image));
    let Some(base) = taken(BaseImage::open(image.as_slice())) else { return };
    let planned = base.stamp(edits(how & 2 == 0), &ManifestOptions::default());
    let Some(stamped) = taken(planned) else { return };
    let stamped = bytes_of(stamped.image());
    let below = BaseImage::open(stamped.as_slice()).unwrap();
    assert!(bytes_of(below.original()) == bytes_of(base.original()), "another base below");
    if let Some(Some(found)) = taken(found::of_image(&image)) {
        taken(manifest::verify::verify(&image, &found, &Silent));
    }
}

fn image_seeds() -> Vec<Vec<u8>> {
    let places = [440, 512, 1024, 32768, 34816, 36864, 40960];
    let seeds = (0..7_u8).flat_map(|number| {
        let base = base_of(number);
        let changes = places.iter().flat_map(|at| no_change(base, *at)).collect::<Vec<_>>();
        [vec![number, number], [vec![number, 0], changes].concat()]
    });
    seeds.collect()
}

/// An initrd, plain or packed anew so that what is in it can be changed.
fn initrd(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = match how % 4 {
        0 => rest.to_vec(),
        1 => zstd::bulk::compress(rest, 1).unwrap(),
        2 => [rest, &zstd::bulk::compress(rest, 1).unwrap()].concat(),
        _ => [&newc::write(&[]).unwrap(), rest].concat(),
    };
    let all = ByteRange::new(0, long(bytes.len())).unwrap();
    let image = bytes.as_slice();
    taken(stage_one::inspect(&image, &[("initrd", all)]));
    taken(stage_one::files_with(&image, &[("initrd", all)], |_| true));
    let mut members = Vec::new();
    let each = |member| {
        members.push(member);
        Next::Continue
    };
    let whole = newc::read(rest, 1 << 16, |_| true, each).is_ok();
    // Names that are cut at a zero, and links that are not text, are not what they were.
    let plain = |text: &str| !text.contains(['\0', '\u{fffd}']) && !text.is_empty();
    let all_plain = members.iter().all(|member| {
        let sound = !matches!(&member.kind, Kind::Symlink(to) if !plain(to));
        sound && plain(&member.path) && member.path != "TRAILER!!!" && member.size() < 1 << 16
    });
    if whole && all_plain {
        let mut again = Vec::new();
        let written = newc::write(&members).unwrap();
        let each = |member| {
            again.push(member);
            Next::Continue
        };
        newc::read(written.as_slice(), 1 << 16, |_| true, each).unwrap();
        assert!(again == members, "{members:?} read again as {again:?}");
    }
}

fn initrd_seeds() -> Vec<Vec<u8>> {
    let scripted = newc::write(&[
        newc::Member::directory("bin", 0o755),
        newc::Member::file("nix/store/x-stage-1-init.sh", 0o755, "#!/bin/sh\n"),
        newc::Member::symlink("init", "/nix/store/x-stage-1-init.sh"),
    ]);
    let systemd = newc::write(&[
        newc::Member::symlink("bin", "/nix/store/y/bin"),
        newc::Member::directory("etc/systemd", 0o755),
        newc::Member::symlink("init", "/nix/store/y/lib/systemd/systemd"),
        newc::Member::file("nix/store/y/bin/bash", 0o755, "\u{7f}ELF"),
    ]);
    let of = |base: &[u8]| {
        let survey = Survey::read(&base).unwrap();
        let at = survey.initrds(&base).unwrap()[0].at;
        [&[0], &base[size(at.start())..size(at.end())]].concat()
    };
    let mut seeds = vec![of(&TINY), of(&SYSTEMD)];
    for archive in [scripted.unwrap(), systemd.unwrap()] {
        let alone = &archive[newc::SEAM..];
        seeds.extend([0, 1, 2, 3].map(|how| [&[how], alone].concat()));
    }
    seeds
}

/// A patch file: as it is, or with its frame packed and its checksum made right.
fn patch_file(data: &[u8]) {
    const HEAD: usize = 77;
    let Some((how, rest)) = data.split_first() else { return };
    let file = match rest.split_at_checked(HEAD) {
        Some((head, body)) if how & 1 == 0 => {
            let frame = zstd::bulk::compress(body, 1).unwrap();
            let file = [head, &frame].concat();
            let sum = Sha256::digest(&file);
            [file.as_slice(), &sum].concat()
        }
        _ => rest.to_vec(),
    };
    let Ok(parsed) = PatchFile::parse(&file) else { return };
    let packed = parsed.pack().unwrap();
    assert!(PatchFile::parse(&packed).as_ref() == Ok(&parsed), "{parsed:?}");
    let base = PatchedImage::whole(vec![7; 100]);
    let sha256 = Digest(parsed.base_sha256);
    if let Some(applied) = taken(patch::apply(&parsed, base, sha256, "base")) {
        assert_eq!(applied.image().size(), parsed.size);
        if parsed.size < 1 << 20 {
            bytes_of(applied.image());
        }
    }
}

fn patch_seeds() -> Vec<Vec<u8>> {
    let sha256 = Digest::of_bytes(&[7; 100]);
    let image = PatchedImage::whole(vec![7; 100]);
    let change = |at, bytes: &'static [u8]| {
        remaster::image::patched::Patch::bytes(at, bytes, "a change").unwrap()
    };
    let changes = vec![change(3, b"new"), change(60, b"newer")];
    let made = patch::make(image.base(), changes, 140, sha256).unwrap();
    let file = made.pack().unwrap();
    let (head, rest) = file.split_at(77);
    let frame = &rest[..rest.len() - 32];
    let body = zstd::decode_all(frame).unwrap();
    vec![[&[1], file.as_slice()].concat(), [&[0], head, &body].concat()]
}

/// A directory's extent: by itself, and as the root of both hierarchies. Path tables.
fn records(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    if let Ok(found) = directory_record::located(rest) {
        let records: Vec<Record> = found.into_iter().map(|(_, record)| record).collect();
        for record in &records {
            let style = Style::of_root(record.system_use());
            let mut field = record.system_use().to_vec();
            rock_ridge::count_a_link(&mut field, style.skipped);
            rock_ridge::close_to_others(&mut field, style.skipped);
            assert_eq!(field.len(), record.system_use().len());
            style.system_use("name", 0o644, 1, 1);
            let _ = (record.header(), record.identifier(), record.is_dot());
        }
        let packed = directory_record::pack(&records);
        assert!(directory_record::unpack(&packed).as_ref() == Ok(&records), "{records:?}");
    }
    for order in [PathTableType::L, PathTableType::M] {
        if let Ok(table) = path_table::unpack(rest, order) {
            let packed = path_table::pack(&table, order).unwrap();
            assert!(path_table::unpack(&packed, order).as_ref() == Ok(&table), "{table:?}");
        }
    }
    let hierarchy = if how & 1 == 0 { Hierarchy::Primary } else { Hierarchy::Joliet };
    let mut image = TINY.clone();
    let at = roots()[usize::from(how & 1)];
    let new = &rest[..rest.len().min(2048)];
    image[at..at + new.len()].copy_from_slice(new);
    taken(Tree::read(&image, hierarchy));
}

/// Where the extents of the roots start.
fn roots() -> [usize; 2] {
    let root = |number: usize| size(SURVEY.trees[number].get("/").unwrap().extents[0].start());
    [root(0), root(1)]
}

fn record_seeds() -> Vec<Vec<u8>> {
    let extent = |number: usize| {
        let at = roots()[number];
        [&[u8::try_from(number).unwrap()], &TINY[at..at + 2048]].concat()
    };
    let number =
        |at: usize| size(u64::from(u32::from_le_bytes(TINY[at..at + 4].try_into().unwrap())));
    let table = |descriptor: usize| {
        let at = number(descriptor * 2048 + 140) * 2048;
        [&[0], &TINY[at..at + number(descriptor * 2048 + 132)]].concat()
    };
    vec![extent(0), extent(1), table(16), table(18)]
}

/// Where the boot catalog of the tiny image is.
fn catalog_at() -> usize {
    size(SURVEY.boot[0].entry.start()) / 2048 * 2048
}

/// A boot catalog. Its validation entry is made right where the first byte says so.
fn el_torito(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let mut image = TINY.clone();
    let new = &rest[..rest.len().min(2048)];
    image[catalog_at()..][..new.len()].copy_from_slice(new);
    if how & 1 == 0 {
        mend_catalog(&mut image[catalog_at()..][..32]);
    }
    taken(boot_catalog::catalog(&image, SURVEY.tree()));
    taken(Survey::read(&image));
}

/// El Torito 1.0 §2.1: the words of the validation entry sum up to nothing.
fn mend_catalog(entry: &mut [u8]) {
    entry[28..30].fill(0);
    let words = entry.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0_u16, u16::wrapping_add);
    entry[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
}

fn el_torito_seeds() -> Vec<Vec<u8>> {
    let catalog = &TINY[catalog_at()..][..256];
    vec![[&[0], catalog].concat(), [&[1], catalog].concat()]
}

/// Partition tables: read, told, and grown as for a longer image and a larger disk.
fn partitions(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let bases: [&[u8]; 3] = [&TINY, &SD, &STAMPED];
    let base = bases[usize::from(how >> 1) % 3];
    // The first blocks, which have the tables; all of the image lies behind them.
    let mut image = base.to_vec();
    let head = changed(&base[..34 * 512], rest);
    image[..head.len()].copy_from_slice(&head);
    if how & 1 == 0 {
        mend_gpt(&mut image);
    }
    let mut head = image[..34 * 512].to_vec();
    for block in [512, 4096] {
        taken(gpt_backup::move_backup(&mut head, 1 << 30, block));
    }
    let Some(tables) = taken(Partitions::read(&image)) else { return };
    taken(tables.named());
    taken(tables.of_the_volume());
    taken(tables.stray(&tables, long(image.len())));
    if let Some(gpt) = &tables.gpt {
        let mut moved = gpt.clone();
        let to = ByteRange::new(1 << 20, 1 << 20).unwrap();
        let _ = moved.move_partition(0, to);
        for size in [0, 512, 1 << 20, 1 << 30, u64::MAX] {
            if let Some(grown) = gpt.grown(size) {
                let _ = grown.blocks();
            }
        }
    }
}

fn partition_seeds() -> Vec<Vec<u8>> {
    let bases: [&[u8]; 3] = [&TINY, &SD, &STAMPED];
    let seeds = (0_u8..).zip(bases).map(|(number, base)| {
        let places = [446, 512, 512 + 32, 512 + 72, 1024, 1024 + 32];
        let head = &base[..34 * 512];
        [vec![number << 1], places.iter().flat_map(|at| no_change(head, *at)).collect()].concat()
    });
    seeds.collect()
}

/// The FAT filesystem of a boot image: listed, read, and written to.
fn fat(data: &[u8]) {
    let esp = &TINY[size(ESP.start())..size(ESP.end())];
    let image = changed(esp, data);
    let all = ByteRange::new(0, long(image.len())).unwrap();
    let mut scratch = Scratch::new(&image, all);
    let Some(volume) = taken(Esp::open(&mut scratch)) else { return };
    let files = taken(volume.files()).unwrap_or_default();
    for file in files.iter().take(32) {
        taken(volume.read(&file.path, 1 << 20));
        taken(volume.missing(&[(&file.path, 100_000)]));
        if taken(volume.replace(&file.path, &[b'x'; 5000])).is_some() {
            taken(volume.read(&file.path, 1 << 20));
        }
    }
    if taken(volume.close()).is_some() {
        taken(scratch.patches("the boot image"));
    }
}

fn fat_seeds() -> Vec<Vec<u8>> {
    let esp = &TINY[size(ESP.start())..size(ESP.end())];
    let used = |block: &usize| esp[block * 512..][..512].iter().any(|byte| *byte != 0);
    let blocks = (0..esp.len() / 512).filter(used).take(40);
    vec![blocks.flat_map(|block| no_change(esp, block * 512)).collect(), Vec::new()]
}

/// A boot menu, and what the recipe makes of it: the new text is read again.
fn menu_text(data: &[u8]) {
    let Some(Some(config)) =
        taken(Config::parse(ConfigLocation::Volume, "/menu.cfg", data.to_vec()))
    else {
        if let Ok(text) = str::from_utf8(data) {
            for syntax in [Syntax::Grub, Syntax::Isolinux] {
                let _ = (syntax.entries(text), syntax.settings(text), syntax.words(text));
            }
        }
        return;
    };
    let syntax = config.syntax;
    for entry in &config.entries {
        let _ = (syntax.command_line(entry), entry.path(), with_initrds(syntax, entry, &[]));
    }
    let _ = (menu::Started::from_config(&config), syntax.words(&config.text));
    for boot in boots() {
        let more = |_: &_| Ok(vec!["/remaster/hook".to_owned()]);
        let made = menu::texts(std::slice::from_ref(&config), "nixos", &boot, more);
        if let Some(made) = taken(made) {
            let text = made.texts[0].clone().into_bytes();
            let again = Config::parse(ConfigLocation::Volume, "/menu.cfg", text).unwrap();
            let again = again.unwrap();
            assert_eq!(again.entries.len(), config.entries.len(), "{}", made.texts[0]);
        }
        taken(menu::started_alone(std::slice::from_ref(&config), &boot));
    }
}

/// Edits of menus.
fn boots() -> [Boot; 3] {
    let asked = |value: &str| Spanned { value: value.to_owned(), place: "--x".to_owned() };
    let serial = Serial { port: "ttyS0".into(), speed: Some(115_200), unit: Some(0) };
    [
        Boot::default(),
        Boot { add: vec![asked("quiet")], name: Some("ours".into()), ..Boot::default() },
        Boot {
            serial: vec![serial],
            timeout: Some(7),
            label: Some(asked("other")),
            delete: vec![asked("quiet")],
            default_entry: Some(asked("nixos")),
            ..Boot::default()
        },
    ]
}

/// The text of the first menu of this syntax in the tiny images.
fn menus(syntax: Syntax) -> Vec<Vec<u8>> {
    let of = |base: &'static [u8]| {
        let configs = Survey::read(&base).unwrap().configs.into_iter();
        configs.filter(|config| config.syntax == syntax).map(|config| config.text.into_bytes())
    };
    let bases: [&'static [u8]; 3] = [&TINY, &SYSTEMD, &AARCH64];
    bases.into_iter().flat_map(of).collect()
}

fn grub_seeds() -> Vec<Vec<u8>> {
    let mut seeds = menus(Syntax::Grub);
    seeds.push(
        b"set timeout=5\nsubmenu 'a' --class x {\nmenuentry \"b\\\" $c\" {\n linux /k init=/nix/store/x/init root=LABEL=nixos \"a b\"\\\n c\n initrd /i\n}\n}\n# end\n"
            .to_vec(),
    );
    seeds
}

fn isolinux_seeds() -> Vec<Vec<u8>> {
    let mut seeds = menus(Syntax::Isolinux);
    seeds.push(
        b"DEFAULT a\nTIMEOUT 100\nSERIAL 0 115200\nLABEL a\nMENU LABEL b\nLINUX /k\nAPPEND init=/nix/store/x/init root=LABEL=nixos \"a b\"\nINITRD /i,/j\n"
            .to_vec(),
    );
    seeds
}

/// A filesystem in a disk image, and its pieces by themselves.
fn ext4(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    match how % 4 {
        0 => {
            if let Ok(entries) = directory::entries(rest) {
                let sum: usize = entries.iter().map(|entry| entry.name.len()).sum();
                assert!(sum <= rest.len(), "{sum} bytes of names");
            }
        }
        1 => {
            if let Ok(extent::Node::Leaf(extents)) = extent::node(rest)
                && let Some(joined) = extent::joined_up(&extents)
            {
                let blocks = |all: &[extent::Extent]| -> u64 {
                    all.iter().map(|extent| extent.blocks).sum()
                };
                assert_eq!(blocks(&joined), blocks(&extents), "{extents:?}");
            }
        }
        _ => {
            let base: &[u8] = if how % 4 == 2 { &SD_OLD } else { &SD };
            let image = changed(base, rest);
            let Some(raw) = taken(DiskSurvey::read(&image)) else { return };
            let Some(fs) = taken(raw.filesystem(&image)) else { return };
            walk(&fs);
            let Some(base) = taken(BaseImage::open(image.as_slice())) else { return };
            let planned = base.stamp(edits(false), &ManifestOptions::default());
            let Some(stamped) = taken(planned) else { return };
            let stamped = bytes_of(stamped.image());
            let below = BaseImage::open(stamped.as_slice()).unwrap();
            assert!(bytes_of(below.original()) == image, "another base below");
        }
    }
}

/// Looks at the first hundred names of a filesystem.
fn walk<I: ReadAt>(fs: &Filesystem<I>) {
    let mut folders = vec!["/".to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let Some(Some(inode)) = taken(fs.lookup(&folder)) else { continue };
        for entry in taken(fs.names(&inode)).unwrap_or_default() {
            seen += 1;
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            taken(fs.file(&path, 1 << 20));
            if seen < 100 && name != "." && name != ".." {
                folders.push(path);
            }
        }
    }
}

fn ext4_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (how, base) in [(2, SD_OLD.as_slice()), (3, SD.as_slice())] {
        let root = size(DiskSurvey::read(&base).unwrap().root.start());
        let places = [root + 1024, root + 1024 + 88, root + 4096];
        let changes: Vec<u8> = places.iter().flat_map(|at| no_change(base, *at)).collect();
        seeds.push([vec![how], changes].concat());
    }
    let folder = directory::first(1024, 2, 2, None).unwrap();
    let map =
        [&[0x0A, 0xF3, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0][..], &[0, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0]];
    seeds.push([&[0], folder.as_slice()].concat());
    seeds.push([&[1], map.concat().as_slice(), &[0; 36]].concat());
    seeds
}

const SIGNED: &[u8] = include_bytes!("../tiny/signed.efi");

/// A UEFI program: as it is, or a signed one with changes.
fn pe_program(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let program = if how & 1 == 0 { changed(SIGNED, rest) } else { rest.to_vec() };
    if let Ok(Some(signatures)) = pe::signatures(&program) {
        for signature in signatures {
            assert!(!signature.signer.contains(char::is_control), "{signature:?}");
        }
    }
    let _ = pe::is_unified_kernel(&program);
}

fn pe_seeds() -> Vec<Vec<u8>> {
    let places = [0, 60, 128, 1024];
    let changes: Vec<u8> = places.iter().flat_map(|at| no_change(SIGNED, *at)).collect();
    vec![[vec![0], changes].concat(), [&[1], SIGNED].concat()]
}

/// A manifest, in place of the one of a stamped image.
fn manifest_text(data: &[u8]) {
    static OWN: LazyLock<Found> = LazyLock::new(|| found::of_image(&*STAMPED).unwrap().unwrap());
    let Some(manifest) = taken(manifest::parse(data, 0)) else { return };
    let found = Found { manifest, text: data.to_vec(), ..OWN.clone() };
    taken(manifest::verify::verify(&*STAMPED, &found, &Silent));
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    vec![found::of_image(&*STAMPED).unwrap().unwrap().text]
}

/// A signature, and a file of allowed signers.
fn sshsig(data: &[u8]) {
    taken(sign::parse(data));
    taken(sign::check(MESSAGE, data));
    if let (Ok(text), Ok(key)) = (str::from_utf8(data), ssh_key(KEY)) {
        taken(sign::signers::principals(text, &key));
    }
}

fn ssh_key(text: &str) -> Result<ssh_key::PublicKey, ssh_key::Error> {
    ssh_key::PublicKey::from_openssh(text)
}

fn sshsig_seeds() -> Vec<Vec<u8>> {
    let seed = ssh_key::private::Ed25519Keypair::from_seed(&[1; 32]);
    let key = ssh_key::PrivateKey::from(seed);
    let signature = key.sign(sign::NAMESPACE, ssh_key::HashAlg::Sha512, MESSAGE).unwrap();
    let armored = signature.to_pem(ssh_key::LineEnding::LF).unwrap();
    vec![
        armored.into_bytes(),
        format!("# c\n\"a b\",c namespaces=\"git,*@remaster\" {KEY}\n").into_bytes(),
    ]
}

/// A file with these bytes; the name ends as the format's names do.
fn file(name: &str, data: &[u8], then: impl FnOnce(&Path)) {
    let mut file = tempfile::Builder::new().suffix(name).tempfile().unwrap();
    file.write_all(data).unwrap();
    then(file.path());
}

/// A recipe, and what it means where it names no files.
fn recipe(data: &[u8]) {
    file(".toml", data, |path| {
        if let Some(recipe) = taken(read_recipe(path)) {
            mean(recipe);
        }
    });
}

/// What a recipe means, without the files that it names: they are not made up.
fn mean(mut recipe: Recipe) {
    recipe.host_key_seed = None;
    recipe.root_password_file = None;
    recipe.nixos_password_file = None;
    recipe.sign = None;
    // Hashing a password takes its time on purpose.
    (recipe.root_password_prompt, recipe.nixos_password_prompt) = (None, None);
    recipe.host_key.clear();
    recipe.file.clear();
    let files = [
        &mut recipe.overlay,
        &mut recipe.script,
        &mut recipe.bin,
        &mut recipe.unit,
        &mut recipe.run,
        &mut recipe.store,
        &mut recipe.wifi_password_file,
    ];
    files.into_iter().for_each(Vec::clear);
    recipe.key.retain(|key| key.starts_with("ssh-"));
    let (edits, given) = (recipe.edits(), recipe.set_names());
    assert!(edits.len() <= given.len(), "{edits:?} of {given:?}");
    let nobody = |_: &str| Err(std::io::ErrorKind::Unsupported.into());
    let gathered = Customization::gather(&recipe, &mut Input::new(std::io::empty(), nobody));
    if let Ok(customization) = gathered {
        taken(customization.edits(&Facts { release: (25, 11), architecture: None, room: None }));
    }
}

fn recipe_seeds() -> Vec<Vec<u8>> {
    let all = format!(
        "key = [\"{KEY}\"]\nhostname = \"web07\"\ntimezone = \"Europe/Paris\"\nkeymap = \"de\"\naddress = [\"eth0=10.0.0.2/24\"]\ngateway = \"10.0.0.1\"\ndns = [\"10.0.0.1\"]\nmtu = \"1400\"\nbond = \"b:eth0,eth1:mode=802.3ad\"\nwifi = \"home\"\nwifi-open = true\nkarg = [\"quiet\"]\nkarg-replace = [\"a=b\"]\nserial = \"ttyS0,115200\"\ntimeout = 5\nlabel = \"X\"\nname = \"n\"\ngreeting = true\nssh-passwords = false\nroot-password-hash = \"$6$abc$def\"\ninject = \"credential\"\n"
    );
    vec![all.into_bytes(), format!("key = '{KEY}'\n").into_bytes()]
}

/// A file of users.
fn users_file(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let format = [users::Format::Toml, users::Format::Csv, users::Format::Jsonl];
    let format = format[usize::from(how % 3)];
    file(".users", rest, |path| {
        for user in taken(users::read(path, format, ';')).unwrap_or_default() {
            if let Some(user) = taken(user) {
                mean(*user.recipe);
            }
        }
    });
}

fn users_seeds() -> Vec<Vec<u8>> {
    let toml = format!("\0[[user]]\nname = \"a\"\nkey = [\"{KEY}\"]\n[[user]]\nname = \"b\"\n");
    let csv = format!("\u{1}name,key,timeout,greeting,karg\na,{KEY},5,true,x;y\n\"b\",,,,\n# c\n");
    let jsonl = format!(
        "\u{2}{{\"name\": \"a\", \"key\": [\"{KEY}\"], \"timeout\": 5}}\n{{\"name\": \"b\"}}\n"
    );
    [toml, csv, jsonl].map(String::into_bytes).into()
}

/// What we leave on images and disks ourselves, and others may have written, with the checksum that fits; unit files.
fn marks(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let summed = |body: &[u8]| [body, &Sha256::digest(body)].concat();
    match how % 3 {
        0 => {
            if let Ok(undo) = Undo::parse(&summed(rest)) {
                let packed = undo.pack().unwrap();
                assert!(Undo::parse(&packed).is_ok_and(|again| again == undo), "{undo:?}");
            }
        }
        1 => {
            let mut body = rest.to_vec();
            body.resize(4096 - 32, 0);
            if let Ok(mark) = ResetMark::parse(&summed(&body))
                && let Some(packed) = mark.pack()
            {
                assert!(ResetMark::parse(&packed).is_ok_and(|again| again == mark), "{mark:?}");
            }
        }
        _ => {
            if let Ok(text) = str::from_utf8(rest)
                && let Ok(unit) = UnitFile::parse(text)
            {
                let _ = (unit.programs(), unit.words("Unit", "After"), unit.has("Install"));
            }
        }
    }
}

fn mark_seeds() -> Vec<Vec<u8>> {
    let found = BaseImage::open(STAMPED.as_slice()).unwrap();
    let undo = found.injected().unwrap().undo.pack().unwrap();
    let unit =
        b"\x02[Unit]\nAfter=a b \\\n c\n[Service]\nExecStart=-/bin/x %i\n[Install]\nWantedBy=x\n";
    let mark = ResetMark {
        base_size: 1 << 20,
        stamped_size: 2 << 20,
        undo: None,
        base_sha256: [1; 32],
        first: vec![0; 4096],
    };
    let mark = mark.pack().unwrap();
    let unsummed = |how: u8, file: &[u8]| [&[how], &file[..file.len() - 32]].concat();
    vec![unsummed(0, &undo), unsummed(1, &mark), unit.to_vec()]
}
