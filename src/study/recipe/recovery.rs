//! The recovery table: what each stage wins back of what variation costs, and what it costs in SRAM.

use std::collections::BTreeSet;

use super::run::{Measured, Nominal};
use crate::network::Model;
use crate::numeric::stats::summarise;
use crate::profile::SramInit;
use crate::report::recovery::{Recovered, RecoveryHead, RecoveryLine, RecoveryTable};
use crate::study::cell::Cell;
use crate::study::point::Point;
use crate::study::trial::Trial;

/// The settings that tell a point apart; each stands in a column where it differs anywhere.
fn settings(measured: &[Measured]) -> Vec<Vec<(String, String)>> {
    let own_keys: BTreeSet<&String> =
        measured.iter().flat_map(|m| m.settings.iter().chain(&m.own)).map(|(k, _)| k).collect();
    let one = |m: &Measured| {
        let mut row = vec![
            ("stage".into(), m.stage.clone()),
            ("rram.weight_bits".into(), m.profile.rram.weight_bits.to_string()),
            ("profile".into(), m.profile.name.clone()),
        ];
        row.extend(m.at.iter().cloned());
        row.push(("images".into(), m.images.to_string()));
        for key in own_keys.iter().filter(|key| !row.iter().any(|(k, _)| k == **key)).collect::<Vec<_>>() {
            let value = m.settings.iter().chain(&m.own).find(|(k, _)| k == *key);
            row.push(((*key).clone(), value.map_or(String::new(), |(_, v)| v.clone())));
        }
        row
    };
    let mut rows: Vec<Vec<(String, String)>> = measured.iter().map(one).collect();
    // Profiles that have a bit width each are told apart by it; a setting that never changes is no column.
    let same = |column: usize| rows.iter().all(|row| row[column].1 == rows[0][column].1);
    let widths: BTreeSet<&String> = rows.iter().map(|row| &row[1].1).collect();
    let profiles: BTreeSet<&String> = rows.iter().map(|row| &row[2].1).collect();
    let mut dropped: Vec<usize> =
        (1..rows.first().map_or(0, Vec::len)).filter(|column| *column > 2 && same(*column)).collect();
    dropped.extend(if widths.len() == profiles.len() { Some(2) } else { None });
    dropped.sort_unstable();
    for row in &mut rows {
        dropped.iter().rev().for_each(|column| drop(row.remove(*column)));
    }
    rows
}

/// The shift in force; a residual without one chooses its own for every layer of every chip.
fn shift(measured: &Measured) -> Cell {
    match (measured.profile.sram.shift, &measured.profile.sram.init) {
        (None, SramInit::Residual) => Cell::Text("chosen".into()),
        (shift, _) => Cell::Text(shift.unwrap_or(0).to_string()),
    }
}

/// The points of accuracy that chips have over those of the same number, so that what these share cancels. Where
/// hardware does not vary, one trial stands for all chips.
fn gains((own, varies): (&[Trial], bool), base: &[Trial]) -> Vec<f64> {
    let over = |own: &Trial, base: &Trial| own.accuracy() - base.accuracy();
    match (own, base) {
        ([own], base) if !varies => base.iter().map(|base| over(own, base)).collect(),
        (own, [base]) => own.iter().map(|own| over(own, base)).collect(),
        _ => {
            let of = |own: &Trial| Some(over(own, base.iter().find(|base| base.chip == own.chip)?));
            own.iter().filter_map(of).collect()
        }
    }
}

/// The points of the table, compared with the reference stage on the same hardware, settings and images.
pub(super) fn points(
    measured: &[Measured],
    nominal: &Nominal,
    (reference, acceptable): (&str, Option<f64>),
    model: &Model,
) -> Vec<Point> {
    let one = |(m, settings): (&Measured, Vec<(String, String)>)| {
        let trials: Vec<&Trial> = m.trials.iter().collect();
        let neurons = model.neurons_on(m.profile.system.ensemble);
        let mut point = Point::of_trials(settings, &trials, &neurons, &m.areas);
        let base = measured
            .iter()
            .find(|b| b.stage == reference && (b.hardware, &b.at, b.images) == (m.hardware, &m.at, m.images));
        let gains: Vec<f64> = base.map_or(vec![], |base| gains((&m.trials, m.profile.varies()), &base.trials));
        let gain = (!gains.is_empty()).then(|| summarise(&gains));
        let below = nominal.get(&(m.hardware, m.at.clone(), m.images)).map(|nominal| nominal - point.accuracy().mean);
        let sram = &m.profile.sram;
        let there = |cell: Cell| if sram.bits > 0 { cell } else { Cell::Nothing };
        let has_bytes = sram.bits > 0 || point.sram_bytes() > 0.0;
        let share = Cell::Number(100.0 * point.sram_bytes() / m.rram_bytes);
        let share = if has_bytes { share } else { Cell::Nothing };
        point.more.extend([
            ("sram_bits", there(Cell::Whole(sram.bits.into()))),
            ("sram_shift", there(shift(m))),
            ("sparsity_percent", m.sparsity.into()),
            ("share_of_rram_bytes_percent", share),
            ("points_regained", gain.map(|gain| gain.mean).into()),
            ("points_regained_ci95", gain.and_then(|gain| gain.ci95).into()),
            ("points_below_reference_without_variation", below.into()),
        ]);
        point.with_yield(acceptable)
    };
    measured.iter().zip(settings(measured)).map(one).collect()
}

/// The tables for reading, one for each number of images.
pub(super) fn tables(points: &[Point], measured: &[Measured]) -> Vec<RecoveryTable> {
    let images: BTreeSet<u64> = measured.iter().map(|m| m.images).collect();
    let chosen = |count: u64| points.iter().zip(measured).filter(move |(_, m)| m.images == count).collect::<Vec<_>>();
    images.into_iter().map(|count| table(count, &chosen(count))).collect()
}

fn table(images: u64, chosen: &[(&Point, &Measured)]) -> RecoveryTable {
    // Where all chips are the same, one stands for them.
    let chips = chosen.iter().map(|(point, _)| point.chips.len()).filter(|chips| *chips > 1);
    let chips = [chips.clone().min().unwrap_or(1), chips.max().unwrap_or(1)];
    let mut table = RecoveryTable { images, chips, ..RecoveryTable::default() };
    for (point, m) in chosen {
        let column = place(&mut table.columns, |at| *at == m.at, || m.at.clone());
        let head = head(point, m);
        let empty = || RecoveryLine {
            head: head.clone(),
            sram_bytes: 0.0,
            share_of_rram_bytes_percent: None,
            accuracies: vec![],
        };
        let at = place(&mut table.lines, |line| line.head == head, empty);
        let line = &mut table.lines[at];
        line.accuracies.resize(line.accuracies.len().max(column + 1), None);
        line.accuracies[column] = Some(recovered(point));
        line.sram_bytes = line.sram_bytes.max(point.sram_bytes());
        line.share_of_rram_bytes_percent = (m.rram_bytes > 0.0).then(|| 100.0 * line.sram_bytes / m.rram_bytes);
    }
    table
}

/// The place of one that is asked for, which is put behind the others where it is not there.
fn place<T>(all: &mut Vec<T>, is_it: impl FnMut(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    all.iter().position(is_it).unwrap_or_else(|| {
        all.push(new());
        all.len() - 1
    })
}

fn head(point: &Point, m: &Measured) -> RecoveryHead {
    // Bits and shift have columns of their own.
    let own = m.settings.iter().chain(&m.own).filter(|(key, _)| key != "sram.bits" && key != "sram.shift");
    RecoveryHead {
        rram_bits: m.profile.rram.weight_bits,
        stage: m.stage.clone(),
        settings: own.cloned().collect(),
        sram_bits: point.further("sram_bits"),
        sram_shift: point.further("sram_shift"),
        pruned_percent: m.sparsity.map(|percent| percent.round_ties_even() as i64),
    }
}

fn recovered(point: &Point) -> Recovered {
    let stats = point.accuracy();
    let points_regained = point.further("points_regained").parse().ok();
    Recovered { accuracy: stats.mean, ci95: stats.ci95, points_regained }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trial_of_hardware_that_does_not_vary_stands_for_all_chips() {
        let trial = |chip: u64, correct: u64| Trial { chip, correct, images: 100, ..Trial::default() };
        let (one, several) = ([trial(0, 80)], [trial(0, 60), trial(1, 70), trial(2, 77)]);
        assert_eq!(gains((&one, false), &several), [20.0, 10.0, 3.0]);
        assert_eq!(gains((&several, true), &one), [-20.0, -10.0, -3.0]);
        // A network of one chip's own is compared on that chip alone.
        assert_eq!(gains((&one, true), &several), [20.0]);
        assert_eq!(gains((&several[1..], true), &several), [0.0, 0.0]);
    }
}
