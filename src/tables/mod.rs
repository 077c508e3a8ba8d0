//! The table of crashes: a row for each, whoever captured it.
//!
//! ```text
//! index/new/day=YYYY-MM-DD/<id>.json                     a row, written once, when its entry was published
//! index/crashes/day=YYYY-MM-DD/part-<hash>.parquet       rows of that day, with their stacks and modules
//! index/annotations/day=YYYY-MM-DD/<id>.<random>.json    what was noted of a crash, written once
//! ```
//!
//! The day is that of the capture, in UTC. Everything is written under a name that nothing had
//! before, and removed only after something else has what was in it: so there is no lock, any
//! number of hosts may write and compact at the same time, and a reader needs to do nothing but
//! to drop rows of an id that it has already.
//!
//! Needs: the metadata and the report of an entry. Gives: rows (`vmcorectl/crash/1`, as
//! `samples/crash.schema.json` describes them), and tables of them that other programs read. A
//! row stays when its entry is removed: the table is what happened, not what is stored.

mod compact;
mod elsewhere;
mod folder;
pub mod layout;
mod listed;
mod objects;
mod of_entry;
mod part;
mod publish;
mod read;
pub mod row;

/// Name of the triage pack in an entry.
pub const PACK_FILE: &str = "triage.zst";

pub use compact::{Compacted, compact};
pub use elsewhere::Elsewhere;
pub use folder::Folder;
pub use objects::{Objects, TableError};
pub use of_entry::EntryTexts;
pub use publish::ids;
pub use read::Table;
pub use row::Row;
