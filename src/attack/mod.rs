//! Adversarial images: how little an image must change for a chip to take it for something else.
//!
//! # Theory
//!
//! The attacker knows the chip: its programmed weights with their variation, and its folded norms. With x the
//! normalised image and L the cross-entropy of its logits, the fast gradient sign method is `x' = clip(x +
//! ε·sign(∂L/∂x))` (Goodfellow et al., arXiv:1412.6572), and projected gradient descent takes K steps `x ← Π(x +
//! α·sign(∂L/∂x))`, Π projecting to |x' − x| ≤ ε and to images that can be (Madry et al., arXiv:1706.06083). The
//! gradient is that of training ([`gradient`]).
//!
//! ε and α are in units of the pixel range [0, 1] before normalisation, so ε/std in a channel's normalised values, and
//! pixels stay within the range. Where real values come normalised from a file, both are in units of these values, and
//! there is no range to stay in.
//!
//! # What differs from the papers
//!
//! PGD starts at x, not at a random place in the ball: results are the same every time. With Poisson inputs each
//! gradient has a draw of its own (epochs 1, 2, … of the encoder): the attacker does not know the draw that the image
//! is judged with (epoch 0). Where a pixel's gradient is zero, it stays as it is.
//!
//! # Practice
//!
//! [`Attack::new`] checks what is asked; [`Attack::examples`] perturbs a batch on a chip; [`Attack::series`] judges
//! chips, each on images made for it.

pub mod gradient;
mod plan;

use crate::chip::{Blueprint, Chip};
use crate::data::Dataset;
use crate::engine::Counts;
use crate::engine::Engine;
use crate::engine::chip_result::correct;
use crate::engine::evaluate::read_batch;
use crate::engine::needs;
use crate::error::{Error, Result};
use crate::monitor::{Monitor, interruptible};
use crate::network::{Batch, Encoder, Inputs};
use gradient::WhiteBox;
pub use plan::{AttackPlan, MethodName};

/// How images are perturbed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// One step of ε by the gradient's sign.
    Fgsm,
    /// Steps by the gradient's sign, projected to the ball after each.
    Pgd {
        /// Their number K.
        steps: usize,
        /// Their size α; none: 2.5·ε/K.
        step_size: Option<f64>,
    },
}

impl Method {
    /// Steps, a gradient each.
    pub fn steps(self) -> usize {
        match self {
            Method::Fgsm => 1,
            Method::Pgd { steps, .. } => steps,
        }
    }

    /// The size of a step at ε, in its unit.
    pub fn step_size(self, epsilon: f64) -> f64 {
        match self {
            Method::Fgsm => epsilon,
            Method::Pgd { steps, step_size } => step_size.unwrap_or(2.5 * epsilon / steps as f64),
        }
    }
}

/// An attack on the images of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Attack {
    method: Method,
    epsilons: Vec<f64>,
    seed: u64,
    /// The values of pixels 0 and 1, per channel, where they are known.
    range: Option<Vec<[f32; 2]>>,
}

impl Attack {
    /// An error if a number is out of place; `seed` is that of the Poisson draws.
    pub fn new(method: Method, epsilons: Vec<f64>, seed: u64, data: &Dataset) -> Result<Self> {
        let range = data.pixel_range();
        let most = if range.is_some() { 1.0 } else { f64::from(f32::MAX) };
        let unit = Attack { method, epsilons: vec![], seed, range: range.clone() }.unit();
        let refuse = |what: &str, value: f64, from: &str| {
            let to = if range.is_some() { "to 1, " } else { "" };
            Err(Error::Usage(format!("{what} {value}: expected a number from {from} {to}in units of {unit}")))
        };
        if epsilons.is_empty() {
            return Err(Error::Usage("no ε: expected one or more".into()));
        }
        if let Some(epsilon) = epsilons.iter().find(|e| !(0.0..=most).contains(*e)) {
            return refuse("ε", *epsilon, "0");
        }
        match method {
            Method::Pgd { steps: 0, .. } => Err(Error::Usage("0 steps: expected 1 or more".into())),
            Method::Pgd { step_size: Some(size), .. } if !(size > 0.0 && size <= most) => {
                refuse("step size", size, "above 0")
            }
            _ => Ok(Attack { method, epsilons, seed, range }),
        }
    }

    /// What ε counts.
    pub fn unit(&self) -> &'static str {
        match self.range {
            Some(_) => "the pixel range [0, 1]",
            None => "the file's normalised values, without clipping",
        }
    }

    /// The asked ε, in their order.
    pub fn epsilons(&self) -> &[f64] {
        &self.epsilons
    }

    /// How images are perturbed.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The images of a batch perturbed for a chip: a batch for each ε.
    pub fn examples(&self, chip: &WhiteBox, batch: &Batch, labels: &[u32]) -> Result<Vec<Batch>> {
        let Chip { code, input, steps, .. } = *chip.chip();
        batch.check(code)?;
        let gradient = |batch: &Batch, step: usize| {
            let encoder = Encoder::new(code, input, self.seed, step as u64 + 1);
            let found = chip.gradient(&Inputs::new(encoder, batch.clone(), steps), labels)?;
            Ok::<_, Error>(found.values)
        };
        // The first step starts from the same images at every ε.
        let mut first: Option<Vec<f32>> = None;
        let pixels = input.height * input.width;
        let example = |epsilon: &f64| {
            let balls = self.balls(*epsilon, batch, pixels);
            let mut example = batch.clone();
            for step in 0..if *epsilon == 0.0 { 0 } else { self.method.steps() } {
                if first.is_none() {
                    first = Some(gradient(batch, 0)?);
                }
                let made;
                let gradient = match &first {
                    Some(first) if step == 0 => first,
                    _ => {
                        made = gradient(&example, step)?;
                        &made
                    }
                };
                for ((x, g), Ball { low, high, step }) in example.values.iter_mut().zip(gradient).zip(&balls) {
                    *x = (*x + step * sign(*g)).clamp(*low, *high);
                }
            }
            example.check(code)?;
            Ok(example)
        };
        self.epsilons.iter().map(example).collect()
    }

    /// Each value's ball at ε, cut to what pixels can be.
    fn balls(&self, epsilon: f64, batch: &Batch, pixels: usize) -> Vec<Ball> {
        let ball = |(i, x): (usize, &f32)| {
            let range = self.range.as_ref().map(|range| range[i / pixels % range.len()]);
            let [black, white] = range.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]);
            // One over the standard deviation.
            let unit = if range.is_some() { f64::from(white) - f64::from(black) } else { 1.0 };
            let radius = (epsilon * unit) as f32;
            Ball {
                low: (x - radius).max(black).min(*x),
                high: (x + radius).min(white).max(*x),
                step: (self.method.step_size(epsilon) * unit) as f32,
            }
        };
        batch.values.iter().enumerate().map(ball).collect()
    }

    /// Judges chips `indices` of a blueprint, each on the images made for it, and hands over what it did at each ε, in
    /// their order. Images are attacked `batch` at once, which never changes a result; where all chips are the same,
    /// one of them is attacked.
    pub fn series(
        &self,
        engine: &dyn Engine,
        data: &Dataset,
        blueprint: &Blueprint,
        (indices, batch): (impl IntoIterator<Item = u64>, usize),
        monitor: &dyn Monitor,
        mut each: impl FnMut(u64, &[Judged]) -> Result<()>,
    ) -> Result<()> {
        let ensemble = blueprint.plan().profile.system.ensemble;
        if ensemble > 1 {
            return Err(Error::Mismatch(format!(
                "system.ensemble = {ensemble}: an attack goes through the gradient of one chip, and chips that answer \
                 together are not modelled there; expected 1"
            )));
        }
        needs::check(blueprint, 1)?;
        let mut same: Option<Vec<Judged>> = None;
        for index in indices {
            let judged = match same.take().filter(|_| !blueprint.varies()) {
                Some(judged) => judged,
                None => interruptible(|| self.judge(engine, data, &Chip::program(blueprint, index)?, batch, monitor))?,
            };
            each(index, &judged)?;
            same = Some(judged);
        }
        Ok(())
    }

    /// What one chip does on the images made for it, at each ε.
    fn judge(
        &self,
        engine: &dyn Engine,
        data: &Dataset,
        chip: &Chip,
        batch: usize,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Judged>> {
        let white_box = WhiteBox::new(chip)?;
        let mut loaded = engine.load(std::slice::from_ref(chip))?;
        let judge = Encoder::new(chip.code, chip.input, self.seed, 0);
        let images: Vec<usize> = (0..data.len()).collect();
        let counts = Counts::new(chip.layers.len() - 1, chip.steps);
        let none = Judged { images: images.len(), correct: 0, counts, sram_bytes: chip.sram_bytes };
        let mut judged = vec![none; self.epsilons.len()];
        for chosen in images.chunks(batch) {
            let (batch, labels) = read_batch(data, chosen, None)?;
            for (example, judged) in self.examples(&white_box, &batch, &labels)?.into_iter().zip(&mut judged) {
                for outcome in loaded.run(&Inputs::new(judge, example, chip.steps))? {
                    judged.correct += correct(&outcome.logits, &labels)?;
                    judged.counts.add(&outcome.counts);
                }
            }
            if monitor.stop() {
                return Err(Error::Interrupted(String::new()));
            }
        }
        Ok(judged)
    }
}

/// What a chip did at one ε.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Images run.
    pub images: usize,
    /// Images classified correctly.
    pub correct: usize,
    /// Events over all images.
    pub counts: Counts,
    /// Bytes that the chip's companion arrays hold.
    pub sram_bytes: usize,
}

impl Judged {
    /// Percent of images classified correctly.
    pub fn accuracy(&self) -> f64 {
        100.0 * self.correct as f64 / self.images as f64
    }
}

/// Where a value may go, and by how much at once.
struct Ball {
    low: f32,
    high: f32,
    step: f32,
}

/// 0 for 0, unlike [`f32::signum`].
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}
