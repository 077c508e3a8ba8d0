//! ENTRY: ids of stored crashes, and files.

use std::ffi::OsStr;

use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};

use super::typed::Typed;
use crate::cli::store_folder::{self, StorePlace};
use crate::store::listing;

/// Completes ENTRY.
pub(in crate::cli) fn entries() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let latest = "latest";
        let is_latest = word.to_str().is_some_and(|word| latest.starts_with(word));
        let latest = is_latest.then(|| CompletionCandidate::new(latest));
        latest.into_iter().chain(ids(word)).chain(PathCompleter::any().complete(word)).collect()
    })
}

/// Completes ENTRY where it has to be a whole id.
pub(in crate::cli) fn whole_ids() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        ids(word).into_iter().chain(PathCompleter::dir().complete(word)).collect()
    })
}

/// Those in a directory: no tab asks another machine.
fn ids(word: &OsStr) -> Vec<CompletionCandidate> {
    let Some(word) = word.to_str() else { return Vec::new() };
    let store = Typed::now().and_then(|typed| typed.store());
    let folder = match store {
        None => store_folder::by_default(),
        Some(StorePlace::Folder(folder)) => folder,
        Some(StorePlace::Remote(_)) => return Vec::new(),
    };
    let Ok((entries, _)) = listing::list(&folder) else { return Vec::new() };
    let ids = entries.into_iter().filter(|entry| entry.published).map(|entry| entry.id);
    ids.filter(|id| id.starts_with(word) && is_plain(id)).map(CompletionCandidate::from).collect()
}

/// Whether a shell takes a word as it is.
fn is_plain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}
