//! Names that are similar to one that is not found.

use std::collections::BTreeSet;

/// The most names that are given.
const MOST: usize = 4;
/// The longest name that is compared, in bytes.
const LONGEST: usize = 64;

/// The most similar ones of `names`, the best first. None that has little in common.
pub(super) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n [u8]>) -> Vec<String> {
    let wanted = wanted.as_bytes();
    let worst = (wanted.len() / 3).clamp(1, 6);
    let mut best = BTreeSet::new();
    for name in names {
        let far = name.len().abs_diff(wanted.len()) > worst;
        let contains = wanted.len() > 3 && name.starts_with(wanted);
        if name.is_empty() || name.len() > LONGEST || far && !contains {
            continue;
        }
        let distance = if contains { 1 } else { distance(wanted, name, worst) };
        if distance <= worst {
            best.insert((distance, name.len(), name));
            if best.len() > MOST {
                best.pop_last();
            }
        }
    }
    let shown = |(_, _, name): (_, _, &[u8])| String::from_utf8_lossy(name).into_owned();
    best.into_iter().map(shown).collect()
}

/// How many letters are to be changed, added, left out or exchanged with the next; more than
/// `worst` if it is more.
fn distance(one: &[u8], other: &[u8], worst: usize) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous = None;
    for (row, letter) in one.iter().enumerate() {
        let mut next = Vec::with_capacity(last.len());
        next.push(row.saturating_add(1));
        for (column, second) in other.iter().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX);
            let change = at(&last, column).saturating_add(usize::from(letter != second));
            let add = at(&next, column).saturating_add(1);
            let leave = at(&last, column.saturating_add(1)).saturating_add(1);
            let mut least = change.min(add).min(leave);
            let crossed = column
                .checked_sub(1)
                .filter(|left| previous == Some(second) && other.get(*left) == Some(letter));
            if let Some(left) = crossed {
                least = least.min(at(&before, left).saturating_add(1));
            }
            next.push(least);
        }
        if next.iter().min().is_none_or(|least| *least > worst) {
            return worst.saturating_add(1);
        }
        before = std::mem::replace(&mut last, next);
        previous = Some(letter);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_found_and_others_are_not() {
        let names = ["task_struct", "tasks", "taskstats", "module", "", "task_struct_other_long"];
        let find = |wanted| nearest(wanted, names.iter().map(|name| name.as_bytes()));
        assert_eq!(find("task_strcut"), ["task_struct"]);
        assert_eq!(find("task_struc"), ["task_struct", "task_struct_other_long"]);
        assert_eq!(find("modul"), ["module"]);
        assert!(find("inode").is_empty());
        assert_eq!(distance(b"abc", b"acb", 5), 1);
        assert_eq!(distance(b"abc", b"", 5), 3);
    }
}
