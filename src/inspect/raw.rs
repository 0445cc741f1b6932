//! Makes the report of a raw image, in the form that ISOs have.

use super::injected::{carried_alike, credentials, injected_of, without_archives};
use super::iso::{menu, partitions};
use super::manifest::OwnManifest;
use super::{BootPath, BootTarget, Injected, Report, Root, SCHEMA};
use crate::disk::checks as disk_checks;
use crate::disk::injected::DiskBase;
use crate::disk::survey::{DiskSurvey, MENU, path_of};
use crate::error::Result;
use crate::image::ReadAt;
use crate::iso::injected::Stamped;
use crate::stamp::injected_facts::InjectedFacts;
use crate::stamp::manifest::BaseFacts;
use crate::stamp::manifest::found;

impl Report {
    /// Looks at a raw image.
    pub(super) fn of_raw<I: ReadAt>(image: &I) -> Result<Self> {
        let base = DiskBase::open(image)?;
        let now = if base.stamped.is_some() { DiskSurvey::read(image)? } else { base.raw.clone() };
        let mut checks = disk_checks::check_survey(&now);
        checks.push(disk_checks::counts(&now.filesystem(image)?)?);
        if let Some(stamped) = &base.stamped {
            let manifest = OwnManifest::from_found(found::in_root(image, &now))?;
            let facts = BaseFacts::of(&base.image, base.raw.label.clone(), &base.raw.release)?;
            checks.push(manifest.check((image, stamped), facts));
        }
        checks.extend(carried_alike(std::slice::from_ref(&now.config)));
        Ok(Self {
            schema: SCHEMA,
            size: now.size,
            release: now.release.clone(),
            architecture: now.architecture.map(str::to_owned),
            generation: "untouched".into(),
            volume: None,
            root: Some(Root {
                partition: now.number,
                label: now.label.clone(),
                filesystem: "ext4",
                features: now.features.clone(),
                free: now.free,
            }),
            partitions: partitions(&now.partitions),
            boot_paths: vec![BootPath { firmware: "u-boot", medium: "disk", starts: MENU.into() }],
            uefi_programs: Vec::new(),
            triplets: triplets(&now),
            initrds: Vec::new(),
            menus: vec![menu(&now.config)],
            injected: base.stamped.as_ref().map(|stamped| injected((image, stamped), &base, &now)),
            checks,
        })
    }
}

fn triplets(raw: &DiskSurvey) -> Vec<BootTarget> {
    let mut found: Vec<BootTarget> = Vec::new();
    for entry in &raw.config.entries {
        let one = BootTarget {
            kernel: path_of(&entry.kernel.text),
            initrds: entry.initrds.iter().map(|word| path_of(&word.text)).collect(),
            init: entry.init().unwrap_or_default().to_owned(),
        };
        if !found.iter().any(|known| known.init == one.init && known.kernel == one.kernel) {
            found.push(one);
        }
    }
    found
}

fn injected<I: ReadAt>(
    (image, stamped): (&I, &Stamped),
    base: &DiskBase<&I>,
    now: &DiskSurvey,
) -> Injected {
    let carried = credentials(std::slice::from_ref(&now.config));
    let way = if stamped.root.is_empty() { without_archives(&carried) } else { "root" };
    let facts = InjectedFacts::from_disk(base).unwrap_or_default();
    injected_of((image, stamped), &facts, &carried, way, base.raw.label.clone())
}
