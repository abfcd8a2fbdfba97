//! Work that takes long: without the interpreter, with progress, and given up at Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crosspike::Monitor;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors::{in_python, raise, warn};

/// How often a signal is looked for and progress is told.
const EVERY: Duration = Duration::from_millis(100);
/// How many calls are at work in this process.
static RUNNING: Mutex<usize> = Mutex::new(0);
/// The process that began to work: the threads of its pool are its own.
static PROCESS: OnceLock<u32> = OnceLock::new();
/// What engines had to say and nobody was warned of yet.
static SAID: Mutex<Vec<String>> = Mutex::new(vec![]);

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call begins to work.
fn begin() {
    *lock(&RUNNING) += 1;
}

/// A call has worked; with the last one, what was asked to stop has.
fn end() {
    let mut running = lock(&RUNNING);
    *running -= 1;
    if *running == 0 {
        crosspike::go_on();
    }
}

/// Asks all calls that are at work to stop; without any, nobody.
fn stop_all() {
    let running = lock(&RUNNING);
    if *running > 0 {
        crosspike::stop();
    }
}

/// What work has to tell.
enum Event {
    Line(String),
    Update { what: String, done: u64, total: u64, note: String },
    End,
}

/// What work has told of itself and Python has not heard.
#[derive(Default)]
struct Told {
    done: bool,
    events: Vec<Event>,
    notices: Vec<String>,
    /// What is worked at, how much of it there is, and how much of that was there already.
    now: Option<(String, u64, u64)>,
    /// Whether Python has heard of work that has not ended.
    open: bool,
}

/// Listens to work on another thread.
#[derive(Default)]
pub struct Watcher {
    told: Mutex<Told>,
    finished: Condvar,
    stopped: AtomicBool,
}

impl Watcher {
    /// Waits a while; gives whether the work is over.
    fn wait(&self) -> bool {
        let told = lock(&self.told);
        let told = match told.done {
            true => told,
            false => self.finished.wait_timeout(told, EVERY).unwrap_or_else(PoisonError::into_inner).0,
        };
        told.done
    }

    fn update(&self, done: u64, note: &str) {
        let mut told = lock(&self.told);
        let Some((what, total, there)) = told.now.clone() else { return };
        let done = done.max(there);
        // A later state takes the place of one that Python has not heard of.
        if let Some(Event::Update { what: before, .. }) = told.events.last()
            && *before == what
        {
            told.events.pop();
        }
        told.events.push(Event::Update { what, done, total, note: note.into() });
    }

    /// Hands what was told to `progress`: an object with `line(text)`, `update(what, done, total, note)` and `end()`.
    fn tell(&self, py: Python<'_>, progress: Option<&Py<PyAny>>) -> PyResult<()> {
        let (events, notices) = {
            let mut told = lock(&self.told);
            (std::mem::take(&mut told.events), std::mem::take(&mut told.notices))
        };
        let said = std::mem::take(&mut *lock(&SAID));
        warn(py, &[notices, said].concat())?;
        let Some(progress) = progress else { return Ok(()) };
        for event in events {
            match event {
                Event::Line(text) => progress.call_method1(py, "line", (in_python(&text),))?,
                Event::Update { what, done, total, note } => {
                    lock(&self.told).open = true;
                    progress.call_method1(py, "update", (what, done, total, note))?
                }
                Event::End => {
                    lock(&self.told).open = false;
                    progress.call_method0(py, "end")?
                }
            };
        }
        Ok(())
    }

    /// Ends what an error left open.
    fn close(&self, py: Python<'_>, progress: Option<&Py<PyAny>>) -> PyResult<()> {
        match progress.filter(|_| std::mem::take(&mut lock(&self.told).open)) {
            Some(progress) => progress.call_method0(py, "end").map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Monitor for Watcher {
    fn begin(&self, what: &str, total: u64) {
        lock(&self.told).now = Some((what.into(), total, 0));
        self.update(0, "");
    }

    fn skip(&self, units: u64) {
        if units > 0 {
            let done = lock(&self.told).now.as_mut().map_or(0, |(_, _, there)| {
                *there += units;
                *there
            });
            self.update(done, "");
        }
    }

    fn progress(&self, done: u64, note: &str) {
        self.update(done, note);
    }

    fn end(&self) {
        let mut told = lock(&self.told);
        told.now = None;
        told.events.push(Event::End);
    }

    fn line(&self, text: &str) {
        lock(&self.told).events.push(Event::Line(text.into()));
    }

    fn notice(&self, text: &str) {
        lock(&self.told).notices.push(text.into());
    }

    fn stop(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || crosspike::Silent.stop()
    }
}

/// Tells the watcher that work is over, also where it panics.
struct Finish<'a>(&'a Watcher);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        end();
        lock(&self.0.told).done = true;
        self.0.finished.notify_all();
    }
}

/// Does work on another thread, while this one lets other Python threads run, tells `progress`, warns of notices, and
/// looks for signals. A signal's exception stops all calls at work, one of `progress` or of a warning this call.
pub fn work<T: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    job: impl FnOnce(&Watcher) -> crosspike::Result<T> + Send,
) -> PyResult<T> {
    let own = std::process::id();
    if *PROCESS.get_or_init(|| own) != own {
        return Err(PyRuntimeError::new_err(
            "crosspike was at work before this process was forked, and its threads did not come along; \
             expected processes of the start method \"spawn\" or \"forkserver\"",
        ));
    }
    let watcher = Watcher::default();
    begin();
    let (done, failed) = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let _finish = Finish(&watcher);
            crosspike::interruptible(|| job(&watcher))
        });
        let mut failed = None;
        while !py.detach(|| watcher.wait()) {
            if failed.is_none() {
                failed = watcher.tell(py, progress).err();
                failed.iter().for_each(|_| watcher.stopped.store(true, Ordering::Relaxed));
            }
            if let Err(signal) = py.check_signals() {
                failed = Some(signal);
                stop_all();
            }
        }
        (py.detach(|| worker.join()), failed)
    });
    let told = if failed.is_none() { watcher.tell(py, progress) } else { Ok(()) };
    let closed = watcher.close(py, progress);
    if let Some(error) = failed {
        return Err(error);
    }
    let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(raise)?;
    told.and(closed)?;
    Ok(done)
}

/// Keeps what an engine has to say while it runs; the call that is at work, or the next, warns of it.
pub fn tell(text: &str) {
    lock(&SAID).push(text.to_owned());
}

/// What shows progress, if anything does.
pub fn shown(py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    let given = progress.unwrap_or_else(|| py.None());
    let shown = py.import("crosspike._progress")?.call_method1("shown", (given,))?;
    Ok((!shown.is_none()).then(|| shown.unbind()))
}

/// Runs the command line of `arguments`, the program's name first; gives its exit code.
#[pyfunction]
pub fn command(py: Python<'_>, arguments: Vec<String>) -> u8 {
    py.detach(|| crosspike::run(arguments.into_iter().map(Into::into)))
}
