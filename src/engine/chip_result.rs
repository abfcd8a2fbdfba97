//! What a chip did on some images.

use ndarray::Array2;

use super::Counts;
use super::exit::ExitResult;
use crate::error::{Error, Result};

/// What one chip did.
///
/// # Examples
/// ```
/// # use crosspike::{Model, Network, Options, Split};
/// use crosspike::{Dataset, Profile, Session};
///
/// let profile = Profile::named("rram_4bit", &[])?;
/// let data = Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20);
/// # let model = Model::named("digits", &[])?;
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let result = session.run(&session.program(7)?, &data)?;
/// assert_eq!(result.accuracy, 100.0 * result.correct as f64 / 20.0);
/// assert_eq!(result.logits.dim(), (20, 10)); // Images and classes.
/// # Ok::<(), crosspike::Error>(())
/// ```
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
    /// Bytes that the chip's companion arrays hold.
    pub sram_bytes: usize,
    /// Elements that each layer's companion array stores.
    pub sram_elements: Vec<usize>,
    /// Pulses that programmed its cells, where conductances are modelled.
    pub write_pulses: u64,
    /// What early exit comes to on these images, where it was asked for.
    pub exit: Option<ExitResult>,
}

/// Images whose largest logit is their label's; the first of equals counts. An error where a logit is no number.
pub fn correct(logits: &Array2<f32>, labels: &[u32]) -> Result<usize> {
    if let Some(((image, class), value)) = logits.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::Mismatch(format!(
            "the logit of class {class} is {value} (image {image} of a batch), which is no answer: weights, gains or \
             variation are beyond what f32 holds"
        )));
    }
    let best = |row: ndarray::ArrayView1<f32>| {
        let mut best = 0;
        for (c, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = c;
            }
        }
        best
    };
    Ok(logits.outer_iter().zip(labels).filter(|(row, label)| best(*row) == **label as usize).count())
}
