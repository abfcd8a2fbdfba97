//! What a search found: the best candidate, or the front, judged on chips and images that the search has not seen, in words, tables and
//! profiles.

use std::ops::Range;

use serde::Serialize;
use serde_json::json;
use toml::Value;

use super::evolve::{Fitness, front, ranked};
use super::goals::{Bound, cost};
use super::run::{Candidate, Run};
use super::{ANSWER, Search, TRIED_CSV};
use crate::config::Document;
use crate::error::{Error, Result};
use crate::numeric::stats::mean_within;
use crate::output::{OutputFolder, canonical};
use crate::study::cell::Cell;
use crate::study::columns::{AREA, ENERGY, INTERVAL, LATENCY};
use crate::study::point::Point;
use crate::study::reader::is_own;
use crate::study::setting::Setting;
use crate::study::space::GridPoint;
use crate::study::table;

/// Candidates of which the next better one is found.
const SEEM_BETTER: usize = 5;
/// Members of a front that are validated, at most.
pub(super) const SHOWN: usize = 12;

/// How sure the next better candidate must be more accurate than the best: it is the best of many.
const SURELY: f64 = 0.99;

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Whether a candidate surely keeps to every constraint, on the chips and images of the search.
    pub is_met: bool,
    /// The answer, a sentence.
    pub lead: String,
    /// What else there is to say, a sentence each.
    pub details: Vec<String>,
    /// What was judged on chips and images that the search has not seen: the best, or the front, then the next better, then the reference.
    #[serde(skip)]
    pub points: Vec<Point>,
    /// What the best sets, by key.
    pub best: Vec<(String, String)>,
    /// Trials that the search took, those that confirm and judge the answer not among them.
    pub trials: u64,
    /// What the best and those beside it set.
    #[serde(skip)]
    found: Vec<(String, GridPoint)>,
}

/// What is judged once more.
struct Judged {
    label: String,
    point: GridPoint,
}

impl Answer {
    /// Finds it, and runs what judges it.
    pub(super) fn find(search: &Search, run: &mut Run) -> Result<Self> {
        let trials = run.asked();
        if run.candidates.is_empty() {
            return Err(run.refused.1.take().unwrap_or_else(|| search.nothing()));
        }
        let (best, of) = confirmed(search, run)?;
        let fitness = run.fitness();
        let is_met = fitness[best[0]].violation == 0.0;
        let next = if best.len() == 1 && of == 1 { next_better(search, run, best[0])? } else { None };
        let label = |place: usize| match (search.goals.count(), is_met) {
            (1, true) => "best".to_owned(),
            (_, false) => "nearest".to_owned(),
            _ => format!("front {}", place + 1),
        };
        let judge =
            |one: usize, label: String| Judged { label, point: search.candidate_point(&run.candidates[one].genes) };
        let mut judged: Vec<Judged> = best.iter().enumerate().map(|(place, one)| judge(*one, label(place))).collect();
        judged.extend(next.map(|one| judge(one, "next".into())));
        judged.extend(search.reference_point().map(|point| Judged { label: "reference".into(), point }));
        let points: Vec<GridPoint> = judged.iter().map(|judged| judged.point.clone()).collect();
        let settings = run.validate(&points)?;
        let chips = search.validation_chips();
        let point = |judged: &Judged, setting: &Setting| point_of(run, judged, setting, chips.clone());
        let points: Vec<Point> = judged.iter().zip(&settings).map(|(judged, setting)| point(judged, setting)).collect();
        let best = settings[0].shown.clone();
        let found =
            judged.into_iter().filter(|one| one.label != "reference").map(|one| (one.label, one.point)).collect();
        let mut answer = Answer { is_met, lead: String::new(), details: vec![], points, best, trials, found };
        answer.say(search, run, (&fitness, of));
        Ok(answer)
    }

    /// Puts it into words; the front has `of` members, of which some are here.
    fn say(&mut self, search: &Search, run: &Run, (fitness, of): (&[Fitness], usize)) {
        let reference = self.points.iter().find(|point| label_of(point) == "reference");
        let best = &self.points[0];
        let (goals, images) = (&search.goals, run.known_images(search));
        let judged = |point: &Point| {
            let stats = point.accuracy();
            let below = reference.map(|reference| below(reference, point));
            let below = below
                .map_or(String::new(), |(mean, half)| format!(", {mean:.2} ± {half:.2} points below the reference"));
            format!("{:.2} ± {:.2} % of images right{below}", stats.mean, stats.ci95.unwrap_or(0.0))
        };
        let costs = |point: &Point| {
            let known = goals.costs.iter().filter_map(|name| Some(in_words(name, &number(cost(point, name)?))));
            known
                .chain(goals.of_accuracy.then(|| format!("accuracy {:.2} %", point.accuracy().mean)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let front: Vec<&Point> = self.points.iter().filter(|point| label_of(point).starts_with("front")).collect();
        let asked = asked(search);
        let (at, said) = (set(best), judged(best));
        self.lead = match (self.is_met, front.len()) {
            (false, _) => format!("No candidate surely keeps to what is asked ({asked}). The nearest, {at}: {said}."),
            (true, 0) => format!("{} at {at}: {said}.", costs(best)),
            (true, shown) => format!(
                "{shown} of {of} chips of which none beats another, in the search; the first has {} at {at}: {said}.",
                costs(best)
            ),
        };
        let found: Vec<&Point> = if front.is_empty() { vec![best] } else { front };
        if self.is_met && goals.asks() {
            let keep = found.iter().filter(|point| goals.keeps(point, reference)).count();
            self.details.push(match (keep, found.len()) {
                (1, 1) => format!("Asked: {asked}. It keeps to it on chips and images that the search has not seen, on average."),
                (_, 1) => format!("Asked: {asked}. It does not keep to it on chips and images that the search has not seen, on average."),
                (keep, all) => format!("Asked: {asked}. {keep} of the {all} keep to it on chips and images that the search has not seen, on average."),
            });
        }
        if found.len() > 1 {
            let costs: Vec<Fitness> = found.iter().map(|point| goals.fitness(point)).collect();
            let still = super::evolve::front(&costs).len();
            self.details
                .push(format!("On those, {still} of the {} are not beaten by another, by their means.", found.len()));
        }
        if let Some(next) = self.points.iter().find(|point| label_of(point) == "next") {
            let more = -below(best, next).0;
            let (costs, set, judged) = (costs(next), set(next), judged(next));
            self.details.push(match more > 0.0 {
                true => {
                    format!("The next better in accuracy, by {more:.2} points, has {costs} at {set}: {judged}.")
                }
                false => format!(
                    "What seemed the next better in accuracy is not on chips that were not seen: {costs} at {set}: {judged}."
                ),
            });
        }
        let accuracies: Vec<f64> = best.chips.iter().map(|chip| chip.accuracy).collect();
        self.details.push(format!(
            "Its worst chip has {:.2} %; 95 % of its chips have more than {:.2} %.",
            best.accuracy().min,
            quantile(&accuracies, 0.05)
        ));
        let right = best.accuracy().mean / 100.0;
        let of_images = 200.0 * (right * (1.0 - right) / images as f64).sqrt();
        self.details.push(format!(
            "These are figures of {} chips and {images} images that the search has not seen. Their intervals, of 95 %, are over chips; as many other \
             images would move accuracy by up to {of_images:.1} points, that of all chips together.",
            search.file.validate.chips
        ));
        let count = |is: fn(&Fitness) -> bool| fitness.iter().filter(|fitness| is(fitness)).count();
        let all = search.candidates().map_or("more than 10^19".into(), |size| size.to_string());
        self.details.push(format!(
            "{} of {all} candidates were judged, in {} trials; {} of them passed as keeping to what is asked.",
            fitness.len(),
            self.trials,
            count(|fitness| fitness.violation == 0.0)
        ));
        if let Some(error) = &run.refused.1 {
            self.details.push(format!("{} others are no chips; the first: {error}.", run.refused.0.len()));
        }
    }

    /// Writes tables of what was judged and tried, the answer, and a profile, and a model where it is searched too, of each that was found.
    pub(super) fn write(&self, search: &Search, run: &Run, folder: &OutputFolder) -> Result<()> {
        table::write(folder, &self.points)?;
        folder.write(TRIED_CSV, tried(search, run).as_bytes())?;
        folder.write(ANSWER, canonical(&json!(self)).as_bytes())?;
        for (label, point) in &self.found {
            let name = match label.strip_prefix("front ") {
                Some(number) => format!("front_{number}"),
                None if label == "next" => "next".into(),
                None => "best".into(),
            };
            let (hardware, network) = search.documents(point)?;
            let mut said =
                format!("# {}: {label} of a search, `{}`.\n", search.name(), search.document.file().display());
            for (key, value) in point.iter().filter(|(key, _)| is_own(key)) {
                said += &format!("# Beside this profile it has {key} = {value}.\n");
            }
            folder.write(&format!("{name}.toml"), format!("{said}{}", hardware.to_toml()).as_bytes())?;
            let has_model = point.iter().any(|(key, _)| key.starts_with("model."));
            if has_model || !search.overrides.model.is_empty() {
                folder.write(&format!("{name}_model.toml"), format!("{said}{}", network.to_toml()).as_bytes())?;
            }
        }
        Ok(())
    }
}

impl Search {
    /// The profile and the model of a point, their paths from anywhere.
    fn documents(&self, point: &GridPoint) -> Result<(Document, Document)> {
        let mut reader = self.reader(self.file.seen())?;
        let (_, mut hardware) = reader.profile(point)?;
        let sections: Vec<String> = match hardware.table_at("layer").and_then(Value::as_table) {
            Some(layers) => layers.keys().map(|layer| format!("layer.{layer}.")).collect(),
            None => vec![],
        };
        for section in std::iter::once(String::new()).chain(sections) {
            for (key, prefix) in [("rram.variation.file", ""), ("sram.init", "checkpoint:")] {
                let key = format!("{section}{key}");
                let Some(path) =
                    hardware.table_at(&key).and_then(Value::as_str).and_then(|text| text.strip_prefix(prefix))
                else {
                    continue;
                };
                let path = hardware.base(&key).join(path);
                let path = std::path::absolute(&path).map_err(Error::io(&path))?;
                let value = Value::String(format!("{prefix}{}", path.display()));
                hardware.set_value(&key, value, self.document.place("profile"), "".as_ref())?;
            }
        }
        Ok((hardware, reader.model_document(point)?))
    }
}

/// The best candidates, judged on all chips, with the first objective rising, and how many are on the front: where chips that were run since
/// tell that one is not what it seemed, the next takes its place.
fn confirmed(search: &Search, run: &mut Run) -> Result<(Vec<usize>, usize)> {
    loop {
        let fitness = run.fitness();
        let mut best = distinct(&run.candidates, front(&fitness));
        let is_met = fitness[best[0]].violation == 0.0;
        let of = best.len();
        if !is_met || search.goals.count() == 1 {
            best.truncate(1);
        } else {
            // Those at the ends, and then those that stand alone.
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

/// Candidates of different trials, the first of each.
fn distinct(candidates: &[Candidate], numbers: Vec<usize>) -> Vec<usize> {
    let mut seen = std::collections::HashSet::new();
    numbers.into_iter().filter(|one| seen.insert(candidates[*one].setting.key)).collect()
}

/// The cheapest candidate whose costs are within their limits and whose accuracy is surely above that of the best, on all chips; of the few
/// cheapest that seem so.
fn next_better(search: &Search, run: &mut Run, best: usize) -> Result<Option<usize>> {
    if search.goals.of_accuracy {
        return Ok(None);
    }
    let better_by = |run: &Run, one: usize, confidence: f64| -> Option<f64> {
        let (own, other) = (run.candidates[best].standing.as_ref()?, run.candidates[one].standing.as_ref()?);
        let differences: Vec<f64> = other.accuracies.iter().zip(&own.accuracies).map(|(a, b)| a - b).collect();
        let (mean, half) = mean_within(&differences, confidence);
        other.is_within_limits.then_some(mean - half)
    };
    let fitness = run.fitness();
    let mut seem: Vec<usize> =
        (0..fitness.len()).filter(|one| better_by(run, *one, 0.75).is_some_and(|more| more > 0.0)).collect();
    seem.sort_by(|a, b| fitness[*a].objectives[0].total_cmp(&fitness[*b].objectives[0]));
    let seem = distinct(&run.candidates, seem).into_iter().take(SEEM_BETTER).collect::<Vec<_>>();
    run.confirm(&seem)?;
    Ok(seem.into_iter().find(|one| better_by(run, *one, SURELY).is_some_and(|more| more > 0.0)))
}

/// A point of the tables, with what stands for it in its first column.
fn point_of(run: &Run, judged: &Judged, setting: &Setting, chips: Range<u64>) -> Point {
    let trials = run.known(setting.key, chips);
    let settings = std::iter::once(("chip_of".to_owned(), judged.label.clone())).chain(setting.shown.iter().cloned());
    Point::of_trials(settings.collect(), &trials, &setting.subject.model.neurons(), &setting.areas)
}

fn label_of(point: &Point) -> &str {
    &point.settings[0].1
}

/// What a point sets, what layers set of the same key together.
fn set(point: &Point) -> String {
    let mut said: Vec<(&str, Vec<String>)> = vec![];
    for (key, value) in &point.settings[1..] {
        let layer = key.strip_prefix("layer.").and_then(|rest| rest.split_once('.'));
        let Some((layer, plain)) = layer else {
            said.push((key, vec![value.clone()]));
            continue;
        };
        let pair = format!("{layer} {value}");
        match said.iter_mut().find(|(known, pairs)| *known == plain && pairs[0].contains(' ')) {
            Some((_, pairs)) => pairs.push(pair),
            None => said.push((plain, vec![pair])),
        }
    }
    let each = said.iter().map(|(key, pairs)| match pairs[0].contains(' ') {
        true => format!("{key} of {}", pairs.join(", ")),
        false => format!("{key} {}", pairs[0]),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// A cost with its unit.
fn in_words(name: &str, value: &str) -> String {
    match name {
        ENERGY => format!("{value} pJ an image"),
        AREA => format!("{value} mm²"),
        LATENCY => format!("{value} ns to an answer"),
        INTERVAL => format!("{value} ns an image"),
        _ => format!("{value} bytes of SRAM"),
    }
}

/// How far accuracy lies below the reference's, on the same chips, with half of its 95 % interval.
fn below(reference: &Point, point: &Point) -> (f64, f64) {
    let pairs = reference.chips.iter().zip(&point.chips);
    let (mean, half) =
        mean_within(&pairs.map(|(reference, own)| reference.accuracy - own.accuracy).collect::<Vec<_>>(), 0.975);
    (mean, half)
}

/// What accuracy and costs were asked to be.
fn asked(search: &Search) -> String {
    let sure = search.file.constraint.accuracy.map_or(0.0, |accuracy| 100.0 * accuracy.confidence);
    let accuracy = search.goals.bound().map(|bound| match bound {
        Bound::Within(within) => format!("accuracy within {within} points of the reference, with {sure} % confidence"),
        Bound::Least(least) => format!("accuracy of {least} % or more, with {sure} % confidence"),
    });
    let limits = search.file.limits().into_iter().map(|(name, most)| format!("{name} of at most {most}"));
    let all: Vec<String> = accuracy.into_iter().chain(limits).collect();
    if all.is_empty() { "nothing but the least".into() } else { all.join(", ") }
}

/// A quantile of some values, between its neighbours.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    sorted[low] + part * (sorted[(low + 1).min(sorted.len() - 1)] - sorted[low])
}

/// A number with five digits.
fn number(value: f64) -> String {
    let digits = (4.0 - value.abs().max(1e-300).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// All candidates in the order in which they were tried: what they set, how many chips judged them, and how they stand.
fn tried(search: &Search, run: &Run) -> String {
    let keys = search.space.axes.iter().map(|axis| axis.key.clone());
    let costs = search.goals.costs.iter().map(|name| (*name).to_owned());
    let more = ["chips", "accuracy_mean", "violation", "keeps_to_constraints"].map(String::from);
    let mut rows = vec![keys.chain(more).chain(costs).collect::<Vec<String>>()];
    for candidate in &run.candidates {
        let Some(standing) = &candidate.standing else { continue };
        let accuracy = standing.accuracies.iter().sum::<f64>() / standing.accuracies.len() as f64;
        let keeps = match (standing.is_met, standing.is_missed) {
            (true, _) => "surely",
            (_, true) => "surely not",
            _ => "not sure",
        };
        let values =
            search.space.point(&candidate.genes).into_iter().map(|(_, value)| crate::study::space::cell(&value));
        let own = [
            candidate.chips.to_string(),
            Cell::Number(accuracy).text(),
            Cell::Number(standing.fitness.violation).text(),
            keeps.into(),
        ];
        let costs =
            standing.fitness.objectives.iter().take(search.goals.costs.len()).map(|cost| Cell::Number(*cost).text());
        rows.push(values.chain(own).chain(costs).collect());
    }
    let mut writer = csv::Writer::from_writer(vec![]);
    rows.iter().for_each(|row| writer.write_record(row).expect("rows of one length in memory"));
    String::from_utf8(writer.into_inner().expect("memory")).expect("text")
}
