//! `remaster reset`: the base below a stamped image or stick, byte for byte.

use std::path::{Path, PathBuf};

use remaster::error::{Error, Result};
use remaster::flash::Restore;
use remaster::image::digest::Digest;
use remaster::image::{ImageFile, ReadAt};
use remaster::output::in_place::InPlaceEdit;
use remaster::stamp::base_image::Original;
use remaster::stamp::manifest::{below, found};
use remaster::stamp::privacy::{self, Privacy};
use remaster::units::{ByteRange, format_bytes};
use serde_json::json;

use super::edit;
use super::flash::{self, Disks, FlashSource, TargetArgs};
use crate::cli::base;
use crate::cli::destination::{Destination, OutputArgs};
use crate::cli::events;
use crate::cli::printer;
use crate::cli::shell::shell_quote;
use crate::cli::stale;

/// Restore the official image, byte for byte
///
/// `remaster format` turns a stick back into an ordinary one.
#[derive(Debug, clap::Args)]
#[command(mut_arg("devices", |argument| argument.value_name("IMAGE").required(true).num_args(1).action(clap::ArgAction::Set).help("Stamped image file (may be packed), or a stick with one")))]
#[command(mut_arg("force", |argument| argument.conflicts_with("in_place")))]
#[command(
    override_usage = "remaster reset <IMAGE> -o <FILE> [OPTIONS]\n       remaster reset --in-place <IMAGE> [OPTIONS]"
)]
#[command(mut_arg("no_sync", |argument| argument.conflicts_with("in_place")))]
pub(crate) struct Args {
    #[command(flatten)]
    disks: Disks,
    /// Leave the backup GPT where it is in the base
    #[arg(long)]
    exact: bool,
    /// Image to write, or `-` for a pipe
    #[arg(short, long, value_name = "FILE", required_unless_present = "in_place")]
    output: Option<PathBuf>,
    /// Change the file or the stick itself
    #[arg(long, conflicts_with = "output")]
    in_place: bool,
    /// SHA-256 that the result must have, as published beside the official image
    #[arg(long, value_name = "HEX")]
    sha256: Option<Digest>,
    #[command(flatten)]
    written: OutputArgs,
}

/// Resets the image. With `--json`, what ends it is reported as an event, too.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.disks.json {
        printer::tell_events();
    }
    let ended = reset(args);
    if let Err(fault) = &ended
        && args.disks.json
    {
        flash::tell_end(fault);
    }
    ended
}

fn reset(args: &Args) -> Result<()> {
    let path = args.disks.devices.first().map_or(Path::new(""), PathBuf::as_path);
    let is_file = path.is_file();
    args.check(path, is_file)?;
    if args.in_place {
        base::check_plain(path, "reset --in-place")?;
    }
    let edited = (args.in_place && is_file).then(|| InPlaceEdit::take(path)).transpose()?;
    if let Some(edited) = &edited {
        edit::recover(edited)?;
    }
    let mut file = ImageFile::open(path)?;
    let output =
        args.output.as_deref().map(|output| args.written.destination(output, &file)).transpose()?;
    if !args.in_place {
        file = base::unpacked(file, args.output.as_deref())?;
    }
    let below = below(&file)?;
    if edited.is_some() {
        edit::check_end(&file, below.stamped_size())?;
    }
    let (image, stamped) = (below.image(), privacy::known_of(&file)?);
    let progress = Destination::meter(output.as_ref())?;
    let digest = Digest::compute(image, &progress)?;
    let known = known(&file, &below, digest, args.sha256)?;
    match (output, edited) {
        (Some(output), _) => {
            output.write(below.outgoing(stamped), Vec::new(), &progress).map(drop)?;
        }
        (None, Some(edited)) => edited.rewrite(below.outgoing(stamped), &progress).map(|_| ())?,
        (None, None) => onto_stick(&below, digest, (&args.disks, args.exact))?,
    }
    let name = args.output.as_deref().unwrap_or(path);
    if name.is_file() {
        stale::tell(name, &[]);
    }
    if args.disks.json {
        printer::event(
            events::RESET,
            json!({ "target": name, "size": image.size(),
            "sha256": digest.to_string(), "known_by": known.event() }),
        );
    } else {
        let (size, told) = (format_bytes(image.size()), known.description());
        let shown =
            if name == Path::new("-") { "standard output".to_owned() } else { shell_quote(name) };
        printer::say(&format!(
            "{shown}: {size}, SHA-256 {digest}{told}{}\n",
            args.written.sync_note()
        ));
    }
    Ok(())
}

impl Args {
    /// Refuses what would not be acted on.
    fn check(&self, path: &Path, is_file: bool) -> Result<()> {
        if self.disks.json && self.output.as_deref() == Some(Path::new("-")) {
            return Err(Error::Usage {
                what: "--json prints to standard output, where the image goes".into(),
                hint: "leave out --json, or give a file to -o".into(),
            });
        }
        let own = [("--exact", self.exact)];
        match &self.output {
            Some(output) => self.disks.check_no_disk(output, &own),
            None if is_file => self.disks.check_no_disk(path, &own),
            None => Ok(()),
        }
    }
}

/// The base below a stamped image.
fn below(file: &ImageFile) -> Result<Original<&ImageFile>> {
    let found = Original::below(file).map_err(|fault| file.at_fault(fault))?;
    found.ok_or_else(|| Error::Usage {
        what: format!("nothing was put into {}", file.path().display()),
        hint: "it is a base already: use it as it is".into(),
    })
}

/// How the base is known to be the one that was stamped.
#[derive(Clone, Copy)]
enum Known {
    Demanded,
    Manifest,
    /// The mark of a reset that was interrupted.
    Mark,
    /// The manifest, of the first mebibyte only.
    Head,
    Nothing,
}

impl Known {
    fn event(self) -> Option<&'static str> {
        match self {
            Self::Demanded => Some("demanded"),
            Self::Manifest => Some("manifest"),
            Self::Mark => Some("mark"),
            Self::Head => Some("head"),
            Self::Nothing => None,
        }
    }

    /// What follows the SHA-256.
    fn description(self) -> &'static str {
        match self {
            Self::Demanded => ", as required",
            Self::Manifest => ", as its manifest says",
            Self::Mark => ", as the reset that was interrupted found it",
            Self::Head => {
                "\n  only the first mebibyte could be compared with the manifest: compare this SHA-256 with the published one"
            }
            Self::Nothing => {
                "\n  no manifest has the SHA-256 of the base: compare this SHA-256 with the published one"
            }
        }
    }
}

/// Holds the base below to all that is known of it, before anything is written.
fn known(
    file: &ImageFile,
    found: &Original<&ImageFile>,
    digest: Digest,
    demanded: Option<Digest>,
) -> Result<Known> {
    let marked = found.sha256();
    let name = file.path().display().to_string();
    let whole_base = &format!("the base below {name}");
    check(whole_base, digest, marked, ", as the reset that was interrupted found it")?;
    check(whole_base, digest, demanded, "")?;
    // A disk whose reset was interrupted has no manifest that could be read.
    let read = || found::of_image(file).map_err(|fault| file.at_fault(fault));
    let inside = if marked.is_some() { None } else { read()? };
    let said = inside.map(|found| found.manifest.base);
    let whole = said.as_ref().and_then(|base| base.sha256);
    if let Some(said) = &said {
        below::check(said, (found.image(), &name), || Ok(digest))?;
    }
    Ok(match (demanded, marked, whole, said) {
        (Some(_), ..) => Known::Demanded,
        (_, Some(_), ..) => Known::Mark,
        (_, _, Some(_), _) => Known::Manifest,
        (.., Some(_)) => Known::Head,
        _ => Known::Nothing,
    })
}

fn check(what: &str, found: Digest, demanded: Option<Digest>, why: &str) -> Result<()> {
    let Some(expected) = demanded.filter(|demanded| *demanded != found) else { return Ok(()) };
    let hint = if why.is_empty() {
        "give the SHA-256 of the base that the image was made from, as it is published"
    } else {
        "get the image again from where it was made, or download its base: what this one keeps of it is damaged"
    };
    Err(Error::Checksum {
        what: what.to_owned(),
        found: found.to_string(),
        expected: format!("{expected}{why}"),
        hint: hint.into(),
    })
}

/// Writes the base over the stick that it is read from: what differs comes from the undo record in memory.
fn onto_stick(
    found: &Original<&ImageFile>,
    sha256: Digest,
    (disks, exact): (&Disks, bool),
) -> Result<()> {
    let image = found.image();
    let changed: Vec<ByteRange> =
        image.pieces().iter().filter(|piece| !piece.stays()).map(|piece| piece.at).collect();
    match found {
        Original::Iso(below) => {
            let (stamped_size, undo) = (below.stamped_size, below.undo);
            let what = Restore { base: image, sha256, changed: &changed, stamped_size, undo };
            flash::put_back(what, disks, exact)
        }
        // Its undo record lies in the filesystem that is put back, so nothing is left to go on with.
        Original::Disk(..) => {
            let mut prepared =
                FlashSource::whole(image, Privacy::Public, "the base inside it".into(), Vec::new());
            prepared.suspects = Some(changed.clone());
            prepared.changed = changed;
            flash::write(prepared, &TargetArgs::back_onto(disks, exact))?.map_or(Ok(()), Err)
        }
    }
}
