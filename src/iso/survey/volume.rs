//! The Volume Descriptor Set: which hierarchies there are, how large the volume is, what it is called.

use crate::error::{Error, Result};
use crate::formats::iso9660::Hierarchy;
use crate::formats::iso9660::volume_descriptor::{
    FIRST, PRIMARY, SUPPLEMENTARY, TERMINATOR, VolumeDescriptor, text,
};
use crate::image::{ReadAt, past_64_bits};
use crate::iso::survey::located::Located;
use crate::iso::survey::tree::Tree;
use crate::units::{ByteRange, LOGICAL_BLOCK, Lbn};

/// Descriptors looked at before a set without terminator is given up.
const LONGEST_SET: u32 = 64;

/// The descriptors of a volume that point to hierarchies.
#[derive(Clone, Debug)]
pub struct Volume {
    /// The Primary Volume Descriptor.
    pub primary: Located<VolumeDescriptor>,
    /// The Supplementary Volume Descriptor of Joliet.
    pub joliet: Option<Located<VolumeDescriptor>>,
    /// The same of a second set, if there is one: xorriso begins a volume at block 32 where it may add to it,
    /// and puts a copy of the descriptors in the first place.
    pub second: Vec<Located<VolumeDescriptor>>,
}

/// Blocks that a second set stands behind the first. A volume is that much shorter by it: it counts from where
/// its session begins.
pub(crate) const SESSION: u32 = 32;

const SECOND: u32 = FIRST + SESSION;

impl Volume {
    /// Reads the Volume Descriptor Set and checks it against itself and the image.
    pub fn read(image: &impl ReadAt) -> Result<Self> {
        let (primary, joliet) = set(image, FIRST)?;
        let second = Vec::new();
        let volume = Self { primary: primary.ok_or_else(no_primary)?, joliet, second };
        volume.hierarchies().try_for_each(|(_, found)| check(found, image.size()))?;
        Ok(volume)
    }

    /// Reads the second set, if there is one. In a file it is that of another image, which the file is.
    pub(crate) fn find_second(&mut self, image: &impl ReadAt, tree: &Tree) -> Result<()> {
        let first = match descriptor(image, Lbn(SECOND)) {
            Err(fault @ Error::Io { .. }) => return Err(fault),
            Err(_) => return Ok(()),
            Ok(first) => first,
        };
        let mut extents = tree.nodes.values().flat_map(|node| &node.extents);
        if extents.any(|extent| extent.common(first.at).is_some()) {
            return Ok(());
        }
        let (primary, joliet) = set(image, SECOND)?;
        if joliet.is_some() && (primary.is_none() || self.joliet.is_none()) {
            let what = format!("the second Volume Descriptor Set at byte {:#x}", first.at.start());
            return Err(Error::unsupported(what, "a copy of the first", "other descriptors"));
        }
        self.second = primary.into_iter().chain(joliet).collect();
        Ok(())
    }

    /// The hierarchies of the volume with the descriptors that point to them.
    pub fn hierarchies(&self) -> impl Iterator<Item = (Hierarchy, &Located<VolumeDescriptor>)> {
        let joliet = self.joliet.iter().map(|found| (Hierarchy::Joliet, found));
        [(Hierarchy::Primary, &self.primary)].into_iter().chain(joliet)
    }

    /// The label, as `nixos-minimal-25.11-x86_64`.
    pub fn identifier(&self) -> String {
        text(&self.primary.value.volume_identifier)
    }

    /// The label of the Joliet hierarchy, which has room for 16 characters.
    pub(crate) fn joliet_identifier(&self) -> Option<String> {
        let field = &self.joliet.as_ref()?.value.volume_identifier;
        let units: Vec<u16> =
            field.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
        Some(String::from_utf16_lossy(&units).trim_end_matches([' ', '\0']).to_owned())
    }

    /// Whether GRUB may find the volume by this label: that of the hierarchy it reads.
    pub(crate) fn is_called(&self, label: &str) -> bool {
        self.identifier() == label || self.joliet_identifier().is_some_and(|own| own == label)
    }

    /// What GRUB calls the volume in `search --fs-uuid`: when it was modified, as `2025-11-30-00-00-00-00` (GRUB
    /// `grub-core/fs/iso9660.c`, `grub_iso9660_uuid`).
    pub(crate) fn grub_uuid(&self) -> Option<String> {
        let digits = self.primary.value.modification_date_and_time.first_chunk::<16>()?;
        let digits = str::from_utf8(digits).ok().filter(|text| text.is_ascii())?;
        let (year, rest) = digits.split_at_checked(4)?;
        let pairs = rest.as_bytes().as_chunks::<2>().0.iter();
        let pairs = pairs.map(|pair| pair.map(char::from).into_iter().collect::<String>());
        Some([year.to_owned()].into_iter().chain(pairs).collect::<Vec<_>>().join("-"))
    }

    /// The application, `NIXOS` on official images.
    pub fn application(&self) -> String {
        text(&self.primary.value.application_identifier)
    }

    /// Bytes of the volume.
    pub fn size(&self) -> u64 {
        // A volume with two sizes that differ was refused.
        self.primary.value.volume_space_size.get().map_or(0, |blocks| Lbn(blocks).bytes())
    }
}

type Set = (Option<Located<VolumeDescriptor>>, Option<Located<VolumeDescriptor>>);

/// The descriptors of a set that begins at a block.
fn set(image: &impl ReadAt, first: u32) -> Result<Set> {
    let (mut primary, mut joliet) = (None, None);
    for (number, _) in (first..).zip(0..LONGEST_SET) {
        let found = descriptor(image, Lbn(number))?;
        match found.value.volume_descriptor_type {
            PRIMARY if primary.is_none() => primary = Some(found),
            SUPPLEMENTARY if found.value.is_joliet() && joliet.is_none() => joliet = Some(found),
            PRIMARY | SUPPLEMENTARY => return Err(unknown(&found)),
            TERMINATOR => break,
            _ => {}
        }
    }
    Ok((primary, joliet))
}

fn descriptor(image: &impl ReadAt, at: Lbn) -> Result<Located<VolumeDescriptor>> {
    let range =
        ByteRange::new(at.bytes(), LOGICAL_BLOCK).ok_or_else(|| past_64_bits(at.bytes()))?;
    let block = image.read_range("Volume Descriptor", range, LOGICAL_BLOCK)?;
    let value = VolumeDescriptor::parse(&block).map_err(|fault| fault.in_image(range.start()))?;
    Ok(Located { at: range, value })
}

fn unknown(found: &Located<VolumeDescriptor>) -> Error {
    let value = &found.value;
    let what = format!("Volume Descriptor at byte {:#x}", found.at.start());
    let kind = format!(
        "type {} version {}",
        value.volume_descriptor_type, value.volume_descriptor_version
    );
    Error::unsupported(what, "one Primary and at most one Joliet descriptor", kind)
}

fn no_primary() -> Error {
    Error::malformed(
        "Volume Descriptor Set",
        Lbn(FIRST).bytes(),
        "no Primary Volume Descriptor",
        "one",
    )
}

fn check(found: &Located<VolumeDescriptor>, size: u64) -> Result<()> {
    let (at, value) = (found.at.start(), &found.value);
    let fault = |offset: u64, found: String, expected: &str| {
        Err(Error::malformed("Volume Descriptor", at.saturating_add(offset), found, expected))
    };
    match value.logical_block_size.get() {
        Some(2048) => {}
        Some(other) => {
            let found = format!("logical blocks of {other} bytes");
            return Err(Error::unsupported("the volume", "logical blocks of 2048 bytes", found));
        }
        None => return fault(128, "a block size whose two records differ".into(), "one number"),
    }
    let Some(blocks) = value.volume_space_size.get() else {
        return fault(80, "a Volume Space Size whose two records differ".into(), "one number");
    };
    let volume = Lbn(blocks).bytes();
    if volume > size {
        let expected = format!("{volume} bytes, as the volume says: the image is cut off");
        return fault(80, format!("an image of {size} bytes"), &expected);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso::survey::tree::{Kind, Node};

    /// An image with these bytes at the start of blocks.
    fn image(blocks: &[(usize, &[u8])]) -> Vec<u8> {
        let mut all = vec![vec![0; 2048]; 64];
        for (number, bytes) in blocks {
            let block = all.get_mut(*number).unwrap();
            *block = [bytes, &vec![0; 2048][bytes.len()..]].concat();
        }
        all.concat()
    }

    fn second(blocks: &[(usize, &[u8])], file: (u64, u64)) -> Result<Vec<u64>> {
        let image = image(blocks);
        let descriptor = descriptor(&image, Lbn(48)).unwrap();
        let extent = ByteRange::new(file.0, file.1).unwrap();
        let node = Node { kind: Kind::File, record: 0, extents: vec![extent] };
        let tree = Tree { hierarchy: Hierarchy::Primary, nodes: [("/x".into(), node)].into() };
        let mut volume = Volume { primary: descriptor, joliet: None, second: Vec::new() };
        volume.find_second(&image, &tree)?;
        Ok(volume.second.iter().map(|found| found.at.start()).collect())
    }

    #[test]
    fn a_second_set_is_that_of_the_volume_and_not_of_a_file() {
        const PRIMARY: &[u8] = b"\x01CD001\x01";
        const END: &[u8] = b"\xffCD001\x01";
        let nowhere = (60 * 2048, 2048);
        assert_eq!(second(&[(48, PRIMARY), (49, END)], nowhere).unwrap(), [48 * 2048]);
        assert!(second(&[(48, PRIMARY), (49, END)], (40 * 2048, 10 * 2048)).unwrap().is_empty());
        assert!(second(&[(48, END)], nowhere).unwrap().is_empty());
        // Sets that are not the first one's copies are not passed over.
        let fault = second(&[(48, PRIMARY), (49, PRIMARY), (50, END)], nowhere).unwrap_err();
        assert!(fault.to_string().contains("at byte 0x18800"), "{fault}");
        assert!(second(&[(48, PRIMARY)], nowhere).is_err());
    }

    #[test]
    fn so_many_descriptors_of_a_set_are_looked_at() {
        let descriptor = |kind: u8| [&[kind][..], b"CD001\x01", &[0; 2041]].concat();
        for (before, is_found) in [(63, true), (64, false)] {
            let image = [descriptor(3).repeat(before), descriptor(PRIMARY)].concat();
            let image = [image, descriptor(TERMINATOR)].concat();
            assert_eq!(set(&image, 0).unwrap().0.is_some(), is_found, "{before}");
        }
    }
}
