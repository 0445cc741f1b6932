//! Everything that is known of an image, for people and for programs. The JSON form is documented by
//! `inspect.schema.json` beside this file; a change that a reader could notice raises [`SCHEMA`].

mod raw;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::customize;
use crate::edit::is_private;
use crate::error::{Error, Result};
use crate::format::boot_config::{Syntax, redacted, volume_path};
use crate::format::credential::keys_of;
use crate::format::newc::{Kind, Member};
use crate::format::pe::Covers;
use crate::image::ReadAt;
use crate::keys;
use crate::plan::menu::Started;
use crate::stamped::{Base, Stamped};
use crate::survey::boot::Platform;
use crate::survey::configs::{Config, Place};
use crate::survey::loaders;
use crate::survey::nixos::initrd_place;
use crate::survey::raw::Raw;
use crate::survey::{self, Survey};
use crate::units::{ByteRange, DISK_BLOCK};

/// The version of the JSON form.
pub const SCHEMA: u32 = 3;

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
    pub triplets: Vec<Triplet>,
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
pub struct Triplet {
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
    /// Compression of each part that had to be looked at.
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
    /// Keys that are let in.
    pub keys: Vec<Key>,
    /// Host keys by which the machine is known.
    pub host_keys: Vec<HostKey>,
    /// Paths of files that only their owner or group may read: the image is as secret as they are.
    pub secrets: Vec<String>,
    /// Settings of the live system.
    pub settings: Vec<Setting>,
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
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// As whom.
    pub user: &'static str,
    /// As `ssh-ed25519`.
    pub algorithm: String,
    /// As `SHA256:…`.
    pub fingerprint: String,
    /// Its comment.
    pub comment: String,
}

/// A setting of the live system.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// As a recipe names it, as `hostname`; several may have one name.
    pub name: String,
    /// As a recipe has it.
    pub value: String,
}

/// A host key; nothing of its private half.
#[derive(Clone, Debug, Serialize)]
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

/// Whether structures agree.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

impl Report {
    /// Looks at an image.
    pub fn of<I: ReadAt>(image: &I) -> Result<Self> {
        if Raw::is_one(image) {
            return Self::of_raw(image);
        }
        let base = Base::of(image)?;
        let now = if base.stamped.is_some() { Survey::of(image)? } else { base.survey.clone() };
        let initrds = initrds(&base)?;
        Ok(Self {
            schema: SCHEMA,
            size: now.size,
            release: now.release.clone(),
            architecture: now.architecture.map(str::to_owned),
            generation: generation(&initrds),
            volume: Some(volume(&now)),
            root: None,
            partitions: partitions(&now.partitions),
            boot_paths: boot_paths(&now, image)?,
            uefi_programs: uefi_programs(image, &now)?,
            triplets: triplets(&base.survey),
            initrds,
            menus: now.configs.iter().map(menu).collect(),
            injected: base.stamped.as_ref().map(|stamped| injected(stamped, &base.survey, &now)),
            checks: checks(&now),
        })
    }

    /// Whether all structures agree.
    pub fn is_sound(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

fn generation(initrds: &[Initrd]) -> String {
    let first = initrds.first().map_or("none", |initrd| initrd.stage_one);
    let same = initrds.iter().all(|initrd| initrd.stage_one == first);
    if same { first } else { "mixed" }.to_owned()
}

fn volume(survey: &Survey) -> Volume {
    Volume {
        identifier: survey.volume.identifier(),
        application: survey.volume.application(),
        size: survey.volume.size(),
        joliet: survey.volume.joliet.is_some(),
        files: survey.tree().files().count(),
    }
}

fn partitions(tables: &survey::partitions::Partitions) -> Partitions {
    let bytes = |blocks: u64, block: u64| blocks.saturating_mul(block);
    let mbr = tables.mbr.iter().flat_map(|mbr| {
        mbr.used().map(|(number, record)| Partition {
            number,
            r#type: format!("{:02x}", record.os_type),
            start: bytes(record.starting_lba.get().into(), DISK_BLOCK),
            size: bytes(record.size_in_lba.get().into(), DISK_BLOCK),
        })
    });
    let gpt = tables.gpt.iter().flat_map(|gpt| {
        gpt.partitions().into_iter().map(|found| {
            let (first, last) = found.blocks;
            let blocks = last.saturating_add(1).saturating_sub(first);
            Partition {
                number: found.number,
                r#type: found.type_guid,
                start: bytes(first, gpt.block()),
                size: bytes(blocks, gpt.block()),
            }
        })
    });
    Partitions { mbr: mbr.collect(), gpt: gpt.collect() }
}

fn boot_paths<I: ReadAt>(survey: &Survey, image: &I) -> Result<Vec<BootPath>> {
    let mut found: Vec<BootPath> = survey
        .boot
        .iter()
        .filter_map(|entry| {
            let firmware = firmware(entry.platform)?;
            let starts =
                entry.path.clone().unwrap_or_else(|| format!("boot image at {}", entry.image));
            Some(BootPath { firmware, medium: "cd", starts })
        })
        .collect();
    let Some(mbr) = &survey.partitions.mbr else { return Ok(found) };
    let mut code = [0; 440];
    image.read_exact_at(&mut code, 0)?;
    if code.iter().any(|byte| *byte != 0)
        && mbr.used().any(|(_, record)| record.boot_indicator == 0x80)
    {
        found.push(BootPath {
            firmware: "bios",
            medium: "usb",
            starts: "boot code of the Master Boot Record".into(),
        });
    }
    if let Some((number, _)) = mbr.used().find(|(_, record)| record.os_type == 0xef) {
        found.push(BootPath {
            firmware: "uefi",
            medium: "usb",
            starts: format!("partition {number}"),
        });
    }
    Ok(found)
}

fn uefi_programs<I: ReadAt>(image: &I, survey: &Survey) -> Result<Vec<UefiProgram>> {
    let shown = loaders::all(image, survey)?.into_iter().map(|loader| {
        let (signatures, fault) = match loader.signatures {
            Ok(found) => (found, None),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        let signatures = signatures.into_iter().map(|found| Signature {
            signer: found.signer,
            digest_fits: match found.covers {
                Covers::Program => Some(true),
                Covers::Other => Some(false),
                Covers::Unknown => None,
            },
        });
        UefiProgram {
            path: loader.path,
            place: place(&loader.place),
            signatures: signatures.collect(),
            fault,
        }
    });
    Ok(shown.collect())
}

fn place(place: &Place) -> &'static str {
    if *place == Place::Volume { "volume" } else { "esp" }
}

fn firmware(platform: Platform) -> Option<&'static str> {
    match platform {
        Platform::Bios => Some("bios"),
        Platform::Uefi => Some("uefi"),
        Platform::Other(_) => None,
    }
}

fn triplets(survey: &Survey) -> Vec<Triplet> {
    let found = survey.triplets.iter();
    found
        .map(|one| Triplet {
            kernel: one.kernel.clone(),
            initrds: one.initrds.clone(),
            init: one.init.clone(),
        })
        .collect()
}

fn initrds<B: ReadAt>(base: &Base<B>) -> Result<Vec<Initrd>> {
    let found = match base.survey.initrds(&base.image) {
        // An image that is not understood can be looked at.
        Err(Error::Unsupported { .. }) => return unknown_initrds(&base.survey),
        found => found?,
    };
    let shown = found.into_iter().map(|initrd| Initrd {
        path: initrd.path,
        size: initrd.at.size(),
        stage_one: initrd.contents.stage_one.name(),
        parts: initrd.contents.parts.iter().map(|part| part.name()).collect(),
    });
    Ok(shown.collect())
}

fn unknown_initrds(survey: &Survey) -> Result<Vec<Initrd>> {
    let paths: BTreeSet<&String> =
        survey.triplets.iter().filter_map(|found| found.initrds.last()).collect();
    let shown = paths.into_iter().map(|path| {
        let size = initrd_place(survey.tree(), path)?.size();
        Ok(Initrd { path: path.clone(), size, stage_one: "unknown", parts: Vec::new() })
    });
    shown.collect()
}

fn menu(config: &Config) -> Menu {
    let texts = |words: &[crate::format::boot_config::Word]| {
        words.iter().map(|word| word.text.clone()).collect()
    };
    let entries = config.entries.iter().map(|entry| Entry {
        title: entry.title.clone(),
        kernel: entry.kernel.text.clone(),
        initrds: texts(&entry.initrds),
        arguments: entry.arguments.iter().map(|word| redacted(&word.text)).collect(),
    });
    let Started { timeout, default, serial } = Started::of(config);
    Menu {
        timeout,
        default,
        serial,
        path: config.path.clone(),
        place: place(&config.place),
        syntax: match config.syntax {
            Syntax::Grub => "grub",
            Syntax::Isolinux => "isolinux",
        },
        entries: entries.collect(),
    }
}

/// Paths of `authorized_keys` files in a payload, and whom they let in.
const KEY_FILES: [(&str, &str); 2] =
    [("root", "root/.ssh/authorized_keys"), ("nixos", "home/nixos/.ssh/authorized_keys")];

/// Folder and ends of the names of host keys' public halves.
const HOST_KEYS: (&str, &str) = ("etc/ssh/ssh_host_", "_key.pub");

fn host_keys(stamped: &Stamped) -> Vec<HostKey> {
    let named = |member: &&Member| {
        member.path.starts_with(HOST_KEYS.0) && member.path.ends_with(HOST_KEYS.1)
    };
    let texts = stamped.root.iter().filter(named).filter_map(|member| match &member.kind {
        Kind::File(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    });
    let read = texts.filter_map(|text| ssh_key::PublicKey::from_openssh(text).ok());
    let shown = read.filter_map(|mut key| {
        key.set_comment("");
        Some(HostKey {
            algorithm: key.algorithm().to_string(),
            fingerprint: key.fingerprint(ssh_key::HashAlg::Sha256).to_string(),
            public: key.to_openssh().ok()?.trim_end().to_owned(),
        })
    });
    shown.collect()
}

fn injected(stamped: &Stamped, base: &Survey, now: &Survey) -> Injected {
    let carried = credentials(&now.configs);
    let way = match unstamped_entries(now, &stamped.folder.payload()) {
        _ if now.tree().file(&stamped.folder.payload()).is_none() => "credential",
        0 => "extra-initrd",
        _ => "merged-initrd",
    };
    injected_of(stamped, &carried, way, base.volume.identifier())
}

/// What was put in, also by keys that the command lines carry.
fn injected_of(
    stamped: &Stamped,
    carried: &[(String, Vec<u8>)],
    way: &'static str,
    base_label: String,
) -> Injected {
    let keys = KEY_FILES.iter().flat_map(|(user, path)| {
        let carried =
            carried.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.as_slice());
        let text = stamped.authorized_keys(path).or(carried).unwrap_or_default();
        let keys =
            keys::parse(path, text).map(|found| found.keys.keys().cloned().collect::<Vec<_>>());
        keys.unwrap_or_default().into_iter().map(|key| Key {
            user,
            algorithm: key.algorithm,
            fingerprint: key.fingerprint,
            comment: key.comment,
        })
    });
    let files = stamped.root.iter().map(|member| File {
        path: format!("/{}", member.path),
        kind: match member.kind {
            Kind::Directory => "directory",
            Kind::File(_) => "file",
            Kind::Symlink(_) => "symlink",
        },
        mode: format!("{:04o}", member.mode),
        owner: member.owner,
        size: member.size(),
    });
    let secrets = stamped.root.iter().filter(|member| is_private(member));
    Injected {
        way,
        base_label,
        base_size: stamped.undo.base_size,
        keys: keys.collect(),
        host_keys: host_keys(stamped),
        secrets: secrets.map(|member| format!("/{}", member.path)).collect(),
        settings: settings(stamped),
        files: files.collect(),
        attached: stamped
            .attached
            .iter()
            .map(|(path, at)| AttachedFile { path: path.clone(), size: at.size() })
            .collect(),
    }
}

fn settings(stamped: &Stamped) -> Vec<Setting> {
    let found = customize::settings(&stamped.root).into_iter();
    found.map(|(name, value)| Setting { name, value }).collect()
}

/// The `authorized_keys` that the command line of every entry carries.
fn credentials(configs: &[Config]) -> Vec<(String, Vec<u8>)> {
    let mut entries = configs.iter().flat_map(|config| &config.entries).map(|entry| {
        entry.arguments.iter().flat_map(|word| keys_of(&word.text)).collect::<Vec<_>>()
    });
    let first = entries.next().unwrap_or_default();
    if entries.all(|other| other == first) { first } else { Vec::new() }
}

/// Entries that do not load the payload by name.
fn unstamped_entries(survey: &Survey, payload: &str) -> usize {
    let entries = survey.configs.iter().flat_map(|config| &config.entries);
    let names_payload =
        |word: &crate::format::boot_config::Word| volume_path(&word.text) == payload;
    entries.filter(|entry| !entry.initrds.last().is_some_and(names_payload)).count()
}

fn checks(survey: &Survey) -> Vec<Check> {
    let mut checks = vec![
        Check {
            name: "volume size",
            // A stick is larger than what was written to it.
            ok: survey.volume.size() <= survey.size,
            detail: format!("{} bytes of {} in the image", survey.volume.size(), survey.size),
        },
        hierarchies(survey),
    ];
    if survey.partitions.gpt.is_some() {
        let fault = &survey.partitions.backup_fault;
        let detail = fault.clone().unwrap_or_else(|| "the backup mirrors the primary table".into());
        checks.push(Check { name: "backup GPT", ok: fault.is_none(), detail });
    }
    checks.extend(esp_partition(survey));
    checks
}

/// Whether both hierarchies hold the same bytes.
fn hierarchies(survey: &Survey) -> Check {
    let bytes = |tree: &crate::survey::tree::Tree| {
        let mut found: Vec<Vec<ByteRange>> =
            tree.files().map(|(_, node)| node.extents.clone()).collect();
        found.sort();
        found
    };
    let mut all = survey.trees.iter().map(bytes);
    let first = all.next();
    let ok = all.all(|other| Some(other) == first);
    let detail =
        format!("{} hierarchies, {} files", survey.trees.len(), survey.tree().files().count());
    Check { name: "hierarchies", ok, detail }
}

/// Whether partition and boot catalog start the same UEFI boot image.
fn esp_partition(survey: &Survey) -> Option<Check> {
    let entry = survey.boot.iter().find(|entry| entry.platform == Platform::Uefi)?;
    let mbr = survey.partitions.mbr.as_ref()?;
    let (_, record) = mbr.used().find(|(_, record)| record.os_type == 0xef)?;
    let start = u64::from(record.starting_lba.get()).saturating_mul(DISK_BLOCK);
    let detail =
        format!("boot catalog at byte {:#x}, partition at {start:#x}", entry.image.start());
    Some(Check { name: "UEFI boot image", ok: start == entry.image.start(), detail })
}
