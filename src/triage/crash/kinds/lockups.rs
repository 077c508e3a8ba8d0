//! CPUs that are stuck and tasks that wait, as watchdogs report them.

use super::{BUG, BlameSource, Candidate, Effect, Header, INFO, KERNEL_PANIC, Kind, header};
use crate::triage::crash::text::{after, has, number};

const STALL: &str = "stall";
const HANG: &str = "hang";

pub(super) static ROWS: &[&Kind] = &[
    &SOFT_LOCKUP,
    &SOFT_LOCKUP_PANIC,
    &HARD_LOCKUP,
    &HARD_LOCKUP_PANIC,
    &NMI_TAKEN,
    &RCU_STALL,
    &RCU_STALL_PANIC,
    &HUNG_TASK,
    &CANNOT_DIE,
];

/// `watchdog: BUG: soft lockup - CPU#1 stuck for 22s!`
pub(super) static SOFT_LOCKUP: Kind = Kind {
    headers: &[header(BUG, SOFT_LOCKUP_TITLE).starting("soft lockup - CPU")],
    panic_reasons: &["softlockup"],
    ..SOFT_LOCKUP_ROW
};

/// `Kernel panic - not syncing: softlockup: hung tasks`, on the CPU that is stuck: its stack has
/// what was interrupted.
pub(super) static SOFT_LOCKUP_PANIC: Kind = Kind {
    headers: &[header(KERNEL_PANIC, SOFT_LOCKUP_TITLE).containing("softlockup: hung tasks")],
    effect: Effect::Panic,
    within_another: true,
    ..SOFT_LOCKUP_ROW
};

const SOFT_LOCKUP_TITLE: &str = "BUG: soft lockup";

/// What reports of soft lockups have in common.
const SOFT_LOCKUP_ROW: Kind = Kind {
    r#type: Some("HANG"),
    blame: BlameSource::Stall { every_stack: true },
    skip: &["@stall", "@schedule"],
    alternate: Some(STALL),
    ..Kind::named("soft lockup")
};

/// `Watchdog detected hard LOCKUP on cpu 3`
///
/// powerpc: `CPU 3 detected hard LOCKUP on other CPUs 5`, `CPU 3 self-detected hard LOCKUP @ ...`;
/// older `Watchdog CPU:3 Hard LOCKUP`. The oldest x86: `NMI Watchdog detected LOCKUP on CPU 3`.
pub(super) static HARD_LOCKUP: Kind = Kind {
    headers: &[
        header(
            &["Watchdog detected hard LOCKUP on cpu", "hard LOCKUP", "Hard LOCKUP"],
            HARD_LOCKUP_TITLE,
        )
        .read_by(hard_lockup),
        header(BUG, HARD_LOCKUP_TITLE)
            .starting("NMI Watchdog detected LOCKUP")
            .read_by(hard_lockup),
        header(&["NMI Watchdog detected LOCKUP"], HARD_LOCKUP_TITLE).read_by(hard_lockup),
        // In older kernels, a warning that is not fatal says it below.
        header(super::WARNING, HARD_LOCKUP_TITLE).containing("watchdog").read_by(|at| {
            let words = "hard LOCKUP on cpu ";
            let cpu = at.next_lines(4).find_map(|line| after(line, words))?;
            Some(Header { cpu: number(cpu), ..at.found() })
        }),
    ],
    panic_reasons: &["Hard LOCKUP", "hard LOCKUP", "nmi watchdog", "NMI Watchdog", "NMI watchdog"],
    reported_by_another: true,
    ..HARD_LOCKUP_ROW
};

/// mips: a watchdog's NMI, `CPU0 NMI taken, CP0_EPC=80451234`, after which the kernel dies.
pub(super) static NMI_TAKEN: Kind = Kind {
    headers: &[header(&["NMI taken, ", "NMI Watchdog interrupt on Core"], HARD_LOCKUP_TITLE)],
    before_oops: true,
    ..HARD_LOCKUP_ROW
};

/// Older kernels panic in these words, on the CPU that locked up:
/// `Kernel panic - not syncing: Watchdog detected hard LOCKUP on cpu 3`
pub(super) static HARD_LOCKUP_PANIC: Kind = Kind {
    headers: &[
        header(KERNEL_PANIC, HARD_LOCKUP_TITLE).containing("ard LOCKUP"),
        header(KERNEL_PANIC, HARD_LOCKUP_TITLE).containing("etected LOCKUP"),
    ],
    effect: Effect::Panic,
    ..HARD_LOCKUP_ROW
};

const HARD_LOCKUP_TITLE: &str = "hard lockup";

/// What reports of hard lockups have in common.
const HARD_LOCKUP_ROW: Kind = Kind {
    r#type: Some("HANG"),
    blame: BlameSource::Stall { every_stack: true },
    skip: &["@stall", "@schedule"],
    alternate: Some(STALL),
    within_another: true,
    ..Kind::named("hard lockup")
};

/// With the CPU that locked up. A CPU that goes on again is no event.
fn hard_lockup(at: &Candidate<'_, '_>) -> Option<Header> {
    let (before, message) = (at.before(), at.message());
    let behind = ["CPUs ", "CPUS:", "on cpu ", "on CPU", "on CPU "];
    let another = behind.iter().find_map(|words| after(at.whole(), words));
    let own = || ["CPU ", "CPU:"].iter().find_map(|words| after(before, words));
    let cpu = another.or_else(own).or(Some(message)).map(<[u8]>::trim_ascii_start);
    Some(Header { cpu: cpu.and_then(number), ..at.found() })
}

/// `rcu: INFO: rcu_preempt self-detected stall on CPU`
pub(super) static RCU_STALL: Kind = Kind {
    headers: &[header(INFO, RCU_STALL_TITLE)
        .starting("rcu")
        .containing("detected")
        .read_by(|at| has(at.message(), "stall").then(|| at.found()))],
    panic_reasons: &["RCU Stall"],
    reported_by_another: true,
    ..RCU_STALL_ROW
};

/// `Kernel panic - not syncing: RCU Stall`, on the CPU that detected it.
pub(super) static RCU_STALL_PANIC: Kind = Kind {
    headers: &[header(KERNEL_PANIC, RCU_STALL_TITLE).containing("RCU Stall")],
    effect: Effect::Panic,
    within_another: true,
    ..RCU_STALL_ROW
};

const RCU_STALL_TITLE: &str = "INFO: rcu detected stall";

/// What reports of stalls have in common.
const RCU_STALL_ROW: Kind = Kind {
    r#type: Some("HANG"),
    blame: BlameSource::Stall { every_stack: false },
    skip: &["@stall", "@schedule"],
    alternate: Some(STALL),
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
