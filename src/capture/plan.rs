//! Which pages the core is to lack: planned from the held guest, before its dump.
//!
//! A child reads the kernel's struct pages ([`crate::sandbox`]), as it does for a report. If
//! there is no plan, the core has all pages, and a warning says why.

use std::time::{Duration, Instant};

use super::outcome::{CaptureError, with_causes};
use super::session::Session;
use super::{guard, other_dump};
use crate::held;
use crate::held::direct::Direct;
use crate::monitor::WaitLimits;
use crate::sandbox::report::Request;

/// How long a plan may hold a guest of little memory.
const LIMIT: Duration = Duration::from_secs(10);
/// For how much memory it may take a second more: its struct pages are 64 MiB.
const SECOND: u64 = 4 << 30;
/// What part of the rest of the longest hold it may take.
const PART: u32 = 4;

/// Plans what to leave out of the core, once: nothing, if so asked or for want of a plan. The
/// memory is read in QEMU's process, if that was found.
///
/// # Errors
/// Fails if another client changed the guest meanwhile.
pub(super) fn before_dump(
    session: &mut Session<'_>,
    direct: Option<&Direct>,
) -> Result<(), CaptureError> {
    let classes = session.request.pages;
    if classes.is_empty() || session.planned {
        return Ok(());
    }
    session.planned = true;
    session.observer.step("finding the pages to leave out");
    let limits = limited(session);
    let request = Request::for_plan(&session.request.monitor.label(), classes);
    let planned = held::plan(session.monitor.as_mut(), &limits, direct, request);
    session.clock.lap("plan");
    guard::check_events(session)?;
    let plan = match planned {
        Ok(plan) => plan,
        Err(error) => {
            session.warn(format!("no page is left out: {}", with_causes(&error)));
            return Ok(());
        }
    };
    for missing in &plan.unconfined {
        session.observer.step(&format!("the plan's process was not confined in all: {missing}"));
    }
    for warning in plan.warnings {
        session.warn(warning);
    }
    session.left_out = Some(plan.left_out).filter(|left_out| !left_out.classes.is_empty());
    Ok(())
}

/// Plans now what to leave out, because the core might not fit otherwise. Gives whether that
/// leaves anything out which did not count before.
///
/// # Errors
/// Fails like [`before_dump`], or if another dump of the guest does not end.
pub(super) fn for_forecast(session: &mut Session<'_>) -> Result<bool, CaptureError> {
    if session.request.pages.is_empty() || session.planned {
        return Ok(false);
    }
    let limits = session.limits();
    session.monitor.close_stale_pipe(&limits)?;
    other_dump::wait(session, &limits)?;
    before_dump(session, None)?;
    Ok(session.left_out.is_some())
}

fn limited<'a>(session: &Session<'a>) -> WaitLimits<'a> {
    let limits = session.limits();
    let memory = session.metadata.guest.memory_bytes.unwrap_or_default();
    let limit = LIMIT.saturating_add(Duration::from_secs(memory / SECOND));
    let now = Instant::now();
    let limit = match limits.until {
        Some(until) => limit.min(until.saturating_duration_since(now) / PART),
        None => limit,
    };
    WaitLimits { until: Some(now + limit), ..limits }
}
