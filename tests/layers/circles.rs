//! Circles of modules that use each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::ModulePath;

/// Modules beside each other, by the module that has them, and which uses which. Each counts
/// with all that is below it. A module and what is below it may use each other.
pub(crate) fn siblings(
    uses: &BTreeSet<(ModulePath, ModulePath)>,
) -> BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> {
    let mut all: BTreeMap<_, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, to) in uses {
        let common = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        if let (Some(one), Some(other)) = (from.get(common), to.get(common)) {
            let parent = from[..common].to_vec();
            all.entry(parent).or_default().entry(one.clone()).or_default().insert(other.clone());
        }
    }
    all
}

/// Those that can be reached from themselves: one list for each circle, or for circles that touch.
pub(crate) fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        uses.keys().map(|from| (from, reached(uses, from))).collect();
    let mutual = |one: &String, other: &String| {
        let reaches = |from, to| reached.get(from).is_some_and(|reached| reached.contains(to));
        reaches(one, other) && reaches(other, one)
    };
    uses.keys()
        .filter(|one| mutual(one, one))
        .map(|one| uses.keys().filter(|other| mutual(one, other)).cloned().collect())
        .collect()
}

fn reached<'a>(
    uses: &'a BTreeMap<String, BTreeSet<String>>,
    from: &String,
) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<&String> = uses.get(from).into_iter().flatten().collect();
    while let Some(next) = todo.pop() {
        if reached.insert(next) {
            todo.extend(uses.get(next).into_iter().flatten());
        }
    }
    reached
}
