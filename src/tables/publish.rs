//! Rows of entries that have none.

use std::collections::HashSet;

use super::layout::{self, Named};
use super::objects::{Objects, TableError};
use super::read::{MAX_PART, side_by_side};
use super::{Row, part};

impl Row {
    /// The name of its object below the store.
    pub fn name(&self) -> String {
        layout::row(&layout::day(self.time), &self.id)
    }

    /// Writes it, if nothing has its name. Gives whether it did.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn publish(&self, objects: &dyn Objects) -> Result<bool, TableError> {
        objects.put_new(&self.name(), self.to_json())
    }
}

/// The ids that have a row. Those in parts that are damaged are left out.
///
/// # Errors
/// Fails if an object cannot be had.
pub fn ids(objects: &dyn Objects) -> Result<HashSet<String>, TableError> {
    let (mut ids, mut parts) = (HashSet::new(), Vec::new());
    for (name, _) in objects.list()? {
        match layout::parse(&name) {
            Some(Named::Row { id, .. }) => drop(ids.insert(id)),
            Some(Named::Part { .. }) => parts.push(name),
            Some(Named::Annotation { .. }) | None => {}
        }
    }
    // A part that is gone meanwhile is in another one: its rows are made again, and compacted away.
    let of_parts = side_by_side(&parts, |name| {
        Ok(objects.get(name, MAX_PART)?.and_then(|file| part::ids(file).ok()))
    })?;
    ids.extend(of_parts.into_iter().flatten().flatten());
    Ok(ids)
}
