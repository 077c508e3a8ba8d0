//! The entries of a store, grouped by their signature: what happened how often, and to whom.
//!
//! Needs: listed entries with their reports. Gives: groups, the one seen last first. Titles
//! that two groups have in common make them possibly the same; nothing is merged by that. A
//! signature that is weak, or of unknown strength, makes nothing the same: each such entry
//! is a group of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::listing::{EntryState, Listed};
use super::report_head::ReportVersion;

/// The most groups that are listed for one that may be the same.
const MAX_RELATED: usize = 50;

/// The most values of a key that a group has.
const MAX_VALUES: usize = 16;

/// Entries with one signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The signature; `None` for the entries without one.
    pub signature: Option<String>,
    /// Whether it is too weak to take two entries for the same; `None` if that is unknown.
    pub weak: Option<bool>,
    /// The title, as the newest entry has it.
    pub title: Option<String>,
    /// When it was seen first.
    pub first: Option<Timestamp>,
    /// When it was seen last.
    pub last: Option<Timestamp>,
    /// The guests.
    pub guests: BTreeSet<String>,
    /// The kernels' releases.
    pub kernels: BTreeSet<String>,
    /// The entries' ids, oldest first.
    pub entries: Vec<String>,
    /// How many of them have no core.
    pub without_core: usize,
    /// How many of their reports are of an older schema or of other families.
    pub outdated: usize,
    /// Other groups that may be the same: their places in the list.
    pub possibly_same: Vec<usize>,
    /// What was noted of its entries: values by their keys.
    pub annotations: BTreeMap<String, BTreeSet<String>>,
    titles: BTreeSet<String>,
}

/// Groups entries. They are in the order of time, oldest first.
pub fn groups(entries: &[Listed], current: &ReportVersion<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut by_signature: HashMap<Option<String>, usize> = HashMap::new();
    for entry in entries {
        let report = entry.report.as_ref();
        let signature = report.and_then(|report| report.signature.clone());
        let weak =
            if signature.is_some() { report.and_then(|report| report.weak) } else { Some(false) };
        // Of a signature of unknown strength nothing follows, either.
        let strong = weak == Some(false);
        let existing = by_signature.get(&signature).copied().filter(|_| strong);
        let index = existing.unwrap_or(groups.len());
        if existing.is_none() {
            groups.push(Group { signature: signature.clone(), weak, ..Group::default() });
            if strong {
                by_signature.insert(signature, index);
            }
        }
        if let Some(group) = groups.get_mut(index) {
            group.add(entry, current);
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.last));
    relate(&mut groups);
    groups
}

impl Group {
    fn add(&mut self, entry: &Listed, current: &ReportVersion<'_>) {
        self.entries.push(entry.id.clone());
        self.guests.insert(entry.guest());
        self.kernels.extend(entry.kernel().map(str::to_owned));
        self.without_core += usize::from(entry.state == EntryState::NoCore);
        if let Some(time) = entry.time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
        for (key, value) in entry.annotations.values() {
            let values = self.annotations.entry(key.to_owned()).or_default();
            if values.len() < MAX_VALUES {
                values.insert(value.to_owned());
            }
        }
        let Some(report) = &entry.report else { return };
        self.outdated += usize::from(report.is_outdated(current) == Some(true));
        if self.signature.is_some() {
            self.titles.extend(report.title.iter().chain(&report.alt_titles).cloned());
        }
        if report.title.is_some() && self.signature.is_some() {
            self.title.clone_from(&report.title);
        }
    }
}

/// Finds the groups that share a title, or a weak signature: the first ones, if many do.
fn relate(groups: &mut [Group]) {
    let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, group) in groups.iter().enumerate() {
        for name in group.titles.iter().chain(&group.signature) {
            by_name.entry(name.clone()).or_default().push(index);
        }
    }
    let mut related: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
    for same in by_name.values().filter(|same| same.len() > 1) {
        for index in same {
            if let Some(related) = related.get_mut(*index) {
                related.extend(same.iter().filter(|other| *other != index).take(MAX_RELATED));
            }
        }
    }
    for (group, related) in groups.iter_mut().zip(related) {
        group.possibly_same = related.into_iter().take(MAX_RELATED).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::store::annotations::Annotations;
    use crate::store::report_head::ReportHead;

    const CURRENT: ReportVersion<'_> = ReportVersion { schema: "report/2", families: "1" };

    fn entry(
        id: u8,
        signature: Option<&str>,
        titles: &[&str],
        weak: impl Into<Option<bool>>,
    ) -> Listed {
        let weak = weak.into();
        Listed {
            folder: PathBuf::from(format!("store/guest-{}/{id}", id % 2)),
            id: id.to_string(),
            time: Timestamp::from_second(i64::from(id) * 100).ok(),
            published: true,
            state: EntryState::Complete,
            core_bytes: None,
            bytes: 0,
            pinned: false,
            metadata: None,
            annotations: Annotations::default(),
            report: signature.map(|signature| ReportHead {
                title: titles.first().map(|title| (*title).to_owned()),
                alt_titles: titles.iter().skip(1).map(|title| (*title).to_owned()).collect(),
                signature: Some(signature.to_owned()),
                weak,
                schema: Some(CURRENT.schema.to_owned()),
                ..ReportHead::default()
            }),
        }
    }

    #[test]
    fn entries_with_one_signature_are_one_group_and_the_newest_is_first() {
        let entries = [
            entry(1, Some("v1-a"), &["A"], false),
            entry(2, Some("v1-b"), &["B"], false),
            entry(3, None, &[], false),
            entry(4, Some("v1-a"), &["A again"], false),
        ];
        let groups = groups(&entries, &CURRENT);
        let signatures: Vec<_> = groups.iter().map(|group| group.signature.as_deref()).collect();
        assert_eq!(signatures, [Some("v1-a"), None, Some("v1-b")]);
        assert_eq!((groups[0].entries.len(), groups[0].guests.len()), (2, 2));
        assert_eq!(groups[0].title.as_deref(), Some("A again"));
        assert_eq!(groups[0].first.unwrap().as_second(), 100);
        assert_eq!(groups[0].last.unwrap().as_second(), 400);
        assert!(groups.iter().all(|group| group.possibly_same.is_empty()));
    }

    #[test]
    fn groups_that_share_a_title_are_possibly_the_same_and_stay_apart() {
        let entries = [
            entry(1, Some("v1-a"), &["KASAN: a", "bad-access in f"], false),
            entry(2, Some("v1-b"), &["BUG: b", "bad-access in f"], false),
            entry(3, Some("v1-c"), &["C"], false),
        ];
        let groups = groups(&entries, &CURRENT);
        let same: Vec<_> = groups.iter().map(|group| group.possibly_same.clone()).collect();
        assert_eq!(same, [vec![], vec![2], vec![1]]);
    }

    /// Each of thousands of groups with one title listed all others.
    #[test]
    fn of_many_groups_that_share_a_title_a_few_are_listed() {
        let signatures: Vec<_> = (0..250_u8).map(|id| format!("v1-{id}")).collect();
        let entries = signatures.iter().zip(0..);
        let entries: Vec<_> =
            entries.map(|(signature, id)| entry(id, Some(signature), &["A"], false)).collect();
        let groups = groups(&entries, &CURRENT);
        assert_eq!(groups.len(), 250);
        assert!(groups.iter().all(|group| group.possibly_same.len() == MAX_RELATED));
        assert!(groups.iter().enumerate().all(|(own, group)| !group.possibly_same.contains(&own)));
    }

    #[test]
    fn a_weak_signature_makes_nothing_the_same() {
        let entries = [entry(1, Some("v1-a"), &["A"], true), entry(2, Some("v1-a"), &["A"], true)];
        let groups = groups(&entries, &CURRENT);
        assert_eq!(groups.len(), 2);
        assert_eq!((&*groups[0].possibly_same, &*groups[1].possibly_same), (&[1][..], &[0][..]));
    }

    /// A title and a signature of before the dump counted as strong, and merged two crashes.
    #[test]
    fn a_signature_of_unknown_strength_makes_nothing_the_same() {
        let entries = [
            entry(1, Some("v1-a"), &["A"], None),
            entry(2, Some("v1-a"), &["A"], None),
            entry(3, Some("v1-a"), &["A"], false),
        ];
        let groups = groups(&entries, &CURRENT);
        let weak: Vec<_> = groups.iter().map(|group| group.weak).collect();
        assert_eq!(weak, [Some(false), None, None]);
        assert_eq!(
            (&*groups[0].possibly_same, &*groups[1].possibly_same),
            (&[1, 2][..], &[0, 2][..])
        );
    }

    #[test]
    fn reports_of_another_version_are_counted() {
        let mut entries =
            [entry(1, Some("v1-a"), &["A"], false), entry(2, Some("v1-a"), &["A"], false)];
        entries[0].report.as_mut().unwrap().schema = Some("report/1".to_owned());
        assert_eq!(groups(&entries, &CURRENT)[0].outdated, 1);
    }
}
