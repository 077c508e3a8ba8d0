//! All rows of a table.

use std::collections::{BTreeMap, HashSet};
use std::thread;

use super::layout::{self, ANNOTATIONS, CRASHES, NEW, Named};
use super::objects::{Objects, TableError};
use super::{Row, part};
use crate::remote::{RemoteError, at_once};
use crate::store::annotations::{Annotation, Annotations, MAX_ANNOTATION};

/// The longest row and the longest part that are read, in bytes.
pub(super) const MAX_ROW: u64 = 8 << 20;
pub(super) const MAX_PART: u64 = 32 << 20;
/// How often a table is read anew whose objects are compacted meanwhile.
const TRIES: usize = 5;

/// What a table has.
#[derive(Debug, Default)]
pub struct Table {
    /// Its rows, one of each id, with what a listing has.
    pub rows: Vec<Row>,
    /// What was noted of crashes, by their ids.
    pub annotations: BTreeMap<String, Annotations>,
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
            if let Some(found) = look(objects)? {
                return Ok(Self::of(found));
            }
            // What is gone is in something that was written since.
        }
        Err(TableError::Changed { store: store.to_owned() })
    }

    fn of(found: Vec<Found>) -> Self {
        let mut table = Self::default();
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

/// What all objects have; `None` if some were compacted meanwhile.
///
/// A list is no picture of one time: it comes in pages. A row that is in no part when the rows are
/// listed is listed; one that is in a part is in a listed part, or in one that was written while
/// the parts were listed, which a second list of them shows.
fn look(objects: &dyn Objects) -> Result<Option<Vec<Found>>, TableError> {
    thread::scope(|scope| {
        let annotations = scope.spawn(|| objects.list(ANNOTATIONS));
        let mut names = objects.list(NEW)?;
        let parts = objects.list(CRASHES)?;
        let again = scope.spawn(|| objects.list(CRASHES));
        names.extend(parts.iter().cloned());
        let joined = |list: thread::ScopedJoinHandle<'_, Result<_, TableError>>| {
            list.join().unwrap_or_else(|_| Err(RemoteError::Ended.into()))
        };
        names.extend(joined(annotations)?);
        let found = fetch(objects, &names)?;
        let listed: HashSet<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        let is_new = |(name, _): &(String, u64)| !listed.contains(name.as_str());
        let changed = joined(again)?.iter().any(is_new);
        Ok(found.filter(|_| !changed))
    })
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

/// Does something with each of many objects, several at the same time. The results are in their
/// order.
pub(super) fn side_by_side<T: Sync, R: Send>(
    of: &[T],
    work: impl Fn(&T) -> Result<R, TableError> + Sync,
) -> Result<Vec<R>, TableError> {
    at_once(of, work)
}
