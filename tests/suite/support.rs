//! The tiny images, keys, stamping by library and by program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use remaster::image::ReadAt;
use remaster::image::patched::PatchedImage;
use remaster::iso::survey::Survey;
use remaster::live::{Customization, Facts, Input};
use remaster::recipe::Recipe;
use remaster::recipe::edits::{Edits, InjectMethod};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::planned_image::ManifestOptions;
use ssh_key::private::{Ed25519Keypair, PrivateKey};
use tempfile::TempDir;

/// 25.11 for PCs: two kernels, scripted stage 1.
pub(crate) static TINY: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny.iso.zst")));

/// 26.05 for PCs: two kernels, systemd stage 1.
pub(crate) static SYSTEMD: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny-systemd.iso.zst")));

/// 24.11, aarch64: one kernel, no partition table.
pub(crate) static AARCH64: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny-aarch64.iso.zst")));

/// 24.11, aarch64: a raw image for SD cards.
pub(crate) static SD: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("../tiny/tiny-sd.img.zst")));

pub(crate) const WAYS: [InjectMethod; 2] = [InjectMethod::ExtraInitrd, InjectMethod::MergeInitrd];

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    zstd::decode_all(bytes).unwrap()
}

pub(crate) fn bases() -> [(&'static str, &'static [u8]); 3] {
    [("tiny", &TINY), ("tiny-systemd", &SYSTEMD), ("tiny-aarch64", &AARCH64)]
}

/// The key pair of a number.
pub(crate) fn pair(number: u8) -> PrivateKey {
    let mut pair = PrivateKey::from(Ed25519Keypair::from_seed(&[number; 32]));
    pair.set_comment(format!("key {number}"));
    pair
}

/// The public half of the key pair of a number, as `authorized_keys` has it.
pub(crate) fn key(number: u8) -> String {
    pair(number).public_key().to_openssh().unwrap()
}

/// What the program makes of a key and nothing else; none of it depends on the image.
pub(crate) fn edits(number: u8, way: InjectMethod) -> Edits {
    let mut recipe = Recipe::default();
    recipe.key = vec![key(number)];
    recipe.merge_initrd = Some(way == InjectMethod::MergeInitrd);
    let nobody = |_: &str| Err(std::io::ErrorKind::Unsupported.into());
    let customization =
        Customization::gather(&recipe, &mut Input::new(std::io::empty(), nobody)).unwrap();
    let facts = Facts { release: (25, 11), architecture: None, room: None };
    customization.edits(&facts).unwrap()
}

/// Does what the program does between opening the base and writing.
pub(crate) fn try_stamp(base: &[u8], edits: &Edits) -> remaster::Result<Vec<u8>> {
    let image = BaseImage::open(base)?.stamp(edits.clone(), &ManifestOptions::default())?;
    Ok(bytes(image.image()))
}

pub(crate) fn stamp(base: &[u8], edits: &Edits) -> Vec<u8> {
    try_stamp(base, edits).unwrap()
}

pub(crate) fn survey(image: &[u8]) -> Survey {
    Survey::read(&image).unwrap()
}

pub(crate) fn bytes<B: ReadAt>(image: &PatchedImage<B>) -> Vec<u8> {
    let mut bytes = vec![0; image.size().try_into().unwrap()];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// An image in which all files whose paths end so are these bytes, which stand behind it.
pub(crate) fn with_files(image: &[u8], end: &str, bytes: &[u8]) -> Vec<u8> {
    let block = 2048;
    let place = |block: usize, size: usize| {
        let both = |number: usize| {
            let number = u32::try_from(number).unwrap();
            [number.to_le_bytes(), number.to_be_bytes()].concat()
        };
        [both(block), both(size)].concat()
    };
    let mut all = image.to_vec();
    all.resize(all.len().next_multiple_of(block), 0);
    let new = place(all.len() / block, bytes.len());
    let facts = survey(image);
    for (_, node) in facts.tree().files().filter(|(path, _)| path.ends_with(end)) {
        let at = node.extents[0];
        let size = |bytes: u64| usize::try_from(bytes).unwrap();
        let old = place(size(at.start()) / block, size(at.size()));
        for record in (0..image.len() - old.len()).filter(|at| image[*at..].starts_with(&old)) {
            all[record..record + new.len()].copy_from_slice(&new);
        }
    }
    all.extend_from_slice(bytes);
    all.resize(all.len().next_multiple_of(block), 0);
    all
}

/// The same image whose volume ends where the file does.
pub(crate) fn of_whole_volume(mut image: Vec<u8>) -> Vec<u8> {
    let block = 2048;
    let blocks = u32::try_from(image.len() / block).unwrap();
    // "Volume Space Size" of all descriptors (ECMA-119, 8.4.8).
    let is_descriptor = |part: &&mut [u8]| part[0] != 255;
    for part in image[16 * block..].chunks_mut(block).take_while(is_descriptor) {
        if [1, 2].contains(&part[0]) {
            part[80..84].copy_from_slice(&blocks.to_le_bytes());
            part[84..88].copy_from_slice(&blocks.to_be_bytes());
        }
    }
    image
}

/// Where two images differ first. Printing them whole would help nobody.
pub(crate) fn assert_same(what: &str, found: &[u8], expected: &[u8]) {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    let sizes = (found.len(), expected.len());
    assert!(found == expected, "{what}: differs at byte {at:x?}, sizes {sizes:?}");
}

/// A folder with files, gone after the test, in which the program is run.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One with `base.iso`.
    pub(crate) fn with_base(base: &[u8]) -> Self {
        let folder = Self::new();
        folder.write("base.iso", base);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).unwrap()
    }

    /// The names of all files, hidden ones too.
    pub(crate) fn names(&self) -> Vec<String> {
        let found = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The program, to be run here.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remaster"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// The same where signals end it as usual, also if whoever runs the tests ignores some, as `nohup` does.
    pub(crate) fn mortal_program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_remaster")]);
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.program(arguments).output().unwrap())
    }
}

/// Runs a shell script in a mount namespace of its own, where it may mount; none where the system allows no such namespace,
/// which is not a reason to pass where everything is tested.
pub(crate) fn in_namespace(folder: &Folder, script: &str) -> Option<Output> {
    let mut command = Command::new("unshare");
    command.args([if rustix::process::geteuid().is_root() { "-m" } else { "-rm" }, "sh", "-euc"]);
    command.args([&format!("mount -t tmpfs tmpfs /proc || exit 99; umount /proc; {script}")]);
    command.arg(env!("CARGO_BIN_EXE_remaster")).current_dir(folder.path());
    let output = command.stdin(Stdio::null()).output().ok();
    let output = output.filter(|output| output.status.code() != Some(99));
    if output.is_none() {
        assert!(std::env::var_os("CI").is_none(), "mount namespaces are not allowed here");
        skipped("mount namespaces are not allowed here");
    }
    output
}

/// Says that something is not tested here, and why.
#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains("panicked"), "{err}");
        let status = output.status.code().unwrap_or_else(|| panic!("{}: {err}", output.status));
        Self { status, out: output.stdout, err }
    }
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Done, whatever was said on standard error.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.status, 0, "{}", self.err);
        String::from_utf8(self.out).unwrap()
    }

    /// Done, and nothing was said but what was done.
    pub(crate) fn quietly(self) -> Vec<u8> {
        let surprises = ["note: ", "error: ", "warning: "];
        let is_surprise = |line: &str| surprises.iter().any(|word| line.starts_with(word));
        assert!(self.status == 0 && !self.err.lines().any(is_surprise), "{}", self.err);
        self.out
    }

    /// Ended with this status and an error that says these words, behind whatever else was said.
    pub(crate) fn err_says(&self, status: i32, words: &str) {
        assert_eq!(self.status, status, "{}", self.err);
        let is_error = |line: &str| line.starts_with("error: ") && line.contains(words);
        assert!(self.err.lines().any(is_error), "no {words:?} in {}", self.err);
    }

    /// Ended with this status and an error that says these words, and nothing on standard output.
    pub(crate) fn refused(&self, status: i32, words: &str) {
        assert_eq!(self.status, status, "{}", self.err);
        assert!(self.err.starts_with("error: ") && self.err.contains(words), "{}", self.err);
        assert!(self.out.is_empty(), "{}", self.text());
    }
}
