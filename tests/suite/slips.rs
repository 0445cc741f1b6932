//! Slips are answered with what is meant, by every command that takes what is mistyped, and nothing is done.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

use crate::flags::{commands, help};
use crate::support::{Ended, Folder, TINY, key, pair};

/// What is typed, and words of the answer. `remaster` is left out in front of both.
const TYPED: &[(&str, &str)] = &[
    ("flash", "`remaster flash` needs <IMAGE>"),
    ("stamp", "as in `remaster stamp nixos.iso users.toml -o images/`"),
    ("stamp b.iso", "needs <USERS> and --output <FOLDER>"),
    ("inspect", "as in `remaster inspect custom.iso`"),
    ("verify", "needs <MEDIUM>"),
    ("diff", "needs <BEFORE>"),
    ("edit c.iso --karg a", "--in-place says that this is meant"),
    ("edit", "needs <IMAGE> and --in-place"),
    ("edit c.iso --hostname a -o new.iso", "copy the image first, and edit the copy"),
    ("reset b.iso -o new.iso", "it is a base already: use it as it is"),
    ("reset c.iso d.iso -o x", "`d.iso` is one word more"),
    ("reset --in-place c.iso d.iso", "`d.iso` is one word more"),
    ("flash b.iso --key k.pub --file n:/etc/n --to-file x", "give `--root-file n:/etc/n`"),
    ("flash b.iso --key k.pub --file n:/etc/n /dev/nosuch", "give `--root-file n:/etc/n`"),
    ("find -n", "it is a flag of `remaster BASE`, `remaster edit`"),
    ("help nope", "`nope` is not a command of `remaster`"),
    (
        "edit --in-place c.iso --remove-key k.pub --hostname a",
        "is taken out, and no other key is put in",
    ),
    ("verify c.iso", "give the image that it should equal to --against"),
    ("reset c.iso", "`-o FILE`, or --in-place"),
    ("apply b.iso p.remaster", "needs --output <FILE>"),
    ("netboot b.iso --key k.pub", "needs --output <DIR>"),
    ("find", "`--known-hosts IMAGE.known_hosts`"),
    ("try", "needs <IMAGE>"),
    ("completions", "needs <SHELL>"),
    ("completions csh", "give one of bash,"),
    ("man", "needs <FOLDER>"),
    ("recipe u.toml", "did you mean `remaster recipe check u.toml`?"),
    ("recipe chek u.toml", "did you mean `remaster recipe check u.toml`?"),
    ("base nixos-25.11-minimal", "did you mean `remaster base fetch nixos-25.11-minimal`?"),
    ("base lst", "did you mean `remaster base list`?"),
    ("b.iso --key k.pub --font x -o new.iso", "did you mean `--console-font`?"),
    ("b.iso --key", "--key <KEY> needs a value"),
    ("c.iso --color blue", "give one of auto, always, never"),
    ("try c.iso --medium floppy", "--medium <MEDIUM> does not take `floppy`"),
    ("try c.iso --memory 5", "5 is not from 256 to"),
    (
        "verify c.iso --against b.iso --manifest u.toml",
        "--against <IMAGE> and --manifest <FILE> exclude each other",
    ),
    ("verify .", ". is a folder, neither a disk nor a file"),
    (
        "nixos-25.11-minimal.iso --key k.pub -o new.iso",
        "`nixos-25.11-minimal` is the name of a base",
    ),
    (
        "flash nixos-25.11-minimal.iso --to-file new.iso",
        "`nixos-25.11-minimal` is the name of a base",
    ),
    (
        "netboot nixos-25.11-minimal.iso --key k.pub -o new",
        "`nixos-25.11-minimal` is the name of a base",
    ),
    ("verify c.iso --manifest k.pub", "k.pub is a public key, not a manifest"),
    ("verify c.iso --manifest /dev/null", "/dev/null is not a manifest"),
    ("apply p.remaster -o new.iso", "p.remaster is a patch, and its base is not given"),
    ("apply k.pub -o new.iso", "k.pub is not a descriptor"),
    ("flash c.iso --key k.pub --any --to-file new.iso", "--any writes an image as it is"),
    ("flash b.iso --patch p.remaster --any --to-file new.iso", "--any writes an image as it is"),
    ("flash c.iso /dev/sdc --yes", "--yes wants to know which disk it must be"),
    (
        "flash c.iso /dev/sdc --expect-serial A --expect-serial B",
        "--expect-serial must be given once per disk",
    ),
    ("flash c.iso", "no disk to write to"),
    ("verify c.iso --any", "--any is for use with --against <IMAGE>"),
    (
        "stamp b.iso u.toml -o new --base-url https://x/b.iso",
        "--base-url is for use with --descriptor",
    ),
    ("c.iso /dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("b.iso --key k.pub /dev/sdc", "`remaster flash b.iso --key k.pub /dev/sdc`"),
    ("b.iso --key k.pub -o /dev/sdc", "`remaster flash b.iso --key k.pub /dev/sdc`"),
    (
        "b.iso --key k.pub -f -n --sign s --no-sync -o /dev/sdc",
        "`remaster flash b.iso --key k.pub /dev/sdc`? `remaster flash` does not have -f, -n, --sign, --no-sync",
    ),
    (
        "b.iso -kk.pub -qfn --as=patch --file=n:/etc/n --output=/dev/sdc",
        "`remaster flash b.iso -k k.pub -q --root-file=n:/etc/n /dev/sdc`? `remaster flash` does not have -f, -n, --as",
    ),
    (
        "b.iso --file n:/etc/n -k k.pub --manifest m /dev/sdc",
        "`remaster flash b.iso --root-file n:/etc/n -k k.pub /dev/sdc`? `remaster flash` does not have --manifest",
    ),
    ("/dev/sdc b.iso -f", "`remaster flash b.iso /dev/sdc`? `remaster flash` does not have -f"),
    ("flash b.iso --sign k", "it is a flag of `remaster BASE`"),
    ("/dev/sdc c.iso", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("b.iso new.iso", "did you mean `remaster b.iso --key KEY -o new.iso`?"),
    ("b.iso new.iso --key k.pub", "did you mean `remaster b.iso --key k.pub -o new.iso`?"),
    ("b.iso c.iso --key k.pub -o new.iso", "an image is made of one base"),
    ("flsh c.iso /dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("burn c.iso /dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("write c.iso /dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("dd c.iso /dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("list", "did you mean `remaster base list` or `remaster devices`?"),
    ("version", "did you mean `remaster --version`?"),
    ("test c.iso", "did you mean `remaster try c.iso`?"),
    ("boot c.iso", "did you mean `remaster try c.iso`?"),
    ("run c.iso", "did you mean `remaster try c.iso`?"),
    (
        "patch b.iso p.remaster -o new.iso",
        "did you mean `remaster apply b.iso p.remaster -o new.iso`?",
    ),
    ("b.iso --key k.pub --disk /dev/sdc -o new.iso", "as in `remaster flash IMAGE /dev/sdX`"),
    ("b.iso --key k.pub -out new.iso", "did you mean `remaster b.iso --key k.pub -o new.iso`?"),
    ("b.iso -key k.pub -o new.iso", "did you mean `remaster b.iso --key k.pub -o new.iso`?"),
    ("flash c.iso /dev/sdc -json", "did you mean `remaster flash c.iso /dev/sdc --json`?"),
    ("b.iso --key k.pub --force=true -o new.iso", "give --force alone, or leave it out"),
    ("help flash x", "`x` is one word more than `remaster help flash` takes"),
    ("base help fetch x", "`x` is one word more than `remaster base help fetch` takes"),
    ("help -h", "`remaster -h` lists the commands"),
    ("base help -h", "`remaster base -h` lists the commands"),
    ("u.toml", "`remaster stamp BASE u.toml -o DIR` takes users"),
    ("record.json", "`remaster verify IMAGE --manifest record.json`"),
    (
        "create b.iso --key k.pub -o new.iso",
        "did you mean `remaster b.iso --key k.pub -o new.iso`?",
    ),
    ("inspct c.iso", "did you mean `remaster inspect c.iso`?"),
    ("rubbish c.iso", "`rubbish` is neither a command nor a file"),
    ("rubbish --key k.pub -o new.iso", "`rubbish` is neither a command nor a file"),
    ("flash /dev/sdc c.iso", "did you mean `remaster flash c.iso /dev/sdc`?"),
    (
        "flash c.iso --key k.pub l.pub /dev/sdc",
        "`remaster flash c.iso --key k.pub --key l.pub /dev/sdc`",
    ),
    (
        "apply p.remaster b.iso -o new.iso",
        "did you mean `remaster apply b.iso p.remaster -o new.iso`?",
    ),
    (
        "flash p.remaster --patch b.iso /dev/sdc",
        "`remaster flash b.iso --patch p.remaster /dev/sdc`",
    ),
    ("stamp u.toml b.iso -o new", "did you mean `remaster stamp b.iso u.toml -o new`?"),
    ("stamp b.iso k.pub -o new", "k.pub is a public key, not a users file"),
    ("stamp b.iso c.iso -o new", "c.iso is an image, not a users file"),
    ("b.iso --recipe c.iso -o new.iso", "c.iso is an image, not a recipe"),
    ("inspect c.iso b.iso", "`b.iso` is one word more than `remaster inspect` takes"),
    ("inspect c.iso --key k.pub", "it is a flag of `remaster BASE`, `remaster flash`"),
    ("flash c.iso --device /dev/sdc", "`remaster flash IMAGE /dev/sdX`"),
    ("flash c.iso --frobnicate /dev/sdc", "`remaster flash --help` lists its flags"),
    ("flash c.iso --no-ejcet /dev/sdc", "did you mean `--no-eject`?"),
    ("stamp b.iso semicolons.csv -o new", "the columns are separated by ';', not by commas"),
    ("stamp b.iso tabs.csv -o new", "the columns are separated by '\\t', not by commas"),
    ("stamp b.iso email.csv -o new", "unknown column `email`"),
    ("stamp b.iso headless.csv -o new", "headless.csv:1: the first line does not name the columns"),
    ("stamp b.iso heads.csv -o new", "heads.csv: names no user"),
    ("stamp b.iso empty.csv -o new", "empty.csv is empty, not a users file"),
    ("stamp b.iso empty.toml -o new", "empty.toml: names no user"),
    ("stamp b.iso empty.jsonl -o new", "empty.jsonl: names no user"),
    ("stamp b.iso bare.toml -o new", "write `name = \"alice\"`"),
    ("b.iso --recipe bare-recipe.toml -o new.iso", "write `hostname = \"box\"`"),
    ("dd if=c.iso of=/dev/sdc bs=4M", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("k.pub b.iso", "did you mean `remaster b.iso --key k.pub -o FILE`?"),
    ("k.pub b.iso -o new.iso", "did you mean `remaster b.iso --key k.pub -o new.iso`?"),
    // A value of a flag that takes one behind `=` only, or none.
    ("b.iso --key k.pub --ssh-passwords false -o new.iso", "write `--ssh-passwords=false`"),
    ("--greeting no b.iso --key k.pub -o new.iso", "write `--greeting=false`"),
    ("b.iso --key k.pub --enable false -o new.iso", "write `--enable=false`"),
    ("flash b.iso --key k.pub --greeting false /dev/sdc", "write `--greeting=false`"),
    ("flash c.iso --verify quick /dev/sdc", "write `--verify=quick`"),
    ("flash c.iso --delta false --to-file new.iso", "give --no-delta in its place"),
    ("flash c.iso --probe yes /dev/sdc", "give --probe alone"),
    ("flash c.iso --unmount no /dev/sdc", "leave --unmount out"),
    // Flags in front of the command.
    ("--json inspect c.iso", "did you mean `remaster inspect --json c.iso`?"),
    (
        "--key k.pub flash b.iso --to-file new.iso",
        "did you mean `remaster flash --key k.pub b.iso --to-file new.iso`?",
    ),
    ("--to-file new.iso flash c.iso", "did you mean `remaster flash --to-file new.iso c.iso`?"),
    ("-o new.iso reset c.iso", "did you mean `remaster reset -o new.iso c.iso`?"),
    ("-q --json inspect c.iso", "did you mean `remaster inspect -q --json c.iso`?"),
    ("--offline --cache=no base fetch nixos-25.11-minimal", "it is a flag of `remaster BASE`"),
    ("--cache no base list", "did you mean `remaster base list --cache no`?"),
    ("-n flash b.iso --to-file new.iso", "it writes to a file at once"),
    // What does not exist is not called by its name.
    ("b.iso --key nosuch.iso -o new.iso", "'nosuch.iso' is neither an existing file nor"),
    ("b.iso --recipe key=alice.pub -o new.iso", "which should be a recipe"),
    ("b.iso --recipe nosuch.pub -o new.iso", "which should be a recipe"),
    ("b.iso --recipe k.pub -o new.iso", "`remaster b.iso --key k.pub -o new.iso`"),
    ("b.iso --recipe=k.pub -o new.iso", "`remaster b.iso --key k.pub -o new.iso`"),
    ("stamp b.iso k.pub l.pub -o new", "`remaster BASE --key l.pub -o FILE` makes one image"),
    ("b.iso --key=~/.ssh/id.pub -o new.iso", "the shell expands it only there"),
    ("b.iso --key $HOME/id.pub -o new.iso", "write the path in full, or `~` without quotes"),
    // Names of bases, and what is nearly one.
    ("try nixos-25.11-minimal", "`remaster base path nixos-25.11-minimal` prints the path"),
    ("reset nixos-25.11-minimal -o new.iso", "`remaster base path nixos-25.11-minimal`"),
    ("edit --in-place nixos-25.11-minimal --hostname a", "is the name of a base, and a file is"),
    (
        "nixos-minimal-25.11-x86_64-linux.iso --key k.pub -o new.iso",
        "check the path, or give `nixos-25.11-minimal`",
    ),
    ("nixos-minimal-25.11 --key k.pub -o new.iso", "did you mean `nixos-25.11-minimal`?"),
    ("25.11 --key k.pub -o new.iso", "check the path, or give `nixos-25.11-minimal`"),
    ("root@192.168.1.50", "`remaster ssh IMAGE` finds the machine"),
    ("192.168.1.50", "`remaster ssh IMAGE` finds the machine"),
    ("https://example.org/a.iso", "as with `curl -fLO URL`"),
    ("/dev/sdc", "`remaster flash IMAGE /dev/sdc` writes to it"),
    ("ssh root@192.168.1.50", "`ssh root@192.168.1.50` logs in at an address"),
    ("ssh 192.168.1.50", "`ssh root@192.168.1.50` logs in at an address"),
    ("ssh nixos@box", "give the name alone, and `--user nixos`"),
    ("ssh c.iso -p 22", "--port"),
    ("ssh -p 22 c.iso", "did you mean `--port`?"),
    ("ssh -i k.pub c.iso", "`ssh-add KEY`"),
    ("ssh hk.known_hosts", "`remaster ssh NAME --known-hosts hk.known_hosts`"),
    ("ssh c.iso --known-hosts hk.known_hosts", "no machine is called c.iso in hk.known_hosts"),
    ("find c.iso", "did you mean `remaster find --known-hosts c.iso.known_hosts`?"),
    (
        "--recipe https://example.org/r.toml b.iso -o new.iso",
        "as with `curl -fLO https://example.org",
    ),
    ("b.iso --overlay github:NixOS/nixpkgs -o new.iso", "as with `nix build github:NixOS/nixpkgs`"),
    ("stamp b.iso .#users -o new", "as with `nix build '.#users'`"),
    (".#installer --key k.pub -o new.iso", "as with `nix build '.#installer'`"),
    ("b.iso --recipe=~/r.toml -o new.iso", "write the path in full"),
    // As dd and other programs have it.
    ("flash if=c.iso of=/dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("flash c.iso of=/dev/sdc bs=4M", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("flash -i c.iso -o /dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("flash c.iso -o /dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("verify c.iso /dev/sdc", "did you mean `remaster verify /dev/sdc --against c.iso`?"),
    ("verify c.iso b.iso", "did you mean `remaster verify c.iso --against b.iso`?"),
    ("reset c.iso new.iso", "did you mean `remaster reset c.iso -o new.iso`?"),
    (
        "apply b.iso p.remaster new.iso",
        "did you mean `remaster apply b.iso p.remaster -o new.iso`?",
    ),
    // What the parser refuses is said in the same form as everything else.
    ("b.iso", "complete it as `remaster b.iso --key KEY.pub -o FILE`"),
    ("base get nixos-25.11-minimal", "did you mean `remaster base fetch nixos-25.11-minimal`?"),
    ("recipe validate r.toml", "did you mean `remaster recipe check r.toml`?"),
    ("help burn", "did you mean `remaster help flash`?"),
    ("b.iso --key k.pub -o new.iso -o other.iso", "is given more than once"),
    // A folder where a file is meant.
    ("edit --in-place folder --key k.pub", "folder is a folder, not an image"),
    ("b.iso --key k.pub -o folder", "folder is a folder, and an image is written to a file"),
    ("netboot b.iso --key k.pub -o c.iso", "c.iso already exists, and is not a folder"),
    // Words behind the value of a flag.
    ("b.iso --karg quiet splash", "give --karg once for each"),
    (
        "--karg quiet splash b.iso -o new.iso",
        "`remaster --karg quiet --karg splash b.iso -o new.iso`",
    ),
    ("edit --in-place c.iso --remove-key k.pub l.pub", "--remove-key k.pub --remove-key l.pub`"),
    ("edit --in-place c.iso --remove-key=k.pub l.pub", "--remove-key=k.pub --remove-key l.pub`"),
    (
        "edit --in-place --remove-key k.pub l.pub c.iso",
        "--remove-key k.pub --remove-key l.pub c.iso`",
    ),
    ("edit --in-place c.iso --remove-key k.pub --hostname a l.pub", "or to --remove-key to take"),
    ("flash --key k.pub l.pub b.iso /dev/sdc", "flash --key k.pub --key l.pub b.iso /dev/sdc`"),
    (
        "flash b.iso --key k.pub --karg quiet splash /dev/sdc",
        "--karg quiet --karg splash /dev/sdc`",
    ),
    ("flash b.iso --key k.pub --hostname my box /dev/sdc", "--hostname takes one value, and `box`"),
    (
        "b.iso --key k.pub --hostname my box -o new.iso",
        "did you mean `remaster b.iso --key k.pub --hostname my-box -o new.iso`?",
    ),
    ("b.iso --key k.pub --hostname my nice box -o new.iso", "--hostname my-nice-box -o new.iso`?"),
    (
        "flash b.iso --key k.pub --hostname my box /dev/sdc",
        "did you mean `remaster flash b.iso --key k.pub --hostname my-box /dev/sdc`?",
    ),
    (
        "b.iso --key k.pub --label my disk -o new.iso",
        "such a name has no blank: did you mean `remaster b.iso --key k.pub --label my-disk -o new.iso`?",
    ),
    (
        "b.iso --key k.pub --timezone America/New York -o new.iso",
        "--timezone America/New_York -o new.iso`?",
    ),
    (
        "b.iso --key k.pub -o my image.iso",
        "did you mean `remaster b.iso --key k.pub -o 'my image.iso'`?",
    ),
    ("netboot b.iso --key k.pub --hostname my box -o new", "--hostname my-box -o new`?"),
    ("flash b.iso --to-file new.iso next.iso", "--to-file new.iso --to-file next.iso`"),
    ("format /dev/sdc --label MY DATA", "--label 'MY DATA'`"),
    (
        "find --known-hosts hk c.iso.known_hosts",
        "--known-hosts hk --known-hosts c.iso.known_hosts`",
    ),
    (
        "ssh --known-hosts hk hk.known_hosts box",
        "--known-hosts hk --known-hosts hk.known_hosts box`",
    ),
    ("find hk", "did you mean `remaster find --known-hosts hk`?"),
    ("ssh hk", "hk has host keys, and is not an image"),
    // Flags of other programs, and of other meaning.
    ("b.iso --key k.pub -o new.iso --size 4G", "`remaster --help` lists its flags"),
    ("b.iso --root-key l.pub -o new.iso", "did you mean `--key`?"),
    ("b.iso --key k.pub -o new.iso --persistence", "install NixOS onto a second one"),
    ("b.iso --config a.nix -o new.iso", "built with `nix build`"),
    ("b.iso --key k.pub -o new.iso --compress", "pack it afterwards"),
    ("b.iso --key k.pub --vlan 20 -o new.iso", "`--address eno1.20=10.0.0.2/24`"),
    ("b.iso --key k.pub --bridge br0 -o new.iso", "a profile of NetworkManager"),
    ("b.iso u.toml -o new.iso", "`remaster stamp BASE u.toml -o DIR` makes an image for each"),
    ("flash c.iso --eject /dev/sdc", "that is so without a flag, and `--no-eject` changes it"),
    ("flash c.iso -n /dev/sdc", "and to a disk when that is confirmed"),
    ("flash c.iso -f /dev/sdc", "for scripts, a disk takes `--yes` with `--expect-serial`"),
    ("edit c.iso -i --hostname x", "did you mean `--in-place`?"),
    ("reset c.iso -i", "did you mean `--in-place`?"),
    ("edit --in-place c.iso --undo", "`remaster reset` gives the base back"),
    ("find --host hk", "did you mean `--known-hosts`?"),
    ("find -k hk", "did you mean `--known-hosts`?"),
    ("completions --shell bash", "the shell needs no flag"),
    ("inspect --format json c.iso", "did you mean `--json`?"),
    ("inspect -o json c.iso", "did you mean `--json`?"),
    ("stamp b.iso --users u.toml -o new", "the users file needs no flag"),
    ("try c.iso --uefi", "did you mean `--firmware uefi`?"),
    ("devices -a", "did you mean `--all`?"),
    // What would not be taken is not proposed.
    ("recipe show u.toml", "its commands are check, schema"),
    ("recipe init", "its commands are check, schema"),
    ("base update", "its commands are list, fetch"),
    ("base search nixos", "its commands are list, fetch"),
    ("base nixos-25.11-minimal-arm64", "base fetch nixos-25.11-minimal-aarch64`?"),
    ("verify c.iso b.iso d.iso", "`remaster verify -h` shows what it takes"),
    ("flsh", "did you mean `flash`? `remaster flash -h` shows what it takes"),
    // A disk, and no image.
    ("flash /dev/sdc", "give the image first: `remaster flash IMAGE /dev/sdc`"),
    ("flash --key k.pub /dev/sdc", "`remaster flash IMAGE --key k.pub /dev/sdc`"),
    // A key that an image does not let in.
    ("try c.iso --key l", "c.iso does not let l (SHA256:"),
    ("try c.iso --key l", "in as root: it lets in ssh-ed25519 SHA256:"),
    ("try c.iso --key /dev/null", "--key: /dev/null is a character device, not the file of a key"),
    // Names that no base has.
    ("nixos --key k.pub -o new.iso", "-minimal`? `remaster base list` lists the names of bases"),
    ("flash latest --key k.pub /dev/sdc", "\"latest\" is neither a file nor the name of a base"),
    ("base fetch nixos-25.11-gnome", "did you mean `nixos-25.11-graphical`?"),
    ("base fetch nixos-25.11-minimal-arm64", "did you mean `nixos-25.11-minimal-aarch64`?"),
    // Numbers of another unit.
    ("try c.iso --timeout 10m", "give seconds, as 600"),
    ("find --known-hosts hk --timeout 5m", "give seconds, as 300"),
    ("b.iso --key k.pub --timeout 10s -o new.iso", "give seconds, as 10"),
    ("try c.iso --memory 2G", "give MiB, as 2048"),
    ("try c.iso --memory much", "give MiB, as 2048"),
    ("stamp b.iso u.toml -o new --shard 5/4", "there are 4 parts in it: give `1/4` to `4/4`"),
    // Folders that have nothing in them, and folders in the place of files.
    ("b.iso --overlay folder -o new.iso", "folder has nothing in it to put in"),
    ("flash c.iso --to-file folder", "folder is a folder, and an image is written to a file"),
    ("flash c.iso --to-file no/", "the folder no/ does not exist"),
    ("b.iso --key k.pub --file l:/etc/l:0644 -o new.iso", "the mode 600, and --allow-secrets"),
    ("two.zip --key k.pub -o new.iso", "found 2 files: a.iso, b.iso"),
    // What a shell replaces, in the path of a file that is read, and of one that is made.
    ("b.iso --key k.pub --output=~/new.iso", "begins with what a shell replaces"),
    ("b.iso --key k.pub -o $HOME/new.iso", "`./$HOME/new.iso` is one of that name"),
    ("b.iso --key k.pub -o *.iso", "*.iso has `*`, for which a shell puts in names"),
    ("*.iso --key k.pub -o new.iso", "no name fits it, or it stands in quotes"),
    ("base fetch nixos-25.11-minimal --cache=~/c", "~/c begins with what a shell replaces"),
    ("base list --cache=~/c", "~/c begins with what a shell replaces"),
    ("man ~/man1", "~/man1 begins with what a shell replaces"),
    ("flash b.iso --to-file ~/new.iso", "~/new.iso begins with what a shell replaces"),
    ("flash b.iso ~/new.iso", "~/new.iso begins with what a shell replaces"),
    ("stamp b.iso u.toml -o ~/new", "~/new begins with what a shell replaces"),
    ("netboot b.iso --key k.pub -o ~/new", "~/new begins with what a shell replaces"),
    ("b.iso --key k.pub -o new.iso --manifest=~/m", "~/m begins with what a shell replaces"),
    ("demo --dir ~/new", "~/new begins with what a shell replaces"),
    ("b.iso --file ~/s.sh:/etc/x -o new.iso", "~/s.sh begins with what a shell replaces"),
    ("b.iso --unit ~/a.service -o new.iso", "~/a.service begins with what a shell replaces"),
    ("b.iso --overlay=~/o -o new.iso", "~/o begins with what a shell replaces"),
    // A proposal fits what is there.
    ("flash c.iso -o new.iso", "did you mean `remaster flash c.iso --to-file new.iso`?"),
    ("dd of=/dev/sdc if=c.iso", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("dd if=c.iso of=new.iso bs=4M", "did you mean `remaster flash c.iso --to-file new.iso`?"),
    ("verify c.iso sums", "did you mean `remaster verify c.iso --sha256-file sums`?"),
    ("flash c.iso k.pub", "did you mean `remaster flash c.iso --key k.pub /dev/sdX`?"),
    ("/?", "`remaster -h` lists the commands"),
    ("nosuch/x.iso", "cannot open nosuch/x.iso: no such file"),
    // Blanks without quotes.
    ("my folder/my base.iso --key k.pub -o new.iso", "`remaster 'my folder/my base.iso' --key"),
    // Dashes and quotes of typography, and dashes that are forgotten.
    ("b.iso \u{2013}key k.pub -o new.iso", "did you mean `remaster b.iso --key k.pub -o new.iso`?"),
    (
        "b.iso --key k.pub \u{2212}o new.iso",
        "did you mean `remaster b.iso --key k.pub -o new.iso`?",
    ),
    ("inspect c.iso \u{2014}json", "did you mean `remaster inspect c.iso --json`?"),
    ("flash b.iso \u{2013}key k.pub /dev/sdc", "`remaster flash b.iso --key k.pub /dev/sdc`?"),
    (
        "b.iso --key \u{201c}k.pub\u{201d} -o new.iso",
        "did you mean `remaster b.iso --key k.pub -o new.iso`?",
    ),
    (
        "b.iso --key=\u{201e}k.pub\u{201c} --name \u{2018}My Box\u{2019} -o new.iso",
        "`remaster b.iso --key=k.pub --name 'My Box' -o new.iso`?",
    ),
    ("b.iso key k.pub -o new.iso", "did you mean `remaster b.iso --key k.pub -o new.iso`?"),
    // A folder by the name of a command or of a file.
    ("man flash", "`remaster flash --help` shows its page"),
    ("man remaster-flash", "`man remaster-flash` once the pages are written"),
    ("stamp b.iso u.toml -o new.iso", "new.iso has the ending of a file, and a folder is made"),
    ("stamp b.iso u.toml --as oci -o new.tar", "new.tar has the ending of a file"),
    ("netboot b.iso --key k.pub -o new.img", "new.img has the ending of a file"),
    ("demo --dir new.iso", "new.iso has the ending of a file"),
    // Files by what is in them.
    ("stamp b.iso commented_keys -o new", "commented_keys is a public key, not a users file"),
    ("b.iso --recipe commented_keys -o new.iso", "`remaster b.iso --key commented_keys -o"),
    ("b.iso --key page.iso -o new.iso", "page.iso is a web page, not a public key"),
    ("b.iso --script page.iso --key k.pub -o new.iso", "page.iso is a web page, not a script"),
    ("b.iso --recipe page.iso -o new.iso", "page.iso is a web page, not a recipe"),
    ("b.iso --sha256-file page.iso -o new.iso", "page.iso is a web page, not a list of checksums"),
    ("stamp b.iso page.iso -o new", "page.iso is a web page, not a users file"),
    // Flags and values of other programs.
    ("b.iso --ssh k.pub -o new.iso", "did you mean `--key`?"),
    ("b.iso -i /dev/sdc", "as in `remaster flash IMAGE /dev/sdX`"),
    ("flash b.iso --serial 4C530001 /dev/sdc", "`--expect-serial 4C530001`"),
    ("b.iso --key k.pub --as oci -o new.iso", "`remaster stamp BASE USERS --as oci -o FOLDER`"),
    ("b.iso --key k.pub --as qcow2 -o new.iso", "`qemu-img convert -f raw -O qcow2"),
    ("stamp b.iso u.toml -n -o new", "`remaster BASE --dry-run` says what"),
    ("b.iso --no-greeting -o new.iso", "write `--greeting=false`"),
    ("b.iso --copytoram -o new.iso", "`--default-entry copytoram`"),
    ("b.iso --preseed x -o new.iso", "`--run FILE` runs a script"),
    ("b.iso --netmask 255.255.255.0 -o new.iso", "`--address 10.0.0.2/24`"),
    ("b.iso --arch aarch64 -o new.iso", "the architecture of its base"),
    ("b.iso --pass x -o new.iso", "`--root-password-file FILE`"),
    ("flash b.iso -d /dev/sdc", "`remaster flash IMAGE /dev/sdX`"),
    ("flash b.iso --bs 4M /dev/sdc", "needs no choice"),
    ("flash b.iso --fat32 /dev/sdc", "`remaster format` one partition"),
    ("b.iso --sha256 sums --key k.pub -o new.iso", "`--sha256-file sums`"),
    (
        "b.iso --sha256 sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= --key k.pub -o new.iso",
        "`nix hash convert --to base16 sha256-47DE",
    ),
    // Commands of other programs.
    ("cp c.iso /dev/sdc", "did you mean `remaster flash c.iso /dev/sdc`?"),
    ("pull nixos-25.11-minimal", "did you mean `remaster base fetch nixos-25.11-minimal`?"),
    ("update nixos-25.11-minimal", "did you mean `remaster base fetch nixos-25.11-minimal`?"),
    ("revert c.iso -o new.iso", "did you mean `remaster reset c.iso -o new.iso`?"),
    ("vm c.iso", "did you mean `remaster try c.iso`?"),
    ("install", "`remaster BASE --key KEY.pub -o FILE` makes an image"),
    ("list-devices", "did you mean `remaster devices`?"),
    ("download -s stable -f iso", "`download` is neither a command nor a file"),
    ("devices list", "leave `list` out"),
    ("base fetch https://x/b.iso", "https://x/b.iso is a URL, not the name of a base"),
    ("base fetch b.iso", "b.iso is a file, not the name of a base"),
    // Places on other machines.
    ("b.iso --key k.pub -o me@host:/x.iso", "`-o - | ssh me@host 'cat > FILE'` writes an image"),
    ("b.iso --key k.pub -o http://x/y.iso", "is on another machine, and files are made on this"),
    ("b.iso --key file:///x/k.pub -o new.iso", "is a URL, not a path\nhint: give `/x/k.pub`"),
    // What should be in a file, in place of its path.
    ("b.iso --root-password-file secret -o new.iso", "or --root-password-prompt: others can"),
    ("b.iso --host-key generate --host-key-seed phrase -o new.iso", "`head -c 32 /dev/urandom"),
    ("b.iso --unit sshd --key k.pub -o new.iso", "`--karg systemd.wants=NAME.service`"),
    ("b.iso --bin vim --key k.pub -o new.iso", "packages are not installed"),
    ("b.iso --file k.pub:/root -o new.iso", "end it with the name that the file is to have"),
    ("b.iso --file k.pub:/etc/x:root -o new.iso", "in front of the owner: `644:root`"),
    // What would be lost by writing an image over it.
    ("flash c.iso --to-file l", "l is a private key (OpenSSH), not an image, and would be"),
    ("flash c.iso --to-file k.pub", "k.pub is a public key, not an image, and would be"),
    ("flash c.iso --to-file bundle", "bundle is packed data, not an image, and would be"),
    ("flash c.iso --to-file p.remaster", "p.remaster is a patch, not an image, and would be"),
    ("flash c.iso --to-file u.toml", "u.toml is a text file, not an image, and would be"),
    ("flash c.iso --to-file noise", "noise is a file, not an image, and would be overwritten"),
    ("flash c.iso --to-file new.iso --to-file l", "l is a private key (OpenSSH), not an image"),
    ("format --to-file l", "l is a private key (OpenSSH), not an image, and would be"),
];

/// Texts of recipes and users files, by the name of the file, and what is said of them.
const WRITTEN: &[(&str, &str, &str)] = &[
    ("r.toml", "timeout = '5'", "timeout: wants a whole number"),
    ("r.toml", "root-password = 'x'", "give `root-password-file`, the path of a file"),
    ("r.toml", "wifi-password = 'x'", "give `wifi-password-file`, the path of a file"),
    ("r.toml", "packages = ['vim']", "packages are not installed into the image: give `bin FILE`"),
    ("r.toml", "ssh-key = 'k.pub'", "did you mean `key`?"),
    ("r.toml", "ssid = 'x'", "did you mean `wifi`?"),
    ("r.toml", "dry-run = true", "give --dry-run to the command: it is a flag of `remaster BASE`"),
    ("r.toml", "key = '~/id.pub'", "have no meaning in a file"),
    ("r.toml", "[network]\naddress = 'x'", "write `address = …` at the top of the file"),
    ("r.toml", "[settings]\nx = 'x'", "a recipe has no sections, and `[settings]` is one"),
    ("r.toml", "replace = true", "give --replace to the command: it is a flag of `remaster edit`"),
    ("r.toml", "base = 'b.iso'", "the command line names the image"),
    ("r.toml", "[[users]]\nname = 'a'", "write `[[user]]`, and give the file to `remaster stamp`"),
    ("r.toml", "[[user]]\nname = 'a'", "give it to `remaster stamp BASE FILE -o FOLDER`"),
    ("r.toml", "[machine]\nmac = 'x'", "write `[[machine]]`"),
    ("r.toml", "[[machine]]\ndmi_serial = 'x'", "did you mean `dmi-serial`?"),
    ("r.toml", "hostname = \u{201c}box\u{201d}", "write `hostname = \"box\"`"),
    ("r.toml", "{\n  \"hostname\": \"box\"\n}", "r.toml: it is JSON, not TOML"),
    ("r.toml", "{ \"key\": \"ssh-ed25519 AAAA=\" }", "r.toml: it is JSON, not TOML"),
    // Values that are nearly right, by the kind of their keys.
    ("r.toml", "address = 10.0.0.2/24", "write `address = \"10.0.0.2/24\"`"),
    ("r.toml", "dns = 1.1.1.1, 8.8.8.8", "write `dns = [\"1.1.1.1\", \"8.8.8.8\"]`"),
    ("r.toml", "gateway = 10.0.0.1", "write `gateway = \"10.0.0.1\"`"),
    ("r.toml", "key = ./k.pub", "write `key = \"./k.pub\"`"),
    ("r.toml", "serial = ttyS0,115200", "write `serial = \"ttyS0,115200\"`"),
    ("r.toml", "[[machine]]\nmac = 00:11:22:33:44:55", "write `mac = \"00:11:22:33:44:55\"`"),
    ("r.toml", "greeting = yes", "write `greeting = true`"),
    ("r.toml", "greeting = False", "write `greeting = false`"),
    ("r.toml", "timeout = 5s", "write `timeout = 5`"),
    ("r.toml", "karg = quiet splash", "write `karg = [\"quiet\", \"splash\"]`"),
    ("r.toml", "karg = 'quiet splash'", "or a list in a file: `[\"quiet\", \"loglevel=7\"]`"),
    ("r.toml", "hostname = 'a'\n\nhostname = 'b'", "`hostname` is there twice, first on line 1"),
    ("r.toml", "Key = 'k.pub'", "write `key`, in small letters"),
    ("r.toml", "HOSTNAME = 'box'", "write `hostname`, in small letters"),
    ("r.toml", "address = 'ip=10.0.0.2/24'", "give `10.0.0.2/24` alone"),
    ("x.toml", "[[user]]\nname = 'a'\nkey = ../k.pub", "write `key = \"../k.pub\"`"),
    ("x.csv", "Name,Key\na,k.pub\n", "write `name`, in small letters"),
    ("x.csv", "NAME,KEY\na,k.pub\n", "write `name`, in small letters"),
    ("x.csv", "name,key\na\n", "1 cell, and 2 columns"),
    ("x.csv", "name,key\na,\"k.pub,l.pub\"\n", "`;` stands between them in CSV"),
    ("x.jsonl", "{\"name\": \"a\", \"Key\": \"k.pub\"}", "write `key`, in small letters"),
    ("x.jsonl", "{'name': 'a'}", "a name in JSON stands in double quotes"),
    ("x.jsonl", "{name: \"a\"}", "a name in JSON stands in double quotes"),
    ("x.jsonl", "{\"users\": [{\"name\": \"a\"}]}", "as `jq -c '.users[]'` makes them"),
    ("x.jsonl", "{\"name\": \"a\", \"key\": \"k.pub\"},", "without a comma"),
    ("x.jsonl", "{\"name\": \"a\"", "the line ends within an object"),
    ("r.toml", "{ config, pkgs, ... }:\n{\n}\n", "in Nix is built with `nix build`"),
    ("r.toml", "---\nhostname: box", "r.toml: it is YAML, not TOML"),
    ("r.toml", "hostname: box", "r.toml: it is YAML, not TOML"),
    ("x.toml", "[[users]]\nname = 'a'", "write `[[user]]` for each user"),
    ("x.toml", "[user]\nname = 'a'", "write `[[user]]` for each user"),
    ("x.toml", "hostname = 'a'", "give it to --recipe, for all users"),
    ("x.toml", "name = 'a'", "write `[[user]]` and a `name` in front"),
    ("x.csv", "name,ssh-key\na,k.pub\n", "did you mean `key`?"),
    ("x.csv", "name,public_key\na,k.pub\n", "did you mean `key`?"),
    ("x.csv", "username,key\na,k.pub\n", "did you mean `name`?"),
    ("x.csv", "name,key\na,~/id.pub\n", "have no meaning in a file"),
    ("x.jsonl", "{\"username\": \"a\"}", "did you mean `name`?"),
    ("x.toml", "- name: a\n  key: k.pub\n", "x.toml: it is YAML, not TOML"),
    ("x.yaml", "- name: a\n  key: k.pub\n", "x.yaml is YAML, not TOML, CSV or JSON lines"),
    ("x.nix", "{ pkgs, ... }: { }\n", "x.nix is Nix, not TOML, CSV or JSON lines"),
    ("x.txt", "alice\n", "give --format toml, csv or jsonl"),
    ("x.csv", "name,name\na,b\n", "the column `name` is there twice"),
    ("x.csv", "name,key\n\"a,k.pub\n", "a double quote is opened, and not closed"),
    ("x.jsonl", "[{\"name\": \"a\"}]", "as `jq -c '.[]'` makes them"),
    ("x.jsonl", "{\n  \"name\": \"a\"\n}\n", "give one JSON object per line"),
    ("x.jsonl", "{\"name\": \"a\", \"name\": \"b\"}", "`name` is there twice"),
];

/// `-` where nothing is read from or written to standard streams, and what is said of it.
const DASHES: &[(&str, &str)] = &[
    ("-", "`remaster` does not read standard input"),
    ("- --key k.pub -o new.iso", "`remaster` does not read standard input"),
    ("b.iso --recipe - -o new.iso", "does not read standard input for --recipe"),
    ("b.iso --key k.pub --script - -o new.iso", "does not read standard input for --script"),
    ("b.iso --key k.pub --sign - -o new.iso", "does not read standard input for --sign"),
    ("b.iso --key k.pub --sha256-file - -o new.iso", "standard input for --sha256-file"),
    ("b.iso --key k.pub -o new.iso --manifest -", "standard output for --manifest"),
    ("b.iso --host-key generate -o new.iso --known-hosts -", "standard output for --known-hosts"),
    ("b.iso --key k.pub --cache - -o new.iso", "does not write to standard output for --cache"),
    ("inspect -", "`remaster inspect` does not read standard input"),
    ("try c.iso --serial -", "`remaster try` does not write to standard output for --serial"),
    ("try c.iso --screenshot -", "does not write to standard output for --screenshot"),
    ("verify -", "`remaster verify` does not read standard input"),
    ("verify c.iso --manifest -", "does not read standard input for --manifest"),
    ("verify c.iso --against -", "does not read standard input for --against"),
    ("diff - c.iso", "`remaster diff` does not read standard input"),
    ("diff b.iso -", "`remaster diff` does not read standard input"),
    ("edit --in-place - --key k.pub", "`remaster edit` does not read standard input"),
    ("edit --in-place c.iso --remove-key -", "does not read standard input for --remove-key"),
    ("edit --recover -", "`remaster edit` does not read standard input"),
    ("reset - -o new.iso", "`remaster reset` does not read standard input"),
    ("apply b.iso - -o new.iso", "`remaster apply` does not read standard input"),
    ("apply - -o new.iso", "`remaster apply` does not read standard input"),
    ("netboot - --key k.pub -o new", "`remaster netboot` does not read standard input"),
    ("netboot b.iso --key k.pub -o -", "does not write to standard output for --output"),
    ("stamp - u.toml -o new", "`remaster stamp` does not read standard input"),
    ("stamp b.iso - -o new", "`remaster stamp` does not read standard input"),
    ("stamp b.iso u.toml -o -", "does not write to standard output for --output"),
    ("stamp b.iso u.toml -o new --failures -", "standard output for --failures"),
    ("stamp b.iso u.toml -o new --key -", "does not read standard input for --key"),
    ("flash c.iso -", "`remaster flash` does not write to standard output"),
    ("flash c.iso --to-file -", "does not write to standard output for --to-file"),
    ("flash b.iso --patch - --to-file new.iso", "does not read standard input for --patch"),
    ("try -", "`remaster try` does not read standard input"),
    ("try c.iso --key -", "does not read standard input for --key"),
    ("find --known-hosts -", "does not read standard input for --known-hosts"),
    ("recipe check -", "`remaster recipe check` does not read standard input"),
    ("man -", "`remaster man` does not write to standard output"),
    ("demo --dir -", "does not write to standard output for --dir"),
];

/// Slips in what is put in, by every command that puts something in.
const PUT_IN: &[(&str, &str)] = &[
    ("--ssh-key k.pub", "did you mean `--key`?"),
    ("--key k.pub --user ann", "has the users root and nixos"),
    ("--key k.pub --root-password x", "give `--root-password-file FILE`"),
    ("--key k.pub --no-color", "did you mean `--color never`?"),
    ("--key k.pub --packages vim", "packages are not installed"),
    ("--key k.pub --timeout -1", "give --timeout a number without `-`"),
    ("--key k.pub --mtu -1", "give --mtu a number without `-`"),
    ("--key k.pub --console ttyS0", "did you mean `--serial`?"),
    ("-k ssh-ed25519 AAAAC3 x@y", "-k 'ssh-ed25519 AAAAC3 x@y'"),
    ("--key ssh-ed25519 AAAAC3", "--key 'ssh-ed25519 AAAAC3'"),
    ("--key k.pub,l.pub", "give --key once for each: did you mean"),
    ("--key k.pub --dns 1.1.1.1 8.8.8.8", "--dns 1.1.1.1 --dns 8.8.8.8"),
    ("--key k.pub --karg quiet splash", "--karg quiet --karg splash"),
    ("--key k.pub --karg=quiet splash", "--karg=quiet --karg splash"),
    ("--key k.pub --wifi my home", "--wifi 'my home'"),
    ("--key k.pub --hostname my box", "--hostname takes one value, and `box` stands behind that"),
    ("--key k.pub --address eth0 10.0.0.1/24", "--address eth0=10.0.0.1/24"),
    ("--key k.pub --script a.sh b.sh", "--script a.sh --script b.sh"),
    ("-k k.pub,l.pub", "--key k.pub --key l.pub"),
    ("--key gh:alice,gl:bob", "--key gh:alice --key gl:bob"),
    ("--key k.pub --dns 1.1.1.1,8.8.8.8", "--dns 1.1.1.1 --dns 8.8.8.8"),
    (
        "--key k.pub --address=10.0.0.2/24,10.0.0.3/24",
        "--address 10.0.0.2/24 --address 10.0.0.3/24",
    ),
    ("--key k.pub --hostnam x", "did you mean `--hostname`?"),
    ("--key c.iso", "c.iso is an image, not a public key"),
];

/// Values that are refused, by every command that makes one image.
const VALUES: &[(&str, &str)] = &[
    ("--key github:alice", "did you mean `gh:alice`?"),
    ("--key https://github.com/alice", "did you mean `gh:alice`?"),
    ("--key SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpJ4JzUdkQsJRFk1Tk", "give the key itself"),
    ("--key k.pub --address 10.0.0.2/24 --gateway 10.0.0.2", "give the address of the router"),
    ("--key k.pub --address 10.0.0.2/24 --gateway 10.0.0.255", "give the address of the router"),
    ("--key k.pub --address 10.0.0.2/24 --gateway 2001:db8::1", "give an --address of IPv6"),
    ("--key k.pub --address eth0:10.0.0.2/24", "give it as `eth0=10.0.0.2/24`"),
    ("--key k.pub --address dhcp", "\"dhcp\" is not an address"),
    ("--key k.pub --bond bond0:bond0,eth1", "bond0 is a member of itself"),
    ("--key k.pub --address 10.0.0.2/255.255.255.0", "`10.0.0.2/24`"),
    ("--key k.pub --address 10.0.0.2/255.0.255.0", "give a number from 1 to 32"),
    ("--key k.pub --locale de", "give a language with its country, as `de_DE.UTF-8`"),
    ("--key k.pub --serial /dev/ttyS0,9600", "without its folder: `ttyS0,9600`"),
    ("--key k.pub --wifi x --wifi-open --wifi-country fr", "as `FR`"),
    ("--key k.pub --address ip=10.0.0.2/24", "give `10.0.0.2/24` alone"),
    ("--key k.pub --mtu eth0:1500", "give it as `eth0=1500`"),
    ("--key k.pub --bond bond0=eno1,eno2", "give it as `bond0:eno1,eno2`"),
    ("--key k.pub --bond bond0:", "give the name of an interface, as"),
    ("--key k.pub --timezone Europe", "give a name of the tz database"),
];

/// The commands that put something in, of which words are said to be given behind.
const PUTTING: &[&str] = &[
    "b.iso -o new.iso",
    "stamp b.iso u.toml -o new",
    "flash b.iso --to-file new.iso",
    "netboot b.iso -o new",
    "edit --in-place c.iso",
];

/// Slips in the arguments of the kernel, of which an image must be known.
const KERNEL: &[(&str, &str)] = &[
    ("--karg root=", "give --label for another label of the volume"),
    ("--karg-delete loglevel", "give it with its value: loglevel=4"),
    ("--karg-delete NAME", "give one of those there are: boot.shell_on_fail"),
];

/// Outputs in a folder that does not exist: files, then folders.
const NOWHERE: &[&str] = &[
    "b.iso --key k.pub -o no/new",
    "b.iso --key k.pub --as patch -o no/new",
    "b.iso --key k.pub -o new.iso --manifest no/new",
    "b.iso --key k.pub --host-key generate -o new.iso --known-hosts no/new",
    "apply b.iso p.remaster -o no/new",
    "reset c.iso -o no/new",
    "stamp b.iso u.toml --failures no/new -o new",
    "flash c.iso --to-file no/new",
];
const FOLDERS: &[&str] = &[
    "stamp b.iso u.toml -o no/new",
    "stamp b.iso u.toml --as oci -o no/new",
    "netboot b.iso --key k.pub -o no/new",
    "demo --dir no/new",
    "man no/new",
];

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("b.iso", &TINY);
    folder.write("k.pub", key(1).as_bytes());
    folder.write("l.pub", key(2).as_bytes());
    std::fs::create_dir(folder.at("folder")).unwrap();
    std::fs::create_dir(folder.at("my folder")).unwrap();
    folder.write("my folder/my base.iso", &TINY);
    folder.write("page.iso", b"<!DOCTYPE html>\n<html>404</html>\n");
    folder.write("commented_keys", format!("# ann\nno-pty {}", key(2)).as_bytes());
    folder.write("noise", &[7, 200, 13, 1, 0, 255].repeat(99));
    folder.write("sums", format!("{}  c.iso\n", "0".repeat(64)).as_bytes());
    folder.run(&["b.iso", "--key", "k.pub", "-o", "c.iso"]).quietly();
    folder.run(&["b.iso", "--key", "k.pub", "--as", "patch", "-o", "p.remaster"]).quietly();
    folder.write("l", pair(2).to_openssh(ssh_key::LineEnding::LF).unwrap().as_bytes());
    let texts: [(&str, &str); 16] = [
        ("a.sh", "#!/bin/sh\n"),
        ("b.sh", "#!/bin/sh\n"),
        (
            "hk",
            "box ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n",
        ),
        (
            "hk.known_hosts",
            "box ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n",
        ),
        (
            "c.iso.known_hosts",
            "box ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n",
        ),
        ("headless.csv", "ann,k.pub\n"),
        ("u.toml", "[[user]]\nname = \"ann\"\nkey = \"k.pub\"\n"),
        ("semicolons.csv", "name;key\nann;k.pub\n"),
        ("tabs.csv", "name\tkey\nann\tk.pub\n"),
        ("email.csv", "name,key,email\nann,k.pub,ann@example.org\n"),
        ("heads.csv", "name,key\n"),
        ("empty.csv", ""),
        ("empty.toml", "# nobody\n"),
        ("empty.jsonl", "\n"),
        ("bare.toml", "[[user]]\nname = alice\n"),
        ("bare-recipe.toml", "hostname = box\n"),
    ];
    for (name, text) in texts {
        folder.write(name, text.as_bytes());
    }
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["a.iso", "b.iso"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&TINY).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    folder.write("bundle", &zip);
    folder.write("two.zip", &zip);
    folder
}

/// Answers all of them in one folder, and nothing is made there.
fn answered<'a>(rows: impl IntoIterator<Item = (String, &'a str)>) {
    let (folder, scratch) = (folder(), folder());
    let before = folder.names();
    let mut suggested = BTreeSet::new();
    for (typed, words) in rows {
        let ended = folder.run(&typed.split(' ').collect::<Vec<_>>());
        let err = &ended.err;
        assert!(err.contains(words), "remaster {typed}: {words}: {err}");
        let mut told = err.lines().skip_while(|line| line.starts_with("note: "));
        let is_error = told.next().is_some_and(|line| line.starts_with("error: "));
        assert!(is_error && err.contains("\nhint: "), "remaster {typed}: {err}");
        let status = match words {
            _ if typed.starts_with("two.zip") => 4,
            "which should be a recipe" => 1,
            _ => 2,
        };
        assert!(ended.status == status && ended.out.is_empty(), "remaster {typed}: {err}");
        assert_eq!(folder.names(), before, "remaster {typed}");
        suggested.extend(suggestions(err));
    }
    for line in &suggested {
        check_suggestion(&scratch, line);
    }
}

/// The whole command lines that an answer says are meant.
fn suggestions(err: &str) -> Vec<String> {
    let starts = ["did you mean ", "complete it as ", "give the image first: "];
    let meant = starts.iter().find_map(|start| err.split(start).nth(1)).unwrap_or_default();
    let meant = meant.split(['?', '\n']).next().unwrap_or_default();
    let spans = meant.split('`').filter(|span| span.starts_with("remaster "));
    spans.map(str::to_owned).collect()
}

/// Runs what is suggested, where other programs and servers are out of reach. It may fail, but not by another slip.
fn check_suggestion(folder: &Folder, line: &str) {
    let placeholders =
        [(" KEY.pub", " k.pub"), (" KEY", " k.pub"), (" FILE", " new.iso"), (" IMAGE", " b.iso")];
    let typed =
        placeholders.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
    let typed = typed.replace("remaster ssh ", "remaster ssh --timeout 1 ");
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", &typed.replacen("remaster", "\"$REMASTER\"", 1)]);
    shell.env("REMASTER", env!("CARGO_BIN_EXE_remaster")).env("PATH", "");
    shell.env("REMASTER_MIRROR", "http://127.0.0.1:9").env("XDG_CACHE_HOME", folder.path());
    let ended = shell.current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    let slips = [
        "did you mean",
        "` needs ",
        "has no flag",
        "one word more",
        "needs a value",
        "stands behind",
        "is not a command",
        "is neither a command",
        "is called",
    ];
    assert!(!slips.iter().any(|slip| err.contains(slip)), "suggested: {line}: {err}");
    for new in ["new", "new.iso", "next.iso"] {
        let _ = std::fs::remove_file(folder.at(new));
        let _ = std::fs::remove_dir_all(folder.at(new));
    }
}

#[test]
fn a_slip_is_answered_with_what_is_meant_and_nothing_is_done() {
    answered(TYPED.iter().map(|(typed, words)| ((*typed).to_owned(), *words)));
}

#[test]
fn what_is_wrong_with_a_written_file_is_reported_in_the_words_of_its_writer() {
    let folder = folder();
    for (name, text, words) in WRITTEN {
        folder.write(name, text.as_bytes());
        let lines: &[&str] = match *name {
            "r.toml" => &["b.iso --recipe r.toml -o new.iso", "recipe check r.toml"],
            _ => &[],
        };
        let of_users = format!("stamp b.iso {name} -o new");
        let lines = if lines.is_empty() { vec![of_users.as_str()] } else { lines.to_vec() };
        for line in lines {
            let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
            assert!(ended.err.contains(words), "{line}: {text}: {}", ended.err);
            assert!(ended.err.contains("\nhint: "), "{line}: {text}: {}", ended.err);
            assert!([2, 11].contains(&ended.status), "{line}: {text}: {}", ended.err);
        }
    }
}

#[test]
fn a_dash_is_not_a_file_where_no_standard_stream_is_meant() {
    answered(DASHES.iter().map(|(typed, words)| ((*typed).to_owned(), *words)));
}

#[test]
fn every_command_that_puts_something_in_answers_the_same() {
    answered(PUTTING.iter().flat_map(|command| {
        PUT_IN.iter().map(move |(slip, words)| (format!("{command} {slip}"), *words))
    }));
    let one = PUTTING.iter().filter(|command| !command.starts_with("stamp"));
    answered(one.flat_map(|command| {
        VALUES.iter().map(move |(slip, words)| (format!("{command} {slip}"), *words))
    }));
    // What stands behind a flag of its own kind is a disk, a word too many, or one key more.
    let more = "--key k.pub l.pub";
    let keys =
        PUTTING.iter().map(|command| (format!("{command} {more}"), "--key k.pub --key l.pub"));
    answered(keys.filter(|(typed, _)| !typed.contains("--to-file")));
    let enable = "--key k.pub --enable x.service";
    let units =
        PUTTING.iter().map(|command| (format!("{command} {enable}"), "systemd.wants=NAME.service"));
    answered(units.filter(|(typed, _)| !typed.contains("--to-file")));
}

#[test]
fn a_wrong_argument_of_the_kernel_is_reported_with_the_right_one() {
    let one = |command: &&&str| !command.starts_with("stamp") && !command.starts_with("netboot");
    for command in PUTTING.iter().filter(one) {
        answered(
            KERNEL.iter().map(|(slip, words)| (format!("{command} --key k.pub {slip}"), *words)),
        );
    }
}

/// Every flag that takes a number, in a line that wants nothing else.
const NUMBERS: &[&str] = &[
    "b.iso --key k.pub -o out --timeout=",
    "stamp b.iso u.toml -o out --jobs=",
    "find --known-hosts k --port=",
    "find --known-hosts k --timeout=",
    "ssh box --known-hosts k --port=",
    "ssh box --known-hosts k --timeout=",
    "base fetch nixos-25.11-minimal --timeout=",
    "try c.iso --timeout=",
    "try c.iso --memory=",
    "flash c.iso --to-file out --expect-size=",
    "reset b.iso --expect-size=",
    "format /dev/nosuch --expect-size=",
];

/// What stands for a number in `--help`.
const NUMBER_NAMES: &[&str] = &["<PORT>", "<SECONDS>", "<NUMBER>", "<MIB>", "<SIZE>", "<JOBS>"];

/// The flags of a command that take a number, as `--help` lists them.
fn number_flags(command: &str) -> Vec<String> {
    let help = help(command);
    let pairs = help.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| word.starts_with("--"))?;
        let takes_number = NUMBER_NAMES.contains(words.get(at + 1)?);
        takes_number.then(|| words[at].to_owned())
    });
    pairs.collect()
}

#[test]
fn every_flag_of_numbers_has_a_row() {
    let commands = commands();
    let listed: BTreeSet<(&str, String)> = commands
        .iter()
        .flat_map(|command| number_flags(command).into_iter().map(|flag| (command.as_str(), flag)))
        // A setting of recipes is read alike by every command that has it.
        .filter(|(command, flag)| {
            let is_of_recipes = flag == "--timeout" && help(command).contains("--recipe");
            *command == "BASE" || !is_of_recipes
        })
        .collect();
    let row = |line: &'static str| {
        let command = commands.iter().find(|command| line.starts_with(&format!("{command} ")));
        let flag = line.rsplit(' ').next().unwrap().trim_end_matches('=');
        (command.map_or("BASE", String::as_str), flag.to_owned())
    };
    let rows: BTreeSet<_> = NUMBERS.iter().map(|line| row(line)).collect();
    assert_eq!(listed, rows, "`--help` on the left, rows on the right");
}

#[test]
fn a_number_that_is_not_taken_is_refused_by_the_true_cause() {
    let folder = Folder::new();
    for line in NUMBERS {
        for (value, told) in [
            ("", "needs a value"),
            ("x", "not a whole number"),
            ("1.5", "not a whole number"),
            ("1e3", "not a whole number"),
            ("-", "not a whole number"),
            ("99999999999999999999", "too large"),
            ("-1", "negative"),
            ("0", "`0`: "),
        ] {
            let is_size = line.contains("size");
            // No wait is a wait; sizes are judged with the disk, and have units.
            if value == "0" && (line.starts_with("b.iso") || is_size) || is_size && value == "1.5" {
                continue;
            }
            let ended = folder.run(&format!("{line}{value}").split(' ').collect::<Vec<_>>());
            let told = if is_size && !["", "99999999999999999999"].contains(&value) {
                "expected whole bytes, or a size"
            } else {
                told
            };
            let is_range = value == "-1" && ended.err.contains("-1 is not from ");
            let is_true = ended.err.contains(told) || is_range;
            assert!(ended.status == 2 && is_true, "{line}{value}: {}", ended.err);
            let is_wrong = value == "0" && ended.err.contains("whole number");
            assert!(!is_wrong && ended.err.contains("hint: "), "{line}{value}: {}", ended.err);
        }
    }
}

#[test]
fn an_overlay_with_nothing_in_it_is_named() {
    let folder = folder();
    for command in PUTTING {
        let of = |flag: &'static str, wanted: bool| if wanted { flag } else { "" };
        let key = of(" --key k.pub", !command.starts_with("stamp"));
        let force = of(" --force", command.contains("-o new"));
        let line = format!("{command}{key} --overlay folder{force}");
        let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
        let who = of("ann: ", command.starts_with("stamp"));
        let words = format!("{who}--overlay: folder has nothing in it to put in\n");
        assert!(ended.status != 0 && ended.err.contains(&words), "{line}: {}", ended.err);
    }
}

#[test]
fn no_file_makes_the_folder_above_it() {
    let words = "the folder no does not exist";
    answered(NOWHERE.iter().map(|typed| ((*typed).to_owned(), words)));
}

#[test]
fn a_folder_is_made_with_those_above_it_but_not_by_a_dry_run_or_below_a_file() {
    let folder = folder();
    folder.write(
        "u.toml",
        format!("[[user]]\nname = \"ann\"\nkey = {:?}\n", key(1).trim()).as_bytes(),
    );
    for line in FOLDERS {
        let words: Vec<&str> = line.split(' ').collect();
        let below = line.replace("no/new", "k.pub/new");
        let below: Vec<&str> = below.split(' ').collect();
        let ended = folder.run(&below);
        assert!(
            ended.status == 2 && ended.err.contains("k.pub is not a folder"),
            "{below:?}: {}",
            ended.err
        );
        let ended = folder.run(&words);
        assert_eq!(ended.status, 0, "{line}: {}", ended.err);
        assert!(std::fs::read_dir(folder.at("no/new")).unwrap().next().is_some(), "{line}");
        std::fs::remove_dir_all(folder.at("no")).unwrap();
    }
}

#[test]
fn no_output_has_the_name_of_a_packed_file() {
    // Of a name with `.tar` in it, only a tar archive as the base would do.
    let endings =
        ["iso.gz", "img.XZ", "zstd", "json.bz2", "lz4", "zip", "7z", "tar.gz", "TGZ", "txz"];
    answered(NOWHERE.iter().chain(FOLDERS).flat_map(|typed| {
        endings.iter().map(move |end| {
            (typed.replace("no/new", &format!("packed.{end}")), "and the output is not packed")
        })
    }));
    answered([(
        "stamp b.iso u.toml -o new --name-template {name}.iso.xz".to_owned(),
        "{name}.iso.xz has the ending of xz, and the output is not packed",
    )]);
}

/// A path is opened by its bytes, whatever another one would be shown as.
#[test]
fn a_path_that_is_not_utf_8_is_the_one_that_is_opened() {
    use std::os::unix::ffi::OsStrExt as _;
    let name = |end: &str| [b"a\xff", end.as_bytes()].concat();
    let rows: [(&str, &[u8], &str); 7] = [
        ("--overlay", b"", "is empty, not a folder or a tar archive"),
        ("--root-password-file", b"", "is empty, not a file with a password"),
        ("--root-password-file", b"a long password\n", ""),
        ("--host-key-seed", b"0123456789abcdef0123456789abcdef0123456789abcdef\n", "derived"),
        ("--script", b"#!/bin/sh\n", "no name that can be typed as a command"),
        ("--unit", b"", "is empty, not a systemd unit"),
        ("--store", b"", "is empty, not a squashfs"),
    ];
    for (flag, bytes, refused) in rows {
        let folder = Folder::with_base(&TINY);
        folder.write("key.pub", key(1).as_bytes());
        let path = name(".x");
        let path = std::ffi::OsStr::from_bytes(&path);
        std::fs::write(folder.path().join(path), bytes).unwrap();
        std::fs::create_dir(folder.at("a\u{fffd}.x")).unwrap();
        let mut program = folder.program(&["base.iso", "--key", "key.pub", "-o", "out", flag]);
        let ended = Ended::from(program.arg(path).output().unwrap());
        assert!(!ended.err.contains("No such file"), "{flag}: {}", ended.err);
        match refused {
            "" => assert_eq!(ended.status, 0, "{flag}: {}", ended.err),
            told => ended.err_says(2, told),
        }
    }
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    let mut program = folder.program(&["base.iso", "--key", "key.pub", "-o", "out"]);
    program.arg("--root-password-file").arg(std::ffi::OsStr::from_bytes(b"env:a\xff"));
    Ended::from(program.output().unwrap()).err_says(2, "is not UTF-8");
}

#[test]
fn what_is_not_text_is_named_with_its_flag() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    for (flag, value) in [("--wifi", &b"a\xff"[..]), ("-k", b"\xff"), ("--hostname", b"\xe4")] {
        let mut program = folder.program(&["b.iso", "-o", "new.iso", flag]);
        let ended = program.arg(std::ffi::OsStr::from_bytes(value)).output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        let words = format!("error: {flag} takes text in UTF-8, not `");
        assert!(err.starts_with(&words) && err.contains("\nhint: "), "{err}");
        assert_eq!(ended.status.code(), Some(2), "{err}");
    }
}

/// A number where a title is asked for, by every command that has menus; titles that differ between menus.
#[test]
fn an_entry_goes_by_its_title_and_menus_that_start_others_are_reported() {
    let folder = folder();
    for command in PUTTING.iter().filter(|command| !command.starts_with("stamp")) {
        for number in ["0", "6"] {
            let line = format!("{command} --key k.pub --default-entry {number}");
            let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
            let words =
                format!("--default-entry: \"{number}\" is a number, and entries go by title");
            assert_eq!(ended.status, 2, "{line}: {}", ended.err);
            assert!(ended.err.contains(&words), "{line}: {}", ended.err);
            assert!(ended.err.contains("hint: give a part of one of these: "), "{}", ended.err);
        }
    }
    let line = ["b.iso", "--key", "k.pub", "--default-entry", "ot", "-o", "differ.iso"];
    let told = folder.run(&line).err;
    assert!(told.contains("the menus start different entries by themselves: "), "{told}");
    let line = ["b.iso", "--key", "k.pub", "--default-entry", "copytoram", "-o", "same.iso"];
    let told = folder.run(&line).err;
    assert!(!told.contains("different entries"), "{told}");
}

#[test]
fn an_empty_time_of_the_build_is_called_that() {
    let folder = folder();
    let mut program = folder.program(&["b.iso", "--key", "k.pub", "-o", "new.iso"]);
    let ended = program.env("SOURCE_DATE_EPOCH", "").output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert!(err.contains("SOURCE_DATE_EPOCH is empty") && err.contains("unset it"), "{err}");
}

#[test]
fn flags_of_every_command_may_also_stand_before_it() {
    let folder = folder();
    for (before, is_said) in [
        ("-q", false),
        ("--quiet", false),
        ("-v", true),
        ("--color=never", true),
        ("--color never", true),
    ] {
        let words = before.split(' ').chain(["flash", "c.iso", "--to-file", "new.iso"]);
        let ended = folder.run(&words.collect::<Vec<_>>());
        let is_silent = ended.err.is_empty() && ended.out.is_empty();
        assert_eq!((ended.status, is_silent), (0, !is_said), "{before}: {}", ended.err);
        let listed = before.split(' ').chain(["base", "list", "--cache", "."]);
        folder.run(&listed.collect::<Vec<_>>()).quietly();
    }
}

/// What an image is made of, given to every command that asks for an image.
#[test]
fn a_layout_or_descriptor_in_the_place_of_an_image_is_answered_with_apply() {
    let folder = folder();
    folder.write("users.toml", format!("[[user]]\nname = 'a'\nkey = '{}'\n", key(1)).as_bytes());
    folder.run(&["stamp", "b.iso", "users.toml", "--as", "oci", "-o", "lay"]).quietly();
    folder
        .run(&["stamp", "b.iso", "users.toml", "--as", "patch", "--descriptor", "-o", "pat"])
        .done();
    let descriptor = "pat/a.remaster.descriptor.json";
    for line in [
        "GIVEN --key k.pub -o new",
        "flash GIVEN --to-file new",
        "stamp GIVEN users.toml -o new",
        "netboot GIVEN --key k.pub -o new",
        "inspect GIVEN",
        "verify GIVEN",
        "verify b.iso --against GIVEN",
        "diff b.iso GIVEN",
        "edit --in-place GIVEN --hostname x",
        "reset GIVEN -o new",
        "try GIVEN",
    ] {
        for (given, hint) in [
            ("lay", "`remaster apply lay --name NAME -o FILE` makes an image of it"),
            (descriptor, "`remaster apply pat/a.remaster.descriptor.json -o FILE` makes the image"),
        ] {
            let line = line.replace("GIVEN", given);
            folder.run(&line.split(' ').collect::<Vec<_>>()).refused(2, hint);
        }
    }
    assert!(!folder.at("new").exists());
    // `--any` writes a descriptor as it is. A layout is a folder, which cannot be written.
    folder.run(&["flash", "lay", "--any", "--to-file", "new"]).refused(2, "remaster apply lay");
    folder.run(&["flash", descriptor, "--any", "--to-file", "any"]).done();
    folder.run(&["apply", "lay", "--name", "a", "-o", "of-layout"]).done();
    let with = |patch: &str| folder.run(&["flash", "b.iso", "--patch", patch, "--to-file", "new"]);
    let ended = with(descriptor);
    let hint = "give the patch itself, which stands beside it";
    assert!(ended.status != 0 && ended.err.contains(hint), "{}", ended.err);
    let ended = with("k.pub");
    let told = "hint: give the file that `--as patch` wrote\n";
    assert!(ended.status != 0 && ended.err.contains(told), "{}", ended.err);
}

#[test]
fn words_that_are_files_or_of_another_program_are_left_alone() {
    let folder = Folder::with_base(&TINY);
    folder.write("1", &TINY);
    folder.run(&["inspect", "--json", "1"]).done();
    for line in ["ssh base.iso -q true", "ssh base.iso -- grep -q 1 x", "ssh base.iso grep -q no x"]
    {
        let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
        assert!(!ended.err.contains("takes no value"), "{line}: {}", ended.err);
    }
}
