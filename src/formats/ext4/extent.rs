//! Extent trees (`ifork.rst`, `fs/ext4/ext4_extents.h`): which blocks hold a file.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::inode::INLINE;
use super::{crc32c, long, words};
use crate::formats::Malformed;
use crate::units::{ByteRange, usize_of};

const MAGIC: u16 = 0xf30a;
const RECORD: usize = 12;

/// Levels below a root at the most.
pub const DEEPEST: u16 = 5;

/// Blocks in an extent at the most; longer ones are shorter and not written yet.
const LONGEST: u16 = 1 << 15;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: U16,
    entries: U16,
    max: U16,
    depth: U16,
    generation: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Leaf {
    block: U32,
    len: U16,
    start_hi: U16,
    start_lo: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Index {
    block: U32,
    leaf_lo: U32,
    leaf_hi: U16,
    unused: U16,
}

/// A run of blocks of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extent {
    /// The first block, counted in the file.
    pub logical: u64,
    /// The first block, counted in the filesystem.
    pub start: u64,
    /// How many.
    pub blocks: u64,
    /// Whether they hold what was written; else they read as zeros.
    pub written: bool,
}

/// A node of a tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Node {
    /// Extents.
    Leaf(Vec<Extent>),
    /// Blocks with nodes of this depth.
    Index(Vec<u64>, u16),
}

/// Reads a node.
pub fn node(bytes: &[u8]) -> Result<Node, Malformed> {
    let fault =
        |at, found: String, expected: &str| Malformed::new("ext4 extent tree", at, found, expected);
    let (header, rest) = Header::read_from_prefix(bytes)
        .map_err(|_| Malformed::short("ext4 extent tree", bytes, RECORD))?;
    if header.magic.get() != MAGIC {
        return Err(fault(0, format!("{:#x}", header.magic.get()), "the magic 0xf30a"));
    }
    let depth = header.depth.get();
    if depth > DEEPEST {
        return Err(fault(6, format!("a depth of {depth}"), "at most 5"));
    }
    let entries = usize::from(header.entries.get());
    let records = entries.checked_mul(RECORD).and_then(|length| rest.get(..length));
    let records = records.ok_or_else(|| {
        fault(2, format!("{entries} entries"), "as many as the node has room for")
    })?;
    let unread = || fault(12, "a cut entry".into(), "an extent");
    if depth == 0 {
        let leaves = <[Leaf]>::ref_from_bytes(records).map_err(|_| unread())?;
        return Ok(Node::Leaf(leaves.iter().map(extent).collect()));
    }
    let indices = <[Index]>::ref_from_bytes(records).map_err(|_| unread())?;
    let blocks = indices.iter().map(|index| long(index.leaf_lo.get(), index.leaf_hi.get().into()));
    Ok(Node::Index(blocks.collect(), depth.saturating_sub(1)))
}

fn extent(leaf: &Leaf) -> Extent {
    let length = leaf.len.get();
    let (blocks, written) =
        if length <= LONGEST { (length, true) } else { (length.saturating_sub(LONGEST), false) };
    Extent {
        logical: leaf.block.get().into(),
        start: long(leaf.start_lo.get(), leaf.start_hi.get().into()),
        blocks: blocks.into(),
        written,
    }
}

/// Extents as they are written: none longer than one may be, those that follow each other joined. None if
/// a number is too large.
pub fn joined_up(extents: &[Extent]) -> Option<Vec<Extent>> {
    let mut found: Vec<Extent> = Vec::new();
    for extent in extents {
        let mut rest = *extent;
        if let Some(last) = found.last_mut() {
            let follows = last.logical.checked_add(last.blocks)? == rest.logical
                && last.start.checked_add(last.blocks)? == rest.start
                && last.written == rest.written;
            let room = u64::from(LONGEST).checked_sub(1)?.saturating_sub(last.blocks);
            if follows && rest.blocks <= room {
                last.blocks = last.blocks.checked_add(rest.blocks)?;
                continue;
            }
        }
        while rest.blocks > 0 {
            let blocks = rest.blocks.min(u64::from(LONGEST).checked_sub(1)?);
            found.push(Extent { blocks, ..rest });
            rest = Extent {
                logical: rest.logical.checked_add(blocks)?,
                start: rest.start.checked_add(blocks)?,
                blocks: rest.blocks.checked_sub(blocks)?,
                written: rest.written,
            };
        }
    }
    Some(found)
}

/// How many extents fit into an inode.
pub(crate) const IN_INODE: usize = 4;

/// How many extents fit into a block.
pub(crate) fn in_block(block: u64) -> usize {
    usize_of(block).saturating_sub(RECORD).div_euclid(RECORD)
}

/// The root of a tree with these extents and no other node; none if they do not fit.
pub fn root(extents: &[Extent]) -> Option<[u8; INLINE]> {
    let mut bytes = [0; INLINE];
    fill(&mut bytes, extents, IN_INODE)?;
    Some(bytes)
}

/// The root of a tree with one other node, in this block.
pub(crate) fn root_above(block: u64) -> Option<[u8; INLINE]> {
    let (low, high) = words(block);
    let index = Index {
        block: U32::ZERO,
        leaf_lo: low.into(),
        leaf_hi: u16::try_from(high).ok()?.into(),
        unused: U16::ZERO,
    };
    let mut bytes = [0; INLINE];
    let header = header(1, IN_INODE, 1)?;
    let new = [header.as_bytes(), index.as_bytes()].concat();
    bytes.get_mut(..new.len())?.copy_from_slice(&new);
    Some(bytes)
}

/// A block with a node of these extents; none if they do not fit. `seed` is the inode's.
pub fn leaf(extents: &[Extent], block: u64, seed: Option<u32>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize_of(block)];
    fill(&mut bytes, extents, in_block(block))?;
    if let Some(seed) = seed {
        let (body, tail) = bytes.split_at_mut(tail_at(block)?);
        tail.get_mut(..4)?.copy_from_slice(&crc32c(seed, body).to_le_bytes());
    }
    Some(bytes)
}

/// Whether a block with a node has the right checksum.
pub fn is_intact(bytes: &[u8], block: u64, seed: Option<u32>) -> bool {
    let Some(seed) = seed else { return true };
    let parts = tail_at(block).and_then(|at| bytes.split_at_checked(at));
    parts.is_some_and(|(body, tail)| tail.starts_with(&crc32c(seed, body).to_le_bytes()))
}

/// Where the checksum of a node stands: behind all entries that there could be.
fn tail_at(block: u64) -> Option<usize> {
    in_block(block).checked_mul(RECORD)?.checked_add(RECORD)
}

fn header(entries: usize, max: usize, depth: u16) -> Option<Header> {
    Some(Header {
        magic: MAGIC.into(),
        entries: u16::try_from(entries).ok()?.into(),
        max: u16::try_from(max).ok()?.into(),
        depth: depth.into(),
        generation: U32::ZERO,
    })
}

fn fill(bytes: &mut [u8], extents: &[Extent], max: usize) -> Option<()> {
    if extents.len() > max {
        return None;
    }
    let mut new = header(extents.len(), max, 0)?.as_bytes().to_vec();
    for extent in extents {
        let (low, high) = words(extent.start);
        let length = u16::try_from(extent.blocks).ok()?;
        let length = if extent.written { length } else { length.checked_add(LONGEST)? };
        let leaf = Leaf {
            block: u32::try_from(extent.logical).ok()?.into(),
            len: length.into(),
            start_hi: u16::try_from(high).ok()?.into(),
            start_lo: low.into(),
        };
        new.extend(leaf.as_bytes());
    }
    bytes.get_mut(..new.len())?.copy_from_slice(&new);
    Some(())
}

/// The bytes of an extent in a filesystem with blocks of this size; none past 64 bits.
pub fn bytes(extent: &Extent, block: u64) -> Option<ByteRange> {
    ByteRange::new(extent.start.checked_mul(block)?, extent.blocks.checked_mul(block)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(logical: u64, start: u64, blocks: u64) -> Extent {
        Extent { logical, start, blocks, written: true }
    }

    #[test]
    fn extents_survive_in_an_inode_and_in_a_block() {
        let extents = vec![run(0, 7, 2), Extent { written: false, ..run(2, 1 << 33, 5) }];
        assert_eq!(node(&root(&extents).unwrap()), Ok(Node::Leaf(extents.clone())));
        let many: Vec<Extent> = (0..340).map(|n| run(n, n * 2 + 9, 1)).collect();
        assert_eq!((root(&many), in_block(4096), in_block(1024)), (None, 340, 84));
        let block = leaf(&many, 4096, Some(5)).unwrap();
        assert_eq!(node(&block), Ok(Node::Leaf(many.clone())));
        assert!(is_intact(&block, 4096, Some(5)) && !is_intact(&block, 4096, Some(6)));
        assert_eq!(leaf(&many, 1024, None), None);
        assert_eq!(node(&root_above(1 << 40).unwrap()), Ok(Node::Index(vec![1 << 40], 0)));
    }

    #[test]
    fn runs_are_joined_and_cut_to_what_fits() {
        let joined = joined_up(&[run(0, 10, 2), run(2, 12, 3), run(5, 20, 70_000)]).unwrap();
        let sizes: Vec<u64> = joined.iter().map(|extent| extent.blocks).collect();
        assert_eq!(sizes, [5, 32_767, 32_767, 4_466]);
        assert_eq!((joined[2].logical, joined[2].start), (32_772, 32_787));
    }

    #[test]
    fn runs_that_do_not_follow_each_other_stay_apart() {
        let unwritten = Extent { written: false, ..run(5, 102, 1) };
        for apart in [
            [run(0, 10, 2), run(2, 99, 3)],
            [run(0, 10, 2), run(3, 12, 3)],
            [run(2, 99, 3), unwritten],
            [run(0, 10, 32_766), run(32_766, 32_776, 2)],
        ] {
            assert_eq!(joined_up(&apart).unwrap(), apart);
        }
        let joined = joined_up(&[run(0, 10, 32_766), run(32_766, 32_776, 1)]).unwrap();
        assert_eq!(joined, [run(0, 10, 32_767)]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(node(&[0; 60]).is_err());
        let mut bytes = root(&[run(0, 1, 1)]).unwrap();
        bytes[2] = 5;
        assert!(node(&bytes).is_err());
        bytes[6] = 6;
        assert!(node(&bytes).is_err());
        assert!(node(&[0x0a, 0xf3]).is_err());
    }
}
