//! Every command that writes a file: where none may be made, what gives way to it, and who may read it.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use remaster::units::usize_of;

use crate::netboot::kexec;
use crate::support::{Ended, Folder, TINY, key, pair, survey};

/// A command that writes what `OUT` names.
struct WritingCommand {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Whether there is a `--force`.
    force: bool,
    /// What is written below `OUT`, where that is a folder; `OUT` itself if it is empty.
    below: &'static str,
}

const fn file(name: &'static str, arguments: &'static [&'static str]) -> WritingCommand {
    WritingCommand { name, arguments, force: true, below: "" }
}

const WAYS: [WritingCommand; 15] = [
    file("image", &["base.iso", "--key", "key.pub", "-o", "OUT"]),
    file("patch", &["base.iso", "--key", "key.pub", "--as", "patch", "-o", "OUT"]),
    file("apply", &["apply", "base.iso", "a.remaster", "-o", "OUT"]),
    file("reset", &["reset", "a.iso", "-o", "OUT"]),
    file("tarball", &["kexec.tar", "--key", "key.pub", "-o", "OUT"]),
    file("manifest", &["base.iso", "--key", "key.pub", "-o", "x.iso", "--manifest", "OUT"]),
    file("provenance", &["base.iso", "--key", "key.pub", "-o", "x.iso", "--provenance", "OUT"]),
    file("sbom", &["base.iso", "--key", "key.pub", "-o", "x.iso", "--sbom", "OUT"]),
    file(
        "known hosts",
        &[
            "base.iso",
            "--key",
            "key.pub",
            "--host-key",
            "generate",
            "-o",
            "x.iso",
            "--known-hosts",
            "OUT",
        ],
    ),
    file("netboot", &["netboot", "base.iso", "--key", "key.pub", "-o", "OUT"]),
    WritingCommand {
        name: "flash to a file",
        arguments: &["flash", "a.iso", "OUT", "--file"],
        force: false,
        below: "",
    },
    WritingCommand {
        name: "images",
        arguments: &["stamp", "base.iso", "users.toml", "-o", "OUT"],
        force: true,
        below: "u.iso",
    },
    WritingCommand {
        name: "patches",
        arguments: &["stamp", "base.iso", "users.toml", "--as", "patch", "-o", "OUT"],
        force: true,
        below: "u.remaster",
    },
    WritingCommand { name: "demo", arguments: &["demo", "--dir", "OUT"], force: false, below: "" },
    WritingCommand {
        name: "manual",
        arguments: &["man", "OUT"],
        force: false,
        below: "remaster.1",
    },
];

/// A folder with everything that the commands read.
fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'u'\nkey = 'key.pub'\n");
    folder.run(&["base.iso", "--key", "key.pub", "-o", "a.iso"]).quietly();
    folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "a.remaster"]).quietly();
    folder.run(&["netboot", "base.iso", "-o", "stock"]).quietly();
    folder.write("kexec.tar", &kexec(&folder.read("stock/initrd")));
    folder
}

impl WritingCommand {
    fn run(&self, folder: &Folder, out: &str, more: &[&str]) -> Ended {
        let _ = fs::remove_file(folder.at("x.iso"));
        let words = self.arguments.iter().map(|word| if *word == "OUT" { out } else { word });
        folder.run(&words.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// What comes to stand in a folder of this name.
    fn written(&self, out: &str) -> String {
        if self.below.is_empty() { out.to_owned() } else { format!("{out}/{}", self.below) }
    }
}

/// What there is once a test is over, also one that fails.
struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0).or_else(|_| fs::remove_dir_all(&self.0));
    }
}

#[test]
fn no_file_is_made_below_dev() {
    let folder = folder();
    symlink("/dev", folder.at("devices")).unwrap();
    let name = format!("remaster-no-such-{}", std::process::id());
    let node = Gone(Path::new("/dev").join(&name));
    for way in WAYS.iter().filter(|way| way.name != "manual") {
        for folder_of_it in ["/dev", "/dev/../dev", "devices"] {
            let ended = way.run(&folder, &format!("{folder_of_it}/{name}"), &[]);
            assert!(!node.0.exists(), "{}: made {}", way.name, node.0.display());
            assert_eq!(ended.status, 2, "{}: {}", way.name, ended.err);
            for words in ["no such device", "remaster devices"] {
                assert!(ended.err.contains(words), "{}: {}", way.name, ended.err);
            }
            assert!(!folder.at("x.iso").exists(), "{}: half of it is done", way.name);
        }
    }
    let page = Gone("/dev/remaster.1".into());
    folder.run(&["man", "/dev"]).refused(2, "/dev/remaster.1: no such device");
    assert!(!page.0.exists());
}

#[test]
fn shared_memory_takes_files() {
    if fs::metadata("/dev/shm").is_err() {
        return;
    }
    let folder = folder();
    let out = Gone(format!("/dev/shm/remaster-suite-{}", std::process::id()).into());
    folder.run(&["base.iso", "--key", "key.pub", "-o", out.0.to_str().unwrap()]).quietly();
    assert!(fs::read(&out.0).unwrap() == folder.read("a.iso"));
}

#[test]
fn a_link_gives_way_itself_and_what_it_leads_to_stays() {
    for way in &WAYS {
        let folder = folder();
        folder.write("victim", b"precious");
        let at = way.written("out");
        let place = folder.at(&at);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        for target in ["victim", "missing"] {
            let target = folder.at(target);
            symlink(&target, &place).unwrap();
            if way.name != "manual" {
                let ended = way.run(&folder, "out", &[]);
                assert_ne!(ended.status, 0, "{}: {}", way.name, ended.err);
                assert_eq!(fs::read_link(&place).unwrap(), target, "{}", way.name);
            }
            assert!(!folder.at("missing").exists(), "{}: made through a link", way.name);
            if way.force || way.name == "manual" {
                way.run(&folder, "out", if way.force { &["--force"] } else { &[] }).done();
                let about = fs::symlink_metadata(&place).unwrap();
                assert!(!about.is_symlink(), "{}: went through the link", way.name);
            }
            assert_eq!(folder.read("victim"), b"precious", "{}", way.name);
            assert!(!folder.at("missing").exists(), "{}: made through a link", way.name);
            let _ = fs::remove_file(&place).or_else(|_| fs::remove_dir_all(&place));
        }
    }
}

/// What is put in, and whether others must not know it.
const CONTENTS: [(&str, &[&str], bool); 6] = [
    ("a key", &[], false),
    ("public files", &["--overlay", "public"], false),
    ("many public files", &["--overlay", "public", "--overlay", "large"], false),
    ("a closed file", &["--overlay", "closed"], true),
    ("a closed folder", &["--overlay", "hidden"], true),
    ("a closed file among many", &["--overlay", "closed", "--overlay", "large"], true),
];

/// A folder with what [`CONTENTS`] names.
fn with_contents() -> Folder {
    let folder = folder();
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(folder.at(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    for top in ["public", "closed", "hidden", "large"] {
        fs::create_dir_all(folder.at(top).join("srv/sub")).unwrap();
        folder.write(&format!("{top}/srv/sub/{top}"), b"contents");
        for below in ["", "/srv", "/srv/sub"] {
            mode(&format!("{top}{below}"), 0o755);
        }
        mode(&format!("{top}/srv/sub/{top}"), 0o644);
    }
    mode("closed/srv/sub/closed", 0o600);
    mode("hidden/srv/sub", 0o700);
    folder.write("signer", pair(1).to_openssh(ssh_key::LineEnding::LF).unwrap().as_bytes());
    mode("signer", 0o600);
    folder.write("large/srv/zeros", &vec![0; 17 << 20]);
    mode("large/srv/zeros", 0o644);
    folder
}

/// Runs the program with a umask, and with standard input from a file.
fn run_with(folder: &Folder, umask: &str, input: Option<&str>, arguments: &[&str]) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_remaster")).args(arguments).current_dir(folder.path());
    let input = input.map_or(Stdio::null(), |name| fs::File::open(folder.at(name)).unwrap().into());
    Ended::from(command.stdin(input).output().unwrap())
}

/// The Rock Ridge modes of the folder of ours on a volume, by name: the `PX` field of each record.
fn modes_on_volume(image: &[u8]) -> Vec<(String, u32)> {
    let survey = survey(image);
    let ours = survey.tree().files().filter(|(path, _)| path.starts_with("/remaster/"));
    let modes = ours.map(|(path, node)| {
        let record = &image[usize_of(node.record)..][..255];
        let at = record.windows(2).position(|two| two == b"PX").unwrap() + 4;
        let mode = u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        (path.to_owned(), mode & 0o777)
    });
    modes.collect()
}

/// All ways out of one of [`CONTENTS`], with a umask that closes nothing.
struct Out {
    folder: Folder,
    what: &'static str,
    edits: &'static [&'static str],
    private: bool,
    /// What the last command said.
    said: RefCell<String>,
}

impl Out {
    fn run(&self, input: Option<&str>, arguments: &[&str]) {
        let ended = run_with(&self.folder, "000", input, arguments);
        *self.said.borrow_mut() =
            [ended.err.as_str(), &String::from_utf8_lossy(&ended.out)].concat();
        ended.done();
    }

    /// Puts the contents in.
    fn put(&self, start: &[&str], end: &[&str]) {
        self.run(None, &[start, &["--key", "key.pub"], self.edits, end].concat());
    }

    /// The file is for its owner if it holds secrets, and the command that wrote it last says so.
    fn check(&self, way: &str, path: &str) {
        self.check_mode(way, path, if self.private { 0o600 } else { 0o666 });
        self.check_said(way);
    }

    fn check_said(&self, way: &str) {
        let said = self.said.borrow();
        let words = ["mode 0600: it holds secrets", "mode 0600, as it holds secrets"];
        let is_told = words.iter().any(|words| said.contains(words));
        assert_eq!(is_told, self.private, "{} by {way}: {said}", self.what);
    }

    fn check_mode(&self, way: &str, path: &str, expected: u32) {
        let about = fs::metadata(self.folder.at(path)).unwrap();
        let mode = about.permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{} by {way}: {mode:04o}", self.what);
    }

    fn images(&self) {
        self.put(&["base.iso"], &["-o", "p.iso"]);
        self.check("image", "p.iso");
        for (path, mode) in modes_on_volume(&self.folder.read("p.iso")) {
            let holds = path.ends_with("/payload.img") || path.contains("/files");
            let expected = if self.private && holds { 0o400 } else { 0o444 };
            assert_eq!(mode, expected, "{}: {path}", self.what);
        }
        self.put(&["base.iso", "--merge-initrd"], &["-o", "m.iso"]);
        self.check("merged image", "m.iso");
        self.put(&["base.iso"], &["--as", "patch", "-o", "p.remaster"]);
        self.check("patch", "p.remaster");
        self.run(None, &["apply", "base.iso", "p.remaster", "-o", "b.iso"]);
        self.check("apply", "b.iso");
        self.run(None, &["reset", "p.iso", "-o", "r.iso"]);
        self.check_mode("reset", "r.iso", 0o666);
        self.folder.write("e.iso", &self.folder.read("a.iso"));
        self.put(&["edit", "--in-place", "e.iso"], &[]);
        self.check_mode("edit", "e.iso", if self.private { 0o600 } else { 0o644 });
        self.check_said("edit");
    }

    fn tarball(&self) {
        self.put(&["kexec.tar"], &["-o", "p.tar"]);
        self.check("tarball", "p.tar");
        let mut archive = tar::Archive::new(fs::File::open(self.folder.at("p.tar")).unwrap());
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let initrd = entries.find(|entry| entry.path().unwrap().ends_with("initrd")).unwrap();
        let expected = if self.private { 0o600 } else { 0o644 };
        assert_eq!(initrd.header().mode().unwrap(), expected, "{} in the tarball", self.what);
    }

    fn flash(&self, way: &str, input: Option<&str>, arguments: &[&str]) {
        self.run(input, &[&["flash"], arguments, &["f.iso", "--file"]].concat());
        self.check(way, "f.iso");
        assert!(self.folder.read("f.iso") == self.folder.read("p.iso"), "{} by {way}", self.what);
        fs::remove_file(self.folder.at("f.iso")).unwrap();
    }

    fn flashed(&self) {
        let packed = zstd::encode_all(&*self.folder.read("p.iso"), 1).unwrap();
        self.folder.write("p.iso.zst", &packed);
        self.flash("flash", None, &["p.iso"]);
        self.flash("flash of a packed image", None, &["p.iso.zst"]);
        self.flash("flash of a pipe", Some("p.iso"), &["-"]);
        self.flash("flash of a packed pipe", Some("p.iso.zst"), &["-"]);
        self.flash("flash of a patch", None, &["base.iso", "--patch", "p.remaster"]);
        let stamped = [&["base.iso", "--key", "key.pub"], self.edits].concat();
        self.flash("flash of a base", None, &stamped);
    }

    fn batches(&self) {
        for (form, name) in [("image", "u.iso"), ("patch", "u.remaster"), ("oci", "index.json")] {
            let batch = ["stamp", "base.iso", "users.toml", "--as", form, "-o", form];
            self.run(None, &[&batch[..], self.edits].concat());
            self.check_said(form);
            if form != "oci" {
                self.check(form, &format!("{form}/{name}"));
            }
        }
        let patch = self.folder.read("patch/u.remaster");
        let blobs = fs::read_dir(self.folder.at("oci/blobs/sha256")).unwrap();
        let mut blobs = blobs.map(|entry| entry.unwrap().path());
        let layer = blobs.find(|path| fs::read(path).unwrap() == patch).unwrap();
        self.check("OCI layer", layer.to_str().unwrap());
    }

    /// What is written beside: a guess at a secret could be tried by it. Of host keys there are the public halves only.
    fn sidecars(&self) {
        let beside =
            ["--manifest", "side.json", "--provenance", "side.prov", "--sbom", "side.sbom"];
        let host_key = ["--host-key", "generate", "--known-hosts", "side.known"];
        let keys = if self.private { &host_key[..] } else { &[] };
        let signed = ["-o", "side.iso", "--sign", "signer"];
        self.put(&["base.iso"], &[&signed, &beside[..], keys].concat());
        for path in ["side.iso", "side.json", "side.json.sig", "side.prov", "side.sbom"] {
            self.check("what is beside an image", path);
        }
        for (form, name) in [("image", "u.iso"), ("patch", "u.remaster")] {
            let out = format!("beside-{form}");
            let mut batch = vec!["stamp", "base.iso", "users.toml", "--as", form, "-o", &out];
            batch.extend(["--manifest", "--provenance", "--sbom", "--sign", "signer"]);
            batch.extend((form == "patch").then_some("--descriptor"));
            batch.extend(&keys[..keys.len().min(2)]);
            self.run(None, &[&batch, self.edits].concat());
            for entry in fs::read_dir(self.folder.at(&out)).unwrap() {
                let path = format!("{out}/{}", entry.unwrap().file_name().display());
                let is_public = path.ends_with(".known_hosts");
                assert!(path.contains(&format!("/{name}")), "{path}");
                if is_public {
                    self.check_mode("host keys of a batch", &path, 0o644);
                } else {
                    self.check(form, &path);
                }
            }
        }
        if self.private {
            self.check_mode("host keys", "side.known", 0o644);
        }
        self.check("the index of a layout", "oci/index.json");
        let blobs = if self.private { 0o700 } else { 0o777 };
        self.check_mode("the blobs of a layout", "oci/blobs/sha256", blobs);
    }

    fn netboots(&self) {
        self.put(&["netboot", "base.iso"], &["-o", "n1"]);
        self.check("netboot n1", "n1/initrd");
        let open = fs::Permissions::from_mode(0o644);
        for (given, out) in [("p.iso", "n2"), ("m.iso", "n3"), ("p.tar", "n4"), ("p.tar", "n5")] {
            self.run(None, &["netboot", given, "-o", out]);
            self.check(&format!("netboot {out}"), &format!("{out}/initrd"));
            // Not by the mode of what is given.
            fs::set_permissions(self.folder.at("p.tar"), open.clone()).unwrap();
        }
    }
}

#[test]
fn a_folder_for_netboot_is_closed_as_what_it_is_made_of_and_says_why() {
    let folder = folder();
    let close = |path: &str| {
        fs::set_permissions(folder.at(path), fs::Permissions::from_mode(0o600)).unwrap();
    };
    fs::rename(folder.at("stock/initrd"), folder.at("stock/initrd.gz")).unwrap();
    for path in ["base.iso", "kexec.tar", "stock/initrd.gz"] {
        close(path);
    }
    for given in ["base.iso", "kexec.tar", "stock"] {
        let ended = folder.run(&["netboot", given, "-f", "-o", "out"]);
        let told = "mode 0600, as others may not read the file that it was made from";
        assert!(ended.status == 0 && ended.err.contains(told), "{given}: {}", ended.err);
        assert!(!ended.err.contains("holds secrets"), "{given}: {}", ended.err);
        let mode = fs::metadata(folder.at("out/initrd")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{given}");
    }
}

/// All ways out of what has no secret in it: the words, and what they write.
const MADE_OF_FILES: [(&str, &str); 18] = [
    ("base.iso --key key.pub -o out", "out"),
    ("base.iso --key key.pub --as patch -o out", "out"),
    ("base.iso --key key.pub -o out --manifest out.json", "out.json"),
    ("kexec.tar --key key.pub -o out.tar", "out.tar"),
    ("kexec.tar.gz --key key.pub -o out.tar.gz", "out.tar.gz"),
    ("apply base.iso p.remaster -o out", "out"),
    ("reset p.iso -o out", "out"),
    ("flash base.iso --to-file out", "out"),
    ("flash base.iso.zst --to-file out", "out"),
    ("flash base.iso --patch p.remaster --to-file out", "out"),
    ("flash base.iso --key key.pub --to-file out", "out"),
    ("stamp base.iso users.toml -o dir", "dir/u.iso"),
    ("stamp base.iso users.toml --as patch -o dir", "dir/u.remaster"),
    ("stamp base.iso users.toml --as oci -o dir", "dir/blobs"),
    ("netboot base.iso -o dir", "dir/initrd"),
    ("netboot base.iso --key key.pub -o dir", "dir/initrd"),
    ("netboot kexec.tar --key key.pub -o dir", "dir/initrd"),
    ("netboot stock --key key.pub -o dir", "dir/initrd"),
];

#[test]
fn what_is_made_of_a_file_is_closed_to_others_as_that_is_by_every_way_out() {
    let folder = folder();
    folder.run(&["base.iso", "--key", "key.pub", "-o", "p.iso"]).done();
    folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "p.remaster"]).done();
    folder.write("base.iso.zst", &zstd::encode_all(&*folder.read("base.iso"), 1).unwrap());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &folder.read("kexec.tar")).unwrap();
    folder.write("kexec.tar.gz", &gzip.finish().unwrap());
    let inputs = [
        "base.iso",
        "base.iso.zst",
        "p.iso",
        "p.remaster",
        "kexec.tar",
        "kexec.tar.gz",
        "stock/initrd",
    ];
    for is_closed in [true, false] {
        let input = if is_closed { 0o600 } else { 0o644 };
        for path in inputs {
            fs::set_permissions(folder.at(path), fs::Permissions::from_mode(input)).unwrap();
        }
        for (words, out) in MADE_OF_FILES {
            let words: Vec<&str> = words.split(' ').collect();
            let ended = run_with(&folder, "000", None, &words);
            assert_eq!(ended.status, 0, "{words:?}: {}", ended.err);
            let mode = fs::metadata(folder.at(out)).unwrap().permissions().mode() & 0o777;
            let is_folder = folder.at(out).is_dir();
            let open = if is_folder { 0o777 } else { 0o666 };
            let shut = if is_folder { 0o700 } else { 0o600 };
            let is_index = words.contains(&"oci");
            let mode = if is_index { blobs_mode(&folder, out) } else { mode };
            assert_eq!(mode, if is_closed { shut } else { open }, "{words:?}: {mode:04o}");
            let is_quiet = words[0] == "reset";
            let said = [ended.err.as_str(), ended.text()].concat();
            let told = said.contains("others may not read the");
            assert_eq!(told, is_closed && !is_quiet, "{words:?}: {said}");
            assert!(!said.contains("secret"), "{words:?}: {said}");
            let _ = (fs::remove_dir_all(folder.at("dir")), fs::remove_file(folder.at(out)));
            let _ = fs::remove_file(folder.at("out"));
        }
    }
}

fn blobs_mode(folder: &Folder, blobs: &str) -> u32 {
    fs::metadata(folder.at(blobs).join("sha256")).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_others_must_not_know_is_for_the_owner_by_every_way_out() {
    for (what, edits, private) in CONTENTS {
        let said = RefCell::default();
        let out = Out { folder: with_contents(), what, edits, private, said };
        out.images();
        out.tarball();
        out.flashed();
        out.batches();
        out.sidecars();
        out.netboots();
    }
}

#[test]
fn a_file_that_everyone_may_read_is_closed_when_secrets_come_into_it() {
    let folder = with_contents();
    let closed = |path: &str| {
        let mode = fs::metadata(folder.at(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path}");
    };
    let open = |path: &str| {
        fs::set_permissions(folder.at(path), fs::Permissions::from_mode(0o644)).unwrap();
    };
    let secret = ["--key", "key.pub", "--overlay", "closed"];
    folder.run(&[&["base.iso", "-f", "-o", "a.iso"], &secret[..]].concat()).done();
    closed("a.iso");
    // An edit that changes no byte closes it as well.
    open("a.iso");
    folder.run(&["edit", "--in-place", "a.iso", "--key", "key.pub"]).done();
    closed("a.iso");
    folder
        .run(&[&["base.iso", "--as", "patch", "-f", "-o", "a.remaster"], &secret[..]].concat())
        .done();
    for arguments in [
        &["apply", "base.iso", "a.remaster", "-f", "-o", "out"][..],
        &["flash", "a.iso", "out", "--file"],
        &["flash", "-", "out", "--file"],
    ] {
        folder.write("out", &[0; 3]);
        open("out");
        run_with(&folder, "022", Some("a.iso"), arguments).done();
        closed("out");
    }
    // What is kept is closed as well.
    for (form, name) in [("image", "u.iso"), ("patch", "u.remaster")] {
        let batch =
            ["stamp", "base.iso", "users.toml", "--as", form, "-o", form, "--overlay", "closed"];
        folder.run(&batch).done();
        open(&format!("{form}/{name}"));
        folder.run(&[&batch[..], &["--skip-existing"]].concat()).done();
        closed(&format!("{form}/{name}"));
    }
}

#[test]
fn inspect_also_names_secrets_in_a_squashfs() {
    for (what, edits, private) in CONTENTS {
        let folder = with_contents();
        folder
            .run(&[&["base.iso", "-q", "-o", "b.iso", "--key", "key.pub"], edits].concat())
            .done();
        let json = folder.run(&["inspect", "--json", "b.iso"]).done();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let secrets = json["injected"]["secrets"].as_array().unwrap();
        assert_eq!(!secrets.is_empty(), private, "{what}: {secrets:?}");
    }
}

#[test]
fn a_base_of_the_user_gets_no_second_name() {
    let folder = Folder::with_base(&TINY);
    let text = format!("[[user]]\nname = \"ann\"\nkey = [\"{}\"]\n", key(1));
    folder.write("users.toml", text.as_bytes());
    for form in ["image", "patch", "oci"] {
        folder.run(&["stamp", "base.iso", "users.toml", "-o", form, "--as", form]).quietly();
        assert_eq!(fs::metadata(folder.at("base.iso")).unwrap().nlink(), 1, "{form}");
    }
}

#[test]
fn the_reason_that_lies_in_the_target_comes_before_the_question() {
    let folder = Folder::with_base(&TINY);
    folder.write("file", b"x");
    folder.write("key.pub", key(1).as_bytes());
    for (target, status, words) in [
        ("/dev/remaster-no-such-stick", 1, "no such device"),
        ("/dev/null", 5, "not a block device"),
        ("file", 5, "it is a text file, not a block device"),
        ("key.pub", 2, "key.pub is a public key, not a disk"),
        ("base.iso", 5, "not a block device\nhint: see `remaster devices` for the disk"),
        ("E:", 1, "disks are called so on Windows"),
        (r"\\.\PhysicalDrive1", 1, "disks are called so on Windows"),
        ("/dev/disk2", 1, "disks are called so on macOS"),
        ("usb", 1, "give the path of a disk, as `remaster devices` lists them"),
        ("UUID=1234", 1, "give the path of a disk, as `remaster devices` lists them"),
        ("/media/no-such-stick", 1, "give the path of a disk, as `remaster devices` lists"),
        ("sdzz", 1, "give a path, as `/dev/sdzz`"),
        ("new.img", 1, "`--to-file new.img` writes to a file"),
        (".", 5, "a folder, not a disk"),
    ] {
        folder.run(&["flash", "base.iso", target]).refused(status, words);
    }
}

#[test]
fn what_holds_something_else_than_an_image_is_written_over_only_by_force() {
    let folder = Folder::with_base(&TINY);
    for line in ["flash base.iso --to-file file", "format --to-file file"] {
        let large = || fs::File::options().write(true).open(folder.at("file")).unwrap();
        folder.write("file", b"notes\n");
        large().set_len(64 << 20).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        folder.run(&words).refused(2, "file is a file, not an image, and would be overwritten");
        assert!(fs::read(folder.at("file")).unwrap().starts_with(b"notes"), "{line}");
        folder.run(&[words.as_slice(), &["--force"]].concat()).done();
        // An image, and a blank file.
        large().set_len(64 << 20).unwrap();
        folder.run(&words).done();
        folder.write("file", &[]);
        large().set_len(64 << 20).unwrap();
        folder.run(&words).done();
    }
}

#[test]
fn a_limit_on_files_is_an_error_and_leaves_nothing() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("users.toml", b"[[user]]\nname = \"ann\"\nkey = [\"key.pub\"]\n");
    folder.run(&["base.iso", "--key", "key.pub", "-o", "s.iso"]).done();
    folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "p.remaster"]).done();
    let before = folder.names();
    let program = env!("CARGO_BIN_EXE_remaster");
    for line in [
        "base.iso --key key.pub -o out",
        "apply base.iso p.remaster -o out",
        "reset s.iso -o out",
        "flash s.iso --to-file out",
        "stamp base.iso users.toml -o folder",
        "demo --dir demo",
    ] {
        // In blocks of 512 bytes.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f 200; exec {program} {line}")]);
        let ended = shell.current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(matches!(ended.status.code(), Some(1 | 11)), "{line}: {:?}", ended.status);
        assert!(told.contains("File too large") && told.contains("ulimit -f"), "{line}: {told}");
        let left: Vec<String> =
            folder.names().into_iter().filter(|name| name != "folder").collect();
        assert_eq!(left, before, "{line}");
    }
    assert_eq!(fs::read_dir(folder.at("folder")).unwrap().count(), 0);
}

/// A line with an output that is wrong, and what is said: the error, the hint. `LONG` is a name of 250 bytes.
const TOLD: &[(&str, &str, &str)] = &[
    ("base.iso --key key.pub -o folder", "folder is a folder, and an image", "-o, `-o -`"),
    ("base.iso --key key.pub --manifest folder -o out", "--manifest: folder is", "to --manifest"),
    ("base.iso --key key.pub --sbom folder -o out", "--sbom: folder is a folder", "to --sbom"),
    ("base.iso --key key.pub --provenance /dev/null -o out", "--provenance: /dev/null", "file to"),
    (
        "base.iso --key key.pub --manifest base.iso -f -o out",
        "--manifest base.iso and BASE base.iso name the same file",
        "a path of its own",
    ),
    (
        "base.iso --host-key generate --known-hosts /dev/null -o out",
        "--known-hosts: /dev/null",
        "a file",
    ),
    ("base.iso --host-key generate -o LONG", "the name n", "a shorter name"),
    (
        "base.iso --key key.pub --manifest LONGxx --sign k -o out",
        "--manifest: the name",
        "shorter name",
    ),
    ("base.iso --key key.pub -o LONGLONG", "the name", "give a shorter name"),
    ("netboot base.iso -o LONGLONG", "the name", "give a shorter name"),
    ("stamp base.iso users.toml -o LONGLONG", "the name", "give a shorter name"),
    (
        "stamp base.iso users.toml --failures /dev/full -o out",
        "--failures: /dev/full",
        "--failures",
    ),
    ("stamp base.iso users.toml --failures folder -o out", "--failures: folder is", "--failures"),
    ("base.iso --key key.pub -o /dev/stdout", "is standard output", "give `-o -`"),
    ("apply base.iso patch -o /dev/stdout", "is standard output", "give `-o -`"),
    ("reset c.iso -o /dev/stdout", "is standard output", "give `-o -`"),
    (
        "base.iso --key key.pub --manifest /dev/stdout -o out",
        "--manifest: /dev/stdout",
        "to --manifest",
    ),
    ("reset c.iso -o c.iso", "--output c.iso and IMAGE c.iso name the same file", "--in-place"),
    ("reset c.iso -f -o c.iso", "--output c.iso and IMAGE c.iso name", "--in-place"),
];

#[test]
fn a_wrong_output_is_reported_with_its_flag_and_nothing_is_written() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    folder.write("k", pair(1).to_openssh(ssh_key::LineEnding::LF).unwrap().as_bytes());
    folder.write("users.toml", b"[[user]]\nname = 'a'\nkey = 'key.pub'\n");
    std::fs::create_dir(folder.at("folder")).unwrap();
    folder.run(&["base.iso", "--key", "key.pub", "-o", "c.iso"]).quietly();
    folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "patch"]).quietly();
    let before = folder.names();
    for (line, error, hint) in TOLD {
        let line = line.replace("LONG", &"n".repeat(250));
        let output = std::fs::File::create(folder.at("stdout")).unwrap();
        let mut program = folder.program(&line.split(' ').collect::<Vec<_>>());
        let ended = program.stdout(output).output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        let (told, advice) = err.split_once("\nhint: ").unwrap_or_default();
        assert_eq!(ended.status.code(), Some(2), "{line}: {err}");
        assert!(told.contains(error) && advice.contains(hint), "{line}: {hint}: {err}");
        std::fs::remove_file(folder.at("stdout")).unwrap();
        assert_eq!(folder.names(), before, "{line}");
    }
}

#[test]
fn a_file_that_another_program_writes_to_is_left_to_it() {
    let folder = folder();
    folder.write("out", &[0; 6]);
    let file = fs::File::open(folder.at("out")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let ended = folder.run(&["flash", "a.iso", "--to-file", "out"]);
    ended.err_says(2, "out is being written by another program");
    assert_eq!(folder.read("out"), [0; 6]);
}

#[test]
fn what_a_machine_says_is_not_written_where_no_file_may_be_made() {
    let folder = folder();
    for flag in ["--serial", "--screenshot"] {
        for (path, words) in [("/dev/no-such", "no such device"), ("none/x", "does not exist")] {
            let ended = folder.run(&["try", "a.iso", flag, path]);
            ended.err_says(2, &format!("{flag}: "));
            assert!(ended.err.contains(words), "{flag} {path}: {}", ended.err);
        }
        let ended = folder.run(&["try", "a.iso", flag, "/dev/null"]);
        ended.err_says(2, "is not a regular file");
        let ended = folder.run(&["try", "a.iso", flag, "key.pub"]);
        ended.err_says(2, &format!("{flag}: key.pub already exists"));
        assert!(ended.err.contains(&format!("give another path to {flag}")), "{}", ended.err);
    }
}

/// A command with a base by its name, what exists already, and how the error calls that.
type FetchRow = (&'static [&'static str], &'static str, &'static str);

const BEFORE_FETCHING: &[FetchRow] = &[
    (&["NAME", "--key", "key.pub", "-o", "x"], "x", "x already exists"),
    (&["NAME", "--key", "key.pub", "-o", "y", "--manifest", "x"], "x", "--manifest: x already"),
    (&["NAME", "--key", "key.pub", "-o", "y", "--sbom", "x"], "x", "--sbom: x already"),
    (
        &["NAME", "--host-key", "generate", "-o", "y", "--known-hosts", "x"],
        "x",
        "--known-hosts: x already",
    ),
    (&["NAME", "--host-key", "generate", "-o", "y"], "y.known_hosts", "y.known_hosts already"),
    (&["apply", "NAME", "patch", "-o", "x"], "x", "x already exists"),
    (&["stamp", "NAME", "users.toml", "--key", "key.pub", "-o", "x"], "x", "x already exists"),
    (&["NAME", "--key", "key.pub", "-o", "x/y"], "x", "cannot make x/y: x is not a folder"),
    (&["NAME", "--key", "key.pub", "-o", "x/y/z"], "x", "cannot make x/y/z: x is not a folder"),
    (&["NAME", "--key", "key.pub", "-o", "x/"], "x", "cannot make x/: x is not a folder"),
    (
        &["NAME", "--key", "key.pub", "-o", "y", "--manifest", "x/m"],
        "x",
        "--manifest: cannot make x/m: x",
    ),
    (
        &["NAME", "--host-key", "generate", "-o", "y", "--known-hosts", "x/k"],
        "x",
        "--known-hosts: cannot make x/k: x is not a folder",
    ),
    (&["apply", "NAME", "patch", "-o", "x/y"], "x", "cannot make x/y: x is not a folder"),
    (&["netboot", "NAME", "-o", "x/y"], "x", "cannot make x/y: x is not a folder"),
    (&["stamp", "NAME", "users.toml", "--key", "key.pub", "-o", "x/y"], "x", "x is not a folder"),
    (&["stamp", "NAME", "users.toml", "--key", "key.pub", "-o", "x/"], "x", "and is not a folder"),
    (&["flash", "NAME", "--to-file", "x/y"], "x", "cannot make x/y: x is not a folder"),
    (&["flash", "NAME", "--to-file", "none/y"], "x", "the folder none does not exist"),
    (&["flash", "NAME", "--key", "key.pub", "--to-file", "none/y"], "x", "the folder none does"),
    (&["flash", "NAME", "--patch", "patch", "--to-file", "none/y"], "x", "the folder none does"),
    (&["netboot", "NAME", "-o", "x"], "x", "x already exists"),
    (
        &["netboot", "NAME", "--host-key", "generate", "-o", "y", "--known-hosts", "x"],
        "x",
        "--known-hosts: x already",
    ),
    (
        &["flash", "NAME", "--host-key", "generate", "--to-file", "y", "--known-hosts", "x"],
        "x",
        "--known-hosts: x already",
    ),
];

#[test]
fn what_cannot_be_written_is_refused_before_a_base_is_fetched() {
    for (command, existing, words) in BEFORE_FETCHING {
        let folder = Folder::with_base(&TINY);
        folder.write("key.pub", key(1).as_bytes());
        folder.write("users.toml", b"[[user]]\nname = 'a'\n");
        folder.run(&["base.iso", "--key", "key.pub", "--as", "patch", "-o", "patch"]).done();
        folder.write(existing, b"old");
        let named =
            command.iter().map(|word| if *word == "NAME" { "nixos-25.11-minimal" } else { word });
        let offline = ["--offline", "--cache", "cache"];
        let words_of: Vec<&str> = named.chain(offline).collect();
        let ended = folder.run(&words_of);
        assert!(ended.status == 2 && ended.err.contains(words), "{command:?}: {}", ended.err);
        assert_eq!(folder.read(existing), b"old");
    }
}

#[test]
fn a_current_folder_that_is_gone_is_called_that() {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    let [base, key] = ["base.iso", "key.pub"].map(|name| folder.at(name).display().to_string());
    let program = env!("CARGO_BIN_EXE_remaster");
    for output in ["-o x.iso", "-o y.iso --manifest x.iso"] {
        let script = format!(
            "mkdir gone; cd gone; rmdir ../gone; exec {program} {base} --key {key} {output}"
        );
        let mut shell = std::process::Command::new("sh");
        let ended = shell.args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        let ended = crate::support::Ended::from(ended);
        ended.err_says(2, ".iso: the current folder was removed");
    }
}
