//! Blocks of directories (`directory.rst`, `struct ext4_dir_entry_2` and `ext4_dir_entry_tail`). A hashed
//! directory reads as a plain list, too: its index hides behind entries that are not in use.

use super::crc32c;
use crate::checked;
use crate::error::Result;
use crate::formats::Malformed;
use crate::units::{u64_len, u64_of, usize_of};

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
    /// Where the next one stands.
    end: usize,
}

/// All entries of a block, those not in use as well.
pub fn entries(block: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < block.len() {
        let entry = entry(block, at).ok_or_else(|| {
            let found = "an entry that ends past the block";
            Malformed::new("ext4 directory", u64_of(at), found, "one within it")
        })?;
        at = entry.end;
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
    let (inode, end) = (u32::from_le_bytes(*inode).into(), at.checked_add(length)?);
    fits.then_some(Entry { inode, name, at, length, end })
}

/// Bytes that an entry with this name takes.
fn needed(name: &[u8]) -> Result<usize> {
    Ok(checked::sum(HEAD, name.len(), "an entry of a directory")?.next_multiple_of(4))
}

impl Entry {
    /// Bytes of it that are needed, and those that are not.
    fn parts(&self) -> Result<(usize, usize)> {
        let own = if self.inode == 0 { 0 } else { needed(&self.name)? };
        Ok((own, checked::difference(self.length, own, "the room of an entry")?))
    }
}

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The inode.
    pub inode: u64,
    /// What it is, as directories say it.
    pub file_type: u8,
}

/// A block of a directory that changes.
#[derive(Debug)]
pub struct Block<'a> {
    /// Its bytes.
    pub bytes: &'a mut Vec<u8>,
    /// Where it stands in the image.
    pub at: u64,
    /// The seed of its checksum, if it has one.
    pub seed: Option<u32>,
}

impl Block<'_> {
    fn entries(&self) -> Result<Vec<Entry>> {
        entries(self.bytes).map_err(|fault| fault.in_image(self.at))
    }

    /// Puts a name in, if there is room for it; false if there is none.
    pub fn insert(&mut self, name: &[u8], to: Target) -> Result<bool> {
        let end = end_of(self.bytes, self.seed)?;
        let wanted = needed(name)?;
        for entry in self.entries()?.iter().filter(|entry| entry.at < end) {
            let (own, spare) = entry.parts()?;
            if spare < wanted {
                continue;
            }
            if own > 0 {
                set_length(self.bytes, entry.at, own)?;
            }
            let at = checked::sum(entry.at, own, "the place of an entry")?;
            write(self.bytes, at, spare, (name, to))?;
            sign(self.bytes, self.seed)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Has a name lead to something else; false if it is not there.
    pub fn replace(&mut self, name: &[u8], to: Target) -> Result<bool> {
        let entries = self.entries()?;
        let Some(found) = entries.iter().find(|entry| entry.inode != 0 && entry.name == name)
        else {
            return Ok(false);
        };
        write(self.bytes, found.at, found.length, (name, to))?;
        sign(self.bytes, self.seed)?;
        Ok(true)
    }

    /// Makes block `number` of a hashed directory one of a plain list: its index goes, its names stay.
    pub(crate) fn make_plain(&mut self, number: u64) -> Result<()> {
        match self.entries()?.as_slice() {
            // The root of the index stands behind `..`, which reaches to the end of the block.
            [_, parent] if number == 0 => {
                let end = end_of(self.bytes, self.seed)?;
                let rest = checked::difference(end, parent.at, "the room of an entry")?;
                set_length(self.bytes, parent.at, rest)?;
                sign(self.bytes, self.seed)?;
            }
            // A node of the index stands in an entry as long as the block.
            [node] if node.inode == 0 => *self.bytes = empty(u64_len(self.bytes), self.seed)?,
            _ => {}
        }
        Ok(())
    }
}

/// A block without names.
pub fn empty(size: u64, seed: Option<u32>) -> Result<Vec<u8>> {
    let mut block = vec![0; usize_of(size)];
    let end = end_of(&block, seed)?;
    set_length(&mut block, 0, end)?;
    sign(&mut block, seed)?;
    Ok(block)
}

/// The first block of a new directory.
pub fn first(size: u64, own: u64, parent: u64, seed: Option<u32>) -> Result<Vec<u8>> {
    let directory = |inode| Target { inode, file_type: 2 };
    let mut block = vec![0; usize_of(size)];
    let rest = checked::difference(end_of(&block, seed)?, 12, "the room of an entry")?;
    write(&mut block, 0, 12, (b".", directory(own)))?;
    write(&mut block, 12, rest, (b"..", directory(parent)))?;
    sign(&mut block, seed)?;
    Ok(block)
}

/// Whether a block has the checksum it should have. Blocks of a hashed directory's index have another one.
pub fn is_intact(block: &[u8], seed: Option<u32>) -> bool {
    let Some(seed) = seed else { return true };
    let Some((body, tail)) = block.split_last_chunk::<TAIL>() else { return false };
    *tail == tail_of(crc32c(seed, body))
}

/// Where the entries of a block end.
fn end_of(block: &[u8], seed: Option<u32>) -> Result<usize> {
    let tail = if seed.is_some() { TAIL } else { 0 };
    checked::difference(block.len(), tail, "the end of a directory block")
}

/// Makes the record at the end, where there is to be one.
fn sign(block: &mut [u8], seed: Option<u32>) -> Result<()> {
    let Some(seed) = seed else { return Ok(()) };
    let parts = block.split_last_chunk_mut::<TAIL>();
    let (body, tail) = checked::present(parts, "the end of a directory block")?;
    *tail = tail_of(crc32c(seed, body));
    Ok(())
}

fn tail_of(checksum: u32) -> [u8; TAIL] {
    let [a, b, c, d] = checksum.to_le_bytes();
    [0, 0, 0, 0, 12, 0, 0, TAIL_TYPE, a, b, c, d]
}

/// Writes an entry that takes `length` bytes.
fn write(block: &mut [u8], at: usize, length: usize, new: (&[u8], Target)) -> Result<()> {
    let (name, Target { inode, file_type }) = new;
    let inode = checked::present(u32::try_from(inode).ok(), "an inode's number of 32 bits")?;
    let mut entry = inode.to_le_bytes().to_vec();
    entry.extend(short(length)?);
    entry.push(checked::present(u8::try_from(name.len()).ok(), "a name of at most 255 bytes")?);
    entry.push(file_type);
    entry.extend(name);
    put(block, at, &entry)
}

/// Says how many bytes the entry at a place takes.
fn set_length(block: &mut [u8], at: usize, length: usize) -> Result<()> {
    let at = checked::sum(at, 4, "the length of an entry")?;
    put(block, at, &short(length)?)
}

fn short(number: usize) -> Result<[u8; 2]> {
    let number = u16::try_from(number).ok();
    Ok(checked::present(number, "a length of 16 bits")?.to_le_bytes())
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) -> Result<()> {
    let rest = checked::part_mut(bytes, at.., "an entry of a directory")?;
    checked::part_mut(rest, ..new.len(), "an entry of a directory")?.copy_from_slice(new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Target = Target { inode: 11, file_type: 1 };

    fn changing(bytes: &mut Vec<u8>, seed: Option<u32>) -> Block<'_> {
        Block { bytes, at: 0, seed }
    }

    fn names(block: &[u8]) -> Vec<String> {
        let used = entries(block).unwrap().into_iter().filter(|entry| entry.inode != 0);
        used.map(|entry| String::from_utf8(entry.name).unwrap()).collect()
    }

    #[test]
    fn names_go_in_until_the_block_is_full_and_the_checksum_holds() {
        for seed in [None, Some(9)] {
            let mut block = first(1024, 12, 2, seed).unwrap();
            let mut count = 0;
            let to = Target { inode: 20, file_type: 1 };
            while changing(&mut block, seed)
                .insert(format!("name{count:04}").as_bytes(), to)
                .unwrap()
            {
                count += 1;
                assert!(is_intact(&block, seed));
            }
            assert!(seed.is_none() || !is_intact(&block, Some(10)));
            // 12 bytes for `.`, 12 for `..`, 16 for each name.
            assert_eq!(count, if seed.is_some() { 61 } else { 62 });
            assert_eq!(names(&block).len(), count + 2);
            let to = Target { inode: 30, file_type: 7 };
            assert!(changing(&mut block, seed).replace(b"name0007", to).unwrap());
            assert!(!changing(&mut block, seed).replace(b"name9999", to).unwrap());
            assert!(is_intact(&block, seed));
            assert_eq!(entries(&block).unwrap()[9].inode, 30);
        }
    }

    #[test]
    fn an_unused_entry_is_taken() {
        let mut block = empty(1024, Some(1)).unwrap();
        assert!(changing(&mut block, Some(1)).insert(b"a", FILE).unwrap());
        assert_eq!(names(&block), ["a"]);
        assert!(is_intact(&block, Some(1)));
    }

    #[test]
    fn an_index_becomes_a_plain_list() {
        for seed in [None, Some(1)] {
            let mut root = first(1024, 12, 2, None).unwrap();
            root[40..48].fill(7);
            changing(&mut root, seed).make_plain(0).unwrap();
            assert_eq!(names(&root), [".", ".."]);
            assert!(is_intact(&root, seed));
            assert!(changing(&mut root, seed).insert(b"a", FILE).unwrap());
            let mut node = empty(1024, None).unwrap();
            node[8..16].fill(7);
            changing(&mut node, seed).make_plain(3).unwrap();
            assert_eq!(node, empty(1024, seed).unwrap());
        }
    }

    #[test]
    fn entries_that_do_not_fit_are_refused() {
        for (at, byte) in [(4, 0), (4, 7), (6, 255), (5, 0xff)] {
            let mut block = first(1024, 12, 2, None).unwrap();
            block[at] = byte;
            assert!(entries(&block).is_err(), "{at}");
        }
        assert!(entries(&[0; 7]).is_err());
    }
}
