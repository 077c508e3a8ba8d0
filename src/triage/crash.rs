//! The crash that a log tells of: its title, its guilty function, its signature.
//!
//! ```text
//! records ─► header   where events begin        ─► cause    which of them is the crash
//!                                               ─► extent   which lines are that event's
//!            stack    functions on those lines  ─► guilty   which of them did it
//!            title    names                     ─► corrupted, signature
//! ```
//!
//! Needs: a log's records and the families. Gives: the crash, or nothing if there is none, with
//! the records and frames that it was read from. Reads no memory and no clock: a core's stacks
//! are handed in ([`with_stacks`]).

mod cause;
mod corrupted;
mod evidence;
mod extent;
pub mod families;
mod guilty;
mod header;
mod kind;
mod locked;
mod reboot;
mod scrub;
mod signature;
mod stack;
mod title;
mod told;

use serde::Serialize;

pub use evidence::{Evidence, EvidenceFrame, EvidenceRecord, SkippedFrame};
use families::Families;
use guilty::{Guilt, Scene};
use header::Header;
use kind::{Kind, Source};
pub use signature::Signature;
use stack::name::without_syscall_prefix;
use stack::{Frame, Item};
pub use told::Told;

use super::known_stacks::KnownStacks;
use super::record::{Line, LogRecord, lines};

/// How many headers of a log are looked at.
const MAX_HEADERS: usize = 10_000;
/// How many other events are read.
const MAX_READ: usize = 100;
/// How many of them with the same title but for the function.
const MAX_ALIKE: usize = 8;
/// How many other events are told.
const MAX_OTHERS: usize = 50;

/// A crash.
#[derive(Clone, Debug, Serialize)]
pub struct Crash {
    /// What it is called.
    pub title: String,
    /// What else it may be called: by another kernel, or another guard of the same bug.
    pub alt_titles: Vec<String>,
    /// What kind of event it is.
    pub kind: String,
    /// A dashboard's type of it.
    pub r#type: Option<String>,
    /// The guilty function, as the title has it.
    pub frame: Option<String>,
    /// Where the processor was, if the log tells.
    pub pc_function: Option<String>,
    /// The module that the guilty function is in, if it is in one.
    pub module: Option<String>,
    /// The report is damaged: the title is the best there is.
    pub corrupted: bool,
    /// What makes it the same as another.
    pub signature: Signature,
    /// The panic's words, if there was one.
    pub panic_message: Option<String>,
    /// What else its lines tell: of the task, the kernel, the machine.
    pub told: Told,
    /// Which records and frames this was read from, and what was passed over.
    pub evidence: Evidence,
    /// Other events of the log.
    pub others: Vec<OtherEvent>,
}

/// Another event of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherEvent {
    /// When.
    pub time_ns: Option<u64>,
    /// Index of its first record.
    pub record: usize,
    /// What it is called.
    pub title: String,
    /// Its bucket.
    pub bucket: String,
}

/// A function on a stack that was unwound from memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownFrame {
    /// Its name, as the kernel's symbols have it.
    pub function: String,
    /// The module that it is in.
    pub module: Option<String>,
}

/// Finds the crash that a log tells of.
#[must_use]
pub fn of(records: &[LogRecord], families: &Families) -> Option<Crash> {
    with_stacks(records, families, &KnownStacks::default())
}

/// Finds it, with the stacks out of the core: the log of a plain panic names no function, that of
/// a lost header may have none, and that of a hard lockup may have but the stack of the CPU that
/// found it.
#[must_use]
pub fn with_stacks(
    records: &[LogRecord],
    families: &Families,
    stacks: &KnownStacks,
) -> Option<Crash> {
    let lines = lines(records);
    let mut headers = headers(&lines);
    if let Some(lost) = cause::lost(&lines, &headers) {
        let at = headers.partition_point(|header| header.line < lost.line);
        headers.insert(at, lost);
    }
    let choice = cause::choose(&lines, &headers);
    let Some(choice) = choice else {
        return reboot::find(&lines).map(|line| {
            let header = Header { line, ..Header::rebooted() };
            Event::read(&lines, std::slice::from_ref(&header), 0, families, stacks).into_crash(
                &lines,
                "the machine booted while its kernel ran",
                Vec::new(),
                None,
            )
        });
    };
    let event = Event::read(&lines, &headers, choice.header, families, stacks);
    let panic = headers.iter().find(|header| header.kind.is_panic());
    let panic_message = panic.and_then(|header| lines.get(header.line)).and_then(|line| {
        let reason = header::behind(line.text, "not syncing: ")?;
        Some(String::from_utf8_lossy(reason.trim_ascii()).into_owned())
    });
    let others = others(&lines, &headers, &event, choice.header, families);
    Some(event.into_crash(&lines, &choice.why, others, panic_message))
}

/// The headers of a log, in their order.
fn headers(lines: &[Line<'_>]) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    let mut replayed = false;
    for index in 0..lines.len() {
        if headers.len() >= MAX_HEADERS {
            break;
        }
        let text = lines.get(index).map_or(b"".as_slice(), |line| line.text);
        // The console prints its last message again, after another wrote to it.
        if header::has(text, "replaying previous printk message **") {
            replayed = true;
            if text.trim_ascii().ends_with(b"**") {
                continue;
            }
        }
        if let Some(header) = header::read(lines, index) {
            let again = replayed && headers.last().is_some_and(|last| last.class == header.class);
            if !again {
                headers.push(header);
            }
        }
        replayed = false;
    }
    headers
}

/// The other events, each once.
fn others(
    lines: &[Line<'_>],
    headers: &[Header],
    event: &Event<'_>,
    chosen: usize,
    families: &Families,
) -> Vec<OtherEvent> {
    let mut others: Vec<OtherEvent> = Vec::new();
    let mut classes: Vec<&str> = Vec::new();
    let nothing = KnownStacks::default();
    for (index, header) in headers.iter().enumerate() {
        // The same line again is the same event, as a rule: it is read a few times.
        let seen = classes.iter().filter(|class| **class == header.class).count();
        let own = event.indexes.binary_search(&header.line).is_ok() && index != chosen;
        let own = own || seen >= MAX_ALIKE;
        if index == chosen || own || header.kind.is_panic() {
            continue;
        }
        if others.len() >= MAX_OTHERS || classes.len() >= MAX_READ {
            break;
        }
        classes.push(&header.class);
        let other = Event::read(lines, headers, index, families, &nothing);
        let (title, bucket) = (other.names.title.clone(), other.signature.bucket.clone());
        if others.iter().any(|known| known.bucket == bucket) || bucket == event.signature.bucket {
            continue;
        }
        let line = lines.get(header.line);
        others.push(OtherEvent {
            time_ns: line.and_then(|line| line.time_ns),
            record: line.map_or(0, |line| line.record),
            title,
            bucket,
        });
    }
    others
}

/// An event that was read.
struct Event<'a> {
    header: &'a Header,
    indexes: Vec<usize>,
    items: Vec<Item>,
    guilt: Guilt,
    names: title::Names,
    damage: Option<String>,
    signature: Signature,
    from_core: bool,
}

impl<'a> Event<'a> {
    fn read(
        lines: &'a [Line<'a>],
        headers: &'a [Header],
        which: usize,
        families: &Families,
        stacks: &KnownStacks,
    ) -> Self {
        static NOTHING: Header = Header::nothing();
        let header = headers.get(which).unwrap_or(&NOTHING);
        let indexes = extent::of(lines, headers, which);
        let mut items = stack::items(lines, &indexes);
        let stack = match header.cpu {
            Some(cpu) => {
                items = locked::of_cpu(lines, items, cpu);
                stacks.of_cpu(cpu)
            }
            // Who panics for another's hang has nothing of its stack.
            None if header.kind.is_told_by_others() => &[],
            None => &stacks.panicked,
        };
        let scene = Scene { header, lines, indexes: &indexes, items: &items, families };
        let mut guilt = guilty::find(&scene);
        let mut from_core = false;
        let has_function = header.kind.rule().source != Source::None;
        let doubtful = guilt.function.is_none() || guilt.guess;
        if doubtful && has_function && !stack.is_empty() {
            from_core = guilty::of_core(&scene, stack, &mut guilt);
        }
        let origin = guilty::origin(&scene);
        let names = title::of(header, guilt.function.as_deref(), origin.as_deref());
        let damage = corrupted::why(&scene, &guilt, &names.title);
        // The core makes good for a report that is cut, and not for a header that is lost.
        let damage = damage.filter(|_| !from_core || header.kind == Kind::HeaderLost);
        let below = below_panic(&items, stack, families);
        let mut about: Vec<&str> = names.frame.as_deref().into_iter().collect();
        if header.kind == Kind::Panic {
            about.extend(below.as_deref().map(without_syscall_prefix));
        }
        let path = variant_path(&items, stack, families);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let signature =
            Signature::of(families.version(), &header.class, &about, &path, damage.is_some());
        if header.kind == Kind::Panic && guilt.function.is_none() {
            guilt.function = below;
        }
        Self { header, indexes, items, guilt, names, damage, signature, from_core }
    }

    fn into_crash(
        self,
        lines: &[Line<'_>],
        why: &str,
        others: Vec<OtherEvent>,
        panic_message: Option<String>,
    ) -> Crash {
        let evidence = evidence::of(lines, &self, why);
        let r#type = title::type_of(&self.names.title);
        let mut told = told::of(lines, &self.indexes);
        if self.header.cpu.is_some() && self.header.cpu != told.cpu {
            // The task that ran on the CPU that tells of another.
            (told.cpu, told.pid, told.comm) = (self.header.cpu, None, None);
        }
        Crash {
            title: self.names.title,
            alt_titles: self.names.alternates,
            kind: self.header.kind.name().to_owned(),
            r#type,
            frame: self.names.frame,
            pc_function: self.guilt.pc.map(|(name, _)| name),
            module: self.guilt.module,
            corrupted: self.damage.is_some(),
            signature: self.signature,
            panic_message,
            told,
            evidence,
            others,
        }
    }
}

/// The first function below `panic()`, in the log or in the core.
fn below_panic(items: &[Item], stack: &[KnownFrame], families: &Families) -> Option<String> {
    let frames = items.iter().filter_map(Item::frame).filter(|frame| frame.reliable);
    let of_log: Vec<&Frame> = frames.collect();
    let after = of_log.iter().position(|frame| frame.name == "panic" || frame.name == "vpanic");
    let mut logged = after.and_then(|at| of_log.get(at + 1..)).unwrap_or_default().iter();
    let wanted = |name: &str| !families.is_in(name, "die") && !families.is_in(name, "dump");
    if let Some(frame) = logged.find(|frame| wanted(&frame.name)) {
        return Some(frame.name.clone());
    }
    let mut known = stack.iter().map(|frame| stack::name::normalised(&frame.function));
    known.find(|name| wanted(name)).map(str::to_owned)
}

/// The functions that a variant is made of.
fn variant_path(items: &[Item], stack: &[KnownFrame], families: &Families) -> Vec<String> {
    let wanted = |name: &str| !families.is_in(name, "die") && !families.is_in(name, "dump");
    let logged = items.iter().filter_map(Item::frame).filter(|frame| frame.reliable);
    let path: Vec<String> = logged
        .filter(|frame| wanted(&frame.name))
        .map(|frame| without_syscall_prefix(&frame.name).to_owned())
        .take(signature::VARIANT_FRAMES)
        .collect();
    if !path.is_empty() {
        return path;
    }
    let known = stack.iter().map(|frame| stack::name::normalised(&frame.function));
    let known = known.filter(|name| wanted(name)).map(without_syscall_prefix);
    known.map(str::to_owned).take(signature::VARIANT_FRAMES).collect()
}

#[cfg(test)]
#[path = "crash/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "crash/corpus_tests.rs"]
mod corpus_tests;
