//! `remaster diff`: what makes two images different, for people and for programs.

mod answer;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use remaster::error::{Error, Result};
use remaster::image::ImageFile;
use remaster::inspect::diff::{Change, Diff, EntryChange, Unread, Which};
use remaster::stamp::base_image::Original;

use crate::cli::base;
use crate::cli::printer;

/// Rows of a list that are shown to people; programs get all.
const SHOWN: usize = 20;

/// Show what makes two images different; status 1 if something does
///
/// Answers first: their releases, who may log in, what is set, what is secret (never its value), and whether they are sound.
/// With one image, it is compared with its own base, as far as the image itself records it.
#[derive(Debug, clap::Args)]
#[command(mut_arg("sha256", |argument| argument.help("SHA-256 that the file of the first image must have")))]
#[command(mut_arg("sha256_file", |argument| argument.help("File with the SHA-256 of the first image, as it is published beside the ISO")))]
pub(crate) struct Args {
    /// Image, stick or name of a base
    before: PathBuf,
    /// Image, stick or name of a base; without it, the first is compared with its own base
    after: Option<PathBuf>,
    #[command(flatten)]
    source: base::Source,
    /// Show everything: menus, files, directory records, places of bytes, too
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// What the images are called in messages.
    fn names(&self) -> [String; 2] {
        let shown = |path: &PathBuf| path.display().to_string();
        match &self.after {
            Some(after) => [shown(&self.before), shown(after)],
            None => ["its base".to_owned(), shown(&self.before)],
        }
    }
}

/// Ends as diff(1) does: 0 if nothing differs, 1 if something does.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let before = base::open(&args.before, &args.source, || Ok(()))?;
    let diff = match &args.after {
        Some(after) => Diff::compare(&before, &base::open_second(after, &args.source)?)?,
        None => from_own_base(&before)?,
    };
    if args.json {
        printer::print_pretty_json(&diff)
    } else {
        printer::print(&shown(&diff, &args.names(), args.all))
    }?;
    Ok(ExitCode::from(u8::from(!diff.is_empty())))
}

/// What an image has that its base has not.
fn from_own_base(image: &ImageFile) -> Result<Diff> {
    let found = Original::below(image).map_err(|fault| image.at_fault(fault))?;
    let below = found.ok_or_else(|| Error::Usage {
        what: format!(
            "nothing was put into {}, so there is nothing to compare it with",
            image.path().display()
        ),
        hint: "give two images to compare".into(),
    })?;
    Diff::compare(below.image(), image)
}

fn shown(diff: &Diff, names: &[String; 2], all: bool) -> String {
    if diff.is_empty() {
        return "the images are the same, byte for byte\n".to_owned();
    }
    let mut text = String::new();
    for Unread { image, why } in &diff.unread {
        let [before, after] = names;
        let name = if *image == Which::Before { before } else { after };
        let _ = writeln!(text, "{name}: {why}");
    }
    match &diff.answers {
        Some(answers) => text.push_str(&answer::text(answers, names, all)),
        None => {
            text.push_str("so only bytes are compared, not keys, settings, menus and files\n");
            section(&mut text, "image", if all { &[] } else { &diff.facts });
        }
    }
    if all {
        everything(&mut text, diff);
    } else {
        let _ = writeln!(text, "different: {} (--all shows them)", counts(diff).join(", "));
    }
    text
}

/// How much more differs. A count of zero is left out.
fn counts(diff: &Diff) -> Vec<String> {
    let entries = diff.menus.len();
    let all = [
        (entries.to_string(), "menu entry", "menu entries"),
        (put_in(diff).count().to_string(), "file put in", "files put in"),
        (diff.facts.len().to_string(), "fact of the image", "facts of the image"),
        (diff.files.len().to_string(), "file on the volume", "files on the volume"),
        (diff.records.len().to_string(), "directory record", "directory records"),
        (diff.bytes.to_string(), "byte", "bytes"),
    ];
    let some = all.into_iter().filter(|(count, ..)| count != "0");
    some.map(|(count, one, more)| format!("{count} {}", if count == "1" { one } else { more }))
        .collect()
}

/// Files and folders of the live system. Those who may log in have lines of their own.
fn put_in(diff: &Diff) -> impl Iterator<Item = &Change> {
    diff.injected.iter().filter(|change| change.what.starts_with('/'))
}

fn everything(text: &mut String, diff: &Diff) {
    section(text, "image", &diff.facts);
    menus(text, diff);
    section(text, "put in", &put_in(diff).cloned().collect::<Vec<_>>());
    section(text, "files on the volume", &diff.files);
    section(text, "files on the volume, as Joliet has them", &diff.joliet);
    section(text, "directory records", &diff.records);
    let _ = writeln!(text, "different bytes: {}; ranges by start and size:", diff.bytes);
    for (start, size) in diff.ranges.iter().take(SHOWN) {
        let _ = writeln!(text, "  {start:#x} {size}");
    }
    if diff.ranges.len() > SHOWN {
        let _ = writeln!(text, "  … (--json shows all)");
    }
}

fn section(text: &mut String, title: &str, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}:");
    for Change { what, before, after } in changes {
        let _ = match (before, after) {
            (Some(before), Some(after)) => writeln!(text, "  ~ {what}: {before} -> {after}"),
            (Some(before), None) => writeln!(text, "  - {what}: {before}"),
            (None, Some(after)) => writeln!(text, "  + {what}: {after}"),
            (None, None) => Ok(()),
        };
    }
}

/// Entries that change alike are shown once.
fn menus(text: &mut String, diff: &Diff) {
    let mut alike: Vec<(&EntryChange, Vec<String>)> = Vec::new();
    for entry in &diff.menus {
        let name = format!("{} {:?}", entry.menu, entry.title);
        let changes = |one: &EntryChange| (one.removed.clone(), one.added.clone(), one.reordered);
        match alike.iter_mut().find(|(first, _)| changes(first) == changes(entry)) {
            Some((_, names)) => names.push(name),
            None => alike.push((entry, vec![name])),
        }
    }
    for (EntryChange { removed, added, reordered, .. }, names) in alike {
        let first = names.first().map_or("", String::as_str);
        let more = names.len().saturating_sub(1);
        let others = if more > 0 { format!(" and {more} more entries") } else { String::new() };
        let order = if *reordered { " the same words in another order" } else { "" };
        let _ = writeln!(text, "menu {first}{others}:{order}");
        for word in removed {
            let _ = writeln!(text, "  - {word}");
        }
        for word in added {
            let _ = writeln!(text, "  + {word}");
        }
    }
}
