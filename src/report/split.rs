//! The parts of the answer's spikes, energy and area: bars by layer and by component.

use std::path::Path;

use super::figure::Figure;
use super::plot::{comparable, label, varying};
use super::summary::{CsvTable, StudySummary, SummaryPoint};
use super::svg::{Colour, LETTER, Sheet, Svg, shorten};
use crate::error::Result;
use crate::study::ANSWERED;
use crate::study::columns::{AREA, RATE};
use crate::study::table::{COMPONENTS_CSV, LAYERS_CSV};

/// Pixels for names beside their bars, and for numbers behind the longest bar.
const NAMES: f64 = 170.0;
const NUMBERS: f64 = 170.0;
/// Pixels of a bar, and of one whose words stand above it.
const ROW: [f64; 2] = [22.0, 36.0];
const HEAD: f64 = 30.0;

/// Bars of one kind.
struct Bars {
    title: &'static str,
    /// Names and numbers.
    bars: Vec<(String, f64)>,
    show: fn(f64) -> String,
    /// Whether they are parts of a whole.
    whole: bool,
}

/// Bars of a point.
pub(super) struct SplitFigure {
    label: String,
    groups: Vec<Bars>,
}

/// The split of the point of a folder that its answer takes, else of the best of those that are compared; none
/// where its tables have nothing of it.
pub(super) fn of(dir: &Path, summary: &StudySummary, taken: Option<&SummaryPoint>) -> Result<Option<SplitFigure>> {
    let all: Vec<&SummaryPoint> = summary.points.iter().collect();
    let (compared, _) = comparable(summary);
    // The answer of a search comes first, and the chip that it is compared to may be more accurate.
    let is_answer = summary.settings.first().is_some_and(|key| key == ANSWERED);
    let best = match is_answer {
        true => all.first().copied(),
        false => taken.or(compared.iter().rev().max_by(|a, b| a.mean.total_cmp(&b.mean)).copied()),
    };
    let Some(best) = best else { return Ok(None) };
    let read = |file: &str, name: &str, column: &str| -> Result<Vec<(String, f64)>> {
        let path = dir.join(file);
        let Some(mut table) = CsvTable::open(&path)? else { return Ok(vec![]) };
        // Tables of earlier versions lack some.
        let (name, Ok(column)) = (table.column(name)?, table.column(column)) else { return Ok(vec![]) };
        let settings = summary.settings.iter().map(|key| table.column(key)).collect::<Result<Vec<_>>>()?;
        let mut bars = Vec::new();
        while let Some((row, line)) = table.next()? {
            if settings.iter().zip(&best.cells).all(|(column, cell)| row[*column] == **cell)
                && let Some(number) = table.optional(&row, line, column, 1e30)?
            {
                bars.push((row[name].to_string(), number));
            }
        }
        Ok(bars)
    };
    let energy = |pj: f64| format!("{:.4} µJ", pj * 1e-6);
    let area = |mm2: f64| format!("{mm2:.4} mm²");
    let sorted = |mut bars: Vec<(String, f64)>| {
        bars.retain(|(_, number)| *number > 0.0);
        bars.sort_by(|a, b| b.1.total_cmp(&a.1));
        bars
    };
    let components = sorted(read(COMPONENTS_CSV, "component", "energy_pj_per_image")?);
    let areas = sorted(read(COMPONENTS_CSV, "component", AREA)?);
    let groups = [
        Bars {
            title: "Spikes of an image, by layer",
            bars: read(LAYERS_CSV, "layer", "spikes_per_image")?,
            show: |spikes| format!("{spikes:.0}"),
            whole: true,
        },
        Bars {
            title: "Spikes of a neuron and step, by layer",
            bars: read(LAYERS_CSV, "layer", RATE)?,
            show: |rate| format!("{rate:.4}"),
            whole: false,
        },
        Bars {
            title: "Energy of an image, by layer",
            bars: read(LAYERS_CSV, "layer", "energy_pj_per_image")?,
            show: energy,
            whole: true,
        },
        Bars { title: "Energy of an image, by component", bars: components, show: energy, whole: true },
        Bars { title: "Area of a chip, by layer", bars: read(LAYERS_CSV, "layer", AREA)?, show: area, whole: true },
        Bars { title: "Area of a chip, by component", bars: areas, show: area, whole: true },
    ];
    let groups: Vec<Bars> = groups.into_iter().filter(|group| group.bars.iter().any(|(_, n)| *n > 0.0)).collect();
    Ok((!groups.is_empty()).then(|| SplitFigure { label: label(summary, &varying(summary, &all), best), groups }))
}

impl SplitFigure {
    fn draw(&self, sheet: Sheet) -> String {
        let rows = self.groups.iter().map(|group| group.bars.len()).sum::<usize>() as f64;
        let above = sheet.is_narrow();
        let row = ROW[usize::from(above)];
        let [left, right] = if above { [10.0, sheet.width() - 10.0] } else { [NAMES, sheet.width() - NUMBERS] };
        let mut svg = Svg::new(sheet, rows * row + self.groups.len() as f64 * HEAD + 10.0);
        let mut top = 0.0;
        for Bars { title, bars, show, whole } in &self.groups {
            svg.text([10.0, top + HEAD - 10.0], "start", Colour::Text, title, "font-weight=\"bold\"");
            top += HEAD;
            let most = bars.iter().map(|(_, number)| *number).fold(f64::MIN_POSITIVE, f64::max);
            let sum: f64 = bars.iter().map(|(_, number)| number).sum();
            for (name, number) in bars {
                let length = ((right - left) * number / most).max(0.5);
                let share = if *whole { format!(" ({:.1} %)", 100.0 * number / sum) } else { String::new() };
                let words = show(*number) + &share;
                let room = if above { right - left - (words.chars().count() + 2) as f64 * LETTER } else { left - 20.0 };
                let name = shorten(&name.replace('_', " "), (room / LETTER) as usize);
                if above {
                    svg.text([left, top + 13.0], "start", Colour::Muted, &name, "");
                    svg.text([right, top + 13.0], "end", Colour::Text, &words, "");
                    svg.cell([left, top + 18.0], [length, 12.0], 1.0);
                } else {
                    let middle = top + row / 2.0 + 4.5;
                    svg.text([left - 10.0, middle], "end", Colour::Muted, &name, "");
                    svg.text([left + length + 8.0, middle], "start", Colour::Text, &words, "");
                    svg.cell([left, top + 3.0], [length, row - 6.0], 1.0);
                }
                top += row;
            }
        }
        let groups = self.groups.iter().map(|group| group.title.to_lowercase()).collect::<Vec<_>>().join("; ");
        svg.finish_as("split", "Spikes, energy and area of the answer", &groups)
    }

    /// The bars with what they are of.
    pub fn figure(&self) -> Figure {
        let at = if self.label.is_empty() { String::new() } else { format!(" at the answer, {}", self.label) };
        let has = |what: &str| self.groups.iter().any(|group| group.title.starts_with(what));
        let (what, files) = match (has("Energy"), has("Area")) {
            (true, true) => ("spikes, energy and area are", format!("{LAYERS_CSV} and {COMPONENTS_CSV}")),
            (true, false) => ("spikes and energy are", format!("{LAYERS_CSV} and {COMPONENTS_CSV}")),
            (false, true) => {
                ("spikes and area are", format!("{LAYERS_CSV} and {COMPONENTS_CSV}; the profile has no energies"))
            }
            (false, false) => ("spikes are", format!("{LAYERS_CSV}; the profile has no energies")),
        };
        let caption = format!("Where {what}{at}. All points are in {files}.");
        Figure::of("split", |sheet| self.draw(sheet), caption)
    }
}
