//! The title: from the log, with the help of the stacks; or from the stacks alone.

use super::data::{CpuState, Event, OtherEvent, Report, Stack, TitleSource, Trust};
use super::stacks::functions;
use crate::kernel::log::Log;
use crate::triage::crash::families::Families;
use crate::triage::crash::{self, Crash, Evidence, OopsDetails, Signature};
use crate::triage::{CoreStacks, log};

/// The most lines of evidence.
const MAX_EVIDENCE: usize = 60;

/// Puts the crash in the log into a report, if the log has one.
pub(super) fn of_log(report: &mut Report, log: &Log, stacks: &CoreStacks, families: &Families) {
    let records = log::of_kernel(&log.records);
    if let Some(crash) = crash::with_stacks(&records, families, stacks) {
        take(report, crash);
        if report.function.is_none()
            && let Some(panicker) = below_panic(&stacks.panicked, |frame| &frame.function)
                .iter()
                .find(|frame| frame.module.is_some())
        {
            // The kernel's own panics are named by their words, a module's by its function, too.
            report.function = Some(panicker.function.clone());
            report.module.clone_from(&panicker.module);
        }
    }
}

/// The frames of the callers of `panic()`.
fn below_panic<T>(frames: &[T], name: impl Fn(&T) -> &str) -> &[T] {
    let panic = frames.iter().rposition(|frame| matches!(name(frame), "panic" | "vpanic"));
    panic.and_then(|panic| frames.get(panic.saturating_add(1)..)).unwrap_or_default()
}

fn take(report: &mut Report, crash: Crash) {
    report.trust = match () {
        () if crash.corrupted => Trust::Guess,
        () if crash.evidence.from_core || crash.signature.weak => Trust::Likely,
        () => Trust::Certain,
    };
    if let Some(damage) = &crash.evidence.damage {
        report.find("log", format!("the event is damaged: {damage}"), Trust::Likely);
    }
    let evidence = &crash.evidence;
    report.title_source = TitleSource::Log;
    report.event = Some(Event {
        time_ns: evidence.header.as_ref().and_then(|header| header.time_ns),
        why: evidence.chosen.clone(),
        evidence: evidence_lines(evidence, &crash.details),
    });
    report.other_events = crash
        .others
        .into_iter()
        .map(|other| OtherEvent {
            time_ns: other.time_ns,
            title: other.title,
            signature: Some(other.signature),
        })
        .collect();
    report.title = crash.title;
    report.alt_titles = crash.alt_titles;
    report.kind = Some(crash.kind);
    report.r#type = crash.r#type;
    report.function = crash.frame;
    report.pc_function = crash.pc_function;
    report.module = crash.module;
    report.corrupted = crash.corrupted;
    report.panic_message = crash.panic_message;
    sign(report, crash.signature);
}

fn sign(report: &mut Report, signature: Signature) {
    report.signature = Some(signature.id);
    report.variant = Some(signature.variant);
    report.weak = signature.weak;
}

/// The evidence for a title, line by line.
fn evidence_lines(evidence: &Evidence, details: &OopsDetails) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(header) = &evidence.header {
        lines.push(format!("event: record {}: {}", header.record, header.text));
    }
    match &evidence.frame {
        Some(frame) => lines.push(format!("function: record {}: {}", frame.record, frame.text)),
        None if evidence.from_core => lines.push("function: from the core's stack".to_owned()),
        None => {}
    }
    if let Some(oops) = &details.oops {
        let deaths = details.deaths.unwrap_or(1);
        lines.push(format!("oops: {oops}, number {deaths} since boot"));
    }
    lines.extend(details.fault_address.iter().map(|address| format!("address: {address}")));
    lines.extend(details.work.iter().map(|work| format!("work: {work}")));
    lines.extend(details.code.iter().map(|code| format!("code: {code}")));
    for skipped in &evidence.skipped {
        lines.push(format!("skipped: {} ({})", skipped.function, skipped.family));
    }
    lines.truncate(MAX_EVIDENCE);
    lines
}

/// The title from stacks alone, where the log has none: that of the CPU that panicked, else those
/// of all busy CPUs.
pub(super) fn of_stacks(report: &mut Report, families: &Families) {
    if let Some(stack) = panicked(report) {
        let names = functions(stack);
        let below = below_panic(&names, |name| name);
        let has_panicked = !below.is_empty();
        let function =
            to_blame(if has_panicked { below } else { &names }, families).map(str::to_owned);
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let Some(function) = function else { return };
        let class = if has_panicked { "kernel panic (no log)" } else { "guest panicked (no log)" };
        name(report, class, &[&function], &names, families);
        report.title_source = TitleSource::Stack;
        report.trust = Trust::Likely;
        report.title = format!("{class} in {function}");
        report.function = Some(function);
        return;
    }
    let busy = report.cpus.iter().filter(|cpu| cpu.state == CpuState::Kernel);
    let mut doing: Vec<String> = busy
        .filter_map(|cpu| to_blame(&functions(&cpu.stack), families).map(str::to_owned))
        .collect();
    doing.sort();
    doing.dedup();
    if doing.is_empty() {
        return;
    }
    let class = "guest stopped (no log)";
    let about: Vec<_> = doing.iter().map(String::as_str).collect();
    name(report, class, &about, &doing, families);
    report.title_source = TitleSource::Cpus;
    report.trust = Trust::Guess;
    report.title = format!("{class} in {}", doing.join(", "));
}

fn name(report: &mut Report, class: &str, about: &[&str], path: &[String], families: &Families) {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    sign(report, Signature::of(families.version(), class, about, &path, true));
}

/// The first function that is in no family.
fn to_blame<'a>(names: &[&'a str], families: &Families) -> Option<&'a str> {
    let is_name = |name: &&&str| !name.starts_with("0x");
    names.iter().filter(is_name).find(|name| families.of(name, &[]).is_none()).copied()
}

/// The stack of the CPU that panicked, if it is known and has one.
fn panicked(report: &Report) -> Option<&Stack> {
    let cpu = report.cpus.iter().find(|cpu| cpu.state == CpuState::Panicked)?;
    Some(&cpu.stack).filter(|stack| !stack.frames.is_empty())
}
