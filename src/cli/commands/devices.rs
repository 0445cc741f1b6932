//! `remaster devices`: list whole disks and whether they can be written to.

use std::fmt::Write as _;

use remaster::error::Result;
use remaster::target::{Candidate, Disk, Refusal, System, TargetRequirements};
use remaster::units::format_bytes;
use serde_json::{Value, json};

use crate::cli::diagnostics;
use crate::cli::events;
use crate::cli::printer;

/// List disks, what is on them, and whether `flash` takes them
///
/// Loop devices, memory (ram, zram), floppy and CD drives, and readers without a medium are listed with --all only.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// List everything that can be written to like a disk
    #[arg(long)]
    all: bool,
    /// Print a JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Prints all disks.
pub(crate) fn run(args: &Args) -> Result<()> {
    let system = System::default();
    let disks = if args.all { system.all_disks()? } else { system.disks()? };
    if args.json {
        printer::print_json(&facts(&disks))
    } else {
        printer::print(&table(&disks, args.all))
    }
}

/// What speaks against a disk before anything is known of the image.
pub(crate) fn refusals(disk: &Disk) -> Vec<Refusal> {
    Candidate::judge(disk.clone(), TargetRequirements::default()).err().unwrap_or_default()
}

/// All disks, for programs.
/// - `v`: version of this form
/// - `disks[].disk`: the facts: [`Disk`]
/// - `disks[].can_be_target`: whether `flash` takes it
/// - `disks[].refusals[].kind.*`: why it does not, in a word, and what that is about
/// - `disks[].refusals[].reason`: the same for people
/// - `disks[].refusals[].hint`: what to do about it, or null
fn facts(disks: &[Disk]) -> Value {
    let rows: Vec<_> = disks
        .iter()
        .map(|disk| {
            let against = refusals(disk);
            let reasons: Vec<_> = against
                .iter()
                .map(|r| json!({"kind": r, "reason": r.reason(), "hint": diagnostics::words(&r.advice())}))
                .collect();
            json!({"disk": disk, "can_be_target": against.is_empty(), "refusals": reasons})
        })
        .collect();
    json!({"v": events::VERSION, "disks": rows})
}

/// Disks, for people.
fn table(disks: &[Disk], is_all: bool) -> String {
    match (disks.is_empty(), is_all) {
        (false, _) => disks.iter().map(rows).collect(),
        (true, true) => "no disks found\n".to_owned(),
        (true, false) => {
            "no disks found; --all lists loop devices and empty readers, too\n".to_owned()
        }
    }
}

/// A disk, for people.
pub(crate) fn rows(disk: &Disk) -> String {
    let mut text = format!("{}\n", headline(disk));
    if let Some(by_id) = &disk.by_id {
        let _ = writeln!(text, "    {}", by_id.display());
    }
    if disk.size > 0 {
        let _ = writeln!(text, "    contents: {}", disk.contents());
    }
    let _ = match refusals(disk).first() {
        None => writeln!(text, "    can be written to"),
        Some(refusal) => writeln!(text, "    cannot be written to: {}", refusal.reason()),
    };
    text
}

/// A disk in one line: path, size, how attached, model, serial number.
pub(crate) fn headline(disk: &Disk) -> String {
    let kind = if disk.removable { "removable" } else { "fixed" };
    let model = if disk.model.is_empty() { "unknown model" } else { &disk.model };
    let serial = disk.serial.as_deref().unwrap_or("none");
    format!(
        "{}  {}  {} {kind}  {model}  serial {serial}",
        disk.path.display(),
        format_bytes(disk.size),
        disk.transport
    )
}
