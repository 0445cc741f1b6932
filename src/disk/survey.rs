//! Facts about a raw image: a disk with partitions, one of which is the root filesystem itself, as NixOS
//! makes them for SD cards (`nixos/modules/installer/sd-card/sd-image.nix`). An extlinux.conf in it says
//! what is started (`generic-extlinux-compatible`).

use crate::boot::config::{Config, ConfigLocation};
use crate::boot::release;
use crate::disk::ext4::Filesystem;
use crate::error::{Error, Result};
use crate::formats::boot_config::Entry;
use crate::formats::isohybrid::Mbr;
use crate::image::ReadAt;
use crate::image::partitions::Partitions;
use crate::units::{ByteRange, beyond};

/// The menu that U-Boot reads.
pub const MENU: &str = "/boot/extlinux/extlinux.conf";

/// What U-Boot looks for before the menu, or where that does not start: its `boot_prefixes` with the menu's path below and
/// its `boot_scripts` (U-Boot `include/config_distro_bootcmd.h`).
const OTHER_STARTS: [&str; 5] = [
    "/extlinux/extlinux.conf",
    "/boot.scr.uimg",
    "/boot.scr",
    "/boot/boot.scr.uimg",
    "/boot/boot.scr",
];

/// Where every other path in it starts.
const MENU_FOLDER: &str = "/boot/extlinux";

/// Bytes of the menu, and of the small files of a system.
const LARGEST: u64 = 1 << 20;

/// The structures of a raw image.
#[derive(Clone, Debug)]
pub struct DiskSurvey {
    /// Bytes of the image.
    pub size: u64,
    /// The partition tables.
    pub partitions: Partitions,
    /// The number of the root's partition, counted from 1.
    pub number: usize,
    /// Its bytes.
    pub root: ByteRange,
    /// The label of the filesystem there.
    pub label: String,
    /// Its features.
    pub features: Vec<&'static str>,
    /// Bytes that are free in it.
    pub free: u64,
    /// The menu.
    pub config: Config,
    /// The text of `nixos-version` of the system that the menu starts.
    pub release: String,
    /// The architecture of that system, as `aarch64`.
    pub architecture: Option<&'static str>,
}

/// A partition that may be the root.
struct Candidate {
    number: usize,
    at: ByteRange,
    kind: String,
}

impl DiskSurvey {
    /// Reads a raw image.
    ///
    /// # Errors
    /// [`Error::Malformed`] where a structure is broken, [`Error::Unsupported`] where there is not one ext4
    /// partition with a NixOS system and a menu that starts it.
    pub fn read<I: ReadAt>(image: &I) -> Result<Self> {
        let partitions = Partitions::read(image)?;
        let (candidate, fs) = root(image, &partitions)?;
        no_other_start(&fs)?;
        let config = menu(&fs)?;
        check_started(&fs, &config)?;
        let system = system(&config);
        let small = |name: &str| -> Result<Option<String>> {
            let bytes = fs.file(&format!("{system}/{name}"), LARGEST)?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
        };
        let superblock = fs.superblock();
        Ok(Self {
            size: image.size(),
            partitions,
            number: candidate.number,
            root: candidate.at,
            label: superblock.label(),
            features: superblock.features(),
            free: superblock.free_blocks().saturating_mul(superblock.block()),
            release: small("nixos-version")?
                .unwrap_or_else(|| release::find_release(system).to_owned()),
            architecture: small("system")?.as_deref().and_then(architecture),
            config,
        })
    }

    /// The root filesystem of the image that these are the facts of.
    pub fn filesystem<'a, I: ReadAt>(&self, image: &'a I) -> Result<Filesystem<&'a I>> {
        Filesystem::open(image, self.root)
    }
}

/// All partitions of the image that may hold a Linux filesystem, by the table that counts: a GPT, if there
/// is one.
fn candidates<I: ReadAt>(image: &I, partitions: &Partitions) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    let mut add = |number, kind: String, start: u64, size: u64| {
        let at = ByteRange::new(start, size).filter(|at| at.end() <= image.size());
        let at = at.ok_or_else(|| {
            let found = format!("partition {number} of {size} bytes from {start:#x} on");
            let expected = format!("one within the {} bytes of the image", image.size());
            Error::malformed("the partition table", 0, found, expected)
        })?;
        found.push(Candidate { number, at, kind });
        Ok::<(), Error>(())
    };
    if let Some(gpt) = &partitions.gpt {
        for part in gpt.partitions() {
            let (start, end) = gpt.bytes(&part)?;
            add(part.number, part.type_guid, start, beyond(end, start))?;
        }
        return Ok(found);
    }
    for (number, record) in partitions.mbr.iter().flat_map(Mbr::used) {
        add(number, format!("{:02x}", record.os_type), record.start(), record.size())?;
    }
    Ok(found)
}

/// The one partition with a menu in an ext4 filesystem.
fn root<'a, I: ReadAt>(
    image: &'a I,
    partitions: &Partitions,
) -> Result<(Candidate, Filesystem<&'a I>)> {
    let mut seen = Vec::new();
    let mut roots = Vec::new();
    for candidate in candidates(image, partitions)? {
        let name = format!("partition {} of type {}", candidate.number, candidate.kind);
        if !Filesystem::is_there(&image, candidate.at)? {
            seen.push(format!("{name} without ext4"));
            continue;
        }
        let fs = Filesystem::open(image, candidate.at)?;
        if fs.lookup(MENU)?.is_none() {
            seen.push(format!("{name} with ext4 {:?} but no such file", fs.superblock().label()));
            continue;
        }
        seen.push(format!("{name} with ext4 {:?} and the menu", fs.superblock().label()));
        roots.push((candidate, fs));
    }
    match (roots.pop(), roots.is_empty()) {
        (Some(root), true) => Ok(root),
        _ => Err(Error::unsupported(
            "the raw image",
            format!(
                "one partition with an ext4 filesystem that has {MENU}, as NixOS's images for SD cards"
            ),
            if seen.is_empty() { "no partitions".into() } else { seen.join("; ") },
        )),
    }
}

/// Whether a disk may have a root filesystem of NixOS: one that has the menu, or that cannot be opened.
///
/// # Errors
/// The operating system's, and broken partition tables.
pub fn may_be_ours<I: ReadAt>(image: &I) -> Result<bool> {
    for candidate in candidates(image, &Partitions::read(image)?)? {
        if !Filesystem::is_there(&image, candidate.at)? {
            continue;
        }
        let menu = Filesystem::open(image, candidate.at).and_then(|fs| fs.lookup(MENU));
        match menu {
            Ok(None) => {}
            Err(fault @ Error::Io { .. }) => return Err(fault),
            Ok(Some(_)) | Err(_) => return Ok(true),
        }
    }
    Ok(false)
}

fn menu<I: ReadAt>(fs: &Filesystem<&I>) -> Result<Config> {
    let bytes = fs.file(MENU, LARGEST)?;
    let bytes = bytes.ok_or_else(|| Error::unsupported(MENU, "a file", "something else"))?;
    let found = Config::parse(ConfigLocation::Volume, MENU, bytes)?;
    found.ok_or_else(|| Error::unsupported(MENU, "entries that start NixOS", "none"))
}

/// Refuses what U-Boot would start in place of the menu.
fn no_other_start<I: ReadAt>(fs: &Filesystem<&I>) -> Result<()> {
    for path in OTHER_STARTS {
        if fs.lookup(path)?.is_some() {
            let what = "the root filesystem of the raw image";
            let fault = Error::unsupported(what, format!("{MENU} as the only menu"), path);
            return Err(
                fault.with_hint(format!("take {path} off the image: U-Boot would start it"))
            );
        }
    }
    Ok(())
}

/// Kernels, initrds and systems are where the menu says.
fn check_started<I: ReadAt>(fs: &Filesystem<&I>, config: &Config) -> Result<()> {
    for entry in &config.entries {
        let words = entry.initrds.iter().chain([&entry.kernel]);
        for word in words.map(|word| path_of(&word.text)) {
            if fs.lookup(&word)?.is_none() {
                return Err(missing(entry, &word));
            }
        }
        let init = entry.init().unwrap_or_default();
        let system = init.strip_suffix("/init").unwrap_or(init);
        if !init.starts_with("/nix/store/") || fs.lookup(system)?.is_none() {
            return Err(missing(entry, init));
        }
    }
    Ok(())
}

fn missing(entry: &Entry, path: &str) -> Error {
    let what = format!("the entry {:?} of {MENU}", entry.path());
    Error::unsupported(what, format!("{path} in the same filesystem"), "no such file")
}

/// A path of the menu as one of the filesystem: a relative one starts at the menu's folder.
pub fn path_of(word: &str) -> String {
    let whole =
        if word.starts_with('/') { word.to_owned() } else { format!("{MENU_FOLDER}/{word}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The store path of the system that the first entry starts.
fn system(config: &Config) -> &str {
    let init = config.entries.first().and_then(Entry::init).unwrap_or_default();
    init.strip_suffix("/init").unwrap_or(init)
}

/// The architecture of a Nix system, as `aarch64-linux`.
fn architecture(system: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 6] = [
        ("aarch64-linux", "aarch64"),
        ("x86_64-linux", "x86_64"),
        ("riscv64-linux", "riscv64"),
        ("i686-linux", "i686"),
        ("armv7l-linux", "armv7l"),
        ("armv6l-linux", "armv6l"),
    ];
    KNOWN.iter().find(|(name, _)| *name == system).map(|(_, architecture)| *architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_menu_start_at_its_folder() {
        for (word, path) in [
            ("../nixos/abc-linux-Image", "/boot/nixos/abc-linux-Image"),
            ("/boot/nixos/x", "/boot/nixos/x"),
            ("x", "/boot/extlinux/x"),
            ("../../../../x", "/x"),
        ] {
            assert_eq!(path_of(word), path);
        }
    }
}
