//! Which NixOS installer an image is: its release, its architecture, and the kernels and initrds that
//! its menus start.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use crate::boot::config::{Config, ConfigLocation};
use crate::boot::stage_one::{self, Contents, Initrd, UnpackBudget};
use crate::error::{Error, Result};
use crate::formats::boot_config::volume_path;
use crate::image::{ReadAt, file_type};
use crate::iso::survey::boot_catalog::{ElToritoEntry, Platform};
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
    let found = tree.file(PATH).ok_or_else(|| not_an_installer(PATH))?;
    let at = found.extents.first().filter(|at| !at.is_empty());
    let bytes = at.map(|at| image.read_range(PATH, *at, LONGEST_VERSION)).transpose()?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).trim().to_owned();
    // `system.nixos.label` may be empty.
    Ok(if text.is_empty() { UNKNOWN_RELEASE.to_owned() } else { text })
}

/// What stands for the release in messages where `version.txt` names none.
const UNKNOWN_RELEASE: &str = "of an unknown release";

/// Refuses a volume without what every installer has.
pub(crate) fn check_markers(tree: &Tree) -> Result<()> {
    let mut needed = ["/version.txt", "/nix-store.squashfs"].into_iter();
    needed.find(|path| tree.file(path).is_none()).map_or(Ok(()), |path| Err(not_an_installer(path)))
}

/// Refuses a volume of another system, which its label names; where nothing names NixOS, nothing is wrong with it.
pub(crate) fn check_system(tree: &Tree, label: &str) -> Result<()> {
    let is_marked =
        tree.file("/version.txt").is_some() || tree.file("/nix-store.squashfs").is_some();
    let label: String = label.chars().filter(|c| !c.is_control()).collect();
    let label = label.trim();
    if is_marked || label.is_empty() || label.to_lowercase().contains("nixos") {
        return Ok(());
    }
    Err(Error::NotAnImage {
        name: file_type::UNNAMED.to_owned(),
        is: format!("is `{label}`, not a NixOS installer"),
        hint: "give an official NixOS installer ISO; other distributions have tools of their own, as coreos-installer, cloud-init, preseed and kickstart"
            .into(),
    })
}

/// Refuses a volume without the marker by which GRUB finds it. The second name is that of a proposed change of nixpkgs. An
/// image that starts by BIOS alone needs no marker.
pub(crate) fn check_uefi_marker(tree: &Tree, boot: &[ElToritoEntry]) -> Result<()> {
    const MARKERS: [&str; 2] = ["/EFI/nixos-installer-image", "/nixos-installer-marker"];
    let is_bios_alone = !boot.is_empty() && !boot.iter().any(ElToritoEntry::is_esp);
    if is_bios_alone || MARKERS.iter().any(|path| tree.file(path).is_some()) {
        return Ok(());
    }
    Err(not_an_installer(&MARKERS.join(" or ")))
}

fn not_an_installer(path: &str) -> Error {
    Error::unsupported("the volume", format!("{path}, as on every NixOS installer"), "no such file")
}

/// The architecture, told by the UEFI loader's name (UEFI 2.10 §3.5.1.1).
pub fn architecture(tree: &Tree) -> Option<&'static str> {
    const LOADERS: [(&str, &str); 5] = [
        ("/efi/boot/bootx64.efi", "x86_64"),
        ("/efi/boot/bootaa64.efi", "aarch64"),
        ("/efi/boot/bootia32.efi", "i686"),
        ("/efi/boot/bootriscv64.efi", "riscv64"),
        ("/efi/boot/bootloongarch64.efi", "loongarch64"),
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
pub(crate) fn check_named(tree: &Tree, configs: &[Config]) -> Result<()> {
    let entries = configs
        .iter()
        .flat_map(|config| config.entries.iter().map(move |entry| (config.path.as_str(), entry)));
    for (config, entry) in entries {
        let words = entry.initrds.iter().chain([&entry.kernel]);
        let mut paths = words.map(|word| volume_path(&word.text));
        if let Some(path) = paths.find(|path| tree.file(path).is_none()) {
            let what = format!("the entry {:?} of {config}", entry.path());
            return Err(Error::unsupported(what, format!("{path} on the volume"), "no such file"));
        }
    }
    Ok(())
}

/// Lists of initrds that menus may have. Official ones have one for each kernel.
const MOST_LISTS: usize = 64;

/// Initrds that are unpacked at the same time: one of them with a window over 8 MiB, which takes up to 128 MiB of memory.
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

/// Where isolinux looks for its menu, in this order (`core/fs/iso9660/iso9660.c`, `iso_open_config`).
const ISOLINUX_FOLDERS: [&str; 5] =
    ["/boot/isolinux", "/isolinux", "/boot/syslinux", "/syslinux", ""];
const ISOLINUX_NAMES: [&str; 2] = ["isolinux.cfg", "syslinux.cfg"];

/// The path of the menu that isolinux reads.
fn isolinux_menu(tree: &Tree) -> Option<&str> {
    let paths = ISOLINUX_FOLDERS
        .iter()
        .flat_map(|folder| ISOLINUX_NAMES.map(|name| format!("{folder}/{name}")));
    let find = |wanted: String| {
        tree.files().map(|(path, _)| path).find(|path| path.eq_ignore_ascii_case(&wanted))
    };
    paths.into_iter().find_map(find)
}

/// Refuses an image that firmware would start by a menu that was not found.
pub(crate) fn check_menus(configs: &[Config], tree: &Tree, boot: &[ElToritoEntry]) -> Result<()> {
    let has_none = |entry: &&ElToritoEntry| {
        !configs.iter().any(|config| config.place == ConfigLocation::Esp(entry.image))
    };
    if boot.iter().filter(|entry| entry.is_esp()).any(|entry| has_none(&entry)) {
        return Err(no_menu("the UEFI boot image", "a grub.cfg with NixOS entries"));
    }
    if boot.iter().any(|entry| entry.platform == Platform::Bios) {
        check_isolinux(configs, tree)?;
    }
    if configs.is_empty() {
        return Err(no_menu("the volume", "a boot menu with NixOS entries"));
    }
    Ok(())
}

fn check_isolinux(configs: &[Config], tree: &Tree) -> Result<()> {
    use crate::formats::boot_config::Syntax;
    let mut menus = configs.iter().filter(|config| {
        config.syntax == Syntax::Isolinux && config.place == ConfigLocation::Volume
    });
    let looked_for = "an isolinux.cfg with NixOS entries";
    match isolinux_menu(tree) {
        None => Err(no_menu("the volume, which BIOS can boot", looked_for)),
        Some(first) if menus.clone().any(|config| config.path == first) => Ok(()),
        Some(_) if menus.next().is_none() => {
            Err(no_menu("the volume, which BIOS can boot", looked_for))
        }
        Some(first) => {
            let what = format!("{first}, which isolinux reads before all others");
            Err(no_menu(&what, "NixOS entries"))
        }
    }
}

fn no_menu(what: &str, looked_for: &str) -> Error {
    Error::unsupported(what, looked_for, "none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::iso9660::Hierarchy;
    use crate::iso::survey::tree::{Kind, Node};

    fn tree(paths: &[&str]) -> Tree {
        let node = Node { kind: Kind::File, record: 0, extents: vec![ByteRange::up_to(4)] };
        let nodes = paths.iter().map(|path| ((*path).to_owned(), node.clone())).collect();
        Tree { hierarchy: Hierarchy::Primary, nodes }
    }

    #[test]
    fn isolinux_reads_the_first_menu_of_its_list() {
        const STOCK: &str = "/isolinux/isolinux.cfg";
        let text = b"LABEL x\nLINUX /k\nAPPEND init=/i\nINITRD /r\n".to_vec();
        let config = Config::parse(ConfigLocation::Volume, STOCK, text).unwrap().unwrap();
        for (paths, words) in [
            (&[STOCK][..], ""),
            (&[STOCK, "/syslinux/isolinux.cfg", "/isolinux/syslinux.cfg", "/isolinux.cfg"], ""),
            (&[STOCK, "/boot/isolinux/isolinux.cfg"], "/boot/isolinux/isolinux.cfg, which"),
            (&[STOCK, "/BOOT/ISOLINUX/SYSLINUX.CFG"], "/BOOT/ISOLINUX/SYSLINUX.CFG, which"),
            (&["/boot/syslinux/syslinux.cfg"], "/boot/syslinux/syslinux.cfg, which"),
            (&[], "the volume, which BIOS can boot"),
        ] {
            let told = check_isolinux(std::slice::from_ref(&config), &tree(paths));
            let told = told.err().map(|fault| fault.to_string()).unwrap_or_default();
            assert!(told.starts_with(words) && told.is_empty() == words.is_empty(), "{told}");
        }
    }

    #[test]
    fn a_marker_is_asked_for_where_grub_looks_for_it() {
        let entry = |platform| ElToritoEntry {
            platform,
            image: ByteRange::up_to(4),
            path: None,
            entry: ByteRange::up_to(4),
            sector_count: 4,
            is_fat: false,
        };
        let (bios, uefi) = (entry(Platform::Bios), entry(Platform::Uefi));
        let fat = ElToritoEntry { is_fat: true, ..entry(Platform::Other(1)) };
        for (boot, is_asked) in
            [(&[bios.clone()][..], false), (&[bios, uefi], true), (&[fat], true), (&[], true)]
        {
            assert_eq!(check_uefi_marker(&tree(&[]), boot).is_err(), is_asked, "{boot:?}");
            check_uefi_marker(&tree(&["/nixos-installer-marker"]), boot).unwrap();
        }
    }

    #[test]
    fn menus_have_a_number_of_lists_of_initrds() {
        let tree = tree(&["/i"]);
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
