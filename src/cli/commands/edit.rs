//! `remaster edit`: puts other things into an image file, without writing all of it again.

use std::path::PathBuf;

use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::live::{Customization, HostKeys};
use remaster::output::in_place::{Edited, Finished};
use remaster::stamp::replaced::{self, Fact};

use crate::cli::job::{Edit, Stamping};
use crate::cli::known_hosts::KnownHosts;
use crate::cli::printer;
use crate::cli::progress::Meter;
use crate::cli::record::ManifestArgs;
use crate::cli::shell::shell_quote;
use remaster::units::format_bytes;

/// Put something else into an image file, writing only what changes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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
    inside: ManifestArgs,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.check_recover()?;
    let asked = if args.recover { None } else { Some(args.edit.gather()?) };
    // What is wrong with the arguments is said before an edit that was interrupted is finished.
    let known = asked.as_ref().map(|(_, wishes)| args.known_hosts(wishes)).transpose()?.flatten();
    let edited = Edited::take(&args.image)?;
    let recovered = if args.dry_run { None } else { recover(&edited)? };
    let Some((recipe, wishes)) = asked else {
        if recovered.is_none() {
            printer::say(&format!("no edit of {} was interrupted\n", shell_quote(&args.image)));
        }
        return Ok(());
    };
    let file = ImageFile::open(&args.image)?;
    check_regular(&file)?;
    let progress = Meter::stages()?;
    let asked = (recipe, wishes);
    let stamping = Stamping::plan(&file, asked, &args.inside, args.edit.no_key, &progress)?;
    if args.dry_run {
        return printer::print(&stamping.dry_run());
    }
    let finished = stamping.compose()?;
    let bytes = edited.rewrite(finished.image.outgoing(), &progress)?;
    let name = shell_quote(&args.image);
    let bytes = format_bytes(bytes);
    printer::say(&format!("{}changed {name} ({bytes} written)\n", finished.summary));
    match &known {
        Some(known) => known.write()?,
        None => args.tell_stale(&finished.gone),
    }
    if let Some(known) = known {
        printer::say(&known.told());
    }
    Ok(())
}

impl Args {
    /// The file beside the image is about the image, and is replaced with it; another one may be about others.
    fn known_hosts(&self, wishes: &Customization) -> Result<Option<KnownHosts>> {
        let wanted = self.edit.known_hosts();
        KnownHosts::of(wishes, wanted, Some(&self.image), wanted.is_none())
    }

    /// Tells of a file beside the image by which clients would look for a host key that is gone.
    fn tell_stale(&self, gone: &[Fact]) {
        let file = HostKeys::file_beside(&self.image);
        if replaced::has_host_key(gone) && file.exists() {
            let file = shell_quote(&file);
            printer::say(&format!(
                "note: {file} is about a host key that is taken out: remove it\n"
            ));
        }
    }

    /// What would not be done, beside an edit that is finished.
    fn check_recover(&self) -> Result<()> {
        let mut given = self.edit.given();
        given.extend(self.inside.given().into_iter().map(str::to_owned));
        given.extend(self.dry_run.then(|| "--dry-run".to_owned()));
        if !self.recover || given.is_empty() {
            return Ok(());
        }
        Err(Error::Usage {
            what: format!(
                "--recover finishes an edit that was interrupted, and does nothing else: {} would not be done",
                given.join(", ")
            ),
            hint: "run `remaster edit --recover IMAGE` first, then edit it".into(),
        })
    }
}

/// Finishes an edit that was interrupted, and tells what it was.
pub(crate) fn recover(edited: &Edited) -> Result<Option<Finished>> {
    let finished = edited.recover()?;
    if let Some(Finished { old_size, new_size, bytes }) = finished {
        let (name, bytes) = (shell_quote(edited.path()), format_bytes(bytes));
        printer::say(&format!(
            "finished an edit of {name} that was interrupted: {bytes} changed, size {old_size} -> {new_size} bytes\n"
        ));
    }
    Ok(finished)
}

/// A journal lies beside a file; a disk has no beside.
pub(crate) fn check_regular(file: &ImageFile) -> Result<()> {
    let about = file.file().metadata().map_err(Error::io("look at the image"))?;
    if about.is_file() {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!("{} is not a regular file", file.path().display()),
        hint: "use `remaster flash BASE --key KEY DEVICE`, which writes only what differs".into(),
    })
}
