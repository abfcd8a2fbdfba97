//! The readout in training: a matrix whose sums are read ([`crate::network::readout`]), the loss behind it, and the way
//! back.
//!
//! | loss | of logits z, of T steps with sums x_t |
//! |---|---|
//! | `logits` | the cross-entropy of z |
//! | `steps` | (1/T)·Σ_t of the cross-entropy of x_t (TET, arXiv:2202.11946, without its regulariser); its logits are their mean |
//! | `counts` | the mean over the classes of (z/T − r)², z spike counts, r the rate that the class should have |

use std::sync::Arc;

use ndarray::Array2;

use super::gradient::{Currents, weights};
use super::neurons::WayBack;
use super::operands::{Operands, currents, source};
use super::steps::Moved;
use super::surrogate::Surrogate;
use crate::error::{Error, Result};
use crate::forward::currents::{Geometry, Images};
use crate::forward::neurons::Neurons;
use crate::forward::walk::Signal;
use crate::kernels::digits::LANES;
use crate::network::dynamics::{Dynamics, State};
use crate::network::readout::{ClassReading, LogitReader, ReadoutKind};
use crate::network::varied::Varied;
use crate::numeric::largest;
use crate::plan::LayerPlan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The quantity that a training minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LossKind {
    /// The cross-entropy of the logits.
    #[default]
    Logits,
    /// The mean over the steps of the cross-entropies of their sums.
    Steps,
    /// The mean square of the distance of spike rates from `rates`.
    Counts,
}

/// The labels that a readout is held against, and how.
pub struct Loss<'a> {
    /// The images' classes.
    pub labels: &'a [u32],
    /// The divisor of the sum of the images' losses.
    pub divisor: f64,
    /// The quantity that is minimised.
    pub kind: LossKind,
    /// The share of each label that all classes have alike.
    pub smoothing: f32,
    /// Spikes of a step that the image's class should have, and every other.
    pub rates: [f32; 2],
    /// The surrogate of neurons that fire in the readout.
    pub surrogate: Surrogate,
}

impl LossKind {
    /// An error where a readout of a kind has no such loss, or none at all.
    pub fn check(self, reading: ReadoutKind) -> Result<()> {
        let refuse = |message: &str| Err(Error::Mismatch(message.into()));
        match (self, reading) {
            (_, ReadoutKind::First) => refuse(
                "readout.kind = \"first\" has no gradient: a first spike moves by whole steps; expected \"count\" in \
                 training",
            ),
            (LossKind::Steps, ReadoutKind::Mean) | (LossKind::Counts, ReadoutKind::Count) | (LossKind::Logits, _) => {
                Ok(())
            }
            (LossKind::Steps, _) => refuse(
                "train.loss = \"steps\" takes the sums of every step; expected readout.kind = \"mean\" in the model",
            ),
            (LossKind::Counts, _) => {
                refuse("train.loss = \"counts\" takes spikes; expected readout.kind = \"count\" in the model")
            }
        }
    }
}

/// A readout's pass.
pub struct ReadoutPass<'a> {
    plan: &'a LayerPlan,
    operands: &'a Operands,
    /// The loss of the batch.
    pub loss: f64,
    /// `[images, classes]`.
    pub logits: Array2<f32>,
    /// ∂loss/∂x of every step, x a sum's value with the bias, `[images, steps, classes]`; where logits are means,
    /// ∂loss/∂logit at every step.
    gradient: Vec<f32>,
    /// Whether it is that of means.
    of_means: bool,
    steps: usize,
    moved: Moved,
}

impl<'a> ReadoutPass<'a> {
    /// Logits of a signal, read as a model says by neurons whose constants may differ, and their loss.
    pub fn run(
        (plan, reading, varied): (&'a LayerPlan, ReadoutKind, Option<Arc<Varied>>),
        operands: &'a Operands,
        bias: Option<&[f32]>,
        signal: &Signal,
        steps: usize,
        loss: &Loss,
    ) -> Self {
        let (images, classes) = (loss.labels.len(), plan.columns());
        let geometry = Geometry::of(plan, images, steps);
        let (sums, _) = currents(signal, plan, operands, geometry);
        let mut moved = vec![[[0.0; LANES]; 3]; varied.as_ref().map_or(0, |varied| varied.lanes.len())];
        let reader = LogitReader::new(reading, (plan.lif, varied.clone()), operands.unit, steps);
        let bias = |class: usize| bias.map(|bias| bias[class]);
        let sum = |image: usize, t: usize, class: usize| sums[image][t * geometry.step() + class];
        let logits = Array2::from_shape_fn((images, classes), |(b, c)| {
            let mut one = ClassReading::default();
            (0..steps).map(|t| reader.take(&mut one, (t, c), sum(b, t, c), bias(c))).last().unwrap_or_default()
        });
        let value = |b: usize, t: usize, c: usize| reader.value(sum(b, t, c), bias(c));
        let mut by_step = vec![0.0; images * steps * classes];
        let mut total = 0.0;
        for (b, gradient) in by_step.chunks_mut(steps * classes).enumerate() {
            let label = loss.labels[b] as usize;
            let logits: Vec<f32> = logits.row(b).to_vec();
            if loss.kind == LossKind::Steps {
                for (t, gradient) in gradient.chunks_mut(classes).enumerate() {
                    let values: Vec<f32> = (0..classes).map(|c| value(b, t, c)).collect();
                    let (entropy, slopes) = loss.of(&values, label, loss.divisor * steps as f64);
                    total += entropy;
                    gradient.copy_from_slice(&slopes);
                }
                continue;
            }
            let (of_image, slopes) = match loss.kind {
                LossKind::Counts => loss.of_counts(&logits, label, steps),
                _ => loss.of(&logits, label, loss.divisor),
            };
            total += of_image;
            for c in 0..classes {
                let values: Vec<f32> = (0..steps).map(|t| value(b, t, c)).collect();
                let alone = varied.as_deref().map(|varied| Arc::new(varied.alone(c)));
                let (back, of_class) = through(&reader, (plan, alone), loss.surrogate, (c, slopes[c]), &values);
                back.into_iter().enumerate().for_each(|(t, g)| gradient[t * classes + c] = g);
                if let Some(varied) = &varied {
                    let sums = &mut moved[varied.index(c / LANES, 0)];
                    sums.iter_mut().zip(of_class).for_each(|(sums, moved)| sums[c % LANES] += moved);
                }
            }
        }
        let of_means = reading == ReadoutKind::Mean && loss.kind == LossKind::Logits;
        ReadoutPass { plan, operands, loss: total, logits, gradient: by_step, of_means, steps, moved }
    }

    /// ∂loss/∂W and ∂loss/∂pulses.
    pub fn backward(&self, signal: &Signal) -> (Vec<f32>, Images) {
        let scale = self.scale(&self.gradient);
        let scales = vec![scale; self.logits.nrows()];
        let currents = self.currents(&scales);
        let weights = weights::fully_connected(
            self.plan,
            source(signal),
            self.steps,
            &currents,
            (self.operands.precision, 1.0 / scale),
        );
        (weights, self.operands.connect_back(self.plan, self.steps, &currents, &scales))
    }

    /// The gradients of its neurons' own constants.
    pub fn moved(&self) -> &Moved {
        &self.moved
    }

    /// ∂loss/∂bias, added up image by image.
    pub fn bias_gradient(&self) -> Vec<f32> {
        let classes = self.logits.ncols();
        // A mean takes the bias once, though its gradient stands at every step.
        let steps = if self.of_means { 1 } else { self.steps };
        let mut sums = vec![0.0f64; classes];
        for image in self.gradient.chunks(self.steps * classes) {
            for step in image.chunks(classes).take(steps) {
                sums.iter_mut().zip(step).for_each(|(sum, g)| *sum += f64::from(*g));
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    /// ∂loss/∂pulses alone, each image rounded by a scale of its own.
    pub fn backward_to_inputs(&self) -> Images {
        let images = self.gradient.chunks(self.steps * self.logits.ncols());
        let scales: Vec<f32> = images.map(|gradient| self.scale(gradient)).collect();
        self.operands.connect_back(self.plan, self.steps, &self.currents(&scales), &scales)
    }

    /// The factor from the gradient to that of a sum in pulses: the value of a pulse, and of a mean one step's share of
    /// it.
    fn share(&self) -> f32 {
        if self.of_means { self.operands.unit / self.steps as f32 } else { self.operands.unit }
    }

    fn scale(&self, gradient: &[f32]) -> f32 {
        self.operands.precision.scale_for(largest(gradient) * self.share())
    }

    /// ∂loss/∂currents, each image's in units of 1/scale.
    fn currents(&self, scales: &[f32]) -> Currents {
        let (images, classes) = self.logits.dim();
        let mut currents = Currents::default();
        currents.reshape(classes.div_ceil(LANES), images * self.steps);
        for (image, (gradient, scale)) in self.gradient.chunks(self.steps * classes).zip(scales).enumerate() {
            for (t, gradient) in gradient.chunks(classes).enumerate() {
                for (class, g) in gradient.iter().enumerate() {
                    let unit = (g * self.share() * scale).round_ties_even() as i32;
                    let place = class / LANES * currents.rows + image * self.steps + t;
                    currents.units[place][class % LANES] = unit;
                }
            }
        }
        currents
    }
}

/// ∂loss/∂x of every step of a class of an image, from ∂loss/∂logit, and the gradients of leak, threshold and synaptic
/// leak. Of a mean it is the same at every step.
fn through(
    reader: &LogitReader,
    (plan, alone): (&LayerPlan, Option<Arc<Varied>>),
    surrogate: Surrogate,
    (class, slope): (usize, f32),
    values: &[f32],
) -> (Vec<f32>, [f64; 3]) {
    match reader.kind {
        ReadoutKind::Mean => (vec![slope; values.len()], [0.0; 3]),
        kind if kind.fires() => through_spikes((plan, alone), surrogate, slope, values),
        _ => through_potentials(reader, plan.neuron.scaled_input, (class, slope), values),
    }
}

/// The backward pass where neurons integrate and do not fire.
fn through_potentials(
    reader: &LogitReader,
    scales_input: bool,
    (class, slope): (usize, f32),
    values: &[f32],
) -> (Vec<f32>, [f64; 3]) {
    let mut state = State::default();
    let step = |x: &f32| {
        let before = state;
        (reader.step(&mut state, class, *x).potential, before)
    };
    let (potentials, before): (Vec<f32>, Vec<State>) = values.iter().map(step).unzip();
    let most = potentials.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let read = match reader.kind {
        ReadoutKind::Largest => potentials.iter().position(|u| *u == most).unwrap_or_default(),
        _ => values.len() - 1,
    };
    let ((leak, _), Dynamics { input, synaptic_leak, .. }) = reader.constants(class);
    let (mut potential, mut synaptic) = (0.0, 0.0);
    let (mut back, mut moved) = (vec![0.0; values.len()], [0.0f64; 3]);
    for t in (0..=read).rev() {
        potential = leak * potential + if t == read { slope } else { 0.0 };
        synaptic = synaptic_leak * synaptic + potential;
        let scaled = if scales_input { synaptic * values[t] } else { 0.0 };
        moved[0] += f64::from(potential * before[t].membrane - scaled);
        moved[2] += f64::from(synaptic * before[t].synaptic);
        back[t] = input * synaptic;
    }
    (back, moved)
}

/// The backward pass where neurons fire, and ∂loss/∂spike is `slope` at every step.
fn through_spikes(
    (plan, alone): (&LayerPlan, Option<Arc<Varied>>),
    surrogate: Surrogate,
    slope: f32,
    values: &[f32],
) -> (Vec<f32>, [f64; 3]) {
    let neurons = Neurons::of_currents(plan, 1, alone);
    let geometry = Geometry { images: 1, steps: values.len(), blocks: 1, channels: 1, height: 1, width: 1 };
    let back = WayBack { neurons: &neurons, means: &[], surrogate, geometry, pooled: geometry };
    let lanes: Vec<f32> = values.iter().flat_map(|x| std::iter::once(*x).chain([0.0; LANES - 1])).collect();
    let mut way = back.by_step(&lanes);
    let mut out = [0.0; LANES];
    let mut spikes = [0.0; LANES];
    spikes[0] = slope;
    let mut all: Vec<f32> = (0..values.len())
        .rev()
        .map(|t| {
            way.step(t, &spikes, &mut out);
            out[0]
        })
        .collect();
    all.reverse();
    let moved = way.moved().first().map_or([0.0; 3], |moved| moved.map(|lanes| lanes[0]));
    (all, moved)
}

impl Loss<'_> {
    /// The cross-entropy of an image's logits, and its gradient, both divided.
    fn of(&self, row: &[f32], label: usize, divisor: f64) -> (f64, Vec<f32>) {
        let (classes, smoothing) = (row.len() as f64, f64::from(self.smoothing));
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exps: Vec<f64> = row.iter().map(|x| libm::exp(f64::from(x - top))).collect();
        let sum: f64 = exps.iter().sum();
        let entropy = |x: f32| (f64::from(x - top) - libm::log(sum)) / divisor;
        let mut loss = -entropy(row[label]);
        if smoothing > 0.0 {
            let all: f64 = row.iter().map(|x| entropy(*x)).sum();
            loss = -((1.0 - smoothing) * entropy(row[label]) + smoothing / classes * all);
        }
        let gradient = exps.iter().enumerate().map(|(c, e)| {
            let own = if c == label { 1.0 } else { 0.0 };
            let target = if smoothing > 0.0 { (1.0 - smoothing) * own + smoothing / classes } else { own };
            ((e / sum - target) / divisor) as f32
        });
        (loss, gradient.collect())
    }

    /// The mean square of the distance of an image's spike rates from those that they should have, and its gradient of
    /// the counts.
    fn of_counts(&self, counts: &[f32], label: usize, steps: usize) -> (f64, Vec<f32>) {
        let (classes, steps) = (counts.len() as f64, steps as f64);
        let distance = |(c, count): (usize, &f32)| {
            let rate = if c == label { self.rates[0] } else { self.rates[1] };
            f64::from(*count) / steps - f64::from(rate)
        };
        let distances: Vec<f64> = counts.iter().enumerate().map(distance).collect();
        let loss = distances.iter().map(|d| d * d).sum::<f64>() / classes / self.divisor;
        let slope = |d: f64| (2.0 * d / steps / classes / self.divisor) as f32;
        (loss, distances.into_iter().map(slope).collect())
    }
}
