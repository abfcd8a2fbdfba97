//! Runs chips of a study's points, one after the other, and stores each as a trial when it ends.

use std::collections::HashMap;
use std::sync::Arc;

use super::case::Case;
use super::setting::Setting;
use super::store::Store;
use super::trial::{Key, Trial};
use crate::chip::Blueprint;
use crate::crossbar::calibration::Calibration;
use crate::crossbar::kept::KeptCells;
use crate::engine::Engine;
use crate::engine::evaluate::Evaluation;
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::monitor::Monitor;

/// A runner of the chips of some points.
pub(super) struct Runner<'a> {
    /// The engine that runs them.
    pub engine: &'a dyn Engine,
    /// May ask to stop.
    pub monitor: &'a dyn Monitor,
    /// The seed of chips and encoding.
    pub seed: u64,
    /// Cells and calibrations of points that ran before.
    pub kept: Kept,
    /// The point that ran last: others of its network see the same inputs.
    last: Option<(&'a Setting, Evaluation<'a>)>,
}

/// Points whose calibration is kept, at most.
const MOST_KEPT: usize = 1 << 10;

/// Cells and calibrations that are kept from one point to the next.
#[derive(Default)]
pub(super) struct Kept {
    /// The cells of points that differ only behind them.
    cells: KeptCells,
    /// The ranges of converters and what else is profiled, by all that determines it.
    calibrations: HashMap<Key, Calibration>,
}

impl Kept {
    /// The blueprint of a case with what it asks to be profiled, which other cases may have left, and with cells that
    /// they left.
    fn calibrated<'a>(&mut self, case: &Case<'a>) -> Result<Blueprint<'a>> {
        let blueprint = case.blueprint()?;
        let Some(names) = case.profiled_keys(&blueprint)? else { return Ok(blueprint.keeping(&self.cells)) };
        if let Some(calibration) = names.iter().find_map(|name| self.calibrations.get(name)) {
            return Ok(blueprint.calibrated(calibration.clone()).keeping(&self.cells));
        }
        let blueprint = case.calibrated(&self.cells)?;
        if self.calibrations.len() >= MOST_KEPT {
            self.calibrations.clear();
        }
        if let Some(calibration) = blueprint.calibration() {
            let [silent, own] = names;
            self.calibrations.insert(if blueprint.is_silent()? { silent } else { own }, calibration.clone());
        }
        Ok(blueprint)
    }
}

impl<'a> Runner<'a> {
    pub fn new(engine: &'a dyn Engine, monitor: &'a dyn Monitor, seed: u64) -> Self {
        Runner { engine, monitor, seed, kept: Kept::default(), last: None }
    }

    /// Runs some chips of a point and hands over each trial, which is stored then.
    pub fn run(
        &mut self,
        setting: &'a Setting,
        chips: Vec<u64>,
        store: &mut Store,
        mut each: impl FnMut(Trial),
    ) -> Result<()> {
        let Setting { subject, key, .. } = setting;
        let case = setting.case(self.seed);
        let blueprint = self.kept.calibrated(&case)?;
        let price = Price::of(&blueprint);
        let evaluation = match self.last.take() {
            Some((same, evaluation)) if std::ptr::eq(same, setting) => evaluation,
            Some((same, earlier)) if Arc::ptr_eq(&same.subject, subject) => {
                case.evaluation(self.engine, Some(earlier))?
            }
            _ => case.evaluation(self.engine, None)?,
        };
        let (engine, monitor) = (self.engine.name(), self.monitor);
        evaluation.series(&blueprint, chips, |chip, result| {
            let trial = Trial::of(*key, chip, result, subject.model.steps, &price);
            store.push(&trial, &engine)?;
            each(trial);
            if monitor.stop() { Err(Error::Interrupted(String::new())) } else { Ok(()) }
        })?;
        self.last = Some((setting, evaluation));
        Ok(())
    }
}
