//! `remaster BASE --key KEY -o OUT`: a base with keys in it, to a file or a pipe.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use crate::cli::progress::Terminal;
use crate::cli::report;
use remaster::compose::Composed;
use remaster::edit::{Edits, Way};
use remaster::error::{Error, Result};
use remaster::image::{ImageFile, ReadAt};
use remaster::keys::{self, Gathered};
use remaster::plan::{Plan, Step};
use remaster::sink::file::{Existing, How, Output};
use remaster::sink::stream;
use remaster::stamped::Base;
use remaster::units::human;
use remaster::verify;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// NixOS installer ISO, as downloaded or stamped before; it is never changed
    #[arg(required = true)]
    base: Option<PathBuf>,

    /// Public key to let in as root and as nixos: a .pub or `authorized_keys` file, `-` for standard
    /// input, or the key itself; may be given several times
    #[arg(short, long = "key", value_name = "KEY", required = true)]
    keys: Vec<String>,

    /// Image to write, or `-` for a pipe
    #[arg(short, long, value_name = "FILE", required_unless_present = "dry_run")]
    output: Option<PathBuf>,

    /// Replace the output if it is there
    #[arg(short, long)]
    force: bool,

    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Append to the initrds instead of naming a second one in the menus, for boot loaders with menus
    /// of their own
    #[arg(long)]
    merge_initrd: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let gathered = keys::gather(&args.keys, io::stdin())?;
    tell_notes(&gathered, args.quiet);
    let edits = Edits::authorize(&gathered.keys.to_text(), way(args));
    let path = args.base.as_deref().unwrap_or(Path::new(""));
    let file = ImageFile::open(path)?;
    let output =
        args.output.as_deref().map(|path| Destination::of(path, &file, args)).transpose()?;
    let base = Base::of(&file)?;
    let initrds = base.survey.initrds(&base.image)?;
    let plan = Plan::of(&base.image, &base.survey, &initrds, &edits)?;
    if args.dry_run {
        return report::print(&dry_run(path, &base, &gathered, &plan));
    }
    let steps = plan.steps.clone();
    let image = plan.compose(base.image)?;
    verify::image::check(&image, &base.survey, &edits)?;
    let Some(output) = output else { return Ok(()) };
    let how = output.write(&image, args.quiet)?;
    if report::watched(args.quiet) {
        report::say(&summary(&gathered, &steps, &image, &output, how));
    }
    Ok(())
}

fn way(args: &Args) -> Way {
    if args.merge_initrd { Way::MergeInitrd } else { Way::ExtraInitrd }
}

fn tell_notes(gathered: &Gathered, quiet: bool) {
    for note in gathered.notes.iter().filter(|_| !quiet) {
        report::say(&format!("note: {note}\n"));
    }
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
}

/// What there is and what would be done to it.
fn dry_run<B: ReadAt>(path: &Path, base: &Base<B>, gathered: &Gathered, plan: &Plan) -> String {
    let survey = &base.survey;
    let mut text = format!(
        "base: {}, NixOS {}, {}\n",
        path.display(),
        survey.release,
        survey.volume.identifier()
    );
    if base.stamped.is_some() {
        text.push_str("was stamped before: what was put in then is taken out first\n");
    }
    list_keys(&mut text, gathered);
    for Step { what, bytes } in &plan.steps {
        let _ = writeln!(text, "would {what} ({})", human(*bytes));
    }
    let (old, new) = (survey.size, plan.size);
    let _ = writeln!(text, "size: {} -> {} ({old} -> {new} bytes)", human(old), human(new));
    text
}

fn list_keys(text: &mut String, gathered: &Gathered) {
    for key in gathered.keys.keys() {
        let _ = writeln!(text, "key: {} {} {}", key.algorithm, key.fingerprint, key.comment);
    }
}

fn summary(
    gathered: &Gathered,
    steps: &[Step],
    image: &Composed<&ImageFile>,
    output: &Destination,
    how: Option<How>,
) -> String {
    let mut text = String::new();
    list_keys(&mut text, gathered);
    let menus = steps.iter().filter(|step| step.what.starts_with("name ")).count();
    let _ = writeln!(text, "let in as root and nixos; {menus} menus changed; checked");
    let Destination::File(file) = output else { return text };
    let shared = if how == Some(How::Cloned) { ", sharing the base's blocks" } else { "" };
    let name = file.path().display();
    let _ = writeln!(text, "wrote {name} ({}{shared})", human(image.size()));
    let _ = writeln!(text, "next: remaster flash {name} /dev/sdX");
    let _ = writeln!(text, "then: ssh root@<address of the booted machine>");
    text
}
