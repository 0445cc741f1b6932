//! Makes the report of an ISO.

use std::collections::BTreeSet;

use super::injected::{carried_alike, credentials, injected_of, without_archives};
use super::manifest::OwnManifest;
use super::{
    BootPath, BootTarget, Entry, Initrd, Injected, Menu, Partition, Partitions, Report, SCHEMA,
    Signature, UefiProgram, Volume,
};
use crate::boot::config::{Config, ConfigLocation};
use crate::boot::hook_check::MadeBy;
use crate::boot::menu::Started;
use crate::boot::stage_one;
use crate::error::{Error, Result};
use crate::formats::boot_config::{Syntax, redacted, volume_path};
use crate::formats::pe::Covers;
use crate::image::ReadAt;
use crate::image::check::Check;
use crate::iso::attached;
use crate::iso::checks;
use crate::iso::injected::{IsoBase, Stamped};
use crate::iso::loaded::{self, LoadCheck};
use crate::iso::survey::Survey;
use crate::iso::survey::boot_catalog::Platform;
use crate::iso::survey::loaders;
use crate::iso::survey::nixos::initrd_place;
use crate::progress::Progress;
use crate::stamp::injected_facts::InjectedFacts;
use crate::stamp::manifest::BaseFacts;
use crate::stamp::manifest::found;
use crate::units::DISK_BLOCK;

impl Report {
    /// Looks at an ISO.
    pub(super) fn of_iso<I: ReadAt>(image: &I, progress: &dyn Progress) -> Result<Self> {
        let base = IsoBase::open(image)?;
        let now = if base.stamped.is_some() { Survey::read(image)? } else { base.survey.clone() };
        let known = Initrds::read(&base)?;
        let initrds = match &known {
            Initrds::Known(known) => known.iter().map(initrd).collect(),
            Initrds::Unknown(_) => unknown_initrds(&base.survey)?,
        };
        let stamped = base.stamped.as_ref();
        let changed = |it: &Stamped| attached::changed(image, &it.attached, progress);
        let changed = stamped.map_or(Ok(Vec::new()), changed)?;
        let mut checks = checks::check_survey(&now)?;
        checks.extend(known.check().filter(|_| stamped.is_none()));
        checks.extend(check_stamped(image, &base, &now, (known, &changed))?);
        checks.extend(carried_alike(&now.configs));
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
            injected: stamped.map(|stamped| {
                let mut injected = injected((image, stamped), &base, &now);
                injected.secrets.retain(|path| !changed.contains(path));
                injected
            }),
            checks,
        })
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

/// The partitions of the tables.
pub(super) fn partitions(tables: &crate::image::partitions::Partitions) -> Partitions {
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

fn place(place: &ConfigLocation) -> &'static str {
    if *place == ConfigLocation::Volume { "volume" } else { "esp" }
}

fn firmware(platform: Platform) -> Option<&'static str> {
    match platform {
        Platform::Bios => Some("bios"),
        Platform::Uefi => Some("uefi"),
        Platform::Other(_) => None,
    }
}

fn triplets(survey: &Survey) -> Vec<BootTarget> {
    let found = survey.triplets.iter();
    found
        .map(|one| BootTarget {
            kernel: one.kernel.clone(),
            initrds: one.initrds.clone(),
            init: one.init.clone(),
        })
        .collect()
}

/// The initrds of a base. An image whose initrds are not understood can be looked at.
enum Initrds {
    Known(Vec<stage_one::Initrd>),
    /// Why they are not understood.
    Unknown(String),
}

impl Initrds {
    fn read<B: ReadAt>(base: &IsoBase<B>) -> Result<Self> {
        match base.survey.initrds(&base.image) {
            Err(fault @ Error::Unsupported { .. }) => Ok(Self::Unknown(fault.to_string())),
            found => found.map(Self::Known),
        }
    }
}

impl Initrds {
    /// Why nothing can be put behind those of a base, if so. An image whose menus alone were changed needs none.
    fn check(&self) -> Option<Check> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(fault) => {
                Some(Check { name: "initrds", ok: false, detail: fault.clone() })
            }
        }
    }
}

/// The same check where squashfs files that were put in have other bytes now.
fn with_changed(check: Option<Check>, changed: &[String]) -> Option<Check> {
    if changed.is_empty() || check.as_ref().is_some_and(|check| !check.ok) {
        return check;
    }
    let detail = format!("{} has other bytes than those that were put in", changed.join(", "));
    Some(Check { name: loaded::NAME, ok: false, detail })
}

fn initrd(initrd: &stage_one::Initrd) -> Initrd {
    Initrd {
        path: initrd.path.clone(),
        size: initrd.at.size(),
        stage_one: initrd.contents.stage_one.name(),
        parts: initrd.contents.parts.iter().map(|part| part.name()).collect(),
    }
}

/// Whether what was put in is whole, and loaded.
fn check_stamped<I: ReadAt>(
    image: &I,
    base: &IsoBase<&I>,
    now: &Survey,
    (initrds, changed): (Initrds, &[String]),
) -> Result<Vec<Check>> {
    let Some(stamped) = &base.stamped else { return Ok(Vec::new()) };
    let manifest = OwnManifest::from_found(found::on_volume(image, now.tree()))?;
    let survey = &base.survey;
    let facts = BaseFacts::of(&base.image, survey.volume.identifier(), &survey.release)?;
    let loaded = check_loaded(image, base, now, (stamped, initrds, manifest.made_by()))?;
    let loaded = with_changed(loaded, changed);
    Ok(loaded.into_iter().chain([manifest.check((image, stamped), facts)]).collect())
}

/// Whether entries load what was put in.
fn check_loaded<I: ReadAt>(
    image: &I,
    base: &IsoBase<&I>,
    now: &Survey,
    (stamped, initrds, made_by): (&Stamped, Initrds, MadeBy),
) -> Result<Option<Check>> {
    let (base, folder) = (&base.survey, &stamped.folder);
    match initrds {
        Initrds::Known(initrds) => {
            LoadCheck { image, now, base, initrds: &initrds, folder, made_by }.run()
        }
        Initrds::Unknown(_) if !loaded::has_payload(now, folder) => Ok(None),
        Initrds::Unknown(fault) => Ok(Some(Check { name: loaded::NAME, ok: false, detail: fault })),
    }
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

/// A menu.
pub(super) fn menu(config: &Config) -> Menu {
    let texts = |words: &[crate::formats::boot_config::Word]| {
        words.iter().map(|word| word.text.clone()).collect()
    };
    let entries = config.entries.iter().map(|entry| Entry {
        title: entry.title.clone(),
        kernel: entry.kernel.text.clone(),
        initrds: texts(&entry.initrds),
        arguments: entry.arguments.iter().map(|word| redacted(&word.text)).collect(),
    });
    let Started { timeout, default, serial } = Started::from_config(config);
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

fn injected<I: ReadAt>(
    (image, stamped): (&I, &Stamped),
    base: &IsoBase<&I>,
    now: &Survey,
) -> Injected {
    let carried = credentials(&now.configs);
    let way = match unstamped_entries(now, &stamped.folder.payload()) {
        _ if now.tree().file(&stamped.folder.payload()).is_none() => without_archives(&carried),
        0 => "extra-initrd",
        _ => "merged-initrd",
    };
    let facts = InjectedFacts::from_iso(base).unwrap_or_default();
    injected_of((image, stamped), &facts, &carried, way, base.survey.volume.identifier())
}

/// Entries that do not load the payload by name.
fn unstamped_entries(survey: &Survey, payload: &str) -> usize {
    let entries = survey.configs.iter().flat_map(|config| &config.entries);
    let names_payload =
        |word: &crate::formats::boot_config::Word| volume_path(&word.text) == payload;
    entries.filter(|entry| !entry.initrds.last().is_some_and(names_payload)).count()
}
