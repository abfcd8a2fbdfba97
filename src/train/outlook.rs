//! The outlook of a training: how long it takes, timed at a few of its steps.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::config::Hyperparameters;
use super::job::Job;
use super::state::TrainingState;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::output::OutputFolder;

/// Steps that are taken: one that sets up what all share, and those that are timed.
const TIMED: usize = 4;

/// The work that a training would do.
///
/// # Examples
/// ```
/// use crosspike::{Document, Overrides, Training};
///
/// let text = "model = \"models/digits.toml\"\ndata = \"digits\"\n[train]\nepochs = 3\nlimit = 200\nbatch = 64";
/// let document = Document::parse_text("train.toml".as_ref(), text.into())?;
/// let outlook = Training::read(&document, &Overrides::default())?.outlook("runs/digits".as_ref())?;
/// assert_eq!((outlook.epochs, outlook.images, outlook.there), (3, 3 * 192, 0)); // Three whole batches an epoch.
/// println!("about {} s", outlook.time().as_secs());
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Epochs.
    pub epochs: u64,
    /// Images of all epochs together.
    pub images: u64,
    /// Images that an unfinished run in the folder has seen, or a finished one.
    pub there: u64,
    /// The time that an image takes, forward and backward; that of validation and tests comes on top.
    pub each: Duration,
}

impl Outlook {
    /// The time that the images take which are missing.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.each.as_secs_f64() * (self.images - self.there) as f64)
    }
}

impl Job {
    /// Says what the run would do in a folder, which may hold some of it; nothing is written.
    ///
    /// # Errors
    /// Where a step cannot be taken, or the folder's state cannot be read.
    pub fn outlook(&self, out: &Path) -> Result<Outlook> {
        let outlook = self.standing(out)?;
        let each = if outlook.there < outlook.images { self.timed()? } else { Duration::ZERO };
        Ok(Outlook { each, ..outlook })
    }

    /// The work in a folder, without the time that it takes.
    pub fn standing(&self, out: &Path) -> Result<Outlook> {
        let Hyperparameters { epochs, batch, .. } = *self.hyperparameters();
        let trainer = self.trainer();
        let chosen = trainer.split().0.len();
        let steps = (chosen / batch).max(1);
        let of_epoch = (steps * batch.min(chosen)) as u64;
        let images = epochs as u64 * of_epoch;
        let state = out.join("state.safetensors");
        let there = if OutputFolder::finished(out, self.origin())?.is_some() {
            images
        } else if OutputFolder::is_of(out, self.origin()) && state.exists() {
            let position = TrainingState::read(&state, trainer.model, trainer.hyperparameters)?.position;
            position.epoch as u64 * of_epoch + position.seen as u64
        } else {
            0
        };
        Ok(Outlook { epochs: epochs as u64, images, there, each: Duration::ZERO })
    }

    /// The time of an image, by the first steps of a run that nothing keeps.
    pub fn timed(&self) -> Result<Duration> {
        let clock = Clock::default();
        match self.trainer().run(self.start().clone(), None, &clock) {
            Ok(_) | Err(Error::Interrupted(_)) => {}
            Err(error) => return Err(error),
        }
        let steps = clock.0.into_inner().unwrap_or_default().steps;
        let (Some((began, _)), Some((ended, seen))) = (steps.first(), steps.last()) else { return Ok(Duration::ZERO) };
        // The first step sets up what all share, where there are others.
        let (from, before) = if steps.len() > 2 { steps[1] } else { (*began, 0) };
        Ok(Duration::from_secs_f64((*ended - from).as_secs_f64() / (seen - before).max(1) as f64))
    }
}

/// A monitor that notes when the first steps of a run end, and ends the run after those.
#[derive(Default)]
struct Clock(Mutex<Noted>);

/// The times that a clock has noted.
#[derive(Default)]
struct Noted {
    /// The time at which the first epoch began, and at which its steps ended, with the images seen then.
    steps: Vec<(Instant, u64)>,
    /// Whether another epoch has begun.
    is_over: bool,
}

impl Clock {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor for Clock {
    fn begin(&self, _: &str, _: u64) {
        let mut noted = self.noted();
        noted.is_over = !noted.steps.is_empty();
        if !noted.is_over {
            noted.steps.push((Instant::now(), 0));
        }
    }

    fn skip(&self, _: u64) {}

    fn progress(&self, done: u64, _: &str) {
        let mut noted = self.noted();
        if !noted.is_over {
            noted.steps.push((Instant::now(), done));
        }
    }

    fn end(&self) {}

    fn line(&self, _: &str) {}

    fn stop(&self) -> bool {
        let noted = self.noted();
        noted.is_over || noted.steps.len() > TIMED
    }
}
