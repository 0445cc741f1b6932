//! Another label: what names the old one, and files of the initrds that must name the new one.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::boot::config::Config;
use crate::boot::stage_one;
use crate::error::{Error, Result};
use crate::formats::boot_config::volume_path;
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::iso::survey::Survey;
use crate::iso::survey::configs;
use crate::iso::survey::nixos;

/// The files that each initrd gets again, by the path of the last initrd of an entry.
pub(crate) type Renamed = BTreeMap<String, Vec<Member>>;

/// Ends of the paths of files that list what is mounted: the fstab of a systemd stage 1, which is at
/// `SYSTEMD_SYSROOT_FSTAB`, and the list of a scripted one.
const TABLES: [&str; 2] = ["fstab", "-initrd-fsinfo"];

/// Finds everything that names the label of a base, and makes it name `new`.
///
/// # Errors
/// [`Error::Unsupported`] where something names the label that is not understood, or an entry would not
/// find its medium.
pub fn renamed<I: ReadAt>(image: &I, survey: &Survey, new: &str) -> Result<Renamed> {
    let old = survey.volume.identifier();
    survey.configs.iter().try_for_each(|config| check_config(config, &old))?;
    configs::others(image, survey.tree(), &survey.boot, &survey.configs)?
        .iter()
        .try_for_each(|(path, text)| check_other(path, text, &old))?;
    let renamed = renamed_tables(image, survey, new)?;
    survey.configs.iter().try_for_each(|config| check_entries(config, &renamed, &old))?;
    Ok(renamed)
}

/// The tables of all initrds of a base that name its label, with `new` in its place.
pub(crate) fn renamed_tables<I: ReadAt>(image: &I, survey: &Survey, new: &str) -> Result<Renamed> {
    let old = survey.volume.identifier();
    let mut renamed = Renamed::new();
    for triplet in &survey.triplets {
        let Some(last) = triplet.initrds.last() else { continue };
        let files = tables(image, survey, &triplet.initrds, &old)?;
        let files: Vec<Member> =
            files.into_iter().map(|file| with_label(file, &old, new)).collect();
        match renamed.get(last) {
            Some(known) if *known != files => {
                return Err(Error::unsupported(
                    format!("the initrd {last}"),
                    "the same label in every entry that loads it",
                    "different ones, by what is loaded before it",
                ));
            }
            _ => renamed.insert(last.clone(), files),
        };
    }
    Ok(renamed)
}

/// The tables of the initrds at these paths that name a label.
pub fn tables<I: ReadAt>(
    image: &I,
    survey: &Survey,
    initrds: &[String],
    label: &str,
) -> Result<Vec<Member>> {
    let places =
        initrds.iter().map(|path| Ok((path.as_str(), nixos::initrd_place(survey.tree(), path)?)));
    let places: Vec<_> = places.collect::<Result<_>>()?;
    let found = stage_one::files_with(image, &places, |bytes| names(bytes, label))?;
    for file in &found {
        let known = TABLES.iter().any(|end| file.path.ends_with(end));
        if !known || names_unit(data(file), label) {
            return Err(Error::unsupported(
                format!("{} in the initrd {}", file.path, initrds.join(" + ")),
                "the volume's label in tables of mounts only",
                format!("the label {label}"),
            ));
        }
    }
    Ok(found)
}

fn data(file: &Member) -> &[u8] {
    match &file.kind {
        Kind::File(bytes) => bytes,
        _ => &[],
    }
}

/// Ways to name a device by its label.
fn forms(label: &str) -> [String; 2] {
    [format!("/dev/disk/by-label/{label}"), format!("LABEL={label}")]
}

/// The end of the name of a device unit (systemd.unit(5), "String Escaping for Inclusion in Unit Names").
fn unit(label: &str) -> String {
    format!("by\\x2dlabel-{}", label.replace('-', "\\x2d"))
}

/// Whether the label stands in the name of a unit, also as the start of a longer one.
fn names_unit(bytes: &[u8], label: &str) -> bool {
    let unit = unit(label);
    bytes.windows(unit.len()).any(|part| part == unit.as_bytes())
}

fn names(bytes: &[u8], label: &str) -> bool {
    let named = |form: &str| !places(bytes, form.as_bytes()).is_empty();
    forms(label).iter().any(|form| named(form)) || names_unit(bytes, label)
}

/// Where a text stands that is not part of a longer label.
fn places(bytes: &[u8], form: &[u8]) -> Vec<Range<usize>> {
    let ends = |rest: &[u8]| {
        rest.first().is_none_or(|next| !next.is_ascii_alphanumeric() && !b"._-+\\".contains(next))
    };
    let parts = (0..).zip(form.len()..).zip(bytes.windows(form.len().max(1)));
    let found = parts.filter(|(_, part)| *part == form).map(|((start, end), _)| start..end);
    found.filter(|at| bytes.get(at.end..).is_some_and(ends)).collect()
}

fn with_label(file: Member, old: &str, new: &str) -> Member {
    let mut bytes = data(&file).to_vec();
    for (old, new) in forms(old).iter().zip(forms(new)) {
        for at in places(&bytes, old.as_bytes()).into_iter().rev() {
            bytes.splice(at, new.bytes());
        }
    }
    Member { kind: Kind::File(bytes), owner: (0, 0), ..file }
}

/// Refuses a menu that names the label in another way than `root=LABEL=`.
fn check_config(config: &Config, old: &str) -> Result<()> {
    let root = format!("root=LABEL={old}");
    let is_other = |text: &str| {
        let end = text.strip_suffix(old);
        text != root && end.is_some_and(|before| before.is_empty() || before.ends_with(['=', '/']))
    };
    let words = config.syntax.words(&config.text);
    match words.iter().find(|word| is_other(&word.text)) {
        None => Ok(()),
        Some(word) => Err(Error::unsupported(
            format!("the boot config {}", config.path),
            format!("the label in {root} only"),
            format!("{:?}", word.text),
        )),
    }
}

fn check_other(path: &str, text: &[u8], old: &str) -> Result<()> {
    if places(text, old.as_bytes()).is_empty() {
        return Ok(());
    }
    Err(Error::unsupported(path, "nothing that names the label", format!("{old:?}")))
}

/// Refuses an entry that finds its medium in a way that is not seen.
fn check_entries(config: &Config, renamed: &Renamed, old: &str) -> Result<()> {
    let root = format!("root=LABEL={old}");
    for entry in &config.entries {
        let last = entry.initrds.last().map(|word| volume_path(&word.text)).unwrap_or_default();
        let by_table = renamed.get(&last).is_some_and(|files| !files.is_empty());
        if !by_table && !entry.arguments.iter().any(|word| word.text == root) {
            return Err(Error::unsupported(
                format!("the entry {:?} of {}", entry.path(), config.path),
                format!("{root}, or the label in the fstab of its initrd"),
                "neither",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Member {
        Member::file("nix/store/x-initrd-fstab", 0o444, text)
    }

    #[test]
    fn a_label_is_renamed_where_it_stands_whole() {
        let text = "/dev/disk/by-label/nixos-a /iso auto\n/dev/disk/by-label/nixos-a2 /x\nLABEL=nixos-a /y";
        assert!(names(text.as_bytes(), "nixos-a"));
        let new = with_label(file(text), "nixos-a", "b");
        assert_eq!(
            data(&new),
            b"/dev/disk/by-label/b /iso auto\n/dev/disk/by-label/nixos-a2 /x\nLABEL=b /y"
        );
        assert!(!names(b"/dev/disk/by-label/nixos-a2", "nixos-a"));
        assert!(names(b"After=dev-disk-by\\x2dlabel-nixos\\x2da.device", "nixos-a"));
    }
}
