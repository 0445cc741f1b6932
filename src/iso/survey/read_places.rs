//! Where on a volume boot loaders and firmware look for menus and programs.

use std::collections::BTreeSet;

use crate::formats::boot_config::{device, volume_path};
use crate::iso::survey::tree::{Kind, Tree};

/// Folders that are read with all below them: by firmware, GRUB and rEFInd; by U-Boot and others; by isolinux and its
/// kin; by systemd-boot and Limine.
const FOLDERS: [&str; 10] = [
    "/efi",
    "/boot",
    "/grub",
    "/grub2",
    "/isolinux",
    "/syslinux",
    "/extlinux",
    "/loader",
    "/limine",
    "/refind",
];

/// Menus that are looked for in the root directory.
const IN_ROOT: [&str; 9] = [
    "grub.cfg",
    "loopback.cfg",
    "isolinux.cfg",
    "syslinux.cfg",
    "extlinux.conf",
    "limine.conf",
    "limine.cfg",
    "refind.conf",
    "refind_linux.conf",
];

/// Links that lead to links: loaders follow fewer.
const LINKS_FOLLOWED: usize = 40;

/// Commands of menus of all kinds that load a kernel.
const KERNELS: [&str; 5] = ["linux", "linuxefi", "linux16", "kernel", "kernel_path"];

/// The same of an initrd.
const INITRDS: [&str; 5] = ["initrd", "initrdefi", "initrd16", "module_path", "append"];

/// The same of a program for UEFI.
const PROGRAMS: [&str; 4] = ["chainloader", "efi", "uki", "loader"];

/// The places of a volume that are read.
pub(super) struct ReadPlaces {
    /// Where symbolic links in these places lead to.
    linked: BTreeSet<String>,
    /// All files, in lower case.
    files: BTreeSet<String>,
}

impl ReadPlaces {
    pub(super) fn of(tree: &Tree) -> Self {
        let files = tree.files().map(|(path, _)| path.to_ascii_lowercase()).collect();
        let mut places = Self { linked: BTreeSet::new(), files };
        let links = || {
            tree.nodes.iter().filter_map(|(path, node)| match &node.kind {
                Kind::Link(to) => Some((path, linked(path, to).to_ascii_lowercase())),
                _ => None,
            })
        };
        for _ in 0..LINKS_FOLLOWED {
            let read = links().filter(|(path, _)| places.has(path) || is_in_root(path));
            let found: BTreeSet<String> = read.map(|(_, to)| to).collect();
            if found.is_subset(&places.linked) {
                break;
            }
            places.linked.extend(found);
        }
        places
    }

    /// Whether loaders look for menus and programs at this path.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.to_ascii_lowercase();
        let is_program = path.rsplit_once('.').is_some_and(|(_, extension)| extension == "efi");
        let name = path.strip_prefix('/').filter(|name| !name.contains('/'));
        name.is_some_and(|name| is_program || IN_ROOT.contains(&name))
            || above(&path).any(|part| FOLDERS.contains(&part) || self.linked.contains(part))
    }

    /// Whether a text names a kernel and an initrd of this volume, or a program: a loader that is set to read it would start them.
    pub(super) fn starts(&self, path: &str, text: &str) -> bool {
        let names = |commands: &[&str]| {
            text.lines().any(|line| {
                let mut words = line.split(|c: char| c.is_whitespace() || ",;=:\"'".contains(c));
                let command = words.find(|word| !word.is_empty()).unwrap_or_default();
                commands.iter().any(|one| command.eq_ignore_ascii_case(one))
                    && words.any(|word| self.is_file(path, word))
            })
        };
        names(&PROGRAMS) || (names(&KERNELS) && names(&INITRDS))
    }

    /// Whether a word of a menu may be a file of the volume. What a variable stands for is not known.
    fn is_file(&self, menu: &str, word: &str) -> bool {
        let word = word.strip_prefix(device(word)).unwrap_or(word).to_ascii_lowercase();
        let Some((folder, name)) = word.rsplit_once('/') else {
            return self.files.contains(&linked(menu, &word).to_ascii_lowercase());
        };
        if folder.contains('$') {
            let end = format!("/{name}");
            return !name.is_empty() && self.files.iter().any(|file| file.ends_with(&end));
        }
        [volume_path(&word), linked(menu, &word)]
            .iter()
            .any(|path| self.files.contains(&path.to_ascii_lowercase()))
    }
}

fn is_in_root(path: &str) -> bool {
    path.matches('/').count() == 1
}

/// A path and the folders that it is in.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    ends.chain([path.len()]).filter_map(|end| path.get(..end)).chain(["/"])
}

/// The path that a symbolic link leads to.
pub(super) fn linked(link: &str, to: &str) -> String {
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    let start = if to.starts_with('/') { "" } else { folder };
    let mut parts = Vec::new();
    for part in start.split('/').chain(to.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    volume_path(&parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::formats::iso9660::Hierarchy;
    use crate::iso::survey::tree::Node;

    fn places() -> ReadPlaces {
        let file = |path: &str| (path.to_owned(), Kind::File);
        let link = |path: &str, to: &str| (path.to_owned(), Kind::Link(to.to_owned()));
        let nodes = [
            file("/boot/k"),
            file("/boot/i"),
            file("/repo/own/k"),
            file("/repo/own/i"),
            file("/repo/x.efi"),
            link("/boot/grub", "../a/g"),
            link("/a/g/more.cfg", "../../b/more.cfg"),
            link("/limine", "c"),
            link("/repo/link", "/d"),
        ];
        let node = |kind| Node { kind, record: 0, extents: Vec::new() };
        let nodes = nodes.into_iter().map(|(path, kind)| (path, node(kind)));
        ReadPlaces::of(&Tree {
            hierarchy: Hierarchy::Primary,
            nodes: nodes.collect::<BTreeMap<_, _>>(),
        })
    }

    #[test]
    fn loaders_read_their_folders_and_what_links_there_lead_to() {
        for (path, is_read) in [
            ("/EFI/BOOT/refind.conf", true),
            ("/boot/x/y.cfg", true),
            ("/Loader/entries/a.conf", true),
            ("/isolinux/a.cfg", true),
            ("/GRUB.CFG", true),
            ("/x.efi", true),
            ("/a/g/grub.cfg", true),
            ("/b/more.cfg", true),
            ("/c/limine.conf", true),
            ("/a/grub.cfg", false),
            ("/b/other.cfg", false),
            ("/d/grub.cfg", false),
            ("/latin.conf", false),
            ("/repo/boot/grub/grub.cfg", false),
            ("/efix/grub.cfg", false),
        ] {
            assert_eq!(places().has(path), is_read, "{path}");
        }
    }

    #[test]
    fn a_menu_that_names_a_kernel_and_an_initrd_of_the_volume_may_start_them() {
        for (text, may) in [
            ("linux /boot/k init=/x\ninitrd /boot/i", true),
            ("  LINUX\t/boot//k\n INITRD /x,/boot/i", true),
            ("KERNEL own/k\nAPPEND initrd=own/i", true),
            ("linux ($root)/boot/K\ninitrd $x/i", true),
            ("linux ../boot/k\ninitrd ../boot/i", true),
            ("kernel_path: boot():/boot/k\nmodule_path: boot():/boot/i", true),
            ("chainloader /repo/x.efi", true),
            ("efi /repo/none.efi", false),
            ("linux /boot/k", false),
            ("initrd /boot/i", false),
            ("linux /nixos/k\ninitrd /nixos/i", false),
            ("linux ../nixos/k\ninitrd ../boot/i", false),
            ("label = x\nconfig = {", false),
        ] {
            assert_eq!(places().starts("/repo/a.cfg", text), may, "{text}");
        }
    }
}
