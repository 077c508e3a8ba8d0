//! Guards: what keeps a host that panics without end from filling its disks.

use std::time::Duration;

use serde::Deserialize;

use super::values;

/// When a capture waits, and when it leaves its core out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Guards {
    /// How many captures there are at once.
    #[serde(deserialize_with = "values::count")]
    pub captures: usize,
    /// How many of them hold a guest for its dump.
    #[serde(deserialize_with = "values::count")]
    pub dumping: usize,
    /// When a guest is in a crash loop.
    pub crash_loop: CrashLoop,
    /// How many cores of one signature are kept; `None` for all.
    #[serde(deserialize_with = "values::some_count")]
    pub duplicates: Option<usize>,
    /// How much may be written; `None` for as much as comes.
    pub write_limit: Option<WriteLimit>,
    /// How large the store may become, once what may be pruned of it is; `None` for the disk's
    /// size.
    #[serde(deserialize_with = "values::some_size")]
    pub store_size: Option<u64>,
    /// What the store's file system keeps free; `None` for the default of `capture`.
    #[serde(deserialize_with = "values::some_size")]
    pub keep_free: Option<u64>,
}

/// A guest that panics so often in this time is in a crash loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashLoop {
    /// How often.
    #[serde(deserialize_with = "values::count")]
    pub panics: usize,
    /// In which time.
    #[serde(deserialize_with = "values::duration")]
    pub within: Duration,
}

/// How many bytes of cores may be written in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteLimit {
    /// How many.
    #[serde(deserialize_with = "values::size")]
    pub bytes: u64,
    /// In which time.
    #[serde(deserialize_with = "values::duration")]
    pub within: Duration,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            captures: 4,
            dumping: 2,
            crash_loop: CrashLoop { panics: 5, within: Duration::from_hours(1) },
            duplicates: None,
            write_limit: None,
            store_size: None,
            keep_free: None,
        }
    }
}
