//! What was put in that keeps people from logging in over ssh: kernel arguments and files that switch sshd off, or start
//! the live system to something else (systemd `kernel-command-line(7)`, `systemd-debug-generator(8)`).

use crate::formats::newc::{Kind, Member};
use crate::keys::Logins;

/// The folder of units that systemd looks into first.
const CONTROL: &str = "etc/systemd/system.control/";

/// A file that keeps everybody but root out where sshd or PAM heeds it (`nologin(5)`).
const NOLOGIN: &str = "etc/nologin";

/// Units without which sshd does not start, or the live system.
const UNITS: [&str; 5] =
    ["sshd.service", "multi-user.target", "default.target", "basic.target", "sysinit.target"];

/// Targets that start no sshd.
const WITHOUT_SSHD: [&str; 11] = [
    "emergency.target",
    "rescue.target",
    "runlevel1.target",
    "sysinit.target",
    "basic.target",
    "poweroff.target",
    "runlevel0.target",
    "reboot.target",
    "runlevel6.target",
    "halt.target",
    "kexec.target",
];

/// Words of the kernel's command line that are names of targets (systemd `src/basic/proc-cmdline.c`, `runlevel_to_target`).
const WORDS: [(&str, &str); 12] = [
    ("emergency", "emergency.target"),
    ("-b", "emergency.target"),
    ("rescue", "rescue.target"),
    ("single", "rescue.target"),
    ("-s", "rescue.target"),
    ("s", "rescue.target"),
    ("S", "rescue.target"),
    ("1", "rescue.target"),
    ("2", "multi-user.target"),
    ("3", "multi-user.target"),
    ("4", "multi-user.target"),
    ("5", "graphical.target"),
];

/// Why people cannot log in although they have a key or a password.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct LoginObstacles {
    /// What keeps everybody out.
    everybody: Option<String>,
    /// What keeps out everybody but root.
    but_root: Option<String>,
}

impl LoginObstacles {
    /// Whether a file of the live system tells.
    pub(crate) fn is_told_by(path: &str) -> bool {
        path == NOLOGIN || unit_of(path).is_some()
    }

    /// Takes a member of the live system's root.
    pub(crate) fn take(&mut self, member: &Member) {
        let path = member.path.as_str();
        if path == NOLOGIN && member.kind != Kind::Directory {
            let why = "/etc/nologin keeps out everybody but root where sshd or PAM heeds it";
            self.but_root.get_or_insert_with(|| why.to_owned());
        }
        let why = unit_of(path).and_then(|unit| obstacle_in(unit, &member.kind));
        if let Some(why) = why {
            self.everybody.get_or_insert_with(|| format!("/{path} {why}"));
        }
    }

    /// The same with the command lines of all entries: they keep people out if each of them does.
    #[must_use]
    pub(crate) fn with_lines(mut self, lines: &[Vec<&str>]) -> Self {
        let found: Option<Vec<String>> = lines.iter().map(|line| obstacle_of(line)).collect();
        if let Some(why) = found.and_then(|all| all.into_iter().next()) {
            self.everybody.get_or_insert(why);
        }
        self
    }

    /// What keeps everybody out.
    pub(crate) fn everybody(&self) -> Option<&str> {
        self.everybody.as_deref()
    }

    /// What keeps out everybody but root, if root is not kept out.
    pub(crate) fn but_root(&self) -> Option<&str> {
        self.but_root.as_deref().filter(|_| self.everybody.is_none())
    }

    /// What keeps a user out.
    pub(crate) fn of(&self, user: &str) -> Option<&str> {
        self.everybody().or_else(|| self.but_root().filter(|_| user != "root"))
    }

    /// Says of the keys of those who are kept out that they let nobody in.
    pub(crate) fn mark(&self, logins: &mut Logins) {
        for login in &mut logins.all {
            if let Some(why) = self.of(login.user) {
                login.shut_out.get_or_insert_with(|| why.to_owned());
            }
        }
    }
}

/// The unit that a file is, if it is one of those that matter.
fn unit_of(path: &str) -> Option<&str> {
    path.strip_prefix(CONTROL).filter(|unit| UNITS.contains(unit))
}

/// What a file does in place of a unit that matters.
fn obstacle_in(unit: &str, kind: &Kind) -> Option<String> {
    let is_default = unit == "default.target";
    match kind {
        Kind::Directory => None,
        Kind::File(text) if text.is_empty() => Some(format!("masks {unit}")),
        Kind::Symlink(to) if to == "/dev/null" => Some(format!("masks {unit}")),
        Kind::Symlink(to) if is_default => {
            let target = to.rsplit('/').next().filter(|target| WITHOUT_SSHD.contains(target))?;
            Some(format!("starts {target}, and that no sshd"))
        }
        Kind::File(_) if is_default => None,
        Kind::File(_) | Kind::Symlink(_) => {
            Some(format!("stands in place of the {unit} of NixOS, as far as is known"))
        }
    }
}

/// What of a command line keeps everybody out. The last word that names a target counts.
fn obstacle_of(line: &[&str]) -> Option<String> {
    let words = || line.iter().map(|word| word.replace(['"', '\''], ""));
    let masked = words().find(|word| word.strip_prefix("systemd.mask=").is_some_and(is_needed));
    if let Some(word) = masked {
        return Some(format!("the kernel argument `{word}` keeps sshd from starting"));
    }
    let target = |word: &String| {
        let named = WORDS.iter().find(|(name, _)| name == word).map(|(_, target)| *target);
        word.strip_prefix("systemd.unit=").or(named).map(str::to_owned)
    };
    let (word, target) =
        words().filter_map(|word| target(&word).map(|it| (word, it))).next_back()?;
    WITHOUT_SSHD
        .contains(&target.as_str())
        .then(|| format!("the kernel argument `{word}` starts {target}, and that no sshd"))
}

/// Whether a unit that is masked is needed; a name without an ending is that of a service.
fn is_needed(unit: &str) -> bool {
    UNITS.contains(&unit) || UNITS.contains(&format!("{unit}.service").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_start_no_sshd_are_named() {
        for (line, word) in [
            ("quiet loglevel=4", ""),
            ("systemd.mask=sshd.service", "`systemd.mask=sshd.service` keeps"),
            ("systemd.mask='sshd'", "`systemd.mask=sshd` keeps"),
            ("systemd.mask=multi-user.target", "`systemd.mask=multi-user.target`"),
            ("systemd.mask=other.service", ""),
            ("systemd.unit=emergency.target", "starts emergency.target"),
            ("systemd.unit=mine.target", ""),
            ("systemd.unit=rescue.target 3", ""),
            ("3 1", "`1` starts rescue.target"),
            ("emergency", "`emergency`"),
            ("single", "`single`"),
            ("rd.systemd.unit=rescue.target", ""),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let found = LoginObstacles::default().with_lines(&[words]);
            let why = found.everybody().unwrap_or_default();
            assert!(why.contains(word) && why.is_empty() == word.is_empty(), "{line}: {why}");
        }
        let some = LoginObstacles::default().with_lines(&[vec!["1"], vec!["quiet"]]);
        assert_eq!(some.everybody(), None, "an entry is left");
        assert_eq!(LoginObstacles::default().with_lines(&[]).everybody(), None);
    }

    #[test]
    fn files_that_start_no_sshd_are_named() {
        let unit = |name: &str| format!("{CONTROL}{name}");
        let null = |name: &str| Member::symlink(unit(name), "/dev/null");
        for (member, user, why) in [
            (Member::file(unit("sshd.service"), 0o644, "[Service]\n"), "root", "stands in place"),
            (null("sshd.service"), "root", "masks sshd.service"),
            (Member::file(unit("multi-user.target"), 0o644, ""), "root", "masks multi-user.target"),
            (
                Member::symlink(unit("default.target"), "/etc/systemd/system/rescue.target"),
                "root",
                "starts rescue.target",
            ),
            (Member::symlink(unit("default.target"), "graphical.target"), "root", ""),
            (Member::file(unit("sshd.service.d/x.conf"), 0o644, "x"), "root", ""),
            (Member::file(NOLOGIN, 0o644, ""), "root", ""),
            (Member::file(NOLOGIN, 0o644, ""), "nixos", "keeps out everybody but root"),
        ] {
            let mut found = LoginObstacles::default();
            found.take(&member);
            let told = found.of(user).unwrap_or_default();
            assert!(told.contains(why) && told.is_empty() == why.is_empty(), "{member:?}: {told}");
        }
    }
}
