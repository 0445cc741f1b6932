//! What came of writing: told to people in sentences, to programs as events.

use std::time::Duration;

use remaster::error::{Error, Result};
use remaster::flash::{self, DigestMatch, Medium, Report};
use remaster::formats::fat32::Label;
use remaster::stamp::injected_facts::{Fact, InjectedFacts};
use remaster::stamp::privacy::Privacy;
use remaster::target::{OpenedBy, Target};
use remaster::units::format_bytes;
use serde_json::json;

use super::to::Disks;
use crate::cli::destination::mode_note;
use crate::cli::events;
use crate::cli::{diagnostics, interrupt, printer};

/// Differences that are reported one by one to people; programs get all.
const SHOWN: usize = 20;

/// A program holds one of the old partitions open, so the kernel keeps all of them.
const OLD_PARTITIONS: &str =
    "\n  the kernel still shows the old partitions: unplug the disk, and plug it in again";

/// Tells programs what was put into the image before and is not given again.
pub(super) fn tell_taken_out(gone: &[Fact]) {
    for fact in gone {
        printer::event(events::TAKEN_OUT, json!(fact));
    }
}

/// Tells of what is put in, for programs: people read it in the summary.
pub(super) fn tell_put_in(given: &InjectedFacts) {
    for fact in given.with_comments() {
        printer::event(events::PUT_IN, json!(fact));
    }
    given.login_notes().iter().for_each(|note| printer::note(note));
}

/// What is done with a target.
pub(super) enum Operation {
    /// It gets an image.
    Flashed,
    /// It gets an empty filesystem with this name.
    Formatted(Option<Label>),
}

impl Operation {
    /// What its bytes are then.
    fn contents(&self) -> String {
        match self {
            Self::Flashed => "of image".to_owned(),
            Self::Formatted(None) => "as one FAT32 partition".to_owned(),
            Self::Formatted(Some(label)) => format!("as one FAT32 partition \"{label}\""),
        }
    }

    /// What it may hold if the last step is not known to be done.
    fn uncertain_contents(&self) -> &'static str {
        match self {
            Self::Flashed => {
                "may hold the image, or what it held before: `remaster verify` shows which"
            }
            Self::Formatted(_) => "may be formatted, or hold what it held before",
        }
    }

    fn retry_hint(&self) -> &'static str {
        match self {
            Self::Flashed => "flash it again",
            Self::Formatted(_) => "format it again",
        }
    }
}

/// Finishes a target that was written, and tells what was done, also whether the file is for its owner only.
pub(super) fn conclude(
    target: Target,
    result: Result<(Report, Privacy)>,
    operation: &Operation,
    to: &Disks,
) -> Result<()> {
    let name = target.name();
    let (report, private) = match result {
        Ok(done) => done,
        Err(fault) => {
            tell_state(&target, operation);
            return Err(fault);
        }
    };
    tell_differences(&name, &report, to.json)?;
    if let Some(fault) = report.error(&name) {
        tell_state(&target, operation);
        return Err(fault);
    }
    let opened_by = target.opened_by();
    let had_partitions = target.disk().is_some_and(|disk| !disk.partitions.is_empty());
    let finish = flash::finish(target, !to.no_eject)?;
    if to.json {
        printer::event(
            events::RESULT,
            json!({ "target": name, "ok": true, "exit": 0,
                "size": report.size, "written": report.written, "compared": report.compared,
                "delta": report.is_delta, "sampled": report.is_sampled, "cut_off": report.cut_off, "direct": report.is_direct,
                "verified": report.is_verified(), "backup_gpt_at": report.backup_at, "note": report.note,
                "digest_of": report.fits.map(|fits| if fits == DigestMatch::Packed { "packed" } else { "image" }),
                "probe_seconds": report.probe_time.map(|time| time.as_secs_f64()),
                "write_seconds": report.write_time.as_secs_f64(),
                "verify_seconds": report.verify_time.map(|time| time.as_secs_f64()),
                "partitions_seen": finish.partitions_seen, "ejected": finish.ejected,
                "opened_by": opened_by.name(),
            }),
        );
        return Ok(());
    }
    let mut text = summary(&name, &report, operation, (opened_by, finish));
    if had_partitions && !finish.partitions_seen && !finish.ejected {
        text.push_str(OLD_PARTITIONS);
    }
    if let Some(mode) = mode_note(private) {
        text.extend(["\n  ", mode]);
    }
    say(&text)
}

/// Tells what a target is that was not written to its end. A new file does not stay.
pub(super) fn tell_state(target: &Target, operation: &Operation) {
    let name = target.name();
    match target.discard() {
        Ok(true) => {
            return printer::note(&format!("{name} was not written to its end and is removed"));
        }
        Ok(false) => {}
        Err(fault) => printer::note(&fault.to_string()),
    }
    let marked = target.marked_places();
    let found = (flash::is_half_written(target), target.is_touched(), marked);
    if let Some(state) = state(&name, found, operation) {
        printer::note(&state);
    }
}

/// What a target is: one that is half written or not, by its first block, if that can be read; to which something was
/// written or not; and where so many places keep the marks of a test.
fn state(
    name: &str,
    (is_half, is_touched, marked): (Option<bool>, bool, usize),
    operation: &Operation,
) -> Option<String> {
    Some(match (is_half, marked) {
        (Some(true), _) => format!("{name} is half written now: {}", operation.retry_hint()),
        (_, 1..) => format!(
            "{name} holds marks of the test of its size at {marked} places; what it holds elsewhere is not known"
        ),
        _ if !is_touched => format!("nothing was written to {name}"),
        (Some(false), 0) => format!("{name} {}", operation.uncertain_contents()),
        (None, 0) => return None,
    })
}

fn summary(
    name: &str,
    report: &Report,
    operation: &Operation,
    (opened_by, finish): (OpenedBy, flash::Finish),
) -> String {
    use std::fmt::Write as _; // into a string, which cannot fail
    let mut text = format!(
        "{name}: {} {}, {} written in {}",
        format_bytes(report.size),
        operation.contents(),
        format_bytes(report.written),
        seconds(report.write_time)
    );
    match report.verify_time {
        Some(time) => {
            let compared = format_bytes(report.compared);
            let time = seconds(time);
            text.extend([", ", &compared, " read back and verified (", &time, ")"]);
        }
        None if report.is_sampled => {
            text.extend([", ", &format_bytes(report.compared), " compared"]);
        }
        None if report.is_delta && report.written == 0 => {
            text.push_str(", the rest read and verified");
        }
        None if report.is_delta => text.push_str(", the rest compared before, not read back"),
        None => text.push_str(", not read back"),
    }
    if report.is_delta {
        text.push_str("\n  only what differed was written");
    }
    if report.is_sampled {
        text.push_str(
            "; it compared the start, what was put in before or now, and samples of the rest",
        );
    }
    if report.cut_off > 0 {
        let _ = write!(text, "\n  cut off: {} bytes behind the image", report.cut_off);
    }
    if !report.is_direct {
        text.push_str("\n  no direct I/O here: written through the page cache");
    }
    if opened_by == OpenedBy::Udisks {
        text.push_str("\n  opened through udisks2");
    }
    if let Some(at) = report.backup_at {
        let _ = write!(text, "\n  backup GPT moved to the end, byte {at:#x}");
    }
    text.push_str(match report.fits {
        Some(DigestMatch::Packed) => "\n  SHA-256 verified, of the packed bytes",
        Some(DigestMatch::Image) => "\n  SHA-256 verified, of the image",
        None => "",
    });
    if let Some(note) = &report.note {
        let _ = write!(text, "\n  note: {note}");
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
    printer::tell(&format!("{text}\n"))
}

/// Tells every difference to programs, and the first ones to people.
pub(crate) fn tell_differences(name: &str, report: &Report, json: bool) -> Result<()> {
    use std::fmt::Write as _; // into a string, which cannot fail
    if json {
        for difference in &report.differences {
            printer::event(
                events::DIFFERENCE,
                json!({ "target": name,
                    "at": difference.at.start(), "bytes": difference.at.size(),
                    "likely": difference.cause,
                }),
            );
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
        let _ = writeln!(text, "{name}: {} verified", format_bytes(report.compared));
    }
    if text.is_empty() { Ok(()) } else { say(text.trim_end()) }
}

/// Tells of one target among several; the last error is reported by the caller.
pub(super) fn tell_failure(name: &str, fault: &Error, to: &Disks) -> Result<()> {
    if to.json {
        printer::event(
            events::RESULT,
            json!({ "target": name, "ok": false,
                "exit": interrupt::exit_code(fault), "error": fault.to_string(), "hint": diagnostics::hint(fault),
            }),
        );
    } else if to.devices.len() > 1 {
        return say(&format!("{name}: failed: {fault}"));
    }
    Ok(())
}

/// Tells programs why it ends, where that is not about one target.
pub(crate) fn tell_end(fault: &Error) {
    printer::event(
        events::ERROR,
        json!({
            "exit": interrupt::exit_code(fault), "error": fault.to_string(), "hint": diagnostics::hint(fault),
        }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_by_its_mark_by_what_was_written_and_by_what_a_test_left() {
        let rows = [
            ((Some(true), true, 0), Some("x is half written now: flash it again")),
            ((Some(true), true, 3), Some("x is half written now: flash it again")),
            ((Some(false), false, 0), Some("nothing was written to x")),
            ((None, false, 0), Some("nothing was written to x")),
            ((None, true, 0), None),
            ((Some(false), true, 0), Some("x may hold the image, or what it held before")),
            ((Some(false), true, 3), Some("x holds marks of the test of its size at 3 places")),
            ((None, true, 3), Some("x holds marks of the test of its size at 3 places")),
        ];
        for (found, told) in rows {
            let state = state("x", found, &Operation::Flashed);
            match told {
                Some(words) => assert!(
                    state.as_ref().is_some_and(|state| state.contains(words)),
                    "{found:?}: {state:?}"
                ),
                None => assert_eq!(state, None),
            }
        }
    }
}
