//! Lets the user pick a disk, and waits for a stick where there is none.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use remaster::error::{Error, Result};
use remaster::target::{Disk, Refusal, System};

use super::asking::Asking;
use crate::cli::commands::devices;
use crate::cli::printer;

/// Time between two looks whether a stick was plugged in.
const GLANCE: Duration = Duration::from_millis(500);

/// Shows the disks and lets the user choose; nothing is chosen beforehand. With `allow_fixed`, everything is shown that
/// can be written to.
pub(super) fn pick(system: &System, allow_fixed: bool, asking: &Asking) -> Result<PathBuf> {
    let all = if allow_fixed { system.all_disks()? } else { Vec::new() };
    let disks = if all.is_empty() { sticks(system)? } else { all };
    let rows: Vec<String> = (1..)
        .zip(&disks)
        .map(|(number, disk): (usize, _)| format!("{number}) {}", devices::rows(disk)))
        .collect();
    printer::write_error(&rows.concat());
    let answer = asking.ask("Disk to write to (its number, name or path; nothing to stop): ")?;
    chosen(&disks, &answer)
}

/// The disks, as soon as one of them can be written to.
fn sticks(system: &System) -> Result<Vec<Disk>> {
    let mut is_told = false;
    loop {
        let seen = system.seen();
        let disks = system.disks()?;
        if disks.iter().any(may_be_target) {
            return Ok(disks);
        }
        if !is_told {
            let rows: Vec<String> = disks.iter().map(devices::rows).collect();
            printer::write_error(&rows.concat());
            printer::write_error("no stick to write to: plug one in (Control-C stops)\n");
            is_told = true;
        }
        while system.seen() == seen {
            thread::sleep(GLANCE);
        }
    }
}

/// Whether nothing speaks against a disk, or only what is mounted on it.
fn may_be_target(disk: &Disk) -> bool {
    let is_mount =
        |refusal: &Refusal| matches!(refusal, Refusal::Mounted { may_unmount: true, .. });
    devices::refusals(disk).iter().all(is_mount)
}

/// The disk of an answer: its number in the list, its name, or any path.
fn chosen(disks: &[Disk], answer: &str) -> Result<PathBuf> {
    if answer.is_empty() {
        return Err(Error::Declined { what: "no disk was chosen".into() });
    }
    let number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let numbered = number.and_then(|number| disks.get(number));
    let named = || disks.iter().find(|disk| disk.word() == answer);
    match numbered.or_else(named) {
        Some(disk) => Ok(disk.path.clone()),
        None if answer.contains('/') => Ok(PathBuf::from(answer)),
        None => Err(Error::Declined {
            what: format!(
                "`{answer}` is neither a number of the list nor the name of a disk in it"
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Makes a disk of these facts appear at once.
    fn plug_in(root: &Path, name: &str, facts: [&str; 3]) -> Result<()> {
        let made = root.join(name);
        let place = root.join("sys/block");
        let write = || {
            fs::create_dir_all(&made)?;
            fs::create_dir_all(&place)?;
            for (file, fact) in ["dev", "size", "removable"].iter().zip(facts) {
                fs::write(made.join(file), fact)?;
            }
            fs::rename(&made, place.join(name))
        };
        write().map_err(Error::io("make a disk"))
    }

    #[test]
    fn a_stick_that_is_plugged_in_later_is_seen() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("make a folder"))?;
        let root = folder.path().to_owned();
        let mounts = fs::create_dir_all(root.join("proc/self"));
        let mounts = mounts.and_then(|()| fs::write(root.join("proc/self/mountinfo"), ""));
        mounts.map_err(Error::io("make a table of mounts"))?;
        plug_in(&root, "vda", ["253:0", "2048", "0"])?;
        let later = thread::spawn(move || {
            thread::sleep(GLANCE);
            plug_in(&root, "sdz", ["8:400", "2048", "1"])
        });
        let found = sticks(&System::at(folder.path()))?;
        assert!(later.join().is_ok_and(|made| made.is_ok()));
        let found: Vec<String> = found.iter().map(Disk::word).collect();
        assert_eq!(found, ["sdz", "vda"]);
        Ok(())
    }
}
