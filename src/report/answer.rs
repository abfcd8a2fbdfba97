//! What the numbers say, in words.

use std::path::Path;

use serde::Deserialize;

use super::choice::Choice;
use super::compared::{COMPARED_CSV, ComparedPoints, Difference};
use super::cost::COSTS;
use super::pareto::Front;
use super::plot::{Lines, Plot, Rows, on_most_images, title};
use super::read_if_there;
use super::summary::{StudySummary, SummaryPoint};
use crate::error::{Error, Result};

/// The answer to a study's question.
#[derive(Deserialize)]
pub(super) struct PageAnswer {
    /// The main finding, a sentence.
    pub lead: String,
    /// Further findings, a sentence each.
    pub details: Vec<String>,
}

/// The most sentences after the first.
const DETAILS: usize = 12;
/// Series whose own best setting is said.
const SERIES: usize = 4;

impl PageAnswer {
    /// All sentences in a row.
    pub fn text(&self) -> String {
        let mut text = self.lead.clone();
        for detail in &self.details {
            text.push(' ');
            text.push_str(detail);
        }
        text
    }
}

/// The answer that a study has written itself, where it did.
pub(super) fn written(file: &Path) -> Result<Option<PageAnswer>> {
    let said = read_if_there(file)?.map(|text| serde_json::from_str(&text));
    said.transpose().map_err(|error| Error::file(file, format!("expected `lead` and `details`: {error}")))
}

/// The answer that an arrangement of points gives: the choice between settings, where there is one, else what the
/// chart shows.
pub(super) fn of(
    plot: &Plot,
    compared: Option<&ComparedPoints>,
    choice: Option<&Choice>,
    fronts: &[Front],
    summary: &StudySummary,
) -> PageAnswer {
    let mut answer = match plot {
        Plot::Lines(lines) if lines.over_variation() => of_variation(lines),
        Plot::Lines(lines) => of_setting(lines),
        Plot::Rows(rows) => of_rows(rows, summary),
    };
    let weighed = choice.and_then(|choice| choice.cost.as_ref()).map(|(cost, _)| cost.column);
    let fronts = fronts.iter().filter(|front| Some(front.kind.column) != weighed).filter_map(Front::answer);
    let first: Vec<String> = compared.filter(|_| choice.is_some()).map(unbeaten).into_iter().chain(fronts).collect();
    answer.details.splice(0..0, first);
    if let Some(choice) = choice {
        answer.lead = choice.lead();
    }
    answer.details.truncate(DETAILS);
    answer
}

/// Which series is best where the variation is largest, and what each loses on the way there.
fn of_variation(lines: &Lines) -> PageAnswer {
    let largest = lines.series.iter().map(|series| series.last().0).fold(f64::NEG_INFINITY, f64::max);
    let at_largest: Vec<(&str, &SummaryPoint)> = lines
        .series
        .iter()
        .filter(|series| series.last().0 == largest)
        .map(|series| (series.label.as_str(), series.last().1))
        .collect();
    let axis = title(lines.key).split(" (").next().unwrap_or(lines.key);
    let (label, best) = at_largest[0];
    let lead = match at_largest.get(1) {
        None if label.is_empty() => format!("At the largest {axis}, {largest}, mean accuracy is {}.", best.measured()),
        None => format!("At the largest {axis}, {largest}, {label} has a mean accuracy of {}.", best.measured()),
        Some(&(second, next)) => format!(
            "At the largest {axis}, {largest}, {label} is best: {}. Next is {second} with {:.2} %{}.",
            best.measured(),
            next.mean,
            apart(best, next)
        ),
    };
    let lead = match at_largest.last() {
        Some(&(lowest, last)) if at_largest.len() > 2 => {
            let series = lines.series.iter().find(|series| std::ptr::eq(series.last().1, last));
            let first = series.map(|series| series.points[0]).filter(|(_, first)| first.mean > last.mean);
            let lost = first.map_or(String::new(), |(place, first)| {
                format!(", and {:.2} below its own at {place}", first.mean - last.mean)
            });
            format!(
                "{lead} Lowest is {lowest} with {:.2} %, {:.2} points below the best{lost}.",
                last.mean,
                best.mean - last.mean
            )
        }
        _ => lead,
    };
    let mut changes: Vec<(f64, String)> = (lines.series.iter().filter(|series| series.points.len() > 1))
        .map(|series| {
            let ((from, first), (to, last)) = (series.points[0], series.last());
            let lost = first.mean - last.mean;
            let change = match lost {
                _ if lost.abs() < 0.005 => "keeps its accuracy".into(),
                _ if lost < 0.0 => format!("gains {:.2} points of accuracy", -lost),
                _ => format!("loses {lost:.2} points of accuracy"),
            };
            let name = if series.label.is_empty() { "the network" } else { &series.label };
            let sentence =
                format!("From {axis} {from} to {to}, {name} {change} ({:.2} → {:.2} %).", first.mean, last.mean);
            (lost, sentence)
        })
        .collect();
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let details = changes.into_iter().map(|(_, sentence)| sentence).chain(references(lines)).collect();
    PageAnswer { lead, details }
}

/// Where accuracy is highest, overall and for each series.
fn of_setting(lines: &Lines) -> PageAnswer {
    let at = |place: f64| format!("{} = {place}", lines.key);
    let mut best: Vec<(&str, f64, &SummaryPoint)> = lines
        .series
        .iter()
        .filter_map(|series| {
            // The first of equals is taken.
            let &(place, point) = series.points.iter().rev().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
            Some((series.label.as_str(), place, point))
        })
        .collect();
    best.sort_by(|a, b| b.2.mean.total_cmp(&a.2.mean));
    let (label, place, point) = best[0];
    let label = if label.is_empty() { String::new() } else { format!("{label}, ") };
    let lead = format!("Mean accuracy is highest at {label}{}: {}.", at(place), point.measured());
    let few = if best.len() > SERIES { &[] } else { &best[1..] };
    let details = few
        .iter()
        .map(|(label, place, point)| format!("With {label} it is highest at {}: {:.2} %.", at(*place), point.mean))
        .chain(references(lines))
        .collect();
    PageAnswer { lead, details }
}

/// The best and the worst row, of those that are compared.
fn of_rows(rows: &Rows, summary: &StudySummary) -> PageAnswer {
    let compared = on_most_images(summary);
    let is_compared = |(_, point): &&(String, &SummaryPoint)| compared.iter().any(|other| std::ptr::eq(*other, *point));
    let mut ranked: Vec<&(String, &SummaryPoint)> = rows.rows.iter().filter(is_compared).collect();
    if ranked.is_empty() {
        ranked = rows.rows.iter().collect();
    }
    ranked.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    let (label, best) = ranked[0];
    let [(second, next), ..] = &ranked[1..] else {
        let spikes = best.spikes.map(|spikes| format!("The network fires {spikes:.1} spikes per image."));
        let costs =
            COSTS.iter().filter_map(|cost| Some(format!("{}: {}.", cost.title, cost.said(cost.of(summary, best)?))));
        let details = costs.chain(spikes).collect();
        return PageAnswer { lead: format!("Mean accuracy is {}.", best.measured()), details };
    };
    let lead = match rows.at {
        Some((key, place)) => {
            let axis = title(key).split(" (").next().unwrap_or(key);
            format!("At {axis} {place}, mean accuracy is highest with {label}: {}.", best.measured())
        }
        None => format!("Mean accuracy is highest with {label}: {}.", best.measured()),
    };
    let mut details = vec![format!("Next is {second} with {:.2} %{}.", next.mean, apart(best, next))];
    if let [_, _, .., (label, worst)] = ranked.as_slice() {
        details.push(format!(
            "It is lowest with {label}: {:.2} %, {:.2} points less.",
            worst.mean,
            best.mean - worst.mean
        ));
    }
    PageAnswer { lead, details }
}

fn references<'a>(lines: &'a Lines) -> impl Iterator<Item = String> + 'a {
    lines.references.iter().map(|(label, point)| format!("For reference, {label}: {:.2} %.", point.mean))
}

/// Whether two means can be told apart: in pairs on the same chips, or else by their intervals.
fn apart(best: &SummaryPoint, next: &SummaryPoint) -> String {
    if let Some(Difference { mean, half, .. }) = Difference::of(best, next, 1) {
        if mean == 0.0 && half == 0.0 {
            return "; on the same chips it is as accurate on each".into();
        }
        let order = if mean > half { "" } else { ", so the order is not certain" };
        return format!("; on the same chips it is {mean:.2} ± {half:.2} points less{order}");
    }
    let said = match (best.ci95, next.ci95) {
        (Some(first), Some(second)) if (best.mean - next.mean).abs() <= first + second => {
            "; their confidence intervals overlap, so the order is not certain"
        }
        (Some(_), Some(_)) => "; their confidence intervals do not overlap",
        _ => "",
    };
    said.into()
}

/// How many of a study's points are not surely less accurate than its best.
fn unbeaten(compared: &ComparedPoints) -> String {
    let (unbeaten, all) = (compared.unbeaten(), compared.others.len());
    let surely = "95 % confidence for all pairs together, Bonferroni";
    match unbeaten {
        0 => {
            format!("On the same chips the most accurate setting is surely above each of the {all} others ({surely}).")
        }
        _ => format!(
            "On the same chips {unbeaten} of the {all} others {} not surely below the most accurate ({surely}): see \
             {COMPARED_CSV}.{}",
            if unbeaten == 1 { "is" } else { "are" },
            if all > 2 && 2 * unbeaten > all { " More chips would tell them apart." } else { "" }
        ),
    }
}
