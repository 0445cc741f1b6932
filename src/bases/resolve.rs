//! From what was given as a base to a file: a path, or the name of a base that is fetched if need be.

use std::fs;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::catalog::{Catalog, CatalogEntry};
use super::fetch::fetch;
use super::fetch_options::FetchOptions;
use crate::error::{Advice, Error, Result};
use crate::progress::Progress;

/// Where bases may come from.
#[derive(Clone, Debug, Default)]
pub struct ResolveOptions {
    /// The cache; the user's if none.
    pub cache: Option<PathBuf>,
    /// Where bases are fetched from.
    pub origin: FetchOptions,
    /// The setting that forbids fetching, as the caller calls it.
    pub offline: Option<&'static str>,
}

/// A base that is there.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Its file.
    pub path: PathBuf,
    /// As of [`Fetched`](super::Fetched), where it was fetched.
    pub left: Vec<PathBuf>,
}

impl Resolved {
    fn at(path: PathBuf) -> Self {
        Self { path, left: Vec::new() }
    }
}

/// The file of a base. What stands at the path wins over a name. `before` hears of a base that is to be
/// fetched, and may refuse.
///
/// # Errors
/// A name that is not in the catalogue; a base that is not in the cache and may not or cannot be fetched.
pub fn resolve(
    given: &Path,
    demand: &ResolveOptions,
    progress: &dyn Progress,
    before: impl FnOnce(&CatalogEntry) -> Result<()>,
) -> Result<Resolved> {
    let Some(name) = name_of(given) else {
        return not_a_name_with_a_suffix(given).map(|()| Resolved::at(given.to_owned()));
    };
    let base = Catalog::built_in()?.get(name)?;
    let cache = Cache::at(demand.cache.as_deref())?;
    if let Some((_, path)) = cache.sound(&base, progress)? {
        return Ok(Resolved::at(path));
    }
    if let Some(forbids) = demand.offline {
        return Err(Error::Usage {
            what: format!(
                "{name} is not in {}, and {forbids} forbids fetching it",
                cache.folder().display()
            ),
            hint: Advice::AllowFetching(name.to_owned()),
        });
    }
    before(&base)?;
    let fetched = fetch(&cache, &base, &demand.origin, progress)?;
    Ok(Resolved { path: fetched.path, left: fetched.left })
}

/// Refuses `nixos-25.11-minimal.iso`, `nixos-minimal-25.11-x86_64-linux.iso` and `25.11` where no such file is: a base is
/// meant.
fn not_a_name_with_a_suffix(given: &Path) -> Result<()> {
    if fs::symlink_metadata(given).is_ok() || given.parent() != Some(Path::new("")) {
        return Ok(());
    }
    let stem = given.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let catalog = Catalog::built_in()?;
    let hint = match (catalog.find(stem), given.to_str().and_then(|text| catalog.meant(text))) {
        (Some(base), _) => {
            format!("`{}` is the name of a base: give it without an ending", base.name())
        }
        (None, Some(base)) => {
            format!("check the path, or give `{}`, the name of a base", base.name())
        }
        (None, None) => return Ok(()),
    };
    Err(Error::Usage { what: format!("there is no file {}", given.display()), hint: hint.into() })
}

/// What is taken for the name of a base: something like `nixos-25.11-minimal` that is not a file.
pub fn name_of(given: &Path) -> Option<&str> {
    let name = given.to_str().filter(|name| name.starts_with("nixos-") && !name.contains('/'))?;
    let is_image = [".iso", ".img", ".zst", ".xz", ".gz", ".bz2", ".zip"]
        .iter()
        .any(|end| name.ends_with(end));
    (!is_image && fs::symlink_metadata(given).is_err()).then_some(name)
}
