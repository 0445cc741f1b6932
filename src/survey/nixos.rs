//! Which NixOS installer an image is: its release, its architecture, and the kernels and initrds that
//! its menus start.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use crate::error::{Error, Result};
use crate::format::boot_config::volume_path;
use crate::image::ReadAt;
use crate::survey::configs::{Config, Place};
use crate::survey::stage_one::{self, Contents};
use crate::survey::tree::{Node, Tree};
use crate::units::ByteRange;

/// Bytes of `version.txt` that are read.
const LONGEST_VERSION: u64 = 4096;

/// A kernel, an initrd and the system that they start.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Triplet {
    /// Path of the kernel on the volume.
    pub kernel: String,
    /// Paths of the initrds on the volume, in their order.
    pub initrds: Vec<String>,
    /// The `init=` argument.
    pub init: String,
}

/// An initrd that a menu names: the last one of an entry, behind which edits go.
#[derive(Clone, Debug)]
pub struct Initrd {
    /// Its path on the volume.
    pub path: String,
    /// Its bytes.
    pub at: ByteRange,
    /// What it holds.
    pub contents: Contents,
}

/// The text of `version.txt`, as `25.11.12484.b6018f87da91`.
pub fn release<I: ReadAt>(image: &I, tree: &Tree) -> Result<String> {
    const PATH: &str = "/version.txt";
    let found = tree.file(PATH).and_then(|node| node.extents.first());
    let at = found.ok_or_else(|| not_an_installer(PATH))?;
    let bytes = image.read_range(PATH, *at, LONGEST_VERSION)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Refuses a volume without what every installer has.
pub fn check_markers(tree: &Tree) -> Result<()> {
    ["/version.txt", "/nix-store.squashfs", "/EFI/nixos-installer-image"]
        .iter()
        .try_for_each(|path| tree.file(path).map(|_| ()).ok_or_else(|| not_an_installer(path)))
}

fn not_an_installer(path: &str) -> Error {
    Error::unsupported("the volume", format!("{path}, as on every NixOS installer"), "no such file")
}

/// The architecture, told by the UEFI loader's name (UEFI 2.10 §3.5.1.1).
pub fn architecture(tree: &Tree) -> Option<&'static str> {
    const LOADERS: [(&str, &str); 4] = [
        ("/efi/boot/bootx64.efi", "x86_64"),
        ("/efi/boot/bootaa64.efi", "aarch64"),
        ("/efi/boot/bootia32.efi", "i686"),
        ("/efi/boot/bootriscv64.efi", "riscv64"),
    ];
    let paths: BTreeSet<String> = tree.files().map(|(path, _)| path.to_ascii_lowercase()).collect();
    LOADERS.iter().find(|(loader, _)| paths.contains(*loader)).map(|(_, name)| *name)
}

/// The distinct triplets of all menus.
pub fn triplets(configs: &[Config]) -> Vec<Triplet> {
    let entries = configs.iter().flat_map(|config| &config.entries);
    let all: BTreeSet<Triplet> = entries
        .map(|entry| Triplet {
            kernel: volume_path(&entry.kernel.text),
            initrds: entry.initrds.iter().map(|word| volume_path(&word.text)).collect(),
            init: entry.init().unwrap_or_default().to_owned(),
        })
        .collect();
    all.into_iter().collect()
}

/// Refuses menus that name kernels or initrds which are not on the volume, or an initrd in pieces.
pub fn check_triplets(tree: &Tree, triplets: &[Triplet]) -> Result<()> {
    for path in triplets.iter().flat_map(|found| found.initrds.iter().chain([&found.kernel])) {
        file(tree, path)?;
    }
    Ok(())
}

/// The initrds that edits go behind, each looked into, several at a time.
pub fn initrds<I: ReadAt>(image: &I, tree: &Tree, triplets: &[Triplet]) -> Result<Vec<Initrd>> {
    let paths: BTreeSet<&String> = triplets.iter().flat_map(|found| &found.initrds).collect();
    let mut places: BTreeMap<ByteRange, Vec<&String>> = BTreeMap::new();
    for path in paths {
        places.entry(initrd_place(tree, path)?).or_default().push(path);
    }
    let results: Vec<_> = thread::scope(|scope| {
        let looks: Vec<_> = places
            .iter()
            .map(|(at, paths)| {
                scope
                    .spawn(move || stage_one::of(image, paths.first().map_or("", |path| path), *at))
            })
            .collect();
        looks.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut found = Vec::new();
    for ((at, paths), result) in places.iter().zip(results) {
        let contents = result.unwrap_or(Err(Error::Interrupted))?;
        found.extend(paths.iter().map(|path| Initrd {
            path: (*path).clone(),
            at: *at,
            contents: contents.clone(),
        }));
    }
    Ok(found)
}

fn initrd_place(tree: &Tree, path: &str) -> Result<ByteRange> {
    match file(tree, path)?.extents.as_slice() {
        [at] => Ok(*at),
        other => Err(Error::unsupported(
            format!("the initrd {path}"),
            "one extent that is not empty",
            format!("{} extents", other.len()),
        )),
    }
}

fn file<'a>(tree: &'a Tree, path: &str) -> Result<&'a Node> {
    tree.file(path).ok_or_else(|| {
        Error::unsupported("a boot menu", format!("{path} on the volume"), "no such file")
    })
}

/// Refuses an image that firmware would start by a menu that was not found.
pub fn check_menus(configs: &[Config], bios: bool, uefi: Option<ByteRange>) -> Result<()> {
    use crate::format::boot_config::Syntax;
    if let Some(at) = uefi
        && !configs.iter().any(|config| config.place == Place::Esp(at))
    {
        return Err(no_menu("the UEFI boot image", "a grub.cfg with NixOS entries"));
    }
    let isolinux =
        |config: &Config| config.syntax == Syntax::Isolinux && config.place == Place::Volume;
    if bios && !configs.iter().any(isolinux) {
        return Err(no_menu(
            "the volume, which BIOS can boot",
            "an isolinux.cfg with NixOS entries",
        ));
    }
    if configs.is_empty() {
        return Err(no_menu("the volume", "a boot menu with NixOS entries"));
    }
    Ok(())
}

fn no_menu(what: &str, looked_for: &str) -> Error {
    Error::unsupported(what, looked_for, "none")
}
