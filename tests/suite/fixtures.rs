//! What earlier versions made is inspected, verified, edited, reset, applied and recovered by this one, or it
//! says which version does that. tests/fixtures/make.sh made it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use remaster::image::digest::Digest;
use ssh_key::{HashAlg, PublicKey};

use crate::netboot::{base_initrd, behind};
use crate::support::{Ended, Folder, assert_same};

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// What one version made.
struct Version {
    name: String,
    path: PathBuf,
    /// SHA-256 of what fixtures are, or become when they are finished.
    sums: BTreeMap<String, String>,
}

fn versions() -> Vec<Version> {
    let found = fs::read_dir(Path::new(TESTS).join("fixtures")).unwrap();
    let paths = found.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let versions: Vec<Version> = paths
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(path.join("sums")).unwrap();
            let lines = text.lines().map(|line| line.split_once("  ").unwrap());
            let sums = lines.map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect();
            Version { name, path, sums }
        })
        .collect();
    assert!(!versions.is_empty());
    versions
}

fn unpacked(path: &Path) -> Vec<u8> {
    let packed = fs::read(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    zstd::decode_all(packed.as_slice()).unwrap()
}

/// A fixture in a folder with its base and the inputs of its version.
struct Case<'a> {
    version: &'a Version,
    /// As `images/tiny.key`.
    name: String,
    suffix: &'static str,
    folder: Folder,
    base: Vec<u8>,
    /// How many lines were given to [`Case::takes`], and how many of them were done.
    lines: Cell<(usize, usize)>,
}

impl<'a> Case<'a> {
    fn new(version: &'a Version, name: &str) -> Self {
        let base = name.split(['/', '.']).nth(1).unwrap();
        let suffix = if base.starts_with("tiny-sd") { ".img" } else { ".iso" };
        let bytes = unpacked(&Path::new(TESTS).join(format!("tiny/{base}{suffix}.zst")));
        let folder = Folder::new();
        folder.write(&format!("base{suffix}"), &bytes);
        let case = Self {
            version,
            name: name.to_owned(),
            suffix,
            folder,
            base: bytes,
            lines: Cell::default(),
        };
        case.unpack("inputs.tar.zst");
        case
    }

    /// What was done to the base, the end of its name.
    fn what(&self) -> &str {
        self.name.rsplit('.').next().unwrap()
    }

    fn unpack(&self, archive: &str) {
        let bytes = unpacked(&self.version.path.join(archive));
        tar::Archive::new(bytes.as_slice()).unpack(self.folder.path()).unwrap();
    }

    /// Puts a copy of the fixture there, as whoever made it had it.
    fn put(&self, extra: &str, file: &str) {
        self.folder
            .write(file, &unpacked(&self.version.path.join(format!("{}{extra}.zst", self.name))));
        fs::set_permissions(self.folder.at(file), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs the program on `@`, which becomes `NAME.iso` or `NAME.img`, with `base@` the base.
    fn run(&self, line: &str) -> Ended {
        let line = line.replace('@', self.suffix);
        self.folder.run(&line.split(' ').collect::<Vec<_>>())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        self.folder.read(&name.replace('@', self.suffix))
    }

    /// Whether it is done. If not, the user learns which version can do it.
    fn takes(&self, line: &str) -> bool {
        let ended = self.run(line);
        let says = ended.err.contains("error: ") && ended.err.contains(&self.version.name);
        // Differences end with 1.
        let done = ended.status == 0 || line.starts_with("diff") && ended.err.is_empty();
        assert!(done || says, "{}: {line}: {ended:?}", self.name);
        let (all, before) = self.lines.get();
        self.lines.set((all + 1, before + usize::from(done)));
        done
    }

    /// Takes the line and makes these bytes of it.
    fn makes(&self, line: &str, made: &str, expected: &[u8]) {
        if self.takes(line) {
            assert_same(&format!("{}: {line}", self.name), &self.read(made), expected);
        }
    }

    /// The same, known by a digest.
    fn makes_sum(&self, line: &str, made: &str, name: &str) {
        if self.takes(line) {
            let found = Digest::of_bytes(&self.read(made)).to_string();
            assert_eq!(found, self.version.sums[name], "{}: {line}", self.name);
        }
    }

    /// What this version makes of the base with another key.
    fn other(&self) -> Vec<u8> {
        self.run("base@ --key other.pub -f -o other@").done();
        self.read("other@")
    }

    fn fingerprint(&self, key: &str) -> String {
        let key = String::from_utf8(self.folder.read(key)).unwrap();
        PublicKey::from_openssh(&key).unwrap().fingerprint(HashAlg::Sha256).to_string()
    }
}

/// Every fixture of a kind that there is, without what is beside it.
fn each(kind: &str, suffix: &str, mut act: impl FnMut(&Case<'_>)) {
    let (mut count, mut asked, mut done) = (0, 0, 0);
    for version in versions() {
        for entry in fs::read_dir(version.path.join(kind)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let Some(name) = file.strip_suffix(suffix) else { continue };
            let case = Case::new(&version, &format!("{kind}/{name}"));
            if case.what() != "journal" {
                act(&case);
                count += 1;
                let (all, of_these) = case.lines.get();
                (asked, done) = (asked + all, done + of_these);
            }
        }
    }
    assert!(count > 0, "no {kind}");
    assert!(asked == 0 || done > 0, "none of {asked} lines was done for {kind}");
}

#[test]
fn images_are_what_they_were() {
    each("images", ".zst", |case| {
        case.put("", "a");
        let found = Digest::of_bytes(&case.folder.read("a")).to_string();
        assert_eq!(found, case.version.sums[&case.name], "{}", case.name);
    });
}

#[test]
fn images_are_looked_into() {
    each("images", ".zst", |case| {
        case.put("", &format!("a{}", case.suffix));
        if case.takes("inspect a@") {
            let said = case.run("inspect a@").done();
            assert!(said.contains(&case.fingerprint("user.pub")), "{}: {said}", case.name);
        }
        for line in [
            "inspect --json a@",
            "diff base@ a@",
            "diff --json base@ a@",
            "verify a@ --against a@",
            "flash --file a@ stick",
        ] {
            case.takes(line);
        }
    });
}

#[test]
fn signed_images_are_verified() {
    let mut signed = 0;
    each("images", ".zst", |case| {
        if case.what() != "signed" {
            return;
        }
        signed += 1;
        case.put("", &format!("a{}", case.suffix));
        for end in ["", ".sig"] {
            let beside = case.version.path.join(format!("{}.manifest.json{end}", case.name));
            fs::copy(beside, case.folder.at(&format!("m.json{end}"))).unwrap();
        }
        case.takes("verify a@");
        for line in [
            "verify a@ --allowed-signers allowed",
            "verify a@ --manifest m.json --allowed-signers allowed",
        ] {
            if case.takes(line) {
                let said = case.run(line).done();
                assert!(said.contains("signed by me@example.org"), "{}: {said}", case.name);
            }
        }
    });
    assert!(signed > 1);
}

#[test]
fn images_are_reset() {
    each("images", ".zst", |case| {
        case.put("", &format!("a{}", case.suffix));
        case.makes("reset a@ -o back@", "back@", &case.base);
        case.makes("reset --in-place a@", "a@", &case.base);
    });
}

#[test]
fn images_are_edited_and_stamped_again() {
    each("images", ".zst", |case| {
        case.put("", &format!("a{}", case.suffix));
        let other = case.other();
        case.makes("a@ --key other.pub -o again@", "again@", &other);
        case.makes("edit --in-place a@ --replace --key other.pub", "a@", &other);
    });
}

#[test]
fn patches_are_applied() {
    each("patches", ".remaster", |case| {
        let patch = case.version.path.join(format!("{}.remaster", case.name));
        fs::copy(patch, case.folder.at("a.remaster")).unwrap();
        case.makes_sum("apply base@ a.remaster -o a@", "a@", &case.name);
        case.makes_sum("flash --file base@ --patch a.remaster stick", "stick", &case.name);
    });
}

#[test]
fn layouts_are_applied() {
    each("layouts", ".tar.zst", |case| {
        case.unpack(&format!("{}.tar.zst", case.name));
        for user in ["alice", "bob"] {
            let name = format!("{}.{user}", case.name);
            case.makes_sum(
                &format!("apply layout --name {user} -o {user}@"),
                &format!("{user}@"),
                &name,
            );
        }
    });
}

#[test]
fn interrupted_edits_and_resets_are_finished() {
    each("journals", ".zst", |case| {
        let (image, journal) =
            (format!("a{}", case.suffix), format!(".a{}.remaster-journal", case.suffix));
        let put = || {
            case.put("", &image);
            case.put(".journal", &journal);
        };
        put();
        let looked = case.run("inspect a@");
        assert!(
            looked.status != 0 && looked.err.contains("interrupted"),
            "{}: {looked:?}",
            case.name
        );
        case.makes_sum("edit --recover a@", "a@", &case.name);
        assert!(!case.folder.at(&journal).exists(), "{}", case.name);
        put();
        case.makes("edit --in-place a@ --replace --key other.pub", "a@", &case.other());
        if case.what() != "reset" {
            put();
            case.makes("reset --in-place a@", "a@", &case.base);
        }
    });
}

#[test]
fn interrupted_sticks_are_reset_or_written_again() {
    each("sticks", ".zst", |case| {
        case.put("", "stick");
        let looked = case.run("inspect stick");
        assert!(looked.status != 0, "{}: {looked:?}", case.name);
        if case.what() != "flash" {
            assert!(looked.err.contains("interrupted"), "{}: {looked:?}", case.name);
            case.makes("reset stick -o back@", "back@", &case.base);
        }
        case.takes("flash --file base@ stick");
        case.run("verify stick --against base@").done();
    });
}

#[test]
fn network_boots_are_made_again() {
    each("netboot", ".tar.zst", |case| {
        case.unpack(&format!("{}.tar.zst", case.name));
        case.run("netboot base@ --key other.pub -o other").done();
        if case.takes("netboot key --key other.pub -o again") {
            // Earlier versions put fewer zeros between archives, which stay where they are.
            let members = |folder: &str| {
                let initrd = case.read(&format!("{folder}/initrd"));
                let mut members = behind(&initrd, base_initrd(&case.base).len());
                members.retain(|member| member.path != "remaster/base");
                members
            };
            assert_eq!(members("again"), members("other"), "{}", case.name);
        }
        case.takes("key.tar --key other.pub -o again.tar");
        case.takes("netboot key.tar -o served");
    });
}

#[test]
fn recipes_and_users_are_read() {
    for version in versions() {
        for (base, recipe) in [
            ("tiny", "everything.toml"),
            ("tiny-aarch64", "everything.toml"),
            ("tiny-sd", "everything-raw.toml"),
        ] {
            let case = Case::new(&version, &format!("recipes/{base}.x"));
            case.takes(&format!("recipe check {recipe}"));
            case.takes(&format!("base@ --recipe {recipe} -o a@"));
        }
        let case = Case::new(&version, "recipes/tiny.x");
        for users in ["users.toml", "users.csv", "users.jsonl"] {
            if case.takes(&format!("stamp base@ {users} -q -o {users}.d")) {
                let made =
                    ["alice", "bob"].map(|user| case.folder.at(&format!("{users}.d/{user}.iso")));
                assert!(made.iter().all(|path| path.exists()), "{users}");
            }
        }
    }
}
