//! The answer of a search in words: a sentence, and what else there is to say.

use toml::Table;

use super::Search;
use super::answer::{REFERENCE, SearchAnswer, label_of};
use super::evolve::{Fitness, front};
use super::goals::{Bound, cost};
use super::run::SearchRun;
use crate::numeric::stats::mean_within;
use crate::study::columns::{AREA, ENERGY, INTERVAL, LATENCY};
use crate::study::point::Point;

impl SearchAnswer {
    /// Puts it into words; the front has `of` members, of which some are here.
    pub(super) fn say(&mut self, search: &Search, run: &SearchRun, (fitness, of): (&[Fitness], usize)) {
        let reference = self.points.iter().find(|point| label_of(point) == REFERENCE);
        let best = &self.points[0];
        let (goals, images) = (&search.goals, self.images);
        let judged = |point: &Point| {
            let stats = point.accuracy();
            let is_other = !self.is_reference || label_of(point) != label_of(best);
            let below = reference.filter(|_| is_other).map(|reference| below(reference, point));
            let beside = below.map_or(String::new(), |(mean, half)| {
                let side = if mean < 0.0 { "above" } else { "below" };
                format!(", {:.2} ± {half:.2} points {side} the reference", mean.abs())
            });
            format!("{:.2} ± {:.2} % of images right{beside}", stats.mean, stats.ci95.unwrap_or(0.0))
        };
        let costs = |point: &Point| {
            let known = goals.costs.iter().filter_map(|name| Some(in_words(name, cost(point, name)?)));
            known
                .chain(goals.of_accuracy.then(|| format!("accuracy {:.2} %", point.accuracy().mean)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let members: Vec<&Point> = self.points.iter().filter(|point| label_of(point).starts_with("front")).collect();
        let asked = asked(search);
        let (at, said) = (set(best), judged(best));
        self.lead = match (self.is_met, members.len()) {
            (false, _) => format!(
                "No candidate surely keeps to what is asked ({asked}) on the chips and images of the search. The \
                 nearest{}, {} at {at}: {said} on others.",
                if self.is_reference { ", the reference itself" } else { "" },
                costs(best)
            ),
            (true, 0) if self.is_reference => format!(
                "No better candidate than the reference itself was found that surely keeps to what is asked ({asked}): \
                 {} at {at}: {said}.",
                costs(best)
            ),
            (true, 0) => format!("{} at {at}: {said}.", costs(best)),
            (true, shown) => format!(
                "{shown} of {of} chips of which none beats another, in the search; the first has {} at {at}: {said}.",
                costs(best)
            ),
        };
        let found: Vec<&Point> = if members.is_empty() { vec![best] } else { members };
        if self.is_met && goals.asks() && (goals.has_limits() || !self.is_reference) {
            let keep = found.iter().filter(|point| goals.keeps(point, reference)).count();
            self.details.push(match (keep, found.len()) {
                (1, 1) if goals.surely_keeps(best, reference, images) => {
                    format!("Asked: {asked}. It surely keeps to it on chips and images that the search has not seen.")
                }
                (1, 1) => format!(
                    "Asked: {asked}. It keeps to it on chips and images that the search has not seen on average, but \
                     not surely."
                ),
                (_, 1) => format!(
                    "Asked: {asked}. It does not keep to it on chips and images that the search has not seen, on \
                     average."
                ),
                (keep, all) => format!(
                    "Asked: {asked}. {keep} of the {all} keep to it on chips and images that the search has not seen, \
                     on average."
                ),
            });
        }
        if found.len() > 1 {
            let costs: Vec<Fitness> = found.iter().map(|point| goals.fitness(point)).collect();
            let still = front(&costs).len();
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
                    "What seemed the next better in accuracy is not on chips that were not seen: {costs} at {set}: \
                     {judged}."
                ),
            });
        }
        let own = [sure(best, search, images), tried(search, run, (fitness, self.trials)), conditions(search, run)];
        self.details.extend(own.concat());
    }
}

/// How sure the figures of the best are.
fn sure(best: &Point, search: &Search, images: u64) -> Vec<String> {
    let accuracy = best.accuracy();
    let (chips, right) = (search.file.validate.chips, accuracy.mean / 100.0);
    if search.file.validate.own_images {
        return vec![format!(
            "These are figures of {chips} chips, each on {images} images of its own that the search has not seen. \
             Their intervals, of 95 %, are over chips and images."
        )];
    }
    let of_images = 200.0 * (right * (1.0 - right) / images as f64).sqrt();
    vec![
        format!("Its worst chip has {:.2} %; 95 % of its chips have {:.2} % or more.", accuracy.min, accuracy.q05),
        format!(
            "These are figures of {chips} chips and {images} images that the search has not seen. Their intervals, of \
             95 %, are over chips; as many other images would move accuracy by up to {of_images:.1} points, that of \
             all chips together."
        ),
    ]
}

/// The settings of all candidates, and those that the reference has in their place.
fn conditions(search: &Search, run: &SearchRun) -> Vec<String> {
    let list = |set: &Table| -> String {
        set.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
    };
    let (set, reference) = (&search.file.set, &search.file.reference);
    let mut said = if set.is_empty() { vec![] } else { vec![format!("All candidates have {}.", list(set))] };
    if let Some(from) = search.file.held_out_from {
        said.push(format!(
            "The search ran on {} training images, from number {from} on (held_out_from), and test images judge its \
             answer.",
            search.file.limit
        ));
    }
    if !reference.is_empty() && search.reference_point().is_some() {
        let others = match run.in_space {
            Some(_) => "; it is a candidate itself",
            None => ", and no candidate's settings",
        };
        said.push(format!("The reference has {} instead{others}.", list(reference)));
    }
    said
}

/// The number of candidates that were tried, and why the search ended.
fn tried(search: &Search, run: &SearchRun, (fitness, trials): (&[Fitness], u64)) -> Vec<String> {
    let passed = fitness.iter().filter(|fitness| fitness.violation == 0.0).count();
    let all = search.candidates().map_or("more than 10^19".into(), |size| size.to_string());
    let mut said = vec![format!(
        "{} of {all} candidates were judged, in {trials} trials; {passed} of them passed as keeping to what is asked.",
        fitness.len()
    )];
    if !run.twins.is_empty() {
        said.push(format!("{} others are the same chips as one of these.", run.twins.len()));
    }
    let known = (fitness.len() + run.twins.len() + run.refused.0.len()) as u64;
    if trials >= search.file.trials && search.candidates().is_none_or(|all| all > known) {
        said.push(format!("The search ended because it was given {} trials.", search.file.trials));
    }
    if let Some(error) = &run.refused.1 {
        said.push(format!("{} others are no chips; the first: {error}.", run.refused.0.len()));
    }
    said
}

/// The settings of a point, those of the same key in several layers together.
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
fn in_words(name: &str, cost: f64) -> String {
    let value = number(cost);
    match name {
        ENERGY if cost >= 1e6 => format!("{} µJ an image", number(1e-6 * cost)),
        ENERGY => format!("{value} pJ an image"),
        AREA => format!("{value} mm²"),
        LATENCY => format!("{value} ns to an answer"),
        INTERVAL => format!("{value} ns an image"),
        _ => format!("{value} bytes of SRAM"),
    }
}

/// Points of accuracy below the reference, on the same chips, with half of their 95 % interval.
fn below(reference: &Point, point: &Point) -> (f64, f64) {
    let pairs = reference.chips.iter().zip(&point.chips);
    mean_within(&pairs.map(|(reference, own)| reference.accuracy - own.accuracy).collect::<Vec<_>>(), 0.975)
}

/// The constraints on accuracy and costs.
fn asked(search: &Search) -> String {
    let sure = search.file.constraint.accuracy.map_or(0.0, |accuracy| 100.0 * accuracy.confidence);
    let accuracy = search.goals.bound().map(|bound| match bound {
        Bound::Within(0.0) => format!("accuracy of the reference's or more, with {sure} % confidence"),
        Bound::Within(within) => format!("accuracy within {within} points of the reference, with {sure} % confidence"),
        Bound::Least(least) => format!("accuracy of {least} % or more, with {sure} % confidence"),
    });
    let limits = search.file.limits().into_iter().map(|(name, most)| format!("{name} of at most {most}"));
    let all: Vec<String> = accuracy.into_iter().chain(limits).collect();
    if all.is_empty() { "nothing but the least".into() } else { all.join(", ") }
}

/// A number with five digits.
fn number(value: f64) -> String {
    let digits = (4.0 - value.abs().max(1e-300).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
