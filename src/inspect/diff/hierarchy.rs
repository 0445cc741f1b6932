//! What makes two hierarchies different: files, and the Directory Records that say where they are.

use std::collections::BTreeSet;

use super::change::{CHUNK, Change};
use crate::error::Result;
use crate::image::ReadAt;
use crate::iso::survey::tree::{Kind, Node, Tree};
use crate::stop;
use crate::units::{ByteRange, LOGICAL_BLOCK, usize_of};

/// Two images, and where they differ.
pub(super) struct Images<'a, A, B> {
    pub(super) before: &'a A,
    pub(super) after: &'a B,
    pub(super) ranges: &'a [ByteRange],
}

impl<A: ReadAt, B: ReadAt> Images<'_, A, B> {
    /// Files that hold other bytes, or are in one hierarchy only.
    pub(super) fn files(&self, before: Option<&Tree>, after: Option<&Tree>) -> Result<Vec<Change>> {
        let size = |node: &Node| format!("{} bytes", node.size());
        let is_file = |node: &&Node| node.kind == Kind::File;
        let mut found = Vec::new();
        for path in paths(before, after) {
            stop::check()?;
            let old = before.and_then(|tree| tree.get(path)).filter(is_file);
            let new = after.and_then(|tree| tree.get(path)).filter(is_file);
            let same = match (old, new) {
                (None, None) => true,
                (Some(old), Some(new)) => {
                    is_same_file((self.before, old), (self.after, new), self.ranges)?
                }
                _ => false,
            };
            if !same {
                let (before, after) = (old.map(size), new.map(size));
                found.push(Change { what: path.to_owned(), before, after });
            }
        }
        Ok(found)
    }

    /// Records that say something else, of files and directories.
    pub(super) fn records(
        &self,
        before: Option<&Tree>,
        after: Option<&Tree>,
    ) -> Result<Vec<Change>> {
        let mut found = Vec::new();
        for path in paths(before, after) {
            stop::check()?;
            let old = before.and_then(|tree| tree.get(path));
            let new = after.and_then(|tree| tree.get(path));
            let same = match (old, new) {
                (Some(old), Some(new)) => record(self.before, old)? == record(self.after, new)?,
                _ => false,
            };
            if !same {
                found.push(changed(before.or(after), path, old, new));
            }
        }
        Ok(found)
    }
}

fn paths<'a>(before: Option<&'a Tree>, after: Option<&'a Tree>) -> BTreeSet<&'a str> {
    let trees = before.into_iter().chain(after);
    trees.flat_map(|tree| tree.nodes.keys().map(String::as_str)).collect()
}

fn changed(tree: Option<&Tree>, path: &str, old: Option<&Node>, new: Option<&Node>) -> Change {
    let hierarchy = tree.map(|tree| format!("{:?}:", tree.hierarchy).to_lowercase());
    let (before, mut after) = (old.map(place), new.map(place));
    if before == after {
        after = after.map(|place| format!("{place}, other fields"));
    }
    Change { what: format!("{}{path}", hierarchy.unwrap_or_default()), before, after }
}

/// Where a record says that its bytes are.
fn place(node: &Node) -> String {
    let block = |at: &ByteRange| at.start().checked_div(LOGICAL_BLOCK).unwrap_or_default();
    let parts = node.extents.iter();
    let parts = parts.map(|at| format!("{} bytes from block {}", at.size(), block(at)));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "no bytes".to_owned() } else { parts.join(", ") }
}

/// The bytes of the first Directory Record of a node, whose first byte is its length (ECMA-119 §9.1.1).
fn record<I: ReadAt>(image: &I, node: &Node) -> Result<Vec<u8>> {
    let mut length = [0];
    image.read_exact_at(&mut length, node.record)?;
    let mut bytes = vec![0; usize::from(length[0])];
    image.read_exact_at(&mut bytes, node.record)?;
    Ok(bytes)
}

/// Whether two files hold the same bytes. Those at the same place are known from the comparison of the
/// images.
fn is_same_file<A: ReadAt, B: ReadAt>(
    (before, old): (&A, &Node),
    (after, new): (&B, &Node),
    ranges: &[ByteRange],
) -> Result<bool> {
    if old.size() != new.size() || old.extents.len() != new.extents.len() {
        return Ok(false);
    }
    for (a, b) in old.extents.iter().zip(&new.extents) {
        let same = if a == b {
            !ranges.iter().any(|range| range.common(*a).is_some_and(|common| !common.is_empty()))
        } else {
            a.size() == b.size() && holds_same((before, *a), (after, *b))?
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds_same<A: ReadAt, B: ReadAt>(
    (before, a): (&A, ByteRange),
    (after, b): (&B, ByteRange),
) -> Result<bool> {
    let mut done = 0;
    while done < a.size() {
        stop::check()?;
        let length = usize_of(a.size().saturating_sub(done).min(CHUNK));
        let (mut old, mut new) = (vec![0; length], vec![0; length]);
        before.read_exact_at(&mut old, a.start().saturating_add(done))?;
        after.read_exact_at(&mut new, b.start().saturating_add(done))?;
        if old != new {
            return Ok(false);
        }
        done = done.saturating_add(CHUNK);
    }
    Ok(true)
}
