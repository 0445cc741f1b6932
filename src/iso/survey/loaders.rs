//! What UEFI firmware could start: the loaders in the UEFI boot images and on the volume, and kernels, which are UEFI
//! programs themselves; and by whom each says to be signed.

use std::collections::BTreeSet;

use crate::boot::config::ConfigLocation;
use crate::error::Result;
use crate::formats::pe::{self, Signature};
use crate::image::ReadAt;
use crate::image::scratch::Scratch;
use crate::iso::survey::Survey;
use crate::iso::survey::esp::Esp;

/// Bytes of a program that are read; kernels have up to 20 MB.
const LARGEST: u64 = 64 << 20;

/// A program for UEFI.
#[derive(Clone, Debug)]
pub struct Loader {
    /// Where it is.
    pub place: ConfigLocation,
    /// Its path there.
    pub path: String,
    /// Its signatures, or why they cannot be read.
    pub signatures: std::result::Result<Vec<Signature>, String>,
}

/// All programs for UEFI: those on the volume first, by their paths.
pub fn all<I: ReadAt>(image: &I, survey: &Survey) -> Result<Vec<Loader>> {
    let mut found = Vec::new();
    let kernels: BTreeSet<&str> = survey.triplets.iter().map(|one| one.kernel.as_str()).collect();
    for (path, node) in survey.tree().files() {
        let [extent] = node.extents.as_slice() else { continue };
        if !(is_loader(path) || kernels.contains(path)) || extent.size() > LARGEST {
            continue;
        }
        let bytes = image.read_range(path, *extent, LARGEST)?;
        found.extend(loader(ConfigLocation::Volume, path, &bytes));
    }
    for entry in survey.boot.iter().filter(|entry| entry.is_esp()) {
        let mut scratch = Scratch::new(image, entry.image);
        let esp = Esp::open(&mut scratch)?;
        for file in esp.files()?.iter().filter(|file| is_loader(&file.path) && file.size <= LARGEST)
        {
            let bytes = esp.read(&file.path, LARGEST)?;
            found.extend(loader(ConfigLocation::Esp(entry.image), &file.path, &bytes));
        }
    }
    Ok(found)
}

/// Whether a file is a program for UEFI, by its name.
pub(crate) fn is_loader(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("efi"))
}

fn loader(place: ConfigLocation, path: &str, bytes: &[u8]) -> Option<Loader> {
    let signatures = pe::signatures(bytes).transpose()?;
    Some(Loader { place, path: path.to_owned(), signatures })
}
