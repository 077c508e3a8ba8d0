//! Why an entry has no core, where nothing failed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why there is no core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreLeftOut {
    /// What there is instead.
    pub cause: LeftOutCause,
    /// What decided so, in its own words: a guard of the watcher, a hook, a user.
    pub reason: Option<String>,
}

/// What there is instead of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutCause {
    /// Report and metadata: no more was asked for.
    ReportOnly,
    /// Report and metadata: the core did not fit into the store.
    StoreFull,
    /// Metadata alone: the guest was gone, or ran again, before it could be captured.
    PanicLost,
}

impl fmt::Display for CoreLeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cause {
            LeftOutCause::ReportOnly => "only its report was made",
            LeftOutCause::StoreFull => "it did not fit into the store, and its report was made",
            LeftOutCause::PanicLost => "its memory was lost before it could be captured",
        })?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}
