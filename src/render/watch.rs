//! Which guests a watcher would find, and what it would do with them.

use std::io::{self, Write};
use std::time::Duration;

use super::table::{Column, lines};
use crate::printable::shown;
use crate::units;
use crate::watch::check::CheckedGuest;
use crate::watch::config::{Action, Config};

/// The most characters of a name, a path and a state.
const MAX_TEXT: usize = 120;

/// Prints the guests as a table.
pub fn check(config: &Config, guests: &[CheckedGuest], out: &mut dyn Write) -> io::Result<()> {
    let guards = &config.guards;
    writeln!(out, "libvirt: {}", shown(config.libvirt.as_deref().unwrap_or("off")))?;
    writeln!(out, "at once: {} captures, {} of them dumping", guards.captures, guards.dumping)?;
    let within = units::span(guards.crash_loop.within.as_secs_f64());
    writeln!(out, "crash loop: {} panics in {within}", guards.crash_loop.panics)?;
    if guests.is_empty() {
        return writeln!(out, "no guest is there now");
    }
    let columns = [
        Column::text("GUEST", MAX_TEXT),
        Column::text("STATE", MAX_TEXT),
        Column::text("THEN", MAX_TEXT),
        Column::text("ON-FAILURE", MAX_TEXT),
        Column::text("MAX-HOLD", MAX_TEXT),
        Column::text("CORE", MAX_TEXT),
        Column::text("SET TO STOP", MAX_TEXT),
        Column::text("MONITOR", MAX_TEXT),
    ];
    let rows = guests.iter().map(|guest| {
        let policy = &guest.policy;
        let state = if policy.ignore { "ignored" } else { &guest.state };
        let core = match (policy.report_only, policy.level) {
            (true, _) => "report only".to_owned(),
            (_, Some(level)) => format!("level {level}"),
            (_, None) => "yes".to_owned(),
        };
        let monitor = match guest.poll {
            Some(poll) => format!("{} (each {})", guest.monitor, units::duration(poll)),
            None => guest.monitor.clone(),
        };
        [
            guest.name.clone().unwrap_or_else(|| "-".to_owned()),
            state.to_owned(),
            policy.then.to_string(),
            policy.on_failure.to_string(),
            hold(policy.max_hold, policy.on_failure),
            core,
            if policy.preserve { "yes" } else { "no" }.to_owned(),
            monitor,
        ]
    });
    lines(columns, rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn hold(limit: Option<Duration>, on_failure: Action) -> String {
    match limit {
        Some(limit) => units::span(limit.as_secs_f64()),
        None if on_failure == Action::Hold => "-".to_owned(),
        None => "none".to_owned(),
    }
}
