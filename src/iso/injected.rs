//! Images that were stamped before: what was put in, and the base below it.

use sha2::{Digest, Sha256};

use crate::boot::folder::Folder;
use crate::boot::hook::{self, ROOT};
use crate::checked;
use crate::error::{Advice, Error, Result};
use crate::formats::Says;
use crate::formats::newc::{self, Kind, Member, Next};
use crate::formats::reset_mark::{self, ResetMark};
use crate::formats::undo::{Undo, is_digested};
use crate::image::patched::{Patch, PatchedImage};
use crate::image::{ImageFile, ReadAt};
use crate::iso::survey::Survey;
use crate::iso::survey::tree::Tree;
use crate::recipe::setting;
use crate::units::{ByteRange, LOGICAL_BLOCK, format_bytes, u64_len};

/// Bytes of a payload that are read to show what was injected.
pub(crate) const LARGEST_PAYLOAD: u64 = 64 << 20;

/// Files of a payload. What is more than names of 8 MiB goes into a squashfs.
const MOST_MEMBERS: usize = 80_000;

/// Bytes of an undo record: the changed blocks, which are some hundred KB.
const LARGEST_UNDO: u64 = 32 << 20;

/// Bytes behind a volume within which a backup table is of the image: images end at whole mebibytes.
const NEAR: u64 = 1 << 20;

/// What stands in our folder on a volume.
#[derive(Clone, Debug)]
pub struct Stamped {
    /// The folder that everything is in.
    pub folder: Folder,
    /// How to get the base back.
    pub undo: Undo,
    /// Where the record that says so stands; none in a raw image, where it is a file of the filesystem.
    pub undo_at: Option<ByteRange>,
    /// The files that were put into the live system's root; none if only menus were changed.
    pub root: Vec<Member>,
    /// The squashfs files beside them: their paths and where they are.
    pub attached: Vec<(String, ByteRange)>,
    /// Whether the programs of a store are put on the PATH.
    pub on_path: bool,
}

impl Stamped {
    /// Reads what was put into an image; none if nothing was.
    pub fn find<I: ReadAt>(image: &I, tree: &Tree) -> Result<Option<Self>> {
        let Some(folder) = Folder::find(tree.paths()) else { return Ok(None) };
        let undo_at = place(tree, &folder.undo())?;
        let undo = undo_at_place(image, undo_at)?;
        check_stamp_intact(image, &undo)?;
        let (root, on_path) = match tree.file(&folder.payload()) {
            Some(_) => root_of(&read(image, tree, &folder.payload(), LARGEST_PAYLOAD)?)?,
            None => (Vec::new(), false),
        };
        let attached = folder.all_attached(tree.paths()).into_iter();
        let attached = attached.map(|path| Ok((path.to_owned(), place(tree, path)?)));
        let attached = attached.collect::<Result<_>>()?;
        Ok(Some(Self { folder, undo, undo_at: Some(undo_at), root, attached, on_path }))
    }

    /// The text of the `authorized_keys` file of a user's home, if one was put in.
    pub fn authorized_keys(&self, path: &str) -> Option<&[u8]> {
        let found = self.root.iter().find(|member| member.path == path)?;
        match &found.kind {
            Kind::File(bytes) => Some(bytes),
            _ => None,
        }
    }
}

fn read<I: ReadAt>(image: &I, tree: &Tree, path: &str, limit: u64) -> Result<Vec<u8>> {
    image.read_range(path, place(tree, path)?, limit)
}

fn place(tree: &Tree, path: &str) -> Result<ByteRange> {
    let found = tree.file(path).and_then(|node| node.extents.first()).copied();
    found.ok_or_else(|| {
        Error::unsupported(
            "the folder of an earlier stamping",
            format!("{path}, as remaster leaves it"),
            "no such file",
        )
    })
}

fn undo_at_place<I: ReadAt>(image: &I, at: ByteRange) -> Result<Undo> {
    let record = image.read_range("the undo record", at, LARGEST_UNDO)?;
    Undo::parse(&record).map_err(|fault| fault.in_image(at.start()))
}

/// Refuses an image whose stamped bytes something else has changed: it cannot be undone.
fn check_stamp_intact<I: ReadAt>(image: &I, undo: &Undo) -> Result<()> {
    if has_stamped_bytes(image, undo)? && image.size() >= undo.stamped_size {
        return Ok(());
    }
    Err(Error::unsupported(
        "this image, which was stamped before",
        "the bytes that stamping left",
        "other ones: something else changed it since",
    )
    .with_hint("make or get this image again: what was put in cannot be taken out of this one"))
}

/// Whether an image still has what stamping wrote over its base.
pub(crate) fn has_stamped_bytes<I: ReadAt>(image: &I, undo: &Undo) -> Result<bool> {
    let mut digest = Sha256::new();
    for (at, _) in undo.ranges.iter().filter(|(at, _)| is_digested(*at)) {
        digest.update(image.read_range("the bytes that stamping wrote", *at, LARGEST_UNDO)?);
    }
    Ok(<[u8; 32]>::from(digest.finalize()) == undo.stamped_digest)
}

/// What a payload has for the root, and whether it puts programs on the PATH.
fn root_of(payload: &[u8]) -> Result<(Vec<Member>, bool)> {
    let (mut root, mut on_path) = (Vec::<Member>::new(), false);
    newc::read(
        payload,
        u32::MAX,
        |_| true,
        |member| {
            let path = member.path.strip_prefix(ROOT).and_then(|path| path.strip_prefix('/'));
            on_path |= hook::is_with_programs(&member);
            if let Some(path) = path.map(str::to_owned) {
                root.push(Member { path, ..member });
            }
            if root.len() > MOST_MEMBERS { Next::Stop } else { Next::Continue }
        },
    )
    .map_err(|fault| Error::unreadable("the payload archive", 0, &fault, "a newc archive"))?;
    if root.len() > MOST_MEMBERS {
        let expected = format!("at most {MOST_MEMBERS} files");
        return Err(Error::unsupported("the payload archive", expected, "more"));
    }
    Ok((root, on_path))
}

/// Refuses a payload that could not be read back.
pub(crate) fn check_payload(payload: &[u8], members: usize) -> Result<()> {
    let what = if u64_len(payload) > LARGEST_PAYLOAD {
        let (found, most) = (u64_len(payload), format_bytes(LARGEST_PAYLOAD));
        format!("the files that the image would have take {found} bytes, and {most} is the most")
    } else if members > MOST_MEMBERS {
        format!("the image would have {members} files put in, and {MOST_MEMBERS} is the most")
    } else {
        return Ok(());
    };
    let hint = format!(
        "give fewer files, or make the image again from its base with one {} of all: what is large there goes into a squashfs",
        setting!(overlay)
    );
    Err(Error::Recipe { what, hint: hint.into() })
}

/// An image as a base to edit: what was stamped before is taken off again.
#[derive(Debug)]
pub struct IsoBase<B> {
    /// The base, which reads as it was before any stamping.
    pub image: PatchedImage<B>,
    /// Its facts.
    pub survey: Survey,
    /// What was there before.
    pub stamped: Option<Stamped>,
    /// The facts of the image with that.
    pub now: Option<Survey>,
}

impl<B: ReadAt> IsoBase<B> {
    /// Surveys an image and, if it was stamped before, the base below.
    pub fn open(image: B) -> Result<Self> {
        let whole = PatchedImage::whole(image);
        let survey = Survey::read(&whole)?;
        let Some(stamped) = Stamped::find(&whole, survey.tree())? else {
            let end = end_of(&survey)?;
            if end >= whole.size() {
                return Ok(Self { image: whole, survey, stamped: None, now: None });
            }
            // As it was read back from a longer stick: what is behind the volume is of nobody knows what.
            let image = whole.with(Vec::new(), end)?;
            let backup_fault = survey.partitions.backup_fault;
            let mut survey = Survey::read(&image)?;
            // On a stick the backup of the GPT stands at its end.
            survey.partitions.backup_fault = backup_fault;
            return Ok(Self { image, survey, stamped: None, now: None });
        };
        let image = without(whole, &stamped.undo)?;
        let below = Survey::read(&image)?;
        Ok(Self { image, survey: below, stamped: Some(stamped), now: Some(survey) })
    }
}

/// Where an image ends: with its volume, its partitions, and the backup table right behind them. A table that was moved to the
/// end of a stick is not of the image.
fn end_of(survey: &Survey) -> Result<u64> {
    let volume = survey.volume.size();
    let near = checked::sum(volume, NEAR, "the end of the volume")?;
    Ok(survey.partitions.end(near)?.max(volume))
}

impl IsoBase<&ImageFile> {
    /// SHA-256 of the base, if that of the file is known and it is the base.
    pub fn known_sha256(&self) -> Option<[u8; 32]> {
        self.image.base().sha256().filter(|_| self.stamped.is_none() && self.image.is_base())
    }
}

/// The base below a stamped image, also below one on a disk whose reset was interrupted.
#[derive(Debug)]
pub struct OriginalImage<B> {
    /// The base.
    pub image: PatchedImage<B>,
    /// Bytes of the stamped image.
    pub stamped_size: u64,
    /// Where the undo record is; none if an earlier reset needs it no more.
    pub undo: Option<ByteRange>,
    /// SHA-256 of the base, as an earlier reset found it.
    pub sha256: Option<[u8; 32]>,
}

impl<B: ReadAt> OriginalImage<B> {
    /// Finds the base below; none if nothing was put into the image.
    ///
    /// # Errors
    /// What [`Survey::read`] and [`Stamped::find`] say; a reset that cannot be continued.
    pub fn open(image: B) -> Result<Option<Self>> {
        if let Some(mark) = mark(&image)? {
            return Self::unfinished(image, &mark).map(Some);
        }
        let base = IsoBase::open(image)?;
        Ok(base.stamped.map(|stamped| Self {
            image: base.image,
            stamped_size: stamped.undo.stamped_size,
            undo: stamped.undo_at,
            sha256: None,
        }))
    }

    fn unfinished(image: B, mark: &ResetMark) -> Result<Self> {
        let undo = match mark.undo {
            Some(at) => Some(undo_at_place(&image, at)?),
            None => None,
        };
        let first = Undo {
            base_size: mark.base_size,
            stamped_size: mark.stamped_size,
            stamped_digest: [0; 32],
            ranges: vec![(ByteRange::up_to(reset_mark::SIZE), mark.first.clone())],
        };
        let mut below =
            without(PatchedImage::whole(image), &undo.unwrap_or_else(|| first.clone()))?;
        if mark.undo.is_some() {
            below = without(below, &first)?;
        }
        let (stamped_size, undo) = (mark.stamped_size, mark.undo);
        Ok(Self { image: below, stamped_size, undo, sha256: Some(mark.base_sha256) })
    }
}

/// The mark of a reset that was interrupted.
fn mark<B: ReadAt>(image: &B) -> Result<Option<ResetMark>> {
    let at = ByteRange::up_to(reset_mark::SIZE);
    if at.end() > image.size() {
        return Ok(None);
    }
    let start = image.read_range("the first block", at, reset_mark::SIZE)?;
    if !ResetMark::is_in(&start) {
        return Ok(None);
    }
    ResetMark::parse(&start).map(Some).map_err(|fault| {
        if fault.says == Says::Newer {
            return fault.in_image(0);
        }
        let found = "a broken mark of one";
        Error::unsupported("a reset that was interrupted", "how to go on with it", found)
            .with_hint(Advice::FlashAnew)
    })
}

/// The base below a stamped image.
pub fn without<B: ReadAt>(image: PatchedImage<B>, undo: &Undo) -> Result<PatchedImage<B>> {
    let patch =
        |(at, bytes): &(ByteRange, Vec<u8>)| Patch::bytes(at.start(), bytes.clone(), "undo record");
    let patches = undo.ranges.iter().map(patch).collect::<Result<_>>()?;
    let fits = undo.base_size <= image.size() && undo.base_size >= LOGICAL_BLOCK;
    if !fits {
        return Err(Error::malformed(
            "undo record",
            16,
            format!("a base of {} bytes", undo.base_size),
            "a smaller one",
        ));
    }
    image.with(patches, undo.base_size)
}
