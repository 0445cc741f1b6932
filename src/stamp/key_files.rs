//! The files that tell who may log in among everything that was put into an image, those with keys above all: in the root of
//! its live system, in squashfs files beside that, and on command lines.

use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::iso::survey::squashfs;
use crate::keys::{Logins, MOST_READ, user_of};
use crate::live::on_some_machine;
use crate::recipe::edits::Edits;
use crate::stamp::login_obstacles::LoginObstacles;
use crate::units::ByteRange;

/// A file with keys.
#[derive(Debug)]
struct Found {
    /// What it belongs to: one of several machines, a command line, or all of the live system.
    of: String,
    path: String,
    bytes: Vec<u8>,
}

/// Files with keys, those of the root first: they are copied over the others.
#[derive(Debug, Default)]
pub(crate) struct KeyFiles {
    found: Vec<Found>,
    /// What may hold keys and cannot be read, a line each.
    unread: Vec<String>,
    /// What keeps people out although they have a key.
    obstacles: LoginObstacles,
}

impl KeyFiles {
    /// Those in the root, also those that only some of several machines have.
    pub(crate) fn of_root<'a>(root: impl Iterator<Item = &'a Member>) -> Self {
        let (root, mut files): (Vec<&Member>, _) = (root.collect(), Self::default());
        for member in &root {
            let path = on_some_machine(&member.path);
            let of = member.path.strip_suffix(path).unwrap_or_default();
            files.obstacles.take(member);
            if user_of(path).is_none() {
                continue;
            }
            let target = |to: &str| root.iter().find(|other| other.path == target_of(path, to));
            match &member.kind {
                Kind::File(bytes) => files.add(of, path, bytes),
                Kind::Symlink(to) => match target(to).map(|member| &member.kind) {
                    Some(Kind::File(bytes)) => files.add(of, path, bytes),
                    _ => files.add_link(path, to),
                },
                Kind::Directory => {}
            }
        }
        files
    }

    /// Those of edits, also in squashfs files.
    pub(crate) fn of_edits(edits: &Edits) -> Self {
        edits.attached.iter().fold(Self::of_root(edits.root.members()), |files, attached| {
            let at = ByteRange::up_to(attached.bytes.size());
            files.with_attached(&*attached.bytes, [("what is put in", at)])
        })
    }

    /// The same with those in squashfs files, which stand at places of an image.
    #[must_use]
    pub(crate) fn with_attached<'a, I: ReadAt>(
        mut self,
        image: &I,
        attached: impl IntoIterator<Item = (&'a str, ByteRange)>,
    ) -> Self {
        for (name, at) in attached {
            let matters = |path: &str| user_of(path).is_some() || LoginObstacles::is_told_by(path);
            match squashfs::files(image, at, MOST_READ, matters) {
                Ok(members) => members.iter().for_each(|member| self.add_attached(member)),
                Err(fault) => self.unread.push(format!("{name}: {fault}")),
            }
        }
        self
    }

    /// The same with those that kernel arguments carry.
    #[must_use]
    pub(crate) fn with_carried(mut self, carried: &[(String, Vec<u8>)]) -> Self {
        for (number, (path, bytes)) in carried.iter().enumerate() {
            if !carried.iter().take(number).any(|other| *other == (path.clone(), bytes.clone())) {
                self.add(&format!("argument {number}"), path, bytes);
            }
        }
        self
    }

    /// What files keep people out although they have a key.
    pub(crate) fn obstacles(&self) -> LoginObstacles {
        self.obstacles.clone()
    }

    fn add_attached(&mut self, member: &Member) {
        self.obstacles.take(member);
        match &member.kind {
            _ if user_of(&member.path).is_none() => {}
            Kind::File(bytes) => self.add("", &member.path, bytes),
            Kind::Symlink(to) => self.add_link(&member.path, to),
            Kind::Directory => {}
        }
    }

    fn add(&mut self, of: &str, path: &str, bytes: &[u8]) {
        self.found.push(Found { of: of.to_owned(), path: path.to_owned(), bytes: bytes.to_vec() });
    }

    fn add_link(&mut self, path: &str, to: &str) {
        self.unread.push(format!("/{path} is a link to {to}, which is not looked into"));
    }

    /// Who may log in with the keys.
    pub(crate) fn logins(&self) -> Logins {
        let mut logins = Logins::default();
        let mut all: Vec<&str> = self.found.iter().map(|found| found.of.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        for of in all {
            let own = self.found.iter().filter(|found| found.of == of);
            logins.extend(Logins::read(own.map(|found| (found.path.as_str(), &*found.bytes))));
        }
        logins.notes.extend(self.unread.iter().cloned());
        logins
    }
}

/// Where a link leads, as its text says it.
fn target_of(path: &str, to: &str) -> String {
    let (folder, _) = path.rsplit_once('/').unwrap_or_default();
    let start = if to.starts_with('/') { "" } else { folder };
    let mut names: Vec<&str> = Vec::new();
    for name in start.split('/').chain(to.split('/')) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf6xKe8VejdUN5agcko3glA4q1r8KhfjAkRGkOUiBuo a";

    fn logins(root: &[Member]) -> Logins {
        KeyFiles::of_root(root.iter()).logins()
    }

    #[test]
    fn a_link_to_a_file_that_is_put_in_counts_as_that_file_and_another_is_told_of() {
        let link = |to| Member::symlink("root/.ssh/authorized_keys", to);
        let keys = Member::file("srv/keys", 0o644, KEY);
        for to in ["/srv/keys", "../../srv/./keys"] {
            let found = logins(&[link(to), keys.clone()]);
            assert_eq!((found.all.len(), found.notes.len()), (1, 0), "{to}");
        }
        let found = logins(&[link("/mnt/keys"), keys]);
        let told = "/root/.ssh/authorized_keys is a link to /mnt/keys, which is not looked into";
        assert_eq!((found.all.len(), found.notes), (0, vec![told.to_owned()]));
    }

    #[test]
    fn a_squashfs_that_cannot_be_read_is_told_of() {
        let bytes = b"hsqs, and nothing else".to_vec();
        let at = ByteRange::up_to(22);
        let files = KeyFiles::default().with_attached(&bytes, [("/remaster/files1.img", at)]);
        let notes = files.logins().notes;
        assert!(notes[0].starts_with("/remaster/files1.img: "), "{notes:?}");
    }
}
