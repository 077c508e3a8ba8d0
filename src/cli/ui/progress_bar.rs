//! The dump's progress on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::corefile::write::Progress;
use crate::units::percent;

/// A bar that is there as long as there is progress to show.
#[derive(Default)]
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Shows how far the dump is.
    pub(super) fn show(&mut self, progress: Progress) {
        let bar = self.0.get_or_insert_with(new_bar);
        if progress.bytes_expected > 0 {
            bar.set_length(progress.bytes_expected);
        }
        bar.set_position(progress.bytes_read);
        bar.set_message(percent(progress.bytes_written, progress.bytes_read));
    }

    /// Does what prints lines, with the bar out of the way.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.0.take() {
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
