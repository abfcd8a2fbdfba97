//! A table of a study in memory, column by column: what data frames are made of.

use super::cell::TableValue;
use super::export::ColumnKind;
use super::point::Point;
use super::table::{Table, is_measured};

/// A table of a study.
///
/// # Examples
/// ```
/// use crosspike::{Frame, LayerPart, Parts, Point, Table};
///
/// let (name, spikes, rate) = ("conv1".into(), Some(12.5), Some(0.1));
/// let layer = LayerPart { name, spikes, rate, energy_pj: None, area_um2: None };
/// let split = Parts { layers: vec![layer], components: vec![] };
/// let point = Point { settings: vec![("sram.bits".into(), "2".into())], chips: vec![], more: vec![], split };
/// let frame = Frame::of(&[point], Table::Layers);
/// assert_eq!((frame.rows(), frame.columns.len()), (1, 6)); // One setting, and five columns of the table.
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its columns: settings, then what was measured.
    pub columns: Vec<Column>,
}

/// A column, with its name.
///
/// # Examples
/// ```
/// use crosspike::{Cells, Column, Frame, LayerPart, Parts, Point, Table};
///
/// let (name, spikes, rate) = ("conv1".into(), Some(12.5), Some(0.1));
/// let layer = LayerPart { name, spikes, rate, energy_pj: None, area_um2: None };
/// let split = Parts { layers: vec![layer], components: vec![] };
/// let point = Point { settings: vec![("sram.bits".into(), "2".into())], chips: vec![], more: vec![], split };
/// let Column { name, cells } = &Frame::of(&[point], Table::Layers).columns[1];
/// assert_eq!((name.as_str(), cells), ("layer", &Cells::Text(vec![Some("conv1".into())])));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name, as the files have it.
    pub name: String,
    /// The values, row by row.
    pub cells: Cells,
}

/// The values of a column; none where nothing is known, or a setting does not apply.
///
/// # Examples
/// ```
/// use crosspike::{Cells, Frame, LayerPart, Parts, Point, Table};
///
/// let (name, spikes, rate) = ("conv1".into(), Some(12.5), Some(0.1));
/// let layer = LayerPart { name, spikes, rate, energy_pj: None, area_um2: None };
/// let split = Parts { layers: vec![layer], components: vec![] };
/// let point = Point { settings: vec![("sram.bits".into(), "2".into())], chips: vec![], more: vec![], split };
/// let columns = Frame::of(&[point], Table::Layers).columns;
/// assert_eq!(columns[0].cells, Cells::Whole(vec![Some(2)])); // sram.bits
/// assert_eq!(columns[2].cells, Cells::Number(vec![Some(12.5)])); // spikes_per_image
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// Measured numbers, with all their digits: files have six decimals.
    Number(Vec<Option<f64>>),
    /// Names, and settings that are no numbers.
    Text(Vec<Option<String>>),
}

impl Frame {
    /// A table of points; without any, it has no columns.
    pub fn of(points: &[Point], table: Table) -> Self {
        let Some(first) = points.first() else { return Frame { columns: vec![] } };
        let settings = first.settings.iter().map(|(key, _)| key.clone());
        let names: Vec<String> = settings.chain(table.columns(first).into_iter().map(String::from)).collect();
        let mut columns: Vec<Vec<TableValue>> = vec![vec![]; names.len()];
        for point in points {
            for row in table.rows(point) {
                let settings = point.settings.iter().map(|(_, value)| TableValue::Text(value.clone()));
                columns.iter_mut().zip(settings.chain(row)).for_each(|(column, cell)| column.push(cell));
            }
        }
        let columns = names.into_iter().zip(columns);
        Frame { columns: columns.map(|(name, cells)| Column { cells: Cells::of(&name, cells), name }).collect() }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| match &column.cells {
            Cells::Whole(cells) => cells.len(),
            Cells::Number(cells) => cells.len(),
            Cells::Text(cells) => cells.len(),
        })
    }
}

impl Cells {
    fn of(name: &str, cells: Vec<TableValue>) -> Self {
        let first = if is_measured(name) { ColumnKind::Number } else { ColumnKind::Whole };
        let kind = cells.iter().fold(first, |kind, cell| match cell {
            TableValue::Nothing | TableValue::Whole(_) => kind,
            TableValue::Number(_) => kind.with("0.5"),
            TableValue::Text(text) => kind.with(text),
        });
        match kind {
            ColumnKind::Whole => Cells::Whole(cells.iter().map(whole).collect()),
            ColumnKind::Number => Cells::Number(cells.iter().map(number).collect()),
            ColumnKind::Text => Cells::Text(
                cells.iter().map(TableValue::text).map(|text| Some(text).filter(|t| !t.is_empty())).collect(),
            ),
        }
    }
}

fn whole(cell: &TableValue) -> Option<i64> {
    match cell {
        TableValue::Whole(value) => i64::try_from(*value).ok(),
        TableValue::Text(text) => text.parse().ok(),
        TableValue::Nothing | TableValue::Number(_) => None,
    }
}

fn number(cell: &TableValue) -> Option<f64> {
    match cell {
        TableValue::Number(value) => Some(*value),
        TableValue::Whole(value) => Some(*value as f64),
        TableValue::Text(text) => text.parse().ok(),
        TableValue::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::point::{ChipRow, Parts};

    fn point(scale: &str, stage: &str, accuracy: f64, energy: Option<f64>) -> Point {
        let chip = |chip| ChipRow {
            chip,
            accuracy: accuracy + chip as f64,
            spikes_per_image: 1.0,
            steps_per_image: 5.0,
            clipped_per_image: 0.0,
            saturated_per_image: 0.0,
            energy_pj_per_image: energy,
            sram_bytes: 8,
        };
        let settings = [("scale", scale), ("stage", stage)].map(|(key, value)| (key.into(), value.into()));
        Point { settings: settings.into(), chips: vec![chip(0), chip(1)], more: vec![], split: Parts::default() }
    }

    #[test]
    fn columns_have_the_types_of_their_values() {
        let frame = Frame::of(&[point("", "a", 87.0, None), point("1.5", "b", 1.0 / 3.0, Some(2.0))], Table::Results);
        let column = |name: &str| &frame.columns.iter().find(|column| column.name == name).unwrap().cells;
        assert_eq!(frame.rows(), 4);
        assert_eq!(column("scale"), &Cells::Number(vec![None, None, Some(1.5), Some(1.5)]));
        assert_eq!(column("stage"), &Cells::Text(["a", "a", "b", "b"].map(|name| Some(name.into())).into()));
        assert_eq!(column("chip"), &Cells::Whole(vec![Some(0), Some(1), Some(0), Some(1)]));
        assert_eq!(column("accuracy"), &Cells::Number([87.0, 88.0, 1.0 / 3.0, 4.0 / 3.0].map(Some).into()));
        assert_eq!(column("energy_pj_per_image"), &Cells::Number(vec![None, None, Some(2.0), Some(2.0)]));
        assert_eq!(Frame::of(&[], Table::Summary).rows(), 0);
    }
}
