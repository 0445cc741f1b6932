//! Shows how far a write has come: bars on a terminal, lines in a log, events for programs.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use remaster::progress::Progress;
use remaster::units::human;
use serde_json::json;

use super::interrupt;

/// Version of the events; raised when a field changes its meaning or goes.
pub(crate) const EVENTS: u32 = 1;
/// Time between two progress events.
const PACE: Duration = Duration::from_millis(250);

/// How progress is shown.
#[derive(Clone, Debug)]
pub(crate) enum Style {
    /// Bars, one below the other.
    Bars(MultiProgress),
    /// A line per tenth.
    Lines,
    /// A JSON object per line, on standard output.
    Events,
}

impl Style {
    /// Bars on a terminal, lines elsewhere, events on request.
    pub(crate) fn choose(json: bool) -> Self {
        if json {
            return Self::Events;
        }
        if io::stderr().is_terminal() {
            return Self::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        }
        Self::Lines
    }
}

/// The progress of one target.
#[derive(Debug)]
pub(crate) struct Meter {
    name: String,
    style: Style,
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
        Self { name: name.into(), style, held: Mutex::new(held) }
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, held: &State) {
        let rate = rate(held.done, held.start.elapsed());
        let share = percent(held.done, held.total);
        let (name, stage) = (&self.name, held.stage);
        let left = left(held).map(|left| format!(", {left} s left")).unwrap_or_default();
        // Progress that cannot be shown is no reason to stop.
        let _ = writeln!(
            io::stderr(),
            "{name}: {stage} {share} % ({}), {}/s{left}",
            human(held.done),
            human(rate)
        );
    }

    fn event(&self, event: &str, held: &State) {
        let line = json!({
            "v": EVENTS, "event": event, "target": self.name, "stage": held.stage,
            "done": held.done, "total": (held.total > 0).then_some(held.total),
            "rate": rate(held.done, held.start.elapsed()), "seconds_left": left(held),
        });
        emit(&line);
    }
}

/// Writes one event.
pub(crate) fn emit(event: &serde_json::Value) {
    // Whoever closed the pipe does not want to know more.
    let _ = writeln!(io::stdout(), "{event}");
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

fn bar_style(total: u64) -> ProgressStyle {
    let shape = if total > 0 {
        "{prefix} {msg} [{bar:30}] {percent:>3} % {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
    } else {
        "{prefix} {msg} {spinner} {binary_bytes} {binary_bytes_per_sec}"
    };
    let style = ProgressStyle::with_template(shape);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Progress for Meter {
    fn begin(&self, stage: &'static str, total: u64) {
        let mut held = self.held();
        let now = Instant::now();
        let bar = held.bar.take();
        *held = State { stage, total, done: 0, tenth: 0, start: now, told: now, bar };
        match &self.style {
            Style::Bars(bars) => {
                let bar = held.bar.get_or_insert_with(|| {
                    let bar = ProgressBar::hidden().with_style(bar_style(total));
                    bars.add(bar.with_prefix(self.name.clone()))
                });
                bar.set_style(bar_style(total));
                bar.set_message(stage);
                bar.set_length(total);
                bar.reset();
            }
            Style::Lines => {}
            Style::Events => self.event("begin", &held),
        }
    }

    fn advance(&self, bytes: u64) {
        let mut held = self.held();
        held.done = held.done.saturating_add(bytes);
        if let Some(bar) = &held.bar {
            bar.inc(bytes);
        }
        let tenth = percent(held.done, held.total).checked_div(10).unwrap_or(0);
        match self.style {
            Style::Lines if tenth > held.tenth => {
                held.tenth = tenth;
                self.line(&held);
            }
            Style::Events if held.told.elapsed() >= PACE => {
                held.told = Instant::now();
                self.event("progress", &held);
            }
            _ => {}
        }
    }

    fn end(&self) {
        let held = self.held();
        if let Some(bar) = &held.bar {
            bar.finish();
        }
        match self.style {
            Style::Events => self.event("end", &held),
            Style::Lines if held.total == 0 => self.line(&held),
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        interrupt::is_asked()
    }
}
