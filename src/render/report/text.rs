//! A report as text.
//!
//! ```text
//! BUG: unable to handle kernel NULL pointer dereference in foo_write
//!   panic      Fatal exception
//!   where      CPU 1 of 2, sh (pid 71)
//!   kernel     Linux 6.1.0-31-amd64, up 3 min 20 s; not tainted
//!   signature  v1-c2r…; certain, from the kernel's log
//!
//! CPU 1  sh (pid 71)  panicked
//!    0  panic+0x1a4/0x370                             registers
//! ```

use std::io::{self, Write};

use super::lines;
use super::paint::{Look, Paint};
use super::text_parts as parts;
use crate::printable::shown;
use crate::render::crash_title::crash_title;
use crate::triage::report::data::{Blocked, Cpu, CpuState, Report};

/// How many records of the log are shown.
const LOG_LINES: usize = 30;
/// How many other events are shown.
const EVENTS: usize = 10;
/// How many findings are shown in front of the details.
const FIRST_FINDINGS: usize = 3;

/// Prints a report.
pub fn text(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", paint.of(Look::Title, &crash_title(&report.title)))?;
    answer(report, paint, out)?;
    let mut cpus: Vec<&Cpu> = report.cpus.iter().collect();
    // Who panicked comes first, and who did nothing last.
    cpus.sort_by_key(|cpu| match cpu.state {
        CpuState::Panicked => 0,
        CpuState::Kernel | CpuState::Unknown => 1,
        CpuState::User => 2,
        CpuState::Idle => 3,
    });
    let mut panicked = cpus.iter().filter(|cpu| cpu.state == CpuState::Panicked);
    if let Some(cpu) = panicked.next() {
        parts::cpu(cpu, true, paint, out)?;
    }
    parts::bugcheck(report, paint, out)?;
    log(report, paint, out)?;
    events(report, paint, out)?;
    for cpu in cpus.iter().filter(|cpu| cpu.state != CpuState::Panicked) {
        parts::cpu(cpu, cpu.state != CpuState::Idle, paint, out)?;
    }
    parts::tasks(report, paint, out)?;
    parts::memory(report, paint, out)?;
    parts::mounts(report, paint, out)?;
    parts::modules(report, paint, out)?;
    parts::findings(&report.findings, paint, out)
}

/// Prints groups of blocked tasks, each with the stack that its tasks share.
pub fn blocked(groups: &[Blocked], paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        parts::blocked(group, paint, out)?;
    }
    Ok(())
}

/// What fits on the first screen.
fn answer(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let mut line = |name: &str, text: &str| {
        let name = paint.of(Look::Head, &format!("{:<10}", name.to_lowercase()));
        writeln!(out, "  {name} {}", shown(text))
    };
    let source = lines::title_source(report.title_source);
    let trust = format!("{}, from {source}", lines::trust(report.trust));
    for (name, text) in lines::answer(report) {
        match name {
            "Signature" => line(name, &format!("{text}; {trust}"))?,
            _ => line(name, &text)?,
        }
    }
    if report.signature.is_none() {
        line("signature", &format!("none; {trust}"))?;
    }
    for finding in report.findings.iter().take(FIRST_FINDINGS) {
        line("finding", &format!("{}: {}", finding.about, finding.text))?;
    }
    if let Some(more) = report.findings.len().checked_sub(FIRST_FINDINGS).filter(|more| *more > 0) {
        line("finding", &format!("and {more} more, at the end"))?;
    }
    Ok(())
}

fn log(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if report.log.last.is_empty() {
        return Ok(());
    }
    let skip = report.log.last.len().saturating_sub(LOG_LINES);
    let shown_lines = report.log.last.len().saturating_sub(skip);
    let name = format!("Log, the last {shown_lines} of {} records", report.log.records);
    writeln!(out, "\n{}", paint.of(Look::Head, &name))?;
    for record in report.log.last.iter().skip(skip) {
        let time = paint.of(Look::Faint, &format!("[{}]", lines::time(record)));
        for (index, text) in record.text.lines().enumerate() {
            let text = match record.level {
                0..=3 => paint.of(Look::Bad, text),
                _ => shown(text),
            };
            match index {
                0 => writeln!(out, "  {time} {text}")?,
                _ => writeln!(out, "  {:14} {text}", "")?,
            }
        }
    }
    Ok(())
}

fn events(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if report.other_events.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.of(Look::Head, "Other events in the log"))?;
    for event in report.other_events.iter().take(EVENTS) {
        let time = paint.of(Look::Faint, &format!("{:>12}", lines::since_boot(event.time_ns)));
        writeln!(out, "  {time}  {}", shown(&crash_title(&event.title)))?;
    }
    if let Some(more) = report.other_events.len().checked_sub(EVENTS).filter(|more| *more > 0) {
        writeln!(out, "  and {more} more")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
