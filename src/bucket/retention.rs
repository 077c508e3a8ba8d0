//! Which cores go before their entries do: reports and packs are small, and say what happened.
//!
//! Of each signature, the first and the newest core stay, and so does each one that is pinned. All
//! entries without a signature are taken as one more.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::store::listing::Listed;

/// How many cores are kept, and for how long. What is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreLimits {
    /// How many of each signature.
    pub per_signature: Option<usize>,
    /// The time of the oldest one.
    pub oldest: Option<Timestamp>,
}

/// The entries whose cores go, oldest first.
pub fn cores_to_remove<'a>(
    entries: impl IntoIterator<Item = &'a Listed>,
    limits: &CoreLimits,
) -> Vec<&'a Listed> {
    let has_core = |entry: &&Listed| entry.published && entry.core_bytes.is_some() && !entry.pinned;
    let mut with_core: Vec<&Listed> = entries.into_iter().filter(has_core).collect();
    with_core.sort_by_cached_key(|entry| (entry.time, entry.id.clone()));
    let mut signatures: HashMap<Option<&str>, Vec<&Listed>> = HashMap::new();
    for entry in with_core {
        let signature = entry.report.as_ref().and_then(|report| report.signature.as_deref());
        signatures.entry(signature).or_default().push(entry);
    }
    let mut removed: Vec<&Listed> = Vec::new();
    for of_signature in signatures.into_values() {
        let [_first, between @ .., _newest] = of_signature.as_slice() else { continue };
        let kept = limits.per_signature.map_or(usize::MAX, |kept| kept.saturating_sub(2));
        let too_many = between.len().saturating_sub(kept);
        for (rank, entry) in between.iter().enumerate() {
            let too_old = |oldest| entry.time.is_some_and(|time| time < oldest);
            if rank < too_many || limits.oldest.is_some_and(too_old) {
                removed.push(entry);
            }
        }
    }
    removed.sort_by_cached_key(|entry| (entry.time, entry.id.clone()));
    removed
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::store::annotations::Annotations;
    use crate::store::listing::EntryState;
    use crate::store::report_head::ReportHead;

    fn entry(second: i64, signature: Option<&str>) -> Listed {
        let report =
            ReportHead { signature: signature.map(str::to_owned), ..ReportHead::default() };
        Listed {
            folder: PathBuf::from(format!("web/{second}")),
            id: second.to_string(),
            time: Timestamp::from_second(second).ok(),
            published: true,
            state: EntryState::Complete,
            core_bytes: Some(1),
            bytes: 1,
            pinned: false,
            metadata: None,
            report: Some(report),
            annotations: Annotations::default(),
        }
    }

    fn ids(entries: &[Listed], limits: CoreLimits) -> Vec<&str> {
        cores_to_remove(entries, &limits).into_iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn the_first_and_the_newest_of_each_signature_and_what_is_pinned_stay() {
        let mut entries: Vec<Listed> = (1..=6).map(|second| entry(second, Some("a"))).collect();
        entries.extend([entry(3, Some("b")), entry(4, Some("b")), entry(5, None)]);
        let per_signature = |count| CoreLimits { per_signature: Some(count), oldest: None };
        assert_eq!(ids(&entries, CoreLimits::default()), [""; 0]);
        assert_eq!(ids(&entries, per_signature(2)), ["2", "3", "4", "5"]);
        assert_eq!(ids(&entries, per_signature(4)), ["2", "3"]);
        assert_eq!(ids(&entries, per_signature(9)), [""; 0]);
        let oldest = CoreLimits { oldest: Timestamp::from_second(4).ok(), per_signature: None };
        assert_eq!(ids(&entries, oldest), ["2", "3"]);
        entries[1].pinned = true;
        entries[2].core_bytes = None;
        assert_eq!(ids(&entries, per_signature(2)), ["4", "5"]);
    }
}
