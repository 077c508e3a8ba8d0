//! Which entries of a store are wanted.

use jiff::Timestamp;

use super::listing::{EntryState, Listed};
use crate::wildcard::Wildcard;

/// What an entry must be. What is `None` or empty asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The guest's name.
    pub guest: Option<Wildcard>,
    /// The release of the guest's kernel.
    pub kernel: Option<Wildcard>,
    /// The signature in the report.
    pub signature: Option<Wildcard>,
    /// The earliest time.
    pub since: Option<Timestamp>,
    /// The latest time.
    pub until: Option<Timestamp>,
    /// One of these; none of them for what is published.
    pub states: Vec<EntryState>,
}

impl Filter {
    /// Whether an entry is wanted. What is not known of it matches no pattern.
    pub fn wants(&self, entry: &Listed) -> bool {
        let fits = |pattern: &Option<Wildcard>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.matches(text)))
        };
        let signature = entry.report.as_ref().and_then(|report| report.signature.as_deref());
        fits(&self.guest, Some(&entry.guest()))
            && fits(&self.kernel, entry.kernel())
            && fits(&self.signature, signature)
            && self.since.is_none_or(|since| entry.time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| entry.time.is_some_and(|time| time <= until))
            && match self.states.as_slice() {
                [] => entry.published,
                states => states.contains(&entry.state),
            }
    }
}
