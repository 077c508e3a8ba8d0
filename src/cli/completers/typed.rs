//! What was typed so far of a command.

use std::env;
use std::ffi::OsStr;

use clap::{ArgMatches, CommandFactory};

use crate::cli::Arguments;
use crate::cli::store_folder::StorePlace;

/// The arguments of the command that is being typed, as far as they can be understood.
pub(super) struct Typed(ArgMatches);

impl Typed {
    /// Of the words that a shell has given to this process, behind `--`.
    pub(super) fn now() -> Option<Self> {
        let words = env::args_os().skip_while(|word| word != "--").skip(1);
        let command = Arguments::command().ignore_errors(true);
        let mut matches = command.try_get_matches_from(words).ok()?;
        Some(Self(matches.remove_subcommand()?.1))
    }

    /// An argument that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.try_get_one::<String>(name);
        found.ok().flatten().map(String::as_str)
    }

    /// The store, if one is named.
    pub(super) fn store(&self) -> Option<StorePlace> {
        self.0.try_get_one::<StorePlace>("store").ok().flatten().cloned()
    }
}

/// A word without the quote that was opened for it, and without backslashes: some shells give the
/// word as it is in the line.
pub(super) fn unquoted(word: &OsStr) -> Option<String> {
    let word = word.to_str()?;
    let word = word.strip_prefix(['\'', '"']).unwrap_or(word);
    Some(word.replace('\\', ""))
}
