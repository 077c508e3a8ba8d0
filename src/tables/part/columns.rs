//! Columns of a part: values, and the levels that say which rows and lists they are of.

use std::io;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};

/// How many rows of a column are read at once.
const BATCH: usize = 4096;
/// The most values of a column that are read: 64 frames of each CPU of a row, for all rows.
const MAX_VALUES: usize = 64 << 20;

/// The values of a column, without those that are absent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Text(Vec<ByteArray>),
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) values: Values,
    /// Of each value, absent ones included: how much of the path to it is there.
    pub(super) definition: Vec<i16>,
    /// Of each value: in which list it is a further one. 0 begins a row.
    pub(super) repetition: Vec<i16>,
    /// The definition of a value that is there.
    pub(super) present: i16,
}

impl Column {
    pub(super) fn write(&self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let (definition, repetition) = (Some(&*self.definition), Some(&*self.repetition));
        match (writer, &self.values) {
            (ColumnWriter::BoolColumnWriter(writer), Values::Bool(values)) => {
                writer.write_batch(values, definition, repetition)
            }
            (ColumnWriter::Int64ColumnWriter(writer), Values::Int(values)) => {
                writer.write_batch(values, definition, repetition)
            }
            (ColumnWriter::DoubleColumnWriter(writer), Values::Double(values)) => {
                writer.write_batch(values, definition, repetition)
            }
            (ColumnWriter::ByteArrayColumnWriter(writer), Values::Text(values)) => {
                writer.write_batch(values, definition, repetition)
            }
            _ => Err(other_type()),
        }?;
        Ok(())
    }
}

/// How many rows a group has.
pub(super) fn rows<R: ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
    group: usize,
) -> usize {
    let metadata = reader.metadata().row_groups().get(group);
    metadata.and_then(|group| usize::try_from(group.num_rows()).ok()).unwrap_or_default()
}

/// All columns of a group.
pub(super) fn all<R: ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
    group: usize,
    most: usize,
) -> Result<Vec<Column>, ParquetError> {
    let columns = reader.metadata().file_metadata().schema_descr().num_columns();
    (0..columns).map(|column| one(reader, group, column, most)).collect()
}

/// The column at this path; `None` if there is none.
pub(super) fn at<R: ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
    group: usize,
    path: &str,
    most: usize,
) -> Result<Option<Column>, ParquetError> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let column = schema.columns().iter().position(|column| column.path().string() == path);
    column.map(|column| one(reader, group, column, most)).transpose()
}

fn one<R: ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
    group: usize,
    column: usize,
    most: usize,
) -> Result<Column, ParquetError> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let description = schema.columns().get(column).ok_or_else(other_type)?;
    let (present, lists) = (description.max_def_level(), description.max_rep_level());
    let rows = rows(reader, group).min(most);
    let levels = (present > 0, lists > 0);
    match reader.get_row_group(group)?.get_column_reader(column)? {
        ColumnReader::BoolColumnReader(column) => read(column, rows, levels, present, Values::Bool),
        ColumnReader::Int64ColumnReader(column) => read(column, rows, levels, present, Values::Int),
        ColumnReader::DoubleColumnReader(column) => {
            read(column, rows, levels, present, Values::Double)
        }
        ColumnReader::ByteArrayColumnReader(column) => {
            read(column, rows, levels, present, Values::Text)
        }
        _ => Err(other_type()),
    }
}

fn read<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    (may_be_absent, is_listed): (bool, bool),
    present: i16,
    values_of: impl FnOnce(Vec<T::T>) -> Values,
) -> Result<Column, ParquetError> {
    let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = rows;
    while left > 0 {
        let (read, _, _) = reader.read_records(
            left.min(BATCH),
            may_be_absent.then_some(&mut definition),
            is_listed.then_some(&mut repetition),
            &mut values,
        )?;
        if read == 0 || values.len().max(definition.len()) > MAX_VALUES {
            return Err(damaged("a column ends too soon, or not at all"));
        }
        left = left.saturating_sub(read);
    }
    let count = if may_be_absent { definition.len() } else { values.len() };
    if !may_be_absent {
        definition = vec![present; count];
    }
    if !is_listed {
        repetition = vec![0; count];
    }
    if definition.len() != repetition.len() {
        return Err(damaged("a column has levels of two lengths"));
    }
    Ok(Column { values: values_of(values), definition, repetition, present })
}

fn other_type() -> ParquetError {
    damaged("a column has another type")
}

fn damaged(problem: &str) -> ParquetError {
    io::Error::new(io::ErrorKind::InvalidData, problem).into()
}
