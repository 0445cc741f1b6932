//! Units of systemd: where they go, and the links that start them.

use std::path::Path;

use super::arg_ref::ArgRef;
use super::overlay_tree::OverlayTree;
use crate::bounded::{self, NotText};
use crate::error::Result;
use crate::formats::unit_file::{UnitFile, UnitName};
use crate::recipe::edits::{Root, UNITS};
use crate::recipe::{Recipe, setting};

/// Bytes of a unit file.
const LARGEST: u64 = 1 << 20;

/// Where commands of units are found on NixOS.
const FOUND: [&str; 6] =
    ["/nix/store/", "/run/current-system/", "/run/wrappers/", "/opt/", "/etc/", "/root/"];

/// Commands of units that are found on NixOS besides.
const COMMANDS: [&str; 2] = ["/bin/sh", "/usr/bin/env"];

/// A unit that was read.
struct Unit<'a> {
    asked: ArgRef<'a>,
    name: &'a str,
    text: String,
    file: UnitFile,
}

/// Puts in all units of a recipe, and what starts them if that is asked for.
pub(super) fn gather(
    recipe: &Recipe,
    overlay: &OverlayTree,
    root: &mut Root,
    notes: &mut Vec<String>,
) -> Result<()> {
    let enable = recipe.enable == Some(true);
    let mut units: Vec<Unit<'_>> = Vec::new();
    for (index, path) in recipe.unit.iter().enumerate() {
        let unit = read(ArgRef { recipe, name: "unit", index }, path)?;
        if units.iter().any(|other| other.name == unit.name) {
            let what = format!("{} is given twice", unit.name);
            return Err(unit.asked.fault(what, "give it once"));
        }
        overlay.check_free(unit.asked, &format!("{UNITS}/{}", unit.name))?;
        check_programs(&unit, overlay, notes)?;
        units.push(unit);
    }
    for unit in &units {
        root.unit(unit.name, &unit.text);
        if enable {
            install(unit, &units, root)?;
        } else if unit.file.has("Install") {
            notes.push(format!(
                "{} is put in and not started at boot: that takes {}",
                unit.name,
                setting!(enable)
            ));
        }
    }
    Ok(())
}

fn read<'a>(asked: ArgRef<'a>, path: &'a Path) -> Result<Unit<'a>> {
    let shown = path.display();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if UnitName::parse(name).is_none() {
        let what = format!("{shown} has no name of a unit");
        return Err(asked.fault(
            what,
            format!(
                "name it as `backup.service`; drop-ins go below /etc/systemd/system.control by {}",
                setting!(file)
            ),
        ));
    }
    let bytes = bounded::read(path, LARGEST, &format!("read the unit {shown}"))?;
    let text = bounded::text(bytes)
        .map_err(|is| asked.fault(format!("cannot read {shown}: {is}"), NotText::HINT))?;
    if text.contains('\r') {
        let what =
            format!("{shown} has lines that end in CR LF, which systemd takes for parts of values");
        return Err(asked.fault(what, "make them end in LF, as by `sed -i 's/\\r$//'`"));
    }
    let file = UnitFile::parse(&text).map_err(|line| {
        let what = format!("{shown}:{line} is neither a section, nor `Key=value`, nor a comment");
        asked.fault(what, "give a unit file (systemd.syntax(7))")
    })?;
    Ok(Unit { asked, name, text, file })
}

/// Commands must be absolute, and be there.
fn check_programs(unit: &Unit<'_>, overlay: &OverlayTree, notes: &mut Vec<String>) -> Result<()> {
    for program in unit.file.programs() {
        let name = unit.name;
        if !program.starts_with(['/', '%', '$']) {
            let what = format!("{name} runs {program}, which is not an absolute path");
            return Err(unit.asked.fault(what, format!("NixOS's systemd finds no others: write /run/current-system/sw/bin/{program}, or /etc/profiles/per-user/root/bin/{program} for a {}", setting!(script))));
        }
        let there = COMMANDS.contains(&program)
            || FOUND.iter().any(|folder| program.starts_with(folder))
            || program.starts_with(['%', '$'])
            || overlay.get(program.trim_start_matches('/')).is_some();
        if !there {
            notes.push(format!("{name} runs {program}, which NixOS does not have there: its programs are in /run/current-system/sw/bin"));
        }
    }
    Ok(())
}

/// Whether another unit that is given starts this one.
fn is_started_by_another(unit: &Unit<'_>, units: &[Unit<'_>]) -> bool {
    let stem = |name: &str| name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
    units.iter().filter(|other| other.name != unit.name).any(|other| {
        let activates = [".timer", ".socket", ".path", ".automount"]
            .iter()
            .any(|kind| other.name.ends_with(kind));
        activates && stem(other.name) == stem(unit.name) || other.file.names(unit.name)
    })
}

/// The links that its [Install] section asks for (systemd.unit(5), "[Install] Section Options").
fn install(unit: &Unit<'_>, units: &[Unit<'_>], root: &mut Root) -> Result<()> {
    const KEYS: [(&str, &str); 3] =
        [("WantedBy", "wants"), ("RequiredBy", "requires"), ("UpheldBy", "upholds")];
    let links = KEYS.iter().flat_map(|(key, folder)| {
        unit.file.words("Install", key).into_iter().map(move |by| (by, *folder))
    });
    let links: Vec<(&str, &str)> = links.collect();
    let aliases = unit.file.words("Install", "Alias");
    if links.is_empty() && aliases.is_empty() {
        if is_started_by_another(unit, units) {
            return Ok(());
        }
        let what = format!("{} has no [Install] section that says what starts it", unit.name);
        return Err(unit.asked.fault(
            what,
            format!(
                "add `[Install]` and `WantedBy=multi-user.target`, or leave {} out",
                setting!(enable)
            ),
        ));
    }
    let started = started_name(unit)?;
    for (by, folder) in links {
        check_name(unit, by)?;
        root.symlink(
            &format!("etc/systemd/system.control/{by}.{folder}/{started}"),
            &format!("../{}", unit.name),
        );
    }
    for alias in aliases {
        check_name(unit, alias)?;
        if alias != unit.name {
            root.symlink(&format!("etc/systemd/system.control/{alias}"), unit.name);
        }
    }
    Ok(())
}

fn check_name(unit: &Unit<'_>, name: &str) -> Result<()> {
    if UnitName::parse(name).is_some() {
        return Ok(());
    }
    let what = format!(
        "{} has {name} in its [Install] section, which is not a plain name of a unit",
        unit.name
    );
    Err(unit.asked.fault(what, "write names without specifiers, as `multi-user.target`"))
}

/// The name that is started: of a template, its default instance.
fn started_name(unit: &Unit<'_>) -> Result<String> {
    let name = UnitName::parse(unit.name).filter(UnitName::is_template);
    let Some(name) = name else { return Ok(unit.name.to_owned()) };
    let instance = unit.file.words("Install", "DefaultInstance");
    match instance.last() {
        Some(instance) => {
            let started = format!("{}@{instance}.{}", name.stem, name.kind);
            check_name(unit, &started)?;
            Ok(started)
        }
        None => {
            let what = format!(
                "{} is a template, and has no DefaultInstance= that could be started",
                unit.name
            );
            Err(unit
                .asked
                .fault(what, "add one to its [Install] section, or name the file as an instance"))
        }
    }
}
