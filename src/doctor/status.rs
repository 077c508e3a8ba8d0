//! A guest's facts beside what the store has of it.

use jiff::Timestamp;
use serde::Serialize;

use super::facts::GuestFacts;
use crate::metadata::{METADATA_FILE, Metadata};
use crate::regular_file::read_own;
use crate::store::listing::Listed;

/// A guest, and what the store has of it.
#[derive(Clone, Debug, Serialize)]
pub struct GuestStatus {
    /// What is known of it.
    #[serde(flatten)]
    pub facts: GuestFacts,
    /// Since when it is panicked, at the latest: when a capture that left it held noticed it.
    pub panicked_since: Option<Timestamp>,
    /// How many entries the store has of it.
    pub entries: usize,
    /// The newest of them.
    pub newest_entry: Option<String>,
}

impl GuestStatus {
    /// The status of a guest. The entries are in the order of their times.
    pub fn of(facts: GuestFacts, entries: &[Listed]) -> Self {
        let is_of_guest =
            |entry: &&Listed| facts.name.as_ref().is_some_and(|name| *name == entry.guest());
        let of_guest: Vec<_> = entries.iter().filter(is_of_guest).collect();
        let newest = of_guest.last();
        let is_panicked = facts.panicked == Some(true);
        let held_since = newest.filter(|_| is_panicked).and_then(|entry| left_held(entry, &facts));
        Self {
            panicked_since: held_since,
            entries: of_guest.len(),
            newest_entry: newest.map(|entry| entry.id.clone()),
            facts,
        }
    }
}

/// When a capture noticed the panic of a guest that it left held.
fn left_held(entry: &Listed, facts: &GuestFacts) -> Option<Timestamp> {
    const MAX_METADATA: u64 = 1 << 20;
    let text = read_own(&entry.folder.join(METADATA_FILE), MAX_METADATA).ok()?;
    let metadata: Metadata = serde_json::from_slice(&text).ok()?;
    // Another guest may have had its name.
    let is_other = match (&metadata.guest.uuid, &facts.uuid) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    };
    let is_held = metadata.release.is_none_or(|release| release.action == "hold");
    metadata.panic.filter(|_| is_held && !is_other).map(|panic| panic.noticed)
}
