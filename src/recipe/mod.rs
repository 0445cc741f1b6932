//! What the user asks for, by the same names on the command line and in a recipe file.

pub mod edits;

mod document;
mod fields;
mod list;
mod machine;
mod setting;
mod unquoted;
#[cfg(feature = "records")]
pub mod users;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

pub use document::{OF_COMMANDS, read, schema};
pub(crate) use fields::{
    DIGESTS, IN_IMAGE, OF_FILES, OF_MENUS, SIGN, of_descriptor, of_environment,
};
pub use fields::{OF_CHOICES, OF_RECORDS, OF_VOLUMES, is_shown_as_fact};
pub use machine::Machine;
pub use setting::{OtherNames, call_settings, called};
pub(crate) use setting::{Phrase, Setting, setting};

/// How the edits get into the live system.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Inject {
    /// Archives that stage 1 unpacks: everything is possible
    Archive,
    /// Short keys on the kernel's command line, for a stage 1 that is not understood
    Credential,
}

/// Everything that can be asked for. A flag of the command line and a key of a recipe have one name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Public key to let in as root and nixos; repeatable
    ///
    /// A `.pub` or `authorized_keys` file, `-` for standard input, the key itself, `agent` for the keys of ssh-agent, or
    /// `gh:USER`, `gl:USER` or an `https://` address for those that GitHub, GitLab or another server has.
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "KEY", help_heading = "ssh"))]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub key: Vec<String>,
    /// Fingerprint of a key that is fetched; once per key
    ///
    /// Fetched keys are shown and confirmed on a terminal. Without a terminal they are refused unless these are their
    /// fingerprints, all of them and no others.
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHA256:…", help_heading = "ssh"))]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub expect_fingerprint: Vec<String>,
    /// Allow password logins over ssh [default: by key only, if a key is given]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "ssh"))]
    pub ssh_passwords: Option<bool>,
    /// Private host key to place: `generate` (ed25519), `generate:rsa`, or a file; may be given several times
    #[cfg_attr(feature = "cli", arg(long, value_name = "generate|FILE", help_heading = "ssh"))]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub host_key: Vec<String>,
    /// Secret file that generated host keys are derived from, so that they are the same each time; `env:NAME` is an
    /// environment variable, `fd:N` an open file descriptor
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "FILE|env:NAME|fd:N", help_heading = "ssh")
    )]
    pub host_key_seed: Option<PathBuf>,
    /// Name from which host keys and salts are derived, together with the seed; another name gives other keys.
    /// `remaster stamp` takes the `name` of each user
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "ssh"))]
    pub host_key_name: Option<String>,

    /// File with the console password of root (its first line; `-` for standard input)
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Passwords", conflicts_with_all = ["root_password_hash", "root_password_prompt"]))]
    pub root_password_file: Option<PathBuf>,
    /// Ask for the console password of root
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Passwords", conflicts_with = "root_password_hash"))]
    pub root_password_prompt: Option<bool>,
    /// Hash of the console password of root, as crypt(5) writes it
    #[cfg_attr(feature = "cli", arg(long, value_name = "HASH", help_heading = "Passwords"))]
    pub root_password_hash: Option<String>,
    /// File with the console password of nixos (its first line; `-` for standard input)
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Passwords", conflicts_with_all = ["nixos_password_hash", "nixos_password_prompt"]))]
    pub nixos_password_file: Option<PathBuf>,
    /// Ask for the console password of nixos
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Passwords", conflicts_with = "nixos_password_hash"))]
    pub nixos_password_prompt: Option<bool>,
    /// Hash of the console password of nixos, as crypt(5) writes it
    #[cfg_attr(feature = "cli", arg(long, value_name = "HASH", help_heading = "Passwords"))]
    pub nixos_password_hash: Option<String>,

    /// Name of the machine, without a domain
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "System"))]
    pub hostname: Option<String>,
    /// Time zone, such as `Europe/Berlin`
    #[cfg_attr(feature = "cli", arg(long, value_name = "ZONE", help_heading = "System"))]
    pub timezone: Option<String>,
    /// Keyboard layout of the console, such as `de-latin1`
    #[cfg_attr(feature = "cli", arg(long, value_name = "KEYMAP", help_heading = "System"))]
    pub keymap: Option<String>,
    /// Language and formats, such as `de_DE.UTF-8`
    #[cfg_attr(feature = "cli", arg(long, value_name = "LOCALE", help_heading = "System"))]
    pub locale: Option<String>,
    /// Font of the console, such as `ter-v16n`
    #[cfg_attr(feature = "cli", arg(long, value_name = "FONT", help_heading = "System"))]
    pub console_font: Option<String>,
    /// Show address, host keys and the ssh command on the console [default: yes]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "System"))]
    pub greeting: Option<bool>,
    /// Send name and host key fingerprints to every link by IPv6 multicast, for `find --wait` and `ssh`
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "System"))]
    pub announce: Option<bool>,

    /// Fixed address for the first wired interface that has a link, or for one by name or MAC; the others
    /// use DHCP
    ///
    /// `eno1.20=` makes VLAN 20 on eno1, `wifi=` is the first wireless interface. With a prefix of 32 or 128 any router
    /// may be on the same link.
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "[IFACE|MAC=]ADDRESS/PREFIX", help_heading = "Network")
    )]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub address: Vec<String>,
    /// Router in the subnet of an --address
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "[IFACE|MAC=]ADDRESS", help_heading = "Network")
    )]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub gateway: Vec<String>,
    /// Interfaces that act as one, such as `bond0:eno1,eno2`
    ///
    /// In the form of dracut's `bond=`, options included: `bond0:eno1,eno2:mode=802.3ad,lacp_rate=fast`. They default to
    /// `mode=active-backup,miimon=100`. Without an --address the bond uses DHCP.
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "BOND:IFACE,IFACE[:OPTION=VALUE,…]", help_heading = "Network")
    )]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub bond: Vec<String>,
    /// MTU of an interface, which is named as for --address
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "[IFACE|MAC=]BYTES", help_heading = "Network")
    )]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub mtu: Vec<String>,
    /// Name server, instead of those from DHCP
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDRESS", help_heading = "Network"))]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub dns: Vec<String>,
    /// Wireless network to join, shown or hidden; once per network
    ///
    /// For networks that want a user or a certificate (802.1X) put a profile into /etc/NetworkManager/system-connections.
    #[cfg_attr(feature = "cli", arg(long, value_name = "SSID", help_heading = "Network"))]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub wifi: Vec<String>,
    /// File with the passphrase or key of the wireless network (its first line; `-` for standard input)
    ///
    /// With several networks, give the files in the same order.
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Network"))]
    #[serde(deserialize_with = "list::paths")]
    #[schemars(schema_with = "list::schema")]
    pub wifi_password_file: Vec<PathBuf>,
    /// Ask for the passphrase of each wireless network that has no file
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Network", conflicts_with = "wifi_open"))]
    pub wifi_password_prompt: Option<bool>,
    /// Wireless networks without a file have no password
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Network"))]
    pub wifi_open: Option<bool>,
    /// Use WPA3 (SAE) for the networks with a password; the image then holds the passphrase itself
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Network"))]
    pub wifi_wpa3: Option<bool>,
    /// Country whose radio rules apply, such as `DE`
    #[cfg_attr(feature = "cli", arg(long, value_name = "COUNTRY", help_heading = "Network"))]
    pub wifi_country: Option<String>,

    /// Folder or tar archive to lay over the live system's root
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR|TAR", help_heading = "Files"))]
    #[serde(deserialize_with = "list::paths")]
    #[schemars(schema_with = "list::schema")]
    pub overlay: Vec<PathBuf>,
    /// What to do with extended attributes in an overlay [default: refuse]
    #[cfg_attr(feature = "cli", arg(long, value_name = "refuse|drop", help_heading = "Files"))]
    pub xattrs: Option<Xattrs>,
    /// One file for the live system; MODE is octal, OWNER as `root` or `1000:100`
    #[cfg_attr(
        feature = "cli",
        arg(
            long = "file",
            id = "recipe_file",
            value_name = "SRC:DST[:MODE[:OWNER]]",
            help_heading = "Files"
        )
    )]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub file: Vec<String>,
    /// Script to put on the PATH of root and nixos
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Files"))]
    #[serde(deserialize_with = "list::paths")]
    #[schemars(schema_with = "list::schema")]
    pub script: Vec<PathBuf>,
    /// Static program to put on the PATH of root and nixos
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Files"))]
    #[serde(deserialize_with = "list::paths")]
    #[schemars(schema_with = "list::schema")]
    pub bin: Vec<PathBuf>,
    /// systemd unit to install
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Files"))]
    #[serde(deserialize_with = "list::paths")]
    #[schemars(schema_with = "list::schema")]
    pub unit: Vec<PathBuf>,
    /// Start the units as their Install sections say
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Files"))]
    pub enable: Option<bool>,
    /// Program or script to run once per boot, when the network is up
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Files"))]
    #[serde(deserialize_with = "list::paths")]
    #[schemars(schema_with = "list::schema")]
    pub run: Vec<PathBuf>,
    /// squashfs of store paths to mount at boot
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE.squashfs", help_heading = "Files"))]
    #[serde(deserialize_with = "list::paths")]
    #[schemars(schema_with = "list::schema")]
    pub store: Vec<PathBuf>,
    /// Put the programs of the --store paths on the PATH
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Files"))]
    pub path: Option<bool>,
    /// Accept private keys in an overlay
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Files"))]
    pub allow_secrets: Option<bool>,

    /// Kernel argument to add
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "ARG", help_heading = "Boot", allow_hyphen_values = true)
    )]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub karg: Vec<String>,
    /// Kernel argument to take out, with its value
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "ARG", help_heading = "Boot", allow_hyphen_values = true)
    )]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub karg_delete: Vec<String>,
    /// Kernel argument to replace: `KEY=NEW`, or `KEY=OLD=NEW` for one of several
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "KEY=[OLD=]NEW", help_heading = "Boot", allow_hyphen_values = true)
    )]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub karg_replace: Vec<String>,
    /// Change the arguments of these menu entries only (a part of the title, or an isolinux label)
    #[cfg_attr(feature = "cli", arg(long, value_name = "TITLE", help_heading = "Boot"))]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub entry: Vec<String>,
    /// Serial console for kernel, GRUB and isolinux, such as `ttyS0,115200`
    ///
    /// Each of several ports has a login. The kernel writes to the last of each kind, such as ttyS0 and ttyS1, and boot loaders to the last that they know.
    #[cfg_attr(feature = "cli", arg(long, value_name = "PORT[,BAUD]", help_heading = "Boot"))]
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub serial: Vec<String>,
    /// Seconds that the menus wait
    #[cfg_attr(feature = "cli", arg(long, value_name = "SECONDS", help_heading = "Boot"))]
    pub timeout: Option<u32>,
    /// Entry that the menus start, such as `copytoram` or a part of its title
    #[cfg_attr(feature = "cli", arg(long, value_name = "ENTRY", help_heading = "Boot"))]
    pub default_entry: Option<String>,
    /// Label of the volume, which stage 1 looks for
    #[cfg_attr(feature = "cli", arg(long, value_name = "LABEL", help_heading = "Boot"))]
    pub label: Option<String>,
    /// Name to show in front of the menu entries
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Boot"))]
    pub name: Option<String>,
    /// Append to the initrds instead of naming a second one in the menus, for boot loaders with menus
    /// of their own
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Boot"))]
    pub merge_initrd: Option<bool>,
    /// How the edits get in [default: archive]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "archive|credential", help_heading = "Boot")
    )]
    pub inject: Option<Inject>,

    /// Refuse what would give other bytes the next time: generated host keys and salts without a --host-key-seed
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Records"))]
    pub reproducible: Option<bool>,
    /// Put digests of the image's blocks, the base's SHA-256 and both ids into the manifest; reads the base whole
    #[cfg_attr(feature = "cli", arg(skip))]
    pub manifest_digests: Option<bool>,
    /// Sign the manifest: an ssh private key (ed25519 or ecdsa), or the `.pub` of a key that ssh-agent has
    #[cfg_attr(feature = "cli", arg(skip))]
    pub sign: Option<PathBuf>,

    /// A machine of several that one image is for, and what it gets in the place of what all get; in recipe files only
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(deserialize_with = "list::machines")]
    #[schemars(length(min = 1))]
    pub machine: Vec<Machine>,

    /// Where the keys of a file stand, and each element of their lists, with the name that the file has for the key:
    /// `r.toml:3:8: karg`.
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(skip)]
    pub(crate) places: BTreeMap<String, Vec<String>>,
}

/// What to do with extended attributes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Xattrs {
    /// Name the file and stop
    Refuse,
    /// Leave them out
    Drop,
}

#[cfg(test)]
mod tests;
