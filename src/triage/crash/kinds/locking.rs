//! What lockdep and other checks of locks and contexts report.
//!
//! lockdep's banner is `WARNING: message`, and `[ INFO: message ]` in older kernels.

use super::candidate::function;
use super::{BUG, BlameSource, Candidate, Effect, Header, INFO, Kind, StackRule, WARNING, header};
use crate::triage::crash::text::after;

const BANNER: &[&str] = &["WARNING:", "INFO:"];

pub(super) static ROWS: &[&Kind] = &[
    &CIRCULAR,
    &RECURSIVE,
    &UNSAFE_ORDER,
    &LOCK_STATE,
    &RCU_USAGE,
    &HELD_TOO_LONG,
    &HELD_FREED,
    &UNBALANCED,
    &NESTED,
    &NON_STATIC_KEY,
    &WAIT_CONTEXT,
    &ATOMIC,
    &PREEMPTIBLE,
    &SPIN,
    &LEAKED,
];

const DEADLOCK: &str = "possible deadlock";

/// What lockdep's reports have in common.
const REPORT: Kind = Kind {
    r#type: Some("LOCKDEP"),
    blame: BlameSource::FirstStack,
    effect: Effect::Warning,
    ..Kind::named("lockdep")
};

pub(super) static CIRCULAR: Kind = Kind {
    headers: &[header(BANNER, DEADLOCK).containing("possible circular locking dependency")],
    blame: BlameSource::Locks(2),
    skip: &["@wq"],
    ..REPORT
};

pub(super) static RECURSIVE: Kind = Kind {
    headers: &[
        header(BANNER, DEADLOCK).containing("possible recursive locking"),
        header(BANNER, DEADLOCK).containing("possible irq lock inversion dependency"),
        // In older kernels, the task that wants the lock is named before anything else.
        header(INFO, DEADLOCK).containing("-unsafe lock order detected"),
    ],
    blame: BlameSource::LockFunction,
    ..REPORT
};

pub(super) static UNSAFE_ORDER: Kind = Kind {
    headers: &[header(WARNING, DEADLOCK).containing("-unsafe lock order detected")],
    blame: BlameSource::BelowLine("which became "),
    skip: &["@wq"],
    stack: StackRule::IfAnnounced,
    ..REPORT
};

pub(super) static LOCK_STATE: Kind = Kind {
    headers: &[header(BANNER, "inconsistent lock state").containing("inconsistent lock state")],
    ..REPORT
};

pub(super) static RCU_USAGE: Kind = Kind {
    headers: &[
        header(BANNER, "suspicious RCU usage").marked().containing("suspicious RCU usage"),
        header(BANNER, "suspicious RCU usage").marked().containing("suspicious rcu_dereference"),
    ],
    skip: &["@rcu"],
    ..REPORT
};

/// A lock that is still held where none may be.
pub(super) static HELD_TOO_LONG: Kind = Kind {
    headers: &[
        header(BANNER, "still has locks held")
            .marked()
            .typed("WARNING")
            .containing("still has locks held"),
        header(BANNER, "lock held when returning to user space")
            .marked()
            .typed("LOCKDEP")
            .containing("lock held when returning to user space"),
        header(BANNER, "lock held")
            .marked()
            .typed("LOCKDEP")
            .containing("at least process 1 lock held"),
        header(BANNER, "lock held at task exit time")
            .marked()
            .typed("LOCKDEP")
            .containing("lock held at task exit time"),
        header(BUG, "BUG: lock held when returning to user space")
            .starting("lock held when returning to user space"),
        header(BUG, "BUG: still has locks held").containing("still has locks held"),
    ],
    r#type: None,
    blame: BlameSource::LockFunction,
    stack: StackRule::HeaderOnly,
    ..REPORT
};

pub(super) static HELD_FREED: Kind = Kind {
    headers: &[
        header(BANNER, "held lock freed").marked().containing("held lock freed"),
        header(BUG, "BUG: held lock freed").starting("held lock freed"),
    ],
    blame: BlameSource::LockFunction,
    ..REPORT
};

pub(super) static UNBALANCED: Kind = Kind {
    headers: &[
        header(BANNER, "bad unlock balance").marked().containing("bad unlock balance"),
        header(BANNER, "bad contention")
            .marked()
            .typed("WARNING")
            .containing("bad contention detected"),
        header(BUG, "BUG: bad unlock balance").starting("bad unlock balance"),
    ],
    blame: BlameSource::Below,
    skip: &["@lockdep"],
    ..REPORT
};

pub(super) static NESTED: Kind = Kind {
    headers: &[header(BANNER, "nested lock was not taken")
        .marked()
        .containing("Nested lock was not taken")],
    ..REPORT
};

pub(super) static NON_STATIC_KEY: Kind = Kind {
    headers: &[header(BANNER, "trying to register non-static key")
        .marked()
        .containing("trying to register non-static key")],
    r#type: Some("WARNING"),
    ..REPORT
};

pub(super) static WAIT_CONTEXT: Kind = Kind {
    headers: &[
        header(BANNER, "locking bug").marked().containing("Invalid wait context"),
        header(BUG, "WARNING: locking bug").starting("Invalid wait context"),
    ],
    skip: &["@lockdep"],
    ..REPORT
};

pub(super) static ATOMIC: Kind = Kind {
    headers: &[
        header(BUG, "BUG: scheduling while atomic").starting("scheduling while atomic"),
        header(BUG, "BUG: sleeping function called from invalid context")
            .starting("sleeping function called from invalid context"),
        header(&["bad: scheduling from the idle thread"], "bad: scheduling from the idle thread"),
    ],
    r#type: Some("ATOMIC_SLEEP"),
    blame: BlameSource::FirstStack,
    skip: &["@schedule"],
    effect: Effect::Warning,
    panic_reasons: &["scheduling while atomic"],
    ..Kind::named("atomic")
};

/// `BUG: using smp_processor_id() in preemptible [00000000] code: comm/pid`
pub(super) static PREEMPTIBLE: Kind = Kind {
    headers: &[header(BUG, "BUG: using ")
        .starting("using ")
        .containing("in preemptible")
        .read_by(using)],
    r#type: Some("LOCKDEP"),
    blame: BlameSource::FirstStack,
    skip: &["@schedule", "@preempt"],
    ..Kind::named("atomic")
};

/// With the helper in its title.
fn using(at: &Candidate<'_, '_>) -> Option<Header> {
    let helper = at.message().strip_prefix(b"using ")?;
    let helper = helper.split(|byte| *byte == b' ').next()?;
    let helper = std::str::from_utf8(helper).ok()?;
    Some(Header::new(&PREEMPTIBLE, format!("BUG: using {helper} in preemptible code")))
}

/// `BUG: spinlock bad magic on CPU#0`
pub(super) static SPIN: Kind = Kind {
    headers: &[
        header(BUG, "BUG: spinlock").starting("spinlock ").read_by(spinning),
        header(BUG, "BUG: rwlock").starting("rwlock ").read_by(spinning),
    ],
    r#type: Some("LOCKDEP"),
    blame: BlameSource::FirstStack,
    skip: &["@spin"],
    ..Kind::named("spinlock")
};

/// With what is wrong in its title.
fn spinning(at: &Candidate<'_, '_>) -> Option<Header> {
    let states = [
        "lockup suspected",
        "lockup",
        "already unlocked",
        "recursion",
        "cpu recursion",
        "bad magic",
        "wrong owner",
        "wrong CPU",
        "trylock failure on UP",
    ];
    let found = at.found();
    let message = after(at.message(), "lock ")?;
    let state = states.iter().find(|state| message.starts_with(state.as_bytes()))?;
    Some(Header { class: format!("{} {state}", found.class), ..found })
}

/// `BUG: workqueue leaked lock or atomic: kworker/0:1/0x00000000/77`, and the function below.
pub(super) static LEAKED: Kind = Kind {
    headers: &[header(BUG, "BUG: workqueue leaked lock or atomic")
        .starting("workqueue leaked ")
        .read_by(|at| {
            let mut below = at.next_lines(3);
            let work = below.find_map(|line| function(after(line, "last function: ")?));
            Some(at.found().naming(work))
        })],
    ..Kind::named("workqueue")
};
