//! Rows become columns.
//!
//! By the way that Dremel has described: each value of a nested column has two levels. The
//! definition is how many of the fields on its path that may be absent or repeated are there; the
//! repetition is the innermost list in which it is not the first.

use jiff::Timestamp;
use parquet::basic::Type as Physical;
use parquet::data_type::ByteArray;
use parquet::schema::types::{SchemaDescriptor, Type};
use serde_json::Value;
use std::sync::Arc;

use super::columns::{Column, Values};
use super::schema::{element, is_optional, is_time};
use crate::tables::Row;

/// The columns of rows, in the order of the schema.
pub(super) fn shred(schema: &Arc<Type>, rows: &[Row]) -> Result<Vec<Column>, String> {
    let description = SchemaDescriptor::new(Arc::clone(schema));
    let empty = |at: &parquet::schema::types::ColumnDescPtr| Column {
        values: match at.physical_type() {
            Physical::BOOLEAN => Values::Bool(Vec::new()),
            Physical::INT64 => Values::Int(Vec::new()),
            Physical::DOUBLE => Values::Double(Vec::new()),
            _ => Values::Text(Vec::new()),
        },
        definition: Vec::new(),
        repetition: Vec::new(),
        present: at.max_def_level(),
    };
    let mut shredder = Shredder { columns: description.columns().iter().map(empty).collect() };
    for row in rows {
        let row = serde_json::to_value(row).map_err(|error| error.to_string())?;
        let mut leaf = 0;
        for field in schema.get_fields() {
            leaf = shredder.add(field, field_of(&row, field), Levels::default(), leaf)?;
        }
    }
    Ok(shredder.columns)
}

struct Shredder {
    columns: Vec<Column>,
}

/// Where in a row something is.
#[derive(Clone, Copy, Default)]
struct Levels {
    definition: i16,
    repetition: i16,
    /// How many lists it is in.
    lists: i16,
}

impl Shredder {
    /// Adds a value to the columns from `leaf` on. Gives the column behind them.
    fn add(
        &mut self,
        node: &Type,
        value: &Value,
        at: Levels,
        leaf: usize,
    ) -> Result<usize, String> {
        if value.is_null() {
            if !is_optional(node) {
                return Err(format!("a row has no {}", node.name()));
            }
            return Ok(self.add_absent(node, at, leaf));
        }
        let at = Levels { definition: at.definition + i16::from(is_optional(node)), ..at };
        if node.is_primitive() {
            self.add_value(node, value, at, leaf)?;
            return Ok(leaf + 1);
        }
        if let Some(element) = element(node) {
            return self.add_list(node, element, value, at, leaf);
        }
        node.get_fields()
            .iter()
            .try_fold(leaf, |leaf, field| self.add(field, field_of(value, field), at, leaf))
    }

    fn add_list(
        &mut self,
        node: &Type,
        element: &Type,
        value: &Value,
        at: Levels,
        leaf: usize,
    ) -> Result<usize, String> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return Ok(self.add_absent(node, at, leaf));
        }
        let (definition, lists) = (at.definition + 1, at.lists + 1);
        let mut end = leaf;
        for (place, item) in items.iter().enumerate() {
            let repetition = if place == 0 { at.repetition } else { lists };
            end = self.add(element, item, Levels { definition, repetition, lists }, leaf)?;
        }
        Ok(end)
    }

    /// Adds that nothing is there to all columns below a node.
    fn add_absent(&mut self, node: &Type, at: Levels, leaf: usize) -> usize {
        if !node.is_primitive() {
            let mut fields = node.get_fields().iter();
            return fields.by_ref().fold(leaf, |leaf, field| self.add_absent(field, at, leaf));
        }
        if let Some(column) = self.columns.get_mut(leaf) {
            column.definition.push(at.definition);
            column.repetition.push(at.repetition);
        }
        leaf + 1
    }

    fn add_value(
        &mut self,
        node: &Type,
        value: &Value,
        at: Levels,
        leaf: usize,
    ) -> Result<(), String> {
        let column = self.columns.get_mut(leaf).ok_or("a row has too many columns")?;
        let added = match &mut column.values {
            Values::Bool(values) => value.as_bool().map(|value| values.push(value)),
            Values::Double(values) => value.as_f64().map(|value| values.push(value)),
            Values::Int(values) if is_time(node) => {
                let time = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
                time.map(|time| values.push(time.as_microsecond()))
            }
            Values::Int(values) => {
                // What no signed number of 64 bits has is the largest.
                let number = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX));
                number.map(|value| values.push(value))
            }
            Values::Text(values) => value.as_str().map(|text| values.push(ByteArray::from(text))),
        };
        added.ok_or_else(|| format!("the {} of a row has another type", node.name()))?;
        column.definition.push(at.definition);
        column.repetition.push(at.repetition);
        Ok(())
    }
}

fn field_of<'a>(value: &'a Value, field: &Type) -> &'a Value {
    value.get(field.name()).unwrap_or(&Value::Null)
}
