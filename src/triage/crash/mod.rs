//! The crash in a log: its title, the function to blame, its signature.
//!
//! ```text
//! records ─► kinds    the headers of events     ─► cause    which event is the crash
//!                                               ─► extent   which lines are that event's
//!            stack    the functions on them     ─► blame    which function is to blame
//!            title    the titles                ─► damage, signature
//! ```
//!
//! Needs: a log's records and the families. Gives: the crash, or nothing if the log has none, with
//! the records and frames that it was read from. Reads no memory and no clock: a core's stacks
//! are handed in ([`with_stacks`]).

mod blame;
mod boots;
mod cause;
mod damage;
mod event;
mod evidence;
mod extent;
pub mod families;
mod kinds;
mod one_cpu;
mod oops_details;
pub mod other_system;
mod scrub;
mod signature;
mod stack;
mod text;
mod title;

use serde::Serialize;

use boots::Boot;
use cause::Choice;
use event::Event;
pub use evidence::{BootCounts, Evidence, EvidenceFrame, EvidenceRecord, SkippedFrame};
use families::Families;
use kinds::{Effect, Header};
pub use oops_details::OopsDetails;
pub use signature::Signature;
use vmcore_formats::text::{MAX_TEXT, lossy};

use super::core_stacks::CoreStacks;
use super::log::{LogRecord, RecordLine, lines};

/// The most headers of a log.
const MAX_HEADERS: usize = 10_000;
/// The most other events that are read.
const MAX_READ: usize = 100;
/// How many of them may have the same title but for the function.
const MAX_ALIKE: usize = 8;
/// The most crashes of other boots.
const MAX_BOOTS: usize = 20;
/// The most other events of a crash.
const MAX_OTHERS: usize = 50;

/// A crash.
#[derive(Clone, Debug, Serialize)]
pub struct Crash {
    /// The title.
    pub title: String,
    /// Other titles: another kernel's, or another check's for the same bug.
    pub alt_titles: Vec<String>,
    /// The kind of event.
    pub kind: String,
    /// What dashboards sort it by.
    pub r#type: Option<String>,
    /// The function to blame, as the title has it.
    pub frame: Option<String>,
    /// The function of the program counter, if the log has it.
    pub pc_function: Option<String>,
    /// The module of the function to blame, if it is in one.
    pub module: Option<String>,
    /// The report is damaged: the title is the best there is.
    pub corrupted: bool,
    /// What it has in common with the same crash elsewhere.
    pub signature: Signature,
    /// The panic's reason, if there was a panic.
    pub panic_message: Option<String>,
    /// The task, the kernel and the machine.
    #[serde(rename = "told")]
    pub details: OopsDetails,
    /// The records and frames that this was read from, and what was skipped.
    pub evidence: Evidence,
    /// Other events of the log.
    pub others: Vec<OtherEvent>,
}

/// Another event of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherEvent {
    /// When it was printed, in nanoseconds since boot.
    pub time_ns: Option<u64>,
    /// Index of its first record.
    pub record: usize,
    /// The line of the file that it is on, from 1; none in a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The boot whose crash it is, from 1, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<usize>,
    /// Its title.
    pub title: String,
    /// Its signature.
    #[serde(rename = "bucket")]
    pub signature: String,
}

/// Finds the crash in a log.
pub fn of(records: &[LogRecord], families: &Families) -> Option<Crash> {
    with_stacks(records, families, &CoreStacks::default())
}

/// Finds it with the stacks of the core. The log of a plain panic names no function; a report
/// whose header is lost may have none; and that of a hard lockup may have only the stack of the
/// CPU that found it.
pub fn with_stacks(
    records: &[LogRecord],
    families: &Families,
    stacks: &CoreStacks,
) -> Option<Crash> {
    let lines = lines(records);
    let boots = boots::of(&lines);
    let all: Vec<BootEvents> = boots.iter().map(|boot| BootEvents::read(&lines, boot)).collect();
    let Some(chosen) = newest_crash(&all) else {
        let header = Header::rebooted().on(boots::unexpected(&lines, &boots)?);
        let event = Event::read(&lines, std::slice::from_ref(&header), 0, families, stacks);
        let why = "the machine rebooted without a shutdown or a panic";
        return Some(Crash::new(event, &lines, why, Vec::new(), None));
    };
    let (own, choice) = (all.get(chosen)?, all.get(chosen)?.choice.as_ref()?);
    let event = Event::read(own.lines, &own.headers, choice.header, families, stacks);
    let panic = own.headers.iter().find(|header| header.kind.effect == Effect::Panic);
    let panic_message = panic.and_then(|header| own.lines.get(header.line)).and_then(|line| {
        let reason = text::after(line.text, "not syncing: ")?;
        Some(lossy(reason.trim_ascii(), MAX_TEXT))
    });
    let mut others = of_other_boots(&all, chosen, families);
    others.extend(events_besides(own.lines, &own.headers, &event, choice.header, families));
    let mut crash = Crash::new(event, own.lines, &choice.why, others, panic_message);
    crash.evidence.boots = lines.first().and_then(RecordLine::number).map(|_| BootCounts {
        count: boots.len(),
        crashed: all.iter().filter(|boot| boot.choice.is_some()).count(),
        explained: chosen + 1,
    });
    Some(crash)
}

/// The events of one boot.
struct BootEvents<'a> {
    lines: &'a [RecordLine<'a>],
    headers: Vec<Header>,
    choice: Option<Choice>,
}

impl<'a> BootEvents<'a> {
    fn read(lines: &'a [RecordLine<'a>], boot: &Boot) -> Self {
        let lines = lines.get(boot.lines.clone()).unwrap_or_default();
        let mut headers = headers(lines);
        let lost = cause::lost(lines, &headers);
        if let Some(lost) = lost.or_else(|| cause::dump_alone(lines, &headers)) {
            let at = headers.partition_point(|header| header.line < lost.line);
            headers.insert(at, lost);
        }
        let choice = cause::choose(lines, &headers);
        Self { lines, headers, choice }
    }

    /// Whether its crash is one, and not a warning or a message alone.
    fn is_grave(&self) -> bool {
        let header = self.choice.as_ref().and_then(|choice| self.headers.get(choice.header));
        let panicked = self.headers.iter().any(|header| header.is_panic_line);
        panicked || header.is_some_and(|header| header.kind.is_grave())
    }
}

/// The newest boot that crashed; else the newest that has an event of the kernel's, or any.
fn newest_crash(boots: &[BootEvents<'_>]) -> Option<usize> {
    let inside = |boot: &BootEvents<'_>| {
        boot.headers.iter().any(|header| header.kind.effect != Effect::Outside)
    };
    let grave = boots.iter().rposition(BootEvents::is_grave);
    let grave = grave.or_else(|| boots.iter().rposition(inside));
    grave.or_else(|| boots.iter().rposition(|boot| boot.choice.is_some()))
}

/// The crashes of other boots, oldest first.
fn of_other_boots(boots: &[BootEvents<'_>], own: usize, families: &Families) -> Vec<OtherEvent> {
    let no_stacks = CoreStacks::default();
    let mut crashes: Vec<OtherEvent> = boots
        .iter()
        .enumerate()
        .rev()
        .filter(|(number, _)| *number != own)
        .filter_map(|(number, boot)| {
            let choice = boot.choice.as_ref()?;
            let event = Event::read(boot.lines, &boot.headers, choice.header, families, &no_stacks);
            Some(OtherEvent { boot: Some(number + 1), ..OtherEvent::of(&event, boot.lines) })
        })
        .take(MAX_BOOTS)
        .collect();
    crashes.reverse();
    crashes
}

/// The headers of a log, in their order.
fn headers(lines: &[RecordLine<'_>]) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    let mut replayed = false;
    // Built once: to build it costs more than to search a line.
    let replays = memchr::memmem::Finder::new("replaying previous printk message **");
    for index in 0..lines.len() {
        if headers.len() >= MAX_HEADERS {
            break;
        }
        let text = lines.get(index).map_or(b"".as_slice(), |line| line.text);
        // A console prints its last message again after another writer used it.
        if replays.find(text).is_some() {
            replayed = true;
            if text.trim_ascii().ends_with(b"**") {
                continue;
            }
        }
        if let Some(header) = kinds::read(lines, index) {
            let again = replayed && headers.last().is_some_and(|last| last.class == header.class);
            if !again {
                headers.push(header);
            }
        }
        replayed = false;
    }
    let prose = quoted_before(lines, &headers);
    headers.drain(..prose);
    headers
}

/// How many of the first headers are quoted by somebody who writes about the log that follows:
/// the kernel's lines there have times, these have none, and no report follows them.
fn quoted_before(lines: &[RecordLine<'_>], headers: &[Header]) -> usize {
    let is_timed = |line: &RecordLine<'_>| line.time_ns.is_some();
    let Some(first) = lines.iter().position(is_timed) else { return 0 };
    let before = headers.partition_point(|header| header.line < first);
    let (Some(quoted), true) = (headers.first(), before < headers.len()) else { return 0 };
    let text = lines.get(quoted.line..first).unwrap_or_default();
    let reported = text.iter().any(|line| stack::line::read(line.text).is_some());
    if reported { 0 } else { before }
}

/// The other events, each once.
fn events_besides(
    lines: &[RecordLine<'_>],
    headers: &[Header],
    event: &Event<'_>,
    chosen: usize,
    families: &Families,
) -> Vec<OtherEvent> {
    let mut others: Vec<OtherEvent> = Vec::new();
    let mut classes: Vec<&str> = Vec::new();
    let no_stacks = CoreStacks::default();
    for (index, header) in headers.iter().enumerate() {
        // The same class again is the same event as a rule, so only a few of it are read.
        let seen = classes.iter().filter(|class| **class == header.class).count();
        let own = event.indexes.binary_search(&header.line).is_ok() && index != chosen;
        let own = own || seen >= MAX_ALIKE;
        if index == chosen || own || header.kind.effect == Effect::Panic {
            continue;
        }
        if others.len() >= MAX_OTHERS || classes.len() >= MAX_READ {
            break;
        }
        classes.push(&header.class);
        let other = Event::read(lines, headers, index, families, &no_stacks);
        let signature = &other.signature.id;
        let known = others.iter().any(|known| known.signature == *signature);
        if !known && *signature != event.signature.id {
            others.push(OtherEvent::of(&other, lines));
        }
    }
    others
}

impl OtherEvent {
    fn of(event: &Event<'_>, lines: &[RecordLine<'_>]) -> Self {
        let line = lines.get(event.header.line);
        Self {
            time_ns: line.and_then(|line| line.time_ns),
            record: line.map_or(0, |line| line.record),
            line: line.and_then(RecordLine::number),
            boot: None,
            title: event.titles.title.clone(),
            signature: event.signature.id.clone(),
        }
    }
}

impl Crash {
    fn new(
        event: Event<'_>,
        lines: &[RecordLine<'_>],
        why: &str,
        others: Vec<OtherEvent>,
        panic_message: Option<String>,
    ) -> Self {
        let evidence = evidence::of(lines, &event, why);
        let mut details = oops_details::of(lines, &event.indexes);
        if event.header.cpu.is_some() && event.header.cpu != details.cpu {
            // The task is that of the CPU which reports another.
            (details.cpu, details.pid, details.comm) = (event.header.cpu, None, None);
        }
        Self {
            title: event.titles.title,
            alt_titles: event.titles.alternates,
            kind: event.header.kind.name.to_owned(),
            r#type: event.header.r#type.map(str::to_owned),
            frame: event.titles.frame,
            pc_function: event.blame.pc.map(|(name, _)| name),
            module: event.blame.module,
            corrupted: event.damage.is_some(),
            signature: event.signature,
            panic_message,
            details,
            evidence,
            others,
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod layout_tests;

#[cfg(test)]
mod corpus_tests;

#[cfg(test)]
mod check_tests;

#[cfg(test)]
mod hang_tests;

#[cfg(test)]
mod report_tests;

#[cfg(test)]
mod rules_tests;
