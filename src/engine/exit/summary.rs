//! What early exit came to: chip by chip, and over all of them.

use std::fmt;

use serde::Serialize;

use super::{ExitResult, ExitRule};
use crate::engine::Counts;
use crate::engine::chip_result::ChipResult;
use crate::numeric::stats::{Summary, summarise};

/// What a chip saves, in percent of what it takes to run all steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Saved {
    /// Steps.
    pub steps: f64,
    /// Spikes of all layers.
    pub spikes: f64,
    /// Pulses on the first layer's inputs.
    pub input_pulses: f64,
}

/// Early exit on one chip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExitOfChip {
    /// The chip's index.
    pub chip: u64,
    /// Percent of images classified correctly.
    pub accuracy: f64,
    /// Steps of an image, on average.
    pub steps: f64,
    /// What it saves.
    pub saved: Saved,
}

/// Early exit on all chips, at least one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExitSummary {
    /// The rule.
    pub rule: ExitRule,
    /// Percent of images classified correctly, over the chips.
    pub accuracy: Summary,
    /// Steps of an image, mean over images and chips.
    pub steps: f64,
    /// What is saved, mean over the chips.
    pub saved: Saved,
    /// Each chip, in their order.
    pub chips: Vec<ExitOfChip>,
}

impl ExitOfChip {
    /// What chip `chip` did; none where its evaluation had no early exit.
    pub fn new(chip: u64, result: &ChipResult) -> Option<Self> {
        result.exit.as_ref().map(|exit| Self::of(chip, exit, &result.counts))
    }

    /// What early exit did on a chip that has these events over all steps.
    fn of(chip: u64, exit: &ExitResult, all: &Counts) -> Self {
        let steps = exit.mean_steps();
        let saved = |events: fn(&Counts) -> u64| percent_saved(events(&exit.counts), events(all));
        let saved = Saved {
            steps: 100.0 * (1.0 - steps / all.input.len() as f64),
            spikes: saved(Counts::total_spikes),
            input_pulses: saved(|counts| counts.input.iter().sum()),
        };
        ExitOfChip { chip, accuracy: exit.accuracy, steps, saved }
    }
}

/// Nothing is saved of nothing.
fn percent_saved(run: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { 100.0 * (all - run) as f64 / all as f64 }
}

impl ExitSummary {
    /// Summarises what the chips of a series did.
    pub fn new(rule: ExitRule, chips: Vec<ExitOfChip>) -> Self {
        let accuracies: Vec<f64> = chips.iter().map(|chip| chip.accuracy).collect();
        let mean = |value: fn(&ExitOfChip) -> f64| chips.iter().map(value).sum::<f64>() / chips.len() as f64;

        let saved = Saved {
            steps: mean(|chip| chip.saved.steps),
            spikes: mean(|chip| chip.saved.spikes),
            input_pulses: mean(|chip| chip.saved.input_pulses),
        };
        ExitSummary { rule, accuracy: summarise(&accuracies), steps: mean(|chip| chip.steps), saved, chips }
    }
}

impl fmt::Display for ExitSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExitSummary { rule, accuracy, steps, saved, .. } = self;
        write!(f, "early exit {rule}: accuracy {:.2} %", accuracy.mean)?;
        if let Some(std) = accuracy.std {
            write!(f, ", spread {std:.2}")?;
        }
        let Saved { steps: of_steps, spikes, .. } = saved;
        write!(f, ", {steps:.2} steps an image, saves {of_steps:.1} % of the steps and {spikes:.1} % of the spikes")
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// A chip whose images, each of 4 steps of 10 pulses and 8, 4, 2, 2 spikes, ran so many steps.
    fn chip(index: u64, steps: &[usize]) -> ExitOfChip {
        let image =
            Counts { input: vec![10; 4], spikes: vec![vec![6, 3, 1, 2], vec![2, 1, 1, 0]], ..Counts::default() };
        let [mut all, mut counts] = [(); 2].map(|()| Counts::new(2, 4));
        for steps in steps {
            all.add(&image);
            counts.add(&image.until(*steps));
        }
        let logits = Array2::zeros((steps.len(), 2));
        let exit = ExitResult { accuracy: 50.0, correct: 1, logits, steps: steps.to_vec(), counts };
        ExitOfChip::of(index, &exit, &all)
    }

    #[test]
    fn savings_are_percent_of_all_steps() {
        let together = ExitSummary::new(ExitRule::Gamma(0.1), vec![chip(0, &[1, 1]), chip(1, &[2, 2])]);
        assert_eq!(together.saved, Saved { steps: 62.5, spikes: 37.5, input_pulses: 62.5 });
        assert_eq!((together.steps, together.accuracy.mean, together.chips[1].chip), (1.5, 50.0, 1));
        let alone = ExitSummary::new(ExitRule::Confidence(0.9), vec![chip(0, &[1, 4])]);
        assert_eq!(alone.saved, Saved { steps: 37.5, spikes: 25.0, input_pulses: 37.5 });
    }
}
