//! Holds a stamped image to its own manifest before anything is made of it: the base below, and what stays of the rest.

use super::claims::{Fault, first_fault};
use super::found::{self, Found};
use super::{BaseFacts, head};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::{ImageFile, ReadAt};
use crate::iso::attached;
use crate::iso::injected::Stamped;
use crate::iso::loaded::{self, LoadCheck};
use crate::progress::Progress;
use crate::stamp::base_image::BaseImage;

/// What of an image goes into the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    /// The base below alone.
    Base,
    /// What was put in, too.
    All,
}

/// Refuses a `base` below the image of a `name` that is not what the manifest says. All of it has to be read where the
/// manifest has its SHA-256, which is asked for only then.
///
/// # Errors
/// [`Error::Checksum`], and what cannot be read.
pub fn check<I: ReadAt>(
    said: &BaseFacts,
    (base, name): (&I, &str),
    sha256: impl FnOnce() -> Result<Digest>,
) -> Result<()> {
    let whole = format!("the base below {name}");
    if let Some(expected) = said.sha256 {
        equal(&whole, sha256()?, expected)?;
    }
    equal(&format!("the first mebibyte of {whole}"), head(base)?, said.head_sha256)
}

/// The same of a base that was opened from a file, and of what was put in where that is kept. An image that nothing was
/// put into has no manifest, and costs nothing.
///
/// # Errors
/// [`Error::Signature`] for what was put in, and a manifest that cannot be read.
pub fn check_opened(
    base: &BaseImage<&ImageFile>,
    kept: Kept,
    progress: &dyn Progress,
) -> Result<()> {
    let file = *base.original().base();
    let Some(stamped) = base.injected() else { return Ok(()) };
    let Some(found) = found::of_image(file)? else { return Ok(()) };
    let (below, name) = (base.original(), file.name());
    check(&found.manifest.base, (below, &name), || Digest::compute(below, progress))?;
    let fault = if kept == Kept::All { fault(base, stamped, &found, progress)? } else { None };
    fault.map_or(Ok(()), |fault| {
        Err(Error::Signature {
            what: format!("{name} is {fault}"),
            hint: "get the image again from where it was made, or make it again".into(),
        })
    })
}

/// What is wrong with what was put in.
fn fault(
    base: &BaseImage<&ImageFile>,
    stamped: &Stamped,
    found: &Found,
    progress: &dyn Progress,
) -> Result<Option<String>> {
    let image = *base.original().base();
    if let Some(Fault { what, found }) =
        first_fault(found, (image, stamped), BaseFacts::gather(base)?)
    {
        return Ok(Some(format!("not as its manifest says: {what}: {found}")));
    }
    if let Some(path) = attached::changed(image, &stamped.attached, progress)?.first() {
        return Ok(Some(format!("damaged: {path} has other bytes than those that were put in")));
    }
    let Some((iso, now)) = base.iso().and_then(|iso| Some((iso, iso.now.as_ref()?))) else {
        return Ok(None);
    };
    let (folder, made_by) = (&stamped.folder, found.made_by());
    if !loaded::has_payload(now, folder) {
        return Ok(None);
    }
    let initrds = base.initrds()?;
    let check = LoadCheck { image, now, base: &iso.survey, initrds, folder, made_by }.run()?;
    let wrong = check.filter(|check| !check.ok);
    Ok(wrong.map(|check| format!("damaged: {}: {}", check.name, check.detail)))
}

fn equal(what: &str, found: Digest, expected: Digest) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Checksum {
        what: what.to_owned(),
        found: found.to_string(),
        expected: format!("{expected}, as its manifest says"),
        hint: "get the image again from where it was made, or download its base: what this one keeps of it is damaged".into(),
    })
}
