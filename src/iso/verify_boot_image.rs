//! What firmware starts is what it started before: every boot image where the catalog, the partitions and
//! the volume say, with the same files but for its menus.

use crate::boot::config::ConfigLocation;
use crate::error::Result;
use crate::image::ReadAt;
use crate::image::patched::PatchedImage;
use crate::image::scratch::Scratch;
use crate::iso::differs::differs;
use crate::iso::survey::Survey;
use crate::iso::survey::boot_catalog::ElToritoEntry;
use crate::iso::survey::esp::Esp;
use crate::units::ByteRange;

/// Bytes of a file in a boot image; loaders have a few MB.
const LARGEST_FILE: u64 = 64 << 20;

const WHAT: &str = "the UEFI boot image";

/// Checks all boot images. One that stayed where it was is looked into with the menus.
pub(super) fn check<B: ReadAt>(
    image: &PatchedImage<B>,
    base: &Survey,
    survey: &Survey,
) -> Result<()> {
    if base.boot.len() != survey.boot.len() {
        let found = survey.boot.len().to_string();
        return Err(differs("the boot catalog", 0, found, base.boot.len().to_string()));
    }
    for (was, is) in base.boot.iter().zip(&survey.boot) {
        if (was.platform, &was.path) != (is.platform, &is.path) {
            let (found, expected) = (format!("{is:?}"), format!("{was:?}"));
            return Err(differs("the boot catalog", is.entry.start(), found, expected));
        }
        if was.image != is.image && was.is_esp() {
            same_files(image, survey, was, is)?;
            partitions(base, survey, was.image, is.image)?;
        }
    }
    Ok(())
}

fn same_files<B: ReadAt>(
    image: &PatchedImage<B>,
    survey: &Survey,
    was: &ElToritoEntry,
    is: &ElToritoEntry,
) -> Result<()> {
    let (mut old, mut new) = (Scratch::new(image.base(), was.image), Scratch::new(image, is.image));
    let (old, new) = (Esp::open(&mut old)?, Esp::open(&mut new)?);
    let is_menu = |path: &str| {
        let mut configs = survey.configs.iter();
        configs.any(|config| config.place == ConfigLocation::Esp(is.image) && config.path == path)
    };
    let (before, after) = (old.files()?, new.files()?);
    for (was, is) in before.iter().zip(&after) {
        let same = || -> Result<bool> {
            Ok(old.read(&was.path, LARGEST_FILE)? == new.read(&is.path, LARGEST_FILE)?)
        };
        if was.path != is.path || !is_menu(&is.path) && !same()? {
            return Err(differs(WHAT, 0, is.path.clone(), was.path.clone()));
        }
    }
    if before.len() == after.len() {
        return Ok(());
    }
    Err(differs(WHAT, is.image.start(), after.len().to_string(), before.len().to_string()))
}

/// As many partitions start where the image is as started where it was.
fn partitions(base: &Survey, survey: &Survey, was: ByteRange, is: ByteRange) -> Result<()> {
    let count = |survey: &Survey, at: ByteRange| {
        let starts = |range: &ByteRange| range.start() == at.start() && range.end() >= at.end();
        survey.partitions.ranges().map(|ranges| ranges.into_iter().filter(starts).count())
    };
    let (found, expected) = (count(survey, is)?, count(base, was)?);
    if found == expected {
        return Ok(());
    }
    let found = format!("{found} partitions of it");
    Err(differs(WHAT, is.start(), found, expected.to_string()))
}
