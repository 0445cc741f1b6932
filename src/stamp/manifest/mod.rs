//! What an image tells of itself: base, edits, contents; without secrets and without a clock.
//!
//! The manifest stands in the folder of ours on the volume, with line feeds behind it up to a size that
//! does not depend on its digests, so that it can be filled in when everything else has its place.

pub mod beside;
pub mod blocks;
pub mod provenance;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ssh_key::HashAlg;

use crate::boot::folder::{Folder, MANIFEST, SIGNATURE};
use crate::boot::stage_one::Initrd;
use crate::checked;
use crate::disk;
use crate::disk::injected;
use crate::disk::plan::record_path;
use crate::disk::survey::Raw;
use crate::error::{Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::image::digest::Digest;
use crate::image::file_type::{self, BaseKind};
use crate::image::partitions::Partitions;
use crate::image::patched::{Composed, Patch, Source};
use crate::image::{ImageFile, ReadAt};
use crate::iso::injected::{Base, Stamped};
use crate::iso::plan::Plan;
use crate::iso::survey::Survey;
use crate::iso::survey::tree::Tree;
use crate::keys;
use crate::progress::Progress;
use crate::recipe::edits::Edits;
use crate::stamp::sign::{self, Sign};
use crate::units::{ByteRange, in_memory, u64_of};

use blocks::Blocks;

/// The version of the form; raised when a field changes its meaning or goes. Version 1 called the content id `recipe`,
/// and had no recipe id; it is read as well.
pub const VERSION: u32 = 2;

/// Bytes of a manifest that are read: a digest for every 4 MiB of 1 TiB, and many files.
pub const LARGEST: u64 = 64 << 20;

/// Bytes that are kept free for a signature.
const SIGNATURE_ROOM: usize = 4096;

/// Bytes of the base's beginning that tell bases apart without reading them whole.
const HEAD: u64 = 1 << 20;

/// Stands for a digest that is not known yet.
const UNKNOWN: [u8; 32] = [0; 32];

/// What an image is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub manifest: u32,
    /// What made it.
    pub tool: Tool,
    /// The recipe id: the digest of base and inputs, whatever chance made of them; null if the base was not read whole.
    #[serde(default)]
    pub recipe_id: Option<String>,
    /// The content id: the digest of base and edits; null if the base was not read whole.
    #[serde(alias = "recipe")]
    pub content_id: Option<String>,
    /// The digest of what was asked for.
    #[serde(default)]
    pub inputs: Option<String>,
    /// The digest of the edits: of every byte that is put over the base, and where.
    pub edits: String,
    /// What it was made from.
    pub base: BaseFacts,
    /// Bytes of the image.
    pub size: u64,
    /// `SOURCE_DATE_EPOCH`, if that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_date_epoch: Option<u64>,
    /// Fingerprint of the key that signs this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Keys that are let in.
    pub keys: Vec<Key>,
    /// What is laid over the live system's root.
    pub files: Vec<File>,
    /// Digests of the image's blocks, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
}

/// A program.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A base.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BaseFacts {
    /// SHA-256 of all of it; null if it was not read whole.
    pub sha256: Option<String>,
    /// SHA-256 of its first mebibyte.
    pub head_sha256: String,
    /// Bytes.
    pub size: u64,
    /// Label of its volume.
    pub volume: String,
    /// `version.txt`.
    pub release: String,
}

/// A key that is let in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Key {
    /// As whom.
    pub user: String,
    /// As `SHA256:…`.
    pub fingerprint: String,
}

/// A file of the live system.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// `directory`, `file` or `symlink`.
    pub kind: String,
    /// Permission bits in octal digits.
    pub mode: String,
    /// Numbers of user and group.
    pub owner: (u32, u32),
    /// SHA-256 of its bytes; null for what is no file or not everyone may read.
    pub sha256: Option<String>,
}

/// What is the same for all images of one base.
#[derive(Clone, Debug, Default)]
pub struct About {
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
    pub again: Option<Again>,
}

impl About {
    /// The base's digest, where it goes into the manifest.
    fn told(&self) -> Option<Digest> {
        self.sha256.filter(|_| self.blocks.is_some())
    }
}

/// What an image has that its recipe does not say.
#[derive(Clone, Debug)]
pub struct Again {
    /// The version of the program that made it.
    pub version: String,
    /// `SOURCE_DATE_EPOCH` then.
    pub epoch: Option<u64>,
    /// The signature of its manifest, which some kinds of key make by chance.
    pub signature: Option<Vec<u8>>,
}

/// An image that is decided on.
#[derive(Debug)]
pub struct Made {
    /// The changes of the base.
    pub plan: Plan,
    /// What was asked for, with the manifest.
    pub edits: Edits,
    /// The digest of the edits.
    pub digest: Digest,
    /// What the image tells of itself.
    pub manifest: Manifest,
    /// The base's digest, where it is known.
    pub base: Option<Digest>,
    /// Its bytes, as they stand in the image.
    pub text: Vec<u8>,
    /// An armored sshsig of the text.
    pub signature: Option<String>,
}

impl Made {
    /// The manifest with everything that is known: for records beside the image, which may tell more than it does.
    pub fn all_known(&self) -> Manifest {
        let Self { manifest, base, digest, .. } = self;
        let Some(sha256) = *base else { return manifest.clone() };
        let inputs = self.edits.inputs.map(Digest);
        Manifest {
            recipe_id: inputs.map(|inputs| recipe_id(sha256, inputs).to_string()),
            content_id: Some(content_id(sha256, *digest).to_string()),
            base: BaseFacts { sha256: Some(sha256.to_string()), ..manifest.base.clone() },
            ..manifest.clone()
        }
    }
}

/// Plans an image with its manifest.
pub fn plan<B: ReadAt>(
    base: &Base<B>,
    initrds: &[Initrd],
    edits: Edits,
    about: &About,
) -> Result<Made> {
    let plan = |edits: &Edits| Plan::of(&base.image, &base.survey, initrds, edits);
    let (image, partitions) = (&base.image, &base.survey.partitions);
    make(&Below { image, facts: facts(base)?, partitions, plan: &plan }, edits, about)
}

/// Plans a raw image with its manifest.
pub fn plan_raw<B: ReadAt>(base: &injected::Base<B>, edits: Edits, about: &About) -> Result<Made> {
    let plan = |edits: &Edits| disk::plan::plan(&base.image, &base.raw, edits);
    let (image, partitions) = (&base.image, &base.raw.partitions);
    make(&Below { image, facts: raw_facts(base)?, partitions, plan: &plan }, edits, about)
}

/// What an image is made from, and how.
struct Below<'a, B> {
    image: &'a Composed<B>,
    facts: BaseFacts,
    partitions: &'a Partitions,
    plan: &'a dyn Fn(&Edits) -> Result<Plan>,
}

fn make<B: ReadAt>(below: &Below<'_, B>, edits: Edits, about: &About) -> Result<Made> {
    let draft = draft(below.facts.clone(), &edits, about);
    let text = text_of(&Manifest { size: u64::MAX, ..draft.clone() })?;
    let more = blocks_room(&draft.base, about)?;
    let mut room = checked::sum(text.len(), more, "the room of the manifest")?;
    let mut making = Making { below, edits, about, draft };
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

struct Making<'a, B> {
    below: &'a Below<'a, B>,
    edits: Edits,
    about: &'a About,
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
        if self.about.signer.is_some() {
            self.edits.records.insert(SIGNATURE.into(), vec![b'\n'; SIGNATURE_ROOM]);
        }
        let (below, about) = (self.below, self.about);
        let plan = (below.plan)(&self.edits)?;
        let digest = edits_digest(&plan)?;
        let manifest = Manifest {
            size: plan.size,
            edits: digest.to_string(),
            content_id: about.told().map(|base| content_id(base, digest).to_string()),
            blocks: image_blocks(below, &plan, about)?,
            ..self.draft.clone()
        };
        Ok(Planned { plan, digest, manifest })
    }

    /// The same with everything filled in.
    fn filled(mut self, planned: Planned, mut text: Vec<u8>, room: usize) -> Result<Made> {
        let Planned { mut plan, digest, manifest } = planned;
        text.resize(room, b'\n');
        fill(&mut plan, &mut self.edits, MANIFEST, text.clone())?;
        let signer = self.about.signer.as_ref();
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
        let base = self.about.sha256;
        Ok(Made { plan, edits: self.edits, digest, manifest, base, text, signature })
    }

    /// The signature of a text: the one that was made before, if it is by the same key for the same text.
    fn signature(&self, signer: &dyn Sign, text: &[u8]) -> Result<String> {
        let before = self.about.again.as_ref().and_then(|again| again.signature.as_deref());
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
fn blocks_room(base: &BaseFacts, about: &About) -> Result<usize> {
    const LINE: u64 = 80;
    let Some(blocks) = &about.blocks else { return Ok(1) };
    let grown = checked::sum(base.size, 64 << 20, "the size of the image")?;
    let lines = checked::present(grown.checked_div(blocks.size), "the size of a block")?;
    let room = checked::product(lines, LINE, "the room of digests")?;
    Ok(in_memory(checked::sum(room, 1, "the room of digests")?))
}

/// Everything of a manifest that is known before the image is planned.
fn draft(base: BaseFacts, edits: &Edits, about: &About) -> Manifest {
    let again = about.again.as_ref();
    let version = again.map_or(env!("CARGO_PKG_VERSION"), |again| again.version.as_str());
    let inputs = edits.inputs.map(Digest);
    let recipe_id = about.told().zip(inputs).map(|(base, inputs)| recipe_id(base, inputs));
    Manifest {
        manifest: VERSION,
        tool: Tool { name: "remaster".into(), version: version.into() },
        recipe_id: recipe_id.map(|id| id.to_string()),
        content_id: about.told().map(|_| Digest(UNKNOWN).to_string()),
        inputs: inputs.map(|digest| digest.to_string()),
        edits: Digest(UNKNOWN).to_string(),
        base: BaseFacts { sha256: about.told().map(|digest| digest.to_string()), ..base },
        size: 0,
        source_date_epoch: again.map_or(about.epoch, |again| again.epoch),
        signed_by: about.signer.as_ref().map(|signer| signer.fingerprint()),
        keys: keys_of(edits),
        files: files_of(edits),
        blocks: None,
    }
}

/// What is known of a base that is not read whole.
pub fn facts<B: ReadAt>(base: &Base<B>) -> Result<BaseFacts> {
    Ok(BaseFacts {
        sha256: None,
        head_sha256: head(&base.image)?.to_string(),
        size: base.survey.size,
        volume: base.survey.volume.identifier(),
        release: base.survey.release.clone(),
    })
}

/// The same of a raw image, whose volume is its root filesystem.
fn raw_facts<B: ReadAt>(base: &injected::Base<B>) -> Result<BaseFacts> {
    Ok(BaseFacts {
        sha256: None,
        head_sha256: head(&base.image)?.to_string(),
        size: base.raw.size,
        volume: base.raw.label.clone(),
        release: base.raw.release.clone(),
    })
}

fn head<B: ReadAt>(image: &B) -> Result<Digest> {
    let at = ByteRange::up_to(image.size().min(HEAD));
    Ok(Digest(Sha256::digest(image.read_range("the base", at, HEAD)?).into()))
}

/// The keys of the files that NixOS's sshd reads.
fn keys_of(edits: &Edits) -> Vec<Key> {
    let mut found = Vec::new();
    for user in ["nixos", "root"] {
        let member = edits.root.get(&format!("etc/ssh/authorized_keys.d/{user}"));
        let Some(Kind::File(bytes)) = member.map(|member| &member.kind) else { continue };
        let Ok(gathered) = keys::parse("authorized_keys", bytes) else { continue };
        found.extend(
            gathered
                .keys
                .keys()
                .map(|key| Key { user: user.to_owned(), fingerprint: key.fingerprint.clone() }),
        );
    }
    found
}

fn files_of(edits: &Edits) -> Vec<File> {
    let open = |path: &str, bits: u32| {
        edits.root.get(path).is_none_or(|folder| folder.mode & bits == bits)
    };
    let public = |member: &Member| {
        let above = member.path.match_indices('/').filter_map(|(at, _)| member.path.get(..at));
        open(&member.path, 0o4) && above.into_iter().all(|folder| open(folder, 0o1))
    };
    let shown = |member: &Member| File {
        path: format!("/{}", member.path),
        kind: match member.kind {
            Kind::Directory => "directory",
            Kind::File(_) => "file",
            Kind::Symlink(_) => "symlink",
        }
        .into(),
        mode: format!("{:o}", member.mode),
        owner: member.owner,
        sha256: match &member.kind {
            Kind::File(bytes) if public(member) => {
                Some(Digest(Sha256::digest(bytes).into()).to_string())
            }
            _ => None,
        },
    };
    edits.root.members().map(shown).collect()
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
    const CHUNK: u64 = 1 << 20;
    if start == 0 && size == file.size() {
        return file.digest();
    }
    let mut sum = Sha256::new();
    for range in checked::range(start, size, "a file to put in")?.steps(CHUNK) {
        sum.update(file.read_range("a file to put in", range, CHUNK)?);
    }
    Ok(sum.finalize().into())
}

/// The content id: SHA-256 of `remaster recipe 1\n`, the base's SHA-256 and the edits' digest. Equal ids give equal bytes.
pub fn content_id(base: Digest, edits: Digest) -> Digest {
    let sum = Sha256::new_with_prefix(b"remaster recipe 1\n").chain_update(base.0);
    Digest(sum.chain_update(edits.0).finalize().into())
}

/// The recipe id: SHA-256 of `remaster recipe 2\n`, the base's SHA-256 and the digest of the inputs. Equal ids give
/// images that differ in nothing but what chance made, secrets, and the version that made them.
pub fn recipe_id(base: Digest, inputs: Digest) -> Digest {
    let sum = Sha256::new_with_prefix(b"remaster recipe 2\n").chain_update(base.0);
    Digest(sum.chain_update(inputs.0).finalize().into())
}

fn image_blocks<B: ReadAt>(
    below: &Below<'_, B>,
    plan: &Plan,
    about: &About,
) -> Result<Option<Blocks>> {
    let Some(blocks) = &about.blocks else { return Ok(None) };
    let image = Composed::whole(below.image).with(plan.patches.clone(), plan.size)?;
    let own = plan.records.values().copied().collect();
    let masked = blocks::masked(own, below.partitions, plan.size)?;
    blocks.over(&image, &masked).map(Some)
}

/// Gives a record of the plan its bytes.
fn fill(plan: &mut Plan, edits: &mut Edits, name: &str, bytes: Vec<u8>) -> Result<()> {
    let at = *checked::present(plan.records.get(name), "the place of a record")?;
    let patch = plan.patches.iter_mut().find(|patch| patch.at == at);
    checked::present(patch, "the patch of a record")?.from = Source::Bytes(bytes.as_slice().into());
    edits.records.insert(name.to_owned(), bytes);
    Ok(())
}

/// A manifest as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it says.
    pub manifest: Manifest,
    /// Its bytes, which a signature is for.
    pub text: Vec<u8>,
    /// The signature beside it.
    pub signature: Option<Vec<u8>>,
    /// Where both stand in the image.
    pub own: Vec<ByteRange>,
}

/// Reads the manifest of an image; none if it has none.
pub fn read<I: ReadAt>(image: &I, tree: &Tree) -> Result<Option<Found>> {
    let Some(folder) = Folder::find(tree.paths()) else { return Ok(None) };
    let place =
        |name: &str| tree.file(&folder.file(name)).and_then(|node| node.extents.first()).copied();
    let Some(at) = place(MANIFEST) else { return Ok(None) };
    found(image, at, place(SIGNATURE)).map(Some)
}

/// Reads the manifest of a raw image; none if it has none.
pub fn read_raw<I: ReadAt>(image: &I, raw: &Raw) -> Result<Option<Found>> {
    let fs = raw.filesystem(image)?;
    let place = |name: &str| injected::place_of(&fs, &record_path(name));
    let Some(at) = place(MANIFEST)? else { return Ok(None) };
    found(image, at, place(SIGNATURE)?).map(Some)
}

fn found<I: ReadAt>(image: &I, at: ByteRange, signed_at: Option<ByteRange>) -> Result<Found> {
    let text = image.read_range("the manifest", at, LARGEST)?;
    let signature = signed_at.map(|at| image.read_range("the manifest's signature", at, 1 << 16));
    Ok(Found {
        manifest: parse(&text, at.start())?,
        text,
        signature: signature.transpose()?,
        own: [Some(at), signed_at].into_iter().flatten().collect(),
    })
}

/// Reads the text of a manifest that starts at byte `at` of an image or file.
pub fn parse(text: &[u8], at: u64) -> Result<Manifest> {
    let manifest: Manifest = serde_json::from_slice(text)
        .map_err(|fault| Error::malformed("the manifest", at, fault.to_string(), "a manifest"))?;
    if (1..=VERSION).contains(&manifest.manifest) {
        return Ok(manifest);
    }
    let found = format!("version {}", manifest.manifest);
    Err(Error::unsupported("the manifest", format!("a version from 1 to {VERSION}"), found))
}

/// Compares an image, or a medium that begins with it, with its manifest: what it says of base, keys and
/// files, and every block.
///
/// # Errors
/// [`Error::Differs`] at the first thing that differs, [`Error::Usage`] if there are no digests of blocks.
pub fn verify<I: ReadAt>(image: &I, found: &Found, progress: &dyn Progress) -> Result<()> {
    let manifest = &found.manifest;
    let partitions = match file_type::base_kind(image)? {
        BaseKind::Disk => {
            let base = injected::Base::of(image)?;
            claims(raw_facts(&base)?, base.stamped.as_ref(), manifest)?;
            Raw::of(image)?.partitions
        }
        BaseKind::Iso => {
            let base = Base::of(image)?;
            claims(facts(&base)?, base.stamped.as_ref(), manifest)?;
            Survey::of(image)?.partitions
        }
    };
    let Some(blocks) = &manifest.blocks else {
        return Err(Error::Usage {
            what: "the manifest has no digests of the image's blocks".into(),
            hint: "compare with the image (`--against IMAGE`), or stamp with --manifest-digests",
        });
    };
    if let Some(fault) = partitions.backup_fault.clone() {
        return Err(differs("the backup GPT", manifest.size, fault, "the primary one's mirror"));
    }
    let masked = blocks::masked(found.own.clone(), &partitions, manifest.size)?;
    blocks.check(image, manifest.size, &masked, progress)
}

/// What the manifest says can be seen in the image.
fn claims(base: BaseFacts, stamped: Option<&Stamped>, manifest: &Manifest) -> Result<()> {
    let Some(stamped) = stamped else {
        return Err(differs("the image", 0, "a base with nothing put in", "a stamped image"));
    };
    let mut edits = Edits::default();
    stamped.root.iter().cloned().for_each(|member| edits.root.put(member));
    let now = draft(base, &edits, &About::default());
    let facts = BaseFacts { sha256: None, ..manifest.base.clone() };
    let same = [
        ("the size", stamped.undo.stamped_size == manifest.size),
        ("the base", now.base == facts),
        ("the keys", now.keys == manifest.keys),
        ("the files", now.files == manifest.files),
        (
            "the recipe id",
            is_id_of(manifest, manifest.recipe_id.as_ref(), manifest.inputs.as_ref(), recipe_id),
        ),
        (
            "the content id",
            is_id_of(manifest, manifest.content_id.as_ref(), Some(&manifest.edits), content_id),
        ),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((what, _)) => Err(differs(what, 0, "something else", "what the manifest says")),
    }
}

/// Whether an id is that of the base and something else, if there is one.
fn is_id_of(
    manifest: &Manifest,
    id: Option<&String>,
    of: Option<&String>,
    made: fn(Digest, Digest) -> Digest,
) -> bool {
    let Some(id) = id else { return true };
    let digest = |text: Option<&String>| text?.parse::<Digest>().ok();
    let parts = digest(manifest.base.sha256.as_ref()).zip(digest(of));
    parts.is_some_and(|(base, other)| made(base, other).to_string() == *id)
}

fn differs(what: &str, at: u64, found: impl Into<String>, expected: &str) -> Error {
    let (found, expected) = (found.into(), expected.to_owned());
    Error::Differs { what: what.to_owned(), at, found, expected }
}

#[cfg(test)]
mod tests;
