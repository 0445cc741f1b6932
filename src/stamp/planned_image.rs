//! From edits to an image that is decided on, with its manifest: sizes first, then the bytes of the manifest in their place.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use ssh_key::HashAlg;

use crate::boot::folder::{MANIFEST, SIGNATURE};
use crate::checked;
use crate::error::{Error, Result};
use crate::image::digest::{self, Digest};
use crate::image::patched::{Patch, PatchedImage, Source};
use crate::image::{ImageFile, ReadAt};
use crate::iso::plan::{Plan, Step};
use crate::output::Privacy;
use crate::output::file::FileAccess;
use crate::progress::Silent;
use crate::recipe::edits::Edits;
use crate::stamp::base_image::BaseImage;
use crate::stamp::injected_facts::InjectedFacts;
use crate::stamp::key_files::KeyFiles;
use crate::stamp::manifest::blocks::{self, Blocks};
use crate::stamp::manifest::{
    BaseFacts, Manifest, Tool, VERSION, content_id, files_of, keys_of, recipe_id,
};
use crate::stamp::sign::{self, Sign};
use crate::units::{u64_of, usize_of};

/// Bytes that are kept free for a signature.
const SIGNATURE_ROOM: usize = 4096;

/// Stands for a digest that is not known yet.
const UNKNOWN: [u8; 32] = [0; 32];

/// What manifests say beside the edits: the same for all images of one base.
#[derive(Clone, Debug, Default)]
pub struct ManifestOptions {
    /// The base's digest, where it is known. It goes into the manifest where the blocks' digests do: what is in an
    /// image must not depend on how the base was given.
    pub sha256: Option<Digest>,
    /// The digests of the base's blocks, where the image is to have them.
    pub blocks: Option<Blocks>,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<u64>,
    /// Signs the manifest.
    pub signer: Option<Arc<dyn Sign>>,
    /// What an image has that was made before, and that is to be made again.
    pub made_before: Option<MadeBefore>,
}

impl ManifestOptions {
    /// The base's digest, where it goes into the manifest.
    fn base_sha256(&self) -> Option<Digest> {
        self.sha256.filter(|_| self.blocks.is_some())
    }
}

/// What an image has that its recipe does not say.
#[derive(Clone, Debug)]
pub struct MadeBefore {
    /// The version of the program that made it.
    pub version: String,
    /// `SOURCE_DATE_EPOCH` then.
    pub epoch: Option<u64>,
    /// The signature of its manifest, which is random with some kinds of key.
    pub signature: Option<Vec<u8>>,
}

/// An image that is decided on, and not made yet.
#[derive(Debug)]
pub struct PlannedImage {
    pub(super) plan: Plan,
    pub(super) edits: Edits,
    given: InjectedFacts,
    /// Whether others may not read the file of the base.
    is_closed: bool,
    digest: Digest,
    manifest: Manifest,
    /// The base's digest, where it is known.
    base: Option<Digest>,
    text: Vec<u8>,
    signature: Option<String>,
    signer: Option<Arc<dyn Sign>>,
}

impl PlannedImage {
    /// What was asked for, with the manifest.
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// What is put in, and whom it lets in: what `inspect` finds in the image.
    pub fn given(&self) -> &InjectedFacts {
        &self.given
    }

    /// The digest of the edits.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the image says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest with everything that is known: for records beside the image, which may tell more than it does.
    pub fn all_known(&self) -> Manifest {
        let Self { manifest, base, digest, .. } = self;
        let Some(sha256) = *base else { return manifest.clone() };
        let inputs = self.edits.inputs.map(Digest);
        Manifest {
            recipe_id: inputs.map(|inputs| recipe_id(sha256, inputs)),
            content_id: Some(content_id(sha256, *digest)),
            base: BaseFacts { sha256: Some(sha256), ..manifest.base.clone() },
            ..manifest.clone()
        }
    }

    /// The manifest's bytes, as they stand in the image.
    pub fn manifest_text(&self) -> &[u8] {
        &self.text
    }

    /// An armored sshsig of the manifest's bytes.
    pub fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// Who signs what is reported of the image.
    pub fn signer(&self) -> Option<&dyn Sign> {
        self.signer.as_deref()
    }

    /// Whether the image holds what others must not know.
    pub fn is_private(&self) -> bool {
        self.manifest.private != Some(false)
    }

    /// Who may read the image, and why.
    pub fn privacy(&self) -> Privacy {
        Privacy::from(self.is_private()).of_closed(self.is_closed)
    }

    /// Who may read the image, and all that is written of it: its manifest has a digest of what was put in, by which
    /// a guess at a secret could be tried.
    pub fn readers(&self) -> FileAccess {
        FileAccess::new(self.privacy().is_private())
    }

    /// Bytes of the image.
    pub fn size(&self) -> u64 {
        self.plan.size
    }

    /// The changes, in words.
    pub fn steps(&self) -> &[Step] {
        &self.plan.steps
    }

    /// How many menus change.
    pub fn menus(&self) -> usize {
        self.plan.menus
    }

    /// What the keys on the kernel's command line do, if there are any.
    pub fn credential(&self) -> Option<&str> {
        self.plan.credential.as_deref()
    }
}

impl<B: ReadAt> BaseImage<B> {
    /// Decides what to change of the original, and what the image says of itself.
    ///
    /// # Errors
    /// What does not fit, and what is not understood well enough to change it.
    pub fn plan(&self, edits: Edits, options: &ManifestOptions) -> Result<PlannedImage> {
        self.original().if_unchanged(self.planned(edits, options))
    }

    fn planned(&self, edits: Edits, options: &ManifestOptions) -> Result<PlannedImage> {
        self.look_up(&edits)?;
        let draft = draft(BaseFacts::gather(self)?, &edits, options);
        let text = text_of(&Manifest { size: u64::MAX, ..draft.clone() })?;
        let more = blocks_room(&draft.base, options)?;
        let mut room = checked::sum(text.len(), more, "the room of the manifest")?;
        let mut making = Making { base: self, edits, options, draft };
        loop {
            let planned = making.planned(text.clone(), room)?;
            let text = text_of(&planned.manifest)?;
            if text.len() <= room {
                return making.filled(planned, text, room);
            }
            // What is put in makes the image larger than was thought: more blocks, more digests.
            room = text.len();
        }
    }
}

struct Making<'a, B> {
    base: &'a BaseImage<B>,
    edits: Edits,
    options: &'a ManifestOptions,
    draft: Manifest,
}

/// A plan whose manifest has its place, and what is to stand there.
struct Planned {
    plan: Plan,
    digest: Digest,
    manifest: Manifest,
}

impl<B: ReadAt> Making<'_, B> {
    /// The plan with a draft in this room, and the manifest for it.
    fn planned(&mut self, mut text: Vec<u8>, room: usize) -> Result<Planned> {
        text.resize(room, b'\n');
        self.edits.records.insert(MANIFEST.into(), text);
        if self.options.signer.is_some() {
            self.edits.records.insert(SIGNATURE.into(), vec![b'\n'; SIGNATURE_ROOM]);
        }
        let (base, options) = (self.base, self.options);
        let plan = base.plan_of(&self.edits)?;
        let digest = edits_digest(&plan)?;
        let manifest = Manifest {
            size: plan.size,
            edits: digest,
            content_id: options.base_sha256().map(|base| content_id(base, digest)),
            blocks: image_blocks(base, &plan, options)?,
            ..self.draft.clone()
        };
        Ok(Planned { plan, digest, manifest })
    }

    /// The same with everything filled in.
    fn filled(mut self, planned: Planned, mut text: Vec<u8>, room: usize) -> Result<PlannedImage> {
        let Planned { mut plan, digest, manifest } = planned;
        text.resize(room, b'\n');
        fill(&mut plan, &mut self.edits, MANIFEST, text.clone())?;
        let signer = self.options.signer.as_ref();
        let signature = signer.map(|signer| self.signature(&**signer, &text)).transpose()?;
        if let Some(signature) = &signature {
            let mut padded = signature.clone().into_bytes();
            if padded.len() > SIGNATURE_ROOM {
                return Err(Error::NoRoom {
                    what: "the signature file of the image".into(),
                    needed: u64_of(padded.len()),
                    free: u64_of(SIGNATURE_ROOM),
                });
            }
            padded.resize(SIGNATURE_ROOM, b'\n');
            fill(&mut plan, &mut self.edits, SIGNATURE, padded)?;
        }
        let (base, signer) = (self.options.sha256, self.options.signer.clone());
        let lines = self.base.command_lines(&self.edits)?;
        Ok(PlannedImage {
            given: InjectedFacts::from_edits(&self.edits, &lines),
            is_closed: self.base.original().is_closed(),
            plan,
            edits: self.edits,
            digest,
            manifest,
            base,
            text,
            signature,
            signer,
        })
    }

    /// The signature of a text: the one that was made before, if it is by the same key for the same text.
    fn signature(&self, signer: &dyn Sign, text: &[u8]) -> Result<String> {
        let before =
            self.options.made_before.as_ref().and_then(|before| before.signature.as_deref());
        let holds = |armored: &&[u8]| {
            let key = sign::check(text, armored);
            key.is_ok_and(|key| {
                key.fingerprint(HashAlg::Sha256).to_string() == signer.fingerprint()
            })
        };
        match before.filter(holds).and_then(|armored| std::str::from_utf8(armored).ok()) {
            Some(armored) => Ok(format!("{}\n", armored.trim_end_matches('\n'))),
            None => signer.sign(text),
        }
    }
}

fn text_of(manifest: &Manifest) -> Result<Vec<u8>> {
    let text = serde_json::to_vec_pretty(manifest);
    text.map_err(|fault| Error::io("write the manifest")(fault.into()))
}

/// Bytes that the line's end and the digests of an image take in the text, if it does not grow by more than is usual.
fn blocks_room(base: &BaseFacts, options: &ManifestOptions) -> Result<usize> {
    const LINE: u64 = 80;
    let Some(blocks) = &options.blocks else { return Ok(1) };
    let grown = checked::sum(base.size, 64 << 20, "the size of the image")?;
    let lines = checked::present(grown.checked_div(blocks.size), "the size of a block")?;
    let room = checked::product(lines, LINE, "the room of digests")?;
    Ok(usize_of(checked::sum(room, 1, "the room of digests")?))
}

/// Everything of a manifest that is known before the image is planned.
fn draft(base: BaseFacts, edits: &Edits, options: &ManifestOptions) -> Manifest {
    let before = options.made_before.as_ref();
    let version = before.map_or(env!("CARGO_PKG_VERSION"), |before| before.version.as_str());
    let inputs = edits.inputs.map(Digest);
    let recipe_id = options.base_sha256().zip(inputs).map(|(base, inputs)| recipe_id(base, inputs));
    Manifest {
        manifest: VERSION,
        tool: Tool { name: "remaster".into(), version: version.into() },
        recipe_id,
        content_id: options.base_sha256().map(|_| Digest(UNKNOWN)),
        inputs,
        edits: Digest(UNKNOWN),
        base: BaseFacts { sha256: options.base_sha256(), ..base },
        size: 0,
        private: Some(edits.is_private()),
        source_date_epoch: before.map_or(options.epoch, |before| before.epoch),
        signed_by: options.signer.as_ref().map(|signer| signer.fingerprint()),
        keys: keys_of(&KeyFiles::of_edits(edits)),
        files: files_of(edits),
        blocks: None,
    }
}

/// The digest of all changes while the manifest is still a draft: it covers what the draft says, and
/// where and how long everything is.
///
/// SHA-256 of `remaster edits 1\n`, the size of the image, and for each change in order its first byte,
/// its size, and `0` with its bytes' SHA-256, `1` with its first byte in the base, or `2` for zeros;
/// numbers of 8 bytes, the least significant first.
fn edits_digest(plan: &Plan) -> Result<Digest> {
    let mut sum = Sha256::new_with_prefix(b"remaster edits 1\n");
    sum.update(plan.size.to_le_bytes());
    let mut patches: Vec<&Patch> = plan.patches.iter().collect();
    patches.sort_by_key(|patch| patch.at);
    for patch in patches {
        sum.update(patch.at.start().to_le_bytes());
        sum.update(patch.at.size().to_le_bytes());
        match &patch.from {
            Source::Bytes(bytes) => {
                sum.update([0]);
                sum.update(Sha256::digest(bytes));
            }
            Source::Base(start) => {
                sum.update([1]);
                sum.update(start.to_le_bytes());
            }
            Source::File(file, start) => {
                sum.update([0]);
                sum.update(file_digest(file, *start, patch.at.size())?);
            }
            Source::Zeros => sum.update([2]),
        }
    }
    Ok(Digest(sum.finalize().into()))
}

/// SHA-256 of `size` bytes of a file that is put onto the volume.
fn file_digest(file: &ImageFile, start: u64, size: u64) -> Result<[u8; 32]> {
    const WHAT: &str = "a file to put in";
    if start == 0 && size == file.size() {
        return file.digest();
    }
    digest::of_range(file, WHAT, checked::range(start, size, WHAT)?, &Silent)
}

fn image_blocks<B: ReadAt>(
    base: &BaseImage<B>,
    plan: &Plan,
    options: &ManifestOptions,
) -> Result<Option<Blocks>> {
    let Some(blocks) = &options.blocks else { return Ok(None) };
    let image = PatchedImage::whole(base.original()).with(plan.patches.clone(), plan.size)?;
    let own = plan.records.values().copied().collect();
    let masked = blocks::masked(own, base.partitions(), plan.size)?;
    blocks.over(&image, &masked).map(Some)
}

/// Gives a record of the plan its bytes.
fn fill(plan: &mut Plan, edits: &mut Edits, name: &str, bytes: Vec<u8>) -> Result<()> {
    let at = *checked::present(plan.records.get(name), "the place of a record")?;
    let patch = plan.patches.iter_mut().find(|patch| patch.at == at);
    checked::present(patch, "the patch of a record")?.from = Source::Bytes(bytes.clone().into());
    edits.records.insert(name.to_owned(), bytes);
    Ok(())
}
