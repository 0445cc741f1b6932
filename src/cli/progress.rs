//! Shows how far a long operation has come: bars on a terminal, lines elsewhere, events for programs.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use remaster::error::Result;
use remaster::progress::Progress;
use remaster::units::format_bytes;
use rustix::termios::tcgetwinsize;
use serde_json::{Value, json};

use super::{interrupt, printer};

/// Version of the events; raised when a field changes its meaning or goes.
pub(crate) const EVENTS: u32 = 1;

/// Time between two progress events.
const EVENT_INTERVAL: Duration = Duration::from_millis(250);

/// A stage that is over sooner shows no bar.
const BAR_DELAY: Duration = Duration::from_millis(500);

/// A stage that is over sooner shows no lines.
const LINES_DELAY: Duration = Duration::from_secs(5);

/// Terminals with fewer columns get the short form.
const NARROW: u16 = 70;

/// How progress is shown.
#[derive(Clone, Debug)]
pub(crate) enum Style {
    /// Bars, one below the other.
    Bars(MultiProgress),
    /// A line per tenth.
    Lines,
    /// A JSON object per line, on standard output.
    Events,
    /// Not at all.
    Silent,
}

impl Style {
    /// Bars on a terminal, lines elsewhere, events on request.
    pub(crate) fn choose(json: bool) -> Self {
        match () {
            () if json => Self::Events,
            () if printer::is_quiet() => Self::Silent,
            () if printer::is_terminal() => {
                Self::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
            }
            () => Self::Lines,
        }
    }
}

/// The progress of one target, or of one stage after the other.
#[derive(Debug)]
pub(crate) struct Meter {
    /// In front of every line; empty where there is one output only.
    name: String,
    style: Style,
    /// Stages that are over soon are not shown.
    is_patient: bool,
    held: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: &'static str,
    total: u64,
    done: u64,
    tenth: u64,
    start: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Meter {
    /// A meter for the target `name`.
    pub(crate) fn new(name: impl Into<String>, style: Style) -> Self {
        let now = Instant::now();
        let held =
            State { stage: "", total: 0, done: 0, tenth: 0, start: now, told: now, bar: None };
        Self { name: name.into(), style, is_patient: false, held: Mutex::new(held) }
    }

    /// A meter for stages that are shown only if they last. Control-C asks them to stop.
    pub(crate) fn stages() -> Result<Self> {
        interrupt::watch()?;
        Ok(Self::stages_without_signals())
    }

    /// The same, but Control-C ends the program as usual: there is nothing to tidy up.
    pub(crate) fn stages_without_signals() -> Self {
        Self { is_patient: true, ..Self::new("", Style::choose(false)) }
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_late(&self, held: &State, delay: Duration) -> bool {
        !self.is_patient || held.start.elapsed() >= delay
    }

    fn line(&self, held: &State) {
        let share = match held.total {
            0 => String::new(),
            total => format!("{} % ", percent(held.done, total)),
        };
        let rate = match rate(held.done, held.start.elapsed()) {
            0 => String::new(),
            rate => format!(", {}/s", format_bytes(rate)),
        };
        let name = if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) };
        let left = left(held).map(|left| format!(", {left} s left")).unwrap_or_default();
        let (stage, done) = (held.stage, format_bytes(held.done));
        printer::say(&format!("{name}{stage} {share}({done}){rate}{left}\n"));
    }

    fn event(&self, event: &str, held: &State) {
        let line = json!({
            "v": EVENTS, "event": event, "target": self.name, "stage": held.stage,
            "done": held.done, "total": (held.total > 0).then_some(held.total),
            "rate": rate(held.done, held.start.elapsed()), "seconds_left": left(held),
        });
        emit(&line);
    }

    /// The bar of a stage, at its place among the bars.
    fn begin_bar(&self, bars: &MultiProgress, held: &mut State) {
        let bar = held.bar.get_or_insert_with(|| {
            let bar = ProgressBar::hidden().with_prefix(printer::visible(&self.name));
            if self.is_patient { bar } else { bars.add(bar) }
        });
        bar.set_style(bar_style(held.total, !self.name.is_empty()));
        bar.set_message(held.stage);
        bar.set_length(held.total);
        bar.reset();
    }
}

/// Writes one event. A closed pipe is not an error.
pub(crate) fn emit(event: &Value) {
    let _ = printer::print_json(event);
}

/// A bar that counts things, not bytes.
pub(crate) fn counter(what: &'static str, total: usize) -> ProgressBar {
    let is_watched = printer::is_terminal() && !printer::is_quiet();
    let target =
        if is_watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(u64::try_from(total).ok(), target);
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} {eta}");
    bar.with_style(with_chars(style)).with_message(what)
}

fn rate(bytes: u64, time: Duration) -> u64 {
    let per_second = u128::from(bytes).saturating_mul(1000).checked_div(time.as_millis());
    per_second.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
}

fn percent(done: u64, total: u64) -> u64 {
    done.min(total).saturating_mul(100).checked_div(total).unwrap_or(0)
}

fn left(held: &State) -> Option<u64> {
    let rest = held.total.checked_sub(held.done).filter(|_| held.done > 0)?;
    rest.checked_div(rate(held.done, held.start.elapsed()))
}

fn bar_style(total: u64, has_name: bool) -> ProgressStyle {
    let narrow = tcgetwinsize(io::stderr()).is_ok_and(|size| size.ws_col < NARROW);
    let shape = match (total > 0, narrow) {
        (true, true) => "{msg} {percent:>3} % {eta}",
        (true, false) => {
            "{msg} [{wide_bar}] {percent:>3} % {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
        }
        (false, true) => "{msg} {spinner} {binary_bytes}",
        (false, false) => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}",
    };
    let prefix = if has_name { "{prefix} " } else { "" };
    with_chars(ProgressStyle::with_template(&format!("{prefix}{shape}")))
}

fn with_chars<E>(style: std::result::Result<ProgressStyle, E>) -> ProgressStyle {
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Progress for Meter {
    fn begin(&self, stage: &'static str, total: u64) {
        let mut held = self.held();
        let now = Instant::now();
        let bar = held.bar.take();
        *held = State { stage, total, done: 0, tenth: 0, start: now, told: now, bar };
        match &self.style {
            Style::Bars(bars) => self.begin_bar(bars, &mut held),
            Style::Events => self.event("begin", &held),
            Style::Lines | Style::Silent => {}
        }
    }

    fn advance(&self, bytes: u64) {
        let mut held = self.held();
        held.done = held.done.saturating_add(bytes);
        if let (Some(bar), Style::Bars(_)) = (&held.bar, &self.style) {
            if self.is_patient && bar.is_hidden() && self.is_late(&held, BAR_DELAY) {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            bar.inc(bytes);
        }
        let tenth = percent(held.done, held.total).checked_div(10).unwrap_or(0);
        match self.style {
            Style::Lines if tenth > held.tenth && self.is_late(&held, LINES_DELAY) => {
                held.tenth = tenth;
                self.line(&held);
            }
            Style::Events if held.told.elapsed() >= EVENT_INTERVAL => {
                held.told = Instant::now();
                self.event("progress", &held);
            }
            _ => {}
        }
    }

    fn end(&self) {
        let mut held = self.held();
        match &held.bar {
            Some(bar) if self.is_patient => bar.finish_and_clear(),
            Some(bar) => bar.finish(),
            None => {}
        }
        if self.is_patient {
            held.bar = None;
        }
        match self.style {
            Style::Events => self.event("end", &held),
            Style::Lines
                if held.total == 0 && held.done > 0 && self.is_late(&held, LINES_DELAY) =>
            {
                self.line(&held);
            }
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        interrupt::is_asked()
    }
}
