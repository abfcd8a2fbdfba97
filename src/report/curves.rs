//! The page of a training: its accuracies and its loss, epoch by epoch, from `log.csv` and `timing.csv`.

use std::path::Path;

use super::answer::PageAnswer;
use super::figure::{CHART, Figure};
use super::listing::{ListedColumn, html};
use super::scale::{Scale, ends};
use super::summary::CsvTable;
use super::svg::{Colour, Sheet, Svg};
use crate::error::{Error, Result};
use crate::train::job::Tested;
use crate::train::{LOG_CSV, TEST, TIMING_CSV};

/// Pixels of a frame's height, and of what stands around it.
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 66.0;
const TOP: f64 = 26.0;
const BELOW: f64 = 62.0;

/// An epoch of a training.
struct Epoch {
    number: f64,
    learning_rate: f64,
    loss: f64,
    /// Percent of the training images, over the epoch.
    training: f64,
    /// Percent of the validation images, after it; none where there are none.
    validation: Option<f64>,
}

/// The learning curves of a training, and its pace.
pub(super) struct Curves {
    epochs: Vec<Epoch>,
    /// Seconds and images a second of an epoch, on average.
    timing: Option<[f64; 2]>,
    test: Option<Tested>,
}

impl Curves {
    /// Reads the log of a training's folder.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(LOG_CSV);
        let rows = columns(&path, ["epoch", "learning_rate", "loss", "train_accuracy", "validation_accuracy"])?;
        let needed = |row: &[Option<f64>; 5], place: usize| {
            row[place].ok_or_else(|| Error::file(&path, "expected numbers in all columns but validation_accuracy"))
        };
        let epoch = |row: &[Option<f64>; 5]| {
            Ok(Epoch {
                number: needed(row, 0)?,
                learning_rate: needed(row, 1)?,
                loss: needed(row, 2)?,
                training: needed(row, 3)?,
                validation: row[4],
            })
        };
        let epochs: Vec<Epoch> = rows.iter().map(epoch).collect::<Result<_>>()?;
        if epochs.is_empty() {
            return Err(Error::file(&path, "expected at least one epoch"));
        }
        let timing = dir.join(TIMING_CSV);
        let times = if timing.exists() { columns(&timing, ["seconds", "images_per_second"])? } else { vec![] };
        let known: Vec<[f64; 2]> = times.iter().filter_map(|row| Some([row[0]?, row[1]?])).collect();
        let seconds = known.iter().map(|[seconds, _]| seconds).sum::<f64>();
        let images = known.iter().map(|[seconds, rate]| seconds * rate).sum::<f64>();
        let timing = (seconds > 0.0).then(|| [seconds / known.len() as f64, images / seconds]);
        let path = dir.join(TEST);
        let test = super::read_if_there(&path)?.map(|text| serde_json::from_str(&text)).transpose();
        let test = test.map_err(|error| Error::file(&path, format!("expected the accuracy of a test: {error}")))?;
        Ok(Curves { epochs, timing, test })
    }

    /// Whether images were held back for validation.
    fn validates(&self) -> bool {
        self.epochs.iter().any(|epoch| epoch.validation.is_some())
    }

    /// The findings in words.
    pub fn answer(&self) -> PageAnswer {
        let last = &self.epochs[self.epochs.len() - 1];
        let count = if self.epochs.len() == 1 { "1 epoch".into() } else { format!("{} epochs", self.epochs.len()) };
        let trained = format!(
            "After {count} the network has {:.2} % of the training images, at a loss of {:.3}",
            last.training, last.loss
        );
        let best = self.epochs.iter().filter_map(|epoch| Some((epoch, epoch.validation?)));
        let best = best.reduce(|best, other| if other.1 > best.1 { other } else { best });
        let mut details = Vec::new();
        let tested = self.test.map_or(String::new(), |test| {
            format!(" On the nominal chip it has {:.2} % of the {} test images.", test.accuracy, test.images)
        });
        let lead = match (best, last.validation) {
            (Some((epoch, most)), Some(validation)) => {
                if epoch.number < last.number {
                    details.push(format!("Validation was best after epoch {}: {most:.2} %.", epoch.number));
                }
                let ahead = last.training - validation;
                if ahead > 0.0 {
                    details.push(format!("Training images are {ahead:.2} points ahead of validation images."));
                }
                format!("{trained}, and {validation:.2} % of the validation images.{tested}")
            }
            _ => {
                details.push("No images were held back for validation (train.validation).".into());
                format!("{trained}.{tested}")
            }
        };
        let fell = self.epochs[0].loss - last.loss;
        if self.epochs.len() > 1 {
            let word = if fell >= 0.0 { "fell" } else { "rose" };
            details.push(format!("The loss {word} from {:.3} to {:.3}.", self.epochs[0].loss, last.loss));
        }
        if let Some([seconds, rate]) = self.timing {
            details.push(format!("An epoch took {seconds:.1} s on average, {rate:.0} images a second."));
        }
        PageAnswer { lead, details }
    }

    /// Accuracy above, loss below.
    pub fn figure(&self, answer: &PageAnswer) -> Figure {
        let after = if self.validates() { ", and of the validation images after it" } else { "" };
        let caption = format!(
            "Accuracy over each epoch's training images as the weights changed{after}; below, the mean loss over the \
             training images."
        );
        Figure::of(CHART, |sheet| self.draw(sheet, answer), caption)
    }

    fn draw(&self, sheet: Sheet, answer: &PageAnswer) -> String {
        let mut svg = Svg::new(sheet, 2.0 * (TOP + HEIGHT + BELOW));
        let (left, right) = (LEFT, sheet.width() - 18.0);
        let of = |value: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<(f64, f64)> {
            self.epochs.iter().filter_map(|epoch| Some((epoch.number, value(epoch)?))).collect()
        };
        let training = of(&|epoch| Some(epoch.training));
        let validation = of(&|epoch| epoch.validation);
        let loss = of(&|epoch| Some(epoch.loss));
        let numbers = ends(self.epochs.iter().map(|epoch| epoch.number));
        let x = Scale::new(numbers, [left + 14.0, right - 14.0], ((right - left) / 62.0).min(10.0), true);
        let both = training.iter().chain(&validation).map(|(_, percent)| *percent);
        let percent = Scale::percent(ends(both), [TOP + HEIGHT, TOP], 5.0);
        let below = 2.0 * TOP + HEIGHT + BELOW;
        let high = ends(loss.iter().map(|(_, loss)| *loss))[1];
        let losses = Scale::new([0.0, 1.05 * high.max(1e-9)], [below + HEIGHT, below], 5.0, false);
        svg.axes([left, right, TOP, TOP + HEIGHT], (&x, "Epoch"), (&percent, "Accuracy (%)"));
        svg.axes([left, right, below, below + HEIGHT], (&x, "Epoch"), (&losses, "Loss"));
        let names = ["training images", "validation images"];
        let mut named = left;
        for (series, (points, y)) in
            [(&training, &percent), (&validation, &percent), (&loss, &losses)].into_iter().enumerate()
        {
            let colour = series % 2;
            let places: Vec<[f64; 2]> =
                points.iter().map(|(epoch, value)| [x.place(*epoch), y.place(*value)]).collect();
            svg.path(&places, Colour::Series(colour));
            for place in places.iter().filter(|_| places.len() <= 60) {
                svg.marker(*place, colour);
            }
            if let Some(name) = names.get(series).filter(|_| !points.is_empty()) {
                svg.marker([named + 6.0, TOP - 14.0], colour);
                svg.text([named + 16.0, TOP - 9.5], "start", Colour::Text, name, "");
                named += 150.0;
            }
        }
        svg.finish("Learning curves", &answer.text())
    }

    /// The log as a table.
    pub fn table(&self) -> String {
        let of = |title: &str, text: &dyn Fn(&Epoch) -> Option<String>| ListedColumn {
            title: title.into(),
            cells: self.epochs.iter().map(|epoch| text(epoch).unwrap_or_else(|| "–".into())).collect(),
            is_number: true,
        };
        let mut columns = vec![
            of("epoch", &|epoch| Some(epoch.number.to_string())),
            of("training, %", &|epoch| Some(format!("{:.2}", epoch.training))),
            of("loss", &|epoch| Some(format!("{:.4}", epoch.loss))),
            of("learning rate", &|epoch| Some(short(epoch.learning_rate))),
        ];
        if self.validates() {
            columns.insert(2, of("validation, %", &|epoch| epoch.validation.map(|percent| format!("{percent:.2}"))));
        }
        html("All epochs", "All epochs.", &columns, true)
    }
}

/// A number to four digits: the log has those of f32, in which 0.01 is 0.010000001.
fn short(number: f64) -> String {
    format!("{number:.3e}").parse::<f64>().unwrap_or(number).to_string()
}

/// The columns of a table that have these names, a row each; cells may be empty.
fn columns<const N: usize>(path: &Path, names: [&str; N]) -> Result<Vec<[Option<f64>; N]>> {
    let Some(mut table) = CsvTable::open(path)? else {
        return Err(Error::file(path, "not found; expected a row an epoch"));
    };
    let places: Vec<usize> = names.iter().map(|name| table.column(name)).collect::<Result<_>>()?;
    let mut rows = Vec::new();
    while let Some((row, line)) = table.next()? {
        let mut cells = [None; N];
        for (cell, place) in cells.iter_mut().zip(&places) {
            *cell = table.optional(&row, line, *place, 1e30)?;
        }
        rows.push(cells);
    }
    Ok(rows)
}
