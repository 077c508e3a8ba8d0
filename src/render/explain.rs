//! The evidence for a crash's title, as text and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::crash_title::crash_title;
use crate::printable::shown;
use crate::triage::crash::families::Families;
use crate::triage::crash::other_system::OtherSystem;
use crate::triage::crash::{BootCounts, Crash, Evidence, EvidenceRecord, OopsDetails};

/// The most frames and skipped functions in a text.
const MAX_SHOWN: usize = 40;

/// Prints a crash as text.
pub fn text(crash: &Crash, families: &Families, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", shown(&crash_title(&crash.title)))?;
    for title in &crash.alt_titles {
        writeln!(out, "  or {}", shown(&crash_title(title)))?;
    }
    let weak = if crash.signature.weak { " (weak)" } else { "" };
    match crash.signature.bucket() {
        Some(id) => {
            let variant = &crash.signature.variant;
            writeln!(out, "signature   {}{weak}, variant {variant}", shown(id))?;
        }
        None => writeln!(out, "signature   none: nothing tells this from others of its kind")?,
    }
    writeln!(out, "kind        {}{}", crash.kind, typed(crash))?;
    if let Some(panic) = &crash.panic_message {
        writeln!(out, "panic       {}", shown(panic))?;
    }
    details(&crash.details, out)?;
    let evidence = &crash.evidence;
    if let Some(BootCounts { count, crashed, explained }) = evidence.boots
        && count > 1
    {
        writeln!(out, "boots       {count}, {crashed} with a crash; this is boot {explained}")?;
    }
    writeln!(out, "chosen      {}", shown(&evidence.chosen))?;
    if let Some(damage) = &evidence.damage {
        writeln!(out, "damaged     {}", shown(damage))?;
    }
    if let Some(lines) = evidence.unread_frames {
        let look = if lines == 1 { "line looks" } else { "lines look" };
        let look = format!("{lines} {look} like stack frames behind an unknown prefix");
        writeln!(out, "            {look}")?;
    }
    record("header", evidence.header.as_ref(), out)?;
    record("function", evidence.frame.as_ref(), out)?;
    writeln!(out, "lines       {}", evidence.lines)?;
    skipped(evidence, families, out)?;
    frames(evidence, out)?;
    if !crash.others.is_empty() {
        writeln!(out, "\nother events")?;
    }
    for other in &crash.others {
        writeln!(
            out,
            "  {:>14}  {} {}  {}{}",
            time(other.time_ns),
            column(other.record, other.line),
            shown(&other.signature),
            shown(&crash_title(&other.title)),
            other.boot.map(|boot| format!(" (boot {boot})")).unwrap_or_default()
        )?;
    }
    Ok(())
}

/// The oops details that the log has.
fn details(details: &OopsDetails, out: &mut dyn Write) -> io::Result<()> {
    let task = details.comm.as_ref().map(|comm| {
        let pid = details.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let cpu = details.cpu.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
        format!("{comm}{pid}{cpu}")
    });
    let oops = details.deaths.filter(|deaths| *deaths > 1);
    let oops = oops.map(|deaths| format!("#{deaths} since boot"));
    let lines = [
        ("task", &task),
        ("kernel", &details.kernel),
        ("taint", &details.taint),
        ("oops", &oops),
        ("hardware", &details.hardware),
        ("work", &details.work),
        ("address", &details.fault_address),
        ("code", &details.code),
    ];
    for (label, value) in lines {
        if let Some(value) = value {
            writeln!(out, "{label:<11} {}", shown(value))?;
        }
    }
    Ok(())
}

fn typed(crash: &Crash) -> String {
    let kind = crash.r#type.as_ref().map(|kind| format!(", type {kind}")).unwrap_or_default();
    let module = crash.module.as_ref().map(|module| format!(", module {}", shown(module)));
    kind + &module.unwrap_or_default()
}

fn record(label: &str, record: Option<&EvidenceRecord>, out: &mut dyn Write) -> io::Result<()> {
    match record {
        Some(record) => {
            let time = time(record.time_ns);
            let place = place(record.record, record.line);
            writeln!(out, "{label:<11} {place} {time} {}", shown(&record.text))
        }
        None => Ok(()),
    }
}

fn skipped(evidence: &Evidence, families: &Families, out: &mut dyn Write) -> io::Result<()> {
    if evidence.skipped.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nskipped before the function")?;
    for skipped in evidence.skipped.iter().take(MAX_SHOWN) {
        let covers = families.covers(&skipped.family).unwrap_or_default();
        let function = shown(&skipped.function);
        let family = shown(&format!("{} {covers}", skipped.family));
        writeln!(out, "  {function:<40} {family}")?;
    }
    Ok(())
}

fn frames(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    if evidence.frames.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nframes in the log")?;
    for frame in evidence.frames.iter().take(MAX_SHOWN) {
        let guess = if frame.reliable { "" } else { "? " };
        let module = frame.module.as_ref().map(|module| format!(" [{}]", shown(module)));
        writeln!(
            out,
            "  {} {guess}{}{}",
            column(frame.record, frame.line),
            shown(&frame.function),
            module.unwrap_or_default()
        )?;
    }
    if let Some(more) = evidence.frames.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
        writeln!(out, "  and {more} more")?;
    }
    Ok(())
}

/// Where a record is: the line of a file, as editors count, or the record of a kernel's log.
fn place(record: usize, line: Option<u32>) -> String {
    line.map_or_else(|| format!("#{record}"), |line| format!("line {line}"))
}

/// The same, as a column.
fn column(record: usize, line: Option<u32>) -> String {
    line.map_or_else(|| format!("#{record:<6}"), |line| format!("line {line:<6}"))
}

fn time(nanos: Option<u64>) -> String {
    match nanos {
        Some(nanos) => format!("[{:>5}.{:06}]", nanos / 1_000_000_000, nanos / 1000 % 1_000_000),
        None => "-".to_owned(),
    }
}

/// A crash as JSON.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a serde_json::Value>,
    title: Option<&'a str>,
    alt_titles: &'a [String],
    kind: Option<&'a str>,
    r#type: Option<&'a str>,
    frame: Option<&'a str>,
    pc_function: Option<&'a str>,
    module: Option<&'a str>,
    corrupted: bool,
    signature: Option<&'a str>,
    variant: Option<&'a str>,
    weak: bool,
    panic_message: Option<&'a str>,
    #[serde(rename = "told")]
    details: Option<&'a OopsDetails>,
    evidence: Option<&'a Evidence>,
    others: &'a [crate::triage::crash::OtherEvent],
    #[serde(skip_serializing_if = "Option::is_none")]
    other_system: Option<&'a OtherSystem>,
}

/// Says that a log has no crash, and what it may be instead.
pub fn none(records: usize, other: Option<&OtherSystem>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "No crash in {records} records.")?;
    if let Some(OtherSystem { system, record, line, text }) = other {
        let place = place(*record, Some(*line).filter(|line| *line > 0));
        writeln!(out, "It is not Linux that crashed, but {system}: {place}: {}", shown(text))?;
    }
    Ok(())
}

/// Prints a crash as one line of JSON. Without one, `title` is null.
pub fn json(
    id: Option<&serde_json::Value>,
    crash: Option<&Crash>,
    other: Option<&OtherSystem>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let explained = Explained {
        id,
        title: crash.map(|crash| crash.title.as_str()),
        alt_titles: crash.map(|crash| crash.alt_titles.as_slice()).unwrap_or_default(),
        kind: crash.map(|crash| crash.kind.as_str()),
        r#type: crash.and_then(|crash| crash.r#type.as_deref()),
        frame: crash.and_then(|crash| crash.frame.as_deref()),
        pc_function: crash.and_then(|crash| crash.pc_function.as_deref()),
        module: crash.and_then(|crash| crash.module.as_deref()),
        corrupted: crash.is_some_and(|crash| crash.corrupted),
        signature: crash.and_then(|crash| crash.signature.bucket()),
        variant: crash
            .filter(|crash| !crash.signature.of_class_only)
            .map(|crash| crash.signature.variant.as_str()),
        weak: crash.is_some_and(|crash| crash.signature.weak),
        panic_message: crash.and_then(|crash| crash.panic_message.as_deref()),
        details: crash.map(|crash| &crash.details),
        evidence: crash.map(|crash| &crash.evidence),
        others: crash.map(|crash| crash.others.as_slice()).unwrap_or_default(),
        other_system: other,
    };
    super::json::line(&explained, out)
}
