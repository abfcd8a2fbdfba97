//! Tables as Parquet: columns, for data frames.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::{ColumnKind, columns, no_table, open};
use crate::atomic::Output;
use crate::error::{Error, Result};

/// Rows of a Parquet row group: what is in memory of a table.
const ROWS: usize = 1 << 16;

/// Writes a table as row groups of columns.
pub(super) fn parquet(table: &Path, file: &mut Output, to: &Path) -> Result<()> {
    let failed = |error: parquet::errors::ParquetError| Error::file(to, format!("not written: {error}"));
    let columns = columns(table)?;
    let field = |(name, kind): &(String, ColumnKind)| {
        let (physical, logical) = match kind {
            ColumnKind::Whole => (Physical::INT64, None),
            ColumnKind::Number => (Physical::DOUBLE, None),
            ColumnKind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        builder.with_logical_type(logical).build().map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<std::result::Result<_, _>>().map_err(failed)?;
    let schema = Type::group_type_builder("table").with_fields(fields).build().map_err(failed)?;
    let properties =
        WriterProperties::builder().set_created_by(concat!("crosspike ", env!("CARGO_PKG_VERSION")).into());
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build())).map_err(failed)?;
    let mut reader = open(table)?;
    let mut rows = reader.records();
    loop {
        let some = rows.by_ref().take(ROWS).collect::<std::result::Result<Vec<_>, _>>().map_err(no_table(table))?;
        if some.is_empty() {
            break;
        }
        let mut group = writer.next_row_group().map_err(failed)?;
        for column in 0..columns.len() {
            let cells = || some.iter().map(move |row| row.get(column).unwrap_or_default());
            let levels: Vec<i16> = cells().map(|cell| i16::from(!cell.is_empty())).collect();
            let there = || cells().filter(|cell| !cell.is_empty());
            let Some(mut serialized) = group.next_column().map_err(failed)? else { break };
            let written = match serialized.untyped() {
                ColumnWriter::Int64ColumnWriter(writer) => {
                    let values: Vec<i64> = there().map(|cell| cell.parse().unwrap_or_default()).collect();
                    writer.write_batch(&values, Some(&levels), None)
                }
                ColumnWriter::DoubleColumnWriter(writer) => {
                    let values: Vec<f64> = there().map(|cell| cell.parse().unwrap_or_default()).collect();
                    writer.write_batch(&values, Some(&levels), None)
                }
                ColumnWriter::ByteArrayColumnWriter(writer) => {
                    let values: Vec<ByteArray> = there().map(ByteArray::from).collect();
                    writer.write_batch(&values, Some(&levels), None)
                }
                _ => Ok(0),
            };
            written.map_err(failed)?;
            serialized.close().map_err(failed)?;
        }
        group.close().map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}
