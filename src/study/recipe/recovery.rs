//! The recovery table: what each stage wins back of what variation costs, and what it costs in SRAM.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::run::{Measured, Nominal};
use crate::network::Model;
use crate::numeric::stats::summarise;
use crate::profile::SramInit;
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

/// The tables for reading, one for each number of images: a line a stage, a column for each of the settings that
/// `[evaluate]` gives.
pub(super) fn markdown(points: &[Point], measured: &[Measured]) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut images: Vec<u64> = measured.iter().map(|m| m.images).collect();
    images.sort_unstable();
    images.dedup();
    for count in images {
        let chosen: Vec<(&Point, &Measured)> = points.iter().zip(measured).filter(|(_, m)| m.images == count).collect();
        // Where all chips are the same, one stands for them.
        let chips = chosen.iter().map(|(point, _)| point.chips.len()).filter(|chips| *chips > 1);
        let (least, most) = (chips.clone().min().unwrap_or(1), chips.max().unwrap_or(1));
        let chips = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let s = if most == 1 { "" } else { "s" };
        texts.push(format!("{count} images, {chips} chip{s} a point:\n\n{}", table(&chosen)));
    }
    texts.join("\n")
}

/// One line of the table.
struct Line {
    head: [String; 5],
    cells: Vec<String>,
    sram_bytes: f64,
    share: f64,
}

fn table(chosen: &[(&Point, &Measured)]) -> String {
    let mut columns: Vec<&[(String, String)]> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    for (point, m) in chosen {
        let column = columns.iter().position(|at| *at == m.at).unwrap_or_else(|| {
            columns.push(&m.at);
            columns.len() - 1
        });
        // Bits and shift have columns of their own.
        let own = m.settings.iter().chain(&m.own).filter(|(key, _)| key != "sram.bits" && key != "sram.shift");
        let own = own.map(|(key, value)| format!(", {key} = {value}")).collect::<String>();
        let head = [
            m.profile.rram.weight_bits.to_string(),
            format!("{}{own}", m.stage),
            point.further("sram_bits"),
            point.further("sram_shift"),
            m.sparsity.map_or(String::new(), |sparsity| format!("{sparsity:.0}")),
        ];
        let at = lines.iter().position(|line| line.head == head).unwrap_or_else(|| {
            lines.push(Line { head, cells: vec![], sram_bytes: 0.0, share: 0.0 });
            lines.len() - 1
        });
        let line = &mut lines[at];
        line.cells.resize(line.cells.len().max(column + 1), String::new());
        line.cells[column] = cell(point);
        // The most of all columns: a residual without variation is empty.
        line.sram_bytes = line.sram_bytes.max(point.sram_bytes());
        line.share = 100.0 * line.sram_bytes / m.rram_bytes;
    }
    let varies = |key: &str| {
        let value = |at: &[(String, String)]| at.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        columns.iter().any(|at| value(at) != value(columns[0]))
    };
    let mut text = "| RRAM bits | stage | SRAM bits | shift | pruned, % | SRAM bytes | of RRAM's, % |".to_owned();
    for at in &columns {
        let short = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        let named = at.iter().filter(|(key, _)| varies(key)).map(|(key, value)| format!("{} {value}", short(key)));
        let named: Vec<String> = named.collect();
        let _ = write!(text, " {} |", if named.is_empty() { "accuracy, %".into() } else { named.join(", ") });
    }
    let _ = write!(text, "\n|---:|---|{}\n", "---:|".repeat(5 + columns.len()));
    for line in &lines {
        let cost = match line.head[2].as_str() {
            "" if line.sram_bytes == 0.0 => " | ".to_owned(),
            _ => format!("{:.0} | {:.0}", line.sram_bytes, line.share),
        };
        let _ = write!(text, "| {} | {cost} |", line.head.join(" | "));
        for column in 0..columns.len() {
            let _ = write!(text, " {} |", line.cells.get(column).map_or("", String::as_str));
        }
        text.push('\n');
    }
    text
}

/// Accuracy, its 95 % interval over chips, and the points regained.
fn cell(point: &Point) -> String {
    let stats = point.accuracy();
    let spread = stats.ci95.map_or(String::new(), |ci| format!(" ± {ci:.1}"));
    let regained = match point.further("points_regained").parse::<f64>() {
        Ok(gain) if gain >= 0.05 => format!(" (+{gain:.1})"),
        Ok(gain) if gain <= -0.05 => format!(" (−{:.1})", -gain),
        _ => String::new(),
    };
    format!("{:.1}{spread}{regained}", stats.mean)
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
