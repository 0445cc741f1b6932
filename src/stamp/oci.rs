//! OCI image layouts (image-spec v1.1, `image-layout.md`): the base is one layer that all images share, and
//! each image has one more, a patch file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::image::ImageFile;
use crate::image::digest::Digest;
use crate::iso::injected::Base;
use crate::output::file::{self, Existing};
use crate::units::len_of;

/// The layer that is a whole base.
pub const BASE_LAYER: &str = "application/vnd.remaster.base.v1";

/// The layer that is a patch file.
pub const PATCH_LAYER: &str = "application/vnd.remaster.patch.v1";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Bytes of an index or manifest.
const LARGEST_JSON: u64 = 1 << 30;

/// An image of a layout's index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    name: String,
    /// Of its manifest.
    pub digest: Digest,
    size: u64,
}

/// A layout in a folder.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
    base: Option<(Digest, u64)>,
}

/// What an image is made of, and what it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ids {
    /// Its recipe id.
    pub recipe: Digest,
    /// Its content id.
    pub content: Digest,
}

/// Bytes and where they are to lie.
pub type Blob = (PathBuf, Vec<u8>);

/// Where the parts of an image lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parts {
    /// The base.
    pub base: PathBuf,
    /// The patch file.
    pub patch: PathBuf,
}

impl Layout {
    /// The layout of a folder, which may be empty.
    pub fn at(folder: &Path) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let index = folder.join("index.json");
        if index.exists() {
            let index = read_json(&index)?;
            let found = index.get("manifests").and_then(Value::as_array);
            for entry in found.into_iter().flatten().filter_map(entry_of) {
                entries.insert(entry.name.clone(), entry);
            }
        }
        Ok(Self { folder: folder.to_owned(), entries, base: None })
    }

    /// Puts the base in, once: cloned, or copied.
    pub fn with_base(mut self, base: &Base<&ImageFile>, sha256: Digest) -> Result<Self> {
        let blobs = self.folder.join("blobs/sha256");
        fs::create_dir_all(&blobs)
            .map_err(Error::io(format!("make the folder {}", blobs.display())))?;
        let path = self.blob(sha256);
        let size = base.survey.size;
        if fs::metadata(&path).map(|found| found.len()).ok() != Some(size) {
            file::copy(&base.image, &path)?;
        }
        self.base = Some((sha256, size));
        let version = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
        let marker = self.folder.join("oci-layout");
        file::write_bytes(&marker, version.as_bytes(), Existing::Replace)?;
        Ok(self)
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("blobs/sha256/{digest}"))
    }

    /// The image of a name.
    pub fn of_name(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// An image with this patch: its entry, and the blobs that it needs beside the base.
    ///
    /// # Errors
    /// A name that is no tag (distribution-spec, "Pulling manifests").
    pub fn image(&self, name: &str, patch: &[u8], ids: Ids) -> Result<(Entry, Vec<Blob>)> {
        if !is_tag(name) {
            return Err(Error::Usage {
                what: format!("{name:?} is no tag of a registry"),
                hint: "use letters, digits, `_`, `.` and `-`, 128 at most",
            });
        }
        let (base, base_size) = self.base.unwrap_or((Digest([0; 32]), 0));
        let layers = [(base, base_size), (Digest::of_bytes(patch), len_of(patch))];
        let config = config(layers.map(|(digest, _)| digest)).to_string().into_bytes();
        let manifest = manifest(&config, layers, ids).to_string().into_bytes();
        let entry = Entry {
            name: name.to_owned(),
            digest: Digest::of_bytes(&manifest),
            size: len_of(&manifest),
        };
        let blobs = [patch.to_vec(), config, manifest];
        let placed = blobs.map(|bytes| (self.blob(Digest::of_bytes(&bytes)), bytes));
        Ok((entry, placed.into()))
    }

    /// Writes the index with these images among those that are there.
    pub fn add(&self, entries: Vec<Entry>) -> Result<()> {
        let mut all = self.entries.clone();
        all.extend(entries.into_iter().map(|entry| (entry.name.clone(), entry)));
        let manifests: Vec<Value> = all.values().map(descriptor_of).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        let path = self.folder.join("index.json");
        file::write_bytes(&path, index.to_string().as_bytes(), Existing::Replace)
    }

    /// Where the parts of the image `name` lie.
    ///
    /// # Errors
    /// An image that is not there, or is none of ours.
    pub fn parts(&self, name: &str) -> Result<Parts> {
        let folder = self.folder.display();
        let entry = self.of_name(name).ok_or_else(|| Error::Usage {
            what: format!("{folder} has no image {name:?}"),
            hint: "give the name of a user to --name",
        })?;
        let manifest = read_json(&self.blob(entry.digest))?;
        let layer = |kind: &str| -> Result<PathBuf> {
            let layers = manifest.get("layers").and_then(Value::as_array).into_iter().flatten();
            let mut of_kind =
                layers.filter(|layer| layer.get("mediaType").and_then(Value::as_str) == Some(kind));
            let digest = of_kind.next().and_then(digest_of);
            digest.map(|digest| self.blob(digest)).ok_or_else(|| {
                let what = format!("the image {name:?} of {folder}");
                Error::unsupported(what, format!("a layer of {kind}"), "none")
            })
        };
        Ok(Parts { base: layer(BASE_LAYER)?, patch: layer(PATCH_LAYER)? })
    }
}

/// Whether a registry takes the name: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() <= 128
        && !name.starts_with(['.', '-'])
        && !name.is_empty()
        && name.chars().all(inner)
}

/// Says nothing that a container engine would start, in the form that registries' clients read.
fn config(layers: [Digest; 2]) -> Value {
    let layers = layers.map(|digest| format!("sha256:{digest}"));
    json!({ "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": { "type": "layers", "diff_ids": layers } })
}

fn manifest(config: &[u8], layers: [(Digest, u64); 2], ids: Ids) -> Value {
    let [(base, base_size), (patch, patch_size)] = layers;
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, Digest::of_bytes(config), len_of(config)),
        "layers": [descriptor(BASE_LAYER, base, base_size), descriptor(PATCH_LAYER, patch, patch_size)],
        "annotations": { "remaster.recipe_id": ids.recipe.to_string(), "remaster.content_id": ids.content.to_string() },
    })
}

fn descriptor(kind: &str, digest: Digest, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
}

fn descriptor_of(entry: &Entry) -> Value {
    let mut found = descriptor(MANIFEST, entry.digest, entry.size);
    if let Some(found) = found.as_object_mut() {
        found.insert("annotations".into(), json!({ REF_NAME: entry.name }));
    }
    found
}

fn digest_of(descriptor: &Value) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.strip_prefix("sha256:")?.parse().ok()
}

fn entry_of(descriptor: &Value) -> Option<Entry> {
    let name = descriptor.get("annotations")?.get(REF_NAME)?.as_str()?.to_owned();
    let size = descriptor.get("size")?.as_u64()?;
    Some(Entry { name, digest: digest_of(descriptor)?, size })
}

fn read_json(path: &Path) -> Result<Value> {
    let doing = || format!("read {}", path.display());
    let size = fs::metadata(path).map_err(Error::io(doing()))?.len();
    let bytes = if size > LARGEST_JSON {
        Vec::new()
    } else {
        fs::read(path).map_err(Error::io(doing()))?
    };
    serde_json::from_slice(&bytes).map_err(|fault| {
        Error::malformed(path.display().to_string(), 0, fault.to_string(), "JSON of an OCI layout")
    })
}
