//! `remaster format`: turns a stick back into an ordinary one.

use std::path::PathBuf;

use remaster::error::{Error, Result};
use remaster::formats::fat32::Label;

use super::flash::{self, Disks};
use crate::cli::printer;

/// Turn a stick back into an ordinary one, with one FAT32 partition
///
/// All data on it is lost. It gets a partition table (MBR) with one partition over the whole disk, of type 0x0C, from
/// 1 MiB on; what other tables and filesystems left at both ends is overwritten. What was written is read back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    disks: Disks,
    /// Format a regular file instead of a disk, as large as it is
    #[arg(long, value_name = "FILE", conflicts_with = "devices")]
    to_file: Option<PathBuf>,
    /// Overwrite the file of --to-file, even if it holds something else than an image
    #[arg(long, short, requires = "to_file")]
    force: bool,
    /// Name of the filesystem: up to 11 letters, digits and signs, in capitals
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
}

/// Formats the disks. With `--json`, what ends it is reported as an event, too.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.disks.json {
        printer::tell_events();
    }
    match format(args) {
        Ok(failed) => failed.map_or(Ok(()), Err),
        Err(fault) => {
            if args.disks.json {
                flash::tell_end(&fault);
            }
            Err(fault)
        }
    }
}

fn format(args: &Args) -> Result<flash::Failed> {
    if let Some(file) = &args.to_file {
        args.disks.check_no_disk(file, &[])?;
        flash::check_kept(file, args.force)?;
    }
    let label = args.label.as_deref().map(label).transpose()?;
    flash::format(args.to_file.as_deref(), label, &args.disks)
}

fn label(text: &str) -> Result<Label> {
    Label::parse(text).ok_or_else(|| Error::Usage {
        what: format!("--label: `{text}` cannot be the name of a FAT filesystem"),
        hint: "give 1 to 11 letters without accents, digits, blanks and -_!#$%&'()@^`{}~".into(),
    })
}
