//! One chip's accuracy on a data set.

use ndarray::{Array2, Axis, concatenate};

use super::{Counts, Engine};
use crate::chip::Chip;
use crate::data::{Augmentation, Dataset};
use crate::error::{Error, Result};
use crate::network::{Batch, Encoder, Model};

/// How chips are evaluated: the same images, encoded the same way, for each.
pub struct Evaluation<'a> {
    /// The backend.
    pub engine: &'a dyn Engine,
    /// The data set.
    pub data: &'a Dataset,
    /// The images of it, by index.
    pub images: Vec<usize>,
    /// The encoder.
    pub encoder: Encoder,
    /// Images at once; never changes a result.
    pub batch: usize,
}

/// What one chip did.
#[derive(Clone, Debug, PartialEq)]
pub struct ChipResult {
    /// Percent of images classified correctly.
    pub accuracy: f64,
    /// Images classified correctly.
    pub correct: usize,
    /// `[images, classes]`.
    pub logits: Array2<f32>,
    /// Events over all images.
    pub counts: Counts,
}

impl<'a> Evaluation<'a> {
    /// All images of a data set.
    pub fn on(engine: &'a dyn Engine, data: &'a Dataset, encoder: Encoder) -> Self {
        Evaluation { engine, data, images: (0..data.len()).collect(), encoder, batch: 64 }
    }

    /// Runs every image on a chip.
    pub fn run(&self, chip: &Chip) -> Result<ChipResult> {
        let mut loaded = self.engine.load(chip)?;
        let mut counts = Counts::new(chip.layers.len() - 1, chip.steps);
        let (mut right, mut logits) = (0, Vec::new());
        for chosen in self.images.chunks(self.batch) {
            let (batch, labels) = read_batch(self.data, chosen, None)?;
            batch.check(self.encoder.encoding)?;
            let outcome = loaded.run(&self.encoder, &batch)?;
            right += correct(&outcome.logits, &labels);
            counts.add(&outcome.counts);
            logits.push(outcome.logits);
        }
        let views: Vec<_> = logits.iter().map(|l| l.view()).collect();
        let logits =
            concatenate(Axis(0), &views).map_err(|_| Error::Mismatch("there is no image to evaluate".into()))?;
        Ok(ChipResult { accuracy: 100.0 * right as f64 / self.images.len() as f64, correct: right, logits, counts })
    }
}

/// Reads images by index, with their labels.
pub fn read_batch(data: &Dataset, chosen: &[usize], augmentation: Option<&Augmentation>) -> Result<(Batch, Vec<u32>)> {
    let size = data.shape().len() * data.frame_steps().unwrap_or(1);
    let mut values = vec![0.0; size * chosen.len()];
    for (image, out) in chosen.iter().zip(values.chunks_mut(size)) {
        data.read(*image, augmentation, out)?;
    }
    let labels = chosen.iter().map(|i| data.labels()[*i]).collect();
    Ok((Batch { values, indices: chosen.iter().map(|i| *i as u32).collect() }, labels))
}

/// Images whose largest logit is their label's; the first of equals counts.
pub fn correct(logits: &Array2<f32>, labels: &[u32]) -> usize {
    let best = |row: ndarray::ArrayView1<f32>| {
        let mut best = 0;
        for (c, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = c;
            }
        }
        best
    };
    logits.outer_iter().zip(labels).filter(|(row, label)| best(*row) == **label as usize).count()
}

/// An error unless images and classes of the data fit the model.
pub fn check_fit(data: &Dataset, model: &Model) -> Result<()> {
    if data.shape() != model.input {
        return Err(Error::Mismatch(format!(
            "the data set `{}` has images of {}, the model `{}` takes {}",
            data.spec(),
            data.shape(),
            model.name,
            model.input
        )));
    }
    if data.classes() > model.classes {
        return Err(Error::Mismatch(format!(
            "the data set `{}` has {} classes, the model `{}` {}",
            data.spec(),
            data.classes(),
            model.name,
            model.classes
        )));
    }
    if data.is_empty() {
        return Err(Error::Mismatch(format!("the data set `{}` has no image", data.spec())));
    }
    Ok(())
}
