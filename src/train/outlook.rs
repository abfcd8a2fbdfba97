//! How long a training takes, timed at a few of its steps.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Trainer;
use super::config::Recipe;
use super::job::Job;
use super::state::State;
use crate::error::Result;
use crate::monitor::Silent;
use crate::output::OutputFolder;

/// Steps that are timed, behind one that sets up what all share.
const TIMED: usize = 3;

/// What a training would do.
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
    /// Those of them that an unfinished run in the folder has seen, or a finished one.
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
        let Recipe { epochs, batch, .. } = *self.recipe();
        let trainer = self.trainer();
        let chosen = trainer.split().0.len();
        let steps = (chosen / batch).max(1);
        let of_epoch = (steps * batch.min(chosen)) as u64;
        let images = epochs as u64 * of_epoch;
        let state = out.join("state.safetensors");
        let there = if OutputFolder::finished(out, self.origin())?.is_some() {
            images
        } else if OutputFolder::is_of(out, self.origin()) && state.exists() {
            let position = State::read(&state, trainer.model, trainer.recipe)?.position;
            position.epoch as u64 * of_epoch + position.seen as u64
        } else {
            0
        };
        let each = if there < images { self.timed()? } else { Duration::ZERO };
        Ok(Outlook { epochs: epochs as u64, images, there, each })
    }

    /// The time of an image, by steps of the first epoch that nothing keeps.
    fn timed(&self) -> Result<Duration> {
        let batch = self.recipe().batch;
        let of = |steps: usize| -> Result<(f64, usize)> {
            let all = self.recipe().limit.unwrap_or(usize::MAX);
            let recipe =
                Recipe { epochs: 1, validation: 0.0, limit: Some(all.min(steps * batch)), ..self.recipe().clone() };
            let trainer = Trainer { recipe: &recipe, ..self.trainer() };
            let chosen = trainer.split().0.len();
            let images = (chosen / batch).max(1) * batch.min(chosen);
            let began = Instant::now();
            trainer.run(self.start().clone(), None, &Silent)?;
            Ok((began.elapsed().as_secs_f64(), images))
        };
        let ((first, few), (all, many)) = (of(1)?, of(1 + TIMED)?);
        // A set of one batch has no further ones.
        let each = if many > few { (all - first) / (many - few) as f64 } else { all / many as f64 };
        Ok(Duration::from_secs_f64(each.max(0.0)))
    }
}
