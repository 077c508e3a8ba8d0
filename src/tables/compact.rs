//! Rows are put together into parts, and small parts into larger ones.
//!
//! A part is published under the hash of the ids that it has, and only then are the rows and parts
//! removed that it replaces. So anybody may compact at any time: two at once write the same part,
//! or two that share rows, and an interrupted one leaves rows twice. Readers drop the second row
//! of an id, and the next compaction of that day does, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::layout::{self, CRASHES, NEW, Named};
use super::objects::{Objects, TableError};
use super::read::{MAX_PART, MAX_ROW, side_by_side};
use super::{Row, part};

/// The most rows, and the most bytes of rows, that become one part.
const MAX_ROWS: usize = 20_000;
const MAX_BYTES: u64 = 64 << 20;
/// So many small parts of a day become a larger one.
const MANY: usize = 8;
/// Up to how many bytes a part is small, and how many bytes of small parts become one.
const SMALL: u64 = 2 << 20;
const MAX_SMALL: u64 = 16 << 20;

/// What was done.
#[derive(Debug, Default)]
pub struct Compacted {
    /// How many parts were written.
    pub parts: usize,
    /// How many rows are in them.
    pub rows: usize,
    /// How many objects were removed.
    pub removed: usize,
    /// Objects that are no part of a table. They are left as they are.
    pub problems: Vec<TableError>,
}

/// The objects of a day.
#[derive(Default)]
struct Day {
    rows: Vec<(String, u64)>,
    parts: Vec<(String, u64)>,
}

/// Compacts a table.
///
/// # Errors
/// Fails if an object cannot be had, written or removed. Nothing is lost then.
pub fn compact(objects: &dyn Objects) -> Result<Compacted, TableError> {
    let mut days: BTreeMap<String, Day> = BTreeMap::new();
    for (name, length) in objects.list(NEW)?.into_iter().chain(objects.list(CRASHES)?) {
        match layout::parse(&name) {
            Some(Named::Row { day, .. }) => days.entry(day).or_default().rows.push((name, length)),
            Some(Named::Part { day }) => days.entry(day).or_default().parts.push((name, length)),
            Some(Named::Annotation { .. }) | None => {}
        }
    }
    let mut compaction = Compaction { objects, done: Compacted::default() };
    for (day, mut found) in days {
        compaction.rows(&day, &mut found)?;
        compaction.parts(&day, &found)?;
    }
    Ok(compaction.done)
}

struct Compaction<'a> {
    objects: &'a dyn Objects,
    done: Compacted,
}

impl Compaction<'_> {
    /// Rows become parts.
    fn rows(&mut self, day: &str, found: &mut Day) -> Result<(), TableError> {
        if found.rows.is_empty() {
            return Ok(());
        }
        // One that was pushed again has a row in a part.
        let mut seen = BTreeSet::new();
        for ids in side_by_side(&found.parts, |(name, _)| {
            Ok(self.objects.get(name, MAX_PART)?.map(part::ids))
        })? {
            seen.extend(ids.and_then(Result::ok).into_iter().flatten());
        }
        found.rows.sort();
        for batch in batches(&found.rows) {
            let objects = self.objects;
            let read = side_by_side(batch, |(name, _)| {
                let bytes = objects.get(name, MAX_ROW)?;
                Ok(bytes.map(|bytes| Row::parse(&bytes)))
            })?;
            let (mut rows, mut replaced) = (Vec::new(), Vec::new());
            for (row, (name, _)) in read.into_iter().zip(batch) {
                match row {
                    Some(Some(row)) => {
                        replaced.push(name.as_str());
                        if seen.insert(row.id.clone()) {
                            rows.push(row);
                        }
                    }
                    Some(None) => self.damaged(name, "it is no row of this schema"),
                    // Somebody else compacts, and has it.
                    None => {}
                }
            }
            if let Some(written) = self.publish(day, rows)? {
                found.parts.push(written);
            }
            self.remove(&replaced)?;
        }
        Ok(())
    }

    /// Small parts become a larger one.
    fn parts(&mut self, day: &str, found: &Day) -> Result<(), TableError> {
        let mut small: Vec<_> = found.parts.iter().filter(|(_, length)| *length <= SMALL).collect();
        small.sort();
        small.dedup();
        if small.len() < MANY {
            return Ok(());
        }
        let (mut rows, mut replaced, mut bytes) = (BTreeMap::new(), Vec::new(), 0_u64);
        for (name, length) in small {
            bytes = bytes.saturating_add(*length);
            if bytes > MAX_SMALL || rows.len() > MAX_ROWS {
                break;
            }
            // If it is gone, somebody else compacts this day.
            let Some(file) = self.objects.get(name, MAX_PART)? else { return Ok(()) };
            match part::read(file) {
                Ok(found) => {
                    rows.extend(found.into_iter().map(|row| (row.id.clone(), row)));
                    replaced.push(name.as_str());
                }
                Err(problem) => self.damaged(name, &problem),
            }
        }
        if replaced.len() < 2 {
            return Ok(());
        }
        if let Some((written, _)) = self.publish(day, rows.into_values().collect())? {
            // It may be one of them: all rows of the others are in it.
            replaced.retain(|name| *name != written);
            self.remove(&replaced)?;
        }
        Ok(())
    }

    /// Publishes a part. Gives its name and length; `None` if there are no rows for one.
    fn publish(
        &mut self,
        day: &str,
        mut rows: Vec<Row>,
    ) -> Result<Option<(String, u64)>, TableError> {
        if rows.is_empty() {
            return Ok(None);
        }
        rows.sort_by(|one, other| (one.time, &one.id).cmp(&(other.time, &other.id)));
        let name = layout::part(day, &hash(&rows));
        let damaged = |problem| TableError::Damaged { name: name.clone(), problem };
        let file = part::write(&rows).map_err(damaged)?;
        let length = file.len() as u64;
        if self.objects.put_new(&name, file)? {
            self.done.parts += 1;
            self.done.rows += rows.len();
        }
        Ok(Some((name, length)))
    }

    fn remove(&mut self, names: &[&str]) -> Result<(), TableError> {
        side_by_side(names, |name| self.objects.delete(name))?;
        self.done.removed += names.len();
        Ok(())
    }

    fn damaged(&mut self, name: &str, problem: &str) {
        let problem = problem.to_owned();
        self.done.problems.push(TableError::Damaged { name: name.to_owned(), problem });
    }
}

/// The hash of the ids of rows, whatever their order.
fn hash(rows: &[Row]) -> String {
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mut digest = Sha256::new();
    for id in ids {
        digest.update(id.as_bytes());
        digest.update(b"\n");
    }
    digest.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Rows in batches of a bounded number and length.
fn batches(rows: &[(String, u64)]) -> Vec<&[(String, u64)]> {
    let (mut batches, mut rest) = (Vec::new(), rows);
    while !rest.is_empty() {
        let mut bytes = 0_u64;
        let fits = rest.iter().take(MAX_ROWS).take_while(|(_, length)| {
            bytes = bytes.saturating_add(*length);
            bytes <= MAX_BYTES
        });
        let (batch, later) = rest.split_at(fits.count().clamp(1, rest.len()));
        batches.push(batch);
        rest = later;
    }
    batches
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
