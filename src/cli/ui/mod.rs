//! What the user sees on the standard streams.
//!
//! Progress and messages go to stderr, progress only to a terminal; stdout has
//! what was asked for, and nothing else.

mod progress_bar;
mod stderr_writer;

use std::io::{self, Write};

use stderr_writer::StderrWriter;

use super::exit::UsageError;
use crate::capture::Outcome;
use crate::corefile::write::Progress;
use crate::debugger::{NotFound, NotInstalled};
use crate::encryption::EncryptionError;
use crate::held::HeldError;
use crate::import::ImportError;
use crate::mount::MountError;
use crate::observer::Observer;
use crate::printable::shown;
use crate::remote::address::without_secrets;
use crate::render::crash_title::crash_title;
use crate::sandbox::print::Failure;
use crate::store::StoreError;
use crate::watch::WatchError;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    /// Errors only.
    Quiet,
    /// Warnings, errors and progress.
    Normal,
    /// Every step, too.
    Verbose,
}

/// Prints an error that ended a command.
pub(super) fn error(error: &anyhow::Error) {
    say(&format!("error: {}", with_causes(error)));
    if let Some(hint) = hint_of(error) {
        say(&format!("hint: {hint}"));
    }
}

/// The error and what caused it, without what its own text has said already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// What the user can do about an error.
fn hint_of(error: &anyhow::Error) -> Option<String> {
    let usage = error.downcast_ref::<UsageError>().and_then(|usage| usage.hint.clone());
    let store = || error.downcast_ref::<StoreError>()?.hint().map(str::to_owned);
    let mount = || error.downcast_ref::<MountError>()?.hint();
    let vmlinux = || Some(error.downcast_ref::<NotFound>()?.hint());
    let program = || Some(error.downcast_ref::<NotInstalled>()?.hint().to_owned());
    let import = || error.downcast_ref::<ImportError>()?.hint();
    let print = || error.downcast_ref::<Failure>()?.hint.clone();
    let encryption = || error.downcast_ref::<EncryptionError>()?.hint().map(str::to_owned);
    let held = || error.downcast_ref::<HeldError>()?.hint().map(str::to_owned);
    let watch = || error.downcast_ref::<WatchError>()?.hint().map(str::to_owned);
    let usage = usage.or_else(watch).or_else(print);
    usage
        .or_else(store)
        .or_else(mount)
        .or_else(vmlinux)
        .or_else(program)
        .or_else(import)
        .or_else(encryption)
        .or_else(held)
}

/// Prints a line to stderr. What is not printable in it is replaced, and addresses have no secrets:
/// an argument may be one, whatever it was taken for. There is no way to report that this failed.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", shown(&without_secrets(line)));
}

/// Prints findings to stderr, one on a line.
pub(super) fn say_findings<'f>(findings: impl IntoIterator<Item = &'f String>) {
    for finding in findings {
        say(&format!("finding: {finding}"));
    }
}

/// Prints a capture's steps and progress, and never blocks the capture.
pub(super) struct StderrObserver {
    verbosity: Verbosity,
    stderr: StderrWriter,
}

impl StderrObserver {
    /// An observer on stderr.
    pub(super) fn new(verbosity: Verbosity) -> io::Result<Self> {
        Ok(Self { verbosity, stderr: StderrWriter::on_stderr()? })
    }

    /// Ends, once all is printed.
    pub(super) fn close(self) {
        self.stderr.end(Vec::new());
    }

    /// Prints what went wrong in a capture, and ends.
    pub(super) fn end(self, outcome: &Outcome) {
        let mut lines = Vec::new();
        for problem in &outcome.problems {
            lines.push(format!("error: {}", problem.message));
            lines.extend(problem.hint.as_ref().map(|hint| format!("hint: {hint}")));
        }
        if let Some(kept) = &outcome.incomplete {
            lines.push(format!("note: what was written is kept in {}", kept.display()));
        }
        self.stderr.end(lines);
    }
}

impl Observer for StderrObserver {
    fn step(&self, text: &str) {
        if self.verbosity == Verbosity::Verbose {
            let now = jiff::Timestamp::now();
            self.stderr.line(&format!("{now:.3} {text}"));
        }
    }

    fn title(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            self.stderr.line(&format!("title: {}", crash_title(text)));
        }
    }

    fn warning(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            self.stderr.line(&format!("warning: {text}"));
        }
    }

    fn progress(&self, progress: Progress) {
        if self.verbosity != Verbosity::Quiet {
            self.stderr.progress(progress);
        }
    }

    fn dump_ended(&self) {
        self.stderr.dump_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::with_causes;

    #[test]
    fn a_cause_is_printed_once() {
        let error = anyhow::anyhow!("the disk is full").context("cannot write x: the disk is full");
        assert_eq!(
            with_causes(&error.context("no core")),
            "no core: cannot write x: the disk is full"
        );
    }
}
