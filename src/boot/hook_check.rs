//! Checks that archives found in an image run the hook, hold the payload, and have nothing else.

use std::collections::BTreeSet;

use crate::boot::hook::{self, COPY, ROOT, SCRIPT};
use crate::boot::scripted;
use crate::boot::stage_one::{Initrd, StageOne};
use crate::formats::compression::Compression;
use crate::formats::newc::{self, Kind, Member, Next};
use crate::recipe::edits::Purpose;

/// What made an image, as far as its archives tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MadeBy {
    /// This version: its archives are known to the byte.
    ThisVersion,
    /// Another version, or one that is not known: its archives must do what they are for.
    Other,
}

/// The function that [`COPY`] calls.
const COPY_FUNCTION: &str = "copy() {\n";

/// What that does, which version 0.1.0 did in place of a call.
const COPYING: &str = "cp -a /remaster/root/. \"$1\"/";

/// Whether an archive has what runs the hook, the files `renamed`, and nothing else; otherwise its fault, as a predicate.
pub(crate) fn check_hook(
    archive: &[u8],
    initrd: &Initrd,
    renamed: &[Member],
    made_by: MadeBy,
) -> Result<(), String> {
    // Older versions made images without a seam, which only this compression needs.
    if initrd.contents.parts.last() == Some(&Compression::Lz4) && !newc::has_seam(archive) {
        return Err("does not start with zeros and an archive".to_owned());
    }
    let members = members(archive)?;
    check_calls(&members, initrd, made_by)?;
    let mut wanted = match (hook::callers(initrd), made_by) {
        (Ok(wanted), _) => wanted,
        // Another version may have known another script: the path counts.
        (Err(_), MadeBy::Other) => vec![Member::file("init", 0o755, "")],
        (Err(fault), MadeBy::ThisVersion) => return Err(fault.to_string()),
    };
    wanted.extend_from_slice(renamed);
    check_no_more(&members, &wanted, made_by)
}

/// Whether the hook is called.
fn check_calls(members: &[Member], initrd: &Initrd, made_by: MadeBy) -> Result<(), String> {
    match &initrd.contents.stage_one {
        StageOne::Scripted { script, .. } => {
            let calls = match (made_by, last(members, "init")) {
                (_, None) => false,
                (MadeBy::ThisVersion, Some(init)) => {
                    hook::callers(initrd).is_ok_and(|wanted| wanted.contains(init))
                }
                (MadeBy::Other, Some(init)) => {
                    text(init).is_some_and(|init| scripted::is_with_call(init, script))
                }
            };
            calls.then_some(()).ok_or("has an /init that does not call the hook".to_owned())
        }
        StageOne::Systemd { folders } => {
            let wanted = hook::unit(folders);
            let is_there = |wanted: &Member| is_there(members, wanted, made_by);
            let missing = wanted.iter().find(|wanted| !is_there(wanted));
            missing.map_or(Ok(()), |missing| Err(lacks(&missing.path)))
        }
    }
}

/// Whether an archive has these members once each, and no others. Those of another version may have other bytes.
fn check_no_more(members: &[Member], wanted: &[Member], made_by: MadeBy) -> Result<(), String> {
    let is_wanted = |member: &Member| match made_by {
        MadeBy::ThisVersion => wanted.contains(member),
        MadeBy::Other => wanted.iter().any(|one| one.path == member.path),
    };
    if let Some(more) = members.iter().find(|member| !is_wanted(member)) {
        return Err(not_ours(&more.path));
    }
    let mut paths = BTreeSet::new();
    let twice = members.iter().find(|member| !paths.insert(&member.path));
    twice.map_or(Ok(()), |member| Err(format!("has {} twice", member.path)))
}

/// Whether an archive is the payload of an image with these squashfs files; what it does wrong otherwise, as a predicate.
pub(crate) fn check_payload(
    archive: &[u8],
    attached: &[String],
    made_by: MadeBy,
) -> Result<(), String> {
    let members = members(archive)?;
    let script = last(&members, SCRIPT).and_then(text);
    let known = |text: &[u8]| hook::text(&images(text, attached));
    let wanted = hook::first_members(script.map_or_else(String::new, known));
    let missing = wanted.iter().find(|wanted| match made_by {
        MadeBy::Other if wanted.path == SCRIPT => !script.is_some_and(copies),
        _ => last(&members, &wanted.path) != Some(wanted),
    });
    if let Some(missing) = missing {
        return Err(lacks(&missing.path));
    }
    let below = |path: &str| {
        let rest = path.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| !rest.split('/').any(|part| matches!(part, "" | "." | "..")))
    };
    let is_known = |path: &str| below(path) || wanted.iter().any(|one| one.path == path);
    let more = members.iter().find(|member| !is_known(&member.path));
    more.map_or(Ok(()), |more| Err(not_ours(&more.path)))
}

/// What each squashfs is for, as a hook uses it, and its path, as the hook's shell reads it.
fn images(hook: &[u8], attached: &[String]) -> Vec<(Purpose, String)> {
    let numbered = (1..).zip(attached);
    let images = numbered.map(|(number, path)| {
        let path = hook::on_volume(path);
        let is_overlay = has(hook, &format!("\nunpack {path} "));
        let on_path = has(hook, &hook::programs(number));
        (if is_overlay { Purpose::Overlay } else { Purpose::Store { on_path } }, path)
    });
    images.collect()
}

/// Whether a hook copies the payload.
fn copies(hook: &[u8]) -> bool {
    has(hook, COPYING) && (has(hook, COPY) || !has(hook, COPY_FUNCTION))
}

fn is_there(members: &[Member], wanted: &Member, made_by: MadeBy) -> bool {
    let found = last(members, &wanted.path);
    match (made_by, &wanted.kind) {
        (MadeBy::Other, Kind::File(_)) => found.and_then(text).is_some_and(|it| has(it, SCRIPT)),
        _ => found == Some(wanted),
    }
}

fn not_ours(path: &str) -> String {
    format!("has {path}, which does not belong there")
}

fn lacks(path: &str) -> String {
    format!("lacks {path}, or has another version of it")
}

/// The members of an archive.
fn members(archive: &[u8]) -> Result<Vec<Member>, String> {
    let mut found = Vec::new();
    let each = |member| {
        found.push(member);
        Next::Continue
    };
    newc::read(archive, u32::MAX, |_| true, each)
        .map_err(|fault| format!("is not a readable archive: {fault}"))?;
    Ok(found)
}

/// What the kernel leaves of a path: the last one of several.
fn last<'a>(members: &'a [Member], path: &str) -> Option<&'a Member> {
    members.iter().rfind(|member| member.path == path)
}

fn text(member: &Member) -> Option<&[u8]> {
    match &member.kind {
        Kind::File(bytes) => Some(bytes),
        _ => None,
    }
}

fn has(text: &[u8], words: &str) -> bool {
    text.windows(words.len()).any(|part| part == words.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::stage_one::Contents;
    use crate::units::ByteRange;

    const SCRIPT_TEXT: &str = "mkdir -p $targetRoot/proc\nexec switch_root $targetRoot x\n";

    fn initrd(stage_one: StageOne) -> Initrd {
        let contents = Contents { stage_one, parts: vec![Compression::Zstd] };
        Initrd { path: "/boot/initrd".into(), at: ByteRange::up_to(0), contents }
    }

    #[test]
    fn a_hook_has_what_calls_it_and_nothing_else() {
        let scripted = StageOne::Scripted { path: "init".into(), script: SCRIPT_TEXT.into() };
        let systemd = StageOne::Systemd { folders: vec!["etc".into()] };
        let table = Member::file("nix/store/x-fstab", 0o444, "x");
        for initrd in [scripted, systemd].map(initrd) {
            for made_by in [MadeBy::ThisVersion, MadeBy::Other] {
                let own = hook::callers(&initrd).unwrap();
                let told = |more: &[Member], before: bool| {
                    let all =
                        if before { [more, &own].concat() } else { [&own[..], more].concat() };
                    let archive = newc::write(&all).unwrap();
                    let checked =
                        check_hook(&archive, &initrd, std::slice::from_ref(&table), made_by);
                    checked.err().unwrap_or_default()
                };
                assert_eq!(told(&[], false), "");
                assert_eq!(told(std::slice::from_ref(&table), false), "");
                for (path, words) in [
                    ("nix/store/x/bin/ash", "has nix/store/x/bin/ash, which does not belong"),
                    (
                        "nix/../init",
                        "the name \"nix/../init\" in an archive, which leads elsewhere",
                    ),
                    (own[0].path.as_str(), ""),
                    ("nix/store/y-fstab", "has nix/store/y-fstab, which does not belong there"),
                ] {
                    let said = told(&[Member::file(path, 0o755, "evil")], true);
                    assert!(!said.is_empty() && said.contains(words), "{path}: {said}");
                }
                let twice = [own.last().unwrap().clone()];
                assert!(told(&twice, false).ends_with(" twice"), "{}", told(&twice, false));
            }
        }
    }
}
