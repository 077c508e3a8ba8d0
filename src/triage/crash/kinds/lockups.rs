//! CPUs that are stuck and tasks that wait, as watchdogs report them.

use super::{BUG, BlameSource, Candidate, Header, INFO, Kind, header};
use crate::triage::crash::text::{after, has, number};

const STALL: &str = "stall";
const HANG: &str = "hang";

pub(super) static ROWS: &[&Kind] =
    &[&SOFT_LOCKUP, &HARD_LOCKUP, &RCU_STALL, &HUNG_TASK, &CANNOT_DIE];

/// `watchdog: BUG: soft lockup - CPU#1 stuck for 22s!`
pub(super) static SOFT_LOCKUP: Kind = Kind {
    headers: &[header(BUG, "BUG: soft lockup").starting("soft lockup - CPU")],
    r#type: Some("HANG"),
    blame: BlameSource::Stall { every_stack: true },
    skip: &["@stall"],
    alternate: Some(STALL),
    panic_reasons: &["softlockup"],
    ..Kind::named("soft lockup")
};

/// `Watchdog detected hard LOCKUP on cpu 3`
///
/// powerpc: `CPU 3 detected hard LOCKUP on other CPUs 5`, `CPU 3 self-detected hard LOCKUP @ ...`
pub(super) static HARD_LOCKUP: Kind = Kind {
    headers: &[header(
        &["Watchdog detected hard LOCKUP on cpu", "detected hard LOCKUP"],
        "hard lockup",
    )
    .read_by(hard_lockup)],
    r#type: Some("HANG"),
    blame: BlameSource::Stall { every_stack: true },
    skip: &["@stall"],
    alternate: Some(STALL),
    panic_reasons: &["Hard LOCKUP", "hard LOCKUP"],
    reported_by_another: true,
    ..Kind::named("hard lockup")
};

/// With the CPU that locked up.
fn hard_lockup(at: &Candidate<'_, '_>) -> Option<Header> {
    let cpu = if has(at.before(), "self-") {
        after(at.before(), "CPU ")
    } else {
        after(at.message(), "CPUs ").or(Some(at.message()))
    };
    let cpu = cpu.map(|text| text.strip_prefix(b"on cpu ").unwrap_or(text).trim_ascii_start());
    Some(Header { cpu: cpu.and_then(number), ..at.found() })
}

/// `rcu: INFO: rcu_preempt self-detected stall on CPU`
pub(super) static RCU_STALL: Kind = Kind {
    headers: &[header(INFO, "INFO: rcu detected stall")
        .starting("rcu")
        .containing("detected")
        .read_by(|at| has(at.message(), "stall").then(|| at.found()))],
    r#type: Some("HANG"),
    blame: BlameSource::Stall { every_stack: false },
    skip: &["@stall"],
    alternate: Some(STALL),
    panic_reasons: &["RCU Stall"],
    reported_by_another: true,
    ..Kind::named("rcu stall")
};

/// `INFO: task comm:pid blocked for more than 120 seconds.`
pub(crate) static HUNG_TASK: Kind = Kind {
    headers: &[header(INFO, "INFO: task hung")
        .starting("task ")
        .read_by(|at| task(at, &["blocked for more than", "blocked in I/O wait for more than"]))],
    r#type: Some("HANG"),
    blame: BlameSource::Wait,
    skip: &["@hung"],
    alternate: Some(HANG),
    synonyms: &[("synchronize_", "synchronize_rcu"), ("rtnl_lock", "rtnl_lock")],
    panic_reasons: &["hung_task"],
    reported_by_another: true,
    ..Kind::named("hung task")
};

/// `INFO: task comm:pid can't die for more than 120 seconds.`
pub(super) static CANNOT_DIE: Kind = Kind {
    headers: &[header(INFO, "INFO: task can't die")
        .starting("task ")
        .read_by(|at| task(at, &["can't die for more than"]))],
    r#type: Some("HANG"),
    blame: BlameSource::FirstStack,
    skip: &["@schedule"],
    alternate: Some(HANG),
    reported_by_another: true,
    ..Kind::named("hung task")
};

/// Reads what a task waits for. Its name may break the line.
fn task(at: &Candidate<'_, '_>, words: &[&str]) -> Option<Header> {
    let all =
        ["can't die for more than", "blocked for more than", "blocked in I/O wait for more than"];
    for line in std::iter::once(at.message()).chain(at.next_lines(2)) {
        if let Some(said) = all.iter().find(|said| has(line, said)) {
            return words.contains(said).then(|| at.found());
        }
        // The likely owner of the lock: the report of the waiting task went before.
        if has(line, " blocked on a") {
            return None;
        }
    }
    None
}
