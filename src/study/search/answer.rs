//! The best candidate of a search, or its front, judged on chips and images that the search has not seen.

use std::ops::Range;

use serde::Serialize;

use super::Search;
use super::evolve::{front, ranked};
use super::run::SearchRun;
use crate::error::Result;
use crate::numeric::stats::mean_within;
use crate::study::ANSWERED;
use crate::study::point::Point;
use crate::study::setting::Setting;
use crate::study::space::GridPoint;

/// Candidates of which the next better one is found.
const SEEM_BETTER: usize = 5;
/// Members of a front that are validated, at most.
pub(super) const SHOWN: usize = 12;

/// The confidence that the next better candidate is more accurate than the best: it is the best of many.
const SURELY: f64 = 0.99;

/// The label of the chip that candidates are compared to.
pub(super) const REFERENCE: &str = "reference";

/// The answer of a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchAnswer {
    /// Whether a candidate surely keeps to every constraint, on the chips and images of the search.
    pub is_met: bool,
    /// The answer, a sentence.
    pub lead: String,
    /// Further findings, a sentence each.
    pub details: Vec<String>,
    /// The points that were judged on chips and images that the search has not seen: the best, or the front, then the
    /// next better, then the reference.
    #[serde(skip)]
    pub points: Vec<Point>,
    /// The settings of the best, by key.
    pub best: Vec<(String, String)>,
    /// Trials that the search took, those that confirm and judge the answer not among them.
    pub trials: u64,
    /// Whether the best is the reference itself.
    #[serde(skip)]
    pub(super) is_reference: bool,
    /// The images that judged each chip of the points.
    #[serde(skip)]
    pub(super) images: u64,
    /// The settings of the best and of those beside it, each with its label.
    #[serde(skip)]
    pub(super) found: Vec<(String, GridPoint)>,
}

/// A point that is judged once more.
struct JudgedPoint {
    label: String,
    point: GridPoint,
}

impl SearchAnswer {
    /// Finds it, and runs what judges it.
    pub(super) fn find(search: &Search, run: &mut SearchRun) -> Result<Self> {
        let trials = run.trials.asked();
        if run.candidates.is_empty() {
            return Err(run.refused.1.take().unwrap_or_else(|| search.nothing()));
        }
        let (best, of) = confirmed(search, run)?;
        let fitness = run.fitness();
        let is_met = fitness[best[0]].violation == 0.0;
        let is_reference = search.goals.count() == 1 && run.is_reference(&run.candidates[best[0]]);
        let next = if best.len() == 1 && of == 1 { next_better(search, run, best[0])? } else { None };
        let label = |place: usize| match (search.goals.count(), is_met) {
            (1, true) => "best".to_owned(),
            (_, false) => "nearest".to_owned(),
            _ => format!("front {}", place + 1),
        };
        let judge = |one: usize, label: String| JudgedPoint {
            label,
            point: search.candidate_point(&run.candidates[one].genes),
        };
        let mut judged: Vec<JudgedPoint> =
            best.iter().enumerate().map(|(place, one)| judge(*one, label(place))).collect();
        judged.extend(next.map(|one| judge(one, "next".into())));
        let in_space = run.in_space.as_ref().map(|genes| search.candidate_point(genes));
        let reference = in_space.or_else(|| search.reference_point());
        judged.extend(reference.map(|point| JudgedPoint { label: REFERENCE.into(), point }));
        let points: Vec<(GridPoint, bool)> =
            judged.iter().map(|judged| (judged.point.clone(), judged.label != REFERENCE)).collect();
        let settings = run.validate(&points)?;
        let chips = search.validation_chips();
        let point = |judged: &JudgedPoint, setting: &Setting| point_of(run, judged, setting, chips.clone());
        let points: Vec<Point> = judged.iter().zip(&settings).map(|(judged, setting)| point(judged, setting)).collect();
        let best = settings[0].shown.clone();
        let found = judged.into_iter().filter(|one| one.label != REFERENCE).map(|one| (one.label, one.point)).collect();
        let images = run.trials.known(settings[0].key, chips).first().map_or(0, |trial| trial.images);
        let (lead, details) = (String::new(), vec![]);
        let mut answer = SearchAnswer { is_met, lead, details, points, best, trials, is_reference, images, found };
        answer.say(search, run, (&fitness, of));
        Ok(answer)
    }
}

/// The best candidates, judged on all chips, with the first objective rising, and how many are on the front: where
/// chips that were run since tell that one is not what it seemed, the next takes its place.
fn confirmed(search: &Search, run: &mut SearchRun) -> Result<(Vec<usize>, usize)> {
    loop {
        let fitness = run.fitness();
        let mut best = front(&fitness);
        let is_met = fitness[best[0]].violation == 0.0;
        let of = best.len();
        if !is_met || search.goals.count() == 1 {
            best.truncate(1);
        } else {
            // The members at the ends come first, and then those that stand alone.
            let order = ranked(&fitness);
            best.sort_by_key(|one| order.iter().position(|other| other == one));
        }
        let left: Vec<usize> = best.iter().copied().filter(|one| !run.is_confirmed(*one)).collect();
        if left.is_empty() {
            best.truncate(SHOWN);
            best.sort_by(|a, b| fitness[*a].objectives[0].total_cmp(&fitness[*b].objectives[0]));
            return Ok((best, if is_met && search.goals.count() > 1 { of } else { 1 }));
        }
        run.confirm(&left)?;
    }
}

/// The cheapest candidate whose costs are within their limits and whose accuracy is surely above that of the best, on
/// all chips; of the few cheapest that seem so.
fn next_better(search: &Search, run: &mut SearchRun, best: usize) -> Result<Option<usize>> {
    if search.goals.of_accuracy {
        return Ok(None);
    }
    let spread = run.spread();
    let better_by = |run: &SearchRun, one: usize, confidence: f64| -> Option<f64> {
        let (own, other) = (run.candidates[best].standing.as_ref()?, run.candidates[one].standing.as_ref()?);
        let differences: Vec<f64> = other.accuracies.iter().zip(&own.accuracies).map(|(a, b)| a - b).collect();
        let (mean, half) = match run.is_confirmed(one) {
            true => mean_within(&differences, confidence),
            false => spread.prior().mean_within(&differences, confidence),
        };
        other.is_within_limits.then_some(mean - half)
    };
    let fitness = run.fitness();
    let mut seem: Vec<usize> =
        (0..fitness.len()).filter(|one| better_by(run, *one, 0.75).is_some_and(|more| more > 0.0)).collect();
    seem.sort_by(|a, b| fitness[*a].objectives[0].total_cmp(&fitness[*b].objectives[0]));
    seem.truncate(SEEM_BETTER);
    for one in seem {
        run.confirm(&[one])?;
        if better_by(run, one, SURELY).is_some_and(|more| more > 0.0) {
            return Ok(Some(one));
        }
    }
    Ok(None)
}

/// A point of the tables, with its label in the first column.
fn point_of(run: &SearchRun, judged: &JudgedPoint, setting: &Setting, chips: Range<u64>) -> Point {
    let trials = run.trials.known(setting.key, chips);
    let settings = std::iter::once((ANSWERED.to_owned(), judged.label.clone())).chain(setting.shown.iter().cloned());
    Point::of_trials(settings.collect(), &trials, &setting.neurons(), &setting.areas)
}

/// The label of a point: `best`, `next`, `reference`, or its place on the front.
pub(super) fn label_of(point: &Point) -> &str {
    &point.settings[0].1
}
