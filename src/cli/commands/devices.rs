//! `remaster devices`: list whole disks and whether they can be written to.

use std::io::{self, Write};

use remaster::error::{Error, Result};
use remaster::target::{Candidate, Demands, Disk, Refusal, System};
use remaster::units::human;
use serde_json::json;

use crate::cli::meter::EVENTS;

/// List disks: path, model, serial, size, contents, and whether `flash` would take them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print a JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Prints all disks.
pub(crate) fn run(args: &Args) -> Result<()> {
    let disks = System::default().disks()?;
    let mut out = io::stdout().lock();
    let printed = if args.json { print_json(&disks, &mut out) } else { print(&disks, &mut out) };
    match printed {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::io("write to standard output")),
    }
}

/// What speaks against a disk before anything is known of the image.
pub(crate) fn refusals(disk: &Disk) -> Vec<Refusal> {
    Candidate::judge(disk.clone(), Demands::default()).err().unwrap_or_default()
}

fn print_json(disks: &[Disk], out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<_> = disks
        .iter()
        .map(|disk| {
            let against = refusals(disk);
            let reasons: Vec<_> = against
                .iter()
                .map(|r| json!({"kind": r, "reason": r.reason(), "hint": r.hint()}))
                .collect();
            json!({"disk": disk, "can_be_target": against.is_empty(), "refusals": reasons})
        })
        .collect();
    writeln!(out, "{}", json!({"v": EVENTS, "disks": rows}))
}

/// Prints the table.
pub(crate) fn print(disks: &[Disk], out: &mut impl Write) -> io::Result<()> {
    for disk in disks {
        writeln!(out, "{}", headline(disk))?;
        if let Some(by_id) = &disk.by_id {
            writeln!(out, "    {}", by_id.display())?;
        }
        writeln!(out, "    holds {}", disk.contents())?;
        match refusals(disk).first() {
            None => writeln!(out, "    can be written to")?,
            Some(refusal) => writeln!(out, "    no target: {}", refusal.reason())?,
        }
    }
    if disks.is_empty() {
        writeln!(out, "no disks found")?;
    }
    Ok(())
}

/// A disk in one line: path, size, how attached, model, serial number.
pub(crate) fn headline(disk: &Disk) -> String {
    let kind = if disk.removable { "removable" } else { "fixed" };
    let model = if disk.model.is_empty() { "unknown model" } else { &disk.model };
    let serial = disk.serial.as_deref().unwrap_or("none");
    format!(
        "{}  {}  {} {kind}  {model}  serial {serial}",
        disk.path.display(),
        human(disk.size),
        disk.transport
    )
}
