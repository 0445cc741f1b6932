//! Where an image goes: a file or a pipe.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use remaster::error::{Advice, Error, Result};
use remaster::image::{ImageFile, ReadAt};
use remaster::output::file::{
    CopyMethod, FileAccess, Output, OverwritePolicy, StagedFile, publish,
};
use remaster::output::{Outgoing, stream};
use remaster::place;
use remaster::progress::Progress;
use remaster::stamp::privacy::Privacy;
use remaster::units::format_bytes;

use super::progress::Meter;
use super::shell::shell_quote;
use super::{closed, printer};

/// Bytes that a pipe takes before its reader must read: twice what is written at once, so that neither end waits for the
/// other to be awake. 1.2 GB took 13,000 switches with the 64 KiB that pipes have, and 80 with this.
const PIPE: usize = 256 << 10;

/// What `--no-sync` says where an output is several files.
pub(crate) const NO_SYNC_FILES: &str = "Do not wait until the files are on the disk. After a power cut soon afterwards, empty or broken files can stand under their names";

/// How an output is written, and what stands beside it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Replace the output if it is there
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Do not wait until the output is on the disk. After a power cut soon afterwards, an empty or broken file can stand
    /// under its name
    #[arg(long)]
    pub(crate) no_sync: bool,
}

impl OutputArgs {
    /// What to do with a file that already exists.
    pub(crate) fn existing(self) -> OverwritePolicy {
        if self.force { OverwritePolicy::Replace } else { OverwritePolicy::Refuse }
    }

    /// Where the output goes, and whether it is waited for.
    pub(crate) fn destination(self, path: &Path, base: &ImageFile) -> Result<Destination> {
        match Destination::open(path, base, self.existing())? {
            Destination::File(output) => Ok(Destination::File(self.with_sync_option(output))),
            Destination::Pipe => self.check_pipe().map(|()| Destination::Pipe),
        }
    }

    /// Refuses what is about a file where the output goes to a pipe.
    pub(crate) fn check_pipe(self) -> Result<()> {
        if !self.no_sync {
            return Ok(());
        }
        Err(Error::Usage {
            what: "--no-sync is about a file, and the output goes to a pipe".into(),
            hint: "leave it out".into(),
        })
    }

    /// The place of a file beside the output, such as a manifest or `known_hosts`: who does not wait for the output does
    /// not wait for these either, as they say nothing without it.
    pub(crate) fn beside(self, path: &Path) -> Result<Output> {
        Output::of_bytes(path, self.existing()).map(|output| self.with_sync_option(output))
    }

    fn with_sync_option(self, output: Output) -> Output {
        if self.no_sync { output.without_sync() } else { output }
    }

    /// What a power cut can still do to what was written.
    pub(crate) fn sync_note(self) -> &'static str {
        if self.no_sync { NOT_SYNCED } else { "" }
    }

    /// Better to refuse before a base is fetched than after.
    pub(crate) fn check_free(self, path: &Path) -> Result<()> {
        if path == Path::new("-") {
            return self.check_pipe();
        }
        Output::of_image(path, self.existing()).map(drop).map_err(of_output)
    }
}

/// Where an image goes.
pub(crate) enum Destination {
    File(Output),
    Pipe,
}

impl Destination {
    pub(crate) fn open(path: &Path, base: &ImageFile, existing: OverwritePolicy) -> Result<Self> {
        if path != Path::new("-") {
            return Output::new(path, base, existing).map(Self::File).map_err(of_output);
        }
        closed::output().map_err(Error::io("write to standard output"))?;
        if io::stdout().is_terminal() {
            return Err(Error::Usage {
                what: "standard output is a terminal, which shows no images".into(),
                hint: "redirect it to a file or a pipe, or give a file to -o".into(),
            });
        }
        Ok(Self::Pipe)
    }

    /// Shows the stages up to the end of writing. After a signal a file is tidied up. At a pipe a signal ends the program as
    /// usual: there is nothing to tidy up, and its reader may never read on.
    pub(crate) fn meter(to: Option<&Self>) -> Result<Meter> {
        match to {
            Some(Self::Pipe) => Ok(Meter::stages_without_signals()),
            Some(Self::File(_)) | None => Meter::stages(),
        }
    }

    /// Tells that bytes were written that are not an image.
    pub(crate) fn wrote(&self, bytes: usize, privacy: Privacy) -> String {
        match self {
            Self::File(file) => wrote(file, &[&format!("{bytes} bytes")], privacy),
            Self::Pipe => format!("wrote the patch to standard output ({bytes} bytes)\n"),
        }
    }

    /// Writes the image, and names what is staged `beside` it with it.
    pub(crate) fn write(
        &self,
        image: Outgoing<'_, &ImageFile>,
        beside: Vec<StagedFile>,
        progress: &dyn Progress,
    ) -> Result<Option<CopyMethod>> {
        let mut how = None;
        let written = match self {
            Self::File(output) => {
                let (staged, copied) = output.stage_image(image, progress)?;
                how = Some(copied);
                Some(staged)
            }
            Self::Pipe => stream::write(image, pipe()?, progress).map(|()| None)?,
        };
        publish_with(beside, written).map(|()| how)
    }

    /// The same of what `write` writes, for these readers.
    pub(crate) fn write_with(
        &self,
        readers: FileAccess,
        beside: Vec<StagedFile>,
        write: impl FnOnce(&File) -> Result<()>,
    ) -> Result<()> {
        let written = match self {
            Self::File(output) => Some(output.stage_with(readers, write)?),
            Self::Pipe => write(&pipe()?).map(|()| None)?,
        };
        publish_with(beside, written)
    }

    /// The same of bytes.
    pub(crate) fn write_bytes(
        &self,
        bytes: &[u8],
        readers: FileAccess,
        beside: Vec<StagedFile>,
    ) -> Result<()> {
        let doing = match self {
            Self::File(output) => {
                place::check_name(output.path(), None)?;
                format!("write {}", output.path().display())
            }
            Self::Pipe => "write to standard output".to_owned(),
        };
        let write = |mut to: &File| to.write_all(bytes).map_err(Error::io(doing));
        self.write_with(readers, beside, write)
    }

    /// What records call the image.
    pub(crate) fn name(&self) -> String {
        let name = match self {
            Self::File(output) => output.path().file_name(),
            Self::Pipe => None,
        };
        name.map_or_else(|| "image.iso".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// What was written, and what to do with it.
    pub(crate) fn next(&self, image: Outgoing<'_, &ImageFile>, how: Option<CopyMethod>) -> String {
        let size = format_bytes(image.image().size());
        let Self::File(file) = self else {
            return format!("wrote the image to standard output ({size})\n");
        };
        let shared = (how == Some(CopyMethod::Cloned)).then_some("sharing the base's blocks");
        let about: Vec<&str> = [size.as_str()].into_iter().chain(shared).collect();
        let wrote = wrote(file, &about, image.privacy());
        if !printer::is_terminal() {
            return wrote;
        }
        let name = shell_quote(file.path());
        format!(
            "{wrote}next: remaster flash {name} /dev/sdX\nthen: ssh root@ADDRESS, as the booted machine's screen or your router shows it\n"
        )
    }
}

/// Names an output, if it is a file, and what is beside it.
fn publish_with(mut beside: Vec<StagedFile>, written: Option<StagedFile>) -> Result<()> {
    beside.extend(written);
    publish(beside)
}

/// The error about an output that may be a pipe.
fn of_output(mut fault: Error) -> Error {
    if let Error::Usage { hint: hint @ Advice::StandardOutput, .. } = &mut fault {
        *hint = "give `-o -`, which writes to standard output".into();
    }
    fault
}

/// The error about an output of another flag than -o: the library does not know which flag it is of.
pub(crate) fn of_flag(flag: &str) -> impl Fn(Error) -> Error + '_ {
    move |mut fault| {
        if let Error::Usage { what, hint } = &mut fault {
            *what = format!("{flag}: {what}");
            *hint = match &*hint {
                Advice::FileOrPipe | Advice::StandardOutput | Advice::FileElsewhere => {
                    format!("give the path of a file to {flag}").into()
                }
                Advice::OtherOutput => format!("give another path to {flag}").into(),
                Advice::ShorterName => format!("give a shorter name to {flag}").into(),
                other => other.clone(),
            };
        }
        fault
    }
}

/// The place of a new file that another flag than -o names, of a command that replaces nothing.
pub(crate) fn place_of(path: &Path, flag: &str) -> Result<Output> {
    let place = Output::of_bytes(path, OverwritePolicy::Refuse).map_err(of_flag(flag));
    place.map_err(|mut fault| {
        if let Error::Usage { hint: hint @ Advice::OtherPathOrReplace, .. } = &mut fault {
            *hint = format!("give another path to {flag}, or move that file away").into();
        }
        fault
    })
}

/// Standard output for an image. Not [`io::Stdout`], which looks through all bytes for the end of a line, and then writes
/// in two parts.
pub(crate) fn pipe() -> Result<File> {
    let pipe = io::stdout().as_fd().try_clone_to_owned();
    let pipe = pipe.map_err(Error::io("write to standard output"))?;
    // Fewer switches between the two ends. A file takes no such size, and a user may have as many pipes as is allowed.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE);
    Ok(File::from(pipe))
}

/// What the mode of a file means, whatever was written; nothing where others may read it.
pub(crate) fn mode_note(privacy: Privacy) -> Option<&'static str> {
    match privacy {
        Privacy::Public => None,
        Privacy::Private => Some("mode 0600: it holds secrets"),
        Privacy::Unknown => Some("mode 0600: what was put in cannot be read, and may be secret"),
        Privacy::Closed => Some("mode 0600, as others may not read the file that it was made from"),
    }
}

/// The same of several files: of those that hold secrets, and of those whose base is closed to others.
pub(crate) fn mode_notes_of(private: usize, closed: usize) -> Vec<String> {
    let note = |files, one: &str, several: &str| match files {
        0 => None,
        1 => Some(format!("mode 0600, as {one}: 1 image")),
        files => Some(format!("mode 0600, as {several}: {files} images")),
    };
    let base = "others may not read the base";
    let notes = [note(private, "it holds secrets", "they hold secrets"), note(closed, base, base)];
    notes.into_iter().flatten().collect()
}

/// Tells that a file was written, what there is to say about it, who may read it, and whether it is on the disk.
pub(crate) fn wrote(file: &Output, about: &[&str], privacy: Privacy) -> String {
    let about: Vec<&str> = about.iter().copied().chain(mode_note(privacy)).collect();
    let (name, all) = (shell_quote(file.path()), about.join(", ") + sync_note(file));
    match all.trim_start_matches(", ") {
        "" => format!("wrote {name}\n"),
        all => format!("wrote {name} ({all})\n"),
    }
}

/// What a power cut can still do to a file.
pub(crate) fn sync_note(file: &Output) -> &'static str {
    if file.is_synced() { "" } else { NOT_SYNCED }
}

const NOT_SYNCED: &str = ", not on the disk yet: run `sync` before the power goes";
