//! OCI image layouts (image-spec v1.1, `image-layout.md`): the base is one layer that all images share, and
//! each image has one more, a patch file. A blob counts only if it has the size and digest by which it is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use crate::checked;
use crate::error::{Advice, Error, Material, Result};
use crate::formats::patch_file;
use crate::image::ImageFile;
use crate::image::digest::Digest;
use crate::lock;
use crate::output::file::{self, FileAccess, Output, OverwritePolicy};
use crate::progress::Silent;
use crate::stamp::base_image::BaseImage;
use crate::stamp::oci_index::{self, Index, Listed};
use crate::units::u64_len;

/// The layer that is a whole base.
pub(crate) const BASE_LAYER: &str = "application/vnd.remaster.base.v1";

/// The layer that is a patch file.
pub(crate) const PATCH_LAYER: &str = "application/vnd.remaster.patch.v1";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The file that lists the images of a layout.
const INDEX: &str = "index.json";

/// The version of a layout (image-spec v1.1, "oci-layout file").
const VERSION: &str = "1.0.0";

/// Bytes of the file that names the version, which has 30.
const LARGEST_MARKER: u64 = 64 << 10;

/// Bytes of a manifest (distribution-spec, "Pushing Manifests": registries take at least 4 MiB).
const LARGEST_MANIFEST: u64 = 4 << 20;

/// Bytes of memory that the values of a manifest take.
const LARGEST_VALUES: usize = 64 << 20;

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
    /// The images by their names, or what their entries say where that names none.
    entries: BTreeMap<String, Result<Entry, String>>,
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
pub(crate) type Blob = (PathBuf, Vec<u8>);

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
    ///
    /// # Errors
    /// A layout or an index of another version, or of another form.
    pub fn at(folder: &Path) -> Result<Self> {
        check_version(&folder.join("oci-layout"))?;
        let index = index_of(&folder.join(INDEX))?;
        let entries = entries_of(&index);
        Ok(Self { folder: folder.to_owned(), entries, base: None })
    }

    /// The layout that is in a folder.
    ///
    /// # Errors
    /// [`Error::NotAnImage`] for what is not one.
    pub fn open(folder: &Path) -> Result<Self> {
        let name = folder.display().to_string();
        let about = fs::metadata(folder).map_err(Error::io(format!("open {name}")))?;
        if about.is_dir() && folder.join(INDEX).exists() {
            return Self::at(folder);
        }
        let is = if about.is_dir() { "has no index.json" } else { "is not a folder" };
        Err(Error::NotAnImage {
            name,
            is: format!("is not an OCI image layout: it {is}"),
            hint: Advice::OtherOne(Material::Layout),
        })
    }

    /// Puts the base in, once: cloned, or copied.
    pub fn with_base(mut self, base: &BaseImage<&ImageFile>, sha256: Digest) -> Result<Self> {
        let blobs = self.blobs();
        fs::create_dir_all(&blobs)
            .map_err(Error::io(format!("make the folder {}", blobs.display())))?;
        let path = self.blob(sha256);
        let size = base.size();
        if !holds(&path, size, sha256)? {
            file::copy(base.outgoing(), &path)?;
        }
        self.base = Some((sha256, size));
        let version = json!({ "imageLayoutVersion": VERSION }).to_string();
        let marker = self.folder.join("oci-layout");
        file::write_bytes(&marker, version.as_bytes(), OverwritePolicy::Replace)?;
        Ok(self)
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.to_string())
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    /// Closes the folder of the blobs, before there is one of an image that others must not know: a guess at what is in
    /// that could be tried by the names. The index, which has them too, is closed with it.
    pub(crate) fn keep_from_others(&self) -> Result<()> {
        file::keep_folder_from_others(&self.blobs())
    }

    /// The image of a name.
    ///
    /// # Errors
    /// An entry without a digest of SHA-256 and a size. Other images are used all the same.
    pub fn of_name(&self, name: &str) -> Result<Option<&Entry>> {
        let said = match self.entries.get(name) {
            None => return Ok(None),
            Some(Ok(entry)) => return Ok(Some(entry)),
            Some(Err(said)) => said.as_str(),
        };
        let what = format!("the entry of {name:?} in {}", self.folder.join(INDEX).display());
        let fault = Error::malformed(what, 0, said, "a digest of sha256 and a size");
        Err(fault.advised(Material::Layout))
    }

    /// An image with this patch: its entry, and the blobs that it needs beside the base.
    ///
    /// # Errors
    /// A name that is not a tag (distribution-spec, "Pulling manifests").
    pub fn image(&self, name: &str, patch: &[u8], ids: Ids) -> Result<(Entry, Vec<Blob>)> {
        if !is_tag(name) {
            return Err(Error::Usage {
                what: format!("{name:?} is not a tag of a registry"),
                hint: "use letters, digits, `_`, `.` and `-`, 128 at most".into(),
            });
        }
        let (base, base_size) = checked::present(self.base, "the base of a layout")?;
        let layers = [(base, base_size), (Digest::of_bytes(patch), u64_len(patch))];
        let config = config(layers.map(|(digest, _)| digest)).to_string().into_bytes();
        let manifest = manifest(&config, layers, ids).to_string().into_bytes();
        let entry = Entry {
            name: name.to_owned(),
            digest: Digest::of_bytes(&manifest),
            size: u64_len(&manifest),
        };
        let blobs = [patch.to_vec(), config, manifest];
        let placed = blobs.map(|bytes| (self.blob(Digest::of_bytes(&bytes)), bytes));
        Ok((entry, placed.into()))
    }

    /// Writes the index with these images among those that are there. Others stay as they are, also those that another
    /// run has put in since.
    pub fn add(&self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(INDEX);
        let folder = File::open(&self.folder);
        let folder = folder.map_err(Error::io(format!("lock {}", self.folder.display())))?;
        // Only the holder of the folder's lock writes the index.
        lock::wait(&folder, &self.folder)?;
        let mut index = index_of(&path)?;
        let new: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let is_old = |name: &String| !new.contains(name.as_str());
        index.manifests.retain(|listed| listed.name.as_ref().is_none_or(is_old));
        index.manifests.extend(entries.iter().map(listed));
        index.manifests.sort_by(|one, other| one.name.cmp(&other.name));
        let text = index.text(&path)?;
        let readers = FileAccess::new(file::is_kept_from_others(&self.blobs())?);
        Output::of_bytes(&path, OverwritePolicy::Replace)?.write_bytes(text.as_bytes(), readers)
    }

    /// Where the parts of the image `name` lie.
    ///
    /// # Errors
    /// An image that does not exist, is not one of ours, or has a blob that is not the one that it names. The digest of
    /// the base is not checked here but where the patch is applied.
    pub fn parts(&self, name: &str) -> Result<Parts> {
        let folder = self.folder.display();
        let entry = self.of_name(name)?.ok_or_else(|| Error::Usage {
            what: format!("{folder} has no image {name:?}"),
            hint: Advice::NameUser(self.entries.keys().cloned().collect()),
        })?;
        let path = self.blob(entry.digest);
        let manifest = read(&path, LARGEST_MANIFEST)?;
        check(&path, &manifest, entry.digest)?;
        let manifest = json_of(&path, &manifest)?;
        let layer = |kind: &str| -> Result<Layer> {
            let layers = manifest.get("layers").and_then(Value::as_array).into_iter().flatten();
            let mut of_kind =
                layers.filter(|layer| layer.get("mediaType").and_then(Value::as_str) == Some(kind));
            of_kind.next().and_then(|layer| self.layer(layer)).ok_or_else(|| {
                let what = format!("the image {name:?} of {folder}");
                Error::unsupported(what, format!("a layer of {kind}"), "none")
                    .advised(Material::Layout)
            })
        };
        let (base, patch) = (layer(BASE_LAYER)?, layer(PATCH_LAYER)?);
        let bytes = read(&patch.path, patch_file::LARGEST)?;
        check(&patch.path, &bytes, patch.digest)?;
        check_size(&base)?;
        Ok(Parts { base: base.path, patch: patch.path })
    }

    fn layer(&self, descriptor: &Value) -> Option<Layer> {
        let digest = digest_of(descriptor)?;
        let size = descriptor.get("size")?.as_u64()?;
        Some(Layer { path: self.blob(digest), digest, size })
    }
}

/// A layer of an image, as its manifest names it.
struct Layer {
    path: PathBuf,
    digest: Digest,
    size: u64,
}

/// Whether a base already exists: a file of its own with all of its bytes.
fn holds(path: &Path, size: u64, sha256: Digest) -> Result<bool> {
    let found = fs::symlink_metadata(path).ok();
    if found.is_none_or(|found| !found.is_file() || found.len() != size) {
        return Ok(false);
    }
    Ok(Digest::compute(&ImageFile::open(path)?, &Silent)? == sha256)
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
        "config": descriptor(CONFIG, Digest::of_bytes(config), u64_len(config)),
        "layers": [descriptor(BASE_LAYER, base, base_size), descriptor(PATCH_LAYER, patch, patch_size)],
        "annotations": { "remaster.recipe_id": ids.recipe.to_string(), "remaster.content_id": ids.content.to_string() },
    })
}

fn descriptor(kind: &str, digest: Digest, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
}

fn listed(entry: &Entry) -> Listed {
    Listed::new(&entry.name, descriptor(MANIFEST, entry.digest, entry.size))
}

fn digest_of(descriptor: &Value) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.strip_prefix("sha256:")?.parse().ok()
}

/// The index of a layout; one without images if there is none.
fn index_of(path: &Path) -> Result<Index> {
    if !path.exists() {
        return Ok(Index::default());
    }
    Index::parse(path, &read(path, oci_index::LARGEST)?)
}

/// Refuses a layout of another version (image-spec v1.1, "oci-layout file").
fn check_version(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let marker = json_of(path, &read(path, LARGEST_MARKER)?)?;
    let found = marker.get("imageLayoutVersion").cloned().unwrap_or(Value::Null);
    if found == VERSION {
        return Ok(());
    }
    let (what, expected) = (path.display().to_string(), format!("imageLayoutVersion {VERSION}"));
    Err(Error::unsupported(what, expected, found.to_string()))
}

/// The images of an index by their names; what has no name is somebody else's.
fn entries_of(index: &Index) -> BTreeMap<String, Result<Entry, String>> {
    let mut entries = BTreeMap::new();
    for listed in &index.manifests {
        let Some(name) = listed.name.clone() else { continue };
        let descriptor = listed.descriptor();
        let size = descriptor.get("size").and_then(Value::as_u64);
        let entry = digest_of(&descriptor).zip(size).ok_or_else(|| descriptor.to_string());
        let entry = entry.map(|(digest, size)| Entry { name: name.clone(), digest, size });
        entries.insert(name, entry);
    }
    entries
}

fn check(path: &Path, bytes: &[u8], expected: Digest) -> Result<()> {
    let found = Digest::of_bytes(bytes);
    if found == expected {
        return Ok(());
    }
    Err(Error::Checksum {
        what: path.display().to_string(),
        found: found.to_string(),
        expected: expected.to_string(),
        hint: Advice::GetAgain(Material::Layout),
    })
}

fn check_size(layer: &Layer) -> Result<()> {
    let found = regular(&layer.path)?.metadata();
    let name = layer.path.display();
    let found = found.map_err(Error::io(format!("read {name}")))?.len();
    if found == layer.size {
        return Ok(());
    }
    let (found, expected) = (format!("{found} bytes"), layer.size.to_string());
    Err(Error::wrong_base(name.to_string(), found, expected).advised(Material::Layout))
}

/// Opens a file of a layout, never what a link there leads to.
fn regular(path: &Path) -> Result<File> {
    let doing = || Error::io(format!("read {}", path.display()));
    // A FIFO, which is refused below, would wait for its other end (fifo(7)).
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(opened.map_err(|fault| doing()(fault.into()))?);
    if file.metadata().map_err(doing())?.is_file() {
        return Ok(file);
    }
    let what = path.display().to_string();
    let found = "something that is not a regular file";
    Err(Error::unsupported(what, "a file of an OCI layout", found).advised(Material::Layout))
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let doing = || Error::io(format!("read {}", path.display()));
    let file = regular(path)?;
    let size = file.metadata().map_err(doing())?.len();
    if size > most {
        let (what, found) = (path.display().to_string(), format!("{size} bytes"));
        let fault = Error::malformed(what, 0, found, format!("{most} at the most"));
        return Err(fault.advised(Material::Layout));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(doing())?;
    Ok(bytes)
}

fn json_of(path: &Path, bytes: &[u8]) -> Result<Value> {
    crate::formats::json::parse(bytes, LARGEST_VALUES).map_err(|fault| {
        let what = path.display().to_string();
        Error::malformed(what, 0, fault.to_string(), "JSON of an OCI layout")
            .advised(Material::Layout)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_word_of_up_to_128_characters_that_registries_take() {
        for (name, is_taken) in [
            ("a", true),
            ("_a.B-9", true),
            ("", false),
            (".a", false),
            ("-a", false),
            ("a b", false),
            ("ä", false),
            ("x".repeat(128).as_str(), true),
            ("x".repeat(129).as_str(), false),
        ] {
            assert_eq!(is_tag(name), is_taken, "{name:?}");
        }
    }
}
