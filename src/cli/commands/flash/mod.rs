//! `remaster flash`: write an image to sticks and prove that it is there.

mod asking;
mod outcome;
mod pick;
mod targets;
mod to;

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use remaster::bases::name_of;
use remaster::error::{Error, Result};
use remaster::flash::{
    self, Delta, DigestMatch, Format, Image, Medium, Options, Probe, Report, Restore, Source,
    Verify,
};
use remaster::formats::fat32::Label;
use remaster::image::unpack;
use remaster::image::{ImageFile, ReadAt};
use remaster::live::{Customization, HostKeys};
use remaster::output::Outgoing;
use remaster::output::file::{StagedFile, is_closed_to_others, publish};
use remaster::progress::Progress;
use remaster::run_files::RunFiles;
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::privacy::{self, Privacy};
use remaster::target::{Awake, System, Target};
use remaster::units::ByteRange;

use super::apply;
use crate::cli::base;
use crate::cli::edit_args::EditArgs;
use crate::cli::job::{FinishedJob, StampJob};
use crate::cli::known_hosts::{self, KnownHosts};
use crate::cli::progress::{Meter, Style};
use crate::cli::record::ManifestArgs;
use crate::cli::{interrupt, printer, stale};

use outcome::Operation;
pub(crate) use outcome::{tell_differences, tell_end};
use targets::Written;
use to::Check;
pub(crate) use to::{Disks, TargetArgs, check_kept};

/// Write an image to one or more sticks and read it back
#[derive(Debug, clap::Args)]
// `--file` was the name of `--to-file`.
#[command(mut_arg("recipe_file", |argument| argument.long("root-file")))]
pub(crate) struct Args {
    /// Image to write, or the name of a base; `-` for standard input
    ///
    /// An ISO or disk image, plain or packed (xz, zst, gz, bz2, lz4, zip). Names are those that `remaster base list` shows.
    pub(crate) image: PathBuf,
    #[command(flatten)]
    source: base::Source,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    pub(crate) to: TargetArgs,
    /// Patch file to lay over the image, which is its base
    #[arg(long, value_name = "FILE")]
    patch: Option<PathBuf>,
    /// Write the image even if it is truncated, or not known to be a disk image
    #[arg(long)]
    any: bool,
}

/// An image that is ready to be written, and where it came from.
pub(crate) struct FlashSource<'a> {
    /// The image.
    pub(crate) image: Image<'a>,
    /// What errors call it.
    pub(crate) name: String,
    /// Whether it is written whatever it is.
    any: bool,
    /// Its bytes, if they are known.
    pub(crate) size: Option<u64>,
    /// The files it is read from; none of them may be overwritten.
    pub(crate) files: Vec<PathBuf>,
    /// Standard input is the image.
    is_input: bool,
    /// Bytes that do not come from the base.
    pub(crate) changed: Vec<ByteRange>,
    /// Whether it holds what others must not know; none until all of it was seen.
    pub(crate) private: Option<Privacy>,
    /// Whether something is put in now.
    is_stamped: bool,
    /// By what clients will know the machine.
    known: Option<KnownHosts>,
    /// Where the medium may differ from the base, if that is known.
    pub(crate) suspects: Option<Vec<ByteRange>>,
    /// Which bytes have the SHA-256 that is demanded, if that is known.
    fits: Option<DigestMatch>,
}

impl<'a> FlashSource<'a> {
    /// An image of unknown size, made from `files`, that is written as it is.
    fn new(image: Image<'a>, name: String, files: Vec<PathBuf>) -> Self {
        let (private, changed) = (None, Vec::new());
        let (known, suspects, fits) = (None, None, None);
        let (any, is_input, is_stamped) = (false, false, false);
        let size = None;
        Self {
            image,
            name,
            any,
            size,
            files,
            is_input,
            changed,
            private,
            is_stamped,
            known,
            suspects,
            fits,
        }
    }

    /// An image that can be read at any place. It is made from `files`; `private` says whether it holds secrets.
    pub(crate) fn whole(
        image: &'a dyn ReadAt,
        private: Privacy,
        name: String,
        files: Vec<PathBuf>,
    ) -> Self {
        let (size, private) = (Some(image.size()), Some(private));
        Self { size, private, ..Self::new(Image::Whole(image), name, files) }
    }
}

impl Args {
    /// Refuses what would not be acted on.
    fn check(&self) -> Result<()> {
        if self.patch.is_none() && !self.edit.is_given() {
            return Ok(());
        }
        if self.any {
            return Err(Error::Usage {
                what: "--any writes an image as it is: nothing can be put in with it".into(),
                hint: "leave out --any, or what to put in".into(),
            });
        }
        if unpack::is_pipe(&self.image) {
            return Err(Error::Usage {
                what: "what comes through a pipe is written as it is: nothing can be put in".into(),
                hint: "save it to a file first, and give its path".into(),
            });
        }
        Ok(())
    }

    /// Looks for the disks before a base is fetched by its name, which takes long; and for those that are called by one word
    /// before any base is read.
    fn check_disks(&self, to: &TargetArgs) -> Result<()> {
        let is_named = name_of(&self.image).is_some();
        let is_word = |path: &Path| path.components().count() == 1 && !path.exists();
        if to.is_file() {
            return Ok(());
        }
        let system = System::default();
        let mut asked = to.disks.devices.iter().filter(|path| is_named || is_word(path));
        asked.try_for_each(|path| system.find(path).map(drop))
    }
}

/// The error of the first target that failed. It has been reported already.
pub(crate) type Failed = Option<Error>;

/// Writes the image of `args`, with keys in it if there are any. With `--json`, what ends it is reported
/// as an event, too.
pub(crate) fn run(args: &Args, files: &mut RunFiles) -> Result<()> {
    if args.to.disks.json {
        printer::tell_events();
    }
    match prepare_and_write(args, files) {
        Ok(failed) => failed.map_or(Ok(()), Err),
        Err(fault) => {
            if args.to.disks.json {
                outcome::tell_end(&fault);
            }
            Err(fault)
        }
    }
}

fn prepare_and_write(args: &Args, files: &mut RunFiles) -> Result<Failed> {
    args.check()?;
    let to = &args.to.with_defaults()?;
    to.check_files()?;
    args.check_disks(to)?;
    match (&args.patch, args.edit.is_given()) {
        (Some(patch), false) => return apply_and_write(args, to, patch, files),
        (None, true) => return stamp_and_write(args, to, files),
        (None, false) => {}
        (Some(_), true) => {
            return Err(Error::Usage {
                what: format!(
                    "--patch puts in all that there is in the patch, and {} would have no effect",
                    args.edit.flag_names().join(", ")
                ),
                hint: "give --patch, or what to put in".into(),
            });
        }
    }
    let (path, source, fits) = args.source.open_image(&args.image, || Ok(()), files)?;
    let size = source.size();
    let is_input = is_input(&path);
    let read = if is_input { behind_input() } else { vec![path] };
    let image;
    let prepared = match source {
        Source::Plain(plain) => {
            image = plain;
            let private = privacy::known_of(&image)?;
            FlashSource::whole(&image, private, image.name(), read)
        }
        Source::Stream(stream) => {
            let name = stream.name();
            FlashSource { size, ..FlashSource::new(Image::Stream(stream), name, read) }
        }
    };
    write(FlashSource { any: args.any, is_input, fits, ..prepared }, to)
}

/// Whether a path is standard input by any of its names.
fn is_input(path: &Path) -> bool {
    ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path == Path::new(name))
}

/// What standard input was redirected from, which may be a disk, too.
fn behind_input() -> Vec<PathBuf> {
    let input = PathBuf::from("/dev/stdin");
    let is_kept = |kind: FileType| kind.is_file() || kind.is_block_device();
    let is_kept = input.metadata().is_ok_and(|about| is_kept(about.file_type()));
    if is_kept { vec![input] } else { Vec::new() }
}

/// Stamps a base and writes it in one pass, without a file between.
fn stamp_and_write(args: &Args, to: &TargetArgs, files: &mut RunFiles) -> Result<Failed> {
    let (recipe, customization) = args.edit.gather(files)?;
    let free = || {
        let (wanted, beside) = places(args, &customization, to);
        let place = |path: &Path| known_hosts::place(path, wanted.is_some());
        KnownHosts::check_free(&customization, wanted, beside.as_deref(), place)
    };
    let file = base::open(&args.image, &args.source, free)?;
    base::take_down(file.path(), files)?;
    let known = known_hosts(args, &customization, to, files)?;
    let (asked, inside) = ((recipe, customization), ManifestArgs::default());
    let stamping = StampJob::plan(&file, asked, &inside, args.edit.no_key, &hashing(args))?;
    let known = known.map(|known| known.of_given(stamping.planned().given()));
    let FinishedJob { image, summary, gone, .. } = stamping.compose()?;
    if args.to.disks.json {
        outcome::tell_taken_out(&gone);
        outcome::tell_put_in(image.given());
    } else {
        printer::say(&summary);
    }
    write_outgoing(image.outgoing(), &file, (true, known), to)
}

/// The file of host keys: as it is wanted, beside a file that is written, or for a disk in the current folder.
fn known_hosts(
    args: &Args,
    customization: &Customization,
    to: &TargetArgs,
    files: &mut RunFiles,
) -> Result<Option<KnownHosts>> {
    let (wanted, beside) = places(args, customization, to);
    KnownHosts::new(customization, wanted, beside.as_deref(), files, |path| {
        known_hosts::place(path, wanted.is_some())
    })
}

/// The file of host keys that is wanted, and what it stands beside otherwise.
fn places<'a>(
    args: &'a Args,
    customization: &Customization,
    to: &TargetArgs,
) -> (Option<&'a Path>, Option<PathBuf>) {
    let own = customization.all_host_keys().next().map(HostKeys::own_name);
    let beside = if to.is_file() { to.disks.devices.first().cloned() } else { own };
    (args.edit.known_hosts(), beside)
}

/// Lays a patch over its base and writes the image in one pass.
fn apply_and_write(
    args: &Args,
    to: &TargetArgs,
    patch: &Path,
    files: &mut RunFiles,
) -> Result<Failed> {
    let patch = apply::read(patch)?;
    let file = base::open(&args.image, &args.source, || Ok(()))?;
    base::take_down(file.path(), files)?;
    let image = apply::applied(&patch, &file, &hashing(args))?;
    write_outgoing(image.outgoing(), &file, (false, None), to)
}

/// Shows how far the base is read before anything is written.
fn hashing(args: &Args) -> Meter {
    if args.to.disks.json {
        return Meter::new(args.image.display().to_string(), Style::choose(true));
    }
    Meter::stages_without_signals()
}

fn write_outgoing(
    outgoing: Outgoing<'_, &ImageFile>,
    file: &ImageFile,
    (is_stamped, known): (bool, Option<KnownHosts>),
    to: &TargetArgs,
) -> Result<Failed> {
    let image = outgoing.image();
    let changed: Vec<ByteRange> =
        image.pieces().iter().filter(|piece| !piece.stays()).map(|piece| piece.at).collect();
    let files = vec![file.path().to_owned()];
    let mut prepared = FlashSource::whole(image, outgoing.privacy(), file.name(), files);
    prepared.suspects = suspects(&to.disks.devices, &changed);
    prepared.changed = changed;
    prepared.is_stamped = is_stamped;
    prepared.known = known;
    write(prepared, to)
}

/// Where the targets may differ from a newly stamped image of the same base: where that differs from
/// the base, and where they say themselves that they do. None if one of them cannot tell.
fn suspects(targets: &[PathBuf], changed: &[ByteRange]) -> Option<Vec<ByteRange>> {
    let mut found = changed.to_vec();
    for target in targets {
        let medium = ImageFile::open(target).ok()?;
        let base = BaseImage::open(&medium).ok()?;
        if let Some(stamped) = base.injected() {
            let undone = base.original().pieces().iter().filter(|piece| !piece.stays());
            found.extend(undone.map(|piece| piece.at));
            found.extend(ByteRange::between(stamped.undo.base_size, stamped.undo.stamped_size));
        }
    }
    Some(found)
}

/// Writes a prepared image to all targets and tells what came of each.
pub(crate) fn write(mut image: FlashSource<'_>, to: &TargetArgs) -> Result<Failed> {
    delta(to).check(matches!(image.image, Image::Whole(_)))?;
    let mut told = false;
    let mut examine = || {
        let examined = flash::examine(&mut image.image, &image.name, image.any)?;
        let notes = examined.notes.iter().filter(|_| !told);
        notes.for_each(|note| printer::note(note));
        told = true;
        Ok(())
    };
    let mut written = Written {
        files: &image.files,
        size: image.size,
        is_input: image.is_input,
        examine: &mut examine,
    };
    if to.is_file() {
        // Nobody is asked, and a new file has to be removed again.
        interrupt::watch()?;
    }
    let targets = targets::open(to, &mut written)?;
    let tell_state = |target| outcome::tell_state(target, &Operation::Flashed);
    let tell_all = |_: &Error| targets.iter().for_each(tell_state);
    let readers = Readers::of(&image);
    set_access(&targets, readers).inspect_err(tell_all)?;
    let known = image.known.as_ref();
    let mut file = known.map(KnownHosts::stage).transpose().inspect_err(tell_all)?.flatten();
    if to.disks.json {
        known.into_iter().for_each(KnownHosts::emit);
    }
    if !to.is_file() {
        // What reaches only some of the media is to be known by its keys, too.
        publish_known_hosts(known, file.take(), &to.disks)?;
    }
    // Not before: at a question, a signal should end the program as usual.
    interrupt::watch()?;
    let _awake = keep_awake(&targets);
    let style = Style::choose(to.disks.json);
    let meters: Vec<Meter> =
        targets.iter().map(|target| Meter::new(target.name(), style.clone())).collect();
    let media = watched(&targets, &meters);
    let options = Options {
        any: image.any,
        name: image.name,
        fits: image.fits,
        ..options(to, image.size, (image.changed, image.suspects))
    };
    let results = flash::write(image.image, &media, &options);
    drop(media);
    let results = results.inspect_err(tell_all)?;
    let failed = conclude(targets, results, readers, &Operation::Flashed, &to.disks)?;
    match failed {
        // A file that is not whole has no name, and needs no keys to be known by.
        None if to.is_file() => {
            publish_known_hosts(known, file, &to.disks)?;
            let written = known.and_then(KnownHosts::path).map(Path::to_owned);
            let files = to.disks.devices.iter();
            files.for_each(|path| stale::tell_perhaps(path, written.as_slice()));
        }
        None if !to.disks.json => printer::say(&next(image.is_stamped, known)),
        _ => {}
    }
    Ok(failed)
}

/// Who may read a file that is written.
#[derive(Clone, Copy)]
struct Readers {
    /// None until all of it was seen.
    known: Option<Privacy>,
    /// Whether a file that it is made of is closed to others.
    is_closed: bool,
}

impl Readers {
    fn of(image: &FlashSource<'_>) -> Self {
        let is_closed = image.files.iter().any(|path| is_closed_to_others(path));
        Self { known: image.private.map(|known| known.of_closed(is_closed)), is_closed }
    }
}

/// Closes files to others until the image is known to hold no secret.
fn set_access(targets: &[Target], readers: Readers) -> Result<()> {
    targets.iter().try_for_each(|target| match readers.known {
        Some(Privacy::Public) => target.open_to_others(),
        _ => target.keep_from_others(),
    })
}

fn publish_known_hosts(
    known: Option<&KnownHosts>,
    file: Option<StagedFile>,
    disks: &Disks,
) -> Result<()> {
    publish(file.into_iter().collect())?;
    if let Some(known) = known.filter(|_| !disks.json) {
        printer::say(&known.summary());
    }
    Ok(())
}

/// Targets as media, each with its progress.
fn watched<'a>(
    targets: &'a [Target],
    meters: &'a [Meter],
) -> Vec<(&'a dyn Medium, &'a dyn Progress)> {
    let pairs = targets.iter().zip(meters);
    let watched = pairs.map(|(target, meter)| -> (&dyn Medium, &dyn Progress) { (target, meter) });
    watched.collect()
}

/// Finishes all targets, and tells what came of each.
fn conclude(
    targets: Vec<Target>,
    results: Vec<Result<Report>>,
    readers: Readers,
    operation: &Operation,
    to: &Disks,
) -> Result<Failed> {
    let mut first = None;
    for (target, result) in targets.into_iter().zip(results) {
        let name = target.name();
        let finished = result.and_then(|report| Ok((report, set_final_access(&target, readers)?)));
        if let Err(fault) = outcome::conclude(target, finished, operation, to) {
            outcome::tell_failure(&name, &fault, to)?;
            first = first.or(Some(fault));
        }
    }
    Ok(first)
}

/// What to do with what was written.
fn next(is_stamped: bool, known: Option<&KnownHosts>) -> String {
    match known.and_then(KnownHosts::next) {
        Some(next) => format!("next: boot a machine from it; {next}\n"),
        None if is_stamped => {
            "next: boot a machine from it; its console shows its addresses and the ssh command\n"
                .into()
        }
        None => "next: boot a machine from it\n".into(),
    }
}

/// Gives a file without secrets the mode of new files. Returns who may read it.
fn set_final_access(target: &Target, readers: Readers) -> Result<Privacy> {
    if target.disk().is_some() {
        return Ok(Privacy::Public);
    }
    let known = match readers.known {
        Some(known) => known,
        None => privacy::known_of(&ImageFile::opened(target.reopened()?, target.path())?)?
            .of_closed(readers.is_closed),
    };
    if !known.is_private() {
        target.open_to_others()?;
    }
    Ok(known)
}

/// Puts a base back onto the disk that it is read from, and tells what came of it.
pub(crate) fn put_back(what: Restore<'_>, disks: &Disks, exact: bool) -> Result<()> {
    let size = Some(what.base.size());
    let targets = targets::open_disks(
        disks,
        &mut Written { files: &[], size, is_input: false, examine: &mut || Ok(()) },
    )?;
    interrupt::watch()?;
    let _awake = keep_awake(&targets);
    for target in targets {
        let meter = Meter::new(target.name(), Style::choose(disks.json));
        let result = flash::put_back(&target, what, exact, &meter);
        outcome::conclude(
            target,
            result.map(|report| (report, Privacy::Public)),
            &Operation::Flashed,
            disks,
        )?;
    }
    Ok(())
}

/// Turns disks, or a file, back into an ordinary stick, and reports the result of each.
pub(crate) fn format(file: Option<&Path>, label: Option<Label>, disks: &Disks) -> Result<Failed> {
    let written = &mut Written { files: &[], size: None, is_input: false, examine: &mut || Ok(()) };
    let targets = match file {
        Some(file) => vec![targets::open_stick(file)?],
        None => targets::open_disks(disks, written)?,
    };
    interrupt::watch()?;
    let _awake = keep_awake(&targets);
    let id = u32::try_from(nonce() & u64::from(u32::MAX)).unwrap_or_default();
    let result = |target: &Target| {
        let meter = Meter::new(target.name(), Style::choose(disks.json));
        let (size, sector) = target.bytes()?;
        flash::format(target, Format { size, sector, label, id }, &meter)
    };
    let results = targets.iter().map(result).collect();
    let readers = Readers { known: Some(Privacy::Public), is_closed: false };
    conclude(targets, results, readers, &Operation::Formatted(label), disks)
}

/// Something different for every run.
fn nonce() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ now.as_secs().rotate_left(32)
}

/// Keeps the machine awake while disks are written.
fn keep_awake(targets: &[Target]) -> Option<Awake> {
    let disks: Vec<String> =
        targets.iter().filter(|target| target.disk().is_some()).map(Medium::name).collect();
    (!disks.is_empty()).then(|| Awake::hold(&format!("writing {}", disks.join(", "))))
}

fn delta(to: &TargetArgs) -> Delta {
    match (to.delta, to.no_delta) {
        (true, _) => Delta::Always,
        (_, true) => Delta::Never,
        _ => Delta::Auto,
    }
}

type Ranges = (Vec<ByteRange>, Option<Vec<ByteRange>>);

fn options(to: &TargetArgs, size: Option<u64>, (changed, suspects): Ranges) -> Options {
    Options {
        verify: match to.verify {
            _ if to.no_verify => Verify::Off,
            Check::Full => Verify::Full,
            Check::Quick => Verify::Quick,
        },
        delta: delta(to),
        probe: match (to.probe, to.no_probe) {
            (true, _) => Probe::Always,
            (_, true) => Probe::Never,
            _ => Probe::Portable,
        },
        exact: to.exact,
        nonce: nonce(),
        size_hint: size,
        changed,
        suspects,
        ..Options::default()
    }
}
