//! `remaster reset`: the base below a stamped image or stick, byte for byte.

use std::path::{Path, PathBuf};

use remaster::disk::injected;
use remaster::disk::survey::Raw;
use remaster::error::{Error, Result};
use remaster::flash::PutBack;
use remaster::image::digest::Digest;
use remaster::image::patched::Composed;
use remaster::image::{ImageFile, ReadAt};
use remaster::iso::injected::Below;
use remaster::output::file::Existing;
use remaster::output::in_place::Edited;
use remaster::units::{ByteRange, human};
use serde_json::json;

use super::base;
use super::edit;
use super::flash::{self, Prepared, To};
use crate::cli::commands::customize::Destination;
use crate::cli::job::typed;
use crate::cli::printer;
use crate::cli::progress::Meter;
use crate::cli::progress::{EVENTS, emit};

/// Take out what was put in: the official image, byte for byte
#[derive(Debug, clap::Args)]
#[command(mut_arg("devices", |argument| argument.value_name("IMAGE").required(true).num_args(1).help("Stamped image file (may be packed), or a stick with one")))]
#[command(mut_arg("file", |argument| argument.hide(true)))]
pub(crate) struct Args {
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
}

/// Resets the image. With `--json`, what ends it is told as an event, too.
pub(crate) fn run(args: &Args) -> Result<()> {
    let ended = reset(args);
    if let Err(fault) = &ended
        && args.to.json
    {
        flash::tell_end(fault);
    }
    ended
}

fn reset(args: &Args) -> Result<()> {
    let path = args.to.devices.first().map_or(Path::new(""), PathBuf::as_path);
    let is_file = path.is_file();
    let edited = (args.in_place && is_file).then(|| Edited::take(path)).transpose()?;
    if let Some(edited) = &edited {
        edit::recover(edited)?;
    }
    let mut file = ImageFile::open(path)?;
    let output = args.output.as_deref().map(|output| {
        let existing = if args.force { Existing::Replace } else { Existing::Refuse };
        Destination::of(output, &file, existing)
    });
    let output = output.transpose()?;
    if !args.in_place {
        file = base::unpacked(file, args.output.as_deref())?;
    }
    let below = below(&file)?;
    let image = below.image();
    let progress = Meter::stages()?;
    let digest = Digest::of(image, &progress)?;
    check(&file, digest, below.sha256())?;
    check(&file, digest, args.sha256)?;
    match (output, edited) {
        (Some(output), _) => output.kept_as(image)?.write(image, &progress).map(|_| ())?,
        (None, Some(edited)) => edited.rewrite(image, &progress).map(|_| ())?,
        (None, None) => onto_stick(&below, digest, &args.to)?,
    }
    let name = args.output.as_deref().unwrap_or(path);
    if args.to.json && name != Path::new("-") {
        emit(&json!({ "v": EVENTS, "event": "reset", "target": name, "size": image.size(),
            "sha256": digest.to_string() }));
    } else {
        let size = human(image.size());
        printer::say(&format!("{}: {size}, SHA-256 {digest}\n", typed(name)));
    }
    Ok(())
}

/// What lies below a stamped image.
enum Found<'a> {
    Iso(Below<&'a ImageFile>),
    Raw(Composed<&'a ImageFile>),
}

impl<'a> Found<'a> {
    fn image(&self) -> &Composed<&'a ImageFile> {
        match self {
            Self::Iso(below) => &below.image,
            Self::Raw(image) => image,
        }
    }

    /// Its SHA-256, as a reset that was interrupted found it.
    fn sha256(&self) -> Option<Digest> {
        match self {
            Self::Iso(below) => below.sha256.map(Digest),
            Self::Raw(_) => None,
        }
    }
}

/// The base below a stamped image.
fn below(file: &ImageFile) -> Result<Found<'_>> {
    let name = file.name();
    let nothing = || Error::Usage {
        what: format!("nothing was put into {}", file.path().display()),
        hint: "see `remaster inspect` for what an image is",
    };
    let found = if Raw::is_one(&file) {
        let base = injected::Base::of(file).map_err(|fault| fault.of_image(&name))?;
        base.stamped.is_some().then_some(Found::Raw(base.image))
    } else {
        Below::of(file).map_err(|fault| fault.of_image(&name))?.map(Found::Iso)
    };
    found.ok_or_else(nothing)
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

/// Writes the base over the stick that it is read from: what differs comes from the undo record in memory.
fn onto_stick(found: &Found<'_>, sha256: Digest, to: &To) -> Result<()> {
    let image = found.image();
    let changed: Vec<ByteRange> =
        image.pieces().iter().filter(|piece| !piece.stays()).map(|piece| piece.at).collect();
    match found {
        Found::Iso(below) => {
            let (stamped_size, undo) = (below.stamped_size, below.undo);
            let what = PutBack { base: image, sha256, changed: &changed, stamped_size, undo };
            flash::put_back(what, to)
        }
        // Its undo record lies in the filesystem that is put back, so nothing is left to go on with.
        Found::Raw(_) => {
            let mut prepared = Prepared::whole(image, "what lies below".into(), Vec::new())?;
            prepared.suspects = Some(changed.clone());
            prepared.changed = changed;
            let to = To { delta: true, no_delta: false, no_probe: true, ..to.clone() };
            flash::write(prepared, &to)?.map_or(Ok(()), Err)
        }
    }
}
