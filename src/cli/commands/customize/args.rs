//! The arguments of the command that makes an image.

use std::path::PathBuf;

use crate::cli::base;
use crate::cli::destination::OutputArgs;
use crate::cli::edit_args::EditArgs;
use crate::cli::record::{ManifestArgs, SidecarArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Installer ISO or SD card image, or the name of a base; never changed
    ///
    /// It may be as downloaded or stamped before, plain or packed (xz, zst, gz, bz2, lz4, zip). Names are those that
    /// `remaster base list` shows. A tar archive for kexec is taken, too.
    #[arg(required = true)]
    pub(crate) base: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) source: base::Source,

    #[command(flatten)]
    pub(crate) edit: EditArgs,

    /// Image to write, or `-` for a pipe
    #[arg(short, long, value_name = "FILE", required_unless_present = "dry_run")]
    pub(crate) output: Option<PathBuf>,

    /// What to write: an image, or a small patch file that makes it from the official base (`remaster apply`)
    #[arg(long = "as", value_enum, value_name = "image|patch", default_value = "image", conflicts_with_all = ["manifest", "provenance", "sbom"])]
    pub(crate) form: Form,

    #[command(flatten)]
    pub(crate) written: OutputArgs,

    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) inside: ManifestArgs,

    #[command(flatten)]
    pub(crate) beside: SidecarArgs,
}

/// What is written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Form {
    /// The whole image.
    Image,
    /// Its difference from the base.
    Patch,
}
