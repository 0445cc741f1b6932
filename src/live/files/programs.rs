//! Single files, and programs: those on the PATH of root and nixos, and those that are run at boot.
//!
//! On NixOS `/etc/profiles/per-user/$USER/bin` is on the PATH of every session: by PAM
//! (`/etc/pam/environment`) and by `/etc/set-environment`, which login shells and those of sshd read
//! (nixpkgs `users-groups.nix`, `config/system-environment.nix`, `bash` with `SSH_SOURCE_BASHRC`).

use std::io::ErrorKind;
use std::path::Path;

use super::arg_ref::ArgRef;
use super::findings::{Findings, FoundProgram};
use super::overlay_tree::{
    self, Content, Item, ListedFile, OverlayTree, What, below_root, owner_of,
};
use crate::error::{Error, Result};
use crate::formats::elf::{HEAD, Program};
use crate::image::name_of_kind;
use crate::recipe::edits::{NIXOS, Root};
use crate::recipe::{Recipe, setting};

/// Bytes that are read to see the end of a file of sysfs: it claims to have a page, whatever it holds.
const PAGE_AND_ONE: u64 = 0x1_0001;

/// Where programs on the PATH are.
const BIN: &str = "opt/remaster/bin";

/// Where programs are that are run at boot.
pub(in crate::live) const RUN: &str = "opt/remaster/run";

/// Folders on the PATH that lead there.
pub(in crate::live) const ON_PATH: [&str; 2] =
    ["etc/profiles/per-user/root/bin", "etc/profiles/per-user/nixos/bin"];

/// Becomes a program once the network is up; after two minutes in any case.
const WHEN_ONLINE: &str = include_str!("../scripts/when-online.sh");

/// Where that is.
pub(in crate::live) const WAITER: &str = "opt/remaster/when-online";

/// Of services, which have no session: what a session of root's on NixOS has, then other systems' folders.
const SERVICE_PATH: &str = "/run/wrappers/bin:/etc/profiles/per-user/root/bin:/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Lays everything of `--file`, `--script`, `--bin` and `--run`.
pub(super) fn gather(
    recipe: &Recipe,
    overlay: &mut OverlayTree,
    findings: &mut Findings,
) -> Result<()> {
    for (index, text) in recipe.file.iter().enumerate() {
        one_file(ArgRef { recipe, name: "file", index }, text, overlay, findings)?;
    }
    for (index, path) in recipe.script.iter().enumerate() {
        program(ArgRef { recipe, name: "script", index }, path, BIN, overlay)?;
    }
    for (index, path) in recipe.bin.iter().enumerate() {
        let asked = ArgRef { recipe, name: "bin", index };
        let content = program(asked, path, BIN, overlay)?;
        findings.programs.push(found(asked, path, &content)?);
    }
    for (index, path) in recipe.run.iter().enumerate() {
        let asked = ArgRef { recipe, name: "run", index };
        let content = program(asked, path, RUN, overlay)?;
        if crate::formats::elf::is_elf(&head(&content, path)?) {
            findings.programs.push(found(asked, path, &content)?);
        }
    }
    if !recipe.script.is_empty() || !recipe.bin.is_empty() {
        on_path(overlay)?;
    }
    if !recipe.run.is_empty() {
        let content = Content::Bytes(WHEN_ONLINE.as_bytes().into());
        let what = What::File(content);
        overlay.put_own(WAITER, Item { mode: 0o755, owner: (0, 0), what, by: ("run", 0) });
    }
    Ok(())
}

/// Puts the folder of programs on the PATH of root and nixos.
pub(super) fn on_path(overlay: &mut OverlayTree) -> Result<()> {
    let (script, bin) = (setting!(script), setting!(bin));
    for path in ON_PATH {
        if overlay.get(path).is_some_and(|item| !matches!(item.what, What::Link(_))) {
            return Err(Error::Recipe {
                what: format!(
                    "/{path} is in an overlay, and {script}, {bin} or {} make it, too",
                    setting!(path)
                ),
                hint: format!("give the programs there to {script} or {bin}").into(),
            });
        }
        let what = What::Link(format!("/{BIN}"));
        overlay.put_own(path, Item { mode: 0o777, owner: (0, 0), what, by: ("script", 0) });
    }
    Ok(())
}

/// The services of `--run`: `all` has also those that some machines of the recipe run.
pub(super) fn services(all: &Recipe, recipe: &Recipe, units: &mut Root) {
    for path in &all.run {
        let conditions = recipe.run_conditions(path);
        let name = name_of(path).unwrap_or_default();
        let unit = service_name(name);
        let text = format!(
            "[Unit]\nDescription=Run {name} at boot, when the network is up (put there by remaster)\n\
             {conditions}Wants=network-online.target\n\n[Service]\nType=exec\nRemainAfterExit=yes\n\
             WorkingDirectory=/root\nEnvironment=HOME=/root USER=root PATH={SERVICE_PATH}\n\
             ExecStart=/bin/sh /{WAITER} /{RUN}/{name}\n\n[Install]\nWantedBy=multi-user.target\n"
        );
        units.unit(&unit, &text);
        units.want(&unit, "multi-user.target");
    }
}

/// The unit of a program that is run at boot.
pub(in crate::live) fn service_name(name: &str) -> String {
    format!("remaster-run-{}.service", name.split('.').next().unwrap_or(name))
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// A file of the user's as contents, and its mode.
fn content(asked: ArgRef<'_>, path: &Path) -> Result<(Content, u32)> {
    use std::os::unix::fs::MetadataExt;
    let about = path.metadata().map_err(Error::io(format!("read {}", path.display())))?;
    if !about.is_file() {
        let is = name_of_kind(about.file_type());
        let what = format!("{} is {is}, not a file", path.display());
        return Err(asked.fault(what, format!("give a file, or a folder to {}", setting!(overlay))));
    }
    let content = Content::Path(Box::new(ListedFile::named(path, &about)));
    content.head(PAGE_AND_ONE).map_err(|fault| match fault.kind() {
        ErrorKind::InvalidInput => asked.fault(
            format!("{}: {}", path.display(), overlay_tree::UNTOLD),
            "copy it to a file, and give that",
        ),
        _ => Error::io(format!("read {}", path.display()))(fault),
    })?;
    Ok((content, about.mode() & 0o777))
}

fn head(content: &Content, path: &Path) -> Result<Vec<u8>> {
    content.head(HEAD).map_err(Error::io(format!("read {}", path.display())))
}

fn program(
    asked: ArgRef<'_>,
    path: &Path,
    folder: &str,
    overlay: &mut OverlayTree,
) -> Result<Content> {
    let plain = |name: &&str| {
        !name.starts_with(['-', '.'])
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
    };
    let name = name_of(path).filter(plain).ok_or_else(|| {
        let what = format!("{} has no name that can be typed as a command", path.display());
        asked.fault(what, "name it with letters, digits, `-`, `_`, `+` and `.`")
    })?;
    let place = format!("{folder}/{name}");
    let unit = service_name(name);
    let same = |other: &str| {
        other == place
            || folder == RUN
                && other
                    .strip_prefix(RUN)
                    .is_some_and(|other| service_name(other.trim_start_matches('/')) == unit)
    };
    if overlay.items().any(|(other, _)| same(other)) {
        let what = format!("{name} is given twice");
        return Err(asked.fault(what, "give one of them another name"));
    }
    let (content, _) = content(asked, path)?;
    let what = What::File(content.clone());
    overlay
        .put_own(&place, Item { mode: 0o755, owner: (0, 0), what, by: (asked.name, asked.index) });
    Ok(content)
}

/// A program for the notes and checks that follow.
fn found(asked: ArgRef<'_>, path: &Path, content: &Content) -> Result<FoundProgram> {
    let ArgRef { name, index, .. } = asked;
    let program = elf(asked, path, content)?;
    Ok(FoundProgram { name, index, path: path.display().to_string(), program })
}

/// The headers of a program, which must need nothing of the system.
fn elf(asked: ArgRef<'_>, path: &Path, content: &Content) -> Result<Program> {
    let name = path.display();
    let program = Program::parse(&head(content, path)?).map_err(|fault| {
        let what =
            format!("{name} is not a program: found {}, expected {}", fault.found, fault.expected);
        asked.fault(
            what,
            format!("give a static program for 64 bits; scripts go to {}", setting!(script)),
        )
    })?;
    if program.is_static {
        return Ok(program);
    }
    let what = format!("{name} wants a loader and libraries, which NixOS has elsewhere");
    Err(asked.fault(
        what,
        format!(
            "build it static, as by musl, or give it with its libraries by {}",
            setting!(store)
        ),
    ))
}

/// What `--file` says.
#[derive(Debug, Eq, PartialEq)]
struct Spec<'a> {
    source: &'a str,
    place: &'a str,
    mode: Option<&'a str>,
    owner: Option<&'a str>,
}

impl<'a> Spec<'a> {
    /// Takes `SRC:DST[:MODE[:OWNER]]` apart; none if there is no absolute DST. The last `:/` starts it.
    fn parse(text: &'a str) -> Option<Self> {
        let (source, _) = text.rsplit_once(":/").filter(|(source, _)| !source.is_empty())?;
        let rest = text.get(source.len().checked_add(1)?..)?;
        let mut parts = rest.splitn(3, ':');
        Some(Self { source, place: parts.next()?, mode: parts.next(), owner: parts.next() })
    }
}

const FORM: &str = "write SRC:DST[:MODE[:OWNER]], as `motd:/etc/motd:644:root`";

fn one_file(
    asked: ArgRef<'_>,
    text: &str,
    overlay: &mut OverlayTree,
    findings: &mut Findings,
) -> Result<()> {
    let spec = Spec::parse(text).ok_or_else(|| {
        asked.fault(format!("{text:?} has no path in the live system that begins with `/`"), FORM)
    })?;
    let source = Path::new(spec.source);
    let (content, own) = content(asked, source)?;
    let place = place(asked, spec.place)?;
    let mode = match spec.mode {
        Some(mode) => mode_of(mode).ok_or_else(|| {
            let is_name = !mode.starts_with(|c: char| c.is_ascii_digit());
            let hint = match owner_named(mode) {
                Some(_) if is_name => format!("write a mode in front of the owner: `644:{mode}`"),
                _ => "write it in octal digits, as 644 or 0755".to_owned(),
            };
            asked.fault(format!("{mode} is not a mode"), hint)
        })?,
        None => own,
    };
    let owner = match spec.owner {
        Some(owner) => owner_named(owner).ok_or_else(|| {
            let hint = "write root, nixos, or numbers as 1000 or 1000:100";
            asked.fault(format!("{owner} is not an owner that an installer has"), hint)
        })?,
        None => owner_of(&place),
    };
    if mode & 0o6000 != 0 {
        findings.notes.push(format!("/{place} is setuid or setgid (mode {mode:04o})"));
    }
    overlay.put(
        asked,
        &place,
        Item { mode, owner, what: What::File(content), by: (asked.name, asked.index) },
    )
}

fn place(asked: ArgRef<'_>, text: &str) -> Result<String> {
    let place = below_root(text.trim_start_matches('/').as_ref())
        .map_err(|fault| asked.fault(format!("{text} has {}", fault.has), FORM))?;
    if place.is_empty() || text.ends_with('/') || FOLDERS.contains(&place.as_str()) {
        let what = format!("{text} is a folder, not the path of a file");
        return Err(asked.fault(what, "end it with the name that the file is to have"));
    }
    Ok(place)
}

/// Folders at the top of a live system.
const FOLDERS: [&str; 16] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "mnt", "nix", "opt", "proc", "root",
    "run", "sys", "usr", "var",
];

fn mode_of(text: &str) -> Option<u32> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    u32::from_str_radix(text, 8).ok().filter(|_| digits)
}

fn owner_named(text: &str) -> Option<(u32, u32)> {
    match text {
        "root" | "root:root" => Some((0, 0)),
        "nixos" | "nixos:users" => Some(NIXOS),
        _ => {
            let (user, group) = text.split_once(':').unwrap_or((text, text));
            let number =
                |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
            match (number(user)?, text.contains(':')) {
                (1000, false) => Some(NIXOS),
                (user, _) => Some((user, number(group)?)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_apart_from_its_end() {
        let spec = |text| Spec::parse(text);
        let plain = Spec { source: "a", place: "/etc/a", mode: None, owner: None };
        assert_eq!(spec("a:/etc/a"), Some(plain));
        let whole = Spec { source: "x:y/a", place: "/a", mode: Some("0600"), owner: Some("1:2") };
        assert_eq!(spec("x:y/a:/a:0600:1:2"), Some(whole));
        for text in ["a", "a:etc/a", ":/etc/a", ""] {
            assert_eq!(spec(text), None, "{text}");
        }
    }

    #[test]
    fn modes_and_owners_are_read_strictly() {
        assert_eq!((mode_of("644"), mode_of("4755")), (Some(0o644), Some(0o4755)));
        for text in ["", "8", "77", "07777", "rwx", "+64"] {
            assert_eq!(mode_of(text), None, "{text}");
        }
        let owners = ["root", "nixos", "1000", "1000:5", "7"].map(owner_named);
        assert_eq!(owners, [Some((0, 0)), Some(NIXOS), Some(NIXOS), Some((1000, 5)), Some((7, 7))]);
        for text in ["alice", "", "1:", ":1", "-1", "1:2:3", "4294967296"] {
            assert_eq!(owner_named(text), None, "{text}");
        }
    }

    #[test]
    fn services_are_named_by_what_they_run() {
        assert_eq!(service_name("first-boot.sh"), "remaster-run-first-boot.service");
    }
}
