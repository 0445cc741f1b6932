//! What people type that is not a command or a flag here, and what each means.

/// A flag of other programs.
pub(super) struct Flag {
    /// What is typed.
    pub(super) typed: &'static [&'static str],
    /// The flag that a command must take so that this answer fits it.
    pub(super) needs: &'static str,
    /// What to do instead.
    pub(super) answer: &'static str,
}

const fn flag(typed: &'static [&'static str], needs: &'static str, answer: &'static str) -> Flag {
    Flag { typed, needs, answer }
}

pub(super) const FLAGS: &[Flag] = &[
    flag(
        &[
            "-i",
            "--identity",
            "--identity-file",
            "--ssh-key",
            "--sshkey",
            "--ssh-keys",
            "--keys",
            "--pubkey",
            "--pub-key",
            "--public-key",
            "--authorized-key",
            "--authorized-keys",
        ],
        "key",
        "did you mean `--key`?",
    ),
    flag(
        &["-i", "--identity", "--identity-file", "--key"],
        "network",
        "ssh takes the keys of its configuration and agent: add one with `ssh-add KEY`",
    ),
    flag(&["-p"], "port", "did you mean `--port`?"),
    flag(&["-l", "--login"], "network", "did you mean `--user`?"),
    flag(
        &["--user", "--users", "--username", "--login"],
        "key",
        "the live system has the users root and nixos, and --key lets in as both; `remaster stamp` makes an image for each of many people",
    ),
    flag(
        &["--password", "--passwd", "--root-password", "--root-passwd"],
        "root-password-file",
        "others can read the command line: give `--root-password-file FILE` or `--root-password-prompt`",
    ),
    flag(
        &["--nixos-password", "--user-password"],
        "nixos-password-file",
        "others can read the command line: give `--nixos-password-file FILE` or `--nixos-password-prompt`",
    ),
    flag(
        &["--wifi-password", "--wifi-psk", "--psk"],
        "wifi-password-file",
        "others can read the command line: give `--wifi-password-file FILE` or `--wifi-password-prompt`",
    ),
    flag(&["--debug", "--trace"], "verbose", "did you mean `--verbose`?"),
    flag(&["--silent"], "quiet", "did you mean `--quiet`?"),
    flag(&["--host", "--host-name"], "hostname", "did you mean `--hostname`?"),
    flag(&["--ssid"], "wifi", "did you mean `--wifi`?"),
    flag(&["--no-color", "--no-colour", "--nocolor"], "color", "did you mean `--color never`?"),
    flag(&["--colour"], "color", "did you mean `--color`?"),
    flag(
        &["--package", "--packages", "--install"],
        "store",
        "packages are not installed into the image: give `--bin FILE` for a static program, or `--store FILE.squashfs --path` for store paths",
    ),
    flag(
        &["--out", "--outfile", "--out-file", "--output-file"],
        "output",
        "did you mean `--output`?",
    ),
    flag(
        &["-o", "--output", "--out", "--outfile", "--out-file", "--output-file"],
        "in-place",
        "it changes the image itself: copy the image first, and edit the copy",
    ),
    flag(
        &["--device", "--disk", "--drive", "--target", "--to", "--usb"],
        "no-eject",
        "the disk needs no flag: give it after the image, as in `remaster flash IMAGE /dev/sdX`",
    ),
    flag(
        &["--device", "--disk", "--drive", "--target", "--usb"],
        "recipe",
        "a disk is written to by `remaster flash`, as in `remaster flash IMAGE /dev/sdX`",
    ),
    flag(&["--console", "--serial-console", "--serial-port"], "serial", "did you mean `--serial`?"),
    flag(
        &["--base", "--image", "--iso", "--input"],
        "key",
        "the image needs no flag: give it first",
    ),
    flag(&["--ip", "--ip-address", "--static-ip"], "address", "did you mean `--address`?"),
    flag(&["--nameserver", "--name-server"], "dns", "did you mean `--dns`?"),
    flag(&["--router"], "gateway", "did you mean `--gateway`?"),
    flag(
        &[
            "--append",
            "--cmdline",
            "--kernel-arg",
            "--kernel-args",
            "--kernel-param",
            "--kernel-params",
        ],
        "karg",
        "did you mean `--karg`? It takes one argument, and can be given several times",
    ),
    flag(&["--tz", "--time-zone"], "timezone", "did you mean `--timezone`?"),
    flag(&["--keyboard", "--keyboard-layout", "--layout"], "keymap", "did you mean `--keymap`?"),
    flag(&["--lang", "--language"], "locale", "did you mean `--locale`?"),
    flag(&["--volid", "--volume-label"], "label", "did you mean `--label`?"),
    flag(&["--overwrite"], "force", "did you mean `--force`?"),
    flag(&["--dry", "--simulate"], "dry-run", "did you mean `--dry-run`?"),
    flag(&["--service", "--units"], "unit", "did you mean `--unit`?"),
    flag(&["--no-check", "--skip-verify"], "no-verify", "did you mean `--no-verify`?"),
];

/// Keys that no recipe has, and whose answer is another one than that of the flag.
pub(super) const IN_RECIPES: &[(&[&str], &str)] = &[
    (
        &["password", "passwd", "root-password", "root-passwd"],
        "give `root-password-file`, the path of a file, or `root-password-hash`",
    ),
    (
        &["nixos-password", "user-password"],
        "give `nixos-password-file`, the path of a file, or `nixos-password-hash`",
    ),
    (
        &["wifi-password", "wifi-psk", "psk"],
        "give `wifi-password-file`, the path of a file, or `wifi-password-prompt`",
    ),
    (
        &["base", "image", "iso", "input"],
        "leave it out: the command line names the image that a recipe is for",
    ),
    (
        &["user", "username", "login"],
        "the live system has the users root and nixos, and `key` lets in as both",
    ),
    (&["users"], "write `[[user]]`, and give the file to `remaster stamp`"),
];

/// Keys that no user of a users file has, and whose answer is another one than that of a recipe.
pub(super) const OF_USERS: &[(&[&str], &str)] =
    &[(&["user", "username", "user-name", "login"], "did you mean `name`?")];

/// Words that are typed for a command, and the commands that they may mean.
pub(super) const COMMANDS: &[(&[&str], &[&str])] = &[
    (&["burn", "copy", "dd", "etch", "usb", "write"], &["flash"]),
    (&["list", "ls"], &["base list", "devices"]),
    (&["disks", "drives", "lsblk"], &["devices"]),
    (&["version"], &["--version"]),
    (&["info", "show"], &["inspect"]),
    (&["check", "validate"], &["verify"]),
    (&["compare", "cmp"], &["diff"]),
    (&["download", "fetch", "get"], &["base fetch"]),
    (&["kexec", "pxe"], &["netboot"]),
    (&["discover", "scan"], &["find"]),
    (&["connect", "login"], &["ssh"]),
    (&["change", "update"], &["edit"]),
    (&["restore", "undo"], &["reset"]),
    (&["erase", "mkfs", "wipe"], &["format"]),
    (&["batch"], &["stamp"]),
    (&["boot", "emulate", "qemu", "run", "start", "test"], &["try"]),
    (&["patch"], &["apply"]),
    (&["build", "create", "customize", "inject", "make"], &[""]),
    (&["completion"], &["completions"]),
    (&["manual"], &["man"]),
];

/// The same for the commands of `base` and `recipe`.
pub(super) const BELOW: &[(&[&str], &[&str])] = &[
    (&["add", "download", "get", "pull"], &["fetch"]),
    (&["all", "ls"], &["list"]),
    (&["clean", "del", "delete", "rm"], &["remove"]),
    (&["info", "inspect"], &["show"]),
    (&["check", "test"], &["verify"]),
    (&["lint", "validate", "verify"], &["check"]),
    (&["where", "which"], &["path"]),
    (&["keys"], &["schema"]),
];

/// Flags that take no word after them, and what is meant by one.
pub(super) const FOLLOWED: &[(&str, &str)] = &[(
    "--enable",
    "it starts what --unit puts in: give `--unit FILE --enable`, or for a unit that NixOS has `--karg systemd.wants=NAME.service`",
)];
