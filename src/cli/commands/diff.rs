//! `remaster diff`: what makes two images different, for people and for programs.

use std::fmt::Write as _;
use std::path::PathBuf;

use remaster::error::Result;
use remaster::inspect::diff::{Change, Diff, EntryChange};

use super::base;
use crate::cli::printer;

/// Byte ranges that are shown to people; programs get all.
const SHOWN: usize = 20;

/// Show what makes two images different
#[derive(Debug, clap::Args)]
#[command(mut_arg("sha256", |argument| argument.help("SHA-256 that the file of the first image must have")))]
#[command(mut_arg("sha256_file", |argument| argument.help("File with the SHA-256 of the first image, as it is published beside the ISO")))]
pub(crate) struct Args {
    /// Image, stick or name of a base
    before: PathBuf,
    /// Image, stick or name of a base
    after: PathBuf,
    #[command(flatten)]
    source: base::Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let before = base::open(&args.before, &args.source)?;
    let after = base::open_second(&args.after, &args.source)?;
    let diff = Diff::of(&before, &after)?;
    if args.json {
        return printer::print_pretty_json(&diff);
    }
    printer::print(&shown(&diff))
}

fn shown(diff: &Diff) -> String {
    if diff.is_empty() {
        return "the images are the same, byte for byte\n".to_owned();
    }
    let mut text = String::new();
    section(&mut text, "image", &diff.facts);
    menus(&mut text, diff);
    section(&mut text, "files on the volume", &diff.files);
    section(&mut text, "files on the volume, as Joliet has them", &diff.joliet);
    section(&mut text, "directory records", &diff.records);
    section(&mut text, "put in", &diff.injected);
    let _ = writeln!(text, "bytes: {} in {} ranges differ", diff.bytes, diff.ranges.len());
    for (start, size) in diff.ranges.iter().take(SHOWN) {
        let _ = writeln!(text, "  {start:#x} {size}");
    }
    if diff.ranges.len() > SHOWN {
        let _ = writeln!(text, "  … (--json shows all)");
    }
    text
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
