//! All rows of a table.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::layout::{self, Named};
use super::objects::{Objects, TableError};
use super::{Row, part};
use crate::store::annotations::{Annotation, Annotations, MAX_ANNOTATION};

/// The longest row and the longest part that are read, in bytes.
pub(super) const MAX_ROW: u64 = 8 << 20;
pub(super) const MAX_PART: u64 = 32 << 20;
/// How many objects are fetched at the same time.
const AT_ONCE: usize = 16;
/// How often a table is read anew whose objects are compacted meanwhile.
const TRIES: usize = 5;

/// What a table has.
#[derive(Debug, Default)]
pub struct Table {
    /// Its rows, one of each id, with what a listing has.
    pub rows: Vec<Row>,
    /// What was noted of crashes, by their ids.
    pub annotations: BTreeMap<String, Annotations>,
    /// Whether there is a table, even if it has no rows.
    pub exists: bool,
    /// Objects that are no part of a table.
    pub problems: Vec<TableError>,
}

/// What one object has.
enum Found {
    Rows(Vec<Row>),
    Annotation(String, Annotation),
    Problem(TableError),
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// Fails if an object cannot be had. One that is damaged is left out, and listed.
    pub fn read(objects: &dyn Objects, store: &str) -> Result<Self, TableError> {
        for _ in 0..TRIES {
            let names = objects.list()?;
            if let Some(found) = fetch(objects, &names)? {
                let is_row = |named| matches!(named, Named::Row { .. } | Named::Part { .. });
                let exists = names.iter().any(|(name, _)| layout::parse(name).is_some_and(is_row));
                return Ok(Self::of(found, exists));
            }
            // What is gone is in something that was written since.
        }
        Err(TableError::Changed { store: store.to_owned() })
    }

    fn of(found: Vec<Found>, exists: bool) -> Self {
        let mut table = Self { exists, ..Self::default() };
        let mut seen = HashSet::new();
        for found in found {
            match found {
                Found::Rows(mut rows) => {
                    rows.retain(|row| seen.insert(row.id.clone()));
                    table.rows.append(&mut rows);
                }
                Found::Annotation(id, annotation) => {
                    table.annotations.entry(id).or_default().add(annotation);
                }
                Found::Problem(problem) => table.problems.push(problem),
            }
        }
        table
    }
}

/// What objects have, in their order; `None` if one is gone.
fn fetch(objects: &dyn Objects, names: &[(String, u64)]) -> Result<Option<Vec<Found>>, TableError> {
    let found = side_by_side(names, |(name, _)| one(objects, name))?;
    Ok(found.into_iter().collect())
}

/// What one object has; `None` if it is gone.
fn one(objects: &dyn Objects, name: &str) -> Result<Option<Found>, TableError> {
    let Some(named) = layout::parse(name) else { return Ok(Some(Found::Rows(Vec::new()))) };
    let most = match named {
        Named::Part { .. } => MAX_PART,
        Named::Row { .. } => MAX_ROW,
        Named::Annotation { .. } => MAX_ANNOTATION,
    };
    let Some(bytes) = objects.get(name, most)? else { return Ok(None) };
    let damaged = |problem: &str| {
        Found::Problem(TableError::Damaged { name: name.to_owned(), problem: problem.to_owned() })
    };
    Ok(Some(match named {
        Named::Part { .. } => {
            part::heads(bytes).map_or_else(|problem| damaged(&problem), Found::Rows)
        }
        Named::Row { id, .. } => match Row::parse(&bytes).filter(|row| row.id == id) {
            Some(row) => Found::Rows(vec![row.head()]),
            None => damaged("it is no row of this schema"),
        },
        Named::Annotation { id } => match Annotation::parse(&bytes) {
            Some(annotation) => Found::Annotation(id, annotation),
            None => damaged("it is no annotation of this schema"),
        },
    }))
}

/// Does something with each of many, several at the same time. The results are in their order.
pub(super) fn side_by_side<T: Sync, R: Send>(
    of: &[T],
    work: impl Fn(&T) -> Result<R, TableError> + Sync,
) -> Result<Vec<R>, TableError> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let one = || -> Result<(), TableError> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = of.get(at) else { return Ok(()) };
            let result = work(item).inspect_err(|_| next.store(of.len(), Ordering::Relaxed))?;
            found.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..of.len().min(AT_ONCE)).map(|_| scope.spawn(one)).collect();
        let ended = |_| Err(crate::remote::RemoteError::Ended.into());
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(ended))
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, result)| result).collect())
}
