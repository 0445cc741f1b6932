//! Archives of ours behind an lz4 initrd of any size: the kernel unpacks them, whichever way they come.

use std::collections::BTreeMap;

use remaster::formats::boot_config::volume_path;
use remaster::formats::newc::{self, Member, Next};
use remaster::image::ImageFile;
use remaster::iso::survey::nixos::initrd_place;
use remaster::netboot::installer;
use remaster::netboot::tree::Tree;
use remaster::recipe::edits::{Edits, InjectMethod};
use remaster::stamp::base_image::BaseImage;
use remaster::units::usize_of;

use crate::netboot::{entries, kexec};
use crate::support::{TINY, bytes, edits, stamp, survey};

/// What a legacy LZ4 frame starts with.
const LZ4: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Whether the kernel looks for an archive here.
fn is_aligned(at: usize) -> bool {
    at.is_multiple_of(4)
}

/// A legacy frame of bytes, of a size that leaves `remainder` when it is divided by 512.
fn lz4(bytes: &[u8], remainder: usize) -> Vec<u8> {
    let mut frame = LZ4.to_vec();
    let mut block = |packed: &[u8]| {
        frame.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
        frame.extend(packed);
    };
    block(&lz4_flex::block::compress(bytes));
    let missing = (remainder + (512 << 4) - frame.len()) % 512 + 512;
    // A block of a few zeros, which mean nothing behind an archive, and the magic number again and again,
    // which means nothing at all.
    let zeros = (0..5).find(|zeros: &u8| is_aligned(missing - usize::from(5 + zeros))).unwrap();
    let small = [vec![zeros << 4], vec![0; zeros.into()]].concat();
    frame.extend(u32::try_from(small.len()).unwrap().to_le_bytes());
    frame.extend(small);
    while frame.len() % 512 != remainder {
        frame.extend(LZ4);
    }
    frame
}

/// The size of the block or frame that follows in a legacy frame; none where the kernel lets it end
/// (Linux `lib/decompress_unlz4.c`).
fn block(rest: &[u8]) -> Option<[u8; 4]> {
    rest.first_chunk::<4>().copied().filter(|size| *size != [0; 4])
}

/// Paths of what the kernel unpacks, with what they are, or why it stops (Linux `init/initramfs.c`).
fn unpacked(initrd: &[u8]) -> Result<BTreeMap<String, Member>, String> {
    let (mut found, mut at) = (BTreeMap::new(), 0);
    let mut take = |member: Member| {
        found.insert(member.path.clone(), member);
        Next::Continue
    };
    while let Some(first) = initrd.get(at) {
        let mut rest = &initrd[at..];
        match first {
            0 => at += 1,
            b'0' if is_aligned(at) => {
                newc::read_one(&mut rest, u32::MAX, |_| true, &mut take)
                    .map_err(|fault| format!("byte {at:#x}: {fault}"))?;
                at = initrd.len() - rest.len();
            }
            _ if rest.starts_with(&LZ4) => {
                while let Some(size) = block(&initrd[at..]) {
                    at += 4;
                    if size == LZ4 {
                        continue;
                    }
                    let size = usize_of(u32::from_le_bytes(size).into());
                    let packed = initrd.get(at..at + size).ok_or(format!("byte {at:#x}: size"))?;
                    let archive = lz4_flex::block::decompress(packed, 8 << 20)
                        .map_err(|fault| format!("byte {at:#x}: {fault}"))?;
                    newc::read(archive.as_slice(), u32::MAX, |_| true, &mut take).unwrap();
                    at += size;
                }
            }
            _ => return Err(format!("byte {at:#x}: invalid magic")),
        }
    }
    Ok(found)
}

/// The image with its initrds packed by lz4, to sizes that leave `remainder`.
fn base(remainder: usize) -> Vec<u8> {
    let mut image = TINY.clone();
    let found = survey(&image);
    // Behind the last file there are only zeros up to the backup GPT.
    for (number, initrd) in (0..).zip(found.initrds(&TINY.as_slice()).unwrap()) {
        let old = usize_of(initrd.at.start())..usize_of(initrd.at.end());
        let new = lz4(&zstd::decode_all(&TINY[old]).unwrap(), remainder);
        let block = 240 + 20 * number;
        let place = &mut image[block * 2048..][..new.len()];
        assert!(new.len() < 20 * 2048 && place.iter().all(|byte| *byte == 0));
        place.copy_from_slice(&new);
        let record = |block: usize, size: usize| {
            let both = |number: usize| {
                let number = u32::try_from(number).unwrap();
                [number.to_le_bytes(), number.to_be_bytes()].concat()
            };
            [both(block), both(size)].concat()
        };
        let old = record(usize_of(initrd.at.start()) / 2048, usize_of(initrd.at.size()));
        let places: Vec<usize> =
            image.windows(16).enumerate().filter(|(_, at)| *at == old).map(|(at, _)| at).collect();
        assert_eq!(places.len(), 2, "one record in each hierarchy");
        for at in places {
            image[at..at + 16].copy_from_slice(&record(block, new.len()));
        }
    }
    image
}

/// What each kind of loader hands over for the first entry: its initrds, each filled up to a multiple of 4
/// (GRUB `grub-core/loader/linux.c`, SYSLINUX `com32/lib/syslinux/initramfs.c`).
fn loaded(image: &[u8]) -> Vec<u8> {
    let survey = survey(image);
    let mut all = Vec::new();
    for word in &survey.configs[0].entries[0].initrds {
        let at = initrd_place(survey.tree(), &volume_path(&word.text)).unwrap();
        all.extend(&image[usize_of(at.start())..usize_of(at.end())]);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    all
}

/// The initrd of a network boot of an image.
fn netboot(image: &[u8], edits: Option<&Edits>) -> Vec<u8> {
    bytes(&installer::build(&BaseImage::open(image).unwrap(), edits).unwrap().initrd)
}

/// The initrd of a tarball with edits in it.
fn tarball(tar: &[u8], edits: &Edits) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, tar).unwrap();
    let file = ImageFile::opened(file, "kexec.tar").unwrap();
    bytes(Tree::of_archive(&file).unwrap().archive(edits).unwrap().outgoing().image())
}

fn initrd_of(tar: &[u8]) -> Vec<u8> {
    entries(tar).into_iter().find(|entry| entry.0 == b"kexec/initrd").unwrap().5
}

/// Everything that is put in is among what the kernel unpacks.
fn is_whole(initrd: &[u8], edits: &Edits) -> Result<(), String> {
    let found = unpacked(initrd)?;
    let missing = edits.root.members().find(|member| {
        let path = format!("remaster/root/{}", member.path);
        found.get(&path) != Some(&Member { path: path.clone(), ..(*member).clone() })
    });
    missing.map_or(Ok(()), |member| Err(format!("no {}", member.path)))
}

/// How what is put in gets to the kernel.
#[derive(Clone, Copy, Debug)]
enum Route {
    Named,
    Appended,
    NamedThenAppended,
    AppendedThenNamed,
    NetworkBoot,
    NetworkBootOfStamped,
    Tarball,
    TarballAgain,
}

const ROUTES: [Route; 8] = [
    Route::Named,
    Route::Appended,
    Route::NamedThenAppended,
    Route::AppendedThenNamed,
    Route::NetworkBoot,
    Route::NetworkBootOfStamped,
    Route::Tarball,
    Route::TarballAgain,
];

/// What the kernel gets.
fn handed_over(route: Route, base: &[u8]) -> Vec<u8> {
    let (extra, merged) =
        (edits(1, InjectMethod::ExtraInitrd), edits(1, InjectMethod::MergeInitrd));
    let tar = || tarball(&kexec(&netboot(base, None)), &extra);
    match route {
        Route::Named => loaded(&stamp(base, &extra)),
        Route::Appended => loaded(&stamp(base, &merged)),
        Route::NamedThenAppended => loaded(&stamp(&stamp(base, &extra), &merged)),
        Route::AppendedThenNamed => loaded(&stamp(&stamp(base, &merged), &extra)),
        Route::NetworkBoot => netboot(base, Some(&extra)),
        Route::NetworkBootOfStamped => netboot(&stamp(base, &extra), None),
        Route::Tarball => initrd_of(&tar()),
        Route::TarballAgain => initrd_of(&tarball(&tar(), &extra)),
    }
}

#[test]
fn the_kernel_unpacks_what_is_put_behind_an_lz4_initrd_of_any_size() {
    let edits = edits(1, InjectMethod::ExtraInitrd);
    let fault = |remainder: usize, route: Route| {
        let initrd = handed_over(route, &base(remainder));
        let fault = is_whole(&initrd, &edits).err()?;
        Some(format!("{remainder} {route:?}: {fault}"))
    };
    // All routes where few zeros, or none, fill up to 4 or to 512; one after the other in between.
    let edges = (0..5).chain(508..512).flat_map(|size| ROUTES.map(|route| (size, route)));
    let others = (5..508).step_by(11).zip(ROUTES.into_iter().cycle());
    let faults: Vec<String> =
        edges.chain(others).filter_map(|(size, route)| fault(size, route)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn an_archive_right_behind_an_lz4_initrd_is_not_unpacked() {
    let edits = edits(1, InjectMethod::ExtraInitrd);
    let base = base(0);
    let stamped = loaded(&stamp(&base, &edits));
    let (initrd, ours) = stamped.split_at(loaded(&base).len());
    assert_eq!(is_whole(&[initrd, ours].concat(), &edits), Ok(()));
    for zeros in 0..4 {
        let shifted = [initrd, &vec![0; zeros], &ours[newc::SEAM..]].concat();
        assert!(is_whole(&shifted, &edits).is_err(), "{zeros} zeros");
    }
}
