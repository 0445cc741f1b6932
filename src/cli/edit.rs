//! `remaster edit`: puts other things into an image file, without writing all of it again.

use std::path::PathBuf;

use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::sink::in_place::Edited;

use super::progress::Terminal;
use super::record::Inside;
use super::report;
use super::stamp::{self, Edit, Stamping, typed};
use remaster::units::human;

/// Put something else into an image file, rewriting only what changes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image file to change, stamped or not; what was put in before is replaced
    image: PathBuf,
    /// Change the file itself; a journal beside it makes that safe against being killed
    #[arg(long, required_unless_present = "recover")]
    in_place: bool,
    /// Finish an edit that was interrupted, and do nothing else
    #[arg(long, conflicts_with = "in_place")]
    recover: bool,
    #[command(flatten)]
    edit: Edit,
    #[command(flatten)]
    inside: Inside,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let wishes = if args.recover { None } else { Some(args.edit.gather(args.quiet)?) };
    let edited = Edited::take(&args.image)?;
    let recovered = !args.dry_run && edited.recover()?;
    if recovered && report::watched(args.quiet) {
        report::say("finished an edit that was interrupted\n");
    }
    let Some(wishes) = wishes else { return Ok(()) };
    let file = ImageFile::open(&args.image)?;
    check_regular(&file)?;
    let base = stamp::basis(&file)?;
    let progress = Terminal::new(report::watched(args.quiet))?;
    let about = args.inside.about_base(&base, &progress)?;
    let stamping = Stamping::plan(&file, base, wishes, &about)?;
    if args.dry_run {
        return report::print(&stamping.dry_run());
    }
    if stamping.is_private() {
        edited.keep_from_others()?;
    }
    let finished = stamping.compose()?;
    let bytes = edited.rewrite(&finished.image, &progress)?;
    if report::watched(args.quiet) {
        let name = typed(&args.image);
        let bytes = human(bytes);
        report::say(&format!("{}changed {name} ({bytes} written)\n", finished.summary));
    }
    Ok(())
}

/// A journal lies beside a file; a disk has no beside.
pub(super) fn check_regular(file: &ImageFile) -> Result<()> {
    let about = file.file().metadata().map_err(Error::io("look at the image"))?;
    if about.is_file() {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!("{} is no regular file", file.path().display()),
        hint: "use `remaster flash BASE --key KEY DEVICE`, which writes only what differs",
    })
}
