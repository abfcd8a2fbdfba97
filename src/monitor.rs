//! How long work talks to whoever waits for it, without knowing a terminal.

use std::sync::atomic::{AtomicBool, Ordering};

/// Watches long work: shows progress and may ask it to stop.
pub trait Monitor: Sync {
    /// A piece of work of `total` units begins.
    fn begin(&self, what: &str, total: u64);
    /// So many of its units take no time: they are there already, or no longer asked for.
    fn skip(&self, units: u64);
    /// `done` units in all are finished; `note` is a short state such as the loss.
    fn progress(&self, done: u64, note: &str);
    /// The piece of work is over.
    fn end(&self);
    /// A line worth keeping.
    fn line(&self, text: &str);
    /// Whether to stop at the next whole step.
    fn stop(&self) -> bool;
}

/// Set by the first Ctrl-C or termination signal.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// Says nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn skip(&self, _: u64) {}
    fn progress(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn line(&self, _: &str) {}
    fn stop(&self) -> bool {
        STOP.load(Ordering::Relaxed)
    }
}
