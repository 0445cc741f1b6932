//! Who may log in with which key: the files that sshd of an installer reads, and what their lines say, each by itself.
//!
//! `AuthorizedKeysFile` of NixOS is `%h/.ssh/authorized_keys /etc/ssh/authorized_keys.d/%u`, and installers have the
//! users root and nixos.

use std::collections::BTreeMap;

use super::Gathered;
use super::expiry::Moment;
use super::key::AuthorizedKey;
use super::text;

/// A file that sshd reads keys from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyFile {
    /// Without the first slash.
    pub path: &'static str,
    /// Whom its keys let in.
    pub user: &'static str,
    /// Whether it is in the user's home, and so belongs to the user.
    pub is_in_home: bool,
}

/// All of them.
pub const KEY_FILES: [KeyFile; 4] = [
    KeyFile { path: "etc/ssh/authorized_keys.d/nixos", user: "nixos", is_in_home: false },
    KeyFile { path: "etc/ssh/authorized_keys.d/root", user: "root", is_in_home: false },
    KeyFile { path: "home/nixos/.ssh/authorized_keys", user: "nixos", is_in_home: true },
    KeyFile { path: "root/.ssh/authorized_keys", user: "root", is_in_home: true },
];

/// The users of an installer.
pub const USERS: [&str; 2] = ["root", "nixos"];

/// Whom the keys of a file let in; none if sshd does not read it.
pub fn user_of(path: &str) -> Option<&'static str> {
    KEY_FILES.iter().find(|file| file.path == path).map(|file| file.user)
}

/// A line that sshd reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Login {
    /// Whom it lets in.
    pub user: &'static str,
    /// The key.
    pub key: AuthorizedKey,
    /// Why it lets nobody in to a shell, if it does not.
    pub shut_out: Option<String>,
}

/// What tells a line from others: whom it lets in, the base64 text of its key, and its options.
type Line = (&'static str, String, Option<String>);

/// The lines of all key files of a live system.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Logins {
    /// Each line once for each user, as the files and lines follow each other.
    pub all: Vec<Login>,
    /// What is not understood of a file, a line each.
    pub notes: Vec<String>,
    /// Where each line is among all.
    places: BTreeMap<Line, usize>,
}

impl Logins {
    /// Reads those among files, by their paths. Of several with one path the first counts.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut first: BTreeMap<(&str, &str), &[u8]> = BTreeMap::new();
        for (path, text) in files {
            if let Some(user) = user_of(path) {
                first.entry((user, path)).or_insert(text);
            }
        }
        let mut found = Self::default();
        for ((user, path), text) in first {
            found.add(user, path, text);
        }
        found
    }

    /// Adds the lines of another system, as of one of several machines.
    pub fn extend(&mut self, other: Self) {
        other.all.into_iter().for_each(|login| self.put(login));
        self.notes.extend(other.notes);
    }

    fn add(&mut self, user: &'static str, path: &str, text: &[u8]) {
        let (gathered, note) = read_lines(&format!("/{path}"), text);
        self.notes.extend(note);
        for (key, why) in gathered.keys.judged() {
            self.put(Login { user, key: key.clone(), shut_out: why.map(str::to_owned) });
        }
    }

    /// Of one line in several files, the one tells of it that lets in.
    fn put(&mut self, login: Login) {
        let line = (login.user, login.key.data.clone(), login.key.options.clone());
        let place = *self.places.entry(line).or_insert(self.all.len());
        match self.all.get_mut(place) {
            Some(other) if other.shut_out.is_some() => *other = login,
            Some(_) => {}
            None => self.all.push(login),
        }
    }

    /// Those of a user.
    pub fn of(&self, user: &str) -> impl Iterator<Item = &Login> {
        self.all.iter().filter(move |login| login.user == user)
    }
}

/// Reads a text as sshd does: by the line. The note tells of the lines that are not understood, of which sshd may read
/// some nevertheless, as of short RSA keys.
fn read_lines(name: &str, bytes: &[u8]) -> (Gathered, Option<String>) {
    let (mut gathered, now) = (Gathered::default(), Moment::now());
    let (read, rest) = bytes.split_at_checked(text::LIMIT).unwrap_or((bytes, &[]));
    let mut faults = text::each_line(name, read).filter_map(|(at, line)| {
        let line = line.map_err(|flaw| flaw.at(&at));
        line.and_then(|line| gathered.add_line(at, line, now)).err()
    });
    let fault = faults.next();
    let more = match faults.count() {
        0 => None,
        1 => Some("and 1 more line".to_owned()),
        more => Some(format!("and {more} more lines")),
    };
    let long = format!("nothing is read behind the first {} bytes", text::LIMIT);
    let long = (!rest.is_empty()).then_some(long);
    let note = match (fault, long) {
        (Some(fault), long) => {
            let all = [Some(fault.to_string()), more, long];
            Some(all.into_iter().flatten().collect::<Vec<_>>().join("; "))
        }
        (None, Some(long)) => Some(format!("{name}: {long}")),
        (None, None) => None,
    };
    (gathered, note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::samples;

    fn read(files: &[(&str, &str)]) -> Logins {
        Logins::read(files.iter().map(|(path, text)| (*path, text.as_bytes())))
    }

    #[test]
    fn every_file_of_the_table_lets_its_user_in_and_no_other_does() {
        for KeyFile { path, user, .. } in KEY_FILES {
            let found = read(&[(path, samples::ED25519)]);
            let users: Vec<&str> = found.all.iter().map(|login| login.user).collect();
            assert_eq!(users, [user], "{path}");
            assert!(USERS.contains(&user));
        }
        for other in [
            "home/alice/.ssh/authorized_keys",
            "etc/ssh/authorized_keys.d/alice",
            "root/.ssh/authorized_keys2",
        ] {
            assert_eq!(read(&[(other, samples::ED25519)]), Logins::default(), "{other}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_takes_no_other_with_it() {
        let first = "/root/.ssh/authorized_keys line 3: found a DSA key, which sshd no longer takes, expected ed25519, \
                     ECDSA or RSA";
        for (others, told) in
            [("", ""), ("rubbish\n", "; and 1 more line"), ("x\ny\n", "; and 2 more lines")]
        {
            let text = format!("# mine\n\nssh-dss AAAA b\n{}\n{others}", samples::ED25519);
            let found = read(&[("root/.ssh/authorized_keys", &text)]);
            assert_eq!(found.all.len(), 1);
            assert_eq!(found.notes, [format!("{first}{told}")]);
        }
    }

    #[test]
    fn a_line_counts_once_for_a_user_and_other_options_are_another_line() {
        let limited = format!("restrict,pty {}", samples::ED25519);
        let both = format!("{limited}\n{}", samples::ED25519);
        let found = read(&[
            ("root/.ssh/authorized_keys", &both),
            ("etc/ssh/authorized_keys.d/root", samples::ED25519),
            ("etc/ssh/authorized_keys.d/nixos", &limited),
            ("etc/ssh/authorized_keys.d/nixos", samples::P256),
        ]);
        let options = |user| {
            let found: Vec<_> = found.of(user).map(|login| login.key.options.as_deref()).collect();
            found
        };
        assert_eq!(options("root"), [None, Some("restrict,pty")]);
        assert_eq!(options("nixos"), [Some("restrict,pty")]);
    }

    #[test]
    fn what_is_behind_the_limit_is_told_of() {
        let mut text = samples::ED25519.to_owned() + "\n";
        text.push_str(&"#\n".repeat(text::LIMIT / 2));
        let found = read(&[("root/.ssh/authorized_keys", &text)]);
        assert_eq!(found.all.len(), 1);
        let told = "nothing is read behind the first 1048576 bytes";
        assert_eq!(found.notes, [format!("/root/.ssh/authorized_keys: {told}")]);
        let found = read(&[("root/.ssh/authorized_keys", &format!("x\ny\n{text}"))]);
        assert!(
            found.notes[0].ends_with(&format!("; and 1 more line; {told}")),
            "{:?}",
            found.notes
        );
    }
}
