//! Which process keeps a disk busy where nothing in our own view of the system does: a mount in another mount namespace (containers,
//! services with a view of their own), or the device node held open.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::disk::DeviceNumber;
use super::users::mounts;

/// Processes that are looked at.
const MOST_PROCESSES: usize = 1 << 16;

/// A process and what it does with a disk.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Holder {
    /// Its number.
    process: u32,
    /// Its name (`/proc/PID/comm`).
    name: String,
    /// Where it has the disk mounted, in a mount namespace of its own; else it has the node open.
    at: Option<PathBuf>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, name, at } = self;
        match at {
            Some(at) => write!(
                f,
                "mounted at {} in another mount namespace, by process {process} ({name})",
                at.display()
            ),
            None => write!(f, "held open by process {process} ({name})"),
        }
    }
}

/// The first process below `proc` that holds one of these devices; mounts come first, as they say more.
pub(super) fn find(proc: &Path, devices: &[DeviceNumber]) -> Option<Holder> {
    find_among(MOST_PROCESSES, proc, devices)
}

/// The same, among so many of what is there.
fn find_among(most: usize, proc: &Path, devices: &[DeviceNumber]) -> Option<Holder> {
    let processes = || fs::read_dir(proc).ok().into_iter().flatten().flatten().take(most);
    let numbered = || {
        processes().filter_map(|entry| {
            let number: u32 = entry.file_name().to_str()?.parse().ok()?;
            (number != std::process::id()).then(|| (number, entry.path()))
        })
    };
    let holder = |number, folder: &Path, at| Holder {
        process: number,
        name: fs::read_to_string(folder.join("comm")).unwrap_or_default().trim().to_owned(),
        at,
    };
    let mounted = numbered().find_map(|(number, folder)| {
        let at = mounted_at(&folder, devices)?;
        Some(holder(number, &folder, Some(at)))
    });
    mounted.or_else(|| {
        let (number, folder) = numbered().find(|(_, folder)| has_open(folder, devices))?;
        Some(holder(number, &folder, None))
    })
}

fn mounted_at(process: &Path, devices: &[DeviceNumber]) -> Option<PathBuf> {
    let text = fs::read(process.join("mountinfo")).ok()?;
    mounts(&text).into_iter().find(|mount| devices.contains(&mount.number)).map(|mount| mount.at)
}

fn has_open(process: &Path, devices: &[DeviceNumber]) -> bool {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let number =
        |file: fs::DirEntry| Some(DeviceNumber::from_raw(fs::metadata(file.path()).ok()?.rdev()));
    files.filter_map(number).any(|number| devices.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_of_another_process_is_found_by_the_number_of_its_device() {
        let proc = tempfile::tempdir().unwrap_or_else(|fault| panic!("{fault}"));
        let process = proc.path().join("4711");
        let made = fs::create_dir_all(&process)
            .and_then(|()| fs::write(process.join("comm"), "snapd\n"))
            .and_then(|()| {
                fs::write(
                    process.join("mountinfo"),
                    "36 35 8:33 / /mnt/a\\040b rw - vfat /dev/sdc1 rw\n",
                )
            });
        assert!(made.is_ok());
        let number = |minor| DeviceNumber { major: 8, minor };
        assert_eq!(find(proc.path(), &[number(1)]), None);
        let found = find(proc.path(), &[number(32), number(33)]).map(|found| found.to_string());
        let expected = "mounted at /mnt/a b in another mount namespace, by process 4711 (snapd)";
        assert_eq!(found.as_deref(), Some(expected));
        for most in [0, 1] {
            assert_eq!(find_among(most, proc.path(), &[number(33)]).is_some(), most == 1);
        }
    }
}
