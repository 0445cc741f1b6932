//! Shows how far a long operation has come: bars on a terminal, lines elsewhere, events for programs.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{
    HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use remaster::error::Result;
use remaster::progress::Progress;
use remaster::units::format_bytes;
use rustix::termios::tcgetwinsize;
use serde_json::json;

use super::{events, interrupt, printer};

/// Time between two progress events.
const EVENT_INTERVAL: Duration = Duration::from_millis(250);

/// A stage of several that follow each other shows no bar if it is over sooner.
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
    /// Bytes of the stages behind this one.
    later: u64,
    done: u64,
    tenth: u64,
    start: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl State {
    /// Whether another tenth is worth a line.
    fn has_line(&mut self) -> bool {
        let tenth = percent(self.done, self.total).checked_div(10).unwrap_or(0);
        let is_due = tenth > self.tenth && self.start.elapsed() >= LINES_DELAY;
        if is_due {
            self.tenth = tenth;
        }
        is_due
    }

    /// Whether the end is worth a line: that of a stage whose end nobody knew before has had none.
    fn has_last_line(&self) -> bool {
        self.total == 0 && self.done > 0 && self.start.elapsed() >= LINES_DELAY
    }
}

impl Meter {
    /// A meter for the target `name`.
    pub(crate) fn new(name: impl Into<String>, style: Style) -> Self {
        let now = Instant::now();
        let held = State {
            stage: "",
            total: 0,
            later: 0,
            done: 0,
            tenth: 0,
            start: now,
            told: now,
            bar: None,
        };
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
        let left = left_in_all(held).map(|left| format!(", {left} s left")).unwrap_or_default();
        let (stage, done) = (held.stage, format_bytes(held.done));
        printer::say(&format!("{name}{stage} {share}({done}){rate}{left}\n"));
    }

    fn event(&self, event: &str, held: &State) {
        let line = json!({
            "target": self.name, "stage": held.stage,
            "done": held.done, "total": (held.total > 0).then_some(held.total),
            "rate": rate(held.done, held.start.elapsed()), "seconds_left": left(held),
            "seconds_left_in_all": left_in_all(held),
        });
        printer::event(event, line);
    }

    /// The bar of a stage, at its place among the bars.
    fn begin_bar(&self, bars: &MultiProgress, held: &mut State) {
        let style = bar_style(held, !self.name.is_empty());
        let bar = held.bar.get_or_insert_with(|| {
            let bar = ProgressBar::hidden().with_prefix(printer::visible(&self.name));
            if self.is_patient { bar } else { bars.add(bar) }
        });
        bar.set_style(style);
        bar.set_message(held.stage);
        bar.set_length(held.total);
        bar.reset();
    }
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

/// Seconds until all stages are over that are known, as fast as this one goes.
fn left_in_all(held: &State) -> Option<u64> {
    let rest = held.total.checked_sub(held.done).filter(|_| held.done > 0)?;
    match rest.saturating_add(held.later) {
        // However fast it was.
        0 => Some(0),
        rest => rest.checked_div(rate(held.done, held.start.elapsed())),
    }
}

fn bar_style(held: &State, has_name: bool) -> ProgressStyle {
    let narrow = tcgetwinsize(io::stderr()).is_ok_and(|size| size.ws_col < NARROW);
    let shape = match (held.total > 0, narrow) {
        (true, true) => "{msg} {percent:>3} % {left}",
        (true, false) => {
            "{msg} [{wide_bar}] {percent:>3} % {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {left}"
        }
        (false, true) => "{msg} {spinner} {binary_bytes}",
        (false, false) => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}",
    };
    let prefix = if has_name { "{prefix} " } else { "" };
    let style = with_chars(ProgressStyle::with_template(&format!("{prefix}{shape}")));
    let later = held.later;
    style.with_key("left", move |state: &ProgressState, out: &mut dyn fmt::Write| {
        let left = state.eta().saturating_add(eta_of(later, state.per_sec()));
        let _ = write!(out, "{:#}", HumanDuration(left));
    })
}

/// How long bytes take at a speed.
fn eta_of(bytes: u64, per_second: f64) -> Duration {
    let rate = Duration::try_from_secs_f64(per_second).map_or(0, |rate| rate.as_secs());
    Duration::from_secs(bytes.checked_div(rate).unwrap_or(0))
}

fn with_chars<E>(style: std::result::Result<ProgressStyle, E>) -> ProgressStyle {
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Progress for Meter {
    fn begin(&self, stage: &'static str, total: u64) {
        let mut held = self.held();
        let now = Instant::now();
        let bar = held.bar.take();
        *held = State { stage, total, later: 0, done: 0, tenth: 0, start: now, told: now, bar };
        match &self.style {
            Style::Bars(bars) => self.begin_bar(bars, &mut held),
            Style::Events => self.event(events::BEGIN, &held),
            Style::Lines | Style::Silent => {}
        }
    }

    fn follow(&self, bytes: u64) {
        let mut held = self.held();
        held.later = bytes;
        if let Some(bar) = &held.bar {
            bar.set_style(bar_style(&held, !self.name.is_empty()));
        }
    }

    fn advance(&self, bytes: u64) {
        let mut held = self.held();
        held.done = held.done.saturating_add(bytes);
        if let (Some(bar), Style::Bars(_)) = (&held.bar, &self.style) {
            if self.is_patient && bar.is_hidden() && held.start.elapsed() >= BAR_DELAY {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            bar.inc(bytes);
        }
        match self.style {
            Style::Lines if held.has_line() => self.line(&held),
            Style::Events if held.told.elapsed() >= EVENT_INTERVAL => {
                held.told = Instant::now();
                self.event(events::PROGRESS, &held);
            }
            _ => {}
        }
    }

    fn end(&self) {
        let mut held = self.held();
        // What was done is said in words, on a line of its own.
        if let Some(bar) = &held.bar {
            bar.finish_and_clear();
        }
        if self.is_patient {
            held.bar = None;
        }
        match self.style {
            Style::Events => self.event(events::END, &held),
            Style::Lines if held.has_last_line() => self.line(&held),
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        interrupt::is_asked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stage of 200 bytes that began some seconds ago.
    fn stage(seconds: u64) -> State {
        let now = Instant::now();
        let start = now.checked_sub(Duration::from_secs(seconds)).unwrap();
        State {
            stage: "write",
            total: 200,
            later: 0,
            done: 0,
            tenth: 0,
            start,
            told: now,
            bar: None,
        }
    }

    #[test]
    fn a_stage_that_lasts_has_a_line_per_tenth_and_a_short_one_none() {
        for (seconds, lines) in [(0, 0), (60, 10)] {
            let mut stage = stage(seconds);
            let mut told = 0;
            for done in 1..=200 {
                stage.done = done;
                told += u64::from(stage.has_line());
            }
            assert_eq!(told, lines, "{seconds} s");
        }
    }

    #[test]
    fn a_stage_of_unknown_size_that_lasts_has_a_line_at_its_end() {
        for (seconds, total, done, is_told) in
            [(60, 0, 1, true), (0, 0, 1, false), (60, 200, 200, false), (60, 0, 0, false)]
        {
            let stage = State { total, done, ..stage(seconds) };
            assert_eq!(stage.has_last_line(), is_told, "{seconds} s, {done} of {total}");
        }
    }

    #[test]
    fn what_is_left_counts_the_stages_behind() {
        let now = State { done: 100, ..stage(100) };
        assert_eq!((left(&now), left_in_all(&now)), (Some(100), Some(100)));
        let more = State { later: 200, ..now };
        assert_eq!((left(&more), left_in_all(&more)), (Some(100), Some(300)));
        assert_eq!(left_in_all(&stage(1)), None);
        let over = State { done: 200, total: 200, start: Instant::now(), ..stage(0) };
        assert_eq!(left_in_all(&over), Some(0));
    }
}
