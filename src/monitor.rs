//! How long work talks to whoever waits for it, without knowing a terminal.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Watches long work: shows progress and may ask it to stop.
///
/// # Examples
/// ```
/// # use std::sync::Mutex;
/// use crosspike::Monitor;
///
/// struct Lines(Mutex<Vec<String>>);
/// impl Monitor for Lines {
///     fn line(&self, text: &str) { self.0.lock().unwrap().push(text.to_owned()); }
///     fn stop(&self) -> bool { false }
///     fn end(&self) {} // Like begin, skip and progress, which keep nothing either.
/// #     fn begin(&self, _: &str, _: u64) {}
/// #     fn skip(&self, _: u64) {}
/// #     fn progress(&self, _: u64, _: &str) {}
/// }
/// let lines = Lines(Mutex::default());
/// lines.notice("a notice is a line, too");
/// assert_eq!(*lines.0.lock().unwrap(), ["a notice is a line, too"]);
/// ```
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
    /// A line of the many that say how work goes on, such as an epoch's.
    fn detail(&self, text: &str) {
        self.line(text);
    }
    /// What the user should know before reading results.
    fn notice(&self, text: &str) {
        self.line(text);
    }
    /// Whether to stop at the next whole step.
    fn stop(&self) -> bool;
}

/// Watches the reading of large inputs, which has no monitor of its own; a command line sets it once.
static READING: OnceLock<Box<dyn Monitor + Send>> = OnceLock::new();
/// Reading that takes no longer shows no progress.
const SHOWN_FROM: Duration = Duration::from_secs(2);

/// Shows the reading of large inputs on a monitor from now on.
pub fn watch_reading(monitor: Box<dyn Monitor + Send>) {
    // The first one stays.
    let _ = READING.set(monitor);
}

/// Reading under way, which a monitor shows where it takes long.
pub(crate) struct ReadingProgress {
    what: String,
    total: u64,
    done: AtomicU64,
    began: Instant,
    shown: AtomicBool,
}

impl ReadingProgress {
    /// The reading of so many units begins.
    pub fn of(what: String, total: u64) -> Self {
        ReadingProgress { what, total, done: AtomicU64::new(0), began: Instant::now(), shown: AtomicBool::new(false) }
    }

    /// A unit was read.
    pub fn advance(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(monitor) = READING.get().filter(|_| self.began.elapsed() > SHOWN_FROM) else { return };
        if !self.shown.swap(true, Ordering::Relaxed) {
            monitor.begin(&self.what, self.total);
            monitor.skip(done);
        }
        monitor.progress(done, "");
    }
}

impl Drop for ReadingProgress {
    fn drop(&mut self) {
        if let Some(monitor) = READING.get().filter(|_| *self.shown.get_mut()) {
            monitor.end();
        }
    }
}

/// Set by the first Ctrl-C or termination signal.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// Asks all running work to stop.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
/// use crosspike::{Error, go_on, stop};
///
/// # let (profile, model) = (Profile::named("rram_4bit", &[])?, Model::named("digits", &[])?);
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// stop(); // Mostly from another thread, or where the process hears a signal.
/// let given_up = session.evaluate(&data, 0..20, |_, _| Ok(()));
/// assert!(matches!(given_up, Err(Error::Interrupted(_))));
/// # go_on();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn stop() {
    STOP.store(true, Ordering::Relaxed);
}

/// Lets work run again, once all that was asked to stop has.
///
/// # Examples
/// ```
/// use crosspike::{Monitor, Silent, go_on, stop};
///
/// stop();
/// assert!(Silent.stop());
/// go_on();
/// assert!(!Silent.stop());
/// ```
pub fn go_on() {
    STOP.store(false, Ordering::Relaxed);
}

/// Whether the user asked to stop.
pub fn stopping() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The payload that unwinds from a [`stop_if_asked`].
struct GivenUp;

/// Gives long work up where the user asked to stop: it unwinds to the [`interruptible`] work around it, from whatever
/// thread, without a word. It costs a load, and stands so often in long work that nobody waits.
pub fn stop_if_asked() {
    if stopping() {
        resume_unwind(Box::new(GivenUp));
    }
}

/// Does work that any [`stop_if_asked`] in it may give up; what it changed by then is of no use.
///
/// # Errors
/// Its own, and [`Error::Interrupted`] where it was given up.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
/// use crosspike::{Error, go_on, interruptible, stop};
///
/// # let (profile, model) = (Profile::named("rram_wan_2022", &[])?, Model::named("digits", &[])?);
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let chip = interruptible(|| session.program(7))?;
/// stop();
/// let given_up = interruptible(|| session.program(8));
/// assert!(matches!(given_up, Err(Error::Interrupted(_))));
/// # go_on();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn interruptible<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(reason) if reason.is::<GivenUp>() => Err(Error::Interrupted(String::new())),
        Err(panic) => resume_unwind(panic),
    }
}

/// Says nothing, and stops as others do where the user asked to.
///
/// # Examples
/// ```
/// use crosspike::{Monitor, Silent, stop};
///
/// assert!(!Silent.stop());
/// stop();
/// assert!(Silent.stop()); // What it watches ends at its next whole step.
/// ```
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
