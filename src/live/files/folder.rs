//! A folder as an overlay: modes as they are there; everything root's, or `nixos`'s below its home.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::llistxattr;
use rustix::io::Errno;

use super::arg_ref::ArgRef;
use super::overlay_tree::{
    Content, Item, ListedFile, OverlayTree, What, below_root, owner_of, shown,
};
use crate::checked;
use crate::error::{Error, Result};
use crate::recipe::{Xattrs, setting};
use crate::stop;

/// More levels than any overlay has.
const DEEPEST: usize = 128;

/// Bytes of the list of a file's attributes (xattr(7): `XATTR_LIST_MAX`).
const LARGEST_LIST: usize = 64 << 10;

/// Lays everything below `top`.
pub(super) fn add(asked: ArgRef<'_>, top: &Path, overlay: &mut OverlayTree) -> Result<()> {
    walk(asked, top, top, overlay, 0)
}

fn walk(
    asked: ArgRef<'_>,
    top: &Path,
    at: &Path,
    overlay: &mut OverlayTree,
    depth: usize,
) -> Result<()> {
    let doing = || format!("read {}", at.display());
    if depth > DEEPEST {
        return Err(asked.fault(format!("{} is too deep", at.display()), "give a flatter folder"));
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(at).map_err(Error::io(doing()))?.collect();
    let mut entries = entries.map_err(Error::io(doing()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        stop::check()?;
        let path = entry.path();
        let about =
            path.symlink_metadata().map_err(Error::io(format!("read {}", path.display())))?;
        let name = path.strip_prefix(top).unwrap_or(&path).as_os_str();
        let place = below_root(name).map_err(|fault| {
            let what = format!("{} has {}", shown(path.as_os_str()), fault.has);
            asked.fault(what, "give it another name")
        })?;
        check_xattrs(asked, &path)?;
        let item = item(asked, &path, &about, &place)?;
        overlay.put(asked, &place, item)?;
        if about.is_dir() {
            walk(asked, top, &path, overlay, depth.saturating_add(1))?;
        }
    }
    Ok(())
}

fn item(asked: ArgRef<'_>, path: &Path, about: &Metadata, place: &str) -> Result<Item> {
    let kind = about.file_type();
    let (what, bits) = if kind.is_dir() {
        (What::Folder, 0o3777)
    } else if kind.is_symlink() {
        (What::Link(target(asked, path)?), 0)
    } else if kind.is_file() {
        refuse_setuid(asked, &path.display().to_string(), about.mode())?;
        (What::File(Content::Path(Box::new(ListedFile::found(path, about)))), 0o1777)
    } else {
        let found = if kind.is_block_device() {
            "a block device"
        } else if kind.is_char_device() {
            "a character device"
        } else if kind.is_fifo() {
            "a FIFO"
        } else {
            "a socket"
        };
        return Err(special(asked, &path.display().to_string(), found));
    };
    let mode = if bits == 0 { 0o777 } else { about.mode() & bits };
    Ok(Item { mode, owner: owner_of(place), what, by: (asked.name, asked.index) })
}

fn target(asked: ArgRef<'_>, path: &Path) -> Result<String> {
    let to = fs::read_link(path).map_err(Error::io(format!("read the link {}", path.display())))?;
    to.to_str().map(str::to_owned).ok_or_else(|| {
        let what = format!("{} points to a name that is not UTF-8", path.display());
        asked.fault(what, "let it point elsewhere")
    })
}

/// The error for what cannot be in an overlay.
pub(super) fn special(asked: ArgRef<'_>, name: &str, found: &str) -> crate::Error {
    let hint = "leave it out: udev makes devices, and programs make their sockets";
    asked.fault(format!("{name} is {found}"), hint)
}

/// Programs that become somebody else are not taken along by the way.
pub(super) fn refuse_setuid(asked: ArgRef<'_>, name: &str, mode: u32) -> Result<()> {
    if mode & 0o6000 == 0 {
        return Ok(());
    }
    let what = format!("{name} is setuid or setgid (mode {:04o})", mode & 0o7777);
    Err(asked.fault(
        what,
        format!("take the bit off, or give this one file to {} with its mode", setting!(file)),
    ))
}

/// Whether an attribute is one that hosts give to every file, and that means nothing elsewhere.
pub(super) fn is_of_the_host(name: &str) -> bool {
    ["security.selinux", "user.xdg.origin.url", "com.apple."]
        .iter()
        .any(|own| name.starts_with(own))
}

/// Refuses extended attributes unless they may be dropped.
pub(super) fn refuse_xattr(asked: ArgRef<'_>, name: &str, xattr: &str) -> Result<()> {
    if asked.recipe.xattrs == Some(Xattrs::Drop) || is_of_the_host(xattr) {
        return Ok(());
    }
    let what = format!("{name} has the extended attribute {xattr}, which would be lost");
    Err(asked.fault(
        what,
        format!("leave attributes out by {} drop, if the file is fine without", setting!(xattrs)),
    ))
}

fn check_xattrs(asked: ArgRef<'_>, path: &Path) -> Result<()> {
    let mut list = vec![0_u8; LARGEST_LIST];
    let length = match llistxattr(path, list.as_mut_slice()) {
        // A file system without attributes has none to lose.
        Err(Errno::NOTSUP) => 0,
        length => length.map_err(|fault| {
            Error::io(format!("list the extended attributes of {}", path.display()))(fault.into())
        })?,
    };
    let list = checked::part(&list, ..length, "a list of attributes")?;
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        refuse_xattr(asked, &path.display().to_string(), &String::from_utf8_lossy(name))?;
    }
    Ok(())
}
