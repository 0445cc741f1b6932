//! `remaster reset`: the base below a stamped image or stick, byte for byte.

use std::path::{Path, PathBuf};

use remaster::compose::Composed;
use remaster::digest::Digest;
use remaster::error::{Error, Result};
use remaster::image::{ImageFile, ReadAt};
use remaster::sink::file::Existing;
use remaster::sink::in_place::Edited;
use remaster::stamped::Base;
use remaster::units::{ByteRange, human};

use super::base;
use super::flash::{self, Prepared, To};
use super::make::Destination;
use super::progress::Terminal;
use super::report;
use super::stamp::typed;

/// Take out what was put in: the official image, byte for byte
#[derive(Debug, clap::Args)]
#[command(mut_arg("devices", |argument| argument.value_name("IMAGE").required(true).num_args(1).help("Stamped image file (may be packed), or a stick with one")))]
#[command(mut_arg("file", |argument| argument.hide(true)))]
pub(super) struct Args {
    #[command(flatten)]
    to: To,
    /// Image to write, or `-` for a pipe
    #[arg(short, long, value_name = "FILE", required_unless_present = "in_place")]
    output: Option<PathBuf>,
    /// Change the file or the stick itself
    #[arg(long, conflicts_with = "output")]
    in_place: bool,
    /// SHA-256 that the result must have, as published beside the official image
    #[arg(long, value_name = "HEX")]
    sha256: Option<Digest>,
    /// Replace the output if it is there
    #[arg(short, long)]
    force: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let path = args.to.devices.first().map_or(Path::new(""), PathBuf::as_path);
    let is_file = path.is_file();
    let edited = (args.in_place && is_file).then(|| Edited::take(path)).transpose()?;
    if let Some(edited) = &edited {
        edited.recover()?;
    }
    let mut file = ImageFile::open(path)?;
    let output = args.output.as_deref().map(|output| {
        let existing = if args.force { Existing::Replace } else { Existing::Refuse };
        Destination::of(output, &file, existing)
    });
    let output = output.transpose()?;
    if !args.in_place {
        file = base::unpacked(file, args.output.as_deref(), args.quiet)?;
    }
    let image = below(&file)?;
    let progress = Terminal::new(report::watched(args.quiet))?;
    let digest = Digest::of(&image, &progress)?;
    check(&file, digest, args.sha256)?;
    match (output, edited) {
        (Some(output), _) => output.write(&image, &progress).map(|_| ())?,
        (None, Some(edited)) => edited.rewrite(&image, &progress).map(|_| ())?,
        (None, None) => onto_stick(&image, &args.to)?,
    }
    if !args.quiet {
        let name = args.output.as_deref().unwrap_or(path);
        let size = human(image.size());
        report::say(&format!("{}: {size}, SHA-256 {digest}\n", typed(name)));
    }
    Ok(())
}

/// The base below a stamped image.
fn below(file: &ImageFile) -> Result<Composed<&ImageFile>> {
    let name = file.path().display();
    let base = Base::of(file).map_err(|fault| fault.of_image(name))?;
    if base.stamped.is_none() {
        return Err(Error::Usage {
            what: format!("nothing was put into {}", file.path().display()),
            hint: "see `remaster inspect` for what an image is",
        });
    }
    Ok(base.image)
}

fn check(file: &ImageFile, found: Digest, demanded: Option<Digest>) -> Result<()> {
    match demanded {
        Some(expected) if expected != found => Err(Error::WrongBase {
            name: format!("what lies below {}", file.path().display()),
            found: format!("SHA-256 {found}"),
            expected: expected.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Writes the base over the stick that it is read from: only what differs, which does not come from
/// the stick but from the undo record in memory.
fn onto_stick(image: &Composed<&ImageFile>, to: &To) -> Result<()> {
    let changed: Vec<ByteRange> =
        image.pieces().iter().filter(|piece| !piece.stays()).map(|piece| piece.at).collect();
    let mut prepared = Prepared::whole(image, Vec::new());
    prepared.suspects = Some(changed.clone());
    prepared.changed = changed;
    let to = To { delta: true, no_delta: false, no_probe: true, ..to.clone() };
    flash::write(prepared, &to)?.map_or(Ok(()), Err)
}
