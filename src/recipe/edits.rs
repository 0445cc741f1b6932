//! What the user wants, in names and not in bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Result;
use crate::formats::newc::{Kind, Member};
use crate::image::ImageFile;
use crate::keys::{KEY_FILES, KeyFile};

/// The uid and gid of the user `nixos` on every installer: the first ones given out.
pub(crate) const NIXOS: (u32, u32) = (1000, 100);

/// The way an archive gets to the kernel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum InjectMethod {
    /// A small extra initrd on the volume, named in every menu entry behind the base's own.
    #[default]
    ExtraInitrd,
    /// Appended to a copy of each initrd: no menu changes, and loaders with menus of their own get it.
    MergeInitrd,
    /// No archive: the kernel's command line carries keys, and stage 1 is not touched.
    Credential,
    /// No archive: only menus change, and stage 1 is not touched.
    Menus,
}

impl InjectMethod {
    /// Whether archives bring something into stage 1, which must be understood then.
    pub(crate) fn has_archives(self) -> bool {
        matches!(self, Self::ExtraInitrd | Self::MergeInitrd)
    }

    /// The same for a kernel that starts without menus: it has one initrd, which gets all.
    #[must_use]
    pub fn without_menus(self) -> Self {
        if self == Self::MergeInitrd { Self::ExtraInitrd } else { self }
    }
}

/// Where units of ours go in the live system: before all other folders, and left alone by NixOS's
/// activation (systemd.unit(5), "System Unit Search Path").
pub(crate) const UNITS: &str = "etc/systemd/system.control";

/// Files and folders of the live system's root, each path once, parents first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Root(BTreeMap<String, Member>);

impl Root {
    /// Puts a member in, and the folders above it. What stood under its path before gives way.
    pub fn put(&mut self, member: Member) {
        for path in above(&member.path) {
            self.0.entry(path.to_owned()).or_insert_with(|| folder(path));
        }
        self.0.insert(member.path.clone(), member);
    }

    /// A file of root's.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.put(Member::file(path, mode, bytes));
    }

    /// A symbolic link of root's.
    pub fn symlink(&mut self, path: &str, to: &str) {
        self.put(Member::symlink(path, to));
    }

    /// A systemd unit or drop-in of the live system, as `a.service` or `a.service.d/b.conf`.
    pub fn unit(&mut self, name: &str, text: &str) {
        self.file(&format!("{UNITS}/{name}"), 0o644, text);
    }

    /// Has a unit started with a target, as `multi-user.target`.
    pub fn want(&mut self, unit: &str, target: &str) {
        self.symlink(&format!("{UNITS}/{target}.wants/{unit}"), &format!("../{unit}"));
    }

    /// What stands under a path.
    pub fn get(&self, path: &str) -> Option<&Member> {
        self.0.get(path)
    }

    /// Everything, parents first.
    pub fn members(&self) -> impl Iterator<Item = &Member> + Clone {
        self.0.values()
    }
}

/// A folder as NixOS makes it itself.
pub fn folder(path: &str) -> Member {
    let nixos = path == "home/nixos" || path.starts_with("home/nixos/");
    let mode = match path {
        "tmp" | "var/tmp" => 0o1777,
        "root" | "home/nixos" | "root/.ssh" | "home/nixos/.ssh" => 0o700,
        _ => 0o755,
    };
    Member::directory(path, mode).owned_by(if nixos { NIXOS } else { (0, 0) })
}

/// What a squashfs on the volume is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Copied over the live system's root, before what is in the initrd.
    Overlay,
    /// Mounted at boot; its store paths are linked into `/nix/store`, and, if so wished, their programs
    /// put on the PATH.
    Store {
        /// Whether the programs are.
        on_path: bool,
    },
}

/// Digits of an id of [`Attached`].
pub(crate) const ID: usize = 16;

/// A squashfs that is put on the volume, beside the archives: too large for an initrd.
#[derive(Clone, Debug)]
pub struct Attached {
    /// What it is for.
    pub purpose: Purpose,
    /// Its bytes.
    pub bytes: Arc<ImageFile>,
    /// The first digits of their SHA-256, by which a live system knows its own.
    pub id: String,
}

impl Attached {
    /// A file, which is read whole.
    pub fn new(purpose: Purpose, bytes: Arc<ImageFile>) -> Result<Self> {
        let id = id_of(bytes.digest()?);
        Ok(Self { purpose, bytes, id })
    }
}

/// The id of bytes with this SHA-256.
pub(crate) fn id_of(sha256: [u8; 32]) -> String {
    let [a, b, c, d, e, f, g, h, ..] = sha256;
    format!("{:0ID$x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// Something of the menus that was asked for, and where, as `--karg` or `r.toml:3:8: karg`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spanned<T> {
    /// What.
    pub value: T,
    /// Where.
    pub place: String,
}

/// A kernel argument that gets another value.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Replacement {
    /// Its name.
    pub key: String,
    /// The value it has, where it may be there with several.
    pub old: Option<String>,
    /// The value it gets.
    pub new: String,
}

impl Replacement {
    /// The argument that comes of it.
    pub fn argument(&self) -> String {
        format!("{}={}", self.key, self.new)
    }

    /// As a recipe asks for it: `KEY=NEW` or `KEY=OLD=NEW`.
    pub fn asked(&self) -> String {
        match &self.old {
            Some(old) => format!("{}={old}={}", self.key, self.new),
            None => self.argument(),
        }
    }
}

/// A serial port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Serial {
    /// As the kernel names it: `ttyS0`.
    pub port: String,
    /// Bits in a second, for ports that have that.
    pub speed: Option<u32>,
    /// The number that boot loaders know it by: those of PCs.
    pub unit: Option<u8>,
}

/// What a port is, without its number: `ttyS` of `ttyS1`.
pub(super) fn kind_of_port(port: &str) -> &str {
    port.trim_end_matches(|c: char| c.is_ascii_digit())
}

impl Serial {
    /// The kernel argument for a console there.
    pub fn console(&self) -> String {
        match self.speed {
            Some(speed) => format!("console={},{speed}n8", self.port),
            None => format!("console={}", self.port),
        }
    }

    /// As a recipe asks for it: `ttyS0,115200`.
    pub fn asked(&self) -> String {
        match self.speed {
            Some(speed) => format!("{},{speed}", self.port),
            None => self.port.clone(),
        }
    }
}

/// Kernel arguments that carry keys, the best first: the first that fits on every command line is taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credential {
    /// The argument.
    pub argument: String,
    /// What it does, for the user to read.
    pub does: String,
}

/// A name of something that the base must have: a keymap, a font, a locale.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequiredName {
    /// As a recipe calls the kind: `keymap`, `console-font`, `locale`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
}

/// What is to be different in the menus.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Boot {
    /// Kernel arguments that go.
    pub delete: Vec<Spanned<String>>,
    /// Kernel arguments that get other values.
    pub replace: Vec<Spanned<Replacement>>,
    /// Kernel arguments that come.
    pub add: Vec<Spanned<String>>,
    /// Parts of titles or labels of the entries that this is for; all entries if empty.
    pub entries: Vec<Spanned<String>>,
    /// Serial ports, the main one last; for loaders the last that they know.
    pub serial: Vec<Serial>,
    /// Seconds that menus wait, below an hour.
    pub timeout: Option<u16>,
    /// What they start then: a part of a title, a label or an argument.
    pub default_entry: Option<Spanned<String>>,
    /// The label of the volume.
    pub label: Option<Spanned<String>>,
    /// What stands in front of titles.
    pub name: Option<String>,
    /// Keys on the command line; none unless [`InjectMethod::Credential`].
    pub credentials: Vec<Credential>,
}

impl Boot {
    /// The ports that the kernel talks at. It has one console of a kind (Linux, `admin-guide/serial-console.rst`): the
    /// last.
    pub fn consoles(&self) -> impl Iterator<Item = &Serial> {
        let is_last = |serial: &Serial| self.of_kind(serial).next_back() == Some(serial);
        self.serial.iter().filter(move |serial| is_last(serial))
    }

    /// The ports of which there are several of a kind, so that some are not the kernel's.
    pub fn alike(&self) -> impl Iterator<Item = &Serial> {
        self.serial.iter().filter(|serial| self.of_kind(serial).count() > 1)
    }

    fn of_kind(&self, serial: &Serial) -> impl DoubleEndedIterator<Item = &Serial> {
        let kind = kind_of_port(&serial.port);
        self.serial.iter().filter(move |one| kind_of_port(&one.port) == kind)
    }

    /// The same for a kernel that starts without menus and a volume.
    #[must_use]
    pub fn without_menus(self) -> Self {
        Self { timeout: None, default_entry: None, label: None, name: None, ..self }
    }

    /// Whether menus stay as they are.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The files among members whose contents others must not read: nobody but owner and group may in the live
/// system, by the mode of the file or of a folder above it. Folders that NixOS closes itself do not count.
/// Files that are closed for the sake of who reads them do not count either.
pub fn secrets<'m>(members: impl IntoIterator<Item = &'m Member> + Clone) -> Vec<&'m Member> {
    let is_closed = |found: &&Member| found.kind == Kind::Directory && is_closed_folder(found);
    let closed: BTreeSet<&str> =
        members.clone().into_iter().filter(is_closed).map(|found| found.path.as_str()).collect();
    let is_secret = |found: &&Member| {
        let hidden =
            found.mode & 0o004 == 0 || above(&found.path).any(|path| closed.contains(path));
        hidden && matches!(found.kind, Kind::File(_)) && !is_closed_for_its_reader(found)
    };
    members.into_iter().filter(is_secret).collect()
}

/// Where `wpa_supplicant` reads the wireless networks of a recipe.
pub(crate) const SUPPLICANT: &str = "etc/remaster/wifi.conf";

/// Whether a file holds no secret although only its owner may read it. sshd refuses an `authorized_keys` file that others
/// may write, and `NetworkManager` refuses profiles that others may read. Our profiles of wired interfaces hold
/// addresses alone, and those of wireless networks without a password hold no more.
fn is_closed_for_its_reader(member: &Member) -> bool {
    let Kind::File(bytes) = &member.kind else { return false };
    member.path.ends_with("/.ssh/authorized_keys")
        || is_open_profile(bytes)
        || (member.path == SUPPLICANT && !has_password(bytes))
}

/// Whether this is a profile of ours in which no password stands.
fn is_open_profile(bytes: &[u8]) -> bool {
    const OURS: [&[u8]; 3] = [
        b"[connection]\nid=remaster-address-",
        b"[connection]\nid=remaster-dhcp\n",
        b"[connection]\nid=remaster-wifi",
    ];
    OURS.iter().any(|head| bytes.starts_with(head)) && !has_password(bytes)
}

/// Whether a password or key of a wireless network stands in a file of ours. Names of networks are numbers there.
fn has_password(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| line.starts_with("psk=") || line.starts_with("sae_password="))
}

/// Whether others cannot pass a folder that NixOS lets them pass.
fn is_closed_folder(member: &Member) -> bool {
    member.mode & 0o001 == 0 && folder(&member.path).mode & 0o001 != 0
}

/// The paths of the folders above a path.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

/// Everything that is to be different in the live system.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// What is laid over the live system's root.
    pub root: Root,
    /// What goes onto the volume beside that, in the order in which it is used at boot.
    pub attached: Vec<Attached>,
    /// Whether the image has something that nobody else may read.
    pub private: bool,
    /// How it gets there.
    pub way: InjectMethod,
    /// Files of our own folder on the volume that tell of the image, by name.
    pub records: BTreeMap<String, Vec<u8>>,
    /// What is different before that.
    pub boot: Boot,
    /// What the base must have.
    pub required_names: Vec<Spanned<RequiredName>>,
    /// The digest of what was asked for, without random keys and salts; none if these edits come from no recipe.
    pub inputs: Option<[u8; 32]>,
}

impl Edits {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.root.members().next().is_none() && self.attached.is_empty() && self.boot.is_empty()
    }

    /// Whether whoever can read the image learns what others must not know.
    pub fn is_private(&self) -> bool {
        self.private || !secrets(self.root.members()).is_empty()
    }

    /// Lets the holders of keys in as `root` and as `nixos`. `lines` is the text of an
    /// `authorized_keys` file.
    ///
    /// All files that NixOS's sshd reads are filled ([`KEY_FILES`]), with the owners and modes that its `StrictModes`
    /// wants (`sshd_config(5)`).
    pub fn authorize(lines: &str, method: InjectMethod) -> Self {
        let mut root = Root::default();
        for KeyFile { path, user, is_in_home } in KEY_FILES {
            let (mode, owner) = match (is_in_home, user) {
                (true, "nixos") => (0o600, NIXOS),
                (true, _) => (0o600, (0, 0)),
                (false, _) => (0o444, (0, 0)),
            };
            root.put(Member::file(path, mode, lines).owned_by(owner));
        }
        Self { root, way: method, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_are_as_nixos_has_them() {
        let edits = Edits::authorize("k\n", InjectMethod::default());
        let shown: Vec<String> = edits
            .root
            .members()
            .map(|m| format!("{} {:o} {}:{}", m.path, m.mode, m.owner.0, m.owner.1))
            .collect();
        assert!(shown.contains(&"home/nixos 700 1000:100".to_owned()), "{shown:?}");
        assert!(shown.contains(&"root/.ssh 700 0:0".to_owned()), "{shown:?}");
        assert_eq!(shown.len(), 12);
        let at = |path: &str| shown.iter().position(|line| line.starts_with(path)).unwrap();
        assert!(
            at("home 755") < at("home/nixos 700")
                && at("home/nixos 700") < at("home/nixos/.ssh 700")
        );
    }

    #[test]
    fn what_others_must_not_read_makes_edits_private() {
        let mut edits = Edits::authorize("k\n", InjectMethod::default());
        assert!(!edits.is_private());
        edits.root.file("etc/a", 0o600, "secret");
        assert!(edits.is_private());
    }

    #[test]
    fn a_closed_folder_makes_what_is_below_it_a_secret_unless_nixos_closes_it() {
        let mut root = Root::default();
        root.file("root/a", 0o644, "");
        root.file("home/nixos/a", 0o644, "");
        root.put(Member::directory("srv", 0o750));
        root.file("srv/sub/a", 0o644, "");
        root.symlink("srv/b", "a");
        let found: Vec<&str> =
            secrets(root.members()).iter().map(|found| found.path.as_str()).collect();
        assert_eq!(found, ["srv/sub/a"]);
    }

    #[test]
    fn the_last_member_of_a_path_wins_and_keeps_the_folder_that_was_given() {
        let mut root = Root::default();
        root.put(Member::directory("srv", 0o700));
        root.file("srv/a", 0o644, "1");
        root.file("srv/a", 0o600, "2");
        assert_eq!(root.get("srv").unwrap().mode, 0o700);
        assert_eq!(root.get("srv/a").unwrap().mode, 0o600);
        assert_eq!(root.members().count(), 2);
    }
}
