//! Progress on a terminal, plain lines otherwise; Ctrl-C.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anstyle::AnsiColor;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::error::{Error, INTERRUPTED};
use crate::monitor::{Monitor, STOP};

/// Without a terminal, progress is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Writes a line to standard error; where that is closed there is nobody to tell.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes an error to standard error, in colours on a terminal.
pub fn tell_error(error: &Error) {
    let (colour, word, message) = match error {
        Error::Interrupted(message) => (AnsiColor::Yellow, "interrupted", message.clone()),
        _ => (AnsiColor::Red, "error", error.to_string()),
    };
    let style = colour.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{style}{word}:{style:#} {message}");
}

/// Asks running work to stop on the first Ctrl-C or termination signal; the second ends the process.
pub fn catch_signals() {
    // Without a handler Ctrl-C ends the process at once: stored work is whole all the same.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        note("\nstopping; press Ctrl-C again to stop at once");
    });
}

/// Shows progress on standard error.
#[derive(Default)]
pub struct Terminal {
    state: Mutex<Option<BarState>>,
    is_brief: bool,
}

struct BarState {
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    skipped: u64,
    began: Instant,
    last_line: Instant,
}

impl BarState {
    /// How fast it goes, how long the rest may take, and what else there is to say.
    fn described(&self, done: u64, note: &str) -> String {
        let (worked, left) = (done.saturating_sub(self.skipped), self.total.saturating_sub(done));
        let elapsed = self.began.elapsed();
        if worked == 0 || elapsed.is_zero() {
            return note.to_string();
        }
        let each = elapsed.as_secs_f64() / worked as f64;
        let rate = if each > 1.0 { format!("{each:.1} s each") } else { format!("{:.1}/s", 1.0 / each) };
        let time = Duration::try_from_secs_f64(each * left as f64).unwrap_or(Duration::MAX);
        let more = if note.is_empty() { String::new() } else { format!("; {note}") };
        format!("{rate}, {} left{more}", HumanDuration(time))
    }
}

impl Terminal {
    /// A terminal that shows no details, so that they do not bury the answer of a short run.
    pub fn brief() -> Self {
        Terminal { is_brief: true, ..Terminal::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Option<BarState>> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Monitor for Terminal {
    fn begin(&self, what: &str, total: u64) {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}");
            let bar = ProgressBar::new(total).with_prefix(what.to_string());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let now = Instant::now();
        *self.state() = Some(BarState { bar, what: what.into(), total, skipped: 0, began: now, last_line: now });
    }

    fn skip(&self, units: u64) {
        if let Some(state) = self.state().as_mut() {
            state.skipped += units;
        }
    }

    fn progress(&self, done: u64, note: &str) {
        let mut state = self.state();
        let Some(state) = state.as_mut() else { return };
        if let Some(bar) = &state.bar {
            bar.set_position(done);
            bar.set_message(state.described(done, note));
        } else if state.last_line.elapsed() > LINE_EVERY {
            let more = state.described(done, note);
            let more = if more.is_empty() { more } else { format!(", {more}") };
            self::note(&format!("{}: {done} of {}{more}", state.what, state.total));
            state.last_line = Instant::now();
        }
    }

    fn end(&self) {
        if let Some(bar) = self.state().take().and_then(|state| state.bar) {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match self.state().as_ref().and_then(|state| state.bar.as_ref()) {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn detail(&self, text: &str) {
        if !self.is_brief {
            self.line(text);
        }
    }

    fn stop(&self) -> bool {
        STOP.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_already_does_not_count_as_fast() {
        let began = Instant::now() - Duration::from_secs(100);
        let state = BarState { bar: None, what: "s".into(), total: 1000, skipped: 500, began, last_line: began };
        assert_eq!(state.described(500, "best 90 %"), "best 90 %");
        assert!(state.described(550, "best 90 %").starts_with("2.0 s each, 15 minutes left; best 90 %"));
        assert!(state.described(900, "").starts_with("4.0/s, 25 seconds left"));
    }
}
