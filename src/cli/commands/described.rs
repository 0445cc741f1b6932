//! Gets the base that a descriptor names: from beside it, from the cache, or from its address.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use remaster::bases::{Catalog, FetchOptions, Known, Record, Url};
use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::place::packing_of_name;
use remaster::progress::Progress;
use remaster::stamp::descriptor;
use remaster::units::format_bytes;

use crate::cli::base::{self, Source};
use crate::cli::printer;
use crate::cli::progress::Meter;
use crate::cli::shell::shell_quote;

/// Opens the base that a descriptor in `folder` names: a file of its name there, the base of its name in the cache,
/// or what is at its address, which is kept in the cache. `before` may refuse before that is fetched.
pub(super) fn open(
    told: &descriptor::Base,
    folder: &Path,
    source: &Source,
    before: impl FnOnce() -> Result<()>,
) -> Result<ImageFile> {
    let progress = Meter::stages_without_signals();
    let path = match beside(told, folder)? {
        Some(path) => path,
        None => match in_the_cache(told, source, &progress)? {
            Some(path) => path,
            None => at_address(told, source, &progress, before)?,
        },
    };
    printer::say(&format!("base: {}\n", shell_quote(&path)));
    let demanded = source.check(&path)?;
    base::whole(base::unpacked(base::file(&path, demanded)?, None)?)
}

/// The file of the base's name in a folder. A link would lead out of that.
fn beside(told: &descriptor::Base, folder: &Path) -> Result<Option<PathBuf>> {
    let path = folder.join(&told.file);
    match fs::symlink_metadata(&path) {
        Ok(about) if about.is_file() => Ok(Some(path)),
        Ok(_) => Err(Error::Recipe {
            what: format!("{} stands beside the descriptor and is not a file", path.display()),
            hint: "give the base itself before the descriptor".into(),
        }),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(Error::io(format!("look at {}", path.display()))(fault)),
    }
}

/// The base of that name in the cache, if it is this one.
fn in_the_cache(
    told: &descriptor::Base,
    source: &Source,
    progress: &dyn Progress,
) -> Result<Option<PathBuf>> {
    let Some(name) = &told.name else { return Ok(None) };
    let Some(base) = Catalog::built_in()?.find(name) else { return Ok(None) };
    let is_it = |record: &Record| record.sha256.parse() == Ok(told.sha256);
    let cache = source.place.open()?;
    if !cache.find(&base)?.is_some_and(|(record, _)| is_it(&record)) {
        return Ok(None);
    }
    Ok(cache.sound(&base, progress)?.map(|(_, path)| path))
}

fn at_address(
    told: &descriptor::Base,
    source: &Source,
    progress: &dyn Progress,
    before: impl FnOnce() -> Result<()>,
) -> Result<PathBuf> {
    let lacks = |what: String| {
        Error::Recipe {
        what,
        hint: format!(
            "give the base before the descriptor: its file is {}, and the image{} has the SHA-256 {}",
            told.file,
            // The digest in a descriptor is of the image.
            if packing_of_name(Path::new(&told.file)).is_some() { " that is packed in it" } else { "" },
            told.sha256
        )
        .into(),
    }
    };
    let Some(url) = &told.url else {
        let what = "the descriptor has no address of its base, and the base is neither beside it nor in the cache";
        return Err(lacks(what.into()));
    };
    let (sha256, size) = (told.sha256.to_string(), told.size);
    let known = Known { url: Url::parse(url)?, sha256, size };
    let cache = source.place.open()?;
    if let Some(path) = known.kept(&cache, progress)? {
        return Ok(path);
    }
    if source.offline {
        return Err(lacks(format!("--offline forbids fetching {url}")));
    }
    before()?;
    let size = format_bytes(size);
    printer::say(&format!("fetching {url} ({size}) into the cache (--offline prevents this)\n"));
    known.fetch(&cache, &FetchOptions::default(), progress)
}
