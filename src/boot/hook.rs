//! The archives that go behind an initrd: a hook that fits its stage 1, and the payload that the hook
//! copies into the live system's root.

use crate::boot::folder::Folder;
use crate::boot::scripted;
use crate::boot::stage_one::Initrd;
use crate::boot::stage_one::StageOne;
use crate::error::{Error, Result};
use crate::formats::newc::{self, Kind, Member};
use crate::recipe::edits::{Attached, Edits, Purpose};

/// Where the payload is in the initrd, and what the hook runs there.
const FOLDER: &str = "remaster";

/// Where the live system's root is in the payload.
pub(crate) const ROOT: &str = "remaster/root";

/// Functions for both kinds of stage 1. Calls of them follow.
const HOOK: &str = include_str!("hook.sh");

/// Functions for what is attached.
const FILES: &str = include_str!("hook-files.sh");

/// Where what is attached stands when the hook runs.
#[derive(Clone, Copy, Debug)]
pub enum AttachmentLocation<'a> {
    /// In our folder on the volume, which is mounted by then.
    Volume(&'a Folder),
    /// In the initrd, as there is no volume.
    Initrd,
}

impl AttachmentLocation<'_> {
    /// The path of the squashfs of a number, as the hook's shell reads it.
    fn path(self, number: usize, id: &str) -> String {
        match self {
            Self::Volume(folder) => on_volume(&folder.attached(number, id)),
            Self::Initrd => in_initrd(number),
        }
    }
}

/// The path of a file of the volume, as the hook's shell reads it.
pub(crate) fn on_volume(path: &str) -> String {
    format!("\"$1\"/iso{path}")
}

/// The path of the squashfs of a number in an initrd, which only its own hook sees.
pub(crate) fn in_initrd(number: usize) -> String {
    format!("/{FOLDER}/files{number}.img")
}

/// What brings the payload into the root of a live system.
pub(super) const COPY: &str = "copy \"$1\"\n";

/// The path of the hook in the initrd.
pub const SCRIPT: &str = scripted::HOOK;

/// What each squashfs is for, and its path, as the hook's shell reads it.
fn images(attached: &[Attached], kept: AttachmentLocation<'_>) -> Vec<(Purpose, String)> {
    let numbered = (1..).zip(attached);
    numbered.map(|(number, one)| (one.purpose, kept.path(number, &one.id))).collect()
}

/// The hook for what is attached.
pub(super) fn text(images: &[(Purpose, String)]) -> String {
    const GIVE_BACK: &str = "give_back\n";
    if images.is_empty() {
        return [HOOK, COPY, GIVE_BACK].concat();
    }
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (number, (purpose, image)) in (1..).zip(images) {
        match *purpose {
            Purpose::Overlay => before.push(format!("unpack {image} \"$1\"\n")),
            Purpose::Store { on_path } => {
                after.push(format!("store {number} {image} \"$1\"\n"));
                after.extend(on_path.then(|| programs(number)));
            }
        }
    }
    after.extend((!after.is_empty()).then(|| "lay \"$1\"\n".to_owned()));
    let (before, after) = (before.concat(), after.concat());
    [HOOK, FILES, &before, COPY, &after, "leave\n", GIVE_BACK].concat()
}

/// The line that puts the programs of a store on the PATH.
pub(super) fn programs(number: usize) -> String {
    format!("programs {number} \"$1\"\n")
}

/// Whether this is a hook that does so.
pub(crate) fn is_with_programs(member: &Member) -> bool {
    let Kind::File(bytes) = &member.kind else { return false };
    let is_call = |line: &str| line.starts_with("programs ") && line.ends_with(" \"$1\"");
    member.path == SCRIPT && String::from_utf8_lossy(bytes).lines().any(is_call)
}

/// Runs the hook after all mounts of the root and before NixOS's activation.
const UNIT: &str = "\
[Unit]
Description=Add what remaster put into this image
DefaultDependencies=no
RequiresMountsFor=/sysroot/nix/store
After=initrd-fs.target copytoram.service
Before=initrd.target initrd-switch-root.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash /remaster/hook.sh /sysroot
";

/// What the payload has before everything that the hook copies.
pub(super) fn first_members(hook: String) -> [Member; 3] {
    [
        Member::directory(FOLDER, 0o755),
        Member::file(SCRIPT, 0o644, hook),
        Member::directory(ROOT, 0o755),
    ]
}

/// The archive with the hook and everything it copies: the same one for every initrd.
pub fn payload(edits: &Edits, kept: AttachmentLocation<'_>) -> Result<Vec<u8>> {
    let mut members = first_members(text(&images(&edits.attached, kept))).to_vec();
    members.extend(
        edits
            .root
            .members()
            .map(|member| Member { path: format!("{ROOT}/{}", member.path), ..member.clone() }),
    );
    newc::write(&members).map_err(Error::io("make the payload archive"))
}

/// The archive that makes this initrd run the hook. `renamed` are files that it gets again.
pub fn hook(initrd: &Initrd, renamed: &[Member]) -> Result<Vec<u8>> {
    let mut members = callers(initrd)?;
    members.extend_from_slice(renamed);
    newc::write(&members).map_err(Error::io("make the hook archive"))
}

/// What makes this initrd run the hook.
pub(super) fn callers(initrd: &Initrd) -> Result<Vec<Member>> {
    Ok(match &initrd.contents.stage_one {
        StageOne::Scripted { path, script } => {
            // The kernel replaces the link of the base by this file (Linux init/initramfs.c, clean_path).
            vec![Member::file("init", 0o755, scripted::with_call(&initrd.path, path, script)?)]
        }
        StageOne::Systemd { folders } => unit(folders),
    })
}

/// The unit in the first folder that systemd looks into, in the initrd and nowhere else
/// (systemd.unit(5), "System Unit Search Path").
pub(super) fn unit(folders: &[String]) -> Vec<Member> {
    const CONTROL: &str = "etc/systemd/system.control";
    let missing = crate::boot::stage_one::HOOKED_FOLDERS
        .into_iter()
        .filter(|folder| !folders.iter().any(|f| f == folder));
    let mut members: Vec<Member> = missing.map(|folder| Member::directory(folder, 0o755)).collect();
    members.push(Member::file(format!("{CONTROL}/remaster.service"), 0o644, UNIT));
    members.push(Member::symlink(
        format!("{CONTROL}/initrd.target.wants/remaster.service"),
        "../remaster.service",
    ));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_is_used_in_its_order_around_the_copying() {
        let attached = |purpose| {
            let file = tempfile::tempfile().unwrap();
            let bytes = crate::image::ImageFile::opened(file, "test").unwrap();
            Attached::new(purpose, std::sync::Arc::new(bytes)).unwrap()
        };
        let all = [attached(Purpose::Overlay), attached(Purpose::Store { on_path: true })];
        let folder = Folder::below("/boot");
        let found = text(&images(&all, AttachmentLocation::Volume(&folder)));
        let at = |line: &str| found.find(line).unwrap_or_else(|| panic!("{line} in {found}"));
        // The SHA-256 of nothing.
        let unpack = at("\nunpack \"$1\"/iso/boot/remaster/files1-e3b0c44298fc1c14.img \"$1\"\n");
        let copy = at("\ncopy \"$1\"\n");
        let store = at("\nstore 2 \"$1\"/iso/boot/remaster/files2-e3b0c44298fc1c14.img \"$1\"\n");
        assert!(unpack < copy && copy < store && store < at("\nprograms 2 \"$1\"\n"));
        assert!(at("\nprograms 2 \"$1\"\n") < at("\nlay \"$1\"\n"));
        assert!(!text(&[]).contains("unpack"));
        let found = text(&images(&all, AttachmentLocation::Initrd));
        assert!(found.contains("\nunpack /remaster/files1.img \"$1\"\n"), "{found}");
        assert!(found.contains("\nstore 2 /remaster/files2.img \"$1\"\n"), "{found}");
    }

    #[test]
    fn folders_that_are_there_are_not_made_again() {
        let paths = |folders: &[&str]| -> Vec<String> {
            let folders: Vec<String> = folders.iter().map(ToString::to_string).collect();
            unit(&folders).into_iter().map(|member| member.path).collect()
        };
        assert_eq!(paths(&[]).len(), 6);
        assert_eq!(paths(&["etc", "etc/systemd"])[0], "etc/systemd/system.control");
    }
}
