//! The tables of a study in other formats: CSV as it is, JSON Lines, Parquet.
//!
//! What is measured are numbers in every study; a setting whose every cell is a whole number has whole numbers, one of
//! numbers numbers, every other text; an empty cell is nothing (`null`). Rows keep their order, and equal tables are
//! equal bytes.

#[cfg(feature = "parquet")]
mod parquet;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::atomic::Output;
use crate::error::{Error, Result};
use crate::study::table::is_measured;

/// What a table is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, as studies write it.
    Csv,
    /// An object a line.
    JsonLines,
    /// Columns, for data frames.
    Parquet,
}

impl Format {
    /// The format that a file's name asks for.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "csv" => Some(Format::Csv),
            "jsonl" | "ndjson" => Some(Format::JsonLines),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Whole,
    Number,
    Text,
}

impl ColumnKind {
    /// The kind of a column that also holds this cell.
    pub fn with(self, cell: &str) -> Self {
        let is_number = || cell.parse::<f64>().is_ok_and(f64::is_finite);
        match self {
            _ if cell.is_empty() => self,
            ColumnKind::Whole if cell.parse::<i64>().is_ok() => ColumnKind::Whole,
            ColumnKind::Whole | ColumnKind::Number if is_number() => ColumnKind::Number,
            _ => ColumnKind::Text,
        }
    }

    /// A cell of a column.
    fn value(self, cell: &str) -> Value {
        match self {
            _ if cell.is_empty() => Value::Null,
            ColumnKind::Whole => cell.parse::<i64>().unwrap_or_default().into(),
            ColumnKind::Number => cell.parse::<f64>().unwrap_or_default().into(),
            ColumnKind::Text => cell.into(),
        }
    }
}

/// The rows of a study's table, an object each: what [`Format::JsonLines`] writes, for tables of points.
///
/// # Errors
/// As [`export`].
pub fn rows(table: &Path) -> Result<Vec<Value>> {
    let columns = columns(table)?;
    let object = |row: csv::StringRecord| -> Value {
        columns.iter().zip(row.iter()).map(|((name, kind), cell)| (name.clone(), kind.value(cell))).collect()
    };
    open(table)?.records().map(|row| Ok(object(row.map_err(no_table(table))?))).collect()
}

/// Writes a table of a study, a CSV file, in another format.
///
/// # Errors
/// [`Error::File`] where the table is none, [`Error::Io`] where a file cannot be read or written.
pub fn export(table: &Path, format: Format, to: &Path) -> Result<()> {
    let mut file = Output::to(to)?;
    match format {
        Format::Csv => {
            let mut reader = BufReader::new(std::fs::File::open(table).map_err(Error::io(table))?);
            loop {
                let bytes = reader.fill_buf().map_err(Error::io(table))?;
                if bytes.is_empty() {
                    break;
                }
                file.write_all(bytes).map_err(Error::io(to))?;
                let count = bytes.len();
                reader.consume(count);
            }
        }
        Format::JsonLines => json_lines(table, &mut file, to)?,
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::parquet(table, &mut file, to)?,
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => {
            let message =
                "crosspike was built without its feature `parquet`; expected a name that ends in .csv or .jsonl";
            return Err(Error::file(to, message));
        }
    }
    file.commit()
}

fn open(table: &Path) -> Result<csv::Reader<std::fs::File>> {
    let file = std::fs::File::open(table).map_err(Error::io(table))?;
    Ok(csv::Reader::from_reader(file))
}

fn no_table(table: &Path) -> impl Fn(csv::Error) -> Error {
    move |error| Error::file(table, format!("not a table: {error}"))
}

/// The columns' names and kinds.
fn columns(table: &Path) -> Result<Vec<(String, ColumnKind)>> {
    let mut reader = open(table)?;
    let names = reader.headers().map_err(no_table(table))?.iter().map(String::from);
    let kind = |name: &str| if is_measured(name) { ColumnKind::Number } else { ColumnKind::Whole };
    let mut columns: Vec<(String, ColumnKind)> = names.map(|name| (name.clone(), kind(&name))).collect();
    for row in reader.records() {
        let row = row.map_err(no_table(table))?;
        columns.iter_mut().zip(row.iter()).for_each(|((_, kind), cell)| *kind = kind.with(cell));
    }
    Ok(columns)
}

fn json_lines(table: &Path, file: &mut Output, to: &Path) -> Result<()> {
    let columns = columns(table)?;
    for row in open(table)?.records() {
        let row = row.map_err(no_table(table))?;
        let cells = columns.iter().zip(row.iter());
        let cells = cells.map(|((name, kind), cell)| format!("{}:{}", json!(name), kind.value(cell)));
        let line = format!("{{{}}}\n", cells.collect::<Vec<_>>().join(","));
        file.write_all(line.as_bytes()).map_err(Error::io(to))?;
    }
    Ok(())
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use super::*;
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::RowAccessor;

    const TABLE: &str = "scale,sram.bits,name,accuracy\n0.0,2,\"a, b\",87\n1.5,,c,90\n";

    #[test]
    fn a_table_keeps_its_rows_in_every_format() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("t.csv"), TABLE).unwrap();
        for name in ["u.csv", "u.jsonl", "u.parquet"] {
            export(&at("t.csv"), Format::of(&at(name)).unwrap(), &at(name)).unwrap();
        }
        assert_eq!(std::fs::read_to_string(at("u.csv")).unwrap(), TABLE);
        assert_eq!(
            std::fs::read_to_string(at("u.jsonl")).unwrap(),
            "{\"scale\":0.0,\"sram.bits\":2,\"name\":\"a, b\",\"accuracy\":87.0}\n\
             {\"scale\":1.5,\"sram.bits\":null,\"name\":\"c\",\"accuracy\":90.0}\n"
        );
        let bytes = std::fs::read(at("u.parquet")).unwrap();
        let reader = SerializedFileReader::try_from(at("u.parquet").as_path()).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
        assert_eq!((rows.len(), rows[0].len()), (2, 4));
        assert_eq!((rows[0].get_double(0).unwrap(), rows[0].get_long(1).unwrap()), (0.0, 2));
        assert_eq!((rows[0].get_string(2).unwrap().as_str(), rows[1].get_double(3).unwrap()), ("a, b", 90.0));
        assert!(rows[1].get_long(1).is_err(), "nothing is not 0");
        export(&at("t.csv"), Format::Parquet, &at("v.parquet")).unwrap();
        assert_eq!(std::fs::read(at("v.parquet")).unwrap(), bytes, "equal tables are equal bytes");
        assert_eq!(Format::of(Path::new("x.xlsx")), None);
    }
}
