//! Which entries go for which limit. Decides, and removes nothing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use super::order::{has_core, order};
use super::{Limit, Limits};
use crate::store::listing::Listed;
use crate::units::bytes;

/// What is to go.
#[derive(Clone, Debug, Default)]
pub struct Plan<'a> {
    /// Entries, the first to go first.
    pub chosen: Vec<Chosen<'a>>,
    /// Limits that are not met by that: what is left has to stay.
    pub unmet: Vec<Unmet>,
}

/// An entry that is to go.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// The entry.
    pub entry: &'a Listed,
    /// For which limit.
    pub by: Limit,
}

/// A limit that is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// Which one.
    pub limit: Limit,
    /// What it asks for, in bytes.
    pub wanted: u64,
    /// What there would be, in bytes.
    pub left: u64,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wanted, left) = (bytes(self.wanted), bytes(self.left));
        match self.limit {
            Limit::Free => write!(f, "{wanted} are to be free, and {left} are")?,
            _ => write!(f, "the store is to have {wanted} at most, and has {left}")?,
        }
        f.write_str(
            ": what is left is pinned, not published, being written, or the first or the newest \
             of its signature",
        )
    }
}

/// How long all files of entries are together.
pub(super) fn total(entries: &[Listed]) -> u64 {
    entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes))
}

/// Chooses what is to go. `may_go` is asked of each entry that is about to be chosen.
pub(super) fn plan<'a>(
    entries: &'a [Listed],
    limits: &Limits,
    available: u64,
    may_go: &dyn Fn(&Listed) -> bool,
) -> Plan<'a> {
    let mut choice = Choice { chosen: Vec::new(), folders: HashSet::new(), bytes: 0, may_go };
    let order = order(entries);
    if let Some(oldest) = limits.oldest {
        let old = order.iter().filter(|entry| entry.time.is_some_and(|time| time < oldest));
        old.for_each(|entry| choice.take(entry, Limit::Age));
    }
    if let Some(most) = limits.per_guest {
        count(entries, &order, most, &mut choice);
    }
    let mut unmet = Vec::new();
    if let Some(wanted) = limits.total_bytes {
        let total = total(entries);
        let left = |choice: &Choice<'_, '_>| total.saturating_sub(choice.bytes);
        let more = |choice: &Choice<'_, '_>| left(choice) > wanted;
        choice.take_while(&order, Limit::Size, more);
        if more(&choice) {
            unmet.push(Unmet { limit: Limit::Size, wanted, left: left(&choice) });
        }
    }
    if let Some(wanted) = limits.free_bytes {
        let left = |choice: &Choice<'_, '_>| available.saturating_add(choice.bytes);
        let more = |choice: &Choice<'_, '_>| left(choice) < wanted;
        choice.take_while(&order, Limit::Free, more);
        if more(&choice) {
            unmet.push(Unmet { limit: Limit::Free, wanted, left: left(&choice) });
        }
    }
    Plan { chosen: choice.chosen, unmet }
}

/// Of a guest that has too many, the first in the order.
fn count<'a>(entries: &[Listed], order: &[&'a Listed], most: usize, choice: &mut Choice<'a, '_>) {
    let mut left: HashMap<(String, bool), usize> = HashMap::new();
    let is_there = |entry: &&Listed| entry.published && !choice.folders.contains(&*entry.folder);
    for entry in entries.iter().filter(is_there) {
        *left.entry((entry.guest(), has_core(entry))).or_default() += 1;
    }
    for entry in order {
        let left = left.entry((entry.guest(), has_core(entry))).or_default();
        let before = choice.chosen.len();
        if *left > most {
            choice.take(entry, Limit::Count);
        }
        *left = left.saturating_sub(choice.chosen.len().saturating_sub(before));
    }
}

/// What was chosen so far.
struct Choice<'a, 'b> {
    chosen: Vec<Chosen<'a>>,
    folders: HashSet<&'a Path>,
    bytes: u64,
    may_go: &'b dyn Fn(&Listed) -> bool,
}

impl<'a> Choice<'a, '_> {
    fn take(&mut self, entry: &'a Listed, by: Limit) {
        if !self.folders.contains(&*entry.folder) && (self.may_go)(entry) {
            self.folders.insert(&entry.folder);
            self.chosen.push(Chosen { entry, by });
            self.bytes = self.bytes.saturating_add(entry.bytes);
        }
    }

    fn take_while(&mut self, order: &[&'a Listed], by: Limit, more: impl Fn(&Self) -> bool) {
        for entry in order {
            if !more(self) {
                return;
            }
            self.take(entry, by);
        }
    }
}
