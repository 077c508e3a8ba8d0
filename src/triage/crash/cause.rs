//! Which of a log's events is the crash.
//!
//! Needs: the headers. Gives: the one that made the kernel panic, and why it is taken for that.
//! A guest that ran for months has other events in its log: the first is as little the crash as
//! the last is. What the panic says of its reason tells what kinds of events may have caused it.

use super::header::{Header, has};
use super::kind::Kind;
use super::stack;
use super::stack::line::{Role, Said};
use crate::triage::record::Line;

/// How long before a panic its cause may have been printed by another header of the same
/// `die()`, and how long one `die()` takes.
const SAME_DEATH_NS: u64 = 1_000_000_000;
/// How many periods of the hung task detector the reports of one hang may be apart.
const HUNG_PERIODS: u64 = 3;

/// How many lines before a panic its register dump may be.
const DUMP_WITHIN: usize = 400;

/// The choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Index of the header.
    pub(crate) header: usize,
    /// Why.
    pub(crate) why: String,
}

/// What a panic's reason says of its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Oops,
    /// `panic_on_warn`: of this origin, if it is told.
    Warning,
    /// A kind of this name.
    Named(&'static str),
    Atomic,
    Hung,
    Soft,
    Hard,
    Stall,
    Init,
    Itself,
}

/// Reasons, by what they have; the first that fits.
const REASONS: [(&str, Cause); 24] = [
    ("Fatal exception", Cause::Oops),
    ("Fatal hardware error", Cause::Oops),
    ("Aiee, killing interrupt handler", Cause::Oops),
    ("Attempted to kill the idle task", Cause::Oops),
    ("Machine halted", Cause::Oops),
    ("Oops - ", Cause::Oops),
    ("Unrecoverable", Cause::Oops),
    ("kernel stack overflow", Cause::Oops),
    ("SError", Cause::Oops),
    ("Fatal machine check", Cause::Named("machine check")),
    ("KASAN: panic_on_warn", Cause::Named("kasan")),
    ("KFENCE: panic_on_warn", Cause::Named("kfence")),
    ("KCSAN: panic_on_warn", Cause::Named("kcsan")),
    ("UBSAN: panic_on_warn", Cause::Named("ubsan")),
    ("panic_on_kmsan", Cause::Named("kmsan")),
    ("kasan.fault=panic", Cause::Named("kasan")),
    ("scheduling while atomic", Cause::Atomic),
    ("panic_on_warn", Cause::Warning),
    ("hung_task", Cause::Hung),
    ("softlockup", Cause::Soft),
    ("Hard LOCKUP", Cause::Hard),
    ("hard LOCKUP", Cause::Hard),
    ("RCU Stall", Cause::Stall),
    ("Attempted to kill init", Cause::Init),
];

impl Cause {
    fn of(reason: &[u8]) -> Self {
        let known = REASONS.iter().find(|(word, _)| has(reason, word));
        known.map_or(Self::Itself, |(_, cause)| *cause)
    }

    fn may_be(self, kind: Kind) -> bool {
        match self {
            Self::Oops | Self::Init => kind.is_oops(),
            Self::Warning => {
                kind.is_warning()
                    || kind.is_lockdep()
                    || matches!(
                        kind,
                        Kind::Kasan
                            | Kind::KasanFree
                            | Kind::Kfence
                            | Kind::KfenceFree
                            | Kind::KfenceCorruption
                            | Kind::Kcsan
                            | Kind::Ubsan
                            | Kind::UbsanIndex
                            | Kind::Atomic
                    )
            }
            Self::Named(name) => kind.name() == name,
            Self::Atomic => kind == Kind::Atomic,
            Self::Hung => kind == Kind::HungTask,
            Self::Soft => kind == Kind::SoftLockup,
            Self::Hard => kind == Kind::HardLockup,
            Self::Stall => kind == Kind::RcuStall,
            Self::Itself => false,
        }
    }
}

/// Chooses the crash.
pub(crate) fn choose(lines: &[Line<'_>], headers: &[Header]) -> Option<Choice> {
    let chosen = |header: usize, why: &str| Some(Choice { header, why: why.to_owned() });
    let Some(panic) = headers.iter().position(|header| is_panic(lines, header)) else {
        if let Some(last) = headers.iter().rposition(|header| header.kind.is_oops()) {
            let first = first_of_death(lines, headers, last);
            return chosen(first, "the last event that kernels die of: no panic follows");
        }
        let inside = headers.iter().position(|header| header.kind != Kind::Outside);
        return match inside {
            Some(first) => chosen(first, "the first event: no panic follows"),
            None => chosen((!headers.is_empty()).then_some(0)?, "nothing else is in the log"),
        };
    };
    let reason =
        headers.get(panic).and_then(|header| lines.get(header.line)).map(|line| line.text)?;
    let cause = Cause::of(reason);
    if cause == Cause::Itself {
        // Other guards than those of the table may have raised it a moment before.
        return chosen(panic, "the panic is the event: nothing before it is its cause");
    }
    let line = |header: usize| headers.get(header).and_then(|header| lines.get(header.line));
    let by = line(panic).and_then(|line| line.caller);
    let mut candidates = Vec::new();
    for (index, header) in headers.iter().enumerate().take(panic) {
        let linked = cause != Cause::Init || is_by_init(lines, header);
        if cause.may_be(header.kind) && linked {
            candidates.push(index);
        }
    }
    let same = candidates
        .iter()
        .rev()
        .find(|at| by.is_some() && line(**at).is_some_and(|line| line.caller == by));
    let Some(last) = same.or(candidates.last()).copied() else {
        return chosen(panic, "the panic names a cause that the log does not have");
    };
    if cause == Cause::Hung {
        let first = first_of_hang(lines, headers, &candidates, panic);
        return chosen(
            first,
            "the panic is hung_task's: the first report within three of its periods",
        );
    }
    let first = first_of_death(lines, headers, last);
    let first = secure_world(lines, headers, first);
    chosen(first, "the last event that the panic's reason may mean")
}

/// The header of an oops whose own is lost: where the panic tells of one that the log does not
/// have, its register dump is what is left of it. The last one before the panic, by the same
/// caller and shortly before; one with a stack behind it rather than one that is told again.
pub(crate) fn lost(lines: &[Line<'_>], headers: &[Header]) -> Option<Header> {
    let panic = headers.iter().position(|header| is_panic(lines, header))?;
    let before = headers.get(..panic)?;
    let panic = headers.get(panic)?.line;
    let said = lines.get(panic)?;
    if Cause::of(said.text) != Cause::Oops || before.iter().any(|header| header.kind.is_oops()) {
        return None;
    }
    let recent = |line: &&Line<'_>| match (line.time_ns, said.time_ns) {
        (Some(time), Some(end)) => end.saturating_sub(time) <= SAME_DEATH_NS,
        _ => true,
    };
    let own = lines.iter().enumerate().take(panic).rev().take(DUMP_WITHIN);
    let own =
        own.take_while(|(_, line)| recent(line)).filter(|(_, line)| line.caller == said.caller);
    let (mut stack_follows, mut last) = (false, None);
    for (index, line) in own {
        if before.iter().any(|header| header.line == index) {
            break;
        }
        match stack::line::read(line.text) {
            Some(Said::Begin) => stack_follows = true,
            Some(Said::NamelessPc) if stack_follows => return Some(Header::lost().on(index)),
            Some(Said::One(pc)) if pc.role == Role::Pc => {
                if stack_follows {
                    return Some(Header::lost().on(index));
                }
                last = last.or(Some(index));
            }
            _ => {}
        }
    }
    last.map(|index| Header::lost().on(index))
}

fn is_panic(lines: &[Line<'_>], header: &Header) -> bool {
    matches!(header.kind, Kind::Panic | Kind::StackCorrupt | Kind::StackEnd | Kind::StackOverflow)
        && lines.get(header.line).is_some_and(|line| has(line.text, "Kernel panic - not syncing"))
}

/// Whether an oops names process 1.
fn is_by_init(lines: &[Line<'_>], header: &Header) -> bool {
    let behind = lines.get(header.line..).unwrap_or_default();
    let told = behind.iter().take(60).find(|line| has(line.text, "PID: "));
    told.is_some_and(|line| has(line.text, "PID: 1 "))
}

/// Goes back over headers of one `die()`: an oops's own dump may fault, and one trap has
/// headers of the architecture's and of the kernel's.
fn first_of_death(lines: &[Line<'_>], headers: &[Header], last: usize) -> usize {
    let mut first = last;
    for before in (0..last).rev() {
        let (Some(one), Some(other)) = (headers.get(before), headers.get(first)) else { break };
        let (Some(from), Some(to)) = (lines.get(one.line), lines.get(other.line)) else { break };
        if from.caller != to.caller {
            continue;
        }
        let soon = match (from.time_ns, to.time_ns) {
            (Some(from), Some(to)) => to.saturating_sub(from) < SAME_DEATH_NS,
            _ => true,
        };
        let between = lines.get(one.line..other.line).unwrap_or_default();
        let mut own = between.iter().filter(|line| line.caller == from.caller);
        let ended = own.any(|line| has(line.text, "---[ end trace"));
        let of_death = one.kind.is_oops() || matches!(one.kind, Kind::Kasan | Kind::Kfence);
        if !(other.kind.is_oops() && of_death && soon && !ended) {
            break;
        }
        first = before;
    }
    first
}

/// The secure world's panic: its driver warns of that a moment later.
fn secure_world(lines: &[Line<'_>], headers: &[Header], first: usize) -> usize {
    let time = |header: usize| {
        headers.get(header).and_then(|header| lines.get(header.line)).map(|line| line.time_ns)
    };
    let Some(before) = first.checked_sub(1) else { return first };
    let told = headers.get(before).is_some_and(|header| header.class.starts_with("trusty: "));
    let soon = match (time(before), time(first)) {
        (Some(Some(from)), Some(Some(to))) => to.saturating_sub(from) < SAME_DEATH_NS,
        _ => true,
    };
    if told && soon { before } else { first }
}

/// The first report of a hang: those before the last scan usually share its cause.
fn first_of_hang(
    lines: &[Line<'_>],
    headers: &[Header],
    candidates: &[usize],
    panic: usize,
) -> usize {
    let line = |header: usize| headers.get(header).and_then(|header| lines.get(header.line));
    let end = line(panic).and_then(|line| line.time_ns);
    let recent = candidates.iter().copied().find(|at| {
        let Some(report) = line(*at) else { return false };
        let (Some(time), Some(end)) = (report.time_ns, end) else { return true };
        let period = period(report.text).unwrap_or(120);
        end.saturating_sub(time) <= period.saturating_mul(HUNG_PERIODS * 1_000_000_000)
    });
    recent.or(candidates.last().copied()).unwrap_or(panic)
}

/// `… for more than 120 seconds.`
fn period(text: &[u8]) -> Option<u64> {
    let behind = super::header::behind(text, "for more than ")?;
    let digits = behind.iter().take(6).take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
#[path = "cause_tests.rs"]
mod tests;
