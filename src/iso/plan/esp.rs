//! The UEFI boot image with other menus: changed where it is, or, if they do not fit, in a copy behind
//! the base that has more clusters.

use crate::checked;
use crate::error::{Error, Result};
use crate::formats::fat::Layout;
use crate::image::patched::{Patch, PatchedImage, Source};
use crate::image::scratch::Scratch;
use crate::image::space::{Allocator, location};
use crate::image::{ReadAt, past_64_bits};
use crate::iso::survey::boot_catalog::ElToritoEntry;
use crate::iso::survey::esp::Esp;
use crate::units::{ByteRange, DISK_BLOCK, u64_len};

/// Bytes before the first cluster; official images have 24 KB of them, 32 bits wide ones some MB.
const LARGEST_HEAD: u64 = 16 << 20;

/// A menu: its path in the boot image, and its text.
pub type Menu<'a> = (&'a str, &'a str);

/// A boot image with its changes.
#[derive(Debug)]
pub struct Changed {
    /// Where it is now.
    pub at: ByteRange,
    /// All bytes of it that change, or all of the copy.
    pub patches: Vec<Patch>,
}

/// Gives the menus of the boot image at `at` other texts. A copy starts at a multiple of `block`.
pub fn changed<I: ReadAt>(
    image: &I,
    at: ByteRange,
    menus: &[Menu<'_>],
    tail: &mut Allocator,
    block: u64,
) -> Result<Changed> {
    let mut scratch = Scratch::new(image, at);
    let sizes: Vec<(&str, u64)> =
        menus.iter().map(|(path, text)| (*path, u64_len(text.as_bytes()))).collect();
    let missing = Esp::open(&mut scratch)?.missing(&sizes)?;
    if missing == 0 {
        return Ok(Changed { at, patches: replaced(Scratch::new(image, at), menus)? });
    }
    let (to, copy) = copy(image, at, missing, tail, block)?;
    let copied = PatchedImage::whole(image).with(copy, tail.end())?;
    let menus = replaced(Scratch::new(&copied, to), menus)?;
    let all = copied.with(menus, tail.end())?;
    // what the pieces of the copy are made of is counted in the base
    let ours = all.pieces().iter().filter(|piece| piece.at.common(to).is_some());
    let patch = |piece: &crate::image::patched::Piece| Patch {
        at: piece.at,
        from: piece.from.clone(),
        why: "the UEFI boot image".into(),
    };
    Ok(Changed { at: to, patches: ours.map(patch).collect() })
}

fn replaced<I: ReadAt>(mut scratch: Scratch<'_, I>, menus: &[Menu<'_>]) -> Result<Vec<Patch>> {
    let esp = Esp::open(&mut scratch)?;
    for (path, text) in menus {
        esp.replace(path, text.as_bytes())?;
    }
    esp.close()?;
    scratch.patches("the UEFI boot image")
}

/// A copy with room for `missing` bytes more, and where it is.
fn copy<I: ReadAt>(
    image: &I,
    at: ByteRange,
    missing: u64,
    tail: &mut Allocator,
    block: u64,
) -> Result<(ByteRange, Vec<Patch>)> {
    const WHAT: &str = "the UEFI boot image";
    let sector = checked::range(at.start(), at.size().min(DISK_BLOCK), WHAT)?;
    let sector = image.read_range(WHAT, sector, DISK_BLOCK)?;
    let old = Layout::parse(&sector).map_err(|fault| fault.in_image(at.start()))?;
    let full = || Error::FullEsp {
        what: format!("{WHAT}, a {:?} filesystem that cannot have more clusters", old.kind()),
        needed: missing,
        free: 0,
    };
    let more = missing.div_ceil(old.cluster());
    let new = old.grown(more).ok_or_else(full)?;
    let old_size = old.head_size().ok_or_else(full)?;
    let head = ByteRange::new(at.start(), old_size).ok_or_else(|| past_64_bits(at.start()))?;
    let bytes = image.read_range(WHAT, head, LARGEST_HEAD)?;
    let bytes = old.head(&bytes, &new).ok_or_else(full)?;

    tail.align(block)?;
    let to = tail.take(new.size())?;
    let new_head = checked::range(to.start(), u64_len(&bytes), WHAT)?;
    let data = checked::range(new_head.end(), old.data_size(), WHAT)?;
    let rest = checked::between(data.end(), to.end(), WHAT)?;
    let patch = |at, from| Patch { at, from, why: WHAT.into() };
    let patches = vec![
        patch(new_head, Source::Bytes(bytes.into())),
        patch(data, Source::Base(head.end())),
        patch(rest, Source::Zeros),
    ];
    Ok((to, patches))
}

/// The boot catalog's entry for an image that was moved. Where it counted the blocks of the old one, or
/// said 0 as xorriso does if 16 bits are too few, it does so for the new one.
pub fn entry<I: ReadAt>(image: &I, entry: &ElToritoEntry, to: ByteRange) -> Result<Patch> {
    const WHAT: &str = "El Torito boot catalog";
    let mut bytes = image.read_range(WHAT, entry.entry, entry.entry.size())?;
    // A file has whole blocks of 2048 bytes; the entry counts blocks of 512 bytes.
    let blocks = |range: ByteRange| {
        let blocks = range.size().next_multiple_of(2048).div_ceil(DISK_BLOCK);
        u16::try_from(blocks).unwrap_or(0)
    };
    let fault =
        || Error::malformed(WHAT, entry.entry.start(), "another entry", "the UEFI boot image's");
    let old = location(entry.image)?.to_le_bytes();
    let count =
        if entry.sector_count == blocks(entry.image) { blocks(to) } else { entry.sector_count };
    // Sector Count, and behind it Load RBA (El Torito 1.0 §2.2).
    bytes.get_mut(6..8).ok_or_else(fault)?.copy_from_slice(&count.to_le_bytes());
    let place = bytes.get_mut(8..12).filter(|place| **place == old).ok_or_else(fault)?;
    place.copy_from_slice(&location(to)?.to_le_bytes());
    Patch::bytes(entry.entry.start(), bytes, WHAT)
}
