//! The flags that say where an image is written to and how, and which of them a target does not take.

use std::path::{Path, PathBuf};

use remaster::error::{Error, Result};
use remaster::named_file::name_of_kept;
use remaster::output::file::{Output, OverwritePolicy};
use remaster::place;
use remaster::target::ExpectedSize;

use crate::cli::destination::of_flag;

/// Where an image is written to and how.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "every one is a flag of the command line")]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    pub(crate) disks: Disks,
    /// Write to a regular file instead of a disk, made, or overwritten if it holds an image; once per file
    #[arg(id = "to_file", long = "to-file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Overwrite a file of --to-file that holds anything else
    #[arg(long, short)]
    force: bool,
    /// What `--to-file` was called before: the targets are regular files.
    #[arg(long, hide = true)]
    file: bool,
    /// Leave the backup GPT where it is in the image
    #[arg(long)]
    pub(crate) exact: bool,
    /// How much to read back
    #[arg(long, value_enum, default_value = "full", num_args = 0..=1, default_missing_value = "full", require_equals = true)]
    pub(crate) verify: Check,
    /// Do not read back
    #[arg(long, conflicts_with = "verify")]
    pub(crate) no_verify: bool,
    /// Write only what differs [default: if the disk holds an image of the same base]
    #[arg(long, conflicts_with = "no_delta")]
    pub(crate) delta: bool,
    /// Write everything
    #[arg(long)]
    pub(crate) no_delta: bool,
    /// Test the size that a disk claims, before and after writing: a fake is found unless it has a cache
    /// that holds more than the image [default: removable and USB disks]
    #[arg(long, conflicts_with = "no_probe")]
    pub(crate) probe: bool,
    /// Believe the size that a disk claims
    #[arg(long)]
    pub(crate) no_probe: bool,
}

/// How much is read back.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Check {
    /// Everything
    Full,
    /// The start, the end and what was put in
    Quick,
}

/// The disks that are written to, and what may be done to them: what `flash`, `reset` and `format` share.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "every one is a flag of the command line")]
pub(crate) struct Disks {
    /// Disks to write to, such as `/dev/sdc`; without one, a terminal lists the sticks to pick from
    #[arg(value_name = "DEVICE")]
    pub(crate) devices: Vec<PathBuf>,
    /// Do not ask; needs --expect-serial or --expect-size
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Refuse a disk with another serial number; once per disk
    #[arg(long, value_name = "SERIAL")]
    pub(crate) expect_serial: Vec<String>,
    /// Refuse a disk of another size: exact bytes, or rounded as 16GB or 14.9GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) expect_size: Option<ExpectedSize>,
    /// Allow disks that are neither removable nor USB; needs an --expect- option
    #[arg(long)]
    pub(crate) allow_fixed: bool,
    /// Unmount the filesystems of a removable disk first
    #[arg(long)]
    pub(crate) unmount: bool,
    /// Leave the stick powered
    #[arg(long)]
    pub(crate) no_eject: bool,
    /// Print events as JSON, one per line
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_size(text: &str) -> std::result::Result<ExpectedSize, String> {
    let why = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        "it is too large"
    } else {
        "expected whole bytes, or a size as 16GB or 14.9GiB"
    };
    ExpectedSize::parse(text).ok_or_else(|| why.into())
}

impl TargetArgs {
    /// Puts back what differs, and reads back everything.
    pub(crate) fn back_onto(disks: &Disks, exact: bool) -> Self {
        Self {
            disks: disks.clone(),
            exact,
            files: Vec::new(),
            force: false,
            file: false,
            verify: Check::Full,
            no_verify: false,
            delta: true,
            no_delta: false,
            probe: false,
            no_probe: true,
        }
    }

    /// The same with all targets in one place.
    ///
    /// # Errors
    /// What says something of disks only, where the targets are files.
    pub(crate) fn with_defaults(&self) -> Result<Self> {
        let mut to = self.clone();
        to.check_old_name()?;
        if let (Some(device), false) = (to.disks.devices.first(), to.files.is_empty()) {
            return Err(Error::Usage {
                what: format!("{} and --to-file exclude each other", device.display()),
                hint: "write to disks, or to files".into(),
            });
        }
        if !to.files.is_empty() {
            to.disks.devices = std::mem::take(&mut to.files);
            to.file = true;
        }
        if to.force && !to.file {
            return Err(Error::Usage {
                what: "--force is about a file that --to-file names, and not about disks".into(),
                hint: "leave it out: a disk is confirmed by its last word; for scripts, a disk takes `--yes` with `--expect-serial`"
                    .into(),
            });
        }
        let target = to.disks.devices.first().filter(|_| to.file);
        let own = [("--exact", to.exact), ("--probe", to.probe), ("--no-probe", to.no_probe)];
        target.map_or(Ok(()), |target| to.disks.check_no_disk(target, &own))?;
        Ok(to)
    }

    /// Refuses `--file` where it is meant as other commands have it.
    fn check_old_name(&self) -> Result<()> {
        let is_source = |path: &&PathBuf| path.to_str().is_some_and(|text| text.contains(":/"));
        let source = self.disks.devices.iter().find(is_source);
        if !self.file || (source.is_none() && self.files.is_empty()) {
            return Ok(());
        }
        let given = source.map_or("SRC:DST".into(), |source| source.display().to_string());
        Err(Error::Usage {
            what: "`flash` calls this --root-file: its --file is an old name of --to-file".into(),
            hint: format!("give `--root-file {given}`").into(),
        })
    }

    /// Refuses paths that cannot be those of files, before anything is fetched for them.
    pub(crate) fn check_files(&self) -> Result<()> {
        let mut files = self.disks.devices.iter().filter(|_| self.is_file());
        files.try_for_each(|path| {
            // What else is there is judged where it is opened.
            if !path.is_dir() && path.file_name().is_some() && !ends_in_slash(path) {
                place::check(path)?;
                return check_kept(path, self.force);
            }
            Output::of_image(path, OverwritePolicy::Replace).map(drop).map_err(of_flag("--to-file"))
        })
    }

    /// Whether the targets are files.
    pub(crate) fn is_file(&self) -> bool {
        self.file
    }
}

/// Refuses to write over a file that holds something else than an image, if that is not allowed.
///
/// # Errors
/// [`Error::Usage`], which says what the file is.
pub(crate) fn check_kept(path: &Path, force: bool) -> Result<()> {
    // One that cannot be read is reported where it is opened.
    match name_of_kept(path).ok().flatten().filter(|_| !force) {
        Some(name) => Err(Error::Usage {
            what: format!("{} is {name}, not an image, and would be overwritten", path.display()),
            hint: "give another path to --to-file, or --force to write over it".into(),
        }),
        None => Ok(()),
    }
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

impl Disks {
    /// Refuses flags that are about disks where a target is not a disk: these, and `more` of the command.
    ///
    /// # Errors
    /// [`Error::Usage`], which names the flags.
    pub(crate) fn check_no_disk(&self, target: &Path, more: &[(&'static str, bool)]) -> Result<()> {
        let own = [
            ("--yes", self.yes),
            ("--expect-serial", !self.expect_serial.is_empty()),
            ("--expect-size", self.expect_size.is_some()),
            ("--allow-fixed", self.allow_fixed),
            ("--unmount", self.unmount),
            ("--no-eject", self.no_eject),
        ];
        let is_given = |(name, is_given): &(&'static str, bool)| is_given.then_some(*name);
        let given: Vec<&str> = own.iter().chain(more).filter_map(is_given).collect();
        if given.is_empty() {
            return Ok(());
        }
        Err(Error::Usage {
            what: format!(
                "{} is not a disk; only disks take {}",
                target.display(),
                given.join(", ")
            ),
            hint: "leave out what is for disks, or give a disk".into(),
        })
    }
}
