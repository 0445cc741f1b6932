//! Words that people have for installers, and the name of the base that is meant by them.

use std::path::Path;

use clap::{ArgMatches, Command};
use remaster::bases::{Catalog, CatalogEntry};
use remaster::error::Error;

use super::usage;
use crate::cli::shell::shell_quote;

/// Words that say nothing about which base it is.
const ANY: [&str; 8] =
    ["nixos", "linux", "latest", "stable", "installer", "x86_64", "amd64", "x64"];

/// Words for the 64-bit architecture of ARM.
const ARM: [&str; 2] = ["aarch64", "arm64"];

/// Editions with a desktop. Channels that have one image for all of them call it by the last.
const DESKTOPS: [&str; 7] =
    ["gnome", "plasma", "plasma5", "plasma6", "kde", "desktop", "graphical"];

/// The arguments that take the name of a base: in commands that fetch what is not there, and in those of `base`.
const NAMES: [&str; 3] = ["base", "image", "name"];

/// What of a base the parts of a word name.
#[derive(Default)]
struct Parts<'a> {
    channel: Option<&'a str>,
    edition: Option<&'a str>,
    is_arm: bool,
}

/// The name of the base that is meant by a word which is none: `nixos`, `latest`, `nixos-25.11-minimal-arm64`.
pub(super) fn meant(word: &str) -> Option<String> {
    let catalog = Catalog::built_in().ok()?;
    // The library knows what is meant by a whole name in another order.
    if Path::new(word).exists() || catalog.find(word).is_some() || catalog.meant(word).is_some() {
        return None;
    }
    let word = word.to_lowercase();
    let parts = parts(&word)?;
    let bases = catalog.bases();
    let newest = bases.iter().rev().map(version).find(|version| is_number(version))?;
    let wanted = parts.channel.unwrap_or(newest);
    let of_channel: Vec<&CatalogEntry> = bases
        .iter()
        .filter(|base| version(base) == wanted && (base.architecture == "aarch64") == parts.is_arm)
        .collect();
    let edition = |name: &str| of_channel.iter().find(|base| base.edition == name);
    let found = match parts.edition {
        None => edition("minimal"),
        Some(name) => edition(name).or_else(|| {
            let desktop = || of_channel.iter().find(|base| base.edition != "minimal");
            if DESKTOPS.contains(&name) { desktop() } else { None }
        }),
    };
    found.map(|base| base.name())
}

fn version(base: &CatalogEntry) -> &str {
    base.channel.trim_start_matches("nixos-")
}

fn is_number(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
}

/// The parts of a word; none if one of them is about something else.
fn parts(word: &str) -> Option<Parts<'_>> {
    let mut found = Parts::default();
    for part in word.split('-') {
        match part {
            _ if ANY.contains(&part) => {}
            _ if ARM.contains(&part) => found.is_arm = true,
            "minimal" => found.edition = Some(part),
            _ if DESKTOPS.contains(&part) => found.edition = Some(part),
            _ if part == "unstable" || is_number(part) => found.channel = Some(part),
            _ => return None,
        }
    }
    Some(found)
}

/// What leads from such a word to the names.
pub(super) fn hint(name: &str) -> String {
    format!("did you mean `{name}`? `remaster base list` lists the names of bases")
}

/// Refuses a URL and a file where the name of a base is asked for.
fn no_name(word: &str) -> Result<(), Error> {
    let name = shell_quote(Path::new(word));
    let (is, hint) = if word.contains("://") {
        (
            "a URL",
            format!("fetch it with `curl -fLO {name}`, and give the file to a command as its base"),
        )
    } else if Path::new(word).is_file() {
        ("a file", "give it to a command as its base: files need no fetching".to_owned())
    } else {
        return Ok(());
    };
    Err(usage(format!("{name} is {is}, not the name of a base"), hint))
}

/// Refuses a word that is neither a file nor the name of a base where one of these is asked for.
pub(super) fn check(path: &[&str], command: &Command, matches: &ArgMatches) -> Result<(), Error> {
    let has = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
    let takes =
        |id: &&&str| if **id == "name" { path.first() == Some(&"base") } else { has("offline") };
    for id in NAMES.iter().filter(takes).filter(|id| has(id)) {
        let given = matches.try_get_raw(id).ok().flatten();
        for word in given.into_iter().flatten().filter_map(|word| word.to_str()) {
            if *id == "name" {
                no_name(word)?;
            }
            if let Some(name) = meant(word) {
                let is = if *id == "name" {
                    "is not the name of a base"
                } else {
                    "is neither a file nor the name of a base"
                };
                return Err(usage(format!("\"{word}\" {is}"), hint(&name)));
            }
        }
    }
    Ok(())
}
