//! The recovery table: what each stage wins back of what variation costs, and what it costs in SRAM.

use std::collections::BTreeSet;

use super::run::{MeasuredPoint, Nominal};
use crate::network::Model;
use crate::numeric::stats::summarise;
use crate::profile::{Scheme, SramInit};
use crate::report::recovery::{Recovered, RecoveryHead, RecoveryLine, RecoveryTable, Settings, covers};
use crate::study::cell::TableValue;
use crate::study::columns::{AREA, YIELD};
use crate::study::point::Point;
use crate::study::trial::Trial;

/// The place of the stage in a row of settings.
const STAGE: usize = 0;
/// The place of the bits of a weight on RRAM.
const BITS: usize = 1;
/// The place of the profile's name.
const PROFILE: usize = 2;

/// The settings that tell a point apart; each stands in a column where it differs anywhere.
fn settings(measured: &[MeasuredPoint]) -> Vec<Settings> {
    let mut common: Vec<&String> = vec![];
    for (key, _) in measured.iter().flat_map(|m| &m.at) {
        place(&mut common, |known| *known == key, || key);
    }
    let own: BTreeSet<&String> =
        measured.iter().flat_map(|m| m.settings.iter().chain(&m.own)).map(|(key, _)| key).collect();
    let own: Vec<&String> = own.into_iter().filter(|key| !common.contains(key)).collect();
    let one = |m: &MeasuredPoint| {
        let heads = [
            ("stage".into(), m.stage.clone()),
            ("rram.weight_bits".into(), m.profile.rram.weight_bits.to_string()),
            ("profile".into(), m.profile.name.clone()),
        ];
        let common = common.iter().map(|key| setting(key, m.at.iter()));
        let own = own.iter().map(|key| setting(key, m.settings.iter().chain(&m.own)));
        heads.into_iter().chain(common).chain([("images".into(), m.images.to_string())]).chain(own).collect()
    };
    let mut rows: Vec<Settings> = measured.iter().map(one).collect();
    let cell = |row: &Settings, column: usize| row[column].1.clone();
    let same = |column: usize| rows.iter().all(|row| cell(row, column) == cell(&rows[0], column));
    let told_by = |by: usize, column: usize| {
        let pairs: BTreeSet<[String; 2]> = rows.iter().map(|row| [cell(row, by), cell(row, column)]).collect();
        pairs.len() == rows.iter().map(|row| cell(row, by)).collect::<BTreeSet<_>>().len()
    };
    let is_idle = |column: usize| match column {
        STAGE => false,
        // One width of all stages is worth a column: it says what the chip is.
        BITS => !same(BITS) && told_by(STAGE, BITS),
        // Profiles that have a bit width each are told apart by it.
        PROFILE => told_by(BITS, PROFILE),
        column => same(column),
    };
    let dropped: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).filter(|column| is_idle(*column)).collect();
    for row in &mut rows {
        dropped.iter().rev().for_each(|column| drop(row.remove(*column)));
    }
    rows
}

/// A key with its value among some; empty where it has none there.
fn setting<'a>(key: &str, mut settings: impl Iterator<Item = &'a (String, String)>) -> (String, String) {
    let value = settings.find(|(known, _)| known == key).map_or(String::new(), |(_, value)| value.clone());
    (key.to_owned(), value)
}

/// The one with the most settings; of equals the first.
fn most_settings<'a, T>(mut all: impl Iterator<Item = &'a T>, at: impl Fn(&T) -> &Settings) -> Option<&'a T> {
    let first = all.next()?;
    Some(all.fold(first, |most, other| if at(other).len() > at(most).len() { other } else { most }))
}

/// The shift in force; a residual without one chooses its own for every layer of every chip.
fn shift(measured: &MeasuredPoint) -> TableValue {
    match (measured.profile.sram.shift, &measured.profile.sram.init) {
        (None, SramInit::Residual) => TableValue::Text("chosen".into()),
        (shift, _) => TableValue::Text(shift.unwrap_or(0).to_string()),
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
    measured: &[MeasuredPoint],
    nominal: &Nominal,
    (reference, acceptable): (&str, Option<f64>),
    model: &Model,
) -> Vec<Point> {
    let one = |(m, settings): (&MeasuredPoint, Vec<(String, String)>)| {
        let trials: Vec<&Trial> = m.trials.iter().collect();
        let neurons = model.neurons_on(m.profile.system.ensemble);
        let mut point = Point::of_trials(settings, &trials, &neurons, &m.areas);
        // A reference on which a key of `[evaluate]` has no effect stands for all values of it.
        let is_beside = |hardware: usize, at: &Settings, images: u64| {
            (hardware, images) == (m.hardware, m.images) && covers(&m.at, at)
        };
        let beside = measured.iter().filter(|b| b.stage == reference && is_beside(b.hardware, &b.at, b.images));
        let base = most_settings(beside, |b| &b.at);
        let gains: Vec<f64> = base.map_or(vec![], |base| gains((&m.trials, m.profile.varies()), &base.trials));
        let gain = (!gains.is_empty()).then(|| summarise(&gains));
        let nominal = nominal.iter().filter(|((hardware, at, images), _)| is_beside(*hardware, at, *images));
        let nominal = most_settings(nominal, |((_, at, _), _)| at);
        let below = nominal.map(|(_, nominal)| nominal - point.accuracy().mean);
        let sram = &m.profile.sram;
        let there = |cell: TableValue| if sram.bits > 0 { cell } else { TableValue::Nothing };
        let has_bytes = sram.bits > 0 || point.sram_bytes() > 0.0;
        let share = m.share(point.sram_bytes()).filter(|_| has_bytes);
        point.more.extend([
            ("sram_bits", there(TableValue::Whole(sram.bits.into()))),
            ("sram_shift", there(shift(m))),
            ("sparsity_percent", m.sparsity.into()),
            ("share_of_rram_bytes_percent", share.into()),
            ("points_regained", gain.map(|gain| gain.mean).into()),
            ("points_regained_ci95", gain.and_then(|gain| gain.ci95).into()),
            ("points_below_reference_without_variation", below.into()),
        ]);
        point.with_yield(acceptable)
    };
    measured.iter().zip(settings(measured)).map(one).collect()
}

/// The tables for reading, one for each number of images.
pub(super) fn tables(points: &[Point], measured: &[MeasuredPoint], reference: &str) -> Vec<RecoveryTable> {
    let images: BTreeSet<u64> = measured.iter().map(|m| m.images).collect();
    let chosen = |count: u64| points.iter().zip(measured).filter(move |(_, m)| m.images == count).collect::<Vec<_>>();
    let table = |count| RecoveryTable { reference: reference.into(), ..table(count, &chosen(count)) };
    images.into_iter().map(table).collect()
}

fn table(images: u64, chosen: &[(&Point, &MeasuredPoint)]) -> RecoveryTable {
    // Where all chips are the same, one stands for them.
    let chips = chosen.iter().map(|(point, _)| point.chips.len()).filter(|chips| *chips > 1);
    let chips = [chips.clone().min().unwrap_or(1), chips.max().unwrap_or(1)];
    let mut table = RecoveryTable { images, chips, ..RecoveryTable::default() };
    let bits: BTreeSet<u32> = chosen.iter().map(|(_, m)| m.profile.rram.weight_bits).collect();
    let widths = chosen.iter().map(|(_, m)| (m.hardware, m.profile.rram.weight_bits)).collect::<BTreeSet<_>>();
    let is_profile_named = widths.len() > bits.len();
    for (point, m) in chosen {
        let column = place(&mut table.columns, |at| *at == m.at, || m.at.clone());
        let head = head(m, is_profile_named);
        let empty = || RecoveryLine {
            head: head.clone(),
            sram_bytes: 0.0,
            share_of_rram_bytes_percent: None,
            energy_pj_per_image: None,
            area_mm2: None,
            accuracies: vec![],
        };
        let at = place(&mut table.lines, |line| line.head == head, empty);
        let line = &mut table.lines[at];
        line.accuracies.resize(line.accuracies.len().max(column + 1), None);
        line.accuracies[column] = Some(recovered(point));
        line.sram_bytes = line.sram_bytes.max(point.sram_bytes());
        line.energy_pj_per_image = line.energy_pj_per_image.into_iter().chain(point.energy_pj()).reduce(f64::max);
        line.area_mm2 = point.number(AREA);
        line.share_of_rram_bytes_percent = m.share(line.sram_bytes);
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

/// The head of a point's line; with the profile's name where bits do not tell profiles apart.
fn head(m: &MeasuredPoint, is_profile_named: bool) -> RecoveryHead {
    let profile = is_profile_named.then(|| ("profile".to_owned(), m.profile.name.clone()));
    // Bits and shift have columns of their own.
    let own = m.settings.iter().chain(&m.own).filter(|(key, _)| key != "sram.bits" && key != "sram.shift");
    let has_sram = m.profile.sram.bits > 0;
    RecoveryHead {
        rram_bits: (m.profile.rram.effective_scheme() != Scheme::Float).then_some(m.profile.rram.weight_bits),
        stage: m.stage.clone(),
        settings: profile.into_iter().chain(own.cloned()).collect(),
        sram_bits: if has_sram { m.profile.sram.bits.to_string() } else { String::new() },
        sram_shift: if has_sram { shift(m).text() } else { String::new() },
        pruned_percent: m.sparsity.map(|percent| percent.round_ties_even() as i64),
    }
}

fn recovered(point: &Point) -> Recovered {
    let stats = point.accuracy();
    let [points_regained, yield_percent] = ["points_regained", YIELD].map(|key| point.number(key));
    Recovered { accuracy: stats.mean, ci95: stats.ci95, points_regained, yield_percent }
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
