//! Which entries may go, and in which order.
//!
//! Never one that is not published, pinned, or the first or the newest of its signature, or the first or
//! the newest of it that has a core. All entries without a signature are taken as one more.
//!
//! Cores go first, then entries without one, which have hardly any length and are what the crashes
//! are counted by. Each entry is worth the less, the more of its kind there are: the next
//! one is of the signature that has the most left, of the guest that has the most of these left, and
//! the oldest of them. So a crash loop is thinned out before a rare crash loses anything,
//! and no guest loses its only core to the crash loop of another.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::store::listing::Listed;

/// What entries are sorted by: oldest first.
fn time_key(entry: &Listed) -> (Option<Timestamp>, String) {
    (entry.time, entry.id.clone())
}

/// The entries that may go, the first to go first.
pub(super) fn order(entries: &[Listed]) -> Vec<&Listed> {
    let mut published: Vec<&Listed> = entries.iter().filter(|entry| entry.published).collect();
    published.sort_by_cached_key(|entry| time_key(entry));
    let stay = first_and_newest(&published);
    let of_kind = |with_core: bool| {
        let kind = published.iter().copied().filter(move |entry| has_core(entry) == with_core);
        ordered(&kind.collect::<Vec<_>>(), &stay)
    };
    let mut order = of_kind(true);
    order.extend(of_kind(false));
    order
}

/// Whether an entry has a core.
pub(super) fn has_core(entry: &Listed) -> bool {
    entry.core_bytes.is_some()
}

fn signature(entry: &Listed) -> Option<&str> {
    entry.report.as_ref()?.signature.as_deref()
}

/// The entries that have to stay for their signature. They come oldest first.
fn first_and_newest<'a>(published: &[&'a Listed]) -> HashSet<&'a std::path::Path> {
    let mut ends: HashMap<(Option<&str>, bool), (&'a Listed, &'a Listed)> = HashMap::new();
    for entry in published {
        // With a core it is one of all, too.
        let kinds: &[bool] = if has_core(entry) { &[false, true] } else { &[false] };
        for kind in kinds {
            let (_, newest) = ends.entry((signature(entry), *kind)).or_insert((entry, entry));
            *newest = entry;
        }
    }
    ends.into_values().flat_map(|(first, newest)| [&*first.folder, &*newest.folder]).collect()
}

/// Entries of one kind, oldest first, in the order in which they go.
fn ordered<'a>(entries: &[&'a Listed], stay: &HashSet<&std::path::Path>) -> Vec<&'a Listed> {
    let mut signatures: HashMap<Option<&str>, Vec<(String, &'a Listed)>> = HashMap::new();
    for entry in entries {
        signatures.entry(signature(entry)).or_default().push((entry.guest(), entry));
    }
    let mut order: Vec<(Reverse<usize>, Option<Timestamp>, &str, &'a Listed)> = Vec::new();
    for of_signature in signatures.into_values() {
        let mut left = of_signature.len();
        for entry in within_signature(&of_signature, stay) {
            order.push((Reverse(left), entry.time, &entry.id, entry));
            left = left.saturating_sub(1);
        }
    }
    order.sort_by_key(|(left, time, id, _)| (*left, *time, *id));
    order.into_iter().map(|(.., entry)| entry).collect()
}

/// Of one signature: the oldest of the guest that has the most left.
fn within_signature<'a>(
    entries: &[(String, &'a Listed)],
    stay: &HashSet<&std::path::Path>,
) -> Vec<&'a Listed> {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for (guest, _) in entries {
        *left.entry(guest).or_default() += 1;
    }
    let mut order = Vec::new();
    for (guest, entry) in
        entries.iter().filter(|(_, entry)| !entry.pinned && !stay.contains(&*entry.folder))
    {
        let left = left.entry(guest).or_default();
        order.push((Reverse(*left), *entry));
        *left = left.saturating_sub(1);
    }
    // Stable: of the same number, the oldest first.
    order.sort_by_key(|(left, _)| *left);
    order.into_iter().map(|(_, entry)| entry).collect()
}
