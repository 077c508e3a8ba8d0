//! Rows of entries that have none.

use std::collections::HashSet;

use super::layout::{self, CRASHES, NEW, Named};
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
    let mut ids = HashSet::new();
    for (name, _) in objects.list(NEW)? {
        if let Some(Named::Row { id, .. }) = layout::parse(&name) {
            ids.insert(id);
        }
    }
    let parts = objects.list(CRASHES)?;
    // A part that is gone meanwhile is in another one: its rows are made again, and compacted away.
    let of_parts = side_by_side(&parts, |(name, _)| {
        Ok(objects.get(name, MAX_PART)?.and_then(|file| part::ids(file).ok()))
    })?;
    ids.extend(of_parts.into_iter().flatten().flatten());
    Ok(ids)
}
