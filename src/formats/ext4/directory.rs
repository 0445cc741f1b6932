//! Blocks of directories (`directory.rst`, `struct ext4_dir_entry_2` and `ext4_dir_entry_tail`). A hashed
//! directory reads as a plain list, too: its index hides behind entries that are not in use.

use super::crc32c;
use crate::formats::Malformed;
use crate::units::in_memory;

/// Bytes of an entry before its name.
const HEAD: usize = 8;

/// Bytes of the record at the end that has the checksum, and what marks it.
const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xde;

/// The longest name.
pub const LONGEST_NAME: usize = 255;

/// A name in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The inode; 0 if the entry is not in use.
    pub inode: u64,
    /// The name.
    pub name: Vec<u8>,
    /// Where the entry stands in its block.
    at: usize,
    /// Its bytes, up to the next one.
    length: usize,
}

/// All entries of a block, those not in use as well.
pub fn entries(block: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < block.len() {
        let entry = entry(block, at).ok_or_else(|| {
            let place = u64::try_from(at).unwrap_or_default();
            Malformed::new("ext4 directory", place, "an entry that does not fit", "one that does")
        })?;
        at = at.saturating_add(entry.length);
        found.push(entry);
    }
    Ok(found)
}

fn entry(block: &[u8], at: usize) -> Option<Entry> {
    let rest = block.get(at..)?;
    let (inode, after) = rest.split_first_chunk::<4>()?;
    let (length, after) = after.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (name_length, after) = after.split_first()?;
    let name_length = usize::from(*name_length);
    let name = after.get(1..)?.get(..name_length)?.to_vec();
    let fits = length.is_multiple_of(4)
        && length >= HEAD.checked_add(name_length)?
        && length <= rest.len();
    fits.then_some(Entry { inode: u32::from_le_bytes(*inode).into(), name, at, length })
}

/// Bytes that an entry with this name takes.
fn needed(name: &[u8]) -> usize {
    HEAD.saturating_add(name.len()).next_multiple_of(4)
}

impl Entry {
    /// Bytes of it that are not needed.
    fn spare(&self) -> usize {
        let own = if self.inode == 0 { 0 } else { needed(&self.name) };
        self.length.saturating_sub(own)
    }
}

/// Puts a name into a block that has room for it; false if it has not.
pub fn insert(
    block: &mut [u8],
    name: &[u8],
    inode: u64,
    file_type: u8,
    seed: Option<u32>,
) -> Result<bool, Malformed> {
    let end = if seed.is_some() { block.len().saturating_sub(TAIL) } else { block.len() };
    let entries = entries(block)?;
    let wanted = needed(name);
    let Some(found) = entries.iter().find(|entry| entry.at < end && entry.spare() >= wanted) else {
        return Ok(false);
    };
    let own = found.length.saturating_sub(found.spare());
    if own > 0 {
        put(block, found.at.saturating_add(4), &short(own));
    }
    let at = found.at.saturating_add(own);
    write(block, at, found.spare(), (name, inode, file_type));
    sign(block, seed);
    Ok(true)
}

/// Gives the entry of a name another inode; false if the block does not have it.
pub fn replace(
    block: &mut [u8],
    name: &[u8],
    inode: u64,
    file_type: u8,
    seed: Option<u32>,
) -> Result<bool, Malformed> {
    let entries = entries(block)?;
    let Some(found) = entries.iter().find(|entry| entry.inode != 0 && entry.name == name) else {
        return Ok(false);
    };
    write(block, found.at, found.length, (name, inode, file_type));
    sign(block, seed);
    Ok(true)
}

/// A block without names.
pub fn empty(size: u64, seed: Option<u32>) -> Vec<u8> {
    let mut block = vec![0; in_memory(size)];
    let end = end_of(&block, seed);
    put(&mut block, 4, &short(end));
    finish(&mut block, seed);
    block
}

/// The first block of a new directory.
pub fn first(size: u64, own: u64, parent: u64, seed: Option<u32>) -> Vec<u8> {
    const DIRECTORY: u8 = 2;
    let mut block = vec![0; in_memory(size)];
    let rest = end_of(&block, seed).saturating_sub(12);
    write(&mut block, 0, 12, (b".", own, DIRECTORY));
    write(&mut block, 12, rest, (b"..", parent, DIRECTORY));
    finish(&mut block, seed);
    block
}

/// The block of a hashed directory as one of a plain list: its index goes, its names stay.
pub fn plain(block: &mut Vec<u8>, number: u64, seed: Option<u32>) -> Result<(), Malformed> {
    let entries = entries(block)?;
    let size = u64::try_from(block.len()).unwrap_or_default();
    match entries.as_slice() {
        // The root of the index stands behind `..`, which reaches to the end of the block.
        [_, parent] if number == 0 => {
            let rest = end_of(block, seed).saturating_sub(parent.at);
            put(block, parent.at.saturating_add(4), &short(rest));
            finish(block, seed);
        }
        // A node of the index stands in an entry as long as the block.
        [node] if node.inode == 0 => *block = empty(size, seed),
        _ => {}
    }
    Ok(())
}

/// Whether a block has the checksum it should have. Blocks of a hashed directory's index have another one.
pub fn is_intact(block: &[u8], seed: Option<u32>) -> bool {
    let Some(seed) = seed else { return true };
    let Some((body, tail)) = block.split_at_checked(block.len().saturating_sub(TAIL)) else {
        return false;
    };
    tail == tail_of(crc32c(seed, body))
}

fn end_of(block: &[u8], seed: Option<u32>) -> usize {
    if seed.is_some() { block.len().saturating_sub(TAIL) } else { block.len() }
}

/// Makes the record at the end, where there is to be one.
fn finish(block: &mut [u8], seed: Option<u32>) {
    if seed.is_some() {
        let at = block.len().saturating_sub(TAIL);
        put(block, at, &tail_of(0));
    }
    sign(block, seed);
}

fn sign(block: &mut [u8], seed: Option<u32>) {
    let Some(seed) = seed else { return };
    let at = block.len().saturating_sub(TAIL);
    let checksum = crc32c(seed, block.get(..at).unwrap_or_default());
    put(block, at, &tail_of(checksum));
}

fn tail_of(checksum: u32) -> [u8; TAIL] {
    let [a, b, c, d] = checksum.to_le_bytes();
    [0, 0, 0, 0, 12, 0, 0, TAIL_TYPE, a, b, c, d]
}

fn write(block: &mut [u8], at: usize, length: usize, new: (&[u8], u64, u8)) {
    let (name, inode, file_type) = new;
    let inode = u32::try_from(inode).unwrap_or_default();
    let mut entry = inode.to_le_bytes().to_vec();
    entry.extend(short(length));
    entry.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    entry.push(file_type);
    entry.extend(name);
    put(block, at, &entry);
}

fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    let place = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..new.len()));
    if let Some(place) = place {
        place.copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(block: &[u8]) -> Vec<String> {
        let used = entries(block).unwrap().into_iter().filter(|entry| entry.inode != 0);
        used.map(|entry| String::from_utf8(entry.name).unwrap()).collect()
    }

    #[test]
    fn names_go_in_until_the_block_is_full_and_the_checksum_holds() {
        for seed in [None, Some(9)] {
            let mut block = first(1024, 12, 2, seed);
            let mut count = 0;
            while insert(&mut block, format!("name{count:04}").as_bytes(), 20, 1, seed).unwrap() {
                count += 1;
                assert!(is_intact(&block, seed));
            }
            // 12 bytes for `.`, 12 for `..`, 16 for each name.
            assert_eq!(count, if seed.is_some() { 61 } else { 62 });
            assert_eq!(names(&block).len(), count + 2);
            assert!(replace(&mut block, b"name0007", 30, 7, seed).unwrap());
            assert!(!replace(&mut block, b"name9999", 30, 7, seed).unwrap());
            assert!(is_intact(&block, seed));
            assert_eq!(entries(&block).unwrap()[9].inode, 30);
        }
    }

    #[test]
    fn an_unused_entry_is_taken() {
        let mut block = empty(1024, Some(1));
        assert!(insert(&mut block, b"a", 11, 1, Some(1)).unwrap());
        assert_eq!(names(&block), ["a"]);
        assert!(is_intact(&block, Some(1)));
    }

    #[test]
    fn an_index_becomes_a_plain_list() {
        for seed in [None, Some(1)] {
            let mut root = first(1024, 12, 2, None);
            root[40..48].fill(7);
            plain(&mut root, 0, seed).unwrap();
            assert_eq!(names(&root), [".", ".."]);
            assert!(is_intact(&root, seed) && insert(&mut root, b"a", 11, 1, seed).unwrap());
            let mut node = empty(1024, None);
            node[8..16].fill(7);
            plain(&mut node, 3, seed).unwrap();
            assert_eq!(node, empty(1024, seed));
        }
    }

    #[test]
    fn entries_that_do_not_fit_are_refused() {
        for (at, byte) in [(4, 0), (4, 7), (6, 255), (5, 0xff)] {
            let mut block = first(1024, 12, 2, None);
            block[at] = byte;
            assert!(entries(&block).is_err(), "{at}");
        }
        assert!(entries(&[0; 7]).is_err());
    }
}
