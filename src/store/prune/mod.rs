//! Makes room in a store: what may go, in which order, until a limit is met.
//!
//! Needs: the store and its limits. Gives: what went, and which limit is not met because
//! the rest has to stay. What may go at all is decided by `order`. An entry whose core is
//! locked is being written, and stays, too.

mod order;
mod plan;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::listing::{Listed, list};
use super::removal::remove;
use super::space::Space;
use super::{StoreError, core_in, lock};

pub use plan::{Chosen, Plan, Unmet};

/// What a store may have. What is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The time of the oldest entry.
    pub oldest: Option<Timestamp>,
    /// How many entries with a core a guest may have, and how many without.
    pub per_guest: Option<usize>,
    /// The length of all files, in bytes.
    pub total_bytes: Option<u64>,
    /// What is free on the file system, in bytes.
    pub free_bytes: Option<u64>,
}

/// The limit by which an entry goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// It is too old.
    Age,
    /// Its guest has too many.
    Count,
    /// The store is too large.
    Size,
    /// The file system has too little space.
    Free,
    /// The entry stays, and its core goes: its signature has too many, or it is too old.
    Cores,
    /// A push was not finished, and has left it: no entry has it.
    Unfinished,
}

impl Limit {
    /// Its name, as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Count => "count",
            Self::Size => "size",
            Self::Free => "free",
            Self::Cores => "cores",
            Self::Unfinished => "unfinished",
        }
    }
}

/// A store whose limits are to be met.
#[derive(Debug)]
pub struct Pruning {
    entries: Vec<Listed>,
    limits: Limits,
    available: u64,
    /// Entries that could not be removed.
    stay: HashSet<PathBuf>,
    /// Guests whose directories cannot be read.
    pub problems: Vec<StoreError>,
}

impl Pruning {
    /// Lists the store.
    ///
    /// # Errors
    /// Fails if the store cannot be read, or its file system does not say what is free.
    pub fn of(store: &Path, limits: Limits) -> Result<Self, StoreError> {
        let (entries, problems) = list(store)?;
        let available = match limits.free_bytes {
            Some(_) => {
                let space = Space::of(store);
                space
                    .map_err(|source| StoreError::io("find the space of", store, source))?
                    .available
            }
            None => 0,
        };
        Ok(Self { entries, limits, available, stay: HashSet::new(), problems })
    }

    /// Entries that were listed elsewhere. What their file system has free is not known.
    pub fn of_listed(entries: Vec<Listed>, limits: Limits) -> Self {
        let (stay, problems) = (HashSet::new(), Vec::new());
        Self { entries, limits, available: 0, stay, problems }
    }

    /// What there is.
    pub fn entries(&self) -> &[Listed] {
        &self.entries
    }

    /// What would go now.
    pub fn plan(&self) -> Plan<'_> {
        let may_go = |entry: &Listed| {
            let core = core_in(&entry.folder);
            // A file system without locks has none that are held.
            !self.stay.contains(&entry.folder) && lock::writer_of(&core) != lock::Writer::Present
        };
        plan::plan(&self.entries, &self.limits, self.available, &may_go)
    }

    /// How long all files are together, in bytes.
    pub fn total_bytes(&self) -> u64 {
        plan::total(&self.entries)
    }

    /// Removes entries until the limits are met, or nothing more may go. `removed` gets each
    /// one that went, and each that could not be removed, with the reason.
    ///
    /// Gives the limits that are not met.
    pub fn run(
        &mut self,
        mut removed: impl FnMut(&Listed, Limit, Result<(), StoreError>),
    ) -> Vec<Unmet> {
        loop {
            let plan = self.plan();
            let chosen: HashMap<PathBuf, (usize, Limit)> = plan
                .chosen
                .iter()
                .enumerate()
                .map(|(rank, chosen)| (chosen.entry.folder.clone(), (rank, chosen.by)))
                .collect();
            if chosen.is_empty() {
                return plan.unmet;
            }
            let entries = std::mem::take(&mut self.entries).into_iter();
            let is_chosen = |entry: &Listed| chosen.contains_key(&entry.folder);
            let (mut doomed, rest): (Vec<_>, Vec<_>) = entries.partition(is_chosen);
            self.entries = rest;
            let place = |entry: &Listed| chosen.get(&entry.folder).copied();
            doomed.sort_by_key(|entry| place(entry).map(|(rank, _)| rank));
            for entry in doomed {
                let by = place(&entry).map_or(Limit::Age, |(_, by)| by);
                match remove(&entry) {
                    Ok(()) => {
                        self.available = self.available.saturating_add(entry.bytes);
                        removed(&entry, by, Ok(()));
                    }
                    // Another process was faster.
                    Err(_) if !entry.folder.exists() => {}
                    // It was pinned, or is written. Others go instead.
                    Err(StoreError::Pinned { .. } | StoreError::InUse { .. }) => self.keep(entry),
                    Err(error) => {
                        removed(&entry, by, Err(error));
                        self.keep(entry);
                    }
                }
            }
        }
    }

    fn keep(&mut self, entry: Listed) {
        self.stay.insert(entry.folder.clone());
        self.entries.push(entry);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
