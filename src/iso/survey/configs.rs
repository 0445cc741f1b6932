//! Boot configs that start NixOS, on the volume and in the UEFI boot image.

use std::collections::BTreeSet;

use crate::boot::config::{self, Config, ConfigLocation, Menu, Parsed};
use crate::error::{Error, Result};
use crate::formats::boot_config::{
    EntryBudget, IncludedFile, Root, RootChange, Syntax, device, volume_path,
};
use crate::formats::pe;
use crate::image::ReadAt;
use crate::image::scratch::Scratch;
use crate::iso::survey::boot_catalog::ElToritoEntry;
use crate::iso::survey::esp::{Esp, EspFile};
use crate::iso::survey::loaders::is_loader;
use crate::iso::survey::nixos::BootTarget;
use crate::iso::survey::read_places::{ReadPlaces, linked};
use crate::iso::survey::tree::{Kind, Tree};
use crate::iso::survey::volume::Volume;
use crate::units::{ByteRange, LOGICAL_BLOCK};

/// Bytes of a boot config; official ones have under 40 KB.
const LARGEST: u64 = 1 << 20;

/// Bytes of all of them in an image, those of each name counted.
const LARGEST_SUM: u64 = 16 << 20;

/// Bytes of a program that tell what it is: the headers of a UEFI program.
const HEAD: u64 = 4096;

const ESP: &str = "the UEFI boot image";

/// What can be done where a kernel and its initrd are one file.
const UNIFIED: &str = "give an installer that is not made for Secure Boot: what is signed as one file cannot be added to";

/// All boot configs of an image.
///
/// # Errors
/// [`Error::Unsupported`] where something may start NixOS that is not read.
pub fn all<I: ReadAt>(
    image: &I,
    volume: &Volume,
    tree: &Tree,
    boot: &[ElToritoEntry],
) -> Result<Vec<Config>> {
    let mut menus = Menus::default();
    let mut texts = Texts::default();
    let mut unread = on_volume(image, tree, &mut texts, |path, bytes| {
        menus.take(ConfigLocation::Volume, path, bytes)
    })?;
    for entry in boot.iter().filter(|entry| entry.is_esp()) {
        on_esp(image, tree, (entry.image, &mut texts), |path, bytes| {
            menus.take(ConfigLocation::Esp(entry.image), path, bytes)
        })?;
    }
    while let Some(at) = unread.iter().position(|(path, _)| menus.is_led_to(path)) {
        let (path, bytes) = unread.swap_remove(at);
        no_unified_kernel(path, &bytes, |program| head_of(image, tree, program))?;
        menus.take(ConfigLocation::Volume, path, bytes)?;
    }
    menus.check_included()?;
    menus.check_links(tree)?;
    menus.check_roots(volume, tree)?;
    Ok(menus.configs)
}

/// What is read of the menus of an image.
#[derive(Default)]
struct Menus {
    budget: EntryBudget,
    configs: Vec<Config>,
    /// The files that are read as menus, with or without NixOS in them.
    read: Vec<(ConfigLocation, String, Syntax)>,
    /// The files that they lead to, each with the path of the menu and its language.
    included: Vec<(String, Syntax, IncludedFile)>,
    /// The commands that choose `root`, each with the path of the menu.
    roots: Vec<(String, RootChange)>,
}

impl Menus {
    fn take(&mut self, place: ConfigLocation, path: &str, bytes: Vec<u8>) -> Result<()> {
        let parsed = config::parse(place.clone(), path, bytes, &mut self.budget);
        let Parsed { config, menu } = parsed.map_err(|fault| without(&place, path, fault))?;
        if let Some(config) = config {
            self.configs.push(config);
        }
        let Some(Menu { syntax, included, roots }) = menu else { return Ok(()) };
        self.read.push((place, path.to_owned(), syntax));
        self.included.extend(included.into_iter().map(|file| (path.to_owned(), syntax, file)));
        self.roots.extend(roots.into_iter().map(|change| (path.to_owned(), change)));
        Ok(())
    }

    /// Refuses a menu that leads to what is not read as one.
    fn check_included(&self) -> Result<()> {
        let unread = |(path, syntax, file): &&(String, Syntax, IncludedFile)| {
            !self.is_read(path, *syntax, &file.file)
        };
        match self.included.iter().find(unread) {
            None => Ok(()),
            Some((path, _, file)) => {
                Err(without(&ConfigLocation::Volume, path, config::elsewhere(path, file)))
            }
        }
    }

    /// Refuses a symbolic link that loaders look for as a menu and that leads to what is not read as one.
    fn check_links(&self, tree: &Tree) -> Result<()> {
        let places = ReadPlaces::of(tree);
        for (path, node) in &tree.nodes {
            let Some(syntax) = Syntax::of_name(path).filter(|_| places.has(path)) else { continue };
            let is_menu = |to: &str| {
                let menu = (ConfigLocation::Volume, linked(path, to), syntax);
                self.read.contains(&menu)
            };
            let found = match &node.kind {
                Kind::Directory | Kind::File => continue,
                Kind::Link(to) if is_menu(to) => continue,
                Kind::Link(to) => format!("a link to {to}"),
                Kind::Other => "no file".to_owned(),
            };
            let what = format!("the boot config {path}");
            return Err(Error::unsupported(
                what,
                "a file, or a link to a menu that is read",
                found,
            ));
        }
        Ok(())
    }

    /// Refuses a menu that loads its entries from another device than this volume.
    fn check_roots(&self, volume: &Volume, tree: &Tree) -> Result<()> {
        let is_own = |root: &Root| match root {
            Root::WithFile(path) => {
                device(path).is_empty() && tree.file(&volume_path(path)).is_some()
            }
            Root::WithLabel(label) => volume.is_called(label),
            Root::WithUuid(uuid) => {
                volume.grub_uuid().is_some_and(|own| own.eq_ignore_ascii_case(uuid))
            }
            Root::Other => false,
        };
        match self.roots.iter().find(|(_, change)| !is_own(&change.root)) {
            None => Ok(()),
            Some((path, change)) => {
                Err(without(&ConfigLocation::Volume, path, config::another_root(path, change)))
            }
        }
    }

    /// Whether a menu that is read leads to this file of the volume.
    fn is_led_to(&self, path: &str) -> bool {
        self.included.iter().any(|(menu, _, file)| {
            config::is_of_volume(&file.file) && led_to(menu, &file.file).iter().any(|to| to == path)
        })
    }

    /// Whether a file that a menu leads to is read in the menu's language. A relative path may start in the menu's folder.
    fn is_read(&self, menu: &str, syntax: Syntax, file: &str) -> bool {
        if !config::is_of_volume(file) {
            return false;
        }
        let paths = led_to(menu, file);
        self.read.iter().filter(|(_, _, read)| *read == syntax).any(|(place, path, _)| {
            paths.iter().any(|wanted| match place {
                ConfigLocation::Volume => path == wanted,
                ConfigLocation::Esp(_) => path.eq_ignore_ascii_case(wanted),
            })
        })
    }
}

/// The paths that a word of a menu may name. A relative one may start in the menu's folder.
fn led_to(menu: &str, file: &str) -> [String; 2] {
    let folder = menu.rsplit_once('/').map_or("", |(folder, _)| folder);
    [volume_path(file), volume_path(&format!("{folder}/{file}"))]
}

/// Menus that every installer has.
const OF_INSTALLERS: [&str; 4] = [
    "/efi/boot/grub.cfg",
    "/boot/grub/grub.cfg",
    "/boot/grub/loopback.cfg",
    "/isolinux/isolinux.cfg",
];

/// A refusal of a menu that says what can be done where it is none that every installer has.
fn without(place: &ConfigLocation, path: &str, fault: Error) -> Error {
    let is_of_installers = OF_INSTALLERS.iter().any(|own| path.eq_ignore_ascii_case(own));
    if *place != ConfigLocation::Volume || is_of_installers {
        return fault;
    }
    fault.with_hint(format!(
        "take {path} off the image, if nothing needs it: boot loaders may read it"
    ))
}

/// What is left of [`LARGEST_SUM`].
struct Texts(u64);

impl Default for Texts {
    fn default() -> Self {
        Self(LARGEST_SUM)
    }
}

impl Texts {
    fn take(&mut self, bytes: u64) -> Result<()> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            let expected = format!("at most {LARGEST_SUM} bytes in files of boot loaders");
            Error::unsupported("the boot configs", expected, "more")
        })?;
        Ok(())
    }
}

/// Paths and bytes of all other files that may be configs of a boot loader.
pub fn others<I: ReadAt>(
    image: &I,
    tree: &Tree,
    boot: &[ElToritoEntry],
    configs: &[Config],
) -> Result<Vec<(String, Vec<u8>)>> {
    let known = |path: &str, place: &ConfigLocation| {
        configs.iter().any(|config| config.path == path && config.place == *place)
    };
    let mut found = Vec::new();
    let mut texts = Texts::default();
    for (path, extent) in candidates(tree, &ReadPlaces::of(tree), &mut texts)? {
        if !known(path, &ConfigLocation::Volume) {
            found.push((path.to_owned(), image.read_range(path, extent, LARGEST)?));
        }
    }
    for entry in boot.iter().filter(|entry| entry.is_esp()) {
        let mut scratch = Scratch::new(image, entry.image);
        let esp = Esp::open(&mut scratch)?;
        for file in &esp.files()? {
            let is_known = known(&file.path, &ConfigLocation::Esp(entry.image));
            if is_config(&file.path, file.size)? && !is_known {
                texts.take(file.size)?;
                found.push((file.path.clone(), esp.read(&file.path, LARGEST)?));
            }
        }
    }
    Ok(found)
}

/// The files of the volume that may be configs and are not empty. Any number of names can have the same bytes.
fn candidates<'t>(
    tree: &'t Tree,
    places: &ReadPlaces,
    texts: &mut Texts,
) -> Result<Vec<(&'t str, ByteRange)>> {
    let mut found = Vec::new();
    for (path, node) in tree.files() {
        let is_config = match is_config(path, node.size()) {
            Err(_) if !places.has(path) => false,
            known => known?,
        };
        if !is_config {
            continue;
        }
        texts.take(node.size().max(LOGICAL_BLOCK))?;
        match node.extents.as_slice() {
            [] => {}
            [extent] => found.push((path, *extent)),
            _ if !places.has(path) => {}
            several => {
                let what = format!("the boot config {path}");
                return Err(Error::unsupported(what, "one extent", several.len().to_string()));
            }
        }
    }
    Ok(found)
}

/// Whether a file may be a config: by its name, if it is not too large for one.
///
/// # Errors
/// [`Error::Unsupported`] for one that is too large and that loaders look for.
fn is_config(path: &str, size: u64) -> Result<bool> {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let is_named = matches!(extension.as_deref(), Some("cfg" | "conf"));
    if size <= LARGEST || Syntax::of_name(path).is_none() {
        return Ok(is_named && size <= LARGEST);
    }
    let expected = format!("at most {LARGEST} bytes");
    Err(Error::unsupported(format!("the boot config {path}"), expected, format!("{size} bytes")))
}

/// Refuses a volume whose menus or firmware start a kernel and an initrd in one file.
pub(crate) fn check_unified<I: ReadAt>(image: &I, tree: &Tree) -> Result<()> {
    on_volume(image, tree, &mut Texts::default(), |_, _| Ok(())).map(drop)
}

/// Refuses menus whose kernels have an initrd of their own.
pub(crate) fn check_kernels<I: ReadAt>(
    image: &I,
    tree: &Tree,
    triplets: &[BootTarget],
) -> Result<()> {
    let kernels: BTreeSet<&str> = triplets.iter().map(|one| one.kernel.as_str()).collect();
    kernels
        .into_iter()
        .try_for_each(|path| not_unified("a boot menu", path, head_of(image, tree, path)?))
}

/// A file of the volume that may be a config: its path and bytes.
type Candidate<'t> = (&'t str, Vec<u8>);

/// Hands the path and the bytes of each file of the volume to `each` that may be a config and that loaders look for, or that
/// starts something of the volume. Gives the others.
fn on_volume<'t, I: ReadAt>(
    image: &I,
    tree: &'t Tree,
    texts: &mut Texts,
    mut each: impl FnMut(&str, Vec<u8>) -> Result<()>,
) -> Result<Vec<Candidate<'t>>> {
    let places = ReadPlaces::of(tree);
    let mut unread = Vec::new();
    for (path, extent) in candidates(tree, &places, texts)? {
        let bytes = image.read_range(path, extent, LARGEST)?;
        if !places.has(path) && !places.starts(path, &String::from_utf8_lossy(&bytes)) {
            unread.push((path, bytes));
            continue;
        }
        no_unified_kernel(path, &bytes, |program| head_of(image, tree, program))?;
        each(path, bytes)?;
    }
    for (path, _) in tree.files().filter(|(path, _)| is_loader(path) && places.has(path)) {
        not_unified("the volume", path, head_of(image, tree, path)?)?;
    }
    Ok(unread)
}

/// The same of the UEFI boot image at these bytes.
fn on_esp<I: ReadAt>(
    image: &I,
    tree: &Tree,
    (at, texts): (ByteRange, &mut Texts),
    mut each: impl FnMut(&str, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut scratch = Scratch::new(image, at);
    let esp = Esp::open(&mut scratch)?;
    let files = esp.files()?;
    for file in &files {
        if !is_config(&file.path, file.size)? {
            continue;
        }
        texts.take(file.size)?;
        let bytes = esp.read(&file.path, LARGEST)?;
        no_unified_kernel(&file.path, &bytes, |program| {
            match files.iter().find(|file| file.path.eq_ignore_ascii_case(program)) {
                Some(file) => esp.head(&file.path, HEAD).map(Some),
                None => head_of(image, tree, program),
            }
        })?;
        each(&file.path, bytes)?;
    }
    for file in files.iter().filter(|file| is_loader(&file.path)) {
        not_unified(ESP, &file.path, Some(esp.head(&file.path, HEAD)?))?;
    }
    check_loader(&files)
}

/// Refuses a boot image in which firmware finds nothing to start (UEFI 2.10 §3.5.1.1).
fn check_loader(files: &[EspFile]) -> Result<()> {
    let is_started = |file: &EspFile| {
        let path = file.path.to_ascii_lowercase();
        path.strip_prefix("/efi/boot/boot").and_then(|name| name.strip_suffix(".efi")).is_some()
    };
    if files.iter().any(is_started) {
        return Ok(());
    }
    Err(Error::unsupported(ESP, "a loader, as /EFI/BOOT/BOOTX64.EFI", "none"))
}

/// The beginning of a file of the volume.
fn head_of<I: ReadAt>(image: &I, tree: &Tree, path: &str) -> Result<Option<Vec<u8>>> {
    let extent = tree.file(path).and_then(|node| node.extents.first());
    let head = extent.and_then(|at| ByteRange::new(at.start(), at.size().min(HEAD)));
    head.map(|at| image.read_range(path, at, HEAD)).transpose()
}

/// A kernel, its initrd and its arguments in one file, as messages name it.
fn unified(program: &str) -> String {
    format!("{program}, a kernel, its initrd and its arguments in one file")
}

/// Refuses a program that begins like that and that `what` starts.
fn not_unified(what: &str, path: &str, head: Option<Vec<u8>>) -> Result<()> {
    if head.is_some_and(|head| pe::is_unified_kernel(&head)) {
        let looked_for = "boot loaders, and kernels without an initrd in them";
        return Err(Error::unsupported(what, looked_for, unified(path)).with_hint(UNIFIED));
    }
    Ok(())
}

/// Refuses a menu that starts a kernel and an initrd in one file: nothing can be put behind that initrd, and the
/// arguments are in the file. `head` gives the beginning of a program.
fn no_unified_kernel(
    path: &str,
    menu: &[u8],
    head: impl Fn(&str) -> Result<Option<Vec<u8>>>,
) -> Result<()> {
    let Some(text) = config::text(path, menu.to_vec())? else { return Ok(()) };
    for program in named_in_entry(path, &text) {
        not_unified(path, &program, head(&program)?)?;
    }
    let text = Some(text).filter(|text| text.contains("chainloader"));
    let script = text.map(|text| Syntax::Grub.read(&text, &mut EntryBudget::default()));
    for (title, word) in script.map(|script| script.chained).unwrap_or_default() {
        let program = volume_path(&word.text);
        if head(&program)?.is_some_and(|head| pe::is_unified_kernel(&head)) {
            return Err(Error::unsupported(
                format!("the entry {:?} of {path}", title.join(" > ")),
                "a `linux` line with `init=` and an `initrd` line",
                unified(&program),
            )
            .with_hint(UNIFIED));
        }
    }
    Ok(())
}

/// The programs that an entry of systemd-boot starts (UAPI.1, "Type #1"): a kernel may be one of these without its name.
fn named_in_entry(path: &str, text: &str) -> Vec<String> {
    if !path.to_ascii_lowercase().starts_with("/loader/entries/") {
        return Vec::new();
    }
    let program = |line: &str| {
        let (key, program) = line.trim().split_once(char::is_whitespace)?;
        matches!(key, "linux" | "efi" | "uki").then(|| volume_path(program.trim()))
    };
    text.lines().filter_map(program).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::formats::iso9660::Hierarchy;
    use crate::iso::survey::tree::Node;

    #[test]
    fn files_of_boot_loaders_have_a_sum_whose_names_all_count() {
        let extents = vec![ByteRange::new(0, LARGEST).unwrap()];
        let names = LARGEST_SUM / LARGEST;
        let read = |names: u64| {
            let node = Node { kind: Kind::File, record: 0, extents: extents.clone() };
            let nodes: BTreeMap<_, _> =
                (0..names).map(|number| (format!("/{number}.cfg"), node.clone())).collect();
            let tree = Tree { hierarchy: Hierarchy::Primary, nodes };
            candidates(&tree, &ReadPlaces::of(&tree), &mut Texts::default())
                .map(|found| found.len())
        };
        assert_eq!(read(names).unwrap(), usize::try_from(names).unwrap());
        let told = read(names + 1).unwrap_err().to_string();
        assert!(told.contains("bytes in files of boot loaders"), "{told}");
    }

    /// The headers of a program for UEFI with one section.
    fn program(section: &[u8]) -> Vec<u8> {
        let part = |bytes: &[u8], size: usize| {
            let mut part = bytes.to_vec();
            part.resize(size, 0);
            part
        };
        let parts = [
            part(b"MZ", 0x3c),
            part(&[64], 4),
            part(b"PE\0\0\x64\x86\x01", 20),
            part(&[240], 4),
            part(b"\x0b\x02", 108),
            part(&[16], 132),
            part(section, 40),
        ];
        parts.concat()
    }

    fn tree(kind: Kind, extents: Vec<ByteRange>) -> Tree {
        let node = Node { kind, record: 0, extents };
        let nodes = [("/boot/grub/grub.cfg".to_owned(), node)].into();
        Tree { hierarchy: Hierarchy::Primary, nodes }
    }

    #[test]
    fn a_config_in_several_extents_is_refused() {
        let extents = |count: u64| (0..count).map(|at| ByteRange::new(at * 2048, 9).unwrap());
        let read = |count: u64| {
            let tree = tree(Kind::File, extents(count).collect());
            candidates(&tree, &ReadPlaces::of(&tree), &mut Texts::default())
                .map(|found| found.len())
        };
        assert_eq!((read(0).unwrap(), read(1).unwrap()), (0, 1));
        let told = read(2).unwrap_err().to_string();
        assert_eq!(told, "the boot config /boot/grub/grub.cfg: looked for one extent, found 2");
    }

    #[test]
    fn a_link_to_a_menu_that_is_read_is_one_and_others_are_refused() {
        let menus = Menus {
            read: vec![
                (ConfigLocation::Volume, "/EFI/menu.cfg".into(), Syntax::Grub),
                (ConfigLocation::Volume, "/isolinux/isolinux.cfg".into(), Syntax::Isolinux),
                (ConfigLocation::Esp(ByteRange::up_to(1)), "/esp.cfg".into(), Syntax::Grub),
            ],
            ..Menus::default()
        };
        for (to, is_taken) in [
            ("../../EFI/menu.cfg", true),
            ("./../../EFI//menu.cfg", true),
            ("/boot/../EFI/menu.cfg", true),
            ("EFI/menu.cfg", false),
            ("../../EFI/menu.txt", false),
            ("../../isolinux/isolinux.cfg", false),
            ("/esp.cfg", false),
        ] {
            let told = menus.check_links(&tree(Kind::Link(to.into()), Vec::new()));
            assert_eq!(told.is_ok(), is_taken, "{to}: {told:?}");
        }
        let told = menus.check_links(&tree(Kind::Other, Vec::new())).unwrap_err().to_string();
        assert!(
            told.starts_with("the boot config /boot/grub/grub.cfg: looked for a file"),
            "{told}"
        );
    }

    const MENU: &str = "menuentry 'NixOS' {\n linux /k init=/i\n initrd /r\n}\nsubmenu More {\n\
        menuentry Other --class x {\n search --set=root --fs-uuid 1234\n chainloader ($root)/EFI/x.efi\n }\n}\n";

    fn found(head: Option<&[u8]>) -> Result<()> {
        no_unified_kernel("/EFI/BOOT/grub.cfg", MENU.as_bytes(), |path| {
            assert_eq!(path, "/EFI/x.efi");
            Ok(head.map(<[u8]>::to_vec))
        })
    }

    #[test]
    fn what_entries_of_systemd_boot_start_is_looked_into() {
        for (path, text, looked_at) in [
            ("/loader/entries/a.conf", "title NixOS\nefi /EFI/x.bin\n", "/EFI/x.bin"),
            ("/loader/entries/a.conf", " linux\t/EFI//x.bin \n", "/EFI/x.bin"),
            ("/loader/entries/a.conf", "title linux /EFI/x.bin\n", ""),
            ("/etc/a.conf", "efi /EFI/x.bin\n", ""),
        ] {
            let told = no_unified_kernel(path, text.as_bytes(), |at| {
                assert_eq!(at, looked_at, "{text}");
                Ok(Some(program(b".linux")))
            });
            let told = told.err().map(|fault| fault.to_string()).unwrap_or_default();
            assert_eq!(told.contains("in one file"), !looked_at.is_empty(), "{text}: {told}");
        }
    }

    #[test]
    fn a_kernel_and_initrd_in_one_file_is_refused_by_name_and_other_programs_are_left_alone() {
        for head in [None, Some(&program(b".text")[..]), Some(b"MZ"), Some(b"")] {
            found(head).unwrap();
        }
        let fault = found(Some(&program(b".linux"))).unwrap_err().to_string();
        let entry = "the entry \"More > Other\" of /EFI/BOOT/grub.cfg: looked for a `linux` line";
        assert!(fault.contains(entry) && fault.contains("/EFI/x.efi, a kernel"), "{fault}");
    }
}
