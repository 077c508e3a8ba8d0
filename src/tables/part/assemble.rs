//! Columns become rows again: the other way of `shred`.

use std::sync::Arc;

use jiff::Timestamp;
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::columns::{Column, Values};
use super::schema::{element, is_optional, is_time};

/// How deep a schema may be.
const MAX_DEPTH: usize = 16;

/// So many rows of columns, which are in the order of the schema.
pub(super) fn assemble(
    schema: &Arc<Type>,
    columns: &[Column],
    rows: usize,
) -> Result<Vec<Value>, String> {
    let mut assembler = Assembler { columns, cursors: vec![Cursor::default(); columns.len()] };
    let mut found = Vec::new();
    for _ in 0..rows {
        found.push(assembler.fields(schema, Levels::default(), 0, 0)?.0);
    }
    Ok(found)
}

struct Assembler<'a> {
    columns: &'a [Column],
    cursors: Vec<Cursor>,
}

/// How far a column is read.
#[derive(Clone, Copy, Default)]
struct Cursor {
    level: usize,
    value: usize,
}

/// Where in a row something is.
#[derive(Clone, Copy, Default)]
struct Levels {
    definition: i16,
    lists: i16,
}

/// A value, and the column behind those that it was in.
type Taken = Result<(Value, usize), String>;

impl Assembler<'_> {
    fn fields(&mut self, node: &Type, at: Levels, leaf: usize, depth: usize) -> Taken {
        if depth > MAX_DEPTH {
            return Err("its columns are nested too deep".to_owned());
        }
        let mut object = Map::new();
        let mut leaf = leaf;
        for field in node.get_fields() {
            let (value, end) = self.take(field, at, leaf, depth + 1)?;
            object.insert(field.name().to_owned(), value);
            leaf = end;
        }
        Ok((Value::Object(object), leaf))
    }

    fn take(&mut self, node: &Type, at: Levels, leaf: usize, depth: usize) -> Taken {
        let at = Levels { definition: at.definition + i16::from(is_optional(node)), ..at };
        if self.definition(leaf)? < at.definition {
            return Ok((Value::Null, self.skip(node, leaf, depth)?));
        }
        if node.is_primitive() {
            return Ok((self.value(node, leaf)?, leaf + 1));
        }
        let Some(element) = element(node) else { return self.fields(node, at, leaf, depth) };
        let at = Levels { definition: at.definition + 1, lists: at.lists + 1 };
        if self.definition(leaf)? < at.definition {
            return Ok((Value::Array(Vec::new()), self.skip(node, leaf, depth)?));
        }
        let mut items = Vec::new();
        loop {
            let (item, end) = self.take(element, at, leaf, depth + 1)?;
            items.push(item);
            if self.repetition(leaf) != Some(at.lists) {
                return Ok((Value::Array(items), end));
            }
        }
    }

    fn value(&mut self, node: &Type, leaf: usize) -> Result<Value, String> {
        let ended = || "a column has too few values".to_owned();
        let (column, cursor) =
            self.columns.get(leaf).zip(self.cursors.get_mut(leaf)).ok_or_else(ended)?;
        let at = cursor.value;
        let value = match &column.values {
            Values::Bool(values) => values.get(at).map(|value| Value::from(*value)),
            Values::Double(values) => values.get(at).map(|value| Value::from(*value)),
            Values::Int(values) if is_time(node) => values.get(at).map(|value| {
                let time = Timestamp::from_microsecond(*value).ok();
                time.map_or(Value::Null, |time| Value::from(time.to_string()))
            }),
            Values::Int(values) => values.get(at).map(|value| Value::from(*value)),
            Values::Text(values) => {
                values.get(at).map(|value| Value::from(String::from_utf8_lossy(value.data())))
            }
        };
        cursor.value += 1;
        cursor.level += 1;
        value.ok_or_else(ended)
    }

    /// Passes over one absent value of all columns below a node.
    fn skip(&mut self, node: &Type, leaf: usize, depth: usize) -> Result<usize, String> {
        if depth > MAX_DEPTH {
            return Err("its columns are nested too deep".to_owned());
        }
        if !node.is_primitive() {
            let mut fields = node.get_fields().iter();
            return fields.try_fold(leaf, |leaf, field| self.skip(field, leaf, depth + 1));
        }
        if let Some(cursor) = self.cursors.get_mut(leaf) {
            cursor.level += 1;
        }
        Ok(leaf + 1)
    }

    fn definition(&self, leaf: usize) -> Result<i16, String> {
        let level = self.level(leaf).and_then(|(column, level)| column.definition.get(level));
        level.copied().ok_or_else(|| "a column has too few values".to_owned())
    }

    /// The repetition of the next value; `None` at the end.
    fn repetition(&self, leaf: usize) -> Option<i16> {
        self.level(leaf).and_then(|(column, level)| column.repetition.get(level)).copied()
    }

    fn level(&self, leaf: usize) -> Option<(&Column, usize)> {
        Some((self.columns.get(leaf)?, self.cursors.get(leaf)?.level))
    }
}
