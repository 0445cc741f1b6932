//! What runs in an initrd before the real root: NixOS's scripted stage 1, or systemd. Told by what the
//! initrd holds, not by any name or version.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use super::initrd::UnpackBudget;
use super::initrd::{Part, PartReader};
use crate::error::{Advice, Error, Result};
use crate::formats::compression::Compression;
use crate::formats::newc::{Kind, Member, Next};
use crate::image::ReadAt;
use crate::units::ByteRange;

/// Bytes of all scripts that are kept; genuine initrds have one of 20 KB.
const MOST_KEPT: usize = 32 << 20;

/// Folders of the initrd that our archives put something into, parents first.
pub const HOOKED_FOLDERS: [&str; 4] = [
    "etc",
    "etc/systemd",
    "etc/systemd/system.control",
    "etc/systemd/system.control/initrd.target.wants",
];

/// Files that our archives put into those, which nothing may stand below of: the kernel removes no folder that has
/// something in it (Linux `init/initramfs.c`, `clean_path`).
const HOOKED_FILES: [&str; 2] = [
    "etc/systemd/system.control/remaster.service",
    "etc/systemd/system.control/initrd.target.wants/remaster.service",
];

/// The folder that is ours alone.
const OWN: &str = "remaster";

/// The generation of an initrd.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StageOne {
    /// A shell script (NixOS up to 25.11): its path and text.
    Scripted {
        /// Path of the script in the initrd.
        path: String,
        /// Its text.
        script: Vec<u8>,
    },
    /// systemd (NixOS from 26.05 on).
    Systemd {
        /// Those of [`HOOKED_FOLDERS`] that are there.
        folders: Vec<String>,
    },
}

impl StageOne {
    /// The name of the generation.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scripted { .. } => "scripted",
            Self::Systemd { .. } => "systemd",
        }
    }
}

/// An initrd that a menu names: the last one of an entry, behind which edits go.
#[derive(Clone, Debug)]
pub struct Initrd {
    /// Its path on the volume.
    pub path: String,
    /// Its bytes.
    pub at: ByteRange,
    /// What it holds.
    pub contents: Contents,
}

/// What an initrd is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Contents {
    /// What runs in it.
    pub stage_one: StageOne,
    /// The compression of each part, in order.
    pub parts: Vec<Compression>,
}

/// Looks into the initrds that one menu entry loads, in their order and to their ends. The last one, at the end of `files`,
/// is the one that errors name.
pub fn inspect<I: ReadAt>(image: &I, files: &[(&str, ByteRange)]) -> Result<Contents> {
    inspect_within(image, files, &UnpackBudget::default())
}

/// The same with a budget that others share.
pub(crate) fn inspect_within<I: ReadAt>(
    image: &I,
    files: &[(&str, ByteRange)],
    budget: &UnpackBudget,
) -> Result<Contents> {
    let mut facts = Facts::default();
    let parts = scan_all(image, files, &mut facts, budget)?;
    if let Some(missing) = facts.missing_script() {
        facts.passed_over = Some(missing);
        facts.kept = 0;
        facts.links.clear();
        scan_all(image, files, &mut facts, budget)?;
    }
    let path = files.last().map_or("", |(path, _)| path);
    Ok(Contents { stage_one: facts.conclude(path)?, parts })
}

fn scan_all<I: ReadAt>(
    image: &I,
    files: &[(&str, ByteRange)],
    facts: &mut Facts,
    budget: &UnpackBudget,
) -> Result<Vec<Compression>> {
    let mut parts = Vec::new();
    for (path, at) in files {
        parts.extend(scan(image, path, *at, facts, budget)?);
    }
    Ok(parts)
}

/// What is known so far. A later member of the same path replaces an earlier one, as in the kernel.
#[derive(Debug, Default)]
struct Facts {
    /// What `/init` is.
    init: Option<Kind>,
    /// The path of the script, once it is known that it came before the link to it.
    passed_over: Option<String>,
    scripts: BTreeMap<String, Vec<u8>>,
    folders: BTreeMap<String, Kind>,
    /// Bytes of the scripts that are kept.
    kept: usize,
    /// The folder of programs that `/bin` is a link to, and whether there is such a folder.
    programs: Option<(String, bool)>,
    /// Paths of shells of this kind.
    shells: BTreeSet<String>,
    /// Paths of symbolic links.
    links: BTreeSet<String>,
    /// The first member that stands elsewhere than it says, or where a member of ours goes.
    odd: Option<String>,
}

impl Facts {
    fn wanted(&self, path: &str) -> bool {
        let known = self.init_target().or_else(|| self.passed_over.clone());
        path == "init" || path.ends_with("stage-1-init.sh") || known.as_deref() == Some(path)
    }

    fn init_target(&self) -> Option<String> {
        match self.init.as_ref()? {
            Kind::Symlink(to) => Some(to.trim_start_matches('/').to_owned()),
            _ => None,
        }
    }

    fn is_systemd(&self) -> bool {
        self.init_target().is_some_and(|target| target.ends_with("/lib/systemd/systemd"))
    }

    /// Notes a member that the kernel puts elsewhere, and one that keeps it from putting ours there.
    fn judge(&mut self, member: &Member) {
        let path = member.path.as_str();
        let ends = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if let Some(link) = ends.clone().find(|folder| self.links.contains(*folder)) {
            self.odd.get_or_insert_with(|| format!("{path}, below the symbolic link {link}"));
        }
        let is_folder = member.kind == Kind::Directory;
        let is_own = |folder: &str| folder == OWN || HOOKED_FILES.contains(&folder);
        let is_taken = ends.clone().any(is_own)
            || HOOKED_FILES.contains(&path) && is_folder
            || path == OWN && !is_folder;
        if is_taken {
            self.odd.get_or_insert_with(|| format!("{path}, where something goes that is put in"));
        }
        if matches!(member.kind, Kind::Symlink(_)) {
            self.kept = self.kept.saturating_add(path.len());
            self.links.insert(path.to_owned());
        } else if !self.links.is_empty() {
            self.links.remove(path);
        }
    }

    fn take(&mut self, member: Member) {
        self.judge(&member);
        let wanted = self.wanted(&member.path);
        match (member.path.as_str(), member.kind) {
            ("init", kind) => self.init = Some(kind),
            (path, Kind::File(script)) if wanted => {
                self.kept = self.kept.saturating_add(script.len());
                if !self.is_too_much() {
                    self.scripts.insert(path.to_owned(), script);
                }
            }
            (path, kind) if HOOKED_FOLDERS.contains(&path) => {
                self.folders.insert(path.to_owned(), kind);
            }
            (path, kind) => self.shell(path, &kind),
        }
    }

    /// Notes what tells whether the hook finds its shell, which systemd starts it by.
    fn shell(&mut self, path: &str, kind: &Kind) {
        match (&mut self.programs, kind) {
            (None, Kind::Symlink(to)) if path == "bin" => {
                self.programs = Some((to.trim_start_matches('/').to_owned(), false));
            }
            (Some((folder, is_there)), Kind::Directory) if folder == path => *is_there = true,
            _ if path.ends_with("/bash") => {
                self.kept = self.kept.saturating_add(path.len());
                self.shells.insert(path.to_owned());
            }
            _ => {}
        }
    }

    /// The path that must be there for `/bin/bash`, if `/bin` leads to a folder.
    fn wanted_shell(&self) -> Option<String> {
        self.programs.as_ref().map(|(folder, _)| format!("{folder}/bash"))
    }

    fn is_too_much(&self) -> bool {
        self.kept > MOST_KEPT
    }

    /// The path that `/init` points to, if a file of that path was passed over before that was known.
    fn missing_script(&self) -> Option<String> {
        let target = self.init_target()?;
        (!self.is_systemd() && !self.scripts.contains_key(&target)).then_some(target)
    }

    fn conclude(mut self, path: &str) -> Result<StageOne> {
        if self.is_too_much() {
            return Err(unknown(
                path,
                format!("scripts and shells of more than {MOST_KEPT} bytes in all"),
            ));
        }
        if let Some(odd) = self.odd {
            return Err(Error::unsupported(
                format!("the initrd {path}"),
                "members that stand where their names say, and none where ours go",
                odd,
            ));
        }
        if self.is_systemd() {
            return self.systemd(path);
        }
        let target = self.init_target();
        match (self.init.take(), target) {
            (Some(Kind::File(script)), _) if script.starts_with(b"#!") => {
                Ok(StageOne::Scripted { path: "init".into(), script })
            }
            (Some(_), Some(target)) => {
                match self.scripts.remove(&target).filter(|script| script.starts_with(b"#!")) {
                    Some(script) => Ok(StageOne::Scripted { path: target, script }),
                    None => Err(unknown(
                        path,
                        format!("/init pointing to {target}, which is not a script"),
                    )),
                }
            }
            (Some(other), _) => Err(unknown(path, format!("/init being {}", described(&other)))),
            (None, _) => Err(unknown(path, "no /init".into())),
        }
    }

    fn systemd(self, path: &str) -> Result<StageOne> {
        let odd = self.folders.iter().find(|(_, kind)| **kind != Kind::Directory);
        if let Some((folder, kind)) = odd {
            return Err(Error::unsupported(
                format!("{folder} in the initrd {path}"),
                "a directory or nothing",
                described(kind),
            ));
        }
        let shell = self.wanted_shell().filter(|shell| !self.shells.contains(shell));
        if let (Some((folder, true)), Some(_)) = (&self.programs, shell) {
            return Err(Error::unsupported(
                format!("stage 1 in the initrd {path}"),
                "a shell at /bin/bash, which brings in what is added",
                format!("none in /{folder}"),
            )
            .with_hint(Advice::ShellOrCredential));
        }
        Ok(StageOne::Systemd { folders: self.folders.into_keys().collect() })
    }
}

fn described(kind: &Kind) -> &'static str {
    match kind {
        Kind::Directory => "a directory",
        Kind::File(_) => "a file that is not a script",
        Kind::Symlink(_) => "a symbolic link",
    }
}

fn unknown(path: &str, found: String) -> Error {
    Error::unsupported(
        format!("stage 1 in the initrd {path}"),
        "/init being a link to systemd, or a script or a link to one",
        found,
    )
    .with_hint(Advice::ReportOrCredential)
}

/// Regular files of the initrds that one menu entry loads, up to a mebibyte of each, for which `wanted`
/// holds. A later file of the same path replaces an earlier one, as in the kernel.
pub fn files_with<I: ReadAt>(
    image: &I,
    files: &[(&str, ByteRange)],
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Vec<Member>> {
    let mut found = BTreeMap::new();
    let budget = UnpackBudget::default();
    let mut kept: usize = 0;
    for (path, at) in files {
        let mut reader = PartReader::new(image, path, *at);
        while let Some(part) = reader.next_part()? {
            let each = |member: Member| {
                found.remove(&member.path);
                if let Kind::File(bytes) = &member.kind
                    && wanted(bytes)
                {
                    kept = kept.saturating_add(bytes.len());
                    found.insert(member.path.clone(), member);
                }
                if kept > MOST_KEPT { Next::Stop } else { Next::Continue }
            };
            reader.unpack(part, |_| true, each, &budget)?;
            if kept > MOST_KEPT {
                let what = format!("files of more than {MOST_KEPT} bytes in all that matter here");
                return Err(unknown(path, what));
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Takes what the parts of an initrd hold.
fn scan<I: ReadAt>(
    image: &I,
    path: &str,
    at: ByteRange,
    facts: &mut Facts,
    budget: &UnpackBudget,
) -> Result<Vec<Compression>> {
    let mut reader = PartReader::new(image, path, at);
    let mut parts = Vec::new();
    while let Some(part) = reader.next_part()? {
        parts.push(part.compression);
        take_part(&mut reader, part, facts, budget)?;
        if facts.is_too_much() {
            break;
        }
    }
    Ok(parts)
}

/// Takes the members of a part.
fn take_part<I: ReadAt>(
    reader: &mut PartReader<'_, I>,
    part: Part,
    facts: &mut Facts,
    budget: &UnpackBudget,
) -> Result<()> {
    let facts = RefCell::new(facts);
    let wanted = |path: &str| facts.borrow().wanted(path);
    let each = |member| {
        facts.borrow_mut().take(member);
        if facts.borrow().is_too_much() { Next::Stop } else { Next::Continue }
    };
    reader.unpack(part, wanted, each, budget)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::newc;
    use crate::units::u64_len;

    const SCRIPT: &str = "nix/store/1-stage-1-init.sh";
    const SYSTEMD: &str = "/nix/store/2-systemd/lib/systemd/systemd";

    fn init(to: &str) -> Member {
        Member::symlink("init", to)
    }

    fn script(path: &str, text: &str) -> Member {
        Member::file(path, 0o755, text)
    }

    /// What is made of archives, one behind the other in one initrd.
    fn found(archives: &[&[Member]]) -> Result<StageOne> {
        let archives = archives.iter().map(|members| newc::write(members).unwrap());
        let initrd = archives.collect::<Vec<_>>().concat();
        let all = ByteRange::up_to(u64_len(&initrd));
        Ok(inspect(&initrd.as_slice(), &[("initrd", all)])?.stage_one)
    }

    #[test]
    fn a_stage_one_is_what_init_leads_to_in_the_last_archive_that_has_it() {
        let to = format!("/{SCRIPT}");
        let scripted = [init(&to), script(SCRIPT, "#!/bin/sh")];
        let systemd = [init(SYSTEMD), Member::directory("etc", 0o755)];
        let text = |text: &str| script(SCRIPT, text);
        let rows: [(&str, &[&[Member]], &str); 9] = [
            ("a link to a script", &[&scripted], "scripted #!/bin/sh"),
            ("the script first", &[&[text("#!1"), init(&to)]], "scripted #!1"),
            ("a script by another name", &[&[script("a", "#!1"), init("/a")]], "scripted #!1"),
            ("a script itself", &[&[script("init", "#!1")]], "scripted #!1"),
            ("systemd", &[&systemd], "systemd etc"),
            ("systemd behind a script", &[&scripted, &systemd], "systemd etc"),
            ("a script behind systemd", &[&systemd, &scripted], "scripted #!/bin/sh"),
            ("a newer script", &[&scripted, &[text("#!2")]], "scripted #!2"),
            ("a folder behind systemd", &[&systemd[..1], &systemd[1..]], "systemd etc"),
        ];
        for (what, archives, expected) in rows {
            let told = match found(archives).unwrap() {
                StageOne::Scripted { script, .. } => {
                    format!("scripted {}", String::from_utf8(script).unwrap())
                }
                StageOne::Systemd { folders } => format!("systemd {}", folders.join(" ")),
            };
            assert_eq!(told, expected, "{what}");
        }
    }

    #[test]
    fn an_initrd_is_read_to_its_end_and_damage_there_is_found() {
        let to = format!("/{SCRIPT}");
        let noise = (0..60_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
        let members = [
            init(&to),
            script(SCRIPT, "#!/bin/sh"),
            Member::file("z", 0o644, noise.collect::<Vec<_>>()),
        ];
        let archive = newc::write(&members).unwrap();
        let packed = |bytes: &[u8]| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            std::io::Write::write_all(&mut encoder, bytes).unwrap();
            encoder.finish().unwrap()
        };
        let whole = packed(&archive);
        let is_taken = |initrd: &[u8]| {
            inspect(&initrd, &[("initrd", ByteRange::up_to(u64_len(initrd)))]).is_ok()
        };
        let with = |at: usize| {
            let mut initrd = whole.clone();
            initrd[at] ^= 1;
            initrd
        };
        let with_zeros = [whole.clone(), vec![0; 512]].concat();
        assert!(is_taken(&whole) && is_taken(&with_zeros));
        assert!(!is_taken(&whole[..whole.len() - 3]), "cut");
        assert!(!is_taken(&with(whole.len() - 1)), "the checksum");
        assert!(!is_taken(&with(whole.len() * 9 / 10)), "a bit");
        assert!(!is_taken(&[&whole[..], b"junk"].concat()), "behind the frame");
        assert!(!is_taken(&packed(&[&archive[..], b"junk"].concat())), "behind the archive");
        assert!(!is_taken(&archive[..archive.len() - 1024]), "no end");
    }

    #[test]
    fn what_is_not_a_stage_one_is_refused_by_what_it_is() {
        let rows: [(&[Member], &str); 13] = [
            (&[Member::directory("etc", 0o755)], "no /init"),
            (&[Member::directory("init", 0o755)], "/init being a directory"),
            (&[script("init", "ELF")], "/init being a file that is not a script"),
            (&[init("/a")], "/init pointing to a, which is not a script"),
            (&[init("/a"), script("a", "ELF")], "/init pointing to a, which is not a script"),
            (&[script("a", "ELF"), init("/a")], "/init pointing to a, which is not a script"),
            (&[init(SYSTEMD), Member::symlink("etc", "x")], "a symbolic link"),
            (
                &[init(SYSTEMD), Member::symlink("x", "/"), script("x/init", "#!1")],
                "below the symbolic link x",
            ),
            (&[init(SYSTEMD), Member::directory(HOOKED_FILES[0], 0o755)], "where something goes"),
            (&[init(SYSTEMD), script("remaster/hook.sh/x", "1")], "where something goes"),
            (&[init(SYSTEMD), script("remaster", "1")], "found remaster, where something goes"),
            (&[init(SYSTEMD), script("etc/../init", "#!1")], "which leads elsewhere"),
            (&[init(SYSTEMD), script("a//../init", "#!1")], "which leads elsewhere"),
        ];
        for (members, words) in rows {
            let fault = found(&[members]).unwrap_err();
            assert!(matches!(fault, Error::Unsupported { .. }), "{fault}");
            assert!(fault.to_string().contains(words), "{words}: {fault}");
        }
    }
}
