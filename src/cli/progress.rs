//! A bar on the terminal for what takes over half a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use remaster::error::Result;
use remaster::progress::Progress;

use super::interrupt;

/// What is over sooner is not worth a bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// Shows a bar if somebody watches.
#[derive(Debug)]
pub(super) struct Terminal {
    watched: bool,
    stage: Mutex<Option<Stage>>,
}

#[derive(Debug)]
struct Stage {
    since: Instant,
    bar: ProgressBar,
}

impl Terminal {
    pub(super) fn new(watched: bool) -> Result<Self> {
        interrupt::watch()?;
        Ok(Self::plain(watched))
    }

    /// Leaves Control-C as it is, for what needs no tidying up.
    pub(super) fn plain(watched: bool) -> Self {
        Self { watched, stage: Mutex::new(None) }
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Option<Stage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn style(total: u64) -> ProgressStyle {
    let known = ProgressStyle::with_template(if total > 0 {
        "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}"
    } else {
        "{msg} {spinner} {bytes} {binary_bytes_per_sec}"
    });
    known.unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Terminal {
    fn begin(&self, stage: &'static str, total: u64) {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        bar.set_style(style(total));
        bar.set_message(stage);
        *self.stage() = Some(Stage { since: Instant::now(), bar });
    }

    fn advance(&self, bytes: u64) {
        let guard = self.stage();
        let Some(stage) = guard.as_ref() else { return };
        if self.watched && stage.bar.is_hidden() && stage.since.elapsed() > PATIENCE {
            stage.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        stage.bar.inc(bytes);
    }

    fn end(&self) {
        if let Some(stage) = self.stage().take() {
            stage.bar.finish_and_clear();
        }
    }

    fn is_cancelled(&self) -> bool {
        interrupt::is_asked()
    }
}
