//! `remaster verify`: compare a medium or file with an image.

use std::path::PathBuf;

use remaster::device::System;
use remaster::error::{Error, Result};
use remaster::flash::{self, Medium, Readable};
use remaster::image::ReadAt;

use super::base;
use super::flash::{tell_differences, tell_end};
use super::meter::{Meter, Style};

/// Compare a stick or file, read past the cache, with the image that was written to it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Disk or file to read
    pub(crate) medium: PathBuf,
    /// Image it should hold, plain or packed (xz, zst, gz, bz2, zip), or the name of a base
    #[arg(long, value_name = "IMAGE")]
    pub(crate) against: Option<PathBuf>,
    #[command(flatten)]
    source: base::Source,
    /// Print events as JSON, one per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Compares with the image of `--against`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let compared = compare(args);
    if let Err(fault) = &compared
        && args.json
    {
        tell_end(fault);
    }
    compared
}

fn compare(args: &Args) -> Result<()> {
    let Some(against) = &args.against else {
        return Err(Error::Usage {
            what: "nothing to compare with".to_owned(),
            hint: "give the image with `--against IMAGE`",
        });
    };
    against_image(args, &base::open(against, &args.source, None, args.json)?)
}

/// Compares the medium with any image that can be read.
pub(crate) fn against_image(args: &Args, image: &dyn ReadAt) -> Result<()> {
    let medium = Readable::open(&args.medium, &System::default())?;
    let meter = Meter::new(medium.name(), Style::choose(args.json));
    let report = flash::verify(&medium, image, &meter)?;
    tell_differences(&medium.name(), &report, args.json)?;
    report.error(&medium.name()).map_or(Ok(()), Err)
}
