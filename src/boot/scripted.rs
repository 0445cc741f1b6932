//! Where the script of a scripted stage 1 calls the hook: the last place where everything is mounted.

use crate::error::{Advice, Error, Result};

/// The path of the hook in the initrd, which the call runs.
pub(super) const HOOK: &str = "remaster/hook.sh";

/// The root that NixOS's own script switches to, for scripts that do not say it.
const USUAL_ROOT: &str = "$targetRoot";

/// The script of stage 1 with the call of the hook in it, nothing else changed. `path` is the script's,
/// in the initrd `initrd`.
///
/// The call stands before the line that makes the mount points for what is moved into the root, or the
/// one that moves `/proc`, if there is one of it. All releases from 23.11 to 25.11 have them. Where not,
/// or where several lines start stage 2, it stands before each of those: no more than one of them runs.
///
/// # Errors
/// [`Error::Unsupported`] if the script has none of these lines, or they name several roots.
pub(super) fn with_call(initrd: &str, path: &str, script: &[u8]) -> Result<Vec<u8>> {
    let refused = |found: &str| no_anchor(initrd, path, found);
    let text = std::str::from_utf8(script).map_err(|_| refused("bytes that are not UTF-8"))?;
    let switches = places(text, |line| switched_to(line).is_some());
    let root = root(text).ok_or_else(|| refused("several roots, or one that is not a path"))?;
    let before = match switches.as_slice() {
        [] | [_] => once(text, &root).or(switches.first().map(|one| vec![*one])),
        _ => Some(switches),
    };
    let before = before.ok_or_else(|| refused("none of them, or none exactly once"))?;
    inserted(text, &before, &call(&root)).ok_or_else(|| refused("a broken line"))
}

/// The line that runs the hook. A subshell without the script's trap, so that nothing in the hook can
/// end stage 1.
fn call(root: &str) -> String {
    format!("( trap - 0; set -- \"{root}\"; . /{HOOK} ) || true\n")
}

/// Whether `new` is `old` plus lines that call the hook. Versions put the call in different places.
pub(super) fn is_with_call(new: &[u8], old: &[u8]) -> bool {
    let is_call = |line: &&[u8]| line.windows(HOOK.len()).any(|part| part == HOOK.as_bytes());
    let lines = || new.split_inclusive(|byte| *byte == b'\n');
    lines().any(|line| is_call(&line)) && lines().filter(|line| !is_call(line)).flatten().eq(old)
}

/// The line before which nothing is moved yet, the best kind that the script has one of.
fn once(text: &str, root: &str) -> Option<Vec<usize>> {
    let proc = format!("{root}/proc");
    let kinds = ["mkdir ", "mount --move /proc "];
    kinds.into_iter().find_map(|start| {
        let found = places(text, |line| line.starts_with(start) && plain(line).contains(&proc));
        (found.len() == 1).then_some(found)
    })
}

/// The root that the script switches to; none if that cannot be told.
fn root(text: &str) -> Option<String> {
    let mut found: Vec<String> = text.lines().filter_map(|line| switched_to(line.trim())).collect();
    found.dedup();
    match found.as_slice() {
        [] => Some(USUAL_ROOT.to_owned()),
        [one] => {
            let shell = |c: char| c.is_ascii_alphanumeric() || "$/_-.".contains(c);
            (one.len() > 1 && one.starts_with(['/', '$']) && one.chars().all(shell))
                .then(|| one.clone())
        }
        _ => None,
    }
}

/// The root in a line such as `exec env -i $(type -P switch_root) "$targetRoot" "$stage2Init"`.
fn switched_to(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("exec ")?.split_whitespace();
    words.find(|word| word.trim_matches(['"', ')']).ends_with("switch_root"))?;
    Some(plain(words.next()?).trim_end_matches('/').to_owned())
}

/// Without what a shell takes away.
fn plain(words: &str) -> String {
    words.replace(['"', '{', '}'], "")
}

/// Where the lines start that `anchor` holds for. A line that continues the one before is none.
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

/// The text with a line put in at each of these places, which ascend.
fn inserted(text: &str, places: &[usize], line: &str) -> Option<Vec<u8>> {
    let (mut new, mut done) = (String::new(), 0);
    for at in places {
        new.push_str(text.get(done..*at)?);
        new.push_str(line);
        done = *at;
    }
    new.push_str(text.get(done..)?);
    Some(new.into_bytes())
}

fn no_anchor(initrd: &str, path: &str, found: &str) -> Error {
    Error::unsupported(
        format!("the stage 1 script {path} in the initrd {initrd}"),
        "one line that makes, moves or switches to $targetRoot/proc (`mkdir`, `mount --move /proc`, `exec … switch_root`)",
        found,
    )
    .with_hint(Advice::ReportOrCredential)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "# Restore\n\
        mkdir -m 0755 -p $targetRoot/proc $targetRoot/sys $targetRoot/dev $targetRoot/run\n\n\
        mount --move /proc $targetRoot/proc\n\
        exec env -i $(type -P switch_root) \"$targetRoot\" \"$stage2Init\"\n\
        fail # should never be reached\n";

    fn called(script: &str) -> String {
        String::from_utf8(with_call("/boot/initrd", "init", script.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn the_call_stands_before_the_first_anchor_and_nothing_else_changes() {
        let (new, call) = (called(TAIL), call("$targetRoot"));
        assert!(new.contains(&format!("# Restore\n{call}mkdir -m 0755")));
        assert_eq!(new.replace(&call, ""), TAIL);
        let is = |new: &str| is_with_call(new.as_bytes(), TAIL.as_bytes());
        assert!(is(&new) && !is(TAIL) && !is(&new.replace("Restore", "restore")) && !is(&call));
    }

    #[test]
    fn later_anchors_serve_where_earlier_ones_are_missing_or_doubled() {
        let call = call("$targetRoot");
        let without = TAIL.replace("mkdir -m 0755 -p $targetRoot/proc", "true");
        assert!(called(&without).contains(&format!("{call}mount --move /proc")));
        let doubled = TAIL.replace(
            "fail #",
            "mkdir $targetRoot/proc\nmount --move /proc \"$targetRoot/proc\"\nfail #",
        );
        assert!(called(&doubled).contains(&format!("{call}exec env")));
        let quoted = TAIL.replace("$targetRoot/proc", "\"${targetRoot}/proc\"");
        assert!(called(&quoted).contains(&format!("{call}mkdir")));
    }

    #[test]
    fn a_script_that_may_end_early_calls_before_each_end() {
        let early = format!("if x; then\n{TAIL}fi\n{TAIL}");
        let (new, call) = (called(&early), call("$targetRoot"));
        assert_eq!(new.matches(&format!("{call}exec env")).count(), 2);
        assert_eq!(new.replace(&call, ""), early);
    }

    #[test]
    fn the_root_is_the_one_that_the_script_switches_to() {
        for (line, root) in [
            ("exec env -i $(type -P switch_root) /mnt/ $sysconfig/init", "/mnt"),
            ("exec switch_root \"${target_root}\" \"$next_init\"", "$target_root"),
            ("exec /bin/switch_root /mnt-root $init", "/mnt-root"),
        ] {
            let script = format!("mkdir -p {root}/proc\nmkdir -p $targetRoot/proc\n{line}\n");
            let call = call(root);
            assert!(called(&script).starts_with(&call), "{line}");
        }
    }

    #[test]
    fn a_script_without_anchor_is_refused() {
        for script in [
            "#!/bin/sh\nexec /init2\n",
            "# mkdir $targetRoot/proc\n",
            "true \\\nmkdir $targetRoot/proc\n",
            "mkdir $targetRoot/proc\nmkdir $targetRoot/proc\n",
            "exec switch_root / x\n",
            "exec switch_root -c /dev/console;reboot $r x\n",
            "exec switch_root /a x\nexec switch_root /b x\n",
        ] {
            assert!(with_call("/boot/initrd", "init", script.as_bytes()).is_err(), "{script}");
        }
    }
}
