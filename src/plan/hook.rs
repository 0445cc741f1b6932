//! The archives that go behind an initrd: a hook that fits its stage 1, and the payload that the hook
//! copies into the live system's root.

use crate::edit::{Attached, Edits, Purpose};
use crate::error::{Error, Result};
use crate::format::newc::{self, Member};
use crate::plan::folder::Folder;
use crate::survey::nixos::Initrd;
use crate::survey::stage_one::{StageOne, UNKNOWN};

/// Where the payload is in the initrd, and what the hook runs there.
const FOLDER: &str = "remaster";

/// Where the live system's root is in the payload.
pub const ROOT: &str = "remaster/root";

/// Run by both kinds of stage 1 with the mounted root as `$1`. It says on the console what failed, and
/// never stops the boot. Calls of its functions follow.
const HOOK: &str = r#"# Put there by remaster: brings what was added into the live system's root.
complain() { echo "remaster: $*" > /dev/console; }
there() { [ -e "$1" ] || [ -L "$1" ]; }

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
fn script(attached: &[Attached], kept: Kept<'_>) -> String {
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
    [HOOK, &before.concat(), COPY, &after.concat()].concat()
}

/// The line of scripted stage 1 that runs the hook. A subshell without the script's trap, so that
/// nothing in the hook can end stage 1.
const CALL: &str = "( trap - 0; set -- \"$targetRoot\"; . /remaster/hook.sh ) || true\n";

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

/// Lines of a scripted stage 1 before which everything is mounted and nothing is moved yet, the best
/// one first. All releases from 23.11 to 25.11 have all of them.
const ANCHORS: [fn(&str) -> bool; 3] = [
    |line| line.starts_with("mkdir ") && unquoted(line).contains("$targetRoot/proc"),
    |line| line.starts_with("mount --move /proc ") && unquoted(line).contains("$targetRoot/proc"),
    |line| {
        line.starts_with("exec ")
            && line.contains("switch_root")
            && unquoted(line).contains("$targetRoot")
    },
];

fn unquoted(line: &str) -> String {
    line.replace(['"', '{', '}'], "")
}

/// The archive with the hook and everything it copies: the same one for every initrd.
pub fn payload(edits: &Edits, kept: Kept<'_>) -> Result<Vec<u8>> {
    let mut members = vec![
        Member::directory(FOLDER, 0o755),
        Member::file(SCRIPT, 0o644, script(&edits.attached, kept)),
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
            vec![Member::file("init", 0o755, patched(&initrd.path, path, script)?)]
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

/// The script of stage 1 with the call before the first anchor that it has once.
fn patched(initrd: &str, path: &str, script: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(script)
        .map_err(|_| no_anchor(initrd, path, "bytes that are no UTF-8"))?;
    let places = ANCHORS.iter().map(|anchor| places(text, *anchor));
    let Some(at) = places.into_iter().find_map(|found| <[usize; 1]>::try_from(found).ok()) else {
        return Err(no_anchor(initrd, path, "none of them exactly once"));
    };
    let [at] = at;
    let (before, after) =
        text.split_at_checked(at).ok_or_else(|| no_anchor(initrd, path, "a broken line"))?;
    Ok([before, CALL, after].concat().into_bytes())
}

fn no_anchor(initrd: &str, path: &str, found: &str) -> Error {
    Error::unsupported(
        format!("the stage 1 script {path} in the initrd {initrd}"),
        "one line that makes, moves or switches to $targetRoot/proc (`mkdir`, `mount --move /proc`, `exec … switch_root`)",
        found,
    )
    .hinting(UNKNOWN)
}

/// Where the lines start that an anchor holds for. A line that continues the one before is none.
fn places(text: &str, anchor: impl Fn(&str) -> bool) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut at, mut continued) = (0_usize, false);
    for line in text.split_inclusive('\n') {
        if !continued && anchor(line.trim()) {
            found.push(at);
        }
        continued = line.trim_end_matches(['\n', '\r']).ends_with('\\');
        at = at.saturating_add(line.len());
    }
    found
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
        let text = script(&all, Kept::Volume(&folder));
        let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line} in {text}"));
        let unpack = at("\nunpack \"$1\"/iso/boot/remaster/files1.img \"$1\"\n");
        let copy = at("\nif cp -a /remaster/root/.");
        let store = at("\nstore 2 \"$1\"/iso/boot/remaster/files2.img \"$1\"\n");
        assert!(unpack < copy && copy < store && store < at("\nprograms 2 \"$1\"\n"));
        assert!(!script(&[], Kept::Volume(&folder)).contains("\nunpack "));
        let text = script(&all, Kept::Initrd);
        assert!(text.contains("\nunpack /remaster/files1.img \"$1\"\n"), "{text}");
        assert!(text.contains("\nstore 2 /remaster/files2.img \"$1\"\n"), "{text}");
    }

    const TAIL: &str = "# Restore\n\
        mkdir -m 0755 -p $targetRoot/proc $targetRoot/sys $targetRoot/dev $targetRoot/run\n\n\
        mount --move /proc $targetRoot/proc\n\
        exec env -i $(type -P switch_root) \"$targetRoot\" \"$stage2Init\"\n\
        fail # should never be reached\n";

    fn with_call(script: &str) -> String {
        String::from_utf8(patched("/boot/initrd", "init", script.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn the_call_stands_before_the_first_anchor_and_nothing_else_changes() {
        let new = with_call(TAIL);
        assert!(new.contains(&format!("# Restore\n{CALL}mkdir -m 0755")));
        assert_eq!(new.replace(CALL, ""), TAIL);
    }

    #[test]
    fn later_anchors_serve_where_earlier_ones_are_missing_or_doubled() {
        let without = TAIL.replace("mkdir -m 0755 -p $targetRoot/proc", "true");
        assert!(with_call(&without).contains(&format!("{CALL}mount --move /proc")));
        let doubled = TAIL.replace(
            "fail #",
            "mkdir $targetRoot/proc\nmount --move /proc \"$targetRoot/proc\"\nfail #",
        );
        assert!(with_call(&doubled).contains(&format!("{CALL}exec env")));
        let quoted = TAIL.replace("$targetRoot/proc", "\"${targetRoot}/proc\"");
        assert!(with_call(&quoted).contains(&format!("{CALL}mkdir")));
    }

    #[test]
    fn a_script_without_anchor_is_refused() {
        for script in [
            "#!/bin/sh\nexec /init2\n",
            "# mkdir $targetRoot/proc\n",
            "true \\\nmkdir $targetRoot/proc\n",
        ] {
            assert!(patched("/boot/initrd", "init", script.as_bytes()).is_err(), "{script}");
        }
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
