//! What holds of everything that can be made up: each with a seed of its own, so that a failure comes again.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use remaster::Error;
use remaster::flash;
use remaster::formats::ext4::directory::{self, Target as Inode};
use remaster::formats::ext4::extent::{self, Extent, Node};
use remaster::formats::iso9660::directory_record::{self, Record};
use remaster::formats::iso9660::path_table::{self, PathTableRecord, PathTableType};
use remaster::formats::newc::{self, Kind, Member, Next};
use remaster::formats::patch_file::{PatchFile, PatchSource, Run};
use remaster::formats::reset_mark::ResetMark;
use remaster::formats::undo::Undo;
use remaster::image::digest::Digest;
use remaster::image::patched::PatchedImage;
use remaster::iso::plan::Plan;
use remaster::live::{Customization, Facts, Input};
use remaster::recipe::{Inject, Recipe};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::patch;
use remaster::stamp::planned_image::ManifestOptions;
use remaster::target::Target;
use remaster::units::ByteRange;
use remaster::{ImageFile, OverwritePolicy, Silent};

use crate::support::{Folder, SD, assert_same, bases, bytes, key, stamp, survey};

/// Tries a property with so many made-up values, always the same.
fn hold<S: Strategy<Value: Debug>>(cases: u32, made_up: &S, property: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let ended = TestRunner::new_with_rng(config, random).run(made_up, |value| {
        property(value);
        Ok(())
    });
    ended.unwrap_or_else(|fault| panic!("{fault}"));
}

fn some_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..most)
}

fn long(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

fn member() -> impl Strategy<Value = Member> {
    let kind = prop_oneof![
        Just(Kind::Directory),
        some_bytes(5000).prop_map(Kind::File),
        "[a-zäß/. ]{1,60}".prop_map(Kind::Symlink),
    ];
    // (What leads elsewhere and what a file's name may not end in are refused.)
    let path = "[a-zäß][a-zäß -]{0,20}(/[a-zäß.]{0,3}[a-zäß -]{1,20}){0,3}";
    let mode = prop_oneof![Just(0o755), Just(0o4755), Just(0o600), Just(0)];
    (path, mode, any::<(u32, u32)>(), kind).prop_map(|(path, mode, owner, kind)| Member {
        path,
        mode,
        owner,
        kind,
    })
}

#[test]
fn members_of_an_archive_are_read_as_they_were_written() {
    hold(100, &vec(member(), 0..8), |members| {
        let archive = newc::write(&members).unwrap();
        let mut found = Vec::new();
        let each = |member| {
            found.push(member);
            Next::Continue
        };
        newc::read(archive.as_slice(), 1 << 20, |_| true, each).unwrap();
        assert_eq!(found, members);
    });
}

/// Runs of a patch of a base of 1,000 bytes.
fn run() -> impl Strategy<Value = Run> {
    prop_oneof![
        vec(any::<u8>(), 1..200)
            .prop_map(|new| Run { size: long(new.len()), from: PatchSource::Literal(new.into()) }),
        (0..900_u64, 1..100_u64)
            .prop_map(|(start, size)| Run { size, from: PatchSource::Base(start) }),
        (1..10_000_u64).prop_map(|size| Run { size, from: PatchSource::Zeros }),
    ]
}

/// Bytes of a file at places that follow each other.
fn ranges() -> impl Strategy<Value = Vec<(ByteRange, Vec<u8>)>> {
    vec((0..5000_u64, some_bytes(300)), 0..20).prop_map(|gaps| {
        let mut at = 0;
        let range = |(gap, bytes): (u64, Vec<u8>)| {
            let range = ByteRange::new(at + gap, long(bytes.len())).unwrap();
            at = range.end();
            (range, bytes)
        };
        gaps.into_iter().map(range).collect()
    })
}

#[test]
fn records_of_ours_are_read_as_they_were_written() {
    hold(200, &(vec(run(), 1..20), any::<[u8; 32]>()), |(runs, base_sha256)| {
        let size = runs.iter().map(|run| run.size).sum();
        let patch = PatchFile { base_size: 1000, base_sha256, size, runs };
        assert_eq!(PatchFile::parse(&patch.pack().unwrap()), Ok(patch));
    });
    hold(200, &(ranges(), any::<[u8; 32]>()), |(ranges, stamped_digest)| {
        let undo = Undo { base_size: 1 << 30, stamped_size: 2 << 30, stamped_digest, ranges };
        assert_eq!(Undo::parse(&undo.pack().unwrap()), Ok(undo));
    });
    let marked = (option::of(1..1000_u64), any::<[u8; 32]>(), vec(any::<u8>(), 1000));
    hold(200, &marked, |(undo, base_sha256, mut first)| {
        first.resize(4096, 0);
        let undo = undo.map(|size| ByteRange::new(1 << 20, size).unwrap());
        let mark =
            ResetMark { base_size: 1 << 20, stamped_size: 2 << 20, undo, base_sha256, first };
        assert_eq!(ResetMark::parse(&mark.pack().unwrap()), Ok(mark));
    });
}

#[test]
fn structures_of_isos_are_read_as_they_were_written() {
    let record = (any::<(u32, u32, [u8; 7])>(), vec(1..=255_u8, 1..60), some_bytes(120));
    let record = record.prop_filter_map("too long", |((place, size, date), name, field)| {
        Record::new(directory_record::header(place, size, date, 0), &name, &field)
    });
    hold(100, &vec(record, 0..60), |records| {
        assert_eq!(directory_record::unpack(&directory_record::pack(&records)), Ok(records));
    });
    let row = (any::<u32>(), any::<u16>(), vec(any::<u8>(), 1..60)).prop_map(
        |(location, parent, identifier)| PathTableRecord { location, parent, identifier },
    );
    hold(100, &vec(row, 0..60), |rows| {
        for order in [PathTableType::L, PathTableType::M] {
            let table = path_table::pack(&rows, order).unwrap();
            assert_eq!(path_table::unpack(&table, order), Ok(rows.clone()));
        }
    });
}

#[test]
fn structures_of_ext4_are_read_as_they_were_written() {
    let name = vec(prop_oneof![Just(b'x'), 1..=255_u8], 1..=255);
    let seed = option::of(any::<u32>());
    hold(60, &(vec((name, 1..u32::MAX), 0..30), seed.clone()), |(names, seed)| {
        let mut bytes = directory::first(4096, 2, 2, seed).unwrap();
        let mut block = directory::Block { bytes: &mut bytes, seed, at: 0 };
        let mut put = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, number) in names {
            let inode = u64::from(number);
            if seen.insert(name.clone())
                && block.insert(&name, Inode { inode, file_type: 1 }).unwrap()
            {
                put.push((inode, name));
            }
        }
        let found =
            directory::entries(&bytes[..4096 - if seed.is_some() { 12 } else { 0 }]).unwrap();
        let found = found.into_iter().filter(|entry| entry.inode != 0).skip(2);
        let mut found: Vec<_> = found.map(|entry| (entry.inode, entry.name)).collect();
        found.sort();
        put.sort();
        assert_eq!(found, put);
        assert!(directory::is_intact(&bytes, seed));
    });
    let extents = vec((1..1000_u64, 1..30_000_u64), 1..40).prop_map(|runs| {
        let mut logical = 0;
        let extent = |(start, blocks): (u64, u64)| {
            let extent = Extent { logical, start: start * 100_000, blocks, written: true };
            logical += blocks;
            extent
        };
        runs.into_iter().map(extent).collect::<Vec<_>>()
    });
    hold(100, &(extents, seed), |(extents, seed)| {
        let leaf = extent::leaf(&extents, 4096, seed).unwrap();
        assert_eq!(extent::node(&leaf), Ok(Node::Leaf(extents.clone())));
        assert!(extent::is_intact(&leaf, 4096, seed));
        if let Some(root) = extent::root(&extents) {
            assert_eq!(extent::node(&root), Ok(Node::Leaf(extents)));
        }
    });
}

/// Recipes that most bases take.
fn recipe() -> impl Strategy<Value = Recipe> {
    let words = || option::weighted(0.4, "[a-z][a-z0-9]{0,20}");
    let arguments = vec("[a-z]{1,10}(=[a-z0-9,]{1,20})?", 0..4);
    let menus = (words(), option::of(0..3600_u32), option::weighted(0.3, "[A-Z0-9_]{1,32}"));
    let inject = option::weighted(0.2, Just(Inject::Credential));
    let flags = (any::<bool>(), option::of(any::<bool>()), option::of(any::<bool>()));
    (vec(1..9_u8, 1..4), words(), arguments, menus, flags, inject).prop_map(
        |(keys, hostname, karg, (name, timeout, label), (merged, greeting, passwords), inject)| {
            let mut recipe = Recipe::default();
            recipe.key = keys.into_iter().map(key).collect();
            (recipe.hostname, recipe.karg, recipe.name) = (hostname, karg, name);
            (recipe.timeout, recipe.label, recipe.inject) = (timeout, label, inject);
            (recipe.greeting, recipe.ssh_passwords) = (greeting, passwords);
            recipe.merge_initrd = Some(merged && inject.is_none());
            recipe
        },
    )
}

fn customization(recipe: &Recipe) -> remaster::Result<Customization> {
    let nobody = |_: &str| Err(std::io::ErrorKind::Unsupported.into());
    Customization::gather(recipe, &mut Input::new(std::io::empty(), nobody))
}

/// All bases, the disk image among them.
fn all_bases() -> Vec<(&'static str, &'static [u8])> {
    bases().into_iter().chain([("tiny-sd", SD.as_slice())]).collect()
}

/// Makes images of a base by made-up recipes and hands each to a property. Some recipes are refused, most are not.
fn hold_of_images(
    cases: u32,
    name: &str,
    base: &'static [u8],
    property: impl Fn(&Recipe, Vec<u8>),
) {
    let made = std::cell::Cell::new(0);
    hold(cases, &recipe(), |recipe| {
        let Ok(customization) = customization(&recipe) else { return };
        let opened = BaseImage::open(base).unwrap();
        match opened.customize(&customization, &ManifestOptions::default()) {
            Ok(image) => {
                made.set(made.get() + 1);
                property(&recipe, bytes(image.image()));
            }
            Err(fault) => assert!(blames_what_was_given(&fault), "{fault:?}: {recipe:?}"),
        }
    });
    assert!(made.get() > cases / 4, "{name}: {} of {cases}", made.get());
}

#[test]
fn what_is_stamped_leads_back_and_can_be_stamped_over() {
    for (name, base) in all_bases() {
        let other = stamp(base, &crate::support::edits(9, crate::support::WAYS[0]));
        hold_of_images(8, name, base, |recipe, image| {
            let below = BaseImage::open(image.as_slice()).unwrap();
            assert_same(name, &bytes(below.original()), base);
            // An image that had something else in it before gets the same bytes.
            let again = BaseImage::open(other.as_slice()).unwrap();
            let again =
                again.customize(&customization(recipe).unwrap(), &ManifestOptions::default());
            assert_same(name, &bytes(again.unwrap().image()), &image);
        });
    }
}

#[test]
fn changes_are_apart_and_within_the_image() {
    for (name, base) in bases() {
        let (survey, initrds) = (survey(base), survey(base).initrds(&base).unwrap());
        hold(12, &recipe(), |recipe| {
            let Ok(customization) = customization(&recipe) else { return };
            let facts = Facts { release: (25, 11), architecture: None, room: None };
            let edits = customization.edits(&facts).unwrap();
            let Ok(mut plan) = Plan::new(&base, &survey, &initrds, &edits) else { return };
            plan.patches.sort_by_key(|patch| patch.at);
            for pair in plan.patches.windows(2) {
                let apart = pair[0].at.end() <= pair[1].at.start();
                assert!(apart, "{name}: {} and {}", pair[0].why, pair[1].why);
            }
            assert!(plan.patches.iter().all(|patch| patch.at.end() <= plan.size), "{name}");
            assert!(plan.size >= long(base.len()), "{name}");
        });
    }
}

#[test]
fn every_way_out_gives_the_same_bytes() {
    let folder = Folder::new();
    for (name, base) in all_bases() {
        let digest = Digest::compute(&base, &Silent).unwrap();
        folder.write(name, base);
        let file = ImageFile::open(&folder.at(name)).unwrap();
        hold(3, &recipe(), |recipe| {
            let Ok(customization) = customization(&recipe) else { return };
            let opened = BaseImage::open(&file).unwrap();
            let Ok(image) = opened.customize(&customization, &ManifestOptions::default()) else {
                return;
            };
            let composed = bytes(image.image());
            image.write_to_file(&folder.at("o"), OverwritePolicy::Replace).unwrap();
            assert_same(name, &folder.read("o"), &composed);
            let mut pipe = Vec::new();
            image.write_to(&mut pipe).unwrap();
            assert_same(name, &pipe, &composed);
            let packed = PatchFile::parse(&image.patch(digest).unwrap().pack().unwrap()).unwrap();
            let applied = patch::apply(&packed, PatchedImage::whole(base), digest, name).unwrap();
            assert_same(name, &bytes(applied.image()), &composed);
            let target = Target::file(&folder.at("stick"), &[]).unwrap();
            let options = flash::Options::default();
            let whole = flash::Image::Whole(image.image());
            for written in flash::write(whole, &[(&target, &Silent)], &options).unwrap() {
                assert_eq!(written.unwrap().size, long(composed.len()), "{name}");
            }
            assert_same(name, &folder.read("stick")[..composed.len()], &composed);
            std::fs::remove_file(folder.at("stick")).unwrap();
        });
    }
}

/// Whether an error is about the recipe or the image, and not about this program or the machine.
fn blames_what_was_given(fault: &Error) -> bool {
    let of_recipe = matches!(fault, Error::Usage { .. } | Error::Recipe { .. } | Error::Key(_));
    of_recipe
        || matches!(fault, Error::Unsupported { .. } | Error::NoRoom { .. } | Error::FullEsp { .. })
}
