//! A part of the table: rows as a file of Parquet.
//!
//! Needs: rows. Gives: the bytes of a file, and rows of such a file, with their stacks or
//! without. Times are microseconds; lists have Parquet's three levels, which all of its readers
//! know. The crate `parquet` has columns, pages and compression; how rows become columns is here
//! ([`shred`]), and back ([`assemble`]).

mod assemble;
mod bounds;
mod cells;
mod columns;
mod schema;
mod shred;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::Row;
use cells::Cells;
use columns::Column;

/// The most rows of a part that are read. Those that are written have 40,000 at the most.
const MAX_ROWS: usize = 1 << 16;

/// Rows as the bytes of a file.
///
/// # Errors
/// Fails with the reason, if a row lacks what every row has.
pub(super) fn write(rows: &[Row]) -> Result<Vec<u8>, String> {
    let schema = schema::schema().map_err(|error| error.to_string())?;
    let columns = shred::shred(&schema, rows)?;
    written(schema, &columns).map_err(|error| error.to_string())
}

fn written(schema: Arc<Type>, columns: &[Column]) -> Result<Vec<u8>, ParquetError> {
    let level = ZstdLevel::try_new(3)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(concat!("vmcorectl ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let mut columns = columns.iter();
    while let Some(mut writer) = group.next_column()? {
        if let Some(column) = columns.next() {
            column.write(writer.untyped())?;
        }
        writer.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(file)
}

/// All rows of a file, with everything.
///
/// # Errors
/// Fails with the reason, if it is no part of a table.
pub(super) fn read(file: Vec<u8>) -> Result<Vec<Row>, String> {
    let reader = open(file)?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let columns = columns::all(&reader, group, MAX_ROWS).map_err(|error| error.to_string())?;
        let count = columns::rows(&reader, group);
        for row in assemble::assemble(&schema, &columns, count)? {
            rows.push(checked(serde_json::from_value(row).map_err(|error| error.to_string())?)?);
        }
    }
    Ok(rows)
}

/// All rows of a file, with what a listing has ([`Row::head`]); nothing else is read.
///
/// # Errors
/// Fails with the reason, if it is no part of a table.
pub(super) fn heads(file: Vec<u8>) -> Result<Vec<Row>, String> {
    let reader = open(file)?;
    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let count = columns::rows(&reader, group);
        let mut cells = Cells::read(&reader, group, MAX_ROWS).map_err(|error| error.to_string())?;
        for _ in 0..count {
            rows.push(checked(cells.row()?)?);
        }
    }
    Ok(rows)
}

/// A row, if it is one: others who may write to a bucket may write parts, too.
fn checked(row: Row) -> Result<Row, String> {
    let is_one = row.is_one();
    is_one.then_some(row).ok_or_else(|| "a row is of another schema, or has no id".to_owned())
}

/// The ids of the rows of a file.
///
/// # Errors
/// Fails with the reason, if it is no part of a table.
pub(super) fn ids(file: Vec<u8>) -> Result<BTreeSet<String>, String> {
    let reader = open(file)?;
    let mut ids = BTreeSet::new();
    for group in 0..reader.num_row_groups() {
        let count = columns::rows(&reader, group);
        let mut cells = Cells::ids(&reader, group, MAX_ROWS).map_err(|error| error.to_string())?;
        for _ in 0..count {
            ids.insert(cells.id()?);
        }
    }
    Ok(ids)
}

fn open(file: Vec<u8>) -> Result<SerializedFileReader<Bytes>, String> {
    bounds::footer(&file)?;
    let file = Bytes::from(file);
    let reader = SerializedFileReader::new(file.clone()).map_err(|error| error.to_string())?;
    bounds::pages(&file, reader.metadata())?;
    let count = (0..reader.num_row_groups())
        .fold(0_usize, |sum, group| sum.saturating_add(columns::rows(&reader, group)));
    match count > MAX_ROWS {
        true => Err(format!("it has {count} rows, more than {MAX_ROWS}")),
        false => Ok(reader),
    }
}

#[cfg(test)]
mod tests;
