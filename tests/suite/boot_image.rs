//! A UEFI boot image without a free cluster, which must be replaced by a larger copy.

use std::io::{Cursor, Seek, SeekFrom, Write};

use remaster::image::ReadAt;
use remaster::iso::injected::IsoBase;
use remaster::iso::survey::boot_catalog::Platform;
use remaster::recipe::edits::InjectMethod;
use remaster::units::ByteRange;

use crate::support::{AARCH64, TINY, assert_same, bytes, edits, stamp, survey};

/// Where the boot image of an image is, by its boot catalog.
fn place(image: &[u8]) -> ByteRange {
    let boot = survey(image).boot;
    boot.iter().find(|entry| entry.platform == Platform::Uefi).unwrap().image
}

fn slice(at: ByteRange) -> std::ops::Range<usize> {
    at.start().try_into().unwrap()..at.end().try_into().unwrap()
}

/// A base with a boot image that is full to the last cluster, the menu's too.
pub(crate) fn full(base: &[u8]) -> Vec<u8> {
    let mut image = base.to_vec();
    let at = slice(place(base));
    let mut esp = Cursor::new(image[at.clone()].to_vec());
    {
        let volume = fatfs::FileSystem::new(&mut esp, fatfs::FsOptions::new()).unwrap();
        let mut menu = volume.root_dir().open_file("EFI/BOOT/grub.cfg").unwrap();
        let end = menu.seek(SeekFrom::End(0)).unwrap();
        let missing = end.next_multiple_of(volume.cluster_size().into()) - end;
        menu.write_all(&vec![b'\n'; missing.try_into().unwrap()]).unwrap();
        menu.flush().unwrap();
        let free = volume.stats().unwrap().free_clusters() * volume.cluster_size();
        let mut filler = volume.root_dir().create_file("filler").unwrap();
        filler.write_all(&vec![7; free.try_into().unwrap()]).unwrap();
        filler.flush().unwrap();
        assert_eq!(volume.stats().unwrap().free_clusters(), 0);
    }
    image[at].copy_from_slice(esp.get_ref());
    image
}

#[test]
fn a_full_boot_image_gets_a_larger_copy_and_all_that_names_it_names_that() {
    for base in [&*TINY, &*AARCH64] {
        let base = full(base);
        let stamped = stamp(&base, &edits(1, InjectMethod::ExtraInitrd));
        let (was, is) = (place(&base), place(&stamped));
        assert!(is.start() >= base.len().try_into().unwrap() && is.size() > was.size());
        assert_same("the old one", &stamped[slice(was)], &base[slice(was)]);
        let facts = survey(&stamped);
        let named = facts.tree().file("/boot/efi.img").unwrap();
        assert_eq!(named.extents, [is]);
        let partitions = facts
            .partitions
            .ranges()
            .unwrap()
            .into_iter()
            .filter(|range| range.start() == is.start());
        let expected = if survey(&base).partitions.is_empty() { 0 } else { 2 };
        assert_eq!(partitions.count(), expected);
        assert!(
            facts.partitions.ranges().unwrap().iter().all(|range| range.start() != was.start())
        );
        let below = IsoBase::open(stamped.as_slice()).unwrap();
        assert_same("the base below", &bytes(&below.image), &base);
        assert_eq!(below.image.size(), base.size());
    }
}

#[test]
fn a_full_boot_image_stays_where_no_menu_changes() {
    let base = full(&TINY);
    let stamped = stamp(&base, &edits(1, InjectMethod::MergeInitrd));
    assert_eq!(place(&stamped), place(&base));
}
