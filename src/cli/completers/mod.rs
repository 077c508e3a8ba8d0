//! What arguments complete to that clap does not know: ids of stored crashes, names of a core.
//!
//! An argument names its completer (`add = completers::entries()`). One is called in a process that
//! a shell has started for a tab (`completions`).

mod names;
mod stores;
mod typed;

pub(super) use names::{expressions, members, subjects};
pub(super) use stores::{entries, whole_ids};
