//! Which disks are written to: found, judged, confirmed by the user and opened.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use remaster::error::{Error, Result};
use remaster::target::{
    Candidate, Disk, ImagePlace, Refusal, System, Target, TargetRequirements, Use, unmount,
};

use super::asking::Asking;
use super::pick::pick;
use super::to::{Disks, TargetArgs};
use crate::cli::commands::devices;

/// What the targets are for.
pub(super) struct Written<'a> {
    /// The files that the image is read from, none of which may be a target.
    pub(super) files: &'a [PathBuf],
    /// Bytes of the image, if they are known.
    pub(super) size: Option<u64>,
    /// Standard input is the image, so that it cannot answer.
    pub(super) is_input: bool,
    /// Refuses the image. Asked before anything is asked of the user, and before a target is opened, but after the
    /// targets were judged: that the image is the target says more than what is on it.
    pub(super) examine: &'a mut dyn FnMut() -> Result<()>,
}

/// Opens every target of `to`.
pub(super) fn open(to: &TargetArgs, image: &mut Written<'_>) -> Result<Vec<Target>> {
    if to.is_file() { open_files(&to.disks, image) } else { open_disks(&to.disks, image) }
}

/// Where the files lie that the image is read from.
fn places(image: &Written<'_>, system: &System) -> Result<Vec<ImagePlace>> {
    image.files.iter().map(|file| system.place_of(file)).collect()
}

fn open_files(to: &Disks, image: &mut Written<'_>) -> Result<Vec<Target>> {
    let system = &System::default();
    let places = &places(image, system)?;
    (image.examine)()?;
    if to.devices.is_empty() {
        return Err(Error::Usage {
            what: "no file to write to".to_owned(),
            hint: "give its path after the image".into(),
        });
    }
    to.devices.iter().try_for_each(|path| check_unused(path, system))?;
    let mut opened = Vec::new();
    for path in &to.devices {
        let target = Target::file(path, places).inspect_err(|_| discard_all(&opened))?;
        opened.push(target);
    }
    Ok(opened)
}

/// Removes the files that were made for nothing.
fn discard_all(targets: &[Target]) {
    for target in targets {
        // The error that is reported says more.
        let _ = target.discard();
    }
}

/// A file that stands for a stick. Its size is that of the stick.
pub(super) fn open_stick(path: &Path) -> Result<Target> {
    if !path.exists() {
        return Err(Error::Usage {
            what: format!("{} does not exist: its size would be that of the stick", path.display()),
            hint: "make it first, as with `truncate -s 1G FILE`".into(),
        });
    }
    check_unused(path, &System::default())?;
    Target::file(path, &[])
}

/// A file may be a disk or swap of the running system, too.
fn check_unused(path: &Path, system: &System) -> Result<()> {
    let Some(about) = path.metadata().ok().filter(Metadata::is_file) else { return Ok(()) };
    let user = system.user_of(&[(about.dev(), about.ino())])?;
    user.map_or(Ok(()), |user| {
        Err(Error::Unsafe {
            target: path.display().to_string(),
            reason: format!("{user} uses it"),
            hint: "free it first, or write to another file".into(),
        })
    })
}

/// Opens every disk of `to`.
pub(super) fn open_disks(to: &Disks, image: &mut Written<'_>) -> Result<Vec<Target>> {
    let system = &System::default();
    let places = places(image, system)?;
    let asking = Asking::find(image.is_input);
    check_usage(to, &asking)?;
    let paths = if to.devices.is_empty() {
        (image.examine)()?;
        vec![pick(system, to.allow_fixed, &asking)?]
    } else {
        to.devices.clone()
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let demands = TargetRequirements {
            image_size: image.size,
            image: places.clone(),
            allow_fixed: to.allow_fixed,
            serial: to.expect_serial.get(number).cloned(),
            size: to.expect_size.clone(),
        };
        let candidate = judge(path, system, demands, (to, &asking))?;
        if candidates.iter().any(|other| other.disk().number == candidate.disk().number) {
            return Err(Error::Usage {
                what: format!("{} is given twice", candidate.disk().path.display()),
                hint: "give every disk once".into(),
            });
        }
        candidates.push(candidate);
    }
    (image.examine)()?;
    if !to.yes {
        check_somebody(&asking)?;
        confirm(&candidates, &asking)?;
    }
    candidates.iter().map(|candidate| candidate.open(system)).collect()
}

fn check_usage(to: &Disks, asking: &Asking) -> Result<()> {
    let usage = |what: &str, hint: &'static str| {
        Err(Error::Usage { what: what.to_owned(), hint: hint.into() })
    };
    let flags = [("--yes", to.yes), ("--allow-fixed", to.allow_fixed)];
    let flag = flags.iter().find(|(_, is_given)| *is_given);
    if let Some((flag, _)) = flag
        && to.expect_serial.is_empty()
        && to.expect_size.is_none()
    {
        return usage(
            &format!("{flag} wants to know which disk it must be"),
            "add --expect-serial or --expect-size, as `remaster devices` shows them",
        );
    }
    if !to.expect_serial.is_empty() && to.expect_serial.len() != to.devices.len() {
        return usage("--expect-serial must be given once per disk", "give them in the same order");
    }
    if to.devices.is_empty() && asking.is_nobody() {
        return usage("no disk to write to", "give one that `remaster devices` lists");
    }
    Ok(())
}

/// Asked after the disks were judged: what is wrong with one of them says more than that nobody can be asked about it.
fn check_somebody(asking: &Asking) -> Result<()> {
    if !asking.is_nobody() {
        return Ok(());
    }
    Err(Error::Usage {
        what: "there is no terminal to confirm on".into(),
        hint: "run it on a terminal, or give --yes with --expect-serial or --expect-size".into(),
    })
}

/// Judges a disk; unmounts what is mounted on it if that is all that speaks against it.
fn judge(
    path: &Path,
    system: &System,
    demands: TargetRequirements,
    (to, asking): (&Disks, &Asking),
) -> Result<Candidate> {
    let disk = system.find(path)?;
    let shown = disk.path.display().to_string();
    let against = match Candidate::judge(disk.clone(), demands.clone()) {
        Ok(candidate) => return Ok(candidate),
        Err(against) => against,
    };
    let is_mount =
        |refusal: &Refusal| matches!(refusal, Refusal::Mounted { may_unmount: true, .. });
    let first = against.iter().find(|refusal| !is_mount(refusal)).or(against.first());
    if against.iter().all(is_mount) && (to.unmount || wants_unmount(&disk, to, asking)?) {
        unmount(&disk)?;
        let again = Candidate::judge(system.find(path)?, demands);
        return again.map_err(|against| refused(against.first(), &shown));
    }
    Err(refused(first, &shown))
}

fn refused(refusal: Option<&Refusal>, shown: &str) -> Error {
    refusal.unwrap_or(&Refusal::Gone).error(shown)
}

fn wants_unmount(disk: &Disk, to: &Disks, asking: &Asking) -> Result<bool> {
    if to.yes || asking.is_nobody() {
        return Ok(false);
    }
    let places: Vec<String> = disk
        .uses
        .iter()
        .filter_map(|user| match user {
            Use::Mounted { at, .. } => Some(at.display().to_string()),
            _ => None,
        })
        .collect();
    let path = disk.path.display();
    let places = places.join(", ");
    let answer = asking.ask(&format!("{path} is mounted at {places}. Unmount it? [y/N] "))?;
    Ok(matches!(answer.as_str(), "y" | "Y" | "yes"))
}

/// Shows what will be lost and wants the last word typed.
fn confirm(candidates: &[Candidate], asking: &Asking) -> Result<()> {
    let mut words = Vec::new();
    let mut text = String::from("All data on this will be lost:\n");
    for disk in candidates.iter().map(Candidate::disk) {
        text.extend(["  ", &devices::headline(disk), "\n    contents: ", &disk.contents(), "\n"]);
        words.push(disk.word());
    }
    let word = words.join(" ");
    let answer = asking.ask(&format!("{text}To go on, type `{word}`:\n> "))?;
    match answer.as_str() {
        answer if answer == word => Ok(()),
        "" => Err(Error::Declined { what: "not confirmed".into() }),
        answer => Err(Error::Declined { what: format!("`{answer}` is not `{word}`") }),
    }
}
