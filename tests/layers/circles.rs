//! Circles of modules that use each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::ModulePath;

/// Which module uses which one beside it, and an example for each.
pub(crate) type Uses = BTreeMap<String, BTreeMap<String, String>>;

/// Modules beside each other, by the module that has them. Each counts with all that is below
/// it. A module and what is below it may use each other.
pub(crate) fn siblings(uses: &BTreeSet<(ModulePath, ModulePath)>) -> BTreeMap<ModulePath, Uses> {
    let mut all: BTreeMap<_, Uses> = BTreeMap::new();
    for (from, to) in uses {
        let common = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        if let (Some(one), Some(other)) = (from.get(common), to.get(common)) {
            let example = format!("{} uses {}", from.join("::"), to.join("::"));
            let uses = all.entry(from[..common].to_vec()).or_default();
            uses.entry(one.clone()).or_default().insert(other.clone(), example);
        }
    }
    all
}

/// Those that can be reached from themselves: one list for each circle, or for circles that touch.
pub(crate) fn circles(uses: &Uses) -> BTreeSet<Vec<String>> {
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

/// Examples of what makes a circle one.
pub(crate) fn examples(uses: &Uses, circle: &[String]) -> Vec<String> {
    let within = uses.iter().filter(|(from, _)| circle.contains(from)).flat_map(|(_, to)| to);
    within.filter(|(to, _)| circle.contains(to)).map(|(_, example)| example.clone()).collect()
}

fn reached<'a>(uses: &'a Uses, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<&String> = uses.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(next) = todo.pop() {
        if reached.insert(next) {
            todo.extend(uses.get(next).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}
