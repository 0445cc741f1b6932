//! Everything that is known of an image, for people and for programs. The JSON form is documented by
//! `inspect.schema.json` beside this file; a change that a reader could notice raises [`SCHEMA`].

pub mod diff;

mod injected;
mod iso;
mod manifest;
mod raw;

use serde::Serialize;

use crate::error::Result;
use crate::image::ReadAt;
pub use crate::image::check::Check;
use crate::image::file_type::{self, BaseKind};
use crate::progress::{Progress, Silent};
pub use crate::stamp::injected_facts::SomeEntries;
use crate::stamp::manifest::found;
pub use injected::{host_keys, keys};

/// The version of the JSON form.
pub const SCHEMA: u32 = 4;

/// The JSON Schema of the JSON form.
pub const JSON_SCHEMA: &str = include_str!("inspect.schema.json");

/// What an image is.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Bytes of the image.
    pub size: u64,
    /// `version.txt`.
    pub release: String,
    /// As `x86_64`; null if no loader tells.
    pub architecture: Option<String>,
    /// `scripted`, `systemd`, `unknown`, or `mixed` if the initrds differ; `untouched` for a raw image, as
    /// nothing goes into its initrds.
    pub generation: String,
    /// The volume; null for a raw image.
    pub volume: Option<Volume>,
    /// The root filesystem of a raw image; null for an ISO.
    pub root: Option<Root>,
    /// Partitions by MBR and by GPT.
    pub partitions: Partitions,
    /// How firmware can start the image.
    pub boot_paths: Vec<BootPath>,
    /// What UEFI firmware could start, and by whom it says to be signed.
    pub uefi_programs: Vec<UefiProgram>,
    /// What the menus start.
    pub triplets: Vec<BootTarget>,
    /// What is in the initrds.
    pub initrds: Vec<Initrd>,
    /// The menus.
    pub menus: Vec<Menu>,
    /// What was put in; null for a stock image.
    pub injected: Option<Injected>,
    /// Whether the structures agree.
    pub checks: Vec<Check>,
}

/// The volume.
#[derive(Clone, Debug, Serialize)]
pub struct Volume {
    /// The label.
    pub identifier: String,
    /// The application.
    pub application: String,
    /// Bytes.
    pub size: u64,
    /// Whether it has a Joliet hierarchy.
    pub joliet: bool,
    /// Files in the primary hierarchy.
    pub files: usize,
}

/// The root filesystem of a raw image.
#[derive(Clone, Debug, Serialize)]
pub struct Root {
    /// The number of its partition.
    pub partition: usize,
    /// Its label.
    pub label: String,
    /// `ext4`.
    pub filesystem: &'static str,
    /// Its features.
    pub features: Vec<&'static str>,
    /// Bytes that are free in it.
    pub free: u64,
}

/// The partition tables.
#[derive(Clone, Debug, Serialize)]
pub struct Partitions {
    /// Of the Master Boot Record.
    pub mbr: Vec<Partition>,
    /// Of the GUID Partition Table.
    pub gpt: Vec<Partition>,
}

/// A partition.
#[derive(Clone, Debug, Serialize)]
pub struct Partition {
    /// Counted from 1.
    pub number: usize,
    /// Type: a hexadecimal byte, or a GUID.
    pub r#type: String,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// A way for firmware to start the image.
#[derive(Clone, Debug, Serialize)]
pub struct BootPath {
    /// `bios`, `uefi` or `u-boot`.
    pub firmware: &'static str,
    /// `cd`, `usb` or `disk`.
    pub medium: &'static str,
    /// What is started.
    pub starts: String,
}

/// A program for UEFI: a loader, or a kernel.
#[derive(Clone, Debug, Serialize)]
pub struct UefiProgram {
    /// Path there.
    pub path: String,
    /// `volume` or `esp`.
    pub place: &'static str,
    /// What it says to be signed by; none of it is checked against any certificate of a firmware.
    pub signatures: Vec<Signature>,
    /// Why its signatures cannot be read.
    pub fault: Option<String>,
}

/// A signature in a program.
#[derive(Clone, Debug, Serialize)]
pub struct Signature {
    /// Common name of the signer's certificate.
    pub signer: String,
    /// Whether its digest is that of the program; null if that cannot be told. The signature itself is not
    /// checked.
    pub digest_fits: Option<bool>,
}

/// A kernel with its initrds and system.
#[derive(Clone, Debug, Serialize)]
pub struct BootTarget {
    /// Path on the volume.
    pub kernel: String,
    /// Paths on the volume.
    pub initrds: Vec<String>,
    /// The `init=` argument.
    pub init: String,
}

/// An initrd of the base.
#[derive(Clone, Debug, Serialize)]
pub struct Initrd {
    /// Path on the volume.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// `scripted`, `systemd` or `unknown`.
    pub stage_one: &'static str,
    /// Compression of each part, in order.
    pub parts: Vec<&'static str>,
}

/// A boot config.
#[derive(Clone, Debug, Serialize)]
pub struct Menu {
    /// Path there.
    pub path: String,
    /// `volume` or `esp`.
    pub place: &'static str,
    /// `grub` or `isolinux`.
    pub syntax: &'static str,
    /// How long it waits, as written: seconds in GRUB, tenths of them in isolinux.
    pub timeout: Option<String>,
    /// What it starts then, as written: titles in GRUB, a label in isolinux.
    pub default: Option<String>,
    /// The serial port it talks at, as written.
    pub serial: Option<String>,
    /// The entries that start NixOS.
    pub entries: Vec<Entry>,
}

/// A menu entry.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Menus down to the entry.
    pub title: Vec<String>,
    /// As written.
    pub kernel: String,
    /// As written.
    pub initrds: Vec<String>,
    /// As written, but for passwords.
    pub arguments: Vec<String>,
}

/// What was put into an image.
#[derive(Clone, Debug, Serialize)]
pub struct Injected {
    /// `extra-initrd`, `merged-initrd` or `credential`; `root` for files in a raw image's root filesystem.
    pub way: &'static str,
    /// The label of the base.
    pub base_label: String,
    /// Bytes of the base below.
    pub base_size: u64,
    /// The fingerprint of the key that signed the manifest, as that says; nothing of it is verified.
    pub signed_by: Option<String>,
    /// Whether the manifest has digests of all blocks.
    pub block_digests: bool,
    /// Keys that are there for logins.
    pub keys: Vec<Key>,
    /// Host keys by which the machine is known.
    pub host_keys: Vec<HostKey>,
    /// Paths of files that only their owner or group may read: the image is as secret as they are.
    pub secrets: Vec<String>,
    /// Everything else that is set: settings of the live system, and changes of the menus.
    pub settings: Vec<Setting>,
    /// What is to be known of `keys`, a line each: what of the files with keys is not understood, so that there may be more of
    /// them, and where it depends on something else whether anybody can log in.
    pub notes: Vec<String>,
    /// Files and folders of the live system.
    pub files: Vec<File>,
    /// Files on the volume that are brought into the live system at boot: large overlays and stores.
    pub attached: Vec<AttachedFile>,
}

/// A squashfs on the volume.
#[derive(Clone, Debug, Serialize)]
pub struct AttachedFile {
    /// Path on the volume.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// A key that is let in.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Key {
    /// The user that it lets in.
    pub user: &'static str,
    /// As `ssh-ed25519`.
    pub algorithm: String,
    /// As `SHA256:…`.
    pub fingerprint: String,
    /// Its comment.
    pub comment: String,
    /// What stands in front of it in its line, as `from="10.0.0.1"`.
    pub options: Option<String>,
    /// Why it lets nobody in to a shell, if it does not.
    pub shut_out: Option<String>,
}

/// A setting of the live system.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Setting {
    /// As a recipe names it, as `hostname`; several may have one name.
    pub name: String,
    /// As a recipe has it.
    pub value: String,
    /// The entries of the menus in which that is so; null if it is in all, or is not about menus.
    pub entries: Option<SomeEntries>,
    /// What opens a wireless network: `WPA2`, `WPA3` or `open`; null for anything else.
    pub security: Option<&'static str>,
}

impl Setting {
    /// The value for people, with where it is so and what opens it.
    pub fn shown(&self) -> String {
        let value = Some(self.value.clone()).filter(|value| !value.is_empty());
        let entries = self.entries.as_ref().map(SomeEntries::to_string);
        let security = self.security.map(|security| format!("({security})"));
        [value, entries, security].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// A host key; nothing of its private half.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct HostKey {
    /// As `ssh-ed25519`.
    pub algorithm: String,
    /// As `SHA256:…`.
    pub fingerprint: String,
    /// As a `known_hosts` file has it behind the name.
    pub public: String,
}

/// A file of the live system.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// `directory`, `file` or `symlink`.
    pub kind: &'static str,
    /// Permission bits in octal digits.
    pub mode: String,
    /// Numbers of user and group.
    pub owner: (u32, u32),
    /// Bytes.
    pub size: u64,
}

impl Report {
    /// Looks at an image.
    pub fn read<I: ReadAt>(image: &I) -> Result<Self> {
        Self::read_with(image, &Silent)
    }

    /// The same for somebody who waits: large files on the volume are read whole.
    pub fn read_with<I: ReadAt>(image: &I, progress: &dyn Progress) -> Result<Self> {
        let read = file_type::base_kind(image).and_then(|kind| match kind {
            BaseKind::Disk => Self::of_raw(image),
            BaseKind::Iso => Self::of_iso(image, progress),
        });
        image.if_unchanged(read.map(|report| report.with_manifest(image)))
    }

    /// The same with what the manifest has beyond the usual. One that cannot be read has nothing of it.
    fn with_manifest<I: ReadAt>(mut self, image: &I) -> Self {
        if let Some(injected) = &mut self.injected
            && let Ok(Some(found)) = found::of_image(image)
        {
            injected.signed_by = found.manifest.signed_by.filter(|_| found.signature.is_some());
            injected.block_digests = found.manifest.blocks.is_some();
        }
        self
    }

    /// Whether all structures agree.
    pub fn is_sound(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}
