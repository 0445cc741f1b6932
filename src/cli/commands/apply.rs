//! `remaster apply`: a base and a patch file, or a descriptor of both, become the image that the patch was made of.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use remaster::bounded;
use remaster::error::{Advice, Error, Material, Result};
use remaster::formats::patch_file::{LARGEST, PatchFile};
use remaster::image::ImageFile;
use remaster::image::digest::Digest;
use remaster::image::file_type::{FileType, HEAD};
use remaster::place;
use remaster::progress::Progress;
use remaster::run_files::RunFiles;
use remaster::stamp::descriptor::{self, Descriptor};
use remaster::stamp::oci::{Layout, Parts};
use remaster::stamp::patch::{self, Applied};
use remaster::units::u64_len;

use super::described;
use crate::cli::base;
use crate::cli::destination::{Destination, OutputArgs};
use crate::cli::printer;
use crate::cli::shell::shell_quote;
use crate::cli::slips;
use crate::cli::stale;

/// Make an image from its base and a patch, or from an OCI layout
#[derive(Debug, clap::Args)]
// A layout has its base itself.
#[command(mut_arg("offline", |argument| argument.conflicts_with("name")))]
#[command(mut_arg("cache", |argument| argument.conflicts_with("name")))]
pub(crate) struct Args {
    /// Base that the patch was made for, plain or packed, or its name; a descriptor alone, which gets its base itself; with
    /// --name, the folder of an OCI image layout
    base: PathBuf,
    /// Patch file, as `remaster BASE --as patch` writes it, or its descriptor
    patch: Option<PathBuf>,
    /// Image of the OCI image layout
    #[arg(long, value_name = "NAME", conflicts_with = "patch")]
    name: Option<String>,
    #[command(flatten)]
    source: base::Source,
    /// Image to write, or `-` for a pipe
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    written: OutputArgs,
}

pub(crate) fn run(args: &Args, files: &mut RunFiles) -> Result<()> {
    let Inputs { base, patch, descriptor } = read_inputs(args, files)?;
    base::take_down(base.path(), files)?;
    let output = args.written.destination(&args.output, &base)?;
    let progress = Destination::meter(Some(&output))?;
    let image = applied(&patch, &base, &progress).map_err(|fault| match &args.name {
        Some(_) => fault.advised(Material::Layout),
        None => fault,
    })?;
    if let Some(descriptor) = descriptor {
        descriptor.check_image(image.image())?;
    }
    let how = output.write(image.outgoing(), Vec::new(), &progress)?;
    printer::say(&output.next(image.outgoing(), how));
    if let Destination::File(_) = output {
        stale::tell_perhaps(&args.output, &[]);
    }
    Ok(())
}

/// What an image is made of.
struct Inputs {
    base: ImageFile,
    patch: PatchFile,
    descriptor: Option<Descriptor>,
}

fn read_inputs(args: &Args, files: &mut RunFiles) -> Result<Inputs> {
    if let Some(name) = &args.name {
        let Parts { base, patch } = Layout::open(&args.base)?.parts(name)?;
        return plain(&base, &patch, args);
    }
    let told = args.patch.as_deref().unwrap_or(&args.base);
    let descriptor = descriptor(told)?;
    match (descriptor, &args.patch) {
        (Some(descriptor), other) => {
            let (folder, free) = (place::folder_of(told), || args.written.check_free(&args.output));
            let patch = patch_of(&descriptor, &folder, files)?;
            let base = match other {
                Some(_) => base::open(&args.base, &args.source, free)?,
                None => described::open(&descriptor.base, &folder, &args.source, free)?,
            };
            Ok(Inputs { base, patch, descriptor: Some(descriptor) })
        }
        (None, Some(patch)) => plain(&args.base, patch, args),
        (None, None) => Err(alone(&args.base)),
    }
}

fn plain(base: &Path, patch: &Path, args: &Args) -> Result<Inputs> {
    let patch = read(patch)?;
    let free = || args.written.check_free(&args.output);
    Ok(Inputs { base: base::open(base, &args.source, free)?, patch, descriptor: None })
}

/// The error for one word where two are needed.
fn alone(given: &Path) -> Error {
    let name = given.display();
    if let Err(fault) = fs::metadata(given) {
        return Error::io(format!("open {name}"))(fault);
    }
    let descriptor = format!("{name}.descriptor.json");
    let (what, hint) = if given.is_dir() {
        (
            format!("{name} is a folder, and no image of it is named"),
            "give --name NAME for an image of an OCI image layout".to_owned(),
        )
    } else if read(given).is_ok() && Path::new(&descriptor).exists() {
        (
            format!("{name} is a patch, and its base is not given"),
            format!(
                "give its descriptor, which names the base: {descriptor}; or the base before the patch"
            ),
        )
    } else if read(given).is_ok() {
        (
            format!("{name} is a patch, and its base is not given"),
            "give the base before the patch: `remaster apply BASE PATCH`".to_owned(),
        )
    } else {
        (
            format!("{name} is not a descriptor, and no patch is given"),
            "give the patch after its base: `remaster apply BASE PATCH`".to_owned(),
        )
    };
    Error::Usage { what, hint: hint.into() }
}

/// The descriptor in a file; none if that is something else.
fn descriptor(path: &Path) -> Result<Option<Descriptor>> {
    let mut head = Vec::new();
    let start = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    // What cannot be read is reported by what reads it.
    if start.is_err() || !Descriptor::may_be(&head) {
        return Ok(None);
    }
    let name = path.display();
    let text = bounded::read(path, descriptor::LARGEST, &format!("read the descriptor {name}"))?;
    Descriptor::parse(&text).map(Some).map_err(|fault| fault.in_file(Material::Descriptor, name))
}

/// The patch that a descriptor in a folder names, held to its SHA-256. A link would lead out of the folder.
fn patch_of(descriptor: &Descriptor, folder: &Path, files: &mut RunFiles) -> Result<PatchFile> {
    let path = folder.join(&descriptor.patch.file);
    let name = path.display();
    files.read(&format!("the patch {name}"), &path)?;
    let about = fs::symlink_metadata(&path);
    let about =
        about.map_err(Error::io(format!("read the patch {name}, which the descriptor names")))?;
    if !about.is_file() {
        return Err(Error::Recipe {
            what: format!("{name}, which the descriptor names, is not a file"),
            hint: "put the patch itself beside its descriptor".into(),
        });
    }
    let bytes = bounded::read(&path, LARGEST, &format!("read the patch {name}"))?;
    descriptor.patch(&bytes).map_err(|fault| fault.in_file(Material::Patch, name))
}

/// Reads a patch file whole.
pub(crate) fn read(path: &Path) -> Result<PatchFile> {
    let name = path.display();
    let doing = || format!("read the patch {name}");
    let mut file = bounded::open(path, &doing())?;
    let mut bytes = Vec::new();
    (&mut file).take(HEAD).read_to_end(&mut bytes).map_err(Error::io(doing()))?;
    if !PatchFile::is_in(&bytes) {
        return Err(not_a_patch(path, &FileType::recognize(&bytes)));
    }
    file.take(LARGEST).read_to_end(&mut bytes).map_err(Error::io(doing()))?;
    let size = u64_len(&bytes);
    if size > LARGEST {
        let found = format!("{size} bytes or more");
        let fault = Error::malformed(name.to_string(), 0, found, "a patch file");
        return Err(fault.advised(Material::Patch));
    }
    PatchFile::parse(&bytes).map_err(|fault| fault.in_image(0).in_file(Material::Patch, name))
}

fn not_a_patch(path: &Path, found: &FileType) -> Error {
    let name = path.display().to_string();
    if slips::is_descriptor(path) {
        let quoted = shell_quote(path);
        let hint = format!(
            "give the patch itself, which stands beside it; or `remaster apply {quoted} -o FILE` makes the image"
        );
        let is = "is a descriptor, not a remaster patch".to_owned();
        return Error::NotAnImage { name, is, hint: hint.into() };
    }
    let is = match found {
        FileType::Disk(disk) => format!("is {}, not a remaster patch", disk.name()),
        FileType::Other(other) => format!("is not a remaster patch: it {}", other.is()),
    };
    let hint = match found {
        FileType::Other(other) if matches!(other.hint, Advice::Unpack(_)) => other.hint.clone(),
        FileType::Disk(_) => "give the base first, then the file that `--as patch` wrote".into(),
        FileType::Other(_) => "give the file that `--as patch` wrote".into(),
    };
    Error::NotAnImage { name, is, hint }
}

/// The image, after the base was found to be the right one.
pub(crate) fn applied<'a>(
    patch: &PatchFile,
    file: &'a ImageFile,
    progress: &dyn Progress,
) -> Result<Applied<&'a ImageFile>> {
    let name = file.path().display().to_string();
    let base = patch::base_in(file, patch, &name)?;
    let known = file.sha256().filter(|_| base.is_base()).map(Digest);
    let digest = known.map_or_else(|| Digest::compute(&base, progress), Ok)?;
    patch::apply(patch, base, digest, &name)
}
