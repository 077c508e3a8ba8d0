//! The columns that a listing reads, row by row.

use jiff::Timestamp;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, SerializedFileReader};

use super::columns::{self, Column, Values};
use crate::tables::row::{Kernel, Row};

/// The columns, and how far they are read.
pub(super) struct Cells {
    columns: Vec<Option<Reading>>,
    /// How many bytes of text the rows had.
    text: usize,
}

struct Reading {
    column: Column,
    level: usize,
    value: usize,
}

/// The columns, in the order of [`Cells::row`].
const PATHS: [&str; 19] = [
    "id",
    "schema",
    "entry",
    "guest",
    "time",
    "time_nanoseconds",
    "state",
    "kernel.release",
    "title",
    "alt_titles.list.element",
    "signature",
    "weak",
    "bugcheck",
    "held_seconds",
    "memory_bytes",
    "core_bytes",
    "pack_bytes",
    "report_schema",
    "note",
];

/// The most bytes of text that are read of a group: a file may name one long text in each row.
const MAX_TEXT: usize = 256 << 20;

/// What a cell is read as.
enum Cell<'a> {
    Absent,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a [u8]),
}

impl Cells {
    pub(super) fn read<R: ChunkReader + 'static>(
        reader: &SerializedFileReader<R>,
        group: usize,
        most: usize,
    ) -> Result<Self, ParquetError> {
        Self::of(reader, group, &PATHS, most)
    }

    /// The same, with ids alone.
    pub(super) fn ids<R: ChunkReader + 'static>(
        reader: &SerializedFileReader<R>,
        group: usize,
        most: usize,
    ) -> Result<Self, ParquetError> {
        Self::of(reader, group, &["id"], most)
    }

    fn of<R: ChunkReader + 'static>(
        reader: &SerializedFileReader<R>,
        group: usize,
        paths: &[&str],
        most: usize,
    ) -> Result<Self, ParquetError> {
        let read = |path: &&str| {
            let column = columns::at(reader, group, path, most)?;
            Ok(column.map(|column| Reading { column, level: 0, value: 0 }))
        };
        paths.iter().map(read).collect::<Result<_, _>>().map(|columns| Self { columns, text: 0 })
    }

    /// The next id.
    pub(super) fn id(&mut self) -> Result<String, String> {
        let mut columns = self.columns.iter_mut();
        text(&mut columns).ok_or_else(|| "a row has no id".to_owned())
    }

    /// The next row.
    pub(super) fn row(&mut self) -> Result<Row, String> {
        let columns = self.columns.iter().flatten();
        self.text = columns.map(Reading::next_text).fold(self.text, usize::saturating_add);
        if self.text > MAX_TEXT {
            return Err(format!("its rows have more than {MAX_TEXT} bytes of text"));
        }
        let mut next = self.columns.iter_mut();
        let next = &mut next;
        let missing = |what: &str| format!("a row has no {what}");
        Ok(Row {
            id: text(next).ok_or_else(|| missing("id"))?,
            schema: text(next).ok_or_else(|| missing("schema"))?,
            entry: text(next).ok_or_else(|| missing("entry"))?,
            guest: text(next),
            time: time(next).ok_or_else(|| missing("time"))?,
            time_nanoseconds: count(next),
            state: text(next).ok_or_else(|| missing("state"))?,
            kernel: Kernel { release: text(next), ..Kernel::default() },
            title: text(next),
            alt_titles: texts(next),
            signature: text(next),
            weak: boolean(next),
            bugcheck: text(next),
            held_seconds: double(next),
            memory_bytes: count(next),
            core_bytes: count(next),
            pack_bytes: count(next),
            report_schema: text(next),
            note: text(next),
            ..Row::default()
        })
    }
}

impl Reading {
    /// The length of the next value that is a text. Of a list, it is that of one of its values.
    fn next_text(&self) -> usize {
        match &self.column.values {
            Values::Text(values) => values.get(self.value).map_or(0, ByteArray::len),
            Values::Bool(_) | Values::Int(_) | Values::Double(_) => 0,
        }
    }

    /// The next value, absent ones included.
    fn take(&mut self) -> Cell<'_> {
        let definition = self.column.definition.get(self.level).copied();
        self.level += 1;
        if definition != Some(self.column.present) {
            return Cell::Absent;
        }
        let at = self.value;
        self.value += 1;
        let cell = match &self.column.values {
            Values::Bool(values) => values.get(at).map(|value| Cell::Bool(*value)),
            Values::Int(values) => values.get(at).map(|value| Cell::Int(*value)),
            Values::Double(values) => values.get(at).map(|value| Cell::Double(*value)),
            Values::Text(values) => values.get(at).map(|value| Cell::Text(value.data())),
        };
        cell.unwrap_or(Cell::Absent)
    }
}

/// The columns that are left.
type Next<'a, 'b> = &'a mut std::slice::IterMut<'b, Option<Reading>>;

fn cell<'b>(next: Next<'_, 'b>) -> Cell<'b> {
    next.next().and_then(Option::as_mut).map_or(Cell::Absent, Reading::take)
}

fn text(next: Next<'_, '_>) -> Option<String> {
    match cell(next) {
        Cell::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn texts(next: Next<'_, '_>) -> Vec<String> {
    let Some(reading) = next.next().and_then(Option::as_mut) else { return Vec::new() };
    let mut found = Vec::new();
    loop {
        if let Cell::Text(text) = reading.take() {
            found.push(String::from_utf8_lossy(text).into_owned());
        }
        if reading.column.repetition.get(reading.level).is_none_or(|level| *level == 0) {
            return found;
        }
    }
}

fn time(next: Next<'_, '_>) -> Option<Timestamp> {
    match cell(next) {
        Cell::Int(time) => Timestamp::from_microsecond(time).ok(),
        _ => None,
    }
}

fn boolean(next: Next<'_, '_>) -> Option<bool> {
    match cell(next) {
        Cell::Bool(value) => Some(value),
        _ => None,
    }
}

fn double(next: Next<'_, '_>) -> Option<f64> {
    match cell(next) {
        Cell::Double(value) => Some(value),
        _ => None,
    }
}

fn count(next: Next<'_, '_>) -> Option<u64> {
    match cell(next) {
        Cell::Int(value) => u64::try_from(value).ok(),
        _ => None,
    }
}
