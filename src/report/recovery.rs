//! The recovery table of a recipe: rows that the recipe fills and stores, their Markdown, and their part of the page.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::listing::{self, Column};
use super::svg::escape;
use crate::error::{Error, Result};

/// The file of the tables' rows.
pub const RECOVERY_ROWS: &str = "recovery.json";
/// The file of the tables for reading.
pub const RECOVERY: &str = "recovery.md";

/// Columns before those of accuracies.
const HEADS: [&str; 7] = ["RRAM bits", "stage", "SRAM bits", "shift", "pruned, %", "SRAM bytes", "of RRAM's, %"];
/// The place of the only one of them that is text.
const STAGE: usize = 1;
/// The places of the others, as the page shows them: what a stage takes first.
const COSTS: [usize; 6] = [5, 6, 2, 3, 4, 0];

/// Keys with their values.
pub type Settings = Vec<(String, String)>;

/// The stages of a recipe on so many images: a line a stage, a column for each of the settings that `[evaluate]` gives.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RecoveryTable {
    /// The images of each point.
    pub images: u64,
    /// The fewest chips of a point and the most, where chips differ; both 1 where none do.
    pub chips: [usize; 2],
    /// The settings of each column of accuracies.
    pub columns: Vec<Settings>,
    /// A line a stage and combination of its own settings.
    pub lines: Vec<RecoveryLine>,
}

/// A stage with one combination of its own settings.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RecoveryLine {
    /// The stage and the settings of this line alone.
    pub head: RecoveryHead,
    /// Bytes of the companion arrays, the most of all columns: a residual without variation is empty.
    pub sram_bytes: f64,
    /// Bytes of the companion arrays in percent of the RRAM's; none where nothing stands on RRAM.
    pub share_of_rram_bytes_percent: Option<f64>,
    /// The accuracy at the settings of each column; none where the stage was not evaluated there.
    pub accuracies: Vec<Option<Recovered>>,
}

/// The stage and the settings by which the lines of a table differ.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RecoveryHead {
    /// Bits of a weight on RRAM.
    pub rram_bits: u32,
    /// The stage's name.
    pub stage: String,
    /// The stage's own settings, but for those of the companion array that have a column.
    pub settings: Settings,
    /// Bits of an element of the companion arrays; empty without any.
    pub sram_bits: String,
    /// The shift of the companion arrays, or `chosen` where each layer chose its own; empty without any.
    pub sram_shift: String,
    /// Elements that were pruned, in whole percent; none where nothing is.
    pub pruned_percent: Option<i64>,
}

/// The accuracy of a stage at one setting.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Recovered {
    /// The mean over chips, in percent.
    pub accuracy: f64,
    /// Half of its 95 % interval over chips, where there are several.
    pub ci95: Option<f64>,
    /// Points above the reference stage on the same chips, where it was evaluated there.
    pub points_regained: Option<f64>,
}

impl RecoveryTable {
    /// The title: images, and chips of a point.
    fn title(&self) -> String {
        let [least, most] = self.chips;
        let chips = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let s = if most == 1 { "" } else { "s" };
        format!("{} images, {chips} chip{s} a point", self.images)
    }

    /// The heads of all columns.
    fn heads(&self) -> Vec<String> {
        let value = |at: &Settings, key: &str| at.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
        let varies = |key: &str| self.columns.iter().any(|at| value(at, key) != value(&self.columns[0], key));
        let short = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        let head = |at: &Settings| {
            let named = at.iter().filter(|(key, _)| varies(key)).map(|(key, value)| format!("{} {value}", short(key)));
            let named: Vec<String> = named.collect();
            if named.is_empty() { "accuracy, %".to_owned() } else { named.join(", ") }
        };
        HEADS.iter().map(|head| (*head).to_owned()).chain(self.columns.iter().map(head)).collect()
    }

    /// The cells of each line, below the [heads](Self::heads).
    fn rows(&self) -> Vec<Vec<String>> {
        let row = |line: &RecoveryLine| {
            let accuracies = (0..self.columns.len())
                .map(|column| line.accuracies.get(column).copied().flatten().map_or(String::new(), Recovered::text));
            line.cells().into_iter().chain(accuracies).collect()
        };
        self.lines.iter().map(row).collect()
    }
}

impl RecoveryLine {
    /// The cells before those of accuracies.
    fn cells(&self) -> [String; HEADS.len()] {
        let head = &self.head;
        let own: String = head.settings.iter().map(|(key, value)| format!(", {key} = {value}")).collect();
        let has_bytes = !head.sram_bits.is_empty() || self.sram_bytes != 0.0;
        let cost = |value: f64| if has_bytes { format!("{value:.0}") } else { String::new() };
        [
            head.rram_bits.to_string(),
            format!("{}{own}", head.stage),
            head.sram_bits.clone(),
            head.sram_shift.clone(),
            head.pruned_percent.map_or(String::new(), |percent| percent.to_string()),
            cost(self.sram_bytes),
            self.share_of_rram_bytes_percent.map_or(String::new(), cost),
        ]
    }
}

impl Recovered {
    /// Accuracy, its interval, and the points regained.
    fn text(self) -> String {
        let interval = self.ci95.map_or(String::new(), |half| format!(" ± {half:.1}"));
        let regained = match self.points_regained {
            Some(gain) if gain >= 0.05 => format!(" (+{gain:.1})"),
            Some(gain) if gain <= -0.05 => format!(" (−{:.1})", -gain),
            _ => String::new(),
        };
        format!("{:.1}{interval}{regained}", self.accuracy)
    }
}

/// The tables in Markdown, one below the other.
pub fn markdown(tables: &[RecoveryTable]) -> String {
    let one = |table: &RecoveryTable| {
        let heads = table.heads();
        let mut text =
            format!("{}:\n\n| {} |\n|---:|---|{}\n", table.title(), heads.join(" | "), "---:|".repeat(heads.len() - 2));
        for row in table.rows() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    };
    tables.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// The tables of a folder as HTML, each under its title; nothing where there are none.
///
/// # Errors
/// [`Error::File`] where a file is there and holds something else.
pub(super) fn html(dir: &Path) -> Result<String> {
    let path = dir.join(RECOVERY_ROWS);
    let Some(text) = super::read_if_there(&path)? else { return Ok(String::new()) };
    let tables: Vec<RecoveryTable> = serde_json::from_str(&text)
        .map_err(|error| Error::file(&path, format!("expected the tables of a recipe: {error}")))?;
    Ok(tables.iter().map(section).collect())
}

/// A table on the page: stages and what they reached first, then what that took, as far as lines differ in it; what all
/// lines share is said once.
fn section(table: &RecoveryTable) -> String {
    let (heads, rows) = (table.heads(), table.rows());
    let cells = |place: usize| rows.iter().map(move |row| row[place].as_str());
    let differs = |place: usize| rows.len() == 1 || cells(place).any(|cell| cell != rows[0][place]);
    let column = |place: usize| Column {
        title: heads[place].clone(),
        // A value keeps its interval beside it.
        cells: cells(place).map(|cell| cell.replace(" ± ", "\u{a0}±\u{a0}")).collect(),
        is_number: place != STAGE,
    };
    let shown = [STAGE].into_iter().chain(HEADS.len()..heads.len());
    let shown = shown.chain(COSTS.into_iter().filter(|place| differs(*place)));
    let columns: Vec<Column> = shown.map(column).collect();
    let same = COSTS.into_iter().filter(|place| !rows.is_empty() && !differs(*place) && !rows[0][*place].is_empty());
    let same: Vec<String> =
        same.map(|place| format!("{}: {}", escape(&heads[place]), escape(&rows[0][place]))).collect();
    let about = if same.is_empty() { String::new() } else { format!("The same at all: {}.", same.join("; ")) };
    format!("<h2>{}</h2>\n{}", escape(&table.title()), listing::html("Recovery", &about, &columns, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stages at two strengths of variation, the second evaluated at one of them.
    fn table() -> RecoveryTable {
        let at = |scale: &str| vec![("rram.variation.scale".to_owned(), scale.to_owned()), ("seed".into(), "1".into())];
        let head = |stage: &str, sram_bits: &str| RecoveryHead {
            rram_bits: 4,
            stage: stage.into(),
            settings: vec![("sram.threshold".into(), "0.5".into())],
            sram_bits: sram_bits.into(),
            sram_shift: String::new(),
            pruned_percent: None,
        };
        let reached = |accuracy, ci95, gain| Some(Recovered { accuracy, ci95, points_regained: gain });
        let line = |head, bytes, accuracies| RecoveryLine {
            head,
            sram_bytes: bytes,
            share_of_rram_bytes_percent: (bytes > 0.0).then_some(bytes / 4.0),
            accuracies,
        };
        RecoveryTable {
            images: 7,
            chips: [1, 2],
            columns: vec![at("0.0"), at("2.0")],
            lines: vec![
                line(
                    head("plain", ""),
                    0.0,
                    vec![reached(90.04, None, Some(0.0)), reached(50.0, Some(2.25), Some(0.0))],
                ),
                line(head("<mended>", "2"), 100.0, vec![None, reached(70.0, Some(1.0), Some(20.0))]),
            ],
        }
    }

    #[test]
    fn a_table_reads_the_same_on_the_page_and_in_markdown() {
        let expected = "7 images, 1 to 2 chips a point:\n\n\
            | RRAM bits | stage | SRAM bits | shift | pruned, % | SRAM bytes | of RRAM's, % | scale 0.0 | scale 2.0 |\n\
            |---:|---|---:|---:|---:|---:|---:|---:|---:|\n\
            | 4 | plain, sram.threshold = 0.5 |  |  |  |  |  | 90.0 | 50.0 ± 2.2 |\n\
            | 4 | <mended>, sram.threshold = 0.5 | 2 |  |  | 100 | 25 |  | 70.0 ± 1.0 (+20.0) |\n";
        assert_eq!(markdown(&[table()]), expected);
        let html = section(&table());
        for cell in [
            "<h2>7 images, 1 to 2 chips a point</h2>",
            "&lt;mended&gt;",
            "70.0\u{a0}±\u{a0}1.0 (+20.0)",
            "scale 2.0</th>",
            "The same at all: RRAM bits: 4.",
        ] {
            assert!(html.contains(cell), "{cell}: {html}");
        }
        // What was reached stands before what it took, and a column without a word is none.
        let places = [">stage<", ">scale 0.0<", ">scale 2.0<", ">SRAM bytes<"].map(|head| html.find(head).unwrap());
        assert!(places.is_sorted() && !html.contains("pruned"), "{html}");
    }

    #[test]
    fn rows_are_read_back_as_they_were() {
        let text = serde_json::to_string(&[table()]).unwrap();
        assert_eq!(serde_json::from_str::<Vec<RecoveryTable>>(&text).unwrap(), [table()]);
    }
}
