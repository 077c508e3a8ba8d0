//! All that is looked at: once for the host, and for each guest.

use std::path::PathBuf;

use serde::Serialize;

use super::facts::{GuestFacts, MonitorState};
use super::finding::{Finding, Severity};
use super::hold::{self, Speed};
use super::{GuestRef, Scope, find, guest_checks, host_checks, kernel};
use crate::store::watcher_lock;
use crate::units;

/// The schema of the JSON.
const SCHEMA: &str = "vmcorectl/doctor/1";

/// What is examined.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The guests; all, if there are none.
    pub guests: Vec<GuestRef>,
    /// Where cores would go.
    pub store: PathBuf,
    /// What the store is to keep free; `None` for the default.
    pub keep_free: Option<u64>,
    /// The level and the threads of the capture whose hold is estimated; `None` to leave it out.
    pub measure: Option<(i32, usize)>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    schema: &'static str,
    /// What concerns all guests.
    pub host: Vec<Finding>,
    /// How fast this host takes memory; `None` if it was not measured.
    pub speed: Option<Speed>,
    /// What concerns each guest.
    pub guests: Vec<ExaminedGuest>,
}

/// A guest, and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct ExaminedGuest {
    /// What is known of it.
    pub facts: GuestFacts,
    /// How long it would be held, in seconds, as an estimate.
    pub hold_seconds: Option<f64>,
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// Looks at everything.
    pub fn of(wanted: &Wanted, scope: &Scope) -> Self {
        let mut host = host_checks::check(scope, &wanted.store);
        let found = find(scope, &wanted.guests);
        if let Some(error) = found.libvirt {
            let text = format!("libvirt's domains cannot be listed: {error}");
            let finding = Finding::problem("libvirt", text);
            host.push(match error.hint() {
                Some(hint) => finding.mended_by(hint),
                None => finding,
            });
        }
        let measured =
            wanted.measure.map(|(level, threads)| hold::measure(&wanted.store, level, threads));
        let speed = match measured {
            Some(Ok(speed)) => {
                host.push(Finding::note("speed", said(&speed)));
                Some(speed)
            }
            Some(Err(reason)) => {
                host.push(Finding::note("speed", format!("not measured: {reason}")));
                None
            }
            None => None,
        };
        let is_watched = watcher_lock::is_held(&wanted.store);
        let guests = found.guests.into_iter();
        let guests =
            guests.map(|facts| examined(facts, wanted, speed, (scope, is_watched))).collect();
        Self { schema: SCHEMA, host, speed, guests }
    }

    /// All findings.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.host.iter().chain(self.guests.iter().flat_map(|guest| &guest.findings))
    }

    /// Whether a capture would fail, or not happen.
    pub fn has_problems(&self) -> bool {
        self.findings().any(|finding| finding.severity == Severity::Problem)
    }

    /// Whether no guest that was looked at could be asked.
    pub fn saw_nothing(&self) -> bool {
        !self.guests.is_empty()
            && self.guests.iter().all(|guest| {
                guest.facts.state.is_none()
                    && !matches!(guest.facts.monitor, MonitorState::Busy { .. })
            })
    }
}

fn examined(
    facts: GuestFacts,
    wanted: &Wanted,
    speed: Option<Speed>,
    (scope, is_watched): (&Scope, bool),
) -> ExaminedGuest {
    let mut findings = guest_checks::check(&facts, is_watched);
    let mut hold_seconds = None;
    // Of a guest that was not seen, nothing can be said.
    if facts.memory_bytes.is_some() || facts.used_bytes.is_some() {
        findings.push(host_checks::space(&facts, &wanted.store, wanted.keep_free));
        hold_seconds = speed.and_then(|speed| hold(&facts, speed));
        findings.extend(hold_seconds.map(|seconds| estimate(&facts, seconds)));
    }
    findings.extend(host_checks::rights(&facts));
    findings.extend(kernel::check(&facts, scope));
    ExaminedGuest { facts, hold_seconds, findings }
}

fn said(speed: &Speed) -> String {
    format!(
        "{}/s of generated memory were compressed to {:.0} % by {} and written beside the store, \
         in about a second",
        units::bytes(whole(speed.bytes_per_second)),
        speed.ratio * 100.0,
        match speed.threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        }
    )
}

/// The seconds that the guest's memory takes.
fn hold(facts: &GuestFacts, speed: Speed) -> Option<f64> {
    let memory = facts.used_bytes.into_iter().chain(facts.memory_bytes).min()?;
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let memory = memory as f64;
    (speed.bytes_per_second > 0.0).then_some(memory / speed.bytes_per_second)
}

fn estimate(facts: &GuestFacts, seconds: f64) -> Finding {
    let basis = match facts.used_bytes {
        Some(used) => format!("the {} that QEMU uses now", units::bytes(used)),
        None => "all of its memory, since what QEMU uses is not visible".to_owned(),
    };
    Finding::note(
        "hold",
        format!(
            "a capture would hold the guest for about {}: {basis}, at the measured speed; QEMU's own \
             speed and other load are not in it",
            units::seconds(seconds)
        ),
    )
}

/// A whole number of bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates, and this one is a speed"
)]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}
