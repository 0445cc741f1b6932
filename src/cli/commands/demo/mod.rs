//! `remaster demo`: the real command on a tiny installer image that is part of the program.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, PrivateKey};

use crate::cli::printer;
use crate::cli::shell::shell_quote;
use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::inspect::Report;
use remaster::output::directory;
use remaster::place;
use remaster::units::format_bytes;

/// Shaped as the minimal installer of 25.11. It is kept as bytes: boot catalog, MBR, GPT, Joliet and a FAT filesystem, all from
/// nothing, would take more code than its 8 KB, and nothing else of the program needs that code. A copy of
/// `tests/tiny/tiny.iso.zst`, which `make.sh` there makes; it need not follow that one.
const BASE: &[u8] = include_bytes!("base.iso.zst");

/// Stamp a tiny image with a new key, and show the result
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write to, new or empty; by default a new one for temporary files
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// `program` runs the program with the words of a command line.
pub(crate) fn run(args: &Args, program: fn(&[OsString]) -> Result<()>) -> Result<()> {
    let is_new = args.dir.as_deref().is_none_or(|path| !path.exists());
    let files = Files::within(folder(args.dir.as_deref())?);
    let made = make(&files, program).inspect_err(|_| files.remove(is_new));
    let (base, custom) = made?;
    printer::print(&story(&files, &base, &custom))?;
    let broken = custom.checks.iter().find(|check| !check.ok);
    broken.map_or(Ok(()), |check| {
        let (found, expected) = (check.detail.clone(), "structures that agree".into());
        Err(Error::Differs { what: check.name.into(), at: 0, found, expected })
    })
}

/// Makes all of it, and looks at it.
fn make(files: &Files, program: fn(&[OsString]) -> Result<()>) -> Result<(Report, Report)> {
    let image = zstd::decode_all(BASE).map_err(Error::io("unpack the tiny image"))?;
    write_new(&files.base, 0o644, &image)?;
    make_key(files)?;
    stamp(files, program)?;
    let inspect = |path: &Path| Report::read(&ImageFile::open(path)?);
    Ok((inspect(&files.base)?, inspect(&files.custom)?))
}

/// Everything the demo leaves.
struct Files {
    folder: PathBuf,
    base: PathBuf,
    public: PathBuf,
    custom: PathBuf,
}

impl Files {
    fn within(folder: PathBuf) -> Self {
        let [base, public, custom] =
            ["base.iso", "id_ed25519.pub", "custom.iso"].map(|name| folder.join(name));
        Self { folder, base, public, custom }
    }

    /// Takes away what is there of a demo that failed, with the folder if that was made for it.
    fn remove(&self, is_new: bool) {
        // Nothing can be done about a file that does not go away.
        for path in [&self.base, &self.public, &self.custom] {
            let _ = fs::remove_file(path);
        }
        if is_new {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

fn folder(wanted: Option<&Path>) -> Result<PathBuf> {
    let Some(path) = wanted else { return temporary_folder() };
    place::check_new_folders(path)?;
    place::make_folders_above(path)?;
    match new_folder(path) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => check_empty(path)?,
        made => made.map_err(Error::io(format!("make the folder {}", path.display())))?,
    }
    Ok(path.to_owned())
}

fn new_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn temporary_folder() -> Result<PathBuf> {
    let all = std::env::temp_dir();
    let mut number = 1_u32;
    loop {
        let path = all.join(format!("remaster-demo.{number}"));
        match new_folder(&path) {
            Ok(()) => return Ok(path),
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {
                number = number.checked_add(1).ok_or(Error::Interrupted)?;
            }
            Err(fault) => {
                return Err(Error::io(format!("make a folder in {}", all.display()))(fault));
            }
        }
    }
}

fn check_empty(path: &Path) -> Result<()> {
    directory::check_folder(path)?;
    let mut found =
        fs::read_dir(path).map_err(Error::io(format!("look into {}", path.display())))?;
    if found.next().is_none() {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!("{} is not empty", path.display()),
        hint: "give a folder to --dir that is new or empty".into(),
    })
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    let file = File::options().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        // Nothing can be done about a file that does not go away.
        file.write_all(bytes).inspect_err(|_| drop(fs::remove_file(path)))
    });
    written.map_err(Error::io(format!("write {}", path.display())))
}

/// Makes a key pair, writes its public half and throws the rest away. A private half would lie in
/// a temporary folder long after the demo.
fn make_key(files: &Files) -> Result<()> {
    let fault = |fault: ssh_key::Error| Error::io("make a key pair")(io::Error::other(fault));
    let mut pair = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(fault)?;
    pair.set_comment("remaster demo");
    let public = pair.public_key().to_openssh().map_err(fault)? + "\n";
    write_new(&files.public, 0o644, public.as_bytes())
}

/// Runs the program as a user would.
fn stamp(files: &Files, program: fn(&[OsString]) -> Result<()>) -> Result<()> {
    let words: [OsString; 6] = [
        "remaster".into(),
        files.base.clone().into(),
        "--key".into(),
        files.public.clone().into(),
        "--output".into(),
        files.custom.clone().into(),
    ];
    printer::hushed(|| program(&words))
}

fn story(files: &Files, base: &Report, custom: &Report) -> String {
    let mut text = format!(
        "In {}:\n  base.iso        {}: NixOS {},\n\
         \x20                 {} stage 1, {} kernels. Structures as on a real\n\
         \x20                 installer, placeholders where programs would be.\n\
         \x20 id_ed25519.pub  a public key for this demo; its private half is thrown away\n\
         \x20 custom.iso      {}: the base with the public key in it\n",
        files.folder.display(),
        format_bytes(base.size),
        base.release,
        base.generation,
        base.triplets.len(),
        format_bytes(custom.size),
    );
    changes(&mut text, custom);
    text.push_str("\nIt agrees with itself:\n");
    for check in &custom.checks {
        let word = if check.ok { "ok   " } else { "WRONG" };
        let _ = writeln!(text, "  {word} {}: {}", check.name, check.detail);
    }
    let folder = shell_quote(&files.folder);
    let _ = write!(text, "\nThe same by hand:\n  cd {folder}\n{BY_HAND}");
    let _ = writeln!(text, "\nRemove the demo with `rm -r {folder}`.");
    text
}

fn changes(text: &mut String, custom: &Report) {
    text.push_str("\nWhat was put in:\n");
    let Some(injected) = &custom.injected else { return text.push_str("  nothing\n") };
    for key in &injected.keys {
        let _ = writeln!(text, "  {} may log in with {}", key.user, key.fingerprint);
    }
    for file in injected.files.iter().filter(|file| file.kind == "file") {
        let _ = writeln!(text, "  {} {}", file.mode, file.path);
    }
    text.push_str("\nWhat starts it, behind the base's own initrds:\n");
    for menu in &custom.menus {
        let place = if menu.place == "esp" { "in the UEFI boot image" } else { "on the volume" };
        let _ = writeln!(text, "  {} entries of {} {place}", menu.entries.len(), menu.path);
    }
}

/// What to type in the folder of the demo.
const BY_HAND: &str = "  ssh-keygen -t ed25519 -f my_key
  remaster base.iso --key my_key.pub -o mine.iso
  remaster inspect mine.iso

With a real installer as base.iso the image boots, and lets the key in:
  ssh -i my_key root@ADDRESS
";
