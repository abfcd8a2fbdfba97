//! The accuracy of chips on a data set: images are read and encoded once, for all chips or for each its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ndarray::{Array2, Axis, concatenate};

use super::chip_result::{ChipResult, correct};
use super::ensemble::{BESIDE, members, together};
use super::exit::{Exit, ExitResult, logits_after};
use super::needs;
use super::{Counts, Engine, Keep, Outcome};
use crate::chip::{Blueprint, Chip};
use crate::data::{Augmentation, Dataset};
use crate::error::{Error, Result};
use crate::monitor::{interruptible, stop_if_asked};
use crate::network::{Batch, Encoder, Inputs, Model};

/// Bytes of inputs that are kept from chip to chip; further ones are made again.
const KEPT_BYTES: usize = 256 << 20;

/// How chips are evaluated: images, encoded the same way for all chips.
pub struct Evaluation<'a> {
    engine: &'a dyn Engine,
    data: &'a Dataset,
    images: Vec<usize>,
    /// The images of each chip, where each has some of its own.
    per_chip: Option<usize>,
    encoder: Encoder,
    steps: usize,
    batch: usize,
    /// The first batches' inputs, as many as may be kept.
    kept: Vec<OnceLock<Arc<Inputs>>>,
    prepare: Option<Box<Prepare<'a>>>,
    exit: Option<Exit>,
    programming: ProgrammingTime,
}

/// What programming chips took.
#[derive(Debug, Default)]
struct ProgrammingTime {
    chips: AtomicU64,
    nanoseconds: AtomicU64,
}

/// What turns a freshly programmed chip into the one that runs: given what it was made from, its number, and itself.
type Prepare<'a> = dyn Fn(&Blueprint, u64, Chip) -> Result<Chip> + Send + Sync + 'a;

impl<'a> Evaluation<'a> {
    /// All images of a data set, sent over `steps` steps.
    pub fn on(engine: &'a dyn Engine, data: &'a Dataset, encoder: Encoder, steps: usize) -> Self {
        let images = (0..data.len()).collect();
        let evaluation = Evaluation {
            engine,
            data,
            images,
            per_chip: None,
            encoder,
            steps,
            batch: 0,
            kept: vec![],
            prepare: None,
            exit: None,
            programming: ProgrammingTime::default(),
        };
        evaluation.batches_of(64)
    }

    /// How its images are encoded.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Some images of it, by index, for every chip.
    pub fn of_images(self, images: Vec<usize>) -> Self {
        let batch = self.batch;
        Evaluation { images, per_chip: None, ..self }.batches_of(batch)
    }

    /// Gives each chip of a series so many images of its own: chip 0 has the first ones, chip 1 the next, and so on,
    /// from the beginning again where too few are left. Without a number every chip has all images.
    pub fn of_own_images(self, per_chip: Option<usize>) -> Self {
        let batch = self.batch;
        Evaluation { per_chip, ..self }.batches_of(batch)
    }

    /// The images of each chip, where each has some of its own.
    pub fn per_chip(&self) -> Option<usize> {
        self.per_chip
    }

    /// So many images at once; never changes a result.
    pub fn batches_of(self, batch: usize) -> Self {
        let bytes = batch * Inputs::image_bytes(&self.encoder, self.steps);
        let each = self.per_chip.unwrap_or(self.images.len());
        let kept = (self.shares() * each.div_ceil(batch)).min(KEPT_BYTES / bytes.max(1));
        Evaluation { batch, kept: (0..kept).map(|_| OnceLock::new()).collect(), ..self }
    }

    /// The number of parts of the images of which each chip has one.
    fn shares(&self) -> usize {
        self.per_chip.map_or(1, |each| self.images.len() / each.max(1)).max(1)
    }

    /// The batches of a chip, each with its number among those of all chips.
    fn batches(&self, chip: u64) -> impl Iterator<Item = (usize, &[usize])> {
        let each = self.per_chip.unwrap_or(self.images.len());
        let share = (chip % self.shares() as u64) as usize;
        let images = &self.images[share * each..((share + 1) * each).min(self.images.len())];
        (share * each.div_ceil(self.batch)..).zip(images.chunks(self.batch))
    }

    /// Passes each chip that a series programs through `prepare`, where there is one, such as
    /// [`crate::train::adapt::Adaptation::preparation`].
    pub fn preparing(self, prepare: Option<impl Fn(&Blueprint, u64, Chip) -> Result<Chip> + Send + Sync + 'a>) -> Self {
        Evaluation { prepare: prepare.map(|prepare| Box::new(prepare) as _), ..self }
    }

    /// Also gives what early exit comes to, where it is asked for: [`ChipResult::exit`].
    pub fn exiting(self, exit: Option<Exit>) -> Self {
        Evaluation { exit, ..self }
    }

    /// Runs the images of chip 0, which are all where chips have none of their own, on a chip as it is.
    pub fn run(&self, chip: &Chip) -> Result<ChipResult> {
        let results = self.run_together(std::slice::from_ref(chip))?;
        results.into_iter().next().ok_or_else(nothing)
    }

    /// Refuses what no chip of a blueprint can be evaluated with, before any is programmed.
    ///
    /// # Errors
    /// Where chips answer together and are to stop early or to have images of their own, where layers take turns on
    /// tiles and are to stop early, and where one chip, or its images, need more memory than there is.
    pub fn check(&self, blueprint: &Blueprint) -> Result<()> {
        let count = blueprint.plan().profile.system.ensemble;
        if self.exit.is_some() && count > 1 {
            return Err(Error::Mismatch(format!(
                "system.ensemble = {count}: chips that answer together at an early step are not modelled; expected no \
                 early exit, or 1"
            )));
        }
        if self.per_chip.is_some() && count > 1 {
            return Err(Error::Mismatch(format!(
                "system.ensemble = {count}: chips that answer together on images of their own are not modelled; \
                 expected all images for each, or 1"
            )));
        }
        if self.exit.is_some() && !blueprint.plan().loaded().is_empty() {
            return Err(Error::Mismatch(
                "an early exit answers before all steps have run, and layers that take turns on a chip of \
                 system.tiles run all of theirs, one layer after the other; expected none, or as many tiles as the \
                 network needs"
                    .into(),
            ));
        }
        needs::check(blueprint, 1)?;
        let images = self.batch.min(self.images.len());
        needs::check_images(blueprint, images, (images * Inputs::image_bytes(&self.encoder, self.steps)) as u64)
    }

    /// Runs their images on chips `indices` of a blueprint, or on ensembles of chips (`system.ensemble`), and hands
    /// each result over, in their order, before the next chips run. While some run, the next are programmed. Where all
    /// chips are the same on the same images, one of them runs.
    pub fn series(
        &self,
        blueprint: &Blueprint,
        indices: impl IntoIterator<Item = u64>,
        mut each: impl FnMut(u64, &ChipResult) -> Result<()>,
    ) -> Result<()> {
        let count = blueprint.plan().profile.system.ensemble;
        if count == 1 {
            return self.chips(blueprint, indices, each);
        }
        self.check(blueprint)?;
        let check = |index: u64| match index < BESIDE {
            true => Ok(index),
            false => Err(Error::Mismatch(format!("chip {index}: ensembles of chips are numbered below {BESIDE}"))),
        };
        let indices = indices.into_iter().map(check).collect::<Result<Vec<u64>>>()?;
        let labels: Vec<u32> = self.images.iter().map(|image| self.data.labels()[*image]).collect();
        let chips = indices.into_iter().flat_map(|index| members(index, count));
        let mut ran: Vec<ChipResult> = vec![];
        let mut ensemble = 0;
        self.chips(blueprint, chips, |chip, result| {
            // An ensemble has the number of its first chip.
            ensemble = if ran.is_empty() { chip } else { ensemble };
            ran.push(result.clone());
            if ran.len() < count as usize {
                return Ok(());
            }
            let all = together(&std::mem::take(&mut ran), &labels)?;
            all.map_or(Ok(()), |all| each(ensemble, &all))
        })
    }

    /// Runs chips, each by itself.
    fn chips(
        &self,
        blueprint: &Blueprint,
        indices: impl IntoIterator<Item = u64>,
        mut each: impl FnMut(u64, &ChipResult) -> Result<()>,
    ) -> Result<()> {
        let mut indices = indices.into_iter().peekable();
        let Some(&first) = indices.peek() else { return Ok(()) };
        self.check(blueprint)?;
        let mut chips = vec![self.program(blueprint, first)?];
        if !blueprint.varies() && self.per_chip.is_none() {
            let result = self.run(&chips[0])?;
            return indices.try_for_each(|index| each(index, &result));
        }
        // Chips that run together run the same images.
        let at_once = if self.per_chip.is_none() { self.engine.chips_at_once(&chips[0]).max(1) } else { 1 };
        needs::check(blueprint, at_once)?;
        let program = |indices: &[u64]| -> Result<Vec<Chip>> {
            indices.iter().map(|index| self.program(blueprint, *index)).collect()
        };
        let mut running: Vec<u64> = indices.by_ref().take(at_once).collect();
        chips.extend(program(&running[1..])?);
        while !running.is_empty() {
            let next: Vec<u64> = indices.by_ref().take(at_once).collect();
            let (results, programmed) = rayon::join(|| self.run_as(running[0], &chips), || program(&next));
            running.iter().zip(&results?).try_for_each(|(index, result)| each(*index, result))?;
            (running, chips) = (next, programmed?);
        }
        Ok(())
    }

    /// Seconds that programming a chip took on average, beside what else ran; none where none was programmed.
    pub fn programming_seconds(&self) -> Option<f64> {
        let ProgrammingTime { chips, nanoseconds } = &self.programming;
        let chips = chips.load(Ordering::Relaxed);
        (chips > 0).then(|| nanoseconds.load(Ordering::Relaxed) as f64 * 1e-9 / chips as f64)
    }

    /// Programs a chip, and prepares it.
    pub fn program(&self, blueprint: &Blueprint, index: u64) -> Result<Chip> {
        interruptible(|| {
            let began = Instant::now();
            let chip = Chip::program(blueprint, index)?;
            self.programming.chips.fetch_add(1, Ordering::Relaxed);
            self.programming.nanoseconds.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
            match &self.prepare {
                Some(prepare) => prepare(blueprint, index, chip),
                None => Ok(chip),
            }
        })
    }

    /// Runs several chips of one blueprint together, on the images of the first chip of a series.
    pub fn run_together(&self, chips: &[Chip]) -> Result<Vec<ChipResult>> {
        self.run_as(0, chips)
    }

    /// Runs several chips of one blueprint on the images that a chip of some number has.
    fn run_as(&self, number: u64, chips: &[Chip]) -> Result<Vec<ChipResult>> {
        interruptible(|| self.run_all(number, chips))
    }

    fn run_all(&self, number: u64, chips: &[Chip]) -> Result<Vec<ChipResult>> {
        let mut loaded = self.engine.load(chips)?;
        let mut tallies: Vec<ChipTally> = chips.iter().map(|chip| ChipTally::new(chip, self.exit)).collect();
        let keep = if self.exit.is_some() { Keep::Every } else { Keep::Last };
        for (batch, chosen) in self.batches(number) {
            let inputs = self.inputs(batch, chosen)?;
            let labels: Vec<u32> = chosen.iter().map(|i| self.data.labels()[*i]).collect();
            for (tally, outcome) in tallies.iter_mut().zip(loaded.run_keeping(&inputs, keep)?) {
                tally.add(outcome, &labels)?;
            }
        }
        tallies.into_iter().map(ChipTally::close).collect()
    }

    /// The inputs of batch `number`, the images `chosen`.
    fn inputs(&self, number: usize, chosen: &[usize]) -> Result<Arc<Inputs>> {
        let place = self.kept.get(number);
        if let Some(inputs) = place.and_then(OnceLock::get) {
            return Ok(inputs.clone());
        }
        let (batch, _) = read_batch(self.data, chosen, None)?;
        batch.check(self.encoder.code)?;
        let inputs = Arc::new(Inputs::new(self.encoder, batch, self.steps));
        Ok(place.map_or(&inputs, |place| place.get_or_init(|| inputs.clone())).clone())
    }
}

/// A chip's result, batch by batch.
struct ChipTally {
    all: Answers,
    counts: Counts,
    early: Option<Early>,
    sram_bytes: usize,
    sram_elements: Vec<usize>,
    write_pulses: u64,
}

/// What it does with early exit.
struct Early {
    exit: Exit,
    answers: Answers,
    /// The steps that each image ran.
    steps: Vec<usize>,
    /// Events of these steps.
    counts: Counts,
}

/// Logits of the batches so far, and how many of them are right.
#[derive(Default)]
struct Answers {
    correct: usize,
    logits: Vec<Array2<f32>>,
}

impl ChipTally {
    fn new(chip: &Chip, exit: Option<Exit>) -> Self {
        let counts = Counts::new(chip.layers.len() - 1, chip.steps);
        let early = exit.map(|exit| Early {
            exit,
            answers: Answers::default(),
            steps: vec![],
            counts: counts.until(chip.steps),
        });
        ChipTally {
            all: Answers::default(),
            counts,
            early,
            sram_bytes: chip.sram_bytes,
            sram_elements: chip.layers.iter().map(|layer| layer.sram_elements).collect(),
            write_pulses: chip.write_pulses,
        }
    }

    fn add(&mut self, outcome: Outcome, labels: &[u32]) -> Result<()> {
        let Outcome { logits, by_step, by_image, counts } = outcome;
        if let (Some(early), Some(by_step), Some(by_image)) = (&mut self.early, by_step, by_image) {
            let steps = early.exit.steps(by_step.view());
            early.answers.add(logits_after(by_step.view(), &steps), labels)?;
            by_image.iter().zip(&steps).for_each(|(counts, steps)| early.counts.add(&counts.until(*steps)));
            early.steps.extend(steps);
        }
        self.counts.add(&counts);
        self.all.add(logits, labels)
    }

    fn close(self) -> Result<ChipResult> {
        let ChipTally { all, counts, early, sram_bytes, sram_elements, write_pulses } = self;
        let early = early.map(|Early { answers, steps, counts, .. }| {
            let (accuracy, correct, logits) = answers.close()?;
            Ok(ExitResult { accuracy, correct, logits, steps, counts })
        });
        let ((accuracy, correct, logits), exit) = (all.close()?, early.transpose()?);
        Ok(ChipResult { accuracy, correct, logits, counts, sram_bytes, sram_elements, write_pulses, exit })
    }
}

impl Answers {
    fn add(&mut self, logits: Array2<f32>, labels: &[u32]) -> Result<()> {
        self.correct += correct(&logits, labels)?;
        self.logits.push(logits);
        Ok(())
    }

    /// Percent and number of correct images, and all logits.
    fn close(self) -> Result<(f64, usize, Array2<f32>)> {
        let views: Vec<_> = self.logits.iter().map(|logits| logits.view()).collect();
        let logits = concatenate(Axis(0), &views).map_err(|_| nothing())?;
        Ok((100.0 * self.correct as f64 / logits.nrows() as f64, self.correct, logits))
    }
}

fn nothing() -> Error {
    Error::Mismatch("there is no image to evaluate".into())
}

/// Reads images by index, with their labels.
pub fn read_batch(data: &Dataset, chosen: &[usize], augmentation: Option<&Augmentation>) -> Result<(Batch, Vec<u32>)> {
    let size = data.shape().len() * data.frame_steps().unwrap_or(1);
    let mut values = vec![0.0; size * chosen.len()];
    for (image, out) in chosen.iter().zip(values.chunks_mut(size)) {
        stop_if_asked();
        data.read(*image, augmentation, out)?;
    }
    let labels = chosen.iter().map(|i| data.labels()[*i]).collect();
    Ok((Batch { values, indices: chosen.iter().map(|i| *i as u32).collect() }, labels))
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
        let least = data.labels().iter().min().copied().unwrap_or(0);
        let from_one = if least > 0 { format!("; its labels begin with {least}, expected 0") } else { String::new() };
        return Err(Error::Mismatch(format!(
            "the data set `{}` has {} classes, the model `{}` {}{from_one}",
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
