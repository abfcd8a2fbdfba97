//! How long work talks to whoever waits for it, without knowing a terminal.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

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

/// Whether the user asked to stop.
pub fn stopping() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The payload that unwinds from a [`checkpoint`].
struct GivenUp;

/// A place where long work may be given up, often enough that nobody waits: where the user asked to stop, it unwinds to the
/// [`interruptible`] work around it, from whatever thread, without a word. Costs a load.
pub fn checkpoint() {
    if stopping() {
        resume_unwind(Box::new(GivenUp));
    }
}

/// Does work that may be given up at any [`checkpoint`] in it; what it changed by then is of no use.
///
/// # Errors
/// Its own, and [`Error::Interrupted`] where it was given up.
pub fn interruptible<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(reason) if reason.is::<GivenUp>() => Err(Error::Interrupted(String::new())),
        Err(panic) => resume_unwind(panic),
    }
}

/// Says nothing, and stops as others do where the user asked to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn skip(&self, _: u64) {}
    fn progress(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn line(&self, _: &str) {}
    fn stop(&self) -> bool {
        stopping()
    }
}
