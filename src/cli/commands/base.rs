//! `remaster base`: fetches, lists, verifies and removes bases by name.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use remaster::bases::{self, Cache, Catalog, CatalogEntry, FetchOptions, LastCheck, Record};
use remaster::error::{Advice, Error, Result};
use remaster::units::format_bytes;
use serde_json::json;

use crate::cli::base::{CacheArgs, mirror, note_left};
use crate::cli::printer;
use crate::cli::progress::Meter;

/// Fetch official installers by name, and list those fetched
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all bases, and which of them are in the cache
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cache: CacheArgs,
    },
    /// Fetch the newest release of a base, checked by its published SHA-256; continues an interrupted download
    Fetch {
        /// Name of a base, such as `nixos-25.11-minimal`
        name: String,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        cache: CacheArgs,
    },
    /// Show where a base in the cache comes from
    Show {
        /// Name of a base in the cache
        name: String,
        /// The older name of `base verify`
        #[arg(long, hide = true)]
        check: bool,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cache: CacheArgs,
    },
    /// Read a base in the cache and compare its SHA-256 with the published one
    Verify {
        /// Name of a base in the cache
        name: String,
        #[command(flatten)]
        cache: CacheArgs,
    },
    /// Print the path of a base in the cache
    Path {
        /// Name of a base in the cache
        name: String,
        #[command(flatten)]
        cache: CacheArgs,
    },
    /// Remove a base from the cache
    Remove {
        /// Name of a base in the cache
        name: String,
        #[command(flatten)]
        cache: CacheArgs,
    },
}

#[derive(Debug, clap::Args)]
struct Server {
    #[arg(
        long,
        value_name = "URL",
        help = "Server that is asked for channels [default: $REMASTER_MIRROR, or https://channels.nixos.org]"
    )]
    mirror: Option<String>,
    /// Certificates (PEM) to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Seconds without data after which a server is given up
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::List { json, cache } => list(&cache.open()?, *json),
        Command::Fetch { name, server, cache } => fetch(name, server, &cache.open()?),
        Command::Show { name, check, json, cache } => {
            let cache = cache.open()?;
            if *check {
                verified(name, &cache)?;
            }
            let (record, path) = cached(name, &cache)?;
            show(&record, &path, *json)
        }
        Command::Verify { name, cache } => verify(name, &cache.open()?),
        Command::Path { name, cache } => {
            let (_, path) = cached(name, &cache.open()?)?;
            printer::print(&format!("{}\n", path.display()))
        }
        Command::Remove { name, cache } => {
            let (base, cache) = (Catalog::built_in()?.get(name)?, cache.open()?);
            let hint = "`remaster base list` shows which bases are there";
            let removed = cache.remove(&base)?;
            if !removed.any {
                return Err(absent(&base, &cache, hint.into()));
            }
            note_left(&removed.left);
            printer::say(&format!("removed {name} from {}\n", cache.folder().display()));
            Ok(())
        }
    }
}

fn verify(name: &str, cache: &Cache) -> Result<()> {
    let (record, path) = verified(name, cache)?;
    let Record { version, sha256, .. } = record;
    printer::tell(&format!(
        "{name} {version} verified: {} has the SHA-256 {sha256}\n",
        path.display()
    ))
}

fn verified(name: &str, cache: &Cache) -> Result<(Record, PathBuf)> {
    let base = Catalog::built_in()?.get(name)?;
    let (record, path) = cache.find(&base)?.ok_or_else(|| to_fetch(&base, cache))?;
    cache.verify(&base, &record, &path, &Meter::stages_without_signals())?;
    Ok((record, path))
}

/// All bases, newest first.
/// - `[].name`: the name by which commands take it
/// - `[].channel`: of the NixOS project, as `nixos-25.11`
/// - `[].edition`: as `minimal`
/// - `[].architecture`: as `x86_64`
/// - `[].damaged`: what is wrong with it in the cache, or null
/// - `[].cached.path`: its file; `cached` is null where it is not in the cache
/// - `[].cached.record`: what is known of it: [`Record`]
fn list(cache: &Cache, as_json: bool) -> Result<()> {
    cache.check_folder()?;
    let mut text = String::new();
    let mut rows = Vec::new();
    let mut all = Catalog::built_in()?.bases();
    // The newest release first, and what is not released last; of one release in the order of the catalog.
    all.sort_by_key(|base| Reverse((!base.channel.ends_with("unstable"), base.channel.clone())));
    let _ = writeln!(text, "{:<32} IN THE CACHE", "NAME");
    for base in all {
        let found = cache.find(&base);
        let (state, fault) = match &found {
            Ok(Some((record, path))) => {
                let changed = match cache.check_of(&base, path) {
                    LastCheck::Same => "",
                    LastCheck::Changed => ", changed since it was checked",
                    LastCheck::Unknown => ", not known when it was checked",
                };
                let size = format_bytes(record.size);
                (format!("{} ({size}{changed})", record.version), None)
            }
            Ok(None) => (String::new(), None),
            Err(fault @ Error::Io { .. }) => (fault.to_string(), Some(fault.to_string())),
            Err(fault) => (format!("damaged: {fault}"), Some(fault.to_string())),
        };
        let _ = writeln!(text, "{}", format!("{:<32} {state}", base.name()).trim_end());
        let found = found.ok().flatten();
        rows.push(json!({
            "name": base.name(), "channel": base.channel, "edition": base.edition,
            "architecture": base.architecture, "damaged": fault,
            "cached": found.map(|(record, path)| json!({"path": path, "record": record})),
        }));
    }
    if as_json { printer::print_pretty_json(&rows) } else { printer::print(&text) }
}

fn fetch(name: &str, server: &Server, cache: &Cache) -> Result<()> {
    let base = Catalog::built_in()?.get(name)?;
    let origin = FetchOptions {
        mirror: mirror(server.mirror.as_ref())?,
        ca_file: server.ca_file.clone(),
        timeout: Duration::from_secs(server.timeout),
    };
    let fetched = bases::fetch(cache, &base, &origin, &Meter::stages_without_signals())?;
    note_left(&fetched.left);
    let did = if fetched.was_there { "is there and is" } else { "fetched:" };
    printer::tell(&format!("{name} {did} the newest\n"))?;
    printer::tell(&shown(&fetched.record, &fetched.path))
}

fn cached(name: &str, cache: &Cache) -> Result<(Record, PathBuf)> {
    let base = Catalog::built_in()?.get(name)?;
    let found = cache.sound(&base, &Meter::stages_without_signals())?;
    found.ok_or_else(|| to_fetch(&base, cache))
}

fn to_fetch(base: &CatalogEntry, cache: &Cache) -> Error {
    absent(base, cache, format!("fetch it with `remaster base fetch {}`", base.name()).into())
}

fn absent(base: &CatalogEntry, cache: &Cache, hint: Advice) -> Error {
    Error::Usage { what: format!("{} is not in {}", base.name(), cache.folder().display()), hint }
}

/// A base in the cache.
/// - `path`: its file
/// - `record`: what is known of it: [`Record`]
fn show(record: &Record, path: &Path, as_json: bool) -> Result<()> {
    if as_json {
        return printer::print_pretty_json(&json!({"path": path, "record": record}));
    }
    printer::print(&shown(record, path))
}

fn shown(record: &Record, path: &Path) -> String {
    let Record { name, version, url, sha256, size, .. } = record;
    format!(
        "{name}: NixOS {version}, {size} bytes ({})\n  file    {}\n  from    {url}\n  sha256  {sha256}\n",
        format_bytes(*size),
        path.display(),
    )
}
