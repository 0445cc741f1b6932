//! What the user wants, in names and not in bytes.

use crate::format::newc::Member;

/// The uid and gid of the user `nixos` on every installer: the first ones given out.
pub const NIXOS: (u32, u32) = (1000, 100);

/// The way an archive gets to the kernel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Way {
    /// A small extra initrd on the volume, named in every menu entry behind the base's own.
    #[default]
    ExtraInitrd,
    /// Appended to a copy of each initrd: no menu changes, and loaders with menus of their own get it.
    MergeInitrd,
}

/// Everything that is to be different in the live system.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Files and folders of the live system's root, parents first, paths without a leading slash.
    pub root: Vec<Member>,
    /// How they get there.
    pub way: Way,
}

impl Edits {
    /// Lets the holders of keys in as `root` and as `nixos`. `lines` is the text of an
    /// `authorized_keys` file.
    ///
    /// Both places that NixOS's sshd looks into are filled (`AuthorizedKeysFile`), with the owners and
    /// modes that its `StrictModes` wants (`sshd_config(5)`).
    pub fn authorize(lines: &str, way: Way) -> Self {
        let keys = |path: &str, mode| Member::file(path, mode, lines);
        let root = vec![
            Member::directory("etc", 0o755),
            Member::directory("etc/ssh", 0o755),
            Member::directory("etc/ssh/authorized_keys.d", 0o755),
            keys("etc/ssh/authorized_keys.d/nixos", 0o444),
            keys("etc/ssh/authorized_keys.d/root", 0o444),
            Member::directory("home", 0o755),
            Member::directory("home/nixos", 0o700).owned_by(NIXOS),
            Member::directory("home/nixos/.ssh", 0o700).owned_by(NIXOS),
            keys("home/nixos/.ssh/authorized_keys", 0o600).owned_by(NIXOS),
            Member::directory("root", 0o700),
            Member::directory("root/.ssh", 0o700),
            keys("root/.ssh/authorized_keys", 0o600),
        ];
        Self { root, way }
    }
}
