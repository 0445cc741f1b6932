//! What an image tells of itself: base, edits, contents; without secrets and without a clock.
//!
//! The manifest stands in our folder on the volume, with line feeds behind it up to a size that
//! does not depend on its digests, so that it can be filled in when everything else has its place.

pub mod below;
#[cfg(feature = "records")]
pub mod beside;
pub mod blocks;
pub mod claims;
pub mod found;
#[cfg(feature = "records")]
pub mod provenance;
#[cfg(feature = "records")]
pub mod verify;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::image::digest::Digest;
use crate::keys::{self, USERS};
use crate::live;
use crate::recipe::edits::Edits;
use crate::stamp::base_image::BaseImage;
use crate::stamp::key_files::KeyFiles;
use crate::units::ByteRange;

use blocks::Blocks;

/// The version of the form; raised when a field changes its meaning or goes. Version 1 called the content id `recipe` and
/// had no recipe id, versions 1 and 2 had no `private`; they are read as well.
pub const VERSION: u32 = 3;

/// Bytes of a manifest that are read. Genuine ones have some KB; a digest for every 4 MiB of 1 TiB takes 17 MiB, and 80,000
/// files 14.
pub const LARGEST: u64 = 32 << 20;

/// Bytes of the base's beginning that tell bases apart without reading them whole.
const HEAD: u64 = 1 << 20;

/// What an image is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub manifest: u32,
    /// What made it.
    pub tool: Tool,
    /// The recipe id: the digest of base and inputs, without random keys and salts; null if the base was not read whole.
    #[serde(default)]
    pub recipe_id: Option<Digest>,
    /// The content id: the digest of base and edits; null if the base was not read whole.
    #[serde(alias = "recipe")]
    pub content_id: Option<Digest>,
    /// The digest of what was asked for.
    #[serde(default)]
    pub inputs: Option<Digest>,
    /// The digest of the edits: of every byte that is put over the base, and where.
    pub edits: Digest,
    /// What it was made from.
    pub base: BaseFacts,
    /// Bytes of the image.
    pub size: u64,
    /// Whether the image holds what others must not know. Every way out of an image reads this. Absent before version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
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

/// What manifests call this program.
pub(super) const TOOL: &str = "remaster";

/// A base.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BaseFacts {
    /// SHA-256 of all of it; null if it was not read whole.
    pub sha256: Option<Digest>,
    /// SHA-256 of its first mebibyte.
    pub head_sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// Label of its volume.
    pub volume: String,
    /// `version.txt`.
    pub release: String,
}

/// A key that is let in.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Key {
    /// The user that it lets in.
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
    /// SHA-256 of its bytes; null for what is not a file or not everyone may read.
    pub sha256: Option<String>,
}

/// SHA-256 of the first mebibyte of a base.
///
/// # Errors
/// A base that cannot be read.
pub fn head<B: ReadAt>(image: &B) -> Result<Digest> {
    let at = ByteRange::up_to(image.size().min(HEAD));
    Ok(Digest(Sha256::digest(image.read_range("the base", at, HEAD)?).into()))
}

impl BaseFacts {
    /// What is known of a base that is not read whole.
    pub(super) fn gather<B: ReadAt>(base: &BaseImage<B>) -> Result<Self> {
        Self::of(base.original(), base.label(), base.release())
    }

    /// The same of a base that was looked at.
    pub(crate) fn of<B: ReadAt>(image: &B, volume: String, release: &str) -> Result<Self> {
        let head_sha256 = head(image)?;
        let (size, release) = (image.size(), release.to_owned());
        Ok(Self { sha256: None, head_sha256, size, volume, release })
    }
}

/// The keys of all files that NixOS's sshd reads, also on some of several machines only; each once for each user.
pub(super) fn keys_of(files: &KeyFiles) -> Vec<Key> {
    let logins = files.logins();
    let of = |user: &'static str| logins.of(user).map(move |login| (user, &login.key.fingerprint));
    let mut seen = BTreeSet::new();
    let new = ["nixos", "root"].into_iter().flat_map(of).filter(|key| seen.insert(*key));
    new.map(|(user, print)| Key { user: user.into(), fingerprint: print.clone() }).collect()
}

/// The keys that earlier versions listed: those of one folder alone, and none of a file with a line that is not understood.
pub(super) fn keys_of_folder(edits: &Edits) -> Vec<Key> {
    let of_file = |member: &Member| {
        let path = live::on_some_machine(&member.path);
        let user = path.strip_prefix("etc/ssh/authorized_keys.d/")?;
        let Kind::File(bytes) = &member.kind else { return None };
        let found = keys::parse(path, bytes).ok().filter(|_| USERS.contains(&user))?;
        let key = |fingerprint: String| Key { user: user.to_owned(), fingerprint };
        Some(found.keys.keys().map(|found| key(found.fingerprint.clone())).collect::<Vec<_>>())
    };
    edits.root.members().filter_map(of_file).flatten().collect()
}

/// The files of the live system's root.
pub(super) fn files_of(edits: &Edits) -> Vec<File> {
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

/// The content id: SHA-256 of `remaster recipe 1\n`, the base's SHA-256 and the edits' digest. Equal ids give equal bytes.
pub fn content_id(base: Digest, edits: Digest) -> Digest {
    let sum = Sha256::new_with_prefix(b"remaster recipe 1\n").chain_update(base.0);
    Digest(sum.chain_update(edits.0).finalize().into())
}

/// The recipe id: SHA-256 of `remaster recipe 2\n`, the base's SHA-256 and the digest of the inputs. Equal ids give
/// images that differ only in random keys and salts, in secrets, and in the version that made them.
pub fn recipe_id(base: Digest, inputs: Digest) -> Digest {
    let sum = Sha256::new_with_prefix(b"remaster recipe 2\n").chain_update(base.0);
    Digest(sum.chain_update(inputs.0).finalize().into())
}

/// Reads the text of a manifest that starts at byte `at` of an image or file.
pub fn parse(text: &[u8], at: u64) -> Result<Manifest> {
    let manifest: Manifest = serde_json::from_slice(text)
        .map_err(|fault| Error::malformed("the manifest", at, fault.to_string(), "a manifest"))?;
    if (1..=VERSION).contains(&manifest.manifest) {
        return Ok(manifest);
    }
    let (found, known) =
        (format!("version {}", manifest.manifest), format!("a version from 1 to {VERSION}"));
    Err(if manifest.manifest > VERSION {
        Error::newer("the manifest", known, found)
    } else {
        Error::malformed("the manifest", at, found, known)
    })
}

#[cfg(test)]
mod tests;
