//! What is added behind an initrd that starts by itself: large files, a hook, a payload, and at the very end how
//! long the initrd was before, so that what is added later takes the place of this.

use std::io::BufReader;

use crate::boot::hook::{self, AttachmentLocation};
use crate::boot::stage_one::Initrd;
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::newc::{self, Kind, Member, Next};
use crate::image::ReadAt;
use crate::image::scratch::Scratch;
use crate::netboot::layout::{Layout, Part};
use crate::recipe::edits::Edits;
use crate::units::{ByteRange, DISK_BLOCK};

/// The member of the last archive: its file has the length in decimal digits.
const MARK: &str = "remaster/base";

/// squashfs files that are added to an initrd, and looked for in it later.
const MOST_ATTACHED: usize = 63;

/// Bytes of files of an earlier stamping that are read.
pub(super) const LARGEST_PAYLOAD: u32 = 256 << 20;

/// Bytes of that which each file takes beside its own: it has a name, an owner and a mode.
const OF_MEMBER: u64 = 2048;

/// The digits of the length, as it is written below.
const DIGITS: u32 = 20;

/// What is added.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// squashfs files, which the hook looks for at [`AttachmentLocation::Initrd`].
    pub attached: Vec<Part>,
    /// The archive with hook script and files.
    pub payload: Vec<u8>,
}

impl Added {
    /// What brings edits into the live system; nothing where nothing goes there, or the command line brings it.
    pub(crate) fn from_edits(edits: &Edits) -> Result<Option<Self>> {
        if !edits.way.has_archives() {
            return Ok(None);
        }
        check_count(edits.attached.len())?;
        let attached = edits.attached.iter().map(|one| Part::file(&one.bytes)).collect();
        Ok(Some(Self { attached, payload: hook::payload(edits, AttachmentLocation::Initrd)? }))
    }

    /// Puts it behind everything that is there, and tells how much that is.
    pub(crate) fn put(self, layout: &mut Layout, initrd: &Initrd) -> Result<u64> {
        let before = layout.end();
        layout.attached(&self.attached)?;
        layout.archive(hook::hook(initrd, &[])?, "hook")?;
        layout.archive(self.payload, "payload")?;
        let mark = Member::file(MARK, 0o444, format!("{before:020}"));
        layout.archive(newc::write(&[mark]).map_err(Error::io("make an archive"))?, "mark")?;
        Ok(before)
    }
}

/// An initrd without what was added to it before.
pub fn without<I: ReadAt>(image: &I, initrd: ByteRange) -> Result<ByteRange> {
    let size = initrd.size().min(DISK_BLOCK);
    let start = checked::difference(initrd.end(), size, "the end of the initrd")?;
    let last = checked::between(start, initrd.end(), "the end of the initrd")?;
    let last = image.read_range("the initrd", last, DISK_BLOCK)?;
    let mut length = None;
    if last.starts_with(b"070701") {
        let each = |member: Member| {
            if let (MARK, Kind::File(digits)) = (member.path.as_str(), &member.kind) {
                length =
                    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
            }
            Next::Stop
        };
        // What is not an archive of ours has no mark.
        let _ = newc::read_one(last.as_slice(), DIGITS, |_| true, each);
    }
    let Some(length) = length else { return Ok(initrd) };
    ByteRange::new(initrd.start(), length).filter(|base| base.end() < initrd.end()).ok_or_else(
        || {
            Error::malformed(
                "the initrd's mark",
                start,
                format!("{length} bytes before"),
                "fewer than there are",
            )
        },
    )
}

/// A member of a payload as it stands in the live system.
pub(crate) fn in_root(member: Member) -> Option<Member> {
    let path = member.path.strip_prefix(hook::ROOT)?.strip_prefix('/')?.to_owned();
    Some(Member { path, ..member })
}

/// What was added behind an initrd before.
#[derive(Debug, Default)]
pub(crate) struct EarlierAdditions {
    /// The files of the live system's root.
    pub root: Vec<Member>,
    /// The squashfs files: their paths in the initrd and where they are.
    pub attached: Vec<(String, ByteRange)>,
    /// Whether the programs of a store are put on the PATH.
    pub on_path: bool,
}

impl EarlierAdditions {
    /// Looks into the archives behind an initrd.
    pub(crate) fn read<I: ReadAt>(image: &I, added: ByteRange) -> Result<Self> {
        let broken = |fault: String| {
            let what = "the archives behind the initrd";
            Error::malformed(what, added.start(), fault, "newc archives")
        };
        let attached: Vec<String> = (1..=MOST_ATTACHED).map(hook::in_initrd).collect();
        let is_attached = |path: &str| attached.iter().any(|one| one.get(1..) == Some(path));
        let mut found = Self::default();
        let mut places = Vec::new();
        let mut left = Some(u64::from(LARGEST_PAYLOAD));
        let each = |member: Member, at: ByteRange| {
            if is_attached(&member.path) {
                places.push((format!("/{}", member.path), at));
            }
            found.on_path |= hook::is_with_programs(&member);
            if member.path.starts_with(hook::ROOT) {
                left = left.and_then(|left| left.checked_sub(at.size())?.checked_sub(OF_MEMBER));
                found.root.extend(in_root(member).filter(|_| left.is_some()));
            }
            if left.is_some() { Next::Continue } else { Next::Stop }
        };
        let stream = BufReader::new(Scratch::new(image, added));
        let is_read = |path: &str| path.starts_with(hook::ROOT) || path == hook::SCRIPT;
        newc::read_placed(stream, LARGEST_PAYLOAD, is_read, each)
            .map_err(|fault| broken(fault.to_string()))?;
        if left.is_none() {
            let expected = format!("at most {LARGEST_PAYLOAD} bytes");
            return Err(Error::unsupported(
                "what was put into the initrd before",
                expected,
                "more",
            ));
        }
        for (path, at) in places {
            let start = checked::sum(added.start(), at.start(), "the place of a squashfs")?;
            found.attached.push((path, checked::range(start, at.size(), "a squashfs")?));
        }
        Ok(found)
    }
}

/// Refuses more squashfs files than are looked for later.
fn check_count(attached: usize) -> Result<()> {
    if attached <= MOST_ATTACHED {
        return Ok(());
    }
    Err(Error::Recipe {
        what: format!("{attached} squashfs files are given, and an initrd takes {MOST_ATTACHED}"),
        hint: "put several folders into one squashfs".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initrd_takes_63_squashfs_files() {
        check_count(MOST_ATTACHED).unwrap();
        let told = check_count(MOST_ATTACHED + 1).unwrap_err().to_string();
        assert!(told.contains("64 squashfs files"), "{told}");
    }
}
