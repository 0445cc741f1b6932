//! The archives that go behind an initrd: a hook that fits its stage 1, and the payload that the hook
//! copies into the live system's root.

use crate::boot::folder::Folder;
use crate::boot::scripted;
use crate::boot::stage_one::Initrd;
use crate::boot::stage_one::StageOne;
use crate::error::{Error, Result};
use crate::formats::compression::Compression;
use crate::formats::newc::{self, Kind, Member, Next};
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

/// What brings the payload into the root of a live system: the call of this function.
const COPY: &str = "copy \"$1\"\n";
const COPY_FUNCTION: &str = "copy() {\n";

/// What that does, which version 0.1.0 did in place of a call.
const COPYING: &str = "cp -a /remaster/root/. \"$1\"/";

/// The path of the hook in the initrd.
pub const SCRIPT: &str = "remaster/hook.sh";

/// The hook for what is attached.
fn hook_of(attached: &[Attached], kept: AttachmentLocation<'_>) -> String {
    const GIVE_BACK: &str = "give_back\n";
    if attached.is_empty() {
        return [HOOK, COPY, GIVE_BACK].concat();
    }
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (number, one) in (1..).zip(attached) {
        let image = kept.path(number, &one.id);
        match one.purpose {
            Purpose::Overlay => before.push(format!("unpack {image} \"$1\"\n")),
            Purpose::Store { on_path } => {
                after.push(format!("store {number} {image} \"$1\"\n"));
                after.extend(on_path.then(|| format!("programs {number} \"$1\"\n")));
            }
        }
    }
    after.extend((!after.is_empty()).then(|| "lay \"$1\"\n".to_owned()));
    let (before, after) = (before.concat(), after.concat());
    [HOOK, FILES, &before, COPY, &after, "leave\n", GIVE_BACK].concat()
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

/// The archive with the hook and everything it copies: the same one for every initrd.
pub fn payload(edits: &Edits, kept: AttachmentLocation<'_>) -> Result<Vec<u8>> {
    let mut members = vec![
        Member::directory(FOLDER, 0o755),
        Member::file(SCRIPT, 0o644, hook_of(&edits.attached, kept)),
        Member::directory(ROOT, 0o755),
    ];
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
    let mut members = match &initrd.contents.stage_one {
        StageOne::Scripted { path, script } => {
            // The kernel replaces the link of the base by this file (Linux init/initramfs.c, clean_path).
            vec![Member::file("init", 0o755, scripted::with_call(&initrd.path, path, script)?)]
        }
        StageOne::Systemd { folders } => unit(folders),
    };
    members.extend_from_slice(renamed);
    newc::write(&members).map_err(Error::io("make the hook archive"))
}

/// The unit in the first folder that systemd looks into, in the initrd and nowhere else
/// (systemd.unit(5), "System Unit Search Path").
fn unit(folders: &[String]) -> Vec<Member> {
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

/// What is wrong with an archive that is to make an initrd run the hook; none where it does, whichever version made it.
pub(crate) fn fault_of_hook(archive: &[u8], initrd: &Initrd) -> Option<String> {
    // Older versions made images without a seam, which only this compression needs.
    if initrd.contents.parts.last() == Some(&Compression::Lz4) && !newc::has_seam(archive) {
        return Some("no archive that starts behind zeros".to_owned());
    }
    let members = match members(archive) {
        Ok(members) => members,
        Err(fault) => return Some(fault),
    };
    let file = |path: &str| match &members.iter().find(|member| member.path == path)?.kind {
        Kind::File(bytes) => Some(bytes.as_slice()),
        _ => None,
    };
    match &initrd.contents.stage_one {
        StageOne::Scripted { script, .. } => {
            let calls = file("init").is_some_and(|init| scripted::is_with_call(init, script));
            (!calls).then(|| "no stage 1 of that initrd which calls the hook".to_owned())
        }
        StageOne::Systemd { folders } => {
            let is_there = |wanted: &Member| match &wanted.kind {
                Kind::File(_) => file(&wanted.path).is_some_and(|text| has(text, SCRIPT)),
                kind => {
                    members.iter().any(|member| member.path == wanted.path && member.kind == *kind)
                }
            };
            let missing = unit(folders).into_iter().find(|wanted| !is_there(wanted))?;
            Some(format!("no {} as it should be", missing.path))
        }
    }
}

/// What is wrong with an archive that is to be the payload.
pub(crate) fn fault_of_payload(archive: &[u8]) -> Option<String> {
    let members = match members(archive) {
        Ok(members) => members,
        Err(fault) => return Some(fault),
    };
    let copies = members.iter().any(|member| match &member.kind {
        Kind::File(text) => {
            let is_called = has(text, COPY) || !has(text, COPY_FUNCTION);
            member.path == SCRIPT && has(text, COPYING) && is_called
        }
        _ => false,
    });
    let has_root =
        members.iter().any(|member| member.path == ROOT && member.kind == Kind::Directory);
    match (copies, has_root) {
        (true, true) => None,
        (false, _) => Some(format!("no {SCRIPT} as it should be")),
        (true, false) => Some(format!("no folder {ROOT}")),
    }
}

/// The members of an archive of ours, or what is wrong with it.
fn members(archive: &[u8]) -> Result<Vec<Member>, String> {
    let mut found = Vec::new();
    let each = |member| {
        found.push(member);
        Next::Continue
    };
    newc::read(archive, u32::MAX, |_| true, each).map_err(|fault| fault.to_string())?;
    Ok(found)
}

fn has(text: &[u8], words: &str) -> bool {
    text.windows(words.len()).any(|part| part == words.as_bytes())
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
        let text = hook_of(&all, AttachmentLocation::Volume(&folder));
        let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line} in {text}"));
        // The SHA-256 of nothing.
        let unpack = at("\nunpack \"$1\"/iso/boot/remaster/files1-e3b0c44298fc1c14.img \"$1\"\n");
        let copy = at("\ncopy \"$1\"\n");
        let store = at("\nstore 2 \"$1\"/iso/boot/remaster/files2-e3b0c44298fc1c14.img \"$1\"\n");
        assert!(unpack < copy && copy < store && store < at("\nprograms 2 \"$1\"\n"));
        assert!(at("\nprograms 2 \"$1\"\n") < at("\nlay \"$1\"\n"));
        assert!(!hook_of(&[], AttachmentLocation::Volume(&folder)).contains("unpack"));
        let text = hook_of(&all, AttachmentLocation::Initrd);
        assert!(text.contains("\nunpack /remaster/files1.img \"$1\"\n"), "{text}");
        assert!(text.contains("\nstore 2 /remaster/files2.img \"$1\"\n"), "{text}");
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
