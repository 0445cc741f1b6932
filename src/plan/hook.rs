//! The archives that go behind an initrd: a hook that fits its stage 1, and the payload that the hook
//! copies into the live system's root.

use crate::edit::{Attached, Edits, Purpose};
use crate::error::{Error, Result};
use crate::format::newc::{self, Member};
use crate::plan::folder::Folder;
use crate::plan::script;
use crate::survey::nixos::Initrd;
use crate::survey::stage_one::StageOne;

/// Where the payload is in the initrd, and what the hook runs there.
const FOLDER: &str = "remaster";

/// Where the live system's root is in the payload.
pub const ROOT: &str = "remaster/root";

/// Run by both kinds of stage 1 with the mounted root as `$1`. It says on the console what failed, and
/// never stops the boot. Calls of its functions follow.
const HOOK: &str = r#"# Put there by remaster: brings what was added into the live system's root.
complain() { echo "remaster: $*" > /dev/console; }
there() { [ -e "$1" ] || [ -L "$1" ]; }

# Where stage 1 has moved these into the root already, they are lent back.
lent=
for at in proc sys dev; do
  case $at in proc) [ ! -e /proc/self ] ;; sys) [ ! -e /sys/block ] ;; dev) [ ! -e /dev/null ] ;; esac || continue
  mount --bind "$1/$at" "/$at" && lent="/$at $lent"
done

# unpack IMAGE ROOT: copies a squashfs over the root.
unpack() {
  mkdir -p /remaster/mounted
  mount -t squashfs -o loop,ro "$1" /remaster/mounted || { complain "could not mount $1"; return; }
  cp -a /remaster/mounted/. "$2"/ || complain "could not copy everything of $1 into $2"
  umount /remaster/mounted || complain "could not unmount $1 again"
}

# store NUMBER IMAGE ROOT: mounts a squashfs of store paths and links those into the store, which can be written to by now.
store() {
  at=/nix/.remaster-store/$1
  mkdir -p "$3$at"
  mount -t squashfs -o loop,ro "$2" "$3$at" || { complain "could not mount $2"; return; }
  for path in "$3$at"/*-* "$3$at"/nix/store/*-*; do
    there "$path" || continue
    name=${path##*/}
    case $name in ????????????????????????????????-*) ;; *) continue ;; esac
    there "$3/nix/store/$name" || ln -s "${path#"$3"}" "$3/nix/store/$name" || complain "could not add $name to the store"
  done
}

# programs NUMBER ROOT: puts the programs of a store on the PATH, but for names that the system has itself.
programs() {
  system=
  for word in $(cat /proc/cmdline); do
    case $word in init=*) system=${word#init=} system=${system%/init} ;; esac
  done
  own=$(readlink "$2$system/sw")
  mkdir -p "$2/opt/remaster/bin"
  for program in "$2/nix/.remaster-store/$1"/*-*/bin/* "$2/nix/.remaster-store/$1"/nix/store/*-*/bin/*; do
    there "$program" || continue
    name=${program##*/} path=${program%/bin/*}
    if [ -n "$own" ] && there "$2$own/bin/$name"; then continue; fi
    there "$2/opt/remaster/bin/$name" || ln -s "/nix/store/${path##*/}/bin/$name" "$2/opt/remaster/bin/$name"
  done
}

"#;

/// Copies what is in the initrd.
const COPY: &str = r#"if cp -a /remaster/root/. "$1"/; then
  echo "remaster: added to $1"
else
  complain "could not copy everything into $1"
fi
"#;

/// Ends what was lent.
const GIVE_BACK: &str = "for at in $lent; do umount \"$at\"; done\n";

/// Where what is attached stands when the hook runs.
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    /// In our folder on the volume, which is mounted by then.
    Volume(&'a Folder),
    /// In the initrd, as there is no volume.
    Initrd,
}

impl Kept<'_> {
    /// The path of the squashfs of a number, as the hook's shell reads it.
    pub fn path(self, number: usize) -> String {
        match self {
            Self::Volume(folder) => format!("\"$1\"/iso{}", folder.attached(number)),
            Self::Initrd => Folder::below("").attached(number),
        }
    }
}

/// The path of the hook in the initrd.
pub const SCRIPT: &str = "remaster/hook.sh";

/// The hook for what is attached.
fn hook_of(attached: &[Attached], kept: Kept<'_>) -> String {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (number, one) in (1..).zip(attached) {
        let image = kept.path(number);
        match one.purpose {
            Purpose::Overlay => before.push(format!("unpack {image} \"$1\"\n")),
            Purpose::Store { on_path } => {
                after.push(format!("store {number} {image} \"$1\"\n"));
                after.extend(on_path.then(|| format!("programs {number} \"$1\"\n")));
            }
        }
    }
    [HOOK, &before.concat(), COPY, &after.concat(), GIVE_BACK].concat()
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
pub fn payload(edits: &Edits, kept: Kept<'_>) -> Result<Vec<u8>> {
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

/// The archive that makes this initrd run the hook. `renamed` are files that it gets anew.
pub fn hook(initrd: &Initrd, renamed: &[Member]) -> Result<Vec<u8>> {
    let mut members = match &initrd.contents.stage_one {
        StageOne::Scripted { path, script } => {
            // The kernel replaces the link of the base by this file (Linux init/initramfs.c, clean_path).
            vec![Member::file("init", 0o755, script::with_call(&initrd.path, path, script)?)]
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
    let missing = crate::survey::stage_one::HOOKED_FOLDERS
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
        let attached = |purpose| Attached {
            purpose,
            bytes: std::sync::Arc::new(
                crate::image::ImageFile::opened(tempfile::tempfile().unwrap(), "test").unwrap(),
            ),
        };
        let all = [attached(Purpose::Overlay), attached(Purpose::Store { on_path: true })];
        let folder = Folder::below("/boot");
        let text = hook_of(&all, Kept::Volume(&folder));
        let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line} in {text}"));
        let unpack = at("\nunpack \"$1\"/iso/boot/remaster/files1.img \"$1\"\n");
        let copy = at("\nif cp -a /remaster/root/.");
        let store = at("\nstore 2 \"$1\"/iso/boot/remaster/files2.img \"$1\"\n");
        assert!(unpack < copy && copy < store && store < at("\nprograms 2 \"$1\"\n"));
        assert!(!hook_of(&[], Kept::Volume(&folder)).contains("\nunpack "));
        let text = hook_of(&all, Kept::Initrd);
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
