//! What the user sees on the standard streams.
//!
//! Progress and messages go to stderr, progress only to a terminal; stdout has
//! what was asked for, and nothing else.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::exit::UsageError;
use crate::capture::stream::Progress;
use crate::capture::{Observer, Problem};
use crate::mount::MountError;
use crate::render::units::percent;
use crate::store::StoreError;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    /// Errors only.
    Quiet,
    /// Warnings, errors and progress.
    Normal,
    /// Every step, too.
    Verbose,
}

/// Prints an error that ended a command.
pub(super) fn error(error: &anyhow::Error) {
    say(&format!("error: {error:#}"));
    if let Some(hint) = hint_of(error) {
        say(&format!("hint: {hint}"));
    }
}

/// What the user can do about an error.
fn hint_of(error: &anyhow::Error) -> Option<String> {
    let usage = error.downcast_ref::<UsageError>().and_then(|usage| usage.hint.clone());
    let store = || error.downcast_ref::<StoreError>()?.hint().map(str::to_owned);
    let mount = || error.downcast_ref::<MountError>()?.hint();
    usage.or_else(store).or_else(mount)
}

/// Prints what went wrong in a capture.
pub(super) fn problem(problem: &Problem) {
    say(&format!("error: {}", problem.message));
    if let Some(hint) = &problem.hint {
        say(&format!("hint: {hint}"));
    }
}

/// Prints a line to stderr. Nobody is there to be told if that fails.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Tells of a capture's steps and progress.
pub(super) struct Narrator {
    talk: Talk,
    bar: Mutex<Option<ProgressBar>>,
    terminal: bool,
}

impl Narrator {
    pub(super) fn new(talk: Talk) -> Self {
        let terminal = std::io::stderr().is_terminal() && talk != Talk::Quiet;
        Self { talk, bar: Mutex::new(None), terminal }
    }

    fn line(&self, text: &str) {
        match self.bar.lock().ok().as_deref() {
            Some(Some(bar)) => bar.suspend(|| say(text)),
            _ => say(text),
        }
    }
}

impl Observer for Narrator {
    fn step(&self, text: &str) {
        if self.talk == Talk::Verbose {
            let now = jiff::Timestamp::now();
            self.line(&format!("{now:.3} {text}"));
        }
    }

    fn warning(&self, text: &str) {
        if self.talk != Talk::Quiet {
            self.line(&format!("warning: {text}"));
        }
    }

    fn progress(&self, progress: Progress) {
        if !self.terminal {
            return;
        }
        let Ok(mut bar) = self.bar.lock() else { return };
        let bar = bar.get_or_insert_with(new_bar);
        if progress.bytes_expected > 0 {
            bar.set_length(progress.bytes_expected);
        }
        bar.set_position(progress.bytes_read);
        bar.set_message(percent(progress.bytes_written, progress.bytes_read));
    }

    fn dump_ended(&self) {
        if let Ok(mut bar) = self.bar.lock()
            && let Some(bar) = bar.take()
        {
            bar.finish_and_clear();
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let template = "dump {wide_bar} {binary_bytes}/{binary_total_bytes} {rate} to {msg} ETA {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key(
            "rate",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.2} GiB/s", state.per_sec() / f64::from(1 << 30));
            },
        ));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
