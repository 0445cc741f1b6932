//! `remaster flash`: write an image to sticks and prove that it is there.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use remaster::device::{
    Candidate, Demands, Disk, ExpectedSize, ImagePlace, Refusal, System, Target, Use, unmount,
};
use remaster::error::{Error, Result};
use remaster::flash::{self, Delta, Image, Medium, Options, Report, Source, Verify};
use remaster::image::{ImageFile, ReadAt};
use remaster::progress::Progress;
use remaster::stamped::Base;
use remaster::units::{ByteRange, human};
use serde_json::json;

use super::known_hosts::KnownHosts;
use super::meter::{EVENTS, Meter, Style, emit};
use super::report;
use super::stamp::{Edit, Stamping};
use super::{devices, interrupt};

/// Differences that are told one by one to people; programs get all.
const SHOWN: usize = 20;

/// Write an image to one or more sticks and read it back
#[derive(Debug, clap::Args)]
// `--file` says here what the targets are.
#[command(mut_arg("recipe_file", |argument| argument.long("root-file")))]
pub(crate) struct Args {
    /// Image to write: ISO or disk image, plain or as xz, zst, gz, bz2 or zip; `-` for standard input
    pub(crate) image: PathBuf,
    #[command(flatten)]
    edit: Edit,
    #[command(flatten)]
    pub(crate) to: To,
}

/// Where an image is written to and how.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "every one is a flag of the command line")]
pub(crate) struct To {
    /// Disks to write to, as `/dev/sdc`; without any, a terminal lets you pick one
    #[arg(value_name = "DEVICE")]
    pub(crate) devices: Vec<PathBuf>,
    /// The targets are regular files, made or overwritten
    #[arg(long)]
    pub(crate) file: bool,
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
    /// Unmount file systems of a removable disk first
    #[arg(long)]
    pub(crate) unmount: bool,
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
    /// Put the size that a disk claims to the test [default: removable and USB disks]
    #[arg(long, conflicts_with = "no_probe")]
    pub(crate) probe: bool,
    /// Believe the size that a disk claims
    #[arg(long)]
    pub(crate) no_probe: bool,
    /// Leave the backup GPT where it is in the image
    #[arg(long)]
    pub(crate) exact: bool,
    /// Leave the stick powered
    #[arg(long)]
    pub(crate) no_eject: bool,
    /// Print events as JSON, one per line, as src/cli/events.md describes them
    #[arg(long)]
    pub(crate) json: bool,
}

/// How much is read back.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Check {
    /// Everything
    Full,
    /// The start, the end and what was put in
    Quick,
}

fn parse_size(text: &str) -> std::result::Result<ExpectedSize, String> {
    ExpectedSize::parse(text).ok_or_else(|| "expected bytes, or a size as 16GB or 14.9GiB".into())
}

/// An image that is ready to be written, and where it came from.
pub(crate) struct Prepared<'a> {
    /// The image.
    pub(crate) image: Image<'a>,
    /// Its bytes, if they are known.
    pub(crate) size: Option<u64>,
    /// The files it is read from; none of them may be overwritten.
    pub(crate) files: Vec<PathBuf>,
    /// Bytes that do not come from the base.
    pub(crate) changed: Vec<ByteRange>,
    /// Whether it holds what others must not know.
    pub(crate) private: bool,
    /// Where the medium may differ from the base, if that is known.
    pub(crate) suspects: Option<Vec<ByteRange>>,
}

impl<'a> Prepared<'a> {
    /// An image that can be read anywhere, made from `files`.
    pub(crate) fn whole(image: &'a dyn ReadAt, files: Vec<PathBuf>) -> Self {
        let size = Some(image.size());
        Self {
            image: Image::Whole(image),
            size,
            files,
            changed: Vec::new(),
            private: false,
            suspects: None,
        }
    }
}

/// Writes the image of `args`, with keys in it if there are any.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.edit.is_given() {
        return stamp_and_write(args);
    }
    let source = Source::open(&args.image)?;
    let size = source.size();
    let files = if args.image == Path::new("-") { Vec::new() } else { vec![args.image.clone()] };
    match source {
        Source::Plain(image) => write(Prepared::whole(&image, files), &args.to),
        Source::Stream(stream) => {
            let image = Image::Stream(stream);
            let (changed, suspects) = (Vec::new(), None);
            write(Prepared { image, size, files, changed, private: false, suspects }, &args.to)
        }
    }
}

/// Stamps a base and writes it in one pass, without a file between.
fn stamp_and_write(args: &Args) -> Result<()> {
    let wishes = args.edit.gather(args.to.json)?;
    let file = ImageFile::open(&args.image)?;
    let known = KnownHosts::of(&wishes, args.edit.known_hosts(), None, false)?;
    let stamping = Stamping::plan(&file, wishes)?;
    let private = stamping.is_private();
    let (image, summary) = stamping.compose()?;
    // Before anything is written: what reaches only some of the media is still to be known by its key.
    if let Some(known) = &known {
        known.write()?;
        if args.to.json { known.emit() } else { report::say(&known.told()) }
    }
    if report::watched(args.to.json) {
        report::say(&summary);
    }
    let changed: Vec<ByteRange> =
        image.pieces().iter().filter(|piece| !piece.stays()).map(|piece| piece.at).collect();
    let mut prepared = Prepared::whole(&image, vec![args.image.clone()]);
    prepared.suspects = suspects(&args.to.devices, &changed);
    prepared.changed = changed;
    prepared.private = private;
    write(prepared, &args.to)
}

/// Where the targets may differ from a newly stamped image of the same base: where that differs from
/// the base, and where they say themselves that they do. None if one of them cannot tell.
fn suspects(targets: &[PathBuf], changed: &[ByteRange]) -> Option<Vec<ByteRange>> {
    let mut found = changed.to_vec();
    for target in targets {
        let medium = ImageFile::open(target).ok()?;
        let base = Base::of(&medium).ok()?;
        if let Some(stamped) = base.stamped {
            found.extend(stamped.undo.ranges.iter().map(|(at, _)| *at));
            found.extend(ByteRange::between(stamped.undo.base_size, stamped.undo.stamped_size));
        }
    }
    Some(found)
}

/// Writes a prepared image to all targets and tells what came of it.
pub(crate) fn write(image: Prepared<'_>, to: &To) -> Result<()> {
    let system = System::default();
    let places: Result<Vec<ImagePlace>> =
        image.files.iter().map(|file| system.place_of(file)).collect();
    let places = places?;
    let targets =
        if to.file { open_files(to, &places)? } else { open_disks(to, &system, &image, &places)? };
    if image.private {
        targets.iter().try_for_each(Target::keep_from_others)?;
    }
    // Not before: at a question, a signal should end the program as usual.
    interrupt::watch()?;
    let style = Style::choose(to.json);
    let meters: Vec<Meter> =
        targets.iter().map(|target| Meter::new(target.name(), style.clone())).collect();
    let media: Vec<(&dyn Medium, &dyn Progress)> = targets
        .iter()
        .zip(&meters)
        .map(|(target, meter)| {
            let pair: (&dyn Medium, &dyn Progress) = (target, meter);
            pair
        })
        .collect();
    let results = flash::write(
        image.image,
        &media,
        &options(to, &targets, image.size, (image.changed, image.suspects)),
    )?;
    drop(media);
    let mut first = Ok(());
    for (target, result) in targets.iter().zip(results) {
        let name = target.name();
        let told = conclude(target, result, to);
        if let Err(fault) = &told {
            tell_failure(&name, fault, to)?;
        }
        first = first.and(told);
    }
    first
}

type Ranges = (Vec<ByteRange>, Option<Vec<ByteRange>>);

fn options(to: &To, targets: &[Target], size: Option<u64>, (changed, suspects): Ranges) -> Options {
    let is_portable = |target: &Target| target.disk().is_some_and(Disk::is_portable);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Options {
        verify: match to.verify {
            _ if to.no_verify => Verify::Off,
            Check::Full => Verify::Full,
            Check::Quick => Verify::Quick,
        },
        delta: match (to.delta, to.no_delta) {
            (true, _) => Delta::Always,
            (_, true) => Delta::Never,
            _ => Delta::Auto,
        },
        probe: to.probe || (!to.no_probe && targets.iter().all(is_portable)),
        exact: to.exact,
        nonce: u64::from(now.subsec_nanos()) ^ now.as_secs().rotate_left(32),
        size_hint: size,
        changed,
        suspects,
    }
}

fn open_files(to: &To, places: &[ImagePlace]) -> Result<Vec<Target>> {
    if to.devices.is_empty() {
        return Err(Error::Usage {
            what: "no file to write to".to_owned(),
            hint: "give its path after the image",
        });
    }
    to.devices.iter().map(|path| Target::file(path, places)).collect()
}

fn open_disks(
    to: &To,
    system: &System,
    image: &Prepared<'_>,
    places: &[ImagePlace],
) -> Result<Vec<Target>> {
    check_usage(to)?;
    let paths = if to.devices.is_empty() { vec![pick(system)?] } else { to.devices.clone() };
    let mut candidates: Vec<Candidate> = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let demands = Demands {
            image_size: image.size,
            image: places.to_vec(),
            allow_fixed: to.allow_fixed,
            serial: to.expect_serial.get(number).cloned(),
            size: to.expect_size.clone(),
        };
        let candidate = judge(path, system, demands, to)?;
        if candidates.iter().any(|other| other.disk().number == candidate.disk().number) {
            return Err(Error::Usage {
                what: format!("{} is given twice", candidate.disk().path.display()),
                hint: "give every disk once",
            });
        }
        candidates.push(candidate);
    }
    if !to.yes {
        confirm(&candidates)?;
    }
    candidates.iter().map(|candidate| candidate.open(system)).collect()
}

fn check_usage(to: &To) -> Result<()> {
    let usage = |what: &str, hint| Err(Error::Usage { what: what.to_owned(), hint });
    if to.yes && to.expect_serial.is_empty() && to.expect_size.is_none() {
        return usage(
            "--yes without saying which disk is meant",
            "add --expect-serial or --expect-size, as `remaster devices` shows them",
        );
    }
    if !to.expect_serial.is_empty() && to.expect_serial.len() != to.devices.len() {
        return usage("--expect-serial must be given once per disk", "give them in the same order");
    }
    let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    if to.devices.is_empty() && !is_terminal {
        return usage("no disk to write to", "give one that `remaster devices` lists");
    }
    if !to.yes && !is_terminal {
        return usage(
            "nobody is there to confirm",
            "run it on a terminal, or give --yes with --expect-serial or --expect-size",
        );
    }
    Ok(())
}

/// Judges a disk; unmounts what is mounted on it if that is all that speaks against it.
fn judge(path: &Path, system: &System, demands: Demands, to: &To) -> Result<Candidate> {
    let disk = system.find(path)?;
    let shown = disk.path.display().to_string();
    let against = match Candidate::judge(disk.clone(), demands.clone()) {
        Ok(candidate) => return Ok(candidate),
        Err(against) => against,
    };
    let is_mount =
        |refusal: &Refusal| matches!(refusal, Refusal::Mounted { may_unmount: true, .. });
    let first = against.iter().find(|refusal| !is_mount(refusal)).or(against.first());
    if against.iter().all(is_mount) && (to.unmount || wants_unmount(&disk, to)?) {
        unmount(&disk)?;
        let again = Candidate::judge(system.find(path)?, demands);
        return again.map_err(|against| refused(against.first(), &shown));
    }
    Err(refused(first, &shown))
}

fn refused(refusal: Option<&Refusal>, shown: &str) -> Error {
    refusal.unwrap_or(&Refusal::Gone).error(shown)
}

fn wants_unmount(disk: &Disk, to: &To) -> Result<bool> {
    if to.yes || !io::stdin().is_terminal() {
        return Ok(false);
    }
    let places: Vec<String> = disk
        .uses
        .iter()
        .filter_map(|user| match user {
            Use::Mounted { at, .. } => Some(at.display().to_string()),
            _ => None,
        })
        .collect();
    let path = disk.path.display();
    let answer = ask(&format!("{path} is mounted at {}. Unmount it? [y/N] ", places.join(", ")))?;
    Ok(matches!(answer.as_str(), "y" | "Y" | "yes"))
}

/// Shows all disks and lets the user choose; nothing is chosen beforehand.
fn pick(system: &System) -> Result<PathBuf> {
    let disks = system.disks()?;
    let told = Error::io("write to standard error");
    devices::print(&disks, &mut io::stderr().lock()).map_err(told)?;
    let answer = ask("Disk to write to (its path, nothing to stop): ")?;
    if answer.is_empty() { Err(Error::Interrupted) } else { Ok(PathBuf::from(answer)) }
}

/// Shows what will be lost and wants the last word typed.
fn confirm(candidates: &[Candidate]) -> Result<()> {
    let mut words = Vec::new();
    let mut text = String::from("All data on this will be lost:\n");
    for disk in candidates.iter().map(Candidate::disk) {
        text.extend(["  ", &devices::headline(disk), "\n    holds ", &disk.contents(), "\n"]);
        words.push(disk.name.clone());
    }
    let word = words.join(" ");
    let answer = ask(&format!("{text}To go on, type the last word: {word}\n> "))?;
    if answer == word { Ok(()) } else { Err(Error::Interrupted) }
}

fn ask(question: &str) -> Result<String> {
    let mut err = io::stderr().lock();
    let asked = write!(err, "{question}").and_then(|()| err.flush());
    asked.map_err(Error::io("ask on the terminal"))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Error::io("read the answer"))?;
    Ok(answer.trim().to_owned())
}

/// Finishes a target that was written, and tells what was done.
fn conclude(target: &Target, result: Result<Report>, to: &To) -> Result<()> {
    let name = target.name();
    let report = result?;
    tell_differences(&name, &report, to.json)?;
    if let Some(fault) = report.error(&name) {
        return Err(fault);
    }
    let finish = flash::finish(target, !to.no_eject)?;
    if to.json {
        emit(&json!({
            "v": EVENTS, "event": "result", "target": name, "ok": true, "exit": 0,
            "size": report.size, "written": report.written, "compared": report.compared,
            "delta": report.is_delta, "direct": report.is_direct,
            "verified": report.verify_time.is_some(), "backup_gpt_at": report.backup_at,
            "probe_seconds": report.probe_time.map(|time| time.as_secs_f64()),
            "write_seconds": report.write_time.as_secs_f64(),
            "verify_seconds": report.verify_time.map(|time| time.as_secs_f64()),
            "partitions_seen": finish.partitions_seen, "ejected": finish.ejected,
        }));
        return Ok(());
    }
    say(&summary(&name, &report, finish))
}

fn summary(name: &str, report: &Report, finish: flash::Finish) -> String {
    use std::fmt::Write as _; // into a string, which cannot fail
    let mut text = format!(
        "{name}: {} of image, {} written in {}",
        human(report.size),
        human(report.written),
        seconds(report.write_time)
    );
    match report.verify_time {
        Some(time) => {
            let compared = human(report.compared);
            let time = seconds(time);
            text.extend([", ", &compared, " read back and right (", &time, ")"]);
        }
        None if report.is_delta => text.push_str(", the rest was read and is right"),
        None => text.push_str(", not read back"),
    }
    if report.is_delta {
        text.push_str("\n  only what differed was written");
    }
    if !report.is_direct {
        text.push_str("\n  no direct I/O here: written through the page cache");
    }
    if let Some(at) = report.backup_at {
        let _ = write!(text, "\n  backup GPT moved to the end, byte {at:#x}");
    }
    if finish.ejected {
        text.push_str("\n  ejected: it can be pulled out");
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn say(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to standard output")(fault))
        }
        _ => Ok(()),
    }
}

/// Tells every difference to programs, and the first ones to people.
pub(crate) fn tell_differences(name: &str, report: &Report, json: bool) -> Result<()> {
    use std::fmt::Write as _; // into a string, which cannot fail
    if json {
        for difference in &report.differences {
            emit(&json!({
                "v": EVENTS, "event": "difference", "target": name,
                "at": difference.at.start(), "bytes": difference.at.size(),
                "likely": difference.cause,
            }));
        }
        return Ok(());
    }
    let lines = report.differences.iter().take(SHOWN).map(|difference| {
        format!("{name}: bytes {} differ: {}\n", difference.at, difference.cause.explained())
    });
    let mut text: String = lines.collect();
    if let Some(more) = report.differences.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "{name}: and {more} more places (--json lists all)");
    }
    if report.differences.is_empty() && report.verify_time.is_some() && report.write_time.is_zero()
    {
        let _ = writeln!(text, "{name}: {} read and right", human(report.compared));
    }
    if text.is_empty() { Ok(()) } else { say(text.trim_end()) }
}

/// Tells of one target among several; the last error is reported by the caller.
fn tell_failure(name: &str, fault: &Error, to: &To) -> Result<()> {
    if to.json {
        emit(&json!({
            "v": EVENTS, "event": "result", "target": name, "ok": false,
            "exit": fault.exit_code(), "error": fault.to_string(), "hint": fault.hint(),
        }));
    } else if to.devices.len() > 1 {
        return say(&format!("{name}: failed: {fault}"));
    }
    Ok(())
}
