//! Every flag of every command is acted on, or refused by its name: a table of all of them.
//!
//! [`WAYS`] are the ways in which commands are run. [`ROWS`] are the flags that they act on, and how that is seen; what
//! is in no row is refused with status 2. The names of commands and flags come from `--help`, so a new one fails here
//! until it has a row. Each check must fail if its flag is left out of the command line: then it is known to see.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use remaster::image::digest::Digest;
use remaster::recipe::{OF_COMMANDS, Recipe};
use serde_json::Value;
use ssh_key::LineEnding;

use crate::netboot::kexec;
use crate::support::{Ended, Folder, SD, TINY, key, pair};

/// What a check finds.
type Seen = Result<(), String>;
type Check = fn(&Trial<'_>) -> Seen;

/// A way in which a command is run.
struct Way {
    /// The command as `--help` has it; behind a comma, how it is run.
    name: &'static str,
    /// A command line that works, but for disks and networks.
    words: &'static str,
    /// The word of it that is the image which a SHA-256 is demanded of.
    image: &'static str,
    /// The file with that SHA-256.
    digest: &'static str,
    /// What it makes.
    makes: &'static str,
    /// Whether it needs a disk or a network to be done: what it takes is seen as far as it gets without.
    is_partly: bool,
}

const fn way(name: &'static str, words: &'static str) -> Way {
    Way { name, words, image: "", digest: "", makes: "", is_partly: false }
}

impl Way {
    const fn of(self, image: &'static str, digest: &'static str) -> Self {
        Self { image, digest, ..self }
    }

    const fn makes(self, makes: &'static str) -> Self {
        Self { makes, ..self }
    }

    const fn partly(self) -> Self {
        Self { is_partly: true, ..self }
    }

    /// The command as `--help` has it.
    fn command(&self) -> &str {
        self.name.split(',').next().unwrap()
    }

    fn has(&self, flag: &str) -> bool {
        self.words
            .split(' ')
            .any(|word| word.strip_prefix("--") == Some(flag) || (word, flag) == ("-o", "output"))
    }
}

/// Behind a comma is how a command is run.
const WAYS: [Way; 49] = [
    way("BASE", "base.iso --key key.pub -o out").of("base.iso", "base.iso").makes("out"),
    way("BASE, raw", "sd.img --key key.pub -o out").of("sd.img", "sd.img").makes("out"),
    way("BASE, tar", "kexec.tar --key key.pub -o out").of("kexec.tar", "kexec.tar").makes("out"),
    way("BASE, patch", "base.iso --key key.pub --as patch -o out")
        .of("base.iso", "base.iso")
        .makes("out"),
    way("stamp", "stamp base.iso users.toml --key key.pub -o out")
        .of("base.iso", "base.iso")
        .makes("out/a.iso"),
    way("stamp, patch", "stamp base.iso users.toml --key key.pub --as patch -o out")
        .of("base.iso", "base.iso")
        .makes("out/a.remaster"),
    way("stamp, oci", "stamp base.iso users.toml --key key.pub --as oci -o out")
        .of("base.iso", "base.iso")
        .makes("out/index.json"),
    way("stamp, csv", "stamp base.iso users.csv --key key.pub -o out")
        .of("base.iso", "base.iso")
        .makes("out/a.iso"),
    way("flash", "flash base.iso --key key.pub --to-file out")
        .of("base.iso", "base.iso")
        .makes("out"),
    way("flash, plain", "flash base.iso --to-file out").of("base.iso", "base.iso").makes("out"),
    way("flash, patch", "flash base.iso --patch p.remaster --to-file out")
        .of("base.iso", "base.iso")
        .makes("out"),
    way("flash, disk", "flash base.iso /dev/null").of("base.iso", "base.iso").partly(),
    way("devices", "devices"),
    way("verify", "verify listed.iso").of("listed.iso", "listed.iso"),
    way("verify, stock", "verify base.iso").of("base.iso", "base.iso").partly(),
    way("verify, against", "verify base.iso --against same.iso").of("same.iso", "same.iso"),
    way("inspect", "inspect keyed.iso").of("keyed.iso", "keyed.iso"),
    way("inspect, tar", "inspect kexec.tar").of("kexec.tar", "kexec.tar"),
    way("inspect, folder", "inspect nb").of("nb", ""),
    way("inspect, schema", "inspect --json-schema"),
    way("diff", "diff base.iso keyed.iso").of("base.iso", "base.iso"),
    way("apply", "apply base.iso p.remaster -o out").of("base.iso", "base.iso").makes("out"),
    way("apply, raw", "apply keyed.img raw.remaster -o out")
        .of("keyed.img", "keyed.img")
        .makes("out"),
    way("apply, layout", "apply layout --name a -o out")
        .of("layout", "base.iso")
        .makes("out")
        .partly(),
    way("edit", "edit --in-place copy.iso --key key.pub"),
    way("edit, raw", "edit --in-place copy.img --key key.pub"),
    way("edit, recover", "edit --recover copy.iso"),
    way("reset", "reset keyed.iso -o out").of("keyed.iso", "base.iso").makes("out"),
    way("reset, pipe", "reset keyed.iso -o -").of("keyed.iso", "base.iso").partly(),
    way("reset, file", "reset --in-place copy-keyed.iso").of("copy-keyed.iso", "base.iso"),
    way("reset, disk", "reset --in-place /dev/null").partly(),
    way("format", "format /dev/null").partly(),
    way("recipe check", "recipe check r.toml"),
    way("recipe schema", "recipe schema"),
    way("netboot", "netboot base.iso --key key.pub -o out")
        .of("base.iso", "base.iso")
        .makes("out/initrd"),
    way("netboot, folder", "netboot nb --key key.pub -o out").of("nb", "").makes("out/initrd"),
    way("find", "find --known-hosts known 10.0.0.0/8").partly(),
    way("ssh", "ssh nixos-1 --known-hosts known").partly(),
    way("try", "try base.iso --key key").partly(),
    way("base list", "base list"),
    way("base fetch", "base fetch nixos-25.11-minimal").partly(),
    way("base show", "base show nixos-25.11-minimal").partly(),
    way("base verify", "base verify nixos-25.11-minimal"),
    way("base path", "base path nixos-25.11-minimal"),
    way("base remove", "base remove nixos-25.11-minimal"),
    way("demo", "demo --dir demo"),
    way("completions", "completions bash"),
    way("completions, elvish", "completions elvish"),
    way("man", "man ."),
];

/// Ways that put something in.
const KEYED: &str = "BASE; BASE, raw; BASE, tar; BASE, patch; stamp; stamp, patch; stamp, oci; stamp, csv; flash; flash, plain; edit; edit, raw; netboot; netboot, folder";
/// Those that put it into an ISO, and those that put it into an image.
const ISOS: &str =
    "BASE; BASE, patch; stamp; stamp, patch; stamp, oci; stamp, csv; flash; flash, plain; edit";
/// The same with a key: alone, it says only how something is put in.
const MERGED: &str = "BASE; BASE, patch; stamp; stamp, patch; stamp, oci; stamp, csv; flash; edit";
const RAW: &str = "BASE, raw; edit, raw";
/// Those that put a manifest into it that can be signed.
const INSIDE: &str = "BASE; BASE, patch; stamp; stamp, patch; stamp, oci; stamp, csv; edit";
/// Those of many users.
const STAMPS: &str = "stamp; stamp, patch; stamp, oci; stamp, csv";
/// Ways that take a base, or another image.
const BASED: &str = "BASE; BASE, raw; BASE, tar; BASE, patch; stamp; stamp, patch; stamp, oci; stamp, csv; flash; flash, plain; flash, patch; verify, against; inspect; inspect, tar; diff; apply; apply, raw; netboot";
/// Ways that take a folder, which no SHA-256 can be demanded of.
const FOLDERS: &str = "netboot, folder; inspect, folder";
/// Disks that these flags are about are in tests of their own.
const DISKS: &str = "flash, disk; reset, disk; format";
const FLASHED: &str = "flash; flash, plain; flash, patch";
const RECORDED: &str = "BASE; BASE, raw; stamp; stamp, patch; stamp, csv";

/// Flags of every command, which are seen wherever there is something to say.
const EVERYWHERE: [&str; 3] = ["quiet", "verbose", "color"];

/// Flags, the ways in which they are acted on, and how that is seen.
const ROWS: &[(&str, &[&str], Check)] = &[
    (
        "sha256",
        &[BASED, "apply, layout; verify; verify, stock; reset; reset, pipe; reset, file"],
        demanded,
    ),
    ("sha256-file", &[BASED, "apply, layout; verify; verify, stock"], demanded_by_a_file),
    ("cache-digest", &[BASED, "apply, layout"], remembered),
    ("offline", &[BASED, FOLDERS], kept_offline),
    ("cache", &[BASED, FOLDERS], looked_for_in_the_cache),
    ("cache", &["base list; base show; base verify; base path"], named),
    ("cache", &["base remove"], removed),
    ("cache", &["base fetch"], made_by_a_fetch),
    ("mirror", &["base fetch"], named),
    ("ca-file", &["base fetch"], named),
    ("timeout", &["base fetch"], told_to_servers),
    ("key", &[KEYED], told_in_notes),
    ("host-key", &[KEYED], written_to_known_hosts),
    ("known-hosts", &[KEYED], known_hosts_are_written),
    ("hostname", &[KEYED], made_different),
    ("recipe", &[KEYED], made_different),
    ("no-key", &[KEYED], let_a_key_go),
    ("timeout", &[ISOS, RAW], made_different),
    ("label", &[ISOS], made_different),
    ("merge-initrd", &[MERGED], made_different),
    ("merge-initrd", &["flash, plain"], refused_alone),
    ("manifest-digests", &[INSIDE, RAW], made_different),
    ("sign", &[INSIDE, RAW], made_different),
    ("manifest", &[RECORDED], made_beside),
    ("provenance", &[RECORDED], made_beside),
    ("sbom", &[RECORDED], made_beside),
    ("failures", &[STAMPS], made_beside),
    ("descriptor", &["stamp, patch"], made_beside),
    ("base-url", &["stamp, patch"], told_in_descriptors),
    ("builder-id", &[RECORDED], told_in_provenance),
    ("build-type", &[RECORDED], told_in_provenance),
    ("as", &["BASE; BASE, raw; stamp; stamp, csv"], made_different),
    ("dry-run", &["BASE; BASE, raw; BASE, tar; BASE, patch", "edit; edit, raw"], only_told),
    (
        "no-sync",
        &[
            "BASE; BASE, raw; BASE, tar; BASE, patch",
            "apply; apply, raw; apply, layout",
            "stamp; stamp, patch; stamp, csv",
            "reset; netboot; netboot, folder",
        ],
        not_waited_for,
    ),
    ("no-sync", &["stamp, oci"], refused_for_a_layout),
    (
        "force",
        &[
            "BASE; BASE, raw; BASE, tar; BASE, patch",
            STAMPS,
            "apply; apply, raw; apply, layout; reset; netboot; netboot, folder",
        ],
        replaced,
    ),
    ("force", &["flash; flash, plain; flash, patch; format"], put_over_files),
    (
        "quiet",
        &[
            KEYED,
            "flash, patch; apply; apply, raw; apply, layout; edit, recover; reset; reset, pipe; reset, file; verify; verify, against",
        ],
        silenced,
    ),
    ("verbose", &["BASE"], says_more),
    ("color", &[KEYED], coloured),
    (
        "json",
        &[
            STAMPS,
            FLASHED,
            "devices; verify; verify, stock; verify, against; inspect; diff; reset; reset, file; base list",
        ],
        told_in_json,
    ),
    ("all", &["devices"], told_to_disks),
    ("json", &["base show"], told_to_servers),
    ("json", &["find"], told_on_a_network),
    ("known-hosts", &["ssh"], told_on_a_network),
    ("network", &["ssh"], told_on_a_network),
    ("port", &["find; ssh"], told_on_a_network),
    ("ssh-config", &["find"], told_on_a_network),
    ("timeout", &["find; ssh"], told_on_a_network),
    ("user", &["ssh"], told_on_a_network),
    ("wait", &["find"], told_on_a_network),
    ("entry", &["try"], told_of_a_machine),
    ("firmware", &["try"], told_of_a_machine),
    ("json", &["try"], told_of_a_machine),
    ("key", &["try"], told_of_a_machine),
    ("medium", &["try"], told_of_a_machine),
    ("memory", &["try"], told_of_a_machine),
    ("no-kvm", &["try"], told_of_a_machine),
    ("screenshot", &["try"], told_of_a_machine),
    ("serial", &["try"], told_of_a_machine),
    ("timeout", &["try"], told_of_a_machine),
    ("user", &["try"], told_of_a_machine),
    ("resume", &[STAMPS], gone_on_with),
    ("skip-existing", &[STAMPS], gone_on_with),
    ("no-image-sha256", &["stamp; stamp, csv"], left_out_of_json),
    ("format", &[STAMPS], read_otherwise),
    ("list-separator", &["stamp, csv"], read_otherwise),
    ("jobs", &[STAMPS], read_otherwise),
    ("shard", &[STAMPS], made_different),
    ("name-template", &[STAMPS], made_different),
    ("fail-fast", &[STAMPS], stopped_at_a_fault),
    ("manifest", &["verify; verify, stock"], compared_with),
    ("allowed-signers", &["verify"], made_different),
    ("against", &["verify"], made_different),
    ("any", &["flash, plain; verify, against"], taken_as_it_is),
    ("kargs", &["inspect"], made_different),
    ("all", &["inspect; diff"], made_different),
    ("json-schema", &["inspect, schema"], in_its_words),
    ("dir", &["demo"], in_its_words),
    ("output", &["BASE; stamp; apply; reset; netboot"], in_its_words),
    ("in-place", &["edit; reset, file"], in_its_words),
    ("recover", &["edit, recover"], in_its_words),
    ("replace", &["edit; edit, raw"], put_over_or_out),
    ("remove-key", &["edit; edit, raw"], put_over_or_out),
    ("name", &["apply, layout"], in_its_words),
    ("to-file", &["flash"], in_its_words),
    ("to-file", &["format"], told_to_disks),
    ("label", &["format"], told_to_disks),
    ("json", &["format"], told_to_disks),
    ("known-hosts", &["find"], in_its_words),
    ("patch", &["flash, plain"], made_different),
    ("verify", &[FLASHED], read_back_in_part),
    ("no-verify", &[FLASHED], not_read_back),
    ("delta", &[FLASHED], only_differences),
    ("no-delta", &[FLASHED], everything_again),
    ("yes", &[DISKS], told_to_disks),
    ("expect-size", &[DISKS], told_to_disks),
    ("allow-fixed", &[DISKS], told_to_disks),
    ("exact", &["flash, disk; reset, disk"], told_to_disks),
    ("expect-serial", &[DISKS], told_to_disks),
    ("unmount", &[DISKS], told_to_disks),
    ("no-eject", &[DISKS], told_to_disks),
    ("probe", &["flash, disk"], told_to_disks),
    ("no-probe", &["flash, disk"], told_to_disks),
];

/// What a flag is given.
fn sample(flag: &str) -> &'static str {
    match flag {
        "sha256" => ZEROS,
        "cache" => "mine",
        "mirror" => "http://127.0.0.1:1/there",
        "ca-file" => "none.pem",
        "key" => "from.pub",
        "host-key" | "sign" => "host",
        "recipe" | "sha256-file" => "r.toml",
        "hostname" => "box",
        "timeout" | "jobs" => "7",
        "label" => "other",
        "as" => "patch",
        "manifest" | "provenance" | "sbom" | "failures" => "new.json",
        "format" => "jsonl",
        "list-separator" => "e",
        "shard" => "2/2",
        "name-template" => "x-{name}",
        "allowed-signers" => "signers",
        "against" => "listed.iso",
        "patch" => "p.remaster",
        "expect-size" => "16GB",
        "port" => "22",
        "color" => "always",
        _ => "x",
    }
}

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A flag in a way.
struct Trial<'a> {
    way: &'a Way,
    flag: &'a str,
    takes_value: bool,
    /// Whether the flag is left out of every command line: what a check must see.
    is_blind: bool,
}

impl<'a> Trial<'a> {
    /// A folder with everything that command lines name.
    fn start(&'a self) -> Run<'a> {
        let words = self.way.words.split(' ').map(str::to_owned).collect();
        Run { trial: self, folder: inputs(), words }
    }

    /// The flag as it is typed.
    fn words(&self) -> Vec<String> {
        self.words_with(sample(self.flag))
    }

    fn words_with(&self, value: &str) -> Vec<String> {
        let flag = self.flag;
        match (self.takes_value, flag) {
            (false, "verify") => vec!["--verify=quick".into()],
            (true, _) => vec![format!("--{flag}"), value.to_owned()],
            (false, _) => vec![format!("--{flag}")],
        }
    }
}

/// Says how it ended, if that is not right.
fn sees(is_right: bool, ended: &Ended) -> Seen {
    let said = String::from_utf8_lossy(&ended.out);
    if is_right { Ok(()) } else { Err(format!("status {}\n{said}\n{}", ended.status, ended.err)) }
}

/// A command line and the folder that it is run in.
struct Run<'a> {
    trial: &'a Trial<'a>,
    folder: Folder,
    words: Vec<String>,
}

impl Run<'_> {
    /// With another word instead of one.
    fn with(mut self, old: &str, new: &str) -> Self {
        for word in self.words.iter_mut().filter(|word| *word == old) {
            new.clone_into(word);
        }
        self
    }

    /// Without a word and the one behind it.
    fn without(mut self, word: &str) -> Self {
        if let Some(at) = self.words.iter().position(|found| found == word) {
            self.words.drain(at..at + 2);
        }
        self
    }

    /// Runs it with the flag.
    fn flagged(&self, more: &[&str]) -> Ended {
        self.valued(sample(self.trial.flag), more)
    }

    /// The same with this value of the flag.
    fn valued(&self, value: &str, more: &[&str]) -> Ended {
        let words = self.trial.words_with(value);
        let flag: Vec<&str> =
            words.iter().map(String::as_str).filter(|_| !self.trial.is_blind).collect();
        self.plain(&[more, &flag].concat())
    }

    /// Runs it without the flag.
    fn plain(&self, more: &[&str]) -> Ended {
        let words: Vec<&str> =
            self.words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut program = self.folder.program(&words);
        program.env("XDG_CACHE_HOME", self.folder.at("cache"));
        // Nobody listens there.
        program.env("REMASTER_MIRROR", "http://127.0.0.1:1");
        Ended::from(program.output().unwrap())
    }

    /// All files, by name.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        files_below(self.folder.path(), &mut found);
        found
    }
}

fn files_below(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
}

/// What every folder is a copy of.
static INPUTS: LazyLock<Folder> = LazyLock::new(made_inputs);

fn made_inputs() -> Folder {
    let folder = Folder::with_base(&TINY);
    let (one, host) = (key(1), pair(7));
    folder.write("same.iso", &TINY);
    folder.write("sd.img", &SD);
    folder.write("key.pub", one.as_bytes());
    folder.write("from.pub", format!("from=\"10.0.0.0/8\" {}\n", key(2)).as_bytes());
    folder.write("host", host.to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("signers", format!("me {}\n", host.public_key().to_openssh().unwrap()).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'a'\n[[user]]\nname = 'b'\n");
    folder.write("users.csv", b"name,key\na,key.pub\nb,\n");
    folder.write("bad.toml", b"[[user]]\nname = 'x'\nkey = 'none.pub'\n[[user]]\nname = 'y'\n");
    folder.write("r.toml", b"hostname = 'recipe'\n");
    folder.write("known", format!("nixos-1 {one}\n").as_bytes());
    fs::create_dir(folder.at("mine")).unwrap();
    folder.write("mine/nixos-25.11-minimal.json", b"{}");
    let run = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        folder.run(&words).done();
    };
    run("base.iso --key key.pub -q -o keyed.iso");
    run("sd.img --key key.pub -q -o keyed.img");
    run("base.iso --key key.pub --manifest-digests --sign host --manifest m.json -q -o listed.iso");
    run("base.iso --key key.pub --hostname other --manifest record.json -q -o other.iso");
    run("base.iso --key key.pub --as patch -q -o p.remaster");
    run("sd.img --key key.pub --as patch -q -o raw.remaster");
    run("stamp base.iso users.toml --key key.pub --as oci -q -o layout");
    run("netboot base.iso -q -o nb");
    run("netboot base.iso --key key.pub -q -o nb-keyed");
    folder.write("kexec.tar", &kexec(&folder.read("nb/initrd")));
    run("kexec.tar --key key.pub -q -o keyed.tar");
    fs::remove_file(folder.at("other.iso")).unwrap();
    for (copy, of) in COPIES {
        fs::copy(folder.at(of), folder.at(copy)).unwrap();
    }
    folder
}

/// Files that are changed in place.
const COPIES: [(&str, &str); 4] = [
    ("copy.iso", "base.iso"),
    ("copy.img", "sd.img"),
    ("copy-keyed.iso", "keyed.iso"),
    ("copy-keyed.img", "keyed.img"),
];

fn inputs() -> Folder {
    let folder = Folder::new();
    let mut all = BTreeMap::new();
    files_below(INPUTS.path(), &mut all);
    for path in all.keys() {
        let name = path.strip_prefix(INPUTS.path()).unwrap();
        let to = folder.path().join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        if name.to_string_lossy().starts_with("copy") {
            fs::copy(path, to).unwrap();
        } else {
            fs::hard_link(path, to).unwrap();
        }
    }
    folder
}

/// The images with a key in them.
fn keyed(image: &str) -> &'static str {
    match image {
        "base.iso" => "keyed.iso",
        "sd.img" => "keyed.img",
        "kexec.tar" => "keyed.tar",
        "nb" => "nb-keyed",
        "copy.iso" => "copy-keyed.iso",
        _ => "copy-keyed.img",
    }
}

fn demanded(t: &Trial<'_>) -> Seen {
    let wrong = t.start().flagged(&[]);
    sees(wrong.status == 3 && wrong.err.contains(ZEROS), &wrong)?;
    let run = t.start();
    let digest = Digest::of_bytes(&run.folder.read(t.way.digest)).to_string();
    let right = run.valued(&digest, &[]);
    sees(is_done(t, &right), &right)
}

fn demanded_by_a_file(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let garbage = run.flagged(&[]);
    sees(garbage.status == 2 && garbage.err.contains("no SHA-256 in it"), &garbage)?;
    run.folder.write("zeros", ZEROS.as_bytes());
    let wrong = run.valued("zeros", &[]);
    sees(wrong.status == 3 && wrong.err.contains(ZEROS), &wrong)?;
    let digest = Digest::of_bytes(&run.folder.read(t.way.digest)).to_string();
    run.folder.write("sums", digest.as_bytes());
    let right = run.valued("sums", &[]);
    sees(is_done(t, &right), &right)
}

fn remembered(t: &Trial<'_>) -> Seen {
    let run = t.start();
    // The folders of other trials share the files, and each link that goes changes their status.
    for (path, bytes) in run.files() {
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let digest = Digest::of_bytes(&run.folder.read(t.way.digest)).to_string();
    let alone = run.flagged(&[]);
    sees(alone.status == 2 && alone.err.contains("--sha256"), &alone)?;
    let ended = run.flagged(&["--sha256", &digest]);
    sees(is_done(t, &ended) && run.folder.at("cache/remaster/digests").exists(), &ended)
}

const NAME: &str = "nixos-25.11-minimal";

fn kept_offline(t: &Trial<'_>) -> Seen {
    let ended = t.start().with(t.way.image, NAME).flagged(&[]);
    sees(ended.status == 2 && ended.err.contains("--offline forbids"), &ended)
}

fn looked_for_in_the_cache(t: &Trial<'_>) -> Seen {
    let ended = t.start().with(t.way.image, NAME).flagged(&["--offline"]);
    sees(ended.err.contains("mine"), &ended)
}

/// What is given is named in what is said.
fn named(t: &Trial<'_>) -> Seen {
    let ended = t.start().flagged(&[]);
    let said = format!("{}{}", String::from_utf8_lossy(&ended.out), ended.err);
    sees(said.contains(sample(t.flag)), &ended)
}

fn removed(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let ended = run.flagged(&[]);
    sees(ended.status == 0 && !run.folder.at("mine/nixos-25.11-minimal.json").exists(), &ended)
}

fn made_by_a_fetch(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let ended = run.valued("new", &[]);
    sees(run.folder.at("new").exists(), &ended)
}

fn told_in_notes(t: &Trial<'_>) -> Seen {
    let ended = t.start().flagged(&[]);
    sees(ended.status == 0 && ended.err.contains("from.pub line 1: options kept"), &ended)?;
    if t.way.command() == "flash" {
        let ended = t.start().flagged(&["--json"]);
        return sees(ended.text().contains("from.pub line 1: options kept"), &ended);
    }
    Ok(())
}

fn holds_host_key(run: &Run<'_>) -> bool {
    let host = pair(7).public_key().to_openssh().unwrap();
    let known = fs::read_to_string(run.folder.at("k")).unwrap_or_default();
    known.split_once(' ').is_some_and(|(_, key)| host.starts_with(key.lines().next().unwrap()))
}

fn written_to_known_hosts(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let ended = run.flagged(&["--known-hosts", "k"]);
    sees(ended.status == 0 && holds_host_key(&run), &ended)
}

fn known_hosts_are_written(t: &Trial<'_>) -> Seen {
    let none = t.start().valued("k", &[]);
    sees(none.status == 2 && none.err.contains("--known-hosts without a host key"), &none)?;
    let run = t.start();
    let ended = run.valued("k", &["--host-key", "host"]);
    sees(ended.status == 0 && holds_host_key(&run), &ended)
}

fn told_in_provenance(t: &Trial<'_>) -> Seen {
    let wanted: &[&str] =
        if t.way.command() == "stamp" { &["--provenance"] } else { &["--provenance", "new.json"] };
    let run = t.start();
    let ended = run.valued("urn:example:bench", wanted);
    let told = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("\"urn:example:bench\"");
    sees(ended.status == 0 && run.files().values().any(told), &ended)?;
    let refused = t.start().valued("bench", wanted);
    sees(refused.status == 2 && refused.err.contains("a URI starts with a scheme"), &refused)
}

fn told_in_descriptors(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let ended = run.valued("https://example.org/b.iso", &["--descriptor"]);
    let told = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("//example.org/b.iso");
    sees(ended.status == 0 && run.files().values().any(told), &ended)
}

/// The file is there, and it is said that nobody waited for the disk; there is nothing to wait for in a pipe.
fn not_waited_for(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let ended = run.flagged(&[]);
    let is_made = run.folder.at("out").exists();
    sees(ended.status == 0 && is_made && ended.err.contains("not on the disk yet"), &ended)
}

/// An index names what must be there.
fn refused_for_a_layout(t: &Trial<'_>) -> Seen {
    let ended = t.start().flagged(&[]);
    sees(ended.status == 2 && ended.err.contains("names only what is on the disk"), &ended)
}

fn refused_alone(t: &Trial<'_>) -> Seen {
    let ended = t.start().flagged(&[]);
    sees(ended.status == 2 && ended.err.contains("nothing to put in"), &ended)
}

/// What is made, or what is printed, is another thing than without the flag.
/// Whether a command did what it is for; `diff` ends with 1 where something differs.
fn is_done(t: &Trial<'_>, ended: &Ended) -> bool {
    ended.status == i32::from(t.way.command() == "diff")
}

fn made_different(t: &Trial<'_>) -> Seen {
    let (one, other) = (t.start(), t.start());
    let (flagged, plain) = (one.flagged(&[]), other.plain(&[]));
    let relative = |run: &Run<'_>| -> Vec<(PathBuf, Vec<u8>)> {
        let folder = run.folder.path();
        let files = run.files().into_iter();
        files.map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes)).collect()
    };
    sees(is_done(t, &flagged), &flagged)?;
    // How long it took is said as well.
    let said_otherwise = t.way.command() != "flash" && flagged.out != plain.out;
    sees(said_otherwise || relative(&one) != relative(&other), &flagged)
}

fn let_a_key_go(t: &Trial<'_>) -> Seen {
    let image = t.way.words.split(' ').find(|word| {
        ["base.iso", "sd.img", "kexec.tar", "nb", "copy.iso", "copy.img"].contains(word)
    });
    let image = image.unwrap();
    let run = t.start().with(image, keyed(image)).with("users.csv", "users.toml").without("--key");
    // An edit keeps what was put in before.
    let kept = t.way.words.starts_with("edit");
    let more = if kept { &["--hostname", "x", "--replace"][..] } else { &["--hostname", "x"] };
    let ended = run.plain(more);
    sees(ended.status != 0 && ended.err.contains("no other key is put in"), &ended)?;
    let ended = run.flagged(more);
    sees(ended.status == 0, &ended)
}

/// A file more than without the flag.
fn made_beside(t: &Trial<'_>) -> Seen {
    let (one, other) = (t.start(), t.start());
    let ended = one.flagged(&[]);
    other.plain(&[]);
    sees(ended.status == 0 && one.files().len() > other.files().len(), &ended)
}

fn only_told(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let before = run.files();
    let ended = run.flagged(&[]);
    let said = String::from_utf8_lossy(&ended.out).contains("would ");
    sees(ended.status == 0 && said && run.files() == before, &ended)
}

fn replaced(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let first = run.plain(&[]);
    sees(first.status == 0 && run.folder.at(t.way.makes).exists(), &first)?;
    let second = run.plain(&[]);
    sees([2, 11].contains(&second.status) && second.err.contains("already"), &second)?;
    let ended = run.flagged(&[]);
    sees(ended.status == 0, &ended)
}

/// What is said beside what is made, and nothing else is missing.
fn silenced(t: &Trial<'_>) -> Seen {
    let (quiet, plain) = (t.start().flagged(&[]), t.start().plain(&[]));
    sees(quiet.status == 0 && quiet.err.is_empty(), &quiet)?;
    let said = plain.err.len() + plain.out.len();
    sees(said > quiet.out.len(), &plain)
}

fn says_more(t: &Trial<'_>) -> Seen {
    let (more, plain) = (t.start().flagged(&[]), t.start().plain(&[]));
    sees(more.status == 0 && more.err.len() > plain.err.len(), &more)
}

fn coloured(t: &Trial<'_>) -> Seen {
    let ended = t.start().flagged(&["--key", "from.pub"]);
    sees(ended.status == 0 && ended.err.contains("\u{1b}["), &ended)
}

/// Whether the output is JSON from its first to its last byte.
fn is_json(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut one = || values.next().map(|value| value.is_ok_and(|value| !value.is_string()));
    let mut all = std::iter::from_fn(&mut one).peekable();
    all.peek().is_some() && all.all(|is| is)
}

fn told_in_json(t: &Trial<'_>) -> Seen {
    let ended = t.start().flagged(&[]);
    sees(is_json(ended.text()), &ended)
}

fn gone_on_with(t: &Trial<'_>) -> Seen {
    let run = t.start();
    let first = run.plain(&[]);
    sees(first.status == 0, &first)?;
    let ended = run.flagged(&[]);
    sees(ended.status == 0 && ended.err.contains("0 made, 2 kept"), &ended)
}

fn left_out_of_json(t: &Trial<'_>) -> Seen {
    let ended = t.start().flagged(&["--json"]);
    sees(ended.text().contains("\"sha256\":null"), &ended)
}

/// Taken as the flag says, what is given is wrong.
fn read_otherwise(t: &Trial<'_>) -> Seen {
    let ended = t.start().valued(if t.flag == "jobs" { "0" } else { sample(t.flag) }, &[]);
    sees(ended.status != 0, &ended)
}

fn stopped_at_a_fault(t: &Trial<'_>) -> Seen {
    let run = t.start().with("users.toml", "bad.toml").with("users.csv", "bad.toml");
    let ended = run.flagged(&["--jobs", "1"]);
    sees(ended.status != 0 && ended.err.contains("0 made, 0 kept, 1 failed"), &ended)
}

fn compared_with(t: &Trial<'_>) -> Seen {
    let ended = t.start().valued("record.json", &[]);
    sees(ended.status == 3, &ended)
}

fn taken_as_it_is(t: &Trial<'_>) -> Seen {
    let run = t.start().with(t.way.image, "r.toml");
    // What is refused writes no file that the other would have to keep.
    let plain = run.plain(&[]);
    let ended = run.flagged(&[]);
    sees(ended.status != 4 && plain.status == 4, &ended)
}

/// A field of the last event about the target.
fn result(ended: &Ended, field: &str) -> Value {
    let last = ended.text().lines().last().unwrap_or("null");
    serde_json::from_str::<Value>(last).unwrap()[field].clone()
}

fn read_back_in_part(t: &Trial<'_>) -> Seen {
    let (one, other) = (t.start(), t.start());
    // There must be something behind what was put in.
    for Run { folder, .. } in [&one, &other] {
        fs::remove_file(folder.at("base.iso")).unwrap();
        folder.write("base.iso", &SD);
        let patch = ["base.iso", "--key", "key.pub", "--as", "patch", "-f", "-o", "p.remaster"];
        folder.run(&patch).done();
    }
    let (quick, full) = (one.flagged(&["--json"]), other.plain(&["--json"]));
    let compared = |ended: &Ended| result(ended, "compared").as_u64();
    sees(quick.status == 0 && compared(&quick) < compared(&full), &quick)
}

fn not_read_back(t: &Trial<'_>) -> Seen {
    let ended = t.start().flagged(&["--json"]);
    sees(result(&ended, "verified") == false, &ended)
}

fn only_differences(t: &Trial<'_>) -> Seen {
    let run = t.start();
    run.folder.write("out", &[TINY.clone(), vec![7; TINY.len()]].concat());
    let ended = run.flagged(&["--json"]);
    sees(result(&ended, "delta") == true, &ended)
}

fn everything_again(t: &Trial<'_>) -> Seen {
    let run = t.start();
    run.plain(&[]);
    let ended = run.flagged(&["--json"]);
    sees(result(&ended, "delta") == false, &ended)
}

/// The flag is in a test that has what this one has not.
fn elsewhere(t: &Trial<'_>, tests: &[&str]) -> Seen {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let flag = format!("--{}", t.flag);
    let has = |test: &&str| {
        let text = fs::read_to_string(folder.join(test)).unwrap();
        text.split([' ', '"', '\'', '\n', ')']).any(|word| word == flag)
    };
    let found = !t.is_blind && tests.iter().any(has);
    if found { Ok(()) } else { Err(format!("{flag} is in none of {tests:?}")) }
}

fn told_to_disks(t: &Trial<'_>) -> Seen {
    elsewhere(t, &["flash/loop", "flash/guest-init", "in-place.py"])
}

fn put_over_files(t: &Trial<'_>) -> Seen {
    elsewhere(t, &["suite/outputs.rs"])
}

fn put_over_or_out(t: &Trial<'_>) -> Seen {
    elsewhere(t, &["suite/adds.rs"])
}

fn told_to_servers(t: &Trial<'_>) -> Seen {
    elsewhere(t, &["fetch/run.py"])
}

fn told_on_a_network(t: &Trial<'_>) -> Seen {
    elsewhere(t, &["find/run"])
}

fn told_of_a_machine(t: &Trial<'_>) -> Seen {
    elsewhere(t, &["e2e/try_image.py"])
}

/// The way is the way by this flag.
fn in_its_words(t: &Trial<'_>) -> Seen {
    if t.way.has(t.flag) && !t.is_blind { Ok(()) } else { Err(t.way.words.to_owned()) }
}

/// The flags that `--help` lists, and whether they take a value.
type Flags = BTreeMap<String, bool>;

pub(crate) fn help(command: &str) -> String {
    let words = command.split(' ').filter(|word| !["BASE", ""].contains(word));
    Folder::new().run(&words.chain(["--help"]).collect::<Vec<_>>()).done()
}

/// The commands below one, as `--help` lists them.
fn below(command: &str) -> Vec<String> {
    let help = help(command);
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let listed = listed.split("\n\n").next().unwrap().lines();
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(|name| format!("{command} {name}").trim().to_owned())
        .collect()
}

/// All commands that do something.
pub(crate) fn commands() -> BTreeSet<String> {
    let mut all = BTreeSet::from(["BASE".to_owned()]);
    for command in below("") {
        let more = below(&command);
        if more.is_empty() {
            all.insert(command);
        } else {
            all.extend(more);
        }
    }
    all
}

fn flags_of(command: &str) -> Flags {
    let mut found = Flags::new();
    for line in help(command).lines() {
        let flag = line.trim_start();
        let short = flag.get(..4).filter(|short| short.starts_with('-') && short.ends_with(", "));
        let flag = flag.strip_prefix(short.unwrap_or_default()).unwrap();
        let Some(name) = flag.strip_prefix("--").filter(|_| line.len() - flag.len() <= 6) else {
            continue;
        };
        let name = name.split([' ', '[', '=']).next().unwrap();
        found.insert(name.to_owned(), flag.contains('<') && !flag.contains("[="));
    }
    found.retain(|name, _| name != "help" && name != "version");
    found
}

/// What a command takes from recipes, which is the same for all that do, as far as no row tells of it.
fn is_of_recipes(command: &str, flag: &str) -> bool {
    let takes_recipes = GRAMMAR[command].contains_key("recipe");
    let is_told = rows().any(|(way, name, _)| way.command() == command && name == flag);
    let is_named = flag == "root-file" || Recipe::names().iter().any(|name| name == flag);
    takes_recipes && !is_told && is_named
}

/// Of each command, its flags.
static GRAMMAR: LazyLock<BTreeMap<String, Flags>> = LazyLock::new(|| {
    let all = commands().into_iter();
    all.map(|command| {
        let flags = flags_of(&command);
        (command, flags)
    })
    .collect()
});

/// The ways of a row.
fn ways(row: &'static [&'static str]) -> impl Iterator<Item = &'static Way> {
    row.iter().flat_map(|list| list.split("; ")).map(|name| {
        WAYS.iter().find(|way| way.name == name).unwrap_or_else(|| panic!("no way {name:?}"))
    })
}

fn trial<'a>(way: &'a Way, flag: &'a str) -> Trial<'a> {
    let takes_value = GRAMMAR[way.command()].get(flag).copied().unwrap_or_default();
    Trial { way, flag, takes_value, is_blind: false }
}

/// All rows: a way, a flag, a check.
fn rows() -> impl Iterator<Item = (&'static Way, &'static str, Check)> {
    ROWS.iter().flat_map(|(flag, row, check)| ways(row).map(move |way| (way, *flag, *check)))
}

#[test]
fn every_command_and_flag_has_a_row() {
    let known: BTreeSet<String> = WAYS.iter().map(|way| way.command().to_owned()).collect();
    assert_eq!(known, commands());
    for (command, flags) in &*GRAMMAR {
        let listed: BTreeSet<&str> =
            flags.keys().map(String::as_str).filter(|flag| !is_of_recipes(command, flag)).collect();
        let of_command = rows().filter(|(way, ..)| way.command() == command);
        let in_rows = of_command.map(|(_, flag, _)| flag).chain(EVERYWHERE);
        let in_rows: BTreeSet<&str> = in_rows.collect();
        assert_eq!(listed, in_rows, "{command}: `--help` on the left, rows on the right");
    }
}

#[test]
fn flags_of_recipes_are_taken_together() {
    // `name` and `file` are names of other flags, too.
    let all: BTreeSet<String> = Recipe::names().into_iter().collect();
    let all: BTreeSet<String> = all
        .into_iter()
        .filter(|name| !["name", "file"].contains(&name.as_str()))
        .filter(|name| !ROWS.iter().any(|(flag, ..)| flag == name))
        .collect();
    assert!(all.len() > 20, "{all:?}");
    for (command, flags) in &*GRAMMAR {
        let has: BTreeSet<&String> = all.iter().filter(|name| flags.contains_key(*name)).collect();
        assert!(has.is_empty() || has.len() == all.len(), "{command}: {has:?}");
        assert_eq!(!has.is_empty(), flags.contains_key("recipe"), "{command}");
    }
}

/// Flags of the command that makes an image, that no recipe has: what the base is, what is told beside the image or on the
/// terminal, and where it goes. Nothing of them changes a byte of the image.
const NO_KEYS: &[&str] = &[
    "offline",
    "cache",
    "sha256",
    "sha256-file",
    "cache-digest",
    "recipe",
    "no-key",
    "known-hosts",
    "output",
    "as",
    "force",
    "no-sync",
    "dry-run",
    "manifest",
    "provenance",
    "sbom",
    "builder-id",
    "build-type",
    "quiet",
    "verbose",
    "color",
    "help",
    "version",
];

#[test]
fn every_flag_that_changes_the_image_is_a_key_of_recipes() {
    let folder = Folder::new();
    let schema: Value = serde_json::from_str(&folder.run(&["recipe", "schema"]).done()).unwrap();
    let keys: BTreeSet<String> =
        schema["properties"].as_object().unwrap().keys().cloned().collect();
    let others: BTreeSet<String> =
        flags_of("BASE").into_keys().filter(|flag| !keys.contains(flag)).collect();
    let known: BTreeSet<String> = NO_KEYS.iter().map(ToString::to_string).collect();
    let unknown: Vec<_> = others.difference(&known).collect();
    assert!(unknown.is_empty(), "neither a key of recipes nor known as none: {unknown:?}");
}

#[test]
fn the_error_for_a_flag_in_a_recipe_says_where_to_give_it() {
    let folder = Folder::new();
    for flag in OF_COMMANDS {
        assert!(NO_KEYS.contains(&flag), "{flag}");
        folder.write("r.toml", format!("{flag} = 'x'\n").as_bytes());
        let hint = format!("hint: give --{flag} to the command");
        folder.run(&["recipe", "check", "r.toml"]).refused(2, &hint);
    }
}

#[test]
fn a_key_that_is_a_flag_of_the_command_line_is_called_that() {
    let folder = Folder::new();
    let keys: BTreeSet<String> = Recipe::keys().into_iter().collect();
    let of_other_tables = ["file", "name", "user", "users", "root-file"];
    let flags: BTreeSet<&String> = GRAMMAR.values().flat_map(BTreeMap::keys).collect();
    let is_other = |flag: &&&String| {
        !keys.contains(**flag) && !of_other_tables.contains(&flag.as_str()) && flag.len() > 1
    };
    folder.write("b.iso", &TINY);
    for flag in flags.iter().filter(is_other) {
        for (name, text, line) in [
            ("r.toml", format!("{flag} = 'x'\n"), "recipe check r.toml"),
            ("u.toml", format!("[[user]]\nname = 'a'\n{flag} = 'x'\n"), "stamp b.iso u.toml -o x"),
        ] {
            folder.write(name, text.as_bytes());
            let ended = folder.run(&line.split(' ').collect::<Vec<_>>());
            let hint = format!("give --{flag} to the command");
            assert!(ended.err.contains(&hint), "{line}: {text}: {}", ended.err);
        }
    }
    folder.write("r.toml", b"root-file = 'a:/b'\n");
    folder.run(&["recipe", "check", "r.toml"]).refused(2, "did you mean `file`?");
}

/// A flag that another command has is called that, also where the command has one with a similar name.
#[test]
fn a_flag_of_another_command_is_called_that() {
    let (folder, mut wrong) = (Folder::new(), Vec::new());
    for (command, flags) in &*GRAMMAR {
        let others: BTreeMap<&String, &String> = GRAMMAR
            .iter()
            .flat_map(|(other, flags)| flags.keys().map(move |flag| (flag, other)))
            .filter(|(flag, _)| !flags.contains_key(*flag))
            .collect();
        for (flag, other) in others {
            if ELSEWHERE.iter().any(|(of, known)| known == flag && command.starts_with(of)) {
                continue;
            }
            let mut words: Vec<&str> = command.split(' ').filter(|word| *word != "BASE").collect();
            let typed = format!("--{flag}");
            words.push(&typed);
            let told = format!("`remaster {other}`");
            let ended = folder.run(&words);
            let is_told = ended.err.contains("it is a flag of ") && ended.err.contains(&told);
            wrong.extend((!is_told).then(|| format!("{command} --{flag}: {}", ended.err)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Flags of other commands that are answered with what does the same, and how the names of the commands begin.
const ELSEWHERE: &[(&str, &str)] = &[
    ("", "user"),
    ("edit", "output"),
    ("find", "host-key"),
    ("flash", "dry-run"),
    ("flash", "file"),
    ("flash", "output"),
    ("format", "dry-run"),
    ("stamp", "dry-run"),
    ("ssh", "key"),
];

#[test]
fn flags_have_the_same_letters_everywhere() {
    for command in GRAMMAR.keys() {
        let help = help(command);
        for (letter, name) in [
            ("f", "force"),
            ("n", "dry-run"),
            ("q", "quiet"),
            ("o", "output"),
            ("y", "yes"),
            ("j", "jobs"),
        ] {
            let (flag, both) = (format!("--{name}\n"), format!("-{letter}, --{name}"));
            assert!(
                !format!("{help}\n").contains(&flag) || help.contains(&both),
                "{command}: {both}"
            );
            let taken = help.matches(&format!("  -{letter}, --")).count();
            assert_eq!(taken, help.matches(&both).count(), "{command}: -{letter}");
        }
    }
}

/// What checks say of all of these, some at a time.
fn faults<T: Copy + Send + Sync>(
    all: impl Iterator<Item = T>,
    check: impl Fn(T) -> Option<String> + Sync,
) -> Vec<String> {
    const WORKERS: usize = 4;
    let all: Vec<T> = all.collect();
    let check = &check;
    LazyLock::force(&INPUTS);
    LazyLock::force(&GRAMMAR);
    std::thread::scope(|scope| {
        let work = |part: &[T]| part.iter().filter_map(|one| check(*one)).collect::<Vec<_>>();
        let parts = all.chunks(all.len().div_ceil(WORKERS).max(1));
        let workers: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn every_flag_is_acted_on() {
    let all = rows();
    let faults = faults(all, |(way, flag, check)| {
        let fault = check(&trial(way, flag)).err()?;
        Some(format!("{}: --{flag}: {fault}", way.name))
    });
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Whatever else a command takes.
#[test]
fn a_sha256_of_a_folder_is_refused_by_every_command() {
    let ways = WAYS.iter().filter(|way| GRAMMAR[way.command()].contains_key("sha256"));
    let faults = faults(ways.filter(|way| !way.image.is_empty()), |way| {
        let digests: &[(&str, &str)] = &[("sha256", ZEROS), ("sha256-file", "zeros")];
        let has = |flag: &str| GRAMMAR[way.command()].contains_key(flag);
        digests.iter().filter(|(flag, _)| has(flag)).find_map(|(flag, value)| {
            let trial = trial(way, "sha256");
            let run = trial.start().with(way.image, "nb");
            run.folder.write("zeros", format!("{ZEROS}  nb\n").as_bytes());
            let ended = run.plain(&[&format!("--{flag}"), value]);
            // The base in a layout has one.
            let words = ["nb is not a file", "nb is a folder", "nb is not an OCI image layout"];
            let is_named = words.iter().any(|words| ended.err.contains(words));
            let is_made = !way.makes.is_empty() && run.folder.at(way.makes).exists();
            let is_refused = ended.status != 0 && ended.out.is_empty() && is_named && !is_made;
            (!is_refused).then(|| format!("{} --{flag}: {} {}", way.name, ended.status, ended.err))
        })
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A test of the checks above. It takes as long as the one before.
#[test]
#[ignore = "tests/run --all runs it"]
fn every_check_sees_that_its_flag_is_not_acted_on() {
    let faults = faults(rows(), |(way, flag, check)| {
        let blind = Trial { is_blind: true, ..trial(way, flag) };
        check(&blind).is_ok().then(|| format!("{}: --{flag}", way.name))
    });
    assert!(faults.is_empty(), "{} blind checks\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_other_flag_is_refused_by_its_name() {
    let all: BTreeSet<&str> = GRAMMAR
        .iter()
        .flat_map(|(command, flags)| flags.keys().map(move |flag| (command, flag.as_str())))
        .filter(|(command, flag)| !is_of_recipes(command, flag))
        .map(|(_, flag)| flag)
        .collect();
    let taken: BTreeSet<(&str, &str)> = rows().map(|(way, flag, _)| (way.name, flag)).collect();
    let is_other = |way: &Way, flag: &str| {
        let is_known = GRAMMAR[way.command()].contains_key(flag);
        let is_taken = taken.contains(&(way.name, flag)) || way.has(flag);
        let is_not_here = EVERYWHERE.contains(&flag) || is_of_recipes(way.command(), flag);
        !(is_taken || is_not_here || (is_known && way.is_partly))
    };
    let faults = faults(WAYS.iter(), |way| {
        let folder = inputs();
        let before = state(folder.path());
        let refuses = |flag: &str| {
            let words: Vec<String> = way.words.split(' ').map(str::to_owned).collect();
            let words = [words, trial(way, flag).words()].concat();
            let ended = folder.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let is_named = ended.err.contains(&format!("--{flag}"));
            let is_right = ended.status == 2 && is_named && state(folder.path()) == before;
            (!is_right).then(|| format!("{}: --{flag}: {}\n{}", way.name, ended.status, ended.err))
        };
        let faults: Vec<String> = all
            .iter()
            .filter(|flag| is_other(way, flag))
            .filter_map(|flag| refuses(flag))
            .collect();
        (!faults.is_empty()).then(|| faults.join("\n"))
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn old_names_are_still_taken() {
    let folder = inputs();
    folder.run(&["flash", "base.iso", "old", "--file"]).done();
    folder.run(&["flash", "base.iso", "--to-file", "new", "--to-file", "more"]).done();
    for made in ["old", "new", "more"] {
        assert!(folder.read(made) == *TINY, "{made}");
    }
    folder.run(&["flash", "base.iso", "out", "--file", "--exact"]).refused(2, "--exact");
    assert!(!help("flash").contains("--file "));
}

/// All files, and what changes when they are written.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, about) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
        if about.is_dir() {
            found.extend(state(&path));
        }
        found.insert(path, (about.len(), about.modified().unwrap()));
    }
    found
}
