//! `remaster apply`: a base and a patch file become the image that the patch was made of.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use remaster::error::{Error, Result};
use remaster::formats::patch_file::{LARGEST, PatchFile};
use remaster::image::ImageFile;
use remaster::image::digest::Digest;
use remaster::image::file_type::{FileType, HEAD};
use remaster::output::file::OverwritePolicy;
use remaster::progress::Progress;
use remaster::stamp::oci::{Layout, Parts};
use remaster::stamp::patch::{self, Applied};
use remaster::units::len_of;

use super::base;
use crate::cli::destination::Destination;
use crate::cli::printer;
use crate::cli::progress::Meter;

/// Make an image from its base and a patch, or from an OCI layout
#[derive(Debug, clap::Args)]
// A layout has its base itself.
#[command(mut_arg("offline", |argument| argument.conflicts_with("name")))]
#[command(mut_arg("cache", |argument| argument.conflicts_with("name")))]
pub(crate) struct Args {
    /// Base that the patch was made for, plain or packed, or its name; with --name, the folder of an OCI image
    /// layout
    base: PathBuf,
    /// Patch file, as `--as patch` writes it
    #[arg(required_unless_present = "name")]
    patch: Option<PathBuf>,
    /// Image of the OCI image layout
    #[arg(long, value_name = "NAME", conflicts_with = "patch")]
    name: Option<String>,
    #[command(flatten)]
    source: base::Source,
    /// Image to write, or `-` for a pipe
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output if it is there
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Parts { base, patch } = parts(args)?;
    let patch = read(&patch)?;
    let file = base::open(&base, &args.source)?;
    let existing = if args.force { OverwritePolicy::Replace } else { OverwritePolicy::Refuse };
    let output = Destination::of(&args.output, &file, existing)?;
    let progress = Meter::stages()?;
    let image = applied(&patch, &file, &progress)?;
    let how = output.write(image.outgoing(), &progress)?;
    printer::say(&output.next(image.outgoing(), how));
    Ok(())
}

/// Where base and patch lie.
fn parts(args: &Args) -> Result<Parts> {
    match &args.name {
        Some(name) => Layout::at(&args.base)?.parts(name),
        None => {
            Ok(Parts { base: args.base.clone(), patch: args.patch.clone().unwrap_or_default() })
        }
    }
}

/// Reads a patch file whole.
pub(crate) fn read(path: &Path) -> Result<PatchFile> {
    let name = path.display();
    let doing = || format!("read the patch {name}");
    let file = File::open(path).map_err(Error::io(doing()))?;
    let mut bytes = Vec::new();
    (&file).take(HEAD).read_to_end(&mut bytes).map_err(Error::io(doing()))?;
    if !PatchFile::is_in(&bytes) {
        return Err(not_a_patch(name.to_string(), &FileType::of(&bytes)));
    }
    (&file).take(LARGEST).read_to_end(&mut bytes).map_err(Error::io(doing()))?;
    let size = len_of(&bytes);
    if size > LARGEST {
        let found = format!("{size} bytes or more");
        return Err(Error::malformed(name.to_string(), 0, found, "a patch file"));
    }
    PatchFile::parse(&bytes).map_err(|fault| fault.in_image(0).of_image(name))
}

fn not_a_patch(name: String, found: &FileType) -> Error {
    let is = match found {
        FileType::Disk(disk) => format!("is {}, not a remaster patch", disk.name()),
        FileType::Other(other) => format!("is not a remaster patch: it {}", other.is()),
    };
    let hint = "give the base first, then the file that `--as patch` wrote".to_owned();
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
    let digest = known.map_or_else(|| Digest::of(&base, progress), Ok)?;
    patch::apply(patch, base, digest, &name)
}
