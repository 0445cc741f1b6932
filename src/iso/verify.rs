//! Surveys a composed image again, before anything of it is written.

use std::collections::BTreeMap;

use crate::boot::config::Config;
use crate::boot::entry_args;
use crate::boot::folder::Folder;
use crate::boot::hook_check::MadeBy;
use crate::boot::menu;
use crate::boot::stage_one::Initrd;
use crate::checked;
use crate::error::Result;
use crate::image::ReadAt;
use crate::image::patched::PatchedImage;
use crate::iso::checks;
use crate::iso::differs::differs;
use crate::iso::injected::Stamped;
use crate::iso::loaded::{self, LoadCheck};
use crate::iso::plan::relabel;
use crate::iso::survey::Survey;
use crate::iso::survey::tree::Tree;
use crate::iso::survey::volume::SESSION;
use crate::iso::verify_boot_image;
use crate::recipe::edits::{Attached, Boot, Edits, InjectMethod};
use crate::units::{LOGICAL_BLOCK, u64_len};

/// Checks that `image`, made from a base with these initrds, shows the edits and is sound everywhere else.
///
/// # Errors
/// [`crate::Error::Bug`] if it is not: a fault of this program, and nothing must be written.
pub fn check<B: ReadAt>(
    image: &PatchedImage<B>,
    base: &Survey,
    initrds: &[Initrd],
    edits: &Edits,
) -> Result<()> {
    let survey = Survey::read(image)?;
    let folder = Folder::find(survey.tree().paths())
        .ok_or_else(|| differs("the folder", 0, "none", "one"))?;
    sizes(image.size(), &survey)?;
    loaded::check_shape(&base.configs, &survey.configs)
        .map_err(|fault| differs("boot configs", 0, fault, "those of the base"))?;
    boot_lines(&base.configs, &survey.configs, &base.volume.identifier(), &edits.boot)?;
    label(image, base, &survey, edits)?;
    verify_boot_image::check(image, base, &survey)?;
    for (old, new) in base.trees.iter().zip(&survey.trees) {
        files(old, new, base, &survey, edits)?;
    }
    let stamped = Stamped::find(image, survey.tree())?;
    let same = stamped.as_ref().is_some_and(|stamped| stamped.root.iter().eq(edits.root.members()));
    let stamped = stamped.filter(|_| same);
    let stamped =
        stamped.ok_or_else(|| differs("the payload", 0, "something else", "the edits"))?;
    attached(image, &stamped, &folder, &edits.attached)?;
    records(image, &survey, &folder, edits)?;
    let (now, folder, made_by) = (&survey, &folder, MadeBy::ThisVersion);
    match (LoadCheck { image, now, base, initrds, folder, made_by }).run()? {
        None if edits.way.has_archives() => {
            Err(differs(loaded::NAME, 0, "nothing", "hooks and a payload"))
        }
        Some(wrong) if !wrong.ok => {
            Err(differs(wrong.name, 0, wrong.detail, "what every entry is to load"))
        }
        _ => Ok(()),
    }
}

/// What the image tells of itself stands in the folder.
fn records<B: ReadAt>(
    image: &PatchedImage<B>,
    survey: &Survey,
    folder: &Folder,
    edits: &Edits,
) -> Result<()> {
    for (name, bytes) in &edits.records {
        let path = folder.file(name);
        let at = survey.tree().file(&path).and_then(|node| node.extents.first());
        let found = at.map(|at| image.read_range(&path, *at, u64_len(bytes))).transpose()?;
        if found.as_ref() != Some(bytes) {
            let at = at.map_or(0, |at| at.start());
            return Err(differs(&path, at, "something else", "the record of the image"));
        }
    }
    Ok(())
}

fn sizes(size: u64, survey: &Survey) -> Result<()> {
    let first = survey.volume.hierarchies().map(|(_, found)| (found, 0));
    let second = survey.volume.second.iter().map(|found| (found, SESSION));
    for (descriptor, before) in first.chain(second) {
        let blocks = descriptor.value.volume_space_size.get().map_or(0, u64::from);
        let end = checked::sum(blocks, before.into(), "the end of the volume")?;
        if checked::product(end, LOGICAL_BLOCK, "the end of the volume")? != size {
            return Err(differs(
                "Volume Space Size",
                descriptor.at.start(),
                blocks.to_string(),
                format!("{size} bytes"),
            ));
        }
    }
    let checks = checks::check_survey(survey)?;
    match checks.iter().find(|check| !check.ok) {
        Some(wrong) => Err(differs(wrong.name, size, &wrong.detail, "structures that agree")),
        None => Ok(()),
    }
}

/// Every entry has the arguments and the title it is to have, and menus wait and start what they are to.
pub(crate) fn boot_lines(
    base: &[Config],
    now: &[Config],
    old_label: &str,
    boot: &Boot,
) -> Result<()> {
    for (old, new) in base.iter().zip(now) {
        let fault = |what: &str, found: String, expected: String| {
            Err(differs(&format!("{what} of {}", new.path), 0, found, expected))
        };
        for (was, is) in old.entries.iter().zip(&new.entries) {
            let credential = boot.credentials.iter().find(|credential| {
                is.arguments.iter().any(|word| word.text == credential.argument)
            });
            if credential.is_none() && !boot.credentials.is_empty() {
                return fault("an entry", "no keys".into(), "keys on the command line".into());
            }
            let expected = entry_args::arguments(was, boot, old_label, credential)?;
            let found: Vec<&str> = is.arguments.iter().map(|word| word.text.as_str()).collect();
            // Initrds among the arguments of isolinux were checked with the archives.
            let same =
                |a: &&&str, b: &&&str| a == b || a.starts_with("initrd=") && b.starts_with(**a);
            let all = expected.all();
            if all.len() != found.len() || !all.iter().zip(&found).all(|(a, b)| same(&a, &b)) {
                return fault("the command line", found.join(" "), all.join(" "));
            }
            let title = |title: &[String]| title.last().cloned().unwrap_or_default();
            let prefix = boot.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            if title(&is.title) != prefix + &title(&was.title) {
                return fault("the title", title(&is.title), "the name before the old one".into());
            }
        }
        let expected = menu::started(old, boot)?.over(menu::Started::from_config(old));
        let found = menu::Started::from_config(new);
        if expected != found {
            return fault("the settings", format!("{found:?}"), format!("{expected:?}"));
        }
    }
    Ok(())
}

/// The volume is called what it is to be, and nothing looks for it by another name.
fn label<B: ReadAt>(
    image: &PatchedImage<B>,
    base: &Survey,
    survey: &Survey,
    edits: &Edits,
) -> Result<()> {
    let old = base.volume.identifier();
    let new = edits.boot.label.as_ref().map_or(old.as_str(), |label| label.value.as_str());
    let joliet = |survey: &Survey| survey.volume.joliet_identifier();
    // Joliet's field has 32 bytes, two for a character.
    let cut: String = new.chars().take(16).collect();
    let expected =
        if edits.boot.label.is_some() { joliet(base).map(|_| cut) } else { joliet(base) };
    if survey.volume.identifier() != new || joliet(survey) != expected {
        let found = format!("{:?} and {:?}", survey.volume.identifier(), joliet(survey));
        // In the Primary Volume Descriptor, which is block 16: BP 41 (ECMA-119 §8.4.6).
        return Err(differs("the label", 0x8028, found, new));
    }
    if new == old {
        return Ok(());
    }
    for (was, is) in base.triplets.iter().zip(&survey.triplets) {
        let stale = relabel::tables(image, survey, &is.initrds, &old)?;
        let tables = relabel::tables(image, survey, &is.initrds, new)?.len();
        let expected = relabel::tables(image.base(), base, &was.initrds, &old)?.len();
        if !stale.is_empty() || tables != expected {
            return Err(differs(
                "the initrds",
                0,
                format!("{tables} tables with the label"),
                expected.to_string(),
            ));
        }
    }
    Ok(())
}

/// Every file of the base is there with its bytes where they were, except for those that were replaced.
fn files(old: &Tree, new: &Tree, base: &Survey, survey: &Survey, edits: &Edits) -> Result<()> {
    let merged = edits.way == InjectMethod::MergeInitrd;
    let menus = !merged || !edits.boot.is_empty();
    let configs = base.configs.iter().map(|config| &config.path).filter(|_| menus);
    let initrds = initrd_paths(base).filter(|_| merged);
    let boot_images = base.boot.iter().zip(&survey.boot);
    let moved = boot_images.filter(|(was, is)| was.image != is.image);
    let moved = moved.filter_map(|(was, _)| was.path.as_ref());
    // What has the bytes of a replaced file has the new ones, by whatever path and in either hierarchy.
    let replaced: BTreeMap<&Vec<_>, &Vec<_>> = configs
        .chain(initrds)
        .chain(moved)
        .filter_map(|path| {
            Some((&base.tree().file(path)?.extents, &survey.tree().file(path)?.extents))
        })
        .collect();
    for (path, node) in old.files() {
        let expected = replaced.get(&node.extents).copied();
        if new.file(path).is_none_or(|found| found.extents != *expected.unwrap_or(&node.extents)) {
            return Err(differs(
                &format!("{path} in the {:?} hierarchy", old.hierarchy),
                node.record,
                "moved or lost",
                if expected.is_some() { "the new contents" } else { "untouched" },
            ));
        }
    }
    // In Joliet and elsewhere alike: our folder, and nothing else, is new.
    let ours = Folder::find(new.paths())
        .map_or(0, |folder| new.nodes.keys().filter(|path| folder.holds(path)).count());
    let kept = checked::difference(new.nodes.len(), ours, "the files that are kept")?;
    if kept != old.nodes.len() {
        return Err(differs(
            "the directory tree",
            0,
            format!("{kept} files"),
            old.nodes.len().to_string(),
        ));
    }
    Ok(())
}

/// Bytes at each end of a large file that are compared.
const ENDS: u64 = 1 << 20;

/// Every squashfs is there by the name that the hook looks for, as long as it is and with its first and last bytes.
fn attached<B: ReadAt>(
    image: &PatchedImage<B>,
    stamped: &Stamped,
    folder: &Folder,
    expected: &[Attached],
) -> Result<()> {
    if stamped.attached.len() != expected.len() {
        let found = stamped.attached.len().to_string();
        return Err(differs("squashfs files", 0, found, expected.len().to_string()));
    }
    for (number, ((path, at), one)) in (1..).zip(stamped.attached.iter().zip(expected)) {
        let name = folder.attached(number, &one.id);
        if *path != name {
            return Err(differs("the name of a squashfs", at.start(), path, name));
        }
        let size = one.bytes.size();
        if at.size() != size {
            return Err(differs(path, at.start(), at.size().to_string(), size.to_string()));
        }
        let length = size.min(ENDS);
        for start in [0, checked::difference(size, length, "the end of a squashfs")?] {
            let part = checked::range(start, length, "a part of a squashfs")?;
            let there = checked::sum(at.start(), start, "a part of a squashfs")?;
            let there = checked::range(there, length, "a part of a squashfs")?;
            let expected = one.bytes.read_range(path, part, ENDS)?;
            if image.read_range(path, there, ENDS)? != expected {
                return Err(differs(path, there.start(), "other bytes", "those of the file"));
            }
        }
    }
    Ok(())
}

fn initrd_paths(survey: &Survey) -> impl Iterator<Item = &String> {
    survey.triplets.iter().filter_map(|triplet| triplet.initrds.last())
}
