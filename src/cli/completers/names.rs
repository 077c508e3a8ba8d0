//! Names of a core's kernel, for `print`.
//!
//! The core is opened as for the command itself: confined, and with the same limits. A guest that
//! runs, and a core on another machine, are not asked.

use std::ffi::OsStr;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::typed::{Typed, unquoted};
use crate::cli::confinement::SandboxArgs;
use crate::cli::store_folder::{self, StorePlace};
use crate::kernel::Kernel;
use crate::kernel::print::Word;
use crate::remote::address::Address;
use crate::sandbox::limits::Reads;
use crate::store::entry::Entry;
use crate::vmcore::Vmcore;

/// Completes a type, or an expression without one.
pub(in crate::cli) fn subjects() -> ArgValueCompleter {
    fn of(_: &Typed) -> Option<Word<'_>> {
        Some(Word::Subject)
    }
    ArgValueCompleter::new(|word: &OsStr| complete(word, of))
}

/// Completes an expression.
pub(in crate::cli) fn expressions() -> ArgValueCompleter {
    fn of(typed: &Typed) -> Option<Word<'_>> {
        let others = ["list", "rbtree", "container_of"];
        let is_itself = others.iter().all(|name| typed.text(name).is_none());
        Some(Word::Expression { subject: typed.text("subject")?, is_itself })
    }
    ArgValueCompleter::new(|word: &OsStr| complete(word, of))
}

/// Completes a member of the type.
pub(in crate::cli) fn members() -> ArgValueCompleter {
    fn of(typed: &Typed) -> Option<Word<'_>> {
        Some(Word::Member { subject: typed.text("subject")? })
    }
    ArgValueCompleter::new(|word: &OsStr| complete(word, of))
}

fn complete(word: &OsStr, what: fn(&Typed) -> Option<Word<'_>>) -> Vec<CompletionCandidate> {
    let found = || {
        let (word, typed) = (unquoted(word)?, Typed::now()?);
        let what = what(&typed)?;
        let core = open(typed.text("entry")?, &typed)?;
        let kernel = Kernel::find(&core).ok()?;
        kernel.read_symbols_and_types();
        Some(kernel.complete(what, &word))
    };
    found().unwrap_or_default().into_iter().map(CompletionCandidate::from).collect()
}

fn open(entry: &str, typed: &Typed) -> Option<Vmcore> {
    let entry = match Address::parse(entry) {
        Some(Address::Local(path)) => Entry::at(&path),
        Some(Address::Remote(_)) => return None,
        None => {
            let folder = match typed.store() {
                None => store_folder::by_default(),
                Some(StorePlace::Folder(folder)) => folder,
                Some(StorePlace::Remote(_)) => return None,
            };
            Entry::find(entry, &folder).ok()?
        }
    };
    SandboxArgs::default().open(&entry.with_core().ok()?, Reads::Kernel, &[]).ok()
}
