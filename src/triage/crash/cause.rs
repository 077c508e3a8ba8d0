//! Which of a log's events is the crash.
//!
//! Needs: the headers. Gives: the one that made the kernel panic, and why it was chosen.
//! The log of a guest that ran for months has other events, too, so neither the first nor the
//! last one will do: the panic's reason says which kinds of events may have caused it.

use super::kinds::{self, Effect, HUNG_TASK, Header, Kind};
use super::stack;
use super::stack::line::{Role, StackLine};
use super::text::has;
use crate::triage::log::RecordLine;

/// How far apart the headers of one `die()` and its panic may be.
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
    /// Something that went through `die()`.
    Oops,
    /// `panic_on_warn`, without a word about what warned.
    Warning,
    /// What killed process 1.
    Init,
    /// A kind whose row has this reason.
    Kind(&'static str),
    /// No other event: the panic is the crash.
    Itself,
}

/// Reasons of panics that an oops causes.
const OOPS_REASONS: [&str; 12] = [
    "Fatal exception",
    "Fatal hardware error",
    "Aiee, killing interrupt handler",
    "Attempted to kill the idle task",
    "Machine halted",
    "Oops - ",
    "Unrecoverable",
    "kernel stack overflow",
    "SError",
    "bad mode",
    "Unhandled exception",
    "BUG!",
];

impl Cause {
    fn of(reason: &[u8]) -> Self {
        if OOPS_REASONS.iter().any(|words| has(reason, words)) {
            Self::Oops
        } else if let Some(words) = kinds::panic_reason(reason) {
            Self::Kind(words)
        } else if has(reason, "panic_on_warn") {
            Self::Warning
        } else if has(reason, "Attempted to kill init") {
            Self::Init
        } else {
            Self::Itself
        }
    }

    fn may_be(self, kind: &Kind) -> bool {
        match self {
            Self::Oops | Self::Init => kind.effect == Effect::Oops,
            Self::Warning => kind.effect == Effect::Warning,
            Self::Kind(reason) => kind.panic_reasons.contains(&reason),
            Self::Itself => false,
        }
    }
}

/// Chooses the crash.
pub(crate) fn choose(lines: &[RecordLine<'_>], headers: &[Header]) -> Option<Choice> {
    let chosen = |header: usize, why: &str| Some(Choice { header, why: why.to_owned() });
    let Some(panic) = headers.iter().position(|header| header.is_panic_line) else {
        if let Some(last) = headers.iter().rposition(|header| header.kind.effect == Effect::Oops) {
            let first = first_of_death(lines, headers, last);
            return chosen(first, "the last oops: no panic follows");
        }
        let inside = headers.iter().position(|header| header.kind.effect != Effect::Outside);
        return match inside {
            Some(first) => chosen(first, "the first event: no panic follows"),
            None => chosen(
                (!headers.is_empty()).then_some(0)?,
                "the only event, which is not the kernel's",
            ),
        };
    };
    let reason =
        headers.get(panic).and_then(|header| lines.get(header.line)).map(|line| line.text)?;
    let cause = Cause::of(reason);
    if cause == Cause::Itself {
        return chosen(panic, "the panic itself: its reason names no other event");
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
        return chosen(panic, "the panic itself: the event that caused it is not in the log");
    };
    if headers.get(last).is_some_and(|header| header.kind.is(&HUNG_TASK)) {
        let first = first_of_hang(lines, headers, &candidates, panic);
        return chosen(
            first,
            "the first hung task within three detection periods before the panic",
        );
    }
    let first = first_of_death(lines, headers, last);
    let first = secure_world(lines, headers, first);
    chosen(first, "the last event that the panic's reason can stand for")
}

/// The header of an oops whose own is lost: the panic's reason is an oops that the log does not
/// have, and its register dump is left. It is the last dump of the same caller shortly before
/// the panic; one with a stack below it rather than one that is printed again without.
pub(crate) fn lost(lines: &[RecordLine<'_>], headers: &[Header]) -> Option<Header> {
    let panic = headers.iter().position(|header| header.is_panic_line)?;
    let before = headers.get(..panic)?;
    let panic = headers.get(panic)?.line;
    let end = lines.get(panic)?;
    let has_oops = before.iter().any(|header| header.kind.effect == Effect::Oops);
    if Cause::of(end.text) != Cause::Oops || has_oops {
        return None;
    }
    let recent = |line: &&RecordLine<'_>| match (line.time_ns, end.time_ns) {
        (Some(time), Some(end)) => end.saturating_sub(time) <= SAME_DEATH_NS,
        _ => true,
    };
    let own = lines.iter().enumerate().take(panic).rev().take(DUMP_WITHIN);
    let own =
        own.take_while(|(_, line)| recent(line)).filter(|(_, line)| line.caller == end.caller);
    let (mut stack_follows, mut last, mut stack) = (false, None, None);
    for (index, line) in own {
        if before.iter().any(|header| header.line == index) {
            break;
        }
        match stack::line::read(line.text) {
            Some(StackLine::Begin) => (stack_follows, stack) = (true, Some(index)),
            Some(StackLine::NamelessPc) if stack_follows => return Some(Header::lost().on(index)),
            Some(StackLine::Function(pc)) if pc.role == Role::Pc => {
                if stack_follows {
                    return Some(Header::lost().on(index));
                }
                last = last.or(Some(index));
            }
            // A stack that nothing announces, or whose beginning is lost.
            Some(StackLine::Function(_) | StackLine::CalleeAndCaller(..)) if !stack_follows => {
                stack = Some(index);
            }
            _ => {}
        }
    }
    last.or(stack).map(|index| Header::lost().on(index))
}

/// A register dump of the kernel's in a log that has no header at all.
pub(crate) fn dump_alone(lines: &[RecordLine<'_>], headers: &[Header]) -> Option<Header> {
    /// How many lines before the program counter a dump begins.
    const BEGINS_WITHIN: usize = 12;
    /// How many lines before it an order to print one may be.
    const ASKED_WITHIN: usize = 40;
    const ASKED: [&str; 4] = ["sysrq", "SysRq", "NMI backtrace", "Sending NMI"];
    if !headers.is_empty() {
        return None;
    }
    let pc = lines.iter().position(|line| {
        let read = if line.from_user { None } else { stack::line::read(line.text) };
        matches!(read, Some(StackLine::Function(place)) if place.role == Role::Pc)
    })?;
    let before = lines.get(..pc)?;
    let mut asked = before.iter().rev().take(ASKED_WITHIN);
    if asked.any(|line| ASKED.iter().any(|words| has(line.text, words))) {
        return None;
    }
    let near = before.iter().enumerate().rev().take(BEGINS_WITHIN);
    let mut begins = near.filter(|(_, line)| has(line.text, "Modules linked in:"));
    begins.next().map(|(index, _)| Header::lost().on(index))
}

/// Whether process 1 had the oops.
fn is_by_init(lines: &[RecordLine<'_>], header: &Header) -> bool {
    let behind = lines.get(header.line..).unwrap_or_default();
    let task = behind.iter().take(60).find(|line| has(line.text, "PID: "));
    task.is_some_and(|line| has(line.text, "PID: 1 "))
}

/// Goes back over the headers of one `die()`: printing an oops may fault, and one trap has a
/// header of the architecture's and one of the kernel's.
fn first_of_death(lines: &[RecordLine<'_>], headers: &[Header], last: usize) -> usize {
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
        let of_death = one.kind.effect == Effect::Oops || one.kind.before_oops;
        if !(other.kind.effect == Effect::Oops && of_death && soon && !ended) {
            break;
        }
        first = before;
    }
    first
}

/// The secure world's panic, if the driver's warning about it was chosen.
fn secure_world(lines: &[RecordLine<'_>], headers: &[Header], first: usize) -> usize {
    let time = |header: usize| {
        headers.get(header).and_then(|header| lines.get(header.line)).map(|line| line.time_ns)
    };
    let Some(before) = first.checked_sub(1) else { return first };
    let secure = headers.get(before).is_some_and(|header| header.kind.is(&kinds::TRUSTY));
    let soon = match (time(before), time(first)) {
        (Some(Some(from)), Some(Some(to))) => to.saturating_sub(from) < SAME_DEATH_NS,
        _ => true,
    };
    if secure && soon { before } else { first }
}

/// The first report of a hang: the reports before the last scan usually have the same cause.
fn first_of_hang(
    lines: &[RecordLine<'_>],
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
    let behind = super::text::after(text, "for more than ")?;
    let digits = behind.iter().take(6).take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
#[path = "cause_tests.rs"]
mod tests;
