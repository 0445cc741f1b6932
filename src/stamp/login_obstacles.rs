//! What was put in that keeps people from logging in over ssh: kernel arguments and files that switch sshd off, or start
//! the live system to something else (systemd `kernel-command-line(7)`, `systemd-debug-generator(8)`).

use crate::boot::command_lines::CommandLines;
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

/// Targets that start it.
const WITH_SSHD: [&str; 6] = [
    "multi-user.target",
    "graphical.target",
    "runlevel2.target",
    "runlevel3.target",
    "runlevel4.target",
    "runlevel5.target",
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
    /// A file of the user's own in place of a unit of NixOS, which alone decides whether sshd starts.
    own_unit: Option<String>,
    /// An entry that starts by itself, and what keeps everybody out with it.
    by_itself: Option<(String, String)>,
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
        match unit_of(path).and_then(|unit| in_place_of(unit, &member.kind)) {
            Some(InPlace::NoSshd(why)) => {
                self.everybody.get_or_insert_with(|| format!("/{path} {why}"));
            }
            Some(InPlace::Own(unit)) => {
                let own =
                    || format!("/{path} starts sshd: it stands in place of the {unit} of NixOS");
                self.own_unit.get_or_insert_with(own);
            }
            None => {}
        }
    }

    /// The same with the command lines of all entries: they keep people out if each of them does.
    #[must_use]
    pub(crate) fn with_lines(mut self, lines: &CommandLines) -> Self {
        let all = lines.all().iter().map(|line| obstacle_of(line));
        let found: Option<Vec<String>> = all.collect();
        if let Some(why) = found.and_then(|all| all.into_iter().next()) {
            self.everybody.get_or_insert(why);
        }
        let mut by_itself = lines.by_itself().iter();
        self.by_itself =
            by_itself.find_map(|(entry, line)| Some((entry.clone(), obstacle_of(line)?)));
        self
    }

    /// An entry that starts by itself, and why nobody can log in with it, if others let people in.
    pub(crate) fn by_itself(&self) -> Option<&(String, String)> {
        self.by_itself.as_ref().filter(|_| self.everybody.is_none())
    }

    /// The unit of the user's own on which it depends whether anybody can log in, in words.
    pub(crate) fn own_unit(&self) -> Option<&str> {
        self.own_unit.as_deref().filter(|_| self.everybody.is_none())
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

/// What a file is in place of a unit that matters.
enum InPlace<'a> {
    /// It starts no sshd, and why.
    NoSshd(String),
    /// A unit of the user's own, in place of this one.
    Own(&'a str),
}

/// What a file does in place of a unit that matters; none if sshd starts all the same.
fn in_place_of<'a>(unit: &'a str, kind: &Kind) -> Option<InPlace<'a>> {
    let masks = || Some(InPlace::NoSshd(format!("masks {unit}")));
    match kind {
        Kind::Directory => None,
        Kind::File(text) if text.is_empty() => masks(),
        Kind::Symlink(to) if to == "/dev/null" => masks(),
        Kind::Symlink(to) if unit == "default.target" => {
            let target = to.rsplit('/').next().unwrap_or_default();
            let starts = || format!("starts {target}, and that no sshd");
            let is_without = WITHOUT_SSHD.contains(&target);
            let own = (!WITH_SSHD.contains(&target)).then_some(InPlace::Own(unit));
            if is_without { Some(InPlace::NoSshd(starts())) } else { own }
        }
        Kind::File(_) | Kind::Symlink(_) => Some(InPlace::Own(unit)),
    }
}

/// What of a command line keeps everybody out. The last word that names a target counts.
fn obstacle_of(line: &[String]) -> Option<String> {
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

    fn lines(all: &[&str]) -> CommandLines {
        CommandLines::of_lines(all.iter().map(|line| line.split(' ').map(str::to_owned).collect()))
    }

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
            let found = LoginObstacles::default().with_lines(&lines(&[line]));
            let why = found.everybody().unwrap_or_default();
            assert!(why.contains(word) && why.is_empty() == word.is_empty(), "{line}: {why}");
        }
        let some = LoginObstacles::default().with_lines(&lines(&["1", "quiet"]));
        assert_eq!(some.everybody(), None, "an entry is left");
        assert_eq!(LoginObstacles::default().with_lines(&lines(&[])).everybody(), None);
    }

    #[test]
    fn files_that_start_no_sshd_are_named() {
        let unit = |name: &str| format!("{CONTROL}{name}");
        let null = |name: &str| Member::symlink(unit(name), "/dev/null");
        for (member, user, why) in [
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

    #[test]
    fn a_unit_of_the_users_own_decides() {
        let unit = |name: &str| format!("{CONTROL}{name}");
        for (member, is_own) in [
            (Member::file(unit("sshd.service"), 0o644, "[Service]\n"), true),
            (Member::symlink(unit("sshd.service"), "/etc/mine.service"), true),
            (Member::file(unit("default.target"), 0o644, "[Unit]\n"), true),
            (Member::symlink(unit("default.target"), "mine.target"), true),
            (Member::symlink(unit("default.target"), "multi-user.target"), false),
            (Member::file(unit("sshd.service"), 0o644, ""), false),
            (Member::file(unit("other.service"), 0o644, "[Service]\n"), false),
        ] {
            let mut found = LoginObstacles::default();
            found.take(&member);
            assert_eq!(found.own_unit().is_some(), is_own, "{member:?}");
        }
    }
}
