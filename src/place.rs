//! Where files may be made, and by what names: in a folder that exists, not among the nodes of devices, where a path means
//! a disk that is not there, and not by the name of a packed file, as no output but a tar archive is packed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Advice, Error, Result};
use crate::units::u64_of;

/// Nodes of devices.
const DEVICES: &str = "/dev";

/// Memory that programs share as files, mounted on its own (`shm_overview(7)`).
const SHARED_MEMORY: &str = "/dev/shm";

/// Standard output (`fd(4)`).
const STANDARD_OUTPUT: &str = "/dev/stdout";

/// Bytes of a name where the filesystem does not tell (limits.h(0p), `NAME_MAX`).
const LONGEST_NAME: u64 = 255;

/// Endings of packed files, and how each is packed.
const PACKED: [(&str, &str); 14] = [
    ("7z", "7z"),
    ("bz2", "bzip2"),
    ("gz", "gzip"),
    ("lz4", "lz4"),
    ("lzma", "lzma"),
    ("rar", "rar"),
    ("tbz2", "bzip2"),
    ("tgz", "gzip"),
    ("txz", "xz"),
    ("tzst", "zstd"),
    ("xz", "xz"),
    ("zip", "zip"),
    ("zst", "zstd"),
    ("zstd", "zstd"),
];

/// Endings of the disks of virtual machines, and what `qemu-img` calls each.
const VIRTUAL: [(&str, &str); 5] =
    [("qcow2", "qcow2"), ("vdi", "vdi"), ("vhd", "vpc"), ("vhdx", "vhdx"), ("vmdk", "vmdk")];

/// How a file of this name is packed, by its ending; none if it has no ending of a packed file.
pub fn packing_of_name(path: &Path) -> Option<&'static str> {
    let ending = path.extension()?;
    PACKED
        .iter()
        .find(|(packed, _)| ending.eq_ignore_ascii_case(packed))
        .map(|(_, packing)| *packing)
}

/// Checks that a file or folder may be made, or replaced, at `path`, which is not packed. A link at the path itself is not
/// followed, as no output follows it.
///
/// # Errors
/// The path has the ending of a packed file, is below `/dev` and not in shared memory, or its folder does not exist.
pub fn check(path: &Path) -> Result<()> {
    check_name(path, None)?;
    check_place(path)
}

/// Checks that the ending of a name fits how the file is packed.
///
/// # Errors
/// The name has the ending of another packing: programs that go by names would fail on that file.
pub fn check_name(path: &Path, packing: Option<&str>) -> Result<()> {
    check_not_virtual(path)?;
    let Some(named) = packing_of_name(path).filter(|named| Some(*named) != packing) else {
        return Ok(());
    };
    let shown = path.display();
    let (is, hint) = match packing {
        None => ("not packed".into(), "give a name without that ending; pack it afterwards"),
        Some(other) => (format!("packed by {other}"), "give a name with the ending of the base"),
    };
    Err(Error::Usage {
        what: format!("{shown} has the ending of {named}, and the output is {is}"),
        hint: hint.into(),
    })
}

/// Nothing is written in a format of virtual machines, and programs that go by names would fail on what is.
fn check_not_virtual(path: &Path) -> Result<()> {
    let ending = path.extension().unwrap_or_default();
    let Some((ending, format)) = VIRTUAL.iter().find(|(own, _)| ending.eq_ignore_ascii_case(own))
    else {
        return Ok(());
    };
    Err(Error::Usage {
        what: format!("{} has the ending of a {ending} disk, which is not written", path.display()),
        hint: format!(
            "write an image that ends in .iso, then convert it: `qemu-img convert -f raw -O {format} IMAGE.iso IMAGE.{ending}`"
        )
        .into(),
    })
}

/// Endings of images and archives, which no folder has.
const FILES: [&str; 4] = ["iso", "img", "raw", "tar"];

/// A folder by the name of a file is meant to be a file.
fn check_folder_name(path: &Path) -> Result<()> {
    let ending = path.extension().unwrap_or_default();
    let is_file = FILES.iter().any(|other| ending.eq_ignore_ascii_case(other));
    if !is_file || fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!("{} has the ending of a file, and a folder is made there", path.display()),
        hint: "give a name without that ending".into(),
    })
}

/// Checks that a folder may be made at `path`, with those above it: every output that is a folder is made so.
///
/// # Errors
/// The path has the ending of a file, or is below `/dev` and not in shared memory, or below a file.
pub fn check_new_folders(path: &Path) -> Result<()> {
    check_name(path, None)?;
    check_folder_name(path)?;
    check_outside_devices(path)?;
    check_not_below_file(path)?;
    path.file_name().map_or(Ok(()), |name| check_length(path, name))
}

/// Refuses what is below a file: that is in the way of every folder.
fn check_not_below_file(path: &Path) -> Result<()> {
    let above = path.ancestors().skip(1).find(|above| fs::symlink_metadata(above).is_ok());
    above.filter(|above| !above.is_dir()).map_or(Ok(()), |file| Err(in_the_way(path, file)))
}

fn in_the_way(path: &Path, file: &Path) -> Error {
    Error::Usage {
        what: format!("cannot make {}: {} is not a folder", path.display(), file.display()),
        hint: "check the path".into(),
    }
}

/// Makes the folders above an output that is a folder.
///
/// # Errors
/// The operating system's.
pub fn make_folders_above(path: &Path) -> Result<()> {
    let above = folder_of(path);
    fs::create_dir_all(&above).map_err(Error::io(format!("make the folder {}", above.display())))
}

/// Checks the place of a path, and not its name.
///
/// # Errors
/// The path is below `/dev`, by whatever way it leads there, and not in shared memory; or its folder does not exist.
pub(crate) fn check_place(path: &Path) -> Result<()> {
    check_outside_devices(path)?;
    let Some(name) = path.file_name() else { return Ok(()) };
    check_folder(path)?;
    check_length(path, name)
}

/// Bytes that the name of `path` may have.
pub(crate) fn longest_name(path: &Path) -> u64 {
    rustix::fs::statvfs(folder_of(path)).map_or(LONGEST_NAME, |about| about.f_namemax)
}

/// A name that the filesystem does not take would only be refused once everything before it is written.
fn check_length(path: &Path, name: &OsStr) -> Result<()> {
    let most = longest_name(path);
    if u64_of(name.len()) <= most {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!(
            "the name {} has {} bytes, and the filesystem takes at most {most}",
            name.display(),
            name.len()
        ),
        hint: Advice::ShorterName,
    })
}

/// The same of a path whose folders are made with it.
///
/// # Errors
/// The path is below `/dev`, by whatever way it leads there, and not in shared memory.
pub(crate) fn check_outside_devices(path: &Path) -> Result<()> {
    if is_descriptor(path) {
        return Err(Error::Usage {
            what: format!(
                "{} is an open file of a program, and not a place for a new one",
                path.display()
            ),
            hint: Advice::StandardOutput,
        });
    }
    if path.file_name().is_none() || !holds_devices(&folder_of(path)) {
        return Ok(());
    }
    let shown = path.display();
    if path == Path::new(STANDARD_OUTPUT) {
        return Err(Error::Usage {
            what: format!("{shown} is standard output, and not a file that can be made"),
            hint: Advice::StandardOutput,
        });
    }
    if fs::symlink_metadata(path).is_err() {
        return Err(Error::Usage {
            what: format!("{shown}: no such device"),
            hint: Advice::PlugInOrFileElsewhere,
        });
    }
    let is_device = fs::metadata(path).is_ok_and(|about| about.file_type().is_char_device());
    let is =
        if is_device { "is a device, and not a disk" } else { "is below /dev and is not a device" };
    Err(Error::Usage { what: format!("{shown} {is}"), hint: Advice::FileElsewhere })
}

/// Whether a path names an open file by its number, as `/dev/fd/1` does (proc(5), `/proc/PID/fd`).
fn is_descriptor(path: &Path) -> bool {
    let is_number =
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.parse::<u32>().is_ok());
    let is_list = |real: PathBuf| real.starts_with("/proc") && real.ends_with("fd");
    is_number && fs::canonicalize(folder_of(path)).is_ok_and(is_list)
}

/// A file does not make the folders of its path: a typo in them would make folders unseen.
fn check_folder(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    check_not_below_file(path)?;
    let is_gone =
        |at: io::Result<PathBuf>| at.is_err_and(|at| at.kind() == io::ErrorKind::NotFound);
    match fs::metadata(&folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Err(no_folder(path, &folder)),
        _ if path.is_relative() && is_gone(env::current_dir()) => Err(Error::Usage {
            what: format!("cannot make {}: the current folder was removed", path.display()),
            hint: "change to a folder that is there".into(),
        }),
        _ => Ok(()),
    }
}

fn no_folder(path: &Path, folder: &Path) -> Error {
    Error::Usage {
        what: format!(
            "cannot make {}: the folder {} does not exist",
            path.display(),
            folder.display()
        ),
        hint: "check the path, or make the folder first, with `mkdir -p`".into(),
    }
}

/// Checks that the path of a file does not end in a slash: then it means a folder, and no file can have it.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    if path.as_os_str().as_bytes().ends_with(b"/") && fs::symlink_metadata(path).is_err() {
        let file: PathBuf = path.components().collect();
        if fs::symlink_metadata(&file).is_ok() {
            return Err(in_the_way(path, &file));
        }
        return Err(no_folder(path, path));
    }
    Ok(())
}

/// Whether this user may make files in a folder.
#[cfg(feature = "records")]
pub(crate) fn may_write_into(folder: &Path) -> bool {
    use rustix::fs::Access;
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// The folder that a path names an entry of.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Whether a folder, or the nearest one above it that is there, is `/dev`, below it, or the same file system
/// mounted elsewhere.
fn holds_devices(folder: &Path) -> bool {
    let Some(real) =
        folder.ancestors().find_map(|above| fs::canonicalize(above_or_here(above)).ok())
    else {
        return false;
    };
    let number = |path: &Path| fs::metadata(path).ok().map(|about| about.dev());
    let (here, devices, top) = (number(&real), number(Path::new(DEVICES)), number(Path::new("/")));
    if real.starts_with(SHARED_MEMORY) && here != devices {
        return false;
    }
    real.starts_with(DEVICES) || (here.is_some() && here == devices && devices != top)
}

/// The last of the ancestors of a relative path is empty, and means this folder.
fn above_or_here(above: &Path) -> &Path {
    if above.as_os_str().is_empty() { Path::new(".") } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_way_leads_below_dev_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev", folder.path().join("to")).unwrap();
        let link = folder.path().join("to/nosuch");
        let paths = ["/dev/nosuch", "/dev/../dev/nosuch", "/dev/./nosuch/", "/dev/nosuch/file"];
        for path in paths.map(Path::new).into_iter().chain([link.as_path()]) {
            let fault = check(path).unwrap_err().to_string();
            assert!(fault.contains("no such device"), "{fault}");
        }
        for path in ["/dev/stdout", "/dev/fd/1", "/dev/fd/63", "/proc/self/fd/1"] {
            let told = check(Path::new(path)).unwrap_err().to_string();
            assert!(told.contains("standard output") || told.contains("open file"), "{told}");
        }
    }

    #[test]
    fn a_name_of_a_virtual_disk_and_a_file_that_ends_in_a_slash_are_refused() {
        for name in ["a.qcow2", "a.VMDK", "a.vdi", "a.vhd", "a.vhdx"] {
            let told = check_name(Path::new(name), None).unwrap_err();
            let hint = told.advice().and_then(Advice::words).unwrap_or_default();
            assert!(told.to_string().contains("is not written"), "{told}");
            assert!(hint.contains("qemu-img convert -f raw -O "), "{hint}");
        }
        let told = check_file(Path::new("no-such/")).unwrap_err().to_string();
        assert_eq!(told, "cannot make no-such/: the folder no-such/ does not exist");
    }

    #[test]
    fn files_and_links_elsewhere_are_not_devices() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/nosuch", &link).unwrap();
        for path in [link.as_path(), &folder.path().join("a"), Path::new("a"), Path::new("/a")] {
            assert!(check(path).is_ok(), "{}", path.display());
        }
    }
}
