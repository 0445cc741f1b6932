//! `remaster BASE --key KEY -o OUT`: a base with keys in it, to a file or a pipe.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use remaster::error::{Error, Result};
use remaster::image::{ImageFile, ReadAt};
use remaster::netboot::archive;
use remaster::output::file::{Existing, How, Output, Readers};
use remaster::output::{Outgoing, stream};
use remaster::progress::Progress;
use remaster::stamp::patch;
use remaster::units::human;

use super::base;
use super::tarball;
use crate::cli::job::{self, Edit, Finished, Stamping, typed};
use crate::cli::known_hosts::KnownHosts;
use crate::cli::printer;
use crate::cli::progress::Meter;
use crate::cli::record::{Beside, Inside, Told};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// NixOS installer ISO or raw image for SD cards, as downloaded or stamped before, plain or packed (xz,
    /// zst, gz, bz2, lz4, zip), or the name of a base that `remaster base list` shows, or a tar archive for kexec;
    /// it is never changed
    #[arg(required = true)]
    base: Option<PathBuf>,

    #[command(flatten)]
    source: base::Source,

    #[command(flatten)]
    pub(crate) edit: Edit,

    /// Image to write, or `-` for a pipe
    #[arg(short, long, value_name = "FILE", required_unless_present = "dry_run")]
    pub(crate) output: Option<PathBuf>,

    /// What to write: an image, or a small patch file that makes it of the official base (`remaster apply`)
    #[arg(long = "as", value_enum, value_name = "image|patch", default_value = "image", conflicts_with_all = ["manifest", "provenance", "sbom"])]
    pub(crate) form: Form,

    /// Replace the output if it is there
    #[arg(short, long)]
    force: bool,

    /// Do not wait until the output is on the disk. After a power cut soon afterwards, an empty or broken file can stand
    /// under its name
    #[arg(long)]
    no_sync: bool,

    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) inside: Inside,

    #[command(flatten)]
    pub(crate) beside: Beside,
}

/// What is written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Form {
    /// The whole image.
    Image,
    /// Its difference from the base.
    Patch,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (recipe, wishes) = args.edit.gather()?;
    let given = args.base.as_deref().unwrap_or(Path::new(""));
    let (path, sha256) = args.source.resolve(given, || args.check_free())?;
    let packed = base::file(&path, sha256)?;
    let output = args.output.as_deref().filter(|path| !(args.dry_run && *path == Path::new("-")));
    let output = output.map(|path| args.destination(path, &packed)).transpose()?;
    args.beside.check(&packed, existing(args))?;
    let beside = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let known = KnownHosts::of(&wishes, args.edit.known_hosts(), beside, args.force)?;
    let file = base::unpacked(packed, args.output.as_deref())?;
    if archive::is_tar(&file) {
        return tarball::write(args, &wishes, &file, output.as_ref(), known);
    }
    let base = job::base(&file)?;
    let progress = Meter::stages()?;
    let options = args.inside.or_by(&recipe).options_for(&base, &progress)?;
    let stamping = Stamping::plan(&file, base, wishes, &options, args.edit.no_key)?;
    if args.dry_run {
        return printer::print(&stamping.dry_run());
    }
    let finished = stamping.compose()?;
    let Some(output) = output else { return Ok(()) };
    args.write(&output, &finished, &progress)?;
    if let Some(known) = &known {
        known.write()?;
    }
    if let Some(known) = known {
        printer::say(&known.told());
    }
    Ok(())
}

fn existing(args: &Args) -> Existing {
    if args.force { Existing::Replace } else { Existing::Refuse }
}

impl Args {
    /// Writes the image or its patch, and what was asked for beside it.
    fn write(
        &self,
        output: &Destination,
        finished: &Finished<'_>,
        progress: &dyn Progress,
    ) -> Result<()> {
        if let Form::Patch = self.form {
            let bytes = patch::pack(&finished.patch(progress)?)?;
            output.write_bytes(&bytes, finished.image.outgoing().readers())?;
            printer::say(&format!("{}{}", finished.summary, output.wrote(bytes.len())));
            return Ok(());
        }
        let image = finished.image.outgoing();
        let how = output.write(image, progress)?;
        let told = Told { made: &finished.image, name: &output.name(), existing: existing(self) };
        self.beside.write(&told, image.image(), progress)?;
        let next = output.next(image, how);
        printer::say(&format!("{}{next}", finished.summary));
        Ok(())
    }

    /// Where the output goes, and whether it is waited for.
    fn destination(&self, path: &Path, base: &ImageFile) -> Result<Destination> {
        match Destination::of(path, base, existing(self))? {
            Destination::File(output) if self.no_sync => {
                Ok(Destination::File(output.without_sync()))
            }
            Destination::Pipe if self.no_sync => Err(Error::Usage {
                what: "--no-sync is about a file, and the output goes to a pipe".into(),
                hint: "leave it out",
            }),
            destination => Ok(destination),
        }
    }

    /// Better to refuse before a base is fetched than after.
    fn check_free(&self) -> Result<()> {
        let output = self.output.as_deref().filter(|path| *path != Path::new("-"));
        output.map_or(Ok(()), |path| Output::of_bytes(path, existing(self)).map(drop))
    }
}

/// Where an image goes.
pub(crate) enum Destination {
    File(Output),
    Pipe,
}

impl Destination {
    pub(crate) fn of(path: &Path, base: &ImageFile, existing: Existing) -> Result<Self> {
        if path != Path::new("-") {
            return Output::new(path, base, existing).map(Self::File);
        }
        if io::stdout().is_terminal() {
            return Err(Error::Usage {
                what: "standard output is a terminal, which shows no images".into(),
                hint: "redirect it to a file or a pipe, or give a file to -o",
            });
        }
        Ok(Self::Pipe)
    }

    /// What was written, of something that is no image.
    fn wrote(&self, bytes: usize) -> String {
        match self {
            Self::File(file) => {
                let (name, synced) = (typed(file.path()), told_of_sync(file));
                format!("wrote {name} ({bytes} bytes{synced})\n")
            }
            Self::Pipe => format!("wrote the patch to standard output ({bytes} bytes)\n"),
        }
    }

    pub(crate) fn write(
        &self,
        image: Outgoing<'_, &ImageFile>,
        progress: &dyn Progress,
    ) -> Result<Option<How>> {
        match self {
            Self::File(output) => output.write(image, progress).map(Some),
            Self::Pipe => stream::write(image, io::stdout().lock(), progress).map(|()| None),
        }
    }

    /// Writes bytes for these readers.
    fn write_bytes(&self, bytes: &[u8], readers: Readers) -> Result<()> {
        match self {
            Self::File(output) => output.write_bytes(bytes, readers),
            Self::Pipe => {
                let written = io::stdout().lock().write_all(bytes);
                written.map_err(Error::io("write to standard output"))
            }
        }
    }

    /// What records call the image.
    fn name(&self) -> String {
        let name = match self {
            Self::File(output) => output.path().file_name(),
            Self::Pipe => None,
        };
        name.map_or_else(|| "image.iso".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// What was written, and what to do with it.
    pub(crate) fn next(&self, image: Outgoing<'_, &ImageFile>, how: Option<How>) -> String {
        let size = human(image.image().size());
        let Self::File(file) = self else {
            return format!("wrote the image to standard output ({size})\n");
        };
        let shared = if how == Some(How::Cloned) { ", sharing the base's blocks" } else { "" };
        let mode = if image.is_private() { ", mode 0600: it holds secrets" } else { "" };
        let name = typed(file.path());
        let synced = told_of_sync(file);
        let wrote = format!("wrote {name} ({size}{shared}{mode}{synced})\n");
        if !printer::is_terminal() {
            return wrote;
        }
        format!(
            "{wrote}next: remaster flash {name} /dev/sdX\nthen: ssh root@ADDRESS, as the booted machine's screen or your router tells it\n"
        )
    }
}

/// What a power cut can still do to a file.
pub(super) fn told_of_sync(file: &Output) -> &'static str {
    if file.is_synced() { "" } else { ", not on the disk yet: run `sync` before the power goes" }
}
