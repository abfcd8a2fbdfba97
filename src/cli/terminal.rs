//! Progress on a terminal, plain lines otherwise; Ctrl-C.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::monitor::{Monitor, STOP};

/// Without a terminal, progress is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Writes a line to standard error; where that is closed there is nobody to tell.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Asks running work to stop on the first Ctrl-C or termination signal; the second ends the process.
pub fn catch_signals() {
    // Without a handler Ctrl-C ends the process at once: stored work is whole all the same.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note("\nstopping after the running step; press Ctrl-C again to stop now");
    });
}

/// Shows progress on standard error.
#[derive(Default)]
pub struct Terminal {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    last_line: Option<Instant>,
}

impl Terminal {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Monitor for Terminal {
    fn begin(&self, what: &str, total: u64) {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {per_sec} {eta} left {msg}");
            let bar = ProgressBar::new(total).with_prefix(what.to_string());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        *self.state() = State { bar, what: what.into(), total, last_line: Some(Instant::now()) };
    }

    fn progress(&self, done: u64, note: &str) {
        let mut state = self.state();
        if let Some(bar) = &state.bar {
            bar.set_position(done);
            bar.set_message(note.to_string());
        } else if state.last_line.is_some_and(|last| last.elapsed() > LINE_EVERY) {
            self::note(&format!("{}: {done} of {} {note}", state.what, state.total));
            state.last_line = Some(Instant::now());
        }
    }

    fn end(&self) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.state().bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn stop(&self) -> bool {
        STOP.load(Ordering::Relaxed)
    }
}
