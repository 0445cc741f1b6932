//! The one place that speaks: how loud, in which colours, and safe for a terminal.

use std::error::Error as _;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use clap::{ColorChoice, ValueEnum};
use remaster::error::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::{closed, diagnostics, events, interrupt};

/// How loud every command is.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct Loudness {
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,

    /// Say more: each change to the image, how it was written
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,

    /// When to use colours; `auto` looks for a terminal and at `NO_COLOR`
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

static LOUDNESS: OnceLock<Loudness> = OnceLock::new();

/// The first event that did not reach standard output.
static LOST: Mutex<Option<Error>> = Mutex::new(None);

/// Whether the command prints events.
static TELLS_EVENTS: AtomicBool = AtomicBool::new(false);

static HUSHED: AtomicBool = AtomicBool::new(false);

/// Colours of the words at the starts of lines (ECMA-48, SGR).
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

/// From now on it is as the user wants it.
pub(super) fn set(loudness: Loudness) {
    // A second time means the same arguments.
    let _ = LOUDNESS.set(loudness);
}

fn loudness() -> Loudness {
    LOUDNESS.get().copied().unwrap_or_default()
}

/// What the parser of arguments needs before it knows `--color`.
pub(super) fn color_of(arguments: impl Iterator<Item = OsString>) -> ColorChoice {
    let arguments: Vec<String> =
        arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let joined = arguments.iter().filter_map(|argument| argument.strip_prefix("--color="));
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    let apart = pairs.filter(|(name, _)| *name == "--color").map(|(_, value)| value.as_str());
    match joined.chain(apart).last() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

/// Whether nothing but errors is wanted.
pub(super) fn is_quiet() -> bool {
    loudness().quiet || HUSHED.load(Ordering::Relaxed)
}

/// Does something in silence, as a command that is part of another one.
pub(super) fn hushed<T>(doing: impl FnOnce() -> T) -> T {
    HUSHED.store(true, Ordering::Relaxed);
    let done = doing();
    HUSHED.store(false, Ordering::Relaxed);
    done
}

/// Whether standard error is a terminal that can move its cursor.
pub(super) fn is_terminal() -> bool {
    let is_dumb = remaster::environment::bytes("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && !is_dumb
}

fn is_colored() -> bool {
    let wanted = remaster::environment::bytes("NO_COLOR").is_none_or(|value| value.is_empty());
    match loudness().color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => wanted && is_terminal(),
    }
}

/// Says what was done, to people.
pub(super) fn say(text: &str) {
    if !is_quiet() {
        write_error(text);
    }
}

/// Says it to those who want to know more.
pub(super) fn detail(text: &str) {
    if loudness().verbose && !is_quiet() {
        write_error(text);
    }
}

/// From now on notes are events, too.
pub(super) fn tell_events() {
    TELLS_EVENTS.store(true, Ordering::Relaxed);
}

/// Says what may surprise, and tells programs that read events.
pub(super) fn note(text: &str) {
    if TELLS_EVENTS.load(Ordering::Relaxed) {
        event(events::NOTE, json!({ "note": text }));
    }
    if !is_quiet() {
        write_error(&format!("note: {text}\n"));
    }
}

/// Asks; the answer is read by the caller.
pub(super) fn ask(question: &str) -> Result<()> {
    let mut err = io::stderr().lock();
    let asked = err.write_all(visible(question).as_bytes()).and_then(|()| err.flush());
    asked.map_err(Error::io("ask on the terminal"))
}

/// Says what went wrong, why, and what to do; gives the exit status.
pub(super) fn fault(fault: &Error) -> ExitCode {
    write_error(&explained(fault, ""));
    ExitCode::from(interrupt::exit_code(fault))
}

/// What went wrong and where, why, and what to do.
pub(super) fn explained(fault: &Error, about: &str) -> String {
    let mut text = format!("error: {about}{fault}\n");
    let mut source = fault.plain().source();
    while let Some(cause) = source {
        let _ = writeln!(text, "cause: {cause}");
        source = cause.source();
    }
    if let Some(hint) = diagnostics::hint(fault) {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

/// Writes messages to standard error. If nobody listens there, nothing can be done about it.
pub(super) fn write_error(text: &str) {
    let text = visible(text);
    let text = if is_colored() { colored(&text) } else { text };
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a report to standard output.
pub(super) fn print(text: &str) -> Result<()> {
    write_out(visible(text).as_bytes())
}

/// Writes what came of it to standard output, if it is wanted.
pub(super) fn tell(text: &str) -> Result<()> {
    if is_quiet() { Ok(()) } else { print(text) }
}

/// Writes JSON to standard output, as one line.
pub(super) fn print_json(value: &Value) -> Result<()> {
    write_out(format!("{}\n", visible_json(&value.to_string())).as_bytes())
}

/// Writes an event to standard output while the work goes on. That it did not get there is said at the end.
pub(super) fn event(name: &str, fields: Value) {
    line(&events::named(name, fields));
}

/// Writes a line of JSON in the same way.
pub(super) fn line(value: &Value) {
    if let Err(fault) = print_json(value) {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }
}

/// Why events did not reach standard output, if some did not.
pub(super) fn lost() -> Option<Error> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Writes JSON to standard output, for people to read, too.
pub(super) fn print_pretty_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|fault| Error::io("write JSON")(fault.into()))?;
    write_out(format!("{}\n", visible_json(&text)).as_bytes())
}

/// Writes a text of this program that is for other programs, tabs and all, to standard output.
pub(super) fn print_own(text: &str) -> Result<()> {
    write_out(text.as_bytes())
}

fn write_out(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    written(closed::output().and_then(|()| out.write_all(bytes)).and_then(|()| out.flush()))
}

/// What came of writing to standard output. That nobody reads on is the reader's choice.
pub(super) fn written(done: io::Result<()>) -> Result<()> {
    match done {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::io("write to standard output")),
    }
}

/// Colours the words that lines of messages start with.
fn colored(text: &str) -> String {
    let line = |line: &str| {
        let (word, rest) = line.split_once(':').unwrap_or((line, ""));
        let color = match word {
            "error" => RED,
            "note" => YELLOW,
            "cause" | "hint" | "next" | "then" => CYAN,
            _ => return line.to_owned(),
        };
        format!("{color}{word}:{PLAIN}{rest}")
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Text from outside, harmless to a terminal: labels, titles, paths, names of users and disks.
pub(super) fn visible(text: &str) -> String {
    let shown = |c: char| -> String {
        if c != '\n' && is_harmful(c) { c.escape_unicode().to_string() } else { c.into() }
    };
    text.chars().map(shown).collect()
}

/// The same in the form of JSON strings.
fn visible_json(text: &str) -> String {
    let shown = |c: char| -> String {
        if c != '\n' && is_harmful(c) { format!("\\u{:04x}", u32::from(c)) } else { c.into() }
    };
    text.chars().map(shown).collect()
}

/// Controls (C0, DEL, C1) and what changes the direction of text (Unicode UAX #9 §2, and U+2028, U+2029).
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        let text = "label \x1b[31mred\x07\u{9b}0m \u{202e}gpj.exe\r\nnext\tline é ü 漢";
        assert_eq!(
            visible(text),
            "label \\u{1b}[31mred\\u{7}\\u{9b}0m \\u{202e}gpj.exe\\u{d}\nnext\\u{9}line é ü 漢"
        );
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({ "label": "\x1b[31m\u{202e}\u{7f}\u{9b}é" });
        let text = visible_json(&value.to_string());
        assert!(text.chars().all(|c| !is_harmful(c)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }

    #[test]
    fn only_the_first_word_of_a_message_is_coloured() {
        assert_eq!(colored("error: a: b\nkey: c\n"), format!("{RED}error:{PLAIN} a: b\nkey: c\n"));
    }

    #[test]
    fn colours_are_known_before_the_arguments_are_parsed() {
        let of = |line: &str| color_of(line.split(' ').map(OsString::from));
        assert_eq!(of("remaster --color=never -h"), ColorChoice::Never);
        assert_eq!(of("remaster flash --color always"), ColorChoice::Always);
        assert_eq!(of("remaster --color --help"), ColorChoice::Auto);
    }
}
