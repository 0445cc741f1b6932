//! `remaster BASE --key KEY -o OUT`: a base with keys in it, to a file or a pipe.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use remaster::compose::Composed;
use remaster::error::{Error, Result};
use remaster::image::{ImageFile, ReadAt};
use remaster::sink::file::{Existing, How, Output};
use remaster::sink::stream;
use remaster::units::human;

use super::base;
use super::progress::Terminal;
use super::report;
use super::stamp::{Edit, Stamping, typed};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// NixOS installer ISO, as downloaded or stamped before, plain or packed (xz, zst, gz, bz2, zip), or the
    /// name of a base that `remaster base list` shows; it is never changed
    #[arg(required = true)]
    base: Option<PathBuf>,

    #[command(flatten)]
    source: base::Source,

    #[command(flatten)]
    edit: Edit,

    /// Image to write, or `-` for a pipe
    #[arg(short, long, value_name = "FILE", required_unless_present = "dry_run")]
    output: Option<PathBuf>,

    /// Replace the output if it is there
    #[arg(short, long)]
    force: bool,

    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let wishes = args.edit.gather(args.quiet)?;
    let given = args.base.as_deref().unwrap_or(Path::new(""));
    let file = base::open(given, &args.source, args.output.as_deref(), args.quiet)?;
    let output =
        args.output.as_deref().map(|path| Destination::of(path, &file, args)).transpose()?;
    let stamping = Stamping::plan(&file, wishes)?;
    if args.dry_run {
        return report::print(&stamping.dry_run());
    }
    let (image, summary) = stamping.compose()?;
    let Some(output) = output else { return Ok(()) };
    let how = output.write(&image, args.quiet)?;
    if report::watched(args.quiet) {
        report::say(&(summary + &output.next(&image, how)));
    }
    Ok(())
}

/// Where an image goes.
enum Destination {
    File(Output),
    Pipe,
}

impl Destination {
    fn of(path: &Path, base: &ImageFile, args: &Args) -> Result<Self> {
        if path != Path::new("-") {
            let existing = if args.force { Existing::Replace } else { Existing::Refuse };
            return Output::new(path, base, existing).map(Self::File);
        }
        if io::stdout().is_terminal() && !args.dry_run {
            return Err(Error::Usage {
                what: "standard output is a terminal, which shows no images".into(),
                hint: "redirect it to a file or a pipe, or give a file to -o",
            });
        }
        Ok(Self::Pipe)
    }

    fn write(&self, image: &Composed<&ImageFile>, quiet: bool) -> Result<Option<How>> {
        let progress = Terminal::new(report::watched(quiet))?;
        match self {
            Self::File(output) => output.write(image, &progress).map(Some),
            Self::Pipe => stream::write(image, io::stdout().lock(), &progress).map(|()| None),
        }
    }

    /// What was written, and what to do with it.
    fn next(&self, image: &Composed<&ImageFile>, how: Option<How>) -> String {
        let Self::File(file) = self else { return String::new() };
        let shared = if how == Some(How::Cloned) { ", sharing the base's blocks" } else { "" };
        let name = typed(file.path());
        format!(
            "wrote {name} ({}{shared})\nnext: remaster flash {name} /dev/sdX\nthen: ssh root@ADDRESS, as the booted machine's screen or your router tells it\n",
            human(image.size()),
        )
    }
}
