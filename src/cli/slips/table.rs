//! What people type that is not a command or a flag here, and what each means.

use clap::Command;

use super::typed::flag_of;

/// A flag of other programs.
pub(super) struct Flag {
    /// What is typed; with a value behind a blank only if that is typed, too.
    pub(super) typed: &'static [&'static str],
    /// The flag that a command must take so that this answer fits it, or what it asks for by its place.
    pub(super) needs: &'static str,
    /// What to do instead.
    pub(super) answer: &'static str,
}

const fn flag_row(
    typed: &'static [&'static str],
    needs: &'static str,
    answer: &'static str,
) -> Flag {
    Flag { typed, needs, answer }
}

/// The row for such a flag of a command: the first that fits it.
pub(super) fn flag(command: &Command, name: &str, value: &str) -> Option<&'static Flag> {
    let with_value = format!("{name} {value}");
    let has = |needs: &str| {
        let mut places = command.get_arguments().filter(|arg| arg.is_positional());
        flag_of(command, needs).is_some() || places.any(|arg| arg.get_id() == needs)
    };
    let is_typed = |flag: &&Flag| flag.typed.contains(&name) || flag.typed.contains(&&*with_value);
    FLAGS.iter().find(|flag| is_typed(flag) && has(flag.needs))
}

pub(super) static FLAGS: &[Flag] = &[
    flag_row(
        &["--format json", "--output json", "-o json", "--print json"],
        "json",
        "did you mean `--json`?",
    ),
    flag_row(&["-i", "--inplace"], "in-place", "did you mean `--in-place`?"),
    flag_row(
        &["--undo", "--restore", "--revert"],
        "remove-key",
        "`remaster reset` gives the base back: everything that was put in is taken out",
    ),
    flag_row(
        &["-k", "--host", "--hosts", "--host-key", "--host-keys", "--hostkeys"],
        "networks",
        "did you mean `--known-hosts`?",
    ),
    flag_row(&["--shell"], "shell", "the shell needs no flag: give its name alone"),
    flag_row(
        &["--users", "--user-list"],
        "users",
        "the users file needs no flag: give it behind the base",
    ),
    flag_row(
        &["-n", "--dry-run"],
        "to-file",
        "it writes to a file at once, and to a disk when that is confirmed: `remaster BASE --dry-run` says what would be put in",
    ),
    flag_row(
        &["-n", "--dry-run"],
        "users",
        "make one image first: `remaster BASE --dry-run` says what would be put in",
    ),
    flag_row(&["--ssh"], "key", "did you mean `--key`?"),
    flag_row(&["--no-greeting"], "greeting", "write `--greeting=false`"),
    flag_row(&["--copytoram", "--toram"], "default-entry", "give `--default-entry copytoram`"),
    flag_row(
        &[
            "--unattended",
            "--cloud-init",
            "--ignition",
            "--kickstart",
            "--preseed",
            "--user-data",
            "--answer-file",
        ],
        "run",
        "it is not offered: `--run FILE` runs a script of your own at boot, which can install",
    ),
    flag_row(
        &["--netmask", "--prefix"],
        "address",
        "the address has it behind a slash: give `--address 10.0.0.2/24`",
    ),
    flag_row(
        &["--arch", "--architecture"],
        "offline",
        "an image has the architecture of its base: `remaster base list` shows which there are",
    ),
    flag_row(
        &["--bs", "--block-size"],
        "no-eject",
        "leave it out: the size of what is written at once needs no choice",
    ),
    flag_row(
        &["--fs", "--filesystem", "--fat32", "--gpt", "--mbr"],
        "no-eject",
        "leave it out: `remaster flash` writes what the image has, and `remaster format` one partition with FAT32",
    ),
    flag_row(&["-a"], "all", "did you mean `--all`?"),
    flag_row(&["--uefi", "--efi"], "firmware", "did you mean `--firmware uefi`?"),
    flag_row(&["--bios", "--legacy"], "firmware", "did you mean `--firmware bios`?"),
    flag_row(
        &["--root-key", "--nixos-key"],
        "key",
        "did you mean `--key`? It lets in as root and as nixos",
    ),
    flag_row(
        &["--persistence", "--persistent", "--persist"],
        "key",
        "changes are not kept on a stick: install NixOS onto a second one",
    ),
    flag_row(
        &["--config", "--configuration", "--flake"],
        "recipe",
        "settings stand in a recipe, which --recipe takes; a configuration of NixOS is built with `nix build`",
    ),
    flag_row(
        &["--compress", "--compression"],
        "output",
        "leave it out: what is written is not packed; pack it afterwards, as with `xz FILE`",
    ),
    flag_row(
        &["--vlan"],
        "address",
        "the interface has it behind a dot: give `--address eno1.20=10.0.0.2/24`",
    ),
    flag_row(
        &["--bridge"],
        "overlay",
        "it is not offered: put a profile of NetworkManager in, in the folder of an `--overlay`",
    ),
    flag_row(
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
    flag_row(
        &["-i", "--identity", "--identity-file", "--key"],
        "network",
        "ssh takes the keys of its configuration and agent: add one with `ssh-add KEY`",
    ),
    flag_row(&["-p"], "port", "did you mean `--port`?"),
    flag_row(&["-l", "--login"], "network", "did you mean `--user`?"),
    flag_row(
        &["--user", "--users", "--username", "--login"],
        "key",
        "the live system has the users root and nixos, and --key lets in as both; `remaster stamp` makes an image for each of many people",
    ),
    flag_row(
        &["--pass", "--password", "--passwd", "--root-password", "--root-passwd"],
        "root-password-file",
        "others can read the command line: give `--root-password-file FILE` or `--root-password-prompt`",
    ),
    flag_row(
        &["--nixos-password", "--user-password"],
        "nixos-password-file",
        "others can read the command line: give `--nixos-password-file FILE` or `--nixos-password-prompt`",
    ),
    flag_row(
        &["--wifi-password", "--wifi-psk", "--psk"],
        "wifi-password-file",
        "others can read the command line: give `--wifi-password-file FILE` or `--wifi-password-prompt`",
    ),
    flag_row(&["--debug", "--trace"], "verbose", "did you mean `--verbose`?"),
    flag_row(&["--silent"], "quiet", "did you mean `--quiet`?"),
    flag_row(&["--host", "--host-name"], "hostname", "did you mean `--hostname`?"),
    flag_row(&["--ssid"], "wifi", "did you mean `--wifi`?"),
    flag_row(&["--no-color", "--no-colour", "--nocolor"], "color", "did you mean `--color never`?"),
    flag_row(&["--colour"], "color", "did you mean `--color`?"),
    flag_row(
        &["--package", "--packages", "--install"],
        "store",
        "packages are not installed into the image: give `--bin FILE` for a static program, or `--store FILE.squashfs --path` for store paths",
    ),
    flag_row(
        &["--out", "--outfile", "--out-file", "--output-file"],
        "output",
        "did you mean `--output`?",
    ),
    flag_row(
        &["-o", "--output", "--out", "--outfile", "--out-file", "--output-file"],
        "in-place",
        "it changes the image itself: copy the image first, and edit the copy",
    ),
    flag_row(
        &["-d", "-t", "--dest", "--device", "--disk", "--drive", "--target", "--to", "--usb"],
        "no-eject",
        "the disk needs no flag: give it after the image, as in `remaster flash IMAGE /dev/sdX`",
    ),
    flag_row(
        &["--device", "--disk", "--drive", "--target", "--usb"],
        "recipe",
        "a disk is written to by `remaster flash`, as in `remaster flash IMAGE /dev/sdX`",
    ),
    flag_row(
        &["--console", "--serial-console", "--serial-port"],
        "serial",
        "did you mean `--serial`?",
    ),
    flag_row(
        &["--base", "--image", "--iso", "--input"],
        "key",
        "the image needs no flag: give it first",
    ),
    flag_row(
        &["--ip", "--ip-address", "--static", "--static-ip"],
        "address",
        "did you mean `--address`?",
    ),
    flag_row(&["--nameserver", "--name-server"], "dns", "did you mean `--dns`?"),
    flag_row(&["--router"], "gateway", "did you mean `--gateway`?"),
    flag_row(
        &[
            "--append",
            "--append-karg",
            "--cmdline",
            "--karg-append",
            "--kernel-arg",
            "--kernel-args",
            "--kernel-param",
            "--kernel-params",
        ],
        "karg",
        "did you mean `--karg`? It takes one argument, and can be given several times",
    ),
    flag_row(&["--tz", "--time-zone"], "timezone", "did you mean `--timezone`?"),
    flag_row(
        &["--keyboard", "--keyboard-layout", "--layout"],
        "keymap",
        "did you mean `--keymap`?",
    ),
    flag_row(&["--lang", "--language"], "locale", "did you mean `--locale`?"),
    flag_row(&["--volid", "--volume-label"], "label", "did you mean `--label`?"),
    flag_row(&["--overwrite"], "force", "did you mean `--force`?"),
    flag_row(&["--dry", "--simulate"], "dry-run", "did you mean `--dry-run`?"),
    flag_row(&["--service", "--units"], "unit", "did you mean `--unit`?"),
    flag_row(&["--no-check", "--skip-verify"], "no-verify", "did you mean `--no-verify`?"),
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
    (&["burn", "copy", "cp", "dd", "etch", "local", "usb", "write"], &["flash"]),
    (&["list", "ls"], &["base list", "devices"]),
    (&["disks", "drives", "list-devices", "lsblk"], &["devices"]),
    (&["version"], &["--version"]),
    (&["extract", "info", "mount", "show", "unpack"], &["inspect"]),
    (&["check", "validate"], &["verify"]),
    (&["compare", "cmp"], &["diff"]),
    (&["download", "fetch", "get", "pull", "update", "upgrade"], &["base fetch"]),
    (&["search"], &["base list"]),
    (&["clean"], &["base remove"]),
    (&["kexec", "pxe"], &["netboot"]),
    (&["discover", "scan"], &["find"]),
    (&["connect", "login"], &["ssh"]),
    (&["add", "change", "modify", "set"], &["edit"]),
    (&["remove", "restore", "revert", "undo"], &["reset"]),
    (&["erase", "mkfs", "wipe"], &["format"]),
    (&["batch"], &["stamp"]),
    (&["boot", "emulate", "qemu", "run", "start", "test", "vm"], &["try"]),
    (&["patch"], &["apply"]),
    (
        &["build", "create", "customize", "embed", "generate", "inject", "install", "iso", "make"],
        &[""],
    ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_that_is_suggested_is_one_of_the_command() {
        let mut program = crate::cli::program(crate::cli::help::Length::Long);
        program.build();
        let below = program.get_subcommands().flat_map(Command::get_subcommands);
        let all: Vec<&Command> =
            [&program].into_iter().chain(program.get_subcommands()).chain(below).collect();
        for row in FLAGS {
            let mut fitting = 0;
            for command in &all {
                for typed in row.typed {
                    let (name, value) = typed.split_once(' ').unwrap_or((typed, ""));
                    let is_own =
                        flag(command, name, value).is_some_and(|own| std::ptr::eq(own, row));
                    fitting += usize::from(is_own);
                    let meant = row.answer.split("did you mean `--").nth(1).filter(|_| is_own);
                    let Some(meant) = meant.and_then(|rest| rest.split(['`', ' ']).next()) else {
                        continue;
                    };
                    let has = flag_of(command, meant).is_some();
                    assert!(has, "{} {typed}: --{meant}", command.get_name());
                }
            }
            assert!(fitting > 0, "{:?} is never said", row.typed);
        }
    }
}
