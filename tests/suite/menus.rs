//! Every entry of every menu starts the edits, with the hook that fits its initrd.

use std::collections::BTreeSet;

use remaster::boot::stage_one::StageOne;
use remaster::formats::newc::{self, Kind, Member, Next};
use remaster::image::ReadAt;
use remaster::recipe::edits::InjectMethod;
use remaster::units::ByteRange;

use crate::support::{AARCH64, SYSTEMD, TINY, assert_same, bases, edits, key, stamp, survey};

/// Of each base its menus and the entries that start NixOS.
fn counted(name: &str) -> Vec<(&'static str, usize)> {
    let (grub, isolinux) = ("/EFI/BOOT/grub.cfg", "/isolinux/isolinux.cfg");
    match name {
        "tiny-aarch64" => vec![(grub, 9), (grub, 9)],
        _ => vec![(grub, 18), (isolinux, 18), (grub, 18)],
    }
}

fn file(image: &[u8], path: &str) -> Vec<u8> {
    let survey = survey(image);
    let extents = &survey.tree().file(path).unwrap_or_else(|| panic!("no {path}")).extents;
    let bytes = |at: &ByteRange| image.read_range(path, *at, u64::MAX).unwrap();
    extents.first().map(bytes).unwrap_or_default()
}

fn members(archive: &[u8]) -> Vec<Member> {
    let mut found = Vec::new();
    newc::read(
        archive,
        u32::MAX,
        |_| true,
        |member| {
            found.push(member);
            Next::Continue
        },
    )
    .unwrap();
    found
}

/// The paths of the initrds of a line of a menu, none if it is not such a line. Written anew here, so that
/// a line which the product overlooks is not overlooked again.
fn initrds(line: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (first, rest) = words.split_first()?;
    let normal = |path: &str| path.replace("//", "/");
    match *first {
        "initrd" => Some(rest.iter().map(|path| normal(path)).collect()),
        "INITRD" => Some(rest.first()?.split(',').map(normal).collect()),
        _ => None,
    }
}

#[test]
fn every_line_that_loads_an_initrd_loads_hook_and_payload_behind_it() {
    for (name, base) in bases() {
        let stamped = stamp(base, &edits(1, InjectMethod::ExtraInitrd));
        let (old, new) = (survey(base), survey(&stamped));
        let mut found = Vec::new();
        for (old, new) in old.configs.iter().zip(&new.configs) {
            let before: Vec<_> = old.text.lines().filter_map(initrds).collect();
            let after: Vec<_> = new.text.lines().filter_map(initrds).collect();
            found.push((new.path.as_str(), after.len()));
            for (before, after) in before.iter().zip(&after) {
                let [own, hook, payload] = after.as_slice() else { panic!("{after:?}") };
                assert_eq!(
                    (&before[..], payload.as_str()),
                    (&[own.clone()][..], "/remaster/payload.img")
                );
                assert!(hook.starts_with("/remaster/hook"), "{hook}");
            }
            let others = |text: &str| -> Vec<String> {
                text.lines().filter(|line| initrds(line).is_none()).map(str::to_owned).collect()
            };
            assert_eq!(others(&old.text), others(&new.text), "other lines of {}", new.path);
        }
        assert_eq!(found, counted(name), "{name}");
    }
}

#[test]
fn menus_stay_where_the_archives_are_in_the_initrds() {
    for (name, base) in bases() {
        let stamped = stamp(base, &edits(1, InjectMethod::MergeInitrd));
        let (old, new) = (survey(base), survey(&stamped));
        for (old, new) in old.configs.iter().zip(&new.configs) {
            assert_eq!(old.text, new.text, "{name}");
        }
        let paths: BTreeSet<&String> =
            old.triplets.iter().flat_map(|found| &found.initrds).collect();
        for path in paths {
            let (before, after) = (file(base, path), file(&stamped, path));
            assert_same(path, &after[..before.len()], &before);
            let payload = file(&stamped, "/remaster/payload.img");
            assert!(after.ends_with(&payload), "{path}");
            assert!(after.len().is_multiple_of(4) && payload.len().is_multiple_of(4), "{path}");
        }
    }
}

/// The hook that an entry loads with an initrd.
fn hook_of(image: &[u8], initrd: &str) -> Vec<u8> {
    let survey = survey(image);
    let lines: BTreeSet<String> = survey
        .configs
        .iter()
        .flat_map(|config| config.text.lines().filter_map(initrds))
        .filter(|loaded| loaded[0] == initrd)
        .map(|loaded| loaded[1].clone())
        .collect();
    assert_eq!(lines.len(), 1, "{initrd} has the hooks {lines:?}");
    file(image, lines.first().unwrap())
}

#[test]
fn a_scripted_stage_1_gets_its_own_text_back_with_one_line_more() {
    for base in [&TINY, &AARCH64] {
        let stamped = stamp(base, &edits(1, InjectMethod::ExtraInitrd));
        let survey = survey(base);
        let mut hooks = BTreeSet::new();
        for initrd in survey.initrds(&base.as_slice()).unwrap() {
            let StageOne::Scripted { script, .. } = initrd.contents.stage_one else { panic!() };
            let script = String::from_utf8(script).unwrap();
            let hook = hook_of(&stamped, &initrd.path);
            let [init] = &members(&hook)[..] else { panic!("more than /init") };
            let Kind::File(new) = &init.kind else { panic!("/init is not a file") };
            assert_eq!((init.path.as_str(), init.mode, init.owner), ("init", 0o755, (0, 0)));
            let (before, after) = script.split_once("mkdir -m 0755 -p $targetRoot/proc").unwrap();
            let new = String::from_utf8(new.clone()).unwrap();
            let call = new.strip_prefix(before).unwrap();
            let call =
                call.strip_suffix(&format!("mkdir -m 0755 -p $targetRoot/proc{after}")).unwrap();
            assert_eq!(call.lines().count(), 1, "{call}");
            assert!(call.contains("/remaster/hook.sh") && call.ends_with('\n'), "{call}");
            hooks.insert(hook);
        }
        assert_eq!(hooks.len(), survey.triplets.len(), "texts that differ need hooks that differ");
    }
}

#[test]
fn a_systemd_stage_1_gets_a_unit_and_no_folder_that_is_there() {
    let stamped = stamp(&SYSTEMD, &edits(1, InjectMethod::ExtraInitrd));
    let survey = survey(&SYSTEMD);
    assert_eq!(survey.triplets.len(), 2);
    for triplet in &survey.triplets {
        let members = members(&hook_of(&stamped, &triplet.initrds[0]));
        let control = "etc/systemd/system.control";
        let paths: Vec<&str> = members.iter().map(|member| member.path.as_str()).collect();
        let wants = format!("{control}/initrd.target.wants");
        let unit = format!("{control}/remaster.service");
        let link = format!("{wants}/remaster.service");
        assert_eq!(paths, [control, &wants, &unit, &link]);
        assert_eq!(members[3].kind, Kind::Symlink("../remaster.service".into()));
    }
}

#[test]
fn the_payload_lets_the_key_in_as_both_users() {
    for (name, base) in bases() {
        let stamped = stamp(base, &edits(1, InjectMethod::ExtraInitrd));
        let members = members(&file(&stamped, "/remaster/payload.img"));
        let line = format!("{}\n", key(1)).into_bytes();
        for (path, mode, owner) in [
            ("etc/ssh/authorized_keys.d/root", 0o444, (0, 0)),
            ("etc/ssh/authorized_keys.d/nixos", 0o444, (0, 0)),
            ("root/.ssh/authorized_keys", 0o600, (0, 0)),
            ("home/nixos/.ssh/authorized_keys", 0o600, (1000, 100)),
        ] {
            let path = format!("remaster/root/{path}");
            let found = members.iter().find(|member| member.path == path);
            let found = found.unwrap_or_else(|| panic!("{name}: no {path}"));
            assert_eq!((found.mode, found.owner), (mode, owner), "{path}");
            assert_eq!(found.kind, Kind::File(line.clone()), "{path}");
        }
        for (path, owner) in
            [("root/.ssh", (0, 0)), ("home/nixos/.ssh", (1000, 100)), ("home/nixos", (1000, 100))]
        {
            let path = format!("remaster/root/{path}");
            let found = members.iter().find(|member| member.path == path).unwrap();
            assert_eq!((found.mode, found.owner), (0o700, owner), "{path}");
        }
    }
}

fn is_menu(path: &str) -> bool {
    path.ends_with("/grub.cfg") || path.ends_with("/isolinux.cfg")
}

#[test]
fn files_of_the_base_stay_where_they_are() {
    for (name, base) in bases() {
        let stamped = stamp(base, &edits(1, InjectMethod::ExtraInitrd));
        let (old, new) = (survey(base), survey(&stamped));
        for (path, node) in old.tree().files().filter(|(path, _)| !is_menu(path)) {
            let now = new.tree().file(path).unwrap_or_else(|| panic!("{name} lost {path}"));
            assert_eq!(now.extents, node.extents, "{name}: {path}");
            if path != "/boot/efi.img" && path != "/.boot.cat" {
                assert_same(path, &file(&stamped, path), &file(base, path));
            }
        }
        assert_eq!(old.volume.identifier(), new.volume.identifier());
    }
}
