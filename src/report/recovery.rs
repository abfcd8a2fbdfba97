//! The recovery table of a recipe: rows that the recipe fills and stores, their Markdown, and their part of the page.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::listing::{self, ListedColumn};
use super::svg::escape;
use crate::error::{Error, Result};

/// The file of the tables' rows.
pub const RECOVERY_ROWS: &str = "recovery.json";
/// The file of the tables for reading.
pub const RECOVERY: &str = "recovery.md";

/// Columns before those of accuracies.
const HEADS: [&str; 9] =
    ["RRAM bits", "stage", "SRAM bits", "shift", "pruned, %", "SRAM bytes", "of RRAM's, %", "µJ/image", "mm²"];
/// Points of accuracy from which a gain shows.
const SEEN: f64 = 0.05;
/// The head of the accuracies of one setting.
const ACCURACY: &str = "accuracy, %";
/// The column of the stage among [`HEADS`], the only one that is text.
const STAGE: usize = 1;
/// The other columns of [`HEADS`] in the order in which the page shows them: costs first.
const COSTS: [usize; 8] = [5, 6, 7, 8, 2, 3, 4, 0];

/// The most columns of accuracies beside each other; more settings stand below each other.
const WIDEST: usize = 8;

/// Keys with their values.
pub type Settings = Vec<(String, String)>;

/// Whether everything that is set at `other` is so at `at`.
pub fn covers(at: &Settings, other: &Settings) -> bool {
    other.iter().all(|setting| at.contains(setting))
}

/// The stages of a recipe on so many images: a line a stage, a column for each of the settings that `[evaluate]` gives,
/// and one with fewer keys for stages on which the others have no effect.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RecoveryTable {
    /// The images of each point.
    pub images: u64,
    /// The stage that others are compared with.
    #[serde(default)]
    pub reference: String,
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
    /// Picojoule of an image, the most of all columns; none where the profile has no energies.
    pub energy_pj_per_image: Option<f64>,
    /// The area of a chip in square millimetres; none where the profile has no areas.
    pub area_mm2: Option<f64>,
    /// The accuracy at the settings of each column; none where the stage was not evaluated there.
    pub accuracies: Vec<Option<Recovered>>,
}

/// The stage and the settings by which the lines of a table differ.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RecoveryHead {
    /// Bits of a weight on RRAM; none where weights are not quantised.
    pub rram_bits: Option<u32>,
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
    /// The share of chips whose accuracy is acceptable, in percent, where the recipe says what is.
    pub yield_percent: Option<f64>,
}

impl RecoveryTable {
    /// The title: images, and chips of a point.
    fn title(&self) -> String {
        let [least, most] = self.chips;
        let chips = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let s = if most == 1 { "" } else { "s" };
        format!("{} images, {chips} chip{s} a point", self.images)
    }

    /// How to read the cells.
    fn legend(&self) -> String {
        let reached = self.lines.iter().flat_map(|line| line.accuracies.iter().flatten());
        let [mut interval, mut gain, mut passing] = [false; 3];
        for one in reached {
            interval |= one.ci95.is_some();
            gain |= one.points_regained.is_some_and(|gain| gain.abs() >= SEEN);
            passing |= one.yield_percent.is_some();
        }
        let mut said = vec!["Accuracy in percent".to_owned()];
        said.extend(interval.then(|| "± the 95 % interval of its mean over chips".to_owned()));
        said.extend(gain.then(|| format!("in brackets points above “{}” on the same chips", self.reference)));
        said.extend(passing.then(|| "then the share of chips that pass".to_owned()));
        let costs = [
            self.lines.iter().any(|line| line.sram_bytes > 0.0).then_some("bytes of SRAM"),
            self.lines.iter().any(|line| line.energy_pj_per_image.is_some()).then_some("energy"),
        ];
        let costs: Vec<&str> = costs.into_iter().flatten().collect();
        let most = if costs.is_empty() { "" } else { " are the most of any setting in the line" };
        let sign = if costs.is_empty() { "" } else { "; " };
        format!("{}{sign}{}{most}.", said.join(", "), costs.join(" and "))
    }

    /// The columns whose keys no other has all of, with more: those that stand beside each other.
    fn beside(&self) -> Vec<&Settings> {
        let is_within = |at: &Settings| self.columns.iter().any(|other| other.len() > at.len() && covers(other, at));
        self.columns.iter().filter(|at| !is_within(at)).collect()
    }

    /// The keys that tell columns apart, in the order of the recipe.
    fn keys(&self) -> Vec<&str> {
        let shown = self.beside();
        let mut keys: Vec<&str> = vec![];
        for (key, _) in shown.iter().copied().flatten() {
            let varies = shown.iter().any(|at| value(at, key) != value(shown[0], key));
            if varies && !keys.contains(&key.as_str()) {
                keys.push(key);
            }
        }
        keys
    }

    /// Heads and rows: an accuracy a column, or where these are many, settings in columns and a row for each.
    fn cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let heads = HEADS.map(String::from).into_iter();
        let (keys, beside) = (self.keys(), self.beside());
        if beside.len() > WIDEST {
            let heads = heads.chain(keys.iter().map(|key| short(key, &keys).to_owned())).chain([ACCURACY.to_owned()]);
            let row = |line: &RecoveryLine, at: &Settings, reached: &Recovered| {
                let values = keys.iter().map(|key| value(at, key).unwrap_or_default().to_owned());
                line.cells().into_iter().chain(values).chain([reached.text()]).collect()
            };
            let of_line = |line: &RecoveryLine| -> Vec<Vec<String>> {
                let there = self.columns.iter().zip(&line.accuracies);
                there.filter_map(|(at, reached)| Some(row(line, at, reached.as_ref()?))).collect()
            };
            return (heads.collect(), self.lines.iter().flat_map(of_line).collect());
        }
        let head = |at: &&Settings| {
            let named = keys.iter().filter_map(|key| Some(format!("{} {}", short(key, &keys), value(at, key)?)));
            let named: Vec<String> = named.collect();
            if named.is_empty() { ACCURACY.to_owned() } else { named.join(", ") }
        };
        let row = |line: &RecoveryLine| {
            let accuracies = beside.iter().map(|at| line.at(&self.columns, at).map_or(String::new(), Recovered::text));
            line.cells().into_iter().chain(accuracies).collect()
        };
        (heads.chain(beside.iter().map(head)).collect(), self.lines.iter().map(row).collect())
    }
}

/// The value of a key among settings.
fn value<'a>(at: &'a Settings, key: &str) -> Option<&'a str> {
    at.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

/// A key without its sections, where no other of the keys ends likewise.
fn short<'a>(key: &'a str, keys: &[&str]) -> &'a str {
    let last = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let is_alone = keys.iter().filter(|other| other.rsplit('.').next() == Some(last(key))).count() == 1;
    if is_alone { last(key) } else { key }
}

impl RecoveryLine {
    /// The accuracy at some settings, or where keys of them have no effect, at the others.
    fn at(&self, columns: &[Settings], at: &Settings) -> Option<Recovered> {
        let there = columns.iter().zip(&self.accuracies).filter(|(own, _)| covers(at, own));
        let there = there.filter_map(|(own, reached)| Some((own, (*reached)?)));
        there.max_by_key(|(own, _)| own.len()).map(|(_, reached)| reached)
    }

    /// The cells before those of accuracies.
    fn cells(&self) -> [String; HEADS.len()] {
        let head = &self.head;
        let own: String = head.settings.iter().map(|(key, value)| format!(", {key} = {value}")).collect();
        let has_bytes = !head.sram_bits.is_empty() || self.sram_bytes != 0.0;
        let cost = |value: f64| if has_bytes { format!("{value:.0}") } else { String::new() };
        [
            head.rram_bits.map_or("float".into(), |bits| bits.to_string()),
            format!("{}{own}", head.stage),
            head.sram_bits.clone(),
            head.sram_shift.clone(),
            head.pruned_percent.map_or(String::new(), |percent| percent.to_string()),
            cost(self.sram_bytes),
            self.share_of_rram_bytes_percent.map_or(String::new(), cost),
            self.energy_pj_per_image.map_or(String::new(), |pj| format!("{:.3}", pj / 1e6)),
            self.area_mm2.map_or(String::new(), |mm2| format!("{mm2:.3}")),
        ]
    }
}

impl Recovered {
    /// Accuracy, its interval, and the points regained.
    fn text(self) -> String {
        let interval = self.ci95.map_or(String::new(), |half| format!(" ± {half:.1}"));
        let regained = match self.points_regained {
            Some(gain) if gain >= SEEN => format!(" (+{gain:.1})"),
            Some(gain) if gain <= -SEEN => format!(" (−{:.1})", -gain),
            _ => String::new(),
        };
        let passing = self.yield_percent.map_or(String::new(), |percent| format!(", {percent:.0} % pass"));
        format!("{:.1}{interval}{regained}{passing}", self.accuracy)
    }
}

/// Whether a cell begins as numbers do, or is empty.
fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

/// The tables in Markdown, one below the other.
pub fn markdown(tables: &[RecoveryTable]) -> String {
    let one = |table: &RecoveryTable| {
        let (heads, rows) = table.cells();
        // A column that is empty in every line is left out.
        let is_shown = |place: &usize| *place == STAGE || rows.iter().any(|row| !row[*place].is_empty());
        let shown: Vec<usize> = (0..heads.len()).filter(is_shown).collect();
        let line = |cells: &[String]| shown.iter().map(|place| cells[*place].as_str()).collect::<Vec<_>>().join(" | ");
        let rule: String = shown.iter().map(|place| if *place == STAGE { "---|" } else { "---:|" }).collect();
        let mut text = format!("{}:\n\n| {} |\n|{rule}\n", table.title(), line(&heads));
        for row in &rows {
            let _ = writeln!(text, "| {} |", line(row));
        }
        let _ = writeln!(text, "\n{}", table.legend());
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
    let (heads, rows) = table.cells();
    let cells = |place: usize| rows.iter().map(move |row| row[place].as_str());
    let differs = |place: usize| rows.len() == 1 || cells(place).any(|cell| cell != rows[0][place]);
    let column = |place: usize| ListedColumn {
        title: heads[place].clone(),
        // A value keeps its interval beside it.
        cells: cells(place).map(|cell| cell.replace(" ± ", "\u{a0}±\u{a0}")).collect(),
        is_number: place != STAGE && (place < HEADS.len() || cells(place).all(is_number)),
    };
    let shown = [STAGE].into_iter().chain(HEADS.len()..heads.len());
    let shown = shown.chain(COSTS.into_iter().filter(|place| differs(*place)));
    let columns: Vec<ListedColumn> = shown.map(column).collect();
    let same = COSTS.into_iter().filter(|place| !rows.is_empty() && !differs(*place) && !rows[0][*place].is_empty());
    let same: Vec<String> =
        same.map(|place| format!("{}: {}", escape(&heads[place]), escape(&rows[0][place]))).collect();
    let same = if same.is_empty() { String::new() } else { format!(" The same at all: {}.", same.join("; ")) };
    let about = format!("{}{same}", escape(&table.legend()));
    format!("<h2>{}</h2>\n{}", escape(&table.title()), listing::html("Recovery", &about, &columns, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stages at two strengths of variation, the second evaluated at one of them.
    fn table() -> RecoveryTable {
        let at = |scale: &str| vec![("rram.variation.scale".to_owned(), scale.to_owned()), ("seed".into(), "1".into())];
        let head = |stage: &str, sram_bits: &str| RecoveryHead {
            rram_bits: Some(4),
            stage: stage.into(),
            settings: vec![("sram.threshold".into(), "0.5".into())],
            sram_bits: sram_bits.into(),
            sram_shift: String::new(),
            pruned_percent: None,
        };
        let reached =
            |accuracy, ci95, gain| Some(Recovered { accuracy, ci95, points_regained: gain, yield_percent: None });
        let line = |head, bytes, accuracies| RecoveryLine {
            head,
            sram_bytes: bytes,
            share_of_rram_bytes_percent: (bytes > 0.0).then_some(bytes / 4.0),
            energy_pj_per_image: (bytes > 0.0).then_some(2.5e6),
            area_mm2: None,
            accuracies,
        };
        RecoveryTable {
            images: 7,
            reference: "plain".into(),
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
            | RRAM bits | stage | SRAM bits | SRAM bytes | of RRAM's, % | µJ/image | scale 0.0 | scale 2.0 |\n\
            |---:|---|---:|---:|---:|---:|---:|---:|\n\
            | 4 | plain, sram.threshold = 0.5 |  |  |  |  | 90.0 | 50.0 ± 2.2 |\n\
            | 4 | <mended>, sram.threshold = 0.5 | 2 | 100 | 25 | 2.500 |  | 70.0 ± 1.0 (+20.0) |\n\n\
            Accuracy in percent, ± the 95 % interval of its mean over chips, in brackets points above “plain” on the \
            same chips; bytes of SRAM and energy are the most of any setting in the line.\n";
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

    /// A stage at many settings, and one on which they have no effect.
    fn long_table() -> RecoveryTable {
        let mut table = table();
        let at = |bits: usize| {
            vec![("adc.bits".to_owned(), bits.to_string()), ("adc.type".into(), ["sar", "ramp"][bits % 2].into())]
        };
        table.columns = [vec![]].into_iter().chain((1..=9).map(at)).collect();
        let reached = |accuracy| Some(Recovered { accuracy, ci95: None, points_regained: None, yield_percent: None });
        table.lines[0].accuracies = vec![reached(93.0)];
        table.lines[1].accuracies = [None].into_iter().chain((1..=9).map(|bits| reached(bits as f64))).collect();
        table
    }

    #[test]
    fn many_settings_stand_below_each_other() {
        let text = markdown(&[long_table()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4 + 1 + 9 + 2, "{text}");
        assert!(lines[2].ends_with("| bits | type | accuracy, % |"), "{text}");
        assert!(lines[4].ends_with("|  |  | 93.0 |") && lines[6].ends_with("| 2 | sar | 2.0 |"), "{text}");
        assert!(section(&long_table()).contains(">type</th>"));
        // Few settings stand beside each other, and what they have no effect on is the same below all of them.
        let mut few = long_table();
        few.columns.truncate(3);
        few.lines[1].accuracies.truncate(3);
        let text = markdown(&[few]);
        assert!(text.contains("| bits 1, type ramp | bits 2, type sar |"), "{text}");
        assert!(text.contains("| 93.0 | 93.0 |\n") && text.contains("| 1.0 | 2.0 |\n"), "{text}");
    }

    #[test]
    fn rows_are_read_back_as_they_were() {
        let text = serde_json::to_string(&[table()]).unwrap();
        assert_eq!(serde_json::from_str::<Vec<RecoveryTable>>(&text).unwrap(), [table()]);
    }
}
