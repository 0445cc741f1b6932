//! Which NixOS installer an image is: its release, its architecture, and the kernels and initrds that
//! its menus start.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use crate::boot::config::{Config, ConfigLocation};
use crate::boot::stage_one::{self, Contents, Initrd, UnpackBudget};
use crate::error::{Error, Result};
use crate::formats::boot_config::volume_path;
use crate::image::ReadAt;
use crate::iso::survey::tree::{Node, Tree};
use crate::threads;
use crate::units::ByteRange;

/// Bytes of `version.txt` that are read.
const LONGEST_VERSION: u64 = 4096;

/// A kernel, an initrd and the system that they start.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BootTarget {
    /// Path of the kernel on the volume.
    pub kernel: String,
    /// Paths of the initrds on the volume, in their order.
    pub initrds: Vec<String>,
    /// The `init=` argument.
    pub init: String,
}

/// The text of `version.txt`, as `25.11.12484.b6018f87da91`.
pub fn release<I: ReadAt>(image: &I, tree: &Tree) -> Result<String> {
    const PATH: &str = "/version.txt";
    let found = tree.file(PATH).and_then(|node| node.extents.first());
    let at = found.ok_or_else(|| not_an_installer(PATH))?;
    let bytes = image.read_range(PATH, *at, LONGEST_VERSION)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Refuses a volume without what every installer has. A proposed change of nixpkgs calls its marker,
/// by which GRUB finds the volume, by the second name.
pub(crate) fn check_markers(tree: &Tree) -> Result<()> {
    const NEEDED: [&[&str]; 3] = [
        &["/version.txt"],
        &["/nix-store.squashfs"],
        &["/EFI/nixos-installer-image", "/nixos-installer-marker"],
    ];
    let is_there = |paths: &&[&str]| paths.iter().any(|path| tree.file(path).is_some());
    match NEEDED.iter().find(|paths| !is_there(paths)) {
        None => Ok(()),
        Some(paths) => Err(not_an_installer(&paths.join(" or "))),
    }
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
pub fn triplets(configs: &[Config]) -> Vec<BootTarget> {
    let entries = configs.iter().flat_map(|config| &config.entries);
    let all: BTreeSet<BootTarget> = entries
        .map(|entry| BootTarget {
            kernel: volume_path(&entry.kernel.text),
            initrds: entry.initrds.iter().map(|word| volume_path(&word.text)).collect(),
            init: entry.init().unwrap_or_default().to_owned(),
        })
        .collect();
    all.into_iter().collect()
}

/// Refuses menus that name kernels or initrds which are not on the volume, or an initrd in pieces.
pub(crate) fn check_triplets(tree: &Tree, triplets: &[BootTarget]) -> Result<()> {
    for path in triplets.iter().flat_map(|found| found.initrds.iter().chain([&found.kernel])) {
        file(tree, path)?;
    }
    Ok(())
}

/// Lists of initrds that menus may have. Official ones have one for each kernel.
const MOST_LISTS: usize = 64;

/// Initrds that are unpacked at the same time: each takes up to 128 MiB of memory.
const AT_ONCE: usize = 4;

/// The initrds that edits go behind, each looked into together with those before it, several at a time.
pub fn initrds<I: ReadAt>(image: &I, tree: &Tree, triplets: &[BootTarget]) -> Result<Vec<Initrd>> {
    let lists: BTreeSet<&Vec<String>> = triplets.iter().map(|found| &found.initrds).collect();
    let mut looks: BTreeMap<Vec<ByteRange>, Vec<&Vec<String>>> = BTreeMap::new();
    for list in lists {
        let places = list.iter().map(|path| initrd_place(tree, path)).collect::<Result<_>>()?;
        looks.entry(places).or_default().push(list);
    }
    if looks.len() > MOST_LISTS {
        let expected = format!("at most {MOST_LISTS} lists of initrds in all menus");
        return Err(Error::unsupported("the menus", expected, looks.len().to_string()));
    }
    let mut found: Vec<Initrd> = Vec::new();
    for ((places, lists), contents) in looks.iter().zip(look(image, &looks)?) {
        let at = places.last().copied().ok_or_else(|| not_an_installer("an initrd"))?;
        for path in lists.iter().filter_map(|list| list.last()) {
            let initrd = Initrd { path: path.clone(), at, contents: contents.clone() };
            add(&mut found, initrd)?;
        }
    }
    Ok(found)
}

type Looks<'a> = BTreeMap<Vec<ByteRange>, Vec<&'a Vec<String>>>;

/// Looks into them, a few at a time. All share one budget.
fn look<I: ReadAt>(image: &I, looks: &Looks<'_>) -> Result<Vec<Contents>> {
    let budget = UnpackBudget::default();
    let all: Vec<_> = looks.iter().collect();
    let mut found = Vec::new();
    for some in all.chunks(AT_ONCE) {
        found.extend(look_into(image, some, &budget)?);
    }
    Ok(found)
}

fn look_into<I: ReadAt>(
    image: &I,
    looks: &[(&Vec<ByteRange>, &Vec<&Vec<String>>)],
    budget: &UnpackBudget,
) -> Result<Vec<Contents>> {
    thread::scope(|scope| {
        let running: Vec<_> = looks
            .iter()
            .map(|(places, lists)| {
                let paths =
                    lists.first().into_iter().flat_map(|list| list.iter().map(String::as_str));
                let files: Vec<(&str, ByteRange)> = paths.zip(places.iter().copied()).collect();
                threads::start(scope, move || stage_one::inspect_within(image, &files, budget))
            })
            .collect();
        running.into_iter().map(|look| look.and_then(threads::end)).collect()
    })
}

/// The same file behind different ones must still hold the same stage 1.
fn add(found: &mut Vec<Initrd>, new: Initrd) -> Result<()> {
    match found.iter().find(|known| known.path == new.path) {
        None => found.push(new),
        Some(known) if known.contents.stage_one == new.contents.stage_one => {}
        Some(_) => {
            return Err(Error::unsupported(
                format!("the initrd {}", new.path),
                "the same stage 1 in every entry that loads it",
                "different ones, by what is loaded before it",
            ));
        }
    }
    Ok(())
}

/// The bytes of an initrd.
pub fn initrd_place(tree: &Tree, path: &str) -> Result<ByteRange> {
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
pub(crate) fn check_menus(configs: &[Config], bios: bool, uefi: Option<ByteRange>) -> Result<()> {
    use crate::formats::boot_config::Syntax;
    if let Some(at) = uefi
        && !configs.iter().any(|config| config.place == ConfigLocation::Esp(at))
    {
        return Err(no_menu("the UEFI boot image", "a grub.cfg with NixOS entries"));
    }
    let isolinux = |config: &Config| {
        config.syntax == Syntax::Isolinux && config.place == ConfigLocation::Volume
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::iso9660::Hierarchy;
    use crate::iso::survey::tree::{Kind, Node};

    #[test]
    fn menus_have_a_number_of_lists_of_initrds() {
        let node = Node { kind: Kind::File, record: 0, extents: vec![ByteRange::up_to(4)] };
        let nodes = [("/i".to_owned(), node)].into();
        let tree = Tree { hierarchy: Hierarchy::Primary, nodes };
        let told = |lists: usize| {
            let target = |length| BootTarget {
                kernel: "/k".into(),
                initrds: vec!["/i".to_owned(); length],
                init: "/init".into(),
            };
            let targets: Vec<_> = (1..=lists).map(target).collect();
            initrds(&b"none".as_slice(), &tree, &targets).map(drop).unwrap_err().to_string()
        };
        assert!(told(MOST_LISTS + 1).contains("lists of initrds in all menus"));
        assert!(!told(MOST_LISTS).contains("lists of initrds"), "{}", told(MOST_LISTS));
    }
}
